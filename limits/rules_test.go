package limits_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/cloakql/cloakql/limits"
)

func parse(t testing.TB, query string) *ast.QueryDocument {
	t.Helper()
	doc, err := parser.ParseQuery(&ast.Source{Input: query})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return doc
}

// The specification's own examples (October 2021, section 5.3.2), and more, on the schema of
// hostile_test.go.
func TestOverlappingFields(t *testing.T) {
	for _, tt := range []struct{ query, conflict string }{
		{`{ leaf leaf }`, ""},
		{`{ x: leaf x: leaf }`, ""},
		{`{ a { leaf } a { name } }`, ""},
		{`{ f(n: 1) { leaf } f(n: 1) { name } }`, ""},
		{`query($v: Int) { f(n: $v) { leaf } f(n: $v) { name } }`, ""},
		{`{ f(n: 1, s: "s") { leaf } f(s: "s", n: 1) { leaf } }`, ""},
		{`{ f(x: {n: 1, e: ONE}) { leaf } f(x: {e: ONE, n: 1}) { leaf } }`, ""},
		{`{ f(s: "s") { leaf } f(s: "s") { leaf } }`, ""},
		{`{ x: leaf x: name }`, `"leaf" and "name" are different fields`},
		{`{ leaf leaf: name }`, `"leaf" and "name" are different fields`},
		{`{ f(n: 1) { leaf } f(n: 2) { leaf } }`, "they have differing arguments"},
		{`{ f(n: 1) { leaf } f { leaf } }`, "they have differing arguments"},
		{`{ f { leaf } f(n: 1) { leaf } }`, "they have differing arguments"},
		{`{ f(n: 1) { leaf } f(s: "1") { leaf } }`, "they have differing arguments"},
		{`{ f(s: "1") { leaf } f(n: 1) { leaf } }`, "they have differing arguments"},
		{`query($v: Int) { f(n: $v) { leaf } f(n: 1) { leaf } }`, "they have differing arguments"},
		{`{ f(l: [1]) { leaf } f(l: [2]) { leaf } }`, "they have differing arguments"}, // gqlparser sees no difference
		{`{ f(l: [1]) { leaf } f(l: [1, 1]) { leaf } }`, "they have differing arguments"},
		{`{ f(x: {n: 1}) { leaf } f(x: {n: 2}) { leaf } }`, "they have differing arguments"},
		{`{ f(x: {i: {n: 1}}) { leaf } f(x: {i: {e: ONE}}) { leaf } }`, "they have differing arguments"},
		{`{ a { x: leaf } a { x: name } }`, `"leaf" and "name" are different fields`},
		{`{ a { a { x: leaf } } a { a { x: name } } }`, `"leaf" and "name" are different fields`},
		{`{ a { x: leaf ...F } } fragment F on A { x: name }`, `"leaf" and "name" are different fields`},
		{`{ a { ...F ...G } } fragment F on A { x: leaf } fragment G on A { x: name }`, `"leaf" and "name" are different fields`},
		{`{ a { ... { x: leaf } ... on A { x: name } } }`, `"leaf" and "name" are different fields`},
		{`{ b { a { leaf } } } fragment F on A { x: leaf x: name }`, `"leaf" and "name" are different fields`},
		// Of different object types: the shapes have to be alike, and nothing else.
		{`{ a { ...P } } fragment P on Leaf { ... on A { x: leaf } ... on B { x: leaf } }`, ""},
		{`{ a { ...P } } fragment P on Leaf { ... on A { x: leaf } ... on B { x: name } }`, ""}, // both Int
		{`{ a { ...P } } fragment P on Leaf { ... on A { name } ... on B { name } }`, `they return conflicting types "String" and "Int"`},
		{`{ a { ...P } } fragment P on Leaf { ... on A { x: a { leaf } } ... on B { x: leaf } }`, `they return conflicting types "A" and "Int"`},
		{`{ a { ...P } } fragment P on Leaf { ... on A { x: a { y: leaf } } ... on B { x: b { y: name } } }`, ""},
		{`{ a { ...P } } fragment P on Leaf { ... on A { x: a { y: name } } ... on B { x: b { y: name } } }`, `they return conflicting types "String" and "Int"`},
		{`{ a { ...P } } fragment P on Leaf { x: leaf ... on A { x: name } }`, `"leaf" and "name" are different fields`},
		{`{ a { ...P } } fragment P on Leaf { x: leaf ... on B { x: name } }`, `"leaf" and "name" are different fields`},
		{`{ a { ...P } } fragment P on Leaf { ... on A { x: leaf } ... on B { x: leaf } x: __typename }`, `"leaf" and "__typename" are different fields`},
	} {
		_, conflicts := limits.Overlapping(hostile, parse(t, tt.query))
		if tt.conflict == "" && len(conflicts) > 0 ||
			tt.conflict != "" &&
				(len(conflicts) == 0 || !strings.Contains(conflicts[0].Message, tt.conflict) ||
					len(conflicts[0].Locations) != 1) {
			t.Errorf("%s: %v, want %q", tt.query, conflicts, tt.conflict)
		}
	}
}

