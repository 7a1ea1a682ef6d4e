package console

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
)

func get(t *testing.T, handler http.Handler, method, target, encoding string) *http.Response {
	t.Helper()
	request := httptest.NewRequest(method, target, nil)
	if encoding != "" {
		request.Header.Set("Accept-Encoding", encoding)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder.Result()
}

func body(t *testing.T, response *http.Response) []byte {
	t.Helper()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// The page's policy admits nothing from elsewhere, no inline script and no eval, and its nonce is
// new each time.
func TestPage(t *testing.T) {
	handler := Handler()
	nonce := regexp.MustCompile(`'nonce-([A-Z0-9]{26})'`)
	seen := map[string]bool{}
	for range 3 {
		response := get(t, handler, http.MethodGet, "/?query=anything", "")
		page := string(body(t, response))
		policy := response.Header.Get("Content-Security-Policy")
		found := nonce.FindStringSubmatch(policy)
		if response.StatusCode != http.StatusOK || found == nil || seen[found[1]] {
			t.Fatalf("status %d and the policy %q, want 200 and a nonce that no page had",
				response.StatusCode, policy)
		}
		seen[found[1]] = true
		if !strings.Contains(page, `nonce="`+found[1]+`"`) || strings.Contains(page, nonceTag) {
			t.Errorf("the page doesn't carry the nonce of its policy: %s", page)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8",
			"X-Content-Type-Options": "nosniff",
			"Referrer-Policy":        "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		for _, directive := range strings.Split(policy, "; ") {
			name, sources, _ := strings.Cut(directive, " ")
			if unsafe := strings.Contains(sources, "unsafe"); unsafe != (name == "style-src-attr") {
				t.Errorf("the policy has %q; style attributes alone may be unsafe", directive)
			}
			if strings.Contains(sources, ":") && directive != "img-src 'self' data:" ||
				strings.Contains(sources, "*") {
				t.Errorf("the policy has %q, which admits others than this server", directive)
			}
		}
		if !strings.HasPrefix(policy, "default-src 'none'; ") {
			t.Errorf("the policy %q doesn't begin with default-src 'none'", policy)
		}
	}
	page := string(body(t, get(t, handler, http.MethodGet, "/", "")))
	if strings.Contains(page, "://") ||
		regexp.MustCompile(`<script[^>]*>[^<]|<style|\son[a-z]+=|style=`).MatchString(page) {
		t.Errorf("the page has a script or a style of its own, or an address of another host: %s",
			page)
	}
}

// What the page asks for is there, at a name of its content, to be kept for ever.
func TestFilesOfThePage(t *testing.T) {
	handler := Handler()
	page := string(body(t, get(t, handler, http.MethodGet, "/", "")))
	links := regexp.MustCompile(`(?:src|href)="\.(/console/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(links) < 3 {
		t.Fatalf("the page asks for %d files, want a script, a style and an icon at least",
			len(links))
	}
	for _, link := range links {
		response := get(t, handler, http.MethodGet, link[1], "")
		content := body(t, response)
		if response.StatusCode != http.StatusOK || len(content) == 0 ||
			response.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %d, %d bytes, %q", link[1], response.StatusCode, len(content),
				response.Header.Get("Cache-Control"))
		}
		if policy := response.Header.Get("Content-Security-Policy"); !strings.Contains(policy,
			"script-src 'self'") || strings.Contains(policy, "nonce") {
			t.Errorf("%s has the policy %q; a worker has that of its own file", link[1], policy)
		}
	}
}

// Users are offered where they are given, and nowhere else; whatever they are called, they don't
// break the page.
func TestUsersAreOffered(t *testing.T) {
	text := fmt.Sprintf("%v %+v %#v %s", User{"alice", "hush"}, []User{{"alice", "hush"}},
		User{"alice", "hush"}, &User{"alice", "hush"})
	if strings.Contains(text, "hush") {
		t.Errorf("a user is printed with the password: %s", text)
	}
	offered := regexp.MustCompile(`<meta name="users" content="([^"<>]*)">`)
	users := []User{{"alice", "alice-password"},
		{`"><script>alert('b')</script>`, `&quot;__NONCE__`}}
	page := string(body(t, get(t, Handler(users...), http.MethodGet, "/", "")))
	found := offered.FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("the page offers nobody: %s", page)
	}
	var got []User
	if err := json.Unmarshal([]byte(html.UnescapeString(found[1])), &got); err != nil ||
		got[0] != users[0] || got[1].Username != users[1].Username {
		t.Errorf("the page offers %v (%v), want %v", got, err, users)
	}
	if page := string(body(t, get(t, Handler(), http.MethodGet, "/", ""))); strings.Contains(page,
		"alice") || offered.MatchString(page) {
		t.Errorf("the page offers somebody, and nobody was given: %s", page)
	}
}

