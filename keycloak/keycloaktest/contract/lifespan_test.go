package contract

import (
	"testing"
	"time"
)

// The lifespans of tokens and sessions.
func TestLifespans(t *testing.T) {
	run(t, "lifespans", func(g *group) {
		creds := []string{"client_id", "own", "client_secret", "own-secret"}
		lifespanRows(g, creds)
		// The Admin API rejects these settings, but an import accepts them.
		for _, setting := range []string{"clientSessionIdleTimeout", "clientSessionMaxLifespan"} {
			g.exchange(setting+" longer than the session's", func(x *exchange) {
				r := x.realm(
					realmFile(object{"ssoSessionIdleTimeout": 100, "ssoSessionMaxLifespan": 200,
						setting: 9000}, clientFile("own", nil)))
				x.showLifespans("login", x.login(x.user(r, nil), creds...))
			})
		}
		lifespanEnds(g, creds)
		lifespanChanges(g, creds)
	})
}

// lifespanRows records the lifespans of tokens by setting. All rows share one realm, because a
// realm for each would take seconds.
func lifespanRows(g *group, creds []string) {
	g.exchange("settings and tokens", func(x *exchange) {
		r := x.realm(realmFile(nil, clientFile("own", object{"serviceAccountsEnabled": true})))
		u := x.user(r, nil)
		capped := object{
			"offlineSessionMaxLifespanEnabled": true, "offlineSessionMaxLifespan": 5000,
		}
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
			{"access token of the client as long as a session", nil, object{"access.token.lifespan": "-1"}},
			{"access token of the realm as long as a session", object{"accessTokenLifespan": -1, "ssoSessionMaxLifespan": 5000}, nil},
			{"access token as long as a client session", nil, object{"access.token.lifespan": "-1", "client.session.max.lifespan": "400"}},
			{"access token of the client that ends at once", nil, object{"access.token.lifespan": "0"}},
			{"access token of the realm that ends at once", object{"accessTokenLifespan": 0}, nil},
			{"access token that has ended", nil, object{"access.token.lifespan": "-50"}},
			{"session idles for 0 seconds", object{"ssoSessionIdleTimeout": 0}, nil},
			{"session lasts for 0 seconds", object{"ssoSessionMaxLifespan": 0}, nil},
			{"session lasts for 0 seconds, and the access token as long", object{"ssoSessionMaxLifespan": 0, "accessTokenLifespan": -1}, nil},
			{"offline session idles for 0 seconds", object{"offlineSessionIdleTimeout": 0}, nil},
			{"offline session lasts for 0 seconds", object{"offlineSessionMaxLifespanEnabled": true, "offlineSessionMaxLifespan": 0}, nil},
			{"offline session lasts for 0 seconds, and idles for longer than by default", object{
				"offlineSessionMaxLifespanEnabled": true, "offlineSessionMaxLifespan": 0,
				"offlineSessionIdleTimeout": 9000000}, nil},
			{"offline client session idles, of the client", nil, object{"client.offline.session.idle.timeout": "50"}},
			{"offline client session idles, of the realm", object{"clientOfflineSessionIdleTimeout": 50}, nil},
			{"offline client session max, of the client", nil, object{"client.offline.session.max.lifespan": "60"}},
			{"offline client session max, of the realm", object{"clientOfflineSessionMaxLifespan": 60}, nil},
			{"offline session may not last, client idles", capped, object{"client.offline.session.idle.timeout": "50"}},
			{"offline session may not last, client max of the realm", merge(capped, object{"clientOfflineSessionMaxLifespan": 60}), nil},
			{"offline session may not last, client max of both", merge(capped, object{"clientOfflineSessionMaxLifespan": 60}),
				object{"client.offline.session.max.lifespan": "90"}},
			{"offline session may not last, client lasts longer", capped,
				object{"client.offline.session.max.lifespan": "9000",
					"access.token.lifespan": "8000"}},
			{"offline session may not last, access token as long", capped, object{"access.token.lifespan": "-1"}},
			{"offline client session max, access token as long", nil,
				object{"client.offline.session.max.lifespan": "60", "access.token.lifespan": "-1"}},
			{"offline session idles longer than it may last", object{"offlineSessionMaxLifespanEnabled": true, "offlineSessionMaxLifespan": 500}, nil},
		} {
			r.patch(x, merge(object{
				"accessTokenLifespan": 300, "ssoSessionIdleTimeout": 1800,
				"ssoSessionMaxLifespan":    36000,
				"clientSessionIdleTimeout": 0, "clientSessionMaxLifespan": 0,
				"offlineSessionIdleTimeout": 2592000, "offlineSessionMaxLifespanEnabled": false,
				"offlineSessionMaxLifespan":       5184000,
				"clientOfflineSessionIdleTimeout": 0, "clientOfflineSessionMaxLifespan": 0,
			}, row.settings))
			r.patchClient(x, "own", object{"attributes": merge(object{
				"access.token.lifespan": "", "client.session.idle.timeout": "",
				"client.session.max.lifespan":         "",
				"client.offline.session.idle.timeout": "",
				"client.offline.session.max.lifespan": "",
			}, row.client)})
			x.note("%s", row.name)
			x.resetStart()
			x.showLifespans("  login", x.login(u, creds...))
			x.resetStart()
			x.showLifespans("  with offline_access",
				x.login(u, append(creds, "scope", "openid offline_access")...))
			x.resetStart()
			service := x.token(r, with(secretOf("own"), "grant_type", "client_credentials")).ok()
			x.note("  service account: expires_in %s",
				x.render("expires_in", service.member("expires_in"), timing{window: service.window},
					""))
		}
	})
}

