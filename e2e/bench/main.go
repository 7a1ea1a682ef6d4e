// Command bench compares the cost of requests to CloakQL with the cost of requests to a bare
// net/http handler that sends the same bytes:
//
//	go run ./e2e/bench
//
// It starts a fake Keycloak in this process, builds and starts cmd/cloakql, and sends load with wrk
// (https://github.com/wg/wrk), which has to be installed. All targets run in each round, in random
// order, so that noise on the machine affects all of them equally. The result is Markdown with the
// medians over all rounds; docs/performance.md has the latest result.
//
// With -logins, it measures only sign-ins. With -growth, it measures only how throughput, latency
// and memory change with the number of connections, tokens and fields. With -pgo FILE, it writes a
// CPU profile for the compiler.
//
// Linux only: CPU time and memory come from /proc.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"time"
)

// options are the values of the command line's flags.
type options struct {
	rounds      int
	window      time.Duration
	connections int
	only        string // a part of the names of the targets to run
	binary      string
	plot        string // a file for the plot, or empty
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		exit(serve(os.Args[2:]))
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "number of rounds")
	flag.DurationVar(&o.window, "window", 3*time.Second, "how long each target runs in a round")
	flag.IntVar(&o.connections, "connections", 32, "number of connections of wrk")
	flag.StringVar(&o.only, "only", "",
		"run only \"bare net/http\" and the targets whose names contain this text, and skip "+
			"the other measurements; with -growth, run only connections, tokens or fields")
	flag.StringVar(&o.binary, "binary", "", "a cloakql binary; built from this module if empty")
	flag.StringVar(&o.plot, "plot", "", "write a plot of the table to this SVG file")
	growth := flag.Bool("growth", false, "measure growth instead (20 minutes)")
	logins := flag.Bool("logins", false, "measure only sign-ins")
	profile := flag.String("pgo", "", "write a CPU profile to this file instead")
	flag.Parse()
	exit(run(o, *logins, *growth, *profile))
}

// exit ends the program, with status 1 if err isn't nil.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run runs the part of the benchmark that the flags choose.
func run(o options, logins, growth bool, profile string) error {
	if runtime.GOOS != "linux" {
		return errors.New("this program needs Linux: it reads CPU times from /proc")
	}
	s, err := newSetup(o.binary)
	if err != nil {
		return err
	}
	defer s.close()
	switch {
	case profile != "":
		return s.writeProfile(profile)
	case logins:
		return s.measureLogins(o)
	case growth:
		return s.measureGrowth(o)
	}
	if err := s.startBare(); err != nil {
		return err
	}
	return s.measureAll(o)
}

// measureAll measures all targets and prints the report.
func (s *setup) measureAll(o options) error {
	targets, err := s.targets(o.only)
	if err != nil {
		return err
	}
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
		for _, i := range rand.Perm(len(targets)) {
			if err := targets[i].measure(o.connections, o.window); err != nil {
				return fmt.Errorf("%s: %w", targets[i].name, err)
			}
		}
	}
	fmt.Fprintln(os.Stderr, "counting allocations")
	for i, t := range targets {
		if err := s.countAllocations(t, i, o.connections); err != nil {
			return fmt.Errorf("allocations of %s: %w", t.name, err)
		}
	}
	fmt.Printf("Commit %s, %d cores, %s, %d connections, %d rounds of %v in random order, "+
		"medians. The response has %d bytes.\n\n", commit(), runtime.NumCPU(), runtime.Version(),
		o.connections, o.rounds, o.window, s.responseBytes())
	printTable(targets)
	if o.plot != "" {
		if err := writePlot(o.plot, targets); err != nil {
			return err
		}
	}
	if o.only != "" {
		return nil
	}
	printUncachedTokens(targets)
	if err := s.printProcess(targets); err != nil {
		return err
	}
	return s.measureLogins(o)
}
