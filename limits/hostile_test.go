package limits_test

import (
	"context"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/cloakql/cloakql/limits"
)

// validate passes a document through limits, gqlparser's parser and its validation, as gqlgen does.
// It returns the stage that rejects the document, or "", and its errors.
func validate(l limits.Limits, query string) (stage string, errs gqlerror.List) {
	err := l.MutateOperationParameters(context.Background(), &graphql.RawParams{Query: query})
	if err != nil {
		return "limits", gqlerror.List{err}
	}
	doc, parseErr := parser.ParseQueryWithTokenLimit(&ast.Source{Input: query},
		limits.DefaultTokens)
	if parseErr != nil {
		return "parser", gqlerror.List{gqlerror.Wrap(parseErr)}
	}
	if len(doc.Operations) == 0 {
		return "parser", gqlerror.List{gqlerror.Errorf("no operation provided")}
	}
	if errs := validator.ValidateWithRules(testSchema, doc, ruleSet()); len(errs) > 0 {
		return "validation", errs
	}
	return "", nil
}

// padded returns a harmless document of that many bytes.
func padded(bytes int) string {
	return "{ me { id } }" + strings.Repeat(" ", bytes-len("{ me { id } }"))
}

// upTo returns the default limits, but allowing documents of that many bytes.
func upTo(bytes int) limits.Limits {
	return limits.Limits{Bytes: max(bytes, limits.DefaultBytes),
		RootFieldMax: map[string]int{"login": 1, "refresh": 1}}
}

// TestHostile checks that documents of any shape and size are handled with work that is linear in
// their size, and that errors have a code and a message.
func TestHostile(t *testing.T) {
	for _, shape := range shapes {
		for _, size := range sizes {
			query := shape.document(size)
			if len(query) > size || len(query) < size/2 && len(query) < 600 {
				t.Errorf("%s: %d bytes, want about %d", shape.name, len(query), size)
			}
			for _, bounds := range []limits.Limits{{}, upTo(size)} {
				stage, errs := validate(bounds, query)
				for _, err := range errs {
					if stage == "limits" && err.Extensions["code"] == nil || err.Message == "" {
						t.Errorf("%s, %d bytes: %v %v", shape.name, size, err, err.Extensions)
					}
				}
				if len(errs) > limits.MaxErrors {
					t.Errorf("%s, %d bytes: %d errors", shape.name, size, len(errs))
				}
				if stage == "" && size > limits.DefaultBytes && bounds.Bytes == 0 {
					t.Errorf("%s, %d bytes: accepted", shape.name, size)
				}
				done, _ := limits.Check(bounds, &graphql.RawParams{Query: query})
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

// Without limits in the way, the work is still linear in the size.
func TestWork_linear(t *testing.T) {
	wide := limits.Limits{
		Bytes: 1 << 30, Tokens: 1 << 30, Nesting: 1 << 10, NameBytes: 1 << 30, StringBytes: 1 << 30,
		NumberBytes: 1 << 30, Depth: 1 << 30,
		Fields: 1 << 29, RootFields: 1 << 29, Aliases: 1 << 29, Operations: 1 << 29,
		Fragments: 1 << 29, Spreads: 1 << 29, Directives: 1 << 29,
		DirectivesPerNode: 1 << 29, Arguments: 1 << 29, Variables: 1 << 29, Values: 1 << 29,
		ValueDepth: 1 << 29, ValueBytes: 1 << 29,
	}
	for _, shape := range shapes {
		query := shape.document(32 << 10)
		done, _ := limits.Check(wide, &graphql.RawParams{Query: query})
		if done.Tokens > len(query) || done.Nodes > done.Tokens {
			t.Errorf("%s: %d tokens and %d nodes for %d bytes", shape.name, done.Tokens, done.Nodes,
				len(query))
		}
	}
}

// A cost is the average cost of a function call.
type cost struct {
	cpu    time.Duration
	allocs float64
	bytes  float64
}

// measureCost measures the cost of run.
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

// cpuTime returns the CPU time of this process, which other processes don't affect.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// sizes are the sizes of documents in bytes.
var sizes = []int{1 << 10, 8 << 10, 64 << 10, 1 << 20}

// BenchmarkHostile compares the cost of rejecting a document of each shape and size with that of
// accepting a harmless document that is padded to the same size.
func BenchmarkHostile(b *testing.B) {
	good := map[int]cost{}
	// A sub-benchmark, since a benchmark with sub-benchmarks doesn't print its own log.
	b.Run("me,_padded", func(b *testing.B) {
		for b.Loop() {
		}
		for _, size := range sizes {
			query := padded(size)
			good[size] = measureCost(func() {
				if stage, errs := validate(upTo(size), query); stage != "" {
					b.Fatal(stage, errs)
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
				query := shape.document(size)
				var stage, reason string
				bad := measureCost(func() {
					var errs gqlerror.List
					if stage, errs = validate(upTo(size), query); stage != "" {
						reason, _ = errs[0].Extensions["reason"].(string)
					}
				})
				if good[size].cpu == 0 {
					b.Fatal("the harmless document wasn't measured: run all of BenchmarkHostile")
				}
				b.Logf(
					"%8d bytes: %9.1f us, %5.1f times; %7.0f allocations, %5.1f times; %9.0f "+
						"bytes, %5.1f times; rejected by %s %s",
					size, float64(bad.cpu)/1e3, float64(bad.cpu)/float64(good[size].cpu),
					bad.allocs, bad.allocs/good[size].allocs, bad.bytes,
					bad.bytes/good[size].bytes, stage, reason)
			}
		})
	}
}
