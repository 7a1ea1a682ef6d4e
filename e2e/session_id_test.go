package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// tokenClaim returns a text in the payload of a token.
func tokenClaim(t *testing.T, token, name string) string {
	t.Helper()
	var claims map[string]any
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q isn't a token", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		t.Fatalf("the payload of %q isn't JSON", token)
	}
	text, _ := claims[name].(string)
	return text
}

// tokens exchanges a code for tokens.
func (p *loginPage) tokens(code string) tokens {
	p.t.Helper()
	_, body := p.realm.k.token(p.t, p.realm.name, "grant_type", "authorization_code",
		"client_id", "local-api", "client_secret", "local-api-secret", "code", code,
		"redirect_uri", stepUpRedirectURI)
	var response struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	if json.Unmarshal([]byte(body), &response); response.AccessToken == "" {
		p.t.Fatalf("code %q: %s, want tokens", code, body)
	}
	return tokens{AccessToken: response.AccessToken, RefreshToken: response.RefreshToken}
}

// administratorClient is a client of a realm that may administer the realm.
const administratorClient = "administrator"

// endSessionFromRealm ends a session with a token of administratorClient. After a call by an
// administrator of the realm master, the sign-ins in the user's other tabs would start anew.
func (r realm) endSessionFromRealm(t *testing.T, id string) {
	t.Helper()
	if r.k.fake != nil {
		r.endSession(t, id)
		return
	}
	_, body := r.k.token(t, r.name, "grant_type", "client_credentials", "client_id",
		administratorClient, "client_secret", "secret")
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal([]byte(body), &token); token.AccessToken == "" {
		t.Fatalf("%s, want an access token", body)
	}
	request, err := http.NewRequest(http.MethodDelete,
		r.k.url+"/admin/realms/"+r.name+"/sessions/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	response, err := keycloakClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatalf("end a session: got %d, want 204", response.StatusCode)
	}
}

// A user opens the login page in two tabs and signs in on the first. An administrator ends the
// session, and the user signs in on the second tab. Keycloak gives the new session the same ID. The
// old access token stays refused, and the tokens that the new session gets ten seconds after the
// end are accepted.
func TestRevocation_sessionIDUsedAgain(t *testing.T) {
	t.Parallel()
	r := newRealm(t, sharedKeycloak, object{
		"clients": []object{apiClient(object{
			"standardFlowEnabled": true, "redirectUris": []string{stepUpRedirectURI}}),
			{"clientId": administratorClient, "enabled": true, "secret": "secret",
				"serviceAccountsEnabled": true}},
		"users": []object{ruleUser("alice", nil),
			{"username": "service-account-" + administratorClient, "enabled": true,
				"serviceAccountClientId": administratorClient,
				"clientRoles":            object{"realm-management": []string{"realm-admin"}}}},
	})
	s := r.serve(t)
	serverURL, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	r.updateClient(t, apiClient(object{"standardFlowEnabled": true,
		"redirectUris": []string{stepUpRedirectURI}, "attributes": object{
			"backchannel.logout.url": "http://127.0.0.1:" + serverURL.Port() +
				"/backchannel-logout",
			"backchannel.logout.session.required": "true",
		}}))
	page := &loginPage{t: t, realm: r, cookies: map[string]string{}}
	credentials := url.Values{"username": {"alice"}, "password": {"secret"}}
	firstTab, _ := page.open("")
	secondTab, _ := page.open("")
	_, code := page.submit(firstTab, credentials)
	old := page.tokens(code)
	_, response := s.me(t, old.AccessToken)
	wantCode(t, "me", response, "")
	sessionID := tokenClaim(t, old.AccessToken, "sid")
	r.endSessionFromRealm(t, sessionID)
	endedAt := time.Now()
	_, response = s.me(t, old.AccessToken)
	wantCode(t, "me after the end", response, "UNAUTHENTICATED/TOKEN_REVOKED")

	_, code = page.submit(secondTab, credentials)
	session := page.tokens(code)
	if got := tokenClaim(t, session.AccessToken, "sid"); got != sessionID {
		t.Fatalf("the new session has the ID %s, want %s, as before: the test is pointless", got,
			sessionID)
	}
	// The server refuses tokens that Keycloak issues up to ten seconds after the end.
	time.Sleep(time.Until(endedAt.Add(11 * time.Second)))
	session, response = s.refresh(t, session.RefreshToken)
	wantCode(t, "refresh in the new session", response, "")
	_, response = s.me(t, session.AccessToken)
	wantCode(t, "me in the new session", response, "")
	_, response = s.me(t, old.AccessToken)
	wantCode(t, "me with the old token", response, "UNAUTHENTICATED/TOKEN_REVOKED")
}
