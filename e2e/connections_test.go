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

// A slowClient sends start at once. If drip isn't empty, it then sends drip repeatedly. It never
// completes its last request.
type slowClient struct {
	name        string
	start, drip string
}

// slowClients are clients that hold a connection open.
var slowClients = []slowClient{
	{"no data", "", ""},
	{"half of a request line", "POST /gra", ""},
	{"headers, a byte at a time", jsonHead + "X-Header: ", "x"},
	{"half of the headers", jsonHead, ""},
	{"body, a byte at a time", jsonHead + "Content-Length: 50000\r\n\r\n", " "},
	{"half of a body", jsonHead + "Content-Length: 50000\r\n\r\n" + meBody, ""},
	{"endless chunks of a byte", chunkedHead, "1\r\n \r\n"},
	{"half of a chunk", chunkedHead + "1000\r\n {", ""},
	{"no body after 100-continue", jsonHead + "Expect: 100-continue\r\nContent-Length: 100\r\n\r\n",
		""},
	{"half of a second request", withLength(jsonHead, meBody) + "POST /gra", ""},
}

// With 2,000 idle connections and 500 slow ones, the server closes each slow connection, keeps the
// idle ones open for two minutes, and serves new connections all the time.
//
// TEST_IDLE=1 waits until the idle connections are closed too.
func TestManyConnections(t *testing.T) {
	t.Parallel()
	idleCount, slowCount := 2000, 500
	var fileLimit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &fileLimit); err != nil {
		t.Fatal(err)
	}
	availableFiles := int(min(fileLimit.Cur, 1<<20)) - 500
	if availableFiles < idleCount+slowCount {
		t.Logf("ONLY %d of %d connections: a process can open %d files; run ulimit -n 4096",
			availableFiles,
			idleCount+slowCount, fileLimit.Cur)
		idleCount, slowCount = availableFiles*4/5, availableFiles/5
	}
	user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
	token := serve(t, sharedKeycloak).mustLogin(t, user, "secret").AccessToken
	s := serve(t, sharedKeycloak, "RUNTIME_ENV=prod", "KEYCLOAK_TIMEOUT=4s", "REQUEST_TIMEOUT=5s")
	filesBefore := s.openFiles(t)

	connections := make([]net.Conn, idleCount)
	for i := range connections {
		connections[i] = s.dial(t)
		connections[i].SetDeadline(time.Now().Add(timeout))
		if _, err := io.WriteString(connections[i], withLength(jsonHead, meBody)); err != nil {
			t.Fatalf("idle connection %d: %v", i+1, err)
		}
		if got := readResponse(t, bufio.NewReader(connections[i])); got != "200 UNAUTHENTICATED" {
			t.Fatalf("idle connection %d: got %s, want 200 UNAUTHENTICATED", i+1, got)
		}
	}

	ctx, stop := context.WithCancel(t.Context())
	var queryWG, slowWG sync.WaitGroup
	queryWG.Go(func() { s.keepQuerying(ctx, t, user, token) })
	outcomes := make([]string, slowCount)
	start := time.Now()
	for i := range outcomes {
		slowWG.Go(func() { outcomes[i] = s.holdOpen(ctx, t, slowClients[i%len(slowClients)]) })
	}
	slowWG.Wait()
	t.Logf("the last slow connection was closed after %v", time.Since(start).Round(time.Second))
	counts := map[string]int{}
	for i, outcome := range outcomes {
		name := slowClients[i%len(slowClients)].name
		counts[name+": "+outcome]++
		if !strings.HasSuffix(outcome, "closed") {
			t.Errorf("%s: got %s, want the server to close the connection", name, outcome)
		}
	}
	for outcome, n := range counts {
		t.Logf("%3d of %s", n, outcome)
	}
	waitUntil(t, "the file descriptors of the slow connections are closed", func() bool {
		return s.openFiles(t) <= filesBefore+idleCount+20
	})

	// The idle connections still work.
	for i := 0; i < idleCount; i += idleCount / 10 {
		if _, err := io.WriteString(connections[i], withLength(jsonHead, meBody)); err != nil {
			t.Errorf("idle connection %d, again: %v", i+1, err)
			continue
		}
		got := readResponse(t, bufio.NewReader(connections[i]))
		if got != "200 UNAUTHENTICATED" {
			t.Errorf("idle connection %d, again: got %s, want 200 UNAUTHENTICATED", i+1, got)
		}
	}
	if os.Getenv("TEST_IDLE") == "1" {
		for i, connection := range connections {
			if n, err := connection.Read(make([]byte, 1)); !errors.Is(err, io.EOF) &&
				!errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("idle connection %d: read %d bytes, error %v; want the server to close it",
					i+1, n, err)
			}
		}
		t.Logf("the last idle connection was closed after %v", time.Since(start).Round(time.Second))
		waitUntil(t, "the file descriptors of the idle connections are closed", func() bool {
			return s.openFiles(t) <= filesBefore+20
		})
	} else {
		t.Log("not run: the end of the idle connections, after two minutes; set TEST_IDLE=1")
	}
	stop()
	queryWG.Wait()
}

