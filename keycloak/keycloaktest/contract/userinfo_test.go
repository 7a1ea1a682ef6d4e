package contract

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// The userinfo endpoint.
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
				clientFile("light",
					object{
						"attributes": object{"client.use.lightweight.access.token.enabled": "true"},
					}),
				clientFile("origins", object{"webOrigins": []string{"http://app.test"}}),
			))
		other := g.realm(realmFile(nil))
		userinfoClaims(g, r)
		userinfoRefused(g, r, other)
		userinfoOrigins(g, r)
	})
}

func userinfoClaims(g *group, r *realm) {
	g.exchange("GET", func(x *exchange) { x.show(x.userinfo(r, x.login(x.user(r, nil)))) })
	g.exchange("POST with the header", func(x *exchange) {
		x.show(x.send(http.MethodPost, r.oidc("/userinfo"), "", "Authorization",
			"Bearer "+x.login(x.user(r, nil)).field("access_token")))
	})
	g.exchange("POST with a form", func(x *exchange) {
		x.show(x.post(r.oidc("/userinfo"),
			form("access_token", x.login(x.user(r, nil)).field("access_token"))))
	})
	g.exchange("case of the scheme", func(x *exchange) {
		token := x.login(x.user(r, nil)).field("access_token")
		for _, scheme := range []string{"bearer", "BEARER"} {
			x.outcome(scheme, x.get(r.oidc("/userinfo"), "Authorization", scheme+" "+token))
		}
	})
	g.exchange("with another Accept", func(x *exchange) {
		token := x.login(x.user(r, nil)).field("access_token")
		for _, accept := range []string{"text/html", "application/json", browserAccept} {
			a := x.get(r.oidc("/userinfo"), "Authorization", "Bearer "+token, "Accept", accept)
			x.note("%s: %d %s", accept, a.status, a.header.Get("Content-Type"))
		}
	})
	g.exchange("more scopes", func(x *exchange) {
		u := x.user(r, object{"emailVerified": true})
		x.showBody(x.userinfo(r, x.login(u, "scope", "openid phone address microprofile-jwt")))
	})
	g.exchange("mappers", func(x *exchange) {
		u := x.user(r, object{"groups": []string{"/staff"}})
		x.must(x.kc.grantRole(u.userRef, roleRef{name: "clerk"}))
		x.showBody(x.userinfo(r,
			x.login(u, "client_id", "mapping", "client_secret", "mapping-secret")))
	})
	g.exchange("user changed after the token", func(x *exchange) {
		u := x.user(r, nil)
		tokens := x.login(u)
		x.must(x.kc.patchUser(u.userRef, object{"firstName": "New", "emailVerified": true}))
		x.showBody(x.userinfo(r, tokens))
	})
	g.exchange("offline session", func(x *exchange) {
		x.outcome("userinfo",
			x.userinfo(r, x.login(x.user(r, nil), "scope", "openid offline_access")))
	})
}

