package contract

import (
	"testing"
	"time"
)

// TestNotBefore records which requests still accept tokens after an administrator has revoked
// tokens, or has disabled or deleted a user, a session, a client or a realm.
func TestNotBefore(t *testing.T) {
	run(t, "not-before", func(suite *testSuite) {
		representation := realmJSON(nil,
			clientJSON("server", object{"protocolMappers": []object{audienceMapper("server")}}))
		r := suite.addRealm(representation)
		creds := clientParams("server")
		recordTokens := func(s *scenario, r *realm, tokens response) {
			s.record(s.userinfo(r, tokens))
			s.recordActiveState("introspection",
				s.introspect(r, "server", tokens.field("access_token")))
			s.recordActiveState("introspection of the refresh token",
				s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
					"refresh_token"))
			s.record(s.refresh(r, tokens, creds...))
		}
		// Scenarios wait before they change a notBefore, because a token that was issued in the
		// same second stays valid.
		const pause = 2100 * time.Millisecond
		suite.add("realm", func(s *scenario) {
			r := s.importRealm(representation)
			u := s.addUser(r, nil)
			b := s.newBrowser()
			code := b.login(u, "client_id", "server").redirectQuery().Get("code")
			tokens := s.token(r, codeGrant(code, creds...)).mustOK()
			s.recordNotBefore("login", tokens, s.kc.now())
			s.wait(pause)
			changedAt := s.kc.now()
			r.patch(s, object{"notBefore": changedAt.Unix()})
			recordTokens(s, r, tokens)
			s.recordPageOrRedirect(b.open(r.authURL("prompt", "none")))
			s.recordOutcome("logout", s.logout(r, tokens.field("refresh_token"), creds...))
			newTokens := s.login(u, creds...)
			s.recordNotBefore("next login", newTokens, changedAt)
			s.recordOutcome("userinfo", s.userinfo(r, newTokens))
			s.note("realm info says the same: %t",
				asInt(s.get(r.url("")).value("tokens-not-before")) == changedAt.Unix())
		})
		suite.add("realm: a service account", func(s *scenario) {
			r := s.importRealm(representation)
			token := s.token(r,
				clientCredentialsGrant("service", "scope",
					"openid")).mustOK()
			s.recordOutcome("userinfo", s.userinfo(r, token))
			s.wait(pause)
			changedAt := s.kc.now()
			r.patch(s, object{"notBefore": changedAt.Unix()})
			s.recordOutcome("userinfo after it", s.userinfo(r, token))
			newTokens := s.token(r, clientCredentialsGrant("service")).mustOK()
			s.recordNotBefore("next token", newTokens, changedAt)
		})
		suite.add("client", func(s *scenario) {
			r := s.importRealm(representation)
			u := s.addUser(r, nil)
			tokens, otherTokens := s.login(u, creds...), s.login(u)
			s.wait(pause)
			changedAt := s.kc.now()
			r.patchClient(s, "server", object{"notBefore": changedAt.Unix()})
			recordTokens(s, r, tokens)
			s.recordOutcome("userinfo of another client", s.userinfo(r, otherTokens))
			newTokens := s.login(u, creds...)
			s.recordNotBefore("next login", newTokens, changedAt)
		})
		suite.add("user is logged out", func(s *scenario) {
			u := s.addUser(r, nil)
			b := s.newBrowser()
			b.login(u)
			tokens := s.login(u, creds...)
			s.wait(pause)
			changedAt := s.kc.now()
			s.must(s.kc.logoutUser(u.userRef))
			recordTokens(s, r, tokens)
			s.recordPageOrRedirect(b.open(r.authURL("prompt", "none")))
			newTokens := s.login(u, creds...)
			s.recordNotBefore("next login", newTokens, changedAt)
			s.recordOutcome("userinfo", s.userinfo(r, newTokens))
			refreshed := s.refresh(r, newTokens, creds...).mustOK()
			s.recordNotBefore("refresh after it", refreshed, changedAt)
		})
		suite.add("user is logged out: an offline session", func(s *scenario) {
			u := s.addUser(r, nil)
			tokens := s.login(u, append(creds, "scope", "openid offline_access")...)
			s.wait(pause)
			s.must(s.kc.logoutUser(u.userRef))
			s.recordOutcome("userinfo", s.userinfo(r, tokens))
			s.recordOutcome("refresh", s.refresh(r, tokens, creds...))
		})
		suite.add("user is disabled and enabled again", func(s *scenario) {
			u := s.addUser(r, nil)
			b := s.newBrowser()
			b.login(u)
			tokens := s.login(u, creds...)
			s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
			s.recordOutcome("userinfo", s.userinfo(r, tokens))
			s.recordOutcome("refresh", s.refresh(r, tokens, creds...))
			s.recordPageOrRedirect(b.open(r.authURL("prompt", "none")))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": true}))
			s.recordOutcome("userinfo when enabled again", s.userinfo(r, tokens))
			s.recordOutcome("refresh when enabled again", s.refresh(r, tokens, creds...))
		})
		suite.add("user is deleted", func(s *scenario) {
			u := s.addUser(r, nil)
			b := s.newBrowser()
			b.login(u)
			tokens := s.login(u, creds...)
			s.must(s.kc.deleteUser(u.userRef))
			recordTokens(s, r, tokens)
			s.recordPageOrRedirect(b.open(r.authURL("prompt", "none")))
		})
		suite.add("password is reset", func(s *scenario) {
			u := s.addUser(r, nil)
			tokens := s.login(u, creds...)
			s.must(s.kc.resetPassword(u.userRef, "another"))
			s.recordOutcome("userinfo", s.userinfo(r, tokens))
			s.recordOutcome("refresh", s.refresh(r, tokens, creds...))
		})
		suite.add("session is deleted", func(s *scenario) {
			u := s.addUser(r, nil)
			tokens, otherTokens := s.login(u, creds...), s.login(u, creds...)
			s.must(s.kc.endSession(sessionRef{realm: r.name, sid: tokens.field("session_state")}))
			s.recordOutcome("userinfo", s.userinfo(r, tokens))
			s.recordOutcome("refresh", s.refresh(r, tokens, creds...))
			s.recordOutcome("another session", s.refresh(r, otherTokens, creds...))
		})
		suite.add("offline session is deleted", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil), append(creds, "scope", "openid offline_access")...)
			s.must(
				s.kc.endSession(sessionRef{realm: r.name, sid: tokens.field("session_state"),
					offline: true}))
			s.recordOutcome("userinfo", s.userinfo(r, tokens))
			s.recordOutcome("refresh", s.refresh(r, tokens, creds...))
		})
		suite.add("client is disabled", func(s *scenario) {
			r := s.importRealm(representation)
			tokens := s.login(s.addUser(r, nil), creds...)
			r.patchClient(s, "server", object{"enabled": false})
			s.record(s.userinfo(r, tokens))
			s.recordOutcome("refresh", s.refresh(r, tokens, creds...))
			r.patchClient(s, "server", object{"enabled": true})
			s.recordOutcome("refresh when enabled again", s.refresh(r, tokens, creds...))
		})
		suite.add("realm is disabled", func(s *scenario) {
			r := s.importRealm(representation)
			tokens := s.login(s.addUser(r, nil), creds...)
			r.patch(s, object{"enabled": false})
			s.record(s.userinfo(r, tokens))
			s.recordOutcome("refresh", s.refresh(r, tokens, creds...))
			s.recordOutcome("introspection",
				s.introspect(r, "server", tokens.field("access_token")))
			s.recordOutcome("revoke", s.revoke(r, tokens.field("access_token"), creds...))
			s.record(s.logout(r, tokens.field("refresh_token"), creds...))
			r.patch(s, object{"enabled": true})
			s.recordOutcome("refresh when enabled again", s.refresh(r, tokens, creds...))
		})
	})
}

// recordNotBefore records whether the not-before-policy of a response is the time of a change.
func (s *scenario) recordNotBefore(step string, tokens response, changedAt time.Time) {
	s.Helper()
	switch policy := asInt(tokens.value("not-before-policy")); {
	case policy == 0:
		s.note("not-before-policy of the %s: 0", step)
	case policy >= changedAt.Unix() && policy <= s.kc.now().Unix():
		s.note("not-before-policy of the %s: the moment of the change", step)
	default:
		s.note("not-before-policy of the %s: %d seconds from the change", step,
			policy-changedAt.Unix())
	}
}
