//go:build !race

// The race detector adds allocations.

package cloakql_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak"
)

// Requests take at most these numbers of allocations. Unlike times, allocations don't depend on the
// machine, so a test can limit them. Each limit is the number that was measured in November 2026,
// plus 5 %. If a change needs more, measure it with BenchmarkStages and make bench, and raise the
// limit in the commit that says what the allocations are for.
func TestStages_allocations(t *testing.T) {
	limits := map[string]float64{
		"whole": 163, "whole/kept answer": 22, "middleware/cached token": 5, "log": 0}
	whole, sum := 0.0, 0.0
	for _, stage := range newStages(t) {
		n := allocations(t, stage.run)
		if limit, ok := limits[stage.name]; ok && n > limit {
			t.Errorf("%s: %v allocations, want at most %v", stage.name, n, limit)
		}
		switch {
		case stage.name == "whole":
			whole = n
		case !strings.Contains(stage.name, "/"):
			sum += n
		}
	}
	if sum < 0.95*whole || sum > 1.05*whole {
		t.Errorf("the stages make %v allocations, want the %v of the whole handler, within 5 %%",
			sum, whole)
	}
}

// Between two checks of its session, a request makes no more allocations with SessionCheck than
// without.
func TestSessionCheck_allocations(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	header := http.Header{"Content-Type": {"application/json"},
		"Authorization": {"Bearer " + signIn(t, kc).AccessToken}}
	measure := func(check *keycloak.SessionCheckConfig) float64 {
		config := testConfig(t, withKeycloak(kc), "RUNTIME_ENV=prod")
		config.Log = slog.New(slog.DiscardHandler)
		// The token was issued before the last interval.
		config.Tokens.Now = func() time.Time { return time.Now().Add(2 * time.Minute) }
		config.SessionCheck = check
		send := newSender(newServer(t, config).Handler(), header)
		run := func() error { return send().checkMe() }
		if err := run(); err != nil {
			t.Fatal(err)
		}
		if check != nil {
			waitFor(t, "the session to be checked", func() bool {
				return kc.Count("/token/introspect") > 0
			})
		}
		return allocations(t, run)
	}
	want := measure(nil)
	for _, wait := range []bool{false, true} {
		kc.ResetRequests()
		got := measure(&keycloak.SessionCheckConfig{Interval: time.Minute, Wait: wait})
		if got > want {
			t.Errorf("wait %v: %v allocations with SessionCheck, %v without", wait, got, want)
		}
		if count := kc.Count("/token/introspect"); count != 1 {
			t.Errorf("wait %v: the session was checked %d times, want once", wait, count)
		}
	}
}

// allocations returns how many allocations a call of run makes. It takes the lowest of several
// averages, because goroutines of other tests may still be ending.
func allocations(t *testing.T, run func() error) float64 {
	t.Helper()
	average := func() float64 {
		return testing.AllocsPerRun(100, func() {
			if err := run(); err != nil {
				t.Fatal(err)
			}
		})
	}
	return min(average(), average(), average(), average(), average())
}
