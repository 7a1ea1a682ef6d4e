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

	// Running means that the clock also runs by itself, like a server's. RetryAfter may then be
	// shorter by the time that the test has taken, which must be less than an hour.
	Running bool
}

// RunBuckets tests an implementation of store.Buckets. It calls open for a new, empty store before
// each test.
func RunBuckets(t *testing.T, open func(t *testing.T) Buckets) {
	for _, tt := range []struct {
		name string
		run  func(b *buckets)
	}{
		{"Reserve/burst", (*buckets).burst},
		{"Reserve/refill", (*buckets).refill},
		{"Reserve/burst of one", (*buckets).burstOfOne},
		{"Reserve/separate keys", (*buckets).separateKeys},
		{"Reserve/concurrent", (*buckets).concurrent},
		{"Reserve/changed settings", (*buckets).changedSettings},
		{"Reserve/no bucket", (*buckets).noBucket},
		{"Reserve/several, all or none", (*buckets).allOrNone},
		{"Reserve/several, first empty one", (*buckets).firstEmpty},
		{"Reserve/several, concurrent", (*buckets).severalConcurrent},
		{"Reserve/out of bounds", (*buckets).outOfBounds},
		{"Reserve/done context", (*buckets).doneContext},
		{"Refund/success is free", (*buckets).successIsFree},
		{"Refund/never above burst", (*buckets).neverAboveBurst},
		{"Refund/some of a reservation", (*buckets).refundSome},
		{"Refund/no bucket", (*buckets).refundNone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.run(&buckets{Buckets: open(t), T: t, start: time.Now()})
		})
	}
}

// buckets is a test with a store of its own.
type buckets struct {
	Buckets
	*testing.T
	start time.Time
}

// bucket returns a bucket of 10 tokens with a different key for each n.
func bucket(n byte) store.Bucket {
	return store.Bucket{Key: store.Key{n}, Burst: 10, Every: time.Hour}
}

// sized returns a bucket with this key, size and rate.
func sized(n byte, burst int, every time.Duration) store.Bucket {
	return store.Bucket{Key: store.Key{n}, Burst: burst, Every: every}
}

// reserve makes one reservation.
func (b *buckets) reserve(list ...store.Bucket) store.Decision {
	b.Helper()
	decision, err := b.Store.Reserve(b.Context(), list)
	if err != nil {
		b.Fatal(err)
	}
	if decision.Allowed != (decision.RetryAfter == 0) || decision.RetryAfter < 0 {
		b.Fatalf("%+v, want a positive RetryAfter if it isn't allowed, and 0 if it is", decision)
	}
	return decision
}

// refund refunds buckets.
func (b *buckets) refund(list ...store.Bucket) {
	b.Helper()
	if err := b.Store.Refund(b.Context(), list); err != nil {
		b.Fatal(err)
	}
}

// take makes count reservations, which must all be allowed.
func (b *buckets) take(count int, list ...store.Bucket) {
	b.Helper()
	for n := range count {
		if decision := b.reserve(list...); !decision.Allowed {
			b.Fatalf("reservation %d of %d: %+v, want it allowed", n+1, count, decision)
		}
	}
}

// refused makes a reservation that must be refused with wait as its RetryAfter.
func (b *buckets) refused(wait time.Duration, list ...store.Bucket) {
	b.Helper()
	decision := b.reserve(list...)
	shortest := wait
	if b.Running {
		shortest -= time.Since(b.start) + time.Microsecond
	}
	longest := wait + time.Microsecond
	if got := decision.RetryAfter; decision.Allowed || got < shortest || got > longest {
		b.Errorf("%+v, want it refused with RetryAfter %v", decision, wait)
	}
}

func (b *buckets) burst() {
	b.take(10, bucket(1))
	b.refused(time.Hour, bucket(1))
	b.refused(time.Hour, bucket(1)) // a refusal changes nothing
}

func (b *buckets) refill() {
	b.take(10, bucket(1))
	b.Advance(20 * time.Minute)
	b.refused(40*time.Minute, bucket(1))
	b.Advance(40 * time.Minute)
	b.take(1, bucket(1))
	b.Advance(3*time.Hour + 15*time.Minute)
	b.take(3, bucket(1))
	b.refused(45*time.Minute, bucket(1))
	b.Advance(1000 * time.Hour) // never more than the burst
	b.take(10, bucket(1))
	b.refused(time.Hour, bucket(1))
}

func (b *buckets) burstOfOne() {
	one := sized(1, 1, time.Hour)
	for range 3 {
		b.take(1, one)
		b.refused(time.Hour, one)
		b.Advance(time.Hour)
	}
}

func (b *buckets) separateKeys() {
	b.take(10, bucket(1))
	b.take(10, bucket(2))
	b.refused(time.Hour, bucket(1))
	b.refused(time.Hour, bucket(2))
}

