package contract

import (
	"testing"
	"time"
)

// TestLifespans records the lifespans of tokens and sessions.
func TestLifespans(t *testing.T) {
	run(t, "lifespans", func(suite *testSuite) {
		creds := clientParams("app")
		addLifespanRows(suite, creds)
		// The Admin API rejects client sessions that outlast the session; an import accepts them.
		for _, setting := range []string{"clientSessionIdleTimeout", "clientSessionMaxLifespan"} {
			suite.add(setting+" longer than the session's", func(s *scenario) {
				r := s.importRealm(
					realmJSON(object{"ssoSessionIdleTimeout": 100, "ssoSessionMaxLifespan": 200,
						setting: 9000}, clientJSON("app", nil)))
				s.recordLifespans("login", s.login(s.addUser(r, nil), creds...))
			})
		}
		addLifespanExpiry(suite, creds)
		addLifespanChanges(suite, creds)
	})
}

// addLifespanRows adds one scenario, which records the lifespans of tokens for each row of
// settings. All rows share one realm, because importing a realm for each row would take seconds.
func addLifespanRows(suite *testSuite, creds []string) {
	suite.add("settings and tokens", func(s *scenario) {
		r := s.importRealm(realmJSON(nil,
			clientJSON("app", object{"serviceAccountsEnabled": true})))
		u := s.addUser(r, nil)
		maxLifespan := object{
			"offlineSessionMaxLifespanEnabled": true, "offlineSessionMaxLifespan": 5000,
		}
		for _, row := range []struct {
			name             string
			settings         object
			clientAttributes object
		}{
			{"defaults", nil, nil},
			{"access token of the realm", object{"accessTokenLifespan": 60}, nil},
			{"access token of the client", object{"accessTokenLifespan": 60},
				object{"access.token.lifespan": "90"}},
			{"access token longer than the session's idle timeout",
				object{"ssoSessionIdleTimeout": 100}, nil},
			{"access token longer than the session's max lifespan",
				object{"ssoSessionMaxLifespan": 100}, nil},
			{"client's access token longer than the session's max lifespan",
				object{"ssoSessionMaxLifespan": 100}, object{"access.token.lifespan": "500"}},
			{"session has an idle timeout longer than its max lifespan",
				object{"ssoSessionIdleTimeout": 300, "ssoSessionMaxLifespan": 200}, nil},
			{"client session idle of the realm", object{"clientSessionIdleTimeout": 50}, nil},
			{"client session max of the realm", object{"clientSessionMaxLifespan": 50}, nil},
			{"client session idle of the client", object{"clientSessionIdleTimeout": 50},
				object{"client.session.idle.timeout": "40"}},
			{"client session max of the client", object{"clientSessionMaxLifespan": 50},
				object{"client.session.max.lifespan": "40"}},
			{"offline session idles", object{"offlineSessionIdleTimeout": 400}, nil},
			{"offline session has a max lifespan",
				object{"offlineSessionIdleTimeout": 400, "offlineSessionMaxLifespanEnabled": true,
					"offlineSessionMaxLifespan": 500}, nil},
			{"access token of the client as long as a session", nil,
				object{"access.token.lifespan": "-1"}},
			{"access token of the realm as long as a session",
				object{"accessTokenLifespan": -1, "ssoSessionMaxLifespan": 5000}, nil},
			{"access token as long as a client session", nil,
				object{"access.token.lifespan": "-1", "client.session.max.lifespan": "400"}},
			{"access token of the client with lifespan 0", nil,
				object{"access.token.lifespan": "0"}},
			{"access token of the realm with lifespan 0", object{"accessTokenLifespan": 0}, nil},
			{"access token with a negative lifespan", nil, object{"access.token.lifespan": "-50"}},
			{"session idles for 0 seconds", object{"ssoSessionIdleTimeout": 0}, nil},
			{"session lasts for 0 seconds", object{"ssoSessionMaxLifespan": 0}, nil},
			{"session lasts for 0 seconds, and the access token as long",
				object{"ssoSessionMaxLifespan": 0, "accessTokenLifespan": -1}, nil},
			{"offline session idles for 0 seconds", object{"offlineSessionIdleTimeout": 0}, nil},
			{"offline session lasts for 0 seconds",
				object{"offlineSessionMaxLifespanEnabled": true,
					"offlineSessionMaxLifespan": 0}, nil},
			{"offline session lasts for 0 seconds, and idles for longer than by default", object{
				"offlineSessionMaxLifespanEnabled": true, "offlineSessionMaxLifespan": 0,
				"offlineSessionIdleTimeout": 9000000}, nil},
			{"client offline session idle timeout, set on the client", nil,
				object{"client.offline.session.idle.timeout": "50"}},
			{"client offline session idle timeout, set on the realm",
				object{"clientOfflineSessionIdleTimeout": 50}, nil},
			{"client offline session max lifespan, set on the client", nil,
				object{"client.offline.session.max.lifespan": "60"}},
			{"client offline session max lifespan, set on the realm",
				object{"clientOfflineSessionMaxLifespan": 60}, nil},
			{"offline session has a max lifespan, client offline session idle timeout", maxLifespan,
				object{"client.offline.session.idle.timeout": "50"}},
			{"offline session has a max lifespan, client max lifespan set on the realm",
				merge(maxLifespan, object{"clientOfflineSessionMaxLifespan": 60}), nil},
			{"offline session has a max lifespan, client max lifespan set on both",
				merge(maxLifespan, object{"clientOfflineSessionMaxLifespan": 60}),
				object{"client.offline.session.max.lifespan": "90"}},
			{"offline session has a max lifespan, client max lifespan is longer", maxLifespan,
				object{"client.offline.session.max.lifespan": "9000",
					"access.token.lifespan": "8000"}},
			{"offline session has a max lifespan, access token as long", maxLifespan,
				object{"access.token.lifespan": "-1"}},
			{"offline client session max, access token as long", nil,
				object{"client.offline.session.max.lifespan": "60", "access.token.lifespan": "-1"}},
			{"offline session has an idle timeout longer than its max lifespan",
				object{"offlineSessionMaxLifespanEnabled": true,
					"offlineSessionMaxLifespan": 500}, nil},
		} {
			r.patch(s, merge(object{
				"accessTokenLifespan": 300, "ssoSessionIdleTimeout": 1800,
				"ssoSessionMaxLifespan":    36000,
				"clientSessionIdleTimeout": 0, "clientSessionMaxLifespan": 0,
				"offlineSessionIdleTimeout": 2592000, "offlineSessionMaxLifespanEnabled": false,
				"offlineSessionMaxLifespan":       5184000,
				"clientOfflineSessionIdleTimeout": 0, "clientOfflineSessionMaxLifespan": 0,
			}, row.settings))
			r.patchClient(s, "app", object{"attributes": merge(object{
				"access.token.lifespan": "", "client.session.idle.timeout": "",
				"client.session.max.lifespan":         "",
				"client.offline.session.idle.timeout": "",
				"client.offline.session.max.lifespan": "",
			}, row.clientAttributes)})
			s.note("%s", row.name)
			s.resetStart()
			s.recordLifespans("  login", s.login(u, creds...))
			s.resetStart()
			s.recordLifespans("  with offline_access",
				s.login(u, append(creds, "scope", "openid offline_access")...))
			s.resetStart()
			serviceTokens := s.token(r, clientCredentialsGrant("app")).mustOK()
			s.note("  service account: expires_in %s",
				s.render("expires_in", serviceTokens.value("expires_in"),
					timing{window: serviceTokens.window}, ""))
		}
	})
}

