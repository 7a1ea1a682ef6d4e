package contract

import (
	"encoding/json"
	"testing"
)

var (
	builtinDefaultScopes  = []string{"web-origins", "acr", "profile", "roles", "basic", "email"}
	builtinOptionalScopes = []string{"address", "phone", "offline_access", "microprofile-jwt"}
)

// unmanagedAttributes returns the component that the console's setting "Unmanaged Attributes"
// writes. Without the component, the Admin API silently drops attributes that aren't in the user
// profile, such as phoneNumber, which the built-in scope phone uses. A realm import keeps such
// attributes even without the component. The Admin API always drops "locale", because Keycloak adds
// this attribute to the profile only in realms with internationalization.
func unmanagedAttributes() object {
	permissions := object{"view": []string{"admin", "user"}, "edit": []string{"admin", "user"}}
	profileAttribute := func(name string) object {
		return object{"name": name, "permissions": permissions}
	}
	profile, _ := json.Marshal(object{
		"attributes": []object{profileAttribute("username"), profileAttribute("email"),
			profileAttribute("firstName"), profileAttribute("lastName")},
		"unmanagedAttributePolicy": "ENABLED",
	})
	return object{"components": object{"org.keycloak.userprofile.UserProfileProvider": []object{{
		"providerId": "declarative-user-profile",
		"config":     object{"kc.user.profile.config": []string{string(profile)}},
	}}}}
}

// allTargets makes a mapper write its claim to the access token, the ID token and userinfo.
var allTargets = object{"access.token.claim": "true", "id.token.claim": "true",
	"userinfo.token.claim": "true"}

