package redisstore

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/cloakql/cloakql/internal/redistest"
	"github.com/cloakql/cloakql/store"
)

// A lossDetector notices another epoch and a lower count, but not calls that overtake each other.
func TestLossDetector(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		name     string
		observed [][2]epoch // before the call, and in its reply
		want     int64
	}{
		{"first call", [][2]epoch{{{}, {"a", 7}}}, 0},
		{"count grows", [][2]epoch{{{}, {"a", 7}}, {{"a", 7}, {"a", 8}}}, 0},
		{"other epoch", [][2]epoch{{{}, {"a", 7}}, {{"a", 7}, {"b", 9}}}, 1},
		{"lower count", [][2]epoch{{{}, {"a", 7}}, {{"a", 7}, {"a", 6}}}, 1},
		{"concurrent first calls", [][2]epoch{{{}, {"a", 2}}, {{}, {"a", 1}}}, 0},
		{"concurrent calls", [][2]epoch{{{}, {"a", 1}}, {{"a", 1}, {"a", 3}},
			{{"a", 1}, {"a", 2}}}, 0},
		{"noticed by concurrent calls", [][2]epoch{{{}, {"a", 7}}, {{"a", 7}, {"b", 1}},
			{{"a", 7}, {"b", 1}}, {{"a", 7}, {"b", 2}}, {{"b", 1}, {"b", 3}}}, 1},
		{"lower count, noticed by concurrent calls", [][2]epoch{{{}, {"a", 7}},
			{{"a", 7}, {"a", 3}}, {{"a", 7}, {"a", 4}}, {{"a", 3}, {"a", 5}}}, 1},
		{"twice", [][2]epoch{{{}, {"a", 7}}, {{"a", 7}, {"b", 1}}, {{"b", 1}, {"c", 1}}}, 2},
	} {
		var l lossDetector
		for _, epochs := range tt.observed {
			l.observe(epochs[0], epochs[1], slog.New(slog.DiscardHandler), now)
		}
		if got := l.count(); got != tt.want {
			t.Errorf("%s: %d losses, want %d", tt.name, got, tt.want)
		}
	}
}

// After a loss, Begin starts no call for as long as the lost data could have mattered.
func TestLossDetector_begin(t *testing.T) {
	for _, tt := range []struct{ longest, want time.Duration }{
		{time.Second, minLossTime}, {30 * time.Second, 30 * time.Second},
		{store.MaxCallTime, store.MaxCallTime},
	} {
		var l lossDetector
		now := time.Unix(1000, 0)
		for _, duration := range []time.Duration{tt.longest, time.Second} {
			if _, _, mayStart := l.begin(duration, now); !mayStart {
				t.Fatal("begin() = false before the loss, want true")
			}
		}
		l.observe(epoch{"a", 1}, epoch{"b", 1}, slog.New(slog.DiscardHandler), now)
		if _, _, mayStart := l.begin(1, now.Add(tt.want-1)); mayStart {
			t.Errorf("longest %v: begin() = true before %v, want false", tt.longest, tt.want)
		}
		if _, _, mayStart := l.begin(1, now.Add(tt.want)); !mayStart {
			t.Errorf("longest %v: begin() = false after %v, want true", tt.longest, tt.want)
		}
	}
}

