package keycloak_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// lastFetch is when Keycloak was asked last.
func (d *drill) lastFetch() time.Time {
	d.Helper()
	times := d.fetches()
	if len(times) == 0 {
		d.Fatal("Keycloak was never asked")
	}
	return times[len(times)-1]
}

// rotationPauses are how long after one rotation the next comes: before a fetch is allowed again,
// and after.
func rotationPauses(yield func(time.Duration) bool) {
	for n := range 20 {
		if !yield(time.Duration(1+n%5) * 350 * time.Millisecond) {
			return
		}
	}
}

// People come twenty times a second, with a token of the key that signs at that moment, and with
// the one before.
func TestRotationWithAnOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrill(t)
		d.run()
		now, rotations, early := d.good(), 0, 0
		for pause := range rotationPauses {
			rotations++
			old, before := d.rotate(), now
			now = d.good()
			rotated, admitted := time.Now(), false
			for !admitted || time.Since(rotated) < pause {
				if a := d.ask(before); a.err != nil || a.took != 0 {
					d.Errorf("a token of the old key: %v after %v, want a user at once", a.err, a.took)
				}
				a := d.ask(now)
				switch {
				case a.err == nil:
					admitted = true
				case admitted, !errors.Is(a.err, identity.ErrKeyUnknown), time.Since(d.lastFetch()) >= floor, time.Since(rotated) >= floor:
					d.Fatalf("%v after the rotation and %v after the last fetch: %v", time.Since(rotated), time.Since(d.lastFetch()), a.err)
				default:
					early++
				}
				if a.took != 0 {
					d.Errorf("somebody waited %v for Keycloak, which answers at once", a.took)
				}
				time.Sleep(50 * time.Millisecond)
			}
			d.remove(old)
			d.expect(before, nil) // nobody has come with a key that isn't known; so nobody has noticed yet
		}
		if n := len(d.fetches()); n != 1+rotations {
			d.Errorf("Keycloak was asked %d times for %d rotations, want once at the start and once for each", n, rotations)
		}
		d.spaced(d.fetches(), floor)
		if early == 0 {
			d.Errorf("no token of a new key came within %v of a fetch, which is the case in question", floor)
		}
	})
}

// An administrator who deletes the old key means it: what it signed goes with the fetch that brings
// the new one.
func TestRotationWithoutAnOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrill(t)
		d.run()
		early := 0
		for pause := range rotationPauses {
			old := d.good()
			d.remove(d.rotate())
			fetched, removed := d.lastFetch(), time.Now()
			fresh, admitted := d.good(), false
			for !admitted || time.Since(removed) < pause {
				// Without the new one's, nobody notices.
				if a := d.ask(old); !admitted && a.err != nil || admitted && !errors.Is(a.err, identity.ErrKeyUnknown) {
					d.Errorf("%v after the rotation, a token of the old key: %v; the new key is known: %v", time.Since(removed), a.err, admitted)
				}
				if a := d.ask(fresh); a.err == nil {
					admitted = true
				} else if !errors.Is(a.err, identity.ErrKeyUnknown) || time.Since(removed) >= floor {
					d.Fatalf("%v after the rotation, a token of the new key: %v", time.Since(removed), a.err)
				} else {
					early++
				}
				if heard := d.lastFetch().After(fetched); heard != admitted {
					d.Errorf("%v after the rotation: a fetch has been: %v; the new key is known: %v", time.Since(removed), heard, admitted)
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
		d.spaced(d.fetches(), floor)
		if early == 0 {
			d.Errorf("no token of a new key came within %v of a fetch, which is the case in question", floor)
		}
	})
}

// Where nobody comes with a new key, the refresher is who notices.
func TestAKeyThatVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrill(t)
		d.run()
		d.rotate()
		other := d.good()
		d.expect(other, nil) // both are held now
		for range 3 {
			token := d.good()
			d.expect(token, nil)
			fetched := d.lastFetch()
			time.Sleep(17 * time.Second)
			d.remove(d.rotate())
			for {
				a := d.ask(token)
				if a.took != 0 {
					d.Errorf("somebody waited %v for Keycloak, which answers at once", a.took)
				}
				if a.err != nil {
					if !errors.Is(a.err, identity.ErrKeyUnknown) || !d.lastFetch().After(fetched) {
						d.Errorf("got %v, and the last fetch was at %v; want %v after one later than %v", a.err, d.lastFetch(), identity.ErrKeyUnknown, fetched)
					}
					break
				}
				if d.lastFetch().After(fetched) || time.Since(fetched) > refresh {
					d.Fatalf("%v after the last fetch the key that has gone still verifies; the fetches since: %v", time.Since(fetched), d.fetches())
				}
				time.Sleep(time.Second / 2)
			}
			if since := time.Since(fetched); since < refresh*4/5 {
				d.Errorf("keys were fetched anew after %v; want 4 to 5 minutes", since)
			}
			time.Sleep(floor)
			d.expect(d.good(), nil) // of the key that came
		}
	})
}
