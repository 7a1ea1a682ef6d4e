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

// ParsePasswordPolicy parses a password policy such as "length(8) and notUsername". It returns no
// rules about password history and hashing, because the fake Keycloak stores neither old passwords
// nor hashes.
func ParsePasswordPolicy(policy string) ([]PasswordRule, error) {
	var rules []PasswordRule
	for _, ruleText := range strings.Split(policy, " and ") {
		ruleText = strings.TrimSpace(ruleText)
		if ruleText == "" {
			continue
		}
		name, value, hasValue := strings.Cut(ruleText, "(")
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

// newPasswordRule returns the rule with this name, or nil if the rule has no effect in the fake.
func newPasswordRule(name, value string, hasValue bool) (PasswordRule, error) {
	// parseNumber parses the rule's value. It returns fallback if the rule has no value.
	parseNumber := func(fallback int) (int, error) {
		if !hasValue {
			return fallback, nil
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return 0, fmt.Errorf("%s(%s): a whole number is expected", name, value)
		}
		return n, nil
	}
	// newCountRule returns a rule that requires a minimum number of characters of a class.
	newCountRule := func(className string, inClass func(rune) bool) (PasswordRule, error) {
		minCount, err := parseNumber(1)
		return func(_ User, password string) string {
			n := 0
			for _, c := range password {
				if inClass(c) {
					n++
				}
			}
			return messageUnless(n >= minCount,
				fmt.Sprintf("must contain at least %d %s.", minCount, className))
		}, err
	}
	switch name {
	case "length":
		minLength, err := parseNumber(8)
		return func(_ User, password string) string {
			return messageUnless(javaLength(password) >= minLength,
				fmt.Sprintf("minimum length %d.", minLength))
		}, err
	case "maxLength":
		maxLength, err := parseNumber(64)
		return func(_ User, password string) string {
			return messageUnless(javaLength(password) <= maxLength,
				fmt.Sprintf("maximum length %d.", maxLength))
		}, err
	case "digits":
		return newCountRule("numerical digits", unicode.IsDigit)
	case "lowerCase":
		return newCountRule("lower case characters", unicode.IsLower)
	case "upperCase":
		return newCountRule("upper case characters", unicode.IsUpper)
	case "specialChars":
		return newCountRule("special characters", func(c rune) bool {
			return !unicode.IsLetter(c) && !unicode.IsDigit(c)
		})
	case "notUsername":
		return func(u User, password string) string {
			return messageUnless(!strings.EqualFold(u.Username, password),
				"must not be equal to the username.")
		}, nil
	case "notEmail":
		return func(u User, password string) string {
			return messageUnless(u.Email == "" || !strings.EqualFold(u.Email, password),
				"must not be equal to the email.")
		}, nil
	case "notContainsUsername":
		return func(u User, password string) string {
			password, username := strings.ToLower(password), strings.ToLower(u.Username)
			return messageUnless(!strings.Contains(password, username),
				"Can not contain the username.")
		}, nil
	case "regexPattern":
		pattern, err := regexp.Compile(`\A(?:` + value + `)\z`)
		if err != nil && invalidInJava(err) {
			return nil, fmt.Errorf("regexPattern(%s): %w", value, err)
		} else if err != nil {
			return func(User, string) string {
				return fmt.Sprintf("regexPattern(%s) is not supported by the fake Keycloak: Go "+
					"can't compile the pattern", value)
			}, nil
		}
		return func(_ User, password string) string {
			return messageUnless(pattern.MatchString(password), "fails to match regex pattern(s).")
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
		_, err := parseNumber(0)
		return nil, err
	case "passwordBlacklist":
		if hasValue {
			return nil, fmt.Errorf(
				"%s is not supported by the fake Keycloak: the list is in a file on the Keycloak "+
					"server", name)
		}
		return nil, nil // without the name of a list, the rule has no effect
	}
	return nil, fmt.Errorf("%s isn't a password policy of Keycloak", name)
}

// messageUnless returns Keycloak's error message for a password, or "" if ok is true.
func messageUnless(ok bool, msg string) string {
	if ok {
		return ""
	}
	return "Invalid password: " + msg
}

// PasswordExpiry returns the age at which passwords expire, which the policy's rule
// forceExpiredPasswordChange sets. 0 means that passwords never expire.
func PasswordExpiry(policy string) time.Duration {
	for _, ruleText := range strings.Split(policy, " and ") {
		name, value, hasValue := strings.Cut(strings.TrimSpace(ruleText), "(")
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
