package contract

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// Defaults of a realm file, and files that an import rejects.
func TestImport(t *testing.T) {
	run(t, "import", func(g *group) {
		person := func(name string, settings object) object {
			u := merge(object{
				"username": name, "enabled": true, "email": name + "@example.com",
				"firstName": "Test", "lastName": "User",
				"credentials": []object{{"type": "password", "value": "secret"}},
				"realmRoles":  []string{"default-roles-{realm}"},
			}, settings)
			maps.DeleteFunc(u, func(_ string, value any) bool { return value == nil })
			return u
		}
		users := func(list ...object) object { return object{"users": list} }
		// imported returns a user of the file of a realm.
		imported := func(r *realm, name string) *user {
			return &user{userRef{realm: r.name}, r, name}
		}
		// logins declares a realm with users, and a login of each.
		logins := func(prefix string, file object, list ...object) *realm {
			r := g.realm(realmFile(merge(file, users(list...)),
				object{"clientId": "bare", "secret": "bare-secret"},
				object{"clientId": "barest", "redirectUris": []string{callback}}))
			for _, u := range list {
				name := u["username"].(string)
				g.exchange(prefix+name, func(x *exchange) {
					a := x.token(r, passwordGrant(imported(r, name), "scope", "openid"))
					x.outcome("login", a)
					if a.status == 200 {
						x.showClaims(a, "access_token", "preferred_username", "aud", "realm_access",
							"resource_access", "groups", "scope")
					}
				})
			}
			return r
		}
		id := "6f0e5a52-0000-4c1b-9f62-" + randomHex(12) // unique in the whole server
		r := logins("user: ", nil,
			person("usual", nil), person("In-Upper-Case", nil), person("ab", nil),
			person("without-enabled", object{"enabled": nil}),
			person("without-roles", object{"realmRoles": nil}),
			person("with-a-temporary-password",
				object{
					"credentials": []object{{"type": "password", "value": "secret",
						"temporary": true}},
				}),
			person("with-a-required-action",
				object{"requiredActions": []string{"UPDATE_PASSWORD"}}),
			person("without-email", object{"email": nil}),
			person("with-a-bad-email", object{"email": "nope"}),
			person("without-first-name", object{"firstName": nil}),
			person("without-last-name", object{"lastName": nil}),
			person("with-unknown-roles", object{
				"realmRoles":  []string{"default-roles-{realm}", "no-such-role"},
				"clientRoles": object{"api": []string{"no-such-role"}, "spa": []string{"another"}},
			}),
			person("with-an-id", object{"id": id}),
		)
		logins("no required actions: ", object{"requiredActions": []object{}},
			person("without-names", object{"email": nil, "firstName": nil, "lastName": nil}))
		logins("VERIFY_PROFILE is off: ", object{"requiredActions": []object{
			{"alias": "VERIFY_PROFILE", "name": "Verify Profile", "providerId": "VERIFY_PROFILE", "enabled": false, "defaultAction": false, "priority": 100, "config": object{}},
		}}, person("without-names", object{"email": nil, "firstName": nil, "lastName": nil}))
		grouped := logins("groups and a default role: ", object{
			"groups":        []object{{"name": "staff", "subGroups": []object{{"name": "leads"}}}},
			"defaultGroups": []string{"/staff"},
			"clients": []object{clientFile("api",
				object{
					"protocolMappers": []object{mapperFile("groups", "oidc-group-membership-mapper",
						merge(everywhere, object{"claim.name": "groups", "full.path": "true"}))},
				})},
			"defaultRole": object{"name": "default-roles-{realm}", "composite": true},
			"roles": object{"realm": []object{
				{"name": "member"}, {"name": "default-roles-{realm}", "composite": true, "composites": object{"realm": []string{"member"}}},
			}},
		}, person("of-the-file", object{"groups": []string{"/staff/leads"}}),
			person("of-the-file-without-groups", nil))
		g.exchange("groups and a default role: added later", func(x *exchange) {
			x.showClaims(x.login(x.user(grouped, nil)), "access_token", "groups", "realm_access")
		})
		g.exchange("offline access without default roles", func(x *exchange) {
			x.outcome("login",
				x.token(r,
					passwordGrant(imported(r, "without-roles"), "scope", "offline_access")))
		})
		g.exchange("user ID", func(x *exchange) {
			x.placeholder("{given id}", id)
			x.showClaims(x.login(imported(r, "with-an-id")), "access_token", "sub")
		})
		g.exchange("client without flags", func(x *exchange) {
			u := x.user(r, nil)
			x.outcome("password grant",
				x.token(r,
					passwordGrant(u, "client_id", "bare", "client_secret", "bare-secret")))
			x.outcome("client credentials",
				x.token(r, with(secretOf("bare"), "grant_type", "client_credentials")))
			x.outcome("without its secret",
				x.token(r, form("client_id", "barest", "grant_type", "client_credentials")))
			x.outcome("code flow", x.browser().open(r.authURL("client_id", "barest")))
		})
		g.exchange("realm without enabled", func(x *exchange) {
			r := x.realm(realmFile(object{"enabled": nil}))
			x.outcome("token", x.token(r, secretOf("api")))
		})
		g.exchange("attributes not in the profile", func(x *exchange) {
			attributes := object{"text": []string{"a text"}, "phoneNumber": []string{"+44"},
				"locale": []string{"en"}}
			mapper := mapperFile("text", "oidc-usermodel-attribute-mapper",
				merge(everywhere,
					object{"claim.name": "text", "user.attribute": "text",
						"jsonType.label": "String"}))
			for _, allowed := range []object{nil, attributesAllowed()} {
				r := x.realm(
					realmFile(merge(allowed,
						users(person("ann", object{"attributes": attributes}))),
						clientFile("mapped", object{"protocolMappers": []object{mapper}})))
				for _, u := range []*user{imported(r, "ann"),
					x.user(r, object{"attributes": attributes})} {
					x.showClaims(x.login(u, "client_id", "mapped", "client_secret", "mapped-secret",
						"scope", "openid phone"), "access_token", "text", "phone_number", "locale")
				}
			}
		})
		g.exchange("service account listed", func(x *exchange) {
			r := x.realm(realmFile(object{
				"roles": object{"realm": []object{{"name": "worker"}}},
				"users": []object{{"username": "service-account-service", "enabled": true,
					"serviceAccountClientId": "service", "realmRoles": []string{"worker"}}},
			}))
			show := func() {
				a := x.token(r, with(secretOf("service"), "grant_type", "client_credentials")).ok()
				x.showClaims(a, "access_token", "aud", "client_id", "clientHost", "clientAddress",
					"preferred_username", "realm_access", "resource_access", "scope")
			}
			show()
			r.patchClient(x, "service", object{"description": "changed"})
			show()
		})

		imports := func(name string, file object) {
			g.exchange(name, func(x *exchange) {
				_, err := x.tryRealm(realmFile(file))
				if err != nil && !errors.As(err, new(*importError)) {
					x.Fatal(err)
				}
				x.note("refused: %t", err != nil)
			})
		}
		clients := func(list ...object) object { return object{"clients": list} }
		imports("unknown client in clientRoles",
			users(person("ann", object{"clientRoles": object{"nobody": []string{"reader"}}})))
		imports("unknown group", users(person("ann", object{"groups": []string{"/nowhere"}})))
		imports("password violates the policy",
			merge(users(person("ann", nil)), object{"passwordPolicy": "length(8)"}))
		imports("unknown member", object{"colour": "blue"})
		imports("duplicate e-mail",
			users(person("ann", nil), person("bob", object{"email": "ann@example.com"})))
		imports("duplicate client ID", clients(clientFile("api", nil), clientFile("api", nil)))
		imports("bad redirect URI",
			clients(clientFile("api", object{"redirectUris": []string{"not a uri"}})))
		imports("unknown default scope and role, redirect URI of any host", merge(
			users(person("ann", object{"realmRoles": []string{"no-such-role"}})),
			clients(
				clientFile("scoped", object{"defaultClientScopes": []string{"no-such-scope"}}),
				clientFile("redirected", object{"redirectUris": []string{"http://*"}}),
			)))
	})
}

