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

// attackToken returns a made-up refresh token for the session attack-n.
func attackToken(n int) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"HS512"}`) + "." + part(fmt.Sprintf(`{"sid":"attack-%d"}`, n)) + "." +
		part("signature")
}

// isAttack reports whether a form that was sent to Keycloak comes from the attacker of these tests.
func isAttack(form url.Values) bool {
	_, rest, _ := strings.Cut(form.Get("refresh_token"), ".")
	claims, _, _ := strings.Cut(rest, ".")
	text, _ := base64.RawURLEncoding.DecodeString(claims)
	return strings.HasPrefix(form.Get("username"), "attack") ||
		strings.Contains(string(text), `"sid":"attack`)
}

// newSlowKeycloak starts a proxy in front of kc. Until release is called, the proxy holds the
// attacker's requests and counts them in held. It forwards all other requests.
func newSlowKeycloak(t *testing.T,
	kc *keycloaktest.Server) (address string, held *atomic.Int32, release func()) {
	t.Helper()
	target, err := url.Parse(kc.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	released := make(chan struct{})
	release = sync.OnceFunc(func() { close(released) })
	held = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if form, err := url.ParseQuery(string(body)); err == nil && isAttack(form) {
			held.Add(1)
			<-released
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(release)
	return server.URL, held, release
}

// While Keycloak is slow to respond to 100 simultaneous requests from an attacker's address, all of
// 100 requests from another address succeed. This holds for login, refresh and logout.
func TestFairness_oneAddressFloods(t *testing.T) {
	const attacker, user = "192.0.2.7", "198.51.100.7"
	login := `mutation { login(username: %q, password: "hush") { tokenType } }`
	refresh := `mutation { refresh(refreshToken: %q) { refreshToken } }`
	logout := `mutation { logout(refreshToken: %q) }`
	for name, tt := range map[string]struct {
		attack  func(n int) string
		newUser func(t *testing.T, kc *keycloaktest.Server) func(lastResponse string) string
		want    string
	}{
		"login": {
			func(n int) string { return fmt.Sprintf(login, fmt.Sprint("attack ", n)) },
			func(*testing.T, *keycloaktest.Server) func(string) string {
				return func(string) string { return fmt.Sprintf(login, "alice") }
			},
			`"tokenType":"Bearer"`,
		},
		"refresh": {
			func(n int) string { return fmt.Sprintf(refresh, attackToken(n)) },
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
			func(n int) string { return fmt.Sprintf(logout, attackToken(n)) },
			func(t *testing.T, kc *keycloaktest.Server) func(string) string {
				return func(string) string {
					return fmt.Sprintf(logout, signIn(t, kc).RefreshToken)
				}
			},
			`"logout":true`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			kc := newShop(t, "hush")
			address, held, release := newSlowKeycloak(t, kc)
			s := newTestServer(t, testConfig(t, "KEYCLOAK_SERVER_URL="+address,
				"KEYCLOAK_ISSUER="+kc.URL+"/realms/shop",
				"TRUSTED_PROXIES=127.0.0.1", "KEYCLOAK_TIMEOUT=1m", "REQUEST_TIMEOUT=2m"), nil)
			var limited atomic.Int32
			var connections sync.WaitGroup
			for n := range 100 {
				connections.Go(func() {
					_, body := s.do(t, testRequest{query: tt.attack(n), address: attacker})
					if strings.Contains(body, `"RATE_LIMITED","retryAfter":1`) {
						limited.Add(1)
					}
				})
			}
			waitFor(t, "16 of the attacker's requests in flight and 84 refused", func() bool {
				return held.Load() == 16 && limited.Load() == 84
			})
			succeeded, response := 0, ""
			nextQuery := tt.newUser(t, kc)
			for range 100 {
				_, response = s.do(t, testRequest{query: nextQuery(response), address: user})
				if strings.Contains(response, tt.want) {
					succeeded++
				}
			}
			if succeeded != 100 {
				t.Errorf("%d of 100 requests succeeded, the last got %s", succeeded, response)
			}
			release()
			connections.Wait()
			if held.Load() != 16 {
				t.Errorf("%d of the attacker's requests reached Keycloak, want 16", held.Load())
			}
		})
	}
}
