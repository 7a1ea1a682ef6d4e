package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// An httpResponse is a response as an HTTP client sees it.
type httpResponse struct {
	status int
	header http.Header
	body   string
}

// send sends a request, and returns the response.
func send(t *testing.T, method, target string, header http.Header, body io.Reader) httpResponse {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return httpResponse{response.StatusCode, response.Header, string(content)}
}

// code returns the first error's code, as CODE or CODE/REASON.
func (r httpResponse) code() string {
	var out result
	if json.Unmarshal([]byte(r.body), &out) != nil {
		return ""
	}
	return out.code()
}

// lookup returns the value at a path of the JSON body, or nil.
func (r httpResponse) lookup(path ...string) any {
	var value any
	json.Unmarshal([]byte(r.body), &value)
	for _, name := range path {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	return value
}

var jsonHeader = http.Header{"Content-Type": {"application/json"}}

// postJSON posts a body, which is encoded as JSON unless it is a string.
func (s *server) postJSON(t *testing.T, body any) httpResponse {
	t.Helper()
	text, ok := body.(string)
	if !ok {
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(encoded)
	}
	return send(t, http.MethodPost, s.url+"/graphql", jsonHeader, strings.NewReader(text))
}

// graphqlCop has the checks of graphql-cop (github.com/dolevf/graphql-cop, lib/tests, 1.15): what
// each sends, and which responses it reports.
var graphqlCop = []struct {
	name    string
	send    func(*testing.T, *server) httpResponse
	reports func(httpResponse) bool
}{
	{"Field Suggestions", copQuery(`query cop { __schema { directive } }`),
		func(r httpResponse) bool {
			return strings.Contains(r.body, "Did you mean")
		}},
	{"Introspection", copQuery(`query cop { __schema { types { name fields { name } } } }`),
		func(r httpResponse) bool {
			return r.lookup("data", "__schema") != nil
		}},
	{"GraphQL IDE", func(t *testing.T, s *server) httpResponse {
		var pages httpResponse
		for _, path := range []string{"/graphql", "/graphiql", "/playground", "/console", "/altair",
			"/"} {
			r := send(t, http.MethodGet, s.url+path, http.Header{"Accept": {"text/html"}}, nil)
			pages.body += r.body
		}
		return pages
	}, func(r httpResponse) bool {
		return slices.ContainsFunc([]string{"graphiql.min.css", "GraphQL Playground", "GraphiQL",
			"graphql-playground", "<html"},
			func(word string) bool { return strings.Contains(r.body, word) })
	}},
	{"GET Method Query Support", copGet(`query cop {__typename}`), hasTypename},
	{"Alias Overloading", func(t *testing.T, s *server) httpResponse {
		var aliases strings.Builder
		for i := range 101 {
			fmt.Fprintf(&aliases, "alias%d:__typename \n", i)
		}
		return copQuery("query cop { "+aliases.String()+" }")(t, s)
	}, func(r httpResponse) bool { return r.lookup("data", "alias100") != nil }},
	{"Array-based Query Batching", func(t *testing.T, s *server) httpResponse {
		return s.postJSON(t, slices.Repeat([]object{{"query": "query cop { __typename }"}}, 10))
	}, func(r httpResponse) bool {
		return strings.HasPrefix(r.body, "[") || strings.Contains(r.body, "__typename")
	}},
	{"Field Duplication", copQuery("query cop { " + strings.Repeat("__typename \n", 500) + "} "),
		hasTypename},
	{"Directive Overloading",
		copQuery(`query cop { __typename ` + strings.Repeat("@aa", 10) +
			` }`), func(r httpResponse) bool {
			list, _ := r.lookup("errors").([]any)
			return len(list) >= 10
		}},
	{"Trace Mode", copQuery(`query cop { __typename }`),
		func(r httpResponse) bool { return strings.Contains(r.body, "tracing") }},
	{"Introspection-based Circular Query",
		copQuery(`query cop { __schema { types { ` + strings.Repeat("fields { type { ", 4) +
			"name" +
			strings.Repeat(" } }", 4) + ` } } }`), func(r httpResponse) bool {
			return r.lookup("data", "__schema") != nil
		}},
	{"Mutation is allowed over GET", copGet(`mutation cop {__typename}`), hasTypename},
	{"POST based url-encoded query", func(t *testing.T, s *server) httpResponse {
		form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		return send(t, http.MethodPost, s.url+"/graphql", form,
			strings.NewReader(url.Values{"query": {`query cop { __typename }`}}.Encode()))
	}, hasTypename},
	{"Unhandled Errors Detection", copQuery(`qwerty cop { abc }`), func(r httpResponse) bool {
		return strings.Contains(r.body, "exception") || strings.Contains(r.body, "stack")
	}},
}

// hasTypename reports whether the response has a value for __typename.
func hasTypename(r httpResponse) bool { return r.lookup("data", "__typename") != nil }

// copQuery returns a function that posts a query.
func copQuery(query string) func(*testing.T, *server) httpResponse {
	return func(t *testing.T, s *server) httpResponse {
		t.Helper()
		return s.postJSON(t, object{"query": query, "operationName": "cop"})
	}
}

// copGet returns a function that sends a query over GET.
func copGet(query string) func(*testing.T, *server) httpResponse {
	return func(t *testing.T, s *server) httpResponse {
		t.Helper()
		return send(t, http.MethodGet, s.url+"/graphql?query="+url.QueryEscape(query), nil, nil)
	}
}

// In production, graphql-cop reports nothing. With GET_QUERIES=true or CONSOLE=on, it reports only
// that feature.
func TestGraphQLCop(t *testing.T) {
	t.Parallel()
	if len(graphqlCop) != 13 {
		t.Fatalf("%d checks, want graphql-cop's 13", len(graphqlCop))
	}
	for _, tt := range []struct {
		name        string
		settings    []string
		wantReports []string
	}{
		{"default settings", []string{"RUNTIME_ENV=prod"}, nil},
		{"GET queries on", []string{"RUNTIME_ENV=prod", "GET_QUERIES=true"},
			[]string{"GET Method Query Support"}},
		{"console on", []string{"RUNTIME_ENV=prod", "CONSOLE=on"}, []string{"GraphQL IDE"}},
		// This row shows that the checks can fail.
		{"development settings", nil,
			[]string{"Field Suggestions", "Introspection", "GraphQL IDE",
				"GET Method Query Support"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, sharedKeycloak, tt.settings...)
			for _, check := range graphqlCop {
				got := check.send(t, s)
				reported, want := check.reports(got), slices.Contains(tt.wantReports,
					check.name)
				if reported != want {
					t.Errorf("%s: reported: %t, want %t, for the response\n%d %.500s", check.name,
						reported, want, got.status, got.body)
				}
			}
		})
	}
}

