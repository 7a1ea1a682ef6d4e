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

// checkQueuesEmpty checks that no account has a running or queued sign-in.
func checkQueuesEmpty(t *testing.T, c *Client) {
	t.Helper()
	if n := c.loginQueue.own.Len(); n != 0 {
		t.Errorf("%d accounts have a queue, want none", n)
	}
}

// Sign-ins of one account run one at a time, in the order of their arrival. Sign-ins of other
// accounts don't wait for them.
func TestLogin_oneAtATimePerAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newSlowRealm(time.Second)
		var callers sync.WaitGroup
		names := []string{"alice", "ALICE", "Alice", "aLice", "alicE"}
		for _, name := range names {
			callers.Go(func() {
				if err := signIn(t.Context(), client, name); err != nil {
					t.Errorf("%s: got %v, want nil", name, err)
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
		if realm.maxInFlightPerAccount != 1 || realm.maxTotalInFlight != 2 ||
			time.Since(start) != 5*time.Second {
			t.Errorf("at most %d sign-ins of an account and %d in total at once, in %v; want 1, "+
				"2, 5s",
				realm.maxInFlightPerAccount, realm.maxTotalInFlight, time.Since(start))
		}
		got := slices.DeleteFunc(realm.usernames, func(name string) bool {
			return name == "bob"
		})
		if !slices.Equal(got, names) {
			t.Errorf("sign-ins ran in the order %q, want %q", got, names)
		}
		checkQueuesEmpty(t, client)
	})
}

// A sign-in fails at once if its account's queue is full.
func TestLogin_queueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newSlowRealm(time.Second)
		var busyCount atomic.Int32
		var callers sync.WaitGroup
		start := time.Now()
		for range 100 {
			callers.Go(func() {
				err := signIn(t.Context(), client, "alice")
				if errors.Is(err, identity.ErrBusy) {
					busyCount.Add(1)
					if time.Since(start) != 0 {
						t.Errorf("signIn() returned ErrBusy after %v, want at once",
							time.Since(start))
					}
				} else if err != nil {
					t.Error(err)
				}
				checkNoLeak(t, err)
			})
		}
		callers.Wait()
		if want := int32(100 - 1 - maxQueuedLogins); busyCount.Load() != want ||
			realm.maxInFlightPerAccount != 1 {
			t.Errorf("%d sign-ins failed, at most %d ran at once; want %d and 1", busyCount.Load(),
				realm.maxInFlightPerAccount, want)
		}
		checkQueuesEmpty(t, client)
		if err := signIn(t.Context(), client, "alice"); err != nil {
			t.Errorf("after the burst: got %v, want nil", err)
		}
	})
}

// A network may have at most two sign-ins in an account's queue, so that an attacker can't keep the
// owner out.
func TestLogin_twoQueuedPerNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := newSlowRealm(time.Second)
		var busyCount, successCount atomic.Int32
		var callers sync.WaitGroup
		for i := range 100 {
			callers.Go(func() {
				switch err := signIn(contextWithAddress(t, fmt.Sprintf("192.0.2.%d", i)), client,
					"alice"); {
				case errors.Is(err, identity.ErrBusy):
					busyCount.Add(1)
				case err == nil:
					successCount.Add(1)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := signIn(contextWithAddress(t, addressB), client, "alice"); err != nil ||
			time.Since(start) != 3*time.Second {
			t.Errorf("the owner's sign-in from another network: %v after %v, want nil after 3s",
				err,
				time.Since(start))
		}
		callers.Wait()
		if busyCount.Load() != 98 || successCount.Load() != 2 {
			t.Errorf("%d sign-ins failed and %d succeeded, want 98 and 2", busyCount.Load(),
				successCount.Load())
		}
		checkQueuesEmpty(t, client)
	})
}

// Usernames that look alike but may belong to different accounts have separate queues.
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

// A successful sign-in reveals the account's username and email address. From then on both names
// share a queue, because a password guess with either name is a guess at the same account.
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
			Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				if len(requestTimes) == 0 {
					requestTimes["the owner"] = 0
					return newResponse(200, response)
				}
				requestTimes[r.FormValue("username")] = time.Since(start)
				return newResponse(400,
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
			t.Errorf("request times %v, want only alice@example.com delayed by the refusal pause",
				requestTimes)
		}
	})
}

