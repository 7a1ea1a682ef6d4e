package limits_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	_ "github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/cloakql/cloakql/limits"
)

const schemaText = `
type Query { a(x: I): A leaf: Int }
type A { a: A b: B leaf: Int }
type B { a: A leaf: Int }
input I { i: I }
`

// graphiql is graphql-js's getIntrospectionQuery as GraphiQL sends it: every option on but oneOf, and
// types unwrapped nine levels deep.
//
//go:embed testdata/introspection.graphql
var graphiql string

// wide is a limit that only depth can go past.
func wide(depth int) limits.Document {
	return limits.Document{Tokens: 1 << 20, Depth: depth, Selections: 1 << 29, Pairs: 1 << 29, NameBytes: 1 << 20}
}

// depthOf asks the limit itself how deep a document is.
func depthOf(t *testing.T, query string) int {
	t.Helper()
	fault := wide(0).MutateOperationParameters(context.Background(), &graphql.RawParams{Query: query})
	if fault == nil {
		return 0
	}
	var found, allowed int
	if _, err := fmt.Sscanf(fault.Message, "The operation is too deep: its fields nest to depth %d, allowed is %d", &found, &allowed); err != nil || allowed != 0 {
		t.Fatalf("message %q doesn't say found and allowed: %v", fault.Message, err)
	}
	return found
}

// selectionsOf asks how many selections a document has.
func selectionsOf(t *testing.T, query string) int {
	t.Helper()
	fault := limits.Document{Tokens: 1 << 20, Depth: 1 << 20, Pairs: 1 << 29, NameBytes: 1 << 20}.MutateOperationParameters(context.Background(), &graphql.RawParams{Query: query})
	if fault == nil {
		t.Fatalf("%s has no selection", query)
	}
	var found, allowed int
	if _, err := fmt.Sscanf(fault.Message, "The document is too large: it has %d selections with its fragments written out, allowed are %d", &found, &allowed); err != nil || allowed != 0 {
		t.Fatalf("message %q doesn't say found and allowed: %v", fault.Message, err)
	}
	return found
}

func TestDepthOf(t *testing.T) {
	for _, tt := range []struct {
		name, query string
		want        int
	}{
		{"a leaf at the root", `{ leaf }`, 1},
		{"leaves count", `{ a { leaf } }`, 2},
		{"nested", `{ a { a { b { a { leaf } } } } }`, 5},
		{"the deepest branch", `{ leaf a { leaf a { leaf b { leaf } } } x: a { leaf } }`, 4},
		{"the deepest branch is the first", `{ a { a { b { leaf } } } leaf }`, 4},
		{"an alias is no level", `{ x: a { y: a { z: leaf } } }`, 3},
		{"an argument is no level", `{ a(x: {i: {i: {i: {}}}}) { leaf } }`, 2},
		{"a directive changes nothing", `{ a @skip(if: true) { leaf } }`, 2},
		{"mutation", `mutation { a { leaf } }`, 2},
		{"subscription", `subscription { a { leaf } }`, 2},
		{"__typename", `{ a { __typename } }`, 2},
		{"an inline fragment is no level", `{ ... { a { ... on A { leaf } } } }`, 2},
		{"inline fragments in inline fragments", `{ ... { ... { ... { leaf } } } }`, 1},
		{"a fragment is no level", `{ a { ...F } } fragment F on A { leaf }`, 2},
		{"a fragment at the root", `{ ...F } fragment F on Query { a { leaf } }`, 2},
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
		t.Run(tt.name, func(t *testing.T) {
			if got := depthOf(t, tt.query); got != tt.want {
				t.Errorf("depth of %s is %d, want %d", tt.query, got, tt.want)
			}
		})
	}
}

