package keycloak

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// newUser reads the claims of a verified access token (Keycloak 26.7.4). A claim that is absent, or of
// another type than Keycloak gives it, is one that the user doesn't have.
func newUser(claims map[string]any, payload []byte, expires time.Time) *identity.User {
	user := &identity.User{
		Username:    text(claims, "preferred_username"),
		Email:       text(claims, "email"),
		Name:        text(claims, "name"),
		GivenName:   text(claims, "given_name"),
		FamilyName:  text(claims, "family_name"),
		RealmRoles:  roles(claims["realm_access"]),
		ClientRoles: []identity.ClientRoles{},
		Groups:      list(claims["groups"]),
		Token: &identity.TokenInfo{
			Scope:     []string{},
			ExpiresAt: expires,
			ACR:       text(claims, "acr"),
			Claims:    identity.Claims(payload),
		},
	}
	user.ID, _ = claims["sub"].(string)
	if verified, ok := claims["email_verified"].(bool); ok {
		user.EmailVerified = &verified
	}
	clients, _ := claims["resource_access"].(map[string]any)
	for _, client := range slices.Sorted(maps.Keys(clients)) {
		user.ClientRoles = append(user.ClientRoles, identity.ClientRoles{Client: client, Roles: roles(clients[client])})
	}
	if scope, ok := claims["scope"].(string); ok {
		user.Token.Scope = strings.Fields(scope)
	}
	if sid, ok := claims["sid"].(string); ok && sid != "" { // service accounts have none
		user.Token.Session = &identity.Session{ID: sid}
		// Only a sign-in through a browser says when it was.
		if at, there, err := numericDate(claims, "auth_time"); there && err == nil {
			user.Token.Session.AuthenticatedAt = &at
		}
	}
	return user
}

func text(claims map[string]any, name string) *string {
	value, ok := claims[name].(string)
	if !ok {
		return nil
	}
	return &value
}

// roles reads {"roles": ["a", "b"]}.
func roles(access any) []string {
	object, _ := access.(map[string]any)
	return list(object["roles"])
}

// list reads a list of strings; never nil. One string is not a list of one: a mapper's slip gives no role.
func list(value any) []string {
	items, _ := value.([]any)
	texts, _ := stringOrList(items)
	return append([]string{}, texts...)
}
