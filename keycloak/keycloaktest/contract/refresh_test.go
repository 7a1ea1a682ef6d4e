package contract

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// TestRefresh records the refresh grant, and the effect of changes between login and refresh.
func TestRefresh(t *testing.T) {
	run(t, "refresh", func(g *group) {
		r := g.realm(realmFile(object{"roles": object{"realm": []object{{"name": "late"}}}},
			clientFile("other", nil), clientFile("closing", nil)))
		g.scenario("success", func(s *scenario) {
			u := s.user(r, nil)
			login := s.login(u)
			refreshed := s.refresh(r, login)
			s.show(refreshed)
			s.note("same session: %t",
				refreshed.field("session_state") == login.field("session_state"))
			s.note("same jti: %t",
				refreshed.claims("refresh_token")["jti"] == login.claims("refresh_token")["jti"])
			s.outcome("the old access token",
				s.get(r.oidc("/userinfo"), "Authorization", "Bearer "+login.field("access_token")))
			s.outcome("the old refresh token", s.refresh(r, login))
		})
		g.scenario("without openid", func(s *scenario) {
			u := s.user(r, nil)
			s.show(s.refresh(r, s.token(r, passwordGrant(u)).ok()))
		})
		g.scenario("of a public client", func(s *scenario) {
			login := s.login(s.user(r, nil), "client_id", "spa")
			s.outcome("refresh",
				s.token(r,
					form("grant_type", "refresh_token", "client_id", "spa", "refresh_token",
						login.field("refresh_token"))))
		})
		g.scenario("offline", func(s *scenario) {
			login := s.login(s.user(r, nil), "scope", "openid offline_access")
			refreshed := s.refresh(r, login)
			s.show(refreshed)
			s.note("same session: %t",
				refreshed.field("session_state") == login.field("session_state"))
		})
		g.scenario("of a code", func(s *scenario) {
			login := s.token(r, codeGrant(s.code(s.user(r, nil), "nonce", "n-1"))).ok()
			s.showToken(login, "id_token")
			s.wait(sec(2))
			refreshed := s.refresh(r, login).ok()
			s.showToken(refreshed, "id_token")
			s.showToken(refreshed, "access_token")
			s.note("same auth_time: %t",
				refreshed.claims("id_token")["auth_time"] == login.claims("id_token")["auth_time"])
		})

		// refreshScope sends a refresh with a scope, and then a refresh without a scope.
		refreshScope := func(name, first, second string) {
			g.scenario("scope: "+name, func(s *scenario) {
				login := s.login(s.user(r, nil), "scope", first)
				narrowed := s.refresh(r, login, "scope", second)
				s.outcome(first+" then "+second, narrowed)
				if narrowed.status != 200 {
					return
				}
				for _, resp := range []response{narrowed, s.refresh(r, narrowed).ok()} {
					s.showFields(resp, "scope")
					s.showClaims(resp, "refresh_token", "scope")
					s.note("ID token: %t, phone in the access token: %v",
						resp.value("id_token") != nil,
						strings.Contains(asString(resp.claims("access_token")["scope"]), "phone"))
				}
			})
		}
		refreshScope("narrower", "openid phone address", "openid phone")
		refreshScope("without openid", "openid phone", "phone")
		refreshScope("wider", "phone", "openid phone address")
		refreshScope("only a default scope", "openid phone", "email")
		refreshScope("empty", "openid", "")
		refreshScope("unknown", "openid", "openid bogus")
		refreshScope("spaces", "openid phone", "openid  phone")
		refreshScope("narrower, offline", "openid phone offline_access", "openid")
		refreshScope("only offline_access", "openid phone offline_access", "offline_access")
		refreshScope("unknown, offline", "openid offline_access", "openid bogus")
		refreshScope("offline_access later", "openid", "openid offline_access")

		g.scenario("changes of the user are visible", func(s *scenario) {
			u := s.user(r, nil)
			login := s.login(u)
			s.must(s.kc.grantRole(u.userRef, roleRef{name: "late"}))
			s.must(s.kc.patchUser(u.userRef, object{"firstName": "Changed"}))
			refreshed := s.refresh(r, login).ok()
			s.showClaims(refreshed, "access_token", "realm_access", "given_name", "name")
			s.must(s.kc.revokeRole(u.userRef, roleRef{name: "late"}))
			s.showClaims(s.refresh(r, refreshed).ok(), "access_token", "realm_access")
		})
		g.scenario("changes of the user that don't matter", func(s *scenario) {
			u := s.user(r, nil)
			login := s.login(u)
			s.must(s.kc.patchUser(u.userRef,
				object{"requiredActions": []string{"UPDATE_PASSWORD"}}))
			s.outcome("a required action", s.refresh(r, login))
			s.must(s.kc.resetPassword(u.userRef, "changed"))
			s.outcome("a new password", s.refresh(r, login))
			s.must(s.kc.patchUser(u.userRef, object{"email": ""}))
			s.outcome("no e-mail", s.refresh(r, login))
		})
		g.scenario("disabled user", func(s *scenario) {
			u := s.user(r, nil)
			login := s.login(u)
			s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
			s.show(s.refresh(r, login))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": true}))
			s.outcome("enabled again", s.refresh(r, login))
		})
		g.scenario("disabled client", func(s *scenario) {
			closing := credsOf("closing")
			login := s.login(s.user(r, nil), closing...)
			r.patchClient(s, "closing", object{"directAccessGrantsEnabled": false})
			s.outcome("direct grants off", s.refresh(r, login, closing...))
			r.patchClient(s, "closing", object{"enabled": false})
			s.outcome("disabled", s.refresh(r, login, closing...))
			r.patchClient(s, "closing", object{"enabled": true})
			s.outcome("enabled again", s.refresh(r, login, closing...))
		})
	})
}

