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
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A realm identifies a realm on a Keycloak server. Its methods call Keycloak directly, except for
// serve, which starts CloakQL for the realm.
type realm struct {
	k    *keycloak
	name string
}

// object is a JSON object, such as a part of a realm file.
type object = map[string]any

// keycloakClient is the HTTP client with which the tests call Keycloak directly. Because of its
// timeout, a Keycloak that hangs fails one test and doesn't block the whole run.
var keycloakClient = &http.Client{Timeout: 3 * time.Minute}

// token calls the realm's token endpoint directly, as other clients of Keycloak would. It returns
// the status and the body.
func (k *keycloak) token(t *testing.T, realm string, form ...string) (int, string) {
	t.Helper()
	return k.post(t, "/realms/"+realm+"/protocol/openid-connect/token", form...)
}

// post sends a form, given as alternating names and values, and returns the status and the body.
func (k *keycloak) post(t *testing.T, path string, form ...string) (int, string) {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	response, err := keycloakClient.PostForm(k.url+path, values)
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

// refresh exchanges a refresh token directly at Keycloak, bypassing CloakQL.
func (r realm) refresh(t *testing.T, refreshToken string) (int, string) {
	t.Helper()
	return r.k.token(t, r.name, "grant_type", "refresh_token", "client_id", "local-api",
		"client_secret", "local-api-secret", "refresh_token", refreshToken)
}

// wantRefreshRejected checks that a refresh directly at Keycloak fails with invalid_grant and this
// description.
func (r realm) wantRefreshRejected(t *testing.T, refreshToken, description string) {
	t.Helper()
	want := `{"error":"invalid_grant","error_description":"` + description + `"}`
	if status, body := r.refresh(t, refreshToken); status != http.StatusBadRequest || body != want {
		t.Errorf("refresh at Keycloak: got %d %s, want 400 %s", status, body, want)
	}
}

// callAdmin calls the admin API at a path below /admin/realms, and fails the test if the call
// fails. It returns the body and, if the call creates an object, its ID.
func (k *keycloak) callAdmin(t *testing.T, method, path string, content any) (
	body []byte, id string) {
	t.Helper()
	return k.callAdminPath(t, method, "/admin/realms"+path, content)
}

// callAdminPath is like callAdmin, for a path that isn't below /admin/realms.
func (k *keycloak) callAdminPath(t *testing.T, method, path string, content any) (
	body []byte, id string) {
	t.Helper()
	requestBody, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(method, k.url+path, bytes.NewReader(requestBody))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+k.adminToken(t))
	response, err := keycloakClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode >= 300 {
		t.Fatalf("%s %s: got %d %s, want success", method, path, response.StatusCode, body)
	}
	location := response.Header.Get("Location")
	return body, location[strings.LastIndex(location, "/")+1:]
}

// adminToken returns an access token of the administrator of a real Keycloak. The token lasts a
// minute; adminToken returns it for half of that.
func (k *keycloak) adminToken(t *testing.T) string {
	t.Helper()
	k.adminMu.Lock()
	defer k.adminMu.Unlock()
	if time.Since(k.adminTokenAt) < 30*time.Second {
		return k.lastAdminToken
	}
	now := time.Now()
	_, tokenResponse := k.token(t, "master", "grant_type", "password", "client_id", "admin-cli",
		"username", "admin", "password", "admin")
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal([]byte(tokenResponse), &token); token.AccessToken == "" {
		t.Fatalf("the administrator admin/admin can't sign in: %s", tokenResponse)
	}
	k.lastAdminToken, k.adminTokenAt = token.AccessToken, now
	return token.AccessToken
}

// isBefore26_6 reports whether this is a real Keycloak older than 26.6. That version changed the
// response to a wrong password from 401 to 400, no longer reveals that an account is disabled, and
// added a setting for how a client may send its secret.
func (k *keycloak) isBefore26_6(t *testing.T) bool {
	t.Helper()
	if k.fake != nil {
		return false
	}
	body, _ := k.callAdminPath(t, http.MethodGet, "/admin/serverinfo", nil)
	var info struct{ SystemInfo struct{ Version string } }
	if err := json.Unmarshal(body, &info); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	version := info.SystemInfo.Version
	if _, err := fmt.Sscanf(version, "%d.%d.", &major, &minor); err != nil {
		t.Fatalf("Keycloak's version is %q: %v", version, err)
	}
	return major < 26 || major == 26 && minor < 6
}

// newRealm creates a realm for one test, with single-use refresh tokens and a client like that of
// the realm local. settings overrides these fields. The realm is deleted when the test ends.
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
	if k.fake != nil {
		if _, err := k.fake.Import(encode(t, file)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.fake.Remove(r.name) })
		return r
	}
	k.callAdmin(t, http.MethodPost, "", file)
	t.Cleanup(func() { k.callAdmin(t, http.MethodDelete, "/"+r.name, nil) })
	return r
}

