package keycloak

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// checkQueuesEmpty checks that no account has a queue.
func checkQueuesEmpty(t *testing.T, c *Client) {
	t.Helper()
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	if n := len(c.queue.accounts); n != 0 {
		t.Errorf("%d accounts have a queue, want none", n)
	}
}

// Sign-ins of one account run one after another, in order. Other accounts don't wait.
func TestLogin_oneAtATimePerAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newSlowRealm(time.Second)
		var callers sync.WaitGroup
		names := []string{"alice", "ALICE", "Alice", "aLice", "alicE"}
		for _, name := range names {
			callers.Go(func() {
				if err := signIn(t.Context(), client, name); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
			synctest.Wait() // so that they arrive in this order
		}
		start := time.Now()
		callers.Go(func() { // another account doesn't wait
			if err := signIn(t.Context(), client, "bob"); err != nil ||
				time.Since(start) != time.Second {
				t.Errorf("bob: %v after %v, want nil after a second", err, time.Since(start))
			}
		})
		callers.Wait()
		if realm.maxPerAccount != 1 || realm.maxTotal != 2 || time.Since(start) != 5*time.Second {
			t.Errorf("%d at once of one account, %d of all, in %v; want 1, 2 and 5s",
				realm.maxPerAccount, realm.maxTotal, time.Since(start))
		}
		got := slices.DeleteFunc(realm.usernames, func(name string) bool {
			return name == "bob"
		})
		if !slices.Equal(got, names) {
			t.Errorf("ran in the order %q, want %q", got, names)
		}
		checkQueuesEmpty(t, client)
	})
}

// A sign-in fails at once if its account's queue is full.
func TestLogin_queueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newSlowRealm(time.Second)
		var busy atomic.Int32
		var callers sync.WaitGroup
		start := time.Now()
		for range 100 {
			callers.Go(func() {
				err := signIn(t.Context(), client, "alice")
				if errors.Is(err, identity.ErrBusy) {
					busy.Add(1)
					if time.Since(start) != 0 {
						t.Errorf("ErrBusy came after %v, want no wait", time.Since(start))
					}
				} else if err != nil {
					t.Error(err)
				}
				checkNoLeak(t, err)
			})
		}
		callers.Wait()
		if want := int32(100 - 1 - maxQueued); busy.Load() != want || realm.maxPerAccount != 1 {
			t.Errorf("%d sign-ins failed and %d ran at once, want %d and 1", busy.Load(),
				realm.maxPerAccount, want)
		}
		checkQueuesEmpty(t, client)
		if err := signIn(t.Context(), client, "alice"); err != nil {
			t.Errorf("after the burst: %v", err)
		}
	})
}

// A network may have at most two sign-ins in an account's queue, so that an attacker can't keep the
// owner out.
func TestLogin_twoQueuedPerNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := newSlowRealm(time.Second)
		var busy, succeeded atomic.Int32
		var callers sync.WaitGroup
		for i := range 100 {
			callers.Go(func() {
				switch err := signIn(contextWithAddress(t, fmt.Sprintf("192.0.2.%d", i)), client,
					"alice"); {
				case errors.Is(err, identity.ErrBusy):
					busy.Add(1)
				case err == nil:
					succeeded.Add(1)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := signIn(contextWithAddress(t, addressB), client, "alice"); err != nil ||
			time.Since(start) != 3*time.Second {
			t.Errorf("the owner, from another network: %v after %v, want nil after 3s", err,
				time.Since(start))
		}
		callers.Wait()
		if busy.Load() != 98 || succeeded.Load() != 2 {
			t.Errorf("%d sign-ins failed and %d succeeded, want 98 and 2", busy.Load(),
				succeeded.Load())
		}
		checkQueuesEmpty(t, client)
	})
}

// Similar usernames that may be different accounts have separate queues.
func TestLogin_similarNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := newSlowRealm(time.Second)
		var callers sync.WaitGroup
		start := time.Now()
		for _, name := range []string{"dave@example.com", "dave@example.com\u00a0",
			" dave@example.com", "\u0130rem", "irem", "\u0131rem", "o\u017fkar", "oskar"} {
			callers.Go(func() {
				if err := signIn(t.Context(), client, name); err != nil ||
					time.Since(start) != time.Second {
					t.Errorf("%+q: %v after %v, want nil after 1s", name, err,
						time.Since(start))
				}
			})
		}
		callers.Wait()
	})
}

