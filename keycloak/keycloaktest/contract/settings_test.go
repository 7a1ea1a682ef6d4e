package contract

import (
	"fmt"
	"net/url"
	"testing"
	"time"
)

// Settings that load, and that the stand-in answers as Keycloak or refuses by name where they
// change an answer.
func TestSettings(t *testing.T) {
	run(t, "settings", func(g *group) {
		provider := object{"alias": "elsewhere", "providerId": "oidc", "enabled": true,
			"config": object{
				"clientId": "x", "clientSecret": "y", "authorizationUrl": "https://id.example/auth",
				"tokenUrl": "https://id.example/token"}}
		hour := func(n int64) object {
			return object{
				"attributes": object{"client.secret.expiration.time": fmt.Sprint(time.Now().Unix() +
					n*3600)},
			}
		}
		r := g.realm(realmFile(object{
			"registrationAllowed": true, "rememberMe": true, "resetPasswordAllowed": true,
			"identityProviders": []object{provider},
		}))
		usual := g.realm(realmFile(nil))
		expiring := g.realm(realmFile(nil, clientFile("expired", hour(-1)),
			clientFile("expires", hour(1)),
			clientFile("never",
				object{"attributes": object{"client.secret.expiration.time": "0"}})))
		for _, client := range []string{"expired", "expires", "never"} {
			g.exchange("secret of a client: "+client, func(x *exchange) {
				x.outcome("login",
					x.token(expiring,
						passwordGrant(x.user(expiring, nil), "client_id", client, "client_secret",
							client+"-secret")))
				x.outcome("introspection",
					x.post(expiring.oidc("/token/introspect"),
						with(secretOf(client), "token", "garbage")))
			})
		}
		open := func(name, named string, r *realm, pairs ...string) {
			g.exchange(name, func(x *exchange) {
				x.refusedByName("answer", named, x.browser().open(r.authURL(pairs...)))
			})
		}
		open("prompt=create, and nobody may register", "", usual, "prompt", "create")
		open("prompt=create", "register", r, "prompt", "create")
		open("login page of such a realm", "", r)
		g.exchange("kc_idp_hint", func(x *exchange) {
			a := x.browser().open(r.authURL("kc_idp_hint", "elsewhere"))
			if to, err := url.Parse(a.header.Get("Location")); err == nil &&
				to.Host == "id.example" {
				x.placeholder("{nonce}", to.Query().Get("nonce"))
				x.placeholder("{broker's state}", to.Query().Get("state"))
			}
			x.refusedByName("answer", "kc_idp_hint names elsewhere", a)
		})
		open("kc_idp_hint of nobody", "", r, "kc_idp_hint", "nobody")
		open("kc_idp_hint, and there is none", "", usual, "kc_idp_hint", "elsewhere")
		open("kc_idp_hint, without a session", "", r, "kc_idp_hint", "elsewhere", "prompt",
			"none")
		g.exchange("kc_idp_hint of somebody who is signed in", func(x *exchange) {
			b := x.browser()
			b.login(x.user(r, nil))
			x.outcome("again", b.open(r.authURL("kc_idp_hint", "elsewhere")))
		})
		remembered := func(name string, r *realm) {
			g.exchange(name, func(x *exchange) {
				b, u := x.browser(), x.user(r, nil)
				a := b.submit(b.open(r.authURL()), "username", u.username, "password", "secret",
					"rememberMe", "on")
				if a.status == 302 {
					x.note("the cookie is remembered: %t", len(a.header["Set-Cookie"]) > 3)
					return
				}
				x.refusedByName("answer", "rememberMe", a)
			})
		}
		remembered("rememberMe, where it isn't", usual)

		german := g.realm(
			realmFile(object{"internationalizationEnabled": true,
				"supportedLocales": []string{"en", "de"}, "defaultLocale": "de"}))
		page := func(name, named string, headers []string, pairs ...string) {
			g.exchange("language: "+name, func(x *exchange) {
				a := x.get(german.authURL(pairs...),
					append([]string{"Accept", browserAccept}, headers...)...)
				x.refusedByName("answer", named, a)
			})
		}
		page("the realm's", "language de", nil)
		page("the browser's", "", []string{"Accept-Language", "en-GB,en;q=0.8"})
		page("the client's", "", nil, "ui_locales", "fr en")
		page("the client's, before the browser's", "language de", []string{"Accept-Language", "en"},
			"ui_locales", "de")
		page("nobody's", "language de", []string{"Accept-Language", "fr"})
	})
}

// Actions that a client asks for, or that are due already.
func TestActions(t *testing.T) {
	run(t, "actions", func(g *group) {
		r := g.realm(realmFile(nil))
		// ends shows where a sign-in leads to.
		ends := func(x *exchange, b *browser, a response) {
			b.x = x
			if a.status == 302 {
				x.note("redirected: %s", x.pairs(a.redirected()))
				return
			}
			x.refusedByName("page", "", a)
		}
		wish := func(name, action string, user object, fields ...string) {
			g.exchange(name, func(x *exchange) {
				b := x.browser()
				a := b.login(x.user(r, user), "kc_action", action)
				if len(fields) > 0 {
					x.refusedByName("page", "", a)
					a = b.submit(a, fields...)
				}
				ends(x, b, a)
			})
		}
		password := []string{"password-new", "another", "password-confirm", "another"}
		wish("a new password", "UPDATE_PASSWORD", nil, password...)
		wish("a new password, with a parameter", "UPDATE_PASSWORD:x", nil, password...)
		wish("a new password, declined", "UPDATE_PASSWORD", nil, "cancel-aia", "true")
		wish("a new password, declined, with a parameter", "UPDATE_PASSWORD:x", nil, "cancel-aia",
			"true")
		wish("nothing that is known", "bogus", nil)
		wish("nothing that is known, with a parameter", "bogus:x", nil)
		wish("a profile that is complete", "VERIFY_PROFILE", nil)
		wish("terms, which are off", "TERMS_AND_CONDITIONS", nil)
		wish("an address that is verified", "VERIFY_EMAIL", object{"emailVerified": true})
		g.exchange("due: an address that is verified", func(x *exchange) {
			u := x.user(r,
				object{"emailVerified": true, "requiredActions": []string{"VERIFY_EMAIL"}})
			x.outcome("password grant before", x.token(r, passwordGrant(u)))
			b := x.browser()
			ends(x, b, b.login(u))
			x.outcome("password grant after", x.token(r, passwordGrant(u)))
		})
		g.exchange("due: an address that isn't", func(x *exchange) {
			b := x.browser()
			ends(x, b, b.login(x.user(r, object{"requiredActions": []string{"VERIFY_EMAIL"}})))
		})
	})
}
