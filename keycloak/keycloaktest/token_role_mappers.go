package keycloaktest

import (
	"slices"
	"strings"
)

// shownRoles returns the user's roles that the client's scope includes: all of them if the client
// has full scope, or else the client's own roles and those mapped to the client or a granted scope.
func (g *grant) shownRoles() []*role {
	roles := g.user.effectiveRoles()
	if g.client.fullScope {
		return roles
	}
	allowed := slices.Clone(g.client.scopeMappings)
	for _, r := range g.client.roles {
		allowed = append(allowed, r)
	}
	for _, name := range g.scope {
		if s := g.realm.scopes[name]; s != nil {
			allowed = append(allowed, s.roles...)
		}
	}
	allowed = expand(allowed)
	return slices.DeleteFunc(roles, func(r *role) bool { return !slices.Contains(allowed, r) })
}

// roleNamed returns the role with this name in a mapper's configuration, which is client.role for a
// client role.
func (r *Realm) roleNamed(name string) *role {
	if dot := strings.LastIndex(name, "."); dot >= 0 {
		if c := r.clients[name[:dot]]; c != nil && c.roles[name[dot+1:]] != nil {
			return c.roles[name[dot+1:]]
		}
	}
	return r.roles[name]
}

// addHardcodedRole adds a role, even if it doesn't exist. The part before the last dot is the
// client.
func addHardcodedRole(x *mapperRun, config map[string]string) {
	added := x.realm.roleNamed(config["role"])
	if added == nil {
		added = &role{name: config["role"]}
	}
	if dot := strings.LastIndex(config["role"], "."); dot >= 0 && added.client == "" {
		added = &role{name: config["role"][dot+1:], client: config["role"][:dot]}
	}
	if !slices.Contains(x.roles, added) {
		x.roles = append(x.roles, added)
	}
}

// renameRole renames a role in the token. The new name may be that of a client role: client.role.
func renameRole(x *mapperRun, config map[string]string) {
	i := slices.Index(x.roles, x.realm.roleNamed(config["role"]))
	if i < 0 {
		return
	}
	renamed := &role{name: config["new.role.name"]}
	if client, name, ofClient := strings.Cut(renamed.name, "."); ofClient {
		renamed = &role{name: name, client: client}
	}
	x.roles = slices.Clone(x.roles)
	x.roles[i] = renamed
}

// addAudience adds an audience to the aud claim, a string for one audience and a list for several.
func (x *mapperRun) addAudience(audience string) {
	switch present := x.claims["aud"].(type) {
	case nil:
		x.claims["aud"] = audience
	case string:
		if present != audience {
			x.claims["aud"] = []string{present, audience}
		}
	case []string:
		if !slices.Contains(present, audience) {
			x.claims["aud"] = append(present, audience)
		}
	}
}

// mapResolvedAudience adds the other clients in which the user has a role.
func mapResolvedAudience(x *mapperRun, _ map[string]string) {
	for _, r := range x.roles {
		if r.client != "" && r.client != x.client.ClientID {
			x.addAudience(r.client)
		}
	}
}

func mapAudience(x *mapperRun, config map[string]string) {
	if audience := config["included.client.audience"]; audience != "" {
		x.addAudience(audience)
	} else if audience := config["included.custom.audience"]; audience != "" {
		x.addAudience(audience)
	}
}

func mapRealmRoles(x *mapperRun, config map[string]string) {
	var names []any
	for _, r := range x.roles {
		if r.client == "" {
			names = append(names, config["usermodel.realmRoleMapping.rolePrefix"]+r.name)
		}
	}
	x.putAll(config, names)
}

func mapClientRoles(x *mapperRun, config map[string]string) {
	byClient := map[string][]any{}
	var order []string
	for _, r := range x.roles {
		if r.client != "" {
			if byClient[r.client] == nil {
				order = append(order, r.client)
			}
			byClient[r.client] = append(byClient[r.client],
				config["usermodel.clientRoleMapping.rolePrefix"]+r.name)
		}
	}
	if only := config["usermodel.clientRoleMapping.clientId"]; only != "" {
		order = []string{only}
	}
	for _, id := range order {
		config := cloneWith(config, "claim.name",
			strings.ReplaceAll(config["claim.name"], "${client_id}",
				strings.ReplaceAll(id, ".", `\.`)))
		x.putAll(config, byClient[id])
	}
}

func cloneWith(config map[string]string, name, value string) map[string]string {
	out := map[string]string{name: value}
	for key, old := range config {
		if key != name {
			out[key] = old
		}
	}
	return out
}
