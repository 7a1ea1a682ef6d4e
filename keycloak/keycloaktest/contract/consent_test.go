package contract

import "testing"

// TestConsent records the consent page, and how consent is stored and revoked.
func TestConsent(t *testing.T) {
	run(t, "consent", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil,
			clientJSON("consent-client", object{"consentRequired": true}),
			clientJSON("named-consent-client",
				object{"consentRequired": true, "name": "The Client"})))
		consentClient := []string{"client_id", "consent-client"}
		codeParams := func(redirect response) []string {
			return append(
				clientParams("consent-client"), "code", redirect.redirectQuery().Get("code"))
		}
		suite.add("accepted once", func(s *scenario) {
			u := s.addUser(r, nil)
			b := s.newBrowser()
			page := b.open(r.authURL(consentClient...))
			b.followRedirects = false
			page = b.submit(page, "username", u.username, "password", "secret")
			s.record(page)
			page = b.open(page.header.Get("Location"))
			s.record(page)
			page = b.submit(page, "accept", "Yes")
			s.record(page)
			s.recordBody(s.token(r, codeGrant("", codeParams(page)...)))
			s.record(b.open(r.authURL(consentClient...)))
			s.recordPageOrRedirect(s.newBrowser().login(u, consentClient...))
		})
		suite.add("refused", func(s *scenario) {
			u := s.addUser(r, nil)
			b := s.newBrowser()
			s.record(b.submit(b.login(u, consentClient...), "cancel", "No"))
			s.recordPageOrRedirect(b.open(r.authURL(consentClient...)))
			s.recordPageOrRedirect(
				b.open(r.authURL("client_id", "consent-client", "prompt", "none")))
		})
		suite.add("asked in an existing session", func(s *scenario) {
			b := s.newBrowser()
			b.login(s.addUser(r, nil))
			s.record(b.open(r.authURL("client_id", "named-consent-client", "prompt", "none")))
			page := b.open(r.authURL("client_id", "named-consent-client"))
			s.record(page)
			s.recordPageOrRedirect(b.submit(page, "cancel", "No"))
			s.recordPageOrRedirect(b.open(r.authURL("prompt", "none")))
		})
		suite.add("asked again with prompt=consent", func(s *scenario) {
			u := s.addUser(r, nil)
			b := s.newBrowser()
			s.recordPageOrRedirect(b.submit(b.login(u, consentClient...), "accept", "Yes"))
			page := b.open(r.authURL("client_id", "consent-client", "prompt", "consent"))
			s.recordPageOrRedirect(page)
			s.recordPageOrRedirect(b.submit(page, "accept", "Yes"))
		})
		suite.add("asked again for more scopes", func(s *scenario) {
			u := s.addUser(r, nil)
			b := s.newBrowser()
			s.recordPageOrRedirect(b.submit(b.login(u, consentClient...), "accept", "Yes"))
			page := b.open(r.authURL("client_id", "consent-client", "scope", "openid phone"))
			s.recordPageOrRedirect(page)
			redirect := b.submit(page, "accept", "Yes")
			tokens := s.token(r, codeGrant("", codeParams(redirect)...)).mustOK()
			s.note("scope %s", s.normalizeValue("scope", tokens.field("scope")))
			s.recordPageOrRedirect(
				b.open(r.authURL("client_id", "consent-client", "scope", "openid phone")))
		})
		suite.add("revoked by an administrator", func(s *scenario) {
			u := s.addUser(r, nil)
			b := s.newBrowser()
			page := b.submit(b.login(u, consentClient...), "accept", "Yes")
			tokens := s.token(r, codeGrant("", codeParams(page)...)).mustOK()
			s.must(s.kc.revokeConsent(u.userRef, "consent-client"))
			s.recordOutcome("refresh",
				s.refresh(r, tokens, clientParams("consent-client")...))
			s.recordOutcome("userinfo", s.userinfo(r, tokens))
			s.recordPageOrRedirect(b.open(r.authURL(consentClient...)))
		})
	})
}
