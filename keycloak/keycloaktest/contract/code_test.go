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

// TestCode records the authorization code flow in a browser: pages, response modes, and single
// sign-on.
func TestCode(t *testing.T) {
	run(t, "code", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil, clientJSON("other", nil)))
		bruteForceRealm := suite.addRealm(realmJSON(object{
			"bruteForceProtected": true, "failureFactor": 3, "waitIncrementSeconds": 600,
		}))
		addCodePages(suite, r)
		addCodeLockedUser(suite, bruteForceRealm)
		addCodeResponseModes(suite, r)
		addCodeSingleSignOn(suite, r)
	})
}

func addCodePages(suite *testSuite, r *realm) {
	suite.add("login page", func(s *scenario) { s.record(s.newBrowser().open(r.authURL())) })
	suite.add("login page by POST", func(s *scenario) {
		address, _ := url.Parse(r.authURL())
		s.record(s.post(r.endpoint("/auth"), address.Query(), "Accept", browserAccept))
	})
	suite.add("right password", func(s *scenario) {
		s.record(s.newBrowser().login(s.addUser(r, nil)))
	})
	suite.add("right password with the e-mail", func(s *scenario) {
		u := s.addUser(r, nil)
		b := s.newBrowser()
		s.record(b.submit(b.open(r.authURL()), "username", u.username+"@example.com", "password",
			"secret"))
	})
	suite.add("no state", func(s *scenario) {
		s.record(s.newBrowser().login(s.addUser(r, nil), "state", ""))
	})
	suite.add("state with special characters", func(s *scenario) {
		s.record(s.newBrowser().login(s.addUser(r, nil), "state", "a b&c=d/é+%"))
	})
	suite.add("state too long", func(s *scenario) {
		for _, n := range []int{4000, 4001} {
			redirect := s.newBrowser().open(r.authURL("prompt", "none", "state",
				strings.Repeat("s", n))).redirectQuery()
			s.note("%d characters: %s, state of %d", n, redirect.Get("error"),
				len(redirect.Get("state")))
		}
	})
	suite.add("wrong password, then right", func(s *scenario) {
		u := s.addUser(r, nil)
		b := s.newBrowser()
		page := b.submit(b.open(r.authURL()), "username", u.username, "password", "wrong")
		s.record(page)
		s.note("the form has the username: %t", fieldValue(page, "username") == u.username)
		s.record(b.submit(page, "username", u.username, "password", "secret"))
	})
	suite.add("unknown user", func(s *scenario) {
		b := s.newBrowser()
		s.record(b.submit(b.open(r.authURL()), "username", "nobody", "password", "secret"))
	})
	suite.add("no username and no password", func(s *scenario) {
		b := s.newBrowser()
		s.record(b.submit(b.open(r.authURL()), "username", "", "password", ""))
	})
	suite.add("user is disabled", func(s *scenario) {
		u := s.addUser(r, object{"enabled": false})
		b := s.newBrowser()
		page := b.login(u)
		s.record(page)
		s.record(b.submit(page, "username", u.username, "password", "wrong"))
	})
	suite.add("one-time code: wrong, then right", func(s *scenario) {
		u := s.addUser(r, object{"credentials": defaultTOTP.credentials()})
		b := s.newBrowser()
		page := b.login(u)
		s.record(page)
		page = b.submit(page, "otp", "000000")
		s.record(page)
		s.record(b.submit(page, "otp", defaultTOTP.codeAt(s.kc.now().Unix()/defaultTOTP.period)))
	})
	suite.add("required action: update password", func(s *scenario) {
		u := s.addUser(r, object{"requiredActions": []string{"UPDATE_PASSWORD"}})
		b := s.newBrowser()
		page := b.open(r.authURL())
		b.followRedirects = false
		page = b.submit(page, "username", u.username, "password", "secret")
		s.record(page)
		page = b.open(page.header.Get("Location"))
		s.record(page)
		s.record(b.submit(page, "password-new", "another", "password-confirm", "another"))
		s.recordOutcome("login with the new password",
			s.token(r, passwordGrant(u, "password", "another")))
	})
	suite.add("required action: update profile", func(s *scenario) {
		u := s.addUser(r, object{"requiredActions": []string{"UPDATE_PROFILE"}})
		b := s.newBrowser()
		page := b.login(u)
		s.record(page)
		s.record(b.submit(page, "email", u.username+"@example.com", "firstName", "New", "lastName",
			"Name"))
	})
	suite.add("login posted without cookies", func(s *scenario) {
		u := s.addUser(r, nil)
		page := s.newBrowser().open(r.authURL())
		s.record(s.newBrowser().submit(page, "username", u.username, "password", "secret"))
	})
	suite.add("login hint", func(s *scenario) {
		page := s.newBrowser().open(r.authURL("login_hint", "somebody"))
		s.record(page)
		s.note("username in the form: %s", fieldValue(page, "username"))
	})
}

