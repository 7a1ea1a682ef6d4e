package keycloaktest

import (
	"slices"
	"strings"
)

// shownRoles are the user's roles that the client's scope lets through: all of them, or its own and
// those that are mapped to it and to the granted scopes.
func (g *grant) shownRoles() []*role {
	has := g.user.effectiveRoles()
	if g.client.fullScope {
		return has
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
	return slices.DeleteFunc(has, func(r *role) bool { return !slices.Contains(allowed, r) })
}

// roleNamed is a role as mappers name it: its name, or client.name.
func (r *Realm) roleNamed(text string) *role {
	if dot := strings.LastIndex(text, "."); dot >= 0 {
		if c := r.clients[text[:dot]]; c != nil && c.roles[text[dot+1:]] != nil {
			return c.roles[text[dot+1:]]
		}
	}
	return r.roles[text]
}

// hardcodedRole adds a role, even one that isn't there: what is before the last dot is the client.
func hardcodedRole(x *mapping, config map[string]string) {
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

// renameRole shows a role under another name, or as another's: client.name.
func renameRole(x *mapping, config map[string]string) {
	at := slices.Index(x.roles, x.realm.roleNamed(config["role"]))
	if at < 0 {
		return
	}
	renamed := &role{name: config["new.role.name"]}
	if client, name, ofClient := strings.Cut(renamed.name, "."); ofClient {
		renamed = &role{name: name, client: client}
	}
	x.roles = slices.Clone(x.roles)
	x.roles[at] = renamed
}

// addAudience keeps Keycloak's form of aud: a text for one, a list for several.
func (x *mapping) addAudience(audience string) {
	switch present := x.into["aud"].(type) {
	case nil:
		x.into["aud"] = audience
	case string:
		if present != audience {
			x.into["aud"] = []string{present, audience}
		}
	case []string:
		if !slices.Contains(present, audience) {
			x.into["aud"] = append(present, audience)
		}
	}
}

// resolveAudience adds the clients of which the user has a role, but for the one that asks.
func resolveAudience(x *mapping, _ map[string]string) {
	for _, r := range x.roles {
		if r.client != "" && r.client != x.client.ClientID {
			x.addAudience(r.client)
		}
	}
}

func hardcodedAudience(x *mapping, config map[string]string) {
	if audience := config["included.client.audience"]; audience != "" {
		x.addAudience(audience)
	} else if audience := config["included.custom.audience"]; audience != "" {
		x.addAudience(audience)
	}
}

func realmRoles(x *mapping, config map[string]string) {
	var names []any
	for _, r := range x.roles {
		if r.client == "" {
			names = append(names, config["usermodel.realmRoleMapping.rolePrefix"]+r.name)
		}
	}
	x.putAll(config, names)
}

func clientRoles(x *mapping, config map[string]string) {
	of := map[string][]any{}
	var order []string
	for _, r := range x.roles {
		if r.client != "" {
			if of[r.client] == nil {
				order = append(order, r.client)
			}
			of[r.client] = append(of[r.client],
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
		x.putAll(config, of[id])
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
