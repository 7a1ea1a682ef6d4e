package keycloaktest_test

import (
	"context"
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

// wantStatus asks an address and wants an answer of this status.
func wantStatus(t *testing.T, address string, status int) {
	t.Helper()
	if r := get(t, address); r.status != status {
		t.Errorf("%s answers %v, want %d", address, r, status)
	}
}

// wantNoAnswer asks an address and wants the connection to end without a word.
func wantNoAnswer(t *testing.T, address string) {
	t.Helper()
	var failed *net.OpError
	if r, err := do(newRequest(t, http.MethodGet, address, "")); !errors.Is(err, io.EOF) &&
		!errors.As(err, &failed) {
		t.Errorf("%s answers %v (%v), want the connection to end", address, r, err)
	}
}

func TestFaultStatus(t *testing.T) {
	kc, realm := start(t)
	for _, tt := range []struct {
		name, kind string
		fault      keycloaktest.Fault
	}{
		{"with a page", "text/html;charset=UTF-8", keycloaktest.Fault{Status: 503, Body: "<h1>Service Unavailable</h1>"}},
		{"with a type", "application/json", keycloaktest.Fault{Status: 502, Body: `{"keys": []}`, ContentType: "application/json"}},
		{"that lies", "text/html;charset=UTF-8", keycloaktest.Fault{Status: 200, Body: "<h1>Maintenance</h1>"}},
		{"without a body", "text/html;charset=UTF-8", keycloaktest.Fault{Status: 500}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			heal := kc.Fail(tt.fault)
			r := get(t, at(realm, "/certs"))
			if r.status != tt.fault.Status || r.text != tt.fault.Body ||
				r.header.Get("Content-Type") != tt.kind {
				t.Errorf("the answer is %v of type %s, want %d %s of type %s", r,
					r.header.Get("Content-Type"), tt.fault.Status, tt.fault.Body, tt.kind)
			}
			heal()
			wantStatus(t, at(realm, "/certs"), 200)
		})
	}
}

func TestFaultEndpoint(t *testing.T) {
	kc, realm := start(t)
	discovery := realm.URL() + "/.well-known/openid-configuration"
	for endpoint, address := range map[string]string{"/certs": at(realm, "/certs"),
		"/.well-known/openid-configuration": discovery} {
		heal := kc.Fail(keycloaktest.Fault{Endpoint: endpoint, Status: 503})
		wantStatus(t, address, 503)
		login(t, realm, "alice", "alice-password").wantOK(t) // others are well
		wantStatus(t, realm.URL(), 200)
		heal()
		wantStatus(t, address, 200)
	}
	kc.Fail(keycloaktest.Fault{Status: 503})
	for _, address := range []string{at(realm, "/certs"), discovery, realm.URL(),
		at(realm, "/no-such-thing"), kc.URL} {
		wantStatus(t, address, 503)
	}
}

func TestFaultTimes(t *testing.T) {
	kc, realm := start(t)
	heal := kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Times: 2, Status: 503})
	wantStatus(t, at(realm, "/certs"), 503)
	login(t, realm, "alice", "alice-password").wantOK(t) // and takes none of the two
	wantStatus(t, at(realm, "/certs"), 503)
	wantStatus(t, at(realm, "/certs"), 200)
	heal() // nothing any more, and nobody else's fault
	kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Status: 500})
	heal()
	wantStatus(t, at(realm, "/certs"), 500)
	if n := kc.Count("/certs"); n != 4 {
		t.Errorf("%d requests are counted, want 4: those that met a fault too", n)
	}
}

// However many ask at once, so many meet the fault.
func TestFaultTimesAtOnce(t *testing.T) {
	kc, realm := start(t)
	kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Times: 7, Status: 503})
	var mu sync.Mutex // guards ill
	ill := 0
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			r, err := do(newRequest(t, http.MethodGet, at(realm, "/certs"), ""))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if r.status == 503 {
				ill++
			}
		})
	}
	all.Wait()
	if ill != 7 {
		t.Errorf("%d of 20 requests met the fault, want 7", ill)
	}
}

