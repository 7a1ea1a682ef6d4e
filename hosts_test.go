package cloakql_test

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/settings"
)

// On every path, a local server accepts this machine's names and the names in ALLOWED_HOSTS. A
// production server accepts any name unless ALLOWED_HOSTS is set; even then, /healthz accepts any
// name.
func TestHosts(t *testing.T) {
	const allowedHosts = "ALLOWED_HOSTS=API.example.com, " +
		"*.example.org,[2001:DB8:0::1],2001:db8::2,192.0.2.1,devbox."
	servers := []*testServer{
		newIdleServer(t), newIdleServer(t, allowedHosts),
		newIdleServer(t, "RUNTIME_ENV=prod", "CONSOLE=on"),
		newIdleServer(t, "RUNTIME_ENV=prod", "CONSOLE=on", allowedHosts),
	}
	for _, tt := range []struct {
		host string
		// The servers that accept host: l is local, L is local with ALLOWED_HOSTS, p is production,
		// and P is production with ALLOWED_HOSTS.
		servers string
	}{
		{"localhost", "lLp"}, {"localhost:8000", "lLp"}, {"LocalHost.:1",
			"lLp"}, {"app.localhost:8000", "lLp"}, {"a.b.LOCALHOST", "lLp"},
		{"127.0.0.1:8000", "lLp"}, {"127.255.0.9", "lLp"}, {"[::1]:8000",
			"lLp"}, {"[0:0:0:0:0:0:0:1]", "lLp"}, {"[::ffff:127.0.0.1]:8000", "lLp"},

		{"api.example.com", "LpP"}, {"api.EXAMPLE.com.:8443", "LpP"}, {"a.example.org",
			"LpP"}, {"[2001:db8::1]:80", "LpP"}, {"[2001:db8::2]", "LpP"}, {"192.0.2.1", "LpP"},
		{"devbox:8000", "LpP"},

		{"evil.example", "p"}, {"evil.example:8000", "p"}, {"api.example.com.evil.example",
			"p"}, {"xapi.example.com", "p"},
		{"example.org", "p"}, {"a.b.example.org", "p"}, {"localhost.evil.example",
			"p"}, {"127.0.0.1.evil.example", "p"},
		{"xlocalhost", "p"}, {"localhost..", "p"}, {"0.0.0.0:8000", "p"}, {"[::]:8000",
			"p"}, {"192.168.0.2:8000", "p"}, {"128.0.0.1", "p"},
		{"127.1", "p"}, {"2130706433", "p"}, {"0x7f.1", "p"}, {"[::1%25lo]", "p"}, {"[::1",
			"p"}, {"::1", "p"}, {"localhost:0", "p"}, {"localhost:http", "p"},
		{"", "p"},
	} {
		for i, s := range servers {
			letter := "lLpP"[i : i+1]
			want, body := map[bool]string{true: "200",
				false: "403"}[strings.Contains(tt.servers, letter)], `{"query":"{__typename}"}`
			for _, path := range []string{"/graphql", "/", "/healthz"} {
				if path == "/healthz" && letter == "P" {
					want = "200" // orchestrators send the pod's IP address as the host
				}
				request := "GET " + path + " HTTP/1.1\r\nHost: " + tt.host + "\r\n\r\n"
				if path == "/graphql" {
					request = "POST " + path +
						" HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: " +
						"24\r\nHost: " + tt.host + "\r\n\r\n" + body
				}
				response, responseBody := s.sendRaw(t, request)
				if !strings.HasPrefix(response.Status, want) {
					t.Errorf("%s: %s with host %q is %s, want %s", letter, path, tt.host,
						response.Status, want)
				}
				if want == "403" {
					wantHostError(t, responseBody, letter == "l" || letter == "L")
				}
			}
		}
	}
	for _, s := range servers[:2] {
		if lines := strings.Count(s.log.String(), "for another host"); lines != 1 ||
			strings.Contains(s.log.String(), "evil") {
			t.Errorf("the log has %d lines about refused hosts, want 1, without the host's "+
				"name:\n%s",
				lines, s.log)
		}
	}
}

// wantHostError checks that body is a GraphQL error that names ALLOWED_HOSTS and, if the server is
// local, RUNTIME_ENV.
func wantHostError(t *testing.T, body string, isLocal bool) {
	t.Helper()
	var response struct {
		Errors []struct {
			Message    string
			Extensions map[string]string
		}
	}
	if err := json.Unmarshal([]byte(body), &response); err != nil || len(response.Errors) != 1 ||
		response.Errors[0].Extensions["code"] != "BAD_REQUEST" {
		t.Fatalf("got %s, want one GraphQL error", body)
	}
	message := response.Errors[0].Message
	if !strings.Contains(message, "ALLOWED_HOSTS") ||
		strings.Contains(message, "RUNTIME_ENV") != isLocal {
		t.Errorf("local %t: the message is %q, want it to name ALLOWED_HOSTS, and RUNTIME_ENV "+
			"only if "+
			"local", isLocal, message)
	}
}

