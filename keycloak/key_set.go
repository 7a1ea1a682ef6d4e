package keycloak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
	"github.com/cloakql/cloakql/internal/strictjson"
)

const (
	// refreshInterval is fixed, because Keycloak's cache headers only say no-cache.
	refreshInterval     = 5 * time.Minute
	minFetchInterval    = time.Second // between the starts of two fetches
	fetchTimeout        = 3 * time.Second
	initialRetryDelay   = 1250 * time.Millisecond // pause after the first failed fetch; it doubles
	maxRetryDelay       = 5 * time.Second         // longest pause after a failed fetch
	maxWaiters          = 16                      // per fetch; other callers don't wait
	maxWait             = time.Second             // how long one caller waits for a fetch
	maxLoggedRejections = 100
)

// A KeySetConfig configures a KeySet. The zero value means the defaults.
type KeySetConfig struct {
	// MaxAge is how long keys stay in use while they can't be refreshed; DefaultKeysMaxAge if it
	// isn't positive.
	MaxAge time.Duration
	// Transport makes the HTTP calls; NewTransport() if nil. It must respect the deadline of each
	// request's context, as net/http's does: until a fetch ends, no other fetch starts.
	Transport http.RoundTripper
	// Log gets a line when fetches start to fail, one when they succeed again, one for each key
	// that can't be used, up to a hundred keys, and one for each panic in a fetch; slog.Default()
	// if nil.
	Log *slog.Logger
}

// DefaultKeysMaxAge is the default of KeySetConfig.MaxAge.
const DefaultKeysMaxAge = 24 * time.Hour

// A KeySet holds the public keys that a realm signs with. It fetches the realm's JSON Web Key Set
// (RFC 7517), keeps the last good set through an outage, and fetches it again when a token names an
// unknown key. Make it with NewKeySet. It is safe for concurrent use.
//
// A KeySet stays fresh whether or not Run is called. Once the keys are about 5 minutes old, the
// next use, by a token or by Status, starts a fetch in the background and uses the cached keys. So
// a key that the realm has removed stays valid until the end of that fetch. If the set hasn't been
// used for more than 10 minutes, the next token waits up to a second for a fetch; if the fetch
// takes longer or fails, the cached keys stay valid up to MaxAge. Run refreshes the keys without
// traffic too, so that no token waits.
//
// Anyone can make up a key ID, so fetches start at most once a second, for all callers together. A
// few callers wait for a fetch, each for at most a second or until its context ends; the others
// don't wait. A fetch has a timeout and a maximum size. After failures, the pause before the next
// fetch grows to 5 s. A response without a single usable key counts as a failure, and the cached
// keys stay.
type KeySet struct {
	realm      Realm
	url        string
	maxAge     time.Duration
	httpClient *http.Client // nil in the zero KeySet
	log        *slog.Logger
	fetchEnded chan struct{} // tells Run that a fetch has ended
	snapshot   atomic.Pointer[keySnapshot]

	mu               sync.Mutex // guards the fields below
	keys             jose.KeySet
	fetchedAt        time.Time // when keys were fetched; zero before the first time
	lastFetchEnd     time.Time // when the last fetch ended, successful or not
	fetchErr         error     // of the last fetch; nil after a successful one
	failureCount     int       // since the last successful fetch
	fetch            *keyFetch // in flight, or nil
	earliestFetch    time.Time // earliest start of the next fetch
	nextRefresh      time.Time // from then on, Run or the next use starts a fetch
	loggedRejections map[jose.RejectedKey]bool
}

// A keySnapshot holds the keys after a fetch. Until they are due for a refresh, a token signed with
// one of them needs neither a fetch nor the lock.
type keySnapshot struct {
	keys                   map[string]jose.Key
	fetchedAt, nextRefresh time.Time
}

// A keyFetch is a fetch in flight.
type keyFetch struct {
	startedAt time.Time
	done      chan struct{}
	waiters   int
}

