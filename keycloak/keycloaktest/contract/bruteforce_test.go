package contract

import "testing"

// TestBruteForce records logins of locked users. The responses don't reveal that the user is
// locked: they are the same as to a wrong password. Keycloak counts a failed login only after it
// has responded, so scenarios wait until the failure is counted.
func TestBruteForce(t *testing.T) {
	run(t, "brute-force", func(suite *testSuite) {
		addProtectedRealm := func(settings object) *realm {
			return suite.addRealm(realmJSON(merge(object{
				"bruteForceProtected": true, "failureFactor": 3, "waitIncrementSeconds": 600,
			}, settings)))
		}
		r := addProtectedRealm(nil)
		// fail sends n logins that fail. After each login, it waits until the failure is counted.
		fail := func(s *scenario, u *user, n int, pairs ...string) {
			for i := range n {
				if i > 0 {
					// Two failures within quickLoginCheckMilliSeconds, one second by default,
					// would lock the user immediately.
					s.wait(seconds(2))
				}
				resp := s.token(u.realm,
					passwordGrant(u, append([]string{"password", "wrong"}, pairs...)...))
				s.recordOutcome("wrong", resp)
				s.must(s.kc.awaitFailures(u.userRef, i+1))
			}
		}
		// succeed signs the user in after a failure, and waits until the count is reset.
		succeed := func(s *scenario, u *user) response {
			s.token(u.realm, passwordGrant(u, "password", "wrong"))
			s.must(s.kc.awaitFailures(u.userRef, 1))
			tokens := s.login(u)
			s.must(s.kc.awaitFailures(u.userRef, 0))
			return tokens
		}
		suite.add("locked", func(s *scenario) {
			u := s.addUser(r, nil)
			fail(s, u, 3)
			s.must(s.kc.awaitLocked(u.userRef))
			s.record(s.token(r, passwordGrant(u)))
			s.recordOutcome("wrong", s.token(r, passwordGrant(u, "password", "wrong")))
			s.must(s.kc.unlock(u.userRef))
			s.recordOutcome("right, unlocked", s.token(r, passwordGrant(u)))
		})
		suite.add("sessions of a locked user", func(s *scenario) {
			u := s.addUser(r, nil)
			tokens := succeed(s, u)
			fail(s, u, 3)
			s.must(s.kc.awaitLocked(u.userRef))
			s.recordOutcome("right", s.token(r, passwordGrant(u)))
			s.recordOutcome("refresh", s.refresh(r, tokens))
			s.recordOutcome("userinfo",
				s.userinfo(r, tokens))
		})
		suite.add("in the browser", func(s *scenario) {
			u := s.addUser(r, nil)
			fail(s, u, 3)
			s.must(s.kc.awaitLocked(u.userRef))
			s.record(s.newBrowser().login(u))
		})
		suite.add("success resets the count", func(s *scenario) {
			u := s.addUser(r, nil)
			for range 2 {
				fail(s, u, 2)
				s.recordOutcome("right", s.token(r, passwordGrant(u)))
				s.must(s.kc.awaitFailures(u.userRef, 0))
				s.wait(seconds(1))
			}
		})
		suite.add("a disabled user", func(s *scenario) {
			u := s.addUser(r, object{"enabled": false}) // a disabled user's failures aren't counted
			for range 4 {
				s.recordOutcome("wrong", s.token(r, passwordGrant(u, "password", "wrong")))
			}
			s.recordOutcome("right", s.token(r, passwordGrant(u)))
			s.must(s.kc.awaitFailures(u.userRef, 0))
		})
		suite.add("an unknown user", func(s *scenario) {
			for range 4 {
				s.recordOutcome("unknown",
					s.token(r,
						withParams(
							clientForm("api"), "grant_type", "password", "username", "nobody",
							"password", "wrong")))
			}
		})
		suite.add("wrong codes count", func(s *scenario) {
			u := s.addUser(r, object{"credentials": defaultTOTP.credentials()})
			fail(s, u, 3, "password", "secret", "otp", "none")
			s.must(s.kc.awaitLocked(u.userRef))
			s.recordOutcome("right code",
				s.token(r, passwordGrant(u, "otp", defaultTOTP.code(s, 0))))
		})
		suite.add("e-mail and username share a count", func(s *scenario) {
			u := s.addUser(r, nil)
			fail(s, u, 3, "username", u.username+"@example.com")
			s.must(s.kc.awaitLocked(u.userRef))
			s.recordOutcome("right", s.token(r, passwordGrant(u)))
		})
		shortLockRealm := addProtectedRealm(object{"waitIncrementSeconds": 15})
		suite.add("temporary lockout", func(s *scenario) {
			u := s.addUser(shortLockRealm, nil)
			done := s.setDeadline(seconds(14))
			fail(s, u, 3)
			s.must(s.kc.awaitLocked(u.userRef))
			s.recordOutcome("right", s.token(shortLockRealm, passwordGrant(u)))
			done()
			s.wait(seconds(17))
			s.recordOutcome("right, later", s.token(shortLockRealm, passwordGrant(u)))
			s.must(s.kc.awaitFailures(u.userRef, 0))
		})
		quickLoginRealm := addProtectedRealm(object{"failureFactor": 30,
			"quickLoginCheckMilliSeconds": 600000, "minimumQuickLoginWaitSeconds": 600})
		suite.add("two quick failures lock", func(s *scenario) {
			u := s.addUser(quickLoginRealm, nil)
			s.recordOutcome("wrong",
				s.token(quickLoginRealm, passwordGrant(u, "password", "wrong")))
			s.must(s.kc.awaitFailures(u.userRef, 1))
			s.recordOutcome("wrong",
				s.token(quickLoginRealm, passwordGrant(u, "password", "wrong")))
			s.must(s.kc.awaitLocked(u.userRef))
			s.recordOutcome("right", s.token(quickLoginRealm, passwordGrant(u)))
		})
		permanentLockRealm := addProtectedRealm(
			object{"permanentLockout": true, "failureFactor": 2})
		suite.add("permanent lockout", func(s *scenario) {
			u := s.addUser(permanentLockRealm, nil)
			tokens := succeed(s, u)
			fail(s, u, 2)
			s.must(s.kc.awaitLocked(u.userRef))
			s.recordOutcome("right", s.token(permanentLockRealm, passwordGrant(u)))
			s.recordOutcome("refresh", s.refresh(permanentLockRealm, tokens))
			s.must(s.kc.unlock(u.userRef))
			s.recordOutcome("right, unlocked", s.token(permanentLockRealm, passwordGrant(u)))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": true}))
			s.recordOutcome("right, enabled again", s.token(permanentLockRealm, passwordGrant(u)))
		})
	})
}
