package contract

import (
	"testing"
	"time"
)

// How long tokens and sessions live.
func TestLifespans(t *testing.T) {
	run(t, "lifespans", func(g *group) {
		by := []string{"client_id", "own", "client_secret", "own-secret"}
		lifespanRows(g, by)
		// An administrator can't set these; a realm file can.
		for _, setting := range []string{"clientSessionIdleTimeout", "clientSessionMaxLifespan"} {
			g.exchange(setting+" longer than the session's", func(x *exchange) {
				r := x.realm(realmFile(object{"ssoSessionIdleTimeout": 100, "ssoSessionMaxLifespan": 200, setting: 9000}, clientFile("own", nil)))
				x.showLifespans("login", x.login(x.user(r, nil), by...))
			})
		}
		lifespanEnds(g, by)
		lifespanChanges(g, by)
	})
}

// lifespanRows shows what tokens get, one row of settings after the other: a realm for each would cost seconds.
func lifespanRows(g *group, by []string) {
	g.exchange("settings and tokens", func(x *exchange) {
		r := x.realm(realmFile(nil, clientFile("own", nil)))
		u := x.user(r, nil)
		for _, row := range []struct {
			name     string
			settings object
			client   object
		}{
			{"nothing said", nil, nil},
			{"access token of the realm", object{"accessTokenLifespan": 60}, nil},
			{"access token of the client", object{"accessTokenLifespan": 60}, object{"access.token.lifespan": "90"}},
			{"access token longer than the session may idle", object{"ssoSessionIdleTimeout": 100}, nil},
			{"access token longer than the session may last", object{"ssoSessionMaxLifespan": 100}, nil},
			{"client's access token longer than the session may last", object{"ssoSessionMaxLifespan": 100}, object{"access.token.lifespan": "500"}},
			{"session idles longer than it may last", object{"ssoSessionIdleTimeout": 300, "ssoSessionMaxLifespan": 200}, nil},
			{"client session idle of the realm", object{"clientSessionIdleTimeout": 50}, nil},
			{"client session max of the realm", object{"clientSessionMaxLifespan": 50}, nil},
			{"client session idle of the client", object{"clientSessionIdleTimeout": 50}, object{"client.session.idle.timeout": "40"}},
			{"client session max of the client", object{"clientSessionMaxLifespan": 50}, object{"client.session.max.lifespan": "40"}},
			{"offline session idles", object{"offlineSessionIdleTimeout": 400}, nil},
			{"offline session may not last", object{"offlineSessionIdleTimeout": 400, "offlineSessionMaxLifespanEnabled": true, "offlineSessionMaxLifespan": 500}, nil},
			{"offline session idles longer than it may last", object{"offlineSessionMaxLifespanEnabled": true, "offlineSessionMaxLifespan": 500}, nil},
		} {
			r.patch(x, merge(object{
				"accessTokenLifespan": 300, "ssoSessionIdleTimeout": 1800, "ssoSessionMaxLifespan": 36000,
				"clientSessionIdleTimeout": 0, "clientSessionMaxLifespan": 0,
				"offlineSessionIdleTimeout": 2592000, "offlineSessionMaxLifespanEnabled": false, "offlineSessionMaxLifespan": 5184000,
			}, row.settings))
			r.patchClient(x, "own", object{"attributes": merge(object{
				"access.token.lifespan": "", "client.session.idle.timeout": "", "client.session.max.lifespan": "",
			}, row.client)})
			x.note("%s", row.name)
			x.showLifespans("  login", x.login(u, by...))
			x.showLifespans("  with offline_access", x.login(u, append(by, "scope", "openid offline_access")...))
		}
	})
}

// showLifespans records how long the tokens of an answer live, by the answer and by their claims.
func (x *exchange) showLifespans(step string, tokens answer) {
	x.Helper()
	lives := func(name string) any {
		claims := tokens.claims(name)
		if claims["exp"] == nil {
			return "for ever"
		}
		return clockText("~", x.distance(seconds(claims["exp"]), tokens.window))
	}
	n := normal{window: tokens.window}
	x.note("%s: expires_in %s, access token %v, ID token %v; refresh_expires_in %s, refresh token %v", step,
		x.render("expires_in", tokens.member("expires_in"), n, ""), lives("access_token"), lives("id_token"),
		x.render("refresh_expires_in", tokens.member("refresh_expires_in"), n, ""), lives("refresh_token"))
}

