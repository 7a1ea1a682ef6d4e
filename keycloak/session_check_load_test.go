package keycloak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// A slow Keycloak delays no request for longer than Timeout. After four failures in a row, requests
// fail at once, and four calls a second find out whether Keycloak is back.
func TestSessionChecker_slowKeycloak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, true)
		c.endpoint.setDelay(time.Minute)
		start := time.Now()
		err := c.use("s0")
		checkUnchecked(t, err, "no response within 3s")
		if got := time.Since(start); got != DefaultCheckTimeout || !identity.TimedOut(err) {
			t.Errorf("Check() took %v and returned %v, want 3s and TimedOut", got, err)
		}
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() { checkUnchecked(t, c.use(fmt.Sprint("s", i+1)), "no response") })
		}
		group.Wait()
		if got := time.Since(start); got != 2*DefaultCheckTimeout {
			t.Errorf("100 sessions took %v, want all to fail after 6s", got)
		}
		time.Sleep(100 * time.Millisecond) // until the last call has failed
		start = time.Now()
		checkUnchecked(t, c.use("s1000"), "no response")
		if got := time.Since(start); got > 0 {
			t.Errorf("after that, Check() took %v, want no delay", got)
		}
		calls := c.endpoint.callCount()
		c.endpoint.setDelay(0)
		c.endpoint.setResponse(500, "")
		for i := range 1000 { // 10 s
			checkUnchecked(t, c.use(fmt.Sprint("t", i)), "couldn't be checked")
			time.Sleep(10 * time.Millisecond)
		}
		if got := c.endpoint.callCount() - calls; got > 10*maxCheckCalls {
			t.Errorf("in 10 s of failures, Keycloak was called %d times, want at most %d", got,
				10*maxCheckCalls)
		}
		c.endpoint.setResponse(200, `{"active":true}`)
		time.Sleep(checkPause)
		for i := range 10 {
			if err := c.use(fmt.Sprint("u", i)); err != nil {
				t.Errorf("when Keycloak is back, Check() = %v, want nil", err)
			}
		}
		if lines := strings.Count(c.log.String(), "\n"); lines > 4 { // of two kinds, for 16 s
			t.Errorf("the log has %d lines, want at most 4:\n%s", lines, c.log.String())
		}
	})
}

// One token for which Keycloak fails doesn't stop the checks of others.
func TestSessionChecker_oneBadToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, true)
		bad := checkedToken("bad", localAudience).Reveal()
		c.endpoint.respond = func(token string) (*http.Response, error) {
			if token == bad {
				return newResponse(500, "")
			}
			return newResponse(200, `{"active":true}`)
		}
		for i := range 1000 {
			checkUnchecked(t, c.use("bad"), "couldn't be checked")
			if err := c.use(fmt.Sprint("s", i)); err != nil {
				t.Fatalf("Check() of another token = %v, want nil", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got := c.Stats().Failed; got < 9 || got > 11 {
			t.Errorf("the bad token was checked %d times in 10 s, want once a second", got)
		}
	})
}

