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
	// durationShare is multiplied by the program's duration; if 0, only the test runs the scenario.
	durationShare float64
	isExclusive   bool // runs while no other scenario does
	run           func(s *system, duration time.Duration) error
}

func scenarios() []scenario {
	list := []scenario{
		{"flood of unknown keys", 24 * time.Second, 0.6, true, flood},
		{"ten thousand at once", time.Second, 0.1, true, verifyTenThousandAtOnce},
		{"rotation, the old key listed", 22 * time.Second, 0.3, false, rotateAndKeep},
		{"rotation, the old key removed", 22 * time.Second, 0.3, false, rotateAndRemove},
		{"Keycloak down", maxAge - time.Minute, 0.2, false, runOutage},
		{"rotation, the new key is not used", 0, 0, false, rotateUnnoticed},
		{"unknown keys, slow fetches", 10 * time.Minute, 0, false, sendDuringSlowFetches},
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

// A checkResult is the result of one check, which the table shows in a row.
type checkResult struct {
	scenario, expected, observed string
	ok                           bool
	isTimeSensitive              bool // in real time, a busy machine can make it fail
}

// check adds a result. format and args describe what was observed.
func (s *system) check(ok bool, expected, format string, args ...any) {
	s.results = append(s.results, checkResult{scenario: s.name, expected: expected,
		observed: fmt.Sprintf(format, args...), ok: ok})
}

// checkTimeSensitive adds a result that may be wrong in real time on a busy machine.
func (s *system) checkTimeSensitive(ok bool, expected, format string, args ...any) {
	s.check(ok, expected, format, args...)
	s.results[len(s.results)-1].isTimeSensitive = true
}

// checkStatus adds a result about the key set's status and the number of lines logged since the
// last call of checkStatus.
func (s *system) checkStatus(want keyStatus, lineCount int) {
	loggedLines := s.log.drain()
	status := s.status()
	s.checkTimeSensitive(status == want && len(loggedLines) == lineCount,
		fmt.Sprintf("the status is %q, after %d log lines", want, lineCount),
		"%q, %d lines: %.200q", status, len(loggedLines), loggedLines)
}

// checkOutcomes adds a result that isn't OK if any outcome was wrong.
func (s *system) checkOutcomes(expected string, outcomes *tally) {
	s.checkTimeSensitive(outcomes.wrongCount == 0 && outcomes.total > 0, expected,
		"%d of %d wrong%s", outcomes.wrongCount, outcomes.total, outcomes.firstWrong)
}

// checkValid adds results about valid tokens with known keys: no token may be rejected, and none
// may wait.
func (s *system) checkValid(outcomes *tally) {
	s.check(outcomes.wrongCount == 0 && outcomes.total > 0, "no valid token is rejected",
		"%d of %d rejected%s", outcomes.wrongCount, outcomes.total, outcomes.firstWrong)
	s.checkTimeSensitive(outcomes.longestWait == 0, "no valid token waits",
		"the longest wait was %v", outcomes.longestWait)
}

// checkFetches adds a result about the number of fetches and their intervals, and returns when they
// started.
func (s *system) checkFetches(minFetches, maxFetches int) []time.Time {
	starts := s.fetches.startTimes()
	shortestGap := minGap(starts)
	s.checkTimeSensitive(shortestGap >= minFetchInterval-s.tolerance/5 &&
		len(starts) >= minFetches && len(starts) <= maxFetches,
		fmt.Sprintf("%d to %d fetches, at least %v apart", minFetches, maxFetches,
			minFetchInterval),
		"%d fetches, at least %v apart", len(starts), shortestGap.Round(time.Millisecond))
	return starts
}

// checkRecovery adds results about the time after Keycloak has recovered: the keys must be fetched
// within limit, although no token needs them, and then these tokens must pass.
func (s *system) checkRecovery(limit time.Duration, tokens ...string) {
	elapsed, ok := waitUntil(limit+s.tolerance, func() bool { return s.status() == statusFresh })
	s.checkTimeSensitive(ok, fmt.Sprintf("keys are fetched again within %v", limit), "%v",
		elapsed.Round(time.Millisecond))
	s.checkStatus(statusFresh, 1)
	var validTally tally
	for _, token := range tokens {
		got := s.send(token)
		validTally.add(got, got.Result == aliceID)
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
