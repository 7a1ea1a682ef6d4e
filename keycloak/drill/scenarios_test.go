package main

import (
	"testing"
	"testing/synctest"
)

// Every check of every scenario passes with a fake clock. The fake Keycloak runs inside the
// synctest bubble, and is reached over in-memory pipes. HTTP is real but the clock isn't: a request
// that doesn't wait takes no time at all, so waits can be measured exactly.
func TestScenarios(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := newSystem(sc.name, &pipes{listeners: map[string]*pipeListener{}})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if err := sc.run(s, sc.fakeDuration); err != nil {
					t.Fatal(err)
				}
				if len(s.results) < 2 {
					t.Errorf("got %d checks, want at least 2", len(s.results))
				}
				for _, r := range s.results {
					if !r.ok {
						t.Errorf("got %s, want %s", r.observed, r.expected)
					}
				}
			})
		})
	}
}
