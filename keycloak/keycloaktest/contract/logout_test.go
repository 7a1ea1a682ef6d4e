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
	run(t, "logout", func(g *group) {
		r := g.realm(realmFile(object{"revokeRefreshToken": true},
			clientFile("other", nil),
			clientFile("brief",
				object{"attributes": object{"access.token.lifespan": "1",
					"client.session.idle.timeout": "1"}}),
			logoutClient("listed",
				object{"post.logout.redirect.uris": "http://app.test/out##http://app.test/w/*"}),
			logoutClient("plus", object{"post.logout.redirect.uris": "+"}),
			logoutClient("minus", object{"post.logout.redirect.uris": "-"}),
		))
		logoutByToken(g, r)
		logoutByBrowser(g, r)
		logoutConfirmed(g, r)
	})
}

// logoutClient returns a client with these attributes for a realm file.
func logoutClient(id string, attributes object) object {
	return clientFile(id, object{"attributes": attributes})
}

// logout sends a client's logout request with a refresh token. Pairs override parameters.
func (s *scenario) logout(r *realm, refreshToken string, pairs ...string) response {
	s.Helper()
	return s.post(r.oidc("/logout"),
		with(with(secretOf("api"), "refresh_token", refreshToken), pairs...))
}

func logoutByToken(g *group, r *realm) {
	g.scenario("refresh token", func(s *scenario) {
		login := s.login(s.user(r, nil))
		s.show(s.logout(r, login.field("refresh_token")))
		s.outcome("refresh", s.refresh(r, login))
		s.outcome("userinfo", s.userinfo(r, login))
		s.outcome("logout again", s.logout(r, login.field("refresh_token")))
	})
	g.scenario("used refresh token", func(s *scenario) {
		login := s.login(s.user(r, nil))
		next := s.refresh(r, login).ok()
		s.outcome("logout", s.logout(r, login.field("refresh_token")))
		s.outcome("refresh with the newer token", s.refresh(r, next))
	})
	g.scenario("expired refresh token", func(s *scenario) {
		login := s.login(s.user(r, nil), credsOf("brief")...)
		s.wait(2500 * time.Millisecond)
		s.show(s.logout(r, login.field("refresh_token"), credsOf("brief")...))
	})
	g.scenario("refresh token of an offline session", func(s *scenario) {
		login := s.login(s.user(r, nil), "scope", "openid offline_access")
		s.outcome("logout", s.logout(r, login.field("refresh_token")))
		s.outcome("refresh", s.refresh(r, login))
		s.outcome("logout again", s.logout(r, login.field("refresh_token")))
	})
	g.scenario("refresh token of a public client", func(s *scenario) {
		login := s.token(r,
			form("grant_type", "password", "client_id", "spa", "username", s.user(r, nil).username,
				"password", "secret")).ok()
		s.outcome("logout",
			s.post(r.oidc("/logout"),
				form("client_id", "spa", "refresh_token", login.field("refresh_token"))))
	})
	g.scenario("basic authentication", func(s *scenario) {
		login := s.login(s.user(r, nil))
		s.outcome("logout",
			s.post(r.oidc("/logout"), form("refresh_token", login.field("refresh_token")),
				"Authorization", basicAuth("api", "api-secret")))
	})
	g.scenario("other sessions of the user stay", func(s *scenario) {
		u := s.user(r, nil)
		first, second := s.login(u), s.login(u)
		s.outcome("logout", s.logout(r, first.field("refresh_token")))
		s.outcome("refresh of the other session", s.refresh(r, second))
	})
	g.scenario("all clients of the session and the browser", func(s *scenario) {
		b := s.browser()
		tokens := s.token(r, codeGrant(b.login(s.user(r, nil)).redirectQuery().Get("code"))).ok()
		code := b.open(r.authURL("client_id", "other")).redirectQuery().Get("code")
		other := credsOf("other")
		otherTokens := s.token(r, codeGrant(code, other...)).ok()
		s.outcome("logout", s.logout(r, tokens.field("refresh_token")))
		s.outcome("refresh of the other client", s.refresh(r, otherTokens, other...))
		s.outcome("userinfo of the other client", s.userinfo(r, otherTokens))
		s.showFinal(b.open(r.authURL("prompt", "none")))
	})
	refused := func(name string, send func(s *scenario, login response) response) {
		g.scenario(name, func(s *scenario) {
			login := s.login(s.user(r, nil))
			s.show(send(s, login))
			s.outcome("refresh after it", s.refresh(r, login))
		})
	}
	refused("refused: garbage", func(s *scenario, _ response) response {
		return s.logout(r, "garbage")
	})
	refused("refused: empty", func(s *scenario, _ response) response { return s.logout(r, "") })
	refused("refused: access token", func(s *scenario, resp response) response {
		return s.logout(r, resp.field("access_token"))
	})
	refused("refused: ID token", func(s *scenario, resp response) response {
		return s.logout(r, resp.field("id_token"))
	})
	refused("refused: another client's token", func(s *scenario, resp response) response {
		return s.logout(r, resp.field("refresh_token"), credsOf("other")...)
	})
	refused("refused: wrong secret", func(s *scenario, resp response) response {
		return s.logout(r, resp.field("refresh_token"), "client_secret", "wrong")
	})
	refused("refused: unknown client", func(s *scenario, resp response) response {
		return s.logout(r, resp.field("refresh_token"), "client_id", "nope")
	})
	refused("refused: no client", func(s *scenario, resp response) response {
		return s.post(r.oidc("/logout"), form("refresh_token", resp.field("refresh_token")))
	})
	refused("no token: confirmation page", func(s *scenario, _ response) response {
		return s.post(r.oidc("/logout"), secretOf("api"), "Accept", "application/json")
	})
}

