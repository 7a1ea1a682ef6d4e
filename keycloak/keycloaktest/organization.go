package keycloaktest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// An organization is an organization of a realm.
type organization struct {
	id         string
	alias      string
	enabled    bool
	attributes map[string][]string
	domains    []string           // in lower case
	members    map[*user][]*group // each member's groups in the organization
}

// buildOrganizations creates the organizations of the file.
func (r *Realm) buildOrganizations(importOptions) error {
	for _, record := range r.settings.Organizations {
		o := &organization{id: record.ID, alias: record.Alias, attributes: record.Attributes,
			enabled: valueOr(record.Enabled, true), members: map[*user][]*group{}}
		if o.id == "" {
			o.id = uuid.NewString()
		}
		for _, d := range record.Domains {
			o.domains = append(o.domains, strings.ToLower(d.Name))
		}
		groupsByID := map[string]*group{}
		if err := r.addOrganizationGroups(groupsByID, nil, record.Groups); err != nil {
			return fmt.Errorf("organization %s: %w", record.Name, err)
		}
		for _, m := range record.Members {
			u := r.usersByName[strings.ToLower(m.Username)]
			if u == nil {
				return fmt.Errorf("organization %s: the realm has no user %q", record.Name,
					m.Username)
			}
			o.members[u] = nil
			for _, id := range m.Groups {
				o.members[u] = append(o.members[u], groupsByID[id])
			}
		}
		r.organizations = append(r.organizations, o)
	}
	return nil
}

// addOrganizationGroups adds groups and their subgroups to groupsByID.
func (r *Realm) addOrganizationGroups(groupsByID map[string]*group, parent *group,
	records []realmfile.Group) error {
	for _, record := range records {
		g := &group{name: record.Name, path: "/" + record.Name, parent: parent}
		if parent != nil {
			g.path = parent.path + g.path
		}
		var err error
		if g.roles, err = r.findRoles(record.RealmRoles, record.ClientRoles, true); err != nil {
			return fmt.Errorf("group %s: %w", g.path, err)
		}
		groupsByID[record.ID] = g
		if err := r.addOrganizationGroups(groupsByID, g, record.SubGroups); err != nil {
			return err
		}
	}
	return nil
}

// organizationsOf returns the enabled organizations of a user.
func (r *Realm) organizationsOf(u *user) []*organization {
	return slices.DeleteFunc(slices.Clone(r.organizations), func(o *organization) bool {
		_, isMember := o.members[u]
		return !isMember || !o.enabled
	})
}

// organizationByAlias returns the enabled organization with this alias, or nil.
func (r *Realm) organizationByAlias(alias string) *organization {
	for _, o := range r.organizations {
		if o.alias == alias && o.enabled {
			return o
		}
	}
	return nil
}

// An organizationScope is a scope that selects organizations: organization for the user's only one
// or the one that the user selects, organization:* for all, and organization:alias for one. Any
// client scope with the organization mapper works like the built-in scope organization.
type organizationScope struct {
	clientScope *scope
	selector    string // "", "*" or an alias
}

// kind returns the kind of the scope: "", "*", or "alias". A request's scopes must be of one kind.
func (s organizationScope) kind() string {
	if s.selector == "" || s.selector == "*" {
		return s.selector
	}
	return "alias"
}

// organizationScope parses the name of an organization scope. It returns false for other scopes.
func (r *Realm) organizationScope(name string) (organizationScope, bool) {
	if !r.settings.OrganizationsEnabled {
		return organizationScope{}, false
	}
	selector := ""
	s := r.scopes[name]
	if i := strings.LastIndex(name, ":"); s == nil && i >= 0 {
		s, selector = r.scopes[name[:i]], name[i+1:]
	}
	if s == nil || !s.hasMapper(realmfile.OrganizationMapper) {
		return organizationScope{}, false
	}
	return organizationScope{s, selector}, true
}

// scopeNamed returns the client scope that a requested scope belongs to, or nil.
func (r *Realm) scopeNamed(name string) *scope {
	if s := r.scopes[name]; s != nil {
		return s
	}
	if s, ok := r.organizationScope(name); ok {
		return s.clientScope
	}
	return nil
}

// checkOrganizationScopes reports whether a client may request these scopes together: the
// organization scopes must be of one kind, and their organizations must exist.
func (r *Realm) checkOrganizationScopes(c *client, names []string) bool {
	var kinds []string
	for _, name := range names {
		s, ok := r.organizationScope(name)
		if !ok || !c.mayRequest(s.clientScope.Name) {
			continue
		}
		if s.kind() == "alias" && r.organizationByAlias(s.selector) == nil {
			return false
		}
		if kinds = append(kinds, s.kind()); s.kind() != kinds[0] {
			return false
		}
	}
	return true
}

// mayRequest reports whether the client has a client scope, by default or optionally.
func (c *client) mayRequest(scope string) bool {
	return slices.Contains(c.defaultScopes, scope) || slices.Contains(c.optionalScopes, scope)
}

// organizationsInScope returns the organizations that one of the grant's organization scopes
// selects.
func (g *grant) organizationsInScope(s organizationScope) []*organization {
	organizations := g.realm.organizationsOf(g.user)
	selectedID := ""
	switch s.kind() {
	case "*":
		return organizations
	case "alias":
		if o := g.realm.organizationByAlias(s.selector); o != nil {
			selectedID = o.id
		}
	default:
		if len(organizations) == 1 {
			return organizations
		}
		if g.clientSession != nil {
			selectedID = g.clientSession.organizationID
		}
	}
	return slices.DeleteFunc(organizations, func(o *organization) bool {
		return o.id != selectedID
	})
}

