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

// A Config says how to start a Server. The zero value listens on a free port of 127.0.0.1 and has
// no realm.
type Config struct {
	// Realms are realm files, as Keycloak's --import-realm takes them: one with a list of realms is
	// several, and the users of a file of their own are added to their realm.
	Realms [][]byte
	// ClientSecrets are the secrets of clients by client id, for realm files that were exported: an
	// export masks them. They apply to every realm of the list.
	ClientSecrets map[string]string
	// Listener is where to listen, and the server's from then on; nil means a free port of
	// 127.0.0.1. A TCP address that isn't of loopback is refused: passwords pass here in the clear.
	Listener net.Listener
	// PathPrefix comes before /realms: "/auth", as with Keycloak's --http-relative-path.
	PathPrefix string
	// PublicURL is the base of the issuer and of every URL that discovery names, as with Keycloak's
	// --hostname; the default is URL.
	PublicURL string
	// OwnKeys makes keys for this server's realms alone. Without it, the RSA keys that realms begin
	// with are shared with the other servers of the process, since making one takes longer than
	// most tests.
	OwnKeys bool
	// Now is the clock; nil means time.Now. Advance is added to it. It may be called while a realm
	// is locked, so that it must not call the server or its realms.
	Now func() time.Time
	// Logf, if set, is told why a person can't sign in where Keycloak's answer doesn't say: which
	// fields an account lacks. New sets it to the Logf of its test.
	Logf func(format string, args ...any)
}

// A Server is a stand-in that listens. Make it with New or Start. Its methods may be called by
// several goroutines at once.
type Server struct {
	// URL is the base of all endpoints, path prefix included, without a slash at its end.
	URL string

	publicURL string
	prefix    string
	clock     func() time.Time
	ownKeys   bool
	listening *http.Server
	ended     chan struct{} // closed when Serve has returned
	failure   error         // why it returned, if it wasn't closed; read it once ended is closed
	listener  *pausableListener
	gone      context.Context // done once the server is closed; it ends what waits
	close     context.CancelFunc
	calls     *http.Client // for back-channel logout

	logMu sync.Mutex // guards logf, and is held while it is called
	logf  func(format string, args ...any)

	test TB // of New; nil for a server made by Start

	mu      sync.Mutex // guards the fields below
	realms  map[string]*Realm
	removed map[string]bool // the names of realms that were removed
	made    int             // realms that were made, for their keys
	offset  time.Duration
	faults  []*Fault
	log     []Request
	counted map[string]int
}

// Start starts a server. It fails when a realm file can't be read or asks for what the stand-in
// doesn't have, and says what. Close stops it.
func Start(config Config) (*Server, error) {
	listener := config.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("keycloaktest: %w", err)
		}
	}
	if at, tcp := listener.Addr().(*net.TCPAddr); tcp && !at.IP.IsLoopback() {
		listener.Close()
		return nil, fmt.Errorf(
			"keycloaktest: the listener is on %s, which isn't loopback: a stand-in is for the "+
				"machine it runs on", at)
	}
	prefix := strings.Trim(config.PathPrefix, "/")
	if prefix != "" {
		prefix = "/" + prefix
	}
	s := &Server{
		URL: "http://" + listener.Addr().String() + prefix, prefix: prefix, clock: config.Now,
		ended: make(chan struct{}), listener: &pausableListener{Listener: listener},
		realms: map[string]*Realm{}, removed: map[string]bool{}, counted: map[string]int{},
		calls: newCaller(), ownKeys: config.OwnKeys, logf: config.Logf,
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
	if err := unusedSecrets(config.ClientSecrets, realms...); err != nil {
		listener.Close()
		return nil, err
	}
	s.gone, s.close = context.WithCancel(context.Background())
	s.listening = &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes: 64 << 10,
		ReadTimeout:    30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	go func() {
		defer close(s.ended)
		if err := s.listening.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.failure = fmt.Errorf("keycloaktest: %w", err)
		}
	}()
	return s, nil
}

// Close stops the server and ends what is under way. It may be called again.
func (s *Server) Close() {
	if s.listener == nil {
		return
	}
	s.close()
	s.logMu.Lock()
	s.logf = nil // a test that has ended mustn't be told anything
	s.logMu.Unlock()
	s.listening.Close()
	<-s.ended
	s.calls.CloseIdleConnections()
}

// Err is what its Listener failed with, which ended the server: somebody else closed it, perhaps.
// It is nil while the server answers, and when Close ended it.
func (s *Server) Err() error {
	select {
	case <-s.ended:
		return s.failure
	default:
		return nil
	}
}

// TB is the part of testing.TB that New needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// New starts a server with these realm files for one test, and closes it when the test ends.
func New(t TB, realms ...[]byte) *Server {
	t.Helper()
	config := Config{Realms: realms}
	if log, ok := t.(interface{ Logf(string, ...any) }); ok {
		config.Logf = log.Logf
	}
	s, err := Start(config)
	if err != nil {
		t.Fatalf("%v", err)
	}
	s.test = t
	t.Cleanup(s.Close)
	return s
}

