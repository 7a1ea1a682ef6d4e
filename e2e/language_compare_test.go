package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/handler"
)

// A languageCase is one case of the language: what is sent, and what graphql-js 16.15 makes of it.
type languageCase struct {
	Query     string        `json:"query"`
	Variables string        `json:"variables,omitempty"` // JSON, as text: numbers keep their spelling
	Want      *languageWant `json:"want,omitempty"`

	// Stricter says why CloakQL refuses what graphql-js takes.
	Stricter string `json:"stricter,omitempty"`
}

type languageWant struct {
	Verdict   string     `json:"verdict"` // syntax, invalid, refused, failed or ran
	Locations []location `json:"locations,omitempty"`
	Data      string     `json:"data,omitempty"` // JSON, as text
}

const languageFile = "testdata/language.json"

// compareWithGraphQLJS holds the echo to what graphql-js said: both take the document and see the
// same values, or both refuse it; a syntax error is at the same place, and every other location is
// one of graphql-js's or at least the beginning of something.
func compareWithGraphQLJS(t *testing.T, server *handler.Server, one languageCase) (tooLarge bool) {
	t.Helper()
	got, want := ask(t, server, one.Query, one.Variables), one.Want
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%q with %s: %s\n graphql-js: %+v\n ours: %+v", one.Query, one.Variables,
			fmt.Sprintf(format, args...), *want, got)
	}
	code := ""
	if len(got.Errors) > 0 {
		code = got.Errors[0].Extensions.Code
	}
	if again := ask(t, server, one.Query, one.Variables); !reflect.DeepEqual(got, again) { // out of the cache
		fail("the second answer is another: %+v", again)
	}
	switch {
	case code == "OPERATION_TOO_LARGE":
		return true
	case want.Verdict == "ran" && one.Stricter != "":
		if code == "" {
			fail("it ran, and wasn't to: %s", one.Stricter)
		}
		return false
	case want.Verdict == "ran" && code != "":
		fail("refused")
		return false
	case want.Verdict != "ran" && code == "":
		fail("it ran")
		return false
	case want.Verdict == "ran":
		var data any
		if err := json.Unmarshal([]byte(want.Data), &data); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Data, data) {
			fail("other values")
		}
		return false
	}
	if (want.Verdict == "syntax") != (code == "GRAPHQL_PARSE_FAILED") &&
		!outsideOurGrammar(one, code) {
		fail("another stage refuses it")
	}
	for i, err := range got.Errors {
		for _, at := range err.Locations {
			if !inside(one.Query, at) {
				fail("%v is outside the document", at)
			}
		}
		if i == 0 && code == "GRAPHQL_PARSE_FAILED" && want.Verdict == "syntax" &&
			!reflect.DeepEqual(err.Locations, want.Locations) {
			fail("another place")
		}
	}
	return false
}

