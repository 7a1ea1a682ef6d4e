package keycloaktest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// Count counts the requests to each endpoint, and all requests.
func TestServer_Count(t *testing.T) {
	kc, realm := startShop(t)
	tokens := signIn(t, realm)
	clientAuth := []string{"client_id", "shop-api", "client_secret", "shop-api-secret"}
	for endpoint, send := range map[string]func(){
		"/.well-known/openid-configuration": func() {
			get(t, realm.URL()+"/.well-known/openid-configuration")
		},
		"/.well-known/oauth-authorization-server": func() {
			get(t, realm.URL()+"/.well-known/oauth-authorization-server")
		},
		"/certs":    func() { get(t, oidcURL(realm, "/certs")) },
		"/token":    func() { passwordGrant(t, realm, "alice", "alice-password") },
		"/userinfo": func() { getUserinfo(t, realm, tokens.AccessToken) },
		"/token/introspect": func() {
			post(t, oidcURL(realm, "/token/introspect"),
				append(clientAuth, "token", tokens.AccessToken)...)
		},
		"/revoke": func() {
			post(t, oidcURL(realm, "/revoke"), append(clientAuth, "token", tokens.AccessToken)...)
		},
		"/logout": func() {
			post(t, oidcURL(realm, "/logout"),
				append(clientAuth, "refresh_token", tokens.RefreshToken)...)
		},
		"/auth":        func() { get(t, oidcURL(realm, "/auth")) },
		"/auth/device": func() { post(t, oidcURL(realm, "/auth/device"), clientAuth...) },
	} {
		kc.ResetRequests()
		for n := 1; n <= 3; n++ {
			send()
			if kc.Count(endpoint) != n || kc.Count("") != n {
				t.Errorf("Count(%q) = %d and Count(\"\") = %d, want %d", endpoint,
					kc.Count(endpoint), kc.Count(""), n)
			}
		}
	}
	kc.ResetRequests()
	get(t, realm.URL())
	if kc.Count("") != 1 {
		t.Errorf("after a request to the realm's URL, Count(\"\") = %d, want 1", kc.Count(""))
	}
}

// Count includes requests that fail: requests that Keycloak would reject, and requests that a Fault
// makes fail.
func TestServer_Count_failures(t *testing.T) {
	kc, realm := startShop(t)
	passwordGrant(t, realm, "alice", "wrong")
	send(t, newRequest(t, http.MethodPut, oidcURL(realm, "/token"), ""))
	kc.Fail(keycloaktest.Fault{Endpoint: "/token", Status: 503, Times: 1})
	passwordGrant(t, realm, "alice", "alice-password")
	if kc.Count("/token") != 3 {
		t.Errorf("Count(/token) = %d, want 3", kc.Count("/token"))
	}
}

// Requests returns all requests with their times, methods, paths and endpoints, oldest first.
func TestServer_Requests(t *testing.T) {
	noon := time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC)
	kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shop.File()},
		PathPrefix: "/sso", Now: func() time.Time { return noon }})
	must(t, err)
	defer kc.Close()
	realm := kc.Realm("shop")
	if got := kc.Requests(); len(got) != 0 {
		t.Errorf("before the first request, Requests() = %v, want none", got)
	}
	get(t, oidcURL(realm, "/certs")+"?a=b")
	kc.Advance(time.Minute)
	passwordGrant(t, realm, "alice", "alice-password")
	get(t, realm.URL()+"/")
	get(t, kc.URL+"/realms/other/protocol/openid-connect/certs/")
	get(t, realm.URL()+"/no/such/thing")
	get(t, strings.TrimSuffix(kc.URL, "/sso")+"/metrics")
	oneMinuteLater := noon.Add(time.Minute)
	want := []keycloaktest.Request{
		{Time: noon, Method: "GET", Path: "/sso/realms/shop/protocol/openid-connect/certs",
			Endpoint: "/certs"},
		{Time: oneMinuteLater, Method: "POST",
			Path: "/sso/realms/shop/protocol/openid-connect/token", Endpoint: "/token"},
		{Time: oneMinuteLater, Method: "GET", Path: "/sso/realms/shop/", Endpoint: ""},
		{Time: oneMinuteLater, Method: "GET",
			Path: "/sso/realms/other/protocol/openid-connect/certs/", Endpoint: "/certs"},
		{Time: oneMinuteLater, Method: "GET", Path: "/sso/realms/shop/no/such/thing", Endpoint: ""},
		{Time: oneMinuteLater, Method: "GET", Path: "/metrics", Endpoint: ""},
	}
	got := kc.Requests()
	if len(got) != len(want) {
		t.Fatalf("Requests() has %d requests, want %d: %v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("request %d is\n%v, want\n%v", i, got[i], want[i])
		}
	}
	got[0].Path = "changed"
	if kc.Requests()[0] != want[0] {
		t.Error("changing the result of Requests changes the log, want a copy")
	}
}

