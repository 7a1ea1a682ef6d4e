package throttle

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestMemory holds Memory to the contract of a Store, and so does a Memory that has no room: a shared budget is
// a budget like any other.
func TestMemory(t *testing.T) {
	testStore(t, func() Store { return NewMemory(0) })
}

func TestMemoryWithoutRoom(t *testing.T) {
	testStore(t, func() Store {
		m := NewMemory(1)
		if _, err := m.Take(context.Background(), keyN(1<<40), Rate{1, 24 * time.Hour}); err != nil {
			panic(err)
		}
		return m
	})
}

// keyN is a key for each number.
func keyN(n int) (key Key) {
	for i := range 8 {
		key[i] = byte(n >> (8 * i))
	}
	return key
}

// takes draws until the store refuses, at most most times, and returns how many it took and how long to wait.
func takes(t *testing.T, store Store, key Key, rate Rate, most int) (took int, wait time.Duration) {
	t.Helper()
	for ; took < most; took++ {
		taken, err := store.Take(t.Context(), key, rate)
		if err != nil {
			t.Fatal(err)
		}
		if taken.Wait > 0 {
			return took, taken.Wait
		}
	}
	return took, 0
}

// testStore is what every Store must pass, of this room or of another.
func testStore(t *testing.T, newStore func() Store) {
	run := func(name string, f func(t *testing.T, store Store)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, newStore()) })
		})
	}
	rate := Rate{10, 30 * time.Second}

	run("holds as many as it says", func(t *testing.T, store Store) {
		if took, wait := takes(t, store, keyN(1), rate, 100); took != 10 || wait != 30*time.Second {
			t.Errorf("took %d, and then a wait of %v; want 10 and 30s", took, wait)
		}
		if took, wait := takes(t, store, keyN(1), rate, 100); took != 0 || wait != 30*time.Second {
			t.Errorf("a refused attempt changed something: took %d, wait %v", took, wait)
		}
	})
	run("fills to the moment", func(t *testing.T, store Store) {
		takes(t, store, keyN(1), rate, 10)
		time.Sleep(30*time.Second - 1)
		if took, wait := takes(t, store, keyN(1), rate, 100); took != 0 || wait != 1 {
			t.Errorf("a nanosecond early: took %d, wait %v; want 0 and 1ns", took, wait)
		}
		time.Sleep(time.Nanosecond)
		if took, _ := takes(t, store, keyN(1), rate, 100); took != 1 {
			t.Errorf("took %d, want 1", took)
		}
		time.Sleep(95 * time.Second)
		if took, wait := takes(t, store, keyN(1), rate, 100); took != 3 || wait != 25*time.Second {
			t.Errorf("took %d, wait %v; want 3 and 25s", took, wait)
		}
		time.Sleep(24 * time.Hour)
		if took, _ := takes(t, store, keyN(1), rate, 100); took != 10 {
			t.Errorf("after a day: took %d, want 10 and no more", took)
		}
	})
	run("of one", func(t *testing.T, store Store) {
		one := Rate{1, time.Second}
		for range 3 {
			if took, wait := takes(t, store, keyN(1), one, 100); took != 1 || wait != time.Second {
				t.Errorf("took %d, wait %v; want 1 and 1s", took, wait)
			}
			time.Sleep(time.Second)
		}
	})
	run("is filled again by what is given back", func(t *testing.T, store Store) {
		takes(t, store, keyN(1), rate, 9)
		tenth, err := store.Take(t.Context(), keyN(1), rate)
		if err != nil || tenth.Wait != 0 {
			t.Fatal(tenth, err)
		}
		for range 100 { // whoever succeeds costs nothing, however often
			if err := store.Give(t.Context(), keyN(1), rate, tenth); err != nil {
				t.Fatal(err)
			}
			if tenth, err = store.Take(t.Context(), keyN(1), rate); err != nil || tenth.Wait != 0 {
				t.Fatal(tenth, err)
			}
		}
		if took, wait := takes(t, store, keyN(1), rate, 100); took != 0 || wait != 30*time.Second {
			t.Errorf("took %d, wait %v; want 0 and 30s", took, wait)
		}
	})
	run("never holds more than it does", func(t *testing.T, store Store) {
		first, err := store.Take(t.Context(), keyN(1), rate)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		for range 50 {
			store.Give(t.Context(), keyN(1), rate, first)
		}
		if took, _ := takes(t, store, keyN(1), rate, 100); took != 10 {
			t.Errorf("took %d, want 10", took)
		}
	})
	run("keeps keys apart", func(t *testing.T, store Store) {
		for i := 1; i <= 5; i++ { // of 65,536 shared budgets five keys share none, most likely
			if took, _ := takes(t, store, keyN(i), rate, 100); took != 10 {
				t.Errorf("key %d: took %d, want 10", i, took)
			}
		}
	})
	run("takes in one step", func(t *testing.T, store Store) {
		var took atomic.Int32
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				if taken, err := store.Take(t.Context(), keyN(1), rate); err == nil && taken.Wait == 0 {
					took.Add(1)
				}
			})
		}
		callers.Wait()
		if took.Load() != 10 {
			t.Errorf("%d of 100 took, want 10", took.Load())
		}
	})
	run("gives up with its caller", func(t *testing.T, store Store) {
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := store.Take(gone, keyN(1), rate); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if took, _ := takes(t, store, keyN(1), rate, 100); took != 10 {
			t.Errorf("took %d, want 10: nothing was taken for one who has gone", took)
		}
	})
	run("goes by the rate of the call", func(t *testing.T, store Store) {
		takes(t, store, keyN(1), rate, 10)
		if took, _ := takes(t, store, keyN(1), Rate{20, 30 * time.Second}, 100); took != 10 {
			t.Errorf("took %d, want 10 of a budget that was doubled", took)
		}
	})
}
