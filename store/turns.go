package store

import (
	"context"
	"errors"
	"time"
)

// A TurnRequest asks for a turn at something that only one caller may do at a time.
type TurnRequest struct {
	Key   Key // what takes turns, such as a digest of an account
	Group Key // who asks, such as a digest of the caller's network; the zero Key is no group

	// MaxQueue limits the callers that have the turn or wait for it. MaxGroup limits those of one
	// group. Both are from 1 to 100.
	MaxQueue, MaxGroup int
}

// ErrQueueFull means that MaxQueue or MaxGroup callers have the turn already, or wait for it.
var ErrQueueFull = errors.New("store: the queue is full")

// Turns gives turns to callers, one after another for each key, first come, first served.
//
// Bounds: a key that nobody has or waits for takes no memory. If a process dies, its callers lose
// their places within ten seconds.
//
// Errors: if the store fails, the error wraps ErrUnavailable.
//
// All methods are safe for concurrent use.
type Turns interface {
	// Take waits for the caller's turn. The caller then has to call leave once. leave returns at
	// once; the next turn begins after pause. Take returns ErrQueueFull at once if the queue is
	// full. If ctx is done first, the caller loses its place, and Take returns ctx.Err().
	Take(ctx context.Context, request TurnRequest) (leave func(pause time.Duration), err error)
}

// MaxPause is the maximum of leave's pause; a longer pause is shortened.
const MaxPause = time.Minute
