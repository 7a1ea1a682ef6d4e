package keycloaktest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// shop is a realm without a file: one client that signs people in, and alice.
var shop = keycloaktest.RealmSpec{
	Name:    "shop",
	Clients: []keycloaktest.ClientSpec{{ID: "shop-api", Secret: "shop-api-secret", Roles: []string{"reader"}}},
	Users:   []keycloaktest.UserSpec{{Name: "alice", Password: "alice-password", Roles: []string{"member", "shop-api/reader"}}},
}

// In a test, New(t, file) starts a stand-in and closes it; Start is for everything else.
func Example() {
	kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer kc.Close()

	resp, err := http.PostForm(kc.Realm("shop").EndpointURL("/token"), url.Values{
		"grant_type": {"password"}, "client_id": {"shop-api"}, "client_secret": {"shop-api-secret"},
		"username": {"alice"}, "password": {"alice-password"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, kc.Count("/token"))
	// Output: 200 OK 1
}

// What docs/testing.md shows.
func TestExcerpt(t *testing.T) {
	kc := keycloaktest.New(t, shop.File())                      // a RealmSpec, or your Keycloak's realm file
	tokens, err := kc.Realm("shop").SignIn("shop-api", "alice") // or over HTTP, with her password
	kc.Realm("shop").RotateKeys("RS256")                        // does your verifier notice?
	kc.Advance(tokens.ExpiresIn)                                // expired, if your verifier's clock is kc.Now
	kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Hang: true}) // Keycloak hangs
	if err != nil || tokens.ExpiresIn == 0 {
		t.Errorf("SignIn() = %v, %v", tokens, err)
	}
}

// A user signs in without a password and without HTTP, where a test is about something else.
func ExampleRealm_SignIn() {
	kc, _ := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()}})
	defer kc.Close()

	tokens, err := kc.Realm("shop").SignIn("shop-api", "alice", "openid")
	fmt.Println(err, tokens.ExpiresIn, len(tokens.Scope))
	// Output: <nil> 5m0s 3
}

// Tokens that no Keycloak would give, for the tests of what verifies them.
func ExampleRealm_Mint() {
	kc, _ := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()}})
	defer kc.Close()
	realm := kc.Realm("shop")

	for _, wrong := range []keycloaktest.TokenSpec{
		{Claims: map[string]any{"aud": "shop-api", "sub": "alice"}, Lifetime: -time.Minute}, // expired
		{Claims: map[string]any{"aud": "another-api", "sub": "alice"}},                      // for somebody else
		{Claims: map[string]any{"aud": "shop-api", "sub": "alice", "exp": nil}},             // never expires
		{Claims: map[string]any{"aud": "shop-api", "sub": "alice", "typ": "ID"}},            // an ID token
		{Claims: map[string]any{"aud": "shop-api", "sub": "alice"}, Header: map[string]any{"kid": "another-key"}},
	} {
		token, err := realm.Mint(wrong)
		fmt.Println(len(token) > 100, err)
	}
	// Output:
	// true <nil>
	// true <nil>
	// true <nil>
	// true <nil>
	// true <nil>
}

// Keys rotate, and old ones go: whoever verifies tokens must fetch the new ones, and not too often.
func ExampleRealm_RotateKeys() {
	kc, _ := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()}})
	defer kc.Close()
	realm := kc.Realm("shop")

	before := realm.SigningKey("RS256")
	after, err := realm.RotateKeys("RS256") // the old one is listed still
	fmt.Println(err, after != before, realm.SigningKey("RS256") == after)
	fmt.Println(realm.RemoveKey(before)) // now its tokens are refused
	// Output:
	// <nil> true true
	// <nil>
}

// A Keycloak that is ill: slow, hanging, gone, or answering nonsense.
func ExampleServer_Fail() {
	kc, _ := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()}})
	defer kc.Close()
	certs := kc.Realm("shop").EndpointURL("/certs")

	remove := kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Status: 503, Body: "<h1>Service Unavailable</h1>"})
	resp, _ := http.Get(certs)
	resp.Body.Close()
	fmt.Println(resp.Status)

	remove()
	resp, _ = http.Get(certs)
	resp.Body.Close()
	fmt.Println(resp.Status)

	kc.Down()
	_, err := http.Get(certs)
	fmt.Println(err != nil)
	// Output:
	// 503 Service Unavailable
	// 200 OK
	// true
}

// Tokens expire without waiting.
func ExampleServer_Advance() {
	kc, _ := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()}})
	defer kc.Close()
	tokens, _ := kc.Realm("shop").SignIn("shop-api", "alice")
	refresh := func() string {
		resp, err := http.PostForm(kc.Realm("shop").EndpointURL("/token"), url.Values{
			"grant_type": {"refresh_token"}, "client_id": {"shop-api"}, "client_secret": {"shop-api-secret"}, "refresh_token": {tokens.RefreshToken},
		})
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		return resp.Status
	}
	fmt.Println(refresh())
	kc.Advance(tokens.RefreshExpiresIn)
	fmt.Println(refresh())
	// Output:
	// 200 OK
	// 400 Bad Request
}
