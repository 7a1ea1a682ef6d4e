package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloakql/cloakql/internal/redistest"
)

// A storeFault is a way in which Redis can fail.
type storeFault struct {
	name       string
	config     redistest.Config
	begin, end func(redis *redistest.Server, proxy *redistest.Proxy) // nil if it can't end
	// fromStart means that Redis fails from the start of the server.
	fromStart bool
	// lost means that only the data is lost, and Redis is available.
	lost bool
}

// storeFaults lists all faults that the tests know. In each of them, the server connects to Redis
// through a proxy.
func storeFaults() []storeFault {
	const password = "right"
	onProxy := func(f func(*redistest.Proxy)) func(*redistest.Server, *redistest.Proxy) {
		return func(_ *redistest.Server, proxy *redistest.Proxy) { f(proxy) }
	}
	onRedis := func(f func(*redistest.Server)) func(*redistest.Server, *redistest.Proxy) {
		return func(redis *redistest.Server, _ *redistest.Proxy) { f(redis) }
	}
	restore := onProxy((*redistest.Proxy).Restore)
	return []storeFault{
		{name: "killed", begin: onRedis((*redistest.Server).Kill),
			end: onRedis((*redistest.Server).Restart)},
		{name: "paused (SIGSTOP)", begin: onRedis((*redistest.Server).Pause),
			end: onRedis((*redistest.Server).Resume)},
		{name: "restarted, empty", lost: true, begin: onRedis((*redistest.Server).Restart)},
		{name: "memory full (noeviction)",
			begin: onRedis(func(redis *redistest.Server) {
				redis.CLI("CONFIG", "SET", "maxmemory", "1")
			}),
			end: onRedis(func(redis *redistest.Server) {
				redis.CLI("CONFIG", "SET", "maxmemory", "0")
			})},
		{name: "another password", config: redistest.Config{Password: password},
			begin: onRedis(func(redis *redistest.Server) {
				redis.SetPassword("other")
				redis.CLI("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			}),
			end: onRedis(func(redis *redistest.Server) { redis.SetPassword(password) })},
		{name: "TLS refused (unknown authority)", config: redistest.Config{TLS: true},
			fromStart: true, begin: onProxy(func(*redistest.Proxy) {})},
		{name: "slow (+500 ms)",
			begin: onProxy(func(proxy *redistest.Proxy) {
				proxy.SetDelay(250 * time.Millisecond) // in each direction
			}), end: restore},
		{name: "connections cut", begin: onProxy((*redistest.Proxy).Cut), end: restore},
		{name: "packets dropped", begin: onProxy((*redistest.Proxy).Blackhole), end: restore},
	}
}

// However Redis fails, the server responds as documented, and without long delays: me, login and
// logout work, and refresh works again after some seconds. Then everything recovers by itself.
func TestStore_faults(t *testing.T) {
	t.Parallel()
	var rows sync.Map // by fault
	runTogether(t, storeFaults(), func(fault storeFault) string { return fault.name },
		func(t *testing.T, fault storeFault) { rows.Store(fault.name, testStoreFault(t, fault)) })
	var table strings.Builder
	for _, fault := range storeFaults() {
		row, _ := rows.Load(fault.name)
		cells, _ := row.([]string)
		fmt.Fprintf(&table, "| %s | %s |\n", fault.name, strings.Join(cells, " | "))
	}
	t.Logf("\n| Redis | `login` | failed sign-ins until `RATE_LIMITED` | `me` | `logout` | "+
		"`refresh`, at first | `refresh` works after | `/readyz` | slowest response | slowest "+
		"before |\n|---|---|---|---|---|---|---|---|---|---|\n%s", table.String())
}

// A stopwatch measures the longest response.
type stopwatch struct{ slowest time.Duration }

// time calls f, and returns its result.
func (w *stopwatch) time(f func() result) result {
	start := time.Now()
	response := f()
	w.slowest = max(w.slowest, time.Since(start))
	return response
}

// testStoreFault tests a fault, and returns the cells of its row in a table.
func testStoreFault(t *testing.T, fault storeFault) (row []string) {
	redis := fault.config.Start(t)
	proxy := redistest.NewProxy(t, redis.Addr())
	r := newRealm(t, sharedKeycloak, nil)
	s := r.serve(t, "STORE="+redis.URLThrough(proxy), "LOGIN_ACCOUNT_LIMIT=10/1h",
		"LOGIN_REFUSAL_PAUSE=0")
	var users [5]string
	for i := range users {
		users[i], _ = r.newUser(t, nil)
	}
	var before, during stopwatch
	login := func(w *stopwatch, user string) (got tokens, response result) {
		response = w.time(func() (response result) {
			got, response = s.login(t, user, "secret")
			return response
		})
		return got, response
	}
	me := func(w *stopwatch, got tokens) result {
		return w.time(func() result { _, response := s.me(t, got.AccessToken); return response })
	}
	refresh := func(w *stopwatch, token string) (got tokens, response result) {
		response = w.time(func() (response result) {
			got, response = s.refresh(t, token)
			return response
		})
		return got, response
	}
	logout := func(w *stopwatch, got tokens) result {
		return w.time(func() result { return s.logout(t, got.RefreshToken) })
	}

	// At first, Redis works.
	first, response := login(&before, users[0])
	wantCode(t, "login before the fault", response, "")
	second, response := login(&before, users[1])
	wantCode(t, "login before the fault", response, "")
	wantCode(t, "me before the fault", me(&before, first), "")
	if !fault.fromStart {
		waitUntil(t, "refresh works before the fault", func() bool {
			got, response := refresh(&before, first.RefreshToken)
			if isStoreUnavailable(response) { // on a busy machine
				return false
			}
			wantCode(t, "refresh before the fault", response, "")
			first = got
			return true
		})
	}
	third, response := login(&before, users[2])
	wantCode(t, "login before the fault", response, "")
	wantCode(t, "logout before the fault", logout(&before, third), "")

	fault.begin(redis, proxy)
	start := time.Now()
	wantCode(t, "me", me(&during, first), "")
	_, response = login(&during, users[3])
	wantCode(t, "login", response, "")
	firstRefresh, response := refresh(&during, first.RefreshToken)
	firstCode := response.code()
	if firstCode != "" {
		firstRefresh = first
	}
	wantCode(t, "logout", logout(&during, second), "")
	wantCode(t, "me after logout", me(&during, second), "UNAUTHENTICATED/TOKEN_REVOKED")
	failures := 0
	for ; failures < 20; failures++ {
		response := during.time(func() result {
			_, response := s.login(t, users[4], "wrong")
			return response
		})
		if strings.HasPrefix(response.code(), "RATE_LIMITED") {
			break
		}
		wantCode(t, "login with a wrong password", response, "INVALID_CREDENTIALS")
	}
	// If Redis responds late to one of them, because the machine is busy, both limits are used.
	if failures < 5 || failures > 15 {
		t.Errorf("%d sign-ins failed before the rate limit, want between 5 and 15", failures)
	}
	var readyText string
	if fault.lost {
		_, readyText = s.get(t, "/readyz")
	} else {
		waitUntil(t, "/readyz names the store", func() bool {
			status, text := s.get(t, "/readyz")
			if readyText = text; status != http.StatusOK {
				t.Fatalf("/readyz: got %d %s, want 200", status, text)
			}
			return strings.Contains(text, "store")
		})
	}
	if strings.Contains(readyText, "unavailable: the shared store is unavailable") {
		t.Errorf("/readyz says twice that the store is unavailable: %s", readyText)
	}
	// refresh works at last, and me in the meantime.
	worksAfter := "at once"
	if firstCode != "" {
		for {
			wantCode(t, "me", me(&during, first), "")
			var code string
			if firstRefresh, response = refresh(&during, first.RefreshToken); true {
				code = response.code()
			}
			if code == "" {
				break
			}
			wantCode(t, "refresh", response, "SERVICE_UNAVAILABLE/STORE_UNAVAILABLE")
			if time.Since(start) > timeout {
				t.Fatalf("after %v, refresh still gets %s", timeout, code)
			}
			time.Sleep(200 * time.Millisecond)
		}
		worksAfter = fmt.Sprintf("%.1f s", time.Since(start).Seconds())
	}
	if during.slowest > before.slowest+5*time.Second {
		t.Errorf("the slowest response took %v, and %v before the fault", during.slowest,
			before.slowest)
	}
	row = []string{"works", itoa(failures), "works", "works",
		"`" + strings.TrimPrefix(firstCode, "SERVICE_UNAVAILABLE/") + "`", worksAfter,
		strings.TrimSpace(readyText), milliseconds(during.slowest), milliseconds(before.slowest)}
	if firstCode == "" {
		row[4] = "works"
	}

	// After the fault, everything works, and no session has ended.
	if fault.end == nil {
		return row
	}
	fault.end(redis, proxy)
	waitUntil(t, "/readyz doesn't name the store any more", func() bool {
		_, text := s.get(t, "/readyz")
		return !strings.Contains(text, "store")
	})
	waitUntil(t, "refresh works after the fault", func() bool {
		_, response := s.refresh(t, firstRefresh.RefreshToken)
		if code := response.code(); code != "" && !strings.HasPrefix(code, "SERVICE_UNAVAILABLE/") {
			t.Fatalf("refresh after the fault: got %s", response.body)
		}
		return response.code() == ""
	})
	storeLines := 0
	for line := range strings.Lines(s.storedLog()) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, "store") {
			storeLines++
		}
	}
	if storeLines > 10 {
		t.Errorf("the log has %d warnings about the store, want a few", storeLines)
	}
	return row
}

// isStoreUnavailable reports whether a response says to try again because of the store. On a busy
// machine, Redis may take longer than the server waits for it.
func isStoreUnavailable(response result) bool {
	return response.code() == "SERVICE_UNAVAILABLE/STORE_UNAVAILABLE"
}

// milliseconds formats a duration.
func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// However many faults there are under load, the server has no more connections, threads and memory
// at the end than halfway.
// TEST_STORE_FAULTS is their number; an hour with a fault every 20 s has 180.
func TestStore_faultsLeak(t *testing.T) {
	t.Parallel()
	count := number("TEST_STORE_FAULTS", 20)
	redis := redistest.Start(t)
	proxy := redistest.NewProxy(t, redis.Addr())
	r := newRealm(t, sharedKeycloak, nil)
	s := r.serve(t, "STORE="+redis.URLThrough(proxy), "TRUSTED_PROXIES=127.0.0.1",
		"LOGIN_REFUSAL_PAUSE=0")
	var users [4]string
	for i := range users {
		users[i], _ = r.newUser(t, nil)
	}
	// load sends requests until done is closed.
	load := func(done chan struct{}, i int) {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			send := func(bearer, query string, variables object) result {
				response, err := s.sendQueryFrom(t.Context(), browserAddress(n), bearer, query,
					variables)
				if err != nil {
					t.Error(err)
				}
				return response
			}
			got, _ := decodeTokens(t, "login",
				send("", loginQuery, object{"u": users[i], "p": "secret"}))
			send(got.AccessToken, usernameQuery, nil)
			refreshed, response := decodeTokens(t, "refresh",
				send("", refreshQuery, object{"r": got.RefreshToken}))
			if response.code() == "" {
				send("", logoutQuery, object{"r": refreshed.RefreshToken})
			}
			send("", loginQuery, object{"u": fmt.Sprintf("unknown-%d-%d", i, n), "p": "wrong"})
			query := fmt.Sprintf("query Q%dx%d { __typename }", i, n)
			s.post(t, object{"query": query, "extensions": object{"persistedQuery": object{
				"version": 1, "sha256Hash": digest(query)}}})
		}
	}
	run := func(f func()) {
		done := make(chan struct{})
		var running sync.WaitGroup
		for i := range users {
			running.Go(func() { load(done, i) })
		}
		f()
		close(done)
		running.Wait()
	}
	faults := slices.DeleteFunc(storeFaults(), func(fault storeFault) bool {
		return fault.fromStart || fault.config.Password != ""
	})
	runFaults := func(count int) {
		run(func() {
			for n := range count {
				fault := faults[n%len(faults)]
				fault.begin(redis, proxy)
				time.Sleep(100*time.Millisecond + rand.N(200*time.Millisecond))
				if fault.end != nil {
					fault.end(redis, proxy)
				}
				time.Sleep(100*time.Millisecond + rand.N(200*time.Millisecond))
			}
		})
	}
	start := time.Now()
	runFaults(count / 2) // fills the caches
	before := usageOf(t, s)
	runFaults(count - count/2)
	var after usage
	waitUntil(t, "the server has as many open files as halfway", func() bool {
		after = usageOf(t, s)
		return after.files <= before.files+8
	})
	t.Logf("%d faults in %v: %v halfway, %v at the end; %d connections to Redis are open, %d were "+
		"opened", count, time.Since(start).Round(time.Second), before, after, proxy.OpenConns(),
		proxy.Accepted())
	if after.threads > before.threads+20 || after.residentKB > before.residentKB+30_000 {
		t.Errorf("the server used %v halfway, and %v at the end", before, after)
	}
}

// usage is what a process uses.
type usage struct{ files, threads, residentKB int }

func (u usage) String() string {
	return fmt.Sprintf("%d open files, %d threads, %.1f MB", u.files, u.threads,
		float64(u.residentKB)/1000)
}

// usageOf returns what the server uses.
func usageOf(t *testing.T, s *server) (u usage) {
	t.Helper()
	dir := "/proc/" + itoa(s.cmd.Process.Pid)
	files, err := os.ReadDir(dir + "/fd")
	if err != nil {
		t.Skipf("this system has no /proc: %v", err)
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		t.Fatal(err)
	}
	u.files = len(files)
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			u.residentKB = atoi(fields[1])
		} else if len(fields) > 1 && fields[0] == "Threads:" {
			u.threads = atoi(fields[1])
		}
	}
	return u
}
