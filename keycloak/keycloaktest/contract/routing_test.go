package contract

import (
	"net/http"
	"strings"
	"testing"
)

// TestRouting records responses to unknown paths, wrong methods, and unusual spellings of paths.
func TestRouting(t *testing.T) {
	run(t, "routing", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil))
		addRequest := func(name, method, path string, headers ...string) {
			suite.add(name, func(s *scenario) {
				s.record(s.send(method, s.kc.baseURL()+path, "", headers...))
			})
		}
		realmPath, oidcPath := "/realms/"+r.name, "/realms/"+r.name+"/protocol/openid-connect"

		addRequest("unknown realm: realm info", "GET", "/realms/no-such-realm")
		addRequest("unknown realm: discovery", "GET",
			"/realms/no-such-realm/.well-known/openid-configuration")
		addRequest("unknown realm: certs", "GET",
			"/realms/no-such-realm/protocol/openid-connect/certs")
		suite.add("unknown realm: token", func(s *scenario) {
			s.record(s.post(s.kc.baseURL()+"/realms/no-such-realm/protocol/openid-connect/token",
				clientForm("api")))
		})
		addRequest("unknown realm: unknown path", "GET", "/realms/no-such-realm/no-such-path")
		suite.add("realm in another case", func(s *scenario) {
			s.record(s.get(s.kc.baseURL() + "/realms/" + strings.ToUpper(r.name) +
				"/protocol/openid-connect/certs"))
		})

		suite.add("login-actions are never cached", func(s *scenario) {
			for _, request := range []string{
				"GET /authenticate", "POST /authenticate", "PUT /authenticate",
				"OPTIONS /authenticate", "GET /consent", "POST /consent", "GET /restart",
				"POST /restart", "GET /required-action", "GET /no-such-action",
			} {
				method, path, _ := strings.Cut(request, " ")
				s.note("%s: %s", request,
					s.send(method, r.url("/login-actions"+path), "").header.Get("Cache-Control"))
			}
		})

		addRequest("unknown path in a realm", "GET", realmPath+"/no-such-path")
		addRequest("unknown path below openid-connect", "GET", oidcPath+"/no-such-path")
		addRequest("unknown protocol", "GET", realmPath+"/protocol/no-such-protocol/token")
		addRequest("unknown well-known", "GET", realmPath+"/.well-known/no-such-document")
		addRequest("unknown path outside of realms", "GET", "/no-such-path")
		addRequest("path of old releases", "GET", "/auth/realms/"+r.name)
		addRequest("health is not on this port", "GET", "/health")

		addRequest("wrong method: GET token", "GET", oidcPath+"/token")
		addRequest("wrong method: PUT token", "PUT", oidcPath+"/token")
		addRequest("wrong method: GET introspect", "GET", oidcPath+"/token/introspect")
		addRequest("wrong method: GET revoke", "GET", oidcPath+"/revoke")
		addRequest("wrong method: POST certs", "POST", oidcPath+"/certs")
		addRequest("wrong method: DELETE userinfo", "DELETE", oidcPath+"/userinfo")
		addRequest("wrong method: POST realm info", "POST", realmPath)
		addRequest("wrong method: POST discovery", "POST", realmPath+
			"/.well-known/openid-configuration")
		addRequest("HEAD certs", "HEAD", oidcPath+"/certs")

		addRequest("two slashes", "GET", "/realms//"+r.name)
		addRequest("two slashes before the last segment", "GET", oidcPath+"//certs")
		addRequest("parent directory", "GET", realmPath+"/../"+r.name)
		addRequest("current directory", "GET", realmPath+"/./protocol/openid-connect/certs")
		addRequest("semicolon", "GET", realmPath+";a=b")
		addRequest("escaped letter", "GET", realmPath+"/prot%6Fcol/openid-connect/certs")
		addRequest("escaped letter of a realm", "GET", "/realms/%63-realm")
		addRequest("no realm", "GET", "/realms")
		addRequest("no realm, with a slash", "GET", "/realms/")
		addRequest("no protocol", "GET", realmPath+"/protocol")
		addRequest("no endpoint", "GET", oidcPath)
		addRequest("preflight of realm info", "OPTIONS", realmPath, "Origin", otherOrigin)
		addRequest("preflight of an unknown path", "OPTIONS", realmPath+"/no-such-path", "Origin",
			otherOrigin)
		addRequest("trailing slash: realm info", "GET", realmPath+"/")
		suite.add("trailing slash: certs and discovery", func(s *scenario) {
			s.recordHeaders(s.get(r.endpoint("/certs/")),
				s.get(r.url("/.well-known/openid-configuration/")))
		})
		suite.add("trailing slash: token", func(s *scenario) {
			s.recordHeaders(s.post(r.endpoint("/token/"), passwordGrant(s.addUser(r, nil))))
		})
	})
}

