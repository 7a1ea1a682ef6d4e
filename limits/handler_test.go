package limits_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/limits"
)

// TestLimits_response checks the whole response for a rejected document, with gqlgen's transport.
func TestLimits_response(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		{"{" + enclose(15, "a{", "leaf", "}") + "}",
			`{"errors":[{"message":"The document is too deep: its fields nest to depth 16; the ` +
				`limit is 15","extensions":{"code":"OPERATION_TOO_LARGE","reason":"DEPTH"}}],"data":null}`},
		{"mutation{" + repeat(2, `x#:login(name:"n",word:"canary"){id} `) + "}",
			`{"errors":[{"message":"The document is too large: with fragments expanded, an ` +
				`operation has the root field \"login\" 2 times; the limit is ` +
				`1","extensions":{"code":"OPERATION_TOO_LARGE","reason":"ROOT_FIELDS"}}],"data":null}`},
		{"{leaf}\n fragment F on A { a { ...F } }",
			`{"errors":[{"message":"Cannot spread a fragment within itself, directly or through ` +
				`others.","locations":[{"line":2,"column":2}],"extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}],"data":null}`},
	} {
		l := limits.Limits{RootFieldMax: map[string]int{"login": 1}}
		if executed, body := runQuery(l, tt.query); executed || body != tt.want {
			t.Errorf("%s: executed: %t\n got %s\nwant %s", tt.query, executed, body, tt.want)
		}
	}
}

// TestFragments_cycles checks that cycles of fragments are rejected. They would overflow the stack
// in gqlparser's validation.
func TestFragments_cycles(t *testing.T) {
	for _, query := range []string{
		`{ a { ...F } } fragment F on A { a { ...F leaf } }`,
		`{ a { ...F } } fragment F on A { a { ...G } } fragment G on A { a { ...F } b { leaf } }`,
		`{ leaf } fragment F on A { ...F }`,
		`{ leaf } fragment F on A { leaf } fragment F on A { ...F } fragment G on A { a { ...H } ` +
			`} fragment H on A { a { ...G ...G } }`,
		`{ a { a { ...F } } } fragment F on A { a { a { ...F } a { ...F } } }`,
		`{ ...F } fragment F on Query { a { a { ...G } ...G } a { ...G } } fragment G on A { ... ` +
			`{ ...G } }`,
	} {
		executed, body := runQuery(limits.Limits{}, query)
		if executed || !strings.Contains(body, `Cannot spread a fragment`) ||
			!strings.Contains(body, `"code":"GRAPHQL_VALIDATION_FAILED"`) ||
			!strings.Contains(body, `"locations":[{`) {
			t.Errorf("%s: executed: %t, response %s; want an error about the cycle", query,
				executed, body)
		}
	}
}

// TestSyntaxErrors checks the messages and locations of syntax errors. graphql-js reports the same
// lines and columns; a test in e2e compares more documents.
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
		{"{ a(x: 1x: 2) @ }", "a number directly followed by a name or a dot", 1, 9},
		{"{ a(x: 0xF1) }", "a number directly followed by a name or a dot", 1, 9},
		{"{ a(x: 1.2.3) }", "a number directly followed by a name or a dot", 1, 11},
		{"{ a(x: 01) }", "a number that begins with 0", 1, 9},
		{"{ a(x: -) }", "a number that lacks a digit", 1, 9},
		{"{ a(x: [1} }", "Unexpected }", 1, 10},
		{"{ a } \x00", "a character that GraphQL's syntax doesn't have", 1, 7},
		{"{ é }", "a character that GraphQL's syntax doesn't have", 1, 3},
		{"{ a(x: \"🔑é\\z\") }", "an escape sequence that GraphQL doesn't have", 1, 12},
		{`{ a(x: "\uD83D") }`, `half of a surrogate pair: write both halves, or \u{...}`, 1, 9},
		{`{ a(x: "a\uDD11\uD83D") }`, `half of a surrogate pair: write both halves, or \u{...}`, 1,
			10},
		{`{ a(x: "\u{D83D}\u{DD11}") }`, `half of a surrogate pair: write both halves, or \u{...}`,
			1, 9},
		{`{ a(x: "\u{110000}") }`, "an escape sequence for a character that Unicode doesn't have",
			1, 9},
		{`{ a(x: "\u{}") }`, "an escape sequence that GraphQL doesn't have", 1, 9},
		{"{ a(x: \"\xff\") }", "text that isn't UTF-8", 1, 9},
		{"{ a } #\xff", "text that isn't UTF-8", 1, 8},
		{"{ a(x: \"\"\"b\"\"\"\") }", "a string that isn't closed", 1, 19},
		{`"a" { a }`, "Unexpected description: only query, mutation, subscription and fragment " +
			"have one", 1, 1},
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
		err := (limits.Limits{}).MutateOperationParameters(t.Context(), request)
		if err == nil {
			t.Errorf("%q: no error, want %q", tt.query, tt.want)
			continue
		}
		want := gqlerror.Location{Line: tt.line, Column: tt.column}
		if err.Message != "Syntax error: "+tt.want ||
			err.Extensions["code"] != "GRAPHQL_PARSE_FAILED" || len(err.Locations) != 1 ||
			err.Locations[0] != want {
			t.Errorf("%q: %v %v %v, want %q %v", tt.query, err.Message, err.Extensions,
				err.Locations, tt.want, want)
		}
		if executed, body := runQuery(limits.Limits{}, tt.query); executed ||
			!strings.Contains(body, `"errors":[{`) {
			t.Errorf("%q: executed: %t, response %s; want an error", tt.query, executed, body)
		}
	}
	if executed, body := runQuery(limits.Limits{}, "# nothing"); executed ||
		!strings.Contains(body, "no operation") {
		t.Errorf("document without an operation: executed: %t, response %s; want an error",
			executed, body)
	}
}

