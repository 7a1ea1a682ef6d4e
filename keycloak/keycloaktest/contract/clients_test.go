package contract

import (
	"net/url"
	"testing"
)

// TestClientAuthentication records which credentials the token endpoint accepts from a client. A
// 401 always means that client authentication failed, and nearly all 401 responses have the same
// body.
func TestClientAuthentication(t *testing.T) {
	run(t, "client-authentication", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil,
			clientJSON("disabled", object{"enabled": false}),
			clientJSON("bearer", object{"bearerOnly": true}),
			clientJSON("odd id", object{"secret": "p@ss:w+rd%"}),
			clientJSON("plus", object{"secret": "a+b"}),
			clientJSON("secretless", object{"secret": nil}), // Keycloak generates a secret
			clientJSON("changing", nil),
		))
		// loginForm returns a password grant without client authentication.
		loginForm := func(s *scenario) url.Values {
			return withoutParams(passwordGrant(s.addUser(r, nil)), "client_id", "client_secret")
		}
		addPasswordGrant := func(name, authorization string, pairs ...string) {
			suite.add(name, func(s *scenario) {
				resp := s.token(r, withParams(loginForm(s), pairs...), "Authorization",
					authorization)
				s.recordOutcome("token", resp)
				if resp.status == 200 {
					s.recordClaims(resp, "access_token", "azp")
				}
			})
		}
		addClientCredentials := func(name string, authorization []string, pairs ...string) {
			suite.add(name, func(s *scenario) {
				s.record(s.token(r,
					form(append([]string{"grant_type", "client_credentials"}, pairs...)...),
					authorization...))
			})
		}
		authHeader := func(value string) []string { return []string{"Authorization", value} }

		addPasswordGrant("form", "", clientParams("api")...)
		addPasswordGrant("basic", basicAuth("api", "api-secret"))
		addPasswordGrant(
			"basic in lower case", "basic"+basicAuth("api", "api-secret")[len("Basic"):])
		// "both" means a header and a form with credentials.
		addPasswordGrant("both, identical", basicAuth("api", "api-secret"), clientParams("api")...)
		addPasswordGrant("both, another client in the form", basicAuth("api", "api-secret"),
			"client_id", "spa")
		addPasswordGrant("both, wrong secret in the form", basicAuth("api", "api-secret"),
			"client_id", "api", "client_secret", "wrong")
		addPasswordGrant(
			"both, wrong secret in the header", basicAuth("api", "wrong"), clientParams("api")...)
		addPasswordGrant(
			"both, id only in the form", basicAuth("api", "api-secret"), "client_id", "api")
		addPasswordGrant("public", "", "client_id", "spa")
		addPasswordGrant(
			"public with a secret", "", "client_id", "spa", "client_secret", "anything")
		addPasswordGrant("public, basic", basicAuth("spa", ""))
		addPasswordGrant("public, basic with a secret", basicAuth("spa", "anything"))
		addPasswordGrant("special characters, form", "", "client_id", "odd id", "client_secret",
			"p@ss:w+rd%")
		// In the header, the client ID and the secret are form-encoded: a plus means a space, and a
		// percent sign that doesn't start an escape is an error.
		addPasswordGrant("special characters, basic", basicAuth("odd id", "p@ss:w+rd%"))
		addPasswordGrant("special characters, basic, encoded as in RFC 6749",
			basicAuth("odd+id", "p%40ss%3Aw%2Brd%25"))

		addPasswordGrant("a plus, basic", basicAuth("plus", "a+b"))

		addClientCredentials("wrong secret", nil, "client_id", "api", "client_secret", "wrong")
		addClientCredentials("wrong secret, basic", authHeader(basicAuth("api", "wrong")))
		addClientCredentials("secret of another client", nil, "client_id", "api", "client_secret",
			"service-secret")
		addClientCredentials("no secret", nil, "client_id", "api")
		addClientCredentials("empty secret", nil, "client_id", "api", "client_secret", "")
		addClientCredentials("empty secret, basic", authHeader(basicAuth("api", "")))
		addClientCredentials(
			"secret in another case", nil, "client_id", "api", "client_secret", "API-SECRET")
		addClientCredentials("no client", nil)
		addClientCredentials("no client, a secret", nil, "client_secret", "api-secret")
		addClientCredentials("empty client", nil, "client_id", "", "client_secret", "api-secret")
		addClientCredentials(
			"unknown client", nil, "client_id", "nobody", "client_secret", "api-secret")
		addClientCredentials("unknown client, basic", authHeader(basicAuth("nobody", "api-secret")))
		addClientCredentials(
			"client in another case", nil, "client_id", "API", "client_secret", "api-secret")
		addClientCredentials("basic is not base64", authHeader("Basic !!!"))
		addClientCredentials("basic without a colon", authHeader("Basic YXBp"))
		addClientCredentials("basic is empty", authHeader("Basic "))
		addClientCredentials("bearer", authHeader("Bearer garbage"))
		addClientCredentials(
			"bearer and form", authHeader("Bearer garbage"), "client_id", "service",
			"client_secret", "wrong")
		addClientCredentials("disabled", nil, clientParams("disabled")...)
		addClientCredentials(
			"disabled, wrong secret", nil, "client_id", "disabled", "client_secret", "wrong")
		addClientCredentials("bearer-only", nil, clientParams("bearer")...)
		addClientCredentials(
			"bearer-only, wrong secret", nil, "client_id", "bearer", "client_secret",
			"wrong")
		addClientCredentials(
			"generated secret", nil, "client_id", "secretless", "client_secret", "")
		suite.add("secret changed", func(s *scenario) {
			u := s.addUser(r, nil)
			oldCreds, newCreds := clientParams("changing"),
				[]string{"client_id", "changing", "client_secret", "changed"}
			tokens := s.login(u, oldCreds...)
			r.patchClient(s, "changing", object{"secret": "changed"})
			s.recordOutcome("login with the old one", s.token(r, passwordGrant(u, oldCreds...)))
			s.recordOutcome("login with the new one", s.token(r, passwordGrant(u, newCreds...)))
			s.recordOutcome("refresh with the new one", s.refresh(r, tokens, newCreds...))
		})
	})
}