// TestRouting_bodies records how the token endpoint reads bodies and credentials. Keycloak treats a
// body that isn't a form as an empty form.
func TestRouting_bodies(t *testing.T) {
	run(t, "routing-bodies", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil))
		suite.add("JSON", func(s *scenario) {
			s.record(s.send("POST", r.endpoint("/token"), `{"grant_type":"password"}`,
				"Content-Type", "application/json"))
		})
		suite.add("no content type", func(s *scenario) {
			s.record(s.send("POST", r.endpoint("/token"), "grant_type=password"))
		})
		suite.add("text", func(s *scenario) {
			s.record(s.send("POST", r.endpoint("/token"), "grant_type=password", "Content-Type",
				"text/plain"))
		})
		suite.add("in the query", func(s *scenario) {
			values := passwordGrant(s.addUser(r, nil))
			s.record(s.post(r.endpoint("/token?"+values.Encode()), nil))
		})
		suite.add("form and query", func(s *scenario) {
			values := passwordGrant(s.addUser(r, nil))
			s.recordOutcome("a bad scope in the query",
				s.post(r.endpoint("/token?scope=bogus"), values))
			s.recordOutcome("a name of the form in the query, too",
				s.post(r.endpoint("/token?grant_type=password"), values))
		})
		suite.add("form with a charset", func(s *scenario) {
			values := passwordGrant(s.addUser(r, nil))
			s.recordOutcome("charset",
				s.send("POST", r.endpoint("/token"), values.Encode(), "Content-Type",
					"application/x-www-form-urlencoded; charset=UTF-8"))
		})
		// addBody adds a scenario that changes the text of a password grant's form and sends it.
		addBody := func(name string, change func(form string) string, headers ...string) {
			suite.add(name, func(s *scenario) {
				body := change(passwordGrant(s.addUser(r, nil)).Encode())
				if len(headers) == 0 {
					headers = []string{"Content-Type", "application/x-www-form-urlencoded"}
				}
				s.recordOutcome("login", s.send("POST", r.endpoint("/token"), body, headers...))
			})
		}
		appendText := func(suffix string) func(string) string {
			return func(form string) string { return form + suffix }
		}
		addBody("a semicolon in a value", appendText("&x=a;b"))
		addBody("a semicolon in the scope", appendText("&scope=openid;email"))
		addBody("content type in capitals", appendText(""), "Content-Type",
			"Application/X-WWW-Form-Urlencoded")
		addBody("two ampersands", appendText("&&x=1"))
		addBody("two ampersands, twice", appendText("&&x=1&&y=1"))
		addBody("trailing ampersand", appendText("&"))
		addBody("two trailing ampersands", appendText("&&"))
		addBody("three trailing ampersands", appendText("&&&"))
		addBody("leading ampersand", func(form string) string { return "&" + form })
		addBody("name without a value", appendText("&x"))
		addBody("scope without a value", appendText("&scope"))
		addBody("value without a name", appendText("&=x"))
		addBody("invalid escape", appendText("&x=%zz"))
		addBody("incomplete escape", appendText("&x=%2"))
		addBody("invalid UTF-8", appendText("&x=%ff"))
		addBody("a long parameter", appendText("&x="+strings.Repeat("a", 30000)))
		addBody("a long scope", appendText("&scope="+strings.Repeat("a", 5000)))
		addBody("a scope of 4,000", appendText("&scope="+strings.Repeat("a", 4000)))
		addBody("a scope of 4,001", appendText("&scope="+strings.Repeat("a", 4001)))
		suite.add("long parameters and control characters", func(s *scenario) {
			s.recordOutcome("a long code", s.token(r, codeGrant(strings.Repeat("a", 5000))))
			s.recordOutcome("a long grant type",
				s.token(r, withParams(clientForm("api"), "grant_type", strings.Repeat("a", 5000))))
			code := s.code(s.addUser(r, nil))
			s.recordOutcome("control characters",
				s.token(r, withParams(codeGrant("\x01"+code), "redirect_uri", "\t"+callback)))
		})
		for _, value := range []string{"Basic YXBpOmFwaS1zZWNyZXQ", "basic YXBpOmFwaS1zZWNyZXQ=",
			"Basic  YXBpOmFwaS1zZWNyZXQ=", "Basic YXBpOmFwaS1zZWNyZXQ= x"} {
			suite.add("basic authentication: "+strings.ReplaceAll(value, "  ", " two blanks "),
				func(s *scenario) {
					s.recordOutcome("login",
						s.token(r,
							withoutParams(passwordGrant(s.addUser(r, nil)), "client_id",
								"client_secret"),
							"Authorization", value))
				})
		}
		suite.add("form decoding", func(s *scenario) {
			u := s.addUser(r,
				object{
					"credentials": []object{{"type": "password", "value": "pä ss+&=%",
						"temporary": false}},
				})
			s.recordOutcome("password with all that a form escapes",
				s.token(r, passwordGrant(u, "password", "pä ss+&=%")))
		})
	})
}