// TestDepth checks the depth of documents, by setting the limit to the expected depth and to one
// less.
func TestDepth(t *testing.T) {
	for _, tt := range []struct {
		name, query string
		want        int
	}{
		{"root field", `{ leaf }`, 1},
		{"leaf", `{ a { leaf } }`, 2},
		{"deepest branch", `{ leaf a { leaf a { leaf b { leaf } } } x: a { leaf } }`, 4},
		{"deepest branch first", `{ a { a { b { leaf } } } leaf }`, 4},
		{"aliases", `{ x: a { y: a { z: leaf } } }`, 3},
		{"nested argument", `{ a(x: {i: {i: {i: {}}}}) { leaf } }`, 2},
		{"skipped field", `{ a @skip(if: true) { leaf } }`, 2},
		{"inline fragments", `{ ... { a { ... on A { leaf } } } }`, 2},
		{"fragment", `{ a { ...F } } fragment F on A { leaf }`, 2},
		{"deep fragment in a deep field",
			`{ a { a { ...F } } } fragment F on A { b { a { leaf } } }`, 5},
		{"fragments in fragments",
			`{ a { ...F } } fragment F on A { a { ...G } } fragment G on A { b { ...H } } ` +
				`fragment H on B { leaf }`, 4},
		{"fragment spread at depth 1, then deeper",
			`{ ...Q a { ...F a { a { ...F } } } } fragment Q on Query { leaf } fragment F on A { ` +
				`b { leaf } }`, 5},
		{"fragment spread deep, then higher up",
			`{ a { a { a { ...F } } ...F } } fragment F on A { b { leaf } }`, 5},
		{"fragment defined first", `fragment F on A { b { leaf } } { a { ...F } }`, 3},
		{"missing fragment", `{ a { ...Nowhere } }`, 1},
		// Validation visits fragments and operations that aren't used, too.
		{"unused fragment", `{ leaf } fragment F on A { a { a { a { leaf } } } }`, 4},
		{"operation that doesn't run",
			`query Shallow { leaf } query Deep { a { a { b { leaf } } } }`, 4},
		{"duplicate fragment",
			`{ a { a { ...F } } } fragment F on A { leaf } fragment F on A { a { leaf } }`, 3},
	} {
		for maxDepth, want := range map[int]string{tt.want: "",
			tt.want - 1: fmt.Sprintf("its fields nest to depth %d; the limit is %d", tt.want,
				tt.want-1)} {
			if maxDepth == 0 {
				continue // it would mean the default
			}
			err := limits.Limits{Depth: maxDepth}.MutateOperationParameters(t.Context(),
				&graphql.RawParams{Query: tt.query})
			if want == "" && err != nil ||
				want != "" && (err == nil || !strings.HasSuffix(err.Message, want)) {
				t.Errorf("%s: Depth %d: %v, want %q", tt.name, maxDepth, err, want)
			}
		}
	}
}

// TestFragments_visitedOnce checks that each fragment is visited once. In the test, each fragment
// spreads the next one twice, so that a walk of the expanded document would take exponential time.
func TestFragments_visitedOnce(t *testing.T) {
	for _, operation := range []string{"{...F0}", "{__schema{types{...F0}}}", "{leaf}"} {
		for n := range 49 {
			query := operation + repeat(n, "fragment F# on A{x:a{...F+} y:a{...F+}}") +
				repeat(1, "fragment Fn on A{leaf}")
			for i := range n {
				query = strings.Replace(query, "...F+} y:a{...F+",
					fmt.Sprintf("...F%d} y:a{...F%[1]d", i+1), 1)
			}
			query = strings.Replace(query, "fragment Fn", fmt.Sprintf("fragment F%d", n), 1)
			counts, ok := limits.Measure(query, nil)
			if work, _ := limits.Check(limits.Limits{}, &graphql.RawParams{Query: query}); !ok ||
				work.Nodes > work.Tokens {
				t.Errorf("chain of %d: ok %t, %d nodes visited for %d tokens; want no more nodes "+
					"than tokens", n, ok, work.Nodes, work.Tokens)
			}
			if n > 30 && counts.Fields != 1<<30 {
				t.Errorf("chain of %d: %d fields, want the saturated count %d", n, counts.Fields,
					1<<30)
			}
		}
	}
}
