package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloakql/cloakql/store"
)

// EventsRoom is how many events an Events under test has room for. It is more than two batches.
const EventsRoom = 2*store.MaxBatch + 500

// Events is a store.Events under test. It has room for EventsRoom events.
type Events struct {
	Store store.Events

	// Advance moves the store's clock forward.
	Advance func(time.Duration)
}

// RunEvents tests an implementation of store.Events. It calls open before each test. open must
// return a new, empty store. The store's clock may run by itself.
func RunEvents(t *testing.T, open func(t *testing.T) Events) {
	for _, tt := range []struct {
		name string
		run  func(*eventsTest)
	}{
		{"Read/empty", (*eventsTest).testEmpty},
		{"Read/order", (*eventsTest).testOrder},
		{"Read/batches", (*eventsTest).testBatches},
		{"Read/other epoch", (*eventsTest).testOtherEpoch},
		{"Append/again", (*eventsTest).testAgain},
		{"Append/again, longer or shorter", (*eventsTest).testKeepLonger},
		{"Append/expiry", (*eventsTest).testExpiry},
		{"Append/full", (*eventsTest).testFull},
		{"Append/full of expired events", (*eventsTest).testFullOfExpired},
		{"Append/out of bounds", (*eventsTest).testOutOfBounds},
		{"Append/largest", (*eventsTest).testLargest},
		{"Append/concurrent", (*eventsTest).testConcurrent},
		{"done context", (*eventsTest).testDoneContext},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(&eventsTest{Events: open(t), T: t}) })
	}
}

// An eventsTest is a running test and the store that it tests.
type eventsTest struct {
	Events
	*testing.T
}

// event returns an event that is kept for an hour, a different one for each n.
func event(n int) store.Event { return store.Event{Data: fmt.Sprint("event ", n), Keep: time.Hour} }

// eventsFrom returns the events with numbers from first on.
func eventsFrom(first, count int) []store.Event {
	var events []store.Event
	for n := range count {
		events = append(events, event(first+n))
	}
	return events
}

// dataOf returns the Data of events.
func dataOf(events []store.Event) []string {
	var data []string
	for _, event := range events {
		data = append(data, event.Data)
	}
	return data
}

// add calls Append, which must not return an error.
func (e *eventsTest) add(events ...store.Event) {
	e.Helper()
	if err := e.Store.Append(e.Context(), events...); err != nil {
		e.Fatal(err)
	}
}

// read calls Read, which must not return an error or lose events.
func (e *eventsTest) read(after store.Cursor) store.Batch {
	e.Helper()
	batch, err := e.Store.Read(e.Context(), after)
	if err != nil {
		e.Fatal(err)
	}
	if batch.Lost {
		e.Fatalf("Read(%+v) says that the store lost its data", after)
	}
	return batch
}

// checkRead checks which events there are after a cursor, and returns the cursor after them.
func (e *eventsTest) checkRead(after store.Cursor, want ...store.Event) store.Cursor {
	e.Helper()
	batch := e.read(after)
	if got, want := batch.Events, dataOf(want); !slices.Equal(got, want) {
		e.Errorf("Read() returned %d events: %.100q, want %d: %.100q", len(got), got, len(want),
			want)
	}
	if batch.More {
		e.Error("Read() says that there are further events")
	}
	return batch.Cursor
}

func (e *eventsTest) testEmpty() {
	cursor := e.checkRead(store.Cursor{})
	if cursor.Epoch == "" {
		e.Error("the cursor has no epoch")
	}
	if next := e.checkRead(cursor); next != cursor {
		e.Errorf("the cursor changed from %+v to %+v without an event", cursor, next)
	}
	e.add()
	e.checkRead(cursor)
}

func (e *eventsTest) testOrder() {
	e.add(event(3), event(1))
	cursor := e.checkRead(store.Cursor{}, event(3), event(1))
	e.add(event(2))
	e.add(event(0))
	cursor = e.checkRead(cursor, event(2), event(0))
	e.checkRead(cursor)
	e.checkRead(store.Cursor{}, event(3), event(1), event(2), event(0))
	e.checkRead(store.Cursor{Epoch: cursor.Epoch}, event(3), event(1), event(2), event(0))
}