// The server closes the connection of a client that sends requests and never reads. The client
// doesn't notice, since its receive window is full, so the test checks the kernel's list of
// connections.
func TestClientThatNeverReads(t *testing.T) {
	t.Parallel()
	s := serve(t, sharedKeycloak, "RUNTIME_ENV=prod", "KEYCLOAK_TIMEOUT=4s", "REQUEST_TIMEOUT=5s")
	connection := s.dial(t).(*net.TCPConn)
	connection.SetReadBuffer(4 << 10)
	if !s.hasConnection(t, connection) {
		t.Fatal("the kernel's list of connections lacks a connection that was just made")
	}
	requests := []byte(strings.Repeat(withLength(jsonHead, meBody), 100))
	for writtenBytes, isBlocked := 0, false; !isBlocked; { // until both sides' buffers are full
		connection.SetWriteDeadline(time.Now().Add(3 * time.Second))
		n, err := connection.Write(requests)
		writtenBytes, isBlocked = writtenBytes+n, err != nil && n == 0
		if writtenBytes > 64<<20 {
			t.Fatal("the server has read 64 MB of requests from a client that never reads")
		}
	}
	waitUntil(t, "the server closes the connection", func() bool {
		return !s.hasConnection(t, connection)
	})
	response := s.query(t, "", usernameQuery, nil)
	if response.code() != "UNAUTHENTICATED/TOKEN_MISSING" {
		t.Errorf("me afterwards: got %s, want TOKEN_MISSING", response.body)
	}
}

// hasConnection reports whether the server's end of a connection is established, according to
// /proc/net/tcp.
func (s *server) hasConnection(t *testing.T, connection net.Conn) bool {
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
			return fields[3] == "01" // TCP_ESTABLISHED
		}
	}
	return false
}

// keepQuerying queries me until ctx is done, each time over a new connection, and checks that each
// query succeeds.
func (s *server) keepQuerying(ctx context.Context, t *testing.T, user, token string) {
	client := &http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	queries, longest := 0, time.Duration(0)
	for ctx.Err() == nil {
		request, err := http.NewRequest(http.MethodPost, s.url+"/graphql",
			strings.NewReader(meBody))
		if err != nil {
			t.Error(err)
			return
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+token)
		start := time.Now()
		response, err := client.Do(request)
		if err != nil {
			t.Errorf("me, after %d queries: %v", queries, err)
			return
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if !strings.Contains(string(body), user) {
			t.Errorf("me, after %d queries: got %s, want %s in it", queries, body, user)
			return
		}
		queries++
		longest = max(longest, time.Since(start))
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Logf("%d queries of me; the longest took %v", queries, longest.Round(time.Millisecond))
}

// holdOpen keeps a connection open until the server closes it. It returns the response, if any, and
// whether the connection was closed.
func (s *server) holdOpen(ctx context.Context, t *testing.T, client slowClient) string {
	connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		return err.Error()
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(timeout))
	done := make(chan struct{})
	defer close(done)
	go func() {
		if _, err := io.WriteString(connection, client.start); err != nil || client.drip == "" {
			return
		}
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-time.After(300 * time.Millisecond):
				if _, err := io.WriteString(connection, client.drip); err != nil {
					return
				}
			}
		}
	}()
	reader := bufio.NewReader(connection)
	if strings.HasSuffix(client.name, "a second request") {
		readResponse(t, reader)
	}
	outcome := readResponse(t, reader)
	if outcome == "closed" || strings.HasPrefix(outcome, "no response") {
		return outcome
	}
	if _, err := reader.ReadByte(); errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return outcome + ", closed"
	}
	return outcome + ", left open"
}

// openFiles returns the number of open files of the server's process, including connections.
func (s *server) openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
