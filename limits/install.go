package limits

import (
	"errors"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// Install bounds what documents may cost in a new gqlgen server: it sets the parser's token limit,
// the query cache and the validation rules, and adds limits as an extension, which all must agree
// with each other. It fails, naming the fault, where limits are no use, and leaves the server as it
// was then. Call it once for a server, before or after graphqlhttp.Install.
//
// Names of the schema are suggested in errors unless the server's SetDisableSuggestion says
// otherwise, before or after.
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

// suggestingRules returns gqlparser's rules, where those that know names of the schema suggest some
// only if gqlgen lets them: its SetDisableSuggestion replaces two rules of the set by itself,
// before they run.
func suggestingRules() *rules.Rules {
	set := rules.NewDefaultRules()
	for _, rule := range []struct{ suggesting, silent core.Rule }{
		{rules.KnownArgumentNamesRule, rules.KnownArgumentNamesRuleWithoutSuggestions},
		{rules.KnownTypeNamesRule, rules.KnownTypeNamesRuleWithoutSuggestions},
	} {
		set.ReplaceRule(rule.suggesting.Name,
			func(observers *core.Events, addError core.AddErrFunc) {
				if _, suggests := set.GetInner()[rules.FieldsOnCorrectTypeRule.Name]; suggests {
					rule.suggesting.RuleFunc(observers, addError)
				} else {
					rule.silent.RuleFunc(observers, addError)
				}
			})
	}
	return set
}
