package contract

import "testing"

// Refresh token rotation: a refresh token can be used once, and a second use ends the client's
// session.
func TestRefresh_rotation(t *testing.T) {
	run(t, "refresh-rotation", func(g *group) {
		once := g.realm(realmFile(object{"revokeRefreshToken": true, "refreshTokenMaxReuse": 0},
			clientFile("other", nil)))
		g.exchange("success", func(x *exchange) {
			login := x.login(x.user(once, nil))
			again := x.refresh(once, login)
			x.showBody(again)
			x.note("same reuse_id: %t",
				again.claims("refresh_token")["reuse_id"] ==
					login.claims("refresh_token")["reuse_id"])
			x.wait(sec(2))
			x.outcome("the new one", x.refresh(once, again))
		})
		g.exchange("used twice", func(x *exchange) {
			login := x.login(x.user(once, nil))
			again := x.refresh(once, login).ok()
			x.show(x.refresh(once, login))
			x.outcome("the newest", x.refresh(once, again))
			x.outcome("the first, again", x.refresh(once, login))
			bearer := "Bearer " + again.field("access_token")
			x.outcome("userinfo", x.get(once.oidc("/userinfo"), "Authorization", bearer))
			x.showBody(x.post(once.oidc("/token/introspect"),
				with(secretOf("api"), "token", again.field("access_token"))))
		})
		g.exchange("two generations old", func(x *exchange) {
			first := x.login(x.user(once, nil))
			x.wait(sec(2))
			second := x.refresh(once, first).ok()
			x.wait(sec(2))
			third := x.refresh(once, second).ok()
			x.wait(sec(2))
			x.outcome("the first", x.refresh(once, first))
			x.outcome("the third", x.refresh(once, third))
		})
		g.exchange("used twice, another client of the session", func(x *exchange) {
			u := x.user(once, nil)
			b := x.browser()
			first := x.token(once, codeGrant(b.login(u).redirected().Get("code"))).ok()
			other := x.token(once,
				codeGrant(b.open(once.authURL("client_id", "other")).redirected().Get("code"),
					"client_id", "other", "client_secret", "other-secret")).ok()
			x.refresh(once, first).ok()
			x.outcome("again", x.refresh(once, first))
			x.outcome("the other client",
				x.refresh(once, other, "client_id", "other", "client_secret", "other-secret"))
			x.outcome("single sign-on", b.open(once.authURL("prompt", "none")))
		})
		g.exchange("failed refreshes don't use up the token", func(x *exchange) {
			u := x.user(once, nil)
			login := x.login(u)
			x.outcome("bad scope", x.refresh(once, login, "scope", "bogus"))
			x.outcome("wrong secret", x.refresh(once, login, "client_secret", "wrong"))
			x.must(x.kc.patchUser(u.userRef, object{"enabled": false}))
			x.outcome("user disabled", x.refresh(once, login))
			x.must(x.kc.patchUser(u.userRef, object{"enabled": true}))
			x.outcome("then right", x.refresh(once, login))
		})
		g.exchange("logout with a used token", func(x *exchange) {
			login := x.login(x.user(once, nil))
			again := x.refresh(once, login).ok()
			x.outcome("logout",
				x.post(once.oidc("/logout"),
					with(secretOf("api"), "refresh_token", login.field("refresh_token"))))
			x.outcome("the newest", x.refresh(once, again))
		})
		g.exchange("offline, used twice", func(x *exchange) {
			login := x.login(x.user(once, nil), "scope", "openid offline_access")
			x.showClaims(login, "refresh_token", "typ", "reuse_id")
			again := x.refresh(once, login).ok()
			x.outcome("again", x.refresh(once, login))
			x.outcome("the newest", x.refresh(once, again))
		})
		twice := g.realm(realmFile(object{"revokeRefreshToken": true, "refreshTokenMaxReuse": 1}))
		g.exchange("two uses allowed", func(x *exchange) {
			login := x.login(x.user(twice, nil))
			x.outcome("first", x.refresh(twice, login))
			again := x.refresh(twice, login)
			x.outcome("second", again)
			x.outcome("third", x.refresh(twice, login))
			x.outcome("the newest", x.refresh(twice, again))
		})
		often := g.realm(realmFile(object{"revokeRefreshToken": false}))
		g.exchange("any number of uses allowed", func(x *exchange) {
			login := x.login(x.user(often, nil))
			for _, step := range []string{"first", "second", "third"} {
				a := x.refresh(often, login)
				x.outcome(step, a)
				x.showClaims(a, "refresh_token", "reuse_id", "typ")
			}
		})
	})
}
