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

// A record is the recording of a group: what Keycloak responded in each exchange.
type record struct {
	file     string
	recorded map[string]string // by exchange
	comment  []byte

	mu      sync.Mutex // guards the field below
	updated map[string]string
}

func readRecord(t *testing.T, group string) *record {
	t.Helper()
	r := &record{file: filepath.Join("testdata", group+".txtar"), recorded: map[string]string{},
		updated: map[string]string{}}
	archive, err := txtar.ParseFile(r.file)
	if errors.Is(err, fs.ErrNotExist) && *update {
		return r
	}
	if err != nil {
		t.Fatal(err)
	}
	r.comment = archive.Comment
	for _, section := range archive.Files {
		r.recorded[section.Name] = string(section.Data)
	}
	return r
}

// check compares an exchange with the record, and reports whether they agree. With -update, it
// stores the exchange instead.
func (r *record) check(t *testing.T, exchange, got string) bool {
	t.Helper()
	want, recorded := r.recorded[exchange]
	same := recorded && sameText(want, got)
	if *update {
		// The recorded times are possible, too: keep them.
		if got = roundClocks(got); same {
			got = want
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.updated[exchange] = got
		return true
	}
	switch {
	case !recorded:
		t.Errorf("%s has no section %q: record it with -update and a real Keycloak", r.file,
			exchange)
	case !same:
		t.Errorf(
			"not what Keycloak responded (%s; - recorded, + got; if this is the stand-in, the "+
				"stand-in is wrong):\n%s",
			r.file, diff(want, got))
	}
	return same
}

// write writes the record, in the order of the exchanges. If -run selects some exchanges, the
// sections of the others stay.
func (r *record) write(t *testing.T, exchanges []declared) {
	archive := &txtar.Archive{Comment: r.comment}
	for _, d := range exchanges {
		text, ok := r.updated[d.name]
		if !ok && r.partial() {
			text, ok = r.recorded[d.name]
		}
		if ok {
			archive.Files = append(archive.Files, txtar.File{Name: d.name, Data: []byte(text)})
		}
	}
	if err := os.WriteFile(r.file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// partial reports whether -run may select only some exchanges.
func (r *record) partial() bool {
	return strings.Contains(flag.Lookup("test.run").Value.String(), "/")
}

// checkSections checks that every section belongs to an exchange.
func (r *record) checkSections(t *testing.T, known map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(r.recorded)) {
		if !known[name] {
			t.Errorf("%s: section %q has no exchange", r.file, name)
		}
	}
}

// diff returns both texts, lines that differ marked with - and +.
func diff(want, got string) string {
	a, b := strings.Split(strings.TrimSuffix(want, "\n"), "\n"),
		strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	// common[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if sameLine(a[i], b[j]) {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var lines []string
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && sameLine(a[i], b[j]):
			lines = append(lines, "  "+b[j])
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			lines = append(lines, "- "+a[i])
			i++
		default:
			lines = append(lines, "+ "+b[j])
			j++
		}
	}
	return strings.Join(lines, "\n")
}
