package keycloaktest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A realm's name is escaped in URLs.
func TestRealm_nameWithSpace(t *testing.T) {
	kc := keycloaktest.New(t, shopNamed("my shop"))
	realm := kc.Realm("my shop")
	if want := kc.URL + "/realms/my%20shop"; realm.Name() != "my shop" || realm.URL() != want ||
		realm.Issuer() != want {
		t.Errorf("name is %s, URL %s and issuer %s, want the URL %s", realm.Name(),
			realm.URL(), realm.Issuer(), want)
	}
	login(t, realm, "alice", "alice-password").wantOK(t)
	if ignored := realm.Ignored(); len(ignored) != 0 {
		t.Errorf("Ignored() = %v, want none", ignored)
	}
}

// EndpointURL returns the same URLs as discovery, and panics for an unknown endpoint.
func TestRealm_EndpointURL(t *testing.T) {
	_, realm := start(t)
	discovery := get(t, realm.EndpointURL("/.well-known/openid-configuration")).wantOK(t)
	for endpoint, name := range map[string]string{
		"/certs": "jwks_uri", "/token": "token_endpoint",
		"/token/introspect": "introspection_endpoint", "/revoke": "revocation_endpoint",
		"/userinfo": "userinfo_endpoint", "/logout": "end_session_endpoint",
		"/auth": "authorization_endpoint", "/auth/device": "device_authorization_endpoint",
	} {
		if got, want := realm.EndpointURL(endpoint), discovery.field(name); got != want {
			t.Errorf("EndpointURL(%q) = %s, want %s", endpoint, got, want)
		}
	}
	if got, want := realm.EndpointURL("/device"), realm.URL()+"/device"; got != want {
		t.Errorf("EndpointURL(/device) = %s, want %s", got, want)
	}
	defer func() {
		if got := fmt.Sprint(recover()); got != "keycloaktest: there is no endpoint /cert" {
			t.Errorf("EndpointURL(/cert) panics with %q, want there is no endpoint", got)
		}
	}()
	realm.EndpointURL("/cert")
}

// Update changes realm settings for new requests; null means no change.
func TestRealm_Update(t *testing.T) {
	kc, realm := start(t)
	update := func(patch string) { t.Helper(); must(t, realm.Update([]byte(patch))) }

	update(`{"accessTokenLifespan": 60}`)
	if d := signIn(t, realm).ExpiresIn; d != time.Minute {
		t.Errorf("lifespan is %v, want 1m", d)
	}
	update(`{"defaultSignatureAlgorithm": "ES256", "accessTokenLifespan": null}`)
	tokens := signIn(t, realm)
	if alg := headerOf(t, tokens.AccessToken)["alg"]; alg != "ES256" ||
		tokens.ExpiresIn != time.Minute {
		t.Errorf("algorithm is %s and lifespan %v, want ES256 and still 1m", alg, tokens.ExpiresIn)
	}
	update(`{"loginWithEmailAllowed": false}`)
	login(t, realm, "alice@example.com", "alice-password").wantOAuthError(t, 400,
		"Invalid user credentials")
	update(`{"enabled": false}`)
	login(t, realm, "alice", "alice-password").wantOAuthError(t, 403, "Realm not enabled")
	update(`{"enabled": true}`)
	login(t, realm, "alice", "alice-password").wantOK(t)

	// As in Keycloak, the new attributes replace all old ones.
	update(`{"attributes": {"frontendUrl": "https://id.example.com"}}`)
	if want := "https://id.example.com/realms/shop"; realm.Issuer() != want ||
		claimsOf(t, realm)["iss"] != want {
		t.Errorf("issuer is %s, want %s", realm.Issuer(), want)
	}
	update(`{"attributes": {"a": "b"}}`)
	if want := kc.URL + "/realms/shop"; realm.Issuer() != want ||
		claimsOf(t, realm)["iss"] != want {
		t.Errorf("issuer is %s, want %s again", realm.Issuer(), want)
	}
}

// An invalid patch is an error and changes nothing.
func TestRealm_Update_invalid(t *testing.T) {
	_, realm := startWith(t,
		map[string]any{"accessTokenLifespan": 100,
			"attributes": map[string]any{"frontendUrl": "https://id.example.com"}}, nil, nil)
	for patch, want := range map[string]string{
		`[]`: "a JSON object is expected",
		`{"accessTokenLifespan": 1, "attributes": {"frontendUrl": "https://evil.example"}, "enabled": "no"}`: "enabled",
		`{"realm": "other"}`: "realm can't be changed",
		`{"users": []}`:      "users can't be changed",
		`{"clients": []}`:    "clients can't be changed",
		`{"accessTokenLifespan": 1, "failureFactor": -1}`: "less than 0",
	} {
		wantError(t, realm.Update([]byte(patch)), want)
		if tokens := signIn(t, realm); tokens.ExpiresIn != 100*time.Second ||
			realm.Issuer() != "https://id.example.com/realms/shop" {
			t.Errorf("after the invalid patch %s, lifespan is %v and issuer %s, want no change", patch,
				tokens.ExpiresIn, realm.Issuer())
		}
	}
}

