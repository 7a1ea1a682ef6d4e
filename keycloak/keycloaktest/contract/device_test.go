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
	run(t, "device", func(g *group) {
		device := func(id string, attributes object) object {
			return clientFile(id,
				object{
					"attributes": merge(object{"oauth2.device.authorization.grant.enabled": "true"},
						attributes),
				})
		}
		r := g.realm(realmFile(nil,
			device("tv", nil),
			device("quick", object{"oauth2.device.polling.interval": "1"}),
			device("patient", object{"oauth2.device.polling.interval": "8"}),
			device("slow", object{"oauth2.device.polling.interval": "500"}),
			device("brief", object{"oauth2.device.code.lifespan": "1"}),
			device("proving",
				object{"pkce.code.challenge.method": "S256",
					"oauth2.device.polling.interval": "1"}),
			merge(device("public", nil), object{"publicClient": true, "secret": nil}),
		))
		disabledRealm := g.realm(realmFile(object{"enabled": false}, device("tv", nil)))
		deviceStarts(g, r, disabledRealm)
		devicePages(g, r)
		devicePolls(g, r)
		devicePKCE(g, r)
	})
}

// startDevice sends a device authorization request. Pairs override parameters.
func (s *scenario) startDevice(r *realm, client string, pairs ...string) response {
	s.Helper()
	resp := s.post(r.oidc("/auth/device"), with(secretOf(client), pairs...))
	if code, ok := resp.value("user_code").(string); ok {
		if !userCodePattern.MatchString(code) {
			s.Errorf("user_code: got %q, want ABCD-EFGH", code)
		}
		s.placeholder("{user code}", code)
	}
	return resp
}

// poll requests the tokens of a started grant. Pairs override parameters.
func (s *scenario) poll(r *realm, client string, start response, pairs ...string) response {
	s.Helper()
	return s.token(r, deviceGrant(client, start.field("device_code"), pairs...))
}

// deviceGrant returns the form of a poll. Pairs override parameters.
func deviceGrant(client, code string, pairs ...string) url.Values {
	return with(with(secretOf(client), "grant_type", "urn:ietf:params:oauth:grant-type:device_code",
		"device_code", code), pairs...)
}

// submitDevice signs the user in at verification_uri_complete, and presses a button of the consent
// page.
func (b *browser) submitDevice(u *user, start response, button string) response {
	b.scenario.Helper()
	page := b.submit(b.open(start.field("verification_uri_complete")), "username", u.username,
		"password", "secret")
	return b.submit(page, button, "pressed")
}

func deviceStarts(g *group, r, disabledRealm *realm) {
	g.scenario("start", func(s *scenario) { s.show(s.startDevice(r, "tv", "scope", "openid")) })
	g.scenario("start with own lifespan", func(s *scenario) {
		s.showBody(s.startDevice(r, "brief"))
	})
	g.scenario("start with own interval", func(s *scenario) {
		s.showBody(s.startDevice(r, "quick"))
	})
	g.scenario("start by a public client", func(s *scenario) {
		s.show(s.startDevice(r, "public"))
	})
	g.scenario("start with basic authentication", func(s *scenario) {
		s.outcome("start",
			s.post(r.oidc("/auth/device"), form(), "Authorization", basicAuth("tv", "tv-secret")))
	})
	g.scenario("a bad scope is ignored", func(s *scenario) {
		u := s.user(r, nil)
		start := s.startDevice(r, "tv", "scope", "openid bogus")
		s.outcome("start", start)
		s.showFinal(s.browser().submitDevice(u, start, "accept"))
		s.show(s.poll(r, "tv", start))
	})
	g.scenario("start refused: not enabled", func(s *scenario) { s.show(s.startDevice(r, "api")) })
	g.scenario("start refused: wrong secret", func(s *scenario) {
		s.show(s.startDevice(r, "tv", "client_secret", "wrong"))
	})
	g.scenario("start refused: unknown client", func(s *scenario) {
		s.show(s.startDevice(r, "nope"))
	})
	g.scenario("start refused: no client", func(s *scenario) {
		s.show(s.post(r.oidc("/auth/device"), form("scope", "openid")))
	})
	g.scenario("start refused: disabled realm", func(s *scenario) {
		s.show(s.startDevice(disabledRealm, "tv"))
	})
	g.scenario("start refused: scope twice", func(s *scenario) {
		s.show(s.post(r.oidc("/auth/device"),
			form("client_id", "tv", "client_secret", "tv-secret", "scope", "openid", "scope",
				"email")))
	})
}

