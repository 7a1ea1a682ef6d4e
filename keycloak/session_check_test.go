package keycloak

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// A fakeIntrospection is the introspection endpoint of a realm. It answers after delay with
// respond, or that the token is active if respond is nil.
type fakeIntrospection struct {
	mu          sync.Mutex // guards the fields below
	delay       time.Duration
	respond     func(token string) (*http.Response, error)
	calls       int
	inFlight    int
	maxInFlight int
	lastRequest *http.Request
	lastForm    url.Values
}

func (f *fakeIntrospection) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	f.mu.Lock()
	f.calls++
	f.inFlight++
	f.maxInFlight = max(f.maxInFlight, f.inFlight)
	f.lastRequest, f.lastForm = r, form
	respond, delay := f.respond, f.delay
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.inFlight--
		f.mu.Unlock()
	}()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if respond == nil {
		return newResponse(200, `{"active":true}`)
	}
	return respond(form.Get("token"))
}

// setDelay changes the delay.
func (f *fakeIntrospection) setDelay(delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = delay
}

// setResponse changes the response for all tokens.
func (f *fakeIntrospection) setResponse(status int, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.respond = func(string) (*http.Response, error) { return newResponse(status, body) }
}

func (f *fakeIntrospection) callCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// A checkTest is a SessionChecker with a fake endpoint.
type checkTest struct {
	*testing.T
	*SessionChecker
	endpoint *fakeIntrospection
	log      *logBuffer

	mu   sync.Mutex // guards ends
	ends []SessionEnd
}

// newCheckTest returns a checker whose requests wait if wait is set.
func newCheckTest(t *testing.T, wait bool, changes ...func(*SessionCheckConfig)) *checkTest {
	t.Helper()
	c := &checkTest{T: t, endpoint: &fakeIntrospection{}, log: &logBuffer{}}
	config := SessionCheckConfig{
		Client: must(NewClient(ClientConfig{Realm: localRealm(t), ClientID: localAudience,
			ClientSecret: identity.NewSecret(canary + "-secret"), Transport: c.endpoint,
			Log: c.log.logger()})),
		Wait: wait, Log: c.log.logger(),
		End: func(end SessionEnd) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.ends = append(c.ends, end)
		},
	}
	for _, change := range changes {
		change(&config)
	}
	c.SessionChecker = must(NewSessionChecker(config))
	return c
}

// takeEnds returns the ends that were reported since the last call.
func (c *checkTest) takeEnds() []SessionEnd {
	c.mu.Lock()
	defer c.mu.Unlock()
	ends := c.ends
	c.ends = nil
	return ends
}

// checkCalls checks how many calls the endpoint got since the test began.
func (c *checkTest) checkCalls(description string, want int) {
	c.Helper()
	if got := c.endpoint.callCount(); got != want {
		c.Errorf("%s: the token was checked %d times, want %d", description, got, want)
	}
}

// use checks a token that was issued a minute before the current time.
func (c *checkTest) use(sessionID string) error {
	return c.useIssued(sessionID, time.Now().Add(-time.Minute))
}

// useIssued checks a token that was issued at this time. Each session is of another user.
func (c *checkTest) useIssued(sessionID string, issuedAt time.Time) error {
	return c.useOf("user of "+sessionID, sessionID, issuedAt)
}

// useOf checks a token of a user.
func (c *checkTest) useOf(subject, sessionID string, issuedAt time.Time) error {
	session := TokenSession{SessionID: sessionID, Subject: subject,
		IssuedAt: issuedAt.Truncate(time.Second), ExpiresAt: issuedAt.Add(5 * time.Minute)}
	return c.Check(c.Context(), session, checkedToken(sessionID, localAudience))
}

// checkedToken returns a token of a session for an audience. Its signature isn't verified.
func checkedToken(sessionID string, audience any) identity.Secret {
	return refreshTokenOf(object{"sid": sessionID, "aud": audience, "typ": "Bearer",
		"canary": canary})
}

