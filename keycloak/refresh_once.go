package keycloak

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

// These constants limit the responses that are cached for the grace period. A response over a limit
// isn't cached, so a tab that presents the same token later must sign in again. Exchanges in flight
// are always shared.
const (
	maxCachedResponses = 10_000
	maxCachedBytes     = 64 << 20
)

// A refresher exchanges refresh tokens for new tokens, but each token only once per network.
//
// If refresh tokens are single-use, Keycloak responds to a second exchange of the same token by
// detaching the client from the session, which also invalidates the tokens of the first exchange
// (in 6 of 6 attempts with 26.7.4). Two browser tabs that wake up together can cause that, so all
// callers that present the same token from one network share one exchange, which runs on its own
// context: a closed tab must not cut it off halfway. During the grace period, callers that present
// the same token from that network get the same response, until the new refresh token is presented:
// by then the owner has the new token, so a caller that still presents the old one is someone else.
//
// Any other caller that presents an exchanged token gets Keycloak's response. Keycloak recognizes a
// reused token, and ends the session for both the thief and the owner.
type refresher struct {
	// exchangeToken calls Keycloak, with a timeout of its own.
	exchangeToken func(context.Context, identity.Secret) (*identity.OpenIDToken, error)
	gracePeriod   time.Duration
	anyNetwork    bool // ignore the caller's network
	semaphore     *semaphore
	shared        *sharedRefresher         // nil if this process shares nothing
	checkRevoked  func(TokenSession) error // nil if no session is known to be revoked
	log           *slog.Logger
	stats         *clientStats

	mu             sync.Mutex              // guards the fields below
	exchanges      map[digest][]*exchange  // in flight or cached, by presented token
	successors     map[digest]*exchange    // cached, by new refresh token
	activeSessions map[networkSession]bool // of the exchanges in flight
	inFlight       int                     // exchanges in flight
	cachedCount    int                     // exchanges whose response is cached
	cachedBytes    int                     // of the cached responses
	idleSignal     chan struct{}           // closed once inFlight is zero; nil if unused
}

// A digest is the map key of a refresh token or an account, so that maps hold no tokens.
type digest [sha256.Size]byte

func digestOf(token identity.Secret) digest { return sha256.Sum256([]byte(token.Reveal())) }

// A networkSession is the session that a refresh token names, and the network that presented the
// token. A forged token can name any session, but can block only callers on its own network.
type networkSession struct {
	session string
	network netip.Prefix
}

// An exchange is in flight until done is closed.
type exchange struct {
	tokenDigest digest       // of the refresh token
	network     netip.Prefix // of the first caller; zero with anyNetwork
	session     string       // the token's sid; unverified until Keycloak has accepted the token
	release     func()       // releases the slot and the session; the caller holds refresher.mu
	done        chan struct{}

	sessionEnded  bool      // the session ended while in flight; guarded by refresher.mu
	isSuperseded  bool      // the new refresh token was presented; guarded by refresher.mu
	refusedAt     time.Time // the store was unavailable for a repeat; guarded by refresher.mu
	refusalLogged bool      // the log says why an earlier response isn't repeated

	// The call in the shared store; zero if this process didn't make the exchange. Written before
	// done is closed, like the result.
	callKey store.CallKey
	callID  store.CallID

	// The result, written before done is closed.
	token         *identity.OpenIDToken
	err           error
	doneAt        time.Time
	responseBytes int
}

func newRefresher(
	exchangeToken func(context.Context, identity.Secret) (*identity.OpenIDToken, error),
	gracePeriod time.Duration) *refresher {
	return &refresher{
		exchangeToken: exchangeToken, gracePeriod: gracePeriod,
		semaphore: newSemaphore(DefaultMaxCalls), log: slog.Default(), stats: new(clientStats),
		exchanges: map[digest][]*exchange{}, successors: map[digest]*exchange{},
		activeSessions: map[networkSession]bool{},
	}
}