func addCodeLockedUser(suite *testSuite, r *realm) {
	suite.add("user is locked", func(s *scenario) {
		u := s.addUser(r, nil)
		b := s.newBrowser()
		page := b.open(r.authURL())
		for n := 1; n <= 3; n++ {
			if n > 1 {
				// Two failures within quickLoginCheckMilliSeconds, one second by default, would
				// lock the user immediately.
				s.wait(seconds(2))
			}
			page = b.submit(page, "username", u.username, "password", "wrong")
			s.must(s.kc.awaitFailures(u.userRef, n))
		}
		s.must(s.kc.awaitLocked(u.userRef))
		s.record(b.submit(page, "username", u.username, "password", "secret"))
	})
}

func addCodeResponseModes(suite *testSuite, r *realm) {
	suite.add("response_mode=query", func(s *scenario) {
		s.record(s.newBrowser().login(s.addUser(r, nil), "response_mode", "query"))
	})
	suite.add("response_mode=fragment", func(s *scenario) {
		s.record(s.newBrowser().login(s.addUser(r, nil), "response_mode", "fragment"))
	})
	suite.add("response_mode=form_post", func(s *scenario) {
		page := s.newBrowser().login(s.addUser(r, nil), "response_mode", "form_post")
		s.record(page)
		s.recordFormPost(page)
	})
	suite.add("response_mode=form_post of an error", func(s *scenario) {
		page := s.newBrowser().open(r.authURL("response_mode", "form_post", "scope",
			"openid bogus"))
		s.record(page)
		s.recordFormPost(page)
	})
	suite.add("response_mode=fragment of an error", func(s *scenario) {
		s.record(s.newBrowser().open(r.authURL("response_mode", "fragment", "scope",
			"openid bogus")))
	})
}

func addCodeSingleSignOn(suite *testSuite, r *realm) {
	suite.add("second login in the same browser", func(s *scenario) {
		b := s.newBrowser()
		first := b.login(s.addUser(r, nil))
		tokens := s.recordCodeClaims(r, first, "acr")
		s.wait(2 * time.Second)
		second := b.open(r.authURL())
		s.record(second)
		s.note("same session: %t",
			first.redirectQuery().Get("session_state") ==
				second.redirectQuery().Get("session_state"))
		s.note("auth_time is that of the login: %t",
			sameAuthTime(tokens, s.recordCodeClaims(r, second, "acr")))
	})
	suite.add("second login for another client", func(s *scenario) {
		b := s.newBrowser()
		first := b.login(s.addUser(r, nil))
		second := b.open(r.authURL("client_id", "other"))
		s.record(second)
		s.note("same session: %t",
			first.redirectQuery().Get("session_state") ==
				second.redirectQuery().Get("session_state"))
		s.recordCodeClaims(r, first, "acr")
		other := s.token(r,
			codeGrant(second.redirectQuery().Get("code"), clientParams("other")...))
		s.recordClaims(other.mustOK(), "access_token", "acr", "azp")
	})
	suite.add("prompt=login after a login", func(s *scenario) {
		u := s.addUser(r, nil)
		b := s.newBrowser()
		first := b.login(u)
		tokens := s.recordCodeClaims(r, first, "acr")
		s.wait(2 * time.Second)
		page := b.open(r.authURL("prompt", "login"))
		s.record(page)
		page = b.submit(page, "username", u.username, "password", "secret")
		s.record(page)
		s.note("same session: %t",
			first.redirectQuery().Get("session_state") == page.redirectQuery().Get("session_state"))
		s.note("auth_time is that of the first login: %t",
			sameAuthTime(tokens, s.recordCodeClaims(r, page, "acr")))
	})
	suite.add("max_age=0 after a login", func(s *scenario) {
		u := s.addUser(r, nil)
		b := s.newBrowser()
		b.login(u)
		s.wait(2 * time.Second) // within one second, the login would be recent enough
		page := b.open(r.authURL("max_age", "0"))
		s.record(page)
		s.record(b.submit(page, "username", u.username, "password", "secret"))
	})
	suite.add("max_age exceeded or not", func(s *scenario) {
		b := s.newBrowser()
		b.login(s.addUser(r, nil))
		s.wait(2500 * time.Millisecond)
		s.record(b.open(r.authURL("max_age", "100")))
		s.record(b.open(r.authURL("max_age", "1")))
	})
	suite.add("prompt=none without a login", func(s *scenario) {
		s.record(s.newBrowser().open(r.authURL("prompt", "none")))
	})
	suite.add("prompt=none after a login", func(s *scenario) {
		b := s.newBrowser()
		b.login(s.addUser(r, nil))
		s.record(b.open(r.authURL("prompt", "none")))
	})
	suite.add("prompt=none after the session ended", func(s *scenario) {
		b := s.newBrowser()
		first := b.login(s.addUser(r, nil))
		s.must(
			s.kc.endSession(sessionRef{realm: r.name,
				sid: first.redirectQuery().Get("session_state")}))
		s.record(b.open(r.authURL("prompt", "none")))
	})
	suite.add("unknown prompt is ignored", func(s *scenario) {
		b := s.newBrowser()
		b.login(s.addUser(r, nil))
		s.record(b.open(r.authURL("prompt", "select_account")))
	})
	suite.add("a code with offline_access ends single sign-on", func(s *scenario) {
		b := s.newBrowser()
		login := b.login(s.addUser(r, nil), "scope", "openid offline_access")
		s.record(s.token(r, codeGrant(login.redirectQuery().Get("code"))))
		s.record(b.open(r.authURL("prompt", "none")))
	})
}

