package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A user can sign in, use the query me, refresh and sign out. After that, refreshing fails.
func TestSession(t *testing.T) {
	t.Parallel()
	user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
	s := serve(t, sharedKeycloak)
	start := time.Now()
	first := s.mustLogin(t, user, "secret")
	// Keycloak counts the lifetimes from the start of the request.
	elapsed := int(time.Since(start).Seconds()) + 1
	if !strings.EqualFold(first.TokenType, "Bearer") || first.ExpiresIn < 300-elapsed ||
		first.ExpiresIn > 300 || first.RefreshExpiresIn < 1800-elapsed ||
		first.RefreshExpiresIn > 1800 || first.IdToken == "" {
		t.Errorf("login returned lifetimes of %d and %d s, type %q, and an ID token of %d bytes; "+
			"want about 300 and 1800 s, Bearer, and an ID token", first.ExpiresIn,
			first.RefreshExpiresIn, first.TokenType, len(first.IdToken))
	}
	if name, response := s.me(t, first.AccessToken); name != user {
		t.Errorf("me is %q, want %q\n%s", name, user, response.body)
	}
	second, response := s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh", response, "")
	if second.RefreshToken == first.RefreshToken {
		t.Error("refresh returned the same refresh token, want a new one")
	}
	if name, _ := s.me(t, second.AccessToken); name != user {
		t.Errorf("me after refresh is %q, want %q", name, user)
	}
	for range 2 { // signing out twice isn't an error
		response = s.logout(t, second.RefreshToken)
		wantCode(t, "logout", response, "")
		if string(response.Data["logout"]) != "true" {
			t.Errorf("logout is %s, want true", response.Data["logout"])
		}
	}
	_, response = s.refresh(t, second.RefreshToken)
	wantCode(t, "refresh after logout", response, "INVALID_REFRESH_TOKEN/SESSION_ENDED")
	// Logout also drops the cached response of the first refresh.
	_, response = s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh of the older token after logout", response,
		"INVALID_REFRESH_TOKEN/SESSION_ENDED")
}

// me returns the claims that Keycloak put into the token.
//
// Not parallel: if alice signs in twice at once, Keycloak's brute-force protection rejects one of
// the sign-ins even with the right password.
func TestMe(t *testing.T) {
	s := serve(t, sharedKeycloak)
	token := s.mustLogin(t, "alice", "alice-password").AccessToken
	response := s.query(t, token,
		`{ me { username email emailVerified name givenName familyName realmRoles groups
		clientRoles { client roles } token { scope acr session { authenticatedAt } claims } } }`, nil)
	for _, want := range []string{
		`"username":"alice"`, `"email":"alice@example.com"`, `"emailVerified":true`,
		`"name":"Alice Archer"`, `"givenName":"Alice"`, `"familyName":"Archer"`, `"user"`,
		`"groups":["/staff"]`, `{"client":"local-api","roles":["reader"]}`, `"acr":"1"`,
		`"session":{"authenticatedAt":null}`, `"iss":"` + sharedKeycloak.url + `/realms/local"`,
		`"typ":"Bearer"`, `"azp":"local-api"`,
	} {
		if !strings.Contains(response.body, want) {
			t.Errorf("me: got %s, want %s in it", response.body, want)
		}
	}
}

// Without REFRESH_GRACE, using a refresh token twice ends the session, as in Keycloak.
func TestRefresh_reuseWithoutGrace(t *testing.T) {
	t.Parallel()
	user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
	s := serve(t, sharedKeycloak, "REFRESH_GRACE=0")
	first := s.mustLogin(t, user, "secret")
	// Keycloak can mistake an older token for the newest if both were issued in the same second.
	time.Sleep(2 * time.Second)
	second, response := s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh", response, "")
	time.Sleep(2 * time.Second)
	_, response = s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh of the used token", response, "INVALID_REFRESH_TOKEN/REUSED")
	_, response = s.refresh(t, second.RefreshToken)
	wantCode(t, "refresh of the newest token", response, "INVALID_REFRESH_TOKEN/SESSION_ENDED")
}

