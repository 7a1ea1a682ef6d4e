package limits_test

import (
	"context"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/cloakql/cloakql/limits"
)

var hostile = gqlparser.MustLoadSchema(&ast.Source{Input: `
type Query { me: User a: A b: B leaf: Int name: String f(x: I, n: Int, l: [Int], t: [String], s: String, e: E, m: [[Int]]): A need(n: Int!): Int }
type Mutation { login(name: String!, word: String!): User refresh(token: String!): User }
type Subscription { tick: Int tock: Int }
type User { id: ID name: String }
interface Leaf { leaf: Int a: A }
type A implements Leaf { a: A b: B leaf: Int name: String }
type B implements Leaf { a: A b: B leaf: Int name: Int }
union AB = A | B
enum E { ONE TWO THREE }
input I { i: I l: [I] n: Int e: E }
`})

// ruleSet is the set that gqlgen makes of Rules where introspection is off.
func ruleSet() *rules.Rules {
	set := limits.Rules(nil)()
	set.RemoveRule(rules.FieldsOnCorrectTypeRule.Name)
	set.RemoveRule(rules.ScalarLeafsRule.Name)
	return set
}

// answer is the way of a document through limits, gqlparser's parser and its validation, as in
// gqlgen.
func answer(d limits.Limits, query string) (by string, faults gqlerror.List) {
	fault := d.MutateOperationParameters(context.Background(), &graphql.RawParams{Query: query})
	if fault != nil {
		return "limits", gqlerror.List{fault}
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: query}, limits.DefaultTokens)
	if err != nil {
		return "parser", gqlerror.List{gqlerror.Wrap(err)}
	}
	if len(doc.Operations) == 0 {
		return "parser", gqlerror.List{gqlerror.Errorf("no operation provided")}
	}
	if faults := validator.ValidateWithRules(hostile, doc, ruleSet()); len(faults) > 0 {
		return "validation", faults
	}
	return "", nil
}

// padded is a document that anyone may send, of so many bytes.
func padded(bytes int) string {
	return "{ me { id } }" + strings.Repeat(" ", bytes-len("{ me { id } }"))
}

// upTo is the bound for documents of so many bytes: the default, or what a setting may make of it.
func upTo(bytes int) limits.Limits {
	return limits.Limits{Bytes: max(bytes, limits.DefaultBytes),
		RootFieldMax: map[string]int{"login": 1, "refresh": 1}}
}

// Whatever the shape and the size: there is an answer, a refusal says what was too much, and no
// more is looked at than is written, or may be written out.
func TestHostile(t *testing.T) {
	for _, shape := range shapes {
		for _, size := range sizes {
			query := shape.of(size)
			if len(query) > size || len(query) < size/2 && len(query) < 600 {
				t.Errorf("%s: %d bytes, want some %d", shape.name, len(query), size)
			}
			for _, bounds := range []limits.Limits{{}, upTo(size)} {
				by, faults := answer(bounds, query)
				for _, fault := range faults {
					if by == "limits" && fault.Extensions["code"] == nil || fault.Message == "" {
						t.Errorf("%s, %d bytes: %v %v", shape.name, size, fault, fault.Extensions)
					}
				}
				if len(faults) > limits.MaxErrors {
					t.Errorf("%s, %d bytes: %d errors", shape.name, size, len(faults))
				}
				if by == "" && size > limits.DefaultBytes && bounds.Bytes == 0 {
					t.Errorf("%s, %d bytes: accepted", shape.name, size)
				}
				done, _ := limits.WorkOf(bounds, &graphql.RawParams{Query: query})
				if done.Tokens > min(len(query), limits.DefaultTokens+1) ||
					done.Nodes > done.Tokens {
					t.Errorf("%s, %d bytes: %d tokens read, %d nodes visited", shape.name, size,
						done.Tokens, done.Nodes)
				}
			}
		}
	}
	if len(shapes) < 30 {
		t.Errorf("%d shapes, want at least 30", len(shapes))
	}
}

