package graphqlhttp

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
)

func TestNumbers(t *testing.T) {
	fields := map[string]string{"Int": "i", "Float": "f", "ID": "id", "String": "s",
		"[[Int]]": "matrix", "In": "in", "Any": "any", "Color": "color"}
	for _, tt := range []struct {
		kind string
		json string
		fits bool
	}{
		{"Int", "2147483647", true}, {"Int", "-2147483648", true}, {"Int", "0", true}, {"Int", "null", true},
		{"Int", "2147483648", false}, {"Int", "-2147483649", false}, {"Int", "5000000000", false}, {"Int", "99999999999999999999", false},
		{"Int", "1.5", false}, {"Int", "1.0", false}, {"Int", "1e3", false},
		{"Int", `"7"`, false}, {"Int", `"5000000000"`, false},
		{"[[Int]]", "[[1,null],null,[2147483647]]", true}, {"[[Int]]", "[[1],[2,2147483648]]", false}, {"[[Int]]", "[[1],[2.5]]", false},
		{"[[Int]]", "5", true}, {"[[Int]]", "5000000000", false}, {"[[Int]]", "1.5", false}, {"[[Int]]", "[7]", true}, {"[[Int]]", "[5000000000]", false},
		{"In", `{"i":5,"f":1.5,"in":{"i":7}}`, true}, {"In", `{"i":5000000000}`, false}, {"In", `{"i":1.5}`, false}, {"In", `{"in":{"in":{"i":5000000000}}}`, false},
		{"Float", "5", true}, {"Float", "5000000000", true}, {"Float", "1.5", true}, {"Float", "1e308", true}, {"Float", "99999999999999999999", true},
		{"Float", `"1.5"`, false}, {"Float", `"NaN"`, false}, {"Float", `"-Inf"`, false},
		{"Color", `"RED"`, true}, {"Color", `"red"`, false}, {"Color", `"BLUE"`, false}, {"In", `{"color":"GREEN"}`, true}, {"In", `{"color":"green"}`, false},
		{"In", `{"__typename":"In"}`, false}, {"In", `{"in":{"__typename":null}}`, false},
		{"ID", "5000000000", true}, {"ID", `"99999999999999999999"`, true}, {"String", `"5000000000"`, true}, {"Any", `{"a":[5000000000,1e99]}`, true},
	} {
		r := postText(
			fmt.Sprintf(`{"query":"query ($v: %s) { echo(%s: $v) }","variables":{"v":%s}}`, tt.kind,
				fields[tt.kind], tt.json))
		a := ask(t, r)
		fits := len(a.outcome.Codes) == 0
		want := `{"errors":[{"message":"Request malformed! The variable $v doesn't fit its type","locations":[{"line":1,"column":8}],"extensions":{"code":"BAD_USER_INPUT"}}]}` + "\n"
		if fits != tt.fits || !fits && a.Body.String() != want {
			t.Errorf("a variable %s = %s: %s", tt.kind, tt.json, a.Body)
		}
	}
}

func TestNumbersAsLiterals(t *testing.T) {
	const (
		numbers = "BAD_USER_INPUT"            // ours
		values  = "GRAPHQL_VALIDATION_FAILED" // gqlparser's rule knows these
	)
	for query, code := range map[string]string{
		"{ echo(i: 2147483647) }": "", "{ echo(i: -2147483648) }": "",
		"{ echo(i: 2147483648) }": numbers, "{ echo(i: 5000000000) }": numbers,
		"{ echo(i: 1.5) }": values, "{ echo(i: 1e3) }": values,
		"{ echo(i: 99999999999999999999) }": values, "{ echo(f: 1e999) }": values,
		"{ echo(f: 5000000000) }": "", "{ echo(id: 5000000000) }": "",
		"{ echo(any: 5000000000) }":                  "",
		"{ echo(any: 99999999999999999999) }":        numbers,
		"{ echo(any: {a: [99999999999999999999]}) }": numbers, "{ echo(any: 1e999) }": numbers,
		"{ echo(matrix: [[1], [5000000000]]) }":                                      numbers,
		"{ echo(in: {in: {i: 5000000000}}) }":                                        numbers,
		"query ($v: Int = 5000000000) { echo(i: $v) }":                               numbers,
		"query ($v: Int = 5000000000) { leaf ... @skip(if: true) { echo(i: $v) } }":  numbers,
		"{ ...F } fragment F on Query { ... on Query { echo(i: 5000000000) } }":      numbers,
		"{ leaf @include(if: true) ...F } fragment F on Query { echo(i: 50000000) }": "",
	} {
		a := ask(t, postQuery(query))
		if got := strings.Join(a.outcome.Codes, " "); got != code {
			t.Errorf("%s: %s, want %q", query, a.Body, code)
		}
		if strings.Contains(a.Body.String(), "00000000") ||
			strings.Contains(a.Body.String(), "99999") {
			if code != "" {
				t.Errorf("%s: the number came back: %s", query, a.Body)
			}
		}
		if code == numbers &&
			!strings.Contains(a.Body.String(), `"locations":[{"line":1,"column":`) {
			t.Errorf("%s: no location: %s", query, a.Body)
		}
	}
}

