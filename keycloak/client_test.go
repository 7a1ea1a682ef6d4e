package keycloak

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// Each call sends the method, path, headers and form that Keycloak expects, and no other form
// fields.
func TestClient_sendsExpectedRequests(t *testing.T) {
	loginForm := url.Values{
		"client_id": {"local-api"}, "client_secret": {canary + "-secret"},
		"grant_type": {"password"}, "username": {"älice+1@example.com"},
		"password": {canary + ` & + % " \ = ; ü 🔑`}, "otp": {canary + "-123456"},
		"scope": {"openid profile email"},
	}
	refreshForm := url.Values{
		"client_id": {"local-api"}, "client_secret": {canary + "-secret"},
		"grant_type": {"refresh_token"}, "refresh_token": {canary + "AA.refreshA.tokenAAA"},
	}
	logoutForm := url.Values{
		"client_id": {"local-api"}, "client_secret": {canary + "-secret"},
		"refresh_token": {canary + "AA.refreshA.tokenAAA"},
	}
	const oidcPath = "/auth/realms/My%20Shop/protocol/openid-connect"
	for _, tt := range []struct {
		call, path string
		form       url.Values
	}{
		{"login", oidcPath + "/token", loginForm},
		{"refresh", oidcPath + "/token", refreshForm}, // without a scope, the granted scope stays
		{"logout", oidcPath + "/logout", logoutForm},
	} {
		t.Run(tt.call, func(t *testing.T) {
			requests := make(chan *http.Request, 1)
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				if err := r.ParseForm(); err != nil {
					t.Error(err)
				}
				requests <- r
				serveSuccess(w, r)
			}, func(c *ClientConfig) {
				serverURL := strings.TrimSuffix(c.Realm.Issuer(), "/realms/local") + "/auth/"
				c.Realm = must(NewRealm(serverURL, "My Shop"))
			})
			if err := clientCalls[tt.call](t.Context(), client); err != nil {
				t.Fatal(err)
			}
			r := <-requests
			if r.Method != "POST" || r.RequestURI != tt.path {
				t.Errorf("got %s %s, want POST %s", r.Method, r.RequestURI, tt.path)
			}
			if !reflect.DeepEqual(r.PostForm, tt.form) {
				t.Errorf("sent the form\n%q, want\n%q", r.PostForm, tt.form)
			}
			for name, want := range map[string]string{
				"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded",
				"Origin": "", "Authorization": "", "Cookie": "", "Referer": "",
			} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("the header %s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// Login sends ClientConfig.LoginScope. It sends the field otp only if the credentials have an OTP.
func TestLogin_scopeAndOTP(t *testing.T) {
	var form url.Values
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		form = r.PostForm
		serveSuccess(w, r)
	}, func(c *ClientConfig) { c.LoginScope = "openid offline_access" })
	credentials := aliceCredentials()
	credentials.OTP = identity.Secret{}
	if _, err := client.Login(t.Context(), credentials); err != nil {
		t.Fatal(err)
	}
	if form.Has("otp") {
		t.Error("sent the field otp for credentials without an OTP, want no such field")
	}
	if got := form.Get("scope"); got != "openid offline_access" {
		t.Errorf("sent the scope %q, want %q", got, "openid offline_access")
	}
}

// Login reads the fields of a token response. Most fields are optional.
func TestLogin_tokenResponses(t *testing.T) {
	changedResponse := func(changes object) string { return patch(t, tokenResponse, changes) }
	type fields struct {
		tokenType                    string
		expiresIn                    int
		refreshExpiresIn             *int
		refreshToken, idToken, scope string
	}
	usualFields := fields{"Bearer", 300, new(1800), canary + "-r", canary + "-i",
		"openid profile email"}
	for _, tt := range []struct {
		name, body string
		change     func(*fields)
	}{
		{"from Keycloak", tokenResponse, func(*fields) {}},
		{"with unknown fields", changedResponse(object{"upgraded": false, "x": []int{1}}),
			func(*fields) {}},
		{"an offline token, which doesn't expire", changedResponse(object{"refresh_expires_in": 0}),
			func(f *fields) { f.refreshExpiresIn = nil }},
		{"no refresh token",
			changedResponse(object{"refresh_token": absent,
				"refresh_expires_in": 0}),
			func(f *fields) { f.refreshToken, f.refreshExpiresIn = "", nil }},
		{"no refresh_expires_in", changedResponse(object{"refresh_expires_in": absent}),
			func(f *fields) { f.refreshExpiresIn = nil }},
		{"no id_token, because the scope lacks openid",
			changedResponse(object{"id_token": absent,
				"scope": "profile email"}),
			func(f *fields) { f.idToken, f.scope = "", "profile email" }},
		{"token_type bearer in lowercase, a client setting",
			changedResponse(object{"token_type": "bearer"}),
			func(f *fields) { f.tokenType = "bearer" }},
		{"no scope", changedResponse(object{"scope": absent}), func(f *fields) { f.scope = "" }},
		{"extra spaces in the scope", changedResponse(object{"scope": "  openid   email "}),
			func(f *fields) { f.scope = "openid email" }},
		{"lifetimes beyond 32 bits",
			changedResponse(object{"expires_in": 1e300,
				"refresh_expires_in": 4294967296}),
			func(f *fields) {
				f.expiresIn, f.refreshExpiresIn = math.MaxInt32,
					new(math.MaxInt32)
			}},
		{"negative lifetimes", changedResponse(object{"expires_in": -5, "refresh_expires_in": -1}),
			func(f *fields) { f.expiresIn, f.refreshExpiresIn = 0, nil }},
		{"lifetimes with fractions",
			changedResponse(object{"expires_in": 299.9,
				"refresh_expires_in": 0.5}),
			func(f *fields) { f.expiresIn, f.refreshExpiresIn = 299, nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := usualFields
			tt.change(&want)
			token, err := newClient(t, jsonHandler(200, tt.body)).Login(t.Context(),
				aliceCredentials())
			if err != nil {
				t.Fatal(err)
			}
			if got := token.AccessToken.Reveal(); got != canary+"-a" {
				t.Errorf("AccessToken = %q, want %q", got, canary+"-a")
			}
			if token.TokenType != want.tokenType || token.ExpiresIn != want.expiresIn ||
				!reflect.DeepEqual(token.RefreshExpiresIn, want.refreshExpiresIn) {
				t.Errorf("got %+v, want %+v", token, want)
			}
			for name, pair := range map[string]struct {
				got  *identity.Secret
				want string
			}{"RefreshToken": {token.RefreshToken, want.refreshToken},
				"IDToken": {token.IDToken, want.idToken}} {
				if (pair.got == nil) != (pair.want == "") ||
					pair.got != nil && pair.got.Reveal() != pair.want {
					t.Errorf("%s is wrong, want %q (empty means nil)", name, pair.want)
				}
			}
			if token.Scope == nil || strings.Join(token.Scope, " ") != want.scope {
				t.Errorf("Scope = %#v, want %q", token.Scope, want.scope)
			}
			checkNoLeak(t, token, *token)
		})
	}
}

// Printing a client never shows a secret, even when its caches are full.
func TestClient_printsNoSecrets(t *testing.T) {
	client := newClient(t, serveSuccess, func(c *ClientConfig) { c.RefreshGrace = time.Hour })
	// Fill the caches.
	for _, name := range []string{"login", "logout", "refresh"} {
		if err := clientCalls[name](t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkNoLeak(t, client, *client, client.config, &client.config, client.refresher,
		aliceCredentials(), refreshToken())
}

// If the caller cancels, the error is context.Canceled, not ErrProviderUnavailable.
func TestClient_callerCancels(t *testing.T) {
	for _, name := range []string{"login", "refresh"} {
		t.Run(name, func(t *testing.T) {
			requestArrived, release := make(chan bool), make(chan bool)
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				requestArrived <- true
				<-release
			})
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error)
			go func() { result <- clientCalls[name](ctx, client) }()
			<-requestArrived
			cancel()
			err := <-result
			close(release)
			if !errors.Is(err, context.Canceled) ||
				errors.Is(err, identity.ErrProviderUnavailable) {
				t.Errorf("got %v, want only %v", err, context.Canceled)
			}
			checkNoLeak(t, err)
		})
	}
}

