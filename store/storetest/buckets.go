// Package storetest has the tests that implementations of package store's interfaces must pass.
package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql/store"
)

// Buckets is a store.Buckets under test.
type Buckets struct {
	Store store.Buckets

	// Advance moves the store's clock forward.
	Advance func(time.Duration)

	// ClockRuns is set if the clock also runs by itself, like the clock of a shared store. Then a
	// RetryAfter may be shorter than expected by at most the duration of the test, which must be
	// less than an hour.
	ClockRuns bool
}

// RunBuckets tests an implementation of store.Buckets. It calls open before each test. open must
// return a new, empty store.
func RunBuckets(t *testing.T, open func(t *testing.T) Buckets) {
	for _, tt := range []struct {
		name string
		run  func(*bucketsTest)
	}{
		{"Reserve/burst", (*bucketsTest).testBurst},
		{"Reserve/refill", (*bucketsTest).testRefill},
		{"Reserve/burst of one", (*bucketsTest).testBurstOfOne},
		{"Reserve/separate keys", (*bucketsTest).testSeparateKeys},
		{"Reserve/concurrent", (*bucketsTest).testConcurrent},
		{"Reserve/changed burst", (*bucketsTest).testChangedSettings},
		{"Reserve/no buckets", (*bucketsTest).testReserveNone},
		{"Reserve/several buckets, all or none", (*bucketsTest).testAllOrNone},
		{"Reserve/several buckets, RetryAfter of the first empty one",
			(*bucketsTest).testFirstEmpty},
		{"Reserve/several buckets, concurrent", (*bucketsTest).testSeveralConcurrent},
		{"Reserve/out of bounds", (*bucketsTest).testOutOfBounds},
		{"Reserve/done context", (*bucketsTest).testDoneContext},
		{"Refund/all of a reservation", (*bucketsTest).testRefundAll},
		{"Refund/never above burst", (*bucketsTest).testNeverAboveBurst},
		{"Refund/some of a reservation", (*bucketsTest).testRefundSome},
		{"Refund/no buckets", (*bucketsTest).testRefundNone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.run(&bucketsTest{Buckets: open(t), T: t, start: time.Now()})
		})
	}
}

// A bucketsTest is a running test and the store that it tests.
type bucketsTest struct {
	Buckets
	*testing.T
	start time.Time
}

// bucket returns a bucket of 10 tokens that gains one per hour, with a different key for each n.
func bucket(n byte) store.Bucket {
	return store.Bucket{Key: store.Key{n}, Burst: 10, Every: time.Hour}
}

// customBucket returns a bucket with this burst and rate, with a different key for each n.
func customBucket(n byte, burst int, every time.Duration) store.Bucket {
	return store.Bucket{Key: store.Key{n}, Burst: burst, Every: every}
}

// reserve calls Reserve, which must not return an error.
func (b *bucketsTest) reserve(buckets ...store.Bucket) store.Decision {
	b.Helper()
	decision, err := b.Store.Reserve(b.Context(), buckets)
	if err != nil {
		b.Fatal(err)
	}
	if decision.Allowed != (decision.RetryAfter == 0) || decision.RetryAfter < 0 {
		b.Fatalf("Reserve() = %+v, want RetryAfter to be 0 if allowed, and positive if refused",
			decision)
	}
	return decision
}

// refund calls Refund, which must not return an error.
func (b *bucketsTest) refund(buckets ...store.Bucket) {
	b.Helper()
	if err := b.Store.Refund(b.Context(), buckets); err != nil {
		b.Fatal(err)
	}
}

// checkAllowed makes count reservations, which must all be allowed.
func (b *bucketsTest) checkAllowed(count int, buckets ...store.Bucket) {
	b.Helper()
	for n := range count {
		if decision := b.reserve(buckets...); !decision.Allowed {
			b.Fatalf("Reserve() = %+v for reservation %d of %d, want it allowed", decision, n+1,
				count)
		}
	}
}