func (e *eventsTest) testBatches() {
	var want []string
	for n := range 2 {
		events := eventsFrom(n*store.MaxBatch, store.MaxBatch)
		e.add(events...)
		want = append(want, dataOf(events)...)
	}
	e.add(event(2 * store.MaxBatch))
	want = append(want, event(2*store.MaxBatch).Data)
	var got []string
	batch := store.Batch{More: true}
	for batch.More {
		batch = e.read(batch.Cursor)
		if len(batch.Events) > store.MaxBatch {
			e.Fatalf("Read() returned %d events, want at most %d", len(batch.Events),
				store.MaxBatch)
		}
		got = append(got, batch.Events...)
	}
	if !slices.Equal(got, want) {
		e.Errorf("got %d events, want %d in the order in which they were added", len(got),
			len(want))
	}
}

func (e *eventsTest) testOtherEpoch() {
	e.add(event(1), event(2))
	cursor := e.checkRead(store.Cursor{}, event(1), event(2))
	cursor.Epoch = "other"
	batch, err := e.Store.Read(e.Context(), cursor)
	if err != nil {
		e.Fatal(err)
	}
	if !batch.Lost || len(batch.Events) != 2 {
		e.Errorf("Read() of a cursor with another epoch = %+v, want Lost to be set, and all events",
			batch)
	}
	e.checkRead(batch.Cursor)
}

func (e *eventsTest) testAgain() {
	e.add(event(1), event(2), event(1))
	cursor := e.checkRead(store.Cursor{}, event(1), event(2))
	e.add(event(2), event(1))
	e.checkRead(cursor)
	e.checkRead(store.Cursor{}, event(1), event(2))
}

func (e *eventsTest) testKeepLonger() {
	longer, shorter := event(1), event(2)
	e.add(event(1), event(2))
	longer.Keep, shorter.Keep = 3*time.Hour, time.Minute
	e.add(longer, shorter)
	e.Advance(30 * time.Minute)
	e.checkRead(store.Cursor{}, event(1), event(2))
	e.Advance(time.Hour)
	e.checkRead(store.Cursor{}, event(1))
	e.Advance(2 * time.Hour)
	e.checkRead(store.Cursor{})
}

func (e *eventsTest) testExpiry() {
	short := event(2)
	short.Keep = time.Minute
	e.add(event(1), short, event(3))
	cursor := e.checkRead(store.Cursor{}, event(1), event(2), event(3))
	e.Advance(2 * time.Minute)
	e.checkRead(store.Cursor{}, event(1), event(3))
	e.checkRead(cursor)
	e.add(event(2)) // a new event
	e.checkRead(cursor, event(2))
	e.checkRead(store.Cursor{}, event(1), event(3), event(2))
	e.Advance(2 * time.Hour)
	cursor = e.checkRead(store.Cursor{})
	e.add(event(1))
	e.checkRead(cursor, event(1))
}

// fill adds EventsRoom events with this Keep, with numbers from first on.
func (e *eventsTest) fill(first int, keep time.Duration) {
	e.Helper()
	for n := 0; n < EventsRoom; n += 500 {
		events := eventsFrom(first+n, min(500, EventsRoom-n))
		for i := range events {
			events[i].Keep = keep
		}
		e.add(events...)
	}
}

// count returns the number of events.
func (e *eventsTest) count() int {
	e.Helper()
	count, batch := 0, store.Batch{More: true}
	for batch.More {
		batch = e.read(batch.Cursor)
		count += len(batch.Events)
	}
	return count
}