// An accountIndex remembers at most maxNames names.
func TestAccountIndex_maxNames(t *testing.T) {
	a := newAccountIndex()
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for i := range maxNames + 100 {
		name := fmt.Sprint("user ", i)
		claims := encode(fmt.Sprintf(`{"sub":%q}`, name))
		a.learn(identity.Credentials{Username: name},
			&identity.OpenIDToken{AccessToken: identity.NewSecret("e30." + claims + ".c2ln")})
	}
	if len(a.byName) != maxNames {
		t.Errorf("the index has %d names, want %d", len(a.byName), maxNames)
	}
}

// An attacker may choose a username or an email address that is another account's name. The two
// accounts still have separate queues.
func TestAccountIndex_claimedName(t *testing.T) {
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	learn := func(a *accountIndex, name, subject, username, email string) {
		claims := encode(fmt.Sprintf(`{"sub":%q,"preferred_username":%q,"email":%q}`, subject,
			username, email))
		a.learn(identity.Credentials{Username: name},
			&identity.OpenIDToken{AccessToken: identity.NewSecret("e30." + claims + ".c2ln")})
	}
	ownerSignsIn := func(
		a *accountIndex) {
		learn(a, "dave@example.com", "1", "dave@example.com", "")
	}
	attackerSignsIn := func(a *accountIndex, username, email string) {
		learn(a, "mallory", "2", username, email)
	}
	for name, signIns := range map[string]func(*accountIndex){
		"attacker takes the email address, after the owner's sign-in": func(a *accountIndex) {
			ownerSignsIn(a)
			attackerSignsIn(a, "mallory", "Dave@example.com")
		},
		"attacker takes the email address, before the owner's sign-in": func(a *accountIndex) {
			attackerSignsIn(a, "mallory", "dave@example.com")
			ownerSignsIn(a)
		},
		"attacker takes the username, after the owner's sign-in": func(a *accountIndex) {
			ownerSignsIn(a)
			attackerSignsIn(a, "DAVE@example.com", "")
		},
		"attacker takes username and email address, before and after the owner's sign-in": func(a *accountIndex) {
			attackerSignsIn(a, "dave@example.com", "dave@example.com")
			ownerSignsIn(a)
			attackerSignsIn(a, "dave@example.com", "dave@example.com")
		},
	} {
		a := newAccountIndex()
		signIns(a)
		if a.queueKey(identity.Credentials{Username: "dave@example.com"}) ==
			a.queueKey(identity.Credentials{Username: "mallory"}) {
			t.Errorf("%s: the attacker shares the owner's queue, want two queues", name)
		}
	}
}

// After a refusal, the account's next sign-in waits for RefusalPause. Keycloak's quick login check
// locks an account after two failures in a short time. After a success there is no pause.
func TestLogin_pauseAfterRefusal(t *testing.T) {
	for pause, wantPause := range map[time.Duration]time.Duration{0: DefaultRefusalPause,
		3 * time.Second: 3 * time.Second, -1: 0} {
		synctest.Test(t, func(t *testing.T) {
			var requestTimes []time.Duration
			start := time.Now()
			client := must(NewClient(ClientConfig{
				Realm: must(NewRealm("http://localhost", "local")), ClientID: "local-api",
				ClientSecret: identity.NewSecret(canary), RefusalPause: pause,
				Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
					requestTimes = append(requestTimes, time.Since(start))
					if len(requestTimes) > 2 {
						return newResponse(200, tokenResponse)
					}
					return newResponse(400,
						`{"error":"invalid_grant","error_description":"Invalid user credentials"}`)
				}),
			}))
			client.loginTiming.record(netip.Prefix{}, 0, false) // refusals aren't delayed
			for i := range 5 {
				if err := signIn(t.Context(), client, "alice"); errors.Is(err,
					identity.ErrBadCredentials) != (i < 2) {
					t.Errorf("sign-in %d: got %v, want an error for the first two only", i, err)
				}
			}
			wantTimes := []time.Duration{0, wantPause, 2 * wantPause, 2 * wantPause, 2 * wantPause}
			if !slices.Equal(requestTimes, wantTimes) {
				t.Errorf("with RefusalPause %v: requests at %v, want %v", pause, requestTimes,
					wantTimes)
			}
			synctest.Wait()
			checkQueuesEmpty(t, client)
		})
	}
}

