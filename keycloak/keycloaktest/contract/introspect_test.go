package contract

import (
	"net/http"
	"testing"
)

// Token introspection (RFC 7662).
func TestIntrospect(t *testing.T) {
	run(t, "introspect", func(g *group) {
		groups := mapperFile("groups", "oidc-group-membership-mapper", object{
			"claim.name": "groups", "full.path": "true", "access.token.claim": "true",
			"introspection.token.claim": "true"})
		seeing := clientFile("seeing",
			object{"protocolMappers": []object{audienceMapper("seeing"), groups}})
		r := g.realm(realmFile(object{
			"revokeRefreshToken": true,
			"groups":             []object{{"name": "staff"}},
			"roles":              object{"realm": []object{{"name": "clerk"}}},
		}, seeing,
			clientFile("light", object{
				"attributes":      object{"client.use.lightweight.access.token.enabled": "true"},
				"protocolMappers": []object{audienceMapper("light"), audienceMapper("seeing")},
			}),
			clientFile("brief", object{
				"attributes":      object{"access.token.lifespan": "10"},
				"protocolMappers": []object{audienceMapper("brief")},
			}),
			clientFile("robot",
				object{"serviceAccountsEnabled": true,
					"protocolMappers": []object{audienceMapper("robot")}}),
			clientFile("bearer", object{"bearerOnly": true}),
		))
		creds := []string{"client_id", "seeing", "client_secret", "seeing-secret"}
		introspectTokens(g, r, creds)
		introspectInactive(g, r, creds)
		introspectRefused(g, r, creds)
	})
}

func introspectTokens(g *group, r *realm, creds []string) {
	g.exchange("access token", func(x *exchange) {
		u := x.user(r, object{"groups": []string{"/staff"}})
		x.show(x.introspect(r, "seeing", x.login(u, creds...).field("access_token")))
	})
	g.exchange("access token, basic authentication", func(x *exchange) {
		tokens := x.login(x.user(r, nil), creds...)
		x.outcomeActive("introspection",
			x.post(r.oidc("/token/introspect"), form("token", tokens.field("access_token")),
				"Authorization", basic("seeing", "seeing-secret")))
	})
	g.exchange("access token of a code", func(x *exchange) {
		code := x.code(x.user(r, nil), "client_id", "seeing")
		response := x.introspect(r, "seeing",
			x.token(r, codeGrant(code, creds...)).ok().field("access_token"))
		x.note("active %t, auth_time there: %t, acr %v", response.member("active"),
			response.member("auth_time") != nil, response.member("acr"))
	})
	g.exchange("access token without openid", func(x *exchange) {
		tokens := x.token(r, passwordGrant(x.user(r, nil), creds...)).ok()
		response := x.introspect(r, "seeing", tokens.field("access_token"))
		x.note("active %t, scope %s", response.member("active"),
			x.value("scope", response.field("scope")))
	})
	g.exchange("access token of another client", func(x *exchange) {
		tokens := x.login(x.user(r, nil))
		x.show(x.introspect(r, "seeing", tokens.field("access_token")))
	})
	g.exchange("own access token, not in its audience", func(x *exchange) {
		x.show(x.introspect(r, "api", x.login(x.user(r, nil)).field("access_token")))
	})
	g.exchange("ID token", func(x *exchange) {
		x.show(x.introspect(r, "seeing", x.login(x.user(r, nil), creds...).field("id_token")))
	})
	g.exchange("refresh token", func(x *exchange) {
		tokens := x.login(x.user(r, nil), creds...)
		x.showBody(x.introspect(r, "seeing", tokens.field("refresh_token")))
		x.show(x.introspect(r, "seeing", tokens.field("refresh_token"), "token_type_hint",
			"refresh_token"))
	})
	g.exchange("used refresh token", func(x *exchange) {
		tokens := x.login(x.user(r, nil), creds...)
		next := x.refresh(r, tokens, creds...).ok()
		x.outcomeActive("used",
			x.introspect(r, "seeing", tokens.field("refresh_token"), "token_type_hint",
				"refresh_token"))
		x.outcomeActive("newer",
			x.introspect(r, "seeing", next.field("refresh_token"), "token_type_hint",
				"refresh_token"))
		x.outcomeActive("older access token",
			x.introspect(r, "seeing", tokens.field("access_token")))
	})
	g.exchange("another client's refresh token", func(x *exchange) {
		tokens := x.login(x.user(r, nil))
		x.outcomeActive("introspection",
			x.introspect(r, "seeing", tokens.field("refresh_token"), "token_type_hint",
				"refresh_token"))
	})
	g.exchange("hints", func(x *exchange) {
		tokens := x.login(x.user(r, nil), creds...)
		x.outcomeActive("access_token",
			x.introspect(r, "seeing", tokens.field("access_token"), "token_type_hint",
				"access_token"))
		x.outcomeActive("refresh_token for an access token",
			x.introspect(r, "seeing", tokens.field("access_token"), "token_type_hint",
				"refresh_token"))
		x.show(x.introspect(r, "seeing", tokens.field("access_token"), "token_type_hint", "bogus"))
	})
	g.exchange("lightweight token", func(x *exchange) {
		tokens := x.login(x.user(r, nil), "client_id", "light", "client_secret", "light-secret")
		x.showToken(tokens, "access_token")
		x.show(x.introspect(r, "light", tokens.field("access_token")))
		x.outcomeActive("by another audience",
			x.introspect(r, "seeing", tokens.field("access_token")))
		x.outcomeActive("by no audience", x.introspect(r, "api", tokens.field("access_token")))
	})
	g.exchange("role given after the token", func(x *exchange) {
		u := x.user(r, nil)
		tokens := x.login(u, creds...)
		x.must(x.kc.grantRole(u.userRef, roleRef{name: "clerk"}))
		response := x.introspect(r, "seeing", tokens.field("access_token"))
		x.note("realm_access now %s", x.render("", response.member("realm_access"), timing{}, ""))
	})
	g.exchange("user changed after the token", func(x *exchange) {
		u := x.user(r, nil)
		tokens := x.login(u, creds...)
		x.must(x.kc.patchUser(u.userRef, object{"firstName": "New"}))
		response := x.introspect(r, "seeing", tokens.field("access_token"))
		x.note("given_name now %v", response.member("given_name"))
	})
	g.exchange("service account", func(x *exchange) {
		tokens := x.token(r, with(secretOf("robot"), "grant_type", "client_credentials")).ok()
		x.show(x.introspect(r, "robot", tokens.field("access_token")))
	})
	g.exchange("offline token", func(x *exchange) {
		tokens := x.login(x.user(r, nil), append(creds, "scope", "openid offline_access")...)
		x.outcomeActive("access token", x.introspect(r, "seeing", tokens.field("access_token")))
		x.showBody(x.introspect(r, "seeing", tokens.field("refresh_token"), "token_type_hint",
			"refresh_token"))
	})
}

