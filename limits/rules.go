package limits

import (
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// Errors is how many errors validation finds in one document before it ends.
const Errors = 5

// Rules makes validation linear, for handler.Server.SetValidationRulesFn. It takes a function that
// makes a set of rules, nil for gqlparser's own, and returns one that makes the same set, except
// that
//
//   - after Errors errors the rest of the document isn't looked at: gqlparser's walk (v2.5.37) has
//     no end, and makes an error of each wrong field, each with a text of its own;
//   - fields of one name are compared in groups instead of pair by pair: the verdict is that of the
//     specification (section 5.3.2), which differs from gqlparser's in lists and objects as
//     arguments, of which that sees no difference;
//   - the depth of an introspection is left to Limits.Introspection: gqlparser's own rule walks a
//     fragment again for each spread;
//   - a literal of the wrong type isn't compared with the names of an enum to suggest one of them.
//
// gqlgen (v0.17.95) puts two rules into every set by itself, with or without suggestions. Both
// forms are in the set, so that it takes them from there; only it can use the set for that reason.
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
		found := 0
		for name, rule := range set.GetInner() {
			set.ReplaceRule(name, func(observers *core.Events, addError core.AddErrFunc) {
				rule(observers, func(options ...core.ErrorOption) {
					if found++; found <= Errors {
						addError(options...)
					}
				})
			})
		}
		set.AddRule("StopsAtEnoughErrors", func(observers *core.Events, _ core.AddErrFunc) {
			stopAtErrors(observers, &found)
		})
		return set
	}
}

// stopAtErrors ends a walk as far as it can be ended from inside: what is left of the set of
// selections it is in, and of those around, is still passed, but isn't looked at, and no
// fragment is entered any more.
func stopAtErrors(observers *core.Events, found *int) {
	check := func(walker *core.Walker) {
		if *found >= Errors {
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
