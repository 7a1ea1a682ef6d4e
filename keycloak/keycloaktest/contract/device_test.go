package contract

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// The device grant (RFC 8628): a device starts it, a user agrees in a browser, the device polls.
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
		disabled := g.realm(realmFile(object{"enabled": false}, device("tv", nil)))
		deviceStarts(g, r, disabled)
		devicePages(g, r)
		devicePolls(g, r)
		devicePKCE(g, r)
	})
}

// startDevice starts the grant. Pairs override.
func (x *exchange) startDevice(r *realm, client string, pairs ...string) response {
	x.Helper()
	a := x.post(r.oidc("/auth/device"), with(secretOf(client), pairs...))
	if code, ok := a.member("user_code").(string); ok {
		if !userCodeText.MatchString(code) {
			x.Errorf("user_code: got %q, want ABCD-EFGH", code)
		}
		x.placeholder("{user code}", code)
	}
	return a
}

// poll requests the tokens of a started grant. Pairs override.
func (x *exchange) poll(r *realm, client string, start response, pairs ...string) response {
	x.Helper()
	return x.token(r, deviceGrant(client, start.field("device_code"), pairs...))
}

// deviceGrant returns the form of a poll. Pairs override.
func deviceGrant(client, code string, pairs ...string) url.Values {
	return with(with(secretOf(client), "grant_type", "urn:ietf:params:oauth:grant-type:device_code",
		"device_code", code), pairs...)
}

// submitDevice signs the user in at the address with the user code, and presses a button of the
// consent page.
func (b *browser) submitDevice(u *user, start response, button string) response {
	b.x.Helper()
	p := b.submit(b.open(start.field("verification_uri_complete")), "username", u.username,
		"password", "secret")
	return b.submit(p, button, "pressed")
}

func deviceStarts(g *group, r, disabled *realm) {
	g.exchange("start", func(x *exchange) { x.show(x.startDevice(r, "tv", "scope", "openid")) })
	g.exchange("start with own lifespan", func(x *exchange) {
		x.showBody(x.startDevice(r, "brief"))
	})
	g.exchange("start with own interval", func(x *exchange) {
		x.showBody(x.startDevice(r, "quick"))
	})
	g.exchange("start by a public client", func(x *exchange) {
		x.show(x.startDevice(r, "public"))
	})
	g.exchange("start with basic authentication", func(x *exchange) {
		x.outcome("start",
			x.post(r.oidc("/auth/device"), form(), "Authorization", basic("tv", "tv-secret")))
	})
	g.exchange("a bad scope is ignored", func(x *exchange) {
		u := x.user(r, nil)
		start := x.startDevice(r, "tv", "scope", "openid bogus")
		x.outcome("start", start)
		x.showEnd(x.browser().submitDevice(u, start, "accept"))
		x.show(x.poll(r, "tv", start))
	})
	g.exchange("start refused: not enabled", func(x *exchange) { x.show(x.startDevice(r, "api")) })
	g.exchange("start refused: wrong secret", func(x *exchange) {
		x.show(x.startDevice(r, "tv", "client_secret", "wrong"))
	})
	g.exchange("start refused: unknown client", func(x *exchange) {
		x.show(x.startDevice(r, "nope"))
	})
	g.exchange("start refused: no client", func(x *exchange) {
		x.show(x.post(r.oidc("/auth/device"), form("scope", "openid")))
	})
	g.exchange("start refused: disabled realm", func(x *exchange) {
		x.show(x.startDevice(disabled, "tv"))
	})
	g.exchange("start refused: scope twice", func(x *exchange) {
		x.show(x.post(r.oidc("/auth/device"),
			form("client_id", "tv", "client_secret", "tv-secret", "scope", "openid", "scope",
				"email")))
	})
}

