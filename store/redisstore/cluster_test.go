package redisstore

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql/internal/redistest"
	"github.com/cloakql/cloakql/store"
)

// A cluster is available again after its node was killed or didn't respond.
func TestCluster_faults(t *testing.T) {
	t.Parallel()
	server := redistest.Config{Cluster: true}.Start(t)
	client := open(t, withSuffix(server.URL(), "+cluster"),
		func(c *Config) { c.Timeout = DefaultTimeout })
	for _, fault := range []struct {
		name       string
		start, end func()
	}{{"paused", server.Pause, server.Resume}, {"killed", server.Kill, server.Restart}} {
		eventually(t, "before the fault", func() error { return reserve(t, client) })
		fault.start()
		start := time.Now()
		if err := reserve(t, client); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, want %v", fault.name, err, store.ErrUnavailable)
		}
		elapsed := time.Since(start)
		fault.end()
		start = time.Now()
		eventually(t, "after the fault", func() error { return reserve(t, client) })
		t.Logf("%s: the call failed after %v; calls succeeded %v after the fault", fault.name,
			elapsed.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	}
}

// Faults of a cluster leave no goroutines and no connections.
func TestCluster_leaks(t *testing.T) {
	server := redistest.Config{Cluster: true}.Start(t)
	before := runtime.NumGoroutine()
	client := open(t, withSuffix(server.URL(), "+cluster"), func(c *Config) {
		c.Timeout, c.PoolSize = 20*time.Millisecond, 8
	})
	client.breaker.interval = 10 * time.Millisecond
	for range 5 {
		server.Pause()
		callDuringFault(t, client)
		server.Resume()
		eventually(t, "after a fault", func() error { return reserve(t, client) })
	}
	server.Kill()
	callDuringFault(t, client)
	server.Restart()
	eventually(t, "after a fault", func() error { return reserve(t, client) })
	checkLeaks(t, client, server, before)
}

// A script that may have run isn't sent again.
func TestCluster_notRepeated(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var scripts atomic.Int32
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveCluster(conn, &scripts)
		}
	}()
	client := open(t, "redis+cluster://"+listener.Addr().String(), nil)
	if err := reserve(t, client); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Reserve() = %v, want %v", err, store.ErrUnavailable)
	}
	if got := scripts.Load(); got != 1 {
		t.Errorf("the script was sent %d times, want once", got)
	}
}

// serveCluster responds like the only node of a cluster, but closes the connection when it gets a
// script.
func serveCluster(conn net.Conn, scripts *atomic.Int32) {
	defer conn.Close()
	addr := conn.LocalAddr().(*net.TCPAddr)
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		switch strings.ToLower(lines.Text()) {
		case "evalsha", "eval":
			scripts.Add(1)
			return
		case "slots":
			fmt.Fprintf(conn, "*1\r\n*3\r\n:0\r\n:16383\r\n"+
				"*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$2\r\nid\r\n", addr.Port)
		case "hello", "command":
			conn.Write([]byte("-ERR unknown command\r\n"))
		}
	}
}
