package keycloak

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A checkedAPI verifies tokens of a fake realm, and checks its sessions.
type checkedAPI struct {
	*testing.T
	kc       *keycloaktest.Server
	realm    *keycloaktest.Realm
	client   *Client
	checker  *SessionChecker
	verifier *Verifier

	mu   sync.Mutex // guards ends
	ends []SessionEnd
}

func newCheckedAPI(t *testing.T, wait bool) *checkedAPI {
	t.Helper()
	kc := keycloaktest.New(t, keycloaktest.RealmSpec{
		Name: "shop",
		Clients: []keycloaktest.ClientSpec{{ID: "shop-api", Secret: "s3cret",
			Settings: map[string]any{"serviceAccountsEnabled": true}}},
		Users: []keycloaktest.UserSpec{{Name: "alice", Password: "pw"},
			{Name: "bob", Password: "pw"}},
		Settings: map[string]any{"accessTokenLifespan": 3600},
	}.File())
	api := &checkedAPI{T: t, kc: kc, realm: kc.Realm("shop")}
	realm := must(NewRealm(kc.URL, "shop"))
	log := slog.New(slog.DiscardHandler)
	api.client = must(NewClient(ClientConfig{Realm: realm, ClientID: "shop-api",
		ClientSecret: identity.NewSecret("s3cret"), SessionEnded: api.end, Log: log,
		RefreshGrace: -1}))
	api.checker = must(NewSessionChecker(SessionCheckConfig{Client: api.client, End: api.end,
		Wait: wait, Now: kc.Now, Log: log}))
	api.verifier = must(NewVerifier(VerifierConfig{
		Issuers: []Issuer{{Keys: NewKeySet(realm, KeySetConfig{Log: log}),
			CheckSession: api.checker.Check, CheckRevoked: api.checkRevoked}},
		Audience: []string{"shop-api"}, Now: kc.Now,
	}))
	return api
}

func (a *checkedAPI) end(end SessionEnd) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ends = append(a.ends, end)
}

// checkRevoked returns ErrTokenRevoked for the tokens that an end revokes exactly.
func (a *checkedAPI) checkRevoked(session TokenSession) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, end := range a.ends {
		isMeant := end.SessionID == session.SessionID ||
			end.SessionID == "" && end.Subject == session.Subject
		if isMeant && !session.IssuedAt.After(end.At) {
			return &identity.Error{Reason: identity.ErrTokenRevoked}
		}
	}
	return nil
}

// verify verifies a token, and waits for checks in the background.
func (a *checkedAPI) verify(accessToken string) error {
	_, err := a.verifier.Verify(a.Context(), accessToken)
	for {
		a.checker.mu.Lock()
		count := len(a.checker.inFlight)
		a.checker.mu.Unlock()
		if count == 0 {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

func (a *checkedAPI) signIn(name string) keycloaktest.Tokens {
	a.Helper()
	tokens, err := a.realm.SignIn("shop-api", name)
	if err != nil {
		a.Fatal(err)
	}
	return tokens
}

// serviceToken returns an access token of the client's service account.
func (a *checkedAPI) serviceToken() string {
	a.Helper()
	response, err := http.PostForm(a.realm.EndpointURL("/token"), url.Values{
		"client_id": {"shop-api"}, "client_secret": {"s3cret"},
		"grant_type": {"client_credentials"}})
	if err != nil {
		a.Fatal(err)
	}
	defer response.Body.Close()
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil || body.AccessToken == "" {
		a.Fatalf("a token of the service account: got %d, %v", response.StatusCode, err)
	}
	return body.AccessToken
}

// revoke calls the revocation endpoint.
func (a *checkedAPI) revoke(token string) error {
	response, err := http.PostForm(a.realm.EndpointURL("/revoke"), url.Values{
		"client_id": {"shop-api"}, "client_secret": {"s3cret"}, "token": {token}})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("revoke: got %d, want 200", response.StatusCode)
	}
	return nil
}

// Whatever ends a session without an announcement, its tokens are accepted for at most the
// interval, and one request more if requests don't wait. Other users' tokens are accepted.
func TestSessionChecker_unannounced(t *testing.T) {
	type event struct {
		invalidate func(api *checkedAPI, alice *keycloaktest.User, tokens keycloaktest.Tokens) error
		othersToo  bool // it invalidates the tokens of other users, too
		keeps      bool // Keycloak accepts the token afterwards
	}
	setNotBefore := func(api *checkedAPI) string {
		return fmt.Sprintf(`{"notBefore": %d}`, api.kc.Now().Unix())
	}
	for name, tt := range map[string]event{
		"user disabled": {func(_ *checkedAPI, alice *keycloaktest.User,
			_ keycloaktest.Tokens) error {
			return alice.Update([]byte(`{"enabled": false}`))
		}, false, false},
		"user deleted": {func(_ *checkedAPI, alice *keycloaktest.User,
			_ keycloaktest.Tokens) error {
			return alice.Delete()
		}, false, false},
		"user signed out": {func(_ *checkedAPI, alice *keycloaktest.User,
			_ keycloaktest.Tokens) error {
			return alice.Logout()
		}, false, false},
		"session ended": {func(api *checkedAPI, _ *keycloaktest.User,
			tokens keycloaktest.Tokens) error {
			if !api.realm.EndSession(keycloaktest.Session{ID: tokens.SessionID}) {
				return errors.New("there is no such session")
			}
			return nil
		}, false, false},
		"access token revoked": {func(api *checkedAPI, _ *keycloaktest.User,
			tokens keycloaktest.Tokens) error {
			return api.revoke(tokens.AccessToken)
		}, false, false},
		"refresh token revoked": {func(api *checkedAPI, _ *keycloaktest.User,
			tokens keycloaktest.Tokens) error {
			return api.revoke(tokens.RefreshToken)
		}, false, false},
		"not-before of the realm": {func(api *checkedAPI, _ *keycloaktest.User,
			_ keycloaktest.Tokens) error {
			api.realm.SetNotBefore(api.kc.Now())
			return nil
		}, true, false},
		"not-before of the client": {func(api *checkedAPI, _ *keycloaktest.User,
			_ keycloaktest.Tokens) error {
			return api.realm.UpdateClient("shop-api", []byte(setNotBefore(api)))
		}, true, false},
		"password set": {func(_ *checkedAPI, alice *keycloaktest.User,
			_ keycloaktest.Tokens) error {
			return alice.SetPassword("another")
		}, false, true},
		"nothing": {func(*checkedAPI, *keycloaktest.User, keycloaktest.Tokens) error {
			return nil
		}, false, true},
	} {
		for _, wait := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", wait ", wait), func(t *testing.T) {
				t.Parallel()
				api := newCheckedAPI(t, wait)
				alice, bob := api.signIn("alice"), api.signIn("bob")
				check := func(when, token string, want error) {
					t.Helper()
					err := api.verify(token)
					if !errors.Is(err, want) || want == nil && err != nil {
						t.Errorf("%s: Verify() = %v, want %v", when, err, want)
					}
				}
				api.kc.Advance(10 * time.Second)
				check("signed in", alice.AccessToken, nil)
				check("signed in", bob.AccessToken, nil)
				api.kc.Advance(25 * time.Second)
				check("checked", alice.AccessToken, nil)
				api.kc.Advance(10 * time.Second)
				if err := tt.invalidate(api, api.realm.User("alice"), alice); err != nil {
					t.Fatal(err)
				}
				check("at once", alice.AccessToken, nil)
				api.kc.Advance(DefaultCheckInterval)
				want, wantBob := identity.ErrTokenRevoked, error(nil)
				if tt.keeps {
					want = nil
				}
				if tt.othersToo {
					wantBob = identity.ErrTokenRevoked
				}
				if !wait { // this request begins the check
					check("after the interval", alice.AccessToken, nil)
					check("after the interval", bob.AccessToken, nil)
				}
				check("in the end", alice.AccessToken, want)
				check("in the end", bob.AccessToken, wantBob)
				if count := api.kc.Count("/token/introspect"); count > 4 {
					t.Errorf("Keycloak was asked %d times, want at most 4", count)
				}
			})
		}
	}
}