// organizations returns the organizations that the grant's scopes select.
func (g *grant) organizations() []*organization {
	var organizations []*organization
	for _, name := range g.scope {
		if s, ok := g.realm.organizationScope(name); ok {
			for _, o := range g.organizationsInScope(s) {
				if !slices.Contains(organizations, o) {
					organizations = append(organizations, o)
				}
			}
		}
	}
	return organizations
}

// isDroppedScope reports whether Keycloak drops a scope, because it has a selector that selects no
// organization of the user.
func (g *grant) isDroppedScope(name string) bool {
	s, ok := g.realm.organizationScope(name)
	return ok && name != s.clientScope.Name && len(g.organizationsInScope(s)) == 0
}

// narrowOrganizationScope returns the scope for a refresh that requests only some scopes, given the
// name of a granted organization scope. It returns "" if the request leaves the scope out
// (OrganizationScope, Keycloak 26.7.4).
func (r *Realm) narrowOrganizationScope(granted string, requested []string) (string, *oauthError) {
	grantedScope, _ := r.organizationScope(granted)
	narrowed := ""
	for _, name := range requested {
		s, ok := r.organizationScope(name)
		switch {
		case !ok || s.clientScope != grantedScope.clientScope:
		case name == granted, grantedScope.kind() != "*" && s.kind() == "*",
			grantedScope.kind() == "alias" && s.kind() == "":
			return granted, nil
		case grantedScope.kind() == "*" && s.kind() == "":
			return "", newOAuthError(400,
				"ANY organization scope is not allowed in this context", "")
		case grantedScope.kind() == "*" && narrowed != "":
			return "", unsupportedError("refresh with several organizations: " + granted)
		case grantedScope.kind() == "*":
			narrowed = name
		}
	}
	return narrowed, nil
}

// mapOrganizations adds the user's organizations to the token, as a list of aliases or as an object
// by alias.
func mapOrganizations(run *mapperRun, config map[string]string) {
	organizations := run.organizations()
	if len(organizations) == 0 {
		return
	}
	config = organizationMapperConfig(config)
	if config["multivalued"] != "true" {
		run.setSingleValue(config, organizations[0].alias)
		return
	}
	isObject := config["jsonType.label"] == "JSON"
	var aliases []any
	byAlias := claims{}
	for _, o := range organizations {
		fields := claims{}
		if config["addOrganizationAttributes"] == "true" {
			isObject = true
			for name, values := range o.attributes {
				fields[name] = values
			}
		}
		if config["addOrganizationId"] == "true" {
			isObject = true
			fields["id"] = o.id
		}
		aliases, byAlias[o.alias] = append(aliases, o.alias), fields
	}
	if isObject {
		run.setValues(cloneWith(config, "multivalued", "false"), []any{byAlias})
		return
	}
	run.setValues(config, aliases)
}

// organizationMapperConfig returns the configuration of an organization mapper with its defaults.
func organizationMapperConfig(config map[string]string) map[string]string {
	defaults := map[string]string{"claim.name": "organization", "multivalued": "true"}
	for name, value := range defaults {
		if _, ok := config[name]; !ok {
			config = cloneWith(config, name, value)
		}
	}
	return config
}

// mapOrganizationGroups adds the user's groups in each organization to the claim of the
// organization mapper, which becomes an object.
func mapOrganizationGroups(run *mapperRun, config map[string]string) {
	var membershipConfig map[string]string
	for _, m := range run.mappers(run.target) {
		if m.ProtocolMapper == realmfile.OrganizationMapper {
			membershipConfig = organizationMapperConfig(m.Config)
		}
	}
	if membershipConfig == nil || !run.realm.settings.OrganizationsEnabled {
		return
	}
	claimName := membershipConfig["claim.name"]
	byAlias, isObject := run.claims[claimName].(claims)
	if !isObject {
		byAlias = claims{}
	}
	for _, o := range run.organizations() {
		fields, ok := byAlias[o.alias].(claims)
		if !ok {
			fields = claims{}
			byAlias[o.alias] = fields
		}
		paths, roles := []string{}, []*role{}
		for _, g := range o.members[run.user] {
			paths, roles = append(paths, g.path), append(roles, g.roles...)
		}
		fields["groups"] = paths
		if config["addGroupRoleMappings"] == "true" {
			addRoleClaims(fields, expandComposites(roles))
		}
	}
	run.claims[claimName] = byAlias
}

// addRoleClaims adds the claims realm_access and resource_access with these roles.
func addRoleClaims(out claims, roles []*role) {
	realmRoles, clientRoles := []string{}, map[string][]string{}
	for _, r := range roles {
		if r.clientID == "" {
			realmRoles = append(realmRoles, r.name)
		} else {
			clientRoles[r.clientID] = append(clientRoles[r.clientID], r.name)
		}
	}
	if len(realmRoles) > 0 {
		out["realm_access"] = claims{"roles": realmRoles}
	}
	resourceAccess := claims{}
	for clientID, names := range clientRoles {
		resourceAccess[clientID] = claims{"roles": names}
	}
	if len(resourceAccess) > 0 {
		out["resource_access"] = resourceAccess
	}
}
