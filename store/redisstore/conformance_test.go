package redisstore

import (
	"testing"

	"github.com/cloakql/cloakql/internal/redistest"
	"github.com/cloakql/cloakql/store"
	"github.com/cloakql/cloakql/store/storetest"
)

// The store in Redis fulfills the contract of each interface.
func TestConformance(t *testing.T) {
	t.Parallel()
	runSuites(t, redistest.Start(t), "")
}

// The same is true in a cluster.
func TestConformance_cluster(t *testing.T) {
	t.Parallel()
	runSuites(t, redistest.Config{Cluster: true}.Start(t), "+cluster")
}

// runSuites runs the suites of storetest. The URL of the server gets a suffix of its scheme.
func runSuites(t *testing.T, server *redistest.Server, suffix string) {
	url := withSuffix(server.URL(), suffix)
	t.Run("Buckets", func(t *testing.T) {
		storetest.RunBuckets(t, func(t *testing.T) storetest.Buckets {
			client := open(t, url, nil)
			return storetest.Buckets{Store: client.Store().Buckets, ClockRuns: true,
				Advance: newShifter(t, server, client).advance}
		})
	})
	t.Run("Calls", func(t *testing.T) {
		storetest.RunCalls(t, func(t *testing.T, test func(t *testing.T, a, b store.Calls)) {
			a, b := openTwo(t, url)
			test(t, a.Calls, b.Calls)
		})
	})
	t.Run("Turns", func(t *testing.T) {
		storetest.RunTurns(t, func(t *testing.T, test func(t *testing.T, a, b store.Turns)) {
			a, b := openTwo(t, url)
			test(t, a.Turns, b.Turns)
		})
	})
	t.Run("Documents", func(t *testing.T) {
		storetest.RunDocuments(t, func(t *testing.T) storetest.Documents {
			const maxBytes = 2 * store.MaxDocumentBytes
			client := open(t, url, func(c *Config) { c.MaxDocumentBytes = maxBytes })
			return storetest.Documents{Store: client.Store().Documents, MaxBytes: maxBytes}
		})
	})
	t.Run("Events", func(t *testing.T) {
		storetest.RunEvents(t, func(t *testing.T) storetest.Events {
			client := open(t, url, func(c *Config) { c.MaxEvents = storetest.EventsRoom })
			return storetest.Events{Store: client.Store().Events,
				Advance: newShifter(t, server, client).advance}
		})
	})
}
