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

// A languageCase is a document with variables, and the result that graphql-js 16.15 has for them.
type languageCase struct {
	Query string `json:"query"`
	// Variables is JSON as text, so that numbers keep their spelling.
	Variables string          `json:"variables,omitempty"`
	Want      *languageResult `json:"want,omitempty"`

	// StricterReason explains why CloakQL rejects the case although graphql-js accepts it.
	StricterReason string `json:"stricter,omitempty"`
}

// A languageResult is graphql-js's result for a case. The tests compare CloakQL's result with it.
type languageResult struct {
	Verdict   string     `json:"verdict"` // syntax, invalid, refused (no data), failed or ran
	Locations []location `json:"locations,omitempty"`
	Data      string     `json:"data,omitempty"` // JSON as text
}

const languageFile = "testdata/language.json"

// compareWithGraphQLJS checks that the echo and graphql-js both accept the document and get the
// same values, or that both reject it. Syntax errors must have the same location; other locations
// must be inside the document. If the document is over one of CloakQL's limits,
// compareWithGraphQLJS returns true without comparing.
func compareWithGraphQLJS(t *testing.T, server *handler.Server, c languageCase) (overLimit bool) {
	t.Helper()
	got, want := queryEcho(t, server, c.Query, c.Variables), c.Want
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
	if second := queryEcho(t, server, c.Query, c.Variables); !reflect.DeepEqual(got, second) {
		fail("the second response differs: %+v", second)
	}
	switch {
	case code == "OPERATION_TOO_LARGE":
		return true
	case want.Verdict == "ran" && c.StricterReason != "":
		if code == "" {
			fail("CloakQL accepts it, but shouldn't: %s", c.StricterReason)
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
		!mayDifferInStage(c, code) {
		fail("CloakQL and graphql-js reject it in different stages")
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

// mayDifferInStage reports whether CloakQL may reject a document with this code although graphql-js
// rejects it in another stage. There are two such kinds of documents: documents with type
// definitions, which graphql-js rejects in validation, and documents without definitions, for which
// graphql-js reports a syntax error.
func mayDifferInStage(c languageCase, code string) bool {
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
	if os.Getenv("TEST_NODE") == "1" && hasNode(t) {
		newCases := runGraphQLJS(t, cases)
		if *update {
			if err := os.WriteFile(languageFile, encodeCases(t, newCases), 0o644); err != nil {
				t.Fatal(err)
			}
			cases = newCases
		}
		for i, c := range cases {
			if !reflect.DeepEqual(c.Want, newCases[i].Want) {
				t.Errorf("%q with %s: recorded result %+v, but graphql-js returns %+v; record "+
					"it again with -update", c.Query, c.Variables, c.Want, newCases[i].Want)
			}
		}
	}
	server, verdictCounts := newEcho(), map[string]int{}
	locationCount, differentCount := 0, 0
	for _, c := range cases {
		if c.Want == nil {
			t.Fatalf("%q has no result of graphql-js: run TEST_NODE=1 go test -run "+
				"'TestLanguage$' ./e2e -update", c.Query)
		}
		verdictCounts[c.Want.Verdict]++
		if compareWithGraphQLJS(t, server, c) {
			t.Errorf("%q is over a limit, want every case within the limits", c.Query)
		}
		if got := queryEcho(t, server, c.Query, c.Variables); len(got.Errors) > 0 &&
			len(got.Errors[0].Locations) > 0 && c.Want.Verdict != "ran" {
			locationCount++
			if !slices.Contains(c.Want.Locations, got.Errors[0].Locations[0]) {
				differentCount++
			}
		}
	}
	// A few locations may differ, since gqlparser has none for type names and unknown arguments.
	if locationCount < 500 || differentCount > 15 {
		t.Errorf("%d of %d first errors have another location than with graphql-js, want at most "+
			"15 of at least 500", differentCount, locationCount)
	}
	for _, verdict := range []string{"syntax", "invalid", "refused", "ran"} {
		if verdictCounts[verdict] < 20 {
			t.Errorf("%d cases have the verdict %s, want at least 20", verdictCounts[verdict],
				verdict)
		}
	}
}

// CloakQL accepts and rejects random documents as graphql-js does. TEST_SEED selects other
// documents.
func TestRandomDocuments(t *testing.T) {
	t.Parallel()
	if !hasNode(t) {
		return
	}
	seed := uint64(1)
	if text := os.Getenv("TEST_SEED"); text != "" {
		fmt.Sscan(text, &seed)
	}
	t.Logf("TEST_SEED=%d", seed)
	w := documentWriter{Rand: rand.New(rand.NewPCG(seed, 0))}
	cases := make([]languageCase, 5_000)
	for i := range cases {
		cases[i] = w.newCase()
	}
	server, verdictCounts := newEcho(), map[string]int{}
	for _, c := range runGraphQLJS(t, cases) {
		if unsupportedNumberPattern.MatchString(c.Query) {
			continue
		}
		if compareWithGraphQLJS(t, server, c) {
			c.Want.Verdict = "over a limit"
		}
		verdictCounts[c.Want.Verdict]++
	}
	t.Log(verdictCounts)
	for verdict, minCount := range map[string]int{"syntax": 500, "invalid": 250, "ran": 500} {
		if verdictCounts[verdict] < minCount {
			t.Errorf("%d documents have the verdict %s, want at least %d", verdictCounts[verdict],
				verdict, minCount)
		}
	}
	if verdictCounts["over a limit"] > len(cases)/20 {
		t.Errorf("%d of %d documents are over a limit, want at most a twentieth",
			verdictCounts["over a limit"], len(cases))
	}
}

// unsupportedNumberPattern matches numbers that CloakQL may reject although graphql-js accepts
// them: -0 as an ID, and integers of more than 64 bits. The recorded cases cover them.
var unsupportedNumberPattern = regexp.MustCompile(`-0([^.0-9eE]|$)|[0-9]{19}`)

// runGraphQLJS returns the cases with the results of graphql-js.
func runGraphQLJS(t *testing.T, cases []languageCase) []languageCase {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cases.json")
	if err := os.WriteFile(file, encodeCases(t, cases), 0o600); err != nil {
		t.Fatal(err)
	}
	results := runNode[languageResult](t, "language.mjs", file)
	if len(results) != len(cases) {
		t.Fatalf("graphql-js returned %d results for %d cases", len(results), len(cases))
	}
	newCases := slices.Clone(cases)
	for i := range results {
		if len(results[i].Locations) == 0 { // an empty list is omitted from the file
			results[i].Locations = nil
		}
		newCases[i].Want = &results[i]
	}
	return newCases
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