// outsideOurGrammar reports whether a document has definitions of types, which no server executes,
// or none at all. graphql-js refuses the first in validation, and the second as a syntax error.
func outsideOurGrammar(one languageCase, code string) bool {
	return one.Want.Verdict == "invalid" && code == "GRAPHQL_PARSE_FAILED" ||
		one.Want.Verdict == "syntax" && code == "GRAPHQL_VALIDATION_FAILED"
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

func inside(query string, at location) bool {
	lines := strings.Split(lineEnds.Replace(query), "\n")
	return at.Line >= 1 && at.Line <= len(lines) && at.Column >= 1 &&
		at.Column <= 1+2*len([]rune(lines[at.Line-1]))
}

// What graphql-js said of the recorded cases, without Node.js. With TEST_NODE=1 it is asked again,
// and -update records it anew.
func TestLanguage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(languageFile)
	if err != nil {
		t.Fatal(err)
	}
	var cases []languageCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("TEST_NODE") == "1" && withNode(t) {
		asked := askGraphQLJS(t, cases)
		if *update {
			if err := os.WriteFile(languageFile, encodeCases(t, asked), 0o644); err != nil {
				t.Fatal(err)
			}
			cases = asked
		}
		for i, one := range cases {
			if !reflect.DeepEqual(one.Want, asked[i].Want) {
				t.Errorf("%q with %s: recorded is %+v, graphql-js says %+v; record it anew with "+
					"-update", one.Query, one.Variables, one.Want, asked[i].Want)
			}
		}
	}
	server, verdicts, located, elsewhere := newEcho(), map[string]int{}, 0, 0
	for _, one := range cases {
		if one.Want == nil {
			t.Fatalf("%q has no answer of graphql-js: run TEST_NODE=1 go test -run "+
				"'TestLanguage$' ./e2e -update", one.Query)
		}
		verdicts[one.Want.Verdict]++
		if compareWithGraphQLJS(t, server, one) {
			t.Errorf("%q is over a limit", one.Query)
		}
		if got := ask(t, server, one.Query, one.Variables); len(got.Errors) > 0 &&
			len(got.Errors[0].Locations) > 0 && one.Want.Verdict != "ran" {
			located++
			if !slices.Contains(one.Want.Locations, got.Errors[0].Locations[0]) {
				elsewhere++
			}
		}
	}
	if located < 500 || elsewhere > 15 { // gqlparser has no place of a type's name, nor of an unknown argument
		t.Errorf("of %d first errors with a location, %d are elsewhere than graphql-js's", located,
			elsewhere)
	}
	for _, verdict := range []string{"syntax", "invalid", "refused", "ran"} {
		if verdicts[verdict] < 20 {
			t.Errorf("%d cases are %s, want more", verdicts[verdict], verdict)
		}
	}
}

// Documents that nobody thought of: the same ones in each run, and others with another TEST_SEED.
func TestRandomDocuments(t *testing.T) {
	t.Parallel()
	if !withNode(t) {
		return
	}
	seed := uint64(1)
	if text := os.Getenv("TEST_SEED"); text != "" {
		fmt.Sscan(text, &seed)
	}
	t.Logf("TEST_SEED=%d", seed)
	w := writer{Rand: rand.New(rand.NewPCG(seed, 0))}
	cases := make([]languageCase, 5_000)
	for i := range cases {
		cases[i] = w.write()
	}
	server, verdicts := newEcho(), map[string]int{}
	for _, one := range askGraphQLJS(t, cases) {
		if notForGo.MatchString(one.Query) {
			continue
		}
		if compareWithGraphQLJS(t, server, one) {
			one.Want.Verdict = "over a limit"
		}
		verdicts[one.Want.Verdict]++
	}
	t.Log(verdicts)
	for verdict, least := range map[string]int{"syntax": 500, "invalid": 250, "ran": 500} {
		if verdicts[verdict] < least {
			t.Errorf("%d documents are %s, want at least %d", verdicts[verdict], verdict, least)
		}
	}
	if verdicts["over a limit"] > len(cases)/20 {
		t.Errorf("%d of %d documents are over a limit", verdicts["over a limit"], len(cases))
	}
}

// notForGo finds what CloakQL may refuse where graphql-js doesn't: -0 as an ID, and integers of
// more than 64 bits. The recorded cases have them.
var notForGo = regexp.MustCompile(`-0([^.0-9eE]|$)|[0-9]{19}`)

// askGraphQLJS returns the cases with graphql-js's answers.
func askGraphQLJS(t *testing.T, cases []languageCase) []languageCase {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cases.json")
	if err := os.WriteFile(file, encodeCases(t, cases), 0o600); err != nil {
		t.Fatal(err)
	}
	answers := runNode[languageWant](t, "language.mjs", file)
	if len(answers) != len(cases) {
		t.Fatalf("graphql-js answers %d of %d cases", len(answers), len(cases))
	}
	asked := slices.Clone(cases)
	for i := range answers {
		if len(answers[i].Locations) == 0 { // an empty list is recorded as none
			answers[i].Locations = nil
		}
		asked[i].Want = &answers[i]
	}
	return asked
}

