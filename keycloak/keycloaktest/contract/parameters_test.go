package contract

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// parameters are all request parameters of Keycloak's OpenID Connect, UMA and CIBA endpoints.
var parameters = strings.Fields(
	`access_token acr_values actor_token actor_token_type assertion audience auth_req_id
	authorization_details binding_message claim_token claim_token_format claims claims_locales
	client_assertion client_assertion_type client_id client_notification_token client_secret
	client_session_host client_session_state code code_challenge code_challenge_method
	code_verifier device_code device_user_code display dpop_jkt id_token_hint initiating_idp
	kc_action kc_action_parameter kc_idp_hint kc_locale login_hint login_hint_token logout_hint
	max_age nonce otp password permission permission_resource_format
	permission_resource_matching_uri post_logout_redirect_uri prompt redirect_uri refresh_token
	registration request request_uri requested_expiry requested_issuer requested_subject
	requested_token_type resource response_include_resource_name response_mode
	response_permissions_limit response_type rpt scope state subject_issuer subject_token
	subject_token_type submit_request ticket token token_type_hint totp ui_locales user_code
	username`)

// Which parameters each endpoint ignores: requests with one additional parameter, whose value is
// meaningless.
func TestParameters(t *testing.T) {
	run(t, "parameters", func(g *group) {
		r := g.realm(realmFile(nil,
			clientFile("seeing", object{"protocolMappers": []object{audienceMapper("seeing")}}),
			clientFile("device",
				object{"attributes": object{"oauth2.device.authorization.grant.enabled": "true"}}),
		))
		// each sends the form, and then with each of the other parameters added.
		each := func(endpoint string, newForm func(*exchange) url.Values,
			send func(*exchange, url.Values) response) {
			g.exchange(endpoint, func(x *exchange) {
				values := newForm(x)
				usual := send(x, values)
				x.outcome("usual", usual)
				var ignored []string
				for _, name := range parameters {
					// see TestUnsupported
					if values.Has(name) || name == "dpop_jkt" && endpoint == "authorization" {
						continue
					}
					switch a := send(x, with(values, name, "zz")); {
					case a.summary() == usual.summary():
						ignored = append(ignored, name)
					case a.status == http.StatusNotImplemented:
						x.showOrUnsupported(name, "parameter "+name, a)
					default:
						x.showOrUnsupported(name, "", a)
					}
				}
				x.note("ignored: %s", strings.Join(ignored, " "))
			})
		}
		post := func(path string) func(*exchange, url.Values) response {
			return func(x *exchange, values url.Values) response {
				return x.post(r.oidc(path), values)
			}
		}
		each("password grant", func(x *exchange) url.Values {
			return passwordGrant(x.user(r, nil), "scope", "openid")
		}, post("/token"))
		each("refresh", func(x *exchange) url.Values {
			return refreshGrant(x.login(x.user(r, nil)).field("refresh_token"))
		}, post("/token"))
		each("client credentials", func(*exchange) url.Values {
			return with(secretOf("service"), "grant_type", "client_credentials")
		}, post("/token"))
		each("code", func(*exchange) url.Values { return codeGrant("garbage") }, post("/token"))
		each("device grant", func(*exchange) url.Values {
			return deviceGrant("device", "garbage")
		}, post("/token"))
		each("introspection", func(x *exchange) url.Values {
			token := x.login(x.user(r, nil), "client_id", "seeing", "client_secret",
				"seeing-secret").field("access_token")
			return with(secretOf("seeing"), "token", token)
		}, post("/token/introspect"))
		each("revocation", func(*exchange) url.Values {
			return with(secretOf("api"), "token", "garbage")
		}, post("/revoke"))
		each("userinfo", func(x *exchange) url.Values {
			return form("access_token", x.login(x.user(r, nil)).field("access_token"))
		}, post("/userinfo"))
		each("device", func(*exchange) url.Values {
			return secretOf("device")
		}, post("/auth/device"))
		each("logout by refresh token", func(*exchange) url.Values {
			return with(secretOf("api"), "refresh_token", "garbage")
		}, post("/logout"))
		each("logout by browser", func(*exchange) url.Values {
			return form("state", "st")
		}, func(x *exchange, values url.Values) response {
			return x.get(r.oidc("/logout?"+values.Encode()), "Accept", browserAccept)
		})
		each("authorization", func(*exchange) url.Values {
			return form("client_id", "api", "response_type", "code", "redirect_uri", callback,
				"scope", "openid", "state", "st")
		}, func(x *exchange, values url.Values) response {
			return x.get(r.oidc("/auth?"+values.Encode()), "Accept", browserAccept)
		})
	})
}