// A logout continues if its caller cancels, so that the session ends.
func TestLogout_callerCancels(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		serveSuccess(w, r)
	})
	if err := client.Logout(ctx, refreshToken()); err != nil {
		t.Errorf("Logout() = %v, want nil", err)
	}
}

// A call whose context is already done sends no request. A call that has started continues after
// its caller's deadline. So without this check, a GraphQL request with a hundred fields could go on
// calling Keycloak for minutes after its deadline.
func TestClient_contextAlreadyDone(t *testing.T) {
	var requests atomic.Int32
	client := newClient(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range clientCalls {
		if err := call(ctx, client); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want %v", name, err, context.Canceled)
		}
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("Keycloak got %d requests, want none", n)
	}
}

// Logout succeeds if Keycloak reports that the session had already ended.
func TestLogout_sessionAlreadyEnded(t *testing.T) {
	err := newClient(t,
		jsonHandler(400,
			`{"error":"invalid_grant","error_description":"Session not active"}`)).Logout(
		t.Context(), refreshToken())
	if err != nil {
		t.Errorf("Logout() = %v, want nil", err)
	}
}

// NewClient requires a realm, a client ID and a secret.
func TestNewClient_missingFields(t *testing.T) {
	validConfig := ClientConfig{Realm: must(NewRealm("http://localhost", "local")),
		ClientID:     "local-api",
		ClientSecret: identity.NewSecret(canary)}
	if _, err := NewClient(validConfig); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*ClientConfig){
		"realm":     func(c *ClientConfig) { c.Realm = Realm{} },
		"client ID": func(c *ClientConfig) { c.ClientID = "" },
		"secret":    func(c *ClientConfig) { c.ClientSecret = identity.Secret{} },
	} {
		config := validConfig
		change(&config)
		if _, err := NewClient(config); err == nil {
			t.Errorf("NewClient() without a %s succeeded, want an error", name)
		}
	}
}

