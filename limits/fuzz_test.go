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

// visits counts what gqlparser's walk passes on to its rules.
func visits(doc *ast.QueryDocument) (selections, values, directives int) {
	var observers core.Events
	observers.OnField(func(*core.Walker, *ast.Field) { selections++ })
	observers.OnInlineFragment(func(*core.Walker, *ast.InlineFragment) { selections++ })
	observers.OnFragmentSpread(func(*core.Walker, *ast.FragmentSpread) { selections++ })
	observers.OnValue(func(*core.Walker, *ast.Value) { values++ })
	observers.OnDirective(func(*core.Walker, *ast.Directive) { directives++ })
	core.Walk(hostile, doc, &observers)
	return selections, values, directives
}

// check holds a text to everything that must be true of any: what passes the limits, the parser and
// validation survive, within the work that the limits allow. A stack overflow would end this test's
// process, as it would end the server's.
func check(t *testing.T, query string) {
	t.Helper()
	done, fault := limits.WorkOf(limits.Limits{}, &graphql.RawParams{Query: query})
	if done.Tokens > min(len(query), limits.DefaultTokens+1) || done.Nodes > done.Tokens {
		t.Errorf("%q: %d tokens read, %d nodes visited", query, done.Tokens, done.Nodes)
	}
	if fault != nil {
		if fault.Extensions["code"] == nil {
			t.Errorf("%q: %v has no code", query, fault)
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
			t.Errorf("a string of %d bytes passes", len(scanner.Value(token)))
		}
	}
	request := &graphql.RawParams{Query: query}
	limits.WorkOf(limits.Limits{}, request)
	// no bound of its own: the limits have to do
	doc, err := parser.ParseQuery(&ast.Source{Input: request.Query})
	if err != nil {
		t.Fatalf("gqlparser refuses %q, which was %q: %v", request.Query, query, err)
	}
	if selections, values, directives := visits(doc); selections > limits.DefaultFields ||
		values > limits.DefaultValues || directives > limits.DefaultDirectives {
		t.Errorf("%q: validation visits %d fields and fragments, %d values, %d directives", query,
			selections, values, directives)
	}
	if steps, _ := limits.Overlapping(hostile, doc); steps > limits.MaxSteps+1 {
		t.Errorf("%q: %d steps to see whether fields overlap", query, steps)
	}
	errs := validator.ValidateWithRules(hostile, doc, ruleSet())
	if len(errs) > limits.MaxErrors {
		t.Errorf("%q: %d errors", query, len(errs))
	}
}

func FuzzDocument(f *testing.F) {
	f.Add(graphiql)
	for _, shape := range shapes {
		f.Add(shape.of(200))
		f.Add(shape.of(2000))
	}
	for _, query := range clients {
		f.Add(query)
	}
	f.Add(`{... "on" A{leaf}}`)
	f.Add("\"a\"query(\"\"\"b\n\"\"\"$v:S=\"\\u{1F511}\\ud83d\\udd11\"@d(x:\"\")){a(x:\"\"\"  " +
		"c\n\t\"d\x01\"\"\"\"){leaf}}")
	f.Add("{a(x:\"\\u00e4\"\"\"\"b\"\"\"){leaf}}#\r\n,\uFEFF")
	f.Fuzz(func(t *testing.T, query string) {
		check(t, query)
		if len(query) < 1000 {
			agrees(t, query)
		}
	})
}
