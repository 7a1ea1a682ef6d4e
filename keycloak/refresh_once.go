package keycloak

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// These constants limit the responses that are cached for the grace period. A response over a limit
// isn't cached, so a tab that presents the same token later must sign in again. Exchanges in flight
// are always shared.
const (
	maxCached      = 10_000
	maxCachedBytes = 64 << 20
)

// exchanges exchanges refresh tokens for new tokens, but each token only once per network.
//
// If refresh tokens are single-use, Keycloak responds to a second exchange of the same token by
// detaching the client from the session, which also invalidates the tokens of the first exchange
// (in 6 of 6 attempts with 26.7.4). Two browser tabs that wake up together suffice for that. So all
// callers that present the same token from one network share one exchange, which runs on its own
// context: a closed tab must not cut it off halfway. During the grace period, callers that present
// the same token from that network get the same response, until the new refresh token is presented:
// by then the owner has the new token, so a caller that still presents the old one is someone else.
//
// Any other caller that presents an exchanged token gets Keycloak's response. Keycloak recognizes a
// reused token, and ends the session for both the thief and the owner.
type exchanges struct {
	// exchange calls Keycloak, with a timeout of its own.
	exchange   func(context.Context, identity.Secret) (*identity.OpenIDToken, error)
	grace      time.Duration
	anyNetwork bool // ignore the caller's network
	semaphore  *semaphore
	log        *slog.Logger

	mu         sync.Mutex              // guards the fields below
	cache      map[digest][]*exchange  // in flight or within the grace period, by presented token
	successors map[digest]*exchange    // within the grace period, by new refresh token
	sessions   map[networkSession]bool // of the exchanges in flight
	inFlight   int                     // exchanges in flight
	cached     int                     // exchanges in cache that are done
	bytes      int                     // of the responses in cache
	idle       chan struct{}           // closed once inFlight is zero; nil if no call waits for it
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
	release     func()       // releases the slot and the session; the caller holds exchanges.mu
	done        chan struct{}

	signedOut  bool // the session ended while in flight; guarded by exchanges.mu
	superseded bool // the new refresh token was presented; guarded by exchanges.mu

	// The result, written before done is closed.
	token  *identity.OpenIDToken
	err    error
	doneAt time.Time
	size   int
}

func newExchanges(call func(context.Context, identity.Secret) (*identity.OpenIDToken, error),
	grace time.Duration) *exchanges {
	return &exchanges{
		exchange: call, grace: grace, semaphore: newSemaphore(DefaultMaxCalls), log: slog.Default(),
		cache: map[digest][]*exchange{}, successors: map[digest]*exchange{},
		sessions: map[networkSession]bool{},
	}
}

// do exchanges a token, joins an exchange of the same token that is in flight, or returns a
// response that is cached for the grace period. It returns when ctx ends, but the exchange
// continues.
func (x *exchanges) do(ctx context.Context,
	refreshToken identity.Secret) (*identity.OpenIDToken, error) {
	// An exchange outlives its caller, so don't start one for a caller that is already gone.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, network := digestOf(refreshToken), x.networkOf(ctx)
	x.mu.Lock()
	x.supersede(key)
	e, earlier, reason := x.find(key, network)
	shared := e != nil
	if !shared {
		session := sessionOf(refreshToken)
		release, err := x.acquire(ctx, session)
		if err != nil {
			x.mu.Unlock()
			return nil, err
		}
		e = &exchange{tokenDigest: key, network: network, session: session, release: release,
			done: make(chan struct{})}
		x.cache[key] = append(x.cache[key], e)
		x.inFlight++
		// Ends with the exchange, which has a timeout.
		go x.run(context.WithoutCancel(ctx), e, refreshToken)
	}
	x.mu.Unlock()

	switch {
	case shared:
		x.log.LogAttrs(ctx, slog.LevelInfo,
			"a refresh token was presented again from its network: the response is repeated",
			sessionAttr(e.session), slog.String("network", networkText(network)))
	case earlier != nil:
		x.log.LogAttrs(ctx, slog.LevelWarn,
			"a refresh token was presented again and the response isn't repeated: Keycloak "+
				"is called, and may end the session",
			slog.String("reason", reason), sessionAttr(earlier.session),
			slog.String("network", networkText(network)),
			slog.String("firstNetwork", networkText(earlier.network)))
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
// it returns an earlier exchange of the token, if any, and why its response isn't returned. The
// caller holds mu.
func (x *exchanges) find(key digest, network netip.Prefix) (e, earlier *exchange, reason string) {
	for _, e := range x.cache[key] {
		if e.network == network && !e.superseded {
			return e, nil, ""
		}
	}
	for _, e := range x.cache[key] {
		if e.superseded {
			return nil, e, "its successor was used"
		}
	}
	if entries := x.cache[key]; len(entries) > 0 {
		return nil, entries[0],
			"it comes from another network (ClientConfig.RefreshGraceAnyNetwork)"
	}
	return nil, nil, ""
}

// supersede stops returning the response that holds this new refresh token. The caller holds mu.
func (x *exchanges) supersede(key digest) {
	if e := x.successors[key]; e != nil {
		e.superseded = true // cached until the grace period ends: callers may be reading it
		delete(x.successors, key)
	}
}

// markUsed records that a refresh token was presented for something other than an exchange.
func (x *exchanges) markUsed(refreshToken identity.Secret) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.supersede(digestOf(refreshToken))
}

// acquire takes a slot for an exchange, and returns a function that releases it. Each session may
// have one exchange in flight per network: of two refresh tokens of one session, one was used to
// get the other, so no client needs both. The caller of acquire holds mu; so must that of release.
func (x *exchanges) acquire(ctx context.Context, session string) (release func(), err error) {
	key := networkSession{session, networkOf(ctx)}
	if x.sessions[key] {
		return nil, &identity.RateLimitError{RetryAfter: shareRetry}
	}
	slot, err := x.semaphore.acquire(ctx)
	if err != nil {
		return nil, err
	}
	if session == "" || !key.network.IsValid() {
		return slot.release, nil
	}
	x.sessions[key] = true
	return func() {
		slot.release()
		delete(x.sessions, key)
	}, nil
}

func (x *exchanges) run(ctx context.Context, e *exchange, refreshToken identity.Secret) {
	token, err := x.exchange(ctx, refreshToken)

	x.mu.Lock()
	defer x.mu.Unlock()
	e.release()
	x.inFlight--
	if x.inFlight == 0 && x.idle != nil {
		close(x.idle)
		x.idle = nil
	}
	if e.signedOut && err == nil {
		token, err = nil, identity.ErrSessionEnded
	}
	e.token, e.err, e.doneAt = token, err, time.Now()
	e.size = sizeOf(token)
	close(e.done)
	if err != nil || x.grace <= 0 || x.cached >= maxCached ||
		x.bytes+e.size > maxCachedBytes {
		x.remove(e)
		return
	}
	x.cached++
	x.bytes += e.size
	// A realm without single-use tokens may return the presented refresh token again: then
	// presenting it supersedes nothing.
	if token.RefreshToken != nil && digestOf(*token.RefreshToken) != e.tokenDigest {
		x.successors[digestOf(*token.RefreshToken)] = e
	}
	time.AfterFunc(x.grace, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.forget(e)
	})
}

