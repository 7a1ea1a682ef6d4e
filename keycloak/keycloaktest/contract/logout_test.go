package contract

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

// TestLogout records logouts by a client with a refresh token, and by a browser at the
// end_session_endpoint.
func TestLogout(t *testing.T) {
	run(t, "logout", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(object{"revokeRefreshToken": true},
			clientJSON("other", nil),
			clientJSON("brief",
				object{"attributes": object{"access.token.lifespan": "1",
					"client.session.idle.timeout": "1"}}),
			logoutClient("listed",
				object{"post.logout.redirect.uris": "http://app.test/out##http://app.test/w/*"}),
			logoutClient("plus", object{"post.logout.redirect.uris": "+"}),
			logoutClient("minus", object{"post.logout.redirect.uris": "-"}),
		))
		addLogoutByToken(suite, r)
		addLogoutByBrowser(suite, r)
		addLogoutConfirmations(suite, r)
	})
}

// logoutClient returns a client with these attributes for a realm file.
func logoutClient(id string, attributes object) object {
	return clientJSON(id, object{"attributes": attributes})
}

// logout sends a client's logout request with a refresh token. Pairs override parameters.
func (s *scenario) logout(r *realm, refreshToken string, pairs ...string) response {
	s.Helper()
	return s.post(r.endpoint("/logout"),
		withParams(withParams(clientForm("api"), "refresh_token", refreshToken), pairs...))
}

func addLogoutByToken(suite *testSuite, r *realm) {
	suite.add("refresh token", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil))
		s.record(s.logout(r, tokens.field("refresh_token")))
		s.recordOutcome("refresh", s.refresh(r, tokens))
		s.recordOutcome("userinfo", s.userinfo(r, tokens))
		s.recordOutcome("logout again", s.logout(r, tokens.field("refresh_token")))
	})
	suite.add("used refresh token", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil))
		refreshed := s.refresh(r, tokens).mustOK()
		s.recordOutcome("logout", s.logout(r, tokens.field("refresh_token")))
		s.recordOutcome("refresh with the newer token", s.refresh(r, refreshed))
	})
	suite.add("expired refresh token", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil), clientParams("brief")...)
		s.wait(2500 * time.Millisecond)
		s.record(s.logout(r, tokens.field("refresh_token"), clientParams("brief")...))
	})
	suite.add("refresh token of an offline session", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil), "scope", "openid offline_access")
		s.recordOutcome("logout", s.logout(r, tokens.field("refresh_token")))
		s.recordOutcome("refresh", s.refresh(r, tokens))
		s.recordOutcome("logout again", s.logout(r, tokens.field("refresh_token")))
	})
	suite.add("refresh token of a public client", func(s *scenario) {
		tokens := s.token(r,
			form("grant_type", "password", "client_id", "spa",
				"username", s.addUser(r, nil).username, "password", "secret")).mustOK()
		s.recordOutcome("logout",
			s.post(r.endpoint("/logout"),
				form("client_id", "spa", "refresh_token", tokens.field("refresh_token"))))
	})
	suite.add("basic authentication", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil))
		s.recordOutcome("logout",
			s.post(r.endpoint("/logout"), form("refresh_token", tokens.field("refresh_token")),
				"Authorization", basicAuth("api", "api-secret")))
	})
	suite.add("other sessions of the user stay", func(s *scenario) {
		u := s.addUser(r, nil)
		first, second := s.login(u), s.login(u)
		s.recordOutcome("logout", s.logout(r, first.field("refresh_token")))
		s.recordOutcome("refresh of the other session", s.refresh(r, second))
	})
	suite.add("all clients of the session and the browser", func(s *scenario) {
		b := s.newBrowser()
		redirect := b.login(s.addUser(r, nil))
		tokens := s.token(r, codeGrant(redirect.redirectQuery().Get("code"))).mustOK()
		code := b.open(r.authURL("client_id", "other")).redirectQuery().Get("code")
		otherCreds := clientParams("other")
		otherTokens := s.token(r, codeGrant(code, otherCreds...)).mustOK()
		s.recordOutcome("logout", s.logout(r, tokens.field("refresh_token")))
		s.recordOutcome("refresh of the other client", s.refresh(r, otherTokens, otherCreds...))
		s.recordOutcome("userinfo of the other client", s.userinfo(r, otherTokens))
		s.recordPageOrRedirect(b.open(r.authURL("prompt", "none")))
	})
	// addLogoutRequest adds a scenario that logs in, sends a logout request, and records whether
	// the refresh token is still valid.
	addLogoutRequest := func(name string, send func(s *scenario, tokens response) response) {
		suite.add(name, func(s *scenario) {
			tokens := s.login(s.addUser(r, nil))
			s.record(send(s, tokens))
			s.recordOutcome("refresh after it", s.refresh(r, tokens))
		})
	}
	addLogoutRequest("refused: garbage", func(s *scenario, _ response) response {
		return s.logout(r, "garbage")
	})
	addLogoutRequest("refused: empty", func(s *scenario, _ response) response {
		return s.logout(r, "")
	})
	addLogoutRequest("refused: access token", func(s *scenario, tokens response) response {
		return s.logout(r, tokens.field("access_token"))
	})
	addLogoutRequest("refused: ID token", func(s *scenario, tokens response) response {
		return s.logout(r, tokens.field("id_token"))
	})
	addLogoutRequest(
		"refused: another client's token", func(s *scenario, tokens response) response {
			return s.logout(r, tokens.field("refresh_token"), clientParams("other")...)
		})
	addLogoutRequest("refused: wrong secret", func(s *scenario, tokens response) response {
		return s.logout(r, tokens.field("refresh_token"), "client_secret", "wrong")
	})
	addLogoutRequest("refused: unknown client", func(s *scenario, tokens response) response {
		return s.logout(r, tokens.field("refresh_token"), "client_id", "nope")
	})
	addLogoutRequest("refused: no client", func(s *scenario, tokens response) response {
		return s.post(r.endpoint("/logout"), form("refresh_token", tokens.field("refresh_token")))
	})
	addLogoutRequest("no token: confirmation page", func(s *scenario, _ response) response {
		return s.post(r.endpoint("/logout"), clientForm("api"), "Accept", "application/json")
	})
}

