// Command bench compares the cost of requests to CloakQL with that of requests to a bare net/http
// handler that sends the same bytes:
//
//	go run ./e2e/bench
//
// It builds and starts cmd/cloakql with a fake Keycloak in this process, and sends load with wrk
// (https://github.com/wg/wrk), which has to be installed. All targets run in each round, in random
// order, so that noise on the machine affects all of them equally. The result is a Markdown table
// with medians of all rounds: docs/performance.md has the latest one.
//
// Linux only: CPU time and memory come from /proc.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// options are the values of the command line's flags.
type options struct {
	rounds      int
	window      time.Duration
	connections int
	only        string // a part of the names of the targets to run
	binary      string
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "serve-bare" {
		exit(serveBare(os.Args[2]))
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "rounds")
	flag.DurationVar(&o.window, "window", 3*time.Second, "how long each target runs in a round")
	flag.IntVar(&o.connections, "connections", 32, "connections of wrk")
	flag.StringVar(&o.only, "only", "", "run bare and the targets whose names contain this")
	flag.StringVar(&o.binary, "binary", "", "a cloakql binary; built from this module if empty")
	flag.Parse()
	exit(run(o))
}

// exit ends the program, with status 1 if err isn't nil.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run measures all targets and prints the table.
func run(o options) error {
	if runtime.GOOS != "linux" {
		return errors.New("only Linux has the /proc that CPU time is read from")
	}
	s, err := newSetup(o.binary)
	if err != nil {
		return err
	}
	defer s.close()
	targets, err := s.targets(o.only)
	if err != nil {
		return err
	}
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
		for _, i := range rand.Perm(len(targets)) {
			if err := targets[i].measure(o); err != nil {
				return fmt.Errorf("%s: %w", targets[i].name, err)
			}
		}
	}
	fmt.Printf("%s, %d cores, %s, %d connections, %d rounds of %v in random order, medians.\n\n",
		describeCommit(), runtime.NumCPU(), runtime.Version(), o.connections, o.rounds, o.window)
	fmt.Println("| target | requests/s | CPU µs/request | × bare | 1 / (× bare) | p50 ms | " +
		"p99 ms | p99.9 ms |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	bare := targets[0]
	for _, t := range targets {
		ratios := make([]float64, len(t.results))
		for i, r := range t.results {
			ratios[i] = r.cpu / bare.results[i].cpu
		}
		medianOf := func(field func(result) float64) float64 {
			var values []float64
			for _, r := range t.results {
				values = append(values, field(r))
			}
			return median(values)
		}
		ratio := median(ratios)
		fmt.Printf("| %s | %.0f | %.1f | %.2f | %.2f | %.2f | %.2f | %.2f |\n", t.name,
			medianOf(func(r result) float64 { return r.rate }),
			medianOf(func(r result) float64 { return r.cpu }), ratio, 1/ratio,
			medianOf(func(r result) float64 { return r.p50 }),
			medianOf(func(r result) float64 { return r.p99 }),
			medianOf(func(r result) float64 { return r.p999 }))
	}
	fmt.Println()
	return s.report()
}

// median returns the median of at least one value.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// describeCommit returns the commit that this program was built from, as the table's heading names
// it.
func describeCommit() string {
	info, _ := debug.ReadBuildInfo()
	var revision, modified string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			modified = strings.ReplaceAll(s.Value, "true", " with changes")
		}
	}
	return "Commit " + cmp.Or(revision, "unknown") + strings.TrimPrefix(modified, "false")
}
