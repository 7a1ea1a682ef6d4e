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

	// Running is set if the clock also runs by itself, like the clock of a shared store. A
	// RetryAfter may then be shorter than expected, by at most the time that the test has taken.
	// The test must take less than an hour.
	Running bool
}

// RunBuckets tests an implementation of store.Buckets. It calls open before each test. open must
// return a new, empty store.
func RunBuckets(t *testing.T, open func(t *testing.T) Buckets) {
	for _, tt := range []struct {
		name string
		run  func(*bucketsTest)
	}{
		{"Reserve/burst", (*bucketsTest).burst},
		{"Reserve/refill", (*bucketsTest).refill},
		{"Reserve/burst of one", (*bucketsTest).burstOfOne},
		{"Reserve/separate keys", (*bucketsTest).separateKeys},
		{"Reserve/concurrent", (*bucketsTest).concurrent},
		{"Reserve/changed burst", (*bucketsTest).changedSettings},
		{"Reserve/no buckets", (*bucketsTest).reserveNone},
		{"Reserve/several buckets, all or none", (*bucketsTest).allOrNone},
		{"Reserve/several buckets, RetryAfter of the first empty one", (*bucketsTest).firstEmpty},
		{"Reserve/several buckets, concurrent", (*bucketsTest).severalConcurrent},
		{"Reserve/out of bounds", (*bucketsTest).outOfBounds},
		{"Reserve/done context", (*bucketsTest).doneContext},
		{"Refund/all of a reservation", (*bucketsTest).refundAll},
		{"Refund/never above burst", (*bucketsTest).neverAboveBurst},
		{"Refund/some of a reservation", (*bucketsTest).refundSome},
		{"Refund/no buckets", (*bucketsTest).refundNone},
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
func (b *bucketsTest) reserve(list ...store.Bucket) store.Decision {
	b.Helper()
	decision, err := b.Store.Reserve(b.Context(), list)
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
func (b *bucketsTest) refund(list ...store.Bucket) {
	b.Helper()
	if err := b.Store.Refund(b.Context(), list); err != nil {
		b.Fatal(err)
	}
}

// wantAllowed makes count reservations, which must all be allowed.
func (b *bucketsTest) wantAllowed(count int, list ...store.Bucket) {
	b.Helper()
	for n := range count {
		if decision := b.reserve(list...); !decision.Allowed {
			b.Fatalf("Reserve() = %+v for reservation %d of %d, want it allowed", decision, n+1, count)
		}
	}
}

// wantRefused makes a reservation that must be refused with this RetryAfter.
func (b *bucketsTest) wantRefused(retryAfter time.Duration, list ...store.Bucket) {
	b.Helper()
	decision := b.reserve(list...)
	min, max := retryAfter, retryAfter+time.Microsecond
	if b.Running {
		min -= time.Since(b.start) + time.Microsecond
	}
	if got := decision.RetryAfter; decision.Allowed || got < min || got > max {
		b.Errorf("Reserve() = %+v, want it refused with RetryAfter %v", decision, retryAfter)
	}
}

func (b *bucketsTest) burst() {
	b.wantAllowed(10, bucket(1))
	b.wantRefused(time.Hour, bucket(1))
	b.wantRefused(time.Hour, bucket(1)) // a refusal changes nothing
}

func (b *bucketsTest) refill() {
	b.wantAllowed(10, bucket(1))
	b.Advance(20 * time.Minute)
	b.wantRefused(40*time.Minute, bucket(1))
	b.Advance(40 * time.Minute)
	b.wantAllowed(1, bucket(1))
	b.Advance(3*time.Hour + 15*time.Minute)
	b.wantAllowed(3, bucket(1))
	b.wantRefused(45*time.Minute, bucket(1))
	b.Advance(1000 * time.Hour) // refills the bucket, but not above its burst
	b.wantAllowed(10, bucket(1))
	b.wantRefused(time.Hour, bucket(1))
}

func (b *bucketsTest) burstOfOne() {
	single := customBucket(1, 1, time.Hour)
	for range 3 {
		b.wantAllowed(1, single)
		b.wantRefused(time.Hour, single)
		b.Advance(time.Hour)
	}
}

func (b *bucketsTest) separateKeys() {
	b.wantAllowed(10, bucket(1))
	b.wantAllowed(10, bucket(2))
	b.wantRefused(time.Hour, bucket(1))
	b.wantRefused(time.Hour, bucket(2))
}

func (b *bucketsTest) concurrent() {
	sameBucket := func(int) []store.Bucket { return []store.Bucket{bucket(1)} }
	if n := b.reserveConcurrently(100, sameBucket); n != 10 {
		b.Errorf("%d of 100 concurrent reservations were allowed, want 10", n)
	}
}

// reserveConcurrently makes count concurrent reservations; reservation n is for bucketsOf(n). It
// returns how many were allowed.
func (b *bucketsTest) reserveConcurrently(count int, bucketsOf func(n int) []store.Bucket) int32 {
	var allowed atomic.Int32
	var wg sync.WaitGroup
	for n := range count {
		wg.Go(func() {
			decision, err := b.Store.Reserve(b.Context(), bucketsOf(n))
			if err != nil {
				b.Error(err)
			}
			if decision.Allowed {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	return allowed.Load()
}

func (b *bucketsTest) changedSettings() {
	b.wantAllowed(10, bucket(1))
	b.wantAllowed(10, customBucket(1, 20, time.Hour)) // of its 20 tokens, 10 were already taken
	b.wantRefused(11*time.Hour, bucket(1))
}

func (b *bucketsTest) reserveNone() { b.wantAllowed(1) }

func (b *bucketsTest) allOrNone() {
	smallBucket, largeBucket := customBucket(1, 2, time.Minute), customBucket(2, 10, time.Hour)
	b.wantAllowed(2, largeBucket, smallBucket)
	for range 20 {
		b.wantRefused(time.Minute, largeBucket, smallBucket)
		b.wantRefused(time.Minute, smallBucket, largeBucket)
	}
	b.wantAllowed(8, largeBucket)
	b.wantRefused(time.Hour, largeBucket)
	b.Advance(time.Minute)
	b.wantRefused(59*time.Minute, largeBucket, smallBucket)
	b.wantAllowed(1, smallBucket) // the refused reservation took no token
}

func (b *bucketsTest) firstEmpty() {
	minuteBucket, hourBucket := customBucket(1, 1, time.Minute), customBucket(2, 1, time.Hour)
	largeBucket := customBucket(3, 5, 2*time.Hour)
	b.wantAllowed(1, minuteBucket, hourBucket)
	b.wantRefused(time.Minute, largeBucket, minuteBucket, hourBucket)
	b.wantRefused(time.Hour, hourBucket, largeBucket, minuteBucket)
	b.wantAllowed(5, largeBucket)
}

func (b *bucketsTest) severalConcurrent() {
	first, last := customBucket(1, 10, time.Hour), customBucket(3, 20, 3*time.Hour)
	smallBucket := customBucket(2, 5, 2*time.Hour)
	n := b.reserveConcurrently(100, func(n int) []store.Bucket {
		if n%2 == 0 { // the order must not matter
			return []store.Bucket{last, smallBucket, first}
		}
		return []store.Bucket{first, smallBucket, last}
	})
	if n != 5 {
		b.Errorf("%d of 100 concurrent reservations were allowed, want 5, the burst of the smallest "+
			"bucket", n)
	}
	b.wantAllowed(5, first)
	b.wantRefused(time.Hour, first)
	b.wantAllowed(15, last)
	b.wantRefused(3*time.Hour, last)
}

func (b *bucketsTest) outOfBounds() {
	for _, invalid := range []store.Bucket{
		{}, customBucket(2, 0, time.Hour), customBucket(2, -1, time.Hour),
		customBucket(2, 1, 0), customBucket(2, 1, -time.Hour),
		customBucket(2, 1, time.Microsecond-1), customBucket(2, 1<<40, time.Hour),
		customBucket(2, 100*365*24+1, time.Hour),
	} {
		decision, err := b.Store.Reserve(b.Context(), []store.Bucket{bucket(1), invalid})
		if err == nil || decision.Allowed {
			b.Errorf("Reserve() with the bucket %+v = %+v, %v, want an error", invalid, decision, err)
		}
	}
	b.wantAllowed(10, bucket(1)) // the failed calls took no token
	b.wantAllowed(1, customBucket(2, 1, time.Microsecond), customBucket(3, 100*365*24, time.Hour))
}

func (b *bucketsTest) doneContext() {
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	decision, err := b.Store.Reserve(ctx, []store.Bucket{bucket(1)})
	if decision.Allowed || !errors.Is(err, context.Canceled) {
		b.Errorf("Reserve() = %+v, %v, want %v", decision, err, context.Canceled)
	}
	b.wantAllowed(10, bucket(1)) // the failed call took no token
}

func (b *bucketsTest) refundAll() {
	first, second := bucket(1), customBucket(2, 3, 2*time.Hour)
	b.wantAllowed(2, first, second)
	for range 100 {
		b.wantAllowed(1, first, second)
		b.refund(first, second)
	}
	b.wantAllowed(1, second)
	b.wantRefused(2*time.Hour, first, second)
	b.wantAllowed(8, first)
	b.wantRefused(time.Hour, first)
}

func (b *bucketsTest) neverAboveBurst() {
	b.wantAllowed(1, bucket(1))
	b.Advance(2 * time.Hour)
	for range 50 {
		b.refund(bucket(1))
	}
	b.wantAllowed(10, bucket(1))
	b.wantRefused(time.Hour, bucket(1))
}

func (b *bucketsTest) refundSome() {
	var list []store.Bucket
	for n := range 3 {
		list = append(list, customBucket(byte(n), 4, time.Duration(1+n)*time.Hour))
	}
	b.wantAllowed(4, list...)
	b.refund(list[1])
	b.refund(list[1], list[2])
	b.wantRefused(time.Hour, list...)
	b.wantAllowed(2, list[1])
	b.wantAllowed(1, list[2])
	for _, bucket := range list {
		b.wantRefused(bucket.Every, bucket)
	}
}

func (b *bucketsTest) refundNone() { b.refund() }
