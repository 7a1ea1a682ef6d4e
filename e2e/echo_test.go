package e2e

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/limits"
)

//go:embed node/echo.graphql
var echoSchemaText string

var echoSchema = gqlparser.MustLoadSchema(&ast.Source{Name: "echo.graphql", Input: echoSchemaText})

// An echo is an executable schema that resolves each field to its arguments.
type echo struct{}

func (echo) Schema() *ast.Schema { return echoSchema }

func (echo) Complexity(context.Context, string, string, int, map[string]any) (int, bool) {
	return 0, false
}

func (echo) Exec(context.Context) graphql.ResponseHandler {
	return func(ctx context.Context) *graphql.Response {
		operation := graphql.GetOperationContext(ctx)
		root := map[ast.Operation]string{ast.Query: "Query",
			ast.Mutation: "Mutation"}[operation.Operation.Operation]
		data, err := json.Marshal(resolve(operation, operation.Operation.SelectionSet, root))
		if err != nil {
			panic(err)
		}
		return &graphql.Response{Data: data}
	}
}

// resolve returns the data for a selection set.
func resolve(operation *graphql.OperationContext, set ast.SelectionSet,
	typeName string) map[string]any {
	data := map[string]any{}
	for _, field := range graphql.CollectFields(operation, set, []string{typeName}) {
		switch field.Name {
		case "self":
			data[field.Alias] = resolve(operation, field.Selections, typeName)
		case "__typename":
			data[field.Alias] = typeName
		default:
			args := map[string]any{}
			for name, value := range field.ArgumentMap(operation.Variables) {
				args[name] = coerce(field.Definition.Arguments.ForName(name).Type, value)
			}
			data[field.Alias] = args
		}
	}
	return data
}

// coerce converts a value as the code that gqlgen generates does: a single item for a list becomes
// a list, an ID becomes a string, and missing fields of an input get their defaults.
func coerce(typ *ast.Type, value any) any {
	if value == nil {
		return nil
	}
	if typ.Elem != nil {
		items := []any{}
		for _, item := range graphql.CoerceList(value) {
			items = append(items, coerce(typ.Elem, item))
		}
		return items
	}
	definition := echoSchema.Types[typ.NamedType]
	if typ.NamedType == "ID" {
		return fmt.Sprint(value)
	}
	if definition.Kind != ast.InputObject {
		return value
	}
	result := map[string]any{}
	input := value.(map[string]any)
	for _, field := range definition.Fields {
		fieldValue, ok := input[field.Name]
		if !ok && field.DefaultValue != nil {
			fieldValue, _ = field.DefaultValue.Value(nil)
			ok = true
		}
		if ok {
			result[field.Name] = coerce(field.Type, fieldValue)
		}
	}
	for name := range input { // pass on unknown fields: tests fail if one gets this far
		if _, ok := result[name]; !ok {
			result[name] = input[name]
		}
	}
	return result
}

// newEcho returns a server for the echo with CloakQL's limits and transport.
func newEcho() *handler.Server {
	return newEchoWith(installLimits, installHTTP)
}

// newEchoWith returns a server for the echo with the extensions that the installers add.
func newEchoWith(installers ...func(*handler.Server) error) *handler.Server {
	server := handler.New(echo{})
	for _, installer := range installers {
		if err := installer(server); err != nil {
			panic(err)
		}
	}
	return server
}

func installLimits(server *handler.Server) error { return limits.Install(server, limits.Limits{}) }

func installHTTP(server *handler.Server) error {
	return graphqlhttp.Install(server,
		graphqlhttp.Config{Errors: &apierror.Presenter{}, Introspection: true})
}

// queryEcho sends a document to the echo, with its variables as JSON.
func queryEcho(t *testing.T, server *handler.Server, query, variables string) (response struct {
	Data   any
	Errors []struct {
		Message    string
		Locations  []location
		Extensions struct{ Code, Reason string }
	}
}) {
	t.Helper()
	quoted, err := json.Marshal(query)
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Appendf(nil, `{"query":%s,"variables":%s}`, quoted, cmp.Or(variables, "null"))
	request := httptest.NewRequest("POST", "/", bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, request)
	if err := json.Unmarshal(recorder.Body.Bytes(), &response); err != nil {
		t.Fatalf("%q: %v: %s", query, err, recorder.Body)
	}
	return response
}

// A location is a place in a document.
type location struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}
