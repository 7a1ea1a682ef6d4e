package contract

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCode records the authorization code flow in a browser: pages, response modes, single sign-on.
func TestCode(t *testing.T) {
	run(t, "code", func(g *group) {
		r := g.realm(realmFile(nil, clientFile("other", nil)))
		bruteForceRealm := g.realm(realmFile(object{
			"bruteForceProtected": true, "failureFactor": 3, "waitIncrementSeconds": 600,
		}))
		codePages(g, r)
		codeLocked(g, bruteForceRealm)
		codeResponseModes(g, r)
		codeSingleSignOn(g, r)
	})
}

func codePages(g *group, r *realm) {
	g.scenario("login page", func(s *scenario) { s.show(s.browser().open(r.authURL())) })
	g.scenario("login page by POST", func(s *scenario) {
		address, _ := url.Parse(r.authURL())
		s.show(s.post(r.oidc("/auth"), address.Query(), "Accept", browserAccept))
	})
	g.scenario("right password", func(s *scenario) { s.show(s.browser().login(s.user(r, nil))) })
	g.scenario("right password with the e-mail", func(s *scenario) {
		u := s.user(r, nil)
		b := s.browser()
		s.show(b.submit(b.open(r.authURL()), "username", u.username+"@example.com", "password",
			"secret"))
	})
	g.scenario("no state", func(s *scenario) {
		s.show(s.browser().login(s.user(r, nil), "state", ""))
	})
	g.scenario("state with special characters", func(s *scenario) {
		s.show(s.browser().login(s.user(r, nil), "state", "a b&c=d/é+%"))
	})
	g.scenario("state too long", func(s *scenario) {
		for _, n := range []int{4000, 4001} {
			redirect := s.browser().open(r.authURL("prompt", "none", "state",
				strings.Repeat("s", n))).redirectQuery()
			s.note("%d characters: %s, state of %d", n, redirect.Get("error"),
				len(redirect.Get("state")))
		}
	})
	g.scenario("wrong password, then right", func(s *scenario) {
		u := s.user(r, nil)
		b := s.browser()
		page := b.submit(b.open(r.authURL()), "username", u.username, "password", "wrong")
		s.show(page)
		s.note("the form has the username: %t", fieldValue(page, "username") == u.username)
		s.show(b.submit(page, "username", u.username, "password", "secret"))
	})
	g.scenario("unknown user", func(s *scenario) {
		b := s.browser()
		s.show(b.submit(b.open(r.authURL()), "username", "nobody", "password", "secret"))
	})
	g.scenario("no username and no password", func(s *scenario) {
		b := s.browser()
		s.show(b.submit(b.open(r.authURL()), "username", "", "password", ""))
	})
	g.scenario("user is disabled", func(s *scenario) {
		u := s.user(r, object{"enabled": false})
		b := s.browser()
		page := b.login(u)
		s.show(page)
		s.show(b.submit(page, "username", u.username, "password", "wrong"))
	})
	g.scenario("one-time code: wrong, then right", func(s *scenario) {
		u := s.user(r, object{"credentials": defaultTOTP.credentials()})
		b := s.browser()
		page := b.login(u)
		s.show(page)
		page = b.submit(page, "otp", "000000")
		s.show(page)
		s.show(b.submit(page, "otp", defaultTOTP.codeAt(s.kc.now().Unix()/defaultTOTP.period)))
	})
	g.scenario("required action: update password", func(s *scenario) {
		u := s.user(r, object{"requiredActions": []string{"UPDATE_PASSWORD"}})
		b := s.browser()
		page := b.open(r.authURL())
		b.follow = false
		page = b.submit(page, "username", u.username, "password", "secret")
		s.show(page)
		page = b.open(page.header.Get("Location"))
		s.show(page)
		s.show(b.submit(page, "password-new", "another", "password-confirm", "another"))
		s.outcome("login with the new password",
			s.token(r, passwordGrant(u, "password", "another")))
	})
	g.scenario("required action: update profile", func(s *scenario) {
		u := s.user(r, object{"requiredActions": []string{"UPDATE_PROFILE"}})
		b := s.browser()
		page := b.login(u)
		s.show(page)
		s.show(b.submit(page, "email", u.username+"@example.com", "firstName", "New", "lastName",
			"Name"))
	})
	g.scenario("login posted without cookies", func(s *scenario) {
		u := s.user(r, nil)
		page := s.browser().open(r.authURL())
		s.show(s.browser().submit(page, "username", u.username, "password", "secret"))
	})
	g.scenario("login hint", func(s *scenario) {
		page := s.browser().open(r.authURL("login_hint", "somebody"))
		s.show(page)
		s.note("username in the form: %s", fieldValue(page, "username"))
	})
}

