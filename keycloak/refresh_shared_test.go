package keycloak

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
	"github.com/cloakql/cloakql/store"
)

const (
	repeatedLine    = "the response is repeated"
	notRepeatedLine = "the response isn't repeated"
	storeFailsLine  = "the shared store fails"
)

// Two processes with 50 tabs each exchange single-use refresh tokens a thousand times. There is one
// exchange a round, and no session ends.
func TestRefresh_acrossProcesses(t *testing.T) {
	const rounds, tabsPerProcess = 1000, 50
	spec := keycloaktest.RealmSpec{
		Name:     "shop",
		Clients:  []keycloaktest.ClientSpec{{ID: "shop-api", Secret: "shop-api-secret"}},
		Users:    []keycloaktest.UserSpec{{Name: "alice", Password: "alice-password"}},
		Settings: map[string]any{"revokeRefreshToken": true, "refreshTokenMaxReuse": 0},
	}
	kc := keycloaktest.New(t, spec.File())
	a, b := newProcesses(t, nil, func(c *ClientConfig) {
		c.Realm, c.ClientID = must(NewRealm(kc.URL, "shop")), "shop-api"
		c.ClientSecret = identity.NewSecret("shop-api-secret")
	})
	token, err := a.Login(t.Context(), identity.Credentials{Username: "alice",
		Password: identity.NewSecret("alice-password")})
	if err != nil {
		t.Fatal(err)
	}
	current := *token.RefreshToken
	for round := range rounds {
		got := make([]*identity.OpenIDToken, 2*tabsPerProcess)
		var tabs sync.WaitGroup
		for i := range got {
			p := []process{a, b}[i%2]
			tabs.Go(func() {
				var err error
				if got[i], err = p.Refresh(t.Context(), current); err != nil {
					t.Errorf("round %d: Refresh() = %v (%s), want nil", round, err,
						identity.Detail(err))
				}
			})
		}
		tabs.Wait()
		if t.Failed() {
			return
		}
		for _, token := range got {
			if token.RefreshToken.Reveal() != got[0].RefreshToken.Reveal() {
				t.Fatalf("round %d: tabs have different refresh tokens", round)
			}
		}
		current = *got[0].RefreshToken
		kc.ResetRequests()
	}
	stats, other := a.Stats(), b.Stats()
	if exchanges := stats.Exchanges + other.Exchanges; exchanges != rounds {
		t.Errorf("%d exchanges in %d rounds, want one in each", exchanges, rounds)
	}
	if repeats := stats.Repeats + other.Repeats; repeats != rounds*(2*tabsPerProcess-1) {
		t.Errorf("%d repeats, want %d", repeats, rounds*(2*tabsPerProcess-1))
	}
	if stats.RefusedRepeats+other.RefusedRepeats+stats.StoreFallbacks+other.StoreFallbacks != 0 {
		t.Errorf("the processes counted %+v and %+v, want no refusals and no fallbacks", stats,
			other)
	}
}

// Also if Keycloak is slow, there is one exchange for each token in all processes: the lease is
// renewed while the call is in flight. A tab whose patience ends before gets the response later.
func TestRefresh_slowKeycloak(t *testing.T) {
	const rounds, tabsPerProcess = 20, 50
	for _, delay := range []time.Duration{0, 3 * time.Second, 10 * time.Second, 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			realm := &rotatingRealm{delay: delay}
			a, b := newProcesses(t, realm)
			for round := range rounds {
				var tabs sync.WaitGroup
				for i := range 2 * tabsPerProcess {
					p := []process{a, b}[i%2]
					tabs.Go(func() {
						time.Sleep(rand.N(delay + 1))
						var got *identity.OpenIDToken
						err := error(&identity.Error{TimedOut: true})
						for identity.TimedOut(err) { // after 8 s
							got, err = p.Refresh(t.Context(), realm.token(round))
						}
						if err != nil ||
							got.RefreshToken.Reveal() != realm.token(round+1).Reveal() {
							t.Errorf("round %d: Refresh() = %v, %v (%s); want token %d", round, got,
								err, identity.Detail(err), round+1)
						}
					})
				}
				tabs.Wait()
				if t.Failed() {
					return
				}
			}
			realm.check(t, rounds, false)
		})
	}
}

