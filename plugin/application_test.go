package plugin_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedApplication follows docs/plugin.md in an empty module: it writes the page's files
// and runs the page's commands. enterModule replaces the commands that need the network. The
// application then passes its own tests, which use the fake Keycloak.
func TestDocumentedApplication(t *testing.T) {
	page, application := readFile(t, "../docs/plugin.md"), readArchive(t, "testdata/shop.txtar")
	root := enterModule(t, application)
	var commands []string
	blockPattern := regexp.MustCompile("(?ms)^```(\\w+)\n(?:(?://|#) (\\S+)\n)?(.*?)^```$")
	for _, match := range blockPattern.FindAllStringSubmatch(page, -1) {
		switch language, name, text := match[1], match[2], match[3]; {
		case language == "sh":
			for command := range strings.Lines(text) {
				command = strings.TrimSpace(command)
				commands = append(commands, command)
				if command != "go get -tool "+toolPath && command != "go mod tidy" {
					words := strings.Fields(command)
					runCommand(t, words[0], words[1:]...)
				}
			}
		case name != "":
			writeFiles(t, map[string]string{name: text})
		case !strings.Contains(strings.ReplaceAll(application["main.go"], "\n\t", "\n"), text):
			t.Errorf("the application's main.go lacks this excerpt from the page:\n%s", text)
		}
	}
	want := []string{"go get -tool " + toolPath, "go generate ./...", "go mod tidy"}
	if !slices.Equal(commands, want) {
		t.Errorf("the page has the commands %q, want %q", commands, want)
	}
	runCommand(t, "go", "vet", "./...")
	t.Log(runCommand(t, "go", "test", "-v", "./..."))
	readSources(t, root,
		strings.Fields(runCommand(t, "go", "list", "-deps", "-test", "-f", "{{.Dir}}", ".")))
	unwantedPattern := regexp.MustCompile(
		`(?m)^github\.com/(cloakql/cloakql/(plugin|keycloak/keycloaktest)|99designs/gqlgen/(api|codegen|plugin))(/.*)?$`)
	dependencies := runCommand(t, "go", "list", "-deps", ".")
	if packages := unwantedPattern.FindAllString(dependencies, -1); packages != nil {
		t.Errorf("the server depends on %v, want none of these packages", packages)
	}
}

// readSources reads the Go files in the directories that are root or below it. go test caches the
// result of a test until a file that the test itself has read changes. In this test, only the go
// command would read CloakQL's sources.
func readSources(t *testing.T, root string, directories []string) {
	t.Helper()
	fileCount := 0
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
			fileCount++
		}
	}
	if fileCount < 20 {
		t.Errorf("found %d Go files of CloakQL among the dependencies, want at least 20", fileCount)
	}
}

// The plugin works with federation, with types and fields that have the names of CloakQL's, and
// with gqlgen's other layout and its options that change the code of resolvers.
func TestUnusualApplication(t *testing.T) {
	application := readArchive(t, "testdata/unusual.txtar")
	enterModule(t, application)
	runCommand(t, "go", "tool", "cloakql-gqlgen", "-config", "unusual.yml", "-rename", "me=viewer",
		"-rename-type", "User=Caller", "-without", "logout", "-schema", "whole.graphqls")
	// A second run changes no file, although the schema patterns now match the schema file too.
	filesBefore := readFiles(t)
	runCommand(t, "go", "tool", "cloakql-gqlgen", "-config", "unusual.yml", "-rename", "me=viewer",
		"-rename-type", "User=Caller", "-without", "logout", "-schema", "whole.graphqls")
	checkSameFiles(t, filesBefore, readFiles(t))
	t.Log(runCommand(t, "go", "test", "-v", "./..."))
}
