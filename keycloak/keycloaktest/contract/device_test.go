package contract

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestDevice records the device grant (RFC 8628): a device starts it, a user approves it in a
// browser, and the device polls for the tokens.
func TestDevice(t *testing.T) {
	run(t, "device", func(suite *testSuite) {
		deviceClient := func(id string, attributes object) object {
			return clientJSON(id,
				object{
					"attributes": merge(object{"oauth2.device.authorization.grant.enabled": "true"},
						attributes),
				})
		}
		r := suite.addRealm(realmJSON(nil,
			deviceClient("tv", nil),
			deviceClient("quick", object{"oauth2.device.polling.interval": "1"}),
			deviceClient("patient", object{"oauth2.device.polling.interval": "8"}),
			deviceClient("slow", object{"oauth2.device.polling.interval": "500"}),
			deviceClient("brief", object{"oauth2.device.code.lifespan": "1"}),
			deviceClient("proving",
				object{"pkce.code.challenge.method": "S256",
					"oauth2.device.polling.interval": "1"}),
			merge(deviceClient("public", nil), object{"publicClient": true, "secret": nil}),
		))
		disabledRealm := suite.addRealm(realmJSON(object{"enabled": false},
			deviceClient("tv", nil)))
		addDeviceStarts(suite, r, disabledRealm)
		addDevicePages(suite, r)
		addDevicePolls(suite, r)
		addDevicePKCE(suite, r)
	})
}

// startDevice sends a device authorization request. Pairs override parameters.
func (s *scenario) startDevice(r *realm, client string, pairs ...string) response {
	s.Helper()
	resp := s.post(r.endpoint("/auth/device"), withParams(clientForm(client), pairs...))
	if code, ok := resp.value("user_code").(string); ok {
		if !userCodePattern.MatchString(code) {
			s.Errorf("user_code: got %q, want the form ABCD-EFGH", code)
		}
		s.addPlaceholder("{user code}", code)
	}
	return resp
}

// poll requests the tokens for the device code in start. Pairs override parameters.
func (s *scenario) poll(r *realm, client string, start response, pairs ...string) response {
	s.Helper()
	return s.token(r, deviceGrant(client, start.field("device_code"), pairs...))
}

// deviceGrant returns the form of a poll with a device code. Pairs override parameters.
func deviceGrant(client, code string, pairs ...string) url.Values {
	return withParams(withParams(clientForm(client), "grant_type",
		"urn:ietf:params:oauth:grant-type:device_code",
		"device_code", code), pairs...)
}

// approveDevice signs the user in at verification_uri_complete, and accepts the consent page.
func (b *browser) approveDevice(u *user, start response) response {
	b.scenario.Helper()
	page := b.submit(b.open(start.field("verification_uri_complete")), "username", u.username,
		"password", "secret")
	return b.submit(page, "accept", "pressed")
}

func addDeviceStarts(suite *testSuite, r, disabledRealm *realm) {
	suite.add("start", func(s *scenario) { s.record(s.startDevice(r, "tv", "scope", "openid")) })
	suite.add("start with own lifespan", func(s *scenario) {
		s.recordBody(s.startDevice(r, "brief"))
	})
	suite.add("start with own interval", func(s *scenario) {
		s.recordBody(s.startDevice(r, "quick"))
	})
	suite.add("start by a public client", func(s *scenario) {
		s.record(s.startDevice(r, "public"))
	})
	suite.add("start with basic authentication", func(s *scenario) {
		s.recordOutcome("start",
			s.post(r.endpoint("/auth/device"), form(), "Authorization",
				basicAuth("tv", "tv-secret")))
	})
	suite.add("a bad scope is ignored", func(s *scenario) {
		u := s.addUser(r, nil)
		start := s.startDevice(r, "tv", "scope", "openid bogus")
		s.recordOutcome("start", start)
		s.recordPageOrRedirect(s.newBrowser().approveDevice(u, start))
		s.record(s.poll(r, "tv", start))
	})
	suite.add("start refused: not enabled", func(s *scenario) { s.record(s.startDevice(r, "api")) })
	suite.add("start refused: wrong secret", func(s *scenario) {
		s.record(s.startDevice(r, "tv", "client_secret", "wrong"))
	})
	suite.add("start refused: unknown client", func(s *scenario) {
		s.record(s.startDevice(r, "nope"))
	})
	suite.add("start refused: no client", func(s *scenario) {
		s.record(s.post(r.endpoint("/auth/device"), form("scope", "openid")))
	})
	suite.add("start refused: disabled realm", func(s *scenario) {
		s.record(s.startDevice(disabledRealm, "tv"))
	})
	suite.add("start refused: scope twice", func(s *scenario) {
		s.record(s.post(r.endpoint("/auth/device"),
			form("client_id", "tv", "client_secret", "tv-secret", "scope", "openid", "scope",
				"email")))
	})
}