// SetNotBefore revokes the tokens issued before a time; the zero time makes them valid again.
func TestRealm_SetNotBefore(t *testing.T) {
	kc, realm := start(t)
	oldTokens := signIn(t, realm)
	kc.Advance(time.Minute)
	realm.SetNotBefore(kc.Now())
	wantUserinfo(t, realm, oldTokens.AccessToken, "Token verification failed")
	refresh(t, realm, oldTokens.RefreshToken).wantOAuthError(t, 400, "Stale token")
	newTokens := signIn(t, realm)
	wantUserinfo(t, realm, newTokens.AccessToken, "")
	refresh(t, realm, newTokens.RefreshToken).wantOK(t)
	realm.SetNotBefore(time.Time{})
	wantUserinfo(t, realm, oldTokens.AccessToken, "")
	refresh(t, realm, oldTokens.RefreshToken).wantOK(t)
}

// UpdateClient changes a client's settings, secret, attributes and mappers.
func TestRealm_UpdateClient(t *testing.T) {
	_, realm := start(t)
	update := func(patch string) {
		t.Helper()
		must(t, realm.UpdateClient("shop-api", []byte(patch)))
	}
	signInWith := func(secret string) reply {
		return login(t, realm, "alice", "alice-password", "client_secret", secret)
	}

	update(`{"secret": "another"}`)
	signInWith("shop-api-secret").wantOAuthError(t, 401,
		"Invalid client or Invalid client credentials")
	signInWith("another").wantOK(t)
	update(`{"secret": "shop-api-secret", "enabled": false}`)
	signInWith("shop-api-secret").wantOAuthError(t, 401,
		"Invalid client or Invalid client credentials")
	update(`{"enabled": true, "directAccessGrantsEnabled": false}`)
	signInWith("shop-api-secret").wantOAuthError(t, 400, "Client not allowed for direct access grants")
	update(`{"directAccessGrantsEnabled": true}`)
	signInWith("shop-api-secret").wantOK(t)

	// Each attribute is changed by itself; an empty value deletes an attribute.
	update(`{"attributes": {"access.token.lifespan": "60"}}`)
	update(`{"attributes": {"a": "b"}}`)
	if d := signIn(t, realm).ExpiresIn; d != time.Minute {
		t.Errorf("lifespan is %v, want still 1m", d)
	}
	update(`{"attributes": {"access.token.lifespan": ""}}`)
	if d := signIn(t, realm).ExpiresIn; d != 5*time.Minute {
		t.Errorf("lifespan is %v, want the realm's 5m", d)
	}

	// The new mappers replace all old ones.
	update(`{"protocolMappers": [
		{"name": "a", "protocol": "openid-connect", "protocolMapper": "oidc-hardcoded-claim-mapper", "config": {"claim.name": "hidden", "claim.value": "x"}},
		{"name": "b", "protocol": "openid-connect", "protocolMapper": "oidc-hardcoded-claim-mapper", "config": {"claim.name": "seen", "claim.value": "x", "access.token.claim": "true"}}]}`)
	claims := claimsOf(t, realm)
	if claims["seen"] != "x" || claims["hidden"] != nil || claims["aud"] == "shop-api" ||
		claims["groups"] != nil {
		t.Errorf("claims are %v, want only those of the new mappers", claims)
	}
}

// Enabling service accounts creates the client's service account, once.
func TestRealm_UpdateClient_serviceAccount(t *testing.T) {
	_, realm := startWith(t, nil, map[string]any{"serviceAccountsEnabled": false}, nil)
	login := func() reply { return token(t, realm, "grant_type", "client_credentials") }
	login().wantOAuthError(t, 401, "Client not enabled to retrieve service account")
	for range 2 {
		must(t, realm.UpdateClient("shop-api", []byte(`{"serviceAccountsEnabled": true}`)))
		claims := parseClaims(t, login().wantOK(t).field("access_token"))
		if claims["preferred_username"] != "service-account-shop-api" ||
			claims["client_id"] != "shop-api" {
			t.Errorf("claims are %v, want a service account's", claims)
		}
	}
}

// An invalid patch of a client is an error and changes nothing.
func TestRealm_UpdateClient_invalid(t *testing.T) {
	_, realm := startWith(t, nil,
		map[string]any{"enabled": true,
			"attributes": map[string]any{"access.token.lifespan": "100"}}, nil)
	const changes = `"attributes": {"access.token.lifespan": "1"}, "enabled": false, "redirectUris": [],
		"protocolMappers": [{"name": "x", "protocol": "openid-connect", "protocolMapper": "oidc-hardcoded-claim-mapper", "config": {"claim.name": "aud", "access.token.claim": "true"}}]`
	for patch, want := range map[string]string{
		`"x"`: "a JSON object is expected",
		`{"publicClient": "perhaps", ` + changes + `}`: "publicClient",
		`{"clientId": "b", ` + changes + `}`:           "a client's id can't be changed",
	} {
		wantError(t, realm.UpdateClient("shop-api", []byte(patch)), want)
	}
	wantError(t, realm.UpdateClient("shop", []byte(`{}`)), `the realm has no client "shop"`)
	// The invalid patches must have no effect, even after a valid one.
	must(t, realm.UpdateClient("shop-api", []byte(`{"name": "Shop"}`)))
	r := login(t, realm, "alice", "alice-password").wantOK(t)
	if claims := parseClaims(t, r.field("access_token")); r.body["expires_in"] != 100.0 ||
		!slices.Contains(audience(claims), "shop-api") {
		t.Errorf("lifespan is %v s and the claims are %v, want them unchanged",
			r.body["expires_in"], claims)
	}
}

