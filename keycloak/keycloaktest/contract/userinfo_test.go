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
	run(t, "userinfo", func(g *group) {
		r := g.realm(
			realmFile(object{"groups": []object{{"name": "staff"}},
				"roles": object{"realm": []object{{"name": "clerk"}}}},
				clientFile("mapping", object{"protocolMappers": []object{
					mapperFile("groups", "oidc-group-membership-mapper",
						object{"claim.name": "groups", "full.path": "true",
							"userinfo.token.claim": "true"}),
					mapperFile("seen", "oidc-hardcoded-claim-mapper",
						object{"claim.name": "seen", "claim.value": "yes",
							"jsonType.label": "String", "userinfo.token.claim": "true"}),
					mapperFile("unseen", "oidc-hardcoded-claim-mapper",
						object{"claim.name": "unseen", "claim.value": "no",
							"jsonType.label":       "String",
							"userinfo.token.claim": "false", "access.token.claim": "true"}),
					mapperFile("roles", "oidc-usermodel-realm-role-mapper",
						object{"claim.name": "duties", "multivalued": "true",
							"userinfo.token.claim": "true"}),
				}}),
				clientFile("brief", object{"attributes": object{"access.token.lifespan": "10"}}),
				clientFile("lightweight",
					object{
						"attributes": object{"client.use.lightweight.access.token.enabled": "true"},
					}),
				clientFile("origins", object{"webOrigins": []string{"http://app.test"}}),
			))
		otherRealm := g.realm(realmFile(nil))
		userinfoClaims(g, r)
		userinfoRefused(g, r, otherRealm)
		userinfoOrigins(g, r)
	})
}

func userinfoClaims(g *group, r *realm) {
	g.scenario("GET", func(s *scenario) { s.show(s.userinfo(r, s.login(s.user(r, nil)))) })
	g.scenario("POST with the header", func(s *scenario) {
		s.show(s.send(http.MethodPost, r.oidc("/userinfo"), "", "Authorization",
			"Bearer "+s.login(s.user(r, nil)).field("access_token")))
	})
	g.scenario("POST with a form", func(s *scenario) {
		s.show(s.post(r.oidc("/userinfo"),
			form("access_token", s.login(s.user(r, nil)).field("access_token"))))
	})
	g.scenario("case of the scheme", func(s *scenario) {
		token := s.login(s.user(r, nil)).field("access_token")
		for _, scheme := range []string{"bearer", "BEARER"} {
			s.outcome(scheme, s.get(r.oidc("/userinfo"), "Authorization", scheme+" "+token))
		}
	})
	g.scenario("with another Accept", func(s *scenario) {
		token := s.login(s.user(r, nil)).field("access_token")
		for _, accept := range []string{"text/html", "application/json", browserAccept} {
			resp := s.get(r.oidc("/userinfo"), "Authorization", "Bearer "+token, "Accept", accept)
			s.note("%s: %d %s", accept, resp.status, resp.header.Get("Content-Type"))
		}
	})
	g.scenario("more scopes", func(s *scenario) {
		u := s.user(r, object{"emailVerified": true})
		s.showBody(s.userinfo(r, s.login(u, "scope", "openid phone address microprofile-jwt")))
	})
	g.scenario("mappers", func(s *scenario) {
		u := s.user(r, object{"groups": []string{"/staff"}})
		s.must(s.kc.grantRole(u.userRef, roleRef{name: "clerk"}))
		s.showBody(s.userinfo(r,
			s.login(u, credsOf("mapping")...)))
	})
	g.scenario("user changed after the token", func(s *scenario) {
		u := s.user(r, nil)
		tokens := s.login(u)
		s.must(s.kc.patchUser(u.userRef, object{"firstName": "New", "emailVerified": true}))
		s.showBody(s.userinfo(r, tokens))
	})
	g.scenario("offline session", func(s *scenario) {
		s.outcome("userinfo",
			s.userinfo(r, s.login(s.user(r, nil), "scope", "openid offline_access")))
	})
}

