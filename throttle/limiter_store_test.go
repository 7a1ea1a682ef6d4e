package throttle

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// Each call to a shared store is a round trip. An attempt makes only one call, and done makes at
// most one more.
func TestLimiter_storeCalls(t *testing.T) {
	for name, tt := range map[string]struct {
		reserve   reserveFunc
		outcome   error
		doneCalls int32 // calls that done makes
	}{
		"login":                   {login, nil, 1},
		"login, wrong password":   {login, identity.ErrBadCredentials, 0},
		"login, Keycloak is down": {login, identity.ErrProviderUnavailable, 1},
		"login, Keycloak is busy": {login, identity.ErrBusy, 1},
		"refresh":                 {refresh, nil, 1},
		"refresh, expired":        {refresh, identity.ErrRefreshExpired, 1},
		"refresh, forged":         {refresh, identity.ErrRefreshInvalid, 0},
		"logout":                  {logout, nil, 1},
	} {
		withSharedStore(t, func(t *testing.T, s sharedStoreTest) {
			done, err := tt.reserve(contextFrom(t, addressA), s.limiterA, "alice")
			if n := s.store.calls.Load(); err != nil || n != 1 {
				t.Errorf("%s: the reservation made %d calls and returned %v, want 1 and nil", name,
					n, err)
			}
			done(tt.outcome)
			if n := s.store.calls.Load() - 1; n != tt.doneCalls {
				t.Errorf("%s: done made %d calls, want %d", name, n, tt.doneCalls)
			}
		})
	}
	withSharedStore(t, func(t *testing.T, s sharedStoreTest) {
		guessPasswords(t, s.limiterA, addressA, "alice", 10)
		_, err := s.limiterA.Login(contextFrom(t, addressA), credentialsFor("alice"))
		if !errors.Is(err, identity.ErrRateLimited) {
			t.Errorf("Login() = %v, want %v", err, identity.ErrRateLimited)
		}
		if n := s.store.calls.Load(); n != 11 {
			t.Errorf("10 failures and a refused attempt made %d calls, want 11", n)
		}
	})
}

// Two Limiters with the same shared store share their limits. They store nothing in local memory.
func TestLimiter_sharedStore(t *testing.T) {
	withSharedStore(t, func(t *testing.T, s sharedStoreTest) {
		guessPasswords(t, s.limiterA, addressA, "alice", 6)
		allowedCount, wait := guessPasswords(t, s.limiterB, addressA, "alice", 100)
		wantAttempts(t, "the second limiter", allowedCount, wait, 4, time.Minute)
		makeAttempts(t, s.limiterB, contextFrom(t, addressA), login, "bob", nil, 100)
		localKeys := s.limiterA.localStore.Len() + s.limiterB.localStore.Len()
		if localKeys != 0 || s.store.Len() != loginKeyCount || s.log.Len() != 0 {
			t.Errorf("%d keys in local memory, %d in the store, logged %q; want 0, %d and nothing",
				localKeys, s.store.Len(), s.log, loginKeyCount)
		}
	})
}

// While the store is down, attempts are still allowed and limited to half.
func TestLimiter_sharedStore_fails(t *testing.T) {
	withSharedStore(t, func(t *testing.T, s sharedStoreTest) {
		guessPasswords(t, s.limiterA, addressA, "alice", 10)
		s.store.failing.Store(true)
		callsBefore := s.store.calls.Load()
		allowedCount, wait := guessPasswords(t, s.limiterA, addressA, "alice", 100)
		wantAttempts(t, "during the outage", allowedCount, wait, 5, 2*time.Minute)
		if n := s.store.calls.Load() - callsBefore; n != 1 {
			t.Errorf("the store was called %d times during the outage, want once", n)
		}
		s.store.failing.Store(false)
		time.Sleep(storeRetryInterval)
		allowedCount, wait = guessPasswords(t, s.limiterA, addressA, "alice", 100)
		wantAttempts(t, "after the outage", allowedCount, wait, 0, time.Minute-storeRetryInterval)
		text := s.log.String()
		if strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN") ||
			!strings.Contains(text, "connection refused") || strings.Contains(text, "alice") {
			t.Errorf("logged %q, want one warning with the error, without the username", text)
		}
	})
}

