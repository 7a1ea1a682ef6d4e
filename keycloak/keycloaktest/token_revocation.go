package keycloaktest

import (
	"strings"
	"time"
)

// revoke is token revocation (RFC 7009): a refresh token's takes the client out of the session, an
// access token's is for that token only.
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
	forgetOld(r.revoked, maxSessions, func(until time.Time) time.Time {
		return until
	}, func(until time.Time) bool { return !now.Before(until) })
	r.revoked[id] = until
}
