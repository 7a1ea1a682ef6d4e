package contract

import (
	"fmt"
	"testing"
)

// A loaLevel is a level of authentication in a browser flow: a conditional subflow that shows a
// form.
type loaLevel struct {
	level, maxAge int
	form          string // the authenticator of the form
}

// loaRealmJSON returns a realm whose browser flow has levels of authentication, as in the chapter
// on step-up authentication of Keycloak's documentation. It names the levels 1 and 2 silver and
// gold.
func loaRealmJSON(levels []loaLevel, clients ...object) object {
	flows := []object{
		{"alias": "step-up", "providerId": "basic-flow", "topLevel": true,
			"authenticationExecutions": []object{
				{"authenticator": "auth-cookie", "requirement": "ALTERNATIVE", "priority": 10},
				{"flowAlias": "step-up forms", "authenticatorFlow": true,
					"requirement": "ALTERNATIVE", "priority": 20},
			}},
	}
	var subflows, configs []object
	for i, level := range levels {
		alias := fmt.Sprint("step-up level ", level.level)
		flows = append(flows, object{"alias": alias, "providerId": "basic-flow", "topLevel": false,
			"authenticationExecutions": []object{
				{"authenticator": "conditional-level-of-authentication", "requirement": "REQUIRED",
					"authenticatorConfig": alias, "priority": 10},
				{"authenticator": level.form, "requirement": "REQUIRED", "priority": 20},
			}})
		configs = append(configs, object{"alias": alias, "config": object{
			"loa-condition-level": fmt.Sprint(level.level),
			"loa-max-age":         fmt.Sprint(level.maxAge),
		}})
		subflows = append(subflows, object{"flowAlias": alias, "authenticatorFlow": true,
			"requirement": "CONDITIONAL", "priority": 10 * (i + 1)})
	}
	flows = append(flows, object{"alias": "step-up forms", "providerId": "basic-flow",
		"topLevel": false, "authenticationExecutions": subflows})
	return realmJSON(object{
		"browserFlow": "step-up", "authenticationFlows": flows, "authenticatorConfig": configs,
		"attributes": object{"acr.loa.map": `{"silver":"1","gold":"2"}`},
	}, clients...)
}

// essentialACR is a claims parameter that requires one of these levels.
func essentialACR(values string) string {
	return `{"id_token":{"acr":{"essential":true,"values":[` + values + `]}}}`
}

// submitOTP submits the current one-time code of a user that addOTPUser added.
func (b *browser) submitOTP(page response) response {
	b.scenario.Helper()
	return b.submit(page, "otp", defaultTOTP.codeAt(b.scenario.kc.now().Unix()/defaultTOTP.period))
}

// addOTPUser adds a user with a password and one-time codes.
func (s *scenario) addOTPUser(r *realm) *user {
	s.Helper()
	return s.addUser(r, object{"credentials": defaultTOTP.credentials()})
}

// recordACR records the outcome of an authorization request: the acr in both tokens, the error for
// the client, or the page.
func (s *scenario) recordACR(r *realm, step string, resp response, pairs ...string) response {
	s.Helper()
	if resp.status == 302 && resp.redirectQuery().Get("code") != "" {
		tokens := s.token(r, codeGrant(resp.redirectQuery().Get("code"), pairs...)).mustOK()
		s.note("%s: acr %v, in the ID token %v", step, tokens.claims("access_token")["acr"],
			tokens.claims("id_token")["acr"])
		return tokens
	}
	if resp.status == 302 {
		s.note("%s: %s", step, s.formatURL(resp.header.Get("Location")))
		return response{}
	}
	s.note("%s: %d", step, resp.status)
	s.out.WriteString(s.formatPage(resp))
	return response{}
}

// TestLevelOfAuthentication records step-up authentication in a browser.
func TestLevelOfAuthentication(t *testing.T) {
	run(t, "level-of-authentication", func(suite *testSuite) {
		r := suite.addRealm(loaRealmJSON([]loaLevel{
			{1, 36000, "auth-username-password-form"}, {2, 0, "auth-otp-form"},
		}, clientJSON("tv", object{"attributes": object{
			"oauth2.device.authorization.grant.enabled": "true"}}),
			clientJSON("named", object{"attributes": object{
				"acr.loa.map": `{"base":"0","weak":"1","strong":"2"}`}}),
			clientJSON("sparse", object{"attributes": object{"acr.loa.map": `{"only":"1"}`}}),
			clientJSON("default-gold", object{"attributes": object{"default.acr.values": "gold"}}),
			clientJSON("defaults", object{"attributes": object{
				"default.acr.values": "gold##silver"}}),
			clientJSON("at-least-gold", object{"attributes": object{"minimum.acr.value": "gold"}})))
		addLoALogins(suite, r)
		addLoAStepUp(suite, r)
		addLoARequests(suite, r)
		addLoAMaxAge(suite)
	})
}

