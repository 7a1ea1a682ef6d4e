package keycloak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// Every secret that a test hands over holds this word, and nothing that is printed may.
const canary = "canary"

// aliceSignsIn has a password that breaks whoever forgets to encode it.
func aliceSignsIn() identity.Credentials {
	return identity.Credentials{
		Username: "älice+1@example.com",
		Password: identity.NewSecret(canary + ` & + % " \ = ; ü 🔑`),
		OTP:      identity.NewSecret(canary + "-123456"),
	}
}

func refreshToken() identity.Secret { return identity.NewSecret(canary + "AA.refreshA.tokenAAA") }

// newClient returns a client of a realm that handler answers for.
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

func timeout(d time.Duration) func(*ClientConfig) { return func(c *ClientConfig) { c.Timeout = d } }

// calls are the three things that a client asks Keycloak for.
var calls = map[string]func(context.Context, *Client) error{
	"login": func(ctx context.Context, c *Client) error {
		_, err := c.Login(ctx, aliceSignsIn())
		return err
	},
	"refresh": func(ctx context.Context, c *Client) error {
		_, err := c.Refresh(ctx, refreshToken())
		return err
	},
	"logout": func(ctx context.Context, c *Client) error { return c.Logout(ctx, refreshToken()) },
}

// checkNoLeak prints values, and all that errors among them wrap, in every way that a log might.
func checkNoLeak(t *testing.T, values ...any) {
	t.Helper()
	for _, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, canary) ||
				strings.Contains(text, fmt.Sprintf("%x", canary)) {
				t.Errorf("%s shows a secret: %s", verb, text)
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

// tokens is a token answer as Keycloak 26.7.4 gives it.
const tokens = `{"access_token":"canary-a","expires_in":300,"refresh_expires_in":1800,"refresh_token":"canary-r","token_type":"Bearer",` +
	`"id_token":"canary-i","not-before-policy":0,"session_state":"q1c9HhvZ3rXxkUe7a0uWZJ2b","scope":"openid profile email"}`

// answers returns a handler that always answers so.
func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// signedOut is the answer to a logout, and tokens to all else.
func signedOut(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/logout") {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answers(200, tokens)(w, r)
}

func TestWhatKeycloakIsAsked(t *testing.T) {
	login := url.Values{
		"client_id": {"local-api"}, "client_secret": {canary + "-secret"},
		"grant_type": {"password"}, "username": {"älice+1@example.com"},
		"password": {canary + ` & + % " \ = ; ü 🔑`}, "otp": {canary + "-123456"}, "scope": {"openid profile email"},
	}
	refresh := url.Values{
		"client_id": {"local-api"}, "client_secret": {canary + "-secret"},
		"grant_type": {"refresh_token"}, "refresh_token": {canary + "AA.refreshA.tokenAAA"},
	}
	logout := url.Values{
		"client_id": {"local-api"}, "client_secret": {canary + "-secret"}, "refresh_token": {canary + "AA.refreshA.tokenAAA"},
	}
	const oidc = "/auth/realms/My%20Shop/protocol/openid-connect"
	for _, tt := range []struct {
		call, path string
		form       url.Values
	}{
		{"login", oidc + "/token", login},
		{"refresh", oidc + "/token", refresh}, // no scope: it would only narrow
		{"logout", oidc + "/logout", logout},
	} {
		t.Run(tt.call, func(t *testing.T) {
			asked := make(chan *http.Request, 1)
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				if err := r.ParseForm(); err != nil {
					t.Error(err)
				}
				asked <- r
				signedOut(w, r)
			}, func(c *ClientConfig) {
				prefixed := strings.TrimSuffix(c.Realm.Issuer(), "/realms/local") + "/auth/"
				c.Realm = must(NewRealm(prefixed, "My Shop"))
			})
			if err := calls[tt.call](t.Context(), client); err != nil {
				t.Fatal(err)
			}
			r := <-asked
			if r.Method != "POST" || r.RequestURI != tt.path {
				t.Errorf("asked %s %s, want POST %s", r.Method, r.RequestURI, tt.path)
			}
			if !reflect.DeepEqual(r.PostForm, tt.form) {
				t.Errorf("sent  %q\nwant %q", r.PostForm, tt.form)
			}
			for name, want := range map[string]string{
				"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded",
				"Origin": "", "Authorization": "", "Cookie": "", "Referer": "",
			} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestLoginAsksForWhatItIsTold(t *testing.T) {
	var form url.Values
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		form = r.PostForm
		signedOut(w, r)
	}, func(c *ClientConfig) { c.LoginScope = "openid offline_access" })
	credentials := aliceSignsIn()
	credentials.OTP = identity.Secret{}
	if _, err := client.Login(t.Context(), credentials); err != nil {
		t.Fatal(err)
	}
	if form.Has("otp") {
		t.Error("an otp was sent that nobody gave")
	}
	if got := form.Get("scope"); got != "openid offline_access" {
		t.Errorf("asked for the scope %q", got)
	}
}

func TestTokenAnswers(t *testing.T) {
	answer := func(change object) string { return with(t, tokens, change) }
	type want struct {
		kind               string
		expires            int
		refreshExpires     *int
		refresh, id, scope string
	}
	full := want{"Bearer", 300, new(1800), canary + "-r", canary + "-i", "openid profile email"}
	for _, tt := range []struct {
		name, body string
		change     func(*want)
	}{
		{"as Keycloak gives it", tokens, func(*want) {}},
		{"members that nobody knows", answer(object{"upgraded": false, "x": []int{1}}), func(*want) {}},
		{"an offline token, which has no end", answer(object{"refresh_expires_in": 0}), func(w *want) { w.refreshExpires = nil }},
		{"no refresh token", answer(object{"refresh_token": absent, "refresh_expires_in": 0}), func(w *want) { w.refresh, w.refreshExpires = "", nil }},
		{"no refresh_expires_in", answer(object{"refresh_expires_in": absent}), func(w *want) { w.refreshExpires = nil }},
		{"no id_token, without the scope openid", answer(object{"id_token": absent, "scope": "profile email"}), func(w *want) { w.id, w.scope = "", "profile email" }},
		{"bearer, as a client may be set to", answer(object{"token_type": "bearer"}), func(w *want) { w.kind = "bearer" }},
		{"no scope", answer(object{"scope": absent}), func(w *want) { w.scope = "" }},
		{"blanks in the scope", answer(object{"scope": "  openid   email "}), func(w *want) { w.scope = "openid email" }},
		{"lives past 32 bits", answer(object{"expires_in": 1e300, "refresh_expires_in": 4294967296}), func(w *want) { w.expires, w.refreshExpires = math.MaxInt32, new(math.MaxInt32) }},
		{"negative lives", answer(object{"expires_in": -5, "refresh_expires_in": -1}), func(w *want) { w.expires, w.refreshExpires = 0, nil }},
		{"lives with fractions", answer(object{"expires_in": 299.9, "refresh_expires_in": 0.5}), func(w *want) { w.expires, w.refreshExpires = 299, nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := full
			tt.change(&want)
			token, err := newClient(t, answers(200, tt.body)).Login(t.Context(), aliceSignsIn())
			if err != nil {
				t.Fatal(err)
			}
			if got := token.AccessToken.Reveal(); got != canary+"-a" {
				t.Errorf("AccessToken = %q", got)
			}
			if token.TokenType != want.kind || token.ExpiresIn != want.expires ||
				!reflect.DeepEqual(token.RefreshExpiresIn, want.refreshExpires) {
				t.Errorf("got %+v, want %+v", token, want)
			}
			for name, pair := range map[string]struct {
				got  *identity.Secret
				want string
			}{"RefreshToken": {token.RefreshToken, want.refresh}, "IDToken": {token.IDToken, want.id}} {
				if (pair.got == nil) != (pair.want == "") ||
					pair.got != nil && pair.got.Reveal() != pair.want {
					t.Errorf("%s is not %q", name, pair.want)
				}
			}
			if token.Scope == nil || strings.Join(token.Scope, " ") != want.scope {
				t.Errorf("Scope = %#v, want %q", token.Scope, want.scope)
			}
			checkNoLeak(t, token, *token)
		})
	}
}

func TestNothingOfAClientCanBePrinted(t *testing.T) {
	client := newClient(t, signedOut, func(c *ClientConfig) { c.RefreshGrace = time.Hour })
	// so that there is something to be found in it
	for _, name := range []string{"login", "logout", "refresh"} {
		if err := calls[name](t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkNoLeak(t, client, *client, client.config, &client.config, client.exchanges, aliceSignsIn(),
		refreshToken())
}

// A caller who leaves is no fault of Keycloak's, and must not be reported as one.
func TestCallerWhoLeaves(t *testing.T) {
	for _, name := range []string{"login", "refresh"} {
		t.Run(name, func(t *testing.T) {
			arrived, release := make(chan bool), make(chan bool)
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				arrived <- true
				<-release
			})
			ctx, cancel := context.WithCancel(t.Context())
			failed := make(chan error)
			go func() { failed <- calls[name](ctx, client) }()
			<-arrived
			cancel()
			err := <-failed
			close(release)
			if !errors.Is(err, context.Canceled) ||
				errors.Is(err, identity.ErrProviderUnavailable) {
				t.Errorf("got %v, want %v alone", err, context.Canceled)
			}
			checkNoLeak(t, err)
		})
	}
}

func TestLogoutGoesOnWithoutItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		signedOut(w, r)
	})
	if err := client.Logout(ctx, refreshToken()); err != nil {
		t.Errorf("Logout() = %v, want nil: the session must end", err)
	}
}

