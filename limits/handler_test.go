package limits_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/limits"
)

// newServer is gqlgen's own handler with all that this package has. Whatever runs is told to ran.
func newServer(bounds limits.Limits, suggest bool, ran func(*ast.QueryDocument)) *handler.Server {
	server := handler.New(&graphql.ExecutableSchemaMock{
		SchemaFunc: func() *ast.Schema { return hostile },
		ExecFunc: func(ctx context.Context) graphql.ResponseHandler {
			ran(graphql.GetOperationContext(ctx).Doc)
			return graphql.OneShot(&graphql.Response{Data: []byte(`{}`)})
		},
	})
	server.AddTransport(transport.POST{})
	server.SetParserTokenLimit(limits.DefaultTokens)
	server.SetDisableSuggestion(!suggest)
	server.SetValidationRulesFn(limits.Rules(nil))
	if bounds.Cache() != nil {
		server.SetQueryCache(bounds.Cache())
	}
	server.Use(bounds)
	return server
}

// send posts a query and returns the answer.
func send(server http.Handler, query string, variables map[string]any) string {
	text, _ := json.Marshal(map[string]any{"query": query, "variables": variables})
	request := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(string(text)))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, request)
	return recorder.Body.String()
}

// run sends a query to a new server, and reports whether it was executed.
func run(bounds limits.Limits, query string) (ran bool, body string) {
	body = send(newServer(bounds, false, func(*ast.QueryDocument) { ran = true }), query, nil)
	return ran, body
}

func TestRefusalsAreAnswers(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		{"{" + around(15, "a{", "leaf", "}") + "}",
			`{"errors":[{"message":"The document is too deep: its fields nest to depth 16, allowed is 15","extensions":{"code":"OPERATION_TOO_LARGE","reason":"DEPTH"}}],"data":null}`},
		{"mutation{" + list(2, `x#:login(name:"n",word:"canary"){id} `) + "}",
			`{"errors":[{"message":"The document is too large: an operation has the root field \"login\" 2 times with its fragments written out, allowed are 1","extensions":{"code":"OPERATION_TOO_LARGE","reason":"ROOT_FIELDS"}}],"data":null}`},
		{"{leaf}\n fragment F on A { a { ...F } }",
			`{"errors":[{"message":"Cannot spread a fragment within itself, directly or through others.","locations":[{"line":2,"column":2}],"extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}],"data":null}`},
	} {
		ran, body := run(limits.Limits{RootFieldMax: map[string]int{"login": 1}}, tt.query)
		if ran || body != tt.want {
			t.Errorf("%s\nran: %t\n got %s\nwant %s", tt.query, ran, body, tt.want)
		}
	}
}

// gqlparser's validation doesn't survive these.
func TestCyclesOfFragmentsAreRefused(t *testing.T) {
	for _, query := range []string{
		`{ a { ...F } } fragment F on A { a { ...F leaf } }`,
		`{ a { ...F } } fragment F on A { a { ...G } } fragment G on A { a { ...F } b { leaf } }`,
		`{ leaf } fragment F on A { ...F }`,
		`{ leaf } fragment F on A { leaf } fragment F on A { ...F } fragment G on A { a { ...H } } fragment H on A { a { ...G ...G } }`,
		`{ a { a { ...F } } } fragment F on A { a { a { ...F } a { ...F } } }`,
		`{ ...F } fragment F on Query { a { a { ...G } ...G } a { ...G } } fragment G on A { ... { ...G } }`,
	} {
		ran, body := run(limits.Limits{}, query)
		if ran || !strings.Contains(body, `Cannot spread a fragment`) ||
			!strings.Contains(body, `"code":"GRAPHQL_VALIDATION_FAILED"`) ||
			!strings.Contains(body, `"locations":[{`) {
			t.Errorf("%s\nran: %t, answered %s", query, ran, body)
		}
	}
}

