package contract

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// parameters are the request parameters of Keycloak's OpenID Connect, UMA and CIBA endpoints.
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

// TestParameters records which parameters each endpoint ignores. Each request has one additional
// parameter, with an invalid value.
func TestParameters(t *testing.T) {
	run(t, "parameters", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil,
			clientJSON("server", object{"protocolMappers": []object{audienceMapper("server")}}),
			clientJSON("device",
				object{"attributes": object{"oauth2.device.authorization.grant.enabled": "true"}}),
		))
		// addParameters adds a scenario that sends a form several times: first unchanged, and then
		// with one more parameter each time.
		addParameters := func(endpoint string, newForm func(*scenario) url.Values,
			send func(*scenario, url.Values) response) {
			suite.add(endpoint, func(s *scenario) {
				values := newForm(s)
				baseline := send(s, values)
				s.recordOutcome("usual", baseline)
				var ignored []string
				for _, name := range parameters {
					// TestUnsupported tests dpop_jkt.
					if values.Has(name) || name == "dpop_jkt" && endpoint == "authorization" {
						continue
					}
					switch resp := send(s, withParams(values, name, "zz")); {
					case resp.summary() == baseline.summary():
						ignored = append(ignored, name)
					case resp.status == http.StatusNotImplemented:
						s.recordOr501(name, "parameter "+name, resp)
					default:
						s.recordOr501(name, "", resp)
					}
				}
				s.note("ignored: %s", strings.Join(ignored, " "))
			})
		}
		postTo := func(path string) func(*scenario, url.Values) response {
			return func(s *scenario, values url.Values) response {
				return s.post(r.endpoint(path), values)
			}
		}
		addParameters("password grant", func(s *scenario) url.Values {
			return passwordGrant(s.addUser(r, nil), "scope", "openid")
		}, postTo("/token"))
		addParameters("refresh", func(s *scenario) url.Values {
			return refreshGrant(s.login(s.addUser(r, nil)).field("refresh_token"))
		}, postTo("/token"))
		addParameters("client credentials", func(*scenario) url.Values {
			return clientCredentialsGrant("service")
		}, postTo("/token"))
		addParameters("code", func(*scenario) url.Values {
			return codeGrant("garbage")
		}, postTo("/token"))
		addParameters("device grant", func(*scenario) url.Values {
			return deviceGrant("device", "garbage")
		}, postTo("/token"))
		addParameters("introspection", func(s *scenario) url.Values {
			token := s.login(s.addUser(r, nil), clientParams("server")...).field("access_token")
			return withParams(clientForm("server"), "token", token)
		}, postTo("/token/introspect"))
		addParameters("revocation", func(*scenario) url.Values {
			return withParams(clientForm("api"), "token", "garbage")
		}, postTo("/revoke"))
		addParameters("userinfo", func(s *scenario) url.Values {
			return form("access_token", s.login(s.addUser(r, nil)).field("access_token"))
		}, postTo("/userinfo"))
		addParameters("device", func(*scenario) url.Values {
			return clientForm("device")
		}, postTo("/auth/device"))
		addParameters("logout by refresh token", func(*scenario) url.Values {
			return withParams(clientForm("api"), "refresh_token", "garbage")
		}, postTo("/logout"))
		addParameters("logout by browser", func(*scenario) url.Values {
			return form("state", "st")
		}, func(s *scenario, values url.Values) response {
			return s.get(r.endpoint("/logout?"+values.Encode()), "Accept", browserAccept)
		})
		addParameters("authorization", func(*scenario) url.Values {
			return form("client_id", "api", "response_type", "code", "redirect_uri", callback,
				"scope", "openid", "state", "st")
		}, func(s *scenario, values url.Values) response {
			return s.get(r.endpoint("/auth?"+values.Encode()), "Accept", browserAccept)
		})
	})
}

