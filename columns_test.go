package cloakql_test

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// Go code is at most 100 columns wide, with a tab counted as 4. Lines with a long string that has
// no space, and raw strings, may be wider. In tests, so may lines with any long string, and lines
// that gofmt aligns with such a line. Examples, which docs quote, and resolvers, whose signatures
// gqlgen writes, aren't checked.
func TestColumns(t *testing.T) {
	for code, want := range map[string]int{
		"\tx := f(" + strings.Repeat("a, ", 29) + "a)":          0, // 100 columns
		"\tx := f(" + strings.Repeat("a, ", 29) + "aa)":         1,
		"\t// " + strings.Repeat("word ", 20):                   1,
		"\tx := f(a, `" + strings.Repeat("s", 90) + "`)":        0,
		"\tx := f(a, \"" + strings.Repeat("word ", 20) + "\")":  1,
		"\t{" + strings.Repeat("a, ", 40) + "a},":               1,
		"\tx := `\n" + strings.Repeat("text ", 30) + "\n`":      0,
		"\tx := f(`a`, " + strings.Repeat("a, ", 40) + "\"b\")": 1,
	} {
		source := []byte("package p\nfunc f() {\n" + code + "\n}\n")
		if got := wideLines(source, false); len(got) != want {
			t.Errorf("%s: found %d wide lines, want %d", code, len(got), want)
		}
	}
	fileCount := 0
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		isHidden := strings.HasPrefix(entry.Name(), ".") && name != "."
		if entry.IsDir() && (isHidden || entry.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "example_test.go") ||
			strings.HasSuffix(name, ".resolvers.go") {
			return err
		}
		source := readSource(t, name)
		if strings.Contains("\n"+source, "\n// Code generated ") {
			return err
		}
		fileCount++
		for _, line := range wideLines([]byte(source), strings.HasSuffix(name, "_test.go")) {
			t.Errorf("%s:%d has more than 100 columns", name, line)
		}
		return err
	})
	if err != nil || fileCount < 300 {
		t.Errorf("checked %d files (%v), want at least 300", fileCount, err)
	}
}

// wideLines returns the numbers of the lines that are wider than 100 columns and not exempt.
func wideLines(source []byte, isTest bool) (lineNumbers []int) {
	const maxColumns, minLongString = 100, 50
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(source))
	var tokens scanner.Scanner
	tokens.Init(file, source, nil, scanner.ScanComments)
	exemptLines := map[int]bool{} // by line
	for {
		pos, kind, text := tokens.Scan()
		if kind == token.EOF {
			break
		}
		isLongString := kind == token.STRING && len(text) >= minLongString &&
			(isTest || text[0] == '`' || !strings.Contains(text, " "))
		if isLongString || strings.HasPrefix(text, "/*") {
			firstLine := file.Line(pos)
			for i := range strings.Count(text, "\n") + 1 {
				exemptLines[firstLine+i] = true
			}
		}
		if kind == token.COMMENT && isCode(text) {
			exemptLines[file.Line(pos)] = true
		}
	}
	for i, line := range strings.Split(string(source), "\n") {
		width := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
		isTable := isTest && strings.Contains(line, ":   ")
		if width > maxColumns && !exemptLines[i+1] && !isTable {
			lineNumbers = append(lineNumbers, i+1)
		}
	}
	return lineNumbers
}

// isCode reports whether a comment is indented code or a directive, which can't be wrapped.
func isCode(comment string) bool {
	return strings.HasPrefix(comment, "//\t") || !strings.HasPrefix(comment, "// ")
}