// Lines and columns are those of graphql-js; e2e compares them for more documents.
func TestSyntaxErrors(t *testing.T) {
	for _, tt := range []struct {
		query, want  string
		line, column int
	}{
		{"{ a {", "Expected Name, found <EOF>", 1, 6},
		{"{ \"a\" }", "Expected Name, found String", 1, 3},
		{"{ a(x: ) }", "Unexpected )", 1, 8},
		{"{ a(x: \"", "a string that isn't closed", 1, 9},
		{"{ a(x: \"\"\"b\r\n", "a string that isn't closed", 2, 1},
		{"query { } }", "Expected Name, found }", 1, 9},
		{"{ a() }", "Expected Name, found )", 1, 5},
		{"query () { a }", "Expected $, found )", 1, 8},
		{"nonsense", "Unexpected Name", 1, 1},
		{"{ leaf }\r\n }", "Unexpected }", 2, 2},
		{"{ a(x: 1x: 2) @ }", "a number that doesn't end where it should", 1, 9},
		{"{ a(x: 0xF1) }", "a number that doesn't end where it should", 1, 9},
		{"{ a(x: 1.2.3) }", "a number that doesn't end where it should", 1, 11},
		{"{ a(x: 01) }", "a number that begins with 0", 1, 9},
		{"{ a(x: -) }", "a number that lacks a digit", 1, 9},
		{"{ a(x: [1} }", "Unexpected }", 1, 10},
		{"{ a } \x00", "a character that is no part of GraphQL", 1, 7},
		{"{ é }", "a character that is no part of GraphQL", 1, 3},
		{"{ a(x: \"🔑é\\z\") }", "an escape sequence that GraphQL doesn't have", 1, 12},
		{`{ a(x: "\uD83D") }`, `half of a surrogate pair: both halves, or \u{...}, make a character`, 1, 9},
		{`{ a(x: "a\uDD11\uD83D") }`, `half of a surrogate pair: both halves, or \u{...}, make a character`, 1, 10},
		{`{ a(x: "\u{D83D}\u{DD11}") }`, `half of a surrogate pair: both halves, or \u{...}, make a character`, 1, 9},
		{`{ a(x: "\u{110000}") }`, "an escape sequence that is no character of Unicode", 1, 9},
		{`{ a(x: "\u{}") }`, "an escape sequence that GraphQL doesn't have", 1, 9},
		{"{ a(x: \"\xff\") }", "text that isn't UTF-8", 1, 9},
		{"{ a } #\xff", "text that isn't UTF-8", 1, 8},
		{"{ a(x: \"\"\"b\"\"\"\") }", "a string that isn't closed", 1, 19},
		{`"a" { a }`, "Unexpected description: only query, mutation, subscription and fragment have one", 1, 1},
		{`query A { "a" b }`, "Expected Name, found String", 1, 11},
		{`"a" "b" query A { a }`, "Unexpected String", 1, 5},
		{`{ a } "a"`, "Unexpected <EOF>", 1, 10},
		{`{ ... "on" A { leaf } }`, "Expected {, found String", 1, 7},
		{`{ a } fragment on on A { leaf }`, "Unexpected Name", 1, 16},
		{`{ a } fragment F($v: Int) on A { leaf }`, `Expected "on", found (`, 1, 17},
		{`query ($v: Int = $w) { a }`, "Unexpected $", 1, 18},
		{`query ($v: Int @d(x: [$w])) { a }`, "Unexpected $", 1, 23},
		{"\"\"\"\n  a\n  b\"\"\" query\n{ a(x: \"\"\"\n\n\"\"\" ]", "Expected Name, found ]", 6, 5},
	} {
		request := &graphql.RawParams{Query: tt.query}
		fault := (limits.Limits{}).MutateOperationParameters(t.Context(), request)
		if fault == nil {
			t.Errorf("%q is taken", tt.query)
			continue
		}
		want := gqlerror.Location{Line: tt.line, Column: tt.column}
		if fault.Message != "Syntax error: "+tt.want ||
			fault.Extensions["code"] != "GRAPHQL_PARSE_FAILED" || len(fault.Locations) != 1 ||
			fault.Locations[0] != want {
			t.Errorf("%q: %v %v %v, want %q %v", tt.query, fault.Message, fault.Extensions,
				fault.Locations, tt.want, want)
		}
		if ran, body := run(limits.Limits{}, tt.query); ran ||
			!strings.Contains(body, `"errors":[{`) {
			t.Errorf("%q: ran %t: %s", tt.query, ran, body)
		}
	}
	if ran, body := run(limits.Limits{}, "# nothing"); ran ||
		!strings.Contains(body, "no operation") {
		t.Errorf("a document without an operation: ran %t, %s", ran, body)
	}
}