func encodeCases(t *testing.T, cases []languageCase) []byte {
	t.Helper()
	out := bytes.NewBufferString("[")
	for i, one := range cases {
		text, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			out.WriteString(",")
		}
		out.WriteString("\n")
		out.Write(text)
	}
	out.WriteString("\n]\n")
	return out.Bytes()
}

// A writer writes valid documents.
type writer struct {
	*rand.Rand
	out       strings.Builder
	variables []string // declared
}

func (w *writer) one(choices ...string) string { return choices[w.IntN(len(choices))] }

func (w *writer) often() bool  { return w.IntN(4) > 0 }
func (w *writer) rarely() bool { return w.IntN(8) == 0 }

// but is a value, or rarely one of those that aren't right in its place.
func (w *writer) but(value string, wrong ...string) string {
	if w.IntN(50) == 0 {
		return w.one(wrong...)
	}
	return value
}

func (w *writer) put(texts ...string) {
	for _, text := range texts {
		w.out.WriteString(text)
		if w.IntN(3) == 0 {
			w.out.WriteString(w.one(" ", "\n", "\r\n", "\r", ",", "\t", "# é🔑\"\n", "#\x01 {\r\n",
				"\ufeff"))
		}
	}
}

var variableTypes = map[string]string{
	"s": "String", "i": "Int", "f": "Float", "b": "Boolean", "id": "ID", "color": "Color", "in": "In", "list": "[String!]", "matrix": "[[Int]]", "need": "Need",
}

func (w *writer) write() languageCase {
	w.out.Reset()
	w.variables = nil
	w.description()
	if w.rarely() {
		w.put("\ufeff")
	}
	var values []string
	if w.often() {
		w.put("query ", w.one("", "Q", "on", "query", "fragment"))
		if w.often() {
			w.put("(")
			for range 1 + w.IntN(3) {
				name := w.argument()
				if slices.Contains(w.variables, name) {
					continue
				}
				w.description()
				kind, needed := variableTypes[name], w.IntN(20) == 0
				if needed {
					kind += "!"
				}
				w.put("$", name, ":", kind)
				w.variables = append(w.variables, name)
				if w.IntN(3) == 0 {
					w.put("=")
					w.value(name, true)
				}
				w.directive(true)
				if needed || w.often() {
					values = append(values, fmt.Sprintf("%q:%s", name, w.json(name, 2)))
				}
			}
			w.put(")")
		}
		w.directive(false)
	}
	w.selections(2)
	if strings.Contains(w.out.String(), "...F") {
		w.description()
		w.put("fragment ", "F ", "on ", "Query")
		w.directive(false)
		w.selections(1)
	}
	one := languageCase{Query: w.out.String(), Variables: "{" + strings.Join(values, ",") + "}"}
	if w.IntN(3) == 0 {
		for range 1 + w.IntN(3) {
			one.Query = w.breakIt(one.Query)
		}
	}
	return one
}

func (w *writer) description() {
	if w.rarely() {
		w.string()
	}
}

func (w *writer) argument() string {
	return w.one("s", "s", "i", "f", "b", "id", "color", "in", "list", "matrix", "need")
}

func (w *writer) selections(depth int) {
	w.put("{")
	for _, name := range w.variables { // which must be used
		w.put("use_", name, ":", "echo", "(", name, ":", "$", name, ")")
	}
	for range 1 + w.IntN(3) {
		switch kind := w.IntN(8); {
		case kind == 0 && depth > 1:
			w.put("...", "F")
			w.directive(false)
		case kind == 1 && depth > 0:
			w.put("...", w.one("", "on Query"))
			w.directive(false)
			w.selections(depth - 1)
		case kind == 2 && depth > 0:
			w.put("self ")
			w.directive(false)
			w.selections(depth - 1)
		default:
			w.put(w.one("a", "b", "c", "on", "null")+fmt.Sprint(w.IntN(1000)), ":", "echo")
			w.arguments()
			w.directive(false)
			w.put(" ")
		}
	}
	w.put("}")
}

