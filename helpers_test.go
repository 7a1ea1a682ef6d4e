package cloakql_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/program"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
	"github.com/cloakql/cloakql/settings"
	"github.com/cloakql/cloakql/signin"
)

// clientSecret is the secret of the client shop-api. Most tests use it as the users' password too.
const clientSecret = "shop-secret"

// requiredSettings are the settings that have no default.
var requiredSettings = []string{
	"KEYCLOAK_SERVER_URL=http://localhost:8080/", "KEYCLOAK_REALM_NAME=shop",
	"KEYCLOAK_CLIENT_ID=shop-api", "KEYCLOAK_CLIENT_SECRET_KEY=shop-secret",
}

// testConfig returns the configuration read from requiredSettings and extra, which takes
// precedence.
func testConfig(t testing.TB, extra ...string) cloakql.Config {
	t.Helper()
	s, err := settings.Read(slices.Concat(requiredSettings, extra), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s.Server
}

// run starts a server from an environment and a directory, as the command does.
func run(ctx context.Context, environ []string, dir string, out io.Writer) error {
	config, err := settings.Read(environ, dir)
	if err != nil {
		return err
	}
	return program.Serve(ctx, config, out, nil)
}

// newFakeKeycloak starts a fake Keycloak with the realm shop, which has a user for each outcome of
// a sign-in. The argument secret is the clients' secret and also the users' password, except that
// the users wrong-password and disabled-wrong-password have another password.
func newFakeKeycloak(t testing.TB, secret string) *keycloaktest.Server {
	t.Helper()
	disabledSettings := map[string]any{"enabled": false}
	kc := keycloaktest.New(t, keycloaktest.RealmSpec{
		Name:     "shop",
		Settings: map[string]any{"bruteForceProtected": true, "revokeRefreshToken": true},
		Clients: []keycloaktest.ClientSpec{
			{ID: "shop-api", Secret: secret},
			{ID: "no-direct-grants", Secret: secret,
				Settings: map[string]any{"directAccessGrantsEnabled": false}},
		},
		Users: []keycloaktest.UserSpec{
			{Name: "alice", Password: secret},
			{Name: "wrong-password", Password: "another"},
			{Name: "locked", Password: secret},
			{Name: "disabled", Password: secret, Settings: disabledSettings},
			{Name: "disabled-wrong-password", Password: "another", Settings: disabledSettings},
			{Name: "unready", Password: secret,
				Settings: map[string]any{"requiredActions": []string{"UPDATE_PASSWORD"}}},
		},
	}.File())
	if err := kc.Realm("shop").User("locked").Lock(time.Hour); err != nil {
		t.Fatal(err)
	}
	return kc
}

// withKeycloak returns the setting that points a server at kc.
func withKeycloak(kc *keycloaktest.Server) string { return "KEYCLOAK_SERVER_URL=" + kc.URL }

// signIn starts a session of alice.
func signIn(t testing.TB, kc *keycloaktest.Server) keycloaktest.Tokens {
	t.Helper()
	tokens, err := kc.Realm("shop").SignIn("shop-api", "alice")
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// bearer returns an Authorization header with an access token for shop-api, modified by spec.
func bearer(t testing.TB, kc *keycloaktest.Server, spec keycloaktest.TokenSpec) string {
	t.Helper()
	claims := map[string]any{"aud": "shop-api", "sub": "5d35c4eb"}
	maps.Copy(claims, spec.Claims)
	spec.Claims = claims
	token, err := kc.Realm("shop").Mint(spec)
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + token
}

// refusedTokens returns refresh tokens that kc refuses, keyed by the reason for the refusal.
func refusedTokens(t testing.TB, kc *keycloaktest.Server, config cloakql.Config) map[string]string {
	t.Helper()
	config.Client.RefreshGrace = -1 // never repeat a response
	client := newClient(t, config)
	refresh := func(token string) (*identity.OpenIDToken, error) {
		return client.Refresh(t.Context(), identity.NewSecret(token))
	}
	kc.Advance(-time.Hour)
	expiredTokens := signIn(t, kc)
	kc.Advance(time.Hour)
	endedTokens, reusedTokens, stolenTokens := signIn(t, kc), signIn(t, kc), signIn(t, kc)
	kc.Realm("shop").EndSession(keycloaktest.Session{ID: endedTokens.SessionID})
	_, err := refresh(reusedTokens.RefreshToken)
	newTokens, firstErr := refresh(stolenTokens.RefreshToken)
	// The reuse detaches the client from the session, which also revokes newTokens.
	_, secondErr := refresh(stolenTokens.RefreshToken)
	if err != nil || firstErr != nil || !errors.Is(secondErr, identity.ErrRefreshReused) {
		t.Fatalf("Refresh() = %v, %v and %v; want the third to be ErrRefreshReused", err, firstErr,
			secondErr)
	}
	return map[string]string{
		"expired":         expiredTokens.RefreshToken,
		"session ended":   endedTokens.RefreshToken,
		"reused":          reusedTokens.RefreshToken,
		"client detached": newTokens.RefreshToken.Reveal(),
	}
}

// newGate starts a proxy in front of kc. A test that sends to the channel gate makes the proxy
// withhold responses until the test receives from gate. (Server.Fail can delay or withhold a
// response too, but a test can't choose when to release it.)
func newGate(t testing.TB, kc *keycloaktest.Server) (address string, gate chan struct{}) {
	t.Helper()
	gate = make(chan struct{}, 1)
	target, _ := url.Parse(kc.URL)
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(response *http.Response) error {
			select {
			case gate <- struct{}{}:
				<-gate
			case <-response.Request.Context().Done():
			}
			return nil
		},
	})
	t.Cleanup(server.Close)
	return server.URL, gate
}