// A sign-in waits in the queue for at most Timeout. Its request to Keycloak then gets the whole
// Timeout again. If both shared one Timeout, a long wait would look like a slow Keycloak, and
// Keycloak would work on sign-ins whose callers have given up.
func TestLogin_queueTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newSlowRealm(time.Second, withTimeout(8*time.Second))
		// This sign-in stays at the head of the queue until leaveQueue is called.
		leaveQueue, err := client.loginQueue.enter(t.Context(), nameDigest("alice"),
			nameDigest("alice"))
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
		leaveQueue(0)
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

// If a caller cancels, the account's next sign-in still waits for the canceled sign-in: Keycloak
// continues with it, and would refuse a concurrent sign-in even with the right password.
func TestLogin_callerCancelsWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newSlowRealm(2 * time.Second)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := signIn(ctx, client, "alice"); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(start) != time.Second {
			t.Errorf("the canceled sign-in: %v after %v, want %v after 1s", err, time.Since(start),
				context.DeadlineExceeded)
		}
		if err := signIn(t.Context(), client, "alice"); err != nil ||
			time.Since(start) != 4*time.Second {
			t.Errorf("the next sign-in: %v after %v, want nil after 4s", err, time.Since(start))
		}
		if realm.maxInFlightPerAccount != 1 {
			t.Errorf("%d sign-ins ran at once, want 1", realm.maxInFlightPerAccount)
		}
		checkQueuesEmpty(t, client)
	})
}

// A panic in the transport becomes an error, and frees the slot and the queue. A Client runs each
// call on a goroutine of its own, where an unrecovered panic would end the process. The log has the
// type of the panic's value and the stack, but not the value.
func TestClient_recoversPanic(t *testing.T) {
	log := &logBuffer{}
	client := must(NewClient(ClientConfig{
		Realm: localRealm(t), ClientID: "local-api", ClientSecret: identity.NewSecret("secret"),
		Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
			panic("a bug in a library, with a " + canary)
		}),
		RefusalPause: -1, Log: log.logger(),
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
	if client.loginSlots.inUse+client.logoutSlots.inUse+client.refresher.semaphore.inUse != 0 {
		t.Errorf("%d login slots, %d logout slots and %d refresh slots are in use, want none",
			client.loginSlots.inUse, client.logoutSlots.inUse, client.refresher.semaphore.inUse)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
	checkQueuesEmpty(t, client)
	checkPanicLog(t, log.String(), 6)
}

// checkPanicLog checks that the log has count panics of a string, with the stack of this package's
// code, but without the string.
func checkPanicLog(t *testing.T, text string, count int) {
	t.Helper()
	if n := strings.Count(text,
		`msg="panic in a call to Keycloak" panic=string stack=`); n != count ||
		strings.Count(text, "recoversPanic.func") < count || strings.Contains(text, canary) {
		t.Errorf("got %d panics in the log\n%s\nwant %d, each with its stack and without %q", n,
			text, count, canary)
	}
}

// A caller that cancels while its sign-in is queued leaves its place to another sign-in.
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
		for range maxQueuedLogins - 1 { // the canceled sign-in's place is free
			callers.Go(func() {
				if err := signIn(t.Context(), client, "alice"); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if realm.maxInFlightPerAccount != 1 {
			t.Errorf("%d sign-ins ran at once, want 1", realm.maxInFlightPerAccount)
		}
		checkQueuesEmpty(t, client)
	})
}

// A queued sign-in holds no slot, so one account's sign-ins can't use up the slots that other
// accounts need.
func TestLogin_queuedHoldsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newSlowRealm(time.Second, func(c *ClientConfig) { c.MaxLogins = 2 })
		var callers sync.WaitGroup
		for range 1 + maxQueuedLogins {
			callers.Go(func() {
				if err := signIn(t.Context(), client, "alice"); err != nil {
					t.Errorf("alice: got %v, want nil", err)
				}
			})
		}
		synctest.Wait()
		callers.Go(func() {
			if err := signIn(t.Context(), client, "bob"); err != nil {
				t.Errorf("bob: got %v, want nil", err)
			}
		})
		synctest.Wait()
		if err := signIn(t.Context(), client, "carol"); !errors.Is(err, identity.ErrBusy) {
			t.Errorf("carol, while both slots are in use: got %v, want %v", err, identity.ErrBusy)
		}
		callers.Wait()
		if realm.maxTotalInFlight != 2 {
			t.Errorf("%d sign-ins ran at once, want 2", realm.maxTotalInFlight)
		}
		checkQueuesEmpty(t, client)
	})
}