func devicePages(g *group, r *realm) {
	g.exchange("page for the code", func(x *exchange) {
		x.show(x.browser().open(r.url("/device")))
		x.showEnd(x.browser().open(r.oidc("/auth/device")))
	})
	g.exchange("wrong user code", func(x *exchange) {
		b := x.browser()
		p := b.submit(b.open(r.url("/device")), "device_user_code", "ZZZZ-ZZZZ")
		x.show(p)
		x.showEnd(b.submit(p, "device_user_code", ""))
		x.showEnd(b.open(r.url("/device?user_code=ZZZZ-ZZZZ")))
	})
	g.exchange("POST of the form that doesn't accept HTML", func(x *exchange) {
		x.show(x.post(r.url("/device"), form("device_user_code", "ZZZZ-ZZZZ"), "Accept",
			"application/json"))
	})
	g.exchange("whole flow", func(x *exchange) {
		u := x.user(r, nil)
		start := x.startDevice(r, "tv", "scope", "openid")
		b := x.browser()
		p := b.open(r.url("/device"))
		b.follow = false
		p = b.submit(p, "device_user_code", start.field("user_code"))
		x.show(p)
		p = b.open(p.header.Get("Location"))
		x.show(p)
		p = b.submit(p, "username", u.username, "password", "secret")
		x.show(p)
		p = b.open(p.header.Get("Location"))
		x.show(p)
		p = b.submit(p, "accept", "Yes")
		x.show(p)
		x.show(b.open(p.header.Get("Location")))
		x.show(x.poll(r, "tv", start))
		x.outcome("again", x.poll(r, "tv", start))
		x.showEnd(x.browser().open(start.field("verification_uri_complete")))
	})
	g.exchange("user code in lower case, and without the dash", func(x *exchange) {
		code := x.startDevice(r, "tv").field("user_code")
		for _, typed := range []string{strings.ToLower(code), strings.ReplaceAll(code, "-", ""),
			" " + code} {
			b := x.browser()
			x.note("%s", pageIDOf(b.submit(b.open(r.url("/device")), "device_user_code", typed)))
		}
	})
	g.exchange("address with the code, in an existing session", func(x *exchange) {
		u := x.user(r, nil)
		b := x.browser()
		login := b.login(u)
		start := x.startDevice(r, "tv", "scope", "openid")
		p := b.open(start.field("verification_uri_complete"))
		x.show(p)
		x.showEnd(b.submit(p, "accept", "Yes"))
		tokens := x.poll(r, "tv", start).ok()
		x.showClaims(tokens, "access_token", "acr", "azp", "jti", "typ")
		x.note("session of the browser: %t",
			tokens.field("session_state") == login.redirected().Get("session_state"))
	})
	g.exchange("denied", func(x *exchange) {
		u := x.user(r, nil)
		start := x.startDevice(r, "quick")
		b := x.browser()
		p := b.submit(b.open(start.field("verification_uri_complete")), "username", u.username,
			"password", "secret")
		b.follow = false
		p = b.submit(p, "cancel", "No")
		x.show(p)
		x.show(b.open(p.header.Get("Location")))
		x.show(x.poll(r, "quick", start))
		x.wait(2 * time.Second)
		x.outcome("again", x.poll(r, "quick", start))
		x.showEnd(x.browser().open(start.field("verification_uri_complete")))
	})
	g.exchange("consent is asked every time", func(x *exchange) {
		u := x.user(r, nil)
		b := x.browser()
		x.showEnd(b.submitDevice(u, x.startDevice(r, "tv"), "accept"))
		x.showEnd(b.open(x.startDevice(r, "tv").field("verification_uri_complete")))
	})
}

