package limits

import (
	"errors"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// Install adds limits to a new gqlgen server. It also sets the parser's token limit, the query
// cache and the validation rules to match. If limits are invalid, it returns an error and leaves
// the server unchanged. Call it once per server, before or after graphqlhttp.Install.
//
// Validation errors suggest names of the schema unless the server's SetDisableSuggestion, called
// before or after Install, turns that off.
func Install(server *handler.Server, limits Limits) error {
	if server == nil {
		return errors.New("limits: Install has no server: make one with gqlgen's handler.New")
	}
	if err := limits.Validate(nil); err != nil {
		return err
	}
	limits = limits.withDefaults()
	limits.cache = newCache(limits.CacheBytes)
	server.SetParserTokenLimit(limits.Tokens)
	server.SetQueryCache(limits.cache)
	server.SetValidationRulesFn(Rules(suggestingRules))
	server.Use(limits)
	return nil
}

// suggestingRules returns gqlparser's rules, changed so that all of them obey SetDisableSuggestion.
// gqlgen implements SetDisableSuggestion by replacing two rules of the set before validation. The
// changed rules check whether one of those two is still in the set.
func suggestingRules() *rules.Rules {
	set := rules.NewDefaultRules()
	for _, rule := range []struct{ withSuggestions, withoutSuggestions core.Rule }{
		{rules.KnownArgumentNamesRule, rules.KnownArgumentNamesRuleWithoutSuggestions},
		{rules.KnownTypeNamesRule, rules.KnownTypeNamesRuleWithoutSuggestions},
	} {
		set.ReplaceRule(rule.withSuggestions.Name,
			func(observers *core.Events, addError core.AddErrFunc) {
				_, suggest := set.GetInner()[rules.FieldsOnCorrectTypeRule.Name]
				if suggest {
					rule.withSuggestions.RuleFunc(observers, addError)
				} else {
					rule.withoutSuggestions.RuleFunc(observers, addError)
				}
			})
	}
	return set
}
