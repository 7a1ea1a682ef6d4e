package contract

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// The refresh grant, and changes between login and refresh.
func TestRefresh(t *testing.T) {
	run(t, "refresh", func(g *group) {
		r := g.realm(realmFile(object{"roles": object{"realm": []object{{"name": "late"}}}},
			clientFile("other", nil), clientFile("closing", nil)))
		g.exchange("success", func(x *exchange) {
			u := x.user(r, nil)
			login := x.login(u)
			again := x.refresh(r, login)
			x.show(again)
			x.note("same session: %t", again.field("session_state") == login.field("session_state"))
			x.note("same jti: %t",
				again.claims("refresh_token")["jti"] == login.claims("refresh_token")["jti"])
			x.outcome("the old access token",
				x.get(r.oidc("/userinfo"), "Authorization", "Bearer "+login.field("access_token")))
			x.outcome("the old refresh token", x.refresh(r, login))
		})
		g.exchange("without openid", func(x *exchange) {
			u := x.user(r, nil)
			x.show(x.refresh(r, x.token(r, passwordGrant(u)).ok()))
		})
		g.exchange("of a public client", func(x *exchange) {
			login := x.login(x.user(r, nil), "client_id", "spa")
			x.outcome("refresh",
				x.token(r,
					form("grant_type", "refresh_token", "client_id", "spa", "refresh_token",
						login.field("refresh_token"))))
		})
		g.exchange("offline", func(x *exchange) {
			login := x.login(x.user(r, nil), "scope", "openid offline_access")
			again := x.refresh(r, login)
			x.show(again)
			x.note("same session: %t", again.field("session_state") == login.field("session_state"))
		})
		g.exchange("of a code", func(x *exchange) {
			login := x.token(r, codeGrant(x.code(x.user(r, nil), "nonce", "n-1"))).ok()
			x.showToken(login, "id_token")
			x.wait(sec(2))
			again := x.refresh(r, login).ok()
			x.showToken(again, "id_token")
			x.showToken(again, "access_token")
			x.note("same auth_time: %t",
				again.claims("id_token")["auth_time"] == login.claims("id_token")["auth_time"])
		})

		// scope refreshes with a scope, and then without one.
		scope := func(name, first, second string) {
			g.exchange("scope: "+name, func(x *exchange) {
				login := x.login(x.user(r, nil), "scope", first)
				narrowed := x.refresh(r, login, "scope", second)
				x.outcome(first+" then "+second, narrowed)
				if narrowed.status != 200 {
					return
				}
				for _, a := range []response{narrowed, x.refresh(r, narrowed).ok()} {
					x.showMembers(a, "scope")
					x.showClaims(a, "refresh_token", "scope")
					x.note("ID token: %t, phone in the access token: %v",
						a.member("id_token") != nil,
						strings.Contains(text(a.claims("access_token")["scope"]), "phone"))
				}
			})
		}
		scope("narrower", "openid phone address", "openid phone")
		scope("without openid", "openid phone", "phone")
		scope("wider", "phone", "openid phone address")
		scope("only a default scope", "openid phone", "email")
		scope("empty", "openid", "")
		scope("unknown", "openid", "openid bogus")
		scope("spaces", "openid phone", "openid  phone")
		scope("narrower, offline", "openid phone offline_access", "openid")
		scope("only offline_access", "openid phone offline_access", "offline_access")
		scope("unknown, offline", "openid offline_access", "openid bogus")
		scope("offline_access later", "openid", "openid offline_access")

		g.exchange("changes of the user are visible", func(x *exchange) {
			u := x.user(r, nil)
			login := x.login(u)
			x.must(x.kc.grantRole(u.userRef, roleRef{name: "late"}))
			x.must(x.kc.patchUser(u.userRef, object{"firstName": "Changed"}))
			again := x.refresh(r, login).ok()
			x.showClaims(again, "access_token", "realm_access", "given_name", "name")
			x.must(x.kc.revokeRole(u.userRef, roleRef{name: "late"}))
			x.showClaims(x.refresh(r, again).ok(), "access_token", "realm_access")
		})
		g.exchange("changes of the user that don't matter", func(x *exchange) {
			u := x.user(r, nil)
			login := x.login(u)
			x.must(x.kc.patchUser(u.userRef,
				object{"requiredActions": []string{"UPDATE_PASSWORD"}}))
			x.outcome("a required action", x.refresh(r, login))
			x.must(x.kc.resetPassword(u.userRef, "changed"))
			x.outcome("a new password", x.refresh(r, login))
			x.must(x.kc.patchUser(u.userRef, object{"email": ""}))
			x.outcome("no e-mail", x.refresh(r, login))
		})
		g.exchange("disabled user", func(x *exchange) {
			u := x.user(r, nil)
			login := x.login(u)
			x.must(x.kc.patchUser(u.userRef, object{"enabled": false}))
			x.show(x.refresh(r, login))
			x.must(x.kc.patchUser(u.userRef, object{"enabled": true}))
			x.outcome("enabled again", x.refresh(r, login))
		})
		g.exchange("disabled client", func(x *exchange) {
			closing := []string{"client_id", "closing", "client_secret", "closing-secret"}
			login := x.login(x.user(r, nil), closing...)
			r.patchClient(x, "closing", object{"directAccessGrantsEnabled": false})
			x.outcome("direct grants off", x.refresh(r, login, closing...))
			r.patchClient(x, "closing", object{"enabled": false})
			x.outcome("disabled", x.refresh(r, login, closing...))
			r.patchClient(x, "closing", object{"enabled": true})
			x.outcome("enabled again", x.refresh(r, login, closing...))
		})
	})
}

