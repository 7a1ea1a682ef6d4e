package graphqlhttp

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
)

// TestInputCoercion_variables checks which values of variables are accepted for each type.
func TestInputCoercion_variables(t *testing.T) {
	arguments := map[string]string{"Int": "i", "Float": "f", "ID": "id", "String": "s",
		"[[Int]]": "matrix", "In": "in", "Any": "any", "Color": "color"}
	for _, tt := range []struct {
		typeName string
		json     string
		accepted bool
	}{
		{"Int", "2147483647", true}, {"Int", "-2147483648", true}, {"Int", "0", true}, {"Int",
			"null", true},
		{"Int", "2147483648", false}, {"Int", "-2147483649", false}, {"Int", "5000000000",
			false}, {"Int", "99999999999999999999", false},
		{"Int", "1.5", false}, {"Int", "1.0", false}, {"Int", "1e3", false},
		{"Int", `"7"`, false}, {"Int", `"5000000000"`, false},
		{"[[Int]]", "[[1,null],null,[2147483647]]", true}, {"[[Int]]", "[[1],[2,2147483648]]",
			false}, {"[[Int]]", "[[1],[2.5]]", false},
		{"[[Int]]", "5", true}, {"[[Int]]", "5000000000", false}, {"[[Int]]", "1.5",
			false}, {"[[Int]]", "[7]", true}, {"[[Int]]", "[5000000000]", false},
		{"In", `{"i":5,"f":1.5,"in":{"i":7}}`, true}, {"In", `{"i":5000000000}`, false}, {"In",
			`{"i":1.5}`, false}, {"In", `{"in":{"in":{"i":5000000000}}}`, false},
		{"Float", "5", true}, {"Float", "5000000000", true}, {"Float", "1.5", true}, {"Float",
			"1e308", true}, {"Float", "99999999999999999999", true},
		{"Float", `"1.5"`, false}, {"Float", `"NaN"`, false}, {"Float", `"-Inf"`, false},
		{"Color", `"RED"`, true}, {"Color", `"red"`, false}, {"Color", `"BLUE"`, false}, {"In",
			`{"color":"GREEN"}`, true}, {"In", `{"color":"green"}`, false},
		{"In", `{"__typename":"In"}`, false}, {"In", `{"in":{"__typename":null}}`, false},
		{"ID", "5000000000", true}, {"ID", `"99999999999999999999"`, true}, {"String",
			`"5000000000"`, true}, {"Any", `{"a":[5000000000,1e99]}`, true},
	} {
		r := postBody(
			fmt.Sprintf(`{"query":"query ($v: %s) { echo(%s: $v) }","variables":{"v":%s}}`,
				tt.typeName,
				arguments[tt.typeName], tt.json))
		res := send(t, r)
		accepted := len(res.outcome.Codes) == 0
		want := `{"errors":[{"message":"Request malformed! The variable $v doesn't fit its ` +
			`type","locations":[{"line":1,"column":8}],"extensions":{"code":"BAD_USER_INPUT"}}]}` +
			"\n"
		if accepted != tt.accepted || !accepted && res.Body.String() != want {
			t.Errorf("variable of type %s = %s: %s, want it accepted: %t", tt.typeName, tt.json,
				res.Body, tt.accepted)
		}
	}
}

// TestInputCoercion_literals checks which literals are rejected, by this package or by validation,
// and that the error doesn't quote the literal.
func TestInputCoercion_literals(t *testing.T) {
	const (
		coercionCode   = "BAD_USER_INPUT"            // from this package
		validationCode = "GRAPHQL_VALIDATION_FAILED" // from gqlparser's rule
	)
	for query, wantCode := range map[string]string{
		"{ echo(i: 2147483647) }": "", "{ echo(i: -2147483648) }": "",
		"{ echo(i: 2147483648) }": coercionCode, "{ echo(i: 5000000000) }": coercionCode,
		"{ echo(i: 1.5) }": validationCode, "{ echo(i: 1e3) }": validationCode,
		"{ echo(i: 99999999999999999999) }": validationCode, "{ echo(f: 1e999) }": validationCode,
		"{ echo(f: 5000000000) }": "", "{ echo(id: 5000000000) }": "",
		"{ echo(any: 5000000000) }":                                                  "",
		"{ echo(any: 99999999999999999999) }":                                        coercionCode,
		"{ echo(any: {a: [99999999999999999999]}) }":                                 coercionCode,
		"{ echo(any: 1e999) }":                                                       coercionCode,
		"{ echo(matrix: [[1], [5000000000]]) }":                                      coercionCode,
		"{ echo(in: {in: {i: 5000000000}}) }":                                        coercionCode,
		"query ($v: Int = 5000000000) { echo(i: $v) }":                               coercionCode,
		"query ($v: Int = 5000000000) { leaf ... @skip(if: true) { echo(i: $v) } }":  coercionCode,
		"{ ...F } fragment F on Query { ... on Query { echo(i: 5000000000) } }":      coercionCode,
		"{ leaf @include(if: true) ...F } fragment F on Query { echo(i: 50000000) }": "",
	} {
		res := send(t, postQuery(query))
		if got := strings.Join(res.outcome.Codes, " "); got != wantCode {
			t.Errorf("%s: codes %q, want %q; body %s", query, got, wantCode, res.Body)
		}
		if strings.Contains(res.Body.String(), "00000000") ||
			strings.Contains(res.Body.String(), "99999") {
			if wantCode != "" {
				t.Errorf("%s: %s, want the number not quoted", query, res.Body)
			}
		}
		if wantCode == coercionCode &&
			!strings.Contains(res.Body.String(), `"locations":[{"line":1,"column":`) {
			t.Errorf("%s: %s, want a location in line 1", query, res.Body)
		}
	}
}

