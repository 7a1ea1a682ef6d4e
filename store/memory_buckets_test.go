package store

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// The zero value of MemoryBuckets uses the real clock, and is exact to the nanosecond.
func TestMemoryBuckets_zeroValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, bucket := &MemoryBuckets{}, bucketN(1, 10, 30*time.Second)
		drain(t, m, bucket, 10)
		time.Sleep(30*time.Second - 1)
		if allowedCount, retryAfter := drain(t, m, bucket, 100); allowedCount != 0 ||
			retryAfter != 1 {
			t.Errorf("one nanosecond early: %d allowed, wait %v; want 0 and 1ns", allowedCount,
				retryAfter)
		}
		time.Sleep(time.Nanosecond)
		if allowedCount, retryAfter := drain(t, m, bucket, 100); allowedCount != 1 ||
			retryAfter != 30*time.Second {
			t.Errorf("after 30 s: %d allowed, wait %v; want 1 and 30s", allowedCount, retryAfter)
		}
	})
}

// A flood of new keys doesn't refill other buckets: neither the bucket of a key that was used
// before the flood, nor the bucket of a key that is first used during the flood.
func TestMemoryBuckets_flood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maxKeys = 1000
		m := &MemoryBuckets{MaxKeys: maxKeys}
		earlyBucket, lateBucket := bucketN(-1, 10, time.Minute), bucketN(-2, 10, time.Minute)
		drain(t, m, earlyBucket, 10)
		for n := range 20 * maxKeys {
			if n == 10*maxKeys {
				if allowedCount, _ := drain(t, m, lateBucket, 100); allowedCount > 10 {
					t.Fatalf("new key during the flood: %d allowed, want at most 10", allowedCount)
				}
			}
			reserve(t, m, bucketN(n, 10, time.Minute))
			if m.Len() > maxKeys {
				t.Fatalf("%d keys are stored, want at most %d", m.Len(), maxKeys)
			}
		}
		for name, bucket := range map[string]Bucket{
			"used before the flood": earlyBucket, "used during the flood": lateBucket,
		} {
			if allowedCount, retryAfter := drain(t, m, bucket, 100); allowedCount != 0 ||
				retryAfter > time.Minute {
				t.Errorf("%s: %d allowed, wait %v; want 0, and at most a minute", name,
					allowedCount, retryAfter)
			}
		}
		time.Sleep(30 * time.Second)
		for n := range 20 * maxKeys {
			reserve(t, m, bucketN(1<<30+n, 10, time.Minute))
		}
		if allowedCount, retryAfter := drain(t, m, earlyBucket, 100); allowedCount != 0 ||
			retryAfter != 30*time.Second {
			t.Errorf("after 30 s: %d allowed, wait %v; want 0 and 30s", allowedCount, retryAfter)
		}
		time.Sleep(30 * time.Second)
		if allowedCount, _ := drain(t, m, earlyBucket, 100); allowedCount != 1 {
			t.Errorf("after a minute: %d allowed, want 1", allowedCount)
		}
	})
}

// A sweep drops the keys of full buckets, and no other keys.
func TestMemoryBuckets_sweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maxKeys = 100
		m := &MemoryBuckets{MaxKeys: maxKeys}
		for n := range maxKeys / 2 {
			drain(t, m, bucketN(n, 10, time.Minute), 1) // full in a minute
		}
		for n := range maxKeys / 2 {
			drain(t, m, bucketN(1000+n, 10, time.Minute), 2) // full in two minutes
		}
		time.Sleep(90 * time.Second)
		for n := range maxKeys / 2 {
			bucket := bucketN(2000+n, 10, time.Minute)
			if reserve(t, m, bucket); !isStored(m, bucket) {
				t.Fatalf("key %d isn't stored, want it stored after a sweep dropped the full "+
					"buckets", n)
			}
		}
		bucket := bucketN(3000, 10, time.Minute)
		if reserve(t, m, bucket); isStored(m, bucket) {
			t.Error("one key more than MaxKeys is stored, want it in an overflow bucket")
		}
		if m.Len() != maxKeys {
			t.Errorf("%d keys are stored, want %d", m.Len(), maxKeys)
		}
		for n := range maxKeys / 2 {
			allowedCount, _ := drain(t, m, bucketN(1000+n, 10, time.Minute), 100)
			if allowedCount != 9 {
				t.Errorf("key %d: %d allowed, want 9", n, allowedCount)
			}
		}
	})
}

