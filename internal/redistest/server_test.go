package redistest

import (
	"fmt"
	"net"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A server accepts commands until it is paused or killed. After Restart, it is empty.
func TestServer(t *testing.T) {
	s := Start(t, "--maxmemory", "8mb")
	if got := s.CLI("CONFIG", "GET", "maxmemory"); !strings.HasSuffix(got, "8388608") {
		t.Errorf("maxmemory is %q, want 8388608", got)
	}
	if want := "redis://" + s.Addr(); s.URL() != want {
		t.Errorf("the URL is %s, want %s", s.URL(), want)
	}
	s.CLI("SET", "a", "1")
	s.Pause()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := exchange(conn, 50*time.Millisecond); err == nil {
		t.Error("a paused server responds")
	}
	s.Resume()
	if got := s.CLI("GET", "a"); got != "1" {
		t.Errorf("after a pause, a is %q, want 1", got)
	}
	addr := s.Addr()
	s.Kill()
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("a killed server accepts connections")
	}
	s.Kill() // does nothing
	s.Restart()
	if s.Addr() != addr {
		t.Errorf("the address is %s after a restart, want %s", s.Addr(), addr)
	}
	if got := s.CLI("GET", "a"); got != "" {
		t.Errorf("after a restart, a is %q, want nothing", got)
	}
}

// A Monitor records commands of clients, but not those of scripts.
func TestServer_Monitor(t *testing.T) {
	s := Start(t)
	m := s.Monitor()
	s.CLI("SET", "a", "1")
	s.CLI("EVAL", "return redis.call('GET', 'a')", "0")
	s.CLI("GET", "a")
	want := []string{`"SET" "a" "1"`, `"EVAL" "return redis.call('GET', 'a')" "0"`, `"GET" "a"`}
	if got := m.Commands(); !slices.Equal(got, want) {
		t.Errorf("the commands are %q, want %q", got, want)
	}
	if got := m.Commands(); len(got) != 0 {
		t.Errorf("the second call returned %q, want nothing", got)
	}
}

// A server with a password refuses clients without it.
func TestServer_password(t *testing.T) {
	s := Config{Password: "pass/word"}.Start(t)
	if got := s.CLI("PING"); got != "PONG" {
		t.Errorf("PING with the password: %q, want PONG", got)
	}
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if password, _ := u.User.Password(); password != "pass/word" {
		t.Errorf("the URL has the password %q, want pass/word", password)
	}
	s.SetPassword("another")
	if got := s.CLI("PING"); got != "PONG" {
		t.Errorf("PING with the new password: %q, want PONG", got)
	}
	s.config.Password = "wrong"
	if out, err := s.tryCLI("PING"); err == nil {
		t.Errorf("PING with a wrong password: %q, want an error", out)
	}
}

// A server with TLS has a certificate of its authority, and refuses clients without TLS.
func TestServer_tls(t *testing.T) {
	s := Config{TLS: true}.Start(t)
	if !strings.HasPrefix(s.URL(), "rediss://127.0.0.1:") {
		t.Errorf("the URL is %s, want the scheme rediss", s.URL())
	}
	if got := s.CLI("PING"); got != "PONG" { // redis-cli verifies the certificate
		t.Errorf("PING: %q, want PONG", got)
	}
	s.config.TLS = false
	if out, err := s.tryCLI("PING"); err == nil {
		t.Errorf("PING without TLS: %q, want an error", out)
	}
}

// A server in cluster mode has all slots, also after Restart.
func TestServer_cluster(t *testing.T) {
	s := Config{Cluster: true}.Start(t)
	for restarted := range 2 {
		if restarted == 1 {
			s.Restart()
		}
		if got := s.CLI("SET", "a", "1"); got != "OK" {
			t.Errorf("SET: %q, want OK", got)
		}
		if got := s.CLI("CLUSTER", "INFO"); !strings.Contains(got, "cluster_slots_ok:16384") {
			t.Errorf("CLUSTER INFO is %s, want 16384 slots", got)
		}
	}
}

// Without redis-server, the test is skipped or, if TEST_REDIS is set, fails.
func TestStart_notInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for value, want := range map[string]string{"": "skipped: redis-server isn't installed",
		"1": "failed: redis-server isn't installed, and TEST_REDIS is set"} {
		t.Setenv("TEST_REDIS", value)
		tb := &fakeTB{TB: t}
		done := make(chan struct{})
		go func() { defer close(done); Start(tb) }()
		if <-done; !strings.HasPrefix(tb.outcome, want) {
			t.Errorf("TEST_REDIS=%s: %q, want %q", value, tb.outcome, want)
		}
	}
}

// A fakeTB records why a test was skipped or failed.
type fakeTB struct {
	testing.TB
	outcome string
}

func (tb *fakeTB) Helper() {}

func (tb *fakeTB) Skipf(format string, args ...any) {
	tb.outcome = "skipped: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (tb *fakeTB) Fatalf(format string, args ...any) {
	tb.outcome = "failed: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// exchange sends PING over a connection, and returns an error if there is no response in time.
func exchange(conn net.Conn, timeout time.Duration) error {
	conn.SetDeadline(time.Now().Add(timeout))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	response := make([]byte, len("+PONG\r\n"))
	if _, err := conn.Read(response); err != nil {
		return err
	}
	if string(response) != "+PONG\r\n" {
		return fmt.Errorf("the response is %q", response)
	}
	return nil
}

// A server's process ends with its test.
func TestServer_cleanup(t *testing.T) {
	requireRedis(t)
	pid := 0
	t.Run("test", func(t *testing.T) { s := Start(t); pid = s.PID(); s.Pause() })
	if pid == 0 {
		t.Fatal("the server didn't start")
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("redis-server is still running")
	}
}
