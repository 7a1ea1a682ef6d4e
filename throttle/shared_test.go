package throttle

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// A remote is a store across a network: it counts like Memory, and fails or hangs when told to.
type remote struct {
	*Memory
	fails atomic.Pointer[error]
	hangs atomic.Bool
	asked atomic.Int32
}

var errRefused = errors.New("connection refused")

func (r *remote) call(ctx context.Context) error {
	r.asked.Add(1)
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := r.fails.Load(); err != nil {
		return *err
	}
	return nil
}

func (r *remote) Take(ctx context.Context, key Key, rate Rate) (Taken, error) {
	if err := r.call(ctx); err != nil {
		return Taken{}, err
	}
	return r.Memory.Take(ctx, key, rate)
}

func (r *remote) Give(ctx context.Context, key Key, rate Rate, taken Taken) error {
	if err := r.call(ctx); err != nil {
		return err
	}
	return r.Memory.Give(ctx, key, rate, taken)
}

// withRemote runs a test with two processes that share a store, and what they log.
func withRemote(t *testing.T, f func(t *testing.T, store *remote, one, two *Budgets, log *bytes.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		log := slog.New(slog.NewTextHandler(&text, nil))
		store := &remote{Memory: NewMemory(0)}
		f(t, store, must(New(Config{Store: store, Log: log})), must(New(Config{Store: store, Log: log})), &text)
	})
}

func TestTwoProcessesShareAStore(t *testing.T) {
	withRemote(t, func(t *testing.T, store *remote, one, two *Budgets, log *bytes.Buffer) {
		try(t, one, from(t, home), login, "alice", identity.ErrBadCredentials, 6)
		made, wait := try(t, two, from(t, home), login, "alice", identity.ErrBadCredentials, 100)
		wants(t, "the second process", made, wait, 4, time.Minute)
		try(t, two, from(t, home), login, "bob", nil, 100)
		if held(one.local)+held(two.local) != 0 || held(store.Memory) != 7 || log.Len() != 0 {
			t.Errorf("%d and %d keys in the processes, %d in the store, logged %q", held(one.local), held(two.local), held(store.Memory), log)
		}
	})
}

// Neither is everybody refused while the store is down, nor may anybody guess without end.
func TestAStoreThatFails(t *testing.T) {
	withRemote(t, func(t *testing.T, store *remote, one, _ *Budgets, log *bytes.Buffer) {
		try(t, one, from(t, home), login, "alice", identity.ErrBadCredentials, 10)
		store.fails.Store(&errRefused)
		asked := store.asked.Load()
		made, wait := try(t, one, from(t, home), login, "alice", identity.ErrBadCredentials, 100)
		wants(t, "while it is down", made, wait, 10, time.Minute)
		if n := store.asked.Load() - asked; n != 1 {
			t.Errorf("the store was asked %d times within a second, want once", n)
		}
		store.fails.Store(nil)
		time.Sleep(storePause)
		made, wait = try(t, one, from(t, home), login, "alice", identity.ErrBadCredentials, 100)
		wants(t, "when it is back", made, wait, 0, time.Minute-storePause)
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN") || !strings.Contains(text, "connection refused") || strings.Contains(text, "alice") {
			t.Errorf("logged %q, want one line that says why", text)
		}
	})
}

func TestAStoreThatHangs(t *testing.T) {
	withRemote(t, func(t *testing.T, store *remote, one, two *Budgets, log *bytes.Buffer) {
		store.hangs.Store(true)
		begin := time.Now()
		try(t, one, from(t, home), login, "alice", nil, 100)
		if passed := time.Since(begin); passed != storeTimeout {
			t.Errorf("a hundred attempts took %v, want %v", passed, storeTimeout)
		}
		// A caller who leaves meanwhile says nothing of the store.
		log.Reset()
		short, cancel := context.WithTimeout(from(t, home), time.Millisecond)
		defer cancel()
		if _, err := two.Login(short, named("alice")); !errors.Is(err, context.DeadlineExceeded) || log.Len() != 0 || !two.asking() {
			t.Errorf("got %v, want %v; logged %q", err, context.DeadlineExceeded, log)
		}
	})
}

// What was taken in one place isn't given back in another.
func TestAStoreThatFailsBetweenTakingAndGiving(t *testing.T) {
	withRemote(t, func(t *testing.T, store *remote, one, two *Budgets, log *bytes.Buffer) {
		settle, err := one.Login(from(t, home), named("alice"))
		if err != nil {
			t.Fatal(err)
		}
		store.fails.Store(&errRefused)
		try(t, one, from(t, home), login, "alice", identity.ErrBadCredentials, 3)
		settle(nil)
		store.fails.Store(nil)
		made, _ := try(t, two, from(t, home), login, "alice", identity.ErrBadCredentials, 100)
		if made != 9 { // one was lost, to the strict side
			t.Errorf("%d attempts in the store, want 9", made)
		}
		store.fails.Store(&errRefused)
		made, _ = try(t, one, from(t, home), login, "alice", identity.ErrBadCredentials, 100)
		if made != 7 {
			t.Errorf("%d attempts in the process, want 7", made)
		}
	})
}

// A caller who has gone is the usual case of giving back late; the store hears of it all the same.
func TestGivingBackOutlivesTheCaller(t *testing.T) {
	withRemote(t, func(t *testing.T, store *remote, one, _ *Budgets, _ *bytes.Buffer) {
		ctx, leave := context.WithCancel(from(t, home))
		settle, err := one.Login(ctx, named("alice"))
		if err != nil {
			t.Fatal(err)
		}
		leave()
		settle(nil)
		if held(store.Memory) != 1 {
			t.Errorf("%d keys are held in the store, want that of all attempts", held(store.Memory))
		}
	})
}
