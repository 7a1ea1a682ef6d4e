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
	c := referenceCounter{doc: doc, rootFieldMax: rootFieldMax, stepsLeft: 100_000,
		counts: limits.Counts{VariableUses: map[string]int{}, DefaultItems: map[string]int{}}}
	for _, fragment := range doc.Fragments {
		c.countDirectives(fragment.Directives)
		c.countSelections(fragment.SelectionSet, 0, isIntrospectionType(fragment.TypeCondition), 0,
			nil)
	}
	for _, operation := range doc.Operations {
		c.inOperation, c.rootFields, c.introspectionCost = true, 0, 0
		c.rootFieldCounts = map[string]int{}
		c.countDirectives(operation.Directives)
		c.countVariables(operation.VariableDefinitions)
		c.countSelections(operation.SelectionSet, 0, false, 0, nil)
		c.inOperation = false
		c.counts.RootFields = max(c.counts.RootFields, c.rootFields)
		c.counts.IntrospectionCost = max(c.counts.IntrospectionCost, c.introspectionCost)
		for name, n := range c.rootFieldCounts {
			if c.counts.RootFieldCounts == nil {
				c.counts.RootFieldCounts = map[string]int{}
			}
			c.counts.RootFieldCounts[name] = max(c.counts.RootFieldCounts[name], n)
		}
	}
	for name := range c.counts.VariableUses {
		c.counts.DefaultItems[name] = c.defaultItems[name]
	}
	if c.cycle {
		return limits.Counts{Cycle: true}, c.stepsLeft > 0
	}
	return c.counts, c.stepsLeft > 0
}

// A referenceCounter is the state of expandedCounts.
type referenceCounter struct {
	doc          *ast.QueryDocument
	rootFieldMax map[string]int
	counts       limits.Counts
	stepsLeft    int
	cycle        bool
	defaultItems map[string]int // by variable

	// inOperation is true in an operation, and false in a fragment that is walked on its own. The
	// fields below are counted for each operation.
	inOperation       bool
	rootFields        int
	introspectionCost int
	rootFieldCounts   map[string]int
}

// isIntrospectionType reports whether a type is an introspection type, such as __Type.
func isIntrospectionType(typeName string) bool { return strings.HasPrefix(typeName, "__") }

// countSelections counts a selection set. depth and listDepth are the numbers of enclosing fields
// and of enclosing introspection lists, and path has the names of the enclosing fragments.
func (c *referenceCounter) countSelections(set ast.SelectionSet, depth int, inIntrospection bool,
	listDepth int, path []string) {
	for _, selection := range set {
		if c.stepsLeft--; c.stepsLeft < 0 || c.cycle {
			return
		}
		c.counts.Fields++
		switch s := selection.(type) {
		case *ast.Field:
			c.countDirectives(s.Directives)
			c.countArguments(s.Arguments)
			if s.Alias != s.Name {
				c.counts.Aliases++
				if inIntrospection && c.inOperation {
					c.introspectionCost++
				}
			}
			if depth == 0 && c.inOperation {
				c.rootFields++
				if _, bounded := c.rootFieldMax[s.Name]; bounded {
					c.rootFieldCounts[s.Name]++
				}
			}
			inIntrospection, listDepth := inIntrospection, listDepth
			if !inIntrospection {
				c.counts.Depth = max(c.counts.Depth, depth+1)
			}
			if s.Name == "__schema" || s.Name == "__type" {
				inIntrospection = true
				if c.inOperation {
					c.introspectionCost += map[string]int{"__schema": 5, "__type": 1}[s.Name]
				}
			}
			if inIntrospection &&
				slices.Contains([]string{"fields", "inputFields", "interfaces", "possibleTypes"},
					s.Name) {
				listDepth++
				c.counts.IntrospectionDepth = max(c.counts.IntrospectionDepth, listDepth)
			}
			c.countSelections(s.SelectionSet, depth+1, inIntrospection, listDepth, path)
		case *ast.InlineFragment:
			c.countDirectives(s.Directives)
			c.countSelections(s.SelectionSet, depth, inIntrospection, listDepth, path)
		case *ast.FragmentSpread:
			c.countDirectives(s.Directives)
			fragment := c.doc.Fragments.ForName(s.Name)
			if fragment == nil {
				continue
			}
			if slices.Contains(path, s.Name) {
				c.cycle = true
				return
			}
			c.countDirectives(fragment.Directives)
			c.countSelections(fragment.SelectionSet, depth,
				inIntrospection || isIntrospectionType(fragment.TypeCondition), listDepth,
				append(path[:len(path):len(path)], s.Name))
		}
	}
}