// By GET the same, since it is the same reader.
func TestNumbersByGet(t *testing.T) {
	a := ask(t,
		httptest.NewRequest("GET",
			"/?query=query($v:Int){echo(i:$v)}&variables={%22v%22:5000000000}", nil))
	if codeOf(t, a) != "BAD_USER_INPUT" {
		t.Errorf("%s", a.Body)
	}
}

// Which literals each type takes, by the specification; null goes everywhere here.
func TestLiteralsFitTheirTypes(t *testing.T) {
	literals := []string{"5", "1.5", `"x"`, `"""x"""`, "true", "RED", "[]", "[null]", `["x"]`,
		"[[5]]", "{}", "{i: 5}", "null"}
	for argument, takes := range map[string][]string{
		"s": {`"x"`, `"""x"""`}, "i": {"5"}, "f": {"5", "1.5"}, "b": {"true"}, "id": {"5", `"x"`, `"""x"""`}, "color": {"RED"},
		"in": {"{}", "{i: 5}"}, "list": {`"x"`, `"""x"""`, "[]", `["x"]`}, "matrix": {"5", "[]", "[null]", "[[5]]"}, "any": literals,
	} {
		for _, literal := range literals {
			want := slices.Contains(takes, literal) || literal == "null"
			for _, query := range []string{
				"{ echo(" + argument + ": " + literal + ") }",
				"{ ... on Query { ...F } } fragment F on Query { echo(" + argument + ": " +
					literal + ") }",
			} {
				if a := ask(t, postQuery(query)); (len(a.outcome.Codes) == 0) != want {
					t.Errorf("%s: %s, want it taken: %t", query, a.Body, want)
				}
			}
		}
	}
}

func TestArgumentsOfDirectivesFit(t *testing.T) {
	for _, query := range []string{"query @tag(name: {}) { leaf }", "{ leaf @tag(name: {}) }",
		"{ ...F @include(if: {}) } fragment F on Query { leaf }",
		"{ ... @skip(if: {}) { leaf } }"} {
		if a := ask(t, postQuery(query)); codeOf(t, a) != "BAD_USER_INPUT" {
			t.Errorf("%s: %s", query, a.Body)
		}
	}
}

// Fragments that spread each other twice would double the work with each.
func TestEachFragmentIsInspectedOnce(t *testing.T) {
	fragment := &ast.FragmentDefinition{}
	for range 40 {
		spread := &ast.FragmentSpread{Definition: fragment}
		fragment = &ast.FragmentDefinition{
			SelectionSet: ast.SelectionSet{&ast.Field{Directives: ast.DirectiveList{{}}}, spread,
				spread},
		}
	}
	visits := 0
	operation := &ast.OperationDefinition{
		SelectionSet: ast.SelectionSet{&ast.FragmentSpread{Definition: fragment}},
	}
	inspect(operation, visitor{directive: func(*ast.Directive) {
		if visits++; visits > 40 {
			t.Fatal("a fragment is visited again")
		}
	}})
	if visits != 40 {
		t.Errorf("%d fragments were visited, want 40", visits)
	}
}

func TestNullIsNoValueWhereNoneMayBe(t *testing.T) {
	for query, fits := range map[string]bool{
		`query ($v: Boolean = true) { leaf @skip(if: $v) }`:                                   false,
		`query ($v: Boolean = true) { ...F } fragment F on Query { leaf @include(if: $v) }`:   false,
		`query ($v: String = "x") { need(s: $v) }`:                                            false,
		`query ($v: String = "x") { echo(list: [$v]) }`:                                       false,
		`query ($v: String = "x") { echo(s: $v) }`:                                            true,
		`query ($v: [String!] = ["x"]) { echo(list: $v) }`:                                    true,
		`query ($v: Boolean = true) { leaf ... on Query @include(if: true) { echo(b: $v) } }`: true,
	} {
		a := ask(t, post(map[string]any{"query": query, "variables": map[string]any{"v": nil}}))
		if fits && len(a.outcome.Codes) != 0 || !fits && codeOf(t, a) != "BAD_USER_INPUT" {
			t.Errorf("%s: %s, want it taken: %t", query, a.Body, fits)
		}
		if a := ask(t, postQuery(query)); len(a.outcome.Codes) != 0 { // and the default it is
			t.Errorf("%s, without variables: %s", query, a.Body)
		}
	}
}