func devicePolls(g *group, r *realm) {
	g.exchange("pending, then too fast", func(x *exchange) {
		start := x.startDevice(r, "slow")
		x.show(x.poll(r, "slow", start), x.poll(r, "slow", start))
	})
	g.exchange("pending again after the interval", func(x *exchange) {
		start := x.startDevice(r, "patient")
		done := x.within(7 * time.Second)
		x.outcome("at once", x.poll(r, "patient", start))
		x.outcome("too fast", x.poll(r, "patient", start))
		done()
		x.wait(9 * time.Second)
		x.outcome("after the interval", x.poll(r, "patient", start))
	})
	g.exchange("too fast after consent", func(x *exchange) {
		u := x.user(r, nil)
		start := x.startDevice(r, "slow")
		x.outcome("before", x.poll(r, "slow", start))
		x.browser().submitDevice(u, start, "accept")
		x.outcome("right after", x.poll(r, "slow", start))
	})
	g.exchange("expired", func(x *exchange) {
		start := x.startDevice(r, "brief")
		x.wait(2500 * time.Millisecond)
		x.show(x.poll(r, "brief", start))
		b := x.browser()
		x.showEnd(b.submit(b.open(r.url("/device")), "device_user_code", start.field("user_code")))
	})
	g.exchange("unknown code", func(x *exchange) {
		x.show(x.token(r, without(deviceGrant("tv", ""), "device_code")))
		x.outcome("empty", x.token(r, deviceGrant("tv", "")))
		x.outcome("garbage", x.token(r, deviceGrant("tv", "garbage")))
	})
	g.exchange("another client's code", func(x *exchange) {
		u := x.user(r, nil)
		start := x.startDevice(r, "quick")
		x.browser().submitDevice(u, start, "accept")
		x.show(x.poll(r, "tv", start))
		x.wait(2 * time.Second)
		x.outcome("the client's own poll", x.poll(r, "quick", start))
	})
	g.exchange("poll refused: not enabled", func(x *exchange) {
		x.show(x.token(r, deviceGrant("api", "garbage")))
	})
	g.exchange("poll refused: wrong secret", func(x *exchange) {
		start := x.startDevice(r, "tv")
		x.show(x.poll(r, "tv", start, "client_secret", "wrong"))
		x.outcome("right secret, at once", x.poll(r, "tv", start))
	})
	g.exchange("user disabled before the poll", func(x *exchange) {
		u := x.user(r, nil)
		start := x.startDevice(r, "tv")
		x.browser().submitDevice(u, start, "accept")
		x.must(x.kc.patchUser(u.userRef, object{"enabled": false}))
		x.outcome("poll", x.poll(r, "tv", start))
	})
}

func devicePKCE(g *group, r *realm) {
	s256 := []string{"code_challenge", codeChallenge(codeVerifier), "code_challenge_method", "S256"}
	g.exchange("PKCE: a wrong verifier leaves the code usable", func(x *exchange) {
		u := x.user(r, nil)
		start := x.startDevice(r, "proving", s256...)
		x.browser().submitDevice(u, start, "accept")
		x.show(x.poll(r, "proving", start))
		x.wait(2 * time.Second)
		x.outcome("wrong verifier",
			x.poll(r, "proving", start, "code_verifier", strings.Repeat("w", 43)))
		x.wait(2 * time.Second)
		x.outcome("bad verifier", x.poll(r, "proving", start, "code_verifier", "short"))
		x.wait(2 * time.Second)
		x.outcome("right verifier", x.poll(r, "proving", start, "code_verifier", codeVerifier))
	})
	g.exchange("PKCE: verifier without a challenge", func(x *exchange) {
		u := x.user(r, nil)
		start := x.startDevice(r, "tv")
		x.browser().submitDevice(u, start, "accept")
		x.outcome("poll", x.poll(r, "tv", start, "code_verifier", codeVerifier))
	})
	g.exchange("PKCE: starts", func(x *exchange) {
		x.show(x.startDevice(r, "proving"))
		x.outcome("challenge without a method", x.startDevice(r, "proving", s256[:2]...))
		x.outcome("plain",
			x.startDevice(r, "proving", "code_challenge", codeVerifier, "code_challenge_method",
				"plain"))
		x.outcome("short challenge",
			x.startDevice(r, "proving", "code_challenge", "short", "code_challenge_method", "S256"))
		x.outcome("unknown method",
			x.startDevice(r, "tv", "code_challenge", codeVerifier, "code_challenge_method", "S512"))
		x.outcome("S256", x.startDevice(r, "proving", s256...))
	})
}

// pageIDOf returns the ID of a page.
func pageIDOf(a response) string {
	if id := pageID.FindStringSubmatch(a.body); id != nil {
		return id[1]
	}
	return "no page"
}
