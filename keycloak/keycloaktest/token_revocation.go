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
		return err.plainResponse()
	}
	caller, err := req.authenticateClient()
	if err != nil {
		return err.plainResponse()
	}
	if caller.BearerOnly {
		return newOAuthError(400, "invalid_client", "Bearer-only not allowed").plainResponse()
	}
	if hasRepeatedParameter(req.form) {
		return newOAuthError(400, "invalid_request", "duplicated parameter").plainResponse()
	}
	if err := req.checkOrigin(caller); err != nil {
		return err.plainResponse()
	}
	token, hasToken := req.param("token")
	if !hasToken {
		return newOAuthError(400, "invalid_request", "Token not provided").plainResponse()
	}
	invalidToken := jsonResponse(200, "", errorBody{"invalid_token", "Invalid token"})
	payload, verifyErr := r.verifyToken(token)
	if verifyErr != nil || stringClaim(payload, "iss") != r.Issuer() {
		return invalidToken
	}
	typ := stringClaim(payload, "typ")
	if typ != "Refresh" && typ != "Offline" && !strings.EqualFold(typ, "Bearer") {
		return newOAuthError(400, "unsupported_token_type",
			"Unsupported token type").plainResponse()
	}
	if stringClaim(payload, "azp") != caller.ClientID {
		return newOAuthError(400, "invalid_request", "Unmatching clients").plainResponse()
	}
	if isExpired(payload, req.now) {
		return invalidToken
	}
	success := withSecurityHeaders(response{status: 200})
	sid := stringClaim(payload, "sid")
	if strings.EqualFold(typ, "Bearer") {
		s := r.sessionForToken(sid, caller.ClientID, req.now)
		if sid != "" && (s == nil || !r.sessionActive(s, req.now)) {
			return invalidToken
		}
		r.revokeAccessToken(stringClaim(payload, "jti"), time.Unix(timeClaim(payload, "exp"), 0),
			req.now)
		return success
	}
	s := r.sessionByID(sid, typ == "Offline")
	if s == nil || !r.sessionActive(s, req.now) || s.clients[caller.ClientID] == nil {
		return invalidToken
	}
	delete(s.clients, caller.ClientID)
	if len(s.clients) == 0 {
		r.deleteSession(s)
	}
	return success
}

// revokeAccessToken marks an access token as revoked until it expires.
func (r *Realm) revokeAccessToken(id string, expiresAt, now time.Time) {
	evict(r.revokedTokens, maxSessions, func(expiresAt time.Time) time.Time {
		return expiresAt
	}, func(expiresAt time.Time) bool { return !now.Before(expiresAt) })
	r.revokedTokens[id] = expiresAt
}
