package keycloak

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	maxSamples  = 64
	ofNetwork   = maxSamples / 16 // samples that one network has at most
	highestPart = 8               // refusals take as long as a sample of the highest eighth
)

// A pace is how long judged sign-ins take, by the last of them. It holds refusals back, so that the time of one doesn't
// tell whether Keycloak hashed a password for it: one that came sooner is answered when one of the slowest would have been.
// Which one is drawn anew each time, since a floor that is always the same would show who waited for it.
//
// One network has few of the samples, so guesses at accounts without a password don't make it fast: that takes
// many networks. Its zero value is ready for use.
type pace struct {
	mu      sync.Mutex // guards samples
	samples []sample   // oldest first
}

type sample struct {
	network netip.Prefix
	took    time.Duration
}

// observe learns from a judged sign-in. It replaces the oldest of its network where that has as many as it may, and
// otherwise the oldest of all.
func (p *pace) observe(network netip.Prefix, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	count, oldest := 0, 0
	for i, s := range slices.Backward(p.samples) {
		if s.network == network {
			count, oldest = count+1, i
		}
	}
	switch {
	case count >= ofNetwork:
		p.samples = slices.Delete(p.samples, oldest, oldest+1)
	case len(p.samples) >= maxSamples:
		p.samples = slices.Delete(p.samples, 0, 1)
	}
	p.samples = append(p.samples, sample{network, took})
}

// target is how long a refusal should take: as long as one of the slowest samples.
func (p *pace) target() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.samples) == 0 {
		return 0
	}
	slowest := slices.SortedFunc(slices.Values(p.samples), func(a, b sample) int { return cmp.Compare(b.took, a.took) })
	return slowest[rand.IntN(max(1, len(slowest)/highestPart))].took
}

// wait returns when a refusal of something that began at begin may be answered, or when ctx ends, with its error. The
// answer comes no later than limit after the beginning.
func (p *pace) wait(ctx context.Context, begin time.Time, limit time.Duration) error {
	timer := time.NewTimer(time.Until(begin.Add(min(p.target(), limit))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