func (e *eventsTest) testFull() {
	start := time.Now()
	e.fill(0, time.Hour)
	full := e.read(store.Cursor{})
	if !full.MissedUntil.IsZero() {
		e.Errorf("MissedUntil is %v before an event was dropped", full.MissedUntil)
	}
	long := event(0) // the oldest
	long.Keep = 4 * time.Hour
	e.add(long)
	e.Advance(30 * time.Minute)
	e.add(eventsFrom(EventsRoom, 10)...)
	if count := e.count(); count != EventsRoom {
		e.Errorf("the store has %d events, want %d", count, EventsRoom)
	}
	batch := e.read(store.Cursor{})
	if first := batch.Events[0]; first != event(10).Data {
		e.Errorf("the oldest event is %q, want %q", first, event(10).Data)
	}
	min, max := start.Add(-time.Minute), time.Now().Add(time.Minute)
	if got := batch.MissedUntil; got.Before(min) || got.After(max) {
		e.Errorf("MissedUntil is %v, want from %v to %v: when the event was added", got, min, max)
	}
	for cursor := full.Cursor; ; {
		batch := e.read(cursor)
		if !batch.MissedUntil.IsZero() {
			e.Errorf("MissedUntil is %v for a caller that read all events", batch.MissedUntil)
		}
		if cursor = batch.Cursor; !batch.More {
			break
		}
	}
	e.Advance(5 * time.Hour)
	if batch := e.read(store.Cursor{}); !batch.MissedUntil.IsZero() {
		e.Errorf("MissedUntil is %v although the dropped events would have expired",
			batch.MissedUntil)
	}
}

func (e *eventsTest) testFullOfExpired() {
	e.fill(0, time.Minute)
	e.Advance(2 * time.Minute)
	e.fill(EventsRoom, time.Hour)
	if batch := e.read(store.Cursor{}); !batch.MissedUntil.IsZero() {
		e.Errorf("MissedUntil is %v, want none: only expired events were removed",
			batch.MissedUntil)
	}
	if count := e.count(); count != EventsRoom {
		e.Errorf("the store has %d events, want %d", count, EventsRoom)
	}
}

func (e *eventsTest) testOutOfBounds() {
	for _, invalid := range []store.Event{
		{}, {Data: "no Keep"}, {Keep: time.Hour}, {Data: "short", Keep: time.Second - 1},
		{Data: "long", Keep: store.MaxEventTime + 1}, {Data: "negative", Keep: -time.Hour},
		{Data: strings.Repeat("x", store.MaxEventBytes+1), Keep: time.Hour},
	} {
		if err := e.Store.Append(e.Context(), event(1), invalid); err == nil {
			e.Errorf("Append() of %d bytes with Keep %v succeeded, want an error",
				len(invalid.Data), invalid.Keep)
		}
	}
	if err := e.Store.Append(e.Context(), eventsFrom(0, store.MaxBatch+1)...); err == nil {
		e.Errorf("Append() of %d events succeeded, want an error", store.MaxBatch+1)
	}
	e.checkRead(store.Cursor{})
}

func (e *eventsTest) testLargest() {
	large := store.Event{Data: strings.Repeat("\xff\x00", store.MaxEventBytes/2),
		Keep: store.MaxEventTime}
	e.add(large)
	e.checkRead(store.Cursor{}, large)
	e.Advance(store.MaxEventTime - time.Hour)
	e.checkRead(store.Cursor{}, large)
}

func (e *eventsTest) testConcurrent() {
	const writers, perWriter = 8, 25
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			for i := range perWriter {
				// Each event is added by two writers.
				if err := e.Store.Append(e.Context(), event(n/2*perWriter+i)); err != nil {
					e.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	seenCount := map[string]int{}
	var cursor store.Cursor
	for isDone := false; !isDone; {
		select {
		case <-done:
			isDone = true // read once more
		default:
		}
		batch := e.read(cursor)
		for _, data := range batch.Events {
			seenCount[data]++
		}
		cursor = batch.Cursor
	}
	if len(seenCount) != writers/2*perWriter {
		e.Errorf("the reader got %d events, want %d", len(seenCount), writers/2*perWriter)
	}
	for data, count := range seenCount {
		if count != 1 {
			e.Errorf("the reader got %q %d times, want once", data, count)
		}
	}
}

func (e *eventsTest) testDoneContext() {
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	if err := e.Store.Append(ctx, event(1)); !errors.Is(err, context.Canceled) {
		e.Errorf("Append() = %v, want %v", err, context.Canceled)
	}
	if _, err := e.Store.Read(ctx, store.Cursor{}); !errors.Is(err, context.Canceled) {
		e.Errorf("Read() = %v, want %v", err, context.Canceled)
	}
	e.checkRead(store.Cursor{})
}
