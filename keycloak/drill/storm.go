package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A tally counts answers.
type tally struct {
	mu    sync.Mutex // guards the fields below
	said  map[string]int
	took  []time.Duration
	wrong int
	first string // of the wrong ones
}

// add counts an answer, and whether it was a right one.
func (t *tally) add(said string, took time.Duration, right bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.said == nil {
		t.said = map[string]int{}
	}
	t.said[said]++
	t.took = append(t.took, took)
	if !right {
		if t.wrong == 0 {
			t.first = ", first " + said
		}
		t.wrong++
	}
}

func (t *tally) all() int { return len(t.took) }

// percentile is the time within which that part of the answers came.
func (t *tally) percentile(part float64) time.Duration {
	slices.Sort(t.took)
	if len(t.took) == 0 {
		return 0
	}
	return t.took[min(len(t.took)-1, int(part*float64(len(t.took))))]
}

// heap is what is in use once the garbage has gone, in KiB.
func heap() int {
	var stats runtime.MemStats
	for range 2 { // the first moves what pools hold aside, the second drops it
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc >> 10)
}

// storm sends a thousand made-up key ids a second, on all connections but two. Of these, one
// belongs to somebody whose token was good before each rotation, the other to whoever comes with
// the first token of a new key.
func storm(length time.Duration) ([]row, error) {
	s, err := newSite()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	held, err := s.token(keycloaktest.Mint{})
	if err != nil {
		return nil, err
	}
	var holding atomic.Pointer[string]
	holding.Store(&held)
	s.kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Delay: keysDelay})
	s.line.lead("")

	var junk, good tally
	var sending sync.WaitGroup
	for range connections { // each has buffers, which aren't what is measured
		sending.Go(func() { s.ask(held) })
	}
	sending.Wait()
	before, begin := heap(), time.Now()
	for c := range connections - 2 {
		sending.Go(func() {
			for n := c; time.Duration(n)*time.Millisecond < length; n += connections - 2 {
				time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Millisecond)))
				token, sent := s.junk(n), time.Now()
				said := s.ask(token)
				junk.add(said, time.Since(sent), said == unknown || said == unavailable)
			}
		})
	}
	sending.Go(func() {
		for time.Since(begin) < length {
			sent := time.Now()
			said := s.ask(*holding.Load())
			good.add(said, time.Since(sent), said == alice)
			time.Sleep(5 * time.Millisecond)
		}
	})
	rotations, slowest := 0, time.Duration(0)
	for next := begin.Add(floor); err == nil && (rotations == 0 || next.Before(begin.Add(length-2*time.Second))); next = next.Add(2700 * time.Millisecond) {
		time.Sleep(time.Until(next))
		var fresh string
		if _, fresh, err = s.rotate(); err != nil {
			break
		}
		rotations++
		first, _ := until(5*time.Second, func() bool { return s.ask(fresh) == alice })
		slowest = max(slowest, first)
		holding.Store(&fresh)
		for _, k := range s.realm.Keys() { // a realm has so many keys at most, and a key set so many bytes
			if k.Passive && rotations > 1 && err == nil {
				err = s.realm.RemoveKey(k.ID)
			}
		}
	}
	sending.Wait()
	took := time.Since(begin)
	times, least, most := s.line.fetches()
	waited, longest := s.waiting()
	if err != nil {
		return nil, err
	}
	rate := float64(junk.all()) / took.Seconds()
	requests, wrong, firstWrong := junk.all(), junk.wrong, junk.first
	p50, p99 := good.percentile(0.5), good.percentile(0.99)
	goods, refused, firstGood := good.all(), good.wrong, good.first
	junk, good = tally{}, tally{} // which grew, and aren't what is measured
	after := heap()
	const drill = "storm of junk"
	return []row{
		{drill, "1000 made-up key ids a second, 64 connections", fmt.Sprintf("%.0f a second, %d in all", rate, requests), rate > 900, true},
		{drill, "each is told that its key isn't known, or may yet come", fmt.Sprintf("%d told otherwise%s", wrong, firstWrong), wrong == 0, true},
		{drill, "one fetch a second", fmt.Sprintf("%d fetches, at most %d in any second, %v between two at least", len(times), most, least.Round(time.Millisecond)), most <= 1 && len(times) > 0, true},
		{drill, "a new key's token passes within 1 s", fmt.Sprintf("%d rotations; %v at most", rotations, slowest.Round(time.Millisecond)), slowest <= floor+slack, true},
		{drill, fmt.Sprintf("%d wait at once, at most", crowd), fmt.Sprintf("%d at once, %v at most, for fetches of %v", waited, longest.Round(time.Millisecond), keysDelay), waited <= crowd && longest <= patience+slack, true},
		{drill, "no valid token refused", fmt.Sprintf("%d of %d refused%s", refused, goods, firstGood), refused == 0 && goods > 0, false},
		{drill, "good tokens don't wait", fmt.Sprintf("p50 %v, p99 %v", p50.Round(10*time.Microsecond), p99.Round(10*time.Microsecond)), p99 < keysDelay/2, true},
		{drill, "memory stays flat", fmt.Sprintf("heap %d KiB before, %d KiB after", before, after), after-before < 4<<10, false},
	}, nil
}

