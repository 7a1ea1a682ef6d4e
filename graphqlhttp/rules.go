package graphqlhttp

import "github.com/vektah/gqlparser/v2/validator/rules"

// RulesWithoutSuggestions are GraphQL's validation rules without gqlparser's "Did you mean": with
// suggestions a stranger reads the schema name by name where introspection is off. Give it to
// handler.Server.SetValidationRulesFn, together with SetDisableSuggestion(true), which replaces the
// two rules that gqlgen itself puts in.
func RulesWithoutSuggestions() *rules.Rules {
	set := rules.NewDefaultRules()
	set.ReplaceRule(rules.KnownArgumentNamesRule.Name, rules.KnownArgumentNamesRuleWithoutSuggestions.RuleFunc)
	set.ReplaceRule(rules.KnownTypeNamesRule.Name, rules.KnownTypeNamesRuleWithoutSuggestions.RuleFunc)
	set.ReplaceRule(rules.ValuesOfCorrectTypeRule.Name, rules.ValuesOfCorrectTypeRuleWithoutSuggestions.RuleFunc)
	return set
}
