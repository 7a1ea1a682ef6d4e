package identity

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"
)

// A User is a person or a service account. Its fields come from a verified access token; if the
// token lacks a claim, the pointer is nil. Treat a User as read-only: all resolvers of a request
// share it, and requests with the same token share the data that it points to.
type User struct {
	ID            string // the subject: stable, unique within the issuer
	Username      *string
	Email         *string
	EmailVerified *bool
	Name          *string
	GivenName     *string
	FamilyName    *string
	RealmRoles    []string       // never nil
	ClientRoles   []ClientRoles  // ordered by client, never nil
	Groups        []string       // never nil
	Organizations []Organization // ordered by alias, each alias once; never nil
	Token         *TokenInfo     // the token of the request; nil for users other than the caller
}

// IsEntity does nothing. With this method, User may be an entity of Apollo Federation in a schema
// that gqlgen generates.
func (User) IsEntity() {}

// HasRealmRole reports whether the token has this realm role (in the claim realm_access). Names are
// compared exactly. A role that is part of a composite role counts, because Keycloak expands
// composite roles when it issues the token. HasRealmRole and the other methods return false for a
// nil User.
func (u *User) HasRealmRole(role string) bool {
	return u != nil && slices.Contains(u.RealmRoles, role)
}

// HasClientRole reports whether the token has this role of the client with this ID (in the claim
// resource_access). Names are compared exactly. A realm role of the same name doesn't count.
func (u *User) HasClientRole(client, role string) bool {
	return u != nil && slices.ContainsFunc(u.ClientRoles, func(c ClientRoles) bool {
		return c.Client == client && slices.Contains(c.Roles, role)
	})
}

// InGroup reports whether the token has this group (in the claim groups). For this claim, the realm
// needs a mapper of type Group Membership. The path is compared exactly. If the mapper's Full group
// path is on, which is the default, a path has the form "/staff/admins"; otherwise it has the form
// "admins". A user who is only in a subgroup isn't in the group.
func (u *User) InGroup(path string) bool { return u != nil && slices.Contains(u.Groups, path) }

// InOrganization reports whether the token has the organization with this alias (in the claim
// organization). Aliases are compared exactly; the ID of an organization isn't an alias. The token
// has only the organizations that the scopes of the sign-in requested. With the scope
// organization:*, it has all organizations that the user is a member of.
func (u *User) InOrganization(alias string) bool {
	return u != nil && slices.ContainsFunc(u.Organizations, func(o Organization) bool {
		return o.Alias == alias
	})
}

// HasScope reports whether the token has this scope (in the claim scope). Names are compared
// exactly. It returns false for a user who isn't the caller.
func (u *User) HasScope(scope string) bool {
	return u != nil && u.Token != nil && slices.Contains(u.Token.Scope, scope)
}

// ClientRoles are the roles that a user has in one client.
type ClientRoles struct {
	Client string // the client ID
	Roles  []string
}

// An Organization is an organization that a user is a member of.
type Organization struct {
	Alias string // unique within the realm
	// ID is nil unless the realm's mapper of type Organization Membership adds it to tokens.
	ID *string
	// Groups are the paths of the user's groups within the organization, such as "/staff/admins".
	// It is never nil. The realm needs a mapper of type Organization Group Membership. Without that
	// mapper, Groups is empty, or contains the organization's attribute named groups: see
	// docs/operating.md.
	Groups []string
}

// TokenInfo describes the access token of a request.
type TokenInfo struct {
	Scope     []string // never nil
	ExpiresAt time.Time
	ACR       *string  // authentication context class reference: the strength of the sign-in
	Session   *Session // nil for a service account
	// Impersonated reports whether somebody else acts as the user: the token has the claim act
	// (RFC 8693, section 4.1). Keycloak 26.7 adds this claim only if the client has a mapper for
	// it: see docs/operating.md.
	Impersonated bool
	Claims       Claims
}

// A Session starts when a user signs in. All clients that the user then uses without signing in
// again share it.
type Session struct {
	ID              string
	AuthenticatedAt *time.Time // known only for sign-ins through a browser
}

// Claims is the whole payload of a verified token: a JSON object, exactly as it was signed.
type Claims json.RawMessage

// Decode stores the claims in v, as json.Unmarshal does. Its error wraps the error of
// json.Unmarshal. Clients may read the text of Decode's error, but not the text of the wrapped
// error, which names Go types and values.
func (c Claims) Decode(v any) error {
	if err := json.Unmarshal(c, v); err != nil {
		return &decodeError{err}
	}
	return nil
}

// A decodeError hides the text of a JSON error from clients.
type decodeError struct{ err error }

func (*decodeError) Error() string            { return "claims don't have the expected types" }
func (e *decodeError) Unwrap() error          { return e.err }
func (e *decodeError) OperatorDetail() string { return e.err.Error() }
func (e *decodeError) LogValue() slog.Value   { return logValue(e) }

// MarshalGQL writes the JSON object.
func (c Claims) MarshalGQL(w io.Writer) { w.Write(c) }

// UnmarshalGQL returns an error, because claims come only from verified tokens.
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
