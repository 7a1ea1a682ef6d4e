package program

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestGCPercent(t *testing.T) {
	for _, tt := range []struct {
		liveBytes uint64
		want      int
	}{
		{0, 400}, {1, 400}, {4 << 20, 400}, {8 << 20, 400}, {9 << 20, 350}, {16 << 20, 200},
		{18 << 20, 175}, {32 << 20, 100}, {42 << 20, 75}, {1 << 40, 75},
	} {
		if got := gcPercent(tt.liveBytes); got != tt.want {
			t.Errorf("gcPercent(%d) = %d, want %d", tt.liveBytes, got, tt.want)
		}
	}
}

// currentGCPercent returns the percentage that is set.
func currentGCPercent() int {
	percent := debug.SetGCPercent(100)
	debug.SetGCPercent(percent)
	return percent
}

// waitForGCPercent collects garbage until the percentage is want, for at most a minute.
func waitForGCPercent(t *testing.T, want int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
		runtime.GC()
		got := currentGCPercent()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the GC percentage is %d, want %d", got, want)
		}
	}
}

// The percentage follows the live heap, and stop restores it.
func TestTuneGC(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := currentGCPercent()
	stop := tuneGC()
	waitForGCPercent(t, maxGCPercent)
	liveBytes := make([]byte, 2*maxGarbageBytes)
	waitForGCPercent(t, minGCPercent)
	runtime.KeepAlive(liveBytes)
	liveBytes = nil
	waitForGCPercent(t, maxGCPercent)
	stop()
	for range 3 {
		runtime.GC()
	}
	if got := currentGCPercent(); got != before {
		t.Errorf("the GC percentage is %d after stop, want %d again", got, before)
	}
}

// If the operator has set GOGC or GOMEMLIMIT, tuneGC changes nothing.
func TestTuneGC_environment(t *testing.T) {
	for _, variable := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv("GOGC", "")
			t.Setenv("GOMEMLIMIT", "")
			t.Setenv(variable, "50")
			before := currentGCPercent()
			defer tuneGC()()
			if got := currentGCPercent(); got != before {
				t.Errorf("the GC percentage is %d, want %d as before", got, before)
			}
		})
	}
}
