package cloakql_test

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The Go code of the README and of docs/library.md is taken from code that is compiled and tested.
// Only its indentation may differ.
func TestDocumentedGo(t *testing.T) {
	indentation := regexp.MustCompile(`(?m)^[\t ]+`)
	var code []string
	for _, directory := range []string{".", "apierror", "keycloak", "examples/server"} {
		err := filepath.WalkDir(directory, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && name != directory && directory == "." {
				return filepath.SkipDir
			}
			if strings.HasSuffix(name, ".go") {
				code = append(code, indentation.ReplaceAllString(readSource(t, name), ""))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	all, found := strings.Join(code, "\n"), 0
	block := regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
	for _, page := range []string{"README.md", "docs/library.md"} {
		for _, match := range block.FindAllStringSubmatch(readSource(t, page), -1) {
			found++
			if !strings.Contains(all, indentation.ReplaceAllString(match[1], "")) {
				t.Errorf("%s has code that is no excerpt of what is compiled:\n%s", page, match[1])
			}
		}
	}
	if found < 7 {
		t.Errorf("%d blocks of Go were found, want more", found)
	}
}
