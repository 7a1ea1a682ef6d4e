package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A keyTransport is the key set's HTTP transport. It records when each fetch starts, how long it
// takes and how large it is, and can redirect fetches to another server.
type keyTransport struct {
	base       *http.Transport
	openBodies atomic.Int64 // unclosed response bodies

	mu           sync.Mutex    // guards the fields below
	address      string        // of the other server; empty for Keycloak
	lastStart    time.Time     // start of the last fetch, even before reset
	fetchStarts  []time.Time   // of the fetches since reset
	longestFetch time.Duration // duration of the longest fetch since reset
	largestFetch int           // bytes of the largest fetch since reset
	bytesRead    int           // read in the current fetch
}

func newKeyTransport(base *http.Transport,
	dial func(ctx context.Context, network, address string) (net.Conn, error)) *keyTransport {
	t := &keyTransport{base: base}
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		t.mu.Lock()
		if t.address != "" {
			address = t.address
		}
		t.mu.Unlock()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &countedConn{conn, t}, nil
	}
	return t
}

// reset clears the records.
func (t *keyTransport) reset() {
	t.mu.Lock()
	t.fetchStarts, t.longestFetch, t.bytesRead, t.largestFetch = nil, 0, 0, 0
	t.mu.Unlock()
	t.base.CloseIdleConnections()
}

// redirect sends the fetches to the server at address until restore is called. Both clear the
// records.
func (t *keyTransport) redirect(address string) (restore func()) {
	setAddress := func(address string) {
		t.mu.Lock()
		t.address = address
		t.mu.Unlock()
		t.reset()
	}
	setAddress(address)
	return func() { setAddress("") }
}

// RoundTrip is called for one fetch at a time.
func (t *keyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	t.mu.Lock()
	t.fetchStarts, t.lastStart, t.bytesRead = append(t.fetchStarts, start), start, 0
	t.mu.Unlock()
	t.openBodies.Add(1)
	finish := sync.OnceFunc(func() {
		t.openBodies.Add(-1)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.longestFetch, t.largestFetch = max(t.longestFetch, time.Since(start)),
			max(t.largestFetch, t.bytesRead)
	})
	response, err := t.base.RoundTrip(r)
	if err != nil {
		finish()
		return nil, err
	}
	response.Body = &recordedBody{response.Body, finish}
	return response, nil
}

// startTimes returns the starts of the fetches since the last reset.
func (t *keyTransport) startTimes() []time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.fetchStarts)
}

// lastFetchStart returns the start of the last fetch.
func (t *keyTransport) lastFetchStart() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lastStart
}

// maxima returns the duration of the longest fetch and the size of the largest, since the last
// reset.
func (t *keyTransport) maxima() (longestFetch time.Duration, largestFetch int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.longestFetch, t.largestFetch
}

// A countedConn counts the bytes that are read from it.
type countedConn struct {
	net.Conn
	transport *keyTransport
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.transport.mu.Lock()
	c.transport.bytesRead += n
	c.transport.mu.Unlock()
	return n, err
}

// A recordedBody calls onClose when it is closed.
type recordedBody struct {
	io.ReadCloser
	onClose func()
}

func (b *recordedBody) Close() error {
	defer b.onClose()
	return b.ReadCloser.Close()
}
