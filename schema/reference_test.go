package schema

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

var update = flag.Bool("update", false, "write docs/schema.md")

// docs/schema.md is up to date with the schema.
func TestReference(t *testing.T) {
	const name = "../docs/schema.md"
	want := renderReference(loadSchema(t))
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is out of date: run go generate ./schema", name)
	}
}

// loadSchema returns the schema that all files declare.
func loadSchema(t *testing.T) *ast.Schema {
	t.Helper()
	var sources []*ast.Source
	names, err := fs.Glob(Files(), "*.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, &ast.Source{Name: name, Input: string(text)})
	}
	schema, err := gqlparser.LoadSchema(sources...)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// declaredTypes returns the types that the files declare: the root types, then the others by name.
func declaredTypes(schema *ast.Schema) (types []*ast.Definition) {
	for _, definition := range schema.Types {
		if !definition.BuiltIn {
			types = append(types, definition)
		}
	}
	rank := func(d *ast.Definition) string {
		return map[*ast.Definition]string{schema.Query: "1", schema.Mutation: "2"}[d] + d.Name
	}
	slices.SortFunc(types, func(a, b *ast.Definition) int {
		return strings.Compare(rank(a), rank(b))
	})
	return types
}

// declaredDirectives returns the directives that the files declare, ordered by name.
func declaredDirectives(schema *ast.Schema) (directives []*ast.DirectiveDefinition) {
	for _, directive := range schema.Directives {
		if directive.Position != nil && !directive.Position.Src.BuiltIn {
			directives = append(directives, directive)
		}
	}
	slices.SortFunc(directives, func(a, b *ast.DirectiveDefinition) int {
		return strings.Compare(a.Name, b.Name)
	})
	return directives
}

// renderReference returns the text of docs/schema.md.
func renderReference(schema *ast.Schema) string {
	var b strings.Builder
	b.WriteString("<!-- Generated from schema/*.graphqls by go generate ./schema. Don't edit. " +
		"-->\n\n# Schema\n\nThe fields and types of CloakQL's API. [schema/](../schema/) has the " +
		"same in " +
		"SDL, and\n[Error codes](errors.md) the codes.\n")
	for _, definition := range declaredTypes(schema) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", definition.Name, markdown(definition.Description))
		if len(definition.Fields) == 0 {
			continue
		}
		b.WriteString("\n| field | type | |\n|---|---|---|\n")
		for _, field := range definition.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			name, text := "`"+field.Name+"`", markdown(field.Description)
			for _, directive := range field.Directives {
				name += " `@" + directive.Name + "`"
			}
			for _, a := range field.Arguments {
				text += fmt.Sprintf("<br>`%s: %s` – %s", a.Name, a.Type,
					markdown(a.Description))
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", name, typeMarkdown(schema, field.Type), text)
		}
	}
	b.WriteString("\n## Directives\n\n| directive | |\n|---|---|\n")
	for _, directive := range declaredDirectives(schema) {
		fmt.Fprintf(&b, "| `@%s` | %s |\n", directive.Name, markdown(directive.Description))
	}
	return b.String()
}

// typeMarkdown returns a type as Markdown, with a link if the page describes the type.
func typeMarkdown(schema *ast.Schema, t *ast.Type) string {
	if schema.Types[t.Name()].BuiltIn {
		return "`" + t.String() + "`"
	}
	return fmt.Sprintf("[`%s`](#%s)", t, strings.ToLower(t.Name()))
}

// markdown returns a description on one line, with backquotes around error codes.
func markdown(description string) string {
	codePattern := regexp.MustCompile(`\b[A-Z]{3,}(_[A-Z]+)+\b|\bUNAUTHENTICATED\b`)
	return codePattern.ReplaceAllString(strings.Join(strings.Fields(description), " "), "`$0`")
}
