package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// apolloAppCases has the expected results of the example for Apollo Client in Chromium. The names
// of the cases describe what is expected.
const apolloAppCases = `
wrong password: "Username, password or one-time code is wrong."
one-time code: "signed in"
a guarded page asks for a sign-in, and opens after it: "#/account"
a denied field: [["UNAUTHENTICATED","TOKEN_MISSING","Not authenticated"],"alice"]
no secrets are stored: false
reloading the last tab signs out: "signed out"
two tabs share a session, even after a reload: "shared"
signing out in one tab signs out the other: 0
ten operations fail with an expired token: one refresh, and all are retried: ["10 of 10 answered for alice.",{"sent":20,"refreshes":1}]
a tab that is opened during a refresh: ["10 of 10 answered for alice.",{"refreshes":1}]
Keycloak is down: sign-in: "Sign-in isn’t available right now. Try again later."
Keycloak is down: users stay signed in: ["0 of 10 answered.","10 of 10 answered for alice."]
a phone scrolls only vertically: true
problems: []
`

// The example for Apollo Client builds, and behaves in Chromium as apolloAppCases says.
func TestApolloApp(t *testing.T) {
	chromium, ok := findBrowser(t)
	if !ok {
		return
	}
	requireModules(t, "apollo")
	dir := t.TempDir()
	buildCommand := exec.CommandContext(t.Context(), "npm", "run", "--silent", "build", "--",
		"--outDir", dir, "--emptyOutDir", "--logLevel", "warn")
	buildCommand.Dir = repository + "/examples/apollo"
	if out, err := buildCommand.CombinedOutput(); err != nil {
		t.Fatalf("the example doesn't build: %v\n%s", err, out)
	}
	settings := browserSettings(t, chromium)
	for app, server := range map[string]string{"app": "server", "proxiedApp": "proxied"} {
		settings[app] = serveApp(t, dir, fmt.Sprint(settings[server], "graphql"))
	}
	browse(t, "apollo-app.mjs", settings, "apollo-", apolloAppCases)
}

// When ten operations fail together because the token has expired, the examples for fetch and urql
// refresh once and retry all ten.
func TestExamples(t *testing.T) {
	if !hasNode(t) {
		return
	}
	t.Parallel()
	requireModules(t, "urql")
	r := newRealm(t, sharedKeycloak, nil)
	user, _ := r.newUser(t, nil)
	s := r.serve(t)
	expired, err := newExpiredToken(t, r, s, user, "secret")(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"wrong":"INVALID_CREDENTIALS","succeeded":10,"sent":2,"refreshes":1,"signedOut":true,"denied":"TOKEN_MISSING"}`
	var got []string
	for _, line := range runNode[struct {
		Case, Result string
	}](t, "examples.mjs", string(encode(t, object{
		"url": s.url + "/graphql", "user": user, "password": "secret", "expired": expired,
	}))) {
		got = append(got, line.Case+": "+line.Result)
	}
	slices.Sort(got)
	compareLines(t, strings.Join(got, "\n"), "fetch: "+want+"\nurql: "+want)
}

// If a sign-in fails, the examples print one line, with the error's code if there is one, and exit
// with status 1.
func TestExamples_failedSignIn(t *testing.T) {
	if !hasNode(t) {
		return
	}
	t.Parallel()
	requireModules(t, "urql")
	s := serve(t, sharedKeycloak)
	listener, port := freePort()
	listener.Close()
	for _, tt := range []struct {
		name  string
		fetch string // the message of the example for fetch
		urql  string // the message of the example for urql; if empty, the same as for fetch
		args  []string
	}{
		{"wrong password", "Username or password is incorrect! (INVALID_CREDENTIALS)", "",
			[]string{s.url + "/graphql", "nobody", "wrong"}},
		{"no server", "fetch failed (ECONNREFUSED)", "[Network] fetch failed (ECONNREFUSED)",
			[]string{"http://127.0.0.1:" + port + "/graphql", "alice", "wrong"}},
		{"URL of another page", "The response isn't GraphQL: HTTP status 404",
			"[Network] Not Found", []string{s.url + "/nowhere", "alice", "wrong"}},
		{"invalid URL", "Failed to parse URL from nowhere (ERR_INVALID_URL)",
			"[Network] Failed to parse URL from nowhere (ERR_INVALID_URL)",
			[]string{"nowhere", "alice", "wrong"}},
		{"no password", "usage: node main.mjs URL USERNAME PASSWORD [ONE-TIME-CODE]", "",
			[]string{s.url + "/graphql", "alice"}},
		{"no arguments", "usage: node main.mjs URL USERNAME PASSWORD [ONE-TIME-CODE]", "", nil},
	} {
		for example, want := range map[string]string{"fetch": tt.fetch,
			"urql": cmp.Or(tt.urql, tt.fetch)} {
			t.Run(example+", "+tt.name, func(t *testing.T) {
				script := repository + "/examples/" + example + "/main.mjs"
				command := exec.CommandContext(t.Context(), "node",
					append([]string{script}, tt.args...)...)
				var stdout, stderr bytes.Buffer
				command.Stdout, command.Stderr = &stdout, &stderr
				command.Run()
				if got := stderr.String(); command.ProcessState.ExitCode() != 1 ||
					stdout.Len() > 0 || got != want+"\n" {
					t.Errorf("stdout %q, stderr %q, exit status %d; want only %q on stderr and "+
						"status 1", &stdout, got, command.ProcessState.ExitCode(), want)
				}
			})
		}
	}
}

// The examples have fewer than 70 lines, so that people read them.
func TestExamples_lineCount(t *testing.T) {
	for _, name := range []string{"fetch", "urql"} {
		if lines := bytes.Count(must(os.ReadFile(repository+"/examples/"+name+"/main.mjs")),
			[]byte("\n")); lines >= 70 {
			t.Errorf("examples/%s/main.mjs has %d lines, want fewer than 70", name, lines)
		}
	}
}

// requireModules fails the test if an example's modules aren't installed.
func requireModules(t *testing.T, example string) {
	t.Helper()
	if _, err := os.Stat(repository + "/examples/" + example + "/node_modules"); err != nil {
		t.Fatalf("examples/%s/node_modules is missing: run npm ci --ignore-scripts --prefix "+
			"examples/%s", example, example)
	}
}

// serveApp serves a built app at an origin that differs from the API's origin. It adds the API's
// URL to the page.
func serveApp(t *testing.T, dir, graphqlURL string) string {
	t.Helper()
	page := must(os.ReadFile(dir + "/index.html"))
	meta := []byte(`<meta name="graphql-url" content="` + graphqlURL + `">`)
	page = bytes.Replace(page, []byte("<head>"), append([]byte("<head>"), meta...), 1)
	files := http.FileServer(http.Dir(dir))
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Write(page)
			return
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(app.Close)
	return app.URL + "/"
}
