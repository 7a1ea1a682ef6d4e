package redisstore

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cloakql/cloakql/internal/redistest"
	"github.com/cloakql/cloakql/store"
)

// reserve makes a call that changes Redis.
func reserve(t *testing.T, client *Client) error {
	return operations[0].call(t.Context(), client.Store())
}

// A fault is something that happens to a server or to the network.
type fault struct {
	name       string
	start, end func(*redistest.Server, *redistest.Proxy, *redis.Client)
}

var faults = []fault{
	{"paused",
		func(s *redistest.Server, _ *redistest.Proxy, _ *redis.Client) { s.Pause() },
		func(s *redistest.Server, _ *redistest.Proxy, _ *redis.Client) { s.Resume() }},
	{"killed, restarted empty",
		func(s *redistest.Server, _ *redistest.Proxy, _ *redis.Client) { s.Kill() },
		func(s *redistest.Server, _ *redistest.Proxy, _ *redis.Client) { s.Restart() }},
	{"slow",
		func(_ *redistest.Server, p *redistest.Proxy, _ *redis.Client) {
			p.SetDelay(500 * time.Millisecond)
		},
		func(_ *redistest.Server, p *redistest.Proxy, _ *redis.Client) { p.Restore() }},
	{"connections reset",
		func(_ *redistest.Server, p *redistest.Proxy, _ *redis.Client) { p.Cut() },
		func(_ *redistest.Server, p *redistest.Proxy, _ *redis.Client) { p.Restore() }},
	{"packets dropped",
		func(_ *redistest.Server, p *redistest.Proxy, _ *redis.Client) { p.Blackhole() },
		func(_ *redistest.Server, p *redistest.Proxy, _ *redis.Client) { p.Restore() }},
	{"other password",
		func(_ *redistest.Server, _ *redistest.Proxy, admin *redis.Client) {
			admin.ConfigSet(context.Background(), "requirepass", "other")
			admin.ClientKillByFilter(context.Background(), "TYPE", "normal", "SKIPME", "yes")
		},
		func(_ *redistest.Server, _ *redistest.Proxy, admin *redis.Client) {
			admin.ConfigSet(context.Background(), "requirepass", "")
		}},
}

// During a fault, every call fails in time with store.ErrUnavailable. After the first one, calls
// aren't sent. After the fault, calls succeed again. go test -v prints the times.
func TestFaults(t *testing.T) {
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			testFault(t, fault)
		})
	}
}

func testFault(t *testing.T, fault fault) {
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	client := open(t, server.URLThrough(proxy), func(c *Config) { c.Timeout = DefaultTimeout })
	admin := someone(t, server)
	if err := admin.Ping(t.Context()).Err(); err != nil { // connects, while there is no password
		t.Fatal(err)
	}
	eventually(t, "before the fault", func() error { return reserve(t, client) })

	fault.start(server, proxy, admin)
	start := time.Now()
	var err error
	for err == nil && time.Since(start) < time.Minute { // a call may have been in flight
		start = time.Now()
		err = reserve(t, client)
	}
	elapsed := time.Since(start)
	if !errors.Is(err, store.ErrUnavailable) || err.Error() != store.ErrUnavailable.Error() {
		t.Errorf("the first call = %v, want %v", err, store.ErrUnavailable)
	}
	if elapsed > 10*time.Second { // the timeout is 250 ms, but the machine may be busy
		t.Errorf("the first call took %v", elapsed)
	}
	before := client.Stats()
	for _, operation := range operations {
		err := operation.call(t.Context(), client.Store())
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s = %v, want %v", operation.name, err, store.ErrUnavailable)
		}
	}
	if err := client.Store().Check(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Check() = %v, want %v", err, store.ErrUnavailable)
	}
	if after := client.Stats(); after.Refused == before.Refused {
		t.Errorf("the counts are %+v, want calls that weren't sent", after)
	}

	fault.end(server, proxy, admin)
	start = time.Now()
	eventually(t, "after the fault", func() error { return reserve(t, client) })
	t.Logf("the first call failed after %v; calls succeeded %v after the fault",
		elapsed.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	if err := client.Store().Check(t.Context()); err != nil {
		t.Errorf("Check() after the fault = %v", err)
	}
}

