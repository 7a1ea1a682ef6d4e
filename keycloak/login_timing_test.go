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

// How long Keycloak takes to refuse a sign-in, with and without hashing a password.
const hashed, unhashed = 290 * time.Millisecond, 8 * time.Millisecond

// newRefusedClient returns a client whose sign-ins are all refused. Names that start with "social"
// stand for accounts without a password, for which Keycloak hashes none.
func newRefusedClient(t *testing.T, changes ...func(*ClientConfig)) *Client {
	t.Helper()
	config := ClientConfig{
		Realm: must(NewRealm("http://localhost", "local")), ClientID: "local-api",
		ClientSecret: identity.NewSecret(canary), RefusalPause: -1,
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			delay := hashed
			if strings.HasPrefix(r.FormValue("username"), "social") {
				delay = unhashed
			}
			time.Sleep(delay)
			return respond(400,
				`{"error":"invalid_grant","error_description":"Invalid user credentials"}`)
		}),
	}
	for _, change := range changes {
		change(&config)
	}
	return must(NewClient(config))
}

// refusalTime returns how long a refusal takes.
func refusalTime(t *testing.T, ctx context.Context, c *Client, name string) time.Duration {
	t.Helper()
	start := time.Now()
	if err := signIn(ctx, c, name); !errors.Is(err, identity.ErrBadCredentials) {
		t.Errorf("%s: %v, want %v", name, err, identity.ErrBadCredentials)
	}
	return time.Since(start)
}

// Refusals take the same time for accounts with and without a password, even after many guesses at
// one without.
func TestLogin_refusalsTakeEqualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newRefusedClient(t)
		refusalTime(t, contextWithAddress(t, addressA), client, "alice")
		for i := range 1000 { // in rows of a hundred without a password
			name := "social"
			if i%100 == 0 {
				name = []string{"alice", "nobody"}[i/100%2]
			}
			if took := refusalTime(t, contextWithAddress(t, addressA), client,
				name); took != hashed {
				t.Fatalf("refusal %d of %s came after %v, want %v", i, name, took, hashed)
			}
		}
	})
}

// A delayed refusal holds no slot, and ends with its caller's context.
func TestLogin_delayedRefusalHoldsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newRefusedClient(t, func(c *ClientConfig) { c.MaxLogins = 1 })
		refusalTime(t, contextWithAddress(t, addressA), client, "alice")
		var callers sync.WaitGroup
		callers.Go(func() { refusalTime(t, contextWithAddress(t, addressA), client, "social") })
		time.Sleep(unhashed)
		synctest.Wait()
		slot, err := client.logins.acquire(contextWithAddress(t, addressB))
		if err != nil {
			t.Fatalf("a delayed refusal holds a slot: %v", err)
		}
		slot.release()
		callers.Wait()
		if len(client.logins.networks) != 0 || client.logins.inUse != 0 {
			t.Errorf("%d slots in use, %d networks; want none", client.logins.inUse,
				len(client.logins.networks))
		}

		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := signIn(ctx, client, "social"); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(start) != 100*time.Millisecond {
			t.Errorf("%v after %v, want %v after 100ms", err, time.Since(start),
				context.DeadlineExceeded)
		}
		if err := client.Close(t.Context()); err != nil || time.Since(start) != hashed {
			t.Errorf("Close() = %v after %v, want nil after %v", err, time.Since(start), hashed)
		}
	})
}