func addDevicePages(suite *testSuite, r *realm) {
	suite.add("page for the code", func(s *scenario) {
		s.record(s.newBrowser().open(r.url("/device")))
		s.recordPageOrRedirect(s.newBrowser().open(r.endpoint("/auth/device")))
	})
	suite.add("wrong user code", func(s *scenario) {
		b := s.newBrowser()
		page := b.submit(b.open(r.url("/device")), "device_user_code", "ZZZZ-ZZZZ")
		s.record(page)
		s.recordPageOrRedirect(b.submit(page, "device_user_code", ""))
		s.recordPageOrRedirect(b.open(r.url("/device?user_code=ZZZZ-ZZZZ")))
	})
	suite.add("POST of the form that doesn't accept HTML", func(s *scenario) {
		s.record(s.post(r.url("/device"), form("device_user_code", "ZZZZ-ZZZZ"), "Accept",
			"application/json"))
	})
	suite.add("whole flow", func(s *scenario) {
		u := s.addUser(r, nil)
		start := s.startDevice(r, "tv", "scope", "openid")
		b := s.newBrowser()
		page := b.open(r.url("/device"))
		b.followRedirects = false
		page = b.submit(page, "device_user_code", start.field("user_code"))
		s.record(page)
		page = b.open(page.header.Get("Location"))
		s.record(page)
		page = b.submit(page, "username", u.username, "password", "secret")
		s.record(page)
		page = b.open(page.header.Get("Location"))
		s.record(page)
		page = b.submit(page, "accept", "Yes")
		s.record(page)
		s.record(b.open(page.header.Get("Location")))
		s.record(s.poll(r, "tv", start))
		s.recordOutcome("again", s.poll(r, "tv", start))
		s.recordPageOrRedirect(s.newBrowser().open(start.field("verification_uri_complete")))
	})
	suite.add("user code in lower case, and without the dash", func(s *scenario) {
		code := s.startDevice(r, "tv").field("user_code")
		for _, userCode := range []string{strings.ToLower(code), strings.ReplaceAll(code, "-", ""),
			" " + code} {
			b := s.newBrowser()
			s.note("%s", pageIDOf(b.submit(b.open(r.url("/device")), "device_user_code", userCode)))
		}
	})
	suite.add("address with the code, in an existing session", func(s *scenario) {
		u := s.addUser(r, nil)
		b := s.newBrowser()
		login := b.login(u)
		start := s.startDevice(r, "tv", "scope", "openid")
		page := b.open(start.field("verification_uri_complete"))
		s.record(page)
		s.recordPageOrRedirect(b.submit(page, "accept", "Yes"))
		tokens := s.poll(r, "tv", start).mustOK()
		s.recordClaims(tokens, "access_token", "acr", "azp", "jti", "typ")
		s.note("session of the browser: %t",
			tokens.field("session_state") == login.redirectQuery().Get("session_state"))
	})
	suite.add("denied", func(s *scenario) {
		u := s.addUser(r, nil)
		start := s.startDevice(r, "quick")
		b := s.newBrowser()
		page := b.submit(b.open(start.field("verification_uri_complete")), "username", u.username,
			"password", "secret")
		b.followRedirects = false
		page = b.submit(page, "cancel", "No")
		s.record(page)
		s.record(b.open(page.header.Get("Location")))
		s.record(s.poll(r, "quick", start))
		s.wait(2 * time.Second)
		s.recordOutcome("again", s.poll(r, "quick", start))
		s.recordPageOrRedirect(s.newBrowser().open(start.field("verification_uri_complete")))
	})
	suite.add("consent is asked every time", func(s *scenario) {
		u := s.addUser(r, nil)
		b := s.newBrowser()
		s.recordPageOrRedirect(b.approveDevice(u, s.startDevice(r, "tv")))
		s.recordPageOrRedirect(b.open(s.startDevice(r, "tv").field("verification_uri_complete")))
	})
}

