package keycloak

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
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

// A realmByClock answers every request with tokens, after a while by the fake clock, and notes who
// was let in together.
type realmByClock struct {
	takes time.Duration

	mu      sync.Mutex // guards the fields below
	present map[string]int
	all     int
	asked   []string
	worst   int // of one account at one moment
	most    int // of all accounts at one moment
}

func (r *realmByClock) answer(request *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(request.Body)
	form, _ := url.ParseQuery(string(body))
	account := strings.ToLower(form.Get("username"))
	r.mu.Lock()
	r.present[account]++
	r.all++
	r.asked = append(r.asked, form.Get("username"))
	r.worst, r.most = max(r.worst, r.present[account]), max(r.most, r.all)
	r.mu.Unlock()
	var err error
	select {
	case <-time.After(r.takes):
	case <-request.Context().Done():
		err = request.Context().Err()
	}
	r.mu.Lock()
	r.present[account]--
	r.all--
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return respond(200, tokens)
}

func newRealmByClock(takes time.Duration, changes ...func(*ClientConfig)) (*realmByClock, *Client) {
	realm := &realmByClock{takes: takes, present: map[string]int{}}
	config := ClientConfig{
		Realm: must(NewRealm("http://localhost", "local")), ClientID: "local-api",
		ClientSecret: identity.NewSecret(canary),
		Transport:    roundTrip(realm.answer),
	}
	for _, change := range changes {
		change(&config)
	}
	return realm, must(NewClient(config))
}

func signIn(ctx context.Context, c *Client, name string) error {
	_, err := c.Login(ctx,
		identity.Credentials{Username: name, Password: identity.NewSecret(canary)})
	return err
}

// checkQueuesEmpty fails unless no queue is remembered.
func checkQueuesEmpty(t *testing.T, c *Client) {
	t.Helper()
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	if n := len(c.queue.accounts); n != 0 {
		t.Errorf("%d queues are remembered, want none", n)
	}
}

func TestSignInsOfOneAccountComeOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newRealmByClock(time.Second)
		var callers sync.WaitGroup
		names := []string{"alice", "ALICE", "Alice", "aLice", "alicE"}
		for _, name := range names {
			callers.Go(func() {
				if err := signIn(t.Context(), client, name); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
			synctest.Wait() // so that they come in this order
		}
		begin := time.Now()
		callers.Go(func() { // another account waits for nobody
			if err := signIn(t.Context(), client, "bob"); err != nil ||
				time.Since(begin) != time.Second {
				t.Errorf("bob: %v after %v, want nil after a second", err, time.Since(begin))
			}
		})
		callers.Wait()
		if realm.worst != 1 || realm.most != 2 || time.Since(begin) != 5*time.Second {
			t.Errorf("%d of one account at once, %d of all, %v in all; want 1, 2 and 5s",
				realm.worst, realm.most, time.Since(begin))
		}
		asked := slices.DeleteFunc(realm.asked, func(name string) bool {
			return name == "bob"
		})
		if !slices.Equal(asked, names) {
			t.Errorf("asked in the order %q, want that in which they came, %q", asked, names)
		}
		checkQueuesEmpty(t, client)
	})
}

func TestTooManyWaitForOneAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newRealmByClock(time.Second)
		var busy atomic.Int32
		var callers sync.WaitGroup
		begin := time.Now()
		for range 100 {
			callers.Go(func() {
				err := signIn(t.Context(), client, "alice")
				if errors.Is(err, identity.ErrBusy) {
					busy.Add(1)
					if time.Since(begin) != 0 {
						t.Error("one more was not told at once")
					}
				} else if err != nil {
					t.Error(err)
				}
				checkNoLeak(t, err)
			})
		}
		callers.Wait()
		if want := int32(100 - 1 - maxQueued); busy.Load() != want || realm.worst != 1 {
			t.Errorf("%d were refused, %d asked at once; want %d and 1", busy.Load(), realm.worst,
				want)
		}
		checkQueuesEmpty(t, client)
		if err := signIn(t.Context(), client, "alice"); err != nil {
			t.Errorf("after the burst: %v", err)
		}
	})
}

