package keycloaktest

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Each test in this file checks that a fixed bug doesn't come back.

const regressionRealmFile = `{"realm": "r", "enabled": true, "clients": [
	{"clientId": "app", "publicClient": true, "directAccessGrantsEnabled": true, "redirectUris": ["http://app.test/a/*"]},
	{"clientId": "robot", "secret": "s", "serviceAccountsEnabled": true}
], "users": [
	{"username": "ann", "enabled": true, "email": "ann@x.test", "firstName": "A", "lastName": "N", "credentials": [{"type": "password", "value": "a"}]}
]}`

// Userinfo and revocation find an offline session even if an expired online session has the same
// ID.
func TestOfflineSession_sameIDAsOnline(t *testing.T) {
	s := New(t,
		[]byte(strings.Replace(browserRealmFile, `"username": "ann"`,
			`"username": "ann", "realmRoles": ["offline_access"]`, 1)))
	r, b := s.Realm("r"), newBrowser(t, s)
	b.authorize() // first without offline_access, so that there is an online session, too
	b.post(b.formAction(), "username", "ann", "password", "a")
	b.authorize("scope", "openid offline_access")
	_, tokens := postForm(t, r.URL()+oidcPath+"/token", "grant_type", "authorization_code",
		"client_id", "app", "code", b.redirect.Query().Get("code"),
		"redirect_uri", "http://app.test/a/cb")
	if len(r.sessions) != 1 || len(r.offlineSessions) != 1 {
		t.Fatalf("realm has %d online and %d offline sessions, want one of each: %v",
			len(r.sessions),
			len(r.offlineSessions), tokens)
	}
	s.Advance(time.Hour)
	_, tokens = postForm(t, r.URL()+oidcPath+"/token", "grant_type", "refresh_token",
		"client_id", "app", "refresh_token", tokens["refresh_token"].(string))
	accessToken, _ := tokens["access_token"].(string)
	status, body := postForm(t, r.URL()+oidcPath+"/userinfo", "access_token", accessToken)
	if status != 200 {
		t.Errorf("userinfo returns %d %v, want 200", status, body)
	}
	_, body = postForm(t, r.URL()+oidcPath+"/revoke", "client_id", "app", "token", accessToken)
	if body["error"] != nil {
		t.Errorf("revocation returns %v, want no error", body)
	}
	sessions := r.Sessions()
	if len(sessions) != 1 || !sessions[0].Offline || sessions[0].UserID != r.User("ann").ID() ||
		!slices.Equal(sessions[0].Clients, []string{"app"}) {
		t.Errorf("Sessions() = %+v, want only the offline session", sessions)
	}
}

// A mapper for the claim exp.x doesn't replace the claim exp with an object. The object would make
// the server panic.
func TestMapper_nestedInReservedClaim(t *testing.T) {
	for _, name := range []string{"exp.x", "typ.x", "auth_time.x", "email_verified.x"} {
		r := New(t,
			[]byte(
				`{"realm": "r", "enabled": true, "clients": [{"clientId": "app", "publicClient": true, "directAccessGrantsEnabled": true, "protocolMappers": [
			{"name": "m", "protocol": "openid-connect", "protocolMapper": "oidc-hardcoded-claim-mapper",
				"config": {"claim.name": "`+name+`", "claim.value": "v", "access.token.claim": "true", "id.token.claim": "true"}}]}],
			"users": [{"username": "ann", "enabled": true}]}`)).Realm("r")
		tokens := mustSignIn(t, r)
		r.mu.Lock()
		payload, err := r.verifyToken(tokens.AccessToken)
		r.mu.Unlock()
		claim, _, _ := strings.Cut(name, ".")
		if _, isObject := payload[claim].(map[string]any); err != nil || isObject {
			t.Errorf("with a mapper for %s, claims are %v (%v), want %s not to be an object", name,
				payload, err, claim)
		}
	}
}

// A sign-in fails if the user is deleted during the sign-in, or if the client or the realm is
// disabled.
func TestLogin_disabledDuringSignIn(t *testing.T) {
	for want, change := range map[string]func(*Realm) error{
		"An internal server error has occurred": func(r *Realm) error {
			return r.User("ann").Delete()
		},
		"Login requester not enabled": func(r *Realm) error {
			return r.UpdateClient("app", []byte(`{"enabled": false}`))
		},
		"Realm not enabled": func(r *Realm) error {
			return r.Update([]byte(`{"enabled": false}`))
		},
		"HTTPS required": func(r *Realm) error {
			return r.Update([]byte(`{"sslRequired": "all"}`))
		},
	} {
		s := New(t,
			[]byte(strings.Replace(browserRealmFile, `"username": "ann"`,
				`"username": "ann", "requiredActions": ["UPDATE_PASSWORD"]`, 1)))
		b := newBrowser(t, s)
		b.authorize()
		b.post(b.formAction(), "username", "ann", "password", "a")
		if err := change(s.Realm("r")); err != nil {
			t.Fatal(err)
		}
		b.post(b.formAction(), "password-new", "n", "password-confirm", "n")
		b.wantPageText(want)
	}
}

