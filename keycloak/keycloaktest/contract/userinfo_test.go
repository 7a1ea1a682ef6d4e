package contract

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestUserinfo records responses of the UserInfo endpoint.
func TestUserinfo(t *testing.T) {
	run(t, "userinfo", func(suite *testSuite) {
		r := suite.addRealm(
			realmJSON(object{"groups": []object{{"name": "staff"}},
				"roles": object{"realm": []object{{"name": "clerk"}}}},
				clientJSON("mapping", object{"protocolMappers": []object{
					mapperJSON("groups", "oidc-group-membership-mapper",
						object{"claim.name": "groups", "full.path": "true",
							"userinfo.token.claim": "true"}),
					mapperJSON("seen", "oidc-hardcoded-claim-mapper",
						object{"claim.name": "seen", "claim.value": "yes",
							"jsonType.label": "String", "userinfo.token.claim": "true"}),
					mapperJSON("unseen", "oidc-hardcoded-claim-mapper",
						object{"claim.name": "unseen", "claim.value": "no",
							"jsonType.label":       "String",
							"userinfo.token.claim": "false", "access.token.claim": "true"}),
					mapperJSON("roles", "oidc-usermodel-realm-role-mapper",
						object{"claim.name": "duties", "multivalued": "true",
							"userinfo.token.claim": "true"}),
				}}),
				clientJSON("brief", object{"attributes": object{"access.token.lifespan": "10"}}),
				clientJSON("lightweight",
					object{
						"attributes": object{"client.use.lightweight.access.token.enabled": "true"},
					}),
				clientJSON("origins", object{"webOrigins": []string{"http://app.test"}}),
			))
		otherRealm := suite.addRealm(realmJSON(nil))
		addUserinfoClaims(suite, r)
		addRejectedUserinfoRequests(suite, r, otherRealm)
		addUserinfoOrigins(suite, r)
	})
}

func addUserinfoClaims(suite *testSuite, r *realm) {
	suite.add("GET", func(s *scenario) { s.record(s.userinfo(r, s.login(s.addUser(r, nil)))) })
	suite.add("POST with the header", func(s *scenario) {
		s.record(s.send(http.MethodPost, r.endpoint("/userinfo"), "", "Authorization",
			"Bearer "+s.login(s.addUser(r, nil)).field("access_token")))
	})
	suite.add("POST with a form", func(s *scenario) {
		s.record(s.post(r.endpoint("/userinfo"),
			form("access_token", s.login(s.addUser(r, nil)).field("access_token"))))
	})
	suite.add("case of the scheme", func(s *scenario) {
		token := s.login(s.addUser(r, nil)).field("access_token")
		for _, scheme := range []string{"bearer", "BEARER"} {
			s.recordOutcome(scheme,
				s.get(r.endpoint("/userinfo"), "Authorization", scheme+" "+token))
		}
	})
	suite.add("with another Accept", func(s *scenario) {
		token := s.login(s.addUser(r, nil)).field("access_token")
		for _, accept := range []string{"text/html", "application/json", browserAccept} {
			resp := s.get(r.endpoint("/userinfo"), "Authorization", "Bearer "+token, "Accept",
				accept)
			s.note("%s: %d %s", accept, resp.status, resp.header.Get("Content-Type"))
		}
	})
	suite.add("more scopes", func(s *scenario) {
		u := s.addUser(r, object{"emailVerified": true})
		s.recordBody(s.userinfo(r, s.login(u, "scope", "openid phone address microprofile-jwt")))
	})
	suite.add("mappers", func(s *scenario) {
		u := s.addUser(r, object{"groups": []string{"/staff"}})
		s.must(s.kc.grantRole(u.userRef, roleRef{name: "clerk"}))
		s.recordBody(s.userinfo(r,
			s.login(u, clientParams("mapping")...)))
	})
	suite.add("user changed after the token", func(s *scenario) {
		u := s.addUser(r, nil)
		tokens := s.login(u)
		s.must(s.kc.patchUser(u.userRef, object{"firstName": "New", "emailVerified": true}))
		s.recordBody(s.userinfo(r, tokens))
	})
	suite.add("offline session", func(s *scenario) {
		s.recordOutcome("userinfo",
			s.userinfo(r, s.login(s.addUser(r, nil), "scope", "openid offline_access")))
	})
}