// TestParameters_controlCharacters records that Keycloak removes control characters from
// authorization requests.
func TestParameters_controlCharacters(t *testing.T) {
	run(t, "control-characters", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil))
		values := form("client_id", "api", "response_type", "code", "redirect_uri", callback,
			"scope", "openid", "state", "st", "nonce", "n-1", "response_mode", "query", "prompt",
			"login", "code_challenge", codeChallenge(codeVerifier), "code_challenge_method", "S256",
			"max_age", "100", "login_hint", "somebody")
		for _, name := range sortedKeys(values) {
			suite.add(name, func(s *scenario) {
				value := values.Get(name)
				for _, changedValue := range []string{value + "\t", value[:1] + "\n" + value[1:],
					value[:1] + "\x01" + value[1:]} {
					query := withParams(values, name, changedValue).Encode()
					resp := s.get(r.endpoint("/auth?"+query), "Accept", browserAccept)
					s.note("%q: %d %s", s.normalize(changedValue), resp.status, resp.summary())
				}
			})
		}
		suite.add("returned to the client", func(s *scenario) {
			resp := s.newBrowser().login(s.addUser(r, nil), "state", "s\nt", "nonce", "n\t")
			s.note("redirected: %s", s.formatForm(resp.redirectQuery()))
			tokens := s.token(r, codeGrant(resp.redirectQuery().Get("code"))).mustOK()
			s.recordClaims(tokens, "id_token", "nonce")
		})
	})
}

// summary returns the redirect, the ID of the page, or the status and the error of a response, so
// that responses can be compared.
func (r response) summary() string {
	if location := r.header.Get("Location"); location != "" {
		return r.scenario.formatURL(location)
	}
	if strings.Contains(r.header.Get("Content-Type"), "html") {
		return pageIDOf(r)
	}
	details := r.header.Get("WWW-Authenticate")
	for _, name := range []string{"error", "error_description", "scope", "active"} {
		details += " " + asString(r.value(name))
	}
	return http.StatusText(r.status) + r.scenario.normalize(details)
}

// recordOr501 records the outcome of a step. The fake may instead respond with a 501 whose
// description contains feature. If feature is "", it may not respond with a 501.
func (s *scenario) recordOr501(step, feature string, resp response) {
	s.Helper()
	line := step + " (or 501 from the fake): " + http.StatusText(resp.status) + " "
	if resp.summary() != "" {
		line += resp.summary()
	}
	if s.kc.name() != "keycloak" && resp.status == http.StatusNotImplemented {
		if resp.value("error") != "not_in_keycloaktest" || feature == "" ||
			!strings.Contains(asString(resp.value("error_description")), feature) {
			s.Errorf("%s: got 501 %s, want not_in_keycloaktest and a description with %q", step,
				resp.body, feature)
		}
		recorded := strings.Split(s.suite.recording.sections[s.name], "\n")
		i := slices.IndexFunc(recorded, func(line string) bool {
			return strings.HasPrefix(line, "# "+step+" (or 501")
		})
		if i >= 0 {
			line = strings.TrimPrefix(recorded[i], "# ")
		}
	}
	s.note("%s", line)
}

