//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A realm is one realm of a Keycloak, as its administrator sees it.
type realm struct {
	k    *keycloak
	name string
}

// object is a piece of a realm file.
type object = map[string]any

// token asks the realm's token endpoint, as a client of Keycloak's that isn't ours would, and returns the
// status and the body.
func (k *keycloak) token(t *testing.T, realm string, form ...string) (int, string) {
	t.Helper()
	return k.post(t, "/realms/"+realm+"/protocol/openid-connect/token", form...)
}

func (k *keycloak) post(t *testing.T, path string, form ...string) (int, string) {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	response, err := http.PostForm(k.url+path, values)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// refresh exchanges a refresh token at Keycloak itself, past our server.
func (r realm) refresh(t *testing.T, refreshToken string) (int, string) {
	t.Helper()
	return r.k.token(t, r.name, "grant_type", "refresh_token", "client_id", "local-api", "client_secret", "local-api-secret", "refresh_token", refreshToken)
}

// wantRefused wants Keycloak itself to refuse a refresh token in these words.
func (r realm) wantRefused(t *testing.T, refreshToken, description string) {
	t.Helper()
	want := `{"error":"invalid_grant","error_description":"` + description + `"}`
	if status, body := r.refresh(t, refreshToken); status != http.StatusBadRequest || body != want {
		t.Errorf("Keycloak answers %d %s, want 400 %s", status, body, want)
	}
}

// admin calls the admin API and wants success. It returns the body, and the id of what was created.
func (k *keycloak) admin(t *testing.T, method, path string, content any) (body []byte, id string) {
	t.Helper()
	_, answer := k.token(t, "master", "grant_type", "password", "client_id", "admin-cli", "username", "admin", "password", "admin")
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal([]byte(answer), &token); token.AccessToken == "" {
		t.Fatalf("the administrator admin/admin can't sign in: %s", answer)
	}
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(method, k.url+"/admin/realms"+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, response.StatusCode, body)
	}
	location := response.Header.Get("Location")
	return body, location[strings.LastIndex(location, "/")+1:]
}

// newRealm makes a realm for one test, with single-use refresh tokens and a client like that of the realm
// local; settings override. It is deleted when the test ends.
func newRealm(t *testing.T, k *keycloak, settings object) realm {
	t.Helper()
	r := realm{k, "e2e-" + strings.ToLower(rand.Text()[:10])}
	file := object{
		"realm": r.name, "enabled": true, "revokeRefreshToken": true, "refreshTokenMaxReuse": 0,
		"clients": []object{apiClient(nil)},
	}
	for name, value := range settings {
		file[name] = value
	}
	k.admin(t, http.MethodPost, "", file)
	t.Cleanup(func() { k.admin(t, http.MethodDelete, "/"+r.name, nil) })
	return r
}

// apiClient is the client local-api in a realm file; settings override.
func apiClient(settings object) object {
	client := object{
		"clientId": "local-api", "enabled": true, "secret": "local-api-secret", "directAccessGrantsEnabled": true,
		"protocolMappers": []object{{
			"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
			"config": object{"included.client.audience": "local-api", "access.token.claim": "true"},
		}},
	}
	for name, value := range settings {
		client[name] = value
	}
	return client
}

// newUser adds a user who can sign in with the password "secret"; settings override. Every test that is
// refused has a user of its own: brute-force protection counts.
func (r realm) newUser(t *testing.T, settings object) (username, id string) {
	t.Helper()
	name := "user-" + strings.ToLower(rand.Text()[:10])
	user := object{
		"username": name, "enabled": true, "email": name + "@example.com", "firstName": "Test", "lastName": "User",
		"credentials": []object{{"type": "password", "value": "secret", "temporary": false}},
	}
	for key, value := range settings {
		user[key] = value
	}
	_, id = r.k.admin(t, http.MethodPost, "/"+r.name+"/users", user)
	return fmt.Sprint(user["username"]), id
}

// serve starts the server for this realm.
func (r realm) serve(t *testing.T, settings ...string) *server {
	t.Helper()
	return serve(t, r.k, append([]string{"KEYCLOAK_REALM_NAME=" + r.name}, settings...)...)
}
