// Package limits bounds what one GraphQL document may cost. It knows no schema; each limit is a gqlgen
// handler extension.
//
//	server.Use(limits.Depth(15))
package limits

import (
	"context"
	"fmt"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// Depth refuses operations whose fields nest deeper than its value: a root field is at depth 1, leaves
// count, and fragments count as if written out. The full introspection query of GraphiQL is 15 deep.
type Depth int

var _ interface {
	graphql.HandlerExtension
	graphql.OperationContextMutator
} = Depth(0)

// ExtensionName returns the name that gqlgen knows the limit by.
func (Depth) ExtensionName() string { return "Depth" }

// Validate refuses a limit that no operation can keep.
func (d Depth) Validate(graphql.ExecutableSchema) error {
	if d < 1 {
		return fmt.Errorf("limits: depth is %d; expected at least 1", d)
	}
	return nil
}

// MutateOperationContext fails with the code OPERATION_TOO_LARGE and the reason DEPTH.
func (d Depth) MutateOperationContext(_ context.Context, operation *graphql.OperationContext) *gqlerror.Error {
	found := depthOf(operation.Doc, operation.Operation.SelectionSet)
	if found <= int(d) {
		return nil
	}
	return &gqlerror.Error{
		Message:    fmt.Sprintf("The operation is too deep: its fields nest to depth %d, allowed is %d", found, d),
		Extensions: map[string]any{"code": "OPERATION_TOO_LARGE", "reason": "DEPTH"},
	}
}

// depthOf measures a selection set in time linear in its document: each fragment is walked once.
func depthOf(doc *ast.QueryDocument, set ast.SelectionSet) int {
	fragments := make(map[string]int, len(doc.Fragments))
	var measure func(ast.SelectionSet) int
	measure = func(set ast.SelectionSet) int {
		deepest := 0
		for _, selection := range set {
			depth := 0
			switch selection := selection.(type) {
			case *ast.Field:
				depth = 1 + measure(selection.SelectionSet)
			case *ast.InlineFragment:
				depth = measure(selection.SelectionSet)
			case *ast.FragmentSpread:
				known, seen := fragments[selection.Name]
				if !seen {
					// Zero while it is being measured: a cycle, which validation refuses, ends here.
					fragments[selection.Name] = 0
					if fragment := doc.Fragments.ForName(selection.Name); fragment != nil {
						known = measure(fragment.SelectionSet)
						fragments[selection.Name] = known
					}
				}
				depth = known
			}
			deepest = max(deepest, depth)
		}
		return deepest
	}
	return measure(set)
}
