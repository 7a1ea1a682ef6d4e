package plugin_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The application in docs/plugin.md builds in an empty module with the page's commands and files,
// and passes its tests with the fake Keycloak. The test leaves out the commands that need the
// network; enterModule does their work.
func TestDocumentedApplication(t *testing.T) {
	page, application := readFile(t, "../docs/plugin.md"), archive(t, "testdata/shop.txtar")
	root := enterModule(t, application)
	var commands []string
	blockPattern := regexp.MustCompile("(?ms)^```(\\w+)\n(?:(?://|#) (\\S+)\n)?(.*?)^```$")
	for _, match := range blockPattern.FindAllStringSubmatch(page, -1) {
		switch language, name, text := match[1], match[2], match[3]; {
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
		case !strings.Contains(strings.ReplaceAll(application["main.go"], "\n\t", "\n"), text):
			t.Errorf("the application's main.go lacks this excerpt from the page:\n%s", text)
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
	unwantedPattern := regexp.MustCompile(
		`(?m)^github\.com/(cloakql/cloakql/(plugin|keycloak/keycloaktest)|99designs/gqlgen/(api|codegen|plugin))(/.*)?$`)
	dependencies := run(t, "go", "list", "-deps", ".")
	if unwanted := unwantedPattern.FindAllString(dependencies, -1); unwanted != nil {
		t.Errorf("the server depends on %v, want none of these packages", unwanted)
	}
}

// readSources reads the Go files in those directories that are below root. go test reuses a cached
// result unless a file that the test has read changes, so the test must read CloakQL's sources.
func readSources(t *testing.T, root string, directories []string) {
	t.Helper()
	count := 0
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
			count++
		}
	}
	if count < 20 {
		t.Errorf("the application depends on %d files of CloakQL, want at least 20", count)
	}
}

// The plugin works with federation, with type and field names that CloakQL has too, and with every
// layout and option of gqlgen that changes the text of the resolvers.
func TestUnusualApplication(t *testing.T) {
	application := archive(t, "testdata/unusual.txtar")
	enterModule(t, application)
	run(t, "go", "tool", "cloakql-gqlgen", "-config", "unusual.yml", "-rename", "me=viewer",
		"-rename-type", "User=Caller", "-without", "logout", "-schema", "whole.graphqls")
	// In the second run, the schema file is among the files that gqlgen reads.
	before := files(t)
	run(t, "go", "tool", "cloakql-gqlgen", "-config", "unusual.yml", "-rename", "me=viewer",
		"-rename-type", "User=Caller", "-without", "logout", "-schema", "whole.graphqls")
	checkSame(t, before, files(t))
	t.Log(run(t, "go", "test", "-v", "./..."))
}