// canMerge is FieldsInSetCanMerge, word by word: each pair of fields, each time.
func canMerge(schema *ast.Schema, set ast.SelectionSet) bool {
	fields := collect(set)
	for i, a := range fields {
		for _, b := range fields[i+1:] {
			if a.Alias != b.Alias {
				continue
			}
			if !sameShape(schema, a, b) {
				return false
			}
			if a.ObjectDefinition == b.ObjectDefinition || a.ObjectDefinition.Kind != ast.Object ||
				b.ObjectDefinition.Kind != ast.Object {
				if a.Name != b.Name || !sameArguments(a.Arguments, b.Arguments) ||
					!canMerge(schema, slices.Concat(a.SelectionSet, b.SelectionSet)) {
					return false
				}
			}
		}
	}
	for _, field := range fields { // validation looks at each set
		if !canMerge(schema, field.SelectionSet) {
			return false
		}
	}
	return true
}

func sameShape(schema *ast.Schema, a, b *ast.Field) bool {
	if a.Definition == nil || b.Definition == nil {
		return true
	}
	x, y := a.Definition.Type, b.Definition.Type
	for x.Elem != nil || y.Elem != nil {
		if x.NonNull != y.NonNull || x.Elem == nil || y.Elem == nil {
			return false
		}
		x, y = x.Elem, y.Elem
	}
	s, t := schema.Types[x.NamedType], schema.Types[y.NamedType]
	if x.NonNull != y.NonNull || (s.IsLeafType() || t.IsLeafType()) && s != t {
		return false
	}
	merged := collect(slices.Concat(a.SelectionSet, b.SelectionSet))
	for i, a := range merged {
		for _, b := range merged[i+1:] {
			if a.Alias == b.Alias && !sameShape(schema, a, b) {
				return false
			}
		}
	}
	return true
}

func collect(set ast.SelectionSet) (fields []*ast.Field) {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			if s.ObjectDefinition != nil && !slices.Contains(fields, s) {
				fields = append(fields, s)
			}
		case *ast.InlineFragment:
			fields = append(fields, collect(s.SelectionSet)...)
		case *ast.FragmentSpread:
			if s.Definition != nil {
				for _, field := range collect(s.Definition.SelectionSet) {
					if !slices.Contains(fields, field) {
						fields = append(fields, field)
					}
				}
			}
		}
	}
	return fields
}

func sameArguments(a, b ast.ArgumentList) bool {
	if len(a) != len(b) {
		return false
	}
	for _, argument := range a {
		other := b.ForName(argument.Name)
		if other == nil || other.Value.String() != argument.Value.String() {
			return false
		}
	}
	return true
}

