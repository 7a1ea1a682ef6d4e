package graphqlhttp

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// A mapStore is an AnswerStore without a bound.
type mapStore struct {
	mu      sync.Mutex // guards answers
	answers map[string]any
}

func (s *mapStore) Get(request []byte) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers[string(request)]
}

func (s *mapStore) Put(request []byte, answer any, _ int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[string(request)] = answer
}

// keptRequests returns the requests whose answers the store has, in order.
func (s *mapStore) keptRequests() []string { return slices.Sorted(maps.Keys(s.answers)) }

// newAnswers returns Answers with a store that all callers share. Its MayKeep holds for the root
// fields leaf, person, fails and change.
func newAnswers() (*Answers, *mapStore) {
	store := &mapStore{answers: map[string]any{}}
	return &Answers{
		Store: func(context.Context) AnswerStore { return store },
		MayKeep: func(field *ast.FieldDefinition) bool {
			return slices.Contains([]string{"leaf", "person", "fails", "change"}, field.Name)
		},
	}, store
}

// countCalls makes the resolvers in e count their calls.
func countCalls(e executable) (counted executable, calls *int) {
	counted, calls = executable{}, new(int)
	for name, resolve := range e {
		counted[name] = func(ctx context.Context, args map[string]any) (any, error) {
			*calls++
			return resolve(ctx, args)
		}
	}
	return counted, calls
}

// describe returns what a client and Observe see of a response, except for what differs between
// any two requests.
func describe(res result) string {
	header := res.Header().Clone()
	header.Del("X-Request-Id")
	outcome := res.outcome
	outcome.RequestID, outcome.Duration = "", 0
	return fmt.Sprintf("%d %v %s\n%+v", res.Code, header, res.Body, outcome)
}

// bodyOf returns a query as the body of a POST.
func bodyOf(query string) string { return fmt.Sprintf(`{"query":%q}`, query) }

// withHeader returns r with a header set.
func withHeader(r *http.Request, name, value string) *http.Request {
	r.Header.Set(name, value)
	return r
}

// rawGet returns a GET with this query string, or a request with another method.
func rawGet(method, queryString string) *http.Request {
	r := httptest.NewRequest(method, "/graphql", nil)
	r.URL.RawQuery = queryString
	return r
}

// TestAnswers_sameResponse checks that a kept answer gives the same response and the same Outcome
// as the operation, under either media type, but with a request ID of its own.
func TestAnswers_sameResponse(t *testing.T) {
	for name, newRequest := range map[string]func() *http.Request{
		"POST": func() *http.Request {
			return postQuery("query Leaf { leaf a: leaf person { name " +
				"} }")
		},
		"long name": func() *http.Request {
			return postQuery("query " + strings.Repeat("n", 100) + " { leaf }")
		},
		"GET":  func() *http.Request { return rawGet("GET", "query={leaf}") },
		"HEAD": func() *http.Request { return rawGet("HEAD", "query={leaf}") },
	} {
		t.Run(name, func(t *testing.T) {
			answers, store := newAnswers()
			transport := newTransport(Config{AllowGET: true, Answers: answers})
			e, calls := countCalls(resolvers())
			ids := map[string]bool{}
			callsOfFirst := 0
			for n, media := range []string{typeJSON, typeGraphQLResponse, typeJSON, ""} {
				want := sendWith(t, Config{AllowGET: true}, resolvers(),
					withHeader(newRequest(), "Accept", media))
				got := sendTo(t, transport, e, withHeader(newRequest(), "Accept", media))
				if describe(got) != describe(want) {
					t.Errorf("request %d:\n got %s\nwant %s", n, describe(got), describe(want))
				}
				ids[got.outcome.RequestID] = true
				if n == 0 {
					callsOfFirst = *calls
				}
			}
			if *calls != callsOfFirst || callsOfFirst == 0 || len(store.answers) != 1 {
				t.Errorf("%d calls of resolvers, the first request made %d; %d kept answers; want "+
					"calls for the first request only, and 1 answer", *calls, callsOfFirst,
					len(store.answers))
			}
			if len(ids) != 4 {
				t.Errorf("%d distinct request IDs, want 4", len(ids))
			}
		})
	}
}

