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
	case text(held, "iss") != r.Issuer(), expired(held, now), issuedAt < r.settings.NotBefore, c == nil,
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
		if sub, named := held["sub"]; c.serviceAccount == nil || named && sub != c.serviceAccount.ID {
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
			if s.only(s.used, now) {
				return nil, "session_expired"
			}
			return nil, "user_session_not_found"
		}
		g.session, g.user, g.part = s, s.user, s.clients[c.ClientID]
		if g.part == nil {
			return nil, "user_session_not_found"
		}
		if !r.clientAlive(g.part, s, now) && !g.part.only(g.part.used, now) {
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
		out := secured(answer{status: status}).with("WWW-Authenticate", header).with("Cache-Control", noStore).
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
		return notHere("userinfo by the scheme DPoP")
	}
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	inForm, sent := c.param("access_token")
	switch {
	case len(c.form["access_token"]) > 1:
		return challenge(400, "invalid_request", "Duplicate parameter")
	case sent && token != "":
		return challenge(400, "invalid_request", "More than one method used for including an access token")
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
		return challenge(401, "invalid_token", "Lightweight access token not allowed for userinfo endpoint")
	}
	out := claims{"sub": g.user.ID}
	g.mapInto(out, realmfile.ForUserinfo)
	return document(200, noStore, out).and("Cache-Control", noCache)
}

// introspect answers servers: no page of another origin may see what it says.
func (r *Realm) introspect(c *call) answer {
	out := r.introspection(c)
	c.echo = false
	return out
}

// introspection is token introspection (RFC 7662). A token is active only for a client in its
// audience.
func (r *Realm) introspection(c *call) answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if refused := r.closed(c); refused != nil {
		return refused.plain()
	}
	by, refused := c.authenticated()
	if refused != nil {
		if refused.code == "unauthorized_client" {
			refused = refuse(401, "invalid_client", "Client authentication failed.")
		}
		return refused.plain()
	}
	if by.PublicClient {
		return refuse(403, "invalid_request", "Client not allowed.").plain()
	}
	if refused := r.supports(by, realmfile.UseIntrospection); refused != nil {
		return refused.plain()
	}
	if repeats(c.form) {
		return refuse(400, "invalid_request", "duplicated parameter").plain()
	}
	token, sent := c.param("token")
	if !sent {
		return refuse(400, "invalid_request", "Token not provided.").plain()
	}
	switch hint, hinted := c.param("token_type_hint"); {
	case !hinted, hint == "access_token", hint == "refresh_token":
		out, refused := r.introspected(by, token, hint == "refresh_token", c.now)
		if refused != nil {
			return refused.plain()
		}
		return document(200, noCache, out)
	case hint == "requesting_party_token":
		return notHere("introspection of requesting party tokens")
	}
	return refuse(400, "invalid_request", "Unsupported token type.").plain()
}

// introspected is what introspection says of a token: its claims anew, as an access token of this
// moment would have them, of a lightweight token and an ID token too.
func (r *Realm) introspected(by *client, token string, refresh bool, now time.Time) (claims, *refusal) {
	inactive := claims{"active": false}
	held, err := r.verified(token)
	typ := text(held, "typ")
	if err != nil || typ == "Logout" || refresh != (typ == "Refresh" || typ == "Offline") {
		return inactive, nil
	}
	g, _ := r.grantOf(held, now)
	if g == nil {
		return inactive, nil
	}
	if refused := r.supports(g.client, realmfile.UseIntrospection); refused != nil {
		return nil, refused
	}
	if refused := r.supportsScopes(g.scope, realmfile.UseIntrospection); refused != nil {
		return nil, refused
	}
	if refresh && (g.client != by || g.spent(held)) {
		return inactive, nil
	}
	out := claims{}
	for _, name := range []string{"exp", "iat", "jti", "iss", "typ", "azp", "sid", "scope", "nonce"} {
		if value, has := held[name]; has {
			out[name] = value
		}
	}
	g.mapInto(out, realmfile.ForIntrospection)
	if refresh {
		(&mapping{into: out}).addAudience(r.Issuer())
	}
	if !hasAudience(out["aud"], by.ClientID) && !refresh {
		return inactive, nil
	}
	out["client_id"], out["username"], out["token_type"], out["active"] = g.client.ClientID, g.user.Username, typ, true
	return out, nil
}

// spent says whether a single-use refresh token would be refused for having been used.
func (g *grant) spent(held claims) bool {
	if !g.realm.settings.RevokeRefreshToken || g.part == nil {
		return false
	}
	known := g.part.reuses[text(held, "reuse_id")]
	if known == nil {
		return false
	}
	if known.id == text(held, "jti") {
		return known.uses > g.realm.settings.RefreshTokenMaxReuse
	}
	return unix(held, "iat") < known.at
}

func hasAudience(aud any, wanted string) bool {
	switch aud := aud.(type) {
	case string:
		return aud == wanted
	case []string:
		return slices.Contains(aud, wanted)
	case []any:
		return slices.Contains(aud, any(wanted))
	}
	return false
}

// revoke is token revocation (RFC 7009): a refresh token's takes the client out of the session, an
// access token's is for that token alone.
func (r *Realm) revoke(c *call) answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if refused := r.closed(c); refused != nil {
		return refused.plain()
	}
	by, refused := c.authenticated()
	if refused != nil {
		return refused.plain()
	}
	if by.BearerOnly {
		return refuse(400, "invalid_client", "Bearer-only not allowed").plain()
	}
	if repeats(c.form) {
		return refuse(400, "invalid_request", "duplicated parameter").plain()
	}
	if refused := c.allowed(by); refused != nil {
		return refused.plain()
	}
	token, sent := c.param("token")
	if !sent {
		return refuse(400, "invalid_request", "Token not provided").plain()
	}
	invalid := document(200, "", oauthError{"invalid_token", "Invalid token"})
	held, err := r.verified(token)
	if err != nil || text(held, "iss") != r.Issuer() {
		return invalid
	}
	typ := text(held, "typ")
	if typ != "Refresh" && typ != "Offline" && !strings.EqualFold(typ, "Bearer") {
		return refuse(400, "unsupported_token_type", "Unsupported token type").plain()
	}
	if text(held, "azp") != by.ClientID {
		return refuse(400, "invalid_request", "Unmatching clients").plain()
	}
	if expired(held, c.now) {
		return invalid
	}
	done := secured(answer{status: 200})
	id := text(held, "sid")
	if strings.EqualFold(typ, "Bearer") {
		s := r.liveSession(id, by.ClientID, c.now)
		if id != "" && (s == nil || !r.alive(s, c.now)) {
			return invalid
		}
		r.revokeAccess(text(held, "jti"), time.Unix(unix(held, "exp"), 0), c.now)
		return done
	}
	s := r.sessionOf(id, typ == "Offline")
	if s == nil || !r.alive(s, c.now) || s.clients[by.ClientID] == nil {
		return invalid
	}
	delete(s.clients, by.ClientID)
	if len(s.clients) == 0 {
		r.endSession(s)
	}
	return done
}

// revokeAccess remembers a revoked access token until it would have expired.
func (r *Realm) revokeAccess(id string, until, now time.Time) {
	forgetOld(r.revoked, maxSessions, func(until time.Time) time.Time { return until }, func(until time.Time) bool { return !now.Before(until) })
	r.revoked[id] = until
}
