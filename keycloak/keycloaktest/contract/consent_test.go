package contract

import "testing"

// TestConsent records the consent page, and how consent is stored and revoked.
func TestConsent(t *testing.T) {
	run(t, "consent", func(g *group) {
		r := g.realm(realmFile(nil, clientFile("asking", object{"consentRequired": true}),
			clientFile("named", object{"consentRequired": true, "name": "The Client"})))
		consentClient := []string{"client_id", "asking"}
		codeParams := func(redirect response) []string {
			return []string{"client_id", "asking", "client_secret", "asking-secret", "code",
				redirect.redirectQuery().Get("code")}
		}
		g.scenario("accepted once", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			page := b.open(r.authURL(consentClient...))
			b.follow = false
			page = b.submit(page, "username", u.username, "password", "secret")
			s.show(page)
			page = b.open(page.header.Get("Location"))
			s.show(page)
			page = b.submit(page, "accept", "Yes")
			s.show(page)
			s.showBody(s.token(r, codeGrant("", codeParams(page)...)))
			s.show(b.open(r.authURL(consentClient...)))
			s.showFinal(s.browser().login(u, consentClient...))
		})
		g.scenario("refused", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			s.show(b.submit(b.login(u, consentClient...), "cancel", "No"))
			s.showFinal(b.open(r.authURL(consentClient...)))
			s.showFinal(b.open(r.authURL("client_id", "asking", "prompt", "none")))
		})
		g.scenario("asked in an existing session", func(s *scenario) {
			b := s.browser()
			b.login(s.user(r, nil))
			s.show(b.open(r.authURL("client_id", "named", "prompt", "none")))
			page := b.open(r.authURL("client_id", "named"))
			s.show(page)
			s.showFinal(b.submit(page, "cancel", "No"))
			s.showFinal(b.open(r.authURL("prompt", "none")))
		})
		g.scenario("asked again with prompt=consent", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			s.showFinal(b.submit(b.login(u, consentClient...), "accept", "Yes"))
			page := b.open(r.authURL("client_id", "asking", "prompt", "consent"))
			s.showFinal(page)
			s.showFinal(b.submit(page, "accept", "Yes"))
		})
		g.scenario("asked again for more scopes", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			s.showFinal(b.submit(b.login(u, consentClient...), "accept", "Yes"))
			page := b.open(r.authURL("client_id", "asking", "scope", "openid phone"))
			s.showFinal(page)
			tokens := s.token(r, codeGrant("", codeParams(b.submit(page, "accept", "Yes"))...)).ok()
			s.note("scope %s", s.value("scope", tokens.field("scope")))
			s.showFinal(b.open(r.authURL("client_id", "asking", "scope", "openid phone")))
		})
		g.scenario("revoked by an administrator", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			page := b.submit(b.login(u, consentClient...), "accept", "Yes")
			tokens := s.token(r, codeGrant("", codeParams(page)...)).ok()
			s.must(s.kc.revokeConsent(u.userRef, "asking"))
			s.outcome("refresh",
				s.refresh(r, tokens, "client_id", "asking", "client_secret", "asking-secret"))
			s.outcome("userinfo", s.userinfo(r, tokens))
			s.showFinal(b.open(r.authURL(consentClient...)))
		})
	})
}
