package keycloak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

const hashed, unhashed = 290 * time.Millisecond, 8 * time.Millisecond

// refusing refuses every sign-in: those under the name "social" without hashing a password, as
// Keycloak does for an account that has none.
func refusing(t *testing.T, changes ...func(*ClientConfig)) *Client {
	t.Helper()
	config := ClientConfig{
		Realm: must(NewRealm("http://localhost", "local")), ClientID: "local-api",
		ClientSecret: identity.NewSecret(canary), RefusalPause: -1,
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			took := hashed
			if strings.HasPrefix(r.FormValue("username"), "social") {
				took = unhashed
			}
			time.Sleep(took)
			return respond(400,
				`{"error":"invalid_grant","error_description":"Invalid user credentials"}`)
		}),
	}
	for _, change := range changes {
		change(&config)
	}
	return must(NewClient(config))
}

// refusedAfter is how long a refusal takes.
func refusedAfter(t *testing.T, ctx context.Context, c *Client, name string) time.Duration {
	t.Helper()
	begin := time.Now()
	if err := signIn(ctx, c, name); !errors.Is(err, identity.ErrBadCredentials) {
		t.Errorf("%s: %v, want %v", name, err, identity.ErrBadCredentials)
	}
	return time.Since(begin)
}

// An account without a password is refused as late as one with one, however often somebody guesses
// at it.
func TestClient_Login_refusalsTakeAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := refusing(t)
		refusedAfter(t, from(t, hereAddress), client, "alice")
		for i := range 1000 { // a hundred in a row at one without
			name := "social"
			if i%100 == 0 {
				name = []string{"alice", "nobody"}[i/100%2]
			}
			if took := refusedAfter(t, from(t, hereAddress), client, name); took != hashed {
				t.Fatalf("refusal %d, of %s, came after %v, want %v", i, name, took, hashed)
			}
		}
	})
}

// What waits holds no place that others could have, and leaves with its caller.
func TestClient_Login_heldRefusalsHoldNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := refusing(t, func(c *ClientConfig) { c.MaxLogins = 1 })
		refusedAfter(t, from(t, hereAddress), client, "alice")
		var callers sync.WaitGroup
		callers.Go(func() { refusedAfter(t, from(t, hereAddress), client, "social") })
		time.Sleep(unhashed)
		synctest.Wait()
		slot, err := client.logins.acquire(from(t, otherAddress))
		if err != nil {
			t.Fatalf("a refusal that is held back holds a place: %v", err)
		}
		slot.release()
		callers.Wait()
		if len(client.logins.networks) != 0 || client.logins.inUse != 0 {
			t.Errorf("%d taken, %d networks; want none", client.logins.inUse,
				len(client.logins.networks))
		}

		begin := time.Now()
		leaving, leave := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer leave()
		if err := signIn(leaving, client, "social"); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(begin) != 100*time.Millisecond {
			t.Errorf("%v after %v, want %v after 100ms", err, time.Since(begin),
				context.DeadlineExceeded)
		}
		if err := client.Close(t.Context()); err != nil || time.Since(begin) != hashed {
			t.Errorf("closed after %v with %v, want %v and nil", time.Since(begin), err, hashed)
		}
	})
}

