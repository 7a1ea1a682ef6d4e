package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A slowness is a way to hold a connection for long and send little: begin at once, then a byte now
// and then, if any.
type slowness struct {
	name        string
	begin, drip string
}

var slownesses = []slowness{
	{"not a byte", "", ""},
	{"half a request line", "POST /gra", ""},
	{"headers, a byte at a time", jsonHead + "X-Header: ", "x"},
	{"half of the headers", jsonHead, ""},
	{"a body, a byte at a time", jsonHead + "Content-Length: 50000\r\n\r\n", " "},
	{"half a body", jsonHead + "Content-Length: 50000\r\n\r\n" + asksMe, ""},
	{"chunks of a byte, without end", chunked, "1\r\n \r\n"},
	{"half a chunk", chunked + "1000\r\n {", ""},
	{"nothing of a body that is waited for", jsonHead + "Expect: 100-continue\r\nContent-Length: 100\r\n\r\n", ""},
	{"a second request, half", withLength(jsonHead, asksMe) + "POST /gra", ""},
}

// 2,000 idle connections and 500 slow ones: the server ends each slow one by itself, keeps the idle
// ones for their two minutes, and answers me all the while, to new connections.
//
// TEST_IDLE=1 waits until the idle ones are ended too.
func TestManyConnections(t *testing.T) {
	t.Parallel()
	idle, slow := 2000, 500
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if room := int(min(files.Cur, 1<<20)) - 500; room < idle+slow {
		t.Logf("ONLY %d of %d connections: a process may open %d files; run ulimit -n 4096", room,
			idle+slow, files.Cur)
		idle, slow = room*4/5, room/5
	}
	user, _ := realm{shared, "local"}.newUser(t, nil)
	token := serve(t, shared).mustLogin(t, user, "secret").AccessToken
	s := serve(t, shared, "RUNTIME_ENV=prod", "KEYCLOAK_TIMEOUT=4s", "REQUEST_TIMEOUT=5s")
	before := s.openFiles(t)

	held := make([]net.Conn, idle)
	for i := range held {
		held[i] = s.dial(t)
		held[i].SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(held[i], withLength(jsonHead, asksMe)); err != nil {
			t.Fatalf("idle connection %d: %v", i+1, err)
		}
		if got := readAnswer(t, bufio.NewReader(held[i])); got != "200 UNAUTHENTICATED" {
			t.Fatalf("idle connection %d: answered %s", i+1, got)
		}
	}

	ctx, done := context.WithCancel(t.Context())
	var asking, slowOnes sync.WaitGroup
	asking.Go(func() { s.keepAsking(ctx, t, user, token) })
	ends := make([]string, slow)
	began := time.Now()
	for i := range ends {
		slowOnes.Go(func() { ends[i] = s.holdOpen(ctx, t, slownesses[i%len(slownesses)]) })
	}
	slowOnes.Wait()
	t.Logf("the last slow connection was ended after %v", time.Since(began).Round(time.Second))
	counts := map[string]int{}
	for i, end := range ends {
		counts[slownesses[i%len(slownesses)].name+": "+end]++
		if !strings.HasSuffix(end, "closed") {
			t.Errorf("%s: %s, want that the server ends it", slownesses[i%len(slownesses)].name,
				end)
		}
	}
	for end, n := range counts {
		t.Logf("%3d of %s", n, end)
	}
	eventually(t, "the files of the slow connections are closed", func() bool {
		return s.openFiles(t) <= before+idle+20
	})

	// The idle ones are as good as before.
	for i := 0; i < idle; i += idle / 10 {
		if _, err := io.WriteString(held[i], withLength(jsonHead, asksMe)); err != nil {
			t.Errorf("idle connection %d, again: %v", i+1, err)
		} else if got := readAnswer(t, bufio.NewReader(held[i])); got != "200 UNAUTHENTICATED" {
			t.Errorf("idle connection %d, again: answered %s", i+1, got)
		}
	}
	if os.Getenv("TEST_IDLE") == "1" {
		for i, connection := range held {
			if n, err := connection.Read(make([]byte, 1)); !errors.Is(err, io.EOF) &&
				!errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("idle connection %d: read %d, %v; want that the server ends it", i+1, n,
					err)
			}
		}
		t.Logf("the last idle connection was ended after %v", time.Since(began).Round(time.Second))
		eventually(t, "the files of the idle connections are closed", func() bool {
			return s.openFiles(t) <= before+20
		})
	} else {
		t.Log("not run: the end of the idle connections, after two minutes; set TEST_IDLE=1")
	}
	done()
	asking.Wait()
}

