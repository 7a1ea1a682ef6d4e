package main

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"
	"time"
)

// runAll runs the scenarios in real time. Timing checks may fail here, because other tests run on
// the same machine.
func TestRunAll(t *testing.T) {
	rows, err := runAll(time.Second)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, r := range rows {
		count[r.scenario]++
		if !r.ok && !r.timing {
			t.Errorf("%s: %s: %s", r.scenario, r.expected, r.observed)
		}
	}
	for _, sc := range scenarios() {
		if (count[sc.name] > 4) != (sc.realShare > 0) {
			t.Errorf("%s has %d rows; want more than 4: %v", sc.name, count[sc.name],
				sc.realShare > 0)
		}
	}
}

// printTable prints a line for each row, and returns errNotOK if a row isn't OK.
func TestPrintTable(t *testing.T) {
	okRow := row{"one", "expected", "observed", true, false}
	failedRow := row{"two", "more", "less", false, true}
	for _, tt := range []struct {
		name string
		rows []row
		want error
	}{
		{"all OK", []row{okRow, okRow}, nil},
		{"one not OK", []row{okRow, failedRow, okRow}, errNotOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := printTable(&out, tt.rows); !errors.Is(err, tt.want) {
				t.Errorf("printTable() = %v, want %v", err, tt.want)
			}
			if lines := strings.Count(out.String(), "\n"); lines != len(tt.rows)+1 {
				t.Errorf("got %d lines, want %d:\n%s", lines, len(tt.rows)+1, &out)
			}
			if strings.Contains(out.String(), "NOT OK") != (tt.want != nil) {
				t.Errorf("NOT OK is printed: %v, want %v:\n%s", tt.want == nil, tt.want != nil,
					&out)
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
