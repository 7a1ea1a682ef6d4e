package plugin_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/plugin"
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
	packages := unwantedPattern.FindAllString(dependencies, -1)
	packages = slices.DeleteFunc(packages, func(name string) bool {
		return strings.HasSuffix(name, "/fedruntime") // belongs to generated code
	})
	if len(packages) > 0 {
		t.Errorf("the server depends on %v, want none of these packages", packages)
	}
}

// readSources reads the Go files in the directories that are root or below it. go test repeats a
// cached result of a test until a file changes that the test itself has read. Without readSources,
// only the go command would read CloakQL's sources, and go test would miss changes of CloakQL.
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

// The plugin works with federation, with an application's types and fields that have the same names
// as CloakQL's, with gqlgen's other layout, and with gqlgen's options that change the code of
// resolvers.
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

// With KeepAnswers, an application starts only if it adds no resolvers to User. Without the option,
// it may add resolvers.
func TestKeepAnswers(t *testing.T) {
	const extension = `extend type User { orders: Int! }`
	enterModule(t, map[string]string{"gqlgen.yml": configText, "api/schema/shop.graphqls": shopText,
		"api/schema/user.graphqls": extension, "shop_test.go": `package shop

import (
	"os"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/signin"

	"example.com/shop/api/gen"
	"example.com/shop/api/resolve"
)

func TestNew(t *testing.T) {
	realm, err := keycloak.NewRealm("https://sso.example.com", "shop")
	if err != nil {
		t.Fatal(err)
	}
	_, err = cloakql.New(cloakql.Config{
		Realm:  realm,
		Client: keycloak.ClientConfig{ClientID: "shop-api", ClientSecret: identity.NewSecret("s")},
		Schema: func(service *signin.Service) (graphql.ExecutableSchema, error) {
			resolver := &resolve.Resolver{SignIn: service}
			return gen.NewExecutableSchema(gen.Config{Resolvers: resolver}), nil
		},
	})
	got := ""
	if err != nil {
		got = err.Error()
	}
	if want := os.Getenv("WANT_ERROR"); got != want {
		t.Errorf("New() = %s, want %s", got, want)
	}
}
`})
	testNew := func(wantError string) {
		t.Helper()
		t.Setenv("WANT_ERROR", wantError)
		runCommand(t, "go", "test", "./...")
	}
	generateWith := func(options ...plugin.Option) {
		t.Helper()
		if _, err := generate(t, false, plugin.Use(options...)); err != nil {
			t.Fatal(err)
		}
	}
	generateWith()
	testNew("")
	generateWith(plugin.KeepAnswers())
	testNew("authz: Query.me carries @fromToken, but the type User has resolvers of its own")

	if err := errors.Join(os.Remove("api/schema/user.graphqls"),
		os.Remove("api/gen/user.generated.go"), os.Remove("api/resolve/user.resolvers.go"),
	); err != nil {
		t.Fatal(err)
	}
	runCommand(t, "go", "tool", "cloakql-gqlgen", "-keep-answers")
	testNew("")
	if text := readFile(t, "api/gen/schema.generated.graphql"); !strings.Contains(text,
		"me: User @auth @fromToken") {
		t.Errorf("the schema lacks @fromToken:\n%s", text)
	}
}

// An application can use the guards of package authz without defining or binding them. It may also
// define its own directive with the name of a guard.
func TestGuards(t *testing.T) {
	enterModule(t, readArchive(t, "testdata/guards.txtar"))
	writeFiles(t, map[string]string{"gqlgen.yml": configText})
	mustGenerate(t, false)
	t.Log(runCommand(t, "go", "test", "-v", "./..."))
}
