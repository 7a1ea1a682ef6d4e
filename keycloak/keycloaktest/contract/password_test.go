package contract

import (
	"strings"
	"testing"
)

// TestPasswordGrant records the tokens of the password grant, the accepted usernames, and the
// errors.
func TestPasswordGrant(t *testing.T) {
	run(t, "password", func(suite *testSuite) {
		clientWithAttribute := func(id, name, value string) object {
			return clientJSON(id, object{"attributes": object{name: value}})
		}
		r := suite.addRealm(realmJSON(nil,
			clientJSON("other", nil),
			clientJSON("consenting", object{"consentRequired": true}),
			clientJSON("no-offline", object{"optionalClientScopes": []string{"phone"}}),
			clientWithAttribute("no-refresh", "use.refresh.tokens", "false"),
			clientWithAttribute("short", "access.token.lifespan", "60"),
			clientWithAttribute("idle", "client.session.idle.timeout", "100"),
			clientWithAttribute("lower", "token.response.type.bearer.lower-case", "true"),
			clientWithAttribute("typed", "access.token.header.type.rfc9068", "true"),
		))
		addPasswordGrant := func(name string, userFields object, pairs ...string) {
			suite.add(name, func(s *scenario) {
				s.record(s.token(r, passwordGrant(s.addUser(r, userFields), pairs...)))
			})
		}
		addPasswordGrantWithClient := func(name, client string, pairs ...string) {
			addPasswordGrant(name, nil,
				append([]string{"client_id", client, "client_secret", client + "-secret"},
					pairs...)...)
		}
		addPasswordGrant("without openid", nil)
		addPasswordGrant("with openid", nil, "scope", "openid")
		addPasswordGrant("of a public client", nil, "client_id", "spa", "client_secret", "")
		addPasswordGrant("offline access", nil, "scope", "openid offline_access")
		addPasswordGrantWithClient("no refresh tokens", "no-refresh", "scope", "openid")
		for _, client := range []string{"short", "idle", "lower", "typed"} {
			suite.add("client "+client, func(s *scenario) {
				s.recordTokenDetails(s.login(s.addUser(r, nil), clientParams(client)...))
			})
		}

		addUsernameScenario := func(
			name string, userFields object, usernameFor func(*user) string) {
			suite.add(name, func(s *scenario) {
				u := s.addUser(r, userFields)
				resp := s.token(r, passwordGrant(u, "username", usernameFor(u)))
				s.recordOutcome("login", resp)
				if resp.status == 200 {
					s.recordClaims(resp, "access_token", "preferred_username", "email")
				}
			})
		}
		addUsernameScenario(
			"by e-mail", nil, func(u *user) string { return u.username + "@example.com" })
		addUsernameScenario("by e-mail in another case", nil, func(u *user) string {
			return strings.ToUpper(u.username) + "@EXAMPLE.COM"
		})
		addUsernameScenario("username in another case", nil, func(u *user) string {
			return strings.ToUpper(u.username)
		})
		addUsernameScenario("username with spaces around", nil, func(u *user) string {
			return " " + u.username + " "
		})
		addUsernameScenario("created with a username in upper case",
			object{"username": "X{user}", "email": "X{user}@Example.com"},
			func(u *user) string { return "x" + u.username })

		addPasswordGrant("wrong password", nil, "password", "wrong")
		addPasswordGrant("empty password", nil, "password", "")
		addPasswordGrant("password with a space", nil, "password", "secret ")
		addPasswordGrant("password in another case", nil, "password", "SECRET")
		addPasswordGrant("unknown user", nil, "username", "nobody")
		addPasswordGrant("empty username", nil, "username", "")
		suite.add("no password", func(s *scenario) {
			s.record(s.token(r, withoutParams(passwordGrant(s.addUser(r, nil)), "password")))
		})
		suite.add("no username", func(s *scenario) {
			s.record(s.token(r, withoutParams(passwordGrant(s.addUser(r, nil)), "username")))
		})
		addPasswordGrant("user without a password", object{"credentials": nil})
		addPasswordGrant("user disabled", object{"enabled": false})
		addPasswordGrant(
			"user disabled, wrong password", object{"enabled": false}, "password", "wrong")
		addPasswordGrant("required action", object{"requiredActions": []string{"UPDATE_PASSWORD"}})
		addPasswordGrant("required action, wrong password",
			object{"requiredActions": []string{"UPDATE_PASSWORD"}}, "password", "wrong")
		addPasswordGrant("temporary password",
			object{
				"credentials": []object{{"type": "password", "value": "secret", "temporary": true}},
			})
		addPasswordGrant("no e-mail", object{"email": nil})
		addPasswordGrant("no e-mail, wrong password", object{"email": nil}, "password", "wrong")
		addPasswordGrant("no first name", object{"firstName": nil})
		addPasswordGrant("no last name", object{"lastName": nil})
		addPasswordGrant("no e-mail and disabled", object{"email": nil, "enabled": false})
		addPasswordGrantWithClient("direct grants off", "service")
		addPasswordGrantWithClient("consent required", "consenting")
		addPasswordGrant("bad scope, wrong password", nil, "scope", "bogus", "password", "wrong")
		addPasswordGrantWithClient(
			"client without offline access", "no-offline", "scope", "offline_access")
		suite.add("user without offline access", func(s *scenario) {
			u := s.addUser(r, nil)
			s.must(s.kc.revokeRole(u.userRef, roleRef{name: "default-roles-" + r.name}))
			s.record(s.token(r, passwordGrant(u, "scope", "openid offline_access")))
		})
		suite.add("every login starts a session", func(s *scenario) {
			u := s.addUser(r, nil)
			first, second := s.login(u), s.login(u)
			s.note("same session: %t",
				first.field("session_state") == second.field("session_state"))
			for _, name := range []string{"access_token", "id_token", "refresh_token"} {
				s.note("session_state is the sid of the %s: %t", name,
					first.field("session_state") == first.claims(name)["sid"])
			}
			s.recordOutcome("refresh of the first", s.refresh(r, first))
		})
		suite.add("a new password", func(s *scenario) {
			u := s.addUser(r, nil)
			s.must(s.kc.resetPassword(u.userRef, "changed"))
			s.recordOutcome("old", s.token(r, passwordGrant(u)))
			s.recordOutcome("new", s.token(r, passwordGrant(u, "password", "changed")))
		})
		suite.add("disabled and enabled", func(s *scenario) {
			u := s.addUser(r, nil)
			s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
			s.recordOutcome("disabled", s.token(r, passwordGrant(u)))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": true}))
			s.recordOutcome("enabled", s.token(r, passwordGrant(u)))
		})
		suite.add("deleted", func(s *scenario) {
			u := s.addUser(r, nil)
			s.must(s.kc.deleteUser(u.userRef))
			s.recordOutcome("login", s.token(r, passwordGrant(u)))
		})
		suite.add("after a logout by the administrator", func(s *scenario) {
			u := s.addUser(r, nil)
			s.login(u)
			s.must(s.kc.logoutUser(u.userRef))
			s.wait(seconds(1))
			resp := s.token(r, passwordGrant(u))
			s.recordOutcome("login", resp)
			s.note("not-before-policy: %t", resp.value("not-before-policy") != 0.0)
		})
	})
}

