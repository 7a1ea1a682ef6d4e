package limits_test

import (
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/core"

	"github.com/cloakql/cloakql/internal/language"
	"github.com/cloakql/cloakql/limits"
)

// visits counts the nodes that gqlparser's walk passes to its rules.
func visits(doc *ast.QueryDocument) (selections, values, directives int) {
	var observers core.Events
	observers.OnField(func(*core.Walker, *ast.Field) { selections++ })
	observers.OnInlineFragment(func(*core.Walker, *ast.InlineFragment) { selections++ })
	observers.OnFragmentSpread(func(*core.Walker, *ast.FragmentSpread) { selections++ })
	observers.OnValue(func(*core.Walker, *ast.Value) { values++ })
	observers.OnDirective(func(*core.Walker, *ast.Directive) { directives++ })
	core.Walk(testSchema, doc, &observers)
	return selections, values, directives
}

// checkQuery checks what must be true of any text: if it is within the limits, then gqlparser
// parses and validates it, with no more work than the limits allow. A stack overflow would end the
// process of the test, as it would end the server's.
func checkQuery(t *testing.T, query string) {
	t.Helper()
	done, err := limits.Check(limits.Limits{}, &graphql.RawParams{Query: query})
	if done.Tokens > min(len(query), limits.DefaultTokens+1) || done.Nodes > done.Tokens {
		t.Errorf("%q: %d tokens read, %d nodes visited", query, done.Tokens, done.Nodes)
	}
	if err != nil {
		if err.Extensions["code"] == nil {
			t.Errorf("%q: %v has no code", query, err)
		}
		return
	}
	scanner := language.Scanner{Text: query}
	for {
		token, err := scanner.Next()
		if err != nil || token.Kind == lexer.EOF {
			break
		}
		if (token.Kind == lexer.String || token.Kind == lexer.BlockString) &&
			len(scanner.Value(token)) > limits.DefaultStringBytes {
			t.Errorf("a string of %d bytes is accepted", len(scanner.Value(token)))
		}
	}
	request := &graphql.RawParams{Query: query}
	limits.Check(limits.Limits{}, request)
	// Without gqlparser's own token limit.
	doc, parseErr := parser.ParseQuery(&ast.Source{Input: request.Query})
	if parseErr != nil {
		t.Fatalf("gqlparser refuses %q, which was %q: %v", request.Query, query, parseErr)
	}
	if selections, values, directives := visits(doc); selections > limits.DefaultFields ||
		values > limits.DefaultValues || directives > limits.DefaultDirectives {
		t.Errorf("%q: validation visits %d fields and fragments, %d values, %d directives", query,
			selections, values, directives)
	}
	if steps, _ := limits.Overlapping(testSchema, doc); steps > limits.MaxSteps+1 {
		t.Errorf("%q: the rule for overlapping fields takes %d steps", query, steps)
	}
	errs := validator.ValidateWithRules(testSchema, doc, ruleSet())
	if len(errs) > limits.MaxErrors {
		t.Errorf("%q: %d errors", query, len(errs))
	}
}

func FuzzDocument(f *testing.F) {
	f.Add(graphiql)
	for _, shape := range shapes {
		f.Add(shape.document(200))
		f.Add(shape.document(2000))
	}
	for _, query := range clients {
		f.Add(query)
	}
	f.Add(`{... "on" A{leaf}}`)
	f.Add("\"a\"query(\"\"\"b\n\"\"\"$v:S=\"\\u{1F511}\\ud83d\\udd11\"@d(x:\"\")){a(x:\"\"\"  " +
		"c\n\t\"d\x01\"\"\"\"){leaf}}")
	f.Add("{a(x:\"\\u00e4\"\"\"\"b\"\"\"){leaf}}#\r\n,\uFEFF")
	f.Fuzz(func(t *testing.T, query string) {
		checkQuery(t, query)
		if len(query) < 1000 {
			checkCounts(t, query)
		}
	})
}
