package identity

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
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

// HasRealmRole reports whether the token lists role among the roles in the realm (realm_access).
// Names are compared exactly. Roles that a composite role includes are listed by Keycloak itself.
// It is false for a nil User, as are all of these methods.
func (u *User) HasRealmRole(role string) bool {
	return u != nil && slices.Contains(u.RealmRoles, role)
}

// HasClientRole reports whether the token lists role among the roles in the client of that client
// id (resource_access). Names are compared exactly. A realm role of the same name doesn't count.
func (u *User) HasClientRole(client, role string) bool {
	return u != nil && slices.ContainsFunc(u.ClientRoles, func(c ClientRoles) bool {
		return c.Client == client && slices.Contains(c.Roles, role)
	})
}

// InGroup reports whether the token lists the group (groups), which needs a mapper of type Group
// Membership in the realm. The path is compared exactly, as the mapper writes it: "/staff/admins"
// with Full group path on, as by default, else "admins". Being in a subgroup doesn't count.
func (u *User) InGroup(path string) bool { return u != nil && slices.Contains(u.Groups, path) }

// HasScope reports whether scope was granted to the token that the request came with (scope).
// Names are compared exactly. It is false for a user who isn't the caller.
func (u *User) HasScope(scope string) bool {
	return u != nil && u.Token != nil && slices.Contains(u.Token.Scope, scope)
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
	AuthenticatedAt *time.Time // known only for sign-ins through a browser
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
