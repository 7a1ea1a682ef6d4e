package contract

import (
	"fmt"
	"net/url"
	"testing"
	"time"
)

// Settings that the stand-in loads, and either supports or rejects by name in a request that they
// affect.
func TestSettings(t *testing.T) {
	run(t, "settings", func(g *group) {
		provider := object{"alias": "elsewhere", "providerId": "oidc", "enabled": true,
			"config": object{
				"clientId": "x", "clientSecret": "y", "authorizationUrl": "https://id.example/auth",
				"tokenUrl": "https://id.example/token"}}
		secretExpiresIn := func(hours int64) object {
			return object{
				"attributes": object{"client.secret.expiration.time": fmt.Sprint(time.Now().Unix() +
					hours*3600)},
			}
		}
		r := g.realm(realmFile(object{
			"registrationAllowed": true, "rememberMe": true, "resetPasswordAllowed": true,
			"identityProviders": []object{provider},
		}))
		usual := g.realm(realmFile(nil))
		expiring := g.realm(realmFile(nil, clientFile("expired", secretExpiresIn(-1)),
			clientFile("expires", secretExpiresIn(1)),
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
		authorize := func(name, unsupported string, r *realm, pairs ...string) {
			g.exchange(name, func(x *exchange) {
				x.showOrUnsupported("answer", unsupported, x.browser().open(r.authURL(pairs...)))
			})
		}
		authorize("prompt=create without registration", "", usual, "prompt", "create")
		authorize("prompt=create", "register", r, "prompt", "create")
		authorize("login page", "", r)
		g.exchange("kc_idp_hint", func(x *exchange) {
			a := x.browser().open(r.authURL("kc_idp_hint", "elsewhere"))
			if location, err := url.Parse(a.header.Get("Location")); err == nil &&
				location.Host == "id.example" {
				x.placeholder("{nonce}", location.Query().Get("nonce"))
				x.placeholder("{broker's state}", location.Query().Get("state"))
			}
			x.showOrUnsupported("answer", "kc_idp_hint names elsewhere", a)
		})
		authorize("kc_idp_hint of an unknown provider", "", r, "kc_idp_hint", "nobody")
		authorize("kc_idp_hint without providers", "", usual, "kc_idp_hint", "elsewhere")
		authorize("kc_idp_hint without a session", "", r, "kc_idp_hint", "elsewhere", "prompt",
			"none")
		g.exchange("kc_idp_hint in an existing session", func(x *exchange) {
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
				x.showOrUnsupported("answer", "rememberMe", a)
			})
		}
		remembered("rememberMe, not enabled", usual)

		german := g.realm(
			realmFile(object{"internationalizationEnabled": true,
				"supportedLocales": []string{"en", "de"}, "defaultLocale": "de"}))
		page := func(name, unsupported string, headers []string, pairs ...string) {
			g.exchange("language: "+name, func(x *exchange) {
				a := x.get(german.authURL(pairs...),
					append([]string{"Accept", browserAccept}, headers...)...)
				x.showOrUnsupported("answer", unsupported, a)
			})
		}
		page("the realm's", "language de", nil)
		page("the browser's", "", []string{"Accept-Language", "en-GB,en;q=0.8"})
		page("the client's", "", nil, "ui_locales", "fr en")
		page("the client's, before the browser's", "language de", []string{"Accept-Language", "en"},
			"ui_locales", "de")
		page("not supported", "language de", []string{"Accept-Language", "fr"})
	})
}

// Actions that a client requests with kc_action, and required actions of a user.
func TestActions(t *testing.T) {
	run(t, "actions", func(g *group) {
		r := g.realm(realmFile(nil))
		// showNext records the redirect to the client, or the next page.
		showNext := func(x *exchange, a response) {
			if a.status == 302 {
				x.note("redirected: %s", x.pairs(a.redirected()))
				return
			}
			x.showOrUnsupported("page", "", a)
		}
		request := func(name, action string, user object, fields ...string) {
			g.exchange(name, func(x *exchange) {
				b := x.browser()
				a := b.login(x.user(r, user), "kc_action", action)
				if len(fields) > 0 {
					x.showOrUnsupported("page", "", a)
					a = b.submit(a, fields...)
				}
				showNext(x, a)
			})
		}
		password := []string{"password-new", "another", "password-confirm", "another"}
		request("a new password", "UPDATE_PASSWORD", nil, password...)
		request("a new password, with a parameter", "UPDATE_PASSWORD:x", nil, password...)
		request("a new password, declined", "UPDATE_PASSWORD", nil, "cancel-aia", "true")
		request("a new password, declined, with a parameter", "UPDATE_PASSWORD:x", nil, "cancel-aia",
			"true")
		request("unknown action", "bogus", nil)
		request("unknown action, with a parameter", "bogus:x", nil)
		request("complete profile", "VERIFY_PROFILE", nil)
		request("disabled action", "TERMS_AND_CONDITIONS", nil)
		request("verified address", "VERIFY_EMAIL", object{"emailVerified": true})
		g.exchange("required: verified address", func(x *exchange) {
			u := x.user(r,
				object{"emailVerified": true, "requiredActions": []string{"VERIFY_EMAIL"}})
			x.outcome("password grant before", x.token(r, passwordGrant(u)))
			showNext(x, x.browser().login(u))
			x.outcome("password grant after", x.token(r, passwordGrant(u)))
		})
		g.exchange("required: unverified address", func(x *exchange) {
			u := x.user(r, object{"requiredActions": []string{"VERIFY_EMAIL"}})
			showNext(x, x.browser().login(u))
		})
	})
}