// What outlives its caller isn't begun for one who has gone: a request of a hundred fields would go
// on for minutes after its deadline.
func TestNothingBeginsAfterItsCaller(t *testing.T) {
	var asked atomic.Int32
	client := newClient(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls {
		if err := call(ctx, client); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want %v", name, err, context.Canceled)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("Keycloak was asked %d times", n)
	}
}

// A realm that says that the session had ended has done what was asked for.
func TestLogoutOfAnEndedSession(t *testing.T) {
	err := newClient(t,
		answers(400,
			`{"error":"invalid_grant","error_description":"Session not active"}`)).Logout(
		t.Context(), refreshToken())
	if err != nil {
		t.Errorf("Logout() = %v, want nil", err)
	}
}

func TestClientsThatCanNotWork(t *testing.T) {
	good := ClientConfig{Realm: must(NewRealm("http://localhost", "local")), ClientID: "local-api",
		ClientSecret: identity.NewSecret(canary)}
	if _, err := NewClient(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*ClientConfig){
		"realm":  func(c *ClientConfig) { c.Realm = Realm{} },
		"id":     func(c *ClientConfig) { c.ClientID = "" },
		"secret": func(c *ClientConfig) { c.ClientSecret = identity.Secret{} },
	} {
		bad := good
		change(&bad)
		if _, err := NewClient(bad); err == nil {
			t.Errorf("a client without a %s is accepted", name)
		}
	}
}

// The 65th call is told at once; the others are not hurt by it.
func TestTooManyCalls(t *testing.T) {
	for name := range calls {
		t.Run(name, func(t *testing.T) {
			arrived, release := make(chan bool, DefaultMaxCalls), make(chan bool)
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				arrived <- true
				<-release
				signedOut(w, r)
			}, timeout(time.Minute))
			var held sync.WaitGroup
			for i := range DefaultMaxCalls {
				held.Go(func() {
					call := calls[name]
					switch name {
					case "refresh": // one token would share one exchange
						call = func(ctx context.Context, c *Client) error {
							_, err := c.Refresh(ctx, ofSession("s", fmt.Sprint(i)))
							return err
						}
					case "login": // those of one account wait for each other
						call = func(ctx context.Context, c *Client) error {
							credentials := aliceSignsIn()
							credentials.Username = fmt.Sprint("user ", i)
							_, err := c.Login(ctx, credentials)
							return err
						}
					}
					if err := call(t.Context(), client); err != nil {
						t.Errorf("a call within the bound failed: %v", err)
					}
				})
			}
			for range DefaultMaxCalls {
				<-arrived
			}
			err := calls[name](t.Context(), client)
			if !errors.Is(err, identity.ErrBusy) {
				t.Errorf("one call more = %v, want %v", err, identity.ErrBusy)
			}
			checkNoLeak(t, err)
			close(release)
			held.Wait()
			if err := calls[name](t.Context(), client); err != nil {
				t.Errorf("after the burst: %v", err)
			}
		})
	}
}
