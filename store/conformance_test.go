package store_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/store"
	"github.com/cloakql/cloakql/store/storetest"
)

// MemoryBuckets fulfills the contract of Buckets.
func TestMemoryBuckets(t *testing.T) {
	// newOpener returns a function that returns a new store. Advance moves the store's clock
	// forward; if clockRuns is set, the clock also runs by itself.
	newOpener := func(maxKeys int, clockRuns bool) func(t *testing.T) storetest.Buckets {
		return func(*testing.T) storetest.Buckets {
			var offset atomic.Int64
			start := time.Now()
			m := &store.MemoryBuckets{MaxKeys: maxKeys, Now: func() time.Time {
				now := start
				if clockRuns {
					now = time.Now()
				}
				return now.Add(time.Duration(offset.Load()))
			}}
			return storetest.Buckets{Store: m, ClockRuns: clockRuns,
				Advance: func(d time.Duration) { offset.Add(int64(d)) }}
		}
	}
	t.Run("stopped clock", func(t *testing.T) { storetest.RunBuckets(t, newOpener(0, false)) })
	t.Run("running clock", func(t *testing.T) { storetest.RunBuckets(t, newOpener(0, true)) })
	// Overflow buckets fulfill the contract too. This test fails in about one of 65,536 runs, in
	// which two of its keys share an overflow bucket.
	t.Run("overflow buckets", func(t *testing.T) {
		storetest.RunBuckets(t, func(t *testing.T) storetest.Buckets {
			b := newOpener(1, false)(t)
			otherBucket := store.Bucket{Key: store.Key{0xff}, Burst: 1,
				Every: 10 * 365 * 24 * time.Hour}
			_, err := b.Store.Reserve(context.Background(), []store.Bucket{otherBucket})
			if err != nil {
				t.Fatal(err)
			}
			return b
		})
	})
}

// MemoryCalls fulfills the contract of Calls.
func TestMemoryCalls(t *testing.T) {
	t.Run("fake clock", func(t *testing.T) {
		storetest.RunCalls(t, func(t *testing.T, test func(*testing.T, store.Calls, store.Calls)) {
			synctest.Test(t, func(t *testing.T) {
				m := &store.MemoryCalls{}
				test(t, m, m)
			})
		})
	})
	t.Run("running clock", func(t *testing.T) {
		storetest.RunCalls(t, func(t *testing.T, test func(*testing.T, store.Calls, store.Calls)) {
			m := &store.MemoryCalls{}
			test(t, m, m)
		})
	})
}

// MemoryTurns fulfills the contract of Turns.
func TestMemoryTurns(t *testing.T) {
	t.Run("fake clock", func(t *testing.T) {
		storetest.RunTurns(t, func(t *testing.T, test func(*testing.T, store.Turns, store.Turns)) {
			synctest.Test(t, func(t *testing.T) {
				m := &store.MemoryTurns{}
				test(t, m, m)
				synctest.Wait()
				if n := m.Len(); n != 0 {
					t.Errorf("%d keys are stored, want none", n)
				}
			})
		})
	})
	t.Run("running clock", func(t *testing.T) {
		storetest.RunTurns(t, func(t *testing.T, test func(*testing.T, store.Turns, store.Turns)) {
			m := &store.MemoryTurns{}
			test(t, m, m)
		})
	})
}

// MemoryTurns shortens a pause that is longer than MaxPause.
func TestMemoryTurns_maxPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &store.MemoryTurns{}
		request := store.TurnRequest{MaxQueue: 2, MaxGroup: 2}
		leave, err := m.Take(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		leave(time.Hour)
		start := time.Now()
		if _, err := m.Take(t.Context(), request); err != nil ||
			time.Since(start) != store.MaxPause {
			t.Errorf("Take() = %v after %v, want a turn after %v", err, time.Since(start),
				store.MaxPause)
		}
	})
}

// TakeAfter counts the caller in the queue while prepare runs, but delays no caller. If prepare
// fails, the caller loses its place.
func TestMemoryTurns_TakeAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &store.MemoryTurns{}
		request := store.TurnRequest{Key: store.Key{1}, MaxQueue: 2, MaxGroup: 2}
		failure := errors.New("prepare failed")
		for _, want := range []error{nil, failure} {
			leave, err := m.TakeAfter(t.Context(), request, func() error {
				first, err := m.Take(t.Context(), request)
				if err != nil {
					t.Fatal(err)
				}
				_, err = m.Take(t.Context(), request)
				if !errors.Is(err, store.ErrQueueFull) {
					t.Errorf("Take() = %v during prepare, want %v", err, store.ErrQueueFull)
				}
				first(time.Second)
				return want
			})
			if err != want || (leave == nil) != (want != nil) {
				t.Errorf("TakeAfter() = %v, want %v", err, want)
			}
			if leave != nil {
				leave(0)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if n := m.Len(); n != 0 {
				t.Errorf("%d keys are stored, want none", n)
			}
		}
	})
}
