package contract

import "testing"

// TestClientAuthentication records which credentials the token endpoint accepts from a client. A
// 401 always means that client authentication failed, and nearly all 401 responses have the same
// body.
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
		// loginForm returns a password grant without client authentication.
		loginForm := func(s *scenario) (values map[string][]string) {
			return without(passwordGrant(s.user(r, nil)), "client_id", "client_secret")
		}
		accepted := func(name, authorization string, pairs ...string) {
			g.scenario(name, func(s *scenario) {
				resp := s.token(r, with(loginForm(s), pairs...), "Authorization", authorization)
				s.outcome("token", resp)
				if resp.status == 200 {
					s.showClaims(resp, "access_token", "azp")
				}
			})
		}
		refused := func(name string, authorization []string, pairs ...string) {
			g.scenario(name, func(s *scenario) {
				s.show(s.token(r,
					form(append([]string{"grant_type", "client_credentials"}, pairs...)...),
					authorization...))
			})
		}
		header := func(value string) []string { return []string{"Authorization", value} }

		accepted("form", "", credsOf("api")...)
		accepted("basic", basicAuth("api", "api-secret"))
		accepted("basic in lower case", "basic"+basicAuth("api", "api-secret")[len("Basic"):])
		accepted("both, identical", basicAuth("api", "api-secret"), credsOf("api")...)
		accepted("both, another client in the form", basicAuth("api", "api-secret"),
			"client_id", "spa")
		accepted("both, wrong secret in the form", basicAuth("api", "api-secret"),
			"client_id", "api", "client_secret", "wrong")
		accepted("both, wrong secret in the header", basicAuth("api", "wrong"), credsOf("api")...)
		accepted("both, id only in the form", basicAuth("api", "api-secret"), "client_id", "api")
		accepted("public", "", "client_id", "spa")
		accepted("public with a secret", "", "client_id", "spa", "client_secret", "anything")
		accepted("public, basic", basicAuth("spa", ""))
		accepted("public, basic with a secret", basicAuth("spa", "anything"))
		accepted("special characters, form", "", "client_id", "odd id", "client_secret",
			"p@ss:w+rd%")
		// The client ID and the secret in the header are form-encoded: a percent sign that starts
		// no escape is an error, and a plus is a space.
		accepted("special characters, basic", basicAuth("odd id", "p@ss:w+rd%"))
		accepted("special characters, basic, encoded as in RFC 6749",
			basicAuth("odd+id", "p%40ss%3Aw%2Brd%25"))

		accepted("a plus, basic", basicAuth("plus", "a+b"))

		refused("wrong secret", nil, "client_id", "api", "client_secret", "wrong")
		refused("wrong secret, basic", header(basicAuth("api", "wrong")))
		refused("secret of another client", nil, "client_id", "api", "client_secret",
			"service-secret")
		refused("no secret", nil, "client_id", "api")
		refused("empty secret", nil, "client_id", "api", "client_secret", "")
		refused("empty secret, basic", header(basicAuth("api", "")))
		refused("secret in another case", nil, "client_id", "api", "client_secret", "API-SECRET")
		refused("no client", nil)
		refused("no client, a secret", nil, "client_secret", "api-secret")
		refused("empty client", nil, "client_id", "", "client_secret", "api-secret")
		refused("unknown client", nil, "client_id", "nobody", "client_secret", "api-secret")
		refused("unknown client, basic", header(basicAuth("nobody", "api-secret")))
		refused("client in another case", nil, "client_id", "API", "client_secret", "api-secret")
		refused("basic is not base64", header("Basic !!!"))
		refused("basic without a colon", header("Basic YXBp"))
		refused("basic is empty", header("Basic "))
		refused("bearer", header("Bearer garbage"))
		refused("bearer and form", header("Bearer garbage"), "client_id", "service",
			"client_secret", "wrong")
		refused("disabled", nil, credsOf("disabled")...)
		refused("disabled, wrong secret", nil, "client_id", "disabled", "client_secret", "wrong")
		refused("bearer-only", nil, credsOf("bearer")...)
		refused("bearer-only, wrong secret", nil, "client_id", "bearer", "client_secret", "wrong")
		refused("generated secret", nil, "client_id", "secretless", "client_secret", "")
		g.scenario("secret changed", func(s *scenario) {
			u := s.user(r, nil)
			old, changed := credsOf("changing"),
				[]string{"client_id", "changing", "client_secret", "changed"}
			login := s.login(u, old...)
			r.patchClient(s, "changing", object{"secret": "changed"})
			s.outcome("login with the old one", s.token(r, passwordGrant(u, old...)))
			s.outcome("login with the new one", s.token(r, passwordGrant(u, changed...)))
			s.outcome("refresh with the new one", s.refresh(r, login, changed...))
		})
	})
}