// NewKeySet returns an empty set. Run, or the first use of the set, starts the first fetch.
func NewKeySet(realm Realm, config KeySetConfig) *KeySet {
	k := &KeySet{
		realm: realm, url: realm.certsURL(), maxAge: config.MaxAge,
		httpClient: newHTTPClient(config.Transport),
		log:        config.Log, fetchEnded: make(chan struct{}, 1),
		loggedRejections: map[jose.RejectedKey]bool{},
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

// Realm returns the realm whose keys k holds, or the zero Realm for the zero KeySet.
func (k *KeySet) Realm() Realm {
	if k.isZero() {
		return Realm{}
	}
	return k.realm
}

// isZero reports whether the set wasn't made by NewKeySet.
func (k *KeySet) isZero() bool { return k == nil || k.httpClient == nil }

// Run refreshes the keys until ctx is done, and returns ctx.Err(). It starts the first fetch at
// once; without Run, the first token waits for the first fetch. A fetch that is in flight when ctx
// ends may continue for a few seconds, until its own deadline.
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
		case <-k.fetchEnded: // nextRefresh has changed
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// Status reports whether tokens can be verified. usable is false before the first successful fetch,
// and once the keys are older than MaxAge. fetchErr is nil unless the last fetch failed; then it is
// identity.ErrKeysUnavailable, and its identity.Detail says why.
func (k *KeySet) Status() (usable bool, fetchErr error) {
	if k.isZero() {
		return false, errNoKeySet
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refreshIfDue()
	if k.fetchErr != nil {
		fetchErr = &identity.Error{Reason: identity.ErrKeysUnavailable, Detail: k.fetchErr.Error()}
	}
	return k.isUsable(), fetchErr
}

// cachedKeys returns the cached keys, without a fetch.
func (k *KeySet) cachedKeys() []Key {
	if k.isZero() {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.isUsable() {
		return nil
	}
	var keys []Key
	for _, key := range k.keys.Keys {
		keys = append(keys, Key(key))
	}
	return keys
}

// cachedKey returns the cached key with this ID, without a fetch.
func (k *KeySet) cachedKey(id string) (Key, bool) {
	if k.isZero() {
		return Key{}, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.keys.Keys[id]
	return Key(key), ok && k.isUsable()
}

// isUsable reports whether there are keys younger than maxAge. The caller holds mu.
func (k *KeySet) isUsable() bool {
	return len(k.keys.Keys) > 0 && elapsed(k.fetchedAt, time.Now()) <= k.maxAge
}

// elapsed returns the time from start to now, by the monotonic clock or the wall clock, whichever
// shows more: the monotonic clock stops while the machine sleeps, and the wall clock can be set
// back.
func elapsed(start, now time.Time) time.Duration {
	return max(now.Sub(start), now.Round(0).Sub(start.Round(0)))
}

// refreshAge returns the age at which the keys are due for a refresh.
func (k *KeySet) refreshAge() time.Duration { return min(refreshInterval, k.maxAge/2) }

// refreshIfDue starts a fetch in the background, if one is due and none is in flight. The caller
// holds mu.
func (k *KeySet) refreshIfDue() {
	now := time.Now()
	isDue := !now.Before(k.nextRefresh) || elapsed(k.fetchedAt, now) > k.refreshAge()
	if isDue && k.fetch == nil && !now.Before(k.earliestFetch) {
		k.startFetch()
	}
}

// isStale reports whether the last fetch, successful or not, was so long ago that a token should
// wait for another fetch. The caller holds mu.
func (k *KeySet) isStale() bool { return elapsed(k.lastFetchEnd, time.Now()) > 2*k.refreshAge() }

// Key returns the key with this ID, after a fetch if the ID is unknown and a fetch is allowed. It
// returns the errors that Keys documents.
func (k *KeySet) Key(ctx context.Context, id string) (Key, error) {
	if k.isZero() {
		return Key{}, &identity.Error{Reason: identity.ErrKeysUnavailable,
			Detail: errNoKeySet.Error()}
	}
	if snapshot := k.snapshot.Load(); snapshot != nil {
		now := time.Now()
		key, ok := snapshot.keys[id]
		if ok && now.Before(snapshot.nextRefresh) &&
			elapsed(snapshot.fetchedAt, now) <= k.refreshAge() {
			return Key(key), nil
		}
	}
	k.mu.Lock()
	key, ok := k.keys.Keys[id]
	if ok && k.isUsable() && !k.isStale() {
		k.refreshIfDue()
		k.mu.Unlock()
		return Key(key), nil
	}
	if err := ctx.Err(); err != nil { // don't start a fetch if ctx has already ended
		k.mu.Unlock()
		return Key{}, err
	}
	fetch := k.joinFetch()
	k.mu.Unlock()
	var waitErr error
	if fetch != nil {
		waitErr = fetch.wait(ctx)
	}
	k.mu.Lock()
	if fetch != nil {
		fetch.waiters--
	}
	key, ok = k.keys.Keys[id]
	usable, keys, fetchErr, inFlight := k.isUsable(), k.keys, k.fetchErr, k.fetch != nil
	k.mu.Unlock()
	switch {
	case waitErr != nil:
		return Key{}, waitErr
	case ok && usable:
		return Key(key), nil
	}
	// Format the error outside the lock. During an outage it must not be ErrKeyUnknown, which would
	// sign users out.
	identityErr := &identity.Error{Reason: identity.ErrKeysUnavailable}
	switch {
	case fetchErr != nil:
		identityErr.Detail = fmt.Sprintf("the key set can't be fetched from %s: %v", k.url,
			fetchErr)
	case inFlight, !usable: // the fetch in flight may return the key
		identityErr.Detail = "the key set is still being fetched from " + k.url
	default:
		identityErr = &identity.Error{Reason: identity.ErrKeyUnknown,
			Detail: keys.MissingKeyReason(id) + " (" + k.url + ")"}
	}
	return Key{}, identityErr
}

// joinFetch adds a waiter to the fetch in flight, or starts a fetch. It returns nil if the fetch
// has maxWaiters already, or if it is too early for another fetch. The caller holds mu.
func (k *KeySet) joinFetch() *keyFetch {
	fetch := k.fetch
	if fetch == nil {
		if time.Now().Before(k.earliestFetch) {
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

// wait waits until the fetch ends, but at most maxWait. It returns an error only if ctx ends first.
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

// startFetch starts a fetch. It doesn't use a caller's context: the fetch serves all callers and
// has a deadline of its own. The caller holds mu.
func (k *KeySet) startFetch() *keyFetch {
	fetch := &keyFetch{startedAt: time.Now(), done: make(chan struct{})}
	k.fetch = fetch
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	go func() {
		defer cancel()
		k.finishFetch(k.fetchKeys(ctx))
	}()
	return fetch
}

// finishFetch stores the result of a fetch. It logs the first result, and then each change between
// success and failure.
func (k *KeySet) finishFetch(keys jose.KeySet, err error) {
	k.mu.Lock()
	now, isFirst := time.Now(), k.failureCount == 0 && k.fetchedAt.IsZero()
	shouldLog := isFirst || (k.fetchErr != nil) != (err != nil)
	k.fetchErr, k.lastFetchEnd = err, now
	k.earliestFetch = k.fetch.startedAt.Add(minFetchInterval)
	if err == nil {
		for id, key := range keys.Keys { // keep unchanged keys: see Key.equal
			if cached, ok := k.keys.Keys[id]; ok && Key(cached).equal(Key(key)) {
				keys.Keys[id] = cached
			}
		}
		k.keys, k.fetchedAt, k.failureCount = keys, now, 0
		k.nextRefresh = latest(k.earliestFetch, now.Add(jitter(k.refreshAge())))
	} else {
		k.earliestFetch = now.Add(
			jitter(min(initialRetryDelay<<min(k.failureCount, 8), maxRetryDelay)))
		k.failureCount++
		k.nextRefresh = k.earliestFetch
	}
	var newlyRejected []jose.RejectedKey
	for _, key := range keys.Rejected {
		if !key.ForEncryption && !k.loggedRejections[key] &&
			len(k.loggedRejections) < maxLoggedRejections {
			k.loggedRejections[key] = true
			newlyRejected = append(newlyRejected, key)
		}
	}
	keyCount := len(k.keys.Keys)
	k.snapshot.Store(&keySnapshot{k.keys.Keys, k.fetchedAt, k.nextRefresh})
	close(k.fetch.done)
	k.fetch = nil
	k.mu.Unlock()
	select {
	case k.fetchEnded <- struct{}{}:
	default: // an earlier wake-up is still pending
	}
	// Log outside the lock: a slow log must not hold up verification.
	switch {
	case shouldLog && err != nil:
		k.log.Warn("keys can't be fetched", "url", k.url, "error", err, "cached", keyCount)
	case shouldLog:
		k.log.Info("keys fetched", "url", k.url, "keys", keyCount)
	}
	for _, key := range newlyRejected {
		k.log.Warn("key skipped", "url", k.url, "kid", key.ID, "why", key.Reason)
	}
}

// jitter returns d minus a random part of up to a fifth, so that many servers don't fetch at once.
func jitter(d time.Duration) time.Duration { return d - rand.N(d/5+1) }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// fetchKeys fetches the key set. It returns an error if no key in the set is usable: such a
// response must not replace a good set.
func (k *KeySet) fetchKeys(ctx context.Context) (keys jose.KeySet, err error) {
	// A library parses the keys, and an unrecovered panic on this goroutine would end the process.
	defer func() {
		if value := recover(); value != nil {
			logPanic(ctx, k.log, value)
			keys, err = jose.KeySet{}, errors.New("reading the key set panicked")
		}
	}()
	if k.realm == (Realm{}) {
		return jose.KeySet{}, errors.New(
			"the zero Realm has no address: make it with keycloak.NewRealm")
	}
	resp, err := get(ctx, k.httpClient, k.url)
	if err != nil { // err may quote names from the server's certificate
		return jose.KeySet{}, truncatedError{err}
	}
	if resp.status != http.StatusOK {
		return jose.KeySet{}, errors.New(statusDetail(resp))
	}
	return jose.ReadKeySet(resp.body)
}

// A truncatedError truncates the text of an error. The limit leaves room for a URL, a cause and a
// hint.
type truncatedError struct{ error }

func (e truncatedError) Error() string { return strictjson.Escape(600, e.error.Error()) }
func (e truncatedError) Unwrap() error { return e.error }
