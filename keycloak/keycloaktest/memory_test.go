package keycloaktest_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// With these limits, every test of a program can have its own server.
const (
	maxStartBytes = 5 << 20 // allocated by Start, without the keys that all servers share
	maxLiveBytes  = 5 << 20 // in use by a running server
)

// Start allocates little memory. The duration of Start depends on the machine, so it has no test,
// only BenchmarkStart.
func TestStart_memory(t *testing.T) {
	file := localRealmFile(t)
	startServer(t, file).Close() // the first server generates the keys that all servers share
	const serverCount = 20
	var statsBefore, statsAfter, liveStats runtime.MemStats
	servers := make([]*keycloaktest.Server, serverCount)
	readMemStats(&statsBefore)
	for i := range servers {
		servers[i] = startServer(t, file)
	}
	runtime.ReadMemStats(&statsAfter)
	readMemStats(&liveStats)
	allocatedBytes := (statsAfter.TotalAlloc - statsBefore.TotalAlloc) / serverCount
	liveBytes := (int64(liveStats.HeapAlloc) - int64(statsBefore.HeapAlloc)) / serverCount
	for _, kc := range servers {
		kc.Close()
	}
	t.Logf("Start allocates %d kB, and a running server uses %d kB", allocatedBytes>>10,
		liveBytes>>10)
	if allocatedBytes > maxStartBytes {
		t.Errorf("Start allocates %d bytes, want at most %d", allocatedBytes, maxStartBytes)
	}
	if liveBytes > maxLiveBytes {
		t.Errorf("a running server uses %d bytes, want at most %d", liveBytes, maxLiveBytes)
	}
}

// readMemStats collects all garbage and reads the memory statistics.
func readMemStats(stats *runtime.MemStats) {
	runtime.GC()
	runtime.GC() // collects objects whose finalizer ran after the first collection
	runtime.ReadMemStats(stats)
}

// A closed server leaves no goroutines and no memory behind. Otherwise, a package whose tests start
// thousands of servers would run out of memory.
func TestClose_leaks(t *testing.T) {
	file := localRealmFile(t)
	// useServer starts a server, closes it while requests are in flight, and drops it.
	useServer := func() {
		kc := startServer(t, file)
		realm := kc.Realm("local")
		tokens, err := realm.SignIn("local-api", "alice")
		must(t, err)
		wantUserinfoOK(t, realm, tokens.AccessToken)
		kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Hang: true})
		kc.Fail(keycloaktest.Fault{Endpoint: "/token", Delay: time.Hour})
		errs := make(chan error)
		for _, endpoint := range []string{"/certs", "/token"} {
			go func() {
				_, err := do(newRequest(t, "POST", oidcURL(realm, endpoint), "grant_type=password"))
				errs <- err
			}()
		}
		waitFor(t, "both requests arrive", func() bool {
			return kc.Count("/certs") == 1 && kc.Count("/token") == 1
		})
		kc.Close()
		for range 2 {
			if err := <-errs; err == nil {
				t.Error("a closed server returns a response, want an error")
			}
		}
	}
	useServer()
	var statsBefore, statsAfter runtime.MemStats
	readMemStats(&statsBefore)
	goroutineCount := runtime.NumGoroutine()
	const serverCount = 30
	for range serverCount {
		useServer()
	}
	// A few goroutines of the test itself may still run. If each of the 30 servers left one behind,
	// there would be more than this limit.
	waitFor(t, "the goroutines of closed servers end", func() bool {
		return runtime.NumGoroutine() < goroutineCount+serverCount/2
	})
	readMemStats(&statsAfter)
	leakedBytes := (int64(statsAfter.HeapAlloc) - int64(statsBefore.HeapAlloc)) / serverCount
	if leakedBytes > 50<<10 {
		t.Errorf("each closed server leaves %d bytes, want at most %d", leakedBytes, 50<<10)
	}
}
