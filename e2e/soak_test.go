package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const soakWorkers = 32

// At full load, no cache, store or list of sessions grows without bound: the live heap in the last
// tenth of the time is at most 1.1 times the live heap in the second tenth. The first tenth fills
// the bounded stores. TEST_SOAK is the test's duration: 10m with make soak.
func TestSoak(t *testing.T) {
	if os.Getenv("TEST_SOAK") == "" {
		t.Log("not run: set TEST_SOAK=10m, and -timeout to more than that, as make soak does")
		return
	}
	duration, err := time.ParseDuration(os.Getenv("TEST_SOAK"))
	if err != nil || duration < 20*time.Second {
		t.Fatalf("TEST_SOAK is %q, want a duration of at least 20s", os.Getenv("TEST_SOAK"))
	}
	heaps := make(chan uint64, 1)
	lines := 0
	s := serveBinary(t, buildWithHeap(t), func(line string) bool {
		if text, ok := strings.CutPrefix(line, "live heap: "); ok {
			heapSize, _ := strconv.ParseUint(text, 10, 64)
			heaps <- heapSize
			return false
		}
		lines++
		return lines < 1000 && !strings.Contains(line, `"msg":"request"`)
	}, sharedKeycloak, "RUNTIME_ENV=prod", "GET_QUERIES=true", "TRUSTED_PROXIES=127.0.0.1")

	ctx, stop := context.WithTimeout(t.Context(), duration)
	defer stop()
	var workers sync.WaitGroup
	var pause sync.RWMutex // read-locked while a request is in flight
	var loads [soakWorkers]soakLoad
	for i := range loads {
		user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
		loads[i] = soakLoad{server: s, user: user, pause: &pause,
			warmupUntil: time.Now().Add(duration / 10)}
		workers.Go(func() { loads[i].run(ctx, t) })
	}
	heapSizes := make([][]uint64, 10) // by tenths
	start := time.Now()
	for tick := time.Tick(max(duration/120, time.Second)); ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-tick:
			pause.Lock() // requests in flight would add to the live heap
			s.cmd.Process.Signal(syscall.SIGUSR1)
			select {
			case heap := <-heaps:
				tenth := min(9, int(10*time.Since(start)/duration))
				heapSizes[tenth] = append(heapSizes[tenth], heap)
			case <-s.done:
				t.Fatal("the server exited")
			case <-time.After(timeout):
				t.Fatal("the server didn't log its live heap")
			}
			pause.Unlock()
		}
	}
	workers.Wait()
	var responses int64
	for i := range loads {
		responses += loads[i].responses.Load()
	}
	t.Logf("%d responses in %v, %.0f per second", responses, duration,
		float64(responses)/duration.Seconds())
	medians := make([]uint64, len(heapSizes))
	for i, tenth := range heapSizes {
		if len(tenth) == 0 {
			t.Fatalf("no live heap was logged in tenth %d", i+1)
		}
		slices.Sort(tenth)
		medians[i] = tenth[len(tenth)/2]
		t.Logf("tenth %2d: live heap %6.2f MiB (median of %d, %.2f to %.2f)", i+1,
			mebi(medians[i]), len(tenth), mebi(tenth[0]), mebi(tenth[len(tenth)-1]))
	}
	// The server remembers failed sign-ins for longer than the first tenth of a shorter test.
	if duration < 5*time.Minute {
		t.Log("not compared: the test is too short to fill the stores in the first tenth")
	} else if second, last := medians[1], medians[9]; float64(last) > 1.1*float64(second) {
		t.Errorf("live heap grew from %.2f MiB to %.2f MiB, want at most a tenth more",
			mebi(second), mebi(last))
	}
	response := s.query(t, "", usernameQuery, nil)
	if response.code() != "UNAUTHENTICATED/TOKEN_MISSING" {
		t.Errorf("me afterwards: got %s, want TOKEN_MISSING", response.body)
	}
}

// mebi returns a number of bytes in MiB.
func mebi(n uint64) float64 { return float64(n) / (1 << 20) }

