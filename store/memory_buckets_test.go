package store

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// The zero value uses the real clock, with a precision of a nanosecond.
func TestMemoryBuckets_zeroValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, bucket := &MemoryBuckets{}, bucketN(1, 10, 30*time.Second)
		drain(t, m, bucket, 10)
		time.Sleep(30*time.Second - 1)
		if allowed, wait := drain(t, m, bucket, 100); allowed != 0 || wait != 1 {
			t.Errorf("one nanosecond early: %d allowed, wait %v; want 0 and 1ns", allowed, wait)
		}
		time.Sleep(time.Nanosecond)
		if allowed, wait := drain(t, m, bucket, 100); allowed != 1 || wait != 30*time.Second {
			t.Errorf("%d allowed, wait %v; want 1 and 30s", allowed, wait)
		}
	})
}

// A flood of new keys doesn't make the store forget the level of a bucket.
func TestMemoryBuckets_flood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maxKeys = 1000
		m := &MemoryBuckets{MaxKeys: maxKeys}
		before, during := bucketN(-1, 10, time.Minute), bucketN(-2, 10, time.Minute)
		drain(t, m, before, 10)
		for n := range 20 * maxKeys {
			if n == 10*maxKeys { // a bucket first used during the flood has the usual size
				if allowed, _ := drain(t, m, during, 100); allowed > 10 {
					t.Fatalf("%d allowed, want at most 10", allowed)
				}
			}
			reserve(t, m, bucketN(n, 10, time.Minute))
			if m.Len() > maxKeys {
				t.Fatalf("%d keys are stored, want at most %d", m.Len(), maxKeys)
			}
		}
		for name, bucket := range map[string]Bucket{
			"used before the flood": before, "used during the flood": during,
		} {
			if allowed, wait := drain(t, m, bucket, 100); allowed != 0 || wait > time.Minute {
				t.Errorf("%s: %d allowed, wait %v; want none within a minute", name, allowed, wait)
			}
		}
		time.Sleep(30 * time.Second) // the flood goes on
		for n := range 20 * maxKeys {
			reserve(t, m, bucketN(1<<30+n, 10, time.Minute))
		}
		if allowed, wait := drain(t, m, before, 100); allowed != 0 || wait != 30*time.Second {
			t.Errorf("%d allowed, wait %v; want 0 and 30s", allowed, wait)
		}
		time.Sleep(30 * time.Second)
		if allowed, _ := drain(t, m, before, 100); allowed != 1 {
			t.Errorf("after a minute: %d allowed, want 1", allowed)
		}
	})
}

// A sweep drops full buckets, and only those.
func TestMemoryBuckets_sweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maxKeys = 100
		m := &MemoryBuckets{MaxKeys: maxKeys}
		for n := range maxKeys / 2 {
			drain(t, m, bucketN(n, 10, time.Minute), 1) // full again in a minute
		}
		for n := range maxKeys / 2 {
			drain(t, m, bucketN(1000+n, 10, time.Minute), 2) // full again in two minutes
		}
		time.Sleep(90 * time.Second)
		for n := range maxKeys / 2 {
			bucket := bucketN(2000+n, 10, time.Minute)
			if reserve(t, m, bucket); !hasOwn(m, bucket) {
				t.Fatalf("key %d has no bucket of its own", n)
			}
		}
		bucket := bucketN(3000, 10, time.Minute)
		if reserve(t, m, bucket); hasOwn(m, bucket) {
			t.Error("there was room for another key: a bucket that wasn't full was dropped")
		}
		if m.Len() != maxKeys {
			t.Errorf("%d keys are stored, want %d", m.Len(), maxKeys)
		}
		for n := range maxKeys / 2 {
			if allowed, _ := drain(t, m, bucketN(1000+n, 10, time.Minute), 100); allowed != 9 {
				t.Errorf("key %d: %d allowed, want 9", n, allowed)
			}
		}
	})
}

