package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

const connections = 64

// A site is a Keycloak and a server that verifies its tokens, and counts who had to wait for that.
type site struct {
	kc     *keycloaktest.Server
	realm  *keycloaktest.Realm
	keys   *keycloak.KeySet
	line   *line
	check  func(http.Handler) http.Handler
	server *http.Server
	url    string
	client *http.Client
	stop   context.CancelFunc
	parts  []string // of a good token, which junk is made of

	mu    sync.Mutex // guards waits
	waits []span
}

// A span is a wait that was longer than the work of verifying can be.
type span struct {
	begin time.Time
	took  time.Duration
}

// A wait is told from work by its length, while Keycloak takes so long that it can be.
const (
	keysDelay = 400 * time.Millisecond
	longWork  = keysDelay / 2
)

// newSite starts both servers, and returns when the keys are there. Close ends them.
func newSite() (*site, error) {
	plan := keycloaktest.Plan{Name: "shop", Settings: map[string]any{"components": map[string]any{
		"org.keycloak.keys.KeyProvider": []any{map[string]any{"name": "first", "providerId": "ecdsa-generated"}},
	}}}
	kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{plan.File()}})
	if err != nil {
		return nil, err
	}
	s := &site{kc: kc, realm: kc.Realm("shop"), stop: func() {}}
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *site) open() error {
	realm, err := keycloak.NewRealm(s.kc.URL, "shop")
	if err != nil {
		return err
	}
	s.line = newLine(keycloak.NewTransport())
	quiet := slog.New(slog.DiscardHandler)
	s.keys = keycloak.NewKeySet(realm, keycloak.KeySetConfig{Transport: s.line, Log: quiet})
	verifier, err := keycloak.NewVerifier(keycloak.VerifierConfig{
		Issuers: []keycloak.Issuer{{Names: []string{s.realm.Issuer()}, Keys: s.keys}}, Audience: []string{"shop-api"},
	})
	if err != nil {
		return err
	}
	s.check = keycloak.Middleware(verifier, quiet)
	token, err := s.token(keycloaktest.Mint{Lifetime: 24 * time.Hour})
	if err != nil {
		return err
	}
	s.parts = strings.Split(token, ".")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.url = "http://" + listener.Addr().String()
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	go s.server.Serve(listener) // until Close
	s.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections}}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.keys.Run(ctx)
	if _, known := until(10*time.Second, func() bool { usable, _ := s.keys.Status(); return usable }); !known {
		return errors.New("the keys don't come")
	}
	return nil
}

func (s *site) Close() {
	s.stop()
	if s.server != nil {
		s.server.Close()
		s.client.CloseIdleConnections()
	}
	s.kc.Close()
	if s.line != nil {
		s.line.usual.CloseIdleConnections()
	}
}

// serve answers with the name of who calls, or why nobody does.
func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	s.check(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if took := time.Since(begin); took > longWork {
			s.mu.Lock()
			s.waits = append(s.waits, span{begin, took})
			s.mu.Unlock()
		}
		io.WriteString(w, callerOf(r))
	})).ServeHTTP(w, r)
}

// callerOf is the user's id, or the reason why there is none.
func callerOf(r *http.Request) string {
	user, err := identity.Require(r.Context())
	if refused, ok := errors.AsType[*identity.Error](err); ok {
		return refused.Reason.Error()
	}
	if err != nil {
		return err.Error()
	}
	return user.ID
}

// What serve says.
var (
	alice       = "alice"
	unknown     = identity.ErrKeyUnknown.Error()
	unavailable = identity.ErrKeysUnavailable.Error()
)

