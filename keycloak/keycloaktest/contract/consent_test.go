package contract

import "testing"

// TestConsent records the consent page, and how consent is stored and revoked.
func TestConsent(t *testing.T) {
	run(t, "consent", func(g *group) {
		r := g.realm(realmFile(nil, clientFile("consent-client", object{"consentRequired": true}),
			clientFile("named-consent-client",
				object{"consentRequired": true, "name": "The Client"})))
		consentClient := []string{"client_id", "consent-client"}
		codeParams := func(redirect response) []string {
			return append(credsOf("consent-client"), "code", redirect.redirectQuery().Get("code"))
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
			s.showFinal(b.open(r.authURL("client_id", "consent-client", "prompt", "none")))
		})
		g.scenario("asked in an existing session", func(s *scenario) {
			b := s.browser()
			b.login(s.user(r, nil))
			s.show(b.open(r.authURL("client_id", "named-consent-client", "prompt", "none")))
			page := b.open(r.authURL("client_id", "named-consent-client"))
			s.show(page)
			s.showFinal(b.submit(page, "cancel", "No"))
			s.showFinal(b.open(r.authURL("prompt", "none")))
		})
		g.scenario("asked again with prompt=consent", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			s.showFinal(b.submit(b.login(u, consentClient...), "accept", "Yes"))
			page := b.open(r.authURL("client_id", "consent-client", "prompt", "consent"))
			s.showFinal(page)
			s.showFinal(b.submit(page, "accept", "Yes"))
		})
		g.scenario("asked again for more scopes", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			s.showFinal(b.submit(b.login(u, consentClient...), "accept", "Yes"))
			page := b.open(r.authURL("client_id", "consent-client", "scope", "openid phone"))
			s.showFinal(page)
			tokens := s.token(r, codeGrant("", codeParams(b.submit(page, "accept", "Yes"))...)).ok()
			s.note("scope %s", s.normalizeValue("scope", tokens.field("scope")))
			s.showFinal(b.open(r.authURL("client_id", "consent-client", "scope", "openid phone")))
		})
		g.scenario("revoked by an administrator", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			page := b.submit(b.login(u, consentClient...), "accept", "Yes")
			tokens := s.token(r, codeGrant("", codeParams(page)...)).ok()
			s.must(s.kc.revokeConsent(u.userRef, "consent-client"))
			s.outcome("refresh",
				s.refresh(r, tokens, credsOf("consent-client")...))
			s.outcome("userinfo", s.userinfo(r, tokens))
			s.showFinal(b.open(r.authURL(consentClient...)))
		})
	})
}