func addLoALogins(suite *testSuite, r *realm) {
	suite.add("no level requested", func(s *scenario) {
		u := s.addOTPUser(r)
		b := s.newBrowser()
		page := b.open(r.authURL())
		s.record(page)
		s.recordACR(r, "login", b.submit(page, "username", u.username, "password", "secret"))
		s.recordACR(r, "single sign-on", b.open(r.authURL()))
		s.recordACR(r, "single sign-on, prompt=none", b.open(r.authURL("prompt", "none")))
	})
	suite.add("level 2 at the first login", func(s *scenario) {
		u := s.addOTPUser(r)
		b := s.newBrowser()
		page := b.login(u, "acr_values", "gold")
		s.record(page)
		page = b.submit(page, "otp", "000000")
		s.record(page)
		page = b.submitOTP(page)
		s.record(page)
		tokens := s.recordACR(r, "login", page)
		s.recordFields(s.introspect(r, "api", tokens.field("access_token")), "acr", "auth_time")
		s.record(s.userinfo(r, tokens))
		refreshed := s.refresh(r, tokens).mustOK()
		s.recordClaims(refreshed, "access_token", "acr")
		s.recordClaims(refreshed, "id_token", "acr")
		s.recordACR(r, "single sign-on", b.open(r.authURL()))
		s.recordClaims(s.refresh(r, refreshed).mustOK(), "access_token", "acr")
	})
	suite.add("level 2 with a wrong password", func(s *scenario) {
		u := s.addOTPUser(r)
		b := s.newBrowser()
		page := b.submit(b.open(r.authURL("acr_values", "gold")), "username", u.username,
			"password", "wrong")
		s.record(page)
		s.record(b.submit(page, "username", u.username, "password", "secret"))
	})
	suite.add("level 2 without a second factor", func(s *scenario) {
		u := s.addUser(r, nil)
		b := s.newBrowser()
		page := b.open(r.authURL("acr_values", "gold"))
		b.followRedirects = false
		s.record(b.submit(page, "username", u.username, "password", "secret"))
	})
	suite.add("step up without a second factor", func(s *scenario) {
		u := s.addUser(r, nil)
		b := s.newBrowser()
		b.login(u)
		s.recordACR(r, "prompt=none", b.open(r.authURL("acr_values", "gold", "prompt", "none")))
		b.followRedirects = false
		s.record(b.open(r.authURL("acr_values", "gold")))
	})
	suite.add("password grant", func(s *scenario) {
		u := s.addUser(r, nil)
		s.recordClaims(s.login(u, "acr_values", "gold"), "access_token", "acr")
	})
	suite.add("discovery", func(s *scenario) {
		s.recordFields(s.get(r.url("/.well-known/openid-configuration")), "acr_values_supported")
	})
	suite.add("requested action", func(s *scenario) {
		u := s.addOTPUser(r)
		b := s.newBrowser()
		b.login(u)
		s.recordACR(r, "UPDATE_PASSWORD", b.open(r.authURL("kc_action", "UPDATE_PASSWORD")))
	})
	suite.add("device", func(s *scenario) {
		u := s.addOTPUser(r)
		for _, pairs := range [][]string{nil, {"acr_values", "gold"}} {
			b := s.newBrowser()
			start := s.startDevice(r, "tv", append(pairs, "scope", "openid")...)
			page := b.submit(b.open(start.field("verification_uri_complete")), "username",
				u.username, "password", "secret")
			b.submit(page, "accept", "Yes")
			s.recordClaims(s.poll(r, "tv", start).mustOK(), "access_token", "acr", "azp")
		}
	})
}

