package contract

import (
	"strings"
	"testing"
)

// TestPasswordGrant records the tokens of the password grant, the accepted usernames, and the
// errors.
func TestPasswordGrant(t *testing.T) {
	run(t, "password", func(g *group) {
		attribute := func(id, name, value string) object {
			return clientFile(id, object{"attributes": object{name: value}})
		}
		r := g.realm(realmFile(nil,
			clientFile("other", nil),
			clientFile("consenting", object{"consentRequired": true}),
			clientFile("no-offline", object{"optionalClientScopes": []string{"phone"}}),
			attribute("no-refresh", "use.refresh.tokens", "false"),
			attribute("short", "access.token.lifespan", "60"),
			attribute("idle", "client.session.idle.timeout", "100"),
			attribute("lower", "token.response.type.bearer.lower-case", "true"),
			attribute("typed", "access.token.header.type.rfc9068", "true"),
		))
		login := func(name string, settings object, pairs ...string) {
			g.scenario(name, func(s *scenario) {
				s.show(s.token(r, passwordGrant(s.user(r, settings), pairs...)))
			})
		}
		loginWithClient := func(name, client string, pairs ...string) {
			login(name, nil,
				append([]string{"client_id", client, "client_secret", client + "-secret"},
					pairs...)...)
		}
		login("without openid", nil)
		login("with openid", nil, "scope", "openid")
		login("of a public client", nil, "client_id", "spa", "client_secret", "")
		login("offline access", nil, "scope", "openid offline_access")
		loginWithClient("no refresh tokens", "no-refresh", "scope", "openid")
		for _, client := range []string{"short", "idle", "lower", "typed"} {
			g.scenario("client "+client, func(s *scenario) {
				s.showLifetimes(s.login(s.user(r, nil), credsOf(client)...))
			})
		}

		username := func(name string, settings object, usernameFor func(*user) string) {
			g.scenario(name, func(s *scenario) {
				u := s.user(r, settings)
				resp := s.token(r, passwordGrant(u, "username", usernameFor(u)))
				s.outcome("login", resp)
				if resp.status == 200 {
					s.showClaims(resp, "access_token", "preferred_username", "email")
				}
			})
		}
		username("by e-mail", nil, func(u *user) string { return u.username + "@example.com" })
		username("by e-mail in another case", nil, func(u *user) string {
			return strings.ToUpper(u.username) + "@EXAMPLE.COM"
		})
		username("username in another case", nil, func(u *user) string {
			return strings.ToUpper(u.username)
		})
		username("username with spaces around", nil, func(u *user) string {
			return " " + u.username + " "
		})
		username("created with a username in upper case",
			object{"username": "X{user}", "email": "X{user}@Example.com"},
			func(u *user) string { return "x" + u.username })

		login("wrong password", nil, "password", "wrong")
		login("empty password", nil, "password", "")
		login("password with a space", nil, "password", "secret ")
		login("password in another case", nil, "password", "SECRET")
		login("unknown user", nil, "username", "nobody")
		login("empty username", nil, "username", "")
		g.scenario("no password", func(s *scenario) {
			s.show(s.token(r, without(passwordGrant(s.user(r, nil)), "password")))
		})
		g.scenario("no username", func(s *scenario) {
			s.show(s.token(r, without(passwordGrant(s.user(r, nil)), "username")))
		})
		login("user without a password", object{"credentials": nil})
		login("user disabled", object{"enabled": false})
		login("user disabled, wrong password", object{"enabled": false}, "password", "wrong")
		login("required action", object{"requiredActions": []string{"UPDATE_PASSWORD"}})
		login("required action, wrong password",
			object{"requiredActions": []string{"UPDATE_PASSWORD"}}, "password", "wrong")
		login("temporary password",
			object{
				"credentials": []object{{"type": "password", "value": "secret", "temporary": true}},
			})
		login("no e-mail", object{"email": nil})
		login("no e-mail, wrong password", object{"email": nil}, "password", "wrong")
		login("no first name", object{"firstName": nil})
		login("no last name", object{"lastName": nil})
		login("no e-mail and disabled", object{"email": nil, "enabled": false})
		loginWithClient("direct grants off", "service")
		loginWithClient("consent required", "consenting")
		login("bad scope, wrong password", nil, "scope", "bogus", "password", "wrong")
		loginWithClient("client without offline access", "no-offline", "scope", "offline_access")
		g.scenario("user without offline access", func(s *scenario) {
			u := s.user(r, nil)
			s.must(s.kc.revokeRole(u.userRef, roleRef{name: "default-roles-" + r.name}))
			s.show(s.token(r, passwordGrant(u, "scope", "openid offline_access")))
		})
		g.scenario("every login starts a session", func(s *scenario) {
			u := s.user(r, nil)
			first, second := s.login(u), s.login(u)
			s.note("same session: %t",
				first.field("session_state") == second.field("session_state"))
			s.note(
				"session_state is sid: %t, of the ID token, too: %t, and of the refresh token: %t",
				first.field("session_state") == first.claims("access_token")["sid"],
				first.field("session_state") == first.claims("id_token")["sid"],
				first.field("session_state") == first.claims("refresh_token")["sid"])
			s.outcome("refresh of the first", s.refresh(r, first))
		})
		g.scenario("a new password", func(s *scenario) {
			u := s.user(r, nil)
			s.must(s.kc.resetPassword(u.userRef, "changed"))
			s.outcome("old", s.token(r, passwordGrant(u)))
			s.outcome("new", s.token(r, passwordGrant(u, "password", "changed")))
		})
		g.scenario("disabled and enabled", func(s *scenario) {
			u := s.user(r, nil)
			s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
			s.outcome("disabled", s.token(r, passwordGrant(u)))
			s.must(s.kc.patchUser(u.userRef, object{"enabled": true}))
			s.outcome("enabled", s.token(r, passwordGrant(u)))
		})
		g.scenario("deleted", func(s *scenario) {
			u := s.user(r, nil)
			s.must(s.kc.deleteUser(u.userRef))
			s.outcome("login", s.token(r, passwordGrant(u)))
		})
		g.scenario("after a logout by the administrator", func(s *scenario) {
			u := s.user(r, nil)
			s.login(u)
			s.must(s.kc.logoutUser(u.userRef))
			s.wait(sec(1))
			resp := s.token(r, passwordGrant(u))
			s.outcome("login", resp)
			s.note("not-before-policy: %t", resp.value("not-before-policy") != 0.0)
		})
	})
}