// What is over when its time has come.
func lifespanEnds(g *group, by []string) {
	const lifespan = 14 * time.Second
	const over = lifespan + 1500*time.Millisecond // it is counted in whole seconds
	idle := g.realm(realmFile(object{"ssoSessionIdleTimeout": 14}, clientFile("own", nil)))
	last := g.realm(realmFile(object{"ssoSessionMaxLifespan": 14}, clientFile("own", nil)))
	client := g.realm(realmFile(nil, clientFile("own", object{"attributes": object{"client.session.idle.timeout": "14"}})))
	ended := func(x *exchange, r *realm, b *browser, tokens answer) {
		x.outcome("userinfo", x.userinfo(r, tokens))
		x.outcome("refresh", x.refresh(r, tokens, by...))
		x.outcome("logout", x.logout(r, tokens.field("refresh_token"), by...))
		x.showEnd(b.open(r.authURL("prompt", "none")))
	}
	begin := func(x *exchange, r *realm) (*browser, answer) {
		b := x.browser()
		return b, x.token(r, codeGrant(b.login(x.user(r, nil), "client_id", "own").redirected().Get("code"), by...)).ok()
	}
	// alive begins what lasts as long as a session.
	alive := func(x *exchange) (done func()) { return x.within(lifespan - time.Second) }
	g.exchange("session idles too long", func(x *exchange) {
		done := alive(x)
		b, tokens := begin(x, idle)
		done()
		x.pass(over)
		ended(x, idle, b, tokens)
	})
	g.exchange("session is kept by refreshes", func(x *exchange) {
		done := alive(x)
		_, tokens := begin(x, idle)
		for range 2 {
			x.pass(8 * time.Second)
			next := alive(x)
			tokens = x.refresh(idle, tokens, by...).ok()
			done()
			done = next
		}
		x.outcome("userinfo", x.userinfo(idle, tokens))
		done()
		x.pass(over)
		x.outcome("refresh after a pause", x.refresh(idle, tokens, by...))
	})
	g.exchange("session isn't kept by userinfo", func(x *exchange) {
		done := alive(x)
		_, tokens := begin(x, idle)
		x.pass(8 * time.Second)
		x.outcome("userinfo", x.userinfo(idle, tokens))
		done()
		x.pass(over - 8*time.Second)
		x.outcome("userinfo again", x.userinfo(idle, tokens))
	})
	g.exchange("session lasts too long", func(x *exchange) {
		done := alive(x)
		b, tokens := begin(x, last)
		x.pass(8 * time.Second)
		tokens = x.refresh(last, tokens, by...).ok()
		done()
		x.note("shorter after a refresh: %t", seconds(tokens.member("expires_in")) <= 6 && seconds(tokens.member("refresh_expires_in")) <= 6)
		x.pass(over - 8*time.Second)
		ended(x, last, b, tokens)
	})
	g.exchange("client session idles too long", func(x *exchange) {
		done := alive(x)
		b, tokens := begin(x, client)
		done()
		x.pass(over)
		x.outcome("userinfo", x.userinfo(client, tokens))
		x.outcome("refresh", x.refresh(client, tokens, by...))
		x.outcome("userinfo after it", x.userinfo(client, tokens))
		x.showEnd(b.open(client.authURL("prompt", "none")))
	})
}

// What is over because less time is given than a token says.
func lifespanChanges(g *group, by []string) {
	file := realmFile(nil, clientFile("own", nil))
	for _, row := range []struct{ name, setting string }{
		{"session may idle less", "ssoSessionIdleTimeout"},
		{"session may last less", "ssoSessionMaxLifespan"},
		{"client session may idle less", "clientSessionIdleTimeout"},
		{"client session may last less", "clientSessionMaxLifespan"},
	} {
		g.exchange(row.name, func(x *exchange) {
			r := x.realm(file)
			u := x.user(r, nil)
			b := x.browser()
			tokens := x.token(r, codeGrant(b.login(u, "client_id", "own").redirected().Get("code"), by...)).ok()
			r.patch(x, object{row.setting: 1})
			x.pass(2500 * time.Millisecond)
			x.outcome("userinfo", x.userinfo(r, tokens))
			x.show(x.refresh(r, tokens, by...))
			x.outcome("userinfo after it", x.userinfo(r, tokens))
			x.outcome("refresh again", x.refresh(r, tokens, by...))
			x.showEnd(b.open(r.authURL("prompt", "none")))
		})
	}
}
