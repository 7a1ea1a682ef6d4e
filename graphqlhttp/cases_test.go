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

// Each file of testdata holds cases of one subject: a request under its name, then the response. A
// request is a line with method and target, headers, an empty line and a body, whose last line
// break doesn't count. What holds for all responses isn't written there; ask checks it.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
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
				got := responseText(ask(t, parseRequest(t, request.Data)))
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

func parseRequest(t *testing.T, text []byte) *http.Request {
	t.Helper()
	head, body, _ := bytes.Cut(bytes.TrimSuffix(text, []byte("\n")), []byte("\n\n"))
	lines := strings.Split(strings.TrimSpace(string(head)), "\n")
	method, target, ok := strings.Cut(lines[0], " ")
	if !ok {
		t.Fatalf("%q is no request line", lines[0])
	}
	r := httptest.NewRequest(method, target, bytes.NewReader(body))
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("%q is no header", line)
		}
		r.Header.Add(name, strings.TrimSpace(value))
	}
	return r
}

func responseText(a answer) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n",
		strings.TrimSpace(fmt.Sprint(a.Code, " ", a.Header().Get("Content-Type"))))
	if allow := a.Header().Get("Allow"); allow != "" {
		fmt.Fprintf(&text, "Allow: %s\n", allow)
	}
	if operation := strings.TrimSpace(a.outcome.Operation + " " + a.outcome.Name); operation != "" {
		fmt.Fprintf(&text, "Operation: %s\n", operation)
	}
	return text.String() + "\n" + a.Body.String()
}