// A refusal is delayed for at most half of the timeout, even if Keycloak was slower before. The
// next sign-in of the account waits for less.
func TestLogin_refusalDelayBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newRefusedClient(t, withTimeout(8*time.Second))
		client.timing.observe(netip.Prefix{}, time.Hour, false)
		start := time.Now()
		var callers sync.WaitGroup
		for _, want := range []time.Duration{4 * time.Second, maxQueueHold + 4*time.Second} {
			callers.Go(func() {
				if refusalTime(t, t.Context(), client, "alice"); time.Since(start) != want {
					t.Errorf("refused after %v, want %v", time.Since(start), want)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
	})
}

// Other sign-ins don't reveal sooner than the refusal itself whether an account has a password:
// neither the next sign-in of the account, nor one that waits for its network's share of the slots.
func TestLogin_refusalTimingSideChannels(t *testing.T) {
	for _, pause := range []time.Duration{-1, 0} {
		var second, slotFree []time.Duration // with a password, and without
		for _, name := range []string{"alice", "social"} {
			synctest.Test(t, func(t *testing.T) {
				client := newRefusedClient(t, func(c *ClientConfig) {
					c.MaxLogins, c.RefusalPause = networkShare, pause
				})
				refusalTime(t, t.Context(), client, "nobody")
				start := time.Now()
				var callers sync.WaitGroup
				for i := range maxPerNetwork {
					callers.Go(func() {
						took := refusalTime(t, t.Context(), client, name)
						if i > 0 {
							second = append(second, took)
						}
					})
					synctest.Wait()
				}
				callers.Wait()

				start = time.Now()
				callers.Go(func() {
					refusalTime(t, contextWithAddress(t, addressA), client,
						name+" ")
				})
				synctest.Wait()
				callers.Go(func() {
					for isRateLimitError(signIn(contextWithAddress(t, addressA), client,
						"another")) {
						// Never at the same time as a slot becomes free.
						time.Sleep(hashed / 100 * 3)
					}
					slotFree = append(slotFree, time.Since(start))
				})
				callers.Wait()
			})
		}
		if second[0] != second[1] || slotFree[0] != slotFree[1] {
			t.Errorf("with a pause of %v: second refusals after %v, free slots after %v; want two "+
				"equal times each", pause, second, slotFree)
		}
	}
}

// Without samples, a refusal takes initialDelay. A quick one doesn't become a sample.
func TestLogin_firstRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newRefusedClient(t)
		for range 3 {
			for _, name := range []string{"social", "social", "alice"} {
				client.timing.samples = nil
				took := refusalTime(t, contextWithAddress(t, addressA), client, name)
				if took != initialDelay && name == "social" || took < hashed {
					t.Errorf("%s: refused after %v, want %v", name, took, initialDelay)
				}
			}
		}
	})
}

// An error other than Keycloak's refusal isn't delayed, and isn't a sample.
func TestLogin_otherErrorsNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newRefusedClient(t, func(c *ClientConfig) {
			inner := c.Transport
			c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.FormValue("username") == "down" {
					return nil, errors.New("connection refused")
				}
				return inner.RoundTrip(r)
			})
		})
		refusalTime(t, t.Context(), client, "alice")
		start := time.Now()
		if err := signIn(t.Context(), client, "down"); !errors.Is(err,
			identity.ErrProviderUnavailable) || time.Since(start) != 0 {
			t.Errorf("%v after %v, want %v at once", err, time.Since(start),
				identity.ErrProviderUnavailable)
		}
		if n := len(client.timing.samples); n != 1 {
			t.Errorf("%d samples, want 1", n)
		}
	})
}

// Neither one network nor any number of quick refusals shortens the delay.
func TestLoginTiming_oneNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var timing loginTiming
		network := func(i int) netip.Prefix {
			return identity.NetworkOf(netip.MustParseAddr(fmt.Sprintf("198.51.%d.7", i)))
		}
		wantTarget := func(want time.Duration) {
			t.Helper()
			if got := timing.target(); got != want {
				t.Fatalf("target() = %v, want %v", got, want)
			}
		}
		timing.observe(network(0), unhashed, true) // the first sample
		for i := range 200 {
			timing.observe(network(i), hashed, true)
			wantTarget(hashed)
		}
		for i := range 1000 {
			timing.observe(network(i%250), unhashed, true)
			// An account whose hash is cheap, from one network.
			timing.observe(network(250), unhashed, false)
			wantTarget(hashed)
		}
		if len(timing.samples) != maxSamples {
			t.Errorf("%d samples, want %d", len(timing.samples), maxSamples)
		}
		for i := range maxSamples { // sign-ins from many networks show that Keycloak is faster
			timing.observe(network(i), unhashed, false)
		}
		wantTarget(unhashed)
	})
}

// Slow samples of a burst expire even if few networks sign in, but not before there is a new one.
func TestLoginTiming_forgetsBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var timing loginTiming
		burst, other := netip.MustParsePrefix("198.51.100.0/24"),
			netip.MustParsePrefix("192.0.2.0/24")
		for range 100 {
			timing.observe(burst, time.Minute, true)
		}
		wantTarget := func(want time.Duration) {
			t.Helper()
			if got := timing.target(); got != want {
				t.Errorf("target() = %v, want %v", got, want)
			}
		}
		timing.observe(other, hashed, false)
		wantTarget(time.Minute)
		time.Sleep(sampleAge + 1)
		timing.observe(other, unhashed, true)
		wantTarget(time.Minute)
		timing.observe(other, hashed, false)
		wantTarget(hashed)
	})
}
