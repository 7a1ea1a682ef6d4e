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

// Of all that net/http can write, the log has what it is and nothing that was put in.
func TestLibraryLog_linesOfNetHTTP(t *testing.T) {
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
			isOwn := func(begin string) bool { return strings.HasPrefix(format, begin) }
			// debugging that the source itself switches on
			traced := strings.HasPrefix(format, "%s.") || strings.Contains(format, "recv: ")
			if slices.ContainsFunc(ownLines, isOwn) || traced {
				continue
			}
			lines++
			var written bytes.Buffer
			logger := New(slog.New(slog.NewTextHandler(&written, nil)))
			logger.Print(verb.ReplaceAllLiteralString(format, libraryCanary))
			if strings.Contains(written.String(), libraryCanary) {
				t.Errorf("%q is logged as %s", format, &written)
			}
		}
	}
	if lines < 40 {
		t.Errorf("found %d formats of net/http, where Go 1.26 has more than 40: what does the "+
			"expression miss?", lines)
	}
}
