package contract

import (
	"encoding/json"
	"testing"
)

var (
	builtinDefaults  = []string{"web-origins", "acr", "profile", "roles", "basic", "email"}
	builtinOptionals = []string{"address", "phone", "offline_access", "microprofile-jwt"}
)

// attributesAllowed returns the component that the console's setting "Unmanaged Attributes" writes.
// Without it, the Admin API silently drops attributes that aren't in the user profile, such as
// phoneNumber, which the built-in scope phone uses; an import doesn't. "locale" is dropped
// nevertheless: only in realms with internationalization, Keycloak adds it to the profile.
func attributesAllowed() object {
	names := object{"view": []string{"admin", "user"}, "edit": []string{"admin", "user"}}
	attribute := func(name string) object { return object{"name": name, "permissions": names} }
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

// everywhere makes a mapper write its claim to the access token, the ID token and userinfo.
var everywhere = object{"access.token.claim": "true", "id.token.claim": "true",
	"userinfo.token.claim": "true"}

// Protocol mappers of all types, one client for each.
func TestMappers(t *testing.T) {
	run(t, "mappers", func(g *group) {
		attribute := func(claim, attribute, kind string, more object) object {
			return mapperFile(claim, "oidc-usermodel-attribute-mapper",
				merge(merge(everywhere, object{
					"claim.name": claim, "user.attribute": attribute, "jsonType.label": kind,
				}), more))
		}
		hard := func(claim, value, kind string) object {
			return mapperFile(claim, "oidc-hardcoded-claim-mapper",
				merge(everywhere,
					object{"claim.name": claim, "claim.value": value, "jsonType.label": kind}))
		}
		property := func(claim, name string) object {
			return mapperFile(claim, "oidc-usermodel-property-mapper",
				merge(everywhere,
					object{"claim.name": claim, "user.attribute": name,
						"jsonType.label": "String"}))
		}
		many := object{"multivalued": "true"}
		only := func(where string) object {
			switches := object{"access.token.claim": "false", "id.token.claim": "false",
				"userinfo.token.claim": "false"}
			if where != "" {
				switches[where] = "true"
			}
			return switches
		}
		realmRoles := func(claim string, more object) object {
			return mapperFile(claim, "oidc-usermodel-realm-role-mapper",
				merge(merge(everywhere, object{"claim.name": claim, "jsonType.label": "String"}),
					more))
		}
		clientRoles := func(claim string, more object) object {
			return mapperFile(claim, "oidc-usermodel-client-role-mapper",
				merge(merge(everywhere, object{"claim.name": claim, "jsonType.label": "String"}),
					more))
		}
		groups := func(claim string, more object) object {
			return mapperFile(claim, "oidc-group-membership-mapper",
				merge(merge(everywhere, object{"claim.name": claim}), more))
		}
		note := func(claim, note, kind string) object {
			return mapperFile(claim, "oidc-usersessionmodel-note-mapper",
				merge(everywhere,
					object{"claim.name": claim, "user.session.note": note, "jsonType.label": kind}))
		}

		kinds := []struct {
			client  string
			mappers []object
			claims  []string // to record; nil: the names of the mappers
		}{
			{"attribute-types", []object{attribute("c1", "text", "String", nil), attribute("c2", "number", "long", nil), attribute("c3", "number", "int", nil),
				attribute("c4", "flag", "boolean", nil), attribute("c5", "json", "JSON", nil),
				attribute("c6", "number", "String", nil), attribute("c7", "large", "long", nil)},
				nil},
			{"attribute-invalid-values", []object{attribute("c1", "text", "boolean", nil), attribute("c2", "text", "JSON", nil), attribute("c3", "missing", "String", nil),
				attribute("c4", "empty", "String", nil), attribute("c5", "text", "", nil)}, nil},
			{"attribute-no-number", []object{attribute("c1", "text", "long", nil), attribute("c2", "number", "String", nil)}, nil},
			{"attribute-multivalued", []object{attribute("c1", "many", "String", many), attribute("c2", "many", "String", nil), attribute("c3", "text", "String", many),
				attribute("c4", "numbers", "long", many),
				attribute("c5", "missing", "String", many)}, nil},
			{"attribute-nested", []object{attribute("nest.inner", "text", "String", nil), attribute("nest.deep.number", "number", "long", nil),
				attribute(`dotted\.name`, "text", "String", nil),
				attribute("https://claims\\.example/x", "text", "String", nil)},
				[]string{"nest", "dotted.name", "https://claims.example/x"}},
			{"attribute-switches", []object{attribute("c1", "text", "String", only("access.token.claim")), attribute("c2", "text", "String", only("id.token.claim")),
				attribute("c3", "text", "String", only("userinfo.token.claim")),
				attribute("c4", "text", "String", only("")),
				mapperFile("c5", "oidc-usermodel-attribute-mapper",
					object{"claim.name": "c5", "user.attribute": "text",
						"jsonType.label": "String"})}, nil},
			// A missing attribute writes no claim, and some of Keycloak's own claims can't be
			// overwritten. Two mappers with a value for one claim aren't tested: either may win.
			{"attribute-existing-claims", []object{attribute("typ", "text", "String", nil), attribute("iss", "text", "String", nil),
				attribute("preferred_username", "missing", "String", nil)},
				[]string{"typ", "iss", "preferred_username"}},
			{"attribute-of-groups", []object{attribute("c1", "team", "String", nil), attribute("c2", "team", "String", object{"multivalued": "true", "aggregate.attrs": "true"}),
				attribute("c3", "text", "String", nil)}, nil},
			{"properties", []object{property("c1", "username"), property("c2", "email"), property("c3", "firstName"), property("c4", "emailVerified"), property("c5", "id"),
				property("c6", "text")}, nil},
			{"hardcoded-claims", []object{hard("c1", "fixed", "String"), hard("c2", "7", "long"), hard("c3", "true", "boolean"), hard("c4", `{"a":[1,2]}`, "JSON"),
				hard("nest.fixed", "x", "String")}, []string{"c1", "c2", "c3", "c4", "nest"}},
			{"hardcoded-roles", []object{mapperFile("r1", "oidc-hardcoded-role-mapper", object{"role": "given"}), mapperFile("r2", "oidc-hardcoded-role-mapper", object{"role": "spa.reader"})},
				[]string{"realm_access", "resource_access", "aud"}},
			{"renamed-roles", []object{mapperFile("r1", "oidc-role-name-mapper", object{"role": "worker", "new.role.name": "renamed"}),
				mapperFile("r2", "oidc-role-name-mapper",
					object{"role": "spa.writer", "new.role.name": "renamed-writer"})},
				[]string{"realm_access", "resource_access"}},
			{"realm-roles", []object{realmRoles("c1", many), realmRoles("c2", merge(many, object{"usermodel.realmRoleMapping.rolePrefix": "R_"})),
				realmRoles("nest.roles", many)}, []string{"c1", "c2", "nest"}},
			{"client-roles", []object{clientRoles("c1", merge(many, object{"usermodel.clientRoleMapping.clientId": "spa"})),
				clientRoles("c2",
					merge(many,
						object{"usermodel.clientRoleMapping.clientId": "spa",
							"usermodel.clientRoleMapping.rolePrefix": "C_"})),
				clientRoles("c3",
					merge(many, object{"usermodel.clientRoleMapping.clientId": "api"})),
				clientRoles("by.${client_id}.roles", many),
				clientRoles("c4", object{"usermodel.clientRoleMapping.clientId": "spa"})},
				[]string{"c1", "c2", "c3", "c4", "by"}},
			{"groups", []object{groups("c1", object{"full.path": "true"}), groups("c2", object{"full.path": "false"}), groups("c3", nil)}, nil},
			{"full-name", []object{mapperFile("c1", "oidc-full-name-mapper", everywhere)}, []string{"name"}},
			{"session-notes", []object{note("c1", "clientId", "String"), note("auth_time", "AUTH_TIME", "long"), note("c3", "missing", "String")}, nil},
		}
		unknown := struct {
			client  string
			mappers []object
			claims  []string
		}{"unknown-mapper",
			[]object{mapperFile("c1", "oidc-no-such-mapper", everywhere),
				attribute("c2", "text", "String", nil)}, nil}
		// Keycloak ignores an unknown mapper. The stand-in rejects the file.
		if g.kc.name() == "keycloak" {
			kinds = append(kinds, unknown)
		} else {
			g.only("keycloak", unknown.client, nil)
		}
		var clients []object
		for _, k := range kinds {
			clients = append(clients, clientFile(k.client, object{"protocolMappers": k.mappers}))
		}
		r := g.realm(realmFile(merge(attributesAllowed(), object{
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
		for _, k := range kinds {
			names := k.claims
			if names == nil {
				for _, m := range k.mappers {
					names = append(names, m["name"].(string))
				}
			}
			g.exchange(k.client, func(x *exchange) {
				u := x.user(r, settings)
				x.must(x.kc.grantRole(u.userRef, roleRef{name: "worker"}))
				x.must(x.kc.grantRole(u.userRef, roleRef{"spa", "writer"}))
				a := x.login(u, "client_id", k.client, "client_secret", k.client+"-secret")
				if k.client == "session-notes" { // a password grant has none
					x.showClaims(a, "access_token", names...)
					a = x.token(r,
						codeGrant(x.code(u, "client_id", k.client), "client_id", k.client,
							"client_secret", k.client+"-secret")).ok()
				}
				x.showClaims(a, "access_token", names...)
				x.showClaims(a, "id_token", names...)
				info := x.get(r.oidc("/userinfo"), "Authorization",
					"Bearer "+a.field("access_token"))
				x.outcome("userinfo", info)
				x.showMembers(info, names...)
			})
		}
	})
}

// scopesFile returns the part of a realm file that adds client scopes. It lists Keycloak's built-in
// scopes, too, and the default scopes of clients, because a file with client scopes replaces them.
func scopesFile(more ...object) object {
	return object{
		"clientScopes":                append(builtinScopes(), more...),
		"defaultDefaultClientScopes":  builtinDefaults,
		"defaultOptionalClientScopes": builtinOptionals,
	}
}

// builtinScopes returns the parts of Keycloak's built-in client scopes that these tests use.
func builtinScopes() []object {
	attribute := func(claim, name string) object {
		return mapperFile(claim, "oidc-usermodel-attribute-mapper",
			merge(everywhere,
				object{"claim.name": claim, "user.attribute": name, "jsonType.label": "String"}))
	}
	scope := func(name, included string, mappers ...object) object {
		return object{"name": name, "protocol": "openid-connect",
			"attributes": object{"include.in.token.scope": included}, "protocolMappers": mappers}
	}
	flag := func(claim, kind, name string) object {
		return mapperFile(claim, kind,
			merge(everywhere,
				object{"claim.name": claim, "user.attribute": name, "jsonType.label": "boolean"}))
	}
	return []object{
		scope("basic", "false",
			mapperFile("sub", "oidc-sub-mapper", object{"access.token.claim": "true"}),
			mapperFile("auth_time", "oidc-usersessionmodel-note-mapper",
				merge(everywhere,
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
		scope("profile", "true", mapperFile("full name", "oidc-full-name-mapper", everywhere),
			attribute("given_name", "firstName"), attribute("family_name", "lastName"),
			attribute("preferred_username", "username"), attribute("nickname", "nickname"),
			attribute("website", "website"), attribute("locale", "locale")),
		scope("email", "true", attribute("email", "email"),
			flag("email_verified", "oidc-usermodel-property-mapper", "emailVerified")),
		scope("address", "true",
			mapperFile("address", "oidc-address-mapper", merge(everywhere, object{
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
				merge(everywhere,
					object{"claim.name": "groups", "jsonType.label": "String",
						"multivalued": "true"}))),
		scope("offline_access", "true"),
	}
}
