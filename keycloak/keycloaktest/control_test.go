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
	kc := keycloaktest.New(t, shopFileNamed("my shop"))
	realm := kc.Realm("my shop")
	if want := kc.URL + "/realms/my%20shop"; realm.Name() != "my shop" || realm.URL() != want ||
		realm.Issuer() != want {
		t.Errorf("name is %s, URL %s and issuer %s, want the URL %s", realm.Name(),
			realm.URL(), realm.Issuer(), want)
	}
	passwordGrant(t, realm, "alice", "alice-password").wantOK(t)
	if ignored := realm.Ignored(); len(ignored) != 0 {
		t.Errorf("Ignored() = %v, want none", ignored)
	}
}

// EndpointURL returns the same URLs as discovery, and panics for an unknown endpoint.
func TestRealm_EndpointURL(t *testing.T) {
	_, realm := startShop(t)
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
		const want = "keycloaktest: there is no endpoint /cert"
		if got := fmt.Sprint(recover()); got != want {
			t.Errorf("EndpointURL(/cert) panics with %q, want %q", got, want)
		}
	}()
	realm.EndpointURL("/cert")
}

// Update changes realm settings for later requests. A field with the value null isn't changed.
func TestRealm_Update(t *testing.T) {
	kc, realm := startShop(t)
	update := func(patch string) { t.Helper(); must(t, realm.Update([]byte(patch))) }

	update(`{"accessTokenLifespan": 60}`)
	if d := signIn(t, realm).ExpiresIn; d != time.Minute {
		t.Errorf("lifespan is %v, want 1m", d)
	}
	update(`{"defaultSignatureAlgorithm": "ES256", "accessTokenLifespan": null}`)
	tokens := signIn(t, realm)
	if alg := parseHeader(t, tokens.AccessToken)["alg"]; alg != "ES256" ||
		tokens.ExpiresIn != time.Minute {
		t.Errorf("algorithm is %s and lifespan %v, want ES256 and still 1m", alg, tokens.ExpiresIn)
	}
	update(`{"loginWithEmailAllowed": false}`)
	passwordGrant(t, realm, "alice@example.com", "alice-password").wantOAuthError(t, 400,
		"Invalid user credentials")
	update(`{"enabled": false}`)
	passwordGrant(t, realm, "alice", "alice-password").wantOAuthError(t, 403, "Realm not enabled")
	update(`{"enabled": true}`)
	passwordGrant(t, realm, "alice", "alice-password").wantOK(t)

	// As in Keycloak, the patch's attributes replace all attributes of the realm.
	update(`{"attributes": {"frontendUrl": "https://id.example.com"}}`)
	if want := "https://id.example.com/realms/shop"; realm.Issuer() != want ||
		signInClaims(t, realm)["iss"] != want {
		t.Errorf("issuer is %s, want %s", realm.Issuer(), want)
	}
	update(`{"attributes": {"a": "b"}}`)
	if want := kc.URL + "/realms/shop"; realm.Issuer() != want ||
		signInClaims(t, realm)["iss"] != want {
		t.Errorf("issuer is %s, want %s again", realm.Issuer(), want)
	}
}

// Update returns an error for an invalid patch, and changes nothing.
func TestRealm_Update_invalid(t *testing.T) {
	_, realm := startShopWith(t,
		map[string]any{"accessTokenLifespan": 100,
			"attributes": map[string]any{"frontendUrl": "https://id.example.com"}}, nil, nil)
	for patch, want := range map[string]string{
		`[]`: "a JSON object is expected",
		`{"accessTokenLifespan": 1, "attributes": {"frontendUrl": "https://evil.example"}, ` +
			`"enabled": "no"}`: "enabled",
		`{"realm": "other"}`: "realm can't be changed",
		`{"users": []}`:      "users can't be changed",
		`{"clients": []}`:    "clients can't be changed",
		`{"accessTokenLifespan": 1, "failureFactor": -1}`: "less than 0",
	} {
		wantError(t, realm.Update([]byte(patch)), want)
		if tokens := signIn(t, realm); tokens.ExpiresIn != 100*time.Second ||
			realm.Issuer() != "https://id.example.com/realms/shop" {
			t.Errorf("after the invalid patch %s, lifespan is %v and issuer %s, want no change",
				patch,
				tokens.ExpiresIn, realm.Issuer())
		}
	}
}

