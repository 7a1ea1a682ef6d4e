package contract

import (
	"strings"
	"testing"
)

// The password grant: tokens, usernames, and refusals.
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
			g.exchange(name, func(x *exchange) {
				x.show(x.token(r, passwordGrant(x.user(r, settings), pairs...)))
			})
		}
		by := func(name, client string, pairs ...string) {
			login(name, nil,
				append([]string{"client_id", client, "client_secret", client + "-secret"},
					pairs...)...)
		}
		login("without openid", nil)
		login("with openid", nil, "scope", "openid")
		login("of a public client", nil, "client_id", "spa", "client_secret", "")
		login("offline access", nil, "scope", "openid offline_access")
		by("no refresh tokens", "no-refresh", "scope", "openid")
		for _, client := range []string{"short", "idle", "lower", "typed"} {
			g.exchange("client "+client, func(x *exchange) {
				x.showLifetimes(x.login(x.user(r, nil), "client_id", client, "client_secret",
					client+"-secret"))
			})
		}

		username := func(name string, settings object, usernameFor func(*user) string) {
			g.exchange(name, func(x *exchange) {
				u := x.user(r, settings)
				a := x.token(r, passwordGrant(u, "username", usernameFor(u)))
				x.outcome("login", a)
				if a.status == 200 {
					x.showClaims(a, "access_token", "preferred_username", "email")
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
		g.exchange("no password", func(x *exchange) {
			x.show(x.token(r, without(passwordGrant(x.user(r, nil)), "password")))
		})
		g.exchange("no username", func(x *exchange) {
			x.show(x.token(r, without(passwordGrant(x.user(r, nil)), "username")))
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
		by("direct grants off", "service")
		by("consent required", "consenting")
		login("bad scope, wrong password", nil, "scope", "bogus", "password", "wrong")
		by("client without offline access", "no-offline", "scope", "offline_access")
		g.exchange("user without offline access", func(x *exchange) {
			u := x.user(r, nil)
			x.must(x.kc.revokeRole(u.userRef, roleRef{name: "default-roles-" + r.name}))
			x.show(x.token(r, passwordGrant(u, "scope", "openid offline_access")))
		})
		g.exchange("every login starts a session", func(x *exchange) {
			u := x.user(r, nil)
			first, second := x.login(u), x.login(u)
			x.note("same session: %t",
				first.field("session_state") == second.field("session_state"))
			x.note(
				"session_state is sid: %t, of the ID token, too: %t, and of the refresh token: %t",
				first.field("session_state") == first.claims("access_token")["sid"],
				first.field("session_state") == first.claims("id_token")["sid"],
				first.field("session_state") == first.claims("refresh_token")["sid"])
			x.outcome("refresh of the first", x.refresh(r, first))
		})
		g.exchange("a new password", func(x *exchange) {
			u := x.user(r, nil)
			x.must(x.kc.resetPassword(u.userRef, "changed"))
			x.outcome("old", x.token(r, passwordGrant(u)))
			x.outcome("new", x.token(r, passwordGrant(u, "password", "changed")))
		})
		g.exchange("disabled and enabled", func(x *exchange) {
			u := x.user(r, nil)
			x.must(x.kc.patchUser(u.userRef, object{"enabled": false}))
			x.outcome("disabled", x.token(r, passwordGrant(u)))
			x.must(x.kc.patchUser(u.userRef, object{"enabled": true}))
			x.outcome("enabled", x.token(r, passwordGrant(u)))
		})
		g.exchange("deleted", func(x *exchange) {
			u := x.user(r, nil)
			x.must(x.kc.deleteUser(u.userRef))
			x.outcome("login", x.token(r, passwordGrant(u)))
		})
		g.exchange("after a logout by the administrator", func(x *exchange) {
			u := x.user(r, nil)
			x.login(u)
			x.must(x.kc.logoutUser(u.userRef))
			x.wait(sec(1))
			a := x.token(r, passwordGrant(u))
			x.outcome("login", a)
			x.note("not-before-policy: %t", a.member("not-before-policy") != 0.0)
		})
	})
}

// showLifetimes records the lifetimes and the types of the tokens of a response.
func (x *exchange) showLifetimes(a response) {
	x.showMembers(a, "expires_in", "refresh_expires_in", "token_type", "scope", "not-before-policy")
	for _, name := range []string{"access_token", "id_token", "refresh_token"} {
		if token := text(a.member(name)); token != "" {
			decoded, _ := decodeToken(token)
			x.note("%s: %s", name, decoded.recordedHeader())
			x.showClaims(a, name, "exp", "iat", "typ", "jti", "acr", "reuse_id")
		}
	}
}

// Realm settings that affect the password grant. Lifetimes are in lifespan_test.go.
func TestPasswordGrant_realms(t *testing.T) {
	run(t, "password-realms", func(g *group) {
		lax := g.realm(laxRealm())
		g.exchange("e-mail isn't a username", func(x *exchange) {
			u := x.user(lax, nil)
			x.outcome("by e-mail",
				x.token(lax, passwordGrant(u, "username", u.username+"@example.com")))
			x.outcome("by username", x.token(lax, passwordGrant(u)))
		})
		g.exchange("no required actions in the realm", func(x *exchange) {
			x.outcome("a user without e-mail",
				x.token(lax, passwordGrant(x.user(lax, object{"email": nil}))))
			x.outcome("a user with an action",
				x.token(lax,
					passwordGrant(x.user(lax,
						object{"requiredActions": []string{"UPDATE_PASSWORD"}}))))
		})
		stepped := g.realm(acrRealm())
		g.exchange("acr by name", func(x *exchange) {
			x.showLifetimes(x.login(x.user(stepped, nil)))
		})
		elliptic := g.realm(realmFile(object{"defaultSignatureAlgorithm": "ES256"}))
		g.exchange("realm with ES256", func(x *exchange) {
			x.showLifetimes(x.login(x.user(elliptic, nil)))
		})
	})
}

// laxRealm returns a realm without required actions, where an e-mail address isn't a username.
func laxRealm() object {
	return realmFile(object{"requiredActions": []object{}, "loginWithEmailAllowed": false})
}

// acrRealm returns a realm with names for levels of authentication.
func acrRealm() object {
	return realmFile(object{"attributes": object{"acr.loa.map": `{"silver":"1","gold":"2"}`}},
		clientFile("stepped", object{"attributes": object{"acr.loa.map": `{"bronze":"1"}`}}))
}

// Clients that choose the signature algorithm of their tokens.
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
			g.exchange(alg, func(x *exchange) {
				for _, client := range []string{"access-" + alg, "id-" + alg} {
					u := x.user(r, nil)
					a := x.login(u, "client_id", client, "client_secret", client+"-secret")
					for _, name := range []string{"access_token", "id_token", "refresh_token"} {
						decoded, _ := decodeToken(a.field(name))
						x.note("%s %s: %s %s", client, name, decoded.recordedHeader(),
							x.signature(a.field(name), decoded))
						if hash, ok := decoded.claims["at_hash"].(string); ok {
							x.note("at_hash: %s", shape(hash))
						}
					}
					bearer := "Bearer " + a.field("access_token")
					x.outcome("userinfo", x.get(r.oidc("/userinfo"), "Authorization", bearer))
					x.outcome("refresh",
						x.refresh(r, a, "client_id", client, "client_secret", client+"-secret"))
				}
			})
		}
		g.exchange("hash of the access token", func(x *exchange) {
			a := x.login(x.user(r, nil))
			x.note("at_hash is half of the SHA-256 of the access token: %t",
				a.claims("id_token")["at_hash"] == halfHash(a.field("access_token")))
		})
	})
}