// TestMappers records the claims of protocol mappers of each type. Each case has its own client.
func TestMappers(t *testing.T) {
	run(t, "mappers", func(suite *testSuite) {
		attributeClaim := func(claim, attributeName, jsonType string, extraConfig object) object {
			return mapperJSON(claim, "oidc-usermodel-attribute-mapper",
				merge(merge(allTargets, object{
					"claim.name": claim, "user.attribute": attributeName,
					"jsonType.label": jsonType,
				}), extraConfig))
		}
		hardcodedClaim := func(claim, value, jsonType string) object {
			return mapperJSON(claim, "oidc-hardcoded-claim-mapper",
				merge(allTargets,
					object{"claim.name": claim, "claim.value": value,
						"jsonType.label": jsonType}))
		}
		propertyClaim := func(claim, propertyName string) object {
			return mapperJSON(claim, "oidc-usermodel-property-mapper",
				merge(allTargets,
					object{"claim.name": claim, "user.attribute": propertyName,
						"jsonType.label": "String"}))
		}
		multivalued := object{"multivalued": "true"}
		onlyTarget := func(target string) object {
			targets := object{"access.token.claim": "false", "id.token.claim": "false",
				"userinfo.token.claim": "false"}
			if target != "" {
				targets[target] = "true"
			}
			return targets
		}
		realmRolesClaim := func(claim string, extraConfig object) object {
			return mapperJSON(claim, "oidc-usermodel-realm-role-mapper",
				merge(merge(allTargets, object{"claim.name": claim, "jsonType.label": "String"}),
					extraConfig))
		}
		clientRolesClaim := func(claim string, extraConfig object) object {
			return mapperJSON(claim, "oidc-usermodel-client-role-mapper",
				merge(merge(allTargets, object{"claim.name": claim, "jsonType.label": "String"}),
					extraConfig))
		}
		groupsClaim := func(claim string, extraConfig object) object {
			return mapperJSON(claim, "oidc-group-membership-mapper",
				merge(merge(allTargets, object{"claim.name": claim}), extraConfig))
		}
		sessionNoteClaim := func(claim, noteName, jsonType string) object {
			return mapperJSON(claim, "oidc-usersessionmodel-note-mapper",
				merge(allTargets,
					object{"claim.name": claim, "user.session.note": noteName,
						"jsonType.label": jsonType}))
		}

		type mapperCase struct {
			client  string
			mappers []object
			claims  []string // the claims to record; nil means the claims with the mappers' names
		}
		cases := []mapperCase{
			{"attribute-types", []object{attributeClaim("c1", "text", "String", nil),
				attributeClaim("c2", "number", "long", nil), attributeClaim("c3", "number", "int",
					nil),
				attributeClaim("c4", "flag", "boolean", nil),
				attributeClaim("c5", "json", "JSON", nil),
				attributeClaim("c6", "number", "String", nil),
				attributeClaim("c7", "large", "long", nil)},
				nil},
			{"attribute-invalid-values",
				[]object{attributeClaim("c1", "text", "boolean", nil),
					attributeClaim("c2", "text", "JSON", nil), attributeClaim("c3", "missing",
						"String", nil),
					attributeClaim("c4", "empty", "String", nil),
					attributeClaim("c5", "text", "", nil)}, nil},
			{"attribute-no-number",
				[]object{attributeClaim("c1", "text", "long", nil),
					attributeClaim("c2", "number", "String", nil)}, nil},
			{"attribute-multivalued",
				[]object{attributeClaim("c1", "many", "String", multivalued),
					attributeClaim("c2", "many", "String", nil), attributeClaim("c3", "text",
						"String", multivalued),
					attributeClaim("c4", "numbers", "long", multivalued),
					attributeClaim("c5", "missing", "String", multivalued)}, nil},
			{"attribute-nested",
				[]object{attributeClaim("nest.inner", "text", "String", nil),
					attributeClaim("nest.deep.number", "number", "long", nil),
					attributeClaim(`dotted\.name`, "text", "String", nil),
					attributeClaim("https://claims\\.example/x", "text", "String", nil)},
				[]string{"nest", "dotted.name", "https://claims.example/x"}},
			{"attribute-switches",
				[]object{attributeClaim("c1", "text", "String", onlyTarget("access.token.claim")),
					attributeClaim("c2", "text", "String", onlyTarget("id.token.claim")),
					attributeClaim("c3", "text", "String", onlyTarget("userinfo.token.claim")),
					attributeClaim("c4", "text", "String", onlyTarget("")),
					mapperJSON("c5", "oidc-usermodel-attribute-mapper",
						object{"claim.name": "c5", "user.attribute": "text",
							"jsonType.label": "String"})}, nil},
			// A mapper for a missing attribute writes no claim, and some of Keycloak's own claims
			// can't be overwritten. Two mappers for the same claim aren't tested: either may win.
			{"attribute-existing-claims",
				[]object{attributeClaim("typ", "text", "String", nil),
					attributeClaim("iss", "text", "String", nil),
					attributeClaim("preferred_username", "missing", "String", nil)},
				[]string{"typ", "iss", "preferred_username"}},
			{"attribute-of-groups",
				[]object{attributeClaim("c1", "team", "String", nil),
					attributeClaim("c2", "team", "String",
						object{"multivalued": "true", "aggregate.attrs": "true"}),
					attributeClaim("c3", "text", "String", nil)}, nil},
			{"properties", []object{propertyClaim("c1", "username"), propertyClaim("c2", "email"),
				propertyClaim("c3", "firstName"), propertyClaim("c4",
					"emailVerified"), propertyClaim("c5", "id"),
				propertyClaim("c6", "text")}, nil},
			{"hardcoded-claims",
				[]object{hardcodedClaim("c1", "fixed", "String"), hardcodedClaim("c2", "7", "long"),
					hardcodedClaim("c3", "true", "boolean"), hardcodedClaim("c4", `{"a":[1,2]}`,
						"JSON"),
					hardcodedClaim("nest.fixed", "x", "String")},
				[]string{"c1", "c2", "c3", "c4", "nest"}},
			{"hardcoded-roles", []object{mapperJSON("r1", "oidc-hardcoded-role-mapper",
				object{"role": "given"}),
				mapperJSON("r2", "oidc-hardcoded-role-mapper", object{"role": "spa.reader"})},
				[]string{"realm_access", "resource_access", "aud"}},
			{"renamed-roles", []object{mapperJSON("r1", "oidc-role-name-mapper",
				object{"role": "worker", "new.role.name": "renamed"}),
				mapperJSON("r2", "oidc-role-name-mapper",
					object{"role": "spa.writer", "new.role.name": "renamed-writer"})},
				[]string{"realm_access", "resource_access"}},
			{"realm-roles", []object{realmRolesClaim("c1", multivalued),
				realmRolesClaim("c2",
					merge(multivalued, object{"usermodel.realmRoleMapping.rolePrefix": "R_"})),
				realmRolesClaim("nest.roles", multivalued)}, []string{"c1", "c2", "nest"}},
			{"client-roles", []object{clientRolesClaim("c1",
				merge(multivalued, object{"usermodel.clientRoleMapping.clientId": "spa"})),
				clientRolesClaim("c2",
					merge(multivalued,
						object{"usermodel.clientRoleMapping.clientId": "spa",
							"usermodel.clientRoleMapping.rolePrefix": "C_"})),
				clientRolesClaim("c3",
					merge(multivalued, object{"usermodel.clientRoleMapping.clientId": "api"})),
				clientRolesClaim("by.${client_id}.roles", multivalued),
				clientRolesClaim("c4", object{"usermodel.clientRoleMapping.clientId": "spa"})},
				[]string{"c1", "c2", "c3", "c4", "by"}},
			{"groups", []object{groupsClaim("c1", object{"full.path": "true"}),
				groupsClaim("c2", object{"full.path": "false"}), groupsClaim("c3", nil)}, nil},
			{"full-name", []object{mapperJSON("c1", "oidc-full-name-mapper", allTargets)},
				[]string{"name"}},
			{"session-notes", []object{sessionNoteClaim("c1", "clientId", "String"),
				sessionNoteClaim("auth_time", "AUTH_TIME", "long"), sessionNoteClaim("c3",
					"missing", "String")}, nil},
		}
		unknownMapper := mapperCase{"unknown-mapper",
			[]object{mapperJSON("c1", "oidc-no-such-mapper", allTargets),
				attributeClaim("c2", "text", "String", nil)}, nil}
		// Keycloak ignores an unknown mapper. The fake rejects the file.
		if suite.kc.name() == "keycloak" {
			cases = append(cases, unknownMapper)
		} else {
			suite.registerForServer("keycloak", unknownMapper.client)
		}
		var clients []object
		for _, c := range cases {
			clients = append(clients, clientJSON(c.client, object{"protocolMappers": c.mappers}))
		}
		r := suite.addRealm(realmJSON(merge(unmanagedAttributes(), object{
			"roles": object{
				"realm":  []object{{"name": "given"}, {"name": "worker"}},
				"client": object{"spa": []object{{"name": "reader"}, {"name": "writer"}}},
			},
			"groups": []object{{"name": "staff",
				"attributes": object{"team": []string{"blue"}, "text": []string{"of the group"}},
				"subGroups": []object{{"name": "leads",
					"attributes": object{"team": []string{"red"}}}}}, {"name": "other"}},
		}), clients...))
		userFields := object{"groups": []string{"/staff/leads", "/other"}, "attributes": object{
			"text": []string{"a text"}, "number": []string{"42"},
			"large": []string{"9007199254740993"}, "flag": []string{"true"},
			"json": []string{`{"k":[1,"two",null]}`},
			"many": []string{"one", "two"}, "numbers": []string{"1", "2"}, "empty": []string{""},
		}}
		for _, c := range cases {
			names := c.claims
			if names == nil {
				for _, m := range c.mappers {
					names = append(names, m["name"].(string))
				}
			}
			suite.add(c.client, func(s *scenario) {
				u := s.addUser(r, userFields)
				s.must(s.kc.grantRole(u.userRef, roleRef{name: "worker"}))
				s.must(s.kc.grantRole(u.userRef, roleRef{"spa", "writer"}))
				resp := s.login(u, clientParams(c.client)...)
				if c.client == "session-notes" {
					// The session of a password grant has no notes: record that its token lacks the
					// claims. Then sign in with a code, because that session has notes.
					s.recordClaims(resp, "access_token", names...)
					resp = s.token(r,
						codeGrant(
							s.code(u, "client_id", c.client), clientParams(c.client)...)).mustOK()
				}
				s.recordClaims(resp, "access_token", names...)
				s.recordClaims(resp, "id_token", names...)
				info := s.userinfo(r, resp)
				s.recordOutcome("userinfo", info)
				s.recordFields(info, names...)
			})
		}
	})
}

