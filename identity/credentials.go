package identity

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on the arguments of login, refresh and logout, in bytes. Usernames in Keycloak have up to
// 255 characters, which take up to 1020 bytes.
const (
	MaxUsernameBytes     = 1020
	MaxPasswordBytes     = 4096
	MaxOTPBytes          = 64
	MaxRefreshTokenBytes = 32 << 10
)

// Credentials are the input of a sign-in. Make them with NewCredentials.
type Credentials struct {
	Username string // or an email address, as the user typed it
	Password Secret
	OTP      Secret // a one-time code; empty if there is none
}

// NewCredentials checks and returns the credentials that a client sent. If a value is empty, too
// long or not UTF-8, or contains a control character, it returns ErrBadInput, so that the value is
// never sent to the realm. If otp is nil, there is no one-time code.
func NewCredentials(username, password string, otp *string) (Credentials, error) {
	credentials := Credentials{Username: username, Password: NewSecret(password)}
	if err := checkArgument("username", username, MaxUsernameBytes); err != nil {
		return Credentials{}, err
	}
	if err := checkArgument("password", password, MaxPasswordBytes); err != nil {
		return Credentials{}, err
	}
	if otp != nil {
		if err := checkArgument("otp", *otp, MaxOTPBytes); err != nil {
			return Credentials{}, err
		}
		credentials.OTP = NewSecret(*otp)
	}
	return credentials, nil
}

// AccountKey returns a key for counting attempts. The key is NormalizedUsername, trimmed and
// case-folded. All names that Keycloak considers equal have the same key, even if Keycloak looks
// names up in a directory that ignores blanks around a name. Different names may have the same key
// too. A user who can sign in with a username and with an email address has two keys.
func (c Credentials) AccountKey() string {
	return strings.Map(foldRune, strings.TrimSpace(c.NormalizedUsername()))
}

// foldRune maps all letters that differ only in case to the same letter. For example, it maps S, s
// and ſ to s. unicode.ToLower doesn't, because ſ is a lower-case letter too.
func foldRune(r rune) rune {
	smallest := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		smallest = min(smallest, next)
	}
	return unicode.ToLower(smallest) // the smallest of s, S and ſ is S; keys are in lower case
}

// NewRefreshToken checks and returns the refresh token that a client sent. It makes the same checks
// as NewCredentials.
func NewRefreshToken(token string) (Secret, error) {
	if err := checkArgument("refreshToken", token, MaxRefreshTokenBytes); err != nil {
		return Secret{}, err
	}
	return NewSecret(token), nil
}

// checkArgument returns ErrBadInput if value isn't valid. The error names the argument and says
// what is wrong with it, but doesn't contain the value.
func checkArgument(name, value string, maxBytes int) error {
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
