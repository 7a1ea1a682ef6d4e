package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A TurnRequest asks for a turn at something that only one caller may do at a time.
type TurnRequest struct {
	Key   Key // what takes turns, such as a digest of an account
	Group Key // who asks, such as a digest of the caller's network; the zero Key is no group

	// MaxQueue limits the callers that have the turn or wait for it. MaxGroup limits those of one
	// group. Both are from 1 to MaxTurnQueue.
	MaxQueue, MaxGroup int
}

// MaxTurnQueue is the maximum of MaxQueue and MaxGroup.
const MaxTurnQueue = 100

// Validate returns an error if MaxQueue or MaxGroup is out of bounds.
func (r TurnRequest) Validate() error {
	if min(r.MaxQueue, r.MaxGroup) < 1 || max(r.MaxQueue, r.MaxGroup) > MaxTurnQueue {
		return fmt.Errorf("store: a turn's MaxQueue is %d and its MaxGroup %d: expected 1 to %d",
			r.MaxQueue, r.MaxGroup, MaxTurnQueue)
	}
	return nil
}

// ErrQueueFull means that MaxQueue or MaxGroup callers have the turn already, or wait for it.
var ErrQueueFull = errors.New("the queue is full")

// Turns gives turns to callers, one after another for each key, first come, first served.
//
// Bounds: a key that no caller has or waits for takes no memory. If a process dies, its callers
// lose their places within ten seconds.
//
// Errors: if the store fails, the error wraps ErrUnavailable.
//
// All methods are safe for concurrent use.
type Turns interface {
	// Take waits for the caller's turn. The caller then has to call leave once. leave returns at
	// once; the next turn begins after pause, and the caller keeps its place in the queue until
	// then. Take returns ErrQueueFull at once if the queue is full. If ctx is done first, the
	// caller loses its place, and Take returns ctx.Err().
	Take(ctx context.Context, request TurnRequest) (leave func(pause time.Duration), err error)
}

// MaxPause is the maximum of leave's pause; a longer pause is shortened.
const MaxPause = time.Minute
