package store

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// The defaults of MemoryCalls.
const (
	DefaultMaxResults     = 10_000
	DefaultMaxResultsSize = 64 << 20
)

const (
	// maxUsedSubjects limits the Subjects that MemoryCalls remembers as used; they take 10 MB.
	maxUsedSubjects = 100_000
	// usedSweepInterval is how often Subjects are forgotten whose time has passed.
	usedSweepInterval = 5 * time.Second
)

// MemoryCalls implements Calls in the memory of one process. Its zero value is ready for use. Set
// fields only before the first call.
//
// It keeps at most MaxResults results, which together have at most MaxResultsSize bytes. A further
// result goes only to callers that wait for it. It remembers 100,000 used Subjects. If there are
// more, it treats every Subject as used until it has forgotten the one it had no room for.
type MemoryCalls struct {
	MaxResults     int // DefaultMaxResults if it isn't positive
	MaxResultsSize int // in bytes; DefaultMaxResultsSize if it isn't positive

	mu          sync.Mutex              // guards the fields below
	calls       map[CallKey]*memoryCall // in flight, or their result is kept
	results     map[attempt]*memoryCall // that Begin or Wait may still return
	resultsSize int                     // in bytes
	used        map[Key]usedSubject
	lastSweep   time.Time
	allUsedTill time.Time // until then, every Subject counts as used
}

// An attempt to make a call.
type attempt struct {
	key CallKey
	id  CallID
}

// A memoryCall is in flight until done is closed, or until its lease ends.
type memoryCall struct {
	attempt
	done chan struct{}

	// Guarded by MemoryCalls.mu.
	leaseEnd   time.Time
	isExtended bool        // by LeaseGrace
	leaseTimer *time.Timer // removes the call LeaseMemory after its lease

	// Written before done is closed.
	result     []byte
	successor  Key
	finishedAt time.Time
	keptUntil  time.Time
}

// A usedSubject is a Subject that was used.
type usedSubject struct {
	firstGroup Key  // that called Begin
	hasGroup   bool // Begin was called, not only MarkUsed
	until      time.Time
}

// checkTimes returns an error if a lease or a keep is out of bounds.
func checkTimes(lease, keep time.Duration) error {
	if lease <= 0 || lease > MaxCallTime || keep < 0 || keep > MaxCallTime {
		return fmt.Errorf("store: a call has the lease %v, and its result is kept for %v: "+
			"expected a positive lease, and at most %v for both", lease, keep, MaxCallTime)
	}
	return nil
}

// Begin implements Calls.
func (m *MemoryCalls) Begin(ctx context.Context, key CallKey, id CallID,
	lease, keep time.Duration) (Call, error) {
	if err := ctx.Err(); err != nil {
		return Call{}, err
	}
	if err := checkTimes(lease, keep); err != nil {
		return Call{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.init()
	subject := m.markUsed(key.Subject, keep, now)
	if !subject.hasGroup {
		subject.firstGroup, subject.hasGroup = key.Group, true
		if _, ok := m.used[key.Subject]; ok {
			m.used[key.Subject] = subject
		}
	}
	otherGroup := subject.firstGroup != key.Group
	if call := m.calls[key]; call != nil {
		switch {
		case call.isDone() && now.Before(call.keptUntil):
			state := call.state(now)
			state.OtherGroup = otherGroup
			if call.successor != (Key{}) && m.isUsed(call.successor, now) {
				state.Result = nil
			}
			return state, nil
		case !call.isDone() && call.hasLease(now):
			return Call{State: CallInFlight, ID: call.id, OtherGroup: otherGroup}, nil
		}
	}
	if m.results[attempt{key, id}] != nil { // finished before
		return Call{State: CallDone, ID: id, OtherGroup: otherGroup}, nil
	}
	m.start(attempt{key, id}, lease, now)
	return Call{State: CallStarted, ID: id, OtherGroup: otherGroup}, nil
}

// start starts a call. The caller holds mu.
func (m *MemoryCalls) start(a attempt, lease time.Duration, now time.Time) {
	call := &memoryCall{attempt: a, done: make(chan struct{}), leaseEnd: now.Add(lease)}
	call.leaseTimer = time.AfterFunc(lease+LeaseMemory, func() { m.removeAbandoned(call) })
	m.calls[a.key] = call
}

// hasLease reports whether the lease of a call continues. If it has ended, hasLease extends it
// once. The caller holds MemoryCalls.mu.
func (c *memoryCall) hasLease(now time.Time) bool {
	if !now.Before(c.leaseEnd) && !c.isExtended && now.Before(c.leaseEnd.Add(LeaseMemory)) {
		c.isExtended = true
		c.leaseEnd = now.Add(LeaseGrace)
		c.leaseTimer.Reset(LeaseGrace + LeaseMemory)
	}
	return now.Before(c.leaseEnd)
}

// isCurrent reports whether a call is in flight or its result is kept. The caller holds
// MemoryCalls.mu.
func (c *memoryCall) isCurrent(now time.Time) bool {
	if c.isDone() {
		return now.Before(c.keptUntil)
	}
	return now.Before(c.leaseEnd)
}

// Renew implements Calls.
func (m *MemoryCalls) Renew(ctx context.Context, key CallKey, id CallID,
	lease time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkTimes(lease, 0); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	now, call := time.Now(), m.calls[key]
	switch {
	case call != nil && call.id == id && !call.isDone():
		call.leaseEnd, call.isExtended = now.Add(lease), false
		call.leaseTimer.Reset(lease + LeaseMemory)
	case call != nil && (call.id == id || call.isCurrent(now)), m.results[attempt{key, id}] != nil:
		return ErrLeaseLost
	default:
		m.start(attempt{key, id}, lease, now)
	}
	return nil
}

// Finish implements Calls.
func (m *MemoryCalls) Finish(ctx context.Context, key CallKey, id CallID, result []byte,
	successor Key, keep time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkTimes(1, keep); err != nil {
		return err
	}
	if len(result) > MaxResultBytes {
		return ErrTooLarge
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	now, call := time.Now(), m.calls[key]
	if call != nil && call.id != id && call.isCurrent(now) {
		return ErrLeaseLost
	}
	if call == nil || call.id != id { // the lease has ended
		if m.results[attempt{key, id}] != nil {
			return nil // finished before, with a keep that has ended
		}
		other := call
		call = &memoryCall{attempt: attempt{key, id}, done: make(chan struct{})}
		// The other call's lease may still be extended, unless there is a result to keep.
		if other == nil || other.isDone() || keep > 0 {
			m.calls[key] = call
		}
	}
	if call.isDone() {
		return nil // finished before
	}
	if call.leaseTimer != nil {
		call.leaseTimer.Stop()
	}
	call.result, call.successor = append([]byte(nil), result...), successor
	call.finishedAt, call.keptUntil = now, now.Add(keep)
	close(call.done)
	if len(m.results) >= m.MaxResults || m.resultsSize+len(result) > m.MaxResultsSize {
		if m.calls[key] == call {
			delete(m.calls, key)
		}
		return nil
	}
	m.results[call.attempt] = call
	m.resultsSize += len(result)
	time.AfterFunc(max(keep, MinWaitTime), func() { m.removeResult(call) })
	return nil
}

// Wait implements Calls.
func (m *MemoryCalls) Wait(ctx context.Context, key CallKey, id CallID) (Call, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Call{}, err
		}
		m.mu.Lock()
		now, call := time.Now(), m.calls[key]
		if call == nil || call.id != id {
			call = m.results[attempt{key, id}]
		}
		if call == nil || !call.isDone() && !call.hasLease(now) { // abandoned
			m.mu.Unlock()
			return Call{State: CallAbandoned, ID: id}, nil
		}
		if call.isDone() {
			m.mu.Unlock()
			return call.state(now), nil
		}
		leaseEnd := call.leaseEnd
		m.mu.Unlock()
		timer := time.NewTimer(time.Until(leaseEnd))
		select {
		case <-call.done:
			timer.Stop()
			return call.state(time.Now()), nil
		case <-ctx.Done():
		case <-timer.C: // the lease has ended, unless it was renewed
		}
		timer.Stop()
	}
}

// MarkUsed implements Calls.
func (m *MemoryCalls) MarkUsed(ctx context.Context, subject Key, keep time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkTimes(1, keep); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	m.markUsed(subject, keep, time.Now())
	return nil
}

// IsUsed implements Calls.
func (m *MemoryCalls) IsUsed(ctx context.Context, subject Key) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isUsed(subject, time.Now()), nil
}

