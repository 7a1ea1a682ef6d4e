package contract

import (
	"testing"
	"time"
)

// What still works after an administrator has revoked tokens, or has disabled or deleted a user, a
// session, a client or a realm.
func TestNotBefore(t *testing.T) {
	run(t, "not-before", func(g *group) {
		file := realmFile(nil,
			clientFile("seeing", object{"protocolMappers": []object{audienceMapper("seeing")}}))
		r := g.realm(file)
		creds := []string{"client_id", "seeing", "client_secret", "seeing-secret"}
		after := func(x *exchange, r *realm, tokens response) {
			x.show(x.userinfo(r, tokens))
			x.outcomeActive("introspection",
				x.introspect(r, "seeing", tokens.field("access_token")))
			x.outcomeActive("introspection of the refresh token",
				x.introspect(r, "seeing", tokens.field("refresh_token"), "token_type_hint",
					"refresh_token"))
			x.show(x.refresh(r, tokens, creds...))
		}
		// A token issued in the same second stays valid, hence the pauses.
		const pause = 2100 * time.Millisecond
		g.exchange("realm", func(x *exchange) {
			r := x.realm(file)
			u := x.user(r, nil)
			b := x.browser()
			code := b.login(u, "client_id", "seeing").redirected().Get("code")
			tokens := x.token(r, codeGrant(code, creds...)).ok()
			x.noteNotBefore("login", tokens, x.kc.now())
			x.wait(pause)
			since := x.kc.now()
			r.patch(x, object{"notBefore": since.Unix()})
			after(x, r, tokens)
			x.showEnd(b.open(r.authURL("prompt", "none")))
			x.outcome("logout", x.logout(r, tokens.field("refresh_token"), creds...))
			next := x.login(u, creds...)
			x.noteNotBefore("next login", next, since)
			x.outcome("userinfo", x.userinfo(r, next))
			x.note("realm info says the same: %t",
				seconds(x.get(r.url("")).member("tokens-not-before")) == since.Unix())
		})
		g.exchange("realm: a service account", func(x *exchange) {
			r := x.realm(file)
			token := x.token(r,
				with(secretOf("service"), "grant_type", "client_credentials", "scope",
					"openid")).ok()
			x.outcome("userinfo", x.userinfo(r, token))
			x.wait(pause)
			since := x.kc.now()
			r.patch(x, object{"notBefore": since.Unix()})
			x.outcome("userinfo after it", x.userinfo(r, token))
			next := x.token(r, with(secretOf("service"), "grant_type", "client_credentials")).ok()
			x.noteNotBefore("next token", next, since)
		})
		g.exchange("client", func(x *exchange) {
			r := x.realm(file)
			u := x.user(r, nil)
			tokens, others := x.login(u, creds...), x.login(u)
			x.wait(pause)
			since := x.kc.now()
			r.patchClient(x, "seeing", object{"notBefore": since.Unix()})
			after(x, r, tokens)
			x.outcome("userinfo of another client", x.userinfo(r, others))
			next := x.login(u, creds...)
			x.noteNotBefore("next login", next, since)
		})
		g.exchange("user is logged out", func(x *exchange) {
			u := x.user(r, nil)
			b := x.browser()
			b.login(u)
			tokens := x.login(u, creds...)
			x.wait(pause)
			since := x.kc.now()
			x.must(x.kc.logoutUser(u.userRef))
			after(x, r, tokens)
			x.showEnd(b.open(r.authURL("prompt", "none")))
			next := x.login(u, creds...)
			x.noteNotBefore("next login", next, since)
			x.outcome("userinfo", x.userinfo(r, next))
			again := x.refresh(r, next, creds...).ok()
			x.noteNotBefore("refresh after it", again, since)
		})
		g.exchange("user is logged out: an offline session", func(x *exchange) {
			u := x.user(r, nil)
			tokens := x.login(u, append(creds, "scope", "openid offline_access")...)
			x.wait(pause)
			x.must(x.kc.logoutUser(u.userRef))
			x.outcome("userinfo", x.userinfo(r, tokens))
			x.outcome("refresh", x.refresh(r, tokens, creds...))
		})
		g.exchange("user is disabled and enabled again", func(x *exchange) {
			u := x.user(r, nil)
			b := x.browser()
			b.login(u)
			tokens := x.login(u, creds...)
			x.must(x.kc.patchUser(u.userRef, object{"enabled": false}))
			x.outcome("userinfo", x.userinfo(r, tokens))
			x.outcome("refresh", x.refresh(r, tokens, creds...))
			x.showEnd(b.open(r.authURL("prompt", "none")))
			x.must(x.kc.patchUser(u.userRef, object{"enabled": true}))
			x.outcome("userinfo when enabled again", x.userinfo(r, tokens))
			x.outcome("refresh when enabled again", x.refresh(r, tokens, creds...))
		})
		g.exchange("user is deleted", func(x *exchange) {
			u := x.user(r, nil)
			b := x.browser()
			b.login(u)
			tokens := x.login(u, creds...)
			x.must(x.kc.deleteUser(u.userRef))
			after(x, r, tokens)
			x.showEnd(b.open(r.authURL("prompt", "none")))
		})
		g.exchange("password is reset", func(x *exchange) {
			u := x.user(r, nil)
			tokens := x.login(u, creds...)
			x.must(x.kc.resetPassword(u.userRef, "another"))
			x.outcome("userinfo", x.userinfo(r, tokens))
			x.outcome("refresh", x.refresh(r, tokens, creds...))
		})
		g.exchange("session is deleted", func(x *exchange) {
			u := x.user(r, nil)
			tokens, others := x.login(u, creds...), x.login(u, creds...)
			x.must(x.kc.endSession(sessionRef{realm: r.name, sid: tokens.field("session_state")}))
			x.outcome("userinfo", x.userinfo(r, tokens))
			x.outcome("refresh", x.refresh(r, tokens, creds...))
			x.outcome("another session", x.refresh(r, others, creds...))
		})
		g.exchange("offline session is deleted", func(x *exchange) {
			tokens := x.login(x.user(r, nil), append(creds, "scope", "openid offline_access")...)
			x.must(
				x.kc.endSession(sessionRef{realm: r.name, sid: tokens.field("session_state"),
					offline: true}))
			x.outcome("userinfo", x.userinfo(r, tokens))
			x.outcome("refresh", x.refresh(r, tokens, creds...))
		})
		g.exchange("client is disabled", func(x *exchange) {
			r := x.realm(file)
			tokens := x.login(x.user(r, nil), creds...)
			r.patchClient(x, "seeing", object{"enabled": false})
			x.show(x.userinfo(r, tokens))
			x.outcome("refresh", x.refresh(r, tokens, creds...))
			r.patchClient(x, "seeing", object{"enabled": true})
			x.outcome("refresh when enabled again", x.refresh(r, tokens, creds...))
		})
		g.exchange("realm is disabled", func(x *exchange) {
			r := x.realm(file)
			tokens := x.login(x.user(r, nil), creds...)
			r.patch(x, object{"enabled": false})
			x.show(x.userinfo(r, tokens))
			x.outcome("refresh", x.refresh(r, tokens, creds...))
			x.outcome("introspection", x.introspect(r, "seeing", tokens.field("access_token")))
			x.outcome("revoke", x.revoke(r, tokens.field("access_token"), creds...))
			x.show(x.logout(r, tokens.field("refresh_token"), creds...))
			r.patch(x, object{"enabled": true})
			x.outcome("refresh when enabled again", x.refresh(r, tokens, creds...))
		})
	})
}

// noteNotBefore records the not-before-policy of a response: 0, or the time of a change.
func (x *exchange) noteNotBefore(step string, tokens response, since time.Time) {
	x.Helper()
	switch policy := seconds(tokens.member("not-before-policy")); {
	case policy == 0:
		x.note("not-before-policy of the %s: 0", step)
	case policy >= since.Unix() && policy <= x.kc.now().Unix():
		x.note("not-before-policy of the %s: the moment of the change", step)
	default:
		x.note("not-before-policy of the %s: %d seconds from the change", step, policy-since.Unix())
	}
}
