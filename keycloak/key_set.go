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

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
	"github.com/cloakql/cloakql/internal/strictjson"
)

const (
	// at most, whatever Keycloak's cache headers say: they say no-cache
	refreshInterval  = 5 * time.Minute
	minFetchInterval = time.Second // between the starts of two fetches
	fetchTimeout     = 3 * time.Second
	firstRetry       = 1250 * time.Millisecond
	maxRetry         = 5 * time.Second // between a failed fetch and the next
	maxWaiters       = 16              // for one fetch; everyone else is answered at once
	maxWait          = time.Second     // of one token for a fetch
	maxLoggedKeys    = 100             // that can't be used
)

// A KeySetConfig tunes a KeySet. Its zero value is good.
type KeySetConfig struct {
	// how long keys stay in use that can't be fetched; DefaultKeysMaxAge if zero
	MaxAge time.Duration
	// Transport makes the HTTP calls; it is NewTransport() if nil. It must heed the deadline of a
	// request's context, as net/http's does: no other fetch begins before one has ended.
	Transport http.RoundTripper
	// Log is told once when fetching begins to fail, once when it works again, and once of each key
	// that can't be used, of a hundred keys at most; slog.Default() if nil.
	Log *slog.Logger
}

// DefaultKeysMaxAge is the default of KeySetConfig.MaxAge.
const DefaultKeysMaxAge = 24 * time.Hour

// A KeySet holds the keys that a realm signs with: it fetches the realm's JSON Web Key Set (RFC
// 7517), keeps the last good one through an outage, and fetches anew when a token names a key that
// it doesn't know. Make it with NewKeySet. It is safe for concurrent use.
//
// It stays fresh whether or not Run is called. Each use, by a token or by Status, begins a
// fetch in the background once the set is about 5 minutes old, and is answered from the set that is
// there. So a key that the realm withdrew verifies no longer than that, and one fetch. A set that
// wasn't used for longer than 10 minutes is fetched anew before it verifies again, within a second;
// without an answer in that time its keys are good up to MaxAge. Run only does the same without
// traffic, so that no token waits.
//
// Anyone can make up a key id. So fetches begin at most once a second, for all callers together; a
// few callers wait for one, each for a second at most and no longer than its context, and everyone
// else is answered at once. A fetch has a deadline, and so has its body a bound. After one that
// failed, further ones come after a pause that grows to 5 s; a set without a single usable key is a
// failure too, and replaces nothing.
type KeySet struct {
	realm    Realm
	url      string
	maxAge   time.Duration
	http     *http.Client // nil in the zero KeySet
	log      *slog.Logger
	finished chan struct{} // tells Run that a fetch which it didn't start has ended

	mu          sync.Mutex // guards the fields below
	keys        jose.KeySet
	fetched     time.Time // when keys came; zero before the first time
	tried       time.Time // when the last fetch ended, good or not
	failure     error     // of the last fetch; nil after a good one
	failures    int       // in a row
	fetch       *keyFetch // in flight, or nil
	notBefore   time.Time // the earliest start of the next fetch
	nextRefresh time.Time // when Run, or the next use, starts one
	logged      map[jose.RejectedKey]bool
}

// A keyFetch is a fetch in flight.
type keyFetch struct {
	started time.Time
	done    chan struct{}
	waiters int
}

// NewKeySet returns an empty set. It fetches nothing before Run, or its first use.
func NewKeySet(realm Realm, config KeySetConfig) *KeySet {
	k := &KeySet{
		realm: realm, url: realm.certsURL(), maxAge: config.MaxAge,
		http: newHTTPClient(config.Transport),
		log:  config.Log, finished: make(chan struct{}, 1), logged: map[jose.RejectedKey]bool{},
	}
	if k.maxAge <= 0 {
		k.maxAge = DefaultKeysMaxAge
	}
	if k.log == nil {
		k.log = slog.Default()
	}
	return k
}

var errNoKeySet = errors.New(
	"keycloak: the zero KeySet has no realm: make it with keycloak.NewKeySet")

// Realm returns the realm whose keys these are: the zero Realm for the zero KeySet.
func (k *KeySet) Realm() Realm {
	if k.isZero() {
		return Realm{}
	}
	return k.realm
}

