package keycloaktest_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// Until a fault with a Status is removed, requests get its Status, Body and ContentType.
func TestFault_status(t *testing.T) {
	kc, realm := startShop(t)
	for _, tt := range []struct {
		name, contentType string
		fault             keycloaktest.Fault
	}{
		{"HTML", "text/html;charset=UTF-8",
			keycloaktest.Fault{Status: 503, Body: "<h1>Service Unavailable</h1>"}},
		{"JSON", "application/json",
			keycloaktest.Fault{Status: 502, Body: `{"keys": []}`, ContentType: "application/json"}},
		{"status 200", "text/html;charset=UTF-8",
			keycloaktest.Fault{Status: 200, Body: "<h1>Maintenance</h1>"}},
		{"empty body", "text/html;charset=UTF-8", keycloaktest.Fault{Status: 500}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			remove := kc.Fail(tt.fault)
			r := get(t, oidcURL(realm, "/certs"))
			if r.status != tt.fault.Status || r.text != tt.fault.Body ||
				r.header.Get("Content-Type") != tt.contentType {
				t.Errorf("response is %v of type %s, want %d %s of type %s", r,
					r.header.Get("Content-Type"), tt.fault.Status, tt.fault.Body, tt.contentType)
			}
			remove()
			wantStatus(t, oidcURL(realm, "/certs"), 200)
		})
	}
}

// A fault affects only its Endpoint, or all paths if Endpoint is empty.
func TestFault_endpoint(t *testing.T) {
	kc, realm := startShop(t)
	discoveryURL := realm.URL() + "/.well-known/openid-configuration"
	for endpoint, address := range map[string]string{"/certs": oidcURL(realm, "/certs"),
		"/.well-known/openid-configuration": discoveryURL} {
		remove := kc.Fail(keycloaktest.Fault{Endpoint: endpoint, Status: 503})
		wantStatus(t, address, 503)
		passwordGrant(t, realm, "alice", "alice-password").wantOK(t) // other endpoints work
		wantStatus(t, realm.URL(), 200)
		remove()
		wantStatus(t, address, 200)
	}
	kc.Fail(keycloaktest.Fault{Status: 503})
	for _, address := range []string{oidcURL(realm, "/certs"), discoveryURL, realm.URL(),
		oidcURL(realm, "/no-such-thing"), kc.URL} {
		wantStatus(t, address, 503)
	}
}

// A fault ends after Times requests to its endpoint.
func TestFault_times(t *testing.T) {
	kc, realm := startShop(t)
	remove := kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Times: 2, Status: 503})
	wantStatus(t, oidcURL(realm, "/certs"), 503)
	// A request to another endpoint doesn't count.
	passwordGrant(t, realm, "alice", "alice-password").wantOK(t)
	wantStatus(t, oidcURL(realm, "/certs"), 503)
	wantStatus(t, oidcURL(realm, "/certs"), 200)
	remove() // the fault has already ended
	kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Status: 500})
	remove() // must not remove the new fault
	wantStatus(t, oidcURL(realm, "/certs"), 500)
	if n := kc.Count("/certs"); n != 4 {
		t.Errorf("Count(/certs) = %d, want 4", n)
	}
}

// Exactly Times of several concurrent requests fail.
func TestFault_times_concurrent(t *testing.T) {
	kc, realm := startShop(t)
	kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Times: 7, Status: 503})
	var mu sync.Mutex // guards failures
	failures := 0
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			r, err := do(newRequest(t, http.MethodGet, oidcURL(realm, "/certs"), ""))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if r.status == 503 {
				failures++
			}
		})
	}
	wg.Wait()
	if failures != 7 {
		t.Errorf("%d of 20 requests failed, want 7", failures)
	}
}

// If several faults match a request, the last one injected applies. Faults can be removed in any
// order.
func TestFault_lastWins(t *testing.T) {
	kc, realm := startShop(t)
	certsURL := oidcURL(realm, "/certs")
	removeFirst := kc.Fail(keycloaktest.Fault{Status: 503})
	removeSecond := kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Status: 500})
	kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Times: 1, Status: 429})
	wantStatus(t, certsURL, 429)
	wantStatus(t, certsURL, 500)
	wantStatus(t, realm.URL(), 503)
	removeFirst() // the fault that was added later stays
	wantStatus(t, realm.URL(), 200)
	wantStatus(t, certsURL, 500)
	removeSecond()
	removeSecond() // has no effect
	wantStatus(t, certsURL, 200)
}