const logoutRedirect = "http://app.test/out"

// logoutURL returns the URL that logs a browser out.
func (r *realm) logoutURL(pairs ...string) string {
	return r.oidc("/logout?" + form(pairs...).Encode())
}

func logoutByBrowser(g *group, r *realm) {
	// byHint sends a request without cookies: only the hint identifies the session.
	byHint := func(name, client string, address func(idToken string) string) {
		g.scenario(name, func(s *scenario) {
			login := s.login(s.user(r, nil), credsOf(client)...)
			s.show(s.browser().open(address(login.field("id_token"))))
			s.outcome("refresh after it",
				s.refresh(r, login, credsOf(client)...))
		})
	}
	byHint("hint and URI", "listed", func(id string) string {
		return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri", logoutRedirect, "state",
			"st")
	})
	byHint("hint and URI without a state", "listed", func(id string) string {
		return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri",
			"http://app.test/w/x?page=1")
	})
	byHint("hint, client and URI", "listed", func(id string) string {
		return r.logoutURL("id_token_hint", id, "client_id", "listed", "post_logout_redirect_uri",
			logoutRedirect, "state", "st")
	})
	byHint("hint and a redirect URI of logins", "plus", func(id string) string {
		return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri", callback)
	})
	byHint("hint and a redirect URI of logins, nothing configured", "api", func(id string) string {
		return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri", callback)
	})
	byHint("only a hint", "api", func(id string) string { return r.logoutURL("id_token_hint", id) })
	byHint("hint and a URI that isn't allowed", "listed", func(id string) string {
		return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri", "http://evil.test/")
	})
	byHint("hint, and no URI is allowed", "minus", func(id string) string {
		return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri", callback)
	})
	byHint("hint of another client", "api", func(id string) string {
		return r.logoutURL("id_token_hint", id, "client_id", "other")
	})
	byHint("hint and an unknown client", "api", func(id string) string {
		return r.logoutURL("id_token_hint", id, "client_id", "nope")
	})
	g.scenario("hint by POST", func(s *scenario) {
		login := s.login(s.user(r, nil))
		s.show(s.post(r.oidc("/logout"),
			form("id_token_hint", login.field("id_token"), "post_logout_redirect_uri", callback,
				"state", "st")))
		s.outcome("refresh after it", s.refresh(r, login))
	})
	g.scenario("hint of an ended session", func(s *scenario) {
		login := s.login(s.user(r, nil))
		s.logout(r, login.field("refresh_token"))
		s.show(
			s.browser().open(r.logoutURL("id_token_hint", login.field("id_token"),
				"post_logout_redirect_uri", callback)))
	})
	g.scenario("expired hint", func(s *scenario) {
		u := s.user(r, nil)
		brief := credsOf("brief")
		login, other := s.login(u, brief...), s.login(u, brief...)
		s.wait(2500 * time.Millisecond)
		s.show(s.browser().open(r.logoutURL("id_token_hint", login.field("id_token"))))
		s.showFinal(
			s.browser().open(r.logoutURL("id_token_hint", other.field("id_token"),
				"post_logout_redirect_uri", callback)))
	})
	g.scenario("invalid hints", func(s *scenario) {
		login := s.login(s.user(r, nil))
		for _, hint := range []string{"garbage", login.field("access_token"),
			login.field("refresh_token"), ""} {
			s.showFinal(s.browser().open(r.logoutURL("id_token_hint", hint)))
		}
		s.outcome("refresh after it", s.refresh(r, login))
	})
	g.scenario("no hint, no session", func(s *scenario) {
		s.show(
			s.browser().open(r.logoutURL("client_id", "listed", "post_logout_redirect_uri",
				logoutRedirect, "state", "st")))
		s.show(s.browser().open(r.logoutURL("post_logout_redirect_uri", logoutRedirect)))
		s.showFinal(
			s.browser().open(r.logoutURL("client_id", "listed", "post_logout_redirect_uri",
				"http://evil.test/")))
		s.showFinal(
			s.browser().open(r.logoutURL("client_id", "listed", "post_logout_redirect_uri",
				logoutRedirect+"?x=1")))
		s.showFinal(
			s.browser().open(r.logoutURL("client_id", "minus", "post_logout_redirect_uri",
				callback)))
		s.showFinal(
			s.browser().open(r.logoutURL("client_id", "plus", "post_logout_redirect_uri",
				callback)))
		s.showFinal(
			s.browser().open(r.logoutURL("client_id", "nope", "post_logout_redirect_uri",
				logoutRedirect)))
		s.showFinal(s.browser().open(r.logoutURL("client_id", "nope")))
		s.showFinal(s.browser().open(r.logoutURL("client_id", "listed")))
	})
}

