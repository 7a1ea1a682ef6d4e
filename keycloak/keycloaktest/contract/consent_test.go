package contract

import "testing"

// Clients that require the user's consent.
func TestConsent(t *testing.T) {
	run(t, "consent", func(g *group) {
		r := g.realm(realmFile(nil, clientFile("asking", object{"consentRequired": true}),
			clientFile("named", object{"consentRequired": true, "name": "The Client"})))
		asking := []string{"client_id", "asking"}
		grant := func(redirect response) []string {
			return []string{"client_id", "asking", "client_secret", "asking-secret", "code",
				redirect.redirected().Get("code")}
		}
		g.exchange("accepted once", func(x *exchange) {
			u := x.user(r, nil)
			b := x.browser()
			p := b.open(r.authURL(asking...))
			b.follow = false
			p = b.submit(p, "username", u.username, "password", "secret")
			x.show(p)
			p = b.open(p.header.Get("Location"))
			x.show(p)
			p = b.submit(p, "accept", "Yes")
			x.show(p)
			x.showBody(x.token(r, codeGrant("", grant(p)...)))
			x.show(b.open(r.authURL(asking...)))
			x.showEnd(x.browser().login(u, asking...))
		})
		g.exchange("refused", func(x *exchange) {
			u := x.user(r, nil)
			b := x.browser()
			x.show(b.submit(b.login(u, asking...), "cancel", "No"))
			x.showEnd(b.open(r.authURL(asking...)))
			x.showEnd(b.open(r.authURL("client_id", "asking", "prompt", "none")))
		})
		g.exchange("asked in an existing session", func(x *exchange) {
			b := x.browser()
			b.login(x.user(r, nil))
			x.show(b.open(r.authURL("client_id", "named", "prompt", "none")))
			p := b.open(r.authURL("client_id", "named"))
			x.show(p)
			x.showEnd(b.submit(p, "cancel", "No"))
			x.showEnd(b.open(r.authURL("prompt", "none")))
		})
		g.exchange("asked again with prompt=consent", func(x *exchange) {
			u := x.user(r, nil)
			b := x.browser()
			x.showEnd(b.submit(b.login(u, asking...), "accept", "Yes"))
			p := b.open(r.authURL("client_id", "asking", "prompt", "consent"))
			x.showEnd(p)
			x.showEnd(b.submit(p, "accept", "Yes"))
		})
		g.exchange("asked again for more scopes", func(x *exchange) {
			u := x.user(r, nil)
			b := x.browser()
			x.showEnd(b.submit(b.login(u, asking...), "accept", "Yes"))
			p := b.open(r.authURL("client_id", "asking", "scope", "openid phone"))
			x.showEnd(p)
			tokens := x.token(r, codeGrant("", grant(b.submit(p, "accept", "Yes"))...)).ok()
			x.note("scope %s", x.value("scope", tokens.field("scope")))
			x.showEnd(b.open(r.authURL("client_id", "asking", "scope", "openid phone")))
		})
		g.exchange("revoked by an administrator", func(x *exchange) {
			u := x.user(r, nil)
			b := x.browser()
			p := b.submit(b.login(u, asking...), "accept", "Yes")
			tokens := x.token(r, codeGrant("", grant(p)...)).ok()
			x.must(x.kc.revokeConsent(u.userRef, "asking"))
			x.outcome("refresh",
				x.refresh(r, tokens, "client_id", "asking", "client_secret", "asking-secret"))
			x.outcome("userinfo", x.userinfo(r, tokens))
			x.showEnd(b.open(r.authURL(asking...)))
		})
	})
}
