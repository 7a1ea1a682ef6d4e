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

// The documented limits of a KeySet.
const (
	minFetchInterval = time.Second     // between the starts of two fetches
	maxWait          = time.Second     // longest wait of a request for a fetch
	maxWaiters       = 16              // requests that wait for the same fetch
	fetchTimeout     = 3 * time.Second // longest duration of a fetch
	refreshInterval  = 5 * time.Minute // longest time between two fetches by the refresher
	maxAge           = 24 * time.Hour  // of keys that can't be refreshed
	maxBodyBytes     = 1<<20 + 64<<10  // bytes of a response that are read, including buffers
	maxRetryInterval = 5 * time.Second // longest time between two fetches after a failure
)

const (
	connectionCount = 64
	keysDelay       = 400 * time.Millisecond // of the key set's response, to make requests wait
)

// A system is the system under test: a fake Keycloak, and a server that verifies its tokens.
type system struct {
	name          string
	network       network
	kc            *keycloaktest.Server
	realm         *keycloaktest.Realm
	keys          *keycloak.KeySet
	fetches       *keyTransport
	middleware    func(http.Handler) http.Handler
	server        *http.Server
	url           string
	client        *http.Client // nil if tokens are verified without connections
	ctx           context.Context
	stop          context.CancelFunc
	tokenParts    []string // of a valid token, for building tokens with unknown keys
	log           logLines
	tolerance     time.Duration // for delays of a busy machine; 0 with a fake clock
	maxVerifyTime time.Duration // a longer verification must have waited; 0 with a fake clock
	results       []checkResult
}

// A network connects clients to servers.
type network interface {
	listen() (net.Listener, error)
	dial(ctx context.Context, network, address string) (net.Conn, error)
}

// loopback is the network of 127.0.0.1.
type loopback struct{ net.Dialer }

func (*loopback) listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func (l *loopback) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return l.DialContext(ctx, network, address)
}