// checkRefused makes a reservation that must be refused with this RetryAfter.
func (b *bucketsTest) checkRefused(retryAfter time.Duration, buckets ...store.Bucket) {
	b.Helper()
	decision := b.reserve(buckets...)
	minRetryAfter, maxRetryAfter := retryAfter, retryAfter+time.Microsecond
	if b.ClockRuns {
		minRetryAfter -= time.Since(b.start) + time.Microsecond
	}
	if got := decision.RetryAfter; decision.Allowed || got < minRetryAfter || got > maxRetryAfter {
		b.Errorf("Reserve() = %+v, want it refused with RetryAfter %v", decision, retryAfter)
	}
}

func (b *bucketsTest) testBurst() {
	b.checkAllowed(10, bucket(1))
	b.checkRefused(time.Hour, bucket(1))
	b.checkRefused(time.Hour, bucket(1)) // a refusal changes nothing
}

func (b *bucketsTest) testRefill() {
	b.checkAllowed(10, bucket(1))
	b.Advance(20 * time.Minute)
	b.checkRefused(40*time.Minute, bucket(1))
	b.Advance(40 * time.Minute)
	b.checkAllowed(1, bucket(1))
	b.Advance(3*time.Hour + 15*time.Minute)
	b.checkAllowed(3, bucket(1))
	b.checkRefused(45*time.Minute, bucket(1))
	b.Advance(1000 * time.Hour) // refills the bucket, but not above its burst
	b.checkAllowed(10, bucket(1))
	b.checkRefused(time.Hour, bucket(1))
}

func (b *bucketsTest) testBurstOfOne() {
	singleTokenBucket := customBucket(1, 1, time.Hour)
	for range 3 {
		b.checkAllowed(1, singleTokenBucket)
		b.checkRefused(time.Hour, singleTokenBucket)
		b.Advance(time.Hour)
	}
}

func (b *bucketsTest) testSeparateKeys() {
	b.checkAllowed(10, bucket(1))
	b.checkAllowed(10, bucket(2))
	b.checkRefused(time.Hour, bucket(1))
	b.checkRefused(time.Hour, bucket(2))
}

func (b *bucketsTest) testConcurrent() {
	sameBucket := func(int) []store.Bucket { return []store.Bucket{bucket(1)} }
	if n := b.reserveConcurrently(100, sameBucket); n != 10 {
		b.Errorf("%d of 100 concurrent reservations were allowed, want 10", n)
	}
}

// reserveConcurrently makes count concurrent reservations; reservation n is for bucketsOf(n). It
// returns how many were allowed.
func (b *bucketsTest) reserveConcurrently(count int, bucketsOf func(n int) []store.Bucket) int32 {
	var allowedCount atomic.Int32
	var wg sync.WaitGroup
	for n := range count {
		wg.Go(func() {
			decision, err := b.Store.Reserve(b.Context(), bucketsOf(n))
			if err != nil {
				b.Error(err)
			}
			if decision.Allowed {
				allowedCount.Add(1)
			}
		})
	}
	wg.Wait()
	return allowedCount.Load()
}

func (b *bucketsTest) testChangedSettings() {
	b.checkAllowed(10, bucket(1))
	b.checkAllowed(10, customBucket(1, 20, time.Hour)) // of its 20 tokens, 10 were already taken
	b.checkRefused(11*time.Hour, bucket(1))
}

func (b *bucketsTest) testReserveNone() { b.checkAllowed(1) }

func (b *bucketsTest) testAllOrNone() {
	smallBucket, largeBucket := customBucket(1, 2, time.Minute), customBucket(2, 10, time.Hour)
	b.checkAllowed(2, largeBucket, smallBucket)
	for range 20 {
		b.checkRefused(time.Minute, largeBucket, smallBucket)
		b.checkRefused(time.Minute, smallBucket, largeBucket)
	}
	b.checkAllowed(8, largeBucket)
	b.checkRefused(time.Hour, largeBucket)
	b.Advance(time.Minute)
	b.checkRefused(59*time.Minute, largeBucket, smallBucket)
	b.checkAllowed(1, smallBucket) // the refused reservation took no token
}