func (b *buckets) concurrent() {
	if n := b.allowed(100, func(int) []store.Bucket { return []store.Bucket{bucket(1)} }); n != 10 {
		b.Errorf("%d of 100 were allowed, want 10", n)
	}
}

// allowed makes count concurrent reservations, and returns how many were allowed.
func (b *buckets) allowed(count int, bucketsOf func(n int) []store.Bucket) int32 {
	var allowed atomic.Int32
	var callers sync.WaitGroup
	for n := range count {
		callers.Go(func() {
			decision, err := b.Store.Reserve(b.Context(), bucketsOf(n))
			if err != nil {
				b.Error(err)
			}
			if decision.Allowed {
				allowed.Add(1)
			}
		})
	}
	callers.Wait()
	return allowed.Load()
}

func (b *buckets) changedSettings() {
	b.take(10, bucket(1))
	b.take(10, sized(1, 20, time.Hour)) // taken tokens stay taken
	b.refused(11*time.Hour, bucket(1))
}

func (b *buckets) noBucket() { b.take(1) }

func (b *buckets) allOrNone() {
	small, large := sized(1, 2, time.Minute), sized(2, 10, time.Hour)
	b.take(2, large, small)
	for range 20 {
		b.refused(time.Minute, large, small)
		b.refused(time.Minute, small, large)
	}
	b.take(8, large)
	b.refused(time.Hour, large)
	b.Advance(time.Minute)
	b.refused(59*time.Minute, large, small)
	b.take(1, small) // the refusal took none of it
}

func (b *buckets) firstEmpty() {
	short, long, large := sized(1, 1, time.Minute), sized(2, 1, time.Hour), sized(3, 5, 2*time.Hour)
	b.take(1, short, long)
	b.refused(time.Minute, large, short, long)
	b.refused(time.Hour, long, large, short)
	b.take(5, large)
}

func (b *buckets) severalConcurrent() {
	first, last := sized(1, 10, time.Hour), sized(3, 20, 3*time.Hour)
	small := sized(2, 5, 2*time.Hour)
	n := b.allowed(100, func(n int) []store.Bucket {
		if n%2 == 0 { // in any order
			return []store.Bucket{last, small, first}
		}
		return []store.Bucket{first, small, last}
	})
	if n != 5 {
		b.Errorf("%d of 100 were allowed, want the 5 of the smallest bucket", n)
	}
	b.take(5, first)
	b.refused(time.Hour, first)
	b.take(15, last)
	b.refused(3*time.Hour, last)
}

func (b *buckets) outOfBounds() {
	for _, invalid := range []store.Bucket{
		{}, sized(2, 0, time.Hour), sized(2, -1, time.Hour),
		sized(2, 1, 0), sized(2, 1, -time.Hour),
		sized(2, 1, time.Microsecond-1), sized(2, 1<<40, time.Hour),
		sized(2, 100*365*24+1, time.Hour),
	} {
		decision, err := b.Store.Reserve(b.Context(), []store.Bucket{bucket(1), invalid})
		if err == nil || decision.Allowed {
			b.Errorf("%+v: %+v, %v, want an error", invalid, decision, err)
		}
	}
	b.take(10, bucket(1)) // the errors took nothing
	b.take(1, sized(2, 1, time.Microsecond), sized(3, 100*365*24, time.Hour))
}

func (b *buckets) doneContext() {
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	decision, err := b.Store.Reserve(ctx, []store.Bucket{bucket(1)})
	if decision.Allowed || !errors.Is(err, context.Canceled) {
		b.Errorf("%+v, %v, want %v", decision, err, context.Canceled)
	}
	b.take(10, bucket(1)) // the error took nothing
}

func (b *buckets) successIsFree() {
	first, second := bucket(1), sized(2, 3, 2*time.Hour)
	b.take(2, first, second)
	for range 100 {
		b.take(1, first, second)
		b.refund(first, second)
	}
	b.take(1, second)
	b.refused(2*time.Hour, first, second)
	b.take(8, first)
	b.refused(time.Hour, first)
}

func (b *buckets) neverAboveBurst() {
	b.take(1, bucket(1))
	b.Advance(2 * time.Hour)
	for range 50 {
		b.refund(bucket(1))
	}
	b.take(10, bucket(1))
	b.refused(time.Hour, bucket(1))
}

func (b *buckets) refundSome() {
	var list []store.Bucket
	for n := range 3 {
		list = append(list, sized(byte(n), 4, time.Duration(1+n)*time.Hour))
	}
	b.take(4, list...)
	b.refund(list[1])
	b.refund(list[1], list[2])
	b.refused(time.Hour, list...)
	b.take(2, list[1])
	b.take(1, list[2])
	for _, bucket := range list {
		b.refused(bucket.Every, bucket)
	}
}

func (b *buckets) refundNone() { b.refund() }