// Of the places of a name's queue one network has two at most, so that nobody alone keeps its owner
// out of it.
func TestTurns_twoOfANetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := newRealmByClock(time.Second)
		var busy, done atomic.Int32
		var callers sync.WaitGroup
		for i := range 100 {
			callers.Go(func() {
				switch err := signIn(from(t, fmt.Sprintf("192.0.2.%d", i)), client, "alice"); {
				case errors.Is(err, identity.ErrBusy):
					busy.Add(1)
				case err == nil:
					done.Add(1)
				}
			})
		}
		synctest.Wait()
		begin := time.Now()
		if err := signIn(from(t, otherAddress), client, "alice"); err != nil ||
			time.Since(begin) != 3*time.Second {
			t.Errorf("the owner, elsewhere: %v after %v, want a success after 3s", err,
				time.Since(begin))
		}
		callers.Wait()
		if busy.Load() != 98 || done.Load() != 2 {
			t.Errorf("%d were refused and %d let in, want 98 and 2", busy.Load(), done.Load())
		}
		checkQueuesEmpty(t, client)
	})
}

// A neighbour of a name has a queue of its own.
func TestTurns_neighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := newRealmByClock(time.Second)
		var callers sync.WaitGroup
		begin := time.Now()
		for _, name := range []string{"dave@example.com", "dave@example.com\u00a0",
			" dave@example.com", "\u0130rem", "irem", "\u0131rem", "o\u017fkar", "oskar"} {
			callers.Go(func() {
				if err := signIn(t.Context(), client, name); err != nil ||
					time.Since(begin) != time.Second {
					t.Errorf("%+q: %v after %v, want a success after 1s", name, err,
						time.Since(begin))
				}
			})
		}
		callers.Wait()
	})
}

// The names of an account, as a sign-in shows them, have one turn: guesses at two of them are
// guesses at one account.
func TestTurns_namesOfOneAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		part := func(text string) string {
			return base64.RawURLEncoding.EncodeToString([]byte(text))
		}
		answer := fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":300}`,
			part(`{}`)+"."+
				part(`{"sub":"5d35c4eb","preferred_username":"alice","email":"Alice@Example.com"}`)+
				"."+part("signature"))
		begin := time.Now()
		asked := map[string]time.Duration{}
		client := must(NewClient(ClientConfig{
			Realm: must(NewRealm("http://localhost", "local")), ClientID: "local-api",
			ClientSecret: identity.NewSecret(canary),
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if len(asked) == 0 {
					asked["the owner"] = 0
					return respond(200, answer)
				}
				asked[r.FormValue("username")] = time.Since(begin)
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
		if asked["alice"] != 0 || asked["alice@example.com"] != DefaultRefusalPause ||
			asked["alice@example.com\u00a0"] != 0 {
			t.Errorf(
				"Keycloak was asked at %v, want the second of one account after the pause, and "+
					"no other", asked)
		}
	})
}

// However many people sign in, few names are remembered.
func TestAccounts_bound(t *testing.T) {
	a := newAccounts()
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for i := range maxNames + 100 {
		name := fmt.Sprint("user ", i)
		claims := part(fmt.Sprintf(`{"sub":%q}`, name))
		a.learn(identity.Credentials{Username: name},
			&identity.OpenIDToken{AccessToken: identity.NewSecret("e30." + claims + ".c2ln")})
	}
	if len(a.names) != maxNames {
		t.Errorf("%d names are remembered, want %d", len(a.names), maxNames)
	}
}

// Nobody gets into the queue of another account by calling themselves as its owner signs in.
func TestAccounts_aClaimTakesNobodysName(t *testing.T) {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	signsIn := func(a *accounts, with, subject, username, email string) {
		claims := part(fmt.Sprintf(`{"sub":%q,"preferred_username":%q,"email":%q}`, subject,
			username, email))
		a.learn(identity.Credentials{Username: with},
			&identity.OpenIDToken{AccessToken: identity.NewSecret("e30." + claims + ".c2ln")})
	}
	owner := func(a *accounts) { signsIn(a, "dave@example.com", "1", "dave@example.com", "") }
	stranger := func(a *accounts, username, email string) {
		signsIn(a, "mallory", "2", username, email)
	}
	for name, signIns := range map[string]func(*accounts){
		"an e-mail address, after the owner": func(a *accounts) {
			owner(a)
			stranger(a, "mallory", "Dave@example.com")
		},
		"an e-mail address, before the owner": func(a *accounts) {
			stranger(a, "mallory", "dave@example.com")
			owner(a)
		},
		"a username, after the owner": func(a *accounts) {
			owner(a)
			stranger(a, "DAVE@example.com", "")
		},
		"both, before and after": func(a *accounts) {
			stranger(a, "dave@example.com", "dave@example.com")
			owner(a)
			stranger(a, "dave@example.com", "dave@example.com")
		},
	} {
		a := newAccounts()
		signIns(a)
		if a.lookup(identity.Credentials{Username: "dave@example.com"}) ==
			a.lookup(identity.Credentials{Username: "mallory"}) {
			t.Errorf("%s: the stranger's queue is the owner's", name)
		}
	}
}

