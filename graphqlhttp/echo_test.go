package graphqlhttp

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

const (
	canary       = "Canary_p4ssw0rd" // a name too, so that it can stand anywhere
	canaryDigits = "7403918265"
)

// checkNoEcho sends a request and wants nothing of the canary in what comes back or is observed.
func checkNoEcho(t *testing.T, name string, r *http.Request) answer {
	t.Helper()
	e := resolvers()
	// the others' echo isn't the server's
	e["echo"], e["need"], e["login"] = e["leaf"], e["leaf"], e["leaf"]
	a := askWith(t, Config{AllowGET: true, Introspection: true, MaxBodyBytes: 1 << 20}, e, r)
	all := fmt.Sprintf("%d %v %s %+v", a.Code, a.Header(), a.Body, a.outcome)
	for _, text := range []string{canary, canaryDigits, canary[:8], canary[len(canary)-8:],
		canaryDigits[:6]} {
		if strings.Contains(strings.ToLower(all), strings.ToLower(text)) {
			t.Errorf("%s: %q came back in %s", name, text, all)
			break
		}
	}
	return a
}

// A valid mutation with every kind of token in it.
const signIn = `mutation SignIn($p: String! = "x", $c: Color = RED) @tag(name: "t") {
  first: login(username: "alice", password: $p, color: $c, in: {s: "s", i: 5, f: 1.5, list: ["a", """b"""], color: GREEN}) {
    ...T @include(if: true)
    ... on Token { text }
  }
}
fragment T on Token { text } # the end`

var word = regexp.MustCompile(`[0-9A-Za-z_]`)

type piece struct {
	kind       lexer.Type
	start, end int
}

func pieces(t *testing.T, query string) []piece {
	t.Helper()
	var all []piece
	scanner := lexer.New(&ast.Source{Input: query})
	for {
		token, err := scanner.ReadToken()
		if err != nil {
			t.Fatal(err)
		}
		if token.Kind == lexer.EOF {
			return all
		}
		all = append(all, piece{token.Kind, token.Pos.Start, token.Pos.End})
	}
}

func TestTheMutationIsValid(t *testing.T) {
	a := ask(t, post(map[string]any{"query": signIn, "variables": map[string]any{"p": "x"}}))
	if len(
		a.outcome.Codes) != 0 {
		t.Fatalf("%s: then the tests below would test one error alone", a.Body)
	}
}

// The password of someone who built the query by hand may stand anywhere, in any form.
func TestNoLiteralComesBack(t *testing.T) {
	literals := map[string]string{
		"string":              `"` + canary + `"`,
		"string, escaped":     `"\u0041` + canary + `\n"`,
		"block string":        `"""` + canary + `"""`,
		"integer":             canaryDigits,
		"negative integer":    "-" + canaryDigits,
		"float":               canaryDigits + ".5e1",
		"broken integer":      "0" + canaryDigits,
		"broken float":        canaryDigits + ".",
		"number and letters":  canaryDigits + canary,
		"comment":             "#" + canary + "\n",
		"open string":         `"` + canary,
		"open string, broken": `"` + canary + "\n",
		"open block string":   `"""` + canary,
		"bad escape":          `"\x` + canary + `"`,
		"bad unicode escape":  `"\uZZZZ` + canary + `"`,
		"control character":   "\"" + canary + "\x01\"",
		"after an open quote": `"x` + "\n" + `"` + canary,
		"single quotes":       "'" + canary + "'",
		"dashes":              "%" + canary + "%",
		"half a spread":       ".." + canaryDigits,
		"list":                `["` + canary + `"]`,
		"object":              `{s: "` + canary + `"}`,
		"argument":            `(password: "` + canary + `")`,
		"name of a string":    `x: "` + canary + `"`,
		"default":             `= "` + canary + `"`,
	}
	for name, literal := range literals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, at := range pieces(t, signIn) {
				before := signIn[:at.start]
				if word.MatchString(before[max(0, len(before)-1):]) &&
					word.MatchString(literal[:1]) {
					before += " " // or it would be the end of a name
				}
				for how, query := range map[string]string{
					"before":      before + literal + " " + signIn[at.start:],
					"close to":    before + literal + signIn[at.start:],
					"instead of":  before + literal + signIn[at.end:],
					"and no more": before + literal,
				} {
					checkNoEcho(t, fmt.Sprintf("%s token %d %q", how, i, signIn[at.start:at.end]),
						post(map[string]any{"query": query, "variables": map[string]any{"p": "x"}}))
				}
			}
		})
	}
}