// Disconnect takes precedence over Status and Truncate, and Status takes precedence over Truncate.
func TestFault_precedence(t *testing.T) {
	kc, realm := startShop(t)
	remove := kc.Fail(keycloaktest.Fault{Disconnect: true, Status: 503, Truncate: true})
	wantDisconnect(t, oidcURL(realm, "/certs"))
	remove()
	remove = kc.Fail(keycloaktest.Fault{Status: 503, Body: "all of it", Truncate: true})
	if r := get(t, oidcURL(realm, "/certs")); r.status != 503 || r.text != "all of it" {
		t.Errorf("response is %v, want 503 \"all of it\"", r)
	}
	remove()
	kc.Fail(keycloaktest.Fault{}) // has no effect
	wantStatus(t, oidcURL(realm, "/certs"), 200)
}

// Delay delays the response, whether or not the fault has a Status.
func TestFault_delay(t *testing.T) {
	kc, realm := startShop(t)
	const delay = 50 * time.Millisecond
	kc.Fail(keycloaktest.Fault{Delay: delay, Times: 1})
	kc.Fail(keycloaktest.Fault{Delay: delay, Status: 503, Times: 1})
	for _, status := range []int{503, 200} { // the fault with a Status was added last
		start := time.Now()
		r := passwordGrant(t, realm, "alice", "alice-password")
		if elapsed := time.Since(start); r.status != status || elapsed < delay {
			t.Errorf("response is %v after %v, want %d after at least %v", r, elapsed, status,
				delay)
		}
	}
}

// The server executes a delayed request even if the client cancels it. The request in this test
// uses up a refresh token.
func TestFault_delay_clientGone(t *testing.T) {
	spec := shop
	spec.Settings = map[string]any{"revokeRefreshToken": true}
	kc := keycloaktest.New(t, spec.File())
	realm := kc.Realm("shop")
	tokens := signIn(t, realm)
	kc.Fail(keycloaktest.Fault{Endpoint: "/token", Delay: time.Hour, Times: 1})
	form := "grant_type=refresh_token&client_id=shop-api&client_secret=shop-api-secret&refresh_token=" + tokens.RefreshToken
	sendAndCancel(t, kc, newRequest(t, http.MethodPost, oidcURL(realm, "/token"), form))
	waitFor(t, "the refresh token is used up", func() bool {
		r := post(t, oidcURL(realm, "/token/introspect"), "client_id", "shop-api", "client_secret",
			"shop-api-secret", "token", tokens.RefreshToken, "token_type_hint", "refresh_token")
		return r.wantOK(t).body["active"] == false
	})
}

// A countingListener counts its open connections.
type countingListener struct {
	net.Listener
	mu        sync.Mutex // guards openCount
	openCount int
}

func (c *countingListener) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.add(1)
	return &countedConn{Conn: conn, onClose: sync.OnceFunc(func() { c.add(-1) })}, nil
}

func (c *countingListener) add(n int) { c.mu.Lock(); c.openCount += n; c.mu.Unlock() }

func (c *countingListener) count() int { c.mu.Lock(); defer c.mu.Unlock(); return c.openCount }

// A countedConn calls onClose when it is closed.
type countedConn struct {
	net.Conn
	onClose func()
}

func (c *countedConn) Close() error { c.onClose(); return c.Conn.Close() }

// When the client cancels a hanging request, the request ends on the server too. Otherwise, hanging
// requests would accumulate.
func TestFault_hang_clientGone(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			connections := &countingListener{Listener: listener}
			kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()},
				Listener: connections})
			must(t, err)
			defer kc.Close()
			kc.Fail(keycloaktest.Fault{Hang: true, Status: 503})
			sendAndCancel(t, kc,
				newRequest(t, method, oidcURL(kc.Realm("shop"), "/userinfo"), "access_token=x"))
			waitFor(t, "all connections are closed", func() bool {
				return connections.count() == 0
			})
		})
	}
}

// Hanging requests get their normal responses when the fault is removed.
func TestFault_hang_removed(t *testing.T) {
	kc, realm := startShop(t)
	remove := kc.Fail(keycloaktest.Fault{Endpoint: "/token", Hang: true, Times: 2})
	statuses := make(chan int)
	for range 2 {
		go func() {
			form := "grant_type=password&client_id=shop-api&client_secret=shop-api-secret&username=alice&password=alice-password"
			request := newRequest(t, http.MethodPost, oidcURL(realm, "/token"), form)
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r, err := do(request)
			if err != nil {
				t.Error(err)
			}
			statuses <- r.status
		}()
	}
	waitFor(t, "both requests arrive", func() bool { return kc.Count("/token") == 2 })
	passwordGrant(t, realm, "alice", "alice-password").wantOK(t) // the third request doesn't hang
	remove()
	for range 2 {
		select {
		case status := <-statuses:
			if status != 200 {
				t.Errorf("hanging request returns %d, want 200", status)
			}
		case <-time.After(waitTimeout):
			t.Fatal("after the fault was removed, a request still hangs, want a response")
		}
	}
}

