package main

import (
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// outage stops Keycloak while valid tokens and tokens with unknown keys are sent. Users who signed
// in before the outage must stay signed in for a day.
func outage(s *system, length time.Duration) error {
	if err := s.start(); err != nil {
		return err
	}
	token := s.validToken()
	fetchedAt := s.fetches.lastFetch()
	s.fetches.reset("")
	s.kc.Down()
	var validTally, unknownTally tally
	wrongStatus := 0
	start := time.Now()
	for n := 0; n == 0 || time.Since(fetchedAt) < length; n++ {
		o := s.send(token)
		validTally.add(o, o.Result == alice)
		o = s.send(s.unknownKeyToken(n))
		unknownTally.add(o, o.Result == unavailable)
		if !s.status(true, true) {
			wrongStatus++
		}
		time.Sleep(length / 2400)
	}
	s.checkValid(&validTally)
	s.checkOutcomes("unknown keys are reported as unavailable", &unknownTally)
	s.checkTiming(wrongStatus == 0, "keys usable, failing", "wrong %d of %d times", wrongStatus,
		validTally.total)
	took := time.Since(start)
	fetches := s.checkFetches(int(took/(maxRecovery+s.tolerance)), 10+int(took/(4*time.Second)))
	// After a few failures, unknown keys cause no fetches in addition to the refresher's.
	if len(fetches) > 5 {
		shortest := shortestInterval(fetches[5:])
		s.checkTiming(shortest >= 4*time.Second-s.tolerance/5, "fetches at least 4 s apart",
			"at least %v apart", shortest)
	}
	longest := time.Duration(0)
	for i := range len(fetches) - 1 {
		longest = max(longest, fetches[i+1].Sub(fetches[i]))
	}
	s.checkTiming(longest <= maxRecovery+s.tolerance, "fetches at most 5 s apart",
		"at most %v apart", longest)
	if length > maxAge/2 {
		time.Sleep(time.Until(fetchedAt.Add(maxAge + time.Second)))
		got := s.send(token).Result
		s.check(got == unavailable && s.status(false, true), "keys older than a day aren't used",
			"%s", got)
		s.checkStatus(false, true, 1)
	} else {
		s.checkStatus(true, true, 1)
	}
	s.kc.Up()
	s.checkRecovery(maxRecovery, token)
	got := s.send(s.unknownKeyToken(0)).Result
	s.checkTiming(got == unknownKey, "unknown keys are reported as unknown again", "%s", got)
	return nil
}

// A badStart is a failure of Keycloak while the key set starts.
type badStart struct {
	name string
	fail func(*keycloaktest.Server) (restore func())
}

var badStarts = []badStart{
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
func (b badStart) run(s *system, length time.Duration) error {
	restore := b.fail(s.kc)
	s.run()
	time.Sleep(s.tolerance)
	var validTally, unknownTally tally
	token := s.validToken()
	stop := s.sendRepeatedly(&validTally, 10*time.Millisecond, func() string { return token },
		unavailable)
	s.sendUnknownKeys(length, func(o outcome) { unknownTally.add(o, o.Result == unavailable) })
	stop()
	for _, t := range []*tally{&validTally, &unknownTally} {
		s.checkOutcomes("all keys are reported as unavailable", t)
		s.checkTiming(t.longest <= maxWait+s.tolerance, "no request waits longer than 1 s", "%v",
			t.longest)
	}
	waiters := maxConcurrent(append(unknownTally.waits, validTally.waits...))
	s.checkTiming(waiters <= maxWaiters, "at most 16 wait at the same time", "%d", waiters)
	s.checkFetches(1, 1+int(length/minFetchInterval))
	s.checkStatus(false, true, 1)
	restore()
	s.checkRecovery(fetchTimeout+maxRecovery, token)
	return nil
}
