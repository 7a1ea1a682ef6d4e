package keycloak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

const hashed, unhashed = 290 * time.Millisecond, 8 * time.Millisecond

// refusing refuses every sign-in: those under the name "social" without hashing a password, as Keycloak does for an
// account that has none.
func refusing(t *testing.T, changes ...func(*ClientConfig)) *Client {
	t.Helper()
	config := ClientConfig{
		Realm: must(NewRealm("http://localhost", "local")), ClientID: "local-api", ClientSecret: identity.NewSecret(canary), RefusalPause: -1,
		HTTP: httpClient(func(r *http.Request) (*http.Response, error) {
			took := hashed
			if r.FormValue("username") == "social" {
				took = unhashed
			}
			time.Sleep(took)
			return respond(400, `{"error":"invalid_grant","error_description":"Invalid user credentials"}`)
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

// An account without a password is refused as late as one with one, however often somebody guesses at it.
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

// What waits holds no place and no turn, and leaves with its caller.
func TestClient_Login_heldRefusalsHoldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := refusing(t, func(c *ClientConfig) { c.MaxLogins = 1 })
		refusedAfter(t, t.Context(), client, "alice")
		var callers sync.WaitGroup
		callers.Go(func() { refusedAfter(t, t.Context(), client, "social") })
		time.Sleep(unhashed)
		synctest.Wait()
		noTurns(t, client)
		release, err := client.logins.acquire(t.Context())
		if err != nil {
			t.Fatalf("a refusal that is held back holds a place: %v", err)
		}
		release()
		callers.Wait()

		begin := time.Now()
		leaving, leave := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer leave()
		if err := signIn(leaving, client, "social"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 100*time.Millisecond {
			t.Errorf("%v after %v, want %v after 100ms", err, time.Since(begin), context.DeadlineExceeded)
		}
	})
}

// What Keycloak didn't judge isn't held back, and no time is learned from it.
func TestClient_Login_onlyJudgedRefusalsAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := refusing(t, func(c *ClientConfig) {
			inner := c.HTTP.Transport
			c.HTTP = httpClient(func(r *http.Request) (*http.Response, error) {
				if r.FormValue("username") == "down" {
					return nil, errors.New("connection refused")
				}
				return inner.RoundTrip(r)
			})
		})
		refusedAfter(t, t.Context(), client, "alice")
		begin := time.Now()
		if err := signIn(t.Context(), client, "down"); !errors.Is(err, identity.ErrRealmUnavailable) || time.Since(begin) != 0 {
			t.Errorf("%v after %v, want %v at once", err, time.Since(begin), identity.ErrRealmUnavailable)
		}
		if n := len(client.pace.samples); n != 1 {
			t.Errorf("%d samples, want 1", n)
		}
	})
}

// One network moves the pace neither down nor, beyond the limit, up; and no number of quick refusals moves it down.
func TestPace_oneNetworkMovesLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
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
			p.observe(network(250), unhashed, false) // of one network only: somebody's account whose hash is cheap
			wants(hashed)
		}
		if len(p.samples) != maxSamples {
			t.Errorf("%d samples are kept, want %d", len(p.samples), maxSamples)
		}
		p.observe(network(251), time.Hour, true)
		begin := time.Now()
		for range 1000 { // until the slow one is drawn
			begin = time.Now()
			if err := p.wait(t.Context(), begin, 4*time.Second); err != nil {
				t.Fatal(err)
			}
			if time.Since(begin) > hashed {
				break
			}
		}
		if got := time.Since(begin); got != 4*time.Second {
			t.Errorf("the slowest wait is %v, want the limit of 4s", got)
		}
		for i := range maxSamples { // a faster Keycloak is noticed by the sign-ins of many
			p.observe(network(i), unhashed, false)
		}
		wants(unhashed)
	})
}