// TestTokenRequest records errors of the token endpoint that don't depend on the grant, and which
// error the endpoint returns if a request has several errors.
func TestTokenRequest(t *testing.T) {
	run(t, "token-request", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil))
		addRequest := func(name string, pairs ...string) {
			suite.add(name, func(s *scenario) { s.record(s.token(r, form(pairs...))) })
		}
		withAPICreds := func(pairs ...string) []string {
			return append(clientParams("api"), pairs...)
		}
		addRequest("empty")
		addRequest("no grant type", withAPICreds()...)
		addRequest("no grant type, wrong secret", "client_id", "api", "client_secret", "wrong")
		addRequest("empty grant type", withAPICreds("grant_type", "")...)
		addRequest("unknown grant type", withAPICreds("grant_type", "bogus")...)
		addRequest("unknown grant type, unknown client", "grant_type", "bogus", "client_id",
			"nobody")
		addRequest("implicit", withAPICreds("grant_type", "implicit")...)
		addRequest("grant type in another case", withAPICreds("grant_type", "PASSWORD")...)
		addRequest("grant type twice", withAPICreds("grant_type", "password", "grant_type",
			"password")...)
		addRequest("two grant types",
			withAPICreds("grant_type", "password", "grant_type", "refresh_token")...)
		addRequest("a parameter twice",
			withAPICreds("grant_type", "password", "username", "a", "username", "b")...)
		addRequest("an unknown parameter twice",
			withAPICreds("grant_type", "password", "extra", "1", "extra", "2")...)
		addRequest("a parameter twice, wrong secret", "client_id", "api", "client_secret", "wrong",
			"grant_type", "password", "extra", "1", "extra", "2")
		addRequest("client id twice", withAPICreds("client_id", "api", "grant_type", "password")...)
		addRequest("jwt-bearer without an assertion",
			withAPICreds("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")...)
		addRequest("jwt-bearer with garbage",
			withAPICreds("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion",
				"garbage")...)
		addRequest("ciba",
			withAPICreds("grant_type", "urn:openid:params:grant-type:ciba", "auth_req_id",
				"garbage")...)
		addRequest("a control character in the grant type",
			withAPICreds("grant_type", "refresh\x01_token")...)
		addRequest("a control character in the client id", "client_id", "a\x01pi", "client_secret",
			"api-secret", "grant_type", "password")
		addRequest("a control character in the secret", "client_id", "api", "client_secret",
			"api\x01-secret", "grant_type", "password")
		suite.add("parameters of other grants are ignored", func(s *scenario) {
			s.recordOutcome("password grant",
				s.token(r,
					passwordGrant(s.addUser(r, nil), "code", "", "redirect_uri", "",
						"refresh_token", "garbage", "extra", "1")))
		})
	})
}

// TestScope records which scopes a client may request, and which scopes it gets.
func TestScope(t *testing.T) {
	run(t, "scope", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil))
		addRequest := func(name, scope string) {
			suite.add(name, func(s *scenario) {
				resp := s.token(r, passwordGrant(s.addUser(r, nil), "scope", scope))
				s.recordOutcome("scope="+scope, resp)
				if resp.status == 200 {
					s.recordFields(resp, "scope")
					s.recordClaims(resp, "refresh_token", "scope")
					s.note("ID token: %t", resp.value("id_token") != nil)
				}
			})
		}
		suite.add("none", func(s *scenario) {
			resp := s.token(r, passwordGrant(s.addUser(r, nil))).mustOK()
			s.recordFields(resp, "scope")
			s.note("ID token: %t", resp.value("id_token") != nil)
		})
		addRequest("openid", "openid")
		addRequest("default scopes by name", "basic roles email")
		addRequest("optional scopes", "openid phone address")
		addRequest("microprofile-jwt", "microprofile-jwt")
		addRequest("duplicate", "openid openid")
		addRequest("surrounding spaces", " openid ")
		addRequest("two spaces", "openid  phone")
		addRequest("empty", "")
		addRequest("unknown", "bogus")
		addRequest("one of them unknown", "openid bogus")
		addRequest("in another case", "OpenID")
		addRequest("service_account of another client", "service_account")
		addRequest("a role name", "offline_access uma_authorization")
		addRequest("with a parameter", "openid:x")
		addRequest("comma", "openid,phone")
		addRequest("trailing space", "openid ")
		addRequest("two trailing spaces", "openid  ")
		addRequest("leading space", " openid")
		addRequest("only a space", " ")
		addRequest("only two spaces", "  ")
		addRequest("trailing tab", "openid\t")
		addRequest("control characters", "\topen\x01id\x7f")
		addRequest("line break", "openid\nemail")
		addRequest("trailing no-break space", "openid\u00a0")
		addRequest("organization", "openid organization")
		addRequest("all organizations", "organization:*")
		addRequest("an organization", "openid organization:acme")
		addRequest("an organization without a name", "organization:")
		addRequest("two kinds of organizations", "organization organization:*")
	})
}
