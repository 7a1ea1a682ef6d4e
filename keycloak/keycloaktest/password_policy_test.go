package keycloaktest_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// The age of a password in a realm file counts from the import of the realm.
func TestPasswordPolicy_expiry(t *testing.T) {
	t.Parallel()
	kc := keycloaktest.New(t,
		[]byte(
			`{"realm": "r", "enabled": true, "passwordPolicy": "length(2) and forceExpiredPasswordChange(365)",
		"clients": [{"clientId": "app", "publicClient": true, "directAccessGrantsEnabled": true}],
		"users": [{"username": "ann", "enabled": true, "email": "ann@example.com", "firstName": "A", "lastName": "N", "credentials": [{"type": "password", "value": "pw"}]}]}`))
	r := kc.Realm("r")
	wantLogin := func(desc, password string, status int) {
		t.Helper()
		resp, err := http.PostForm(r.EndpointURL("/token"),
			url.Values{"grant_type": {"password"}, "client_id": {"app"}, "username": {"ann"},
				"password": {password}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("a login %s returns %d, want %d", desc, resp.StatusCode, status)
		}
	}
	const day = 24 * time.Hour
	wantLogin("after the import", "pw", http.StatusOK)
	kc.Advance(365*day - time.Hour)
	wantLogin("on the last day", "pw", http.StatusOK)
	kc.Advance(2 * time.Hour)
	wantLogin("after 365 days", "pw", http.StatusBadRequest)
	if err := r.User("ann").SetPassword("new"); err != nil {
		t.Fatal(err)
	}
	wantLogin("with the new password", "new", http.StatusOK)
}
