package contract

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

// Logout by a client with a refresh token, and by a browser at the end_session_endpoint.
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

func logoutClient(id string, attributes object) object {
	return clientFile(id, object{"attributes": attributes})
}

// logout is the logout by a client with a refresh token. Pairs override.
func (x *exchange) logout(r *realm, refreshToken string, pairs ...string) response {
	x.Helper()
	return x.post(r.oidc("/logout"),
		with(with(secretOf("api"), "refresh_token", refreshToken), pairs...))
}

func logoutByToken(g *group, r *realm) {
	g.exchange("refresh token", func(x *exchange) {
		login := x.login(x.user(r, nil))
		x.show(x.logout(r, login.field("refresh_token")))
		x.outcome("refresh", x.refresh(r, login))
		x.outcome("userinfo", x.userinfo(r, login))
		x.outcome("logout again", x.logout(r, login.field("refresh_token")))
	})
	g.exchange("used refresh token", func(x *exchange) {
		login := x.login(x.user(r, nil))
		next := x.refresh(r, login).ok()
		x.outcome("logout", x.logout(r, login.field("refresh_token")))
		x.outcome("refresh with the newer token", x.refresh(r, next))
	})
	g.exchange("expired refresh token", func(x *exchange) {
		login := x.login(x.user(r, nil), "client_id", "brief", "client_secret", "brief-secret")
		x.wait(2500 * time.Millisecond)
		x.show(x.logout(r, login.field("refresh_token"), "client_id", "brief", "client_secret",
			"brief-secret"))
	})
	g.exchange("refresh token of an offline session", func(x *exchange) {
		login := x.login(x.user(r, nil), "scope", "openid offline_access")
		x.outcome("logout", x.logout(r, login.field("refresh_token")))
		x.outcome("refresh", x.refresh(r, login))
		x.outcome("logout again", x.logout(r, login.field("refresh_token")))
	})
	g.exchange("refresh token of a public client", func(x *exchange) {
		login := x.token(r,
			form("grant_type", "password", "client_id", "spa", "username", x.user(r, nil).username,
				"password", "secret")).ok()
		x.outcome("logout",
			x.post(r.oidc("/logout"),
				form("client_id", "spa", "refresh_token", login.field("refresh_token"))))
	})
	g.exchange("basic authentication", func(x *exchange) {
		login := x.login(x.user(r, nil))
		x.outcome("logout",
			x.post(r.oidc("/logout"), form("refresh_token", login.field("refresh_token")),
				"Authorization", basic("api", "api-secret")))
	})
	g.exchange("other sessions of the user stay", func(x *exchange) {
		u := x.user(r, nil)
		one, two := x.login(u), x.login(u)
		x.outcome("logout", x.logout(r, one.field("refresh_token")))
		x.outcome("refresh of the other session", x.refresh(r, two))
	})
	g.exchange("all clients of the session and the browser", func(x *exchange) {
		b := x.browser()
		mine := x.token(r, codeGrant(b.login(x.user(r, nil)).redirected().Get("code"))).ok()
		code := b.open(r.authURL("client_id", "other")).redirected().Get("code")
		other := []string{"client_id", "other", "client_secret", "other-secret"}
		theirs := x.token(r, codeGrant(code, other...)).ok()
		x.outcome("logout", x.logout(r, mine.field("refresh_token")))
		x.outcome("refresh of the other client", x.refresh(r, theirs, other...))
		x.outcome("userinfo of the other client", x.userinfo(r, theirs))
		x.showEnd(b.open(r.authURL("prompt", "none")))
	})
	refused := func(name string, send func(x *exchange, login response) response) {
		g.exchange(name, func(x *exchange) {
			login := x.login(x.user(r, nil))
			x.show(send(x, login))
			x.outcome("refresh after it", x.refresh(r, login))
		})
	}
	refused("refused: garbage", func(x *exchange, _ response) response {
		return x.logout(r, "garbage")
	})
	refused("refused: empty", func(x *exchange, _ response) response { return x.logout(r, "") })
	refused("refused: access token", func(x *exchange, a response) response {
		return x.logout(r, a.field("access_token"))
	})
	refused("refused: ID token", func(x *exchange, a response) response {
		return x.logout(r, a.field("id_token"))
	})
	refused("refused: another client's token", func(x *exchange, a response) response {
		return x.logout(r, a.field("refresh_token"), "client_id", "other", "client_secret",
			"other-secret")
	})
	refused("refused: wrong secret", func(x *exchange, a response) response {
		return x.logout(r, a.field("refresh_token"), "client_secret", "wrong")
	})
	refused("refused: unknown client", func(x *exchange, a response) response {
		return x.logout(r, a.field("refresh_token"), "client_id", "nope")
	})
	refused("refused: no client", func(x *exchange, a response) response {
		return x.post(r.oidc("/logout"), form("refresh_token", a.field("refresh_token")))
	})
	refused("no token: confirmation page", func(x *exchange, _ response) response {
		return x.post(r.oidc("/logout"), secretOf("api"), "Accept", "application/json")
	})
}

const loggedOut = "http://app.test/out"

// logoutURL returns the URL that logs a browser out.
func (r *realm) logoutURL(pairs ...string) string {
	return r.oidc("/logout?" + form(pairs...).Encode())
}