// TestUnsupported checks that the fake responds to requests for unsupported features with a 501
// that names the feature.
func TestUnsupported(t *testing.T) {
	run(t, "unsupported", func(suite *testSuite) {
		clientWithAuthenticator := func(id, authenticator string) object {
			return clientJSON(id, object{"clientAuthenticatorType": authenticator})
		}
		r := suite.addRealm(realmJSON(nil, clientWithAuthenticator("signing", "client-jwt"),
			clientWithAuthenticator("sharing", "client-secret-jwt"),
			clientWithAuthenticator("tls", "client-x509")))
		umaForm := func(pairs ...string) url.Values {
			return withParams(form("grant_type", "urn:ietf:params:oauth:grant-type:uma-ticket"),
				pairs...)
		}
		addCase := func(name, feature string, send func(*scenario) response) {
			suite.add(name, func(s *scenario) {
				s.recordOr501("response", feature, send(s))
			})
		}
		bearerHeader := func(s *scenario) string {
			return "Bearer " + s.login(s.addUser(r, nil)).field("access_token")
		}
		addCase("UMA by a bearer token", "uma-ticket", func(s *scenario) response {
			return s.token(r, umaForm("audience", "api"), "Authorization", bearerHeader(s))
		})
		addCase("UMA by a bearer token, no audience", "uma-ticket", func(s *scenario) response {
			return s.token(r, umaForm(), "Authorization", bearerHeader(s))
		})
		addCase("UMA by garbage", "uma-ticket", func(s *scenario) response {
			return s.token(r, umaForm("audience", "api"), "Authorization", "Bearer x")
		})
		addCase("UMA without a client", "", func(s *scenario) response {
			return s.token(r, umaForm())
		})
		addCase("UMA by a wrong secret", "", func(s *scenario) response {
			return s.token(r, umaForm("client_id", "api", "client_secret", "wrong"))
		})
		addCase("UMA by a client", "uma-ticket", func(s *scenario) response {
			return s.token(r, umaForm("client_id", "api", "client_secret", "api-secret"))
		})
		for _, name := range []string{"audience", "permission", "resource"} {
			addCase("UMA: "+name+" twice", "uma-ticket", func(s *scenario) response {
				values := umaForm("client_id", "api", "client_secret", "api-secret")
				values[name] = []string{"a", "b"}
				return s.token(r, values)
			})
		}
		for _, name := range []string{"audience", "resource", "scope"} {
			addCase("token exchange: "+name+" twice", "token-exchange", func(s *scenario) response {
				values := withParams(clientForm("api"), "grant_type",
					"urn:ietf:params:oauth:grant-type:token-exchange")
				values[name] = []string{"a", "b"}
				return s.token(r, values)
			})
		}
		suite.add("introspection of a requesting party token", func(s *scenario) {
			introspect := func(step, hint, token string) {
				values := withParams(clientForm("api"), "token_type_hint", hint)
				if token != "" {
					values.Set("token", token)
				}
				s.recordOr501(step, "requesting party token",
					s.post(r.endpoint("/token/introspect"), values))
			}
			introspect("hint", "requesting_party_token", "garbage")
			introspect("without a token", "requesting_party_token", "")
			introspect("another hint", "id_token", "garbage")
			introspect("an empty hint", "", "garbage")
		})
		clientAssertion := func(client string) string {
			return signToken(object{"alg": "HS512"},
				object{"sub": client, "iss": client, "aud": r.url("")})
		}
		const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
		clientCredentials := func(pairs ...string) url.Values {
			return form(append([]string{"grant_type", "client_credentials"}, pairs...)...)
		}
		for _, client := range []string{"signing", "sharing", "tls", "api", "spa", "nobody"} {
			addCase("assertion of "+client, "clientAuthenticatorType", func(s *scenario) response {
				return s.token(r,
					clientCredentials("client_assertion", clientAssertion(client),
						"client_assertion_type", jwtBearer))
			})
		}
		addCase("assertion and client id", "clientAuthenticatorType", func(s *scenario) response {
			return s.token(r,
				clientCredentials("client_id", "signing", "client_assertion",
					clientAssertion("signing"), "client_assertion_type", jwtBearer))
		})
		addCase("assertion without its type", "", func(s *scenario) response {
			return s.token(r, clientCredentials("client_assertion", clientAssertion("signing")))
		})
		addCase("invalid assertion", "", func(s *scenario) response {
			return s.token(r,
				clientCredentials("client_assertion", "garbage", "client_assertion_type",
					jwtBearer))
		})
		addCase("certificate for a client with a secret", "clientAuthenticatorType",
			func(s *scenario) response { return s.token(r, clientCredentials("client_id", "tls")) })

		addDPoP := func(name string, values func(*scenario) url.Values) {
			addCase("DPoP: "+name, "header DPoP", func(s *scenario) response {
				return s.post(r.endpoint("/token"), values(s), "DPoP", "garbage")
			})
		}
		addDPoP("password grant", func(s *scenario) url.Values {
			return passwordGrant(s.addUser(r, nil))
		})
		addDPoP("client credentials", func(*scenario) url.Values {
			return clientCredentialsGrant("service")
		})
		addDPoP("code", func(*scenario) url.Values { return codeGrant("garbage") })
		addDPoP("refresh", func(s *scenario) url.Values {
			return refreshGrant(s.login(s.addUser(r, nil)).field("refresh_token"))
		})
		addCase("DPoP: wrong secret", "", func(s *scenario) response {
			return s.post(r.endpoint("/token"), withParams(codeGrant("garbage"), "client_secret",
				"wrong"), "DPoP", "garbage")
		})
		addCase("DPoP: userinfo by bearer", "", func(s *scenario) response {
			return s.get(r.endpoint("/userinfo"), "Authorization", bearerHeader(s), "DPoP",
				"garbage")
		})
		addCase("DPoP: userinfo", "scheme DPoP", func(s *scenario) response {
			return s.get(r.endpoint("/userinfo"), "Authorization",
				strings.Replace(bearerHeader(s), "Bearer", "DPoP", 1), "DPoP", "garbage")
		})
		addCase("DPoP: bound code", "parameter dpop_jkt", func(s *scenario) response {
			return s.newBrowser().open(r.authURL("dpop_jkt", strings.Repeat("k", 43)))
		})
	})
}
