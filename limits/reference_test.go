package limits_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/cloakql/cloakql/internal/language"
	"github.com/cloakql/cloakql/limits"
)

// expandedCounts counts a document by walking gqlparser's tree. It walks a fragment again for each
// spread, and returns false if that takes too many steps.
func expandedCounts(doc *ast.QueryDocument,
	rootFieldMax map[string]int) (counts limits.Counts, ok bool) {
	e := expander{doc: doc, rootFieldMax: rootFieldMax, stepsLeft: 100_000,
		counts: limits.Counts{Uses: map[string]int{}, Defaults: map[string]int{}}}
	for _, fragment := range doc.Fragments {
		e.countDirectives(fragment.Directives)
		e.countSelections(fragment.SelectionSet, 0, isIntrospectionType(fragment.TypeCondition), 0,
			nil)
	}
	for _, operation := range doc.Operations {
		e.inOperation, e.rootFields, e.introspectionWeight = true, 0, 0
		e.rootFieldCounts = map[string]int{}
		e.countDirectives(operation.Directives)
		e.countVariables(operation.VariableDefinitions)
		e.countSelections(operation.SelectionSet, 0, false, 0, nil)
		e.inOperation = false
		e.counts.RootFields = max(e.counts.RootFields, e.rootFields)
		e.counts.IntrospectionWeight = max(e.counts.IntrospectionWeight, e.introspectionWeight)
		for name, n := range e.rootFieldCounts {
			if e.counts.RootFieldCounts == nil {
				e.counts.RootFieldCounts = map[string]int{}
			}
			e.counts.RootFieldCounts[name] = max(e.counts.RootFieldCounts[name], n)
		}
	}
	for name := range e.counts.Uses {
		e.counts.Defaults[name] = e.defaultItems[name]
	}
	if e.cycle {
		return limits.Counts{Cycle: true}, e.stepsLeft > 0
	}
	return e.counts, e.stepsLeft > 0
}

// An expander is the state of expandedCounts.
type expander struct {
	doc          *ast.QueryDocument
	rootFieldMax map[string]int
	counts       limits.Counts
	stepsLeft    int
	cycle        bool
	defaultItems map[string]int // by variable

	// inOperation is true in an operation, and false in a fragment that is walked on its own. The
	// fields below are counted for each operation.
	inOperation         bool
	rootFields          int
	introspectionWeight int
	rootFieldCounts     map[string]int
}

// isIntrospectionType reports whether a type belongs to introspection.
func isIntrospectionType(typeName string) bool { return strings.HasPrefix(typeName, "__") }

// countSelections counts a selection set. depth and listDepth are the numbers of enclosing fields
// and of enclosing introspection lists, and path has the names of the enclosing fragments.
func (e *expander) countSelections(set ast.SelectionSet, depth int, inIntrospection bool,
	listDepth int, path []string) {
	for _, selection := range set {
		if e.stepsLeft--; e.stepsLeft < 0 || e.cycle {
			return
		}
		e.counts.Fields++
		switch s := selection.(type) {
		case *ast.Field:
			e.countDirectives(s.Directives)
			e.countArguments(s.Arguments)
			if s.Alias != s.Name {
				e.counts.Aliases++
				if inIntrospection && e.inOperation {
					e.introspectionWeight++
				}
			}
			if depth == 0 && e.inOperation {
				e.rootFields++
				if _, bounded := e.rootFieldMax[s.Name]; bounded {
					e.rootFieldCounts[s.Name]++
				}
			}
			inIntrospection, listDepth := inIntrospection, listDepth
			if !inIntrospection {
				e.counts.Depth = max(e.counts.Depth, depth+1)
			}
			if s.Name == "__schema" || s.Name == "__type" {
				inIntrospection = true
				if e.inOperation {
					e.introspectionWeight += map[string]int{"__schema": 5, "__type": 1}[s.Name]
				}
			}
			if inIntrospection &&
				slices.Contains([]string{"fields", "inputFields", "interfaces", "possibleTypes"},
					s.Name) {
				listDepth++
				e.counts.Introspection = max(e.counts.Introspection, listDepth)
			}
			e.countSelections(s.SelectionSet, depth+1, inIntrospection, listDepth, path)
		case *ast.InlineFragment:
			e.countDirectives(s.Directives)
			e.countSelections(s.SelectionSet, depth, inIntrospection, listDepth, path)
		case *ast.FragmentSpread:
			e.countDirectives(s.Directives)
			fragment := e.doc.Fragments.ForName(s.Name)
			if fragment == nil {
				continue
			}
			if slices.Contains(path, s.Name) {
				e.cycle = true
				return
			}
			e.countDirectives(fragment.Directives)
			e.countSelections(fragment.SelectionSet, depth,
				inIntrospection || isIntrospectionType(fragment.TypeCondition), listDepth,
				append(path[:len(path):len(path)], s.Name))
		}
	}
}

