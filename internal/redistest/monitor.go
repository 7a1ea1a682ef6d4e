package redistest

import (
	"bufio"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Monitor records the commands that a server gets from its clients.
type Monitor struct {
	server *Server
	cmd    *exec.Cmd
	done   chan struct{} // closed at the end of the output

	mu       sync.Mutex // guards commands
	commands []string
}

// Monitor starts to record the commands that the server gets. Stop it before you kill or pause the
// server.
func (s *Server) Monitor() *Monitor {
	s.t.Helper()
	m := &Monitor{server: s, cmd: s.cli("MONITOR"), done: make(chan struct{})}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	started := make(chan struct{})
	go func() {
		defer close(m.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "OK" {
				close(started)
				continue
			}
			// 1700000000.000000 [0 127.0.0.1:40000] "GET" "a"; lua instead of the address is a
			// command of a script.
			_, rest, _ := strings.Cut(lines.Text(), "[")
			client, command, ok := strings.Cut(rest, "] ")
			if ok && !strings.HasSuffix(client, " lua") {
				m.mu.Lock()
				m.commands = append(m.commands, command)
				m.mu.Unlock()
			}
		}
	}()
	select {
	case <-started:
	case <-m.done:
		s.t.Fatal("redis-cli exited")
	}
	s.t.Cleanup(m.Stop)
	return m
}

// Commands returns the commands since its last call, each of its arguments in quotes. It includes
// all commands that the server got before the call.
func (m *Monitor) Commands() []string {
	m.server.t.Helper()
	const mark = `"ECHO" "the end of the commands"`
	m.server.CLI("ECHO", "the end of the commands")
	for start := time.Now(); time.Since(start) < timeout; time.Sleep(time.Millisecond) {
		m.mu.Lock()
		end := slices.Index(m.commands, mark)
		if end >= 0 {
			commands := slices.Clone(m.commands[:end])
			m.commands = slices.Delete(m.commands, 0, end+1)
			m.mu.Unlock()
			return commands
		}
		m.mu.Unlock()
	}
	m.server.t.Fatal("redis-cli MONITOR doesn't print a command")
	return nil
}

// Stop stops recording.
func (m *Monitor) Stop() {
	m.cmd.Process.Signal(syscall.SIGKILL)
	<-m.done
	m.cmd.Wait()
}
