package keycloak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/identity"
)

const (
	keysRefresh = 5 * time.Minute // at most, whatever Keycloak's cache headers say: they say no-cache
	keysFloor   = time.Second     // between the starts of two fetches
	keysTimeout = 3 * time.Second // of one fetch
	keysRetry   = 1250 * time.Millisecond
	keysBackoff = 5 * time.Second // at most, between a failed fetch and the next
	keysWaiters = 16              // who wait for one fetch; everyone else is answered at once
	keysWait    = time.Second     // that a token waits for a fetch at most
)

// A KeySetConfig tunes a KeySet. Its zero value is good.
type KeySetConfig struct {
	MaxAge time.Duration // for how long keys are used that couldn't be fetched anew; 24 h if zero
	// HTTP is NewHTTPClient() if nil; redirects are never followed, whatever its policy. Its
	// transport must heed the deadline of a request's context, as net/http's does: no other fetch
	// begins before one has ended.
	HTTP *http.Client
	// Log is told once when fetching begins to fail, once when it works again, and once of each key
	// that can't be used, of a hundred keys at most; slog.Default() if nil.
	Log *slog.Logger
}

// A KeySet holds the keys that a realm signs with: it fetches the realm's JSON Web Key Set (RFC
// 7517), keeps the last good one through an outage, and fetches anew when a token names a key that
// it doesn't know. Make it with NewKeySet. It is safe for concurrent use.
//
// It stays fresh whether or not anybody calls Run. Each use, by a token or by Status, begins a
// fetch in the background once the set is about 5 minutes old, and is answered from the set that is
// there. So a key that the realm withdrew verifies no longer than that, and one fetch. A set that
// nobody used for longer than 10 minutes is fetched anew before it verifies again, within a second;
// without an answer in that time its keys are good up to MaxAge. Run only does the same without
// traffic, so that no token waits.
//
// Anyone can make up a key id. So fetches begin at most once a second, whoever they are for; a few
// callers wait for one, each for a second at most and no longer than its context, and everyone else
// is answered at once. A fetch has a deadline, and so has its body a bound. After one that failed,
// further ones come after a pause that grows to 5 s; a set without a single usable key is a failure
// too, and replaces nothing.
type KeySet struct {
	realm  Realm
	url    string
	maxAge time.Duration
	http   *http.Client
	log    *slog.Logger
	lookup keyfunc.Keyfunc
	landed chan struct{} // tells Run that a fetch which it didn't begin has ended

	mu       sync.Mutex // guards the fields below
	ring     keyring
	fetched  time.Time // when ring came; zero before the first time
	tried    time.Time // when the last fetch ended, good or not
	failure  error     // of the last fetch; nil after a good one
	failures int       // in a row
	flight   *keyFlight
	next     time.Time       // before which no fetch begins
	due      time.Time       // when Run, or the next use, begins one
	told     map[oddKey]bool // which keys the log has been told of
}

// A keyFlight is a fetch under way.
type keyFlight struct {
	begun   time.Time
	done    chan struct{}
	waiters int
}

// NewKeySet returns an empty set. It fetches nothing before Run, or its first use.
func NewKeySet(realm Realm, config KeySetConfig) *KeySet {
	k := &KeySet{
		realm: realm, url: realm.certsURL(), maxAge: config.MaxAge,
		http: withoutRedirects(config.HTTP), log: config.Log, landed: make(chan struct{}, 1), told: map[oddKey]bool{},
	}
	if k.maxAge <= 0 {
		k.maxAge = 24 * time.Hour
	}
	if k.log == nil {
		k.log = slog.Default()
	}
	var err error
	k.lookup, err = keyfunc.New(keyfunc.Options{
		Storage:      storage{jwkset.NewMemoryStorage(), k},
		UseWhitelist: []jwkset.USE{jwkset.UseSig},
	})
	if err != nil { // it fails without a storage alone
		panic(err)
	}
	return k
}

var errNoKeySet = errors.New("keycloak: the zero KeySet has no realm: make it with keycloak.NewKeySet")

