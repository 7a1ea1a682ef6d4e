package graphqlhttp

import "github.com/vektah/gqlparser/v2/ast"

// A visitor calls onDirective for each directive of an operation, and onValue for each value.
// Either function may be nil. Each fragment is visited once.
type visitor struct {
	onDirective func(*ast.Directive)
	onValue     func(*ast.Value)

	visitedFragments map[*ast.FragmentDefinition]bool
}

// visitOperation visits a validated operation, including its variable definitions.
func (v *visitor) visitOperation(operation *ast.OperationDefinition) {
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