// An unquoted value is a bare word. Where a value is due it is treated like one.
func TestNoBareWordComesBackWhereAValueIsDue(t *testing.T) {
	for i, at := range pieces(t, signIn) {
		value := at.kind == lexer.String || at.kind == lexer.BlockString || at.kind == lexer.Int ||
			at.kind == lexer.Float ||
			slices.Contains([]string{"RED", "GREEN", "true"}, signIn[at.start:at.end])
		if !value {
			continue
		}
		query := signIn[:at.start] + canary + signIn[at.end:]
		a := checkNoEcho(t, fmt.Sprintf("instead of token %d %q", i, signIn[at.start:at.end]),
			postQuery(query))
		if code := codeOf(t, a); code != "GRAPHQL_VALIDATION_FAILED" {
			t.Errorf("instead of token %d %q: %s", i, signIn[at.start:at.end], code)
		}
	}
}

// In a document that doesn't parse nobody knows what is a name: none comes back.
func TestNoBareWordComesBackOutOfASyntaxError(t *testing.T) {
	refused := 0
	for _, word := range []string{canary, canary + `"`, canary + `" "`, `"` + canary,
		canary + " " + canary, "$" + canary + "$", canary + "!" + canary} {
		for i, at := range pieces(t, signIn) {
			query := signIn[:at.start] + " " + word + " " + signIn[at.start:]
			a := askWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
				postQuery(query))
			if !slices.Equal(a.outcome.Codes, []string{"GRAPHQL_PARSE_FAILED"}) {
				continue // it happens to be GraphQL, and the word a name
			}
			refused++
			checkNoEcho(t, fmt.Sprintf("%s before token %d %q", word, i, signIn[at.start:at.end]),
				postQuery(query))
		}
	}
	if refused < 100 {
		t.Errorf("only %d documents didn't parse: the test tests too little", refused)
	}
}

func TestNoVariableComesBack(t *testing.T) {
	quoted := `"` + canary + `"`
	for _, tt := range []struct{ declared, variables string }{
		{"Int", quoted}, {"Int", canaryDigits + ".5"}, {"Int", canaryDigits + canaryDigits + canaryDigits}, {"Int", "[" + quoted + "]"},
		{"Float", quoted}, {"Boolean", quoted}, {"Boolean", canaryDigits}, {"String", canaryDigits}, {"String", canaryDigits + "e999"},
		{"String", "[" + quoted + "]"}, {"String", `{` + quoted + `:` + quoted + `}`}, {"ID", "[" + quoted + "]"}, {"ID", canaryDigits + ".5"},
		{"Color", quoted}, {"Color", canaryDigits}, {"Color", "[" + quoted + "]"}, {"Color", `"RED\u0000` + canary + `"`},
		{"[String!]", `["x",` + canaryDigits + `]`}, {"[[Int]]", `[[1],[2,` + quoted + `]]`}, {"[[Int]]", quoted},
		{"In", quoted}, {"In", `{` + quoted + `:1}`}, {"In", `{"i":` + quoted + `}`}, {"In", `{"in":{"in":{"color":` + quoted + `}}}`},
		{"In", `{"in":{` + quoted + `:{}}}`}, {"In", `{"x.` + canary + `[0]":1}`}, {"In", `{"` + canary + `.x":1}`}, {"In", `{"list":[` + canaryDigits + `]}`},
	} {
		fields := map[string]string{"Int": "i", "Float": "f", "Boolean": "b", "String": "s",
			"ID": "id", "Color": "color", "[String!]": "list", "[[Int]]": "matrix", "In": "in"}
		body := fmt.Sprintf(`{"query":"query ($v: %s) { echo(%s: $v) }","variables":{"v":%s}}`,
			tt.declared, fields[tt.declared], tt.variables)
		checkNoEcho(t, tt.declared+" "+tt.variables, postText(body))
		// A variable that nobody declared, and one with a name that GraphQL doesn't know.
		checkNoEcho(t, "undeclared "+tt.variables,
			postText(fmt.Sprintf(`{"query":"{ leaf }","variables":{"v":%s,%q:1}}`, tt.variables,
				canary)))
	}
}

