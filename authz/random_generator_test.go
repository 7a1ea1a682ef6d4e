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

	fragments []string // the definitions in the operation
	// finished has the type conditions of the fragments that others may spread without a cycle.
	finished map[string]string
	// otherType is set if a fragment is on another type than the selections around it, and
	// partial whether, in addition, it is an interface or a union that not all objects have. Then a
	// query or, if partial is set, a mutation may not know exactly which types the objects have.
	otherType, partial bool
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

// wrap returns a type with random lists and exclamation marks.
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

// schema returns the source of a random schema.
func (g *generator) schema() string {
	var s strings.Builder
	composite := []string{"T0", "T1", "T2", "T3", "I0", "I1", "I2", "U0", "U1"}
	field := func() string {
		args := ""
		if g.IntN(3) == 0 {
			args = "(f: F, e: E = X, l: [[E!]!])"
		}
		if g.IntN(3) == 0 {
			return args + ": " + g.wrap("Int")
		}
		if g.IntN(8) == 0 {
			return args + ": " + g.wrap("E")
		}
		return args + ": " + g.wrap(composite[g.IntN(len(composite))])
	}
	// strict returns the field with a type that isn't null, some of the time.
	strict := func(field string) string {
		if g.IntN(3) == 0 && !strings.HasSuffix(field, "!") {
			return field + "!"
		}
		return field
	}
	// own has the fields that an interface adds, and supers the interfaces of interfaces.
	own, fields := map[string][]string{}, map[string]string{}
	supers := map[string][]string{}
	if g.IntN(2) == 0 {
		supers["I1"] = []string{"I0"}
	}
	if g.IntN(3) == 0 {
		supers["I2"] = append([]string{"I1"}, supers["I1"]...)
	}
	for i := range 3 {
		name := fmt.Sprint("I", i)
		for j := range 2 {
			key := fmt.Sprintf("i%d%d", i, j)
			own[name] = append(own[name], key)
			fields[key] = field()
		}
	}
	write := func(kind, name string, interfaces []string, extra int) {
		fmt.Fprintf(&s, "%s %s", kind, name)
		if len(interfaces) > 0 {
			fmt.Fprint(&s, " implements ", strings.Join(interfaces, " & "))
		}
		fmt.Fprint(&s, g.rule(), " {\n")
		for _, super := range interfaces {
			for _, key := range own[super] {
				text := fields[key]
				if kind == "type" {
					text = strict(text)
				}
				fmt.Fprintf(&s, "  %s%s%s\n", key, text, g.rule())
			}
		}
		if kind == "interface" {
			for _, key := range own[name] {
				fmt.Fprintf(&s, "  %s%s%s\n", key, fields[key], g.rule())
			}
		}
		if extra > 0 {
			fmt.Fprintf(&s, "  x: Int%s\n", g.rule()) // of which selections may merge
		}
		for i := range extra {
			fmt.Fprintf(&s, "  %s%d%s%s\n", strings.ToLower(name), i, field(), g.rule())
		}
		fmt.Fprint(&s, "}\n")
	}
	for i := range 3 {
		name := fmt.Sprint("I", i)
		write("interface", name, supers[name], 0)
	}
	for i := range 4 {
		var interfaces []string
		if name := fmt.Sprint("I", i); i < 3 { // each interface has an implementation
			interfaces = append(append(interfaces, name), supers[name]...)
		}
		for j := range 3 {
			if name := fmt.Sprint("I", j); g.IntN(3) == 0 {
				interfaces = append(append(interfaces, name), supers[name]...)
			}
		}
		slices.Sort(interfaces)
		write("type", fmt.Sprint("T", i), slices.Compact(interfaces), 3)
	}
	write("type", "Query", nil, 5)
	write("type", "Mutation", nil, 4)
	fmt.Fprintf(&s, "union U0 = T0 | T1\nunion U1 = T%d\nenum E%s { X Y }\n", g.IntN(4), g.rule())
	fmt.Fprintf(&s, "input F { a: Int%s e: E = Y%s f: F l: [F!]%s }\n", g.rule(), g.rule(),
		g.rule())
	return s.String()
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
			fmt.Fprint(&s, field.Name, g.arguments(field), g.condition(), " ", inner, " ")
		}
	}
	fmt.Fprint(&s, "__typename ")
	return s.String()
}

// fragment writes a random fragment on a type: inline, or a spread of a new or an earlier one.
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
				g.note(typ, g.finished[name])
				fmt.Fprintf(s, "...%s%s ", name, g.condition())
				return
			}
		}
	}
	g.note(typ, condition)
	if g.IntN(2) == 0 {
		if condition == typ && g.IntN(2) == 0 {
			fmt.Fprintf(s, "...%s { %s} ", g.condition(), g.selections(typ, depth+1))
			return
		}
		fmt.Fprintf(s, "... on %s%s { %s} ", condition, g.condition(),
			g.selections(condition, depth+1))
		return
	}
	n := len(g.fragments)
	name := fmt.Sprint("F", n)
	g.fragments = append(g.fragments, "")
	g.fragments[n] = fmt.Sprintf("\nfragment %s on %s { %s}", name, condition,
		g.selections(condition, depth+1))
	g.finished[name] = condition
	fmt.Fprintf(s, "...%s%s ", name, g.condition())
}

// overlap reports whether some objects are of both types.
func (g *generator) overlap(typ, other string) bool {
	return slices.ContainsFunc(g.executor.objects(typ), func(object string) bool {
		return slices.Contains(g.executor.objects(other), object)
	})
}

// note records what a fragment on objects of a type means for the operation.
func (g *generator) note(typ, condition string) {
	contains := func(all, some []string) bool {
		return !slices.ContainsFunc(some, func(name string) bool {
			return !slices.Contains(all, name)
		})
	}
	g.otherType = g.otherType || condition != typ
	g.partial = g.partial || g.executor.schema.Types[condition].IsAbstractType() &&
		!contains(g.executor.objects(condition), g.executor.objects(typ))
}

// condition returns a random @skip or @include, or nothing.
func (g *generator) condition() string {
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

// variable returns a random value of the variable $f.
func (g *generator) variable() any {
	var value any
	json.Unmarshal([]byte([]string{`null`, `{}`, `{"a":1}`, `{"l":{"e":"X"}}`,
		`{"l":[{"f":{"l":[]}}]}`, `{"f":{"f":{"e":null}}}`}[g.IntN(6)]), &value)
	return value
}
