package cloakql_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
	"github.com/cloakql/cloakql/revocation"
)

const revokedMe = `"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_REVOKED"}}],` +
	`"data":{"me":null}`

// A revocationTest is a server whose client has a Backchannel logout URL in a fake Keycloak.
type revocationTest struct {
	*testing.T
	kc     *keycloaktest.Server
	server *testServer
}

// newRevocationTest starts both. change may be nil.
func newRevocationTest(t *testing.T, change func(*cloakql.Config)) *revocationTest {
	t.Helper()
	kc := newFakeKeycloak(t, clientSecret)
	config := testConfig(t, withKeycloak(kc), "RUNTIME_ENV=prod")
	if change != nil {
		change(&config)
	}
	r := &revocationTest{t, kc, newTestServer(t, config, nil)}
	r.setLogoutURL("shop-api", r.server.url+"/backchannel-logout", true)
	return r
}

// setLogoutURL sets the Backchannel logout URL of a client, and whether its logout tokens have sid.
func (r *revocationTest) setLogoutURL(client, logoutURL string, sessionRequired bool) {
	r.Helper()
	patch, _ := json.Marshal(map[string]any{"attributes": map[string]any{
		"backchannel.logout.url":              logoutURL,
		"backchannel.logout.session.required": strconv.FormatBool(sessionRequired),
	}})
	if err := r.kc.Realm("shop").UpdateClient(client, patch); err != nil {
		r.Fatal(err)
	}
}

// wantMe checks whether me accepts an access token. It asks twice, because the second response may
// come from a cache.
func (r *revocationTest) wantMe(description, accessToken string, wantRevoked bool) {
	r.Helper()
	for range 2 {
		_, body := r.server.do(r.T, testRequest{query: `{ me { username } }`,
			authorization: "Bearer " + accessToken})
		if strings.Contains(body, revokedMe) != wantRevoked ||
			strings.Contains(body, `"username":"alice"`) == wantRevoked {
			r.Errorf("%s: me is %s, want it revoked: %v", description, body, wantRevoked)
		}
	}
}

// endSession ends a session as an administrator would.
func (r *revocationTest) endSession(tokens keycloaktest.Tokens) {
	r.Helper()
	if !r.kc.Realm("shop").EndSession(keycloaktest.Session{ID: tokens.SessionID}) {
		r.Fatal("the session doesn't exist")
	}
}

// When Keycloak reports the end of a session, its tokens are refused at once, also those whose
// responses are cached. Other sessions of the user continue.
func TestRevocation_backchannelLogout(t *testing.T) {
	for name, change := range map[string]func(*cloakql.Config){
		"with the response cache": nil,
		"without it":              func(c *cloakql.Config) { c.DisableAnswerCache = true },
		"without the token cache": func(c *cloakql.Config) { c.Tokens.CacheBytes = -1 },
		"for named hosts only": func(c *cloakql.Config) {
			c.HTTP.AllowedHosts = []string{"127.0.0.1"} // Keycloak calls localhost
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRevocationTest(t, change)
			if name == "for named hosts only" {
				_, port, _ := strings.Cut(r.server.url, "127.0.0.1:")
				r.setLogoutURL("shop-api", "http://localhost:"+port+"/backchannel-logout", true)
			}
			ended, other := signIn(t, r.kc), signIn(t, r.kc)
			r.wantMe("before the end", ended.AccessToken, false)
			r.wantMe("another session", other.AccessToken, false)
			r.endSession(ended)
			r.wantMe("after the end", ended.AccessToken, true)
			r.wantMe("another session after the end", other.AccessToken, false)
			r.wantMe("a new session", signIn(t, r.kc).AccessToken, false)
			if log := r.server.log.String(); !strings.Contains(log, "Keycloak ended a session") ||
				!strings.Contains(log, ended.SessionID) {
				t.Errorf("the log doesn't name the ended session:\n%s", log)
			}
			// A public field still runs.
			_, body := r.server.do(t, testRequest{authorization: "Bearer " + ended.AccessToken,
				query: `mutation { login(username: "alice", password: "` + clientSecret +
					`") { tokenType } }`})
			if !strings.Contains(body, `"tokenType":"Bearer"`) {
				t.Errorf("login with a revoked token attached: got %s, want tokens", body)
			}
		})
	}
}