func (b *bucketsTest) testFirstEmpty() {
	minuteBucket, hourBucket := customBucket(1, 1, time.Minute), customBucket(2, 1, time.Hour)
	largeBucket := customBucket(3, 5, 2*time.Hour)
	b.checkAllowed(1, minuteBucket, hourBucket)
	b.checkRefused(time.Minute, largeBucket, minuteBucket, hourBucket)
	b.checkRefused(time.Hour, hourBucket, largeBucket, minuteBucket)
	b.checkAllowed(5, largeBucket)
}

func (b *bucketsTest) testSeveralConcurrent() {
	first, last := customBucket(1, 10, time.Hour), customBucket(3, 20, 3*time.Hour)
	smallBucket := customBucket(2, 5, 2*time.Hour)
	n := b.reserveConcurrently(100, func(n int) []store.Bucket {
		if n%2 == 0 { // the order must not matter
			return []store.Bucket{last, smallBucket, first}
		}
		return []store.Bucket{first, smallBucket, last}
	})
	if n != 5 {
		b.Errorf("%d of 100 concurrent reservations were allowed, want 5, the burst of the "+
			"smallest "+
			"bucket", n)
	}
	b.checkAllowed(5, first)
	b.checkRefused(time.Hour, first)
	b.checkAllowed(15, last)
	b.checkRefused(3*time.Hour, last)
}

func (b *bucketsTest) testOutOfBounds() {
	for _, invalidBucket := range []store.Bucket{
		{}, customBucket(2, 0, time.Hour), customBucket(2, -1, time.Hour),
		customBucket(2, 1, 0), customBucket(2, 1, -time.Hour),
		customBucket(2, 1, time.Microsecond-1), customBucket(2, 1<<40, time.Hour),
		customBucket(2, 100*365*24+1, time.Hour),
	} {
		decision, err := b.Store.Reserve(b.Context(), []store.Bucket{bucket(1), invalidBucket})
		if err == nil || decision.Allowed {
			b.Errorf("Reserve() with the bucket %+v = %+v, %v, want an error", invalidBucket,
				decision, err)
		}
	}
	b.checkAllowed(10, bucket(1)) // the failed calls took no token
	b.checkAllowed(1, customBucket(2, 1, time.Microsecond), customBucket(3, 100*365*24, time.Hour))
}

func (b *bucketsTest) testDoneContext() {
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	decision, err := b.Store.Reserve(ctx, []store.Bucket{bucket(1)})
	if decision.Allowed || !errors.Is(err, context.Canceled) {
		b.Errorf("Reserve() = %+v, %v, want %v", decision, err, context.Canceled)
	}
	b.checkAllowed(10, bucket(1)) // the failed call took no token
}

func (b *bucketsTest) testRefundAll() {
	first, second := bucket(1), customBucket(2, 3, 2*time.Hour)
	b.checkAllowed(2, first, second)
	for range 100 {
		b.checkAllowed(1, first, second)
		b.refund(first, second)
	}
	b.checkAllowed(1, second)
	b.checkRefused(2*time.Hour, first, second)
	b.checkAllowed(8, first)
	b.checkRefused(time.Hour, first)
}

func (b *bucketsTest) testNeverAboveBurst() {
	b.checkAllowed(1, bucket(1))
	b.Advance(2 * time.Hour)
	for range 50 {
		b.refund(bucket(1))
	}
	b.checkAllowed(10, bucket(1))
	b.checkRefused(time.Hour, bucket(1))
}

func (b *bucketsTest) testRefundSome() {
	var buckets []store.Bucket
	for n := range 3 {
		buckets = append(buckets, customBucket(byte(n), 4, time.Duration(1+n)*time.Hour))
	}
	b.checkAllowed(4, buckets...)
	b.refund(buckets[1])
	b.refund(buckets[1], buckets[2])
	b.checkRefused(time.Hour, buckets...)
	b.checkAllowed(2, buckets[1])
	b.checkAllowed(1, buckets[2])
	for _, bucket := range buckets {
		b.checkRefused(bucket.Every, bucket)
	}
}

func (b *bucketsTest) testRefundNone() { b.refund() }