func TestWhatIsServed(t *testing.T) {
	handler := Handler()
	for _, tt := range []struct {
		method, target string
		status         int
		allow          string
	}{
		{http.MethodHead, "/", http.StatusOK, ""},
		{http.MethodPost, "/", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodGet, "/console/", http.StatusNotFound, ""},
		{http.MethodGet, "/console/none.js", http.StatusNotFound, ""},
		{http.MethodGet, "/index.html", http.StatusNotFound, ""},
		{http.MethodGet, "/console/../index.html", http.StatusNotFound, ""},
		{http.MethodGet, "/dist/index.html", http.StatusNotFound, ""},
		{http.MethodGet, "/console/licenses.md/", http.StatusNotFound, ""},
		{http.MethodGet, "/console//licenses.md", http.StatusNotFound, ""},
		{http.MethodGet, "/console/a%2f..%2flicenses.md", http.StatusNotFound, ""},
		{http.MethodGet, "/console/licenses.md", http.StatusOK, ""},
		{http.MethodGet, "/console/notices.txt", http.StatusOK, ""},
	} {
		response := get(t, handler, tt.method, tt.target, "")
		if response.StatusCode != tt.status || response.Header.Get("Allow") != tt.allow {
			t.Errorf("%s %s: %d, Allow %q; want %d, %q", tt.method, tt.target, response.StatusCode,
				response.Header.Get("Allow"), tt.status, tt.allow)
		}
		if got := response.Header.Get("Cache-Control"); tt.status == http.StatusNotFound &&
			got != "no-store" {
			t.Errorf("%s isn't there, and may be kept so: Cache-Control is %q", tt.target, got)
		}
		if tt.method == http.MethodHead &&
			(len(body(t, response)) > 0 || response.Header.Get("Content-Length") == "0") {
			t.Errorf("HEAD has a body, or no length")
		}
	}
	licenses := get(t, handler, http.MethodGet, "/console/licenses.md", "")
	if licenses.Header.Get("Cache-Control") != "no-cache" {
		t.Error("licenses.md keeps its name when it changes, and may be kept without asking")
	}
	text := string(body(t, licenses))
	for _, name := range []string{"@graphiql/react", "graphql", "monaco-editor", "monaco-graphql",
		"react", "react-dom", "zustand"} {
		if !strings.Contains(text, "## "+name+" - ") {
			t.Errorf("licenses.md doesn't have the license of %s, which is built in", name)
		}
	}
}

// gzip for who takes it, made once however many ask at first, and the same content for everybody
// else.
func TestCompression(t *testing.T) {
	files, err := load()
	if err != nil {
		t.Fatal(err)
	}
	handler := Handler()
	var raw, compressed int
	for name, file := range files {
		if name == pageName {
			continue
		}
		plain := body(t, get(t, handler, http.MethodGet, "/"+name, "br, gzip;q=0"))
		if !bytes.Equal(plain, file.content) {
			t.Errorf("%s isn't served as it is", name)
		}
		fixed := name == "console/licenses.md" || name == "console/notices.txt"
		got := get(t, handler, http.MethodGet, "/"+name, "").Header.Get("Cache-Control")
		if (got == "no-cache") != fixed {
			t.Errorf(
				"%s has Cache-Control %q; what changes with its name may be kept, and nothing else",
				name, got)
		}
		var all sync.WaitGroup
		answers := make([]*http.Response, 4)
		for i := range answers {
			all.Go(func() {
				answers[i] = get(t, handler, http.MethodGet, "/"+name, "gzip, deflate, br")
			})
		}
		all.Wait()
		for _, response := range answers {
			packed := body(t, response)
			reader, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil || response.Header.Get("Content-Encoding") != "gzip" ||
				response.Header.Get("Vary") != "Accept-Encoding" {
				t.Fatalf("%s isn't compressed: %v", name, err)
			}
			if unpacked, err := io.ReadAll(reader); err != nil || !bytes.Equal(unpacked, plain) {
				t.Fatalf("%s is another once it is unpacked: %v", name, err)
			}
		}
		raw, compressed = raw+len(plain), compressed+len(file.compressed())
	}
	t.Logf("%d files: %d KiB, compressed %d KiB", len(files), raw>>10, compressed>>10)
	if most := 2 << 20; compressed > most {
		t.Errorf("the console weighs %d bytes compressed, more than %d", compressed, most)
	}
}

func TestAcceptsGzip(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "gzip": true, "br, GZIP": true, "gzip;q=0": false, "gzip; q=0.5": true,
		"gzip;q=0.000": false, "deflate": false, "xgzip": false, "gzip;q=x": false,
	} {
		if got := acceptsGzip([]string{value}); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
