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

// TestOverlappingFields checks examples from the specification (October 2021, section 5.3.2),
// adapted to testSchema.
func TestOverlappingFields(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
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
		// gqlparser overlooks differences between lists and between objects in arguments.
		{`{ f(l: [1]) { leaf } f(l: [2]) { leaf } }`, "they have differing arguments"},
		{`{ f(l: [1]) { leaf } f(l: [1, 1]) { leaf } }`, "they have differing arguments"},
		{`{ f(x: {n: 1}) { leaf } f(x: {n: 2}) { leaf } }`, "they have differing arguments"},
		{`{ f(x: {i: {n: 1}}) { leaf } f(x: {i: {e: ONE}}) { leaf } }`,
			"they have differing arguments"},
		{`{ a { x: leaf } a { x: name } }`, `"leaf" and "name" are different fields`},
		{`{ a { a { x: leaf } } a { a { x: name } } }`, `"leaf" and "name" are different fields`},
		{`{ a { x: leaf ...F } } fragment F on A { x: name }`,
			`"leaf" and "name" are different fields`},
		{`{ a { ...F ...G } } fragment F on A { x: leaf } fragment G on A { x: name }`,
			`"leaf" and "name" are different fields`},
		{`{ a { ... { x: leaf } ... on A { x: name } } }`,
			`"leaf" and "name" are different fields`},
		{`{ b { a { leaf } } } fragment F on A { x: leaf x: name }`,
			`"leaf" and "name" are different fields`},
		// Fields of different object types need only have the same shape.
		{`{ a { ...P } } fragment P on Leaf { ... on A { x: leaf } ... on B { x: leaf } }`, ""},
		{`{ a { ...P } } fragment P on Leaf { ... on A { x: leaf } ... on B { x: name } }`, ""}, // both Int
		{`{ a { ...P } } fragment P on Leaf { ... on A { name } ... on B { name } }`,
			`they return conflicting types "String" and "Int"`},
		{`{ a { ...P } } fragment P on Leaf { ... on A { x: a { leaf } } ... on B { x: leaf } }`,
			`they return conflicting types "A" and "Int"`},
		{`{ a { ...P } } fragment P on Leaf { ... on A { x: a { y: leaf } } ... on B { x: b { y: ` +
			`name } } }`, ""},
		{`{ a { ...P } } fragment P on Leaf { ... on A { x: a { y: name } } ... on B { x: b { y: ` +
			`name } } }`, `they return conflicting types "String" and "Int"`},
		{`{ a { ...P } } fragment P on Leaf { x: leaf ... on A { x: name } }`,
			`"leaf" and "name" are different fields`},
		{`{ a { ...P } } fragment P on Leaf { x: leaf ... on B { x: name } }`,
			`"leaf" and "name" are different fields`},
		{`{ a { ...P } } fragment P on Leaf { ... on A { x: leaf } ... on B { x: leaf } x: ` +
			`__typename }`, `"leaf" and "__typename" are different fields`},
	} {
		_, conflicts := limits.CheckOverlap(testSchema, parse(t, tt.query))
		if tt.want == "" && len(conflicts) > 0 ||
			tt.want != "" &&
				(len(conflicts) == 0 || !strings.Contains(conflicts[0].Message, tt.want) ||
					len(conflicts[0].Locations) != 1) {
			t.Errorf("%s: conflicts %v, want %q", tt.query, conflicts, tt.want)
		}
	}
}

// canMerge reports whether the fields of a selection set can be merged. It is the specification's
// FieldsInSetCanMerge, which compares each pair of fields.
func canMerge(schema *ast.Schema, set ast.SelectionSet) bool {
	fields := collectFields(set)
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
	for _, field := range fields { // validation checks each selection set
		if !canMerge(schema, field.SelectionSet) {
			return false
		}
	}
	return true
}

