package cloakql_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// forgeRefreshToken returns a refresh token of the session attack-n, with an invalid signature.
func forgeRefreshToken(n int) string {
	encode := func(text string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	return encode(`{"alg":"HS512"}`) + "." + encode(fmt.Sprintf(`{"sid":"attack-%d"}`, n)) + "." +
		encode("signature")
}

// isAttack reports whether the form in a request to Keycloak is the attacker's: it has a username
// or a session ID that begins with attack.
func isAttack(form url.Values) bool {
	_, rest, _ := strings.Cut(form.Get("refresh_token"), ".")
	claims, _, _ := strings.Cut(rest, ".")
	text, _ := base64.RawURLEncoding.DecodeString(claims)
	return strings.HasPrefix(form.Get("username"), "attack") ||
		strings.Contains(string(text), `"sid":"attack`)
}

// newSlowKeycloak starts a proxy in front of kc. The proxy counts the attacker's requests in
// heldCount, and forwards them only after release is called. It forwards other requests at once.
func newSlowKeycloak(t *testing.T,
	kc *keycloaktest.Server) (address string, heldCount *atomic.Int32, release func()) {
	t.Helper()
	target, err := url.Parse(kc.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	releaseCh := make(chan struct{})
	release = sync.OnceFunc(func() { close(releaseCh) })
	heldCount = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if form, err := url.ParseQuery(string(body)); err == nil && isAttack(form) {
			heldCount.Add(1)
			<-releaseCh
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(release)
	return server.URL, heldCount, release
}

// An attacker sends 100 simultaneous requests to which Keycloak responds slowly. Meanwhile, each of
// 100 requests from another address succeeds. TestFairness_oneAddressFloods checks this for login,
// refresh and logout.
func TestFairness_oneAddressFloods(t *testing.T) {
	const attackerAddress, userAddress = "192.0.2.7", "198.51.100.7"
	login := `mutation { login(username: %q, password: "shop-secret") { tokenType } }`
	refresh := `mutation { refresh(refreshToken: %q) { refreshToken } }`
	logout := `mutation { logout(refreshToken: %q) }`
	for name, tt := range map[string]struct {
		attackQuery func(n int) string // returns the attacker's nth query
		// newUserQueries returns a function that returns the user's next query
		newUserQueries func(t *testing.T, kc *keycloaktest.Server) func(lastResponse string) string
		want           string // in the responses to the user
	}{
		"login": {
			func(n int) string { return fmt.Sprintf(login, fmt.Sprint("attack ", n)) },
			func(*testing.T, *keycloaktest.Server) func(string) string {
				return func(string) string { return fmt.Sprintf(login, "alice") }
			},
			`"tokenType":"Bearer"`,
		},
		"refresh": {
			func(n int) string { return fmt.Sprintf(refresh, forgeRefreshToken(n)) },
			func(t *testing.T, kc *keycloaktest.Server) func(string) string {
				token := signIn(t, kc).RefreshToken
				return func(lastResponse string) string {
					var got struct {
						Data struct{ Refresh struct{ RefreshToken string } }
					}
					json.Unmarshal([]byte(lastResponse), &got)
					if got.Data.Refresh.RefreshToken != "" {
						token = got.Data.Refresh.RefreshToken
					}
					return fmt.Sprintf(refresh, token)
				}
			},
			`"refreshToken":"`,
		},
		"logout": {
			func(n int) string { return fmt.Sprintf(logout, forgeRefreshToken(n)) },
			func(t *testing.T, kc *keycloaktest.Server) func(string) string {
				return func(string) string {
					return fmt.Sprintf(logout, signIn(t, kc).RefreshToken)
				}
			},
			`"logout":true`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			kc := newFakeKeycloak(t, clientSecret)
			address, heldCount, release := newSlowKeycloak(t, kc)
			s := newTestServer(t, testConfig(t, "KEYCLOAK_SERVER_URL="+address,
				"KEYCLOAK_ISSUER="+kc.URL+"/realms/shop",
				"TRUSTED_PROXIES=127.0.0.1", "KEYCLOAK_TIMEOUT=1m", "REQUEST_TIMEOUT=2m"), nil)
			var limitedCount atomic.Int32
			var connections sync.WaitGroup
			for n := range 100 {
				connections.Go(func() {
					_, body := s.do(t,
						testRequest{query: tt.attackQuery(n), address: attackerAddress})
					if strings.Contains(body, `"RATE_LIMITED","retryAfter":1`) {
						limitedCount.Add(1)
					}
				})
			}
			waitFor(t, "16 of the attacker's requests in flight and 84 refused", func() bool {
				return heldCount.Load() == 16 && limitedCount.Load() == 84
			})
			successCount, lastResponse := 0, ""
			nextQuery := tt.newUserQueries(t, kc)
			for range 100 {
				_, lastResponse = s.do(t,
					testRequest{query: nextQuery(lastResponse), address: userAddress})
				if strings.Contains(lastResponse, tt.want) {
					successCount++
				}
			}
			if successCount != 100 {
				t.Errorf("%d of the user's 100 requests succeeded, want 100; the last got %s",
					successCount,
					lastResponse)
			}
			release()
			connections.Wait()
			if heldCount.Load() != 16 {
				t.Errorf("%d of the attacker's requests reached Keycloak, want 16",
					heldCount.Load())
			}
		})
	}
}
