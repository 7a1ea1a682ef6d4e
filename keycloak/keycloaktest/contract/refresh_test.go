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
	run(t, "refresh", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(object{"roles": object{"realm": []object{{"name": "late"}}}},
			clientJSON("other", nil), clientJSON("closing", nil)))
		suite.add("success", func(s *scenario) {
			u := s.addUser(r, nil)
			tokens := s.login(u)
			refreshed := s.refresh(r, tokens)
			s.record(refreshed)
			s.note("same session: %t",
				refreshed.field("session_state") == tokens.field("session_state"))
			s.note("same jti: %t",
				refreshed.claims("refresh_token")["jti"] == tokens.claims("refresh_token")["jti"])
			s.recordOutcome("the old access token",
				s.userinfo(r, tokens))
			s.recordOutcome("the old refresh token", s.refresh(r, tokens))
		})
		suite.add("without openid", func(s *scenario) {
			u := s.addUser(r, nil)
			s.record(s.refresh(r, s.token(r, passwordGrant(u)).mustOK()))
		})
		suite.add("of a public client", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil), "client_id", "spa")
			s.recordOutcome("refresh",
				s.token(r,
					form("grant_type", "refresh_token", "client_id", "spa", "refresh_token",
						tokens.field("refresh_token"))))
		})
		suite.add("offline", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil), "scope", "openid offline_access")
			refreshed := s.refresh(r, tokens)
			s.record(refreshed)
			s.note("same session: %t",
				refreshed.field("session_state") == tokens.field("session_state"))
		})
		suite.add("of a code", func(s *scenario) {
			tokens := s.token(r, codeGrant(s.code(s.addUser(r, nil), "nonce", "n-1"))).mustOK()
			s.recordToken(tokens, "id_token")
			s.wait(seconds(2))
			refreshed := s.refresh(r, tokens).mustOK()
			s.recordToken(refreshed, "id_token")
			s.recordToken(refreshed, "access_token")
			s.note("same auth_time: %t",
				refreshed.claims("id_token")["auth_time"] == tokens.claims("id_token")["auth_time"])
		})

		// addScopes adds a scenario that sends a refresh with a scope, and then a refresh without a
		// scope.
		addScopes := func(name, loginScope, refreshScope string) {
			suite.add("scope: "+name, func(s *scenario) {
				tokens := s.login(s.addUser(r, nil), "scope", loginScope)
				refreshed := s.refresh(r, tokens, "scope", refreshScope)
				s.recordOutcome(loginScope+" then "+refreshScope, refreshed)
				if refreshed.status != 200 {
					return
				}
				for _, resp := range []response{refreshed, s.refresh(r, refreshed).mustOK()} {
					s.recordFields(resp, "scope")
					s.recordClaims(resp, "refresh_token", "scope")
					s.note("ID token: %t, phone in the access token: %v",
						resp.value("id_token") != nil,
						strings.Contains(asString(resp.claims("access_token")["scope"]), "phone"))
				}
			})
		}
		addScopes("narrower", "openid phone address", "openid phone")
		addScopes("without openid", "openid phone", "phone")
		addScopes("wider", "phone", "openid phone address")
		addScopes("only a default scope", "openid phone", "email")
		addScopes("empty", "openid", "")
		addScopes("unknown", "openid", "openid bogus")
		addScopes("spaces", "openid phone", "openid  phone")
		addScopes("narrower, offline", "openid phone offline_access", "openid")
		addScopes("only offline_access", "openid phone offline_access", "offline_access")
		addScopes("unknown, offline", "openid offline_access", "openid bogus")
		addScopes("offline_access later", "openid", "openid offline_access")

		suite.add("changes of the user are visible", func(s *scenario) {
			u := s.addUser(r, nil)
			tokens := s.login(u)
			s.must(s.kc.grantRole(u.userRef, roleRef{name: "late"}))
			s.must(s.kc.patchUser(u.userRef, object{"firstName": "Changed"}))
			refreshed := s.refresh(r, tokens).mustOK()
			s.recordClaims(refreshed, "access_token", "realm_access", "given_name", "name")
			s.must(s.kc.revokeRole(u.userRef, roleRef{name: "late"}))
			s.recordClaims(s.refresh(r, refreshed).mustOK(), "access_token", "realm_access")
		})
		suite.add("changes of the user that don't matter", func(s *scenario) {
			u := s.addUser(r, nil)
			tokens := s.login(u)
			s.must(s.kc.patchUser(u.userRef,
				object{"requiredActions": []string{"UPDATE_PASSWORD"}}))
			s.recordOutcome("a required action", s.refresh(r, tokens))
			s.must(s.kc.resetPassword(u.userRef, "changed"))
			s.recordOutcome("a new password", s.refresh(r, tokens))
			s.must(s.kc.patchUser(u.userRef, object{"email": ""}))
			s.recordOutcome("no e-mail", s.refresh(r, tokens))
		})
		suite.add("disabled user", func(s *scenario) {
			u := s.addUser(r, nil)
			tokens := s.login(u)
			s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
			s.record(s.refresh(r, tokens))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": true}))
			s.recordOutcome("enabled again", s.refresh(r, tokens))
		})
		suite.add("disabled client", func(s *scenario) {
			closingCreds := clientParams("closing")
			tokens := s.login(s.addUser(r, nil), closingCreds...)
			r.patchClient(s, "closing", object{"directAccessGrantsEnabled": false})
			s.recordOutcome("direct grants off", s.refresh(r, tokens, closingCreds...))
			r.patchClient(s, "closing", object{"enabled": false})
			s.recordOutcome("disabled", s.refresh(r, tokens, closingCreds...))
			r.patchClient(s, "closing", object{"enabled": true})
			s.recordOutcome("enabled again", s.refresh(r, tokens, closingCreds...))
		})
	})
}