// refresh exchanges a token, joins an exchange of the same token that is in flight, or returns a
// response that is cached for the grace period. It returns when ctx ends, but the exchange
// continues.
func (r *refresher) refresh(ctx context.Context,
	refreshToken identity.Secret) (*identity.OpenIDToken, error) {
	// An exchange continues when ctx ends, so don't start one if ctx has already ended.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, network := digestOf(refreshToken), r.networkOf(ctx)
	r.mu.Lock()
	r.supersede(key)
	e, earlierExchange, reason := r.find(key, network)
	if e != nil && e.isDone() {
		r.mu.Unlock()
		if err := r.checkRepeatable(ctx, e, refreshToken); err != nil {
			return nil, err
		}
		r.mu.Lock()
		e, earlierExchange, reason = r.find(key, network)
	}
	isShared := e != nil
	if !isShared {
		session := sessionID(refreshToken)
		release, err := r.acquire(ctx, session)
		if err != nil {
			r.mu.Unlock()
			return nil, err
		}
		e = &exchange{tokenDigest: key, network: network, session: session, release: release,
			done: make(chan struct{}), refusalLogged: earlierExchange != nil}
		r.exchanges[key] = append(r.exchanges[key], e)
		r.inFlight++
		// Ends with the exchange, which has a timeout.
		go r.runExchange(context.WithoutCancel(ctx), e, refreshToken)
	}
	r.mu.Unlock()

	switch {
	case isShared:
		r.stats.repeats.Add(1)
		logRepeat(ctx, r.log, e.session, network)
	case earlierExchange != nil:
		r.stats.refusedRepeats.Add(1)
		logRefusedRepeat(ctx, r.log, reason, earlierExchange.session, network,
			slog.String("firstNetwork", formatNetwork(earlierExchange.network)))
	}
	select {
	case <-e.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if e.err != nil {
		return nil, e.err
	}
	return withAge(e.token, time.Since(e.doneAt)), nil
}

// find returns the exchange of a token whose response may be returned to network. If there is none,
// it returns an earlier exchange of the token, if any, and the reason why its response isn't
// returned. The caller holds mu.
func (r *refresher) find(key digest, network netip.Prefix) (
	e, earlierExchange *exchange, reason string) {
	for _, e := range r.exchanges[key] {
		if e.network == network && !e.isSuperseded {
			return e, nil, ""
		}
	}
	for _, e := range r.exchanges[key] {
		if e.isSuperseded {
			return nil, e, reasonSuperseded
		}
	}
	if entries := r.exchanges[key]; len(entries) > 0 {
		return nil, entries[0], reasonOtherNetwork
	}
	return nil, nil, ""
}

// isDone reports whether the exchange is no longer in flight.
func (e *exchange) isDone() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

// checkRepeatable checks a cached response before it is repeated. If the response's session is
// revoked, it drops the response and returns ErrSessionEnded. If the new refresh token was
// presented to another process, it marks the exchange as superseded.
func (r *refresher) checkRepeatable(ctx context.Context, e *exchange,
	refreshToken identity.Secret) error {
	if r.isRevoked(e.token) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.evict(e)
		return identity.ErrSessionEnded
	}
	if r.shared == nil {
		return nil
	}
	isSuperseded, err := r.shared.isSuperseded(ctx, e, refreshToken)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		e.refusedAt = time.Now()
		return err
	}
	e.isSuperseded = e.isSuperseded || isSuperseded
	return nil
}

// isRevoked reports whether a response's session was revoked. If checkRevoked doesn't know, the
// response may be repeated: its access token will be checked when it is used.
func (r *refresher) isRevoked(token *identity.OpenIDToken) bool {
	if r.checkRevoked == nil {
		return false
	}
	session, ok := responseSession(token)
	return ok && errors.Is(r.checkRevoked(session), identity.ErrTokenRevoked)
}

// supersede marks the exchange whose response contains this refresh token, so that find no longer
// returns that exchange. The caller holds mu.
func (r *refresher) supersede(key digest) {
	if e := r.successors[key]; e != nil {
		e.isSuperseded = true // cached until the grace period ends: callers may be reading it
		delete(r.successors, key)
	}
}

// markUsed records that a refresh token was presented for something other than an exchange.
func (r *refresher) markUsed(ctx context.Context, refreshToken identity.Secret) {
	r.mu.Lock()
	r.supersede(digestOf(refreshToken))
	r.mu.Unlock()
	if r.shared != nil {
		r.shared.markUsed(ctx, refreshToken)
	}
}

// acquire takes a slot for an exchange, and returns a function that releases it. Each session may
// have one exchange in flight per network: of two refresh tokens of one session, one was used to
// get the other, so no client needs both. The callers of acquire and of release must hold mu.
func (r *refresher) acquire(ctx context.Context, session string) (release func(), err error) {
	key := networkSession{session, networkOf(ctx)}
	if r.activeSessions[key] {
		return nil, &identity.RateLimitError{RetryAfter: networkRetryAfter}
	}
	slot, err := r.semaphore.acquire(ctx)
	if err != nil {
		return nil, err
	}
	if session == "" || !key.network.IsValid() {
		return slot.release, nil
	}
	r.activeSessions[key] = true
	return func() {
		slot.release()
		delete(r.activeSessions, key)
	}, nil
}

