package keycloak

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// A countingRealm counts requests, and accepts all refresh tokens except those that end in
// "forged".
type countingRealm struct{ refreshes, logouts atomic.Int32 }

func (c *countingRealm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/logout") {
		c.logouts.Add(1)
	} else {
		c.refreshes.Add(1)
	}
	if strings.HasSuffix(r.PostFormValue("refresh_token"), "forged") {
		jsonHandler(400, `{"error":"invalid_grant","error_description":"Invalid refresh token"}`)(w,
			r)
		return
	}
	serveSuccess(w, r)
}

// Concurrent refreshes with one token cause one request. Otherwise two browser tabs that wake up at
// the same time would lose the session.
func TestRefresh_concurrent(t *testing.T) {
	realm := &countingRealm{}
	client := newClient(t, realm.ServeHTTP, func(c *ClientConfig) { c.RefreshGrace = time.Minute })
	var tabs sync.WaitGroup
	for range 8 {
		tabs.Go(func() {
			token, err := client.Refresh(t.Context(), sessionRefreshToken("s1", "1"))
			if err != nil || token.AccessToken.Reveal() != canary+"-a" {
				t.Errorf("Refresh() = %v, %v; want the access token %q", token, err, canary+"-a")
			}
		})
	}
	tabs.Wait()
	if n := realm.refreshes.Load(); n != 1 {
		t.Errorf("Keycloak got %d requests, want 1", n)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// An attacker who knows a session ID can forge a token with it. The forged token doesn't affect the
// session's cached response.
func TestRefresh_forgedToken(t *testing.T) {
	realm := &countingRealm{}
	client := newClient(t, realm.ServeHTTP, func(c *ClientConfig) { c.RefreshGrace = time.Minute })
	validToken := sessionRefreshToken("s1", "1")
	forgedToken := identity.NewSecret(validToken.Reveal() + "isforged")
	refresh := func(token identity.Secret, want error) {
		t.Helper()
		if _, err := client.Refresh(t.Context(), token); !errors.Is(err, want) {
			t.Errorf("Refresh() = %v, want %v", err, want)
		}
	}
	refresh(validToken, nil)
	refresh(forgedToken, identity.ErrRefreshInvalid)
	if err := client.Logout(t.Context(), forgedToken); !errors.Is(err, identity.ErrRefreshInvalid) {
		t.Errorf("Logout() = %v, want %v", err, identity.ErrRefreshInvalid)
	}
	refresh(validToken, nil)
	if n := realm.refreshes.Load(); n != 2 {
		t.Errorf("Keycloak got %d requests, want 2: one for each token", n)
	}
	// A logout with a valid token of the session removes the cached response.
	if err := client.Logout(t.Context(), sessionRefreshToken("s1", "2")); err != nil {
		t.Fatal(err)
	}
	refresh(validToken, nil)
	if n := realm.refreshes.Load(); n != 3 {
		t.Errorf("Keycloak got %d requests, want 3: the logout removes the response", n)
	}
}

// Without a grace period, a token that is presented again causes another exchange.
func TestRefresh_withoutGrace(t *testing.T) {
	realm := &countingRealm{}
	client := newClient(t, realm.ServeHTTP)
	for range 2 {
		if _, err := client.Refresh(t.Context(), sessionRefreshToken("s1", "1")); err != nil {
			t.Fatal(err)
		}
		if err := client.Close(t.Context()); err != nil { // wait for the exchange to end
			t.Fatal(err)
		}
	}
	if n := realm.refreshes.Load(); n != 2 {
		t.Errorf("Keycloak got %d requests, want 2", n)
	}
}

// An exchange continues if its caller cancels, so the session isn't lost when a browser tab closes
// during a refresh.
func TestRefresh_callerCancels(t *testing.T) {
	realm := &countingRealm{}
	requestArrived, release := make(chan bool, 2), make(chan bool)
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm() // a server notices a canceled request only after reading the body
		requestArrived <- true
		select {
		case <-release:
			realm.ServeHTTP(w, r)
		case <-r.Context().Done():
			t.Error("the request to Keycloak was canceled, want it to continue")
		}
	}, func(c *ClientConfig) { c.RefreshGrace = time.Minute })
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() {
		_, err := client.Refresh(ctx, refreshToken())
		result <- err
	}()
	<-requestArrived
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("the closed tab got %v, want %v", err, context.Canceled)
	}
	close(release)
	if _, err := client.Refresh(t.Context(), refreshToken()); err != nil {
		t.Errorf("the other tab got %v, want nil", err)
	}
	if n := realm.refreshes.Load(); n != 1 {
		t.Errorf("Keycloak got %d requests, want 1", n)
	}
}

