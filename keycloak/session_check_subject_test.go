package keycloak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// A user with many tokens doesn't keep the tokens of others from being checked. Only the user's own
// surplus isn't checked.
func TestSessionChecker_manyTokensOfUser(t *testing.T) {
	for _, wait := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newCheckTest(t, wait)
			c.endpoint.setDelay(30 * time.Millisecond)
			issuedAt := time.Now().Add(-time.Hour)
			const tokens = 2 * maxQueuedChecks
			var busyCount atomic.Int32
			var group sync.WaitGroup
			for i := range tokens {
				group.Go(func() {
					err := c.useOf("mallory", fmt.Sprint("m", i), issuedAt)
					if errors.Is(err, identity.ErrBusy) {
						busyCount.Add(1)
					} else if err != nil {
						t.Errorf("Check() = %v, want nil or ErrBusy", err)
					}
					checkNoLeak(t, err)
				})
			}
			synctest.Wait()
			start := time.Now()
			for i := range 100 {
				group.Go(func() {
					if err := c.useIssued(fmt.Sprint("s", i), issuedAt); err != nil {
						t.Errorf("Check() of another user = %v, want nil", err)
					}
				})
			}
			group.Wait()
			if got := time.Since(start); got > time.Second {
				t.Errorf("the checks of others took %v, want at most 1s", got)
			}
			time.Sleep(2 * time.Second)
			want := SessionCheckStats{Done: 100 + maxChecksPerSubject,
				Skipped: tokens - maxChecksPerSubject}
			if got := c.Stats(); got != want || wait && busyCount.Load() != int32(got.Skipped) {
				t.Errorf("Stats() = %+v, and %d uses failed with ErrBusy; want %+v", got,
					busyCount.Load(), want)
			}
			// When the first checks are done, there is room for others.
			for i := range maxChecksPerSubject {
				if err := c.useOf("mallory", fmt.Sprint("n", i), issuedAt); err != nil {
					t.Errorf("a later Check() = %v, want nil", err)
				}
			}
			time.Sleep(time.Second)
			c.checkCalls("afterwards", 100+2*maxChecksPerSubject)
		})
	}
}

// Checks that are dropped no longer count toward their user's limit.
func TestSessionChecker_droppedChecksOfUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, false)
		c.endpoint.setResponse(500, "")
		issuedAt := time.Now().Add(-time.Hour)
		for i := range 2 * maxChecksPerSubject {
			c.useOf("alice", fmt.Sprint("s", i), issuedAt)
		}
		time.Sleep(2 * checkPause)
		synctest.Wait()
		if len(c.bySubject) != 0 {
			t.Errorf("%d users have checks in progress, want none", len(c.bySubject))
		}
	})
}

// A lockTestHandler is a slog.Handler that checks, for each record whose message contains
// "aren't checked", that other goroutines can lock the checker's mutex.
type lockTestHandler struct {
	t       *testing.T
	checker *SessionChecker
	once    sync.Once
	isDone  chan struct{} // closed after the first such record
}

func (*lockTestHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *lockTestHandler) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h *lockTestHandler) WithGroup(string) slog.Handler          { return h }
func (h *lockTestHandler) Handle(_ context.Context, record slog.Record) error {
	if !strings.Contains(record.Message, "aren't checked") {
		return nil
	}
	locked := make(chan struct{})
	go func() {
		h.checker.mu.Lock()
		close(locked)
		h.checker.mu.Unlock()
	}()
	select {
	case <-locked:
	case <-time.After(time.Minute):
		h.t.Error("a line is logged while the checker is locked")
	}
	h.once.Do(func() { close(h.isDone) })
	return nil
}

// A slow log doesn't delay other checks.
func TestSessionChecker_slowLog(t *testing.T) {
	for name, skip := range map[string]func(c *checkTest, release func()){
		"skipped": func(c *checkTest, release func()) {
			for i := range maxChecksPerSubject + 1 {
				c.useOf("alice", fmt.Sprint("s", i), time.Now().Add(-time.Hour))
			}
			release()
		},
		"dropped after failures": func(c *checkTest, release func()) {
			for i := range 100 {
				c.use(fmt.Sprint("s", i))
			}
			release()
		},
		"dropped by Close": func(c *checkTest, release func()) {
			for i := range 100 {
				c.use(fmt.Sprint("s", i))
			}
			ctx, cancel := context.WithCancel(c.Context())
			cancel()
			c.Close(ctx)
			release()
		},
	} {
		t.Run(name, func(t *testing.T) {
			handler := &lockTestHandler{t: t, isDone: make(chan struct{})}
			c := newCheckTest(t, false, func(config *SessionCheckConfig) {
				config.Log, config.Timeout = slog.New(handler), time.Minute
			})
			handler.checker = c.SessionChecker
			released := make(chan struct{})
			c.endpoint.respond = func(string) (*http.Response, error) {
				<-released
				return newResponse(500, "")
			}
			skip(c, func() { close(released) })
			<-handler.isDone
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
