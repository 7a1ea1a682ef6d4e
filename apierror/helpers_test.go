package apierror_test

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// A resolver resolves a field of newShopSchema to null, or returns the field's error.
type resolver = func(context.Context) error

// newShopSchema returns an executable schema like those that gqlgen generates. Each field fails
// with the error that its resolver returns.
func newShopSchema(resolvers map[string]resolver) graphql.ExecutableSchema {
	schema := gqlparser.MustLoadSchema(
		&ast.Source{Input: `type Query { buy: Int me: Int ship: Int }`})
	return &graphql.ExecutableSchemaMock{
		SchemaFunc: func() *ast.Schema { return schema },
		ExecFunc: func(ctx context.Context) graphql.ResponseHandler {
			return func(ctx context.Context) *graphql.Response {
				operation := graphql.GetOperationContext(ctx)
				for _, f := range graphql.CollectFields(operation, operation.Operation.SelectionSet,
					nil) {
					ctx := graphql.WithPathContext(ctx, graphql.NewPathWithField(f.Alias))
					graphql.AddError(ctx, resolvers[f.Name](ctx))
				}
				return &graphql.Response{Data: []byte("null")}
			}
		},
	}
}
