package graphqlhttp

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// TestSuggestions_hidden checks that without introspection, errors suggest no names of the schema.
func TestSuggestions_hidden(t *testing.T) {
	for name, tt := range misspelledQueries {
		res := sendWith(t, Config{AllowGET: true}, resolvers(), postQuery(tt.query))
		text := res.Body.String()
		if len(res.outcome.Codes) == 0 {
			t.Errorf("%s: %s, want an error", name, text)
		}
		if strings.Contains(text, "Did you mean") || strings.Contains(text, tt.secret) {
			t.Errorf("%s: %s, want no suggestion", name, text)
		}
	}
	// gqlparser also suggests names for the values of variables.
	for _, variables := range []string{`{"v":{"color":"GREE"}}`, `{"v":{"lis":[]}}`} {
		text := sendWith(t, Config{AllowGET: true}, resolvers(),
			postBody(`{"query":"query ($v: In) { echo(in: $v) }","variables":`+variables+
				`}`)).Body.String()
		if strings.Contains(text, "Did you mean") || strings.Contains(text, "GREEN") ||
			strings.Contains(text, "list") {
			t.Errorf("%s: %s, want no suggestion", variables, text)
		}
	}
}

// TestSuggestions_shown checks that gqlgen's handler without Install suggests names for these
// queries. Otherwise, TestSuggestions_hidden would prove nothing.
func TestSuggestions_shown(t *testing.T) {
	server := handler.New(resolvers())
	server.AddTransport(newTransport(Config{AllowGET: true, Introspection: true}))
	suggestions := 0
	for _, tt := range misspelledQueries {
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, postQuery(tt.query))
		if strings.Contains(recorder.Body.String(), "Did you mean") {
			suggestions++
		}
	}
	if suggestions < 5 {
		t.Errorf("%d queries get suggestions, want at least 5", suggestions)
	}
}

// TestRequestErrors_max checks that the response to an invalid document has at most five errors.
func TestRequestErrors_max(t *testing.T) {
	for unknownFields, want := range map[int]int{1: 1, 5: 5, 6: 5, 90: 5} {
		var query strings.Builder
		for i := range unknownFields {
			fmt.Fprintf(&query, " f%d", i)
		}
		var content struct{ Errors []json.RawMessage }
		err := json.Unmarshal(send(t, postQuery("{"+query.String()+" }")).Body.Bytes(), &content)
		if err != nil || len(content.Errors) != want {
			t.Errorf("%d unknown fields: %d errors, %v; want %d", unknownFields,
				len(content.Errors), err, want)
		}
	}
}

// TestNameSources checks that each rule of gqlparser is either in nameSources or known to quote
// literals. If the test fails after an upgrade of gqlparser, read the messages of the new rule: add
// the rule to nameSources if they quote only names, and otherwise to literalRules.
func TestNameSources(t *testing.T) {
	literalRules := []string{"OverlappingFieldsCanBeMerged", "ValuesOfCorrectType"}
	defaultRules := rules.NewDefaultRules().GetInner()
	for name := range defaultRules {
		if nameSources[name] == 0 && !slices.Contains(literalRules, name) {
			t.Errorf("rule %s is missing in nameSources and literalRules", name)
		}
	}
	for _, name := range literalRules {
		if nameSources[name] != 0 {
			t.Errorf("nameSources has %s, want it left out: its message quotes literals", name)
		}
		if defaultRules[name] == nil {
			t.Errorf("literalRules has %s, which gqlparser no longer has", name)
		}
	}
	for name := range nameSources {
		if defaultRules[strings.TrimSuffix(name, "WithoutSuggestions")] == nil {
			t.Errorf("nameSources has %s, which gqlparser no longer has", name)
		}
	}
}
