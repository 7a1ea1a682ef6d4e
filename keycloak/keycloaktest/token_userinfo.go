package keycloaktest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// grantForToken returns a grant for an access or ID token if its session, client and user are still
// active. Otherwise it returns nil and userinfo's error description. The caller holds the realm's
// lock.
func (r *Realm) grantForToken(payload claims, now time.Time) (g *grant, reason string) {
	const verificationFailedReason = "Token verification failed"
	issuedAt := timeClaim(payload, "iat")
	c := r.clients[stringClaim(payload, "azp")]
	switch {
	case stringClaim(payload, "iss") != r.Issuer(), isExpired(payload, now),
		issuedAt < r.settings.NotBefore, c == nil,
		now.Before(r.revokedTokens[stringClaim(payload, "jti")]):
		return nil, verificationFailedReason
	case !c.enabled:
		return nil, "Client disabled"
	case issuedAt < c.NotBefore:
		return nil, verificationFailedReason
	}
	g = &grant{realm: r, client: c, scope: strings.Fields(stringClaim(payload, "scope")), now: now}
	sid := stringClaim(payload, "sid")
	if sid == "" { // the token of a service account without a session
		if sub, hasSub := payload["sub"]; c.serviceAccount == nil ||
			hasSub && sub != c.serviceAccount.ID {
			return nil, "user_session_not_found"
		}
		g.user = c.serviceAccount
		for _, name := range c.defaultScopes { // the scope claim may omit default scopes
			if !g.hasScope(name) {
				g.scope = append(g.scope, name)
			}
		}
	} else {
		s := r.sessionForToken(sid, c.ClientID, now)
		if s == nil || r.users[s.user.ID] == nil {
			return nil, "user_session_not_found"
		}
		if !r.sessionActive(s, now) {
			if s.isShortened(s.lastUsed, now) {
				return nil, "session_expired"
			}
			return nil, "user_session_not_found"
		}
		if s.isTokenOlder(payload) {
			return nil, "invalid_token"
		}
		g.session, g.user, g.clientSession = s, s.user, s.clients[c.ClientID]
		if g.clientSession == nil {
			return nil, "user_session_not_found"
		}
		cs := g.clientSession
		if !r.clientSessionActive(cs, s, now) && !cs.isShortened(cs.lastUsed, now) {
			return nil, "user_session_not_found"
		}
		g.scope = g.clientSession.scope
	}
	if !g.user.Enabled {
		return nil, "User disabled"
	}
	if issuedAt < g.user.NotBefore {
		return nil, "User not valid"
	}
	return g, ""
}

// userinfo serves the UserInfo endpoint (OpenID Connect Core 5.3). Its error responses have no body
// (RFC 6750 3).
func (r *Realm) userinfo(req *request) response {
	r.mu.Lock()
	defer r.mu.Unlock()
	challengeResponse := func(status int, code, description string) response {
		header := `Bearer realm="` + r.name + `"`
		req.exposedHeaders = "Access-Control-Allow-Methods, WWW-Authenticate"
		if code != "" {
			header += fmt.Sprintf(`, error=%q, error_description=%q`, code, description)
		}
		resp := withSecurityHeaders(response{status: status}).withHeader("WWW-Authenticate",
			header).withHeader("Cache-Control", noStore).
			withHeader("Pragma", noCache).withHeader("Content-Type", "text/plain;charset=utf-8")
		if req.Method == http.MethodGet {
			resp = resp.withoutHeaders("X-Frame-Options")
		}
		return resp
	}
	if len(req.Header.Values("Authorization")) > 1 {
		return jsonResponse(401, noStore, errorBody{Error: "HTTP 401 Unauthorized"})
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(req.Header.Get("Authorization")), " ")
	if strings.Contains(token, " ") { // a malformed header
		token = ""
	}
	if strings.EqualFold(scheme, "DPoP") {
		return unsupportedResponse("userinfo with the scheme DPoP")
	}
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	formToken, hasFormToken := req.param("access_token")
	switch {
	case len(req.form["access_token"]) > 1:
		return challengeResponse(400, "invalid_request", "Duplicate parameter")
	case hasFormToken && token != "":
		return challengeResponse(400, "invalid_request",
			"More than one method used for including an access token")
	case hasFormToken:
		token = formToken
	}
	req.corsAllowed = true
	if token == "" && !hasFormToken {
		return challengeResponse(401, "", "")
	}
	payload, err := r.verifyToken(token)
	if err != nil || !strings.EqualFold(stringClaim(payload, "typ"), "Bearer") {
		return challengeResponse(401, "invalid_token", "Token verification failed")
	}
	g, reason := r.grantForToken(payload, req.now)
	if g == nil {
		return challengeResponse(401, "invalid_token", reason)
	}
	if err := req.checkOrigin(g.client); err != nil {
		return err.response()
	}
	if err := r.checkSupported(g.client, realmfile.UseUserinfo); err != nil {
		return err.response()
	}
	if err := r.checkScopesSupported(g.scope, realmfile.UseUserinfo); err != nil {
		return err.response()
	}
	if !slices.Contains(strings.Fields(stringClaim(payload, "scope")), "openid") {
		return challengeResponse(403, "insufficient_scope", "Missing openid scope")
	}
	if strings.Contains(strings.SplitN(stringClaim(payload, "jti"), ":", 2)[0], "lt") {
		return challengeResponse(401, "invalid_token",
			"Lightweight access token not allowed for userinfo endpoint")
	}
	out := claims{"sub": g.user.ID}
	g.applyMappers(out, realmfile.TargetUserinfo)
	return jsonResponse(200, noStore, out).withAddedHeader("Cache-Control", noCache)
}
