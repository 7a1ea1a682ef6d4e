package keycloak_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// The drills (drill_*_test.go) put the handling of keys through what Keycloak and strangers may do
// to it. The stand-in runs inside the bubble of testing/synctest and is reached over pipes: HTTP is
// real and the clock isn't, so that a request that was answered at once took no time at all, and
// who waited, and for how long, can be counted to the last one. keycloak/drill is their sister,
// with real sockets and figures of real time.

// What the drills hold the key set to.
const (
	floor    = time.Second     // from the start of a fetch to that of the next
	patience = time.Second     // that a request waits for a fetch at most
	crowd    = 16              // who wait for a fetch at most
	deadline = 3 * time.Second // of a fetch
	refresh  = 5 * time.Minute // between two fetches in the background, at most
	maxAge   = 24 * time.Hour  // of keys that can't be fetched anew
	maxBody  = 1 << 20         // of Keycloak's answer
)

// A drill is a realm of the stand-in, and a middleware that verifies its tokens. Make it inside a
// bubble.
type drill struct {
	*testing.T
	wire  *wire
	kc    *keycloaktest.Server
	realm *keycloaktest.Realm
	keys  *keycloak.KeySet
	check func(http.Handler) http.Handler
	parts []string // of a good token, which junk is made of
	log   *logLines

	complaints atomic.Int32
}

// Errorf is testing's, but that ten complaints of thousands of requests are enough.
func (d *drill) Errorf(format string, args ...any) {
	d.Helper()
	if d.complaints.Add(1) > 10 {
		d.Fail()
		return
	}
	d.T.Errorf(format, args...)
}

// shop is a realm that signs with elliptic curves: an RSA key would take longer to make than most
// drills.
func shop() []byte {
	return keycloaktest.Plan{Name: "shop", Settings: map[string]any{"components": map[string]any{
		"org.keycloak.keys.KeyProvider": []any{map[string]any{
			"name": "first", "providerId": "ecdsa-generated", "config": map[string]any{"priority": []string{"100"}},
		}},
	}}}.File()
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	d := &drill{T: t, log: &logLines{}, wire: &wire{calls: make(chan net.Conn), gone: make(chan struct{})}}
	var err error
	if d.kc, err = keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop()}, Listener: d.wire}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kc.Close)
	d.realm = d.kc.Realm("shop")
	named, err := keycloak.NewRealm(d.kc.URL, "shop")
	if err != nil {
		t.Fatal(err)
	}
	transport := keycloak.NewTransport()
	transport.DialContext = d.wire.dial
	t.Cleanup(transport.CloseIdleConnections)
	d.wire.detour.usual = transport
	log := slog.New(slog.NewTextHandler(d.log, nil))
	d.keys = keycloak.NewKeySet(named, keycloak.KeySetConfig{Transport: &d.wire.detour, Log: log})
	verifier, err := keycloak.NewVerifier(keycloak.VerifierConfig{
		Issuers: []keycloak.Issuer{{Names: []string{d.realm.Issuer()}, Keys: d.keys}}, Audience: []string{"shop-api"},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.check = keycloak.Middleware(verifier, log)
	d.parts = strings.Split(d.token(keycloaktest.Mint{Lifetime: 2 * maxAge}), ".")
	return d
}

// run starts the refresher, and returns when it has fetched the keys.
func (d *drill) run() {
	d.Helper()
	go d.keys.Run(d.Context())
	time.Sleep(deadline)
	synctest.Wait()
	d.status(true, false)
	d.logged(1)
}

// token is one of alice's, but for what m says, signed with the key that signs now.
func (d *drill) token(m keycloaktest.Mint) string {
	d.Helper()
	claims := map[string]any{"aud": "shop-api", "sub": "alice"}
	for name, value := range m.Claims {
		claims[name] = value
	}
	m.Claims, m.Algorithm = claims, "ES256"
	token, err := d.realm.Mint(m)
	if err != nil {
		d.Fatal(err)
	}
	return token
}

func (d *drill) good() string { return d.token(keycloaktest.Mint{}) }

// junk is a token that nothing is wrong with, but that it names a key which nobody has.
func (d *drill) junk(n int) string {
	header := fmt.Sprintf(`{"alg":"ES256","typ":"JWT","kid":"junk-%d"}`, n)
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + d.parts[1] + "." + d.parts[2]
}

// rotate makes a key that signs from now on. The old one stays listed, passive, as an administrator
// leaves it.
func (d *drill) rotate() (old string) {
	d.Helper()
	old = d.realm.SigningKey("ES256")
	if _, err := d.realm.RotateKeys("ES256"); err != nil {
		d.Fatal(err)
	}
	if err := d.realm.SetKeyPassive(old, true); err != nil {
		d.Fatal(err)
	}
	return old
}

func (d *drill) remove(kid string) {
	d.Helper()
	if err := d.realm.RemoveKey(kid); err != nil {
		d.Fatal(err)
	}
}

// An answer is what the middleware said of one request.
type answer struct {
	begin time.Time
	took  time.Duration
	user  string // who called; empty where err says why nobody did
	err   error
}

// ask sends a request with a token.
func (d *drill) ask(token string) answer {
	a := answer{begin: time.Now()}
	d.check(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		a.took = time.Since(a.begin)
		var user *identity.User
		if user, a.err = identity.Require(r.Context()); a.err == nil {
			a.user = user.ID
		}
	})).ServeHTTP(httptest.NewRecorder(), (&http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}).WithContext(d.Context()))
	return a
}

