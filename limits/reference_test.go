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

// expand counts a document the simple way: out of gqlparser's tree, walking a fragment anew for
// each spread. It gives up on what is too large for that.
func expand(doc *ast.QueryDocument, most map[string]int) (found limits.Found, ok bool) {
	e := expander{doc: doc, most: most, steps: 100_000,
		found: limits.Found{Uses: map[string]int{}, Defaults: map[string]int{}}}
	for _, fragment := range doc.Fragments {
		e.directives(fragment.Directives)
		e.set(fragment.SelectionSet, 0, introspective(fragment.TypeCondition), 0, nil)
	}
	for _, operation := range doc.Operations {
		e.counting, e.roots, e.asked, e.named = true, 0, 0, map[string]int{}
		e.directives(operation.Directives)
		e.variables(operation.VariableDefinitions)
		e.set(operation.SelectionSet, 0, false, 0, nil)
		e.counting = false
		e.found.Roots = max(e.found.Roots, e.roots)
		e.found.Asked = max(e.found.Asked, e.asked)
		for name, n := range e.named {
			if e.found.Named == nil {
				e.found.Named = map[string]int{}
			}
			e.found.Named[name] = max(e.found.Named[name], n)
		}
	}
	for name := range e.found.Uses {
		e.found.Defaults[name] = e.items[name]
	}
	if e.cycle {
		return limits.Found{Cycle: true}, e.steps > 0
	}
	return e.found, e.steps > 0
}

type expander struct {
	doc      *ast.QueryDocument
	most     map[string]int
	found    limits.Found
	counting bool // an operation
	roots    int
	asked    int
	named    map[string]int
	items    map[string]int
	steps    int
	cycle    bool
}

// introspective reports whether a fragment is inside of the introspection wherever it stands.
func introspective(typeName string) bool { return strings.HasPrefix(typeName, "__") }

// set counts what is at a depth, and inside of the introspection below so many of its lists.
func (e *expander) set(set ast.SelectionSet, depth int, inside bool, lists int, around []string) {
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
				if inside && e.counting {
					e.asked++
				}
			}
			if depth == 0 && e.counting {
				e.roots++
				if _, bounded := e.most[s.Name]; bounded {
					e.named[s.Name]++
				}
			}
			in, below := inside, lists
			if !inside {
				e.found.Depth = max(e.found.Depth, depth+1)
			}
			if s.Name == "__schema" || s.Name == "__type" {
				in = true
				if e.counting {
					e.asked += map[string]int{"__schema": 5, "__type": 1}[s.Name]
				}
			}
			if in &&
				slices.Contains([]string{"fields", "inputFields", "interfaces", "possibleTypes"},
					s.Name) {
				below++
				e.found.Introspection = max(e.found.Introspection, below)
			}
			e.set(s.SelectionSet, depth+1, in, below, around)
		case *ast.InlineFragment:
			e.directives(s.Directives)
			e.set(s.SelectionSet, depth, inside, lists, around)
		case *ast.FragmentSpread:
			e.directives(s.Directives)
			fragment := e.doc.Fragments.ForName(s.Name)
			if fragment == nil {
				continue
			}
			if slices.Contains(around, s.Name) {
				e.cycle = true
				return
			}
			e.directives(fragment.Directives)
			e.set(fragment.SelectionSet, depth, inside || introspective(fragment.TypeCondition),
				lists, append(around[:len(around):len(around)], s.Name))
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
	if value.Kind == ast.Variable && e.counting {
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

// random writes documents that have a bit of everything.
type random struct {
	*rand.Rand
	out      strings.Builder
	constant bool // no variables
}

func (r *random) one(choices ...string) string { return choices[r.IntN(len(choices))] }

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

var counted = map[string]int{"login": 1, "leaf": 1}

// agrees compares what limits counts with the simple way, for a text that limits takes for a
// document: gqlparser must take it too, once it is rewritten.
func agrees(t *testing.T, query string) {
	t.Helper()
	got, ok := limits.FoundIn(query, counted)
	if !ok {
		return
	}
	doc, err := parser.ParseQuery(&ast.Source{Input: language.Rewrite(query)})
	if err != nil {
		t.Fatalf("gqlparser refuses %q, which was %q: %v", language.Rewrite(query), query, err)
	}
	want, ok := expand(doc, counted)
	if !ok {
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\n got %+v\nwant %+v", query, got, want)
	}
}

func TestCountsAreThoseOfAnExpandedDocument(t *testing.T) {
	r := random{Rand: rand.New(rand.NewPCG(1, 2))}
	cycles := 0
	for i := range 5_000 {
		query := r.document(i%10 == 0)
		found, ok := limits.FoundIn(query, nil)
		if !ok {
			t.Fatalf("limits refuses %s", query)
		}
		if found.Cycle {
			cycles++
		}
		if agrees(t, query); t.Failed() {
			return
		}
	}
	if cycles < 25 {
		t.Errorf("%d of the random documents have cycles, want more", cycles)
	}
	for _, shape := range shapes {
		agrees(t, shape.of(512))
	}
	agrees(t, graphiql)
}