// If the process that exchanges a token dies, those who wait in other processes hear of it when the
// lease ends. The next attempt goes to Keycloak.
func TestRefresh_processDies(t *testing.T) {
	for _, hasReached := range []bool{false, true} { // the dead process's request reached Keycloak
		synctest.Test(t, func(t *testing.T) {
			realm := &rotatingRealm{delay: 20 * time.Second}
			a, b := newProcesses(t, realm, withTimeout(15*time.Second))
			if !hasReached {
				realm.current = -1 // so that the request of the dead process isn't the valid one
			}
			var callers sync.WaitGroup
			callers.Go(func() { a.Refresh(contextWithAddress(t, addressA), realm.token(0)) })
			time.Sleep(5 * time.Second)
			if !hasReached {
				realm.mu.Lock()
				realm.current, realm.ended = 0, false
				realm.mu.Unlock()
			}
			a.calls.fail("*", always)
			realm.setDelay(0)
			start := time.Now()
			b.checkRefreshError(t, realm.token(0), identity.ErrRefreshInterrupted)
			// The latest renewal was a second before the process died.
			want := refreshLease - time.Second + store.LeaseGrace
			if waited := time.Since(start); waited != want {
				t.Errorf("the caller waited %v, want %v", waited, want)
			}
			if hasReached {
				b.checkRefreshError(t, realm.token(0), identity.ErrRefreshReused)
			} else {
				b.checkRefresh(t, realm, realm.token(0), 1)
			}
			realm.check(t, 2, hasReached)
			b.checkLog(t, "another process was exchanging a refresh token and ended", 1)
			if stats := b.Stats(); stats.Interrupted != 1 || stats.Exchanges != 1 {
				t.Errorf("Stats() = %+v, want one interrupted refresh and one exchange", stats)
			}
			callers.Wait()
		})
	}
}

// Any call to the store may fail once, with or without an effect. Tabs that get an error and try
// again get their tokens, there is one exchange for each token, and no session ends.
func TestRefresh_storeFailsOnce(t *testing.T) {
	for _, operation := range []string{"Begin", "Renew", "Finish", "Wait", "MarkUsed", "IsUsed"} {
		for _, hasEffect := range []bool{false, true} {
			t.Run(fmt.Sprint(operation, " ", hasEffect), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					testStoreFailsOnce(t, operation, hasEffect)
				})
			})
		}
	}
}

func testStoreFailsOnce(t *testing.T, operation string, hasEffect bool) {
	const rounds, tabsPerProcess = 10, 5
	realm := &rotatingRealm{delay: 3 * time.Second}
	a, b := newProcesses(t, realm)
	for round := range rounds {
		for _, p := range []process{a, b} {
			p.calls.mu.Lock()
			if hasEffect {
				p.calls.failAfter[operation] = 1
			} else {
				p.calls.failBefore[operation] = 1
			}
			p.calls.mu.Unlock()
		}
		var tabs sync.WaitGroup
		for i := range 2 * tabsPerProcess {
			p := []process{a, b}[i%2]
			tabs.Go(func() {
				time.Sleep(rand.N(5 * time.Second))
				for range 20 {
					got, err := p.Refresh(t.Context(), realm.token(round))
					switch {
					case err == nil && got.RefreshToken.Reveal() == realm.token(round+1).Reveal():
						return
					case !errors.Is(err, identity.ErrStoreUnavailable) &&
						!errors.Is(err, identity.ErrRefreshInterrupted) && !identity.TimedOut(err):
						t.Errorf("round %d: Refresh() = %v, %v (%s)", round, got, err,
							identity.Detail(err))
						return
					}
					time.Sleep(time.Second)
				}
				t.Errorf("round %d: a tab got no token in 20 attempts", round)
			})
		}
		tabs.Wait()
		if t.Failed() {
			return
		}
	}
	realm.check(t, rounds, false)
}

