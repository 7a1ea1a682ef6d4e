package main

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"
	"time"
)

// runAll runs the scenarios with a durationShare above 0, and all their checks pass. Checks that
// are time sensitive may fail, because other tests run on the same machine.
func TestRunAll(t *testing.T) {
	results, err := runAll(time.Second)
	if err != nil {
		t.Fatal(err)
	}
	resultCounts := map[string]int{}
	for _, r := range results {
		resultCounts[r.scenario]++
		if !r.ok && !r.isTimeSensitive {
			t.Errorf("%s: got %s, want %s", r.scenario, r.observed, r.expected)
		}
	}
	for _, sc := range scenarios() {
		n := resultCounts[sc.name]
		if sc.durationShare > 0 && n < 5 {
			t.Errorf("%s: got %d results, want at least 5", sc.name, n)
		}
		if sc.durationShare == 0 && n > 0 {
			t.Errorf("%s: got %d results, want none in real time", sc.name, n)
		}
	}
}

// printTable prints a line for each result, and returns errChecksFailed if a check isn't OK.
func TestPrintTable(t *testing.T) {
	okResult := checkResult{scenario: "one", expected: "expected", observed: "observed", ok: true}
	failedResult := checkResult{scenario: "two", expected: "more", observed: "less",
		isTimeSensitive: true}
	for _, tt := range []struct {
		name    string
		results []checkResult
		want    error
	}{
		{"all OK", []checkResult{okResult, okResult}, nil},
		{"one not OK", []checkResult{okResult, failedResult, okResult}, errChecksFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := printTable(&out, tt.results); !errors.Is(err, tt.want) {
				t.Errorf("printTable() = %v, want %v", err, tt.want)
			}
			if lines := strings.Count(out.String(), "\n"); lines != len(tt.results)+1 {
				t.Errorf("got %d lines, want %d:\n%s", lines, len(tt.results)+1, &out)
			}
			hasNotOK, want := strings.Contains(out.String(), "NOT OK"), tt.want != nil
			if hasNotOK != want {
				t.Errorf("the table contains NOT OK: got %v, want %v:\n%s", hasNotOK, want, &out)
			}
		})
	}
}

// run returns errUsage for bad arguments, and flag.ErrHelp for -h.
func TestRun_usage(t *testing.T) {
	for _, args := range [][]string{{"-seconds", "0"}, {"-seconds", "-1"}, {"-seconds", "NaN"},
		{"-seconds", "1e9"}, {"more"}} {
		if err := run(args, t.Output()); !errors.Is(err, errUsage) {
			t.Errorf("run(%v) = %v, want %v", args, err, errUsage)
		}
	}
	if err := run([]string{"-h"}, t.Output()); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("run(-h) = %v, want %v", err, flag.ErrHelp)
	}
}