// init initializes m if it is a zero value. The caller holds mu.
func (m *MemoryCalls) init() {
	if m.calls != nil {
		return
	}
	m.calls, m.results = map[CallKey]*memoryCall{}, map[attempt]*memoryCall{}
	m.used = map[Key]usedSubject{}
	if m.MaxResults <= 0 {
		m.MaxResults = DefaultMaxResults
	}
	if m.MaxResultsSize <= 0 {
		m.MaxResultsSize = DefaultMaxResultsSize
	}
}

// isDone reports whether Finish was called.
func (c *memoryCall) isDone() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// state returns the state of a call that is done.
func (c *memoryCall) state(now time.Time) Call {
	return Call{State: CallDone, ID: c.id, Result: append([]byte(nil), c.result...),
		Successor: c.successor, Age: now.Sub(c.finishedAt)}
}

// removeAbandoned forgets a call whose lease ended LeaseMemory ago.
func (m *MemoryCalls) removeAbandoned(call *memoryCall) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls[call.key] == call && !call.isDone() &&
		!time.Now().Before(call.leaseEnd.Add(LeaseMemory)) {
		delete(m.calls, call.key)
	}
}

// removeResult forgets a call that is done.
func (m *MemoryCalls) removeResult(call *memoryCall) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls[call.key] == call {
		delete(m.calls, call.key)
	}
	delete(m.results, call.attempt)
	m.resultsSize -= len(call.result)
}

// markUsed marks a Subject as used, and returns what is known of it. The caller holds mu.
func (m *MemoryCalls) markUsed(key Key, keep time.Duration, now time.Time) usedSubject {
	m.sweepUsed(now)
	until := now.Add(keep)
	subject, ok := m.used[key]
	if !ok || !now.Before(subject.until) {
		subject = usedSubject{}
	}
	if subject.until.Before(until) {
		subject.until = until
	}
	switch {
	case keep <= 0 && !ok:
	case !ok && len(m.used) >= maxUsedSubjects:
		if m.allUsedTill.Before(until) {
			m.allUsedTill = until
		}
	default:
		m.used[key] = subject
	}
	return subject
}

// isUsed reports whether a Subject is used. The caller holds mu.
func (m *MemoryCalls) isUsed(key Key, now time.Time) bool {
	return now.Before(m.allUsedTill) || now.Before(m.used[key].until)
}

// sweepUsed forgets the Subjects whose time has passed, from time to time. The caller holds mu.
func (m *MemoryCalls) sweepUsed(now time.Time) {
	if now.Sub(m.lastSweep) < usedSweepInterval {
		return
	}
	m.lastSweep = now
	// Make a new map, because a map with many insertions and deletions keeps growing.
	used := make(map[Key]usedSubject, len(m.used)/2)
	for key, subject := range m.used {
		if now.Before(subject.until) {
			used[key] = subject
		}
	}
	m.used = used
}