func TestLastFaultWins(t *testing.T) {
	kc, realm := start(t)
	certs := at(realm, "/certs")
	everywhere := kc.Fail(keycloaktest.Fault{Status: 503})
	here := kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Status: 500})
	kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Times: 1, Status: 429})
	wantStatus(t, certs, 429)
	wantStatus(t, certs, 500)
	wantStatus(t, realm.URL(), 503)
	everywhere() // in another order than they came
	wantStatus(t, realm.URL(), 200)
	wantStatus(t, certs, 500)
	here()
	here()
	wantStatus(t, certs, 200)
}

func TestFirstMemberOfAFaultDecides(t *testing.T) {
	kc, realm := start(t)
	heal := kc.Fail(keycloaktest.Fault{Disconnect: true, Status: 503, Truncate: true})
	wantNoAnswer(t, at(realm, "/certs"))
	heal()
	heal = kc.Fail(keycloaktest.Fault{Status: 503, Body: "all of it", Truncate: true})
	if r := get(t, at(realm, "/certs")); r.status != 503 || r.text != "all of it" {
		t.Errorf("the answer is %v, want 503 with the whole body", r)
	}
	heal()
	kc.Fail(keycloaktest.Fault{}) // ill in no way
	wantStatus(t, at(realm, "/certs"), 200)
}

func TestFaultDelay(t *testing.T) {
	kc, realm := start(t)
	const delay = 50 * time.Millisecond
	kc.Fail(keycloaktest.Fault{Delay: delay, Times: 1})
	kc.Fail(keycloaktest.Fault{Delay: delay, Status: 503, Times: 1})
	for _, status := range []int{503, 200} { // it goes with any other, and alone
		began := time.Now()
		r := login(t, realm, "alice", "alice-password")
		if took := time.Since(began); r.status != status || took < delay {
			t.Errorf("the answer is %v after %v, want %d after %v", r, took, status, delay)
		}
	}
}

// A client that gives up on a slow Keycloak has sent its request all the same, and a refresh token
// is used up by it.
func TestWhatIsDelayedIsDone(t *testing.T) {
	plan := shop
	plan.Settings = map[string]any{"revokeRefreshToken": true}
	kc := keycloaktest.New(t, plan.File())
	realm := kc.Realm("shop")
	tokens := signIn(t, realm)
	kc.Fail(keycloaktest.Fault{Endpoint: "/token", Delay: time.Hour, Times: 1})
	form := "grant_type=refresh_token&client_id=shop-api&client_secret=shop-api-secret&refresh_token=" + tokens.RefreshToken
	giveUp(t, kc, newRequest(t, http.MethodPost, at(realm, "/token"), form))
	// Its answer went nowhere, but the session was used.
	eventually(t, "the refresh token is used", func() bool {
		r := post(t, at(realm, "/token/introspect"), "client_id", "shop-api", "client_secret",
			"shop-api-secret", "token", tokens.RefreshToken, "token_type_hint", "refresh_token")
		return r.wantOK(t).body["active"] == false
	})
}

// giveUp sends a request and gives up as soon as it has come.
func giveUp(t *testing.T, kc *keycloaktest.Server, request *http.Request) {
	t.Helper()
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	before := kc.Count("")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answered := make(chan error)
	go func() {
		_, err := do(request.WithContext(ctx))
		answered <- err
	}()
	eventually(t, "the request has come", func() bool { return kc.Count("") > before })
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("the request ended with %v, want that it was given up", err)
	}
}

// A counter counts the connections that a server has open.
type counter struct {
	net.Listener
	mu   sync.Mutex // guards the field below
	open int
}

func (c *counter) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.add(1)
	return &counted{Conn: conn, leave: sync.OnceFunc(func() { c.add(-1) })}, nil
}

func (c *counter) add(n int) { c.mu.Lock(); c.open += n; c.mu.Unlock() }

func (c *counter) count() int { c.mu.Lock(); defer c.mu.Unlock(); return c.open }

type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error { c.leave(); return c.Conn.Close() }

// A hanging request must end on the server's side too, of a POST as well: or what hangs adds up in
// a long run.
func TestHangEndsWithItsClient(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			succeed(t, err)
			connections := &counter{Listener: listener}
			kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()},
				Listener: connections})
			succeed(t, err)
			defer kc.Close()
			kc.Fail(keycloaktest.Fault{Hang: true, Status: 503})
			giveUp(t, kc,
				newRequest(t, method, at(kc.Realm("shop"), "/userinfo"), "access_token=x"))
			eventually(t, "no connection is open", func() bool { return connections.count() == 0 })
		})
	}
}