// A successful sign-in reveals the account's username and email address. From then on both share a
// queue, because guesses at either name are guesses at one account.
func TestLogin_namesOfOneAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		encode := func(text string) string {
			return base64.RawURLEncoding.EncodeToString([]byte(text))
		}
		response := fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":300}`,
			encode(`{}`)+"."+
				encode(`{"sub":"5d35c4eb","preferred_username":"alice","email":"Alice@Example.com"}`)+
				"."+encode("signature"))
		start := time.Now()
		requestTimes := map[string]time.Duration{} // by username
		client := must(NewClient(ClientConfig{
			Realm: must(NewRealm("http://localhost", "local")), ClientID: "local-api",
			ClientSecret: identity.NewSecret(canary),
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if len(requestTimes) == 0 {
					requestTimes["the owner"] = 0
					return respond(200, response)
				}
				requestTimes[r.FormValue("username")] = time.Since(start)
				return respond(400,
					`{"error":"invalid_grant","error_description":"Invalid user credentials"}`)
			}),
		}))
		if err := signIn(t.Context(), client, "ALICE"); err != nil {
			t.Fatal(err)
		}
		var callers sync.WaitGroup
		for _, name := range []string{"alice", "alice@example.com", "alice@example.com\u00a0"} {
			callers.Go(func() { signIn(t.Context(), client, name) })
			synctest.Wait()
		}
		callers.Wait()
		if requestTimes["alice"] != 0 ||
			requestTimes["alice@example.com"] != DefaultRefusalPause ||
			requestTimes["alice@example.com\u00a0"] != 0 {
			t.Errorf("requests at %v, want only alice@example.com to wait for the pause",
				requestTimes)
		}
	})
}

// At most maxNames names are remembered.
func TestAccounts_bound(t *testing.T) {
	a := newAccounts()
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for i := range maxNames + 100 {
		name := fmt.Sprint("user ", i)
		claims := encode(fmt.Sprintf(`{"sub":%q}`, name))
		a.learn(identity.Credentials{Username: name},
			&identity.OpenIDToken{AccessToken: identity.NewSecret("e30." + claims + ".c2ln")})
	}
	if len(a.names) != maxNames {
		t.Errorf("%d names are remembered, want %d", len(a.names), maxNames)
	}
}

// An attacker whose username or email address is the name of another account doesn't share that
// account's queue.
func TestAccounts_claimedName(t *testing.T) {
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	learn := func(a *accounts, name, subject, username, email string) {
		claims := encode(fmt.Sprintf(`{"sub":%q,"preferred_username":%q,"email":%q}`, subject,
			username, email))
		a.learn(identity.Credentials{Username: name},
			&identity.OpenIDToken{AccessToken: identity.NewSecret("e30." + claims + ".c2ln")})
	}
	ownerSignsIn := func(a *accounts) { learn(a, "dave@example.com", "1", "dave@example.com", "") }
	attackerSignsIn := func(a *accounts, username, email string) {
		learn(a, "mallory", "2", username, email)
	}
	for name, signIns := range map[string]func(*accounts){
		"an email address, after the owner": func(a *accounts) {
			ownerSignsIn(a)
			attackerSignsIn(a, "mallory", "Dave@example.com")
		},
		"an email address, before the owner": func(a *accounts) {
			attackerSignsIn(a, "mallory", "dave@example.com")
			ownerSignsIn(a)
		},
		"a username, after the owner": func(a *accounts) {
			ownerSignsIn(a)
			attackerSignsIn(a, "DAVE@example.com", "")
		},
		"both, before and after": func(a *accounts) {
			attackerSignsIn(a, "dave@example.com", "dave@example.com")
			ownerSignsIn(a)
			attackerSignsIn(a, "dave@example.com", "dave@example.com")
		},
	} {
		a := newAccounts()
		signIns(a)
		if a.lookup(identity.Credentials{Username: "dave@example.com"}) ==
			a.lookup(identity.Credentials{Username: "mallory"}) {
			t.Errorf("%s: the attacker shares the owner's queue", name)
		}
	}
}

