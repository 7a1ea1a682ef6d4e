package keycloak

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	checkShards = 256

	// maxRecentChecks is how many checks a checkTable remembers at least, if it has to forget
	// some. It remembers at most twice as many, in about 25 MB.
	maxRecentChecks = 100_000
)

// A checkKey identifies the tokens that share their checks.
type checkKey struct {
	sessionID string
	issuedAt  int64 // in Unix seconds
}

// A checkTable remembers recent checks of tokens. It forgets old ones, and the oldest if there are
// too many. A reader locks only one of 256 parts, and makes no allocation. It is safe for
// concurrent use.
type checkTable struct {
	interval time.Duration
	seed     maphash.Seed
	shards   [checkShards]checkShard
}

// A checkShard has the checks of some sessions: those since startedAt are in current, and those of
// a period before it in previous. So each check stays for at least the interval, unless there are
// too many.
type checkShard struct {
	mu                sync.Mutex // guards the fields below
	current, previous map[checkKey]recentCheck
	startedAt         time.Time
	_                 [64]byte // so that locks don't share a cache line
}

// A recentCheck is the last check of a token. One of the times is zero.
type recentCheck struct {
	checkedAt  time.Time // when the check that succeeded began
	retryAfter time.Time // of a check that failed
}

func (t *checkTable) init(interval time.Duration) {
	t.interval, t.seed = interval, maphash.MakeSeed()
}

func (t *checkTable) shard(key checkKey) *checkShard {
	return &t.shards[maphash.String(t.seed, key.sessionID)%checkShards]
}

// find returns the last check of a token, or the zero value.
func (t *checkTable) find(key checkKey) recentCheck {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if check, ok := s.current[key]; ok {
		return check
	}
	return s.previous[key]
}

// isRecent reports whether the last check succeeded and began less than an interval ago.
func (t *checkTable) isRecent(key checkKey, now time.Time) bool {
	check := t.find(key)
	age := elapsed(check.checkedAt, now)
	return !check.checkedAt.IsZero() && age >= 0 && age < t.interval
}

// hasFailed reports whether the last check failed, so recently that it is too early for another.
func (t *checkTable) hasFailed(key checkKey, now time.Time) bool {
	return now.Before(t.find(key).retryAfter)
}

func (t *checkTable) setChecked(key checkKey, checkedAt time.Time) {
	t.set(key, recentCheck{checkedAt: checkedAt})
}

func (t *checkTable) setFailed(key checkKey, retryAfter time.Time) {
	t.set(key, recentCheck{retryAfter: retryAfter})
}

func (t *checkTable) set(key checkKey, check recentCheck) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.current == nil || now.Sub(s.startedAt) >= t.interval ||
		len(s.current) >= maxRecentChecks/checkShards {
		s.previous, s.current, s.startedAt = s.current, map[checkKey]recentCheck{}, now
	}
	s.current[key] = check
}
