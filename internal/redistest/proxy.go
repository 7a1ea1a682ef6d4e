package redistest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// A Proxy forwards TCP connections to a server. It can delay the data, and cut the connections. Its
// methods are safe for concurrent use.
type Proxy struct {
	target   string
	listener net.Listener
	done     chan struct{}  // closed when the test ends
	running  sync.WaitGroup // the proxy's goroutines

	mu       sync.Mutex // guards the fields below
	delay    time.Duration
	cut      bool
	resumed  chan struct{}         // nil unless in a blackhole; closed at its end
	conns    map[net.Conn]struct{} // those of clients and those to the target
	accepted int
}

// NewProxy starts a proxy of the server at addr, and stops it when the test ends.
func NewProxy(t testing.TB, addr string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: addr, listener: listener, done: make(chan struct{}),
		conns: map[net.Conn]struct{}{}}
	p.running.Go(p.serve)
	t.Cleanup(func() {
		close(p.done)
		listener.Close()
		p.Cut()
		p.running.Wait()
	})
	return p
}

// Addr returns the proxy's address, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// SetDelay delays all data by d, in each direction.
func (p *Proxy) SetDelay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Cut resets all connections. Until Restore, it also resets new ones.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for conn := range p.conns {
		reset(conn)
	}
}

// Blackhole accepts connections, but holds back all data until Restore, like a network that drops
// all packets.
func (p *Proxy) Blackhole() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.resumed == nil {
		p.resumed = make(chan struct{})
	}
}

// Restore ends a delay, a cut and a blackhole.
func (p *Proxy) Restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay, p.cut = 0, false
	if p.resumed != nil {
		close(p.resumed)
		p.resumed = nil
	}
}

// OpenConns returns the number of connections that clients have open.
func (p *Proxy) OpenConns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns) / 2
}

// Accepted returns the number of connections that clients have opened since the start.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// serve accepts connections until the listener is closed.
func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.forward(client) })
	}
}

// forward forwards data between a client and the target until one of them closes its connection.
func (p *Proxy) forward(client net.Conn) {
	defer client.Close()
	target, err := net.Dial("tcp", p.target)
	p.mu.Lock()
	p.accepted++
	if err != nil || p.cut {
		p.mu.Unlock()
		if err == nil {
			target.Close()
		}
		reset(client)
		return
	}
	p.conns[client], p.conns[target] = struct{}{}, struct{}{}
	p.mu.Unlock()
	defer target.Close()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, client)
		delete(p.conns, target)
	}()
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(target, client) })
	pumps.Go(func() { p.pump(client, target) })
	pumps.Wait()
}

// pump copies data from src to dst, with the proxy's delay. At the end, it closes both.
func (p *Proxy) pump(dst, src net.Conn) {
	defer dst.Close()
	defer src.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := src.Read(buffer)
		if n > 0 {
			if !p.wait() {
				return
			}
			if _, err := dst.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait waits for the end of a blackhole, and for the delay. It returns false if the test ends.
func (p *Proxy) wait() bool {
	p.mu.Lock()
	delay, resumed := p.delay, p.resumed
	p.mu.Unlock()
	if resumed != nil {
		select {
		case <-resumed:
		case <-p.done:
			return false
		}
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-p.done:
			return false
		}
	}
	return true
}

// reset closes a connection with a TCP reset, as a refused connection is.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
