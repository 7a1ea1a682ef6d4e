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
	{release{18, 0}, "acr", true, true}, {release{25, 0}, "basic", true, true}, {release{26, 1}, "service_account", false, false},
}

// migrate applies Keycloak's migrations to a file.
func (file *Realm) migrate() {
	file.renameOldFields()
	file.convertTemplates()
	if file.KeycloakVersion == "" {
		return
	}
	version := parseRelease(file.KeycloakVersion)
	if file.ClientScopes != nil {
		file.addNewScopes(version)
	}
	if version.before(release{9, 0}) {
		file.NeedsAccountConsole = true
		file.setAttribute("pkce.code.challenge.method", "S256", "security-admin-console",
			"account-console")
	}
	if version.before(release{24, 0}) && file.Attributes["userProfileEnabled"] != "true" {
		file.allowsAnyAttribute = true
	}
	if version.before(release{26, 0}) {
		consoles := []string{"security-admin-console", "admin-cli"}
		file.setAttribute("client.use.lightweight.access.token.enabled", "true", consoles...)
		for i := range file.Clients {
			if slices.Contains(consoles, file.Clients[i].ClientID) {
				file.Clients[i].FullScopeAllowed = new(true)
			}
		}
	}
}

// renameOldFields moves values from fields of old releases, which called clients "applications".
func (file *Realm) renameOldFields() {
	if file.ClientScopeMappings == nil {
		file.ClientScopeMappings = file.ApplicationScopeMappings
	}
	if file.Roles.Client == nil {
		file.Roles.Client = file.Roles.Application
	}
	for i := range file.Users {
		if u := &file.Users[i]; u.ClientRoles == nil {
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
	rename(file.Roles.Realm)
	for _, roles := range file.Roles.Client {
		rename(roles)
	}
}

// convertTemplates converts client templates to client scopes, as Keycloak's import does. The
// converted scopes replace the file's client scopes. If the file has no client scopes, the
// converted scopes are added to Keycloak's built-in scopes.
func (file *Realm) convertTemplates() {
	scopes := []Scope{}
	for _, t := range file.ClientTemplates {
		scopes = append(scopes, Scope(t))
	}
	switch {
	case file.ClientTemplates == nil:
	case file.ClientScopes == nil:
		file.templates = scopes
	default:
		file.ClientScopes = scopes
	}
	for i := range file.Clients {
		file.Clients[i].ClientTemplate = scopeName(file.Clients[i].ClientTemplate)
	}
	rename := func(mappings []ScopeMapping) {
		for i := range mappings {
			if m := &mappings[i]; m.ClientScope == "" {
				m.ClientScope = scopeName(m.Template)
			}
		}
	}
	rename(file.ScopeMappings)
	for _, mappings := range file.ClientScopeMappings {
		rename(mappings)
	}
}

// scopeName returns the name that a client scope or a template has after the import.
func scopeName(name string) string { return strings.ReplaceAll(name, " ", "_") }

// Scopes returns the client scopes of the file. If there are none, it returns Keycloak's built-in
// scopes and the file's templates.
func (file *Realm) Scopes() []Scope {
	if file.ClientScopes == nil {
		return append(BuiltinScopes(), file.templates...)
	}
	return file.ClientScopes
}

// addNewScopes adds the client scopes that are newer than version, except for those already in the
// file.
func (file *Realm) addNewScopes(version release) {
	for _, scope := range scopeReleases {
		sameName := func(s Scope) bool { return s.Name == scope.name }
		if !version.before(scope.since) || slices.ContainsFunc(file.ClientScopes, sameName) {
			continue
		}
		builtinScopes := BuiltinScopes()
		file.ClientScopes = append(file.ClientScopes,
			builtinScopes[slices.IndexFunc(builtinScopes, sameName)])
		if scope.name == "service_account" {
			file.LateServiceAccountScope = true
		}
		if scope.isRealmDefault {
			file.DefaultDefaultClientScopes = append(file.DefaultDefaultClientScopes, scope.name)
		}
		if !scope.assignToClients {
			continue
		}
		for i := range file.Clients {
			if c := &file.Clients[i]; c.DefaultClientScopes != nil ||
				c.OptionalClientScopes != nil {
				c.DefaultClientScopes = append(c.DefaultClientScopes, scope.name)
			}
		}
	}
}

// setAttribute sets an attribute of the clients with these client IDs.
func (file *Realm) setAttribute(name, value string, clientIDs ...string) {
	for i := range file.Clients {
		c := &file.Clients[i]
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
