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

// The server at full load for a while: TEST_SOAK=10m, which make soak sets. What is live after a
// collection in the last tenth of the time may be 1.1 times what it was in the second: no cache,
// store or session list grows without end. In the first tenth there is more of what is remembered
// up to a bound.
func TestSoak(t *testing.T) {
	if os.Getenv("TEST_SOAK") == "" {
		t.Log("not run: set TEST_SOAK=10m, and -timeout to more than that, as make soak does")
		return
	}
	length, err := time.ParseDuration(os.Getenv("TEST_SOAK"))
	if err != nil || length < 20*time.Second {
		t.Fatalf("TEST_SOAK is %q; want how long, from 20s on", os.Getenv("TEST_SOAK"))
	}
	heaps := make(chan uint64, 1)
	kept := 0
	s := serveWith(t, buildWithHeap(t), func(line string) bool {
		if text, ok := strings.CutPrefix(line, "live heap: "); ok {
			live, _ := strconv.ParseUint(text, 10, 64)
			heaps <- live
			return false
		}
		kept++
		return kept < 1000 && !strings.Contains(line, `"msg":"request"`)
	}, shared, "RUNTIME_ENV=prod", "GET_QUERIES=true", "TRUSTED_PROXIES=127.0.0.1")

	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	var workers sync.WaitGroup
	var pause sync.RWMutex // held for reading while a request is under way
	var loads [soakWorkers]soakLoad
	for i := range loads {
		user, _ := realm{shared, "local"}.newUser(t, nil)
		loads[i] = soakLoad{server: s, user: user, pause: &pause, warm: time.Now().Add(length / 10)}
		workers.Go(func() { loads[i].run(ctx, t) })
	}
	live := make([][]uint64, 10) // by tenths
	began := time.Now()
	for tick := time.Tick(max(length/120, time.Second)); ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-tick:
			pause.Lock() // what requests hold while they are answered isn't what stays
			s.cmd.Process.Signal(syscall.SIGUSR1)
			select {
			case heap := <-heaps:
				tenth := min(9, int(10*time.Since(began)/length))
				live[tenth] = append(live[tenth], heap)
			case <-s.done:
				t.Fatal("the server ended")
			case <-time.After(patience):
				t.Fatal("the server doesn't tell its heap")
			}
			pause.Unlock()
		}
	}
	workers.Wait()
	var answered int64
	for i := range loads {
		answered += loads[i].answered.Load()
	}
	t.Logf("%d answers in %v, %.0f a second", answered, length, float64(answered)/length.Seconds())
	medians := make([]uint64, len(live))
	for i, tenth := range live {
		if len(tenth) == 0 {
			t.Fatalf("no collection in the tenth %d", i+1)
		}
		slices.Sort(tenth)
		medians[i] = tenth[len(tenth)/2]
		t.Logf("tenth %2d: live heap %6.2f MiB in the median of %d, %.2f to %.2f", i+1,
			mebi(medians[i]), len(tenth), mebi(tenth[0]), mebi(tenth[len(tenth)-1]))
	}
	// even one failed sign-in is remembered for longer than a tenth of that
	if length < 5*time.Minute {
		t.Log(
			"too short to compare: what is remembered for a while isn't all there in the " +
				"second tenth")
	} else if second, last := medians[1], medians[9]; float64(last) > 1.1*float64(second) {
		t.Errorf("live heap grew from %.2f MiB to %.2f", mebi(second), mebi(last))
	}
	response := s.query(t, "", usernameQuery, nil)
	if response.code() != "UNAUTHENTICATED/TOKEN_MISSING" {
		t.Errorf("then me is %s", response.body)
	}
}

func mebi(n uint64) float64 { return float64(n) / (1 << 20) }

