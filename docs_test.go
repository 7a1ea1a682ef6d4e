package cloakql_test

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Apart from its indentation, Go code in the README and in docs is an excerpt of compiled and
// tested code. docs/extending.md and docs/plugin.md have tests of their own.
func TestDocumentedGo(t *testing.T) {
	indentPattern := regexp.MustCompile(`(?m)^[\t ]+`)
	var code []string
	for _, directory := range []string{".", "apierror", "authz", "keycloak",
		"examples/server"} {
		err := filepath.WalkDir(directory, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && name != directory && directory == "." {
				return filepath.SkipDir
			}
			if strings.HasSuffix(name, ".go") {
				code = append(code, indentPattern.ReplaceAllString(readSource(t, name), ""))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	compiledCode, blockCount := strings.Join(code, "\n"), 0
	blockPattern := regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
	pagesWithOwnTests := []string{"docs/extending.md", "docs/plugin.md"}
	for _, page := range slices.Concat([]string{"README.md"}, glob(t, "docs/*.md")) {
		if slices.Contains(pagesWithOwnTests, page) {
			continue
		}
		for _, match := range blockPattern.FindAllStringSubmatch(readSource(t, page), -1) {
			blockCount++
			if !strings.Contains(compiledCode, indentPattern.ReplaceAllString(match[1], "")) {
				t.Errorf("%s has code that isn't an excerpt of compiled code:\n%s", page, match[1])
			}
		}
	}
	if blockCount < 7 {
		t.Errorf("found %d blocks of Go code, want at least 7", blockCount)
	}
}

// Every documented npm command has --ignore-scripts. Without the flag, people who copy the command
// would run the code of the packages that they install.
func TestDocumentedNpm(t *testing.T) {
	installPattern := regexp.MustCompile("npm (ci|install)\\b[^&|`\"\n]*")
	commandCount := 0
	for _, name := range slices.Concat(glob(t, "*.md"), glob(t, "docs/*.md"),
		glob(t, "examples/*.md"),
		glob(t, "clients/*/*.md"), glob(t, "examples/*/*.mjs"), glob(t, "*_test.go"),
		glob(t, "e2e/*.go"),
		glob(t, "console/vite.config.ts"), glob(t, "Makefile"), glob(t, ".ci/run")) {
		for _, command := range installPattern.FindAllString(readSource(t, name), -1) {
			commandCount++
			if name != "docs_test.go" && !strings.Contains(command, "--ignore-scripts") {
				t.Errorf("%s has %q without --ignore-scripts", name, command)
			}
		}
	}
	if commandCount < 10 {
		t.Errorf("found %d npm commands, want at least 10", commandCount)
	}
}