// If Redis's memory is full, calls that write fail, and those that only read succeed.
func TestFaults_memoryFull(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--maxmemory", "8mb", "--maxmemory-policy", "noeviction")
	client := open(t, server.URL(), nil)
	s := client.Store()
	const text = "{me{username}}"
	if err := s.Documents.Put(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	key, id := store.CallKey{Subject: store.Key{1}}, store.CallID{1}
	finishCall(t, s.Calls, key, id, "result")
	checkRead := func() {
		t.Helper()
		if _, err := s.Events.Read(t.Context(), store.Cursor{}); err != nil {
			t.Errorf("Events.Read() = %v, want nil", err)
		}
		document := store.DocumentID(sha256.Sum256([]byte(text)))
		if got, _, err := s.Documents.Get(t.Context(), document); err != nil || got != text {
			t.Errorf("Documents.Get() = %q, %v, want the text", got, err)
		}
		call, err := s.Calls.Wait(t.Context(), key, id)
		if err != nil || string(call.Result) != "result" {
			t.Errorf("Calls.Wait() = %+v, %v, want the result", call, err)
		}
	}
	checkRead()
	server.CLI("CONFIG", "SET", "maxmemory", "1")
	for _, operation := range operations {
		err := operation.call(t.Context(), s)
		switch operation.name {
		case "Buckets.Reserve", "Calls.Begin", "Calls.MarkUsed", "Documents.Put", "Events.Append":
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s = %v, want %v", operation.name, err, store.ErrUnavailable)
			}
		}
	}
	checkRead()
	if err := s.Check(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Check() = %v, want %v", err, store.ErrUnavailable)
	}
	if got := client.Stats().Refused; got != 0 {
		t.Errorf("%d calls weren't sent, want 0", got)
	}
	server.CLI("CONFIG", "SET", "maxmemory", "0")
	if err := reserve(t, client); err != nil {
		t.Errorf("Reserve() after the memory was full = %v", err)
	}
}

// With TLS, the server's certificate is verified.
func TestFaults_tls(t *testing.T) {
	t.Parallel()
	server := redistest.Config{TLS: true, Password: "hunter2"}.Start(t)
	certificate, err := os.ReadFile(server.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	trusted := open(t, server.URL(), func(c *Config) { c.TLS = &tls.Config{RootCAs: roots} })
	if err := reserve(t, trusted); err != nil {
		t.Errorf("with the authority's certificate: %v", err)
	}
	for _, tt := range []struct {
		name, url string
		roots     *x509.CertPool
		wantLog   string
	}{
		{"without the authority's certificate", server.URL(), x509.NewCertPool(), "x509: "},
		{"wrong password", withPassword(server.URL(), "hunter3"), roots, "WRONGPASS"},
		{"no password", withPassword(server.URL(), ""), roots, "unauthenticated"},
		{"without TLS", strings.Replace(server.URL(), "rediss", "redis", 1), nil, ""},
	} {
		var log lockedBuffer
		client := open(t, tt.url, func(c *Config) {
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
			if tt.roots != nil {
				c.TLS = &tls.Config{RootCAs: tt.roots}
			}
		})
		if err := reserve(t, client); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, want %v", tt.name, err, store.ErrUnavailable)
		}
		if got := log.String(); !strings.Contains(got, "the shared store is unavailable") ||
			!strings.Contains(got, tt.wantLog) || strings.Contains(got, "hunter") {
			t.Errorf("%s: the log is %q, want %q in it and no password", tt.name, got, tt.wantLog)
		}
	}
}

// Many faults leave no goroutines and no connections.
func TestFaults_leaks(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	before := runtime.NumGoroutine()
	client := open(t, server.URLThrough(proxy), func(c *Config) {
		c.Timeout, c.PoolSize = 20*time.Millisecond, 8
	})
	client.breaker.interval = 10 * time.Millisecond
	start := []func(){proxy.Cut, proxy.Blackhole, func() { proxy.SetDelay(time.Second) },
		server.Pause, server.Kill}
	end := []func(){proxy.Restore, proxy.Restore, proxy.Restore, server.Resume, server.Restart}
	for n := range 40 {
		fault := n % len(start)
		start[fault]()
		callDuringFault(t, client)
		end[fault]()
		eventually(t, "after a fault", func() error { return reserve(t, client) })
	}
	t.Logf("the counts are %+v", client.Stats())
	eventually(t, "connections", func() error {
		if open := proxy.OpenConns(); open > 8 {
			return fmt.Errorf("%d connections are open, want at most 8", open)
		}
		return nil
	})
	checkLeaks(t, client, server, before)
}

// callDuringFault makes many calls from several goroutines, and ignores their errors.
func callDuringFault(t *testing.T, client *Client) {
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for range 5 {
				for _, operation := range operations {
					operation.call(t.Context(), client.Store())
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	callers.Wait()
}

// checkLeaks closes a client, and waits until its connections and all but a number of goroutines
// are gone.
func checkLeaks(t *testing.T, client *Client, server *redistest.Server, goroutines int) {
	t.Helper()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, "no connections", func() error {
		if list := server.CLI("CLIENT", "LIST"); strings.Contains(list, "\n") {
			return fmt.Errorf("Redis has more than this connection:\n%s", list)
		}
		return nil
	})
	eventually(t, "no goroutines", func() error {
		if count := runtime.NumGoroutine(); count > goroutines {
			stacks := make([]byte, 1<<20)
			return fmt.Errorf("%d goroutines, want at most %d\n%s", count, goroutines,
				stacks[:runtime.Stack(stacks, true)])
		}
		return nil
	})
}