// What hangs is answered once the fault is taken back, as the right answer to the whole of the
// request.
func TestHangIsHealed(t *testing.T) {
	kc, realm := start(t)
	heal := kc.Fail(keycloaktest.Fault{Endpoint: "/token", Hang: true, Times: 2})
	answers := make(chan int)
	for range 2 {
		go func() {
			form := "grant_type=password&client_id=shop-api&client_secret=shop-api-secret&username=alice&password=alice-password"
			request := newRequest(t, http.MethodPost, at(realm, "/token"), form)
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r, err := do(request)
			if err != nil {
				t.Error(err)
			}
			answers <- r.status
		}()
	}
	eventually(t, "both requests have come", func() bool { return kc.Count("/token") == 2 })
	login(t, realm, "alice", "alice-password").wantOK(t) // a third isn't held
	heal()
	for range 2 {
		select {
		case status := <-answers:
			if status != 200 {
				t.Errorf("a request that hung is answered %d, want 200", status)
			}
		case <-time.After(patience):
			t.Fatal("a request hangs on")
		}
	}
}

func TestFaultDisconnect(t *testing.T) {
	kc, realm := start(t)
	heal := kc.Fail(keycloaktest.Fault{Disconnect: true})
	wantNoAnswer(t, at(realm, "/certs"))
	heal()
	wantStatus(t, at(realm, "/certs"), 200)
}

func TestFaultTruncate(t *testing.T) {
	kc, realm := start(t)
	whole := get(t, at(realm, "/certs")).wantOK(t).text
	kc.Fail(keycloaktest.Fault{Endpoint: "/certs", Truncate: true})
	response, err := http.Get(at(realm, "/certs"))
	succeed(t, err)
	defer response.Body.Close()
	half, err := io.ReadAll(response.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reading the answer ends with %v, want %v", err, io.ErrUnexpectedEOF)
	}
	if response.StatusCode != 200 || response.ContentLength != int64(len(whole)) {
		t.Errorf("the answer is %d and announces %d bytes, want 200 and %d", response.StatusCode,
			response.ContentLength, len(whole))
	}
	if len(half) == 0 || len(half) == len(whole) || !strings.HasPrefix(whole, string(half)) {
		t.Errorf("%d bytes came, want half of %d", len(half), len(whole))
	}
}

// A client notices an outage on the connections that it has open, not only on new ones.
func TestDownAndUp(t *testing.T) {
	kc, realm := start(t)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	visit := func() (status int, reused bool, err error) {
		trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			reused = info.Reused
		}}
		request := newRequest(t, http.MethodGet, at(realm, "/certs"), "")
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
		if _, _, err := visit(); err != nil {
			t.Fatal(err)
		}
		if status, reused, err := visit(); status != 200 || !reused || err != nil {
			t.Fatalf("%d (%v), reused: %t; want 200 on the connection that is open", status, err,
				reused)
		}
		kc.Fail(keycloaktest.Fault{Endpoint: "/userinfo", Hang: true, Times: 1})
		waiting := make(chan error)
		go func() {
			_, err := do(newRequest(t, http.MethodGet, at(realm, "/userinfo"), ""))
			waiting <- err
		}()
		eventually(t, "a request waits for its answer", func() bool {
			return kc.Count("/userinfo") > 0
		})
		before := kc.Count("")

		kc.Down()
		select {
		case err := <-waiting:
			if err == nil {
				t.Error("a request was answered while the server went down")
			}
		case <-time.After(patience):
			t.Fatal("a request hangs on, on a connection that is open still")
		}
		for range 3 {
			if status, _, err := visit(); err == nil {
				t.Errorf("a server that is down answers %d", status)
			}
		}
		if n := kc.Count("") - before; n != 0 {
			t.Errorf("%d requests got through", n)
		}
		kc.Up()
		if status, _, err := visit(); status != 200 || err != nil {
			t.Errorf("after Up: %d (%v), want 200", status, err)
		}
		kc.ForgetRequests()
	}
	// an outage isn't a restart: sessions are there still
	wantUserinfo(t, realm, tokens.AccessToken, "")
}

func TestDownTwiceAndClose(t *testing.T) {
	kc, _ := start(t)
	kc.Down()
	kc.Down()
	kc.Close()
	kc.Up()
	wantGone(t, kc)
}
