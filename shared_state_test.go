package cloakql_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
	"github.com/cloakql/cloakql/store"
)

// newMemoryStore returns a store for servers in this process. Check fails while failing is set.
func newMemoryStore(failing *atomic.Bool) *store.Store {
	return &store.Store{
		Name: "test", Buckets: &store.MemoryBuckets{}, Calls: &store.MemoryCalls{},
		Turns: &store.MemoryTurns{}, Documents: &store.MemoryDocuments{},
		Events: &store.MemoryEvents{},
		Check: func(context.Context) error {
			if failing.Load() {
				return fmt.Errorf("%w: connection refused", store.ErrUnavailable)
			}
			return nil
		},
	}
}

// newSharingServers starts two servers for kc that share a store.
func newSharingServers(t *testing.T, kc *keycloaktest.Server, shared *store.Store,
	settings ...string) (a, b *testServer) {
	t.Helper()
	start := func() *testServer {
		config := testConfig(t, append(settings, withKeycloak(kc), "RUNTIME_ENV=prod")...)
		config.Store = shared
		s := &testServer{log: &lockedBuffer{}}
		config.Log = slog.New(slog.NewJSONHandler(s.log, nil))
		server := newServer(t, config)
		listener := httptest.NewServer(server.Handler())
		t.Cleanup(func() {
			listener.Close()
			server.Close(context.Background())
		})
		s.url = listener.URL
		return s
	}
	return start(), start()
}

// A query that a client registers at one server can be named by its hash at the other.
func TestStore_persistedQueries(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	a, b := newSharingServers(t, kc, newMemoryStore(new(atomic.Bool)))
	const query = "query Type { __typename }"
	sum := sha256.Sum256([]byte(query))
	extensions := `"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` +
		hex.EncodeToString(sum[:]) + `"}}`
	for i, tt := range []struct {
		server     *testServer
		body, want string
	}{
		{b, "{" + extensions + "}", "PERSISTED_QUERY_NOT_FOUND"},
		{a, `{"query":"` + query + `",` + extensions + "}", `"__typename":"Query"`},
		{b, "{" + extensions + "}", `"__typename":"Query"`},
	} {
		_, body := tt.server.do(t, testRequest{body: tt.body})
		if !strings.Contains(body, tt.want) {
			t.Errorf("request %d: got %s, want %s", i, body, tt.want)
		}
	}
}

// Two servers make one exchange for a refresh token.
func TestStore_refresh(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	a, b := newSharingServers(t, kc, newMemoryStore(new(atomic.Bool)))
	tokens := signIn(t, kc)
	var responses []string
	for _, server := range []*testServer{a, b, a} {
		_, body := server.do(t, testRequest{query: fmt.Sprintf(
			"mutation { refresh(refreshToken: %q) { refreshToken } }", tokens.RefreshToken)})
		responses = append(responses, body)
	}
	if responses[0] != responses[1] || responses[0] != responses[2] ||
		!strings.Contains(responses[0], `"refreshToken":"ey`) {
		t.Errorf("got %q, want the same tokens three times", responses)
	}
	if log := b.log.String(); !strings.Contains(log, "the response is repeated") {
		t.Errorf("the second server's log has no line about the repeat:\n%s", log)
	}
}

// Two servers count attempts together.
func TestStore_attempts(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	a, b := newSharingServers(t, kc, newMemoryStore(new(atomic.Bool)), "LOGIN_ACCOUNT_LIMIT=5/1h",
		"LOGIN_REFUSAL_PAUSE=0")
	limited := 0
	for i := range 10 {
		server := []*testServer{a, b}[i%2]
		_, body := server.do(t, testRequest{
			query: `mutation { login(username: "wrong-password", password: "x") { tokenType } }`})
		if strings.Contains(body, "RATE_LIMITED") {
			limited++
		}
	}
	if limited != 5 {
		t.Errorf("of 10 attempts, %d were limited, want 5", limited)
	}
}

// A session that ends through one server is refused by the other too.
func TestStore_revocation(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	a, b := newSharingServers(t, kc, newMemoryStore(new(atomic.Bool)))
	tokens := signIn(t, kc)
	_, body := a.do(t, testRequest{
		query: fmt.Sprintf("mutation { logout(refreshToken: %q) }", tokens.RefreshToken)})
	if !strings.Contains(body, `"logout":true`) {
		t.Fatalf("logout: got %s", body)
	}
	waitFor(t, "the other server to refuse the session", func() bool {
		_, body := b.do(t, testRequest{query: "{ me { username } }",
			authorization: "Bearer " + tokens.AccessToken})
		return strings.Contains(body, "TOKEN_REVOKED")
	})
}

// A server whose store is unavailable stays ready, and names the problem.
func TestStore_readiness(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	failing := new(atomic.Bool)
	a, _ := newSharingServers(t, kc, newMemoryStore(failing))
	signedIn := signIn(t, kc)
	a.do(t, testRequest{query: "{ me { username } }", authorization: "Bearer " +
		signedIn.AccessToken}) // fetches the keys
	for _, isFailing := range []bool{false, true, false} {
		failing.Store(isFailing)
		want := "ready\n"
		if isFailing {
			want = "ready: the shared store is unavailable\n"
		}
		if status, body := a.get(t, "/readyz"); status != 200 || body != want {
			t.Errorf("/readyz is %d %q, want 200 %q", status, body, want)
		}
	}
	config := cloakql.Config{Store: newMemoryStore(failing)}
	if text := config.LogValue().String(); !strings.Contains(text, "store=test") {
		t.Errorf("the configuration in the log is %s, want the store's name", text)
	}
}
