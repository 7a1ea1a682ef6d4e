package contract

import (
	"testing"
)

// Token revocation (RFC 7009), and what still works afterwards.
func TestRevoke(t *testing.T) {
	run(t, "revoke", func(g *group) {
		r := g.realm(realmFile(nil,
			clientFile("seeing", object{"protocolMappers": []object{audienceMapper("seeing")}}),
			clientFile("other", nil)))
		seeing := []string{"client_id", "seeing", "client_secret", "seeing-secret"}
		other := []string{"client_id", "other", "client_secret", "other-secret"}
		// after records what the tokens of the client "seeing" are still good for.
		after := func(x *exchange, tokens response) {
			x.outcome("userinfo", x.userinfo(r, tokens))
			x.outcomeActive("introspection",
				x.introspect(r, "seeing", tokens.field("access_token")))
			x.outcome("refresh", x.refresh(r, tokens, seeing...))
		}
		g.exchange("refresh token", func(x *exchange) {
			tokens := x.login(x.user(r, nil), seeing...)
			x.show(x.revoke(r, tokens.field("refresh_token"), seeing...))
			after(x, tokens)
			x.outcome("revoke again", x.revoke(r, tokens.field("refresh_token"), seeing...))
		})
		g.exchange("access token", func(x *exchange) {
			tokens := x.login(x.user(r, nil), seeing...)
			x.show(x.revoke(r, tokens.field("access_token"), seeing...))
			after(x, tokens)
			x.outcome("revoke again", x.revoke(r, tokens.field("access_token"), seeing...))
		})
		g.exchange("access token, then another of the session", func(x *exchange) {
			tokens := x.login(x.user(r, nil), seeing...)
			next := x.refresh(r, tokens, seeing...).ok()
			x.outcome("revoke", x.revoke(r, tokens.field("access_token"), seeing...))
			x.outcome("userinfo of the next", x.userinfo(r, next))
		})
		g.exchange("offline token", func(x *exchange) {
			tokens := x.login(x.user(r, nil), append(seeing, "scope", "openid offline_access")...)
			x.outcome("revoke", x.revoke(r, tokens.field("refresh_token"), seeing...))
			after(x, tokens)
		})
		g.exchange("refresh token by a public client", func(x *exchange) {
			tokens := x.token(r,
				form("grant_type", "password", "client_id", "spa", "username",
					x.user(r, nil).username, "password", "secret")).ok()
			x.outcome("revoke",
				x.post(r.oidc("/revoke"),
					form("client_id", "spa", "token", tokens.field("refresh_token"))))
		})
		g.exchange("basic authentication", func(x *exchange) {
			tokens := x.login(x.user(r, nil))
			x.outcome("revoke",
				x.post(r.oidc("/revoke"), form("token", tokens.field("refresh_token")),
					"Authorization", basic("api", "api-secret")))
		})
		g.exchange("other sessions of the user stay", func(x *exchange) {
			u := x.user(r, nil)
			one, two := x.login(u, seeing...), x.login(u, seeing...)
			x.outcome("revoke", x.revoke(r, one.field("refresh_token"), seeing...))
			after(x, two)
		})
		g.exchange("other clients of the session and the browser stay", func(x *exchange) {
			b := x.browser()
			mine := x.token(r,
				codeGrant(b.login(x.user(r, nil), "client_id", "seeing").redirected().Get("code"),
					seeing...)).ok()
			theirs := x.token(r,
				codeGrant(b.open(r.authURL("client_id", "other")).redirected().Get("code"),
					other...)).ok()
			x.outcome("revoke", x.revoke(r, mine.field("refresh_token"), seeing...))
			after(x, mine)
			x.outcome("refresh of the other client", x.refresh(r, theirs, other...))
			x.outcome("userinfo of the other client", x.userinfo(r, theirs))
			x.showEnd(b.open(r.authURL("client_id", "seeing")))
			x.outcome("revoke by the other client",
				x.revoke(r, theirs.field("refresh_token"), other...))
			x.showEnd(b.open(r.authURL("client_id", "seeing", "prompt", "none")))
		})
		g.exchange("the session ends with its last client", func(x *exchange) {
			b := x.browser()
			tokens := x.token(r, codeGrant(b.login(x.user(r, nil)).redirected().Get("code"))).ok()
			x.outcome("revoke", x.revoke(r, tokens.field("refresh_token")))
			x.showEnd(b.open(r.authURL("prompt", "none")))
		})
		notRevoked := func(name string, send func(x *exchange, tokens response) response) {
			g.exchange(name, func(x *exchange) {
				tokens := x.login(x.user(r, nil), seeing...)
				x.show(send(x, tokens))
				x.outcome("userinfo", x.userinfo(r, tokens))
				x.outcome("refresh", x.refresh(r, tokens, seeing...))
			})
		}
		notRevoked("garbage", func(x *exchange, _ response) response {
			return x.revoke(r, "garbage", seeing...)
		})
		notRevoked("empty", func(x *exchange, _ response) response {
			return x.revoke(r, "", seeing...)
		})
		notRevoked("absent", func(x *exchange, _ response) response {
			return x.post(r.oidc("/revoke"), secretOf("seeing"))
		})
		notRevoked("ID token", func(x *exchange, a response) response {
			return x.revoke(r, a.field("id_token"), seeing...)
		})
		notRevoked("another client's refresh token", func(x *exchange, a response) response {
			return x.revoke(r, a.field("refresh_token"), other...)
		})
		notRevoked("another client's access token", func(x *exchange, a response) response {
			return x.revoke(r, a.field("access_token"), other...)
		})
		notRevoked("wrong secret", func(x *exchange, a response) response {
			return x.revoke(r, a.field("refresh_token"), "client_id", "seeing", "client_secret",
				"wrong")
		})
		notRevoked("unknown client", func(x *exchange, a response) response {
			return x.revoke(r, a.field("refresh_token"), "client_id", "nope")
		})
		notRevoked("no client", func(x *exchange, a response) response {
			return x.post(r.oidc("/revoke"), form("token", a.field("refresh_token")))
		})
		notRevoked("token twice", func(x *exchange, a response) response {
			twice := with(secretOf("seeing"), "token", a.field("refresh_token"))
			twice.Add("token", "garbage")
			return x.post(r.oidc("/revoke"), twice)
		})
		g.exchange("hints are ignored", func(x *exchange) {
			u := x.user(r, nil)
			for _, hint := range []string{"access_token", "refresh_token", "bogus"} {
				tokens := x.login(u, seeing...)
				x.outcome(hint,
					x.revoke(r, tokens.field("refresh_token"),
						append(seeing, "token_type_hint", hint)...))
				x.outcome("refresh", x.refresh(r, tokens, seeing...))
			}
		})
		g.exchange("session ended already", func(x *exchange) {
			tokens := x.login(x.user(r, nil))
			x.logout(r, tokens.field("refresh_token"))
			x.outcome("refresh token", x.revoke(r, tokens.field("refresh_token")))
			x.outcome("access token", x.revoke(r, tokens.field("access_token")))
		})
	})
}

// revoke revokes a token. Pairs override.
func (x *exchange) revoke(r *realm, token string, pairs ...string) response {
	x.Helper()
	return x.post(r.oidc("/revoke"), with(with(secretOf("api"), "token", token), pairs...))
}

// introspect introspects a token. Pairs override.
func (x *exchange) introspect(r *realm, client, token string, pairs ...string) response {
	x.Helper()
	return x.post(r.oidc("/token/introspect"),
		with(with(secretOf(client), "token", token), pairs...))
}

// outcomeActive records whether introspection says that a token is active, or else the outcome.
func (x *exchange) outcomeActive(step string, a response) {
	if active, ok := a.member("active").(bool); ok {
		x.note("%s: %d, active %t", step, a.status, active)
		return
	}
	x.outcome(step, a)
}
