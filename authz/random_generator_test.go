package authz

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// roleCount is the number of roles, r0, r1 and so on, in random schemas.
const roleCount = 4

// A generator makes random schemas, and random operations on a schema.
type generator struct {
	*rand.Rand
	executor *testExecutor

	fragments []string // the fragment definitions of the operation
	// finished has the type conditions of the complete fragments, by name. Another fragment may
	// spread these without a cycle.
	finished map[string]string
	// otherType is set if the type condition of a fragment differs from the type around the
	// fragment. Then decide may not know the exact types of the objects in a query.
	otherType bool
	// partial is set if the type condition of a fragment is an interface or a union, and not all
	// objects around the fragment satisfy it. Then decide may not know the exact types of the
	// objects in a mutation.
	partial bool
}

// rule returns a random rule, or nothing most of the time.
func (g *generator) rule() string {
	switch g.IntN(9) {
	case 0:
		return fmt.Sprintf(` @hasRole(anyOf: ["r%d"])`, g.IntN(roleCount))
	case 1:
		return " @auth"
	}
	return ""
}

// wrap returns a named type with random brackets of lists and random exclamation marks.
func (g *generator) wrap(name string) string {
	typ := name
	if g.IntN(2) == 0 {
		typ += "!"
	}
	for g.IntN(5) == 0 {
		typ = "[" + typ + "]"
		if g.IntN(2) == 0 {
			typ += "!"
		}
	}
	return typ
}

// A schemaWriter writes the source of a random schema.
type schemaWriter struct {
	*generator
	text strings.Builder

	interfacesOf map[string][]string // the interfaces that an interface implements
	ownFields    map[string][]string // the fields that an interface adds to those of its interfaces
	fields       map[string]string   // the arguments and the type of each field of an interface
}

// schema returns the source of a random schema.
func (g *generator) schema() string {
	w := schemaWriter{generator: g, interfacesOf: map[string][]string{},
		ownFields: map[string][]string{}, fields: map[string]string{}}
	if g.IntN(2) == 0 {
		w.interfacesOf["I1"] = []string{"I0"}
	}
	if g.IntN(3) == 0 {
		w.interfacesOf["I2"] = append([]string{"I1"}, w.interfacesOf["I1"]...)
	}
	for i := range 3 {
		name := fmt.Sprint("I", i)
		for j := range 2 {
			field := fmt.Sprintf("i%d%d", i, j)
			w.ownFields[name] = append(w.ownFields[name], field)
			w.fields[field] = w.argumentsAndType()
		}
	}
	for i := range 3 {
		name := fmt.Sprint("I", i)
		w.write("interface", name, w.interfacesOf[name], 0)
	}
	for i := range 4 {
		var interfaces []string
		if name := fmt.Sprint("I", i); i < 3 { // each interface has an implementation
			interfaces = append(append(interfaces, name), w.interfacesOf[name]...)
		}
		for j := range 3 {
			if name := fmt.Sprint("I", j); g.IntN(3) == 0 {
				interfaces = append(append(interfaces, name), w.interfacesOf[name]...)
			}
		}
		slices.Sort(interfaces)
		w.write("type", fmt.Sprint("T", i), slices.Compact(interfaces), 3)
	}
	w.write("type", "Query", nil, 5)
	w.write("type", "Mutation", nil, 4)
	fmt.Fprintf(&w.text, "union U0 = T0 | T1\nunion U1 = T%d\nenum E%s { X Y }\n", g.IntN(4),
		g.rule())
	fmt.Fprintf(&w.text, "input F { a: Int%s e: E = Y%s f: F l: [F!]%s }\n", g.rule(), g.rule(),
		g.rule())
	return w.text.String()
}

// write writes a type or an interface. extra is the number of fields that only this type has.
func (w *schemaWriter) write(kind, name string, interfaces []string, extra int) {
	fmt.Fprintf(&w.text, "%s %s", kind, name)
	if len(interfaces) > 0 {
		fmt.Fprint(&w.text, " implements ", strings.Join(interfaces, " & "))
	}
	fmt.Fprint(&w.text, w.rule(), " {\n")
	for _, super := range interfaces {
		for _, field := range w.ownFields[super] {
			source := w.fields[field]
			if kind == "type" {
				source = w.maybeNonNull(source)
			}
			w.writeField(field, source)
		}
	}
	if kind == "interface" {
		for _, field := range w.ownFields[name] {
			w.writeField(field, w.fields[field])
		}
	}
	if extra > 0 {
		// All object types have x, so that selections of x on different types may merge.
		w.writeField("x", ": Int")
	}
	for i := range extra {
		w.writeField(fmt.Sprint(strings.ToLower(name), i), w.argumentsAndType())
	}
	fmt.Fprint(&w.text, "}\n")
}

// writeField writes a field with these arguments and this type, and with a random rule.
func (w *schemaWriter) writeField(name, argumentsAndType string) {
	fmt.Fprintf(&w.text, "  %s%s%s\n", name, argumentsAndType, w.rule())
}

// argumentsAndType returns random arguments of a field, and a random type.
func (w *schemaWriter) argumentsAndType() string {
	args := ""
	if w.IntN(3) == 0 {
		args = "(f: F, e: E = X, l: [[E!]!])"
	}
	if w.IntN(3) == 0 {
		return args + ": " + w.wrap("Int")
	}
	if w.IntN(8) == 0 {
		return args + ": " + w.wrap("E")
	}
	composite := []string{"T0", "T1", "T2", "T3", "I0", "I1", "I2", "U0", "U1"}
	return args + ": " + w.wrap(composite[w.IntN(len(composite))])
}

// maybeNonNull makes the type of a field non-null, some of the time.
func (w *schemaWriter) maybeNonNull(field string) string {
	if w.IntN(3) == 0 && !strings.HasSuffix(field, "!") {
		return field + "!"
	}
	return field
}