func TestSelectionsOf(t *testing.T) {
	for _, tt := range []struct {
		name, query string
		want        int
	}{
		{"fields", `{ leaf a { leaf b { leaf } } }`, 5},
		{"aliases", `{ x: leaf y: leaf }`, 2},
		{"inline fragments", `{ ... { leaf } }`, 2},
		{"a fragment: the spread, what it stands for, and the fragment itself", `{ a { ...F } } fragment F on A { leaf }`, 4},
		{"a fragment spread twice", `{ a { ...F ...F } } fragment F on A { leaf }`, 6},
		{"a fragment that isn't used", `{ leaf } fragment F on A { leaf leaf }`, 3},
		{"spreads without a field", `{ ...F } fragment F on Query { ...G ...G } fragment G on Query { ...H ...H } fragment H on Query { leaf }`, 26},
		{"operations", `query A { leaf } query B { leaf }`, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := selectionsOf(t, tt.query); got != tt.want {
				t.Errorf("%s has %d selections, want %d", tt.query, got, tt.want)
			}
		})
	}
}

// gqlparser's validation doesn't survive these.
func TestCyclesOfFragmentsAreRefused(t *testing.T) {
	for _, query := range []string{
		`{ a { ...F } } fragment F on A { a { ...F leaf } }`,
		`{ a { ...F } } fragment F on A { a { ...G } } fragment G on A { a { ...F } b { leaf } }`,
		`{ leaf } fragment F on A { ...F }`,
		`{ a { a { ...F } } } fragment F on A { a { a { ...F } a { ...F } } }`,
		`{ ...F } fragment F on Query { a { a { ...G } ...G } a { ...G } } fragment G on A { ... { ...G } }`,
	} {
		ran, body := post(t, wide(100), query)
		if ran || !strings.Contains(body, `Cannot spread fragment`) || !strings.Contains(body, `"code":"GRAPHQL_VALIDATION_FAILED"`) || !strings.Contains(body, `"locations":[{`) {
			t.Errorf("%s\nran: %t, answered %s", query, ran, body)
		}
	}
}

// chain is a document of n fragments, each spreading the next one twice: 2^n fields when written out.
func chain(n int) string {
	var query strings.Builder
	query.WriteString("{ a { ...F0 } }")
	for i := range n {
		fmt.Fprintf(&query, " fragment F%d on A { x: a { ...F%d } y: a { ...F%d } }", i, i+1, i+1)
	}
	fmt.Fprintf(&query, " fragment F%d on A { leaf }", n)
	return query.String()
}

// An exponential walk would not end in the life of this test.
func TestAFragmentIsWalkedOnce(t *testing.T) {
	for _, n := range []int{1, 30, 90} {
		if got := depthOf(t, chain(n)); got != n+2 {
			t.Errorf("depth of a chain of %d is %d, want %d", n, got, n+2)
		}
		if got := selectionsOf(t, chain(n)); n == 90 && got != 1<<30 {
			t.Errorf("a chain of %d has %d selections; want that the count stops before it overflows", n, got)
		}
	}
}

func BenchmarkDocument(b *testing.B) {
	for _, n := range []int{10, 20, 40, 80} { // time grows as n does
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			request := &graphql.RawParams{Query: chain(n)}
			for b.Loop() {
				wide(1000).MutateOperationParameters(b.Context(), request)
			}
		})
	}
}

// post sends a query through gqlgen's own handler, past limits, and returns the response.
func post(t testing.TB, max limits.Document, query string) (ran bool, body string) {
	t.Helper()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: schemaText})
	server := handler.New(&graphql.ExecutableSchemaMock{
		SchemaFunc: func() *ast.Schema { return schema },
		ExecFunc: func(context.Context) graphql.ResponseHandler {
			ran = true
			return graphql.OneShot(&graphql.Response{Data: []byte(`{}`)})
		},
	})
	server.AddTransport(transport.POST{})
	server.Use(max)
	text, _ := json.Marshal(map[string]string{"query": query})
	request := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(string(text)))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, request)
	return ran, recorder.Body.String()
}