// A flood of sessions is checked at the configured rate, with at most four calls at once. With
// Wait, the rest fails with ErrBusy; otherwise it is skipped, and checked at its next use.
func TestSessionChecker_flood(t *testing.T) {
	for _, wait := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newCheckTest(t, wait, func(config *SessionCheckConfig) {
				config.MaxPerSecond, config.Timeout = 100, time.Minute
			})
			c.endpoint.setDelay(30 * time.Millisecond)
			const sessions = 3000
			issuedAt := time.Now().Add(-time.Hour)
			var mu sync.Mutex
			busy := 0
			var group sync.WaitGroup
			start := time.Now()
			for i := range sessions {
				group.Go(func() {
					err := c.useIssued(fmt.Sprint("s", i), issuedAt)
					if errors.Is(err, identity.ErrBusy) {
						mu.Lock()
						defer mu.Unlock()
						busy++
					} else if err != nil {
						t.Errorf("Check() = %v, want nil or ErrBusy", err)
					}
				})
			}
			group.Wait()
			if !wait {
				if got := time.Since(start); got > 0 {
					t.Errorf("the requests took %v, want no delay", got)
				}
				time.Sleep(20 * time.Second)
			}
			checked := c.endpoint.callCount()
			if checked < maxQueuedChecks || checked > maxQueuedChecks+maxCheckCalls {
				t.Errorf("%d sessions were checked, want about %d", checked, maxQueuedChecks)
			}
			skipped := int(c.Stats().Skipped)
			if checked+skipped != sessions || wait && busy != skipped || !wait && busy > 0 {
				t.Errorf("%d of %d sessions were checked, %d skipped, %d got ErrBusy", checked,
					sessions, skipped, busy)
			}
			if got := time.Since(start); got < 9*time.Second || wait && got > 11*time.Second {
				t.Errorf("the checks took %v, want 10s at 100 a second", got)
			}
			if got := c.endpoint.maxInFlight; got > maxCheckCalls {
				t.Errorf("%d calls were in flight at once, want at most %d", got, maxCheckCalls)
			}
			if got := strings.Count(c.log.String(), "aren't checked"); got != 1 {
				t.Errorf("the log says %d times that sessions aren't checked, want once", got)
			}
			// The skipped sessions are checked when they are used again.
			time.Sleep(time.Minute)
			before := c.endpoint.callCount()
			c.useIssued("s2999", issuedAt)
			time.Sleep(time.Second)
			if got := c.endpoint.callCount() - before; got != 1 {
				t.Errorf("a later use causes %d checks, want 1", got)
			}
		})
	}
}

// A caller whose context ends doesn't wait. The check continues for the others.
func TestSessionChecker_contextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, true)
		c.endpoint.setDelay(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		session := TokenSession{SessionID: "s1"}
		token := checkedToken("s1", localAudience)
		if err := c.Check(ctx, session, token); !errors.Is(err, context.Canceled) {
			t.Errorf("Check() = %v, want context.Canceled", err)
		}
		if err := c.Check(t.Context(), session, token); err != nil {
			t.Errorf("Check() = %v, want nil", err)
		}
		c.checkCalls("two requests", 1)
	})
}

// Close waits for the checks in progress, and drops the others. Then, tokens that need a check are
// rejected with Wait, and accepted without.
func TestSessionChecker_Close(t *testing.T) {
	for _, wait := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newCheckTest(t, wait)
			c.endpoint.setDelay(time.Second)
			for i := range 10 {
				go c.use(fmt.Sprint("s", i))
			}
			synctest.Wait()
			time.Sleep(100 * time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Close() = %v, want context.DeadlineExceeded", err)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Errorf("Close() = %v, want nil", err)
			}
			c.checkCalls("before Close", maxCheckCalls)
			if err := c.use("s100"); wait {
				checkUnchecked(t, err, "stopping")
			} else if err != nil {
				t.Errorf("after Close, Check() = %v, want nil", err)
			}
			synctest.Wait()
			c.checkCalls("after Close", maxCheckCalls)
		})
	}
}

// A panic in End is logged, and the request fails. Later checks work.
func TestSessionChecker_panic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, true,
			func(config *SessionCheckConfig) { config.End = func(SessionEnd) { panic(canary) } })
		c.endpoint.setResponse(200, `{"active":false}`)
		checkUnchecked(t, c.use("s1"), "panicked")
		if log := c.log.String(); !strings.Contains(log, "panic") || strings.Contains(log, canary) {
			t.Errorf("the log is %q, want the panic without its value", log)
		}
		c.endpoint.setResponse(200, `{"active":true}`)
		if err := c.use("s2"); err != nil {
			t.Errorf("Check() = %v, want nil", err)
		}
	})
}

