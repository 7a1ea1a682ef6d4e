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

// A languageCase is a document with variables, and the result of graphql-js 16.15 for it.
type languageCase struct {
	Query string `json:"query"`
	// Variables is JSON as text, so that numbers keep their spelling.
	Variables string        `json:"variables,omitempty"`
	Want      *languageWant `json:"want,omitempty"`

	// Stricter explains why CloakQL rejects the case although graphql-js accepts it.
	Stricter string `json:"stricter,omitempty"`
}

// A languageWant is a result of graphql-js.
type languageWant struct {
	Verdict   string     `json:"verdict"` // syntax, invalid, refused, failed or ran
	Locations []location `json:"locations,omitempty"`
	Data      string     `json:"data,omitempty"` // JSON as text
}

const languageFile = "testdata/language.json"

// compareWithGraphQLJS checks that the echo and graphql-js both accept the document and get the
// same values, or that both reject it. Syntax errors must have the same location; other locations
// must be inside the document. It doesn't compare documents over a limit, for which it returns
// true.
func compareWithGraphQLJS(t *testing.T, server *handler.Server, c languageCase) (overLimit bool) {
	t.Helper()
	got, want := ask(t, server, c.Query, c.Variables), c.Want
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%q with %s: %s\n graphql-js: %+v\n CloakQL: %+v", c.Query, c.Variables,
			fmt.Sprintf(format, args...), *want, got)
	}
	code := ""
	if len(got.Errors) > 0 {
		code = got.Errors[0].Extensions.Code
	}
	// The second response uses the cached document.
	if again := ask(t, server, c.Query, c.Variables); !reflect.DeepEqual(got, again) {
		fail("the second response differs: %+v", again)
	}
	switch {
	case code == "OPERATION_TOO_LARGE":
		return true
	case want.Verdict == "ran" && c.Stricter != "":
		if code == "" {
			fail("CloakQL accepts it, but shouldn't: %s", c.Stricter)
		}
		return false
	case want.Verdict == "ran" && code != "":
		fail("CloakQL rejects it")
		return false
	case want.Verdict != "ran" && code == "":
		fail("CloakQL accepts it")
		return false
	case want.Verdict == "ran":
		var data any
		if err := json.Unmarshal([]byte(want.Data), &data); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Data, data) {
			fail("the values differ")
		}
		return false
	}
	if (want.Verdict == "syntax") != (code == "GRAPHQL_PARSE_FAILED") &&
		!inOtherStage(c, code) {
		fail("another stage rejects it")
	}
	for i, err := range got.Errors {
		for _, loc := range err.Locations {
			if !isInside(c.Query, loc) {
				fail("%v is outside the document", loc)
			}
		}
		if i == 0 && code == "GRAPHQL_PARSE_FAILED" && want.Verdict == "syntax" &&
			!reflect.DeepEqual(err.Locations, want.Locations) {
			fail("the location differs")
		}
	}
	return false
}

