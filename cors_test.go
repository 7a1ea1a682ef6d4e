package cloakql_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/settings"
)

// A preflight describes a request that a browser asks permission for with a preflight request.
type preflight struct{ origin, method, path, headers string }

// preflight sends the preflight request for p. It returns the header of the response.
func (s *testServer) preflight(t testing.TB, p preflight) http.Header {
	t.Helper()
	request, err := http.NewRequest(http.MethodOptions, s.url+p.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Origin", p.origin)
	request.Header.Set("Access-Control-Request-Method", p.method)
	request.Header.Set("Access-Control-Request-Private-Network", "true")
	if p.headers != "" {
		request.Header.Set("Access-Control-Request-Headers", p.headers)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.Header
}

// A page of an allowed origin may send any header, because client libraries add their own.
func TestCORS_requestHeaders(t *testing.T) {
	s := newIdleServer(t, "CORS_ORIGINS=http://localhost:5173,https://*.example.com,app://shop")
	for _, headers := range []string{
		"",
		"authorization,content-type",
		"apollographql-client-name,apollographql-client-version,authorization,content-type",
		"authorization,baggage,content-type,sentry-trace",
		"authorization,content-type,traceparent,tracestate",
		"authorization,content-type,x-apollo-operation-name",
		"content-type,graphql-preflight",
		"authorization,content-type,x-requested-with",
		"x-datadog-origin,x-what-comes-next",
	} {
		for _, origin := range []string{"http://localhost:5173", "https://shop.example.com",
			"app://shop"} {
			header := s.preflight(t, preflight{origin, "POST", "/graphql", headers})
			if header.Get("Access-Control-Allow-Origin") != origin ||
				header.Get("Access-Control-Allow-Headers") != headers ||
				header.Get("Access-Control-Allow-Methods") != "POST" ||
				header.Get("Access-Control-Allow-Private-Network") != "true" {
				t.Errorf("preflight from %s with %q: got %v, want headers that allow it", origin,
					headers,
					header)
			}
			if vary := header.Get("Vary"); !strings.Contains(vary, "Origin") ||
				!strings.Contains(vary, "Access-Control-Request-Headers") {
				t.Errorf("Vary is %q, want Origin and Access-Control-Request-Headers, so that a "+
					"cache can't serve this response to another page", vary)
			}
		}
		if header := s.preflight(t, preflight{"https://example.com", "POST", "/graphql",
			headers}); header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("preflight from https://example.com with %q: got %v, want nothing allowed",
				headers,
				header)
		}
	}
	if header := s.preflight(t, preflight{"http://localhost:5173", "DELETE", "/graphql",
		""}); header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight for DELETE: got %v, want nothing allowed", header)
	}
}

// A page of an allowed origin can read every response, even if the request is refused or its path
// is wrong. It can also read the headers that CloakQL sets.
func TestCORS_responses(t *testing.T) {
	s := newIdleServer(t, "CORS_ORIGINS=https://shop.example.com", "GET_QUERIES=false")
	for _, tt := range []struct {
		method, path, contentType, body string
		status                          int
	}{
		{"POST", "/graphql", "application/json", `{"query":"{__typename}"}`, 200},
		{"POST", "/graphql", "application/json", `{"query":"{"}`, 200},
		{"POST", "/graphql", "application/json", `{`, 400},
		{"POST", "/graphql", "text/plain", `{}`, 415},
		{"POST", "/graphql", "application/json", strings.Repeat(" ", 65<<10), 413},
		{"GET", "/graphql?query=%7B__typename%7D", "", "", 405},
		{"HEAD", "/graphql", "", "", 405},
		// Not a redirect, which would lose the body.
		{"POST", "/graphql/", "application/json", `{"query":"{__typename}"}`, 200},
		{"POST", "/graphq", "application/json", "{}", 404},
		{"POST", "/graphql/x", "application/json", "{}", 404},
		{"GET", "/healthz", "", "", 200},
		{"GET", "/readyz", "", "", 503},
		{"POST", "/readyz", "", "", 405},
	} {
		request, err := http.NewRequest(tt.method, s.url+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Origin", "https://shop.example.com")
		request.Header.Set("Content-Type", tt.contentType)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != tt.status {
			t.Errorf("%s %s %.20q is %d, want %d", tt.method, tt.path, tt.body, response.StatusCode,
				tt.status)
		}
		exposedHeaders := response.Header.Get("Access-Control-Expose-Headers")
		if response.Header.Get("Access-Control-Allow-Origin") != "https://shop.example.com" ||
			exposedHeaders != "Allow, Retry-After, X-Request-Id" ||
			!slices.Contains(response.Header.Values("Vary"), "Origin") {
			t.Errorf("%s %s: got the headers %v, want headers that let a page read the %d",
				tt.method,
				tt.path, response.Header, tt.status)
		}
		if response.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s %s: got Access-Control-Allow-Credentials, want no such header", tt.method,
				tt.path)
		}
	}
}

