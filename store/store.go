package store

import (
	"context"
	"errors"
	"fmt"
)

// A Store bundles one implementation of each interface. The fields that are nil aren't shared: each
// process uses its own memory.
type Store struct {
	// Name names the store in logs, such as redis://10.0.0.7:6379. It has no password.
	Name string

	Buckets   Buckets
	Calls     Calls
	Turns     Turns
	Documents Documents
	Events    Events

	// Check returns an error that wraps ErrUnavailable if the store didn't respond lately. It
	// doesn't wait for the store. If Check is nil, the store is always available.
	Check func(context.Context) error
}

// ErrUnavailable means that the store didn't respond in time, refused the call, or lost its data a
// moment ago. The caller doesn't know whether the call took effect. Its text may be shown to
// clients.
var ErrUnavailable = errors.New("the shared store is unavailable")

// ErrDataLost is an ErrUnavailable of a store that responds, but lost its data a moment ago.
var ErrDataLost = fmt.Errorf("%w: it lost its data a moment ago", ErrUnavailable)
