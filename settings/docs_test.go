package settings

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// table is the rows of the README's table below a heading, their cells without backticks.
func readmeTable(t *testing.T, heading string) [][]string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
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

// Every setting has its line, in the order of the struct, and its default.
func TestREADMESettings(t *testing.T) {
	rows := readmeTable(t, "## Settings")
	var names []string
	for i, one := range (settings{}).all() {
		name, preset := one.name, one.preset
		names = append(names, name)
		if i < len(rows) && rows[i][0] == name && preset != "" && rows[i][1] != preset {
			t.Errorf("%s: the README's default is %q, the code's %q", name, rows[i][1], preset)
		}
		between := strings.ReplaceAll(one.field.Tag.Get("range"), " ", " to ")
		if i < len(rows) && rows[i][0] == name && !strings.Contains(rows[i][2], between) {
			t.Errorf("%s: the README's line doesn't say %s", name, between)
		}
	}
	var documented []string
	for _, row := range rows {
		documented = append(documented, row[0])
	}
	for _, name := range names {
		if !slices.Contains(documented, name) {
			t.Errorf("%s has no line in the README's table of settings", name)
		}
	}
	for i, name := range documented {
		switch {
		case !slices.Contains(names, name):
			t.Errorf("the README's table of settings has a line for %s, which is no setting", name)
		case slices.Index(documented, name) != i:
			t.Errorf("the README's table of settings has two lines for %s", name)
		}
	}
	if !t.Failed() && !slices.Equal(names, documented) {
		t.Errorf("the README's table of settings has another order than the struct:\n%q\nthe code has\n%q", documented, names)
	}
}

// The example settings are complete, and name nothing that doesn't exist.
func TestExampleSettings(t *testing.T) {
	text, err := os.ReadFile("../.local.env.example")
	if err != nil {
		t.Fatal(err)
	}
	var environ []string
	for _, match := range regexp.MustCompile(`(?m)^#?\s*([A-Z_]+)=(.*)$`).FindAllStringSubmatch(string(text), -1) {
		known := false
		for _, one := range (settings{}).all() {
			known = known || one.name == match[1]
		}
		if !known {
			t.Errorf("%s is no setting", match[1])
		}
		if !strings.HasPrefix(match[0], "#") {
			environ = append(environ, fmt.Sprintf("%s=%s", match[1], match[2]))
		}
	}
	if _, err := Read(environ, t.TempDir()); err != nil {
		t.Error(err)
	}
}