func (e *expander) countVariables(list ast.VariableDefinitionList) {
	for _, definition := range list {
		e.countDirectives(definition.Directives)
		depth := 0
		for t := definition.Type; t.Elem != nil; t = t.Elem {
			depth++
		}
		e.counts.ValueDepth = max(e.counts.ValueDepth, depth)
		if definition.DefaultValue != nil {
			before := e.counts.Values
			e.countValue(definition.DefaultValue, 0)
			if e.defaultItems == nil {
				e.defaultItems = map[string]int{}
			}
			e.defaultItems[definition.Variable] = max(e.defaultItems[definition.Variable],
				e.counts.Values-before-1)
		}
	}
}

func (e *expander) countDirectives(list ast.DirectiveList) {
	e.counts.Directives += len(list)
	for _, directive := range list {
		e.countArguments(directive.Arguments)
	}
}

func (e *expander) countArguments(list ast.ArgumentList) {
	for _, argument := range list {
		e.countValue(argument.Value, 0)
	}
}

func (e *expander) countValue(value *ast.Value, depth int) {
	e.counts.Values++
	e.counts.Bytes += len(value.Raw)
	if value.Kind == ast.Variable && e.inOperation {
		e.counts.Uses[value.Raw]++
	}
	if value.Kind == ast.ListValue || value.Kind == ast.ObjectValue {
		e.counts.ValueDepth = max(e.counts.ValueDepth, depth+1)
	}
	for _, child := range value.Children {
		e.counts.Bytes += len(child.Name)
		e.countValue(child.Value, depth+1)
	}
}

// A documentWriter writes random documents with all kinds of syntax.
type documentWriter struct {
	*rand.Rand
	out      strings.Builder
	constant bool // write no variables in values
}

// choose returns one of the choices.
func (w *documentWriter) choose(choices ...string) string { return choices[w.IntN(len(choices))] }

// document returns a random document. With cycles, fragments may spread each other in a cycle.
func (w *documentWriter) document(cycles bool) string {
	w.out.Reset()
	fragments := w.IntN(4)
	for range 1 + w.IntN(2) {
		w.out.WriteString(w.choose("", "query ", "mutation M", "subscription ", `"about" query Q`,
			`"""about""" query Q`))
		if text := w.out.String(); text != "" && !strings.HasSuffix(text, "}") {
			w.writeVariables()
			w.writeDirectives()
		}
		w.writeSelections(3, 0, fragments)
	}
	for i := range fragments {
		fmt.Fprintf(&w.out, " fragment F%d", i)
		w.out.WriteString(" on " + w.choose("Query", "A", "B", "Leaf", "AB", "__Type"))
		w.writeDirectives()
		firstSpread := i + 1
		if cycles {
			firstSpread = 0
		}
		w.writeSelections(2, firstSpread, fragments)
	}
	return w.out.String()
}

func (w *documentWriter) writeVariables() {
	if w.IntN(3) > 0 {
		return
	}
	w.out.WriteString("(")
	for range 1 + w.IntN(2) {
		w.out.WriteString(w.choose("", `"about"`) + "$" + w.choose("v", "w") + ":" +
			w.choose("Int", "[Int!]!", "[[I]]"))
		if w.IntN(2) == 0 {
			w.out.WriteString("=" + w.choose("1", "[1 [2]]", `{i:{n:"a"}}`, "[]"))
		}
		w.constant = true
		w.writeDirectives()
		w.constant = false
		w.out.WriteString(w.choose(" ", ",", "#c\n"))
	}
	w.out.WriteString(")")
}

func (w *documentWriter) writeDirectives() {
	for w.IntN(6) == 0 {
		w.out.WriteString("@" + w.choose("skip", "include", "on"))
		w.writeArguments()
	}
}