// After a refusal the account's next sign-in waits for RefusalPause, because Keycloak's quick login
// check locks an account for two failures in a short time. After a success there is no pause.
func TestLogin_pauseAfterRefusal(t *testing.T) {
	for pause, want := range map[time.Duration]time.Duration{0: DefaultRefusalPause,
		3 * time.Second: 3 * time.Second, -1: 0} {
		synctest.Test(t, func(t *testing.T) {
			var requestTimes []time.Duration
			start := time.Now()
			client := must(NewClient(ClientConfig{
				Realm: must(NewRealm("http://localhost", "local")), ClientID: "local-api",
				ClientSecret: identity.NewSecret(canary), RefusalPause: pause,
				Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					requestTimes = append(requestTimes, time.Since(start))
					if len(requestTimes) > 2 {
						return respond(200, tokens)
					}
					return respond(400,
						`{"error":"invalid_grant","error_description":"Invalid user credentials"}`)
				}),
			}))
			client.timing.observe(netip.Prefix{}, 0, false) // refusals aren't delayed
			for i := range 5 {
				if err := signIn(t.Context(), client, "alice"); errors.Is(err,
					identity.ErrBadCredentials) != (i < 2) {
					t.Errorf("sign-in %d: got %v, want an error for the first two only", i, err)
				}
			}
			wantTimes := []time.Duration{0, want, 2 * want, 2 * want, 2 * want}
			if !slices.Equal(requestTimes, wantTimes) {
				t.Errorf("with a pause of %v: requests at %v, want %v", pause, requestTimes,
					wantTimes)
			}
			synctest.Wait()
			checkQueuesEmpty(t, client)
		})
	}
}

// A sign-in waits in the queue for at most Timeout. The request to Keycloak then gets its own
// Timeout. Otherwise a long wait would look like a slow Keycloak, and Keycloak would go on with a
// sign-in whose result isn't used.
func TestLogin_queueTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newSlowRealm(time.Second, withTimeout(8*time.Second))
		// A sign-in that doesn't end.
		done, err := client.queue.enter(t.Context(), nameDigest("alice"))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := signIn(t.Context(), client, "alice"); !errors.Is(err, identity.ErrBusy) ||
			time.Since(start) != 8*time.Second {
			t.Errorf("signIn() = %v after %v, want %v after 8s", err, time.Since(start),
				identity.ErrBusy)
		}
		if n := len(realm.usernames); n != 0 {
			t.Errorf("Keycloak got %d requests, want none", n)
		}
		done(0)
		checkQueuesEmpty(t, client)
	})
	synctest.Test(t, func(t *testing.T) {
		realm, client := newSlowRealm(5*time.Second, withTimeout(8*time.Second))
		start := time.Now()
		var callers sync.WaitGroup
		callers.Go(func() { signIn(t.Context(), client, "alice") })
		synctest.Wait()
		if err := signIn(t.Context(), client, "alice"); err != nil ||
			time.Since(start) != 10*time.Second {
			t.Errorf("signIn() = %v after %v, want nil after 10s", err, time.Since(start))
		}
		callers.Wait()
		if n := len(realm.usernames); n != 2 {
			t.Errorf("Keycloak got %d requests, want 2", n)
		}
	})
}

// If a caller cancels, its sign-in still finishes before the next one starts: Keycloak doesn't
// stop, and would refuse a concurrent sign-in even with the right password.
func TestLogin_callerCancelsWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newSlowRealm(2 * time.Second)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := signIn(ctx, client, "alice"); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(start) != time.Second {
			t.Errorf("the canceled call: %v after %v, want %v after 1s", err, time.Since(start),
				context.DeadlineExceeded)
		}
		if err := signIn(t.Context(), client, "alice"); err != nil ||
			time.Since(start) != 4*time.Second {
			t.Errorf("the next call: %v after %v, want nil after 4s", err, time.Since(start))
		}
		if realm.maxPerAccount != 1 {
			t.Errorf("%d sign-ins ran at once, want 1", realm.maxPerAccount)
		}
		checkQueuesEmpty(t, client)
	})
}