// A logout token without sid ends all sessions of the user that began before.
func TestRevocation_user(t *testing.T) {
	r := newRevocationTest(t, nil)
	r.setLogoutURL("shop-api", r.server.url+"/backchannel-logout", false)
	r.kc.Advance(-5 * time.Second)
	first, second := signIn(t, r.kc), signIn(t, r.kc)
	r.wantMe("first", first.AccessToken, false)
	r.endSession(first)
	r.wantMe("first", first.AccessToken, true)
	r.wantMe("second", second.AccessToken, true)
	r.kc.Advance(5 * time.Second)
	r.wantMe("a new session", signIn(t, r.kc).AccessToken, false)
}

// The access tokens of an offline session continue to be accepted after the end of the online
// session with the same ID, once they are refreshed.
func TestRevocation_offline(t *testing.T) {
	r := newRevocationTest(t, nil)
	r.kc.Advance(-5 * time.Second)
	tokens, err := r.kc.Realm("shop").SignIn("shop-api", "alice", "openid", "offline_access")
	if err != nil {
		t.Fatal(err)
	}
	config := testConfig(t, withKeycloak(r.kc))
	logoutToken := newLogoutToken(r.kc.Realm("shop"), "shop-api", tokens.SessionID)
	if status, body := r.post(logoutToken); status != http.StatusOK {
		t.Fatalf("a logout token: got %d %s, want 200", status, body)
	}
	r.wantMe("from before the end", tokens.AccessToken, true)
	r.kc.Advance(5 * time.Second)
	refreshed, err := newClient(t, config).Refresh(t.Context(),
		identity.NewSecret(tokens.RefreshToken))
	if err != nil {
		t.Fatal(err)
	}
	r.wantMe("from after the end", refreshed.AccessToken.Reveal(), false)
}

// newLogoutToken returns a logout token of realm for a client, like Keycloak's.
func newLogoutToken(realm *keycloaktest.Realm, client, sessionID string) string {
	events := map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
	return must(realm.Mint(keycloaktest.TokenSpec{Header: map[string]any{"typ": "logout+jwt"},
		Claims: map[string]any{"aud": client, "typ": "Logout", "sid": sessionID,
			"events": events}}))
}

// post posts a logout token, and returns the status and the body.
func (r *revocationTest) post(token string) (int, string) {
	r.Helper()
	response, err := http.PostForm(r.server.url+"/backchannel-logout",
		url.Values{"logout_token": {token}})
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// logout ends the access tokens of its session at once, whether or not Keycloak sends a logout
// token. A logout that Keycloak refuses ends nothing.
func TestRevocation_logout(t *testing.T) {
	r := newRevocationTest(t, func(c *cloakql.Config) { c.DisableBackchannelLogout = true })
	if status, _ := r.post("x"); status != http.StatusNotFound {
		t.Errorf("/backchannel-logout: got %d, want 404", status)
	}
	tokens, other := signIn(t, r.kc), signIn(t, r.kc)
	r.wantMe("before logout", tokens.AccessToken, false)
	logout := func(refreshToken, want string) {
		t.Helper()
		_, body := r.server.do(t, testRequest{variables: map[string]any{"r": refreshToken},
			query: `mutation($r: String!) { logout(refreshToken: $r) }`})
		if !strings.Contains(body, want) {
			t.Errorf("logout: got %s, want %s", body, want)
		}
	}
	// A refresh token with another signature names the session too.
	parts := strings.Split(tokens.RefreshToken, ".")
	otherParts := strings.Split(other.RefreshToken, ".")
	logout(parts[0]+"."+parts[1]+"."+otherParts[2], "INVALID_REFRESH_TOKEN")
	r.wantMe("after a forged logout", tokens.AccessToken, false)
	logout(tokens.RefreshToken, `{"logout":true}`)
	r.wantMe("after logout", tokens.AccessToken, true)
	r.wantMe("another session", other.AccessToken, false)
	// Without back-channel logout, the end of another session isn't known.
	r.endSession(other)
	r.wantMe("after an administrator ended it", other.AccessToken, false)
}

// A logout token can be used once, only for its client, and only by the realm of the client.
func TestRevocation_refusedLogoutTokens(t *testing.T) {
	r := newRevocationTest(t, nil)
	var logoutToken string
	listener := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		logoutToken = req.FormValue("logout_token")
	}))
	defer listener.Close()
	r.setLogoutURL("shop-api", listener.URL, true)
	tokens := signIn(t, r.kc)
	r.endSession(tokens)
	r.wantMe("Keycloak has told somebody else", tokens.AccessToken, false)
	for name, token := range map[string]string{
		"no token": "", "an access token": tokens.AccessToken, "an ID token": tokens.IDToken,
		"a refresh token":        tokens.RefreshToken,
		"a changed logout token": logoutToken[:len(logoutToken)-9] + "AAAAAAAAA",
	} {
		if status, body := r.post(token); status != http.StatusBadRequest ||
			!strings.HasPrefix(body, `{"error":"invalid_request","error_description":"`) {
			t.Errorf("%s: got %d %s, want 400 and invalid_request", name, status, body)
		}
	}
	r.wantMe("after refused logout tokens", tokens.AccessToken, false)
	if status, body := r.post(logoutToken); status != http.StatusOK || body != "" {
		t.Errorf("a logout token: got %d %s, want 200", status, body)
	}
	r.wantMe("after a logout token", tokens.AccessToken, true)
	if status, body := r.post(logoutToken); status != http.StatusBadRequest {
		t.Errorf("a replay: got %d %s, want 400", status, body)
	}
}

