package cloakql_test

import (
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/apierror"
)

// table is the rows of the README's table below a heading, their cells without backticks.
func readmeTable(t *testing.T, heading string) [][]string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n"+heading+"\n")
	if !found {
		t.Fatalf("the README has no %s", heading)
	}
	if i := strings.Index(section, "\n## "); i >= 0 {
		section = section[:i]
	}
	var rows [][]string
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cells[i], "`", ""))
		}
		if strings.HasPrefix(cells[0], "---") { // what came before was the head
			rows = rows[:len(rows)-1]
			continue
		}
		rows = append(rows, cells)
	}
	if len(rows) == 0 {
		t.Fatalf("the README's %s has no table", heading)
	}
	return rows
}

// documentedErrors are the README's rows as CODE or CODE/REASON, each with its message.
func documentedErrors(t *testing.T) map[string][]string {
	t.Helper()
	documented := map[string][]string{}
	for _, row := range readmeTable(t, "## Errors") {
		for reason := range strings.SplitSeq(row[2], ", ") {
			key := strings.TrimSuffix(row[1]+"/"+reason, "/")
			documented[key] = append(documented[key], row[3])
		}
	}
	return documented
}

// tableErrors are the rows of apierror's table as CODE or CODE/REASON.
func tableErrors() (keys []string) {
	for _, row := range apierror.Rows() {
		keys = append(keys, strings.TrimSuffix(string(row.Code)+"/"+string(row.Reason), "/"))
	}
	return keys
}

// Every error that a client can meet is in the README's table: the rows of apierror's, and each
// code and reason that apierror has a constant for. No other package writes one by itself.
func TestREADMEErrors(t *testing.T) {
	documented := documentedErrors(t)
	words := map[string]bool{}
	for key := range documented {
		for word := range strings.SplitSeq(key, "/") {
			words[word] = true
		}
	}
	for _, key := range tableErrors() {
		if documented[key] == nil {
			t.Errorf(
				"%s is a row of apierror/table.go, and has no line in the README's table of errors",
				key)
		}
	}
	constants := map[string]bool{}
	eachCapitalized(t, "apierror", func(word string) {
		if constants[word] = true; !words[word] {
			t.Errorf(
				"apierror has the code or reason %s, which the README's table of errors "+
					"doesn't have", word)
		}
	})
	for word := range words {
		if !constants[word] {
			t.Errorf("the README's table of errors has %s, for which apierror has no constant",
				word)
		}
	}
	others := map[string]bool{ // words in capitals that aren't of errors
		"CLIENT_GONE": true, // of the log
		"DELETE":      true, "GET": true, "HEAD": true, "POST": true,
	}
	for _, room := range []string{"graph", "graphqlhttp", "limits"} {
		eachCapitalized(t, room, func(word string) {
			if !others[word] {
				t.Errorf("package %s writes %q: expected a constant of apierror", room, word)
			}
		})
	}
}

// eachCapitalized visits the string literals of a room that have the shape of a code.
func eachCapitalized(t *testing.T, room string, visit func(word string)) {
	t.Helper()
	shape := regexp.MustCompile(`^"[A-Z]{3,}(_[A-Z]+)*"$`)
	eachDeclaration(t, room, func(_ *ast.File, declaration ast.Decl) {
		ast.Inspect(declaration, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && shape.MatchString(literal.Value) {
				visit(strings.Trim(literal.Value, `"`))
			}
			return true
		})
	})
}

// The console has words for every error of the table, and for none that isn't there.
func TestConsoleExplainsErrors(t *testing.T) {
	text, err := os.ReadFile("console/src/explain.ts")
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	for _, match := range regexp.MustCompile(
		`(?m)^  "?([A-Z_]+(?:/[A-Z_]+)?)"?: (?:\{|large\()`).FindAllStringSubmatch(string(text),
		-1) {
		explained[match[1]] = true
	}
	documented := documentedErrors(t)
	for key := range documented {
		if !explained[key] {
			t.Errorf("console/src/explain.ts has no words for %s", key)
		}
	}
	for _, key := range tableErrors() {
		if !explained[key] && documented[key] == nil { // else it has been named
			t.Errorf("console/src/explain.ts has no words for %s, a row of apierror/table.go", key)
		}
	}
	for key := range explained {
		if documented[key] == nil {
			t.Errorf("console/src/explain.ts has words for %s, which the README doesn't have", key)
		}
	}
}

// Nothing that npm fetches runs by being installed, in any file that says how to: people copy these
// lines.
func TestNothingInstalledRuns(t *testing.T) {
	installs := regexp.MustCompile("npm (ci|install)\\b[^&|`\"\n]*")
	found := 0
	for _, name := range slices.Concat(glob(t, "*.md"), glob(t, "examples/*.md"),
		glob(t, "clients/*/*.md"), glob(t, "examples/*/*.mjs"), glob(t, "*_test.go"),
		glob(t, "e2e/*.go"),
		glob(t, "console/vite.config.ts"), glob(t, "Makefile"), glob(t, ".ci/run")) {
		for _, command := range installs.FindAllString(readSource(t, name), -1) {
			found++
			if name != "readme_test.go" && !strings.Contains(command, "--ignore-scripts") {
				t.Errorf("%s says %q, without --ignore-scripts", name, command)
			}
		}
	}
	if found < 10 {
		t.Errorf("found %d commands that install, want more", found)
	}
}