// TestTokenRequest records errors of the token endpoint that don't depend on the grant, and which
// error a request with several gets.
func TestTokenRequest(t *testing.T) {
	run(t, "token-request", func(g *group) {
		r := g.realm(realmFile(nil))
		request := func(name string, pairs ...string) {
			g.scenario(name, func(s *scenario) { s.show(s.token(r, form(pairs...))) })
		}
		withAPI := func(pairs ...string) []string {
			return append(credsOf("api"), pairs...)
		}
		request("empty")
		request("no grant type", withAPI()...)
		request("no grant type, wrong secret", "client_id", "api", "client_secret", "wrong")
		request("empty grant type", withAPI("grant_type", "")...)
		request("unknown grant type", withAPI("grant_type", "bogus")...)
		request("unknown grant type, unknown client", "grant_type", "bogus", "client_id", "nobody")
		request("implicit", withAPI("grant_type", "implicit")...)
		request("grant type in another case", withAPI("grant_type", "PASSWORD")...)
		request("grant type twice", withAPI("grant_type", "password", "grant_type", "password")...)
		request("two grant types",
			withAPI("grant_type", "password", "grant_type", "refresh_token")...)
		request("a parameter twice",
			withAPI("grant_type", "password", "username", "a", "username", "b")...)
		request("an unknown parameter twice",
			withAPI("grant_type", "password", "extra", "1", "extra", "2")...)
		request("a parameter twice, wrong secret", "client_id", "api", "client_secret", "wrong",
			"grant_type", "password", "extra", "1", "extra", "2")
		request("client id twice", withAPI("client_id", "api", "grant_type", "password")...)
		request("jwt-bearer without an assertion",
			withAPI("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")...)
		request("jwt-bearer with garbage",
			withAPI("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion",
				"garbage")...)
		request("ciba",
			withAPI("grant_type", "urn:openid:params:grant-type:ciba", "auth_req_id", "garbage")...)
		request("a control character in the grant type", withAPI("grant_type", "refresh\x01_token")...)
		request("a control character in the client id", "client_id", "a\x01pi", "client_secret",
			"api-secret", "grant_type", "password")
		request("a control character in the secret", "client_id", "api", "client_secret",
			"api\x01-secret", "grant_type", "password")
		g.scenario("parameters of other grants are ignored", func(s *scenario) {
			s.outcome("password grant",
				s.token(r,
					passwordGrant(s.user(r, nil), "code", "", "redirect_uri", "", "refresh_token",
						"garbage", "extra", "1")))
		})
	})
}

// TestScope records which scopes a client may request, and which scopes it gets.
func TestScope(t *testing.T) {
	run(t, "scope", func(g *group) {
		r := g.realm(realmFile(nil))
		request := func(name, scope string) {
			g.scenario(name, func(s *scenario) {
				resp := s.token(r, passwordGrant(s.user(r, nil), "scope", scope))
				s.outcome("scope="+scope, resp)
				if resp.status == 200 {
					s.showFields(resp, "scope")
					s.showClaims(resp, "refresh_token", "scope")
					s.note("ID token: %t", resp.value("id_token") != nil)
				}
			})
		}
		g.scenario("none", func(s *scenario) {
			resp := s.token(r, passwordGrant(s.user(r, nil))).ok()
			s.showFields(resp, "scope")
			s.note("ID token: %t", resp.value("id_token") != nil)
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