// Sessions returns all sessions that are neither ended nor expired.
func TestRealm_Sessions(t *testing.T) {
	kc, realm := start(t)
	if ids := realm.Sessions(); len(ids) != 0 {
		t.Errorf("at the start, Sessions() = %v, want none", ids)
	}
	first, second, offline := signIn(t, realm), signIn(t, realm),
		signIn(t, realm, "openid", "offline_access")
	wantSessions(t, realm, first.SessionID, second.SessionID, offline.SessionID)
	if sid := parseClaims(t, first.AccessToken)["sid"]; sid != first.SessionID {
		t.Errorf("sid is %v, want %s", sid, first.SessionID)
	}
	for _, s := range realm.Sessions() {
		want := keycloaktest.Session{ID: s.ID, UserID: user(t, realm, "alice").ID(),
			Offline: s.ID == offline.SessionID, Clients: []string{"shop-api"}}
		if fmt.Sprint(s) != fmt.Sprint(want) {
			t.Errorf("Sessions() has %v, want %v", s, want)
		}
	}
	post(t, oidcURL(realm, "/logout"), "client_id", "shop-api", "client_secret", "shop-api-secret",
		"refresh_token", second.RefreshToken)
	wantSessions(t, realm, first.SessionID, offline.SessionID)
	kc.Advance(first.RefreshExpiresIn)
	wantSessions(t, realm, offline.SessionID)
}

// EndSession ends exactly the session with the given ID and Offline flag.
func TestRealm_EndSession(t *testing.T) {
	_, realm := start(t)
	tokens, offline, other := signIn(t, realm), signIn(t, realm, "openid", "offline_access"),
		signIn(t, realm)
	for _, s := range []keycloaktest.Session{{ID: tokens.SessionID},
		{ID: offline.SessionID, Offline: true}} {
		otherKind := keycloaktest.Session{ID: s.ID, Offline: !s.Offline}
		if realm.EndSession(otherKind) || !realm.EndSession(s) || realm.EndSession(s) {
			t.Errorf("EndSession(%v) doesn't end exactly this session, or ends it twice", s)
		}
	}
	if realm.EndSession(keycloaktest.Session{ID: "no-such-session"}) {
		t.Error("EndSession returns true for an unknown session")
	}
	wantSessions(t, realm, other.SessionID)
	wantUserinfo(t, realm, tokens.AccessToken, "user_session_not_found")
	refresh(t, realm, tokens.RefreshToken).wantOAuthError(t, 400, "Session not active")
	refresh(t, realm, offline.RefreshToken).wantOAuthError(t, 400, "Offline user session not found")
}

// Methods that end a session return after the back-channel logouts have been sent.
func TestLogout_backchannel(t *testing.T) {
	logoutTokens := make(chan string, 10)
	client := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		logoutTokens <- r.PostFormValue("logout_token")
	}))
	defer client.Close()
	kc, realm := startWith(t, nil, map[string]any{"attributes": map[string]any{
		"backchannel.logout.url":              client.URL + "/bye",
		"backchannel.logout.session.required": "true",
	}}, nil)
	alice := user(t, realm, "alice")
	for name, endSession := range map[string]func(keycloaktest.Tokens) error{
		"EndSession": func(tokens keycloaktest.Tokens) error {
			if !realm.EndSession(keycloaktest.Session{ID: tokens.SessionID}) {
				return fmt.Errorf("no session %s", tokens.SessionID)
			}
			return nil
		},
		"Logout": func(keycloaktest.Tokens) error { return alice.Logout() },
	} {
		tokens := signIn(t, realm)
		must(t, endSession(tokens))
		if len(logoutTokens) != 1 {
			t.Fatalf("%s sends %d logout tokens, want 1", name, len(logoutTokens))
		}
		claims, err := verify(t, kc, realm, <-logoutTokens)
		if err != nil || claims["sid"] != tokens.SessionID || claims["sub"] != alice.ID() ||
			!strings.Contains(fmt.Sprint(claims["events"]), "backchannel-logout") {
			t.Errorf("%s sends %v (%v), want a logout token for session %s", name, claims, err,
				tokens.SessionID)
		}
		kc.Advance(time.Second) // Logout revokes all tokens issued in this second
	}
}
