package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloakql/cloakql/internal/redistest"
)

// However many attempts two processes get, they admit as many as one process would: 10 to one
// account from one network, and five times as many from all networks together. TEST_ATTEMPTS is
// their number.
func TestAttempts_twoProcesses(t *testing.T) {
	t.Parallel()
	const perNetwork, allNetworks = 10, 50
	if usesRealKeycloak() {
		t.Log("not run: only the number of calls to Keycloak matters, not who answers them")
		return
	}
	attempts := number("TEST_ATTEMPTS", 3_000)
	r := newRealm(t, sharedKeycloak, nil)
	user, _ := r.newUser(t, nil)
	proxy := newTokenProxy(t, sharedKeycloak.url, nil)
	proxied, issuer := r.behind(proxy)
	redis := redistest.Start(t)
	servers := proxied.serveTwo(t, redis.URL(), issuer, "LOGIN_ACCOUNT_LIMIT=10/24h",
		"LOGIN_ACCOUNT_SLOW_LIMIT=2000/24h", "LOGIN_ADDRESS_LIMIT=2000/5ms",
		"ADDRESS_LIMIT=2000/5ms", "LOGIN_REFUSAL_PAUSE=0", "MAX_LOGINS=1000")
	for _, s := range servers {
		s.mustLogin(t, user, "secret") // from now on, refusals take as long as this
	}
	loginCalls := proxy.callCount()
	sentCounts := map[string]int{}
	// send sends n attempts to both processes, from addresses that address returns, until the
	// last three in a row are refused without a call to Keycloak.
	send := func(n int, address func() string) (refusedByKeycloak int) {
		t.Helper()
		var mu sync.Mutex // guards refusedByKeycloak and sentCounts
		attempt := func(i int) (code string) {
			response, err := servers[i%2].sendQueryFrom(t.Context(), address(), "", loginQuery,
				object{"u": user, "p": "wrong"})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			sentCounts[response.code()]++
			if strings.HasPrefix(response.code(), "INVALID_CREDENTIALS") {
				refusedByKeycloak++
			}
			return response.code()
		}
		var senders sync.WaitGroup
		for worker := range 16 {
			senders.Go(func() {
				for i := worker; i < n; i += 16 {
					attempt(i / 16)
				}
			})
		}
		senders.Wait()
		// An attempt that found no place in the account's queue got its token back, perhaps after
		// the last attempt above.
		for i, limited := 0, 0; limited < 4; i++ {
			if strings.HasPrefix(attempt(i), "RATE_LIMITED") {
				limited++
			} else {
				limited = 0
			}
		}
		return refusedByKeycloak
	}
	start := time.Now()
	inOneNetwork := send(attempts/2, func() string {
		return fmt.Sprintf("192.0.2.%d", rand.IntN(256))
	})
	got := inOneNetwork + send(attempts/2, func() string {
		return browserAddress(rand.IntN(1 << 16))
	})
	for _, s := range servers {
		// On a busy machine, Redis may take longer than a server waits for it.
		if strings.Contains(s.storedLog(), "this process counts in its own memory") {
			t.Logf("not checked: Redis was too slow, so a process counted in its own memory; it "+
				"admitted %d attempts", got)
			return
		}
	}
	if inOneNetwork != perNetwork {
		t.Errorf("from one network, Keycloak refused %d attempts; want the limit, %d", inOneNetwork,
			perNetwork)
	}
	calls := proxy.callCount() - loginCalls
	if got != allNetworks || calls != allNetworks {
		t.Errorf("from all networks, Keycloak refused %d attempts, and got %d calls; want the "+
			"limit, %d", got, calls, allNetworks)
	}
	elapsed := time.Since(start)
	t.Logf("%d attempts at two processes in %v: %s; Keycloak got %d calls", attempts,
		elapsed.Round(time.Millisecond), formatCodes(sentCounts), calls)
}
