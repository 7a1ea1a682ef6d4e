package main

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// flood sends a token of an unknown key each millisecond, on all connections but two, and passes
// on the answers, many at once.
func (s *site) flood(length time.Duration, each func(answer)) {
	var sending sync.WaitGroup
	begin := time.Now()
	for c := range connections - 2 {
		sending.Go(func() {
			for n := c; time.Duration(n)*time.Millisecond < length; n += connections - 2 {
				time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Millisecond)))
				each(s.ask(s.unknownKey(n)))
			}
		})
	}
	sending.Wait()
}

// heap returns the bytes in use once the garbage has been collected.
func heap() int {
	var stats runtime.MemStats
	for range 2 { // the first moves what pools hold aside, the second drops it
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// flood sends a thousand unknown key ids a second while keys rotate. They must not hide a rotation,
// nor cost Keycloak or us more than one a second does. Meanwhile somebody comes with a token that
// was good before each rotation, and somebody with the first token of each new key.
func flood(s *site, length time.Duration) error {
	if err := s.start(); err != nil {
		return err
	}
	first := s.good() // its key stays listed
	var held atomic.Pointer[string]
	held.Store(&first)
	s.kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Delay: keysDelay})
	s.fetches.reset("")

	var sending sync.WaitGroup
	for range connections { // each has buffers, which aren't what is measured
		sending.Go(func() { s.ask(first) })
	}
	sending.Wait()
	var unknown, good, fresh tally
	var mu sync.Mutex      // guards turned
	var turned []time.Time // when somebody found no place to wait
	before, begin := heap(), time.Now()
	sending.Go(func() {
		s.flood(length, func(a answer) {
			unknown.add(a, a.undecided() && (a.Said == unknownKey || a.Waited == 0 || s.lag > 0))
			if a.Said == unavailable {
				mu.Lock()
				turned = append(turned, a.Begin)
				mu.Unlock()
			}
		})
	})
	turn := 0
	stop := s.keepAsking(&good, 5*time.Millisecond, func() string {
		turn++
		return []string{first, *held.Load()}[turn%2]
	}, alice)
	var listed []string // the keys that signed before, oldest first
	slowest := time.Duration(0)
	// The rotations fall into all parts of a second.
	for next := begin.Add(floor); len(listed) == 0 ||
		next.Before(begin.Add(length-2*time.Second)); next = next.Add(2700 * time.Millisecond) {
		time.Sleep(time.Until(next))
		listed = append(listed, s.rotate())
		token := s.good()
		took, _ := until(2*floor, func() bool {
			a := s.ask(token)
			fresh.add(a, a.Said == alice || a.undecided())
			return a.Said == alice
		})
		slowest = max(slowest, took)
		held.Store(&token)
		if n := len(listed); n > 2 { // the first one stays
			s.remove(listed[n-2])
		}
	}
	sending.Wait()
	stop()
	took := time.Since(begin)

	rate := float64(unknown.total) / took.Seconds()
	s.checkTime(rate > 900 || took > length+floor, "1000 unknown key ids a second, 64 connections",
		"%.0f a second", rate)
	s.check(unknown.total == int((length+time.Millisecond-1)/time.Millisecond), "all are sent",
		"%d", unknown.total)
	s.checkTime(unknown.wrong == 0, "each is told that its key is unknown, or may yet come",
		"%d told otherwise%s", unknown.wrong, unknown.first)
	// Each fetch begins as soon as it may.
	fetches := s.checkFetches(max(1, int(length/(floor+time.Millisecond+s.lag))),
		1+int(took/(floor-s.lag/5)))
	// A request comes up to 5 ms late, and the unknown key that starts the next fetch up to 1 ms.
	s.checkTime(slowest <= floor+6*time.Millisecond+s.lag, "a new key's token passes within 1 s",
		"%d rotations; %v at most", len(listed), slowest.Round(time.Millisecond))
	s.checkTime(fresh.wrong == 0, "and is told until then that its key may yet come",
		"%d told otherwise%s", fresh.wrong, fresh.first)
	atOnce := mostAtOnce(unknown.waits)
	// With a fake clock nearly each fetch has all the requests that may wait: some places are those
	// of the new key's token.
	s.checkTime(atOnce <= crowd && (s.lag > 0 || atOnce >= crowd-1),
		fmt.Sprintf("%d wait at once, at most", crowd), "%d at once", atOnce)
	s.checkTime(len(unknown.waits) <= crowd*len(fetches) && unknown.longest <= keysDelay+s.lag,
		"each for one fetch", "%d waits, %v at most, for %d fetches of %v", len(unknown.waits),
		unknown.longest.Round(time.Millisecond), len(fetches), keysDelay)
	stray := 0
	for _, at := range turned {
		if !slices.ContainsFunc(fetches, func(begun time.Time) bool {
			return !at.Before(begun.Add(-s.lag)) && !at.After(begun.Add(keysDelay+s.lag))
		}) {
			stray++
		}
	}
	s.checkTime(stray == 0 && (len(turned) > 0 || s.lag > 0),
		"others are told to come again only while keys are fetched", "%d of %d at another time",
		stray, len(turned))
	s.checkValid(&good)
	p50, p99 := good.percentile(0.5), good.percentile(0.99)
	s.checkTime(p99 < keysDelay/2, "and are answered at once", "p50 %v, p99 %v",
		p50.Round(10*time.Microsecond), p99.Round(10*time.Microsecond))
	logged := s.log.take()
	s.checkTime(len(logged) == 0, "nothing is logged", "%d lines: %.200q", len(logged), logged)
	// which grew, and aren't what is measured
	unknown, good, fresh, turned = tally{}, tally{}, tally{}, nil
	limit := 1 << 20
	if s.client != nil {
		limit = 4 << 20 // connections have buffers
	}
	after := heap()
	s.check(after-before < limit, "memory stays flat", "heap %d KiB before, %d KiB after",
		before>>10, after>>10)
	return nil
}

