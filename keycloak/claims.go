package keycloak

import (
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/strictjson"
)

// claims holds the claims that this package uses, named as in Keycloak 26.7.4. An absent claim is
// nil.
type claims struct {
	iss, typ, cnf, aud, azp, sub, nbf, iat, exp strictjson.Value // checked by the verifier

	username, email, emailVerified, name, givenName, familyName strictjson.Value
	realmAccess, resourceAccess, groups, organization           strictjson.Value
	scope, sid, authTime, acr, act                              strictjson.Value
}

func (c *claims) setMember(name []byte, value strictjson.Value) {
	switch string(name) {
	case "iss":
		c.iss = value
	case "typ":
		c.typ = value
	case "cnf":
		c.cnf = value
	case "aud":
		c.aud = value
	case "azp":
		c.azp = value
	case "sub":
		c.sub = value
	case "nbf":
		c.nbf = value
	case "iat":
		c.iat = value
	case "exp":
		c.exp = value
	case "preferred_username":
		c.username = value
	case "email":
		c.email = value
	case "email_verified":
		c.emailVerified = value
	case "name":
		c.name = value
	case "given_name":
		c.givenName = value
	case "family_name":
		c.familyName = value
	case "realm_access":
		c.realmAccess = value
	case "resource_access":
		c.resourceAccess = value
	case "groups":
		c.groups = value
	case "organization":
		c.organization = value
	case "scope":
		c.scope = value
	case "sid":
		c.sid = value
	case "auth_time":
		c.authTime = value
	case "acr":
		c.acr = value
	case "act":
		c.act = value
	}
}

// newUser returns the user of a verified access token. A claim of an unexpected type counts as
// absent. Duplicate member names need no check: parseToken rejects them at any depth.
func newUser(c *claims, payload []byte, expiresAt time.Time) *identity.User {
	user := &identity.User{
		Username:      optionalString(c.username),
		Email:         optionalString(c.email),
		Name:          optionalString(c.name),
		GivenName:     optionalString(c.givenName),
		FamilyName:    optionalString(c.familyName),
		RealmRoles:    roleNames(c.realmAccess),
		ClientRoles:   clientRoles(c.resourceAccess),
		Groups:        stringList(c.groups),
		Organizations: organizations(c.organization),
		Token: &identity.TokenInfo{
			Scope:     []string{},
			ExpiresAt: expiresAt,
			ACR:       optionalString(c.acr),
			// act counts whatever its type: if it can't be read, somebody else may still be
			// acting as the user.
			Impersonated: c.act != nil && !c.act.Equal("null"),
			Claims:       identity.Claims(payload),
		},
	}
	user.ID, _ = c.sub.String()
	if isVerified := c.emailVerified.Equal("true"); isVerified || c.emailVerified.Equal("false") {
		user.EmailVerified = &isVerified
	}
	if scope, ok := c.scope.String(); ok {
		user.Token.Scope = strings.Fields(scope)
	}
	if sid, ok := c.sid.String(); ok && sid != "" { // service accounts have no session
		user.Token.Session = &identity.Session{ID: sid}
		// Only sign-ins through a browser have an auth_time.
		if c.authTime != nil {
			if authTime, err := parseNumericDate("auth_time", c.authTime); err == nil {
				user.Token.Session.AuthenticatedAt = &authTime
			}
		}
	}
	return user
}

func optionalString(v strictjson.Value) *string {
	text, ok := v.String()
	if !ok {
		return nil
	}
	return &text
}

// clientRoles reads {"client": {"roles": ["a", "b"]}}.
func clientRoles(resourceAccess strictjson.Value) []identity.ClientRoles {
	clients := []identity.ClientRoles{}
	addClient := func(name []byte, value strictjson.Value) {
		clients = append(clients,
			identity.ClientRoles{Client: string(name), Roles: roleNames(value)})
	}
	err := strictjson.VisitMembersLenient(resourceAccess, addClient)
	if err != nil { // not an object
		return []identity.ClientRoles{}
	}
	slices.SortFunc(clients, func(a, b identity.ClientRoles) int {
		return strings.Compare(a.Client, b.Client)
	})
	return clients
}

// roleNames reads {"roles": ["a", "b"]}.
func roleNames(realmAccess strictjson.Value) (names []string) {
	names = []string{}
	err := strictjson.VisitMembersLenient(realmAccess, func(name []byte, value strictjson.Value) {
		if string(name) == "roles" {
			names = stringList(value)
		}
	})
	if err != nil { // not an object
		return []string{}
	}
	return names
}

// organizations reads {"alias": {"id": "...", "groups": ["/a", "/b"]}} or an array of aliases. A
// single string counts as no organization, for the same reason as in stringList.
func organizations(organization strictjson.Value) []identity.Organization {
	list := []identity.Organization{}
	if aliases, ok := organization.Strings(); ok {
		for _, alias := range aliases {
			list = append(list, identity.Organization{Alias: alias, Groups: []string{}})
		}
	} else {
		list = organizationsByAlias(organization)
	}
	slices.SortFunc(list, func(a, b identity.Organization) int {
		return strings.Compare(a.Alias, b.Alias)
	})
	return slices.CompactFunc(list, func(a, b identity.Organization) bool {
		return a.Alias == b.Alias
	})
}

// organizationsByAlias reads {"alias": {"id": "...", "groups": ["/a", "/b"]}}. It ignores a member
// that isn't an object. An organization's members other than id and groups are its attributes,
// which are ignored, too.
func organizationsByAlias(organization strictjson.Value) []identity.Organization {
	list := []identity.Organization{}
	addOrganization := func(alias []byte, value strictjson.Value) {
		o := identity.Organization{Alias: string(alias), Groups: []string{}}
		err := strictjson.VisitMembersLenient(value, func(name []byte, value strictjson.Value) {
			switch string(name) {
			case "id":
				o.ID = optionalString(value)
			case "groups":
				o.Groups = stringList(value)
			}
		})
		if err == nil {
			list = append(list, o)
		}
	}
	if strictjson.VisitMembersLenient(organization, addOrganization) != nil { // not an object
		return []identity.Organization{}
	}
	return list
}

// stringList reads an array of strings. It never returns nil. A single string doesn't count as an
// array of one: a misconfigured mapper must not grant a role.
func stringList(v strictjson.Value) []string {
	if list, ok := v.Strings(); ok {
		return list
	}
	return []string{}
}