// Control characters in authorization requests, which Keycloak removes.
func TestParameters_controlCharacters(t *testing.T) {
	run(t, "control-characters", func(g *group) {
		r := g.realm(realmFile(nil))
		values := form("client_id", "api", "response_type", "code", "redirect_uri", callback,
			"scope", "openid", "state", "st", "nonce", "n-1", "response_mode", "query", "prompt",
			"login", "code_challenge", codeChallenge(codeVerifier), "code_challenge_method", "S256",
			"max_age", "100", "login_hint", "somebody")
		for _, name := range sortedKeys(values) {
			g.exchange(name, func(x *exchange) {
				value := values.Get(name)
				for _, changed := range []string{value + "\t", value[:1] + "\n" + value[1:],
					value[:1] + "\x01" + value[1:]} {
					a := x.get(r.oidc("/auth?"+with(values, name, changed).Encode()), "Accept",
						browserAccept)
					x.note("%q: %d %s", x.text(changed), a.status, a.summary())
				}
			})
		}
		g.exchange("returned to the client", func(x *exchange) {
			a := x.browser().login(x.user(r, nil), "state", "s\nt", "nonce", "n\t")
			x.note("redirected: %s", x.pairs(a.redirected()))
			tokens := x.token(r, codeGrant(a.redirected().Get("code"))).ok()
			x.showClaims(tokens, "id_token", "nonce")
		})
	})
}

// summary returns what distinguishes the outcomes of a request: the redirect, the page, or the
// status and the error.
func (a response) summary() string {
	if location := a.header.Get("Location"); location != "" {
		return a.x.address(location)
	}
	if strings.Contains(a.header.Get("Content-Type"), "html") {
		return pageIDOf(a)
	}
	names := a.header.Get("WWW-Authenticate")
	for _, name := range []string{"error", "error_description", "scope", "active"} {
		names += " " + text(a.member(name))
	}
	return http.StatusText(a.status) + a.x.text(names)
}

// showOrUnsupported records the outcome of a step. The stand-in may instead respond with a 501 that
// contains the text unsupported, unless that is "".
func (x *exchange) showOrUnsupported(step, unsupported string, a response) {
	x.Helper()
	line := step + " (or refused by name): " + http.StatusText(a.status) + " "
	if a.summary() != "" {
		line += a.summary()
	}
	if x.kc.name() != "keycloak" && a.status == http.StatusNotImplemented {
		if a.member("error") != "not_in_keycloaktest" || unsupported == "" ||
			!strings.Contains(text(a.member("error_description")), unsupported) {
			x.Errorf("%s: got 501 %s, want %q", step, a.body, unsupported)
		}
		recorded := strings.Split(x.group.record.recorded[x.name], "\n")
		i := slices.IndexFunc(recorded, func(line string) bool {
			return strings.HasPrefix(line, "# "+step+" (or refused")
		})
		if i >= 0 {
			line = strings.TrimPrefix(recorded[i], "# ")
		}
	}
	x.note("%s", line)
}