func addLoAStepUp(suite *testSuite, r *realm) {
	suite.add("step up from level 1 to level 2", func(s *scenario) {
		u := s.addOTPUser(r)
		b := s.newBrowser()
		first := b.login(u)
		tokens := s.recordACR(r, "login", first)
		s.wait(seconds(2))
		s.recordACR(r, "prompt=none", b.open(r.authURL("acr_values", "gold", "prompt", "none")))
		page := b.open(r.authURL("acr_values", "gold"))
		s.record(page)
		page = b.submitOTP(page)
		s.record(page)
		steppedUp := s.recordACR(r, "step up", page)
		s.note("same session: %t",
			first.redirectQuery().Get("session_state") == page.redirectQuery().Get("session_state"))
		s.note("auth_time is that of the first login: %t", sameAuthTime(tokens, steppedUp))
		s.recordACR(r, "level 2 again", b.open(r.authURL("acr_values", "gold")))
		s.recordACR(r, "level 1", b.open(r.authURL("acr_values", "silver")))
		s.recordACR(r, "no level", b.open(r.authURL()))
		s.recordClaims(s.refresh(r, steppedUp).mustOK(), "access_token", "acr")
	})
	suite.add("step up for another client", func(s *scenario) {
		u := s.addOTPUser(r)
		b := s.newBrowser()
		tokens := s.recordACR(r, "login", b.login(u))
		page := b.open(r.authURL("acr_values", "strong", "client_id", "named"))
		other := s.recordACR(r, "step up", b.submitOTP(page), clientParams("named")...)
		s.recordACR(r, "no level", b.open(r.authURL("client_id", "sparse")),
			clientParams("sparse")...)
		s.recordClaims(s.refresh(r, tokens).mustOK(), "access_token", "acr")
		s.recordClaims(s.refresh(r, other, clientParams("named")...).mustOK(), "access_token",
			"acr")
	})
	suite.add("prompt=login", func(s *scenario) {
		u := s.addOTPUser(r)
		b := s.newBrowser()
		b.login(u)
		page := b.open(r.authURL("prompt", "login", "acr_values", "gold"))
		s.record(page)
		page = b.submit(page, "password", "secret")
		s.record(page)
		s.recordACR(r, "login", b.submitOTP(page))
		page = b.open(r.authURL("prompt", "login"))
		s.recordACR(r, "no level", b.submit(page, "password", "secret"))
	})
	suite.add("max_age", func(s *scenario) {
		u := s.addOTPUser(r)
		b := s.newBrowser()
		b.login(u)
		s.wait(seconds(3))
		s.recordACR(r, "max_age=100, level 2",
			b.open(r.authURL("max_age", "100", "acr_values", "gold")))
		page := b.open(r.authURL("max_age", "1", "acr_values", "gold"))
		s.record(page)
		page = b.submit(page, "password", "secret")
		s.recordACR(r, "then", page)
		s.recordACR(r, "login", b.submitOTP(page))
		s.recordACR(r, "max_age=100, no level", b.open(r.authURL("max_age", "100")))
	})
	suite.add("offline", func(s *scenario) {
		u := s.addOTPUser(r)
		b := s.newBrowser()
		tokens := s.recordACR(r, "login",
			b.submitOTP(b.login(u, "acr_values", "gold", "scope", "openid offline_access")))
		s.recordClaims(s.refresh(r, tokens).mustOK(), "access_token", "acr")
	})
	suite.add("cancelled step up", func(s *scenario) {
		u := s.addOTPUser(r)
		b := s.newBrowser()
		b.login(u)
		page := b.open(r.authURL("acr_values", "gold"))
		page = b.submit(page, "cancel", "true")
		s.record(page)
		s.recordACR(r, "no level", b.open(r.authURL()))
	})
}

