package keycloaktest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A RealmSpec describes a small realm, for tests that don't need their own realm file. File returns
// the realm file, which a real Keycloak can import too.
type RealmSpec struct {
	Name    string
	Clients []ClientSpec
	Users   []UserSpec
	// Settings are fields of the realm file, such as revokeRefreshToken or accessTokenLifespan.
	// They override the fields that File generates.
	Settings map[string]any
}

// A ClientSpec describes a public or confidential client. All grants that its kind of client can
// use are enabled. Its access tokens contain the user's groups, and its client ID in the audience.
// A client created in Keycloak's admin console lacks the mappers for both; to test such a client,
// set "protocolMappers" in Settings.
type ClientSpec struct {
	ID     string
	Secret string // empty for a public client
	// Roles are client roles.
	Roles []string
	// RedirectURIs are for the authorization code flow.
	RedirectURIs []string
	// Settings are fields of the client in the realm file; they override the generated ones.
	Settings map[string]any
}

// A UserSpec describes a user, who can sign in without any required action.
type UserSpec struct {
	Name     string
	Password string
	// Roles are realm roles ("reader") or client roles ("shop/reader"). Roles that the spec doesn't
	// list elsewhere are added to the realm.
	Roles []string
	// Groups are paths: "/staff", "/staff/night".
	Groups []string
	// Settings are fields of the user in the realm file; they override the generated ones.
	Settings map[string]any
}

type object = map[string]any

// File returns the realm file.
func (spec RealmSpec) File() []byte {
	realmRoles, clientRoles, groups := []object{}, map[string][]object{}, []string{}
	// Every realm has these roles, and importing them again fails.
	knownRoles := map[string]bool{"offline_access": true, "uma_authorization": true}
	for client, names := range realmfile.BuiltinClientRoles {
		for _, name := range names {
			knownRoles[client+"/"+name] = true
		}
	}
	addRole := func(name string) {
		if knownRoles[name] {
			return
		}
		knownRoles[name] = true
		if client, clientRole, ok := strings.Cut(name, "/"); ok {
			clientRoles[client] = append(clientRoles[client], object{"name": clientRole})
		} else {
			realmRoles = append(realmRoles, object{"name": name})
		}
	}
	clients := []object{}
	for _, c := range spec.Clients {
		for _, name := range c.Roles {
			addRole(c.ID + "/" + name)
		}
		clients = append(clients, withOverrides(object{
			"clientId": c.ID, "enabled": true, "publicClient": c.Secret == "", "secret": c.Secret,
			"redirectUris":              append([]string{}, c.RedirectURIs...),
			"directAccessGrantsEnabled": true, "serviceAccountsEnabled": c.Secret != "",
			"attributes": object{"oauth2.device.authorization.grant.enabled": "true"},
			"protocolMappers": []object{
				{"name": "audience", "protocol": "openid-connect",
					"protocolMapper": "oidc-audience-mapper",
					"config": object{"included.client.audience": c.ID,
						"access.token.claim": "true"}},
				{"name": "groups", "protocol": "openid-connect",
					"protocolMapper": "oidc-group-membership-mapper",
					"config": object{"claim.name": "groups", "full.path": "true",
						"access.token.claim": "true", "id.token.claim": "true"}},
			},
		}, c.Settings))
	}
	users := []object{}
	for _, u := range spec.Users {
		userRealmRoles := []string{"default-roles-" + strings.ToLower(spec.Name)}
		userClientRoles := map[string][]string{}
		for _, name := range u.Roles {
			addRole(name)
			if client, clientRole, ok := strings.Cut(name, "/"); ok {
				userClientRoles[client] = append(userClientRoles[client], clientRole)
			} else {
				userRealmRoles = append(userRealmRoles, name)
			}
		}
		paths := []string{}
		for _, path := range u.Groups {
			paths = append(paths, "/"+strings.Trim(path, "/"))
		}
		groups = append(groups, paths...)
		credentials := []object{}
		if u.Password != "" {
			credentials = append(credentials, object{"type": "password", "value": u.Password})
		}
		// Keycloak's import rejects a null username, but accepts an empty one.
		var name any
		if u.Name != "" {
			name = u.Name
		}
		users = append(users, withOverrides(object{
			"username": name, "enabled": true, "email": u.Name + "@example.com",
			"emailVerified": true, "firstName": u.Name, "lastName": "Test",
			"credentials": credentials,
			"realmRoles":  userRealmRoles, "clientRoles": userClientRoles, "groups": paths,
		}, u.Settings))
	}
	file, err := json.MarshalIndent(withOverrides(object{
		"realm": spec.Name, "enabled": true, "clients": clients, "users": users,
		"groups": groupTree(groups),
		"roles":  object{"realm": realmRoles, "client": clientRoles},
	}, spec.Settings), "", "  ")
	if err != nil {
		panic("keycloaktest: a RealmSpec's settings can't be written as JSON: " + err.Error())
	}
	return file
}

// groupTree returns the nested groups with these paths.
func groupTree(paths []string) []object {
	groups, subpaths := []object{}, map[string][]string{}
	var names []string
	for _, path := range paths {
		name, subpath, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		if subpath != "" {
			subpaths[name] = append(subpaths[name], subpath)
		}
	}
	for _, name := range names {
		groups = append(groups, object{"name": name, "subGroups": groupTree(subpaths[name])})
	}
	return groups
}

// withOverrides copies settings into fields and returns fields.
func withOverrides(fields, settings object) object {
	maps.Copy(fields, settings)
	return fields
}
