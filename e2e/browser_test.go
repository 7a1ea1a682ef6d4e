package e2e

import (
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var update = flag.Bool("update", false,
	"record again: screenshots in docs/pictures, and results of graphql-js in testdata")

// tokenLifetime is the lifetime of access tokens in seconds: longer than any case takes on a slow
// machine.
const tokenLifetime = 20 * 60

const pictureDir = repository + "/docs/pictures"

// findBrowser returns the path of Chromium. If TEST_BROWSER isn't set, it logs that the test didn't
// run, and returns false. If TEST_BROWSER is set, as it is in .ci/run, but Chromium, Node.js or the
// modules in e2e/node are missing, it fails the test.
func findBrowser(t *testing.T) (chromium string, ok bool) {
	t.Helper()
	name := os.Getenv("TEST_BROWSER")
	if name == "" {
		t.Log("not run: set TEST_BROWSER=chromium (and TEST_NODE=1, after " +
			"npm ci --ignore-scripts --prefix e2e/node)")
		return "", false
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("TEST_BROWSER=%s: %v; on Debian: apt install chromium", name, err)
	}
	return path, hasNode(t)
}

// A keycloakProxy is a proxy in front of Keycloak that a test can take down.
type keycloakProxy struct {
	*httptest.Server
	down atomic.Bool
}

// newKeycloakProxy starts a proxy in front of k.
func newKeycloakProxy(t *testing.T, k *keycloak) *keycloakProxy {
	t.Helper()
	target, err := url.Parse(k.url)
	if err != nil {
		t.Fatal(err)
	}
	p := &keycloakProxy{}
	handler := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
	}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			panic(http.ErrAbortHandler) // the connection is reset
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// serve starts a server that reaches the realm's Keycloak only through the proxy.
func (p *keycloakProxy) serve(t *testing.T, r realm, settings ...string) *server {
	t.Helper()
	return r.serve(t,
		append([]string{"KEYCLOAK_SERVER_URL=" + p.URL,
			"KEYCLOAK_ISSUER=" + r.k.url + "/realms/" + r.name}, settings...)...)
}

// newExpiredToken signs a user in while access tokens expire after a second, and then raises their
// lifetime in the realm to tokenLifetime. The returned function waits until the server rejects the
// token as expired, after its leeway of 30 s, and returns the token.
func newExpiredToken(t *testing.T, r realm, s *server, username,
	password string) func(context.Context) (string, error) {
	t.Helper()
	r.update(t, object{"accessTokenLifespan": 1})
	token := s.mustLogin(t, username, password).AccessToken
	r.update(t, object{"accessTokenLifespan": tokenLifetime})
	return func(ctx context.Context) (string, error) {
		for {
			response, err := s.sendQuery(ctx, token, usernameQuery, nil)
			if err != nil || response.code() == "UNAUTHENTICATED/TOKEN_EXPIRED" {
				return token, err
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// newControl starts a server through which a script controls what happens outside its browser, and
// returns the server's URL. POST /down and /up take the proxy down and restore it, /otp returns the
// current one-time code, and /expired returns an expired access token.
func newControl(t *testing.T, proxy *keycloakProxy, secret string,
	expiredToken func(context.Context) (string, error)) string {
	t.Helper()
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + r.URL.Path {
		case "POST/down":
			proxy.down.Store(true)
		case "POST/up":
			proxy.down.Store(false)
		case "POST/otp":
			io.WriteString(w, totp(secret, time.Now()))
		case "POST/expired":
			token, err := expiredToken(r.Context())
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			io.WriteString(w, token)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(control.Close)
	return control.URL
}

// must returns value, and panics if err isn't nil.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// browse runs a script that drives Chromium, and compares the results of its cases with want, which
// has a line NAME: RESULT for each case. It also passes the script's screenshots to
// comparePictures. Chromium is heavy, so tests that call browse aren't parallel.
func browse(t *testing.T, script string, settings object, picturePrefix, want string) {
	t.Helper()
	settings["pictures"] = t.TempDir()
	// With TEST_PICTURES, the screenshots stay in that directory, even if the test fails.
	if dir := os.Getenv("TEST_PICTURES"); dir != "" {
		settings["pictures"] = filepath.Join(dir,
			map[bool]string{false: "fake", true: "keycloak"}[usesRealKeycloak()])
		if err := os.MkdirAll(settings["pictures"].(string), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	missingLines := strings.Split(strings.TrimSpace(want), "\n")
	for _, line := range runNode[struct {
		Case, Result string
	}](t, script, string(encode(t, settings))) {
		got := line.Case + ": " + line.Result
		if i := slices.Index(missingLines, got); i >= 0 {
			missingLines = slices.Delete(missingLines, i, i+1)
		} else {
			t.Errorf("unexpected result: %s", got)
		}
	}
	for _, line := range missingLines {
		t.Errorf("missing result: %s", line)
	}
	comparePictures(t, settings["pictures"].(string), picturePrefix)
}

// comparePictures compares the screenshots whose names start with prefix. The directory dir must
// have screenshots of the same names as docs/pictures, and the pages of docs must show exactly
// these screenshots. With -update, it first copies them to docs/pictures.
func comparePictures(t *testing.T, dir, prefix string) {
	t.Helper()
	pictureNames := func(dir string) (names []string) {
		for _, file := range must(filepath.Glob(dir + "/" + prefix + "*.png")) {
			names = append(names, filepath.Base(file))
		}
		return names
	}
	if *update {
		if err := os.MkdirAll(pictureDir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range pictureNames(dir) {
			err := os.WriteFile(pictureDir+"/"+name, must(os.ReadFile(dir+"/"+name)), 0o644)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, want := pictureNames(dir), pictureNames(pictureDir); !slices.Equal(got, want) {
		t.Errorf("the test takes the screenshots %q, but docs/pictures has %q: run the test "+
			"with -update", got, want)
	}
	pages := ""
	for _, page := range must(filepath.Glob(repository + "/docs/*.md")) {
		pages += string(must(os.ReadFile(page)))
	}
	for _, match := range regexp.MustCompile(`\(pictures/(`+prefix+
		`[a-z-]+\.png)`).FindAllStringSubmatch(pages, -1) {
		if !slices.Contains(pictureNames(dir), match[1]) {
			t.Errorf("a page of docs shows %s, but the test takes no such screenshot", match[1])
		}
	}
	for _, name := range pictureNames(dir) {
		if !strings.Contains(pages, "(pictures/"+name) {
			t.Errorf("no page of docs shows docs/pictures/%s", name)
		}
	}
}

// browserSettings creates a realm with users, and starts the servers that a script uses. It returns
// the script's settings.
func browserSettings(t *testing.T, chromium string) object {
	t.Helper()
	const password, secret = "correct-horse", "otp-secret-of-a-browser"
	proxy := newKeycloakProxy(t, sharedKeycloak)
	r := newRealm(t, sharedKeycloak, nil)
	r.newUser(t, object{"username": "alice", "email": "alice@example.com",
		"firstName": "Alice", "lastName": "Archer",
		"credentials": []object{{"type": "password", "value": password, "temporary": false}}})
	r.newUser(t,
		object{"username": "otto", "email": "otto@example.com",
			"credentials": otpCredentials(password, secret)})
	server := r.serve(t)
	binary := filepath.Join(t.TempDir(), "cloakql-dev")
	if err := build(binary, "./cmd/cloakql-dev"); err != nil {
		t.Fatal(err)
	}
	dev := startServer(t, binary, func(string) bool { return true }, "ADDR=127.0.0.1:0")
	return object{
		"chromium": chromium,
		"control":  newControl(t, proxy, secret, newExpiredToken(t, r, server, "alice", password)),
		"server":   server.url + "/", "proxied": proxy.serve(t, r).url + "/",
		"dev": dev.url + "/",
		"noIntrospection": r.serve(t, "RUNTIME_ENV=prod", "CONSOLE=on", "ADDR=127.0.0.1:0").url +
			"/",
		"otherAudience": r.serve(t, "KEYCLOAK_AUDIENCE=another-api").url + "/",
		"user":          "alice", "otpUser": "otto", "password": password,
		"tokenLifetime": tokenLifetime,
	}
}