// In groups or pair by pair, the verdict is the same.
func TestOverlappingFieldsLikeTheSpecification(t *testing.T) {
	r := merging{rand.New(rand.NewPCG(3, 4))}
	verdicts := map[bool]int{}
	for range 5_000 {
		query := r.document()
		doc := parse(t, query)
		steps, conflicts := limits.Overlapping(hostile, doc)
		want := true
		for _, operation := range doc.Operations {
			want = want && canMerge(hostile, operation.SelectionSet)
		}
		for _, fragment := range doc.Fragments {
			want = want && canMerge(hostile, fragment.SelectionSet)
		}
		if got := len(conflicts) == 0; got != want || steps > limits.MaxSteps {
			t.Fatalf("%s\ncan be merged: %t, want %t; %v, %d steps", query, got, want, conflicts,
				steps)
		}
		verdicts[want]++
		if len(query) > 150 {
			continue // of some of these, gqlparser's rule makes minutes
		}
		theirs := validator.ValidateWithRules(hostile, parse(t, query),
			rules.NewRules(rules.OverlappingFieldsCanBeMergedRule))
		if want && len(theirs) > 0 {
			t.Fatalf("%s: gqlparser finds conflicts: %v", query, theirs)
		}
	}
	if verdicts[true] < 500 || verdicts[false] < 500 {
		t.Errorf("%v of the random documents can be merged; want some of both", verdicts)
	}
}

// merging writes documents of fields that exist, with few names.
type merging struct{ *rand.Rand }

func (r merging) document() string {
	types := []string{"A", "B", "Leaf", "A"}
	query := "{a" + r.set("A", 3, 0) + "}"
	for i, of := range types {
		query += " fragment F" + string(rune('0'+i)) + " on " + of + r.set(of, 2, i+1)
	}
	return query
}

func (r merging) set(of string, depth, from int) string {
	out := "{"
	for range 1 + r.IntN(3) {
		alias := [...]string{"", "", "", "", "x:", "y:", "leaf:"}[r.IntN(7)]
		switch kind := r.IntN(9); {
		case kind < 2 && from < 4:
			out += "...F" + string(rune('0'+from+r.IntN(4-from))) + " "
		case kind < 4 && depth > 0:
			on := [...]string{"A", "B", "Leaf"}[r.IntN(3)]
			out += "... on " + on + r.set(on, depth-1, from)
		case kind < 7 && depth > 0:
			out += alias + "a" + r.set("A", depth-1, from)
		case kind == 7 && of != "Leaf":
			out += alias + "name "
		default:
			out += alias + "leaf "
		}
	}
	return out + "}"
}

// gqlparser's own rule takes seconds for the first of these, and never ends for the others.
func TestOverlappingFieldsEnds(t *testing.T) {
	for name, query := range map[string]string{
		"repeated fields": "{" + strings.Repeat("a{leaf} ", 5_000) + "}",
		"fragments": chained("{a{...F0}}",
			"fragment F%[1]d on A{a{...F%[2]d} a{...F%[2]d}}",
			"fragment F%[1]d on A{leaf}")(4 << 10),
		"interfaces": "{a{...on Leaf" +
			around(40, "{a{...on Leaf{leaf}}...on A{a{leaf}}...on B{a{leaf}}...on Leaf", "{leaf}",
				"}") + "}}",
		"a cycle":           `{ a { ...F } } fragment F on A { a { ...F leaf } a { ...F } }`,
		"a cycle elsewhere": `{ leaf } fragment F on A { a { ...G } } fragment G on A { a { ...F } }`,
	} {
		steps, conflicts := limits.Overlapping(hostile, parse(t, query))
		if steps > limits.MaxSteps+1 {
			t.Errorf("%s: %d steps", name, steps)
		}
		cycle := strings.Contains(name, "cycle")
		if cycle != (len(conflicts) == 1 &&
			strings.HasPrefix(conflicts[0].Message, "The document merges too many fields")) {
			t.Errorf("%s: %v", name, conflicts)
		}
	}
}

// Fields of an interface are compared again in each of its types.
func TestOverlappingFieldsOfManyTypesEnds(t *testing.T) {
	schema := gqlparser.MustLoadSchema(
		&ast.Source{Input: "type Query { n: N } interface N { x: Int }" +
			list(300, " type T# implements N { x: Int }")})
	for n, refused := range map[int]bool{100: false, 300: true} {
		query := "{n{" + list(300, "...on T#{x}") + strings.Repeat("x ", n) + "}}"
		steps, conflicts := limits.Overlapping(schema, parse(t, query))
		if steps > limits.MaxSteps+300 || refused != (len(conflicts) == 1) {
			t.Errorf("%d fields of an interface: %d steps, %v", n, steps, conflicts)
		}
	}
}