func TestRefusalsSayLimitFoundAndAllowed(t *testing.T) {
	const query = `{ a { a { leaf } } }`
	if ran, body := post(t, limits.Document{Tokens: 10, Depth: 3, Selections: 3, Pairs: 1, NameBytes: 4}, query); !ran {
		t.Errorf("a document that just keeps the limits is refused: %s", body)
	}
	wide := limits.Document{Tokens: 1000, Depth: 9, Selections: 99, Pairs: 99, NameBytes: 99}
	with := func(change func(*limits.Document)) limits.Document { d := wide; change(&d); return d }
	for _, tt := range []struct {
		limits limits.Document
		query  string
		want   string
	}{
		{with(func(d *limits.Document) { d.Depth = 2 }), query,
			`{"message":"The operation is too deep: its fields nest to depth 3, allowed is 2","extensions":{"code":"OPERATION_TOO_LARGE","reason":"DEPTH"}}`},
		{with(func(d *limits.Document) { d.Depth = 2 }), `{ a(x: {i: {i: {}}}) { leaf } }`,
			`{"message":"The operation is too deep: its values nest to depth 3, allowed is 2","extensions":{"code":"OPERATION_TOO_LARGE","reason":"DEPTH"}}`},
		{with(func(d *limits.Document) { d.Selections = 2 }), query,
			`{"message":"The document is too large: it has 3 selections with its fragments written out, allowed are 2","extensions":{"code":"OPERATION_TOO_LARGE","reason":"FIELDS"}}`},
		{with(func(d *limits.Document) { d.NameBytes = 6 }), `{ longest: leaf }`,
			`{"message":"A field's name or alias is too long: it has 7 bytes, allowed are 6","extensions":{"code":"OPERATION_TOO_LARGE","reason":"NAMES"}}`},
		{with(func(d *limits.Document) { d.Pairs = 5 }), `{ leaf leaf leaf leaf }`,
			`{"message":"The document repeats fields too often: at least 6 pairs of one name would be compared, allowed are 5","extensions":{"code":"OPERATION_TOO_LARGE","reason":"FIELDS"}}`},
	} {
		if ran, body := post(t, wide, tt.query); !ran {
			t.Errorf("%s is refused by wide limits: %s", tt.query, body)
		}
		ran, body := post(t, tt.limits, tt.query)
		if want := `{"errors":[` + tt.want + `],"data":null}`; ran || body != want {
			t.Errorf("ran: %t\n got %s\nwant %s", ran, body, want)
		}
	}
}

// Wherever a value can stand.
func TestValuesOf(t *testing.T) {
	for _, query := range []string{
		`{ a(x: [[[1]]]) { leaf } }`, `{ leaf @d(x: [[[1]]]) }`, `query Q @d(x: [[[1]]]) { leaf }`, `query Q($x: I = [[[1]]]) { leaf }`,
		`query Q($x: I @d(x: [[[1]]])) { leaf }`, `{ ... @d(x: [[[1]]]) { leaf } }`, `{ ...F @d(x: [[[1]]]) } fragment F on Query { leaf }`,
		`{ ...F } fragment F on Query @d(x: [[[1]]]) { leaf }`, `{ a(x: {i: [{i: 1}]}) { leaf } }`, `{ ...F } fragment F on Query { a(x: [[[1]]]) { leaf } }`,
	} {
		fault := wide(2).MutateOperationParameters(t.Context(), &graphql.RawParams{Query: query})
		if fault == nil || !strings.Contains(fault.Message, "its values nest to depth 3, allowed is 2") {
			t.Errorf("%s: %v", query, fault)
		}
	}
}

func TestPairsOf(t *testing.T) {
	for _, tt := range []struct {
		name, query string
		want        int
	}{
		{"each name once", `{ leaf x: leaf a { leaf } }`, 0},
		{"twice", `{ leaf leaf }`, 1},
		{"an alias is what counts", `{ x: leaf x: a { leaf } a { x: leaf } }`, 1},
		{"five", `{ leaf leaf leaf leaf leaf }`, 10},
		{"below fields that are merged", `{ a { leaf } a { leaf } a { leaf } }`, 3 + 3},
		{"through a fragment, and in it", `{ leaf ...F } fragment F on Query { leaf leaf }`, 3 + 1},
		{"again for each inline fragment", `{ ... { ... { leaf leaf } } }`, 1 + 1 + 1},
	} {
		fault := limits.Document{Tokens: 1 << 20, Depth: 99, Selections: 999, Pairs: tt.want - 1, NameBytes: 99}.MutateOperationParameters(t.Context(), &graphql.RawParams{Query: tt.query})
		got := 0
		if fault != nil {
			fmt.Sscanf(fault.Message, "The document repeats fields too often: at least %d pairs", &got)
		}
		if got != tt.want {
			t.Errorf("%s: %s has %d pairs, want %d", tt.name, tt.query, got, tt.want)
		}
	}
}