func userinfoRefused(g *group, r, other *realm) {
	refused := func(name string, send func(x *exchange, token string) response) {
		g.exchange("refused: "+name, func(x *exchange) {
			x.show(send(x, x.login(x.user(r, nil)).field("access_token")))
		})
	}
	refused("no token", func(x *exchange, _ string) response { return x.get(r.oidc("/userinfo")) })
	refused("no token by POST", func(x *exchange, _ string) response {
		return x.post(r.oidc("/userinfo"), form())
	})
	refused("basic", func(x *exchange, _ string) response {
		return x.get(r.oidc("/userinfo"), "Authorization", basic("api", "api-secret"))
	})
	refused("empty bearer", func(x *exchange, _ string) response {
		return x.get(r.oidc("/userinfo"), "Authorization", "Bearer ")
	})
	refused("token in the query", func(x *exchange, token string) response {
		return x.get(r.oidc("/userinfo?access_token=" + token))
	})
	refused("garbage", func(x *exchange, _ string) response {
		return x.get(r.oidc("/userinfo"), "Authorization", "Bearer garbage")
	})
	refused("unsigned", func(x *exchange, _ string) response {
		return x.get(r.oidc("/userinfo"), "Authorization", "Bearer "+unsignedToken(r.url("")))
	})
	refused("bad signature", func(x *exchange, token string) response {
		parts := strings.Split(token, ".")
		claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
		parts[1] = base64.RawURLEncoding.EncodeToString(
			[]byte(strings.Replace(string(claims), `"scope":"`, `"scope":"admin `, 1)))
		return x.get(r.oidc("/userinfo"), "Authorization", "Bearer "+strings.Join(parts, "."))
	})
	refused("token in header and form", func(x *exchange, token string) response {
		return x.post(r.oidc("/userinfo"), form("access_token", token), "Authorization",
			"Bearer "+token)
	})
	refused("other realm", func(x *exchange, token string) response {
		return x.get(other.oidc("/userinfo"), "Authorization", "Bearer "+token)
	})
	refused("PUT", func(x *exchange, token string) response {
		return x.send(http.MethodPut, r.oidc("/userinfo"), "", "Authorization", "Bearer "+token)
	})
	read := func(name string, send func(x *exchange, token string) response) {
		g.exchange("token syntax: "+name, func(x *exchange) {
			x.outcome("userinfo", send(x, x.login(x.user(r, nil)).field("access_token")))
		})
	}
	header := func(name string, headers func(token string) []string) {
		read(name, func(x *exchange, token string) response {
			return x.get(r.oidc("/userinfo"), headers(token)...)
		})
	}
	header("two blanks", func(token string) []string {
		return []string{"Authorization", "Bearer  " + token}
	})
	header("three words", func(token string) []string {
		return []string{"Authorization", "Bearer " + token + " x"}
	})
	header("a tab", func(token string) []string {
		return []string{"Authorization", "Bearer\t" + token}
	})
	header("no scheme", func(token string) []string { return []string{"Authorization", token} })
	header("no token", func(string) []string { return []string{"Authorization", "Bearer"} })
	header("lower-case scheme", func(token string) []string {
		return []string{"Authorization", "bearer " + token}
	})
	header("two headers", func(token string) []string {
		return []string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token}
	})
	header("two schemes", func(token string) []string {
		return []string{"Authorization", "Basic eDp5", "Authorization", "Bearer " + token}
	})
	inForm := func(name, kind string, body func(token string) string, headers ...string) {
		read(name, func(x *exchange, token string) response {
			return x.send(http.MethodPost, r.oidc("/userinfo"), body(token),
				append([]string{"Content-Type", kind}, headers...)...)
		})
	}
	const usual = "application/x-www-form-urlencoded"
	inForm("twice in the form", usual, func(token string) string {
		return "access_token=" + token + "&access_token=" + token
	})
	inForm("empty in the form", usual, func(string) string { return "access_token=" })
	inForm("in the form, and another scheme", usual, func(token string) string {
		return "access_token=" + token
	}, "Authorization", "Basic eDp5")
	inForm("in a text/plain body", "text/plain", func(token string) string {
		return "access_token=" + token
	})
	inForm("in a form, upper-case content type", strings.ToUpper(usual), func(token string) string {
		return "access_token=" + token
	})
	inForm("with padding", usual, func(token string) string {
		return "access_token=" + token + "%3D"
	})
	inForm("with a line break", usual, func(token string) string {
		return "access_token=" + token + "%0A"
	})
	inForm("with a line break inside", usual, func(token string) string {
		return "access_token=" + token[:30] + "%0D" + token[30:]
	})
	inForm("with a control character", usual, func(token string) string {
		return "access_token=" + token[:30] + "%01" + token[30:]
	})
	inForm("with a trailing dot", usual, func(token string) string {
		return "access_token=" + token + "."
	})
	g.exchange("refused: ID token and refresh token", func(x *exchange) {
		tokens := x.login(x.user(r, nil))
		for _, name := range []string{"id_token", "refresh_token"} {
			x.show(x.get(r.oidc("/userinfo"), "Authorization", "Bearer "+tokens.field(name)))
		}
	})
	g.exchange("refused: expired", func(x *exchange) {
		done := x.within(sec(9))
		tokens := x.login(x.user(r, nil), "client_id", "brief", "client_secret", "brief-secret")
		x.outcome("at once", x.userinfo(r, tokens))
		done()
		x.wait(sec(12))
		x.show(x.userinfo(r, tokens))
	})
	g.exchange("refused: without the scope openid", func(x *exchange) {
		x.show(x.userinfo(r, x.token(r, passwordGrant(x.user(r, nil))).ok()))
	})
	g.exchange("refused: service account", func(x *exchange) {
		x.show(x.userinfo(r,
			x.token(r, with(secretOf("service"), "grant_type", "client_credentials")).ok()))
		x.outcome("with openid",
			x.userinfo(r,
				x.token(r,
					with(secretOf("service"), "grant_type", "client_credentials", "scope",
						"openid")).ok()))
	})
	g.exchange("refused: lightweight token", func(x *exchange) {
		x.show(x.userinfo(r,
			x.login(x.user(r, nil), "client_id", "light", "client_secret", "light-secret")))
	})
	afterEnd := func(name string, end func(x *exchange, u *user, tokens response)) {
		g.exchange("refused: "+name, func(x *exchange) {
			u := x.user(r, nil)
			tokens := x.login(u)
			end(x, u, tokens)
			x.show(x.userinfo(r, tokens))
		})
	}
	afterEnd("logged out", func(x *exchange, u *user, tokens response) {
		x.logout(r, tokens.field("refresh_token"))
	})
	afterEnd("revoked", func(x *exchange, u *user, tokens response) {
		x.revoke(r, tokens.field("access_token"))
	})
	afterEnd("user disabled", func(x *exchange, u *user, tokens response) {
		x.must(x.kc.patchUser(u.userRef, object{"enabled": false}))
	})
	afterEnd("user deleted", func(x *exchange, u *user, tokens response) {
		x.must(x.kc.deleteUser(u.userRef))
	})
	afterEnd("user logged out by an administrator", func(x *exchange, u *user, tokens response) {
		x.must(x.kc.logoutUser(u.userRef))
	})
}

func userinfoOrigins(g *group, r *realm) {
	origins := []string{"client_id", "origins", "client_secret", "origins-secret"}
	g.exchange("origin of the client", func(x *exchange) {
		token := x.login(x.user(r, nil), origins...).field("access_token")
		x.show(x.get(r.oidc("/userinfo"), "Authorization", "Bearer "+token, "Origin",
			"http://app.test"))
	})
	g.exchange("origin that isn't allowed", func(x *exchange) {
		token := x.login(x.user(r, nil), origins...).field("access_token")
		x.show(x.get(r.oidc("/userinfo"), "Authorization", "Bearer "+token, "Origin",
			"http://evil.test"))
	})
	g.exchange("origin with an invalid token", func(x *exchange) {
		x.show(x.get(r.oidc("/userinfo"), "Authorization", "Bearer garbage", "Origin",
			"http://evil.test"))
		x.show(x.get(r.oidc("/userinfo"), "Origin", "http://evil.test"))
	})
	g.exchange("preflight", func(x *exchange) {
		x.show(x.send(http.MethodOptions, r.oidc("/userinfo"), "", "Origin", "http://evil.test",
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