// Using a refresh token again within REFRESH_GRACE returns the same response; using it again later
// ends the session.
func TestRefresh_reuseWithGrace(t *testing.T) {
	t.Parallel()
	user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
	s := serve(t, sharedKeycloak, "REFRESH_GRACE=1m")
	first := s.mustLogin(t, user, "secret")
	second, response := s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh", response, "")
	repeatedTokens, response := s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh within the grace", response, "")
	if repeatedTokens.AccessToken != second.AccessToken ||
		repeatedTokens.RefreshToken != second.RefreshToken {
		t.Error("refresh within the grace returned other tokens, want the same tokens again")
	}
	s = serve(t, sharedKeycloak, "REFRESH_GRACE=1s")
	first = s.mustLogin(t, user, "secret")
	// Keycloak can mistake an older token for the newest if both were issued in the same second.
	time.Sleep(2 * time.Second)
	_, response = s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh", response, "")
	time.Sleep(2 * time.Second)
	_, response = s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh after the grace", response, "INVALID_REFRESH_TOKEN/REUSED")
}

// me accepts the token of each user who signs in with login, regardless of their roles in other
// clients. Keycloak adds the other clients to aud, but never the client that requests the token.
func TestMe_rolesInOtherClients(t *testing.T) {
	t.Parallel()
	r := newRealm(t, sharedKeycloak, object{
		"clients": []object{
			apiClient(object{"protocolMappers": []object{}}),
			{"clientId": "billing", "enabled": true, "bearerOnly": true},
			apiClient(object{"clientId": "other-web", "secret": "other-secret",
				"protocolMappers": []object{}}),
		},
		"roles": object{"client": object{"billing": []object{{"name": "reader"}},
			"local-api": []object{{"name": "buyer"}}}},
		"users": []object{
			userWithRoles("plain", nil),
			userWithRoles("billed", object{"billing": []string{"reader"}}),
			userWithRoles("helper", object{"realm-management": []string{"view-users"}}),
			userWithRoles("buyer", object{"local-api": []string{"buyer"}}),
		},
	})
	defaultServer := r.serve(t)
	for _, name := range []string{"plain", "billed", "helper", "buyer"} {
		token := defaultServer.mustLogin(t, name, "secret").AccessToken
		if got, response := defaultServer.me(t, token); got != name {
			t.Errorf("me is %q, want %q\n%s", got, name, response.body)
		}
	}
	otherClientToken := func(name string) string {
		status, body := r.k.token(t, r.name, "grant_type", "password", "client_id", "other-web",
			"client_secret", "other-secret", "username", name, "password", "secret")
		var token struct {
			AccessToken string `json:"access_token"`
		}
		if json.Unmarshal([]byte(body), &token); token.AccessToken == "" {
			t.Fatalf("login at Keycloak: got %d %s, want an access token", status, body)
		}
		return token.AccessToken
	}
	restrictedServer := r.serve(t, "KEYCLOAK_AUTHORIZED_PARTIES=yet-another")
	for _, tt := range []struct {
		name   string
		server *server
		token  string
		want   string
	}{
		{"other client, user without a role of local-api", defaultServer,
			otherClientToken("billed"), "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED"},
		{"other client, user with a role of local-api", defaultServer, otherClientToken("buyer"),
			""},
		{"other client, user with a role of local-api, not an authorized party", restrictedServer,
			otherClientToken("buyer"), "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED"},
		{"other client, user with a role of local-api, authorized party",
			r.serve(t, "KEYCLOAK_AUTHORIZED_PARTIES=other-web"), otherClientToken("buyer"), ""},
		{"local-api, although only yet-another is an authorized party", restrictedServer,
			restrictedServer.mustLogin(t, "billed", "secret").AccessToken, ""},
		{"local-api, with an audience", r.serve(t, "KEYCLOAK_AUDIENCE=local-api"),
			defaultServer.mustLogin(t, "billed",
				"secret").AccessToken, "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED"},
	} {
		_, response := tt.server.me(t, tt.token)
		wantCode(t, tt.name, response, tt.want)
	}
}

// userWithRoles returns a user for a realm file, with the password "secret" and these client roles.
func userWithRoles(name string, clientRoles object) object {
	return object{
		"username": name, "enabled": true, "email": name + "@example.com", "firstName": "Test",
		"lastName":    "User",
		"credentials": []object{{"type": "password", "value": "secret"}},
		"clientRoles": clientRoles,
	}
}

