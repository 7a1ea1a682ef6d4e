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

// A Realm is one realm of a stand-in. Its methods may be called by several goroutines at once, and
// while requests are answered.
type Realm struct {
	server  *Server
	name    string
	ignored []string

	frontend atomic.Pointer[string] // the realm's own public address; Issuer needs no lock for it

	removed atomic.Bool // by Server.Remove

	mu       sync.Mutex // guards everything below, what it points to included
	settings realmfile.Realm
	profile  *realmfile.Profile
	keys     keyRing
	roles    map[string]*role
	groups   map[string]*group // by path
	scopes   map[string]*scope
	clients  map[string]*client // by client id
	users    map[string]*user   // by id
	names    map[string]*user   // by username, for index and unindex
	emails   map[string][]*user // by e-mail address, like names

	sessions map[string]*session // by session id, offline sessions beside them
	offline  map[string]*session
	codes    map[string]*authorization
	devices  map[string]*device
	logins   map[string]*login    // sign-ins under way at the login page
	revoked  map[string]time.Time // the ids of revoked access tokens, and until when they matter
}

// A role is a realm's or a client's.
type role struct {
	name       string
	client     string // the client id; empty for a realm role
	composites []*role
}

// A group holds roles and attributes for its members.
type group struct {
	name       string
	path       string // a slash in a name is a slash in it
	parent     *group
	roles      []*role
	attributes map[string][]string
}

// A scope is a client scope.
type scope struct {
	realmfile.Scope
	roles       []*role // nil: no role is needed to ask for it
	unsupported []realmfile.Unsupported
}

func (s *scope) hasMapper(id string) bool {
	return slices.ContainsFunc(s.ProtocolMappers, func(m realmfile.Mapper) bool {
		return m.ProtocolMapper == id
	})
}

// shown reports whether a scope's name is in scope claims.
func (s *scope) shown() bool { return s.Attributes["include.in.token.scope"] != "false" }

// A client is a client with what the realm file says of it, resolved.
type client struct {
	realmfile.Client
	roles           map[string]*role
	defaultScopes   []string
	optionalScopes  []string
	scopeMappings   []*role
	serviceAccount  *user
	unsupported     []realmfile.Unsupported
	standardFlow    bool
	enabled         bool
	ofFile          bool // not made by itself
	accountIsMade   bool // the service account is, by itself
	fullScope       bool
	secretIsUnknown bool // masked in an export, and no option gave it
}

func (c *client) attribute(name string) bool { return c.Attributes[name] == "true" }

