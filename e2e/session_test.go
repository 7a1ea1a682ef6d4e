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

// The whole of a session: sign in, be someone, refresh, sign out, and stay out.
func TestSession(t *testing.T) {
	t.Parallel()
	user, _ := realm{shared, "local"}.newUser(t, nil)
	s := serve(t, shared)
	begin := time.Now()
	first := s.mustLogin(t, user, "secret")
	took := int(time.Since(begin).Seconds()) + 1 // Keycloak takes what it needed from the lifetimes
	if !strings.EqualFold(first.TokenType, "Bearer") || first.ExpiresIn < 300-took ||
		first.ExpiresIn > 300 || first.RefreshExpiresIn < 1800-took ||
		first.RefreshExpiresIn > 1800 || first.IdToken == "" {
		t.Errorf("login gave lifetimes %d and %d, type %q, ID token of %d bytes", first.ExpiresIn,
			first.RefreshExpiresIn, first.TokenType, len(first.IdToken))
	}
	if name, response := s.me(t, first.AccessToken); name != user {
		t.Errorf("me is %q, want the user\n%s", name, response.body)
	}
	second, response := s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh", response, "")
	if second.RefreshToken == first.RefreshToken {
		t.Error("refresh gave the same refresh token again")
	}
	if name, _ := s.me(t, second.AccessToken); name != user {
		t.Errorf("me after refresh is %q, want the user", name)
	}
	for range 2 { // signing out twice is no error
		response = s.logout(t, second.RefreshToken)
		wantCode(t, "logout", response, "")
		if string(response.Data["logout"]) != "true" {
			t.Errorf("logout is %s, want true", response.Data["logout"])
		}
	}
	_, response = s.refresh(t, second.RefreshToken)
	wantCode(t, "refresh after logout", response, "INVALID_REFRESH_TOKEN/SESSION_ENDED")
	// The answer of the first refresh was remembered; logout dropped it.
	_, response = s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh of the older token after logout", response,
		"INVALID_REFRESH_TOKEN/SESSION_ENDED")
}

// What me says is what Keycloak signed.
//
// Not parallel: of two sign-ins of one user at once, Keycloak's brute-force protection refuses one,
// right password and all, and alice is one user.
func TestMe(t *testing.T) {
	s := serve(t, shared)
	token := s.mustLogin(t, "alice", "alice-password").AccessToken
	response := s.query(t, token,
		`{ me { username email emailVerified name givenName familyName realmRoles groups
		clientRoles { client roles } token { scope acr session { authenticatedAt } claims } } }`, nil)
	for _, want := range []string{
		`"username":"alice"`, `"email":"alice@example.com"`, `"emailVerified":true`,
		`"name":"Alice Archer"`, `"givenName":"Alice"`, `"familyName":"Archer"`, `"user"`,
		`"groups":["/staff"]`, `{"client":"local-api","roles":["reader"]}`, `"acr":"1"`,
		`"session":{"authenticatedAt":null}`, `"iss":"` + shared.url + `/realms/local"`,
		`"typ":"Bearer"`, `"azp":"local-api"`,
	} {
		if !strings.Contains(response.body, want) {
			t.Errorf("me lacks %s in\n%s", want, response.body)
		}
	}
}

// Without the grace, a refresh token that is presented twice costs the session: Keycloak's rule.
func TestReuseWithoutGrace(t *testing.T) {
	t.Parallel()
	user, _ := realm{shared, "local"}.newUser(t, nil)
	s := serve(t, shared, "REFRESH_GRACE=0")
	first := s.mustLogin(t, user, "secret")
	// Within the second, Keycloak can take an older token for the newest.
	time.Sleep(2 * time.Second)
	second, response := s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh", response, "")
	time.Sleep(2 * time.Second)
	_, response = s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh of the used token", response, "INVALID_REFRESH_TOKEN/REUSED")
	_, response = s.refresh(t, second.RefreshToken)
	wantCode(t, "refresh of the newest token", response, "INVALID_REFRESH_TOKEN/SESSION_ENDED")
}

