package realmfile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/google/uuid"
)

// The checks in this file report missing and duplicate names, values that Keycloak's import
// rejects, and realm settings that the fake Keycloak doesn't support.

// checkRealm checks the fields that are only used when the realm is built, and drops secrets.
func (r *reader) checkRealm(file *Realm) {
	var root *path
	switch at := strings.IndexAny(file.Realm, `:/?#@!$&()*+,;=[]\`); {
	case file.Realm == "":
		r.problem(root.field("realm"), "missing")
	case at >= 0:
		r.problem(root.field("realm"), "%q isn't allowed in a name", file.Realm[at])
	}
	checkClientID := r.requiredUnique(root.field("clients"), "clientId")
	checkID := r.unique(root.field("clients"), "id")
	for i := range file.Clients {
		c, at := &file.Clients[i], root.field("clients").item(i)
		if c.ClientID == "" { // the import uses the id, or generates one
			if c.ID == "" {
				c.ID = uuid.NewString()
			}
			c.ClientID = c.ID
		}
		if c.DirectGrantsOnly != nil {
			c.StandardFlowEnabled = cmp.Or(c.StandardFlowEnabled, new(!*c.DirectGrantsOnly))
			c.DirectAccessGrantsEnabled = c.DirectAccessGrantsEnabled || *c.DirectGrantsOnly
		}
		checkClientID(i, c.ClientID)
		if c.ID != "" {
			checkID(i, c.ID)
		}
		r.checkClient(at, c)
		r.checkClientSessions(at, c, file)
		r.checkRequiredLevels(at, c, file)
		r.checkClientFlows(at, c, file)
		r.checkAuthorization(at, c, file)
		if len(c.Authorization) > 0 {
			r.ignore("clients[].authorizationSettings")
		}
		c.Authorization = nil
	}
	r.checkScopes(root.field("clientScopes"), file.ClientScopes)
	r.checkScopes(root.field("clientTemplates"), file.templates)
	for i, t := range file.templates {
		sameName := func(s Scope) bool { return s.Name == t.Name }
		if slices.ContainsFunc(BuiltinScopes(), sameName) || slices.Contains(samlScopes, t.Name) {
			r.problem(root.field("clientTemplates").item(i).field("name"),
				"%s is the name of a client scope of Keycloak's own", t.Name)
		}
	}
	r.checkRoles(root.field("roles").field("realm"), file.Roles.Realm)
	for id, roles := range file.Roles.Client {
		r.checkRoles(root.field("roles").field("client").key(id), roles)
	}
	r.checkGroups(root.field("groups"), file.Groups)
	r.checkUsers(root.field("users"), file.Users)
	checkAlias := r.requiredUnique(root.field("requiredActions"), "alias")
	for i, action := range file.RequiredActions {
		checkAlias(i, action.Alias)
	}
	r.checkScopeMappings(root.field("scopeMappings"), file, file.ScopeMappings)
	for id, mappings := range file.ClientScopeMappings {
		r.checkScopeMappings(root.field("clientScopeMappings").key(id), file, mappings)
	}
	r.checkExecutions(file)
	r.checkIdentityProviders(file)
	if file.OrganizationsEnabled {
		r.checkOrganizations(file)
	}
	if file.Groups == nil {
		file.DefaultGroups = nil // Keycloak ignores them if a file has no groups
	}
	for i, path := range file.DefaultGroups {
		if !file.hasGroup(path) {
			r.problem(root.field("defaultGroups").item(i), "the realm has no group %q", path)
		}
	}
	r.checkComponents(root.field("components"), file)
	file.federated = file.federated || len(file.UserFederationProviders) > 0
	file.HasOrganizations = len(file.Organizations) > 0
	file.UserFederationProviders, file.Organizations = nil, nil
}

// requiredUnique returns a function that reports an item's name if it is missing or a duplicate.
func (r *reader) requiredUnique(at *path, field string) func(i int, name string) {
	unique := r.unique(at, field)
	return func(i int, name string) {
		if name == "" {
			r.problem(at.item(i).field(field), "missing")
			return
		}
		unique(i, name)
	}
}

// unique returns a function that reports an item's name if it is a duplicate.
func (r *reader) unique(at *path, field string) func(i int, name string) {
	seen := map[string]int{}
	return func(i int, name string) {
		if first, ok := seen[name]; ok {
			r.problem(at.item(i).field(field), "%s is already the name of %s", name,
				at.item(first))
			return
		}
		seen[name] = i
	}
}

func (r *reader) checkScopes(at *path, scopes []Scope) {
	unique := r.unique(at, "name")
	for i := range scopes {
		s, at := &scopes[i], at.item(i)
		s.Name = scopeName(s.Name)
		unique(i, s.Name)
		switch s.Protocol {
		case "", "openid-connect":
			s.ProtocolMappers = r.checkMappers(at.field("protocolMappers"), s.ProtocolMappers)
		default:
			r.ignore(fmt.Sprintf("clientScopes[%s] (protocol %s)", s.Name, s.Protocol))
			s.ProtocolMappers = nil
		}
	}
}

func (r *reader) checkRoles(at *path, roles []Role) {
	unique := r.unique(at, "name")
	for i, role := range roles {
		unique(i, role.Name)
	}
}

func (r *reader) checkGroups(at *path, groups []Group) {
	unique := r.unique(at, "name")
	for i, group := range groups {
		unique(i, group.Name)
		r.checkGroups(at.item(i).field("subGroups"), group.SubGroups)
	}
}

// checkOrganizations reports members of organizations that aren't users of the realm.
func (r *reader) checkOrganizations(file *Realm) {
	var root *path
	for i, document := range file.Organizations {
		var o struct {
			Members []struct {
				Username string `json:"username"`
			} `json:"members"`
		}
		if err := json.Unmarshal(document, &o); err != nil {
			r.problem(root.field("organizations").item(i), "%v", err)
		}
		for _, m := range o.Members {
			if !slices.ContainsFunc(file.Users, func(u User) bool {
				return strings.EqualFold(u.Username, m.Username)
			}) {
				r.problem(root.field("organizations").item(i).field("members"),
					"the realm has no user %q", m.Username)
			}
		}
	}
}

// hasGroup reports whether the file has a group with this path.
func (file *Realm) hasGroup(path string) bool {
	path = strings.Trim(path, "/")
	var contains func(groups []Group, path string) bool
	contains = func(groups []Group, path string) bool {
		return slices.ContainsFunc(groups, func(g Group) bool {
			rest, ok := strings.CutPrefix(path, g.Name+"/")
			return path == g.Name || ok && contains(g.SubGroups, rest)
		})
	}
	return contains(file.Groups, path)
}

// checkScopeMappings reports mappings without roles, and mappings for client scopes that don't
// exist. Mappings for clients are checked when the realm is built.
func (r *reader) checkScopeMappings(at *path, file *Realm, mappings []ScopeMapping) {
	scopes := file.Scopes()
	for i, m := range mappings {
		if m.Roles == nil {
			r.problem(at.item(i).field("roles"), "missing")
		}
		sameName := func(s Scope) bool { return s.Name == m.ClientScope }
		switch {
		case m.Client != "":
		case m.ClientScope == "":
			r.problem(at.item(i), "client or clientScope is missing")
		case !slices.ContainsFunc(scopes, sameName) && m.ClientScope != "offline_access" &&
			!slices.Contains(samlScopes, m.ClientScope):
			r.problem(at.item(i).field("clientScope"), "the realm has no client scope %s",
				m.ClientScope)
		}
	}
}

// samlScopes are the built-in client scopes for SAML.
var samlScopes = []string{"role_list", "saml_organization", "AuthnContextClassRef"}

func (r *reader) checkUsers(at *path, users []User) {
	checkID := r.unique(at, "id")
	for i := range users {
		u := &users[i]
		if u.ID != "" {
			checkID(i, u.ID)
		}
		for j, c := range u.Credentials {
			switch at := at.item(i).field("credentials").item(j); {
			case c.Type == "password" && c.Value == "" && c.SecretData == "" &&
				c.CredentialData == "" && c.SaltedHash == "":
				r.problem(at, "neither value nor secretData is there")
			case c.Hashed() && c.SaltedHash == "" &&
				!(json.Valid([]byte(c.SecretData)) && json.Valid([]byte(c.CredentialData))):
				r.problem(at, "secretData and credentialData are JSON in a text")
			}
		}
		u.Credentials = slices.DeleteFunc(u.Credentials, func(c Credential) bool {
			switch {
			case c.Hashed():
				r.ignore(fmt.Sprintf("users[%s].credentials (a hashed password)", u.Username))
				return true
			case !c.Known():
				r.ignore(fmt.Sprintf("users[%s].credentials (type %s)", u.Username, c.Type))
				return true
			}
			return false
		})
	}
}

// checkClient checks the fields of a client that a patch can change.
func (r *reader) checkClient(at *path, c *Client) {
	switch c.Protocol {
	case "", "openid-connect":
	case "saml", "docker-v2":
		r.ignore(fmt.Sprintf("clients[%s] (protocol %s)", c.ClientID, c.Protocol))
	default:
		r.problem(at.field("protocol"), "%s isn't a protocol of Keycloak", c.Protocol)
	}
	r.checkPairwise(at, c)
	c.ProtocolMappers = r.checkMappers(at.field("protocolMappers"), c.ProtocolMappers)
	if c.Attributes["use.jwks.url"] == "true" && c.Attributes["use.jwks.string"] == "true" {
		r.problem(at.field("attributes").key("use.jwks.string"), "use.jwks.url is true as well")
	}
	for name, urls := range map[string][]string{
		"redirectUris": c.RedirectURIs, "rootUrl": {c.RootURL}, "baseUrl": {c.BaseURL}, "adminUrl": {c.AdminURL},
		"attributes[post.logout.redirect.uris]": strings.Split(
			c.Attributes["post.logout.redirect.uris"], "##"),
	} {
		for _, url := range urls {
			if problem := urlProblem(url); problem != "" {
				r.problem(at.field(name), "%s: %s", url, problem)
			} else if name == "rootUrl" && strings.HasPrefix(url, "/") {
				r.problem(at.field(name), "%s: an absolute URL is expected", url)
			}
		}
	}
	for _, name := range urlAttributes {
		for _, url := range strings.Split(c.Attributes[name], "##") {
			address, _, _ := strings.Cut(url, "#") // a fragment is allowed here
			if problem := urlProblem(address); problem != "" {
				r.problem(at.field("attributes").key(name), "%s: %s", url, problem)
			}
		}
	}
	if mode := c.Attributes["ciba.backchannel.token.delivery.mode"]; mode != "" && mode != "poll" &&
		mode != "ping" {
		r.problem(at.field("attributes").key("ciba.backchannel.token.delivery.mode"),
			"%s: poll or ping is expected", mode)
	}
	r.checkLevelMap(at, c.Attributes)
	for name := range c.Attributes {
		if isSecret(name) {
			r.ignore(fmt.Sprintf("clients[%s].attributes[%s]", c.ClientID, name))
			delete(c.Attributes, name)
		}
	}
}

// checkPairwise reports pairwise subject mappers whose sector is unknown: without a sector
// identifier URI, the client's redirect URIs must all have the same host. Keycloak's import fetches
// a sector identifier URI; the fake doesn't.
func (r *reader) checkPairwise(at *path, c *Client) {
	for i, m := range c.ProtocolMappers {
		if !strings.HasSuffix(m.ProtocolMapper, "pairwise-sub-mapper") {
			continue
		}
		at := at.field("protocolMappers").item(i)
		if sector := m.Config["sectorIdentifierUri"]; sector != "" {
			if parsed, err := url.Parse(sector); err != nil || parsed.Scheme == "" ||
				parsed.Host == "" {
				r.problem(at.field("config").key("sectorIdentifierUri"), "%s: not a URL", sector)
			}
			continue
		}
		hosts := map[string]bool{}
		for _, address := range c.RedirectURIs {
			if strings.HasPrefix(address, "/") {
				if c.RootURL == "" {
					continue
				}
				address = c.RootURL + address
			}
			host, ok := javaHost(address)
			if !ok {
				r.problem(at, "%s: not a URL", address)
			}
			hosts[host] = true
		}
		switch len(hosts) {
		case 0:
			r.problem(at,
				"the client has no redirect URI with a host, and the mapper has no "+
					"sectorIdentifierUri")
		case 1:
		default:
			r.problem(at,
				"the client has redirect URIs of several hosts, and the mapper has no "+
					"sectorIdentifierUri")
		}
	}
}

// javaHost returns the host of an address as java.net.URI does: "" if the authority is invalid.
func javaHost(address string) (host string, ok bool) {
	if urlProblem(address) != "" || strings.HasPrefix(address, "${") {
		return "", false
	}
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		return "", true
	}
	authority, _, _ := strings.Cut(rest, "/")
	parsed, err := url.Parse("x://" + authority)
	if err != nil || strings.Contains(parsed.Hostname(), "*") {
		return "", true
	}
	return parsed.Hostname(), true
}

// checkMail checks the sender and the reply-to address if the realm has a mail server.
func (r *reader) checkMail(at *path, config map[string]string) {
	if len(config) == 0 {
		return
	}
	valid := func(address string) bool {
		nonASCII := strings.IndexFunc(address, func(c rune) bool { return c > unicode.MaxASCII })
		return validEmail(address) && (nonASCII < 0 ||
			nonASCII > strings.LastIndex(address, "@") || config["allowutf8"] == "true")
	}
	if !valid(config["from"]) {
		r.problem(at.key("from"), "%q: an e-mail address is expected", config["from"])
	}
	if replyTo := config["replyTo"]; replyTo != "" && !valid(replyTo) {
		r.problem(at.key("replyTo"), "%q: an e-mail address is expected", replyTo)
	}
	r.ignore(at.String())
}

// urlAttributes are the client attributes that hold URLs.
var urlAttributes = []string{
	"backchannel.logout.url", "frontchannel.logout.url", "jwks.url", "logoUri", "policyUri",
	"tosUri", "request.uris", "saml_assertion_consumer_url_post",
	"saml_assertion_consumer_url_redirect", "saml_artifact_binding_url",
	"saml_single_logout_service_url_post", "saml_single_logout_service_url_redirect",
}

// isSecret reports whether the client attribute or key provider setting with this name holds a
// private key or a secret.
func isSecret(name string) bool {
	name = strings.ToLower(strings.ReplaceAll(name, ".", ""))
	return strings.HasSuffix(name, "privatekey") || name == "secret"
}

// urlProblem returns why Keycloak rejects a client's URL, or "" if Keycloak accepts it. A URL may
// contain * or consist of a +.
func urlProblem(url string) string {
	scheme, _, _ := strings.Cut(strings.ToLower(url), ":")
	switch {
	case strings.HasPrefix(url, "${"):
	case scheme == "javascript" || scheme == "data":
		return "the scheme isn't allowed"
	case strings.Contains(url, "#"):
		return "a fragment isn't allowed"
	case strings.ContainsAny(url, " <>\"{}|\\^`") ||
		strings.ContainsFunc(url, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return "not a URL"
	}
	for i, c := range url {
		if c == '%' && (len(url) < i+3 || !isHex(url[i+1]) || !isHex(url[i+2])) {
			return "not a URL"
		}
	}
	return ""
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// checkMappers checks protocol mappers and returns the OpenID Connect mappers.
func (r *reader) checkMappers(at *path, mappers []Mapper) []Mapper {
	unique := r.unique(at, "name")
	for i, m := range mappers {
		unique(i, m.Protocol+" "+m.Name) // names need only be unique within a protocol
		switch {
		case m.Protocol == "":
			r.problem(at.item(i).field("protocol"), "missing")
		case m.ProtocolMapper == "":
			r.problem(at.item(i).field("protocolMapper"), "missing")
		case m.Protocol != "openid-connect":
			r.ignore(fmt.Sprintf("%s (protocol %s)", at.pattern(), m.Protocol))
		}
	}
	return slices.DeleteFunc(slices.Clone(mappers), func(m Mapper) bool {
		return m.Protocol != "openid-connect"
	})
}

// checkClientSessions reports settings by which a client session would outlast the user's session.
func (r *reader) checkClientSessions(at *path, c *Client, realm *Realm) {
	idle := valueOr(realm.SSOSessionIdleTimeout, 1800)
	lifespan := valueOr(realm.SSOSessionMaxLifespan, 36000)
	if realm.RememberMe {
		idle = max(idle, realm.RememberMeIdleTimeout)
		lifespan = max(lifespan, realm.RememberMeMaxLifespan)
	}
	if n := IntAttribute(c.Attributes, "client.session.idle.timeout", 0); n > idle {
		r.problem(at.field("attributes").key("client.session.idle.timeout"),
			"%d is more than the realm's idle timeout of %d", n, idle)
	}
	if n := IntAttribute(c.Attributes, "client.session.max.lifespan", 0); n > lifespan {
		r.problem(at.field("attributes").key("client.session.max.lifespan"),
			"%d is more than the realm's longest session of %d", n, lifespan)
	}
}

// checkSettings checks the realm settings that a patch can change.
func (r *reader) checkSettings(file *Realm) {
	var root *path
	file.Unsupported = nil
	add := func(uses Use, format string, args ...any) {
		file.Unsupported = append(file.Unsupported, Unsupported{fmt.Sprintf(format, args...), uses})
	}
	ssl := valueOr(file.SSLRequired, "external")
	if !slices.Contains([]string{"all", "external", "none"}, strings.ToLower(ssl)) {
		r.problem(root.field("sslRequired"), "%s: all, external or none is expected", ssl)
	}
	if algorithm := file.DefaultSignatureAlgorithm; algorithm != "" &&
		!slices.Contains(SignatureAlgorithms, algorithm) {
		add(UseTokens, "defaultSignatureAlgorithm: %s isn't a signature algorithm of Keycloak",
			algorithm)
	}
	for name, n := range map[string]*int{
		"failureFactor": file.FailureFactor, "waitIncrementSeconds": file.WaitIncrementSeconds,
		"maxFailureWaitSeconds":        file.MaxFailureWaitSeconds,
		"maxDeltaTimeSeconds":          file.MaxDeltaTimeSeconds,
		"minimumQuickLoginWaitSeconds": file.MinimumQuickLoginWait,
	} {
		if valueOr(n, 0) < 0 {
			r.problem(root.field(name), "less than 0")
		}
	}
	if file.Attributes["shortVerificationUri"] != "" {
		add(UseDevice,
			"the attribute shortVerificationUri is not supported: people find the page at its "+
				"usual address here")
	}
	if file.OrganizationsEnabled {
		add(UseLogin,
			"organizationsEnabled is not supported: the login page would ask for a name first")
	}
	if file.BruteForceProtected && file.MaxSecondaryFailures > 0 {
		add(UseOTP,
			"maxSecondaryAuthFailures is not supported: failures with a second factor aren't "+
				"counted apart")
	}
	if file.federated {
		add(UseUnknownUser,
			"user federation is not supported: users of another store can't sign in here")
	}
	if _, err := PasswordRules(file.PasswordPolicy); err != nil {
		r.problem(root.field("passwordPolicy"), "%v", err)
	}
	r.checkMail(root.field("smtpServer"), file.SMTPServer)
	file.SMTPServer = nil // it contains a password
	r.checkBoundFlows(file)
	file.Unsupported = append(file.Unsupported, r.unsupportedPolicies(file)...)
	file.Unsupported = append(file.Unsupported, unsupportedFlows(file)...)
}
