package keycloaktest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// grantOf puts together again what an access or ID token of this realm was made of: the session
// must live, the user and the client too. The caller holds the realm's lock. The reason is what
// userinfo says.
func (r *Realm) grantOf(held claims, now time.Time) (g *grant, reason string) {
	const failed = "Token verification failed"
	issuedAt := unix(held, "iat")
	c := r.clients[text(held, "azp")]
	switch {
	case text(held, "iss") != r.Issuer(), expired(held, now), issuedAt < r.settings.NotBefore,
		c == nil,
		now.Before(r.revoked[text(held, "jti")]):
		return nil, failed
	case !c.enabled:
		return nil, "Client disabled"
	case issuedAt < c.NotBefore:
		return nil, failed
	}
	g = &grant{realm: r, client: c, scope: strings.Fields(text(held, "scope")), now: now}
	id := text(held, "sid")
	if id == "" { // a service account's, without a session
		if sub, named := held["sub"]; c.serviceAccount == nil ||
			named && sub != c.serviceAccount.ID {
			return nil, "user_session_not_found"
		}
		g.user = c.serviceAccount
		for _, name := range c.defaultScopes { // the token names only those that are shown
			if !g.has(name) {
				g.scope = append(g.scope, name)
			}
		}
	} else {
		s := r.liveSession(id, c.ClientID, now)
		if s == nil || r.users[s.user.ID] == nil {
			return nil, "user_session_not_found"
		}
		if !r.alive(s, now) {
			if s.onlyShortened(s.used, now) {
				return nil, "session_expired"
			}
			return nil, "user_session_not_found"
		}
		g.session, g.user, g.part = s, s.user, s.clients[c.ClientID]
		if g.part == nil {
			return nil, "user_session_not_found"
		}
		if !r.clientAlive(g.part, s, now) && !g.part.onlyShortened(g.part.used, now) {
			return nil, "user_session_not_found"
		}
		g.scope = g.part.scope
	}
	if !g.user.Enabled {
		return nil, "User disabled"
	}
	if issuedAt < g.user.NotBefore {
		return nil, "User not valid"
	}
	return g, ""
}

// userinfo is the UserInfo endpoint (OpenID Connect Core 5.3). Its errors have no body (RFC 6750
// 3).
func (r *Realm) userinfo(c *call) answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	challenge := func(status int, code, description string) answer {
		header := `Bearer realm="` + r.name + `"`
		c.exposed = "Access-Control-Allow-Methods, WWW-Authenticate"
		if code != "" {
			header += fmt.Sprintf(`, error=%q, error_description=%q`, code, description)
		}
		out := secured(answer{status: status}).with("WWW-Authenticate",
			header).with("Cache-Control", noStore).
			with("Pragma", noCache).with("Content-Type", "text/plain;charset=utf-8")
		if c.Method == http.MethodGet {
			out = out.without("X-Frame-Options")
		}
		return out
	}
	if len(c.Header.Values("Authorization")) > 1 {
		return document(401, noStore, oauthError{Error: "HTTP 401 Unauthorized"})
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(c.Header.Get("Authorization")), " ")
	if strings.Contains(token, " ") { // another blank, or another word
		token = ""
	}
	if strings.EqualFold(scheme, "DPoP") {
		return notImplemented("userinfo by the scheme DPoP")
	}
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	inForm, sent := c.param("access_token")
	switch {
	case len(c.form["access_token"]) > 1:
		return challenge(400, "invalid_request", "Duplicate parameter")
	case sent && token != "":
		return challenge(400, "invalid_request",
			"More than one method used for including an access token")
	case sent:
		token = inForm
	}
	c.echo = true
	if token == "" && !sent {
		return challenge(401, "", "")
	}
	held, err := r.verified(token)
	if err != nil || !strings.EqualFold(text(held, "typ"), "Bearer") {
		return challenge(401, "invalid_token", "Token verification failed")
	}
	g, reason := r.grantOf(held, c.now)
	if g == nil {
		return challenge(401, "invalid_token", reason)
	}
	if refused := c.allowed(g.client); refused != nil {
		return refused.answer()
	}
	if refused := r.supports(g.client, realmfile.UseUserinfo); refused != nil {
		return refused.answer()
	}
	if refused := r.supportsScopes(g.scope, realmfile.UseUserinfo); refused != nil {
		return refused.answer()
	}
	if !slices.Contains(strings.Fields(text(held, "scope")), "openid") {
		return challenge(403, "insufficient_scope", "Missing openid scope")
	}
	if strings.Contains(strings.SplitN(text(held, "jti"), ":", 2)[0], "lt") {
		return challenge(401, "invalid_token",
			"Lightweight access token not allowed for userinfo endpoint")
	}
	out := claims{"sub": g.user.ID}
	g.mapInto(out, realmfile.ForUserinfo)
	return document(200, noStore, out).and("Cache-Control", noCache)
}