// Keycloak accepts hundreds of encodings of one refresh token; a Client accepts only the canonical
// one. Otherwise each encoding would have its own exchange and its own rate limit, so a token could
// be used twice, and guesses would be unlimited.
func TestRefresh_oneEncoding(t *testing.T) {
	realm := &countingRealm{}
	client := newClient(t, realm.ServeHTTP, func(c *ClientConfig) { c.RefreshGrace = time.Minute })
	// A signature of one byte, so that the last character has four unused bits.
	parts := append(strings.Split(sessionRefreshToken("s1", "1").Reveal(), ".")[:2], "AQ")
	token := strings.Join(parts, ".")
	for name, encoding := range map[string]string{
		"stray bits":                  parts[0] + "." + parts[1] + ".AR",
		"padding":                     token + "=",
		"padding after the header":    parts[0] + "==." + parts[1] + "." + parts[2],
		"standard base64, with +":     parts[0] + "." + parts[1] + ".ab+d",
		"standard base64, with /":     parts[0] + "." + parts[1] + ".ab/d",
		"a line feed":                 token + "\n",
		"a line break in the header":  token[:9] + "\r\n" + token[9:],
		"a line break in the payload": strings.Replace(token, ".", ".\n", 1),
		"a tab":                       "\t" + token,
		"a zero byte":                 token + "\x00",
		"a space":                     token + " ",
		"a no-break space":            "\u00a0" + token,
		"a byte order mark":           "\ufeff" + token,
		"a dot at the end":            token + ".",
		"a dot in front":              "." + token,
		"no signature":                parts[0] + "." + parts[1] + ".",
		"no payload":                  parts[0] + ".." + parts[2],
		"no header":                   "." + parts[1] + "." + parts[2],
		"two parts":                   parts[0] + "." + parts[1],
		"five parts, as if encrypted": token + ".AAAA.AAAA",
		"only dots":                   strings.Repeat(".", 30_000),
		"not a token":                 "rubbish",
		"empty":                       "",
	} {
		if encoding == token {
			t.Fatalf("%s: the encoding is the token itself, want another encoding", name)
		}
		if _, err := client.Refresh(t.Context(), identity.NewSecret(encoding)); !errors.Is(err,
			identity.ErrRefreshInvalid) {
			t.Errorf("%s: Refresh() = %v, want %v", name, err, identity.ErrRefreshInvalid)
		}
		if err := client.Logout(t.Context(), identity.NewSecret(encoding)); !errors.Is(err,
			identity.ErrRefreshInvalid) {
			t.Errorf("%s: Logout() = %v, want %v", name, err, identity.ErrRefreshInvalid)
		}
	}
	if refreshes, logouts := realm.refreshes.Load(), realm.logouts.Load(); refreshes != 0 ||
		logouts != 0 {
		t.Errorf("Keycloak got %d refreshes and %d logouts, want none", refreshes,
			logouts)
	}
	if _, err := client.Refresh(t.Context(), identity.NewSecret(token)); err != nil {
		t.Errorf("Refresh() of the token itself = %v, want nil", err)
	}
}
