package keycloak

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

// newAccountProcesses returns two processes that share turns. Their realm's tokens have the
// username and the email address of alice's account.
func newAccountProcesses(t *testing.T) (realm *slowRealm, turns *testTurns, a, b process) {
	realm, turns, a, b = newLoginProcesses(t, time.Second)
	realm.body = toJSON(object{"token_type": "Bearer", "expires_in": 300,
		"access_token": accessTokenOf(object{"sub": aliceID, "preferred_username": "alice",
			"email": "alice@example.com"})})
	return realm, turns, a, b
}

// mustSignIn signs in, which must succeed.
func mustSignIn(t *testing.T, p process, username string) {
	t.Helper()
	if err := signIn(t.Context(), p.Client, username); err != nil {
		t.Errorf("signIn(%q) = %v, want nil", username, err)
	}
}

// checkNoTurns checks that no sign-in has a turn in the shared store, or a place in a process.
func checkNoTurns(t *testing.T, turns *testTurns, processes ...process) {
	t.Helper()
	synctest.Wait()
	if n := turns.Turns.(*store.MemoryTurns).Len(); n != 0 {
		t.Errorf("%d turns are in the store, want none", n)
	}
	for _, p := range processes {
		checkQueuesEmpty(t, p.Client)
	}
}

// Sign-ins with one name run one at a time, whether or not the processes know its account, and the
// queue's limit counts those of all processes.
func TestLogin_accountKnownToOneProcess(t *testing.T) {
	for _, known := range []string{"to none", "to a", "to b", "to a and b"} {
		synctest.Test(t, func(t *testing.T) {
			realm, turns, a, b := newAccountProcesses(t)
			if strings.Contains(known, "a") {
				mustSignIn(t, a, "alice")
			}
			if strings.Contains(known, "b") {
				mustSignIn(t, b, "Alice")
			}
			busyCount := countBusy(t, 20, a, b, func(p process, i int) error {
				return signIn(t.Context(), p.Client, []string{"alice", "ALICE"}[i%2])
			})
			if want := 20 - 1 - maxQueuedLogins; busyCount != want ||
				realm.maxInFlightPerAccount != 1 {
				t.Errorf("known %s: %d sign-ins failed with ErrBusy, and at most %d ran at once; "+
					"want %d and 1", known, busyCount, realm.maxInFlightPerAccount, want)
			}
			checkNoTurns(t, turns, a, b)
		})
	}
}

// After a refusal, the account's next sign-in waits for RefusalPause, in all processes.
func TestLogin_pauseAcrossProcesses(t *testing.T) {
	for _, tt := range []struct{ first, second string }{
		{"alice", "alice"}, {"alice@example.com", "alice"},
	} {
		synctest.Test(t, func(t *testing.T) {
			realm, turns, a, b := newAccountProcesses(t)
			mustSignIn(t, a, "alice")
			if tt.first != tt.second { // then both have to know the account
				mustSignIn(t, b, "alice")
			}
			realm.isRefusing = true
			var callers sync.WaitGroup
			callers.Go(func() { signIn(t.Context(), a.Client, tt.first) })
			time.Sleep(realm.delay)
			synctest.Wait()
			realm.isRefusing = false
			start := time.Now()
			mustSignIn(t, b, tt.second)
			if got, want := time.Since(start), DefaultRefusalPause+realm.delay; got < want {
				t.Errorf("%q: after a refusal, the sign-in took %v, want at least %v", tt.first,
					got, want)
			}
			callers.Wait()
			checkNoTurns(t, turns, a, b)
		})
	}
}