func userinfoRefused(g *group, r, otherRealm *realm) {
	refused := func(name string, send func(s *scenario, token string) response) {
		g.scenario("refused: "+name, func(s *scenario) {
			s.show(send(s, s.login(s.user(r, nil)).field("access_token")))
		})
	}
	refused("no token", func(s *scenario, _ string) response { return s.get(r.oidc("/userinfo")) })
	refused("no token by POST", func(s *scenario, _ string) response {
		return s.post(r.oidc("/userinfo"), form())
	})
	refused("basic", func(s *scenario, _ string) response {
		return s.get(r.oidc("/userinfo"), "Authorization", basicAuth("api", "api-secret"))
	})
	refused("empty bearer", func(s *scenario, _ string) response {
		return s.get(r.oidc("/userinfo"), "Authorization", "Bearer ")
	})
	refused("token in the query", func(s *scenario, token string) response {
		return s.get(r.oidc("/userinfo?access_token=" + token))
	})
	refused("garbage", func(s *scenario, _ string) response {
		return s.get(r.oidc("/userinfo"), "Authorization", "Bearer garbage")
	})
	refused("unsigned", func(s *scenario, _ string) response {
		return s.get(r.oidc("/userinfo"), "Authorization", "Bearer "+unsignedToken(r.url("")))
	})
	refused("bad signature", func(s *scenario, token string) response {
		parts := strings.Split(token, ".")
		claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
		parts[1] = base64.RawURLEncoding.EncodeToString(
			[]byte(strings.Replace(string(claims), `"scope":"`, `"scope":"admin `, 1)))
		return s.get(r.oidc("/userinfo"), "Authorization", "Bearer "+strings.Join(parts, "."))
	})
	refused("token in header and form", func(s *scenario, token string) response {
		return s.post(r.oidc("/userinfo"), form("access_token", token), "Authorization",
			"Bearer "+token)
	})
	refused("other realm", func(s *scenario, token string) response {
		return s.get(otherRealm.oidc("/userinfo"), "Authorization", "Bearer "+token)
	})
	refused("PUT", func(s *scenario, token string) response {
		return s.send(http.MethodPut, r.oidc("/userinfo"), "", "Authorization", "Bearer "+token)
	})
	tokenSyntax := func(name string, send func(s *scenario, token string) response) {
		g.scenario("token syntax: "+name, func(s *scenario) {
			s.outcome("userinfo", send(s, s.login(s.user(r, nil)).field("access_token")))
		})
	}
	inHeader := func(name string, headers func(token string) []string) {
		tokenSyntax(name, func(s *scenario, token string) response {
			return s.get(r.oidc("/userinfo"), headers(token)...)
		})
	}
	inHeader("two blanks", func(token string) []string {
		return []string{"Authorization", "Bearer  " + token}
	})
	inHeader("three words", func(token string) []string {
		return []string{"Authorization", "Bearer " + token + " x"}
	})
	inHeader("a tab", func(token string) []string {
		return []string{"Authorization", "Bearer\t" + token}
	})
	inHeader("no scheme", func(token string) []string { return []string{"Authorization", token} })
	inHeader("no token", func(string) []string { return []string{"Authorization", "Bearer"} })
	inHeader("lower-case scheme", func(token string) []string {
		return []string{"Authorization", "bearer " + token}
	})
	inHeader("two headers", func(token string) []string {
		return []string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token}
	})
	inHeader("two schemes", func(token string) []string {
		return []string{"Authorization", "Basic eDp5", "Authorization", "Bearer " + token}
	})
	inForm := func(name, contentType string, body func(token string) string, headers ...string) {
		tokenSyntax(name, func(s *scenario, token string) response {
			return s.send(http.MethodPost, r.oidc("/userinfo"), body(token),
				append([]string{"Content-Type", contentType}, headers...)...)
		})
	}
	const formType = "application/x-www-form-urlencoded"
	inForm("twice in the form", formType, func(token string) string {
		return "access_token=" + token + "&access_token=" + token
	})
	inForm("empty in the form", formType, func(string) string { return "access_token=" })
	inForm("in the form, and another scheme", formType, func(token string) string {
		return "access_token=" + token
	}, "Authorization", "Basic eDp5")
	inForm("in a text/plain body", "text/plain", func(token string) string {
		return "access_token=" + token
	})
	inForm("in a form, upper-case content type", strings.ToUpper(formType), func(token string) string {
		return "access_token=" + token
	})
	inForm("with padding", formType, func(token string) string {
		return "access_token=" + token + "%3D"
	})
	inForm("with a line break", formType, func(token string) string {
		return "access_token=" + token + "%0A"
	})
	inForm("with a line break inside", formType, func(token string) string {
		return "access_token=" + token[:30] + "%0D" + token[30:]
	})
	inForm("with a control character", formType, func(token string) string {
		return "access_token=" + token[:30] + "%01" + token[30:]
	})
	inForm("with a trailing dot", formType, func(token string) string {
		return "access_token=" + token + "."
	})
	g.scenario("refused: ID token and refresh token", func(s *scenario) {
		tokens := s.login(s.user(r, nil))
		for _, name := range []string{"id_token", "refresh_token"} {
			s.show(s.get(r.oidc("/userinfo"), "Authorization", "Bearer "+tokens.field(name)))
		}
	})
	g.scenario("refused: expired", func(s *scenario) {
		done := s.deadline(sec(9))
		tokens := s.login(s.user(r, nil), credsOf("brief")...)
		s.outcome("at once", s.userinfo(r, tokens))
		done()
		s.wait(sec(12))
		s.show(s.userinfo(r, tokens))
	})
	g.scenario("refused: without the scope openid", func(s *scenario) {
		s.show(s.userinfo(r, s.token(r, passwordGrant(s.user(r, nil))).ok()))
	})
	g.scenario("refused: service account", func(s *scenario) {
		s.show(s.userinfo(r,
			s.token(r, with(secretOf("service"), "grant_type", "client_credentials")).ok()))
		s.outcome("with openid",
			s.userinfo(r,
				s.token(r,
					with(secretOf("service"), "grant_type", "client_credentials", "scope",
						"openid")).ok()))
	})
	g.scenario("refused: lightweight token", func(s *scenario) {
		s.show(s.userinfo(r,
			s.login(s.user(r, nil), credsOf("lightweight")...)))
	})
	afterEnd := func(name string, end func(s *scenario, u *user, tokens response)) {
		g.scenario("refused: "+name, func(s *scenario) {
			u := s.user(r, nil)
			tokens := s.login(u)
			end(s, u, tokens)
			s.show(s.userinfo(r, tokens))
		})
	}
	afterEnd("logged out", func(s *scenario, u *user, tokens response) {
		s.logout(r, tokens.field("refresh_token"))
	})
	afterEnd("revoked", func(s *scenario, u *user, tokens response) {
		s.revoke(r, tokens.field("access_token"))
	})
	afterEnd("user disabled", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
	})
	afterEnd("user deleted", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.deleteUser(u.userRef))
	})
	afterEnd("user logged out by an administrator", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.logoutUser(u.userRef))
	})
}

