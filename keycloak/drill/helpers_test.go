package main

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// pipes is an in-memory network. Pipes have no buffers, so no more bytes are read from a connection
// than its user requested.
type pipes struct {
	mu        sync.Mutex // guards listeners
	listeners map[string]*pipeListener
}

func (p *pipes) listen() (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &pipeListener{port: 8080 + len(p.listeners), conns: make(chan net.Conn),
		closed: make(chan struct{})}
	p.listeners[l.Addr().String()] = l
	return l, nil
}

func (p *pipes) dial(ctx context.Context, _, address string) (net.Conn, error) {
	p.mu.Lock()
	l := p.listeners[address]
	p.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("no listener on %s", address)
	}
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A pipeListener is a net.Listener on pipes.
type pipeListener struct {
	port      int
	conns     chan net.Conn
	closed    chan struct{}
	closeOnce sync.Once // makes sure that closed is closed only once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.port}
}
