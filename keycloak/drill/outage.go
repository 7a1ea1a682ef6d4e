package main

import (
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// outage stops Keycloak while valid tokens and tokens with unknown keys are sent. Users who signed
// in before the outage must stay signed in for a day.
func outage(s *system, duration time.Duration) error {
	if err := s.startWithKeys(); err != nil {
		return err
	}
	token := s.validToken()
	fetchedAt := s.fetches.lastFetchStart()
	s.fetches.reset("")
	s.kc.Down()
	var validTally, unknownTally tally
	wrongStatusCount := 0
	start := time.Now()
	for n := 0; n == 0 || time.Since(fetchedAt) < duration; n++ {
		o := s.send(token)
		validTally.add(o, o.Result == aliceID)
		o = s.send(s.unknownKeyToken(n))
		unknownTally.add(o, o.Result == unavailableText)
		if !s.hasStatus(true, true) {
			wrongStatusCount++
		}
		time.Sleep(duration / 2400)
	}
	s.checkValid(&validTally)
	s.checkOutcomes("unknown keys are reported as unavailable", &unknownTally)
	s.checkTiming(
		wrongStatusCount == 0, "keys usable, failing", "wrong %d of %d times", wrongStatusCount,
		validTally.total)
	elapsed := time.Since(start)
	fetches := s.checkFetches(
		int(elapsed/(maxRecovery+s.tolerance)), 10+int(elapsed/(4*time.Second)))
	// After a few failures, unknown keys cause no fetches in addition to the refresher's.
	if len(fetches) > 5 {
		shortestGap := minGap(fetches[5:])
		s.checkTiming(shortestGap >= 4*time.Second-s.tolerance/5, "fetches at least 4 s apart",
			"at least %v apart", shortestGap)
	}
	longestGap := time.Duration(0)
	for i := range len(fetches) - 1 {
		longestGap = max(longestGap, fetches[i+1].Sub(fetches[i]))
	}
	s.checkTiming(longestGap <= maxRecovery+s.tolerance, "fetches at most 5 s apart",
		"at most %v apart", longestGap)
	if duration > maxAge/2 {
		time.Sleep(time.Until(fetchedAt.Add(maxAge + time.Second)))
		result := s.send(token).Result
		s.check(result == unavailableText && s.hasStatus(false, true), "keys older than a day aren't used",
			"%s", result)
		s.checkStatus(false, true, 1)
	} else {
		s.checkStatus(true, true, 1)
	}
	s.kc.Up()
	s.checkRecovery(maxRecovery, token)
	result := s.send(s.unknownKeyToken(0)).Result
	s.checkTiming(result == unknownKeyText, "unknown keys are reported as unknown again", "%s", result)
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
	{"Keycloak hangs", func(kc *keycloaktest.Server) func() { return kc.Fail(keycloaktest.Fault{Hang: true}) }},
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
		duration, func(o outcome) { unknownTally.add(o, o.Result == unavailableText) })
	stop()
	for _, t := range []*tally{&validTally, &unknownTally} {
		s.checkOutcomes("all keys are reported as unavailable", t)
		s.checkTiming(
			t.longestWait <= maxWait+s.tolerance, "no request waits longer than 1 s", "%v",
			t.longestWait)
	}
	waiters := maxWaitingAtOnce(append(unknownTally.waits, validTally.waits...))
	s.checkTiming(waiters <= maxWaiters, "at most 16 wait at the same time", "%d", waiters)
	s.checkFetches(1, 1+int(duration/minFetchInterval))
	s.checkStatus(false, true, 1)
	restore()
	s.checkRecovery(fetchTimeout+maxRecovery, token)
	return nil
}