// TestAnswers_exactRequest checks that requests share an answer only if their methods and their
// text are the same.
func TestAnswers_exactRequest(t *testing.T) {
	const query = "query A($n: Boolean = true) { leaf @include(if: $n) } query B { person { name " +
		"} }"
	body := func(rest string) string {
		return strings.TrimSuffix(bodyOf(query), "}") + rest + "}"
	}
	answers, _ := newAnswers()
	transport := newTransport(Config{AllowGET: true, Answers: answers})
	requests := []func() *http.Request{}
	for _, text := range []string{
		body(`,"operationName":"A"`), body(`,"operationName":"B"`), body(`, "operationName":"A"`),
		body(`,"operationName":"A","variables":{"n":false}`),
		body(`,"operationName":"A","variables":{"n":true}`),
		"\ufeff" + body(`,"operationName":"A"`), body(""), bodyOf("{ leaf }"), bodyOf("{  leaf }"),
		bodyOf("{ leaf }") + " ", " " + bodyOf("{ leaf }"),
		"?query={leaf}", "query={leaf}", // not JSON
	} {
		requests = append(requests, func() *http.Request { return postBody(text) })
	}
	for _, text := range []string{
		"query={leaf}", "query={leaf}&", "query=%7Bleaf%7D", "?query={leaf}", "",
		"query={person{name}}",
		bodyOf("{ leaf }"), // no parameter query
	} {
		requests = append(requests, func() *http.Request { return rawGet("GET", text) })
	}
	for n, newRequest := range requests {
		want := describe(sendWith(t, Config{AllowGET: true}, resolvers(), newRequest()))
		e, calls := countCalls(resolvers())
		got := describe(sendTo(t, transport, e, newRequest()))
		ran := *calls
		again := describe(sendTo(t, transport, e, newRequest()))
		if got != want || again != want {
			t.Errorf("request %d:\n got %s\n and %s\nwant %s", n, got, again, want)
		}
		isKept := strings.Contains(want, `{"data":{"`)
		if (ran > 0) != isKept || *calls != ran {
			t.Errorf("request %d: %d calls of resolvers, and %d for the second request; want "+
				"calls "+
				"for the first only: %t; response %s", n, ran, *calls-ran, isKept, want)
		}
	}
	// A HEAD has the headers of the GET.
	e, calls := countCalls(resolvers())
	sendTo(t, transport, e, rawGet("HEAD", "query={leaf}"))
	if *calls != 0 {
		t.Errorf("a HEAD after the same GET made %d calls of resolvers, want 0", *calls)
	}
}

