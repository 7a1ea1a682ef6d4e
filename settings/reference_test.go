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

// docs/settings.md and .local.env.example are up to date.
func TestReference_files(t *testing.T) {
	checkGenerated(t, "../docs/settings.md", markdown())
	checkGenerated(t, "../.local.env.example", exampleFile())
}

// checkGenerated checks that the content of a generated file is want. With -update, it first writes
// the file.
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

// markdown generates the text of docs/settings.md.
func markdown() string {
	var b strings.Builder
	write := func(text string) {
		for paragraph := range strings.SplitSeq(withLinks(text), "\n\n") {
			b.WriteString("\n" + wrap(paragraph, ""))
		}
	}
	b.WriteString(
		"<!-- Made from settings/definitions.go by go generate ./settings. Don't edit. -->\n\n# " +
			"Settings\n")
	write(intro)
	for _, g := range new(rawSettings).groups() {
		var links []string
		for _, s := range g.settings {
			links = append(links, "[`"+s.name+"`](#"+strings.ToLower(s.name)+")")
		}
		anchor := strings.ToLower(strings.ReplaceAll(g.title, " ", "-"))
		write("[" + g.title + "](#" + anchor + "): " + strings.Join(links, ", ") + ".")
	}
	for _, g := range new(rawSettings).groups() {
		b.WriteString("\n## " + g.title + "\n")
		if g.doc != "" {
			write(g.doc)
		}
		for _, s := range g.settings {
			b.WriteString("\n### `" + s.name + "`\n")
			write(s.summary())
			write(s.doc)
		}
	}
	return b.String()
}

// withLinks replaces each reference to a section, such as "docs/operating.md, Attempts", with a
// link.
func withLinks(text string) string {
	return sectionPattern.ReplaceAllStringFunc(text, func(match string) string {
		title := sectionPattern.FindStringSubmatch(match)[1]
		anchor := strings.NewReplacer(" ", "-", "'", "").Replace(strings.ToLower(title))
		return "[" + title + "](operating.md#" + anchor + ")"
	})
}

var sectionPattern = regexp.MustCompile(`docs/operating\.md, ([^.]+)`)

// exampleFile generates the text of .local.env.example.
func exampleFile() string {
	var b strings.Builder
	b.WriteString(`# Made from settings/definitions.go by go generate ./settings.
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
	for _, s := range new(rawSettings).settings() {
		if s.requiredText != "" || s.name == "RUNTIME_ENV" { // no effect in a file
			continue
		}
		sentence := regexp.MustCompile(`^.*?\.( |$)`).FindString(plainText(s.doc))
		value := s.defaultValue
		if strings.Contains(value, " ") {
			value = `"` + value + `"`
		}
		b.WriteString("\n" + wrap(sentence, "# ") + "#" + s.name + "=" + value + "\n")
	}
	return b.String()
}

// .local.env.example is a valid settings file, both unchanged and with its defaults uncommented. In
// both cases Read returns the defaults.
func TestReference_example(t *testing.T) {
	for name, text := range map[string]string{
		"unchanged": exampleFile(),
		"defaults uncommented": regexp.MustCompile(`(?m)^#([A-Z_]+=)`).
			ReplaceAllString(exampleFile(), "$1"),
	} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/.local.env", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Read(nil, dir)
		if err != nil || len(s.Warnings) != 0 {
			t.Errorf("%s: Read() = %v with the warnings %q, want neither", name, err, s.Warnings)
		}
		got, want := s.Server.LogValue().String(),
			readSettings(t, "KEYCLOAK_REALM_NAME=local", "KEYCLOAK_CLIENT_ID=local-api").
				Server.LogValue().String()
		if got != want {
			t.Errorf("%s: Read() has the config\n%s\nwant\n%s", name, got, want)
		}
	}
}

// Reference documents every setting and its default, as plain text with lines of at most 100
// columns.
func TestReference(t *testing.T) {
	text := Reference()
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > maxColumns {
			t.Errorf("a line is wider than %d columns: %s", maxColumns, line)
		}
	}
	if strings.ContainsAny(text, "`") {
		t.Error("Reference() contains a backtick, want plain text")
	}
	for _, s := range new(rawSettings).settings() {
		if !strings.Contains(text, "\n"+s.name+"\n    "+plainText(s.summary())[:len("Default")]) ||
			!strings.Contains(text, s.defaultValue) {
			t.Errorf("Reference() lacks %s or its default", s.name)
		}
	}
}

