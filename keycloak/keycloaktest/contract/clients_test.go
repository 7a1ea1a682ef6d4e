package contract

import "testing"

// How a client proves itself at the token endpoint. 401 is always about the client; all but one
// refusal look alike.
func TestClientAuthentication(t *testing.T) {
	run(t, "client-authentication", func(g *group) {
		r := g.realm(realmFile(nil,
			clientFile("disabled", object{"enabled": false}),
			clientFile("bearer", object{"bearerOnly": true}),
			clientFile("odd id", object{"secret": "p@ss:w+rd%"}),
			clientFile("plus", object{"secret": "a+b"}),
			clientFile("secretless", object{"secret": nil}),
			clientFile("changing", nil),
		))
		// login is a password grant without a client.
		login := func(x *exchange) (values map[string][]string) {
			return without(passwordGrant(x.user(r, nil)), "client_id", "client_secret")
		}
		accepted := func(name, authorization string, pairs ...string) {
			g.exchange(name, func(x *exchange) {
				a := x.token(r, with(login(x), pairs...), "Authorization", authorization)
				x.outcome("token", a)
				if a.status == 200 {
					x.showClaims(a, "access_token", "azp")
				}
			})
		}
		refused := func(name string, authorization []string, pairs ...string) {
			g.exchange(name, func(x *exchange) {
				x.show(x.token(r,
					form(append([]string{"grant_type", "client_credentials"}, pairs...)...),
					authorization...))
			})
		}
		header := func(value string) []string { return []string{"Authorization", value} }

		accepted("form", "", "client_id", "api", "client_secret", "api-secret")
		accepted("basic", basic("api", "api-secret"))
		accepted("basic in lower case", "basic"+basic("api", "api-secret")[len("Basic"):])
		accepted("both, alike", basic("api", "api-secret"), "client_id", "api", "client_secret",
			"api-secret")
		accepted("both, another client in the form", basic("api", "api-secret"), "client_id", "spa")
		accepted("both, wrong secret in the form", basic("api", "api-secret"), "client_id", "api",
			"client_secret", "wrong")
		accepted("both, wrong secret in the header", basic("api", "wrong"), "client_id", "api",
			"client_secret", "api-secret")
		accepted("both, id only in the form", basic("api", "api-secret"), "client_id", "api")
		accepted("public", "", "client_id", "spa")
		accepted("public with a secret", "", "client_id", "spa", "client_secret", "anything")
		accepted("public, basic", basic("spa", ""))
		accepted("public, basic with a secret", basic("spa", "anything"))
		accepted("odd characters, form", "", "client_id", "odd id", "client_secret", "p@ss:w+rd%")
		// Both parts of the header are form-encoded: a percent sign alone is an error, and a plus
		// is a space.
		accepted("odd characters, basic", basic("odd id", "p@ss:w+rd%"))
		accepted("odd characters, basic, as RFC 6749 wants them",
			basic("odd+id", "p%40ss%3Aw%2Brd%25"))

		accepted("a plus, basic", basic("plus", "a+b"))

		refused("wrong secret", nil, "client_id", "api", "client_secret", "wrong")
		refused("wrong secret, basic", header(basic("api", "wrong")))
		refused("secret of another client", nil, "client_id", "api", "client_secret",
			"service-secret")
		refused("no secret", nil, "client_id", "api")
		refused("empty secret", nil, "client_id", "api", "client_secret", "")
		refused("empty secret, basic", header(basic("api", "")))
		refused("secret in another case", nil, "client_id", "api", "client_secret", "API-SECRET")
		refused("no client", nil)
		refused("no client, a secret", nil, "client_secret", "api-secret")
		refused("empty client", nil, "client_id", "", "client_secret", "api-secret")
		refused("unknown client", nil, "client_id", "nobody", "client_secret", "api-secret")
		refused("unknown client, basic", header(basic("nobody", "api-secret")))
		refused("client in another case", nil, "client_id", "API", "client_secret", "api-secret")
		refused("basic is not base64", header("Basic !!!"))
		refused("basic without a colon", header("Basic YXBp"))
		refused("basic is empty", header("Basic "))
		refused("bearer", header("Bearer garbage"))
		refused("bearer, and a form", header("Bearer garbage"), "client_id", "service",
			"client_secret", "wrong")
		refused("disabled", nil, "client_id", "disabled", "client_secret", "disabled-secret")
		refused("disabled, wrong secret", nil, "client_id", "disabled", "client_secret", "wrong")
		refused("bearer-only", nil, "client_id", "bearer", "client_secret", "bearer-secret")
		refused("bearer-only, wrong secret", nil, "client_id", "bearer", "client_secret", "wrong")
		refused("a secret that Keycloak made", nil, "client_id", "secretless", "client_secret", "")
		g.exchange("secret changed", func(x *exchange) {
			u := x.user(r, nil)
			old, changed := []string{"client_id", "changing", "client_secret", "changing-secret"},
				[]string{"client_id", "changing", "client_secret", "changed"}
			login := x.login(u, old...)
			r.patchClient(x, "changing", object{"secret": "changed"})
			x.outcome("login with the old one", x.token(r, passwordGrant(u, old...)))
			x.outcome("login with the new one", x.token(r, passwordGrant(u, changed...)))
			x.outcome("refresh with the new one", x.refresh(r, login, changed...))
		})
	})
}

