// Package console serves the GraphQL IDE with a sign-in: GraphiQL's editors, built from src into
// dist with everything they need, and embedded in the binary. It knows no schema, loads nothing
// from another host, and works offline.
//
// One page, and files beside it whose names hold their digests:
//
//	mux.Handle("/{$}", page)
//	mux.Handle("/console/", page)
//
// The page calls the GraphQL endpoint graphql beside itself: /graphql here, or below whatever
// prefix a reverse proxy has for both. What it may do is in its Content-Security-Policy: scripts
// and workers only from this server and none in the page, no eval, connections only to this server,
// and no page of another's around it. Styles are the one exception: Monaco, the editor,
// makes style elements, which carry a nonce that is new with each page, and style attributes, which
// a nonce can't be put on.
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
	pageName = "index.html"
	nonceTag = "__NONCE__" // where vite.config.ts has the page's nonce
	policy   = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; " +
		"font-src 'self'; img-src 'self' data:; style-src 'self' 'nonce-" + nonceTag +
		"'; style-src-attr 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// digested are names that change with their content, as the build makes them.
var digested = regexp.MustCompile(`^console/.+-[0-9A-Za-z_-]{8}\.[a-z]+$`)

// mediaTypes are those of what a build makes; a file of another kind isn't served.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".ttf":  "font/ttf",
	".md":   "text/plain; charset=utf-8", // the licenses of what was built in,
	".txt":  "text/plain; charset=utf-8", // and their notices
}

// A User is somebody whom the form to sign in offers. Everybody who opens the page can read the
// password: offer only people who are made up, on a developer's machine.
type User struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// String returns the name: a password isn't printed, even of somebody who is made up.
func (u User) String() string { return u.Username }

// GoString returns the name.
func (u User) GoString() string { return u.Username }

// Handler serves the page at / and the files below /console/, to GET and HEAD. The form to sign in
// offers the users that are given. Files are compressed once for all, when they are first asked
// for: some 2 MB of memory, and none before. It is safe for concurrent use.
func Handler(users ...User) http.Handler {
	files, err := load()
	if err != nil {
		panic("console: " + err.Error()) // the binary was built without its files
	}
	if len(users) > 0 {
		page := *files[pageName]
		page.content = bytes.Replace(page.content, []byte("</title>"),
			append([]byte("</title>\n    "), offer(users)...), 1)
		files[pageName] = &page
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		switch name {
		case "":
			name = pageName
		case pageName: // it has one name
			name = ""
		}
		file := files[name]
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		switch {
		case file == nil:
			// another process of this server, of another build, may have it
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

// offer is where the page reads whom to offer.
func offer(users []User) string {
	text, err := json.Marshal(users)
	if err != nil {
		panic("console: " + err.Error()) // texts can be marshalled
	}
	return `<meta name="users" content="` + html.EscapeString(string(text)) + `">`
}

// servePage serves the page, with a new nonce: it isn't kept by any cache.
func servePage(w http.ResponseWriter, r *http.Request, page *file) {
	nonce := rand.Text()
	header := w.Header()
	header.Set("Content-Security-Policy", strings.ReplaceAll(policy, nonceTag, nonce))
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	write(w, r, page.mediaType, bytes.ReplaceAll(page.content, []byte(nonceTag), []byte(nonce)))
}

type file struct {
	mediaType  string
	content    []byte
	digested   bool // its name changes with its content
	compressed func() []byte
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	// A worker has the policy of its own file, not the page's.
	header.Set("Content-Security-Policy", strings.ReplaceAll(policy, " 'nonce-"+nonceTag+"'", ""))
	header.Set("Cache-Control", "no-cache")
	if f.digested {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	header.Add("Vary", "Accept-Encoding")
	content := f.content
	if acceptsGzip(r.Header["Accept-Encoding"]) {
		content = f.compressed()
		header.Set("Content-Encoding", "gzip")
	}
	write(w, r, f.mediaType, content)
}

func write(w http.ResponseWriter, r *http.Request, mediaType string, content []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(content) // a reader who has left
	}
}

// acceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3) as far as browsers and proxies write it:
// gzip by name, and not with a quality of zero.
func acceptsGzip(values []string) bool {
	for _, value := range values {
		for coding := range strings.SplitSeq(value, ",") {
			name, parameter, _ := strings.Cut(strings.ToLower(coding), ";")
			if strings.TrimSpace(name) != "gzip" {
				continue
			}
			quality, found := strings.CutPrefix(strings.TrimSpace(parameter), "q=")
			q, err := strconv.ParseFloat(quality, 64)
			return !found || err == nil && q > 0
		}
	}
	return false
}

// load reads what the build has made, by its path below /.
func load() (map[string]*file, error) {
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
			mediaType: mediaType, content: content, digested: digested.MatchString(name),
			compressed: sync.OnceValue(func() []byte { return compress(content) }),
		}
		return nil
	})
	if err == nil && files[pageName] == nil {
		err = fs.ErrNotExist
	}
	return files, err
}

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
		panic("console: " + err.Error()) // a buffer takes everything
	}
	return out.Bytes()
}
