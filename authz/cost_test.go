package authz

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// costSchema has the field owned. Its rule uses an argument, so it is checked for each selection of
// the field.
const costSchema = `
type Query { me: User @auth item: Item @public node: Node @public open: Int @public
  find(filter: Filter): Int @auth }
type Mutation { item: Item @auth node: Node @auth }
type User { id: ID! username: String }
interface Node { find(filter: Filter): Int owned(id: ID = "alice"): Int }
type Item { owned(id: ID = "alice"): Int @owner(arg: "id") item: Item plain: Int }
input Filter { text: String @hasRole(anyOf: ["user"]) and: [Filter!] }
`

// nodeImplementations returns n types that implement Node, each with its own rules.
func nodeImplementations(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, `type Wide%d implements Node { find(filter: Filter): Int `+
			`@hasRole(anyOf: ["user"]) owned(id: ID = "alice"): Int @owner(arg: "id") } `, i)
	}
	return s.String()
}

// rulesWithCounter returns the rules of costSchema with a number of implementations of Node. The
// second result counts the checks of rules that use arguments.
func rulesWithCounter(t testing.TB, implementations int) (*schemaRules, *int) {
	t.Helper()
	rules := loadRules(t, costSchema+nodeImplementations(implementations), Config{})
	checks := new(int)
	for _, r := range rules.rules {
		if check := r.check; r.usesArguments {
			r.check = func(c *caller, args *arguments) error {
				*checks++
				return check(c, args)
			}
		}
	}
	return rules, checks
}

// fragmentsInFragments returns a document with the fragments F0 to Fn. Each fragment spreads the
// next one twice. If the spreads are expanded, the document has more than 2^n fields.
func fragmentsInFragments(n int) string {
	var s strings.Builder
	s.WriteString("{ item { ...F0 ...F0 } }")
	for i := range n {
		fmt.Fprintf(&s, " fragment F%d on Item { owned a: item { ...F%[2]d } "+
			"b: item { ...F%[2]d } }",
			i, i+1)
	}
	fmt.Fprintf(&s, " fragment F%d on Item { owned }", n)
	return s.String()
}

// The number of checks is linear in the size of the document. A fragment is visited at most twice,
// however often it is spread.
func TestDecide_cost(t *testing.T) {
	rules, checks := rulesWithCounter(t, 50)
	for _, tt := range []struct {
		name, document string
		max            int
	}{
		{"fields", "{ item { " + aliases(1000, "owned") + "} }", 1000},
		{"fragments in fragments", fragmentsInFragments(20), 2 * 21},
		{"spreads of one fragment", "{ " + aliases(500, "item { ...F }") +
			"} fragment F on Item { owned }", 2},
		{"spreads of one fragment, in a mutation", "mutation { " + aliases(500, "item { ...F }") +
			"} fragment F on Item { owned }", 2},
		{"deep nesting", "{ " + strings.Repeat("item { owned ", 500) + strings.Repeat("}", 501),
			500},
		// Each of the 50 types has its own rule of the field.
		{"wide interface", "{ node { " + aliases(10, "owned") + "} }", 50 * 10},
		// The 50 types share the combined rule of the input; see compiler.inputRule.
		{"input of a wide interface",
			"{ node { " + aliases(10, `find(filter: {and: [{text: "x"}]})`) + "} }", 10},
	} {
		*checks = 0
		d := decideDocument(t, rules, tt.document, nil, callerWithRoles("user"))
		if d.denied != nil || *checks == 0 || *checks > tt.max {
			t.Errorf("%s: %d checks, %d denied fields; want 1 to %d checks, and no denied field",
				tt.name, *checks, len(d.denied), tt.max)
		}
	}
}

// aliases returns n selections with different aliases.
func aliases(n int, selection string) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "a%d: %s ", i, selection)
	}
	return s.String()
}

// For the query me, decide makes few allocations: the decision, its verdicts, and the path.
func TestDecide_allocations(t *testing.T) {
	rules := loadRules(t, costSchema, Config{})
	operation := parseOperation(t, rules, "{ me { id username } }")
	c := callerWithRoles()
	if n := testing.AllocsPerRun(100, func() {
		rules.decide(operation, nil, c, false)
	}); n > 4 {
		t.Errorf("%v allocations, want at most 4", n)
	}
}

// parseOperation returns the only operation of a document.
func parseOperation(t testing.TB, rules *schemaRules, document string) *ast.OperationDefinition {
	t.Helper()
	doc, errs := gqlparser.LoadQueryWithRules(rules.schema, document, nil)
	if errs != nil {
		t.Fatal(errs)
	}
	return doc.Operations[0]
}

func BenchmarkDecide_me(b *testing.B) {
	benchmarkDecide(b, "{ me { id username } }", 0)
}

func BenchmarkDecide_fields(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			benchmarkDecide(b, "{ item { "+aliases(n, "plain")+"} }", 0)
		})
	}
}

func BenchmarkDecide_hostile(b *testing.B) {
	b.Run("checked fields", func(b *testing.B) {
		benchmarkDecide(b, "{ item { "+aliases(1000, "owned")+"} }", 0)
	})
	b.Run("fragments", func(b *testing.B) { benchmarkDecide(b, fragmentsInFragments(20), 0) })
	b.Run("spreads", func(b *testing.B) {
		benchmarkDecide(b, "{ "+aliases(500, "item { ...F }")+"} fragment F on Item { owned }", 0)
	})
	b.Run("deep", func(b *testing.B) {
		benchmarkDecide(b, "{ "+strings.Repeat("item { owned ", 500)+strings.Repeat("}", 501), 0)
	})
	b.Run("wide", func(b *testing.B) {
		benchmarkDecide(b, "{ node { "+aliases(100, "owned")+"} }", 200)
	})
}

// benchmarkDecide measures decide for a document, with a number of implementations of Node.
func benchmarkDecide(b *testing.B, document string, implementations int) {
	rules := loadRules(b, costSchema+nodeImplementations(implementations), Config{})
	operation := parseOperation(b, rules, document)
	c := callerWithRoles("user")
	b.ReportAllocs()
	for b.Loop() {
		rules.decide(operation, nil, c, false)
	}
}
