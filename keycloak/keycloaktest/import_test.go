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

// kc.sh export can write a realm and its users to separate files. These constants are such files:
// one has the realm, and the others have only users.
const (
	realmOnlyFile = `{"realm": "exported", "enabled": true, "groups": [{"name": "staff"}], "clients": [
		{"clientId": "app", "secret": "s", "directAccessGrantsEnabled": true}, {"clientId": "job", "secret": "s", "serviceAccountsEnabled": true}]}`
	usersFile = `{"realm": "exported", "users": [{"username": "robin", "email": "robin@example.com", "enabled": true, "firstName": "A", "lastName": "B",
		"groups": ["/staff"], "credentials": [{"type": "password", "value": "pw"}]}]}`
	serviceAccountFile = `{"realm": "exported", "users": [{"username": "service-account-job", ` +
		`"enabled": true, "serviceAccountClientId": "job", "realmRoles": ["worker"]}]}`
)

// Start imports a realm file and its users files in any order. Import adds the users in a users
// file to the existing realm, and adds none of them if one can't be added.
func TestImport_exportDirectory(t *testing.T) {
	t.Parallel()
	for order, files := range map[string][]string{
		"realm file first":  {realmOnlyFile, usersFile, serviceAccountFile},
		"users files first": {serviceAccountFile, usersFile, realmOnlyFile},
	} {
		var realms [][]byte
		for _, file := range files {
			realms = append(realms, []byte(file))
		}
		s, err := keycloaktest.Start(keycloaktest.Config{Realms: realms})
		if err != nil {
			t.Errorf("%s: Start returns %v, want no error", order, err)
			continue
		}
		defer s.Close()
		checkExportedRealm(t, order, s.Realm("exported"))
	}
	s := keycloaktest.New(t)
	for _, file := range []string{realmOnlyFile, usersFile, serviceAccountFile} {
		if r, err := s.Import([]byte(file)); err != nil || r != s.Realm("exported") {
			t.Fatalf("Import returns %v, %v, want the realm", r, err)
		}
	}
	checkExportedRealm(t, "one call of Import for each file", s.Realm("exported"))

	annAndRobin := strings.Replace(usersFile, `"users": [`,
		`"users": [{"username": "ann", "enabled": true},`, 1)
	if _, err := s.Import([]byte(annAndRobin)); err == nil ||
		!strings.Contains(err.Error(), "user robin: another user has this name") {
		t.Errorf("Import of the existing user robin returns %v, want another user has this name",
			err)
	}
	if s.Realm("exported").User("ann") != nil {
		t.Error("the failed import adds the user ann, want no change")
	}
}

// checkExportedRealm checks that the realm has the users in the files: robin can sign in, and only
// the service account of the client job has the role worker. order describes the order of the
// imports in failures.
func checkExportedRealm(t *testing.T, order string, r *keycloaktest.Realm) {
	t.Helper()
	for _, form := range []url.Values{
		{"grant_type": {"password"}, "client_id": {"app"}, "client_secret": {"s"},
			"username": {"robin"}, "password": {"pw"}},
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
			t.Errorf("%s: grant %s returns %s (%v), want 200", order, form.Get("grant_type"),
				resp.Status, err)
			continue
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(tokens.AccessToken,
			".")[1])
		if err != nil {
			t.Fatal(err)
		}
		if isJob := form.Get("client_id") == "job"; isJob != strings.Contains(string(payload),
			`"realm_access":{"roles":["worker"]}`) {
			t.Errorf("%s: token for client %s has %s, want the role worker only for job", order,
				form.Get("client_id"), payload)
		}
	}
}

// Import of a list of realms adds all of them. If one is invalid, it adds none.
func TestImport_listOfRealms(t *testing.T) {
	t.Parallel()
	s := keycloaktest.New(t,
		[]byte(`[{"realm": "a", "enabled": true}, {"realm": "b", "enabled": true}]`))
	if s.Realm("a") == nil || s.Realm("b") == nil {
		t.Error("New adds only some of the realms in a list, want all")
	}
	if r, err := s.Import([]byte(`[{"realm": "c"}, {"realm": "d"}]`)); err != nil ||
		r != s.Realm("c") {
		t.Errorf("Import returns %v, %v, want the first realm of the list", r, err)
	}
	if _, err := s.Import([]byte(`[{"realm": "e"}, {"realm": "f", "colour": 1}]`)); err == nil ||
		s.Realm("e") != nil {
		t.Errorf("Import of realm e and the invalid realm f returns %v and adds e: %t, want an "+
			"error and false", err, s.Realm("e") != nil)
	}
	if _, err := s.Import([]byte(`[]`)); err == nil {
		t.Error("Import of an empty list returns no error, want one")
	}
}
