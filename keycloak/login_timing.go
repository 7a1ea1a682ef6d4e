package keycloak

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	maxTimingSamples           = 64
	maxTimingSamplesPerNetwork = maxTimingSamples / 16

	// slowestDivisor selects the slowest samples: a refusal takes as long as one of the slowest
	// 1/slowestDivisor of them.
	slowestDivisor = 8

	// defaultRefusalDuration is how long refusals take while there are no samples. Keycloak hashes
	// a password in less time unless it is busy.
	defaultRefusalDuration = 500 * time.Millisecond

	// maxTimingSampleAge is the age above which samples are dropped when the next one is recorded:
	// last night's load says nothing about now.
	maxTimingSampleAge = 10 * time.Minute
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
	mu      sync.Mutex     // guards samples
	samples []timingSample // oldest first
}

type timingSample struct {
	network    netip.Prefix
	duration   time.Duration
	recordedAt time.Time
}

// record records the duration of a sign-in that Keycloak accepted or refused. isRefusal is true if
// the password was wrong. If the network already has maxTimingSamplesPerNetwork, the new sample
// replaces the network's oldest one; otherwise, if there are maxTimingSamples, it replaces the
// oldest of all.
func (l *loginTiming) record(network netip.Prefix, duration time.Duration, isRefusal bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if durations := l.slowestDurations(); isRefusal && duration < durations[len(durations)-1]/2 {
		return // most likely, Keycloak hashed no password
	}
	now := time.Now()
	l.samples = slices.DeleteFunc(l.samples, func(s timingSample) bool {
		return now.Sub(s.recordedAt) > maxTimingSampleAge
	})
	count, oldest := 0, 0
	for i, s := range slices.Backward(l.samples) {
		if s.network == network {
			count, oldest = count+1, i
		}
	}
	switch {
	case count >= maxTimingSamplesPerNetwork:
		l.samples = slices.Delete(l.samples, oldest, oldest+1)
	case len(l.samples) >= maxTimingSamples:
		l.samples = slices.Delete(l.samples, 0, 1)
	}
	l.samples = append(l.samples, timingSample{network, duration, now})
}

// slowestDurations returns the durations of the slowest eighth of the samples, longest first. It
// returns at least one duration: defaultRefusalDuration if there are no samples. The caller holds
// mu.
func (l *loginTiming) slowestDurations() []time.Duration {
	if len(l.samples) == 0 {
		return []time.Duration{defaultRefusalDuration}
	}
	durations := make([]time.Duration, 0, maxTimingSamples)
	for _, s := range l.samples {
		durations = append(durations, s.duration)
	}
	slices.Sort(durations)
	slices.Reverse(durations)
	return durations[:max(1, len(durations)/slowestDivisor)]
}

// targetDuration returns how long a refusal should take: as long as a sample that is chosen at
// random among the slowest samples.
func (l *loginTiming) targetDuration() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	durations := l.slowestDurations()
	return durations[rand.IntN(len(durations))]
}