// Features of Keycloak that the stand-in doesn't support.
func TestUnsupported(t *testing.T) {
	run(t, "not-in-stand-in", func(g *group) {
		signing := func(id, authenticator string) object {
			return clientFile(id, object{"clientAuthenticatorType": authenticator})
		}
		r := g.realm(realmFile(nil, signing("signing", "client-jwt"),
			signing("sharing", "client-secret-jwt"), signing("tls", "client-x509")))
		uma := func(pairs ...string) url.Values {
			return with(form("grant_type", "urn:ietf:params:oauth:grant-type:uma-ticket"), pairs...)
		}
		step := func(name, unsupported string, send func(*exchange) response) {
			g.exchange(name, func(x *exchange) {
				x.showOrUnsupported("answer", unsupported, send(x))
			})
		}
		bearer := func(x *exchange) string {
			return "Bearer " + x.login(x.user(r, nil)).field("access_token")
		}
		step("UMA by a bearer token", "uma-ticket", func(x *exchange) response {
			return x.token(r, uma("audience", "api"), "Authorization", bearer(x))
		})
		step("UMA by a bearer token, no audience", "uma-ticket", func(x *exchange) response {
			return x.token(r, uma(), "Authorization", bearer(x))
		})
		step("UMA by garbage", "uma-ticket", func(x *exchange) response {
			return x.token(r, uma("audience", "api"), "Authorization", "Bearer x")
		})
		step("UMA without a client", "", func(x *exchange) response { return x.token(r, uma()) })
		step("UMA by a wrong secret", "", func(x *exchange) response {
			return x.token(r, uma("client_id", "api", "client_secret", "wrong"))
		})
		step("UMA by a client", "uma-ticket", func(x *exchange) response {
			return x.token(r, uma("client_id", "api", "client_secret", "api-secret"))
		})
		for _, name := range []string{"audience", "permission", "resource"} {
			step("UMA: "+name+" twice", "uma-ticket", func(x *exchange) response {
				values := uma("client_id", "api", "client_secret", "api-secret")
				values[name] = []string{"a", "b"}
				return x.token(r, values)
			})
		}
		for _, name := range []string{"audience", "resource", "scope"} {
			step("token exchange: "+name+" twice", "token-exchange", func(x *exchange) response {
				values := with(secretOf("api"), "grant_type",
					"urn:ietf:params:oauth:grant-type:token-exchange")
				values[name] = []string{"a", "b"}
				return x.token(r, values)
			})
		}
		g.exchange("introspection of a requesting party token", func(x *exchange) {
			hint := func(step, hint string, token string) {
				values := with(secretOf("api"), "token_type_hint", hint)
				if token != "" {
					values.Set("token", token)
				}
				x.showOrUnsupported(step, "requesting party token",
					x.post(r.oidc("/token/introspect"), values))
			}
			hint("hint", "requesting_party_token", "garbage")
			hint("without a token", "requesting_party_token", "")
			hint("another hint", "id_token", "garbage")
			hint("an empty hint", "", "garbage")
		})
		assertion := func(client string) string {
			return signed(object{"alg": "HS512"},
				object{"sub": client, "iss": client, "aud": r.url("")})
		}
		const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
		grant := func(pairs ...string) url.Values {
			return form(append([]string{"grant_type", "client_credentials"}, pairs...)...)
		}
		for _, client := range []string{"signing", "sharing", "tls", "api", "spa", "nobody"} {
			step("assertion of "+client, "clientAuthenticatorType", func(x *exchange) response {
				return x.token(r,
					grant("client_assertion", assertion(client), "client_assertion_type",
						jwtBearer))
			})
		}
		step("assertion and client id", "clientAuthenticatorType", func(x *exchange) response {
			return x.token(r,
				grant("client_id", "signing", "client_assertion", assertion("signing"),
					"client_assertion_type", jwtBearer))
		})
		step("assertion without its type", "", func(x *exchange) response {
			return x.token(r, grant("client_assertion", assertion("signing")))
		})
		step("invalid assertion", "", func(x *exchange) response {
			return x.token(r,
				grant("client_assertion", "garbage", "client_assertion_type", jwtBearer))
		})
		step("certificate for a client with a secret", "clientAuthenticatorType",
			func(x *exchange) response { return x.token(r, grant("client_id", "tls")) })

		dpop := func(name string, values func(*exchange) url.Values) {
			step("DPoP: "+name, "header DPoP", func(x *exchange) response {
				return x.post(r.oidc("/token"), values(x), "DPoP", "garbage")
			})
		}
		dpop("password grant", func(x *exchange) url.Values {
			return passwordGrant(x.user(r, nil))
		})
		dpop("client credentials", func(*exchange) url.Values {
			return with(secretOf("service"), "grant_type", "client_credentials")
		})
		dpop("code", func(*exchange) url.Values { return codeGrant("garbage") })
		dpop("refresh", func(x *exchange) url.Values {
			return refreshGrant(x.login(x.user(r, nil)).field("refresh_token"))
		})
		step("DPoP: wrong secret", "", func(x *exchange) response {
			return x.post(r.oidc("/token"), with(codeGrant("garbage"), "client_secret", "wrong"),
				"DPoP", "garbage")
		})
		step("DPoP: userinfo by bearer", "", func(x *exchange) response {
			return x.get(r.oidc("/userinfo"), "Authorization", bearer(x), "DPoP", "garbage")
		})
		step("DPoP: userinfo", "scheme DPoP", func(x *exchange) response {
			return x.get(r.oidc("/userinfo"), "Authorization",
				strings.Replace(bearer(x), "Bearer", "DPoP", 1), "DPoP", "garbage")
		})
		step("DPoP: bound code", "parameter dpop_jkt", func(x *exchange) response {
			return x.browser().open(r.authURL("dpop_jkt", strings.Repeat("k", 43)))
		})
	})
}
