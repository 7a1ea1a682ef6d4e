package contract

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The authorization code flow in a browser: pages, response modes, single sign-on.
func TestCode(t *testing.T) {
	run(t, "code", func(g *group) {
		r := g.realm(realmFile(nil, clientFile("other", nil)))
		guarded := g.realm(realmFile(object{
			"bruteForceProtected": true, "failureFactor": 3, "waitIncrementSeconds": 600,
		}))
		codePages(g, r)
		codeLocked(g, guarded)
		codeResponseModes(g, r)
		codeSingleSignOn(g, r)
	})
}

func codePages(g *group, r *realm) {
	g.exchange("login page", func(x *exchange) { x.show(x.browser().open(r.authURL())) })
	g.exchange("login page by POST", func(x *exchange) {
		address, _ := url.Parse(r.authURL())
		x.show(x.post(r.oidc("/auth"), address.Query(), "Accept", browserAccept))
	})
	g.exchange("right password", func(x *exchange) { x.show(x.browser().login(x.user(r, nil))) })
	g.exchange("right password with the e-mail", func(x *exchange) {
		u := x.user(r, nil)
		b := x.browser()
		x.show(b.submit(b.open(r.authURL()), "username", u.username+"@example.com", "password",
			"secret"))
	})
	g.exchange("no state", func(x *exchange) {
		x.show(x.browser().login(x.user(r, nil), "state", ""))
	})
	g.exchange("state with special characters", func(x *exchange) {
		x.show(x.browser().login(x.user(r, nil), "state", "a b&c=d/é+%"))
	})
	g.exchange("state too long", func(x *exchange) {
		for _, n := range []int{4000, 4001} {
			redirect := x.browser().open(r.authURL("prompt", "none", "state",
				strings.Repeat("s", n))).redirected()
			x.note("%d characters: %s, state of %d", n, redirect.Get("error"),
				len(redirect.Get("state")))
		}
	})
	g.exchange("wrong password, then right", func(x *exchange) {
		u := x.user(r, nil)
		b := x.browser()
		p := b.submit(b.open(r.authURL()), "username", u.username, "password", "wrong")
		x.show(p)
		x.note("the username stands in the form: %t", fieldValue(p, "username") == u.username)
		x.show(b.submit(p, "username", u.username, "password", "secret"))
	})
	g.exchange("unknown user", func(x *exchange) {
		b := x.browser()
		x.show(b.submit(b.open(r.authURL()), "username", "nobody", "password", "secret"))
	})
	g.exchange("no username and no password", func(x *exchange) {
		b := x.browser()
		x.show(b.submit(b.open(r.authURL()), "username", "", "password", ""))
	})
	g.exchange("user is disabled", func(x *exchange) {
		u := x.user(r, object{"enabled": false})
		b := x.browser()
		p := b.login(u)
		x.show(p)
		x.show(b.submit(p, "username", u.username, "password", "wrong"))
	})
	g.exchange("one-time code: wrong, then right", func(x *exchange) {
		u := x.user(r, object{"credentials": []object{
			{"type": "password", "value": "secret", "temporary": false},
			{"type": "otp", "secretData": `{"value":"a-shared-secret-0001"}`,
				"credentialData": `{"subType":"totp","algorithm":"HmacSHA1","digits":6,"period":30}`},
		}})
		b := x.browser()
		p := b.login(u)
		x.show(p)
		p = b.submit(p, "otp", "000000")
		x.show(p)
		x.show(b.submit(p, "otp", oneTimeCode("a-shared-secret-0001", x.kc.now())))
	})
	g.exchange("required action: update password", func(x *exchange) {
		u := x.user(r, object{"requiredActions": []string{"UPDATE_PASSWORD"}})
		b := x.browser()
		p := b.open(r.authURL())
		b.follow = false
		p = b.submit(p, "username", u.username, "password", "secret")
		x.show(p)
		p = b.open(p.header.Get("Location"))
		x.show(p)
		x.show(b.submit(p, "password-new", "another", "password-confirm", "another"))
		x.outcome("login with the new password",
			x.token(r, passwordGrant(u, "password", "another")))
	})
	g.exchange("required action: update profile", func(x *exchange) {
		u := x.user(r, object{"requiredActions": []string{"UPDATE_PROFILE"}})
		b := x.browser()
		p := b.login(u)
		x.show(p)
		x.show(b.submit(p, "email", u.username+"@example.com", "firstName", "New", "lastName",
			"Name"))
	})
	g.exchange("login posted without cookies", func(x *exchange) {
		u := x.user(r, nil)
		p := x.browser().open(r.authURL())
		x.show(x.browser().submit(p, "username", u.username, "password", "secret"))
	})
	g.exchange("login hint", func(x *exchange) {
		p := x.browser().open(r.authURL("login_hint", "somebody"))
		x.show(p)
		x.note("username in the form: %s", fieldValue(p, "username"))
	})
}

