package contract

import "testing"

// TestClaims records the claims of access tokens, ID tokens and refresh tokens.
func TestClaims(t *testing.T) {
	run(t, "claims", func(suite *testSuite) {
		lightweightFields := object{
			"attributes": object{"client.use.lightweight.access.token.enabled": "true"}}
		r := suite.addRealm(realmJSON(nil,
			clientJSON("lightweight", lightweightFields),
			clientJSON("stepped",
				object{"attributes": object{"acr.loa.map": `{"silver":"1","gold":"2"}`}}),
			clientJSON("plain", object{"webOrigins": []string{}}),
		))
		suite.add("lightweight", func(s *scenario) {
			s.record(s.login(s.addUser(r, nil), clientParams("lightweight")...))
		})
		suite.add("lightweight, code flow", func(s *scenario) {
			u := s.addUser(r, nil)
			resp := s.token(r,
				codeGrant(s.code(u, "client_id", "lightweight", "nonce", "n-1"),
					clientParams("lightweight")...)).mustOK()
			s.recordToken(resp, "access_token")
			s.recordToken(resp, "id_token")
		})
		suite.add("lightweight refresh", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil), clientParams("lightweight")...)
			s.recordToken(
				s.refresh(r, tokens, clientParams("lightweight")...).mustOK(), "access_token")
		})
		suite.add("code flow", func(s *scenario) {
			resp := s.token(r, codeGrant(s.code(s.addUser(r, nil), "nonce", "n-1"))).mustOK()
			s.recordToken(resp, "access_token")
			s.recordToken(resp, "id_token")
			s.recordToken(resp, "refresh_token")
		})
		suite.add("offline", func(s *scenario) {
			s.recordBody(s.login(s.addUser(r, nil), "scope", "openid offline_access"))
		})
		suite.add("no web origins", func(s *scenario) {
			s.recordClaims(
				s.login(s.addUser(r, nil), clientParams("plain")...), "access_token", "azp",
				"allowed-origins")
		})
		suite.add("acr by name", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil), clientParams("stepped")...)
			refreshed := s.refresh(r, tokens, clientParams("stepped")...).mustOK()
			for _, resp := range []response{tokens, refreshed} {
				s.recordClaims(resp, "access_token", "acr")
				s.recordClaims(resp, "id_token", "acr")
			}
		})
		suite.add("acr after single sign-on", func(s *scenario) {
			u := s.addUser(r, nil)
			b := s.newBrowser()
			first := s.token(r, codeGrant(b.login(u).redirectQuery().Get("code"))).mustOK()
			redirect := b.open(r.authURL())
			second := s.token(r, codeGrant(redirect.redirectQuery().Get("code"))).mustOK()
			s.recordClaims(first, "access_token", "acr")
			s.recordClaims(second, "access_token", "acr")
			s.note("same session: %t",
				first.field("session_state") == second.field("session_state"))
		})
		suite.add("names", func(s *scenario) {
			for _, userFields := range []object{
				{"emailVerified": true},
				{"firstName": "Zoë", "lastName": "O'Neil-Ní Ñ"},
				{"firstName": "  Two  ", "lastName": "Spaces "},
			} {
				s.recordClaims(s.login(s.addUser(r, userFields)), "id_token", "name", "given_name",
					"family_name", "email_verified")
			}
		})
		noActionsRealm := suite.addRealm(noActionsRealmJSON())
		suite.add("missing e-mail and names", func(s *scenario) {
			for _, userFields := range []object{{"email": nil}, {"firstName": nil},
				{"lastName": nil}, {"firstName": nil, "lastName": nil, "email": nil}} {
				resp := s.login(s.addUser(noActionsRealm, userFields))
				s.recordClaims(resp, "id_token", "name", "given_name", "family_name", "email",
					"email_verified", "preferred_username")
			}
		})
	})
}