// expect asks, and compares why the token is refused, nil for not at all.
func (d *drill) expect(token string, want error) {
	d.Helper()
	if a := d.ask(token); !errors.Is(a.err, want) {
		d.Errorf("at %v: %v, want %v", a.begin, a.err, want)
	}
}

// status compares what readiness would say.
func (d *drill) status(usable, failing bool) {
	d.Helper()
	if got, failure := d.keys.Status(); got != usable || (failure != nil) != failing {
		d.Errorf("at %v: Status() = %v, %v; want usable %v and failing %v", time.Now(), got, failure, usable, failing)
	}
}

// fetches are the times at which Keycloak was asked for its keys, the last 1,000.
func (d *drill) fetches() []time.Time {
	var times []time.Time
	for _, r := range d.kc.Requests() {
		if r.Endpoint == "/certs" {
			times = append(times, r.Time)
		}
	}
	return times
}

// spaced checks that no fetch came sooner after the one before than it may.
func (d *drill) spaced(times []time.Time, least time.Duration) {
	d.Helper()
	for i := 1; i < len(times); i++ {
		if gap := times[i].Sub(times[i-1]); gap < least {
			d.Errorf("fetch %d came %v after the one before, at %v; want %v at least", i+1, gap, times[i], least)
		}
	}
}

// logged checks how often the log was written to since it was asked last, for whoever is woken by
// it.
func (d *drill) logged(want int) {
	d.Helper()
	d.log.mu.Lock()
	defer d.log.mu.Unlock()
	if got := len(d.log.lines); got != want {
		d.Errorf("%d lines were logged, want %d: %.1000q", got, want, d.log.lines)
	}
	d.log.lines = nil
}

// logLines are lines of a log, debugging apart.
type logLines struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (l *logLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
	return len(line), nil
}

// mostAtOnce is how many of these waited at the same time.
func mostAtOnce(waits []answer) int {
	most := 0
	for _, a := range waits {
		n := 0
		for _, b := range waits {
			if !b.begin.After(a.begin) && a.begin.Before(b.begin.Add(b.took)) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// A wire is a network of one listener, in memory. A pipe holds nothing back: what was read of it is
// what was taken.
type wire struct {
	calls  chan net.Conn
	gone   chan struct{}
	close  sync.Once
	detour detour

	mu    sync.Mutex // guards bytes
	bytes int        // that were read
}

// Accept, Close and Addr make it a net.Listener.
func (w *wire) Accept() (net.Conn, error) {
	select {
	case conn := <-w.calls:
		return conn, nil
	case <-w.gone:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error {
	w.close.Do(func() { close(w.gone) })
	return nil
}

func (w *wire) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case w.calls <- theirs:
		return &counted{ours, w}, nil
	case <-w.gone:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *wire) count(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += bytes
}

// read is how many bytes were read since it was asked last.
func (w *wire) read() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	bytes := w.bytes
	w.bytes = 0
	return bytes
}

type counted struct {
	net.Conn
	wire *wire
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.count(n)
	return n, err
}

// A detour is the way to Keycloak, which a drill may lead elsewhere.
type detour struct {
	usual http.RoundTripper

	mu    sync.Mutex // guards the fields below
	tries []time.Time
	to    func(*http.Request) (*http.Response, error)
}

func (d *detour) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	d.tries = append(d.tries, time.Now())
	to := d.to
	d.mu.Unlock()
	if to == nil {
		return d.usual.RoundTrip(r)
	}
	return to(r)
}

func (d *detour) lead(to func(*http.Request) (*http.Response, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to = to
}

// tried are the times of the requests since it was asked last, of those too that Keycloak never
// saw.
func (d *detour) tried() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	tries := d.tries
	d.tries = nil
	return tries
}