// A request with many sign-ins causes at most one call to Keycloak. CrackQL guesses passwords with
// such requests (github.com/nicholasaleks/CrackQL, sample-queries/login.graphql).
func TestLogin_manyInOneRequest(t *testing.T) {
	t.Parallel()
	const guess = `login(username: "admin", password: "guess-%d") { accessToken }`
	// guesses returns n lines in this format, in which each %d is the number of the line.
	guesses := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format+"\n", slices.Repeat([]any{i}, strings.Count(format, "%d"))...)
		}
		return b.String()
	}
	r := newRealm(t, sharedKeycloak, nil)
	gate := newGate(t, sharedKeycloak.url)
	s := serve(t, &keycloak{url: gate.url}, "RUNTIME_ENV=prod", "KEYCLOAK_REALM_NAME="+r.name,
		"KEYCLOAK_ISSUER="+sharedKeycloak.url+"/realms/"+r.name)
	for _, tt := range []struct {
		name, code string
		body       any
	}{
		// Over MAX_BODY_BYTES.
		{"CrackQL's 1,000 aliases", "BAD_REQUEST",
			object{"query": "mutation {" + guesses(1000, "\n    alias%d: "+guess) + "\n}"}},
		{"100 aliases", "OPERATION_TOO_LARGE",
			object{"query": "mutation {" + guesses(100, "alias%d: "+guess) + "}"}},
		{"2 aliases", "OPERATION_TOO_LARGE",
			object{"query": "mutation {" + guesses(2, "alias%d: "+guess) + "}"}},
		{"with and without alias", "OPERATION_TOO_LARGE",
			object{"query": "mutation { a: " + fmt.Sprintf(guess, 1) + fmt.Sprintf(guess, 2) +
				"}"}},
		{"2 fragments", "OPERATION_TOO_LARGE",
			object{"query": "mutation { ...A ...B } fragment A on Mutation { a: " +
				fmt.Sprintf(guess, 1) +
				"} fragment B on Mutation { b: " + fmt.Sprintf(guess, 2) + "}"}},
		{"2 inline fragments", "OPERATION_TOO_LARGE",
			object{"query": "mutation { ... { " + guesses(2, "... on Mutation { a%d: "+guess+"}") +
				"} }"}},
		{"2 aliases of refresh", "OPERATION_TOO_LARGE",
			object{"query": "mutation {" +
				guesses(2, `a%d: refresh(refreshToken: "guess-%d") { accessToken }`) + "}"}},
		{"batch of 10", "BAD_REQUEST",
			slices.Repeat([]object{{"query": "mutation {" + fmt.Sprintf(guess, 1) + "}"}}, 10)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			callsBefore := gate.calls.Load()
			got := s.postJSON(t, tt.body)
			if code, _, _ := strings.Cut(got.code(), "/"); code != tt.code ||
				strings.Contains(got.body, "guess-") {
				t.Errorf("got %d %.500s, want the code %s and none of the guesses", got.status,
					got.body, tt.code)
			}
			if calls := gate.calls.Load() - callsBefore; calls != 0 {
				t.Errorf("%d calls to Keycloak, want none", calls)
			}
		})
	}
	t.Run("10 operations in a document", func(t *testing.T) {
		callsBefore := gate.calls.Load()
		s.postJSON(t,
			object{"query": guesses(10, "mutation m%d { "+guess+" }"), "operationName": "m3"})
		if calls := gate.calls.Load() - callsBefore; calls > 1 {
			t.Errorf("%d calls to Keycloak, want at most one", calls)
		}
	})
	// CrackQL with one guess per request.
	t.Run("1 guess per request", func(t *testing.T) {
		sendGuess := func(i int) httpResponse {
			return s.postJSON(t, object{"query": fmt.Sprintf("mutation { "+guess+" }", i)})
		}
		attempts := 0
		for sendGuess(attempts).code() != "RATE_LIMITED" {
			if attempts++; attempts == 200 {
				t.Fatal("200 guesses weren't limited")
			}
		}
		t.Logf("%d guesses until RATE_LIMITED", attempts)
		callsBefore := gate.calls.Load()
		for i := range 20 {
			got := sendGuess(i)
			var response struct {
				Errors []struct {
					Extensions struct{ RetryAfter int }
				}
			}
			if err := json.Unmarshal([]byte(got.body), &response); err != nil ||
				got.code() != "RATE_LIMITED" || response.Errors[0].Extensions.RetryAfter < 1 {
				t.Fatalf("guess %d after that: got %d %s, want RATE_LIMITED with a retryAfter",
					i+1, got.status, got.body)
			}
		}
		if calls := gate.calls.Load() - callsBefore; calls != 0 {
			t.Errorf("%d calls to Keycloak for limited guesses, want none", calls)
		}
	})
}
