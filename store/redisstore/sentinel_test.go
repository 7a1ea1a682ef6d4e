package redisstore

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cloakql/cloakql/internal/redistest"
)

// startSentinel starts a Sentinel that watches a server by the name "main", and returns its
// address. It calls the server down after a second.
func startSentinel(t *testing.T, server *redistest.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().(*net.TCPAddr)
	listener.Close()
	_, serverPort, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	config := fmt.Sprintf(`bind 127.0.0.1
port %d
dir %s
sentinel monitor main 127.0.0.1 %s 1
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 3000
`, addr.Port, t.TempDir(), serverPort)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", file, "--sentinel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return addr.String()
}

// With a Sentinel's URL, the client finds the master, also after a failover.
func TestSentinel(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	host, port, err := net.SplitHostPort(master.Addr())
	if err != nil {
		t.Fatal(err)
	}
	replica := redistest.Start(t, "--replicaof", host, port)
	addr := startSentinel(t, master)
	sentinel := redis.NewSentinelClient(&redis.Options{Addr: addr})
	defer sentinel.Close()
	eventually(t, "the Sentinel knows the replica", func() error {
		replicas, err := sentinel.Replicas(context.Background(), "main").Result()
		if err == nil && (len(replicas) == 0 || replicas[0]["master-link-status"] != "ok") {
			err = fmt.Errorf("the replicas are %v", replicas)
		}
		return err
	})
	client := open(t, "redis+sentinel://"+addr+"?master_name=main",
		func(c *Config) { c.Timeout = DefaultTimeout })
	eventually(t, "before the failover", func() error { return reserve(t, client) })
	if master.CLI("KEYS", client.key("b:*")) == "" {
		t.Error("the master has no buckets")
	}
	master.Kill()
	start := time.Now()
	eventually(t, "after the failover", func() error { return reserve(t, client) })
	t.Logf("calls succeeded %v after the master was killed",
		time.Since(start).Round(time.Millisecond))
	if replica.CLI("KEYS", client.key("b:*")) == "" {
		t.Error("the replica has no buckets")
	}
}
