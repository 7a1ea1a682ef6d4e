package contract

import (
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/tools/txtar"
)

// A recording has Keycloak's responses in each scenario of a suite.
type recording struct {
	file     string
	sections map[string]string // by scenario
	comment  []byte

	mu          sync.Mutex        // guards the field below
	newSections map[string]string // for -update
}

// readRecording reads the recording of a suite from testdata.
func readRecording(t *testing.T, suite string) *recording {
	t.Helper()
	r := &recording{file: filepath.Join("testdata", suite+".txtar"), sections: map[string]string{},
		newSections: map[string]string{}}
	archive, err := txtar.ParseFile(r.file)
	if errors.Is(err, fs.ErrNotExist) && *update {
		return r
	}
	if err != nil {
		t.Fatal(err)
	}
	r.comment = archive.Comment
	for _, section := range archive.Files {
		r.sections[section.Name] = string(section.Data)
	}
	return r
}

// check reports whether the record of a scenario agrees with the recording. With -update, it stores
// the record instead.
func (r *recording) check(t *testing.T, scenario, got string) bool {
	t.Helper()
	want, ok := r.sections[scenario]
	matches := ok && sameText(want, got)
	if *update {
		// If the old section agrees with the record, keep it, so that its times don't change.
		if got = roundOffsets(got); matches {
			got = want
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.newSections[scenario] = got
		return true
	}
	switch {
	case !ok:
		t.Errorf("%s has no section %q: record it with -update and a real Keycloak", r.file,
			scenario)
	case !matches:
		t.Errorf(
			"the responses differ from %s (- recorded, + got). If the server is the fake, the "+
				"fake is wrong:\n%s",
			r.file, diff(want, got))
	}
	return matches
}

// write writes the recording in the order of the scenarios. If -run selects only some scenarios,
// write keeps the sections of the other scenarios.
func (r *recording) write(t *testing.T, scenarios []declaration) {
	archive := &txtar.Archive{Comment: r.comment}
	for _, d := range scenarios {
		text, ok := r.newSections[d.name]
		if !ok && r.hasRunFilter() {
			text, ok = r.sections[d.name]
		}
		if ok {
			archive.Files = append(archive.Files, txtar.File{Name: d.name, Data: []byte(text)})
		}
	}
	if err := os.WriteFile(r.file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// hasRunFilter reports whether -run may select only some of the scenarios.
func (r *recording) hasRunFilter() bool {
	return strings.Contains(flag.Lookup("test.run").Value.String(), "/")
}

// checkSections checks that every section belongs to a scenario.
func (r *recording) checkSections(t *testing.T, scenarios map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(r.sections)) {
		if !scenarios[name] {
			t.Errorf("%s: section %q has no scenario", r.file, name)
		}
	}
}

// diff returns the lines of both texts. A line that is only in want starts with -, and a line that
// is only in got starts with +.
func diff(want, got string) string {
	a, b := strings.Split(strings.TrimSuffix(want, "\n"), "\n"),
		strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	// lcs[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
	lcs := make([][]int, len(a)+1)
	for i := range lcs {
		lcs[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if sameLine(a[i], b[j]) {
				lcs[i][j] = lcs[i+1][j+1] + 1
			} else {
				lcs[i][j] = max(lcs[i+1][j], lcs[i][j+1])
			}
		}
	}
	var lines []string
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && sameLine(a[i], b[j]):
			lines = append(lines, "  "+b[j])
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || lcs[i+1][j] >= lcs[i][j+1]):
			lines = append(lines, "- "+a[i])
			i++
		default:
			lines = append(lines, "+ "+b[j])
			j++
		}
	}
	return strings.Join(lines, "\n")
}