// Within the grace, the same answer again; after it, Keycloak's rule.
func TestReuseWithGrace(t *testing.T) {
	t.Parallel()
	user, _ := realm{shared, "local"}.newUser(t, nil)
	s := serve(t, shared, "REFRESH_GRACE=1m")
	first := s.mustLogin(t, user, "secret")
	second, response := s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh", response, "")
	again, response := s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh within the grace", response, "")
	if again.AccessToken != second.AccessToken || again.RefreshToken != second.RefreshToken {
		t.Error("within the grace the answer is another one")
	}
	s = serve(t, shared, "REFRESH_GRACE=1s")
	first = s.mustLogin(t, user, "secret")
	// within the second, Keycloak can take an older token for the newest
	time.Sleep(2 * time.Second)
	_, response = s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh", response, "")
	time.Sleep(2 * time.Second)
	_, response = s.refresh(t, first.RefreshToken)
	wantCode(t, "refresh after the grace", response, "INVALID_REFRESH_TOKEN/REUSED")
}

// Everybody whom login signs in is somebody for me, whatever roles they have elsewhere: by them
// Keycloak puts other clients into aud, and never the one that asks.
func TestRolesInOtherClients(t *testing.T) {
	t.Parallel()
	r := newRealm(t, shared, object{
		"clients": []object{
			apiClient(object{"protocolMappers": []object{}}),
			{"clientId": "billing", "enabled": true, "bearerOnly": true},
			apiClient(object{"clientId": "other-web", "secret": "other-secret",
				"protocolMappers": []object{}}),
		},
		"roles": object{"client": object{"billing": []object{{"name": "reader"}},
			"local-api": []object{{"name": "buyer"}}}},
		"users": []object{
			personWith("plain", nil), personWith("billed", object{"billing": []string{"reader"}}),
			personWith("helper", object{"realm-management": []string{"view-users"}}),
			personWith("buyer", object{"local-api": []string{"buyer"}}),
		},
	})
	unset := r.serve(t)
	for _, name := range []string{"plain", "billed", "helper", "buyer"} {
		token := unset.mustLogin(t, name, "secret").AccessToken
		if got, response := unset.me(t, token); got != name {
			t.Errorf("me of %s is %s", name, response.body)
		}
	}
	other := func(name string) string {
		status, body := r.k.token(t, r.name, "grant_type", "password", "client_id", "other-web",
			"client_secret", "other-secret", "username", name, "password", "secret")
		var token struct {
			AccessToken string `json:"access_token"`
		}
		if json.Unmarshal([]byte(body), &token); token.AccessToken == "" {
			t.Fatalf("%d %s", status, body)
		}
		return token.AccessToken
	}
	narrowed := r.serve(t, "KEYCLOAK_AUTHORIZED_PARTIES=yet-another")
	for _, tt := range []struct {
		what  string
		s     *server
		token string
		want  string
	}{
		{"another client's, whose user has no role of ours", unset, other("billed"), "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED"},
		{"another client's, whose user has a role of ours", unset, other("buyer"), ""},
		{"another client's, whose user has a role of ours, narrowed", narrowed, other("buyer"), "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED"},
		{"the same, of a client that may", r.serve(t, "KEYCLOAK_AUTHORIZED_PARTIES=other-web"), other("buyer"), ""},
		{"our own, narrowed", narrowed, narrowed.mustLogin(t, "billed", "secret").AccessToken, ""},
		{"our own, where an audience is set", r.serve(t, "KEYCLOAK_AUDIENCE=local-api"), unset.mustLogin(t, "billed", "secret").AccessToken, "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED"},
	} {
		_, response := tt.s.me(t, tt.token)
		wantCode(t, tt.what, response, tt.want)
	}
}

// personWith is a user of a realm file with the password "secret".
func personWith(name string, clientRoles object) object {
	return object{
		"username": name, "enabled": true, "email": name + "@example.com", "firstName": "Test",
		"lastName":    "User",
		"credentials": []object{{"type": "password", "value": "secret"}},
		"clientRoles": clientRoles,
	}
}

