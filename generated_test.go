package cloakql_test

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Generated files are up to date. They contain digests or a copy of their sources, so that go test
// can check this without the tools that generate them. (.ci/run generates all files and compares.)
func TestGenerated_upToDate(t *testing.T) {
	t.Run("graph/generated", func(t *testing.T) { // contains a copy of the schema
		goSource := readSource(t, "graph/generated/root_.generated.go")
		schemaPattern := regexp.MustCompile("(?s)\\{Name: \"../../(schema/[^\"]+)\", Input: " +
			"`(.*?)`, " +
			"BuiltIn: false\\}")
		recordedDigests := map[string]string{}
		for _, match := range schemaPattern.FindAllStringSubmatch(goSource, -1) {
			recordedDigests[match[1]] = digest(strings.ReplaceAll(match[2], "` + \"`\" + `", "`"))
		}
		compareSources(t, recordedDigests,
			digests(t, "schema/*.graphqls", "schema/federation/*.graphqls"), "go generate ./...")
	})
	t.Run("console/dist", func(t *testing.T) {
		currentDigests := digests(t, "console/index.html", "console/package.json",
			"console/package-lock.json", "console/tsconfig.json", "console/vite.config.ts",
			"console/vendored.json", "console/src/*",
			"clients/js/package.json", "clients/js/src/session.ts")
		compareSources(t, readSums(t, "console/dist/sources.sum"), currentDigests, "make console")
	})
	t.Run("examples/apollo/src/gql", func(t *testing.T) {
		currentDigests := digests(t, "schema/*.graphqls", "examples/apollo/codegen.ts")
		documentPattern := regexp.MustCompile("\\bgraphql\\(`([^`]*)`")
		tsFiles := glob(t, "examples/apollo/src/*.ts")
		tsxFiles := glob(t, "examples/apollo/src/*.tsx")
		for _, name := range slices.Concat(tsFiles, tsxFiles) {
			var documents strings.Builder
			for _, match := range documentPattern.FindAllStringSubmatch(readSource(t, name), -1) {
				documents.WriteString(match[1])
			}
			if documents.Len() > 0 {
				currentDigests[name] = digest(documents.String())
			}
		}
		compareSources(t, readSums(t, "examples/apollo/src/gql/sources.sum"), currentDigests,
			"npm ci --ignore-scripts --prefix examples/apollo && npm run --prefix "+
				"examples/apollo generate")
	})
}

// compareSources checks that the digests of sources that a build recorded equal the current
// digests. The error names command, which runs the build again.
func compareSources(
	t *testing.T, recordedDigests, currentDigests map[string]string, command string,
) {
	t.Helper()
	if len(recordedDigests) == 0 {
		t.Fatal("no digests of sources are recorded")
	}
	names := maps.Clone(recordedDigests)
	maps.Copy(names, currentDigests)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch {
		case recordedDigests[name] == "":
			t.Errorf("built without %s; run: %s", name, command)
		case currentDigests[name] == "":
			t.Errorf("built from %s, which was deleted; run: %s", name, command)
		case recordedDigests[name] != currentDigests[name]:
			t.Errorf("%s has changed since the build; run: %s", name, command)
		}
	}
}

// readSums reads the digests of sources that a build recorded. Each line has a digest and a name.
func readSums(t *testing.T, name string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for line := range strings.Lines(readSource(t, name)) {
		sum, source, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		sums[source] = sum
	}
	return sums
}

// digests returns the digests of the files that match one of the patterns.
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

// digest returns the SHA-256 of text in hexadecimal.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
