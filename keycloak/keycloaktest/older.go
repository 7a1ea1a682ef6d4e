package keycloaktest

import (
	"slices"
	"strconv"
	"strings"
)

// Keycloak's import brings a file of an older release up to date, if keycloakVersion says that it
// is one.

// A release is a major and a minor version.
type release [2]int

// newScopes are the built-in client scopes that came with a release. Such a file gets them, where
// it names its scopes.
var newScopes = []struct {
	since   release
	name    string
	clients bool // all clients get it
	realm   bool // so do clients that name no scopes
}{
	{release{4, 6}, "roles", true, true}, {release{4, 6}, "web-origins", true, true},
	{release{18, 0}, "acr", true, true}, {release{25, 0}, "basic", true, true}, {release{26, 1}, "service_account", false, false},
}

// bringUp does to a file what Keycloak's migrations do.
func (file *realmRepresentation) bringUp() {
	if file.KeycloakVersion == "" {
		return
	}
	version := releaseOf(file.KeycloakVersion)
	if file.ClientScopes != nil {
		file.addNewScopes(version)
	}
	if version.before(release{9, 0}) {
		file.accountConsole = true
		file.setAttribute("pkce.code.challenge.method", "S256", "security-admin-console", "account-console")
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

func (file *realmRepresentation) addNewScopes(version release) {
	for _, scope := range newScopes {
		named := func(s scopeRepresentation) bool { return s.Name == scope.name }
		if !version.before(scope.since) || slices.ContainsFunc(file.ClientScopes, named) {
			continue
		}
		all := builtinScopes()
		file.ClientScopes = append(file.ClientScopes, all[slices.IndexFunc(all, named)])
		if scope.name == "service_account" {
			file.noteScopeIsLate = true
		}
		if scope.realm {
			file.DefaultDefaultClientScopes = append(file.DefaultDefaultClientScopes, scope.name)
		}
		if !scope.clients {
			continue
		}
		for i := range file.Clients {
			if c := &file.Clients[i]; c.DefaultClientScopes != nil || c.OptionalClientScopes != nil {
				c.DefaultClientScopes = append(c.DefaultClientScopes, scope.name)
			}
		}
	}
}

// setAttribute sets an attribute of the clients of these ids that the file has.
func (file *realmRepresentation) setAttribute(name, value string, ids ...string) {
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

// releaseOf reads a version such as 26.7.4 or 26.0.0.redhat-1. What can't be read is older than all
// others.
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
