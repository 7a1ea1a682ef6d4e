package identity

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"time"
)

// A User is a person or a service account that an access token speaks for. The fields are what the
// verified token says; a pointer is nil where the token doesn't say. Treat a User as read-only: one
// request's resolvers share it.
type User struct {
	ID            string // the subject: stable, unique within the issuer
	Username      *string
	Email         *string
	EmailVerified *bool
	Name          *string
	GivenName     *string
	FamilyName    *string
	RealmRoles    []string      // never nil
	ClientRoles   []ClientRoles // ordered by client, never nil
	Groups        []string      // never nil
	Token         *TokenInfo    // the caller's own token; nil for every other user
}

// ClientRoles are the roles that a user has in one client.
type ClientRoles struct {
	Client string // the client id
	Roles  []string
}

// TokenInfo describes the access token that a request came with.
type TokenInfo struct {
	Scope     []string // never nil
	ExpiresAt time.Time
	ACR       *string  // authentication context class reference: how strong the sign-in was
	Session   *Session // nil for a service account
	Claims    Claims
}

// A Session is one sign-in of a user, in every client that shares it.
type Session struct {
	ID              string
	AuthenticatedAt *time.Time // known for sign-ins through a browser alone
}

// Claims are the whole payload of a verified token, a JSON object, exactly as it was signed.
type Claims json.RawMessage

// Decode stores the claims in v, as json.Unmarshal does. Its error unwraps to that of
// json.Unmarshal, whose text names Go types and repeats values, and isn't for clients.
func (c Claims) Decode(v any) error {
	if err := json.Unmarshal(c, v); err != nil {
		return &decodeError{err}
	}
	return nil
}

type decodeError struct{ err error }

func (*decodeError) Error() string            { return "claims have another shape than expected" }
func (e *decodeError) Unwrap() error          { return e.err }
func (e *decodeError) OperatorDetail() string { return e.err.Error() }
func (e *decodeError) LogValue() slog.Value   { return logValue(e) }

// MarshalGQL writes the JSON object.
func (c Claims) MarshalGQL(w io.Writer) { w.Write(c) }

// UnmarshalGQL always fails: claims come out of a verified token and from nowhere else.
func (c *Claims) UnmarshalGQL(any) error { return errors.New("claims can't be given, only read") }

// An OpenIDToken is what a sign-in or a refresh gives: OpenID Connect Core 1.0, section 3.1.3.3.
type OpenIDToken struct {
	TokenType        string
	AccessToken      Secret
	ExpiresIn        int // seconds
	RefreshToken     *Secret
	RefreshExpiresIn *int // seconds; nil without a refresh token, or with one that has no end
	IDToken          *Secret
	Scope            []string // never nil
}
