package contract

import "testing"

// TestClaims records the claims of access tokens, ID tokens and refresh tokens.
func TestClaims(t *testing.T) {
	run(t, "claims", func(g *group) {
		lightweight := object{
			"attributes": object{"client.use.lightweight.access.token.enabled": "true"}}
		r := g.realm(realmFile(nil,
			clientFile("lightweight", lightweight),
			clientFile("stepped",
				object{"attributes": object{"acr.loa.map": `{"silver":"1","gold":"2"}`}}),
			clientFile("plain", object{"webOrigins": []string{}}),
		))
		g.scenario("lightweight", func(s *scenario) {
			s.show(s.login(s.user(r, nil), credsOf("lightweight")...))
		})
		g.scenario("lightweight, code flow", func(s *scenario) {
			u := s.user(r, nil)
			resp := s.token(r,
				codeGrant(s.code(u, "client_id", "lightweight", "nonce", "n-1"),
					credsOf("lightweight")...)).ok()
			s.showToken(resp, "access_token")
			s.showToken(resp, "id_token")
		})
		g.scenario("lightweight refresh", func(s *scenario) {
			login := s.login(s.user(r, nil), credsOf("lightweight")...)
			s.showToken(s.refresh(r, login, credsOf("lightweight")...).ok(), "access_token")
		})
		g.scenario("code flow", func(s *scenario) {
			resp := s.token(r, codeGrant(s.code(s.user(r, nil), "nonce", "n-1"))).ok()
			s.showToken(resp, "access_token")
			s.showToken(resp, "id_token")
			s.showToken(resp, "refresh_token")
		})
		g.scenario("offline", func(s *scenario) {
			s.showBody(s.login(s.user(r, nil), "scope", "openid offline_access"))
		})
		g.scenario("no web origins", func(s *scenario) {
			s.showClaims(s.login(s.user(r, nil), credsOf("plain")...), "access_token", "azp",
				"allowed-origins")
		})
		g.scenario("acr by name", func(s *scenario) {
			login := s.login(s.user(r, nil), credsOf("stepped")...)
			refreshed := s.refresh(r, login, credsOf("stepped")...).ok()
			for _, resp := range []response{login, refreshed} {
				s.showClaims(resp, "access_token", "acr")
				s.showClaims(resp, "id_token", "acr")
			}
		})
		g.scenario("acr after single sign-on", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			first := s.token(r, codeGrant(b.login(u).redirectQuery().Get("code"))).ok()
			second := s.token(r, codeGrant(b.open(r.authURL()).redirectQuery().Get("code"))).ok()
			s.showClaims(first, "access_token", "acr")
			s.showClaims(second, "access_token", "acr")
			s.note("same session: %t",
				first.field("session_state") == second.field("session_state"))
		})
		g.scenario("names", func(s *scenario) {
			for _, settings := range []object{
				{"emailVerified": true},
				{"firstName": "Zoë", "lastName": "O'Neil-Ní Ñ"},
				{"firstName": "  Two  ", "lastName": "Spaces "},
			} {
				s.showClaims(s.login(s.user(r, settings)), "id_token", "name", "given_name",
					"family_name", "email_verified")
			}
		})
		laxRealm := g.realm(laxRealmFile())
		g.scenario("missing e-mail and names", func(s *scenario) {
			for _, settings := range []object{{"email": nil}, {"firstName": nil}, {"lastName": nil},
				{"firstName": nil, "lastName": nil, "email": nil}} {
				resp := s.login(s.user(laxRealm, settings))
				s.showClaims(resp, "id_token", "name", "given_name", "family_name", "email",
					"email_verified", "preferred_username")
			}
		})
	})
}

