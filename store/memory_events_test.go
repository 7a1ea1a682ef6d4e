package store_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql/store"
	"github.com/cloakql/cloakql/store/storetest"
)

// MemoryEvents fulfills the contract of Events.
func TestMemoryEvents(t *testing.T) {
	storetest.RunEvents(t, func(*testing.T) storetest.Events {
		var offset atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		return storetest.Events{
			Store:   &store.MemoryEvents{MaxEvents: storetest.EventsRoom, Now: now},
			Advance: func(d time.Duration) { offset.Add(int64(d)) },
		}
	})
}