// newRealm builds a realm from what its file says.
func newRealm(server *Server, file realmfile.Realm, options importOptions) (*Realm, error) {
	r := &Realm{
		server: server, name: file.Realm, settings: file, profile: file.Profile,
		roles: map[string]*role{}, groups: map[string]*group{}, scopes: map[string]*scope{},
		clients: map[string]*client{}, users: map[string]*user{}, names: map[string]*user{},
		emails:   map[string][]*user{},
		sessions: map[string]*session{}, offline: map[string]*session{},
		codes:   map[string]*authorization{},
		devices: map[string]*device{}, logins: map[string]*login{}, revoked: map[string]time.Time{},
	}
	r.readFrontend()
	for _, build := range []func(importOptions) error{
		r.buildScopes, r.buildClients, r.buildRoles, r.buildScopeMappings, r.buildGroups,
		r.buildUsers, r.buildLastRoles,
	} {
		if err := build(options); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Realm) buildScopes(importOptions) error {
	documents := r.settings.Scopes()
	if r.settings.ClientScopes == nil {
		r.settings.DefaultDefaultClientScopes = realmfile.BuiltinDefaultScopes
		r.settings.DefaultOptionalClientScopes = realmfile.BuiltinOptionalScopes
	} else if !slices.ContainsFunc(documents, func(s realmfile.Scope) bool {
		return s.Name == "offline_access"
	}) {
		// Keycloak adds this one to whatever scopes a file has.
		for _, s := range realmfile.BuiltinScopes() {
			if s.Name == "offline_access" {
				documents = append(slices.Clone(documents), s)
			}
		}
		r.settings.DefaultOptionalClientScopes = append(
			slices.Clone(r.settings.DefaultOptionalClientScopes), "offline_access")
	}
	for _, document := range documents {
		if document.Protocol != "" && document.Protocol != "openid-connect" {
			continue // SAML's can't change an answer of OpenID Connect; it is listed as ignored
		}
		r.scopes[document.Name] = &scope{Scope: document,
			unsupported: realmfile.UnsupportedMappers(document.ProtocolMappers)}
	}
	return nil
}

func (r *Realm) buildClients(options importOptions) error {
	documents := slices.Clone(r.settings.Clients)
	ofFile := func(id string) bool {
		return slices.ContainsFunc(r.settings.Clients, func(c realmfile.Client) bool {
			return c.ClientID == id
		})
	}
	for _, builtin := range realmfile.BuiltinClients(r.name) {
		// Keycloak makes the account console beside the client account, or not at all.
		if !ofFile(builtin.ClientID) &&
			(builtin.ClientID != "account-console" || !ofFile("account") ||
				r.settings.NeedsAccountConsole) {
			documents = append(documents, builtin)
		}
	}
	for i, document := range documents {
		if document.FullScopeAllowed == nil {
			document.FullScopeAllowed = new(!document.ConsentRequired)
		}
		c := &client{
			Client: document, roles: map[string]*role{}, enabled: or(document.Enabled, true),
			ofFile:       i < len(r.settings.Clients),
			standardFlow: or(document.StandardFlowEnabled, true),
			fullScope:    or(document.FullScopeAllowed, !document.ConsentRequired),
		}
		if c.ID == "" {
			c.ID = uuid.NewString()
		}
		if c.Attributes == nil {
			c.Attributes = map[string]string{}
		}
		if _, set := c.Attributes["post.logout.redirect.uris"]; !set {
			c.Attributes["post.logout.redirect.uris"] = "+"
		}
		if secret, given := options.secrets[c.ClientID]; given {
			c.Secret = secret
		} else if c.Secret == maskedSecret {
			c.secretIsUnknown = true
		}
		if c.Secret == "" && !c.PublicClient && !(c.BearerOnly && c.ofFile) {
			c.Secret = rand.Text() + rand.Text()
		}
		if c.WebOrigins == nil { // an import makes them of the redirect URIs
			for _, uri := range c.RedirectURIs {
				if origin := originOf(uri); origin != "" && !slices.Contains(c.WebOrigins, origin) {
					c.WebOrigins = append(c.WebOrigins, origin)
				}
			}
		}
		c.defaultScopes, c.optionalScopes = r.known(c.DefaultClientScopes),
			r.known(c.OptionalClientScopes)
		if c.DefaultClientScopes == nil && c.OptionalClientScopes == nil {
			c.defaultScopes, c.optionalScopes = r.ofProtocol(r.settings.DefaultDefaultClientScopes),
				r.ofProtocol(r.settings.DefaultOptionalClientScopes)
			if name := c.ClientTemplate; r.scopes[name] != nil &&
				!slices.Contains(c.defaultScopes, name) {
				c.defaultScopes = append(c.defaultScopes, name)
			}
		}
		c.unsupported = realmfile.UnsupportedSettings(document)
		if !c.ofFile {
			c.addBuiltinRoles()
		}
		r.clients[c.ClientID] = c
	}
	return nil
}

// addBuiltinRoles gives a client that every realm has its roles.
func (c *client) addBuiltinRoles() {
	for _, name := range realmfile.BuiltinClientRoles[c.ClientID] {
		if c.roles[name] == nil {
			c.roles[name] = &role{name: name, client: c.ClientID}
		}
	}
	for name, parts := range realmfile.BuiltinComposites[c.ClientID] {
		for _, part := range parts {
			c.roles[name].composites = union(c.roles[name].composites, []*role{c.roles[part]})
		}
	}
}

// maskedSecret is what Keycloak's export writes instead of a client's secret.
const maskedSecret = "**********"

// known drops the names of scopes that the realm doesn't have, as Keycloak's import does, silently.
func (r *Realm) known(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return r.scopes[name] == nil
	})
}

