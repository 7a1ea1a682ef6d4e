package cloakql_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
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

// needed are the settings without which nothing works.
var needed = []string{
	"KEYCLOAK_SERVER_URL=http://localhost:8080/", "KEYCLOAK_REALM_NAME=shop",
	"KEYCLOAK_CLIENT_ID=shop-api", "KEYCLOAK_CLIENT_SECRET_KEY=hush",
}

// goodConfig returns the configuration of needed and of more settings, which win.
func goodConfig(t testing.TB, more ...string) cloakql.Config {
	t.Helper()
	s, err := settings.Read(slices.Concat(needed, more), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s.Server
}

// run serves with settings, as the command does.
func run(ctx context.Context, environ []string, dir string, out io.Writer) error {
	config, err := settings.Read(environ, dir)
	if err != nil {
		return err
	}
	return program.Serve(ctx, config, out, nil)
}

// newShop starts a stand-in for Keycloak with the realm shop. It has a user for each way in which a
// sign-in ends, and one secret: the clients', and the right password of those whom it lets in, or
// would.
func newShop(t testing.TB, secret string) *keycloaktest.Server {
	t.Helper()
	disabled := map[string]any{"enabled": false}
	kc := keycloaktest.New(t, keycloaktest.Plan{
		Name:     "shop",
		Settings: map[string]any{"bruteForceProtected": true, "revokeRefreshToken": true},
		Clients: []keycloaktest.PlannedClient{
			{ID: "shop-api", Secret: secret},
			{ID: "no-direct-grants", Secret: secret, Settings: map[string]any{"directAccessGrantsEnabled": false}},
		},
		Users: []keycloaktest.PlannedUser{
			{Name: "alice", Password: secret},
			{Name: "wrong", Password: "another"},
			{Name: "locked", Password: secret},
			{Name: "disabled", Password: secret, Settings: disabled},
			{Name: "disabled-wrong", Password: "another", Settings: disabled},
			{Name: "unready", Password: secret, Settings: map[string]any{"requiredActions": []string{"UPDATE_PASSWORD"}}},
		},
	}.File())
	if err := kc.Realm("shop").User("locked").Lock(time.Hour); err != nil {
		t.Fatal(err)
	}
	return kc
}

// at is the setting that names kc.
func at(kc *keycloaktest.Server) string { return "KEYCLOAK_SERVER_URL=" + kc.URL }

// signIn begins a session of alice's.
func signIn(t testing.TB, kc *keycloaktest.Server) keycloaktest.Tokens {
	t.Helper()
	tokens, err := kc.Realm("shop").SignIn("shop-api", "alice")
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// bearer is a header with an access token for shop-api, as m changes it.
func bearer(t testing.TB, kc *keycloaktest.Server, m keycloaktest.Mint) string {
	t.Helper()
	claims := map[string]any{"aud": "shop-api", "sub": "5d35c4eb"}
	maps.Copy(claims, m.Claims)
	m.Claims = claims
	token, err := kc.Realm("shop").Mint(m)
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + token
}

// refusedTokens are refresh tokens that kc refuses, by what has become of them.
func refusedTokens(t testing.TB, kc *keycloaktest.Server, config cloakql.Config) map[string]string {
	t.Helper()
	config.Client.RefreshGrace = -1 // each exchange is Keycloak's own
	client := newClient(t, config)
	spend := func(token string) (*identity.OpenIDToken, error) {
		return client.Refresh(t.Context(), identity.NewSecret(token))
	}
	kc.Advance(-time.Hour)
	expired := signIn(t, kc)
	kc.Advance(time.Hour)
	ended, reused, stolen := signIn(t, kc), signIn(t, kc), signIn(t, kc)
	kc.Realm("shop").EndSession(keycloaktest.Session{ID: ended.SessionID})
	_, once := spend(reused.RefreshToken)
	detached, first := spend(stolen.RefreshToken)
	// costs the client its part of the session, and detached with it
	_, second := spend(stolen.RefreshToken)
	if once != nil || first != nil || !errors.Is(second, identity.ErrRefreshReused) {
		t.Fatalf("the exchanges end with %v, %v and %v", once, first, second)
	}
	return map[string]string{"expired": expired.RefreshToken, "ended": ended.RefreshToken,
		"reused": reused.RefreshToken, "detached": detached.RefreshToken.Reveal()}
}

// newGate is an address before kc whose answers wait while the gate holds a value. Fail can delay
// an answer or keep it for ever, not until a test says so.
func newGate(t testing.TB, kc *keycloaktest.Server) (address string, gate chan struct{}) {
	t.Helper()
	gate = make(chan struct{}, 1)
	target, _ := url.Parse(kc.URL)
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(answer *http.Response) error {
			select {
			case gate <- struct{}{}:
				<-gate
			case <-answer.Request.Context().Done():
			}
			return nil
		},
	})
	t.Cleanup(server.Close)
	return server.URL, gate
}

