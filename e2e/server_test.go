package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A server is a running CloakQL.
type server struct {
	url     string
	cmd     *exec.Cmd
	startup time.Duration // time from its start until it listened
	done    chan struct{} // closed at the end of its log

	mu  sync.Mutex // guards log
	log strings.Builder
}

var servingPattern = regexp.MustCompile(
	`msg=serving url=(\S+)/graphql|"msg":"serving","url":"([^"]+)/graphql"`)

// serve starts the server for the realm local of k, and stops it when the test ends. settings
// overrides the default settings, whose timeouts are long since the test machine may be slow. The
// server has no other environment variables and no settings file.
func serve(t *testing.T, k *keycloak, settings ...string) *server {
	t.Helper()
	return serveBinary(t, cloakqlBinary, func(string) bool { return true }, k, settings...)
}

// serveBinary is like serve, but runs this binary and stores only the log lines for which keep
// returns true.
func serveBinary(t *testing.T, binary string, keep func(line string) bool, k *keycloak,
	settings ...string) *server {
	t.Helper()
	return startServer(t, binary, keep, append([]string{
		"ADDR=127.0.0.1:0", "KEYCLOAK_SERVER_URL=" + k.url, "KEYCLOAK_REALM_NAME=local",
		"KEYCLOAK_CLIENT_ID=local-api", "KEYCLOAK_CLIENT_SECRET_KEY=local-api-secret",
		"KEYCLOAK_TIMEOUT=1m", "REQUEST_TIMEOUT=2m",
	}, settings...)...)
}

// startServer is like serveBinary, but without the default settings.
func startServer(t *testing.T, binary string, keep func(line string) bool,
	settings ...string) *server {
	t.Helper()
	s := &server{cmd: exec.Command(binary), done: make(chan struct{})}
	s.cmd.Dir, s.cmd.Env = t.TempDir(), settings
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	urls := make(chan string, 1)
	go func() {
		defer close(s.done)
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			if match := servingPattern.FindStringSubmatch(lines.Text()); match != nil {
				s.startup = time.Since(start)
				urls <- match[1] + match[2]
			}
			if !keep(lines.Text()) {
				continue
			}
			s.mu.Lock()
			s.log.WriteString(lines.Text() + "\n")
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() { s.stop(t) })
	select {
	case s.url = <-urls:
	case <-s.done:
		t.Fatalf("the server exited:\n%s", s.storedLog())
	case <-time.After(timeout):
		t.Fatalf("the server isn't listening after %v:\n%s", timeout, s.storedLog())
	}
	return s
}

// stop stops the server with SIGTERM, and checks that it exits with status 0.
func (s *server) stop(t *testing.T) {
	if s.cmd.ProcessState != nil {
		return
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.done
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server exited with %v, want exit status 0\n%s", err, s.storedLog())
	}
	if t.Failed() {
		t.Logf("the server's log:\n%s", s.storedLog())
	}
}

// storedLog returns the log lines that were stored so far.
func (s *server) storedLog() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// wantLog waits until the log contains text. It compares without the backslashes with which slog's
// text handler escapes quotes.
func (s *server) wantLog(t *testing.T, text string) {
	t.Helper()
	waitUntil(t, "the log contains "+text, func() bool {
		return strings.Contains(strings.ReplaceAll(s.storedLog(), `\"`, `"`), text)
	})
}

// A result is a GraphQL response.
type result struct {
	Data   map[string]json.RawMessage
	Errors []struct {
		Message    string
		Path       []any
		Extensions struct {
			Code, Reason, Detail string
			ACRValues            []string
		}
	}
	body string
}

// code returns the first error's code, as CODE or CODE/REASON, or "" if there is no error.
func (r result) code() string {
	if len(r.Errors) == 0 {
		return ""
	}
	e := r.Errors[0].Extensions
	return strings.TrimSuffix(e.Code+"/"+e.Reason, "/")
}

// serverClient keeps as many connections open as the largest test uses at once.
var serverClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}

// sendQuery sends a query, with an access token unless bearer is empty.
func (s *server) sendQuery(ctx context.Context, bearer, query string,
	variables map[string]any) (result, error) {
	return s.sendQueryFrom(ctx, "", bearer, query, variables)
}

// sendQueryFrom is like sendQuery, but also sends address as the client's address, as a proxy in
// front of the server would. The server needs TRUSTED_PROXIES=127.0.0.1.
func (s *server) sendQueryFrom(ctx context.Context, address, bearer, query string,
	variables map[string]any) (result, error) {
	return s.send(ctx, address, bearer, map[string]any{"query": query, "variables": variables})
}

