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

// Two places play one session's owner and the thief of a refresh token. The proxy before the server
// is this machine.
const (
	owner     = "192.0.2.10"
	neighbour = "192.0.2.77" // of the owner's network
	thief     = "198.51.100.66"
)

// refreshFrom exchanges a refresh token for a client with an address. It returns the new one, or
// the code and reason.
func (s *site) refreshFrom(t testing.TB, address, token string) (next, code string) {
	t.Helper()
	return s.spendFrom(t, address, "refresh",
		fmt.Sprintf(`mutation { refresh(refreshToken: %q) { refreshToken } }`, token))
}

func (s *site) spendFrom(t testing.TB, address, field, query string) (next, code string) {
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
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, rest, found := strings.Cut(string(body), `"refreshToken":"`); found {
		next, _, _ = strings.Cut(rest, `"`)
	}
	if _, rest, found := strings.Cut(string(body), `"reason":"`); found {
		code, _, _ = strings.Cut(rest, `"`)
	}
	if next == "" && code == "" && field == "refresh" {
		t.Fatalf("%s is answered %s", query, body)
	}
	return next, code
}

// A thief of a used refresh token never stays signed in beside its owner.
func TestThiefOfARefreshToken(t *testing.T) {
	begin := func(t *testing.T, settings ...string) (*keycloaktest.Server, *site, string) {
		kc := newShop(t, "hush")
		s := newSite(t, goodConfig(t, append(settings, at(kc), "TRUSTED_PROXIES=127.0.0.1",
			"KEYCLOAK_CLIENT_SECRET_KEY=hush")...), nil)
		// Keycloak can take an older token for the newest within the second
		kc.Advance(-5 * time.Second)
		first := signIn(t, kc).RefreshToken
		kc.Advance(3 * time.Second)
		return kc, s, first
	}
	refresh := func(t *testing.T, s *site, address, token, wantCode string) (next string) {
		t.Helper()
		next, code := s.refreshFrom(t, address, token)
		if code != wantCode || (next == "") != (wantCode != "") {
			t.Fatalf("from %s: %q, want %q; got a token: %t", address, code, wantCode, next != "")
		}
		return next
	}
	lines := func(t *testing.T, s *site, infos, warnings int) {
		t.Helper()
		log := s.log.String()
		if i, w := strings.Count(log, "its answer is repeated"), strings.Count(log,
			"its answer isn't repeated"); i != infos || w != warnings {
			t.Errorf("logged %d repeats and %d refused ones, want %d and %d:\n%s", i, w, infos,
				warnings, log)
		}
	}
	t.Run("after the owner, from elsewhere", func(t *testing.T) {
		kc, s, first := begin(t)
		second := refresh(t, s, owner, first, "")
		if again := refresh(t, s, neighbour, first, ""); again != second {
			t.Error("another tab of the owner got other tokens")
		}
		kc.Advance(2 * time.Second)
		refresh(t, s, thief, first, "REUSED")
		refresh(t, s, owner, second, "SESSION_ENDED")
		lines(t, s, 1, 1)
	})
	t.Run("before the owner, from elsewhere", func(t *testing.T) {
		kc, s, first := begin(t)
		stolen := refresh(t, s, thief, first, "")
		kc.Advance(2 * time.Second)
		refresh(t, s, owner, first, "REUSED")
		refresh(t, s, thief, stolen, "SESSION_ENDED")
		lines(t, s, 0, 1)
	})
	t.Run("from the owner's network, after the new token was used", func(t *testing.T) {
		kc, s, first := begin(t)
		second := refresh(t, s, owner, first, "")
		kc.Advance(2 * time.Second)
		refresh(t, s, owner, second, "")
		refresh(t, s, neighbour, first, "SESSION_ENDED") // "Stale token"
		lines(t, s, 0, 1)
	})
	t.Run("from the owner's network, after the owner signed out", func(t *testing.T) {
		_, s, first := begin(t)
		second := refresh(t, s, owner, first, "")
		s.spendFrom(t, owner, "logout", fmt.Sprintf(`mutation { logout(refreshToken: %q) }`,
			second))
		refresh(t, s, neighbour, first, "SESSION_ENDED")
	})
	t.Run("a phone that changes networks", func(t *testing.T) {
		_, s, first := begin(t, "REFRESH_GRACE_NETWORK=any")
		second := refresh(t, s, owner, first, "")
		if again := refresh(t, s, thief, first, ""); again != second {
			t.Error("the phone got other tokens")
		}
		lines(t, s, 1, 0)
	})
}

// Sign-outs drop the answer that a used token would get, also while Keycloak hasn't answered them.
func TestThiefDuringASignOut(t *testing.T) {
	kc := newShop(t, "hush")
	s := newSite(t, goodConfig(t, at(kc), "TRUSTED_PROXIES=127.0.0.1",
		"KEYCLOAK_CLIENT_SECRET_KEY=hush"), nil)
	kc.Advance(-5 * time.Second)
	first := signIn(t, kc).RefreshToken
	kc.Advance(3 * time.Second)
	second, _ := s.refreshFrom(t, owner, first)
	kc.Advance(2 * time.Second)
	heal := kc.Fail(keycloaktest.Fault{Endpoint: "/logout", Status: http.StatusBadGateway})
	s.spendFrom(t, owner, "logout", fmt.Sprintf(`mutation { logout(refreshToken: %q) }`, second))
	heal()
	if next, code := s.refreshFrom(t, neighbour, first); next != "" || code != "REUSED" {
		t.Errorf("the used token is answered %q, want REUSED; it gives a token: %t", code,
			next != "")
	}
}