// While the store is unavailable, refreshes fail for 15 s without a call to Keycloak. Then each
// process exchanges tokens by itself. When the store is back, others get the responses.
func TestRefresh_storeUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{delay: time.Second}
		a, b := newProcesses(t, realm)
		a.checkRefresh(t, realm, realm.token(0), 1)
		a.calls.fail("*", always)
		start := time.Now()
		for time.Since(start) < storeGiveUpTime {
			// The first response is cached.
			a.checkRefreshError(t, realm.token(0), identity.ErrStoreUnavailable)
			a.checkRefreshError(t, realm.token(1), identity.ErrStoreUnavailable)
			time.Sleep(time.Second)
		}
		realm.check(t, 1, false)
		var tabs sync.WaitGroup
		for range 5 { // share an exchange
			tabs.Go(func() { a.checkRefresh(t, realm, realm.token(1), 2) })
		}
		tabs.Wait()
		realm.check(t, 2, false)
		a.checkRefresh(t, realm, realm.token(1), 2) // repeated, as far as this process knows
		a.checkLog(t, storeFailsLine, 1)
		if stats := a.Stats(); stats.StoreRefusals != 30 || stats.StoreFallbacks != 2 {
			t.Errorf("Stats() = %+v, want 30 refusals and 2 fallbacks", stats)
		}

		a.calls.fail("*", 0)
		time.Sleep(2 * time.Second)
		b.checkRefresh(t, realm, realm.token(1), 2)
		a.checkRefresh(t, realm, realm.token(1), 2)
		b.checkRefresh(t, realm, realm.token(2), 3)
		a.checkRefresh(t, realm, realm.token(2), 3)
		realm.check(t, 3, false)
		if stats := a.Stats(); stats.StoreRefusals != 30 || stats.StoreFallbacks != 2 {
			t.Errorf("Stats() = %+v, want no more refusals and fallbacks", stats)
		}

		time.Sleep(storeLogInterval)
		a.calls.fail("*", always)
		a.checkRefreshError(t, realm.token(3), identity.ErrStoreUnavailable)
		a.checkLog(t, storeFailsLine, 2)
	})
}

// A process whose store fails while its exchange is in flight still returns the response, and
// stores it when the store is back. The response's lifetimes are reduced by its age.
func TestRefresh_storeFailsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{delay: 3 * time.Second}
		a, b := newProcesses(t, realm)
		var callers sync.WaitGroup
		callers.Go(func() { a.checkRefresh(t, realm, realm.token(0), 1) })
		time.Sleep(time.Second)
		a.calls.fail("*", always)
		callers.Wait()
		time.Sleep(3500 * time.Millisecond)
		a.calls.fail("*", 0)
		time.Sleep(time.Second) // the process tries to store its response once a second
		got, err := b.Refresh(contextWithAddress(t, addressA), realm.token(0))
		if err != nil || got.ExpiresIn != 300-4 || *got.RefreshExpiresIn != 1800-4 {
			t.Errorf("Refresh() = %+v, %v; want lifetimes reduced by 4 s", got, err)
		}
		realm.check(t, 1, false)
		// The response isn't kept for longer because it was stored late.
		time.Sleep(DefaultRefreshGrace - 4500*time.Millisecond)
		b.checkRefreshError(t, realm.token(0), identity.ErrRefreshReused)
	})
}

