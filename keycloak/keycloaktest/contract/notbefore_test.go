package contract

import (
	"testing"
	"time"
)

// TestNotBefore records which requests still accept tokens after an administrator has revoked
// tokens, or has disabled or deleted a user, a session, a client or a realm.
func TestNotBefore(t *testing.T) {
	run(t, "not-before", func(g *group) {
		file := realmFile(nil,
			clientFile("server", object{"protocolMappers": []object{audienceMapper("server")}}))
		r := g.realm(file)
		creds := credsOf("server")
		showTokens := func(s *scenario, r *realm, tokens response) {
			s.show(s.userinfo(r, tokens))
			s.outcomeActive("introspection",
				s.introspect(r, "server", tokens.field("access_token")))
			s.outcomeActive("introspection of the refresh token",
				s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
					"refresh_token"))
			s.show(s.refresh(r, tokens, creds...))
		}
		// A token that was issued in the same second as the change stays valid.
		const pause = 2100 * time.Millisecond
		g.scenario("realm", func(s *scenario) {
			r := s.realm(file)
			u := s.user(r, nil)
			b := s.browser()
			code := b.login(u, "client_id", "server").redirectQuery().Get("code")
			tokens := s.token(r, codeGrant(code, creds...)).ok()
			s.noteNotBefore("login", tokens, s.kc.now())
			s.wait(pause)
			since := s.kc.now()
			r.patch(s, object{"notBefore": since.Unix()})
			showTokens(s, r, tokens)
			s.showFinal(b.open(r.authURL("prompt", "none")))
			s.outcome("logout", s.logout(r, tokens.field("refresh_token"), creds...))
			next := s.login(u, creds...)
			s.noteNotBefore("next login", next, since)
			s.outcome("userinfo", s.userinfo(r, next))
			s.note("realm info says the same: %t",
				asInt(s.get(r.url("")).value("tokens-not-before")) == since.Unix())
		})
		g.scenario("realm: a service account", func(s *scenario) {
			r := s.realm(file)
			token := s.token(r,
				with(secretOf("service"), "grant_type", "client_credentials", "scope",
					"openid")).ok()
			s.outcome("userinfo", s.userinfo(r, token))
			s.wait(pause)
			since := s.kc.now()
			r.patch(s, object{"notBefore": since.Unix()})
			s.outcome("userinfo after it", s.userinfo(r, token))
			next := s.token(r, with(secretOf("service"), "grant_type", "client_credentials")).ok()
			s.noteNotBefore("next token", next, since)
		})
		g.scenario("client", func(s *scenario) {
			r := s.realm(file)
			u := s.user(r, nil)
			tokens, otherTokens := s.login(u, creds...), s.login(u)
			s.wait(pause)
			since := s.kc.now()
			r.patchClient(s, "server", object{"notBefore": since.Unix()})
			showTokens(s, r, tokens)
			s.outcome("userinfo of another client", s.userinfo(r, otherTokens))
			next := s.login(u, creds...)
			s.noteNotBefore("next login", next, since)
		})
		g.scenario("user is logged out", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			b.login(u)
			tokens := s.login(u, creds...)
			s.wait(pause)
			since := s.kc.now()
			s.must(s.kc.logoutUser(u.userRef))
			showTokens(s, r, tokens)
			s.showFinal(b.open(r.authURL("prompt", "none")))
			next := s.login(u, creds...)
			s.noteNotBefore("next login", next, since)
			s.outcome("userinfo", s.userinfo(r, next))
			refreshed := s.refresh(r, next, creds...).ok()
			s.noteNotBefore("refresh after it", refreshed, since)
		})
		g.scenario("user is logged out: an offline session", func(s *scenario) {
			u := s.user(r, nil)
			tokens := s.login(u, append(creds, "scope", "openid offline_access")...)
			s.wait(pause)
			s.must(s.kc.logoutUser(u.userRef))
			s.outcome("userinfo", s.userinfo(r, tokens))
			s.outcome("refresh", s.refresh(r, tokens, creds...))
		})
		g.scenario("user is disabled and enabled again", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			b.login(u)
			tokens := s.login(u, creds...)
			s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
			s.outcome("userinfo", s.userinfo(r, tokens))
			s.outcome("refresh", s.refresh(r, tokens, creds...))
			s.showFinal(b.open(r.authURL("prompt", "none")))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": true}))
			s.outcome("userinfo when enabled again", s.userinfo(r, tokens))
			s.outcome("refresh when enabled again", s.refresh(r, tokens, creds...))
		})
		g.scenario("user is deleted", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			b.login(u)
			tokens := s.login(u, creds...)
			s.must(s.kc.deleteUser(u.userRef))
			showTokens(s, r, tokens)
			s.showFinal(b.open(r.authURL("prompt", "none")))
		})
		g.scenario("password is reset", func(s *scenario) {
			u := s.user(r, nil)
			tokens := s.login(u, creds...)
			s.must(s.kc.resetPassword(u.userRef, "another"))
			s.outcome("userinfo", s.userinfo(r, tokens))
			s.outcome("refresh", s.refresh(r, tokens, creds...))
		})
		g.scenario("session is deleted", func(s *scenario) {
			u := s.user(r, nil)
			tokens, otherTokens := s.login(u, creds...), s.login(u, creds...)
			s.must(s.kc.endSession(sessionRef{realm: r.name, sid: tokens.field("session_state")}))
			s.outcome("userinfo", s.userinfo(r, tokens))
			s.outcome("refresh", s.refresh(r, tokens, creds...))
			s.outcome("another session", s.refresh(r, otherTokens, creds...))
		})
		g.scenario("offline session is deleted", func(s *scenario) {
			tokens := s.login(s.user(r, nil), append(creds, "scope", "openid offline_access")...)
			s.must(
				s.kc.endSession(sessionRef{realm: r.name, sid: tokens.field("session_state"),
					offline: true}))
			s.outcome("userinfo", s.userinfo(r, tokens))
			s.outcome("refresh", s.refresh(r, tokens, creds...))
		})
		g.scenario("client is disabled", func(s *scenario) {
			r := s.realm(file)
			tokens := s.login(s.user(r, nil), creds...)
			r.patchClient(s, "server", object{"enabled": false})
			s.show(s.userinfo(r, tokens))
			s.outcome("refresh", s.refresh(r, tokens, creds...))
			r.patchClient(s, "server", object{"enabled": true})
			s.outcome("refresh when enabled again", s.refresh(r, tokens, creds...))
		})
		g.scenario("realm is disabled", func(s *scenario) {
			r := s.realm(file)
			tokens := s.login(s.user(r, nil), creds...)
			r.patch(s, object{"enabled": false})
			s.show(s.userinfo(r, tokens))
			s.outcome("refresh", s.refresh(r, tokens, creds...))
			s.outcome("introspection", s.introspect(r, "server", tokens.field("access_token")))
			s.outcome("revoke", s.revoke(r, tokens.field("access_token"), creds...))
			s.show(s.logout(r, tokens.field("refresh_token"), creds...))
			r.patch(s, object{"enabled": true})
			s.outcome("refresh when enabled again", s.refresh(r, tokens, creds...))
		})
	})
}

// noteNotBefore records the not-before-policy of a response: 0, or the time of a change.
func (s *scenario) noteNotBefore(step string, tokens response, since time.Time) {
	s.Helper()
	switch policy := asInt(tokens.value("not-before-policy")); {
	case policy == 0:
		s.note("not-before-policy of the %s: 0", step)
	case policy >= since.Unix() && policy <= s.kc.now().Unix():
		s.note("not-before-policy of the %s: the moment of the change", step)
	default:
		s.note("not-before-policy of the %s: %d seconds from the change", step, policy-since.Unix())
	}
}
