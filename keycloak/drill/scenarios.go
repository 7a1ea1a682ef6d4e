package main

import (
	"fmt"
	"time"
)

// A scenario changes Keycloak or sends tokens to the verifier, and checks what must hold meanwhile.
// The program runs scenarios in real time; scenarios_test.go runs them with a fake clock.
type scenario struct {
	name       string
	fakeLength time.Duration // duration in the test, by the fake clock
	// realShare is the scenario's share of the program's time; if 0, only the test runs it.
	realShare float64
	exclusive bool // runs while no other scenario does
	run       func(s *system, length time.Duration) error
}

func scenarios() []scenario {
	all := []scenario{
		{"flood of unknown keys", 24 * time.Second, 0.6, true, flood},
		{"ten thousand at once", time.Second, 0.1, true, tenThousandAtOnce},
		{"rotation, the old key listed", 22 * time.Second, 0.3, false, rotateAndKeep},
		{"rotation, the old key removed", 22 * time.Second, 0.3, false, rotateAndRemove},
		{"Keycloak down", maxAge - time.Minute, 0.2, false, outage},
		{"rotation, the new key is not used", 0, 0, false, rotateUnnoticed},
		{"unknown keys, slow fetches", 10 * time.Minute, 0, false, slowFetches},
		{"flood while Keycloak hangs", 8 * time.Second, 0, false, floodWhileHanging},
	}
	for i, start := range badStarts {
		all = append(all,
			scenario{"start while " + start.name, 6 * time.Second, 0, false, badStarts[i].run})
	}
	for i, response := range badResponses("", "") {
		all = append(all,
			scenario{"Keycloak responds with " + response.name, time.Minute, 0.1, false,
				func(s *system, length time.Duration) error { return respondBadly(s, i, length) }})
	}
	return all
}

// A row is the result of one check.
type row struct {
	scenario, expected, observed string
	ok                           bool
	timing                       bool // in real time, a busy machine can make it fail
}

// check adds a row. format and args describe what was observed.
func (s *system) check(ok bool, expected, format string, args ...any) {
	s.rows = append(s.rows, row{scenario: s.name, expected: expected,
		observed: fmt.Sprintf(format, args...), ok: ok})
}

// checkTiming adds a row that may fail in real time on a busy machine.
func (s *system) checkTiming(ok bool, expected, format string, args ...any) {
	s.check(ok, expected, format, args...)
	s.rows[len(s.rows)-1].timing = true
}

// checkStatus adds a row about the key set's Status and the number of lines logged since the last
// call of checkStatus.
func (s *system) checkStatus(usable, failing bool, lines int) {
	logged := s.log.drain()
	s.checkTiming(s.status(usable, failing) && len(logged) == lines,
		fmt.Sprintf("keys usable %v, failing %v, logged in %d lines", usable, failing, lines),
		"%d lines: %.200q", len(logged), logged)
}

// checkOutcomes adds a row that fails if any outcome was wrong.
func (s *system) checkOutcomes(expected string, t *tally) {
	s.checkTiming(t.wrong == 0 && t.total > 0, expected, "%d of %d wrong%s", t.wrong, t.total,
		t.firstWrong)
}

// checkValid adds rows about valid tokens with known keys: no token may be refused, and none may
// wait.
func (s *system) checkValid(t *tally) {
	s.check(t.wrong == 0 && t.total > 0, "no valid token refused", "%d of %d refused%s", t.wrong,
		t.total, t.firstWrong)
	s.checkTiming(t.longest == 0, "no valid token waits", "the longest wait was %v", t.longest)
}

// checkFetches adds a row about the number of fetches and their intervals, and returns when they
// started.
func (s *system) checkFetches(minFetches, maxFetches int) []time.Time {
	times := s.fetches.startTimes()
	shortest := shortestInterval(times)
	s.checkTiming(shortest >= minFetchInterval-s.tolerance/5 &&
		len(times) >= minFetches && len(times) <= maxFetches,
		fmt.Sprintf("%d to %d fetches, at least %v apart", minFetches, maxFetches,
			minFetchInterval),
		"%d fetches, at least %v apart", len(times), shortest.Round(time.Millisecond))
	return times
}

// checkRecovery adds rows about the time after Keycloak has recovered: the keys must be fetched
// within limit, although no token needs them, and then these tokens must pass.
func (s *system) checkRecovery(limit time.Duration, tokens ...string) {
	took, ok := waitUntil(limit+s.tolerance, func() bool { return s.status(true, false) })
	s.checkTiming(ok, fmt.Sprintf("keys fetched again within %v", limit), "%v",
		took.Round(time.Millisecond))
	s.checkStatus(true, false, 1)
	var validTally tally
	for _, token := range tokens {
		o := s.send(token)
		validTally.add(o, o.Result == alice)
	}
	s.checkOutcomes("all tokens pass again", &validTally)
}

// shortestInterval returns the shortest time between two fetches, or an hour if there are no two.
func shortestInterval(times []time.Time) time.Duration {
	shortest := time.Hour
	for i := 1; i < len(times); i++ {
		shortest = min(shortest, times[i].Sub(times[i-1]))
	}
	return shortest
}