// The owner of a refresh token and a thief at another address use the token, in either order. The
// server doesn't return its cached response to the second request. Instead, it calls Keycloak,
// which ends the session for both.
func TestRefresh_stolenToken(t *testing.T) {
	t.Parallel()
	const ownerAddress, thiefAddress = "192.0.2.10", "198.51.100.66"
	s := serve(t, sharedKeycloak, "TRUSTED_PROXIES=127.0.0.1")
	refresh := func(t *testing.T, address, token, want string) tokens {
		t.Helper()
		response, err := s.sendQueryFrom(t.Context(), address, "", refreshQuery,
			map[string]any{"r": token})
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, "refresh from "+address, response, want)
		got, _ := decodeTokens(t, "refresh", response)
		// Keycloak can mistake an older token for the newest if both were issued in the same
		// second.
		time.Sleep(2 * time.Second)
		return got
	}
	for name, order := range map[string][2]string{"the owner first": {ownerAddress, thiefAddress},
		"the thief first": {thiefAddress, ownerAddress}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
			first := s.mustLogin(t, user, "secret")
			time.Sleep(2 * time.Second)
			second := refresh(t, order[0], first.RefreshToken, "")
			refresh(t, order[1], first.RefreshToken, "INVALID_REFRESH_TOKEN/REUSED")
			refresh(t, order[0], second.RefreshToken, "INVALID_REFRESH_TOKEN/SESSION_ENDED")
			s.wantLog(t, "the response isn't repeated")
		})
	}
	t.Run("first token after two refreshes, from the same address", func(t *testing.T) {
		t.Parallel()
		user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
		first := s.mustLogin(t, user, "secret")
		time.Sleep(2 * time.Second)
		second := refresh(t, ownerAddress, first.RefreshToken, "")
		third := refresh(t, ownerAddress, second.RefreshToken, "")
		// Keycloak responds "Stale token".
		refresh(t, ownerAddress, first.RefreshToken, "INVALID_REFRESH_TOKEN/SESSION_ENDED")
		refresh(t, ownerAddress, third.RefreshToken, "INVALID_REFRESH_TOKEN/SESSION_ENDED")
	})
}

// Keycloak accepts a refresh token in several spellings. The server accepts only the canonical one.
// Otherwise, each spelling would have its own rate limit, call to Keycloak and cached response.
func TestRefresh_spellings(t *testing.T) {
	t.Parallel()
	user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
	s := serve(t, sharedKeycloak)
	token := s.mustLogin(t, user, "secret").RefreshToken
	signatureStart := strings.LastIndexByte(token, '.') + 1
	for name, spelling := range map[string]string{
		"padding": token + "==",
		"base64 alphabet": token[:signatureStart] +
			strings.NewReplacer("-", "+", "_", "/").Replace(token[signatureStart:]) + "=",
		// The signature has 64 bytes, so its last character has unused bits.
		"unused bits": token[:len(token)-1] +
			"BRhx"[strings.IndexByte("AQgw", token[len(token)-1]):][:1],
		"trailing dot":  token + ".",
		"leading space": " " + token,
	} {
		_, response := s.refresh(t, spelling)
		wantCode(t, name+", refresh", response, "INVALID_REFRESH_TOKEN/INVALID")
		wantCode(t, name+", logout", s.logout(t, spelling), "INVALID_REFRESH_TOKEN/INVALID")
	}
	_, response := s.refresh(t, token)
	wantCode(t, "refresh", response, "")
}