// ask sends a token and returns what serve says of it. Where there is no answer, that is what it
// returns.
func (s *site) ask(token string) string {
	request, err := http.NewRequest(http.MethodGet, s.url, nil)
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := s.client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// token is one of alice's, but for what m says, signed with the key that signs now.
func (s *site) token(m keycloaktest.Mint) (string, error) {
	claims := map[string]any{"aud": "shop-api", "sub": alice}
	maps.Copy(claims, m.Claims)
	m.Claims, m.Algorithm = claims, "ES256"
	if m.Lifetime == 0 {
		m.Lifetime = 25 * time.Hour // longer than any drill
	}
	return s.realm.Mint(m)
}

// junk is a token that nothing is wrong with, but that it names a key which nobody has.
func (s *site) junk(n int) string {
	header := fmt.Sprintf(`{"alg":"ES256","typ":"JWT","kid":"junk-%d"}`, n)
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + s.parts[1] + "." + s.parts[2]
}

// rotate makes a key that signs from now on, and returns the old one, passive, and a token of the
// new one.
func (s *site) rotate() (old, token string, err error) {
	old = s.realm.SigningKey("ES256")
	if _, err = s.realm.RotateKeys("ES256"); err != nil {
		return "", "", err
	}
	if err = s.realm.SetKeyPassive(old, true); err != nil {
		return "", "", err
	}
	token, err = s.token(keycloaktest.Mint{})
	return old, token, err
}

// until asks again and again whether something is so, and returns how long that took.
func until(most time.Duration, so func() bool) (took time.Duration, ok bool) {
	begin := time.Now()
	for !so() {
		if time.Since(begin) > most {
			return time.Since(begin), false
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin), true
}

// A line is the way from the key set to Keycloak. It notes when keys are fetched and what that
// costs, and can lead elsewhere.
type line struct {
	usual *http.Transport

	mu      sync.Mutex // guards the fields below
	to      string     // an address; empty for Keycloak's
	begun   []time.Time
	longest time.Duration // of a fetch
	bytes   int
	largest int // bytes of a fetch
}

func newLine(usual *http.Transport) *line {
	l := &line{usual: usual}
	dial := usual.DialContext
	usual.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		l.mu.Lock()
		if l.to != "" {
			address = l.to
		}
		l.mu.Unlock()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &counted{conn, l}, nil
	}
	return l
}

// lead leads elsewhere, or back to Keycloak when address is empty, and forgets what it noted.
func (l *line) lead(address string) {
	l.mu.Lock()
	l.to, l.begun, l.longest, l.bytes, l.largest = address, nil, 0, 0, 0
	l.mu.Unlock()
	l.usual.CloseIdleConnections()
}

// RoundTrip is called for one fetch at a time.
func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	begin := time.Now()
	l.mu.Lock()
	l.begun = append(l.begun, begin)
	l.bytes = 0
	l.mu.Unlock()
	ended := sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.longest, l.largest = max(l.longest, time.Since(begin)), max(l.largest, l.bytes)
	})
	response, err := l.usual.RoundTrip(r)
	if err != nil {
		ended()
		return nil, err
	}
	response.Body = &body{response.Body, ended}
	return response, nil
}

// fetches are when fetches began, with the shortest time between two. most is how many there were
// in any second: what of it passes between the decision to fetch and this note isn't always the
// same, so that a second is a little less here.
func (l *line) fetches() (times []time.Time, least time.Duration, most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	least = time.Hour
	for i, begin := range l.begun {
		if i > 0 {
			least = min(least, begin.Sub(l.begun[i-1]))
		}
		n := 0
		for _, other := range l.begun[i:] {
			if other.Sub(begin) < floor*95/100 {
				n++
			}
		}
		most = max(most, n)
	}
	return slices.Clone(l.begun), least, most
}

// cost is what the fetch that cost most took, of time and of bytes.
func (l *line) cost() (longest time.Duration, largest int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.longest, l.largest
}

type counted struct {
	net.Conn
	line *line
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.line.mu.Lock()
	c.line.bytes += n
	c.line.mu.Unlock()
	return n, err
}

// A body tells when it is closed.
type body struct {
	io.ReadCloser
	closed func()
}

func (b *body) Close() error {
	defer b.closed()
	return b.ReadCloser.Close()
}