// Disconnect closes the connection without a response.
func TestFault_disconnect(t *testing.T) {
	kc, realm := startShop(t)
	remove := kc.Fail(keycloaktest.Fault{Disconnect: true})
	wantDisconnect(t, oidcURL(realm, "/certs"))
	remove()
	wantStatus(t, oidcURL(realm, "/certs"), 200)
}

// Truncate sends part of the body with the Content-Length of the whole body.
func TestFault_truncate(t *testing.T) {
	kc, realm := startShop(t)
	wholeBody := get(t, oidcURL(realm, "/certs")).wantOK(t).text
	kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Truncate: true})
	response, err := http.Get(oidcURL(realm, "/certs"))
	must(t, err)
	defer response.Body.Close()
	partialBody, err := io.ReadAll(response.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reading the body returns %v, want %v", err, io.ErrUnexpectedEOF)
	}
	if response.StatusCode != 200 || response.ContentLength != int64(len(wholeBody)) {
		t.Errorf("status is %d and Content-Length %d, want 200 and %d", response.StatusCode,
			response.ContentLength, len(wholeBody))
	}
	if len(partialBody) == 0 || len(partialBody) == len(wholeBody) ||
		!strings.HasPrefix(wholeBody, string(partialBody)) {
		t.Errorf("received %d bytes, want only the first part of the body of %d bytes",
			len(partialBody), len(wholeBody))
	}
}

// Down closes the server's connections and rejects new ones. Up makes the server reachable again,
// and the sessions from before continue.
func TestServer_Down(t *testing.T) {
	kc, realm := startShop(t)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	// fetch requests the key set, and reports whether the connection was reused.
	fetch := func() (status int, reused bool, err error) {
		trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			reused = info.Reused
		}}
		request := newRequest(t, http.MethodGet, oidcURL(realm, "/certs"), "")
		response, err := client.Do(
			request.WithContext(httptrace.WithClientTrace(t.Context(), trace)))
		if err != nil {
			return 0, reused, err
		}
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		return response.StatusCode, reused, err
	}
	tokens := signIn(t, realm)
	for range 2 {
		if _, _, err := fetch(); err != nil {
			t.Fatal(err)
		}
		if status, reused, err := fetch(); status != 200 || !reused || err != nil {
			t.Fatalf("fetch returns %d, %v, reused: %t; want 200 on the open connection", status,
				err, reused)
		}
		kc.Fail(keycloaktest.Fault{Endpoint: "/userinfo", Hang: true, Times: 1})
		errs := make(chan error)
		go func() {
			_, err := do(newRequest(t, http.MethodGet, oidcURL(realm, "/userinfo"), ""))
			errs <- err
		}()
		waitFor(t, "the hanging request arrives", func() bool {
			return kc.Count("/userinfo") > 0
		})
		countBefore := kc.Count("")

		kc.Down()
		select {
		case err := <-errs:
			if err == nil {
				t.Error("after Down, a hanging request returns no error, want one")
			}
		case <-time.After(waitTimeout):
			t.Fatal("after Down, a request still hangs, want a closed connection")
		}
		for range 3 {
			if status, _, err := fetch(); err == nil {
				t.Errorf("after Down, fetch returns %d, want an error", status)
			}
		}
		if n := kc.Count("") - countBefore; n != 0 {
			t.Errorf("after Down, %d requests reached the server, want none", n)
		}
		kc.Up()
		if status, _, err := fetch(); status != 200 || err != nil {
			t.Errorf("after Up, fetch returns %d, %v, want 200", status, err)
		}
		kc.ResetRequests()
	}
	wantUserinfoOK(t, realm, tokens.AccessToken)
}

// Down can be called twice. Close and Up can be called after Down, and Up doesn't reopen a closed
// server.
func TestServer_Down_twice(t *testing.T) {
	kc, _ := startShop(t)
	kc.Down()
	kc.Down()
	kc.Close()
	kc.Up()
	wantNotListening(t, kc)
}
