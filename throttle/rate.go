package throttle

import (
	"fmt"
	"time"
)

// Upper bounds of a Rate. If a Rate within them is multiplied by globalFactor, it is still within
// the bounds of a store.Bucket.
const (
	maxBurst = 10_000
	maxEvery = 24 * time.Hour
)

// A Rate allows Burst attempts at once, and then one more per Every. In any interval of length d,
// at most Burst + d/Every attempts count. If attempts were in flight when the interval began, up to
// t/Every more may count, where t is how long the oldest of them had been in flight.
type Rate struct {
	Burst int           // 1 to 10,000
	Every time.Duration // 1 ms to 24 h
}

// check returns an error that names the field if the rate is out of bounds.
func (r Rate) check(name string) error {
	if r.Burst < 1 || r.Burst > maxBurst || r.Every < time.Millisecond || r.Every > maxEvery {
		return fmt.Errorf("throttle: %s is %d attempts, one more each %v: "+
			"expected 1 to %d, and 1ms to %v", name, r.Burst, r.Every, maxBurst, maxEvery)
	}
	return nil
}

// times returns a rate that is n times as high, for a limit that several addresses or networks
// share.
func (r Rate) times(n int) Rate { return Rate{n * r.Burst, r.Every / time.Duration(n)} }

// tighter returns half of the rate, for a process that can't count together with others.
func (r Rate) tighter() Rate { return Rate{max(1, r.Burst/2), 2 * r.Every} }
