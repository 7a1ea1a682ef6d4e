package keycloaktest

import (
	"strings"
	"time"
)

// revoke serves token revocation (RFC 7009). Revoking a refresh token removes the client from the
// session; revoking an access token affects only that token.
func (r *Realm) revoke(c *call) response {
	r.mu.Lock()
	defer r.mu.Unlock()
	if refused := r.checkAvailable(c); refused != nil {
		return refused.plain()
	}
	caller, refused := c.authenticateClient()
	if refused != nil {
		return refused.plain()
	}
	if caller.BearerOnly {
		return refuse(400, "invalid_client", "Bearer-only not allowed").plain()
	}
	if hasRepeated(c.form) {
		return refuse(400, "invalid_request", "duplicated parameter").plain()
	}
	if refused := c.checkOrigin(caller); refused != nil {
		return refused.plain()
	}
	token, sent := c.param("token")
	if !sent {
		return refuse(400, "invalid_request", "Token not provided").plain()
	}
	invalid := jsonResponse(200, "", oauthError{"invalid_token", "Invalid token"})
	payload, err := r.verified(token)
	if err != nil || stringClaim(payload, "iss") != r.Issuer() {
		return invalid
	}
	typ := stringClaim(payload, "typ")
	if typ != "Refresh" && typ != "Offline" && !strings.EqualFold(typ, "Bearer") {
		return refuse(400, "unsupported_token_type", "Unsupported token type").plain()
	}
	if stringClaim(payload, "azp") != caller.ClientID {
		return refuse(400, "invalid_request", "Unmatching clients").plain()
	}
	if expired(payload, c.now) {
		return invalid
	}
	done := secured(response{status: 200})
	id := stringClaim(payload, "sid")
	if strings.EqualFold(typ, "Bearer") {
		s := r.liveSession(id, caller.ClientID, c.now)
		if id != "" && (s == nil || !r.alive(s, c.now)) {
			return invalid
		}
		r.revokeAccess(stringClaim(payload, "jti"), time.Unix(timeClaim(payload, "exp"), 0), c.now)
		return done
	}
	s := r.sessionByID(id, typ == "Offline")
	if s == nil || !r.alive(s, c.now) || s.clients[caller.ClientID] == nil {
		return invalid
	}
	delete(s.clients, caller.ClientID)
	if len(s.clients) == 0 {
		r.deleteSession(s)
	}
	return done
}

// revokeAccess records a revoked access token until it expires.
func (r *Realm) revokeAccess(id string, until, now time.Time) {
	evict(r.revoked, maxSessions, func(until time.Time) time.Time {
		return until
	}, func(until time.Time) bool { return !now.Before(until) })
	r.revoked[id] = until
}
