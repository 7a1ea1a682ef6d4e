package realmfile

import (
	"slices"
	"strconv"
	"strings"
)

// Keycloak's import migrates a file if its keycloakVersion is an older release.

// A release is a major and a minor version.
type release [2]int

// newScopes are the built-in client scopes that a later release added. If an older file has client
// scopes, migration adds these.
var newScopes = []struct {
	since   release
	name    string
	clients bool // assigned to clients that list their scopes
	realm   bool // a default scope of the realm
}{
	{release{4, 6}, "roles", true, true}, {release{4, 6}, "web-origins", true, true},
	{release{18, 0}, "acr", true, true}, {release{25, 0}, "basic", true, true}, {release{26, 1}, "service_account", false, false},
}

// migrate applies Keycloak's migrations to a file.
func (file *Realm) migrate() {
	file.renameOldMembers()
	file.readTemplates()
	if file.KeycloakVersion == "" {
		return
	}
	version := releaseOf(file.KeycloakVersion)
	if file.ClientScopes != nil {
		file.addNewScopes(version)
	}
	if version.before(release{9, 0}) {
		file.NeedsAccountConsole = true
		file.setAttribute("pkce.code.challenge.method", "S256", "security-admin-console",
			"account-console")
	}
	if version.before(release{24, 0}) && file.Attributes["userProfileEnabled"] != "true" {
		file.unmanaged = true
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

// renameOldMembers moves members from the names they had when clients were called applications.
func (file *Realm) renameOldMembers() {
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

// readTemplates converts client templates to client scopes, as Keycloak's import does: they replace
// the file's client scopes, or are added to Keycloak's default scopes.
func (file *Realm) readTemplates() {
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

// scopeName returns the name that the import gives a client scope or a template.
func scopeName(name string) string { return strings.ReplaceAll(name, " ", "_") }

// Scopes returns the realm's client scopes: the file's, or Keycloak's default scopes and the
// templates.
func (file *Realm) Scopes() []Scope {
	if file.ClientScopes == nil {
		return append(BuiltinScopes(), file.templates...)
	}
	return file.ClientScopes
}

func (file *Realm) addNewScopes(version release) {
	for _, scope := range newScopes {
		named := func(s Scope) bool { return s.Name == scope.name }
		if !version.before(scope.since) || slices.ContainsFunc(file.ClientScopes, named) {
			continue
		}
		all := BuiltinScopes()
		file.ClientScopes = append(file.ClientScopes, all[slices.IndexFunc(all, named)])
		if scope.name == "service_account" {
			file.LateServiceAccountScope = true
		}
		if scope.realm {
			file.DefaultDefaultClientScopes = append(file.DefaultDefaultClientScopes, scope.name)
		}
		if !scope.clients {
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
func (file *Realm) setAttribute(name, value string, ids ...string) {
	for i := range file.Clients {
		c := &file.Clients[i]
		if !slices.Contains(ids, c.ClientID) {
			continue
		}
		if c.Attributes == nil {
			c.Attributes = map[string]string{}
		}
		c.Attributes[name] = value
	}
}

func (r release) before(other release) bool { return slices.Compare(r[:], other[:]) < 0 }

// releaseOf parses a version such as 26.7.4 or 26.0.0.redhat-1. An invalid version is older than
// all others.
func releaseOf(version string) (out release) {
	for i, part := range strings.SplitN(version, ".", 3)[:min(2, strings.Count(version, ".")+1)] {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return release{}
		}
		out[i] = n
	}
	return out
}