// A client that asks and never reads is given up. It doesn't learn of it, since its window is shut;
// the kernel's list of connections tells.
func TestNeverReading(t *testing.T) {
	t.Parallel()
	s := serve(t, shared, "RUNTIME_ENV=prod", "KEYCLOAK_TIMEOUT=4s", "REQUEST_TIMEOUT=5s")
	connection := s.dial(t).(*net.TCPConn)
	connection.SetReadBuffer(4 << 10)
	requests := []byte(strings.Repeat(withLength(jsonHead, asksMe), 100))
	for written, stuck := 0, false; !stuck; { // until neither side's buffers take any more
		connection.SetWriteDeadline(time.Now().Add(3 * time.Second))
		n, err := connection.Write(requests)
		written, stuck = written+n, err != nil && n == 0
		if written > 64<<20 {
			t.Fatal("the server reads 64 MB of requests whose answers nobody reads")
		}
	}
	if !s.holds(t, connection) {
		t.Fatal(
			"the server doesn't hold the connection: it isn't stuck, and this test tests nothing")
	}
	eventually(t, "the server ends the connection", func() bool { return !s.holds(t, connection) })
	response := s.query(t, "", usernameQuery, nil)
	if response.code() != "UNAUTHENTICATED/TOKEN_MISSING" {
		t.Errorf("then me is %s", response.body)
	}
}

// holds reports whether the server has the other end of a connection, which is then established in
// proc(5)'s net/tcp.
func (s *server) holds(t *testing.T, connection net.Conn) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	port := func(address net.Addr) string {
		return fmt.Sprintf(":%04X", address.(*net.TCPAddr).Port)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if strings.HasSuffix(fields[1], port(connection.RemoteAddr())) &&
			strings.HasSuffix(fields[2], port(connection.LocalAddr())) {
			return fields[3] == "01"
		}
	}
	return false
}

// keepAsking asks for me until ctx ends, each time over a connection of its own, and wants an
// answer each time.
func (s *server) keepAsking(ctx context.Context, t *testing.T, user, token string) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	asked, longest := 0, time.Duration(0)
	for ctx.Err() == nil {
		request, err := http.NewRequest(http.MethodPost, s.url+"/graphql",
			strings.NewReader(asksMe))
		if err != nil {
			t.Error(err)
			return
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+token)
		began := time.Now()
		response, err := client.Do(request)
		if err != nil {
			t.Errorf("me, asked %d times before: %v", asked, err)
			return
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if !strings.Contains(string(body), user) {
			t.Errorf("me, asked %d times before: %s", asked, body)
			return
		}
		asked++
		longest = max(longest, time.Since(began))
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Logf("me was asked %d times; the longest took %v", asked, longest.Round(time.Millisecond))
}

// holdOpen holds one connection until the server ends it, and says what came of it.
func (s *server) holdOpen(ctx context.Context, t *testing.T, how slowness) string {
	connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		return err.Error()
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		if _, err := io.WriteString(connection, how.begin); err != nil || how.drip == "" {
			return
		}
		for {
			select {
			case <-ended:
				return
			case <-ctx.Done():
				return
			case <-time.After(300 * time.Millisecond):
				if _, err := io.WriteString(connection, how.drip); err != nil {
					return
				}
			}
		}
	}()
	reader := bufio.NewReader(connection)
	if strings.HasPrefix(how.name, "a second request") {
		readAnswer(t, reader)
	}
	end := readAnswer(t, reader)
	if end == "closed" || strings.HasPrefix(end, "no answer") {
		return end
	}
	if _, err := reader.ReadByte(); errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return end + ", closed"
	}
	return end + ", and left open"
}

// openFiles counts the files of the server's process, connections among them.
func (s *server) openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