// TestAudience records how roles and mappers set the audience of access tokens.
func TestAudience(t *testing.T) {
	run(t, "audience", func(g *group) {
		customMapper := func(name string, config object) object {
			return mapperFile(name, "oidc-audience-mapper",
				merge(object{"access.token.claim": "true"}, config))
		}
		clientWith := func(id string, mappers ...object) object {
			return clientFile(id, object{"protocolMappers": mappers})
		}
		r := g.realm(realmFile(object{"roles": object{"client": object{
			"api": []object{{"name": "reader"}},
			"spa": []object{{"name": "reader"}, {"name": "writer"}},
		}}},
			clientWith("itself", audienceMapper("itself")),
			clientWith("another", audienceMapper("spa")),
			clientWith("custom",
				customMapper("custom", object{"included.custom.audience": "https://api.example"})),
			clientWith("both-in-one",
				customMapper("both",
					object{"included.client.audience": "spa",
						"included.custom.audience": "https://api.example"})),
			clientWith("two", audienceMapper("two"),
				customMapper("custom", object{"included.custom.audience": "https://api.example"})),
			clientWith("missing", audienceMapper("no-such-client")),
			clientWith("in-id-token",
				customMapper("id",
					object{"included.client.audience": "spa", "id.token.claim": "true",
						"access.token.claim": "false"})),
			clientWith("off",
				customMapper("off",
					object{"included.client.audience": "spa", "access.token.claim": "false"})),
		))
		showAudience := func(name, client string, prepare func(*scenario, *user)) {
			g.scenario(name, func(s *scenario) {
				u := s.user(r, nil)
				if prepare != nil {
					prepare(s, u)
				}
				resp := s.login(u, credsOf(client)...)
				s.showClaims(resp, "access_token", "aud", "azp", "resource_access")
				s.showClaims(resp, "id_token", "aud")
				s.showClaims(resp, "refresh_token", "aud", "aud_x")
			})
		}
		grantRoles := func(roles ...roleRef) func(*scenario, *user) {
			return func(s *scenario, u *user) {
				for _, role := range roles {
					s.must(s.kc.grantRole(u.userRef, role))
				}
			}
		}
		withoutDefaults := func(s *scenario, u *user) {
			s.must(s.kc.revokeRole(u.userRef, roleRef{name: "default-roles-" + r.name}))
		}
		showAudience("default roles", "api", nil)
		showAudience("no roles", "api", withoutDefaults)
		showAudience("no roles, with a mapper", "itself", withoutDefaults)
		showAudience("a role of another client", "api", grantRoles(roleRef{"spa", "reader"}))
		showAudience("its own role and another client's", "api",
			grantRoles(roleRef{"spa", "reader"}, roleRef{"spa", "writer"},
				roleRef{"api", "reader"}))
		showAudience("its own role", "api", grantRoles(roleRef{"api", "reader"}))
		for _, client := range []string{"itself", "another", "custom", "both-in-one", "two",
			"missing", "in-id-token", "off"} {
			showAudience("mapper: "+client, client, nil)
		}
		showAudience("mapper and role name the same client", "another", grantRoles(roleRef{"spa", "reader"}))
		showAudience("view-users, a composite role", "api",
			grantRoles(roleRef{"realm-management", "view-users"}))
	})
}

// TestRoles records the roles in access tokens: composite roles, group roles, and clients without
// full scope.
func TestRoles(t *testing.T) {
	run(t, "roles", func(g *group) {
		r := g.realm(realmFile(merge(scopesFile(object{
			"name": "seeing", "protocol": "openid-connect",
			"attributes": object{"include.in.token.scope": "true"},
		}), object{
			"roles": object{
				"realm": []object{
					{"name": "plain"},
					{"name": "outer", "composite": true, "composites": object{"realm": []string{"inner"}, "client": object{"spa": []string{"reader"}}}},
					{"name": "inner", "composite": true, "composites": object{"realm": []string{"innermost"}}},
					{"name": "innermost"},
					{"name": "seen"},
					{"name": "with spaces and ü"},
				},
				"client": object{
					"api": []object{{"name": "reader"},
						{"name": "lead", "composite": true, "composites": object{"realm": []string{"plain"}, "client": object{"api": []string{"reader"}}}}},
					"spa":    []object{{"name": "reader"}, {"name": "writer"}},
					"narrow": []object{{"name": "own"}},
				},
			},
			"groups": []object{{
				"name": "staff", "realmRoles": []string{"plain"},
				"clientRoles": object{"spa": []string{"writer"}},
				"subGroups":   []object{{"name": "leads", "realmRoles": []string{"outer"}}},
			}},
			"scopeMappings": []object{{"client": "narrow",
				"roles": []string{"seen", "outer"}},
				{"clientScope": "seeing", "roles": []string{"plain"}}},
			"clientScopeMappings": object{
				"spa": []object{{"client": "narrow", "roles": []string{"writer"}}},
			},
		}),
			clientFile("narrow",
				object{"fullScopeAllowed": false, "defaultClientScopes": builtinDefaults,
					"optionalClientScopes": []string{"seeing"}}),
		))
		showRoles := func(name, client string, groups []string, pairs []string, roles ...roleRef) {
			g.scenario(name, func(s *scenario) {
				u := s.user(r, object{"groups": groups})
				s.must(s.kc.revokeRole(u.userRef, roleRef{name: "default-roles-" + r.name}))
				for _, role := range roles {
					s.must(s.kc.grantRole(u.userRef, role))
				}
				resp := s.login(u,
					append([]string{"client_id", client, "client_secret", client + "-secret"},
						pairs...)...)
				s.showClaims(resp, "access_token", "aud", "realm_access", "resource_access")
			})
		}
		allRoles := []roleRef{{"", "plain"}, {"", "seen"}, {"", "outer"}, {"spa", "reader"},
			{"spa", "writer"}, {"narrow", "own"}, {"api", "reader"}}
		showRoles("a realm role", "api", nil, nil, roleRef{"", "plain"})
		showRoles("special characters in a role name", "api", nil, nil,
			roleRef{"", "with spaces and ü"})
		showRoles("client roles", "api", nil, nil,
			roleRef{"api", "reader"}, roleRef{"spa", "writer"})
		showRoles("a composite of a composite", "api", nil, nil, roleRef{"", "outer"})
		showRoles("a client role with a realm role", "api", nil, nil, roleRef{"api", "lead"})
		showRoles("role of a group", "api", []string{"/staff"}, nil)
		showRoles("role of a parent group", "api", []string{"/staff/leads"}, nil)
		showRoles("roles of groups that the user has, too", "api", []string{"/staff", "/staff/leads"}, nil,
			roleRef{"", "plain"}, roleRef{"", "inner"})
		showRoles("client without full scope", "narrow", nil, nil, allRoles...)
		showRoles("client without full scope, with a client scope", "narrow", nil,
			[]string{"scope", "openid seeing"}, allRoles...)
		showRoles("client without full scope, no role in its scope", "narrow", nil, nil, roleRef{"", "plain"},
			roleRef{"spa", "reader"})
		showRoles("client without full scope, part of a composite", "narrow", nil, nil, roleRef{"", "innermost"})
	})
}

