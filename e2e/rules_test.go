package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// serveRules starts an application with access rules (internal/testapi) for this realm.
func (r realm) serveRules(t *testing.T, settings ...string) *server {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "testserver")
	if err := build(binary, "./internal/testapi/testserver"); err != nil {
		t.Fatal(err)
	}
	return serveBinary(t, binary, func(string) bool { return true }, r.k,
		append([]string{"KEYCLOAK_REALM_NAME=" + r.name}, settings...)...)
}

// passwordToken returns an access token from Keycloak's password grant.
func (r realm) passwordToken(t *testing.T, user, scope string) string {
	t.Helper()
	status, body := r.k.token(t, r.name, "grant_type", "password", "client_id", "local-api",
		"client_secret", "local-api-secret", "username", user, "password", "secret",
		"scope", scope)
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal([]byte(body), &token); token.AccessToken == "" {
		t.Fatalf("login at Keycloak: got %d %s, want an access token", status, body)
	}
	return token.AccessToken
}

// An application's access rules depend on what Keycloak's tokens contain: realm and client roles,
// groups, scopes, mapped claims, and how the user signed in.
func TestRules(t *testing.T) {
	t.Parallel()
	r := newRealm(t, sharedKeycloak, object{
		"clients": []object{
			apiClient(object{
				"attributes":           object{"acr.loa.map": `{"silver":0,"gold":1}`},
				"defaultClientScopes":  []string{"roles", "basic", "acr"},
				"optionalClientScopes": []string{"notes:read", "notes:write", "audit"},
				"protocolMappers": []object{
					{"name": "groups", "protocol": "openid-connect",
						"protocolMapper": "oidc-group-membership-mapper",
						"config": object{"claim.name": "groups", "full.path": "true",
							"access.token.claim": "true"}},
					{"name": "tier", "protocol": "openid-connect",
						"protocolMapper": "oidc-usermodel-attribute-mapper",
						"config": object{"user.attribute": "tier", "claim.name": "tenant.tier",
							"jsonType.label": "String", "access.token.claim": "true"}},
					{"name": "audience", "protocol": "openid-connect",
						"protocolMapper": "oidc-audience-mapper",
						"config": object{"included.client.audience": "local-api",
							"access.token.claim": "true"}},
				},
			}),
			{"clientId": "billing", "enabled": true, "bearerOnly": true},
		},
		"clientScopes": []object{
			{"name": "notes:read", "protocol": "openid-connect",
				"attributes": object{"include.in.token.scope": "true"}},
			{"name": "notes:write", "protocol": "openid-connect",
				"attributes": object{"include.in.token.scope": "true"}},
			{"name": "audit", "protocol": "openid-connect",
				"attributes": object{"include.in.token.scope": "true"}},
			// If a realm file defines client scopes, the realm has no built-in client scopes.
			{"name": "roles", "protocol": "openid-connect", "protocolMappers": []object{
				{"name": "realm roles", "protocol": "openid-connect",
					"protocolMapper": "oidc-usermodel-realm-role-mapper",
					"config": object{"claim.name": "realm_access.roles", "multivalued": "true",
						"access.token.claim": "true", "jsonType.label": "String"}},
				{"name": "client roles", "protocol": "openid-connect",
					"protocolMapper": "oidc-usermodel-client-role-mapper",
					"config": object{"claim.name": "resource_access.${client_id}.roles",
						"multivalued": "true", "access.token.claim": "true",
						"jsonType.label": "String"}}}},
			{"name": "basic", "protocol": "openid-connect", "protocolMappers": []object{
				{"name": "sub", "protocol": "openid-connect", "protocolMapper": "oidc-sub-mapper",
					"config": object{"access.token.claim": "true"}}}},
			{"name": "acr", "protocol": "openid-connect", "protocolMappers": []object{
				{"name": "acr loa level", "protocol": "openid-connect",
					"protocolMapper": "oidc-acr-mapper",
					"config":         object{"access.token.claim": "true"}}}},
		},
		"roles": object{
			"realm": []object{{"name": "admin"}, {"name": "editor"},
				{"name": "chief", "composite": true,
					"composites": object{"realm": []string{"admin", "editor"}}}},
			"client": object{"billing": []object{{"name": "viewer"}},
				"local-api": []object{{"name": "viewer"}}},
		},
		"groups": []object{{"name": "staff", "subGroups": []object{{"name": "ops"}}}},
		"users": []object{
			ruleUser("plain", nil),
			ruleUser("editor", object{"realmRoles": []string{"editor"}}),
			ruleUser("chief", object{"realmRoles": []string{"chief"}}),
			ruleUser("viewer", object{"clientRoles": object{"billing": []string{"viewer"}}}),
			ruleUser("elsewhere", object{"clientRoles": object{"local-api": []string{"viewer"}}}),
			ruleUser("staff", object{"groups": []string{"/staff"}}),
			ruleUser("ops", object{"groups": []string{"/staff/ops"}}),
			ruleUser("golden", object{"attributes": object{"tier": []string{"gold"}}}),
		},
	})
	s := r.serveRules(t)
	const (
		roleMissing  = "FORBIDDEN/ROLE_MISSING"
		scopeMissing = "FORBIDDEN/SCOPE_MISSING"
		groupMissing = "FORBIDDEN/GROUP_MISSING"
	)
	for _, tt := range []struct{ user, scope, query, code string }{
		{"plain", "openid", "{ auth }", ""},
		{"plain", "openid", "{ anyRole }", roleMissing},
		{"editor", "openid", "{ anyRole }", ""},
		{"editor", "openid", "{ allRoles }", roleMissing},
		{"chief", "openid", "{ allRoles }", ""},
		{"editor", "openid", "mutation { erase }", roleMissing},
		{"chief", "openid", "mutation { erase }", ""},
		{"viewer", "openid", "{ clientRole }", ""},
		{"elsewhere", "openid", "{ clientRole }", roleMissing}, // the same role of another client
		{"plain", "openid", "{ anyScope }", scopeMissing},
		{"plain", "openid notes:read", "{ anyScope }", ""},
		{"plain", "openid audit", "{ scopeLists }", scopeMissing},
		{"plain", "openid audit notes:read", "{ scopeLists }", ""},
		{"staff", "openid", "{ group }", ""},
		{"ops", "openid", "{ group }", groupMissing},
		{"ops", "openid", "{ subgroup }", ""},
		{"plain", "openid", "{ subgroup }", groupMissing},
		{"plain", "openid", "{ claim }", "FORBIDDEN/CLAIM_MISSING"},
		{"golden", "openid", "{ claim }", ""},
		{"plain", "openid", `{ owned(userId: "somebody") }`, "FORBIDDEN/NOT_OWNER"},
		{"chief", "openid", `{ owned(userId: "somebody") }`, ""},
		{"plain", "openid", "{ notImpersonated }", ""},
		{"plain", "openid", "{ strong }", ""}, // a password is level 1, which the map calls gold
		// Keycloak's tokens have the time of the sign-in only after a sign-in in a browser.
		{"plain", "openid", "{ recent }", "UNAUTHENTICATED/STEP_UP_REQUIRED"},
	} {
		response := s.query(t, r.passwordToken(t, tt.user, tt.scope), tt.query, nil)
		wantCode(t, tt.user+", "+tt.scope+", "+tt.query, response, tt.code)
	}
	anonymous := s.query(t, "", "{ anyRole }", nil)
	wantCode(t, "anonymous", anonymous, "UNAUTHENTICATED/TOKEN_MISSING")
	s.wantLog(t, "access denied")
}