func TestDepthOf(t *testing.T) {
	for _, tt := range []struct {
		name, query string
		want        int
	}{
		{"a leaf at the root", `{ leaf }`, 1},
		{"leaves count", `{ a { leaf } }`, 2},
		{"the deepest branch", `{ leaf a { leaf a { leaf b { leaf } } } x: a { leaf } }`, 4},
		{"the deepest branch is the first", `{ a { a { b { leaf } } } leaf }`, 4},
		{"an alias is no level", `{ x: a { y: a { z: leaf } } }`, 3},
		{"an argument is no level", `{ a(x: {i: {i: {i: {}}}}) { leaf } }`, 2},
		{"a directive changes nothing", `{ a @skip(if: true) { leaf } }`, 2},
		{"an inline fragment is no level", `{ ... { a { ... on A { leaf } } } }`, 2},
		{"a fragment is no level", `{ a { ...F } } fragment F on A { leaf }`, 2},
		{"a fragment's depth adds to where it is spread", `{ a { a { ...F } } } fragment F on A { b { a { leaf } } }`, 5},
		{"fragments in fragments", `{ a { ...F } } fragment F on A { a { ...G } } fragment G on A { b { ...H } } fragment H on B { leaf }`, 4},
		{"a fragment spread high and low", `{ ...Q a { ...F a { a { ...F } } } } fragment Q on Query { leaf } fragment F on A { b { leaf } }`, 5},
		{"a fragment spread low and high", `{ a { a { a { ...F } } ...F } } fragment F on A { b { leaf } }`, 5},
		{"a fragment that is defined first", `fragment F on A { b { leaf } } { a { ...F } }`, 3},
		{"a missing fragment", `{ a { ...Nowhere } }`, 1},
		// Validation would walk these too.
		{"a fragment that isn't used", `{ leaf } fragment F on A { a { a { a { leaf } } } }`, 4},
		{"an operation that isn't chosen", `query Shallow { leaf } query Deep { a { a { b { leaf } } } }`, 4},
		{"a fragment of a name that is there already", `{ a { a { ...F } } } fragment F on A { leaf } fragment F on A { a { leaf } }`, 3},
	} {
		for allowed, want := range map[int]string{tt.want: "",
			tt.want - 1: fmt.Sprintf("its fields nest to depth %d, allowed is %d", tt.want,
				tt.want-1)} {
			if allowed == 0 {
				continue // which would be the default
			}
			fault := limits.Limits{Depth: allowed}.MutateOperationParameters(t.Context(),
				&graphql.RawParams{Query: tt.query})
			if want == "" && fault != nil ||
				want != "" && (fault == nil || !strings.HasSuffix(fault.Message, want)) {
				t.Errorf("%s: with %d allowed: %v, want %q", tt.name, allowed, fault, want)
			}
		}
	}
}

// An exponential walk would not end in the life of this test.
func TestAFragmentIsWalkedOnce(t *testing.T) {
	for _, spread := range []string{"{...F0}", "{__schema{types{...F0}}}", "{leaf}"} {
		for n := range 49 {
			query := spread + list(n, "fragment F# on A{x:a{...F+} y:a{...F+}}") +
				list(1, "fragment Fn on A{leaf}")
			for i := range n {
				query = strings.Replace(query, "...F+} y:a{...F+",
					fmt.Sprintf("...F%d} y:a{...F%[1]d", i+1), 1)
			}
			query = strings.Replace(query, "fragment Fn", fmt.Sprintf("fragment F%d", n), 1)
			found, ok := limits.FoundIn(query, nil)
			if done, _ := limits.WorkOf(limits.Limits{}, &graphql.RawParams{Query: query}); !ok ||
				done.Nodes > done.Tokens {
				t.Errorf("a chain of %d: %t, %d nodes visited for %d bytes", n, ok, done.Nodes,
					len(query))
			}
			if n > 30 && found.Fields != 1<<30 {
				t.Errorf(
					"a chain of %d has %d fields; want that the count stops before it overflows", n,
					found.Fields)
			}
		}
	}
}