// TestInputCoercion_get checks that a GET is rejected for a value that doesn't fit its type.
func TestInputCoercion_get(t *testing.T) {
	res := send(t,
		httptest.NewRequest("GET",
			"/?query=query($v:Int){echo(i:$v)}&variables={%22v%22:5000000000}", nil))
	if codeOf(t, res) != "BAD_USER_INPUT" {
		t.Errorf("%s, want BAD_USER_INPUT", res.Body)
	}
}

// TestInputCoercion_literalTypes checks which literals each type accepts. All arguments of echo
// accept null.
func TestInputCoercion_literalTypes(t *testing.T) {
	literals := []string{"5", "1.5", `"x"`, `"""x"""`, "true", "RED", "[]", "[null]", `["x"]`,
		"[[5]]", "{}", "{i: 5}", "null"}
	for argument, accepted := range map[string][]string{
		"s": {`"x"`, `"""x"""`}, "i": {"5"}, "f": {"5", "1.5"}, "b": {"true"},
		"id": {"5", `"x"`, `"""x"""`}, "color": {"RED"},
		"in": {"{}", "{i: 5}"}, "list": {`"x"`, `"""x"""`, "[]", `["x"]`},
		"matrix": {"5", "[]", "[null]", "[[5]]"}, "any": literals,
	} {
		for _, literal := range literals {
			want := slices.Contains(accepted, literal) || literal == "null"
			for _, query := range []string{
				"{ echo(" + argument + ": " + literal + ") }",
				"{ ... on Query { ...F } } fragment F on Query { echo(" + argument + ": " +
					literal + ") }",
			} {
				if res := send(t, postQuery(query)); (len(res.outcome.Codes) == 0) != want {
					t.Errorf("%s: %s, want it accepted: %t", query, res.Body, want)
				}
			}
		}
	}
}

// TestInputCoercion_directives checks that invalid arguments of directives are rejected.
func TestInputCoercion_directives(t *testing.T) {
	for _, query := range []string{"query @tag(name: {}) { leaf }", "{ leaf @tag(name: {}) }",
		"{ ...F @include(if: {}) } fragment F on Query { leaf }",
		"{ ... @skip(if: {}) { leaf } }"} {
		if res := send(t, postQuery(query)); codeOf(t, res) != "BAD_USER_INPUT" {
			t.Errorf("%s: %s, want BAD_USER_INPUT", query, res.Body)
		}
	}
}

// TestVisitor_fragmentsOnce checks that each fragment is visited once. Visiting it at each spread
// would take exponential time if each fragment spreads the next one twice.
func TestVisitor_fragmentsOnce(t *testing.T) {
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
	v := visitor{onDirective: func(*ast.Directive) {
		if visits++; visits > 40 {
			t.Fatalf("%d visits of 40 fragments, want 40", visits)
		}
	}}
	v.visitOperation(operation)
	if visits != 40 {
		t.Errorf("%d fragments were visited, want 40", visits)
	}
}

// TestInputCoercion_nullVariables checks that a null variable is rejected in a non-null position,
// even if the variable has a default.
func TestInputCoercion_nullVariables(t *testing.T) {
	for query, accepted := range map[string]bool{
		`query ($v: Boolean = true) { leaf @skip(if: $v) }`:                                   false,
		`query ($v: Boolean = true) { ...F } fragment F on Query { leaf @include(if: $v) }`:   false,
		`query ($v: String = "x") { need(s: $v) }`:                                            false,
		`query ($v: String = "x") { echo(list: [$v]) }`:                                       false,
		`query ($v: String = "x") { echo(s: $v) }`:                                            true,
		`query ($v: [String!] = ["x"]) { echo(list: $v) }`:                                    true,
		`query ($v: Boolean = true) { leaf ... on Query @include(if: true) { echo(b: $v) } }`: true,
	} {
		res := send(t, post(map[string]any{"query": query, "variables": map[string]any{"v": nil}}))
		if accepted && len(res.outcome.Codes) != 0 ||
			!accepted && codeOf(t, res) != "BAD_USER_INPUT" {
			t.Errorf("%s with null: %s, want it accepted: %t", query, res.Body, accepted)
		}
		// Without the variable, its default is used.
		if res := send(t, postQuery(query)); len(res.outcome.Codes) != 0 {
			t.Errorf("%s: %s, want no error", query, res.Body)
		}
	}
}