func devicePages(g *group, r *realm) {
	g.scenario("page for the code", func(s *scenario) {
		s.show(s.browser().open(r.url("/device")))
		s.showFinal(s.browser().open(r.oidc("/auth/device")))
	})
	g.scenario("wrong user code", func(s *scenario) {
		b := s.browser()
		page := b.submit(b.open(r.url("/device")), "device_user_code", "ZZZZ-ZZZZ")
		s.show(page)
		s.showFinal(b.submit(page, "device_user_code", ""))
		s.showFinal(b.open(r.url("/device?user_code=ZZZZ-ZZZZ")))
	})
	g.scenario("POST of the form that doesn't accept HTML", func(s *scenario) {
		s.show(s.post(r.url("/device"), form("device_user_code", "ZZZZ-ZZZZ"), "Accept",
			"application/json"))
	})
	g.scenario("whole flow", func(s *scenario) {
		u := s.user(r, nil)
		start := s.startDevice(r, "tv", "scope", "openid")
		b := s.browser()
		page := b.open(r.url("/device"))
		b.follow = false
		page = b.submit(page, "device_user_code", start.field("user_code"))
		s.show(page)
		page = b.open(page.header.Get("Location"))
		s.show(page)
		page = b.submit(page, "username", u.username, "password", "secret")
		s.show(page)
		page = b.open(page.header.Get("Location"))
		s.show(page)
		page = b.submit(page, "accept", "Yes")
		s.show(page)
		s.show(b.open(page.header.Get("Location")))
		s.show(s.poll(r, "tv", start))
		s.outcome("again", s.poll(r, "tv", start))
		s.showFinal(s.browser().open(start.field("verification_uri_complete")))
	})
	g.scenario("user code in lower case, and without the dash", func(s *scenario) {
		code := s.startDevice(r, "tv").field("user_code")
		for _, typed := range []string{strings.ToLower(code), strings.ReplaceAll(code, "-", ""),
			" " + code} {
			b := s.browser()
			s.note("%s", pageIDOf(b.submit(b.open(r.url("/device")), "device_user_code", typed)))
		}
	})
	g.scenario("address with the code, in an existing session", func(s *scenario) {
		u := s.user(r, nil)
		b := s.browser()
		login := b.login(u)
		start := s.startDevice(r, "tv", "scope", "openid")
		page := b.open(start.field("verification_uri_complete"))
		s.show(page)
		s.showFinal(b.submit(page, "accept", "Yes"))
		tokens := s.poll(r, "tv", start).ok()
		s.showClaims(tokens, "access_token", "acr", "azp", "jti", "typ")
		s.note("session of the browser: %t",
			tokens.field("session_state") == login.redirectQuery().Get("session_state"))
	})
	g.scenario("denied", func(s *scenario) {
		u := s.user(r, nil)
		start := s.startDevice(r, "quick")
		b := s.browser()
		page := b.submit(b.open(start.field("verification_uri_complete")), "username", u.username,
			"password", "secret")
		b.follow = false
		page = b.submit(page, "cancel", "No")
		s.show(page)
		s.show(b.open(page.header.Get("Location")))
		s.show(s.poll(r, "quick", start))
		s.wait(2 * time.Second)
		s.outcome("again", s.poll(r, "quick", start))
		s.showFinal(s.browser().open(start.field("verification_uri_complete")))
	})
	g.scenario("consent is asked every time", func(s *scenario) {
		u := s.user(r, nil)
		b := s.browser()
		s.showFinal(b.submitDevice(u, s.startDevice(r, "tv"), "accept"))
		s.showFinal(b.open(s.startDevice(r, "tv").field("verification_uri_complete")))
	})
}

