package redisstore

import (
	"crypto/rand"
	"log/slog"
	"sync"
	"time"
)

// minLossTime is the least time for which Begin starts no call after a loss of data. The greatest
// is store.MaxCallTime.
const minLossTime = 10 * time.Second

// A lossDetector notices that Redis lost its data, or the latest part of it. Redis has an epoch: a
// random text that is set if there is none, and a counter of the calls of Begin. If the text
// changes, all data was lost. If the counter is lower than before, the latest data was lost: Redis
// has restarted from an old snapshot, or another replica is the master now.
type lossDetector struct {
	mu        sync.Mutex // guards the fields below
	epoch     epoch      // the latest that is known; the zero value before the first
	lossTime  time.Duration
	lostUntil time.Time // until then, Begin starts no call
	lossCount int64
}

// An epoch is the value of the epoch key.
type epoch struct {
	id    string
	count int64 // of calls of Begin
}

// known returns the latest known epoch, and the text for a new one.
func (l *lossDetector) known() (known epoch, newID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch, rand.Text()
}

// hasLost reports whether Redis lost its data a moment ago.
func (l *lossDetector) hasLost(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.lostUntil)
}

// begin is known for Begin. mayStart is false if Redis lost its data a moment ago. duration is the
// longest time for which the data of this call matters.
func (l *lossDetector) begin(
	duration time.Duration, now time.Time,
) (known epoch, newID string, mayStart bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lossTime = max(l.lossTime, duration)
	return l.epoch, rand.Text(), !now.Before(l.lostUntil)
}

// observe takes the epoch that a script returned. before is the known epoch when the call of the
// script began; calls may overtake each other.
func (l *lossDetector) observe(before, current epoch, log *slog.Logger, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	isLost := before.id != "" && (current.id != before.id || current.count < before.count)
	if !isLost {
		if l.epoch.id == "" {
			l.epoch = current
		}
		if l.epoch.id == current.id {
			l.epoch.count = max(l.epoch.count, current.count)
		}
		return
	}
	if l.epoch.id == current.id && l.epoch.count <= current.count {
		return // another call has noticed the loss already
	}
	l.epoch = current
	duration := max(l.lossTime, minLossTime)
	l.lostUntil = now.Add(duration)
	l.lossCount++
	log.Warn("the shared store has lost data", "callsUnavailableFor", duration.String())
}

// count returns the number of losses.
func (l *lossDetector) count() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lossCount
}
