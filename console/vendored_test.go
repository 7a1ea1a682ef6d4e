package console

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// If a library contains a copy of another library, the copy isn't in the lock file, so no tool
// reports its vulnerabilities. During a build, vite.config.ts looks for copies in the source files,
// where comments name libraries. The tests in this file look for copies in the built files.

// lockedVersions returns the versions of each library in package-lock.json, by the library's name.
func lockedVersions(t *testing.T) map[string][]string {
	t.Helper()
	var lock struct {
		Packages map[string]struct{ Version string }
	}
	readJSON(t, "package-lock.json", &lock)
	versions := map[string][]string{}
	for dir, p := range lock.Packages {
		if i := strings.LastIndex(dir, "node_modules/"); i >= 0 {
			name := dir[i+len("node_modules/"):]
			versions[name] = append(versions[name], p.Version)
		}
	}
	return versions
}

// allowedCopies returns the names of copied libraries, and the constants that look like versions,
// that vendored.json allows.
func allowedCopies(t *testing.T) map[string]bool {
	t.Helper()
	var entries []struct{ Library, Constant, Package, Reason string }
	readJSON(t, "vendored.json", &entries)
	names := map[string]bool{}
	for _, e := range entries {
		name := cmp.Or(e.Library, e.Constant)
		if name == "" || e.Package == "" || e.Reason == "" {
			t.Errorf("vendored.json has the entry %+v, want a library or a constant, a package "+
				"and a reason",
				e)
		}
		names[name] = true
	}
	return names
}

// readJSON decodes a JSON file into v.
func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// semver is a regular expression for a version.
const semver = `(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)`

// bannerPattern matches comments that name a library and its version.
var bannerPattern = regexp.MustCompile(
	`(?:/\*|//|<!--)[!*\s]*(?:@license\s+)?((?:@[\w.-]+/)?[A-Za-z][\w.-]*?)(?:\.js)?\s+(?:v|version\s+)?` + semver)

// A signature recognizes a library in minified code, which has no comments. The group of its
// pattern is the version.
type signature struct {
	library string
	pattern *regexp.Regexp
}

var signatures = []signature{
	{"dompurify", regexp.MustCompile(`version\s*=\s*["'` + "`]" + semver + `["'` + "`]" +
		`,\s*\w+\.removed\s*=`)},
	{"jquery", regexp.MustCompile(`jquery:\s*["'` + "`]" + semver)},
	{"punycode.js", regexp.MustCompile(`version:\s*["'` + "`]" + semver + `["'` + "`]" +
		`,\s*ucs2`)},
	{"react-dom", regexp.MustCompile(`version:\s*["'` + "`]" + semver + `["'` + "`]" +
		`,\s*rendererPackageName:\s*["'` + "`]" + `react-dom`)},
}

// versionPattern matches string literals that consist only of a version.
var versionPattern = regexp.MustCompile(`["'` + "`]" + semver + `["'` + "`]")

// findCopies returns the libraries in text, each with its version, that are neither locked nor
// allowed. For a version without the name of a library, it returns the text around the version.
func findCopies(text string, versions map[string][]string,
	allowedNames map[string]bool) (copies []string) {
	checkLibrary := func(library, version string) {
		library = strings.ToLower(library)
		if !slices.Contains(versions[library], version) && !allowedNames[library] {
			copies = append(copies, library+" "+version)
		}
	}
	for _, match := range bannerPattern.FindAllStringSubmatch(text, -1) {
		checkLibrary(match[1], match[2])
	}
	identifiedAt := map[int]bool{} // positions of versions whose library is known
	for _, s := range signatures {
		for _, match := range s.pattern.FindAllStringSubmatchIndex(text, -1) {
			identifiedAt[match[2]] = true
			checkLibrary(s.library, text[match[2]:match[3]])
		}
	}
	isLocked := map[string]bool{}
	for _, libraryVersions := range versions {
		for _, version := range libraryVersions {
			isLocked[version] = true
		}
	}
	for _, match := range versionPattern.FindAllStringSubmatchIndex(text, -1) {
		version := text[match[2]:match[3]]
		if !identifiedAt[match[2]] && !isLocked[version] && !allowedNames[version] {
			copies = append(copies, fmt.Sprintf("unknown %s, in %q", version,
				text[max(0, match[0]-40):min(len(text), match[1]+40)]))
		}
	}
	return copies
}

// The built files contain no library that isn't in the lock file, except for those that
// vendored.json allows.
func TestVendoredLibraries(t *testing.T) {
	files, err := loadFiles()
	if err != nil {
		t.Fatal(err)
	}
	locked, allowed := lockedVersions(t), allowedCopies(t)
	fileCount := 0
	for name, file := range files {
		if extension := path.Ext(name); extension != ".js" && extension != ".css" &&
			extension != ".html" {
			continue
		}
		fileCount++
		for _, vendoredCopy := range findCopies(string(file.content), locked, allowed) {
			t.Errorf("%s has a copy of %s, which isn't in package-lock.json: replace it by an "+
				"alias in vite.config.ts, or say in vendored.json why it may stay", name,
				vendoredCopy)
		}
	}
	if fileCount < 10 {
		t.Errorf("checked %d files, want at least 10", fileCount)
	}
	// These libraries are in the build, so their signatures must match a file.
	for _, library := range []string{"dompurify", "punycode.js", "react-dom"} {
		i := slices.IndexFunc(signatures, func(s signature) bool { return s.library == library })
		isFound := false
		for _, file := range files {
			isFound = isFound || signatures[i].pattern.Match(file.content)
		}
		if !isFound {
			t.Errorf("%s is in the build, but its signature %s matches no file: update the "+
				"signature", library,
				signatures[i].pattern)
		}
	}
}

// findCopies finds copies of libraries by comments, by signatures, and by versions that aren't in
// the lock file.
func TestFindCopies(t *testing.T) {
	locked := map[string][]string{"dompurify": {"3.5.0"}, "react": {"19.3.1"},
		"marked": {"14.1.4", "15.0.0"}}
	for text, want := range map[string]string{
		"/*! @license DOMPurify 3.1.7 | (c) Cure53 */":              "dompurify 3.1.7",
		"/*! @license DOMPurify 3.5.0 | (c) Cure53 */":              "",
		"/**\n * marked v14.0.0 - a markdown parser\n */":           "marked 14.0.0",
		"/* marked v15.0.0 */":                                      "",
		"/*! jQuery v3.4.1 | (c) JS Foundation */":                  "jquery 3.4.1",
		"/*!\n * Bootstrap v4.1.0 (https://getbootstrap.com/)\n */": "bootstrap 4.1.0",
		"//! moment.js version 2.29.1":                              "moment 2.29.1",
		"t.version=`3.1.7`,t.removed=[],!e":                         "dompurify 3.1.7",
		`DOMPurify.version = '3.1.7', DOMPurify.removed = []`:       "dompurify 3.1.7",
		"e.version=`19.3.1`":                                        "",
		`n.fn=n.prototype={jquery:"3.4.1",constructor:n}`:           "jquery 3.4.1",
		"Fe.VERSION=`4.17.20`": "unknown 4.17.20, in " +
			"\"Fe.VERSION=`4.17.20`\"",
		"x=`2.4.0`": "",
		"a 1.2.3 of prose, `1.2`, `1.2.3.4`, and a date of `2026-01-02`, in the midst of things": "",
	} {
		got := strings.Join(findCopies(text, locked, map[string]bool{"2.4.0": true}), ", ")
		if got != want {
			t.Errorf("findCopies(%q) = %q, want %q", text, got, want)
		}
	}
}