func addRejectedUserinfoRequests(suite *testSuite, r, otherRealm *realm) {
	addRejectedRequest := func(name string, send func(s *scenario, token string) response) {
		suite.add("refused: "+name, func(s *scenario) {
			s.record(send(s, s.login(s.addUser(r, nil)).field("access_token")))
		})
	}
	addRejectedRequest("no token", func(s *scenario, _ string) response {
		return s.get(r.endpoint("/userinfo"))
	})
	addRejectedRequest("no token by POST", func(s *scenario, _ string) response {
		return s.post(r.endpoint("/userinfo"), form())
	})
	addRejectedRequest("basic", func(s *scenario, _ string) response {
		return s.get(r.endpoint("/userinfo"), "Authorization", basicAuth("api", "api-secret"))
	})
	addRejectedRequest("empty bearer", func(s *scenario, _ string) response {
		return s.get(r.endpoint("/userinfo"), "Authorization", "Bearer ")
	})
	addRejectedRequest("token in the query", func(s *scenario, token string) response {
		return s.get(r.endpoint("/userinfo?access_token=" + token))
	})
	addRejectedRequest("garbage", func(s *scenario, _ string) response {
		return s.get(r.endpoint("/userinfo"), "Authorization", "Bearer garbage")
	})
	addRejectedRequest("unsigned", func(s *scenario, _ string) response {
		return s.get(r.endpoint("/userinfo"), "Authorization", "Bearer "+unsignedToken(r.url("")))
	})
	addRejectedRequest("bad signature", func(s *scenario, token string) response {
		parts := strings.Split(token, ".")
		claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
		parts[1] = base64.RawURLEncoding.EncodeToString(
			[]byte(strings.Replace(string(claims), `"scope":"`, `"scope":"admin `, 1)))
		return s.get(r.endpoint("/userinfo"), "Authorization", "Bearer "+strings.Join(parts, "."))
	})
	addRejectedRequest("token in header and form", func(s *scenario, token string) response {
		return s.post(r.endpoint("/userinfo"), form("access_token", token), "Authorization",
			"Bearer "+token)
	})
	addRejectedRequest("other realm", func(s *scenario, token string) response {
		return s.get(otherRealm.endpoint("/userinfo"), "Authorization", "Bearer "+token)
	})
	addRejectedRequest("PUT", func(s *scenario, token string) response {
		return s.send(http.MethodPut, r.endpoint("/userinfo"), "", "Authorization", "Bearer "+token)
	})
	addTokenSyntax := func(name string, send func(s *scenario, token string) response) {
		suite.add("token syntax: "+name, func(s *scenario) {
			s.recordOutcome("userinfo", send(s, s.login(s.addUser(r, nil)).field("access_token")))
		})
	}
	addTokenInHeader := func(name string, headers func(token string) []string) {
		addTokenSyntax(name, func(s *scenario, token string) response {
			return s.get(r.endpoint("/userinfo"), headers(token)...)
		})
	}
	addTokenInHeader("two blanks", func(token string) []string {
		return []string{"Authorization", "Bearer  " + token}
	})
	addTokenInHeader("three words", func(token string) []string {
		return []string{"Authorization", "Bearer " + token + " x"}
	})
	addTokenInHeader("a tab", func(token string) []string {
		return []string{"Authorization", "Bearer\t" + token}
	})
	addTokenInHeader("no scheme", func(token string) []string {
		return []string{"Authorization", token}
	})
	addTokenInHeader("no token", func(string) []string {
		return []string{"Authorization", "Bearer"}
	})
	addTokenInHeader("lower-case scheme", func(token string) []string {
		return []string{"Authorization", "bearer " + token}
	})
	addTokenInHeader("two headers", func(token string) []string {
		return []string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token}
	})
	addTokenInHeader("two schemes", func(token string) []string {
		return []string{"Authorization", "Basic eDp5", "Authorization", "Bearer " + token}
	})
	addTokenInForm := func(name, contentType string, body func(token string) string,
		headers ...string) {
		addTokenSyntax(name, func(s *scenario, token string) response {
			return s.send(http.MethodPost, r.endpoint("/userinfo"), body(token),
				append([]string{"Content-Type", contentType}, headers...)...)
		})
	}
	const formType = "application/x-www-form-urlencoded"
	addTokenInForm("twice in the form", formType, func(token string) string {
		return "access_token=" + token + "&access_token=" + token
	})
	addTokenInForm("empty in the form", formType, func(string) string { return "access_token=" })
	addTokenInForm("in the form, and another scheme", formType, func(token string) string {
		return "access_token=" + token
	}, "Authorization", "Basic eDp5")
	addTokenInForm("in a text/plain body", "text/plain", func(token string) string {
		return "access_token=" + token
	})
	addTokenInForm("in a form, upper-case content type", strings.ToUpper(formType),
		func(token string) string {
			return "access_token=" + token
		})
	addTokenInForm("with padding", formType, func(token string) string {
		return "access_token=" + token + "%3D"
	})
	addTokenInForm("with a line break", formType, func(token string) string {
		return "access_token=" + token + "%0A"
	})
	addTokenInForm("with a line break inside", formType, func(token string) string {
		return "access_token=" + token[:30] + "%0D" + token[30:]
	})
	addTokenInForm("with a control character", formType, func(token string) string {
		return "access_token=" + token[:30] + "%01" + token[30:]
	})
	addTokenInForm("with a trailing dot", formType, func(token string) string {
		return "access_token=" + token + "."
	})
	suite.add("refused: ID token and refresh token", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil))
		for _, name := range []string{"id_token", "refresh_token"} {
			s.record(s.get(r.endpoint("/userinfo"), "Authorization", "Bearer "+tokens.field(name)))
		}
	})
	suite.add("refused: expired", func(s *scenario) {
		done := s.setDeadline(seconds(9))
		tokens := s.login(s.addUser(r, nil), clientParams("brief")...)
		s.recordOutcome("at once", s.userinfo(r, tokens))
		done()
		s.wait(seconds(12))
		s.record(s.userinfo(r, tokens))
	})
	suite.add("refused: without the scope openid", func(s *scenario) {
		s.record(s.userinfo(r, s.token(r, passwordGrant(s.addUser(r, nil))).mustOK()))
	})
	suite.add("refused: service account", func(s *scenario) {
		s.record(s.userinfo(r,
			s.token(r, clientCredentialsGrant("service")).mustOK()))
		s.recordOutcome("with openid",
			s.userinfo(r,
				s.token(r,
					clientCredentialsGrant("service", "scope",
						"openid")).mustOK()))
	})
	suite.add("refused: lightweight token", func(s *scenario) {
		s.record(s.userinfo(r,
			s.login(s.addUser(r, nil), clientParams("lightweight")...)))
	})
	addAfterEnd := func(name string, invalidate func(s *scenario, u *user, tokens response)) {
		suite.add("refused: "+name, func(s *scenario) {
			u := s.addUser(r, nil)
			tokens := s.login(u)
			invalidate(s, u, tokens)
			s.record(s.userinfo(r, tokens))
		})
	}
	addAfterEnd("logged out", func(s *scenario, u *user, tokens response) {
		s.logout(r, tokens.field("refresh_token"))
	})
	addAfterEnd("revoked", func(s *scenario, u *user, tokens response) {
		s.revoke(r, tokens.field("access_token"))
	})
	addAfterEnd("user disabled", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
	})
	addAfterEnd("user deleted", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.deleteUser(u.userRef))
	})
	addAfterEnd("user logged out by an administrator", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.logoutUser(u.userRef))
	})
}

