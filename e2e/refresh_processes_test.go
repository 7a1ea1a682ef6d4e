package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql/internal/redistest"
)

// A refreshRound is one refresh by all tabs of a browser at once. The tabs share their tokens, as
// tabs do with the browser's storage. Every other tab talks to the other process.
type refreshRound struct {
	refreshToken string
	tabs         int
	address      string // the browser's
	// server returns the server for a try of a tab.
	server func(tab, try int) *server

	successor atomic.Pointer[tokens] // of the tab that got tokens first
	mu        sync.Mutex             // guards the fields below
	got       map[string]int         // the number of tabs by the refresh token that they got
	codes     map[string]int         // the number of responses by code
	endedBy   string                 // the code with which the session ended, or ""
}

// run refreshes in all tabs. A tab tries again after an error that says that it may, until a tab
// of the browser has new tokens.
func (r *refreshRound) run(t *testing.T) {
	t.Helper()
	r.got, r.codes = map[string]int{}, map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	var tabs sync.WaitGroup
	for tab := range r.tabs {
		tabs.Go(func() { r.runTab(ctx, t, tab) })
	}
	tabs.Wait()
}

func (r *refreshRound) runTab(ctx context.Context, t *testing.T, tab int) {
	for try := 0; ; try++ {
		response, err := r.server(tab, try).sendQueryFrom(ctx, r.address, "", refreshQuery,
			object{"r": r.refreshToken})
		code := response.code()
		if err != nil {
			code = "no response"
		}
		r.mu.Lock()
		r.codes[code]++
		r.mu.Unlock()
		switch {
		case code == "":
			got, _ := decodeTokens(t, "refresh", response)
			r.successor.CompareAndSwap(nil, &got)
			r.mu.Lock()
			r.got[got.RefreshToken]++
			r.mu.Unlock()
			return
		case ctx.Err() != nil:
			t.Errorf("tab %d got no tokens in %v, but %s", tab, timeout, code)
			return
		case code != "no response" && !strings.HasPrefix(code, "SERVICE_UNAVAILABLE/"):
			r.mu.Lock()
			r.endedBy = code
			r.mu.Unlock()
			return
		}
		time.Sleep(50*time.Millisecond + rand.N(100*time.Millisecond))
		if r.successor.Load() != nil { // another tab has stored new tokens
			return
		}
	}
}

// wantOneExchange fails the test unless Keycloak got one call, and the tabs the same tokens. On a
// busy machine, Redis may take longer than the server waits for it: then tabs try again.
func (r *refreshRound) wantOneExchange(t *testing.T, exchanges []int) {
	t.Helper()
	if !slices.Equal(exchanges, []int{200}) || len(r.got) != 1 || r.endedBy != "" ||
		r.codes["no response"] > 0 {
		t.Fatalf("Keycloak's responses were %v, the %d tabs got %s, and %d different tokens; want "+
			"one call, and the same tokens", exchanges, r.tabs, formatCodes(r.codes), len(r.got))
	}
}

// formatCodes formats the number of responses by code.
func formatCodes(codes map[string]int) string {
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		name := code
		if name == "" {
			name = "tokens"
		}
		parts = append(parts, fmt.Sprintf("%d × %s", codes[code], name))
	}
	return strings.Join(parts, ", ")
}

// browserAddress returns an address in a network of its own for each n.
func browserAddress(n int) string {
	return fmt.Sprintf("10.%d.%d.7", n>>8&255, n&255)
}

