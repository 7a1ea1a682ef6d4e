package redisstore

import (
	"context"
	"time"
)

// Bounds of the time between two calls of poll's function.
const (
	minPollInterval = 50 * time.Millisecond
	maxPollInterval = 200 * time.Millisecond
)

// poll calls isDone from time to time, until it returns true or an error or until ctx is done.
func poll(ctx context.Context, isDone func() (bool, error)) error {
	for interval := minPollInterval; ; interval = min(interval*3/2, maxPollInterval) {
		if done, err := isDone(); done || err != nil {
			return err
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
