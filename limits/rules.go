package limits

import (
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// MaxErrors is the number of errors after which validation stops.
const MaxErrors = 5

// Rules returns a function for handler.Server.SetValidationRulesFn whose rules validate in linear
// time. The rules are those of base, or gqlparser's own if base is nil, with these changes:
//
//   - Validation stops after MaxErrors errors. gqlparser (v2.5.37) always walks the whole document,
//     and formats an error for each wrong field.
//   - Fields with the same response name are compared in groups, not in pairs. The result is the
//     specification's (section 5.3.2); gqlparser overlooks differences between lists and between
//     objects in arguments.
//   - The rule for the depth of introspection is removed: Limits.IntrospectionDepth replaces it.
//     gqlparser's rule walks a fragment again for each spread.
//   - An error about a literal of the wrong type suggests no enum value with a similar name.
//
// Two rules of the set have a variant with suggestions and a variant without. gqlgen (v0.17.95)
// removes one variant of each. Don't use the set without gqlgen, because the two variants together
// report each error twice.
func Rules(base func() *rules.Rules) func() *rules.Rules {
	if base == nil {
		base = rules.NewDefaultRules
	}
	return func() *rules.Rules {
		set := base()
		set.ReplaceRule(rules.OverlappingFieldsCanBeMergedRule.Name, overlappingFieldsCanBeMerged)
		set.RemoveRule(rules.MaxIntrospectionDepth.Name)
		set.ReplaceRule(rules.ValuesOfCorrectTypeRule.Name,
			rules.ValuesOfCorrectTypeRuleWithoutSuggestions.RuleFunc)
		for _, rule := range []core.Rule{
			rules.FieldsOnCorrectTypeRule, rules.FieldsOnCorrectTypeRuleWithoutSuggestions,
			rules.ScalarLeafsRule, rules.ScalarLeafsRuleWithoutSuggestions,
		} {
			set.AddRule(rule.Name, rule.RuleFunc)
		}
		errorCount := 0
		for name, rule := range set.GetInner() {
			set.ReplaceRule(name, func(observers *core.Events, addError core.AddErrFunc) {
				rule(observers, func(options ...core.ErrorOption) {
					if errorCount++; errorCount <= MaxErrors {
						addError(options...)
					}
				})
			})
		}
		set.AddRule("StopAtMaxErrors", func(observers *core.Events, _ core.AddErrFunc) {
			stopAtMaxErrors(observers, &errorCount)
		})
		return set
	}
}

// stopAtMaxErrors stops the walk as far as a rule can. The walk still visits the rest of the
// current selection set and of the enclosing ones, but calls no rule and enters no fragment.
func stopAtMaxErrors(observers *core.Events, errorCount *int) {
	check := func(walker *core.Walker) {
		if *errorCount >= MaxErrors {
			walker.Observers = &core.Events{}
			walker.Document = &ast.QueryDocument{}
			walker.Schema = &ast.Schema{}
		}
	}
	observers.OnField(func(w *core.Walker, _ *ast.Field) { check(w) })
	observers.OnInlineFragment(func(w *core.Walker, _ *ast.InlineFragment) { check(w) })
	observers.OnFragmentSpread(func(w *core.Walker, _ *ast.FragmentSpread) { check(w) })
	observers.OnFragment(func(w *core.Walker, _ *ast.FragmentDefinition) { check(w) })
	observers.OnOperation(func(w *core.Walker, _ *ast.OperationDefinition) { check(w) })
	observers.OnDirective(func(w *core.Walker, _ *ast.Directive) { check(w) })
	observers.OnValue(func(w *core.Walker, _ *ast.Value) { check(w) })
	observers.OnVariable(func(w *core.Walker, _ *ast.VariableDefinition) { check(w) })
}