func codeLocked(g *group, r *realm) {
	g.scenario("user is locked", func(s *scenario) {
		u := s.user(r, nil)
		b := s.browser()
		page := b.open(r.authURL())
		for n := 1; n <= 3; n++ {
			if n > 1 {
				// Two failures within quickLoginCheckMilliSeconds, one second by default, would
				// lock the user.
				s.wait(sec(2))
			}
			page = b.submit(page, "username", u.username, "password", "wrong")
			s.must(s.kc.awaitFailures(u.userRef, n))
		}
		s.must(s.kc.awaitLocked(u.userRef))
		s.show(b.submit(page, "username", u.username, "password", "secret"))
	})
}

func codeResponseModes(g *group, r *realm) {
	g.scenario("response_mode=query", func(s *scenario) {
		s.show(s.browser().login(s.user(r, nil), "response_mode", "query"))
	})
	g.scenario("response_mode=fragment", func(s *scenario) {
		s.show(s.browser().login(s.user(r, nil), "response_mode", "fragment"))
	})
	g.scenario("response_mode=form_post", func(s *scenario) {
		page := s.browser().login(s.user(r, nil), "response_mode", "form_post")
		s.show(page)
		s.showFormPost(page)
	})
	g.scenario("response_mode=form_post of an error", func(s *scenario) {
		page := s.browser().open(r.authURL("response_mode", "form_post", "scope", "openid bogus"))
		s.show(page)
		s.showFormPost(page)
	})
	g.scenario("response_mode=fragment of an error", func(s *scenario) {
		s.show(s.browser().open(r.authURL("response_mode", "fragment", "scope", "openid bogus")))
	})
}

func codeSingleSignOn(g *group, r *realm) {
	g.scenario("second login in the same browser", func(s *scenario) {
		b := s.browser()
		first := b.login(s.user(r, nil))
		tokens := s.showCodeClaims(r, first, "acr")
		s.wait(2 * time.Second)
		second := b.open(r.authURL())
		s.show(second)
		s.note("same session: %t",
			first.redirectQuery().Get("session_state") ==
				second.redirectQuery().Get("session_state"))
		s.note("auth_time is that of the login: %t",
			sameAuthTime(tokens, s.showCodeClaims(r, second, "acr")))
	})
	g.scenario("second login for another client", func(s *scenario) {
		b := s.browser()
		first := b.login(s.user(r, nil))
		second := b.open(r.authURL("client_id", "other"))
		s.show(second)
		s.note("same session: %t",
			first.redirectQuery().Get("session_state") ==
				second.redirectQuery().Get("session_state"))
		s.showCodeClaims(r, first, "acr")
		other := s.token(r,
			codeGrant(second.redirectQuery().Get("code"), credsOf("other")...))
		s.showClaims(other.ok(), "access_token", "acr", "azp")
	})
	g.scenario("prompt=login after a login", func(s *scenario) {
		u := s.user(r, nil)
		b := s.browser()
		first := b.login(u)
		tokens := s.showCodeClaims(r, first, "acr")
		s.wait(2 * time.Second)
		page := b.open(r.authURL("prompt", "login"))
		s.show(page)
		page = b.submit(page, "username", u.username, "password", "secret")
		s.show(page)
		s.note("same session: %t",
			first.redirectQuery().Get("session_state") == page.redirectQuery().Get("session_state"))
		s.note("auth_time is that of the first login: %t",
			sameAuthTime(tokens, s.showCodeClaims(r, page, "acr")))
	})
	g.scenario("max_age=0 after a login", func(s *scenario) {
		u := s.user(r, nil)
		b := s.browser()
		b.login(u)
		s.wait(2 * time.Second) // within one second, the login would be recent enough
		page := b.open(r.authURL("max_age", "0"))
		s.show(page)
		s.show(b.submit(page, "username", u.username, "password", "secret"))
	})
	g.scenario("max_age exceeded or not", func(s *scenario) {
		b := s.browser()
		b.login(s.user(r, nil))
		s.wait(2500 * time.Millisecond)
		s.show(b.open(r.authURL("max_age", "100")))
		s.show(b.open(r.authURL("max_age", "1")))
	})
	g.scenario("prompt=none without a login", func(s *scenario) {
		s.show(s.browser().open(r.authURL("prompt", "none")))
	})
	g.scenario("prompt=none after a login", func(s *scenario) {
		b := s.browser()
		b.login(s.user(r, nil))
		s.show(b.open(r.authURL("prompt", "none")))
	})
	g.scenario("prompt=none after the session ended", func(s *scenario) {
		b := s.browser()
		first := b.login(s.user(r, nil))
		s.must(
			s.kc.endSession(sessionRef{realm: r.name,
				sid: first.redirectQuery().Get("session_state")}))
		s.show(b.open(r.authURL("prompt", "none")))
	})
	g.scenario("unknown prompt is ignored", func(s *scenario) {
		b := s.browser()
		b.login(s.user(r, nil))
		s.show(b.open(r.authURL("prompt", "select_account")))
	})
	g.scenario("a code with offline_access ends single sign-on", func(s *scenario) {
		b := s.browser()
		login := b.login(s.user(r, nil), "scope", "openid offline_access")
		s.show(s.token(r, codeGrant(login.redirectQuery().Get("code"))))
		s.show(b.open(r.authURL("prompt", "none")))
	})
}