// Back-channel logouts don't follow redirects.
func TestLogout_backchannelRedirect(t *testing.T) {
	var redirectCount atomic.Int32
	targetServer := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		redirectCount.Add(1)
	}))
	defer targetServer.Close()
	clientServer := httptest.NewServer(
		http.RedirectHandler(targetServer.URL, http.StatusTemporaryRedirect))
	defer clientServer.Close()
	r := New(t, []byte(regressionRealmFile)).Realm("r")
	err := r.UpdateClient("app",
		[]byte(`{"attributes": {"backchannel.logout.url": "`+clientServer.URL+`"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if !r.EndSession(Session{ID: mustSignIn(t, r).SessionID}) {
		t.Error("EndSession returns false, want true")
	}
	if n := redirectCount.Load(); n != 0 {
		t.Errorf("%d requests followed the redirect, want none", n)
	}
}

// The server doesn't hold its own lock while it calls Config.Now.
func TestServer_Now_withoutLock(t *testing.T) {
	var s *Server
	s, err := Start(Config{Now: func() time.Time {
		if s != nil {
			s.Realm("r")
		}
		return time.Unix(1e9, 0)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Now()
		s.recordRequest(httptest.NewRequest(http.MethodGet, "/", nil))
	}()
	select {
	case <-done:
	case <-time.After(4 * time.Minute):
		t.Fatal("Config.Now deadlocks when it calls Server.Realm, want no deadlock")
	}
}

// A brokenListener returns errBroken for each connection.
type brokenListener struct{ net.Listener }

var errBroken = errors.New("broken")

func (brokenListener) Accept() (net.Conn, error) { return nil, errBroken }

// If the listener fails, Err returns the listener's error, and the process continues.
func TestServer_Err_brokenListener(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(Config{Listener: brokenListener{listener}})
	if err != nil {
		t.Fatal(err)
	}
	<-s.serveDone
	if err := s.Err(); !errors.Is(err, errBroken) {
		t.Errorf("Err() = %v, want %v", err, errBroken)
	}
	s.Close()
}

// Start returns an error for a listener that isn't on a loopback address.
func TestStart_notLoopback(t *testing.T) {
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(Config{Listener: listener})
	wantError(t, err, "isn't a loopback address")
}

// A fault's Delay may be longer than the server's ReadTimeout.
func TestFault_delay_readTimeout(t *testing.T) {
	s := New(t, []byte(regressionRealmFile))
	httpServer := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	httpServer.Config.ReadTimeout = 50 * time.Millisecond
	httpServer.Start()
	defer httpServer.Close()
	s.Fail(Fault{Endpoint: "/token", Delay: 300 * time.Millisecond})
	start := time.Now()
	status, body := postForm(t, httpServer.URL+"/realms/r"+oidcPath+"/token", "client_id", "app",
		"grant_type", "password", "username", "ann", "password", "a")
	if status != 200 {
		t.Errorf("delayed response is %d %v, want 200", status, body)
	}
	if elapsed := time.Since(start); elapsed < 300*time.Millisecond {
		t.Errorf("response took %v, want at least 300ms", elapsed)
	}
}

// A request to /realms/r/certs, which isn't the key set's path, doesn't count as a request for the
// key set. Count and Fail panic for an unknown endpoint.
func TestServer_Count_unknownEndpoint(t *testing.T) {
	s := New(t, []byte(regressionRealmFile))
	s.Fail(Fault{Endpoint: "/certs", Status: 503})
	s.Fail(Fault{})
	for path, want := range map[string]int{"/realms/r/certs": 404,
		"/realms/r" + oidcPath + "/certs": 503} {
		response, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("GET %s returns %d, want %d", path, response.StatusCode, want)
		}
	}
	if s.Count("/certs") != 1 || s.Count("") != 2 {
		t.Errorf("Count(/certs) = %d and Count(\"\") = %d, want 1 and 2; requests are %v",
			s.Count("/certs"), s.Count(""), s.Requests())
	}
	wantPanic(t, `has no endpoint "/cert"`, func() { s.Count("/cert") })
	wantPanic(t, "has no endpoint", func() {
		s.Fail(Fault{Endpoint: oidcPath + "/token", Status: 500})
	})
	wantPanic(t, "the status 1000", func() { s.Fail(Fault{Status: 1000}) })
}

// SignIn returns an error if the realm, the client or the user is disabled.
func TestRealm_SignIn_disabled(t *testing.T) {
	for want, change := range map[string]func(*Realm) error{
		"user ann is disabled": func(r *Realm) error {
			return r.User("ann").Update([]byte(`{"enabled": false}`))
		},
		"client app is disabled": func(r *Realm) error {
			return r.UpdateClient("app", []byte(`{"enabled": false}`))
		},
		"realm r is disabled": func(r *Realm) error {
			return r.Update([]byte(`{"enabled": false}`))
		},
	} {
		r := New(t, []byte(regressionRealmFile)).Realm("r")
		if err := change(r); err != nil {
			t.Fatal(err)
		}
		_, err := r.SignIn("app", "ann")
		wantError(t, err, want)
	}
}

// If a token has no session, userinfo accepts it only if its subject is the client's service
// account.
func TestUserinfo_otherSubject(t *testing.T) {
	r := New(t, []byte(regressionRealmFile)).Realm("r")
	for sub, want := range map[string]int{"other-user": 401,
		r.clients["robot"].serviceAccount.ID: 200} {
		token, err := r.Mint(
			TokenSpec{Claims: map[string]any{"azp": "robot", "sub": sub, "scope": "openid"}})
		if err != nil {
			t.Fatal(err)
		}
		status, _ := postForm(t, r.URL()+oidcPath+"/userinfo", "access_token", token)
		if status != want {
			t.Errorf("userinfo for sub %s returns %d, want %d", sub, status, want)
		}
	}
}

// The methods of a removed realm, and of its users, return an error.
func TestRealm_removed(t *testing.T) {
	s := New(t, []byte(regressionRealmFile))
	r := s.Realm("r")
	ann := r.User("ann")
	s.Remove("r")
	_, signInErr := r.SignIn("app", "ann")
	_, mintErr := r.Mint(TokenSpec{})
	_, addErr := r.AddUser([]byte(`{"username": "u"}`))
	for _, err := range []error{signInErr, mintErr, addErr, r.Update([]byte("{}")),
		r.UpdateClient("app", []byte("{}")), ann.SetPassword("x"), ann.Logout()} {
		wantError(t, err, "the realm was removed")
	}
}

// After changes, User finds a user only by the current username and email address.
func TestRealm_User_afterChanges(t *testing.T) {
	r := New(t, []byte(regressionRealmFile)).Realm("r")
	ann := r.User("ANN@x.test")
	if ann == nil || ann.Update([]byte(`{"username": "Anna", "email": "Anna@x.test"}`)) != nil {
		t.Fatal("User(ANN@x.test) = nil, or Update fails, want the user and no error")
	}
	for name, want := range map[string]bool{"ann": false, "ann@x.test": false, "anna": true,
		"anna@X.test": true} {
		if (r.User(name) != nil) != want {
			t.Errorf("User(%q) returns a user: %t, want %t", name, !want, want)
		}
	}
	_, err := r.AddUser([]byte(`{"username": "b", "email": "anna@x.test"}`))
	wantError(t, err, "another user has the e-mail address")
	if r.Update([]byte(`{"duplicateEmailsAllowed": true}`)) != nil || r.User("anna@x.test") != nil {
		t.Error("Update fails, or User finds a user by a non-unique email address, want nil")
	}
	if ann.Delete() != nil || r.User("anna") != nil {
		t.Error("Delete fails, or User returns the deleted user, want nil")
	}
}

// A failed AddUser creates no roles. AddUser returns an error if the client already has a service
// account.
func TestRealm_AddUser_atomic(t *testing.T) {
	r := New(t, []byte(regressionRealmFile)).Realm("r")
	_, err := r.AddUser([]byte(`{"username": "u", "realmRoles": ["new"], "groups": ["/none"]}`))
	wantError(t, err, "no group")
	if r.roles["new"] != nil {
		t.Error("a failed AddUser creates a role, want none")
	}
	_, err = r.AddUser([]byte(`{"username": "u", "serviceAccountClientId": "robot"}`))
	wantError(t, err, "already has an account")
}

// The token endpoint accepts a valid form even if the URL has a malformed query.
func TestToken_malformedQuery(t *testing.T) {
	r := New(t, []byte(regressionRealmFile)).Realm("r")
	status, body := postForm(t, r.URL()+oidcPath+"/token?a=b;c", "client_id", "app", "grant_type",
		"password", "username", "ann", "password", "a")
	if status != 200 {
		t.Errorf("with a malformed query, response is %d %v, want 200", status, body)
	}
}

// When settings change, the server records when each session would have ended without the change. A
// second change doesn't overwrite this record.
func TestRealm_Update_twice(t *testing.T) {
	s := New(t, []byte(regressionRealmFile))
	r := s.Realm("r")
	tokens := mustSignIn(t, r)
	for _, patch := range []string{`{"ssoSessionIdleTimeout": 60}`,
		`{"ssoSessionIdleTimeout": 50}`} {
		if err := r.Update([]byte(patch)); err != nil {
			t.Fatal(err)
		}
	}
	firstChange := r.sessions[tokens.SessionID].clients["app"].changedAt
	s.Advance(time.Second)
	err := r.UpdateClient("app", []byte(`{"attributes": {"client.session.idle.timeout": "40"}}`))
	if err != nil {
		t.Fatal(err)
	}
	secondChange := r.sessions[tokens.SessionID].clients["app"].changedAt
	if !secondChange.After(firstChange) {
		t.Errorf("the client's second change is recorded at %v, want a time after the first, %v",
			secondChange, firstChange)
	}
	s.Advance(2 * time.Minute)
	r.mu.Lock()
	defer r.mu.Unlock()
	payload, _ := r.verifyToken(tokens.AccessToken)
	if _, reason := r.grantForToken(payload, s.Now()); reason != "session_expired" {
		t.Errorf("grantForToken returns %q, want session_expired", reason)
	}
}