// recordLifespans records how long the tokens in a response are valid, according to the response's
// fields and according to the tokens' claims.
func (s *scenario) recordLifespans(step string, tokens response) {
	s.Helper()
	lifespan := func(name string) any {
		claims := tokens.claims(name)
		if claims["exp"] == nil {
			return "for ever"
		}
		return formatOffset("~", s.offset(asInt(claims["exp"]), tokens.window))
	}
	tm := timing{window: tokens.window}
	s.note(
		"%s: expires_in %s, access token %v, ID token %v; refresh_expires_in %s, refresh token %v",
		step,
		s.render("expires_in", tokens.value("expires_in"), tm, ""), lifespan("access_token"),
		lifespan("id_token"),
		s.render("refresh_expires_in", tokens.value("refresh_expires_in"), tm, ""),
		lifespan("refresh_token"))
}

// addLifespanExpiry adds scenarios in which a session or a token expires.
func addLifespanExpiry(suite *testSuite, creds []string) {
	const lifespan = 14 * time.Second
	// untilExpired is longer than the lifespan, because Keycloak counts whole seconds.
	const untilExpired = lifespan + 1500*time.Millisecond
	idleRealm := suite.addRealm(realmJSON(object{"ssoSessionIdleTimeout": 14},
		clientJSON("app", nil)))
	maxRealm := suite.addRealm(realmJSON(object{"ssoSessionMaxLifespan": 14},
		clientJSON("app", nil)))
	clientIdleRealm := suite.addRealm(realmJSON(nil,
		clientJSON("app", object{"attributes": object{"client.session.idle.timeout": "14"}})))
	recordExpired := func(s *scenario, r *realm, b *browser, tokens response) {
		s.recordOutcome("userinfo", s.userinfo(r, tokens))
		s.recordOutcome("refresh", s.refresh(r, tokens, creds...))
		s.recordOutcome("logout", s.logout(r, tokens.field("refresh_token"), creds...))
		s.recordPageOrRedirect(b.open(r.authURL("prompt", "none")))
	}
	loginWithCode := func(s *scenario, r *realm) (*browser, response) {
		b := s.newBrowser()
		return b, s.token(r,
			codeGrant(b.login(s.addUser(r, nil), "client_id", "app").redirectQuery().Get("code"),
				creds...)).mustOK()
	}
	addOfflineRealm := func(setting object, attributes object) *realm {
		return suite.addRealm(realmJSON(setting,
			clientJSON("app", object{"attributes": attributes})))
	}
	offlineIdleRealm := addOfflineRealm(object{"offlineSessionIdleTimeout": 14}, nil)
	offlineClientIdleRealm := addOfflineRealm(nil,
		object{"client.offline.session.idle.timeout": "14"})
	offlineClientMaxRealm := addOfflineRealm(nil,
		object{"client.offline.session.max.lifespan": "14"})
	offlineRealmClientIdleRealm := addOfflineRealm(object{"clientOfflineSessionIdleTimeout": 14},
		nil)
	for _, row := range []struct {
		name  string
		realm *realm
	}{
		{"offline session idle timeout", offlineIdleRealm},
		{"offline client session idle timeout", offlineClientIdleRealm},
		{"offline client session max lifespan", offlineClientMaxRealm},
		{"offline client session idle timeout of the realm", offlineRealmClientIdleRealm},
	} {
		suite.add(row.name, func(s *scenario) {
			r := row.realm
			done := s.setDeadline(lifespan - time.Second)
			u := s.addUser(r, nil)
			tokens := s.login(u, append(creds, "scope", "openid offline_access")...)
			s.recordOutcome("at once", s.refresh(r, tokens, creds...))
			done()
			s.wait(untilExpired)
			s.recordOutcome("userinfo", s.userinfo(r, tokens))
			s.recordOutcome("refresh", s.refresh(r, tokens, creds...))
		})
	}
	// addAroundExpiry adds a scenario that sends requests one second before the end of the
	// lifespan, at its end, and one second after its end.
	addAroundExpiry := func(name string, r *realm,
		send func(s *scenario, tokens response, step string)) {
		suite.add(name, func(s *scenario) {
			u := s.addUser(r, nil)
			// Sign in at the start of a second of the clock: Keycloak creates the session after the
			// token, and both must get the same second.
			s.waitUntil(s.kc.now().Truncate(time.Second).Add(time.Second))
			done := s.setDeadline(900 * time.Millisecond)
			tokens := s.login(u, creds...)
			done()
			expiresAt := s.claimTime(tokens.claims("access_token")["iat"]).Add(lifespan)
			for _, step := range []struct {
				name string
				at   time.Time
			}{{"the second before", expiresAt.Add(-time.Second)}, {"at the second", expiresAt},
				{"the second after", expiresAt.Add(time.Second)}} {
				s.waitUntil(step.at.Add(100 * time.Millisecond))
				done := s.setDeadline(step.at.Add(900 * time.Millisecond).Sub(s.kc.now()))
				send(s, tokens, step.name)
				done()
			}
		})
	}
	shortTokenRealm := suite.addRealm(realmJSON(object{"accessTokenLifespan": 14},
		clientJSON("app", nil)))
	addAroundExpiry("the second when an access token expires", shortTokenRealm,
		func(s *scenario, tokens response, step string) {
			s.recordOutcome(step, s.userinfo(shortTokenRealm, tokens))
		})
	addAroundExpiry("the second of a session's idle timeout", idleRealm,
		func(s *scenario, tokens response, step string) {
			s.recordOutcome(step, s.userinfo(idleRealm, tokens))
		})
	addAroundExpiry("the second of a session's max lifespan", maxRealm,
		func(s *scenario, tokens response, step string) {
			s.recordOutcome(step, s.userinfo(maxRealm, tokens))
		})
	addAroundExpiry("the second when a refresh token expires", maxRealm,
		func(s *scenario, tokens response, step string) {
			// Before its expiry, a refresh would succeed and change the session.
			if step != "the second before" {
				s.recordOutcome(step, s.refresh(maxRealm, tokens, creds...))
			}
		})
	// setSessionDeadline sets a deadline for requests that need the session.
	setSessionDeadline := func(s *scenario) (done func()) {
		return s.setDeadline(lifespan - time.Second)
	}
	suite.add("session idle timeout", func(s *scenario) {
		done := setSessionDeadline(s)
		b, tokens := loginWithCode(s, idleRealm)
		done()
		s.wait(untilExpired)
		recordExpired(s, idleRealm, b, tokens)
	})
	suite.add("refreshes extend a session", func(s *scenario) {
		done := setSessionDeadline(s)
		_, tokens := loginWithCode(s, idleRealm)
		for range 2 {
			s.wait(8 * time.Second)
			nextDone := setSessionDeadline(s)
			tokens = s.refresh(idleRealm, tokens, creds...).mustOK()
			done()
			done = nextDone
		}
		s.recordOutcome("userinfo", s.userinfo(idleRealm, tokens))
		done()
		s.wait(untilExpired)
		s.recordOutcome("refresh after a pause", s.refresh(idleRealm, tokens, creds...))
	})
	suite.add("userinfo doesn't extend a session", func(s *scenario) {
		done := setSessionDeadline(s)
		_, tokens := loginWithCode(s, idleRealm)
		s.wait(8 * time.Second)
		s.recordOutcome("userinfo", s.userinfo(idleRealm, tokens))
		done()
		s.wait(untilExpired - 8*time.Second)
		s.recordOutcome("userinfo again", s.userinfo(idleRealm, tokens))
	})
	suite.add("session max lifespan", func(s *scenario) {
		done := setSessionDeadline(s)
		b, tokens := loginWithCode(s, maxRealm)
		s.wait(8 * time.Second)
		tokens = s.refresh(maxRealm, tokens, creds...).mustOK()
		done()
		s.note("shorter after a refresh: %t",
			asInt(tokens.value("expires_in")) <= 6 &&
				asInt(tokens.value("refresh_expires_in")) <= 6)
		s.wait(untilExpired - 8*time.Second)
		recordExpired(s, maxRealm, b, tokens)
	})
	suite.add("client session idle timeout", func(s *scenario) {
		done := setSessionDeadline(s)
		b, tokens := loginWithCode(s, clientIdleRealm)
		done()
		s.wait(untilExpired)
		s.recordOutcome("userinfo", s.userinfo(clientIdleRealm, tokens))
		s.recordOutcome("refresh", s.refresh(clientIdleRealm, tokens, creds...))
		s.recordOutcome("userinfo after it", s.userinfo(clientIdleRealm, tokens))
		s.recordPageOrRedirect(b.open(clientIdleRealm.authURL("prompt", "none")))
	})
}