func devicePolls(g *group, r *realm) {
	g.scenario("pending, then too fast", func(s *scenario) {
		start := s.startDevice(r, "slow")
		s.show(s.poll(r, "slow", start), s.poll(r, "slow", start))
	})
	g.scenario("pending again after the interval", func(s *scenario) {
		start := s.startDevice(r, "patient")
		done := s.deadline(7 * time.Second)
		s.outcome("at once", s.poll(r, "patient", start))
		s.outcome("too fast", s.poll(r, "patient", start))
		done()
		s.wait(9 * time.Second)
		s.outcome("after the interval", s.poll(r, "patient", start))
	})
	g.scenario("too fast after consent", func(s *scenario) {
		u := s.user(r, nil)
		start := s.startDevice(r, "slow")
		s.outcome("before", s.poll(r, "slow", start))
		s.browser().submitDevice(u, start, "accept")
		s.outcome("right after", s.poll(r, "slow", start))
	})
	g.scenario("expired", func(s *scenario) {
		start := s.startDevice(r, "brief")
		s.wait(2500 * time.Millisecond)
		s.show(s.poll(r, "brief", start))
		b := s.browser()
		s.showFinal(b.submit(b.open(r.url("/device")),
			"device_user_code", start.field("user_code")))
	})
	g.scenario("unknown code", func(s *scenario) {
		s.show(s.token(r, without(deviceGrant("tv", ""), "device_code")))
		s.outcome("empty", s.token(r, deviceGrant("tv", "")))
		s.outcome("garbage", s.token(r, deviceGrant("tv", "garbage")))
	})
	g.scenario("another client's code", func(s *scenario) {
		u := s.user(r, nil)
		start := s.startDevice(r, "quick")
		s.browser().submitDevice(u, start, "accept")
		s.show(s.poll(r, "tv", start))
		s.wait(2 * time.Second)
		s.outcome("the client's own poll", s.poll(r, "quick", start))
	})
	g.scenario("poll refused: not enabled", func(s *scenario) {
		s.show(s.token(r, deviceGrant("api", "garbage")))
	})
	g.scenario("poll refused: wrong secret", func(s *scenario) {
		start := s.startDevice(r, "tv")
		s.show(s.poll(r, "tv", start, "client_secret", "wrong"))
		s.outcome("right secret, at once", s.poll(r, "tv", start))
	})
	g.scenario("user disabled before the poll", func(s *scenario) {
		u := s.user(r, nil)
		start := s.startDevice(r, "tv")
		s.browser().submitDevice(u, start, "accept")
		s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
		s.outcome("poll", s.poll(r, "tv", start))
	})
}

func devicePKCE(g *group, r *realm) {
	s256 := []string{"code_challenge", codeChallenge(codeVerifier), "code_challenge_method", "S256"}
	g.scenario("PKCE: a wrong verifier leaves the code usable", func(s *scenario) {
		u := s.user(r, nil)
		start := s.startDevice(r, "proving", s256...)
		s.browser().submitDevice(u, start, "accept")
		s.show(s.poll(r, "proving", start))
		s.wait(2 * time.Second)
		s.outcome("wrong verifier",
			s.poll(r, "proving", start, "code_verifier", strings.Repeat("w", 43)))
		s.wait(2 * time.Second)
		s.outcome("bad verifier", s.poll(r, "proving", start, "code_verifier", "short"))
		s.wait(2 * time.Second)
		s.outcome("right verifier", s.poll(r, "proving", start, "code_verifier", codeVerifier))
	})
	g.scenario("PKCE: verifier without a challenge", func(s *scenario) {
		u := s.user(r, nil)
		start := s.startDevice(r, "tv")
		s.browser().submitDevice(u, start, "accept")
		s.outcome("poll", s.poll(r, "tv", start, "code_verifier", codeVerifier))
	})
	g.scenario("PKCE: starts", func(s *scenario) {
		s.show(s.startDevice(r, "proving"))
		s.outcome("challenge without a method", s.startDevice(r, "proving", s256[:2]...))
		s.outcome("plain",
			s.startDevice(r, "proving", "code_challenge", codeVerifier, "code_challenge_method",
				"plain"))
		s.outcome("short challenge",
			s.startDevice(r, "proving", "code_challenge", "short", "code_challenge_method", "S256"))
		s.outcome("unknown method",
			s.startDevice(r, "tv", "code_challenge", codeVerifier, "code_challenge_method", "S512"))
		s.outcome("S256", s.startDevice(r, "proving", s256...))
	})
}

// pageIDOf returns the ID of a page, or "no page".
func pageIDOf(resp response) string {
	if id := pageIDPattern.FindStringSubmatch(resp.body); id != nil {
		return id[1]
	}
	return "no page"
}
