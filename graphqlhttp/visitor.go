package graphqlhttp

import "github.com/vektah/gqlparser/v2/ast"

// A visitor has the functions that inspect calls for each directive and value. They may be nil.
type visitor struct {
	directive func(*ast.Directive)
	value     func(*ast.Value)

	visited map[*ast.FragmentDefinition]bool
}

// inspect visits a validated operation. It includes the defaults and directives of variables, and
// visits each fragment once.
func inspect(operation *ast.OperationDefinition, v visitor) {
	for _, variable := range operation.VariableDefinitions {
		v.values(variable.DefaultValue)
		v.directives(variable.Directives)
	}
	v.directives(operation.Directives)
	v.selections(operation.SelectionSet)
}

func (v *visitor) selections(set ast.SelectionSet) {
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			v.directives(selection.Directives)
			v.arguments(selection.Arguments)
			v.selections(selection.SelectionSet)
		case *ast.InlineFragment:
			v.directives(selection.Directives)
			v.selections(selection.SelectionSet)
		case *ast.FragmentSpread:
			v.directives(selection.Directives)
			fragment := selection.Definition
			if fragment == nil || v.visited[fragment] {
				continue
			}
			if v.visited == nil {
				v.visited = map[*ast.FragmentDefinition]bool{}
			}
			v.visited[fragment] = true
			v.selections(fragment.SelectionSet)
		}
	}
}

func (v *visitor) directives(directives ast.DirectiveList) {
	for _, directive := range directives {
		if v.directive != nil {
			v.directive(directive)
		}
		v.arguments(directive.Arguments)
	}
}

func (v *visitor) arguments(arguments ast.ArgumentList) {
	for _, argument := range arguments {
		v.values(argument.Value)
	}
}

func (v *visitor) values(value *ast.Value) {
	if value == nil || v.value == nil {
		return
	}
	v.value(value)
	for _, child := range value.Children {
		v.values(child.Value)
	}
}
