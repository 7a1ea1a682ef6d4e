package redisstore

import (
	"context"
	"time"
)

// Bounds of the time between two calls of poll's function. The maximum is for functions that don't
// expect to be done soon.
const (
	minPollInterval = 50 * time.Millisecond
	maxPollInterval = 200 * time.Millisecond
)

// A pollResult is the result of poll's function.
type pollResult int

const (
	pollDone pollResult = iota
	pollSoon            // call again after minPollInterval
	pollLater
)

// poll calls f from time to time, until it returns pollDone or an error or until ctx is done.
func poll(ctx context.Context, f func() (pollResult, error)) error {
	interval := minPollInterval
	for {
		result, err := f()
		switch {
		case err != nil || result == pollDone:
			return err
		case result == pollSoon:
			interval = minPollInterval
		default:
			interval = min(interval*3/2, maxPollInterval)
		}
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
