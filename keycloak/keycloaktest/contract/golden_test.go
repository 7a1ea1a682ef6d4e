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

// A record is what Keycloak answered to the exchanges of a group.
type record struct {
	file     string
	recorded map[string]string
	comment  []byte

	mu   sync.Mutex // guards the fields below
	anew map[string]string
}

func readRecord(t *testing.T, group string) *record {
	t.Helper()
	r := &record{file: filepath.Join("testdata", group+".txtar"), recorded: map[string]string{},
		anew: map[string]string{}}
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

// check compares what an exchange showed with the record, and reports whether it held.
func (r *record) check(t *testing.T, exchange, got string) bool {
	t.Helper()
	want, recorded := r.recorded[exchange]
	same := recorded && sameText(want, got)
	if *update {
		// other times of those that are possible: no reason for a new record
		if got = settled(got); same {
			got = want
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.anew[exchange] = got
		return true
	}
	switch {
	case !recorded:
		t.Errorf("%s has no section %q: record it with -update and a real Keycloak", r.file,
			exchange)
	case !same:
		t.Errorf(
			"not what Keycloak answered (%s; - recorded, + got; if the stand-in differs, it is "+
				"the one that is wrong):\n%s",
			r.file, difference(want, got))
	}
	return same
}

// write rewrites the record, in the order of the exchanges; those that weren't played keep their
// section while -run names some only.
func (r *record) write(t *testing.T, plays []play) {
	archive := &txtar.Archive{Comment: r.comment}
	for _, p := range plays {
		text, ok := r.anew[p.name]
		if !ok && r.partial() {
			text, ok = r.recorded[p.name]
		}
		if ok {
			archive.Files = append(archive.Files, txtar.File{Name: p.name, Data: []byte(text)})
		}
	}
	if err := os.WriteFile(r.file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// partial reports whether -run may have left out exchanges.
func (r *record) partial() bool {
	return strings.Contains(flag.Lookup("test.run").Value.String(), "/")
}

// wantNoOthers wants every section to have its exchange.
func (r *record) wantNoOthers(t *testing.T, known map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(r.recorded)) {
		if !known[name] {
			t.Errorf("%s: section %q has no exchange", r.file, name)
		}
	}
}

// difference shows lines that differ, with the lines around them.
func difference(want, got string) string {
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
