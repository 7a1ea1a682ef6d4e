package graph

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gql "github.com/vektah/gqlparser/v2/ast"
)

// Each root field has the directives that this test lists. The test fails if somebody changes an
// access rule, or adds @fromToken to a field, by mistake.
func TestNewSchema_rules(t *testing.T) {
	schema, err := NewSchema(newResolver(t, fakeRealm{}, fakeLimiter{}))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"Query.me": "@auth@fromToken", "Mutation.login": "@public",
		"Mutation.refresh": "@public", "Mutation.logout": "@public"}
	got := map[string]string{}
	for _, root := range []*gql.Definition{schema.Schema().Query, schema.Schema().Mutation} {
		for _, field := range root.Fields {
			for _, directive := range field.Directives {
				got[root.Name+"."+field.Name] += "@" + directive.Name
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got the directives %v, want %v", got, want)
	}
	if schema.Schema().Subscription != nil {
		t.Error("the schema has a subscription type: add its fields to this test")
	}
}

// Every type, field, argument, enum value and directive has a description, because the schema is
// the API's documentation.
func TestSchema_descriptions(t *testing.T) {
	executable, err := NewSchema(newResolver(t, fakeRealm{}, fakeLimiter{}))
	if err != nil {
		t.Fatal(err)
	}
	schema, checkCount := executable.Schema(), 0
	checkDescription := func(name, description string) {
		checkCount++
		if strings.TrimSpace(description) == "" {
			t.Errorf("%s has no description", name)
		}
	}
	checkArguments := func(name string, arguments gql.ArgumentDefinitionList) {
		for _, argument := range arguments {
			checkDescription(name+"("+argument.Name+":)", argument.Description)
		}
	}
	for _, definition := range schema.Types {
		if definition.BuiltIn || strings.HasPrefix(definition.Name, "__") {
			continue
		}
		checkDescription(definition.Name, definition.Description)
		for _, field := range definition.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			checkDescription(definition.Name+"."+field.Name, field.Description)
			checkArguments(definition.Name+"."+field.Name, field.Arguments)
		}
		for _, value := range definition.EnumValues {
			checkDescription(definition.Name+"."+value.Name, value.Description)
		}
	}
	for _, directive := range schema.Directives {
		if directive.Position.Src.BuiltIn {
			continue
		}
		checkDescription("@"+directive.Name, directive.Description)
		checkArguments("@"+directive.Name, directive.Arguments)
	}
	if checkCount < 30 {
		t.Errorf("checked %d descriptions, want at least 30", checkCount)
	}
}

// gqlgen generates no models, because every type of the schema has a Go type in package identity.
// gqlgen's federation plugin makes gqlgen write a file for models, but the file has no
// declarations.
func TestSchema_noModels(t *testing.T) {
	const name = "generated/models.generated.go"
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Decls) > 0 {
		t.Errorf("%s has %d declarations, want none: define its types in package identity", name,
			len(file.Decls))
	}
}

// The body of each resolver has at most five lines, and isn't a stub that gqlgen wrote.
func TestResolvers_short(t *testing.T) {
	files, err := filepath.Glob("*.resolvers.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d files *.resolvers.go (error: %v), want at least 1", len(files), err)
	}
	resolverCount := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// A stub panics. gqlgen writes a warning above code that it comments out.
		for _, stub := range []string{"panic(", "!!! WARNING !!!"} {
			if strings.Contains(string(text), stub) {
				t.Errorf("%s contains %q: replace gqlgen's stub, or restore the code", name, stub)
			}
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, 0)
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
			resolverCount++
			lines := fset.Position(function.Body.Rbrace).Line -
				fset.Position(function.Body.Lbrace).Line - 1
			if lines > 5 || len(function.Body.List) > 5 {
				t.Errorf("%s: the body of %s has %d lines, want at most 5", name, function.Name,
					lines)
			}
		}
	}
	if resolverCount < 4 {
		t.Errorf("found %d resolvers, want at least 4", resolverCount)
	}
}

// If Resolver.SignIn is missing, NewSchema returns an error.
func TestNewSchema_incompleteResolver(t *testing.T) {
	for _, resolver := range []*Resolver{nil, {}} {
		if _, err := NewSchema(resolver); err == nil ||
			!strings.Contains(err.Error(), "Resolver.SignIn is missing") {
			t.Errorf(`NewSchema(%v) = %v, want the error "Resolver.SignIn is missing"`, resolver,
				err)
		}
	}
}

// The generated code has the current schema. Otherwise, the server would lack new fields without an
// error.
func TestSchema_generated(t *testing.T) {
	const fix = "run go generate ./... and fill in the stubs that it adds to " +
		"graph/*.resolvers.go"
	schema, err := NewSchema(newResolver(t, fakeRealm{}, fakeLimiter{}))
	if err != nil {
		t.Fatal(err)
	}
	generatedSources := map[string]string{} // the copies in graph/generated
	addSource := func(position *gql.Position) {
		if position != nil && position.Src != nil && !position.Src.BuiltIn {
			generatedSources[filepath.Base(position.Src.Name)] = position.Src.Input
		}
	}
	for _, definition := range schema.Schema().Types {
		addSource(definition.Position)
		for _, field := range definition.Fields { // "extend type" may be in another file
			addSource(field.Position)
		}
	}
	for _, directive := range schema.Schema().Directives {
		addSource(directive.Position)
	}
	files, err := filepath.Glob("../schema/*.graphqls")
	if err != nil || len(files) < 3 {
		t.Fatalf("found %d files ../schema/*.graphqls (error: %v), want at least 3", len(files),
			err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if source, ok := generatedSources[name]; !ok {
			t.Errorf("graph/generated lacks schema/%s: %s", name, fix)
		} else if source != string(text) {
			t.Errorf("graph/generated differs from schema/%s at line %d: %s", name,
				firstDifferentLine(source, string(text)), fix)
		}
		delete(generatedSources, name)
	}
	for name := range generatedSources {
		t.Errorf("graph/generated has schema/%s, which doesn't exist: %s", name, fix)
	}
}

// firstDifferentLine returns the number of the first line in which two texts differ.
func firstDifferentLine(a, b string) int {
	bLines := strings.Split(b, "\n")
	for i, line := range strings.Split(a, "\n") {
		if i >= len(bLines) || bLines[i] != line {
			return i + 1
		}
	}
	return len(bLines)
}
