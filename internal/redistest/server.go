// Package redistest runs Redis servers for tests, and proxies that make their network fail. It is
// for tests only.
//
//	redis := redistest.Start(t)
//	proxy := redistest.NewProxy(t, redis.Addr())
//	proxy.SetDelay(500 * time.Millisecond)
//
// The servers are real: the command redis-server has to be installed. Without it, the test is
// skipped or, if the environment variable TEST_REDIS is set, fails.
package redistest

import (
	"bytes"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// timeout is how long Start waits for a server. It is long because the machine may be busy.
const timeout = time.Minute

// A Config describes a server.
type Config struct {
	Password string   // of the user default; empty for none
	TLS      bool     // accept only TLS, with a certificate of a new authority: see Server.CAFile
	Cluster  bool     // be a cluster of one node, which has all slots
	Args     []string // further arguments of redis-server, such as "--maxmemory", "8mb"
}

// A Server is a redis-server on 127.0.0.1. It stores nothing on disk. Its methods aren't safe for
// concurrent use.
type Server struct {
	t      testing.TB
	config Config
	dir    string
	port   string
	cmd    *exec.Cmd     // nil while the server isn't running
	exited chan struct{} // closed when cmd has ended
	log    *bytes.Buffer // what cmd has written; read it when cmd has ended
}

// Start starts a server with further arguments of redis-server, and stops it when the test ends.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return Config{Args: args}.Start(t)
}

// requireRedis skips the test if redis-server isn't installed. If TEST_REDIS is set, as in .ci/run,
// the test fails.
func requireRedis(t testing.TB) {
	t.Helper()
	for _, command := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(command); err == nil {
			continue
		}
		if os.Getenv("TEST_REDIS") != "" {
			t.Fatalf("%s isn't installed, and TEST_REDIS is set: install the package "+
				"redis-server", command)
		}
		t.Skipf("%s isn't installed: install the package redis-server", command)
	}
}

// Start starts a server, and stops it when the test ends.
func (c Config) Start(t testing.TB) *Server {
	t.Helper()
	requireRedis(t)
	s := &Server{t: t, config: c, dir: t.TempDir()}
	if c.TLS {
		writeCertificates(t, s.dir)
	}
	t.Cleanup(s.Kill)
	for tries := 0; !s.start(freePort(t)); tries++ {
		if tries == 10 { // until then, another program may have taken the port
			t.Fatalf("redis-server exited:\n%s", s.log)
		}
	}
	return s
}

// Addr returns the server's address, as host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", s.port) }

// URL returns the server's URL, with its password. Its scheme is redis or, with TLS, rediss.
func (s *Server) URL() string { return s.urlOf(s.Addr()) }

// URLThrough is like URL, but has the address of a proxy of the server.
func (s *Server) URLThrough(proxy *Proxy) string { return s.urlOf(proxy.Addr()) }

func (s *Server) urlOf(addr string) string {
	u := url.URL{Scheme: "redis", Host: addr}
	if s.config.TLS {
		u.Scheme = "rediss"
	}
	if s.config.Password != "" {
		u.User = url.UserPassword("default", s.config.Password)
	}
	return u.String()
}

// CAFile returns the name of the PEM file that has the certificate of the authority of a server
// with TLS. Clients must trust it.
func (s *Server) CAFile() string { return filepath.Join(s.dir, "ca.pem") }

// PID returns the ID of the server's process. It panics if the server isn't running.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Pause stops the process with SIGSTOP. The system still accepts connections for it, but it
// doesn't respond.
func (s *Server) Pause() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	stat := "/proc/" + strconv.Itoa(s.PID()) + "/stat"
	for start := time.Now(); time.Since(start) < timeout; time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(stat)
		if _, state, ok := strings.Cut(string(text), ") "); err != nil || // not on Linux
			ok && strings.HasPrefix(state, "T") {
			return
		}
	}
	s.t.Fatal("redis-server doesn't stop after SIGSTOP")
}

// Resume ends a Pause.
func (s *Server) Resume() { s.t.Helper(); s.signal(syscall.SIGCONT) }

// Kill ends the process with SIGKILL. Its port then refuses connections. If the server isn't
// running, Kill does nothing.
func (s *Server) Kill() {
	s.t.Helper()
	if s.cmd != nil {
		s.signal(syscall.SIGKILL)
		<-s.exited
		s.cmd = nil
	}
}

