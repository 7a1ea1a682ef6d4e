package throttle

import (
	"context"
	"fmt"
	"time"
)

// Bounds of a Rate. Their product, and five times that, fits into a Duration.
const (
	maxBurst = 10_000
	maxEvery = 24 * time.Hour
)

// A Rate is the size of a budget and how it fills again: Burst attempts at once, and one more each
// Every. Over any time d no more than Burst + d/Every attempts are taken and not given back, plus
// one for each Every that a call under way at its beginning had lasted.
type Rate struct {
	Burst int           // 1 to 10,000
	Every time.Duration // 1 ms to 24 h
}

func (r Rate) check(name string) error {
	if r.Burst < 1 || r.Burst > maxBurst || r.Every < time.Millisecond || r.Every > maxEvery {
		return fmt.Errorf("throttle: %s is %d attempts, one more each %v: expected 1 to %d, and 1ms to %v", name, r.Burst, r.Every, maxBurst, maxEvery)
	}
	return nil
}

// times is the rate of n that share a budget.
func (r Rate) times(n int) Rate { return Rate{n * r.Burst, r.Every / time.Duration(n)} }

// full is how long an empty budget takes to fill.
func (r Rate) full() time.Duration { return time.Duration(r.Burst) * r.Every }

// A Key names a budget: a digest of what is counted, so that whoever sees a store doesn't read
// names there.
type Key [16]byte

// Taken is what came of an attempt to take.
type Taken struct {
	// Wait is zero when one was taken. Otherwise none was, and one may be had after it, if nobody
	// else comes first.
	Wait time.Duration
	// Shared tells that the budget is one that the key has in common with others, for want of room.
	// Give needs to know.
	Shared bool
}

// A Store keeps how much of each budget is left. A budget that nothing was taken from for Rate.full
// is full, and needs no memory. A key always comes with the same Rate, unless the settings changed
// in between; the Rate of the call counts then.
//
// Atomicity: Take looks and takes in one step. Of any number of callers at the same moment, in one
// process or in several, exactly as many take as the budget holds. Nothing is asked across keys.
//
// Clock: a Store goes by one clock, which never goes back: a shared one by its own and not its
// callers', whose clocks differ.
//
// Errors: an error means that the caller doesn't know whether one was taken; a Store should err on
// the side of having taken it. Budgets counts by itself meanwhile (see Config.Store).
//
// Cancellation: both return soon after ctx ends, with its error. A Store that asks somebody else
// over a network is given 250 ms.
//
// Memory is bounded, whatever keys come; and no new key, and no number of them, makes the store
// forget what was taken from another (Memory says how that can be).
//
// Both methods are safe for concurrent use.
type Store interface {
	// Take takes one out of a budget, if there is one.
	Take(ctx context.Context, key Key, rate Rate) (Taken, error)

	// Give puts one back that Take took, and never more than the budget holds. taken is what Take
	// said. It is no error when the budget has filled meanwhile.
	Give(ctx context.Context, key Key, rate Rate, taken Taken) error
}