func TestValidationEndsAfterSomeErrors(t *testing.T) {
	for _, shape := range shapes {
		query := shape.of(2 << 10)
		doc, err := parser.ParseQuery(&ast.Source{Input: query})
		if found, _ := limits.FoundIn(query, nil); err != nil || found.Cycle {
			continue
		}
		ours := validator.ValidateWithRules(hostile, doc, ruleSet())
		if len(ours) > limits.MaxErrors {
			t.Errorf("%s: %d errors", shape.name, len(ours))
		}
	}
	for _, suggest := range []bool{true, false} { // gqlgen puts two of its rules in by itself
		server := newServer(limits.Limits{}, suggest, func(*ast.QueryDocument) {})
		body := send(server, "{a{"+list(100, "canary# ")+"}}", nil)
		if n := strings.Count(body, `"message":`); n != limits.MaxErrors ||
			strings.Contains(body, "canary5") || !strings.Contains(body, "canary4") {
			t.Errorf("suggestions %t: %d errors in %s", suggest, n, body)
		}
		body = send(server, "{a{a{leef}}}", nil)
		if strings.Count(body, `"message":`) != 1 ||
			strings.Contains(body, "Did you mean") != suggest {
			t.Errorf("suggestions %t: %s", suggest, body)
		}
	}
}

// What comes after the last error that is told isn't looked at, and no fragment is entered.
func TestValidationEndsInTheMiddle(t *testing.T) {
	for errors, entered := range map[int]bool{limits.MaxErrors - 1: true, limits.MaxErrors: false} {
		doc := parse(t, "{"+list(errors, "u# ")+"leaf ...F} fragment F on Query{name}")
		faults := validator.ValidateWithRules(hostile, doc, ruleSet())
		inside := doc.Operations[0].SelectionSet[errors+1].(*ast.FragmentSpread).Definition != nil
		if len(faults) != errors || inside != entered {
			t.Errorf("%d errors, the fragment entered: %t; want %d and %t", len(faults), inside,
				errors, entered)
		}
	}
}

func TestIntrospectionDepthIsThatOfGqlparser(t *testing.T) {
	for _, tt := range []struct {
		query   string
		refused bool
	}{
		{`{ __schema { types { fields { type { fields { name } } } } } }`, false},
		{`{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }`, true},
		{`{ __type(name: "A") { fields { type { interfaces { possibleTypes { name } } } } } }`, true},
		{`{ __type(name: "A") { ...F fields { type { ...F } } } } fragment F on __Type { inputFields { type { name ...G } } } fragment G on __Type { fields { name } }`, true},
		{`{ __type(name: "A") { ...F fields { type { ...F } } } } fragment F on __Type { inputFields { type { name ...G } } } fragment G on __Type { name }`, false},
		{graphiql, false},
	} {
		theirs := validator.ValidateWithRules(hostile, parse(t, tt.query),
			rules.NewRules(rules.MaxIntrospectionDepth))
		ours := (limits.Limits{}).MutateOperationParameters(t.Context(),
			&graphql.RawParams{Query: tt.query})
		if len(theirs) > 0 != tt.refused || (ours != nil) != tt.refused ||
			tt.refused && ours.Extensions["reason"] != "INTROSPECTION" {
			t.Errorf("%s: gqlparser says %v, we say %v; want refused: %t", tt.query, theirs, ours,
				tt.refused)
		}
	}
}

// Each wrong document is refused for what is wrong, with gqlparser's rules and with these.
func TestRulesRefuseWhatTheyRefused(t *testing.T) {
	for _, shape := range shapes {
		query := shape.of(300)
		doc, err := parser.ParseQuery(&ast.Source{Input: query})
		if found, _ := limits.FoundIn(query, nil); err != nil || found.Cycle {
			continue
		}
		known := rules.NewDefaultRules()
		known.RemoveRule(rules.MaxIntrospectionDepth.Name) // which Limits.Introspection is for
		theirs := validator.ValidateWithRules(hostile, doc, known)
		ours := validator.ValidateWithRules(hostile, parse(t, query), ruleSet())
		if len(theirs) == 0 != (len(ours) == 0) {
			t.Errorf("%s: %s\ngqlparser says %v\nwe say %v", shape.name, query, theirs, ours)
		}
	}
}
