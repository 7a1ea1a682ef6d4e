package keycloaktest_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// These files are like the files that kc.sh export writes for a realm with users in separate files.
const (
	exportedRealm = `{"realm": "s28", "enabled": true, "groups": [{"name": "staff"}], "clients": [
		{"clientId": "app", "secret": "s", "directAccessGrantsEnabled": true}, {"clientId": "job", "secret": "s", "serviceAccountsEnabled": true}]}`
	exportedUsers = `{"realm": "s28", "users": [{"username": "robin", "email": "robin@example.com", "enabled": true, "firstName": "A", "lastName": "B",
		"groups": ["/staff"], "credentials": [{"type": "password", "value": "pw"}]}]}`
	exportedServiceAccount = `{"realm": "s28", "users": [{"username": "service-account-job", "enabled": true, "serviceAccountClientId": "job", "realmRoles": ["worker"]}]}`
)

// Realm files and separate users files, which kc.sh export writes, are imported in any order at the
// start. Import adds the users of a users file to an existing realm.
func TestImport_exportDirectory(t *testing.T) {
	t.Parallel()
	for name, files := range map[string][]string{
		"realm first": {exportedRealm, exportedUsers, exportedServiceAccount},
		"users first": {exportedServiceAccount, exportedUsers, exportedRealm},
	} {
		var realms [][]byte
		for _, file := range files {
			realms = append(realms, []byte(file))
		}
		s, err := keycloaktest.Start(keycloaktest.Config{Realms: realms})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		defer s.Close()
		wantExported(t, name, s.Realm("s28"))
	}
	s := keycloaktest.New(t)
	for _, file := range []string{exportedRealm, exportedUsers, exportedServiceAccount} {
		if r, err := s.Import([]byte(file)); err != nil || r != s.Realm("s28") {
			t.Fatalf("Import returns %v, %v, want the realm", r, err)
		}
	}
	wantExported(t, "one by one", s.Realm("s28"))

	overlapping := strings.Replace(exportedUsers, `"users": [`,
		`"users": [{"username": "ann", "enabled": true},`, 1)
	if _, err := s.Import([]byte(overlapping)); err == nil ||
		!strings.Contains(err.Error(), "user robin: another user has this name") {
		t.Errorf("importing an existing user again returns %v, want that robin exists", err)
	}
	if s.Realm("s28").User("ann") != nil {
		t.Error("a failed import adds the user ann")
	}
}

// wantExported checks that robin can sign in, and that the service account has exactly the role in
// the users file. name names the import in failures.
func wantExported(t *testing.T, name string, r *keycloaktest.Realm) {
	t.Helper()
	for _, form := range []url.Values{
		{"grant_type": {"password"}, "client_id": {"app"}, "client_secret": {"s"}, "username": {"robin"}, "password": {"pw"}},
		{"grant_type": {"client_credentials"}, "client_id": {"job"}, "client_secret": {"s"}},
	} {
		resp, err := http.PostForm(r.EndpointURL("/token"), form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var tokens struct {
			AccessToken string `json:"access_token"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&tokens); err != nil ||
			resp.StatusCode != http.StatusOK {
			t.Errorf("%s: grant %s returns %s (%v)", name, form.Get("grant_type"), resp.Status, err)
			continue
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(tokens.AccessToken,
			".")[1])
		if err != nil {
			t.Fatal(err)
		}
		if isJob := form.Get("client_id") == "job"; isJob != strings.Contains(string(payload),
			`"realm_access":{"roles":["worker"]}`) {
			t.Errorf("%s: token of %s has %s, want the role worker only for job", name,
				form.Get("client_id"), payload)
		}
	}
}

// Import adds all realms in a list or none.
func TestImport_listOfRealms(t *testing.T) {
	t.Parallel()
	s := keycloaktest.New(t,
		[]byte(`[{"realm": "a", "enabled": true}, {"realm": "b", "enabled": true}]`))
	if s.Realm("a") == nil || s.Realm("b") == nil {
		t.Error("New adds only some of the realms in a list, want all")
	}
	if r, err := s.Import([]byte(`[{"realm": "c"}, {"realm": "d"}]`)); err != nil ||
		r != s.Realm("c") {
		t.Errorf("Import returns %v, %v, want the first realm", r, err)
	}
	if _, err := s.Import([]byte(`[{"realm": "e"}, {"realm": "f", "colour": 1}]`)); err == nil ||
		s.Realm("e") != nil {
		t.Errorf("Import of a list with an invalid realm returns %v, or adds the other realm", err)
	}
	if _, err := s.Import([]byte(`[]`)); err == nil {
		t.Error("Import of an empty list returns no error")
	}
}
