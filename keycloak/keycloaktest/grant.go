package keycloaktest

import (
	"slices"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// grantTypes are the supported grants by grant_type. See otherGrants for Keycloak's other grants.
func grantTypes() map[string]func(*call, *client) (*unsignedResponse, *refusal) {
	return map[string]func(*call, *client) (*unsignedResponse, *refusal){
		"password":           (*call).passwordGrant,
		"refresh_token":      (*call).refreshGrant,
		"client_credentials": (*call).clientCredentialsGrant,
		"authorization_code": (*call).codeGrant,
		deviceGrant:          (*call).deviceGrant,
	}
}

// otherGrants are the grants that only Keycloak supports. A client that doesn't have the grant
// enabled gets Keycloak's error, other clients 501.
var otherGrants = map[string]func(*call, *client) (*unsignedResponse, *refusal){
	tokenExchange: func(c *call, caller *client) (*unsignedResponse, *refusal) {
		if caller.isTrue("standard.token.exchange.enabled") {
			return nil, noGrant(c)
		}
		return nil, refuse(400, "invalid_request",
			"Standard token exchange is not enabled for the requested client")
	},
	"urn:openid:params:grant-type:ciba": func(c *call, caller *client) (*unsignedResponse, *refusal) {
		if caller.isTrue("oidc.ciba.grant.enabled") {
			return nil, noGrant(c)
		}
		return nil, invalidGrant("Client not allowed OIDC CIBA Grant")
	},
	"urn:ietf:params:oauth:grant-type:jwt-bearer": func(c *call, caller *client) (*unsignedResponse, *refusal) {
		assertion, sent := c.param("assertion")
		switch {
		case !sent:
			return nil, invalidGrant("Missing parameter:assertion")
		case strings.Count(assertion, ".") != 2:
			return nil, invalidGrant("The provided assertion is not a valid JWT")
		}
		return nil, noGrant(c)
	},
	umaGrant: func(c *call, _ *client) (*unsignedResponse, *refusal) { return nil, noGrant(c) },
}

const (
	umaGrant      = "urn:ietf:params:oauth:grant-type:uma-ticket"
	tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// repeatable lists the parameters of a grant that may be sent more than once.
var repeatable = map[string][]string{
	tokenExchange: {"audience", "resource"},
	umaGrant:      {"audience", "permission", "resource"},
}

func noGrant(c *call) *refusal {
	grantType, _ := c.param("grant_type")
	return unsupported("grant " + grantType)
}

// notInStandIn is the error code for features that the stand-in lacks.
const notInStandIn = "not_in_keycloaktest"

// token is the token endpoint (RFC 6749 3.2). The order of its checks is Keycloak's: realm, TLS,
// grant type, client, repeated parameters, grant.
func (r *Realm) token(c *call) response {
	unsigned, refused := r.exchange(c)
	if refused != nil {
		return refused.response()
	}
	return jsonResponse(200, noStore, unsigned.sign())
}

func (r *Realm) exchange(c *call) (*unsignedResponse, *refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if refused := r.checkAvailable(c); refused != nil {
		return nil, refused
	}
	c.sanitize = true
	grantType, sent := c.param("grant_type")
	if !sent {
		return nil, refuse(400, "invalid_request", "Missing form parameter: grant_type")
	}
	run := grantTypes()[grantType]
	if run == nil {
		run = otherGrants[grantType]
	}
	if run == nil {
		return nil, refuse(400, "unsupported_grant_type", "Unsupported grant_type")
	}
	if scheme, _, _ := strings.Cut(c.Header.Get("Authorization"), " "); grantType == umaGrant &&
		strings.EqualFold(scheme, "Bearer") {
		return nil, noGrant(c) // authenticated by the token, not as a client
	}
	caller, refused := c.authenticateClient()
	if refused != nil {
		return nil, refused
	}
	if caller.BearerOnly {
		return nil, refuse(400, "invalid_client", "Bearer-only not allowed")
	}
	if hasRepeated(c.form, repeatable[grantType]...) {
		return nil, refuse(400, "invalid_request", "duplicated parameter")
	}
	if refused := r.checkSupported(caller, realmfile.UseTokens); refused != nil {
		return nil, refused
	}
	if refused := c.checkOrigin(caller); refused != nil {
		return nil, refused
	}
	if refused := c.unsupportedParameters(tokenParameters); refused != nil {
		return nil, refused
	}
	return run(c, caller)
}

// checkAvailable refuses requests to a realm that is disabled or requires TLS.
func (r *Realm) checkAvailable(c *call) *refusal {
	if refused := r.checkTLS(c); refused != nil {
		return refused
	}
	if !r.settings.Enabled {
		return refuse(403, "access_denied", "Realm not enabled")
	}
	return nil
}

// checkTLS refuses requests if the realm requires TLS for all clients. The stand-in serves only
// plain HTTP on loopback, which the setting "external" allows.
func (r *Realm) checkTLS(*call) *refusal {
	if strings.EqualFold(valueOr(r.settings.SSLRequired, "external"), "all") {
		return refuse(403, "invalid_request", "HTTPS required")
	}
	return nil
}

// requestedScope resolves the request's scope parameter.
func (c *call) requestedScope(caller *client) ([]string, *refusal) {
	parameter, sent := c.param("scope")
	return c.realm.resolveScopes(caller, parameter, sent)
}

var badCredentials = refuse(400, "invalid_grant", "Invalid user credentials")

// passwordSession starts a session for a password grant and issues its tokens.
func (c *call) passwordSession(caller *client, u *user,
	scope []string) (*unsignedResponse, *refusal) {
	g := &grant{realm: c.realm, client: caller, user: u, scope: scope, shortcut: "ro", now: c.now}
	if refused := c.realm.startSession(g); refused != nil {
		return nil, refused
	}
	return g.issue(!caller.isFalse("use.refresh.tokens")), nil
}

func (c *client) isFalse(attribute string) bool { return c.Attributes[attribute] == "false" }

// startSession starts a session for a grant.
func (r *Realm) startSession(g *grant) *refusal {
	offline := g.has("offline_access")
	if offline && !g.offlineAllowed() {
		return refuse(400, "not_allowed", "Offline tokens not allowed for the user or client")
	}
	g.session = r.newSession(g.user, offline, g.now)
	g.clientSession = g.session.attach(g.client, g.scope, g.now)
	return nil
}

// offlineAllowed reports whether the user has the role that offline sessions require, and the
// client's scope includes it.
func (g *grant) offlineAllowed() bool {
	return g.realm.scopes["offline_access"] != nil &&
		slices.Contains(g.shownRoles(), g.realm.roles["offline_access"])
}
