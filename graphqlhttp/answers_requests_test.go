package graphqlhttp

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestAnswers_rejections checks that a request with invalid headers, a wrong method or too many
// bytes is rejected even if the answer to its text is cached.
func TestAnswers_rejections(t *testing.T) {
	answers, store := newAnswers()
	sendTo(t, newTransport(Config{AllowGET: true, Answers: answers}), resolvers(),
		postQuery("{ leaf }"))
	sendTo(t, newTransport(Config{AllowGET: true, Answers: answers}), resolvers(),
		requestWithQueryString("GET", "query={leaf}"))
	if len(store.answers) != 2 {
		t.Fatalf("kept requests: %q, want 2", store.keptRequests())
	}
	put := postQuery("{ leaf }")
	put.Method = http.MethodPut
	for name, tt := range map[string]struct {
		config  Config
		request *http.Request
		status  int
	}{
		"Content-Type": {Config{},
			withHeader(postQuery("{ leaf }"), "Content-Type", "text/plain"), 415},
		"charset": {Config{},
			withHeader(postQuery("{ leaf }"), "Content-Type",
				"application/json; charset=latin1"), 415},
		"Content-Encoding": {Config{},
			withHeader(postQuery("{ leaf }"), "Content-Encoding", "gzip"), 415},
		"Accept": {Config{}, withHeader(postQuery("{ leaf }"), "Accept", "text/html"),
			406},
		"method":     {Config{AllowGET: true}, put, 405},
		"GET is off": {Config{}, requestWithQueryString("GET", "query={leaf}"), 405},
		"large body": {Config{MaxBodyBytes: 10}, postQuery("{ leaf }"), 413},
		"large query": {Config{MaxBodyBytes: 10, AllowGET: true},
			requestWithQueryString("GET", "query={leaf}"), 413},
	} {
		tt.config.Answers = answers
		e, calls := countCalls(resolvers())
		res := sendTo(t, newTransport(tt.config), e, tt.request)
		if res.Code != tt.status || *calls > 0 {
			t.Errorf("%s: %d %s, want %d", name, res.Code, res.Body, tt.status)
		}
	}
}

// TestAnswers_persistedQuery checks that the answer to a request with only a hash is cached, and
// that a request with a hash and its text always reaches the store of persisted queries.
func TestAnswers_persistedQuery(t *testing.T) {
	const query = "query Leaf { leaf }"
	answers, store := newAnswers()
	config := Config{AllowGET: true, PersistedQueryBytes: 1 << 20, Answers: answers}
	transport := newTransport(config)
	e, calls := countCalls(resolvers())
	for n, tt := range []struct {
		request *http.Request
		want    string
		calls   int // since the first request
	}{
		{persistedPost(hashOf(query), ""), notFoundResponse, 0},
		{persistedPost(hashOf(query), query), leafResponse, 1},
		{persistedPost(hashOf(query), query), leafResponse, 2},
		{persistedPost(hashOf(query), ""), leafResponse, 3},
		{persistedPost(hashOf(query), ""), leafResponse, 3},
		{persistedGet(hashOf(query)), leafResponse, 4},
		{persistedGet(hashOf(query)), leafResponse, 4},
	} {
		res := sendTo(t, transport, e, tt.request)
		if res.Body.String() != tt.want || *calls != tt.calls {
			t.Errorf("request %d: %s, %d calls of resolvers; want %s, %d", n, res.Body, *calls,
				tt.want, tt.calls)
		}
	}
	// A server that has lost its persisted queries stores them again, and other callers find them.
	transport = newTransport(config)
	sendTo(t, transport, e, persistedPost(hashOf(query), query))
	transport.Answers = nil
	if res := sendTo(t, transport, e, persistedPost(hashOf(query), "")); res.Body.String() !=
		leafResponse {
		t.Errorf("hash after a kept answer: %s, want %s", res.Body, leafResponse)
	}
	if len(store.answers) != 2 {
		t.Errorf("kept requests: %q, want 2", store.keptRequests())
	}
}

