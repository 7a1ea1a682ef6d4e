package keycloaktest

import (
	"net"
	"sync"
)

// A pausableListener can close its open connections and reject new connections.
type pausableListener struct {
	net.Listener

	mu    sync.Mutex // guards the fields below
	down  bool
	conns map[net.Conn]struct{} // open connections
}

// setDown sets whether the listener rejects new connections. If down is true, it also closes the
// open connections.
func (l *pausableListener) setDown(down bool) {
	if l == nil { // zero Server
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	if down {
		for conn := range l.conns {
			conn.Close()
		}
	}
}

func (l *pausableListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		if !l.down {
			if l.conns == nil {
				l.conns = map[net.Conn]struct{}{}
			}
			l.conns[conn] = struct{}{}
			l.mu.Unlock()
			return &trackedConn{conn, l}, nil
		}
		l.mu.Unlock()
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) // resets the connection, which resembles "connection refused"
		}
		conn.Close()
	}
}

// A trackedConn removes itself from its listener when it is closed.
type trackedConn struct {
	net.Conn
	listener *pausableListener
}

func (c *trackedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c.Conn)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
