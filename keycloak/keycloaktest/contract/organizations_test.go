package contract

import "testing"

// organizationsRealmJSON returns a realm with these settings, the users alice, bob and carl, and
// organizations: alice is in acme and beta, and bob is only in acme. Both are in the disabled
// organization named gone. alice is in the group /staff/ops of acme.
func organizationsRealmJSON(settings object, clients ...object) object {
	var users []object
	for _, name := range []string{"alice", "bob", "carl"} {
		users = append(users, object{"username": name, "enabled": true,
			"email": name + "@example.com", "firstName": "Test", "lastName": "User",
			"realmRoles":  []string{"default-roles-{realm}"},
			"credentials": []object{{"type": "password", "value": "secret"}}})
	}
	return realmJSON(merge(object{
		"organizationsEnabled": true, "users": users,
		"organizations": []object{
			{"id": "{realm}-acme", "name": "Acme Inc", "alias": "acme", "enabled": true,
				"description": "An organization", "attributes": object{"tier": []string{"gold"}},
				"domains": []object{{"name": "acme.test", "verified": true}},
				"groups": []object{{"id": "{realm}-staff", "name": "staff",
					"realmRoles": []string{"clerk"}, "subGroups": []object{
						{"id": "{realm}-ops", "name": "ops", "realmRoles": []string{"operator"},
							"clientRoles": object{"api": []string{"operate"}}}}}},
				"members": []object{
					{"username": "alice", "membershipType": "UNMANAGED",
						"groups": []string{"{realm}-ops"}},
					{"username": "bob", "membershipType": "MANAGED"}}},
			{"id": "{realm}-beta", "name": "beta", "domains": []object{{"name": "beta.test"}},
				"members": []object{{"username": "Alice"}}},
			{"id": "{realm}-gone", "name": "gone", "enabled": false,
				"members": []object{{"username": "alice"}, {"username": "bob"}}},
		},
	}, settings), clients...)
}

// memberOf returns a user of organizationsRealmJSON.
func memberOf(r *realm, name string) *user {
	return &user{userRef{realm: r.name}, r, name}
}

// recordOrganization records the scope and the claim organization of a token response in one line,
// or the error.
func (s *scenario) recordOrganization(step string, resp response) {
	s.Helper()
	if resp.status != 200 {
		s.recordOutcome(step, resp)
		return
	}
	s.note("%s: scope %s", step, s.normalizeValue("scope", resp.field("scope")))
	s.recordClaims(resp, "access_token", "organization")
	if resp.value("id_token") != nil {
		s.recordClaims(resp, "id_token", "organization")
	}
}

// TestOrganizations records the scope organization and its claim.
func TestOrganizations(t *testing.T) {
	run(t, "organizations", func(suite *testSuite) {
		r := suite.addRealm(organizationsRealmJSON(nil, clientJSON("default", object{
			"defaultClientScopes":  []string{"basic", "organization"},
			"optionalClientScopes": []string{}}),
			clientJSON("own", object{"protocolMappers": []object{audienceMapper("own")}})))
		for _, scope := range []string{
			"organization", "organization:*", "organization:acme", "organization:beta",
			"organization:acme organization:beta", "organization:gone", "organization:nobody",
			"organization:", "organization:Acme", "organization:acme:x", "organization:acme:",
			"organization organization:acme", "organization:* organization:acme",
			"organization organization:*", "organization:* organization:*",
		} {
			suite.add("scope "+scope, func(s *scenario) {
				for _, name := range []string{"alice", "bob", "carl"} {
					s.recordOrganization(name, s.token(r,
						passwordGrant(memberOf(r, name), "scope", "openid "+scope)))
				}
			})
		}
		suite.add("no scope", func(s *scenario) {
			s.recordOrganization("alice", s.login(memberOf(r, "alice")))
		})
		suite.add("default scope", func(s *scenario) {
			for _, name := range []string{"alice", "bob"} {
				s.recordOrganization(name, s.login(memberOf(r, name), clientParams("default")...))
			}
		})
		suite.add("service account", func(s *scenario) {
			for _, scope := range []string{"organization", "organization:*", "organization:acme"} {
				s.recordOrganization(scope,
					s.token(r, clientCredentialsGrant("service", "scope", scope)))
			}
		})
		suite.add("userinfo and introspection", func(s *scenario) {
			tokens := s.login(memberOf(r, "alice"),
				append(clientParams("own"), "scope", "openid organization:*")...)
			s.recordFields(s.userinfo(r, tokens).mustOK(), "organization")
			s.recordFields(s.introspect(r, "own", tokens.field("access_token")).mustOK(),
				"active", "organization", "scope")
		})
		addOrganizationRefresh(suite, r)
	})
}