// SetNotBefore revokes the tokens that were issued before a time. The zero time makes these tokens
// valid again.
func TestRealm_SetNotBefore(t *testing.T) {
	kc, realm := startShop(t)
	oldTokens := signIn(t, realm)
	kc.Advance(time.Minute)
	realm.SetNotBefore(kc.Now())
	wantUserinfoError(t, realm, oldTokens.AccessToken, "Token verification failed")
	refresh(t, realm, oldTokens.RefreshToken).wantOAuthError(t, 400, "Stale token")
	newTokens := signIn(t, realm)
	wantUserinfoOK(t, realm, newTokens.AccessToken)
	refresh(t, realm, newTokens.RefreshToken).wantOK(t)
	realm.SetNotBefore(time.Time{})
	wantUserinfoOK(t, realm, oldTokens.AccessToken)
	refresh(t, realm, oldTokens.RefreshToken).wantOK(t)
}

// UpdateClient changes a client's settings, secret, attributes and mappers.
func TestRealm_UpdateClient(t *testing.T) {
	_, realm := startShop(t)
	update := func(patch string) {
		t.Helper()
		must(t, realm.UpdateClient("shop-api", []byte(patch)))
	}
	loginWithSecret := func(secret string) reply {
		return passwordGrant(t, realm, "alice", "alice-password", "client_secret", secret)
	}

	update(`{"secret": "another"}`)
	loginWithSecret("shop-api-secret").wantOAuthError(t, 401,
		"Invalid client or Invalid client credentials")
	loginWithSecret("another").wantOK(t)
	update(`{"secret": "shop-api-secret", "enabled": false}`)
	loginWithSecret("shop-api-secret").wantOAuthError(t, 401,
		"Invalid client or Invalid client credentials")
	update(`{"enabled": true, "directAccessGrantsEnabled": false}`)
	loginWithSecret("shop-api-secret").wantOAuthError(t, 400,
		"Client not allowed for direct access grants")
	update(`{"directAccessGrantsEnabled": true}`)
	loginWithSecret("shop-api-secret").wantOK(t)

	// A patch changes only the attributes that it contains. An empty value deletes an attribute.
	update(`{"attributes": {"access.token.lifespan": "60"}}`)
	update(`{"attributes": {"a": "b"}}`)
	if d := signIn(t, realm).ExpiresIn; d != time.Minute {
		t.Errorf("lifespan is %v, want still 1m", d)
	}
	update(`{"attributes": {"access.token.lifespan": ""}}`)
	if d := signIn(t, realm).ExpiresIn; d != 5*time.Minute {
		t.Errorf("lifespan is %v, want the realm's 5m", d)
	}

	// The patch's mappers replace all mappers of the client.
	update(`{"protocolMappers": [
		{"name": "a", "protocol": "openid-connect", "protocolMapper": "oidc-hardcoded-claim-mapper", "config": {"claim.name": "in-no-token", "claim.value": "x"}},
		{"name": "b", "protocol": "openid-connect", "protocolMapper": "oidc-hardcoded-claim-mapper", "config": {"claim.name": "in-access-token", "claim.value": "x", "access.token.claim": "true"}}]}`)
	claims := signInClaims(t, realm)
	if claims["in-access-token"] != "x" || claims["in-no-token"] != nil ||
		claims["aud"] == "shop-api" || claims["groups"] != nil {
		t.Errorf("claims are %v, want in-access-token, and no claims of the old mappers", claims)
	}
}

// UpdateClient with serviceAccountsEnabled creates the client's service account. The same patch can
// be repeated.
func TestRealm_UpdateClient_serviceAccount(t *testing.T) {
	_, realm := startShopWith(t, nil, map[string]any{"serviceAccountsEnabled": false}, nil)
	sendGrant := func() reply { return postToken(t, realm, "grant_type", "client_credentials") }
	sendGrant().wantOAuthError(t, 401, "Client not enabled to retrieve service account")
	for range 2 {
		must(t, realm.UpdateClient("shop-api", []byte(`{"serviceAccountsEnabled": true}`)))
		claims := parseClaims(t, sendGrant().wantOK(t).field("access_token"))
		if claims["preferred_username"] != "service-account-shop-api" ||
			claims["client_id"] != "shop-api" {
			t.Errorf("claims are %v, want service-account-shop-api and client_id shop-api", claims)
		}
	}
}

