package cloakql_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/middleware"
	"github.com/cloakql/cloakql/keycloak"
)

// The 65th sign-in at once is told to try again, at once; the 64 are answered. They are of four
// networks, since one has a quarter of the places.
func TestBusy(t *testing.T) {
	kc := newShop(t, "hush")
	address, gate := newGate(t, kc)
	s := newSite(t, goodConfig(t, "KEYCLOAK_SERVER_URL="+address, "TRUSTED_PROXIES=127.0.0.1",
		"KEYCLOAK_TIMEOUT=1m", "REQUEST_TIMEOUT=2m"), nil)
	// one account's sign-ins come one after another
	login := func(name string, network int) exchange {
		return exchange{query: `mutation { login(username: "` + name +
			`", password: "hush") { tokenType } }`, from: fmt.Sprintf("192.0.%d.7", network)}
	}
	gate <- struct{}{}
	var others sync.WaitGroup
	for i := range 64 {
		others.Go(func() {
			if _, body := s.do(t, login(fmt.Sprint("nobody-", i), i%4)); !strings.Contains(body,
				"INVALID_CREDENTIALS") {
				t.Errorf("one of the 64: %s", body)
			}
		})
	}
	waitFor(t, "64 sign-ins wait for Keycloak", func() bool { return kc.Count("/token") == 64 })
	if _, body := s.do(t, login("alice", 1)); !strings.Contains(body,
		`"code":"RATE_LIMITED","retryAfter":1`) {
		t.Errorf("one more of a network that has 16: %s", body)
	}
	if _, body := s.do(t, login("alice", 4)); !strings.Contains(body, `"reason":"BUSY"`) {
		t.Errorf("the 65th: %s", body)
	}
	<-gate
	others.Wait()
	if _, body := s.do(t, login("alice", 4)); !strings.Contains(body, `"tokenType":"Bearer"`) {
		t.Errorf("after the storm: %s", body)
	}
}

// A closed tab is no failure of the server's; and what a client chooses doesn't fill the log.
func TestLogOfOddRequests(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newSite(t, goodConfig(t),
		realmFunc(func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() }))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/graphql",
		strings.NewReader(`{"query":"mutation { logout(refreshToken: \"a\") }"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if _, err := http.DefaultClient.Do(request); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that the client gave up", err)
	}
	waitFor(t, "the request is logged", func() bool {
		return strings.Contains(s.log.String(), `"codes":["CLIENT_GONE"]`)
	})
	if log := s.log.String(); strings.Contains(log, "INTERNAL_SERVER_ERROR") ||
		strings.Contains(log, "field failed") {
		t.Errorf("a client that gave up is logged as a failure:\n%s", log)
	}

	s = newSite(t, goodConfig(t),
		realmFunc(func(context.Context) error { return errors.New("no") }))
	s.do(t,
		exchange{query: `mutation { ` + strings.Repeat("a", 128) + `: logout(refreshToken: "a") }`})
	if log := s.log.String(); !strings.Contains(log, "field failed") ||
		strings.Contains(log, strings.Repeat("a", 129)) {
		t.Errorf("a long alias is logged whole, or nothing is: %s", log)
	}
}

// run, from the settings to an orderly stop.
func TestRun(t *testing.T) {
	kc := newShop(t, "hush")
	address, gate := newGate(t, kc)
	log := &lockedBuffer{}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx,
			append(slices.Clone(needed), "ADDR=127.0.0.1:0", "RUNTIME_ENV=prod",
				"KEYCLOAK_SERVER_URL="+address,
				"KEYCLOAK_ISSUER="+kc.Realm("shop").Issuer(),
				"CORS_ORIGINS=https://shop.example.com", "GET_QUERIES=true"), t.TempDir(), log)
	}()
	serving := regexp.MustCompile(`"url":"(http://127[^"]*)/graphql"`)
	waitFor(t, "the server listens", func() bool { return serving.MatchString(log.String()) })
	s := &site{url: serving.FindStringSubmatch(log.String())[1], log: log}
	waitFor(t, "the server is ready", func() bool {
		status, _ := s.get(t, "/readyz")
		return status == http.StatusOK
	})
	if status, text := s.get(t, "/healthz"); status != http.StatusOK || text != "alive\n" {
		t.Errorf("healthz is %d %s", status, text)
	}
	if status, _ := s.get(t, "/graphql?query=%7B__typename%7D"); status != http.StatusOK {
		t.Errorf("GET of a query is %d, want 200", status)
	}
	if _, body := s.do(t,
		exchange{query: `query Who { me { username } }`,
			authorization: "bEaReR " + signIn(t, kc).AccessToken}); body !=
		`{"data":{"me":{"username":"alice"}}}`+"\n" {
		t.Errorf("me is %s", body)
	}
	if !strings.Contains(log.String(),
		`"msg":"request","operation":"query","name":"Who","status":200,"codes":null,"duration":`) {
		t.Errorf("no line for the request in\n%s", log)
	}

	for origin, allowed := range map[string]string{
		"https://shop.example.com": "https://shop.example.com", "https://evil.example.com": "",
	} {
		request, _ := http.NewRequest(http.MethodOptions, s.url+"/graphql", nil)
		request.Header.Set("Origin", origin)
		request.Header.Set("Access-Control-Request-Method", "POST")
		request.Header.Set("Access-Control-Request-Headers",
			"apollo-require-preflight,authorization,content-type")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.Header.Get("Access-Control-Allow-Origin"); got != allowed ||
			response.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("preflight from %s allows %q, want %q and no credentials", origin, got,
				allowed)
		}
	}

	// The request that is under way is answered, and new ones aren't taken.
	gate <- struct{}{}
	answered := make(chan string, 1)
	go func() {
		defer close(answered)
		_, body := s.do(t,
			exchange{
				query: `mutation { login(username: "alice", password: "hush") { tokenType } }`,
			})
		answered <- body
	}()
	waitFor(t, "a sign-in waits for Keycloak", func() bool { return kc.Count("/token") == 1 })
	stop()
	waitFor(t, "the server takes no more connections", func() bool {
		connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err == nil {
			connection.Close()
		}
		return err != nil
	})
	<-gate
	if body := <-answered; !strings.Contains(body, `"tokenType":"Bearer"`) {
		t.Errorf("the sign-in under way got %s", body)
	}
	if err := <-ended; err != nil {
		t.Errorf("run ended with %v", err)
	}
}