func introspectInactive(g *group, r *realm, creds []string) {
	inactive := func(name string, end func(x *exchange, u *user, tokens response)) {
		g.exchange(name, func(x *exchange) {
			u := x.user(r, nil)
			tokens := x.login(u, creds...)
			end(x, u, tokens)
			x.outcomeActive("access token", x.introspect(r, "seeing", tokens.field("access_token")))
			x.outcomeActive("refresh token",
				x.introspect(r, "seeing", tokens.field("refresh_token"), "token_type_hint",
					"refresh_token"))
		})
	}
	g.exchange("invalid tokens", func(x *exchange) {
		x.show(x.introspect(r, "seeing", "garbage"))
		x.outcomeActive("empty", x.introspect(r, "seeing", ""))
		x.outcomeActive("unsigned", x.introspect(r, "seeing", unsignedToken(r.url(""))))
	})
	g.exchange("expired", func(x *exchange) {
		done := x.within(sec(9))
		tokens := x.login(x.user(r, nil), "client_id", "brief", "client_secret", "brief-secret")
		x.outcomeActive("at once", x.introspect(r, "brief", tokens.field("access_token")))
		done()
		x.wait(sec(12))
		x.show(x.introspect(r, "brief", tokens.field("access_token")))
	})
	inactive("logged out", func(x *exchange, u *user, tokens response) {
		x.logout(r, tokens.field("refresh_token"), creds...)
	})
	inactive("access token revoked", func(x *exchange, u *user, tokens response) {
		x.revoke(r, tokens.field("access_token"), creds...)
	})
	inactive("refresh token revoked", func(x *exchange, u *user, tokens response) {
		x.revoke(r, tokens.field("refresh_token"), creds...)
	})
	inactive("session ended", func(x *exchange, u *user, tokens response) {
		x.must(x.kc.endSession(sessionRef{realm: r.name, sid: tokens.field("session_state")}))
	})
	inactive("user disabled", func(x *exchange, u *user, tokens response) {
		x.must(x.kc.patchUser(u.userRef, object{"enabled": false}))
	})
	inactive("user deleted", func(x *exchange, u *user, tokens response) {
		x.must(x.kc.deleteUser(u.userRef))
	})
}

func introspectRefused(g *group, r *realm, creds []string) {
	refused := func(name string, send func(x *exchange, token string) response) {
		g.exchange("refused: "+name, func(x *exchange) {
			x.show(send(x, x.login(x.user(r, nil), creds...).field("access_token")))
		})
	}
	refused("wrong secret", func(x *exchange, token string) response {
		return x.introspect(r, "seeing", token, "client_secret", "wrong")
	})
	refused("no secret", func(x *exchange, token string) response {
		return x.post(r.oidc("/token/introspect"), form("client_id", "seeing", "token", token))
	})
	refused("wrong secret, basic authentication", func(x *exchange, token string) response {
		return x.post(r.oidc("/token/introspect"), form("token", token), "Authorization",
			basic("seeing", "wrong"))
	})
	refused("unknown client", func(x *exchange, token string) response {
		return x.introspect(r, "nope", token)
	})
	refused("no client", func(x *exchange, token string) response {
		return x.post(r.oidc("/token/introspect"), form("token", token))
	})
	refused("bearer instead of a client", func(x *exchange, token string) response {
		return x.post(r.oidc("/token/introspect"), form("token", token), "Authorization",
			"Bearer "+token)
	})
	refused("public client", func(x *exchange, token string) response {
		return x.post(r.oidc("/token/introspect"), form("client_id", "spa", "token", token))
	})
	refused("not: bearer-only client", func(x *exchange, token string) response {
		return x.introspect(r, "bearer", token)
	})
	refused("no token", func(x *exchange, token string) response {
		return x.post(r.oidc("/token/introspect"), secretOf("seeing"))
	})
	refused("token twice", func(x *exchange, token string) response {
		twice := with(secretOf("seeing"), "token", token)
		twice.Add("token", token)
		return x.post(r.oidc("/token/introspect"), twice)
	})
	refused("GET", func(x *exchange, token string) response {
		return x.send(http.MethodGet, r.oidc("/token/introspect"), "")
	})
}