// recordCodeClaims exchanges the code of a redirect, and records claims of the access token and the
// ID token.
func (s *scenario) recordCodeClaims(r *realm, redirect response, names ...string) response {
	s.Helper()
	tokens := s.token(r, codeGrant(redirect.redirectQuery().Get("code"))).mustOK()
	s.recordClaims(tokens, "access_token", names...)
	s.recordClaims(tokens, "id_token", names...)
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
	formPostFieldPattern  = regexp.MustCompile(`(?i)<input type="hidden" name="([^"]*)" ` +
		`value="([^"]*)"`)
)

// recordFormPost records the action and the fields of a form_post page.
func (s *scenario) recordFormPost(page response) {
	s.Helper()
	action := formPostActionPattern.FindStringSubmatch(page.body)
	if action == nil {
		s.Fatalf("form_post page: got %s, want a form", page.body)
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
	run(t, "code-exchange", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(object{"revokeRefreshToken": true}, clientJSON("other", nil)))
		shortCodeRealm := suite.addRealm(realmJSON(object{"accessCodeLifespan": 1}))
		addCodeExchanges(suite, r)
		addCodeFailures(suite, r, shortCodeRealm)
		addCodePKCE(suite, r)
	})
}

func addCodeExchanges(suite *testSuite, r *realm) {
	suite.add("code for tokens", func(s *scenario) {
		s.record(s.token(r, codeGrant(s.code(s.addUser(r, nil), "nonce", "a-nonce"))))
	})
	suite.add("without the scope openid", func(s *scenario) {
		s.recordBody(s.token(r, codeGrant(s.code(s.addUser(r, nil), "scope", "email"))))
	})
	suite.add("without a scope", func(s *scenario) {
		tokens := s.token(r, codeGrant(s.code(s.addUser(r, nil), "scope", ""))).mustOK()
		s.note("scope %s, ID token: %t", s.normalizeValue("scope", tokens.field("scope")),
			tokens.value("id_token") != nil)
	})
	suite.add("by a public client", func(s *scenario) {
		code := s.code(s.addUser(r, nil), "client_id", "spa")
		s.recordClaims(s.token(r,
			form("grant_type", "authorization_code", "client_id", "spa", "code", code,
				"redirect_uri", callback)).mustOK(),
			"access_token", "azp", "aud")
	})
	suite.add("with basic authentication", func(s *scenario) {
		code := s.code(s.addUser(r, nil))
		s.recordOutcome("exchange",
			s.token(r,
				form("grant_type", "authorization_code", "code", code, "redirect_uri", callback),
				"Authorization", basicAuth("api", "api-secret")))
	})
	suite.add("a scope at the exchange is ignored", func(s *scenario) {
		tokens := s.token(r, codeGrant(s.code(s.addUser(r, nil)), "scope", "bogus")).mustOK()
		s.note("scope %s", s.normalizeValue("scope", tokens.field("scope")))
	})
	suite.add("refresh afterwards", func(s *scenario) {
		tokens := s.token(r, codeGrant(s.code(s.addUser(r, nil), "nonce", "a-nonce"))).mustOK()
		s.wait(2100 * time.Millisecond)
		refreshed := s.refresh(r, tokens).mustOK()
		s.recordClaims(refreshed, "access_token", "acr", "jti")
		s.recordClaims(refreshed, "id_token", "acr", "nonce")
		s.note("auth_time is that of the login: %t", sameAuthTime(tokens, refreshed))
	})
}

