package main

import (
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// runOutage stops Keycloak while valid tokens and tokens with unknown keys are sent. Users who
// signed in before the outage must stay signed in for a day.
func runOutage(s *system, duration time.Duration) error {
	if err := s.startWithKeys(); err != nil {
		return err
	}
	token := s.validToken()
	fetchedAt := s.fetches.lastFetchStart()
	s.fetches.reset()
	s.kc.Down()
	var validTally, unknownTally tally
	wrongStatusCount := 0
	start := time.Now()
	for n := 0; n == 0 || time.Since(fetchedAt) < duration; n++ {
		got := s.send(token)
		validTally.add(got, got.Result == aliceID)
		got = s.send(s.unknownKeyToken(n))
		unknownTally.add(got, got.Result == unavailableText)
		if s.status() != statusStale {
			wrongStatusCount++
		}
		time.Sleep(duration / 2400)
	}
	s.checkValid(&validTally)
	s.checkOutcomes("tokens with unknown keys get ErrKeysUnavailable", &unknownTally)
	s.checkTimeSensitive(wrongStatusCount == 0, "the status is "+string(statusStale),
		"another status %d of %d times", wrongStatusCount, validTally.total)
	elapsed := time.Since(start)
	fetches := s.checkFetches(
		int(elapsed/(maxRetryInterval+s.tolerance)), 10+int(elapsed/(4*time.Second)))
	// After a few failures, only the refresher fetches keys, and unknown keys cause no fetches.
	if len(fetches) > 5 {
		shortestGap := minGap(fetches[5:])
		s.checkTimeSensitive(shortestGap >= 4*time.Second-s.tolerance/5,
			"fetches are at least 4 s apart", "at least %v apart", shortestGap)
	}
	longestGap := time.Duration(0)
	for i := range len(fetches) - 1 {
		longestGap = max(longestGap, fetches[i+1].Sub(fetches[i]))
	}
	s.checkTimeSensitive(longestGap <= maxRetryInterval+s.tolerance,
		"fetches are at most 5 s apart", "at most %v apart", longestGap)
	if duration > maxAge/2 {
		time.Sleep(time.Until(fetchedAt.Add(maxAge + time.Second)))
		result := s.send(token).Result
		s.check(result == unavailableText && s.status() == statusUnusable,
			"keys older than a day aren't used", "%s", result)
		s.checkStatus(statusUnusable, 1)
	} else {
		s.checkStatus(statusStale, 1)
	}
	s.kc.Up()
	s.checkRecovery(maxRetryInterval, token)
	result := s.send(s.unknownKeyToken(0)).Result
	s.checkTimeSensitive(
		result == unknownKeyText, "tokens with unknown keys get ErrKeyUnknown again", "%s", result)
	return nil
}

// A startFailure is a failure of Keycloak while the key set starts.
type startFailure struct {
	name   string
	inject func(*keycloaktest.Server) (restore func())
}

var startFailures = []startFailure{
	{"Keycloak is down", func(kc *keycloaktest.Server) func() {
		kc.Down()
		return kc.Up
	}},
	{"Keycloak hangs", func(kc *keycloaktest.Server) func() {
		return kc.Fail(keycloaktest.Fault{Hang: true})
	}},
	{"Keycloak has no keys", func(kc *keycloaktest.Server) func() {
		return kc.Fail(keycloaktest.Fault{Status: 200, ContentType: jsonType, Body: `{"keys":[]}`})
	}},
}

// run starts the key set while Keycloak fails. No token may be reported as invalid, none may wait
// long, and the key set must recover by itself.
func (f startFailure) run(s *system, duration time.Duration) error {
	restore := f.inject(s.kc)
	s.startRefresher()
	time.Sleep(s.tolerance)
	var validTally, unknownTally tally
	token := s.validToken()
	stop := s.sendRepeatedly(&validTally, 10*time.Millisecond, func() string { return token },
		unavailableText)
	s.sendUnknownKeys(
		duration, func(got outcome) { unknownTally.add(got, got.Result == unavailableText) })
	stop()
	for _, outcomes := range []*tally{&validTally, &unknownTally} {
		s.checkOutcomes("all tokens get ErrKeysUnavailable", outcomes)
		s.checkTimeSensitive(
			outcomes.longestWait <= maxWait+s.tolerance, "no request waits longer than 1 s", "%v",
			outcomes.longestWait)
	}
	waiters := maxWaitingAtOnce(append(unknownTally.waits, validTally.waits...))
	s.checkTimeSensitive(waiters <= maxWaiters, "at most 16 wait at the same time", "%d", waiters)
	s.checkFetches(1, 1+int(duration/minFetchInterval))
	s.checkStatus(statusUnusable, 1)
	restore()
	s.checkRecovery(fetchTimeout+maxRetryInterval, token)
	return nil
}
