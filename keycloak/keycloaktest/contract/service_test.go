package contract

import "testing"

// TestServiceAccount records the client credentials grant.
func TestServiceAccount(t *testing.T) {
	run(t, "service-account", func(suite *testSuite) {
		serviceClient := func(id string, clientFields object) object {
			return clientJSON(id, merge(object{"serviceAccountsEnabled": true}, clientFields))
		}
		r := suite.addRealm(realmJSON(object{"roles": object{
			"realm":  []object{{"name": "worker"}},
			"client": object{"api": []object{{"name": "reader"}}},
		}},
			serviceClient("renewing",
				object{"attributes": object{"client_credentials.use_refresh_token": "true"}}),
			serviceClient("lightweight",
				object{
					"attributes": object{"client.use.lightweight.access.token.enabled": "true"},
				}),
			serviceClient("public", object{"publicClient": true}),
			serviceClient("audience",
				object{"protocolMappers": []object{audienceMapper("audience")}}),
			serviceClient("roles", nil),
			serviceClient("retired", nil),
			serviceClient("origins", object{"webOrigins": []string{webOrigin}}),
		))
		addRequest := func(name, client string, pairs ...string) {
			suite.add(name, func(s *scenario) {
				s.record(s.token(r, clientCredentialsGrant(client, pairs...)))
			})
		}
		addRequest("success", "service")
		addRequest("openid", "service", "scope", "openid")
		addRequest("offline access", "service", "scope", "offline_access")
		addRequest("with a refresh token", "renewing", "scope", "openid")
		addRequest("lightweight", "lightweight")
		addRequest("a public client", "public")
		addRequest("not enabled", "api")
		addRequest("not enabled, public", "spa")
		addRequest("wrong secret", "service", "client_secret", "wrong")
		addRequest("bad scope", "service", "scope", "bogus")
		suite.add("a user's parameters are ignored", func(s *scenario) {
			resp := s.token(r,
				clientCredentialsGrant("service", "username", "nobody", "password", "wrong"))
			s.recordOutcome("token", resp)
			s.recordClaims(resp, "access_token", "preferred_username")
		})
		addClaims := func(name, client string, names ...string) {
			suite.add(name, func(s *scenario) {
				tokens := s.token(r, clientCredentialsGrant(client)).mustOK()
				s.recordClaims(tokens, "access_token", names...)
			})
		}
		addClaims("audience", "audience", "aud")
		addClaims("origins", "origins", "allowed-origins")
		// serviceAccount returns the user behind a client's service account.
		serviceAccount := func(s *scenario, client string) userRef {
			tokens := s.token(r, clientCredentialsGrant(client)).mustOK()
			return userRef{r.name, asString(tokens.claims("access_token")["sub"])}
		}
		suite.add("roles", func(s *scenario) {
			account := serviceAccount(s, "roles")
			s.must(s.kc.grantRole(account, roleRef{name: "worker"}))
			s.must(s.kc.grantRole(account, roleRef{client: "api", name: "reader"}))
			s.recordClaims(s.token(r, clientCredentialsGrant("roles")).mustOK(), "access_token",
				"aud", "realm_access", "resource_access")
		})
		suite.add("scope service_account", func(s *scenario) {
			resp := s.token(r, clientCredentialsGrant("service", "scope", "service_account"))
			s.recordOutcome("scope=service_account", resp)
			s.recordFields(resp, "scope")
		})
		suite.add("refresh", func(s *scenario) {
			resp := s.token(r, clientCredentialsGrant("renewing", "scope", "openid")).mustOK()
			s.recordBody(s.refresh(r, resp, clientParams("renewing")...))
		})
		suite.add("userinfo", func(s *scenario) {
			for _, scope := range []string{"email", "openid"} {
				resp := s.token(r, clientCredentialsGrant("service", "scope", scope)).mustOK()
				s.record(s.userinfo(r, resp))
			}
		})
		suite.add("the account can't sign in", func(s *scenario) {
			s.recordOutcome("password grant",
				s.token(r,
					withParams(clientForm("api"), "grant_type", "password", "username",
						"service-account-service", "password", "")))
		})
		suite.add("the account is disabled", func(s *scenario) {
			account := serviceAccount(s, "retired")
			s.must(s.kc.patchUser(account, object{"enabled": false}))
			s.recordOutcome("disabled", s.token(r, clientCredentialsGrant("retired")))
		})
		suite.add("every token has the same subject", func(s *scenario) {
			first, second := s.token(r, clientCredentialsGrant("service")).mustOK(),
				s.token(r, clientCredentialsGrant("service")).mustOK()
			s.note("%t",
				first.claims("access_token")["sub"] == second.claims("access_token")["sub"])
		})
	})
}
