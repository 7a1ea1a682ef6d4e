package keycloaktest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A recordingTB is a testing.TB that records failures and log lines. Its Fatalf doesn't end the
// test.
type recordingTB struct {
	*testing.T
	failures, logLines []string
}

func (tb *recordingTB) Fatalf(format string, args ...any) {
	tb.failures = append(tb.failures, fmt.Sprintf(format, args...))
}

func (tb *recordingTB) Logf(format string, args ...any) {
	tb.logLines = append(tb.logLines, fmt.Sprintf(format, args...))
}

// Server.Realm fails the test that was passed to New if there was never a realm with this name. An
// HTTP request for an unknown realm doesn't fail the test.
func TestServer_Realm_unknown(t *testing.T) {
	tb := &recordingTB{T: t}
	kc := keycloaktest.New(tb, keycloaktest.RealmSpec{Name: "shop"}.File(),
		keycloaktest.RealmSpec{Name: "billing"}.File())
	if kc.Realm("shop") == nil || len(tb.failures) != 0 {
		t.Fatalf("Realm(shop) fails the test with %q, want the realm", tb.failures)
	}
	want := `keycloaktest: there is no realm "Shop": the server has "billing", "shop"`
	if kc.Realm("Shop") != nil || len(tb.failures) != 1 || tb.failures[0] != want {
		t.Errorf("Realm(Shop) fails the test with %q, want %q", tb.failures, want)
	}
	tb.failures = nil
	kc.Remove("billing") // Realm returns nil for the name of a removed realm
	if kc.Realm("billing") != nil || len(tb.failures) != 0 {
		t.Errorf("after Remove, Realm(billing) fails the test with %q, want nil and no failure",
			tb.failures)
	}
	response, err := http.Get(kc.URL + "/realms/typo")
	must(t, err)
	response.Body.Close()
	if response.StatusCode != http.StatusNotFound || len(tb.failures) != 0 {
		t.Errorf("request for an unknown realm returns %d and fails the test with %q, want 404 "+
			"and no failure", response.StatusCode, tb.failures)
	}
}

// For a server that Start returned, there is no test to fail, and Server.Realm returns nil for an
// unknown name. The methods of a nil Realm or User return an error. Methods that have no error
// result panic with the error's message.
func TestServer_Realm_unknownWithoutTest(t *testing.T) {
	kc, err := keycloaktest.Start(
		keycloaktest.Config{Realms: [][]byte{keycloaktest.RealmSpec{Name: "shop"}.File()}})
	must(t, err)
	defer kc.Close()
	unknownRealm := kc.Realm("typo")
	if unknownRealm != nil {
		t.Fatalf("Realm(typo) = %v, want nil", unknownRealm)
	}
	unknownUser := kc.Realm("shop").User("unknown")
	const nilRealmMessage, nilUserMessage = "keycloaktest: this *Realm is nil or empty: get one " +
		"from Server.Realm",
		"keycloaktest: this *User is nil or empty: get one from Realm.User"
	for name, tt := range map[string]struct {
		want string
		call func() error
	}{
		"SignIn": {nilRealmMessage, func() error {
			_, err := unknownRealm.SignIn("shop-api", "ann")
			return err
		}},
		"Mint": {nilRealmMessage, func() error {
			_, err := unknownRealm.Mint(keycloaktest.TokenSpec{})
			return err
		}},
		"AddUser": {nilRealmMessage, func() error {
			_, err := unknownRealm.AddUser([]byte("{}"))
			return err
		}},
		"UpdateClient": {nilRealmMessage,
			func() error { return unknownRealm.UpdateClient("a", []byte("{}")) }},
		"Issuer":   {nilRealmMessage, func() error { unknownRealm.Issuer(); return nil }},
		"URL":      {nilRealmMessage, func() error { unknownRealm.URL(); return nil }},
		"User":     {nilRealmMessage, func() error { unknownRealm.User("ann"); return nil }},
		"Sessions": {nilRealmMessage, func() error { unknownRealm.Sessions(); return nil }},
		"SigningKeyID": {nilRealmMessage,
			func() error { unknownRealm.SigningKeyID("RS256"); return nil }},
		"Lock": {nilUserMessage, func() error { return unknownUser.Lock(1) }},
		"GrantRole": {nilUserMessage, func() error {
			return unknownUser.GrantRole(keycloaktest.Role{Name: "a"})
		}},
		"Logout": {nilUserMessage, func() error { return unknownUser.Logout() }},
		"ID":     {nilUserMessage, func() error { unknownUser.ID(); return nil }},
	} {
		got := func() (got string) {
			defer func() {
				if value := recover(); value != nil {
					got = fmt.Sprint(value)
				}
			}()
			return fmt.Sprint(tt.call())
		}()
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s returns %q, want %q", name, got, tt.want)
		}
	}
}

