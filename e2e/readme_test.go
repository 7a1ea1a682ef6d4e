package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The curl examples of the README, word for word but for the port, one after the other in one
// shell; each answer has the shape of the one that is printed below it.
//
// Not parallel: the examples sign alice in.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## With curl\n")
	section, _, ended := strings.Cut(section, "\n## ")
	if !found || !ended {
		t.Fatal("the README has no section With curl")
	}
	examples := regexp.MustCompile("(?s)```sh\n(.*?)```\n```json\n(.*?)```").FindAllStringSubmatch(
		section, -1)
	if len(examples) != 5 {
		t.Fatalf("%d examples with an answer; want login, me, refresh, logout and a wrong password",
			len(examples))
	}
	s := serve(t, shared)
	// Each example's output ends with a mark on a line of its own.
	const mark = "=== next ==="
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
	answers := strings.Split(string(out), mark)
	for i, example := range examples {
		var got, want any
		if err := json.Unmarshal([]byte(answers[i]), &got); err != nil {
			t.Errorf("example %d answers no JSON: %s", i+1, answers[i])
			continue
		}
		if err := json.Unmarshal([]byte(example[2]), &want); err != nil {
			t.Fatalf("the README's answer %d is no JSON: %v", i+1, err)
		}
		if where := differs(got, want, ""); where != "" {
			t.Errorf("example %d differs from the README at %s:\n got %s\nwant %s", i+1, where,
				answers[i], example[2])
		}
	}
}

// differs says where got hasn't the shape of want, or nothing. "…" stands for any text, {"…": "…"}
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