// After a refusal the name's turn stays taken for the time of Keycloak's quick login check, which
// locks an account for two failures within it. A success ends the turn at once, and other names
// don't wait.
func TestTurns_pauseAfterARefusal(t *testing.T) {
	for pause, want := range map[time.Duration]time.Duration{0: DefaultRefusalPause,
		3 * time.Second: 3 * time.Second, -1: 0} {
		synctest.Test(t, func(t *testing.T) {
			var asked []time.Duration
			begin := time.Now()
			client := must(NewClient(ClientConfig{
				Realm: must(NewRealm("http://localhost", "local")), ClientID: "local-api",
				ClientSecret: identity.NewSecret(canary), RefusalPause: pause,
				Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					asked = append(asked, time.Since(begin))
					if len(asked) > 2 {
						return respond(200, tokens)
					}
					return respond(400,
						`{"error":"invalid_grant","error_description":"Invalid user credentials"}`)
				}),
			}))
			client.timing.observe(netip.Prefix{}, 0, false) // refusals aren't held back
			for i := range 5 {
				if err := signIn(t.Context(), client, "alice"); errors.Is(err,
					identity.ErrBadCredentials) != (i < 2) {
					t.Errorf("sign-in %d: %v", i, err)
				}
			}
			wanted := []time.Duration{0, want, 2 * want, 2 * want, 2 * want}
			if !slices.Equal(asked, wanted) {
				t.Errorf("with a pause of %v Keycloak was asked at %v, want %v", pause, asked,
					wanted)
			}
			synctest.Wait()
			checkQueuesEmpty(t, client)
		})
	}
}

// The wait has a bound, and a call that waited has its whole time: cut off in the middle, Keycloak
// would be blamed for nothing, and go on with a sign-in that nobody waits for.
func TestTheTimeoutIsForTheWaitToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newRealmByClock(time.Second, timeout(8*time.Second))
		// a sign-in that doesn't end
		done, err := client.queue.enter(t.Context(), nameDigest("alice"))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := signIn(t.Context(), client, "alice"); !errors.Is(err, identity.ErrBusy) ||
			time.Since(begin) != 8*time.Second {
			t.Errorf("%v after %v, want %v after 8s", err, time.Since(begin), identity.ErrBusy)
		}
		if len(realm.asked) != 0 {
			t.Errorf("Keycloak was asked %d times, want never: the time was up", len(realm.asked))
		}
		done(0)
		checkQueuesEmpty(t, client)
	})
	synctest.Test(t, func(t *testing.T) {
		realm, client := newRealmByClock(5*time.Second, timeout(8*time.Second))
		begin := time.Now()
		var callers sync.WaitGroup
		callers.Go(func() { signIn(t.Context(), client, "alice") })
		synctest.Wait()
		if err := signIn(t.Context(), client, "alice"); err != nil ||
			time.Since(begin) != 10*time.Second {
			t.Errorf("%v after %v, want a success after 10s", err, time.Since(begin))
		}
		callers.Wait()
		if len(realm.asked) != 2 {
			t.Errorf("Keycloak was asked %d times, want twice", len(realm.asked))
		}
	})
}

// Keycloak doesn't stop when a caller leaves, and would refuse the next one, right password and
// all.
func TestOneWhoLeavesKeepsTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newRealmByClock(2 * time.Second)
		begin := time.Now()
		leaving, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if err := signIn(leaving, client, "alice"); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(begin) != time.Second {
			t.Errorf("who left was told %v after %v, want %v after 1s", err, time.Since(begin),
				context.DeadlineExceeded)
		}
		if err := signIn(t.Context(), client, "alice"); err != nil ||
			time.Since(begin) != 4*time.Second {
			t.Errorf("the next: %v after %v, want a success after 4s", err, time.Since(begin))
		}
		if realm.worst != 1 {
			t.Errorf("%d at once, want 1", realm.worst)
		}
		checkQueuesEmpty(t, client)
	})
}