// encode returns an object as JSON.
func encode(t *testing.T, o object) []byte {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The following methods change users and realms as an administrator would, with the methods of the
// fake or with the admin API of a real Keycloak.

// withFakeUser calls f with the user if Keycloak is the fake. It reports whether Keycloak is the
// fake.
func (r realm) withFakeUser(t *testing.T, id string, f func(*keycloaktest.User) error) bool {
	t.Helper()
	if r.k.fake == nil {
		return false
	}
	if err := f(r.k.fake.Realm(r.name).UserByID(id)); err != nil {
		t.Fatal(err)
	}
	return true
}

// isLocked reports whether brute-force protection has locked a user.
func (r realm) isLocked(t *testing.T, id string) (locked bool) {
	t.Helper()
	if r.withFakeUser(t, id, func(u *keycloaktest.User) (err error) {
		locked, err = u.Locked()
		return err
	}) {
		return locked
	}
	body, _ := r.k.callAdmin(t, http.MethodGet, "/"+r.name+"/attack-detection/brute-force/users/"+
		id,
		nil)
	return bytes.Contains(body, []byte(`"disabled":true`))
}

// removeRole removes a realm role from a user.
func (r realm) removeRole(t *testing.T, id, name string) {
	t.Helper()
	if r.withFakeUser(t, id, func(u *keycloaktest.User) error {
		return u.RevokeRole(keycloaktest.Role{Name: name})
	}) {
		return
	}
	role, _ := r.k.callAdmin(t, http.MethodGet, "/"+r.name+"/roles/"+name, nil)
	r.k.callAdmin(t, http.MethodDelete, "/"+r.name+"/users/"+id+"/role-mappings/realm",
		[]json.RawMessage{role})
}

// logoutUser ends all sessions of a user.
func (r realm) logoutUser(t *testing.T, id string) {
	t.Helper()
	if !r.withFakeUser(t, id, (*keycloaktest.User).Logout) {
		r.k.callAdmin(t, http.MethodPost, "/"+r.name+"/users/"+id+"/logout", nil)
	}
}

// updateUser changes settings of a user.
func (r realm) updateUser(t *testing.T, id string, patch object) {
	t.Helper()
	if !r.withFakeUser(t, id, func(u *keycloaktest.User) error {
		return u.Update(encode(t, patch))
	}) {
		r.k.callAdmin(t, http.MethodPut, "/"+r.name+"/users/"+id, patch)
	}
}

// revokeConsent revokes a user's consent for a client.
func (r realm) revokeConsent(t *testing.T, id, client string) {
	t.Helper()
	if !r.withFakeUser(t, id, func(u *keycloaktest.User) error { return u.RevokeConsent(client) }) {
		r.k.callAdmin(t, http.MethodDelete, "/"+r.name+"/users/"+id+"/consents/"+client, nil)
	}
}

// update changes settings of the realm.
func (r realm) update(t *testing.T, patch object) {
	t.Helper()
	if r.k.fake == nil {
		r.k.callAdmin(t, http.MethodPut, "/"+r.name, patch)
	} else if err := r.k.fake.Realm(r.name).Update(encode(t, patch)); err != nil {
		t.Fatal(err)
	}
}

// apiClient returns the client local-api for a realm file. settings overrides its fields.
func apiClient(settings object) object {
	client := object{
		"clientId": "local-api", "enabled": true, "secret": "local-api-secret",
		"directAccessGrantsEnabled": true,
		"protocolMappers": []object{{
			"name": "audience", "protocol": "openid-connect",
			"protocolMapper": "oidc-audience-mapper",
			"config": object{"included.client.audience": "local-api",
				"access.token.claim": "true"},
		}},
	}
	for name, value := range settings {
		client[name] = value
	}
	return client
}

// newUser adds a user with the password "secret". settings overrides the user's fields. A test
// whose sign-ins fail needs its own user, since brute-force protection counts the failures.
func (r realm) newUser(t *testing.T, settings object) (username, id string) {
	t.Helper()
	name := "user-" + strings.ToLower(rand.Text()[:10])
	user := object{
		"username": name, "enabled": true, "email": name + "@example.com", "firstName": "Test",
		"lastName":    "User",
		"credentials": []object{{"type": "password", "value": "secret", "temporary": false}},
	}
	for key, value := range settings {
		user[key] = value
	}
	if r.k.fake != nil {
		fakeUser, err := r.k.fake.Realm(r.name).AddUser(encode(t, user))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(user["username"]), fakeUser.ID()
	}
	_, id = r.k.callAdmin(t, http.MethodPost, "/"+r.name+"/users", user)
	return fmt.Sprint(user["username"]), id
}

// serve starts the server for this realm.
func (r realm) serve(t *testing.T, settings ...string) *server {
	t.Helper()
	return serve(t, r.k, append([]string{"KEYCLOAK_REALM_NAME=" + r.name}, settings...)...)
}
