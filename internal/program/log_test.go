package program

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A writeRecorder records each call of Write.
type writeRecorder struct {
	mu     sync.Mutex
	writes []string
	err    error // returned by Write
}

func (w *writeRecorder) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, string(text))
	return len(text), w.err
}

func (w *writeRecorder) calls() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.writes)
}

// The first line is written at once, and the lines of the next 100 ms with one write.
func TestNewLog_batches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &writeRecorder{}
		log, flush := newLog(false, out)
		for range 1000 {
			log.Info("request")
		}
		if out.calls() != 1 {
			t.Fatalf("%d writes at once, want 1, with the first line", out.calls())
		}
		time.Sleep(flushInterval)
		synctest.Wait()
		lines := strings.Count(strings.Join(out.writes, ""), "\n")
		if out.calls() != 2 || lines != 1000 {
			t.Fatalf("%d writes with %d lines after %v, want 2 with 1000", out.calls(), lines,
				flushInterval)
		}
		time.Sleep(time.Hour)
		log.Info("request")
		if out.calls() != 3 {
			t.Errorf("%d writes, want 3: a line after a pause is written at once", out.calls())
		}
		log.Info("last line")
		if flush(); out.calls() != 4 || !strings.Contains(out.writes[3], "last line") {
			t.Errorf("flush wrote %q, want the last line", out.writes[3:])
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if out.calls() != 4 {
			t.Errorf("%d writes after flush, want none", out.calls()-4)
		}
	})
}

// A warning is written at once, with the lines before it.
func TestNewLog_warnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, level := range []slog.Level{slog.LevelWarn, slog.LevelError} {
			out := &writeRecorder{}
			log, _ := newLog(false, out)
			log.Info("first")
			log.Info("second")
			log.With("a", 1).WithGroup("g").Log(t.Context(), level, "third", "b", 2)
			if out.calls() != 2 || !strings.Contains(out.writes[1], "second") ||
				!strings.Contains(out.writes[1], `"third","a":1,"g":{"b":2}`) {
				t.Errorf("%v: wrote %q, want the first line, then the two others", level,
					out.writes)
			}
		}
	})
}

// The buffer is bounded, also while writing fails.
func TestNewLog_bound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &writeRecorder{err: errors.New("disk full")}
		log, _ := newLog(false, out)
		text := strings.Repeat("x", 1000)
		for range 1000 {
			log.Info(text)
		}
		for _, write := range out.writes {
			if len(write) > maxBufferBytes+2000 {
				t.Fatalf("a write of %d bytes, want at most the buffer and a line", len(write))
			}
		}
		if want := 1000 * 1000 / maxBufferBytes; out.calls() < want {
			t.Errorf("%d writes, want at least %d: a full buffer is written", out.calls(), want)
		}
		synctest.Wait()
	})
}

// If several goroutines log at the same time, no line is lost, and no two lines are mixed.
func TestNewLog_concurrent(t *testing.T) {
	var out bytes.Buffer
	log, flush := newLog(false, &out)
	var loggers sync.WaitGroup
	for range 8 {
		loggers.Go(func() {
			for range 500 {
				log.Info("request")
			}
		})
	}
	loggers.Wait()
	flush()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 8*500 {
		t.Errorf("%d lines, want %d", len(lines), 8*500)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, `{"time":`) || !strings.HasSuffix(line, `"msg":"request"}`) {
			t.Fatalf("logged %q, want one record", line)
		}
	}
}

// BenchmarkNewLog measures the log line of a request.
func BenchmarkNewLog(b *testing.B) {
	log, _ := newLog(false, io.Discard)
	b.ReportAllocs()
	for b.Loop() {
		record := slog.NewRecord(time.Now(), slog.LevelInfo, "request", 0)
		record.AddAttrs(slog.String("operation", "query"), slog.String("name", "Me"),
			slog.Int("status", 200), slog.Duration("duration", time.Millisecond),
			slog.String("requestId", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
		log.Handler().Handle(b.Context(), record)
	}
}
