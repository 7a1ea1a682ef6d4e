package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloakql/cloakql/internal/redistest"
)

// serveTwo starts two processes of the server for this realm, with one store.
func (r realm) serveTwo(t *testing.T, store string, settings ...string) [2]*server {
	t.Helper()
	// A busy machine may need more than the default timeout.
	all := append([]string{"STORE=" + store, "STORE_TIMEOUT=1s", "TRUSTED_PROXIES=127.0.0.1"},
		settings...)
	return [2]*server{r.serve(t, all...), r.serve(t, all...)}
}

// kill ends the server with SIGKILL.
func (s *server) kill() {
	s.cmd.Process.Signal(syscall.SIGKILL)
	<-s.done
	s.cmd.Wait()
}

// number returns the number in an environment variable, or defaultValue. It is for tests that are
// short by default.
func number(name string, defaultValue int) int {
	if n := atoi(os.Getenv(name)); n > 0 {
		return n
	}
	return defaultValue
}

// runTogether runs a subtest for each case. The subtests run at the same time, whatever the flag
// -parallel says, since they mostly wait.
func runTogether[T any](t *testing.T, cases []T, name func(T) string,
	run func(t *testing.T, c T)) {
	t.Helper()
	var running sync.WaitGroup
	for _, c := range cases {
		running.Go(func() { t.Run(name(c), func(t *testing.T) { run(t, c) }) })
	}
	running.Wait()
}

// A tokenProxy is a proxy in front of Keycloak. It records the refreshes, and may delay calls to
// the token endpoint.
type tokenProxy struct {
	url string
	// delay returns how long to delay a call on its way to Keycloak, and the response on its way
	// back. If the client disconnects before the call reaches Keycloak, Keycloak doesn't get it.
	delay func() (before, after time.Duration)

	mu        sync.Mutex       // guards the fields below
	calls     int              // that Keycloak got
	exchanges map[string][]int // the statuses of Keycloak's responses, by refresh token
}

// refreshTokenKey is the context key of a request's refresh token.
type refreshTokenKey struct{}

// newTokenProxy starts a proxy in front of a Keycloak. delay may be nil.
func newTokenProxy(t *testing.T, target string,
	delay func() (before, after time.Duration)) *tokenProxy {
	t.Helper()
	targetURL, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	if delay == nil {
		delay = func() (before, after time.Duration) { return 0, 0 }
	}
	p := &tokenProxy{delay: delay, exchanges: map[string][]int{}}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(targetURL) },
		ModifyResponse: func(response *http.Response) error {
			token, _ := response.Request.Context().Value(refreshTokenKey{}).(string)
			p.mu.Lock()
			defer p.mu.Unlock()
			if token != "" {
				p.exchanges[token] = append(p.exchanges[token], response.StatusCode)
			}
			return nil
		}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/token") {
			proxy.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		before, after := delay()
		select {
		case <-time.After(before):
		case <-r.Context().Done():
			return
		}
		form, _ := url.ParseQuery(string(body))
		p.mu.Lock()
		p.calls++
		p.mu.Unlock()
		ctx := context.WithValue(context.WithoutCancel(r.Context()), refreshTokenKey{},
			form.Get("refresh_token"))
		r = r.WithContext(ctx)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		recorder := httptest.NewRecorder()
		proxy.ServeHTTP(recorder, r)
		time.Sleep(after)
		for name, values := range recorder.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorder.Code)
		w.Write(recorder.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// exchangesOf returns the statuses of Keycloak's responses to exchanges of a refresh token.
func (p *tokenProxy) exchangesOf(refreshToken string) []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]int(nil), p.exchanges[refreshToken]...)
}

// callCount returns the number of calls to the token endpoint that Keycloak got.
func (p *tokenProxy) callCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// behind returns a realm whose servers call Keycloak through a proxy, and the setting that they
// need.
func (r realm) behind(p *tokenProxy) (proxied realm, setting string) {
	return realm{&keycloak{url: p.url}, r.name}, "KEYCLOAK_ISSUER=" + r.k.url + "/realms/" + r.name
}

// Persisted queries that are registered at one process are known at the other.
func TestPersistedQueries_twoProcesses(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	servers := realm{sharedKeycloak, "local"}.serveTwo(t, redis.URL())
	for i, s := range servers {
		other := servers[1-i]
		query := fmt.Sprintf("query Q%d { __typename }", i)
		extensions := object{"persistedQuery": object{"version": 1, "sha256Hash": digest(query)}}
		response := s.post(t, object{"extensions": extensions})
		wantCode(t, "unknown hash", response, "PERSISTED_QUERY_NOT_FOUND")
		// Try again: on a busy machine, Redis may take longer than the server waits for it.
		waitUntil(t, "the other process knows the query", func() bool {
			wantCode(t, "registration",
				s.post(t, object{"query": query, "extensions": extensions}), "")
			return other.post(t, object{"extensions": extensions}).code() == ""
		})
	}
}

// post sends any GraphQL request.
func (s *server) post(t *testing.T, request object) (out result) {
	t.Helper()
	out, err := s.send(t.Context(), "", "", request)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
