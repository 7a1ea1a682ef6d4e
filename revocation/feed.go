package revocation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cloakql/cloakql/store"
)

const (
	// pollInterval is how often a Feed reads the events of other processes.
	pollInterval = 250 * time.Millisecond
	// appendTimeout limits how long Add waits for the store.
	appendTimeout = 300 * time.Millisecond
	readTimeout   = time.Second
	// staleAfter is how long the latest read may be ago until Status returns an error.
	staleAfter = 2 * time.Second
	// maxPending limits the ends that wait for the store.
	maxPending      = 1000
	feedLogInterval = time.Minute
)

// A Feed tells the Sets of several processes which sessions ended: each process adds what it learns
// with Add, and Start reads what the others have added, four times a second. Create it with
// NewFeed. It is safe for concurrent use.
//
// While the store is unavailable, the Set keeps what it knows, and Status returns an error. When
// the store is back, the Feed adds what it couldn't add. If the store has lost its data, the Feed
// adds all that its Set knows.
type Feed struct {
	set    *Set
	events store.Events
	log    *slog.Logger

	mu         sync.Mutex // guards the fields below
	pending    []End      // ends that the store doesn't have yet
	resend     bool       // the store may lack any end of the set
	lastRead   time.Time  // when the latest read succeeded, or NewFeed was called
	lastError  error      // of the latest read; nil if it succeeded
	lastLogged time.Time
	stop       context.CancelFunc // nil unless Start was called
	stopped    chan struct{}

	cursor store.Cursor // used only by the goroutine that Start starts
}

var errZeroFeed = errors.New("revocation: the zero Feed has no Set: make it with " +
	"revocation.NewFeed")

// NewFeed returns a Feed for a Set. log may be nil; it gets at most one line a minute while the
// store is unavailable.
func NewFeed(set *Set, events store.Events, log *slog.Logger) *Feed {
	if log == nil {
		log = slog.Default()
	}
	return &Feed{set: set, events: events, log: log, lastRead: time.Now()}
}

// Add adds an end to the Set and to the store. If the store is unavailable, Add waits for at most
// 300 ms, and the end is added when the store is back.
func (f *Feed) Add(end End) {
	if f.set == nil {
		return
	}
	if end.At.IsZero() {
		end.At = time.Now()
	}
	f.set.Add(end)
	ctx, cancel := context.WithTimeout(context.Background(), appendTimeout)
	defer cancel()
	if err := f.append(ctx, []End{end}); err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.pending) < maxPending {
			f.pending = append(f.pending, end)
		} else {
			f.resend, f.pending = true, nil
		}
		f.warn(err)
	}
}

// Start reads events until Stop is called. Further calls do nothing.
func (f *Feed) Start() {
	if f.set == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.stop, f.stopped = cancel, make(chan struct{})
	go f.run(ctx)
}

// Stop stops reading, and adds the ends that the store doesn't have yet, if it is available. A
// stopped Feed can't be started again.
func (f *Feed) Stop() {
	f.mu.Lock()
	stop, stopped := f.stop, f.stopped
	if stop == nil {
		f.stop = func() {}
	}
	f.mu.Unlock()
	if stopped != nil {
		stop()
		<-stopped
	}
}

// Status returns nil while the Set learns of the ends of other processes in time. Otherwise, it
// returns the error of the latest read, and since when the Set has learned nothing.
func (f *Feed) Status() error {
	if f.set == nil {
		return errZeroFeed
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lastError == nil || time.Since(f.lastRead) < staleAfter {
		return nil
	}
	return fmt.Errorf("sessions that ended at other processes since %s are unknown: %w",
		f.lastRead.UTC().Format(time.RFC3339), f.lastError)
}

func (f *Feed) run(ctx context.Context) {
	defer close(f.stopped)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		f.sync(ctx)
		select {
		case <-ctx.Done():
			// The process stops: tell the others what they don't know yet.
			flushCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
			defer cancel()
			f.flush(flushCtx)
			return
		case <-ticker.C:
		}
	}
}