func TestNothingElseOfARequestComesBack(t *testing.T) {
	bodies := map[string]string{
		"garbage":                 canary,
		"a form":                  "password=" + canary,
		"a document":              `mutation { login(password: "` + canary + `") { text } }`,
		"half a string":           `{"query":"` + canary,
		"a bare member":           `{` + canary + `:1}`,
		"a bare value":            `{"query":` + canary + `}`,
		"after the end":           `{"query":"{ leaf }"}` + canary,
		"a bad escape":            `{"query":"\x` + canary + `"}`,
		"invalid UTF-8":           `{"query":"` + canary + "\xff" + `"}`,
		"an unknown member":       `{"` + canary + `":"` + canary + `"}`,
		"the query a list":        `{"query":["` + canary + `"]}`,
		"operationName":           `{"query":"query A { leaf }","operationName":"` + canary + `"}`,
		"operationName of two":    `{"query":"query A { leaf } query B { leaf }","operationName":"` + canary + `"}`,
		"operationName, a number": `{"query":"{ leaf }","operationName":` + canaryDigits + `}`,
		"variables":               `{"query":"{ leaf }","variables":"` + canary + `"}`,
		"extensions":              `{"query":"{ leaf }","extensions":"` + canary + `"}`,
		"a persisted query": `{"extensions":{"persistedQuery":{"sha256Hash":"` + canary +
			`"}}}`,
		"a batch":        `["` + canary + `"]`,
		"a member twice": `{"` + canary + `":1,"` + canary + `":2}`,
		"twice, inside":  `{"` + canary + `":{"` + canary + `":1,"` + canary + `":2}}`,
		"deep inside": `{"` + canary + `":` + strings.Repeat(`{"`+canary+`":`, 100) +
			`1}`,
		"a large number inside": `{"` + canary + `":[` + canaryDigits + `e999]}`,
		"too many values inside": `{"` + canary + `":[` + strings.Repeat(canaryDigits+",", 3000) +
			`1]}`,
		"too long": `{"query":"` + canary + strings.Repeat(" ", 1<<20) + `"}`,
	}
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		checkNoEcho(t, name, postText(bodies[name]))
	}
	for _, query := range []string{
		canary, "%zz" + canary, "query=" + canary + "%zz", "query={leaf};" + canary,
		canary + "=1&" + canary + "=2", "query={leaf}&variables=" + canary,
		"query={leaf}&variables={}" + canary, "query={leaf}&extensions=" + canary,
		"query={leaf}&operationName=" + canary, "query=" + url.QueryEscape(`{ need(s: "`+canary),
		"query=%ff" + canary,
		"query=" + url.QueryEscape(`mutation { login(username: "`+canary+`") { text } }`),
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = query
		checkNoEcho(t, query, r)
	}
	for _, header := range []string{"Accept", "Content-Type", "Content-Encoding", "Authorization",
		"Cookie", "X-Request-Id"} {
		r := postQuery("{ leaf }")
		r.Header.Set(header, canary)
		checkNoEcho(t, header, r)
	}
	r := postQuery("{ leaf }")
	r.Method = canary
	checkNoEcho(t, "method", r)
	r = postQuery("{ leaf }")
	r.Header.Set("Content-Type", `application/json; charset="`+canary+`"`)
	checkNoEcho(t, "charset", r)
}

