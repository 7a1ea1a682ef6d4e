package redistest

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"
)

const patience = 30 * time.Second // for a response that must come

// A proxy forwards data, also after its faults.
func TestProxy(t *testing.T) {
	p := NewProxy(t, pongServer(t))
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	wantResponse := func(name string, conn net.Conn) {
		t.Helper()
		if err := exchange(conn, patience); err != nil {
			t.Fatalf("%s: %v, want a response", name, err)
		}
	}
	conn := dial()
	wantResponse("at first", conn)
	if open, accepted := p.OpenConns(), p.Accepted(); open != 1 || accepted != 1 {
		t.Errorf("%d connections are open, %d accepted; want 1 and 1", open, accepted)
	}

	p.SetDelay(100 * time.Millisecond)
	start := time.Now()
	wantResponse("delayed", conn)
	if elapsed := time.Since(start); elapsed < 200*time.Millisecond {
		t.Errorf("the response came after %v, want 100 ms in each direction", elapsed)
	}
	p.Restore()

	p.Blackhole()
	if err := exchange(conn, 50*time.Millisecond); err == nil {
		t.Error("a response came out of the blackhole")
	}
	if err := exchange(dial(), 50*time.Millisecond); err == nil {
		t.Error("a response came out of the blackhole over a new connection")
	}
	p.Restore()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(conn, make([]byte, len("+PONG\r\n"))); err != nil {
		t.Errorf("after the blackhole: %v, want the held back response", err)
	}

	p.Cut()
	if err := exchange(conn, patience); err == nil {
		t.Error("a response came over a cut connection")
	}
	if err := exchangeOnce(p); err == nil {
		t.Error("a response came over a new connection, want a reset")
	}
	p.Restore()
	wantResponse("after the cut", dial())
}

// If the target refuses connections, so does the proxy.
func TestProxy_noTarget(t *testing.T) {
	p := NewProxy(t, net.JoinHostPort("127.0.0.1", freePort(t)))
	if err := exchangeOnce(p); err == nil {
		t.Error("a response came from nowhere")
	}
}

// exchangeOnce is exchange over a new connection to a proxy. The proxy may reset the connection
// before it is established.
func exchangeOnce(p *Proxy) error {
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	return exchange(conn, patience)
}

// pongServer starts a server that responds to each line with PONG, and returns its address.
func pongServer(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					conn.Write([]byte("+PONG\r\n"))
				}
			}()
		}
	}()
	return listener.Addr().String()
}