// forget drops a response from the cache. The caller holds mu.
func (x *exchanges) forget(e *exchange) {
	if !x.remove(e) { // already dropped
		return
	}
	x.cached--
	x.bytes -= e.size
	if e.token.RefreshToken == nil {
		return
	}
	if next := digestOf(*e.token.RefreshToken); x.successors[next] == e {
		delete(x.successors, next)
	}
}

// remove deletes an exchange from the cache, and reports whether it was there. The caller holds mu.
func (x *exchanges) remove(e *exchange) bool {
	i := slices.Index(x.cache[e.tokenDigest], e)
	if i < 0 {
		return false
	}
	if len(x.cache[e.tokenDigest]) == 1 {
		delete(x.cache, e.tokenDigest)
	} else {
		x.cache[e.tokenDigest] = slices.Delete(x.cache[e.tokenDigest], i, i+1)
	}
	return true
}

// endSession drops the cached responses of refreshToken's session, and makes its exchanges in
// flight fail with ErrSessionEnded. Call it after Keycloak has ended the session: until then the
// token may be forged, and name somebody else's session.
func (x *exchanges) endSession(refreshToken identity.Secret) {
	key, session := digestOf(refreshToken), sessionOf(refreshToken)
	x.mu.Lock()
	defer x.mu.Unlock()
	for tokenDigest, entries := range x.cache {
		for _, e := range slices.Clone(entries) {
			if tokenDigest != key && (session == "" || e.session != session) {
				continue
			}
			select {
			case <-e.done:
				x.forget(e)
			default:
				e.signedOut = true
			}
		}
	}
}

// networkOf returns the caller's network. All callers without a known address count as one network.
func (x *exchanges) networkOf(ctx context.Context) netip.Prefix {
	if x.anyNetwork {
		return netip.Prefix{}
	}
	return identity.NetworkOf(identity.Address(ctx))
}

func networkText(network netip.Prefix) string {
	if !network.IsValid() {
		return "unknown"
	}
	return network.String()
}

// sessionAttr returns a session's ID for the log. The ID isn't secret, and lets an administrator
// find the session. The token may be forged, so an ID that doesn't look like one of Keycloak's is
// left out.
func sessionAttr(session string) slog.Attr {
	if len(session) > 64 ||
		strings.ContainsFunc(session, func(r rune) bool {
			return r != '-' && r != '_' && !isAlphanumeric(r)
		}) {
		session = ""
	}
	return slog.String("session", session)
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// wait waits until no exchange is in flight, or until ctx ends.
func (x *exchanges) wait(ctx context.Context) error {
	x.mu.Lock()
	if x.inFlight == 0 {
		x.mu.Unlock()
		return nil
	}
	if x.idle == nil {
		x.idle = make(chan struct{})
	}
	idle := x.idle
	x.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sessionOf returns the session ID in a refresh token, or "" if there is none. It is unverified:
// only Keycloak has the key that refresh tokens are signed with.
func sessionOf(refreshToken identity.Secret) string {
	parts := strings.Split(refreshToken.Reveal(), ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Session string `json:"sid"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Session
}

// withAge returns a copy of a token response, with its lifetimes reduced by the response's age.
func withAge(token *identity.OpenIDToken, age time.Duration) *identity.OpenIDToken {
	aged := *token
	ageSeconds := int(age / time.Second)
	aged.ExpiresIn = max(0, token.ExpiresIn-ageSeconds)
	if token.RefreshExpiresIn != nil {
		lifetime := max(0, *token.RefreshExpiresIn-ageSeconds)
		aged.RefreshExpiresIn = &lifetime
	}
	return &aged
}

// sizeOf returns the approximate memory size of a token response.
func sizeOf(token *identity.OpenIDToken) int {
	if token == nil {
		return 0
	}
	size := 512 + len(token.AccessToken.Reveal())
	for _, secret := range []*identity.Secret{token.RefreshToken, token.IDToken} {
		if secret != nil {
			size += len(secret.Reveal())
		}
	}
	return size
}
