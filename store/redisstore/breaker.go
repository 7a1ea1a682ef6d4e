package redisstore

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cloakql/cloakql/store"
)

const (
	// retryInterval is the default of breaker.interval.
	retryInterval = time.Second
	// refusalMemory is how long check reports that Redis has refused a script.
	refusalMemory = 5 * time.Second
	// logInterval is the time between two lines about failures.
	logInterval = time.Minute
)

// A breaker is a circuit breaker. It has the client of go-redis. After a failed call it is open:
// calls fail at once, except for one per interval. That call gets a new client, because the
// connections of the old one may be dead without having been closed.
type breaker struct {
	open     func() redis.UniversalClient
	interval time.Duration
	log      *slog.Logger

	mu         sync.Mutex            // guards the fields below
	redis      redis.UniversalClient // nil if the breaker is closed for good
	isOpen     bool
	openedAt   time.Time
	retryAt    time.Time // when the next call may try again, while the breaker is open
	refusedAt  time.Time // when Redis last refused a script
	loggedAt   time.Time // the last line about a failure
	isLogged   bool      // the current failure is in the log
	stats      Stats
	background sync.WaitGroup // closes old clients
}

// admit returns the client for a call, or an error if the call must not be made.
func (b *breaker) admit(now time.Time) (redis.UniversalClient, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.redis == nil || b.isOpen && now.Before(b.retryAt) {
		b.stats.Refused++
		return nil, store.ErrUnavailable
	}
	if b.isOpen {
		b.retryAt = now.Add(b.interval)
		old := b.redis
		b.background.Go(func() { old.Close() })
		b.redis = b.open()
	}
	b.stats.Calls++
	return b.redis, nil
}

// report takes the result of a call that was made with a client. It returns nil or
// store.ErrUnavailable: the text of err is for the log only.
func (b *breaker) report(client redis.UniversalClient, err error, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		if client == b.redis && b.isOpen {
			b.isOpen = false
			if b.isLogged {
				b.log.Info("the shared store is available again",
					"after", now.Sub(b.openedAt).Round(time.Millisecond))
			}
		}
		return nil
	case isRefusal(err):
		b.refusedAt = now
		b.logFailure("the shared store has refused a call", err, now)
	case client == b.redis:
		if !b.isOpen {
			b.isOpen, b.openedAt, b.isLogged = true, now, false
		}
		b.retryAt = now.Add(b.interval)
		b.isLogged = b.logFailure("the shared store is unavailable", err, now) || b.isLogged
	}
	b.stats.Failed++
	return store.ErrUnavailable
}

// refuse takes an error that isn't a failure of Redis, such as a value that can't be decrypted. It
// returns store.ErrUnavailable: the text of err is for the log only.
func (b *breaker) refuse(err error, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logFailure("a value in the shared store can't be used", err, now)
	b.stats.Failed++
	return store.ErrUnavailable
}

// logFailure logs a failure, at most once in a logInterval. It reports whether it did. The caller
// holds mu.
func (b *breaker) logFailure(message string, err error, now time.Time) bool {
	if !b.loggedAt.IsZero() && now.Sub(b.loggedAt) < logInterval {
		return false
	}
	b.loggedAt = now
	b.log.Warn(message, "error", err)
	return true
}

// isRefusal reports whether Redis refused only this script. Other scripts may succeed.
func isRefusal(err error) bool {
	var redisError redis.Error
	if !errors.As(err, &redisError) {
		return false
	}
	text := redisError.Error()
	if strings.HasPrefix(text, "READONLY") { // a replica refuses all scripts that write
		return false
	}
	for _, part := range []string{"OOM command not allowed", "MISCONF", "NOREPLICAS", "WRONGTYPE",
		"user_script", "Error running script"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// check returns store.ErrUnavailable if the breaker is open, or if Redis refused a script lately.
func (b *breaker) check(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.redis == nil || b.isOpen || now.Sub(b.refusedAt) < refusalMemory {
		return store.ErrUnavailable
	}
	return nil
}

// currentStats returns the counts until now.
func (b *breaker) currentStats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats
}

// close closes the client. The breaker stays open.
func (b *breaker) close() error {
	b.mu.Lock()
	client := b.redis
	b.redis = nil
	b.mu.Unlock()
	b.background.Wait()
	if client == nil {
		return nil
	}
	return client.Close()
}
