package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

// failingEvents implements store.Events. It fails while failing is set.
type failingEvents struct {
	events  atomic.Pointer[store.MemoryEvents]
	failing atomic.Bool
	reads   atomic.Int64
}

func newFailingEvents() *failingEvents {
	f := new(failingEvents)
	f.events.Store(&store.MemoryEvents{})
	return f
}

func (f *failingEvents) Append(ctx context.Context, events ...store.Event) error {
	if f.failing.Load() {
		return fmt.Errorf("%w: connection refused", store.ErrUnavailable)
	}
	return f.events.Load().Append(ctx, events...)
}

func (f *failingEvents) Read(ctx context.Context, after store.Cursor) (store.Batch, error) {
	f.reads.Add(1)
	if f.failing.Load() {
		return store.Batch{}, fmt.Errorf("%w: connection refused", store.ErrUnavailable)
	}
	return f.events.Load().Read(ctx, after)
}

// A feedProcess is one of several processes that share a store.
type feedProcess struct {
	*Feed
	set *Set
	log *strings.Builder
}

// startFeed starts a process. It stops when the test ends.
func startFeed(t *testing.T, events store.Events, maxEntries int) feedProcess {
	t.Helper()
	log := new(strings.Builder)
	logger := slog.New(slog.NewTextHandler(log, nil))
	set := &Set{MaxEntries: maxEntries, Log: logger}
	feed := NewFeed(set, events, logger)
	feed.Start()
	t.Cleanup(feed.Stop)
	return feedProcess{feed, set, log}
}

// wantRevoked checks whether a token of a session is revoked.
func (p feedProcess) wantRevoked(t *testing.T, description, session string, want error) {
	t.Helper()
	token := issuedAt(session, "alice", time.Now().Add(-time.Minute))
	if err := p.set.Check(token); !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: Check() = %v, want %v", description, err, want)
	}
}

// Every process learns within a second that a session or a user's sessions ended.
func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := &store.MemoryEvents{}
		a, b := startFeed(t, events, 0), startFeed(t, events, 0)
		time.Sleep(time.Minute)
		a.Add(End{SessionID: "s1", Subject: "alice", At: time.Now()})
		b.Add(End{Subject: "bob"})
		a.wantRevoked(t, "at the process itself", "s1", identity.ErrTokenRevoked)
		time.Sleep(time.Second)
		for name, p := range map[string]feedProcess{"a": a, "b": b,
			"a process that starts later": startFeed(t, events, 0)} {
			synctest.Wait()
			p.wantRevoked(t, name, "s1", identity.ErrTokenRevoked)
			p.wantRevoked(t, name+", another session", "s2", nil)
			bobs := issuedAt("s3", "bob", time.Now().Add(-time.Minute))
			if err := p.set.Check(bobs); !errors.Is(err, identity.ErrTokenRevoked) {
				t.Errorf("%s, a user: Check() = %v, want ErrTokenRevoked", name, err)
			}
		}
	})
}

// While the store is unavailable, each process keeps what it knows. Afterwards, all processes know
// all ends, even if there were more than may wait.
func TestFeed_unavailable(t *testing.T) {
	for _, count := range []int{1, maxPending, maxPending + 1, 3*maxPending + 1} {
		synctest.Test(t, func(t *testing.T) {
			events := newFailingEvents()
			a, b := startFeed(t, events, 0), startFeed(t, events, 0)
			time.Sleep(time.Minute)
			a.Add(End{SessionID: "before"})
			time.Sleep(time.Second)
			events.failing.Store(true)
			for i := range count {
				a.Add(End{SessionID: fmt.Sprint("s", i)})
			}
			time.Sleep(2*staleAfter + time.Second)
			b.wantRevoked(t, "known", "before", identity.ErrTokenRevoked)
			b.wantRevoked(t, "not known yet", "s0", nil)
			a.wantRevoked(t, "at the process itself", "s0", identity.ErrTokenRevoked)
			if err := b.Status(); !errors.Is(err, store.ErrUnavailable) ||
				!strings.Contains(err.Error(), "unknown") {
				t.Errorf("Status() = %v, want store.ErrUnavailable", err)
			}
			if n := strings.Count(b.log.String(), "level=WARN"); n != 1 {
				t.Errorf("%d warnings, want 1:\n%s", n, b.log)
			}
			events.failing.Store(false)
			time.Sleep(time.Second)
			if err := b.Status(); err != nil {
				t.Errorf("Status() = %v afterwards, want nil", err)
			}
			for i := range count {
				b.wantRevoked(t, "afterwards", fmt.Sprint("s", i), identity.ErrTokenRevoked)
			}
		})
	}
}

// If the store loses its data, the processes add what they know, so that later ones learn of it.
func TestFeed_lost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := newFailingEvents()
		a := startFeed(t, events, 0)
		a.Add(End{SessionID: "s1"})
		a.Add(End{Subject: "bob"})
		time.Sleep(time.Second)
		events.failing.Store(true)
		time.Sleep(time.Second)
		events.events.Store(&store.MemoryEvents{})
		events.failing.Store(false)
		time.Sleep(time.Second)
		b := startFeed(t, events, 0)
		synctest.Wait()
		b.wantRevoked(t, "a process that starts afterwards", "s1", identity.ErrTokenRevoked)
		bobs := issuedAt("s3", "bob", time.Now().Add(-time.Minute))
		if err := b.set.Check(bobs); !errors.Is(err, identity.ErrTokenRevoked) {
			t.Errorf("a user: Check() = %v, want ErrTokenRevoked", err)
		}
	})
}