// Sessions are checked from many goroutines while some of them end.
func TestSessionChecker_concurrent(t *testing.T) {
	for _, wait := range []bool{false, true} {
		c := newCheckTest(t, wait, func(config *SessionCheckConfig) {
			config.Interval, config.MaxPerSecond = time.Millisecond, 1_000_000
		})
		var group sync.WaitGroup
		for worker := range 8 {
			group.Go(func() {
				for i := range 500 {
					if err := c.use(fmt.Sprint("s", (worker+i)%20)); err != nil &&
						!errors.Is(err, identity.ErrTokenRevoked) {
						t.Errorf("Check() = %v, want nil or ErrTokenRevoked", err)
					}
					if i == 250 && worker == 0 {
						c.endpoint.setResponse(200, `{"active":false}`)
					}
				}
			})
		}
		group.Wait()
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(c.takeEnds()) == 0 {
			t.Error("no session ended")
		}
		if c.workers != 0 || len(c.inFlight) != 0 || len(c.queue) != 0 || len(c.bySubject) != 0 {
			t.Errorf("%d workers, %d checks of %d users in progress and %d queued remain, "+
				"want none", c.workers, len(c.inFlight), len(c.bySubject), len(c.queue))
		}
	}
}

// A full table forgets the oldest checks, and a token whose check is forgotten is checked again.
func TestCheckTable_full(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var table checkTable
		table.init(time.Hour)
		key := func(i int) checkKey { return checkKey{sessionID: fmt.Sprint("s", i)} }
		const keys = 3 * maxRecentChecks
		for i := range keys {
			table.setChecked(key(i), time.Now())
		}
		size := 0
		for i := range table.shards {
			size += len(table.shards[i].current) + len(table.shards[i].previous)
		}
		if size < maxRecentChecks || size > 2*maxRecentChecks {
			t.Errorf("the table has %d checks, want %d to %d", size, maxRecentChecks,
				2*maxRecentChecks)
		}
		if table.isRecent(key(0), time.Now()) {
			t.Error("the oldest check is remembered")
		}
		for i := keys - maxRecentChecks/2; i < keys; i++ {
			if !table.isRecent(key(i), time.Now()) {
				t.Fatalf("the check %d of %d is forgotten", i, keys)
			}
		}
	})
}

// Old checks leave the table when others are added.
func TestCheckTable_old(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var table checkTable
		table.init(30 * time.Second)
		for range 10 {
			for i := range 1000 {
				table.setChecked(checkKey{sessionID: fmt.Sprint(time.Now(), i)}, time.Now())
			}
			time.Sleep(15 * time.Second)
		}
		size := 0
		for i := range table.shards {
			size += len(table.shards[i].current) + len(table.shards[i].previous)
		}
		if size > 5000 {
			t.Errorf("the table has %d checks, want those of a minute", size)
		}
	})
}

// The check of a session that was checked recently makes no allocation.
func TestSessionChecker_allocations(t *testing.T) {
	for _, wait := range []bool{false, true} {
		c := newCheckTest(t, wait)
		session := TokenSession{SessionID: "s1", Subject: aliceID,
			IssuedAt: time.Now().Add(-time.Hour).Truncate(time.Second)}
		token := checkedToken("s1", localAudience)
		check := func() {
			if err := c.Check(t.Context(), session, token); err != nil {
				t.Errorf("Check() = %v, want nil", err)
			}
		}
		check()
		for c.Stats().Done == 0 { // without Wait, the check runs in the background
			time.Sleep(time.Millisecond)
		}
		if got := testing.AllocsPerRun(1000, check); got != 0 {
			t.Errorf("Check() makes %v allocations, want 0", got)
		}
		c.checkCalls("in an interval", 1)
	}
}

// BenchmarkCheckTable looks up recent checks of 1,000 sessions in a full table, on all processors.
func BenchmarkCheckTable(b *testing.B) {
	var table checkTable
	table.init(time.Hour)
	keys := make([]checkKey, maxRecentChecks)
	for i := range keys {
		keys[i] = checkKey{fmt.Sprintf("session-%016d", i), int64(i)}
		table.setChecked(keys[i], time.Now())
	}
	keys = keys[len(keys)-1000:]
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if !table.isRecent(keys[i%len(keys)], time.Now()) {
				b.Error("a check is forgotten")
			}
		}
	})
}
