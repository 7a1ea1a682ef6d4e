package keycloaktest

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A Realm is a realm of a Server. Its methods are safe for concurrent use, including while the
// server handles requests.
type Realm struct {
	server       *Server
	name         string
	ignoredParts []string

	// frontendURL is the realm's frontendUrl attribute. It is atomic so that Issuer needs no lock.
	frontendURL atomic.Pointer[string]

	isRemoved atomic.Bool // set by Server.Remove

	mu       sync.Mutex // guards the fields below and what they point to
	settings realmfile.Realm
	profile  *realmfile.Profile
	keySet   keySet
	roles    map[string]*role
	groups   map[string]*group // by path
	scopes   map[string]*scope
	clients  map[string]*client // by client ID
	// indexUser and unindexUser maintain the three maps of users.
	users        map[string]*user // by ID
	usersByName  map[string]*user
	usersByEmail map[string][]*user

	organizations []*organization

	sessions         map[string]*session // online sessions by ID
	offlineSessions  map[string]*session // by ID
	authCodes        map[string]*authCode
	devices          map[string]*device
	rootAuthSessions map[string]*rootAuthSession // by ID: sign-ins in progress
	revokedTokens    map[string]time.Time        // expiry of revoked access tokens, by jti
}

// A role is a realm role or a client role.
type role struct {
	name       string
	clientID   string // the client ID; empty for a realm role
	composites []*role
}

// A group gives its roles and attributes to its members.
type group struct {
	name       string
	path       string // slashes in names aren't escaped
	parent     *group
	roles      []*role
	attributes map[string][]string
}

// A scope is a client scope.
type scope struct {
	realmfile.Scope
	// roles restricts the scope to users who have one of these roles; nil means no restriction.
	roles              []*role
	unsupportedMappers []realmfile.UnsupportedSetting
}

// hasMapper reports whether the scope has a protocol mapper of the given type.
func (s *scope) hasMapper(mapperType string) bool {
	return slices.ContainsFunc(s.ProtocolMappers, func(m realmfile.Mapper) bool {
		return m.ProtocolMapper == mapperType
	})
}

// inScopeClaim reports whether scope claims include the scope's name.
func (s *scope) inScopeClaim() bool { return s.Attributes["include.in.token.scope"] != "false" }

// A client is a client of the realm, from the file or built in, with its roles and scopes resolved.
type client struct {
	realmfile.Client
	roles                   map[string]*role
	defaultScopes           []string
	optionalScopes          []string
	scopeMappings           []*role
	serviceAccount          *user
	unsupportedSettings     []realmfile.UnsupportedSetting
	allowsStandardFlow      bool
	enabled                 bool
	fromFile                bool // in the realm file, not built in
	serviceAccountGenerated bool // the service account isn't in the file
	hasFullScope            bool
	secretUnknown           bool // the file's secret is masked, and no ClientSecrets replace it
}

// attributeIsTrue reports whether a client attribute is "true".
func (c *client) attributeIsTrue(name string) bool { return c.Attributes[name] == "true" }