// The definition of each setting is complete, and no two settings have the same destination.
func TestSettings(t *testing.T) {
	settings := new(rawSettings).settings()
	if len(settings) < 40 {
		t.Fatalf("%d settings are defined, want at least 40", len(settings))
	}
	names, pointers := map[string]bool{}, map[any]string{}
	sentencesPattern := regexp.MustCompile(`^[A-Z].*\.$`)
	for _, s := range settings {
		if !settingNamePattern.MatchString(s.name) || names[s.name] {
			t.Errorf("the name %q isn't unique or isn't in upper case", s.name)
		}
		names[s.name] = true
		if otherName := pointers[s.dest.pointer]; otherName != "" {
			t.Errorf("%s and %s have the same destination", s.name, otherName)
		}
		pointers[s.dest.pointer] = s.name
		if !sentencesPattern.MatchString(s.doc) {
			t.Errorf("%s: got the doc %q, want sentences", s.name, s.doc)
		}
		if strings.Count(s.doc, "`")%2 != 0 {
			t.Errorf("%s: the doc has an unpaired backtick", s.name)
		}
		setCount := 0
		for _, text := range []string{s.defaultValue, s.defaultText, s.requiredText} {
			if text != "" {
				setCount++
			}
		}
		if setCount != 1 {
			t.Errorf("%s: %d of defaultValue, defaultText and requiredText are set, want 1", s.name,
				setCount)
		}
		for _, word := range regexp.MustCompile(`[A-Z]+(_[A-Z]+)+`).FindAllString(s.doc, -1) {
			if !errorCodes[word] && !containsName(settings, word) {
				t.Errorf("%s: the doc names %s, which isn't a setting", s.name, word)
			}
		}
	}
	for _, name := range removedSettings {
		if names[name] {
			t.Errorf("removedSettings has %s, which is a setting", name)
		}
	}
}

// errorCodes are error codes and reasons in the documentation. They look like names of settings.
var errorCodes = map[string]bool{"RATE_LIMITED": true, "ROOT_FIELDS": true,
	"SERVICE_UNAVAILABLE": true}

// containsName reports whether one of the settings has the name.
func containsName(settings []setting, name string) bool {
	for _, s := range settings {
		if s.name == name {
			return true
		}
	}
	return false
}

// Each setting accepts the minimum and the maximum of its documented range, and rejects a value
// above the maximum.
func TestSettings_ranges(t *testing.T) {
	rangePattern := regexp.MustCompile(`^(?:0, or )?(\w+) to (\w+)$`)
	rangeCount := 0
	for _, s := range new(rawSettings).settings() {
		match := rangePattern.FindStringSubmatch(s.dest.acceptedValues)
		if match == nil {
			continue
		}
		rangeCount++
		for _, value := range match[1:] {
			if problems := problemsOf(s.name, value); len(problems) != 0 {
				t.Errorf("%s=%s: got the problems %v, want none: the value is documented as "+
					"accepted",
					s.name, value, problems)
			}
		}
		tooLarge := match[2] + "0"
		if regexp.MustCompile(`[a-z]$`).MatchString(match[2]) {
			tooLarge = "1" + match[2]
		}
		if problems := problemsOf(s.name, tooLarge); len(problems) != 1 ||
			!strings.Contains(problems[0].text, s.dest.acceptedValues) {
			t.Errorf("%s=%s: got %v, want one problem that names the range %s", s.name,
				tooLarge, problems, s.dest.acceptedValues)
		}
	}
	if rangeCount < 20 {
		t.Errorf("found %d ranges, want at least 20", rangeCount)
	}
}

// problemsOf parses value as the value of the named setting, and returns the problems.
func problemsOf(name, value string) []problem {
	var p problems
	for _, s := range new(rawSettings).settings() {
		if s.name == name {
			parse([]setting{s}, map[string]string{name: value}, &p)
		}
	}
	return p.list
}

// The value of each setting is stored in the setting's destination.
func TestSettings_destinations(t *testing.T) {
	for i := range settingNames {
		var raw rawSettings
		s := raw.settings()[i]
		destination := reflect.ValueOf(s.dest.pointer).Elem()
		if !destination.IsZero() {
			t.Fatalf("%s: the destination is set in a new rawSettings, want its zero value", s.name)
		}
		value := s.defaultValue
		if value == "" {
			value = map[reflect.Kind]string{reflect.String: "x", reflect.Struct: "x",
				reflect.Slice: "10.0.0.1", reflect.Pointer: "true"}[destination.Kind()]
		}
		if value == "false" {
			value = "true"
		}
		parse([]setting{s}, map[string]string{s.name: value}, new(problems))
		if reflect.ValueOf(raw.settings()[i].dest.pointer).Elem().IsZero() {
			t.Errorf("after parsing %s=%s, the destination is zero, want the value", s.name, value)
		}
	}
}
