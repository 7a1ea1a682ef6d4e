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

// canary replaces the arguments of log calls.
const canary = "canary-9d1e"

// TestNew_netHTTPLines checks that no argument of net/http's log calls gets into the log.
func TestNew_netHTTPLines(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "src/net/http/*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("source files of net/http: %v, %v; want at least one", files, err)
	}
	callPattern := regexp.MustCompile(
		`\b(?:log\.Printf|v?logf|condlogf)\((?:err, |r, |tw\.req, )?("(?:[^"\\]|\\.)*")`)
	verbPattern := regexp.MustCompile(`%[+#]?[a-zA-Z]`)
	callCount := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range callPattern.FindAllSubmatch(text, -1) {
			format, err := strconv.Unquote(string(match[1]))
			if err != nil {
				t.Fatal(err)
			}
			hasPrefix := func(prefix string) bool { return strings.HasPrefix(format, prefix) }
			// Debug output is off unless the source of net/http is changed.
			isDebug := strings.HasPrefix(format, "%s.") || strings.Contains(format, "recv: ")
			if slices.ContainsFunc(safePrefixes, hasPrefix) || isDebug {
				continue
			}
			callCount++
			var out bytes.Buffer
			logger := New(slog.New(slog.NewTextHandler(&out, nil)))
			logger.Print(verbPattern.ReplaceAllLiteralString(format, canary))
			if strings.Contains(out.String(), canary) {
				t.Errorf("%q is logged as %s, want no argument in it", format, &out)
			}
		}
	}
	if callCount < 40 {
		t.Errorf("found %d log calls in net/http, want at least 40: does the regular expression "+
			"still match?", callCount)
	}
}