// TestRouting_accept records responses to different Accept headers. A browser gets a page for a
// routing error such as an unknown path, but not for an OAuth error.
func TestRouting_accept(t *testing.T) {
	run(t, "routing-accept", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil))
		for _, accept := range []string{"text/html", browserAccept, "*/*", "application/json",
			"text/plain", "image/png"} {
			suite.add("unknown path, "+accept, func(s *scenario) {
				s.record(s.get(r.url("/no-such-path"), "Accept", accept))
			})
		}
		for _, accept := range []string{
			"application/jwk-set+json", "application/jwk-set+json, application/json",
			"APPLICATION/JSON", "*", "application/jwt", "text/*", "*/json", "garbage",
			"application/*", "application/xml, */*;q=0.1", "application/json;q=0",
			"text/html, application/json;q=0.1",
		} {
			suite.add("metadata, "+accept, func(s *scenario) {
				// The first discovery response of a realm may be a 500.
				s.get(r.url("/.well-known/openid-configuration")).mustOK()
				for _, address := range []string{r.endpoint("/certs"),
					r.url("/.well-known/openid-configuration"), r.url("")} {
					resp := s.get(address, "Accept", accept)
					s.note("%s: %d %s %v", s.formatURL(address), resp.status,
						resp.header.Get("Content-Type"), resp.value("error"))
				}
			})
		}
		suite.add("unknown realm, text/html", func(s *scenario) {
			s.record(s.get(s.kc.baseURL()+"/realms/no-such-realm", "Accept", "text/html"))
		})
		suite.add("wrong method, text/html", func(s *scenario) {
			s.record(s.get(r.endpoint("/token"), "Accept", "text/html"))
		})
		suite.add("outside of realms, text/html", func(s *scenario) {
			s.record(s.get(s.kc.baseURL()+"/no-such-path", "Accept", "text/html"))
		})
		suite.add("OAuth error, text/html", func(s *scenario) {
			s.record(s.token(r, form("grant_type", "bogus"), "Accept", "text/html"))
		})
		suite.add("OAuth error of the client, text/html", func(s *scenario) {
			s.record(s.token(r, form("grant_type", "password"), "Accept", "text/html"))
		})
		suite.add("userinfo, text/html", func(s *scenario) {
			s.record(s.get(r.endpoint("/userinfo"), "Accept", "text/html"))
		})
		suite.add("token, text/html", func(s *scenario) {
			s.recordHeaders(s.token(r, passwordGrant(s.addUser(r, nil)), "Accept", "text/html"))
		})
		suite.add("certs, text/html", func(s *scenario) {
			s.recordHeaders(s.get(r.endpoint("/certs"), "Accept", "text/html"))
		})
		suite.add("realm info, text/html", func(s *scenario) {
			s.record(s.get(r.url(""), "Accept", "text/html"))
		})
		suite.add("discovery, text/html", func(s *scenario) {
			// The first discovery response of a realm may be a 500.
			s.get(r.url("/.well-known/openid-configuration")).mustOK()
			s.record(s.get(r.url("/.well-known/openid-configuration"), "Accept", "text/html"))
		})
		suite.add("discovery, a browser", func(s *scenario) {
			s.recordHeaders(s.get(r.url("/.well-known/openid-configuration"), "Accept",
				browserAccept))
		})
	})
}