// sync reads the new events, and adds what the store lacks.
func (f *Feed) sync(ctx context.Context) {
	for {
		more, err := f.read(ctx)
		if ctx.Err() != nil {
			return
		}
		f.mu.Lock()
		f.lastError = err
		if err == nil {
			f.lastRead = time.Now()
		} else {
			f.warn(err)
		}
		f.mu.Unlock()
		if err != nil {
			return
		}
		if !more {
			break
		}
	}
	f.flush(ctx)
}

// read reads one batch of events into the set.
func (f *Feed) read(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	batch, err := f.events.Read(ctx, f.cursor)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	f.resend = f.resend || batch.Lost
	f.mu.Unlock()
	if !batch.MissedUntil.IsZero() {
		// Not later than new tokens are issued: these must be accepted.
		until := batch.MissedUntil.Add(clockTolerance)
		if now := time.Now().Add(-endMargin); until.After(now) {
			until = now
		}
		f.set.MarkDropped(until)
	}
	for _, data := range batch.Events {
		if end, err := decodeEnd(data); err == nil {
			f.set.Add(end)
		}
	}
	f.cursor = batch.Cursor
	return batch.More, nil
}

// flush adds the pending ends to the store, or all ends of the set if the store may lack them.
func (f *Feed) flush(ctx context.Context) {
	f.mu.Lock()
	ends, resend := f.pending, f.resend
	f.pending, f.resend = nil, false
	f.mu.Unlock()
	if resend {
		ends = f.set.Ends()
	}
	for len(ends) > 0 {
		count := min(len(ends), store.MaxBatch)
		if err := f.append(ctx, ends[:count]); err != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			if resend || len(f.pending)+len(ends) > maxPending {
				f.resend, f.pending = true, nil
			} else {
				f.pending = append(ends, f.pending...)
			}
			f.warn(err)
			return
		}
		ends = ends[count:]
	}
}

// append adds ends to the store.
func (f *Feed) append(ctx context.Context, ends []End) error {
	// As long as any token may live: another process may know tokens that live longer than those
	// that this process has seen.
	keep := min(f.set.maxKeepTime()+clockTolerance, store.MaxEventTime)
	events := make([]store.Event, 0, len(ends))
	for _, end := range ends {
		if data := encodeEnd(end); len(data) <= store.MaxEventBytes {
			events = append(events, store.Event{Data: data, Keep: keep})
		}
	}
	if len(events) == 0 {
		return nil
	}
	return f.events.Append(ctx, events...)
}

// warn logs that the store is unavailable, at most once a minute. The caller holds mu.
func (f *Feed) warn(err error) {
	now := time.Now()
	if !f.lastLogged.IsZero() && now.Sub(f.lastLogged) < feedLogInterval {
		return
	}
	f.lastLogged = now
	f.log.Warn("the shared store of ended sessions is unavailable: this process doesn't learn of "+
		"sessions that end at other processes", "since", f.lastRead, "error", err)
}

// A storedEnd is an End as the store has it. Keys are short, because a store may have many.
type storedEnd struct {
	SessionID string `json:"sid,omitempty"`
	Subject   string `json:"sub,omitempty"`
	At        int64  `json:"at"` // in Unix seconds
	Exact     bool   `json:"exact,omitempty"`
}

// encodeEnd returns the event of an end. Equal ends have the same event.
func encodeEnd(end End) string {
	stored := storedEnd{SessionID: end.SessionID, At: end.At.Unix()}
	if end.SessionID == "" {
		stored.Subject = end.Subject
	} else {
		stored.Exact = end.Exact
	}
	data, _ := json.Marshal(stored) // can't fail
	return string(data)
}

func decodeEnd(data string) (End, error) {
	var stored storedEnd
	if err := json.Unmarshal([]byte(data), &stored); err != nil {
		return End{}, err
	}
	return End{SessionID: stored.SessionID, Subject: stored.Subject,
		At: time.Unix(stored.At, 0), Exact: stored.Exact}, nil
}
