package identity

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on the arguments of a sign-in, in bytes. Keycloak's usernames have up to 255 characters.
const (
	MaxUsernameBytes     = 1020
	MaxPasswordBytes     = 4096
	MaxOTPBytes          = 64
	MaxRefreshTokenBytes = 32 << 10
)

// Credentials are what a user signs in with. Make them with NewCredentials.
type Credentials struct {
	Username string // or email address, as typed: Keycloak ignores case, but doesn't trim it
	Password Secret
	OTP      Secret // a one-time code; empty if there is none
}

// NewCredentials returns the credentials that a client sent. It returns ErrBadInput if a value is
// empty, too long, not UTF-8, or has a control character, so that such values are never sent to the
// realm. If otp is nil, there is no one-time code.
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

// AccountKey returns a key for counting attempts: LookupName, trimmed and case-folded. Names that
// Keycloak considers equal share a key, whether it looks them up in its database or in a directory
// that ignores blanks around a name. Different names may share a key too. A user who can also sign
// in by email has two keys.
func (c Credentials) AccountKey() string {
	return strings.Map(foldRune, strings.TrimSpace(c.LookupName()))
}

// foldRune maps letters that differ only in case to the same letter, such as s and ſ to s.
// unicode.ToLower isn't enough, because two lower-case letters may have the same upper case.
func foldRune(r rune) rune {
	smallest := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		smallest = min(smallest, next)
	}
	return unicode.ToLower(smallest) // for ASCII letters, smallest is in upper case
}

// NewRefreshToken returns the refresh token that a client sent, after the checks of NewCredentials.
func NewRefreshToken(token string) (Secret, error) {
	if err := check("refreshToken", token, MaxRefreshTokenBytes); err != nil {
		return Secret{}, err
	}
	return NewSecret(token), nil
}

// check returns an error that names the argument and what is wrong with it, but not its value.
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