// A testServer has the URL and the log of a running server.
type testServer struct {
	url string
	log *lockedBuffer
}

// newTestServer starts a server with config. A nil realm means the real client. If config has the
// default timeouts, newTestServer raises them, so that tests pass on a slow machine.
func newTestServer(t testing.TB, config cloakql.Config, realm signin.Realm) *testServer {
	t.Helper()
	if defaults := testConfig(t); config.Client.Timeout == defaults.Client.Timeout &&
		config.GraphQL.Timeout == defaults.GraphQL.Timeout {
		config.Client.Timeout, config.GraphQL.Timeout = time.Minute, 2*time.Minute
	}
	s := &testServer{log: &lockedBuffer{}}
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server := httptest.NewServer(testHandler(t, config, realm, log))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// newClient returns a Keycloak client like that of a server with config.
func newClient(t testing.TB, config cloakql.Config) *keycloak.Client {
	t.Helper()
	config.Client.Realm = config.Realm
	client, err := keycloak.NewClient(config.Client)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// testHandler returns the handler of a server with config. A nil realm means the real client.
func testHandler(t testing.TB, config cloakql.Config, realm signin.Realm,
	log *slog.Logger) http.Handler {
	t.Helper()
	config.Log = log
	if realm != nil {
		handler, err := cloakql.NewHandler(config, realm)
		if err != nil {
			t.Fatal(err)
		}
		return handler
	}
	return newServer(t, config).Handler()
}

// newServer returns a server with config, without starting it.
func newServer(t testing.TB, config cloakql.Config) *cloakql.Server {
	t.Helper()
	server, err := cloakql.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// A lockedBuffer is a bytes.Buffer that is safe for concurrent use.
type lockedBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A testRequest describes a request to /graphql. The zero value is a POST of an empty query.
type testRequest struct {
	method, contentType, accept, authorization, query string

	body string // if set, sent instead of query and variables

	address   string // the client's address, for a testServer that trusts the proxy 127.0.0.1
	variables map[string]any
}

// do sends r. It returns the response, whose body it has closed, and the text of the body.
func (s *testServer) do(t testing.TB, r testRequest) (*http.Response, string) {
	t.Helper()
	body := r.body
	if body == "" {
		text, err := json.Marshal(map[string]any{"query": r.query, "variables": r.variables})
		if err != nil {
			t.Fatal(err)
		}
		body = string(text)
	}
	request, err := http.NewRequest(cmp.Or(r.method, http.MethodPost), s.url+"/graphql",
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", cmp.Or(r.contentType, "application/json"))
	if r.accept != "" {
		request.Header.Set("Accept", r.accept)
	}
	if r.address != "" {
		request.Header.Set("X-Forwarded-For", r.address)
	}
	if r.authorization != "" {
		request.Header.Set("Authorization", r.authorization)
	}
	client := http.Client{Timeout: testTimeout}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(content)
}

// A realmFunc is a signin.Realm whose methods all call one function. The function can panic, return
// an unknown error or ErrBusy, or wait for the caller. A fake Keycloak can't make a real client do
// this.
type realmFunc func(context.Context) error

func (f realmFunc) Login(ctx context.Context,
	_ identity.Credentials) (*identity.OpenIDToken, error) {
	return nil, f(ctx)
}
func (f realmFunc) Refresh(ctx context.Context, _ identity.Secret) (*identity.OpenIDToken, error) {
	return nil, f(ctx)
}
func (f realmFunc) Logout(ctx context.Context, _ identity.Secret) error { return f(ctx) }

// get sends a GET request for path. It returns the status and the body.
func (s *testServer) get(t testing.TB, path string) (int, string) {
	t.Helper()
	response, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// testTimeout is how long a test waits for an event that must happen. It is longer than even a slow
// machine needs.
const testTimeout = 4 * time.Minute

// waitFor waits until f returns true, and fails the test after testTimeout.
func waitFor(t testing.TB, event string, f func() bool) {
	t.Helper()
	for start := time.Now(); !f(); time.Sleep(time.Millisecond) {
		if time.Since(start) > testTimeout {
			t.Fatal("timed out waiting for: " + event)
		}
	}
}

// repeatf formats the numbers from 0 to n-1 with format, and concatenates the results.
func repeatf(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// newIdleServer starts a server without Keycloak: login, refresh and logout do nothing.
func newIdleServer(t testing.TB, settings ...string) *testServer {
	t.Helper()
	return newTestServer(t, testConfig(t, settings...),
		realmFunc(func(context.Context) error { return nil }))
}

// sendRaw writes request, the text of an HTTP request, to a new connection. It returns the response
// and its body.
func (s *testServer) sendRaw(t testing.TB, request string) (*http.Response, string) {
	t.Helper()
	connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// must returns value, and panics if err isn't nil.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// publicPackages lists the directories of the packages that other projects may import.
var publicPackages = []string{".", "identity", "apierror", "keycloak", "authz", "graph",
	"graphqlhttp", "limits", "signin", "throttle", "revocation", "store", "store/redisstore",
	"store/storetest", "console", "keycloak/keycloaktest"}

// eachDeclaration calls visit for each top-level declaration of the package in dir. It skips tests.
func eachDeclaration(t *testing.T, dir string, visit func(*ast.File, ast.Decl)) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s has no Go files: %v", dir, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			visit(file, declaration)
		}
	}
}

// glob returns the names of the files that match a pattern, written with slashes. It fails the test
// if no file matches.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no file matches %s: %v", pattern, err)
	}
	for i, name := range names {
		names[i] = filepath.ToSlash(name)
	}
	return names
}

// readSource returns the text of a file, with \n line endings even in a checkout with \r\n.
func readSource(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// A transportFunc is a function that implements http.RoundTripper.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A pipeListener is an in-memory listener for tests with testing/synctest: the fake clock doesn't
// advance while a goroutine waits on a real socket.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

// newPipeListener returns a listener that accepts the connections that its method dial makes.
func newPipeListener() *pipeListener {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error { l.close(); return nil }

func (l *pipeListener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
}

func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
