package contract

import "testing"

// Brute-force protection. Responses don't reveal it: a locked user gets the response to a wrong
// password. Keycloak counts after it has responded, so each exchange waits for the count.
func TestBruteForce(t *testing.T) {
	run(t, "brute-force", func(g *group) {
		protected := func(settings object) *realm {
			return g.realm(realmFile(merge(object{
				"bruteForceProtected": true, "failureFactor": 3, "waitIncrementSeconds": 600,
			}, settings)))
		}
		r := protected(nil)
		// fail fails n times, and waits until each failure is counted.
		fail := func(x *exchange, u *user, n int, pairs ...string) {
			for i := range n {
				if i > 0 {
					// Two failures within the quick login check, one second by default, lock at
					// once.
					x.wait(sec(2))
				}
				a := x.token(u.realm,
					passwordGrant(u, append([]string{"password", "wrong"}, pairs...)...))
				x.outcome("wrong", a)
				x.must(x.kc.failures(u.userRef, i+1))
			}
		}
		// succeed logs in, and waits until Keycloak has reset the count.
		succeed := func(x *exchange, u *user) response {
			x.token(u.realm, passwordGrant(u, "password", "wrong"))
			x.must(x.kc.failures(u.userRef, 1))
			login := x.login(u)
			x.must(x.kc.failures(u.userRef, 0))
			return login
		}
		g.exchange("locked", func(x *exchange) {
			u := x.user(r, nil)
			fail(x, u, 3)
			x.must(x.kc.locked(u.userRef))
			x.show(x.token(r, passwordGrant(u)))
			x.outcome("wrong", x.token(r, passwordGrant(u, "password", "wrong")))
			x.must(x.kc.unlock(u.userRef))
			x.outcome("right, unlocked", x.token(r, passwordGrant(u)))
		})
		g.exchange("sessions of a locked user", func(x *exchange) {
			u := x.user(r, nil)
			login := succeed(x, u)
			fail(x, u, 3)
			x.must(x.kc.locked(u.userRef))
			x.outcome("right", x.token(r, passwordGrant(u)))
			x.outcome("refresh", x.refresh(r, login))
			x.outcome("userinfo",
				x.get(r.oidc("/userinfo"), "Authorization", "Bearer "+login.field("access_token")))
		})
		g.exchange("in the browser", func(x *exchange) {
			u := x.user(r, nil)
			fail(x, u, 3)
			x.must(x.kc.locked(u.userRef))
			x.show(x.browser().login(u))
		})
		g.exchange("success resets the count", func(x *exchange) {
			u := x.user(r, nil)
			for range 2 {
				fail(x, u, 2)
				x.outcome("right", x.token(r, passwordGrant(u)))
				x.must(x.kc.failures(u.userRef, 0))
				x.wait(sec(1))
			}
		})
		g.exchange("a disabled user", func(x *exchange) {
			u := x.user(r, object{"enabled": false}) // failures aren't counted
			for range 4 {
				x.outcome("wrong", x.token(r, passwordGrant(u, "password", "wrong")))
			}
			x.outcome("right", x.token(r, passwordGrant(u)))
			x.must(x.kc.failures(u.userRef, 0))
		})
		g.exchange("an unknown user", func(x *exchange) {
			for range 4 {
				x.outcome("unknown",
					x.token(r,
						with(secretOf("api"), "grant_type", "password", "username", "nobody",
							"password", "wrong")))
			}
		})
		g.exchange("wrong codes count", func(x *exchange) {
			u := x.user(r, object{"credentials": usualTOTP.credentials()})
			fail(x, u, 3, "password", "secret", "otp", "none")
			x.must(x.kc.locked(u.userRef))
			x.outcome("right code", x.token(r, passwordGrant(u, "otp", usualTOTP.code(x, 0))))
		})
		g.exchange("e-mail and username share a count", func(x *exchange) {
			u := x.user(r, nil)
			fail(x, u, 3, "username", u.username+"@example.com")
			x.must(x.kc.locked(u.userRef))
			x.outcome("right", x.token(r, passwordGrant(u)))
		})
		short := protected(object{"waitIncrementSeconds": 15})
		g.exchange("temporary lockout", func(x *exchange) {
			u := x.user(short, nil)
			locked := x.within(sec(14))
			fail(x, u, 3)
			x.must(x.kc.locked(u.userRef))
			x.outcome("right", x.token(short, passwordGrant(u)))
			locked()
			x.wait(sec(17))
			x.outcome("right, later", x.token(short, passwordGrant(u)))
			x.must(x.kc.failures(u.userRef, 0))
		})
		quick := protected(object{"failureFactor": 30, "quickLoginCheckMilliSeconds": 600000,
			"minimumQuickLoginWaitSeconds": 600})
		g.exchange("two quick failures lock", func(x *exchange) {
			u := x.user(quick, nil)
			x.outcome("wrong", x.token(quick, passwordGrant(u, "password", "wrong")))
			x.must(x.kc.failures(u.userRef, 1))
			x.outcome("wrong", x.token(quick, passwordGrant(u, "password", "wrong")))
			x.must(x.kc.locked(u.userRef))
			x.outcome("right", x.token(quick, passwordGrant(u)))
		})
		forever := protected(object{"permanentLockout": true, "failureFactor": 2})
		g.exchange("permanent lockout", func(x *exchange) {
			u := x.user(forever, nil)
			login := succeed(x, u)
			fail(x, u, 2)
			x.must(x.kc.locked(u.userRef))
			x.outcome("right", x.token(forever, passwordGrant(u)))
			x.outcome("refresh", x.refresh(forever, login))
			x.must(x.kc.unlock(u.userRef))
			x.outcome("right, unlocked", x.token(forever, passwordGrant(u)))
			x.must(x.kc.patchUser(u.userRef, object{"enabled": true}))
			x.outcome("right, enabled again", x.token(forever, passwordGrant(u)))
		})
	})
}
