package keycloak

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// A network gets at most a quarter of the slots, no matter how many addresses its callers use. The
// other slots remain free for other networks.
func TestSemaphore_networkShare(t *testing.T) {
	for name, call := range distinctCalls {
		synctest.Test(t, func(t *testing.T) {
			realm, client := newSlowRealm(time.Second, func(c *ClientConfig) {
				c.MaxLogins, c.MaxRefreshes, c.MaxLogouts = 16, 16, 16
			})
			var limitedCount, busyCount atomic.Int32
			var callers sync.WaitGroup
			for i := range 100 {
				callers.Go(func() {
					if isRateLimitError(call(contextWithAddress(t, fmt.Sprintf("192.0.2.%d", i)),
						client, i)) {
						limitedCount.Add(1)
					}
				})
			}
			synctest.Wait()
			for i := range 13 { // each from another network
				callers.Go(func() {
					if errors.Is(call(contextWithAddress(t, fmt.Sprintf("198.51.%d.7", i)), client,
						100+i),
						identity.ErrBusy) {
						busyCount.Add(1)
					}
				})
			}
			callers.Wait()
			if limitedCount.Load() != 96 || busyCount.Load() != 1 || realm.maxTotalInFlight != 16 {
				t.Errorf("%s: %d rate-limited, %d busy, at most %d in flight; want 96, 1 and 16",
					name, limitedCount.Load(), busyCount.Load(), realm.maxTotalInFlight)
			}
			time.Sleep(time.Second)
			if err := call(contextWithAddress(t, addressA), client, 200); isRateLimitError(err) ||
				errors.Is(err, identity.ErrBusy) {
				t.Errorf("%s: after the burst: got %v, want a free slot", name, err)
			}
		})
	}
}

// Callers without an address may take all slots.
func TestSemaphore_withoutAddresses(t *testing.T) {
	s := newSemaphore(8)
	for range 8 {
		if _, err := s.acquire(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.acquire(t.Context()); !errors.Is(err, identity.ErrBusy) {
		t.Errorf("the ninth acquire() = %v, want %v", err, identity.ErrBusy)
	}
}

// A network can get a slot even if there is only one. Releasing a slot twice has no effect.
func TestSemaphore_oneSlot(t *testing.T) {
	s := newSemaphore(1)
	slot, err := s.acquire(contextWithAddress(t, addressA))
	if err != nil {
		t.Fatal(err)
	}
	slot.release()
	slot.release()
	if len(s.callsByNetwork) != 0 || s.inUse != 0 {
		t.Errorf("%d slots in use by %d networks, want none", s.inUse, len(s.callsByNetwork))
	}
}

// If Keycloak is slow, a call returns after Timeout. Its slot stays in use until Keycloak responds,
// but at most 24 s: Keycloak still works on the request, so a retry would double its work.
func TestSemaphore_heldUntilResponse(t *testing.T) {
	for _, tt := range []struct{ delay, slotTime time.Duration }{
		{20 * time.Second, 20 * time.Second},
		{time.Hour, 24 * time.Second},
	} {
		for name, call := range distinctCalls {
			synctest.Test(t, func(t *testing.T) {
				realm, client := newSlowRealm(tt.delay, func(c *ClientConfig) {
					c.MaxLogins, c.MaxRefreshes, c.MaxLogouts = 1, 1, 1
				})
				start := time.Now()
				err := call(contextWithAddress(t, addressA), client, 1)
				if !identity.TimedOut(err) || !errors.Is(err, identity.ErrProviderUnavailable) ||
					time.Since(start) != 8*time.Second {
					t.Errorf("%s: %v after %v, want a timeout after 8s", name, err,
						time.Since(start))
				}
				for time.Since(start) < tt.slotTime {
					if err := call(contextWithAddress(t, addressB), client, 2); !errors.Is(err,
						identity.ErrBusy) {
						t.Errorf("%s: after %v: %v, want %v", name, time.Since(start), err,
							identity.ErrBusy)
					}
					time.Sleep(4 * time.Second)
				}
				synctest.Wait()
				realm.delay = time.Second
				if err := call(contextWithAddress(t, addressB), client, 3); errors.Is(err,
					identity.ErrBusy) {
					t.Errorf("%s: after %v: got %v, want a free slot", name, time.Since(start), err)
				}
				if err := client.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A network can have only one exchange per session in flight, even with different tokens. Otherwise
// an attacker who knows a session ID could keep the session's owner from refreshing.
func TestRefresh_onePerSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := newSlowRealm(time.Second)
		refresh := func(address string, n int) error {
			_, err := client.Refresh(contextWithAddress(t, address),
				sessionRefreshToken("alice's", fmt.Sprint(n)))
			return err
		}
		var callers sync.WaitGroup
		var limitedCount, successCount atomic.Int32
		for n := range 50 {
			callers.Go(func() {
				switch err := refresh(addressB, n); {
				case isRateLimitError(err):
					limitedCount.Add(1)
				case err == nil:
					successCount.Add(1)
				}
			})
		}
		synctest.Wait()
		callers.Go(func() {
			if err := refresh(addressA, 100); err != nil {
				t.Errorf("the owner's refresh at the same time: got %v, want nil", err)
			}
		})
		callers.Wait()
		if limitedCount.Load() != 49 || successCount.Load() != 1 {
			t.Errorf("%d calls were rate-limited and %d succeeded, want 49 and 1",
				limitedCount.Load(),
				successCount.Load())
		}
		for n := 200; n < 203; n++ { // sequential refreshes aren't limited
			if err := refresh(addressA, n); err != nil {
				t.Errorf("the owner's refresh afterward: got %v, want nil", err)
			}
		}
	})
}
