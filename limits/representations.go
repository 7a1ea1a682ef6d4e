package limits

import (
	"cmp"
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
)

// MutateOperationContext returns an error if the operation has more representations of entities
// than Limits.Representations. It runs after validation, when the variables have their defaults.
func (l Limits) MutateOperationContext(_ context.Context,
	opCtx *graphql.OperationContext) *gqlerror.Error {
	max := cmp.Or(l.Representations, DefaultRepresentations)
	n := countRepresentations(opCtx.Operation.SelectionSet, opCtx.Variables)
	if n > max {
		return tooLargeError(apierror.ReasonValues,
			"The operation has %d representations of entities; the limit is %d", n, max)
	}
	return nil
}

// countRepresentations counts the representations in the arguments of the _entities fields among
// the root fields of an operation. Limits.Fields bounds its work.
func countRepresentations(set ast.SelectionSet, vars map[string]any) (n int) {
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			if selection.Name != "_entities" {
				continue
			}
			arg := selection.Arguments.ForName("representations")
			if arg == nil {
				continue
			}
			value, _ := arg.Value.Value(vars) // an invalid value makes the field fail later
			items, isList := value.([]any)
			if !isList { // GraphQL coerces a single value to a list
				items = []any{value}
			}
			n = saturatingAdd(n, len(items))
		case *ast.InlineFragment:
			n = saturatingAdd(n, countRepresentations(selection.SelectionSet, vars))
		case *ast.FragmentSpread:
			if selection.Definition != nil {
				n = saturatingAdd(n, countRepresentations(selection.Definition.SelectionSet, vars))
			}
		}
	}
	return n
}
