package keycloaktest

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A Config configures a Server. The zero value listens on a free port of 127.0.0.1 and has no
// realms.
type Config struct {
	// Realms are the contents of realm files, as for Keycloak's --import-realm. A file may contain
	// several realms, or only users to add to the realm of another file.
	Realms [][]byte
	// ClientSecrets are client secrets by client ID, for all realms in Realms. Files that Keycloak
	// exported need them, because an export masks the secrets.
	ClientSecrets map[string]string
	// Listener accepts the connections; nil means a free port of 127.0.0.1. Close closes it. A TCP
	// listener must be on a loopback address, because passwords are sent in the clear.
	Listener net.Listener
	// PathPrefix precedes /realms in paths, like Keycloak's --http-relative-path: "/auth".
	PathPrefix string
	// PublicURL is the base of the issuer and of the URLs in discovery documents, like Keycloak's
	// --hostname. The default is the server's URL.
	PublicURL string
	// OwnKeys generates RSA keys for this server only. Otherwise its realms start with keys that
	// all servers of the process share, because generating a key takes longer than most tests.
	OwnKeys bool
	// Now is the clock, which Advance moves; nil means time.Now. It must not call methods of the
	// server or its realms, because it may be called while a realm is locked.
	Now func() time.Time
	// Logf, if set, logs details of failed sign-ins that Keycloak's error responses omit, such as
	// the missing fields of the user's profile. New sets it to the test's Logf.
	Logf func(format string, args ...any)
}

// A Server is a running fake Keycloak. Create it with New or Start. Its methods are safe for
// concurrent use.
type Server struct {
	// URL is the base URL of all endpoints: it includes the path prefix and has no trailing slash.
	URL string

	publicURL    string
	prefix       string
	clock        func() time.Time
	ownKeys      bool
	httpServer   *http.Server
	serveDone    chan struct{} // closed when Serve returns
	serveErr     error         // Serve's error; valid once serveDone is closed
	listener     *pausableListener
	ctx          context.Context // canceled by Close
	cancel       context.CancelFunc
	noticeClient *http.Client // sends back-channel logouts

	logMu sync.Mutex // guards logf, also during its calls
	logf  func(format string, args ...any)

	tb TB // passed to New; nil for a server created by Start

	mu            sync.Mutex // guards the fields below
	realms        map[string]*Realm
	removedRealms map[string]bool // names of removed realms
	realmCount    int             // including removed realms, for createKeys
	clockOffset   time.Duration
	faults        []*Fault
	requests      []Request
	requestCounts map[string]int
}

// Start starts a server, which Close stops. It returns an error if a realm file can't be imported.
func Start(config Config) (*Server, error) {
	listener := config.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("keycloaktest: %w", err)
		}
	}
	if addr, isTCP := listener.Addr().(*net.TCPAddr); isTCP && !addr.IP.IsLoopback() {
		listener.Close()
		return nil, fmt.Errorf(
			"keycloaktest: the listener is on %s, which isn't a loopback address: the fake "+
				"Keycloak must be reachable only from its own machine", addr)
	}
	prefix := strings.Trim(config.PathPrefix, "/")
	if prefix != "" {
		prefix = "/" + prefix
	}
	s := &Server{
		URL: "http://" + listener.Addr().String() + prefix, prefix: prefix, clock: config.Now,
		serveDone: make(chan struct{}), listener: &pausableListener{Listener: listener},
		realms: map[string]*Realm{}, removedRealms: map[string]bool{},
		requestCounts: map[string]int{},
		noticeClient:  newNoticeClient(), ownKeys: config.OwnKeys, logf: config.Logf,
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	s.publicURL = strings.TrimSuffix(config.PublicURL, "/")
	if s.publicURL == "" {
		s.publicURL = s.URL
	}
	realms, _, err := s.importFiles(config.Realms, importOptions{secrets: config.ClientSecrets})
	if err != nil {
		listener.Close()
		return nil, err
	}
	if err := checkSecretClients(config.ClientSecrets, realms...); err != nil {
		listener.Close()
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.httpServer = &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes: 64 << 10,
		ReadTimeout:    30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	go func() {
		defer close(s.serveDone)
		if err := s.httpServer.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.serveErr = fmt.Errorf("keycloaktest: %w", err)
		}
	}()
	return s, nil
}

// Close stops the server and aborts requests in flight. Calling it again does nothing.
func (s *Server) Close() {
	if s.listener == nil {
		return
	}
	s.cancel()
	s.logMu.Lock()
	s.logf = nil // logging to a test that has ended panics
	s.logMu.Unlock()
	s.httpServer.Close()
	<-s.serveDone
	s.noticeClient.CloseIdleConnections()
}

// Err returns the listener's error if the error stopped the server, for example because other code
// closed the listener. It returns nil while the server runs and after Close.
func (s *Server) Err() error {
	select {
	case <-s.serveDone:
		return s.serveErr
	default:
		return nil
	}
}

// TB is the part of testing.TB that New uses.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// New starts a server with these realm files and closes it when the test ends. It fails the test if
// a file can't be imported.
func New(t TB, realms ...[]byte) *Server {
	t.Helper()
	config := Config{Realms: realms}
	if logger, ok := t.(interface{ Logf(string, ...any) }); ok {
		config.Logf = logger.Logf
	}
	s, err := Start(config)
	if err != nil {
		t.Fatalf("%v", err)
	}
	s.tb = t
	t.Cleanup(s.Close)
	return s
}

// An ImportOption is an option of Server.Import.
type ImportOption func(*importOptions)