// If Redis lost its data or the latest part of it, Begin fails and starts no call. Events.Read
// notices the loss too, and says that events were lost.
func TestCalls_loss(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		lose func(*redistest.Server, *Client)
		by   string // the operation that notices the loss
	}{
		{"all data", func(s *redistest.Server, _ *Client) { s.CLI("FLUSHALL") }, "Begin"},
		{"all data, Read", func(s *redistest.Server, _ *Client) { s.CLI("FLUSHALL") }, "Read"},
		{"all data, IsUsed", func(s *redistest.Server, _ *Client) { s.CLI("FLUSHALL") }, "IsUsed"},
		{"latest data", func(s *redistest.Server, c *Client) {
			s.CLI("HINCRBY", c.epochKey(), "count", "-2")
		}, "Begin"},
		{"latest data, Read", func(s *redistest.Server, c *Client) {
			s.CLI("HINCRBY", c.epochKey(), "count", "-2")
		}, "Read"},
		{"latest data, IsUsed", func(s *redistest.Server, c *Client) {
			s.CLI("HINCRBY", c.epochKey(), "count", "-2")
		}, "IsUsed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := redistest.Start(t)
			c := open(t, server.URL(), nil)
			s := c.Store()
			begin := func(n byte) error {
				_, err := s.Calls.Begin(t.Context(), store.CallKey{Subject: store.Key{n}},
					store.CallID{n}, time.Second, time.Second)
				return err
			}
			for n := range 3 {
				if err := begin(byte(n)); err != nil {
					t.Fatal(err)
				}
			}
			event := store.Event{Data: "x", Keep: time.Hour}
			if err := s.Events.Append(t.Context(), event); err != nil {
				t.Fatal(err)
			}
			batch, err := s.Events.Read(t.Context(), store.Cursor{})
			if err != nil {
				t.Fatal(err)
			}
			tt.lose(server, c)
			isUsed := func(n byte, want bool, wantErr error) {
				t.Helper()
				used, err := s.Calls.IsUsed(t.Context(), store.Key{n})
				if used != want || !errors.Is(err, wantErr) {
					t.Errorf("IsUsed() = %v, %v; want %v, %v", used, err, want, wantErr)
				}
			}
			if tt.by == "IsUsed" {
				isUsed(77, false, store.ErrDataLost)
			}
			if tt.by == "Read" {
				if _, err := s.Events.Read(t.Context(), batch.Cursor); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				if err := begin(9); !errors.Is(err, store.ErrDataLost) {
					t.Errorf("Begin() after the loss = %v, want %v", err, store.ErrDataLost)
				}
			}
			// Whether a subject was used before the loss isn't known.
			isUsed(77, false, store.ErrDataLost)
			isUsed(9, true, nil)
			// A call in flight has its lease again.
			key6 := store.CallKey{Subject: store.Key{6}}
			err = s.Calls.Renew(t.Context(), key6, store.CallID{6}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			call, err := s.Calls.Begin(t.Context(), key6, store.CallID{5}, time.Second, time.Second)
			if err != nil || call.State != store.CallInFlight {
				t.Errorf("Begin() = %+v, %v; want the call in flight", call, err)
			}
			key := calls{c}.callKey(store.CallKey{Subject: store.Key{9}})
			if server.CLI("EXISTS", key) != "0" {
				t.Error("Begin() failed, but started a call")
			}
			// A result that a process stores again is returned at once.
			key8 := store.CallKey{Subject: store.Key{8}}
			err = s.Calls.Finish(t.Context(), key8, store.CallID{7}, []byte("result"), store.Key{},
				time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			call, err = s.Calls.Begin(t.Context(), key8, store.CallID{8}, time.Second, time.Second)
			if err != nil || call.State != store.CallDone || string(call.Result) != "result" {
				t.Errorf("Begin() = %+v, %v; want the result", call, err)
			}
			if got := c.Stats().Losses; got != 1 {
				t.Errorf("%d losses, want 1", got)
			}
			c.losses.mu.Lock()
			c.losses.lostUntil = time.Time{}
			c.losses.mu.Unlock()
			if err := begin(9); err != nil {
				t.Errorf("Begin() after the time = %v", err)
			}
			isUsed(77, false, nil)
		})
	}
}

// A caller of Read learns that the store lost its data, also if only the latest part is lost.
func TestEvents_loss(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c := open(t, server.URL(), nil)
	events := c.Store().Events
	add := func(data ...string) {
		t.Helper()
		for _, data := range data {
			event := store.Event{Data: data, Keep: time.Hour}
			if err := events.Append(t.Context(), event); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(after store.Cursor, wantLost bool, want int) store.Cursor {
		t.Helper()
		batch, err := events.Read(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		if batch.Lost != wantLost || len(batch.Events) != want {
			t.Errorf("Read() = %+v, want Lost %t and %d events", batch, wantLost, want)
		}
		return batch.Cursor
	}
	add("a", "b", "c")
	cursor := read(store.Cursor{}, false, 3)

	// Redis restarts from a snapshot that has only the first event.
	positions := server.CLI("ZRANGE", c.key("e:positions"), "0", "0", "WITHSCORES")
	server.CLI("ZREM", c.key("e:positions"), "b", "c")
	server.CLI("ZREM", c.key("e:expiries"), "b", "c")
	server.CLI("HSET", c.key("e:latest"), "position", positions[len("a\n"):])
	cursor = read(cursor, true, 1)
	// Events that are added now come after every cursor.
	add("d")
	read(cursor, false, 1)

	server.CLI("FLUSHALL")
	cursor = read(cursor, true, 0)
	add("e")
	read(cursor, false, 1)
}
