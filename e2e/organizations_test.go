package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// newOrganization adds an organization with these members, and returns its ID.
func (r realm) newOrganization(t *testing.T, alias string, memberIDs ...string) (id string) {
	t.Helper()
	_, id = r.k.callAdmin(t, http.MethodPost, "/"+r.name+"/organizations", object{"name": alias,
		"alias": alias, "domains": []object{{"name": alias + ".example"}},
		"attributes": object{"tier": []string{"gold"}}})
	for _, memberID := range memberIDs {
		r.k.callAdmin(t, http.MethodPost, "/"+r.name+"/organizations/"+id+"/members", memberID)
	}
	return id
}

// configureOrganizationScope sets options of the mapper organization, and adds more mappers to the
// client scope organization.
func (r realm) configureOrganizationScope(t *testing.T, options object, mappers ...object) {
	t.Helper()
	var scopes []struct {
		ID, Name        string
		ProtocolMappers []object
	}
	body, _ := r.k.callAdmin(t, http.MethodGet, "/"+r.name+"/client-scopes", nil)
	if err := json.Unmarshal(body, &scopes); err != nil {
		t.Fatal(err)
	}
	for _, scope := range scopes {
		if scope.Name != "organization" {
			continue
		}
		path := "/" + r.name + "/client-scopes/" + scope.ID + "/protocol-mappers/models"
		mapper := scope.ProtocolMappers[0]
		for name, value := range options {
			mapper["config"].(map[string]any)[name] = value
		}
		r.k.callAdmin(t, http.MethodPut, path+"/"+mapper["id"].(string), mapper)
		for _, mapper := range mappers {
			r.k.callAdmin(t, http.MethodPost, path, mapper)
		}
	}
}

// me.organizations has the organizations that the scopes of LOGIN_SCOPE ask for, in each form of
// Keycloak's claim.
func TestMe_organizations(t *testing.T) {
	t.Parallel()
	switch {
	case !usesRealKeycloak():
		t.Skip("the fake has no organizations")
	case sharedKeycloak.isBefore26_6(t):
		t.Skip("organizations have no groups before Keycloak 26.6")
	}
	r := newRealm(t, sharedKeycloak, object{"organizationsEnabled": true})
	alice, aliceID := r.newUser(t, nil)
	bob, bobID := r.newUser(t, nil)
	acmeID := r.newOrganization(t, "acme", aliceID, bobID)
	blueID := r.newOrganization(t, "blue", aliceID)
	servers := map[string]*server{}
	check := func(user, scope, want string) {
		t.Helper()
		if servers[scope] == nil {
			servers[scope] = r.serve(t, "LOGIN_SCOPE=openid "+scope)
		}
		token := servers[scope].mustLogin(t, user, "secret").AccessToken
		response := servers[scope].query(t, token,
			`{ me { organizations { alias id groups } } }`, nil)
		want = `{"data":{"me":{"organizations":[` + want + `]}}}`
		if got := strings.TrimSpace(response.body); got != want {
			t.Errorf("me with the scope %q is %s, want %s", scope, got, want)
		}
	}

	acme := `{"alias":"acme","id":null,"groups":[]}`
	blue := `{"alias":"blue","id":null,"groups":[]}`
	check(alice, "profile", "")
	check(alice, "organization:*", acme+","+blue)
	check(alice, "organization:blue", blue)
	check(alice, "organization", "")
	check(bob, "organization:*", acme)
	check(bob, "organization:blue", "")
	check(bob, "organization", acme)

	r.configureOrganizationScope(t, object{"multivalued": "false"}) // a single string
	check(bob, "organization", "")

	r.configureOrganizationScope(t, object{"multivalued": "true", "addOrganizationId": "true",
		"addOrganizationAttributes": "true"})
	acme = strings.Replace(acme, "null", `"`+acmeID+`"`, 1)
	blue = strings.Replace(blue, "null", `"`+blueID+`"`, 1)
	check(alice, "organization:*", acme+","+blue)
	check(bob, "organization", acme)

	r.configureOrganizationScope(t, nil, object{"name": "groups", "protocol": "openid-connect",
		"protocolMapper": "oidc-organization-group-membership-mapper",
		"config":         object{"access.token.claim": "true", "addGroupRoleMappings": "true"}})
	groups := "/" + r.name + "/organizations/" + acmeID + "/groups"
	_, staffID := r.k.callAdmin(t, http.MethodPost, groups, object{"name": "staff"})
	_, opsID := r.k.callAdmin(t, http.MethodPost, groups+"/"+staffID+"/children",
		object{"name": "ops"})
	r.k.callAdmin(t, http.MethodPut, groups+"/"+opsID+"/members/"+aliceID, nil)
	check(bob, "organization:*", acme)
	check(bob, "profile", "")
	acme = strings.Replace(acme, "[]", `["/staff/ops"]`, 1)
	check(alice, "organization:*", acme+","+blue)
	check(alice, "organization:blue", blue)
	check(alice, "organization", "") // an empty object
}

// me.token.impersonated is true for the token of an administrator who impersonates the user, if the
// client has the mapper that docs/operating.md describes. It stays true when the token is
// refreshed.
func TestMe_impersonated(t *testing.T) {
	t.Parallel()
	if !usesRealKeycloak() {
		t.Skip("the fake has no administrators")
	}
	const redirectURI = "http://127.0.0.1/callback"
	r := newRealm(t, sharedKeycloak, object{"clients": []object{apiClient(object{
		"redirectUris": []string{redirectURI},
		"protocolMappers": []object{{"name": "actor", "protocol": "openid-connect",
			"protocolMapper": "oidc-usersessionmodel-note-mapper",
			"config": object{"user.session.note": "IMPERSONATOR_ID", "claim.name": "act.sub",
				"jsonType.label": "String", "access.token.claim": "true"}}},
	})}})
	user, id := r.newUser(t, nil)
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
	first := r.impersonate(t, id, redirectURI)
	check(first.AccessToken, "true")
	second, response := s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh", response, "")
	check(second.AccessToken, "true")
}

// impersonate signs an administrator in as the user, as Keycloak's admin console does, and returns
// the tokens that local-api then gets without another sign-in.
func (r realm) impersonate(t *testing.T, userID, redirectURI string) tokens {
	t.Helper()
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
