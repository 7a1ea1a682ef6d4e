package keycloaktest

import (
	"slices"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

const deviceGrantType = "urn:ietf:params:oauth:grant-type:device_code"

// A grantHandler checks a client's token request and issues the tokens.
type grantHandler func(*request, *client) (*unsignedResponse, *oauthError)

// grantHandlers returns the handlers of the supported grants by grant_type.
func grantHandlers() map[string]grantHandler {
	return map[string]grantHandler{
		"password":           (*request).passwordGrant,
		"refresh_token":      (*request).refreshGrant,
		"client_credentials": (*request).clientCredentialsGrant,
		"authorization_code": (*request).codeGrant,
		deviceGrantType:      (*request).deviceGrant,
	}
}

// unsupportedGrantHandlers are the handlers of the grants that only Keycloak supports. A client
// that may not use the grant gets Keycloak's error; other clients get 501.
var unsupportedGrantHandlers = map[string]grantHandler{
	tokenExchangeGrantType: func(req *request, caller *client) (*unsignedResponse, *oauthError) {
		if caller.attributeIsTrue("standard.token.exchange.enabled") {
			return nil, unsupportedGrant(req)
		}
		return nil, newOAuthError(400, "invalid_request",
			"Standard token exchange is not enabled for the requested client")
	},
	"urn:openid:params:grant-type:ciba": func(req *request,
		caller *client) (*unsignedResponse, *oauthError) {
		if caller.attributeIsTrue("oidc.ciba.grant.enabled") {
			return nil, unsupportedGrant(req)
		}
		return nil, invalidGrant("Client not allowed OIDC CIBA Grant")
	},
	"urn:ietf:params:oauth:grant-type:jwt-bearer": func(req *request,
		_ *client) (*unsignedResponse, *oauthError) {
		assertion, hasAssertion := req.param("assertion")
		switch {
		case !hasAssertion:
			return nil, invalidGrant("Missing parameter:assertion")
		case strings.Count(assertion, ".") != 2:
			return nil, invalidGrant("The provided assertion is not a valid JWT")
		}
		return nil, unsupportedGrant(req)
	},
	umaGrantType: func(req *request, _ *client) (*unsignedResponse, *oauthError) {
		return nil, unsupportedGrant(req)
	},
}

const (
	umaGrantType           = "urn:ietf:params:oauth:grant-type:uma-ticket"
	tokenExchangeGrantType = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// repeatableParameters lists the parameters of a grant that may be sent more than once.
var repeatableParameters = map[string][]string{
	tokenExchangeGrantType: {"audience", "resource"},
	umaGrantType:           {"audience", "permission", "resource"},
}

// unsupportedGrant returns the error for a grant that only Keycloak supports.
func unsupportedGrant(req *request) *oauthError {
	grantType, _ := req.param("grant_type")
	return unsupportedError("grant " + grantType)
}

// codeUnsupported is the error code for features that the fake lacks.
const codeUnsupported = "not_in_keycloaktest"

// token serves the token endpoint (RFC 6749 3.2). It checks a request in the same order as
// Keycloak: TLS, realm, grant type, client, repeated parameters, grant.
func (r *Realm) token(req *request) response {
	unsignedResp, err := r.runGrant(req)
	if err != nil {
		return err.response()
	}
	return jsonResponse(200, noStore, unsignedResp.sign())
}

// runGrant checks a token request and issues its tokens, which aren't signed yet.
func (r *Realm) runGrant(req *request) (*unsignedResponse, *oauthError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checkAvailable(req); err != nil {
		return nil, err
	}
	req.sanitize = true
	grantType, hasGrantType := req.param("grant_type")
	if !hasGrantType {
		return nil, newOAuthError(400, "invalid_request", "Missing form parameter: grant_type")
	}
	handler := grantHandlers()[grantType]
	if handler == nil {
		handler = unsupportedGrantHandlers[grantType]
	}
	if handler == nil {
		return nil, newOAuthError(400, "unsupported_grant_type", "Unsupported grant_type")
	}
	scheme, _, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if grantType == umaGrantType && strings.EqualFold(scheme, "Bearer") {
		return nil, unsupportedGrant(req) // a token, not a client, authenticates the request
	}
	caller, err := req.authenticateClient()
	if err != nil {
		return nil, err
	}
	if caller.BearerOnly {
		return nil, newOAuthError(400, "invalid_client", "Bearer-only not allowed")
	}
	if hasRepeatedParameter(req.form, repeatableParameters[grantType]...) {
		return nil, newOAuthError(400, "invalid_request", "duplicated parameter")
	}
	if err := r.checkSupported(caller, realmfile.UseTokens); err != nil {
		return nil, err
	}
	if err := req.checkOrigin(caller); err != nil {
		return nil, err
	}
	if err := req.checkParametersSupported(tokenParameters); err != nil {
		return nil, err
	}
	return handler(req, caller)
}

// checkAvailable returns an error if the realm is disabled or requires TLS.
func (r *Realm) checkAvailable(req *request) *oauthError {
	if err := r.checkTLS(req); err != nil {
		return err
	}
	if !r.settings.Enabled {
		return newOAuthError(403, "access_denied", "Realm not enabled")
	}
	return nil
}

// checkTLS returns an error if the realm requires TLS for all clients. The fake serves only plain
// HTTP on loopback, which the setting "external" allows.
func (r *Realm) checkTLS(*request) *oauthError {
	if strings.EqualFold(valueOr(r.settings.SSLRequired, "external"), "all") {
		return newOAuthError(403, "invalid_request", "HTTPS required")
	}
	return nil
}

// resolveScopes returns the scopes granted for the request's scope parameter.
func (req *request) resolveScopes(caller *client) ([]string, *oauthError) {
	parameter, hasScope := req.param("scope")
	return req.realm.resolveScopes(caller, parameter, hasScope)
}

var errInvalidCredentials = newOAuthError(400, "invalid_grant", "Invalid user credentials")

// issuePasswordTokens starts a session for a password grant and issues its tokens.
func (req *request) issuePasswordTokens(caller *client, u *user,
	scope []string) (*unsignedResponse, *oauthError) {
	g := &grant{realm: req.realm, client: caller, user: u, scope: scope, grantTypeShortcut: "ro",
		now: req.now}
	if err := req.realm.startSession(g); err != nil {
		return nil, err
	}
	return g.issue(!caller.attributeIsFalse("use.refresh.tokens")), nil
}

// attributeIsFalse reports whether a client attribute is "false".
func (c *client) attributeIsFalse(name string) bool { return c.Attributes[name] == "false" }

// startSession starts a session for a grant.
func (r *Realm) startSession(g *grant) *oauthError {
	offline := g.hasScope("offline_access")
	if offline && !g.allowsOffline() {
		return newOAuthError(400, "not_allowed",
			"Offline tokens not allowed for the user or client")
	}
	g.session = r.newSession(g.user, offline, g.now)
	g.clientSession = g.session.newClientSession(g.client, g.scope, g.now)
	return nil
}

// allowsOffline reports whether the user has the role offline_access and the client's scope
// includes it.
func (g *grant) allowsOffline() bool {
	return g.realm.scopes["offline_access"] != nil &&
		slices.Contains(g.rolesInScope(), g.realm.roles["offline_access"])
}