// Eight tabs that refresh at once share one call to Keycloak, even if the first tab is closed
// before Keycloak responds.
func TestRefresh_eightTabs(t *testing.T) {
	t.Parallel()
	user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
	gate := newGate(t, sharedKeycloak.url)
	s := serve(t, &keycloak{url: gate.url}, "KEYCLOAK_ISSUER="+sharedKeycloak.url+"/realms/local")
	first := s.mustLogin(t, user, "secret")

	gate.close()
	ctx, closeTab := context.WithCancel(t.Context())
	closedTabErr := make(chan error, 1)
	go func() {
		_, err := s.sendQuery(ctx, "", refreshQuery, map[string]any{"r": first.RefreshToken})
		closedTabErr <- err
	}()
	gate.waitForCall(t)
	var tabs sync.WaitGroup
	results := make([]tokens, 7)
	for i := range results {
		tabs.Go(func() {
			response, err := s.sendQuery(t.Context(), "", refreshQuery,
				map[string]any{"r": first.RefreshToken})
			if err != nil || response.code() != "" {
				t.Errorf("tab %d: %v %s", i+2, err, response.body)
				return
			}
			results[i], _ = decodeTokens(t, "refresh", response)
		})
	}
	time.Sleep(200 * time.Millisecond) // until the seven requests have arrived
	closeTab()
	if err := <-closedTabErr; !errors.Is(err, context.Canceled) {
		t.Errorf("the closed tab got %v, want %v", err, context.Canceled)
	}
	gate.open()
	tabs.Wait()
	if calls := gate.heldCalls.Load(); calls != 1 {
		t.Errorf("got %d calls to Keycloak, want one", calls)
	}
	for i, result := range results[1:] {
		if result.RefreshToken != results[0].RefreshToken {
			t.Errorf("tab %d got other tokens than tab 2, want the same", i+3)
		}
	}
	// The session continues: its newest tokens work with CloakQL and directly at Keycloak.
	if name, response := s.me(t, results[0].AccessToken); name != user {
		t.Errorf("me is %q, want %q\n%s", name, user, response.body)
	}
	request, _ := http.NewRequest(http.MethodGet,
		sharedKeycloak.url+"/realms/local/protocol/openid-connect/userinfo", nil)
	request.Header.Set("Authorization", "Bearer "+results[0].AccessToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("userinfo at Keycloak: got %d, want 200", response.StatusCode)
	}
	_, finalResponse := s.refresh(t, results[0].RefreshToken)
	wantCode(t, "refresh of the newest token", finalResponse, "")
}

// A gate is a proxy in front of Keycloak. While it is closed, it holds back calls to the token
// endpoint.
type gate struct {
	url       string
	calls     atomic.Int32  // all calls to the token endpoint
	heldCalls atomic.Int32  // the calls that were held back
	arrivals  chan struct{} // receives a value for each call that is held back

	mu       sync.Mutex    // guards released
	released chan struct{} // nil while the gate is open; otherwise a channel that open closes
}

// newGate starts an open gate in front of the Keycloak at target.
func newGate(t *testing.T, target string) *gate {
	t.Helper()
	targetURL, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{arrivals: make(chan struct{}, 64)}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(targetURL)
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		released := g.released
		g.mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "/token") {
			g.calls.Add(1)
		}
		if released != nil && strings.HasSuffix(r.URL.Path, "/token") {
			g.heldCalls.Add(1)
			g.arrivals <- struct{}{}
			<-released
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// close makes the gate hold back calls.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.released = make(chan struct{})
}

// open lets all calls pass.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.released)
	g.released = nil
}

// waitForCall waits until a call is held back.
func (g *gate) waitForCall(t *testing.T) {
	t.Helper()
	select {
	case <-g.arrivals:
	case <-time.After(timeout):
		t.Fatal("no call to Keycloak's token endpoint")
	}
}

// A stopping server finishes the requests in flight.
func TestLogin_whileStopping(t *testing.T) {
	t.Parallel()
	user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
	gate := newGate(t, sharedKeycloak.url)
	s := serve(t, &keycloak{url: gate.url}, "KEYCLOAK_ISSUER="+sharedKeycloak.url+"/realms/local")
	gate.close()
	responses := make(chan result, 1)
	go func() {
		response, err := s.sendQuery(context.Background(), "", loginQuery,
			map[string]any{"u": user, "p": "secret"})
		if err != nil {
			t.Error(err)
		}
		responses <- response
	}()
	gate.waitForCall(t)
	serverStopped := make(chan struct{})
	go func() { s.stop(t); close(serverStopped) }()
	waitUntil(t, "the log reports that the server is stopping", func() bool {
		return strings.Contains(s.storedLog(), "stopping")
	})
	gate.open()
	if response := <-responses; response.code() != "" {
		t.Errorf("the login in flight got %s, want tokens", response.body)
	}
	<-serverStopped
}