// TestAnswers_manifest checks that answers are kept only for operations that the manifest allows,
// and that Outcome.Untrusted is the same for a cached answer as for an operation that runs.
func TestAnswers_manifest(t *testing.T) {
	const leaf, other = "query Leaf { leaf }", "query Other { leaf }"
	manifest := newManifest(t, map[string]string{hashOf(leaf): leaf})
	for _, logOnly := range []bool{false, true} {
		for name, tt := range map[string]struct {
			newRequest      func() *http.Request
			kept, untrusted bool
		}{
			"by id": {func() *http.Request { return persistedPost(hashOf(leaf), "") }, true,
				false},
			"by text":      {func() *http.Request { return postQuery(leaf) }, true, false},
			"unknown text": {func() *http.Request { return postQuery(other) }, logOnly, logOnly},
		} {
			answers, store := newAnswers()
			config := Config{Manifest: manifest, ManifestLogOnly: logOnly}
			want := describe(sendWith(t, config, resolvers(), tt.newRequest()))
			config.Answers = answers
			transport := newTransport(config)
			for n := range 2 {
				res := sendTo(t, transport, resolvers(), tt.newRequest())
				if describe(res) != want || res.outcome.Untrusted != tt.untrusted {
					t.Errorf("%s, log only %t, request %d:\n got %s\nwant %s", name, logOnly, n,
						describe(res), want)
				}
			}
			if kept := len(store.answers) == 1; kept != tt.kept {
				t.Errorf("%s, log only %t: kept requests %q, want one: %t", name, logOnly,
					store.keptRequests(), tt.kept)
			}
		}
	}
}

// TestAnswers_clientGone checks that a request whose client disconnected is reported as such even
// if its answer is kept.
func TestAnswers_clientGone(t *testing.T) {
	answers, store := newAnswers()
	transport := newTransport(Config{Answers: answers})
	var codes []string
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		transport.Observe = func(_ context.Context, outcome Outcome) { codes = outcome.Codes }
		if len(store.answers) > 0 {
			cancel()
		}
		newServerWith(transport, resolvers()).ServeHTTP(httptest.NewRecorder(),
			postQuery("{ leaf }").WithContext(ctx))
		cancel()
	}
	if !slices.Equal(codes, []string{"CLIENT_GONE"}) {
		t.Errorf("Outcome.Codes = %q, want CLIENT_GONE", codes)
	}
}

// TestAnswers_timeout checks that a cached answer is sent even if Timeout is too short for any
// execution.
func TestAnswers_timeout(t *testing.T) {
	answers, _ := newAnswers()
	sendTo(t, newTransport(Config{Answers: answers}), resolvers(), postQuery("{ leaf }"))
	res := sendTo(t, newTransport(Config{Answers: answers, Timeout: time.Nanosecond}), resolvers(),
		postQuery("{ leaf }"))
	if res.Body.String() != leafResponse {
		t.Errorf("response %s, want %s", res.Body, leafResponse)
	}
}

// TestAnswers_callers checks that each caller with a store gets its own answers, and that nothing
// is cached for a caller without a store.
func TestAnswers_callers(t *testing.T) {
	type callerKey struct{}
	stores := map[string]*mapStore{"alice": {answers: map[string]any{}},
		"bob": {answers: map[string]any{}}}
	answers, _ := newAnswers()
	answers.Store = func(ctx context.Context) AnswerStore {
		if store := stores[ctx.Value(callerKey{}).(string)]; store != nil {
			return store
		}
		return nil
	}
	e := resolvers()
	e["leaf"] = func(ctx context.Context, _ map[string]any) (any, error) {
		return ctx.Value(callerKey{}), nil
	}
	transport := newTransport(Config{Answers: answers})
	for n := range 3 {
		for _, caller := range []string{"alice", "bob", "carol", "dave"} {
			ctx := context.WithValue(t.Context(), callerKey{}, caller)
			res := sendTo(t, transport, e, postQuery("{ leaf }").WithContext(ctx))
			if want := fmt.Sprintf(`{"data":{"leaf":%q}}`+"\n", caller); res.Body.String() != want {
				t.Errorf("request %d of %s: %s, want %s", n, caller, res.Body, want)
			}
		}
	}
}

// TestAnswers_panic checks that a panic of a store doesn't break the response.
func TestAnswers_panic(t *testing.T) {
	answers, _ := newAnswers()
	answers.Store = func(context.Context) AnswerStore { panic(canary) }
	res := sendTo(t, newTransport(Config{Answers: answers}), resolvers(), postQuery("{ leaf }"))
	if res.Code != http.StatusInternalServerError || strings.Contains(res.Body.String(), canary) {
		t.Errorf("%d %s, want 500 without the panic's value", res.Code, res.Body)
	}
}

// TestAnswers_concurrent checks that concurrent requests with the same text all get the same
// response. Run it with -race.
func TestAnswers_concurrent(t *testing.T) {
	answers, _ := newAnswers()
	server := newServer(Config{Answers: answers}, resolvers())
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for n := range 50 {
				recorder := httptest.NewRecorder()
				server.ServeHTTP(recorder, postQuery(fmt.Sprintf("{ leaf a%d: leaf }", n)))
				want := fmt.Sprintf(`{"data":{"leaf":1,"a%d":1}}`+"\n", n)
				if recorder.Body.String() != want {
					t.Errorf("response %s, want %s", recorder.Body, want)
				}
			}
		})
	}
	clients.Wait()
}
