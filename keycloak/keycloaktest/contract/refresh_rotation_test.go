package contract

import "testing"

// TestRefresh_rotation records refresh token rotation: a refresh token can be used once, and a
// second use ends the client's session.
func TestRefresh_rotation(t *testing.T) {
	run(t, "refresh-rotation", func(suite *testSuite) {
		singleUseRealm := suite.addRealm(realmJSON(
			object{"revokeRefreshToken": true, "refreshTokenMaxReuse": 0},
			clientJSON("other", nil)))
		suite.add("success", func(s *scenario) {
			tokens := s.login(s.addUser(singleUseRealm, nil))
			refreshed := s.refresh(singleUseRealm, tokens)
			s.recordBody(refreshed)
			s.note("same reuse_id: %t",
				refreshed.claims("refresh_token")["reuse_id"] ==
					tokens.claims("refresh_token")["reuse_id"])
			s.wait(seconds(2))
			s.recordOutcome("the new one", s.refresh(singleUseRealm, refreshed))
		})
		suite.add("used twice", func(s *scenario) {
			tokens := s.login(s.addUser(singleUseRealm, nil))
			refreshed := s.refresh(singleUseRealm, tokens).mustOK()
			s.record(s.refresh(singleUseRealm, tokens))
			s.recordOutcome("the newest", s.refresh(singleUseRealm, refreshed))
			s.recordOutcome("the first, again", s.refresh(singleUseRealm, tokens))
			bearer := "Bearer " + refreshed.field("access_token")
			s.recordOutcome("userinfo",
				s.get(singleUseRealm.endpoint("/userinfo"), "Authorization", bearer))
			s.recordBody(s.post(singleUseRealm.endpoint("/token/introspect"),
				withParams(clientForm("api"), "token", refreshed.field("access_token"))))
		})
		suite.add("two generations old", func(s *scenario) {
			first := s.login(s.addUser(singleUseRealm, nil))
			s.wait(seconds(2))
			second := s.refresh(singleUseRealm, first).mustOK()
			s.wait(seconds(2))
			third := s.refresh(singleUseRealm, second).mustOK()
			s.wait(seconds(2))
			s.recordOutcome("the first", s.refresh(singleUseRealm, first))
			s.recordOutcome("the third", s.refresh(singleUseRealm, third))
		})
		suite.add("used twice, another client of the session", func(s *scenario) {
			u := s.addUser(singleUseRealm, nil)
			b := s.newBrowser()
			redirect := b.login(u)
			first := s.token(singleUseRealm,
				codeGrant(redirect.redirectQuery().Get("code"))).mustOK()
			code := b.open(singleUseRealm.authURL("client_id", "other")).redirectQuery().Get("code")
			other := s.token(singleUseRealm,
				codeGrant(code, clientParams("other")...)).mustOK()
			s.refresh(singleUseRealm, first).mustOK()
			s.recordOutcome("again", s.refresh(singleUseRealm, first))
			s.recordOutcome("the other client",
				s.refresh(singleUseRealm, other, clientParams("other")...))
			s.recordOutcome("single sign-on", b.open(singleUseRealm.authURL("prompt", "none")))
		})
		suite.add("failed refreshes don't use up the token", func(s *scenario) {
			u := s.addUser(singleUseRealm, nil)
			tokens := s.login(u)
			s.recordOutcome("bad scope", s.refresh(singleUseRealm, tokens, "scope", "bogus"))
			s.recordOutcome("wrong secret",
				s.refresh(singleUseRealm, tokens, "client_secret", "wrong"))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
			s.recordOutcome("user disabled", s.refresh(singleUseRealm, tokens))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": true}))
			s.recordOutcome("then right", s.refresh(singleUseRealm, tokens))
		})
		suite.add("logout with a used token", func(s *scenario) {
			tokens := s.login(s.addUser(singleUseRealm, nil))
			refreshed := s.refresh(singleUseRealm, tokens).mustOK()
			s.recordOutcome("logout",
				s.post(singleUseRealm.endpoint("/logout"),
					withParams(clientForm("api"), "refresh_token", tokens.field("refresh_token"))))
			s.recordOutcome("the newest", s.refresh(singleUseRealm, refreshed))
		})
		suite.add("offline, used twice", func(s *scenario) {
			tokens := s.login(s.addUser(singleUseRealm, nil), "scope", "openid offline_access")
			s.recordClaims(tokens, "refresh_token", "typ", "reuse_id")
			refreshed := s.refresh(singleUseRealm, tokens).mustOK()
			s.recordOutcome("again", s.refresh(singleUseRealm, tokens))
			s.recordOutcome("the newest", s.refresh(singleUseRealm, refreshed))
		})
		reuseOnceRealm := suite.addRealm(realmJSON(
			object{"revokeRefreshToken": true, "refreshTokenMaxReuse": 1}))
		suite.add("two uses allowed", func(s *scenario) {
			tokens := s.login(s.addUser(reuseOnceRealm, nil))
			s.recordOutcome("first", s.refresh(reuseOnceRealm, tokens))
			refreshed := s.refresh(reuseOnceRealm, tokens)
			s.recordOutcome("second", refreshed)
			s.recordOutcome("third", s.refresh(reuseOnceRealm, tokens))
			s.recordOutcome("the newest", s.refresh(reuseOnceRealm, refreshed))
		})
		unlimitedRealm := suite.addRealm(realmJSON(object{"revokeRefreshToken": false}))
		suite.add("any number of uses allowed", func(s *scenario) {
			tokens := s.login(s.addUser(unlimitedRealm, nil))
			for _, step := range []string{"first", "second", "third"} {
				resp := s.refresh(unlimitedRealm, tokens)
				s.recordOutcome(step, resp)
				s.recordClaims(resp, "refresh_token", "reuse_id", "typ")
			}
		})
	})
}
