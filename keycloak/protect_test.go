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

func TestProtect(t *testing.T) {
	key := edDSA()
	good := newVerifier(t, newKeys(t, certsOf(key)), VerifierConfig{})
	noKeys := newVerifier(t, newKeys(t, "<html>"), VerifierConfig{})
	failing := newVerifier(t, nil,
		VerifierConfig{
			Issuers: []Issuer{{Names: []string{localIssuer},
				Keys: keysFunc(func(context.Context, string) (Key, error) {
					return Key{}, errors.New("db-7.internal is down")
				})}},
		})
	token := func(changes object) string {
		return "Bearer " + key.token(patch(t, alice(t), changes))
	}
	const missing = `Bearer realm="api"`
	invalid := func(description string) string {
		return missing + `, error="invalid_token", error_description="` + description + `"`
	}
	for _, tt := range []struct {
		name          string
		verifier      *Verifier
		authorization string
		status        int
		challenge     string
		body          string
	}{
		{"a good token", good, token(nil), 200, "", "alice"},
		{"no token", good, "", 401, missing, "no bearer token"},
		{"another scheme", good, "Basic YTpi", 401, missing, "no bearer token"},
		{"no scheme", good, strings.TrimPrefix(token(nil), "Bearer "), 401, missing, "no bearer token"},
		{"malformed", good, `Bearer a"b`, 401, invalid("token is malformed"), "token is malformed"},
		{"too large", good, "Bearer " + strings.Repeat("x", 17<<10), 401, invalid("token is too large"), "token is too large"},
		{"another issuer", good, token(object{"iss": "https://evil.example"}), 401, invalid("token is not meant for this API"), "token is not meant for this API"},
		{"another audience", good, token(object{"aud": "billing"}), 401, invalid("token is not meant for this API"), "token is not meant for this API"},
		{"not yet valid", good, token(object{"nbf": 9e9}), 401, invalid("token is not valid yet"), "token is not valid yet"},
		{"expired", good, token(object{"exp": 0}), 401, invalid("token has expired"), "token has expired"},
		{"unknown key", good, "Bearer " + unknownSigner(0).token(alice(t)), 401, invalid("token is signed with an unknown key"), "token is signed with an unknown key"},
		{"wrong signature", good, "Bearer " + corruptSignature(key.token(alice(t))), 401, invalid("token signature is wrong"), "token signature is wrong"},
		{"no keys", noKeys, token(nil), 503, "", "the keys to verify tokens are unavailable"},
		{"keys that return another error", failing, token(nil), 503, "", "the keys to verify tokens are unavailable"},
		{"no verifier", nil, token(nil), 503, "", "the keys to verify tokens are unavailable"},
	} {
		for _, method := range []string{"GET", "POST", "HEAD", "OPTIONS", "PROPFIND"} {
			t.Run(tt.name+", "+method, func(t *testing.T) {
				var log logBuffer
				ran := false
				server := httptest.NewServer(Protect(tt.verifier,
					log.logger())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ran = true
					user, err := identity.Require(r.Context())
					if err != nil {
						t.Errorf("identity.Require() = %v behind Protect", err)
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
					t.Errorf("Retry-After is %q with status %d", got, tt.status)
				}
				if got := response.Header.Get("Cache-Control"); (got == "no-store") !=
					(tt.status != 200) {
					t.Errorf("Cache-Control is %q with status %d", got, tt.status)
				}
				server.Close() // the handler has returned
				if ran != (tt.status == 200) {
					t.Errorf("handler ran: %v, want %v", ran, !ran)
				}
				shown := regexp.MustCompile(`local|evil|billing|internal|accepted`).FindString(
					string(body) + response.Header.Get("WWW-Authenticate"))
				if shown != "" {
					t.Errorf("the response contains %q", shown)
				}
			})
		}
	}
}

// If the request's context ends while the keys are fetched, the response is 503: the token may be
// good.
func TestProtect_contextDone(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, certsOf(key)), VerifierConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	request := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
	request.Header.Set("Authorization", "Bearer "+key.token(alice(t)))
	response := httptest.NewRecorder()
	Protect(verifier, (&logBuffer{}).logger())(http.NotFoundHandler()).ServeHTTP(response, request)
	if response.Code != 503 || response.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("got %d %v %s, want 503", response.Code, response.Header(), response.Body)
	}
}