func addUserinfoOrigins(suite *testSuite, r *realm) {
	originsCreds := clientParams("origins")
	suite.add("origin of the client", func(s *scenario) {
		token := s.login(s.addUser(r, nil), originsCreds...).field("access_token")
		s.record(s.get(r.endpoint("/userinfo"), "Authorization", "Bearer "+token, "Origin",
			"http://app.test"))
	})
	suite.add("origin that isn't allowed", func(s *scenario) {
		token := s.login(s.addUser(r, nil), originsCreds...).field("access_token")
		s.record(s.get(r.endpoint("/userinfo"), "Authorization", "Bearer "+token, "Origin",
			"http://evil.test"))
	})
	suite.add("origin with an invalid token", func(s *scenario) {
		s.record(s.get(r.endpoint("/userinfo"), "Authorization", "Bearer garbage", "Origin",
			"http://evil.test"))
		s.record(s.get(r.endpoint("/userinfo"), "Origin", "http://evil.test"))
	})
	suite.add("preflight", func(s *scenario) {
		s.record(s.send(http.MethodOptions, r.endpoint("/userinfo"), "",
			"Origin", "http://evil.test", "Access-Control-Request-Method", "GET",
			"Access-Control-Request-Headers", "authorization"))
	})
}

// unsignedToken returns a token without a signature.
func unsignedToken(issuer string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." +
		encode(fmt.Appendf(nil, `{"iss":%q,"sub":"x","typ":"Bearer","scope":"openid"}`, issuer)) +
		"."
}
