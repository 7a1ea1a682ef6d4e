package graphqlhttp

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"
)

// Tests put canaries into requests, and check that neither the response nor the outcome contains
// one.
const (
	canary       = "Canary_p4ssw0rd" // also a valid name
	canaryDigits = "7403918265"
)

// checkNoEcho sends a request and checks that no part of a canary is in the response or the
// outcome.
func checkNoEcho(t *testing.T, name string, r *http.Request) result {
	t.Helper()
	resolverMap := resolvers()
	// Only this package's messages are tested, so no resolver may echo its arguments.
	for _, name := range []string{"echo", "need", "login"} {
		resolverMap[name] = resolverMap["leaf"]
	}
	res := sendWith(
		t, Config{AllowGET: true, Introspection: true, MaxBodyBytes: 1 << 20}, resolverMap, r)
	output := fmt.Sprintf("%d %v %s %+v", res.Code, res.Header(), res.Body, res.outcome)
	for _, text := range []string{canary, canaryDigits, canary[:8], canary[len(canary)-8:],
		canaryDigits[:6]} {
		if strings.Contains(strings.ToLower(output), strings.ToLower(text)) {
			t.Errorf("%s: response and outcome %s, want no %q in them", name, output, text)
			break
		}
	}
	return res
}

// loginMutation is a valid mutation with every kind of token.
const loginMutation = `mutation SignIn($p: String! = "x", $c: Color = RED) @tag(name: "t") {
  first: login(username: "alice", password: $p, color: $c, in: {s: "s", i: 5, f: 1.5, list: ["a", """b"""], color: GREEN}) {
    ...T @include(if: true)
    ... on Token { text }
  }
}
fragment T on Token { text } # the end`

// nameCharacterPattern matches characters that GraphQL names consist of.
var nameCharacterPattern = regexp.MustCompile(`[0-9A-Za-z_]`)

// A queryToken is a token of a query, with its offsets.
type queryToken struct {
	kind       lexer.Type
	start, end int
}

// queryTokens returns gqlparser's tokens of a query.
func queryTokens(t *testing.T, query string) []queryToken {
	t.Helper()
	var found []queryToken
	scanner := lexer.New(&ast.Source{Input: query})
	for {
		next, err := scanner.ReadToken()
		if err != nil {
			t.Fatal(err)
		}
		if next.Kind == lexer.EOF {
			return found
		}
		found = append(found, queryToken{next.Kind, next.Pos.Start, next.Pos.End})
	}
}

// TestNoEcho_mutationIsValid checks that loginMutation is valid. Otherwise, all tests that insert
// something into it would test the same error.
func TestNoEcho_mutationIsValid(t *testing.T) {
	res := send(t,
		post(map[string]any{"query": loginMutation, "variables": map[string]any{"p": "x"}}))
	if len(res.outcome.Codes) != 0 {
		t.Fatalf("loginMutation: %s, want no error", res.Body)
	}
}