// A site is a server under test, with its log.
type site struct {
	url string
	log *lockedBuffer
}

// newSite serves config. A nil realm is the real client. Where config has the usual time-outs, it
// gets the longest instead: a slow machine is no fault.
func newSite(t testing.TB, config cloakql.Config, realm signin.Realm) *site {
	t.Helper()
	if usual := goodConfig(t); config.Client.Timeout == usual.Client.Timeout &&
		config.GraphQL.Timeout == usual.GraphQL.Timeout {
		config.Client.Timeout, config.GraphQL.Timeout = time.Minute, 2*time.Minute
	}
	s := &site{log: &lockedBuffer{}}
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server := httptest.NewServer(testHandler(t, config, realm, log))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// newClient returns the client that a server with config has.
func newClient(t testing.TB, config cloakql.Config) *keycloak.Client {
	t.Helper()
	config.Client.Realm = config.Realm
	client, err := keycloak.NewClient(config.Client)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// testHandler returns the handler of a server with config. A nil realm is the real client.
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

// newServer returns a server with config.
func newServer(t testing.TB, config cloakql.Config) *cloakql.Server {
	t.Helper()
	server, err := cloakql.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

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

// An exchange is one HTTP request; its zero value is a POST of an empty body to /graphql.
type exchange struct {
	method, contentType, accept, authorization, query, body string
	// the address, for a site that trusts the proxy 127.0.0.1
	from      string
	variables map[string]any
	raw       bool // send body as it is
}

// do sends e and returns the response with its body.
func (s *site) do(t testing.TB, e exchange) (*http.Response, string) {
	t.Helper()
	body := e.body
	if !e.raw {
		text, err := json.Marshal(map[string]any{"query": e.query, "variables": e.variables})
		if err != nil {
			t.Fatal(err)
		}
		body = string(text)
	}
	request, err := http.NewRequest(cmp.Or(e.method, http.MethodPost), s.url+"/graphql",
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", cmp.Or(e.contentType, "application/json"))
	if e.accept != "" {
		request.Header.Set("Accept", e.accept)
	}
	if e.from != "" {
		request.Header.Set("X-Forwarded-For", e.from)
	}
	if e.authorization != "" {
		request.Header.Set("Authorization", e.authorization)
	}
	client := http.Client{Timeout: patience} // of the test, should nobody answer
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

// realmFunc is a Realm whose every method is one function, for what a stand-in can't bring about:
// panics, errors of no known kind, and a client that is busy or waits for its caller.
type realmFunc func(context.Context) error

func (f realmFunc) Login(ctx context.Context,
	_ identity.Credentials) (*identity.OpenIDToken, error) {
	return nil, f(ctx)
}
func (f realmFunc) Refresh(ctx context.Context, _ identity.Secret) (*identity.OpenIDToken, error) {
	return nil, f(ctx)
}
func (f realmFunc) Logout(ctx context.Context, _ identity.Secret) error { return f(ctx) }

// get returns the status and the body of a path.
func (s *site) get(t testing.TB, path string) (int, string) {
	t.Helper()
	response, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// patience is how long a test waits for what has to happen. It says nothing of how quick a machine
// is: only a fault takes so long.
const patience = 4 * time.Minute

// waitFor waits until f reports true, and fails the test after patience.
func waitFor(t testing.TB, what string, f func() bool) {
	t.Helper()
	for begin := time.Now(); !f(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatal("this doesn't come about: " + what)
		}
	}
}
