// Package console serves the GraphQL IDE with a sign-in: GraphiQL's editors, built from src into
// dist with everything they need, and embedded in the binary. It knows no schema, loads nothing
// from another host, and works offline.
//
// It is one page and its files, whose names contain a hash of their content:
//
//	mux.Handle("/{$}", page)
//	mux.Handle("/console/", page)
//
// The page calls the GraphQL endpoint at the relative path graphql, so it also works below a path
// prefix of a reverse proxy. Its Content-Security-Policy allows scripts, workers and connections
// only from and to this server, and no inline scripts, eval or framing. Styles are the exception:
// Monaco, the editor, creates style elements, which get a new nonce with each response, and style
// attributes, which can't have a nonce.
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
	pageName         = "index.html"
	noncePlaceholder = "__NONCE__" // vite.config.ts puts it where the nonce belongs
	policy           = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; " +
		"font-src 'self'; img-src 'self' data:; style-src 'self' 'nonce-" + noncePlaceholder +
		"'; style-src-attr 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// hashedName matches the names of files that contain a hash of their content.
var hashedName = regexp.MustCompile(`^console/.+-[0-9A-Za-z_-]{8}\.[a-z]+$`)

// mediaTypes are the media types of the files that a build creates. Other files aren't served.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".ttf":  "font/ttf",
	".md":   "text/plain; charset=utf-8", // licenses of the libraries in the build
	".txt":  "text/plain; charset=utf-8", // their notices
}

// A User is a suggestion in the sign-in form. Everyone who opens the page can read the password:
// suggest only users of a test realm, on a developer's machine.
type User struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// String returns the username, since passwords aren't printed.
func (u User) String() string { return u.Username }

// GoString returns the username.
func (u User) GoString() string { return u.Username }

// Handler serves the page at / and its files below /console/, for GET and HEAD. The sign-in form
// suggests users. Each file is compressed once, at its first request; that takes some 2 MB of
// memory in all. The handler is safe for concurrent use.
func Handler(users ...User) http.Handler {
	files, err := load()
	if err != nil {
		panic("console: " + err.Error()) // the binary was built without its files
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
			// not cacheable: during an upgrade, a process of the other build may have the file
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
		panic("console: " + err.Error()) // strings can always be marshalled
	}
	return `<meta name="users" content="` + html.EscapeString(string(text)) + `">`
}

// servePage serves the page with a new nonce, so it must not be cached.
func servePage(w http.ResponseWriter, r *http.Request, page *file) {
	nonce := rand.Text()
	header := w.Header()
	header.Set("Content-Security-Policy", strings.ReplaceAll(policy, noncePlaceholder, nonce))
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	write(w, r, page.mediaType,
		bytes.ReplaceAll(page.content, []byte(noncePlaceholder), []byte(nonce)))
}

type file struct {
	mediaType  string
	content    []byte
	hashed     bool // the name contains a hash of the content
	compressed func() []byte
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	// A worker uses the policy of its own response, not the page's.
	header.Set("Content-Security-Policy",
		strings.ReplaceAll(policy, " 'nonce-"+noncePlaceholder+"'", ""))
	header.Set("Cache-Control", "no-cache")
	if f.hashed {
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
		_, _ = w.Write(content) // fails if the client has disconnected
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

// load returns the files of the build by their paths below /.
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
			mediaType: mediaType, content: content, hashed: hashedName.MatchString(name),
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
		panic("console: " + err.Error()) // writing to a buffer doesn't fail
	}
	return out.Bytes()
}