func (w *documentWriter) writeArguments() {
	if w.IntN(3) > 0 {
		return
	}
	w.out.WriteString("(")
	for range 1 + w.IntN(2) {
		w.out.WriteString(w.choose("n", "x", "l", "on") + ":")
		w.writeValue(2)
		w.out.WriteString(" ")
	}
	w.out.WriteString(")")
}

func (w *documentWriter) writeValue(depth int) {
	kind := w.IntN(6)
	switch {
	case depth > 0 && kind == 0:
		w.out.WriteString("[")
		for range w.IntN(3) {
			w.writeValue(depth - 1)
			w.out.WriteString(" ")
		}
		w.out.WriteString("]")
	case depth > 0 && kind == 1:
		w.out.WriteString("{")
		for range w.IntN(3) {
			w.out.WriteString(w.choose("i", "n", "on") + ":")
			w.writeValue(depth - 1)
			w.out.WriteString(" ")
		}
		w.out.WriteString("}")
	case kind == 2 && !w.constant:
		w.out.WriteString("$" + w.choose("v", "w"))
	default:
		w.out.WriteString(w.choose("1", "-1.5e3", `"on"`, `""`, `"a\u0041\""`,
			`"\u{1F511}\uD83D\uDD11"`, `"""block "quoted"`+"\n"+`  two"""`, "true", "null", "ONE",
			"on"))
	}
}

// writeSelections writes a selection set that has at most depth levels below it. It spreads only
// the fragments with numbers from firstSpread to fragments-1.
func (w *documentWriter) writeSelections(depth, firstSpread, fragments int) {
	w.out.WriteString("{")
	for range 1 + w.IntN(4) {
		switch kind := w.IntN(8); {
		case kind == 0 && firstSpread < fragments:
			fmt.Fprintf(&w.out, "...F%d", firstSpread+w.IntN(fragments-firstSpread))
			w.writeDirectives()
		case kind == 1 && depth > 0:
			w.out.WriteString("..." + w.choose("", "on A", "on Leaf", "on B", "on on"))
			w.writeDirectives()
			w.writeSelections(depth-1, firstSpread, fragments)
		default:
			if w.IntN(4) == 0 {
				w.out.WriteString(w.choose("a", "x", "leaf") + ":")
			}
			name := w.choose("a", "b", "leaf", "name", "__schema", "__type", "fields", "login",
				"on", "f")
			w.out.WriteString(name)
			w.writeArguments()
			w.writeDirectives()
			if depth > 0 && !slices.Contains([]string{"leaf", "name"}, name) {
				w.writeSelections(depth-1, firstSpread, fragments)
			}
		}
		w.out.WriteString(w.choose(" ", "\n", ",", " #c\n"))
	}
	w.out.WriteString("}")
}

// checkCounts compares the counts of a document with the result of expandedCounts, unless the
// document has a syntax error. It also checks that gqlparser parses the rewritten document.
func checkCounts(t *testing.T, query string) {
	t.Helper()
	rootFieldMax := map[string]int{"login": 1, "leaf": 1}
	got, ok := limits.Measure(query, rootFieldMax)
	if !ok {
		return
	}
	doc, err := parser.ParseQuery(&ast.Source{Input: language.Rewrite(query)})
	if err != nil {
		t.Fatalf("gqlparser refuses %q, the rewritten form of %q: %v", language.Rewrite(query),
			query, err)
	}
	want, ok := expandedCounts(doc, rootFieldMax)
	if !ok {
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\n got %+v\nwant %+v", query, got, want)
	}
}

// TestExpandedCounts compares the counts of random and hostile documents with the results of
// expandedCounts, a simpler algorithm.
func TestExpandedCounts(t *testing.T) {
	w := documentWriter{Rand: rand.New(rand.NewPCG(1, 2))}
	cycles := 0
	for i := range 5_000 {
		query := w.document(i%10 == 0)
		counts, ok := limits.Measure(query, nil)
		if !ok {
			t.Fatalf("Measure(%s) = _, false, want true", query)
		}
		if counts.Cycle {
			cycles++
		}
		if checkCounts(t, query); t.Failed() {
			return
		}
	}
	if cycles < 25 {
		t.Errorf("%d of the random documents have cycles, want at least 25", cycles)
	}
	for _, shape := range shapes {
		checkCounts(t, shape.query(512))
	}
	checkCounts(t, graphiql)
}
