package keycloaktest_test

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// With the zero Config, Start listens on 127.0.0.1 and has no realms.
func TestStart_zeroConfig(t *testing.T) {
	kc, err := keycloaktest.Start(keycloaktest.Config{})
	must(t, err)
	defer kc.Close()
	if !strings.HasPrefix(kc.URL, "http://127.0.0.1:") {
		t.Errorf("URL is %s, want a URL on 127.0.0.1", kc.URL)
	}
	if kc.Realm("shop") != nil {
		t.Error("Realm(shop) of a server without realm files isn't nil, want nil")
	}
	if r := get(t, kc.URL+"/realms/shop"); r.status != http.StatusNotFound ||
		r.field("error") != "Realm does not exist" {
		t.Errorf("request to an unknown realm returns %v, want 404", r)
	}
}

// If a realm file is invalid, Start returns an error and closes the listener.
func TestStart_errors(t *testing.T) {
	for _, tt := range []struct {
		name, file, want string
	}{
		{"file not in JSON", "realm: shop", "keycloaktest: realm file: invalid character"},
		{"no realm name", "{}", "keycloaktest: realm file: realm: missing"},
		{"unknown group", `{"realm": "x", "users": [{"username": "u", "groups": ["/g"]}]}`,
			`keycloaktest: realm x: user u: the realm has no group "/g"`},
		{"duplicate realm", string(shop.File()), "keycloaktest: there is a realm shop already"},
		{"file too long", `{"realm": "x"}` + strings.Repeat(" ", 16<<20),
			"keycloaktest: realm file: longer than 16777216 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer listener.Close()
			kc, err := keycloaktest.Start(
				keycloaktest.Config{Realms: [][]byte{shop.File(), []byte(tt.file)},
					Listener: listener})
			if err == nil {
				kc.Close()
			}
			wantError(t, err, tt.want)
			// For a listener that is still open, Accept would return a timeout.
			listener.(*net.TCPListener).SetDeadline(time.Now())
			if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept returns %v, want %v", err, net.ErrClosed)
			}
		})
	}
}

// A fakeTB is passed to New in place of a *testing.T. It records the failure and the cleanup
// functions.
type fakeTB struct {
	fatalMessage string
	cleanups     []func()
}

func (*fakeTB) Helper()             {}
func (tb *fakeTB) Cleanup(f func()) { tb.cleanups = append(tb.cleanups, f) }
func (tb *fakeTB) Fatalf(format string, args ...any) {
	tb.fatalMessage = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// New fails the test if a realm file is invalid.
func TestNew_error(t *testing.T) {
	var tb fakeTB
	var wg sync.WaitGroup
	wg.Go(func() {
		keycloaktest.New(&tb, shop.File(), []byte("{}"))
		t.Error("New returns after an error, want Fatalf")
	})
	wg.Wait()
	if want := "keycloaktest: realm file: realm: missing"; tb.fatalMessage != want {
		t.Errorf("New fails the test with %q, want %q", tb.fatalMessage, want)
	}
}

// New closes the server when the test ends.
func TestNew_cleanup(t *testing.T) {
	var tb fakeTB
	kc := keycloaktest.New(&tb, shop.File())
	get(t, kc.Realm("shop").URL()).wantOK(t)
	for _, f := range tb.cleanups {
		f()
	}
	wantNotListening(t, kc)
}

// Close can be called several times, even concurrently.
func TestClose_twice(t *testing.T) {
	kc, _ := startShop(t) // startShop's cleanup calls Close too
	kc.Close()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(kc.Close)
	}
	wg.Wait()
	wantNotListening(t, kc)
}