// inOtherStage reports whether CloakQL and graphql-js reject a document in different stages. That
// is right for documents with definitions of types, which graphql-js rejects in validation, and for
// documents without definitions, for which it reports a syntax error.
func inOtherStage(c languageCase, code string) bool {
	return c.Want.Verdict == "invalid" && code == "GRAPHQL_PARSE_FAILED" ||
		c.Want.Verdict == "syntax" && code == "GRAPHQL_VALIDATION_FAILED"
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// isInside reports whether a location is inside the document.
func isInside(query string, loc location) bool {
	lines := strings.Split(lineEnds.Replace(query), "\n")
	return loc.Line >= 1 && loc.Line <= len(lines) && loc.Column >= 1 &&
		loc.Column <= 1+2*len([]rune(lines[loc.Line-1]))
}

// CloakQL accepts and rejects documents as graphql-js does, according to its recorded results. With
// TEST_NODE=1, the test also checks that graphql-js still has these results, and -update records
// them again.
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
		fresh := runGraphQLJS(t, cases)
		if *update {
			if err := os.WriteFile(languageFile, encodeCases(t, fresh), 0o644); err != nil {
				t.Fatal(err)
			}
			cases = fresh
		}
		for i, c := range cases {
			if !reflect.DeepEqual(c.Want, fresh[i].Want) {
				t.Errorf("%q with %s: recorded result %+v, graphql-js returns %+v; record it "+
					"again with -update", c.Query, c.Variables, c.Want, fresh[i].Want)
			}
		}
	}
	server, verdicts := newEcho(), map[string]int{}
	locations, differing := 0, 0
	for _, c := range cases {
		if c.Want == nil {
			t.Fatalf("%q has no result of graphql-js: run TEST_NODE=1 go test -run "+
				"'TestLanguage$' ./e2e -update", c.Query)
		}
		verdicts[c.Want.Verdict]++
		if compareWithGraphQLJS(t, server, c) {
			t.Errorf("%q is over a limit", c.Query)
		}
		if got := ask(t, server, c.Query, c.Variables); len(got.Errors) > 0 &&
			len(got.Errors[0].Locations) > 0 && c.Want.Verdict != "ran" {
			locations++
			if !slices.Contains(c.Want.Locations, got.Errors[0].Locations[0]) {
				differing++
			}
		}
	}
	// gqlparser has no locations for type names and unknown arguments.
	if locations < 500 || differing > 15 {
		t.Errorf("%d of %d first errors have another location than with graphql-js, want at most "+
			"15 of at least 500", differing, locations)
	}
	for _, verdict := range []string{"syntax", "invalid", "refused", "ran"} {
		if verdicts[verdict] < 20 {
			t.Errorf("%d cases are %s, want at least 20", verdicts[verdict], verdict)
		}
	}
}

// CloakQL accepts and rejects random documents as graphql-js does. TEST_SEED selects other
// documents.
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
	for _, c := range runGraphQLJS(t, cases) {
		if unsupportedNumber.MatchString(c.Query) {
			continue
		}
		if compareWithGraphQLJS(t, server, c) {
			c.Want.Verdict = "over a limit"
		}
		verdicts[c.Want.Verdict]++
	}
	t.Log(verdicts)
	for verdict, min := range map[string]int{"syntax": 500, "invalid": 250, "ran": 500} {
		if verdicts[verdict] < min {
			t.Errorf("%d documents are %s, want at least %d", verdicts[verdict], verdict, min)
		}
	}
	if verdicts["over a limit"] > len(cases)/20 {
		t.Errorf("%d of %d documents are over a limit", verdicts["over a limit"], len(cases))
	}
}

// unsupportedNumber matches numbers that CloakQL may reject although graphql-js accepts them: -0 as
// an ID, and integers of more than 64 bits. The recorded cases cover them.
var unsupportedNumber = regexp.MustCompile(`-0([^.0-9eE]|$)|[0-9]{19}`)

// runGraphQLJS returns the cases with the results of graphql-js.
func runGraphQLJS(t *testing.T, cases []languageCase) []languageCase {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cases.json")
	if err := os.WriteFile(file, encodeCases(t, cases), 0o600); err != nil {
		t.Fatal(err)
	}
	results := runNode[languageWant](t, "language.mjs", file)
	if len(results) != len(cases) {
		t.Fatalf("graphql-js has %d results for %d cases", len(results), len(cases))
	}
	fresh := slices.Clone(cases)
	for i := range results {
		if len(results[i].Locations) == 0 { // an empty list is omitted from the file
			results[i].Locations = nil
		}
		fresh[i].Want = &results[i]
	}
	return fresh
}

// encodeCases returns the cases as JSON, one per line.
func encodeCases(t *testing.T, cases []languageCase) []byte {
	t.Helper()
	out := bytes.NewBufferString("[")
	for i, c := range cases {
		text, err := json.Marshal(c)
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