// showLifetimes records the lifetimes and the types of a response's tokens.
func (s *scenario) showLifetimes(resp response) {
	s.showFields(resp, "expires_in", "refresh_expires_in", "token_type", "scope",
		"not-before-policy")
	for _, name := range []string{"access_token", "id_token", "refresh_token"} {
		if token := asString(resp.value(name)); token != "" {
			decoded, _ := decodeToken(token)
			s.note("%s: %s", name, decoded.headerForRecord())
			s.showClaims(resp, name, "exp", "iat", "typ", "jti", "acr", "reuse_id")
		}
	}
}

// TestPasswordGrant_realms records the effect of realm settings on the password grant. Lifetimes
// are in lifespan_test.go.
func TestPasswordGrant_realms(t *testing.T) {
	run(t, "password-realms", func(g *group) {
		laxRealm := g.realm(laxRealmFile())
		g.scenario("e-mail isn't a username", func(s *scenario) {
			u := s.user(laxRealm, nil)
			s.outcome("by e-mail",
				s.token(laxRealm, passwordGrant(u, "username", u.username+"@example.com")))
			s.outcome("by username", s.token(laxRealm, passwordGrant(u)))
		})
		g.scenario("no required actions in the realm", func(s *scenario) {
			s.outcome("a user without e-mail",
				s.token(laxRealm, passwordGrant(s.user(laxRealm, object{"email": nil}))))
			s.outcome("a user with an action",
				s.token(laxRealm,
					passwordGrant(s.user(laxRealm,
						object{"requiredActions": []string{"UPDATE_PASSWORD"}}))))
		})
		acrRealm := g.realm(acrRealmFile())
		g.scenario("acr by name", func(s *scenario) {
			s.showLifetimes(s.login(s.user(acrRealm, nil)))
		})
		es256Realm := g.realm(realmFile(object{"defaultSignatureAlgorithm": "ES256"}))
		g.scenario("realm with ES256", func(s *scenario) {
			s.showLifetimes(s.login(s.user(es256Realm, nil)))
		})
	})
}

// laxRealmFile returns a realm file without required actions, where an e-mail address isn't a
// username.
func laxRealmFile() object {
	return realmFile(object{"requiredActions": []object{}, "loginWithEmailAllowed": false})
}

// acrRealmFile returns a realm file with names for levels of authentication.
func acrRealmFile() object {
	return realmFile(object{"attributes": object{"acr.loa.map": `{"silver":"1","gold":"2"}`}},
		clientFile("stepped", object{"attributes": object{"acr.loa.map": `{"bronze":"1"}`}}))
}

// TestSigning records the tokens of clients that choose a signature algorithm.
func TestSigning(t *testing.T) {
	run(t, "signing", func(g *group) {
		var clients []object
		algorithms := []string{"ES256", "ES384", "PS256", "RS512", "EdDSA", "HS256"}
		for _, alg := range algorithms {
			clients = append(clients,
				clientFile("access-"+alg,
					object{"attributes": object{"access.token.signed.response.alg": alg}}))
			clients = append(clients,
				clientFile("id-"+alg,
					object{"attributes": object{"id.token.signed.response.alg": alg}}))
		}
		r := g.realm(realmFile(nil, clients...))
		for _, alg := range algorithms {
			g.scenario(alg, func(s *scenario) {
				for _, client := range []string{"access-" + alg, "id-" + alg} {
					u := s.user(r, nil)
					resp := s.login(u, credsOf(client)...)
					for _, name := range []string{"access_token", "id_token", "refresh_token"} {
						decoded, _ := decodeToken(resp.field(name))
						s.note("%s %s: %s %s", client, name, decoded.headerForRecord(),
							s.describeSignature(resp.field(name), decoded))
						if hash, ok := decoded.claims["at_hash"].(string); ok {
							s.note("at_hash: %s", shapeOf(hash))
						}
					}
					bearer := "Bearer " + resp.field("access_token")
					s.outcome("userinfo", s.get(r.oidc("/userinfo"), "Authorization", bearer))
					s.outcome("refresh",
						s.refresh(r, resp, credsOf(client)...))
				}
			})
		}
		g.scenario("hash of the access token", func(s *scenario) {
			resp := s.login(s.user(r, nil))
			s.note("at_hash is half of the SHA-256 of the access token: %t",
				resp.claims("id_token")["at_hash"] == atHash(resp.field("access_token")))
		})
	})
}
