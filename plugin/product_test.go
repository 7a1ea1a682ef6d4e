package plugin_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Builds the product of docs/plugin.md in an empty module with the page's commands and files, and
// runs it with the stand-in for Keycloak. It omits the commands that need the network: enterModule
// replaces them.
func TestDocumentedProduct(t *testing.T) {
	page, product := readFile(t, "../docs/plugin.md"), archive(t, "testdata/shop.txtar")
	root := enterModule(t, product)
	var commands []string
	block := regexp.MustCompile("(?ms)^```(\\w+)\n(?:(?://|#) (\\S+)\n)?(.*?)^```$")
	for _, found := range block.FindAllStringSubmatch(page, -1) {
		switch language, name, text := found[1], found[2], found[3]; {
		case language == "sh":
			for command := range strings.Lines(text) {
				command = strings.TrimSpace(command)
				commands = append(commands, command)
				if command != "go get -tool "+tool && command != "go mod tidy" {
					words := strings.Fields(command)
					run(t, words[0], words[1:]...)
				}
			}
		case name != "":
			writeFiles(t, map[string]string{name: text})
		case !strings.Contains(strings.ReplaceAll(product["main.go"], "\n\t", "\n"), text):
			t.Errorf("the product's main.go lacks this excerpt of the page:\n%s", text)
		}
	}
	want := []string{"go get -tool " + tool, "go generate ./...", "go mod tidy"}
	if !slices.Equal(commands, want) {
		t.Errorf("the page has the commands %q, want %q", commands, want)
	}
	run(t, "go", "vet", "./...")
	t.Log(run(t, "go", "test", "-v", "./..."))
	readSources(t, root,
		strings.Fields(run(t, "go", "list", "-deps", "-test", "-f", "{{.Dir}}", ".")))
	unwanted := regexp.MustCompile(
		`(?m)^github\.com/(cloakql/cloakql/(plugin|keycloak/keycloaktest)|99designs/gqlgen/(api|codegen|plugin))(/.*)?$`)
	if found := unwanted.FindAllString(run(t, "go", "list", "-deps", "."), -1); found != nil {
		t.Errorf("the server depends on %v, want none of these packages", found)
	}
}

// readSources reads the Go files in the directories that belong to CloakQL: go test caches the
// result of a test unless a file changes that the test itself has read.
func readSources(t *testing.T, root string, directories []string) {
	t.Helper()
	read := 0
	for _, directory := range directories {
		if directory != root && !strings.HasPrefix(directory, root+string(filepath.Separator)) {
			continue
		}
		names, err := filepath.Glob(filepath.Join(directory, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			readFile(t, name)
			read++
		}
	}
	if read < 20 {
		t.Errorf("the product depends on %d files of CloakQL, want at least 20", read)
	}
}

// A product with federation, with names that CloakQL has too, and with gqlgen's other layouts and
// options: everything that changes the text of the resolvers.
func TestUnusualProduct(t *testing.T) {
	product := archive(t, "testdata/unusual.txtar")
	enterModule(t, product)
	run(t, "go", "tool", "cloakql-gqlgen", "-config", "unusual.yml", "-rename", "me=viewer",
		"-rename-type", "User=Caller", "-without", "logout", "-schema", "whole.graphqls")
	// Again, now that the schema file is among the files that gqlgen reads.
	before := files(t)
	run(t, "go", "tool", "cloakql-gqlgen", "-config", "unusual.yml", "-rename", "me=viewer",
		"-rename-type", "User=Caller", "-without", "logout", "-schema", "whole.graphqls")
	checkSame(t, before, files(t))
	t.Log(run(t, "go", "test", "-v", "./..."))
}
