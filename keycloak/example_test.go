package keycloak_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// Middleware authenticates each request, and identity.Require in the handler rejects requests
// without a user.
func Example() {
	kc := startKeycloak() // a fake; use your Keycloak's URL instead of kc.URL
	defer kc.Close()

	realm, err := keycloak.NewRealm(kc.URL, "shop")
	if err != nil {
		panic(err)
	}
	keys := keycloak.NewKeySet(realm, keycloak.KeySetConfig{Log: discardLogger})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go keys.Run(ctx)
	verifier, err := keycloak.NewVerifier(keycloak.VerifierConfig{
		Issuers:  []keycloak.Issuer{{Keys: keys}},
		Audience: []string{"shop-api"},
	})
	if err != nil {
		panic(err)
	}

	handler := keycloak.Middleware(verifier, discardLogger)(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, err := identity.Require(r.Context())
			if err != nil { // err.Error() is safe to show to clients
				http.Error(w, "Sign in first", http.StatusUnauthorized)
				return
			}
			fmt.Fprintln(w, "Hello,", *user.Username)
		}))

	tokens, err := kc.Realm("shop").SignIn("shop-api", "alice")
	if err != nil {
		panic(err)
	}
	for _, authorization := range []string{"", "Bearer null", "Bearer " + tokens.IDToken,
		"Bearer " + tokens.AccessToken} {
		request := httptest.NewRequest("GET", "/", nil)
		if authorization != "" {
			request.Header.Set("Authorization", authorization)
		}
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, request)
		fmt.Print(response.Code, " ", response.Body)
	}

	// Output:
	// 401 Sign in first
	// 401 Sign in first
	// 401 Sign in first
	// 200 Hello, alice
}

// Protect rejects requests that have no valid token, so the handler always has a user.
func ExampleProtect() {
	kc := startKeycloak()
	defer kc.Close()
	verifier := newVerifier(kc)
	ordersHandler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := identity.Require(r.Context())
		if err != nil { // can't happen behind Protect
			http.Error(w, "Sign in first", http.StatusUnauthorized)
			return
		}
		fmt.Fprintln(w, "The orders of", *user.Username)
	})
	mux := http.NewServeMux()
	mux.Handle("/orders", keycloak.Protect(verifier, discardLogger)(ordersHandler))

	tokens, err := kc.Realm("shop").SignIn("shop-api", "alice")
	if err != nil {
		panic(err)
	}
	for _, authorization := range []string{"", "Bearer null", "Bearer " + tokens.AccessToken} {
		request := httptest.NewRequest("GET", "/orders", nil)
		if authorization != "" {
			request.Header.Set("Authorization", authorization)
		}
		response := httptest.NewRecorder()
		mux.ServeHTTP(response, request)
		fmt.Print(response.Code, " ", response.Body)
		for _, challenge := range response.Header().Values("WWW-Authenticate") {
			fmt.Println("   ", challenge)
		}
	}

	// Output:
	// 401 no bearer token
	//     Bearer realm="api"
	// 401 token is malformed
	//     Bearer realm="api", error="invalid_token", error_description="token is malformed"
	// 200 The orders of alice
}

// A unit test needs no Keycloak: it signs tokens with a key of its own. The verifier applies all
// its usual checks.
func ExampleStaticKeys() {
	publicKey, privateKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	keys, err := keycloak.StaticKeys(keycloak.Key{ID: "test", Algorithm: "EdDSA", Public: publicKey})
	if err != nil {
		panic(err)
	}
	verifier, err := keycloak.NewVerifier(keycloak.VerifierConfig{
		Issuers: []keycloak.Issuer{{Names: []string{"https://sso.example.com/realms/shop"},
			Keys: keys}},
		Audience: []string{"shop-api"},
	})
	if err != nil {
		panic(err)
	}

	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": "https://sso.example.com/realms/shop", "aud": "shop-api", "typ": "Bearer",
		"sub": "4711", "exp": time.Now().Add(time.Minute).Unix(),
		"realm_access": map[string]any{"roles": []string{"customer"}},
	})
	token.Header["kid"] = "test"
	text, err := token.SignedString(privateKey)
	if err != nil {
		panic(err)
	}
	user, err := verifier.Verify(context.Background(), text)
	if err != nil {
		panic(err)
	}
	fmt.Println(user.ID, user.HasRealmRole("customer"), user.HasRealmRole("admin"))

	// Output:
	// 4711 true false
}

