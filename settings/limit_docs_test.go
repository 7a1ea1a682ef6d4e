package settings

import (
	"fmt"
	"go/ast"
	goformat "go/format"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

// limit_docs.go is up to date: it has the comments of limits.Limits as documentation of the LIMIT_
// settings.
func TestLimitDocs(t *testing.T) {
	checkGenerated(t, "limit_docs.go", limitDocsFile(t))
}

// limitDocsFile generates the source of limit_docs.go. It uses each comment of the form "Depth is
// the maximum ... (DEPTH)."
func limitDocsFile(t *testing.T) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../limits/limits.go", nil,
		parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	docPattern := regexp.MustCompile(`^(\w+) is (the maximum .*\([A-Z_]+\)\..*)$`)
	codePattern := regexp.MustCompile(`\b__?[a-z]\w*|@\w+|\b[A-Z_]{4,}\b`)
	var b strings.Builder
	b.WriteString(`// Code generated from the comments in limits/limits.go by go generate ./settings. DO NOT EDIT.

package settings

// limitDocs holds the documentation of the fields of limits.Limits that are settings.
var limitDocs = map[string]string{
`)
	ast.Inspect(file, func(node ast.Node) bool {
		field, ok := node.(*ast.Field)
		if !ok {
			return true
		}
		text := strings.Join(strings.Fields(field.Doc.Text()), " ")
		match := docPattern.FindStringSubmatch(text)
		if match == nil || match[1] != field.Names[0].Name {
			return true
		}
		doc := codePattern.ReplaceAllString("T"+strings.TrimPrefix(match[2], "t"), "`$0`")
		fmt.Fprintf(&b, "%q: %q,\n", match[1], doc)
		return true
	})
	b.WriteString("}\n")
	source, err := goformat.Source([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}
