package realmfile

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
)

// A PasswordRule is a rule of a realm's password policy. It returns Keycloak's error message for a
// password that violates the rule, and "" otherwise.
type PasswordRule func(u User, password string) string

// PasswordRules parses a password policy, such as "length(8) and notUsername". Rules about password
// history and hashing have no effect: the fake Keycloak keeps no history, and doesn't hash.
func PasswordRules(policy string) ([]PasswordRule, error) {
	var rules []PasswordRule
	for _, text := range strings.Split(policy, " and ") {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		name, value, hasValue := strings.Cut(text, "(")
		value = strings.TrimSuffix(value, ")")
		rule, err := newPasswordRule(name, value, hasValue)
		if err != nil {
			return nil, err
		}
		if rule != nil {
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// newPasswordRule returns the rule with this name, or nil if the rule has no effect.
func newPasswordRule(name, value string, hasValue bool) (PasswordRule, error) {
	number := func(fallback int) (int, error) {
		if !hasValue {
			return fallback, nil
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return 0, fmt.Errorf("%s(%s): a whole number is expected", name, value)
		}
		return n, nil
	}
	atLeast := func(class string, inClass func(rune) bool) (PasswordRule, error) {
		minCount, err := number(1)
		return func(_ User, password string) string {
			n := 0
			for _, c := range password {
				if inClass(c) {
					n++
				}
			}
			return violation(n >= minCount,
				fmt.Sprintf("must contain at least %d %s.", minCount, class))
		}, err
	}
	switch name {
	case "length":
		minLength, err := number(8)
		return func(_ User, password string) string {
			return violation(javaLength(password) >= minLength,
				fmt.Sprintf("minimum length %d.", minLength))
		}, err
	case "maxLength":
		maxLength, err := number(64)
		return func(_ User, password string) string {
			return violation(javaLength(password) <= maxLength,
				fmt.Sprintf("maximum length %d.", maxLength))
		}, err
	case "digits":
		return atLeast("numerical digits", unicode.IsDigit)
	case "lowerCase":
		return atLeast("lower case characters", unicode.IsLower)
	case "upperCase":
		return atLeast("upper case characters", unicode.IsUpper)
	case "specialChars":
		return atLeast("special characters", func(c rune) bool {
			return !unicode.IsLetter(c) && !unicode.IsDigit(c)
		})
	case "notUsername":
		return func(u User, password string) string {
			return violation(!strings.EqualFold(u.Username, password),
				"must not be equal to the username.")
		}, nil
	case "notEmail":
		return func(u User, password string) string {
			return violation(u.Email == "" || !strings.EqualFold(u.Email, password),
				"must not be equal to the email.")
		}, nil
	case "notContainsUsername":
		return func(u User, password string) string {
			password, username := strings.ToLower(password), strings.ToLower(u.Username)
			return violation(!strings.Contains(password, username), "Can not contain the username.")
		}, nil
	case "regexPattern":
		pattern, err := regexp.Compile(`\A(?:` + value + `)\z`)
		if err != nil && invalidInJava(err) {
			return nil, fmt.Errorf("regexPattern(%s): %w", value, err)
		} else if err != nil {
			return func(User, string) string {
				return fmt.Sprintf(
					"regexPattern(%s) is not supported: no password can be checked with it here",
					value)
			}, nil
		}
		return func(_ User, password string) string {
			return violation(pattern.MatchString(password), "fails to match regex pattern(s).")
		}, nil
	case "hashAlgorithm":
		if hasValue &&
			!slices.Contains([]string{"", "argon2", "pbkdf2", "pbkdf2-sha256", "pbkdf2-sha512"},
				value) {
			return nil, fmt.Errorf(
				"hashAlgorithm(%s): Keycloak has argon2, pbkdf2, pbkdf2-sha256 and pbkdf2-sha512",
				value)
		}
		return nil, nil
	case "forceExpiredPasswordChange", "hashIterations", "passwordHistory", "passwordAge",
		"maxAuthAge", "recoveryCodesWarningThreshold":
		_, err := number(0)
		return nil, err
	case "passwordBlacklist":
		if hasValue {
			return nil, fmt.Errorf(
				"%s is not supported: the list is a file of the server, which Keycloak's import "+
					"looks for", name)
		}
		return nil, nil // without a list, the rule has no effect
	}
	return nil, fmt.Errorf("%s isn't a password policy of Keycloak", name)
}

// violation returns Keycloak's error message for a violated rule, or "" if ok.
func violation(ok bool, msg string) string {
	if ok {
		return ""
	}
	return "Invalid password: " + msg
}

// MaxPasswordAge returns the time after which passwords expire, from the policy's rule
// forceExpiredPasswordChange. 0 means that they never expire.
func MaxPasswordAge(policy string) time.Duration {
	for _, text := range strings.Split(policy, " and ") {
		name, value, hasValue := strings.Cut(strings.TrimSpace(text), "(")
		if name != "forceExpiredPasswordChange" {
			continue
		}
		days, err := strconv.Atoi(strings.TrimSuffix(value, ")"))
		if !hasValue || err != nil {
			days = 365
		}
		return time.Duration(max(days, 0)) * 24 * time.Hour
	}
	return 0
}

// javaLength returns the length of a string in UTF-16 code units, as String.length does in Java.
func javaLength(text string) int { return len(utf16.Encode([]rune(text))) }