func codeLocked(g *group, r *realm) {
	g.exchange("user is locked", func(x *exchange) {
		u := x.user(r, nil)
		b := x.browser()
		p := b.open(r.authURL())
		for n := 1; n <= 3; n++ {
			if n > 1 {
				// Two failures within the quick login check, one second by default, lock at once.
				x.wait(sec(2))
			}
			p = b.submit(p, "username", u.username, "password", "wrong")
			x.must(x.kc.failures(u.userRef, n))
		}
		x.must(x.kc.locked(u.userRef))
		x.show(b.submit(p, "username", u.username, "password", "secret"))
	})
}

func codeResponseModes(g *group, r *realm) {
	g.exchange("response_mode=query", func(x *exchange) {
		x.show(x.browser().login(x.user(r, nil), "response_mode", "query"))
	})
	g.exchange("response_mode=fragment", func(x *exchange) {
		x.show(x.browser().login(x.user(r, nil), "response_mode", "fragment"))
	})
	g.exchange("response_mode=form_post", func(x *exchange) {
		p := x.browser().login(x.user(r, nil), "response_mode", "form_post")
		x.show(p)
		x.showFormPost(p)
	})
	g.exchange("response_mode=form_post of an error", func(x *exchange) {
		p := x.browser().open(r.authURL("response_mode", "form_post", "scope", "openid bogus"))
		x.show(p)
		x.showFormPost(p)
	})
	g.exchange("response_mode=fragment of an error", func(x *exchange) {
		x.show(x.browser().open(r.authURL("response_mode", "fragment", "scope", "openid bogus")))
	})
}

func codeSingleSignOn(g *group, r *realm) {
	g.exchange("second login in the same browser", func(x *exchange) {
		b := x.browser()
		first := b.login(x.user(r, nil))
		tokens := x.showCodeClaims(r, first, "acr")
		x.wait(2 * time.Second)
		second := b.open(r.authURL())
		x.show(second)
		x.note("same session: %t",
			first.redirected().Get("session_state") == second.redirected().Get("session_state"))
		x.note("auth_time is that of the login: %t",
			sameAuthTime(tokens, x.showCodeClaims(r, second, "acr")))
	})
	g.exchange("second login for another client", func(x *exchange) {
		b := x.browser()
		first := b.login(x.user(r, nil))
		second := b.open(r.authURL("client_id", "other"))
		x.show(second)
		x.note("same session: %t",
			first.redirected().Get("session_state") == second.redirected().Get("session_state"))
		x.showCodeClaims(r, first, "acr")
		other := x.token(r,
			with(codeGrant(second.redirected().Get("code")), "client_id", "other", "client_secret",
				"other-secret"))
		x.showClaims(other.ok(), "access_token", "acr", "azp")
	})
	g.exchange("prompt=login after a login", func(x *exchange) {
		u := x.user(r, nil)
		b := x.browser()
		first := b.login(u)
		tokens := x.showCodeClaims(r, first, "acr")
		x.wait(2 * time.Second)
		p := b.open(r.authURL("prompt", "login"))
		x.show(p)
		p = b.submit(p, "username", u.username, "password", "secret")
		x.show(p)
		x.note("same session: %t",
			first.redirected().Get("session_state") == p.redirected().Get("session_state"))
		x.note("auth_time is that of the first login: %t",
			sameAuthTime(tokens, x.showCodeClaims(r, p, "acr")))
	})
	g.exchange("max_age=0 after a login", func(x *exchange) {
		u := x.user(r, nil)
		b := x.browser()
		b.login(u)
		x.wait(2 * time.Second) // within one second, the login would be recent enough
		p := b.open(r.authURL("max_age", "0"))
		x.show(p)
		x.show(b.submit(p, "username", u.username, "password", "secret"))
	})
	g.exchange("max_age exceeded or not", func(x *exchange) {
		b := x.browser()
		b.login(x.user(r, nil))
		x.wait(2500 * time.Millisecond)
		x.show(b.open(r.authURL("max_age", "100")))
		x.show(b.open(r.authURL("max_age", "1")))
	})
	g.exchange("prompt=none without a login", func(x *exchange) {
		x.show(x.browser().open(r.authURL("prompt", "none")))
	})
	g.exchange("prompt=none after a login", func(x *exchange) {
		b := x.browser()
		b.login(x.user(r, nil))
		x.show(b.open(r.authURL("prompt", "none")))
	})
	g.exchange("prompt=none after the session ended", func(x *exchange) {
		b := x.browser()
		first := b.login(x.user(r, nil))
		x.must(
			x.kc.endSession(sessionRef{realm: r.name,
				sid: first.redirected().Get("session_state")}))
		x.show(b.open(r.authURL("prompt", "none")))
	})
	g.exchange("unknown prompt is ignored", func(x *exchange) {
		b := x.browser()
		b.login(x.user(r, nil))
		x.show(b.open(r.authURL("prompt", "select_account")))
	})
	g.exchange("a code with offline_access ends single sign-on", func(x *exchange) {
		b := x.browser()
		login := b.login(x.user(r, nil), "scope", "openid offline_access")
		x.show(x.token(r, codeGrant(login.redirected().Get("code"))))
		x.show(b.open(r.authURL("prompt", "none")))
	})
}

