package librarylog

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const libraryCanary = "canary-9d1e"

// TestNew_netHTTPLines checks that no argument of net/http's log calls gets into the log.
func TestNew_netHTTPLines(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "src/net/http/*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source of net/http: %v", err)
	}
	call := regexp.MustCompile(
		`\b(?:log\.Printf|v?logf|condlogf)\((?:err, |r, |tw\.req, )?("(?:[^"\\]|\\.)*")`)
	verb := regexp.MustCompile(`%[+#]?[a-zA-Z]`)
	lines := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range call.FindAllSubmatch(text, -1) {
			format, err := strconv.Unquote(string(match[1]))
			if err != nil {
				t.Fatal(err)
			}
			matches := func(prefix string) bool { return strings.HasPrefix(format, prefix) }
			// Debug output that has to be enabled in the source of net/http.
			debug := strings.HasPrefix(format, "%s.") || strings.Contains(format, "recv: ")
			if slices.ContainsFunc(safeLines, matches) || debug {
				continue
			}
			lines++
			var out bytes.Buffer
			logger := New(slog.New(slog.NewTextHandler(&out, nil)))
			logger.Print(verb.ReplaceAllLiteralString(format, libraryCanary))
			if strings.Contains(out.String(), libraryCanary) {
				t.Errorf("%q is logged as %s", format, &out)
			}
		}
	}
	if lines < 40 {
		t.Errorf("found %d log calls in net/http, want at least 40: does the regular expression "+
			"still match?", lines)
	}
}