// A panic in the transport becomes an error, and frees the slot and the queue. Calls run on their
// own goroutines, where a panic would end the process.
func TestClient_panicInTransport(t *testing.T) {
	client := must(NewClient(ClientConfig{
		Realm: localRealm(t), ClientID: "local-api", ClientSecret: identity.NewSecret("secret"),
		Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			panic("a bug in a library")
		}),
	}))
	for range 2 {
		if err := signIn(t.Context(), client, "alice"); !errors.Is(err,
			identity.ErrProviderUnavailable) {
			t.Errorf("Login() = %v, want %v", err, identity.ErrProviderUnavailable)
		}
		_, err := client.Refresh(t.Context(), identity.NewSecret("AAAA.AAAA.AAAA"))
		if !errors.Is(err,
			identity.ErrProviderUnavailable) {
			t.Errorf("Refresh() = %v, want %v", err, identity.ErrProviderUnavailable)
		}
		if err := client.Logout(t.Context(), identity.NewSecret("AAAA.AAAA.AAAA")); !errors.Is(err,
			identity.ErrProviderUnavailable) {
			t.Errorf("Logout() = %v, want %v", err, identity.ErrProviderUnavailable)
		}
	}
	if client.logins.inUse+client.logouts.inUse+client.exchanges.semaphore.inUse != 0 {
		t.Errorf("%d login slots, %d logout slots and %d refresh slots are in use, want none",
			client.logins.inUse, client.logouts.inUse, client.exchanges.semaphore.inUse)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
	checkQueuesEmpty(t, client)
}

// A caller that cancels while it is queued makes room for another one.
func TestLogin_callerCancelsInQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newSlowRealm(time.Second)
		var callers sync.WaitGroup
		callers.Go(func() { signIn(t.Context(), client, "alice") })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		callers.Go(func() {
			err := signIn(ctx, client, "alice")
			if !errors.Is(err, context.Canceled) || errors.Is(err, identity.ErrBusy) {
				t.Errorf("got %v, want only %v", err, context.Canceled)
			}
		})
		synctest.Wait()
		start := time.Now()
		callers.Go(func() { // doesn't wait for the canceled sign-in
			if err := signIn(t.Context(), client, "alice"); err != nil ||
				time.Since(start) != 2*time.Second {
				t.Errorf("signIn() = %v after %v, want nil after 2s", err, time.Since(start))
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		for range maxQueued - 1 { // the canceled sign-in's place is free
			callers.Go(func() {
				if err := signIn(t.Context(), client, "alice"); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if realm.maxPerAccount != 1 {
			t.Errorf("%d sign-ins ran at once, want 1", realm.maxPerAccount)
		}
		checkQueuesEmpty(t, client)
	})
}

// A queued sign-in holds no slot, so sign-ins of one account can't keep other accounts out.
func TestLogin_queuedHoldNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newSlowRealm(time.Second, func(c *ClientConfig) { c.MaxLogins = 2 })
		var callers sync.WaitGroup
		for range 1 + maxQueued {
			callers.Go(func() {
				if err := signIn(t.Context(), client, "alice"); err != nil {
					t.Errorf("alice: %v", err)
				}
			})
		}
		synctest.Wait()
		callers.Go(func() {
			if err := signIn(t.Context(), client, "bob"); err != nil {
				t.Errorf("bob: %v", err)
			}
		})
		synctest.Wait()
		if err := signIn(t.Context(), client, "carol"); !errors.Is(err, identity.ErrBusy) {
			t.Errorf("carol: %v, want %v", err, identity.ErrBusy)
		}
		callers.Wait()
		if realm.maxTotal != 2 {
			t.Errorf("%d sign-ins ran at once, want 2", realm.maxTotal)
		}
		checkQueuesEmpty(t, client)
	})
}