// Logins, refreshes and logouts have separate limits, so many sign-ins can't block refreshes or
// logouts.
func TestClient_separateLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := newSlowRealm(time.Second, func(c *ClientConfig) {
			c.MaxLogins, c.MaxRefreshes, c.MaxLogouts = 1, 2, 3
		})
		limits := map[string]struct {
			call func(i int) error
			max  int
		}{
			"login": {func(i int) error {
				return signIn(t.Context(), client,
					fmt.Sprint("user ", i))
			}, 1},
			"refresh": {func(i int) error {
				_, err := client.Refresh(t.Context(), sessionRefreshToken("s", fmt.Sprint(i)))
				return err
			}, 2},
			// These logouts fail after a second, because a slowRealm responds with 200 instead of
			// 204. Until then they count as in flight.
			"logout": {func(i int) error {
				return client.Logout(t.Context(),
					sessionRefreshToken("s", fmt.Sprint(i)))
			}, 3},
		}
		busyCounts := map[string]*atomic.Int32{} // by call
		var callers sync.WaitGroup
		for name, limit := range limits {
			count := new(atomic.Int32)
			busyCounts[name] = count
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
			if got, want := busyCounts[name].Load(), int32(10-limit.max); got != want {
				t.Errorf("%s: %d of 10 calls failed with ErrBusy, want %d", name, got, want)
			}
		}
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Sign-ins of one account never overlap at Keycloak. The fake Keycloak accepts overlapping
// sign-ins, so the test compares the times in its request log. Each request takes delay, so the
// next one must arrive at least delay later.
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
				t.Errorf("%s: got %v, want nil", name, err)
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
			t.Errorf("request %d arrived %v after the previous one, want at least %v", i+1, gap,
				delay)
		}
	}
}

// A Client forwards the caller's address to Keycloak only with ForwardAddress. It forwards no other
// header of the caller's request.
func TestClient_forwardAddress(t *testing.T) {
	for _, tt := range []struct {
		address     string
		isForwarded bool
		want        string
	}{
		{"192.0.2.7", true, "192.0.2.7"},
		{"2001:db8::7", true, "2001:db8::7"},
		{"192.0.2.7", false, ""},
		{"", true, ""},
	} {
		for name, call := range clientCalls {
			var got http.Header
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				got = r.Header
				serveSuccess(w, r)
			}, func(c *ClientConfig) { c.ForwardAddress = tt.isForwarded })
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
					t.Errorf("%s: sent the header %s to Keycloak, want it left out", name, header)
				}
			}
		}
	}
}
