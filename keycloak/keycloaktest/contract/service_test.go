package contract

import "testing"

// TestServiceAccount records the client credentials grant.
func TestServiceAccount(t *testing.T) {
	run(t, "service-account", func(g *group) {
		service := func(id string, settings object) object {
			return clientFile(id, merge(object{"serviceAccountsEnabled": true}, settings))
		}
		r := g.realm(realmFile(object{"roles": object{
			"realm":  []object{{"name": "worker"}},
			"client": object{"api": []object{{"name": "reader"}}},
		}},
			service("renewing",
				object{"attributes": object{"client_credentials.use_refresh_token": "true"}}),
			service("lightweight",
				object{
					"attributes": object{"client.use.lightweight.access.token.enabled": "true"},
				}),
			service("public", object{"publicClient": true}),
			service("audience", object{"protocolMappers": []object{audienceMapper("audience")}}),
			service("roles", nil),
			service("retired", nil),
			service("origins", object{"webOrigins": []string{webOrigin}}),
		))
		grant := func(client string, pairs ...string) map[string][]string {
			return with(with(secretOf(client), "grant_type", "client_credentials"), pairs...)
		}
		request := func(name, client string, pairs ...string) {
			g.scenario(name, func(s *scenario) { s.show(s.token(r, grant(client, pairs...))) })
		}
		request("success", "service")
		request("openid", "service", "scope", "openid")
		request("offline access", "service", "scope", "offline_access")
		request("with a refresh token", "renewing", "scope", "openid")
		request("lightweight", "lightweight")
		request("a public client", "public")
		request("not enabled", "api")
		request("not enabled, public", "spa")
		request("wrong secret", "service", "client_secret", "wrong")
		request("bad scope", "service", "scope", "bogus")
		g.scenario("a user's parameters are ignored", func(s *scenario) {
			resp := s.token(r, grant("service", "username", "nobody", "password", "wrong"))
			s.outcome("token", resp)
			s.showClaims(resp, "access_token", "preferred_username")
		})
		claims := func(name, client string, names ...string) {
			g.scenario(name, func(s *scenario) {
				s.showClaims(s.token(r, grant(client)).ok(), "access_token", names...)
			})
		}
		claims("audience", "audience", "aud")
		claims("origins", "origins", "allowed-origins")
		g.scenario("roles", func(s *scenario) {
			account := userRef{r.name,
				asString(s.token(r, grant("roles")).ok().claims("access_token")["sub"])}
			s.must(s.kc.grantRole(account, roleRef{name: "worker"}))
			s.must(s.kc.grantRole(account, roleRef{client: "api", name: "reader"}))
			s.showClaims(s.token(r, grant("roles")).ok(), "access_token", "aud", "realm_access",
				"resource_access")
		})
		g.scenario("scope service_account", func(s *scenario) {
			resp := s.token(r, grant("service", "scope", "service_account"))
			s.outcome("scope=service_account", resp)
			s.showFields(resp, "scope")
		})
		g.scenario("refresh", func(s *scenario) {
			resp := s.token(r, grant("renewing", "scope", "openid")).ok()
			s.showBody(s.refresh(r, resp, credsOf("renewing")...))
		})
		g.scenario("userinfo", func(s *scenario) {
			for _, scope := range []string{"email", "openid"} {
				resp := s.token(r, grant("service", "scope", scope)).ok()
				s.show(s.get(r.oidc("/userinfo"), "Authorization",
					"Bearer "+resp.field("access_token")))
			}
		})
		g.scenario("the account can't sign in", func(s *scenario) {
			s.outcome("password grant",
				s.token(r,
					with(secretOf("api"), "grant_type", "password", "username",
						"service-account-service", "password", "")))
		})
		g.scenario("the account is disabled", func(s *scenario) {
			account := userRef{r.name,
				asString(s.token(r, grant("retired")).ok().claims("access_token")["sub"])}
			s.must(s.kc.patchUser(account, object{"enabled": false}))
			s.outcome("disabled", s.token(r, grant("retired")))
		})
		g.scenario("every token has the same subject", func(s *scenario) {
			first, second := s.token(r, grant("service")).ok(), s.token(r, grant("service")).ok()
			s.note("%t",
				first.claims("access_token")["sub"] == second.claims("access_token")["sub"])
		})
	})
}
