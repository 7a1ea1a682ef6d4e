package keycloaktest_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// What a server may cost, so that every test can have one of its own.
const (
	maxStartBytes = 5 << 20 // allocated by a start, once the process has its keys
	maxLiveBytes  = 5 << 20 // held by a server that runs
)

// Bytes are the same on every machine; times aren't, and are for the benchmarks.
func TestStart_memory(t *testing.T) {
	file := localRealm(t)
	startLocal(t, file).Close() // makes the keys that servers share
	const n = 20
	var before, after, live runtime.MemStats
	servers := make([]*keycloaktest.Server, n)
	readMemStats(&before)
	for i := range servers {
		servers[i] = startLocal(t, file)
	}
	runtime.ReadMemStats(&after)
	readMemStats(&live)
	allocated := (after.TotalAlloc - before.TotalAlloc) / n
	held := (int64(live.HeapAlloc) - int64(before.HeapAlloc)) / n
	for _, kc := range servers {
		kc.Close()
	}
	t.Logf("a start allocates %d kB, and a server holds %d kB", allocated>>10, held>>10)
	if allocated > maxStartBytes {
		t.Errorf("a start allocates %d bytes, more than %d", allocated, maxStartBytes)
	}
	if held > maxLiveBytes {
		t.Errorf("a server that runs holds %d bytes, more than %d", held, maxLiveBytes)
	}
}

// settle reads the memory's state after everything that is unused is gone.
func readMemStats(stats *runtime.MemStats) {
	runtime.GC()
	runtime.GC() // what had a finalizer
	runtime.ReadMemStats(stats)
}

// A package may start thousands: nothing of a server that was closed may stay.
func TestClose_leaks(t *testing.T) {
	file := localRealm(t)
	// used starts a server, leaves all kinds of requests and connections at it, and closes it.
	used := func() {
		kc := startLocal(t, file)
		realm := kc.Realm("local")
		tokens, err := realm.SignIn("local-api", "alice")
		must(t, err)
		wantUserinfo(t, realm, tokens.AccessToken, "")
		kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Hang: true})
		kc.Fail(keycloaktest.Fault{Endpoint: "/token", Delay: time.Hour})
		ended := make(chan error)
		for _, endpoint := range []string{"/certs", "/token"} {
			go func() {
				_, err := do(newRequest(t, "POST", oidcURL(realm, endpoint), "grant_type=password"))
				ended <- err
			}()
		}
		waitFor(t, "both have come", func() bool {
			return kc.Count("/certs") == 1 && kc.Count("/token") == 1
		})
		kc.Close()
		for range 2 {
			if err := <-ended; err == nil {
				t.Error("a request was answered by a server that had closed")
			}
		}
	}
	used()
	var before, after runtime.MemStats
	readMemStats(&before)
	goroutines := runtime.NumGoroutine()
	const n = 30
	for range n {
		used()
	}
	// Some of the test's own may come and go; of 30 servers, not one may have left a goroutine
	// each.
	waitFor(t, "the goroutines are gone", func() bool {
		return runtime.NumGoroutine() < goroutines+n/2
	})
	readMemStats(&after)
	if left := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n; left > 50<<10 {
		t.Errorf("each server that was closed leaves %d bytes", left)
	}
}
