package limits_test

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/cloakql/cloakql/limits"
)

// testSchema is the schema of the tests.
var testSchema = gqlparser.MustLoadSchema(&ast.Source{Input: `
type Query { me: User a: A b: B leaf: Int name: String f(x: I, n: Int, l: [Int], t: [String], s: String, e: E, m: [[Int]]): A need(n: Int!): Int }
type Mutation { login(name: String!, word: String!): User refresh(token: String!): User }
type Subscription { tick: Int tock: Int }
type User { id: ID name: String }
interface Leaf { leaf: Int a: A }
type A implements Leaf { a: A b: B leaf: Int name: String }
type B implements Leaf { a: A b: B leaf: Int name: Int }
union AB = A | B
enum E { ONE TWO THREE }
input I { i: I l: [I] n: Int e: E }
`})

// introspectionQuery is GraphiQL's introspection query: the result of getIntrospectionQuery of
// graphql-js 16.11 with all options. It nests ofType nine deep.
//
//go:embed testdata/introspection.graphql
var introspectionQuery string

// newServer returns gqlgen's handler with the limits l and this package's rules. It calls execute
// with each document that it executes.
func newServer(l limits.Limits, suggest bool, execute func(*ast.QueryDocument)) *handler.Server {
	server := handler.New(&graphql.ExecutableSchemaMock{
		SchemaFunc: func() *ast.Schema { return testSchema },
		ExecFunc: func(ctx context.Context) graphql.ResponseHandler {
			execute(graphql.GetOperationContext(ctx).Doc)
			return graphql.OneShot(&graphql.Response{Data: []byte(`{}`)})
		},
	})
	server.AddTransport(transport.POST{})
	server.SetParserTokenLimit(limits.DefaultTokens)
	server.SetDisableSuggestion(!suggest)
	server.SetValidationRulesFn(limits.Rules(nil))
	if l.Cache() != nil {
		server.SetQueryCache(l.Cache())
	}
	server.Use(l)
	return server
}

// send posts a query and returns the body of the response.
func send(server http.Handler, query string, variables map[string]any) string {
	body, _ := json.Marshal(map[string]any{"query": query, "variables": variables})
	request := httptest.NewRequest(http.MethodPost, "/graphql", bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, request)
	return recorder.Body.String()
}

// runQuery sends a query to a new server with the limits l. It reports whether the query was
// executed, and returns the body of the response.
func runQuery(l limits.Limits, query string) (executed bool, body string) {
	body = send(newServer(l, false, func(*ast.QueryDocument) { executed = true }), query, nil)
	return executed, body
}

// rulesWithoutSuggestions returns the rules that gqlgen uses when suggestions are disabled.
func rulesWithoutSuggestions() *rules.Rules {
	set := limits.Rules(nil)()
	set.RemoveRule(rules.FieldsOnCorrectTypeRule.Name)
	set.RemoveRule(rules.ScalarLeafsRule.Name)
	return set
}

// parse returns gqlparser's tree of a document.
func parse(t testing.TB, query string) *ast.QueryDocument {
	t.Helper()
	doc, err := parser.ParseQuery(&ast.Source{Input: query})
	if err != nil {
		t.Fatalf("gqlparser rejects %s: %v", query, err)
	}
	return doc
}

// repeat returns n copies of a piece. In each copy, # becomes the index of the copy.
func repeat(n int, piece string) string {
	var out strings.Builder
	for i := range n {
		out.WriteString(strings.ReplaceAll(piece, "#", strconv.Itoa(i)))
	}
	return out.String()
}

// enclose puts open n times before middle, and closing n times after it.
func enclose(n int, open, middle, closing string) string {
	return strings.Repeat(open, n) + middle + strings.Repeat(closing, n)
}