// randomHex returns n random hexadecimal digits.
func randomHex(n int) string {
	digits := make([]byte, n)
	rand.Read(digits)
	return fmt.Sprintf("%x", digits)[:n]
}

// A realm whose file lists client scopes gets no others, and neither does a client that lists its
// default scopes.
func TestImport_scopes(t *testing.T) {
	run(t, "import-scopes", func(g *group) {
		tenant := object{"name": "tenant", "protocol": "openid-connect",
			"protocolMappers": []object{
				mapperFile("tenant", "oidc-hardcoded-claim-mapper",
					merge(everywhere,
						object{"claim.name": "tenant", "claim.value": "acme",
							"jsonType.label": "String"})),
			}}
		scopes := func(name string, file object, requested []string, client string) {
			r := g.realm(file)
			g.exchange(name, func(x *exchange) {
				u := x.user(r, nil)
				a := x.login(u, "client_id", client, "client_secret", client+"-secret")
				x.showMembers(a, "scope")
				for _, token := range []string{"access_token", "id_token", "refresh_token"} {
					x.note("%s: %v", token, sortedKeys(a.claims(token)))
				}
				x.showClaims(a, "access_token", "scope", "tenant")
				x.showClaims(a, "refresh_token", "scope")
				x.showBody(x.get(r.oidc("/userinfo"), "Authorization",
					"Bearer "+a.field("access_token")))
				for _, scope := range requested {
					x.outcome("scope="+scope,
						x.token(r,
							passwordGrant(u, "client_id", client, "client_secret", client+"-secret",
								"scope", scope)))
				}
				var supported []string
				list, _ := x.get(r.url("/.well-known/openid-configuration")).member(
					"scopes_supported").([]any)
				for _, s := range list {
					supported = append(supported, text(s))
				}
				slices.Sort(supported)
				x.note("scopes_supported: %v", supported)
			})
		}
		requested := []string{"profile", "phone", "tenant", "billing", "offline_access"}
		files := map[string]object{
			"one scope":                      {"clientScopes": []object{tenant}},
			"one scope, of an older release": {"clientScopes": []object{tenant}, "keycloakVersion": "24.0.0"},
			"one default and one optional": {
				"clientScopes": []object{tenant,
					{"name": "billing", "protocol": "openid-connect"}},
				"defaultDefaultClientScopes":  []string{"tenant"},
				"defaultOptionalClientScopes": []string{"billing"},
			},
		}
		for _, name := range sortedKeys(files) {
			scopes(name, realmFile(files[name]), requested, "api")
		}
		perClient := realmFile(nil,
			clientFile("default-scopes",
				object{"defaultClientScopes": []string{"profile", "email"}}),
			clientFile("default-scopes-one-unknown",
				object{"defaultClientScopes": []string{"basic", "no-such-scope"}}),
			clientFile("optional-scopes", object{"optionalClientScopes": []string{"phone"}}),
			clientFile("no-default-scopes", object{"defaultClientScopes": []string{}}),
		)
		for _, client := range []string{"default-scopes", "default-scopes-one-unknown",
			"optional-scopes", "no-default-scopes"} {
			scopes("client's "+client, perClient, requested, client)
		}
	})
}
