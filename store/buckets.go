package store

import (
	"context"
	"fmt"
	"time"
)

// A Key identifies an entry in a store. Use a digest as the key, so that someone who can read the
// store can't read usernames in it.
type Key [16]byte

// A Bucket is a token bucket. It holds up to Burst tokens, and gains one per Every until it is
// full. A new bucket is full.
type Bucket struct {
	Key   Key
	Burst int           // at least 1
	Every time.Duration // at least 1 µs; Burst times Every is at most 100 years
}

// maxRefillTime is the maximum of Burst times Every.
const maxRefillTime = 100 * 365 * 24 * time.Hour

// Validate returns an error if Burst or Every is out of the bounds documented at Bucket.
func (b Bucket) Validate() error {
	if b.Burst < 1 || b.Every < time.Microsecond || b.Every > maxRefillTime/time.Duration(b.Burst) {
		return fmt.Errorf("store: a bucket has Burst %d and Every %v: expected a Burst of at "+
			"least 1, an Every of at least 1µs, and at most 100 years to fill it", b.Burst, b.Every)
	}
	return nil
}

// refillTime returns how long an empty bucket takes to fill.
func (b Bucket) refillTime() time.Duration { return time.Duration(b.Burst) * b.Every }

// A Decision is the result of Reserve. The zero value means that the reservation was refused.
type Decision struct {
	// Allowed is set if a token was taken from every bucket. Otherwise no token was taken.
	Allowed bool

	// RetryAfter is zero if Allowed is set. Otherwise it is the time until the first empty bucket,
	// in the order of the call, gains a token. Another call may then take that token.
	RetryAfter time.Duration
}

// Buckets stores the levels of token buckets. Each method makes one call to the store for any
// number of buckets, so a shared store needs one round trip.
//
// Callers pass Burst and Every with each call; the store stores only levels. A caller changes the
// Burst and Every of a key only if its settings change, and the values in the latest call then
// apply. The keys in one call are distinct.
//
// Atomicity: Reserve is atomic. Of any number of concurrent calls, from one or more processes,
// exactly as many succeed as there are tokens.
//
// Precision: in any interval of length d, at most Burst + d/Every tokens are taken from a bucket
// without a refund. A reservation is open while its caller may still refund it. If reservations are
// open when the interval begins, up to t/Every more tokens may be taken, where t is how long the
// oldest of them has been open. A store may round times up to its clock's resolution, which is at
// most 1 µs.
//
// Clock: a store uses one clock, which never goes back. A shared store uses its own clock, because
// its callers' clocks differ.
//
// Bounds: the store's memory is bounded for any number of keys. However many new keys are used, the
// store never forgets the level of another key's bucket. MemoryBuckets shows one way to ensure
// both.
//
// Errors: after an error, the caller doesn't know whether the call took effect. If the
// implementation doesn't know either, it refunds no tokens.
//
// All methods are safe for concurrent use.
type Buckets interface {
	// Reserve takes a token from each bucket, or no token if one of the buckets is empty. If a
	// bucket's Burst or Every is out of bounds, it returns an error and takes no token. It returns
	// ctx.Err() soon after ctx is done.
	Reserve(ctx context.Context, buckets []Bucket) (Decision, error)

	// Refund puts one token back into each bucket. The buckets must be some or all buckets of an
	// earlier, successful call of Reserve. A bucket never has more than Burst tokens: a refund to a
	// full bucket has no effect, but isn't an error.
	Refund(ctx context.Context, buckets []Bucket) error
}