// When an access token was revoked, a later token of its session is accepted.
func TestSessionChecker_refreshAfterRevocation(t *testing.T) {
	api := newCheckedAPI(t, true)
	tokens := api.signIn("alice")
	api.kc.Advance(time.Minute)
	if err := api.revoke(tokens.AccessToken); err != nil {
		t.Fatal(err)
	}
	if err := api.verify(tokens.AccessToken); !errors.Is(err, identity.ErrTokenRevoked) {
		t.Fatalf("the revoked token: Verify() = %v, want ErrTokenRevoked", err)
	}
	api.kc.Advance(time.Second)
	refreshed, err := api.client.Refresh(t.Context(), identity.NewSecret(tokens.RefreshToken))
	if err != nil {
		t.Fatal(err)
	}
	for _, wait := range []time.Duration{0, time.Minute} {
		api.kc.Advance(wait)
		if err := api.verify(refreshed.AccessToken.Reveal()); err != nil {
			t.Errorf("the refreshed token, %v later: Verify() = %v, want nil", wait, err)
		}
	}
}

// A service account's token has no session, and is checked by itself.
func TestSessionChecker_serviceAccount(t *testing.T) {
	api := newCheckedAPI(t, true)
	first, second := api.serviceToken(), api.serviceToken()
	api.kc.Advance(time.Minute)
	if err := api.revoke(first); err != nil {
		t.Fatal(err)
	}
	if err := api.verify(first); !errors.Is(err, identity.ErrTokenRevoked) {
		t.Errorf("the revoked token: Verify() = %v, want ErrTokenRevoked", err)
	}
	if err := api.verify(second); err != nil {
		t.Errorf("the other token: Verify() = %v, want nil", err)
	}
}

// After a sign-in or a refresh, older tokens are refused because of not-before, without a check.
func TestClient_notBefore_keycloak(t *testing.T) {
	api := newCheckedAPI(t, false)
	old, bob := api.signIn("alice"), api.signIn("bob")
	api.kc.Advance(2 * time.Second)
	api.realm.SetNotBefore(api.kc.Now())
	api.kc.Advance(2 * time.Second)
	tokens, err := api.client.Login(t.Context(),
		identity.Credentials{Username: "alice", Password: identity.NewSecret("pw")})
	if err != nil {
		t.Fatal(err)
	}
	if err := api.verify(old.AccessToken); !errors.Is(err, identity.ErrTokenRevoked) {
		t.Errorf("the old token: Verify() = %v, want ErrTokenRevoked", err)
	}
	for name, token := range map[string]string{"new token": tokens.AccessToken.Reveal(),
		"another user's token": bob.AccessToken} {
		if err := api.verify(token); err != nil {
			t.Errorf("%s: Verify() = %v, want nil", name, err)
		}
	}
}