// If the store has dropped events because it was full, a process that didn't read them counts the
// tokens from before as expired. Another process doesn't.
func TestFeed_full(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := &store.MemoryEvents{MaxEvents: 10}
		a := startFeed(t, events, 0)
		for i := range 11 {
			time.Sleep(time.Second)
			a.Add(End{SessionID: fmt.Sprint("s", i)})
		}
		time.Sleep(30 * time.Minute)
		b := startFeed(t, events, 0)
		synctest.Wait()
		old := issuedAt("another", "alice", time.Now().Add(-31*time.Minute))
		if err := b.set.Check(old); !errors.Is(err, identity.ErrTokenExpired) {
			t.Errorf("a process that starts later: Check() = %v, want ErrTokenExpired", err)
		}
		if err := a.set.Check(old); err != nil {
			t.Errorf("a process that read all events: Check() = %v, want nil", err)
		}
		b.wantRevoked(t, "a token from after the dropped end", "another", nil)
	})
}

// Even if the store drops events that are only minutes old, a process that starts later accepts
// tokens that are issued afterwards.
func TestFeed_fullAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := &store.MemoryEvents{MaxEvents: 10}
		a := startFeed(t, events, 0)
		for i := range 11 {
			a.Add(End{SessionID: fmt.Sprint("s", i)})
		}
		time.Sleep(time.Minute)
		b := startFeed(t, events, 0)
		synctest.Wait()
		if err := b.set.Check(issuedAt("another", "alice", time.Now())); err != nil {
			t.Errorf("a new token: Check() = %v, want nil", err)
		}
		old := issuedAt("another", "alice", time.Now().Add(-2*time.Minute))
		if err := b.set.Check(old); !errors.Is(err, identity.ErrTokenExpired) {
			t.Errorf("a token from before the end: Check() = %v, want ErrTokenExpired", err)
		}
	})
}

// The store has an end for as long as any token may live, even if the process that added it has
// seen only tokens that live shorter.
func TestFeed_longTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := &store.MemoryEvents{}
		startFeed(t, events, 0).Add(End{SessionID: "s1"})
		time.Sleep(20 * time.Hour)
		b := startFeed(t, events, 0)
		synctest.Wait()
		token := issuedAt("s1", "alice", time.Now().Add(-21*time.Hour))
		token.ExpiresAt = time.Now().Add(time.Hour)
		if err := b.set.Check(token); !errors.Is(err, identity.ErrTokenRevoked) {
			t.Errorf("Check() = %v, want ErrTokenRevoked", err)
		}
	})
}

// A process that stops adds what the store lacks. Stop may be called without Start, and twice.
func TestFeed_Stop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := newFailingEvents()
		a := startFeed(t, events, 0)
		events.failing.Store(true)
		a.Add(End{SessionID: "s1"})
		events.failing.Store(false)
		a.Stop()
		a.Stop()
		b := startFeed(t, events, 0)
		synctest.Wait()
		b.wantRevoked(t, "after a stopped", "s1", identity.ErrTokenRevoked)
		reads := events.reads.Load()
		c := NewFeed(&Set{}, events, nil)
		c.Stop()
		c.Start()
		b.Stop()
		time.Sleep(time.Minute)
		if n := events.reads.Load(); n != reads {
			t.Errorf("%d reads after Stop, want none", n-reads)
		}
	})
}

// Events that this version doesn't understand are ignored.
func TestFeed_unknownEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := &store.MemoryEvents{}
		for _, data := range []string{"", "{", "null", `{"sid":5}`, `{"at":"x"}`, "\xff",
			`{"new":true}`} {
			err := events.Append(t.Context(), store.Event{Data: data, Keep: time.Hour})
			if err != nil && data != "" {
				t.Fatal(err)
			}
		}
		a := startFeed(t, events, 0)
		a.Add(End{SessionID: "s1"})
		b := startFeed(t, events, 0)
		synctest.Wait()
		b.wantRevoked(t, "a known event", "s1", identity.ErrTokenRevoked)
		if n := b.set.Len(); n != 1 {
			t.Errorf("%d ends, want 1", n)
		}
	})
}

// An event keeps whether an end is exact, and so does the list of a set's ends.
func TestEnd_exactEvent(t *testing.T) {
	s := newTestSet(0)
	s.Add(End{SessionID: "s1", At: noon})
	s.Add(End{SessionID: "s1", At: noon.Add(time.Minute), Exact: true})
	s.Add(End{Subject: "alice", At: noon})
	other := newTestSet(0)
	for _, end := range s.Ends() {
		decoded, err := decodeEnd(encodeEnd(end))
		if err != nil || decoded.Exact != end.Exact || !decoded.At.Equal(end.At) {
			t.Errorf("decodeEnd() = %+v, %v; want %+v", decoded, err, end)
		}
		other.Add(decoded)
	}
	other.check(t, "until the exact end", issuedAt("s1", "bob", noon.Add(time.Minute)),
		identity.ErrTokenRevoked)
	other.check(t, "after the exact end", issuedAt("s1", "bob", noon.Add(time.Minute+1e9)), nil)
	other.check(t, "the user", issuedAt("s2", "alice", noon), identity.ErrTokenRevoked)
}
