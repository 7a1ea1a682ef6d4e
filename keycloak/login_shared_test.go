package keycloak

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

// A testTurns is a store.Turns that counts calls. It fails while isDown is set, and from the call
// with the number failFrom on, if that isn't 0.
type testTurns struct {
	store.Turns
	isDown   atomic.Bool
	failFrom atomic.Int32
	count    atomic.Int32
}

func (t *testTurns) Take(ctx context.Context,
	request store.TurnRequest) (func(time.Duration), error) {
	n, failFrom := t.count.Add(1), t.failFrom.Load()
	if t.isDown.Load() || failFrom > 0 && n >= failFrom {
		return nil, fmt.Errorf("a test: %w", store.ErrUnavailable)
	}
	return t.Turns.Take(ctx, request)
}

// newLoginProcesses returns a realm and two processes that share turns.
func newLoginProcesses(t *testing.T, delay time.Duration) (realm *slowRealm, turns *testTurns,
	a, b process) {
	realm = &slowRealm{delay: delay, inFlightByAccount: map[string]int{}}
	turns = &testTurns{Turns: &store.MemoryTurns{}}
	a, b = newProcesses(t, roundTripFunc(realm.respond),
		func(c *ClientConfig) { c.Turns = turns })
	return realm, turns, a, b
}

// Sign-ins of an account run one at a time in all processes, and the limits of an account's queue
// count all of them. Each makes at most one call to the store: none if its process knows that the
// queue is full.
func TestLogin_acrossProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, turns, a, b := newLoginProcesses(t, time.Second)
		busyCount := countBusy(t, 20, a, b, func(p process, _ int) error {
			return signIn(t.Context(), p.Client, "alice")
		})
		if want := 20 - 1 - maxQueuedLogins; busyCount != want || realm.maxInFlightPerAccount != 1 {
			t.Errorf("%d sign-ins failed with ErrBusy, and at most %d ran at once; want %d and 1",
				busyCount, realm.maxInFlightPerAccount, want)
		}
		if n := turns.count.Load(); n > 20 {
			t.Errorf("20 sign-ins made %d calls to the store, want at most 20", n)
		}
	})
}

// A network's share of an account's queue counts its sign-ins in all processes.
func TestLogin_networkAcrossProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, a, b := newLoginProcesses(t, time.Second)
		busyCount := countBusy(t, 10, a, b, func(p process, i int) error {
			return signIn(contextWithAddress(t, fmt.Sprintf("192.0.2.%d", i)), p.Client, "alice")
		})
		if want := 10 - maxLoginsPerNetwork; busyCount != want {
			t.Errorf("%d sign-ins failed with ErrBusy, want %d", busyCount, want)
		}
	})
}

// While the store is unavailable, sign-ins wait for those of their own process. The log says so
// once a minute.
func TestLogin_storeUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, turns, a, b := newLoginProcesses(t, time.Second)
		turns.isDown.Store(true)
		var callers sync.WaitGroup
		for i := range 6 {
			p := []process{a, b}[i%2]
			callers.Go(func() {
				if err := signIn(t.Context(), p.Client, "alice"); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if realm.maxInFlightPerAccount != 2 {
			t.Errorf("at most %d sign-ins ran at once, want one in each process",
				realm.maxInFlightPerAccount)
		}
		for _, p := range []process{a, b} {
			p.checkLog(t, storeFailsLine, 1)
			if n := p.Stats().StoreFallbacks; n != 3 {
				t.Errorf("%d fallbacks, want 3", n)
			}
		}
		time.Sleep(storeLogInterval)
		signIn(t.Context(), a.Client, "alice")
		a.checkLog(t, storeFailsLine, 2)
		turns.isDown.Store(false)
		signIn(t.Context(), a.Client, "alice")
		if n := a.Stats().StoreFallbacks; n != 4 {
			t.Errorf("%d fallbacks after the store is back, want 4", n)
		}
		checkQueuesEmpty(t, a.Client)
	})
}

// If a sign-in waits in vain for its turn, or its caller gives up, that isn't the store's fault.
func TestLogin_noTurnAcrossProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, a, b := newLoginProcesses(t, 20*time.Second)
		var callers sync.WaitGroup
		callers.Go(func() { signIn(t.Context(), a.Client, "alice") })
		synctest.Wait()
		callers.Go(func() {
			if err := signIn(t.Context(), b.Client, "alice"); !errors.Is(err, identity.ErrBusy) {
				t.Errorf("signIn() = %v, want %v", err, identity.ErrBusy)
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := signIn(ctx, b.Client, "alice"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("signIn() = %v, want %v", err, context.DeadlineExceeded)
		}
		callers.Wait()
		b.checkLog(t, storeFailsLine, 0)
		if n := b.Stats().StoreFallbacks; n != 0 {
			t.Errorf("%d fallbacks, want none", n)
		}
	})
}
