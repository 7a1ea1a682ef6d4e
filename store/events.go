package store

import (
	"context"
	"time"
)

// An Event is something that every process has to learn of. Two events with the same Data are one
// event.
type Event struct {
	Data string        // at most MaxEventBytes
	Keep time.Duration // how long the event is kept, from 1 s to MaxEventTime
}

// Limits of events.
const (
	MaxEventBytes = 1 << 10
	MaxEventTime  = 48 * time.Hour
	MaxBatch      = 1000 // events that Read returns
)

// A Cursor is a position in the order of events. The zero Cursor is before the first event.
type Cursor struct {
	Epoch    string // changes when the store loses its data
	Position int64
}

// A Batch has events in the order in which they were added.
type Batch struct {
	Events []string // their Data
	Cursor Cursor   // after the last of Events
	More   bool     // there are further events: call Read again at once

	// Lost means that the store lost its data since the caller's cursor. Events has what it has
	// now. The caller should add the events that it knows, so that processes that start later learn
	// of them too.
	Lost bool

	// DroppedUntil is the time until which added events may have been dropped before their Keep
	// ended, because the store was full. It is zero if none was dropped. A caller whose cursor was
	// after a dropped event has read that event.
	DroppedUntil time.Time
}

// Events stores events in the order in which they are added, until their Keep ends. Each process
// reads the stored events when it starts, and then reads the new ones from time to time.
//
// Bounds: the store has a bounded number of events. When there is no room for a new one, it drops
// the oldest, and sets DroppedUntil.
//
// Order: if Append returned before another call of Append began, its events come first. An event
// that is added again keeps its position, and is kept for the longer time.
//
// Errors: if the store fails, the error wraps ErrUnavailable.
//
// All methods are safe for concurrent use. They return ctx.Err() soon after ctx is done.
type Events interface {
	// Append adds events, at most MaxBatch. It is atomic.
	Append(ctx context.Context, events ...Event) error

	// Read returns the events after a cursor, at most MaxBatch.
	Read(ctx context.Context, after Cursor) (Batch, error)
}