// checkUnchecked checks that the error of a token that couldn't be checked is safe for clients, and
// that its detail contains detail.
func checkUnchecked(t *testing.T, err error, detail string) {
	t.Helper()
	if !errors.Is(err, identity.ErrKeysUnavailable) {
		t.Fatalf("Check() = %v, want ErrKeysUnavailable", err)
	}
	checkClientSafe(t, err)
	checkNoLeak(t, err)
	if got := identity.Detail(err); !strings.Contains(got, detail) {
		t.Errorf("the detail is %q, want %q in it", got, detail)
	}
}

// Without Wait, requests aren't delayed, and a session in use is checked once per interval.
func TestSessionChecker_background(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, false)
		c.endpoint.setDelay(2 * time.Second)
		start := time.Now()
		issuedAt := start.Add(-time.Minute)
		for range 10 {
			if err := c.useIssued("s1", issuedAt); err != nil {
				t.Fatalf("Check() = %v, want nil", err)
			}
		}
		if time.Since(start) > 0 {
			t.Errorf("the requests took %v, want no delay", time.Since(start))
		}
		time.Sleep(3 * time.Second)
		c.checkCalls("ten uses", 1)
		// The interval begins when the check began, not when Keycloak answered.
		time.Sleep(27*time.Second - time.Millisecond)
		c.useIssued("s1", issuedAt)
		synctest.Wait()
		c.checkCalls("within the interval", 1)
		time.Sleep(time.Millisecond)
		c.endpoint.setResponse(200, `{"active":false}`)
		c.useIssued("s1", issuedAt)
		c.useIssued("s1", issuedAt)
		synctest.Wait()
		c.checkCalls("after the interval", 2)
		if ends := c.takeEnds(); len(ends) > 0 {
			t.Errorf("before Keycloak has answered, the ends are %+v, want none", ends)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want := SessionEnd{SessionID: "s1", Subject: "user of s1", At: issuedAt, Exact: true}
		if ends := c.takeEnds(); len(ends) != 1 || ends[0] != want {
			t.Errorf("the ends are %+v, want %+v", ends, want)
		}
		if got, want := c.Stats(), (SessionCheckStats{Done: 2, Ended: 1}); got != want {
			t.Errorf("Stats() = %+v, want %+v", got, want)
		}
	})
}

// With Wait, concurrent requests of a session wait for one call, and get its result.
func TestSessionChecker_wait(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		want error
	}{
		"active":   {`{"active":true,"sub":"x"}`, nil},
		"inactive": {`{"active":false}`, identity.ErrTokenRevoked},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCheckTest(t, true)
			c.endpoint.setDelay(time.Second)
			c.endpoint.setResponse(200, tt.body)
			start := time.Now()
			var group sync.WaitGroup
			for range 50 {
				group.Go(func() {
					err := c.use("s1")
					if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
						t.Errorf("%s: Check() = %v, want %v", name, err, tt.want)
					}
					if got := time.Since(start); got != time.Second {
						t.Errorf("%s: Check() took %v, want 1s", name, got)
					}
					if tt.want != nil && len(c.log.String()) == 0 {
						t.Errorf("%s: the log is empty when Check returns", name)
					}
				})
			}
			group.Wait()
			c.checkCalls(name, 1)
			if got := len(c.takeEnds()); got != 1 && tt.want != nil || got > 0 && tt.want == nil {
				t.Errorf("%s: there are %d ends", name, got)
			}
		})
	}
}