// logoutConfirmed declares logouts by a browser with cookies. The user must confirm the logout
// unless the request has an ID token of the session.
func logoutConfirmed(g *group, r *realm) {
	g.scenario("only cookies", func(s *scenario) {
		b := s.browser()
		b.login(s.user(r, nil))
		page := b.open(r.logoutURL())
		s.show(page)
		s.show(b.submit(page, "confirmLogout", "Logout"))
		s.showFinal(b.open(r.authURL("prompt", "none")))
	})
	g.scenario("client and URI in an existing session", func(s *scenario) {
		b := s.browser()
		b.login(s.user(r, nil))
		page := b.open(r.logoutURL("client_id", "listed",
			"post_logout_redirect_uri", logoutRedirect, "state", "st"))
		s.show(page)
		s.show(b.submit(page, "confirmLogout", "Logout"))
	})
	g.scenario("hint of the browser's session", func(s *scenario) {
		b := s.browser()
		tokens := s.token(r, codeGrant(b.login(s.user(r, nil)).redirectQuery().Get("code"))).ok()
		s.show(
			b.open(r.logoutURL("id_token_hint", tokens.field("id_token"),
				"post_logout_redirect_uri", callback, "state", "st")))
		s.showFinal(b.open(r.authURL("prompt", "none")))
	})
	g.scenario("hint of another session", func(s *scenario) {
		u := s.user(r, nil)
		b := s.browser()
		b.login(u)
		s.show(
			b.open(r.logoutURL("id_token_hint", s.login(u).field("id_token"),
				"post_logout_redirect_uri", callback)))
	})
	g.scenario("confirmed without cookies", func(s *scenario) {
		page := s.browser().open(r.logoutURL())
		s.show(s.browser().submit(page, "confirmLogout", "Logout"))
	})
	g.scenario("nothing to confirm", func(s *scenario) {
		b := s.browser()
		page := b.open(r.logoutURL())
		s.show(b.submit(page, "confirmLogout", "Logout"))
	})
	g.scenario("unknown method", func(s *scenario) {
		s.show(s.send(http.MethodPut, r.oidc("/logout"), url.Values{}.Encode()))
	})
}