// newRealm builds a realm from its realm file.
func newRealm(server *Server, record realmfile.Realm, options importOptions) (*Realm, error) {
	r := &Realm{
		server: server, name: record.Realm, settings: record, profile: record.Profile,
		roles: map[string]*role{}, groups: map[string]*group{}, scopes: map[string]*scope{},
		clients: map[string]*client{}, users: map[string]*user{}, usersByName: map[string]*user{},
		usersByEmail: map[string][]*user{},
		sessions:     map[string]*session{}, offlineSessions: map[string]*session{},
		authCodes: map[string]*authCode{},
		devices:   map[string]*device{}, rootAuthSessions: map[string]*rootAuthSession{},
		revokedTokens: map[string]time.Time{},
	}
	r.loadFrontendURL()
	for _, build := range []func(importOptions) error{
		r.buildScopes, r.buildClients, r.buildRoles, r.buildScopeMappings, r.buildGroups,
		r.buildUsers, r.buildOrganizations, r.buildFinalRoles,
	} {
		if err := build(options); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Realm) buildScopes(importOptions) error {
	records := r.settings.Scopes()
	if r.settings.ClientScopes == nil {
		r.settings.DefaultDefaultClientScopes = realmfile.BuiltinDefaultScopes
		r.settings.DefaultOptionalClientScopes = realmfile.BuiltinOptionalScopes
	} else if !slices.ContainsFunc(records, func(s realmfile.Scope) bool {
		return s.Name == "offline_access"
	}) {
		// Keycloak adds this scope if the file lacks it.
		for _, s := range realmfile.BuiltinScopes() {
			if s.Name == "offline_access" {
				records = append(slices.Clone(records), s)
			}
		}
		r.settings.DefaultOptionalClientScopes = append(
			slices.Clone(r.settings.DefaultOptionalClientScopes), "offline_access")
	}
	for _, record := range records {
		if record.Protocol != "" && record.Protocol != "openid-connect" {
			continue // a SAML scope, which Ignored lists
		}
		r.scopes[record.Name] = &scope{Scope: record,
			unsupportedMappers: realmfile.UnsupportedMappers(record.ProtocolMappers)}
	}
	return nil
}

func (r *Realm) buildClients(options importOptions) error {
	records := slices.Clone(r.settings.Clients)
	fileHasClient := func(clientID string) bool {
		return slices.ContainsFunc(r.settings.Clients, func(c realmfile.Client) bool {
			return c.ClientID == clientID
		})
	}
	for _, builtin := range realmfile.BuiltinClients(r.name) {
		// Keycloak creates the account console only together with the client account.
		if !fileHasClient(builtin.ClientID) &&
			(builtin.ClientID != "account-console" || !fileHasClient("account") ||
				r.settings.NeedsAccountConsole) {
			records = append(records, builtin)
		}
	}
	for i, record := range records {
		if record.FullScopeAllowed == nil {
			record.FullScopeAllowed = new(!record.ConsentRequired)
		}
		c := &client{
			Client: record, roles: map[string]*role{}, enabled: valueOr(record.Enabled, true),
			fromFile:           i < len(r.settings.Clients),
			allowsStandardFlow: valueOr(record.StandardFlowEnabled, true),
			hasFullScope:       valueOr(record.FullScopeAllowed, !record.ConsentRequired),
		}
		if c.ID == "" {
			c.ID = uuid.NewString()
		}
		if c.Attributes == nil {
			c.Attributes = map[string]string{}
		}
		if _, ok := c.Attributes["post.logout.redirect.uris"]; !ok {
			c.Attributes["post.logout.redirect.uris"] = "+"
		}
		if secret, ok := options.secrets[c.ClientID]; ok {
			c.Secret = secret
		} else if c.Secret == maskedSecret {
			c.secretUnknown = true
		}
		if c.Secret == "" && !c.PublicClient && !(c.BearerOnly && c.fromFile) {
			c.Secret = rand.Text() + rand.Text()
		}
		if c.WebOrigins == nil { // an import derives them from the redirect URIs
			for _, uri := range c.RedirectURIs {
				if origin := originOf(uri); origin != "" && !slices.Contains(c.WebOrigins, origin) {
					c.WebOrigins = append(c.WebOrigins, origin)
				}
			}
		}
		c.defaultScopes, c.optionalScopes = r.filterScopes(c.DefaultClientScopes),
			r.filterScopes(c.OptionalClientScopes)
		if c.DefaultClientScopes == nil && c.OptionalClientScopes == nil {
			c.defaultScopes = r.filterOIDCScopes(r.settings.DefaultDefaultClientScopes)
			c.optionalScopes = r.filterOIDCScopes(r.settings.DefaultOptionalClientScopes)
			if name := c.ClientTemplate; r.scopes[name] != nil &&
				!slices.Contains(c.defaultScopes, name) {
				c.defaultScopes = append(c.defaultScopes, name)
			}
		}
		c.unsupportedSettings = realmfile.UnsupportedSettings(record)
		if !c.fromFile {
			c.addBuiltinRoles()
		}
		r.clients[c.ClientID] = c
	}
	return nil
}

// addBuiltinRoles adds the roles of a built-in client.
func (c *client) addBuiltinRoles() {
	for _, name := range realmfile.BuiltinClientRoles[c.ClientID] {
		if c.roles[name] == nil {
			c.roles[name] = &role{name: name, clientID: c.ClientID}
		}
	}
	for name, partNames := range realmfile.BuiltinComposites[c.ClientID] {
		for _, partName := range partNames {
			c.roles[name].composites = union(c.roles[name].composites, []*role{c.roles[partName]})
		}
	}
}

// maskedSecret replaces client secrets in Keycloak's exports.
const maskedSecret = "**********"

// filterScopes drops the names of unknown client scopes, as Keycloak's import does.
func (r *Realm) filterScopes(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return r.scopes[name] == nil
	})
}

