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

// With 64 sign-ins in flight, the 65th fails with BUSY at once, and the others are unaffected. The
// sign-ins come from four networks, because one network may have only a quarter of the 64 in
// flight.
func TestLogin_busy(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	address, gate := newGate(t, kc)
	s := newTestServer(t, testConfig(t, "KEYCLOAK_SERVER_URL="+address, "TRUSTED_PROXIES=127.0.0.1",
		"KEYCLOAK_TIMEOUT=1m", "REQUEST_TIMEOUT=2m"), nil)
	// Each sign-in is for another user, because sign-ins to one account run one after another.
	login := func(name string, network int) testRequest {
		return testRequest{query: `mutation { login(username: "` + name +
			`", password: "shop-secret") { tokenType } }`,
			address: fmt.Sprintf("192.0.%d.7", network)}
	}
	gate <- struct{}{}
	var logins sync.WaitGroup
	for i := range 64 {
		logins.Go(func() {
			if _, body := s.do(t, login(fmt.Sprint("nobody-", i), i%4)); !strings.Contains(body,
				"INVALID_CREDENTIALS") {
				t.Errorf("one of the 64 sign-ins got %s, want INVALID_CREDENTIALS", body)
			}
		})
	}
	waitFor(t, "64 sign-ins wait for Keycloak", func() bool { return kc.Count("/token") == 64 })
	if _, body := s.do(t, login("alice", 1)); !strings.Contains(body,
		`"code":"RATE_LIMITED","retryAfter":1`) {
		t.Errorf("the 17th sign-in of a network got %s, want RATE_LIMITED", body)
	}
	if _, body := s.do(t, login("alice", 4)); !strings.Contains(body, `"reason":"BUSY"`) {
		t.Errorf("the 65th sign-in got %s, want BUSY", body)
	}
	<-gate
	logins.Wait()
	if _, body := s.do(t, login("alice", 4)); !strings.Contains(body, `"tokenType":"Bearer"`) {
		t.Errorf("a sign-in after the others finished got %s, want tokens", body)
	}
}

// A request whose client disconnected is logged, but not as a failure. Long aliases are shortened
// in the log.
func TestRequestLog(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newTestServer(t, testConfig(t),
		realmFunc(func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() }))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/graphql",
		strings.NewReader(`{"query":"mutation { logout(refreshToken: \"a\") }"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if _, err := http.DefaultClient.Do(request); !errors.Is(err, context.Canceled) {
		t.Fatalf("Do() = %v, want context.Canceled", err)
	}
	waitFor(t, "the request is logged", func() bool {
		return strings.Contains(s.log.String(), `"codes":["CLIENT_GONE"]`)
	})
	if log := s.log.String(); strings.Contains(log, "INTERNAL_SERVER_ERROR") ||
		strings.Contains(log, "field failed") {
		t.Errorf("got the log\n%s\nwant no failure, because the request was canceled", log)
	}

	s = newTestServer(t, testConfig(t),
		realmFunc(func(context.Context) error { return errors.New("unknown error") }))
	s.do(t,
		testRequest{
			query: `mutation { ` + strings.Repeat("a", 128) + `: logout(refreshToken: "a") }`,
		})
	if log := s.log.String(); !strings.Contains(log, "field failed") ||
		strings.Contains(log, strings.Repeat("a", 129)) {
		t.Errorf("got the log %s, want the failure with an alias of at most 128 bytes", log)
	}
}

// TestRun runs a server from settings, as the command does. It sends requests and preflights, and
// stops the server while a request is in flight.
func TestRun(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	address, gate := newGate(t, kc)
	log := &lockedBuffer{}
	ctx, stop := context.WithCancel(t.Context())
	runDone := make(chan error, 1)
	go func() {
		runDone <- run(ctx,
			append(slices.Clone(requiredSettings), "ADDR=127.0.0.1:0", "RUNTIME_ENV=prod",
				"KEYCLOAK_SERVER_URL="+address,
				"KEYCLOAK_ISSUER="+kc.Realm("shop").Issuer(),
				"CORS_ORIGINS=https://shop.example.com", "GET_QUERIES=true"), t.TempDir(), log)
	}()
	urlPattern := regexp.MustCompile(`"url":"(http://127[^"]*)/graphql"`)
	waitFor(t, "the server listens", func() bool { return urlPattern.MatchString(log.String()) })
	s := &testServer{url: urlPattern.FindStringSubmatch(log.String())[1], log: log}
	waitFor(t, "the server is ready", func() bool {
		status, _ := s.get(t, "/readyz")
		return status == http.StatusOK
	})
	if status, text := s.get(t, "/healthz"); status != http.StatusOK || text != "alive\n" {
		t.Errorf("/healthz is %d %q, want 200 and alive", status, text)
	}
	if status, _ := s.get(t, "/graphql?query=%7B__typename%7D"); status != http.StatusOK {
		t.Errorf("GET /graphql with a query is %d, want 200", status)
	}
	if _, body := s.do(t,
		testRequest{query: `query Who { me { username } }`,
			authorization: "bEaReR " + signIn(t, kc).AccessToken}); body !=
		`{"data":{"me":{"username":"alice"}}}`+"\n" {
		t.Errorf("me is %s, want alice", body)
	}
	waitFor(t, "the request is logged", func() bool {
		return strings.Contains(log.String(),
			`"msg":"request","operation":"query","name":"Who","status":200,"duration":`)
	})

	for origin, want := range map[string]string{
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
		if got := response.Header.Get("Access-Control-Allow-Origin"); got != want ||
			response.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("preflight from %s allows %q, want %q and no credentials", origin, got,
				want)
		}
	}

	// After stop, the request in flight finishes, and new connections aren't accepted.
	gate <- struct{}{}
	response := make(chan string, 1)
	go func() {
		defer close(response)
		_, body := s.do(t,
			testRequest{
				query: `mutation { login(username: "alice", password: "shop-secret") { tokenType ` +
					`} }`,
			})
		response <- body
	}()
	waitFor(t, "a sign-in waits for Keycloak", func() bool { return kc.Count("/token") == 1 })
	stop()
	waitFor(t, "the server accepts no more connections", func() bool {
		connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err == nil {
			connection.Close()
		}
		return err != nil
	})
	<-gate
	if body := <-response; !strings.Contains(body, `"tokenType":"Bearer"`) {
		t.Errorf("the sign-in in flight got %s, want tokens", body)
	}
	if err := <-runDone; err != nil {
		t.Errorf("run() = %v, want nil", err)
	}
}

