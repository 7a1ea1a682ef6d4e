package contract

import (
	"net/http"
	"testing"
)

// TestIntrospect records token introspection (RFC 7662).
func TestIntrospect(t *testing.T) {
	run(t, "introspect", func(g *group) {
		groups := mapperFile("groups", "oidc-group-membership-mapper", object{
			"claim.name": "groups", "full.path": "true", "access.token.claim": "true",
			"introspection.token.claim": "true"})
		serverClient := clientFile("server",
			object{"protocolMappers": []object{audienceMapper("server"), groups}})
		r := g.realm(realmFile(object{
			"revokeRefreshToken": true,
			"groups":             []object{{"name": "staff"}},
			"roles":              object{"realm": []object{{"name": "clerk"}}},
		}, serverClient,
			clientFile("lightweight", object{
				"attributes":      object{"client.use.lightweight.access.token.enabled": "true"},
				"protocolMappers": []object{audienceMapper("lightweight"), audienceMapper("server")},
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
		creds := credsOf("server")
		introspectTokens(g, r, creds)
		introspectInactive(g, r, creds)
		introspectRefused(g, r, creds)
	})
}

func introspectTokens(g *group, r *realm, creds []string) {
	g.scenario("access token", func(s *scenario) {
		u := s.user(r, object{"groups": []string{"/staff"}})
		s.show(s.introspect(r, "server", s.login(u, creds...).field("access_token")))
	})
	g.scenario("access token, basic authentication", func(s *scenario) {
		tokens := s.login(s.user(r, nil), creds...)
		s.outcomeActive("introspection",
			s.post(r.oidc("/token/introspect"), form("token", tokens.field("access_token")),
				"Authorization", basicAuth("server", "server-secret")))
	})
	g.scenario("access token of a code", func(s *scenario) {
		code := s.code(s.user(r, nil), "client_id", "server")
		resp := s.introspect(r, "server",
			s.token(r, codeGrant(code, creds...)).ok().field("access_token"))
		s.note("active %t, auth_time there: %t, acr %v", resp.value("active"),
			resp.value("auth_time") != nil, resp.value("acr"))
	})
	g.scenario("access token without openid", func(s *scenario) {
		tokens := s.token(r, passwordGrant(s.user(r, nil), creds...)).ok()
		resp := s.introspect(r, "server", tokens.field("access_token"))
		s.note("active %t, scope %s", resp.value("active"),
			s.normalizeValue("scope", resp.field("scope")))
	})
	g.scenario("access token of another client", func(s *scenario) {
		tokens := s.login(s.user(r, nil))
		s.show(s.introspect(r, "server", tokens.field("access_token")))
	})
	g.scenario("own access token, not in its audience", func(s *scenario) {
		s.show(s.introspect(r, "api", s.login(s.user(r, nil)).field("access_token")))
	})
	g.scenario("ID token", func(s *scenario) {
		s.show(s.introspect(r, "server", s.login(s.user(r, nil), creds...).field("id_token")))
	})
	g.scenario("refresh token", func(s *scenario) {
		tokens := s.login(s.user(r, nil), creds...)
		s.showBody(s.introspect(r, "server", tokens.field("refresh_token")))
		s.show(s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
			"refresh_token"))
	})
	g.scenario("used refresh token", func(s *scenario) {
		tokens := s.login(s.user(r, nil), creds...)
		next := s.refresh(r, tokens, creds...).ok()
		s.outcomeActive("used",
			s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
				"refresh_token"))
		s.outcomeActive("newer",
			s.introspect(r, "server", next.field("refresh_token"), "token_type_hint",
				"refresh_token"))
		s.outcomeActive("older access token",
			s.introspect(r, "server", tokens.field("access_token")))
	})
	g.scenario("another client's refresh token", func(s *scenario) {
		tokens := s.login(s.user(r, nil))
		s.outcomeActive("introspection",
			s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
				"refresh_token"))
	})
	g.scenario("hints", func(s *scenario) {
		tokens := s.login(s.user(r, nil), creds...)
		s.outcomeActive("access_token",
			s.introspect(r, "server", tokens.field("access_token"), "token_type_hint",
				"access_token"))
		s.outcomeActive("refresh_token for an access token",
			s.introspect(r, "server", tokens.field("access_token"), "token_type_hint",
				"refresh_token"))
		s.show(s.introspect(r, "server", tokens.field("access_token"), "token_type_hint", "bogus"))
	})
	g.scenario("lightweight token", func(s *scenario) {
		tokens := s.login(s.user(r, nil), credsOf("lightweight")...)
		s.showToken(tokens, "access_token")
		s.show(s.introspect(r, "lightweight", tokens.field("access_token")))
		s.outcomeActive("by another audience",
			s.introspect(r, "server", tokens.field("access_token")))
		s.outcomeActive("by no audience", s.introspect(r, "api", tokens.field("access_token")))
	})
	g.scenario("role given after the token", func(s *scenario) {
		u := s.user(r, nil)
		tokens := s.login(u, creds...)
		s.must(s.kc.grantRole(u.userRef, roleRef{name: "clerk"}))
		resp := s.introspect(r, "server", tokens.field("access_token"))
		s.note("realm_access now %s", s.render("", resp.value("realm_access"), timing{}, ""))
	})
	g.scenario("user changed after the token", func(s *scenario) {
		u := s.user(r, nil)
		tokens := s.login(u, creds...)
		s.must(s.kc.patchUser(u.userRef, object{"firstName": "New"}))
		resp := s.introspect(r, "server", tokens.field("access_token"))
		s.note("given_name now %v", resp.value("given_name"))
	})
	g.scenario("service account", func(s *scenario) {
		tokens := s.token(r, with(secretOf("robot"), "grant_type", "client_credentials")).ok()
		s.show(s.introspect(r, "robot", tokens.field("access_token")))
	})
	g.scenario("offline token", func(s *scenario) {
		tokens := s.login(s.user(r, nil), append(creds, "scope", "openid offline_access")...)
		s.outcomeActive("access token", s.introspect(r, "server", tokens.field("access_token")))
		s.showBody(s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
			"refresh_token"))
	})
}