// Logout tokens for another accepted client end its sessions too; those for any other client don't.
func TestRevocation_otherClients(t *testing.T) {
	r := newRevocationTest(t, func(c *cloakql.Config) {
		c.Tokens.AuthorizedParties = []string{"shop-api", "no-direct-grants"}
	})
	tokens := signIn(t, r.kc)
	mint := func(client string) string {
		return newLogoutToken(r.kc.Realm("shop"), client, tokens.SessionID)
	}
	for _, client := range []string{"account", "unknown", ""} {
		if status, _ := r.post(mint(client)); status != 400 {
			t.Errorf("a logout token for %q: got %d, want 400", client, status)
		}
	}
	r.wantMe("after logout tokens for other clients", tokens.AccessToken, false)
	if status, body := r.post(mint("no-direct-grants")); status != 200 {
		t.Errorf("a logout token for an accepted client: got %d %s, want 200", status, body)
	}
	r.wantMe("after a logout token for an accepted client", tokens.AccessToken, true)
}

// The realm of the client can't end the sessions of another realm whose tokens are accepted, and
// that realm can't end sessions of the client's realm.
func TestRevocation_otherRealm(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	other, err := kc.Import(keycloaktest.RealmSpec{Name: "other",
		Clients: []keycloaktest.ClientSpec{{ID: "shop-api", Secret: clientSecret}},
		Users:   []keycloaktest.UserSpec{{Name: "alice", Password: clientSecret}}}.File())
	if err != nil {
		t.Fatal(err)
	}
	config := testConfig(t, withKeycloak(kc), "RUNTIME_ENV=prod")
	otherRealm := must(keycloak.NewRealm(kc.URL, "other"))
	otherKeys := keycloak.NewKeySet(otherRealm,
		keycloak.KeySetConfig{Log: slog.New(slog.DiscardHandler)})
	config.Tokens.Issuers = []keycloak.Issuer{{}, {Keys: otherKeys}}
	r := &revocationTest{t, kc, newTestServer(t, config, nil)}
	r.setLogoutURL("shop-api", r.server.url+"/backchannel-logout", true)

	tokens := signIn(t, kc)
	otherTokens := must(other.SignIn("shop-api", "alice"))
	r.wantMe("the client's realm", tokens.AccessToken, false)
	r.wantMe("another realm", otherTokens.AccessToken, false)
	end := func(realm *keycloaktest.Realm, sessionID string) int {
		t.Helper()
		status, _ := r.post(newLogoutToken(realm, "shop-api", sessionID))
		return status
	}
	if status := end(other, tokens.SessionID); status != http.StatusBadRequest {
		t.Errorf("a logout token of another realm: got %d, want 400", status)
	}
	if status := end(kc.Realm("shop"), otherTokens.SessionID); status != http.StatusOK {
		t.Errorf("a logout token of the client's realm: got %d, want 200", status)
	}
	r.wantMe("the client's realm", tokens.AccessToken, false)
	r.wantMe("another realm", otherTokens.AccessToken, false)
	if status := end(kc.Realm("shop"), tokens.SessionID); status != http.StatusOK {
		t.Errorf("a logout token of the client's realm: got %d, want 200", status)
	}
	r.wantMe("the client's realm", tokens.AccessToken, true)
}

