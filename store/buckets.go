package store

import (
	"context"
	"fmt"
	"time"
)

// A Key names one entry of a store. Use a digest of what the entry is about, so that someone who
// can read the store doesn't find names in it.
type Key [16]byte

// A Bucket is a token bucket. It holds up to Burst tokens, and one is added each Every until it is
// full. A bucket that wasn't used yet is full.
type Bucket struct {
	Key   Key
	Burst int           // at least 1
	Every time.Duration // at least 1 µs; Burst times Every is at most 100 years
}

const maxRefillTime = 100 * 365 * 24 * time.Hour

// check returns an error if the bucket is out of the bounds that its fields document.
func (b Bucket) check() error {
	if b.Burst < 1 || b.Every < time.Microsecond || b.Every > maxRefillTime/time.Duration(b.Burst) {
		return fmt.Errorf("store: a bucket of %d tokens, one more each %v: expected at least 1 "+
			"and 1µs, and at most 100 years to fill it", b.Burst, b.Every)
	}
	return nil
}

// refillTime returns how long an empty bucket takes to fill.
func (b Bucket) refillTime() time.Duration { return time.Duration(b.Burst) * b.Every }

// A Decision is the answer to a reservation. Its zero value allows nothing.
type Decision struct {
	// Allowed reports whether a token was taken out of every bucket. If false, none was taken.
	Allowed bool

	// RetryAfter is zero if Allowed. Otherwise it is how long it takes until the first empty
	// bucket, in the order of the call, has a token, unless another call takes it first.
	RetryAfter time.Duration
}

// Buckets keeps the levels of token buckets. Each method is one call to the store, whatever the
// number of buckets, so that a shared store answers in one round trip.
//
// Burst and Every come with each call; the store keeps only levels. The key of a bucket always
// comes with the same Burst and Every, unless somebody changed the settings in between; then those
// of the call apply. The keys of one call differ from each other.
//
// Atomicity: Reserve is one step. Of any number of concurrent calls, from one process or from
// several, exactly as many succeed as there are tokens.
//
// Precision: over any time d, a bucket gives out at most Burst + d/Every tokens that aren't
// refunded, plus one for each Every that a reservation open at the start of d had been open. A
// store may round times up to its clock's resolution, at most 1 µs.
//
// Clock: a store uses one clock, which never goes back. A shared store uses its own clock, because
// the clocks of its callers differ.
//
// Bounds: the store's memory is bounded, whatever keys come, and no number of new keys makes the
// store forget what was taken under another key. See MemoryBuckets for one way to do both.
//
// Errors: after an error the caller doesn't know whether the call took effect. When in doubt, an
// implementation leaves tokens taken.
//
// All methods are safe for concurrent use.
type Buckets interface {
	// Reserve takes a token out of each bucket, or none if one of them is empty. It fails, and
	// takes nothing, if a bucket is out of its bounds. If ctx is done, it returns soon, with
	// ctx's error.
	Reserve(ctx context.Context, buckets []Bucket) (Decision, error)

	// Refund puts a token that Reserve took back into each bucket, never above Burst. It takes any
	// of the buckets of a reservation. A bucket that has filled in the meantime stays full; that
	// isn't an error.
	Refund(ctx context.Context, buckets []Bucket) error
}
