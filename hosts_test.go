package cloakql_test

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/settings"

	"github.com/cloakql/cloakql"
)

// raw sends the bytes of one request and returns the response with its body.
func (s *site) raw(t testing.TB, request string) (*http.Response, string) {
	t.Helper()
	connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// A developer's machine answers under its own names and those in ALLOWED_HOSTS, whatever the path
// and the way of asking. In production any name will do, until ALLOWED_HOSTS is set.
func TestHosts(t *testing.T) {
	const named = "ALLOWED_HOSTS=API.example.com, *.example.org,[2001:DB8:0::1],2001:db8::2,192.0.2.1,devbox."
	sites := []*site{
		newIdleSite(t), newIdleSite(t, named),
		newIdleSite(t, "RUNTIME_ENV=prod", "CONSOLE=on"),
		newIdleSite(t, "RUNTIME_ENV=prod", "CONSOLE=on", named),
	}
	for _, tt := range []struct {
		host string
		// a letter for each of the four that answers: local, local with names, production,
		// production with names
		want string
	}{
		{"localhost", "lLp"}, {"localhost:8000", "lLp"}, {"LocalHost.:1", "lLp"}, {"app.localhost:8000", "lLp"}, {"a.b.LOCALHOST", "lLp"},
		{"127.0.0.1:8000", "lLp"}, {"127.255.0.9", "lLp"}, {"[::1]:8000", "lLp"}, {"[0:0:0:0:0:0:0:1]", "lLp"}, {"[::ffff:127.0.0.1]:8000", "lLp"},

		{"api.example.com", "LpP"}, {"api.EXAMPLE.com.:8443", "LpP"}, {"a.example.org", "LpP"}, {"[2001:db8::1]:80", "LpP"}, {"[2001:db8::2]", "LpP"}, {"192.0.2.1", "LpP"}, {"devbox:8000", "LpP"},

		{"evil.example", "p"}, {"evil.example:8000", "p"}, {"api.example.com.evil.example", "p"}, {"xapi.example.com", "p"},
		{"example.org", "p"}, {"a.b.example.org", "p"}, {"localhost.evil.example", "p"}, {"127.0.0.1.evil.example", "p"},
		{"xlocalhost", "p"}, {"localhost..", "p"}, {"0.0.0.0:8000", "p"}, {"[::]:8000", "p"}, {"192.168.0.2:8000", "p"}, {"128.0.0.1", "p"},
		{"127.1", "p"}, {"2130706433", "p"}, {"0x7f.1", "p"}, {"[::1%25lo]", "p"}, {"[::1", "p"}, {"::1", "p"}, {"localhost:0", "p"}, {"localhost:http", "p"},
		{"", "p"},
	} {
		for i, s := range sites {
			letter := "lLpP"[i : i+1]
			want, body := map[bool]string{true: "200",
				false: "403"}[strings.Contains(tt.want, letter)], `{"query":"{__typename}"}`
			for _, path := range []string{"/graphql", "/", "/healthz"} {
				if path == "/healthz" && letter == "P" {
					want = "200" // orchestrators ask by address
				}
				request := "GET " + path + " HTTP/1.1\r\nHost: " + tt.host + "\r\n\r\n"
				if path == "/graphql" {
					request = "POST " + path +
						" HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 24\r\nHost: " + tt.host + "\r\n\r\n" + body
				}
				response, answer := s.raw(t, request)
				if !strings.HasPrefix(response.Status, want) {
					t.Errorf("%s: %s of the host %q is %s, want %s", letter, path, tt.host,
						response.Status, want)
				}
				if want == "403" {
					checkHostRefusal(t, answer, letter == "l" || letter == "L")
				}
			}
		}
	}
	for _, s := range sites[:2] {
		if lines := strings.Count(s.log.String(), "under another host"); lines != 1 ||
			strings.Contains(s.log.String(), "evil") {
			t.Errorf("the log has %d lines of refused hosts, want 1 without the host:\n%s", lines,
				s.log)
		}
	}
}

func checkHostRefusal(t *testing.T, body string, local bool) {
	t.Helper()
	var answer struct {
		Errors []struct {
			Message    string
			Extensions map[string]string
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Errors) != 1 ||
		answer.Errors[0].Extensions["code"] != "BAD_REQUEST" {
		t.Fatalf("a refusal isn't one GraphQL error: %s", body)
	}
	message := answer.Errors[0].Message
	if !strings.Contains(message, "ALLOWED_HOSTS") ||
		strings.Contains(message, "RUNTIME_ENV") != local {
		t.Errorf("a refusal says %q", message)
	}
}

// Whatever a request line and headers can do to the host: the one that counts is checked.
func TestHosts_wayOfAsking(t *testing.T) {
	config := goodConfig(t)
	config.Log = slog.New(slog.DiscardHandler)
	server := httptest.NewUnstartedServer(nil)
	server.Config = cloakql.HTTPServer(newServer(t, config))
	server.Start()
	defer server.Close()
	s := &site{url: server.URL}
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
		if response, _ := s.raw(t, request); response.StatusCode != want {
			t.Errorf("%q is %d, want %d", request, response.StatusCode, want)
		}
	}
}

// A tunnel or a proxy in front of a developer's server shows by the headers that it adds.
func TestHosts_forwarded(t *testing.T) {
	local, trusting, other := newIdleSite(t), newIdleSite(t,
		"TRUSTED_PROXIES=127.0.0.1"), newIdleSite(t, "TRUSTED_PROXIES=10.0.0.0/8")
	production := newIdleSite(t, "RUNTIME_ENV=prod")
	for _, header := range []string{
		"X-Forwarded-For: 203.0.113.7", "x-forwarded-host: shop.example",
		"X-Forwarded-Proto: https", "X-FORWARDED-PORT: 443",
		"Forwarded: for=203.0.113.7", "X-Real-IP: 203.0.113.7", "CF-Connecting-IP: 203.0.113.7",
		"True-Client-IP: 203.0.113.7", "Via: 1.1 tunnel",
	} {
		for _, tt := range []struct {
			s    *site
			want int
		}{{local, 403}, {other, 403}, {trusting, 200}, {production, 200}} {
			response, body := tt.s.raw(t,
				"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"+header+"\r\n\r\n")
			if response.StatusCode != tt.want {
				t.Errorf("with %s it is %d, want %d", header, response.StatusCode, tt.want)
			}
			if tt.want == 403 && !strings.Contains(body, "TRUSTED_PROXIES") {
				t.Errorf("the refusal of %s doesn't say what to set: %s", header, body)
			}
			if tt.want == 403 {
				checkHostRefusal(t, body, true)
			}
		}
	}
}

func TestHosts_settings(t *testing.T) {
	for setting, expected := range map[string]string{
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
		_, err := settings.Read(append(slices.Clone(needed), "ALLOWED_HOSTS="+setting), t.TempDir())
		if err == nil || !strings.Contains(err.Error(), "\nALLOWED_HOSTS: ") ||
			!strings.Contains(err.Error(), expected) {
			t.Errorf("ALLOWED_HOSTS=%s: %v; want that it names the setting, and expects %s",
				setting, err, expected)
		}
	}
}

// No response of any path is kept by a cache or taken for another type; only the console's files
// may be kept.
func TestHeadersOfAllPaths(t *testing.T) {
	s := newIdleSite(t, "CONSOLE=on")
	for _, request := range []string{
		"POST /graphql HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 24\r\nHost: localhost\r\n\r\n" + `{"query":"{__typename}"}`,
		"GET /graphql HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"OPTIONS /graphql HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /console/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
	} {
		response, _ := s.raw(t, request)
		header := response.Header
		if header.Get("X-Content-Type-Options") != "nosniff" ||
			header.Get("Cache-Control") != "no-store" {
			t.Errorf("%.40q: %s, %v; want no-store and nosniff", request, response.Status, header)
		}
	}
}
