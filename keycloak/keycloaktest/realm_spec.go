package keycloaktest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A RealmSpec describes a small realm, for tests that don't need their own realm file. File returns
// the realm file, which a real Keycloak can import too.
type RealmSpec struct {
	Name    string
	Clients []ClientSpec
	Users   []UserSpec
	// Organizations are the realm's organizations. Tokens have them if the client requests the
	// scope organization:* or organization:<alias>, or, for a user who is in only one organization,
	// the scope organization.
	Organizations []OrganizationSpec
	// Levels are the levels of authentication (acr) for step-up authentication in the browser, from
	// the lowest, which has the number 1, to the highest. Without Levels, the realm has Keycloak's
	// default browser flow.
	Levels []LevelSpec
	// Settings are fields of the realm file, such as revokeRefreshToken or accessTokenLifespan.
	// They override the fields that File generates.
	Settings map[string]any
}

// An OrganizationSpec describes an organization. By default, the claim organization is a list of
// aliases. It is an object by alias if any organization has Groups.
type OrganizationSpec struct {
	Alias string
	// Members are usernames.
	Members []string
	// Groups are the usernames of the members of each group, by the path of the group
	// ("/staff/ops"). These users are members of the organization, too.
	Groups map[string][]string
	// Settings are fields of the organization in the realm file; they override the generated
	// fields.
	Settings map[string]any
}

// A LevelSpec describes a level of authentication. At the first level, users sign in with their
// username and password. At any other level, they enter the password again or a one-time code.
type LevelSpec struct {
	// Name is the value of acr in tokens, and of acr_values in requests.
	Name string
	// MaxAge is for how long single sign-on keeps the level. Zero means that the user must reach
	// the level again at each request for it.
	MaxAge time.Duration
	// OTP is true if the level needs a one-time code.
	OTP bool
}

