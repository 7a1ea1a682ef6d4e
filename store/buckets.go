package store

import (
	"context"
	"fmt"
	"time"
)

// A Key identifies an entry in a store. Use a digest, so that someone who can read the store
// doesn't find usernames in it.
type Key [16]byte

// A Bucket is a token bucket. It holds up to Burst tokens, and gains one per Every until it is
// full. A new bucket is full.
type Bucket struct {
	Key   Key
	Burst int           // at least 1
	Every time.Duration // at least 1 µs; Burst times Every is at most 100 years
}

const maxRefillTime = 100 * 365 * 24 * time.Hour

// check returns an error if Burst or Every is out of the bounds documented at Bucket.
func (b Bucket) check() error {
	if b.Burst < 1 || b.Every < time.Microsecond || b.Every > maxRefillTime/time.Duration(b.Burst) {
		return fmt.Errorf("store: a bucket of %d tokens, one more each %v: expected at least 1 "+
			"and 1µs, and at most 100 years to fill it", b.Burst, b.Every)
	}
	return nil
}

// refillTime returns how long an empty bucket takes to fill.
func (b Bucket) refillTime() time.Duration { return time.Duration(b.Burst) * b.Every }

// A Decision is the result of Reserve. The zero value means that the reservation was refused.
type Decision struct {
	// Allowed reports whether a token was taken from every bucket. If false, no token was taken.
	Allowed bool

	// RetryAfter is zero if Allowed. Otherwise it is the time until the first empty bucket, in the
	// order of the call, gains a token. Another call may take that token first.
	RetryAfter time.Duration
}

// Buckets stores the levels of token buckets. Each method makes one call to the store for any
// number of buckets, so a shared store needs one round trip.
//
// Callers pass Burst and Every with each call; the store keeps only levels. A key's Burst and Every
// change only if the caller's settings do; the values in the latest call then apply. The keys in
// one call are distinct.
//
// Atomicity: Reserve is atomic. Of any number of concurrent calls, from one or more processes,
// exactly as many succeed as there are tokens.
//
// Precision: in any interval of length d, at most Burst + d/Every tokens are taken from a bucket
// and not refunded. A reservation that is open at the start of the interval adds one token for each
// Every that it has been open. A store may round times up to its clock's resolution, at most 1 µs.
//
// Clock: a store uses one clock, which never goes back. A shared store uses its own clock, because
// its callers' clocks differ.
//
// Bounds: the store's memory is bounded for any keys, and no number of new keys makes the store
// forget what was taken under another key. MemoryBuckets shows one way to do both.
//
// Errors: after an error the caller doesn't know whether the call took effect. When in doubt, an
// implementation doesn't give tokens back.
//
// All methods are safe for concurrent use.
type Buckets interface {
	// Reserve takes a token from each bucket, or none if one of the buckets is empty. It fails
	// without taking a token if a bucket's Burst or Every is out of bounds. It returns ctx.Err()
	// soon after ctx is done.
	Reserve(ctx context.Context, buckets []Bucket) (Decision, error)

	// Refund puts one token that Reserve took back into each bucket. The buckets are some or all of
	// a reservation's. A bucket never exceeds Burst: a refund to a full bucket has no effect, and
	// isn't an error.
	Refund(ctx context.Context, buckets []Bucket) error
}