// recordTokenDetails records the lifespans and the types of a response's tokens.
func (s *scenario) recordTokenDetails(resp response) {
	s.recordFields(resp, "expires_in", "refresh_expires_in", "token_type", "scope",
		"not-before-policy")
	for _, name := range []string{"access_token", "id_token", "refresh_token"} {
		if token := asString(resp.value(name)); token != "" {
			decoded, _ := decodeToken(token)
			s.note("%s: %s", name, decoded.headerForRecord())
			s.recordClaims(resp, name, "exp", "iat", "typ", "jti", "acr", "reuse_id")
		}
	}
}

// TestPasswordGrant_realms records the effect of realm settings on the password grant. The
// lifespans of tokens and sessions are in lifespan_test.go.
func TestPasswordGrant_realms(t *testing.T) {
	run(t, "password-realms", func(suite *testSuite) {
		noActionsRealm := suite.addRealm(noActionsRealmJSON())
		suite.add("e-mail isn't a username", func(s *scenario) {
			u := s.addUser(noActionsRealm, nil)
			s.recordOutcome("by e-mail",
				s.token(noActionsRealm, passwordGrant(u, "username", u.username+"@example.com")))
			s.recordOutcome("by username", s.token(noActionsRealm, passwordGrant(u)))
		})
		suite.add("no required actions in the realm", func(s *scenario) {
			s.recordOutcome("a user without e-mail",
				s.token(noActionsRealm,
					passwordGrant(s.addUser(noActionsRealm, object{"email": nil}))))
			s.recordOutcome("a user with an action",
				s.token(noActionsRealm,
					passwordGrant(s.addUser(noActionsRealm,
						object{"requiredActions": []string{"UPDATE_PASSWORD"}}))))
		})
		acrRealm := suite.addRealm(acrRealmJSON())
		suite.add("acr by name", func(s *scenario) {
			s.recordTokenDetails(s.login(s.addUser(acrRealm, nil)))
		})
		es256Realm := suite.addRealm(realmJSON(object{"defaultSignatureAlgorithm": "ES256"}))
		suite.add("realm with ES256", func(s *scenario) {
			s.recordTokenDetails(s.login(s.addUser(es256Realm, nil)))
		})
	})
}

