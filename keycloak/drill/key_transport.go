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

// A keyTransport is the key set's way to Keycloak. It records when keys are fetched and what that
// costs, and can lead to another server.
type keyTransport struct {
	base *http.Transport
	open atomic.Int64 // response bodies

	mu      sync.Mutex // guards the fields below
	address string     // empty for Keycloak's
	last    time.Time
	begun   []time.Time
	longest time.Duration // of a fetch
	bytes   int
	largest int // bytes of a fetch
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

// reset leads to this address, or back to Keycloak if it is empty, and forgets what was recorded.
func (t *keyTransport) reset(address string) {
	t.mu.Lock()
	t.address, t.begun, t.longest, t.bytes, t.largest = address, nil, 0, 0, 0
	t.mu.Unlock()
	t.base.CloseIdleConnections()
}

// RoundTrip is called for one fetch at a time.
func (t *keyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	begin := time.Now()
	t.mu.Lock()
	t.begun, t.last, t.bytes = append(t.begun, begin), begin, 0
	t.mu.Unlock()
	t.open.Add(1)
	ended := sync.OnceFunc(func() {
		t.open.Add(-1)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.longest, t.largest = max(t.longest, time.Since(begin)), max(t.largest, t.bytes)
	})
	response, err := t.base.RoundTrip(r)
	if err != nil {
		ended()
		return nil, err
	}
	response.Body = &recordedBody{response.Body, ended}
	return response, nil
}

// times returns when the fetches since the last reset began.
func (t *keyTransport) times() []time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.begun)
}

// latest returns when the last fetch began.
func (t *keyTransport) latest() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// cost returns the longest time and the most bytes that a fetch took.
func (t *keyTransport) cost() (longest time.Duration, largest int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.longest, t.largest
}

type countedConn struct {
	net.Conn
	transport *keyTransport
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.transport.mu.Lock()
	c.transport.bytes += n
	c.transport.mu.Unlock()
	return n, err
}

// A recordedBody calls a function when it is closed.
type recordedBody struct {
	io.ReadCloser
	closed func()
}

func (b *recordedBody) Close() error {
	defer b.closed()
	return b.ReadCloser.Close()
}