// slowFetches checks that no fetch begins less than a second after another, whether the refresher
// starts it or somebody who doesn't wait for it.
func slowFetches(s *site, length time.Duration) error {
	if err := s.start(); err != nil {
		return err
	}
	s.kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Delay: 700 * time.Millisecond})
	var unknown tally
	var asking sync.WaitGroup
	for n := range int(length / (100 * time.Millisecond)) {
		time.Sleep(100 * time.Millisecond)
		asking.Go(func() {
			a := s.ask(s.unknownKey(n))
			unknown.add(a, a.undecided())
		})
	}
	asking.Wait()
	time.Sleep(deadline)
	s.checkAnswers("each is told that its key is unknown, or may yet come", &unknown)
	s.checkFetches(int(length/floor)*5/6, 2+int(length/floor))
	return nil
}

// floodWhileHanging checks that a fetch that hangs costs a few requests a second each, and the
// others nothing.
func floodWhileHanging(s *site, length time.Duration) error {
	if err := s.start(); err != nil {
		return err
	}
	heal := s.kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Hang: true})
	s.fetches.reset("")
	token := s.good()
	var good, unknown tally
	stop := s.keepAsking(&good, 10*time.Millisecond, func() string { return token }, alice)
	s.flood(length, func(a answer) { unknown.add(a, a.Said == unavailable) })
	stop()
	s.checkValid(&good)
	s.checkAnswers("unknown keys are blamed on Keycloak", &unknown)
	fetches := s.checkFetches(2, 3)
	s.checkTime(shortestInterval(fetches) >= deadline+patience-s.lag,
		"the next fetch begins a second after the one before ended", "at %v", fetches)
	atOnce := mostAtOnce(unknown.waits)
	s.checkTime(atOnce == crowd, "16 wait at once", "%d", atOnce)
	// A caller that has waited long enough leaves its place to another.
	limit := crowd * int(deadline/patience) * len(fetches)
	s.checkTime(len(unknown.waits) <= limit, fmt.Sprintf("%d wait at most", limit), "%d",
		len(unknown.waits))
	s.checkTime(unknown.longest <= patience+s.lag, "no request waits longer than 1 s", "%v",
		unknown.longest)
	s.checkStatus(true, true, 1)
	heal()
	s.checkRecovery(deadline+backAt, token)
	said := s.ask(s.unknownKey(0)).Said
	s.checkTime(said == unknownKey, "unknown keys are unknown again", "%s", said)
	return nil
}

