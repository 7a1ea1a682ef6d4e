package limits_test

import (
	"context"
	"math"
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

// validate passes a document through limits, gqlparser's parser and validation, as gqlgen does. It
// returns the stage that rejects the document, with its errors, or "" if the document is valid.
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
	errs = validator.ValidateWithRules(testSchema, doc, rulesWithoutSuggestions())
	if len(errs) > 0 {
		return "validation", errs
	}
	return "", nil
}

// paddedQuery returns a harmless document, padded with spaces to a size in bytes.
func paddedQuery(size int) string {
	return "{ me { id } }" + strings.Repeat(" ", size-len("{ me { id } }"))
}

// limitsFor returns the default limits. If size is larger than the default of Bytes, it raises
// Bytes to size.
func limitsFor(size int) limits.Limits {
	return limits.Limits{Bytes: max(size, limits.DefaultBytes),
		RootFieldMax: map[string]int{"login": 1, "refresh": 1}}
}

// TestHostile checks that the work for a hostile document is linear in its size, that validation
// stops after a few errors, and that each error has a message. Errors of package limits must also
// have a code.
func TestHostile(t *testing.T) {
	for _, shape := range shapes {
		for _, size := range sizes {
			query := shape.query(size)
			if len(query) > size || len(query) < size/2 && len(query) < 600 {
				t.Errorf("%s: %d bytes, want %d to %d", shape.name, len(query), min(size/2, 600),
					size)
			}
			for _, l := range []limits.Limits{{}, limitsFor(size)} {
				stage, errs := validate(l, query)
				for _, err := range errs {
					if stage == "limits" && err.Extensions["code"] == nil || err.Message == "" {
						t.Errorf("%s, %d bytes: error %v with extensions %v, want a message and a "+
							"code", shape.name, size, err, err.Extensions)
					}
				}
				if len(errs) > limits.MaxErrors {
					t.Errorf("%s, %d bytes: %d errors, want at most %d", shape.name, size,
						len(errs), limits.MaxErrors)
				}
				if stage == "" && size > limits.DefaultBytes && l.Bytes == 0 {
					t.Errorf("%s, %d bytes: accepted, want an error", shape.name, size)
				}
				work, _ := limits.Check(l, &graphql.RawParams{Query: query})
				maxTokens := min(len(query), limits.DefaultTokens+1)
				if work.Tokens > maxTokens || work.Nodes > work.Tokens {
					t.Errorf("%s, %d bytes: %d tokens read, %d nodes visited; want at most %d "+
						"tokens, and no more nodes than tokens", shape.name, size, work.Tokens,
						work.Nodes, maxTokens)
				}
			}
		}
	}
	if len(shapes) < 30 {
		t.Errorf("%d shapes, want at least 30", len(shapes))
	}
}

// TestWork_linear checks that the work is linear in the document's size even if no limit stops it.
func TestWork_linear(t *testing.T) {
	hugeLimits := limits.Limits{
		Bytes: 1 << 30, Tokens: 1 << 30, Nesting: 1 << 10, NameBytes: 1 << 30, StringBytes: 1 << 30,
		NumberBytes: 1 << 30, Depth: 1 << 30,
		Fields: 1 << 29, RootFields: 1 << 29, Aliases: 1 << 29, Operations: 1 << 29,
		Fragments: 1 << 29, Spreads: 1 << 29, Directives: 1 << 29,
		DirectivesPerNode: 1 << 29, Arguments: 1 << 29, Variables: 1 << 29, Values: 1 << 29,
		ValueDepth: 1 << 29, ValueBytes: 1 << 29,
	}
	for _, shape := range shapes {
		query := shape.query(32 << 10)
		work, _ := limits.Check(hugeLimits, &graphql.RawParams{Query: query})
		if work.Tokens > len(query) || work.Nodes > work.Tokens {
			t.Errorf("%s: %d tokens read, %d nodes visited for %d bytes; want no more tokens than "+
				"bytes, and no more nodes than tokens", shape.name, work.Tokens, work.Nodes,
				len(query))
		}
	}
}

// A cost is the CPU time and memory that one call of a function takes.
type cost struct {
	cpu    time.Duration
	allocs float64
	bytes  float64
}

// measureCost measures the cost of run. It calls run in five rounds, and returns the lowest average
// of a round, because other work of the process can only raise an average.
func measureCost(run func()) cost {
	run()
	lowestCost := cost{cpu: math.MaxInt64, allocs: math.Inf(1), bytes: math.Inf(1)}
	for range 5 {
		var before, after runtime.MemStats
		n := 0
		runtime.ReadMemStats(&before)
		start := cpuTime()
		for n == 0 || cpuTime()-start < 2*time.Millisecond {
			run()
			n++
		}
		cpuUsed := cpuTime() - start
		runtime.ReadMemStats(&after)
		lowestCost.cpu = min(lowestCost.cpu, cpuUsed/time.Duration(n))
		lowestCost.allocs = min(lowestCost.allocs, float64(after.Mallocs-before.Mallocs)/float64(n))
		lowestCost.bytes = min(lowestCost.bytes,
			float64(after.TotalAlloc-before.TotalAlloc)/float64(n))
	}
	return lowestCost
}

// cpuTime returns the CPU time that this process has used. Unlike elapsed time, it doesn't depend
// on other processes.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// sizes are the sizes of hostile documents, in bytes.
var sizes = []int{1 << 10, 8 << 10, 64 << 10, 1 << 20}

// BenchmarkHostile compares the cost of each hostile document with the cost of accepting a harmless
// document of the same size.
func BenchmarkHostile(b *testing.B) {
	baseline := map[int]cost{} // by size
	// The baseline is a sub-benchmark, because a benchmark with sub-benchmarks prints no log.
	b.Run("harmless_document", func(b *testing.B) {
		for b.Loop() {
		}
		for _, size := range sizes {
			query := paddedQuery(size)
			baseline[size] = measureCost(func() {
				if stage, errs := validate(limitsFor(size), query); stage != "" {
					b.Fatal(stage, errs)
				}
			})
			b.Logf("%8d bytes: %9.1f us; %7.0f allocations; %9.0f bytes; accepted", size,
				float64(baseline[size].cpu)/1e3, baseline[size].allocs, baseline[size].bytes)
		}
	})
	for _, shape := range shapes {
		b.Run(strings.ReplaceAll(shape.name, " ", "_"), func(b *testing.B) {
			for b.Loop() {
			}
			for _, size := range sizes {
				query := shape.query(size)
				var stage, reason string
				shapeCost := measureCost(func() {
					var errs gqlerror.List
					if stage, errs = validate(limitsFor(size), query); stage != "" {
						reason, _ = errs[0].Extensions["reason"].(string)
					}
				})
				if baseline[size].cpu == 0 {
					b.Fatal("the harmless document wasn't measured: run all of BenchmarkHostile")
				}
				b.Logf(
					"%8d bytes: %9.1f us, %5.1f times the harmless document; %7.0f allocations, "+
						"%5.1f times; %9.0f bytes, %5.1f times; rejected by %s %s",
					size, float64(shapeCost.cpu)/1e3,
					float64(shapeCost.cpu)/float64(baseline[size].cpu), shapeCost.allocs,
					shapeCost.allocs/baseline[size].allocs, shapeCost.bytes,
					shapeCost.bytes/baseline[size].bytes, stage, reason)
			}
		})
	}
}
