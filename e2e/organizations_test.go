package e2e

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// An organizationsRealm is a realm with the organizations acme and blue. The user named "both" is a
// member of both organizations, and belongs to the group /staff/ops of acme. The user named "one"
// is a member only of acme. The password of each user is "secret".
type organizationsRealm struct {
	realm
	acmeID, blueID string
}

// newOrganizationsRealm creates the realm. options are added to the configuration of the mapper
// named organization, and mappers are added to the client scope named organization. Before Keycloak
// 26.6, the organizations have no groups.
func newOrganizationsRealm(t *testing.T, options object, mappers ...object) organizationsRealm {
	t.Helper()
	suffix := strings.ToLower(rand.Text()[:10]) // IDs are unique in the whole server
	config := object{"claim.name": "organization", "jsonType.label": "String",
		"multivalued": "true", "access.token.claim": "true"}
	for name, value := range options {
		config[name] = value
	}
	client := apiClient(object{"redirectUris": []string{impersonationRedirectURI},
		"defaultClientScopes":  []string{"basic", "profile"},
		"optionalClientScopes": []string{"organization"}})
	client["protocolMappers"] = append(client["protocolMappers"].([]object), actorMapper)
	memberBoth := object{"username": "both"}
	acme := object{"id": "acme-" + suffix, "name": "acme", "alias": "acme", "enabled": true,
		"domains":    []object{{"name": "acme.example"}},
		"attributes": object{"tier": []string{"gold"}},
		"members":    []object{memberBoth, {"username": "one"}}}
	if !usesRealKeycloak() || !sharedKeycloak.isBefore26_6(t) {
		memberBoth = object{"username": "both", "groups": []string{"ops-" + suffix}}
		acme["members"] = []object{memberBoth, {"username": "one"}}
		acme["groups"] = []object{{"id": "staff-" + suffix, "name": "staff",
			"subGroups": []object{{"id": "ops-" + suffix, "name": "ops"}}}}
	}
	r := newRealm(t, sharedKeycloak, object{
		"organizationsEnabled": true,
		"clients":              []object{client},
		"clientScopes": []object{
			{"name": "basic", "protocol": "openid-connect", "protocolMappers": []object{
				{"name": "sub", "protocol": "openid-connect", "protocolMapper": "oidc-sub-mapper",
					"config": object{"access.token.claim": "true"}}}},
			{"name": "profile", "protocol": "openid-connect"},
			{"name": "organization", "protocol": "openid-connect",
				"attributes": object{"include.in.token.scope": "true"},
				"protocolMappers": append([]object{
					{"name": "organization", "protocol": "openid-connect",
						"protocolMapper": "oidc-organization-membership-mapper",
						"config":         config}}, mappers...)},
		},
		"users": []object{ruleUser("both", nil), ruleUser("one", nil), ruleUser("helper", nil)},
		"organizations": []object{acme,
			{"id": "blue-" + suffix, "name": "blue", "alias": "blue", "enabled": true,
				"domains": []object{{"name": "blue.example"}},
				"members": []object{{"username": "both"}}}},
	})
	return organizationsRealm{r, "acme-" + suffix, "blue-" + suffix}
}

// me.organizations has the organizations that the scopes of LOGIN_SCOPE ask for, in each form of
// Keycloak's claim.
func TestMe_organizations(t *testing.T) {
	t.Parallel()
	organization := func(alias, id string, groups ...string) string {
		text, _ := json.Marshal(struct {
			Alias  string   `json:"alias"`
			ID     *string  `json:"id"`
			Groups []string `json:"groups"`
		}{alias, &id, append([]string{}, groups...)})
		return strings.Replace(string(text), `"id":""`, `"id":null`, 1)
	}
	type check struct{ user, scope, want string }
	run := func(form string, r organizationsRealm, checks ...check) {
		t.Helper()
		servers := map[string]*server{}
		for _, tt := range checks {
			if servers[tt.scope] == nil {
				servers[tt.scope] = r.serve(t, "LOGIN_SCOPE=openid "+tt.scope)
			}
			token := servers[tt.scope].mustLogin(t, tt.user, "secret").AccessToken
			response := servers[tt.scope].query(t, token,
				`{ me { organizations { alias id groups } } }`, nil)
			want := `{"data":{"me":{"organizations":[` + tt.want + `]}}}`
			if got := strings.TrimSpace(response.body); got != want {
				t.Errorf("%s: me of %s with the scope %q is %s, want %s", form, tt.user, tt.scope,
					got, want)
			}
		}
	}

	acme, blue := organization("acme", ""), organization("blue", "")
	run("list", newOrganizationsRealm(t, nil),
		check{"both", "profile", ""},
		check{"both", "organization:*", acme + "," + blue},
		check{"both", "organization:blue", blue},
		check{"both", "organization", ""},
		check{"one", "organization:*", acme},
		check{"one", "organization:blue", ""},
		check{"one", "organization", acme})
	run("single string", newOrganizationsRealm(t, object{"multivalued": "false"}),
		check{"one", "organization", ""})

	ids := object{"addOrganizationId": "true", "addOrganizationAttributes": "true"}
	r := newOrganizationsRealm(t, ids)
	acme, blue = organization("acme", r.acmeID), organization("blue", r.blueID)
	run("map", r,
		check{"both", "organization:*", acme + "," + blue},
		check{"one", "organization", acme})

	if usesRealKeycloak() && sharedKeycloak.isBefore26_6(t) {
		return // organizations have no groups
	}
	r = newOrganizationsRealm(t, ids, object{"name": "groups", "protocol": "openid-connect",
		"protocolMapper": "oidc-organization-group-membership-mapper",
		"config":         object{"access.token.claim": "true", "addGroupRoleMappings": "true"}})
	blue = organization("blue", r.blueID)
	withGroup := organization("acme", r.acmeID, "/staff/ops")
	run("groups", r,
		check{"one", "organization:*", organization("acme", r.acmeID)},
		check{"one", "profile", ""},
		check{"both", "organization:*", withGroup + "," + blue},
		check{"both", "organization:blue", blue},
		check{"both", "organization", ""}) // an empty object
}