func addOrganizationRefresh(suite *testSuite, r *realm) {
	for _, tt := range []struct {
		scope, user string
		refreshes   []string
	}{
		{"organization:*", "alice", []string{"organization:acme", "organization", "",
			"organization:nobody", "organization:*", "organization:acme organization:*"}},
		{"organization:acme", "alice", []string{"organization:*", "organization",
			"organization:beta", "organization:acme", ""}},
		{"organization:acme organization:beta", "alice", []string{"organization:*", "organization",
			"organization:beta"}},
		{"organization", "bob", []string{"organization:*", "organization:acme", "organization"}},
	} {
		suite.add("refresh of "+tt.scope, func(s *scenario) {
			tokens := s.login(memberOf(r, tt.user), "scope", "openid "+tt.scope)
			s.recordOrganization("without a scope", s.refresh(r, tokens))
			for _, scope := range tt.refreshes {
				resp := s.refresh(r, tokens, "scope", "openid "+scope)
				s.recordOrganization(scope, resp)
				if resp.status == 200 {
					s.note("refresh token: %s", s.normalizeValue("scope",
						asString(resp.claims("refresh_token")["scope"])))
				}
			}
		})
	}
	suite.add("refresh token of a user without organizations", func(s *scenario) {
		tokens := s.login(memberOf(r, "carl"), "scope", "openid organization:*")
		s.note("refresh token: %s",
			s.normalizeValue("scope", asString(tokens.claims("refresh_token")["scope"])))
	})
	suite.add("offline", func(s *scenario) {
		tokens := s.login(memberOf(r, "alice"), "scope",
			"openid offline_access organization:acme organization:beta")
		s.recordOrganization("login", tokens)
		s.recordOrganization("refresh", s.refresh(r, tokens))
		s.recordOrganization("one", s.refresh(r, tokens, "scope", "openid organization:beta"))
	})
}

// organizationMapperJSON returns the mapper of the scope organization with this configuration.
func organizationMapperJSON(config object) object {
	return mapperJSON("organization", "oidc-organization-membership-mapper", merge(object{
		"id.token.claim": "true", "introspection.token.claim": "true",
		"access.token.claim": "true", "claim.name": "organization", "jsonType.label": "String",
		"multivalued": "true"}, config))
}