// TestAudience records how roles and mappers set the audience of access tokens.
func TestAudience(t *testing.T) {
	run(t, "audience", func(suite *testSuite) {
		customMapper := func(name string, config object) object {
			return mapperJSON(name, "oidc-audience-mapper",
				merge(object{"access.token.claim": "true"}, config))
		}
		clientWithMappers := func(id string, mappers ...object) object {
			return clientJSON(id, object{"protocolMappers": mappers})
		}
		r := suite.addRealm(realmJSON(object{"roles": object{"client": object{
			"api": []object{{"name": "reader"}},
			"spa": []object{{"name": "reader"}, {"name": "writer"}},
		}}},
			clientWithMappers("itself", audienceMapper("itself")),
			clientWithMappers("another", audienceMapper("spa")),
			clientWithMappers("custom",
				customMapper("custom", object{"included.custom.audience": "https://api.example"})),
			clientWithMappers("both-in-one",
				customMapper("both",
					object{"included.client.audience": "spa",
						"included.custom.audience": "https://api.example"})),
			clientWithMappers("two", audienceMapper("two"),
				customMapper("custom", object{"included.custom.audience": "https://api.example"})),
			clientWithMappers("missing", audienceMapper("no-such-client")),
			clientWithMappers("in-id-token",
				customMapper("id",
					object{"included.client.audience": "spa", "id.token.claim": "true",
						"access.token.claim": "false"})),
			clientWithMappers("off",
				customMapper("off",
					object{"included.client.audience": "spa", "access.token.claim": "false"})),
		))
		addAudience := func(name, client string, prepare func(*scenario, *user)) {
			suite.add(name, func(s *scenario) {
				u := s.addUser(r, nil)
				if prepare != nil {
					prepare(s, u)
				}
				resp := s.login(u, clientParams(client)...)
				s.recordClaims(resp, "access_token", "aud", "azp", "resource_access")
				s.recordClaims(resp, "id_token", "aud")
				s.recordClaims(resp, "refresh_token", "aud", "aud_x")
			})
		}
		grantRoles := func(roles ...roleRef) func(*scenario, *user) {
			return func(s *scenario, u *user) {
				for _, role := range roles {
					s.must(s.kc.grantRole(u.userRef, role))
				}
			}
		}
		revokeDefaultRoles := func(s *scenario, u *user) {
			s.must(s.kc.revokeRole(u.userRef, roleRef{name: "default-roles-" + r.name}))
		}
		addAudience("default roles", "api", nil)
		addAudience("no roles", "api", revokeDefaultRoles)
		addAudience("no roles, with a mapper", "itself", revokeDefaultRoles)
		addAudience("a role of another client", "api", grantRoles(roleRef{"spa", "reader"}))
		addAudience("its own role and another client's", "api",
			grantRoles(roleRef{"spa", "reader"}, roleRef{"spa", "writer"},
				roleRef{"api", "reader"}))
		addAudience("its own role", "api", grantRoles(roleRef{"api", "reader"}))
		for _, client := range []string{"itself", "another", "custom", "both-in-one", "two",
			"missing", "in-id-token", "off"} {
			addAudience("mapper: "+client, client, nil)
		}
		addAudience("mapper and role name the same client", "another",
			grantRoles(roleRef{"spa", "reader"}))
		addAudience("view-users, a composite role", "api",
			grantRoles(roleRef{"realm-management", "view-users"}))
	})
}

