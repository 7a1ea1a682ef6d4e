package plugin_test

import (
	"bytes"
	"flag"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/api"
	"github.com/99designs/gqlgen/codegen/config"
	gqlgen "github.com/99designs/gqlgen/plugin"
	"github.com/vektah/gqlparser/v2/ast"
	"golang.org/x/tools/txtar"

	"github.com/cloakql/cloakql/plugin"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	configText = `
schema: [api/schema/*.graphqls]
exec: {package: gen, layout: follow-schema, dir: api/gen}
resolver: {package: resolve, layout: follow-schema, dir: api/resolve}
model: {package: gen, filename: api/gen/models.go}
omit_gqlgen_version_in_file_notice: true
skip_mod_tidy: true
`
	shopText = `type Query { products: [String!]! @public } `
)

// completeSchema calls the plugin's hooks that complete the schema, in gqlgen's order. It returns
// the configuration with the schema. Unlike gqlgen, it loads no Go packages.
func completeSchema(t *testing.T, configText, schema string,
	options ...plugin.Option) (*config.Config, error) {
	t.Helper()
	cfg, err := config.ReadConfig(strings.NewReader(configText))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Sources = append(cfg.Sources, &ast.Source{Name: "shop.graphqls", Input: schema})
	var plugins []gqlgen.Plugin
	plugin.Use(options...)(cfg, &plugins)
	for _, p := range plugins {
		if earlyInjector, ok := p.(gqlgen.EarlySourcesInjector); ok {
			sources, err := earlyInjector.InjectSourcesEarly()
			if err != nil {
				return nil, err
			}
			cfg.Sources = append(cfg.Sources, sources...)
		}
	}
	if err := cfg.LoadSchema(); err != nil {
		return nil, err
	}
	for _, p := range plugins {
		if lateInjector, ok := p.(gqlgen.LateSourcesInjector); ok {
			sources, err := lateInjector.InjectSourcesLate(cfg.Schema)
			if err != nil {
				return nil, err
			}
			cfg.Sources = append(cfg.Sources, sources...)
		}
	}
	if err := cfg.LoadSchema(); err != nil {
		return nil, err
	}
	for _, p := range plugins {
		if mutator, ok := p.(gqlgen.SchemaMutator); ok {
			if err := mutator.MutateSchema(cfg.Schema); err != nil {
				return nil, err
			}
		}
	}
	return cfg, nil
}

// toolPath is the import path of the program that applications install.
const toolPath = "github.com/cloakql/cloakql/cmd/cloakql-gqlgen"

// enterModule creates a module with these files, and changes the working directory to it. The
// module uses this copy of CloakQL and its tool, and has the same versions of dependencies as this
// repository. enterModule returns the repository's root.
func enterModule(t *testing.T, files map[string]string) string {
	t.Helper()
	root := absPath(t, "..")
	goMod := readFile(t, filepath.Join(root, "go.mod"))
	goMod = regexp.MustCompile(`(?m)^module .*`).ReplaceAllString(goMod, "module example.com/shop")
	goMod = regexp.MustCompile(`(?ms)^tool \(.*?^\)`).ReplaceAllString(goMod, "")
	goMod += "\nrequire github.com/cloakql/cloakql v0.0.0\nreplace github.com/cloakql/cloakql => " +
		root + "\ntool " + toolPath + "\n"
	goSum := readFile(t, filepath.Join(root, "go.sum"))
	t.Chdir(t.TempDir())
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "off")
	writeFiles(t, map[string]string{"go.mod": goMod, "go.sum": goSum})
	writeFiles(t, files)
	return root
}

// writeFiles writes files from their texts by name. It creates missing directories.
func writeFiles(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// readFile returns the text of a file.
func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readFiles returns the texts of all files below the working directory, by name.
func readFiles(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	if err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			texts[filepath.ToSlash(name)] = readFile(t, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return texts
}

// generate runs gqlgen in the working directory, and returns gqlgen's log. Compiling the generated
// code takes long, so generate does it only if compile is true.
func generate(t *testing.T, compile bool, options ...api.Option) (logText string, err error) {
	t.Helper()
	cfg, err := config.LoadConfigFromDefaultLocations()
	if err != nil {
		t.Fatal(err)
	}
	cfg.SkipValidation = !compile
	var logOutput bytes.Buffer
	log.SetOutput(&logOutput)
	defer log.SetOutput(os.Stderr)
	err = api.Generate(cfg, options...)
	return logOutput.String(), err
}

// mustGenerate calls generate, and checks that it returns no error and that gqlgen logs nothing.
func mustGenerate(t *testing.T, compile bool, options ...plugin.Option) {
	t.Helper()
	logText, err := generate(t, compile, plugin.Use(options...))
	if err != nil {
		t.Fatal(err)
	}
	if logText != "" {
		t.Errorf("gqlgen logged:\n%s\nwant nothing", logText)
	}
}

// runCommand runs a command in the working directory, and returns its output.
func runCommand(t *testing.T, name string, args ...string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	return string(output)
}

// readArchive returns the texts of the files in a txtar file, by name.
func readArchive(t *testing.T, name string) map[string]string {
	t.Helper()
	parsed, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, file := range parsed.Files {
		texts[file.Name] = string(file.Data)
	}
	return texts
}

// checkError checks that err isn't nil and that its message is want.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("error: %v\nwant:  %s", err, want)
	}
}

// absPath returns the absolute path of a file.
func absPath(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