// newSystem returns a system for a scenario. A nil network means 127.0.0.1 in real time; any other
// network needs a fake clock. The key set is idle until startWithKeys or
// startRefresher. The caller must call Close.
func newSystem(scenario string, n network) (*system, error) {
	s := &system{name: scenario, network: n}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if n == nil {
		s.network, s.tolerance, s.maxVerifyTime = &loopback{}, 250*time.Millisecond, keysDelay/2
	}
	if err := s.open(n == nil); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// open starts the fake Keycloak. If useConnections is true, it also starts the server, and
// tokens are sent to it over connections; otherwise they are verified directly.
func (s *system) open(useConnections bool) error {
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
	s.tokenParts = strings.Split(s.validToken(), ".")
	if !useConnections {
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
	go s.server.Serve(listener) // ends with Close
	s.client = &http.Client{Timeout: 30 * time.Second,
		Transport: &http.Transport{MaxConnsPerHost: connectionCount,
			MaxIdleConnsPerHost: connectionCount}}
	return nil
}

// Close stops the refresher and the servers.
func (s *system) Close() {
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

// startRefresher starts the refresher.
func (s *system) startRefresher() { go s.keys.Run(s.ctx) }

// startWithKeys starts the refresher, and waits until it has fetched the keys and may fetch them
// again.
func (s *system) startWithKeys() error {
	s.startRefresher()
	if _, ok := waitUntil(10*time.Second, func() bool { return s.status() == statusFresh }); !ok {
		return errors.New("the keys weren't fetched")
	}
	s.log.drain()
	time.Sleep(minFetchInterval)
	return nil
}

// A keyStatus describes the results of KeySet.Status.
type keyStatus string

const (
	statusFresh    keyStatus = "usable keys"
	statusStale    keyStatus = "usable keys, and a failed fetch"
	statusUnusable keyStatus = "no usable keys, and a failed fetch"
	statusEmpty    keyStatus = "no keys" // before the first fetch
)

// status returns the status of the key set.
func (s *system) status() keyStatus {
	usable, err := s.keys.Status()
	switch {
	case usable && err == nil:
		return statusFresh
	case usable:
		return statusStale
	case err != nil:
		return statusUnusable
	}
	return statusEmpty
}

// An outcome is the result of verifying a token.
type outcome struct {
	Start    time.Time
	WaitTime time.Duration // for keys
	Result   string        // the user's ID, or the error
	Detail   string        // of the error

	duration time.Duration // of the whole request
}

// Values of outcome.Result.
var (
	aliceID         = "alice"
	unknownKeyText  = identity.ErrKeyUnknown.Error()
	unavailableText = identity.ErrKeysUnavailable.Error()
)

// isKeyMissing reports whether the key was unknown, or was still being fetched.
func (o outcome) isKeyMissing() bool {
	return o.Result == unknownKeyText ||
		o.Result == unavailableText && strings.Contains(o.Detail, "still being fetched")
}

// verify runs the middleware on a request, and returns the outcome.
func (s *system) verify(r *http.Request) (o outcome) {
	o.Start = time.Now()
	s.middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if o.WaitTime = time.Since(o.Start); o.WaitTime <= s.maxVerifyTime {
			o.WaitTime = 0
		}
		user, err := identity.Require(r.Context())
		if identityErr, ok := errors.AsType[*identity.Error](err); ok {
			o.Result, o.Detail = identityErr.Reason.Error(), identity.Detail(err)
		} else if err != nil {
			o.Result = err.Error()
		} else {
			o.Result = user.ID
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
	return o
}

// verifyDirect verifies a token without a connection.
func (s *system) verifyDirect(token string) outcome {
	return s.verify(&http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}})
}

// send sends a token to the server. If the request fails, Result is the error.
func (s *system) send(token string) (o outcome) {
	if s.client == nil {
		return s.verifyDirect(token)
	}
	start := time.Now()
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
		if err := json.NewDecoder(response.Body).Decode(&o); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}()
	if err != nil {
		o = outcome{Start: start, Result: err.Error()}
	}
	o.duration = time.Since(start)
	return o
}

// mint returns a token signed with the current key. Its subject is alice, unless spec.Claims has
// another sub.
func (s *system) mint(spec keycloaktest.TokenSpec) string {
	claims := map[string]any{"aud": "shop-api", "sub": aliceID}
	maps.Copy(claims, spec.Claims)
	spec.Claims, spec.Algorithm = claims, "ES256"
	token, err := s.realm.Mint(spec)
	must(err)
	return token
}

// validToken returns a token of alice that outlives any scenario.
func (s *system) validToken() string { return s.mint(keycloaktest.TokenSpec{Lifetime: 2 * maxAge}) }

// unknownKeyToken returns a token that is valid except that its key doesn't exist.
func (s *system) unknownKeyToken(n int) string {
	header := fmt.Sprintf(`{"alg":"ES256","typ":"JWT","kid":"unknown-%d"}`, n)
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + s.tokenParts[1] + "." +
		s.tokenParts[2]
}

// rotate makes the realm sign with a new key, and returns the old one. The old key stays listed as
// passive, which is how administrators rotate keys.
func (s *system) rotate() (oldKey string) {
	oldKey = s.realm.SigningKeyID("ES256")
	_, err := s.realm.RotateKeys("ES256")
	must(err)
	must(s.realm.SetKeyPassive(oldKey, true))
	return oldKey
}

// remove removes a key from the realm.
func (s *system) remove(key string) { must(s.realm.RemoveKey(key)) }

// must panics if err isn't nil. An error of package keycloaktest is a bug in the scenario.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// fetchKeySet fetches the realm's key set, and returns it and its last key.
func (s *system) fetchKeySet() (keySet, key string, err error) {
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

// waitUntil waits until condition holds, at most for limit, and returns the time that passed.
func waitUntil(limit time.Duration, condition func() bool) (elapsed time.Duration, ok bool) {
	start := time.Now()
	for !condition() {
		if time.Since(start) >= limit {
			return time.Since(start), false
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start), true
}

// sendRepeatedly calls token and sends the token that it returns, and repeats this after each pause
// until stop is called. It adds the outcomes to a tally; an outcome other than want is wrong.
func (s *system) sendRepeatedly(outcomes *tally, pause time.Duration, token func() string,
	want string) (stop func()) {
	stopSignal := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			got := s.send(token())
			outcomes.add(got, got.Result == want)
			select {
			case <-stopSignal:
				return
			case <-time.After(pause):
			}
		}
	})
	return func() {
		close(stopSignal)
		wg.Wait()
	}
}

// A tally counts outcomes. Read its fields only when no more outcomes are added.
type tally struct {
	mu                sync.Mutex // guards the fields below
	total, wrongCount int
	firstWrong        string // the first wrong outcome
	durations         []time.Duration
	waits             []outcome     // the outcomes that waited for keys
	longestWait       time.Duration // of the waits
}

// add counts an outcome.
func (t *tally) add(o outcome, isExpected bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total++
	t.durations = append(t.durations, o.duration)
	if o.WaitTime > 0 {
		t.waits, t.longestWait = append(t.waits, o), max(t.longestWait, o.WaitTime)
	}
	if !isExpected {
		if t.wrongCount == 0 {
			t.firstWrong = fmt.Sprintf(", first %s at %v after %v", o.Result, o.Start, o.WaitTime)
		}
		t.wrongCount++
	}
}

// percentile returns the time within which this share of the requests finished.
func (t *tally) percentile(share float64) time.Duration {
	slices.Sort(t.durations)
	if len(t.durations) == 0 {
		return 0
	}
	return t.durations[min(len(t.durations)-1, int(share*float64(len(t.durations))))]
}

// maxWaitingAtOnce returns the maximum number of outcomes that waited at the same time.
func maxWaitingAtOnce(waits []outcome) int {
	maxCount := 0
	for _, o := range waits {
		count := 0
		for _, other := range waits {
			if !other.Start.After(o.Start) && o.Start.Before(other.Start.Add(other.WaitTime)) {
				count++
			}
		}
		maxCount = max(maxCount, count)
	}
	return maxCount
}

// logLines is a log's output.
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

// drain returns the lines since the last call of drain.
func (l *logLines) drain() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}