// A thief of a used refresh token, at another address, doesn't stay signed in beside its owner:
// Keycloak is asked, and ends the session for both, whichever of the two came first.
func TestThiefOfARefreshToken(t *testing.T) {
	t.Parallel()
	const owner, thief = "192.0.2.10", "198.51.100.66"
	s := serve(t, shared, "TRUSTED_PROXIES=127.0.0.1")
	refresh := func(t *testing.T, address, token, want string) tokens {
		t.Helper()
		response, err := s.tryFrom(t.Context(), address, "", refreshQuery,
			map[string]any{"r": token})
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, "refresh from "+address, response, want)
		got, _ := gotTokens(t, "refresh", response)
		// within the second, Keycloak can take an older token for the newest
		time.Sleep(2 * time.Second)
		return got
	}
	for name, order := range map[string][2]string{"the owner first": {owner, thief},
		"the thief first": {thief, owner}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user, _ := realm{shared, "local"}.newUser(t, nil)
			first := s.mustLogin(t, user, "secret")
			time.Sleep(2 * time.Second)
			second := refresh(t, order[0], first.RefreshToken, "")
			refresh(t, order[1], first.RefreshToken, "INVALID_REFRESH_TOKEN/REUSED")
			refresh(t, order[0], second.RefreshToken, "INVALID_REFRESH_TOKEN/SESSION_ENDED")
			s.wantLog(t, "its answer isn't repeated")
		})
	}
	t.Run("once the owner used the new one, from the same network", func(t *testing.T) {
		t.Parallel()
		user, _ := realm{shared, "local"}.newUser(t, nil)
		first := s.mustLogin(t, user, "secret")
		time.Sleep(2 * time.Second)
		second := refresh(t, owner, first.RefreshToken, "")
		third := refresh(t, owner, second.RefreshToken, "")
		// "Stale token"
		refresh(t, owner, first.RefreshToken, "INVALID_REFRESH_TOKEN/SESSION_ENDED")
		refresh(t, owner, third.RefreshToken, "INVALID_REFRESH_TOKEN/SESSION_ENDED")
	})
}

// Keycloak reads one refresh token in many spellings. Ours is the only one that reaches it, so no
// spelling has a budget, an exchange or a repeated answer of its own.
func TestOneSpellingOfARefreshToken(t *testing.T) {
	t.Parallel()
	user, _ := realm{shared, "local"}.newUser(t, nil)
	s := serve(t, shared)
	token := s.mustLogin(t, user, "secret").RefreshToken
	last := strings.LastIndexByte(token, '.') + 1
	for name, spelling := range map[string]string{
		"padding": token + "==",
		"the other alphabet": token[:last] +
			strings.NewReplacer("-", "+", "_", "/").Replace(token[last:]) + "=",
		// of 64 bytes
		"stray bits": token[:len(token)-1] +
			"BRhx"[strings.IndexByte("AQgw", token[len(token)-1]):][:1],
		"a dot at the end":     token + ".",
		"a space in the front": " " + token,
	} {
		_, response := s.refresh(t, spelling)
		wantCode(t, name+", refresh", response, "INVALID_REFRESH_TOKEN/INVALID")
		wantCode(t, name+", logout", s.logout(t, spelling), "INVALID_REFRESH_TOKEN/INVALID")
	}
	_, response := s.refresh(t, token)
	wantCode(t, "refresh", response, "")
}