// filterOIDCScopes is like filterScopes, but also drops scopes without a protocol. It applies to
// clients that list no scopes in the file.
func (r *Realm) filterOIDCScopes(names []string) []string {
	return slices.DeleteFunc(r.filterScopes(names), func(name string) bool {
		return r.scopes[name].Protocol == ""
	})
}

// buildRoles creates the file's roles and Keycloak's built-in roles, and adds roles to the default
// role. A built-in role becomes part of the default role only if the file doesn't define it.
func (r *Realm) buildRoles(importOptions) error {
	roles := r.settings.Roles
	defaultRole := &role{name: r.defaultRoleName()}
	r.roles[defaultRole.name] = defaultRole
	if !r.definesOfflineAccess() {
		r.roles["offline_access"] = &role{name: "offline_access"}
		defaultRole.composites = append(defaultRole.composites, r.roles["offline_access"])
	}
	if account := r.clients["account"]; !account.fromFile {
		defaultRole.composites = append(defaultRole.composites, account.roles["manage-account"],
			account.roles["view-profile"])
	}
	for _, record := range roles.Realm {
		if r.roles[record.Name] == nil {
			r.roles[record.Name] = &role{name: record.Name}
		}
	}
	for id, roles := range roles.Client {
		c := r.clients[id]
		if c == nil {
			return fmt.Errorf("roles.client.%s: the realm has no client of this name", id)
		}
		for _, record := range roles {
			if c.roles[record.Name] == nil {
				c.roles[record.Name] = &role{name: record.Name, clientID: id}
			}
		}
	}
	addComposites := func(target *role, record realmfile.Role) error {
		composites, err := r.findRoles(record.Composites.Realm, record.Composites.Client, false)
		if err != nil {
			return fmt.Errorf("role %s: %w", record.Name, err)
		}
		target.composites = union(target.composites, composites)
		return nil
	}
	for _, record := range roles.Realm {
		if err := addComposites(r.roles[record.Name], record); err != nil {
			return err
		}
	}
	for id, roles := range roles.Client {
		for _, record := range roles {
			if err := addComposites(r.clients[id].roles[record.Name], record); err != nil {
				return err
			}
		}
	}
	return r.addDefaultRoles()
}

// addDefaultRoles adds the default roles that files from Keycloak 12 and earlier list. Newer files
// have one composite role instead.
func (r *Realm) addDefaultRoles() error {
	if r.settings.DefaultRole != nil {
		return nil
	}
	clientRoles := map[string][]string{}
	for _, c := range r.settings.Clients {
		if len(c.DefaultRoles) > 0 {
			clientRoles[c.ClientID] = c.DefaultRoles
		}
	}
	roles, err := r.findRoles(r.settings.DefaultRoles, clientRoles, true)
	defaultRole := r.roles[r.defaultRoleName()]
	defaultRole.composites = union(defaultRole.composites, roles)
	return err
}

// buildFinalRoles creates the roles that Keycloak creates last, unless they exist.
func (r *Realm) buildFinalRoles(importOptions) error {
	if management := r.clients["realm-management"]; management.fromFile {
		const realmAdmin = "realm-admin"
		isRealmAdmin := func(record realmfile.Role) bool { return record.Name == realmAdmin }
		if management.roles[realmAdmin] != nil &&
			!slices.ContainsFunc(r.settings.Roles.Client[management.ClientID], isRealmAdmin) {
			return fmt.Errorf(
				"roles.client.realm-management: %s is missing, but the file assigns it",
				realmAdmin)
		}
		management.addBuiltinRoles()
	}
	const name = "uma_authorization"
	if r.roles[name] == nil {
		r.roles[name] = &role{name: name}
		defaultRole := r.roles[r.defaultRoleName()]
		defaultRole.composites = append(defaultRole.composites, r.roles[name])
	}
	return nil
}

// definesOfflineAccess reports whether the file has the role and the client scope offline_access.
// If either is missing, Keycloak adds it and gives the role to all users.
func (r *Realm) definesOfflineAccess() bool {
	const name = "offline_access"
	return r.fileHasRole(name) &&
		slices.ContainsFunc(r.settings.ClientScopes, func(s realmfile.Scope) bool {
			return s.Name == name
		})
}

// fileHasRole reports whether the file has a realm role with this name.
func (r *Realm) fileHasRole(name string) bool {
	return slices.ContainsFunc(r.settings.Roles.Realm, func(record realmfile.Role) bool {
		return record.Name == name
	})
}

