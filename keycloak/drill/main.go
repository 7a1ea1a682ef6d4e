// Command drill plays in real time what Keycloak or strangers may do to a verifier's keys:
//
//	go run ./keycloak/drill
//
// A site (site.go) is a Keycloak of keycloaktest on a port of 127.0.0.1, and beside it a server of
// a few lines with keycloak.Middleware on another; requests to them go over real connections. The
// scenarios are listed in scenarios.go:
//
//   - flood.go: a thousand unknown key ids a second over 64 connections while keys rotate; ten
//     thousand goroutines that verify good and bad tokens at once;
//   - rotation.go: new keys while the old ones stay listed, and while they don't;
//   - outage.go: a Keycloak that is down, later or from the start;
//   - bad_responses.go: a Keycloak that answers with anything but its keys, or takes its time.
//
// The result is a table: what each scenario asks for, what was seen, and whether that is enough.
// The exit status is 1 where it isn't. The tests of this package play the same scenarios, and some
// longer ones, with a fake clock: they count to the last request, and find the same on a busy
// machine. In real time a busy machine can be what fails.
//
// Keys are of the curve P-256. The site makes them in this process while it is measured, and RSA
// keys would cost more than all the rest.
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
	errNotOK = errors.New("not all is OK")
	errUsage = errors.New("usage: drill [-seconds N], more than 0 and a day at most")
)

// run plays the scenarios and prints the table. It fails with errNotOK where a row says so, and
// with errUsage before it begins.
func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("drill", flag.ContinueOnError)
	seconds := flags.Float64("seconds", 60,
		"how long all of it may take, more or less; some take 6 at least")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !(*seconds > 0 && *seconds <= 24*60*60) || flags.NArg() > 0 {
		return errUsage
	}
	rows, err := playAll(time.Duration(*seconds * float64(time.Second)))
	if err != nil {
		return err
	}
	return show(stdout, rows)
}

// playAll plays the scenarios in real time. Those that need the machine for themselves come first,
// one after the other; the others mostly wait, and run together.
func playAll(length time.Duration) (rows []row, err error) {
	all := scenarios()
	results, failures := make([][]row, len(all)), make([]error, len(all))
	var running sync.WaitGroup
	for i, sc := range all {
		play := func() {
			var s *site
			if s, failures[i] = newSite(sc.name, nil); failures[i] == nil {
				defer s.Close()
				failures[i] = sc.play(s, time.Duration(float64(length)*sc.real))
				results[i] = s.rows
			}
		}
		switch {
		case sc.real == 0:
		case sc.exclusive:
			play()
		default:
			running.Go(play)
		}
	}
	running.Wait()
	for _, more := range results {
		rows = append(rows, more...)
	}
	return rows, errors.Join(failures...)
}

func show(stdout io.Writer, rows []row) error {
	var failed error
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SCENARIO\tASKED\tSEEN\tVERDICT")
	for _, r := range rows {
		verdict := "ok"
		if !r.ok {
			verdict, failed = "NOT OK", errNotOK
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.scenario, r.asked, r.seen, verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return failed
}