// showCodeClaims exchanges the code of a redirect, and records claims of both tokens.
func (x *exchange) showCodeClaims(r *realm, redirect response, names ...string) response {
	x.Helper()
	tokens := x.token(r, codeGrant(redirect.redirected().Get("code"))).ok()
	x.showClaims(tokens, "access_token", names...)
	x.showClaims(tokens, "id_token", names...)
	return tokens
}

// sameAuthTime reports whether the tokens of two responses have the same auth_time.
func sameAuthTime(a, b response) bool {
	return seconds(a.claims("access_token")["auth_time"]) ==
		seconds(b.claims("access_token")["auth_time"]) &&
		seconds(b.claims("access_token")["auth_time"]) == seconds(b.claims("id_token")["auth_time"])
}

// fieldValue returns the value of a field in a page's forms.
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
	formPostAction = regexp.MustCompile(`(?i)<form [^>]*method="post" [^>]*action="([^"]*)"`)
	formPostField  = regexp.MustCompile(`(?i)<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// showFormPost records the action and the fields of a form_post page.
func (x *exchange) showFormPost(page response) {
	x.Helper()
	action := formPostAction.FindStringSubmatch(page.body)
	if action == nil {
		x.Fatalf("no form to post: %s", page.body)
	}
	var fields []string
	for _, field := range formPostField.FindAllStringSubmatch(page.body, -1) {
		fields = append(fields, fmt.Sprintf("  %s=%s", field[1], x.value(field[1], field[2])))
	}
	slices.Sort(fields)
	fmt.Fprintf(&x.out, "sends itself to %s:\n%s\n", x.text(action[1]), strings.Join(fields, "\n"))
}

// oneTimeCode returns the one-time code of RFC 6238 with six digits. Keycloak's key is the secret's
// text, not decoded.
func oneTimeCode(secret string, at time.Time) string {
	mac := hmac.New(sha1.New, []byte(secret))
	binary.Write(mac, binary.BigEndian, at.Unix()/30)
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[offset:])&0x7fffffff%1000000)
}

// The exchange of a code for tokens.
func TestCode_exchange(t *testing.T) {
	run(t, "code-exchange", func(g *group) {
		r := g.realm(realmFile(object{"revokeRefreshToken": true}, clientFile("other", nil)))
		shortLived := g.realm(realmFile(object{"accessCodeLifespan": 1}))
		codeSuccess(g, r)
		codeFailures(g, r, shortLived)
		codePKCE(g, r)
	})
}

func codeSuccess(g *group, r *realm) {
	g.exchange("code for tokens", func(x *exchange) {
		x.show(x.token(r, codeGrant(x.code(x.user(r, nil), "nonce", "a-nonce"))))
	})
	g.exchange("without the scope openid", func(x *exchange) {
		x.showBody(x.token(r, codeGrant(x.code(x.user(r, nil), "scope", "email"))))
	})
	g.exchange("without a scope", func(x *exchange) {
		tokens := x.token(r, codeGrant(x.code(x.user(r, nil), "scope", ""))).ok()
		x.note("scope %s, ID token: %t", x.value("scope", tokens.field("scope")),
			tokens.member("id_token") != nil)
	})
	g.exchange("by a public client", func(x *exchange) {
		code := x.code(x.user(r, nil), "client_id", "spa")
		x.showClaims(x.token(r,
			form("grant_type", "authorization_code", "client_id", "spa", "code", code,
				"redirect_uri", callback)).ok(),
			"access_token", "azp", "aud")
	})
	g.exchange("with basic authentication", func(x *exchange) {
		code := x.code(x.user(r, nil))
		x.outcome("exchange",
			x.token(r,
				form("grant_type", "authorization_code", "code", code, "redirect_uri", callback),
				"Authorization", basic("api", "api-secret")))
	})
	g.exchange("a scope at the exchange is ignored", func(x *exchange) {
		tokens := x.token(r, codeGrant(x.code(x.user(r, nil)), "scope", "bogus")).ok()
		x.note("scope %s", x.value("scope", tokens.field("scope")))
	})
	g.exchange("refresh afterwards", func(x *exchange) {
		tokens := x.token(r, codeGrant(x.code(x.user(r, nil), "nonce", "a-nonce"))).ok()
		x.wait(2100 * time.Millisecond)
		again := x.refresh(r, tokens).ok()
		x.showClaims(again, "access_token", "acr", "jti")
		x.showClaims(again, "id_token", "acr", "nonce")
		x.note("auth_time is that of the login: %t", sameAuthTime(tokens, again))
	})
}

func codeFailures(g *group, r, shortLived *realm) {
	// A request that fails after client authentication invalidates the code.
	failure := func(name string, wrong func(code string) url.Values) {
		g.exchange(name, func(x *exchange) {
			code := x.code(x.user(r, nil))
			x.show(x.token(r, wrong(code)))
			x.outcome("right request after it", x.token(r, codeGrant(code)))
		})
	}
	failure("redirect_uri differs", func(code string) url.Values {
		return codeGrant(code, "redirect_uri", callback+"/x")
	})
	failure("redirect_uri absent", func(code string) url.Values {
		return without(codeGrant(code), "redirect_uri")
	})
	failure("code of another client", func(code string) url.Values {
		return codeGrant(code, "client_id", "other", "client_secret", "other-secret")
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
	g.exchange("unknown code", func(x *exchange) {
		x.show(x.token(r, codeGrant("")))
		x.outcome("garbage", x.token(r, codeGrant("garbage")))
		x.outcome("well-formed",
			x.token(r,
				codeGrant(
					"18964dd4-e999-07c9-d1a9-8a001ac7e07e.uSWnJNfG1382D4rZLvdjOP_v.79eaa745-5cd2-49d5-b101-e0b8f0a282e1")))
	})
	g.exchange("code expired", func(x *exchange) {
		code := x.code(x.user(shortLived, nil))
		x.wait(2500 * time.Millisecond)
		x.show(x.token(shortLived, codeGrant(code)))
	})
	g.exchange("code used twice", func(x *exchange) {
		u := x.user(r, nil)
		b := x.browser()
		code := b.login(u).redirected().Get("code")
		tokens := x.token(r, codeGrant(code)).ok()
		x.show(x.token(r, codeGrant(code)))
		x.outcome("refresh of the first use", x.refresh(r, tokens))
		x.outcome("userinfo of the first use", x.userinfo(r, tokens))
		sso := b.open(r.authURL())
		x.note("single sign-on afterwards: %d", sso.status)
		x.outcome("its code", x.token(r, codeGrant(sso.redirected().Get("code"))))
	})
	g.exchange("session ended before the exchange", func(x *exchange) {
		redirect := x.browser().login(x.user(r, nil))
		x.must(
			x.kc.endSession(sessionRef{realm: r.name,
				sid: redirect.redirected().Get("session_state")}))
		x.show(x.token(r, codeGrant(redirect.redirected().Get("code"))))
	})
	g.exchange("user disabled before the exchange", func(x *exchange) {
		u := x.user(r, nil)
		code := x.code(u)
		x.must(x.kc.patchUser(u.userRef, object{"enabled": false}))
		x.show(x.token(r, codeGrant(code)))
	})
}

// userinfo requests userinfo with the access token of a response.
func (x *exchange) userinfo(r *realm, last response) response {
	x.Helper()
	return x.send(http.MethodGet, r.oidc("/userinfo"), "", "Authorization",
		"Bearer "+last.field("access_token"))
}
