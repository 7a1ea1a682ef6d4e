package contract

import "testing"

// TestBruteForce records responses to locked users. They don't reveal the lock: they are the same
// as for a wrong password. Keycloak counts a failure after it has responded, so scenarios wait for
// the count.
func TestBruteForce(t *testing.T) {
	run(t, "brute-force", func(g *group) {
		protectedRealm := func(settings object) *realm {
			return g.realm(realmFile(merge(object{
				"bruteForceProtected": true, "failureFactor": 3, "waitIncrementSeconds": 600,
			}, settings)))
		}
		r := protectedRealm(nil)
		// fail sends n logins that fail, and waits until each failure is counted.
		fail := func(s *scenario, u *user, n int, pairs ...string) {
			for i := range n {
				if i > 0 {
					// Two failures within quickLoginCheckMilliSeconds, one second by default,
					// would lock the user.
					s.wait(sec(2))
				}
				resp := s.token(u.realm,
					passwordGrant(u, append([]string{"password", "wrong"}, pairs...)...))
				s.outcome("wrong", resp)
				s.must(s.kc.awaitFailures(u.userRef, i+1))
			}
		}
		// succeed signs the user in after a failure, and waits until the count is reset.
		succeed := func(s *scenario, u *user) response {
			s.token(u.realm, passwordGrant(u, "password", "wrong"))
			s.must(s.kc.awaitFailures(u.userRef, 1))
			login := s.login(u)
			s.must(s.kc.awaitFailures(u.userRef, 0))
			return login
		}
		g.scenario("locked", func(s *scenario) {
			u := s.user(r, nil)
			fail(s, u, 3)
			s.must(s.kc.awaitLocked(u.userRef))
			s.show(s.token(r, passwordGrant(u)))
			s.outcome("wrong", s.token(r, passwordGrant(u, "password", "wrong")))
			s.must(s.kc.unlock(u.userRef))
			s.outcome("right, unlocked", s.token(r, passwordGrant(u)))
		})
		g.scenario("sessions of a locked user", func(s *scenario) {
			u := s.user(r, nil)
			login := succeed(s, u)
			fail(s, u, 3)
			s.must(s.kc.awaitLocked(u.userRef))
			s.outcome("right", s.token(r, passwordGrant(u)))
			s.outcome("refresh", s.refresh(r, login))
			s.outcome("userinfo",
				s.get(r.oidc("/userinfo"), "Authorization", "Bearer "+login.field("access_token")))
		})
		g.scenario("in the browser", func(s *scenario) {
			u := s.user(r, nil)
			fail(s, u, 3)
			s.must(s.kc.awaitLocked(u.userRef))
			s.show(s.browser().login(u))
		})
		g.scenario("success resets the count", func(s *scenario) {
			u := s.user(r, nil)
			for range 2 {
				fail(s, u, 2)
				s.outcome("right", s.token(r, passwordGrant(u)))
				s.must(s.kc.awaitFailures(u.userRef, 0))
				s.wait(sec(1))
			}
		})
		g.scenario("a disabled user", func(s *scenario) {
			u := s.user(r, object{"enabled": false}) // a disabled user's failures aren't counted
			for range 4 {
				s.outcome("wrong", s.token(r, passwordGrant(u, "password", "wrong")))
			}
			s.outcome("right", s.token(r, passwordGrant(u)))
			s.must(s.kc.awaitFailures(u.userRef, 0))
		})
		g.scenario("an unknown user", func(s *scenario) {
			for range 4 {
				s.outcome("unknown",
					s.token(r,
						with(secretOf("api"), "grant_type", "password", "username", "nobody",
							"password", "wrong")))
			}
		})
		g.scenario("wrong codes count", func(s *scenario) {
			u := s.user(r, object{"credentials": defaultTOTP.credentials()})
			fail(s, u, 3, "password", "secret", "otp", "none")
			s.must(s.kc.awaitLocked(u.userRef))
			s.outcome("right code", s.token(r, passwordGrant(u, "otp", defaultTOTP.code(s, 0))))
		})
		g.scenario("e-mail and username share a count", func(s *scenario) {
			u := s.user(r, nil)
			fail(s, u, 3, "username", u.username+"@example.com")
			s.must(s.kc.awaitLocked(u.userRef))
			s.outcome("right", s.token(r, passwordGrant(u)))
		})
		shortLockRealm := protectedRealm(object{"waitIncrementSeconds": 15})
		g.scenario("temporary lockout", func(s *scenario) {
			u := s.user(shortLockRealm, nil)
			done := s.deadline(sec(14))
			fail(s, u, 3)
			s.must(s.kc.awaitLocked(u.userRef))
			s.outcome("right", s.token(shortLockRealm, passwordGrant(u)))
			done()
			s.wait(sec(17))
			s.outcome("right, later", s.token(shortLockRealm, passwordGrant(u)))
			s.must(s.kc.awaitFailures(u.userRef, 0))
		})
		quickLoginRealm := protectedRealm(object{"failureFactor": 30,
			"quickLoginCheckMilliSeconds": 600000, "minimumQuickLoginWaitSeconds": 600})
		g.scenario("two quick failures lock", func(s *scenario) {
			u := s.user(quickLoginRealm, nil)
			s.outcome("wrong", s.token(quickLoginRealm, passwordGrant(u, "password", "wrong")))
			s.must(s.kc.awaitFailures(u.userRef, 1))
			s.outcome("wrong", s.token(quickLoginRealm, passwordGrant(u, "password", "wrong")))
			s.must(s.kc.awaitLocked(u.userRef))
			s.outcome("right", s.token(quickLoginRealm, passwordGrant(u)))
		})
		permanentLockRealm := protectedRealm(object{"permanentLockout": true, "failureFactor": 2})
		g.scenario("permanent lockout", func(s *scenario) {
			u := s.user(permanentLockRealm, nil)
			login := succeed(s, u)
			fail(s, u, 2)
			s.must(s.kc.awaitLocked(u.userRef))
			s.outcome("right", s.token(permanentLockRealm, passwordGrant(u)))
			s.outcome("refresh", s.refresh(permanentLockRealm, login))
			s.must(s.kc.unlock(u.userRef))
			s.outcome("right, unlocked", s.token(permanentLockRealm, passwordGrant(u)))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": true}))
			s.outcome("right, enabled again", s.token(permanentLockRealm, passwordGrant(u)))
		})
	})
}
