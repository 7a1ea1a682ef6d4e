package identity

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"
)

// A User is a person or a service account, as described by an access token. The fields come from
// the verified token; a pointer is nil if the token lacks the claim. Treat a User as read-only: all
// resolvers of a request share it, and requests with the same token share what it points to.
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
	Token         *TokenInfo    // the token of this request; nil for every user except the caller
}

// HasRealmRole reports whether the token lists role among the realm roles (realm_access). Names are
// compared exactly. Keycloak expands composite roles when it issues the token. Like the
// methods below, it returns false for a nil User.
func (u *User) HasRealmRole(role string) bool {
	return u != nil && slices.Contains(u.RealmRoles, role)
}

// HasClientRole reports whether the token lists role among the roles of the client with this client
// ID (resource_access). Names are compared exactly. A realm role of the same name doesn't count.
func (u *User) HasClientRole(client, role string) bool {
	return u != nil && slices.ContainsFunc(u.ClientRoles, func(c ClientRoles) bool {
		return c.Client == client && slices.Contains(c.Roles, role)
	})
}

// InGroup reports whether the token lists the group (groups). The realm needs a mapper of type
// Group Membership for this claim. The path is compared exactly, as the mapper writes it:
// "/staff/admins" if Full group path is on, which is the default, otherwise "admins". Being in a
// subgroup doesn't count.
func (u *User) InGroup(path string) bool { return u != nil && slices.Contains(u.Groups, path) }

// HasScope reports whether the request's token has this scope (scope). Names are compared exactly.
// It returns false for a user who isn't the caller.
func (u *User) HasScope(scope string) bool {
	return u != nil && u.Token != nil && slices.Contains(u.Token.Scope, scope)
}

// ClientRoles are the roles that a user has in one client.
type ClientRoles struct {
	Client string // the client ID
	Roles  []string
}

// TokenInfo describes the access token of a request.
type TokenInfo struct {
	Scope     []string // never nil
	ExpiresAt time.Time
	ACR       *string  // authentication context class reference: the strength of the sign-in
	Session   *Session // nil for a service account
	Claims    Claims
}

// A Session is one sign-in of a user, shared by all clients that the user signed in to with it.
type Session struct {
	ID              string
	AuthenticatedAt *time.Time // known only for sign-ins through a browser
}

// Claims is the whole payload of a verified token: a JSON object, exactly as it was signed.
type Claims json.RawMessage

// Decode stores the claims in v, as json.Unmarshal does. Its error wraps json.Unmarshal's error,
// but doesn't repeat its text, which names Go types and values, so it isn't for clients.
func (c Claims) Decode(v any) error {
	if err := json.Unmarshal(c, v); err != nil {
		return &decodeError{err}
	}
	return nil
}

// A decodeError hides the text of a JSON error from clients.
type decodeError struct{ err error }

func (*decodeError) Error() string            { return "claims have another shape than expected" }
func (e *decodeError) Unwrap() error          { return e.err }
func (e *decodeError) OperatorDetail() string { return e.err.Error() }
func (e *decodeError) LogValue() slog.Value   { return logValue(e) }

// MarshalGQL writes the JSON object.
func (c Claims) MarshalGQL(w io.Writer) { w.Write(c) }

// UnmarshalGQL always returns an error: claims come only from verified tokens.
func (c *Claims) UnmarshalGQL(any) error { return errors.New("claims can't be given, only read") }

// An OpenIDToken is the token response of a sign-in or a refresh (OpenID Connect Core 1.0, section
// 3.1.3.3).
type OpenIDToken struct {
	TokenType        string
	AccessToken      Secret
	ExpiresIn        int // seconds
	RefreshToken     *Secret
	RefreshExpiresIn *int // seconds; nil without a refresh token, or if it doesn't expire
	IDToken          *Secret
	Scope            []string // never nil
}
