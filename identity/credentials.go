package identity

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds on what a sign-in may carry, in bytes. Keycloak keeps user names in 255 characters.
const (
	MaxUsernameBytes     = 1020
	MaxPasswordBytes     = 4096
	MaxOTPBytes          = 64
	MaxRefreshTokenBytes = 32 << 10
)

// Credentials are what a person signs in with. Make them with NewCredentials.
type Credentials struct {
	Username string // or e-mail address, as typed: Keycloak doesn't trim it, and ignores its case
	Password Secret
	OTP      Secret // a one-time code; empty when the person gave none
}

// NewCredentials wraps what a client sent. It fails with ErrBadInput when a value is empty, longer
// than its bound, not UTF-8, or holds a control character: no realm is asked about those. A nil otp
// is no one-time code.
func NewCredentials(username, password string, otp *string) (Credentials, error) {
	credentials := Credentials{Username: username, Password: NewSecret(password)}
	if err := check("username", username, MaxUsernameBytes); err != nil {
		return Credentials{}, err
	}
	if err := check("password", password, MaxPasswordBytes); err != nil {
		return Credentials{}, err
	}
	if otp != nil {
		if err := check("otp", *otp, MaxOTPBytes); err != nil {
			return Credentials{}, err
		}
		credentials.OTP = NewSecret(*otp)
	}
	return credentials, nil
}

// Account returns the username as a key for counting: the lookup name, trimmed and case-folded.
// Names that Keycloak takes for one name share a key, whether they are looked up in its database or
// in a directory that doesn't mind blanks around a name; different names may share one too. A user
// who can also sign in by e-mail has two keys.
func (c Credentials) Account() string {
	return strings.Map(foldRune, strings.TrimSpace(c.LookupName()))
}

// foldRune maps the letters that differ only in case to one of them: s and ſ to s. Lowering
// wouldn't do: Unicode has lower case letters that are the same in upper case.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return unicode.ToLower(least) // an ASCII letter in the round is its upper case
}

// NewRefreshToken wraps a refresh token that a client sent, with the checks of NewCredentials.
func NewRefreshToken(token string) (Secret, error) {
	if err := check("refreshToken", token, MaxRefreshTokenBytes); err != nil {
		return Secret{}, err
	}
	return NewSecret(token), nil
}

// check names the argument and what is wrong with it, never its value.
func check(name, value string, maxBytes int) error {
	switch {
	case value == "":
		return fmt.Errorf("%w: %s is empty", ErrBadInput, name)
	case len(value) > maxBytes:
		return fmt.Errorf("%w: %s is longer than %d bytes", ErrBadInput, name, maxBytes)
	case !utf8.ValidString(value):
		return fmt.Errorf("%w: %s is not UTF-8", ErrBadInput, name)
	case strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("%w: %s holds a control character", ErrBadInput, name)
	}
	return nil
}
