package main

import (
	"fmt"
	"time"
)

// A scenario changes Keycloak or sends tokens to the verifier, and checks what must hold meanwhile.
// The program runs scenarios in real time; scenarios_test.go runs them with a fake clock.
type scenario struct {
	name         string
	fakeDuration time.Duration // duration in the test, by the fake clock
	// realShare is the scenario's share of the program's time; if 0, only the test runs it.
	realShare   float64
	isExclusive bool // runs while no other scenario does
	run         func(s *system, duration time.Duration) error
}

func scenarios() []scenario {
	list := []scenario{
		{"flood of unknown keys", 24 * time.Second, 0.6, true, flood},
		{"ten thousand at once", time.Second, 0.1, true, tenThousandAtOnce},
		{"rotation, the old key listed", 22 * time.Second, 0.3, false, rotateAndKeep},
		{"rotation, the old key removed", 22 * time.Second, 0.3, false, rotateAndRemove},
		{"Keycloak down", maxAge - time.Minute, 0.2, false, outage},
		{"rotation, the new key is not used", 0, 0, false, rotateUnnoticed},
		{"unknown keys, slow fetches", 10 * time.Minute, 0, false, slowFetches},
		{"flood while Keycloak hangs", 8 * time.Second, 0, false, floodWhileHanging},
	}
	for _, failure := range startFailures {
		list = append(list,
			scenario{"start while " + failure.name, 6 * time.Second, 0, false, failure.run})
	}
	for i, response := range badResponses("", "") {
		list = append(list,
			scenario{"Keycloak responds with " + response.name, time.Minute, 0.1, false,
				func(s *system, duration time.Duration) error {
					return respondBadly(s, i, duration)
				}})
	}
	return list
}

// A row is the result of one check.
type row struct {
	scenario, expected, observed string
	ok                           bool
	isTiming                     bool // in real time, a busy machine can make it fail
}

// check adds a row. format and args describe what was observed.
func (s *system) check(ok bool, expected, format string, args ...any) {
	s.rows = append(s.rows, row{scenario: s.name, expected: expected,
		observed: fmt.Sprintf(format, args...), ok: ok})
}

// checkTiming adds a row that may fail in real time on a busy machine.
func (s *system) checkTiming(ok bool, expected, format string, args ...any) {
	s.check(ok, expected, format, args...)
	s.rows[len(s.rows)-1].isTiming = true
}

// checkStatus adds a row about the key set's Status and the number of lines logged since the last
// call of checkStatus.
func (s *system) checkStatus(wantUsable, wantFailing bool, lineCount int) {
	loggedLines := s.log.drain()
	s.checkTiming(s.hasStatus(wantUsable, wantFailing) && len(loggedLines) == lineCount,
		fmt.Sprintf("keys usable %v, failing %v, logged in %d lines", wantUsable, wantFailing, lineCount),
		"%d lines: %.200q", len(loggedLines), loggedLines)
}

// checkOutcomes adds a row that fails if any outcome was wrong.
func (s *system) checkOutcomes(expected string, t *tally) {
	s.checkTiming(t.wrongCount == 0 && t.total > 0, expected, "%d of %d wrong%s", t.wrongCount,
		t.total, t.firstWrong)
}

// checkValid adds rows about valid tokens with known keys: no token may be rejected, and none may
// wait.
func (s *system) checkValid(t *tally) {
	s.check(t.wrongCount == 0 && t.total > 0, "no valid token rejected", "%d of %d rejected%s",
		t.wrongCount, t.total, t.firstWrong)
	s.checkTiming(t.longestWait == 0, "no valid token waits", "the longest wait was %v",
		t.longestWait)
}

// checkFetches adds a row about the number of fetches and their intervals, and returns when they
// started.
func (s *system) checkFetches(minFetches, maxFetches int) []time.Time {
	starts := s.fetches.startTimes()
	shortestGap := minGap(starts)
	s.checkTiming(shortestGap >= minFetchInterval-s.tolerance/5 &&
		len(starts) >= minFetches && len(starts) <= maxFetches,
		fmt.Sprintf("%d to %d fetches, at least %v apart", minFetches, maxFetches,
			minFetchInterval),
		"%d fetches, at least %v apart", len(starts), shortestGap.Round(time.Millisecond))
	return starts
}

// checkRecovery adds rows about the time after Keycloak has recovered: the keys must be fetched
// within limit, although no token needs them, and then these tokens must pass.
func (s *system) checkRecovery(limit time.Duration, tokens ...string) {
	elapsed, ok := waitUntil(limit+s.tolerance, func() bool { return s.hasStatus(true, false) })
	s.checkTiming(ok, fmt.Sprintf("keys fetched again within %v", limit), "%v",
		elapsed.Round(time.Millisecond))
	s.checkStatus(true, false, 1)
	var validTally tally
	for _, token := range tokens {
		o := s.send(token)
		validTally.add(o, o.Result == aliceID)
	}
	s.checkOutcomes("all tokens pass again", &validTally)
}

// minGap returns the shortest time between two fetches, or an hour if there are no two.
func minGap(starts []time.Time) time.Duration {
	gap := time.Hour
	for i := 1; i < len(starts); i++ {
		gap = min(gap, starts[i].Sub(starts[i-1]))
	}
	return gap
}
