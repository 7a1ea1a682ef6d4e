package keycloaktest

import (
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// grantTypes are the grants of the token endpoint, by grant_type. What Keycloak has besides is
// answered with 501, and what it hasn't either, with its refusal.
func grantTypes() map[string]func(*call, *client) (*issue, *refusal) {
	return map[string]func(*call, *client) (*issue, *refusal){
		"password":           (*call).passwordGrant,
		"refresh_token":      (*call).refreshGrant,
		"client_credentials": (*call).clientCredentialsGrant,
		"authorization_code": (*call).codeGrant,
		deviceGrant:          (*call).deviceGrant,
	}
}

// otherGrants are those that Keycloak has besides: refused in its words, as it refuses them to a
// client that they aren't switched on for, and by name where it would answer.
var otherGrants = map[string]func(*call, *client) (*issue, *refusal){
	tokenExchange: func(c *call, by *client) (*issue, *refusal) {
		if by.attribute("standard.token.exchange.enabled") {
			return nil, noGrant(c)
		}
		return nil, refuse(400, "invalid_request", "Standard token exchange is not enabled for the requested client")
	},
	"urn:openid:params:grant-type:ciba": func(c *call, by *client) (*issue, *refusal) {
		if by.attribute("oidc.ciba.grant.enabled") {
			return nil, noGrant(c)
		}
		return nil, invalidGrant("Client not allowed OIDC CIBA Grant")
	},
	"urn:ietf:params:oauth:grant-type:jwt-bearer": func(c *call, by *client) (*issue, *refusal) {
		assertion, sent := c.param("assertion")
		switch {
		case !sent:
			return nil, invalidGrant("Missing parameter:assertion")
		case strings.Count(assertion, ".") != 2:
			return nil, invalidGrant("The provided assertion is not a valid JWT")
		}
		return nil, noGrant(c)
	},
	umaGrant: func(c *call, _ *client) (*issue, *refusal) { return nil, noGrant(c) },
}

const (
	umaGrant      = "urn:ietf:params:oauth:grant-type:uma-ticket"
	tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// repeatable are the parameters of a grant that may be sent more than once.
var repeatable = map[string][]string{
	tokenExchange: {"audience", "resource"},
	umaGrant:      {"audience", "permission", "resource"},
}

func noGrant(c *call) *refusal {
	kind, _ := c.param("grant_type")
	return hasNo("grant " + kind)
}

// notInStandIn is the error code of what Keycloak has and the stand-in hasn't.
const notInStandIn = "not_in_keycloaktest"

// token is the token endpoint (RFC 6749 3.2). The order of its checks is Keycloak's: realm, TLS,
// grant type, client, repeated parameters, grant.
func (r *Realm) token(c *call) answer {
	issued, refused := r.exchange(c)
	if refused != nil {
		return refused.answer()
	}
	return document(200, noStore, issued.sign())
}

func (r *Realm) exchange(c *call) (*issue, *refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if refused := r.closed(c); refused != nil {
		return nil, refused
	}
	c.cleans = true
	kind, sent := c.param("grant_type")
	if !sent {
		return nil, refuse(400, "invalid_request", "Missing form parameter: grant_type")
	}
	run := grantTypes()[kind]
	if run == nil {
		run = otherGrants[kind]
	}
	if run == nil {
		return nil, refuse(400, "unsupported_grant_type", "Unsupported grant_type")
	}
	if scheme, _, _ := strings.Cut(c.Header.Get("Authorization"), " "); kind == umaGrant && strings.EqualFold(scheme, "Bearer") {
		return nil, noGrant(c) // the token says who asks: there is no client to judge
	}
	by, refused := c.authenticated()
	if refused != nil {
		return nil, refused
	}
	if by.BearerOnly {
		return nil, refuse(400, "invalid_client", "Bearer-only not allowed")
	}
	if repeats(c.form, repeatable[kind]...) {
		return nil, refuse(400, "invalid_request", "duplicated parameter")
	}
	if refused := r.supports(by, realmfile.UseTokens); refused != nil {
		return nil, refused
	}
	if refused := c.allowed(by); refused != nil {
		return nil, refused
	}
	if refused := c.unsupportedParameters(tokenParameters); refused != nil {
		return nil, refused
	}
	return run(c, by)
}

// closed refuses what a realm that is disabled or wants TLS refuses.
func (r *Realm) closed(c *call) *refusal {
	if refused := r.insecure(c); refused != nil {
		return refused
	}
	if !r.settings.Enabled {
		return refuse(403, "access_denied", "Realm not enabled")
	}
	return nil
}

// insecure refuses plain HTTP where the realm wants TLS of everybody: the stand-in speaks plain
// HTTP only, and only on loopback, which "external" allows.
func (r *Realm) insecure(*call) *refusal {
	if strings.EqualFold(or(r.settings.SSLRequired, "external"), "all") {
		return refuse(403, "invalid_request", "HTTPS required")
	}
	return nil
}

// requestedScope resolves the scope parameter.
func (c *call) requestedScope(by *client) ([]string, *refusal) {
	parameter, given := c.param("scope")
	return c.realm.scopesFor(by, parameter, given)
}

var badCredentials = refuse(400, "invalid_grant", "Invalid user credentials")

// passwordGrant is the resource owner password credentials grant (RFC 6749 4.3).
func (c *call) passwordGrant(by *client) (*issue, *refusal) {
	if !by.DirectAccessGrantsEnabled {
		return nil, refuse(400, "unauthorized_client", "Client not allowed for direct access grants")
	}
	if by.ConsentRequired {
		return nil, refuse(400, "invalid_client", "Client requires user consent")
	}
	if refused := c.realm.supports(by, realmfile.UsePassword); refused != nil {
		return nil, refused
	}
	scope, refused := c.requestedScope(by)
	if refused != nil {
		return nil, refused
	}
	name, sent := c.param("username")
	if !sent {
		return nil, refuse(401, "invalid_request", "Missing parameter: username")
	}
	u := c.realm.byName(name)
	if u == nil {
		if refused := c.realm.supports(by, realmfile.UseStranger); refused != nil {
			return nil, refused
		}
		return nil, badCredentials
	}
	if u.otp != nil {
		if refused := c.realm.supports(by, realmfile.UseOTP); refused != nil {
			return nil, refused
		}
	}
	code, given := c.param("otp")
	if !given {
		code, given = c.param("totp")
	}
	if refused := c.realm.checkPassword(u, c.value("password"), c.now); refused != nil {
		return nil, refused
	}
	if u.otp != nil && (!given || !u.otp.accepts(code, c.now, c.realm.settings)) {
		c.realm.failed(u, c.now)
		return nil, badCredentials
	}
	c.realm.succeeded(u)
	if refused := c.realm.ready(u); refused != nil {
		return nil, refused
	}
	return c.signedIn(by, u, scope)
}

// checkPassword says whether a password is right, counts when it isn't, and refuses who is locked
// or disabled.
func (r *Realm) checkPassword(u *user, password string, now time.Time) *refusal {
	if u.FederationLink != "" {
		return refuse(501, notInStandIn, "user "+u.Username+": users of another store can't sign in here")
	}
	if r.locked(u, now) {
		return badCredentials
	}
	if u.password == "" || password != u.password {
		r.failed(u, now)
		return badCredentials
	}
	if what := r.profile.Unread(&u.User); what != "" {
		return refuse(501, notInStandIn, "user "+u.Username+": attribute "+what+": it is not supported")
	}
	if !u.Enabled {
		if u.permanently {
			return badCredentials
		}
		return refuse(400, "invalid_grant", "Account disabled")
	}
	return nil
}

// ready refuses a user who has something to do in the browser first.
func (r *Realm) ready(u *user) *refusal {
	// Those that the realm has switched off count, too; a profile is looked at itself.
	asked := slices.ContainsFunc(u.RequiredActions, func(alias string) bool { return alias != profileAction })
	if asked || len(r.pendingActions(u)) > 0 {
		r.explainUnready(u)
		return refuse(400, "invalid_grant", "Account is not fully set up")
	}
	return nil
}

// explainUnready says what Keycloak's answer leaves out.
func (r *Realm) explainUnready(u *user) {
	if lacking := r.profile.Lacking(&u.User, &r.settings); u.ServiceAccountOf == "" && len(lacking) > 0 {
		r.server.explain("%s can't sign in with a password, as in Keycloak: the realm's user profile wants a valid %s; give the user what "+
			"is missing (members of the user in the realm file, AddUser or Update)", u.Username, strings.Join(lacking, ", "))
	}
	if len(u.RequiredActions) > 0 {
		r.server.explain("%s can't sign in with a password, as in Keycloak: the user has required actions: %s", u.Username, strings.Join(u.RequiredActions, ", "))
	}
}

// signedIn begins a session by a password grant.
func (c *call) signedIn(by *client, u *user, scope []string) (*issue, *refusal) {
	g := &grant{realm: c.realm, client: by, user: u, scope: scope, kind: "ro", now: c.now}
	if refused := c.realm.begin(g); refused != nil {
		return nil, refused
	}
	return g.issue(!by.isFalse("use.refresh.tokens")), nil
}

func (c *client) isFalse(attribute string) bool { return c.Attributes[attribute] == "false" }

// begin gives a grant a session of its own.
func (r *Realm) begin(g *grant) *refusal {
	offline := g.has("offline_access")
	if offline && !g.mayGoOffline() {
		return refuse(400, "not_allowed", "Offline tokens not allowed for the user or client")
	}
	g.session = r.newSession(g.user, offline, g.now)
	g.part = g.session.attach(g.client, g.scope, g.now)
	return nil
}

// mayGoOffline says whether the user has the role that offline sessions want, and the client may
// see it.
func (g *grant) mayGoOffline() bool {
	return g.realm.scopes["offline_access"] != nil && slices.Contains(g.shownRoles(), g.realm.roles["offline_access"])
}

// clientCredentialsGrant is the client credentials grant (RFC 6749 4.4): the client acts as its
// service account.
func (c *call) clientCredentialsGrant(by *client) (*issue, *refusal) {
	if by.PublicClient {
		return nil, refuse(401, "unauthorized_client", "Public client not allowed to retrieve service account")
	}
	if !by.ServiceAccountsEnabled || by.serviceAccount == nil {
		return nil, refuse(401, "unauthorized_client", "Client not enabled to retrieve service account")
	}
	if !by.serviceAccount.Enabled {
		return nil, refuse(401, "invalid_request", "User '"+by.serviceAccount.Username+"' disabled")
	}
	scope, refused := c.requestedScope(by)
	if refused != nil {
		return nil, refused
	}
	host, _, _ := strings.Cut(c.RemoteAddr, ":")
	g := &grant{
		realm: c.realm, client: by, user: by.serviceAccount, scope: scope, kind: "cc", now: c.now,
		notes: map[string]string{"client_id": by.ClientID, "clientId": by.ClientID, "clientHost": host, "clientAddress": host},
	}
	if !by.attribute("client_credentials.use_refresh_token") {
		return g.issue(false), nil
	}
	if refused := c.realm.begin(g); refused != nil {
		return nil, refused
	}
	for name, value := range g.notes {
		g.session.notes[name] = value
	}
	return g.issue(true), nil
}
