package keycloaktest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A testBrowser follows redirects within the server and stops at a redirect to a client.
type testBrowser struct {
	*testing.T
	server   *Server
	client   http.Client
	status   int
	body     string
	redirect *url.URL // the redirect to the client, or nil
}

// newBrowser returns a browser without cookies.
func newBrowser(t *testing.T, s *Server) *testBrowser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &testBrowser{T: t, server: s,
		client: http.Client{Jar: jar,
			CheckRedirect: func(next *http.Request, _ []*http.Request) error {
				if strings.HasPrefix(next.URL.String(), s.URL+"/") {
					return nil
				}
				return http.ErrUseLastResponse
			}}}
}

// readResponse stores a response in b. Its parameters are the results of http.Client's methods.
func (b *testBrowser) readResponse(resp *http.Response, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	b.status, b.body, b.redirect = resp.StatusCode, string(body), nil
	if location := resp.Header.Get("Location"); location != "" {
		if b.redirect, err = url.Parse(location); err != nil {
			b.Fatal(err)
		}
	}
}

// authorize sends an authorization request. pairs are the names and values of parameters to add or
// replace, alternating.
func (b *testBrowser) authorize(pairs ...string) {
	b.Helper()
	query := url.Values{
		"client_id": {"app"}, "redirect_uri": {"http://app.test/a/cb"}, "response_type": {"code"},
		"scope": {"openid"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	b.readResponse(b.client.Get(b.server.URL + "/realms/r" + oidcPath + "/auth?" + query.Encode()))
}

var formActionPattern = regexp.MustCompile(`action="([^"]*)"`)

// formAction returns the URL that the page's form is posted to.
func (b *testBrowser) formAction() string {
	b.Helper()
	match := formActionPattern.FindStringSubmatch(b.body)
	if match == nil {
		b.Fatalf("page is %s, want one with a form", b.body)
	}
	return html.UnescapeString(match[1])
}

// post posts a form of alternating names and values to a URL.
func (b *testBrowser) post(address string, pairs ...string) {
	b.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	b.readResponse(b.client.PostForm(address, values))
}

// wantPageText checks that the page contains text.
func (b *testBrowser) wantPageText(text string) {
	b.Helper()
	if !strings.Contains(html.UnescapeString(b.body), text) {
		b.Errorf("page is %s and redirect %v, want a page that contains %q", b.body, b.redirect,
			text)
	}
}

// wantParameter checks the value of a query parameter in the redirect to the client.
func (b *testBrowser) wantParameter(name, value string) {
	b.Helper()
	if b.redirect == nil {
		b.Fatalf("response is %d %s, want a redirect to the client", b.status, b.body)
	}
	if got := b.redirect.Query().Get(name); got != value {
		b.Errorf("parameter %s is %q, want %q; the redirect is %s", name, got, value, b.redirect)
	}
}

// postForm posts a form of alternating names and values, and returns the status and the JSON body.
func postForm(t *testing.T, address string, pairs ...string) (int, map[string]any) {
	t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	resp, err := http.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := map[string]any{}
	json.NewDecoder(resp.Body).Decode(&body) // the body may be empty
	return resp.StatusCode, body
}

// mustSignIn signs in ann to the client app with Realm.SignIn. It fails the test on an error.
func mustSignIn(t *testing.T, r *Realm, scopes ...string) Tokens {
	t.Helper()
	tokens, err := r.SignIn("app", "ann", scopes...)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// wantPanic checks that f panics with a message that contains want.
func wantPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, want) {
			t.Errorf("panic is %q, want %q", text, want)
		}
	}()
	f()
}

// wantError checks that err isn't nil and that its message contains want.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want an error with %q", err, want)
	}
}

// weakKey returns a short RSA key for fuzzing. In an instrumented process, it takes seconds to
// generate and use an RSA key of the usual length.
var weakKey = sync.OnceValue(func() *rsa.PrivateKey {
	return must(rsa.GenerateKey(rand.Reader, 1024))
})

// importWithWeakKeys is like Import, but every RSA key of the realm is weakKey.
func (s *Server) importWithWeakKeys(file []byte) (*Realm, error) {
	document, ignoredParts, err := realmfile.Read(file)
	if err != nil {
		return nil, err
	}
	r, err := newRealm(s, document, importOptions{})
	if err != nil {
		return nil, err
	}
	r.ignoredParts, r.keySet.realmName = ignoredParts, r.name
	if !slices.ContainsFunc(document.Keys, func(k realmfile.Key) bool {
		return k.Material == "RSA"
	}) {
		r.createConfiguredKeys(0)
	}
	for _, algorithm := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		r.keySet.keys = append(r.keySet.keys,
			&key{kid: algorithm, algorithm: algorithm, use: "sig", material: "RSA",
				privateKey: weakKey()})
	}
	s.realms[r.name] = r
	return r, nil
}

// newClosedServer returns a server that is already closed, so that it doesn't use a port.
func newClosedServer() *Server {
	s, err := Start(Config{})
	if err != nil {
		panic(err)
	}
	s.Close()
	return s
}

// do handles a request without using the network, and returns the response.
func (s *Server) do(method, path, authorization, form string) (status int, body string) {
	request := httptest.NewRequest(method, "http://keycloak.test/", strings.NewReader(form))
	escapedPath, query, _ := strings.Cut(path, "?")
	request.URL.RawPath, request.URL.RawQuery = escapedPath, query
	request.URL.Path, _ = url.PathUnescape(escapedPath) // always valid
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	s.route(w, request).write(w)
	return w.Code, w.Body.String()
}