func logoutByBrowser(g *group, r *realm) {
	// These requests have no cookies: only the hint identifies the session.
	byHint := func(name, client string, address func(idToken string) string) {
		g.exchange(name, func(x *exchange) {
			login := x.login(x.user(r, nil), "client_id", client, "client_secret", client+"-secret")
			x.show(x.browser().open(address(login.field("id_token"))))
			x.outcome("refresh after it",
				x.refresh(r, login, "client_id", client, "client_secret", client+"-secret"))
		})
	}
	byHint("hint and URI", "listed", func(id string) string {
		return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri", loggedOut, "state",
			"st")
	})
	byHint("hint and URI without a state", "listed", func(id string) string {
		return r.logoutURL("id_token_hint", id, "post_logout_redirect_uri",
			"http://app.test/w/x?page=1")
	})
	byHint("hint, client and URI", "listed", func(id string) string {
		return r.logoutURL("id_token_hint", id, "client_id", "listed", "post_logout_redirect_uri",
			loggedOut, "state", "st")
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
	g.exchange("hint by POST", func(x *exchange) {
		login := x.login(x.user(r, nil))
		x.show(x.post(r.oidc("/logout"),
			form("id_token_hint", login.field("id_token"), "post_logout_redirect_uri", callback,
				"state", "st")))
		x.outcome("refresh after it", x.refresh(r, login))
	})
	g.exchange("hint of an ended session", func(x *exchange) {
		login := x.login(x.user(r, nil))
		x.logout(r, login.field("refresh_token"))
		x.show(
			x.browser().open(r.logoutURL("id_token_hint", login.field("id_token"),
				"post_logout_redirect_uri", callback)))
	})
	g.exchange("expired hint", func(x *exchange) {
		u := x.user(r, nil)
		brief := []string{"client_id", "brief", "client_secret", "brief-secret"}
		login, other := x.login(u, brief...), x.login(u, brief...)
		x.wait(2500 * time.Millisecond)
		x.show(x.browser().open(r.logoutURL("id_token_hint", login.field("id_token"))))
		x.showEnd(
			x.browser().open(r.logoutURL("id_token_hint", other.field("id_token"),
				"post_logout_redirect_uri", callback)))
	})
	g.exchange("invalid hints", func(x *exchange) {
		login := x.login(x.user(r, nil))
		for _, hint := range []string{"garbage", login.field("access_token"),
			login.field("refresh_token"), ""} {
			x.showEnd(x.browser().open(r.logoutURL("id_token_hint", hint)))
		}
		x.outcome("refresh after it", x.refresh(r, login))
	})
	g.exchange("no hint, no session", func(x *exchange) {
		x.show(
			x.browser().open(r.logoutURL("client_id", "listed", "post_logout_redirect_uri",
				loggedOut, "state", "st")))
		x.show(x.browser().open(r.logoutURL("post_logout_redirect_uri", loggedOut)))
		x.showEnd(
			x.browser().open(r.logoutURL("client_id", "listed", "post_logout_redirect_uri",
				"http://evil.test/")))
		x.showEnd(
			x.browser().open(r.logoutURL("client_id", "listed", "post_logout_redirect_uri",
				loggedOut+"?x=1")))
		x.showEnd(
			x.browser().open(r.logoutURL("client_id", "minus", "post_logout_redirect_uri",
				callback)))
		x.showEnd(
			x.browser().open(r.logoutURL("client_id", "plus", "post_logout_redirect_uri",
				callback)))
		x.showEnd(
			x.browser().open(r.logoutURL("client_id", "nope", "post_logout_redirect_uri",
				loggedOut)))
		x.showEnd(x.browser().open(r.logoutURL("client_id", "nope")))
		x.showEnd(x.browser().open(r.logoutURL("client_id", "listed")))
	})
}

// logoutConfirmed declares logouts by a browser with cookies. Without an ID token of its session,
// the user must confirm the logout.
func logoutConfirmed(g *group, r *realm) {
	g.exchange("only cookies", func(x *exchange) {
		b := x.browser()
		b.login(x.user(r, nil))
		p := b.open(r.logoutURL())
		x.show(p)
		x.show(b.submit(p, "confirmLogout", "Logout"))
		x.showEnd(b.open(r.authURL("prompt", "none")))
	})
	g.exchange("client and URI in an existing session", func(x *exchange) {
		b := x.browser()
		b.login(x.user(r, nil))
		p := b.open(r.logoutURL("client_id", "listed", "post_logout_redirect_uri", loggedOut,
			"state", "st"))
		x.show(p)
		x.show(b.submit(p, "confirmLogout", "Logout"))
	})
	g.exchange("hint of the browser's session", func(x *exchange) {
		b := x.browser()
		tokens := x.token(r, codeGrant(b.login(x.user(r, nil)).redirected().Get("code"))).ok()
		x.show(
			b.open(r.logoutURL("id_token_hint", tokens.field("id_token"),
				"post_logout_redirect_uri", callback, "state", "st")))
		x.showEnd(b.open(r.authURL("prompt", "none")))
	})
	g.exchange("hint of another session", func(x *exchange) {
		u := x.user(r, nil)
		b := x.browser()
		b.login(u)
		x.show(
			b.open(r.logoutURL("id_token_hint", x.login(u).field("id_token"),
				"post_logout_redirect_uri", callback)))
	})
	g.exchange("confirmed without cookies", func(x *exchange) {
		p := x.browser().open(r.logoutURL())
		x.show(x.browser().submit(p, "confirmLogout", "Logout"))
	})
	g.exchange("nothing to confirm", func(x *exchange) {
		b := x.browser()
		p := b.open(r.logoutURL())
		x.show(b.submit(p, "confirmLogout", "Logout"))
	})
	g.exchange("unknown method", func(x *exchange) {
		x.show(x.send(http.MethodPut, r.oidc("/logout"), url.Values{}.Encode()))
	})
}
