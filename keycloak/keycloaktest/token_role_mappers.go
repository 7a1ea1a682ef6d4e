package keycloaktest

import (
	"slices"
	"strings"
)

// rolesInScope returns the user's roles that the client's scope includes. A client with full scope
// gets all of them. Any other client gets its own roles, and the roles mapped to it or to a granted
// scope.
func (g *grant) rolesInScope() []*role {
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
	allowed = expandComposites(allowed)
	return slices.DeleteFunc(roles, func(r *role) bool { return !slices.Contains(allowed, r) })
}

// findMapperRole returns the role with a name from a mapper's configuration, or nil. A client
// role is named client.role.
func (r *Realm) findMapperRole(name string) *role {
	if dot := strings.LastIndex(name, "."); dot >= 0 {
		if c := r.clients[name[:dot]]; c != nil && c.roles[name[dot+1:]] != nil {
			return c.roles[name[dot+1:]]
		}
	}
	return r.roles[name]
}

// addHardcodedRole adds a role to the token, even if the role doesn't exist. The part of the name
// before the last dot is the client.
func addHardcodedRole(run *mapperRun, config map[string]string) {
	added := run.realm.findMapperRole(config["role"])
	if added == nil {
		added = &role{name: config["role"]}
	}
	if dot := strings.LastIndex(config["role"], "."); dot >= 0 && added.client == "" {
		added = &role{name: config["role"][dot+1:], client: config["role"][:dot]}
	}
	if !slices.Contains(run.roles, added) {
		run.roles = append(run.roles, added)
	}
}

// renameRole renames a role in the token. The new name client.role makes it a client role.
func renameRole(run *mapperRun, config map[string]string) {
	i := slices.Index(run.roles, run.realm.findMapperRole(config["role"]))
	if i < 0 {
		return
	}
	newRole := &role{name: config["new.role.name"]}
	if client, name, isClientRole := strings.Cut(newRole.name, "."); isClientRole {
		newRole = &role{name: name, client: client}
	}
	run.roles = slices.Clone(run.roles)
	run.roles[i] = newRole
}

// addAudience adds an audience to the aud claim, which is a string for one audience and a list for
// several.
func (run *mapperRun) addAudience(audience string) {
	switch aud := run.claims["aud"].(type) {
	case nil:
		run.claims["aud"] = audience
	case string:
		if aud != audience {
			run.claims["aud"] = []string{aud, audience}
		}
	case []string:
		if !slices.Contains(aud, audience) {
			run.claims["aud"] = append(aud, audience)
		}
	}
}

// mapResolvedAudience adds to the audience all other clients of which the user has a role.
func mapResolvedAudience(run *mapperRun, _ map[string]string) {
	for _, r := range run.roles {
		if r.client != "" && r.client != run.client.ClientID {
			run.addAudience(r.client)
		}
	}
}

func mapAudience(run *mapperRun, config map[string]string) {
	if audience := config["included.client.audience"]; audience != "" {
		run.addAudience(audience)
	} else if audience := config["included.custom.audience"]; audience != "" {
		run.addAudience(audience)
	}
}

func mapRealmRoles(run *mapperRun, config map[string]string) {
	var names []any
	for _, r := range run.roles {
		if r.client == "" {
			names = append(names, config["usermodel.realmRoleMapping.rolePrefix"]+r.name)
		}
	}
	run.putAll(config, names)
}

func mapClientRoles(run *mapperRun, config map[string]string) {
	namesByClient := map[string][]any{}
	var clientIDs []string
	for _, r := range run.roles {
		if r.client != "" {
			if namesByClient[r.client] == nil {
				clientIDs = append(clientIDs, r.client)
			}
			namesByClient[r.client] = append(namesByClient[r.client],
				config["usermodel.clientRoleMapping.rolePrefix"]+r.name)
		}
	}
	if clientID := config["usermodel.clientRoleMapping.clientId"]; clientID != "" {
		clientIDs = []string{clientID}
	}
	for _, id := range clientIDs {
		config := cloneWith(config, "claim.name",
			strings.ReplaceAll(config["claim.name"], "${client_id}",
				strings.ReplaceAll(id, ".", `\.`)))
		run.putAll(config, namesByClient[id])
	}
}

// cloneWith returns a copy of config with one setting changed.
func cloneWith(config map[string]string, name, value string) map[string]string {
	out := map[string]string{name: value}
	for key, oldValue := range config {
		if key != name {
			out[key] = oldValue
		}
	}
	return out
}