// showLifespans records the lifespans of the tokens of a response, from its members and from the
// claims.
func (x *exchange) showLifespans(step string, tokens response) {
	x.Helper()
	lives := func(name string) any {
		claims := tokens.claims(name)
		if claims["exp"] == nil {
			return "for ever"
		}
		return clockText("~", x.offset(seconds(claims["exp"]), tokens.window))
	}
	n := timing{window: tokens.window}
	x.note(
		"%s: expires_in %s, access token %v, ID token %v; refresh_expires_in %s, refresh token %v",
		step,
		x.render("expires_in", tokens.member("expires_in"), n, ""), lives("access_token"),
		lives("id_token"),
		x.render("refresh_expires_in", tokens.member("refresh_expires_in"), n, ""),
		lives("refresh_token"))
}

// lifespanEnds declares exchanges where a session or a token expires.
func lifespanEnds(g *group, creds []string) {
	const lifespan = 14 * time.Second
	const expiry = lifespan + 1500*time.Millisecond // Keycloak counts whole seconds
	idleRealm := g.realm(realmFile(object{"ssoSessionIdleTimeout": 14}, clientFile("own", nil)))
	maxRealm := g.realm(realmFile(object{"ssoSessionMaxLifespan": 14}, clientFile("own", nil)))
	client := g.realm(realmFile(nil,
		clientFile("own", object{"attributes": object{"client.session.idle.timeout": "14"}})))
	showEnded := func(x *exchange, r *realm, b *browser, tokens response) {
		x.outcome("userinfo", x.userinfo(r, tokens))
		x.outcome("refresh", x.refresh(r, tokens, creds...))
		x.outcome("logout", x.logout(r, tokens.field("refresh_token"), creds...))
		x.showEnd(b.open(r.authURL("prompt", "none")))
	}
	codeLogin := func(x *exchange, r *realm) (*browser, response) {
		b := x.browser()
		return b, x.token(r,
			codeGrant(b.login(x.user(r, nil), "client_id", "own").redirected().Get("code"),
				creds...)).ok()
	}
	offlineOf := func(setting object, attributes object) *realm {
		return g.realm(realmFile(setting, clientFile("own", object{"attributes": attributes})))
	}
	offlineIdle := offlineOf(object{"offlineSessionIdleTimeout": 14}, nil)
	offlineClientIdle := offlineOf(nil, object{"client.offline.session.idle.timeout": "14"})
	offlineClientMax := offlineOf(nil, object{"client.offline.session.max.lifespan": "14"})
	offlineClientIdleOfRealm := offlineOf(object{"clientOfflineSessionIdleTimeout": 14}, nil)
	for _, row := range []struct {
		name  string
		realm *realm
	}{
		{"offline session idle timeout", offlineIdle},
		{"offline client session idle timeout", offlineClientIdle},
		{"offline client session max lifespan", offlineClientMax},
		{"offline client session idle timeout of the realm", offlineClientIdleOfRealm},
	} {
		g.exchange(row.name, func(x *exchange) {
			r := row.realm
			done := x.within(lifespan - time.Second)
			u := x.user(r, nil)
			tokens := x.login(u, append(creds, "scope", "openid offline_access")...)
			x.outcome("at once", x.refresh(r, tokens, creds...))
			done()
			x.wait(expiry)
			x.outcome("userinfo", x.userinfo(r, tokens))
			x.outcome("refresh", x.refresh(r, tokens, creds...))
		})
	}
	// atSecond sends requests in the seconds before, at and after the end of the lifespan.
	atSecond := func(name string, r *realm, send func(x *exchange, tokens response, step string)) {
		g.exchange(name, func(x *exchange) {
			tokens := x.login(x.user(r, nil), creds...)
			end := x.secondOf(tokens.claims("access_token")["iat"]).Add(lifespan)
			for _, step := range []struct {
				name string
				at   time.Time
			}{{"the second before", end.Add(-time.Second)}, {"at the second", end},
				{"the second after", end.Add(time.Second)}} {
				x.waitUntil(step.at.Add(100 * time.Millisecond))
				done := x.within(step.at.Add(900 * time.Millisecond).Sub(x.kc.now()))
				send(x, tokens, step.name)
				done()
			}
		})
	}
	brief := g.realm(realmFile(object{"accessTokenLifespan": 14}, clientFile("own", nil)))
	atSecond("the second when an access token expires", brief,
		func(x *exchange, tokens response, step string) {
			x.outcome(step, x.userinfo(brief, tokens))
		})
	atSecond("the second of a session's idle timeout", idleRealm,
		func(x *exchange, tokens response, step string) {
			x.outcome(step, x.userinfo(idleRealm, tokens))
		})
	atSecond("the second of a session's max lifespan", maxRealm,
		func(x *exchange, tokens response, step string) {
			x.outcome(step, x.userinfo(maxRealm, tokens))
		})
	atSecond("the second when a refresh token expires", maxRealm,
		func(x *exchange, tokens response, step string) {
			if step != "the second before" { // a refresh would restart the idle timeout
				x.outcome(step, x.refresh(maxRealm, tokens, creds...))
			}
		})
	// alive limits the time of requests that need the session.
	alive := func(x *exchange) (done func()) { return x.within(lifespan - time.Second) }
	g.exchange("session idle timeout", func(x *exchange) {
		done := alive(x)
		b, tokens := codeLogin(x, idleRealm)
		done()
		x.wait(expiry)
		showEnded(x, idleRealm, b, tokens)
	})
	g.exchange("refreshes extend a session", func(x *exchange) {
		done := alive(x)
		_, tokens := codeLogin(x, idleRealm)
		for range 2 {
			x.wait(8 * time.Second)
			next := alive(x)
			tokens = x.refresh(idleRealm, tokens, creds...).ok()
			done()
			done = next
		}
		x.outcome("userinfo", x.userinfo(idleRealm, tokens))
		done()
		x.wait(expiry)
		x.outcome("refresh after a pause", x.refresh(idleRealm, tokens, creds...))
	})
	g.exchange("userinfo doesn't extend a session", func(x *exchange) {
		done := alive(x)
		_, tokens := codeLogin(x, idleRealm)
		x.wait(8 * time.Second)
		x.outcome("userinfo", x.userinfo(idleRealm, tokens))
		done()
		x.wait(expiry - 8*time.Second)
		x.outcome("userinfo again", x.userinfo(idleRealm, tokens))
	})
	g.exchange("session max lifespan", func(x *exchange) {
		done := alive(x)
		b, tokens := codeLogin(x, maxRealm)
		x.wait(8 * time.Second)
		tokens = x.refresh(maxRealm, tokens, creds...).ok()
		done()
		x.note("shorter after a refresh: %t",
			seconds(tokens.member("expires_in")) <= 6 &&
				seconds(tokens.member("refresh_expires_in")) <= 6)
		x.wait(expiry - 8*time.Second)
		showEnded(x, maxRealm, b, tokens)
	})
	g.exchange("client session idle timeout", func(x *exchange) {
		done := alive(x)
		b, tokens := codeLogin(x, client)
		done()
		x.wait(expiry)
		x.outcome("userinfo", x.userinfo(client, tokens))
		x.outcome("refresh", x.refresh(client, tokens, creds...))
		x.outcome("userinfo after it", x.userinfo(client, tokens))
		x.showEnd(b.open(client.authURL("prompt", "none")))
	})
}

// lifespanChanges declares exchanges where a setting is reduced after the tokens were issued.
func lifespanChanges(g *group, creds []string) {
	file := realmFile(nil, clientFile("own", nil))
	for _, row := range []struct{ name, setting string }{
		{"idle timeout of the session reduced", "ssoSessionIdleTimeout"},
		{"max lifespan of the session reduced", "ssoSessionMaxLifespan"},
		{"idle timeout of the client session reduced", "clientSessionIdleTimeout"},
		{"max lifespan of the client session reduced", "clientSessionMaxLifespan"},
	} {
		g.exchange(row.name, func(x *exchange) {
			r := x.realm(file)
			u := x.user(r, nil)
			b := x.browser()
			tokens := x.token(r,
				codeGrant(b.login(u, "client_id", "own").redirected().Get("code"), creds...)).ok()
			r.patch(x, object{row.setting: 1})
			x.wait(2500 * time.Millisecond)
			x.outcome("userinfo", x.userinfo(r, tokens))
			x.show(x.refresh(r, tokens, creds...))
			x.outcome("userinfo after it", x.userinfo(r, tokens))
			x.outcome("refresh again", x.refresh(r, tokens, creds...))
			x.showEnd(b.open(r.authURL("prompt", "none")))
		})
	}
}
