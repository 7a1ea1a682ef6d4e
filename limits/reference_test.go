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

// expand counts a document in the simple way: it walks gqlparser's tree, and each fragment again
// for each spread. It returns false if that takes too many steps.
func expand(doc *ast.QueryDocument, rootFieldMax map[string]int) (found limits.Counts, ok bool) {
	e := expander{doc: doc, rootFieldMax: rootFieldMax, steps: 100_000,
		found: limits.Counts{Uses: map[string]int{}, Defaults: map[string]int{}}}
	for _, fragment := range doc.Fragments {
		e.directives(fragment.Directives)
		e.set(fragment.SelectionSet, 0, introspective(fragment.TypeCondition), 0, nil)
	}
	for _, operation := range doc.Operations {
		e.inOperation, e.rootFields, e.introspectionRoots = true, 0, 0
		e.rootFieldCounts = map[string]int{}
		e.directives(operation.Directives)
		e.variables(operation.VariableDefinitions)
		e.set(operation.SelectionSet, 0, false, 0, nil)
		e.inOperation = false
		e.found.RootFields = max(e.found.RootFields, e.rootFields)
		e.found.IntrospectionRoots = max(e.found.IntrospectionRoots, e.introspectionRoots)
		for name, n := range e.rootFieldCounts {
			if e.found.RootFieldCounts == nil {
				e.found.RootFieldCounts = map[string]int{}
			}
			e.found.RootFieldCounts[name] = max(e.found.RootFieldCounts[name], n)
		}
	}
	for name := range e.found.Uses {
		e.found.Defaults[name] = e.items[name]
	}
	if e.cycle {
		return limits.Counts{Cycle: true}, e.steps > 0
	}
	return e.found, e.steps > 0
}

// An expander is the state of expand.
type expander struct {
	doc          *ast.QueryDocument
	rootFieldMax map[string]int
	found        limits.Counts
	steps        int // left
	cycle        bool
	items        map[string]int // in the defaults of variables

	inOperation        bool // the following are counted for each operation
	rootFields         int
	introspectionRoots int
	rootFieldCounts    map[string]int
}

// introspective reports whether a type belongs to introspection.
func introspective(typeName string) bool { return strings.HasPrefix(typeName, "__") }

// set counts a selection set at a depth. inside is whether it is in introspection, lists is the
// number of introspection lists around it, and path has the fragments around it.
func (e *expander) set(set ast.SelectionSet, depth int, inside bool, lists int, path []string) {
	for _, selection := range set {
		if e.steps--; e.steps < 0 || e.cycle {
			return
		}
		e.found.Fields++
		switch s := selection.(type) {
		case *ast.Field:
			e.directives(s.Directives)
			e.arguments(s.Arguments)
			if s.Alias != s.Name {
				e.found.Aliases++
				if inside && e.inOperation {
					e.introspectionRoots++
				}
			}
			if depth == 0 && e.inOperation {
				e.rootFields++
				if _, bounded := e.rootFieldMax[s.Name]; bounded {
					e.rootFieldCounts[s.Name]++
				}
			}
			inside, lists := inside, lists
			if !inside {
				e.found.Depth = max(e.found.Depth, depth+1)
			}
			if s.Name == "__schema" || s.Name == "__type" {
				inside = true
				if e.inOperation {
					e.introspectionRoots += map[string]int{"__schema": 5, "__type": 1}[s.Name]
				}
			}
			if inside &&
				slices.Contains([]string{"fields", "inputFields", "interfaces", "possibleTypes"},
					s.Name) {
				lists++
				e.found.Introspection = max(e.found.Introspection, lists)
			}
			e.set(s.SelectionSet, depth+1, inside, lists, path)
		case *ast.InlineFragment:
			e.directives(s.Directives)
			e.set(s.SelectionSet, depth, inside, lists, path)
		case *ast.FragmentSpread:
			e.directives(s.Directives)
			fragment := e.doc.Fragments.ForName(s.Name)
			if fragment == nil {
				continue
			}
			if slices.Contains(path, s.Name) {
				e.cycle = true
				return
			}
			e.directives(fragment.Directives)
			e.set(fragment.SelectionSet, depth, inside || introspective(fragment.TypeCondition),
				lists, append(path[:len(path):len(path)], s.Name))
		}
	}
}

func (e *expander) variables(list ast.VariableDefinitionList) {
	for _, definition := range list {
		e.directives(definition.Directives)
		depth := 0
		for t := definition.Type; t.Elem != nil; t = t.Elem {
			depth++
		}
		e.found.ValueDepth = max(e.found.ValueDepth, depth)
		if definition.DefaultValue != nil {
			before := e.found.Values
			e.value(definition.DefaultValue, 0)
			if e.items == nil {
				e.items = map[string]int{}
			}
			e.items[definition.Variable] = max(e.items[definition.Variable],
				e.found.Values-before-1)
		}
	}
}

func (e *expander) directives(list ast.DirectiveList) {
	e.found.Directives += len(list)
	for _, directive := range list {
		e.arguments(directive.Arguments)
	}
}

func (e *expander) arguments(list ast.ArgumentList) {
	for _, argument := range list {
		e.value(argument.Value, 0)
	}
}

func (e *expander) value(value *ast.Value, depth int) {
	e.found.Values++
	e.found.Bytes += len(value.Raw)
	if value.Kind == ast.Variable && e.inOperation {
		e.found.Uses[value.Raw]++
	}
	if value.Kind == ast.ListValue || value.Kind == ast.ObjectValue {
		e.found.ValueDepth = max(e.found.ValueDepth, depth+1)
	}
	for _, child := range value.Children {
		e.found.Bytes += len(child.Name)
		e.value(child.Value, depth+1)
	}
}

