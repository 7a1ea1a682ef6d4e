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

// refusalTimeWithHash and refusalTimeWithoutHash are how long Keycloak takes to refuse a sign-in
// with and without hashing the password.
const refusalTimeWithHash, refusalTimeWithoutHash = 290 * time.Millisecond, 8 * time.Millisecond

// newRefusedClient returns a client whose sign-ins are all refused. Usernames that start with
// "social" belong to accounts without a password, for which Keycloak hashes nothing.
func newRefusedClient(t *testing.T, changes ...func(*ClientConfig)) *Client {
	t.Helper()
	config := ClientConfig{
		Realm: must(NewRealm("http://localhost", "local")), ClientID: "local-api",
		ClientSecret: identity.NewSecret(canary), RefusalPause: -1,
		Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			delay := refusalTimeWithHash
			if strings.HasPrefix(r.FormValue("username"), "social") {
				delay = refusalTimeWithoutHash
			}
			time.Sleep(delay)
			return newResponse(400,
				`{"error":"invalid_grant","error_description":"Invalid user credentials"}`)
		}),
	}
	for _, change := range changes {
		change(&config)
	}
	return must(NewClient(config))
}

// refusalTime signs in, and returns how long Login takes to return the refusal.
func refusalTime(t *testing.T, ctx context.Context, c *Client, name string) time.Duration {
	t.Helper()
	start := time.Now()
	if err := signIn(ctx, c, name); !errors.Is(err, identity.ErrBadCredentials) {
		t.Errorf("%s: %v, want %v", name, err, identity.ErrBadCredentials)
	}
	return time.Since(start)
}

// Refusals take the same time for accounts with and without a password, even after many guesses at
// an account without a password.
func TestLogin_refusalsTakeEqualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newRefusedClient(t)
		refusalTime(t, contextWithAddress(t, addressA), client, "alice")
		for i := range 1000 { // Keycloak hashes a password in only every hundredth sign-in
			name := "social"
			if i%100 == 0 {
				name = []string{"alice", "nobody"}[i/100%2]
			}
			if duration := refusalTime(t, contextWithAddress(t, addressA), client,
				name); duration != refusalTimeWithHash {
				t.Fatalf("refusal %d, of %s, took %v, want %v", i, name, duration,
					refusalTimeWithHash)
			}
		}
	})
}

// A sign-in whose refusal is being delayed holds no slot. It returns early if the caller's context
// is done.
func TestLogin_delayedRefusalHoldsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newRefusedClient(t, func(c *ClientConfig) { c.MaxLogins = 1 })
		refusalTime(t, contextWithAddress(t, addressA), client, "alice")
		var callers sync.WaitGroup
		callers.Go(func() { refusalTime(t, contextWithAddress(t, addressA), client, "social") })
		time.Sleep(refusalTimeWithoutHash)
		synctest.Wait()
		slot, err := client.loginSlots.acquire(contextWithAddress(t, addressB))
		if err != nil {
			t.Fatalf("acquire() during a delayed refusal = %v, want a slot", err)
		}
		slot.release()
		callers.Wait()
		if len(client.loginSlots.callsByNetwork) != 0 || client.loginSlots.inUse != 0 {
			t.Errorf("%d slots in use by %d networks, want none", client.loginSlots.inUse,
				len(client.loginSlots.callsByNetwork))
		}

		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := signIn(ctx, client, "social"); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(start) != 100*time.Millisecond {
			t.Errorf("signIn() = %v after %v, want %v after 100ms", err, time.Since(start),
				context.DeadlineExceeded)
		}
		if err := client.Close(t.Context()); err != nil ||
			time.Since(start) != refusalTimeWithHash {
			t.Errorf("Close() = %v after %v, want nil after %v", err, time.Since(start),
				refusalTimeWithHash)
		}
	})
}

