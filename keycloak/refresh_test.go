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

// A countingRealm takes every refresh token but forged ones.
type countingRealm struct{ refreshes, logouts atomic.Int32 }

func (c *countingRealm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/logout") {
		c.logouts.Add(1)
	} else {
		c.refreshes.Add(1)
	}
	if strings.HasSuffix(r.PostFormValue("refresh_token"), "forged") {
		jsonHandler(400, `{"error":"invalid_grant","error_description":"Invalid refresh token"}`)(w, r)
		return
	}
	succeed(w, r)
}

// Two browser tabs that wake up together are enough to lose a session.
func TestRefreshAsksKeycloakOnce(t *testing.T) {
	realm := &countingRealm{}
	client := newClient(t, realm.ServeHTTP, func(c *ClientConfig) { c.RefreshGrace = time.Minute })
	var tabs sync.WaitGroup
	for range 8 {
		tabs.Go(func() {
			token, err := client.Refresh(t.Context(), ofSession("s1", "1"))
			if err != nil || token.AccessToken.Reveal() != canary+"-a" {
				t.Errorf("Refresh() = %v, %v", token, err)
			}
		})
	}
	tabs.Wait()
	if n := realm.refreshes.Load(); n != 1 {
		t.Errorf("Keycloak was asked %d times, want once", n)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Whoever learnt a session id can write it into a token of their own. It must not reach the
// session.
func TestAForgedTokenHurtsNobody(t *testing.T) {
	realm := &countingRealm{}
	client := newClient(t, realm.ServeHTTP, func(c *ClientConfig) { c.RefreshGrace = time.Minute })
	victim := ofSession("s1", "1")
	forged := identity.NewSecret(victim.Reveal() + "isforged")
	refresh := func(token identity.Secret, want error) {
		t.Helper()
		if _, err := client.Refresh(t.Context(), token); !errors.Is(err, want) {
			t.Errorf("Refresh() = %v, want %v", err, want)
		}
	}
	refresh(victim, nil)
	refresh(forged, identity.ErrRefreshInvalid)
	if err := client.Logout(t.Context(), forged); !errors.Is(err, identity.ErrRefreshInvalid) {
		t.Errorf("Logout() = %v, want %v", err, identity.ErrRefreshInvalid)
	}
	refresh(victim, nil)
	if n := realm.refreshes.Load(); n != 2 {
		t.Errorf(
			"Keycloak was asked %d times, want once for each token: the victim's answer was "+
				"forgotten", n)
	}
	// By contrast, the session's own token.
	if err := client.Logout(t.Context(), ofSession("s1", "2")); err != nil {
		t.Fatal(err)
	}
	refresh(victim, nil)
	if n := realm.refreshes.Load(); n != 3 {
		t.Errorf("Keycloak was asked %d times, want 3: the answer outlived its session", n)
	}
}

// The grace is a setting; that a token is spent once at a time is not.
func TestRefreshWithoutGrace(t *testing.T) {
	realm := &countingRealm{}
	client := newClient(t, realm.ServeHTTP)
	for range 2 {
		if _, err := client.Refresh(t.Context(), ofSession("s1", "1")); err != nil {
			t.Fatal(err)
		}
		if err := client.Close(t.Context()); err != nil { // until nothing of the exchange is left
			t.Fatal(err)
		}
	}
	if n := realm.refreshes.Load(); n != 2 {
		t.Errorf("Keycloak was asked %d times, want twice", n)
	}
}

// A tab that closes while Keycloak works must not take the session along.
func TestRefreshOutlivesATabThatCloses(t *testing.T) {
	realm := &countingRealm{}
	arrived, release := make(chan bool, 2), make(chan bool)
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm() // only then does a server notice that its client has gone
		arrived <- true
		select {
		case <-release:
			realm.ServeHTTP(w, r)
		case <-r.Context().Done():
			t.Error("the exchange was cut off with its caller")
		}
	}, func(c *ClientConfig) { c.RefreshGrace = time.Minute })
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := client.Refresh(ctx, refreshToken())
		failed <- err
	}()
	<-arrived
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("the closed tab got %v, want %v", err, context.Canceled)
	}
	close(release)
	if _, err := client.Refresh(t.Context(), refreshToken()); err != nil {
		t.Errorf("the other tab got %v", err)
	}
	if n := realm.refreshes.Load(); n != 1 {
		t.Errorf("Keycloak was asked %d times, want once", n)
	}
}

// Keycloak reads one token in hundreds of spellings. Each would have an exchange and a budget of
// its own, so that a token could be spent twice, or guessed at without end.
func TestClient_Refresh_oneSpelling(t *testing.T) {
	realm := &countingRealm{}
	client := newClient(t, realm.ServeHTTP, func(c *ClientConfig) { c.RefreshGrace = time.Minute })
	// one byte, and four bits that stand for nothing
	parts := append(strings.Split(ofSession("s1", "1").Reveal(), ".")[:2], "AQ")
	token := strings.Join(parts, ".")
	for name, spelling := range map[string]string{
		"stray bits":                  parts[0] + "." + parts[1] + ".AR",
		"padding":                     token + "=",
		"padding of the header":       parts[0] + "==." + parts[1] + "." + parts[2],
		"the other alphabet, +":       parts[0] + "." + parts[1] + ".ab+d",
		"the other alphabet, /":       parts[0] + "." + parts[1] + ".ab/d",
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
		"dots alone":                  strings.Repeat(".", 30_000),
		"no token at all":             "rubbish",
		"empty":                       "",
	} {
		if spelling == token {
			t.Fatalf("%s: the spelling is the token's own", name)
		}
		if _, err := client.Refresh(t.Context(), identity.NewSecret(spelling)); !errors.Is(err,
			identity.ErrRefreshInvalid) {
			t.Errorf("%s: Refresh() = %v, want %v", name, err, identity.ErrRefreshInvalid)
		}
		if err := client.Logout(t.Context(), identity.NewSecret(spelling)); !errors.Is(err,
			identity.ErrRefreshInvalid) {
			t.Errorf("%s: Logout() = %v, want %v", name, err, identity.ErrRefreshInvalid)
		}
	}
	if refreshes, logouts := realm.refreshes.Load(), realm.logouts.Load(); refreshes != 0 ||
		logouts != 0 {
		t.Errorf("Keycloak was asked for %d refreshes and %d sign-outs, want none", refreshes,
			logouts)
	}
	if _, err := client.Refresh(t.Context(), identity.NewSecret(token)); err != nil {
		t.Errorf("the token itself: %v", err)
	}
}
