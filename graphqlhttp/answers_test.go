package graphqlhttp

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/99designs/gqlgen/graphql"
)

// TestAnswers_sameResponse checks that a cached answer has the same response and the same Outcome
// as the operation, under either media type, but its own request ID.
func TestAnswers_sameResponse(t *testing.T) {
	for name, newRequest := range map[string]func() *http.Request{
		"POST": func() *http.Request {
			return postQuery("query Leaf { leaf a: leaf person { name " +
				"} }")
		},
		"long name": func() *http.Request {
			return postQuery("query " + strings.Repeat("n", 100) + " { leaf }")
		},
		"GET":  func() *http.Request { return requestWithQueryString("GET", "query={leaf}") },
		"HEAD": func() *http.Request { return requestWithQueryString("HEAD", "query={leaf}") },
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

// TestAnswers_exactRequest checks that requests share an answer only if they have the same method
// and the same text.
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
		requests = append(requests, func() *http.Request {
			return requestWithQueryString("GET", text)
		})
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
	sendTo(t, transport, e, requestWithQueryString("HEAD", "query={leaf}"))
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