// buildWithHeap builds the server with the additional file testdata/heap.go.txt, which logs the
// live heap on SIGUSR1. It uses the flag -overlay of go build.
func buildWithHeap(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		root + "/cmd/cloakql/soak_heap.go": root + "/e2e/testdata/heap.go.txt",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := build(filepath.Join(dir, "cloakql"), "./cmd/cloakql", "-overlay",
		filepath.Join(dir, "overlay.json")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "cloakql")
}

// A soakLoad imitates one client after another over one connection, as fast as the server responds.
type soakLoad struct {
	server      *server
	user        string
	pause       *sync.RWMutex
	warmupUntil time.Time // before that, send more of the requests that fill the server's stores
	responses   atomic.Int64
}

// run sends requests until ctx is done.
func (l *soakLoad) run(ctx context.Context, t *testing.T) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		// A new client each time, with another address and its own session.
		address := fmt.Sprintf("10.%d.%d.%d", mathrand.IntN(256), mathrand.IntN(256),
			mathrand.IntN(256))
		post := func(bearer string, want string, body any) (got result) {
			text, isText := body.(string)
			if !isText {
				encoded, _ := json.Marshal(body)
				text = string(encoded)
			}
			return l.send(ctx, t, client,
				soakRequest{address: address, bearer: bearer, body: text, want: want})
		}
		login, _ := decodeTokens(t, "login",
			post("", "",
				object{"query": loginQuery, "variables": object{"u": l.user, "p": "secret"}}))
		if login.AccessToken == "" {
			continue
		}
		for i := range 100 {
			post(login.AccessToken, "", meBody)
			// a new document
			post(login.AccessToken, "",
				object{"query": fmt.Sprintf("query Q%s { me { username } }", rand.Text())})
			if i%10 == 0 || time.Now().Before(l.warmupUntil) {
				// a password spray
				post("", "any",
					object{"query": loginQuery,
						"variables": object{"u": rand.Text(), "p": "wrong"}})
			}
			if i%10 == 0 {
				post("", "any", object{"query": fmt.Sprintf("{ x%s }", rand.Text())})
				query := fmt.Sprintf("query P%s { __typename }", rand.Text())
				post("", "any",
					object{"query": query,
						"extensions": object{"persistedQuery": object{"version": 1,
							"sha256Hash": digest(query)}}})
				shape := shapes[mathrand.IntN(len(shapes))]
				post("", "any", string(shape.body(8<<10)))
				l.send(ctx, t, client,
					soakRequest{address: address,
						queryString: "?query=" + url.QueryEscape("{ __typename }"), want: ""})
			}
		}
		refresh, _ := decodeTokens(t, "refresh",
			post("", "",
				object{"query": refreshQuery, "variables": object{"r": login.RefreshToken}}))
		post("", "", object{"query": logoutQuery, "variables": object{"r": refresh.RefreshToken}})
	}
}

// A soakRequest is a request from a client at an address. It is a GET request if it has a
// queryString. want is the expected code, or "any".
type soakRequest struct{ address, bearer, body, queryString, want string }

// send sends a request and checks the response's code.
func (l *soakLoad) send(ctx context.Context, t *testing.T, client *http.Client,
	r soakRequest) (got result) {
	method := http.MethodPost
	if r.queryString != "" {
		method = http.MethodGet
	}
	request, err := http.NewRequest(method, l.server.url+"/graphql"+r.queryString,
		bytes.NewReader([]byte(r.body)))
	if err != nil || ctx.Err() != nil {
		return result{}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Forwarded-For", r.address)
	if r.bearer != "" {
		request.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	l.pause.RLock()
	defer l.pause.RUnlock()
	response, err := client.Do(request)
	if err != nil {
		t.Errorf("no response: %v", err)
		return result{}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("incomplete response: %v", err)
		return result{}
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Errorf("response %d %.300s isn't JSON", response.StatusCode, body)
	}
	// An overloaded server responds BUSY.
	if code := got.code(); r.want != "any" && code != r.want && code != "SERVICE_UNAVAILABLE/BUSY" {
		t.Errorf("%.200s: got %d %.300s, want the code %q", r.body, response.StatusCode, body,
			r.want)
	}
	l.responses.Add(1)
	return got
}

// digest returns the SHA-256 of a document, which identifies it in Apollo's persisted queries.
func digest(query string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(query))) }