// random writes random documents with all kinds of syntax.
type random struct {
	*rand.Rand
	out      strings.Builder
	constant bool // values have no variables
}

// one returns one of the choices.
func (r *random) one(choices ...string) string { return choices[r.IntN(len(choices))] }

// document returns a document, which may have cycles of fragments.
func (r *random) document(cycles bool) string {
	r.out.Reset()
	fragments := r.IntN(4)
	for range 1 + r.IntN(2) {
		r.out.WriteString(r.one("", "query ", "mutation M", "subscription ", `"about" query Q`,
			`"""about""" query Q`))
		if text := r.out.String(); text != "" && !strings.HasSuffix(text, "}") {
			r.variables()
			r.directives()
		}
		r.set(3, 0, fragments)
	}
	for i := range fragments {
		fmt.Fprintf(&r.out, " fragment F%d", i)
		r.out.WriteString(" on " + r.one("Query", "A", "B", "Leaf", "AB", "__Type"))
		r.directives()
		from := i + 1
		if cycles {
			from = 0
		}
		r.set(2, from, fragments)
	}
	return r.out.String()
}

func (r *random) variables() {
	if r.IntN(3) > 0 {
		return
	}
	r.out.WriteString("(")
	for range 1 + r.IntN(2) {
		r.out.WriteString(r.one("", `"about"`) + "$" + r.one("v", "w") + ":" +
			r.one("Int", "[Int!]!", "[[I]]"))
		if r.IntN(2) == 0 {
			r.out.WriteString("=" + r.one("1", "[1 [2]]", `{i:{n:"a"}}`, "[]"))
		}
		r.constant = true
		r.directives()
		r.constant = false
		r.out.WriteString(r.one(" ", ",", "#c\n"))
	}
	r.out.WriteString(")")
}

func (r *random) directives() {
	for r.IntN(6) == 0 {
		r.out.WriteString("@" + r.one("skip", "include", "on"))
		r.arguments()
	}
}

func (r *random) arguments() {
	if r.IntN(3) > 0 {
		return
	}
	r.out.WriteString("(")
	for range 1 + r.IntN(2) {
		r.out.WriteString(r.one("n", "x", "l", "on") + ":")
		r.value(2)
		r.out.WriteString(" ")
	}
	r.out.WriteString(")")
}

func (r *random) value(depth int) {
	kind := r.IntN(6)
	switch {
	case depth > 0 && kind == 0:
		r.out.WriteString("[")
		for range r.IntN(3) {
			r.value(depth - 1)
			r.out.WriteString(" ")
		}
		r.out.WriteString("]")
	case depth > 0 && kind == 1:
		r.out.WriteString("{")
		for range r.IntN(3) {
			r.out.WriteString(r.one("i", "n", "on") + ":")
			r.value(depth - 1)
			r.out.WriteString(" ")
		}
		r.out.WriteString("}")
	case kind == 2 && !r.constant:
		r.out.WriteString("$" + r.one("v", "w"))
	default:
		r.out.WriteString(r.one("1", "-1.5e3", `"on"`, `""`, `"a\u0041\""`,
			`"\u{1F511}\uD83D\uDD11"`, `"""block "quoted"`+"\n"+`  two"""`, "true", "null", "ONE",
			"on"))
	}
}

func (r *random) set(depth, from, fragments int) {
	r.out.WriteString("{")
	for range 1 + r.IntN(4) {
		switch kind := r.IntN(8); {
		case kind == 0 && from < fragments:
			fmt.Fprintf(&r.out, "...F%d", from+r.IntN(fragments-from))
			r.directives()
		case kind == 1 && depth > 0:
			r.out.WriteString("..." + r.one("", "on A", "on Leaf", "on B", "on on"))
			r.directives()
			r.set(depth-1, from, fragments)
		default:
			if r.IntN(4) == 0 {
				r.out.WriteString(r.one("a", "x", "leaf") + ":")
			}
			name := r.one("a", "b", "leaf", "name", "__schema", "__type", "fields", "login", "on",
				"f")
			r.out.WriteString(name)
			r.arguments()
			r.directives()
			if depth > 0 && !slices.Contains([]string{"leaf", "name"}, name) {
				r.set(depth-1, from, fragments)
			}
		}
		r.out.WriteString(r.one(" ", "\n", ",", " #c\n"))
	}
	r.out.WriteString("}")
}

// checkCounts compares the counts of a document with those of expand. A document that package
// limits accepts must also be accepted by gqlparser, once it is rewritten.
func checkCounts(t *testing.T, query string) {
	t.Helper()
	rootFieldMax := map[string]int{"login": 1, "leaf": 1}
	got, ok := limits.Measure(query, rootFieldMax)
	if !ok {
		return
	}
	doc, err := parser.ParseQuery(&ast.Source{Input: language.Rewrite(query)})
	if err != nil {
		t.Fatalf("gqlparser refuses %q, which was %q: %v", language.Rewrite(query), query, err)
	}
	want, ok := expand(doc, rootFieldMax)
	if !ok {
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\n got %+v\nwant %+v", query, got, want)
	}
}

// TestExpandedCounts compares the counts of random and hostile documents with those of expand.
func TestExpandedCounts(t *testing.T) {
	r := random{Rand: rand.New(rand.NewPCG(1, 2))}
	cycles := 0
	for i := range 5_000 {
		query := r.document(i%10 == 0)
		found, ok := limits.Measure(query, nil)
		if !ok {
			t.Fatalf("Measure(%s) = _, false", query)
		}
		if found.Cycle {
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
		checkCounts(t, shape.document(512))
	}
	checkCounts(t, graphiql)
}
