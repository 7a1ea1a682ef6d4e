package redisstore

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/internal/redistest"
	"github.com/cloakql/cloakql/store"
)

var onlyTurn = store.TurnRequest{Key: store.Key{1}, MaxQueue: 1, MaxGroup: 1}

// expiryOf returns when the only place in the queue of onlyTurn expires, in microseconds since
// 1970.
func expiryOf(t *testing.T, s *shifter) int64 {
	t.Helper()
	key := s.client.key("t:01" + strings.Repeat("0", 30))
	for _, value := range s.redis.HGetAll(t.Context(), key).Val() {
		expires, err := strconv.ParseInt(strings.Split(value, " ")[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return expires
	}
	t.Fatal("no caller has a place")
	return 0
}

// A caller that has the turn renews its place.
func TestTurns_renewed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := open(t, server.URL(), nil)
	shifter := newShifter(t, server, client)
	leave, err := client.Store().Turns.Take(t.Context(), onlyTurn)
	if err != nil {
		t.Fatal(err)
	}
	first := expiryOf(t, shifter)
	eventually(t, "renewal", func() error {
		if expiryOf(t, shifter) == first {
			return errors.New("not renewed")
		}
		return nil
	})
	leave(0)
}

// The place of a process that died expires.
func TestTurns_expired(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	dead := open(t, server.URL(), nil)
	alive := open(t, server.URL(), func(c *Config) { c.Prefix = dead.config.Prefix })
	if _, err := dead.Store().Turns.Take(t.Context(), onlyTurn); err != nil {
		t.Fatal(err)
	}
	dead.Close() // it doesn't leave
	shifter := newShifter(t, server, alive)
	if _, err := alive.Store().Turns.Take(t.Context(), onlyTurn); err != store.ErrQueueFull {
		t.Errorf("Take() before the place has expired = %v, want %v", err, store.ErrQueueFull)
	}
	shifter.advance(placeTime)
	leave, err := alive.Store().Turns.Take(t.Context(), onlyTurn)
	if err != nil {
		t.Fatalf("Take() after %v = %v, want the turn", placeTime, err)
	}
	leave(0)
}
