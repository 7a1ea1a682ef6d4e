package keycloaktest

import (
	"slices"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// introspect serves the introspection endpoint. It has no CORS, because only servers use it.
func (r *Realm) introspect(req *request) response {
	resp := r.introspectionResponse(req)
	req.corsAllowed = false
	return resp
}

// introspectionResponse returns the response of token introspection (RFC 7662). A token is active
// only for a client in its audience.
func (r *Realm) introspectionResponse(req *request) response {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checkAvailable(req); err != nil {
		return err.plainResponse()
	}
	caller, err := req.authenticateClient()
	if err != nil {
		if err.code == "unauthorized_client" {
			err = newOAuthError(401, "invalid_client", "Client authentication failed.")
		}
		return err.plainResponse()
	}
	if caller.PublicClient {
		return newOAuthError(403, "invalid_request", "Client not allowed.").plainResponse()
	}
	if err := r.checkSupported(caller, realmfile.UseIntrospection); err != nil {
		return err.plainResponse()
	}
	if hasRepeatedParameter(req.form) {
		return newOAuthError(400, "invalid_request", "duplicated parameter").plainResponse()
	}
	token, hasToken := req.param("token")
	if !hasToken {
		return newOAuthError(400, "invalid_request", "Token not provided.").plainResponse()
	}
	switch hint, hasHint := req.param("token_type_hint"); {
	case !hasHint, hint == "access_token", hint == "refresh_token":
		out, err := r.introspectToken(caller, token, hint == "refresh_token", req.now)
		if err != nil {
			return err.plainResponse()
		}
		return jsonResponse(200, noCache, out)
	case hint == "requesting_party_token":
		return unsupportedResponse("introspection of requesting party tokens")
	}
	return newOAuthError(400, "invalid_request", "Unsupported token type.").plainResponse()
}

// introspectToken returns the claims in the introspection response for a token. As in Keycloak, the
// mappers run again, even for lightweight and ID tokens, so the claims reflect the user's current
// state.
func (r *Realm) introspectToken(caller *client, token string, isRefresh bool,
	now time.Time) (claims, *oauthError) {
	inactiveResponse := claims{"active": false}
	payload, err := r.verifyToken(token)
	typ := stringClaim(payload, "typ")
	if err != nil || typ == "Logout" || isRefresh != (typ == "Refresh" || typ == "Offline") {
		return inactiveResponse, nil
	}
	g, _ := r.grantForToken(payload, now)
	if g == nil {
		return inactiveResponse, nil
	}
	if err := r.checkSupported(g.client, realmfile.UseIntrospection); err != nil {
		return nil, err
	}
	if err := r.checkScopesSupported(g.scope, realmfile.UseIntrospection); err != nil {
		return nil, err
	}
	if isRefresh && (g.client != caller || g.isUsedUp(payload)) {
		return inactiveResponse, nil
	}
	out := claims{}
	for _, name := range []string{"exp", "iat", "jti", "iss", "typ", "azp", "sid", "scope",
		"nonce"} {
		if value, ok := payload[name]; ok {
			out[name] = value
		}
	}
	// The mappers only add to a token's audience. The caller has to be in the token's own audience,
	// or in that of the mappers if the token is lightweight and has none.
	for _, audience := range audiences(payload["aud"]) {
		(&mapperRun{claims: out}).addAudience(audience)
	}
	g.applyMappers(out, realmfile.TargetIntrospection)
	requiredAudience := payload["aud"]
	if g.isLightweight() {
		requiredAudience = out["aud"]
	}
	if !isRefresh && !slices.Contains(audiences(requiredAudience), caller.ClientID) {
		return inactiveResponse, nil
	}
	if g.session != nil && g.session.notes[impersonatorUsername] != "" {
		out["act"] = claims{"sub": g.session.notes[impersonatorUsername]}
	}
	out["client_id"], out["username"], out["token_type"], out["active"] = g.client.ClientID,
		g.user.Username, typ, true
	return out, nil
}

// isUsedUp reports whether a single-use refresh token can no longer be used.
func (g *grant) isUsedUp(payload claims) bool {
	if !g.realm.settings.RevokeRefreshToken || g.clientSession == nil {
		return false
	}
	family := g.clientSession.tokenFamilies[stringClaim(payload, "reuse_id")]
	if family == nil {
		return false
	}
	if family.lastTokenID == stringClaim(payload, "jti") {
		return family.lastTokenUseCount > g.realm.settings.RefreshTokenMaxReuse
	}
	return timeClaim(payload, "iat") < family.lastTokenFirstUsed
}

// audiences returns the names in the claim aud.
func audiences(aud any) (names []string) {
	switch aud := aud.(type) {
	case string:
		return []string{aud}
	case []string:
		return aud
	case []any:
		for _, name := range aud {
			if name, ok := name.(string); ok {
				names = append(names, name)
			}
		}
	}
	return names
}
