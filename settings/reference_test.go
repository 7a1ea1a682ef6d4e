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

// The pages that are made from the rows are up to date.
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
	links := strings.NewReplacer("docs/operating.md", "[operating.md](operating.md)")
	var b strings.Builder
	write := func(text string) {
		for paragraph := range strings.SplitSeq(links.Replace(text), "\n\n") {
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

// example returns .local.env.example.
func example() string {
	var b strings.Builder
	b.WriteString(`# Made from settings/rows.go by go generate ./settings.
#
# Settings for your own machine. Copy to .local.env (which git and docker ignore) and change what
# differs. The process environment wins over this file. docs/settings.md says more of each setting.
#
# Quote a value that holds a #, a quote or a space; put a value with a $ in SINGLE quotes, or what
# follows the $ is replaced by another setting of this file:
#   KEYCLOAK_CLIENT_SECRET_KEY='pa$$word'

# These fit the realm that ` + "`make keycloak`" + ` starts.
KEYCLOAK_SERVER_URL=http://localhost:8080
KEYCLOAK_REALM_NAME=local
KEYCLOAK_CLIENT_ID=local-api
KEYCLOAK_CLIENT_SECRET_KEY=local-api-secret

# The others, with their defaults.
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

// The example is a good settings file as it is, and with every default spelled out.
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
			t.Errorf("%s: %v, warned of %q", name, err, s.Warnings)
		}
		got, want := s.Server.LogValue().String(),
			goodConfig(t, "KEYCLOAK_REALM_NAME=local", "KEYCLOAK_CLIENT_ID=local-api").
				Server.LogValue().String()
		if got != want {
			t.Errorf("%s: read\n%s, want\n%s", name, got, want)
		}
	}
}

// The plain text fits a terminal, and holds every setting with its default.
func TestReference(t *testing.T) {
	text := Reference()
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > columns {
			t.Errorf("a line of more than %d columns: %s", columns, line)
		}
	}
	if strings.ContainsAny(text, "`") {
		t.Error("it holds Markdown")
	}
	for _, r := range new(draft).rows() {
		if !strings.Contains(text, "\n"+r.name+"\n    "+plain(r.facts())[:len("Default")]) ||
			!strings.Contains(text, r.defaultValue) {
			t.Errorf("%s isn't there with its default", r.name)
		}
	}
}

// Every row is complete, and has a destination of its own.
func TestRows(t *testing.T) {
	rows := new(draft).rows()
	if len(rows) < 40 {
		t.Fatalf("%d rows", len(rows))
	}
	names, pointers := map[string]bool{}, map[any]string{}
	sentences := regexp.MustCompile(`^[A-Z].*\.$`)
	for _, r := range rows {
		if !settingName.MatchString(r.name) || names[r.name] {
			t.Errorf("the name %s is none, or there twice", r.name)
		}
		names[r.name] = true
		if other := pointers[r.to.pointer]; other != "" {
			t.Errorf("%s and %s have the same destination", r.name, other)
		}
		pointers[r.to.pointer] = r.name
		if !sentences.MatchString(r.doc) {
			t.Errorf("%s: the text %q isn't made of sentences", r.name, r.doc)
		}
		if strings.Count(r.doc, "`")%2 != 0 {
			t.Errorf("%s: a backtick is left over", r.name)
		}
		given := 0
		for _, text := range []string{r.defaultValue, r.defaultText, r.required} {
			if text != "" {
				given++
			}
		}
		if given != 1 {
			t.Errorf("%s: expected one of a default, a text in its place, and what is required",
				r.name)
		}
		for _, word := range regexp.MustCompile(`[A-Z]+(_[A-Z]+)+`).FindAllString(r.doc, -1) {
			if !known[word] && !contains(rows, word) {
				t.Errorf("%s: the text names %s, which is no setting", r.name, word)
			}
		}
	}
	for _, name := range removed {
		if names[name] {
			t.Errorf("%s is a setting and was removed", name)
		}
	}
}

// known are words of the texts that look like settings.
var known = map[string]bool{"ROOT_FIELDS": true}

func contains(rows []row, name string) bool {
	for _, r := range rows {
		if r.name == name {
			return true
		}
	}
	return false
}

// A default that is written in the row passes its own check, and a value just outside of a range
// doesn't: within bounds what it documents.
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
				t.Errorf("%s=%s, which is documented as accepted: %v", r.name, value, problems)
			}
		}
		outside := match[2] + "0"
		if regexp.MustCompile(`[a-z]$`).MatchString(match[2]) {
			outside = "1" + match[2]
		}
		if problems := problemsOf(r.name, outside); len(problems) != 1 ||
			!strings.Contains(problems[0].text, r.to.values) {
			t.Errorf("%s=%s: %v, want one problem that names the range %s", r.name, outside,
				problems, r.to.values)
		}
	}
	if found < 20 {
		t.Errorf("%d ranges found", found)
	}
}

// problemsOf returns what is wrong with a value of a setting by itself.
func problemsOf(name, value string) []problem {
	var p problems
	for _, r := range new(draft).rows() {
		if r.name == name {
			parse([]row{r}, map[string]string{name: value}, &p)
		}
	}
	return p.list
}

// Each value gets to its own field: no two rows write to one, and a changed value changes the
// configuration.
func TestRows_destinations(t *testing.T) {
	for i := range names {
		var d draft
		r := d.rows()[i]
		before := reflect.ValueOf(r.to.pointer).Elem()
		if !before.IsZero() {
			t.Fatalf("%s: a new draft has a value already", r.name)
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