// A ClientSpec describes a public or confidential client. All grants that its kind of client can
// use are enabled. Its access tokens contain the user's groups, and its client ID in the audience.
// For an impersonated user, they contain the administrator's ID in act.sub. A client created in
// Keycloak's admin console lacks the mappers for these claims; to test such a client, set
// "protocolMappers" in Settings.
type ClientSpec struct {
	ID     string
	Secret string // empty for a public client
	// Roles are client roles.
	Roles []string
	// RedirectURIs are for the authorization code flow.
	RedirectURIs []string
	// Settings are fields of the client in the realm file; they override the generated fields.
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
	// Settings are fields of the user in the realm file; they override the generated fields.
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
		mappers := []object{
			{"name": "audience", "protocol": "openid-connect",
				"protocolMapper": "oidc-audience-mapper",
				"config": object{"included.client.audience": c.ID,
					"access.token.claim": "true"}},
			{"name": "groups", "protocol": "openid-connect",
				"protocolMapper": "oidc-group-membership-mapper",
				"config": object{"claim.name": "groups", "full.path": "true",
					"access.token.claim": "true", "id.token.claim": "true"}},
		}
		mappers = append(mappers, object{"name": "impersonator", "protocol": "openid-connect",
			"protocolMapper": "oidc-usersessionmodel-note-mapper",
			"config": object{"user.session.note": impersonatorID, "claim.name": "act.sub",
				"jsonType.label": "String", "access.token.claim": "true",
				"id.token.claim": "true"}})
		if spec.hasOrganizationGroups() {
			mappers = append(mappers, object{"name": "groups of organizations",
				"protocol":       "openid-connect",
				"protocolMapper": "oidc-organization-group-membership-mapper",
				"config":         object{"access.token.claim": "true", "id.token.claim": "true"}})
		}
		clients = append(clients, withOverrides(object{
			"clientId": c.ID, "enabled": true, "publicClient": c.Secret == "", "secret": c.Secret,
			"redirectUris":              append([]string{}, c.RedirectURIs...),
			"directAccessGrantsEnabled": true, "serviceAccountsEnabled": c.Secret != "",
			"attributes":      object{"oauth2.device.authorization.grant.enabled": "true"},
			"protocolMappers": mappers,
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
	fields := object{
		"realm": spec.Name, "enabled": true, "clients": clients, "users": users,
		"groups": groupTree(groups),
		"roles":  object{"realm": realmRoles, "client": clientRoles},
	}
	if len(spec.Organizations) > 0 {
		fields["organizationsEnabled"] = true
		fields["organizations"] = spec.organizationFields()
	}
	if len(spec.Levels) > 0 {
		maps.Copy(fields, levelFields(spec.Levels))
	}
	file, err := json.MarshalIndent(withOverrides(fields, spec.Settings), "", "  ")
	if err != nil {
		panic("keycloaktest: a RealmSpec's settings can't be written as JSON: " + err.Error())
	}
	return file
}

// hasOrganizationGroups reports whether any organization has groups.
func (spec RealmSpec) hasOrganizationGroups() bool {
	return slices.ContainsFunc(spec.Organizations, func(o OrganizationSpec) bool {
		return len(o.Groups) > 0
	})
}

// organizationFields returns the organizations as the realm file has them.
func (spec RealmSpec) organizationFields() []object {
	organizations := []object{}
	for _, o := range spec.Organizations {
		groupIDs := map[string][]string{} // by username
		usernames := slices.Clone(o.Members)
		paths := slices.Sorted(maps.Keys(o.Groups))
		groupID := func(path string) string {
			path = "/" + strings.Trim(path, "/")
			// Group IDs must be unique among all realms of a server.
			return uuid.NewSHA1(uuid.NameSpaceURL,
				[]byte(spec.Name+"/"+o.Alias+path)).String()
		}
		for _, path := range paths {
			for _, username := range o.Groups[path] {
				groupIDs[username] = append(groupIDs[username], groupID(path))
				if !slices.Contains(usernames, username) {
					usernames = append(usernames, username)
				}
			}
		}
		members := []object{}
		for _, username := range usernames {
			members = append(members, object{"username": username,
				"membershipType": "UNMANAGED", "groups": append([]string{}, groupIDs[username]...)})
		}
		organizations = append(organizations, withOverrides(object{
			"name": o.Alias, "alias": o.Alias, "enabled": true,
			"domains": []object{}, "members": members,
			"groups": withGroupIDs(groupTree(paths), "", groupID),
		}, o.Settings))
	}
	return organizations
}

// withGroupIDs adds IDs to the groups of a tree. groupID returns the ID for a path.
func withGroupIDs(groups []object, parentPath string, groupID func(path string) string) []object {
	for _, g := range groups {
		path := parentPath + "/" + g["name"].(string)
		g["id"] = groupID(path)
		withGroupIDs(g["subGroups"].([]object), path, groupID)
	}
	return groups
}

// levelFields returns the fields of a realm file with a browser flow that has these levels.
func levelFields(levels []LevelSpec) object {
	const flow, formsFlow = "step-up", "step-up forms"
	numbers, configs, subflows := map[string]int{}, []object{}, []object{}
	flows := []object{{"alias": flow, "providerId": "basic-flow", "topLevel": true,
		"authenticationExecutions": []object{
			{"authenticator": "auth-cookie", "requirement": "ALTERNATIVE", "priority": 10},
			{"flowAlias": formsFlow, "authenticatorFlow": true, "requirement": "ALTERNATIVE",
				"priority": 20},
		}}}
	for i, l := range levels {
		numbers[l.Name] = i + 1
		form, alias := realmfile.PasswordForm, fmt.Sprint("step-up level ", i+1)
		if i == 0 {
			form = realmfile.UsernamePasswordForm
		} else if l.OTP {
			form = realmfile.OTPForm
		}
		flows = append(flows, object{"alias": alias, "providerId": "basic-flow", "topLevel": false,
			"authenticationExecutions": []object{
				{"authenticator": realmfile.LevelCondition, "requirement": "REQUIRED",
					"authenticatorConfig": alias, "priority": 10},
				{"authenticator": form, "requirement": "REQUIRED", "priority": 20},
			}})
		configs = append(configs, object{"alias": alias, "config": object{
			"loa-condition-level": fmt.Sprint(i + 1),
			"loa-max-age":         fmt.Sprint(int64(l.MaxAge / time.Second)),
		}})
		subflows = append(subflows, object{"flowAlias": alias, "authenticatorFlow": true,
			"requirement": "CONDITIONAL", "priority": 10 * (i + 1)})
	}
	flows = append(flows, object{"alias": formsFlow, "providerId": "basic-flow", "topLevel": false,
		"authenticationExecutions": subflows})
	levelMap := must(json.Marshal(numbers))
	return object{"browserFlow": flow, "authenticationFlows": flows, "authenticatorConfig": configs,
		"attributes": object{"acr.loa.map": string(levelMap)}}
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
