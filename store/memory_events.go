package store

import (
	"cmp"
	"container/heap"
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

// DefaultMaxEvents is the default of MemoryEvents.MaxEvents. With 100 bytes of Data each, this many
// events take about 30 MB.
const DefaultMaxEvents = 100_000

// MemoryEvents implements Events in the memory of one process. Its zero value is ready for use. Set
// fields only before the first call.
type MemoryEvents struct {
	MaxEvents int              // DefaultMaxEvents if MaxEvents isn't positive
	Now       func() time.Time // the clock; time.Now if nil

	mu         sync.Mutex // guards the fields below
	epoch      string
	position   int64                   // of the latest event
	byData     map[string]*memoryEvent // the stored events
	byPosition []*memoryEvent          // the stored events, and some that were removed
	byExpiry   expiryHeap              // the stored events

	lastDropped    *memoryEvent // the latest event that was dropped to make room, or nil
	droppedExpires time.Time    // when the last of the dropped events would have expired
}

// A memoryEvent is an event in a MemoryEvents.
type memoryEvent struct {
	data      string
	position  int64
	added     time.Time
	expires   time.Time
	heapIndex int // in byExpiry; -1 if the event was removed
}

// init initializes m if it is a zero value, removes expired events, and returns the time. The
// caller holds mu.
func (m *MemoryEvents) init() (now time.Time) {
	if m.byData == nil {
		if m.MaxEvents <= 0 {
			m.MaxEvents = DefaultMaxEvents
		}
		m.epoch, m.byData = rand.Text(), map[string]*memoryEvent{}
	}
	clock := m.Now
	if clock == nil {
		clock = time.Now
	}
	now = clock()
	for len(m.byExpiry) > 0 && !m.byExpiry[0].expires.After(now) {
		m.remove(m.byExpiry[0])
	}
	return now
}

// remove removes a stored event. The caller holds mu.
func (m *MemoryEvents) remove(event *memoryEvent) {
	heap.Remove(&m.byExpiry, event.heapIndex)
	event.heapIndex = -1
	delete(m.byData, event.data)
	if len(m.byPosition) > 2*len(m.byExpiry)+16 {
		m.byPosition = slices.DeleteFunc(m.byPosition, (*memoryEvent).isRemoved)
	}
}

// isRemoved reports whether the event was removed from the store.
func (e *memoryEvent) isRemoved() bool { return e.heapIndex < 0 }

// dropOldest removes the oldest stored event. The caller holds mu.
func (m *MemoryEvents) dropOldest() {
	for i, event := range m.byPosition {
		if event.isRemoved() {
			continue
		}
		if event.expires.After(m.droppedExpires) {
			m.droppedExpires = event.expires
		}
		m.lastDropped = event
		m.byPosition = m.byPosition[i:]
		m.remove(event)
		return
	}
}

// Append implements Events.
func (m *MemoryEvents) Append(ctx context.Context, events ...Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := ValidateEvents(events); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.init()
	for _, event := range events {
		expires := now.Add(event.Keep)
		if stored := m.byData[event.Data]; stored != nil {
			if expires.After(stored.expires) {
				stored.expires = expires
				heap.Fix(&m.byExpiry, stored.heapIndex)
			}
			continue
		}
		if len(m.byExpiry) >= m.MaxEvents {
			m.dropOldest()
		}
		m.position++
		stored := &memoryEvent{data: event.Data, position: m.position, added: now,
			expires: expires}
		m.byData[event.Data] = stored
		m.byPosition = append(m.byPosition, stored)
		heap.Push(&m.byExpiry, stored)
	}
	return nil
}

// Read implements Events.
func (m *MemoryEvents) Read(ctx context.Context, after Cursor) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return Batch{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.init()
	batch := Batch{Cursor: Cursor{Epoch: m.epoch, Position: after.Position}}
	if after.Epoch != m.epoch {
		batch.Lost, batch.Cursor.Position = after.Epoch != "", 0
	}
	if dropped := m.lastDropped; dropped != nil && m.droppedExpires.After(now) &&
		dropped.position > batch.Cursor.Position {
		batch.MissedUntil = dropped.added
	}
	start, _ := slices.BinarySearchFunc(m.byPosition, batch.Cursor.Position+1,
		func(event *memoryEvent, position int64) int {
			return cmp.Compare(event.position, position)
		})
	for _, event := range m.byPosition[start:] {
		if event.isRemoved() {
			continue
		}
		if len(batch.Events) == MaxBatch {
			batch.More = true
			break
		}
		batch.Events = append(batch.Events, event.data)
		batch.Cursor.Position = event.position
	}
	return batch, nil
}

// An expiryHeap has events, the first to expire at index 0. It implements heap.Interface.
type expiryHeap []*memoryEvent

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }

func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push implements heap.Interface.
func (h *expiryHeap) Push(event any) {
	event.(*memoryEvent).heapIndex = len(*h)
	*h = append(*h, event.(*memoryEvent))
}

// Pop implements heap.Interface.
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	event := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return event
}
