package main

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"
	"time"
)

// What is of real time isn't asked here: a machine that runs all tests has much else to do.
func TestDrills(t *testing.T) {
	rows, err := drills(time.Second)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, r := range rows {
		drill := r.drill
		if strings.HasPrefix(drill, "Keycloak answers with ") {
			drill = "Keycloak answers with"
		}
		count[drill]++
		if r.asked == "" || r.seen == "" {
			t.Errorf("a row says too little: %+v", r)
		}
		if !r.ok && !r.clock {
			t.Errorf("%s: %s: %s", r.drill, r.asked, r.seen)
		}
	}
	for drill, want := range map[string]int{
		"storm of junk": 8, "ten thousand at once": 2, "rotation, the old key listed": 3, "rotation, the old key gone": 2,
		"Keycloak down": 4, "Keycloak answers with": len(ill("")),
	} {
		if count[drill] != want {
			t.Errorf("%s has %d rows, want %d", drill, count[drill], want)
		}
		delete(count, drill)
	}
	if len(count) > 0 {
		t.Errorf("rows of %v were not expected", count)
	}
}

func TestTheTableDecides(t *testing.T) {
	good := row{"one", "asked", "seen", true, false}
	bad := row{"two", "more", "less", false, true}
	for _, tt := range []struct {
		name string
		rows []row
		want error
	}{
		{"all well", []row{good, good}, nil},
		{"one isn't", []row{good, bad, good}, errNotOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := show(&out, tt.rows); !errors.Is(err, tt.want) {
				t.Errorf("show() = %v, want %v", err, tt.want)
			}
			if lines := strings.Count(out.String(), "\n"); lines != len(tt.rows)+1 {
				t.Errorf("the table has %d lines, want %d:\n%s", lines, len(tt.rows)+1, &out)
			}
			if strings.Contains(out.String(), "NOT OK") != (tt.want != nil) {
				t.Errorf("the table doesn't say how it went:\n%s", &out)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-seconds", "0"}, {"-seconds", "-1"}, {"-seconds", "NaN"}, {"-seconds", "1e9"}, {"more"}} {
		if err := run(args, t.Output()); !errors.Is(err, errUsage) {
			t.Errorf("run(%v) = %v, want %v", args, err, errUsage)
		}
	}
	if err := run([]string{"-h"}, t.Output()); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("run(-h) = %v, want %v", err, flag.ErrHelp)
	}
}
