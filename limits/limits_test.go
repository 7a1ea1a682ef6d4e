package limits_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/limits"
)

// TestLimits checks each limit with a document at the default, and with a document one above it.
func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limit  int
		query  func(n int) string // returns a document whose count is n
		reason string
		format string // of the message, with the actual number and the limit
	}{
		{"bytes", limits.DefaultBytes,
			func(n int) string { return "{leaf}" + strings.Repeat(",", n-6) }, "BYTES",
			"The document is too large: it has %d bytes; the limit is %d"},
		{"tokens", limits.DefaultTokens,
			func(n int) string { return "{leaf}" + strings.Repeat("#\n", n-3) }, "TOKENS",
			"The document is too large: it has at least %d tokens; the limit is %d"},
		{"nesting", limits.DefaultNesting,
			func(n int) string { return "{" + enclose(n-1, "...{", "leaf", "}") + "}" }, "NESTING",
			"The document is too deep: at least %d brackets are open at once; the limit is %d"},
		{"nesting after closed brackets", limits.DefaultNesting, func(n int) string {
			return "{" + repeat(9, "x#:f(l:[]){leaf}") + enclose(n-1, "...{", "leaf", "}") + "}"
		}, "NESTING",
			"The document is too deep: at least %d brackets are open at once; the limit is %d"},
		{"name of a field", limits.DefaultNameBytes,
			func(n int) string { return "{" + strings.Repeat("n", n) + "}" }, "NAMES",
			"A name in the document is too long: it has %d bytes; the limit is %d"},
		{"name of a type", limits.DefaultNameBytes,
			func(n int) string { return "{...on " + strings.Repeat("n", n) + "{leaf}}" }, "NAMES",
			"A name in the document is too long: it has %d bytes; the limit is %d"},
		{"string", limits.DefaultStringBytes,
			func(n int) string {
				return `{a(x:"` + strings.Repeat("s", n) +
					`"){leaf}}`
			}, "STRINGS",
			"A string in the document is too long: it has at least %d bytes; the limit is %d"},
		{"block string", limits.DefaultStringBytes,
			func(n int) string {
				return `{a(x:"""` + strings.Repeat("\n", n) +
					`"""){leaf}}`
			}, "STRINGS",
			"A string in the document is too long: it has at least %d bytes; the limit is %d"},
		{"number", limits.DefaultNumberBytes,
			func(n int) string { return "{a(x:" + strings.Repeat("9", n) + "){leaf}}" }, "NUMBERS",
			"A number in the document is too long: it has %d bytes; the limit is %d"},
		{"number with a fraction", limits.DefaultNumberBytes,
			func(n int) string {
				return "{a(x:1." + strings.Repeat("9", n-2) +
					"){leaf}}"
			}, "NUMBERS",
			"A number in the document is too long: it has %d bytes; the limit is %d"},
		{"depth", limits.DefaultDepth,
			func(n int) string { return "{" + enclose(n-1, "a{", "leaf", "}") + "}" }, "DEPTH",
			"The document is too deep: its fields nest to depth %d; the limit is %d"},
		{"depth through fragments", limits.DefaultDepth, func(n int) string {
			return "{a{...F}}fragment F on A{" + enclose(n-2, "a{", "leaf", "}") + "}"
		}, "DEPTH", "The document is too deep: its fields nest to depth %d; the limit is %d"},
		{"fields", limits.DefaultFields, func(n int) string {
			// 10 times: a field, a spread and 80 expanded fields. The fragment itself has 80 more.
			return "{" + repeat(10, "u#{...F}") + "rest{" + repeat(n-10*82-80-1, "w# ") +
				"}}fragment F on A{" + repeat(80, "v# ") + "}"
		}, "FIELDS",
			"The document is too large: with fragments expanded, it has %d fields and " +
				"fragments; the limit is %d"},
		{"root fields", limits.DefaultRootFields,
			func(n int) string { return "{" + strings.Repeat("leaf ", n) + "}" }, "ROOT_FIELDS",
			"The document is too large: with fragments expanded, an operation has %d root " +
				"fields; " +
				"the limit is %d"},
		{"root fields through fragments", limits.DefaultRootFields, func(n int) string {
			return "{...F ...{...F}" + strings.Repeat("leaf ", n-40) + "}fragment F on Query{" +
				strings.Repeat("leaf ", 20) + "}"
		}, "ROOT_FIELDS",
			"The document is too large: with fragments expanded, an operation has %d root " +
				"fields; " +
				"the limit is %d"},
		{"aliases", limits.DefaultAliases,
			func(n int) string { return "{a{" + repeat(n, "x#:leaf ") + "}}" }, "ALIASES",
			"The document is too large: with fragments expanded, it has %d aliases; the limit is " +
				"%d"},
		{"operations", limits.DefaultOperations,
			func(n int) string { return repeat(n, "query Q#{leaf}") }, "OPERATIONS",
			"The document is too large: it has at least %d operations; the limit is %d"},
		{"fragments", limits.DefaultFragments,
			func(n int) string {
				return "{leaf}" +
					repeat(n, "fragment F# on A{leaf}")
			}, "FRAGMENTS",
			"The document is too large: it defines at least %d fragments; the limit is %d"},
		{"spreads", limits.DefaultSpreads, func(n int) string {
			return "{" + repeat(n, "...F#") + "}"
		}, "FRAGMENTS",
			"The document is too large: it spreads fragments at least %d times; the limit is %d"},
		{"directives", limits.DefaultDirectives,
			func(n int) string { return "{a{" + repeat(n, "...@d{leaf}") + "}}" }, "DIRECTIVES",
			"The document is too large: with fragments expanded, it has %d directives; " +
				"the limit is %d"},
		{"directives in one place", limits.DefaultDirectivesPerNode,
			func(n int) string { return "{leaf" + strings.Repeat("@d", n) + "}" }, "DIRECTIVES",
			"The document is too large: it has at least %d directives in one place; the limit is " +
				"%d"},
		{"directives of a fragment", limits.DefaultDirectivesPerNode,
			func(n int) string {
				return "{leaf}fragment F on A" + strings.Repeat("@d", n) +
					"{leaf}"
			}, "DIRECTIVES",
			"The document is too large: it has at least %d directives in one place; the limit is " +
				"%d"},
		{"arguments", limits.DefaultArguments,
			func(n int) string { return "{a(" + repeat(n, "x#:1 ") + "){leaf}}" }, "ARGUMENTS",
			"The document is too large: it has at least %d arguments or object fields in one " +
				"place; the limit is %d"},
		{"object fields", limits.DefaultArguments,
			func(n int) string { return "{a(x:{" + repeat(n, "x#:1 ") + "}){leaf}}" }, "ARGUMENTS",
			"The document is too large: it has at least %d arguments or object fields in one " +
				"place; the limit is %d"},
		{"variables", limits.DefaultVariables,
			func(n int) string { return "query(" + repeat(n, "$v#:Int ") + "){leaf}" }, "VARIABLES",
			"The document is too large: an operation defines at least %d variables; the limit is " +
				"%d"},
		{"values", limits.DefaultValues,
			func(n int) string {
				return "{a(x:[" + strings.Repeat("1 ", n-1) +
					"]){leaf}}"
			}, "VALUES",
			"The document is too large: with fragments expanded, it has %d values; the limit is " +
				"%d"},
		{"nested lists", limits.DefaultValueDepth,
			func(n int) string { return "{a(x:" + enclose(n, "[", "1", "]") + "){leaf}}" }, "DEPTH",
			"The document is too deep: its values nest to depth %d; the limit is %d"},
		{"nested objects", limits.DefaultValueDepth,
			func(n int) string {
				return "{a(x:" + enclose(n-1, "{i:", "{}", "}") +
					"){leaf}}"
			}, "DEPTH",
			"The document is too deep: its values nest to depth %d; the limit is %d"},
		{"nested list types", limits.DefaultValueDepth,
			func(n int) string {
				return "query($v:" + enclose(n, "[", "Int", "]") +
					"){leaf}"
			}, "DEPTH",
			"The document is too deep: its values nest to depth %d; the limit is %d"},
		{"bytes of values", limits.DefaultValueBytes, func(n int) string {
			s := strings.Repeat("s", 16<<10-1)
			return `{a(x:["` + s + `" "` + s + `" "` + strings.Repeat("s", n-2*len(s)) +
				`"]){leaf}}`
		}, "VALUES",
			"The document is too large: with fragments expanded, its values have %d bytes; " +
				"the limit is %d"},
		{"introspection", limits.DefaultIntrospectionDepth, func(n int) string {
			return "{__schema{types{" + enclose(n, "fields{type{", "name", "}}") + "}}}"
		}, "INTROSPECTION",
			"The document is too deep: introspection lists are nested %d deep; the limit is %d"},
		{"introspection through fragments", limits.DefaultIntrospectionDepth, func(n int) string {
			return `{__type(name:"A"){fields{type{...F}}}}fragment F on __Type{` +
				enclose(n-1, "interfaces{", "name", "}") + "}"
		}, "INTROSPECTION",
			"The document is too deep: introspection lists are nested %d deep; the limit is %d"},
	} {
		for excess := range 2 {
			query := tt.query(tt.limit + excess)
			err := limits.Limits{}.MutateOperationParameters(t.Context(),
				&graphql.RawParams{Query: query})
			if _, ok := limits.Measure(query, nil); !ok {
				t.Errorf("%s: Measure(%.200s) reports a syntax error, want none", tt.name, query)
			}
			if excess == 0 {
				if err != nil {
					t.Errorf("%s: at the limit: %v, want no error", tt.name, err)
				}
				continue
			}
			want := fmt.Sprintf(tt.format, tt.limit+1, tt.limit)
			if err == nil || err.Message != want || err.Extensions["reason"] != tt.reason ||
				err.Extensions["code"] != "OPERATION_TOO_LARGE" {
				t.Errorf("%s: over the limit: %v, want %s: %s", tt.name, err, tt.reason, want)
			}
		}
	}
}

