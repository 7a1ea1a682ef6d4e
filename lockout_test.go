package cloakql_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
	"github.com/cloakql/cloakql/throttle"
)

// A pipeListener is a network of one listener inside a bubble of testing/synctest, where real
// sockets would stop the clock.
type pipeListener struct {
	calls chan net.Conn
	gone  chan struct{}
	close func()
}

func newPipeListener() *pipeListener {
	l := &pipeListener{calls: make(chan net.Conn), gone: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.gone) })
	return l
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.calls:
		return conn, nil
	case <-l.gone:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error { l.close(); return nil }

func (l *pipeListener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
}

func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.calls <- theirs:
		return ours, nil
	case <-l.gone:
		return nil, net.ErrClosed
	}
}

// A lockout is the sign-ins of a server with the default settings, beside a realm with Keycloak's
// own numbers for brute force, by a fake clock.
type lockout struct {
	t       *testing.T
	limiter *throttle.Limiter
	client  *keycloak.Client
	user    *keycloaktest.User
}

// withLockout runs a test in a bubble.
func withLockout(t *testing.T, f func(l *lockout)) {
	synctest.Test(t, func(t *testing.T) {
		config := goodConfig(t)
		listener := newPipeListener()
		kc, err := keycloaktest.Start(keycloaktest.Config{Listener: listener,
			Realms: [][]byte{keycloaktest.Plan{
				Name: "shop", Settings: map[string]any{"bruteForceProtected": true},
				Clients: []keycloaktest.PlannedClient{{ID: "shop-api", Secret: "hush"}},
				Users: []keycloaktest.PlannedUser{{Name: "alice", Password: "hush",
					Settings: map[string]any{"email": "alice@example.com"}}},
			}.File()}})
		if err != nil {
			t.Fatal(err)
		}
		defer kc.Close()
		transport := &http.Transport{DialContext: listener.dial}
		defer transport.CloseIdleConnections()
		config.Client.Transport = transport
		client := newClient(t, config)
		limiter, err := throttle.New(config.Attempts)
		if err != nil {
			t.Fatal(err)
		}
		f(&lockout{t, limiter, client, kc.Realm("shop").User("alice")})
	})
}

// signIn is what the resolver of login does, for a client at an address.
func (l *lockout) signIn(ctx context.Context, address, name, password string) error {
	ctx = identity.WithAddress(ctx, netip.MustParseAddr(address))
	credentials := identity.Credentials{Username: name, Password: identity.NewSecret(password)}
	settle, err := l.limiter.Login(ctx, credentials)
	if err != nil {
		return err
	}
	_, err = l.client.Login(ctx, credentials)
	settle(err)
	return err
}

// guess guesses on several connections as fast as the budgets allow, until ctx ends, and returns
// how many guesses Keycloak judged.
func (l *lockout) guess(ctx context.Context) (judged int) {
	var mu sync.Mutex
	var connections sync.WaitGroup
	for range 5 {
		connections.Go(func() {
			for ctx.Err() == nil {
				err := l.signIn(ctx, "192.0.2.7", "alice", "guess")
				wait := time.Second
				if limited, ok := errors.AsType[*identity.RateLimitError](err); ok {
					wait = limited.RetryAfter
				}
				if errors.Is(err, identity.ErrBadCredentials) {
					mu.Lock()
					judged++
					mu.Unlock()
				}
				select {
				case <-time.After(wait):
				case <-ctx.Done():
				}
			}
		})
	}
	connections.Wait()
	return judged
}

// Somebody guesses at a name for two days, as fast as the budgets of one network allow: its owner,
// who signs in each hour, gets in each time. Two failures within a second, or thirty in a row,
// would lock the account.
func TestLockout_ownerSignsInEachHour(t *testing.T) {
	withLockout(t, func(l *lockout) {
		ctx, stop := context.WithTimeout(l.t.Context(), 48*time.Hour)
		defer stop()
		guesses := make(chan int)
		go func() { guesses <- l.guess(ctx) }()
		for hour := range 47 {
			time.Sleep(time.Hour)
			if err := l.signIn(l.t.Context(), "198.51.100.7", "alice", "hush"); err != nil {
				t.Errorf("hour %d: %v", hour, err)
			}
		}
		if n := <-guesses; n < 150 || n > 20+192 {
			t.Errorf("%d guesses in two days, want 20 and one each quarter of an hour", n)
		}
	})
}

// Pairs of guesses at one moment, two minutes apart, at one name or at the name and the e-mail
// address of the account: a realm of Keycloak's numbers locks it for a minute for two failures
// within a second, which we keep from it.
func TestLockout_pairsOfGuesses(t *testing.T) {
	for _, names := range [][2]string{{"alice", "alice"}, {"alice", "alice@example.com"}} {
		lockoutByPairs(t, names)
	}
}

func lockoutByPairs(t *testing.T, names [2]string) {
	withLockout(t, func(l *lockout) {
		// so that the names are known for one account's
		if err := l.signIn(l.t.Context(), "198.51.100.7", "alice", "hush"); err != nil {
			t.Fatal(err)
		}
		judged := 0
		for pair := range 20 {
			var mu sync.Mutex
			var guesses sync.WaitGroup
			for _, name := range names {
				guesses.Go(func() {
					if errors.Is(l.signIn(l.t.Context(), "192.0.2.7", name, "guess"),
						identity.ErrBadCredentials) {
						mu.Lock()
						defer mu.Unlock()
						judged++
					}
				})
			}
			time.Sleep(10 * time.Second)
			if err := l.signIn(l.t.Context(), "198.51.100.7", "alice", "hush"); err != nil {
				t.Errorf("after pair %d of %v: %v", pair, names, err)
			}
			guesses.Wait()
			time.Sleep(2 * time.Minute)
		}
		if judged < 20 {
			t.Errorf("%d guesses were judged, want the budget of 20", judged)
		}
	})
}

// With nobody signing in for a day the failures add up, and each locks the account for a few
// minutes: the owner gets in between two of them.
func TestLockout_ownerSignsInOnceADay(t *testing.T) {
	withLockout(t, func(l *lockout) {
		ctx, stop := context.WithTimeout(l.t.Context(), 25*time.Hour)
		defer stop()
		guesses := make(chan int)
		go func() { guesses <- l.guess(ctx) }()
		locked := 0
		for minute := range 24 * 60 {
			time.Sleep(time.Minute)
			if is, err := l.user.Locked(); err != nil {
				t.Fatal(err)
			} else if is && minute < 120 {
				t.Fatalf("locked after %d minutes, want two hours at least", minute)
			} else if is {
				locked++
			}
		}
		if locked == 0 || locked > 24*60/5 {
			t.Errorf("locked for %d of 1440 minutes, want some, and a fifth at most", locked)
		}
		tries := 0
		for ; tries < 5; tries++ {
			if err := l.signIn(l.t.Context(), "198.51.100.7", "alice", "hush"); err == nil {
				break
			}
			time.Sleep(time.Minute)
		}
		if tries == 5 {
			t.Error("the owner doesn't get in within five minutes")
		}
		if is, err := l.user.Locked(); err != nil || is {
			t.Errorf("locked: %t, %v", is, err)
		}
		<-guesses
	})
}
