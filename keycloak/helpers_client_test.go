package keycloak

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// canary is part of every secret in these tests. It must not appear in errors or logs.
const canary = "canary"

// aliceCredentials returns credentials with characters that a form must encode.
func aliceCredentials() identity.Credentials {
	return identity.Credentials{
		Username: "älice+1@example.com",
		Password: identity.NewSecret(canary + ` & + % " \ = ; ü 🔑`),
		OTP:      identity.NewSecret(canary + "-123456"),
	}
}

// refreshToken returns a well-formed refresh token without a session ID.
func refreshToken() identity.Secret { return identity.NewSecret(canary + "AA.refreshA.tokenAAA") }

// sessionRefreshToken returns a refresh token of the session sid. As with Keycloak's own refresh
// tokens, a client can't verify its signature.
func sessionRefreshToken(sid, jti string) identity.Secret {
	return refreshTokenOf(object{"sid": sid, "jti": jti, "typ": "Refresh"})
}

// refreshTokenOf returns a refresh token with these claims.
func refreshTokenOf(claims object) identity.Secret {
	header, payload := `{"alg":"HS512","typ" : "JWT","kid" : "0b1d"}`, toJSON(claims)
	return identity.NewSecret(base64url([]byte(header)) + "." + base64url([]byte(payload)) + "." +
		base64url([]byte("signature")))
}

// tokenResponse is the body of a token response from Keycloak 26.7.4.
const tokenResponse = `{"access_token":"canary-a","expires_in":300,"refresh_expires_in":1800,"refresh_token":"canary-r","token_type":"Bearer",` +
	`"id_token":"canary-i","not-before-policy":0,"session_state":"q1c9HhvZ3rXxkUe7a0uWZJ2b","scope":"openid profile email"}`

// newClient returns a client of a realm whose endpoints are served by handler.
func newClient(t testing.TB, handler http.HandlerFunc, changes ...func(*ClientConfig)) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	config := ClientConfig{ClientID: "local-api",
		ClientSecret: identity.NewSecret(canary + "-secret"), RefreshGrace: -1}
	config.Realm = must(NewRealm(server.URL, "local"))
	for _, change := range changes {
		change(&config)
	}
	return must(NewClient(config))
}

// withTimeout returns a change to a ClientConfig that sets Timeout.
func withTimeout(d time.Duration) func(*ClientConfig) {
	return func(c *ClientConfig) { c.Timeout = d }
}

