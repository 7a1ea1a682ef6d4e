package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Each curl example in the README and in docs/getting-started.md gets a response of the shape that
// the page shows below the example. The test replaces only the server's address, and runs the
// examples of a page one after the other in one shell.
//
// Not parallel: the examples sign alice in, and Keycloak rejects one of two concurrent sign-ins.
func TestCurlExamples(t *testing.T) {
	for _, page := range []struct {
		name     string
		examples int
	}{
		{"README.md", 3},               // login, me, me without a token
		{"docs/getting-started.md", 5}, // login, me, refresh, logout, a wrong password
	} {
		t.Run(page.name, func(t *testing.T) {
			text := string(must(os.ReadFile(repository + "/" + page.name)))
			examples := regexp.MustCompile(
				"(?s)```sh\n([^`]*?curl .*?)```\n```json\n(.*?)```").FindAllStringSubmatch(text, -1)
			if len(examples) != page.examples {
				t.Fatalf("found %d examples with a response, want %d", len(examples), page.examples)
			}
			runExamples(t, examples)
		})
	}
}

// runExamples runs examples and compares their responses. Each example is a regexp match: the
// command is its first group, and the expected JSON its second.
func runExamples(t *testing.T, examples [][]string) {
	t.Helper()
	s := serve(t, sharedKeycloak)
	const separator = "=== next ===" // on a line by itself after the output of each example
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	for _, example := range examples {
		script.WriteString(strings.ReplaceAll(example[1], "http://localhost:8000", s.url) +
			"echo\necho '" + separator + "'\n")
	}
	shell := exec.Command("bash", "-c", script.String())
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	responses := strings.Split(string(out), separator)
	for i, example := range examples {
		var got, want any
		if err := json.Unmarshal([]byte(responses[i]), &got); err != nil {
			t.Errorf("the response of example %d isn't JSON: %s", i+1, responses[i])
			continue
		}
		if err := json.Unmarshal([]byte(example[2]), &want); err != nil {
			t.Fatalf("the documented response of example %d isn't JSON: %v", i+1, err)
		}
		if path := firstDifference(got, want, ""); path != "" {
			t.Errorf("the response of example %d differs at %s:\n got %s\nwant %s", i+1, path,
				responses[i], example[2])
		}
	}
}

// firstDifference returns the first path at which got doesn't have the shape of want, or "" if
// there is none. In want, "…" stands for any text but "", {"…": "…"} for any object, and ["…"] for
// any list. Numbers may differ, since lifetimes are counted down.
func firstDifference(got, want any, path string) string {
	switch want := want.(type) {
	case string:
		if text, ok := got.(string); ok && (want == "…" && text != "" || want == text) {
			return ""
		}
	case float64:
		if _, ok := got.(float64); ok {
			return ""
		}
	case []any:
		list, ok := got.([]any)
		if ok && len(want) == 1 && want[0] == "…" {
			return ""
		}
		if !ok || len(list) != len(want) {
			return path
		}
		for i := range want {
			if path == ".data.login.scope" {
				continue // Keycloak returns scopes in any order
			}
			if path := firstDifference(list[i], want[i], path+"[]"); path != "" {
				return path
			}
		}
		return ""
	case map[string]any:
		object, ok := got.(map[string]any)
		if ok && want["…"] == "…" {
			return ""
		}
		if !ok || len(object) != len(want) {
			return path
		}
		for name := range want {
			if path := firstDifference(object[name], want[name], path+"."+name); path != "" {
				return path
			}
		}
		return ""
	default:
		if got == want {
			return ""
		}
	}
	return path
}