// A program that parses tokens with golang-jwt can get the realm's keys from a KeySet. It must
// check the claims itself: here the issuer, the audience, the expiry, and that the token is an
// access token.
func ExampleKeySet_Keyfunc() {
	kc := startKeycloak()
	defer kc.Close()
	realm, err := keycloak.NewRealm(kc.URL, "shop")
	if err != nil {
		panic(err)
	}
	keys := keycloak.NewKeySet(realm, keycloak.KeySetConfig{Log: discardLogger})
	tokens, err := kc.Realm("shop").SignIn("shop-api", "alice")
	if err != nil {
		panic(err)
	}
	for _, text := range []string{tokens.AccessToken, tokens.IDToken} {
		var claims struct {
			jwt.RegisteredClaims
			Type     string `json:"typ"`
			Username string `json:"preferred_username"`
		}
		_, err = jwt.ParseWithClaims(text, &claims, keys.Keyfunc(context.Background()),
			jwt.WithIssuer(realm.Issuer()), jwt.WithAudience("shop-api"),
			jwt.WithExpirationRequired())
		if err == nil && claims.Type != "Bearer" {
			err = errors.New("not an access token, but one of type " + claims.Type)
		}
		fmt.Println(claims.Username, err)
	}

	// Output:
	// alice <nil>
	// alice not an access token, but one of type ID
}

// An error has a reason for the program and a detail for people. A custom claim can be read from
// the token's payload, which has been verified as a whole.
func ExampleVerifier_Verify() {
	kc := startKeycloak()
	defer kc.Close()
	verifier := newVerifier(kc)

	mint := func(claims map[string]any) string {
		base := map[string]any{"sub": "4711", "aud": "shop-api", "tenant": "north"}
		for name, value := range claims {
			base[name] = value
		}
		token, err := kc.Realm("shop").Mint(keycloaktest.TokenSpec{Claims: base})
		if err != nil {
			panic(err)
		}
		return token
	}
	for _, token := range []string{
		mint(nil),
		mint(map[string]any{"exp": time.Unix(0, 0)}),
		mint(map[string]any{"aud": "billing"}),
	} {
		user, err := verifier.Verify(context.Background(), token)
		identityErr, _ := errors.AsType[*identity.Error](err)
		switch {
		case err == nil:
			var claims struct{ Tenant string }
			if err := user.Token.Claims.Decode(&claims); err != nil {
				panic(err)
			}
			fmt.Println(user.ID, "of", claims.Tenant)
		case errors.Is(err, identity.ErrTokenExpired):
			fmt.Println("refresh, and try again")
		case errors.Is(err, identity.ErrKeysUnavailable):
			fmt.Println("try again later; the token may be good")
		case identityErr != nil:
			fmt.Println(identityErr.Reason)
			fmt.Println(identityErr.Detail)
		}
	}

	// Output:
	// 4711 of north
	// refresh, and try again
	// token is not meant for this API
	// aud is "billing", azp is missing; accepted in aud: ["shop-api"] (VerifierConfig.Audience): add a mapper of type Audience to the client that asks for the token
}

// A verifier can accept tokens of several realms. The keys of one realm never verify tokens of
// another. If the realm's public URL isn't the URL that this process calls, set Names to the public
// issuer.
func ExampleNewVerifier() {
	var issuers []keycloak.Issuer
	for _, name := range []string{"shop", "partners"} {
		realm, err := keycloak.NewRealm("http://keycloak.internal:8080", name)
		if err != nil {
			panic(err)
		}
		issuers = append(issuers, keycloak.Issuer{
			Names: []string{"https://sso.example.com/realms/" + name},
			Keys:  keycloak.NewKeySet(realm, keycloak.KeySetConfig{}), // call Run on each
		})
	}
	_, err := keycloak.NewVerifier(keycloak.VerifierConfig{
		Issuers:    issuers,
		Audience:   []string{"shop-api"},
		Algorithms: []string{"ES256", "RS256"},
	})
	fmt.Println(err)

	// Output:
	// <nil>
}