// run says what is wrong, all of it, and listens to nobody.
func TestRunRefusesToStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, tt := range map[string]struct {
		environ []string
		want    string
	}{
		"half of the settings": {[]string{"KEYCLOAK_REALM_NAME=shop"}, "KEYCLOAK_SERVER_URL"}, // with the tag dev, none would do
		"port is used": {append(slices.Clone(needed), "ADDR="+taken.Addr().String()),
			"already: end it, or set ADDR to another address, such as ADDR=127.0.0.1:"},
	} {
		if err := run(t.Context(), tt.environ, t.TempDir(), io.Discard); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}

// Readiness says no more than needed outside of local, and tells of trouble while keys are still
// held.
func TestReadiness(t *testing.T) {
	const good = `{"keys":[{"kid":"k","kty":"OKP","alg":"EdDSA","use":"sig","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	for _, tt := range []struct {
		name            string
		local, draining bool
		answers         []int // of Keycloak, one after the other; the last one stays
		after           time.Duration
		status          int
		want            string
	}{
		{"keys", false, false, []int{200}, time.Minute, 200, "ready\n"},
		{"stopping", false, true, []int{200}, time.Minute, 503, "not ready: stopping\n"},
		{"no keys", false, false, []int{500}, time.Minute, 503, "not ready: no keys to verify tokens with\n"},
		{"no keys, local", true, false, []int{500}, time.Minute, 503, "not ready: no keys to verify tokens with: answer 500; expected 200\n"},
		{"keys, not fetched anew", false, false, []int{200, 500}, 10 * time.Minute, 200, "ready: the keys held are good, but can't be fetched anew\n"},
		{"keys, too old", false, false, []int{200, 500}, 25 * time.Hour, 503, "not ready: no keys to verify tokens with\n"},
		{"back again", false, false, []int{500, 500, 200}, time.Minute, 200, "ready\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// a bubble waits for no network, so a transport stands for Keycloak
			synctest.Test(t, func(t *testing.T) {
				realm, err := keycloak.NewRealm("http://keycloak", "shop")
				if err != nil {
					t.Fatal(err)
				}
				calls := 0
				server := newServer(t, cloakql.Config{
					Local: tt.local, Realm: realm, Log: slog.New(slog.DiscardHandler),
					Client: keycloak.ClientConfig{ClientID: "shop-api",
						ClientSecret: identity.NewSecret("hush")},
					Keys: keycloak.KeySetConfig{
						Transport: transportFunc(func(*http.Request) (*http.Response, error) {
							status := tt.answers[min(calls, len(tt.answers)-1)]
							calls++
							return &http.Response{StatusCode: status,
								Body: io.NopCloser(strings.NewReader(good))}, nil
						})},
				})
				go cloakql.RunKeys(t.Context(), server)
				time.Sleep(tt.after)
				if tt.draining {
					server.Close(t.Context())
				}
				w := httptest.NewRecorder()
				request := httptest.NewRequest(http.MethodGet, "/readyz", nil)
				request.Host = "localhost"
				server.Handler().ServeHTTP(w, request)
				if w.Code != tt.status || w.Body.String() != tt.want {
					t.Errorf("%d %q, want %d %q", w.Code, w.Body, tt.status, tt.want)
				}
			})
		})
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A connection that doesn't go on is closed: in the head of a request, in its body, and between
// two.
func TestSlowClients(t *testing.T) {
	config := goodConfig(t)
	config.Log = slog.New(slog.DiscardHandler)
	server := cloakql.HTTPServer(newServer(t, config))
	for name, limit := range map[string]time.Duration{"header": server.ReadHeaderTimeout,
		"read": server.ReadTimeout, "idle": server.IdleTimeout} {
		if limit <= 0 || limit > 5*time.Minute {
			t.Errorf("the %s timeout is %v", name, limit)
		}
	}
	server.ReadHeaderTimeout, server.ReadTimeout, server.IdleTimeout = 50*time.Millisecond,
		100*time.Millisecond, 50*time.Millisecond
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	for name, sent := range map[string]string{
		"head": "POST /graphql HTTP/1.1\r\nHost: localhost\r\n",
		"body": "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"idle": "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			connection, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			if _, err := io.WriteString(connection, sent); err != nil {
				t.Fatal(err)
			}
			connection.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.ReadAll(connection); err != nil { // to the end: the server closed it
				t.Errorf("the connection is still open: %v", err)
			}
		})
	}
}

// A client that doesn't read its answers is cut off.
func TestSlowReader(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 1<<20)
	ended := make(chan error, 1)
	server := httptest.NewServer(middleware.WriteDeadline(50*time.Millisecond,
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(large); err != nil {
					ended <- err
					return
				}
			}
		})))
	defer server.Close()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	io.WriteString(connection, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("writing ended with %v, want a deadline", err)
		}
	case <-time.After(patience):
		t.Error("the server goes on writing to nobody")
	}
}

// A whole request, through every layer but Keycloak.
func BenchmarkMe(b *testing.B) {
	kc := newShop(b, "hush")
	s := newSite(b, goodConfig(b, at(kc), "RUNTIME_ENV=prod"), nil)
	token := "Bearer " + signIn(b, kc).AccessToken
	s.do(b, exchange{query: `{ me { id username } }`, authorization: token})
	b.ResetTimer()
	for b.Loop() {
		_, body := s.do(b,
			exchange{query: `{ me { id username } }`,
				authorization: token})
		if !strings.Contains(body, "alice") {
			b.Fatal(body)
		}
	}
}

// The console is at /, with its files, where it is on; and nothing is, where it isn't.
func TestConsoleIsServed(t *testing.T) {
	for setting, want := range map[string]int{"CONSOLE=on": http.StatusOK,
		"CONSOLE=off": http.StatusNotFound} {
		s := newSite(t, goodConfig(t, "RUNTIME_ENV=prod", setting),
			realmFunc(func(context.Context) error { return nil }))
		for _, path := range []string{"/", "/console/licenses.md"} {
			if status, _ := s.get(t, path); status != want {
				t.Errorf("%s: %s is %d, want %d", setting, path, status, want)
			}
		}
		if status, _ := s.get(t, "/other"); status != http.StatusNotFound {
			t.Errorf("%s: /other is %d, want 404", setting, status)
		}
	}
}