// A refund that fills a bucket drops its key, and a refused reservation stores no key.
func TestMemoryBuckets_Len(t *testing.T) {
	m := &MemoryBuckets{MaxKeys: 10}
	emptyBucket := bucketN(-1, 1, time.Hour)
	drain(t, m, emptyBucket, 1)
	for n := range 1000 {
		a, b := bucketN(n, 10, time.Minute), bucketN(1000+n, 10, time.Minute)
		decision := reserve(t, m, a, b)
		if !decision.Allowed || !isStored(m, a) || !isStored(m, b) {
			t.Fatalf("pair %d: %+v, want it allowed, and both keys stored", n, decision)
		}
		m.Refund(t.Context(), []Bucket{a, b})
		if decision := reserve(t, m, a, b, emptyBucket); decision.Allowed {
			t.Fatalf("pair %d with an empty bucket: allowed, want it refused", n)
		}
	}
	if m.Len() != 1 {
		t.Errorf("%d keys are stored, want 1: the key of the empty bucket", m.Len())
	}
}

// When a key moves from an overflow bucket to its own bucket, the level stays the same. Otherwise a
// flood would refill the key's bucket.
func TestMemoryBuckets_overflow_keepsLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &MemoryBuckets{MaxKeys: 1}
		shortBucket, longBucket := bucketN(1, 1, time.Second), bucketN(2, 10, time.Hour)
		drain(t, m, shortBucket, 1)
		drain(t, m, longBucket, 5)
		if isStored(m, longBucket) {
			t.Fatal("the key is stored, want it in an overflow bucket")
		}
		time.Sleep(2 * time.Second)
		if reserve(t, m, longBucket); !isStored(m, longBucket) {
			t.Fatal("the key is in an overflow bucket, want it stored")
		}
		if allowedCount, _ := drain(t, m, longBucket, 100); allowedCount != 4 {
			t.Errorf("%d allowed, want the remaining 4 of 10", allowedCount)
		}
		m.Refund(t.Context(), []Bucket{longBucket}) // this token was taken from the overflow bucket
		if allowedCount, _ := drain(t, m, longBucket, 100); allowedCount != 1 {
			t.Errorf("after a refund: %d allowed, want 1", allowedCount)
		}
	})
}

// Keys that share an overflow bucket share its limit. A refused reservation takes nothing from it.
func TestMemoryBuckets_overflow_shared(t *testing.T) {
	m := &MemoryBuckets{MaxKeys: 1}
	drain(t, m, bucketN(0, 10, time.Minute), 1)
	drain(t, m, bucketN(1, 10, time.Minute), 1) // allocates the overflow buckets
	a := bucketN(2, 10, time.Minute)
	b := a
	for n := 3; b == a || m.overflowBucket(b) != m.overflowBucket(a); n++ {
		b = bucketN(n, 10, time.Minute)
	}
	if allowedCount, _ := drain(t, m, a, 6); allowedCount != 6 {
		t.Errorf("first key: %d allowed, want 6", allowedCount)
	}
	if reserve(t, m, a, b, a, b, a).Allowed {
		t.Error("a reservation of 5 tokens was allowed, want it refused, because 4 are left")
	}
	if allowedCount, retryAfter := drain(t, m, b, 100); allowedCount != 4 || retryAfter == 0 ||
		retryAfter > time.Minute {
		t.Errorf("second key: %d allowed, wait %v; want the remaining 4, and at most a minute",
			allowedCount, retryAfter)
	}
	m.Refund(t.Context(), []Bucket{b})
	if allowedCount, _ := drain(t, m, a, 100); allowedCount != 1 {
		t.Errorf("after a refund: %d allowed, want 1", allowedCount)
	}
}

