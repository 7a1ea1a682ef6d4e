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

// Bounds of what exchanges remember within the grace. Past them an answer is not handed out again,
// and a second tab that comes late signs in anew; exchanges under way are shared whatever is
// remembered.
const (
	maxCached      = 10_000
	maxCachedBytes = 64 << 20
)

// exchanges trade refresh tokens for new ones, each token once for one network.
//
// Where refresh tokens are single-use, Keycloak answers a second exchange of one by detaching the
// client from the session, and with it the fresh tokens of the first exchange (26.7.4, 6 of 6). Two
// tabs that wake up together are enough. So all who present one token from one network share one
// exchange, which runs on its own context: a closed tab must not cut it off halfway. For the grace
// after it, its answer is handed to whoever presents the same token again from there, until the new
// refresh token of that answer is presented: from then on its owner has it, and who still comes
// with the old one is somebody else.
//
// Whoever presents a token that was exchanged and isn't handed the answer gets what Keycloak says
// of it: it recognises a token that was used twice, and ends the session for the thief and for the
// owner.
type exchanges struct {
	// bounds its own time
	exchange   func(context.Context, identity.Secret) (*identity.OpenIDToken, error)
	grace      time.Duration
	anyNetwork bool // a caller's network makes no difference to whose an answer is
	semaphore  *semaphore
	log        *slog.Logger

	mu sync.Mutex // guards the fields below
	// under way, or ended within the grace; by the token that was presented
	cache      map[digest][]*exchange
	successors map[digest]*exchange // those that ended within the grace; by the new refresh token
	sessions   map[sessionFrom]bool // of the exchanges under way
	inFlight   int                  // exchanges under way
	cached     int                  // exchanges in cache that have ended
	bytes      int                  // of the answers in cache
	// closed once inFlight is zero; nil while no call waits for that
	idle chan struct{}
}

// digest stands for a refresh token: tokens themselves are not kept as keys.
type digest [sha256.Size]byte

func digestOf(token identity.Secret) digest { return sha256.Sum256([]byte(token.Reveal())) }

// A sessionFrom is a session as a refresh token names it and the network that presents the token.
// Whoever makes up a token can name any session, and keeps nobody from it who is elsewhere.
type sessionFrom struct {
	session string
	network netip.Prefix
}

// An exchange is under way until done is closed; the last fields are written before that.
type exchange struct {
	presented digest       // the token
	network   netip.Prefix // that it was presented from; zero where that makes no difference
	session   string       // as the token names it; acted upon only once Keycloak took the token
	release   func()       // gives back its place; the caller holds exchanges.mu
	done      chan struct{}

	// the session was signed out while the exchange was under way; guarded by exchanges.mu
	ended      bool
	superseded bool // the new refresh token was presented; guarded by exchanges.mu

	token *identity.OpenIDToken
	err   error
	at    time.Time
	size  int
}

func newExchanges(f func(context.Context, identity.Secret) (*identity.OpenIDToken, error),
	grace time.Duration) *exchanges {
	return &exchanges{
		exchange: f, grace: grace, semaphore: newSemaphore(DefaultMaxCalls), log: slog.Default(),
		cache: map[digest][]*exchange{}, successors: map[digest]*exchange{},
		sessions: map[sessionFrom]bool{},
	}
}

// do exchanges a token, joins the exchange of it that is under way, or repeats the answer of one
// that ended within the grace. When ctx ends it returns at once; the exchange goes on.
func (x *exchanges) do(ctx context.Context,
	refreshToken identity.Secret) (*identity.OpenIDToken, error) {
	// an exchange outlives its caller, and isn't begun for one who has gone
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, network := digestOf(refreshToken), x.networkOf(ctx)
	x.mu.Lock()
	x.supersede(key)
	e, before, refusal := x.find(key, network)
	repeat := e != nil
	if !repeat {
		session := sessionOf(refreshToken)
		release, err := x.admit(ctx, session)
		if err != nil {
			x.mu.Unlock()
			return nil, err
		}
		e = &exchange{presented: key, network: network, session: session, release: release,
			done: make(chan struct{})}
		x.cache[key] = append(x.cache[key], e)
		x.inFlight++
		// ends with the exchange, which bounds its time
		go x.run(context.WithoutCancel(ctx), e, refreshToken)
	}
	x.mu.Unlock()

	switch {
	case repeat:
		x.log.LogAttrs(ctx, slog.LevelInfo,
			"a refresh token was presented again from its network: its answer is repeated",
			sessionAttr(e.session), slog.String("network", networkText(network)))
	case before != nil:
		x.log.LogAttrs(ctx, slog.LevelWarn,
			"a refresh token was presented again and its answer isn't repeated: Keycloak is "+
				"asked, and may end the session",
			slog.String("reason", refusal), sessionAttr(before.session),
			slog.String("network", networkText(network)),
			slog.String("firstNetwork", networkText(before.network)))
	}
	select {
	case <-e.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if e.err != nil {
		return nil, e.err
	}
	return withAge(e.token, time.Since(e.at)), nil
}

// find returns the exchange of a token whose answer a caller from network may have. If there is
// none, it returns the first exchange of that token, if any, and why its answer isn't for this
// caller. The caller holds mu.
func (x *exchanges) find(key digest, network netip.Prefix) (e, before *exchange, refusal string) {
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
	if known := x.cache[key]; len(known) > 0 {
		return nil, known[0], "it comes from another network (ClientConfig.RefreshGraceAnyNetwork)"
	}
	return nil, nil, ""
}

// supersede ends the repeating of the answer whose new refresh token is presented. The caller holds
// mu.
func (x *exchanges) supersede(key digest) {
	if e := x.successors[key]; e != nil {
		e.superseded = true // its bytes stay until the grace is over: others may be reading them
		delete(x.successors, key)
	}
}

// presented tells that a refresh token is used for something else than an exchange.
func (x *exchanges) markUsed(refreshToken identity.Secret) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.supersede(digestOf(refreshToken))
}