// sameShape reports whether two fields have the same shape. It is the specification's
// SameResponseShape.
func sameShape(schema *ast.Schema, a, b *ast.Field) bool {
	if a.Definition == nil || b.Definition == nil {
		return true
	}
	aType, bType := a.Definition.Type, b.Definition.Type
	for aType.Elem != nil || bType.Elem != nil {
		if aType.NonNull != bType.NonNull || aType.Elem == nil || bType.Elem == nil {
			return false
		}
		aType, bType = aType.Elem, bType.Elem
	}
	aDef, bDef := schema.Types[aType.NamedType], schema.Types[bType.NamedType]
	if aType.NonNull != bType.NonNull ||
		(aDef.IsLeafType() || bDef.IsLeafType()) && aDef != bDef {
		return false
	}
	mergedFields := collectFields(slices.Concat(a.SelectionSet, b.SelectionSet))
	for i, a := range mergedFields {
		for _, b := range mergedFields[i+1:] {
			if a.Alias == b.Alias && !sameShape(schema, a, b) {
				return false
			}
		}
	}
	return true
}

// collectFields returns the fields of a selection set, including those in fragments, without
// duplicates.
func collectFields(set ast.SelectionSet) (fields []*ast.Field) {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			if s.ObjectDefinition != nil && !slices.Contains(fields, s) {
				fields = append(fields, s)
			}
		case *ast.InlineFragment:
			fields = append(fields, collectFields(s.SelectionSet)...)
		case *ast.FragmentSpread:
			if s.Definition != nil {
				for _, field := range collectFields(s.Definition.SelectionSet) {
					if !slices.Contains(fields, field) {
						fields = append(fields, field)
					}
				}
			}
		}
	}
	return fields
}

// sameArguments reports whether two lists have the same arguments in any order.
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

// TestOverlappingFields_specification checks with random documents that comparing fields in groups
// has the same result as the specification's comparison in pairs.
func TestOverlappingFields_specification(t *testing.T) {
	w := overlapWriter{rand.New(rand.NewPCG(3, 4))}
	documentCounts := map[bool]int{} // by whether their fields can be merged
	for range 5_000 {
		query := w.document()
		doc := parse(t, query)
		steps, conflicts := limits.CheckOverlap(testSchema, doc)
		want := true
		for _, operation := range doc.Operations {
			want = want && canMerge(testSchema, operation.SelectionSet)
		}
		for _, fragment := range doc.Fragments {
			want = want && canMerge(testSchema, fragment.SelectionSet)
		}
		if got := len(conflicts) == 0; got != want || steps > limits.MaxOverlapSteps {
			t.Fatalf("%s: can be merged: %t, want %t; conflicts %v, %d steps", query, got, want,
				conflicts, steps)
		}
		documentCounts[want]++
		if len(query) > 150 {
			continue // gqlparser's rule would take minutes for some documents
		}
		errs := validator.ValidateWithRules(testSchema, parse(t, query),
			rules.NewRules(rules.OverlappingFieldsCanBeMergedRule))
		if want && len(errs) > 0 {
			t.Fatalf("%s: gqlparser finds conflicts %v, want none", query, errs)
		}
	}
	if documentCounts[true] < 500 || documentCounts[false] < 500 {
		t.Errorf("%d random documents can be merged and %d can't, want at least 500 of each",
			documentCounts[true], documentCounts[false])
	}
}

// An overlapWriter writes random documents with few names, so that many fields overlap.
type overlapWriter struct{ *rand.Rand }

// document returns a random document.
func (w overlapWriter) document() string {
	types := []string{"A", "B", "Leaf", "A"}
	query := "{a" + w.selectionSet("A", 3, 0) + "}"
	for i, name := range types {
		query += " fragment F" + string(rune('0'+i)) + " on " + name + w.selectionSet(name, 2, i+1)
	}
	return query
}

