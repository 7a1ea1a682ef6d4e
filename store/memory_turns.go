package store

import (
	"context"
	"sync"
	"time"
)

// MemoryTurns implements Turns in the memory of one process. Its zero value is ready for use.
type MemoryTurns struct {
	mu     sync.Mutex // guards queues, and the counts of each turnQueue
	queues map[Key]*turnQueue
}

// A turnQueue is the queue of one key.
type turnQueue struct {
	size    int           // callers that have the turn or wait for it
	byGroup map[Key]int   // the same, by group
	permit  chan struct{} // holds one value while no caller has the turn
}

// Take implements Turns.
func (m *MemoryTurns) Take(ctx context.Context,
	request TurnRequest) (leave func(pause time.Duration), err error) {
	return m.TakeAfter(ctx, request, func() error { return nil })
}

// TakeAfter is like Take, but calls prepare before it waits for the turn. Meanwhile the caller has
// a place, which counts toward MaxQueue and MaxGroup but delays no other. If prepare fails,
// the caller loses the place, and TakeAfter returns prepare's error.
func (m *MemoryTurns) TakeAfter(ctx context.Context, request TurnRequest,
	prepare func() error) (leave func(pause time.Duration), err error) {
	if err := request.Validate(); err != nil {
		return nil, err
	}
	queue, err := m.enqueue(request)
	if err != nil {
		return nil, err
	}
	if err := prepare(); err != nil {
		m.remove(request, queue)
		return nil, err
	}
	finish := sync.OnceFunc(func() {
		queue.permit <- struct{}{} // never blocks: the caller took the value
		m.remove(request, queue)
	})
	select {
	case <-queue.permit: // the runtime wakes waiting goroutines in order
	case <-ctx.Done():
		m.remove(request, queue)
		return nil, ctx.Err()
	}
	if err := ctx.Err(); err != nil { // if both cases were ready, select chose one at random
		finish()
		return nil, err
	}
	return func(pause time.Duration) {
		if pause <= 0 {
			finish()
			return
		}
		time.AfterFunc(min(pause, MaxPause), finish)
	}, nil
}

// Len returns the number of keys that somebody has or waits for.
func (m *MemoryTurns) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.queues)
}

// enqueue counts the caller in the queue of its key, or returns ErrQueueFull.
func (m *MemoryTurns) enqueue(request TurnRequest) (*turnQueue, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	queue, ok := m.queues[request.Key]
	if !ok {
		queue = &turnQueue{byGroup: map[Key]int{}, permit: make(chan struct{}, 1)}
		queue.permit <- struct{}{}
	}
	if queue.size >= request.MaxQueue ||
		request.Group != (Key{}) && queue.byGroup[request.Group] >= request.MaxGroup {
		return nil, ErrQueueFull
	}
	if m.queues == nil {
		m.queues = map[Key]*turnQueue{}
	}
	m.queues[request.Key] = queue
	queue.size++
	queue.byGroup[request.Group]++
	return queue, nil
}

// remove takes the caller out of the queue.
func (m *MemoryTurns) remove(request TurnRequest, queue *turnQueue) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if queue.byGroup[request.Group]--; queue.byGroup[request.Group] == 0 {
		delete(queue.byGroup, request.Group)
	}
	if queue.size--; queue.size == 0 {
		delete(m.queues, request.Key)
	}
}
