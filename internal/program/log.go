package program

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/cloakql/cloakql/settings"
)

// newLog returns a log that writes text if local is set, and JSON otherwise. In messages and
// errors, it replaces the names of Go fields with the names of settings. The JSON log buffers
// lines, as lineBuffer and flushingHandler document; flush writes the buffered lines.
func newLog(local bool, out io.Writer) (log *slog.Logger, flush func() error) {
	if local {
		return slog.New(settings.TranslateLog(slog.NewTextHandler(out, nil))),
			func() error { return nil }
	}
	buffer := &lineBuffer{out: out}
	handler := flushingHandler{slog.NewJSONHandler(buffer, nil), buffer}
	return slog.New(settings.TranslateLog(handler)), buffer.Flush
}

const (
	flushInterval  = 100 * time.Millisecond
	maxBufferBytes = 64 << 10
)

// A lineBuffer writes log lines to out, in batches if there are many, because one write for each
// request would take a tenth of the request's CPU time. If the last write was at least
// flushInterval ago, a line is written at once. Otherwise the line stays in the buffer until the
// interval is over or the buffer is full. If the process is killed, the lines in the buffer are
// lost. It is safe for concurrent use.
type lineBuffer struct {
	out io.Writer

	mu        sync.Mutex // guards the fields below, and writes to out
	lines     []byte
	lastWrite time.Time
	timer     *time.Timer // flushes lines; not nil while there are any
}

// Write adds one or more lines to the buffer. It returns an error only if it also writes the buffer
// to out, and that fails.
func (b *lineBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line...)
	wait := flushInterval - time.Since(b.lastWrite)
	if wait <= 0 || len(b.lines) >= maxBufferBytes {
		return len(line), b.flush()
	}
	if b.timer == nil {
		b.timer = time.AfterFunc(wait, func() { b.Flush() })
	}
	return len(line), nil
}

// Flush writes the lines in the buffer.
func (b *lineBuffer) Flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flush()
}

// flush is Flush for a caller that holds b.mu. It drops lines that out doesn't accept: keeping them
// would need memory without a bound.
func (b *lineBuffer) flush() error {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	if len(b.lines) == 0 {
		return nil
	}
	_, err := b.out.Write(b.lines)
	b.lines, b.lastWrite = b.lines[:0], time.Now()
	return err
}

// A flushingHandler flushes the buffer after each warning and error, because these may be the last
// lines before a crash.
type flushingHandler struct {
	slog.Handler
	buffer *lineBuffer
}

func (h flushingHandler) Handle(ctx context.Context, record slog.Record) error {
	err := h.Handler.Handle(ctx, record)
	if record.Level >= slog.LevelWarn {
		err = errors.Join(err, h.buffer.Flush())
	}
	return err
}

func (h flushingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return flushingHandler{h.Handler.WithAttrs(attrs), h.buffer}
}

func (h flushingHandler) WithGroup(name string) slog.Handler {
	return flushingHandler{h.Handler.WithGroup(name), h.buffer}
}