// TestNoEcho_literals checks that a literal isn't echoed at any position of loginMutation. If a
// client builds the query from strings, a password may end up anywhere, in any form.
func TestNoEcho_literals(t *testing.T) {
	literals := map[string]string{
		"string":                        `"` + canary + `"`,
		"escaped string":                `"\u0041` + canary + `\n"`,
		"block string":                  `"""` + canary + `"""`,
		"integer":                       canaryDigits,
		"negative integer":              "-" + canaryDigits,
		"float":                         canaryDigits + ".5e1",
		"integer with a leading zero":   "0" + canaryDigits,
		"float without a fraction":      canaryDigits + ".",
		"number and letters":            canaryDigits + canary,
		"comment":                       "#" + canary + "\n",
		"unclosed string":               `"` + canary,
		"string with a line break":      `"` + canary + "\n",
		"unclosed block string":         `"""` + canary,
		"bad escape":                    `"\x` + canary + `"`,
		"bad unicode escape":            `"\uZZZZ` + canary + `"`,
		"control character":             "\"" + canary + "\x01\"",
		"name after an unclosed string": `"x` + "\n" + `"` + canary,
		"single quotes":                 "'" + canary + "'",
		"percent signs":                 "%" + canary + "%",
		"half a spread":                 ".." + canaryDigits,
		"list":                          `["` + canary + `"]`,
		"object":                        `{s: "` + canary + `"}`,
		"argument":                      `(password: "` + canary + `")`,
		"string after a name":           `x: "` + canary + `"`,
		"default value":                 `= "` + canary + `"`,
	}
	for name, literal := range literals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, token := range queryTokens(t, loginMutation) {
				before := loginMutation[:token.start]
				if nameCharacterPattern.MatchString(before[max(0, len(before)-1):]) &&
					nameCharacterPattern.MatchString(literal[:1]) {
					before += " " // so that the literal doesn't extend the name before it
				}
				text := loginMutation[token.start:token.end]
				for position, query := range map[string]string{
					"before": before + literal + " " +
						loginMutation[token.start:],
					"directly before":            before + literal + loginMutation[token.start:],
					"instead of":                 before + literal + loginMutation[token.end:],
					"instead of everything from": before + literal,
				} {
					checkNoEcho(t, fmt.Sprintf("%s token %d %q", position, i, text),
						post(map[string]any{"query": query, "variables": map[string]any{"p": "x"}}))
				}
			}
		})
	}
}

// TestNoEcho_unquotedValues checks that a name in the place of a value isn't echoed: it may be a
// password whose quotes are missing.
func TestNoEcho_unquotedValues(t *testing.T) {
	for i, token := range queryTokens(t, loginMutation) {
		text := loginMutation[token.start:token.end]
		isValue := token.kind == lexer.String || token.kind == lexer.BlockString ||
			token.kind == lexer.Int || token.kind == lexer.Float ||
			slices.Contains([]string{"RED", "GREEN", "true"}, text)
		if !isValue {
			continue
		}
		query := loginMutation[:token.start] + canary + loginMutation[token.end:]
		res := checkNoEcho(t, fmt.Sprintf("instead of token %d %q", i, text), postQuery(query))
		if code := codeOf(t, res); code != "GRAPHQL_VALIDATION_FAILED" {
			t.Errorf("instead of token %d %q: code %s, want GRAPHQL_VALIDATION_FAILED", i, text,
				code)
		}
	}
}

// TestNoEcho_syntaxErrors checks that a syntax error echoes no names: any name may be part of a
// string.
func TestNoEcho_syntaxErrors(t *testing.T) {
	syntaxErrors := 0
	for _, inserted := range []string{canary, canary + `"`, canary + `" "`, `"` + canary,
		canary + " " + canary, "$" + canary + "$", canary + "!" + canary} {
		for i, token := range queryTokens(t, loginMutation) {
			before, after := loginMutation[:token.start], loginMutation[token.start:]
			query := before + " " + inserted + " " + after
			res := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
				postQuery(query))
			if !slices.Equal(res.outcome.Codes, []string{"GRAPHQL_PARSE_FAILED"}) {
				continue // it happens to be valid syntax
			}
			syntaxErrors++
			checkNoEcho(t,
				fmt.Sprintf("%s before token %d %q", inserted, i,
					loginMutation[token.start:token.end]),
				postQuery(query))
		}
	}
	if syntaxErrors < 100 {
		t.Errorf("%d documents have a syntax error, want at least 100", syntaxErrors)
	}
}

