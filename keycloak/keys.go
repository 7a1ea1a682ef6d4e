package keycloak

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/identity"
)

const (
	keysRefresh = 5 * time.Minute // whatever Keycloak's cache headers say: they say no-cache
	keysFloor   = time.Second     // between two fetches that strangers cause
	keysTimeout = 3 * time.Second // of one fetch
	keysBackoff = 5 * time.Second // at most, between two fetches while Keycloak is down
	keysWaiters = 64              // who wait for one fetch; everyone else is answered at once
	keysWait    = time.Second     // that a token waits for a fetch at most
	minRSABits  = 2048
)

// A KeySetConfig tunes a KeySet. Its zero value is good.
type KeySetConfig struct {
	MaxAge time.Duration // for how long keys are used that couldn't be fetched anew; 24 h if zero
	HTTP   *http.Client  // NewHTTPClient() if nil; redirects are never followed, whatever its policy
	Log    *slog.Logger  // told once when fetching begins to fail, and once when it works again; slog.Default() if nil
}

// A KeySet holds the keys that a realm signs with: it fetches the realm's JSON Web Key Set (RFC 7517),
// keeps the last good one through an outage, and fetches anew when a token names a key that it doesn't
// know. Make it with NewKeySet and start Run. It is safe for concurrent use.
//
// Anyone can make up a key id. So a fetch that a token causes comes at most once a second for the whole
// process, a bounded number of callers wait for it, and everyone else is answered at once.
type KeySet struct {
	url    string
	maxAge time.Duration
	http   *http.Client
	log    *slog.Logger
	lookup keyfunc.Keyfunc

	mu      sync.Mutex // guards the fields below
	keys    map[string]jwkset.JWK
	fetched time.Time // when keys came; zero before the first time
	tried   time.Time // when the last fetch ended
	failure error     // of the last fetch; nil after a good one
	flight  *keyFlight
}

// A keyFlight is a fetch under way.
type keyFlight struct {
	done    chan struct{}
	waiters int
}

