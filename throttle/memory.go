package throttle

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

const (
	// DefaultMaxKeys takes 15 MB, shared budgets included (BenchmarkSprayOfAMillionNames). A
	// failure of one account is two keys for 15 minutes, by the defaults of Config: it takes the
	// budgets of some hundred networks to fill it.
	DefaultMaxKeys = 250_000

	sharedBudgets = 1 << 16 // 512 kB for each rate
	maxRates      = 16
	sweepFloor    = time.Second
)

// Memory is a Store in the memory of one process. Its keys are bounded; when there is no room for
// another, those whose budgets are full are dropped, and never one that holds a count. Is there
// still no room, then a new key has no budget of its own: it draws on one of 65,536 that it shares
// with whatever other keys fall on the same, by a hash that nobody outside knows. So a flood of
// names takes nothing from a count that is there; new names may find theirs used up by strangers
// until the flood is over.
//
// Make it with NewMemory. The zero value holds DefaultMaxKeys.
type Memory struct {
	maxKeys int
	begin   time.Time    // times below are counted from here, by the monotonic clock
	seed    maphash.Seed // which keys share a budget is this process's secret

	mu     sync.Mutex // guards the fields below
	counts map[Key]time.Duration
	shared map[time.Duration][]time.Duration // by Rate.Every, since a moment says nothing without it; none until the first key that finds no room
	swept  time.Duration                     // when full budgets were last dropped
}

// A count is the moment at which its budget will be full (the theoretical arrival time of the
// generic cell rate algorithm, ITU-T I.371): each attempt moves it on by Rate.Every, and one that
// would move it further than Rate.full from now is refused.

// NewMemory returns a Memory for at most maxKeys keys; for DefaultMaxKeys if that isn't positive.
func NewMemory(maxKeys int) *Memory {
	m := &Memory{maxKeys: maxKeys}
	m.begins()
	return m
}

// begins makes what a zero value lacks. The caller holds mu, or nobody else has m yet.
func (m *Memory) begins() {
	if m.counts != nil {
		return
	}
	if m.maxKeys <= 0 {
		m.maxKeys = DefaultMaxKeys
	}
	// The floor of sweeping counts from before the start, so that the first one is free.
	m.begin, m.seed, m.counts = time.Now().Add(-sweepFloor), maphash.MakeSeed(), map[Key]time.Duration{}
}

// Take implements Store. It fails only when ctx has ended.
func (m *Memory) Take(ctx context.Context, key Key, rate Rate) (Taken, error) {
	if err := ctx.Err(); err != nil {
		return Taken{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begins()
	now := time.Since(m.begin)
	at, own := m.counts[key]
	var cell *time.Duration
	if !own {
		if m.shared[rate.Every] != nil {
			// What was taken while there was no room counts on, in a budget of the key's own too.
			cell = m.cell(key, rate)
			at = *cell
		}
		own = m.room(now)
	}
	at = max(at, now) + rate.Every
	if wait := at - now - rate.full(); wait > 0 {
		return Taken{Wait: wait}, nil
	}
	if own {
		m.counts[key] = at
		return Taken{}, nil
	}
	if cell == nil {
		if m.shared == nil || len(m.shared) >= maxRates { // settings have a handful
			m.shared = map[time.Duration][]time.Duration{}
		}
		m.shared[rate.Every] = make([]time.Duration, sharedBudgets)
		cell = m.cell(key, rate)
	}
	*cell = at
	return Taken{Shared: true}, nil
}

// Give implements Store. It never fails, and goes on after ctx has ended.
func (m *Memory) Give(_ context.Context, key Key, rate Rate, taken Taken) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begins()
	if taken.Shared {
		if m.shared[rate.Every] != nil { // else it is another store's word
			*m.cell(key, rate) -= rate.Every
		}
		return nil
	}
	at, ok := m.counts[key]
	if !ok { // full since, and dropped
		return nil
	}
	if at -= rate.Every; at <= time.Since(m.begin) {
		delete(m.counts, key)
		return nil
	}
	m.counts[key] = at
	return nil
}

// room tells whether there is room for one more key, after dropping those that are as good as new
// if need be. It looks for them once a second at most: a flood must not make each call go through
// all keys. The caller holds mu.
func (m *Memory) room(now time.Duration) bool {
	if len(m.counts) < m.maxKeys {
		return true
	}
	if now-m.swept < sweepFloor {
		return false
	}
	m.swept = now
	// Into a new map: one whose keys come and go keeps growing.
	live := make(map[Key]time.Duration, m.maxKeys)
	for key, at := range m.counts {
		if at > now {
			live[key] = at
		}
	}
	m.counts = live
	return len(m.counts) < m.maxKeys
}

// cell is the budget that a key shares. The caller holds mu, and has made shared for the rate.
func (m *Memory) cell(key Key, rate Rate) *time.Duration {
	return &m.shared[rate.Every][maphash.Bytes(m.seed, key[:])%sharedBudgets]
}