// send sends a GraphQL request, with the address and the access token unless they are empty.
func (s *server) send(ctx context.Context, address, bearer string,
	content map[string]any) (result, error) {
	body, err := json.Marshal(content)
	if err != nil {
		return result{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/graphql",
		bytes.NewReader(body))
	if err != nil {
		return result{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	if address != "" {
		request.Header.Set("X-Forwarded-For", address)
	}
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := serverClient.Do(request)
	if err != nil {
		return result{}, err
	}
	defer response.Body.Close()
	responseBody, err := io.ReadAll(response.Body)
	if err != nil {
		return result{}, err
	}
	if response.StatusCode != http.StatusOK {
		return result{}, fmt.Errorf("status %d: %s", response.StatusCode, responseBody)
	}
	out := result{body: string(responseBody)}
	return out, json.Unmarshal(responseBody, &out)
}

// query is like sendQuery, and fails the test if there is no GraphQL response.
func (s *server) query(t *testing.T, bearer, query string, variables map[string]any) result {
	t.Helper()
	out, err := s.sendQuery(t.Context(), bearer, query, variables)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tokens is the result of login and refresh, the schema's OpenIdToken.
type tokens struct {
	TokenType, AccessToken      string
	RefreshToken, IdToken       string
	ExpiresIn, RefreshExpiresIn int
	Scope                       []string
}

const (
	tokenFields = `{ tokenType accessToken expiresIn refreshToken refreshExpiresIn idToken ` +
		`scope }`
	loginQuery = `mutation($u: String!, $p: String!, $o: String) { login(username: $u, ` +
		`password: $p, otp: $o) ` + tokenFields + ` }`
	refreshQuery  = `mutation($r: String!) { refresh(refreshToken: $r) ` + tokenFields + ` }`
	logoutQuery   = `mutation($r: String!) { logout(refreshToken: $r) }`
	usernameQuery = `{ me { username } }`
)

// login signs in.
func (s *server) login(t *testing.T, username, password string) (tokens, result) {
	t.Helper()
	return decodeTokens(t, "login",
		s.query(t, "", loginQuery, map[string]any{"u": username, "p": password}))
}

// refresh exchanges a refresh token.
func (s *server) refresh(t *testing.T, refreshToken string) (tokens, result) {
	t.Helper()
	return decodeTokens(t, "refresh",
		s.query(t, "", refreshQuery, map[string]any{"r": refreshToken}))
}

// logout signs out.
func (s *server) logout(t *testing.T, refreshToken string) result {
	t.Helper()
	return s.query(t, "", logoutQuery, map[string]any{"r": refreshToken})
}

// mustLogin signs in, and fails the test if that fails.
func (s *server) mustLogin(t *testing.T, username, password string) tokens {
	t.Helper()
	got, response := s.login(t, username, password)
	wantCode(t, "login", response, "")
	return got
}

// me queries me, and returns the username and the whole response.
func (s *server) me(t *testing.T, accessToken string) (string, result) {
	t.Helper()
	response := s.query(t, accessToken, usernameQuery, nil)
	var user struct{ Username string }
	json.Unmarshal(response.Data["me"], &user)
	return user.Username, response
}

// decodeTokens decodes the tokens in a field of the response, if it has any. It also returns the
// response.
func decodeTokens(t *testing.T, field string, response result) (out tokens, _ result) {
	t.Helper()
	if raw := response.Data[field]; raw != nil {
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatal(err)
		}
	}
	return out, response
}

// wantCode fails the test unless a response has this code.
func wantCode(t *testing.T, name string, got result, want string) {
	t.Helper()
	if got.code() != want {
		t.Fatalf("%s: code %q, want %q\n%s", name, got.code(), want, got.body)
	}
}

// get sends a GET request to the server, and returns the status and the body.
func (s *server) get(t *testing.T, path string) (int, string) {
	t.Helper()
	response, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// waitUntil waits until condition returns true, and returns how long it took. description is for
// failures.
func waitUntil(t *testing.T, description string, condition func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !condition() {
		if time.Since(start) > timeout {
			t.Fatalf("after %v, this is still not true: %s", timeout, description)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(start)
}

// decodeSegment decodes a segment of a JWT.
func decodeSegment(t *testing.T, segment string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
