package contract

import "testing"

// TestRefresh_rotation records refresh token rotation: a refresh token can be used once, and a
// second use ends the client's session.
func TestRefresh_rotation(t *testing.T) {
	run(t, "refresh-rotation", func(g *group) {
		singleUse := g.realm(realmFile(
			object{"revokeRefreshToken": true, "refreshTokenMaxReuse": 0},
			clientFile("other", nil)))
		g.scenario("success", func(s *scenario) {
			login := s.login(s.user(singleUse, nil))
			refreshed := s.refresh(singleUse, login)
			s.showBody(refreshed)
			s.note("same reuse_id: %t",
				refreshed.claims("refresh_token")["reuse_id"] ==
					login.claims("refresh_token")["reuse_id"])
			s.wait(sec(2))
			s.outcome("the new one", s.refresh(singleUse, refreshed))
		})
		g.scenario("used twice", func(s *scenario) {
			login := s.login(s.user(singleUse, nil))
			refreshed := s.refresh(singleUse, login).ok()
			s.show(s.refresh(singleUse, login))
			s.outcome("the newest", s.refresh(singleUse, refreshed))
			s.outcome("the first, again", s.refresh(singleUse, login))
			bearer := "Bearer " + refreshed.field("access_token")
			s.outcome("userinfo", s.get(singleUse.oidc("/userinfo"), "Authorization", bearer))
			s.showBody(s.post(singleUse.oidc("/token/introspect"),
				with(secretOf("api"), "token", refreshed.field("access_token"))))
		})
		g.scenario("two generations old", func(s *scenario) {
			first := s.login(s.user(singleUse, nil))
			s.wait(sec(2))
			second := s.refresh(singleUse, first).ok()
			s.wait(sec(2))
			third := s.refresh(singleUse, second).ok()
			s.wait(sec(2))
			s.outcome("the first", s.refresh(singleUse, first))
			s.outcome("the third", s.refresh(singleUse, third))
		})
		g.scenario("used twice, another client of the session", func(s *scenario) {
			u := s.user(singleUse, nil)
			b := s.browser()
			first := s.token(singleUse, codeGrant(b.login(u).redirectQuery().Get("code"))).ok()
			code := b.open(singleUse.authURL("client_id", "other")).redirectQuery().Get("code")
			other := s.token(singleUse,
				codeGrant(code, credsOf("other")...)).ok()
			s.refresh(singleUse, first).ok()
			s.outcome("again", s.refresh(singleUse, first))
			s.outcome("the other client",
				s.refresh(singleUse, other, credsOf("other")...))
			s.outcome("single sign-on", b.open(singleUse.authURL("prompt", "none")))
		})
		g.scenario("failed refreshes don't use up the token", func(s *scenario) {
			u := s.user(singleUse, nil)
			login := s.login(u)
			s.outcome("bad scope", s.refresh(singleUse, login, "scope", "bogus"))
			s.outcome("wrong secret", s.refresh(singleUse, login, "client_secret", "wrong"))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
			s.outcome("user disabled", s.refresh(singleUse, login))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": true}))
			s.outcome("then right", s.refresh(singleUse, login))
		})
		g.scenario("logout with a used token", func(s *scenario) {
			login := s.login(s.user(singleUse, nil))
			refreshed := s.refresh(singleUse, login).ok()
			s.outcome("logout",
				s.post(singleUse.oidc("/logout"),
					with(secretOf("api"), "refresh_token", login.field("refresh_token"))))
			s.outcome("the newest", s.refresh(singleUse, refreshed))
		})
		g.scenario("offline, used twice", func(s *scenario) {
			login := s.login(s.user(singleUse, nil), "scope", "openid offline_access")
			s.showClaims(login, "refresh_token", "typ", "reuse_id")
			refreshed := s.refresh(singleUse, login).ok()
			s.outcome("again", s.refresh(singleUse, login))
			s.outcome("the newest", s.refresh(singleUse, refreshed))
		})
		reuseOnce := g.realm(realmFile(
			object{"revokeRefreshToken": true, "refreshTokenMaxReuse": 1}))
		g.scenario("two uses allowed", func(s *scenario) {
			login := s.login(s.user(reuseOnce, nil))
			s.outcome("first", s.refresh(reuseOnce, login))
			refreshed := s.refresh(reuseOnce, login)
			s.outcome("second", refreshed)
			s.outcome("third", s.refresh(reuseOnce, login))
			s.outcome("the newest", s.refresh(reuseOnce, refreshed))
		})
		unlimitedUse := g.realm(realmFile(object{"revokeRefreshToken": false}))
		g.scenario("any number of uses allowed", func(s *scenario) {
			login := s.login(s.user(unlimitedUse, nil))
			for _, step := range []string{"first", "second", "third"} {
				resp := s.refresh(unlimitedUse, login)
				s.outcome(step, resp)
				s.showClaims(resp, "refresh_token", "reuse_id", "typ")
			}
		})
	})
}
