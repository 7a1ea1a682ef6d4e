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

// serve sends a request to handler and returns the response. If acceptEncoding isn't empty, it is
// the Accept-Encoding header of the request.
func serve(t *testing.T, handler http.Handler, method, target,
	acceptEncoding string) *http.Response {
	t.Helper()
	request := httptest.NewRequest(method, target, nil)
	if acceptEncoding != "" {
		request.Header.Set("Accept-Encoding", acceptEncoding)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder.Result()
}

// readBody returns the body of a response.
func readBody(t *testing.T, response *http.Response) []byte {
	t.Helper()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// The page's Content-Security-Policy allows files only from this server, and no inline scripts and
// no eval. Each response has a new nonce.
func TestHandler_page(t *testing.T) {
	handler := Handler()
	noncePattern := regexp.MustCompile(`'nonce-([A-Z0-9]{26})'`)
	seenNonces := map[string]bool{}
	for range 3 {
		response := serve(t, handler, http.MethodGet, "/?query=anything", "")
		page := string(readBody(t, response))
		policy := response.Header.Get("Content-Security-Policy")
		match := noncePattern.FindStringSubmatch(policy)
		if response.StatusCode != http.StatusOK || match == nil || seenNonces[match[1]] {
			t.Fatalf("got %d and the policy %q, want 200 and a new nonce",
				response.StatusCode, policy)
		}
		seenNonces[match[1]] = true
		if !strings.Contains(page, `nonce="`+match[1]+`"`) ||
			strings.Contains(page, noncePlaceholder) {
			t.Errorf("got the page\n%s\nwant the policy's nonce in it, and no placeholder", page)
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
			isUnsafe := strings.Contains(sources, "unsafe")
			if isUnsafe != (name == "style-src-attr") {
				t.Errorf("the policy has %q, want an unsafe source only in style-src-attr",
					directive)
			}
			if strings.Contains(sources, ":") && directive != "img-src 'self' data:" ||
				strings.Contains(sources, "*") {
				t.Errorf("the policy has %q, want no sources other than this server", directive)
			}
		}
		if !strings.HasPrefix(policy, "default-src 'none'; ") {
			t.Errorf("the policy is %q, want default-src 'none' first", policy)
		}
	}
	page := string(readBody(t, serve(t, handler, http.MethodGet, "/", "")))
	if strings.Contains(page, "://") ||
		regexp.MustCompile(`<script[^>]*>[^<]|<style|\son[a-z]+=|style=`).MatchString(page) {
		t.Errorf("got the page\n%s\nwant no inline scripts or styles, and no absolute URLs", page)
	}
}

// The handler serves every file that the page links to. Clients may cache these files for a year,
// because their names contain a hash of the content.
func TestHandler_files(t *testing.T) {
	handler := Handler()
	page := string(readBody(t, serve(t, handler, http.MethodGet, "/", "")))
	links := regexp.MustCompile(`(?:src|href)="\.(/console/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(links) < 3 {
		t.Fatalf("the page links to %d files, want at least 3: a script, a style and an icon",
			len(links))
	}
	for _, link := range links {
		response := serve(t, handler, http.MethodGet, link[1], "")
		content := readBody(t, response)
		if response.StatusCode != http.StatusOK || len(content) == 0 ||
			response.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: got status %d, %d bytes and Cache-Control %q; want 200, a body, and "+
				"caching for a year", link[1], response.StatusCode, len(content),
				response.Header.Get("Cache-Control"))
		}
		if policy := response.Header.Get("Content-Security-Policy"); !strings.Contains(policy,
			"script-src 'self'") || strings.Contains(policy, "nonce") {
			t.Errorf("%s has the policy %q, want script-src 'self' without a nonce", link[1],
				policy)
		}
	}
}

// The page suggests exactly the users that are passed to Handler. It escapes their names and
// passwords. If a User is printed, the password isn't.
func TestHandler_users(t *testing.T) {
	alice := User{"alice", "alice-password"}
	text := fmt.Sprintf("%v %+v %#v %s", alice, []User{alice}, alice, &alice)
	if strings.Contains(text, alice.Password) {
		t.Errorf("Users are printed as %s, want them without the password", text)
	}
	usersPattern := regexp.MustCompile(`<meta name="users" content="([^"<>]*)">`)
	users := []User{alice,
		{`"><script>alert('b')</script>`, `&quot;__NONCE__`}}
	page := string(readBody(t, serve(t, Handler(users...), http.MethodGet, "/", "")))
	match := usersPattern.FindStringSubmatch(page)
	if match == nil {
		t.Fatalf("got the page\n%s\nwant it to suggest users", page)
	}
	var got []User
	if err := json.Unmarshal([]byte(html.UnescapeString(match[1])), &got); err != nil ||
		got[0] != users[0] || got[1].Username != users[1].Username {
		t.Errorf("the page suggests %v (error: %v), want %v", got, err, users)
	}
	page = string(readBody(t, serve(t, Handler(), http.MethodGet, "/", "")))
	if strings.Contains(page, "alice") || usersPattern.MatchString(page) {
		t.Errorf("got the page\n%s\nwant it to suggest no users", page)
	}
}

// The handler serves only the page and the files of the build, and only for GET and HEAD.
func TestHandler_routes(t *testing.T) {
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
		response := serve(t, handler, tt.method, tt.target, "")
		if response.StatusCode != tt.status || response.Header.Get("Allow") != tt.allow {
			t.Errorf("%s %s: got %d and Allow %q, want %d and %q", tt.method, tt.target,
				response.StatusCode,
				response.Header.Get("Allow"), tt.status, tt.allow)
		}
		if got := response.Header.Get("Cache-Control"); tt.status == http.StatusNotFound &&
			got != "no-store" {
			t.Errorf("%s: the 404 has Cache-Control %q, want no-store", tt.target, got)
		}
		if tt.method == http.MethodHead &&
			(len(readBody(t, response)) > 0 || response.Header.Get("Content-Length") == "0") {
			t.Error("HEAD: got a body or no Content-Length, want only a Content-Length")
		}
	}
	licenses := serve(t, handler, http.MethodGet, "/console/licenses.md", "")
	if licenses.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("licenses.md has Cache-Control %q, want no-cache, because its name has no hash",
			licenses.Header.Get("Cache-Control"))
	}
	text := string(readBody(t, licenses))
	for _, name := range []string{"@graphiql/react", "graphql", "monaco-editor", "monaco-graphql",
		"react", "react-dom", "zustand"} {
		if !strings.Contains(text, "## "+name+" - ") {
			t.Errorf("licenses.md lacks the license of %s, which is in the build", name)
		}
	}
}