// Logins, refreshes and logouts have separate limits: many sign-ins don't keep anyone from
// refreshing or signing out.
func TestClient_separateLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := newSlowRealm(time.Second, func(c *ClientConfig) {
			c.MaxLogins, c.MaxRefreshes, c.MaxLogouts = 1, 2, 3
		})
		limits := map[string]struct {
			call func(i int) error
			max  int
		}{
			"login": {func(i int) error { return signIn(t.Context(), client, fmt.Sprint("user ", i)) }, 1},
			"refresh": {func(i int) error {
				_, err := client.Refresh(t.Context(), refreshTokenOf("s", fmt.Sprint(i)))
				return err
			}, 2},
			// Logouts fail because a slowRealm responds with 200 instead of 204, but until then
			// they are in flight.
			"logout": {func(i int) error { return client.Logout(t.Context(), refreshTokenOf("s", fmt.Sprint(i))) }, 3},
		}
		busy := map[string]*atomic.Int32{}
		var callers sync.WaitGroup
		for name, limit := range limits {
			count := new(atomic.Int32)
			busy[name] = count
			for i := range 10 {
				callers.Go(func() {
					if errors.Is(limit.call(i), identity.ErrBusy) {
						count.Add(1)
					}
				})
			}
		}
		callers.Wait()
		for name, limit := range limits {
			if got, want := busy[name].Load(), int32(10-limit.max); got != want {
				t.Errorf("%s: %d of 10 calls failed with ErrBusy, want %d", name, got, want)
			}
		}
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Sign-ins of one account never overlap at Keycloak. The fake Keycloak would accept that, so the
// test reads its request log: each request takes delay, so the next one must come at least that
// much later.
func TestLogin_oneAtATimeAtKeycloak(t *testing.T) {
	const delay = 30 * time.Millisecond
	spec := keycloaktest.RealmSpec{
		Name:    "shop",
		Clients: []keycloaktest.ClientSpec{{ID: "shop-api", Secret: "shop-api-secret"}},
		Users:   []keycloaktest.UserSpec{{Name: "alice", Password: "alice-password"}},
	}
	kc := keycloaktest.New(t, spec.File())
	kc.Fail(keycloaktest.Fault{Endpoint: "/token", Delay: delay})
	client := must(NewClient(ClientConfig{
		Realm: must(NewRealm(kc.URL, "shop")), ClientID: "shop-api",
		ClientSecret: identity.NewSecret("shop-api-secret"),
	}))
	var callers sync.WaitGroup
	for _, name := range []string{"alice", "Alice", "ALICE", "aLICE"} {
		callers.Go(func() {
			_, err := client.Login(t.Context(),
				identity.Credentials{Username: name,
					Password: identity.NewSecret("alice-password")})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	callers.Wait()
	requests := kc.Requests()
	if len(requests) != 4 {
		t.Fatalf("%d requests, want 4", len(requests))
	}
	for i, request := range requests[1:] {
		if gap := request.Time.Sub(requests[i].Time); gap < delay {
			t.Errorf("request %d came %v after the previous one, want at least %v", i+1, gap, delay)
		}
	}
}

// Keycloak gets the caller's address only with ForwardAddress, and nothing else of its request.
func TestClient_forwardAddress(t *testing.T) {
	for _, tt := range []struct {
		address string
		forward bool
		want    string
	}{
		{"192.0.2.7", true, "192.0.2.7"},
		{"2001:db8::7", true, "2001:db8::7"},
		{"192.0.2.7", false, ""},
		{"", true, ""},
	} {
		for name, call := range calls {
			var got http.Header
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				got = r.Header
				succeed(w, r)
			}, func(c *ClientConfig) { c.ForwardAddress = tt.forward })
			ctx := t.Context()
			if tt.address != "" {
				ctx = identity.WithAddress(ctx, netip.MustParseAddr(tt.address))
			}
			if err := call(ctx, client); err != nil {
				t.Fatal(err)
			}
			if values := got.Values("X-Forwarded-For"); strings.Join(values, ",") != tt.want ||
				tt.want == "" && values != nil {
				t.Errorf("%s from %q: X-Forwarded-For is %q, want %q", name, tt.address, values,
					tt.want)
			}
			for header := range got {
				if !slices.Contains([]string{"Accept", "Accept-Encoding", "Content-Length",
					"Content-Type", "User-Agent", "X-Forwarded-For"}, header) {
					t.Errorf("%s: the header %s was sent to Keycloak", name, header)
				}
			}
		}
	}
}
