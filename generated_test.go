package cloakql_test

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What is built from other files says what it was built from, so that plain go test finds what is
// stale without the tools that build it. The gate builds everything again, and compares.
func TestNothingGeneratedIsStale(t *testing.T) {
	t.Run("graph/generated", func(t *testing.T) { // it holds the schema as it was
		generated := readSource(t, "graph/generated/root_.generated.go")
		schema := regexp.MustCompile("(?s)\\{Name: \"../../(schema/[^\"]+)\", Input: `(.*?)`, " +
			"BuiltIn: false\\}")
		then := map[string]string{}
		for _, found := range schema.FindAllStringSubmatch(generated, -1) {
			then[found[1]] = digest(strings.ReplaceAll(found[2], "` + \"`\" + `", "`"))
		}
		compareSources(t, then, digests(t, "schema/*.graphqls"), "go generate ./...")
	})
	t.Run("console/dist", func(t *testing.T) {
		now := digests(t, "console/index.html", "console/package.json", "console/package-lock.json",
			"console/tsconfig.json",
			"console/vite.config.ts", "console/vendored.json", "console/src/*",
			"clients/js/package.json", "clients/js/src/session.ts")
		compareSources(t, readSums(t, "console/dist/sources.sum"), now, "make console")
	})
	t.Run("examples/apollo/src/gql", func(t *testing.T) {
		now := digests(t, "schema/*.graphqls", "examples/apollo/codegen.ts")
		document := regexp.MustCompile("\\bgraphql\\(`([^`]*)`")
		scripts, pages := glob(t, "examples/apollo/src/*.ts"), glob(t, "examples/apollo/src/*.tsx")
		for _, name := range slices.Concat(scripts, pages) {
			var documents strings.Builder
			for _, found := range document.FindAllStringSubmatch(readSource(t, name), -1) {
				documents.WriteString(found[1])
			}
			if documents.Len() > 0 {
				now[name] = digest(documents.String())
			}
		}
		compareSources(t, readSums(t, "examples/apollo/src/gql/sources.sum"), now,
			"npm ci --ignore-scripts --prefix examples/apollo && npm run --prefix examples/apollo generate")
	})
}

// compareSources compares the digests of the sources that something was built from with those of
// now.
func compareSources(t *testing.T, then, now map[string]string, command string) {
	t.Helper()
	if len(then) == 0 {
		t.Fatal("it doesn't say what it was built from")
	}
	names := maps.Clone(then)
	maps.Copy(names, now)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch {
		case then[name] == "":
			t.Errorf("it was built without %s; run: %s", name, command)
		case now[name] == "":
			t.Errorf("it was built from %s, which is gone; run: %s", name, command)
		case then[name] != now[name]:
			t.Errorf("%s has changed since it was built; run: %s", name, command)
		}
	}
}

// readSums reads what a build says of its sources: a line with a digest and a name for each.
func readSums(t *testing.T, name string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for line := range strings.Lines(readSource(t, name)) {
		sum, source, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		sums[source] = sum
	}
	return sums
}

func digests(t *testing.T, patterns ...string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for _, pattern := range patterns {
		for _, name := range glob(t, pattern) {
			sums[name] = digest(readSource(t, name))
		}
	}
	return sums
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no file is called %s: %v", pattern, err)
	}
	for i, name := range names {
		names[i] = filepath.ToSlash(name)
	}
	return names
}

// readSource is the text of a file, with the line ends of the repository.
func readSource(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
