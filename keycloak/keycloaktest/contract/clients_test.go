package contract

import "testing"

// How a client authenticates at the token endpoint. A 401 always means that client authentication
// failed, and nearly all have the same body.
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
		// login returns a password grant without client authentication.
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
		accepted("both, identical", basic("api", "api-secret"), "client_id", "api", "client_secret",
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
		accepted("special characters, form", "", "client_id", "odd id", "client_secret",
			"p@ss:w+rd%")
		// Both parts of the header are form-encoded: a single percent sign is an error, and a plus
		// is a space.
		accepted("special characters, basic", basic("odd id", "p@ss:w+rd%"))
		accepted("special characters, basic, encoded as in RFC 6749",
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
		refused("bearer and form", header("Bearer garbage"), "client_id", "service",
			"client_secret", "wrong")
		refused("disabled", nil, "client_id", "disabled", "client_secret", "disabled-secret")
		refused("disabled, wrong secret", nil, "client_id", "disabled", "client_secret", "wrong")
		refused("bearer-only", nil, "client_id", "bearer", "client_secret", "bearer-secret")
		refused("bearer-only, wrong secret", nil, "client_id", "bearer", "client_secret", "wrong")
		refused("generated secret", nil, "client_id", "secretless", "client_secret", "")
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

// Errors of the token endpoint that don't depend on the grant, and their order.
func TestTokenRequest(t *testing.T) {
	run(t, "token-request", func(g *group) {
		r := g.realm(realmFile(nil))
		request := func(name string, pairs ...string) {
			g.exchange(name, func(x *exchange) { x.show(x.token(r, form(pairs...))) })
		}
		api := func(pairs ...string) []string {
			return append([]string{"client_id", "api", "client_secret", "api-secret"}, pairs...)
		}
		request("empty")
		request("no grant type", api()...)
		request("no grant type, wrong secret", "client_id", "api", "client_secret", "wrong")
		request("empty grant type", api("grant_type", "")...)
		request("unknown grant type", api("grant_type", "bogus")...)
		request("unknown grant type, unknown client", "grant_type", "bogus", "client_id", "nobody")
		request("implicit", api("grant_type", "implicit")...)
		request("grant type in another case", api("grant_type", "PASSWORD")...)
		request("grant type twice", api("grant_type", "password", "grant_type", "password")...)
		request("two grant types", api("grant_type", "password", "grant_type", "refresh_token")...)
		request("a parameter twice",
			api("grant_type", "password", "username", "a", "username", "b")...)
		request("an unknown parameter twice",
			api("grant_type", "password", "extra", "1", "extra", "2")...)
		request("a parameter twice, wrong secret", "client_id", "api", "client_secret", "wrong",
			"grant_type", "password", "extra", "1", "extra", "2")
		request("client id twice", api("client_id", "api", "grant_type", "password")...)
		request("jwt-bearer without an assertion",
			api("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")...)
		request("jwt-bearer with garbage",
			api("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion",
				"garbage")...)
		request("ciba",
			api("grant_type", "urn:openid:params:grant-type:ciba", "auth_req_id", "garbage")...)
		request("a control character in the grant type", api("grant_type", "refresh\x01_token")...)
		request("a control character in the client id", "client_id", "a\x01pi", "client_secret",
			"api-secret", "grant_type", "password")
		request("a control character in the secret", "client_id", "api", "client_secret",
			"api\x01-secret", "grant_type", "password")
		g.exchange("parameters of other grants are ignored", func(x *exchange) {
			x.outcome("password grant",
				x.token(r,
					passwordGrant(x.user(r, nil), "code", "", "redirect_uri", "", "refresh_token",
						"garbage", "extra", "1")))
		})
	})
}

// Which scopes a client may request, and which it gets.
func TestScope(t *testing.T) {
	run(t, "scope", func(g *group) {
		r := g.realm(realmFile(nil))
		request := func(name, scope string) {
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
		request("openid", "openid")
		request("default scopes by name", "basic roles email")
		request("optional scopes", "openid phone address")
		request("microprofile-jwt", "microprofile-jwt")
		request("duplicate", "openid openid")
		request("surrounding spaces", " openid ")
		request("two spaces", "openid  phone")
		request("empty", "")
		request("unknown", "bogus")
		request("one of them unknown", "openid bogus")
		request("in another case", "OpenID")
		request("service_account of another client", "service_account")
		request("a role name", "offline_access uma_authorization")
		request("with a parameter", "openid:x")
		request("comma", "openid,phone")
		request("trailing space", "openid ")
		request("two trailing spaces", "openid  ")
		request("leading space", " openid")
		request("only a space", " ")
		request("only two spaces", "  ")
		request("trailing tab", "openid\t")
		request("control characters", "\topen\x01id\x7f")
		request("line break", "openid\nemail")
		request("trailing no-break space", "openid\u00a0")
		request("organization", "openid organization")
		request("all organizations", "organization:*")
		request("an organization", "openid organization:acme")
		request("an organization without a name", "organization:")
		request("two kinds of organizations", "organization organization:*")
	})
}