// Each time 50 tabs at each of two processes refresh at once, Keycloak gets one call, and all tabs
// get the same tokens. TEST_REFRESH_ROUNDS is the number of rounds.
func TestRefresh_twoProcesses(t *testing.T) {
	t.Parallel()
	const tabs = 100
	rounds := number("TEST_REFRESH_ROUNDS", 50)
	local := realm{sharedKeycloak, "local"}
	user, _ := local.newUser(t, nil)
	proxy := newTokenProxy(t, sharedKeycloak.url, nil)
	proxied, issuer := local.behind(proxy)
	servers := proxied.serveTwo(t, redistest.Start(t).URL(), issuer,
		"REFRESH_TOKEN_LIMIT=2000/5ms")
	session := servers[0].mustLogin(t, user, "secret")
	codes := map[string]int{}
	start := time.Now()
	for n := range rounds {
		round := &refreshRound{refreshToken: session.RefreshToken, tabs: tabs,
			address: browserAddress(n),
			server:  func(tab, _ int) *server { return servers[tab%2] }}
		round.run(t)
		exchanges := proxy.exchangesOf(session.RefreshToken)
		round.wantOneExchange(t, exchanges)
		for code, n := range round.codes {
			codes[code] += n
		}
		session = *round.successor.Load()
	}
	elapsed := time.Since(start)
	t.Logf("%d rounds of %d tabs at two processes: %d calls to Keycloak, %v a round; the tabs got "+
		"%s", rounds, tabs, proxy.callCount()-1,
		(elapsed / time.Duration(rounds)).Round(time.Millisecond), formatCodes(codes))
	for _, s := range servers {
		if name, response := s.me(t, session.AccessToken); name != user {
			t.Errorf("me is %q, want %q\n%s", name, user, response.body)
		}
	}
}

// If Keycloak takes long, the tabs wait for its response. It is still the only call.
func TestRefresh_twoProcessesSlowKeycloak(t *testing.T) {
	t.Parallel()
	const tabs = 20
	local := realm{sharedKeycloak, "local"}
	redis := redistest.Start(t)
	delays := []time.Duration{3 * time.Second, 10 * time.Second, 12 * time.Second}
	runTogether(t, delays, time.Duration.String, func(t *testing.T, delay time.Duration) {
		user, _ := local.newUser(t, nil)
		var isSlow atomic.Bool
		proxy := newTokenProxy(t, sharedKeycloak.url, func() (before, after time.Duration) {
			if isSlow.Load() {
				return delay / 2, delay / 2
			}
			return 0, 0
		})
		proxied, issuer := local.behind(proxy)
		servers := proxied.serveTwo(t, redis.URL(), issuer)
		session := servers[0].mustLogin(t, user, "secret")
		isSlow.Store(true)
		start := time.Now()
		round := &refreshRound{refreshToken: session.RefreshToken, tabs: tabs,
			address: browserAddress(1),
			server:  func(tab, _ int) *server { return servers[tab%2] }}
		round.run(t)
		elapsed := time.Since(start)
		exchanges := proxy.exchangesOf(session.RefreshToken)
		round.wantOneExchange(t, exchanges)
		t.Logf("all tabs had their tokens after %v", elapsed.Round(time.Millisecond))
		isSlow.Store(false)
		_, response := servers[1].refresh(t, round.successor.Load().RefreshToken)
		wantCode(t, "the next refresh", response, "")
	})
}

