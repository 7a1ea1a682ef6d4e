package keycloaktest

import (
	"slices"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// introspect serves introspection. It is for servers, so CORS is off.
func (r *Realm) introspect(c *call) response {
	resp := r.introspection(c)
	c.corsAllowed = false
	return resp
}

// introspection is token introspection (RFC 7662). A token is active only for a client in its
// audience.
func (r *Realm) introspection(c *call) response {
	r.mu.Lock()
	defer r.mu.Unlock()
	if refused := r.checkAvailable(c); refused != nil {
		return refused.plain()
	}
	caller, refused := c.authenticateClient()
	if refused != nil {
		if refused.code == "unauthorized_client" {
			refused = refuse(401, "invalid_client", "Client authentication failed.")
		}
		return refused.plain()
	}
	if caller.PublicClient {
		return refuse(403, "invalid_request", "Client not allowed.").plain()
	}
	if refused := r.checkSupported(caller, realmfile.UseIntrospection); refused != nil {
		return refused.plain()
	}
	if hasRepeated(c.form) {
		return refuse(400, "invalid_request", "duplicated parameter").plain()
	}
	token, sent := c.param("token")
	if !sent {
		return refuse(400, "invalid_request", "Token not provided.").plain()
	}
	switch hint, hinted := c.param("token_type_hint"); {
	case !hinted, hint == "access_token", hint == "refresh_token":
		out, refused := r.introspected(caller, token, hint == "refresh_token", c.now)
		if refused != nil {
			return refused.plain()
		}
		return jsonResponse(200, noCache, out)
	case hint == "requesting_party_token":
		return notImplemented("introspection of requesting party tokens")
	}
	return refuse(400, "invalid_request", "Unsupported token type.").plain()
}

// introspected returns the claims that introspection returns for a token. As in Keycloak the
// mappers run again, even for lightweight and ID tokens, so the claims reflect the user's current
// state.
func (r *Realm) introspected(caller *client, token string, refresh bool,
	now time.Time) (claims, *refusal) {
	inactive := claims{"active": false}
	payload, err := r.verified(token)
	typ := stringClaim(payload, "typ")
	if err != nil || typ == "Logout" || refresh != (typ == "Refresh" || typ == "Offline") {
		return inactive, nil
	}
	g, _ := r.grantOf(payload, now)
	if g == nil {
		return inactive, nil
	}
	if refused := r.checkSupported(g.client, realmfile.UseIntrospection); refused != nil {
		return nil, refused
	}
	if refused := r.checkScopesSupported(g.scope, realmfile.UseIntrospection); refused != nil {
		return nil, refused
	}
	if refresh && (g.client != caller || g.alreadyUsed(payload)) {
		return inactive, nil
	}
	out := claims{}
	for _, name := range []string{"exp", "iat", "jti", "iss", "typ", "azp", "sid", "scope",
		"nonce"} {
		if value, has := payload[name]; has {
			out[name] = value
		}
	}
	g.applyMappers(out, realmfile.ForIntrospection)
	if refresh {
		(&mapperRun{claims: out}).addAudience(r.Issuer())
	}
	if !hasAudience(out["aud"], caller.ClientID) && !refresh {
		return inactive, nil
	}
	out["client_id"], out["username"], out["token_type"], out["active"] = g.client.ClientID,
		g.user.Username, typ, true
	return out, nil
}

// alreadyUsed reports whether a single-use refresh token can't be used any more.
func (g *grant) alreadyUsed(payload claims) bool {
	if !g.realm.settings.RevokeRefreshToken || g.clientSession == nil {
		return false
	}
	family := g.clientSession.families[stringClaim(payload, "reuse_id")]
	if family == nil {
		return false
	}
	if family.lastID == stringClaim(payload, "jti") {
		return family.uses > g.realm.settings.RefreshTokenMaxReuse
	}
	return timeClaim(payload, "iat") < family.since
}

func hasAudience(aud any, want string) bool {
	switch aud := aud.(type) {
	case string:
		return aud == want
	case []string:
		return slices.Contains(aud, want)
	case []any:
		return slices.Contains(aud, any(want))
	}
	return false
}