// In a sequence of random calls, no more tokens are taken from a bucket than the documentation of
// Buckets allows. Depending on the seed, the bucket's key is stored always, sometimes or never.
func TestMemoryBuckets_randomCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(300) {
			random := rand.New(rand.NewPCG(seed, 1))
			m := &MemoryBuckets{MaxKeys: 1}
			bucket := bucketN(1, 1+random.IntN(5), time.Second)
			if seed%3 == 2 { // the key is never stored
				reserve(t, m, bucketN(0, 1, 24*time.Hour))
			}
			// The times of reservations: of those that are still open, and of those that count,
			// because they were never refunded.
			var openTimes, countedTimes []time.Time
			var maxOpenTime time.Duration
			for range 300 {
				switch random.IntN(5) {
				case 0, 1:
					if reserve(t, m, bucket).Allowed {
						openTimes = append(openTimes, time.Now())
					}
				case 2:
					if len(openTimes) > 0 {
						i := random.IntN(len(openTimes))
						maxOpenTime = max(maxOpenTime, time.Since(openTimes[i]))
						if random.IntN(2) == 0 {
							m.Refund(t.Context(), []Bucket{bucket})
						} else {
							countedTimes = append(countedTimes, openTimes[i])
						}
						openTimes = append(openTimes[:i], openTimes[i+1:]...)
					}
				case 3:
					if seed%3 == 1 { // another key takes the only place, if it is free
						every := time.Duration(1+random.IntN(3)) * time.Second
						reserve(t, m, bucketN(2+random.IntN(5), 1, every))
					}
				case 4:
					time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
				}
			}
			for _, reservedAt := range openTimes {
				countedTimes = append(countedTimes, reservedAt)
				maxOpenTime = max(maxOpenTime, time.Since(reservedAt))
			}
			for _, start := range countedTimes {
				for _, end := range countedTimes {
					n := 0
					for _, reservedAt := range countedTimes {
						if !reservedAt.Before(start) && !reservedAt.After(end) {
							n++
						}
					}
					limit := bucket.Burst + int((end.Sub(start)+maxOpenTime)/bucket.Every)
					if end.After(start) && n > limit {
						t.Fatalf("seed %d: %d reservations of %+v in %v, want at most %d",
							seed, n, bucket, end.Sub(start), limit)
					}
				}
			}
		}
	})
}

// Refunds to an overflow bucket never raise it above its burst.
func TestMemoryBuckets_Refund_overflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, bucket := &MemoryBuckets{MaxKeys: 1}, bucketN(1, 10_000, 24*time.Hour)
		drain(t, m, bucketN(0, 1, time.Hour), 1)
		drain(t, m, bucket, 1)
		for range 200_000 {
			m.Refund(t.Context(), []Bucket{bucket})
		}
		if allowedCount, retryAfter := drain(t, m, bucket, 10_001); allowedCount != 10_000 ||
			retryAfter != 24*time.Hour {
			t.Errorf("%d allowed, wait %v; want 10000 and 24h", allowedCount, retryAfter)
		}
	})
}

// The number of overflow tables is bounded, even if changes of settings lead to many values of
// Every.
func TestMemoryBuckets_overflow_manySettings(t *testing.T) {
	m := &MemoryBuckets{MaxKeys: 1}
	drain(t, m, bucketN(0, 1, time.Hour), 1)
	for n := range 10 * maxOverflowTables {
		bucket := bucketN(1+n, 2, time.Hour+time.Duration(n))
		if allowedCount, _ := drain(t, m, bucket, 3); allowedCount != 2 {
			t.Errorf("settings %d: %d allowed, want 2", n, allowedCount)
		}
		if len(m.overflow) > maxOverflowTables {
			t.Fatalf("%d overflow tables, want at most %d", len(m.overflow), maxOverflowTables)
		}
	}
}

// BenchmarkMemoryBuckets_millionKeys makes two reservations for each of a million keys, and reports
// how much memory the store then takes.
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

// BenchmarkMemoryBuckets_sweep measures the most expensive call: a reservation with a sweep that
// finds no full bucket.
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

// BenchmarkMemoryBuckets_reserveAndRefund measures the two calls of a successful sign-in, which
// uses seven buckets.
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