// Twice the text is at most twice the work, where nothing stops it earlier.
func TestWorkIsLinear(t *testing.T) {
	wide := limits.Limits{
		Bytes: 1 << 30, Tokens: 1 << 30, Nesting: 1 << 10, NameBytes: 1 << 30, StringBytes: 1 << 30,
		NumberBytes: 1 << 30, Depth: 1 << 30,
		Fields: 1 << 29, RootFields: 1 << 29, Aliases: 1 << 29, Operations: 1 << 29,
		Fragments: 1 << 29, Spreads: 1 << 29, Directives: 1 << 29,
		DirectivesPerNode: 1 << 29, Arguments: 1 << 29, Variables: 1 << 29, Values: 1 << 29,
		ValueDepth: 1 << 29, ValueBytes: 1 << 29,
	}
	for _, shape := range shapes {
		query := shape.of(32 << 10)
		done, _ := limits.WorkOf(wide, &graphql.RawParams{Query: query})
		if done.Tokens > len(query) || done.Nodes > done.Tokens {
			t.Errorf("%s: %d tokens and %d nodes for %d bytes", shape.name, done.Tokens, done.Nodes,
				len(query))
		}
	}
}

// A cost is what one answer takes.
type cost struct {
	cpu    time.Duration
	allocs float64
	bytes  float64
}

func measureCost(run func()) cost {
	run()
	best := cost{cpu: 1 << 62}
	for range 5 {
		var before, after runtime.MemStats
		n := 0
		runtime.ReadMemStats(&before)
		start := cpuTime()
		for n == 0 || cpuTime()-start < 2*time.Millisecond {
			run()
			n++
		}
		spent := cpuTime() - start
		runtime.ReadMemStats(&after)
		best.cpu = min(best.cpu, spent/time.Duration(n))
		best.allocs = float64(after.Mallocs-before.Mallocs) / float64(n)
		best.bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
	}
	return best
}

// cpuTime is what the process has used, so that others on the machine don't count.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

var sizes = []int{1 << 10, 8 << 10, 64 << 10, 1 << 20}

// BenchmarkHostile prints, for each shape and size, what a refusal costs in units of an accepted me
// request that is padded to the same size and goes the same way.
func BenchmarkHostile(b *testing.B) {
	good := map[int]cost{}
	// a benchmark of its own, since one with others in it prints nothing
	b.Run("me,_padded", func(b *testing.B) {
		for b.Loop() {
		}
		for _, size := range sizes {
			query := padded(size)
			good[size] = measureCost(func() {
				if by, faults := answer(upTo(size), query); by != "" {
					b.Fatal(by, faults)
				}
			})
			b.Logf("%8d bytes: %9.1f us; %7.0f allocations; %9.0f bytes; accepted", size,
				float64(good[size].cpu)/1e3, good[size].allocs, good[size].bytes)
		}
	})
	for _, shape := range shapes {
		b.Run(strings.ReplaceAll(shape.name, " ", "_"), func(b *testing.B) {
			for b.Loop() {
			}
			for _, size := range sizes {
				query := shape.of(size)
				var by, reason string
				is := measureCost(func() {
					var faults gqlerror.List
					if by, faults = answer(upTo(size), query); by != "" {
						reason, _ = faults[0].Extensions["reason"].(string)
					}
				})
				if good[size].cpu == 0 {
					b.Fatal("there is nothing to compare with: run all of BenchmarkHostile")
				}
				b.Logf(
					"%8d bytes: %9.1f us, %5.1f times; %7.0f allocations, %5.1f times; %9.0f "+
						"bytes, %5.1f times; refused by %s %s",
					size, float64(is.cpu)/1e3, float64(is.cpu)/float64(good[size].cpu), is.allocs,
					is.allocs/good[size].allocs, is.bytes, is.bytes/good[size].bytes, by, reason)
			}
		})
	}
}
