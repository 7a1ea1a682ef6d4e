package keycloak

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// Bounds of what exchanges remember within the grace. Past them an answer is not handed out again, and
// a second tab that comes late signs in anew; exchanges under way are shared whatever is remembered.
const (
	maxRemembered      = 10_000
	maxRememberedBytes = 64 << 20
)

// exchanges trade refresh tokens for new ones, each token once.
//
// Where refresh tokens are single-use, Keycloak answers a second exchange of one by detaching the client
// from the session, and with it the fresh tokens of the first exchange (26.7.4, 6 of 6). Two tabs that
// wake up together are enough. So all who present one token share one exchange, which runs on its own
// context: a closed tab must not cut it off halfway. For the grace after it, its answer is handed to
// whoever presents the same token again.
type exchanges struct {
	exchange func(context.Context, identity.Secret) (*identity.OpenIDToken, error) // bounds its own time
	grace    time.Duration
	most     int // exchanges under way

	mu     sync.Mutex // guards the fields below
	known  map[digest]*exchange
	active int           // exchanges under way
	bytes  int           // of the answers in known
	idle   chan struct{} // closed once active is zero; nil while nobody waits for that
}

// digest stands for a refresh token: tokens themselves are not kept as keys.
type digest [sha256.Size]byte

// An exchange is under way until done is closed; the fields below it are written before that.
type exchange struct {
	session string // as the presented token names it; acted upon only once Keycloak took the token
	ended   bool   // the session was signed out while the exchange was under way; guarded by exchanges.mu
	done    chan struct{}

	token *identity.OpenIDToken
	err   error
	at    time.Time
	size  int
}

func newExchanges(f func(context.Context, identity.Secret) (*identity.OpenIDToken, error), grace time.Duration) *exchanges {
	return &exchanges{exchange: f, grace: grace, most: maxCalls, known: map[digest]*exchange{}}
}

// do exchanges a token, joins the exchange of it that is under way, or repeats the answer of one that
// ended within the grace. When ctx ends it returns at once; the exchange goes on.
func (x *exchanges) do(ctx context.Context, refreshToken identity.Secret) (*identity.OpenIDToken, error) {
	if err := ctx.Err(); err != nil { // an exchange outlives its caller, and isn't begun for one who has gone
		return nil, err
	}
	key := digest(sha256.Sum256([]byte(refreshToken.Reveal())))
	x.mu.Lock()
	e, known := x.known[key]
	if !known {
		if x.active >= x.most {
			x.mu.Unlock()
			return nil, identity.ErrTooManyConcurrent
		}
		e = &exchange{session: sessionOf(refreshToken), done: make(chan struct{})}
		x.known[key] = e
		x.active++
		go x.run(context.WithoutCancel(ctx), key, e, refreshToken) // ends with the exchange, which bounds its time
	}
	x.mu.Unlock()

	select {
	case <-e.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if e.err != nil {
		return nil, e.err
	}
	return aged(e.token, time.Since(e.at)), nil
}

func (x *exchanges) run(ctx context.Context, key digest, e *exchange, refreshToken identity.Secret) {
	token, err := x.exchange(ctx, refreshToken)

	x.mu.Lock()
	defer x.mu.Unlock()
	x.active--
	if x.active == 0 && x.idle != nil {
		close(x.idle)
		x.idle = nil
	}
	if e.ended && err == nil {
		token, err = nil, identity.ErrSessionEnded
	}
	e.token, e.err, e.at = token, err, time.Now()
	e.size = sizeOf(token)
	close(e.done)
	if err != nil || x.grace <= 0 || len(x.known)-x.active > maxRemembered || x.bytes+e.size > maxRememberedBytes {
		delete(x.known, key)
		return
	}
	x.bytes += e.size
	time.AfterFunc(x.grace, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.forget(key, e)
	})
}

// forget drops an answer. The caller holds mu.
func (x *exchanges) forget(key digest, e *exchange) {
	if x.known[key] == e { // it may have been dropped, and the token presented anew
		delete(x.known, key)
		x.bytes -= e.size
	}
}

// end forgets the answers of the session that refreshToken belongs to, and makes the exchanges of it
// that are under way fail with ErrSessionEnded. Call it after Keycloak ended that session: only then is
// what the token says of itself known to be true.
func (x *exchanges) end(refreshToken identity.Secret) {
	key, session := digest(sha256.Sum256([]byte(refreshToken.Reveal()))), sessionOf(refreshToken)
	x.mu.Lock()
	defer x.mu.Unlock()
	for k, e := range x.known {
		if k != key && (session == "" || e.session != session) {
			continue
		}
		select {
		case <-e.done:
			x.forget(k, e)
		default:
			e.ended = true
		}
	}
}

// wait returns when no exchange is under way, or ctx has ended.
func (x *exchanges) wait(ctx context.Context) error {
	x.mu.Lock()
	if x.active == 0 {
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

// sessionOf reads the session id out of a refresh token, unverified: a refresh token is signed with a
// key that only Keycloak has. Empty when there is none to be read.
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

// aged returns a copy of a token answer whose lifetimes are counted from now.
func aged(token *identity.OpenIDToken, age time.Duration) *identity.OpenIDToken {
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