// If the store hangs, only the first attempt is delayed, by DefaultStoreTimeout.
func TestLimiter_sharedStore_hangs(t *testing.T) {
	withSharedStore(t, func(t *testing.T, s sharedStoreTest) {
		s.store.hanging.Store(true)
		start := time.Now()
		makeAttempts(t, s.limiterA, contextFrom(t, addressA), login, "alice", nil, 100)
		if elapsed := time.Since(start); elapsed != DefaultStoreTimeout {
			t.Errorf("100 attempts took %v, want %v", elapsed, DefaultStoreTimeout)
		}
		// A canceled request isn't a failure of the store.
		s.log.Reset()
		ctx, cancel := context.WithTimeout(contextFrom(t, addressA), time.Millisecond)
		defer cancel()
		_, err := s.limiterB.Login(ctx, credentialsFor("alice"))
		isSuspended := !s.limiterB.mayCallSharedStore()
		if !errors.Is(err, context.DeadlineExceeded) || s.log.Len() != 0 || isSuspended {
			t.Errorf("Login() = %v, logged %q, calls suspended: %t; want %v, nothing and false",
				err, s.log, isSuspended, context.DeadlineExceeded)
		}
	})
}

// done refunds an attempt only in the store where it was reserved. If the shared store has failed
// in the meantime, done doesn't refund in local memory.
func TestLimiter_sharedStore_failsBeforeDone(t *testing.T) {
	withSharedStore(t, func(t *testing.T, s sharedStoreTest) {
		done, err := s.limiterA.Login(contextFrom(t, addressA), credentialsFor("alice"))
		if err != nil {
			t.Fatal(err)
		}
		s.store.failing.Store(true)
		guessPasswords(t, s.limiterA, addressA, "alice", 3)
		done(nil)
		s.store.failing.Store(false)
		allowedCount, _ := guessPasswords(t, s.limiterB, addressA, "alice", 100)
		if allowedCount != 9 { // the refund is lost, so the limit is stricter, not laxer
			t.Errorf("the shared store allowed %d attempts, want 9", allowedCount)
		}
		s.store.failing.Store(true)
		allowedCount, _ = guessPasswords(t, s.limiterA, addressA, "alice", 100)
		if allowedCount != 2 {
			t.Errorf("local memory allowed %d attempts, want 2", allowedCount)
		}
	})
}

// done refunds the attempt even if the request has been canceled.
func TestLimiter_done_canceled(t *testing.T) {
	withSharedStore(t, func(t *testing.T, s sharedStoreTest) {
		ctx, cancel := context.WithCancel(contextFrom(t, addressA))
		done, err := s.limiterA.Login(ctx, credentialsFor("alice"))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		done(nil)
		if s.store.Len() != 1 {
			t.Errorf("%d keys in the store, want only the key for Config.Attempts", s.store.Len())
		}
	})
}

// Only the first call of done has an effect. Otherwise a deferred done(nil) would turn a failure
// into a success.
func TestLimiter_done_twice(t *testing.T) {
	withSharedStore(t, func(t *testing.T, s sharedStoreTest) {
		for range 10 {
			done, err := s.limiterA.Login(contextFrom(t, addressA), credentialsFor("alice"))
			if err != nil {
				t.Fatal(err)
			}
			done(identity.ErrBadCredentials)
			done(nil)
		}
		allowedCount, wait := guessPasswords(t, s.limiterA, addressA, "alice", 100)
		wantAttempts(t, "after ten failures", allowedCount, wait, 0, time.Minute)
	})
}