// logoutRedirect is an allowed post_logout_redirect_uri of the client "listed".
const logoutRedirect = "http://app.test/out"

// logoutURL returns the URL that logs a browser out.
func (r *realm) logoutURL(pairs ...string) string {
	return r.endpoint("/logout?" + form(pairs...).Encode())
}

func addLogoutByBrowser(suite *testSuite, r *realm) {
	// addLogoutWithHint adds a scenario that sends a request without cookies: only the hint
	// identifies the session.
	addLogoutWithHint := func(name, client string, buildURL func(idToken string) string) {
		suite.add(name, func(s *scenario) {
			tokens := s.login(s.addUser(r, nil), clientParams(client)...)
			s.record(s.newBrowser().open(buildURL(tokens.field("id_token"))))
			s.recordOutcome("refresh after it",
				s.refresh(r, tokens, clientParams(client)...))
		})
	}
	addLogoutWithHint("hint and URI", "listed", func(id string) string {
		return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri", logoutRedirect, "state",
			"st")
	})
	addLogoutWithHint("hint and URI without a state", "listed", func(id string) string {
		return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri",
			"http://app.test/w/x?page=1")
	})
	addLogoutWithHint("hint, client and URI", "listed", func(id string) string {
		return r.logoutURL("id_token_hint", id, "client_id", "listed", "post_logout_redirect_uri",
			logoutRedirect, "state", "st")
	})
	addLogoutWithHint("hint and a redirect URI of logins", "plus", func(id string) string {
		return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri", callback)
	})
	addLogoutWithHint("hint and a redirect URI of logins, nothing configured", "api",
		func(id string) string {
			return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri", callback)
		})
	addLogoutWithHint("only a hint", "api", func(id string) string {
		return r.logoutURL("id_token_hint", id)
	})
	addLogoutWithHint("hint and a URI that isn't allowed", "listed", func(id string) string {
		return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri", "http://evil.test/")
	})
	addLogoutWithHint("hint, and no URI is allowed", "minus", func(id string) string {
		return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri", callback)
	})
	addLogoutWithHint("hint of another client", "api", func(id string) string {
		return r.logoutURL("id_token_hint", id, "client_id", "other")
	})
	addLogoutWithHint("hint and an unknown client", "api", func(id string) string {
		return r.logoutURL("id_token_hint", id, "client_id", "nope")
	})
	suite.add("hint by POST", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil))
		s.record(s.post(r.endpoint("/logout"),
			form("id_token_hint", tokens.field("id_token"), "post_logout_redirect_uri", callback,
				"state", "st")))
		s.recordOutcome("refresh after it", s.refresh(r, tokens))
	})
	suite.add("hint of an ended session", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil))
		s.logout(r, tokens.field("refresh_token"))
		s.record(
			s.newBrowser().open(r.logoutURL("id_token_hint", tokens.field("id_token"),
				"post_logout_redirect_uri", callback)))
	})
	suite.add("expired hint", func(s *scenario) {
		u := s.addUser(r, nil)
		briefCreds := clientParams("brief")
		tokens, otherTokens := s.login(u, briefCreds...), s.login(u, briefCreds...)
		s.wait(2500 * time.Millisecond)
		s.record(s.newBrowser().open(r.logoutURL("id_token_hint", tokens.field("id_token"))))
		s.recordPageOrRedirect(
			s.newBrowser().open(r.logoutURL("id_token_hint", otherTokens.field("id_token"),
				"post_logout_redirect_uri", callback)))
	})
	suite.add("invalid hints", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil))
		for _, hint := range []string{"garbage", tokens.field("access_token"),
			tokens.field("refresh_token"), ""} {
			s.recordPageOrRedirect(s.newBrowser().open(r.logoutURL("id_token_hint", hint)))
		}
		s.recordOutcome("refresh after it", s.refresh(r, tokens))
	})
	suite.add("no hint, no session", func(s *scenario) {
		s.record(
			s.newBrowser().open(r.logoutURL("client_id", "listed", "post_logout_redirect_uri",
				logoutRedirect, "state", "st")))
		s.record(s.newBrowser().open(r.logoutURL("post_logout_redirect_uri", logoutRedirect)))
		s.recordPageOrRedirect(
			s.newBrowser().open(r.logoutURL("client_id", "listed", "post_logout_redirect_uri",
				"http://evil.test/")))
		s.recordPageOrRedirect(
			s.newBrowser().open(r.logoutURL("client_id", "listed", "post_logout_redirect_uri",
				logoutRedirect+"?x=1")))
		s.recordPageOrRedirect(
			s.newBrowser().open(r.logoutURL("client_id", "minus", "post_logout_redirect_uri",
				callback)))
		s.recordPageOrRedirect(
			s.newBrowser().open(r.logoutURL("client_id", "plus", "post_logout_redirect_uri",
				callback)))
		s.recordPageOrRedirect(
			s.newBrowser().open(r.logoutURL("client_id", "nope", "post_logout_redirect_uri",
				logoutRedirect)))
		s.recordPageOrRedirect(s.newBrowser().open(r.logoutURL("client_id", "nope")))
		s.recordPageOrRedirect(s.newBrowser().open(r.logoutURL("client_id", "listed")))
	})
}