// Names help whoever wrote the document, up to a length at which they help someone else.
func TestNamesAreCut(t *testing.T) {
	long := strings.Repeat("n", 10_000)
	for name, query := range map[string]string{
		"field":                "{ NAME }",
		"field of a type":      "{ person { NAME } }",
		"argument":             "{ leaf(NAME: 1) }",
		"argument, directive":  "{ leaf @tag(NAME: 1) }",
		"directive":            "{ leaf @NAME }",
		"type of a variable":   "query ($v: NAME) { leaf }",
		"type of a fragment":   "{ ...F } fragment F on NAME { leaf }",
		"type condition":       "{ ... on NAME { leaf } }",
		"unknown fragment":     "{ ...NAME }",
		"unused fragment":      "{ leaf } fragment NAME on Query { leaf }",
		"fragment twice":       "{ ...NAME } fragment NAME on Query { leaf } fragment NAME on Query { leaf }",
		"fragment in itself":   "{ ...NAME } fragment NAME on Query { ...NAME }",
		"undefined variable":   "{ need(s: $NAME) }",
		"undefined, operation": "query NAME { need(s: $NAME) }",
		"unused variable":      "query NAME($NAME: Int) { leaf }",
		"variable twice":       "query ($NAME: Int, $NAME: Int) { echo(i: $NAME) }",
		"variable's place":     "query ($NAME: Int) { need(s: $NAME) }",
		"operation twice":      "query NAME { leaf } query NAME { leaf }",
		"alias in conflict":    "{ NAME: leaf NAME: person { name } }",
		"input field":          "{ echo(in: {NAME: 1}) }",
		"input field twice":    "{ echo(in: {NAME: 1, NAME: 2}) }",
		"argument twice":       "{ need(s: \"\", NAME: 1, NAME: 2) }",
		"enum value":           "{ echo(color: NAME) }",
		"variable's value":     "query NAME($NAME: String!) { need(s: $NAME) }",
		"at the root":          "NAME",
		"after the name":       "query NAME NAME { leaf }",
	} {
		r := postQuery(strings.ReplaceAll(query, "NAME", long))
		a := askWith(t, Config{AllowGET: true, Introspection: true}, resolvers(), r)
		if len(a.outcome.Codes) == 0 {
			t.Errorf("%s: no error: %s", name, a.Body)
		}
		if strings.Contains(a.Body.String()+fmt.Sprint(a.outcome), long[:65]) {
			t.Errorf("%s: more than 64 bytes of a name came back", name)
		}
		// At 64 bytes a name is whole.
		short := strings.Repeat("n", 64)
		a = askWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
			postQuery(strings.ReplaceAll(query, "NAME", short)))
		if text := a.Body.String(); strings.Contains(text, "nnn") &&
			!strings.Contains(text, short) {
			t.Errorf("%s: a name of 64 bytes was cut: %s", name, text)
		}
	}
	a := ask(t, postQuery("{ "+strings.Repeat("n", 65)+" }"))
	want := `Cannot query field \"` + strings.Repeat("n", 61) +
		`...\" on type \"Query\".`
	if !strings.Contains(a.Body.String(), want) {
		t.Errorf("%s, want %s in it", a.Body, want)
	}
}