const impersonationRedirectURI = "http://127.0.0.1/callback"

// actorMapper adds the claim act to the tokens of an impersonated user.
var actorMapper = object{"name": "actor", "protocol": "openid-connect",
	"protocolMapper": "oidc-usersessionmodel-note-mapper",
	"config": object{"user.session.note": "IMPERSONATOR_ID", "claim.name": "act.sub",
		"jsonType.label": "String", "access.token.claim": "true"}}

// me.token.impersonated is true for the token of an administrator who impersonates the user, if the
// client has the mapper that docs/operating.md describes. It stays true when the token is
// refreshed.
func TestMe_impersonated(t *testing.T) {
	t.Parallel()
	r := newRealm(t, sharedKeycloak, object{"clients": []object{apiClient(object{
		"redirectUris":    []string{impersonationRedirectURI},
		"protocolMappers": []object{actorMapper},
	})}})
	user, _ := r.newUser(t, nil)
	administrator, _ := r.newUser(t, nil)
	s := r.serve(t)
	check := func(accessToken, want string) {
		t.Helper()
		response := s.query(t, accessToken, `{ me { username token { impersonated } } }`, nil)
		want = `{"data":{"me":{"username":"` + user + `","token":{"impersonated":` + want + `}}}}`
		if got := strings.TrimSpace(response.body); got != want {
			t.Errorf("me is %s, want %s", got, want)
		}
	}
	check(s.mustLogin(t, user, "secret").AccessToken, "false")
	first := r.impersonate(t, user, administrator)
	check(first.AccessToken, "true")
	second, response := s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh", response, "")
	check(second.AccessToken, "true")
}

// impersonate signs an administrator in as the user, as Keycloak's admin console does, and returns
// the tokens that local-api then gets without another sign-in. With the fake, administrator is a
// user of this realm. With a real Keycloak, the administrator of the realm master impersonates the
// user, and the parameter administrator isn't used.
func (r realm) impersonate(t *testing.T, username, administrator string) tokens {
	t.Helper()
	if r.k.fake != nil {
		got, err := r.k.fake.Realm(r.name).Impersonate("local-api", username, administrator)
		if err != nil {
			t.Fatal(err)
		}
		return tokens{AccessToken: got.AccessToken, RefreshToken: got.RefreshToken}
	}
	userID := r.userID(t, username)
	const redirectURI = impersonationRedirectURI
	send := func(method, path string, header http.Header) *http.Response {
		t.Helper()
		request, err := http.NewRequest(method, r.k.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = header
		// A client would follow redirects.
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response
	}
	response := send(http.MethodPost,
		"/admin/realms/"+r.name+"/users/"+userID+"/impersonation",
		http.Header{"Authorization": {"Bearer " + r.k.adminToken(t)}})
	// A cookie jar would send Keycloak's cookies only over TLS.
	cookies := http.Header{}
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge >= 0 {
			cookies.Add("Cookie", cookie.Name+"="+cookie.Value)
		}
	}
	response = send(http.MethodGet, "/realms/"+r.name+"/protocol/openid-connect/auth?"+
		url.Values{"client_id": {"local-api"}, "response_type": {"code"}, "prompt": {"none"},
			"scope": {"openid"}, "redirect_uri": {redirectURI}}.Encode(), cookies)
	location, err := response.Location()
	if err != nil {
		t.Fatalf("the authorization endpoint answers %s: %v", response.Status, err)
	}
	_, body := r.k.token(t, r.name, "grant_type", "authorization_code",
		"client_id", "local-api", "client_secret", "local-api-secret",
		"code", location.Query().Get("code"), "redirect_uri", redirectURI)
	var got struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.AccessToken == "" {
		t.Fatalf("after the redirect to %s, the token endpoint answers %s", location, body)
	}
	return tokens{AccessToken: got.AccessToken, RefreshToken: got.RefreshToken}
}

// userID returns the ID of a user of a real Keycloak.
func (r realm) userID(t *testing.T, username string) string {
	t.Helper()
	body, _ := r.k.callAdmin(t, http.MethodGet, "/"+r.name+"/users?exact=true&username="+username,
		nil)
	var users []struct{ ID string }
	if err := json.Unmarshal(body, &users); err != nil || len(users) != 1 {
		t.Fatalf("the user %s: got %s", username, body)
	}
	return users[0].ID
}