// Refunds and refusals leave no keys behind.
func TestMemoryBuckets_Len(t *testing.T) {
	m := &MemoryBuckets{MaxKeys: 10}
	empty := bucketN(-1, 1, time.Hour)
	drain(t, m, empty, 1)
	for n := range 1000 {
		one, two := bucketN(n, 10, time.Minute), bucketN(1000+n, 10, time.Minute)
		decision := reserve(t, m, one, two)
		if !decision.Allowed || !hasOwn(m, one) || !hasOwn(m, two) {
			t.Fatalf("keys %d: %+v, want it allowed, in buckets of their own", n, decision)
		}
		m.Refund(t.Context(), []Bucket{one, two})
		if decision := reserve(t, m, one, two, empty); decision.Allowed {
			t.Fatalf("keys %d: allowed, want it refused", n)
		}
	}
	if m.Len() != 1 {
		t.Errorf("%d keys are stored, want only that of the empty bucket", m.Len())
	}
}

// A key that moves from an overflow bucket to its own keeps the level. Otherwise a flood would
// refill its bucket.
func TestMemoryBuckets_overflow_moveOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &MemoryBuckets{MaxKeys: 1}
		short, long := bucketN(1, 1, time.Second), bucketN(2, 10, time.Hour)
		drain(t, m, short, 1)
		drain(t, m, long, 5)
		if hasOwn(m, long) {
			t.Fatal("the key has its own bucket, want an overflow bucket")
		}
		time.Sleep(2 * time.Second)
		if reserve(t, m, long); !hasOwn(m, long) {
			t.Fatal("the key has an overflow bucket, want its own")
		}
		if allowed, _ := drain(t, m, long, 100); allowed != 4 {
			t.Errorf("%d allowed, want the remaining 4 of 10", allowed)
		}
		m.Refund(t.Context(), []Bucket{long}) // a token taken from the overflow bucket
		if allowed, _ := drain(t, m, long, 100); allowed != 1 {
			t.Errorf("%d allowed, want the one that was refunded", allowed)
		}
	})
}

// Keys that share a bucket have one limit together. A refused reservation takes nothing from it.
func TestMemoryBuckets_overflow_shared(t *testing.T) {
	m := &MemoryBuckets{MaxKeys: 1}
	drain(t, m, bucketN(0, 10, time.Minute), 1)
	drain(t, m, bucketN(1, 10, time.Minute), 1) // allocates the overflow buckets
	one := bucketN(2, 10, time.Minute)
	other := one
	for n := 3; other == one || m.shared(other) != m.shared(one); n++ {
		other = bucketN(n, 10, time.Minute)
	}
	if allowed, _ := drain(t, m, one, 6); allowed != 6 {
		t.Errorf("%d allowed, want 6", allowed)
	}
	if reserve(t, m, one, other, one, other, one).Allowed {
		t.Error("5 tokens were allowed, want them refused: 4 are left")
	}
	if allowed, wait := drain(t, m, other, 100); allowed != 4 || wait == 0 || wait > time.Minute {
		t.Errorf("the other: %d allowed, wait %v; want the remaining 4, and at most a minute",
			allowed, wait)
	}
	m.Refund(t.Context(), []Bucket{other})
	if allowed, _ := drain(t, m, one, 100); allowed != 1 {
		t.Errorf("%d allowed, want the one that was refunded", allowed)
	}
}

