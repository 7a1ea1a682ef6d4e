package contract

import "testing"

// All claims of all kinds of tokens.
func TestClaims(t *testing.T) {
	run(t, "claims", func(g *group) {
		light := object{"attributes": object{"client.use.lightweight.access.token.enabled": "true"}}
		r := g.realm(realmFile(nil,
			clientFile("light", light),
			clientFile("stepped",
				object{"attributes": object{"acr.loa.map": `{"silver":"1","gold":"2"}`}}),
			clientFile("plain", object{"webOrigins": []string{}}),
		))
		g.exchange("lightweight", func(x *exchange) {
			x.show(x.login(x.user(r, nil), "client_id", "light", "client_secret", "light-secret"))
		})
		g.exchange("lightweight, code flow", func(x *exchange) {
			u := x.user(r, nil)
			a := x.token(r,
				codeGrant(x.code(u, "client_id", "light", "nonce", "n-1"), "client_id", "light",
					"client_secret", "light-secret")).ok()
			x.showToken(a, "access_token")
			x.showToken(a, "id_token")
		})
		g.exchange("lightweight refresh", func(x *exchange) {
			login := x.login(x.user(r, nil), "client_id", "light", "client_secret", "light-secret")
			x.showToken(x.refresh(r, login, "client_id", "light", "client_secret",
				"light-secret").ok(), "access_token")
		})
		g.exchange("code flow", func(x *exchange) {
			a := x.token(r, codeGrant(x.code(x.user(r, nil), "nonce", "n-1"))).ok()
			x.showToken(a, "access_token")
			x.showToken(a, "id_token")
			x.showToken(a, "refresh_token")
		})
		g.exchange("offline", func(x *exchange) {
			x.showBody(x.login(x.user(r, nil), "scope", "openid offline_access"))
		})
		g.exchange("no web origins", func(x *exchange) {
			x.showClaims(x.login(x.user(r, nil), "client_id", "plain", "client_secret",
				"plain-secret"), "access_token", "azp", "allowed-origins")
		})
		g.exchange("acr by name", func(x *exchange) {
			login := x.login(x.user(r, nil), "client_id", "stepped", "client_secret",
				"stepped-secret")
			again := x.refresh(r, login, "client_id", "stepped", "client_secret",
				"stepped-secret").ok()
			for _, a := range []response{login, again} {
				x.showClaims(a, "access_token", "acr")
				x.showClaims(a, "id_token", "acr")
			}
		})
		g.exchange("acr after single sign-on", func(x *exchange) {
			u := x.user(r, nil)
			b := x.browser()
			first := x.token(r, codeGrant(b.login(u).redirected().Get("code"))).ok()
			second := x.token(r, codeGrant(b.open(r.authURL()).redirected().Get("code"))).ok()
			x.showClaims(first, "access_token", "acr")
			x.showClaims(second, "access_token", "acr")
			x.note("same session: %t",
				first.field("session_state") == second.field("session_state"))
		})
		g.exchange("names", func(x *exchange) {
			for _, settings := range []object{
				{"emailVerified": true},
				{"firstName": "Zoë", "lastName": "O'Neil-Ní Ñ"},
				{"firstName": "  Two  ", "lastName": "Spaces "},
			} {
				x.showClaims(x.login(x.user(r, settings)), "id_token", "name", "given_name",
					"family_name", "email_verified")
			}
		})
		lax := g.realm(laxRealm())
		g.exchange("missing e-mail and names", func(x *exchange) {
			for _, settings := range []object{{"email": nil}, {"firstName": nil}, {"lastName": nil},
				{"firstName": nil, "lastName": nil, "email": nil}} {
				a := x.login(x.user(lax, settings))
				x.showClaims(a, "id_token", "name", "given_name", "family_name", "email",
					"email_verified", "preferred_username")
			}
		})
	})
}

