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
	run(t, "import", func(suite *testSuite) {
		userJSON := func(name string, userFields object) object {
			u := merge(object{
				"username": name, "enabled": true, "email": name + "@example.com",
				"firstName": "Test", "lastName": "User",
				"credentials": []object{{"type": "password", "value": "secret"}},
				"realmRoles":  []string{"default-roles-{realm}"},
			}, userFields)
			maps.DeleteFunc(u, func(_ string, value any) bool { return value == nil })
			return u
		}
		users := func(list ...object) object { return object{"users": list} }
		// importedUser returns a user from the realm representation.
		importedUser := func(r *realm, name string) *user {
			return &user{userRef{realm: r.name}, r, name}
		}
		// addLogins adds a realm with users, and for each user a scenario in which the user signs
		// in.
		addLogins := func(prefix string, settings object, list ...object) *realm {
			r := suite.addRealm(realmJSON(merge(settings, users(list...)),
				object{"clientId": "bare", "secret": "bare-secret"},
				object{"clientId": "barest", "redirectUris": []string{callback}}))
			for _, u := range list {
				name := u["username"].(string)
				suite.add(prefix+name, func(s *scenario) {
					resp := s.token(r, passwordGrant(importedUser(r, name), "scope", "openid"))
					s.recordOutcome("login", resp)
					if resp.status == 200 {
						s.recordClaims(resp, "access_token", "preferred_username", "aud",
							"realm_access", "resource_access", "groups", "scope")
					}
				})
			}
			return r
		}
		// An ID must be unique in the whole server.
		userID := "6f0e5a52-0000-4c1b-9f62-" + randomHex(12)
		r := addLogins("user: ", nil,
			userJSON("usual", nil), userJSON("In-Upper-Case", nil), userJSON("ab", nil),
			userJSON("without-enabled", object{"enabled": nil}),
			userJSON("without-roles", object{"realmRoles": nil}),
			userJSON("with-a-temporary-password",
				object{
					"credentials": []object{{"type": "password", "value": "secret",
						"temporary": true}},
				}),
			userJSON("with-a-required-action",
				object{"requiredActions": []string{"UPDATE_PASSWORD"}}),
			userJSON("without-email", object{"email": nil}),
			userJSON("with-a-bad-email", object{"email": "nope"}),
			userJSON("without-first-name", object{"firstName": nil}),
			userJSON("without-last-name", object{"lastName": nil}),
			userJSON("with-unknown-roles", object{
				"realmRoles":  []string{"default-roles-{realm}", "no-such-role"},
				"clientRoles": object{"api": []string{"no-such-role"}, "spa": []string{"another"}},
			}),
			userJSON("with-an-id", object{"id": userID}),
		)
		addLogins("no required actions: ", object{"requiredActions": []object{}},
			userJSON("without-names", object{"email": nil, "firstName": nil, "lastName": nil}))
		addLogins("VERIFY_PROFILE is off: ", object{"requiredActions": []object{
			{"alias": "VERIFY_PROFILE", "name": "Verify Profile", "providerId": "VERIFY_PROFILE",
				"enabled": false, "defaultAction": false, "priority": 100, "config": object{}},
		}}, userJSON("without-names", object{"email": nil, "firstName": nil, "lastName": nil}))
		groupRealm := addLogins("groups and a default role: ", object{
			"groups":        []object{{"name": "staff", "subGroups": []object{{"name": "leads"}}}},
			"defaultGroups": []string{"/staff"},
			"clients": []object{clientJSON("api",
				object{
					"protocolMappers": []object{mapperJSON("groups", "oidc-group-membership-mapper",
						merge(allTargets, object{"claim.name": "groups", "full.path": "true"}))},
				})},
			"defaultRole": object{"name": "default-roles-{realm}", "composite": true},
			"roles": object{"realm": []object{
				{"name": "member"}, {"name": "default-roles-{realm}", "composite": true,
					"composites": object{"realm": []string{"member"}}},
			}},
		}, userJSON("of-the-file", object{"groups": []string{"/staff/leads"}}),
			userJSON("of-the-file-without-groups", nil))
		suite.add("groups and a default role: added later", func(s *scenario) {
			s.recordClaims(s.login(s.addUser(groupRealm, nil)),
				"access_token", "groups", "realm_access")
		})
		suite.add("offline access without default roles", func(s *scenario) {
			s.recordOutcome("login",
				s.token(r,
					passwordGrant(importedUser(r, "without-roles"), "scope", "offline_access")))
		})
		suite.add("user ID", func(s *scenario) {
			s.addPlaceholder("{given id}", userID)
			s.recordClaims(s.login(importedUser(r, "with-an-id")), "access_token", "sub")
		})
		suite.add("client without flags", func(s *scenario) {
			u := s.addUser(r, nil)
			s.recordOutcome("password grant",
				s.token(r,
					passwordGrant(u, clientParams("bare")...)))
			s.recordOutcome("client credentials",
				s.token(r, clientCredentialsGrant("bare")))
			s.recordOutcome("without its secret",
				s.token(r, form("client_id", "barest", "grant_type", "client_credentials")))
			s.recordOutcome("code flow", s.newBrowser().open(r.authURL("client_id", "barest")))
		})
		suite.add("realm without enabled", func(s *scenario) {
			r := s.importRealm(realmJSON(object{"enabled": nil}))
			s.recordOutcome("token", s.token(r, clientForm("api")))
		})
		suite.add("attributes not in the profile", func(s *scenario) {
			attributes := object{"text": []string{"a text"}, "phoneNumber": []string{"+44"},
				"locale": []string{"en"}}
			mapper := mapperJSON("text", "oidc-usermodel-attribute-mapper",
				merge(allTargets,
					object{"claim.name": "text", "user.attribute": "text",
						"jsonType.label": "String"}))
			for _, profile := range []object{nil, unmanagedAttributes()} {
				r := s.importRealm(
					realmJSON(merge(profile,
						users(userJSON("ann", object{"attributes": attributes}))),
						clientJSON("mapped", object{"protocolMappers": []object{mapper}})))
				for _, u := range []*user{importedUser(r, "ann"),
					s.addUser(r, object{"attributes": attributes})} {
					s.recordClaims(s.login(u, "client_id", "mapped", "client_secret",
						"mapped-secret",
						"scope", "openid phone"), "access_token", "text", "phone_number", "locale")
				}
			}
		})
		suite.add("service account listed", func(s *scenario) {
			r := s.importRealm(realmJSON(object{
				"roles": object{"realm": []object{{"name": "worker"}}},
				"users": []object{{"username": "service-account-service", "enabled": true,
					"serviceAccountClientId": "service", "realmRoles": []string{"worker"}}},
			}))
			recordGrant := func() {
				resp := s.token(r,
					clientCredentialsGrant("service")).mustOK()
				s.recordClaims(resp, "access_token", "aud", "client_id", "clientHost",
					"clientAddress", "preferred_username", "realm_access", "resource_access",
					"scope")
			}
			recordGrant()
			r.patchClient(s, "service", object{"description": "changed"})
			recordGrant()
		})

		addImport := func(name string, settings object) {
			suite.add(name, func(s *scenario) {
				_, err := s.tryImport(realmJSON(settings))
				if err != nil && !errors.As(err, new(*importError)) {
					s.Fatal(err)
				}
				s.note("refused: %t", err != nil)
			})
		}
		clients := func(list ...object) object { return object{"clients": list} }
		addImport("unknown client in clientRoles",
			users(userJSON("ann", object{"clientRoles": object{"nobody": []string{"reader"}}})))
		addImport("unknown group", users(userJSON("ann", object{"groups": []string{"/nowhere"}})))
		addImport("password violates the policy",
			merge(users(userJSON("ann", nil)), object{"passwordPolicy": "length(8)"}))
		addImport("unknown member", object{"colour": "blue"})
		addImport("duplicate e-mail",
			users(userJSON("ann", nil), userJSON("bob", object{"email": "ann@example.com"})))
		addImport("duplicate client ID", clients(clientJSON("api", nil), clientJSON("api", nil)))
		addImport("bad redirect URI",
			clients(clientJSON("api", object{"redirectUris": []string{"not a uri"}})))
		addImport("unknown default scope and role, redirect URI of any host", merge(
			users(userJSON("ann", object{"realmRoles": []string{"no-such-role"}})),
			clients(
				clientJSON("scoped", object{"defaultClientScopes": []string{"no-such-scope"}}),
				clientJSON("redirected", object{"redirectUris": []string{"http://*"}}),
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
	run(t, "import-scopes", func(suite *testSuite) {
		tenant := object{"name": "tenant", "protocol": "openid-connect",
			"protocolMappers": []object{
				mapperJSON("tenant", "oidc-hardcoded-claim-mapper",
					merge(allTargets,
						object{"claim.name": "tenant", "claim.value": "acme",
							"jsonType.label": "String"})),
			}}
		addScopes := func(name string, representation object, requestedScopes []string,
			client string) {
			r := suite.addRealm(representation)
			suite.add(name, func(s *scenario) {
				u := s.addUser(r, nil)
				resp := s.login(u, clientParams(client)...)
				s.recordFields(resp, "scope")
				for _, token := range []string{"access_token", "id_token", "refresh_token"} {
					s.note("%s: %v", token, sortedKeys(resp.claims(token)))
				}
				s.recordClaims(resp, "access_token", "scope", "tenant")
				s.recordClaims(resp, "refresh_token", "scope")
				s.recordBody(s.userinfo(r, resp))
				for _, scope := range requestedScopes {
					s.recordOutcome("scope="+scope,
						s.token(r,
							passwordGrant(u, "client_id", client, "client_secret", client+"-secret",
								"scope", scope)))
				}
				var supportedScopes []string
				list, _ := s.get(r.url("/.well-known/openid-configuration")).value(
					"scopes_supported").([]any)
				for _, scope := range list {
					supportedScopes = append(supportedScopes, asString(scope))
				}
				slices.Sort(supportedScopes)
				s.note("scopes_supported: %v", supportedScopes)
			})
		}
		requestedScopes := []string{"profile", "phone", "tenant", "billing", "offline_access"}
		settingsByName := map[string]object{
			"one scope": {"clientScopes": []object{tenant}},
			"one scope, of an older release": {"clientScopes": []object{tenant},
				"keycloakVersion": "24.0.0"},
			"one default and one optional": {
				"clientScopes": []object{tenant,
					{"name": "billing", "protocol": "openid-connect"}},
				"defaultDefaultClientScopes":  []string{"tenant"},
				"defaultOptionalClientScopes": []string{"billing"},
			},
		}
		for _, name := range sortedKeys(settingsByName) {
			addScopes(name, realmJSON(settingsByName[name]), requestedScopes, "api")
		}
		clientScopesJSON := realmJSON(nil,
			clientJSON("default-scopes",
				object{"defaultClientScopes": []string{"profile", "email"}}),
			clientJSON("default-scopes-one-unknown",
				object{"defaultClientScopes": []string{"basic", "no-such-scope"}}),
			clientJSON("optional-scopes", object{"optionalClientScopes": []string{"phone"}}),
			clientJSON("no-default-scopes", object{"defaultClientScopes": []string{}}),
		)
		for _, client := range []string{"default-scopes", "default-scopes-one-unknown",
			"optional-scopes", "no-default-scopes"} {
			addScopes("client's "+client, clientScopesJSON, requestedScopes, client)
		}
	})
}
