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

// depthOf asks the limit itself how deep an operation is, without validation before it.
func depthOf(t *testing.T, query, operationName string) int {
	t.Helper()
	doc, err := parser.ParseQuery(&ast.Source{Input: query})
	if err != nil {
		t.Fatal(err)
	}
	operation := &graphql.OperationContext{Doc: doc, Operation: doc.Operations.ForName(operationName)}
	fault := limits.Depth(0).MutateOperationContext(context.Background(), operation)
	if fault == nil {
		return 0
	}
	var found, allowed int
	if _, err := fmt.Sscanf(fault.Message, "The operation is too deep: its fields nest to depth %d, allowed is %d", &found, &allowed); err != nil || allowed != 0 {
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
		{"a fragment that isn't used", `{ leaf } fragment F on A { a { a { a { leaf } } } }`, 1},
		// Validation refuses these three; the measure must end all the same, in case it is asked earlier.
		{"a fragment in itself", `{ a { ...F } } fragment F on A { a { ...F leaf } }`, 3},
		{"a cycle", `{ a { ...F } } fragment F on A { a { ...G } } fragment G on A { a { ...F } b { leaf } }`, 4},
		{"a missing fragment", `{ a { ...Nowhere } }`, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := depthOf(t, tt.query, ""); got != tt.want {
				t.Errorf("depth of %s is %d, want %d", tt.query, got, tt.want)
			}
		})
	}
}

func TestOnlyTheChosenOperationCounts(t *testing.T) {
	const query = `query Shallow { leaf } query Deep { a { a { ...F } } } fragment F on A { b { leaf } }`
	for name, want := range map[string]int{"Shallow": 1, "Deep": 4} {
		if got := depthOf(t, query, name); got != want {
			t.Errorf("depth of %s is %d, want %d", name, got, want)
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
		if got := depthOf(t, chain(n), ""); got != n+2 {
			t.Errorf("depth of a chain of %d is %d, want %d", n, got, n+2)
		}
	}
}

func BenchmarkDepth(b *testing.B) {
	for _, n := range []int{10, 20, 40, 80} { // time grows as n does
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			doc, err := parser.ParseQuery(&ast.Source{Input: chain(n)})
			if err != nil {
				b.Fatal(err)
			}
			operation := &graphql.OperationContext{Doc: doc, Operation: doc.Operations[0]}
			for b.Loop() {
				limits.Depth(1000).MutateOperationContext(b.Context(), operation)
			}
		})
	}
}

// post sends a query through gqlgen's own handler, past a limit of max, and returns the response.
func post(t *testing.T, max limits.Depth, query string) (ran bool, body string) {
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

func TestDepthRefusesWithLimitFoundAndAllowed(t *testing.T) {
	const query = `{ a { a { leaf } } }`
	if ran, body := post(t, 3, query); !ran {
		t.Errorf("Depth(3) refuses an operation 3 deep: %s", body)
	}
	ran, body := post(t, 2, query)
	const want = `{"errors":[{"message":"The operation is too deep: its fields nest to depth 3, allowed is 2",` +
		`"extensions":{"code":"OPERATION_TOO_LARGE","reason":"DEPTH"}}],"data":null}`
	if ran || body != want {
		t.Errorf("ran: %t\n got %s\nwant %s", ran, body, want)
	}
}

func TestGraphiQLsIntrospectionIsFifteenDeep(t *testing.T) {
	if got := depthOf(t, graphiql, "IntrospectionQuery"); got != 15 {
		t.Errorf("depth is %d, want 15: the limit in server.go and the comment of Depth say so", got)
	}
	if ran, body := post(t, 15, graphiql); !ran {
		t.Errorf("Depth(15) refuses it: %s", body)
	}
	deeper := strings.Replace(graphiql, "fragment TypeRef on __Type {", "fragment TypeRef on __Type { ofType { ...Rest } }\nfragment Rest on __Type {", 1)
	ran, body := post(t, 15, deeper)
	if ran || !strings.Contains(body, `its fields nest to depth 16, allowed is 15`) || !strings.Contains(body, `"reason":"DEPTH"`) {
		t.Errorf("Depth(15) passes one level more, or words it otherwise: ran %t, %s", ran, body)
	}
}

func TestALimitThatNoOperationKeepsIsRefused(t *testing.T) {
	for max, want := range map[limits.Depth]string{
		-1: "limits: depth is -1; expected at least 1",
		0:  "limits: depth is 0; expected at least 1",
	} {
		if err := max.Validate(nil); err == nil || err.Error() != want {
			t.Errorf("Depth(%d).Validate() = %v, want %s", max, err, want)
		}
	}
	if err := limits.Depth(1).Validate(nil); err != nil {
		t.Errorf("Depth(1).Validate() = %v", err)
	}
	if name := limits.Depth(1).ExtensionName(); name != "Depth" {
		t.Errorf("ExtensionName() = %q", name)
	}
}
