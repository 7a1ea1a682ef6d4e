package graph

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gql "github.com/vektah/gqlparser/v2/ast"
)

func TestNewSchema_rules(t *testing.T) {
	schema, err := NewSchema(resolver(t, fakeRealm{}, fakeLimiter{}))
	if err != nil {
		t.Fatal(err)
	}
	// A second copy of the access rules, so that changing one by mistake fails this test.
	want := map[string]string{"Query.me": "auth", "Mutation.login": "public",
		"Mutation.refresh": "public", "Mutation.logout": "public"}
	got := map[string]string{}
	for _, root := range []*gql.Definition{schema.Schema().Query, schema.Schema().Mutation} {
		for _, field := range root.Fields {
			for _, directive := range field.Directives {
				got[root.Name+"."+field.Name] += directive.Name
			}
		}
	}
	for field := range maps.Collect(func(yield func(string, bool) bool) {
		maps.All(got)(func(name, _ string) bool { return yield(name, true) })
		maps.All(want)(func(name, _ string) bool { return yield(name, true) })
	}) {
		if got[field] != want[field] {
			t.Errorf("%s has the rules %q, want %q", field, got[field], want[field])
		}
	}
	if schema.Schema().Subscription != nil {
		t.Error("there is a subscription: add its rules to this test")
	}
}

// The schema is the API's documentation, so everything in it has a description.
func TestSchema_descriptions(t *testing.T) {
	executable, err := NewSchema(resolver(t, fakeRealm{}, fakeLimiter{}))
	if err != nil {
		t.Fatal(err)
	}
	schema, described := executable.Schema(), 0
	want := func(name, description string) {
		described++
		if strings.TrimSpace(description) == "" {
			t.Errorf("%s has no description", name)
		}
	}
	arguments := func(name string, list gql.ArgumentDefinitionList) {
		for _, argument := range list {
			want(name+"("+argument.Name+":)", argument.Description)
		}
	}
	for _, definition := range schema.Types {
		if definition.BuiltIn || strings.HasPrefix(definition.Name, "__") {
			continue
		}
		want(definition.Name, definition.Description)
		for _, field := range definition.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			want(definition.Name+"."+field.Name, field.Description)
			arguments(definition.Name+"."+field.Name, field.Arguments)
		}
		for _, value := range definition.EnumValues {
			want(definition.Name+"."+value.Name, value.Description)
		}
	}
	for _, directive := range schema.Directives {
		if directive.Position.Src.BuiltIn {
			continue
		}
		want("@"+directive.Name, directive.Description)
		arguments("@"+directive.Name, directive.Arguments)
	}
	if described < 30 {
		t.Errorf("%d descriptions were checked, want at least 30", described)
	}
}

// gqlgen would generate models for schema types that package identity lacks.
func TestSchema_noModels(t *testing.T) {
	if _, err := os.Stat("generated/models.generated.go"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("generated/models.generated.go: %v; define its types in package identity", err)
	}
}

// Resolvers have no logic of their own, and none is a stub that panics.
func TestResolvers_short(t *testing.T) {
	files, err := filepath.Glob("*.resolvers.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no resolvers", err)
	}
	resolvers := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// gqlgen's stub for a new field panics. Code that gqlgen commented out has a warning above
		// it.
		for _, stub := range []string{"panic(", "!!! WARNING !!!"} {
			if strings.Contains(string(text), stub) {
				t.Errorf("%s contains %q: write the resolver that gqlgen left as a stub", name, stub)
			}
		}
		positions := token.NewFileSet()
		file, err := parser.ParseFile(positions, name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if function.Recv == nil {
				t.Errorf("%s: %s isn't a resolver: gqlgen will comment it out", name, function.Name)
				continue
			}
			resolvers++
			lines := positions.Position(function.Body.Rbrace).Line - positions.Position(
				function.Body.Lbrace).Line - 1
			if lines > 5 || len(function.Body.List) > 5 {
				t.Errorf("%s: the body of %s has %d lines, want at most 5", name, function.Name,
					lines)
			}
		}
	}
	if resolvers < 4 {
		t.Errorf("%d resolvers were checked, want at least 4", resolvers)
	}
}

// A missing dependency is an error at startup, not at the first call.
func TestNewSchema_incompleteResolver(t *testing.T) {
	for _, resolver := range []*Resolver{nil, {}} {
		if _, err := NewSchema(resolver); err == nil ||
			!strings.Contains(err.Error(), "Resolver.SignIn is missing") {
			t.Errorf("NewSchema(%v) = %v, want that Resolver.SignIn is missing", resolver, err)
		}
	}
}

// The generated code is up to date: otherwise a new field in the schema would silently be missing
// in the server.
func TestSchema_generated(t *testing.T) {
	const remedy = "run go generate ./... and fill in the stubs that it adds to " +
		"graph/*.resolvers.go"
	schema, err := NewSchema(resolver(t, fakeRealm{}, fakeLimiter{}))
	if err != nil {
		t.Fatal(err)
	}
	generated := map[string]string{}
	add := func(position *gql.Position) {
		if position != nil && position.Src != nil && !position.Src.BuiltIn {
			generated[filepath.Base(position.Src.Name)] = position.Src.Input
		}
	}
	for _, definition := range schema.Schema().Types {
		add(definition.Position)
		for _, field := range definition.Fields { // an extension's field has another file
			add(field.Position)
		}
	}
	for _, directive := range schema.Schema().Directives {
		add(directive.Position)
	}
	files, err := filepath.Glob("../schema/*.graphqls")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files of the schema: %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if source, ok := generated[name]; !ok {
			t.Errorf("graph/generated lacks schema/%s: %s", name, remedy)
		} else if source != string(text) {
			t.Errorf("graph/generated differs from schema/%s at line %d: %s", name,
				firstDifference(source, string(text)), remedy)
		}
		delete(generated, name)
	}
	for name := range generated {
		t.Errorf("graph/generated has schema/%s, which doesn't exist: %s", name, remedy)
	}
}

// firstDifference returns the number of the first line in which two texts differ.
func firstDifference(a, b string) int {
	other := strings.Split(b, "\n")
	for i, line := range strings.Split(a, "\n") {
		if i >= len(other) || other[i] != line {
			return i + 1
		}
	}
	return len(other)
}