// noActionsRealmJSON returns a realm without required actions, where an e-mail address isn't a
// username.
func noActionsRealmJSON() object {
	return realmJSON(object{"requiredActions": []object{}, "loginWithEmailAllowed": false})
}

// acrRealmJSON returns a realm with names for levels of authentication.
func acrRealmJSON() object {
	return realmJSON(object{"attributes": object{"acr.loa.map": `{"silver":"1","gold":"2"}`}},
		clientJSON("stepped", object{"attributes": object{"acr.loa.map": `{"bronze":"1"}`}}))
}

// TestSigning records the tokens of clients that choose a signature algorithm.
func TestSigning(t *testing.T) {
	run(t, "signing", func(suite *testSuite) {
		var clients []object
		algorithms := []string{"ES256", "ES384", "PS256", "RS512", "EdDSA", "HS256"}
		for _, alg := range algorithms {
			clients = append(clients,
				clientJSON("access-"+alg,
					object{"attributes": object{"access.token.signed.response.alg": alg}}))
			clients = append(clients,
				clientJSON("id-"+alg,
					object{"attributes": object{"id.token.signed.response.alg": alg}}))
		}
		r := suite.addRealm(realmJSON(nil, clients...))
		for _, alg := range algorithms {
			suite.add(alg, func(s *scenario) {
				for _, client := range []string{"access-" + alg, "id-" + alg} {
					u := s.addUser(r, nil)
					resp := s.login(u, clientParams(client)...)
					for _, name := range []string{"access_token", "id_token", "refresh_token"} {
						decoded, _ := decodeToken(resp.field(name))
						s.note("%s %s: %s %s", client, name, decoded.headerForRecord(),
							s.describeSignature(resp.field(name), decoded))
						if hash, ok := decoded.claims["at_hash"].(string); ok {
							s.note("at_hash: %s", describeFormat(hash))
						}
					}
					s.recordOutcome("userinfo", s.userinfo(r, resp))
					s.recordOutcome("refresh",
						s.refresh(r, resp, clientParams(client)...))
				}
			})
		}
		suite.add("hash of the access token", func(s *scenario) {
			resp := s.login(s.addUser(r, nil))
			s.note("at_hash is half of the SHA-256 of the access token: %t",
				resp.claims("id_token")["at_hash"] == atHash(resp.field("access_token")))
		})
	})
}