// ruleUser returns a user for a realm file, with the password "secret".
func ruleUser(name string, settings object) object {
	user := userWithRoles(name, nil)
	delete(user, "clientRoles")
	for key, value := range settings {
		user[key] = value
	}
	return user
}

// An application's access rules about organizations and impersonation depend on what Keycloak's
// tokens contain.
func TestRules_organizations(t *testing.T) {
	t.Parallel()
	const organizationMissing = "FORBIDDEN/ORGANIZATION_MISSING"
	for form, options := range map[string]object{
		"list": nil, "map": {"addOrganizationId": "true"},
	} {
		r := newOrganizationsRealm(t, options)
		s := r.serveRules(t)
		for _, tt := range []struct{ user, scope, query, code string }{
			{"one", "openid organization:*", "{ organization }", ""},
			{"both", "openid organization:*", "{ organization }", ""},
			{"both", "openid organization:blue", "{ organization }", organizationMissing},
			{"helper", "openid organization:*", "{ organization }", organizationMissing},
			{"one", "openid", "{ organization }", organizationMissing},
			{"one", "openid organization:*", `{ organizationNotes(alias: "acme") }`, ""},
			{"one", "openid organization:*", `{ organizationNotes(alias: "blue") }`,
				organizationMissing},
			{"both", "openid organization:*", `{ organizationNotes(alias: "blue") }`, ""},
		} {
			response := s.query(t, r.passwordToken(t, tt.user, tt.scope), tt.query, nil)
			wantCode(t, form+", "+tt.user+", "+tt.scope+", "+tt.query, response, tt.code)
		}
		wantCode(t, "anonymous", s.query(t, "", "{ organization }", nil),
			"UNAUTHENTICATED/TOKEN_MISSING")

		impersonated := r.impersonate(t, "both", "helper").AccessToken
		wantCode(t, "impersonated", s.query(t, impersonated, "{ notImpersonated }", nil),
			"FORBIDDEN/IMPERSONATED")
		wantCode(t, "impersonated, another field", s.query(t, impersonated, "{ auth }", nil), "")
		if strings.Contains(s.storedLog(), "acme") {
			t.Error("the log has an organization of the caller")
		}
	}
}