// TestRouting_closedRealms records the responses of realms that are disabled or require HTTPS.
func TestRouting_closedRealms(t *testing.T) {
	run(t, "routing-closed-realms", func(suite *testSuite) {
		closedRealms := map[string]object{
			"disabled": {"enabled": false}, "https only": {"sslRequired": "all"},
		}
		for _, name := range sortedKeys(closedRealms) {
			r := suite.addRealm(realmJSON(closedRealms[name]))
			addGet := func(endpoint, address string) {
				suite.add(name+": "+endpoint, func(s *scenario) { s.record(s.get(address)) })
			}
			suite.add(name+": token", func(s *scenario) {
				s.record(s.token(r, passwordGrant(s.addUser(r, nil))))
			})
			suite.add(name+": empty token request", func(s *scenario) {
				s.record(s.token(r, nil))
			})
			suite.add(name+": token of an unknown client", func(s *scenario) {
				s.record(s.token(r, withParams(clientForm("nobody"), "grant_type", "password")))
			})
			addGet("userinfo", r.endpoint("/userinfo"))
			addGet("realm info", r.url(""))
			suite.add(name+": certs", func(s *scenario) {
				s.recordOutcome("certs", s.get(r.endpoint("/certs")))
			})
			suite.add(name+": discovery", func(s *scenario) {
				resp := s.get(r.url("/.well-known/openid-configuration"))
				s.recordHeaders(resp)
				s.note("issuer: %v, error: %v", s.normalize(asString(resp.value("issuer"))),
					resp.value("error"))
			})
			suite.add(name+": introspect", func(s *scenario) {
				s.record(s.post(r.endpoint("/token/introspect"),
					withParams(clientForm("api"), "token", "garbage")))
			})
			suite.add(name+": revoke", func(s *scenario) {
				s.record(s.post(r.endpoint("/revoke"),
					withParams(clientForm("api"), "token", "garbage")))
			})
			suite.add(name+": logout", func(s *scenario) {
				s.record(s.post(r.endpoint("/logout"),
					withParams(clientForm("api"), "refresh_token", "garbage")))
			})
			suite.add(name+": login page", func(s *scenario) {
				s.record(s.newBrowser().open(r.authURL()))
			})
		}
	})
}

// webOrigin is an allowed origin; otherOrigin isn't.
const (
	webOrigin   = "https://app.example"
	otherOrigin = "https://evil.example"
)

