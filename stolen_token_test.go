package cloakql_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// The clients' addresses, which the server takes from X-Forwarded-For.
const (
	owner     = "192.0.2.10"
	neighbour = "192.0.2.77" // in the owner's network
	thief     = "198.51.100.66"
)

// refreshFrom refreshes a token as the client at address. It returns the new refresh token, or the
// reason in the error.
func (s *testServer) refreshFrom(t testing.TB, address, token string) (next, reason string) {
	t.Helper()
	next, reason, body := s.sendFrom(t, address,
		fmt.Sprintf(`mutation { refresh(refreshToken: %q) { refreshToken } }`, token))
	if next == "" && reason == "" {
		t.Fatalf("refresh from %s got %s", address, body)
	}
	return next, reason
}

// logoutFrom signs out as the client at address.
func (s *testServer) logoutFrom(t testing.TB, address, token string) {
	t.Helper()
	s.sendFrom(t, address, fmt.Sprintf(`mutation { logout(refreshToken: %q) }`, token))
}

// sendFrom sends a query as the client at address. It returns the refresh token and the reason in
// the response, if any, and its body.
func (s *testServer) sendFrom(t testing.TB, address, query string) (token, reason, body string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, s.url+"/graphql",
		strings.NewReader(fmt.Sprintf(`{"query":%q}`, query)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Forwarded-For", address)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	body = string(content)
	if _, rest, found := strings.Cut(body, `"refreshToken":"`); found {
		token, _, _ = strings.Cut(rest, `"`)
	}
	if _, rest, found := strings.Cut(body, `"reason":"`); found {
		reason, _, _ = strings.Cut(rest, `"`)
	}
	return token, reason, body
}

// After a stolen refresh token is used by both the thief and the owner, at most one of them stays
// signed in.
func TestRefresh_stolenToken(t *testing.T) {
	start := func(t *testing.T, settings ...string) (*keycloaktest.Server, *testServer, string) {
		kc := newShop(t, "hush")
		s := newTestServer(t, testConfig(t, append(settings, withKeycloak(kc),
			"TRUSTED_PROXIES=127.0.0.1",
			"KEYCLOAK_CLIENT_SECRET_KEY=hush")...), nil)
		// Keycloak compares times in seconds: it can't tell two tokens of the same second apart.
		kc.Advance(-5 * time.Second)
		first := signIn(t, kc).RefreshToken
		kc.Advance(3 * time.Second)
		return kc, s, first
	}
	refresh := func(t *testing.T, s *testServer, address, token, wantReason string) (next string) {
		t.Helper()
		next, reason := s.refreshFrom(t, address, token)
		if reason != wantReason || (next == "") != (wantReason != "") {
			t.Fatalf("refresh from %s: reason %q, want %q; got a token: %t", address, reason,
				wantReason, next != "")
		}
		return next
	}
	wantLogged := func(t *testing.T, s *testServer, wantRepeats, wantRefusals int) {
		t.Helper()
		log := s.log.String()
		gotRepeats := strings.Count(log, "the response is repeated")
		gotRefusals := strings.Count(log, "the response isn't repeated")
		if gotRepeats != wantRepeats || gotRefusals != wantRefusals {
			t.Errorf("logged %d repeats and %d refusals, want %d and %d:\n%s", gotRepeats,
				gotRefusals, wantRepeats, wantRefusals, log)
		}
	}
	t.Run("thief after owner", func(t *testing.T) {
		kc, s, first := start(t)
		second := refresh(t, s, owner, first, "")
		if again := refresh(t, s, neighbour, first, ""); again != second {
			t.Error("another tab of the owner got different tokens")
		}
		kc.Advance(2 * time.Second)
		refresh(t, s, thief, first, "REUSED")
		refresh(t, s, owner, second, "SESSION_ENDED")
		wantLogged(t, s, 1, 1)
	})
	t.Run("thief before owner", func(t *testing.T) {
		kc, s, first := start(t)
		stolen := refresh(t, s, thief, first, "")
		kc.Advance(2 * time.Second)
		refresh(t, s, owner, first, "REUSED")
		refresh(t, s, thief, stolen, "SESSION_ENDED")
		wantLogged(t, s, 0, 1)
	})
	t.Run("thief in the owner's network, after the new token was used", func(t *testing.T) {
		kc, s, first := start(t)
		second := refresh(t, s, owner, first, "")
		kc.Advance(2 * time.Second)
		refresh(t, s, owner, second, "")
		refresh(t, s, neighbour, first, "SESSION_ENDED") // Keycloak says "Stale token"
		wantLogged(t, s, 0, 1)
	})
	t.Run("thief in the owner's network, after the owner signed out", func(t *testing.T) {
		_, s, first := start(t)
		second := refresh(t, s, owner, first, "")
		s.logoutFrom(t, owner, second)
		refresh(t, s, neighbour, first, "SESSION_ENDED")
	})
	t.Run("owner changes networks, REFRESH_GRACE_NETWORK=any", func(t *testing.T) {
		_, s, first := start(t, "REFRESH_GRACE_NETWORK=any")
		second := refresh(t, s, owner, first, "")
		if again := refresh(t, s, thief, first, ""); again != second {
			t.Error("the owner got different tokens")
		}
		wantLogged(t, s, 1, 0)
	})
}

// After a logout that fails because Keycloak is unavailable, a used refresh token doesn't get its
// cached response again.
func TestRefresh_stolenTokenAfterFailedLogout(t *testing.T) {
	kc := newShop(t, "hush")
	s := newTestServer(t, testConfig(t, withKeycloak(kc), "TRUSTED_PROXIES=127.0.0.1",
		"KEYCLOAK_CLIENT_SECRET_KEY=hush"), nil)
	kc.Advance(-5 * time.Second)
	first := signIn(t, kc).RefreshToken
	kc.Advance(3 * time.Second)
	second, _ := s.refreshFrom(t, owner, first)
	kc.Advance(2 * time.Second)
	repair := kc.Fail(keycloaktest.Fault{Endpoint: "/logout", Status: http.StatusBadGateway})
	s.logoutFrom(t, owner, second)
	repair()
	if next, reason := s.refreshFrom(t, neighbour, first); next != "" || reason != "REUSED" {
		t.Errorf("refresh with the used token: reason %q, want REUSED; got a token: %t", reason,
			next != "")
	}
}