// On a local server, by default, only pages from this machine may call the API.
func TestCORS_localPages(t *testing.T) {
	s := newIdleServer(t)
	for origin, allowed := range map[string]bool{
		"http://localhost:5173": true, "https://localhost:5173": true, "http://localhost": true,
		"https://localhost": true,
		"http://127.0.0.1":  true, "https://127.0.0.1:8443": true, "http://127.8.9.10:3000": true,
		"http://[::1]:5173": true, "https://[::1]": true, "http://[::ffff:7f00:1]": true,
		"http://app.localhost:3000": true, "https://a.b.localhost": true,
		"http://localhost.:80": false,

		"http://localhost.example.com": false, "http://localhostx": false,
		"http://xlocalhost:3000":       false,
		"http://127.0.0.1.example.com": false, "http://128.0.0.1": false,
		"http://0.0.0.0:3000": false, "http://[::]:3000": false,
		"http://10.0.0.1": false, "http://192.168.0.2:3000": false, "https://example.com": false,
		"null": false, "file://": false, "file://localhost": false, "localhost:5173": false,
		"ftp://localhost":        false,
		"http://localhost:5173/": false, "http://me@localhost": false,
		"http://evil.example/.localhost": false,
		"http://evil.example#.localhost": false, "http://localhost:0": false,
		"http://localhost:99999": false,
		"http://LOCALHOST":       false, "*": false, "": false,
	} {
		header := s.preflight(t, preflight{origin, "POST", "/graphql",
			"authorization,content-type"})
		got := header.Get("Access-Control-Allow-Origin")
		if want := map[bool]string{true: origin}[allowed]; got != want {
			t.Errorf("preflight from %q: got Access-Control-Allow-Origin %q, want %q", origin, got,
				want)
		}
	}
}

