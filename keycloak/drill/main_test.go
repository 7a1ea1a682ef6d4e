package main

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"
	"time"
)

// runAll runs the scenarios that have a share of real time. All checks pass, except that timing
// checks may fail: other tests run on the same machine.
func TestRunAll(t *testing.T) {
	rows, err := runAll(time.Second)
	if err != nil {
		t.Fatal(err)
	}
	rowCounts := map[string]int{}
	for _, r := range rows {
		rowCounts[r.scenario]++
		if !r.ok && !r.isTiming {
			t.Errorf("%s: got %s, want %s", r.scenario, r.observed, r.expected)
		}
	}
	for _, sc := range scenarios() {
		n := rowCounts[sc.name]
		if sc.realShare > 0 && n < 5 {
			t.Errorf("%s: got %d rows, want at least 5", sc.name, n)
		}
		if sc.realShare == 0 && n > 0 {
			t.Errorf("%s: got %d rows, want none in real time", sc.name, n)
		}
	}
}

// printTable prints a line for each row, and returns errChecksFailed if a row isn't OK.
func TestPrintTable(t *testing.T) {
	okRow := row{scenario: "one", expected: "expected", observed: "observed", ok: true}
	failedRow := row{scenario: "two", expected: "more", observed: "less", isTiming: true}
	for _, tt := range []struct {
		name string
		rows []row
		want error
	}{
		{"all OK", []row{okRow, okRow}, nil},
		{"one not OK", []row{okRow, failedRow, okRow}, errChecksFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := printTable(&out, tt.rows); !errors.Is(err, tt.want) {
				t.Errorf("printTable() = %v, want %v", err, tt.want)
			}
			if lines := strings.Count(out.String(), "\n"); lines != len(tt.rows)+1 {
				t.Errorf("got %d lines, want %d:\n%s", lines, len(tt.rows)+1, &out)
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
