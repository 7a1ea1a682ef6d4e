package store

import (
	"context"
	"fmt"
	"time"
)

// An Event is something that every process has to learn of. Two events with the same Data are one
// event.
type Event struct {
	Data string        // 1 to MaxEventBytes bytes
	Keep time.Duration // how long the event is kept, from 1 s to MaxEventTime
}

// Limits of events.
const (
	MaxEventBytes = 1 << 10
	MaxEventTime  = 48 * time.Hour
	MaxBatch      = 1000 // events that Read returns
)

// validate returns an error if Data or Keep is out of the bounds documented at Event.
func (e Event) validate() error {
	isValid := e.Data != "" && len(e.Data) <= MaxEventBytes &&
		e.Keep >= time.Second && e.Keep <= MaxEventTime
	if !isValid {
		return fmt.Errorf("store: an event has %d bytes and Keep %v: expected 1 to %d bytes, and "+
			"a Keep from 1s to %v", len(e.Data), e.Keep, MaxEventBytes, MaxEventTime)
	}
	return nil
}

// ValidateEvents returns an error if the events can't be added by one call of Append.
func ValidateEvents(events []Event) error {
	if len(events) > MaxBatch {
		return fmt.Errorf("store: %d events in one call, expected at most %d", len(events),
			MaxBatch)
	}
	for _, event := range events {
		if err := event.validate(); err != nil {
			return err
		}
	}
	return nil
}

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

	// MissedUntil is when the latest event was added that comes after the caller's cursor and that
	// the store has dropped before its Keep ended, because the store was full. It is zero if there
	// is none, or if it would have expired by now.
	MissedUntil time.Time
}

// Events stores events in the order in which they are added, until their Keep ends. Each process
// reads the stored events when it starts, and then reads the new ones from time to time.
//
// Bounds: the store has a bounded number of events. When there is no room for a new one, it drops
// the oldest; Batch.MissedUntil tells the callers that didn't read it.
//
// Order: if Append returned before another call of Append began, its events come first. An event
// that is added again keeps its position, and is kept for the longer time.
//
// Errors: if the store fails, the error wraps ErrUnavailable.
//
// All methods are safe for concurrent use. They return ctx.Err() soon after ctx is done.
type Events interface {
	// Append adds events, at most MaxBatch. It is atomic. If an event is out of bounds, it returns
	// an error and adds no event.
	Append(ctx context.Context, events ...Event) error

	// Read returns the events after a cursor, at most MaxBatch.
	Read(ctx context.Context, after Cursor) (Batch, error)
}
