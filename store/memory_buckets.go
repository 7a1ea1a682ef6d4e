package store

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

const (
	// DefaultMaxKeys is the default of MemoryBuckets.MaxKeys. This many keys take 15 MB, including
	// the overflow buckets (BenchmarkMemoryBuckets_millionKeys).
	DefaultMaxKeys = 250_000

	overflowTableSize = 1 << 16 // buckets; such a table takes 512 kB
	maxOverflowTables = 16      // one for each Bucket.Every
	minSweepInterval  = time.Second
)

// MemoryBuckets implements Buckets in the memory of one process. Its zero value is ready for use.
// Set fields only before the first call.
//
// It stores at most MaxKeys keys. When it reaches that number, it drops only the keys whose buckets
// are full. If the store still has MaxKeys keys, a new key uses one of 65,536 overflow buckets. The
// overflow bucket is chosen by a keyed hash, and other keys may share it. So a flood of new keys
// doesn't change the levels of the stored keys, but it may empty the overflow bucket of a new key.
// When a key moves from an overflow bucket to its own bucket, its own bucket starts with the level
// of the overflow bucket, and later refunds go to its own bucket.
type MemoryBuckets struct {
	MaxKeys int              // DefaultMaxKeys if MaxKeys isn't positive
	Now     func() time.Time // the clock, which must not go back; time.Now if nil

	mu    sync.Mutex   // guards the fields below
	start time.Time    // the durations below are times since start
	seed  maphash.Seed // secret, so that attackers can't choose keys that share an overflow bucket

	// fullAt has the time when each bucket will be full. This is the "theoretical arrival time" of
	// the generic cell rate algorithm (ITU-T I.371). To take a token, add Bucket.Every to this
	// time; if the result is more than Bucket.refillTime from now, the bucket is empty.
	fullAt map[Key]time.Duration
	// overflow has a table of overflow buckets for each Bucket.Every, allocated on first use. An
	// overflow bucket is also represented by the time when it will be full.
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
		// start is earlier than now, so that the first sweep may happen at once.
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
		if err := bucket.Validate(); err != nil {
			return Decision{}, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.init()
	for i, bucket := range buckets {
		if wait := m.take(bucket, now); wait > 0 {
			for _, reservedBucket := range buckets[:i] {
				m.refund(reservedBucket, now)
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

// take takes one token from a bucket and returns 0. If the bucket is empty, it returns the time
// until the bucket gains a token. The caller holds mu.
func (m *MemoryBuckets) take(bucket Bucket, now time.Duration) (wait time.Duration) {
	fullAt, isStored := m.fullAt[bucket.Key]
	var overflow *time.Duration
	if !isStored {
		if overflow = m.overflowBucket(bucket); overflow != nil {
			fullAt = *overflow
		}
		isStored = m.makeRoom(now)
	}
	fullAt = max(fullAt, now) + bucket.Every
	if wait := fullAt - now - bucket.refillTime(); wait > 0 {
		return wait
	}
	switch {
	case isStored:
		m.fullAt[bucket.Key] = fullAt
	case overflow != nil:
		*overflow = fullAt
	default:
		// A server uses fewer values of Every than there are tables, unless its settings change.
		if m.overflow == nil || len(m.overflow) >= maxOverflowTables {
			m.overflow = map[time.Duration][]time.Duration{}
		}
		m.overflow[bucket.Every] = make([]time.Duration, overflowTableSize)
		*m.overflowBucket(bucket) = fullAt
	}
	return 0
}

// refund puts one token back into a bucket. The caller holds mu.
func (m *MemoryBuckets) refund(bucket Bucket, now time.Duration) {
	fullAt, isStored := m.fullAt[bucket.Key]
	if !isStored {
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

// overflowBucket returns the overflow bucket that bucket uses, or nil if there is no overflow table
// for its Every yet. The caller holds mu.
func (m *MemoryBuckets) overflowBucket(bucket Bucket) *time.Duration {
	table := m.overflow[bucket.Every]
	if table == nil {
		return nil
	}
	return &table[maphash.Bytes(m.seed, bucket.Key[:])%overflowTableSize]
}

// makeRoom reports whether another key can be stored. If the store has MaxKeys keys, makeRoom first
// drops the keys whose buckets are full. It does that at most once a second, because otherwise
// every call during a flood would scan all keys. The caller holds mu.
func (m *MemoryBuckets) makeRoom(now time.Duration) bool {
	if len(m.fullAt) < m.MaxKeys {
		return true
	}
	if now-m.lastSweep < minSweepInterval {
		return false
	}
	m.lastSweep = now
	// Make a new map, because a map with many insertions and deletions keeps growing.
	newFullAt := make(map[Key]time.Duration, m.MaxKeys)
	for key, fullAt := range m.fullAt {
		if fullAt > now {
			newFullAt[key] = fullAt
		}
	}
	m.fullAt = newFullAt
	return len(m.fullAt) < m.MaxKeys
}