// A response isn't repeated to another network, whichever process has it.
func TestRefresh_otherNetworkAcrossProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{}
		a, b := newProcesses(t, realm)
		a.checkRefresh(t, realm, realm.token(0), 1)
		_, err := b.Refresh(contextWithAddress(t, addressB), realm.token(0))
		if !errors.Is(err, identity.ErrRefreshReused) {
			t.Errorf("Refresh() = %v, want %v", err, identity.ErrRefreshReused)
		}
		realm.check(t, 2, true)
		b.checkLog(t, notRepeatedLine, 1)
		b.checkLog(t, "it comes from another network", 1)
		if stats := b.Stats(); stats.RefusedRepeats != 1 || stats.Repeats != 0 {
			t.Errorf("Stats() = %+v, want one refused repeat", stats)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{}
		a, b := newProcesses(t, realm, func(c *ClientConfig) { c.RefreshGraceAnyNetwork = true })
		a.checkRefresh(t, realm, realm.token(0), 1)
		if _, err := b.Refresh(contextWithAddress(t, addressB), realm.token(0)); err != nil {
			t.Errorf("Refresh() with RefreshGraceAnyNetwork = %v, want nil", err)
		}
		realm.check(t, 1, false)
	})
}

// A response isn't repeated once its refresh token was presented to any process, for a refresh or a
// logout. The process that made the exchange and the others know that.
func TestRefresh_supersededAcrossProcesses(t *testing.T) {
	uses := map[string]func(*testing.T, process, *rotatingRealm){
		"refresh": func(t *testing.T, p process, realm *rotatingRealm) {
			p.checkRefresh(t, realm, realm.token(1), 2)
		},
		"logout": func(t *testing.T, p process, realm *rotatingRealm) {
			if err := p.Logout(t.Context(), realm.token(1)); err != nil {
				t.Error(err)
			}
		},
	}
	for name, use := range uses {
		// askFirst is set if the process that made the exchange is asked.
		for _, askFirst := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " ", askFirst), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					realm := &rotatingRealm{}
					a, b := newProcesses(t, realm)
					a.checkRefresh(t, realm, realm.token(0), 1)
					b.checkRefresh(t, realm, realm.token(0), 1)
					use(t, b, realm)
					exchanges := realm.exchanges
					p := b
					if askFirst {
						p = a
					}
					_, err := p.Refresh(contextWithAddress(t, addressA), realm.token(0))
					if !errors.Is(err, identity.ErrRefreshReused) &&
						!errors.Is(err, identity.ErrSessionEnded) {
						t.Errorf("Refresh() = %v, want Keycloak's refusal", err)
					}
					realm.check(t, exchanges+1, true)
					p.checkLog(t, notRepeatedLine, 1)
					p.checkLog(t, "the new refresh token was used", 1)
				})
			})
		}
	}
}

// A repeat is one line in the log, also if the response comes from another process. Its lifetimes
// are reduced by its age.
func TestRefresh_repeatFromOtherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{}
		a, b := newProcesses(t, realm)
		a.checkRefresh(t, realm, realm.token(0), 1)
		time.Sleep(4 * time.Second)
		got, err := b.Refresh(contextWithAddress(t, addressA), realm.token(0))
		if err != nil || got.ExpiresIn != 296 || *got.RefreshExpiresIn != 1796 ||
			got.TokenType != "Bearer" || len(got.Scope) != 1 || got.IDToken != nil {
			t.Errorf("Refresh() = %+v, %v; want the response with reduced lifetimes", got, err)
		}
		a.checkLog(t, "level=", 0)
		b.checkLog(t, repeatedLine, 1)
		b.checkLog(t, "level=", 1)
		time.Sleep(DefaultRefreshGrace - 4*time.Second)
		b.checkRefreshError(t, realm.token(0), identity.ErrRefreshReused) // the grace has ended
	})
}

// Without a grace period no response is kept, but processes share exchanges in flight.
func TestRefresh_withoutGraceAcrossProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{delay: time.Second}
		a, b := newProcesses(t, realm, func(c *ClientConfig) { c.RefreshGrace = -1 })
		var tabs sync.WaitGroup
		for _, p := range []process{a, b, a, b} {
			tabs.Go(func() { p.checkRefresh(t, realm, realm.token(0), 1) })
		}
		tabs.Wait()
		realm.check(t, 1, false)
		b.checkRefreshError(t, realm.token(0), identity.ErrRefreshReused)
	})
}