// selectionSet returns a random selection set for a type, with at most depth levels below it. It
// spreads only the fragments with numbers from firstSpread to 3.
func (w overlapWriter) selectionSet(typeName string, depth, firstSpread int) string {
	out := "{"
	for range 1 + w.IntN(3) {
		alias := [...]string{"", "", "", "", "x:", "y:", "leaf:"}[w.IntN(7)]
		switch kind := w.IntN(9); {
		case kind < 2 && firstSpread < 4:
			out += "...F" + string(rune('0'+firstSpread+w.IntN(4-firstSpread))) + " "
		case kind < 4 && depth > 0:
			condition := [...]string{"A", "B", "Leaf"}[w.IntN(3)]
			out += "... on " + condition + w.selectionSet(condition, depth-1, firstSpread)
		case kind < 7 && depth > 0:
			out += alias + "a" + w.selectionSet("A", depth-1, firstSpread)
		case kind == 7 && typeName != "Leaf":
			out += alias + "name "
		default:
			out += alias + "leaf "
		}
	}
	return out + "}"
}

// TestOverlappingFields_maxSteps checks that the number of steps is bounded. gqlparser's own rule
// takes seconds for "repeated fields", and doesn't finish for the other documents.
func TestOverlappingFields_maxSteps(t *testing.T) {
	for name, query := range map[string]string{
		"repeated fields": "{" + strings.Repeat("a{leaf} ", 5_000) + "}",
		"fragments": chain("{a{...F0}}",
			"fragment F%[1]d on A{a{...F%[2]d} a{...F%[2]d}}",
			"fragment F%[1]d on A{leaf}")(4 << 10),
		"interfaces": "{a{...on Leaf" +
			enclose(40, "{a{...on Leaf{leaf}}...on A{a{leaf}}...on B{a{leaf}}...on Leaf", "{leaf}",
				"}") + "}}",
		"a cycle": `{ a { ...F } } fragment F on A { a { ...F leaf } a { ` +
			`...F } }`,
		"a cycle in unused fragments": `{ leaf } fragment F on A { a { ...G } } fragment G on A ` +
			`{ a { ...F } }`,
	} {
		steps, conflicts := limits.CheckOverlap(testSchema, parse(t, query))
		if steps > limits.MaxOverlapSteps+1 {
			t.Errorf("%s: %d steps, want at most %d", name, steps, limits.MaxOverlapSteps+1)
		}
		cycle := strings.Contains(name, "cycle")
		if cycle != (len(conflicts) == 1 &&
			strings.HasPrefix(conflicts[0].Message, "The document merges too many fields")) {
			t.Errorf("%s: conflicts %v, want the error about too many fields: %t", name, conflicts,
				cycle)
		}
	}
}

// TestOverlappingFields_manyTypes checks that the number of steps is bounded if the fields of an
// interface are compared again for each object type.
func TestOverlappingFields_manyTypes(t *testing.T) {
	schema := gqlparser.MustLoadSchema(
		&ast.Source{Input: "type Query { n: N } interface N { x: Int }" +
			repeat(300, " type T# implements N { x: Int }")})
	for n, rejected := range map[int]bool{100: false, 300: true} {
		query := "{n{" + repeat(300, "...on T#{x}") + strings.Repeat("x ", n) + "}}"
		steps, conflicts := limits.CheckOverlap(schema, parse(t, query))
		if steps > limits.MaxOverlapSteps+300 || rejected != (len(conflicts) == 1) {
			t.Errorf("%d fields of an interface: %d steps, conflicts %v; want an error: %t", n,
				steps, conflicts, rejected)
		}
	}
}

// TestRules_maxErrors checks that validation reports at most MaxErrors errors, with and without
// suggestions.
func TestRules_maxErrors(t *testing.T) {
	for _, shape := range shapes {
		query := shape.query(2 << 10)
		doc, err := parser.ParseQuery(&ast.Source{Input: query})
		if counts, _ := limits.Measure(query, nil); err != nil || counts.Cycle {
			continue
		}
		errs := validator.ValidateWithRules(testSchema, doc, rulesWithoutSuggestions())
		if len(errs) > limits.MaxErrors {
			t.Errorf("%s: %d errors, want at most %d", shape.name, len(errs), limits.MaxErrors)
		}
	}
	for _, suggest := range []bool{true, false} { // decides which variant of a rule gqlgen keeps
		server := newServer(limits.Limits{}, suggest, func(*ast.QueryDocument) {})
		body := send(server, "{a{"+repeat(100, "canary# ")+"}}", nil)
		if n := strings.Count(body, `"message":`); n != limits.MaxErrors ||
			strings.Contains(body, "canary5") || !strings.Contains(body, "canary4") {
			t.Errorf("suggestions %t: %d errors in %s, want the first %d", suggest, n, body,
				limits.MaxErrors)
		}
		body = send(server, "{a{a{leef}}}", nil)
		if strings.Count(body, `"message":`) != 1 ||
			strings.Contains(body, "Did you mean") != suggest {
			t.Errorf("suggestions %t: response %s, want one error with a suggestion: %[1]t",
				suggest, body)
		}
	}
}