// waiting is how many requests waited at once, and the longest wait.
func (s *site) waiting() (most int, longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.waits {
		longest = max(longest, a.took)
		n := 0
		for _, b := range s.waits {
			if !b.begin.After(a.begin) && a.begin.Before(b.begin.Add(b.took)) {
				n++
			}
		}
		most = max(most, n)
	}
	return most, longest
}

// spoil changes a letter of a token's signature.
func spoil(token string) string {
	at, other := len(token)-80, "A"
	if token[at:at+1] == other {
		other = "B"
	}
	return token[:at] + other + token[at+1:]
}

// throng is ten thousand goroutines that verify without a connection between, so that they meet in
// the key set.
func throng(length time.Duration) ([]row, error) {
	s, err := newSite()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	good, err := s.token(keycloaktest.Mint{})
	if err != nil {
		return nil, err
	}
	expired, err := s.token(keycloaktest.Mint{Lifetime: -time.Hour})
	if err != nil {
		return nil, err
	}
	spoilt := spoil(good)
	tokens := []struct {
		token func(n int) string
		want  string
	}{
		{func(int) string { return good }, alice},
		{s.junk, unknown},
		{func(int) string { return expired }, identity.ErrTokenExpired.Error()},
		{func(int) string { return spoilt }, identity.ErrTokenSignature.Error()},
	}
	const (
		goroutines = 10_000
		pause      = 500 * time.Millisecond // of each, as for a network: who never rests leaves no time to the fetches
	)
	var answers, wrong, late atomic.Int64
	var first atomic.Pointer[string] // of the wrong ones
	var asking sync.WaitGroup
	s.line.lead("")
	begin := time.Now()
	for g := range goroutines {
		asking.Go(func() {
			for round := 0; round == 0 || time.Since(begin) < length; round++ {
				t, said := tokens[(g+round)%len(tokens)], ""
				s.check(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { said = callerOf(r) })).
					ServeHTTP(httptest.NewRecorder(), &http.Request{Header: http.Header{"Authorization": {"Bearer " + t.token(g)}}})
				answers.Add(1)
				switch {
				case said == t.want:
				case said == unavailable && t.want == unknown: // while a fetch is under way
					late.Add(1)
				default:
					wrong.Add(1)
					text := ", first " + said + " for " + t.want
					first.CompareAndSwap(nil, &text)
				}
				time.Sleep(pause)
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		asking.Wait()
		close(ended)
	}()
	rotations := 0
	for ticks := time.Tick(50 * time.Millisecond); err == nil; {
		select {
		case <-ended:
			rate := float64(answers.Load()) / time.Since(begin).Seconds()
			said := ""
			if text := first.Load(); text != nil {
				said = *text
			}
			_, _, most := s.line.fetches()
			const drill = "ten thousand at once"
			return []row{
				{drill, "each gets its own right answer", fmt.Sprintf("%d of %d wrong, with %d rotations%s", wrong.Load(), answers.Load(), rotations, said), wrong.Load() == 0, false},
				{drill, "one fetch a second", fmt.Sprintf("at most %d in any second; %.0f answers a second; %d told to come again", most, rate, late.Load()), most <= 1, true},
			}, nil
		case <-ticks:
			if rotations < 90 { // a realm has a hundred keys at most
				rotations++
				_, _, err = s.rotate()
			}
			s.keys.Status()
		}
	}
	<-ended
	return nil, err
}