// A refusal is delayed for at most half of Timeout, even if Keycloak was slower before. The delay
// holds up the account's next sign-in for at most maxQueueDelay.
func TestLogin_maxRefusalDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newRefusedClient(t, withTimeout(8*time.Second))
		client.loginTiming.record(netip.Prefix{}, time.Hour, false)
		start := time.Now()
		var callers sync.WaitGroup
		for _, want := range []time.Duration{4 * time.Second, maxQueueDelay + 4*time.Second} {
			callers.Go(func() {
				if refusalTime(t, t.Context(), client, "alice"); time.Since(start) != want {
					t.Errorf("the refusal came after %v, want %v", time.Since(start), want)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
	})
}

// The timing of other sign-ins doesn't reveal whether an account has a password. The test times the
// account's next sign-in, and a sign-in of another account that waits for a slot of the network.
func TestLogin_refusalTimingSideChannels(t *testing.T) {
	for _, pause := range []time.Duration{-1, 0} {
		// Each slice gets two times: first of the account with a password, then of the account
		// without one.
		var secondRefusals, slotWaits []time.Duration
		for _, name := range []string{"alice", "social"} {
			synctest.Test(t, func(t *testing.T) {
				client := newRefusedClient(t, func(c *ClientConfig) {
					c.MaxLogins, c.RefusalPause = networkShareDivisor, pause
				})
				refusalTime(t, t.Context(), client, "nobody")
				start := time.Now()
				var callers sync.WaitGroup
				for i := range maxLoginsPerNetwork {
					callers.Go(func() {
						duration := refusalTime(t, t.Context(), client, name)
						if i > 0 {
							secondRefusals = append(secondRefusals, duration)
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
						// This interval never ends exactly when a slot becomes free.
						time.Sleep(refusalTimeWithHash / 100 * 3)
					}
					slotWaits = append(slotWaits, time.Since(start))
				})
				callers.Wait()
			})
		}
		if secondRefusals[0] != secondRefusals[1] || slotWaits[0] != slotWaits[1] {
			t.Errorf("with RefusalPause %v: second refusals after %v, free slots after %v; want "+
				"two "+
				"equal times each", pause, secondRefusals, slotWaits)
		}
	}
}

// Without samples, a refusal takes defaultRefusalDuration. A quick refusal doesn't become a sample.
func TestLogin_firstRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newRefusedClient(t)
		for range 3 {
			for _, name := range []string{"social", "social", "alice"} {
				client.loginTiming.samples = nil
				duration := refusalTime(t, contextWithAddress(t, addressA), client, name)
				if duration != defaultRefusalDuration && name == "social" ||
					duration < refusalTimeWithHash {
					t.Errorf(
						"%s: refused after %v, want %v", name, duration, defaultRefusalDuration)
				}
			}
		}
	})
}

// An error that isn't a refusal by Keycloak isn't delayed and doesn't become a sample.
func TestLogin_otherErrorsNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newRefusedClient(t, func(c *ClientConfig) {
			transport := c.Transport
			c.Transport = roundTripFunc(func(r *http.Request) (*http.Response, error) {
				if r.FormValue("username") == "down" {
					return nil, errors.New("connection refused")
				}
				return transport.RoundTrip(r)
			})
		})
		refusalTime(t, t.Context(), client, "alice")
		start := time.Now()
		if err := signIn(t.Context(), client, "down"); !errors.Is(err,
			identity.ErrProviderUnavailable) || time.Since(start) != 0 {
			t.Errorf("signIn() = %v after %v, want %v at once", err, time.Since(start),
				identity.ErrProviderUnavailable)
		}
		if n := len(client.loginTiming.samples); n != 1 {
			t.Errorf("%d samples, want 1", n)
		}
	})
}

// Quick successful sign-ins from a single network don't shorten the delay. Quick refusals don't
// shorten it either, no matter from how many networks.
func TestLoginTiming_oneNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var timing loginTiming
		network := func(i int) netip.Prefix {
			return identity.NetworkOf(netip.MustParseAddr(fmt.Sprintf("198.51.%d.7", i)))
		}
		checkTarget := func(want time.Duration) {
			t.Helper()
			if got := timing.targetDuration(); got != want {
				t.Fatalf("targetDuration() = %v, want %v", got, want)
			}
		}
		timing.record(network(0), refusalTimeWithoutHash, true) // the first sample
		for i := range 200 {
			timing.record(network(i), refusalTimeWithHash, true)
			checkTarget(refusalTimeWithHash)
		}
		for i := range 1000 {
			timing.record(network(i%250), refusalTimeWithoutHash, true)
			// Sign-ins of an account with a cheap hash, all from one network.
			timing.record(network(250), refusalTimeWithoutHash, false)
			checkTarget(refusalTimeWithHash)
		}
		if len(timing.samples) != maxTimingSamples {
			t.Errorf("%d samples, want %d", len(timing.samples), maxTimingSamples)
		}
		for i := range maxTimingSamples { // many networks show that Keycloak is faster
			timing.record(network(i), refusalTimeWithoutHash, false)
		}
		checkTarget(refusalTimeWithoutHash)
	})
}

// Slow samples from a burst expire even if few networks sign in, but not before there is a new
// sample.
func TestLoginTiming_forgetsBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var timing loginTiming
		burstNetwork, otherNetwork := netip.MustParsePrefix("198.51.100.0/24"),
			netip.MustParsePrefix("192.0.2.0/24")
		for range 100 {
			timing.record(burstNetwork, time.Minute, true)
		}
		checkTarget := func(want time.Duration) {
			t.Helper()
			if got := timing.targetDuration(); got != want {
				t.Errorf("targetDuration() = %v, want %v", got, want)
			}
		}
		timing.record(otherNetwork, refusalTimeWithHash, false)
		checkTarget(time.Minute)
		time.Sleep(maxTimingSampleAge + 1)
		timing.record(otherNetwork, refusalTimeWithoutHash, true)
		checkTarget(time.Minute)
		timing.record(otherNetwork, refusalTimeWithHash, false)
		checkTarget(refusalTimeWithHash)
	})
}