// ofProtocol is known for what clients get that name no scopes: not those that say no protocol.
func (r *Realm) ofProtocol(names []string) []string {
	return slices.DeleteFunc(r.known(names), func(name string) bool {
		return r.scopes[name].Protocol == ""
	})
}

// buildRoles makes the realm's roles, and what its default role holds: what Keycloak makes by
// itself, and what the file says. What the file brings by itself isn't made, and so isn't a default
// either.
func (r *Realm) buildRoles(importOptions) error {
	documents := r.settings.Roles
	all := &role{name: r.defaultRole()}
	r.roles[all.name] = all
	if !r.bringsOfflineAccess() {
		r.roles["offline_access"] = &role{name: "offline_access"}
		all.composites = append(all.composites, r.roles["offline_access"])
	}
	if account := r.clients["account"]; !account.ofFile {
		all.composites = append(all.composites, account.roles["manage-account"],
			account.roles["view-profile"])
	}
	for _, document := range documents.Realm {
		if r.roles[document.Name] == nil {
			r.roles[document.Name] = &role{name: document.Name}
		}
	}
	for id, roles := range documents.Client {
		c := r.clients[id]
		if c == nil {
			return fmt.Errorf("roles.client.%s: the realm has no client of this name", id)
		}
		for _, document := range roles {
			if c.roles[document.Name] == nil {
				c.roles[document.Name] = &role{name: document.Name, client: id}
			}
		}
	}
	compose := func(target *role, document realmfile.Role) error {
		parts, err := r.rolesOf(document.Composites.Realm, document.Composites.Client, false)
		if err != nil {
			return fmt.Errorf("role %s: %w", document.Name, err)
		}
		target.composites = union(target.composites, parts)
		return nil
	}
	for _, document := range documents.Realm {
		if err := compose(r.roles[document.Name], document); err != nil {
			return err
		}
	}
	for id, roles := range documents.Client {
		for _, document := range roles {
			if err := compose(r.clients[id].roles[document.Name], document); err != nil {
				return err
			}
		}
	}
	return r.addDefaultRoles()
}

// addDefaultRoles adds what files before 13 name as default roles. A file that has a default role
// names none besides.
func (r *Realm) addDefaultRoles() error {
	if r.settings.DefaultRole != nil {
		return nil
	}
	ofClients := map[string][]string{}
	for _, c := range r.settings.Clients {
		if len(c.DefaultRoles) > 0 {
			ofClients[c.ClientID] = c.DefaultRoles
		}
	}
	more, err := r.rolesOf(r.settings.DefaultRoles, ofClients, true)
	all := r.roles[r.defaultRole()]
	all.composites = union(all.composites, more)
	return err
}

// buildLastRoles makes the roles that Keycloak makes last, unless something of the file has made
// them.
func (r *Realm) buildLastRoles(importOptions) error {
	if management := r.clients["realm-management"]; management.ofFile {
		const all = "realm-admin"
		ofFile := func(document realmfile.Role) bool { return document.Name == all }
		if management.roles[all] != nil &&
			!slices.ContainsFunc(r.settings.Roles.Client[management.ClientID], ofFile) {
			return fmt.Errorf(
				"roles.client.realm-management: %s is missing, and the file gives it to somebody",
				all)
		}
		management.addBuiltinRoles()
	}
	const name = "uma_authorization"
	if r.roles[name] == nil {
		r.roles[name] = &role{name: name}
		all := r.roles[r.defaultRole()]
		all.composites = append(all.composites, r.roles[name])
	}
	return nil
}

// bringsOfflineAccess reports whether the file has both, the role offline_access and the client
// scope. If it lacks one, Keycloak makes what is missing and gives the role to everybody.
func (r *Realm) bringsOfflineAccess() bool {
	const name = "offline_access"
	return r.hasRole(name) &&
		slices.ContainsFunc(r.settings.ClientScopes, func(s realmfile.Scope) bool {
			return s.Name == name
		})
}