// admit takes a place for one more exchange, and returns what gives it back. A session has one
// exchange under way from each network: two tokens of one session at a time are one that was used
// and its successor, and no client has both to spend. The caller of both holds mu.
func (x *exchanges) admit(ctx context.Context, session string) (release func(), err error) {
	from := sessionFrom{session, networkOf(ctx)}
	if x.sessions[from] {
		return nil, &identity.RateLimitError{RetryAfter: shareRetry}
	}
	slot, err := x.semaphore.acquire(ctx)
	if err != nil {
		return nil, err
	}
	if session == "" || !from.network.IsValid() {
		return slot.release, nil
	}
	x.sessions[from] = true
	return func() {
		slot.release()
		delete(x.sessions, from)
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
	if e.ended && err == nil {
		token, err = nil, identity.ErrSessionEnded
	}
	e.token, e.err, e.at = token, err, time.Now()
	e.size = sizeOf(token)
	close(e.done)
	if err != nil || x.grace <= 0 || x.cached >= maxCached ||
		x.bytes+e.size > maxCachedBytes {
		x.remove(e)
		return
	}
	x.cached++
	x.bytes += e.size
	// Where tokens aren't single-use, a realm may hand the presented one back: presenting it again
	// is no news then.
	if token.RefreshToken != nil && digestOf(*token.RefreshToken) != e.presented {
		x.successors[digestOf(*token.RefreshToken)] = e
	}
	time.AfterFunc(x.grace, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.forget(e)
	})
}

// forget drops an answer. The caller holds mu.
func (x *exchanges) forget(e *exchange) {
	if !x.remove(e) { // it was dropped before
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

// remove takes an exchange out of cache, and reports whether it was there. The caller holds mu.
func (x *exchanges) remove(e *exchange) bool {
	i := slices.Index(x.cache[e.presented], e)
	if i < 0 {
		return false
	}
	if len(x.cache[e.presented]) == 1 {
		delete(x.cache, e.presented)
	} else {
		x.cache[e.presented] = slices.Delete(x.cache[e.presented], i, i+1)
	}
	return true
}

// end forgets the answers of the session that refreshToken belongs to, and makes the exchanges of
// it that are under way fail with ErrSessionEnded. Call it after Keycloak ended that session: only
// then is what the token says of itself known to be true.
func (x *exchanges) endSession(refreshToken identity.Secret) {
	key, session := digestOf(refreshToken), sessionOf(refreshToken)
	x.mu.Lock()
	defer x.mu.Unlock()
	for k, known := range x.cache {
		for _, e := range slices.Clone(known) {
			if k != key && (session == "" || e.session != session) {
				continue
			}
			select {
			case <-e.done:
				x.forget(e)
			default:
				e.ended = true
			}
		}
	}
}

// networkOf returns the network that a call comes from. Callers whose address isn't known count as
// one network.
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

// sessionAttr is a session's id for a log: no secret, and what an administrator finds the session
// by. A token that is being exchanged may be anybody's, so what doesn't look like an id of
// Keycloak's isn't shown.
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

// wait returns when no exchange is under way, or ctx has ended.
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

// sessionOf reads the session id out of a refresh token, unverified: a refresh token is signed with
// a key that only Keycloak has. Empty when there is none to be read.
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

// withAge returns a copy of a token answer whose lifetimes are counted from now.
func withAge(token *identity.OpenIDToken, age time.Duration) *identity.OpenIDToken {
	out := *token
	passed := int(age / time.Second)
	out.ExpiresIn = max(0, token.ExpiresIn-passed)
	if token.RefreshExpiresIn != nil {
		left := max(0, *token.RefreshExpiresIn-passed)
		out.RefreshExpiresIn = &left
	}
	return &out
}

// sizeOf is about how many bytes an answer takes.
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