// Clients that accept gzip get compressed files, and other clients get the same content
// uncompressed. Concurrent first requests for a file get the same response.
func TestHandler_compression(t *testing.T) {
	files, err := loadFiles()
	if err != nil {
		t.Fatal(err)
	}
	handler := Handler()
	var rawBytes, gzipBytes int
	for name, file := range files {
		if name == pageName {
			continue
		}
		uncompressedBody := readBody(t, serve(t, handler, http.MethodGet, "/"+name, "br, gzip;q=0"))
		if !bytes.Equal(uncompressedBody, file.content) {
			t.Errorf("%s: got %d uncompressed bytes, want exactly the %d bytes of the file", name,
				len(uncompressedBody), len(file.content))
		}
		isUnhashed := name == "console/licenses.md" || name == "console/notices.txt"
		got := serve(t, handler, http.MethodGet, "/"+name, "").Header.Get("Cache-Control")
		if (got == "no-cache") != isUnhashed {
			t.Errorf("%s has Cache-Control %q, want no-cache: %t", name, got, isUnhashed)
		}
		var wg sync.WaitGroup
		responses := make([]*http.Response, 4)
		for i := range responses {
			wg.Go(func() {
				responses[i] = serve(t, handler, http.MethodGet, "/"+name, "gzip, deflate, br")
			})
		}
		wg.Wait()
		for _, response := range responses {
			compressedBody := readBody(t, response)
			reader, err := gzip.NewReader(bytes.NewReader(compressedBody))
			if err != nil || response.Header.Get("Content-Encoding") != "gzip" ||
				response.Header.Get("Vary") != "Accept-Encoding" {
				t.Fatalf("%s: got the header %v (error: %v), want a gzip response", name,
					response.Header, err)
			}
			if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, uncompressedBody) {
				t.Fatalf("%s: got %d decompressed bytes (error: %v), want exactly the %d bytes of "+
					"the uncompressed response", name, len(got), err, len(uncompressedBody))
			}
		}
		rawBytes, gzipBytes = rawBytes+len(uncompressedBody), gzipBytes+len(file.gzipped())
	}
	t.Logf("%d files: %d KiB, compressed %d KiB", len(files), rawBytes>>10, gzipBytes>>10)
	if maxBytes := 2 << 20; gzipBytes > maxBytes {
		t.Errorf("the console has %d bytes compressed, want at most %d", gzipBytes, maxBytes)
	}
}

// acceptsGzip reports whether Accept-Encoding contains gzip with a quality above zero.
func TestAcceptsGzip(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "gzip": true, "br, GZIP": true, "gzip;q=0": false, "gzip; q=0.5": true,
		"gzip;q=0.000": false, "deflate": false, "xgzip": false, "gzip;q=x": false,
	} {
		if got := acceptsGzip([]string{value}); got != want {
			t.Errorf("acceptsGzip(%q) = %t, want %t", value, got, want)
		}
	}
}