func (r *refresher) runExchange(ctx context.Context, e *exchange, refreshToken identity.Secret) {
	exchangeToken := func(ctx context.Context) (*identity.OpenIDToken, error) {
		r.stats.exchanges.Add(1)
		token, err := r.exchangeToken(ctx, refreshToken)
		return r.rejectEnded(e, token, err)
	}
	var result exchangeResult
	if r.shared == nil {
		result = newExchangeResult(exchangeToken(ctx))
	} else {
		result = r.shared.exchange(ctx, e, refreshToken, sharedExchange{exchangeToken, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			e.release()
			e.release = func() {}
		}})
	}
	// The session may have ended while the result was stored, or another process may not know.
	token, err := r.rejectEnded(e, result.token, result.err)

	r.mu.Lock()
	defer r.mu.Unlock()
	e.release()
	r.inFlight--
	if r.inFlight == 0 && r.idleSignal != nil {
		close(r.idleSignal)
		r.idleSignal = nil
	}
	if e.sessionEnded && err == nil { // since rejectEnded
		token, err = nil, identity.ErrSessionEnded
	}
	e.token, e.err, e.doneAt = token, err, time.Now().Add(-result.age)
	e.responseBytes = estimateSize(token)
	close(e.done)
	// The store has the responses of other processes, and forgets them in time.
	if err != nil || r.gracePeriod <= 0 || r.cachedCount >= maxCachedResponses ||
		r.cachedBytes+e.responseBytes > maxCachedBytes || result.fromStore {
		r.remove(e)
		return
	}
	r.cachedCount++
	r.cachedBytes += e.responseBytes
	// A realm without single-use tokens may return the presented refresh token again: then
	// presenting it supersedes nothing.
	if token.RefreshToken != nil && digestOf(*token.RefreshToken) != e.tokenDigest {
		r.successors[digestOf(*token.RefreshToken)] = e
	}
	time.AfterFunc(r.gracePeriod, func() { r.evictLater(e) })
}

// evictLater drops a cached response whose grace period has ended. While the store is unavailable
// for its repeats, it stays until their callers have had time to try again: otherwise they would be
// signed out.
func (r *refresher) evictLater(e *exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := minLateKeep - time.Since(e.refusedAt)
	if left > 0 && time.Since(e.doneAt) < r.gracePeriod+store.MaxCallTime {
		time.AfterFunc(left, func() { r.evictLater(e) })
		return
	}
	r.evict(e)
}

// rejectEnded returns the result of an exchange, or ErrSessionEnded if the session of a response
// has ended.
func (r *refresher) rejectEnded(e *exchange, token *identity.OpenIDToken,
	err error) (*identity.OpenIDToken, error) {
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	sessionEnded := e.sessionEnded
	r.mu.Unlock()
	if sessionEnded || r.isRevoked(token) {
		return nil, identity.ErrSessionEnded
	}
	return token, nil
}

// evict drops a cached response. The caller holds mu.
func (r *refresher) evict(e *exchange) {
	if !r.remove(e) { // already dropped
		return
	}
	r.cachedCount--
	r.cachedBytes -= e.responseBytes
	if e.token.RefreshToken == nil {
		return
	}
	if successor := digestOf(*e.token.RefreshToken); r.successors[successor] == e {
		delete(r.successors, successor)
	}
}

// remove deletes an exchange, and reports whether it was there. The caller holds mu.
func (r *refresher) remove(e *exchange) bool {
	i := slices.Index(r.exchanges[e.tokenDigest], e)
	if i < 0 {
		return false
	}
	if len(r.exchanges[e.tokenDigest]) == 1 {
		delete(r.exchanges, e.tokenDigest)
	} else {
		r.exchanges[e.tokenDigest] = slices.Delete(r.exchanges[e.tokenDigest], i, i+1)
	}
	return true
}

// endSession drops the cached responses of refreshToken's session, and makes its exchanges in
// flight fail with ErrSessionEnded. Call it after Keycloak has ended the session: until then the
// token may be forged, and name somebody else's session.
func (r *refresher) endSession(refreshToken identity.Secret) {
	key, session := digestOf(refreshToken), sessionID(refreshToken)
	r.mu.Lock()
	defer r.mu.Unlock()
	for tokenDigest, entries := range r.exchanges {
		for _, e := range slices.Clone(entries) {
			if tokenDigest != key && (session == "" || e.session != session) {
				continue
			}
			if e.isDone() {
				r.evict(e)
			} else {
				e.sessionEnded = true
			}
		}
	}
}

// cached returns the cached responses to this process's exchanges, unless they are superseded.
func (r *refresher) cached() (results []unstoredResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, entries := range r.exchanges {
		for _, e := range entries {
			if e.isDone() && !e.isSuperseded && e.callID != (store.CallID{}) {
				u := r.shared.unstoredResult(e.callKey, e.callID, exchangeResult{token: e.token})
				u.at = e.doneAt
				results = append(results, u)
			}
		}
	}
	return results
}

// networkOf returns the caller's network. All callers without a known address count as one network.
func (r *refresher) networkOf(ctx context.Context) netip.Prefix {
	if r.anyNetwork {
		return netip.Prefix{}
	}
	return identity.NetworkOf(identity.Address(ctx))
}

// waitIdle waits until no exchange is in flight, or until ctx ends.
func (r *refresher) waitIdle(ctx context.Context) error {
	r.mu.Lock()
	if r.inFlight == 0 {
		r.mu.Unlock()
		return nil
	}
	if r.idleSignal == nil {
		r.idleSignal = make(chan struct{})
	}
	idleSignal := r.idleSignal
	r.mu.Unlock()
	select {
	case <-idleSignal:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
