package store

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

const (
	// DefaultMaxKeys takes 15 MB, with the overflow (BenchmarkMemoryBuckets_millionKeys).
	DefaultMaxKeys = 250_000

	overflowBuckets = 1 << 16 // 512 kB for each Bucket.Every
	maxOverflows    = 16      // different Bucket.Every with overflow buckets
	minSweepPause   = time.Second
)

// MemoryBuckets is a Buckets in the memory of one process. Its zero value is ready for use. Set
// fields before the first call only.
//
// It holds at most MaxKeys keys. When it is full, it drops the keys whose buckets are full, and no
// others. If there is still no room, a new key shares one of 65,536 overflow buckets, chosen by a
// keyed hash. So a flood of keys takes nothing from the levels that are held; during the flood,
// though, a new key may find its bucket emptied by others. A key that leaves the overflow for a
// bucket of its own keeps the level, and later refunds go to that bucket.
type MemoryBuckets struct {
	MaxKeys int              // DefaultMaxKeys if it isn't positive
	Now     func() time.Time // the clock, which must not go back; time.Now if nil

	mu    sync.Mutex   // guards the fields below
	begin time.Time    // the times below count from here
	seed  maphash.Seed // secret: keys that share a bucket can't be chosen

	// full has the level of each bucket as the time when it will be full. This is the "theoretical
	// arrival time" of the generic cell rate algorithm (ITU-T I.371): a token taken moves it on by
	// Bucket.Every, and a token that would move it further than Bucket.refillTime from now is
	// refused.
	full map[Key]time.Duration
	// overflow has the same times for keys without room, by Bucket.Every. A table is made when the
	// first key needs it.
	overflow  map[time.Duration][]time.Duration
	lastSweep time.Duration
}

// init prepares a zero value, and returns the time since begin. The caller holds mu.
func (m *MemoryBuckets) init() (now time.Duration) {
	clock := m.Now
	if clock == nil {
		clock = time.Now
	}
	if m.full == nil {
		if m.MaxKeys <= 0 {
			m.MaxKeys = DefaultMaxKeys
		}
		// As if swept a while ago, so that the first sweep need not wait.
		m.begin = clock().Add(-minSweepPause)
		m.seed, m.full = maphash.MakeSeed(), map[Key]time.Duration{}
	}
	return clock().Sub(m.begin)
}

// Reserve implements Buckets.
func (m *MemoryBuckets) Reserve(ctx context.Context, buckets []Bucket) (Decision, error) {
	if err := ctx.Err(); err != nil {
		return Decision{}, err
	}
	for _, bucket := range buckets {
		if err := bucket.check(); err != nil {
			return Decision{}, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.init()
	for i, bucket := range buckets {
		if wait := m.take(bucket, now); wait > 0 {
			for _, taken := range buckets[:i] {
				m.putBack(taken, now)
			}
			return Decision{RetryAfter: wait}, nil
		}
	}
	return Decision{Allowed: true}, nil
}

// Refund implements Buckets. It never fails, not even if ctx is done.
func (m *MemoryBuckets) Refund(_ context.Context, buckets []Bucket) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.init()
	for _, bucket := range buckets {
		m.putBack(bucket, now)
	}
	return nil
}

// Len returns the number of keys that have a bucket of their own.
func (m *MemoryBuckets) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.full)
}

// take takes one token, or returns how long it takes until there is one. The caller holds mu.
func (m *MemoryBuckets) take(bucket Bucket, now time.Duration) (wait time.Duration) {
	full, own := m.full[bucket.Key]
	var shared *time.Duration
	if !own {
		if shared = m.shared(bucket); shared != nil {
			full = *shared
		}
		own = m.hasRoom(now)
	}
	full = max(full, now) + bucket.Every
	if wait := full - now - bucket.refillTime(); wait > 0 {
		return wait
	}
	switch {
	case own:
		m.full[bucket.Key] = full
	case shared != nil:
		*shared = full
	default:
		if m.overflow == nil || len(m.overflow) >= maxOverflows { // a server has a handful
			m.overflow = map[time.Duration][]time.Duration{}
		}
		m.overflow[bucket.Every] = make([]time.Duration, overflowBuckets)
		*m.shared(bucket) = full
	}
	return 0
}

// putBack undoes a take. The caller holds mu.
func (m *MemoryBuckets) putBack(bucket Bucket, now time.Duration) {
	full, own := m.full[bucket.Key]
	if !own {
		if shared := m.shared(bucket); shared != nil {
			*shared = max(*shared-bucket.Every, now)
		}
		return
	}
	if full -= bucket.Every; full <= now {
		delete(m.full, bucket.Key)
	} else {
		m.full[bucket.Key] = full
	}
}

// shared returns the overflow bucket of a key, or nil if no key needed one with this Every yet. The
// caller holds mu.
func (m *MemoryBuckets) shared(bucket Bucket) *time.Duration {
	table := m.overflow[bucket.Every]
	if table == nil {
		return nil
	}
	return &table[maphash.Bytes(m.seed, bucket.Key[:])%overflowBuckets]
}

// hasRoom reports whether there is room for one more key, after dropping those whose buckets are
// full if necessary. It looks for them at most once a second, so that a flood doesn't make every
// call go through all keys. The caller holds mu.
func (m *MemoryBuckets) hasRoom(now time.Duration) bool {
	if len(m.full) < m.MaxKeys {
		return true
	}
	if now-m.lastSweep < minSweepPause {
		return false
	}
	m.lastSweep = now
	// Into a new map: one whose keys come and go keeps growing.
	kept := make(map[Key]time.Duration, m.MaxKeys)
	for key, full := range m.full {
		if full > now {
			kept[key] = full
		}
	}
	m.full = kept
	return len(m.full) < m.MaxKeys
}