// Close aborts hanging and delayed requests.
func TestClose_requestsInFlight(t *testing.T) {
	faults := map[string]keycloaktest.Fault{"hanging requests": {Hang: true},
		"delayed requests": {Delay: time.Hour}}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			kc, realm := startShop(t)
			kc.Fail(fault)
			const n = 30
			errs := make(chan error)
			for range n {
				go func() {
					_, err := do(newRequest(t, http.MethodGet, oidcURL(realm, "/certs"), ""))
					errs <- err
				}()
			}
			waitFor(t, "all requests arrive", func() bool { return kc.Count("/certs") == n })
			kc.Close()
			for range n {
				select {
				case err := <-errs:
					if err == nil {
						t.Error("a closed server returns a response, want an error")
					}
				case <-time.After(waitTimeout):
					t.Fatal("after Close, a request still hangs, want an error")
				}
			}
		})
	}
}

// Parallel tests don't affect each other if each has its own server.
func TestServers_parallel(t *testing.T) {
	for i := range 6 {
		t.Run(fmt.Sprint("server ", i), func(t *testing.T) {
			t.Parallel()
			kc, realm := startShop(t)
			kid, err := realm.RotateKeys("ES256")
			must(t, err)
			kc.Advance(time.Duration(i) * time.Hour)
			must(t, mustFindUser(t, realm, "alice").SetPassword(fmt.Sprint("password-", i)))
			for range 3 {
				passwordGrant(t, realm, "alice", fmt.Sprint("password-", i)).wantOK(t)
			}
			passwordGrant(t, realm, "alice", "alice-password").wantOAuthError(t, 400,
				"Invalid user credentials")
			if n := kc.Count("/token"); n != 4 {
				t.Errorf("Count(/token) = %d, want this server's 4 requests", n)
			}
			if realm.SigningKeyID("ES256") != kid {
				t.Errorf("SigningKeyID(ES256) = %s, want this server's key %s",
					realm.SigningKeyID("ES256"),
					kid)
			}
			drift := time.Until(kc.Now()) - time.Duration(i)*time.Hour
			if drift.Abs() > time.Minute {
				t.Errorf("clock is off by %v, want at most a minute", drift)
			}
		})
	}
}

// All methods can be called concurrently. With -race, this test finds data races.
func TestServer_concurrentUse(t *testing.T) {
	kc, realm := startShop(t)
	alice := mustFindUser(t, realm, "alice")
	var wg sync.WaitGroup
	var importsDone atomic.Bool
	for _, call := range []func(){
		func() { passwordGrant(t, realm, "alice", "alice-password") },
		func() { getUserinfo(t, realm, signIn(t, realm).AccessToken) },
		func() { get(t, oidcURL(realm, "/certs")) },
		func() { kc.Advance(time.Second); kc.Now(); kc.Advance(-time.Second) },
		func() { kc.Fail(keycloaktest.Fault{Endpoint: "/revoke", Times: 1, Status: 500})() },
		func() { kc.Requests(); kc.Count("/token"); kc.ResetRequests() },
		func() {
			realm.Keys()
			realm.Sessions()
			realm.SigningKeyID("RS256")
			realm.Issuer()
			realm.Ignored()
		},
		func() {
			kid, err := realm.AddKey(keycloaktest.Key{Algorithm: "EdDSA"})
			if err != nil || realm.SetKeyPassive(kid, true) != nil || realm.RemoveKey(kid) != nil {
				t.Errorf("AddKey returns %v, or changing or removing the key fails, want no error",
					err)
			}
		},
		func() { realm.Update([]byte(`{"accessTokenLifespan": 60, "attributes": {"a": "b"}}`)) },
		func() { realm.UpdateClient("shop-api", []byte(`{"attributes": {"a": "b"}}`)) },
		func() {
			alice.Update([]byte(`{"attributes": {"a": ["b"]}}`))
			alice.GrantRole(keycloaktest.Role{Name: "r"})
		},
		func() {
			alice.RevokeRole(keycloaktest.Role{Name: "r"})
			alice.SetPassword("alice-password")
		},
		func() { // this function is the slowest, because Import generates keys; it ends the others
			for n := 0; n < 3 && !importsDone.Load(); n++ {
				if _, err := kc.Import(keycloaktest.RealmSpec{Name: "other"}.File()); err != nil ||
					!kc.Remove("other") {
					t.Errorf("Import returns %v, or Remove returns false, want no error and true",
						err)
				}
			}
			importsDone.Store(true)
		},
		func() {
			realm.Mint(keycloaktest.TokenSpec{})
			realm.SetNotBefore(time.Time{})
			realm.UserByID(alice.ID())
		},
	} {
		wg.Go(func() {
			for n := 0; n < 20 || !importsDone.Load(); n++ {
				call()
			}
		})
	}
	wg.Wait()
}