// A process is killed while sessions refresh. A session ends only if Keycloak has responded to the
// killed process, which hasn't stored the response: then the new tokens are lost. All other
// sessions continue. TEST_KILLS is the number of kills.
func TestRefresh_killedProcess(t *testing.T) {
	t.Parallel()
	const sessionCount, tabs = 12, 6
	kills := number("TEST_KILLS", 1)
	local := realm{sharedKeycloak, "local"}
	redis := redistest.Start(t)
	proxy := newTokenProxy(t, sharedKeycloak.url, func() (before, after time.Duration) {
		return rand.N(60 * time.Millisecond), rand.N(20 * time.Millisecond)
	})
	proxied, issuer := local.behind(proxy)
	settings := []string{issuer, "TRUSTED_PROXIES=127.0.0.1", "STORE=" + redis.URL(),
		"STORE_TIMEOUT=1s"}
	survivor := proxied.serve(t, settings...)
	var endedCount, roundCount, lostCount int
	codes := map[string]int{}
	for range kills {
		victim := proxied.serve(t, settings...)
		sessions := make([]tokens, sessionCount)
		for i := range sessions {
			user, _ := local.newUser(t, nil)
			sessions[i] = survivor.mustLogin(t, user, "secret")
		}
		rounds := make([]*refreshRound, sessionCount)
		var running sync.WaitGroup
		for i, session := range sessions {
			rounds[i] = &refreshRound{refreshToken: session.RefreshToken, tabs: tabs,
				address: browserAddress(i),
				server: func(tab, try int) *server {
					if tab%2 == 0 && try == 0 {
						return victim
					}
					return survivor // a load balancer sends the next try to a running process
				}}
			running.Go(func() { rounds[i].run(t) })
		}
		time.Sleep(rand.N(100 * time.Millisecond))
		victim.kill()
		running.Wait()
		for i, round := range rounds {
			roundCount++
			for code, n := range round.codes {
				codes[code] += n
			}
			// Keycloak's responses before the refresh that worked, or before the one that was
			// refused, to a process that is dead now.
			exchanges := proxy.exchangesOf(round.refreshToken)
			wasAnswered := len(exchanges) > 0 && exchanges[0] == 200
			if successor := round.successor.Load(); successor != nil {
				_, response := survivor.refresh(t, successor.RefreshToken)
				if response.code() != "" {
					lostCount++
					t.Errorf("session %d: Keycloak's responses were %v, the tabs got %s, and the "+
						"next refresh %s", i, exchanges, formatCodes(round.codes), response.code())
				}
				continue
			}
			endedCount++
			if !wasAnswered {
				lostCount++
				t.Errorf("session %d ended with %s, although Keycloak's responses were %v; the "+
					"tabs got %s", i, round.endedBy, exchanges, formatCodes(round.codes))
			}
		}
	}
	t.Logf("%d kills while %d sessions refreshed: %d ended, because Keycloak had answered "+
		"the killed process, which hadn't stored the answer; %d ended without that", kills,
		roundCount, endedCount, lostCount)
	t.Logf("the tabs got %s", formatCodes(codes))
}

// While Redis is paused and after it has lost its data, refreshes may fail with
// SERVICE_UNAVAILABLE. But no session ends.
func TestRefresh_redisPausedAndRestarted(t *testing.T) {
	t.Parallel()
	const sessionCount, tabs = 4, 6
	local := realm{sharedKeycloak, "local"}
	redis := redistest.Start(t)
	proxy := newTokenProxy(t, sharedKeycloak.url, func() (before, after time.Duration) {
		return rand.N(20 * time.Millisecond), rand.N(20 * time.Millisecond)
	})
	proxied, issuer := local.behind(proxy)
	servers := proxied.serveTwo(t, redis.URL(), issuer)
	done := make(chan struct{})
	var running sync.WaitGroup
	var roundCounts, doubleCalls [sessionCount]int
	var mu sync.Mutex // guards codes
	codes := map[string]int{}
	for i := range sessionCount {
		user, _ := local.newUser(t, nil)
		session := servers[0].mustLogin(t, user, "secret")
		running.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				round := &refreshRound{refreshToken: session.RefreshToken, tabs: tabs,
					address: browserAddress(n*sessionCount + i),
					server:  func(tab, try int) *server { return servers[(tab+try)%2] }}
				round.run(t)
				mu.Lock()
				for code, n := range round.codes {
					codes[code] += n
				}
				mu.Unlock()
				exchanges := proxy.exchangesOf(session.RefreshToken)
				if len(exchanges) > 1 {
					doubleCalls[i]++
				}
				successor := round.successor.Load()
				if successor == nil || round.endedBy != "" {
					t.Errorf("session %d, round %d: a tab got %s, Keycloak's responses were %v, "+
						"the tabs got %s; want no end of the session", i, n, round.endedBy,
						exchanges, formatCodes(round.codes))
					return
				}
				session = *successor
				roundCounts[i] = n + 1
			}
		})
	}
	time.Sleep(time.Second)
	redis.Pause()
	time.Sleep(3 * time.Second)
	redis.Resume()
	time.Sleep(3 * time.Second)
	redis.Restart()
	time.Sleep(15 * time.Second)
	close(done)
	running.Wait()
	t.Logf("Redis was paused for 3 s, and then lost its data: each session refreshed %v times, %v "+
		"times with a second call to Keycloak", roundCounts, doubleCalls)
	t.Logf("the tabs got %s", formatCodes(codes))
	for i, n := range roundCounts {
		if n == 0 {
			t.Errorf("session %d didn't refresh", i)
		}
	}
}