// Sign-ins and refreshes run on goroutines of their own: a panic there would end the process, and
// hold the turn.
func TestAPanicEndsNoProcess(t *testing.T) {
	client := must(NewClient(ClientConfig{
		Realm: localRealm(t), ClientID: "local-api", ClientSecret: identity.NewSecret("secret"),
		Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			panic("a library's mistake")
		}),
	}))
	for range 2 {
		if err := signIn(t.Context(), client, "alice"); !errors.Is(err,
			identity.ErrProviderUnavailable) {
			t.Errorf("a sign-in: %v, want %v", err, identity.ErrProviderUnavailable)
		}
		_, err := client.Refresh(t.Context(), identity.NewSecret("AAAA.AAAA.AAAA"))
		if !errors.Is(err,
			identity.ErrProviderUnavailable) {
			t.Errorf("a refresh: %v, want %v", err, identity.ErrProviderUnavailable)
		}
		if err := client.Logout(t.Context(), identity.NewSecret("AAAA.AAAA.AAAA")); !errors.Is(err,
			identity.ErrProviderUnavailable) {
			t.Errorf("a sign-out: %v, want %v", err, identity.ErrProviderUnavailable)
		}
	}
	if client.logins.inUse+client.logouts.inUse+client.exchanges.semaphore.inUse != 0 {
		t.Error("a panic kept its place")
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
	checkQueuesEmpty(t, client)
}

func TestOneWhoLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newRealmByClock(time.Second)
		var callers sync.WaitGroup
		callers.Go(func() { signIn(t.Context(), client, "alice") })
		synctest.Wait()
		impatient, leave := context.WithCancel(t.Context())
		callers.Go(func() {
			err := signIn(impatient, client, "alice")
			if !errors.Is(err, context.Canceled) || errors.Is(err, identity.ErrBusy) {
				t.Errorf("got %v, want %v alone", err, context.Canceled)
			}
		})
		synctest.Wait()
		begin := time.Now()
		callers.Go(func() { // who came after it isn't held up by it
			if err := signIn(t.Context(), client, "alice"); err != nil ||
				time.Since(begin) != 2*time.Second {
				t.Errorf("%v after %v, want nil after 2s", err, time.Since(begin))
			}
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		for range maxQueued - 1 { // its place in the queue is free
			callers.Go(func() {
				if err := signIn(t.Context(), client, "alice"); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if realm.worst != 1 {
			t.Errorf("%d at once, want 1", realm.worst)
		}
		checkQueuesEmpty(t, client)
	})
}

// Those who wait for an account hold no slot: sign-ins of one person can't keep others out.
func TestWaitingHoldsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm, client := newRealmByClock(time.Second, func(c *ClientConfig) { c.MaxLogins = 2 })
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
		if realm.most != 2 {
			t.Errorf("%d at once, want 2", realm.most)
		}
		checkQueuesEmpty(t, client)
	})
}

// Each kind has a bound of its own: a storm of sign-ins keeps nobody from refreshing or signing
// out.
func TestEachKindHasItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := newRealmByClock(time.Second, func(c *ClientConfig) {
			c.MaxLogins, c.MaxRefreshes, c.MaxLogouts = 1, 2, 3
		})
		kinds := map[string]struct {
			call func(i int) error
			most int
		}{
			"login": {func(i int) error { return signIn(t.Context(), client, fmt.Sprint("user ", i)) }, 1},
			"refresh": {func(i int) error {
				_, err := client.Refresh(t.Context(), ofSession("s", fmt.Sprint(i)))
				return err
			}, 2},
			// Answered with 200, which is no logout, after the second: it was under way all the
			// same.
			"logout": {func(i int) error { return client.Logout(t.Context(), ofSession("s", fmt.Sprint(i))) }, 3},
		}
		busy := map[string]*atomic.Int32{}
		var callers sync.WaitGroup
		for name, kind := range kinds {
			count := new(atomic.Int32)
			busy[name] = count
			for i := range 10 {
				callers.Go(func() {
					if errors.Is(kind.call(i), identity.ErrBusy) {
						count.Add(1)
					}
				})
			}
		}
		callers.Wait()
		for name, kind := range kinds {
			if got, want := busy[name].Load(), int32(10-kind.most); got != want {
				t.Errorf("%s: %d of 10 were refused, want %d", name, got, want)
			}
		}
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The stand-in lets parallel sign-ins succeed, so its log has to tell: a request that begins after
// the one before it was answered comes later by the delay at least.
func TestTheStandInSeesOneAtATime(t *testing.T) {
	const delay = 30 * time.Millisecond
	plan := keycloaktest.RealmSpec{
		Name:    "shop",
		Clients: []keycloaktest.ClientSpec{{ID: "shop-api", Secret: "shop-api-secret"}},
		Users:   []keycloaktest.UserSpec{{Name: "alice", Password: "alice-password"}},
	}
	kc := keycloaktest.New(t, plan.File())
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
			t.Errorf("request %d came while the one before it was under way", i+1)
		}
	}
}

// Of what a client sends, its address alone reaches Keycloak, and only if the settings say so.
func TestTheAddressReachesKeycloakIfToldTo(t *testing.T) {
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
					t.Errorf("%s: Keycloak is sent %s", name, header)
				}
			}
		}
	}
}
