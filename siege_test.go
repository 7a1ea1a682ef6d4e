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

// attackToken is a refresh token in the form of Keycloak's, of a session whose name begins with
// attack.
func attackToken(n int) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"HS512"}`) + "." + part(fmt.Sprintf(`{"sid":"attack-%d"}`, n)) + "." +
		part("signature")
}

// isAttack reports whether a form that Keycloak is sent comes from the attacker of these tests.
func isAttack(form url.Values) bool {
	_, rest, _ := strings.Cut(form.Get("refresh_token"), ".")
	claims, _, _ := strings.Cut(rest, ".")
	text, _ := base64.RawURLEncoding.DecodeString(claims)
	return strings.HasPrefix(form.Get("username"), "attack") ||
		strings.Contains(string(text), `"sid":"attack`)
}

// newSlowKeycloak is an address before kc that keeps the attacker's requests until release is
// called, and passes on all others. held counts those that it keeps.
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

// One address opens 100 connections for each of the three calls while Keycloak is slow with it:
// another address gets through, 100 of 100 times.
func TestOneAddressStarvesNobody(t *testing.T) {
	const attacker, owner = "192.0.2.7", "198.51.100.7"
	login := `mutation { login(username: %q, password: "hush") { tokenType } }`
	refresh := `mutation { refresh(refreshToken: %q) { refreshToken } }`
	logout := `mutation { logout(refreshToken: %q) }`
	for name, tt := range map[string]struct {
		attack func(n int) string
		owners func(t *testing.T, kc *keycloaktest.Server) func(answer string) string
		want   string
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
				return func(answer string) string {
					var got struct {
						Data struct{ Refresh struct{ RefreshToken string } }
					}
					if json.Unmarshal([]byte(answer), &got); got.Data.Refresh.RefreshToken != "" {
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
			s := newSite(t, goodConfig(t, "KEYCLOAK_SERVER_URL="+address,
				"KEYCLOAK_ISSUER="+kc.URL+"/realms/shop",
				"TRUSTED_PROXIES=127.0.0.1", "KEYCLOAK_TIMEOUT=1m", "REQUEST_TIMEOUT=2m"), nil)
			var limited atomic.Int32
			var connections sync.WaitGroup
			for n := range 100 {
				connections.Go(func() {
					_, body := s.do(t, exchange{query: tt.attack(n), from: attacker})
					if strings.Contains(body, `"RATE_LIMITED","retryAfter":1`) {
						limited.Add(1)
					}
				})
			}
			waitFor(t, "16 of the attacker's calls are under way, and 84 are refused", func() bool {
				return held.Load() == 16 && limited.Load() == 84
			})
			through, answer := 0, ""
			next := tt.owners(t, kc)
			for range 100 {
				_, answer = s.do(t, exchange{query: next(answer), from: owner})
				if strings.Contains(answer, tt.want) {
					through++
				}
			}
			if through != 100 {
				t.Errorf("%d of 100 got through, the last with %s", through, answer)
			}
			release()
			connections.Wait()
			if held.Load() != 16 {
				t.Errorf("%d of the attacker's calls reached Keycloak, want 16", held.Load())
			}
		})
	}
}
