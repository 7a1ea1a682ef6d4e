package keycloaktest

import (
	"strings"
	"time"
)

// revoke serves token revocation (RFC 7009). Revoking a refresh token removes the client from the
// session; revoking an access token affects only that token.
func (r *Realm) revoke(req *request) response {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checkAvailable(req); err != nil {
		return err.plain()
	}
	caller, err := req.authenticateClient()
	if err != nil {
		return err.plain()
	}
	if caller.BearerOnly {
		return newOAuthError(400, "invalid_client", "Bearer-only not allowed").plain()
	}
	if hasRepeated(req.form) {
		return newOAuthError(400, "invalid_request", "duplicated parameter").plain()
	}
	if err := req.checkOrigin(caller); err != nil {
		return err.plain()
	}
	token, sent := req.param("token")
	if !sent {
		return newOAuthError(400, "invalid_request", "Token not provided").plain()
	}
	invalid := jsonResponse(200, "", errorBody{"invalid_token", "Invalid token"})
	payload, verifyErr := r.verified(token)
	if verifyErr != nil || stringClaim(payload, "iss") != r.Issuer() {
		return invalid
	}
	typ := stringClaim(payload, "typ")
	if typ != "Refresh" && typ != "Offline" && !strings.EqualFold(typ, "Bearer") {
		return newOAuthError(400, "unsupported_token_type", "Unsupported token type").plain()
	}
	if stringClaim(payload, "azp") != caller.ClientID {
		return newOAuthError(400, "invalid_request", "Unmatching clients").plain()
	}
	if expired(payload, req.now) {
		return invalid
	}
	success := secured(response{status: 200})
	id := stringClaim(payload, "sid")
	if strings.EqualFold(typ, "Bearer") {
		s := r.liveSession(id, caller.ClientID, req.now)
		if id != "" && (s == nil || !r.alive(s, req.now)) {
			return invalid
		}
		r.revokeAccess(stringClaim(payload, "jti"), time.Unix(timeClaim(payload, "exp"), 0),
			req.now)
		return success
	}
	s := r.sessionByID(id, typ == "Offline")
	if s == nil || !r.alive(s, req.now) || s.clients[caller.ClientID] == nil {
		return invalid
	}
	delete(s.clients, caller.ClientID)
	if len(s.clients) == 0 {
		r.deleteSession(s)
	}
	return success
}

// revokeAccess records that an access token is revoked, until the token expires.
func (r *Realm) revokeAccess(id string, expiresAt, now time.Time) {
	evict(r.revoked, maxSessions, func(expiresAt time.Time) time.Time {
		return expiresAt
	}, func(expiresAt time.Time) bool { return !now.Before(expiresAt) })
	r.revoked[id] = expiresAt
}