// TestRefresh_refused records refresh tokens that Keycloak rejects. Expired tokens are in
// lifespan_test.go, revoked tokens in notbefore_test.go, and rotated keys in keys_test.go.
func TestRefresh_refused(t *testing.T) {
	run(t, "refresh-refused", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil, clientJSON("other", nil)))
		otherRealm := suite.addRealm(realmJSON(nil))
		addRejectedToken := func(name string, token func(*scenario, response) string) {
			suite.add(name, func(s *scenario) {
				tokens := s.login(s.addUser(r, nil))
				s.recordOutcome("refresh", s.token(r, refreshGrant(token(s, tokens))))
			})
		}
		suite.add("absent", func(s *scenario) {
			s.record(s.token(r, withParams(clientForm("api"), "grant_type", "refresh_token")))
		})
		suite.add("empty", func(s *scenario) { s.record(s.token(r, refreshGrant(""))) })
		suite.add("garbage", func(s *scenario) { s.record(s.token(r, refreshGrant("garbage"))) })
		addRejectedToken("an access token", func(_ *scenario, resp response) string {
			return resp.field("access_token")
		})
		addRejectedToken("an ID token", func(_ *scenario, resp response) string {
			return resp.field("id_token")
		})
		addRejectedToken("a bad signature", func(_ *scenario, resp response) string {
			parts := strings.Split(resp.field("refresh_token"), ".")
			return parts[0] + "." + parts[1] + "." +
				base64.RawURLEncoding.EncodeToString(make([]byte, 64))
		})
		addRejectedToken("an unknown key", func(_ *scenario, resp response) string {
			return signToken(object{"alg": "HS512", "typ": "JWT",
				"kid": "9f0b7f0e-1d3c-4b5a-8d47-0d3b7c9f2c11"}, resp.claims("refresh_token"))
		})
		addRejectedToken("another key with the right ID", func(_ *scenario, resp response) string {
			return signToken(object{"alg": "HS512", "typ": "JWT",
				"kid": kidOf(resp.field("refresh_token"))}, resp.claims("refresh_token"))
		})
		addRejectedToken("not signed", func(_ *scenario, resp response) string {
			token := signToken(object{"alg": "none", "typ": "JWT",
				"kid": kidOf(resp.field("refresh_token"))}, resp.claims("refresh_token"))
			return token[:strings.LastIndex(token, ".")+1]
		})
		addRejectedToken("of another realm", func(s *scenario, _ response) string {
			return s.login(s.addUser(otherRealm, nil)).field("refresh_token")
		})
		addRejectedToken("with a space", func(_ *scenario, resp response) string {
			return " " + resp.field("refresh_token")
		})
		// Keycloak accepts some other spellings of a token. Code that identifies a token by its
		// text must reject these spellings.
		suite.add("other spellings", func(s *scenario) {
			token := s.login(s.addUser(r, nil)).field("refresh_token")
			parts := strings.Split(token, ".")
			signingInput, signature := parts[0]+"."+parts[1]+".", parts[2]
			for _, spelling := range []struct{ name, token string }{
				{"stray bits at the end", token[:len(token)-1] +
					flipLowestBit(token[len(token)-1])},
				{"stray bits in the header", parts[0][:len(parts[0])-1] +
					flipLowestBit(parts[0][len(parts[0])-1]) + "." + parts[1] + "." + signature},
				{"padding", token + "=="},
				{"too much padding", token + "==="},
				{"padding of the header", parts[0] + "=." + parts[1] + "." + signature},
				{"padding, and more", token + "==AAAA"},
				{"the other alphabet", signingInput +
					strings.NewReplacer("-", "+", "_", "/").Replace(signature)},
				{"a line break in the signature", signingInput + signature[:20] + "\n" +
					signature[20:]},
				{"a line break in the payload", parts[0] + "." + parts[1][:20] + "\r\n" +
					parts[1][20:] + "." + signature},
				{"a line break at the end", token + "\r\n"},
				{"a tab", "\t" + token},
				{"a zero byte", token + "\x00"},
				{"a space in the signature", signingInput + signature[:20] + " " + signature[20:]},
				{"a space at the end", token + " "},
				{"a dot at the end", token + "."},
				{"dots at the end", token + "..."},
				{"a dot in front", "." + token},
				{"four parts", token + ".AAAA"},
				{"five parts", token + ".AAAA.AAAA"},
				{"two parts", strings.TrimSuffix(signingInput, ".")},
				{"no signature", signingInput},
				{"a signature that goes on", token + "AAAA"},
				{"a character of neither alphabet", signingInput + signature[:20] + "!" +
					signature[20:]},
				{"4,000 characters", strings.Repeat("A", 4000)},
				{"4,001 characters", strings.Repeat("A", 4001)},
			} {
				s.recordOutcome("refresh, "+spelling.name, s.token(r, refreshGrant(spelling.token)))
				s.recordOutcome("logout, "+spelling.name,
					s.post(r.endpoint("/logout"),
						withParams(clientForm("api"), "refresh_token", spelling.token)))
			}
		})
		suite.add("another client's", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil), clientParams("other")...)
			s.record(s.refresh(r, tokens))
			s.recordOutcome("its own client",
				s.refresh(r, tokens, clientParams("other")...))
		})
		suite.add("wrong secret", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil))
			s.recordOutcome("refresh", s.refresh(r, tokens, "client_secret", "wrong"))
			s.recordOutcome("then right", s.refresh(r, tokens))
		})

		addAfterChange := func(name string, change func(*scenario, *user, response)) {
			suite.add(name, func(s *scenario) {
				u := s.addUser(r, nil)
				tokens := s.login(u)
				change(s, u, tokens)
				s.recordOutcome("refresh", s.refresh(r, tokens))
			})
		}
		addAfterChange("after logout", func(s *scenario, _ *user, resp response) {
			s.recordOutcome("logout",
				s.post(r.endpoint("/logout"),
					withParams(clientForm("api"), "refresh_token", resp.field("refresh_token"))))
		})
		addAfterChange("after revocation", func(s *scenario, _ *user, resp response) {
			s.recordOutcome("revoke",
				s.post(r.endpoint("/revoke"),
					withParams(clientForm("api"), "token", resp.field("refresh_token"))))
		})
		addAfterChange("after a logout by the administrator",
			func(s *scenario, u *user, _ response) {
				s.must(s.kc.logoutUser(u.userRef))
			})
		addAfterChange("after the session was deleted", func(s *scenario, u *user, resp response) {
			s.must(s.kc.endSession(sessionRef{realm: r.name, sid: resp.field("session_state")}))
		})
		addAfterChange("after the user was deleted", func(s *scenario, u *user, _ response) {
			s.must(s.kc.deleteUser(u.userRef))
		})
		addAfterChange("code used twice", func(s *scenario, u *user, _ response) {
			code := s.code(u)
			first := s.token(r, codeGrant(code)).mustOK()
			s.recordOutcome("second use", s.token(r, codeGrant(code)))
			s.recordOutcome("refresh of the first use", s.refresh(r, first))
		})
		suite.add("revoked while another client shares the session", func(s *scenario) {
			u := s.addUser(r, nil)
			b := s.newBrowser()
			first := s.token(r, codeGrant(b.login(u).redirectQuery().Get("code"))).mustOK()
			code := b.open(r.authURL("client_id", "other")).redirectQuery().Get("code")
			other := s.token(r, codeGrant(code, clientParams("other")...)).mustOK()
			s.note("same session: %t", first.field("session_state") == other.field("session_state"))
			s.recordOutcome("revoke",
				s.post(r.endpoint("/revoke"),
					withParams(clientForm("api"), "token", first.field("refresh_token"))))
			s.recordOutcome("refresh", s.refresh(r, first))
			s.recordOutcome("refresh of the other",
				s.refresh(r, other, clientParams("other")...))
		})

		suite.add("changed issuer", func(s *scenario) {
			r := s.importRealm(realmJSON(nil))
			tokens := s.login(s.addUser(r, nil))
			r.patch(s, object{"notBefore": s.kc.now().Unix() - 100})
			s.recordOutcome("not before, but earlier", s.refresh(r, tokens))
			r.patch(s, object{"attributes": object{"frontendUrl": "https://id.example"}})
			s.recordOutcome("refresh", s.refresh(r, tokens))
			s.recordOutcome("userinfo",
				s.userinfo(r, tokens))
			s.recordFields(s.get(r.url("/.well-known/openid-configuration")), "issuer",
				"token_endpoint", "jwks_uri")
		})

		addOfflineSession := func(name string, invalidate func(*scenario, *user, response)) {
			suite.add("offline: "+name, func(s *scenario) {
				u := s.addUser(r, nil)
				tokens := s.login(u, "scope", "openid offline_access")
				invalidate(s, u, tokens)
				s.recordOutcome("refresh", s.refresh(r, tokens))
			})
		}
		addOfflineSession("after logout", func(s *scenario, _ *user, resp response) {
			s.recordOutcome("logout",
				s.post(r.endpoint("/logout"),
					withParams(clientForm("api"), "refresh_token", resp.field("refresh_token"))))
		})
		addOfflineSession("after revocation", func(s *scenario, _ *user, resp response) {
			s.recordOutcome("revoke",
				s.post(r.endpoint("/revoke"),
					withParams(clientForm("api"), "token", resp.field("refresh_token"))))
		})
		addOfflineSession("after consent was revoked", func(s *scenario, u *user, _ response) {
			s.must(s.kc.revokeConsent(u.userRef, "api"))
		})
		addOfflineSession("after the session was deleted", func(s *scenario, _ *user,
			resp response) {
			s.must(
				s.kc.endSession(sessionRef{realm: r.name, sid: resp.field("session_state"),
					offline: true}))
		})
		addOfflineSession("after a logout by the administrator",
			func(s *scenario, u *user, resp response) {
				// The logout sets the user's notBefore. A token that was issued in the same second
				// would stay valid.
				s.wait(seconds(2))
				s.must(s.kc.logoutUser(u.userRef))
			})
		addOfflineSession("after the role was revoked", func(s *scenario, u *user, _ response) {
			s.must(s.kc.revokeRole(u.userRef, roleRef{name: "default-roles-" + r.name}))
		})
	})
}

// signToken returns a token with this header and these claims, signed with a key that Keycloak
// doesn't have.
func signToken(header, claims object) string {
	encode := func(o object) string {
		text, _ := json.Marshal(o)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signingInput := encode(header) + "." + encode(claims)
	mac := hmac.New(sha512.New, []byte("a key that Keycloak doesn't have"))
	mac.Write([]byte(signingInput))
	return signingInput + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// flipLowestBit returns the base64url character that differs from char only in its lowest bit. In
// the last character of the header and of a 64-byte signature, that bit is unused.
func flipLowestBit(char byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, char)^1])
}
