package keycloak

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	maxSamples           = 64
	maxSamplesPerNetwork = maxSamples / 16

	// slowestShare is the inverse of the share of samples that refusals are delayed to: the slowest
	// eighth.
	slowestShare = 8

	// initialDelay is how long refusals take while there are no samples. Keycloak hashes a
	// password in less time unless it is busy.
	initialDelay = 500 * time.Millisecond

	// sampleAge is how old a sample may get before the next one replaces it: last night's load says
	// nothing about now.
	sampleAge = 10 * time.Minute
)

// A loginTiming records how long recent sign-ins took that Keycloak decided, and says how long a
// refusal must be delayed, so that its timing doesn't tell whether Keycloak hashed a password for
// it. A refusal is delayed until it has taken as long as one of the slowest sign-ins, drawn at
// random each time: a fixed minimum would reveal which refusals had to wait for it.
//
// Guesses at accounts without a password can't lower the delay: a refusal that was much faster than
// the slow sign-ins isn't recorded. Sign-ins with the right password, which Keycloak certainly
// hashed, show that Keycloak has become faster. And each network contributes only a few of the
// samples. The zero value is ready to use.
type loginTiming struct {
	mu      sync.Mutex // guards samples
	samples []sample   // oldest first
}

type sample struct {
	network netip.Prefix
	took    time.Duration
	at      time.Time
}

// observe records how long a sign-in took that Keycloak decided; refused reports that its password
// was wrong. The sample replaces the oldest one of its network if the network already has its
// maximum, and otherwise the oldest of all if there are maxSamples.
func (l *loginTiming) observe(network netip.Prefix, took time.Duration, refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slow := l.slowest(); refused && took < slow[len(slow)-1]/2 {
		return // most likely, Keycloak hashed no password
	}
	now := time.Now()
	l.samples = slices.DeleteFunc(l.samples, func(s sample) bool {
		return now.Sub(s.at) > sampleAge
	})
	count, oldest := 0, 0
	for i, s := range slices.Backward(l.samples) {
		if s.network == network {
			count, oldest = count+1, i
		}
	}
	switch {
	case count >= maxSamplesPerNetwork:
		l.samples = slices.Delete(l.samples, oldest, oldest+1)
	case len(l.samples) >= maxSamples:
		l.samples = slices.Delete(l.samples, 0, 1)
	}
	l.samples = append(l.samples, sample{network, took, now})
}

// slowest returns the durations of the slowest eighth of the samples, longest first: at least one,
// and initialDelay if there are no samples. The caller holds mu.
func (l *loginTiming) slowest() []time.Duration {
	if len(l.samples) == 0 {
		return []time.Duration{initialDelay}
	}
	took := make([]time.Duration, 0, maxSamples)
	for _, s := range l.samples {
		took = append(took, s.took)
	}
	slices.Sort(took)
	slices.Reverse(took)
	return took[:max(1, len(took)/slowestShare)]
}

// target returns how long a refusal should take: as long as a random one of the slowest samples.
func (l *loginTiming) target() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	slow := l.slowest()
	return slow[rand.IntN(len(slow))]
}