// Misspelt names, each close to one of the schema.
var misspelt = map[string]struct{ query, secret string }{
	"field":              {"{ perso { name } }", "person"},
	"nested field":       {"{ person { nam } }", `"name"`},
	"field of a query":   {"{ requestid }", "requestID"},
	"argument":           {"{ echo(colour: RED) }", `"color"`},
	"required argument":  {"{ need(t: \"\") }", `"u"`},
	"directive argument": {"{ leaf @tag(nam: \"\") }", `"name"`},
	"directive":          {"{ leaf @tagg }", "@tag\\"},
	"type":               {"{ ... on Quer { leaf } }", "Query\""},
	"fragment's type":    {"{ ...F } fragment F on Quer { leaf }", `"Query\"`},
	"variable's type":    {"query ($v: Colour) { leaf }", `"Color\"`},
	"enum value":         {"{ echo(color: GREE) }", "GREEN"},
	"enum value, quoted": {"{ echo(color: \"GREE\") }", "GREEN"},
	"enum in an object":  {"{ echo(in: {color: GREE}) }", "GREEN"},
	"input field":        {"{ echo(in: {lis: []}) }", `"list"`},
	"leaf selection":     {"{ person }", "name"},
	"mutation":           {"mutation { logi { text } }", "login"},
}

func TestNothingIsSuggestedInProduction(t *testing.T) {
	for name, tt := range misspelt {
		a := askWith(t, Config{AllowGET: true}, resolvers(), postQuery(tt.query))
		text := a.Body.String()
		if len(a.outcome.Codes) == 0 {
			t.Errorf("%s: no error", name)
		}
		if strings.Contains(text, "Did you mean") || strings.Contains(text, tt.secret) {
			t.Errorf("%s: %s", name, text)
		}
	}
	// A variable's value is compared with the schema as well.
	for _, variables := range []string{`{"v":{"color":"GREE"}}`, `{"v":{"lis":[]}}`} {
		text := askWith(t, Config{AllowGET: true}, resolvers(),
			postText(`{"query":"query ($v: In) { echo(in: $v) }","variables":`+variables+
				`}`)).Body.String()
		if strings.Contains(text, "Did you mean") || strings.Contains(text, "GREEN") ||
			strings.Contains(text, "list") {
			t.Errorf("%s: %s", variables, text)
		}
	}
}

// The other way round, or the test above would prove nothing: with gqlgen's own rules they are
// there.
func TestSuggestionsStandWhereNobodyTookThemOut(t *testing.T) {
	server := handler.New(resolvers())
	server.AddTransport(newTransport(Config{AllowGET: true, Introspection: true}))
	suggested := 0
	for _, tt := range misspelt {
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, postQuery(tt.query))
		if strings.Contains(recorder.Body.String(), "Did you mean") {
			suggested++
		}
	}
	if suggested < 5 {
		t.Errorf("%d suggestions, want more", suggested)
	}
}

func TestAtMostFiveErrors(t *testing.T) {
	for n, want := range map[int]int{1: 1, 5: 5, 6: 5, 90: 5} {
		var query strings.Builder
		for i := range n {
			fmt.Fprintf(&query, " f%d", i)
		}
		var content struct{ Errors []json.RawMessage }
		err := json.Unmarshal(ask(t, postQuery("{"+query.String()+" }")).Body.Bytes(), &content)
		if err != nil || len(content.Errors) != want {
			t.Errorf("%d faults: %d errors, %v; want %d", n, len(content.Errors), err, want)
		}
	}
}

// A new rule of gqlparser may put literals into its message. Read the rule when you upgrade, and
// adds it here, or to namingRules if its messages hold only names.
func TestEveryRuleIsKnown(t *testing.T) {
	holdLiterals := []string{"OverlappingFieldsCanBeMerged", "ValuesOfCorrectType"}
	known := map[string]bool{}
	for _, set := range []*rules.Rules{rules.NewDefaultRules()} {
		for name := range set.GetInner() {
			known[name] = true
			if namingRules[name] == 0 && !slices.Contains(holdLiterals, name) {
				t.Errorf("rule %s is new: what does its message hold?", name)
			}
		}
	}
	for _, name := range holdLiterals {
		if namingRules[name] != 0 {
			t.Errorf("the message of rule %s holds literals", name)
		}
		if !known[name] {
			t.Errorf("rule %s is gone", name)
		}
	}
	for name := range namingRules {
		if !known[strings.TrimSuffix(name, "WithoutSuggestions")] {
			t.Errorf("rule %s is gone", name)
		}
	}
}