// However slow Keycloak was, a refusal waits for half of the timeout at most, and the owner of the
// account for less.
func TestClient_Login_heldRefusalsHaveABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := refusing(t, timeout(8*time.Second))
		client.timing.observe(netip.Prefix{}, time.Hour, false)
		begin := time.Now()
		var callers sync.WaitGroup
		for _, want := range []time.Duration{4 * time.Second, maxQueueHold + 4*time.Second} {
			callers.Go(func() {
				if refusedAfter(t, t.Context(), client, "alice"); time.Since(begin) != want {
					t.Errorf("refused after %v, want %v", time.Since(begin), want)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
	})
}

// Nor do other sign-ins tell sooner than the answer: the next one of the account, or one more of
// the network when its share of the places is taken.
func TestClient_Login_refusalsShowInNothingElse(t *testing.T) {
	for _, pause := range []time.Duration{-1, 0} {
		var second, free []time.Duration // of an account with a password, and of one without
		for _, name := range []string{"alice", "social"} {
			synctest.Test(t, func(t *testing.T) {
				client := refusing(t, func(c *ClientConfig) {
					c.MaxLogins, c.RefusalPause = networkShare, pause
				})
				refusedAfter(t, t.Context(), client, "nobody")
				begin := time.Now()
				var callers sync.WaitGroup
				for i := range maxPerNetwork {
					callers.Go(func() {
						took := refusedAfter(t, t.Context(), client, name)
						if i > 0 {
							second = append(second, took)
						}
					})
					synctest.Wait()
				}
				callers.Wait()

				begin = time.Now()
				callers.Go(func() { refusedAfter(t, from(t, hereAddress), client, name+" ") })
				synctest.Wait()
				callers.Go(func() {
					for isLimit(signIn(from(t, hereAddress), client, "another")) {
						// which ends at no moment at which a place is freed
						time.Sleep(hashed / 100 * 3)
					}
					free = append(free, time.Since(begin))
				})
				callers.Wait()
			})
		}
		if second[0] != second[1] || free[0] != free[1] {
			t.Errorf(
				"with a pause of %v the second refusal comes after %v, the next place after %v; "+
					"want each twice the same", pause, second, free)
		}
	}
}

// Before anything is known, a refusal takes as long as one that hashes a password, and a quick one
// teaches nothing.
func TestClient_Login_theFirstRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := refusing(t)
		for range 3 {
			for _, name := range []string{"social", "social", "alice"} {
				client.timing.samples = nil
				took := refusedAfter(t, from(t, hereAddress), client, name)
				if took != initialDelay && name == "social" || took < hashed {
					t.Errorf("%s is refused after %v, want %v", name, took, initialDelay)
				}
			}
		}
	})
}

// What Keycloak didn't judge isn't held back, and no time is learned from it.
func TestClient_Login_onlyJudgedRefusalsAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := refusing(t, func(c *ClientConfig) {
			inner := c.Transport
			c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.FormValue("username") == "down" {
					return nil, errors.New("connection refused")
				}
				return inner.RoundTrip(r)
			})
		})
		refusedAfter(t, t.Context(), client, "alice")
		begin := time.Now()
		if err := signIn(t.Context(), client, "down"); !errors.Is(err,
			identity.ErrProviderUnavailable) || time.Since(begin) != 0 {
			t.Errorf("%v after %v, want %v at once", err, time.Since(begin),
				identity.ErrProviderUnavailable)
		}
		if n := len(client.timing.samples); n != 1 {
			t.Errorf("%d samples, want 1", n)
		}
	})
}

// One network doesn't move the pace down, and no number of quick refusals moves it down.
func TestLoginTiming_oneNetworkMovesLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p loginTiming
		network := func(i int) netip.Prefix {
			return identity.NetworkOf(netip.MustParseAddr(fmt.Sprintf("198.51.%d.7", i)))
		}
		wants := func(want time.Duration) {
			t.Helper()
			if got := p.target(); got != want {
				t.Fatalf("the pace is %v, want %v", got, want)
			}
		}
		p.observe(network(0), unhashed, true) // the first of all, before anything is known
		for i := range 200 {
			p.observe(network(i), hashed, true)
			wants(hashed)
		}
		for i := range 1000 {
			p.observe(network(i%250), unhashed, true)
			// of one network only: somebody's account whose hash is cheap
			p.observe(network(250), unhashed, false)
			wants(hashed)
		}
		if len(p.samples) != maxSamples {
			t.Errorf("%d samples are kept, want %d", len(p.samples), maxSamples)
		}
		for i := range maxSamples { // a faster Keycloak is noticed by the sign-ins of many
			p.observe(network(i), unhashed, false)
		}
		wants(unhashed)
	})
}

// The time of a storm isn't kept for good where few networks sign in, nor is it forgotten for want
// of sign-ins.
func TestLoginTiming_forgetsAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p loginTiming
		storm, own := netip.MustParsePrefix("198.51.100.0/24"),
			netip.MustParsePrefix("192.0.2.0/24")
		for range 100 {
			p.observe(storm, time.Minute, true)
		}
		wants := func(want time.Duration) {
			t.Helper()
			if got := p.target(); got != want {
				t.Errorf("the pace is %v, want %v", got, want)
			}
		}
		p.observe(own, hashed, false)
		wants(time.Minute)
		time.Sleep(sampleAge + 1)
		p.observe(own, unhashed, true)
		wants(time.Minute)
		p.observe(own, hashed, false)
		wants(hashed)
	})
}