// TestNoEcho_variables checks that values of variables, and names in them, aren't echoed.
func TestNoEcho_variables(t *testing.T) {
	quotedCanary := `"` + canary + `"`
	for _, tt := range []struct{ typeName, value string }{
		{"Int", quotedCanary}, {"Int", canaryDigits + ".5"}, {"Int", canaryDigits + canaryDigits +
			canaryDigits}, {"Int", "[" + quotedCanary + "]"},
		{"Float", quotedCanary}, {"Boolean", quotedCanary}, {"Boolean", canaryDigits}, {"String",
			canaryDigits}, {"String", canaryDigits + "e999"},
		{"String", "[" + quotedCanary + "]"}, {"String", `{` + quotedCanary + `:` + quotedCanary +
			`}`}, {"ID", "[" + quotedCanary + "]"}, {"ID", canaryDigits + ".5"},
		{"Color", quotedCanary}, {"Color", canaryDigits}, {"Color", "[" + quotedCanary +
			"]"}, {"Color", `"RED\u0000` + canary + `"`},
		{"[String!]", `["x",` + canaryDigits + `]`}, {"[[Int]]", `[[1],[2,` + quotedCanary +
			`]]`}, {"[[Int]]", quotedCanary},
		{"In", quotedCanary}, {"In", `{` + quotedCanary + `:1}`}, {"In", `{"i":` + quotedCanary +
			`}`}, {"In", `{"in":{"in":{"color":` + quotedCanary + `}}}`},
		{"In", `{"in":{` + quotedCanary + `:{}}}`}, {"In", `{"x.` + canary + `[0]":1}`}, {"In",
			`{"` + canary + `.x":1}`}, {"In", `{"list":[` + canaryDigits + `]}`},
	} {
		arguments := map[string]string{"Int": "i", "Float": "f", "Boolean": "b", "String": "s",
			"ID": "id", "Color": "color", "[String!]": "list", "[[Int]]": "matrix", "In": "in"}
		body := fmt.Sprintf(`{"query":"query ($v: %s) { echo(%s: $v) }","variables":{"v":%s}}`,
			tt.typeName, arguments[tt.typeName], tt.value)
		checkNoEcho(t, tt.typeName+" "+tt.value, postBody(body))
		// The document declares neither of the two variables.
		checkNoEcho(t, "undeclared "+tt.value,
			postBody(fmt.Sprintf(`{"query":"{ leaf }","variables":{"v":%s,%q:1}}`, tt.value,
				canary)))
	}
}