// TestAnswers_mayKeep checks which answers are kept.
func TestAnswers_mayKeep(t *testing.T) {
	e := introspectionResolvers()
	e["__schema"] = e["__type"]
	withExtension := maps.Clone(e)
	withExtension["leaf"] = func(ctx context.Context, _ map[string]any) (any, error) {
		graphql.RegisterExtension(ctx, "cost", 1)
		return 1, nil
	}
	for _, tt := range []struct {
		name    string
		request *http.Request
		want    bool
	}{
		{"a field that may be kept", postQuery("{ leaf }"), true},
		{"several fields", postQuery("query Q { leaf b: leaf person { name } }"), true},
		{"only __typename", postQuery("{ __typename }"), true},
		{"fragments", postQuery("{ ...F ... on Query { person { name } } ... { leaf } } fragment " +
			"F on Query { leaf ...G } fragment G on Query { __typename }"), true},
		{"@skip and @include",
			postQuery("{ leaf @skip(if: true) person { name @include(if: true) } }"), true},
		{"one of several operations",
			post(map[string]any{"operationName": "A",
				"query": "query A { leaf } mutation B { change } query C { requestID }"}), true},

		{"a mutation", postQuery("mutation { change }"), false},
		{"a subscription", postQuery("subscription { ticks }"), false},
		{"another field", postQuery("{ requestID }"), false},
		{"another field among others", postQuery("{ leaf requestID person { name } }"), false},
		{"another field that is skipped", postQuery("{ leaf requestID @skip(if: true) }"), false},
		{"another field in an inline fragment", postQuery("{ leaf ... on Query { requestID } }"),
			false},
		{"another field in a fragment",
			postQuery("{ leaf ...F } fragment F on Query { requestID }"), false},
		{"another field in a nested fragment",
			postQuery("{ leaf ...F } fragment F on Query { leaf ... { ...G } } fragment G on " +
				"Query { requestID }"), false},
		{"an alias with the name of a field that may be kept", postQuery("{ leaf: requestID }"),
			false},
		{"introspection of the schema", postQuery("{ leaf __schema { queryType { name } } }"),
			false},
		{"introspection of a type", postQuery(`{ __type(name: "Query") { name } }`), false},
		{"a field that fails", postQuery("{ fails }"), false},
		{"a field that fails, among others", postQuery("{ leaf fails }"), false},
		{"an invalid document", postQuery("{ leaf nothing }"), false},
		{"not GraphQL", postQuery("leaf"), false},
		{"not JSON", postBody("{"), false},
		{"too large for the server", postQuery("query TooLarge { leaf }"), false},
		{"a schema's own directive on the operation", postQuery("query @tag { leaf }"), false},
		{"a schema's own directive on a field", postQuery("{ leaf @tag }"), false},
		{"a schema's own directive below",
			postQuery("{ ...F } fragment F on Query { person { name @tag } }"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answers, store := newAnswers()
			transport := newTransport(Config{AllowGET: true, Introspection: true, Answers: answers})
			res := sendTo(t, transport, e, tt.request)
			if kept := len(store.answers) == 1; kept != tt.want {
				t.Errorf("kept requests: %q, want this one: %t; response %s", store.keptRequests(),
					tt.want, res.Body)
			}
		})
	}
	t.Run("response extensions", func(t *testing.T) {
		answers, store := newAnswers()
		res := sendTo(t, newTransport(Config{Answers: answers}), withExtension,
			postQuery("{ leaf }"))
		if !strings.Contains(res.Body.String(), `"extensions":{"cost":1}`) ||
			len(store.answers) > 0 {
			t.Errorf("response %s, kept requests: %q; want extensions, and no kept request",
				res.Body, store.keptRequests())
		}
	})
	t.Run("a response over MaxResponseBytes", func(t *testing.T) {
		answers, store := newAnswers()
		res := sendTo(t, newTransport(Config{Answers: answers, MaxResponseBytes: 10}), e,
			postQuery("{ leaf }"))
		if codeOf(t, res) != "RESPONSE_TOO_LARGE" || len(store.answers) > 0 {
			t.Errorf("response %s, kept requests: %q; want RESPONSE_TOO_LARGE, and no kept request",
				res.Body, store.keptRequests())
		}
	})
	t.Run("a timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			answers, store := newAnswers()
			slow := resolvers()
			slow["leaf"] = func(ctx context.Context, _ map[string]any) (any, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			server := newServer(Config{Answers: answers}, slow)
			server.ServeHTTP(httptest.NewRecorder(), postQuery("{ leaf }"))
			if len(store.answers) > 0 {
				t.Errorf("kept requests: %q, want none", store.keptRequests())
			}
		})
	})
}

// TestAnswers_rejections checks that requests that are rejected before their operation is read are
// rejected in the same way if the answer to their text is kept.
func TestAnswers_rejections(t *testing.T) {
	answers, store := newAnswers()
	sendTo(t, newTransport(Config{AllowGET: true, Answers: answers}), resolvers(),
		postQuery("{ leaf }"))
	sendTo(t, newTransport(Config{AllowGET: true, Answers: answers}), resolvers(),
		rawGet("GET", "query={leaf}"))
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
		"GET is off": {Config{}, rawGet("GET", "query={leaf}"), 405},
		"large body": {Config{MaxBodyBytes: 10}, postQuery("{ leaf }"), 413},
		"large query": {Config{MaxBodyBytes: 10, AllowGET: true},
			rawGet("GET", "query={leaf}"), 413},
	} {
		tt.config.Answers = answers
		e, calls := countCalls(resolvers())
		res := sendTo(t, newTransport(tt.config), e, tt.request)
		if res.Code != tt.status || *calls > 0 {
			t.Errorf("%s: %d %s, want %d", name, res.Code, res.Body, tt.status)
		}
	}
}

// TestAnswers_persistedQuery checks that the answer to a hash is kept, and that a hash with its
// text always reaches the store of persisted queries.
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
	// A server that has lost its persisted queries learns them again, and other callers find them.
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
// and that kept answers are reported as untrusted like others.
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

// TestAnswers_timeout checks that a kept answer needs no time for execution.
func TestAnswers_timeout(t *testing.T) {
	answers, _ := newAnswers()
	sendTo(t, newTransport(Config{Answers: answers}), resolvers(), postQuery("{ leaf }"))
	res := sendTo(t, newTransport(Config{Answers: answers, Timeout: time.Nanosecond}), resolvers(),
		postQuery("{ leaf }"))
	if res.Body.String() != leafResponse {
		t.Errorf("response %s, want %s", res.Body, leafResponse)
	}
}

// TestAnswers_callers checks that callers with stores of their own get their own answers, and that
// nothing is kept for a caller without a store.
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
