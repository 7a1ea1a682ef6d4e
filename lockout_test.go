package cloakql_test

import (
	"context"
	"errors"
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

// A lockoutTest has the parts of a server with default settings that take part in a sign-in, and
// alice, a user of a realm with Keycloak's default brute-force detection. Its clock is fake.
type lockoutTest struct {
	t       *testing.T
	limiter *throttle.Limiter
	client  *keycloak.Client
	user    *keycloaktest.User
}

// withLockout calls f with a new lockoutTest, in a synctest bubble.
func withLockout(t *testing.T, f func(l *lockoutTest)) {
	synctest.Test(t, func(t *testing.T) {
		config := testConfig(t)
		listener := newPipeListener()
		kc, err := keycloaktest.Start(keycloaktest.Config{Listener: listener,
			Realms: [][]byte{keycloaktest.RealmSpec{
				Name: "shop", Settings: map[string]any{"bruteForceProtected": true},
				Clients: []keycloaktest.ClientSpec{{ID: "shop-api", Secret: clientSecret}},
				Users: []keycloaktest.UserSpec{{Name: "alice", Password: clientSecret,
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
		f(&lockoutTest{t, limiter, client, kc.Realm("shop").User("alice")})
	})
}

// signIn signs in from an address, with the rate limits and the Keycloak client of the login
// resolver.
func (l *lockoutTest) signIn(ctx context.Context, address, name, password string) error {
	ctx = identity.WithAddress(ctx, netip.MustParseAddr(address))
	credentials := identity.Credentials{Username: name, Password: identity.NewSecret(password)}
	done, err := l.limiter.Login(ctx, credentials)
	if err != nil {
		return err
	}
	_, err = l.client.Login(ctx, credentials)
	done(err)
	return err
}

// guess tries wrong passwords on several connections as fast as the rate limits allow, until ctx is
// done. It returns how many guesses Keycloak checked.
func (l *lockoutTest) guess(ctx context.Context) (checkedGuesses int) {
	var mu sync.Mutex
	var connections sync.WaitGroup
	for range 5 {
		connections.Go(func() {
			for ctx.Err() == nil {
				err := l.signIn(ctx, "192.0.2.7", "alice", "guess")
				wait := time.Second
				if rateLimitErr, ok := errors.AsType[*identity.RateLimitError](err); ok {
					wait = rateLimitErr.RetryAfter
				}
				if errors.Is(err, identity.ErrBadCredentials) {
					mu.Lock()
					checkedGuesses++
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
	return checkedGuesses
}

// An attacker in one network guesses a user's password for two days, as fast as the rate limits
// allow. The user signs in every hour and always succeeds. (Keycloak would lock the account after
// two failures within a second, or thirty in a row.)
func TestLockout_hourlySignIn(t *testing.T) {
	withLockout(t, func(l *lockoutTest) {
		ctx, stop := context.WithTimeout(l.t.Context(), 48*time.Hour)
		defer stop()
		guesses := make(chan int)
		go func() { guesses <- l.guess(ctx) }()
		for hour := range 47 {
			time.Sleep(time.Hour)
			if err := l.signIn(l.t.Context(), "198.51.100.7", "alice", clientSecret); err != nil {
				t.Errorf("signIn() in hour %d = %v, want nil", hour, err)
			}
		}
		if n := <-guesses; n < 150 || n > 20+192 {
			t.Errorf("Keycloak checked %d guesses in two days, want 150 to 212: at most 20, and "+
				"one "+
				"every 15 minutes", n)
		}
	})
}

// Two guesses for one account arrive at once, every two minutes: both with the username, or one
// with the email address. Keycloak would lock the account for a minute after two failures within a
// second. The server prevents that: it waits between the guesses.
func TestLockout_simultaneousGuesses(t *testing.T) {
	for _, names := range [][2]string{{"alice", "alice"}, {"alice", "alice@example.com"}} {
		testSimultaneousGuesses(t, names)
	}
}

// testSimultaneousGuesses sends 20 pairs of guesses. The guesses of a pair have these two names.
func testSimultaneousGuesses(t *testing.T, names [2]string) {
	withLockout(t, func(l *lockoutTest) {
		// From this response, the client learns that both names belong to one account.
		if err := l.signIn(l.t.Context(), "198.51.100.7", "alice", clientSecret); err != nil {
			t.Fatal(err)
		}
		checkedGuesses := 0
		for pair := range 20 {
			var mu sync.Mutex
			var guesses sync.WaitGroup
			for _, name := range names {
				guesses.Go(func() {
					if errors.Is(l.signIn(l.t.Context(), "192.0.2.7", name, "guess"),
						identity.ErrBadCredentials) {
						mu.Lock()
						defer mu.Unlock()
						checkedGuesses++
					}
				})
			}
			time.Sleep(10 * time.Second)
			if err := l.signIn(l.t.Context(), "198.51.100.7", "alice", clientSecret); err != nil {
				t.Errorf("signIn() after pair %d of guesses for %v = %v, want nil", pair, names,
					err)
			}
			guesses.Wait()
			time.Sleep(2 * time.Minute)
		}
		if checkedGuesses < 20 {
			t.Errorf("Keycloak checked %d guesses, want at least 20", checkedGuesses)
		}
	})
}

// While the user doesn't sign in for a day, Keycloak adds up failures until each further failure
// locks the account for a few minutes. The user can still sign in between two lockouts.
func TestLockout_dailySignIn(t *testing.T) {
	withLockout(t, func(l *lockoutTest) {
		ctx, stop := context.WithTimeout(l.t.Context(), 25*time.Hour)
		defer stop()
		guesses := make(chan int)
		go func() { guesses <- l.guess(ctx) }()
		lockedMinutes := 0
		for minute := range 24 * 60 {
			time.Sleep(time.Minute)
			if isLocked, err := l.user.Locked(); err != nil {
				t.Fatal(err)
			} else if isLocked && minute < 120 {
				t.Fatalf("locked after %d minutes, want at least 120", minute)
			} else if isLocked {
				lockedMinutes++
			}
		}
		if lockedMinutes == 0 || lockedMinutes > 24*60/5 {
			t.Errorf("locked for %d of 1440 minutes, want 1 to 288", lockedMinutes)
		}
		attempts := 0
		for ; attempts < 5; attempts++ {
			if err := l.signIn(l.t.Context(), "198.51.100.7", "alice", clientSecret); err == nil {
				break
			}
			time.Sleep(time.Minute)
		}
		if attempts == 5 {
			t.Error("five sign-ins, a minute apart, all failed; want one to succeed")
		}
		if isLocked, err := l.user.Locked(); err != nil || isLocked {
			t.Errorf("Locked() = %t, %v; want false", isLocked, err)
		}
		<-guesses
	})
}