// showCodeClaims exchanges the code of a redirect, and records claims of the access token and the
// ID token.
func (s *scenario) showCodeClaims(r *realm, redirect response, names ...string) response {
	s.Helper()
	tokens := s.token(r, codeGrant(redirect.redirectQuery().Get("code"))).ok()
	s.showClaims(tokens, "access_token", names...)
	s.showClaims(tokens, "id_token", names...)
	return tokens
}

// sameAuthTime reports whether the tokens of two responses have the same auth_time.
func sameAuthTime(a, b response) bool {
	return asInt(a.claims("access_token")["auth_time"]) ==
		asInt(b.claims("access_token")["auth_time"]) &&
		asInt(b.claims("access_token")["auth_time"]) == asInt(b.claims("id_token")["auth_time"])
}

// fieldValue returns the value of the field with this name in a page's forms.
func fieldValue(page response, name string) string {
	for _, form := range page.forms() {
		for _, field := range form.fields {
			if field.name == name {
				return field.value
			}
		}
	}
	return ""
}

var (
	formPostActionPattern = regexp.MustCompile(`(?i)<form [^>]*method="post" [^>]*action="([^"]*)"`)
	formPostFieldPattern  = regexp.MustCompile(`(?i)<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// showFormPost records the action and the fields of a form_post page.
func (s *scenario) showFormPost(page response) {
	s.Helper()
	action := formPostActionPattern.FindStringSubmatch(page.body)
	if action == nil {
		s.Fatalf("no form to post: %s", page.body)
	}
	var fields []string
	for _, field := range formPostFieldPattern.FindAllStringSubmatch(page.body, -1) {
		fields = append(fields,
			fmt.Sprintf("  %s=%s", field[1], s.normalizeValue(field[1], field[2])))
	}
	slices.Sort(fields)
	fmt.Fprintf(&s.out, "sends itself to %s:\n%s\n", s.normalize(action[1]),
		strings.Join(fields, "\n"))
}

// TestCode_exchange records token requests with a code.
func TestCode_exchange(t *testing.T) {
	run(t, "code-exchange", func(g *group) {
		r := g.realm(realmFile(object{"revokeRefreshToken": true}, clientFile("other", nil)))
		shortCodeRealm := g.realm(realmFile(object{"accessCodeLifespan": 1}))
		codeSuccess(g, r)
		codeFailures(g, r, shortCodeRealm)
		codePKCE(g, r)
	})
}

func codeSuccess(g *group, r *realm) {
	g.scenario("code for tokens", func(s *scenario) {
		s.show(s.token(r, codeGrant(s.code(s.user(r, nil), "nonce", "a-nonce"))))
	})
	g.scenario("without the scope openid", func(s *scenario) {
		s.showBody(s.token(r, codeGrant(s.code(s.user(r, nil), "scope", "email"))))
	})
	g.scenario("without a scope", func(s *scenario) {
		tokens := s.token(r, codeGrant(s.code(s.user(r, nil), "scope", ""))).ok()
		s.note("scope %s, ID token: %t", s.normalizeValue("scope", tokens.field("scope")),
			tokens.value("id_token") != nil)
	})
	g.scenario("by a public client", func(s *scenario) {
		code := s.code(s.user(r, nil), "client_id", "spa")
		s.showClaims(s.token(r,
			form("grant_type", "authorization_code", "client_id", "spa", "code", code,
				"redirect_uri", callback)).ok(),
			"access_token", "azp", "aud")
	})
	g.scenario("with basic authentication", func(s *scenario) {
		code := s.code(s.user(r, nil))
		s.outcome("exchange",
			s.token(r,
				form("grant_type", "authorization_code", "code", code, "redirect_uri", callback),
				"Authorization", basicAuth("api", "api-secret")))
	})
	g.scenario("a scope at the exchange is ignored", func(s *scenario) {
		tokens := s.token(r, codeGrant(s.code(s.user(r, nil)), "scope", "bogus")).ok()
		s.note("scope %s", s.normalizeValue("scope", tokens.field("scope")))
	})
	g.scenario("refresh afterwards", func(s *scenario) {
		tokens := s.token(r, codeGrant(s.code(s.user(r, nil), "nonce", "a-nonce"))).ok()
		s.wait(2100 * time.Millisecond)
		refreshed := s.refresh(r, tokens).ok()
		s.showClaims(refreshed, "access_token", "acr", "jti")
		s.showClaims(refreshed, "id_token", "acr", "nonce")
		s.note("auth_time is that of the login: %t", sameAuthTime(tokens, refreshed))
	})
}

func codeFailures(g *group, r, shortCodeRealm *realm) {
	// A request that fails after client authentication invalidates the code: failure sends a wrong
	// request, and then the right one.
	failure := func(name string, wrongForm func(code string) url.Values) {
		g.scenario(name, func(s *scenario) {
			code := s.code(s.user(r, nil))
			s.show(s.token(r, wrongForm(code)))
			s.outcome("right request after it", s.token(r, codeGrant(code)))
		})
	}
	failure("redirect_uri differs", func(code string) url.Values {
		return codeGrant(code, "redirect_uri", callback+"/x")
	})
	failure("redirect_uri absent", func(code string) url.Values {
		return without(codeGrant(code), "redirect_uri")
	})
	failure("code of another client", func(code string) url.Values {
		return codeGrant(code, credsOf("other")...)
	})
	failure("verifier without a challenge", func(code string) url.Values {
		return codeGrant(code, "code_verifier", codeVerifier)
	})
	failure("wrong secret keeps the code valid", func(code string) url.Values {
		return codeGrant(code, "client_secret", "wrong")
	})
	failure("missing code keeps the code valid", func(code string) url.Values {
		return without(codeGrant(code), "code")
	})
	g.scenario("unknown code", func(s *scenario) {
		s.show(s.token(r, codeGrant("")))
		s.outcome("garbage", s.token(r, codeGrant("garbage")))
		s.outcome("well-formed",
			s.token(r,
				codeGrant(
					"18964dd4-e999-07c9-d1a9-8a001ac7e07e.uSWnJNfG1382D4rZLvdjOP_v.79eaa745-5cd2-49d5-b101-e0b8f0a282e1")))
	})
	g.scenario("code expired", func(s *scenario) {
		code := s.code(s.user(shortCodeRealm, nil))
		s.wait(2500 * time.Millisecond)
		s.show(s.token(shortCodeRealm, codeGrant(code)))
	})
	g.scenario("code used twice", func(s *scenario) {
		u := s.user(r, nil)
		b := s.browser()
		code := b.login(u).redirectQuery().Get("code")
		tokens := s.token(r, codeGrant(code)).ok()
		s.show(s.token(r, codeGrant(code)))
		s.outcome("refresh of the first use", s.refresh(r, tokens))
		s.outcome("userinfo of the first use", s.userinfo(r, tokens))
		sso := b.open(r.authURL())
		s.note("single sign-on afterwards: %d", sso.status)
		s.outcome("its code", s.token(r, codeGrant(sso.redirectQuery().Get("code"))))
	})
	g.scenario("session ended before the exchange", func(s *scenario) {
		redirect := s.browser().login(s.user(r, nil))
		s.must(
			s.kc.endSession(sessionRef{realm: r.name,
				sid: redirect.redirectQuery().Get("session_state")}))
		s.show(s.token(r, codeGrant(redirect.redirectQuery().Get("code"))))
	})
	g.scenario("user disabled before the exchange", func(s *scenario) {
		u := s.user(r, nil)
		code := s.code(u)
		s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
		s.show(s.token(r, codeGrant(code)))
	})
}

// userinfo calls the UserInfo endpoint with the access token of a response.
func (s *scenario) userinfo(r *realm, last response) response {
	s.Helper()
	return s.send(http.MethodGet, r.oidc("/userinfo"), "", "Authorization",
		"Bearer "+last.field("access_token"))
}
