package contract

import (
	"testing"
)

// TestRevoke records token revocation (RFC 7009), and which requests still accept the tokens
// afterwards.
func TestRevoke(t *testing.T) {
	run(t, "revoke", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil,
			clientJSON("server", object{"protocolMappers": []object{audienceMapper("server")}}),
			clientJSON("other", nil)))
		serverCreds := clientParams("server")
		otherCreds := clientParams("other")
		// recordTokens records which requests still accept the tokens of the client "server".
		recordTokens := func(s *scenario, tokens response) {
			s.recordOutcome("userinfo", s.userinfo(r, tokens))
			s.recordActiveState("introspection",
				s.introspect(r, "server", tokens.field("access_token")))
			s.recordOutcome("refresh", s.refresh(r, tokens, serverCreds...))
		}
		suite.add("refresh token", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil), serverCreds...)
			s.record(s.revoke(r, tokens.field("refresh_token"), serverCreds...))
			recordTokens(s, tokens)
			s.recordOutcome("revoke again",
				s.revoke(r, tokens.field("refresh_token"), serverCreds...))
		})
		suite.add("access token", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil), serverCreds...)
			s.record(s.revoke(r, tokens.field("access_token"), serverCreds...))
			recordTokens(s, tokens)
			s.recordOutcome("revoke again",
				s.revoke(r, tokens.field("access_token"), serverCreds...))
		})
		suite.add("access token, then another of the session", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil), serverCreds...)
			refreshed := s.refresh(r, tokens, serverCreds...).mustOK()
			s.recordOutcome("revoke", s.revoke(r, tokens.field("access_token"), serverCreds...))
			s.recordOutcome("userinfo of the next", s.userinfo(r, refreshed))
		})
		suite.add("offline token", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil),
				append(serverCreds, "scope", "openid offline_access")...)
			s.recordOutcome("revoke", s.revoke(r, tokens.field("refresh_token"), serverCreds...))
			recordTokens(s, tokens)
		})
		suite.add("refresh token by a public client", func(s *scenario) {
			tokens := s.token(r,
				form("grant_type", "password", "client_id", "spa", "username",
					s.addUser(r, nil).username, "password", "secret")).mustOK()
			s.recordOutcome("revoke",
				s.post(r.endpoint("/revoke"),
					form("client_id", "spa", "token", tokens.field("refresh_token"))))
		})
		suite.add("basic authentication", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil))
			s.recordOutcome("revoke",
				s.post(r.endpoint("/revoke"), form("token", tokens.field("refresh_token")),
					"Authorization", basicAuth("api", "api-secret")))
		})
		suite.add("other sessions of the user stay", func(s *scenario) {
			u := s.addUser(r, nil)
			first, second := s.login(u, serverCreds...), s.login(u, serverCreds...)
			s.recordOutcome("revoke", s.revoke(r, first.field("refresh_token"), serverCreds...))
			recordTokens(s, second)
		})
		suite.add("other clients of the session and the browser stay", func(s *scenario) {
			b := s.newBrowser()
			code := b.login(s.addUser(r, nil), "client_id", "server").redirectQuery().Get("code")
			tokens := s.token(r, codeGrant(code, serverCreds...)).mustOK()
			otherTokens := s.token(r,
				codeGrant(b.open(r.authURL("client_id", "other")).redirectQuery().Get("code"),
					otherCreds...)).mustOK()
			s.recordOutcome("revoke", s.revoke(r, tokens.field("refresh_token"), serverCreds...))
			recordTokens(s, tokens)
			s.recordOutcome("refresh of the other client", s.refresh(r, otherTokens, otherCreds...))
			s.recordOutcome("userinfo of the other client", s.userinfo(r, otherTokens))
			s.recordPageOrRedirect(b.open(r.authURL("client_id", "server")))
			s.recordOutcome("revoke by the other client",
				s.revoke(r, otherTokens.field("refresh_token"), otherCreds...))
			s.recordPageOrRedirect(b.open(r.authURL("client_id", "server", "prompt", "none")))
		})
		suite.add("the session ends with its last client", func(s *scenario) {
			b := s.newBrowser()
			tokens := s.token(r,
				codeGrant(b.login(s.addUser(r, nil)).redirectQuery().Get("code"))).mustOK()
			s.recordOutcome("revoke", s.revoke(r, tokens.field("refresh_token")))
			s.recordPageOrRedirect(b.open(r.authURL("prompt", "none")))
		})
		addNotRevoked := func(name string, send func(s *scenario, tokens response) response) {
			suite.add(name, func(s *scenario) {
				tokens := s.login(s.addUser(r, nil), serverCreds...)
				s.record(send(s, tokens))
				s.recordOutcome("userinfo", s.userinfo(r, tokens))
				s.recordOutcome("refresh", s.refresh(r, tokens, serverCreds...))
			})
		}
		addNotRevoked("garbage", func(s *scenario, _ response) response {
			return s.revoke(r, "garbage", serverCreds...)
		})
		addNotRevoked("empty", func(s *scenario, _ response) response {
			return s.revoke(r, "", serverCreds...)
		})
		addNotRevoked("absent", func(s *scenario, _ response) response {
			return s.post(r.endpoint("/revoke"), clientForm("server"))
		})
		addNotRevoked("ID token", func(s *scenario, resp response) response {
			return s.revoke(r, resp.field("id_token"), serverCreds...)
		})
		addNotRevoked("another client's refresh token", func(s *scenario, resp response) response {
			return s.revoke(r, resp.field("refresh_token"), otherCreds...)
		})
		addNotRevoked("another client's access token", func(s *scenario, resp response) response {
			return s.revoke(r, resp.field("access_token"), otherCreds...)
		})
		addNotRevoked("wrong secret", func(s *scenario, resp response) response {
			return s.revoke(r, resp.field("refresh_token"), "client_id", "server", "client_secret",
				"wrong")
		})
		addNotRevoked("unknown client", func(s *scenario, resp response) response {
			return s.revoke(r, resp.field("refresh_token"), "client_id", "nope")
		})
		addNotRevoked("no client", func(s *scenario, resp response) response {
			return s.post(r.endpoint("/revoke"), form("token", resp.field("refresh_token")))
		})
		addNotRevoked("token twice", func(s *scenario, resp response) response {
			values := withParams(clientForm("server"), "token", resp.field("refresh_token"))
			values.Add("token", "garbage")
			return s.post(r.endpoint("/revoke"), values)
		})
		suite.add("hints are ignored", func(s *scenario) {
			u := s.addUser(r, nil)
			for _, hint := range []string{"access_token", "refresh_token", "bogus"} {
				tokens := s.login(u, serverCreds...)
				s.recordOutcome(hint,
					s.revoke(r, tokens.field("refresh_token"),
						append(serverCreds, "token_type_hint", hint)...))
				s.recordOutcome("refresh", s.refresh(r, tokens, serverCreds...))
			}
		})
		suite.add("session ended already", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil))
			s.logout(r, tokens.field("refresh_token"))
			s.recordOutcome("refresh token", s.revoke(r, tokens.field("refresh_token")))
			s.recordOutcome("access token", s.revoke(r, tokens.field("access_token")))
		})
	})
}

// revoke revokes a token with the client api. Pairs override parameters.
func (s *scenario) revoke(r *realm, token string, pairs ...string) response {
	s.Helper()
	return s.post(r.endpoint("/revoke"), withParams(withParams(clientForm("api"), "token", token),
		pairs...))
}

// introspect sends an introspection request for a token. Pairs override parameters.
func (s *scenario) introspect(r *realm, client, token string, pairs ...string) response {
	s.Helper()
	return s.post(r.endpoint("/token/introspect"),
		withParams(withParams(clientForm(client), "token", token), pairs...))
}

// recordActiveState records whether an introspection response says that the token is active. It
// records an error response as recordOutcome does.
func (s *scenario) recordActiveState(step string, resp response) {
	if active, ok := resp.value("active").(bool); ok {
		s.note("%s: %d, active %t", step, resp.status, active)
		return
	}
	s.recordOutcome(step, resp)
}
