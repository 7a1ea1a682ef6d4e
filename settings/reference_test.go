package settings

import (
	"flag"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the generated files")

// The files generated from the rows are up to date.
func TestReference_files(t *testing.T) {
	checkGenerated(t, "../docs/settings.md", markdown())
	checkGenerated(t, "../.local.env.example", example())
}

// checkGenerated checks that a generated file holds want. With -update, it writes the file.
func checkGenerated(t *testing.T, name, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is out of date: run go generate ./settings", name)
	}
}

// markdown returns docs/settings.md.
func markdown() string {
	var b strings.Builder
	write := func(text string) {
		for paragraph := range strings.SplitSeq(withLinks(text), "\n\n") {
			b.WriteString("\n" + wrap(paragraph, ""))
		}
	}
	b.WriteString(
		"<!-- Made from settings/rows.go by go generate ./settings. Don't edit. -->\n\n# Settings\n")
	write(intro)
	for _, g := range new(draft).groups() {
		b.WriteString("\n## " + g.title + "\n")
		if g.doc != "" {
			write(g.doc)
		}
		for _, r := range g.rows {
			b.WriteString("\n### `" + r.name + "`\n")
			write(r.facts())
			write(r.doc)
		}
	}
	return b.String()
}

// withLinks turns "docs/operating.md, Attempts" into a link to that section.
func withLinks(text string) string {
	return sectionPattern.ReplaceAllStringFunc(text, func(match string) string {
		title := sectionPattern.FindStringSubmatch(match)[1]
		anchor := strings.NewReplacer(" ", "-", "'", "").Replace(strings.ToLower(title))
		return "[" + title + "](operating.md#" + anchor + ")"
	})
}

var sectionPattern = regexp.MustCompile(`docs/operating\.md, ([^.]+)`)

// example returns .local.env.example.
func example() string {
	var b strings.Builder
	b.WriteString(`# Made from settings/rows.go by go generate ./settings.
#
# Settings for your own machine. Copy this file to .local.env (which git and docker ignore) and
# change what differs. The process environment wins over this file. docs/settings.md says more about
# each setting.
#
# Quote a value that contains a #, a quote or a space. Put a value with a $ in SINGLE quotes;
# otherwise the $ refers to another setting in this file:
#   KEYCLOAK_CLIENT_SECRET_KEY='pa$$word'

# These match the realm that ` + "`make keycloak`" + ` imports.
KEYCLOAK_SERVER_URL=http://localhost:8080
KEYCLOAK_REALM_NAME=local
KEYCLOAK_CLIENT_ID=local-api
KEYCLOAK_CLIENT_SECRET_KEY=local-api-secret

# The other settings, with their defaults.
`)
	for _, r := range new(draft).rows() {
		if r.required != "" || r.name == "RUNTIME_ENV" { // no effect in a file
			continue
		}
		sentence := regexp.MustCompile(`^.*?\.( |$)`).FindString(plain(r.doc))
		value := r.defaultValue
		if strings.Contains(value, " ") {
			value = `"` + value + `"`
		}
		b.WriteString("\n" + wrap(sentence, "# ") + "#" + r.name + "=" + value + "\n")
	}
	return b.String()
}

// The example is a valid settings file, both as it is and with the defaults uncommented.
func TestReference_example(t *testing.T) {
	for name, text := range map[string]string{
		"as it is": example(),
		"defaults": regexp.MustCompile(`(?m)^#([A-Z_]+=)`).ReplaceAllString(example(), "$1"),
	} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/.local.env", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Read(nil, dir)
		if err != nil || len(s.Warnings) != 0 {
			t.Errorf("%s: %v, warnings %q", name, err, s.Warnings)
		}
		got, want := s.Server.LogValue().String(),
			goodConfig(t, "KEYCLOAK_REALM_NAME=local", "KEYCLOAK_CLIENT_ID=local-api").
				Server.LogValue().String()
		if got != want {
			t.Errorf("%s: read\n%s, want\n%s", name, got, want)
		}
	}
}

// Reference fits a terminal, and has every setting with its default.
func TestReference(t *testing.T) {
	text := Reference()
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > columns {
			t.Errorf("a line is wider than %d columns: %s", columns, line)
		}
	}
	if strings.ContainsAny(text, "`") {
		t.Error("Reference() contains Markdown")
	}
	for _, r := range new(draft).rows() {
		if !strings.Contains(text, "\n"+r.name+"\n    "+plain(r.facts())[:len("Default")]) ||
			!strings.Contains(text, r.defaultValue) {
			t.Errorf("Reference() lacks %s, or its default", r.name)
		}
	}
}