type importOptions struct {
	secrets map[string]string
}

// WithClientSecrets sets client secrets by client ID. Files that Keycloak exported need them,
// because an export masks the secrets.
func WithClientSecrets(secrets map[string]string) ImportOption {
	return func(o *importOptions) { o.secrets = secrets }
}

// Import adds the realm in a realm file. It returns an error if the file can't be parsed, if
// Keycloak's import would reject it, or if the server already has a realm of this name.
//
// If the file is a list of realms, Import adds all of them or none, and returns the first. If the
// file contains only users, as kc.sh export writes for separate user files, Import adds them to
// their realm, which must exist.
func (s *Server) Import(file []byte, opts ...ImportOption) (*Realm, error) {
	if s.listener == nil {
		return nil, errNoServer
	}
	var options importOptions
	for _, option := range opts {
		option(&options)
	}
	realms, addedRealms, err := s.importFiles([][]byte{file}, options)
	if err != nil {
		return nil, err
	}
	if err := checkSecretClients(options.secrets, realms...); err != nil {
		s.removeRealms(addedRealms)
		return nil, err
	}
	return realms[0], nil
}

// checkSecretClients returns an error if secrets names a client that none of the realms has.
func checkSecretClients(secrets map[string]string, realms ...*Realm) error {
	for id := range secrets {
		if !slices.ContainsFunc(realms, func(r *Realm) bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.clients[id] != nil
		}) {
			return fmt.Errorf(
				"keycloaktest: a secret is given for the client %q, which no realm has", id)
		}
	}
	return nil
}

// importRealm adds the realm in a realm file.
func (s *Server) importRealm(file []byte, options importOptions) (*Realm, error) {
	document, ignoredParts, err := realmfile.Read(file)
	if err != nil {
		return nil, fmt.Errorf("keycloaktest: realm file: %w", err)
	}
	errExists := fmt.Errorf("keycloaktest: there is a realm %s already", document.Realm)
	if s.findRealm(document.Realm) != nil {
		return nil, errExists // checked again below, but generating keys is slow
	}
	r, err := newRealm(s, document, options)
	if err != nil {
		return nil, fmt.Errorf("keycloaktest: realm %s: %w", document.Realm, err)
	}
	r.ignoredParts = ignoredParts
	s.mu.Lock()
	realmIndex := s.realmCount
	s.realmCount++
	s.mu.Unlock()
	r.createKeys(realmIndex) // slow, so call it without the lock
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.realms[r.name] != nil {
		return nil, errExists
	}
	s.realms[r.name] = r
	return r, nil
}

// Realm returns the realm with this name, or nil if it was removed. If the server never had such a
// realm, Realm fails the test passed to New and names the existing realms. A server created by
// Start has no test to fail, so Realm returns nil.
func (s *Server) Realm(name string) *Realm {
	if s.tb != nil {
		s.tb.Helper()
	}
	if r := s.findRealm(name); r != nil || s.tb == nil || s.wasRemoved(name) {
		return r
	}
	s.tb.Fatalf("keycloaktest: there is no realm %q: the server has %s", name, s.realmNames())
	return nil
}

// findRealm returns the realm with this name, or nil.
func (s *Server) findRealm(name string) *Realm {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.realms[name]
}

func (s *Server) wasRemoved(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removedRealms[name]
}

// realmNames lists the names of the server's realms for an error message.
func (s *Server) realmNames() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.realms) == 0 {
		return "none"
	}
	var names []string
	for name := range s.realms {
		names = append(names, strconv.Quote(name))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// logDetail logs a detail that Keycloak's response omits.
func (s *Server) logDetail(format string, args ...any) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	if s.logf != nil {
		s.logf("keycloaktest: "+format, args...)
	}
}

var errNoServer = errors.New(
	"keycloaktest: the zero Server doesn't listen: make one with keycloaktest.New or " +
		"keycloaktest.Start")

// Remove deletes a realm and reports whether it existed. Afterwards, methods of the Realm and of
// its Users return an error if they have an error result.
func (s *Server) Remove(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.realms[name]
	if ok {
		r.isRemoved.Store(true)
		s.removedRealms[name] = true
		delete(s.realms, name)
	}
	return ok
}

// Now returns the server's time.
func (s *Server) Now() time.Time {
	clock := s.clock // may be the test's own function, so call it without the lock
	if clock == nil {
		clock = time.Now
	}
	now := clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Add(s.clockOffset)
}

// Advance moves the server's clock forward by d, or back if d is negative.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clockOffset += d
}

// serve handles a request: it records the request, applies a fault if there is one, and responds.
func (s *Server) serve(w http.ResponseWriter, httpRequest *http.Request) {
	defer recoverPanic(w)
	fault := s.recordRequest(httpRequest)
	if fault != nil && fault.apply(s, w, httpRequest) {
		return
	}
	resp := s.route(w, httpRequest)
	if fault != nil && fault.Truncate {
		writeTruncated(w, resp)
		return
	}
	resp.write(w)
}

// recoverPanic logs a panic and responds with status 500. Otherwise, net/http would close the
// connection, which would look like a Fault.
func recoverPanic(w http.ResponseWriter) {
	switch value := recover(); value {
	case nil:
	case http.ErrAbortHandler:
		panic(value)
	default:
		log.Printf("keycloaktest: panic: %v\n%s", value, debug.Stack())
		jsonResponse(http.StatusInternalServerError, "",
			errorBody{codeUnsupported, fmt.Sprintf("a bug in keycloaktest: panic: %v", value)}).
			write(w)
	}
}