// TestOrganizations_mappers records the claim organization with other mappers.
func TestOrganizations_mappers(t *testing.T) {
	run(t, "organization-mappers", func(suite *testSuite) {
		groups := func(config object) object {
			return mapperJSON("groups", "oidc-organization-group-membership-mapper", merge(object{
				"id.token.claim": "true", "introspection.token.claim": "true",
				"access.token.claim": "true"}, config))
		}
		names := []string{}
		scopes := []object{scopeJSON("basic", "false",
			mapperJSON("sub", "oidc-sub-mapper", object{"access.token.claim": "true"}))}
		for _, tt := range []struct {
			name    string
			mappers []object
		}{
			{"single", []object{organizationMapperJSON(object{"multivalued": "false"})}},
			{"no-multivalued", []object{mapperJSON("organization",
				"oidc-organization-membership-mapper", object{"access.token.claim": "true"})}},
			{"id", []object{organizationMapperJSON(object{"addOrganizationId": "true"})}},
			{"attributes",
				[]object{organizationMapperJSON(object{"addOrganizationAttributes": "true"})}},
			{"id-and-attributes", []object{organizationMapperJSON(object{
				"addOrganizationId": "true", "addOrganizationAttributes": "true"})}},
			{"json", []object{organizationMapperJSON(object{"jsonType.label": "JSON"})}},
			{"access-token-only",
				[]object{organizationMapperJSON(object{"id.token.claim": "false"})}},
			{"groups", []object{organizationMapperJSON(nil), groups(nil)}},
			{"groups-first", []object{groups(nil), organizationMapperJSON(nil)}},
			{"groups-and-id",
				[]object{organizationMapperJSON(object{"addOrganizationId": "true"}), groups(nil)}},
			{"groups-of-a-string",
				[]object{organizationMapperJSON(object{"multivalued": "false"}), groups(nil)}},
			{"groups-in-the-access-token", []object{organizationMapperJSON(nil),
				groups(object{"id.token.claim": "false"})}},
			{"groups-in-the-id-token",
				[]object{organizationMapperJSON(object{"id.token.claim": "false"}),
					groups(object{"access.token.claim": "false"})}},
			{"group-roles", []object{organizationMapperJSON(nil),
				groups(object{"addGroupRoleMappings": "true"})}},
		} {
			names = append(names, tt.name)
			scopes = append(scopes, scopeJSON(tt.name, "true", tt.mappers...))
		}
		scopes = append(scopes, scopeJSON("plain", "true"))
		client := func(id string, mappers ...object) object {
			return clientJSON(id, object{"defaultClientScopes": []string{"basic"},
				"optionalClientScopes": append([]string{"plain"}, names...),
				"protocolMappers":      mappers})
		}
		representation := organizationsRealmJSON(object{"clientScopes": scopes},
			client("grouping", groups(nil)),
			client("roles", mapperJSON("groups", "oidc-group-membership-mapper", object{
				"claim.name": "groups", "full.path": "true", "access.token.claim": "true"}),
				mapperJSON("roles", "oidc-usermodel-realm-role-mapper", object{
					"claim.name": "roles", "access.token.claim": "true", "multivalued": "true"})))
		representation["clients"].([]object)[0] = client("api")
		r := suite.addRealm(representation)
		for _, name := range names {
			suite.add(name, func(s *scenario) {
				if name != "single" { // which of several organizations is first isn't a contract
					s.recordOrganization("alice, all", s.token(r,
						passwordGrant(memberOf(r, "alice"), "scope", "openid "+name+":*")))
				}
				s.recordOrganization("alice, one of two", s.token(r,
					passwordGrant(memberOf(r, "alice"), "scope", "openid "+name)))
				s.recordOrganization("alice, acme", s.token(r,
					passwordGrant(memberOf(r, "alice"), "scope", "openid "+name+":acme")))
				s.recordOrganization("bob, the only one", s.token(r,
					passwordGrant(memberOf(r, "bob"), "scope", "openid "+name)))
				tokens := s.token(r,
					passwordGrant(memberOf(r, "bob"), "scope", "openid "+name)).mustOK()
				s.recordFields(s.userinfo(r, tokens).mustOK(), "organization")
				s.recordOrganization("carl", s.token(r,
					passwordGrant(memberOf(r, "carl"), "scope", "openid "+name)))
			})
		}
		suite.add("scope without a mapper", func(s *scenario) {
			s.recordOrganization("alice", s.token(r,
				passwordGrant(memberOf(r, "alice"), "scope", "openid plain:*")))
		})
		suite.add("group mapper of the client", func(s *scenario) {
			for _, scope := range []string{"openid", "openid id:*", "openid json"} {
				s.recordOrganization(scope, s.token(r, passwordGrant(memberOf(r, "alice"),
					append(clientParams("grouping"), "scope", scope)...)))
			}
		})
		suite.add("groups of organizations give no roles", func(s *scenario) {
			tokens := s.login(memberOf(r, "alice"), clientParams("roles")...)
			s.recordClaims(tokens, "access_token", "groups", "roles")
		})
	})
}
