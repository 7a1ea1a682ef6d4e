package contract

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// TestImport records the defaults of a realm file, and which files an import rejects.
func TestImport(t *testing.T) {
	run(t, "import", func(g *group) {
		userFile := func(name string, settings object) object {
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
		// imported returns a user from a realm's file.
		imported := func(r *realm, name string) *user {
			return &user{userRef{realm: r.name}, r, name}
		}
		// logins declares a realm with users, and a scenario in which each of them signs in.
		logins := func(prefix string, file object, list ...object) *realm {
			r := g.realm(realmFile(merge(file, users(list...)),
				object{"clientId": "bare", "secret": "bare-secret"},
				object{"clientId": "barest", "redirectUris": []string{callback}}))
			for _, u := range list {
				name := u["username"].(string)
				g.scenario(prefix+name, func(s *scenario) {
					resp := s.token(r, passwordGrant(imported(r, name), "scope", "openid"))
					s.outcome("login", resp)
					if resp.status == 200 {
						s.showClaims(resp, "access_token", "preferred_username", "aud",
							"realm_access", "resource_access", "groups", "scope")
					}
				})
			}
			return r
		}
		id := "6f0e5a52-0000-4c1b-9f62-" + randomHex(12) // unique in the whole server
		r := logins("user: ", nil,
			userFile("usual", nil), userFile("In-Upper-Case", nil), userFile("ab", nil),
			userFile("without-enabled", object{"enabled": nil}),
			userFile("without-roles", object{"realmRoles": nil}),
			userFile("with-a-temporary-password",
				object{
					"credentials": []object{{"type": "password", "value": "secret",
						"temporary": true}},
				}),
			userFile("with-a-required-action",
				object{"requiredActions": []string{"UPDATE_PASSWORD"}}),
			userFile("without-email", object{"email": nil}),
			userFile("with-a-bad-email", object{"email": "nope"}),
			userFile("without-first-name", object{"firstName": nil}),
			userFile("without-last-name", object{"lastName": nil}),
			userFile("with-unknown-roles", object{
				"realmRoles":  []string{"default-roles-{realm}", "no-such-role"},
				"clientRoles": object{"api": []string{"no-such-role"}, "spa": []string{"another"}},
			}),
			userFile("with-an-id", object{"id": id}),
		)
		logins("no required actions: ", object{"requiredActions": []object{}},
			userFile("without-names", object{"email": nil, "firstName": nil, "lastName": nil}))
		logins("VERIFY_PROFILE is off: ", object{"requiredActions": []object{
			{"alias": "VERIFY_PROFILE", "name": "Verify Profile", "providerId": "VERIFY_PROFILE", "enabled": false, "defaultAction": false, "priority": 100, "config": object{}},
		}}, userFile("without-names", object{"email": nil, "firstName": nil, "lastName": nil}))
		groupRealm := logins("groups and a default role: ", object{
			"groups":        []object{{"name": "staff", "subGroups": []object{{"name": "leads"}}}},
			"defaultGroups": []string{"/staff"},
			"clients": []object{clientFile("api",
				object{
					"protocolMappers": []object{mapperFile("groups", "oidc-group-membership-mapper",
						merge(allTargets, object{"claim.name": "groups", "full.path": "true"}))},
				})},
			"defaultRole": object{"name": "default-roles-{realm}", "composite": true},
			"roles": object{"realm": []object{
				{"name": "member"}, {"name": "default-roles-{realm}", "composite": true, "composites": object{"realm": []string{"member"}}},
			}},
		}, userFile("of-the-file", object{"groups": []string{"/staff/leads"}}),
			userFile("of-the-file-without-groups", nil))
		g.scenario("groups and a default role: added later", func(s *scenario) {
			s.showClaims(s.login(s.user(groupRealm, nil)), "access_token", "groups", "realm_access")
		})
		g.scenario("offline access without default roles", func(s *scenario) {
			s.outcome("login",
				s.token(r,
					passwordGrant(imported(r, "without-roles"), "scope", "offline_access")))
		})
		g.scenario("user ID", func(s *scenario) {
			s.placeholder("{given id}", id)
			s.showClaims(s.login(imported(r, "with-an-id")), "access_token", "sub")
		})
		g.scenario("client without flags", func(s *scenario) {
			u := s.user(r, nil)
			s.outcome("password grant",
				s.token(r,
					passwordGrant(u, credsOf("bare")...)))
			s.outcome("client credentials",
				s.token(r, with(secretOf("bare"), "grant_type", "client_credentials")))
			s.outcome("without its secret",
				s.token(r, form("client_id", "barest", "grant_type", "client_credentials")))
			s.outcome("code flow", s.browser().open(r.authURL("client_id", "barest")))
		})
		g.scenario("realm without enabled", func(s *scenario) {
			r := s.realm(realmFile(object{"enabled": nil}))
			s.outcome("token", s.token(r, secretOf("api")))
		})
		g.scenario("attributes not in the profile", func(s *scenario) {
			attributes := object{"text": []string{"a text"}, "phoneNumber": []string{"+44"},
				"locale": []string{"en"}}
			mapper := mapperFile("text", "oidc-usermodel-attribute-mapper",
				merge(allTargets,
					object{"claim.name": "text", "user.attribute": "text",
						"jsonType.label": "String"}))
			for _, profile := range []object{nil, unmanagedAttributes()} {
				r := s.realm(
					realmFile(merge(profile,
						users(userFile("ann", object{"attributes": attributes}))),
						clientFile("mapped", object{"protocolMappers": []object{mapper}})))
				for _, u := range []*user{imported(r, "ann"),
					s.user(r, object{"attributes": attributes})} {
					s.showClaims(s.login(u, "client_id", "mapped", "client_secret", "mapped-secret",
						"scope", "openid phone"), "access_token", "text", "phone_number", "locale")
				}
			}
		})
		g.scenario("service account listed", func(s *scenario) {
			r := s.realm(realmFile(object{
				"roles": object{"realm": []object{{"name": "worker"}}},
				"users": []object{{"username": "service-account-service", "enabled": true,
					"serviceAccountClientId": "service", "realmRoles": []string{"worker"}}},
			}))
			show := func() {
				resp := s.token(r,
					with(secretOf("service"), "grant_type", "client_credentials")).ok()
				s.showClaims(resp, "access_token", "aud", "client_id", "clientHost",
					"clientAddress", "preferred_username", "realm_access", "resource_access",
					"scope")
			}
			show()
			r.patchClient(s, "service", object{"description": "changed"})
			show()
		})

		importFile := func(name string, file object) {
			g.scenario(name, func(s *scenario) {
				_, err := s.tryRealm(realmFile(file))
				if err != nil && !errors.As(err, new(*importError)) {
					s.Fatal(err)
				}
				s.note("refused: %t", err != nil)
			})
		}
		clients := func(list ...object) object { return object{"clients": list} }
		importFile("unknown client in clientRoles",
			users(userFile("ann", object{"clientRoles": object{"nobody": []string{"reader"}}})))
		importFile("unknown group", users(userFile("ann", object{"groups": []string{"/nowhere"}})))
		importFile("password violates the policy",
			merge(users(userFile("ann", nil)), object{"passwordPolicy": "length(8)"}))
		importFile("unknown member", object{"colour": "blue"})
		importFile("duplicate e-mail",
			users(userFile("ann", nil), userFile("bob", object{"email": "ann@example.com"})))
		importFile("duplicate client ID", clients(clientFile("api", nil), clientFile("api", nil)))
		importFile("bad redirect URI",
			clients(clientFile("api", object{"redirectUris": []string{"not a uri"}})))
		importFile("unknown default scope and role, redirect URI of any host", merge(
			users(userFile("ann", object{"realmRoles": []string{"no-such-role"}})),
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

// TestImport_scopes records that a realm whose file lists client scopes gets no other client
// scopes, and that a client that lists its default scopes gets no other default scopes.
func TestImport_scopes(t *testing.T) {
	run(t, "import-scopes", func(g *group) {
		tenant := object{"name": "tenant", "protocol": "openid-connect",
			"protocolMappers": []object{
				mapperFile("tenant", "oidc-hardcoded-claim-mapper",
					merge(allTargets,
						object{"claim.name": "tenant", "claim.value": "acme",
							"jsonType.label": "String"})),
			}}
		scopes := func(name string, file object, requested []string, client string) {
			r := g.realm(file)
			g.scenario(name, func(s *scenario) {
				u := s.user(r, nil)
				resp := s.login(u, credsOf(client)...)
				s.showFields(resp, "scope")
				for _, token := range []string{"access_token", "id_token", "refresh_token"} {
					s.note("%s: %v", token, sortedKeys(resp.claims(token)))
				}
				s.showClaims(resp, "access_token", "scope", "tenant")
				s.showClaims(resp, "refresh_token", "scope")
				s.showBody(s.get(r.oidc("/userinfo"), "Authorization",
					"Bearer "+resp.field("access_token")))
				for _, scope := range requested {
					s.outcome("scope="+scope,
						s.token(r,
							passwordGrant(u, "client_id", client, "client_secret", client+"-secret",
								"scope", scope)))
				}
				var supported []string
				list, _ := s.get(r.url("/.well-known/openid-configuration")).value(
					"scopes_supported").([]any)
				for _, s := range list {
					supported = append(supported, asString(s))
				}
				slices.Sort(supported)
				s.note("scopes_supported: %v", supported)
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
