package keycloaktest

import (
	"slices"
	"strconv"
	"strings"
)

// Keycloak's import brings a file of an older release up to date, if keycloakVersion says that it is one.

// newScopes are the built-in client scopes that came with a release. Such a file gets them, where it names its scopes.
var newScopes = []struct {
	since   [2]int // major and minor
	name    string
	clients bool // all clients get it, and the realm's new ones
}{
	{[2]int{18, 0}, "acr", true}, {[2]int{25, 0}, "basic", true}, {[2]int{26, 1}, "service_account", false},
}

// oldest is the release before which a file would need more than that.
var oldest = [2]int{8, 0}

// bringUp does to a file what Keycloak's migrations do.
func (r *reader) bringUp(file *realmRepresentation) {
	if file.KeycloakVersion == "" {
		return
	}
	release, ok := releaseOf(file.KeycloakVersion)
	if !ok || older(release, oldest) {
		var top *place
		r.problem(top.member("keycloakVersion"), "%s is not supported: the stand-in reads files since 8.0", file.KeycloakVersion)
		return
	}
	if file.ClientScopes == nil {
		return
	}
	for _, scope := range newScopes {
		named := func(s scopeRepresentation) bool { return s.Name == scope.name }
		if !older(release, scope.since) || slices.ContainsFunc(file.ClientScopes, named) {
			continue
		}
		all := builtinScopes()
		file.ClientScopes = append(file.ClientScopes, all[slices.IndexFunc(all, named)])
		if !scope.clients {
			continue
		}
		file.DefaultDefaultClientScopes = append(file.DefaultDefaultClientScopes, scope.name)
		for i := range file.Clients {
			if c := &file.Clients[i]; c.DefaultClientScopes != nil || c.OptionalClientScopes != nil {
				c.DefaultClientScopes = append(c.DefaultClientScopes, scope.name)
			}
		}
	}
}

func older(a, b [2]int) bool { return slices.Compare(a[:], b[:]) < 0 }

// releaseOf reads a version such as 26.7.4 or 26.0.0.redhat-1.
func releaseOf(version string) (release [2]int, ok bool) {
	parts := strings.SplitN(version, ".", 3)
	for i := range release {
		if i >= len(parts) {
			return release, false
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < 0 {
			return release, false
		}
		release[i] = n
	}
	return release, true
}