// TestRootFieldMax checks how often an operation may select a root field, with fragments expanded.
func TestRootFieldMax(t *testing.T) {
	l := limits.Limits{RootFieldMax: map[string]int{"login": 1, "refresh": 2, "never": 0}}
	for _, tt := range []struct {
		query, field string // the field that is selected too often, or ""
	}{
		{`mutation { login { id } }`, ""},
		{`mutation { login { id } refresh { id } x: refresh { id } }`, ""},
		{`mutation A { login { id } } mutation B { login { id } }`, ""}, // only one operation runs
		{`mutation { logout }`, ""},
		{`{ a { login } }`, ""}, // not a root field
		{`mutation { login: logout }`, ""},
		{`mutation { me { login { id } login { id } } }`, ""},
		{`mutation { a: login { id } b: login { id } }`, "login"},
		// The field is selected twice, although the result has it once.
		{`mutation { login { id } login { id } }`, "login"},
		{`mutation { login { id } ... { login { id } } }`, "login"},
		{`mutation { login { id } ... on Mutation { ... { login { id } } } }`, "login"},
		{`mutation { login { id } ...F } fragment F on Mutation { x: login { id } }`, "login"},
		{`mutation { ...F ...F } fragment F on Mutation { login { id } }`, "login"},
		{`mutation { ...F } fragment F on Mutation { ...G ... { ...G } } fragment G on Mutation ` +
			`{ login { id } }`, "login"},
		{`mutation { login { id } b: login @skip(if: true) { id } }`, "login"},
		{`mutation { login { id } b: login @include(if: false) { id } }`, "login"},
		{`mutation { x: refresh { id } y: refresh { id } z: refresh { id } }`, "refresh"},
		{`mutation A { x: login { id } y: login { id } } mutation B { login { id } }`, "login"},
		{`mutation { never }`, "never"},
	} {
		err := l.MutateOperationParameters(t.Context(),
			&graphql.RawParams{Query: tt.query, OperationName: "B"})
		switch {
		case tt.field == "" && err != nil:
			t.Errorf("%s: %v, want no error", tt.query, err)
		case tt.field != "" &&
			(err == nil || err.Extensions["reason"] != "ROOT_FIELDS" ||
				!strings.Contains(err.Message,
					fmt.Sprintf("the root field %q %d times", tt.field,
						l.RootFieldMax[tt.field]+1))):
			t.Errorf("%s: %v, want an error about %s", tt.query, err, tt.field)
		}
	}
}