// Those who wait in another process hear the same error. It isn't kept.
func TestRefresh_failureAcrossProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{delay: time.Second, ended: true}
		a, b := newProcesses(t, realm)
		var tabs sync.WaitGroup
		for _, p := range []process{a, b, a, b} {
			tabs.Go(func() { p.checkRefreshError(t, realm.token(0), identity.ErrSessionEnded) })
		}
		tabs.Wait()
		realm.check(t, 1, true)
		realm.ended = false
		b.checkRefresh(t, realm, realm.token(0), 1)
		a.checkRefresh(t, realm, realm.token(0), 1)
		b.checkLog(t, notRepeatedLine, 0)
	})
}

// A refresh that exchanges its token makes two calls to the store, a repeat one, and a logout one.
func TestRefresh_storeCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{delay: time.Second}
		a, b := newProcesses(t, realm)
		check := func(p process, what string, want map[string]int) {
			t.Helper()
			synctest.Wait()
			if got := p.calls.takeCounts(); !maps.Equal(got, want) {
				t.Errorf("%s makes the calls %v, want %v", what, got, want)
			}
		}
		a.checkRefresh(t, realm, realm.token(0), 1)
		check(a, "an exchange", map[string]int{"Begin": 1, "Finish": 1})
		a.checkRefresh(t, realm, realm.token(0), 1)
		check(a, "a repeat", map[string]int{"IsUsed": 1})
		b.checkRefresh(t, realm, realm.token(0), 1)
		check(b, "a repeat from another process", map[string]int{"Begin": 1})
		var callers sync.WaitGroup
		for _, p := range []process{a, a, a, b, b, b} {
			callers.Go(func() { p.checkRefresh(t, realm, realm.token(1), 2) })
			synctest.Wait()
		}
		callers.Wait()
		check(a, "a shared exchange", map[string]int{"Begin": 1, "Finish": 1})
		check(b, "waiting for an exchange", map[string]int{"Begin": 1, "Wait": 1})
		if err := b.Logout(t.Context(), realm.token(2)); err != nil {
			t.Fatal(err)
		}
		check(b, "a logout", map[string]int{"MarkUsed": 1})
	})
}

// Clients of different realms or with different client IDs share nothing, even if they share a
// store.
func TestRefresh_otherClientsOfStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := &store.MemoryCalls{}
		realm := &rotatingRealm{}
		for i, change := range []func(*ClientConfig){
			func(c *ClientConfig) {},
			func(c *ClientConfig) { c.ClientID = "another" },
			func(c *ClientConfig) { c.Realm = must(NewRealm("http://localhost", "another")) },
		} {
			p, _ := newProcesses(t, realm, change, func(c *ClientConfig) { c.Calls = calls })
			realm.current = 0
			p.checkRefresh(t, realm, realm.token(0), 1)
			realm.check(t, i+1, false)
		}
	})
}

