package keycloak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

// A rotatingRealm is a realm with single-use refresh tokens and one session. It accepts a token
// when the request arrives, and responds after a delay. A token that is presented twice ends the
// session, as in Keycloak.
type rotatingRealm struct {
	mu        sync.Mutex // guards the fields below
	delay     time.Duration
	current   int  // the number of the refresh token that is valid
	ended     bool // the session has ended
	exchanges int  // requests for new tokens
}

// token returns the refresh token with this number. Keycloak returns it in exchange for the
// previous one.
func (r *rotatingRealm) token(n int) identity.Secret {
	return sessionRefreshToken("session-1", fmt.Sprint(canary, n))
}

func (r *rotatingRealm) setDelay(delay time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = delay
}

func (r *rotatingRealm) RoundTrip(request *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(request.Body)
	form, _ := url.ParseQuery(string(body))
	status, text, delay := r.respond(request.URL.Path, form)
	select {
	case <-time.After(delay):
		return newResponse(status, text)
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
}

func (r *rotatingRealm) respond(path string, form url.Values) (status int, body string,
	delay time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.HasSuffix(path, "/logout") {
		r.ended = true
		return http.StatusNoContent, "", 0
	}
	r.exchanges++
	switch {
	case r.ended:
		return 400, `{"error":"invalid_grant","error_description":"Session not active"}`, r.delay
	case form.Get("refresh_token") != r.token(r.current).Reveal():
		r.ended = true
		return 400, `{"error":"invalid_grant","error_description":` +
			`"Maximum allowed refresh token reuse exceeded"}`, r.delay
	}
	r.current++
	return 200, toJSON(object{"token_type": "Bearer", "expires_in": 300, "refresh_expires_in": 1800,
		"access_token":  accessTokenOf(object{"sid": "session-1", "jti": r.current}),
		"refresh_token": r.token(r.current).Reveal(), "scope": "openid"}), r.delay
}

// check checks how many exchanges there were, and whether the session has ended.
func (r *rotatingRealm) check(t *testing.T, wantExchanges int, wantEnded bool) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.exchanges != wantExchanges || r.ended != wantEnded {
		t.Errorf("%d exchanges, session ended: %v; want %d and %v", r.exchanges, r.ended,
			wantExchanges, wantEnded)
	}
}

// accessTokenOf returns an access token with these claims.
func accessTokenOf(claims object) string {
	return base64url([]byte(`{"alg":"RS256"}`)) + "." + base64url([]byte(toJSON(claims))) + "." +
		base64url([]byte(canary+"-signature"))
}

// A testCalls is a store.Calls that counts calls, and fails if the test wants it.
type testCalls struct {
	store.Calls

	mu     sync.Mutex // guards the fields below
	counts map[string]int
	// failBefore and failAfter have the operations that fail with ErrUnavailable, without and with
	// their effect, and how many times they do. "*" is every operation.
	failBefore, failAfter map[string]int
}

func newTestCalls(calls store.Calls) *testCalls {
	return &testCalls{Calls: calls, counts: map[string]int{}, failBefore: map[string]int{},
		failAfter: map[string]int{}}
}

// always is a number of failures that a test doesn't reach.
const always = 1 << 30

// fail makes an operation fail n times without an effect.
func (c *testCalls) fail(operation string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failBefore[operation] = n
}

// replace makes calls use another store from now on.
func (c *testCalls) replace(calls store.Calls) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Calls = calls
}

func (c *testCalls) current() store.Calls {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Calls
}

// takeCounts returns how many calls of each operation there were since the last call of takeCounts.
func (c *testCalls) takeCounts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := maps.Clone(c.counts)
	clear(c.counts)
	return counts
}

// do counts a call of an operation, and fails if the test wants it.
func (c *testCalls) do(operation string, call func() error) error {
	c.mu.Lock()
	c.counts[operation]++
	take := func(failures map[string]int) bool {
		for _, name := range []string{operation, "*"} {
			if failures[name] > 0 {
				failures[name]--
				return true
			}
		}
		return false
	}
	before, after := take(c.failBefore), take(c.failAfter)
	c.mu.Unlock()
	if before {
		return fmt.Errorf("a test: %w", store.ErrUnavailable)
	}
	if err := call(); err != nil || !after {
		return err
	}
	return fmt.Errorf("a test, after the call: %w", store.ErrUnavailable)
}