// UpdateClient returns an error for an invalid patch, and changes nothing.
func TestRealm_UpdateClient_invalid(t *testing.T) {
	_, realm := startShopWith(t, nil,
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
	// The invalid patches must have no effect, even after a valid patch.
	must(t, realm.UpdateClient("shop-api", []byte(`{"name": "Shop"}`)))
	r := passwordGrant(t, realm, "alice", "alice-password").wantOK(t)
	if claims := parseClaims(t, r.field("access_token")); r.body["expires_in"] != 100.0 ||
		!slices.Contains(audience(claims), "shop-api") {
		t.Errorf("after invalid patches, expires_in is %v and claims are %v, want 100 and the old "+
			"audience shop-api", r.body["expires_in"], claims)
	}
}

// Sessions returns the online and offline sessions that haven't ended or expired.
func TestRealm_Sessions(t *testing.T) {
	kc, realm := startShop(t)
	if sessions := realm.Sessions(); len(sessions) != 0 {
		t.Errorf("before the first sign-in, Sessions() = %v, want none", sessions)
	}
	tokens1, tokens2 := signIn(t, realm), signIn(t, realm)
	offlineTokens := signIn(t, realm, "openid", "offline_access")
	wantSessions(t, realm, tokens1.SessionID, tokens2.SessionID, offlineTokens.SessionID)
	if sid := parseClaims(t, tokens1.AccessToken)["sid"]; sid != tokens1.SessionID {
		t.Errorf("sid is %v, want %s", sid, tokens1.SessionID)
	}
	for _, s := range realm.Sessions() {
		want := keycloaktest.Session{ID: s.ID, UserID: mustFindUser(t, realm, "alice").ID(),
			Offline: s.ID == offlineTokens.SessionID, Clients: []string{"shop-api"}}
		if fmt.Sprint(s) != fmt.Sprint(want) {
			t.Errorf("Sessions() has %v, want %v", s, want)
		}
	}
	post(t, oidcURL(realm, "/logout"), "client_id", "shop-api", "client_secret", "shop-api-secret",
		"refresh_token", tokens2.RefreshToken)
	wantSessions(t, realm, tokens1.SessionID, offlineTokens.SessionID)
	kc.Advance(tokens1.RefreshExpiresIn)
	wantSessions(t, realm, offlineTokens.SessionID)
}

// EndSession ends only the session whose ID and Offline flag match, and reports whether there was
// such a session.
func TestRealm_EndSession(t *testing.T) {
	_, realm := startShop(t)
	tokens, otherTokens := signIn(t, realm), signIn(t, realm)
	offlineTokens := signIn(t, realm, "openid", "offline_access")
	for _, s := range []keycloaktest.Session{{ID: tokens.SessionID},
		{ID: offlineTokens.SessionID, Offline: true}} {
		otherSession := keycloaktest.Session{ID: s.ID, Offline: !s.Offline}
		got := []bool{realm.EndSession(otherSession), realm.EndSession(s), realm.EndSession(s)}
		if want := []bool{false, true, false}; !slices.Equal(got, want) {
			t.Errorf("EndSession(%v), and EndSession(%v) twice, return %v, want %v", otherSession,
				s,
				got, want)
		}
	}
	if realm.EndSession(keycloaktest.Session{ID: "no-such-session"}) {
		t.Error("EndSession returns true for an unknown session, want false")
	}
	wantSessions(t, realm, otherTokens.SessionID)
	wantUserinfoError(t, realm, tokens.AccessToken, "user_session_not_found")
	refresh(t, realm, tokens.RefreshToken).wantOAuthError(t, 400, "Session not active")
	refresh(t, realm, offlineTokens.RefreshToken).wantOAuthError(t, 400,
		"Offline user session not found")
}

// Methods that end sessions return only when the back-channel logouts have been sent.
func TestLogout_backchannel(t *testing.T) {
	logoutTokens := make(chan string, 10)
	recordToken := func(_ http.ResponseWriter, r *http.Request) {
		logoutTokens <- r.PostFormValue("logout_token")
	}
	clientServer := httptest.NewServer(http.HandlerFunc(recordToken))
	defer clientServer.Close()
	kc, realm := startShopWith(t, nil, map[string]any{"attributes": map[string]any{
		"backchannel.logout.url":              clientServer.URL + "/bye",
		"backchannel.logout.session.required": "true",
	}}, nil)
	alice := mustFindUser(t, realm, "alice")
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
		kc.Advance(time.Second) // because Logout revokes all tokens of the current second
	}
}
