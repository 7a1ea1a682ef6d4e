package program

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/settings"
)

// requiredSettings are the settings that have no default.
var requiredSettings = []string{
	"KEYCLOAK_SERVER_URL=https://sso.invalid", "KEYCLOAK_REALM_NAME=shop",
	"KEYCLOAK_CLIENT_ID=shop-api", "KEYCLOAK_CLIENT_SECRET_KEY=canary-5f0c",
}

// CheckLive and CheckReady reach a server on any address and with any list of allowed host names.
// Without Keycloak, the server is alive but not ready.
func TestCheckLive_servers(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:9")
	for name, environ := range map[string][]string{
		"local server":       {"RUNTIME_ENV=local", "ADDR=127.0.0.1:0"},
		"all addresses":      {"RUNTIME_ENV=prod", "ADDR=:0"},
		"all IPv4 addresses": {"RUNTIME_ENV=prod", "ADDR=0.0.0.0:0"},
		"all IPv6 addresses": {"RUNTIME_ENV=prod", "ADDR=[::]:0"},
		"host name":          {"RUNTIME_ENV=prod", "ADDR=localhost:0"},
		"ALLOWED_HOSTS":      {"RUNTIME_ENV=prod", "ADDR=:0", "ALLOWED_HOSTS=api.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := settings.Read(append(environ, requiredSettings...), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			addrs, serveErrs := make(chan string, 1), make(chan error, 1)
			go func() {
				serveErrs <- Serve(ctx, config, io.Discard, func(u string) {
					parsed, _ := url.Parse(u)
					addrs <- parsed.Host
				})
			}()
			select {
			case err := <-serveErrs:
				t.Fatalf("Serve() = %v before it listened", err)
			case addr := <-addrs:
				_, port, _ := net.SplitHostPort(addr)
				host, _, _ := net.SplitHostPort(config.Addr)
				config.Addr = net.JoinHostPort(host, port)
			}
			var out strings.Builder
			if err := CheckLive(ctx, config, &out); err != nil || out.String() != "alive\n" {
				t.Errorf("CheckLive() = %v and prints %q, want nil and alive", err, out.String())
			}
			err = CheckReady(ctx, config, io.Discard)
			want := `/readyz: status 503, "not ready: no keys to verify tokens with`
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("CheckReady() = %v, want %s", err, want)
			}
			stop()
			if err := <-serveErrs; err != nil {
				t.Errorf("Serve() = %v, want nil", err)
			}
			if err := CheckLive(t.Context(), config, io.Discard); err == nil {
				t.Error("CheckLive() = nil after the server stopped, want an error")
			}
		})
	}
}

// If the response is missing or wrong, probe returns an error that says so.
func TestProbe_failures(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"no response": {func(http.ResponseWriter, *http.Request) { <-done },
			"/healthz: no response within 100ms"},
		"response stops midway": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "alive")
			http.NewResponseController(w).Flush()
			<-done
		}, "/healthz: no response within 100ms"},
		"status 503": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "not ready: stopping", http.StatusServiceUnavailable)
		}, `/healthz: status 503, "not ready: stopping"`},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				io.WriteString(w, "alive")
				return
			}
			http.Redirect(w, r, "/", http.StatusFound)
		}, "/healthz: status 302, "},
		"another program": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "<!doctype html>\n")
		}, `/healthz: the response isn't CloakQL's: "<!doctype html>"`},
		"endless response": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, "endless ")
			}
		}, `/healthz: the response isn't CloakQL's: "endless `},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tt.handler)
			addr := server.Listener.Addr().String()
			timeout := 100 * time.Millisecond
			if !strings.Contains(tt.want, "100ms") {
				timeout = time.Minute
			}
			_, err := probe(t.Context(), addr, "/healthz", timeout)
			if err == nil || !strings.HasPrefix(err.Error(), "http://"+addr+tt.want) ||
				len(err.Error()) > 1200 {
				t.Errorf("probe() = %v, want http://%s%s", err, addr, tt.want)
			}
			go server.Close() // waits for handlers, which may wait for done
		})
	}
}

// probe returns an error if nothing listens on the address, or if the server doesn't speak HTTP.
func TestProbe_noServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "220 mail.example.com\r\n")
			conn.Close()
		}
	}()
	if text, err := probe(t.Context(), addr, "/healthz", time.Minute); err == nil {
		t.Errorf("probe() = %q, want an error, because the server doesn't speak HTTP", text)
	}
	listener.Close()
	_, err = probe(t.Context(), addr, "/healthz", time.Minute)
	want := "http://" + addr + "/healthz: dial tcp " + addr + ": "
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("probe() = %v, want %s", err, want)
	}
}

// reachableHost replaces the empty host and unspecified addresses with a loopback address.
func TestReachableHost(t *testing.T) {
	for host, want := range map[string]string{
		"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1", "::ffff:0.0.0.0": "127.0.0.1",
		"::1": "::1", "127.0.0.2": "127.0.0.2", "10.1.2.3": "10.1.2.3", "fe80::1%lo": "fe80::1%lo",
		"localhost": "localhost", "api.example.com": "api.example.com",
	} {
		if got := reachableHost(host); got != want {
			t.Errorf("reachableHost(%q) = %q, want %q", host, got, want)
		}
	}
}
