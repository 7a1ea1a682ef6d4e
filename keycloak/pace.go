package keycloak

import (
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

	// firstPace is how long refusals take while there are no samples. Keycloak hashes a password
	// sooner unless it is busy.
	firstPace = 500 * time.Millisecond

	// sampleAge is how old a sample may be when another is learned: a storm of last night is no
	// measure.
	sampleAge = 10 * time.Minute
)

// A pace is how long judged sign-ins take, by the last of them. It holds refusals back, so that the
// time of one doesn't tell whether Keycloak hashed a password for it: one that came sooner is
// answered when one of the slowest would have been. Which one is drawn anew each time, since a
// floor that is always the same would show who waited for it.
//
// Guesses at accounts without a password don't make it fast: a refusal that came much sooner than
// the slow ones isn't learned from. That Keycloak has become faster is learned from sign-ins whose
// password was right, which it hashed for certain. And one network has few of the samples. Its zero
// value is ready for use.
type pace struct {
	mu      sync.Mutex // guards samples
	samples []sample   // oldest first
}

type sample struct {
	network netip.Prefix
	took    time.Duration
	at      time.Time
}

// observe learns from a judged sign-in, and refused is whether its password was wrong. It replaces
// the oldest of its network where that has as many as it may, and otherwise the oldest of all.
func (p *pace) observe(network netip.Prefix, took time.Duration, refused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slow := p.slowest(); refused && took < slow[len(slow)-1]/2 {
		return // no password was hashed, most likely
	}
	now := time.Now()
	p.samples = slices.DeleteFunc(p.samples, func(s sample) bool {
		return now.Sub(s.at) > sampleAge
	})
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
	p.samples = append(p.samples, sample{network, took, now})
}

// slowest returns how long the highest eighth of the samples took, slowest first: one at least, and
// firstPace while there are none. The caller holds mu.
func (p *pace) slowest() []time.Duration {
	if len(p.samples) == 0 {
		return []time.Duration{firstPace}
	}
	took := make([]time.Duration, 0, maxSamples)
	for _, s := range p.samples {
		took = append(took, s.took)
	}
	slices.Sort(took)
	slices.Reverse(took)
	return took[:max(1, len(took)/highestPart)]
}

// target is how long a refusal should take: as long as one of the slowest samples.
func (p *pace) target() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	slow := p.slowest()
	return slow[rand.IntN(len(slow))]
}
