package graphqlhttp

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false,
	"rewrite the responses in testdata/*.txtar; review the diff")

// TestCases sends the requests in testdata and compares the responses. Each file has the cases of
// one subject. A case is a named request, followed by its response. A request has a line with
// method and target, headers, an empty line, and a body without the last line break. The responses
// omit the headers that are the same in every response. The function send checks these headers.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob(testdata/*.txtar) = %v, %v, want at least one file", files, err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases []txtar.File
		for i := 0; i < len(archive.Files); i++ {
			request := archive.Files[i]
			response := txtar.File{Name: "response"}
			if i+1 < len(archive.Files) && archive.Files[i+1].Name == "response" {
				i++
				response = archive.Files[i]
			}
			subject := strings.TrimSuffix(filepath.Base(file), ".txtar")
			t.Run(subject+"/"+request.Name, func(t *testing.T) {
				got := responseText(send(t, parseRequest(t, request.Data)))
				if !*update && got != string(response.Data) {
					t.Errorf("%s\n-- got --\n%s-- want --\n%s", request.Data, got, response.Data)
				}
				response.Data = []byte(got)
			})
			cases = append(cases, request, response)
		}
		if *update {
			archive.Files = cases
			if err := os.WriteFile(file, txtar.Format(archive), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// parseRequest parses the request of a case.
func parseRequest(t *testing.T, text []byte) *http.Request {
	t.Helper()
	head, body, _ := bytes.Cut(bytes.TrimSuffix(text, []byte("\n")), []byte("\n\n"))
	lines := strings.Split(strings.TrimSpace(string(head)), "\n")
	method, target, ok := strings.Cut(lines[0], " ")
	if !ok {
		t.Fatalf("request line is %q, want a method and a target", lines[0])
	}
	r := httptest.NewRequest(method, target, bytes.NewReader(body))
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("header line is %q, want a colon in it", line)
		}
		r.Header.Add(name, strings.TrimSpace(value))
	}
	return r
}

// responseText formats a response for the files in testdata.
func responseText(res result) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n",
		strings.TrimSpace(fmt.Sprint(res.Code, " ", res.Header().Get("Content-Type"))))
	if allow := res.Header().Get("Allow"); allow != "" {
		fmt.Fprintf(&text, "Allow: %s\n", allow)
	}
	operation := strings.TrimSpace(res.outcome.Operation + " " + res.outcome.Name)
	if operation != "" {
		fmt.Fprintf(&text, "Operation: %s\n", operation)
	}
	return text.String() + "\n" + res.Body.String()
}