// Eight tabs wake up at once, and the first is closed before Keycloak has answered.
func TestEightTabs(t *testing.T) {
	t.Parallel()
	user, _ := realm{shared, "local"}.newUser(t, nil)
	gate := newGate(t, shared.url)
	s := serve(t, &keycloak{url: gate.url}, "KEYCLOAK_ISSUER="+shared.url+"/realms/local")
	first := s.mustLogin(t, user, "secret")

	gate.close()
	ctx, closeTab := context.WithCancel(t.Context())
	closed := make(chan error, 1)
	go func() {
		_, err := s.try(ctx, "", refreshQuery, map[string]any{"r": first.RefreshToken})
		closed <- err
	}()
	gate.waitForCall(t)
	var tabs sync.WaitGroup
	answers := make([]tokens, 7)
	for i := range answers {
		tabs.Go(func() {
			response, err := s.try(t.Context(), "", refreshQuery,
				map[string]any{"r": first.RefreshToken})
			if err != nil || response.code() != "" {
				t.Errorf("tab %d: %v %s", i+2, err, response.body)
				return
			}
			answers[i], _ = gotTokens(t, "refresh", response)
		})
	}
	time.Sleep(200 * time.Millisecond) // the seven are on their way
	closeTab()
	if err := <-closed; !errors.Is(err, context.Canceled) {
		t.Errorf("the closed tab got %v; want that it was cancelled before an answer", err)
	}
	gate.open()
	tabs.Wait()
	if calls := gate.calls.Load(); calls != 1 {
		t.Errorf("Keycloak was asked %d times, want once", calls)
	}
	for i, answer := range answers[1:] {
		if answer.RefreshToken != answers[0].RefreshToken {
			t.Errorf("tab %d got other tokens", i+3)
		}
	}
	// The session lives on: the newest tokens work, at CloakQL and at Keycloak itself.
	if name, response := s.me(t, answers[0].AccessToken); name != user {
		t.Errorf("me is %q, want the user\n%s", name, response.body)
	}
	request, _ := http.NewRequest(http.MethodGet,
		shared.url+"/realms/local/protocol/openid-connect/userinfo", nil)
	request.Header.Set("Authorization", "Bearer "+answers[0].AccessToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("Keycloak's userinfo answers %d, want 200", response.StatusCode)
	}
	_, last := s.refresh(t, answers[0].RefreshToken)
	wantCode(t, "refresh of the newest token", last, "")
}

// A gate stands before Keycloak's token endpoint and can hold calls back. It passes the answers on
// as they are, and counts the calls that came while it was closed, and all of them.
type gate struct {
	url    string
	calls  atomic.Int32
	passed atomic.Int32
	came   chan struct{}

	mu   sync.Mutex // guards wait
	wait chan struct{}
}

func newGate(t *testing.T, target string) *gate {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{came: make(chan struct{}, 64)}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		wait := g.wait
		g.mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "/token") {
			g.passed.Add(1)
		}
		if wait != nil && strings.HasSuffix(r.URL.Path, "/token") {
			g.calls.Add(1)
			g.came <- struct{}{}
			<-wait
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wait = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.wait)
	g.wait = nil
}

func (g *gate) waitForCall(t *testing.T) {
	t.Helper()
	select {
	case <-g.came:
	case <-time.After(patience):
		t.Fatal("no call came to Keycloak's token endpoint")
	}
}

// A server that is told to stop answers what is under way first.
func TestStopWhileSigningIn(t *testing.T) {
	t.Parallel()
	user, _ := realm{shared, "local"}.newUser(t, nil)
	gate := newGate(t, shared.url)
	s := serve(t, &keycloak{url: gate.url}, "KEYCLOAK_ISSUER="+shared.url+"/realms/local")
	gate.close()
	answered := make(chan result, 1)
	go func() {
		response, err := s.try(context.Background(), "", loginQuery,
			map[string]any{"u": user, "p": "secret"})
		if err != nil {
			t.Error(err)
		}
		answered <- response
	}()
	gate.waitForCall(t)
	stopped := make(chan struct{})
	go func() { s.stop(t); close(stopped) }()
	eventually(t, "the log says that the server stops", func() bool {
		return strings.Contains(s.logged(), "stopping")
	})
	gate.open()
	if response := <-answered; response.code() != "" {
		t.Errorf("the login under way got %s", response.body)
	}
	<-stopped
}
