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

// MemoryBuckets implements Buckets in the memory of one process. Its zero value is ready for use.
// Set fields only before the first call.
//
// It stores at most MaxKeys keys. When it reaches that number, it drops the keys whose buckets are
// full, and no others. If there is still no room, a new key shares one of 65,536 overflow buckets,
// chosen by a keyed hash. So a flood of new keys doesn't change the levels of the stored keys, but
// during the flood, others may have emptied the bucket of a new key. A key that moves from an
// overflow bucket to a bucket of its own keeps the level, and later refunds go to its own bucket.
type MemoryBuckets struct {
	MaxKeys int              // DefaultMaxKeys if it isn't positive
	Now     func() time.Time // the clock, which must not go back; time.Now if nil

	mu    sync.Mutex   // guards the fields below
	start time.Time    // the times below are relative to it
	seed  maphash.Seed // secret, so that an attacker can't choose keys that share a bucket

	// full has the level of each bucket, as the time when the bucket will be full. This is the
	// "theoretical arrival time" of the generic cell rate algorithm (ITU-T I.371): taking a token
	// adds Bucket.Every, and is refused if the result is more than Bucket.refillTime from now.
	full map[Key]time.Duration
	// overflow has the same times for the overflow buckets, by Bucket.Every. A table is allocated
	// when the first key needs it.
	overflow  map[time.Duration][]time.Duration
	lastSweep time.Duration
}

// init prepares a zero value, and returns the time since start. The caller holds mu.
func (m *MemoryBuckets) init() (now time.Duration) {
	clock := m.Now
	if clock == nil {
		clock = time.Now
	}
	if m.full == nil {
		if m.MaxKeys <= 0 {
			m.MaxKeys = DefaultMaxKeys
		}
		// Early enough that the first sweep needn't wait.
		m.start = clock().Add(-minSweepPause)
		m.seed, m.full = maphash.MakeSeed(), map[Key]time.Duration{}
	}
	return clock().Sub(m.start)
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

// shared returns the overflow bucket of a key, or nil if there is no table for its Every yet. The
// caller holds mu.
func (m *MemoryBuckets) shared(bucket Bucket) *time.Duration {
	table := m.overflow[bucket.Every]
	if table == nil {
		return nil
	}
	return &table[maphash.Bytes(m.seed, bucket.Key[:])%overflowBuckets]
}

// hasRoom reports whether there is room for another key. If necessary, it first drops the keys
// whose buckets are full. It does that at most once a second, so that a flood doesn't make every
// call scan all keys. The caller holds mu.
func (m *MemoryBuckets) hasRoom(now time.Duration) bool {
	if len(m.full) < m.MaxKeys {
		return true
	}
	if now-m.lastSweep < minSweepPause {
		return false
	}
	m.lastSweep = now
	// A new map, because a map whose keys come and go keeps growing.
	kept := make(map[Key]time.Duration, m.MaxKeys)
	for key, full := range m.full {
		if full > now {
			kept[key] = full
		}
	}
	m.full = kept
	return len(m.full) < m.MaxKeys
}
