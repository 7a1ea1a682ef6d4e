// Command drill shows, in real time, how a key set copes with outages, key rotations and attacks:
//
//	go run ./keycloak/drill
//
// The system under test (system.go) is a keycloaktest server on 127.0.0.1 and a small HTTP server
// with keycloak.Middleware, reached over real connections. The scenarios are listed in
// scenarios.go:
//
//   - flood.go: a thousand unknown key IDs a second over 64 connections while keys rotate, and ten
//     thousand goroutines that verify valid and invalid tokens concurrently
//   - rotation.go: new keys while the old ones stay listed, and while they are removed
//   - outage.go: a Keycloak that goes down, or that is down at the start
//   - bad_responses.go: a Keycloak that responds slowly, or with something other than its keys
//
// The output is a table of what each check expects, what was observed, and whether that is OK. If a
// check isn't OK, the exit status is 1. The package's tests run the same scenarios, and some longer
// ones, with a fake clock: then every request can be counted, and a busy machine makes no
// difference. In real time, a busy machine can make checks fail.
//
// Keys are on the curve P-256, because they are generated in this process during the measurements:
// RSA keys would take more time than everything else.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"text/tabwriter"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "drill:", err)
		os.Exit(1)
	}
}

var (
	errChecksFailed = errors.New("some checks aren't OK")
	errUsage        = errors.New("usage: drill [-seconds N], with N more than 0 and at most 86400")
)

// run runs the scenarios and prints the table. It returns errChecksFailed if a check isn't OK, and
// errUsage for bad arguments.
func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("drill", flag.ContinueOnError)
	seconds := flags.Float64("seconds", 60,
		"approximate duration of all scenarios; some take at least 6")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !(*seconds > 0 && *seconds <= 24*60*60) || flags.NArg() > 0 {
		return errUsage
	}
	results, err := runAll(time.Duration(*seconds * float64(time.Second)))
	if err != nil {
		return err
	}
	return printTable(stdout, results)
}

// runAll runs the scenarios in real time. Exclusive scenarios run one after another. The others
// spend most of their time waiting, and run concurrently.
func runAll(duration time.Duration) (results []checkResult, err error) {
	allScenarios := scenarios()
	resultsByScenario, errs := make([][]checkResult, len(allScenarios)),
		make([]error, len(allScenarios))
	var wg sync.WaitGroup
	for i, sc := range allScenarios {
		runScenario := func() {
			var s *system
			if s, errs[i] = newSystem(sc.name, nil); errs[i] == nil {
				defer s.Close()
				errs[i] = sc.run(s, time.Duration(float64(duration)*sc.durationShare))
				resultsByScenario[i] = s.results
			}
		}
		switch {
		case sc.durationShare == 0:
		case sc.isExclusive:
			runScenario()
		default:
			wg.Go(runScenario)
		}
	}
	wg.Wait()
	for _, scenarioResults := range resultsByScenario {
		results = append(results, scenarioResults...)
	}
	return results, errors.Join(errs...)
}

// printTable prints the results, and returns errChecksFailed if one of them isn't OK.
func printTable(stdout io.Writer, results []checkResult) error {
	var tableErr error
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SCENARIO\tEXPECTED\tOBSERVED\tVERDICT")
	for _, r := range results {
		verdict := "ok"
		if !r.ok {
			verdict, tableErr = "NOT OK", errChecksFailed
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.scenario, r.expected, r.observed, verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return tableErr
}
