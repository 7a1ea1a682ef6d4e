package keycloak_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

const connections = 64

// storm sends junk over that many connections, one a millisecond, and meanwhile a token each 10 ms,
// by somebody who has no other. Each is told of every answer, of one at a time; it must not ask
// itself, since others wait for it.
func (d *drill) storm(length time.Duration, token string, each func(a answer, junk bool)) {
	var mu sync.Mutex
	tell := func(a answer, junk bool) {
		mu.Lock()
		defer mu.Unlock()
		each(a, junk)
	}
	var sending sync.WaitGroup
	begin := time.Now()
	for c := range connections {
		sending.Go(func() {
			for n := c; time.Duration(n)*time.Millisecond < length; n += connections {
				time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Millisecond)))
				tell(d.ask(d.junk(n)), true)
			}
		})
	}
	sending.Go(func() {
		for time.Since(begin) < length {
			tell(d.ask(token), false)
			time.Sleep(10 * time.Millisecond)
		}
	})
	sending.Wait()
}

// heap is what is in use once the garbage has gone.
func heap() int {
	var stats runtime.MemStats
	for range 2 { // the first moves what pools hold aside, the second drops it
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// A thousand made-up key ids a second must not hide a rotation, nor cost Keycloak or us more than
// one does.
func TestAStormOfJunkWhileKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			delay     = 100 * time.Millisecond // of Keycloak's answer
			probe     = 10 * time.Millisecond  // between two tries of the new key's token
			rotations = 8
			length    = rotations*2700*time.Millisecond + 2*time.Second
		)
		d := newDrill(t)
		d.kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Delay: delay})
		d.run()
		first := d.good() // of a key that stays listed
		before := heap()
		var storm sync.WaitGroup
		var waits []answer
		var crowded []time.Time // who found no place to wait, when
		requests := 0
		var listed []string // the keys that signed before, in their order
		storm.Go(func() {
			d.storm(length, first, func(a answer, junk bool) {
				if !junk {
					if a.err != nil || a.took != 0 {
						d.Errorf("a token that is good for as long as the storm lasts: %v after %v, want a user at once", a.err, a.took)
					}
					return
				}
				requests++
				switch {
				case errors.Is(a.err, identity.ErrKeysUnavailable) && a.took == 0:
					crowded = append(crowded, a.begin)
				case !errors.Is(a.err, identity.ErrKeyUnknown):
					d.Errorf("junk at %v: %v after %v, want %v", a.begin, a.err, a.took, identity.ErrKeyUnknown)
				case a.took > 0:
					waits = append(waits, a)
				}
			})
		})
		for range rotations {
			time.Sleep(1700 * time.Millisecond) // so that the rotations fall into all parts of a second
			held := d.good()
			listed = append(listed, d.rotate())
			rotated, fresh := time.Now(), d.good()
			for {
				if a := d.ask(held); a.err != nil || a.took != 0 {
					d.Errorf("a token of the key before: %v after %v, want a user at once", a.err, a.took)
				}
				a := d.ask(fresh)
				if a.err == nil {
					break
				}
				if !undecided(a.err) || time.Since(rotated) > floor+probe {
					d.Errorf("%v after the rotation: %v; want %v, and a user after %v", time.Since(rotated), a.err, identity.ErrKeyUnknown, floor)
					break // and not Fatalf, as long as the storm is on
				}
				time.Sleep(probe)
			}
			// A probe comes up to 10 ms late, and the junk that starts the next fetch up to 1 ms.
			if took := time.Since(rotated); took > floor+probe+time.Millisecond {
				d.Errorf("the new key's first token passed %v after the rotation, want %v at most", took, floor)
			}
			time.Sleep(time.Until(rotated.Add(time.Second)))
			if n := len(listed); n > 2 { // the first one stays
				d.remove(listed[n-2])
			}
		}
		storm.Wait()
		if want := int(length / time.Millisecond); requests != want {
			d.Errorf("%d junk requests were sent, want %d", requests, want)
		}
		fetches := d.fetches()
		d.spaced(fetches, floor)
		// Nor fewer: with junk every millisecond, each fetch begins as soon as it may.
		if want := 1 + int(length/(floor+time.Millisecond)); len(fetches) < want {
			d.Errorf("%d fetches in %v, want %d at least", len(fetches), length, want)
		}
		// Nearly each of them has all the company that it may have: some places are the probes'.
		if most := mostAtOnce(waits); most > crowd || most < crowd-1 {
			d.Errorf("up to %d waited at once, want %d", most, crowd)
		}
		if len(waits) > crowd*len(fetches) {
			d.Errorf("%d waited for %d fetches, want %d for each at most", len(waits), len(fetches), crowd)
		}
		for _, a := range waits {
			if a.took > delay {
				d.Errorf("somebody waited %v for fetches that take %v", a.took, delay)
			}
		}
		// Nobody is told to come again but while the key may be on its way.
		for _, at := range crowded {
			if !slices.ContainsFunc(fetches, func(begun time.Time) bool { return !at.Before(begun) && !at.After(begun.Add(delay)) }) {
				d.Errorf("junk was told at %v that keys are being fetched, and none were", at)
			}
		}
		if len(crowded) == 0 {
			d.Errorf("nobody found all places taken")
		}
		d.logged(0)
		if grown := heap() - before; grown > 1<<20 {
			d.Errorf("after %d key ids the heap is larger by %d bytes", requests, grown)
		}
	})
}

