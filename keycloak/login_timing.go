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

	// slowestDivisor selects the slowest samples: a refusal takes as long as one of the slowest
	// 1/slowestDivisor of them.
	slowestDivisor = 8

	// initialDelay is how long refusals take while there are no samples. Keycloak hashes a
	// password in less time unless it is busy.
	initialDelay = 500 * time.Millisecond

	// maxSampleAge is the age at which samples are dropped, when the next one is recorded: last
	// night's load says nothing about now.
	maxSampleAge = 10 * time.Minute
)

// A loginTiming records the durations of recent sign-ins that Keycloak accepted or refused, and
// returns how long a refusal should take, so that its timing doesn't reveal whether Keycloak hashed
// a password. A refusal is delayed until it has taken as long as one of the slowest sign-ins,
// chosen at random each time: a fixed minimum would reveal which refusals were delayed.
//
// If an account has no password, Keycloak refuses sign-ins to it quickly, because it hashes
// nothing. Such refusals can't lower the delay: one that is much faster than the slowest sign-ins
// isn't recorded. A successful sign-in is always recorded, because Keycloak certainly hashed the
// password. So the delay shrinks when Keycloak becomes faster. Each network contributes only a few
// of the samples. The zero value is ready to use.
type loginTiming struct {
	mu      sync.Mutex // guards samples
	samples []sample   // oldest first
}

type sample struct {
	network    netip.Prefix
	duration   time.Duration
	recordedAt time.Time
}

// observe records the duration of a sign-in that Keycloak accepted or refused. refused means that
// the password was wrong. If the network already has maxSamplesPerNetwork, the new sample replaces
// the network's oldest one; otherwise, if there are maxSamples, it replaces the oldest of all.
func (l *loginTiming) observe(network netip.Prefix, duration time.Duration, refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slowest := l.slowest(); refused && duration < slowest[len(slowest)-1]/2 {
		return // most likely, Keycloak hashed no password
	}
	now := time.Now()
	l.samples = slices.DeleteFunc(l.samples, func(s sample) bool {
		return now.Sub(s.recordedAt) > maxSampleAge
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
	l.samples = append(l.samples, sample{network, duration, now})
}

// slowest returns the durations of the slowest eighth of the samples, longest first. It returns at
// least one duration: initialDelay if there are no samples. The caller holds mu.
func (l *loginTiming) slowest() []time.Duration {
	if len(l.samples) == 0 {
		return []time.Duration{initialDelay}
	}
	durations := make([]time.Duration, 0, maxSamples)
	for _, s := range l.samples {
		durations = append(durations, s.duration)
	}
	slices.Sort(durations)
	slices.Reverse(durations)
	return durations[:max(1, len(durations)/slowestDivisor)]
}

// target returns how long a refusal should take: as long as a random one of the slowest samples.
func (l *loginTiming) target() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	slowest := l.slowest()
	return slowest[rand.IntN(len(slowest))]
}