// Refresh tokens that Keycloak rejects. Expired tokens, not-before and rotated keys are in
// lifespan_test.go, notbefore_test.go and keys_test.go.
func TestRefresh_refused(t *testing.T) {
	run(t, "refresh-refused", func(g *group) {
		r := g.realm(realmFile(nil, clientFile("other", nil)))
		elsewhere := g.realm(realmFile(nil))
		refused := func(name string, token func(*exchange, response) string) {
			g.exchange(name, func(x *exchange) {
				x.outcome("refresh", x.token(r, refreshGrant(token(x, x.login(x.user(r, nil))))))
			})
		}
		g.exchange("absent", func(x *exchange) {
			x.show(x.token(r, with(secretOf("api"), "grant_type", "refresh_token")))
		})
		g.exchange("empty", func(x *exchange) { x.show(x.token(r, refreshGrant(""))) })
		g.exchange("garbage", func(x *exchange) { x.show(x.token(r, refreshGrant("garbage"))) })
		refused("an access token", func(_ *exchange, a response) string {
			return a.field("access_token")
		})
		refused("an ID token", func(_ *exchange, a response) string { return a.field("id_token") })
		refused("a bad signature", func(_ *exchange, a response) string {
			parts := strings.Split(a.field("refresh_token"), ".")
			return parts[0] + "." + parts[1] + "." +
				base64.RawURLEncoding.EncodeToString(make([]byte, 64))
		})
		refused("an unknown key", func(_ *exchange, a response) string {
			return signed(object{"alg": "HS512", "typ": "JWT",
				"kid": "9f0b7f0e-1d3c-4b5a-8d47-0d3b7c9f2c11"}, a.claims("refresh_token"))
		})
		refused("another key with the right ID", func(_ *exchange, a response) string {
			return signed(object{"alg": "HS512", "typ": "JWT",
				"kid": kidOf(a.field("refresh_token"))}, a.claims("refresh_token"))
		})
		refused("not signed", func(_ *exchange, a response) string {
			token := signed(object{"alg": "none", "typ": "JWT",
				"kid": kidOf(a.field("refresh_token"))}, a.claims("refresh_token"))
			return token[:strings.LastIndex(token, ".")+1]
		})
		refused("of another realm", func(x *exchange, _ response) string {
			return x.login(x.user(elsewhere, nil)).field("refresh_token")
		})
		refused("with a space", func(_ *exchange, a response) string {
			return " " + a.field("refresh_token")
		})
		// Which other spellings of a token Keycloak accepts. Code that identifies tokens by their
		// text must reject them.
		g.exchange("other spellings", func(x *exchange) {
			token := x.login(x.user(r, nil)).field("refresh_token")
			parts := strings.Split(token, ".")
			unsigned, signature := parts[0]+"."+parts[1]+".", parts[2]
			for _, spelling := range []struct{ name, token string }{
				{"stray bits at the end", token[:len(token)-1] + strayBits(token[len(token)-1])},
				{"stray bits in the header", parts[0][:len(parts[0])-1] + strayBits(parts[0][len(parts[0])-1]) + "." + parts[1] + "." + signature},
				{"padding", token + "=="},
				{"too much padding", token + "==="},
				{"padding of the header", parts[0] + "=." + parts[1] + "." + signature},
				{"padding, and more", token + "==AAAA"},
				{"the other alphabet", unsigned + strings.NewReplacer("-", "+", "_", "/").Replace(signature)},
				{"a line break in the signature", unsigned + signature[:20] + "\n" + signature[20:]},
				{"a line break in the payload", parts[0] + "." + parts[1][:20] + "\r\n" + parts[1][20:] + "." + signature},
				{"a line break at the end", token + "\r\n"},
				{"a tab", "\t" + token},
				{"a zero byte", token + "\x00"},
				{"a space in the signature", unsigned + signature[:20] + " " + signature[20:]},
				{"a space at the end", token + " "},
				{"a dot at the end", token + "."},
				{"dots at the end", token + "..."},
				{"a dot in front", "." + token},
				{"four parts", token + ".AAAA"},
				{"five parts", token + ".AAAA.AAAA"},
				{"two parts", strings.TrimSuffix(unsigned, ".")},
				{"no signature", unsigned},
				{"a signature that goes on", token + "AAAA"},
				{"a character of neither alphabet", unsigned + signature[:20] + "!" + signature[20:]},
				{"4,000 characters", strings.Repeat("A", 4000)},
				{"4,001 characters", strings.Repeat("A", 4001)},
			} {
				x.outcome("refresh, "+spelling.name, x.token(r, refreshGrant(spelling.token)))
				x.outcome("logout, "+spelling.name,
					x.post(r.oidc("/logout"),
						with(secretOf("api"), "refresh_token", spelling.token)))
			}
		})
		g.exchange("another client's", func(x *exchange) {
			login := x.login(x.user(r, nil), "client_id", "other", "client_secret", "other-secret")
			x.show(x.refresh(r, login))
			x.outcome("its own client",
				x.refresh(r, login, "client_id", "other", "client_secret", "other-secret"))
		})
		g.exchange("wrong secret", func(x *exchange) {
			login := x.login(x.user(r, nil))
			x.outcome("refresh", x.refresh(r, login, "client_secret", "wrong"))
			x.outcome("then right", x.refresh(r, login))
		})

		after := func(name string, change func(*exchange, *user, response)) {
			g.exchange(name, func(x *exchange) {
				u := x.user(r, nil)
				login := x.login(u)
				change(x, u, login)
				x.outcome("refresh", x.refresh(r, login))
			})
		}
		after("after logout", func(x *exchange, _ *user, a response) {
			x.outcome("logout",
				x.post(r.oidc("/logout"),
					with(secretOf("api"), "refresh_token", a.field("refresh_token"))))
		})
		after("after revocation", func(x *exchange, _ *user, a response) {
			x.outcome("revoke",
				x.post(r.oidc("/revoke"), with(secretOf("api"), "token", a.field("refresh_token"))))
		})
		after("after a logout by the administrator", func(x *exchange, u *user, _ response) {
			x.must(x.kc.logoutUser(u.userRef))
		})
		after("after the session was deleted", func(x *exchange, u *user, a response) {
			x.must(x.kc.endSession(sessionRef{realm: r.name, sid: a.field("session_state")}))
		})
		after("after the user was deleted", func(x *exchange, u *user, _ response) {
			x.must(x.kc.deleteUser(u.userRef))
		})
		after("code used twice", func(x *exchange, u *user, _ response) {
			code := x.code(u)
			first := x.token(r, codeGrant(code)).ok()
			x.outcome("second use", x.token(r, codeGrant(code)))
			x.outcome("refresh of the first use", x.refresh(r, first))
		})
		g.exchange("revoked while another client shares the session", func(x *exchange) {
			u := x.user(r, nil)
			b := x.browser()
			first := x.token(r, codeGrant(b.login(u).redirected().Get("code"))).ok()
			other := x.token(r,
				codeGrant(b.open(r.authURL("client_id", "other")).redirected().Get("code"),
					"client_id", "other", "client_secret", "other-secret")).ok()
			x.note("same session: %t", first.field("session_state") == other.field("session_state"))
			x.outcome("revoke",
				x.post(r.oidc("/revoke"),
					with(secretOf("api"), "token", first.field("refresh_token"))))
			x.outcome("refresh", x.refresh(r, first))
			x.outcome("refresh of the other",
				x.refresh(r, other, "client_id", "other", "client_secret", "other-secret"))
		})

		g.exchange("changed issuer", func(x *exchange) {
			r := x.realm(realmFile(nil))
			login := x.login(x.user(r, nil))
			r.patch(x, object{"notBefore": x.kc.now().Unix() - 100})
			x.outcome("not before, but earlier", x.refresh(r, login))
			r.patch(x, object{"attributes": object{"frontendUrl": "https://id.example"}})
			x.outcome("refresh", x.refresh(r, login))
			x.outcome("userinfo",
				x.get(r.oidc("/userinfo"), "Authorization", "Bearer "+login.field("access_token")))
			x.showMembers(x.get(r.url("/.well-known/openid-configuration")), "issuer",
				"token_endpoint", "jwks_uri")
		})

		offline := func(name string, end func(*exchange, *user, response)) {
			g.exchange("offline: "+name, func(x *exchange) {
				u := x.user(r, nil)
				login := x.login(u, "scope", "openid offline_access")
				end(x, u, login)
				x.outcome("refresh", x.refresh(r, login))
			})
		}
		offline("after logout", func(x *exchange, _ *user, a response) {
			x.outcome("logout",
				x.post(r.oidc("/logout"),
					with(secretOf("api"), "refresh_token", a.field("refresh_token"))))
		})
		offline("after revocation", func(x *exchange, _ *user, a response) {
			x.outcome("revoke",
				x.post(r.oidc("/revoke"), with(secretOf("api"), "token", a.field("refresh_token"))))
		})
		offline("after consent was revoked", func(x *exchange, u *user, _ response) {
			x.must(x.kc.revokeConsent(u.userRef, "api"))
		})
		offline("after the session was deleted", func(x *exchange, u *user, a response) {
			x.must(
				x.kc.endSession(sessionRef{realm: r.name, sid: a.field("session_state"),
					offline: true}))
		})
		offline("after a logout by the administrator", func(x *exchange, u *user, a response) {
			// The logout sets the user's notBefore: a token of the same second would stay valid.
			x.wait(sec(2))
			x.must(x.kc.logoutUser(u.userRef))
		})
		offline("after the role was revoked", func(x *exchange, u *user, _ response) {
			x.must(x.kc.revokeRole(u.userRef, roleRef{name: "default-roles-" + r.name}))
		})
	})
}

// signed returns a token with this header and these claims, signed with a key of the test's own.
func signed(header, claims object) string {
	encode := func(o object) string {
		text, _ := json.Marshal(o)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	content := encode(header) + "." + encode(claims)
	mac := hmac.New(sha512.New, []byte("a key that Keycloak doesn't have"))
	mac.Write([]byte(content))
	return content + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// strayBits returns the base64url character that differs in the last bit, which is unused at the
// end of the header and of a 64-byte signature.
func strayBits(last byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, last)^1])
}
