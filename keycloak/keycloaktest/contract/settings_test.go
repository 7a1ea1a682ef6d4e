package contract

import (
	"fmt"
	"net/url"
	"testing"
	"time"
)

// TestSettings records requests that a realm or client setting affects. The fake either supports
// the setting, or responds with a 501 that names it.
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
		defaultRealm := g.realm(realmFile(nil))
		expiringRealm := g.realm(realmFile(nil, clientFile("expired", secretExpiresIn(-1)),
			clientFile("expires", secretExpiresIn(1)),
			clientFile("never",
				object{"attributes": object{"client.secret.expiration.time": "0"}})))
		for _, client := range []string{"expired", "expires", "never"} {
			g.scenario("secret of a client: "+client, func(s *scenario) {
				s.outcome("login",
					s.token(expiringRealm,
						passwordGrant(s.user(expiringRealm, nil), credsOf(client)...)))
				s.outcome("introspection",
					s.post(expiringRealm.oidc("/token/introspect"),
						with(secretOf(client), "token", "garbage")))
			})
		}
		authorize := func(name, feature string, r *realm, pairs ...string) {
			g.scenario(name, func(s *scenario) {
				s.showOrUnsupported("response", feature, s.browser().open(r.authURL(pairs...)))
			})
		}
		authorize("prompt=create without registration", "", defaultRealm, "prompt", "create")
		authorize("prompt=create", "register", r, "prompt", "create")
		authorize("login page", "", r)
		g.scenario("kc_idp_hint", func(s *scenario) {
			resp := s.browser().open(r.authURL("kc_idp_hint", "elsewhere"))
			if location, err := url.Parse(resp.header.Get("Location")); err == nil &&
				location.Host == "id.example" {
				s.placeholder("{nonce}", location.Query().Get("nonce"))
				s.placeholder("{broker's state}", location.Query().Get("state"))
			}
			s.showOrUnsupported("response", "kc_idp_hint names elsewhere", resp)
		})
		authorize("kc_idp_hint of an unknown provider", "", r, "kc_idp_hint", "nobody")
		authorize("kc_idp_hint without providers", "", defaultRealm, "kc_idp_hint", "elsewhere")
		authorize("kc_idp_hint without a session", "", r, "kc_idp_hint", "elsewhere", "prompt",
			"none")
		g.scenario("kc_idp_hint in an existing session", func(s *scenario) {
			b := s.browser()
			b.login(s.user(r, nil))
			s.outcome("again", b.open(r.authURL("kc_idp_hint", "elsewhere")))
		})
		loginRemembered := func(name string, r *realm) {
			g.scenario(name, func(s *scenario) {
				b, u := s.browser(), s.user(r, nil)
				resp := b.submit(b.open(r.authURL()), "username", u.username, "password", "secret",
					"rememberMe", "on")
				if resp.status == 302 {
					s.note("the cookie is remembered: %t", len(resp.header["Set-Cookie"]) > 3)
					return
				}
				s.showOrUnsupported("response", "rememberMe", resp)
			})
		}
		loginRemembered("rememberMe, not enabled", defaultRealm)

		germanRealm := g.realm(
			realmFile(object{"internationalizationEnabled": true,
				"supportedLocales": []string{"en", "de"}, "defaultLocale": "de"}))
		page := func(name, feature string, headers []string, pairs ...string) {
			g.scenario("language: "+name, func(s *scenario) {
				resp := s.get(germanRealm.authURL(pairs...),
					append([]string{"Accept", browserAccept}, headers...)...)
				s.showOrUnsupported("response", feature, resp)
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

// TestActions records actions that a client requests with kc_action, and required actions of a
// user.
func TestActions(t *testing.T) {
	run(t, "actions", func(g *group) {
		r := g.realm(realmFile(nil))
		// showNext records the redirect to the client, or the next page.
		showNext := func(s *scenario, resp response) {
			if resp.status == 302 {
				s.note("redirected: %s", s.formatForm(resp.redirectQuery()))
				return
			}
			s.showOrUnsupported("page", "", resp)
		}
		request := func(name, action string, user object, fields ...string) {
			g.scenario(name, func(s *scenario) {
				b := s.browser()
				resp := b.login(s.user(r, user), "kc_action", action)
				if len(fields) > 0 {
					s.showOrUnsupported("page", "", resp)
					resp = b.submit(resp, fields...)
				}
				showNext(s, resp)
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
		g.scenario("required: verified address", func(s *scenario) {
			u := s.user(r,
				object{"emailVerified": true, "requiredActions": []string{"VERIFY_EMAIL"}})
			s.outcome("password grant before", s.token(r, passwordGrant(u)))
			showNext(s, s.browser().login(u))
			s.outcome("password grant after", s.token(r, passwordGrant(u)))
		})
		g.scenario("required: unverified address", func(s *scenario) {
			u := s.user(r, object{"requiredActions": []string{"VERIFY_EMAIL"}})
			showNext(s, s.browser().login(u))
		})
	})
}
