package realmfile

import (
	"slices"
	"strconv"
	"strings"
)

// As in Keycloak's import, a file from an older release is migrated. Its field keycloakVersion has
// the release.

// A release is a major and a minor version of Keycloak.
type release [2]int

// scopeReleases are built-in client scopes with the releases that introduced them. Migration adds a
// scope to a file from an earlier release if the file has client scopes.
var scopeReleases = []struct {
	since           release
	name            string
	assignToClients bool // add the scope to clients that list their scopes
	isRealmDefault  bool // make the scope a default scope of the realm
}{
	{release{4, 6}, "roles", true, true}, {release{4, 6}, "web-origins", true, true},
	{release{18, 0}, "acr", true, true}, {release{25, 0}, "basic", true, true}, {release{26, 1},
		"service_account", false, false},
}

// migrate applies Keycloak's migrations to a file.
func (realm *Realm) migrate() {
	realm.renameOldFields()
	realm.convertTemplates()
	if realm.KeycloakVersion == "" {
		return
	}
	version := parseRelease(realm.KeycloakVersion)
	if realm.ClientScopes != nil {
		realm.addNewScopes(version)
	}
	if version.before(release{9, 0}) {
		realm.NeedsAccountConsole = true
		realm.setAttribute("pkce.code.challenge.method", "S256", "security-admin-console",
			"account-console")
	}
	if version.before(release{24, 0}) && realm.Attributes["userProfileEnabled"] != "true" {
		realm.allowsAnyAttribute = true
	}
	if version.before(release{26, 0}) {
		consoles := []string{"security-admin-console", "admin-cli"}
		realm.setAttribute("client.use.lightweight.access.token.enabled", "true", consoles...)
		for i := range realm.Clients {
			if slices.Contains(consoles, realm.Clients[i].ClientID) {
				realm.Clients[i].FullScopeAllowed = new(true)
			}
		}
	}
}

// renameOldFields moves values from fields of old releases, which called clients "applications".
func (realm *Realm) renameOldFields() {
	if realm.ClientScopeMappings == nil {
		realm.ClientScopeMappings = realm.ApplicationScopeMappings
	}
	if realm.Roles.Client == nil {
		realm.Roles.Client = realm.Roles.Application
	}
	for i := range realm.Users {
		if u := &realm.Users[i]; u.ClientRoles == nil {
			u.ClientRoles = u.ApplicationRoles
		}
	}
	rename := func(roles []Role) {
		for i := range roles {
			if c := &roles[i].Composites; c.Client == nil {
				c.Client = c.Application
			}
		}
	}
	rename(realm.Roles.Realm)
	for _, roles := range realm.Roles.Client {
		rename(roles)
	}
}

// convertTemplates converts client templates to client scopes, as Keycloak's import does. The
// converted scopes replace the file's client scopes. If the file has no client scopes, the
// converted scopes are added to Keycloak's built-in scopes.
func (realm *Realm) convertTemplates() {
	scopes := []Scope{}
	for _, t := range realm.ClientTemplates {
		scopes = append(scopes, Scope(t))
	}
	switch {
	case realm.ClientTemplates == nil:
	case realm.ClientScopes == nil:
		realm.templates = scopes
	default:
		realm.ClientScopes = scopes
	}
	for i := range realm.Clients {
		realm.Clients[i].ClientTemplate = scopeName(realm.Clients[i].ClientTemplate)
	}
	rename := func(mappings []ScopeMapping) {
		for i := range mappings {
			if m := &mappings[i]; m.ClientScope == "" {
				m.ClientScope = scopeName(m.Template)
			}
		}
	}
	rename(realm.ScopeMappings)
	for _, mappings := range realm.ClientScopeMappings {
		rename(mappings)
	}
}

// scopeName returns the name that a client scope or a template has after the import.
func scopeName(name string) string { return strings.ReplaceAll(name, " ", "_") }

// Scopes returns the client scopes of the file. If there are none, it returns Keycloak's built-in
// scopes and the file's templates.
func (realm *Realm) Scopes() []Scope {
	if realm.ClientScopes == nil {
		return append(BuiltinScopes(), realm.templates...)
	}
	return realm.ClientScopes
}

// addNewScopes adds the client scopes that are newer than version, except for those already in the
// file.
func (realm *Realm) addNewScopes(version release) {
	for _, scope := range scopeReleases {
		sameName := func(s Scope) bool { return s.Name == scope.name }
		if !version.before(scope.since) || slices.ContainsFunc(realm.ClientScopes, sameName) {
			continue
		}
		builtinScopes := BuiltinScopes()
		realm.ClientScopes = append(realm.ClientScopes,
			builtinScopes[slices.IndexFunc(builtinScopes, sameName)])
		if scope.name == "service_account" {
			realm.LateServiceAccountScope = true
		}
		if scope.isRealmDefault {
			realm.DefaultDefaultClientScopes = append(realm.DefaultDefaultClientScopes, scope.name)
		}
		if !scope.assignToClients {
			continue
		}
		for i := range realm.Clients {
			if c := &realm.Clients[i]; c.DefaultClientScopes != nil ||
				c.OptionalClientScopes != nil {
				c.DefaultClientScopes = append(c.DefaultClientScopes, scope.name)
			}
		}
	}
}

// setAttribute sets an attribute of the clients with these client IDs.
func (realm *Realm) setAttribute(name, value string, clientIDs ...string) {
	for i := range realm.Clients {
		c := &realm.Clients[i]
		if !slices.Contains(clientIDs, c.ClientID) {
			continue
		}
		if c.Attributes == nil {
			c.Attributes = map[string]string{}
		}
		c.Attributes[name] = value
	}
}

func (r release) before(other release) bool { return slices.Compare(r[:], other[:]) < 0 }

// parseRelease parses a version such as 26.7.4 or 26.0.0.redhat-1. For an invalid version, it
// returns the zero release, which is before all others.
func parseRelease(version string) (out release) {
	for i, part := range strings.SplitN(version, ".", 3)[:min(2, strings.Count(version, ".")+1)] {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return release{}
		}
		out[i] = n
	}
	return out
}
