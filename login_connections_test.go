package cloakql_test

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A login sends one request to Keycloak, and logins reuse connections: one connection is enough for
// any number of logins in sequence.
func TestLogin_connections_sequence(t *testing.T) {
	const loginCount = 20
	s := newLoginServer(t, loginCount, 1)
	for user := range loginCount {
		s.login(t, user)
	}
	s.check(t, loginCount, 1)
}

// Each of several concurrent logins needs its own connection. Later logins reuse these connections,
// even if as many logins are concurrent again.
func TestLogin_connections_concurrent(t *testing.T) {
	const loginCount = 64
	s := newLoginServer(t, loginCount, loginCount)
	for round := range 3 {
		var logins sync.WaitGroup
		for user := range loginCount {
			logins.Go(func() { s.login(t, user) })
		}
		logins.Wait()
		s.check(t, (round+1)*loginCount, loginCount)
	}
	for user := range loginCount {
		s.login(t, user)
	}
	s.check(t, 4*loginCount, loginCount)
}

// A loginServer is a server with a Keycloak that counts connections.
type loginServer struct {
	*testServer
	kc          *keycloaktest.Server
	connections *gatedListener
}

// newLoginServer starts a server for userCount users. Its Keycloak sends no response until it has
// minConnections connections.
func newLoginServer(t *testing.T, userCount, minConnections int) *loginServer {
	t.Helper()
	spec := keycloaktest.RealmSpec{Name: "shop",
		Clients: []keycloaktest.ClientSpec{{ID: "shop-api", Secret: clientSecret}}}
	for user := range userCount {
		spec.Users = append(spec.Users,
			keycloaktest.UserSpec{Name: fmt.Sprint("user-", user), Password: clientSecret})
	}
	listener := &gatedListener{Listener: must(net.Listen("tcp", "127.0.0.1:0")),
		minCount: minConnections, gate: make(chan struct{})}
	kc := must(keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{spec.File()},
		Listener: listener}))
	t.Cleanup(kc.Close)
	config := testConfig(t, withKeycloak(kc), "TRUSTED_PROXIES=127.0.0.1")
	return &loginServer{newTestServer(t, config, nil), kc, listener}
}

// login signs a user in, from a network that no other user has.
func (s *loginServer) login(t *testing.T, user int) {
	response, body := s.do(t, testRequest{address: fmt.Sprintf("10.0.%d.1", user),
		query: fmt.Sprintf(`mutation { login(username: "user-%d", password: %q) { tokenType } }`,
			user, clientSecret)})
	if want := `{"data":{"login":{"tokenType":"Bearer"}}}` + "\n"; body != want {
		t.Errorf("login of user %d: %s %s, want %s", user, response.Status, body, want)
	}
}

// check checks how many requests and connections Keycloak has had.
func (s *loginServer) check(t *testing.T, wantLogins, wantConnections int) {
	t.Helper()
	logins, requests := s.kc.Count("/token"), s.kc.Count("")
	if logins != wantLogins || requests != wantLogins {
		t.Errorf("%d requests, %d of them to the token endpoint; want %d, all of them", requests,
			logins, wantLogins)
	}
	if n := s.connections.accepted(); n != wantConnections {
		t.Errorf("%d connections after %d logins, want %d", n, wantLogins, wantConnections)
	}
}

// A gatedListener counts connections. No connection can be read until there are minCount
// connections.
type gatedListener struct {
	net.Listener
	minCount int
	gate     chan struct{} // closed when there are minCount connections

	mu    sync.Mutex // guards count
	count int
}

func (l *gatedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count++; l.count == l.minCount {
		close(l.gate)
	}
	return &gatedConn{conn, l.gate}, nil
}

func (l *gatedListener) accepted() int { l.mu.Lock(); defer l.mu.Unlock(); return l.count }

type gatedConn struct {
	net.Conn
	gate <-chan struct{}
}

func (c *gatedConn) Read(p []byte) (int, error) { <-c.gate; return c.Conn.Read(p) }
