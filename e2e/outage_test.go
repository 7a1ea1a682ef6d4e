package e2e

import (
	"encoding/base64"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// Without a restart, the server survives a Keycloak that isn't running yet, then starts, hangs,
// resumes, stops, and starts again with other keys.
func TestOutage(t *testing.T) {
	k := newKeycloak(t.TempDir())
	defer k.stop()
	if err := k.stop(); err != nil { // from now on, its port refuses connections
		t.Fatal(err)
	}
	s := serve(t, k, "KEYCLOAK_TIMEOUT=8s", "REQUEST_TIMEOUT=15s") // the default timeouts

	// Keycloak isn't running yet: login fails at once, and /readyz says why the server isn't ready.
	_, response := s.login(t, "alice", "alice-password")
	wantCode(t, "login before Keycloak", response,
		"SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_UNAVAILABLE")
	if status, text := s.get(t, "/readyz"); status != http.StatusServiceUnavailable ||
		!strings.Contains(text, "not ready: no keys") {
		t.Errorf("/readyz before Keycloak starts: got %d %s, want 503 with the reason", status,
			text)
	}
	if status, _ := s.get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz before Keycloak starts: got %d, want 200: a restart would not help",
			status)
	}

	// Keycloak starts.
	if err := k.start(); err != nil {
		t.Fatal(err)
	}
	elapsed := waitUntil(t, "the server is ready after Keycloak", func() bool {
		status, _ := s.get(t, "/readyz")
		return status == http.StatusOK
	})
	t.Logf("the server was ready %v after Keycloak", elapsed.Round(time.Millisecond))
	oldTokens := s.mustLogin(t, "alice", "alice-password")
	if name, response := s.me(t, oldTokens.AccessToken); name != "alice" {
		t.Fatalf("me is %q, want alice\n%s", name, response.body)
	}

	// Keycloak hangs: its port still accepts connections.
	if err := k.hang(); err != nil {
		t.Fatal(err)
	}
	// The bearer token has an unknown key, so the request waits for keys and then for the sign-in.
	// Sleep first, since keys are fetched at most once a second.
	time.Sleep(1100 * time.Millisecond)
	start := time.Now()
	_, rest, _ := strings.Cut(oldTokens.AccessToken, ".")
	unknownKeyToken := base64.RawURLEncoding.EncodeToString(
		[]byte(`{"alg":"RS256","typ":"JWT","kid":"another-key"}`)) + "." + rest
	response = s.query(t, unknownKeyToken, loginQuery, object{"u": "alice", "p": "alice-password"})
	wantCode(t, "login while Keycloak hangs", response,
		"SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_UNAVAILABLE")
	t.Logf("login while Keycloak hangs: rejected after %v",
		time.Since(start).Round(time.Millisecond))
	if name, _ := s.me(t, oldTokens.AccessToken); name != "alice" {
		t.Errorf("me while Keycloak hangs is %q, want alice", name)
	}
	if err := k.unhang(); err != nil {
		t.Fatal(err)
	}
	// Sign in as another user: Keycloak may still be processing alice's sign-in, which timed out,
	// and rejects two at once.
	if name, response := s.me(t, s.mustLogin(t, "bob", "bob-password").AccessToken); name != "bob" {
		t.Errorf("me after Keycloak hung is %q, want bob\n%s", name, response.body)
	}

	// Keycloak stops: users with a token stay signed in.
	if err := k.stop(); err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	_, response = s.login(t, "alice", "alice-password")
	wantCode(t, "login without Keycloak", response,
		"SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_UNAVAILABLE")
	t.Logf("login without Keycloak: rejected after %v", time.Since(start).Round(time.Millisecond))
	if name, response := s.me(t, oldTokens.AccessToken); name != "alice" {
		t.Errorf("me without Keycloak is %q, want alice, with cached keys\n%s", name,
			response.body)
	}

	// Keycloak starts again, with new keys, since this Keycloak stores its keys only in memory.
	if err := k.start(); err != nil {
		t.Fatal(err)
	}
	newTokens := s.mustLogin(t, "alice", "alice-password")
	elapsed = waitUntil(t, "me with a token of the new keys", func() bool {
		name, _ := s.me(t, newTokens.AccessToken)
		return name == "alice"
	})
	t.Logf("me with a token of the new keys: %v after the login", elapsed.Round(time.Millisecond))
	_, response = s.me(t, oldTokens.AccessToken)
	wantCode(t, "me with a token of the old keys", response, "UNAUTHENTICATED/KEY_UNKNOWN")
	if status, text := s.get(t, "/readyz"); status != http.StatusOK || text != "ready\n" {
		t.Errorf("/readyz at the end: got %d %s, want 200 ready", status, text)
	}
}

// The server's memory stays below 36 MB. The test also logs the time until the server listens, but
// doesn't check that time, because it depends on the machine's load. docs/performance.md has both
// figures.
func TestFootprint(t *testing.T) {
	s := serve(t, sharedKeycloak)
	for i := range 5 {
		other := serve(t, sharedKeycloak)
		t.Logf("start %d: listening after %v", i+1, other.startup.Round(time.Millisecond))
		s.startup = min(s.startup, other.startup)
		other.stop(t)
	}
	s.mustLogin(t, "alice", "alice-password")
	status, err := os.ReadFile("/proc/" + itoa(s.cmd.Process.Pid) + "/status")
	if err != nil {
		t.Logf("no resident set size on this system: %v", err)
		return
	}
	var kilobytes int
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			kilobytes = atoi(fields[1])
		}
	}
	t.Logf("best start: %v; resident after a login: %.1f MB", s.startup.Round(time.Millisecond),
		float64(kilobytes)/1000)
	if kilobytes == 0 || kilobytes > 36_000 {
		t.Errorf("the server's resident set is %d kB, want at most 36,000", kilobytes)
	}
}