func introspectInactive(g *group, r *realm, creds []string) {
	inactive := func(name string, end func(s *scenario, u *user, tokens response)) {
		g.scenario(name, func(s *scenario) {
			u := s.user(r, nil)
			tokens := s.login(u, creds...)
			end(s, u, tokens)
			s.outcomeActive("access token", s.introspect(r, "server", tokens.field("access_token")))
			s.outcomeActive("refresh token",
				s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
					"refresh_token"))
		})
	}
	g.scenario("invalid tokens", func(s *scenario) {
		s.show(s.introspect(r, "server", "garbage"))
		s.outcomeActive("empty", s.introspect(r, "server", ""))
		s.outcomeActive("unsigned", s.introspect(r, "server", unsignedToken(r.url(""))))
	})
	g.scenario("expired", func(s *scenario) {
		done := s.deadline(sec(9))
		tokens := s.login(s.user(r, nil), credsOf("brief")...)
		s.outcomeActive("at once", s.introspect(r, "brief", tokens.field("access_token")))
		done()
		s.wait(sec(12))
		s.show(s.introspect(r, "brief", tokens.field("access_token")))
	})
	inactive("logged out", func(s *scenario, u *user, tokens response) {
		s.logout(r, tokens.field("refresh_token"), creds...)
	})
	inactive("access token revoked", func(s *scenario, u *user, tokens response) {
		s.revoke(r, tokens.field("access_token"), creds...)
	})
	inactive("refresh token revoked", func(s *scenario, u *user, tokens response) {
		s.revoke(r, tokens.field("refresh_token"), creds...)
	})
	inactive("session ended", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.endSession(sessionRef{realm: r.name, sid: tokens.field("session_state")}))
	})
	inactive("user disabled", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
	})
	inactive("user deleted", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.deleteUser(u.userRef))
	})
}

func introspectRefused(g *group, r *realm, creds []string) {
	refused := func(name string, send func(s *scenario, token string) response) {
		g.scenario("refused: "+name, func(s *scenario) {
			s.show(send(s, s.login(s.user(r, nil), creds...).field("access_token")))
		})
	}
	refused("wrong secret", func(s *scenario, token string) response {
		return s.introspect(r, "server", token, "client_secret", "wrong")
	})
	refused("no secret", func(s *scenario, token string) response {
		return s.post(r.oidc("/token/introspect"), form("client_id", "server", "token", token))
	})
	refused("wrong secret, basic authentication", func(s *scenario, token string) response {
		return s.post(r.oidc("/token/introspect"), form("token", token), "Authorization",
			basicAuth("server", "wrong"))
	})
	refused("unknown client", func(s *scenario, token string) response {
		return s.introspect(r, "nope", token)
	})
	refused("no client", func(s *scenario, token string) response {
		return s.post(r.oidc("/token/introspect"), form("token", token))
	})
	refused("bearer instead of a client", func(s *scenario, token string) response {
		return s.post(r.oidc("/token/introspect"), form("token", token), "Authorization",
			"Bearer "+token)
	})
	refused("public client", func(s *scenario, token string) response {
		return s.post(r.oidc("/token/introspect"), form("client_id", "spa", "token", token))
	})
	g.scenario("bearer-only client", func(s *scenario) {
		token := s.login(s.user(r, nil), creds...).field("access_token")
		s.show(s.introspect(r, "bearer", token))
	})
	refused("no token", func(s *scenario, token string) response {
		return s.post(r.oidc("/token/introspect"), secretOf("server"))
	})
	refused("token twice", func(s *scenario, token string) response {
		values := with(secretOf("server"), "token", token)
		values.Add("token", token)
		return s.post(r.oidc("/token/introspect"), values)
	})
	refused("GET", func(s *scenario, token string) response {
		return s.send(http.MethodGet, r.oidc("/token/introspect"), "")
	})
}
