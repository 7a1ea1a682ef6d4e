package keycloaktest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A mistaken is a test that is told of a failure, and goes on.
type mistaken struct {
	*testing.T
	failures, lines []string
}

func (r *mistaken) Fatalf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *mistaken) Logf(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

// An unknown name is a mistake of the test, and fails it in words.
func TestServer_Realm_of_an_unknown_name(t *testing.T) {
	test := &mistaken{T: t}
	kc := keycloaktest.New(test, keycloaktest.Plan{Name: "shop"}.File(),
		keycloaktest.Plan{Name: "billing"}.File())
	if kc.Realm("shop") == nil || len(test.failures) != 0 {
		t.Fatalf("the realm that is there: %q", test.failures)
	}
	if kc.Realm("Shop") != nil || len(test.failures) != 1 ||
		test.failures[0] !=
			`keycloaktest: there is no realm "Shop": the server has "billing", "shop"` {
		t.Errorf("an unknown name fails with %q", test.failures)
	}
	test.failures = nil
	kc.Remove("billing") // no mistake: it was there
	if kc.Realm("billing") != nil || len(test.failures) != 0 {
		t.Errorf("a removed realm fails with %q", test.failures)
	}
	// A request for a realm that isn't there is answered as Keycloak does, and fails no test.
	response, err := http.Get(kc.URL + "/realms/typo")
	succeed(t, err)
	response.Body.Close()
	if response.StatusCode != http.StatusNotFound || len(test.failures) != 0 {
		t.Errorf("a request for an unknown realm: %d, %q", response.StatusCode, test.failures)
	}
}

// A server without a test gives nil, whose methods say what it is.
func TestServer_Realm_of_an_unknown_name_without_a_test(t *testing.T) {
	kc, err := keycloaktest.Start(
		keycloaktest.Config{Realms: [][]byte{keycloaktest.Plan{Name: "shop"}.File()}})
	succeed(t, err)
	defer kc.Close()
	typo := kc.Realm("typo")
	if typo != nil {
		t.Fatal("there is a realm typo")
	}
	missing := kc.Realm("shop").User("nobody")
	const noRealm, noUser = "keycloaktest: this *Realm is nil or empty: get one from Server.Realm",
		"keycloaktest: this *User is nil or empty: get one from Realm.User"
	for name, tt := range map[string]struct {
		want string
		call func() error
	}{
		"SignIn": {noRealm, func() error {
			_, err := typo.SignIn("shop-api", "ann")
			return err
		}},
		"Mint": {noRealm, func() error {
			_, err := typo.Mint(keycloaktest.Mint{})
			return err
		}},
		"AddUser": {noRealm, func() error {
			_, err := typo.AddUser([]byte("{}"))
			return err
		}},
		"UpdateClient": {noRealm, func() error { return typo.UpdateClient("a", []byte("{}")) }},
		"Issuer":       {noRealm, func() error { typo.Issuer(); return nil }},
		"URL":          {noRealm, func() error { typo.URL(); return nil }},
		"User":         {noRealm, func() error { typo.User("ann"); return nil }},
		"Sessions":     {noRealm, func() error { typo.Sessions(); return nil }},
		"SigningKey":   {noRealm, func() error { typo.SigningKey("RS256"); return nil }},
		"Lock":         {noUser, func() error { return missing.Lock(1) }},
		"Grant": {noUser, func() error {
			return missing.Grant(keycloaktest.Role{Name: "a"})
		}},
		"Logout": {noUser, func() error { return missing.Logout() }},
		"ID":     {noUser, func() error { missing.ID(); return nil }},
	} {
		said := func() (said string) {
			defer func() {
				if value := recover(); value != nil {
					said = fmt.Sprint(value)
				}
			}()
			return fmt.Sprint(tt.call())
		}()
		if !strings.HasPrefix(said, tt.want) {
			t.Errorf("%s says %q, want %q", name, said, tt.want)
		}
	}
}

// Names of clients and roles that a realm doesn't have are mistakes, too.
func TestUnknownNamesAreErrors(t *testing.T) {
	plan := keycloaktest.Plan{Name: "shop", Clients: []keycloaktest.PlannedClient{{ID: "shop-api"}},
		Users: []keycloaktest.PlannedUser{{Name: "ann", Password: "a"}}}
	realm := keycloaktest.New(t, plan.File()).Realm("shop")
	ann := realm.User("ann")
	_, signIn := realm.SignIn("shop-ap", "ann")
	_, unknownUser := realm.SignIn("shop-api", "an")
	_, started := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{plan.File()},
		ClientSecrets: map[string]string{"shop-ap": "x"}})
	_, imported := keycloaktest.New(t).Import(plan.File(),
		keycloaktest.WithClientSecrets(map[string]string{"shop-ap": "x"}))
	for want, err := range map[string]error{
		`realm shop has no client "shop-ap"`: signIn,
		`realm shop has no user "an"`:        unknownUser,
		`the realm has no client "shop-ap"`: realm.UpdateClient(
			"shop-ap", []byte("{}")),
		`the realm has no client "web"`: ann.RevokeConsent("web"),
		`the realm has no role "reader"`: ann.Withdraw(
			keycloaktest.Role{Name: "reader"}),
		`the client "shop-api" has no role "reader"`: ann.Withdraw(
			keycloaktest.Role{Client: "shop-api", Name: "reader"}),
		`a secret is given for the client "shop-ap", which no realm has`:  started,
		`a secret is given for the client "shop-ap", which no realm has `: imported,
		`the realm has no key "k"`:                                        realm.RemoveKey("k"),
	} {
		if err == nil || err.Error() != "keycloaktest: "+strings.TrimSpace(want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Keycloak's answer doesn't say what an account lacks; the log of the test does.
func TestAddUser_without_a_profile_is_explained(t *testing.T) {
	test := &mistaken{T: t}
	kc := keycloaktest.New(test,
		keycloaktest.Plan{Name: "shop", Clients: []keycloaktest.PlannedClient{{ID: "web"}}}.File())
	realm := kc.Realm("shop")
	for _, tt := range []struct{ user, want string }{
		{`{"username": "ann", "enabled": true, "credentials": [{"type": "password", "value": "secret"}]}`, "ann can't sign in with a password, as in Keycloak: the realm's user profile wants a valid email, firstName, lastName"},
		{`{"username": "bob", "enabled": true, "email": "bob", "firstName": "Bob", "lastName": "Lee", "credentials": [{"type": "password", "value": "secret"}]}`, "wants a valid email;"},
		{`{"username": "cat", "enabled": true, "email": "cat@example.com", "firstName": "Cat", "lastName": "Lee", "requiredActions": ["UPDATE_PASSWORD"],
			"credentials": [{"type": "password", "value": "secret"}]}`, "cat can't sign in with a password, as in Keycloak: the user has required actions: UPDATE_PASSWORD"},
		{`{"username": "dan", "enabled": true, "email": "dan@example.com", "firstName": "Dan", "lastName": "Lee", "credentials": [{"type": "password", "value": "secret"}]}`, ""},
	} {
		test.lines = nil
		_, err := realm.AddUser([]byte(tt.user))
		succeed(t, err)
		name, _, _ := strings.Cut(strings.TrimPrefix(tt.user, `{"username": "`), `"`)
		response, err := http.PostForm(realm.EndpointURL("/token"),
			url.Values{"grant_type": {"password"}, "client_id": {"web"}, "username": {name}, "password": {"secret"}})
		succeed(t, err)
		response.Body.Close()
		said := strings.Join(test.lines, "\n")
		if ok := tt.want == ""; ok != (response.StatusCode == http.StatusOK) ||
			ok != (said == "") || !strings.Contains(said, tt.want) {
			t.Errorf("%s: %d, and the log of the test says %q, want %q", name, response.StatusCode,
				said, tt.want)
		}
	}
}