// Run fetches the keys at once, and again whenever the set gets old, until ctx ends, and returns
// the error of ctx. Without it, the first token waits for the first fetch. A fetch that is under
// way when ctx ends has a deadline of its own, a few seconds later.
func (k *KeySet) Run(ctx context.Context) error {
	if k.lookup == nil {
		return errNoKeySet
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		k.mu.Lock()
		flight, wait := k.flight, time.Until(k.due)
		if flight == nil && wait <= 0 {
			flight = k.startFlight()
		}
		k.mu.Unlock()
		if flight != nil {
			select {
			case <-flight.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-k.landed: // and so the next one is due at another time
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// Status tells whether tokens can be verified. Usable is false before the first good fetch, and
// once the keys are older than MaxAge. Failure is that of the last fetch, nil after a good one: it
// is identity.ErrKeysUnavailable, and its identity.Detail says why.
func (k *KeySet) Status() (usable bool, failure error) {
	if k.lookup == nil {
		return false, errNoKeySet
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refreshIfDue()
	if k.failure != nil {
		failure = &identity.Error{Reason: identity.ErrKeysUnavailable, Detail: k.failure.Error()}
	}
	return k.usable(), failure
}

// usable is called with mu held.
func (k *KeySet) usable() bool {
	if len(k.ring.keys) == 0 {
		return false
	}
	return passed(k.fetched, time.Now()) <= k.maxAge
}

// passed is the time from then to now. The monotonic clock stands still while a machine sleeps, and
// the other one can be set.
func passed(then, now time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}

// interval is how old the set gets before it is fetched anew.
func (k *KeySet) interval() time.Duration { return min(keysRefresh, k.maxAge/2) }

// refreshIfDue begins a fetch that nobody waits for, if one is due and none is under way. It is
// called with mu held.
func (k *KeySet) refreshIfDue() {
	now := time.Now()
	due := !now.Before(k.due) || passed(k.fetched, now) > k.interval()
	if due && k.flight == nil && !now.Before(k.next) {
		k.startFlight()
	}
}

// neglected reports whether neither Run nor any use has fetched the set for long, or tried to. It
// is called with mu held.
func (k *KeySet) neglected() bool { return passed(k.tried, time.Now()) > 2*k.interval() }

// verify checks a token's signature with the key that its header names. It fails with
// ErrKeyUnknown, ErrKeysUnavailable or ErrTokenSignature, or as ctx does.
func (k *KeySet) verify(ctx context.Context, token *jws) error {
	key, err := k.lookup.KeyfuncCtx(ctx)(&jwt.Token{Header: map[string]any{"alg": token.alg, "kid": token.kid}})
	refused, ours := errors.AsType[*identity.Error](err)
	switch {
	case ours: // from read; keyfunc has words of its own around it
		return refused
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil: // keyfunc: the algorithm of the key is another. RFC 8725, section 3.1
		return wrongSignature("%v", err)
	case !verifySignature(token.alg, key, token.signed, token.signature):
		return wrongSignature("the signature doesn't match the key %s", quote(token.kid))
	}
	return nil
}

// storage is what keyfunc reads keys from.
type storage struct {
	jwkset.Storage // for the methods that keyfunc doesn't call
	set            *KeySet
}

// KeyRead returns a key, after a fetch where its id is unknown and a fetch is allowed.
func (s storage) KeyRead(ctx context.Context, id string) (jwkset.JWK, error) {
	return s.set.read(ctx, id)
}

func (k *KeySet) read(ctx context.Context, kid string) (jwkset.JWK, error) {
	k.mu.Lock()
	key, known := k.ring.keys[kid]
	if known && k.usable() && !k.neglected() {
		k.refreshIfDue()
		k.mu.Unlock()
		return key, nil
	}
	if err := ctx.Err(); err != nil { // nothing is begun for one who has gone
		k.mu.Unlock()
		return jwkset.JWK{}, err
	}
	flight := k.board()
	k.mu.Unlock()
	var gone error
	if flight != nil {
		gone = flight.wait(ctx)
	}
	k.mu.Lock()
	if flight != nil {
		flight.waiters--
	}
	key, known = k.ring.keys[kid]
	usable, ring, failure, waiting := k.usable(), k.ring, k.failure, k.flight != nil
	k.mu.Unlock()
	switch {
	case gone != nil:
		return jwkset.JWK{}, gone
	case known && usable:
		return key, nil
	}
	// Words are made where they hold up nobody else.
	refused := &identity.Error{Reason: identity.ErrKeysUnavailable} // an outage must sign nobody out
	switch {
	case failure != nil:
		refused.Detail = fmt.Sprintf("the key set can't be fetched from %s: %v", k.url, failure)
	case waiting, !usable: // the key may be in it
		refused.Detail = "the key set is still being fetched from " + k.url
	default:
		refused = &identity.Error{Reason: identity.ErrKeyUnknown, Detail: ring.why(kid) + " (" + k.url + ")"}
	}
	return jwkset.JWK{}, refused
}

// board finds a place on the fetch that is under way, or begins one. It returns nil when all places
// are taken, and when it is too early for another fetch. It is called with mu held.
func (k *KeySet) board() *keyFlight {
	flight := k.flight
	if flight == nil {
		if time.Now().Before(k.next) {
			return nil
		}
		flight = k.startFlight()
	}
	if flight.waiters >= keysWaiters {
		return nil
	}
	flight.waiters++
	return flight
}

// wait waits for the end of a fetch, and fails only when ctx ends before. It returns earlier when
// the fetch takes too long.
func (f *keyFlight) wait(ctx context.Context) error {
	timeout := time.NewTimer(keysWait)
	defer timeout.Stop()
	select {
	case <-f.done:
	case <-timeout.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// startFlight begins a fetch. It takes nothing from whoever caused it: it outlives them, up to a
// deadline of its own, and what their context holds is theirs. It is called with mu held.
func (k *KeySet) startFlight() *keyFlight {
	flight := &keyFlight{begun: time.Now(), done: make(chan struct{})}
	k.flight = flight
	ctx, cancel := context.WithTimeout(context.Background(), keysTimeout)
	go func() {
		defer cancel()
		k.land(k.fetch(ctx))
	}()
	return flight
}

// land takes the outcome of a fetch, and says so in the log when it is another than the last one's.
func (k *KeySet) land(ring keyring, err error) {
	k.mu.Lock()
	now, first := time.Now(), k.failures == 0 && k.fetched.IsZero()
	changed := first || (k.failure != nil) != (err != nil)
	k.failure, k.tried = err, now
	k.next = k.flight.begun.Add(keysFloor)
	if err == nil {
		k.ring, k.fetched, k.failures = ring, now, 0
		k.due = later(k.next, now.Add(jittered(k.interval())))
	} else {
		k.next = now.Add(jittered(min(keysRetry<<min(k.failures, 8), keysBackoff)))
		k.failures++
		k.due = k.next
	}
	var news []oddKey
	for _, odd := range ring.odd {
		if !odd.expected && !k.told[odd] && len(k.told) < maxKeys {
			k.told[odd] = true
			news = append(news, odd)
		}
	}
	held := len(k.ring.keys)
	close(k.flight.done)
	k.flight = nil
	k.mu.Unlock()
	select {
	case k.landed <- struct{}{}:
	default: // it has been told already
	}
	// A slow log must not hold up those who verify.
	switch {
	case changed && err != nil:
		k.log.Warn("keys can't be fetched", "url", k.url, "error", err, "held", held)
	case changed:
		k.log.Info("keys fetched", "url", k.url, "held", held)
	}
	for _, odd := range news {
		k.log.Warn("key passed over", "url", k.url, "kid", odd.kid, "why", odd.why)
	}
}

// jittered is d or up to a fifth less, so that a fleet doesn't come back all at once.
func jittered(d time.Duration) time.Duration { return d - rand.N(d/5+1) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// fetch gets the set. An answer without a single key that we can use is a failure: it must not take
// the place of a good set.
func (k *KeySet) fetch(ctx context.Context) (ring keyring, err error) {
	defer func() { // a stranger's bytes went through a library; nobody above this goroutine could recover
		if recover() != nil {
			ring, err = keyring{}, errors.New("reading the key set panicked")
		}
	}()
	if k.realm == (Realm{}) {
		return keyring{}, errors.New("the zero Realm has no address: make it with keycloak.NewRealm")
	}
	got, err := get(ctx, k.http, k.url)
	if err != nil { // net/http may quote what the other side has sent
		return keyring{}, shortened{err}
	}
	if got.status != http.StatusOK {
		return keyring{}, errors.New(whyNot(got))
	}
	return readKeys(got.body)
}

// shortened is an error with a short text.
type shortened struct{ error }

func (e shortened) Error() string { return asciiUpTo(600, e.error.Error()) } // an address, what failed, and what to do
func (e shortened) Unwrap() error { return e.error }