// TestRouting_origins records CORS headers. Responses to preflight requests allow every origin.
// Other responses allow only the client's origins.
func TestRouting_origins(t *testing.T) {
	run(t, "routing-origins", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil,
			clientJSON("web", object{"webOrigins": []string{webOrigin}}),
			clientJSON("plus",
				object{"webOrigins": []string{"+"},
					"redirectUris": []string{"https://plus.example/cb"}}),
			clientJSON("star", object{"webOrigins": []string{"*"}}),
			clientJSON("none", object{"webOrigins": []string{}}),
		))
		addPreflight := func(name, path string, headers ...string) {
			suite.add(name, func(s *scenario) {
				s.record(s.send(http.MethodOptions, r.endpoint(path), "", headers...))
			})
		}
		addPreflight("preflight", "/token", "Origin", otherOrigin, "Access-Control-Request-Method",
			"POST", "Access-Control-Request-Headers", "content-type")
		addPreflight("preflight without origin", "/token")
		addPreflight("preflight of userinfo", "/userinfo", "Origin", webOrigin,
			"Access-Control-Request-Method", "GET")
		addPreflight("preflight of certs", "/certs", "Origin", webOrigin,
			"Access-Control-Request-Method", "GET")
		addPreflight("preflight of logout", "/logout", "Origin", webOrigin,
			"Access-Control-Request-Method", "POST")
		addPreflight("preflight of revoke", "/revoke", "Origin", webOrigin,
			"Access-Control-Request-Method", "POST")
		suite.add("introspection", func(s *scenario) {
			s.recordHeaders(s.post(r.endpoint("/token/introspect"),
				withParams(clientForm("web"), "token", "garbage"), "Origin", webOrigin))
			s.recordHeaders(s.post(r.endpoint("/token/introspect"),
				form("client_id", "web", "client_secret", "wrong"), "Origin", webOrigin))
		})
		addPreflight("preflight of introspect", "/token/introspect", "Origin", webOrigin,
			"Access-Control-Request-Method", "POST")

		addPasswordGrant := func(name, client, origin string, pairs ...string) {
			suite.add(name, func(s *scenario) {
				s.recordHeaders(s.token(r,
					withParams(passwordGrant(s.addUser(r, nil), clientParams(client)...), pairs...),
					"Origin", origin))
			})
		}
		addPasswordGrant("token, allowed origin", "web", webOrigin)
		addPasswordGrant("token, origin of a redirect URI", "plus", "https://plus.example")
		addPasswordGrant("token, any origin", "star", otherOrigin)
		addPasswordGrant("token, wrong password, allowed origin", "web", webOrigin, "password",
			"wrong")
		suite.add("token, invalid origin", func(s *scenario) {
			s.record(s.token(r,
				withParams(passwordGrant(s.addUser(r, nil)), clientParams("web")...), "Origin",
				otherOrigin))
		})
		suite.add("token, no origins", func(s *scenario) {
			s.record(s.token(r,
				withParams(passwordGrant(s.addUser(r, nil)), clientParams("none")...), "Origin",
				webOrigin))
		})
		suite.add("token, wrong password, invalid origin", func(s *scenario) {
			s.record(s.token(r,
				withParams(passwordGrant(s.addUser(r, nil)), "client_id", "web", "client_secret",
					"web-secret", "password", "wrong"), "Origin", otherOrigin))
		})
		suite.add("token, wrong secret, invalid origin", func(s *scenario) {
			s.record(s.token(r,
				form("grant_type", "password", "client_id", "web", "client_secret", "wrong"),
				"Origin", otherOrigin))
		})
		suite.add("token, unknown client", func(s *scenario) {
			s.record(s.token(r, form("grant_type", "password", "client_id", "nobody"), "Origin",
				otherOrigin))
		})
		suite.add("token, unknown grant", func(s *scenario) {
			s.record(s.token(r, form("grant_type", "bogus"), "Origin", otherOrigin))
		})
		suite.add("userinfo", func(s *scenario) {
			resp := s.token(r,
				withParams(passwordGrant(s.addUser(r, nil)), "client_id", "web", "client_secret",
					"web-secret", "scope", "openid")).mustOK()
			bearer := "Bearer " + resp.field("access_token")
			s.recordHeaders(s.get(r.endpoint("/userinfo"), "Authorization", bearer, "Origin",
				webOrigin))
			s.record(s.get(r.endpoint("/userinfo"), "Authorization", bearer, "Origin", otherOrigin))
			s.record(s.get(r.endpoint("/userinfo"), "Authorization", "Bearer garbage", "Origin",
				otherOrigin))
		})
		suite.add("certs", func(s *scenario) {
			s.recordHeaders(s.get(r.endpoint("/certs"), "Origin", otherOrigin))
		})
		suite.add("discovery", func(s *scenario) {
			s.recordHeaders(s.get(r.url("/.well-known/openid-configuration"), "Origin",
				otherOrigin))
		})
		suite.add("realm info", func(s *scenario) {
			s.recordHeaders(s.get(r.url(""), "Origin", otherOrigin))
		})
		suite.add("unknown path", func(s *scenario) {
			s.record(s.get(r.url("/no-such-path"), "Origin", otherOrigin))
		})
	})
}