// TestRoles records the roles in access tokens: composite roles, the roles of groups, and the roles
// that clients without full scope get.
func TestRoles(t *testing.T) {
	run(t, "roles", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(merge(scopesJSON(object{
			"name": "seeing", "protocol": "openid-connect",
			"attributes": object{"include.in.token.scope": "true"},
		}), object{
			"roles": object{
				"realm": []object{
					{"name": "plain"},
					{"name": "outer", "composite": true,
						"composites": object{"realm": []string{"inner"},
							"client": object{"spa": []string{"reader"}}}},
					{"name": "inner", "composite": true,
						"composites": object{"realm": []string{"innermost"}}},
					{"name": "innermost"},
					{"name": "seen"},
					{"name": "with spaces and ü"},
				},
				"client": object{
					"api": []object{{"name": "reader"},
						{"name": "lead", "composite": true,
							"composites": object{"realm": []string{"plain"},
								"client": object{"api": []string{"reader"}}}}},
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
			clientJSON("narrow",
				object{"fullScopeAllowed": false, "defaultClientScopes": builtinDefaultScopes,
					"optionalClientScopes": []string{"seeing"}}),
		))
		addRoles := func(name, client string, groups []string, pairs []string, roles ...roleRef) {
			suite.add(name, func(s *scenario) {
				u := s.addUser(r, object{"groups": groups})
				s.must(s.kc.revokeRole(u.userRef, roleRef{name: "default-roles-" + r.name}))
				for _, role := range roles {
					s.must(s.kc.grantRole(u.userRef, role))
				}
				resp := s.login(u,
					append([]string{"client_id", client, "client_secret", client + "-secret"},
						pairs...)...)
				s.recordClaims(resp, "access_token", "aud", "realm_access", "resource_access")
			})
		}
		allRoles := []roleRef{{"", "plain"}, {"", "seen"}, {"", "outer"}, {"spa", "reader"},
			{"spa", "writer"}, {"narrow", "own"}, {"api", "reader"}}
		addRoles("a realm role", "api", nil, nil, roleRef{"", "plain"})
		addRoles("special characters in a role name", "api", nil, nil,
			roleRef{"", "with spaces and ü"})
		addRoles("client roles", "api", nil, nil,
			roleRef{"api", "reader"}, roleRef{"spa", "writer"})
		addRoles("a composite of a composite", "api", nil, nil, roleRef{"", "outer"})
		addRoles("a client role with a realm role", "api", nil, nil, roleRef{"api", "lead"})
		addRoles("role of a group", "api", []string{"/staff"}, nil)
		addRoles("role of a parent group", "api", []string{"/staff/leads"}, nil)
		addRoles("roles of groups that the user has, too", "api",
			[]string{"/staff", "/staff/leads"}, nil,
			roleRef{"", "plain"}, roleRef{"", "inner"})
		addRoles("client without full scope", "narrow", nil, nil, allRoles...)
		addRoles("client without full scope, with a client scope", "narrow", nil,
			[]string{"scope", "openid seeing"}, allRoles...)
		addRoles("client without full scope, no role in its scope", "narrow", nil, nil,
			roleRef{"", "plain"},
			roleRef{"spa", "reader"})
		addRoles("client without full scope, part of a composite", "narrow", nil, nil,
			roleRef{"", "innermost"})
	})
}

// TestClientScopes records the claims that optional and custom client scopes add.
func TestClientScopes(t *testing.T) {
	run(t, "client-scopes", func(suite *testSuite) {
		tenant := mapperJSON("tenant", "oidc-hardcoded-claim-mapper", object{
			"claim.name": "tenant", "claim.value": "acme", "jsonType.label": "String",
			"access.token.claim": "true", "id.token.claim": "true",
		})
		scopeJSON := func(name, includeInTokenScope string) object {
			return object{"name": name, "protocol": "openid-connect",
				"attributes":      object{"include.in.token.scope": includeInTokenScope},
				"protocolMappers": []object{tenant}}
		}
		r := suite.addRealm(
			realmJSON(merge(unmanagedAttributes(),
				scopesJSON(scopeJSON("tenant", "true"), scopeJSON("quiet", "false"))),
				clientJSON("asked",
					object{"defaultClientScopes": builtinDefaultScopes,
						"optionalClientScopes": append([]string{"tenant", "quiet"},
							builtinOptionalScopes...)}),
				clientJSON("always",
					object{"defaultClientScopes": append([]string{"tenant", "quiet"},
						builtinDefaultScopes...)}),
			))
		userFields := object{"attributes": object{
			"phoneNumber": []string{"+44 20 7946 0000"}, "phoneNumberVerified": []string{"true"},
			"street": []string{"1 High Street"}, "locality": []string{"London"},
			"postal_code": []string{"N1"}, "country": []string{"UK"}, "region": []string{"R"},
			"nickname": []string{"nick"}, "website": []string{"https://me.example"},
		}}
		claimNames := []string{"scope", "tenant", "phone_number", "phone_number_verified",
			"address", "upn", "groups", "nickname", "website", "email", "name"}
		addScope := func(name, client, scope string) {
			suite.add(name, func(s *scenario) {
				u := s.addUser(r, userFields)
				resp := s.login(u, "client_id", client, "client_secret", client+"-secret", "scope",
					scope)
				s.recordFields(resp, "scope")
				s.recordClaims(resp, "access_token", claimNames...)
				s.recordClaims(resp, "id_token", claimNames...)
				s.recordClaims(resp, "refresh_token", "scope")
				s.recordFields(s.userinfo(r, resp), claimNames...)
			})
		}
		addScope("none", "asked", "openid")
		addScope("phone", "asked", "openid phone")
		addScope("address", "asked", "openid address")
		addScope("microprofile-jwt", "asked", "openid microprofile-jwt")
		addScope("custom scope", "asked", "openid tenant")
		addScope("not included in scope", "asked", "openid quiet")
		addScope("default scope", "always", "openid")
		suite.add("in discovery", func(s *scenario) {
			s.recordFields(s.get(r.url("/.well-known/openid-configuration")), "scopes_supported")
		})
		suite.add("optional scope of another client", func(s *scenario) {
			s.recordOutcome("scope=phone",
				s.token(r,
					passwordGrant(s.addUser(r, nil), "client_id", "always", "client_secret",
						"always-secret", "scope", "phone")))
		})
		suite.add("address of a user without an address", func(s *scenario) {
			resp := s.login(s.addUser(r, nil), "client_id", "asked", "client_secret",
				"asked-secret", "scope", "openid address phone")
			s.recordClaims(resp, "access_token", claimNames...)
		})
	})
}