// scopesJSON returns the part of a realm file that adds client scopes. It also lists Keycloak's
// built-in scopes and the default scopes of clients, because a file that lists client scopes
// replaces them.
func scopesJSON(scopes ...object) object {
	return object{
		"clientScopes":                append(builtinScopes(), scopes...),
		"defaultDefaultClientScopes":  builtinDefaultScopes,
		"defaultOptionalClientScopes": builtinOptionalScopes,
	}
}

// builtinScopes returns the parts of Keycloak's built-in client scopes that these tests use.
func builtinScopes() []object {
	attributeClaim := func(claim, attributeName string) object {
		return mapperJSON(claim, "oidc-usermodel-attribute-mapper",
			merge(allTargets,
				object{"claim.name": claim, "user.attribute": attributeName,
					"jsonType.label": "String"}))
	}
	booleanClaim := func(claim, mapperType, attributeName string) object {
		return mapperJSON(claim, mapperType,
			merge(allTargets,
				object{"claim.name": claim, "user.attribute": attributeName,
					"jsonType.label": "boolean"}))
	}
	return []object{
		scopeJSON("basic", "false",
			mapperJSON("sub", "oidc-sub-mapper", object{"access.token.claim": "true"}),
			mapperJSON("auth_time", "oidc-usersessionmodel-note-mapper",
				merge(allTargets,
					object{"claim.name": "auth_time", "user.session.note": "AUTH_TIME",
						"jsonType.label": "long"}))),
		scopeJSON("acr", "false",
			mapperJSON("acr loa level", "oidc-acr-mapper",
				object{"id.token.claim": "true", "access.token.claim": "true"})),
		scopeJSON("web-origins", "false",
			mapperJSON("allowed web origins", "oidc-allowed-origins-mapper",
				object{"access.token.claim": "true"})),
		scopeJSON("roles", "false",
			mapperJSON("realm roles", "oidc-usermodel-realm-role-mapper",
				object{"claim.name": "realm_access.roles", "jsonType.label": "String",
					"multivalued": "true", "access.token.claim": "true"}),
			mapperJSON("client roles", "oidc-usermodel-client-role-mapper",
				object{"claim.name": "resource_access.${client_id}.roles",
					"jsonType.label": "String", "multivalued": "true",
					"access.token.claim": "true"}),
			mapperJSON("audience resolve", "oidc-audience-resolve-mapper",
				object{"access.token.claim": "true"})),
		scopeJSON("profile", "true", mapperJSON("full name", "oidc-full-name-mapper", allTargets),
			attributeClaim("given_name", "firstName"), attributeClaim("family_name", "lastName"),
			attributeClaim("preferred_username", "username"),
			attributeClaim("nickname", "nickname"), attributeClaim("website", "website"),
			attributeClaim("locale", "locale")),
		scopeJSON("email", "true", attributeClaim("email", "email"),
			booleanClaim("email_verified", "oidc-usermodel-property-mapper", "emailVerified")),
		scopeJSON("address", "true",
			mapperJSON("address", "oidc-address-mapper", merge(allTargets, object{
				"user.attribute.street": "street", "user.attribute.locality": "locality",
				"user.attribute.postal_code": "postal_code",
				"user.attribute.country":     "country", "user.attribute.region": "region",
				"user.attribute.formatted": "formatted",
			}))),
		scopeJSON("phone", "true", attributeClaim("phone_number", "phoneNumber"),
			booleanClaim("phone_number_verified", "oidc-usermodel-attribute-mapper",
				"phoneNumberVerified")),
		scopeJSON("microprofile-jwt", "true", attributeClaim("upn", "username"),
			mapperJSON("groups", "oidc-usermodel-realm-role-mapper",
				merge(allTargets,
					object{"claim.name": "groups", "jsonType.label": "String",
						"multivalued": "true"}))),
		scopeJSON("offline_access", "true"),
	}
}

// scopeJSON returns a client scope for a realm file.
func scopeJSON(name, includeInTokenScope string, mappers ...object) object {
	return object{"name": name, "protocol": "openid-connect",
		"attributes":      object{"include.in.token.scope": includeInTokenScope},
		"protocolMappers": mappers}
}
