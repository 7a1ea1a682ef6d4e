// Command drill shows in real time what a verifier's keys go through when things go wrong at
// Keycloak's, or when strangers try to make them:
//
//	go run ./keycloak/drill
//
// A site (site.go) is a stand-in for Keycloak, keycloaktest, on a port of 127.0.0.1, and beside it
// a server of a few lines with keycloak.Middleware on another; what is asked of them goes over real
// connections. The drills:
//
//   - storm.go: a thousand made-up key ids a second over 64 connections while keys rotate; and ten thousand goroutines
//     that verify good and bad tokens at once;
//   - rotation.go: new keys while the old ones stay listed, and while they don't;
//   - outage.go: a Keycloak that is down;
//   - illness.go: a Keycloak that answers with anything but its keys, or takes its time.
//
// The result is a table: what is asked of each drill, what was seen, and whether that is enough.
// The exit status is 1 where it isn't. The same is asked by tests with a clock of their own,
// drill_*_test.go in the directory above: they count to the last request, and tell the same on a
// busy machine. Here a machine that has much else to do can be the one that fails.
//
// Keys are of the curve P-256. The stand-in makes them in this process while it is measured, and
// RSA keys would cost it more than all the rest.
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

// What is asked of the key set, with what a machine may be late by.
const (
	floor    = time.Second     // from the start of a fetch to that of the next
	patience = time.Second     // that a request waits for a fetch at most
	crowd    = 16              // who wait for a fetch at most
	deadline = 3 * time.Second // of a fetch
	maxBody  = 1<<20 + 64<<10  // read of an answer, buffers included
	backAt   = 5 * time.Second // that Keycloak is found to be back, after it is
	slack    = 250 * time.Millisecond
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

// run runs the drills and prints the table. It fails with errNotOK where a row says so, and with
// errUsage before it begins.
func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("drill", flag.ContinueOnError)
	seconds := flags.Float64("seconds", 60, "how long all of it may take, more or less; some take 6 at least")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !(*seconds > 0 && *seconds <= 24*60*60) || flags.NArg() > 0 {
		return errUsage
	}
	rows, err := drills(time.Duration(*seconds * float64(time.Second)))
	if err != nil {
		return err
	}
	return show(stdout, rows)
}

// A row says what one drill was asked for, and what was seen.
type row struct {
	drill, asked, seen string
	ok                 bool
	clock              bool // it is about real time, and a busy machine may be to blame
}

// drills runs them all. Those that need the machine for themselves come first, one after the other;
// the rest mostly wait.
func drills(length time.Duration) ([]row, error) {
	var rows []row
	for _, drill := range []func() ([]row, error){
		func() ([]row, error) { return storm(length * 6 / 10) },
		func() ([]row, error) { return throng(length / 10) },
	} {
		more, err := drill()
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	calm := []func() ([]row, error){
		func() ([]row, error) { return overlapping(length * 3 / 10) },
		func() ([]row, error) { return sudden(length * 3 / 10) },
		func() ([]row, error) { return outage(length * 2 / 10) },
		illnesses,
	}
	results, failures := make([][]row, len(calm)), make([]error, len(calm))
	var running sync.WaitGroup
	for i, drill := range calm {
		running.Go(func() { results[i], failures[i] = drill() })
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
	fmt.Fprintln(table, "DRILL\tASKED\tSEEN\tVERDICT")
	for _, r := range rows {
		verdict := "ok"
		if !r.ok {
			verdict, failed = "NOT OK", errNotOK
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.drill, r.asked, r.seen, verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return failed
}