func userinfoOrigins(g *group, r *realm) {
	origins := credsOf("origins")
	g.scenario("origin of the client", func(s *scenario) {
		token := s.login(s.user(r, nil), origins...).field("access_token")
		s.show(s.get(r.oidc("/userinfo"), "Authorization", "Bearer "+token, "Origin",
			"http://app.test"))
	})
	g.scenario("origin that isn't allowed", func(s *scenario) {
		token := s.login(s.user(r, nil), origins...).field("access_token")
		s.show(s.get(r.oidc("/userinfo"), "Authorization", "Bearer "+token, "Origin",
			"http://evil.test"))
	})
	g.scenario("origin with an invalid token", func(s *scenario) {
		s.show(s.get(r.oidc("/userinfo"), "Authorization", "Bearer garbage", "Origin",
			"http://evil.test"))
		s.show(s.get(r.oidc("/userinfo"), "Origin", "http://evil.test"))
	})
	g.scenario("preflight", func(s *scenario) {
		s.show(s.send(http.MethodOptions, r.oidc("/userinfo"), "", "Origin", "http://evil.test",
			"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers",
			"authorization"))
	})
}

// unsignedToken returns a token without a signature.
func unsignedToken(issuer string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." +
		encode(fmt.Appendf(nil, `{"iss":%q,"sub":"x","typ":"Bearer","scope":"openid"}`, issuer)) +
		"."
}