// All paths start with PathPrefix. In Config, the prefix may have slashes around it or not.
func TestConfig_PathPrefix(t *testing.T) {
	for _, prefix := range []string{"/auth", "/auth/", "auth", "/"} {
		t.Run(fmt.Sprintf("prefix %q", prefix), func(t *testing.T) {
			kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()},
				PathPrefix: prefix})
			must(t, err)
			defer kc.Close()
			path := strings.TrimSuffix("/"+strings.Trim(prefix, "/"), "/")
			host, _ := strings.CutSuffix(strings.TrimPrefix(kc.URL, "http://"), path)
			if _, _, err := net.SplitHostPort(host); err != nil {
				t.Fatalf("URL is %s, want a URL that ends in %q", kc.URL, path)
			}
			realm := kc.Realm("shop")
			want := kc.URL + "/realms/shop"
			if realm.URL() != want || realm.Issuer() != want {
				t.Errorf("realm's URL is %s and issuer %s, want %s", realm.URL(),
					realm.Issuer(), want)
			}
			discovery := get(t, want+"/.well-known/openid-configuration").wantOK(t)
			if issuer := discovery.field("issuer"); issuer != want {
				t.Errorf("discovery has the issuer %s, want %s", issuer, want)
			}
			passwordGrant(t, realm, "alice", "alice-password").wantOK(t)
			if kc.Count("/token") != 1 {
				t.Errorf("Count(/token) = %d, want 1", kc.Count("/token"))
			}
			if urlWithoutPrefix := "http://" + host + "/realms/shop"; urlWithoutPrefix != want {
				if r := get(t, urlWithoutPrefix); r.status != http.StatusNotFound {
					t.Errorf("GET %s returns %v, want 404", urlWithoutPrefix, r)
				}
			}
		})
	}
}

// PublicURL is the base of the issuer and of the URLs in discovery, but not of Realm.URL.
func TestConfig_PublicURL(t *testing.T) {
	kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()},
		PublicURL: "https://id.example.com/sso/"})
	must(t, err)
	defer kc.Close()
	realm := kc.Realm("shop")
	const publicIssuer = "https://id.example.com/sso/realms/shop"
	if want := kc.URL + "/realms/shop"; realm.URL() != want ||
		!strings.HasPrefix(want, "http://127.0.0.1:") {
		t.Errorf("realm's URL is %s, want %s", realm.URL(), want)
	}
	discovery := get(t, realm.URL()+"/.well-known/openid-configuration").wantOK(t)
	for name, want := range map[string]string{
		"issuer": publicIssuer, "token_endpoint": publicIssuer + "/protocol/openid-connect/token",
		"jwks_uri": publicIssuer + "/protocol/openid-connect/certs",
	} {
		if got := discovery.field(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	for _, token := range []string{signIn(t, realm).AccessToken,
		passwordGrant(t, realm, "alice", "alice-password").wantOK(t).field("access_token")} {
		claims, err := verify(t, kc, realm, token)
		if err != nil || claims["iss"] != publicIssuer || realm.Issuer() != publicIssuer {
			t.Errorf("iss is %v (%v) and Issuer() %s, want %s", claims["iss"], err,
				realm.Issuer(), publicIssuer)
		}
	}
}

// The server accepts connections from Listener. If the listener is closed, the server stops, and
// Err returns the listener's error.
func TestConfig_Listener(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()},
		Listener: listener})
	must(t, err)
	defer kc.Close()
	if want := "http://" + listener.Addr().String(); kc.URL != want {
		t.Errorf("URL is %s, want %s", kc.URL, want)
	}
	get(t, kc.Realm("shop").URL()).wantOK(t)
	if err := kc.Err(); err != nil {
		t.Errorf("while the server runs, Err() = %v, want nil", err)
	}
	must(t, listener.Close())
	waitFor(t, "Err returns net.ErrClosed", func() bool {
		return errors.Is(kc.Err(), net.ErrClosed)
	})
	wantNotListening(t, kc)
	kc.Close()
}

