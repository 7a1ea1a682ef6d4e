package limits_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/limits"
)

// TestLimits_Representations checks that the representations of all _entities fields of an
// operation count together, wherever these fields are.
func TestLimits_Representations(t *testing.T) {
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: `
		scalar _Any
		type Query { _entities(representations: [_Any!]!): [String]! }`})
	const list = `[{__typename: "User", id: 1}, {__typename: "User", id: 2}]`
	users := func(n int) map[string]any {
		return map[string]any{"r": slices.Repeat([]any{map[string]any{"__typename": "User"}}, n)}
	}
	for _, tt := range []struct {
		max       int
		query     string
		variables map[string]any
		want      int
	}{
		{2, "{ _entities(representations: " + list + ") }", nil, 2},
		{1, "{ _entities(representations: " + list + ") }", nil, 2},
		{1, "{ _entities(representations: {id: 1}) }", nil, 1},
		{limits.DefaultRepresentations, "query($r: [_Any!]!) { _entities(representations: $r) }",
			users(100), 100},
		{limits.DefaultRepresentations, "query($r: [_Any!]!) { _entities(representations: $r) }",
			users(101), 101},
		{2, "query($u: _Any!) { _entities(representations: [$u, $u, $u]) }",
			map[string]any{"u": map[string]any{"id": 1}}, 3},
		{1, "query($r: [_Any!]! = " + list + ") { _entities(representations: $r) }", nil, 2},
		{5, "query($r: [_Any!]!) { a: _entities(representations: $r) " +
			"b: _entities(representations: $r) }", users(3), 6},
		{7, "query($r: [_Any!]!) { ...F ... { ...F } } fragment F on Query { " +
			"_entities(representations: $r) ... on Query { b: _entities(representations: $r) } }",
			users(2), 8},
		{1, "query($r: [_Any!]!) { _entities(representations: $r) @skip(if: true) }", users(2), 2},
	} {
		server := handler.New(&graphql.ExecutableSchemaMock{
			SchemaFunc: func() *ast.Schema { return schema },
			ExecFunc: func(context.Context) graphql.ResponseHandler {
				return graphql.OneShot(&graphql.Response{Data: []byte(`{}`)})
			},
		})
		server.AddTransport(transport.POST{})
		l := limits.Limits{Representations: tt.max}
		if tt.max == limits.DefaultRepresentations {
			l.Representations = 0
		}
		if err := limits.Install(server, l); err != nil {
			t.Fatal(err)
		}
		want := `{"data":{}}`
		if tt.want > tt.max {
			want = fmt.Sprintf(`"message":"The operation has %d representations of entities; `+
				`the limit is %d","extensions":{"code":"OPERATION_TOO_LARGE","reason":"VALUES"}`,
				tt.want, tt.max)
		}
		if got := send(server, tt.query, tt.variables); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", tt.query, got, want)
		}
	}
}