// addLogoutConfirmations adds scenarios for the page on which a user confirms a logout. If the
// browser has a session, the user must confirm unless the request has an ID token of the session.
func addLogoutConfirmations(suite *testSuite, r *realm) {
	suite.add("only cookies", func(s *scenario) {
		b := s.newBrowser()
		b.login(s.addUser(r, nil))
		page := b.open(r.logoutURL())
		s.record(page)
		s.record(b.submit(page, "confirmLogout", "Logout"))
		s.recordPageOrRedirect(b.open(r.authURL("prompt", "none")))
	})
	suite.add("client and URI in an existing session", func(s *scenario) {
		b := s.newBrowser()
		b.login(s.addUser(r, nil))
		page := b.open(r.logoutURL("client_id", "listed",
			"post_logout_redirect_uri", logoutRedirect, "state", "st"))
		s.record(page)
		s.record(b.submit(page, "confirmLogout", "Logout"))
	})
	suite.add("hint of the browser's session", func(s *scenario) {
		b := s.newBrowser()
		redirect := b.login(s.addUser(r, nil))
		tokens := s.token(r, codeGrant(redirect.redirectQuery().Get("code"))).mustOK()
		s.record(
			b.open(r.logoutURL("id_token_hint", tokens.field("id_token"),
				"post_logout_redirect_uri", callback, "state", "st")))
		s.recordPageOrRedirect(b.open(r.authURL("prompt", "none")))
	})
	suite.add("hint of another session", func(s *scenario) {
		u := s.addUser(r, nil)
		b := s.newBrowser()
		b.login(u)
		s.record(
			b.open(r.logoutURL("id_token_hint", s.login(u).field("id_token"),
				"post_logout_redirect_uri", callback)))
	})
	suite.add("confirmed without cookies", func(s *scenario) {
		page := s.newBrowser().open(r.logoutURL())
		s.record(s.newBrowser().submit(page, "confirmLogout", "Logout"))
	})
	suite.add("nothing to confirm", func(s *scenario) {
		b := s.newBrowser()
		page := b.open(r.logoutURL())
		s.record(b.submit(page, "confirmLogout", "Logout"))
	})
	suite.add("unknown method", func(s *scenario) {
		s.record(s.send(http.MethodPut, r.endpoint("/logout"), url.Values{}.Encode()))
	})
}