// TestRefresh_refused records refresh tokens that Keycloak rejects. Other tests are in
// lifespan_test.go (expired tokens), notbefore_test.go and keys_test.go (rotated keys).
func TestRefresh_refused(t *testing.T) {
	run(t, "refresh-refused", func(g *group) {
		r := g.realm(realmFile(nil, clientFile("other", nil)))
		otherRealm := g.realm(realmFile(nil))
		refused := func(name string, token func(*scenario, response) string) {
			g.scenario(name, func(s *scenario) {
				s.outcome("refresh", s.token(r, refreshGrant(token(s, s.login(s.user(r, nil))))))
			})
		}
		g.scenario("absent", func(s *scenario) {
			s.show(s.token(r, with(secretOf("api"), "grant_type", "refresh_token")))
		})
		g.scenario("empty", func(s *scenario) { s.show(s.token(r, refreshGrant(""))) })
		g.scenario("garbage", func(s *scenario) { s.show(s.token(r, refreshGrant("garbage"))) })
		refused("an access token", func(_ *scenario, resp response) string {
			return resp.field("access_token")
		})
		refused("an ID token", func(_ *scenario, resp response) string {
			return resp.field("id_token")
		})
		refused("a bad signature", func(_ *scenario, resp response) string {
			parts := strings.Split(resp.field("refresh_token"), ".")
			return parts[0] + "." + parts[1] + "." +
				base64.RawURLEncoding.EncodeToString(make([]byte, 64))
		})
		refused("an unknown key", func(_ *scenario, resp response) string {
			return signed(object{"alg": "HS512", "typ": "JWT",
				"kid": "9f0b7f0e-1d3c-4b5a-8d47-0d3b7c9f2c11"}, resp.claims("refresh_token"))
		})
		refused("another key with the right ID", func(_ *scenario, resp response) string {
			return signed(object{"alg": "HS512", "typ": "JWT",
				"kid": kidOf(resp.field("refresh_token"))}, resp.claims("refresh_token"))
		})
		refused("not signed", func(_ *scenario, resp response) string {
			token := signed(object{"alg": "none", "typ": "JWT",
				"kid": kidOf(resp.field("refresh_token"))}, resp.claims("refresh_token"))
			return token[:strings.LastIndex(token, ".")+1]
		})
		refused("of another realm", func(s *scenario, _ response) string {
			return s.login(s.user(otherRealm, nil)).field("refresh_token")
		})
		refused("with a space", func(_ *scenario, resp response) string {
			return " " + resp.field("refresh_token")
		})
		// Keycloak accepts some other spellings of a token. Code that identifies a token by its
		// text must reject these spellings.
		g.scenario("other spellings", func(s *scenario) {
			token := s.login(s.user(r, nil)).field("refresh_token")
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
				s.outcome("refresh, "+spelling.name, s.token(r, refreshGrant(spelling.token)))
				s.outcome("logout, "+spelling.name,
					s.post(r.oidc("/logout"),
						with(secretOf("api"), "refresh_token", spelling.token)))
			}
		})
		g.scenario("another client's", func(s *scenario) {
			login := s.login(s.user(r, nil), credsOf("other")...)
			s.show(s.refresh(r, login))
			s.outcome("its own client",
				s.refresh(r, login, credsOf("other")...))
		})
		g.scenario("wrong secret", func(s *scenario) {
			login := s.login(s.user(r, nil))
			s.outcome("refresh", s.refresh(r, login, "client_secret", "wrong"))
			s.outcome("then right", s.refresh(r, login))
		})

		after := func(name string, change func(*scenario, *user, response)) {
			g.scenario(name, func(s *scenario) {
				u := s.user(r, nil)
				login := s.login(u)
				change(s, u, login)
				s.outcome("refresh", s.refresh(r, login))
			})
		}
		after("after logout", func(s *scenario, _ *user, resp response) {
			s.outcome("logout",
				s.post(r.oidc("/logout"),
					with(secretOf("api"), "refresh_token", resp.field("refresh_token"))))
		})
		after("after revocation", func(s *scenario, _ *user, resp response) {
			s.outcome("revoke",
				s.post(r.oidc("/revoke"),
					with(secretOf("api"), "token", resp.field("refresh_token"))))
		})
		after("after a logout by the administrator", func(s *scenario, u *user, _ response) {
			s.must(s.kc.logoutUser(u.userRef))
		})
		after("after the session was deleted", func(s *scenario, u *user, resp response) {
			s.must(s.kc.endSession(sessionRef{realm: r.name, sid: resp.field("session_state")}))
		})
		after("after the user was deleted", func(s *scenario, u *user, _ response) {
			s.must(s.kc.deleteUser(u.userRef))
		})
		after("code used twice", func(s *scenario, u *user, _ response) {
			code := s.code(u)
			first := s.token(r, codeGrant(code)).ok()
			s.outcome("second use", s.token(r, codeGrant(code)))
			s.outcome("refresh of the first use", s.refresh(r, first))
		})
		g.scenario("revoked while another client shares the session", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			first := s.token(r, codeGrant(b.login(u).redirectQuery().Get("code"))).ok()
			code := b.open(r.authURL("client_id", "other")).redirectQuery().Get("code")
			other := s.token(r, codeGrant(code, credsOf("other")...)).ok()
			s.note("same session: %t", first.field("session_state") == other.field("session_state"))
			s.outcome("revoke",
				s.post(r.oidc("/revoke"),
					with(secretOf("api"), "token", first.field("refresh_token"))))
			s.outcome("refresh", s.refresh(r, first))
			s.outcome("refresh of the other",
				s.refresh(r, other, credsOf("other")...))
		})

		g.scenario("changed issuer", func(s *scenario) {
			r := s.realm(realmFile(nil))
			login := s.login(s.user(r, nil))
			r.patch(s, object{"notBefore": s.kc.now().Unix() - 100})
			s.outcome("not before, but earlier", s.refresh(r, login))
			r.patch(s, object{"attributes": object{"frontendUrl": "https://id.example"}})
			s.outcome("refresh", s.refresh(r, login))
			s.outcome("userinfo",
				s.get(r.oidc("/userinfo"), "Authorization", "Bearer "+login.field("access_token")))
			s.showFields(s.get(r.url("/.well-known/openid-configuration")), "issuer",
				"token_endpoint", "jwks_uri")
		})

		offline := func(name string, end func(*scenario, *user, response)) {
			g.scenario("offline: "+name, func(s *scenario) {
				u := s.user(r, nil)
				login := s.login(u, "scope", "openid offline_access")
				end(s, u, login)
				s.outcome("refresh", s.refresh(r, login))
			})
		}
		offline("after logout", func(s *scenario, _ *user, resp response) {
			s.outcome("logout",
				s.post(r.oidc("/logout"),
					with(secretOf("api"), "refresh_token", resp.field("refresh_token"))))
		})
		offline("after revocation", func(s *scenario, _ *user, resp response) {
			s.outcome("revoke",
				s.post(r.oidc("/revoke"),
					with(secretOf("api"), "token", resp.field("refresh_token"))))
		})
		offline("after consent was revoked", func(s *scenario, u *user, _ response) {
			s.must(s.kc.revokeConsent(u.userRef, "api"))
		})
		offline("after the session was deleted", func(s *scenario, u *user, resp response) {
			s.must(
				s.kc.endSession(sessionRef{realm: r.name, sid: resp.field("session_state"),
					offline: true}))
		})
		offline("after a logout by the administrator", func(s *scenario, u *user, resp response) {
			// The logout sets the user's notBefore: a token of the same second would stay valid.
			s.wait(sec(2))
			s.must(s.kc.logoutUser(u.userRef))
		})
		offline("after the role was revoked", func(s *scenario, u *user, _ response) {
			s.must(s.kc.revokeRole(u.userRef, roleRef{name: "default-roles-" + r.name}))
		})
	})
}

// signed returns a token with this header and these claims, signed with a key that only the test
// has.
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

// strayBits returns the base64url character that differs from last only in its lowest bit. That bit
// is unused at the end of the header and of a 64-byte signature.
func strayBits(last byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, last)^1])
}
