package keycloaktest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// shop is a realm with the client shop-api and the user alice.
var shop = keycloaktest.RealmSpec{
	Name:    "shop",
	Clients: []keycloaktest.ClientSpec{{ID: "shop-api", Secret: "shop-api-secret", Roles: []string{"reader"}}},
	Users:   []keycloaktest.UserSpec{{Name: "alice", Password: "alice-password", Roles: []string{"member", "shop-api/reader"}}},
}

// Tests call New, which also closes the server. Start is for other programs.
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

// TestDocsSnippet runs the code shown in docs/testing.md.
func TestDocsSnippet(t *testing.T) {
	kc := keycloaktest.New(t, shop.File()) // shop is a RealmSpec; or pass your realm file's bytes
	// SignIn needs neither HTTP nor a password. The password grant works too.
	tokens, err := kc.Realm("shop").SignIn("shop-api", "alice")
	kc.Realm("shop").RotateKeys("RS256") // will your verifier notice?
	// The tokens expire, if your verifier's clock is kc.Now.
	kc.Advance(tokens.ExpiresIn)
	// The key endpoint hangs.
	kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Hang: true})
	if err != nil || tokens.ExpiresIn == 0 {
		t.Errorf("SignIn() = %v, %v, want tokens", tokens, err)
	}
}

// SignIn signs in a user without a password and without HTTP.
func ExampleRealm_SignIn() {
	kc, _ := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()}})
	defer kc.Close()

	tokens, err := kc.Realm("shop").SignIn("shop-api", "alice", "openid")
	fmt.Println(err, tokens.ExpiresIn, len(tokens.Scope))
	// Output: <nil> 5m0s 3
}

// Mint creates tokens that Keycloak would never issue, to test code that verifies tokens.
func ExampleRealm_Mint() {
	kc, _ := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()}})
	defer kc.Close()
	realm := kc.Realm("shop")

	for _, spec := range []keycloaktest.TokenSpec{
		{Claims: map[string]any{"aud": "shop-api", "sub": "alice"}, Lifetime: -time.Minute}, // expired
		{Claims: map[string]any{"aud": "another-api", "sub": "alice"}},                      // for another API
		{Claims: map[string]any{"aud": "shop-api", "sub": "alice", "exp": nil}},             // never expires
		{Claims: map[string]any{"aud": "shop-api", "sub": "alice", "typ": "ID"}},            // an ID token
		{Claims: map[string]any{"aud": "shop-api", "sub": "alice"}, Header: map[string]any{"kid": "another-key"}},
	} {
		token, err := realm.Mint(spec)
		fmt.Println(len(token) > 100, err)
	}
	// Output:
	// true <nil>
	// true <nil>
	// true <nil>
	// true <nil>
	// true <nil>
}

// A token with the claim act is the token of somebody who acts as the user.
func ExampleRealm_Impersonate() {
	kc, _ := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{keycloaktest.RealmSpec{
		Name:    "shop",
		Clients: []keycloaktest.ClientSpec{{ID: "shop-api"}},
		Users:   []keycloaktest.UserSpec{{Name: "alice"}, {Name: "admin"}},
	}.File()}})
	defer kc.Close()
	realm := kc.Realm("shop")

	tokens, err := realm.Impersonate("shop-api", "alice", "admin") // a session of alice
	fmt.Println(err, len(tokens.RefreshToken) > 0)

	token, err := realm.Mint(keycloaktest.TokenSpec{Claims: map[string]any{ // any other form of act
		"aud": "shop-api", "azp": "shop-api", "sub": realm.User("alice").ID(),
		"act": map[string]any{"sub": "support", "act": map[string]any{"sub": "gateway"}},
	}})
	fmt.Println(err, len(token) > 0)
	// Output:
	// <nil> true
	// <nil> true
}

// RotateKeys and RemoveKey test whether code that verifies tokens notices changed keys.
func ExampleRealm_RotateKeys() {
	kc, _ := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()}})
	defer kc.Close()
	realm := kc.Realm("shop")

	oldKID := realm.SigningKeyID("RS256")
	newKID, err := realm.RotateKeys("RS256") // the old key stays published
	fmt.Println(err, newKID != oldKID, realm.SigningKeyID("RS256") == newKID)
	fmt.Println(realm.RemoveKey(oldKID)) // invalidates the tokens that it signed
	// Output:
	// <nil> true true
	// <nil>
}

// Faults make Keycloak respond slowly, return errors or drop connections.
func ExampleServer_Fail() {
	kc, _ := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()}})
	defer kc.Close()
	certsURL := kc.Realm("shop").EndpointURL("/certs")

	remove := kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Status: 503, Body: "<h1>Service Unavailable</h1>"})
	resp, _ := http.Get(certsURL)
	resp.Body.Close()
	fmt.Println(resp.Status)

	remove()
	resp, _ = http.Get(certsURL)
	resp.Body.Close()
	fmt.Println(resp.Status)

	kc.Down()
	_, err := http.Get(certsURL)
	fmt.Println(err != nil)
	// Output:
	// 503 Service Unavailable
	// 200 OK
	// true
}

// Advance makes tokens expire without waiting.
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