// ResetRequests clears Requests and Count.
func TestServer_ResetRequests(t *testing.T) {
	kc, realm := startShop(t)
	get(t, oidcURL(realm, "/certs"))
	kc.ResetRequests()
	if n := kc.Count("") + kc.Count("/certs") + len(kc.Requests()); n != 0 {
		t.Errorf("after ResetRequests, Count and Requests return %d in total, want 0", n)
	}
	get(t, oidcURL(realm, "/certs"))
	if kc.Count("/certs") != 1 || len(kc.Requests()) != 1 {
		t.Errorf("Count(/certs) = %d and Requests() has %d, want 1 and 1", kc.Count("/certs"),
			len(kc.Requests()))
	}
}

// Requests returns only the newest 1,000 requests, so that a test with many requests can't use up
// the memory.
func TestServer_Requests_limit(t *testing.T) {
	kc, realm := startShop(t)
	const limit = 1000
	for n := 1; n <= 2*limit+5; n++ {
		get(t, fmt.Sprint(realm.URL(), "/unknown-", n))
		if n%100 > 5 { // to save time, check only the first few of every hundred counts
			continue
		}
		got := kc.Requests()
		if len(got) != min(n, limit) {
			t.Fatalf("after %d requests, Requests() has %d, want %d", n, len(got), min(n, limit))
		}
		for i, r := range got {
			if want := fmt.Sprint("/realms/shop/unknown-", n-len(got)+i+1); r.Path != want {
				t.Fatalf("after %d requests, Requests()[%d] is %s, want %s", n, i, r.Path, want)
			}
		}
	}
	if n := kc.Count(""); n != 2*limit+5 {
		t.Errorf("Count(\"\") = %d, want %d, which includes the dropped requests", n, 2*limit+5)
	}
}

// Requests returns no secrets, because a failed test may print the requests.
func TestServer_Requests_noSecrets(t *testing.T) {
	kc, realm := startShop(t)
	const canary = "canary-7f3a"
	passwordGrant(t, realm, "alice", canary)
	refresh(t, realm, canary)
	getUserinfo(t, realm, canary)
	post(t, oidcURL(realm, "/token"), "client_id", "shop-api", "client_secret", canary)
	post(t, oidcURL(realm, "/revoke")+"?token="+canary, "token", canary)
	get(t, oidcURL(realm, "/auth")+"?state="+canary)
	request := newRequest(t, http.MethodGet, oidcURL(realm, "/certs"), "")
	request.SetBasicAuth("shop-api", canary)
	request.Header.Set("Cookie", "KEYCLOAK_IDENTITY="+canary)
	send(t, request)
	requests := kc.Requests()
	if text := fmt.Sprintf("%+v %#v", requests, requests); len(requests) != 7 ||
		strings.Contains(text, canary) {
		t.Errorf("Requests() has %d requests: %s, want 7 without %s", len(requests), text, canary)
	}
}