// TestClientScopes records the claims that optional and custom client scopes add.
func TestClientScopes(t *testing.T) {
	run(t, "client-scopes", func(g *group) {
		tenant := mapperFile("tenant", "oidc-hardcoded-claim-mapper", object{
			"claim.name": "tenant", "claim.value": "acme", "jsonType.label": "String",
			"access.token.claim": "true", "id.token.claim": "true",
		})
		scope := func(name, included string) object {
			return object{"name": name, "protocol": "openid-connect",
				"attributes":      object{"include.in.token.scope": included},
				"protocolMappers": []object{tenant}}
		}
		r := g.realm(
			realmFile(merge(unmanagedAttributes(),
				scopesFile(scope("tenant", "true"), scope("quiet", "false"))),
				clientFile("asked",
					object{"defaultClientScopes": builtinDefaults,
						"optionalClientScopes": append([]string{"tenant", "quiet"},
							builtinOptionals...)}),
				clientFile("always",
					object{"defaultClientScopes": append([]string{"tenant", "quiet"},
						builtinDefaults...)}),
			))
		attributes := object{"attributes": object{
			"phoneNumber": []string{"+44 20 7946 0000"}, "phoneNumberVerified": []string{"true"},
			"street": []string{"1 High Street"}, "locality": []string{"London"},
			"postal_code": []string{"N1"}, "country": []string{"UK"}, "region": []string{"R"},
			"nickname": []string{"nick"}, "website": []string{"https://me.example"},
		}}
		names := []string{"scope", "tenant", "phone_number", "phone_number_verified", "address",
			"upn", "groups", "nickname", "website", "email", "name"}
		showScope := func(name, client, scope string) {
			g.scenario(name, func(s *scenario) {
				u := s.user(r, attributes)
				resp := s.login(u, "client_id", client, "client_secret", client+"-secret", "scope",
					scope)
				s.showFields(resp, "scope")
				s.showClaims(resp, "access_token", names...)
				s.showClaims(resp, "id_token", names...)
				s.showClaims(resp, "refresh_token", "scope")
				s.showFields(s.get(r.oidc("/userinfo"), "Authorization",
					"Bearer "+resp.field("access_token")), names...)
			})
		}
		showScope("none", "asked", "openid")
		showScope("phone", "asked", "openid phone")
		showScope("address", "asked", "openid address")
		showScope("microprofile-jwt", "asked", "openid microprofile-jwt")
		showScope("custom scope", "asked", "openid tenant")
		showScope("not included in scope", "asked", "openid quiet")
		showScope("default scope", "always", "openid")
		g.scenario("in discovery", func(s *scenario) {
			s.showFields(s.get(r.url("/.well-known/openid-configuration")), "scopes_supported")
		})
		g.scenario("optional scope of another client", func(s *scenario) {
			s.outcome("scope=phone",
				s.token(r,
					passwordGrant(s.user(r, nil), "client_id", "always", "client_secret",
						"always-secret", "scope", "phone")))
		})
		g.scenario("address of a user without an address", func(s *scenario) {
			resp := s.login(s.user(r, nil), "client_id", "asked", "client_secret", "asked-secret",
				"scope", "openid address phone")
			s.showClaims(resp, "access_token", names...)
		})
	})
}