// Config.Now and Advance determine the time of tokens and requests.
func TestConfig_Now(t *testing.T) {
	noon := time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC)
	kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()},
		Now: func() time.Time { return noon }})
	must(t, err)
	defer kc.Close()
	realm := kc.Realm("shop")
	tokens := signIn(t, realm)
	if iat := parseClaims(t, tokens.AccessToken)["iat"]; iat != float64(noon.Unix()) ||
		!kc.Now().Equal(noon) {
		t.Errorf("iat is %v at %v, want %d", iat, kc.Now(), noon.Unix())
	}
	for _, step := range []struct {
		advance   time.Duration
		sinceNoon time.Duration
		reason    string // why userinfo rejects the token, or ""
	}{
		{tokens.ExpiresIn - time.Second, 4*time.Minute + 59*time.Second, ""},
		{time.Second, 5 * time.Minute, ""}, // Keycloak accepts a token during the second of exp
		{time.Second, 5*time.Minute + time.Second, "Token verification failed"},
		{-time.Minute - time.Second, 4 * time.Minute, ""},
		{time.Hour, 64 * time.Minute, "Token verification failed"},
		{-65 * time.Minute, -time.Minute, ""}, // Keycloak accepts tokens issued in the future
		{time.Minute, 0, ""},
	} {
		kc.Advance(step.advance)
		if got := kc.Now().Sub(noon); got != step.sinceNoon {
			t.Errorf("after Advance(%v), the clock is at noon + %v, want %v", step.advance, got,
				step.sinceNoon)
		}
		if step.reason == "" {
			wantUserinfoOK(t, realm, tokens.AccessToken)
		} else {
			wantUserinfoError(t, realm, tokens.AccessToken, step.reason)
		}
	}
	requests := kc.Requests()
	if lastTime := requests[len(requests)-1].Time; !lastTime.Equal(noon) {
		t.Errorf("last request was at %v, want noon", lastTime)
	}
}

// If a handler panics, the server logs the panic and returns status 500. A closed connection would
// look like a Fault.
func TestServer_panic(t *testing.T) {
	var logBuffer bytes.Buffer
	log.SetOutput(&logBuffer)
	defer log.SetOutput(os.Stderr)
	var clockPanics atomic.Bool
	kc, err := keycloaktest.Start(keycloaktest.Config{Now: func() time.Time {
		if clockPanics.Load() {
			panic("a broken clock")
		}
		return time.Now()
	}})
	must(t, err)
	// Faults aren't logged.
	for _, fault := range []keycloaktest.Fault{{Disconnect: true}, {Truncate: true}} {
		remove := kc.Fail(fault)
		if _, err := do(newRequest(t, http.MethodGet, kc.URL, "")); err == nil {
			t.Errorf("request with fault %v returns no error, want one", fault)
		}
		remove()
	}
	if logBuffer.Len() > 0 {
		t.Errorf("after faults, log is %q, want nothing", logBuffer.String())
	}
	clockPanics.Store(true)
	if r, err := do(newRequest(t, http.MethodGet, kc.URL, "")); err != nil || r.status != 500 ||
		r.field("error") != "not_in_keycloaktest" ||
		!strings.Contains(r.field("error_description"), "a broken clock") {
		t.Errorf("response is %v (%v), want 500 with the panic's message", r, err)
	}
	kc.Close()
	if !strings.Contains(logBuffer.String(), "a broken clock") ||
		!strings.Contains(logBuffer.String(), "server_test.go") {
		t.Errorf("log is %q, want the panic's message and stack", logBuffer.String())
	}
}