func (c *referenceCounter) countVariables(list ast.VariableDefinitionList) {
	for _, definition := range list {
		c.countDirectives(definition.Directives)
		depth := 0
		for t := definition.Type; t.Elem != nil; t = t.Elem {
			depth++
		}
		c.counts.ValueDepth = max(c.counts.ValueDepth, depth)
		if definition.DefaultValue != nil {
			valuesBefore := c.counts.Values
			c.countValue(definition.DefaultValue, 0)
			if c.defaultItems == nil {
				c.defaultItems = map[string]int{}
			}
			c.defaultItems[definition.Variable] = max(c.defaultItems[definition.Variable],
				c.counts.Values-valuesBefore-1)
		}
	}
}

func (c *referenceCounter) countDirectives(list ast.DirectiveList) {
	c.counts.Directives += len(list)
	for _, directive := range list {
		c.countArguments(directive.Arguments)
	}
}

func (c *referenceCounter) countArguments(list ast.ArgumentList) {
	for _, argument := range list {
		c.countValue(argument.Value, 0)
	}
}

func (c *referenceCounter) countValue(value *ast.Value, depth int) {
	c.counts.Values++
	c.counts.ValueBytes += len(value.Raw)
	if value.Kind == ast.Variable && c.inOperation {
		c.counts.VariableUses[value.Raw]++
	}
	if value.Kind == ast.ListValue || value.Kind == ast.ObjectValue {
		c.counts.ValueDepth = max(c.counts.ValueDepth, depth+1)
	}
	for _, child := range value.Children {
		c.counts.ValueBytes += len(child.Name)
		c.countValue(child.Value, depth+1)
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

// document returns a random document. With allowCycles, fragments may spread each other in a cycle.
func (w *documentWriter) document(allowCycles bool) string {
	w.out.Reset()
	fragmentCount := w.IntN(4)
	for range 1 + w.IntN(2) {
		w.out.WriteString(w.choose("", "query ", "mutation M", "subscription ", `"about" query Q`,
			`"""about""" query Q`))
		if text := w.out.String(); text != "" && !strings.HasSuffix(text, "}") {
			w.writeVariables()
			w.writeDirectives()
		}
		w.writeSelections(3, 0, fragmentCount)
	}
	for i := range fragmentCount {
		fmt.Fprintf(&w.out, " fragment F%d", i)
		w.out.WriteString(" on " + w.choose("Query", "A", "B", "Leaf", "AB", "__Type"))
		w.writeDirectives()
		firstSpread := i + 1
		if allowCycles {
			firstSpread = 0
		}
		w.writeSelections(2, firstSpread, fragmentCount)
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
// the fragments with numbers from firstSpread to fragmentCount-1.
func (w *documentWriter) writeSelections(depth, firstSpread, fragmentCount int) {
	w.out.WriteString("{")
	for range 1 + w.IntN(4) {
		switch kind := w.IntN(8); {
		case kind == 0 && firstSpread < fragmentCount:
			fmt.Fprintf(&w.out, "...F%d", firstSpread+w.IntN(fragmentCount-firstSpread))
			w.writeDirectives()
		case kind == 1 && depth > 0:
			w.out.WriteString("..." + w.choose("", "on A", "on Leaf", "on B", "on on"))
			w.writeDirectives()
			w.writeSelections(depth-1, firstSpread, fragmentCount)
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
				w.writeSelections(depth-1, firstSpread, fragmentCount)
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
		t.Fatalf("gqlparser rejects %q, the rewritten form of %q: %v", language.Rewrite(query),
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
		t.Errorf("%d random documents have cycles, want at least 25", cycles)
	}
	for _, shape := range shapes {
		checkCounts(t, shape.query(512))
	}
	checkCounts(t, introspectionQuery)
}