// isZero reports whether the set wasn't made by NewKeySet.
func (k *KeySet) isZero() bool { return k == nil || k.http == nil }

// Run refreshes the keys until ctx is done, and returns ctx.Err(). It fetches them at once; without
// it, the first token waits for the first fetch. A fetch that is in flight when ctx ends has a
// deadline of its own, a few seconds later.
func (k *KeySet) Run(ctx context.Context) error {
	if k.isZero() {
		return errNoKeySet
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		k.mu.Lock()
		fetch, wait := k.fetch, time.Until(k.nextRefresh)
		if fetch == nil && wait <= 0 {
			fetch = k.startFetch()
		}
		k.mu.Unlock()
		if fetch != nil {
			select {
			case <-fetch.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-k.finished: // and so nextRefresh is another time
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// Status reports whether tokens can be verified. Usable is false before the first good fetch, and
// once the keys are older than MaxAge. Failure is that of the last fetch, nil after a good one: it
// is identity.ErrKeysUnavailable, and its identity.Detail says why.
func (k *KeySet) Status() (usable bool, failure error) {
	if k.isZero() {
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

// current returns the keys that are there now.
func (k *KeySet) current() []Key {
	if k.isZero() {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.usable() {
		return nil
	}
	var keys []Key
	for _, key := range k.keys.Keys {
		keys = append(keys, Key(key))
	}
	return keys
}

// usable is called with mu held.
func (k *KeySet) usable() bool {
	return len(k.keys.Keys) > 0 && elapsed(k.fetched, time.Now()) <= k.maxAge
}

// elapsed is the time from then to now. The monotonic clock stands still while a machine sleeps,
// and the other one can be set.
func elapsed(then, now time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}

// interval is how old the set gets before it is fetched anew.
func (k *KeySet) interval() time.Duration { return min(refreshInterval, k.maxAge/2) }

// refreshIfDue starts a fetch that no caller waits for, if one is due and none is in flight. It is
// called with mu held.
func (k *KeySet) refreshIfDue() {
	now := time.Now()
	due := !now.Before(k.nextRefresh) || elapsed(k.fetched, now) > k.interval()
	if due && k.fetch == nil && !now.Before(k.notBefore) {
		k.startFetch()
	}
}

// neglected reports whether neither Run nor any use has fetched the set for long, or tried to. It
// is called with mu held.
func (k *KeySet) neglected() bool { return elapsed(k.tried, time.Now()) > 2*k.interval() }

// Key returns the key of that id, after a fetch where the id is unknown and a fetch is allowed. See
// Keys for what it fails with.
func (k *KeySet) Key(ctx context.Context, id string) (Key, error) {
	if k.isZero() {
		return Key{}, &identity.Error{Reason: identity.ErrKeysUnavailable,
			Detail: errNoKeySet.Error()}
	}
	k.mu.Lock()
	key, known := k.keys.Keys[id]
	if known && k.usable() && !k.neglected() {
		k.refreshIfDue()
		k.mu.Unlock()
		return Key(key), nil
	}
	if err := ctx.Err(); err != nil { // nothing is started for one who has gone
		k.mu.Unlock()
		return Key{}, err
	}
	fetch := k.join()
	k.mu.Unlock()
	var ended error // the context, while waiting
	if fetch != nil {
		ended = fetch.wait(ctx)
	}
	k.mu.Lock()
	if fetch != nil {
		fetch.waiters--
	}
	key, known = k.keys.Keys[id]
	usable, keys, failure, inFlight := k.usable(), k.keys, k.failure, k.fetch != nil
	k.mu.Unlock()
	switch {
	case ended != nil:
		return Key{}, ended
	case known && usable:
		return Key(key), nil
	}
	// Format the error outside the lock. An outage must not sign users out.
	refused := &identity.Error{Reason: identity.ErrKeysUnavailable}
	switch {
	case failure != nil:
		refused.Detail = fmt.Sprintf("the key set can't be fetched from %s: %v", k.url, failure)
	case inFlight, !usable: // the key may be in it
		refused.Detail = "the key set is still being fetched from " + k.url
	default:
		refused = &identity.Error{Reason: identity.ErrKeyUnknown,
			Detail: keys.Why(id) + " (" + k.url + ")"}
	}
	return Key{}, refused
}

// join adds a waiter to the fetch in flight, or starts one. It returns nil when the fetch has all
// its waiters, and when it is too early for another fetch. It is called with mu held.
func (k *KeySet) join() *keyFetch {
	fetch := k.fetch
	if fetch == nil {
		if time.Now().Before(k.notBefore) {
			return nil
		}
		fetch = k.startFetch()
	}
	if fetch.waiters >= maxWaiters {
		return nil
	}
	fetch.waiters++
	return fetch
}

// wait waits for the end of a fetch, and fails only when ctx ends before. It returns earlier when
// the fetch takes too long.
func (f *keyFetch) wait(ctx context.Context) error {
	timeout := time.NewTimer(maxWait)
	defer timeout.Stop()
	select {
	case <-f.done:
	case <-timeout.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// startFetch starts a fetch. It takes nothing from its caller: it outlives them, up to a
// deadline of its own, and what their context holds is theirs. It is called with mu held.
func (k *KeySet) startFetch() *keyFetch {
	fetch := &keyFetch{started: time.Now(), done: make(chan struct{})}
	k.fetch = fetch
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	go func() {
		defer cancel()
		k.finish(k.download(ctx))
	}()
	return fetch
}

// finish takes the result of a fetch, and logs it when it differs from the last one's.
func (k *KeySet) finish(keys jose.KeySet, err error) {
	k.mu.Lock()
	now, first := time.Now(), k.failures == 0 && k.fetched.IsZero()
	changed := first || (k.failure != nil) != (err != nil)
	k.failure, k.tried = err, now
	k.notBefore = k.fetch.started.Add(minFetchInterval)
	if err == nil {
		k.keys, k.fetched, k.failures = keys, now, 0
		k.nextRefresh = latest(k.notBefore, now.Add(jittered(k.interval())))
	} else {
		k.notBefore = now.Add(jittered(min(firstRetry<<min(k.failures, 8), maxRetry)))
		k.failures++
		k.nextRefresh = k.notBefore
	}
	var newlyRejected []jose.RejectedKey
	for _, key := range keys.Rejected {
		if !key.Expected && !k.logged[key] && len(k.logged) < maxLoggedKeys {
			k.logged[key] = true
			newlyRejected = append(newlyRejected, key)
		}
	}
	held := len(k.keys.Keys)
	close(k.fetch.done)
	k.fetch = nil
	k.mu.Unlock()
	select {
	case k.finished <- struct{}{}:
	default: // Run has yet to hear of an earlier one
	}
	// A slow log must not hold up those who verify.
	switch {
	case changed && err != nil:
		k.log.Warn("keys can't be fetched", "url", k.url, "error", err, "held", held)
	case changed:
		k.log.Info("keys fetched", "url", k.url, "held", held)
	}
	for _, key := range newlyRejected {
		k.log.Warn("key passed over", "url", k.url, "kid", key.ID, "why", key.Why)
	}
}

// jittered is d or up to a fifth less, so that a fleet doesn't come back all at once.
func jittered(d time.Duration) time.Duration { return d - rand.N(d/5+1) }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// download gets the set. An answer without a single key that we can use is a failure: it must not
// take the place of a good set.
func (k *KeySet) download(ctx context.Context) (keys jose.KeySet, err error) {
	// another server's bytes went through a library; no caller of this goroutine could recover
	defer func() {
		if recover() != nil {
			keys, err = jose.KeySet{}, errors.New("reading the key set panicked")
		}
	}()
	if k.realm == (Realm{}) {
		return jose.KeySet{}, errors.New(
			"the zero Realm has no address: make it with keycloak.NewRealm")
	}
	got, err := get(ctx, k.http, k.url)
	if err != nil { // net/http may quote what the other side has sent
		return jose.KeySet{}, truncatedError{err}
	}
	if got.status != http.StatusOK {
		return jose.KeySet{}, errors.New(statusDetail(got))
	}
	return jose.ReadKeySet(got.body)
}

// A truncatedError is an error with a short text.
type truncatedError struct{ error }

// an address, what failed, and what to do
func (e truncatedError) Error() string { return strictjson.Escape(600, e.error.Error()) }
func (e truncatedError) Unwrap() error { return e.error }
