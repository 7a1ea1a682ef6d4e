package contract

import (
	"net/http"
	"strings"
	"testing"
)

// Unknown paths, wrong methods, and unusual spellings of paths.
func TestRouting(t *testing.T) {
	run(t, "routing", func(g *group) {
		r := g.realm(realmFile(nil))
		request := func(name, method, path string, headers ...string) {
			g.exchange(name, func(x *exchange) {
				x.show(x.send(method, x.kc.base()+path, "", headers...))
			})
		}
		realm, oidc := "/realms/"+r.name, "/realms/"+r.name+"/protocol/openid-connect"

		request("unknown realm: realm info", "GET", "/realms/no-such-realm")
		request("unknown realm: discovery", "GET",
			"/realms/no-such-realm/.well-known/openid-configuration")
		request("unknown realm: certs", "GET", "/realms/no-such-realm/protocol/openid-connect/certs")
		g.exchange("unknown realm: token", func(x *exchange) {
			x.show(x.post(x.kc.base()+"/realms/no-such-realm/protocol/openid-connect/token",
				secretOf("api")))
		})
		request("unknown realm: unknown path", "GET", "/realms/no-such-realm/no-such-path")
		g.exchange("realm in another case", func(x *exchange) {
			x.show(x.get(x.kc.base() + "/realms/" + strings.ToUpper(r.name) +
				"/protocol/openid-connect/certs"))
		})

		g.exchange("login-actions are never cached", func(x *exchange) {
			for _, request := range []string{
				"GET /authenticate", "POST /authenticate", "PUT /authenticate",
				"OPTIONS /authenticate", "GET /consent", "POST /consent", "GET /restart",
				"POST /restart", "GET /required-action", "GET /no-such-action",
			} {
				method, path, _ := strings.Cut(request, " ")
				x.note("%s: %s", request,
					x.send(method, r.url("/login-actions"+path), "").header.Get("Cache-Control"))
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
		g.exchange("trailing slash: certs and discovery", func(x *exchange) {
			x.showHead(x.get(r.oidc("/certs/")), x.get(r.url("/.well-known/openid-configuration/")))
		})
		g.exchange("trailing slash: token", func(x *exchange) {
			x.showHead(x.post(r.oidc("/token/"), passwordGrant(x.user(r, nil))))
		})
	})
}

// Bodies and credentials of the token endpoint: a body that isn't a form counts as an empty form.
func TestRouting_bodies(t *testing.T) {
	run(t, "routing-bodies", func(g *group) {
		r := g.realm(realmFile(nil))
		g.exchange("JSON", func(x *exchange) {
			x.show(x.send("POST", r.oidc("/token"), `{"grant_type":"password"}`, "Content-Type",
				"application/json"))
		})
		g.exchange("no content type", func(x *exchange) {
			x.show(x.send("POST", r.oidc("/token"), "grant_type=password"))
		})
		g.exchange("text", func(x *exchange) {
			x.show(x.send("POST", r.oidc("/token"), "grant_type=password", "Content-Type",
				"text/plain"))
		})
		g.exchange("in the query", func(x *exchange) {
			values := passwordGrant(x.user(r, nil))
			x.show(x.post(r.oidc("/token?"+values.Encode()), nil))
		})
		g.exchange("form and query", func(x *exchange) {
			values := passwordGrant(x.user(r, nil))
			x.outcome("a bad scope in the query", x.post(r.oidc("/token?scope=bogus"), values))
			x.outcome("a name of the form in the query, too",
				x.post(r.oidc("/token?grant_type=password"), values))
		})
		g.exchange("form with a charset", func(x *exchange) {
			values := passwordGrant(x.user(r, nil))
			x.outcome("charset",
				x.send("POST", r.oidc("/token"), values.Encode(), "Content-Type",
					"application/x-www-form-urlencoded; charset=UTF-8"))
		})
		// body sends a password grant after changing the text of the form.
		body := func(name string, change func(form string) string, headers ...string) {
			g.exchange(name, func(x *exchange) {
				form := change(passwordGrant(x.user(r, nil)).Encode())
				if len(headers) == 0 {
					headers = []string{"Content-Type", "application/x-www-form-urlencoded"}
				}
				x.outcome("login", x.send("POST", r.oidc("/token"), form, headers...))
			})
		}
		add := func(suffix string) func(string) string {
			return func(form string) string { return form + suffix }
		}
		body("a semicolon in a value", add("&x=a;b"))
		body("a semicolon in the scope", add("&scope=openid;email"))
		body("content type in capitals", add(""), "Content-Type",
			"Application/X-WWW-Form-Urlencoded")
		body("two ampersands", add("&&x=1"))
		body("two ampersands, twice", add("&&x=1&&y=1"))
		body("trailing ampersand", add("&"))
		body("two trailing ampersands", add("&&"))
		body("three trailing ampersands", add("&&&"))
		body("leading ampersand", func(form string) string { return "&" + form })
		body("name without a value", add("&x"))
		body("scope without a value", add("&scope"))
		body("value without a name", add("&=x"))
		body("invalid escape", add("&x=%zz"))
		body("incomplete escape", add("&x=%2"))
		body("invalid UTF-8", add("&x=%ff"))
		body("a long parameter", add("&x="+strings.Repeat("a", 30000)))
		body("a long scope", add("&scope="+strings.Repeat("a", 5000)))
		body("a scope of 4,000", add("&scope="+strings.Repeat("a", 4000)))
		body("a scope of 4,001", add("&scope="+strings.Repeat("a", 4001)))
		g.exchange("long parameters and control characters", func(x *exchange) {
			x.outcome("a long code", x.token(r, codeGrant(strings.Repeat("a", 5000))))
			x.outcome("a long grant type",
				x.token(r, with(secretOf("api"), "grant_type", strings.Repeat("a", 5000))))
			code := x.code(x.user(r, nil))
			x.outcome("control characters",
				x.token(r, with(codeGrant("\x01"+code), "redirect_uri", "\t"+callback)))
		})
		for _, value := range []string{"Basic YXBpOmFwaS1zZWNyZXQ", "basic YXBpOmFwaS1zZWNyZXQ=",
			"Basic  YXBpOmFwaS1zZWNyZXQ=", "Basic YXBpOmFwaS1zZWNyZXQ= x"} {
			g.exchange("basic authentication: "+strings.ReplaceAll(value, "  ", " two blanks "),
				func(x *exchange) {
					x.outcome("login",
						x.token(r,
							without(passwordGrant(x.user(r, nil)), "client_id", "client_secret"),
							"Authorization", value))
				})
		}
		g.exchange("form decoding", func(x *exchange) {
			u := x.user(r,
				object{
					"credentials": []object{{"type": "password", "value": "pä ss+&=%",
						"temporary": false}},
				})
			x.outcome("password with all that a form escapes",
				x.token(r, passwordGrant(u, "password", "pä ss+&=%")))
		})
	})
}

// Responses by Accept header: browsers get pages for errors of the framework, but not for OAuth
// errors.
func TestRouting_accept(t *testing.T) {
	run(t, "routing-accept", func(g *group) {
		r := g.realm(realmFile(nil))
		for _, accept := range []string{"text/html", browserAccept, "*/*", "application/json",
			"text/plain", "image/png"} {
			g.exchange("unknown path, "+accept, func(x *exchange) {
				x.show(x.get(r.url("/no-such-path"), "Accept", accept))
			})
		}
		for _, accept := range []string{
			"application/jwk-set+json", "application/jwk-set+json, application/json",
			"APPLICATION/JSON", "*", "application/jwt", "text/*", "*/json", "garbage",
			"application/*", "application/xml, */*;q=0.1", "application/json;q=0",
			"text/html, application/json;q=0.1",
		} {
			g.exchange("metadata, "+accept, func(x *exchange) {
				// A realm's very first response may be a 500 instead.
				x.get(r.url("/.well-known/openid-configuration")).ok()
				for _, address := range []string{r.oidc("/certs"),
					r.url("/.well-known/openid-configuration"), r.url("")} {
					a := x.get(address, "Accept", accept)
					x.note("%s: %d %s %v", x.address(address), a.status,
						a.header.Get("Content-Type"), a.member("error"))
				}
			})
		}
		g.exchange("unknown realm, text/html", func(x *exchange) {
			x.show(x.get(x.kc.base()+"/realms/no-such-realm", "Accept", "text/html"))
		})
		g.exchange("wrong method, text/html", func(x *exchange) {
			x.show(x.get(r.oidc("/token"), "Accept", "text/html"))
		})
		g.exchange("outside of realms, text/html", func(x *exchange) {
			x.show(x.get(x.kc.base()+"/no-such-path", "Accept", "text/html"))
		})
		g.exchange("OAuth error, text/html", func(x *exchange) {
			x.show(x.token(r, form("grant_type", "bogus"), "Accept", "text/html"))
		})
		g.exchange("OAuth error of the client, text/html", func(x *exchange) {
			x.show(x.token(r, form("grant_type", "password"), "Accept", "text/html"))
		})
		g.exchange("userinfo, text/html", func(x *exchange) {
			x.show(x.get(r.oidc("/userinfo"), "Accept", "text/html"))
		})
		g.exchange("token, text/html", func(x *exchange) {
			x.showHead(x.token(r, passwordGrant(x.user(r, nil)), "Accept", "text/html"))
		})
		g.exchange("certs, text/html", func(x *exchange) {
			x.showHead(x.get(r.oidc("/certs"), "Accept", "text/html"))
		})
		g.exchange("realm info, text/html", func(x *exchange) {
			x.show(x.get(r.url(""), "Accept", "text/html"))
		})
		g.exchange("discovery, text/html", func(x *exchange) {
			// A realm's very first response may be a 500 instead.
			x.get(r.url("/.well-known/openid-configuration")).ok()
			x.show(x.get(r.url("/.well-known/openid-configuration"), "Accept", "text/html"))
		})
		g.exchange("discovery, a browser", func(x *exchange) {
			x.showHead(x.get(r.url("/.well-known/openid-configuration"), "Accept", browserAccept))
		})
	})
}

// Realms that are disabled or require HTTPS.
func TestRouting_closedRealms(t *testing.T) {
	run(t, "routing-closed-realms", func(g *group) {
		closed := map[string]object{
			"disabled": {"enabled": false}, "https only": {"sslRequired": "all"},
		}
		for _, name := range sortedKeys(closed) {
			r := g.realm(realmFile(closed[name]))
			get := func(endpoint, address string) {
				g.exchange(name+": "+endpoint, func(x *exchange) { x.show(x.get(address)) })
			}
			g.exchange(name+": token", func(x *exchange) {
				x.show(x.token(r, passwordGrant(x.user(r, nil))))
			})
			g.exchange(name+": empty token request", func(x *exchange) {
				x.show(x.token(r, nil))
			})
			g.exchange(name+": token of an unknown client", func(x *exchange) {
				x.show(x.token(r, with(secretOf("nobody"), "grant_type", "password")))
			})
			get("userinfo", r.oidc("/userinfo"))
			get("realm info", r.url(""))
			g.exchange(name+": certs", func(x *exchange) {
				x.outcome("certs", x.get(r.oidc("/certs")))
			})
			g.exchange(name+": discovery", func(x *exchange) {
				a := x.get(r.url("/.well-known/openid-configuration"))
				x.showHead(a)
				x.note("issuer: %v, error: %v", x.text(text(a.member("issuer"))), a.member("error"))
			})
			g.exchange(name+": introspect", func(x *exchange) {
				x.show(x.post(r.oidc("/token/introspect"),
					with(secretOf("api"), "token", "garbage")))
			})
			g.exchange(name+": revoke", func(x *exchange) {
				x.show(x.post(r.oidc("/revoke"), with(secretOf("api"), "token", "garbage")))
			})
			g.exchange(name+": logout", func(x *exchange) {
				x.show(x.post(r.oidc("/logout"), with(secretOf("api"), "refresh_token", "garbage")))
			})
			g.exchange(name+": login page", func(x *exchange) {
				x.show(x.browser().open(r.authURL()))
			})
		}
	})
}

const (
	webOrigin   = "https://app.example"
	otherOrigin = "https://evil.example"
)

// CORS: preflight requests allow every origin, and other requests only the client's.
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
			g.exchange(name, func(x *exchange) {
				x.show(x.send(http.MethodOptions, r.oidc(path), "", headers...))
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
		g.exchange("introspection", func(x *exchange) {
			x.showHead(x.post(r.oidc("/token/introspect"),
				with(secretOf("web"), "token", "garbage"), "Origin", webOrigin))
			x.showHead(x.post(r.oidc("/token/introspect"),
				form("client_id", "web", "client_secret", "wrong"), "Origin", webOrigin))
		})
		preflight("preflight of introspect", "/token/introspect", "Origin", webOrigin,
			"Access-Control-Request-Method", "POST")

		login := func(name, client, origin string, pairs ...string) {
			g.exchange(name, func(x *exchange) {
				x.showHead(x.token(r,
					with(with(passwordGrant(x.user(r, nil)), "client_id", client, "client_secret",
						client+"-secret"), pairs...), "Origin", origin))
			})
		}
		login("token, allowed origin", "web", webOrigin)
		login("token, origin of a redirect URI", "plus", "https://plus.example")
		login("token, any origin", "star", otherOrigin)
		login("token, wrong password, allowed origin", "web", webOrigin, "password", "wrong")
		g.exchange("token, invalid origin", func(x *exchange) {
			x.show(x.token(r,
				with(passwordGrant(x.user(r, nil)), "client_id", "web", "client_secret",
					"web-secret"), "Origin", otherOrigin))
		})
		g.exchange("token, no origins", func(x *exchange) {
			x.show(x.token(r,
				with(passwordGrant(x.user(r, nil)), "client_id", "none", "client_secret",
					"none-secret"), "Origin", webOrigin))
		})
		g.exchange("token, wrong password, invalid origin", func(x *exchange) {
			x.show(x.token(r,
				with(passwordGrant(x.user(r, nil)), "client_id", "web", "client_secret",
					"web-secret", "password", "wrong"), "Origin", otherOrigin))
		})
		g.exchange("token, wrong secret, invalid origin", func(x *exchange) {
			x.show(x.token(r,
				form("grant_type", "password", "client_id", "web", "client_secret", "wrong"),
				"Origin", otherOrigin))
		})
		g.exchange("token, unknown client", func(x *exchange) {
			x.show(x.token(r, form("grant_type", "password", "client_id", "nobody"), "Origin",
				otherOrigin))
		})
		g.exchange("token, unknown grant", func(x *exchange) {
			x.show(x.token(r, form("grant_type", "bogus"), "Origin", otherOrigin))
		})
		g.exchange("userinfo", func(x *exchange) {
			a := x.token(r,
				with(passwordGrant(x.user(r, nil)), "client_id", "web", "client_secret",
					"web-secret", "scope", "openid")).ok()
			bearer := "Bearer " + a.field("access_token")
			x.showHead(x.get(r.oidc("/userinfo"), "Authorization", bearer, "Origin", webOrigin))
			x.show(x.get(r.oidc("/userinfo"), "Authorization", bearer, "Origin", otherOrigin))
			x.show(x.get(r.oidc("/userinfo"), "Authorization", "Bearer garbage", "Origin",
				otherOrigin))
		})
		g.exchange("certs", func(x *exchange) {
			x.showHead(x.get(r.oidc("/certs"), "Origin", otherOrigin))
		})
		g.exchange("discovery", func(x *exchange) {
			x.showHead(x.get(r.url("/.well-known/openid-configuration"), "Origin", otherOrigin))
		})
		g.exchange("realm info", func(x *exchange) {
			x.showHead(x.get(r.url(""), "Origin", otherOrigin))
		})
		g.exchange("unknown path", func(x *exchange) {
			x.show(x.get(r.url("/no-such-path"), "Origin", otherOrigin))
		})
	})
}
