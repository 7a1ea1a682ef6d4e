package keycloaktest

import (
	"slices"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

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
		return notImplemented("introspection of requesting party tokens")
	}
	return refuse(400, "invalid_request", "Unsupported token type.").plain()
}

// introspected is what introspection says of a token: its claims anew, as an access token of this
// moment would have them, of a lightweight token and an ID token too.
func (r *Realm) introspected(by *client, token string, refresh bool,
	now time.Time) (claims, *refusal) {
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
	if refresh && (g.client != by || g.superseded(held)) {
		return inactive, nil
	}
	out := claims{}
	for _, name := range []string{"exp", "iat", "jti", "iss", "typ", "azp", "sid", "scope",
		"nonce"} {
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
	out["client_id"], out["username"], out["token_type"], out["active"] = g.client.ClientID,
		g.user.Username, typ, true
	return out, nil
}

// superseded reports whether a single-use refresh token would be refused for having been used.
func (g *grant) superseded(held claims) bool {
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