// TestRules_stopAtErrors checks that after MaxErrors errors, validation ignores the rest of the
// document and visits no fragment.
func TestRules_stopAtErrors(t *testing.T) {
	for n, visited := range map[int]bool{limits.MaxErrors - 1: true, limits.MaxErrors: false} {
		doc := parse(t, "{"+repeat(n, "u# ")+"leaf ...F} fragment F on Query{name}")
		errs := validator.ValidateWithRules(testSchema, doc, rulesWithoutSuggestions())
		got := doc.Operations[0].SelectionSet[n+1].(*ast.FragmentSpread).Definition != nil
		if len(errs) != n || got != visited {
			t.Errorf("%d errors, fragment visited: %t; want %d, %t", len(errs), got, n, visited)
		}
	}
}

// TestIntrospection_likeGqlparser checks that Limits.IntrospectionDepth allows the same nesting as
// gqlparser's rule MaxIntrospectionDepth.
func TestIntrospection_likeGqlparser(t *testing.T) {
	for _, tt := range []struct {
		query    string
		rejected bool
	}{
		{`{ __schema { types { fields { type { fields { name } } } } } }`, false},
		{`{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }`,
			true},
		{`{ __type(name: "A") { fields { type { interfaces { possibleTypes { name } } } } } }`,
			true},
		{`{ __type(name: "A") { ...F fields { type { ...F } } } } fragment F on __Type { ` +
			`inputFields { type { name ...G } } } fragment G on __Type { fields { name } }`, true},
		{`{ __type(name: "A") { ...F fields { type { ...F } } } } fragment F on __Type { ` +
			`inputFields { type { name ...G } } } fragment G on __Type { name }`, false},
		{introspectionQuery, false},
	} {
		errs := validator.ValidateWithRules(testSchema, parse(t, tt.query),
			rules.NewRules(rules.MaxIntrospectionDepth))
		err := (limits.Limits{}).MutateOperationParameters(t.Context(),
			&graphql.RawParams{Query: tt.query})
		if len(errs) > 0 != tt.rejected || (err != nil) != tt.rejected ||
			tt.rejected && err.Extensions["reason"] != "INTROSPECTION" {
			t.Errorf("%s: gqlparser's errors %v, our error %v; want errors: %t", tt.query, errs,
				err, tt.rejected)
		}
	}
}

// TestRules_likeGqlparser checks that this package's rules reject the same documents as
// gqlparser's.
func TestRules_likeGqlparser(t *testing.T) {
	for _, shape := range shapes {
		query := shape.query(300)
		doc, err := parser.ParseQuery(&ast.Source{Input: query})
		if counts, _ := limits.Measure(query, nil); err != nil || counts.Cycle {
			continue
		}
		gqlparserRules := rules.NewDefaultRules()
		// Limits.IntrospectionDepth replaces this rule.
		gqlparserRules.RemoveRule(rules.MaxIntrospectionDepth.Name)
		wantErrs := validator.ValidateWithRules(testSchema, doc, gqlparserRules)
		errs := validator.ValidateWithRules(testSchema, parse(t, query), rulesWithoutSuggestions())
		if len(errs) == 0 != (len(wantErrs) == 0) {
			t.Errorf("%s: %s: errors %v, gqlparser's are %v; want both or none", shape.name, query,
				errs, wantErrs)
		}
	}
}
