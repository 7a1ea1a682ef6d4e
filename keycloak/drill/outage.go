package main

import (
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// outage takes Keycloak away while people come with good tokens and strangers with unknown keys.
// Users who signed in before stay signed in, for a day.
func outage(s *site, length time.Duration) error {
	if err := s.start(); err != nil {
		return err
	}
	token := s.good()
	fetched := s.fetches.latest()
	s.fetches.reset("")
	s.kc.Down()
	var good, unknown tally
	wrongStatus := 0
	begin := time.Now()
	for n := 0; n == 0 || time.Since(fetched) < length; n++ {
		a := s.ask(token)
		good.add(a, a.Said == alice)
		a = s.ask(s.unknownKey(n))
		unknown.add(a, a.Said == unavailable)
		if !s.status(true, true) {
			wrongStatus++
		}
		time.Sleep(length / 2400)
	}
	s.checkValid(&good)
	s.checkAnswers("unknown keys are blamed on the outage", &unknown)
	s.checkTime(wrongStatus == 0, "keys usable, failing", "not so %d of %d times", wrongStatus,
		good.total)
	down := time.Since(begin)
	tries := s.checkFetches(int(down/(backAt+s.lag)), 10+int(down/(4*time.Second)))
	// Once Keycloak is known to be down, strangers don't cause more fetches than the refresher.
	if len(tries) > 5 {
		shortest := shortestInterval(tries[5:])
		s.checkTime(shortest >= 4*time.Second-s.lag/5, "tried every 4 s at most",
			"%v apart at least", shortest)
	}
	longest := time.Duration(0)
	for i := range len(tries) - 1 {
		longest = max(longest, tries[i+1].Sub(tries[i]))
	}
	s.checkTime(longest <= backAt+s.lag, "tried every 5 s at least", "%v apart at most", longest)
	if length > maxAge/2 {
		time.Sleep(time.Until(fetched.Add(maxAge + time.Second)))
		said := s.ask(token).Said
		s.check(said == unavailable && s.status(false, true), "keys of yesterday aren't used",
			"a token gets %s", said)
		s.checkStatus(false, true, 1)
	} else {
		s.checkStatus(true, true, 1)
	}
	s.kc.Up()
	s.checkRecovery(backAt, token)
	said := s.ask(s.unknownKey(0)).Said
	s.checkTime(said == unknownKey, "unknown keys are unknown again", "%s", said)
	return nil
}

type badStart struct {
	name string
	fail func(*keycloaktest.Server) (heal func())
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

// play starts the key set while Keycloak fails. No request is refused for good or waits for long,
// and the key set recovers by itself.
func (b badStart) play(s *site, length time.Duration) error {
	heal := b.fail(s.kc)
	s.run()
	time.Sleep(s.lag)
	var good, unknown tally
	token := s.good()
	stop := s.keepAsking(&good, 10*time.Millisecond, func() string { return token }, unavailable)
	s.flood(length, func(a answer) { unknown.add(a, a.Said == unavailable) })
	stop()
	for _, t := range []*tally{&good, &unknown} {
		s.checkAnswers("all are told that keys are unavailable", t)
		s.checkTime(t.longest <= patience+s.lag, "no request waits longer than 1 s", "%v",
			t.longest)
	}
	atOnce := mostAtOnce(append(unknown.waits, good.waits...))
	s.checkTime(atOnce <= crowd, "16 wait at once, at most", "%d", atOnce)
	s.checkFetches(1, 1+int(length/floor))
	s.checkStatus(false, true, 1)
	heal()
	s.checkRecovery(deadline+backAt, token)
	return nil
}