// What can't be parsed, or not within the tokens, is gqlgen's to refuse, in its own words.
func TestSyntaxIsLeftToTheParser(t *testing.T) {
	for _, query := range []string{`{ a {`, ``, `{ "a" }`, `{ leaf leaf leaf leaf leaf leaf leaf leaf leaf }`} {
		if fault := (limits.Document{Tokens: 5, Depth: 1, Selections: 1, Pairs: 1, NameBytes: 1}).MutateOperationParameters(t.Context(), &graphql.RawParams{Query: query}); fault != nil {
			t.Errorf("%s: %v", query, fault)
		}
	}
}

func TestGraphiQLsIntrospectionPasses(t *testing.T) {
	if got := depthOf(t, graphiql); got != 15 {
		t.Errorf("depth is %d, want 15: the limit in server.go and the comment of Document say so", got)
	}
	if got := selectionsOf(t, graphiql); got > 500 {
		t.Errorf("it has %d selections; the comment of Document says some 400", got)
	}
	server := limits.Document{Tokens: 1000, Depth: 15, Selections: 1000, Pairs: 5000, NameBytes: 256} // as in server.go
	if ran, body := post(t, server, graphiql); !ran {
		t.Errorf("it is refused: %s", body)
	}
	deeper := strings.Replace(graphiql, "fragment TypeRef on __Type {", "fragment TypeRef on __Type { ofType { ...Rest } }\nfragment Rest on __Type {", 1)
	ran, body := post(t, server, deeper)
	if ran || !strings.Contains(body, `its fields nest to depth 16, allowed is 15`) || !strings.Contains(body, `"reason":"DEPTH"`) {
		t.Errorf("one level more passes, or is worded otherwise: ran %t, %s", ran, body)
	}
}

func TestLimitsThatAreLeftOutAreRefused(t *testing.T) {
	good := limits.Document{Tokens: 1, Depth: 1, Selections: 1, Pairs: 1, NameBytes: 1}
	if err := good.Validate(nil); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*limits.Document){
		"tokens":     func(d *limits.Document) { d.Tokens = 0 },
		"depth":      func(d *limits.Document) { d.Depth = -1 },
		"selections": func(d *limits.Document) { d.Selections = 0 },
		"pairs":      func(d *limits.Document) { d.Pairs = 0 },
		"names":      func(d *limits.Document) { d.NameBytes = 0 },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(nil); err == nil {
			t.Errorf("a document without a limit of %s is accepted", name)
		}
	}
}

// Whatever passes the limits, validation survives: a stack overflow would end this test's process, as it would
// end the server's.
func FuzzDocument(f *testing.F) {
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: schemaText})
	server := limits.Document{Tokens: 1000, Depth: 15, Selections: 1000, Pairs: 5000, NameBytes: 256}
	f.Add(graphiql)
	f.Add(chain(3))
	f.Add(`{ ...A } fragment A on Query { a { a { ...B } } a { ...B } } fragment B on A { a { ...B } }`)
	f.Add(`{ a { ...A } } fragment A on A { a { a { ...A } a { ...A } } }`)
	f.Add(`{__type(name:"A"){...F0}} fragment F0 on __Type{...F1 ...F1} fragment F1 on __Type{...F2 ...F2} fragment F2 on __Type{name}`)
	f.Fuzz(func(t *testing.T, query string) {
		if fault := server.MutateOperationParameters(t.Context(), &graphql.RawParams{Query: query}); fault != nil {
			return
		}
		if doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: query}, server.Tokens); err == nil {
			validator.ValidateWithRules(schema, doc, nil)
		}
	})
}
