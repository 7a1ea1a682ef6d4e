package main

import (
	"fmt"
	"time"
)

// A scenario is something that Keycloak or strangers do to a verifier's keys, with what must hold
// meanwhile. The program plays scenarios in real time, and scenarios_test.go with a fake clock.
type scenario struct {
	name string
	fake time.Duration // how long the test plays it, by the fake clock
	// real is the part of its time for which the program plays it; 0 leaves it to the test.
	real      float64
	exclusive bool // needs the machine for itself
	play      func(s *site, length time.Duration) error
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
			scenario{"start while " + start.name, 6 * time.Second, 0, false, badStarts[i].play})
	}
	for i, response := range badResponses("", "") {
		all = append(all,
			scenario{"Keycloak answers with " + response.name, time.Minute, 0.1, false,
				func(s *site, length time.Duration) error { return answerBadly(s, i, length) }})
	}
	return all
}

// A row says what one scenario asks for, and what was seen.
type row struct {
	scenario, asked, seen string
	ok                    bool
	clock                 bool // it is about real time, and a busy machine may be to blame
}

// check adds a row: whether it is ok, what is asked, and what was seen.
func (s *site) check(ok bool, asked, format string, args ...any) {
	s.rows = append(s.rows, row{s.name, asked, fmt.Sprintf(format, args...), ok, false})
}

// checkTime adds a row that may fail on a busy machine, in real time.
func (s *site) checkTime(ok bool, asked, format string, args ...any) {
	s.check(ok, asked, format, args...)
	s.rows[len(s.rows)-1].clock = true
}

// checkStatus adds a row about what readiness reports, and about the lines logged since the last
// such check.
func (s *site) checkStatus(usable, failing bool, lines int) {
	logged := s.log.take()
	s.checkTime(s.status(usable, failing) && len(logged) == lines,
		fmt.Sprintf("keys usable %v, failing %v, said in %d lines", usable, failing, lines),
		"%d lines: %.200q", len(logged), logged)
}

// checkAnswers adds a row about answers which must all be right.
func (s *site) checkAnswers(asked string, t *tally) {
	s.checkTime(t.wrong == 0 && t.total > 0, asked, "%d of %d wrong%s", t.wrong, t.total, t.first)
}

// checkValid adds rows about tokens whose keys are known: none is refused, and none waits.
func (s *site) checkValid(t *tally) {
	s.check(t.wrong == 0 && t.total > 0, "no valid token refused", "%d of %d refused%s", t.wrong,
		t.total, t.first)
	s.checkTime(t.longest == 0, "and none of them waits", "the longest wait was %v", t.longest)
}

// checkFetches adds a row about the intervals between fetches, and returns when these began.
func (s *site) checkFetches(minFetches, maxFetches int) []time.Time {
	times := s.fetches.times()
	shortest := shortestInterval(times)
	s.checkTime(shortest >= floor-s.lag/5 && len(times) >= minFetches && len(times) <= maxFetches,
		fmt.Sprintf("%d to %d fetches, %v apart at least", minFetches, maxFetches, floor),
		"%d fetches, %v apart at least", len(times), shortest.Round(time.Millisecond))
	return times
}

// checkRecovery adds rows about the time after Keycloak is back: the keys are soon fetched, though
// no request asks for them, and these tokens pass.
func (s *site) checkRecovery(within time.Duration, tokens ...string) {
	took, ok := until(within+s.lag, func() bool { return s.status(true, false) })
	s.checkTime(ok, fmt.Sprintf("found to be back within %v", within), "%v",
		took.Round(time.Millisecond))
	s.checkStatus(true, false, 1)
	var good tally
	for _, token := range tokens {
		a := s.ask(token)
		good.add(a, a.Said == alice)
	}
	s.checkAnswers("all tokens pass again", &good)
}

func shortestInterval(times []time.Time) time.Duration {
	shortest := time.Hour
	for i := 1; i < len(times); i++ {
		shortest = min(shortest, times[i].Sub(times[i-1]))
	}
	return shortest
}