// TestNoEcho_requests checks that parts of malformed bodies, query strings and headers aren't
// echoed.
func TestNoEcho_requests(t *testing.T) {
	bodies := map[string]string{
		"not JSON":  canary,
		"form data": "password=" + canary,
		"bare document": `mutation { login(password: "` + canary +
			`") { text } }`,
		"unclosed string":     `{"query":"` + canary,
		"unquoted name":       `{` + canary + `:1}`,
		"unquoted value":      `{"query":` + canary + `}`,
		"text after the JSON": `{"query":"{ leaf }"}` + canary,
		"bad escape":          `{"query":"\x` + canary + `"}`,
		"invalid UTF-8":       `{"query":"` + canary + "\xff" + `"}`,
		"unknown field":       `{"` + canary + `":"` + canary + `"}`,
		"query is a list":     `{"query":["` + canary + `"]}`,
		"unknown operationName": `{"query":"query A { leaf }","operationName":"` +
			canary + `"}`,
		"unknown operationName, two operations": `{"query":"query A { leaf } query B { leaf ` +
			`}","operationName":"` + canary + `"}`,
		"number as operationName": `{"query":"{ leaf }","operationName":` +
			canaryDigits + `}`,
		"string as variables": `{"query":"{ leaf }","variables":"` + canary +
			`"}`,
		"string as extensions": `{"query":"{ leaf }","extensions":"` + canary +
			`"}`,
		"persisted query": `{"extensions":{"persistedQuery":{"sha256Hash":"` + canary +
			`"}}}`,
		"batch":                  `["` + canary + `"]`,
		"duplicate field":        `{"` + canary + `":1,"` + canary + `":2}`,
		"nested duplicate field": `{"` + canary + `":{"` + canary + `":1,"` + canary + `":2}}`,
		"deep nesting": `{"` + canary + `":` + strings.Repeat(`{"`+canary+`":`, 100) +
			`1}`,
		"number out of range": `{"` + canary + `":[` + canaryDigits + `e999]}`,
		"too many values": `{"` + canary + `":[` + strings.Repeat(canaryDigits+",", 3000) +
			`1]}`,
		"body too large": `{"query":"` + canary + strings.Repeat(" ", 1<<20) + `"}`,
	}
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		checkNoEcho(t, name, postBody(bodies[name]))
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

// TestNoEcho_longNames checks that errors quote at most 64 bytes of a name. Names are quoted to
// help the author of a document.
func TestNoEcho_longNames(t *testing.T) {
	longName := strings.Repeat("n", 10_000)
	for name, query := range map[string]string{
		"field":                   "{ NAME }",
		"field of a type":         "{ person { NAME } }",
		"argument":                "{ leaf(NAME: 1) }",
		"argument of a directive": "{ leaf @tag(NAME: 1) }",
		"directive":               "{ leaf @NAME }",
		"type of a variable":      "query ($v: NAME) { leaf }",
		"type of a fragment":      "{ ...F } fragment F on NAME { leaf }",
		"type condition":          "{ ... on NAME { leaf } }",
		"unknown fragment":        "{ ...NAME }",
		"unused fragment":         "{ leaf } fragment NAME on Query { leaf }",
		"duplicate fragment": "{ ...NAME } fragment NAME on Query { leaf } fragment NAME on " +
			"Query { leaf }",
		"recursive fragment":                      "{ ...NAME } fragment NAME on Query { ...NAME }",
		"undefined variable":                      "{ need(s: $NAME) }",
		"undefined variable in a named operation": "query NAME { need(s: $NAME) }",
		"unused variable":                         "query NAME($NAME: Int) { leaf }",
		"duplicate variable": "query ($NAME: Int, $NAME: Int) { echo(i: " +
			"$NAME) }",
		"variable of another type":              "query ($NAME: Int) { need(s: $NAME) }",
		"duplicate operation":                   "query NAME { leaf } query NAME { leaf }",
		"conflicting alias":                     "{ NAME: leaf NAME: person { name } }",
		"input field":                           "{ echo(in: {NAME: 1}) }",
		"duplicate input field":                 "{ echo(in: {NAME: 1, NAME: 2}) }",
		"duplicate argument":                    "{ need(s: \"\", NAME: 1, NAME: 2) }",
		"enum value":                            "{ echo(color: NAME) }",
		"missing variable of a named operation": "query NAME($NAME: String!) { need(s: $NAME) }",
		"name instead of an operation":          "NAME",
		"two names of an operation":             "query NAME NAME { leaf }",
	} {
		r := postQuery(strings.ReplaceAll(query, "NAME", longName))
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(), r)
		if len(res.outcome.Codes) == 0 {
			t.Errorf("%s: %s, want an error", name, res.Body)
		}
		if strings.Contains(res.Body.String()+fmt.Sprint(res.outcome), longName[:65]) {
			t.Errorf("%s: %s, want at most 64 bytes of the name in it", name, res.Body)
		}
		// A name of 64 bytes isn't truncated.
		name64 := strings.Repeat("n", 64)
		res = sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
			postQuery(strings.ReplaceAll(query, "NAME", name64)))
		if text := res.Body.String(); strings.Contains(text, "nnn") &&
			!strings.Contains(text, name64) {
			t.Errorf("%s: %s, want the whole name of 64 bytes in it", name, text)
		}
	}
	res := send(t, postQuery("{ "+strings.Repeat("n", 65)+" }"))
	want := `Cannot query field \"` + strings.Repeat("n", 61) +
		`...\" on type \"Query\".`
	if !strings.Contains(res.Body.String(), want) {
		t.Errorf("body %s, want %s in it", res.Body, want)
	}
}

// misspelledQueries are queries with misspelled names of the schema. The secret is a name that a
// suggestion would contain.
var misspelledQueries = map[string]struct{ query, secret string }{
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
