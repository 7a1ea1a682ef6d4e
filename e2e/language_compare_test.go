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
	Query string `json:"query"`
	// JSON, as text: numbers keep their spelling
	Variables string        `json:"variables,omitempty"`
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
	// out of the cache
	if again := ask(t, server, one.Query, one.Variables); !reflect.DeepEqual(got, again) {
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
	// gqlparser has no place of a type's name, nor of an unknown argument
	if located < 500 || elsewhere > 15 {
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