// Methods return errors for unknown names of clients, users, roles and keys.
func TestUnknownNames(t *testing.T) {
	shop := keycloaktest.RealmSpec{
		Name:    "shop",
		Clients: []keycloaktest.ClientSpec{{ID: "shop-api"}},
		Users:   []keycloaktest.UserSpec{{Name: "ann", Password: "a"}},
	}
	realm := keycloaktest.New(t, shop.File()).Realm("shop")
	ann := realm.User("ann")
	_, clientErr := realm.SignIn("shop-ap", "ann")
	_, userErr := realm.SignIn("shop-api", "an")
	_, startErr := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()},
		ClientSecrets: map[string]string{"shop-ap": "x"}})
	_, importErr := keycloaktest.New(t).Import(shop.File(),
		keycloaktest.WithClientSecrets(map[string]string{"shop-ap": "x"}))
	for want, err := range map[string]error{
		`realm shop has no client "shop-ap"`: clientErr,
		`realm shop has no user "an"`:        userErr,
		`the realm has no client "shop-ap"`: realm.UpdateClient(
			"shop-ap", []byte("{}")),
		`the realm has no client "web"`: ann.RevokeConsent("web"),
		`the realm has no role "reader"`: ann.RevokeRole(
			keycloaktest.Role{Name: "reader"}),
		`the client "shop-api" has no role "reader"`: ann.RevokeRole(
			keycloaktest.Role{Client: "shop-api", Name: "reader"}),
		// The two calls return the same error. A space makes the second key of the map different.
		`a secret is given for the client "shop-ap", which no realm has`:  startErr,
		`a secret is given for the client "shop-ap", which no realm has `: importErr,
		`the realm has no key "k"`:                                        realm.RemoveKey("k"),
	} {
		if err == nil || err.Error() != "keycloaktest: "+strings.TrimSpace(want) {
			t.Errorf("error is %v, want keycloaktest: %s", err, want)
		}
	}
}

// If a user can't sign in because the account is incomplete, the test's log gives the reason.
// Keycloak's response doesn't.
func TestLogin_incompleteProfile(t *testing.T) {
	tb := &recordingTB{T: t}
	shop := keycloaktest.RealmSpec{Name: "shop", Clients: []keycloaktest.ClientSpec{{ID: "web"}}}
	kc := keycloaktest.New(tb, shop.File())
	realm := kc.Realm("shop")
	for _, tt := range []struct{ user, want string }{
		{`{"username": "ann", "enabled": true, "credentials": [{"type": "password", "value": ` +
			`"secret"}]}`, "ann can't sign in with a password, as in Keycloak: the realm's user " +
			"profile requires a valid email, firstName, lastName"},
		{`{"username": "bob", "enabled": true, "email": "bob", "firstName": "Bob", "lastName": ` +
			`"Lee", "credentials": [{"type": "password", "value": "secret"}]}`,
			"requires a valid email;"},
		{`{"username": "cat", "enabled": true, "email": "cat@example.com", "firstName": "Cat", "lastName": "Lee", "requiredActions": ["UPDATE_PASSWORD"],
			"credentials": [{"type": "password", "value": "secret"}]}`, "cat can't sign in with a password, as in Keycloak: the user has required actions: UPDATE_PASSWORD"},
		{`{"username": "dan", "enabled": true, "email": "dan@example.com", "firstName": "Dan", ` +
			`"lastName": "Lee", "credentials": [{"type": "password", "value": "secret"}]}`, ""},
	} {
		tb.logLines = nil
		_, err := realm.AddUser([]byte(tt.user))
		must(t, err)
		name, _, _ := strings.Cut(strings.TrimPrefix(tt.user, `{"username": "`), `"`)
		response, err := http.PostForm(realm.EndpointURL("/token"),
			url.Values{"grant_type": {"password"}, "client_id": {"web"}, "username": {name},
				"password": {"secret"}})
		must(t, err)
		response.Body.Close()
		logText := strings.Join(tb.logLines, "\n")
		if wantOK := tt.want == ""; wantOK != (response.StatusCode == http.StatusOK) ||
			wantOK != (logText == "") || !strings.Contains(logText, tt.want) {
			t.Errorf("%s: status is %d and log %q, want success: %t, and %q in the log", name,
				response.StatusCode, logText, wantOK, tt.want)
		}
	}
}