// buildWithHeap builds the server with testdata/heap.go.txt laid over it, go help build, -overlay.
func buildWithHeap(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	repository, err := filepath.Abs(sources)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(repository, "cmd", "cloakql", "soak_heap.go"): filepath.Join(repository,
			"e2e", "testdata", "heap.go.txt"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := build(filepath.Join(dir, "cloakql"), "cloakql", "-overlay",
		filepath.Join(dir, "overlay.json")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "cloakql")
}

// A soakLoad is what one client after another does over one connection, as fast as it is answered.
type soakLoad struct {
	server   *server
	user     string
	pause    *sync.RWMutex
	warm     time.Time // until then, more of what fills the server's stores to their bounds
	answered atomic.Int64
}

func (l *soakLoad) run(ctx context.Context, t *testing.T) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		// Somebody new each time: another address, and a session of its own.
		from := fmt.Sprintf("10.%d.%d.%d", mathrand.IntN(256), mathrand.IntN(256),
			mathrand.IntN(256))
		ask := func(bearer string, want string, body any) (got result) {
			text, isText := body.(string)
			if !isText {
				made, _ := json.Marshal(body)
				text = string(made)
			}
			return l.exchange(ctx, t, client,
				soakRequest{from: from, bearer: bearer, body: text, want: want})
		}
		signedIn, _ := gotTokens(t, "login",
			ask("", "",
				object{"query": loginQuery, "variables": object{"u": l.user, "p": "secret"}}))
		if signedIn.AccessToken == "" {
			continue
		}
		for i := range 100 {
			ask(signedIn.AccessToken, "", asksMe)
			// never seen before
			ask(signedIn.AccessToken, "",
				object{"query": fmt.Sprintf("query Q%s { me { username } }", rand.Text())})
			if i%10 == 0 || time.Now().Before(l.warm) {
				// a spray
				ask("", "any",
					object{"query": loginQuery,
						"variables": object{"u": rand.Text(), "p": "wrong"}})
			}
			if i%10 == 0 {
				ask("", "any", object{"query": fmt.Sprintf("{ x%s }", rand.Text())})
				query := fmt.Sprintf("query P%s { __typename }", rand.Text())
				ask("", "any",
					object{"query": query,
						"extensions": object{"persistedQuery": object{"version": 1,
							"sha256Hash": digest(query)}}})
				shape := shapes[mathrand.IntN(len(shapes))]
				ask("", "any", string(shape.body(8<<10)))
				l.exchange(ctx, t, client,
					soakRequest{from: from, get: "?query=" + url.QueryEscape("{ __typename }"),
						want: ""})
			}
		}
		refreshed, _ := gotTokens(t, "refresh",
			ask("", "",
				object{"query": refreshQuery, "variables": object{"r": signedIn.RefreshToken}}))
		ask("", "", object{"query": logoutQuery, "variables": object{"r": refreshed.RefreshToken}})
	}
}

// A soakRequest is one request, with the code that its answer has to have: none, or any.
type soakRequest struct{ from, bearer, body, get, want string }

func (l *soakLoad) exchange(ctx context.Context, t *testing.T, client *http.Client,
	r soakRequest) (got result) {
	method := http.MethodPost
	if r.get != "" {
		method = http.MethodGet
	}
	request, err := http.NewRequest(method, l.server.url+"/graphql"+r.get,
		bytes.NewReader([]byte(r.body)))
	if err != nil || ctx.Err() != nil {
		return result{}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Forwarded-For", r.from)
	if r.bearer != "" {
		request.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	l.pause.RLock()
	defer l.pause.RUnlock()
	response, err := client.Do(request)
	if err != nil {
		t.Errorf("no answer: %v", err)
		return result{}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("half an answer: %v", err)
		return result{}
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Errorf("answered %d %.300s", response.StatusCode, body)
	}
	// Past what it can take, the server says so.
	if code := got.code(); r.want != "any" && code != r.want && code != "SERVICE_UNAVAILABLE/BUSY" {
		t.Errorf("%.200s: answered %d %.300s", r.body, response.StatusCode, body)
	}
	l.answered.Add(1)
	return got
}

// digest is the SHA-256 of a document, as Apollo's persisted queries name it.
func digest(query string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(query))) }