// No page can call /backchannel-logout: it has no CORS headers, whatever the configuration. Nor
// does it accept a GET.
func TestRevocation_noCORS(t *testing.T) {
	r := newRevocationTest(t, func(c *cloakql.Config) { c.HTTP.CORSOrigins = []string{"*"} })
	for _, method := range []string{http.MethodOptions, http.MethodGet, http.MethodPost} {
		request, err := http.NewRequest(method, r.server.url+"/backchannel-logout", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Origin", "https://app.example.com")
		request.Header.Set("Access-Control-Request-Method", "POST")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		for name := range response.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: the response has %s, want no CORS header", method, name)
			}
		}
		wantStatus := http.StatusMethodNotAllowed
		if method == http.MethodPost {
			wantStatus = http.StatusBadRequest
		}
		if response.StatusCode != wantStatus {
			t.Errorf("%s: got %d, want %d", method, response.StatusCode, wantStatus)
		}
	}
}

// An application can add sessions to the set itself. Its own CheckRevoked is asked too.
func TestRevocation_ownSet(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	a, calls := countMe()
	config := applicationConfig(t, kc, a)
	config.Revoked = &revocation.Set{}
	refusedSession := ""
	config.Tokens.Issuers = []keycloak.Issuer{{CheckRevoked: func(s keycloak.TokenSession) error {
		if s.SessionID == refusedSession {
			return &identity.Error{Reason: identity.ErrTokenRevoked}
		}
		return nil
	}}}
	config.Log = slog.New(slog.DiscardHandler)
	handler := newServer(t, config).Handler()
	first, second := signIn(t, kc), signIn(t, kc)
	wantRevoked := func(token string, want bool) {
		t.Helper()
		if body := post(handler, token, `{ me { username } }`); strings.Contains(body,
			"TOKEN_REVOKED") != want {
			t.Errorf("me is %s, want it revoked: %v", body, want)
		}
	}
	wantRevoked(first.AccessToken, false)
	wantRevoked(second.AccessToken, false)
	config.Revoked.Add(revocation.End{SessionID: first.SessionID})
	wantRevoked(first.AccessToken, true)
	wantRevoked(second.AccessToken, false)
	refusedSession = second.SessionID
	wantRevoked(second.AccessToken, true)
	if got := calls.Load(); got != 2 {
		t.Errorf("me ran %d times, want 2", got)
	}
}

// A server without a client also rejects the tokens of the sessions in its set.
func TestRevocation_withoutClient(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	a, _ := countMe()
	config := applicationConfig(t, kc, a)
	config.Client = keycloak.ClientConfig{}
	config.Tokens.Audience = []string{"shop-api"}
	config.Revoked = &revocation.Set{}
	config.Log = slog.New(slog.DiscardHandler)
	handler := newServer(t, config).Handler()
	token := signIn(t, kc)
	for _, want := range []bool{false, true} {
		body := post(handler, token.AccessToken, `{ me { username } }`)
		if strings.Contains(body, "TOKEN_REVOKED") != want {
			t.Errorf("me is %s, want it revoked: %v", body, want)
		}
		config.Revoked.Add(revocation.End{SessionID: token.SessionID})
	}
}

// A realm may sign logout tokens with another algorithm than access tokens.
func TestRevocation_otherAlgorithm(t *testing.T) {
	r := newRevocationTest(t, func(c *cloakql.Config) { c.Tokens.Algorithms = []string{"ES256"} })
	token := newLogoutToken(r.kc.Realm("shop"), "shop-api", "s1") // RS256
	if status, body := r.post(token); status != http.StatusOK {
		t.Errorf("got %d %s, want 200", status, body)
	}
}