// run returns an error that says what to do if settings are missing or the port is in use.
func TestRun_failsToStart(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for name, tt := range map[string]struct {
		environ []string
		want    string
	}{
		"missing settings": {[]string{"KEYCLOAK_REALM_NAME=shop"}, "KEYCLOAK_SERVER_URL"},
		"port in use": {append(slices.Clone(requiredSettings), "ADDR="+listener.Addr().String()),
			"already: end it, or set ADDR to another address, such as ADDR=127.0.0.1:"},
	} {
		if err := run(t.Context(), tt.environ, t.TempDir(), io.Discard); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: run() = %v, want an error that contains %q", name, err, tt.want)
		}
	}
}

// /readyz reports that key fetches fail even while the cached keys still work. Only a local server
// says why they fail.
func TestReadiness(t *testing.T) {
	const validKeys = `{"keys":[{"kid":"k","kty":"OKP","alg":"EdDSA","use":"sig","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	for _, tt := range []struct {
		name                string
		isLocal, isDraining bool
		fetchStatuses       []int         // of Keycloak's responses in order; the last repeats
		probeAfter          time.Duration // the time from the start to the probe
		status              int
		want                string
	}{
		{"keys fetched", false, false, []int{200}, time.Minute, 200, "ready\n"},
		{"keys fetched, stopping", false, true, []int{200}, time.Minute, 503,
			"not ready: stopping\n"},
		{"fetches fail", false, false, []int{500}, time.Minute, 503,
			"not ready: no keys to verify tokens with\n"},
		{"fetches fail, local", true, false, []int{500}, time.Minute, 503,
			"not ready: no keys to verify tokens with: response 500; expected 200\n"},
		{"later fetches fail", false, false, []int{200, 500}, 10 * time.Minute, 200,
			"ready: the cached keys are still valid, but can't be refreshed\n"},
		{"later fetches fail for too long", false, false, []int{200, 500}, 25 * time.Hour, 503,
			"not ready: no keys to verify tokens with\n"},
		{"third fetch succeeds", false, false, []int{500, 500, 200}, time.Minute, 200, "ready\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// A synctest bubble can't use the network, so a transport stands for Keycloak.
			synctest.Test(t, func(t *testing.T) {
				realm, err := keycloak.NewRealm("http://keycloak", "shop")
				if err != nil {
					t.Fatal(err)
				}
				calls := 0
				server := newServer(t, cloakql.Config{
					Local: tt.isLocal, Realm: realm, Log: slog.New(slog.DiscardHandler),
					Client: keycloak.ClientConfig{ClientID: "shop-api",
						ClientSecret: identity.NewSecret(clientSecret)},
					Keys: keycloak.KeySetConfig{
						Transport: transportFunc(func(*http.Request) (*http.Response, error) {
							status := tt.fetchStatuses[min(calls, len(tt.fetchStatuses)-1)]
							calls++
							return &http.Response{StatusCode: status,
								Body: io.NopCloser(strings.NewReader(validKeys))}, nil
						})},
				})
				go cloakql.RunKeys(t.Context(), server)
				time.Sleep(tt.probeAfter)
				if tt.isDraining {
					server.Close(t.Context())
				}
				w := httptest.NewRecorder()
				request := httptest.NewRequest(http.MethodGet, "/readyz", nil)
				request.Host = "localhost"
				server.Handler().ServeHTTP(w, request)
				if w.Code != tt.status || w.Body.String() != tt.want {
					t.Errorf("/readyz is %d %q, want %d %q", w.Code, w.Body, tt.status, tt.want)
				}
			})
		})
	}
}

// The server closes a connection whose client stops sending: in the header of a request, in its
// body, or between two requests.
func TestTimeouts_slowClients(t *testing.T) {
	config := testConfig(t)
	config.Log = slog.New(slog.DiscardHandler)
	server := cloakql.HTTPServer(newServer(t, config))
	for name, limit := range map[string]time.Duration{"header": server.ReadHeaderTimeout,
		"read": server.ReadTimeout, "idle": server.IdleTimeout} {
		if limit <= 0 || limit > 5*time.Minute {
			t.Errorf("the %s timeout is %v, want more than 0 and at most 5m", name, limit)
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
	for name, request := range map[string]string{
		"header": "POST /graphql HTTP/1.1\r\nHost: localhost\r\n",
		"body": "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: " +
			"application/json\r\nContent-Length: 100\r\n\r\n{",
		"idle": "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			connection, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			if _, err := io.WriteString(connection, request); err != nil {
				t.Fatal(err)
			}
			connection.SetReadDeadline(time.Now().Add(testTimeout))
			if _, err := io.ReadAll(connection); err != nil { // nil once the server closes it
				t.Errorf("ReadAll() = %v, want nil, because the server closes the connection", err)
			}
		})
	}
}

// The server stops writing to a client that doesn't read the response.
func TestTimeouts_slowReader(t *testing.T) {
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	writeErr := make(chan error, 1)
	server := httptest.NewServer(middleware.WriteDeadline(50*time.Millisecond,
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(chunk); err != nil {
					writeErr <- err
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
	case err := <-writeErr:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write() = %v, want os.ErrDeadlineExceeded", err)
		}
	case <-time.After(testTimeout):
		t.Error("the server still writes to a client that doesn't read, want a deadline error")
	}
}

// BenchmarkMe measures the query me over HTTP. The server verifies its token without a call to
// Keycloak.
func BenchmarkMe(b *testing.B) {
	kc := newFakeKeycloak(b, clientSecret)
	s := newTestServer(b, testConfig(b, withKeycloak(kc), "RUNTIME_ENV=prod"), nil)
	token := "Bearer " + signIn(b, kc).AccessToken
	s.do(b, testRequest{query: `{ me { id username } }`, authorization: token})
	b.ResetTimer()
	for b.Loop() {
		_, body := s.do(b,
			testRequest{query: `{ me { id username } }`,
				authorization: token})
		if !strings.Contains(body, "alice") {
			b.Fatal(body)
		}
	}
}

// A production server serves the console and its files only if CONSOLE is on.
func TestConsole(t *testing.T) {
	for setting, want := range map[string]int{"CONSOLE=on": http.StatusOK,
		"CONSOLE=off": http.StatusNotFound} {
		s := newTestServer(t, testConfig(t, "RUNTIME_ENV=prod", setting),
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