// The username and the email address of an account share a queue in all processes that know the
// account. In each process, the limits count both names.
func TestLogin_namesAcrossProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, turns, a, b := newAccountProcesses(t)
		mustSignIn(t, a, "alice")
		mustSignIn(t, b, "alice")
		start := time.Now()
		var callers sync.WaitGroup
		callers.Go(func() { mustSignIn(t, a, "alice") })
		callers.Go(func() { mustSignIn(t, b, "alice@example.com") })
		callers.Wait()
		if got := time.Since(start); got != 2*realm.delay || realm.maxTotalInFlight != 1 {
			t.Errorf("two sign-ins took %v, and %d ran at once; want 2s and 1", got,
				realm.maxTotalInFlight)
		}
		for _, tt := range []struct {
			description string
			context     func(i int) context.Context
			want        int32
		}{
			{"unknown networks", func(int) context.Context { return t.Context() },
				1 + maxQueuedLogins},
			{"one network", func(i int) context.Context {
				return contextWithAddress(t, fmt.Sprintf("192.0.2.%d", i))
			}, maxLoginsPerNetwork},
		} {
			var successCount atomic.Int32
			for i := range 20 {
				callers.Go(func() {
					err := signIn(tt.context(i), a.Client,
						[]string{"alice", "alice@example.com"}[i%2])
					if err == nil {
						successCount.Add(1)
					} else if !errors.Is(err, identity.ErrBusy) {
						t.Error(err)
					}
				})
			}
			callers.Wait()
			if successCount.Load() != tt.want || realm.maxTotalInFlight != 1 {
				t.Errorf("%s: %d sign-ins succeeded, and %d ran at once; want %d and 1",
					tt.description, successCount.Load(), realm.maxTotalInFlight, tt.want)
			}
		}
		checkNoTurns(t, turns, a, b)
	})
}

// A sign-in takes one shared turn if the account isn't known, and two if it is.
func TestLogin_callsToStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, turns, a, _ := newAccountProcesses(t)
		for i, want := range []int32{1, 1 + 2, 1 + 2 + 2} {
			mustSignIn(t, a, "alice")
			if n := turns.count.Load(); n != want {
				t.Errorf("after %d sign-ins, there were %d calls to the store, want %d", i+1, n,
					want)
			}
		}
	})
}

// A sign-in that fails before its second turn gives up the first. If the store fails at the second
// turn, the sign-in continues.
func TestLogin_noSecondTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, turns, a, b := newAccountProcesses(t)
		mustSignIn(t, a, "alice")
		mustSignIn(t, b, "alice")
		realm.delay = 20 * time.Second
		var callers sync.WaitGroup
		callers.Go(func() { signIn(t.Context(), a.Client, "alice") })
		synctest.Wait()
		err := signIn(t.Context(), b.Client, "alice@example.com")
		if !errors.Is(err, identity.ErrBusy) {
			t.Errorf("signIn() = %v, want %v", err, identity.ErrBusy)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = signIn(ctx, b.Client, "alice@example.com")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("signIn() = %v, want %v", err, context.DeadlineExceeded)
		}
		checkQueuesEmpty(t, b.Client)
		callers.Wait()
		a.Close(t.Context())
		time.Sleep(DefaultRefusalPause) // after the timeout of a's sign-in
		checkNoTurns(t, turns, a, b)

		realm.delay = time.Second
		turns.failFrom.Store(turns.count.Load() + 2)
		mustSignIn(t, a, "alice")
		if n := a.Stats().StoreFallbacks; n != 1 {
			t.Errorf("%d fallbacks, want 1", n)
		}
		checkNoTurns(t, turns, a, b)
	})
}

// When the store comes back, sign-ins still wait for those that this process runs without it.
func TestLogin_storeComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, turns, a, b := newAccountProcesses(t)
		turns.isDown.Store(true)
		var callers sync.WaitGroup
		callers.Go(func() { mustSignIn(t, a, "alice") })
		synctest.Wait()
		turns.isDown.Store(false)
		ctx, cancel := context.WithTimeout(t.Context(), realm.delay/2)
		defer cancel()
		err := signIn(ctx, a.Client, "alice")
		if n := turns.Turns.(*store.MemoryTurns).Len(); !errors.Is(err, context.DeadlineExceeded) ||
			n != 0 {
			t.Errorf("signIn() = %v, and %d turns are in the store; want %v and none", err, n,
				context.DeadlineExceeded)
		}
		callers.Go(func() { mustSignIn(t, a, "alice") })
		callers.Wait()
		if realm.maxInFlightPerAccount != 1 {
			t.Errorf("%d sign-ins ran at once, want 1", realm.maxInFlightPerAccount)
		}
		checkNoTurns(t, turns, a, b)
	})
}