// Each row is complete and has its own destination.
func TestRows(t *testing.T) {
	rows := new(draft).rows()
	if len(rows) < 40 {
		t.Fatalf("%d rows, want at least 40", len(rows))
	}
	names, pointers := map[string]bool{}, map[any]string{}
	sentences := regexp.MustCompile(`^[A-Z].*\.$`)
	for _, r := range rows {
		if !settingName.MatchString(r.name) || names[r.name] {
			t.Errorf("the name %q is malformed, or two rows have it", r.name)
		}
		names[r.name] = true
		if other := pointers[r.to.pointer]; other != "" {
			t.Errorf("%s and %s have the same destination", r.name, other)
		}
		pointers[r.to.pointer] = r.name
		if !sentences.MatchString(r.doc) {
			t.Errorf("%s: doc isn't made of sentences: %q", r.name, r.doc)
		}
		if strings.Count(r.doc, "`")%2 != 0 {
			t.Errorf("%s: doc has an unpaired backtick", r.name)
		}
		nonEmpty := 0
		for _, text := range []string{r.defaultValue, r.defaultText, r.required} {
			if text != "" {
				nonEmpty++
			}
		}
		if nonEmpty != 1 {
			t.Errorf("%s: want exactly one of defaultValue, defaultText and required", r.name)
		}
		for _, word := range regexp.MustCompile(`[A-Z]+(_[A-Z]+)+`).FindAllString(r.doc, -1) {
			if !errorCodes[word] && !contains(rows, word) {
				t.Errorf("%s: doc names %s, which isn't a setting", r.name, word)
			}
		}
	}
	for _, name := range removed {
		if names[name] {
			t.Errorf("removed has %s, which is a setting", name)
		}
	}
}

// errorCodes are the error codes and reasons in the documentation, which look like settings.
var errorCodes = map[string]bool{"RATE_LIMITED": true, "ROOT_FIELDS": true}

// contains reports whether one of the rows has the name.
func contains(rows []row, name string) bool {
	for _, r := range rows {
		if r.name == name {
			return true
		}
	}
	return false
}

// The ends of each documented range are accepted, and a value above it isn't.
func TestRows_ranges(t *testing.T) {
	bounded := regexp.MustCompile(`^(?:0, or )?(\w+) to (\w+)$`)
	found := 0
	for _, r := range new(draft).rows() {
		match := bounded.FindStringSubmatch(r.to.values)
		if match == nil {
			continue
		}
		found++
		for _, value := range match[1:] {
			if problems := problemsOf(r.name, value); len(problems) != 0 {
				t.Errorf("%s=%s, which is documented as accepted: %v", r.name, value,
					problems)
			}
		}
		outside := match[2] + "0"
		if regexp.MustCompile(`[a-z]$`).MatchString(match[2]) {
			outside = "1" + match[2]
		}
		if problems := problemsOf(r.name, outside); len(problems) != 1 ||
			!strings.Contains(problems[0].text, r.to.values) {
			t.Errorf("%s=%s: got %v, want one problem that names the range %s", r.name,
				outside, problems, r.to.values)
		}
	}
	if found < 20 {
		t.Errorf("found %d ranges, want at least 20", found)
	}
}

// problemsOf parses a single setting and returns its problems.
func problemsOf(name, value string) []problem {
	var p problems
	for _, r := range new(draft).rows() {
		if r.name == name {
			parse([]row{r}, map[string]string{name: value}, &p)
		}
	}
	return p.list
}

// Each row writes to a field of the draft.
func TestRows_destinations(t *testing.T) {
	for i := range names {
		var d draft
		r := d.rows()[i]
		before := reflect.ValueOf(r.to.pointer).Elem()
		if !before.IsZero() {
			t.Fatalf("%s: the field isn't empty in a new draft", r.name)
		}
		value := r.defaultValue
		if value == "" {
			value = map[reflect.Kind]string{reflect.String: "x", reflect.Struct: "x",
				reflect.Slice: "10.0.0.1", reflect.Pointer: "true"}[before.Kind()]
		}
		if value == "false" {
			value = "true"
		}
		parse([]row{r}, map[string]string{r.name: value}, new(problems))
		if reflect.ValueOf(d.rows()[i].to.pointer).Elem().IsZero() {
			t.Errorf("%s=%s has no effect", r.name, value)
		}
	}
}