// addLifespanChanges adds scenarios in which a setting is reduced after the tokens were issued.
func addLifespanChanges(suite *testSuite, creds []string) {
	representation := realmJSON(nil, clientJSON("app", nil))
	for _, row := range []struct{ name, setting string }{
		{"idle timeout of the session reduced", "ssoSessionIdleTimeout"},
		{"max lifespan of the session reduced", "ssoSessionMaxLifespan"},
		{"idle timeout of the client session reduced", "clientSessionIdleTimeout"},
		{"max lifespan of the client session reduced", "clientSessionMaxLifespan"},
	} {
		suite.add(row.name, func(s *scenario) {
			r := s.importRealm(representation)
			u := s.addUser(r, nil)
			b := s.newBrowser()
			tokens := s.token(r,
				codeGrant(b.login(u, "client_id", "app").redirectQuery().Get("code"),
					creds...)).mustOK()
			r.patch(s, object{row.setting: 1})
			s.wait(2500 * time.Millisecond)
			s.recordOutcome("userinfo", s.userinfo(r, tokens))
			s.record(s.refresh(r, tokens, creds...))
			s.recordOutcome("userinfo after it", s.userinfo(r, tokens))
			s.recordOutcome("refresh again", s.refresh(r, tokens, creds...))
			s.recordPageOrRedirect(b.open(r.authURL("prompt", "none")))
		})
	}
}
