package limits

import (
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
)

// maxIntrospectionDepth is gqlparser's rule of that name, which walks a fragment again for each spread, with a
// memory: where __schema or __type holds three of the introspection's lists inside each other, it is refused.
func maxIntrospectionDepth(observers *core.Events, addError core.AddErrFunc) {
	m := listDepth{known: map[*ast.FragmentDefinition]int{}}
	observers.OnField(func(_ *core.Walker, field *ast.Field) {
		if (field.Name == "__schema" || field.Name == "__type") && m.of(field.SelectionSet) > Introspection {
			addError(core.Message("Maximum introspection depth exceeded"), core.At(field.Position))
		}
	})
}

type listDepth struct {
	known map[*ast.FragmentDefinition]int
}

func (m listDepth) of(set ast.SelectionSet) (deepest int) {
	for _, selection := range set {
		depth := 0
		switch selection := selection.(type) {
		case *ast.Field:
			depth = m.of(selection.SelectionSet)
			switch selection.Name {
			case "fields", "inputFields", "interfaces", "possibleTypes":
				depth++
			}
		case *ast.InlineFragment:
			depth = m.of(selection.SelectionSet)
		case *ast.FragmentSpread:
			depth = m.fragment(selection.Definition)
		}
		deepest = max(deepest, depth)
	}
	return deepest
}

func (m listDepth) fragment(fragment *ast.FragmentDefinition) int {
	if fragment == nil {
		return 0
	}
	depth, known := m.known[fragment]
	if !known {
		m.known[fragment] = 0 // inside itself it is a cycle, which is refused elsewhere
		depth = m.of(fragment.SelectionSet)
		m.known[fragment] = depth
	}
	return depth
}
