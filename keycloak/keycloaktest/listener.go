package keycloaktest

import (
	"net"
	"sync"
)

// A pausableListener can close its connections and reject new ones.
type pausableListener struct {
	net.Listener

	mu   sync.Mutex // guards the fields below
	down bool
	open map[net.Conn]struct{}
}

// setDown closes all connections if down is set, and sets whether new connections are closed.
func (l *pausableListener) setDown(down bool) {
	if l == nil { // zero Server
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	if down {
		for conn := range l.open {
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
			if l.open == nil {
				l.open = map[net.Conn]struct{}{}
			}
			l.open[conn] = struct{}{}
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
	delete(c.listener.open, c.Conn)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
