package keycloaktest_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// An administrator reaches a service account by its name, and what it gets shows in its tokens.
func TestServiceAccountByName(t *testing.T) {
	t.Parallel()
	kc := keycloaktest.New(t,
		keycloaktest.Plan{Name: "shop",
			Clients: []keycloaktest.PlannedClient{{ID: "robot", Secret: "robot-secret"}}}.File())
	account := kc.Realm("shop").User("service-account-robot")
	if account == nil {
		t.Fatal("the service account isn't found by its name")
	}
	if err := account.Grant(keycloaktest.Role{Name: "sweeper"}); err != nil {
		t.Fatal(err)
	}
	answer, err := http.PostForm(kc.Realm("shop").EndpointURL("/token"), url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"robot"}, "client_secret": {"robot-secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("the service account gets %s, want 200", answer.Status)
	}
	if _, err := kc.Realm("shop").SignIn("robot", "service-account-robot"); err == nil {
		t.Error("somebody signs in as a service account")
	}
}

// A time in Mint's claims is a NumericDate in the token.
func TestMintedTimes(t *testing.T) {
	t.Parallel()
	kc := keycloaktest.New(t, keycloaktest.Plan{Name: "shop"}.File())
	later := time.Now().Add(time.Hour)
	token, err := kc.Realm("shop").Mint(keycloaktest.Mint{Claims: map[string]any{"nbf": later}})
	if err != nil {
		t.Fatal(err)
	}
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	if nbf, err := parsed.Claims.GetNotBefore(); err != nil || nbf.Unix() != later.Unix() {
		t.Errorf("nbf is %v (%v), want %d", nbf, err, later.Unix())
	}
}

// Realms of two servers begin with the same key, unless one wants its own.
func TestOwnKeys(t *testing.T) {
	t.Parallel()
	file := keycloaktest.Plan{Name: "shop"}.File()
	key := func(own bool) string {
		kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{file}, OwnKeys: own})
		if err != nil {
			t.Fatal(err)
		}
		defer kc.Close()
		return kc.Realm("shop").SigningKey("RS256")
	}
	shared := key(false)
	if again := key(false); again != shared {
		t.Errorf("the second server's key is %s, want the first's, %s", again, shared)
	}
	if own := key(true); own == shared {
		t.Error("a server that wants keys of its own has the shared one")
	}
}