func addCodeFailures(suite *testSuite, r, shortCodeRealm *realm) {
	// A request that fails after client authentication invalidates the code. Each scenario sends a
	// wrong request, and then the right request with the same code.
	addFailure := func(name string, wrongForm func(code string) url.Values) {
		suite.add(name, func(s *scenario) {
			code := s.code(s.addUser(r, nil))
			s.record(s.token(r, wrongForm(code)))
			s.recordOutcome("right request after it", s.token(r, codeGrant(code)))
		})
	}
	addFailure("redirect_uri differs", func(code string) url.Values {
		return codeGrant(code, "redirect_uri", callback+"/x")
	})
	addFailure("redirect_uri absent", func(code string) url.Values {
		return withoutParams(codeGrant(code), "redirect_uri")
	})
	addFailure("code of another client", func(code string) url.Values {
		return codeGrant(code, clientParams("other")...)
	})
	addFailure("verifier without a challenge", func(code string) url.Values {
		return codeGrant(code, "code_verifier", codeVerifier)
	})
	addFailure("wrong secret keeps the code valid", func(code string) url.Values {
		return codeGrant(code, "client_secret", "wrong")
	})
	addFailure("missing code keeps the code valid", func(code string) url.Values {
		return withoutParams(codeGrant(code), "code")
	})
	suite.add("unknown code", func(s *scenario) {
		s.record(s.token(r, codeGrant("")))
		s.recordOutcome("garbage", s.token(r, codeGrant("garbage")))
		s.recordOutcome("well-formed",
			s.token(r,
				codeGrant(
					"18964dd4-e999-07c9-d1a9-8a001ac7e07e.uSWnJNfG1382D4rZLvdjOP_v.79eaa745-5cd2-49d5-b101-e0b8f0a282e1")))
	})
	suite.add("code expired", func(s *scenario) {
		code := s.code(s.addUser(shortCodeRealm, nil))
		s.wait(2500 * time.Millisecond)
		s.record(s.token(shortCodeRealm, codeGrant(code)))
	})
	suite.add("code used twice", func(s *scenario) {
		u := s.addUser(r, nil)
		b := s.newBrowser()
		code := b.login(u).redirectQuery().Get("code")
		tokens := s.token(r, codeGrant(code)).mustOK()
		s.record(s.token(r, codeGrant(code)))
		s.recordOutcome("refresh of the first use", s.refresh(r, tokens))
		s.recordOutcome("userinfo of the first use", s.userinfo(r, tokens))
		sso := b.open(r.authURL())
		s.note("single sign-on afterwards: %d", sso.status)
		s.recordOutcome("its code", s.token(r, codeGrant(sso.redirectQuery().Get("code"))))
	})
	suite.add("session ended before the exchange", func(s *scenario) {
		redirect := s.newBrowser().login(s.addUser(r, nil))
		s.must(
			s.kc.endSession(sessionRef{realm: r.name,
				sid: redirect.redirectQuery().Get("session_state")}))
		s.record(s.token(r, codeGrant(redirect.redirectQuery().Get("code"))))
	})
	suite.add("user disabled before the exchange", func(s *scenario) {
		u := s.addUser(r, nil)
		code := s.code(u)
		s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
		s.record(s.token(r, codeGrant(code)))
	})
}

// userinfo calls the UserInfo endpoint with the access token of a response.
func (s *scenario) userinfo(r *realm, tokens response) response {
	s.Helper()
	return s.send(http.MethodGet, r.endpoint("/userinfo"), "", "Authorization",
		"Bearer "+tokens.field("access_token"))
}
