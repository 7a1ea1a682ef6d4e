package contract

import "testing"

// Service accounts: the client credentials grant.
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
			service("light",
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
			g.exchange(name, func(x *exchange) { x.show(x.token(r, grant(client, pairs...))) })
		}
		request("success", "service")
		request("openid", "service", "scope", "openid")
		request("offline access", "service", "scope", "offline_access")
		request("with a refresh token", "renewing", "scope", "openid")
		request("lightweight", "light")
		request("a public client", "public")
		request("not enabled", "api")
		request("not enabled, public", "spa")
		request("wrong secret", "service", "client_secret", "wrong")
		request("bad scope", "service", "scope", "bogus")
		g.exchange("a user's parameters are ignored", func(x *exchange) {
			a := x.token(r, grant("service", "username", "nobody", "password", "wrong"))
			x.outcome("token", a)
			x.showClaims(a, "access_token", "preferred_username")
		})
		claims := func(name, client string, names ...string) {
			g.exchange(name, func(x *exchange) {
				x.showClaims(x.token(r, grant(client)).ok(), "access_token", names...)
			})
		}
		claims("audience", "audience", "aud")
		claims("origins", "origins", "allowed-origins")
		g.exchange("roles", func(x *exchange) {
			self := userRef{r.name,
				text(x.token(r, grant("roles")).ok().claims("access_token")["sub"])}
			x.must(x.kc.grantRole(self, roleRef{name: "worker"}))
			x.must(x.kc.grantRole(self, roleRef{client: "api", name: "reader"}))
			x.showClaims(x.token(r, grant("roles")).ok(), "access_token", "aud", "realm_access",
				"resource_access")
		})
		g.exchange("scope service_account", func(x *exchange) {
			a := x.token(r, grant("service", "scope", "service_account"))
			x.outcome("scope=service_account", a)
			x.showMembers(a, "scope")
		})
		g.exchange("refresh", func(x *exchange) {
			a := x.token(r, grant("renewing", "scope", "openid")).ok()
			x.showBody(x.refresh(r, a, "client_id", "renewing", "client_secret", "renewing-secret"))
		})
		g.exchange("userinfo", func(x *exchange) {
			for _, scope := range []string{"email", "openid"} {
				a := x.token(r, grant("service", "scope", scope)).ok()
				x.show(x.get(r.oidc("/userinfo"), "Authorization",
					"Bearer "+a.field("access_token")))
			}
		})
		g.exchange("the account can't sign in", func(x *exchange) {
			x.outcome("password grant",
				x.token(r,
					with(secretOf("api"), "grant_type", "password", "username",
						"service-account-service", "password", "")))
		})
		g.exchange("the account is disabled", func(x *exchange) {
			self := userRef{r.name,
				text(x.token(r, grant("retired")).ok().claims("access_token")["sub"])}
			x.must(x.kc.patchUser(self, object{"enabled": false}))
			x.outcome("disabled", x.token(r, grant("retired")))
		})
		g.exchange("every token has the same subject", func(x *exchange) {
			first, second := x.token(r, grant("service")).ok(), x.token(r, grant("service")).ok()
			x.note("%t",
				first.claims("access_token")["sub"] == second.claims("access_token")["sub"])
		})
	})
}