// hasRole reports whether the file has a realm role of a name.
func (r *Realm) hasRole(name string) bool {
	return slices.ContainsFunc(r.settings.Roles.Realm, func(document realmfile.Role) bool {
		return document.Name == name
	})
}

// defaultRole is the name of the role that everybody gets: the file's, or one of Keycloak's that
// the file has no role of.
func (r *Realm) defaultRole() string {
	if r.settings.DefaultRole != nil {
		return r.settings.DefaultRole.Name
	}
	name := "default-roles-" + strings.ToLower(r.name)
	free := name
	for n := 1; r.hasRole(free); n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

// rolesOf resolves names of roles. Keycloak creates the ones that a user names and the realm lacks,
// silently.
func (r *Realm) rolesOf(realm []string, ofClients map[string][]string,
	create bool) ([]*role, error) {
	var found []*role
	for _, name := range realm {
		name = strings.TrimSpace(name)
		if r.roles[name] == nil {
			if !create {
				return nil, fmt.Errorf("the realm has no role %q", name)
			}
			r.roles[name] = &role{name: name}
		}
		found = append(found, r.roles[name])
	}
	for _, id := range slices.Sorted(maps.Keys(ofClients)) {
		c := r.clients[id]
		if c == nil {
			return nil, fmt.Errorf("the realm has no client %q", id)
		}
		for _, name := range ofClients[id] {
			name = strings.TrimSpace(name)
			if c.roles[name] == nil {
				if !create {
					return nil, fmt.Errorf("the client %q has no role %q", id, name)
				}
				c.roles[name] = &role{name: name, client: id}
			}
			found = append(found, c.roles[name])
		}
	}
	return found, nil
}

func union(some, more []*role) []*role {
	for _, r := range more {
		if !slices.Contains(some, r) {
			some = append(some, r)
		}
	}
	return some
}

func (r *Realm) buildGroups(importOptions) error {
	var add func(parent *group, documents []realmfile.Group) error
	add = func(parent *group, documents []realmfile.Group) error {
		for _, document := range documents {
			g := &group{
				name: document.Name, path: "/" + document.Name, parent: parent,
				attributes: document.Attributes,
			}
			if parent != nil {
				g.path = parent.path + g.path
			}
			var err error
			g.roles, err = r.rolesOf(document.RealmRoles, document.ClientRoles, true)
			if err != nil {
				return fmt.Errorf("group %s: %w", g.path, err)
			}
			if r.groups[g.path] == nil { // a slash in a name makes two groups of one path
				r.groups[g.path] = g
			}
			if err := add(g, document.SubGroups); err != nil {
				return err
			}
		}
		return nil
	}
	return add(nil, r.settings.Groups)
}

func (r *Realm) buildScopeMappings(importOptions) error {
	if !slices.ContainsFunc(r.settings.ClientScopes, func(s realmfile.Scope) bool {
		return s.Name == "offline_access"
	}) {
		r.scopes["offline_access"].roles = []*role{r.roles["offline_access"]}
	}
	add := func(mapping realmfile.ScopeMapping, roles []*role) error {
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
		roles, err := r.rolesOf(mapping.Roles, nil, true)
		if err != nil {
			return err
		}
		if err := add(mapping, roles); err != nil {
			return err
		}
	}
	for _, of := range slices.Sorted(maps.Keys(r.settings.ClientScopeMappings)) {
		for _, mapping := range r.settings.ClientScopeMappings[of] {
			roles, err := r.rolesOf(nil, map[string][]string{of: mapping.Roles}, true)
			if err != nil {
				return err
			}
			if err := add(mapping, roles); err != nil {
				return err
			}
		}
	}
	if console := r.clients["account-console"]; console != nil && !console.ofFile {
		account := r.clients["account"]
		for _, name := range []string{"manage-account", "view-groups"} {
			if account.roles[name] != nil {
				console.scopeMappings = append(console.scopeMappings, account.roles[name])
			}
		}
	}
	return nil
}