// The audience of access tokens, from roles and mappers.
func TestAudience(t *testing.T) {
	run(t, "audience", func(g *group) {
		custom := func(name string, config object) object {
			return mapperFile(name, "oidc-audience-mapper",
				merge(object{"access.token.claim": "true"}, config))
		}
		mapped := func(id string, mappers ...object) object {
			return clientFile(id, object{"protocolMappers": mappers})
		}
		r := g.realm(realmFile(object{"roles": object{"client": object{
			"api": []object{{"name": "reader"}},
			"spa": []object{{"name": "reader"}, {"name": "writer"}},
		}}},
			mapped("itself", audienceMapper("itself")),
			mapped("another", audienceMapper("spa")),
			mapped("custom",
				custom("custom", object{"included.custom.audience": "https://api.example"})),
			mapped("both-in-one",
				custom("both",
					object{"included.client.audience": "spa",
						"included.custom.audience": "https://api.example"})),
			mapped("two", audienceMapper("two"),
				custom("custom", object{"included.custom.audience": "https://api.example"})),
			mapped("missing", audienceMapper("no-such-client")),
			mapped("in-id-token",
				custom("id",
					object{"included.client.audience": "spa", "id.token.claim": "true",
						"access.token.claim": "false"})),
			mapped("off",
				custom("off",
					object{"included.client.audience": "spa", "access.token.claim": "false"})),
		))
		audience := func(name, client string, prepare func(*exchange, *user)) {
			g.exchange(name, func(x *exchange) {
				u := x.user(r, nil)
				if prepare != nil {
					prepare(x, u)
				}
				a := x.login(u, "client_id", client, "client_secret", client+"-secret")
				x.showClaims(a, "access_token", "aud", "azp", "resource_access")
				x.showClaims(a, "id_token", "aud")
				x.showClaims(a, "refresh_token", "aud", "aud_x")
			})
		}
		grant := func(roles ...roleRef) func(*exchange, *user) {
			return func(x *exchange, u *user) {
				for _, role := range roles {
					x.must(x.kc.grantRole(u.userRef, role))
				}
			}
		}
		withoutDefaults := func(x *exchange, u *user) {
			x.must(x.kc.revokeRole(u.userRef, roleRef{name: "default-roles-" + r.name}))
		}
		audience("default roles", "api", nil)
		audience("no roles", "api", withoutDefaults)
		audience("no roles, with a mapper", "itself", withoutDefaults)
		audience("a role of another client", "api", grant(roleRef{"spa", "reader"}))
		audience("its own role and another client's", "api",
			grant(roleRef{"spa", "reader"}, roleRef{"spa", "writer"}, roleRef{"api", "reader"}))
		audience("its own role", "api", grant(roleRef{"api", "reader"}))
		for _, client := range []string{"itself", "another", "custom", "both-in-one", "two",
			"missing", "in-id-token", "off"} {
			audience("mapper: "+client, client, nil)
		}
		audience("mapper and role name the same client", "another", grant(roleRef{"spa", "reader"}))
		audience("view-users, a composite role", "api",
			grant(roleRef{"realm-management", "view-users"}))
	})
}

// The roles in access tokens: composites, roles of groups, and the scope of the client.
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
		roles := func(name, client string, groups []string, pairs []string, granted ...roleRef) {
			g.exchange(name, func(x *exchange) {
				u := x.user(r, object{"groups": groups})
				x.must(x.kc.revokeRole(u.userRef, roleRef{name: "default-roles-" + r.name}))
				for _, role := range granted {
					x.must(x.kc.grantRole(u.userRef, role))
				}
				a := x.login(u,
					append([]string{"client_id", client, "client_secret", client + "-secret"},
						pairs...)...)
				x.showClaims(a, "access_token", "aud", "realm_access", "resource_access")
			})
		}
		all := []roleRef{{"", "plain"}, {"", "seen"}, {"", "outer"}, {"spa", "reader"},
			{"spa", "writer"}, {"narrow", "own"}, {"api", "reader"}}
		roles("a realm role", "api", nil, nil, roleRef{"", "plain"})
		roles("special characters in a role name", "api", nil, nil, roleRef{"", "with spaces and ü"})
		roles("client roles", "api", nil, nil, roleRef{"api", "reader"}, roleRef{"spa", "writer"})
		roles("a composite of a composite", "api", nil, nil, roleRef{"", "outer"})
		roles("a client role with a realm role", "api", nil, nil, roleRef{"api", "lead"})
		roles("role of a group", "api", []string{"/staff"}, nil)
		roles("role of a parent group", "api", []string{"/staff/leads"}, nil)
		roles("roles of groups that the user has, too", "api", []string{"/staff", "/staff/leads"}, nil,
			roleRef{"", "plain"}, roleRef{"", "inner"})
		roles("client without full scope", "narrow", nil, nil, all...)
		roles("client without full scope, with a client scope", "narrow", nil,
			[]string{"scope", "openid seeing"}, all...)
		roles("client without full scope, no role in its scope", "narrow", nil, nil, roleRef{"", "plain"},
			roleRef{"spa", "reader"})
		roles("client without full scope, part of a composite", "narrow", nil, nil, roleRef{"", "innermost"})
	})
}

// Optional client scopes, and client scopes of the realm's own.
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
			realmFile(merge(attributesAllowed(),
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
		claims := func(name, client, scope string) {
			g.exchange(name, func(x *exchange) {
				u := x.user(r, attributes)
				a := x.login(u, "client_id", client, "client_secret", client+"-secret", "scope",
					scope)
				x.showMembers(a, "scope")
				x.showClaims(a, "access_token", names...)
				x.showClaims(a, "id_token", names...)
				x.showClaims(a, "refresh_token", "scope")
				x.showMembers(x.get(r.oidc("/userinfo"), "Authorization",
					"Bearer "+a.field("access_token")), names...)
			})
		}
		claims("none", "asked", "openid")
		claims("phone", "asked", "openid phone")
		claims("address", "asked", "openid address")
		claims("microprofile-jwt", "asked", "openid microprofile-jwt")
		claims("custom scope", "asked", "openid tenant")
		claims("not included in scope", "asked", "openid quiet")
		claims("default scope", "always", "openid")
		g.exchange("in discovery", func(x *exchange) {
			x.showMembers(x.get(r.url("/.well-known/openid-configuration")), "scopes_supported")
		})
		g.exchange("optional scope of another client", func(x *exchange) {
			x.outcome("scope=phone",
				x.token(r,
					passwordGrant(x.user(r, nil), "client_id", "always", "client_secret",
						"always-secret", "scope", "phone")))
		})
		g.exchange("address of a user without an address", func(x *exchange) {
			a := x.login(x.user(r, nil), "client_id", "asked", "client_secret", "asked-secret",
				"scope", "openid address phone")
			x.showClaims(a, "access_token", names...)
		})
	})
}
