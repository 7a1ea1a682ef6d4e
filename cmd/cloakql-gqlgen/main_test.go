package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

// If the arguments are wrong, run says why and prints the usage. (The tests of package plugin run
// this program with valid flags.)
func TestRun_wrongUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"generate"}, `cloakql-gqlgen takes no arguments, only flags: ["generate"]`},
		{[]string{"-rename", "me"}, `invalid value "me" for flag -rename: expected old=new`},
		{[]string{"-rename-type", "User"},
			`invalid value "User" for flag -rename-type: expected old=new`},
		{[]string{"-prefix", "cloak"}, "flag provided but not defined: -prefix"},
	} {
		var stderr bytes.Buffer
		if err := run(tt.args, &stderr); !errors.Is(err, errUsage) {
			t.Errorf("run(%q) = %v, want errUsage", tt.args, err)
		}
		if !strings.HasPrefix(stderr.String(), tt.want+"\n") ||
			!strings.Contains(stderr.String(), "Usage of cloakql-gqlgen:") {
			t.Errorf("run(%q) prints %s, want %s and the usage", tt.args, &stderr, tt.want)
		}
	}
	var stderr bytes.Buffer
	if err := run([]string{"-help"}, &stderr); err != nil ||
		!strings.Contains(stderr.String(), "-rename me=viewer") {
		t.Errorf("run(-help) = %v and prints %s, want nil and the flags", err, &stderr)
	}
}

// If there is no gqlgen.yml, run returns an error that says so.
func TestRun_noConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	err := run(nil, &bytes.Buffer{})
	want := "there is no gqlgen.yml here or in a directory above: expected one, as in " +
		"docs/plugin.md"
	if err == nil || err.Error() != want {
		t.Errorf("run() = %v, want %s", err, want)
	}
}

// If the schema is wrong, run leaves the generated files of an earlier run as they are.
func TestRun_invalidSchema(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"go.mod": "module example.com/shop\n\ngo 1.26\n",
		"gqlgen.yml": "schema: [shop.graphqls]\nexec: {filename: exec.go, package: shop}\n" +
			"model: {filename: models.go, package: shop}\nskip_mod_tidy: true\n" +
			"resolver: {layout: follow-schema, dir: ., package: shop}\n",
		"shop.graphqls": "type Query { a: Missing }",
		"exec.go":       "package shop\n",
		"models.go":     "package shop\n\n// from an earlier run\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(nil, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "Missing") {
		t.Fatalf("run() = %v, want an error about the type Missing", err)
	}
	models, err := os.ReadFile("models.go")
	if err != nil || !strings.Contains(string(models), "an earlier run") {
		t.Errorf("models.go has %q (%v), want what it had", models, err)
	}
	if _, err := os.Stat("exec.go"); err != nil {
		t.Error(err)
	}
}