// What is wrong with a request before its grant is looked at; and the order of the checks.
func TestTokenRequest(t *testing.T) {
	run(t, "token-request", func(g *group) {
		r := g.realm(realmFile(nil))
		ask := func(name string, pairs ...string) {
			g.exchange(name, func(x *exchange) { x.show(x.token(r, form(pairs...))) })
		}
		api := func(pairs ...string) []string {
			return append([]string{"client_id", "api", "client_secret", "api-secret"}, pairs...)
		}
		ask("nothing")
		ask("no grant type", api()...)
		ask("no grant type, wrong secret", "client_id", "api", "client_secret", "wrong")
		ask("empty grant type", api("grant_type", "")...)
		ask("unknown grant type", api("grant_type", "bogus")...)
		ask("unknown grant type, unknown client", "grant_type", "bogus", "client_id", "nobody")
		ask("implicit", api("grant_type", "implicit")...)
		ask("grant type in another case", api("grant_type", "PASSWORD")...)
		ask("grant type twice", api("grant_type", "password", "grant_type", "password")...)
		ask("two grant types", api("grant_type", "password", "grant_type", "refresh_token")...)
		ask("a parameter twice", api("grant_type", "password", "username", "a", "username", "b")...)
		ask("an unknown parameter twice",
			api("grant_type", "password", "extra", "1", "extra", "2")...)
		ask("a parameter twice, wrong secret", "client_id", "api", "client_secret", "wrong",
			"grant_type", "password", "extra", "1", "extra", "2")
		ask("client id twice", api("client_id", "api", "grant_type", "password")...)
		ask("jwt-bearer without an assertion",
			api("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")...)
		ask("jwt-bearer with garbage",
			api("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion",
				"garbage")...)
		ask("ciba",
			api("grant_type", "urn:openid:params:grant-type:ciba", "auth_req_id", "garbage")...)
		ask("a control character in the grant type", api("grant_type", "refresh\x01_token")...)
		ask("a control character in the client id", "client_id", "a\x01pi", "client_secret",
			"api-secret", "grant_type", "password")
		ask("a control character in the secret", "client_id", "api", "client_secret",
			"api\x01-secret", "grant_type", "password")
		g.exchange("parameters of other grants are ignored", func(x *exchange) {
			x.outcome("password grant",
				x.token(r,
					passwordGrant(x.user(r, nil), "code", "", "redirect_uri", "", "refresh_token",
						"garbage", "extra", "1")))
		})
	})
}

// Which scopes may be asked for, and what is answered.
func TestScope(t *testing.T) {
	run(t, "scope", func(g *group) {
		r := g.realm(realmFile(nil))
		ask := func(name, scope string) {
			g.exchange(name, func(x *exchange) {
				a := x.token(r, passwordGrant(x.user(r, nil), "scope", scope))
				x.outcome("scope="+scope, a)
				if a.status == 200 {
					x.showMembers(a, "scope")
					x.showClaims(a, "refresh_token", "scope")
					x.note("ID token: %t", a.member("id_token") != nil)
				}
			})
		}
		g.exchange("none", func(x *exchange) {
			a := x.token(r, passwordGrant(x.user(r, nil))).ok()
			x.showMembers(a, "scope")
			x.note("ID token: %t", a.member("id_token") != nil)
		})
		ask("openid", "openid")
		ask("default scopes by name", "basic roles email")
		ask("optional scopes", "openid phone address")
		ask("microprofile-jwt", "microprofile-jwt")
		ask("twice the same", "openid openid")
		ask("spaces around", " openid ")
		ask("two spaces", "openid  phone")
		ask("empty", "")
		ask("unknown", "bogus")
		ask("one of them unknown", "openid bogus")
		ask("in another case", "OpenID")
		ask("service_account is not for this client", "service_account")
		ask("a role name", "offline_access uma_authorization")
		ask("with a parameter", "openid:x")
		ask("comma", "openid,phone")
		ask("a space behind", "openid ")
		ask("two spaces behind", "openid  ")
		ask("a space before", " openid")
		ask("a space alone", " ")
		ask("two spaces alone", "  ")
		ask("a tab behind", "openid\t")
		ask("control characters", "\topen\x01id\x7f")
		ask("a line break between", "openid\nemail")
		ask("a no-break space behind", "openid\u00a0")
		ask("organization", "openid organization")
		ask("all organizations", "organization:*")
		ask("an organization", "openid organization:acme")
		ask("an organization without a name", "organization:")
		ask("two kinds of organizations", "organization organization:*")
	})
}