// defaultRoleName returns the name of the role that all users get: the name in the file, or else
// Keycloak's default name. If the file has another role of the default name, a number is appended.
func (r *Realm) defaultRoleName() string {
	if r.settings.DefaultRole != nil {
		return r.settings.DefaultRole.Name
	}
	name := "default-roles-" + strings.ToLower(r.name)
	uniqueName := name
	for n := 1; r.fileHasRole(uniqueName); n++ {
		uniqueName = fmt.Sprintf("%s-%d", name, n)
	}
	return uniqueName
}

// findRoles returns the roles with these names. If create is set, it creates missing roles, as
// Keycloak does for roles assigned to users and groups.
func (r *Realm) findRoles(realmRoles []string, clientRoles map[string][]string,
	create bool) ([]*role, error) {
	var roles []*role
	for _, name := range realmRoles {
		name = strings.TrimSpace(name)
		if r.roles[name] == nil {
			if !create {
				return nil, fmt.Errorf("the realm has no role %q", name)
			}
			r.roles[name] = &role{name: name}
		}
		roles = append(roles, r.roles[name])
	}
	for _, id := range slices.Sorted(maps.Keys(clientRoles)) {
		c := r.clients[id]
		if c == nil {
			return nil, fmt.Errorf("the realm has no client %q", id)
		}
		for _, name := range clientRoles[id] {
			name = strings.TrimSpace(name)
			if c.roles[name] == nil {
				if !create {
					return nil, fmt.Errorf("the client %q has no role %q", id, name)
				}
				c.roles[name] = &role{name: name, clientID: id}
			}
			roles = append(roles, c.roles[name])
		}
	}
	return roles, nil
}

// union appends to a the roles in b that a lacks.
func union(a, b []*role) []*role {
	for _, r := range b {
		if !slices.Contains(a, r) {
			a = append(a, r)
		}
	}
	return a
}

func (r *Realm) buildGroups(importOptions) error {
	var addGroups func(parent *group, records []realmfile.Group) error
	addGroups = func(parent *group, records []realmfile.Group) error {
		for _, record := range records {
			g := &group{
				name: record.Name, path: "/" + record.Name, parent: parent,
				attributes: record.Attributes,
			}
			if parent != nil {
				g.path = parent.path + g.path
			}
			var err error
			g.roles, err = r.findRoles(record.RealmRoles, record.ClientRoles, true)
			if err != nil {
				return fmt.Errorf("group %s: %w", g.path, err)
			}
			if r.groups[g.path] == nil { // groups with slashes in their names can have equal paths
				r.groups[g.path] = g
			}
			if err := addGroups(g, record.SubGroups); err != nil {
				return err
			}
		}
		return nil
	}
	return addGroups(nil, r.settings.Groups)
}

func (r *Realm) buildScopeMappings(importOptions) error {
	if !slices.ContainsFunc(r.settings.ClientScopes, func(s realmfile.Scope) bool {
		return s.Name == "offline_access"
	}) {
		r.scopes["offline_access"].roles = []*role{r.roles["offline_access"]}
	}
	addMapping := func(mapping realmfile.ScopeMapping, roles []*role) error {
		switch {
		case mapping.Client != "":
			c := r.clients[mapping.Client]
			if c == nil {
				return fmt.Errorf("scopeMappings: the realm has no client %q", mapping.Client)
			}
			c.scopeMappings = union(c.scopeMappings, roles)
		case r.scopes[mapping.ClientScope] != nil:
			s := r.scopes[mapping.ClientScope]
			s.roles = union(s.roles, roles)
		}
		return nil
	}
	for _, mapping := range r.settings.ScopeMappings {
		roles, err := r.findRoles(mapping.Roles, nil, true)
		if err != nil {
			return err
		}
		if err := addMapping(mapping, roles); err != nil {
			return err
		}
	}
	for _, clientID := range slices.Sorted(maps.Keys(r.settings.ClientScopeMappings)) {
		for _, mapping := range r.settings.ClientScopeMappings[clientID] {
			roles, err := r.findRoles(nil, map[string][]string{clientID: mapping.Roles}, true)
			if err != nil {
				return err
			}
			if err := addMapping(mapping, roles); err != nil {
				return err
			}
		}
	}
	if console := r.clients["account-console"]; console != nil && !console.fromFile {
		account := r.clients["account"]
		for _, name := range []string{"manage-account", "view-groups"} {
			if account.roles[name] != nil {
				console.scopeMappings = append(console.scopeMappings, account.roles[name])
			}
		}
	}
	return nil
}
