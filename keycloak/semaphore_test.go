package keycloak

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

const hereAddress, otherAddress = "192.0.2.7", "198.51.100.7"

// sessionToken is a refresh token as Keycloak's are made, with what it says of its session.
func sessionToken(session string, n int) identity.Secret {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return identity.NewSecret(part(`{"alg":"HS512"}`) + "." +
		part(fmt.Sprintf(`{"sid":%q,"n":%d}`, session, n)) + "." + part("signature"))
}

// isLimit reports whether an error tells its caller when to come back.
func isLimit(err error) bool {
	limited, ok := errors.AsType[*identity.RateLimitError](err)
	return ok && limited.RetryAfter > 0
}

// kinds are the three calls, each of a name or session of its own.
var kinds = map[string]func(ctx context.Context, c *Client, n int) error{
	"login": func(ctx context.Context, c *Client, n int) error {
		return signIn(ctx, c, fmt.Sprint("user ", n))
	},
	"refresh": func(ctx context.Context, c *Client, n int) error {
		_, err := c.Refresh(ctx, sessionToken(fmt.Sprint("session ", n), n))
		return err
	},
	"logout": func(ctx context.Context, c *Client, n int) error {
		return c.Logout(ctx, sessionToken(fmt.Sprint("session ", n), n))
	},
}

// A network has a quarter of the places, from however many of its addresses; the others have the
// rest.
func TestSemaphore_networkShare(t *testing.T) {
	for name, call := range kinds {
		synctest.Test(t, func(t *testing.T) {
			realm, client := newRealmByClock(time.Second, func(c *ClientConfig) {
				c.MaxLogins, c.MaxRefreshes, c.MaxLogouts = 16, 16, 16
			})
			var limited, busy atomic.Int32
			var callers sync.WaitGroup
			for i := range 100 {
				callers.Go(func() {
					if isLimit(call(from(t, fmt.Sprintf("192.0.2.%d", i)), client, i)) {
						limited.Add(1)
					}
				})
			}
			synctest.Wait()
			for i := range 13 { // each of a network of its own
				callers.Go(func() {
					if errors.Is(call(from(t, fmt.Sprintf("198.51.%d.7", i)), client, 100+i),
						identity.ErrBusy) {
						busy.Add(1)
					}
				})
			}
			callers.Wait()
			if limited.Load() != 96 || busy.Load() != 1 || realm.most != 16 {
				t.Errorf("%s: %d were limited, %d too many for all, %d at once; want 96, 1 and 16",
					name, limited.Load(), busy.Load(), realm.most)
			}
			time.Sleep(time.Second)
			if err := call(from(t, hereAddress), client, 200); isLimit(err) ||
				errors.Is(err, identity.ErrBusy) {
				t.Errorf("%s: after the storm: %v", name, err)
			}
		})
	}
}

// Without addresses there are no networks, and all the places are anybody's.
func TestSemaphore_withoutAddresses(t *testing.T) {
	p := newSemaphore(8)
	for range 8 {
		if _, err := p.acquire(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := p.acquire(t.Context()); !errors.Is(err, identity.ErrBusy) {
		t.Errorf("one more: %v, want %v", err, identity.ErrBusy)
	}
}

// However small a pool is, a network has one place.
func TestSemaphore_small(t *testing.T) {
	p := newSemaphore(1)
	slot, err := p.acquire(from(t, hereAddress))
	if err != nil {
		t.Fatal(err)
	}
	slot.release()
	slot.release() // which counts once
	if len(p.networks) != 0 || p.inUse != 0 {
		t.Errorf("%d taken, %d networks; want none", p.inUse, len(p.networks))
	}
}

// The caller of a slow Keycloak is answered in time. The place stays taken until Keycloak has
// answered, or until the bound: Keycloak works on, and whoever comes again at once must not double
// its work.
func TestSemaphore_heldUntilKeycloakAnswers(t *testing.T) {
	for _, tt := range []struct{ takes, held time.Duration }{
		{20 * time.Second, 20 * time.Second},
		{time.Hour, 24 * time.Second},
	} {
		for name, call := range kinds {
			synctest.Test(t, func(t *testing.T) {
				realm, client := newRealmByClock(tt.takes, func(c *ClientConfig) {
					c.MaxLogins, c.MaxRefreshes, c.MaxLogouts = 1, 1, 1
				})
				begin := time.Now()
				err := call(from(t, hereAddress), client, 1)
				if !identity.TimedOut(err) || !errors.Is(err, identity.ErrProviderUnavailable) ||
					time.Since(begin) != 8*time.Second {
					t.Errorf("%s: %v after %v, want a time-out after 8s", name, err,
						time.Since(begin))
				}
				for time.Since(begin) < tt.held {
					if err := call(from(t, otherAddress), client, 2); !errors.Is(err,
						identity.ErrBusy) {
						t.Errorf("%s: after %v: %v, want %v", name, time.Since(begin), err,
							identity.ErrBusy)
					}
					time.Sleep(4 * time.Second)
				}
				synctest.Wait()
				realm.takes = time.Second
				if err := call(from(t, otherAddress), client, 3); errors.Is(err, identity.ErrBusy) {
					t.Errorf("%s: after %v: %v", name, time.Since(begin), err)
				}
				if err := client.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// Of one session one exchange is under way, whatever tokens name it; and a stranger who names it
// keeps nobody from it.
func TestClient_Refresh_oneOfASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := newRealmByClock(time.Second)
		refresh := func(address string, n int) error {
			_, err := client.Refresh(from(t, address), sessionToken("alice's", n))
			return err
		}
		var callers sync.WaitGroup
		var limited, done atomic.Int32
		for n := range 50 {
			callers.Go(func() {
				switch err := refresh(otherAddress, n); {
				case isLimit(err):
					limited.Add(1)
				case err == nil:
					done.Add(1)
				}
			})
		}
		synctest.Wait()
		callers.Go(func() {
			if err := refresh(hereAddress, 100); err != nil {
				t.Errorf("the owner, meanwhile: %v", err)
			}
		})
		callers.Wait()
		if limited.Load() != 49 || done.Load() != 1 {
			t.Errorf("%d were limited and %d exchanged, want 49 and 1", limited.Load(), done.Load())
		}
		for n := 200; n < 203; n++ { // one after another there is no bound
			if err := refresh(hereAddress, n); err != nil {
				t.Errorf("the owner, afterwards: %v", err)
			}
		}
	})
}
