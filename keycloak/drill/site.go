package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// What a key set promises.
const (
	floor    = time.Second     // from the start of a fetch to that of the next
	patience = time.Second     // that a request waits for a fetch at most
	crowd    = 16              // requests that wait for a fetch at most
	deadline = 3 * time.Second // of a fetch
	refresh  = 5 * time.Minute // between two fetches in the background, at most
	maxAge   = 24 * time.Hour  // of keys that can't be fetched again
	maxBody  = 1<<20 + 64<<10  // bytes read of a response, buffers included
	backAt   = 5 * time.Second // until a Keycloak that is back is found
)

const (
	connections = 64
	keysDelay   = 400 * time.Millisecond // of Keycloak's keys, where requests shall wait for them
)

// A site is a Keycloak and a server that verifies its tokens.
type site struct {
	name       string
	network    network
	kc         *keycloaktest.Server
	realm      *keycloaktest.Realm
	keys       *keycloak.KeySet
	fetches    *keyTransport
	middleware func(http.Handler) http.Handler
	server     *http.Server
	url        string
	client     *http.Client // nil where requests don't go over connections
	ctx        context.Context
	stop       context.CancelFunc
	parts      []string // of a good token, which tokens of unknown keys are made of
	log        logLines
	lag        time.Duration // by which a machine may be late; 0 with a fake clock
	work       time.Duration // longest verification without a wait; 0 with a fake clock
	rows       []row
}

// A network is where servers listen and how they are reached.
type network interface {
	listen() (net.Listener, error)
	dial(ctx context.Context, network, address string) (net.Conn, error)
}

type loopback struct{ net.Dialer }

func (*loopback) listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func (l *loopback) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return l.DialContext(ctx, network, address)
}

// newSite makes a site for a scenario. A nil network is that of 127.0.0.1, and time is real there;
// in another one it stands still while something is done. The keys are fetched from start on. The
// caller must Close the site.
func newSite(scenario string, n network) (*site, error) {
	s := &site{name: scenario, network: n}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if n == nil {
		s.network, s.lag, s.work = &loopback{}, 250*time.Millisecond, keysDelay/2
	}
	if err := s.open(n == nil); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *site) open(connected bool) error {
	listener, err := s.network.listen()
	if err != nil {
		return err
	}
	firstKey := map[string]any{
		"name": "first", "providerId": "ecdsa-generated",
		"config": map[string]any{"priority": []string{"100"}},
	}
	file := keycloaktest.RealmSpec{Name: "shop", Settings: map[string]any{
		"components": map[string]any{"org.keycloak.keys.KeyProvider": []any{firstKey}},
	}}.File()
	s.kc, err = keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{file}, Listener: listener})
	if err != nil {
		return err
	}
	s.realm = s.kc.Realm("shop")
	realm, err := keycloak.NewRealm(s.kc.URL, "shop")
	if err != nil {
		return err
	}
	s.fetches = newKeyTransport(keycloak.NewTransport(), s.network.dial)
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	s.keys = keycloak.NewKeySet(realm, keycloak.KeySetConfig{Transport: s.fetches, Log: log})
	verifier, err := keycloak.NewVerifier(keycloak.VerifierConfig{
		Issuers:  []keycloak.Issuer{{Names: []string{s.realm.Issuer()}, Keys: s.keys}},
		Audience: []string{"shop-api"},
	})
	if err != nil {
		return err
	}
	s.middleware = keycloak.Middleware(verifier, log)
	s.parts = strings.Split(s.good(), ".")
	if !connected {
		return nil
	}
	if listener, err = s.network.listen(); err != nil {
		return err
	}
	s.url = "http://" + listener.Addr().String()
	s.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			json.NewEncoder(w).Encode(s.verify(r))
		})}
	go s.server.Serve(listener) // until Close
	s.client = &http.Client{Timeout: 30 * time.Second,
		Transport: &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections}}
	return nil
}

func (s *site) Close() {
	s.stop()
	if s.server != nil {
		s.server.Close()
		s.client.CloseIdleConnections()
	}
	if s.kc != nil {
		s.kc.Close()
	}
	if s.fetches != nil {
		s.fetches.base.CloseIdleConnections()
	}
}

// run starts the refresher.
func (s *site) run() { go s.keys.Run(s.ctx) }

// start starts the refresher and returns when it has fetched the keys and another fetch is allowed.
func (s *site) start() error {
	s.run()
	if _, ok := until(10*time.Second, func() bool { return s.status(true, false) }); !ok {
		return errors.New("the keys don't come")
	}
	s.log.take()
	time.Sleep(floor)
	return nil
}

// status reports whether readiness is as expected.
func (s *site) status(usable, failing bool) bool {
	got, err := s.keys.Status()
	return got == usable && (err != nil) == failing
}

// An answer is what the middleware found out about a token.
type answer struct {
	Begin  time.Time
	Waited time.Duration // for keys
	Said   string        // the user's id, or the reason why there is none
	Detail string        // of the reason

	took time.Duration // until it came
}

// Values of answer.Said.
var (
	alice       = "alice"
	unknownKey  = identity.ErrKeyUnknown.Error()
	unavailable = identity.ErrKeysUnavailable.Error()
)

