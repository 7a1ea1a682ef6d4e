package contract

import "testing"

// TestRefresh_rotation records refresh token rotation: a refresh token can be used once, and a
// second use ends the client's session.
func TestRefresh_rotation(t *testing.T) {
	run(t, "refresh-rotation", func(g *group) {
		singleUseRealm := g.realm(realmFile(
			object{"revokeRefreshToken": true, "refreshTokenMaxReuse": 0},
			clientFile("other", nil)))
		g.scenario("success", func(s *scenario) {
			login := s.login(s.user(singleUseRealm, nil))
			refreshed := s.refresh(singleUseRealm, login)
			s.showBody(refreshed)
			s.note("same reuse_id: %t",
				refreshed.claims("refresh_token")["reuse_id"] ==
					login.claims("refresh_token")["reuse_id"])
			s.wait(sec(2))
			s.outcome("the new one", s.refresh(singleUseRealm, refreshed))
		})
		g.scenario("used twice", func(s *scenario) {
			login := s.login(s.user(singleUseRealm, nil))
			refreshed := s.refresh(singleUseRealm, login).ok()
			s.show(s.refresh(singleUseRealm, login))
			s.outcome("the newest", s.refresh(singleUseRealm, refreshed))
			s.outcome("the first, again", s.refresh(singleUseRealm, login))
			bearer := "Bearer " + refreshed.field("access_token")
			s.outcome("userinfo", s.get(singleUseRealm.oidc("/userinfo"), "Authorization", bearer))
			s.showBody(s.post(singleUseRealm.oidc("/token/introspect"),
				with(secretOf("api"), "token", refreshed.field("access_token"))))
		})
		g.scenario("two generations old", func(s *scenario) {
			first := s.login(s.user(singleUseRealm, nil))
			s.wait(sec(2))
			second := s.refresh(singleUseRealm, first).ok()
			s.wait(sec(2))
			third := s.refresh(singleUseRealm, second).ok()
			s.wait(sec(2))
			s.outcome("the first", s.refresh(singleUseRealm, first))
			s.outcome("the third", s.refresh(singleUseRealm, third))
		})
		g.scenario("used twice, another client of the session", func(s *scenario) {
			u := s.user(singleUseRealm, nil)
			b := s.browser()
			first := s.token(singleUseRealm, codeGrant(b.login(u).redirectQuery().Get("code"))).ok()
			code := b.open(singleUseRealm.authURL("client_id", "other")).redirectQuery().Get("code")
			other := s.token(singleUseRealm,
				codeGrant(code, credsOf("other")...)).ok()
			s.refresh(singleUseRealm, first).ok()
			s.outcome("again", s.refresh(singleUseRealm, first))
			s.outcome("the other client",
				s.refresh(singleUseRealm, other, credsOf("other")...))
			s.outcome("single sign-on", b.open(singleUseRealm.authURL("prompt", "none")))
		})
		g.scenario("failed refreshes don't use up the token", func(s *scenario) {
			u := s.user(singleUseRealm, nil)
			login := s.login(u)
			s.outcome("bad scope", s.refresh(singleUseRealm, login, "scope", "bogus"))
			s.outcome("wrong secret", s.refresh(singleUseRealm, login, "client_secret", "wrong"))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
			s.outcome("user disabled", s.refresh(singleUseRealm, login))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": true}))
			s.outcome("then right", s.refresh(singleUseRealm, login))
		})
		g.scenario("logout with a used token", func(s *scenario) {
			login := s.login(s.user(singleUseRealm, nil))
			refreshed := s.refresh(singleUseRealm, login).ok()
			s.outcome("logout",
				s.post(singleUseRealm.oidc("/logout"),
					with(secretOf("api"), "refresh_token", login.field("refresh_token"))))
			s.outcome("the newest", s.refresh(singleUseRealm, refreshed))
		})
		g.scenario("offline, used twice", func(s *scenario) {
			login := s.login(s.user(singleUseRealm, nil), "scope", "openid offline_access")
			s.showClaims(login, "refresh_token", "typ", "reuse_id")
			refreshed := s.refresh(singleUseRealm, login).ok()
			s.outcome("again", s.refresh(singleUseRealm, login))
			s.outcome("the newest", s.refresh(singleUseRealm, refreshed))
		})
		reuseOnceRealm := g.realm(realmFile(
			object{"revokeRefreshToken": true, "refreshTokenMaxReuse": 1}))
		g.scenario("two uses allowed", func(s *scenario) {
			login := s.login(s.user(reuseOnceRealm, nil))
			s.outcome("first", s.refresh(reuseOnceRealm, login))
			refreshed := s.refresh(reuseOnceRealm, login)
			s.outcome("second", refreshed)
			s.outcome("third", s.refresh(reuseOnceRealm, login))
			s.outcome("the newest", s.refresh(reuseOnceRealm, refreshed))
		})
		unlimitedRealm := g.realm(realmFile(object{"revokeRefreshToken": false}))
		g.scenario("any number of uses allowed", func(s *scenario) {
			login := s.login(s.user(unlimitedRealm, nil))
			for _, step := range []string{"first", "second", "third"} {
				resp := s.refresh(unlimitedRealm, login)
				s.outcome(step, resp)
				s.showClaims(resp, "refresh_token", "reuse_id", "typ")
			}
		})
	})
}