// operation returns a random operation.
func (g *generator) operation() string {
	g.fragments, g.finished, g.otherType, g.partial = nil, map[string]string{}, false, false
	kind, root := "query", "Query"
	if g.IntN(3) == 0 {
		kind, root = "mutation", "Mutation"
	}
	// The first selection is a field, and tells the root type.
	text := fmt.Sprintf("{ first: __typename %s}", g.selections(root, 0)) +
		strings.Join(g.fragments, "")
	var variables []string
	for _, variable := range []string{"$b: Boolean!", "$f: F", "$e: E!", "$n: E"} {
		if strings.Contains(text, variable[:2]) {
			variables = append(variables, variable)
		}
	}
	if variables == nil {
		return kind + text
	}
	return fmt.Sprintf("%s(%s) %s", kind, strings.Join(variables, ", "), text)
}

// selections returns random selections on a type.
func (g *generator) selections(typ string, depth int) string {
	var s strings.Builder
	definition := g.executor.schema.Types[typ]
	for range 1 + g.IntN(3) {
		switch {
		case g.IntN(3) == 0 && depth < 6:
			g.fragment(&s, typ, depth)
		case len(definition.Fields) == 0:
			fmt.Fprint(&s, "__typename ")
		default:
			field := definition.Fields[g.IntN(len(definition.Fields))]
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			inner := ""
			if g.executor.schema.Types[field.Type.Name()].IsCompositeType() {
				if depth > 3 {
					continue
				}
				inner = "{ " + g.selections(field.Type.Name(), depth+1) + "}"
			}
			if g.IntN(8) == 0 {
				fmt.Fprintf(&s, "k%d: ", g.IntN(3))
			}
			fmt.Fprint(&s, field.Name, g.arguments(field), g.skipOrInclude(), " ", inner, " ")
		}
	}
	fmt.Fprint(&s, "__typename ")
	return s.String()
}

// fragment writes a random inline fragment on a type, or a spread of a new or an earlier fragment.
func (g *generator) fragment(s *strings.Builder, typ string, depth int) {
	var conditions []string
	for _, name := range slices.Sorted(maps.Keys(g.executor.schema.Types)) {
		if g.executor.schema.Types[name].IsCompositeType() && g.overlap(typ, name) {
			conditions = append(conditions, name)
		}
	}
	condition := conditions[g.IntN(len(conditions))]
	if g.IntN(2) == 0 {
		for _, name := range slices.Sorted(maps.Keys(g.finished)) {
			if g.overlap(typ, g.finished[name]) {
				g.noteFragment(typ, g.finished[name])
				fmt.Fprintf(s, "...%s%s ", name, g.skipOrInclude())
				return
			}
		}
	}
	g.noteFragment(typ, condition)
	if g.IntN(2) == 0 {
		if condition == typ && g.IntN(2) == 0 {
			fmt.Fprintf(s, "...%s { %s} ", g.skipOrInclude(), g.selections(typ, depth+1))
			return
		}
		fmt.Fprintf(s, "... on %s%s { %s} ", condition, g.skipOrInclude(),
			g.selections(condition, depth+1))
		return
	}
	n := len(g.fragments)
	name := fmt.Sprint("F", n)
	g.fragments = append(g.fragments, "")
	g.fragments[n] = fmt.Sprintf("\nfragment %s on %s { %s}", name, condition,
		g.selections(condition, depth+1))
	g.finished[name] = condition
	fmt.Fprintf(s, "...%s%s ", name, g.skipOrInclude())
}

// overlap reports whether an object may have both types.
func (g *generator) overlap(typ, other string) bool {
	return slices.ContainsFunc(g.executor.possibleTypes(typ), func(object string) bool {
		return slices.Contains(g.executor.possibleTypes(other), object)
	})
}

// noteFragment updates otherType and partial for a fragment with this type condition. typ is the
// type around the fragment.
func (g *generator) noteFragment(typ, condition string) {
	containsAll := func(all, some []string) bool {
		return !slices.ContainsFunc(some, func(name string) bool {
			return !slices.Contains(all, name)
		})
	}
	g.otherType = g.otherType || condition != typ
	g.partial = g.partial || g.executor.schema.Types[condition].IsAbstractType() &&
		!containsAll(g.executor.possibleTypes(condition), g.executor.possibleTypes(typ))
}

// skipOrInclude returns a random @skip or @include, or nothing.
func (g *generator) skipOrInclude() string {
	if g.IntN(6) > 0 {
		return ""
	}
	return fmt.Sprintf(" @%s(if: %s)", []string{"skip", "include"}[g.IntN(2)],
		[]string{"true", "false", "$b"}[g.IntN(3)])
}

// arguments returns random arguments of a field.
func (g *generator) arguments(field *ast.FieldDefinition) string {
	if len(field.Arguments) == 0 || g.IntN(2) == 0 {
		return ""
	}
	return []string{"(f: {a: 1})", "(f: {e: X})", "(f: {f: {l: [{a: 2}]}})", "(f: $f)", "(e: Y)",
		"(e: $e)", "(e: $n)", "(l: [[X]])", "(l: Y)", "(f: {})", "(f: {e: $n})", "(f: null)",
		"(f: {l: {f: {a: null}}})", "(l: [])", "(l: [[$e]])"}[g.IntN(15)]
}

// filter returns a random value of the input type F, or nil.
func (g *generator) filter() any {
	var value any
	json.Unmarshal([]byte([]string{`null`, `{}`, `{"a":1}`, `{"l":{"e":"X"}}`,
		`{"l":[{"f":{"l":[]}}]}`, `{"f":{"f":{"e":null}}}`}[g.IntN(6)]), &value)
	return value
}