// No sequence of calls takes more from a bucket than the documentation of Buckets allows, whether
// its key has room always, sometimes or never.
func TestMemoryBuckets_random(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(300) {
			random := rand.New(rand.NewPCG(seed, 1))
			m := &MemoryBuckets{MaxKeys: 1}
			bucket := bucketN(1, 1+random.IntN(5), time.Second)
			if seed%3 == 2 { // no room at all
				reserve(t, m, bucketN(0, 1, 24*time.Hour))
			}
			var open, kept []time.Time // reservations that are open, and those not refunded
			var longest time.Duration
			for range 300 {
				switch random.IntN(5) {
				case 0, 1:
					if reserve(t, m, bucket).Allowed {
						open = append(open, time.Now())
					}
				case 2:
					if len(open) > 0 {
						i := random.IntN(len(open))
						longest = max(longest, time.Since(open[i]))
						if random.IntN(2) == 0 {
							m.Refund(t.Context(), []Bucket{bucket})
						} else {
							kept = append(kept, open[i])
						}
						open = append(open[:i], open[i+1:]...)
					}
				case 3:
					if seed%3 == 1 { // another key takes the room if it is free
						every := time.Duration(1+random.IntN(3)) * time.Second
						reserve(t, m, bucketN(2+random.IntN(5), 1, every))
					}
				case 4:
					time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
				}
			}
			for _, at := range open {
				kept = append(kept, at)
				longest = max(longest, time.Since(at))
			}
			for _, from := range kept {
				for _, to := range kept {
					n := 0
					for _, at := range kept {
						if !at.Before(from) && !at.After(to) {
							n++
						}
					}
					limit := bucket.Burst + int((to.Sub(from)+longest)/bucket.Every)
					if to.After(from) && n > limit {
						t.Fatalf("seed %d: %d reservations in %v, want at most %d of %+v",
							seed, n, to.Sub(from), limit, bucket)
					}
				}
			}
		}
	})
}

// Any number of refunds to an overflow bucket never raises it above its burst.
func TestMemoryBuckets_Refund_overflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, bucket := &MemoryBuckets{MaxKeys: 1}, bucketN(1, 10_000, 24*time.Hour)
		drain(t, m, bucketN(0, 1, time.Hour), 1)
		drain(t, m, bucket, 1)
		for range 200_000 {
			m.Refund(t.Context(), []Bucket{bucket})
		}
		if allowed, wait := drain(t, m, bucket, 10_001); allowed != 10_000 || wait != 24*time.Hour {
			t.Errorf("%d allowed, wait %v; want 10000 and 24h", allowed, wait)
		}
	})
}

// A server whose settings change doesn't accumulate overflow tables.
func TestMemoryBuckets_overflow_manySettings(t *testing.T) {
	m := &MemoryBuckets{MaxKeys: 1}
	drain(t, m, bucketN(0, 1, time.Hour), 1)
	for n := range 10 * maxOverflows {
		bucket := bucketN(1+n, 2, time.Hour+time.Duration(n))
		if allowed, _ := drain(t, m, bucket, 3); allowed != 2 {
			t.Errorf("settings %d: %d allowed, want 2", n, allowed)
		}
		if len(m.overflow) > maxOverflows {
			t.Fatalf("%d tables, want at most %d", len(m.overflow), maxOverflows)
		}
	}
}

// A million keys, each used twice.
func BenchmarkMemoryBuckets_millionKeys(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := &MemoryBuckets{}
		for n := range 1_000_000 {
			buckets := []Bucket{bucketN(n, 10, time.Minute)}
			m.Reserve(context.Background(), buckets)
			m.Reserve(context.Background(), buckets)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if m.Len() != DefaultMaxKeys {
			b.Fatalf("%d keys are stored, want %d", m.Len(), DefaultMaxKeys)
		}
		b.ReportMetric(float64(m.Len()), "keys")
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc), "bytes")
		runtime.KeepAlive(m)
	}
}

// The most expensive call: no bucket is full, and a new key has no room.
func BenchmarkMemoryBuckets_sweep(b *testing.B) {
	m := &MemoryBuckets{}
	for n := range DefaultMaxKeys {
		reserve(b, m, bucketN(n, 10, 24*time.Hour))
	}
	for b.Loop() {
		m.lastSweep = -time.Hour
		reserve(b, m, bucketN(-1, 10_000, 24*time.Hour))
	}
}

// A successful sign-in: seven buckets.
func BenchmarkMemoryBuckets_reserveAndRefund(b *testing.B) {
	m := &MemoryBuckets{}
	buckets := make([]Bucket, 7)
	for n := range buckets {
		buckets[n] = bucketN(n, 10, time.Minute)
	}
	for b.Loop() {
		m.Reserve(context.Background(), buckets)
		m.Refund(context.Background(), buckets)
	}
}