// Each item of CORS_ORIGINS either matches origins in the form that browsers send, or is reported
// at startup.
func TestCORS_settings(t *testing.T) {
	for _, tt := range []struct {
		setting string
		origin  string // sent by the browser
		matches bool   // the setting matches the origin
	}{
		{"https://shop.example", "https://shop.example", true},
		{"https://shop.example:443", "https://shop.example", true},
		{"http://shop.example:80", "http://shop.example", true},
		{"http://shop.example:443", "http://shop.example:443", true},
		{"http://shop.example:443", "https://shop.example", false},
		{"http://shop.example:080", "http://shop.example", true},
		{"HTTPS://Shop.Example", "https://shop.example", true},
		{"https://xn--mnchen-3ya.example", "https://xn--mnchen-3ya.example", true},
		{"https://shop.example.", "https://shop.example.", true},
		{"https://shop.example.", "https://shop.example", false},
		{"http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000", true},
		{"http://[2001:DB8::0:1]", "http://[2001:db8::1]", true},
		{"http://[::ffff:192.0.2.1]", "http://[::ffff:c000:201]", true},
		{"http://my_app.example:3000", "http://my_app.example:3000", true},
		{"capacitor://localhost", "capacitor://localhost", true},
		{"chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop", true},
		{" https://a.example , https://b.example ", "https://b.example", true},

		{"*", "https://anything.example", true},
		{"*", "null", true},
		{"https://*.example.com", "https://a.example.com", true},
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "https://a.b.example.com", false},
		{"https://*.example.com", "https://a.example.com:8443", false},
		{"https://*.example.com:443", "https://a.example.com", true},
		{"https://*.example.com:8443", "https://a.example.com:8443", true},
		{"https://*.example.com", "http://a.example.com", false},
		{"https://*.example.com", "https://a.example.com.evil.example", false},
		{"https://*.example.com", "https://evil.example/.example.com", false},
		{"https://*.example.com", "https://evil.example#.example.com", false},
		{"https://*.example.com", "https://.example.com", false},
		{"http://localhost:*", "http://localhost:3000", true},
		{"http://localhost:*", "http://localhost", true},
		{"http://localhost:*", "http://localhost:evil.example", false},
		{"http://localhost:*", "https://localhost:3000", false},
		{"http://[::1]:*", "http://[::1]:3000", true},
	} {
		s := newIdleServer(t, "RUNTIME_ENV=prod", "CORS_ORIGINS="+tt.setting)
		got := s.preflight(t, preflight{tt.origin, "POST", "/graphql",
			""}).Get("Access-Control-Allow-Origin")
		want := map[bool]string{true: tt.origin}[tt.matches]
		if tt.setting == "*" {
			want = "*"
		}
		if got != want {
			t.Errorf("CORS_ORIGINS=%s allows %q to %s, want %q", tt.setting, got, tt.origin, want)
		}
	}
	for setting, wantInError := range map[string]string{
		"https://münchen.example":       "xn--",
		"https://shop.example/":         "not even a slash",
		"https://shop.example/app":      "not even a slash",
		"https://shop.example?a=b":      "with nothing after",
		"https://shop.example#a":        "with nothing after",
		"https://me:canary@example.com": "no user and no password",
		"shop.example":                  "a scheme first",
		"localhost:3000":                "a scheme first",
		"://shop.example":               "a scheme first",
		"//shop.example":                "a scheme first",
		"https://":                      "a host",
		"https://a..example":            "a host",
		"https://a b.example":           "a host",
		"https://%61.example":           "a host",
		"https://shop.example:":         "a port of 1 to 65535",
		"https://shop.example:0":        "a port of 1 to 65535",
		"https://shop.example:65536":    "a port of 1 to 65535",
		"https://shop.example:http":     "a port of 1 to 65535",
		"http://127.1":                  "IPv4",
		"http://0x7f000001":             "IPv4",
		"http://2130706433":             "IPv4",
		"http://127.0.0.01":             "IPv4",
		"http://[fe80::1%25eth0]":       "without a zone",
		"http://[::1":                   "IPv6",
		"http://::1":                    "a host",
		"ws://shop.example":             "no page has an origin with ws",
		"file://":                       "no page has an origin with file",
		"null":                          "sandboxed frame",
		"https://*.*.example":           "one wildcard at most",
		"https://*.example.com:*":       "one wildcard at most",
		"https://shop*.example.com":     "one wildcard at most",
		"https://shop.*.com":            "one wildcard at most",
		"https://*":                     "one wildcard at most",
		"*://shop.example":              "a scheme first",
		"*.example.com":                 "a scheme first",
		"https://*.":                    "a host",
		"https://*.0.0.1":               "IPv4",
		"https://*.127.0.0.1":           "not an address",
		"https://shop.example:80:*":     "one port",
		"https://a.example,,":           "a scheme first",
	} {
		_, err := settings.Read(append(slices.Clone(requiredSettings), "CORS_ORIGINS="+setting),
			t.TempDir())
		if err == nil || !strings.Contains(err.Error(), "\nCORS_ORIGINS: ") ||
			!strings.Contains(err.Error(), wantInError) {
			t.Errorf("CORS_ORIGINS=%s: got %v, want an error about CORS_ORIGINS with %q", setting,
				err, wantInError)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("CORS_ORIGINS=%s: got %v, want an error without the password", setting, err)
		}
	}
}
