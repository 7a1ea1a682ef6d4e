package keycloaktest

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// refreshGrant exchanges a refresh token for new tokens (RFC 6749 6). If refresh tokens are
// single-use, reusing one removes the client from the session (TokenManager, Keycloak 26.7.4).
func (req *request) refreshGrant(caller *client) (*unsignedResponse, *oauthError) {
	r := req.realm
	token, hasToken := req.param("refresh_token")
	if !hasToken {
		return nil, newOAuthError(400, "invalid_request", "No refresh token")
	}
	scope, hasScope := req.param("scope")
	if hasScope {
		if _, err := r.resolveScopes(caller, scope, true); err != nil {
			return nil, err
		}
	}
	payload, err := r.verifyRefreshToken(token)
	if err != nil {
		return nil, err
	}
	if isExpired(payload, req.now) {
		return nil, invalidGrant("Token is not active")
	}
	issuedAt := timeClaim(payload, "iat")
	if issuedAt < r.settings.NotBefore {
		return nil, invalidGrant("Stale token")
	}
	if stringClaim(payload, "azp") != caller.ClientID {
		return nil, invalidGrant(
			"Invalid refresh token. Token client and authorized client don't match")
	}
	offline := stringClaim(payload, "typ") == "Offline"
	s := r.sessionByID(stringClaim(payload, "sid"), offline)
	if s == nil || !r.sessionActive(s, req.now) || r.users[s.user.ID] == nil {
		if s != nil {
			r.deleteSession(s)
		}
		if offline {
			return nil, invalidGrant("Offline user session not found")
		}
		return nil, invalidGrant("Session not active")
	}
	if !s.user.Enabled {
		return nil, invalidGrant("User disabled")
	}
	if s.isTokenOlder(payload) {
		return nil, invalidGrant("Refresh token issued before the user session started")
	}
	cs := s.clients[caller.ClientID]
	if cs == nil {
		return nil, invalidGrant("Session doesn't have required client")
	}
	if !r.clientSessionActive(cs, s, req.now) {
		delete(s.clients, caller.ClientID)
		if offline {
			return nil, invalidGrant("Session doesn't have required client")
		}
		return nil, invalidGrant("Client session not active")
	}
	if issuedAt < caller.NotBefore || issuedAt < s.user.NotBefore {
		return nil, invalidGrant("Stale token")
	}
	familyID := stringClaim(payload, "reuse_id")
	if r.settings.RevokeRefreshToken {
		err := s.recordUse(caller, cs, familyID, stringClaim(payload, "jti"), issuedAt,
			r.settings.RefreshTokenMaxReuse, req.now.Unix())
		if err != nil {
			return nil, err
		}
	}
	// The scope parameter can leave optional scopes out of this response; later refreshes can
	// include them again. It can't add scopes: Keycloak ignores names outside the original grant.
	g := &grant{
		realm: r, client: caller, user: s.user, session: s, clientSession: cs,
		grantTypeShortcut: "rt", now: req.now, familyID: familyID,
	}
	g.grantedScope = slices.DeleteFunc(strings.Fields(stringClaim(payload, "scope")),
		func(name string) bool { return name != "openid" && r.scopeNamed(name) == nil })
	if err := r.checkGrantSupported(caller, g.grantedScope); err != nil {
		return nil, err
	}
	if offline && !g.allowsOffline() {
		return nil, invalidGrant(
			"Offline session invalid because offline access not granted anymore")
	}
	g.returnGrantedScope = offline // Keycloak returns all granted scopes for offline sessions
	g.scope = g.grantedScope
	if hasScope {
		if g.scope, err = r.narrowScope(caller, g.grantedScope, strings.Fields(scope)); err != nil {
			return nil, err
		}
	}
	s.lastUsed, cs.lastUsed = req.now, req.now
	return g.issue(!caller.attributeIsFalse("use.refresh.tokens")), nil
}

// narrowScope returns the granted scopes that a refresh requests.
func (r *Realm) narrowScope(c *client, granted, requested []string) ([]string, *oauthError) {
	var names []string
	for _, name := range granted {
		if _, ok := r.organizationScope(name); ok && !slices.Contains(c.defaultScopes, name) {
			narrowed, err := r.narrowOrganizationScope(name, requested)
			if err != nil {
				return nil, err
			}
			if narrowed != "" {
				names = append(names, narrowed)
			}
		} else if slices.Contains(c.defaultScopes, name) || slices.Contains(requested, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// recordUse counts a use of a single-use refresh token. It returns an error if the token was used
// too often, or if a newer token of its family has been used. As in Keycloak, times are in whole
// seconds: a token issued in the second in which the last token was first used counts as newer.
func (s *session) recordUse(caller *client, cs *clientSession, familyID, tokenID string,
	issuedAt int64, maxReuse int, nowUnix int64) *oauthError {
	if familyID == "" {
		familyID = uuid.NewString()
	}
	family := cs.tokenFamilies[familyID]
	if family == nil {
		evict(cs.tokenFamilies, maxTokenFamilies, func(f *tokenFamily) time.Time {
			return time.Unix(f.lastTokenFirstUsed, 0)
		}, func(*tokenFamily) bool { return false })
		family = &tokenFamily{}
		cs.tokenFamilies[familyID] = family
	}
	if family.lastTokenID != "" && family.lastTokenID != tokenID &&
		issuedAt < family.lastTokenFirstUsed {
		delete(s.clients, caller.ClientID)
		return invalidGrant("Stale token")
	}
	if family.lastTokenID != tokenID {
		*family = tokenFamily{lastTokenID: tokenID, lastTokenFirstUsed: nowUnix}
	}
	if family.lastTokenUseCount > maxReuse {
		delete(s.clients, caller.ClientID)
		return invalidGrant("Maximum allowed refresh token reuse exceeded")
	}
	family.lastTokenUseCount++
	return nil
}

// maxTokenFamilies is the maximum number of token families in a client session.
const maxTokenFamilies = 100

// verifyRefreshToken returns the claims of a refresh token. It verifies the token's signature, type
// and issuer, but not its expiry or client.
func (r *Realm) verifyRefreshToken(token string) (claims, *oauthError) {
	payload, err := r.verifyToken(token)
	typ := stringClaim(payload, "typ")
	if err != nil || typ != "Refresh" && typ != "Offline" {
		return nil, invalidGrant("Invalid refresh token")
	}
	if iss := stringClaim(payload, "iss"); iss != r.Issuer() {
		return nil, invalidGrant("Invalid token issuer. Expected '" + r.Issuer() + "'")
	}
	return payload, nil
}
