package graphqlhttp

import "github.com/vektah/gqlparser/v2/ast"

// A visitor holds callbacks: inspect calls onDirective for each directive and onValue for each
// value. Either may be nil.
type visitor struct {
	onDirective func(*ast.Directive)
	onValue     func(*ast.Value)

	visitedFragments map[*ast.FragmentDefinition]bool
}

// inspect visits the directives and values of a validated operation, including those in its
// variable definitions. It visits each fragment once.
func inspect(operation *ast.OperationDefinition, v visitor) {
	for _, variable := range operation.VariableDefinitions {
		v.visitValue(variable.DefaultValue)
		v.visitDirectives(variable.Directives)
	}
	v.visitDirectives(operation.Directives)
	v.visitSelections(operation.SelectionSet)
}

func (v *visitor) visitSelections(set ast.SelectionSet) {
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			v.visitDirectives(selection.Directives)
			v.visitArguments(selection.Arguments)
			v.visitSelections(selection.SelectionSet)
		case *ast.InlineFragment:
			v.visitDirectives(selection.Directives)
			v.visitSelections(selection.SelectionSet)
		case *ast.FragmentSpread:
			v.visitDirectives(selection.Directives)
			fragment := selection.Definition
			if fragment == nil || v.visitedFragments[fragment] {
				continue
			}
			if v.visitedFragments == nil {
				v.visitedFragments = map[*ast.FragmentDefinition]bool{}
			}
			v.visitedFragments[fragment] = true
			v.visitSelections(fragment.SelectionSet)
		}
	}
}

func (v *visitor) visitDirectives(directives ast.DirectiveList) {
	for _, directive := range directives {
		if v.onDirective != nil {
			v.onDirective(directive)
		}
		v.visitArguments(directive.Arguments)
	}
}

func (v *visitor) visitArguments(arguments ast.ArgumentList) {
	for _, argument := range arguments {
		v.visitValue(argument.Value)
	}
}

func (v *visitor) visitValue(value *ast.Value) {
	if value == nil || v.onValue == nil {
		return
	}
	v.onValue(value)
	for _, child := range value.Children {
		v.visitValue(child.Value)
	}
}
