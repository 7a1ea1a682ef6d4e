// Package console serves a GraphQL IDE with a sign-in. The IDE uses GraphiQL's editors. It is built
// from src, with all its libraries, into dist, which is embedded in the binary. The console
// contains no schema, loads nothing from other hosts, and works offline.
//
// The console is one HTML page at /, which loads its files from /console/:
//
//	handler := console.Handler()
//	mux.Handle("/{$}", handler)
//	mux.Handle("/console/", handler)
//
// The page calls the GraphQL endpoint at the relative path graphql, so it also works if a reverse
// proxy adds a path prefix. Its Content-Security-Policy allows scripts and workers only from this
// server, and connections only to this server. It forbids inline scripts, eval and framing. It
// allows some inline styles, because the editor Monaco creates style elements and style attributes.
// Style elements need a nonce, which is new for each response; style attributes can't have a nonce.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"embed"
	"encoding/json"
	"html"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

//go:embed all:dist
var dist embed.FS

const (
	pageName              = "index.html"
	noncePlaceholder      = "__NONCE__" // in index.html, where vite.config.ts puts it
	contentSecurityPolicy = "default-src 'none'; script-src 'self'; worker-src 'self'; " +
		"connect-src 'self'; " +
		"font-src 'self'; img-src 'self' data:; style-src 'self' 'nonce-" + noncePlaceholder +
		"'; style-src-attr 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors " +
		"'none'"
)

// hashedNamePattern matches the names of files whose name contains a hash of their content.
var hashedNamePattern = regexp.MustCompile(`^console/.+-[0-9A-Za-z_-]{8}\.[a-z]+$`)

// mediaTypes has the media type of each kind of file that a build creates, by the file's extension.
// Other files aren't served.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".ttf":  "font/ttf",
	".md":   "text/plain; charset=utf-8", // the licenses of the libraries
	".txt":  "text/plain; charset=utf-8", // the notices of the libraries
}

// A User is a user that the sign-in form suggests. Everyone who opens the page can read the
// password, so suggest only users of a test realm, on a developer's machine.
type User struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// String returns the username, so that the password isn't printed.
func (u User) String() string { return u.Username }

// GoString returns the username, so that the password isn't printed.
func (u User) GoString() string { return u.Username }

// Handler returns a handler that serves the page at / and its files below /console/, for GET and
// HEAD. The sign-in form suggests users. The handler compresses each file once, when it is first
// requested. All compressed files together take about 2 MB of memory. The handler is safe for
// concurrent use.
func Handler(users ...User) http.Handler {
	files, err := loadFiles()
	if err != nil {
		panic("console: " + err.Error()) // dist was incomplete when the binary was built
	}
	if len(users) > 0 {
		page := *files[pageName]
		page.content = bytes.Replace(page.content, []byte("</title>"),
			append([]byte("</title>\n    "), usersMeta(users)...), 1)
		files[pageName] = &page
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		switch name {
		case "":
			name = pageName
		case pageName: // served only at /
			name = ""
		}
		file := files[name]
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		switch {
		case file == nil:
			// Don't let the 404 be cached. During an upgrade, another process may have the file.
			header.Set("Cache-Control", "no-store")
			http.NotFound(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "the console is for GET: operations go to /graphql",
				http.StatusMethodNotAllowed)
		case name == pageName:
			servePage(w, r, file)
		default:
			file.serve(w, r)
		}
	})
}

// usersMeta returns the element from which the page reads the suggested users.
func usersMeta(users []User) string {
	text, err := json.Marshal(users)
	if err != nil {
		panic("console: " + err.Error()) // impossible: the fields are strings
	}
	return `<meta name="users" content="` + html.EscapeString(string(text)) + `">`
}

// servePage serves the page. It must not be cached, because each response has a new nonce.
func servePage(w http.ResponseWriter, r *http.Request, page *file) {
	nonce := rand.Text()
	header := w.Header()
	header.Set("Content-Security-Policy",
		strings.ReplaceAll(contentSecurityPolicy, noncePlaceholder, nonce))
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	writeContent(w, r, page.mediaType,
		bytes.ReplaceAll(page.content, []byte(noncePlaceholder), []byte(nonce)))
}

// A file is a file of the build.
type file struct {
	mediaType string
	content   []byte
	isHashed  bool          // the name contains a hash of the content
	gzipped   func() []byte // returns the compressed content
}

// serve serves a file other than the page, compressed if the client accepts gzip.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	// A worker uses the policy of its own response, not the policy of the page.
	header.Set("Content-Security-Policy",
		strings.ReplaceAll(contentSecurityPolicy, " 'nonce-"+noncePlaceholder+"'", ""))
	header.Set("Cache-Control", "no-cache")
	if f.isHashed {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	header.Add("Vary", "Accept-Encoding")
	content := f.content
	if acceptsGzip(r.Header["Accept-Encoding"]) {
		content = f.gzipped()
		header.Set("Content-Encoding", "gzip")
	}
	writeContent(w, r, f.mediaType, content)
}

// writeContent writes a response with this content. For HEAD, it writes only the header.
func writeContent(w http.ResponseWriter, r *http.Request, mediaType string, content []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(content) // fails if the client has disconnected
	}
}

// acceptsGzip reports whether the values of Accept-Encoding allow gzip (RFC 9110, 12.5.3): they
// must name gzip, with a quality other than zero. It ignores *, which browsers and proxies don't
// send.
func acceptsGzip(values []string) bool {
	for _, value := range values {
		for coding := range strings.SplitSeq(value, ",") {
			name, parameter, _ := strings.Cut(strings.ToLower(coding), ";")
			if strings.TrimSpace(name) != "gzip" {
				continue
			}
			quality, hasQuality := strings.CutPrefix(strings.TrimSpace(parameter), "q=")
			q, err := strconv.ParseFloat(quality, 64)
			return !hasQuality || err == nil && q > 0
		}
	}
	return false
}

// loadFiles returns the embedded files of the build, by their URL path without the leading slash.
func loadFiles() (map[string]*file, error) {
	files := map[string]*file{}
	err := fs.WalkDir(dist, "dist", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		mediaType := mediaTypes[path.Ext(name)]
		if mediaType == "" {
			return nil
		}
		content, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name, "dist/")
		files[name] = &file{
			mediaType: mediaType, content: content, isHashed: hashedNamePattern.MatchString(name),
			gzipped: sync.OnceValue(func() []byte { return compress(content) }),
		}
		return nil
	})
	if err == nil && files[pageName] == nil {
		err = fs.ErrNotExist
	}
	return files, err
}

// compress returns content compressed with gzip.
func compress(content []byte) []byte {
	var out bytes.Buffer
	writer, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = writer.Write(content)
	}
	if err == nil {
		err = writer.Close()
	}
	if err != nil {
		panic("console: " + err.Error()) // impossible: writing to a buffer doesn't fail
	}
	return out.Bytes()
}
