package contract

import (
	"fmt"
	"net/url"
	"testing"
	"time"
)

// TestSettings records requests that a realm or client setting affects. The fake either supports
// that setting, or responds with a 501 that names it.
func TestSettings(t *testing.T) {
	run(t, "settings", func(suite *testSuite) {
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
		r := suite.addRealm(realmJSON(object{
			"registrationAllowed": true, "rememberMe": true, "resetPasswordAllowed": true,
			"identityProviders": []object{provider},
		}))
		defaultRealm := suite.addRealm(realmJSON(nil))
		expiringRealm := suite.addRealm(realmJSON(nil, clientJSON("expired", secretExpiresIn(-1)),
			clientJSON("expires", secretExpiresIn(1)),
			clientJSON("never",
				object{"attributes": object{"client.secret.expiration.time": "0"}})))
		for _, client := range []string{"expired", "expires", "never"} {
			suite.add("secret of a client: "+client, func(s *scenario) {
				s.recordOutcome("login",
					s.token(expiringRealm,
						passwordGrant(s.addUser(expiringRealm, nil), clientParams(client)...)))
				s.recordOutcome("introspection",
					s.post(expiringRealm.endpoint("/token/introspect"),
						withParams(clientForm(client), "token", "garbage")))
			})
		}
		addAuthorization := func(name, feature string, r *realm, pairs ...string) {
			suite.add(name, func(s *scenario) {
				s.recordOr501("response", feature, s.newBrowser().open(r.authURL(pairs...)))
			})
		}
		addAuthorization("prompt=create without registration", "", defaultRealm, "prompt", "create")
		addAuthorization("prompt=create", "register", r, "prompt", "create")
		addAuthorization("login page", "", r)
		suite.add("kc_idp_hint", func(s *scenario) {
			resp := s.newBrowser().open(r.authURL("kc_idp_hint", "elsewhere"))
			if location, err := url.Parse(resp.header.Get("Location")); err == nil &&
				location.Host == "id.example" {
				s.addPlaceholder("{nonce}", location.Query().Get("nonce"))
				s.addPlaceholder("{broker's state}", location.Query().Get("state"))
			}
			s.recordOr501("response", "kc_idp_hint names elsewhere", resp)
		})
		addAuthorization("kc_idp_hint of an unknown provider", "", r, "kc_idp_hint", "nobody")
		addAuthorization("kc_idp_hint without providers", "", defaultRealm, "kc_idp_hint",
			"elsewhere")
		addAuthorization("kc_idp_hint without a session", "", r, "kc_idp_hint", "elsewhere",
			"prompt", "none")
		suite.add("kc_idp_hint in an existing session", func(s *scenario) {
			b := s.newBrowser()
			b.login(s.addUser(r, nil))
			s.recordOutcome("again", b.open(r.authURL("kc_idp_hint", "elsewhere")))
		})
		addRememberMe := func(name string, r *realm) {
			suite.add(name, func(s *scenario) {
				b, u := s.newBrowser(), s.addUser(r, nil)
				resp := b.submit(b.open(r.authURL()), "username", u.username, "password", "secret",
					"rememberMe", "on")
				if resp.status == 302 {
					s.note("the cookie is remembered: %t", len(resp.header["Set-Cookie"]) > 3)
					return
				}
				s.recordOr501("response", "rememberMe", resp)
			})
		}
		addRememberMe("rememberMe, not enabled", defaultRealm)

		germanRealm := suite.addRealm(
			realmJSON(object{"internationalizationEnabled": true,
				"supportedLocales": []string{"en", "de"}, "defaultLocale": "de"}))
		addLanguage := func(name, feature string, headers []string, pairs ...string) {
			suite.add("language: "+name, func(s *scenario) {
				resp := s.get(germanRealm.authURL(pairs...),
					append([]string{"Accept", browserAccept}, headers...)...)
				s.recordOr501("response", feature, resp)
			})
		}
		addLanguage("the realm's", "language de", nil)
		addLanguage("the browser's", "", []string{"Accept-Language", "en-GB,en;q=0.8"})
		addLanguage("the client's", "", nil, "ui_locales", "fr en")
		addLanguage("the client's, before the browser's", "language de",
			[]string{"Accept-Language", "en"},
			"ui_locales", "de")
		addLanguage("not supported", "language de", []string{"Accept-Language", "fr"})
	})
}

// TestActions records actions that a client requests with kc_action, and required actions of a
// user.
func TestActions(t *testing.T) {
	run(t, "actions", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil))
		// recordNext records the redirect to the client, or the next page.
		recordNext := func(s *scenario, resp response) {
			if resp.status == 302 {
				s.note("redirected: %s", s.formatForm(resp.redirectQuery()))
				return
			}
			s.recordOr501("page", "", resp)
		}
		addAction := func(name, action string, userFields object, pageFields ...string) {
			suite.add(name, func(s *scenario) {
				b := s.newBrowser()
				resp := b.login(s.addUser(r, userFields), "kc_action", action)
				if len(pageFields) > 0 {
					s.recordOr501("page", "", resp)
					resp = b.submit(resp, pageFields...)
				}
				recordNext(s, resp)
			})
		}
		passwordFields := []string{"password-new", "another", "password-confirm", "another"}
		addAction("a new password", "UPDATE_PASSWORD", nil, passwordFields...)
		addAction("a new password, with a parameter", "UPDATE_PASSWORD:x", nil, passwordFields...)
		addAction("a new password, declined", "UPDATE_PASSWORD", nil, "cancel-aia", "true")
		addAction("a new password, declined, with a parameter", "UPDATE_PASSWORD:x", nil,
			"cancel-aia",
			"true")
		addAction("unknown action", "bogus", nil)
		addAction("unknown action, with a parameter", "bogus:x", nil)
		addAction("complete profile", "VERIFY_PROFILE", nil)
		addAction("disabled action", "TERMS_AND_CONDITIONS", nil)
		addAction("verified address", "VERIFY_EMAIL", object{"emailVerified": true})
		suite.add("required: verified address", func(s *scenario) {
			u := s.addUser(r,
				object{"emailVerified": true, "requiredActions": []string{"VERIFY_EMAIL"}})
			s.recordOutcome("password grant before", s.token(r, passwordGrant(u)))
			recordNext(s, s.newBrowser().login(u))
			s.recordOutcome("password grant after", s.token(r, passwordGrant(u)))
		})
		suite.add("required: unverified address", func(s *scenario) {
			u := s.addUser(r, object{"requiredActions": []string{"VERIFY_EMAIL"}})
			recordNext(s, s.newBrowser().login(u))
		})
	})
}
