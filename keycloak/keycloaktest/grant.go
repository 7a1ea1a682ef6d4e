package keycloaktest

import (
	"slices"
	"strings"

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
		return nil, refuse(400, "invalid_request",
			"Standard token exchange is not enabled for the requested client")
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
	return lacks("grant " + kind)
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
	if scheme, _, _ := strings.Cut(c.Header.Get("Authorization"), " "); kind == umaGrant &&
		strings.EqualFold(scheme, "Bearer") {
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

// mayGoOffline reports whether the user has the role that offline sessions want, and the client may
// see it.
func (g *grant) mayGoOffline() bool {
	return g.realm.scopes["offline_access"] != nil &&
		slices.Contains(g.shownRoles(), g.realm.roles["offline_access"])
}