// A readiness probe can use Status. While Keycloak is down, cached keys stay in use for up to MaxAge.
func ExampleKeySet_Status() {
	kc := startKeycloak()
	realm, err := keycloak.NewRealm(kc.URL, "shop")
	if err != nil {
		panic(err)
	}
	keys := keycloak.NewKeySet(realm, keycloak.KeySetConfig{MaxAge: time.Hour, Log: discardLogger})
	readyHandler := func(w http.ResponseWriter, _ *http.Request) {
		usable, fetchErr := keys.Status()
		switch {
		case !usable:
			http.Error(w, "no keys yet", http.StatusServiceUnavailable)
		case fetchErr != nil:
			fmt.Fprintln(w, "ready, with the keys of the last fetch that worked")
		default:
			fmt.Fprintln(w, "ready")
		}
	}
	kc.Close()

	response := httptest.NewRecorder()
	readyHandler(response, nil)
	fmt.Print(response.Code, " ", response.Body)

	// Output:
	// 503 no keys yet
}

// startKeycloak starts a fake Keycloak with the realm "shop".
func startKeycloak() *keycloaktest.Server {
	spec := keycloaktest.RealmSpec{
		Name:    "shop",
		Clients: []keycloaktest.ClientSpec{{ID: "shop-api", Secret: "shop-api-secret"}},
		Users:   []keycloaktest.UserSpec{{Name: "alice", Password: "alice-password"}},
	}
	kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{spec.File()}})
	if err != nil {
		panic(err)
	}
	return kc
}

// newVerifier returns a verifier for the access tokens of the realm "shop".
func newVerifier(kc *keycloaktest.Server) *keycloak.Verifier {
	realm, err := keycloak.NewRealm(kc.URL, "shop")
	if err != nil {
		panic(err)
	}
	verifier, err := keycloak.NewVerifier(keycloak.VerifierConfig{
		Issuers: []keycloak.Issuer{
			{Keys: keycloak.NewKeySet(realm, keycloak.KeySetConfig{Log: discardLogger})},
		},
		Audience: []string{"shop-api"},
	})
	if err != nil {
		panic(err)
	}
	return verifier
}

// discardLogger discards the log.
var discardLogger = slog.New(slog.DiscardHandler)

// A SessionChecker finds out that a user was disabled, which Keycloak doesn't announce.
func ExampleSessionChecker() {
	kc := startKeycloak()
	defer kc.Close()
	realm, err := keycloak.NewRealm(kc.URL, "shop")
	if err != nil {
		panic(err)
	}
	client, err := keycloak.NewClient(keycloak.ClientConfig{Realm: realm, ClientID: "shop-api",
		ClientSecret: identity.NewSecret("shop-api-secret")})
	if err != nil {
		panic(err)
	}
	checker, err := keycloak.NewSessionChecker(keycloak.SessionCheckConfig{
		Client: client, Wait: true, Log: discardLogger, Now: kc.Now,
		// A server adds the end to its revocation.Set.
		End: func(end keycloak.SessionEnd) { fmt.Println("revoked until the issue:", end.Exact) },
	})
	if err != nil {
		panic(err)
	}
	verifier, err := keycloak.NewVerifier(keycloak.VerifierConfig{
		Issuers: []keycloak.Issuer{{CheckSession: checker.Check,
			Keys: keycloak.NewKeySet(realm, keycloak.KeySetConfig{Log: discardLogger})}},
		Audience: []string{"shop-api"}, Now: kc.Now,
	})
	if err != nil {
		panic(err)
	}
	tokens, err := kc.Realm("shop").SignIn("shop-api", "alice")
	if err != nil {
		panic(err)
	}
	_, err = verifier.Verify(context.Background(), tokens.AccessToken)
	fmt.Println("signed in:", err)

	if err := kc.Realm("shop").User("alice").Update([]byte(`{"enabled": false}`)); err != nil {
		panic(err)
	}
	kc.Advance(time.Minute)
	_, err = verifier.Verify(context.Background(), tokens.AccessToken)
	fmt.Println("a minute later:", err)

	// Output:
	// signed in: <nil>
	// revoked until the issue: true
	// a minute later: token has been revoked
}