// With DefaultMaxCalls calls in flight, one more call fails at once. The others succeed.
func TestClient_tooManyCalls(t *testing.T) {
	for name := range clientCalls {
		t.Run(name, func(t *testing.T) {
			requestArrived, release := make(chan bool, DefaultMaxCalls), make(chan bool)
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				requestArrived <- true
				<-release
				serveSuccess(w, r)
			}, withTimeout(time.Minute))
			var callers sync.WaitGroup
			for i := range DefaultMaxCalls {
				callers.Go(func() {
					call := clientCalls[name]
					switch name {
					case "refresh": // calls with the same token would share an exchange
						call = func(ctx context.Context, c *Client) error {
							_, err := c.Refresh(ctx, sessionRefreshToken("s", fmt.Sprint(i)))
							return err
						}
					case "login": // sign-ins of the same account would queue
						call = func(ctx context.Context, c *Client) error {
							credentials := aliceCredentials()
							credentials.Username = fmt.Sprint("user ", i)
							_, err := c.Login(ctx, credentials)
							return err
						}
					}
					if err := call(t.Context(), client); err != nil {
						t.Errorf("a call within the limit: got %v, want nil", err)
					}
				})
			}
			for range DefaultMaxCalls {
				<-requestArrived
			}
			err := clientCalls[name](t.Context(), client)
			if !errors.Is(err, identity.ErrBusy) {
				t.Errorf("one call too many: got %v, want %v", err, identity.ErrBusy)
			}
			checkNoLeak(t, err)
			close(release)
			callers.Wait()
			if err := clientCalls[name](t.Context(), client); err != nil {
				t.Errorf("after the burst: got %v, want nil", err)
			}
		})
	}
}

// SessionEnded is called when Keycloak has ended the session of a refresh token, and only then: a
// forged token can name any session, and other refusals, or the end of an offline session, don't
// mean that the online session ended.
func TestLogout_sessionEnded(t *testing.T) {
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		token   identity.Secret
		want    int
	}{
		"accepted": {jsonHandler(204, ""), sessionRefreshToken("s1", "1"), 1},
		"the session had ended": {jsonHandler(400,
			`{"error":"invalid_grant","error_description":"Session not active"}`),
			sessionRefreshToken("s1", "1"), 0},
		"an offline token": {jsonHandler(204, ""), refreshTokenOf(object{"sid": "s1",
			"typ": "Offline"}), 0},
		"not a JWT": {jsonHandler(204, ""), identity.NewSecret("x"), 0},
		"refused": {jsonHandler(400,
			`{"error":"invalid_grant","error_description":"Invalid refresh token"}`),
			sessionRefreshToken("s1", "1"), 0},
		"Keycloak fails":        {jsonHandler(500, ""), sessionRefreshToken("s1", "1"), 0},
		"a redirect":            {jsonHandler(302, ""), sessionRefreshToken("s1", "1"), 0},
		"a page":                {jsonHandler(200, "<html>"), sessionRefreshToken("s1", "1"), 0},
		"a token without a sid": {jsonHandler(204, ""), sessionRefreshToken("", "1"), 0},
	} {
		var ends []SessionEnd
		client := newClient(t, tt.handler, func(c *ClientConfig) {
			c.SessionEnded = func(end SessionEnd) { ends = append(ends, end) }
		})
		client.Logout(t.Context(), tt.token)
		if len(ends) != tt.want {
			t.Errorf("%s: SessionEnded got %+v, want %d calls", name, ends, tt.want)
		}
		for _, end := range ends {
			if end.SessionID != "s1" || time.Since(end.At) > time.Minute {
				t.Errorf("%s: SessionEnded got %+v, want the session s1 and now", name, end)
			}
		}
	}
}

// If Keycloak's clock is ahead, a session doesn't end before its refresh token was issued.
func TestLogout_sessionEndedLater(t *testing.T) {
	issuedAt := time.Now().Add(time.Hour).Truncate(time.Second)
	var at time.Time
	client := newClient(t, jsonHandler(204, ""), func(c *ClientConfig) {
		c.SessionEnded = func(end SessionEnd) { at = end.At }
	})
	client.Logout(t.Context(), refreshTokenOf(object{"sid": "s1", "typ": "Refresh",
		"iat": issuedAt.Unix()}))
	if !at.Equal(issuedAt) {
		t.Errorf("the session ended at %v, want %v", at, issuedAt)
	}
}
