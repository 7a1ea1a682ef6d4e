package keycloak

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

// The store fails just after a call began, and is back after the lease has ended. The process that
// made the call then stores Keycloak's response, and others repeat it.
func TestRefresh_storeBackAfterLease(t *testing.T) {
	for _, outage := range []time.Duration{5 * time.Second, 11 * time.Second, 14 * time.Second} {
		t.Run(outage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				realm := &rotatingRealm{delay: 100 * time.Millisecond}
				a, b := newProcesses(t, realm)
				var callers sync.WaitGroup
				callers.Go(func() { a.checkRefresh(t, realm, realm.token(0), 1) })
				time.Sleep(50 * time.Millisecond)
				a.calls.fail("*", always)
				b.calls.fail("*", always)
				callers.Wait()
				b.checkRefreshError(t, realm.token(0), identity.ErrStoreUnavailable)
				time.Sleep(outage)
				a.calls.fail("*", 0)
				b.calls.fail("*", 0)
				b.checkRefresh(t, realm, realm.token(0), 1)
				realm.check(t, 1, false)
			})
		})
	}
}

// An outage that is over doesn't count for one that begins later: refreshes fail for 15 s again.
func TestRefresh_storeFailsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{delay: 3 * time.Second}
		a, b := newProcesses(t, realm)
		b.calls.fail("*", always)
		b.checkRefreshError(t, sessionRefreshToken("session-2", "x"), identity.ErrStoreUnavailable)
		time.Sleep(unstoredTime + 5*time.Second)
		b.calls.fail("*", 0)
		time.Sleep(time.Hour)
		b.calls.takeCounts()
		time.Sleep(time.Minute)
		if counts := b.calls.takeCounts(); len(counts) != 0 {
			t.Errorf("%v calls without a refresh, want none", counts)
		}
		var callers sync.WaitGroup
		callers.Go(func() { a.checkRefresh(t, realm, realm.token(0), 1) })
		time.Sleep(time.Second) // the exchange is in flight
		b.calls.fail("Begin", 1)
		b.checkRefreshError(t, realm.token(0), identity.ErrStoreUnavailable)
		callers.Wait()
		realm.check(t, 1, false)
	})
}

// If Begin fails for good, as in a store that is full, this process exchanges tokens without it
// after 15 s, although repeats still ask the store.
func TestRefresh_beginFailsForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{}
		a, _ := newProcesses(t, realm, func(c *ClientConfig) { c.RefreshGrace = time.Minute })
		a.checkRefresh(t, realm, realm.token(0), 1)
		other := sessionRefreshToken("session-2", "x")
		for _, operation := range []string{"Begin", "MarkUsed", "Finish"} {
			a.calls.fail(operation, always)
		}
		start := time.Now()
		for time.Since(start) < storeGiveUpTime {
			a.checkRefreshError(t, other, identity.ErrStoreUnavailable)
			a.checkRefresh(t, realm, realm.token(0), 1) // repeated
			time.Sleep(time.Second)
		}
		a.checkRefresh(t, realm, realm.token(1), 2)
	})
}

// After a store has lost its data, no refresh is made without it, however long that takes. Tokens
// whose responses this process has are repeated afterwards.
func TestRefresh_storeLostData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{}
		calls := &lossyCalls{Calls: &store.MemoryCalls{}}
		a, _ := newProcesses(t, realm, func(c *ClientConfig) { c.Calls = calls })
		a.checkRefresh(t, realm, realm.token(0), 1)
		other := sessionRefreshToken("session-2", "x")
		calls.setLost(true)
		for range 30 {
			a.checkRefreshError(t, realm.token(0), identity.ErrStoreUnavailable)
			a.checkRefreshError(t, other, identity.ErrStoreUnavailable)
			time.Sleep(time.Second)
		}
		calls.setLost(false)
		a.checkRefresh(t, realm, realm.token(0), 1)
		time.Sleep(2 * minLateKeep)
		a.checkRefreshError(t, realm.token(0), identity.ErrRefreshReused)
		if n := a.refresher.cachedCount; n != 0 {
			t.Errorf("%d responses are cached, want none", n)
		}
	})
}

// lossyCalls is a store.Calls that lost its data, while lost is set.
type lossyCalls struct {
	store.Calls
	mu   sync.Mutex // guards lost
	lost bool
}

func (c *lossyCalls) setLost(lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = lost
}

func (c *lossyCalls) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		return fmt.Errorf("a test: %w", store.ErrDataLost)
	}
	return nil
}

func (c *lossyCalls) Begin(ctx context.Context, key store.CallKey, id store.CallID,
	lease, keep time.Duration) (store.Call, error) {
	if err := c.err(); err != nil {
		return store.Call{}, err
	}
	return c.Calls.Begin(ctx, key, id, lease, keep)
}

func (c *lossyCalls) IsUsed(ctx context.Context, subject store.Key) (bool, error) {
	if err := c.err(); err != nil {
		return false, err
	}
	return c.Calls.IsUsed(ctx, subject)
}

// If a restarted store is empty while Keycloak is slow, the process that made the call has its
// lease again soon, and others wait for it.
func TestRefresh_storeEmptyInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{delay: 20 * time.Second}
		a, b := newProcesses(t, realm, withTimeout(25*time.Second))
		var callers sync.WaitGroup
		callers.Go(func() { a.checkRefresh(t, realm, realm.token(0), 1) })
		time.Sleep(time.Second)
		calls := &store.MemoryCalls{}
		a.calls.replace(calls)
		b.calls.replace(calls)
		time.Sleep(leaseRenewInterval)
		b.checkRefresh(t, realm, realm.token(0), 1)
		callers.Wait()
		realm.check(t, 1, false)
	})
}

// Close waits for the last attempt to store a response, but for at most a second, also if its
// context ends. No goroutine of the store's stays.
func TestClient_Close_unstored(t *testing.T) {
	for _, isDone := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			realm := &rotatingRealm{}
			a, b := newProcesses(t, realm)
			a.calls.fail("Finish", 1)
			a.checkRefresh(t, realm, realm.token(0), 1)
			slow := &slowFinish{Calls: a.calls.Calls, delay: 500 * time.Millisecond}
			a.calls.replace(slow)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if isDone {
				cancel()
			}
			start := time.Now()
			if err := a.Close(ctx); err != nil && !(isDone && errors.Is(err, context.Canceled)) {
				t.Error(err)
			}
			if waited := time.Since(start); waited != slow.delay {
				t.Errorf("Close() took %v, want %v", waited, slow.delay)
			}
			b.checkRefresh(t, realm, realm.token(0), 1)
			realm.check(t, 1, false)
		})
	}
	synctest.Test(t, func(t *testing.T) { // a store that doesn't respond
		realm := &rotatingRealm{}
		a, _ := newProcesses(t, realm)
		a.calls.fail("Finish", 1)
		a.checkRefresh(t, realm, realm.token(0), 1)
		a.calls.replace(&slowFinish{Calls: a.calls.Calls, delay: time.Hour})
		start := time.Now()
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited > maxCloseTime {
			t.Errorf("Close() took %v, want at most %v", waited, maxCloseTime)
		}
	})
}

// slowFinish is a store.Calls whose Finish takes a while.
type slowFinish struct {
	store.Calls
	delay time.Duration
}

func (c *slowFinish) Finish(ctx context.Context, key store.CallKey, id store.CallID, result []byte,
	successor store.Key, keep time.Duration) error {
	select {
	case <-time.After(c.delay):
		return c.Calls.Finish(ctx, key, id, result, successor, keep)
	case <-ctx.Done():
		return ctx.Err()
	}
}