func (c *testCalls) Begin(ctx context.Context, key store.CallKey, id store.CallID,
	lease, keep time.Duration) (call store.Call, err error) {
	err = c.do("Begin", func() (err error) {
		call, err = c.current().Begin(ctx, key, id, lease, keep)
		return err
	})
	if err != nil {
		return store.Call{}, err
	}
	return call, nil
}

func (c *testCalls) Renew(ctx context.Context, key store.CallKey, id store.CallID,
	lease time.Duration) error {
	return c.do("Renew", func() error { return c.current().Renew(ctx, key, id, lease) })
}

func (c *testCalls) Finish(ctx context.Context, key store.CallKey, id store.CallID, result []byte,
	successor store.Key, keep time.Duration) error {
	return c.do("Finish", func() error {
		return c.current().Finish(ctx, key, id, result, successor, keep)
	})
}

func (c *testCalls) Wait(ctx context.Context, key store.CallKey,
	id store.CallID) (call store.Call, err error) {
	err = c.do("Wait", func() (err error) {
		call, err = c.current().Wait(ctx, key, id)
		return err
	})
	if err != nil {
		return store.Call{}, err
	}
	return call, nil
}

func (c *testCalls) MarkUsed(ctx context.Context, subject store.Key, keep time.Duration) error {
	return c.do("MarkUsed", func() error { return c.current().MarkUsed(ctx, subject, keep) })
}

func (c *testCalls) IsUsed(ctx context.Context, subject store.Key) (used bool, err error) {
	err = c.do("IsUsed", func() (err error) {
		used, err = c.current().IsUsed(ctx, subject)
		return err
	})
	return used, err
}

// A process is a Client and its connection to a store that it shares with others.
type process struct {
	*Client
	calls *testCalls
	log   *logBuffer
}

// newProcesses returns two processes that share a store.
func newProcesses(t *testing.T, realm http.RoundTripper,
	changes ...func(*ClientConfig)) (a, b process) {
	calls, turns := &store.MemoryCalls{}, &store.MemoryTurns{}
	processes := make([]process, 2)
	for i := range processes {
		p := process{calls: newTestCalls(calls), log: &logBuffer{}}
		config := ClientConfig{
			Realm: must(NewRealm("http://localhost", "local")), ClientID: "local-api",
			ClientSecret: identity.NewSecret(canary), Transport: realm, Log: p.log.logger(),
			Calls: p.calls, Turns: turns,
		}
		for _, change := range changes {
			change(&config)
		}
		p.Client = must(NewClient(config))
		t.Cleanup(func() {
			if err := p.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		processes[i] = p
	}
	return processes[0], processes[1]
}

// checkRefresh refreshes a token, and checks that Refresh returns token number want of realm.
func (p process) checkRefresh(t *testing.T, realm *rotatingRealm, token identity.Secret, want int) {
	t.Helper()
	got, err := p.Refresh(contextWithAddress(t, addressA), token)
	if err != nil || got.RefreshToken.Reveal() != realm.token(want).Reveal() {
		t.Errorf("Refresh() = %v, %v (%s); want token %d", got, err, identity.Detail(err), want)
	}
}

// checkRefreshError refreshes a token, and checks Refresh's error.
func (p process) checkRefreshError(t *testing.T, token identity.Secret, want error) {
	t.Helper()
	_, err := p.Refresh(contextWithAddress(t, addressA), token)
	if !errors.Is(err, want) {
		t.Errorf("Refresh() = %v (%s), want %v", err, identity.Detail(err), want)
	}
	checkNoLeak(t, err)
}

// checkLog checks how many lines of a process's log contain text, and that none has a secret.
func (p process) checkLog(t *testing.T, text string, want int) {
	t.Helper()
	log := p.log.String()
	if got := strings.Count(log, text); got != want {
		t.Errorf("%d lines of the log contain %q, want %d:\n%s", got, text, want, log)
	}
	if strings.Contains(log, canary) {
		t.Errorf("the log has a secret:\n%s", log)
	}
}

// countBusy calls signIn n times at once, in turn for each of two processes, and returns how many
// calls fail with ErrBusy. No other error may occur.
func countBusy(t *testing.T, n int, a, b process, signIn func(p process, i int) error) int {
	t.Helper()
	var busyCount atomic.Int32
	var callers sync.WaitGroup
	for i := range n {
		p := []process{a, b}[i%2]
		callers.Go(func() {
			err := signIn(p, i)
			if errors.Is(err, identity.ErrBusy) {
				busyCount.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	return int(busyCount.Load())
}