// TestVariables checks the limits of variables, and of their uses in the document.
func TestVariables(t *testing.T) {
	nestedValue := func(n int) any {
		value := any("x")
		for range n {
			value = map[string]any{"i": []any{value}}
		}
		return value
	}
	items := func(n int) []any { return make([]any, n) }
	for _, tt := range []struct {
		name, query string
		variables   map[string]any
		reason      string
		want        string // the message, or "" for no error
	}{
		{"bytes", `{leaf}`, map[string]any{"v": strings.Repeat("x", limits.DefaultVariableBytes-1)},
			"", ""},
		{"bytes", `{leaf}`, map[string]any{"v": strings.Repeat("x", limits.DefaultVariableBytes)},
			"BYTES", "The variables are too large: they have at least 65537 bytes; the limit is " +
				"65536"},
		{"bytes of a name", `{leaf}`,
			map[string]any{strings.Repeat("x", limits.DefaultVariableBytes+
				1): 1}, "BYTES", "The variables are too large: they have at least 65537 bytes; " +
				"the limit is 65536"},
		{"bytes of a number", `{leaf}`,
			map[string]any{"v": json.Number(strings.Repeat("9",
				limits.DefaultVariableBytes))}, "BYTES", "The variables are too large: they have " +
				"at least 65537 bytes; the limit is 65536"},
		{"bytes of object fields", `{leaf}`,
			map[string]any{"v": map[string]any{strings.Repeat("x",
				limits.DefaultVariableBytes): "x"}}, "BYTES", "The variables are too large: they " +
				"have at least 65538 bytes; the limit is 65536"},
		{"items", `{leaf}`, map[string]any{"v": items(limits.DefaultVariableItems - 1)}, "", ""},
		{"items", `{leaf}`, map[string]any{"v": items(limits.DefaultVariableItems)}, "VARIABLES",
			"The variables are too large: they have at least 1001 list items and object fields; " +
				"the limit is 1000"},
		{"depth", `{leaf}`, map[string]any{"v": nestedValue(5)}, "", ""},
		{"depth", `{leaf}`, map[string]any{"v": []any{nestedValue(5)}}, "DEPTH",
			"The variables are too deep: they nest to depth 11 or deeper; the limit is 10"},
		{"nesting that would overflow the stack", `{leaf}`,
			map[string]any{"v": nestedValue(1 << 20)}, "DEPTH", "The variables are too deep: " +
				"they nest to depth 11 or deeper; the limit is 10"},
		{"coercions", `query($v:[Int]){` + repeat(10, "x#:f(l:$v){leaf}") + `}`,
			map[string]any{"v": items(499)}, "", ""},
		{"coercions", `query($v:[Int]){` + repeat(10, "x#:f(l:$v){leaf}") + `}`,
			map[string]any{"v": items(500)}, "COERCIONS", "The variables are used too often: " +
				"their uses expand to 5010 values; the limit is 5000"},
		{"coercions through fragments",
			`query($v:[Int]){...F ...F}fragment F on Query{...G ...G}fragment G on Query{f(l:[$v ` +
				`$v $v]){leaf}}`, map[string]any{"v": items(500)}, "COERCIONS",
			"The variables are used too often: their uses expand to 6012 values; the limit is " +
				"5000"},
		{"coercions of a default", `query($v:[Int]=[` + strings.Repeat("1 ", 125) + `]){` +
			repeat(40, "x#:f(l:$v){leaf}") +
			`}`, nil, "COERCIONS",
			"The variables are used too often: their uses expand to 5040 values; the limit is " +
				"5000"},
		{"unused default", `query($v:[Int]=[` + strings.Repeat("1 ", 125) + `]){` +
			repeat(40, "x#:f(l:$v){leaf}") + `}`, map[string]any{"v": nil}, "", ""},
		{"unused variable", `{leaf}`, map[string]any{"v": items(900)}, "", ""},
	} {
		err := limits.Limits{}.MutateOperationParameters(t.Context(),
			&graphql.RawParams{Query: tt.query, Variables: tt.variables})
		if tt.want == "" && err != nil ||
			tt.want != "" &&
				(err == nil || err.Message != tt.want ||
					err.Extensions["reason"] != tt.reason ||
					err.Extensions["code"] != "OPERATION_TOO_LARGE") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestLimits_operationName checks that NameBytes bounds the request's operationName.
func TestLimits_operationName(t *testing.T) {
	for n, want := range map[int]string{limits.DefaultNameBytes: "",
		limits.DefaultNameBytes + 1: "The operation's name has 129 bytes; the limit is 128"} {
		err := limits.Limits{}.MutateOperationParameters(t.Context(),
			&graphql.RawParams{Query: `{leaf}`, OperationName: strings.Repeat("n", n)})
		if want == "" && err != nil ||
			want != "" &&
				(err == nil || err.Message != want || err.Extensions["reason"] != "NAMES") {
			t.Errorf("operationName of %d bytes: %v, want %q", n, err, want)
		}
	}
}

// TestLimits_errorsQuoteNothing checks that no error quotes the document.
func TestLimits_errorsQuoteNothing(t *testing.T) {
	for _, shape := range shapes {
		query := strings.NewReplacer("leaf", "canary", "login", "canary", "F0",
			"canary").Replace(shape.query(8 << 10))
		err := (limits.Limits{}).MutateOperationParameters(t.Context(),
			&graphql.RawParams{Query: query})
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: error %v, want nothing of the document in it", shape.name, err)
		}
	}
}

// TestValidate checks that Validate names each negative limit.
func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		limits limits.Limits
		want   string // the error, or "" for none
	}{
		{limits.Limits{}, ""},
		{limits.Limits{CacheBytes: -1, RootFieldMax: map[string]int{"a": 0}}, ""},
		{limits.Limits{Bytes: -1}, "limits: Limits.Bytes is below zero"},
		{limits.Limits{Coercions: -1}, "limits: Limits.Coercions is below zero"},
		{limits.Limits{Depth: -1, Tokens: -5}, "limits: Limits.Tokens is below zero\n" +
			"limits: Limits.Depth is below zero"},
		{limits.Limits{RootFieldMax: map[string]int{"c": -1, "a": 1, "b": -1}},
			`limits: Limits.RootFieldMax["b"] is below zero` + "\n" +
				`limits: Limits.RootFieldMax["c"] is below zero`},
	} {
		got := ""
		if err := tt.limits.Validate(nil); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("Validate of %+v = %q, want %q", tt.limits, got, tt.want)
		}
	}
}

// TestValidate_allFields checks that Validate covers each number in Limits.
func TestValidate_allFields(t *testing.T) {
	numberCount := 0
	for i, typ := 0, reflect.TypeFor[limits.Limits](); i < typ.NumField(); i++ {
		field := typ.Field(i)
		if field.Type.Kind() != reflect.Int || field.Name == "CacheBytes" {
			continue
		}
		numberCount++
		var l limits.Limits
		reflect.ValueOf(&l).Elem().Field(i).SetInt(-1)
		want := "limits: Limits." + field.Name + " is below zero"
		if err := l.Validate(nil); err == nil || err.Error() != want {
			t.Errorf("Validate with %s = -1: %v, want %s", field.Name, err, want)
		}
	}
	if numberCount < 26 {
		t.Errorf("Limits has %d numbers, want at least 26", numberCount)
	}
}
