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
	ownerAddress        = "192.0.2.10"
	sameNetworkAddress  = "192.0.2.77" // of another device in the owner's network
	otherNetworkAddress = "198.51.100.66"
)

// refreshFrom sends a refresh mutation as the client at address. It returns the new refresh token,
// or the reason in the error.
func (s *testServer) refreshFrom(t testing.TB, address, token string) (newToken, reason string) {
	t.Helper()
	newToken, reason, body := s.sendFrom(t, address,
		fmt.Sprintf(`mutation { refresh(refreshToken: %q) { refreshToken } }`, token))
	if newToken == "" && reason == "" {
		t.Fatalf("refresh from %s: got %s, want a token or a reason", address, body)
	}
	return newToken, reason
}

// logoutFrom sends a logout mutation as the client at address.
func (s *testServer) logoutFrom(t testing.TB, address, token string) {
	t.Helper()
	s.sendFrom(t, address, fmt.Sprintf(`mutation { logout(refreshToken: %q) }`, token))
}

// sendFrom sends an operation as the client at address. It returns the body of the response, and
// the refresh token and the reason in it, if there are any.
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

// After both the thief and the owner have used a stolen refresh token, at most one of them stays
// signed in.
func TestRefresh_stolenToken(t *testing.T) {
	startServer := func(
		t *testing.T, settings ...string,
	) (kc *keycloaktest.Server, s *testServer, firstToken string) {
		kc = newFakeKeycloak(t, clientSecret)
		s = newTestServer(t, testConfig(t, append(settings, withKeycloak(kc),
			"TRUSTED_PROXIES=127.0.0.1",
			"KEYCLOAK_CLIENT_SECRET_KEY=shop-secret")...), nil)
		// Keycloak compares times in whole seconds, so tokens issued within one second seem equally
		// old.
		kc.Advance(-5 * time.Second)
		firstToken = signIn(t, kc).RefreshToken
		kc.Advance(3 * time.Second)
		return kc, s, firstToken
	}
	refresh := func(
		t *testing.T, s *testServer, address, token, wantReason string,
	) (newToken string) {
		t.Helper()
		newToken, reason := s.refreshFrom(t, address, token)
		if reason != wantReason || (newToken == "") != (wantReason != "") {
			t.Fatalf("refresh from %s: reason %q, want %q; new token: %t", address, reason,
				wantReason, newToken != "")
		}
		return newToken
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
		kc, s, firstToken := startServer(t)
		secondToken := refresh(t, s, ownerAddress, firstToken, "")
		if newToken := refresh(t, s, sameNetworkAddress, firstToken, ""); newToken != secondToken {
			t.Error("the owner's second refresh with the first token got another new token, want " +
				"the same")
		}
		kc.Advance(2 * time.Second)
		refresh(t, s, otherNetworkAddress, firstToken, "REUSED")
		refresh(t, s, ownerAddress, secondToken, "SESSION_ENDED")
		wantLogged(t, s, 1, 1)
	})
	t.Run("thief before owner", func(t *testing.T) {
		kc, s, firstToken := startServer(t)
		stolenToken := refresh(t, s, otherNetworkAddress, firstToken, "")
		kc.Advance(2 * time.Second)
		refresh(t, s, ownerAddress, firstToken, "REUSED")
		refresh(t, s, otherNetworkAddress, stolenToken, "SESSION_ENDED")
		wantLogged(t, s, 0, 1)
	})
	t.Run("thief in the owner's network, after the new token was used", func(t *testing.T) {
		kc, s, firstToken := startServer(t)
		secondToken := refresh(t, s, ownerAddress, firstToken, "")
		kc.Advance(2 * time.Second)
		refresh(t, s, ownerAddress, secondToken, "")
		// Keycloak says "Stale token".
		refresh(t, s, sameNetworkAddress, firstToken, "SESSION_ENDED")
		wantLogged(t, s, 0, 1)
	})
	t.Run("thief in the owner's network, after the owner signed out", func(t *testing.T) {
		_, s, firstToken := startServer(t)
		secondToken := refresh(t, s, ownerAddress, firstToken, "")
		s.logoutFrom(t, ownerAddress, secondToken)
		refresh(t, s, sameNetworkAddress, firstToken, "SESSION_ENDED")
	})
	t.Run("owner in another network, REFRESH_GRACE_NETWORK=any", func(t *testing.T) {
		_, s, firstToken := startServer(t, "REFRESH_GRACE_NETWORK=any")
		secondToken := refresh(t, s, ownerAddress, firstToken, "")
		if newToken := refresh(t, s, otherNetworkAddress, firstToken, ""); newToken != secondToken {
			t.Error("the refresh from the owner's other network got another new token, want the " +
				"same")
		}
		wantLogged(t, s, 1, 0)
	})
}

// A logout drops the cached response to a used refresh token even if the logout itself fails,
// because Keycloak is unavailable.
func TestRefresh_stolenTokenAfterFailedLogout(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	s := newTestServer(t, testConfig(t, withKeycloak(kc), "TRUSTED_PROXIES=127.0.0.1",
		"KEYCLOAK_CLIENT_SECRET_KEY=shop-secret"), nil)
	kc.Advance(-5 * time.Second)
	firstToken := signIn(t, kc).RefreshToken
	kc.Advance(3 * time.Second)
	secondToken, _ := s.refreshFrom(t, ownerAddress, firstToken)
	kc.Advance(2 * time.Second)
	repair := kc.Fail(keycloaktest.Fault{Endpoint: "/logout", Status: http.StatusBadGateway})
	s.logoutFrom(t, ownerAddress, secondToken)
	repair()
	newToken, reason := s.refreshFrom(t, sameNetworkAddress, firstToken)
	if newToken != "" || reason != "REUSED" {
		t.Errorf("refresh with the used token: reason %q, want REUSED; new token: %t, want false",
			reason, newToken != "")
	}
}