// Before a response is returned or repeated, CheckRevoked is called with its session. If it was
// revoked, the caller hears ErrSessionEnded, and Keycloak isn't called.
func TestRefresh_checkRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var result error
		setResult := func(err error) {
			mu.Lock()
			defer mu.Unlock()
			result = err
		}
		revokedErr := &identity.Error{Reason: identity.ErrTokenRevoked}
		realm := &rotatingRealm{delay: time.Second}
		a, b := newProcesses(t, realm, func(c *ClientConfig) {
			c.CheckRevoked = func(session TokenSession) error {
				if session.SessionID != "session-1" {
					t.Errorf("CheckRevoked was called with %+v, want session-1", session)
				}
				mu.Lock()
				defer mu.Unlock()
				return result
			}
		})
		a.checkRefresh(t, realm, realm.token(0), 1)
		setResult(identity.ErrTokenExpired) // it doesn't know
		a.checkRefresh(t, realm, realm.token(0), 1)
		b.checkRefresh(t, realm, realm.token(0), 1)
		setResult(revokedErr)
		b.checkRefreshError(t, realm.token(0), identity.ErrSessionEnded) // the store's response
		a.checkRefreshError(t, realm.token(0), identity.ErrSessionEnded) // a cached response
		realm.check(t, 1, false)
		a.checkLog(t, repeatedLine, 1)

		// The session ends while an exchange is in flight.
		setResult(nil)
		var callers sync.WaitGroup
		for _, p := range []process{a, b} {
			callers.Go(func() {
				p.checkRefreshError(t, realm.token(1), identity.ErrSessionEnded)
			})
		}
		synctest.Wait()
		setResult(revokedErr)
		callers.Wait()
		realm.check(t, 2, false)
	})
	synctest.Test(t, func(t *testing.T) { // without a store
		revoked := false
		realm := &rotatingRealm{}
		p, _ := newProcesses(t, realm, func(c *ClientConfig) {
			c.Calls, c.Turns = nil, nil
			c.CheckRevoked = func(TokenSession) error {
				if revoked {
					return identity.ErrTokenRevoked
				}
				return nil
			}
		})
		p.checkRefresh(t, realm, realm.token(0), 1)
		p.checkRefresh(t, realm, realm.token(0), 1)
		revoked = true
		p.checkRefreshError(t, realm.token(0), identity.ErrSessionEnded)
		realm.check(t, 1, false)
	})
}

// If Begin had an effect although it failed, no process waits for the call that it started.
func TestRefresh_beginFailsWithEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{}
		a, b := newProcesses(t, realm)
		a.calls.failAfter["Begin"] = 1
		a.checkRefreshError(t, realm.token(0), identity.ErrStoreUnavailable)
		start := time.Now()
		b.checkRefreshError(t, realm.token(0), identity.ErrRefreshInterrupted)
		b.checkRefresh(t, realm, realm.token(0), 1)
		if waited := time.Since(start); waited > storeRetryInterval {
			t.Errorf("the refreshes took %v, want at most %v", waited, storeRetryInterval)
		}
		realm.check(t, 1, false)
	})
}

// A process that waits for another one's exchange accepts the session's next token. It may come
// before the process has the result.
func TestRefresh_nextTokenWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{delay: time.Second}
		a, b := newProcesses(t, realm)
		var callers sync.WaitGroup
		for _, p := range []process{a, b} {
			callers.Go(func() { p.checkRefresh(t, realm, realm.token(0), 1) })
			synctest.Wait()
		}
		b.checkRefresh(t, realm, realm.token(1), 2)
		callers.Wait()
		realm.check(t, 2, false)
		if n := b.refresher.semaphore.inUse; n != 0 {
			t.Errorf("%d slots are in use, want none", n)
		}
	})
}

// If the store loses its data, a process that notices a failure stores its responses again, so that
// other processes don't exchange the tokens a second time.
func TestRefresh_storeLosesData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &rotatingRealm{}
		a, b := newProcesses(t, realm)
		a.checkRefresh(t, realm, realm.token(0), 1)
		a.checkRefresh(t, realm, realm.token(1), 2)
		calls := &store.MemoryCalls{}
		a.calls.Calls, b.calls.Calls = calls, calls
		a.calls.fail("IsUsed", 1)
		a.checkRefreshError(t, realm.token(1), identity.ErrStoreUnavailable)
		time.Sleep(storeRetryInterval + time.Millisecond)
		b.checkRefresh(t, realm, realm.token(1), 2)
		realm.check(t, 2, false)
		// The first response is superseded, so it wasn't stored again.
		b.checkRefreshError(t, realm.token(0), identity.ErrRefreshReused)
	})
}