// An ImportOption changes how a realm file is read.
type ImportOption func(*importOptions)

type importOptions struct {
	secrets map[string]string
}

// WithClientSecrets gives the secrets of clients by client id: an exported realm masks them.
func WithClientSecrets(secrets map[string]string) ImportOption {
	return func(o *importOptions) { o.secrets = secrets }
}

// Import adds a realm from its file. It fails when the file can't be read, when Keycloak's import
// would refuse it, and when the server has a realm of this name. A file with a list of realms adds
// all of them, or none, and the first is returned. A file with nothing but the users of a realm
// that is there, such as kc.sh export writes beside the realm's own, adds them to it.
func (s *Server) Import(file []byte, options ...ImportOption) (*Realm, error) {
	if s.listener == nil {
		return nil, errNoServer
	}
	var settings importOptions
	for _, option := range options {
		option(&settings)
	}
	realms, added, err := s.importFiles([][]byte{file}, settings)
	if err != nil {
		return nil, err
	}
	if err := unusedSecrets(settings.secrets, realms...); err != nil {
		s.withdraw(added)
		return nil, err
	}
	return realms[0], nil
}

// unusedSecrets fails for a secret that is given for no client of the realms: its name is a
// mistake.
func unusedSecrets(secrets map[string]string, realms ...*Realm) error {
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

func (s *Server) importRealm(file []byte, settings importOptions) (*Realm, error) {
	document, ignored, err := realmfile.Read(file)
	if err != nil {
		return nil, fmt.Errorf("keycloaktest: realm file: %w", err)
	}
	taken := fmt.Errorf("keycloaktest: there is a realm %s already", document.Realm)
	if s.find(document.Realm) != nil {
		return nil, taken // before a key is made for nothing
	}
	r, err := newRealm(s, document, settings)
	if err != nil {
		return nil, fmt.Errorf("keycloaktest: realm %s: %w", document.Realm, err)
	}
	r.ignored = ignored
	s.mu.Lock()
	place := s.made
	s.made++
	s.mu.Unlock()
	r.firstKeys(place) // which may take a while
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.realms[r.name] != nil {
		return nil, taken
	}
	s.realms[r.name] = r
	return r, nil
}

// Realm returns the realm of a name. Where the server has none, and never had, it fails the test
// that New was called with, and names the realms that there are. A server made by Start has no test
// to fail: there, and for a realm that was removed, it returns nil, whose methods say so.
func (s *Server) Realm(name string) *Realm {
	if s.test != nil {
		s.test.Helper()
	}
	if found := s.find(name); found != nil || s.test == nil || s.wasRemoved(name) {
		return found
	}
	s.test.Fatalf("keycloaktest: there is no realm %q: the server has %s", name, s.realmNames())
	return nil
}

func (s *Server) find(name string) *Realm {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.realms[name]
}

func (s *Server) wasRemoved(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removed[name]
}

// realmNames are the names of the realms that there are, for people.
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

// explain tells the author of a test what Keycloak's answer doesn't say.
func (s *Server) explain(format string, args ...any) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	if s.logf != nil {
		s.logf("keycloaktest: "+format, args...)
	}
}

var errNoServer = errors.New(
	"keycloaktest: the zero Server doesn't listen: make one with keycloaktest.New or " +
		"keycloaktest.Start")

// Remove deletes a realm and reports whether there was one. Methods of the realm and of its users
// that return an error fail from then on.
func (s *Server) Remove(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, there := s.realms[name]
	if there {
		r.removed.Store(true)
		s.removed[name] = true
		delete(s.realms, name)
	}
	return there
}

// Now is the server's time.
func (s *Server) Now() time.Time {
	clock := s.clock // called without the lock: it is the caller's own
	if clock == nil {
		clock = time.Now
	}
	now := clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Add(s.offset)
}

// Advance moves the server's clock, back when d is negative.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += d
}

// serve is the way of every request: it is counted, may meet a fault, and is answered.
func (s *Server) serve(w http.ResponseWriter, request *http.Request) {
	defer recoverPanic(w)
	fault := s.record(request)
	if fault != nil && fault.before(s, w, request) {
		return
	}
	out := s.answer(w, request)
	if fault != nil && fault.Truncate {
		cutShort(w, out)
		return
	}
	out.write(w)
}

// recoverPanic logs a bug of the stand-in's own and answers for it; net/http would drop the
// connection, as a fault does that was asked for.
func recoverPanic(w http.ResponseWriter) {
	switch bug := recover(); bug {
	case nil:
	case http.ErrAbortHandler:
		panic(bug)
	default:
		log.Printf("keycloaktest: panic: %v\n%s", bug, debug.Stack())
		document(http.StatusInternalServerError, "",
			oauthError{notInStandIn, fmt.Sprintf("a bug of keycloaktest: panic: %v", bug)}).write(w)
	}
}