// alter changes a letter of a token's signature.
func alter(token string) string {
	at, other := len(token)-80, "A"
	if token[at:at+1] == other {
		other = "B"
	}
	return token[:at] + other + token[at+1:]
}

// tenThousandAtOnce has ten thousand goroutines verify without a connection between, so that they
// meet in the key set, while keys rotate. Each gets its own right answer, and none gets another's.
func tenThousandAtOnce(s *site, length time.Duration) error {
	if err := s.start(); err != nil {
		return err
	}
	const people, goroutines = 100, 10_000
	user := func(n int) string { return fmt.Sprint("user-", n) }
	signed := func(lifetime time.Duration) (tokens []string) {
		for n := range people {
			tokens = append(tokens,
				s.token(keycloaktest.TokenSpec{Lifetime: lifetime,
					Claims: map[string]any{"sub": user(n)}}))
		}
		return tokens
	}
	held, expired := signed(2*maxAge), signed(-time.Hour)
	var altered []string
	for _, token := range held {
		altered = append(altered, alter(token))
	}
	s.rotate()
	fresh := signed(2 * maxAge)
	time.Sleep(floor)
	type newToken struct {
		token string
		since time.Time
	}
	var newest atomic.Pointer[newToken]
	newest.Store(&newToken{s.good(), time.Now()})
	if said := s.ask(fresh[0]).Said; said != user(0) {
		return fmt.Errorf("the new key didn't come: %s", said)
	}
	s.fetches.reset("")
	var answers [6]tally
	var asking sync.WaitGroup
	begin := time.Now()
	for g := range goroutines {
		asking.Go(func() {
			for round := 0; round < 3 || time.Since(begin) < length; round++ {
				n, kind := (g+round)%people, (g/people+round)%len(answers)
				var token, want string
				// Whether the key may be unknown yet. In real time, this many keep the machine so
				// busy that a fetch may take long or fail.
				late := false
				switch kind {
				case 0:
					token, want = held[n], user(n)
				case 1:
					token, want = fresh[n], user(n)
				case 2:
					token, want, late = s.unknownKey(g), unknownKey, true
				case 3:
					token, want = expired[n], identity.ErrTokenExpired.Error()
				case 4:
					token, want = altered[n], identity.ErrTokenSignature.Error()
				case 5:
					current := newest.Load()
					token, want, late = current.token, alice, s.lag > 0 ||
						time.Since(current.since) <= floor
				}
				a := s.verifyHere(token)
				answers[kind].add(a, a.Said == want ||
					late && (a.undecided() || s.lag > 0 && a.Said == unavailable))
				// As for a network: without a rest, no time would be left to the fetches.
				time.Sleep(300*time.Millisecond + time.Duration(g%7)*100*time.Millisecond)
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		asking.Wait()
		close(ended)
	}()
	rotations, wrongStatus := 0, 0
	for running := true; running; {
		select {
		case <-ended:
			running = false
		case <-time.After(70 * time.Millisecond):
			if rotations < 90 { // a realm has a hundred keys at most
				rotations++
				s.rotate()
				newest.Store(&newToken{s.good(), time.Now()})
			}
			// In real time a fetch may fail for lack of processor time.
			if !s.status(true, false) && (s.lag == 0 || !s.status(true, true)) {
				wrongStatus++
			}
		}
	}
	total, wrong, first, fewest := 0, 0, "", answers[0].total
	for i := range answers {
		t := &answers[i]
		total, wrong, first, fewest = total+t.total, wrong+t.wrong, first+t.first,
			min(fewest, t.total)
	}
	s.check(wrong == 0, "each gets its own right answer", "%d of %d wrong, with %d rotations%s",
		wrong, total, rotations, first)
	s.check(fewest >= total/7, "a sixth of each kind", "%d at least", fewest)
	s.checkTime(rotations >= 20, "keys rotate meanwhile", "%d times", rotations)
	s.checkTime(wrongStatus == 0, "keys usable", "not so %d times", wrongStatus)
	took := time.Since(begin)
	s.checkFetches(1, 1+int(took/(floor-s.lag/5)))
	return nil
}
