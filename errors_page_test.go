package cloakql_test

import (
	"go/ast"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/apierror"
)

// documentedErrors returns the messages in the tables of docs/errors.md, keyed by CODE or
// CODE/REASON.
func documentedErrors(t *testing.T) map[string][]string {
	t.Helper()
	messages := map[string][]string{}
	for line := range strings.Lines(readSource(t, "docs/errors.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || !strings.HasPrefix(cells[0], " `") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cells[i], "`", ""))
		}
		for reason := range strings.SplitSeq(cells[1], ", ") {
			key := strings.TrimSuffix(cells[0]+"/"+reason, "/")
			messages[key] = append(messages[key], cells[3])
		}
	}
	if len(messages) < 40 {
		t.Fatalf("docs/errors.md documents %d errors, want at least 40", len(messages))
	}
	return messages
}

// tableErrors returns the errors in apierror's table, each as CODE or CODE/REASON.
func tableErrors() (keys []string) {
	for _, row := range apierror.Rows() {
		keys = append(keys, strings.TrimSuffix(string(row.Code)+"/"+string(row.Reason), "/"))
	}
	return keys
}

// docs/errors.md documents every row of apierror's table, and every code and reason for which
// apierror has a constant. Other packages use these constants instead of string literals.
func TestErrorsPage(t *testing.T) {
	documented := documentedErrors(t)
	documentedCodes := map[string]bool{}
	for key := range documented {
		for word := range strings.SplitSeq(key, "/") {
			documentedCodes[word] = true
		}
	}
	for _, key := range tableErrors() {
		if documented[key] == nil {
			t.Errorf("apierror/table.go has %s, which isn't in docs/errors.md", key)
		}
	}
	constants := map[string]bool{}
	eachCodeLiteral(t, "apierror", func(word string) {
		if constants[word] = true; !documentedCodes[word] {
			t.Errorf("apierror has the code or reason %s, which isn't in docs/errors.md", word)
		}
	})
	for word := range documentedCodes {
		if !constants[word] {
			t.Errorf("docs/errors.md has %s, for which apierror has no constant", word)
		}
	}
	nonCodes := map[string]bool{ // words in upper case that aren't error codes
		"CLIENT_GONE": true, // a value in the log
		"DELETE":      true, "GET": true, "HEAD": true, "POST": true,
	}
	for _, pkg := range []string{"graph", "graphqlhttp", "limits"} {
		eachCodeLiteral(t, pkg, func(word string) {
			if !nonCodes[word] {
				t.Errorf("package %s has the literal %q, want a constant of apierror", pkg, word)
			}
		})
	}
}

// eachCodeLiteral calls visit for each string literal of a package that looks like an error code.
func eachCodeLiteral(t *testing.T, pkg string, visit func(word string)) {
	t.Helper()
	codePattern := regexp.MustCompile(`^"[A-Z]{3,}(_[A-Z]+)*"$`)
	eachDeclaration(t, pkg, func(_ *ast.File, declaration ast.Decl) {
		ast.Inspect(declaration, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && codePattern.MatchString(literal.Value) {
				visit(strings.Trim(literal.Value, `"`))
			}
			return true
		})
	})
}

// The console explains every error in docs/errors.md, and no other errors.
func TestConsoleExplainsErrors(t *testing.T) {
	text, err := os.ReadFile("console/src/explain.ts")
	if err != nil {
		t.Fatal(err)
	}
	explainedKeys := map[string]bool{}
	for _, match := range regexp.MustCompile(
		`(?m)^  "?([A-Z_]+(?:/[A-Z_]+)?)"?: (?:\{|tooMany\()`).FindAllStringSubmatch(string(text),
		-1) {
		explainedKeys[match[1]] = true
	}
	documented := documentedErrors(t)
	for key := range documented {
		if !explainedKeys[key] {
			t.Errorf("console/src/explain.ts doesn't explain %s", key)
		}
	}
	for _, key := range tableErrors() {
		// The loop above reports documented errors.
		if !explainedKeys[key] && documented[key] == nil {
			t.Errorf("console/src/explain.ts doesn't explain %s, a row of apierror/table.go", key)
		}
	}
	for key := range explainedKeys {
		if documented[key] == nil {
			t.Errorf("console/src/explain.ts explains %s, which isn't in docs/errors.md", key)
		}
	}
}
