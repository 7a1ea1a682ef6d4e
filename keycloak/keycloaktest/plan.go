package keycloaktest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A Plan is a small realm, for tests that need no file of their own. File writes it as the realm
// file that a real Keycloak would import as well.
type Plan struct {
	Name    string
	Clients []PlannedClient
	Users   []PlannedUser
	// Settings are members of the realm file, by Keycloak's names, such as revokeRefreshToken or
	// accessTokenLifespan. They win over what the plan writes.
	Settings map[string]any
}

// A PlannedClient may use every grant that its kind allows. Its tokens have its own id in their
// audience, and their users' groups. A client that was made in Keycloak's console has neither until
// somebody adds the mappers: to test against one, set "protocolMappers" in Settings.
type PlannedClient struct {
	ID     string
	Secret string // empty for a public client
	// Roles are the client's own.
	Roles []string
	// RedirectURIs are for the authorization code flow.
	RedirectURIs []string
	// Settings are members of the client in the realm file; they win.
	Settings map[string]any
}

// A PlannedUser can sign in at once.
type PlannedUser struct {
	Name     string
	Password string
	// Roles are realm roles, or a client's: "reader", "shop/reader". They are made where the plan
	// names them nowhere else.
	Roles []string
	// Groups are paths: "/staff", "/staff/night".
	Groups []string
	// Settings are members of the user in the realm file; they win.
	Settings map[string]any
}

type member = map[string]any

// File is the plan as a realm file.
func (p Plan) File() []byte {
	realmRoles, clientRoles, groups := []member{}, map[string][]member{}, []string{}
	// every realm's own can't be made again
	known := map[string]bool{"offline_access": true, "uma_authorization": true}
	for client, names := range realmfile.BuiltinClientRoles {
		for _, name := range names {
			known[client+"/"+name] = true
		}
	}
	role := func(name string) {
		if known[name] {
			return
		}
		known[name] = true
		if client, ofClient, ok := strings.Cut(name, "/"); ok {
			clientRoles[client] = append(clientRoles[client], member{"name": ofClient})
		} else {
			realmRoles = append(realmRoles, member{"name": name})
		}
	}
	clients := []member{}
	for _, c := range p.Clients {
		for _, name := range c.Roles {
			role(c.ID + "/" + name)
		}
		clients = append(clients, over(member{
			"clientId": c.ID, "enabled": true, "publicClient": c.Secret == "", "secret": c.Secret,
			"redirectUris":              append([]string{}, c.RedirectURIs...),
			"directAccessGrantsEnabled": true, "serviceAccountsEnabled": c.Secret != "",
			"attributes": member{"oauth2.device.authorization.grant.enabled": "true"},
			"protocolMappers": []member{
				{"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
					"config": member{"included.client.audience": c.ID,
						"access.token.claim": "true"}},
				{"name": "groups", "protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper",
					"config": member{"claim.name": "groups", "full.path": "true",
						"access.token.claim": "true", "id.token.claim": "true"}},
			},
		}, c.Settings))
	}
	users := []member{}
	for _, u := range p.Users {
		ofRealm, ofClients := []string{"default-roles-" + strings.ToLower(p.Name)},
			map[string][]string{}
		for _, name := range u.Roles {
			role(name)
			if client, ofClient, ok := strings.Cut(name, "/"); ok {
				ofClients[client] = append(ofClients[client], ofClient)
			} else {
				ofRealm = append(ofRealm, name)
			}
		}
		paths := []string{}
		for _, path := range u.Groups {
			paths = append(paths, "/"+strings.Trim(path, "/"))
		}
		groups = append(groups, paths...)
		credentials := []member{}
		if u.Password != "" {
			credentials = append(credentials, member{"type": "password", "value": u.Password})
		}
		var name any // absent: an empty one is no mistake in a realm file
		if u.Name != "" {
			name = u.Name
		}
		users = append(users, over(member{
			"username": name, "enabled": true, "email": u.Name + "@example.com",
			"emailVerified": true, "firstName": u.Name, "lastName": "Test",
			"credentials": credentials,
			"realmRoles":  ofRealm, "clientRoles": ofClients, "groups": paths,
		}, u.Settings))
	}
	file, err := json.MarshalIndent(over(member{
		"realm": p.Name, "enabled": true, "clients": clients, "users": users,
		"groups": groupTree(groups),
		"roles":  member{"realm": realmRoles, "client": clientRoles},
	}, p.Settings), "", "  ")
	if err != nil {
		panic("keycloaktest: a plan's settings can't be written as JSON: " + err.Error())
	}
	return file
}

// groupTree are the groups of these paths, one inside the other.
func groupTree(paths []string) []member {
	groups, below := []member{}, map[string][]string{}
	var names []string
	for _, path := range paths {
		name, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		if rest != "" {
			below[name] = append(below[name], rest)
		}
	}
	for _, name := range names {
		groups = append(groups, member{"name": name, "subGroups": groupTree(below[name])})
	}
	return groups
}

// over lays settings over what a plan wrote.
func over(planned, settings member) member {
	maps.Copy(planned, settings)
	return planned
}