func addLoARequests(suite *testSuite, r *realm) {
	// Each request is sent at a first login, and then again under single sign-on.
	addRequest := func(name string, pairs ...string) {
		suite.add("request: "+name, func(s *scenario) {
			u := s.addOTPUser(r)
			client := clientParams("api")
			for i, name := range pairs {
				if name == "client_id" {
					client = clientParams(pairs[i+1])
				}
			}
			b := s.newBrowser()
			page := b.open(r.authURL(pairs...))
			if page.status != 200 {
				s.record(page)
				return
			}
			page = b.submit(page, "username", u.username, "password", "secret")
			s.recordACR(r, "login", page, client...)
			if page.status == 200 {
				page = b.submitOTP(page)
				s.recordACR(r, "one-time code", page, client...)
			}
			s.recordACR(r, "single sign-on", b.open(r.authURL(pairs...)), client...)
		})
	}
	addRequest("level 1", "acr_values", "silver")
	addRequest("level 1 by number", "acr_values", "1")
	addRequest("level 2 by number", "acr_values", "2")
	addRequest("level 0", "acr_values", "0")
	addRequest("a negative level", "acr_values", "-1")
	addRequest("level 1 or 2", "acr_values", "silver gold")
	addRequest("level 2 or 1", "acr_values", "gold silver")
	addRequest("an unknown level", "acr_values", "platinum")
	addRequest("an unknown level or level 2", "acr_values", "platinum gold")
	addRequest("level 3, which the flow lacks", "acr_values", "3")
	addRequest("a level of the realm, but not of the client", "acr_values", "gold", "client_id",
		"named")
	addRequest("a level of the client", "acr_values", "strong", "client_id", "named")
	addRequest("the client's name of level 0", "acr_values", "base", "client_id", "named")
	addRequest("level 2, which the client's map lacks", "acr_values", "2", "client_id", "sparse")
	addRequest("level 2 as essential claim", "claims", essentialACR(`"gold"`))
	addRequest("level 1 or 2 as essential claim", "claims", essentialACR(`"silver","gold"`))
	addRequest("level 2 as essential claim with a single value", "claims",
		`{"id_token":{"acr":{"essential":true,"value":"gold"}}}`)
	addRequest("level 2 as voluntary claim", "claims", `{"id_token":{"acr":{"values":["gold"]}}}`)
	addRequest("level 2 as claim of userinfo", "claims",
		`{"userinfo":{"acr":{"essential":true,"values":["gold"]}}}`)
	addRequest("an unknown level as essential claim", "claims", essentialACR(`"platinum"`))
	addRequest("level 3 as essential claim", "claims", essentialACR(`"3"`))
	addRequest("claim and acr_values", "claims", essentialACR(`"silver"`), "acr_values", "gold")
	addRequest("voluntary claim and acr_values", "claims",
		`{"id_token":{"acr":{"values":["silver"]}}}`, "acr_values", "gold")
	addRequest("acr_values and voluntary claim", "claims",
		`{"id_token":{"acr":{"values":["gold"]}}}`, "acr_values", "silver")
	addRequest("claim with value and values", "claims",
		`{"id_token":{"acr":{"essential":true,"value":"silver","values":["gold"]}}}`)
	addRequest("claim without a value", "claims", `{"id_token":{"acr":{"essential":true}}}`)
	addRequest("claims that aren't JSON", "claims", `{`)
	addRequest("an empty acr_values", "acr_values", " ")
	addRequest("two spaces", "acr_values", "gold  gold")
	addRequest("default level", "client_id", "default-gold")
	addRequest("level 1 instead of the default", "client_id", "default-gold", "acr_values",
		"silver")
	addRequest("two default levels", "client_id", "defaults")
	addRequest("minimum level", "client_id", "at-least-gold")
	addRequest("level 1, below the minimum", "client_id", "at-least-gold", "acr_values", "silver")
	addRequest("level 1 by number, below the minimum", "client_id", "at-least-gold", "acr_values",
		"1")
	addRequest("an unknown level, with a minimum", "client_id", "at-least-gold", "acr_values",
		"platinum")
	addRequest("level 1 as essential claim, below the minimum", "client_id", "at-least-gold",
		"claims", essentialACR(`"silver"`))
	addRequest("level 1 or 2 as essential claim, with a minimum", "client_id", "at-least-gold",
		"claims", essentialACR(`"silver","gold"`))
	addRequest("an unknown level or level 2 as essential claim, with a minimum", "client_id",
		"at-least-gold", "claims", essentialACR(`"platinum","gold"`))
	addRequest("level 2 as essential claim, with a minimum", "client_id", "at-least-gold",
		"claims", essentialACR(`"gold"`))
	addRequest("an essential claim without a value, with a minimum", "client_id",
		"at-least-gold", "claims", `{"id_token":{"acr":{"essential":true}}}`)
}