// The server checks the effective host (RFC 9112, 3.2.2): the host in the request line if there is
// one, and otherwise the host in the Host header.
func TestHosts_requestForms(t *testing.T) {
	config := testConfig(t)
	config.Log = slog.New(slog.DiscardHandler)
	server := httptest.NewUnstartedServer(nil)
	server.Config = cloakql.HTTPServer(newServer(t, config))
	server.Start()
	defer server.Close()
	s := &testServer{url: server.URL}
	for request, want := range map[string]int{
		"OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n\r\n":                       403,
		"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n":                          400,
		"GET /healthz HTTP/1.1\r\nHost: localhost, evil.example\r\n\r\n":         400,
		"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":    403,
		"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":       200,
		"GET http://evil.example/healthz HTTP/1.0\r\n\r\n":                       403,
		"GET /healthz HTTP/1.0\r\n\r\n":                                          403,
		"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n":                       200,
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n": 400,
		"GET /healthz HTTP/1.1\r\n\r\n":                                          400,
		"OPTIONS /graphql HTTP/1.1\r\nHost: evil.example\r\n\r\n":                403,
		"GET /healthz HTTP/1.1\r\nHost: me@localhost\r\n\r\n":                    400,
		"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n":    403,
		"GET /nowhere HTTP/1.1\r\nHost: evil.example\r\n\r\n":                    403,
	} {
		if response, _ := s.sendRaw(t, request); response.StatusCode != want {
			t.Errorf("%q is %d, want %d", request, response.StatusCode, want)
		}
	}
}

// A local server refuses requests with headers that tunnels and proxies add, unless the peer is a
// trusted proxy.
func TestHosts_forwarded(t *testing.T) {
	localServer := newIdleServer(t)
	trustedPeerServer := newIdleServer(t, "TRUSTED_PROXIES=127.0.0.1")
	otherProxyServer := newIdleServer(t, "TRUSTED_PROXIES=10.0.0.0/8")
	productionServer := newIdleServer(t, "RUNTIME_ENV=prod")
	for _, header := range []string{
		"X-Forwarded-For: 203.0.113.7", "x-forwarded-host: shop.example",
		"X-Forwarded-Proto: https", "X-FORWARDED-PORT: 443",
		"Forwarded: for=203.0.113.7", "X-Real-IP: 203.0.113.7", "CF-Connecting-IP: 203.0.113.7",
		"True-Client-IP: 203.0.113.7", "Via: 1.1 tunnel",
	} {
		for _, tt := range []struct {
			server *testServer
			want   int
		}{
			{localServer, 403},
			{otherProxyServer, 403},
			{trustedPeerServer, 200},
			{productionServer, 200},
		} {
			response, body := tt.server.sendRaw(t,
				"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"+header+"\r\n\r\n")
			if response.StatusCode != tt.want {
				t.Errorf("/healthz with %s is %d, want %d", header, response.StatusCode, tt.want)
			}
			if tt.want == 403 && !strings.Contains(body, "TRUSTED_PROXIES") {
				t.Errorf("/healthz with %s: got %s, want an error that names TRUSTED_PROXIES",
					header, body)
			}
			if tt.want == 403 {
				wantHostError(t, body, true)
			}
		}
	}
}

// A malformed item of ALLOWED_HOSTS is reported at startup.
func TestHosts_settings(t *testing.T) {
	for setting, wantInError := range map[string]string{
		"https://api.example.com": "without a scheme",
		"api.example.com:8443":    "without a scheme, a port",
		"api.example.com/graphql": "without a scheme",
		"*":                       "whole first label",
		"*.*.example.com":         "whole first label",
		"api*.example.com":        "whole first label",
		".example.com":            "a host name",
		"münchen.example":         "xn--",
		"127.1":                   "IPv4",
		"a.example,,":             "a host name",
		"[::1%lo]":                "without a zone",
	} {
		_, err := settings.Read(append(slices.Clone(requiredSettings), "ALLOWED_HOSTS="+setting),
			t.TempDir())
		if err == nil || !strings.Contains(err.Error(), "\nALLOWED_HOSTS: ") ||
			!strings.Contains(err.Error(), wantInError) {
			t.Errorf("ALLOWED_HOSTS=%s: got %v, want an error about ALLOWED_HOSTS with %q",
				setting, err, wantInError)
		}
	}
}

// Responses have the headers Cache-Control: no-store, which prevents caching, and
// X-Content-Type-Options: nosniff, which keeps browsers from guessing another content type. (Only
// the console's files are cacheable.)
func TestResponseHeaders(t *testing.T) {
	s := newIdleServer(t, "CONSOLE=on")
	for _, request := range []string{
		"POST /graphql HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 24\r\nHost: " +
			"localhost\r\n\r\n" + `{"query":"{__typename}"}`,
		"GET /graphql HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"OPTIONS /graphql HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /console/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
	} {
		response, _ := s.sendRaw(t, request)
		header := response.Header
		if header.Get("X-Content-Type-Options") != "nosniff" ||
			header.Get("Cache-Control") != "no-store" {
			t.Errorf("%.40q: got %s with %v, want no-store and nosniff", request, response.Status,
				header)
		}
	}
}
