package throttle

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// Each call to a shared store is a round trip. An attempt needs one call, and settling it at most
// one more.
func TestLimiter_storeCalls(t *testing.T) {
	for name, tt := range map[string]struct {
		reserve attempt
		outcome error
		settles int32
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
		withSharedStore(t,
			func(t *testing.T, shared *sharedStore, one, _ *Limiter, _ *bytes.Buffer) {
				settle, err := tt.reserve(from(t, home), one, "alice")
				if n := shared.calls.Load(); err != nil || n != 1 {
					t.Errorf("%s: %d calls for the attempt, want 1; %v", name, n, err)
				}
				settle(tt.outcome)
				if n := shared.calls.Load() - 1; n != tt.settles {
					t.Errorf("%s: %d calls for the outcome, want %d", name, n, tt.settles)
				}
			})
	}
	withSharedStore(t, func(t *testing.T, shared *sharedStore, one, _ *Limiter, _ *bytes.Buffer) {
		guess(t, one, home, "alice", 10)
		if _, err := one.Login(from(t, home), named("alice")); !errors.Is(err,
			identity.ErrRateLimited) {
			t.Errorf("got %v, want %v", err, identity.ErrRateLimited)
		}
		if n := shared.calls.Load(); n != 11 {
			t.Errorf("%d calls for 10 failures and a refusal, want 11", n)
		}
	})
}

func TestLimiter_sharedStore(t *testing.T) {
	withSharedStore(t,
		func(t *testing.T, shared *sharedStore, one, two *Limiter, log *bytes.Buffer) {
			guess(t, one, home, "alice", 6)
			allowed, wait := guess(t, two, home, "alice", 100)
			wantTry(t, "the second process", allowed, wait, 4, time.Minute)
			try(t, two, from(t, home), login, "bob", nil, 100)
			if one.local.Len()+two.local.Len() != 0 || shared.Len() != 7 || log.Len() != 0 {
				t.Errorf("%d and %d keys in the processes, %d in the store, want 0, 0 and 7; logged %q",
					one.local.Len(), two.local.Len(), shared.Len(), log)
			}
		})
}

// While the store is down, attempts are still allowed and still limited.
func TestLimiter_sharedStore_fails(t *testing.T) {
	withSharedStore(t, func(t *testing.T, shared *sharedStore, one, _ *Limiter, log *bytes.Buffer) {
		guess(t, one, home, "alice", 10)
		shared.fails.Store(true)
		before := shared.calls.Load()
		allowed, wait := guess(t, one, home, "alice", 100)
		wantTry(t, "during the outage", allowed, wait, 10, time.Minute)
		if n := shared.calls.Load() - before; n != 1 {
			t.Errorf("the store was called %d times within a second, want once", n)
		}
		shared.fails.Store(false)
		time.Sleep(storePause)
		allowed, wait = guess(t, one, home, "alice", 100)
		wantTry(t, "after the outage", allowed, wait, 0, time.Minute-storePause)
		text := log.String()
		if strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN") ||
			!strings.Contains(text, "connection refused") || strings.Contains(text, "alice") {
			t.Errorf("logged %q, want one warning with the error", text)
		}
	})
}

func TestLimiter_sharedStore_hangs(t *testing.T) {
	withSharedStore(t,
		func(t *testing.T, shared *sharedStore, one, two *Limiter, log *bytes.Buffer) {
			shared.hangs.Store(true)
			start := time.Now()
			try(t, one, from(t, home), login, "alice", nil, 100)
			if elapsed := time.Since(start); elapsed != storeTimeout {
				t.Errorf("100 attempts took %v, want %v", elapsed, storeTimeout)
			}
			// A canceled request isn't a failure of the store.
			log.Reset()
			short, cancel := context.WithTimeout(from(t, home), time.Millisecond)
			defer cancel()
			_, err := two.Login(short, named("alice"))
			if !errors.Is(err, context.DeadlineExceeded) || log.Len() != 0 || !two.sharedUsable() {
				t.Errorf("got %v, want %v; logged %q", err, context.DeadlineExceeded, log)
			}
		})
}

// An attempt that was reserved in one store isn't refunded in the other.
func TestLimiter_sharedStore_failsBeforeSettle(t *testing.T) {
	withSharedStore(t, func(t *testing.T, shared *sharedStore, one, two *Limiter, _ *bytes.Buffer) {
		settle, err := one.Login(from(t, home), named("alice"))
		if err != nil {
			t.Fatal(err)
		}
		shared.fails.Store(true)
		guess(t, one, home, "alice", 3)
		settle(nil)
		shared.fails.Store(false)
		allowed, _ := guess(t, two, home, "alice", 100)
		if allowed != 9 { // one refund is lost: too strict rather than too lax
			t.Errorf("%d attempts in the store, want 9", allowed)
		}
		shared.fails.Store(true)
		allowed, _ = guess(t, one, home, "alice", 100)
		if allowed != 7 {
			t.Errorf("%d attempts in the process, want 7", allowed)
		}
	})
}

// settle refunds even if the request was canceled in the meantime.
func TestLimiter_settle_canceled(t *testing.T) {
	withSharedStore(t, func(t *testing.T, shared *sharedStore, one, _ *Limiter, _ *bytes.Buffer) {
		ctx, cancel := context.WithCancel(from(t, home))
		settle, err := one.Login(ctx, named("alice"))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		settle(nil)
		if shared.Len() != 1 {
			t.Errorf("%d keys in the store, want only that of Attempts", shared.Len())
		}
	})
}

// A second call, such as a deferred settle(nil), must not turn guesses into successes.
func TestLimiter_settle_twice(t *testing.T) {
	withSharedStore(t, func(t *testing.T, _ *sharedStore, one, _ *Limiter, _ *bytes.Buffer) {
		for range 10 {
			settle, err := one.Login(from(t, home), named("alice"))
			if err != nil {
				t.Fatal(err)
			}
			settle(identity.ErrBadCredentials)
			settle(nil)
		}
		allowed, wait := guess(t, one, home, "alice", 100)
		wantTry(t, "after ten failures", allowed, wait, 0, time.Minute)
	})
}
