package contract

import "testing"

// TestCode_refused records authorization requests that fail before the login page.
func TestCode_refused(t *testing.T) {
	run(t, "code-refused", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil,
			clientJSON("off", object{"enabled": false}),
			clientJSON("bearer", object{"bearerOnly": true}),
			clientJSON("no-code", object{"standardFlowEnabled": false}),
		))
		disabledRealm := suite.addRealm(realmJSON(object{"enabled": false}))
		suite.add("page for a browser", func(s *scenario) {
			s.record(s.newBrowser().open(r.authURL("client_id", "nope")))
		})
		suite.add("JSON for other clients", func(s *scenario) {
			s.record(s.get(r.authURL("client_id", "nope"), "Accept", "application/json"))
		})
		suite.add("redirect", func(s *scenario) {
			s.record(s.newBrowser().open(r.authURL("scope", "openid bogus")))
		})
		suite.add("redirect without a state", func(s *scenario) {
			address := r.authURL("scope", "openid bogus", "state", "")
			s.recordPageOrRedirect(s.newBrowser().open(address))
		})
		suite.add("disabled realm", func(s *scenario) {
			s.record(s.newBrowser().open(disabledRealm.authURL()))
		})
		for _, row := range []struct{ name, address string }{
			{"client absent", r.authURL("client_id", "")},
			{"client empty", r.authURL("client_id", "") + "&client_id="},
			{"client disabled", r.authURL("client_id", "off")},
			{"client bearer-only", r.authURL("client_id", "bearer")},
			{"client without the code flow", r.authURL("client_id", "no-code")},
			{"redirect_uri absent", r.authURL("redirect_uri", "")},
			{"redirect_uri empty", r.authURL("redirect_uri", "") + "&redirect_uri="},
			{"redirect_uri not allowed", r.authURL("redirect_uri", "http://evil.test/")},
			{"response_type absent", r.authURL("response_type", "")},
			{"response_type empty", r.authURL("response_type", "") + "&response_type="},
			{"response_type unknown", r.authURL("response_type", "bogus")},
			{"response_type token", r.authURL("response_type", "token")},
			{"response_type hybrid", r.authURL("response_type", "code id_token", "nonce", "n")},
			{"response_mode unknown", r.authURL("response_mode", "bogus")},
			{"scope empty", r.authURL("scope", "") + "&scope="},
			{"scope not of the client", r.authURL("scope", "openid service_account")},
			{"max_age not a number", r.authURL("max_age", "x")},
			{"prompt=none and login", r.authURL("prompt", "none login")},
			{"request object garbage", r.authURL("request", "garbage")},
			{"scope twice", r.authURL() + "&scope=openid"},
			{"state twice", r.authURL() + "&state=other"},
			{"unknown parameter twice", r.authURL() + "&foo=1&foo=2"},
			{"client twice", r.authURL() + "&client_id=api"},
			{"redirect_uri twice", r.authURL() + "&redirect_uri=" + callback},
		} {
			suite.add(row.name, func(s *scenario) {
				s.recordPageOrRedirect(s.newBrowser().open(row.address))
			})
		}
	})
}

// TestCode_redirects records which redirect URIs a client may use. With prompt=none, Keycloak
// redirects immediately if the URI is allowed.
func TestCode_redirects(t *testing.T) {
	run(t, "code-redirects", func(suite *testSuite) {
		clientWithURIs := func(id string, uris ...string) object {
			return clientJSON(id, object{"redirectUris": uris})
		}
		r := suite.addRealm(realmJSON(nil,
			clientWithURIs("exact", "http://app.test/cb", "http://app.test/other"),
			clientWithURIs("wildcard", "http://app.test/a/*"),
			merge(clientWithURIs("relative", "/cb/*"), object{"rootUrl": "http://rel.test"}),
			clientWithURIs("query", "http://app.test/cb?a=1"),
			clientWithURIs("any", "*"),
			merge(clientWithURIs("none"), object{"webOrigins": []string{}}),
			clientWithURIs("one", "http://app.test/one"),
			clientWithURIs("loopback", "http://127.0.0.1/cb"),
			clientWithURIs("scheme", "com.example.app:/cb"),
		))
		for _, row := range []struct {
			client string
			uris   []string // "" means no redirect_uri
		}{
			{"exact", []string{"http://app.test/cb", "http://app.test/other", "http://app.test/cb/",
				"http://app.test/cb?x=1",
				"http://app.test/cb#f", "http://APP.test/cb", "http://app.test:80/cb",
				"https://app.test/cb", "http://app.test/CB", "/cb", ""}},
			{"wildcard", []string{"http://app.test/a/x/y?z=1", "http://app.test/a/",
				"http://app.test/a", "http://app.test/a?z=1", "http://app.test/ab",
				"http://app.test/a/x#f", "http://app.test/a/../b", "http://app.test/a/%2e%2e/b",
				"http://user@app.test/a/x", "http://app.test.evil/a/x"}},
			{"relative", []string{"http://rel.test/cb/x", "http://rel.test/cb",
				"http://rel.test/no", "/cb/x"}},
			{"query", []string{"http://app.test/cb?a=1", "http://app.test/cb",
				"http://app.test/cb?a=1&b=2"}},
			{"any", []string{"http://anywhere.test/x", "javascript:alert(1)",
				"com.example.app:/cb"}},
			{"none", []string{"http://app.test/cb", ""}},
			{"one", []string{"http://app.test/one", ""}},
			{"loopback", []string{"http://127.0.0.1/cb", "http://127.0.0.1:4567/cb",
				"http://localhost:4567/cb", "http://127.0.0.1:4567/no"}},
			{"scheme", []string{"com.example.app:/cb", "com.example.app:/no"}},
		} {
			suite.add(row.client, func(s *scenario) {
				b := s.newBrowser()
				for _, uri := range row.uris {
					s.recordPageOrRedirect(
						b.open(r.authURL("client_id", row.client, "redirect_uri", uri, "prompt",
							"none")))
				}
			})
		}
	})
}
