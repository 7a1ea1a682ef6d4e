package contract

import (
	"encoding/json"
	"testing"
)

var (
	builtinDefaults  = []string{"web-origins", "acr", "profile", "roles", "basic", "email"}
	builtinOptionals = []string{"address", "phone", "offline_access", "microprofile-jwt"}
)

// unmanagedAttributes returns the component that the console's setting "Unmanaged Attributes"
// writes. Without it, the Admin API silently drops attributes that aren't in the user profile, such
// as phoneNumber, which the built-in scope phone uses. An import keeps them. The Admin API always
// drops "locale", because Keycloak adds it to the profile only in realms with internationalization.
func unmanagedAttributes() object {
	permissions := object{"view": []string{"admin", "user"}, "edit": []string{"admin", "user"}}
	attribute := func(name string) object {
		return object{"name": name, "permissions": permissions}
	}
	profile, _ := json.Marshal(object{
		"attributes": []object{attribute("username"), attribute("email"),
			attribute("firstName"), attribute("lastName")},
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
	run(t, "mappers", func(g *group) {
		attribute := func(claim, attribute, jsonType string, extra object) object {
			return mapperFile(claim, "oidc-usermodel-attribute-mapper",
				merge(merge(allTargets, object{
					"claim.name": claim, "user.attribute": attribute, "jsonType.label": jsonType,
				}), extra))
		}
		hardcoded := func(claim, value, jsonType string) object {
			return mapperFile(claim, "oidc-hardcoded-claim-mapper",
				merge(allTargets,
					object{"claim.name": claim, "claim.value": value,
						"jsonType.label": jsonType}))
		}
		property := func(claim, name string) object {
			return mapperFile(claim, "oidc-usermodel-property-mapper",
				merge(allTargets,
					object{"claim.name": claim, "user.attribute": name,
						"jsonType.label": "String"}))
		}
		multivalued := object{"multivalued": "true"}
		onlyIn := func(target string) object {
			switches := object{"access.token.claim": "false", "id.token.claim": "false",
				"userinfo.token.claim": "false"}
			if target != "" {
				switches[target] = "true"
			}
			return switches
		}
		realmRoles := func(claim string, extra object) object {
			return mapperFile(claim, "oidc-usermodel-realm-role-mapper",
				merge(merge(allTargets, object{"claim.name": claim, "jsonType.label": "String"}),
					extra))
		}
		clientRoles := func(claim string, extra object) object {
			return mapperFile(claim, "oidc-usermodel-client-role-mapper",
				merge(merge(allTargets, object{"claim.name": claim, "jsonType.label": "String"}),
					extra))
		}
		groups := func(claim string, extra object) object {
			return mapperFile(claim, "oidc-group-membership-mapper",
				merge(merge(allTargets, object{"claim.name": claim}), extra))
		}
		note := func(claim, note, jsonType string) object {
			return mapperFile(claim, "oidc-usersessionmodel-note-mapper",
				merge(allTargets,
					object{"claim.name": claim, "user.session.note": note,
						"jsonType.label": jsonType}))
		}

		type mapperCase struct {
			client  string
			mappers []object
			claims  []string // to record; nil means the names of the mappers
		}
		cases := []mapperCase{
			{"attribute-types", []object{attribute("c1", "text", "String", nil), attribute("c2", "number", "long", nil), attribute("c3", "number", "int", nil),
				attribute("c4", "flag", "boolean", nil), attribute("c5", "json", "JSON", nil),
				attribute("c6", "number", "String", nil), attribute("c7", "large", "long", nil)},
				nil},
			{"attribute-invalid-values", []object{attribute("c1", "text", "boolean", nil), attribute("c2", "text", "JSON", nil), attribute("c3", "missing", "String", nil),
				attribute("c4", "empty", "String", nil), attribute("c5", "text", "", nil)}, nil},
			{"attribute-no-number", []object{attribute("c1", "text", "long", nil), attribute("c2", "number", "String", nil)}, nil},
			{"attribute-multivalued", []object{attribute("c1", "many", "String", multivalued), attribute("c2", "many", "String", nil), attribute("c3", "text", "String", multivalued),
				attribute("c4", "numbers", "long", multivalued),
				attribute("c5", "missing", "String", multivalued)}, nil},
			{"attribute-nested", []object{attribute("nest.inner", "text", "String", nil), attribute("nest.deep.number", "number", "long", nil),
				attribute(`dotted\.name`, "text", "String", nil),
				attribute("https://claims\\.example/x", "text", "String", nil)},
				[]string{"nest", "dotted.name", "https://claims.example/x"}},
			{"attribute-switches", []object{attribute("c1", "text", "String", onlyIn("access.token.claim")), attribute("c2", "text", "String", onlyIn("id.token.claim")),
				attribute("c3", "text", "String", onlyIn("userinfo.token.claim")),
				attribute("c4", "text", "String", onlyIn("")),
				mapperFile("c5", "oidc-usermodel-attribute-mapper",
					object{"claim.name": "c5", "user.attribute": "text",
						"jsonType.label": "String"})}, nil},
			// A mapper of a missing attribute writes no claim, and some of Keycloak's own claims
			// can't be overwritten. Two mappers for the same claim aren't tested: either may win.
			{"attribute-existing-claims", []object{attribute("typ", "text", "String", nil), attribute("iss", "text", "String", nil),
				attribute("preferred_username", "missing", "String", nil)},
				[]string{"typ", "iss", "preferred_username"}},
			{"attribute-of-groups", []object{attribute("c1", "team", "String", nil), attribute("c2", "team", "String", object{"multivalued": "true", "aggregate.attrs": "true"}),
				attribute("c3", "text", "String", nil)}, nil},
			{"properties", []object{property("c1", "username"), property("c2", "email"), property("c3", "firstName"), property("c4", "emailVerified"), property("c5", "id"),
				property("c6", "text")}, nil},
			{"hardcoded-claims", []object{hardcoded("c1", "fixed", "String"), hardcoded("c2", "7", "long"), hardcoded("c3", "true", "boolean"), hardcoded("c4", `{"a":[1,2]}`, "JSON"),
				hardcoded("nest.fixed", "x", "String")}, []string{"c1", "c2", "c3", "c4", "nest"}},
			{"hardcoded-roles", []object{mapperFile("r1", "oidc-hardcoded-role-mapper", object{"role": "given"}), mapperFile("r2", "oidc-hardcoded-role-mapper", object{"role": "spa.reader"})},
				[]string{"realm_access", "resource_access", "aud"}},
			{"renamed-roles", []object{mapperFile("r1", "oidc-role-name-mapper", object{"role": "worker", "new.role.name": "renamed"}),
				mapperFile("r2", "oidc-role-name-mapper",
					object{"role": "spa.writer", "new.role.name": "renamed-writer"})},
				[]string{"realm_access", "resource_access"}},
			{"realm-roles", []object{realmRoles("c1", multivalued), realmRoles("c2", merge(multivalued, object{"usermodel.realmRoleMapping.rolePrefix": "R_"})),
				realmRoles("nest.roles", multivalued)}, []string{"c1", "c2", "nest"}},
			{"client-roles", []object{clientRoles("c1", merge(multivalued, object{"usermodel.clientRoleMapping.clientId": "spa"})),
				clientRoles("c2",
					merge(multivalued,
						object{"usermodel.clientRoleMapping.clientId": "spa",
							"usermodel.clientRoleMapping.rolePrefix": "C_"})),
				clientRoles("c3",
					merge(multivalued, object{"usermodel.clientRoleMapping.clientId": "api"})),
				clientRoles("by.${client_id}.roles", multivalued),
				clientRoles("c4", object{"usermodel.clientRoleMapping.clientId": "spa"})},
				[]string{"c1", "c2", "c3", "c4", "by"}},
			{"groups", []object{groups("c1", object{"full.path": "true"}), groups("c2", object{"full.path": "false"}), groups("c3", nil)}, nil},
			{"full-name", []object{mapperFile("c1", "oidc-full-name-mapper", allTargets)}, []string{"name"}},
			{"session-notes", []object{note("c1", "clientId", "String"), note("auth_time", "AUTH_TIME", "long"), note("c3", "missing", "String")}, nil},
		}
		unknownMapper := mapperCase{"unknown-mapper",
			[]object{mapperFile("c1", "oidc-no-such-mapper", allTargets),
				attribute("c2", "text", "String", nil)}, nil}
		// Keycloak ignores an unknown mapper. The fake rejects the file.
		if g.kc.name() == "keycloak" {
			cases = append(cases, unknownMapper)
		} else {
			g.scenarioOn("keycloak", unknownMapper.client, nil)
		}
		var clients []object
		for _, c := range cases {
			clients = append(clients, clientFile(c.client, object{"protocolMappers": c.mappers}))
		}
		r := g.realm(realmFile(merge(unmanagedAttributes(), object{
			"roles": object{
				"realm":  []object{{"name": "given"}, {"name": "worker"}},
				"client": object{"spa": []object{{"name": "reader"}, {"name": "writer"}}},
			},
			"groups": []object{{"name": "staff",
				"attributes": object{"team": []string{"blue"}, "text": []string{"of the group"}},
				"subGroups": []object{{"name": "leads",
					"attributes": object{"team": []string{"red"}}}}}, {"name": "other"}},
		}), clients...))
		settings := object{"groups": []string{"/staff/leads", "/other"}, "attributes": object{
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
			g.scenario(c.client, func(s *scenario) {
				u := s.user(r, settings)
				s.must(s.kc.grantRole(u.userRef, roleRef{name: "worker"}))
				s.must(s.kc.grantRole(u.userRef, roleRef{"spa", "writer"}))
				resp := s.login(u, credsOf(c.client)...)
				if c.client == "session-notes" { // the session of a password grant has no notes
					s.showClaims(resp, "access_token", names...)
					resp = s.token(r,
						codeGrant(s.code(u, "client_id", c.client), credsOf(c.client)...)).ok()
				}
				s.showClaims(resp, "access_token", names...)
				s.showClaims(resp, "id_token", names...)
				info := s.get(r.oidc("/userinfo"), "Authorization",
					"Bearer "+resp.field("access_token"))
				s.outcome("userinfo", info)
				s.showFields(info, names...)
			})
		}
	})
}

// scopesFile returns the part of a realm file that adds client scopes. It also lists Keycloak's
// built-in scopes and the default scopes of clients, because a file with client scopes replaces
// them.
func scopesFile(scopes ...object) object {
	return object{
		"clientScopes":                append(builtinScopes(), scopes...),
		"defaultDefaultClientScopes":  builtinDefaults,
		"defaultOptionalClientScopes": builtinOptionals,
	}
}

// builtinScopes returns the parts of Keycloak's built-in client scopes that these tests use.
func builtinScopes() []object {
	attribute := func(claim, name string) object {
		return mapperFile(claim, "oidc-usermodel-attribute-mapper",
			merge(allTargets,
				object{"claim.name": claim, "user.attribute": name, "jsonType.label": "String"}))
	}
	scope := func(name, included string, mappers ...object) object {
		return object{"name": name, "protocol": "openid-connect",
			"attributes": object{"include.in.token.scope": included}, "protocolMappers": mappers}
	}
	flag := func(claim, mapper, name string) object {
		return mapperFile(claim, mapper,
			merge(allTargets,
				object{"claim.name": claim, "user.attribute": name, "jsonType.label": "boolean"}))
	}
	return []object{
		scope("basic", "false",
			mapperFile("sub", "oidc-sub-mapper", object{"access.token.claim": "true"}),
			mapperFile("auth_time", "oidc-usersessionmodel-note-mapper",
				merge(allTargets,
					object{"claim.name": "auth_time", "user.session.note": "AUTH_TIME",
						"jsonType.label": "long"}))),
		scope("acr", "false",
			mapperFile("acr loa level", "oidc-acr-mapper",
				object{"id.token.claim": "true", "access.token.claim": "true"})),
		scope("web-origins", "false",
			mapperFile("allowed web origins", "oidc-allowed-origins-mapper",
				object{"access.token.claim": "true"})),
		scope("roles", "false",
			mapperFile("realm roles", "oidc-usermodel-realm-role-mapper",
				object{"claim.name": "realm_access.roles", "jsonType.label": "String",
					"multivalued": "true", "access.token.claim": "true"}),
			mapperFile("client roles", "oidc-usermodel-client-role-mapper",
				object{"claim.name": "resource_access.${client_id}.roles",
					"jsonType.label": "String", "multivalued": "true",
					"access.token.claim": "true"}),
			mapperFile("audience resolve", "oidc-audience-resolve-mapper",
				object{"access.token.claim": "true"})),
		scope("profile", "true", mapperFile("full name", "oidc-full-name-mapper", allTargets),
			attribute("given_name", "firstName"), attribute("family_name", "lastName"),
			attribute("preferred_username", "username"), attribute("nickname", "nickname"),
			attribute("website", "website"), attribute("locale", "locale")),
		scope("email", "true", attribute("email", "email"),
			flag("email_verified", "oidc-usermodel-property-mapper", "emailVerified")),
		scope("address", "true",
			mapperFile("address", "oidc-address-mapper", merge(allTargets, object{
				"user.attribute.street": "street", "user.attribute.locality": "locality",
				"user.attribute.postal_code": "postal_code",
				"user.attribute.country":     "country", "user.attribute.region": "region",
				"user.attribute.formatted": "formatted",
			}))),
		scope("phone", "true", attribute("phone_number", "phoneNumber"),
			flag("phone_number_verified", "oidc-usermodel-attribute-mapper",
				"phoneNumberVerified")),
		scope("microprofile-jwt", "true", attribute("upn", "username"),
			mapperFile("groups", "oidc-usermodel-realm-role-mapper",
				merge(allTargets,
					object{"claim.name": "groups", "jsonType.label": "String",
						"multivalued": "true"}))),
		scope("offline_access", "true"),
	}
}