func (w *writer) arguments() {
	if w.rarely() {
		return
	}
	w.put("(")
	seen := map[string]bool{}
	for range 1 + w.IntN(3) {
		if name := w.argument(); !seen[name] {
			seen[name] = true
			w.put(name, ":")
			w.value(name, false)
			w.put(" ")
		}
	}
	w.put(")")
}

func (w *writer) directive(constant bool) {
	if w.IntN(10) > 0 {
		return
	}
	w.put("@", "tag", "(", "name", ":")
	w.value("s", constant)
	w.put(")")
}

func (w *writer) string() {
	w.out.WriteString(w.stringText())
	w.put("")
}

func (w *writer) stringText() string {
	var text strings.Builder
	if w.IntN(3) == 0 {
		text.WriteString(`"""`)
		for range w.IntN(8) {
			text.WriteString(w.one("a", " ", "  ", "\t", "\n", "\n    ", "\n  ", "\r\n", "\r",
				"\r ", `\"""`, `"`, `""`, `\`, `\u0041`, "é", "🔑", "\x00", "\n\t", "\ufeff",
				"\u2028"))
		}
		text.WriteString(w.one("", "", "", " ", "\n") + `"""`)
		return text.String()
	}
	text.WriteString(`"`)
	for range w.IntN(6) {
		text.WriteString(w.one("a", " ", "\t", `\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`,
			`\u0041`, `\u00e9`, `\u0000`, `\uD83D\uDD11`, `\ud83d\udd11`, `\uFFFF`, `\u{1F511}`,
			`\u{41}`, `\u{0010FFFF}`, "é", "🔑", "\x00", "\x1f", "\x7f", "#", "{", "\ufeff",
			"\u2028"))
	}
	text.WriteString(`"`)
	return text.String()
}

func (w *writer) value(name string, constant bool) {
	if !constant && len(w.variables) > 0 && w.IntN(2) == 0 {
		for _, variable := range w.variables {
			if variable == name || w.IntN(64) == 0 {
				w.put("$", variable)
				return
			}
		}
	}
	if w.IntN(50) == 0 {
		name = w.argument() // of another type, mostly
	}
	switch name {
	case "s":
		w.string()
	case "i":
		w.put(w.but(w.one("0", "1", "-17", "2147483647", "-2147483648"), "2147483648",
			"-2147483649", "1.0", "99999999999999999999"))
	case "f":
		w.put(w.one("0", "-1", "1.5", "-0.25e3", "1E-2", "0.0", "2e+1", "1e308", "123456789012",
			"1.0000000000000002"))
	case "b":
		w.put(w.one("true", "false", "null"))
	case "id":
		w.put(w.one("1", "-1", "0", "9007199254740993", "2147483648", `"x"`, `""`, `"""y"""`))
	case "color":
		w.put(w.but(w.one("RED", "GREEN", "null"), "red", "BLUE", `"RED"`))
	case "list":
		w.list("s", constant)
	case "matrix":
		w.put("[")
		for range w.IntN(3) {
			w.list("i", constant)
		}
		w.put("]")
	case "in", "need":
		w.put("{")
		seen := map[string]bool{}
		if name == "need" && w.often() {
			w.put("s", ":")
			w.string()
		} else if name == "in" {
			for range w.IntN(3) {
				if member := w.one("s", "i", "f", "b", "id", "color", "list", "in",
					"preset"); !seen[member] || w.rarely() {
					seen[member] = true
					w.put(member, ":")
					if member == "preset" {
						member = "i"
					}
					w.value(member, constant)
					w.put(" ")
				}
			}
		}
		w.put("}")
	}
}

func (w *writer) list(of string, constant bool) {
	if w.rarely() {
		w.value(of, constant)
		return
	}
	w.put("[")
	for range w.IntN(3) {
		w.value(of, constant)
		w.put(" ")
	}
	w.put("]")
}

// json writes a value of a variable. Numbers are those that JavaScript keeps.
func (w *writer) json(name string, depth int) string {
	if w.IntN(20) == 0 {
		return w.one("null", "[]", "{}", "1", `"1"`, "true", "1.5", `[null]`, `["a"]`, "[[1]]",
			`{"__typename":"In"}`, `{"s":1}`, `"RED"`)
	}
	switch name {
	case "s":
		return w.one(`""`, `"a"`, `"\ud83d\udd11"`, `"🔑"`, `"\u0000"`, `"é\n"`, `"\\u{41}"`)
	case "i":
		return w.but(w.one("0", "1", "-17", "2147483647", "-2147483648"), "2147483648", "1.5",
			`"7"`)
	case "f":
		return w.but(w.one("0", "1.5", "-1e3", "1e308", "5000000000"), `"1.5"`, `"NaN"`)
	case "b":
		return w.but(w.one("true", "false"), "0", `"true"`)
	case "id":
		return w.but(w.one("1", "-1", `"x"`, "5000000000"), "1.5", "true")
	case "color":
		return w.but(w.one(`"RED"`, `"GREEN"`), `"red"`, `"BLUE"`, `"Red"`, "0")
	case "list":
		return w.but(w.one("[]", `["a"]`, `["a","b"]`, `"a"`, "null"), `[null]`, `[1]`)
	case "matrix":
		return w.but(w.one("[]", "[[1]]", "[[1,2],[null],null]", "null", "1", "[1,2]"), `[["a"]]`,
			"[[[1]]]", "[[1.5]]")
	}
	if depth == 0 {
		return "{}"
	}
	members, seen := []string{}, map[string]bool{}
	if name == "need" {
		seen["s"] = true
		members = append(members, `"s":`+w.json("s", 0))
	}
	for range w.IntN(3) {
		member := w.one("s", "i", "f", "b", "id", "color", "list", "in", "preset", "nowhere",
			"__typename")
		if name == "need" {
			member = w.one("s", "preset")
		}
		if seen[member] || (member == "__typename" || member == "nowhere") && w.IntN(20) > 0 {
			continue
		}
		seen[member] = true
		kind := member
		if member == "preset" {
			kind = "i"
		}
		members = append(members, fmt.Sprintf("%q:%s", member, w.json(kind, depth-1)))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// breakIt changes a document somewhere, between two characters.
func (w *writer) breakIt(query string) string {
	at := w.IntN(len(query) + 1)
	for at < len(query) && query[at]&0xC0 == 0x80 {
		at++
	}
	end := at
	if w.IntN(2) == 0 && at < len(query) {
		for end++; end < len(query) && query[end]&0xC0 == 0x80; {
			end++
		}
	}
	piece := ""
	if end == at || w.IntN(2) == 0 {
		piece = w.one(`"`, `""`, `"""`, `\`, `\u{1F511}`, `\uD83D`, `\uDD11`, `"\uD83D"`,
			`"\u{D83D}"`, `"\u{110000}"`, `"\u{}"`, `"\x"`, "\n", "\r", "\r\n", "\ufeff", "#", "{",
			"}", "(", ")", "[", "]",
			":", "$", "@", "...", "..", ".", "0", "01", "1a", "0xF1", "1.", "1.2.3", "1e", "-", "+", "e5", "a", " on ", "query", " fragment ", " F ", "!", "|", "&", "=", " ", ",", "🔑", "é", "\x00", "\x01",
			" null ", " true ", `"d"`, `"""d"""`, `$s`, `$nowhere`, "@tag", "'", ";", "\u00a0")
	}
	return query[:at] + piece + query[end:]
}