// NewKeySet returns an empty set. It fetches nothing before Run, or the first token.
func NewKeySet(realm Realm, config KeySetConfig) *KeySet {
	k := &KeySet{url: realm.certsURL(), maxAge: config.MaxAge, http: withoutRedirects(config.HTTP), log: config.Log}
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

// Run keeps the set fresh until ctx ends, which is all that it fails with. A fetch that is under way then ends by
// its own deadline, a few seconds later.
func (k *KeySet) Run(ctx context.Context) error {
	backoff := 250 * time.Millisecond
	for {
		wait := min(keysRefresh, k.maxAge/2)
		if err := k.fetchShared(ctx); err != nil {
			wait = backoff
			backoff = min(2*backoff, keysBackoff)
		} else {
			backoff = 250 * time.Millisecond
		}
		// Jitter, so that a fleet doesn't come back all at once.
		wait -= rand.N(wait/4 + 1)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Status tells whether tokens can be verified. Usable is false before the first good fetch, and once
// the keys are older than MaxAge. Failure is that of the last fetch, nil after a good one.
func (k *KeySet) Status() (usable bool, failure error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.usable(), k.failure
}

// usable is called with mu held.
func (k *KeySet) usable() bool { return len(k.keys) > 0 && time.Since(k.fetched) <= k.maxAge }

// verify checks a token's signature with the key that its header names. It fails with ErrKeyUnknown,
// ErrKeysUnavailable or ErrTokenSignature. The key must be one for signatures, and fit the algorithm.
func (k *KeySet) verify(ctx context.Context, token *jws) error {
	key, err := k.lookup.KeyfuncCtx(ctx)(&jwt.Token{Header: token.header})
	refused, ours := errors.AsType[*identity.TokenError](err)
	switch {
	case ours: // from read; keyfunc has words of its own around it
		return refused
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil: // keyfunc: the algorithm of the key is another
		return wrongSignature("%v", err)
	case !fits(token.alg, key):
		return wrongSignature("the key %s is too weak, or not one for %s", quote(token.kid), token.alg)
	}
	if jwt.GetSigningMethod(token.alg).Verify(token.signed, token.signature, key) != nil {
		return wrongSignature("the signature doesn't match the key %s", quote(token.kid))
	}
	return nil
}

// fits tells whether a key may be used with an algorithm of RFC 7518, section 3.1, or RFC 8037.
func fits(alg string, key any) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return (alg[:2] == "RS" || alg[:2] == "PS") && key.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		return alg == "ES256" && key.Curve == elliptic.P256() ||
			alg == "ES384" && key.Curve == elliptic.P384() ||
			alg == "ES512" && key.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
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

func (k *KeySet) read(ctx context.Context, id string) (jwkset.JWK, error) {
	k.mu.Lock()
	key, known := k.keys[id]
	usable := k.usable()
	k.mu.Unlock()
	if known && usable {
		return key, nil
	}
	landed, err := k.fetchOnSurprise(ctx)
	if err != nil {
		return jwkset.JWK{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	key, known = k.keys[id]
	switch {
	case known && k.usable():
		return key, nil
	case !landed:
		return jwkset.JWK{}, &identity.TokenError{Reason: identity.ErrKeysUnavailable, Detail: "the key set is still being fetched from " + k.url}
	case k.failure != nil, !k.usable():
		return jwkset.JWK{}, &identity.TokenError{Reason: identity.ErrKeysUnavailable, Detail: fmt.Sprintf("the key set can't be fetched from %s: %v", k.url, k.failure)}
	}
	return jwkset.JWK{}, &identity.TokenError{Reason: identity.ErrKeyUnknown, Detail: "kid " + quote(id) + " is not in the key set of " + k.url}
}

// fetchOnSurprise fetches the set, or waits for the fetch that is under way, unless one has just ended. Landed
// is false when a fetch is under way whose end the caller can't wait for: it takes too long, or too many wait
// already. It fails only when ctx ends.
func (k *KeySet) fetchOnSurprise(ctx context.Context) (landed bool, err error) {
	if err := ctx.Err(); err != nil { // nothing is begun for one who has gone
		return false, err
	}
	k.mu.Lock()
	flight := k.flight
	switch {
	case flight == nil && time.Since(k.tried) < keysFloor:
		k.mu.Unlock()
		return true, nil
	case flight != nil && flight.waiters >= keysWaiters:
		k.mu.Unlock()
		return false, nil
	case flight == nil:
		flight = k.startFlight(ctx)
	}
	flight.waiters++
	k.mu.Unlock()
	timeout := time.NewTimer(keysWait)
	defer timeout.Stop()
	select {
	case <-flight.done:
		return true, nil
	case <-timeout.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// fetchShared fetches the set, or waits for the fetch that is under way, and says how it went.
func (k *KeySet) fetchShared(ctx context.Context) error {
	k.mu.Lock()
	flight := k.flight
	if flight == nil {
		flight = k.startFlight(ctx)
	}
	k.mu.Unlock()
	select {
	case <-flight.done:
		_, failure := k.Status()
		return failure
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startFlight starts a fetch that outlives its caller, up to its own deadline. The caller holds mu.
func (k *KeySet) startFlight(ctx context.Context) *keyFlight {
	flight := &keyFlight{done: make(chan struct{})}
	k.flight = flight
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
	go func() {
		defer cancel()
		k.land(k.fetch(ctx))
	}()
	return flight
}

// land takes the outcome of a fetch, and says so in the log when it is another than the last one's.
func (k *KeySet) land(keys map[string]jwkset.JWK, err error) {
	k.mu.Lock()
	changed := k.tried.IsZero() || (k.failure != nil) != (err != nil)
	k.tried, k.failure = time.Now(), err
	if err == nil {
		k.keys, k.fetched = keys, k.tried
	}
	held := len(k.keys)
	close(k.flight.done)
	k.flight = nil
	k.mu.Unlock()
	// A slow log must not hold up those who verify.
	switch {
	case changed && err != nil:
		k.log.Warn("keys can't be fetched", "url", k.url, "error", err, "held", held)
	case changed:
		k.log.Info("keys fetched", "url", k.url, "held", held)
	}
}

// fetch gets the set. An answer without a single key that we can use is a failure: it must not take the
// place of a good set.
func (k *KeySet) fetch(ctx context.Context) (keys map[string]jwkset.JWK, err error) {
	defer func() { // a stranger's bytes went through a library; nobody above this goroutine could recover
		if recover() != nil {
			keys, err = nil, errors.New("reading the key set panicked")
		}
	}()
	got, err := get(ctx, k.http, k.url)
	if err != nil {
		return nil, err
	}
	if got.status != http.StatusOK {
		return nil, fmt.Errorf("answer %d; expected 200", got.status)
	}
	return readKeys(got.body)
}

// readKeys reads a JSON Web Key Set, RFC 7517 section 5. Keys that are malformed, of an unknown kind, or
// for anything but signatures are passed over: one of them must not cost the others.
func readKeys(body []byte) (map[string]jwkset.JWK, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil {
		return nil, errors.New("the answer is not a JSON Web Key Set")
	}
	keys, usable := map[string]jwkset.JWK{}, false
	for _, raw := range set.Keys {
		var fields jwkset.JWKMarshal
		if json.Unmarshal(raw, &fields) != nil || fields.KID == "" || fields.USE != jwkset.UseSig {
			continue
		}
		// The key itself is what we trust; its certificates could only make it unreadable.
		fields.X5C, fields.X5T, fields.X5TS256, fields.X5U = nil, "", "", ""
		if key, err := jwkset.NewJWKFromMarshal(fields, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{}); err == nil {
			keys[fields.KID] = key
			// One that fits nothing is kept for the sake of the reason that its tokens are refused for.
			usable = usable || slices.ContainsFunc(algorithms, func(alg string) bool { return fits(alg, key.Key()) })
		}
	}
	if !usable {
		return nil, errors.New("the answer holds no key that signatures can be verified with")
	}
	return keys, nil
}
