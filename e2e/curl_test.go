package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The curl examples of the README and of docs/getting-started.md, with only the port changed. Those
// of one page run one after the other in one shell. Each response has the shape of the one that the
// page prints below the command.
//
// Not parallel: the examples sign alice in.
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
				t.Fatalf("%d examples with a response, want %d", len(examples), page.examples)
			}
			runExamples(t, examples)
		})
	}
}

// runExamples runs examples and compares their responses. Each is a match of a command and the JSON
// that is expected.
func runExamples(t *testing.T, examples [][]string) {
	t.Helper()
	s := serve(t, shared)
	const mark = "=== next ===" // on a line by itself after the output of each example
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	for _, example := range examples {
		script.WriteString(strings.ReplaceAll(example[1], "http://localhost:8000", s.url) +
			"echo\necho '" + mark + "'\n")
	}
	shell := exec.Command("bash", "-c", script.String())
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	responses := strings.Split(string(out), mark)
	for i, example := range examples {
		var got, want any
		if err := json.Unmarshal([]byte(responses[i]), &got); err != nil {
			t.Errorf("the response of example %d isn't JSON: %s", i+1, responses[i])
			continue
		}
		if err := json.Unmarshal([]byte(example[2]), &want); err != nil {
			t.Fatalf("the documented response of example %d isn't JSON: %v", i+1, err)
		}
		if where := differs(got, want, ""); where != "" {
			t.Errorf("the response of example %d differs at %s:\n got %s\nwant %s", i+1, where,
				responses[i], example[2])
		}
	}
}

// differs returns where got hasn't the shape of want, or "". "…" stands for any text, {"…": "…"}
// for any object, and ["…"] for any list; numbers may differ, since lifetimes are counted down.
func differs(got, want any, at string) string {
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
			return at
		}
		for i := range want {
			if at == ".data.login.scope" {
				continue // Keycloak gives scopes in any order
			}
			if where := differs(list[i], want[i], at+"[]"); where != "" {
				return where
			}
		}
		return ""
	case map[string]any:
		object, ok := got.(map[string]any)
		if ok && want["…"] == "…" {
			return ""
		}
		if !ok || len(object) != len(want) {
			return at
		}
		for name := range want {
			if where := differs(object[name], want[name], at+"."+name); where != "" {
				return where
			}
		}
		return ""
	default:
		if got == want {
			return ""
		}
	}
	return at
}
