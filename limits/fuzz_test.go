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

// countVisits counts the nodes that gqlparser's walk passes to its rules.
func countVisits(doc *ast.QueryDocument) (selections, values, directives int) {
	var observers core.Events
	observers.OnField(func(*core.Walker, *ast.Field) { selections++ })
	observers.OnInlineFragment(func(*core.Walker, *ast.InlineFragment) { selections++ })
	observers.OnFragmentSpread(func(*core.Walker, *ast.FragmentSpread) { selections++ })
	observers.OnValue(func(*core.Walker, *ast.Value) { values++ })
	observers.OnDirective(func(*core.Walker, *ast.Directive) { directives++ })
	core.Walk(testSchema, doc, &observers)
	return selections, values, directives
}

// checkQuery checks that gqlparser can parse and validate any document that is within the limits,
// with no more work than the limits allow. A stack overflow would end the test process, as it would
// end the server.
func checkQuery(t *testing.T, query string) {
	t.Helper()
	work, err := limits.Check(limits.Limits{}, &graphql.RawParams{Query: query})
	maxTokens := min(len(query), limits.DefaultTokens+1)
	if work.Tokens > maxTokens || work.Nodes > work.Tokens {
		t.Errorf("%q: %d tokens read, %d nodes visited; want at most %d tokens, and no more nodes "+
			"than tokens", query, work.Tokens, work.Nodes, maxTokens)
	}
	if err != nil {
		if err.Extensions["code"] == nil {
			t.Errorf("%q: error %v has no code, want one", query, err)
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
			t.Errorf("accepted a string of %d bytes, want at most %d", len(scanner.Value(token)),
				limits.DefaultStringBytes)
		}
	}
	request := &graphql.RawParams{Query: query}
	limits.Check(limits.Limits{}, request)
	// gqlparser's own token limit isn't set.
	doc, parseErr := parser.ParseQuery(&ast.Source{Input: request.Query})
	if parseErr != nil {
		t.Fatalf("gqlparser rejects %q, the rewritten form of %q: %v", request.Query, query,
			parseErr)
	}
	if selections, values, directives := countVisits(doc); selections > limits.DefaultFields ||
		values > limits.DefaultValues || directives > limits.DefaultDirectives {
		t.Errorf("%q: validation visits %d fields and fragments, %d values, %d directives; want "+
			"at most %d, %d, %d", query, selections, values, directives, limits.DefaultFields,
			limits.DefaultValues, limits.DefaultDirectives)
	}
	if steps, _ := limits.CheckOverlap(testSchema, doc); steps > limits.MaxOverlapSteps+1 {
		t.Errorf("%q: the rule for overlapping fields takes %d steps, want at most %d", query,
			steps, limits.MaxOverlapSteps+1)
	}
	errs := validator.ValidateWithRules(testSchema, doc, rulesWithoutSuggestions())
	if len(errs) > limits.MaxErrors {
		t.Errorf("%q: %d errors, want at most %d", query, len(errs), limits.MaxErrors)
	}
}

// FuzzDocument checks documents with checkQuery, and the counts of short documents with
// checkCounts.
func FuzzDocument(f *testing.F) {
	f.Add(introspectionQuery)
	for _, shape := range shapes {
		f.Add(shape.query(200))
		f.Add(shape.query(2000))
	}
	for _, query := range clientQueries {
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