// jsonHandler returns a handler that always sends this response.
func jsonHandler(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// serveSuccess responds to a logout with 204, and to other requests with tokenResponse.
func serveSuccess(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/logout") {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	jsonHandler(200, tokenResponse)(w, r)
}

// clientCalls holds the three calls that a Client makes to Keycloak.
var clientCalls = map[string]func(context.Context, *Client) error{
	"login": func(ctx context.Context, c *Client) error {
		_, err := c.Login(ctx, aliceCredentials())
		return err
	},
	"refresh": func(ctx context.Context, c *Client) error {
		_, err := c.Refresh(ctx, refreshToken())
		return err
	},
	"logout": func(ctx context.Context, c *Client) error { return c.Logout(ctx, refreshToken()) },
}

// distinctCalls holds the same calls as clientCalls, but with a different account or session for
// each n.
var distinctCalls = map[string]func(ctx context.Context, c *Client, n int) error{
	"login": func(ctx context.Context, c *Client, n int) error {
		return signIn(ctx, c, fmt.Sprint("user ", n))
	},
	"refresh": func(ctx context.Context, c *Client, n int) error {
		_, err := c.Refresh(ctx, sessionRefreshToken(fmt.Sprint("session ", n), fmt.Sprint(n)))
		return err
	},
	"logout": func(ctx context.Context, c *Client, n int) error {
		return c.Logout(ctx, sessionRefreshToken(fmt.Sprint("session ", n), fmt.Sprint(n)))
	},
}

// signIn signs in with this username.
func signIn(ctx context.Context, c *Client, name string) error {
	_, err := c.Login(ctx,
		identity.Credentials{Username: name, Password: identity.NewSecret(canary)})
	return err
}

// A slowRealm responds to every request with the same tokens after a delay, and counts the requests
// that are in flight. It must run in a synctest bubble.
type slowRealm struct {
	delay time.Duration
	body  string // of the responses; tokenResponse if it is empty

	isRefusing bool // the realm refuses all credentials

	mu                    sync.Mutex     // guards the fields below
	inFlightByAccount     map[string]int // requests in flight, by lowercase username
	totalInFlight         int            // requests in flight, of all accounts
	usernames             []string       // of all requests so far, in order
	maxInFlightPerAccount int            // highest number in flight at once for one account
	maxTotalInFlight      int            // highest number in flight at once for all accounts
}

func (r *slowRealm) respond(request *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(request.Body)
	form, _ := url.ParseQuery(string(body))
	account := strings.ToLower(form.Get("username"))
	r.mu.Lock()
	r.inFlightByAccount[account]++
	r.totalInFlight++
	r.usernames = append(r.usernames, form.Get("username"))
	r.maxInFlightPerAccount = max(r.maxInFlightPerAccount, r.inFlightByAccount[account])
	r.maxTotalInFlight = max(r.maxTotalInFlight, r.totalInFlight)
	r.mu.Unlock()
	var err error
	select {
	case <-time.After(r.delay):
	case <-request.Context().Done():
		err = request.Context().Err()
	}
	r.mu.Lock()
	r.inFlightByAccount[account]--
	r.totalInFlight--
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if r.isRefusing {
		return newResponse(400,
			`{"error":"invalid_grant","error_description":"Invalid user credentials"}`)
	}
	return newResponse(200, cmp.Or(r.body, tokenResponse))
}

// newSlowRealm returns a slowRealm and a client for it.
func newSlowRealm(delay time.Duration, changes ...func(*ClientConfig)) (*slowRealm, *Client) {
	realm := &slowRealm{delay: delay, inFlightByAccount: map[string]int{}}
	config := ClientConfig{
		Realm: must(NewRealm("http://localhost", "local")), ClientID: "local-api",
		ClientSecret: identity.NewSecret(canary),
		Transport:    roundTripFunc(realm.respond),
	}
	for _, change := range changes {
		change(&config)
	}
	return realm, must(NewClient(config))
}

// addressA and addressB are in different networks.
const addressA, addressB = "192.0.2.7", "198.51.100.7"

// contextWithAddress returns the context of a caller with this address.
func contextWithAddress(t *testing.T, address string) context.Context {
	return identity.WithAddress(t.Context(), netip.MustParseAddr(address))
}

// isRateLimitError reports whether err is a RateLimitError with a RetryAfter.
func isRateLimitError(err error) bool {
	rateLimitErr, ok := errors.AsType[*identity.RateLimitError](err)
	return ok && rateLimitErr.RetryAfter > 0
}

// checkNoLeak prints the values, and the errors that they wrap, with each verb that a log might
// use. It checks that no secret appears.
func checkNoLeak(t *testing.T, values ...any) {
	t.Helper()
	for _, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, canary) ||
				strings.Contains(text, fmt.Sprintf("%x", canary)) {
				t.Errorf("%s prints %s, want no secret in it", verb, text)
			}
		}
		if err, ok := value.(error); ok {
			checkNoLeak(t, identity.Detail(err))
		}
		switch err := value.(type) {
		case interface{ Unwrap() error }:
			checkNoLeak(t, err.Unwrap())
		case interface{ Unwrap() []error }:
			for _, inner := range err.Unwrap() {
				checkNoLeak(t, inner)
			}
		}
	}
}

// refusalReasons lists the reasons of the errors that a Client makes of Keycloak's responses.
var refusalReasons = []error{
	identity.ErrBadCredentials, identity.ErrAccountDisabled, identity.ErrAccountNotReady,
	identity.ErrLoginNotAllowed, identity.ErrRefreshExpired, identity.ErrSessionEnded,
	identity.ErrRefreshReused, identity.ErrRefreshInvalid, identity.ErrProviderUnavailable,
	identity.ErrProviderMisconfigured,
}

// checkOneReason checks that err matches exactly one of refusalReasons. Code that maps errors to
// reasons relies on that.
func checkOneReason(t *testing.T, err error) {
	t.Helper()
	var matches []error
	for _, reason := range refusalReasons {
		if errors.Is(err, reason) {
			matches = append(matches, reason)
		}
	}
	if len(matches) != 1 {
		t.Errorf("%v matches the reasons %v, want exactly one", err, matches)
	}
}
