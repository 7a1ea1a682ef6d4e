package keycloak_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
)

// A handler is guarded by the middleware, which finds out who calls, and by identity.Require, which
// insists on a caller.
func Example() {
	key, keycloakServer := serveRealm()
	defer keycloakServer.Close()

	realm, err := keycloak.NewRealm(keycloakServer.URL, "shop")
	if err != nil {
		panic(err)
	}
	keys := keycloak.NewKeySet(realm, keycloak.KeySetConfig{Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go keys.Run(ctx)
	verifier, err := keycloak.NewVerifier(keycloak.VerifierConfig{
		Issuers:  []keycloak.Issuer{{Names: []string{realm.Issuer()}, Keys: keys}},
		Audience: []string{"shop-api"},
	})
	if err != nil {
		panic(err)
	}

	guarded := keycloak.Middleware(verifier, slog.New(slog.DiscardHandler))(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, err := identity.Require(r.Context())
			if err != nil { // it says more than a client should know
				http.Error(w, "Sign in first", http.StatusUnauthorized)
				return
			}
			fmt.Fprintln(w, "Hello,", *user.Username)
		}))

	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": realm.Issuer(), "typ": "Bearer", "aud": "shop-api", "sub": "4711", "preferred_username": "alice",
		"exp": time.Now().Add(5 * time.Minute).Unix(),
	})
	token.Header["kid"] = "key-1"
	signed, err := token.SignedString(key)
	if err != nil {
		panic(err)
	}

	for _, authorization := range []string{"", "Bearer null", "Bearer " + signed} {
		request := httptest.NewRequest("GET", "/", nil)
		if authorization != "" {
			request.Header.Set("Authorization", authorization)
		}
		answer := httptest.NewRecorder()
		guarded.ServeHTTP(answer, request)
		fmt.Print(answer.Code, " ", answer.Body)
	}

	// Output:
	// 401 Sign in first
	// 401 Sign in first
	// 200 Hello, alice
}

// serveRealm stands in for Keycloak: it serves one key of the realm "shop".
func serveRealm() (*ecdsa.PrivateKey, *httptest.Server) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		panic(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	mux := http.NewServeMux()
	mux.HandleFunc("GET /realms/shop/protocol/openid-connect/certs", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kid":"key-1","use":"sig","alg":"ES256","kty":"EC","crv":"P-256","x":%q,"y":%q}]}`,
			encode(point[1:33]), encode(point[33:]))
	})
	return key, httptest.NewServer(mux)
}