// Restart starts the server again with the same port and without its data. If it is running,
// Restart kills it first.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	// Connections of the system's own choice may use the port for a moment.
	for start := time.Now(); !s.start(s.port); time.Sleep(100 * time.Millisecond) {
		if time.Since(start) > timeout {
			s.t.Fatalf("redis-server doesn't start again:\n%s", s.log)
		}
	}
}

// CLI runs a command with redis-cli, such as CLI("INFO", "commandstats"), and returns its output
// without the last newline. It fails the test if the server doesn't respond.
func (s *Server) CLI(args ...string) string {
	s.t.Helper()
	out, err := s.tryCLI(args...)
	if err != nil {
		s.t.Fatalf("redis-cli %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// SetPassword changes the password of the user default. Connections that have authenticated stay
// open.
func (s *Server) SetPassword(password string) {
	s.t.Helper()
	s.CLI("CONFIG", "SET", "requirepass", password)
	s.config.Password = password
}

// tryCLI is like CLI, but returns an error.
func (s *Server) tryCLI(args ...string) (string, error) {
	out, err := s.cli(args...).CombinedOutput()
	return strings.TrimSuffix(string(out), "\n"), err
}

// cli returns a call of redis-cli.
func (s *Server) cli(args ...string) *exec.Cmd {
	all := []string{"-h", "127.0.0.1", "-p", s.port, "-e"} // -e: fail if the response is an error
	if s.config.TLS {
		all = append(all, "--tls", "--cacert", s.CAFile())
	}
	cmd := exec.Command("redis-cli", append(all, args...)...)
	if s.config.Password != "" {
		cmd.Env = append(os.Environ(), "REDISCLI_AUTH="+s.config.Password)
	}
	return cmd
}

// start starts the process with this port, and waits until it responds. It returns false if the
// process exits.
func (s *Server) start(port string) bool {
	s.t.Helper()
	s.port = port
	portFlag, noPortFlag := "--port", "--tls-port"
	if s.config.TLS {
		portFlag, noPortFlag = noPortFlag, portFlag
	}
	args := []string{"--bind", "127.0.0.1", portFlag, port, noPortFlag, "0", "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no"}
	if s.config.TLS {
		args = append(args, "--tls-ca-cert-file", s.CAFile(), "--tls-auth-clients", "no",
			"--tls-cert-file", filepath.Join(s.dir, "server.pem"),
			"--tls-key-file", filepath.Join(s.dir, "server.key"))
	}
	if s.config.Password != "" {
		args = append(args, "--requirepass", s.config.Password)
	}
	if s.config.Cluster {
		args = append(args, "--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1",
			"--cluster-port", freePort(s.t))
		if err := os.RemoveAll(filepath.Join(s.dir, "nodes.conf")); err != nil {
			s.t.Fatal(err)
		}
	}
	cmd := exec.Command("redis-server", append(args, s.config.Args...)...)
	s.log, s.exited = &bytes.Buffer{}, make(chan struct{})
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := s.exited
	go func() { cmd.Wait(); close(exited) }()
	s.cmd = cmd
	if !s.waitFor("process_id:"+strconv.Itoa(s.PID())+"\r", "INFO", "server") {
		return false
	}
	if s.config.Cluster {
		s.CLI("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
		return s.waitFor("cluster_state:ok", "CLUSTER", "INFO")
	}
	return true
}

// waitFor waits until the response to a command contains text. It returns false if the process
// exits.
func (s *Server) waitFor(text string, command ...string) bool {
	s.t.Helper()
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		out, err := s.tryCLI(command...)
		select {
		case <-s.exited:
			s.cmd = nil
			return false
		default:
		}
		if err == nil && strings.Contains(out, text) {
			return true
		}
		if time.Since(start) > timeout {
			s.t.Fatalf("redis-server isn't ready after %v: %s", timeout, out)
		}
	}
}

// signal sends a signal to the process.
func (s *Server) signal(signal syscall.Signal) {
	s.t.Helper()
	if s.cmd == nil {
		s.t.Fatal("redis-server isn't running")
	}
	if err := s.cmd.Process.Signal(signal); err != nil && signal != syscall.SIGKILL {
		s.t.Fatal(err)
	}
}

// freePort returns a port that was free a moment ago.
func freePort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}