// The request has the client's credentials, and asks for JSON.
func TestSessionChecker_request(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, true)
		if err := c.use("s1"); err != nil {
			t.Fatal(err)
		}
		r, form := c.endpoint.lastRequest, c.endpoint.lastForm
		want := url.Values{"client_id": {localAudience}, "client_secret": {canary + "-secret"},
			"token":           {checkedToken("s1", localAudience).Reveal()},
			"token_type_hint": {"access_token"}}
		if r.Method != http.MethodPost || r.URL.String() != localIssuer+
			"/protocol/openid-connect/token/introspect" || form.Encode() != want.Encode() {
			t.Errorf("the request is %s %s with the form %v, want a POST with %v", r.Method, r.URL,
				form, want)
		}
		if got := r.Header.Get("Accept"); got != "application/json" {
			t.Errorf("Accept is %q, want application/json", got)
		}
	})
}

// However often 100 sessions are used, each is checked once per interval. Neither a request of
// another session nor a failed one changes that.
func TestSessionChecker_oncePerInterval(t *testing.T) {
	for _, wait := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newCheckTest(t, wait)
			c.endpoint.setDelay(10 * time.Millisecond)
			issuedAt := time.Now().Add(-time.Hour)
			const sessions, uses = 100, 10_000
			for interval := range 3 {
				start := time.Now()
				var group sync.WaitGroup
				for i := range uses {
					group.Go(func() {
						time.Sleep(time.Duration(i) * time.Second / uses)
						err := c.useIssued(fmt.Sprint("s", i%sessions), issuedAt)
						if err != nil {
							t.Errorf("Check() = %v, want nil", err)
						}
					})
				}
				group.Wait()
				time.Sleep(DefaultCheckInterval + 2*time.Second - time.Since(start))
				c.checkCalls(fmt.Sprint("interval ", interval+1), (interval+1)*sessions)
			}
			if got := c.endpoint.maxInFlight; got > maxCheckCalls {
				t.Errorf("%d calls were in flight at once, want at most %d", got, maxCheckCalls)
			}
		})
	}
}

// Keycloak issues tokens only for active sessions, so a new token isn't checked.
func TestSessionChecker_newToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, true)
		issuedAt := time.Now()
		for _, tt := range []struct {
			wait time.Duration
			want int
		}{{0, 0}, {30*time.Second - 1, 0}, {1, 1}} {
			time.Sleep(tt.wait)
			if err := c.useIssued("s1", issuedAt); err != nil {
				t.Fatal(err)
			}
			c.checkCalls(fmt.Sprint(time.Since(issuedAt), " after the issue"), tt.want)
		}
		// The clocks differ, so the age of the token is unknown.
		c.useIssued("s2", time.Now().Add(5*time.Second))
		c.checkCalls("a token of the future", 2)
	})
}

// Each token of a session is checked, because each can be revoked by itself. Tokens without a sid
// have a session ID that no other token has.
func TestSessionChecker_tokensOfSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, true)
		issuedAt := time.Now().Add(-time.Hour)
		for range 3 {
			for i := range 4 {
				err := c.useIssued("s1", issuedAt.Add(time.Duration(i)*time.Minute))
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		c.checkCalls("four tokens", 4)
	})
}

// A token without iat is revoked as of now.
func TestSessionChecker_noIssueTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCheckTest(t, true)
		c.endpoint.setResponse(200, `{"active":false}`)
		c.Check(t.Context(), TokenSession{SessionID: "s1"}, checkedToken("s1", localAudience))
		if ends := c.takeEnds(); len(ends) != 1 || !ends[0].At.Equal(time.Now()) {
			t.Errorf("the ends are %+v, want one at %v", ends, time.Now())
		}
	})
}

// NewSessionChecker rejects a config without the required fields.
func TestNewSessionChecker_required(t *testing.T) {
	client := newClient(t, serveSuccess)
	end := func(SessionEnd) {}
	for name, config := range map[string]SessionCheckConfig{
		"no client": {End: end}, "zero client": {Client: &Client{}, End: end},
		"no end": {Client: client},
	} {
		if _, err := NewSessionChecker(config); err == nil {
			t.Errorf("%s: NewSessionChecker() returned no error", name)
		}
	}
}
