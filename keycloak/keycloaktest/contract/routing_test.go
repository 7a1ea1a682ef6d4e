package contract

import (
	"net/http"
	"strings"
	"testing"
)

// TestRouting records responses to unknown paths, wrong methods, and unusual spellings of paths.
func TestRouting(t *testing.T) {
	run(t, "routing", func(g *group) {
		r := g.realm(realmFile(nil))
		request := func(name, method, path string, headers ...string) {
			g.scenario(name, func(s *scenario) {
				s.show(s.send(method, s.kc.base()+path, "", headers...))
			})
		}
		realm, oidc := "/realms/"+r.name, "/realms/"+r.name+"/protocol/openid-connect"

		request("unknown realm: realm info", "GET", "/realms/no-such-realm")
		request("unknown realm: discovery", "GET",
			"/realms/no-such-realm/.well-known/openid-configuration")
		request("unknown realm: certs", "GET", "/realms/no-such-realm/protocol/openid-connect/certs")
		g.scenario("unknown realm: token", func(s *scenario) {
			s.show(s.post(s.kc.base()+"/realms/no-such-realm/protocol/openid-connect/token",
				secretOf("api")))
		})
		request("unknown realm: unknown path", "GET", "/realms/no-such-realm/no-such-path")
		g.scenario("realm in another case", func(s *scenario) {
			s.show(s.get(s.kc.base() + "/realms/" + strings.ToUpper(r.name) +
				"/protocol/openid-connect/certs"))
		})

		g.scenario("login-actions are never cached", func(s *scenario) {
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

		request("unknown path in a realm", "GET", realm+"/no-such-path")
		request("unknown path below openid-connect", "GET", oidc+"/no-such-path")
		request("unknown protocol", "GET", realm+"/protocol/no-such-protocol/token")
		request("unknown well-known", "GET", realm+"/.well-known/no-such-document")
		request("unknown path outside of realms", "GET", "/no-such-path")
		request("path of old releases", "GET", "/auth/realms/"+r.name)
		request("health is not on this port", "GET", "/health")

		request("wrong method: GET token", "GET", oidc+"/token")
		request("wrong method: PUT token", "PUT", oidc+"/token")
		request("wrong method: GET introspect", "GET", oidc+"/token/introspect")
		request("wrong method: GET revoke", "GET", oidc+"/revoke")
		request("wrong method: POST certs", "POST", oidc+"/certs")
		request("wrong method: DELETE userinfo", "DELETE", oidc+"/userinfo")
		request("wrong method: POST realm info", "POST", realm)
		request("wrong method: POST discovery", "POST", realm+"/.well-known/openid-configuration")
		request("HEAD certs", "HEAD", oidc+"/certs")

		request("two slashes", "GET", "/realms//"+r.name)
		request("two slashes before the last segment", "GET", oidc+"//certs")
		request("parent directory", "GET", realm+"/../"+r.name)
		request("current directory", "GET", realm+"/./protocol/openid-connect/certs")
		request("semicolon", "GET", realm+";a=b")
		request("escaped letter", "GET", realm+"/prot%6Fcol/openid-connect/certs")
		request("escaped letter of a realm", "GET", "/realms/%63-realm")
		request("no realm", "GET", "/realms")
		request("no realm, with a slash", "GET", "/realms/")
		request("no protocol", "GET", realm+"/protocol")
		request("no endpoint", "GET", oidc)
		request("preflight of realm info", "OPTIONS", realm, "Origin", otherOrigin)
		request("preflight of an unknown path", "OPTIONS", realm+"/no-such-path", "Origin",
			otherOrigin)
		request("trailing slash: realm info", "GET", realm+"/")
		g.scenario("trailing slash: certs and discovery", func(s *scenario) {
			s.showHead(s.get(r.oidc("/certs/")), s.get(r.url("/.well-known/openid-configuration/")))
		})
		g.scenario("trailing slash: token", func(s *scenario) {
			s.showHead(s.post(r.oidc("/token/"), passwordGrant(s.user(r, nil))))
		})
	})
}

// TestRouting_bodies records how the token endpoint reads bodies and credentials. It treats a body
// that isn't a form as an empty form.
func TestRouting_bodies(t *testing.T) {
	run(t, "routing-bodies", func(g *group) {
		r := g.realm(realmFile(nil))
		g.scenario("JSON", func(s *scenario) {
			s.show(s.send("POST", r.oidc("/token"), `{"grant_type":"password"}`, "Content-Type",
				"application/json"))
		})
		g.scenario("no content type", func(s *scenario) {
			s.show(s.send("POST", r.oidc("/token"), "grant_type=password"))
		})
		g.scenario("text", func(s *scenario) {
			s.show(s.send("POST", r.oidc("/token"), "grant_type=password", "Content-Type",
				"text/plain"))
		})
		g.scenario("in the query", func(s *scenario) {
			values := passwordGrant(s.user(r, nil))
			s.show(s.post(r.oidc("/token?"+values.Encode()), nil))
		})
		g.scenario("form and query", func(s *scenario) {
			values := passwordGrant(s.user(r, nil))
			s.outcome("a bad scope in the query", s.post(r.oidc("/token?scope=bogus"), values))
			s.outcome("a name of the form in the query, too",
				s.post(r.oidc("/token?grant_type=password"), values))
		})
		g.scenario("form with a charset", func(s *scenario) {
			values := passwordGrant(s.user(r, nil))
			s.outcome("charset",
				s.send("POST", r.oidc("/token"), values.Encode(), "Content-Type",
					"application/x-www-form-urlencoded; charset=UTF-8"))
		})
		// sendBody sends a password grant after changing the text of the form.
		sendBody := func(name string, change func(form string) string, headers ...string) {
			g.scenario(name, func(s *scenario) {
				form := change(passwordGrant(s.user(r, nil)).Encode())
				if len(headers) == 0 {
					headers = []string{"Content-Type", "application/x-www-form-urlencoded"}
				}
				s.outcome("login", s.send("POST", r.oidc("/token"), form, headers...))
			})
		}
		add := func(suffix string) func(string) string {
			return func(form string) string { return form + suffix }
		}
		sendBody("a semicolon in a value", add("&x=a;b"))
		sendBody("a semicolon in the scope", add("&scope=openid;email"))
		sendBody("content type in capitals", add(""), "Content-Type",
			"Application/X-WWW-Form-Urlencoded")
		sendBody("two ampersands", add("&&x=1"))
		sendBody("two ampersands, twice", add("&&x=1&&y=1"))
		sendBody("trailing ampersand", add("&"))
		sendBody("two trailing ampersands", add("&&"))
		sendBody("three trailing ampersands", add("&&&"))
		sendBody("leading ampersand", func(form string) string { return "&" + form })
		sendBody("name without a value", add("&x"))
		sendBody("scope without a value", add("&scope"))
		sendBody("value without a name", add("&=x"))
		sendBody("invalid escape", add("&x=%zz"))
		sendBody("incomplete escape", add("&x=%2"))
		sendBody("invalid UTF-8", add("&x=%ff"))
		sendBody("a long parameter", add("&x="+strings.Repeat("a", 30000)))
		sendBody("a long scope", add("&scope="+strings.Repeat("a", 5000)))
		sendBody("a scope of 4,000", add("&scope="+strings.Repeat("a", 4000)))
		sendBody("a scope of 4,001", add("&scope="+strings.Repeat("a", 4001)))
		g.scenario("long parameters and control characters", func(s *scenario) {
			s.outcome("a long code", s.token(r, codeGrant(strings.Repeat("a", 5000))))
			s.outcome("a long grant type",
				s.token(r, with(secretOf("api"), "grant_type", strings.Repeat("a", 5000))))
			code := s.code(s.user(r, nil))
			s.outcome("control characters",
				s.token(r, with(codeGrant("\x01"+code), "redirect_uri", "\t"+callback)))
		})
		for _, value := range []string{"Basic YXBpOmFwaS1zZWNyZXQ", "basic YXBpOmFwaS1zZWNyZXQ=",
			"Basic  YXBpOmFwaS1zZWNyZXQ=", "Basic YXBpOmFwaS1zZWNyZXQ= x"} {
			g.scenario("basic authentication: "+strings.ReplaceAll(value, "  ", " two blanks "),
				func(s *scenario) {
					s.outcome("login",
						s.token(r,
							without(passwordGrant(s.user(r, nil)), "client_id", "client_secret"),
							"Authorization", value))
				})
		}
		g.scenario("form decoding", func(s *scenario) {
			u := s.user(r,
				object{
					"credentials": []object{{"type": "password", "value": "pä ss+&=%",
						"temporary": false}},
				})
			s.outcome("password with all that a form escapes",
				s.token(r, passwordGrant(u, "password", "pä ss+&=%")))
		})
	})
}

// TestRouting_accept records responses by Accept header. Browsers get a page for an error of the
// routing, but not for an OAuth error.
func TestRouting_accept(t *testing.T) {
	run(t, "routing-accept", func(g *group) {
		r := g.realm(realmFile(nil))
		for _, accept := range []string{"text/html", browserAccept, "*/*", "application/json",
			"text/plain", "image/png"} {
			g.scenario("unknown path, "+accept, func(s *scenario) {
				s.show(s.get(r.url("/no-such-path"), "Accept", accept))
			})
		}
		for _, accept := range []string{
			"application/jwk-set+json", "application/jwk-set+json, application/json",
			"APPLICATION/JSON", "*", "application/jwt", "text/*", "*/json", "garbage",
			"application/*", "application/xml, */*;q=0.1", "application/json;q=0",
			"text/html, application/json;q=0.1",
		} {
			g.scenario("metadata, "+accept, func(s *scenario) {
				// The first discovery response of a realm may be a 500.
				s.get(r.url("/.well-known/openid-configuration")).ok()
				for _, address := range []string{r.oidc("/certs"),
					r.url("/.well-known/openid-configuration"), r.url("")} {
					resp := s.get(address, "Accept", accept)
					s.note("%s: %d %s %v", s.formatURL(address), resp.status,
						resp.header.Get("Content-Type"), resp.value("error"))
				}
			})
		}
		g.scenario("unknown realm, text/html", func(s *scenario) {
			s.show(s.get(s.kc.base()+"/realms/no-such-realm", "Accept", "text/html"))
		})
		g.scenario("wrong method, text/html", func(s *scenario) {
			s.show(s.get(r.oidc("/token"), "Accept", "text/html"))
		})
		g.scenario("outside of realms, text/html", func(s *scenario) {
			s.show(s.get(s.kc.base()+"/no-such-path", "Accept", "text/html"))
		})
		g.scenario("OAuth error, text/html", func(s *scenario) {
			s.show(s.token(r, form("grant_type", "bogus"), "Accept", "text/html"))
		})
		g.scenario("OAuth error of the client, text/html", func(s *scenario) {
			s.show(s.token(r, form("grant_type", "password"), "Accept", "text/html"))
		})
		g.scenario("userinfo, text/html", func(s *scenario) {
			s.show(s.get(r.oidc("/userinfo"), "Accept", "text/html"))
		})
		g.scenario("token, text/html", func(s *scenario) {
			s.showHead(s.token(r, passwordGrant(s.user(r, nil)), "Accept", "text/html"))
		})
		g.scenario("certs, text/html", func(s *scenario) {
			s.showHead(s.get(r.oidc("/certs"), "Accept", "text/html"))
		})
		g.scenario("realm info, text/html", func(s *scenario) {
			s.show(s.get(r.url(""), "Accept", "text/html"))
		})
		g.scenario("discovery, text/html", func(s *scenario) {
			// The first discovery response of a realm may be a 500.
			s.get(r.url("/.well-known/openid-configuration")).ok()
			s.show(s.get(r.url("/.well-known/openid-configuration"), "Accept", "text/html"))
		})
		g.scenario("discovery, a browser", func(s *scenario) {
			s.showHead(s.get(r.url("/.well-known/openid-configuration"), "Accept", browserAccept))
		})
	})
}

// TestRouting_closedRealms records the responses of realms that are disabled or require HTTPS.
func TestRouting_closedRealms(t *testing.T) {
	run(t, "routing-closed-realms", func(g *group) {
		closed := map[string]object{
			"disabled": {"enabled": false}, "https only": {"sslRequired": "all"},
		}
		for _, name := range sortedKeys(closed) {
			r := g.realm(realmFile(closed[name]))
			get := func(endpoint, address string) {
				g.scenario(name+": "+endpoint, func(s *scenario) { s.show(s.get(address)) })
			}
			g.scenario(name+": token", func(s *scenario) {
				s.show(s.token(r, passwordGrant(s.user(r, nil))))
			})
			g.scenario(name+": empty token request", func(s *scenario) {
				s.show(s.token(r, nil))
			})
			g.scenario(name+": token of an unknown client", func(s *scenario) {
				s.show(s.token(r, with(secretOf("nobody"), "grant_type", "password")))
			})
			get("userinfo", r.oidc("/userinfo"))
			get("realm info", r.url(""))
			g.scenario(name+": certs", func(s *scenario) {
				s.outcome("certs", s.get(r.oidc("/certs")))
			})
			g.scenario(name+": discovery", func(s *scenario) {
				resp := s.get(r.url("/.well-known/openid-configuration"))
				s.showHead(resp)
				s.note("issuer: %v, error: %v", s.normalize(asString(resp.value("issuer"))),
					resp.value("error"))
			})
			g.scenario(name+": introspect", func(s *scenario) {
				s.show(s.post(r.oidc("/token/introspect"),
					with(secretOf("api"), "token", "garbage")))
			})
			g.scenario(name+": revoke", func(s *scenario) {
				s.show(s.post(r.oidc("/revoke"), with(secretOf("api"), "token", "garbage")))
			})
			g.scenario(name+": logout", func(s *scenario) {
				s.show(s.post(r.oidc("/logout"), with(secretOf("api"), "refresh_token", "garbage")))
			})
			g.scenario(name+": login page", func(s *scenario) {
				s.show(s.browser().open(r.authURL()))
			})
		}
	})
}

// webOrigin is an allowed origin; otherOrigin isn't.
const (
	webOrigin   = "https://app.example"
	otherOrigin = "https://evil.example"
)

// TestRouting_origins records CORS headers. Responses to preflight requests allow every origin,
// other responses only the client's origins.
func TestRouting_origins(t *testing.T) {
	run(t, "routing-origins", func(g *group) {
		r := g.realm(realmFile(nil,
			clientFile("web", object{"webOrigins": []string{webOrigin}}),
			clientFile("plus",
				object{"webOrigins": []string{"+"},
					"redirectUris": []string{"https://plus.example/cb"}}),
			clientFile("star", object{"webOrigins": []string{"*"}}),
			clientFile("none", object{"webOrigins": []string{}}),
		))
		preflight := func(name, path string, headers ...string) {
			g.scenario(name, func(s *scenario) {
				s.show(s.send(http.MethodOptions, r.oidc(path), "", headers...))
			})
		}
		preflight("preflight", "/token", "Origin", otherOrigin, "Access-Control-Request-Method",
			"POST", "Access-Control-Request-Headers", "content-type")
		preflight("preflight without origin", "/token")
		preflight("preflight of userinfo", "/userinfo", "Origin", webOrigin,
			"Access-Control-Request-Method", "GET")
		preflight("preflight of certs", "/certs", "Origin", webOrigin,
			"Access-Control-Request-Method", "GET")
		preflight("preflight of logout", "/logout", "Origin", webOrigin,
			"Access-Control-Request-Method", "POST")
		preflight("preflight of revoke", "/revoke", "Origin", webOrigin,
			"Access-Control-Request-Method", "POST")
		g.scenario("introspection", func(s *scenario) {
			s.showHead(s.post(r.oidc("/token/introspect"),
				with(secretOf("web"), "token", "garbage"), "Origin", webOrigin))
			s.showHead(s.post(r.oidc("/token/introspect"),
				form("client_id", "web", "client_secret", "wrong"), "Origin", webOrigin))
		})
		preflight("preflight of introspect", "/token/introspect", "Origin", webOrigin,
			"Access-Control-Request-Method", "POST")

		login := func(name, client, origin string, pairs ...string) {
			g.scenario(name, func(s *scenario) {
				s.showHead(s.token(r,
					with(passwordGrant(s.user(r, nil), credsOf(client)...), pairs...),
					"Origin", origin))
			})
		}
		login("token, allowed origin", "web", webOrigin)
		login("token, origin of a redirect URI", "plus", "https://plus.example")
		login("token, any origin", "star", otherOrigin)
		login("token, wrong password, allowed origin", "web", webOrigin, "password", "wrong")
		g.scenario("token, invalid origin", func(s *scenario) {
			s.show(s.token(r,
				with(passwordGrant(s.user(r, nil)), credsOf("web")...), "Origin", otherOrigin))
		})
		g.scenario("token, no origins", func(s *scenario) {
			s.show(s.token(r,
				with(passwordGrant(s.user(r, nil)), credsOf("none")...), "Origin", webOrigin))
		})
		g.scenario("token, wrong password, invalid origin", func(s *scenario) {
			s.show(s.token(r,
				with(passwordGrant(s.user(r, nil)), "client_id", "web", "client_secret",
					"web-secret", "password", "wrong"), "Origin", otherOrigin))
		})
		g.scenario("token, wrong secret, invalid origin", func(s *scenario) {
			s.show(s.token(r,
				form("grant_type", "password", "client_id", "web", "client_secret", "wrong"),
				"Origin", otherOrigin))
		})
		g.scenario("token, unknown client", func(s *scenario) {
			s.show(s.token(r, form("grant_type", "password", "client_id", "nobody"), "Origin",
				otherOrigin))
		})
		g.scenario("token, unknown grant", func(s *scenario) {
			s.show(s.token(r, form("grant_type", "bogus"), "Origin", otherOrigin))
		})
		g.scenario("userinfo", func(s *scenario) {
			resp := s.token(r,
				with(passwordGrant(s.user(r, nil)), "client_id", "web", "client_secret",
					"web-secret", "scope", "openid")).ok()
			bearer := "Bearer " + resp.field("access_token")
			s.showHead(s.get(r.oidc("/userinfo"), "Authorization", bearer, "Origin", webOrigin))
			s.show(s.get(r.oidc("/userinfo"), "Authorization", bearer, "Origin", otherOrigin))
			s.show(s.get(r.oidc("/userinfo"), "Authorization", "Bearer garbage", "Origin",
				otherOrigin))
		})
		g.scenario("certs", func(s *scenario) {
			s.showHead(s.get(r.oidc("/certs"), "Origin", otherOrigin))
		})
		g.scenario("discovery", func(s *scenario) {
			s.showHead(s.get(r.url("/.well-known/openid-configuration"), "Origin", otherOrigin))
		})
		g.scenario("realm info", func(s *scenario) {
			s.showHead(s.get(r.url(""), "Origin", otherOrigin))
		})
		g.scenario("unknown path", func(s *scenario) {
			s.show(s.get(r.url("/no-such-path"), "Origin", otherOrigin))
		})
	})
}
