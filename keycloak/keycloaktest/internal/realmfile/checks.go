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

// checkRealm checks the fields that are only used when the realm is built. It drops secrets.
func (r *reader) checkRealm(realm *Realm) {
	var root *fieldPath
	switch i := strings.IndexAny(realm.Realm, `:/?#@!$&()*+,;=[]\`); {
	case realm.Realm == "":
		r.report(root.field("realm"), "missing")
	case i >= 0:
		r.report(root.field("realm"), "%q isn't allowed in a name", realm.Realm[i])
	}
	checkUniqueClientID := r.newRequiredNameCheck(root.field("clients"), "clientId")
	checkUniqueID := r.newNameCheck(root.field("clients"), "id")
	for i := range realm.Clients {
		c, path := &realm.Clients[i], root.field("clients").item(i)
		if c.ClientID == "" { // the import uses the ID, or generates one
			if c.ID == "" {
				c.ID = uuid.NewString()
			}
			c.ClientID = c.ID
		}
		if c.DirectGrantsOnly != nil {
			c.StandardFlowEnabled = cmp.Or(c.StandardFlowEnabled, new(!*c.DirectGrantsOnly))
			c.DirectAccessGrantsEnabled = c.DirectAccessGrantsEnabled || *c.DirectGrantsOnly
		}
		checkUniqueClientID(i, c.ClientID)
		if c.ID != "" {
			checkUniqueID(i, c.ID)
		}
		r.checkClient(path, c)
		r.checkClientSessions(path, c, realm)
		r.checkRequiredLevels(path, c, realm)
		r.checkClientFlows(path, c, realm)
		r.checkAuthorization(path, c, realm)
		if len(c.Authorization) > 0 {
			r.ignore("clients[].authorizationSettings")
		}
		c.Authorization = nil
	}
	r.checkScopes(root.field("clientScopes"), realm.ClientScopes)
	r.checkScopes(root.field("clientTemplates"), realm.templates)
	for i, t := range realm.templates {
		sameName := func(s Scope) bool { return s.Name == t.Name }
		if slices.ContainsFunc(BuiltinScopes(), sameName) || slices.Contains(samlScopes, t.Name) {
			r.report(root.field("clientTemplates").item(i).field("name"),
				"Keycloak has a built-in client scope %s", t.Name)
		}
	}
	r.checkRoles(root.field("roles").field("realm"), realm.Roles.Realm)
	for id, roles := range realm.Roles.Client {
		r.checkRoles(root.field("roles").field("client").key(id), roles)
	}
	r.checkGroups(root.field("groups"), realm.Groups)
	r.checkUsers(root.field("users"), realm.Users)
	checkUniqueAlias := r.newRequiredNameCheck(root.field("requiredActions"), "alias")
	for i, action := range realm.RequiredActions {
		checkUniqueAlias(i, action.Alias)
	}
	r.checkScopeMappings(root.field("scopeMappings"), realm, realm.ScopeMappings)
	for id, mappings := range realm.ClientScopeMappings {
		r.checkScopeMappings(root.field("clientScopeMappings").key(id), realm, mappings)
	}
	r.checkExecutions(realm)
	r.checkIdentityProviders(realm)
	r.checkOrganizations(realm)
	if realm.Groups == nil {
		realm.DefaultGroups = nil // Keycloak ignores default groups if the file has no groups
	}
	for i, path := range realm.DefaultGroups {
		if !realm.hasGroup(path) {
			r.report(root.field("defaultGroups").item(i), "the realm has no group %q", path)
		}
	}
	r.checkComponents(root.field("components"), realm)
	realm.hasFederatedUsers = realm.hasFederatedUsers || len(realm.UserFederationProviders) > 0
	realm.UserFederationProviders = nil
}

// newRequiredNameCheck is like newNameCheck, but the function also reports missing names.
func (r *reader) newRequiredNameCheck(path *fieldPath, field string) func(i int, name string) {
	checkUnique := r.newNameCheck(path, field)
	return func(i int, name string) {
		if name == "" {
			r.report(path.item(i).field(field), "missing")
			return
		}
		checkUnique(i, name)
	}
}

// newNameCheck returns a function that reports an item's name if another item in the list has the
// same name. path is the list, and field is the field with the name.
func (r *reader) newNameCheck(path *fieldPath, field string) func(i int, name string) {
	seen := map[string]int{}
	return func(i int, name string) {
		if first, ok := seen[name]; ok {
			r.report(path.item(i).field(field), "%s is already the name of %s", name,
				path.item(first))
			return
		}
		seen[name] = i
	}
}

func (r *reader) checkScopes(path *fieldPath, scopes []Scope) {
	checkUnique := r.newNameCheck(path, "name")
	for i := range scopes {
		s, path := &scopes[i], path.item(i)
		s.Name = scopeName(s.Name)
		checkUnique(i, s.Name)
		switch s.Protocol {
		case "", "openid-connect":
			s.ProtocolMappers = r.checkMappers(path.field("protocolMappers"), s.ProtocolMappers)
		default:
			r.ignore(fmt.Sprintf("clientScopes[%s] (protocol %s)", s.Name, s.Protocol))
			s.ProtocolMappers = nil
		}
	}
}

func (r *reader) checkRoles(path *fieldPath, roles []Role) {
	checkUnique := r.newNameCheck(path, "name")
	for i, role := range roles {
		checkUnique(i, role.Name)
	}
}

func (r *reader) checkGroups(path *fieldPath, groups []Group) {
	checkUnique := r.newNameCheck(path, "name")
	for i, group := range groups {
		checkUnique(i, group.Name)
		r.checkGroups(path.item(i).field("subGroups"), group.SubGroups)
	}
}

// hasGroup reports whether the file has a group with this path.
func (realm *Realm) hasGroup(path string) bool {
	path = strings.Trim(path, "/")
	var contains func(groups []Group, path string) bool
	contains = func(groups []Group, path string) bool {
		return slices.ContainsFunc(groups, func(g Group) bool {
			rest, ok := strings.CutPrefix(path, g.Name+"/")
			return path == g.Name || ok && contains(g.SubGroups, rest)
		})
	}
	return contains(realm.Groups, path)
}

// checkScopeMappings reports mappings without roles, and mappings for client scopes that don't
// exist. Mappings for clients are checked when the realm is built.
func (r *reader) checkScopeMappings(path *fieldPath, realm *Realm, mappings []ScopeMapping) {
	scopes := realm.Scopes()
	for i, m := range mappings {
		if m.Roles == nil {
			r.report(path.item(i).field("roles"), "missing")
		}
		sameName := func(s Scope) bool { return s.Name == m.ClientScope }
		switch {
		case m.Client != "":
		case m.ClientScope == "":
			r.report(path.item(i), "client or clientScope is missing")
		case !slices.ContainsFunc(scopes, sameName) && m.ClientScope != "offline_access" &&
			!slices.Contains(samlScopes, m.ClientScope):
			r.report(path.item(i).field("clientScope"), "the realm has no client scope %s",
				m.ClientScope)
		}
	}
}

// samlScopes are the built-in client scopes for SAML.
var samlScopes = []string{"role_list", "saml_organization", "AuthnContextClassRef"}

func (r *reader) checkUsers(path *fieldPath, users []User) {
	checkUniqueID := r.newNameCheck(path, "id")
	for i := range users {
		u := &users[i]
		if u.ID != "" {
			checkUniqueID(i, u.ID)
		}
		for j, c := range u.Credentials {
			switch path := path.item(i).field("credentials").item(j); {
			case c.Type == "password" && c.Value == "" && c.SecretData == "" &&
				c.CredentialData == "" && c.SaltedHash == "":
				r.report(path, "value or secretData is missing")
			case c.IsHashed() && c.SaltedHash == "" &&
				!(json.Valid([]byte(c.SecretData)) && json.Valid([]byte(c.CredentialData))):
				r.report(path, "secretData and credentialData must be texts with JSON")
			}
		}
		u.Credentials = slices.DeleteFunc(u.Credentials, func(c Credential) bool {
			switch {
			case c.IsHashed():
				r.ignore(fmt.Sprintf("users[%s].credentials (a hashed password)", u.Username))
				return true
			case !c.IsSupported():
				r.ignore(fmt.Sprintf("users[%s].credentials (type %s)", u.Username, c.Type))
				return true
			}
			return false
		})
	}
}

// checkClient checks the fields of a client that a patch can change.
func (r *reader) checkClient(path *fieldPath, c *Client) {
	switch c.Protocol {
	case "", "openid-connect":
	case "saml", "docker-v2":
		r.ignore(fmt.Sprintf("clients[%s] (protocol %s)", c.ClientID, c.Protocol))
	default:
		r.report(path.field("protocol"), "%s isn't a protocol of Keycloak", c.Protocol)
	}
	r.checkPairwise(path, c)
	c.ProtocolMappers = r.checkMappers(path.field("protocolMappers"), c.ProtocolMappers)
	if c.Attributes["use.jwks.url"] == "true" && c.Attributes["use.jwks.string"] == "true" {
		r.report(path.field("attributes").key("use.jwks.string"), "use.jwks.url is true as well")
	}
	for name, urls := range map[string][]string{
		"redirectUris": c.RedirectURIs, "rootUrl": {c.RootURL}, "baseUrl": {c.BaseURL},
		"adminUrl": {c.AdminURL},
		"attributes[post.logout.redirect.uris]": strings.Split(
			c.Attributes["post.logout.redirect.uris"], "##"),
	} {
		for _, url := range urls {
			if problem := urlProblem(url); problem != "" {
				r.report(path.field(name), "%s: %s", url, problem)
			} else if name == "rootUrl" && strings.HasPrefix(url, "/") {
				r.report(path.field(name), "%s: an absolute URL is expected", url)
			}
		}
	}
	for _, name := range urlAttributes {
		for _, url := range strings.Split(c.Attributes[name], "##") {
			address, _, _ := strings.Cut(url, "#") // these URLs may have a fragment
			if problem := urlProblem(address); problem != "" {
				r.report(path.field("attributes").key(name), "%s: %s", url, problem)
			}
		}
	}
	if mode := c.Attributes["ciba.backchannel.token.delivery.mode"]; mode != "" && mode != "poll" &&
		mode != "ping" {
		r.report(path.field("attributes").key("ciba.backchannel.token.delivery.mode"),
			"%s: poll or ping is expected", mode)
	}
	r.checkLevelMap(path, c.Attributes)
	for name := range c.Attributes {
		if isSecret(name) {
			r.ignore(fmt.Sprintf("clients[%s].attributes[%s]", c.ClientID, name))
			delete(c.Attributes, name)
		}
	}
}

// checkPairwise reports pairwise subject mappers whose sector is unknown. The sector is the host of
// a mapper's sector identifier URI. Without this URI, it is the host of the client's redirect URIs,
// which must all be the same. Keycloak's import also fetches the sector identifier URI; the fake
// doesn't.
func (r *reader) checkPairwise(path *fieldPath, c *Client) {
	for i, m := range c.ProtocolMappers {
		if !strings.HasSuffix(m.ProtocolMapper, "pairwise-sub-mapper") {
			continue
		}
		path := path.field("protocolMappers").item(i)
		if sector := m.Config["sectorIdentifierUri"]; sector != "" {
			if parsed, err := url.Parse(sector); err != nil || parsed.Scheme == "" ||
				parsed.Host == "" {
				r.report(path.field("config").key("sectorIdentifierUri"), "%s: not a URL", sector)
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
				r.report(path, "%s: not a URL", address)
			}
			hosts[host] = true
		}
		switch len(hosts) {
		case 0:
			r.report(path,
				"the client has no redirect URI with a host, and the mapper has no "+
					"sectorIdentifierUri")
		case 1:
		default:
			r.report(path,
				"the client has redirect URIs of several hosts, and the mapper has no "+
					"sectorIdentifierUri")
		}
	}
}

// javaHost returns the host of an address as Java's java.net.URI does. It returns an empty host if
// the authority is invalid, and false if the address isn't a URI.
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

// checkMail checks the addresses in from and replyTo if the realm has a mail server.
func (r *reader) checkMail(path *fieldPath, config map[string]string) {
	if len(config) == 0 {
		return
	}
	isValid := func(address string) bool {
		nonASCII := strings.IndexFunc(address, func(c rune) bool { return c > unicode.MaxASCII })
		return validEmail(address) && (nonASCII < 0 ||
			nonASCII > strings.LastIndex(address, "@") || config["allowutf8"] == "true")
	}
	if !isValid(config["from"]) {
		r.report(path.key("from"), "%q: an e-mail address is expected", config["from"])
	}
	if replyTo := config["replyTo"]; replyTo != "" && !isValid(replyTo) {
		r.report(path.key("replyTo"), "%q: an e-mail address is expected", replyTo)
	}
	r.ignore(path.String())
}

// urlAttributes are the client attributes that hold URLs.
var urlAttributes = []string{
	"backchannel.logout.url", "frontchannel.logout.url", "jwks.url", "logoUri", "policyUri",
	"tosUri", "request.uris", "saml_assertion_consumer_url_post",
	"saml_assertion_consumer_url_redirect", "saml_artifact_binding_url",
	"saml_single_logout_service_url_post", "saml_single_logout_service_url_redirect",
}

// isSecret reports whether a client attribute or a setting of a key provider is a private key or a
// secret, judging by its name.
func isSecret(name string) bool {
	name = strings.ToLower(strings.ReplaceAll(name, ".", ""))
	return strings.HasSuffix(name, "privatekey") || name == "secret"
}

// urlProblem returns why Keycloak rejects a client's URL, or "" if Keycloak accepts it. Keycloak
// also accepts URLs that contain * and the value +.
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

// checkMappers checks protocol mappers, and returns the mappers for OpenID Connect.
func (r *reader) checkMappers(path *fieldPath, mappers []Mapper) []Mapper {
	checkUnique := r.newNameCheck(path, "name")
	for i, m := range mappers {
		checkUnique(i, m.Protocol+" "+m.Name) // mappers of different protocols may share a name
		switch {
		case m.Protocol == "":
			r.report(path.item(i).field("protocol"), "missing")
		case m.ProtocolMapper == "":
			r.report(path.item(i).field("protocolMapper"), "missing")
		case m.Protocol != "openid-connect":
			r.ignore(fmt.Sprintf("%s (protocol %s)", path.pattern(), m.Protocol))
		}
	}
	return slices.DeleteFunc(slices.Clone(mappers), func(m Mapper) bool {
		return m.Protocol != "openid-connect"
	})
}

// checkClientSessions reports client settings that would let a client session outlast the user's
// session.
func (r *reader) checkClientSessions(path *fieldPath, c *Client, realm *Realm) {
	idle := valueOr(realm.SSOSessionIdleTimeout, 1800)
	lifespan := valueOr(realm.SSOSessionMaxLifespan, 36000)
	if realm.RememberMe {
		idle = max(idle, realm.RememberMeIdleTimeout)
		lifespan = max(lifespan, realm.RememberMeMaxLifespan)
	}
	if n := IntAttribute(c.Attributes, "client.session.idle.timeout", 0); n > idle {
		r.report(path.field("attributes").key("client.session.idle.timeout"),
			"%d is more than the realm's idle timeout of %d", n, idle)
	}
	if n := IntAttribute(c.Attributes, "client.session.max.lifespan", 0); n > lifespan {
		r.report(path.field("attributes").key("client.session.max.lifespan"),
			"%d is more than the realm's longest session of %d", n, lifespan)
	}
}

// checkSettings checks the realm settings that a patch can change, and sets realm.Unsupported.
func (r *reader) checkSettings(realm *Realm) {
	var root *fieldPath
	realm.Unsupported = nil
	add := func(uses Use, format string, args ...any) {
		reason := fmt.Sprintf(format, args...)
		realm.Unsupported = append(realm.Unsupported, UnsupportedSetting{reason, uses})
	}
	sslRequired := valueOr(realm.SSLRequired, "external")
	if !slices.Contains([]string{"all", "external", "none"}, strings.ToLower(sslRequired)) {
		r.report(root.field("sslRequired"), "%s: all, external or none is expected", sslRequired)
	}
	if algorithm := realm.DefaultSignatureAlgorithm; algorithm != "" &&
		!slices.Contains(SignatureAlgorithms, algorithm) {
		add(UseTokens, "defaultSignatureAlgorithm: %s isn't a signature algorithm of Keycloak",
			algorithm)
	}
	for name, n := range map[string]*int{
		"failureFactor": realm.FailureFactor, "waitIncrementSeconds": realm.WaitIncrementSeconds,
		"maxFailureWaitSeconds":        realm.MaxFailureWaitSeconds,
		"maxDeltaTimeSeconds":          realm.MaxDeltaTimeSeconds,
		"minimumQuickLoginWaitSeconds": realm.MinimumQuickLoginWait,
	} {
		if valueOr(n, 0) < 0 {
			r.report(root.field(name), "less than 0")
		}
	}
	if realm.Attributes["shortVerificationUri"] != "" {
		add(UseDevice,
			"the attribute shortVerificationUri is not supported: the fake Keycloak has the page "+
				"only at its usual address")
	}
	if realm.OrganizationsEnabled && realm.hasOrganizationProviders() {
		add(UseLogin, "identity providers of organizations are not supported")
	}
	if realm.BruteForceProtected && realm.MaxSecondaryFailures > 0 {
		add(UseOTP,
			"maxSecondaryAuthFailures is not supported: failures with a second factor aren't "+
				"counted separately")
	}
	if realm.hasFederatedUsers {
		add(UseUnknownUser,
			"user federation is not supported: users of user storage providers can't sign in")
	}
	if _, err := ParsePasswordPolicy(realm.PasswordPolicy); err != nil {
		r.report(root.field("passwordPolicy"), "%v", err)
	}
	r.checkMail(root.field("smtpServer"), realm.SMTPServer)
	realm.SMTPServer = nil // it contains a password
	r.checkBoundFlows(realm)
	realm.Unsupported = append(realm.Unsupported, r.unsupportedPolicies(realm)...)
	realm.Unsupported = append(realm.Unsupported, unsupportedFlows(realm)...)
}
