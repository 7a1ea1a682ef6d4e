package program

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// The garbage collector runs when the heap has grown by a percentage of the live heap: by 100 if
// GOGC isn't set. The live heap of this server is small, so the collector would run often. So
// tuneGC lets the heap grow by up to maxGarbageBytes, but by no more than maxGCPercent of the live
// heap and no less than minGCPercent.
const (
	maxGarbageBytes = 32 << 20
	maxGCPercent    = 400
	minGCPercent    = 75
)

// tuneGC adjusts the garbage collector after each collection, until stop is called. It does nothing
// if the operator has set GOGC or GOMEMLIMIT.
func tuneGC() (stop func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	tuner := &gcTuner{percent: maxGCPercent}
	previous := debug.SetGCPercent(maxGCPercent)
	tuner.afterNextCollection()
	return func() {
		tuner.mu.Lock()
		defer tuner.mu.Unlock()
		tuner.stopped = true
		debug.SetGCPercent(previous)
	}
}

type gcTuner struct {
	mu      sync.Mutex // guards the fields below
	percent int        // the percentage that is set
	stopped bool
}

// afterNextCollection makes the runtime call adjust after the next collection.
func (t *gcTuner) afterNextCollection() {
	// The collector finds this unreachable value and then runs its cleanup.
	runtime.AddCleanup(new([16]byte), (*gcTuner).adjust, t)
}

// adjust sets the percentage for the live heap of the last collection.
func (t *gcTuner) adjust() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if percent := gcPercent(live[0].Value.Uint64()); percent != t.percent {
		t.percent = percent
		debug.SetGCPercent(percent)
	}
	t.afterNextCollection()
}

// gcPercent returns the percentage for a live heap of this size. It is a multiple of 25, because
// setting another percentage stops all goroutines for a moment.
func gcPercent(liveBytes uint64) int {
	percent := maxGarbageBytes * 100 / max(liveBytes, 1)
	return int(min(max(percent/25*25, minGCPercent), maxGCPercent))
}