// The refresher's fetches count too, and so do those that nobody waits for.
func TestOneFetchASecondWhoeverAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrill(t)
		d.kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Delay: 700 * time.Millisecond})
		d.run()
		for n := range 6000 { // ten minutes, with two refreshes
			time.Sleep(100 * time.Millisecond)
			go d.ask(d.junk(n))
		}
		time.Sleep(deadline)
		fetches := d.fetches()
		d.spaced(fetches, floor)
		if len(fetches) < 500 {
			d.Errorf("only %d fetches in ten minutes", len(fetches))
		}
	})
}

// A fetch that hangs costs a few requests a second each, and the rest nothing.
func TestAStormWhileKeycloakHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrill(t)
		d.run()
		heal := d.kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Hang: true})
		d.kc.ForgetRequests()
		begin := time.Now()
		var waits []answer
		d.storm(8*time.Second, d.good(), func(a answer, junk bool) {
			if !junk {
				if a.err != nil || a.took != 0 {
					d.Errorf("a good token: %v after %v, want a user at once", a.err, a.took)
				}
				return
			}
			if a.took > 0 {
				waits = append(waits, a)
			}
			if !errors.Is(a.err, identity.ErrKeysUnavailable) {
				d.Errorf("junk, %v after the storm began: %v, want %v", a.begin.Sub(begin), a.err, identity.ErrKeysUnavailable)
			}
		})
		fetches := d.fetches()
		if len(fetches) < 2 || len(fetches) > 3 || fetches[1].Before(fetches[0].Add(deadline+patience)) {
			d.Errorf("fetches at %v; each takes %v, and the next comes a second or more later", fetches, deadline)
		}
		if most := mostAtOnce(waits); most != crowd {
			d.Errorf("up to %d waited at once, want %d", most, crowd)
		}
		// Who has waited long enough leaves a place to another.
		if each := crowd * int(deadline/patience); len(waits) > each*len(fetches) {
			d.Errorf("%d waited for %d fetches, want %d for each at most", len(waits), len(fetches), each)
		}
		for _, a := range waits {
			if a.took > patience {
				d.Errorf("somebody waited %v, want %v at most", a.took, patience)
			}
		}
		d.logged(1)
		heal()
		time.Sleep(10 * time.Second)
		d.status(true, false)
		d.logged(1)
		d.expect(d.junk(0), identity.ErrKeyUnknown)
	})
}

// Each of ten thousand gets its own right answer, and nobody another's.
func TestTenThousandAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrill(t)
		d.run()
		const people, rounds = 100, 3
		signed := func(lifetime time.Duration) (tokens []string) {
			for n := range people {
				tokens = append(tokens, d.token(keycloaktest.Mint{Lifetime: lifetime, Claims: map[string]any{"sub": fmt.Sprint("user-", n)}}))
			}
			return tokens
		}
		held, expired := signed(time.Hour), signed(-time.Hour)
		var spoilt []string
		for _, token := range held {
			at := len(token) - 80 // within the signature
			other := byte('A')
			if token[at] == other {
				other = 'B'
			}
			spoilt = append(spoilt, token[:at]+string(other)+token[at+1:])
		}
		d.rotate()
		fresh := signed(time.Hour)
		time.Sleep(floor)
		d.expect(fresh[0], nil)
		var newest atomic.Pointer[newcomer]
		newest.Store(&newcomer{fresh[0], time.Now()})
		var asking sync.WaitGroup
		var mu sync.Mutex // guards found
		found := map[error]int{}
		for g := range 10_000 {
			asking.Go(func() {
				for round := range rounds {
					n := (g + round) % people
					var token, user string
					var want error
					switch (g/people + round) % 6 {
					case 0:
						token, user = held[n], fmt.Sprint("user-", n)
					case 1:
						token, user = fresh[n], fmt.Sprint("user-", n)
					case 2:
						token, want = d.junk(g), identity.ErrKeyUnknown
					case 3:
						token, want = expired[n], identity.ErrTokenExpired
					case 4:
						token, want = spoilt[n], identity.ErrTokenSignature
					case 5:
						d.admits(newest.Load())
						continue
					}
					a := d.ask(token)
					late := want == identity.ErrKeyUnknown && undecided(a.err)
					if !errors.Is(a.err, want) && !late || a.user != user {
						d.Errorf("request %d of round %d: %q, %v; want %q, %v", g, round, a.user, a.err, user, want)
					}
					mu.Lock()
					found[want]++
					mu.Unlock()
					time.Sleep(time.Duration(g%7) * 100 * time.Millisecond)
				}
			})
		}
		for range 20 { // while they ask
			time.Sleep(70 * time.Millisecond)
			d.rotate()
			newest.Store(&newcomer{d.good(), time.Now()})
			d.status(true, false)
		}
		asking.Wait()
		for _, want := range []error{nil, identity.ErrKeyUnknown, identity.ErrTokenExpired, identity.ErrTokenSignature} {
			if found[want] < 10_000*rounds/7 {
				d.Errorf("%d requests were to be answered with %v, want a sixth of them", found[want], want)
			}
		}
		d.spaced(d.fetches(), floor)
	})
}

// undecided reports whether a key wasn't there, or may yet come with the fetch that is under way.
func undecided(err error) bool {
	return errors.Is(err, identity.ErrKeyUnknown) || errors.Is(err, identity.ErrKeysUnavailable) && strings.Contains(identity.Detail(err), "still being fetched")
}

// A newcomer is a token whose key is new.
type newcomer struct {
	token string
	since time.Time
}

// admits checks that a newcomer is let in, or told within a second of its key's birth that nobody
// knows it yet.
func (d *drill) admits(n *newcomer) {
	a := d.ask(n.token)
	if a.err != nil && (!undecided(a.err) || time.Since(n.since) > floor) {
		d.Errorf("%v after its key came, a token gets %v", time.Since(n.since), a.err)
	}
}
