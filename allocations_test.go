//go:build !race

// The race detector adds allocations.

package cloakql_test

import (
	"strings"
	"testing"
)

// Requests take at most these numbers of allocations. Unlike times, allocations don't depend on the
// machine, so a test can limit them. Each limit is the number that was measured in November 2026,
// plus 5 %. If a change needs more, measure it with BenchmarkStages and make bench, and raise the
// limit in the commit that says what the allocations are for.
func TestStages_allocations(t *testing.T) {
	limits := map[string]float64{
		"whole": 163, "whole/kept answer": 22, "middleware/cached token": 5, "log": 0}
	whole, sum := 0.0, 0.0
	for _, stage := range newStages(t) {
		n := allocations(t, stage.run)
		if limit, ok := limits[stage.name]; ok && n > limit {
			t.Errorf("%s: %v allocations, want at most %v", stage.name, n, limit)
		}
		switch {
		case stage.name == "whole":
			whole = n
		case !strings.Contains(stage.name, "/"):
			sum += n
		}
	}
	if sum < 0.95*whole || sum > 1.05*whole {
		t.Errorf("the stages make %v allocations, want the %v of the whole handler, within 5 %%",
			sum, whole)
	}
}

// allocations returns how many allocations a call of run makes. It takes the lowest of several
// averages, because goroutines of other tests may still be ending.
func allocations(t *testing.T, run func() error) float64 {
	t.Helper()
	average := func() float64 {
		return testing.AllocsPerRun(100, func() {
			if err := run(); err != nil {
				t.Fatal(err)
			}
		})
	}
	return min(average(), average(), average(), average(), average())
}
