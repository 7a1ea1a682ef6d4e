package contract

import (
	"testing"
)

// TestRevoke records token revocation (RFC 7009), and which requests still accept the tokens
// afterwards.
func TestRevoke(t *testing.T) {
	run(t, "revoke", func(g *group) {
		r := g.realm(realmFile(nil,
			clientFile("server", object{"protocolMappers": []object{audienceMapper("server")}}),
			clientFile("other", nil)))
		serverCreds := credsOf("server")
		other := credsOf("other")
		// showTokens records which requests still accept the tokens of the client "server".
		showTokens := func(s *scenario, tokens response) {
			s.outcome("userinfo", s.userinfo(r, tokens))
			s.outcomeActive("introspection",
				s.introspect(r, "server", tokens.field("access_token")))
			s.outcome("refresh", s.refresh(r, tokens, serverCreds...))
		}
		g.scenario("refresh token", func(s *scenario) {
			tokens := s.login(s.user(r, nil), serverCreds...)
			s.show(s.revoke(r, tokens.field("refresh_token"), serverCreds...))
			showTokens(s, tokens)
			s.outcome("revoke again", s.revoke(r, tokens.field("refresh_token"), serverCreds...))
		})
		g.scenario("access token", func(s *scenario) {
			tokens := s.login(s.user(r, nil), serverCreds...)
			s.show(s.revoke(r, tokens.field("access_token"), serverCreds...))
			showTokens(s, tokens)
			s.outcome("revoke again", s.revoke(r, tokens.field("access_token"), serverCreds...))
		})
		g.scenario("access token, then another of the session", func(s *scenario) {
			tokens := s.login(s.user(r, nil), serverCreds...)
			next := s.refresh(r, tokens, serverCreds...).ok()
			s.outcome("revoke", s.revoke(r, tokens.field("access_token"), serverCreds...))
			s.outcome("userinfo of the next", s.userinfo(r, next))
		})
		g.scenario("offline token", func(s *scenario) {
			tokens := s.login(s.user(r, nil),
				append(serverCreds, "scope", "openid offline_access")...)
			s.outcome("revoke", s.revoke(r, tokens.field("refresh_token"), serverCreds...))
			showTokens(s, tokens)
		})
		g.scenario("refresh token by a public client", func(s *scenario) {
			tokens := s.token(r,
				form("grant_type", "password", "client_id", "spa", "username",
					s.user(r, nil).username, "password", "secret")).ok()
			s.outcome("revoke",
				s.post(r.oidc("/revoke"),
					form("client_id", "spa", "token", tokens.field("refresh_token"))))
		})
		g.scenario("basic authentication", func(s *scenario) {
			tokens := s.login(s.user(r, nil))
			s.outcome("revoke",
				s.post(r.oidc("/revoke"), form("token", tokens.field("refresh_token")),
					"Authorization", basicAuth("api", "api-secret")))
		})
		g.scenario("other sessions of the user stay", func(s *scenario) {
			u := s.user(r, nil)
			first, second := s.login(u, serverCreds...), s.login(u, serverCreds...)
			s.outcome("revoke", s.revoke(r, first.field("refresh_token"), serverCreds...))
			showTokens(s, second)
		})
		g.scenario("other clients of the session and the browser stay", func(s *scenario) {
			b := s.browser()
			code := b.login(s.user(r, nil), "client_id", "server").redirectQuery().Get("code")
			tokens := s.token(r, codeGrant(code, serverCreds...)).ok()
			otherTokens := s.token(r,
				codeGrant(b.open(r.authURL("client_id", "other")).redirectQuery().Get("code"),
					other...)).ok()
			s.outcome("revoke", s.revoke(r, tokens.field("refresh_token"), serverCreds...))
			showTokens(s, tokens)
			s.outcome("refresh of the other client", s.refresh(r, otherTokens, other...))
			s.outcome("userinfo of the other client", s.userinfo(r, otherTokens))
			s.showFinal(b.open(r.authURL("client_id", "server")))
			s.outcome("revoke by the other client",
				s.revoke(r, otherTokens.field("refresh_token"), other...))
			s.showFinal(b.open(r.authURL("client_id", "server", "prompt", "none")))
		})
		g.scenario("the session ends with its last client", func(s *scenario) {
			b := s.browser()
			tokens := s.token(r,
				codeGrant(b.login(s.user(r, nil)).redirectQuery().Get("code"))).ok()
			s.outcome("revoke", s.revoke(r, tokens.field("refresh_token")))
			s.showFinal(b.open(r.authURL("prompt", "none")))
		})
		notRevoked := func(name string, send func(s *scenario, tokens response) response) {
			g.scenario(name, func(s *scenario) {
				tokens := s.login(s.user(r, nil), serverCreds...)
				s.show(send(s, tokens))
				s.outcome("userinfo", s.userinfo(r, tokens))
				s.outcome("refresh", s.refresh(r, tokens, serverCreds...))
			})
		}
		notRevoked("garbage", func(s *scenario, _ response) response {
			return s.revoke(r, "garbage", serverCreds...)
		})
		notRevoked("empty", func(s *scenario, _ response) response {
			return s.revoke(r, "", serverCreds...)
		})
		notRevoked("absent", func(s *scenario, _ response) response {
			return s.post(r.oidc("/revoke"), secretOf("server"))
		})
		notRevoked("ID token", func(s *scenario, resp response) response {
			return s.revoke(r, resp.field("id_token"), serverCreds...)
		})
		notRevoked("another client's refresh token", func(s *scenario, resp response) response {
			return s.revoke(r, resp.field("refresh_token"), other...)
		})
		notRevoked("another client's access token", func(s *scenario, resp response) response {
			return s.revoke(r, resp.field("access_token"), other...)
		})
		notRevoked("wrong secret", func(s *scenario, resp response) response {
			return s.revoke(r, resp.field("refresh_token"), "client_id", "server", "client_secret",
				"wrong")
		})
		notRevoked("unknown client", func(s *scenario, resp response) response {
			return s.revoke(r, resp.field("refresh_token"), "client_id", "nope")
		})
		notRevoked("no client", func(s *scenario, resp response) response {
			return s.post(r.oidc("/revoke"), form("token", resp.field("refresh_token")))
		})
		notRevoked("token twice", func(s *scenario, resp response) response {
			values := with(secretOf("server"), "token", resp.field("refresh_token"))
			values.Add("token", "garbage")
			return s.post(r.oidc("/revoke"), values)
		})
		g.scenario("hints are ignored", func(s *scenario) {
			u := s.user(r, nil)
			for _, hint := range []string{"access_token", "refresh_token", "bogus"} {
				tokens := s.login(u, serverCreds...)
				s.outcome(hint,
					s.revoke(r, tokens.field("refresh_token"),
						append(serverCreds, "token_type_hint", hint)...))
				s.outcome("refresh", s.refresh(r, tokens, serverCreds...))
			}
		})
		g.scenario("session ended already", func(s *scenario) {
			tokens := s.login(s.user(r, nil))
			s.logout(r, tokens.field("refresh_token"))
			s.outcome("refresh token", s.revoke(r, tokens.field("refresh_token")))
			s.outcome("access token", s.revoke(r, tokens.field("access_token")))
		})
	})
}

// revoke revokes a token with the client api. Pairs override parameters.
func (s *scenario) revoke(r *realm, token string, pairs ...string) response {
	s.Helper()
	return s.post(r.oidc("/revoke"), with(with(secretOf("api"), "token", token), pairs...))
}

// introspect introspects a token. Pairs override parameters.
func (s *scenario) introspect(r *realm, client, token string, pairs ...string) response {
	s.Helper()
	return s.post(r.oidc("/token/introspect"),
		with(with(secretOf(client), "token", token), pairs...))
}

// outcomeActive records whether an introspection response says that the token is active. It records
// other responses like outcome.
func (s *scenario) outcomeActive(step string, resp response) {
	if active, ok := resp.value("active").(bool); ok {
		s.note("%s: %d, active %t", step, resp.status, active)
		return
	}
	s.outcome(step, resp)
}
