package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
)

// Keycloak runs inside the bubble of testing/synctest and is reached over pipes: HTTP is real and
// the clock isn't, so that a request that was answered at once took no time at all, and who waited,
// and for how long, can be counted to the last one.
func TestScenarios(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := newSite(sc.name, &pipes{listeners: map[string]*pipeListener{}})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if err := sc.play(s, sc.fake); err != nil {
					t.Fatal(err)
				}
				if len(s.rows) < 2 {
					t.Errorf("only %d checks were made", len(s.rows))
				}
				for _, r := range s.rows {
					if !r.ok {
						t.Errorf("%s: %s", r.asked, r.seen)
					}
				}
			})
		})
	}
}

// pipes are a network in memory. A pipe has no buffer: what was read from it is what was taken.
type pipes struct {
	mu        sync.Mutex // guards listeners
	listeners map[string]*pipeListener
}

func (p *pipes) listen() (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &pipeListener{port: 8080 + len(p.listeners), calls: make(chan net.Conn),
		closed: make(chan struct{})}
	p.listeners[l.Addr().String()] = l
	return l, nil
}

func (p *pipes) dial(ctx context.Context, _, address string) (net.Conn, error) {
	p.mu.Lock()
	l := p.listeners[address]
	p.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("nobody listens on %s", address)
	}
	client, server := net.Pipe()
	select {
	case l.calls <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type pipeListener struct {
	port   int
	calls  chan net.Conn
	closed chan struct{}
	once   sync.Once // closes closed
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.calls:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.port}
}
