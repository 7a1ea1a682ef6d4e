package store

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

const (
	// DefaultMaxKeys keys take 15 MB, including the overflow buckets
	// (BenchmarkMemoryBuckets_millionKeys).
	DefaultMaxKeys = 250_000

	overflowBuckets   = 1 << 16 // in each overflow table, which takes 512 kB
	maxOverflowTables = 16      // one for each value of Bucket.Every
	minSweepInterval  = time.Second
)

// MemoryBuckets implements Buckets in the memory of one process. Its zero value is ready for use.
// Set fields only before the first call.
//
// It stores at most MaxKeys keys. When it reaches that number, it drops the keys whose buckets are
// full, and no others. If the store is still full, a new key uses one of 65,536 overflow buckets,
// chosen by a keyed hash and shared with other keys. So a flood of new keys doesn't change the
// levels of the stored keys, but it may empty the bucket that a new key shares. A key that moves
// from an overflow bucket to its own keeps the level, and later refunds go to its own bucket.
type MemoryBuckets struct {
	MaxKeys int              // DefaultMaxKeys if it isn't positive
	Now     func() time.Time // the clock, which must not go back; time.Now if nil

	mu    sync.Mutex   // guards the fields below
	start time.Time    // the durations below are times since start
	seed  maphash.Seed // secret, so that an attacker can't choose keys that share a bucket

	// fullAt has the level of each bucket, as the time when the bucket will be full. This is the
	// "theoretical arrival time" of the generic cell rate algorithm (ITU-T I.371): taking a token
	// adds Bucket.Every, and is refused if the result is more than Bucket.refillTime from now.
	fullAt map[Key]time.Duration
	// overflow has a table of such times for each Bucket.Every, allocated on first use.
	overflow  map[time.Duration][]time.Duration
	lastSweep time.Duration
}

// init initializes m if it is a zero value, and returns the time since start. The caller holds mu.
func (m *MemoryBuckets) init() (now time.Duration) {
	clock := m.Now
	if clock == nil {
		clock = time.Now
	}
	if m.fullAt == nil {
		if m.MaxKeys <= 0 {
			m.MaxKeys = DefaultMaxKeys
		}
		// Start earlier than now, so that the first sweep needn't wait.
		m.start = clock().Add(-minSweepInterval)
		m.seed, m.fullAt = maphash.MakeSeed(), map[Key]time.Duration{}
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
			for _, reserved := range buckets[:i] {
				m.refund(reserved, now)
			}
			return Decision{RetryAfter: wait}, nil
		}
	}
	return Decision{Allowed: true}, nil
}

// Refund implements Buckets. It never returns an error, even if ctx is done.
func (m *MemoryBuckets) Refund(_ context.Context, buckets []Bucket) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.init()
	for _, bucket := range buckets {
		m.refund(bucket, now)
	}
	return nil
}

// Len returns the number of stored keys: those that don't use an overflow bucket.
func (m *MemoryBuckets) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.fullAt)
}

// take takes one token, or returns the wait until the bucket gains one. The caller holds mu.
func (m *MemoryBuckets) take(bucket Bucket, now time.Duration) (wait time.Duration) {
	fullAt, stored := m.fullAt[bucket.Key]
	var overflow *time.Duration
	if !stored {
		if overflow = m.overflowBucket(bucket); overflow != nil {
			fullAt = *overflow
		}
		stored = m.hasRoom(now)
	}
	fullAt = max(fullAt, now) + bucket.Every
	if wait := fullAt - now - bucket.refillTime(); wait > 0 {
		return wait
	}
	switch {
	case stored:
		m.fullAt[bucket.Key] = fullAt
	case overflow != nil:
		*overflow = fullAt
	default:
		// A server has fewer values of Every, unless its settings change.
		if m.overflow == nil || len(m.overflow) >= maxOverflowTables {
			m.overflow = map[time.Duration][]time.Duration{}
		}
		m.overflow[bucket.Every] = make([]time.Duration, overflowBuckets)
		*m.overflowBucket(bucket) = fullAt
	}
	return 0
}

// refund puts one token back into a bucket. The caller holds mu.
func (m *MemoryBuckets) refund(bucket Bucket, now time.Duration) {
	fullAt, stored := m.fullAt[bucket.Key]
	if !stored {
		if overflow := m.overflowBucket(bucket); overflow != nil {
			*overflow = max(*overflow-bucket.Every, now)
		}
		return
	}
	if fullAt -= bucket.Every; fullAt <= now {
		delete(m.fullAt, bucket.Key)
	} else {
		m.fullAt[bucket.Key] = fullAt
	}
}

// overflowBucket returns the overflow bucket of a key, or nil if there is no table for its Every
// yet. The caller holds mu.
func (m *MemoryBuckets) overflowBucket(bucket Bucket) *time.Duration {
	table := m.overflow[bucket.Every]
	if table == nil {
		return nil
	}
	return &table[maphash.Bytes(m.seed, bucket.Key[:])%overflowBuckets]
}

// hasRoom reports whether another key can be stored. If necessary, it first drops the keys whose
// buckets are full. It does that at most once a second, so that a flood doesn't make every call
// scan all keys. The caller holds mu.
func (m *MemoryBuckets) hasRoom(now time.Duration) bool {
	if len(m.fullAt) < m.MaxKeys {
		return true
	}
	if now-m.lastSweep < minSweepInterval {
		return false
	}
	m.lastSweep = now
	// A new map, because a map with many insertions and deletions keeps growing.
	remaining := make(map[Key]time.Duration, m.MaxKeys)
	for key, fullAt := range m.fullAt {
		if fullAt > now {
			remaining[key] = fullAt
		}
	}
	m.fullAt = remaining
	return len(m.fullAt) < m.MaxKeys
}