// undecided reports whether the key was unknown, or may yet come with a fetch that is under way.
func (a answer) undecided() bool {
	return a.Said == unknownKey ||
		a.Said == unavailable && strings.Contains(a.Detail, "still being fetched")
}

func (s *site) verify(r *http.Request) (a answer) {
	a.Begin = time.Now()
	s.middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if a.Waited = time.Since(a.Begin); a.Waited <= s.work {
			a.Waited = 0
		}
		user, err := identity.Require(r.Context())
		if refused, ok := errors.AsType[*identity.Error](err); ok {
			a.Said, a.Detail = refused.Reason.Error(), identity.Detail(err)
		} else if err != nil {
			a.Said = err.Error()
		} else {
			a.Said = user.ID
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
	return a
}

// verifyHere verifies a token without a connection.
func (s *site) verifyHere(token string) answer {
	return s.verify(&http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}})
}

// ask sends a token to the server. Where there is no answer, it says why.
func (s *site) ask(token string) (a answer) {
	if s.client == nil {
		return s.verifyHere(token)
	}
	begin := time.Now()
	err := func() error {
		request, err := http.NewRequest(http.MethodGet, s.url, nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := s.client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}()
	if err != nil {
		a = answer{Begin: begin, Said: err.Error()}
	}
	a.took = time.Since(begin)
	return a
}

// token returns a token of alice, except for what m says, signed with the current key.
func (s *site) token(m keycloaktest.TokenSpec) string {
	claims := map[string]any{"aud": "shop-api", "sub": alice}
	maps.Copy(claims, m.Claims)
	m.Claims, m.Algorithm = claims, "ES256"
	token, err := s.realm.Mint(m)
	must(err)
	return token
}

// good returns a token that outlives any scenario.
func (s *site) good() string { return s.token(keycloaktest.TokenSpec{Lifetime: 2 * maxAge}) }

// unknownKey returns a token that names a key which doesn't exist; nothing else is wrong with it.
func (s *site) unknownKey(n int) string {
	header := fmt.Sprintf(`{"alg":"ES256","typ":"JWT","kid":"unknown-%d"}`, n)
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + s.parts[1] + "." +
		s.parts[2]
}

// rotate makes a key that signs from now on, and returns the old one. That stays listed, passive,
// as an administrator leaves it.
func (s *site) rotate() (old string) {
	old = s.realm.SigningKey("ES256")
	_, err := s.realm.RotateKeys("ES256")
	must(err)
	must(s.realm.SetKeyPassive(old, true))
	return old
}

func (s *site) remove(key string) { must(s.realm.RemoveKey(key)) }

// must panics where a scenario asks Keycloak for what it can't do, which is a bug of the scenario.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// keySet returns what the realm answers as its key set, and one key of it.
func (s *site) keySet() (set, key string, err error) {
	response, err := (&http.Client{Transport: s.fetches.base}).Get(s.realm.Issuer() +
		"/protocol/openid-connect/certs")
	if err != nil {
		return "", "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", "", err
	}
	var keys struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(body, &keys); err != nil || len(keys.Keys) == 0 {
		return "", "", fmt.Errorf("the key set is %q: %w", body, err)
	}
	return string(body), string(keys.Keys[len(keys.Keys)-1]), nil
}

// until asks again and again whether something is so, and returns how long that took.
func until(limit time.Duration, so func() bool) (took time.Duration, ok bool) {
	begin := time.Now()
	for !so() {
		if time.Since(begin) >= limit {
			return time.Since(begin), false
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin), true
}

// keepAsking asks with the current token, with these pauses between, until it is stopped.
func (s *site) keepAsking(t *tally, pause time.Duration, token func() string,
	want string) (stop func()) {
	ended := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			a := s.ask(token())
			t.add(a, a.Said == want)
			select {
			case <-ended:
				return
			case <-time.After(pause):
			}
		}
	})
	return func() {
		close(ended)
		asking.Wait()
	}
}

// A tally counts answers. Read its fields when no more are added.
type tally struct {
	mu           sync.Mutex // guards the fields below
	total, wrong int
	first        string // wrong answer
	took         []time.Duration
	waits        []answer // for keys
	longest      time.Duration
}

// add counts an answer, and whether it is right.
func (t *tally) add(a answer, right bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total++
	t.took = append(t.took, a.took)
	if a.Waited > 0 {
		t.waits, t.longest = append(t.waits, a), max(t.longest, a.Waited)
	}
	if !right {
		if t.wrong == 0 {
			t.first = fmt.Sprintf(", first %s at %v after %v", a.Said, a.Begin, a.Waited)
		}
		t.wrong++
	}
}

// percentile is the time within which that part of the answers came.
func (t *tally) percentile(part float64) time.Duration {
	slices.Sort(t.took)
	if len(t.took) == 0 {
		return 0
	}
	return t.took[min(len(t.took)-1, int(part*float64(len(t.took))))]
}

// mostAtOnce returns how many of these waited at the same time.
func mostAtOnce(waits []answer) int {
	highest := 0
	for _, a := range waits {
		n := 0
		for _, b := range waits {
			if !b.Begin.After(a.Begin) && a.Begin.Before(b.Begin.Add(b.Waited)) {
				n++
			}
		}
		highest = max(highest, n)
	}
	return highest
}

// logLines are lines of a log, debugging excepted.
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

// take returns the lines since it was called last.
func (l *logLines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}