func addDevicePolls(suite *testSuite, r *realm) {
	suite.add("pending, then too fast", func(s *scenario) {
		start := s.startDevice(r, "slow")
		s.record(s.poll(r, "slow", start), s.poll(r, "slow", start))
	})
	suite.add("pending again after the interval", func(s *scenario) {
		start := s.startDevice(r, "patient")
		done := s.setDeadline(7 * time.Second)
		s.recordOutcome("at once", s.poll(r, "patient", start))
		s.recordOutcome("too fast", s.poll(r, "patient", start))
		done()
		s.wait(9 * time.Second)
		s.recordOutcome("after the interval", s.poll(r, "patient", start))
	})
	suite.add("too fast after consent", func(s *scenario) {
		u := s.addUser(r, nil)
		start := s.startDevice(r, "slow")
		s.recordOutcome("before", s.poll(r, "slow", start))
		s.newBrowser().approveDevice(u, start)
		s.recordOutcome("right after", s.poll(r, "slow", start))
	})
	suite.add("expired", func(s *scenario) {
		start := s.startDevice(r, "brief")
		s.wait(2500 * time.Millisecond)
		s.record(s.poll(r, "brief", start))
		b := s.newBrowser()
		s.recordPageOrRedirect(b.submit(b.open(r.url("/device")),
			"device_user_code", start.field("user_code")))
	})
	suite.add("unknown code", func(s *scenario) {
		s.record(s.token(r, withoutParams(deviceGrant("tv", ""), "device_code")))
		s.recordOutcome("empty", s.token(r, deviceGrant("tv", "")))
		s.recordOutcome("garbage", s.token(r, deviceGrant("tv", "garbage")))
	})
	suite.add("another client's code", func(s *scenario) {
		u := s.addUser(r, nil)
		start := s.startDevice(r, "quick")
		s.newBrowser().approveDevice(u, start)
		s.record(s.poll(r, "tv", start))
		s.wait(2 * time.Second)
		s.recordOutcome("the client's own poll", s.poll(r, "quick", start))
	})
	suite.add("poll refused: not enabled", func(s *scenario) {
		s.record(s.token(r, deviceGrant("api", "garbage")))
	})
	suite.add("poll refused: wrong secret", func(s *scenario) {
		start := s.startDevice(r, "tv")
		s.record(s.poll(r, "tv", start, "client_secret", "wrong"))
		s.recordOutcome("right secret, at once", s.poll(r, "tv", start))
	})
	suite.add("user disabled before the poll", func(s *scenario) {
		u := s.addUser(r, nil)
		start := s.startDevice(r, "tv")
		s.newBrowser().approveDevice(u, start)
		s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
		s.recordOutcome("poll", s.poll(r, "tv", start))
	})
}

func addDevicePKCE(suite *testSuite, r *realm) {
	s256Params := []string{"code_challenge", codeChallenge(codeVerifier),
		"code_challenge_method", "S256"}
	suite.add("PKCE: a wrong verifier leaves the code usable", func(s *scenario) {
		u := s.addUser(r, nil)
		start := s.startDevice(r, "proving", s256Params...)
		s.newBrowser().approveDevice(u, start)
		s.record(s.poll(r, "proving", start))
		s.wait(2 * time.Second)
		s.recordOutcome("wrong verifier",
			s.poll(r, "proving", start, "code_verifier", strings.Repeat("w", 43)))
		s.wait(2 * time.Second)
		s.recordOutcome("bad verifier", s.poll(r, "proving", start, "code_verifier", "short"))
		s.wait(2 * time.Second)
		s.recordOutcome("right verifier",
			s.poll(r, "proving", start, "code_verifier", codeVerifier))
	})
	suite.add("PKCE: verifier without a challenge", func(s *scenario) {
		u := s.addUser(r, nil)
		start := s.startDevice(r, "tv")
		s.newBrowser().approveDevice(u, start)
		s.recordOutcome("poll", s.poll(r, "tv", start, "code_verifier", codeVerifier))
	})
	suite.add("PKCE: starts", func(s *scenario) {
		s.record(s.startDevice(r, "proving"))
		s.recordOutcome("challenge without a method",
			s.startDevice(r, "proving", s256Params[:2]...))
		s.recordOutcome("plain",
			s.startDevice(r, "proving", "code_challenge", codeVerifier, "code_challenge_method",
				"plain"))
		s.recordOutcome("short challenge",
			s.startDevice(r, "proving", "code_challenge", "short", "code_challenge_method", "S256"))
		s.recordOutcome("unknown method",
			s.startDevice(r, "tv", "code_challenge", codeVerifier, "code_challenge_method", "S512"))
		s.recordOutcome("S256", s.startDevice(r, "proving", s256Params...))
	})
}

// pageIDOf returns the ID of a page, or "no page".
func pageIDOf(resp response) string {
	if id := pageIDPattern.FindStringSubmatch(resp.body); id != nil {
		return id[1]
	}
	return "no page"
}