// addLoAMaxAge adds scenarios in which levels expire. The realm has three levels; two of them ask
// for a password.
func addLoAMaxAge(suite *testSuite) {
	r := suite.addRealm(loaRealmJSON([]loaLevel{
		{1, 36000, "auth-username-password-form"}, {2, 4, "auth-password-form"},
		{3, 300, "auth-otp-form"},
	}))
	suite.add("three levels", func(s *scenario) {
		u := s.addOTPUser(r)
		b := s.newBrowser()
		page := b.login(u, "acr_values", "3")
		s.record(page)
		s.setDeadline(seconds(4))
		page = b.submit(page, "password", "secret")
		s.recordACR(r, "second password", page)
		s.recordACR(r, "one-time code", b.submitOTP(page))
		s.recordACR(r, "no level", b.open(r.authURL()))
		s.recordACR(r, "level 2", b.open(r.authURL("acr_values", "gold")))
		s.recordACR(r, "level 3", b.open(r.authURL("acr_values", "3")))
		s.recordACR(r, "level 4", b.open(r.authURL("acr_values", "4")))
		s.recordACR(r, "level 4, prompt=none",
			b.open(r.authURL("acr_values", "4", "prompt", "none")))
		s.recordACR(r, "level 4 as essential claim",
			b.open(r.authURL("claims", essentialACR(`"4"`))))
		s.recordACR(r, "level 1 as essential claim",
			b.open(r.authURL("claims", essentialACR(`"silver"`))))
	})
	suite.add("step up with the password", func(s *scenario) {
		u := s.addUser(r, nil)
		b := s.newBrowser()
		b.login(u)
		page := b.open(r.authURL("acr_values", "gold"))
		s.record(page)
		page = b.submit(page, "password", "wrong")
		s.record(page)
		done := s.setDeadline(seconds(4))
		page = b.submit(page, "password", "secret")
		s.record(page)
		s.recordACR(r, "step up", page)
		s.recordACR(r, "level 2 again", b.open(r.authURL("acr_values", "gold")))
		s.recordACR(r, "prompt=none", b.open(r.authURL("acr_values", "gold", "prompt", "none")))
		s.recordACR(r, "level 1", b.open(r.authURL("acr_values", "silver")))
		done()
		s.wait(seconds(6))
		s.recordACR(r, "no level, after level 2 expired", b.open(r.authURL()))
		s.recordACR(r, "level 2, expired, prompt=none",
			b.open(r.authURL("acr_values", "gold", "prompt", "none")))
	})
	suite.add("cancelled at the second password", func(s *scenario) {
		u := s.addUser(r, nil)
		b := s.newBrowser()
		b.login(u)
		s.record(b.submit(b.open(r.authURL("acr_values", "gold")), "cancel", "true"))
		s.recordACR(r, "no level", b.open(r.authURL()))
	})
	suite.add("requested action at the level of its credential", func(s *scenario) {
		u := s.addOTPUser(r)
		b := s.newBrowser()
		b.login(u)
		s.recordACR(r, "UPDATE_PASSWORD, prompt=none",
			b.open(r.authURL("kc_action", "UPDATE_PASSWORD", "prompt", "none")))
		s.recordACR(r, "UPDATE_PASSWORD", b.open(r.authURL("kc_action", "UPDATE_PASSWORD")))
		s.recordACR(r, "CONFIGURE_TOTP, prompt=none",
			b.open(r.authURL("kc_action", "CONFIGURE_TOTP", "prompt", "none")))
		page := b.open(r.authURL("kc_action", "CONFIGURE_TOTP"))
		s.recordACR(r, "CONFIGURE_TOTP", page)
		s.recordACR(r, "then", b.submit(page, "password", "secret"))
		other := s.addUser(r, nil)
		b = s.newBrowser()
		b.login(other)
		s.recordACR(r, "CONFIGURE_TOTP without a second factor",
			b.open(r.authURL("kc_action", "CONFIGURE_TOTP")))
	})
	suite.add("level 2 expires before level 3", func(s *scenario) {
		u := s.addOTPUser(r)
		b := s.newBrowser()
		page := b.submit(b.login(u, "acr_values", "3"), "password", "secret")
		s.recordACR(r, "login", b.submitOTP(page))
		s.wait(seconds(6))
		s.recordACR(r, "no level", b.open(r.authURL()))
		page = b.open(r.authURL("acr_values", "3"))
		s.recordACR(r, "level 3", page)
		s.recordACR(r, "then", b.submit(page, "password", "secret"))
	})
	expiring := suite.addRealm(loaRealmJSON([]loaLevel{
		{1, 3, "auth-username-password-form"}, {2, 300, "auth-password-form"},
	}))
	suite.add("level 1 expires", func(s *scenario) {
		u := s.addUser(expiring, nil)
		b := s.newBrowser()
		page := b.submit(b.login(u, "acr_values", "gold"), "password", "secret")
		s.recordACR(expiring, "login", page)
		s.wait(seconds(5))
		s.recordACR(expiring, "no level", b.open(expiring.authURL()))
		s.recordACR(expiring, "level 1, prompt=none",
			b.open(expiring.authURL("acr_values", "silver", "prompt", "none")))
		page = b.open(expiring.authURL("acr_values", "gold"))
		s.record(page)
		s.recordACR(expiring, "then", b.submit(page, "password", "secret"))
	})
}
