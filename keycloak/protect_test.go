package keycloak

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/identity"
)

// Protect passes only requests with a valid token to the handler. It responds to all other requests
// with a status, a short text and, with status 401, a challenge.
func TestProtect(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, jwksOf(key)), VerifierConfig{})
	verifierWithoutKeys := newVerifier(t, newKeys(t, "<html>"), VerifierConfig{})
	verifierWithFailingKeys := newVerifier(t, nil,
		VerifierConfig{
			Issuers: []Issuer{{Names: []string{localIssuer},
				Keys: keysFunc(func(context.Context, string) (Key, error) {
					return Key{}, errors.New("db-7.internal is down")
				})}},
		})
	token := func(changes object) string {
		return "Bearer " + key.token(patch(t, aliceClaims(t), changes))
	}
	const missingChallenge = `Bearer realm="api"`
	invalidChallenge := func(description string) string {
		return missingChallenge + `, error="invalid_token", error_description="` + description + `"`
	}
	for _, tt := range []struct {
		name          string
		verifier      *Verifier
		authorization string
		status        int
		challenge     string
		body          string
	}{
		{"a good token", verifier, token(nil), 200, "", "alice"},
		{"no token", verifier, "", 401, missingChallenge, "no bearer token"},
		{"the scheme Basic", verifier, "Basic YTpi", 401, missingChallenge, "no bearer token"},
		{"a token without a scheme", verifier, strings.TrimPrefix(token(nil), "Bearer "), 401,
			missingChallenge, "no bearer token"},
		{"a malformed token", verifier, `Bearer a"b`, 401, invalidChallenge("token is malformed"),
			"token is malformed"},
		{"a token that is too large", verifier, "Bearer " + strings.Repeat("x", 17<<10), 401,
			invalidChallenge("token is too large"), "token is too large"},
		{"another issuer", verifier, token(object{"iss": "https://evil.example"}), 401,
			invalidChallenge("token is not meant for this API"), "token is not meant for this API"},
		{"another audience", verifier, token(object{"aud": "billing"}), 401,
			invalidChallenge("token is not meant for this API"), "token is not meant for this API"},
		{"a token that isn't valid yet", verifier, token(object{"nbf": 9e9}), 401,
			invalidChallenge("token is not valid yet"), "token is not valid yet"},
		{"an expired token", verifier, token(object{"exp": 0}), 401,
			invalidChallenge("token has expired"), "token has expired"},
		{"an unknown key", verifier, "Bearer " + unknownSigningKey(0).token(aliceClaims(t)), 401,
			invalidChallenge("token is signed with an unknown key"), "token is signed with an " +
				"unknown key"},
		{"a wrong signature", verifier, "Bearer " + corruptSignature(key.token(aliceClaims(t))),
			401, invalidChallenge("token signature is wrong"), "token signature is wrong"},
		{"a key set that isn't JSON", verifierWithoutKeys, token(nil), 503, "",
			"the keys to verify tokens are unavailable"},
		{"keys that return an error", verifierWithFailingKeys, token(nil), 503, "",
			"the keys to verify tokens are unavailable"},
		{"a nil verifier", nil, token(nil), 503, "", "the keys to verify tokens are unavailable"},
	} {
		for _, method := range []string{"GET", "POST", "HEAD", "OPTIONS", "PROPFIND"} {
			t.Run(tt.name+", "+method, func(t *testing.T) {
				var log logBuffer
				handlerRan := false
				server := httptest.NewServer(Protect(tt.verifier,
					log.logger())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					handlerRan = true
					user, err := identity.Require(r.Context())
					if err != nil {
						t.Errorf("identity.Require() behind Protect = %v, want nil", err)
						return
					}
					io.WriteString(w, *user.Username)
				})))
				defer server.Close()
				request, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				if tt.authorization != "" {
					request.Header.Set("Authorization", tt.authorization)
				}
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				want := tt.body
				if method == "HEAD" {
					want = ""
				}
				if response.StatusCode != tt.status || strings.TrimSpace(string(body)) != want {
					t.Errorf("got %d %q, want %d %q", response.StatusCode, body, tt.status, want)
				}
				if got := response.Header.Get("WWW-Authenticate"); got != tt.challenge {
					t.Errorf("WWW-Authenticate is %s, want %s", got, tt.challenge)
				}
				if got := response.Header.Get("Retry-After"); (got == "5") != (tt.status == 503) {
					t.Errorf("Retry-After is %q with status %d, want 5 only with 503", got,
						tt.status)
				}
				if got := response.Header.Get("Cache-Control"); (got == "no-store") !=
					(tt.status != 200) {
					t.Errorf("Cache-Control is %q with status %d, want no-store except with 200",
						got,
						tt.status)
				}
				server.Close() // the handler has returned
				if handlerRan != (tt.status == 200) {
					t.Errorf("handler ran: %v, want %v", handlerRan, !handlerRan)
				}
				leakedText := regexp.MustCompile(`local|evil|billing|internal|accepted`).FindString(
					string(body) + response.Header.Get("WWW-Authenticate"))
				if leakedText != "" {
					t.Errorf("the response contains %q, want no internal detail", leakedText)
				}
			})
		}
	}
}

// If the request's context is done before the keys are fetched, the response is 503 rather than
// 401, because the token may be valid.
func TestProtect_contextDone(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, jwksOf(key)), VerifierConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	request := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
	request.Header.Set("Authorization", "Bearer "+key.token(aliceClaims(t)))
	response := httptest.NewRecorder()
	Protect(verifier, (&logBuffer{}).logger())(http.NotFoundHandler()).ServeHTTP(response, request)
	if response.Code != 503 || response.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("got %d %v %s, want 503 without a challenge", response.Code, response.Header(),
			response.Body)
	}
}
