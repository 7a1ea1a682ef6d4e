package limits_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/limits"
)

// list repeats a piece; where it has a #, with the count.
func list(n int, piece string) string {
	var out strings.Builder
	for i := range n {
		out.WriteString(strings.ReplaceAll(piece, "#", strconv.Itoa(i)))
	}
	return out.String()
}

func around(n int, open, middle, shut string) string {
	return strings.Repeat(open, n) + middle + strings.Repeat(shut, n)
}

// Each row is a document at a limit's default, of size n, and one just over it, of size n+1.
func TestEachLimit(t *testing.T) {
	for _, tt := range []struct {
		name   string
		n      int
		of     func(n int) string
		reason string
		says   string // of the one over; %d for n+1 and n
	}{
		{"bytes", limits.DefaultBytes, func(n int) string { return "{leaf}" + strings.Repeat(",", n-6) }, "BYTES",
			"The document is too large: it has %d bytes, allowed are %d"},
		{"tokens", limits.DefaultTokens, func(n int) string { return "{leaf}" + strings.Repeat("#\n", n-3) }, "TOKENS",
			"The document is too large: it has at least %d tokens, allowed are %d"},
		{"nesting", limits.DefaultNesting, func(n int) string { return "{" + around(n-1, "...{", "leaf", "}") + "}" }, "NESTING",
			"The document is too deep: at least %d brackets are open at one time, allowed are %d"},
		{"nesting after what was closed", limits.DefaultNesting, func(n int) string {
			return "{" + list(9, "x#:f(l:[]){leaf}") + around(n-1, "...{", "leaf", "}") + "}"
		}, "NESTING",
			"The document is too deep: at least %d brackets are open at one time, allowed are %d"},
		{"a field's name", limits.DefaultNameBytes, func(n int) string { return "{" + strings.Repeat("n", n) + "}" }, "NAMES",
			"A name in the document is too long: it has %d bytes, allowed are %d"},
		{"a type's name", limits.DefaultNameBytes, func(n int) string { return "{...on " + strings.Repeat("n", n) + "{leaf}}" }, "NAMES",
			"A name in the document is too long: it has %d bytes, allowed are %d"},
		{"a string", limits.DefaultStringBytes, func(n int) string { return `{a(x:"` + strings.Repeat("s", n) + `"){leaf}}` }, "STRINGS",
			"A string in the document is too long: it has at least %d bytes, allowed are %d"},
		{"a block string", limits.DefaultStringBytes, func(n int) string { return `{a(x:"""` + strings.Repeat("\n", n) + `"""){leaf}}` }, "STRINGS",
			"A string in the document is too long: it has at least %d bytes, allowed are %d"},
		{"a number", limits.DefaultNumberBytes, func(n int) string { return "{a(x:" + strings.Repeat("9", n) + "){leaf}}" }, "NUMBERS",
			"A number in the document is too long: it has %d bytes, allowed are %d"},
		{"a fraction", limits.DefaultNumberBytes, func(n int) string { return "{a(x:1." + strings.Repeat("9", n-2) + "){leaf}}" }, "NUMBERS",
			"A number in the document is too long: it has %d bytes, allowed are %d"},
		{"depth", limits.DefaultDepth, func(n int) string { return "{" + around(n-1, "a{", "leaf", "}") + "}" }, "DEPTH",
			"The document is too deep: its fields nest to depth %d, allowed is %d"},
		{"depth through fragments", limits.DefaultDepth, func(n int) string {
			return "{a{...F}}fragment F on A{" + around(n-2, "a{", "leaf", "}") + "}"
		}, "DEPTH", "The document is too deep: its fields nest to depth %d, allowed is %d"},
		{"fields", limits.DefaultFields, func(n int) string { // 10 times a field, a spread and 80 fields; the 80 themselves; the rest
			return "{" + list(10, "u#{...F}") + "rest{" + list(n-10*82-80-1, "w# ") +
				"}}fragment F on A{" + list(80, "v# ") + "}"
		}, "FIELDS",
			"The document is too large: with its fragments written out it has %d fields and " +
				"fragments, allowed are %d"},
		{"root fields", limits.DefaultRootFields, func(n int) string { return "{" + strings.Repeat("leaf ", n) + "}" }, "ROOT_FIELDS",
			"The document is too large: an operation has %d root fields with its fragments " +
				"written out, allowed are %d"},
		{"root fields through fragments", limits.DefaultRootFields, func(n int) string {
			return "{...F ...{...F}" + strings.Repeat("leaf ", n-40) + "}fragment F on Query{" +
				strings.Repeat("leaf ", 20) + "}"
		}, "ROOT_FIELDS",
			"The document is too large: an operation has %d root fields with its fragments " +
				"written out, allowed are %d"},
		{"aliases", limits.DefaultAliases, func(n int) string { return "{a{" + list(n, "x#:leaf ") + "}}" }, "ALIASES",
			"The document is too large: with its fragments written out it has %d aliases, " +
				"allowed are %d"},
		{"operations", limits.DefaultOperations, func(n int) string { return list(n, "query Q#{leaf}") }, "OPERATIONS",
			"The document is too large: it has at least %d operations, allowed are %d"},
		{"fragments", limits.DefaultFragments, func(n int) string { return "{leaf}" + list(n, "fragment F# on A{leaf}") }, "FRAGMENTS",
			"The document is too large: it defines at least %d fragments, allowed are %d"},
		{"spreads", limits.DefaultSpreads, func(n int) string {
			return "{" + list(n, "...F#") + "}"
		}, "FRAGMENTS",
			"The document is too large: it spreads fragments at least %d times, allowed are %d"},
		{"directives", limits.DefaultDirectives, func(n int) string { return "{a{" + list(n, "...@d{leaf}") + "}}" }, "DIRECTIVES",
			"The document is too large: with its fragments written out it has %d directives, " +
				"allowed are %d"},
		{"directives in one place", limits.DefaultDirectivesPerNode, func(n int) string { return "{leaf" + strings.Repeat("@d", n) + "}" }, "DIRECTIVES",
			"The document is too large: it has at least %d directives in one place, allowed are %d"},
		{"directives of a fragment", limits.DefaultDirectivesPerNode, func(n int) string { return "{leaf}fragment F on A" + strings.Repeat("@d", n) + "{leaf}" }, "DIRECTIVES",
			"The document is too large: it has at least %d directives in one place, allowed are %d"},
		{"arguments", limits.DefaultArguments, func(n int) string { return "{a(" + list(n, "x#:1 ") + "){leaf}}" }, "ARGUMENTS",
			"The document is too large: it has at least %d arguments or members in one place, " +
				"allowed are %d"},
		{"members", limits.DefaultArguments, func(n int) string { return "{a(x:{" + list(n, "x#:1 ") + "}){leaf}}" }, "ARGUMENTS",
			"The document is too large: it has at least %d arguments or members in one place, " +
				"allowed are %d"},
		{"variables", limits.DefaultVariables, func(n int) string { return "query(" + list(n, "$v#:Int ") + "){leaf}" }, "VARIABLES",
			"The document is too large: an operation defines at least %d variables, allowed are %d"},
		{"values", limits.DefaultValues, func(n int) string { return "{a(x:[" + strings.Repeat("1 ", n-1) + "]){leaf}}" }, "VALUES",
			"The document is too large: with its fragments written out it has %d values, allowed " +
				"are %d"},
		{"nested lists", limits.DefaultValueDepth, func(n int) string { return "{a(x:" + around(n, "[", "1", "]") + "){leaf}}" }, "DEPTH",
			"The document is too deep: its values nest to depth %d, allowed is %d"},
		{"nested objects", limits.DefaultValueDepth, func(n int) string { return "{a(x:" + around(n-1, "{i:", "{}", "}") + "){leaf}}" }, "DEPTH",
			"The document is too deep: its values nest to depth %d, allowed is %d"},
		{"nested list types", limits.DefaultValueDepth, func(n int) string { return "query($v:" + around(n, "[", "Int", "]") + "){leaf}" }, "DEPTH",
			"The document is too deep: its values nest to depth %d, allowed is %d"},
		{"bytes of values", limits.DefaultValueBytes, func(n int) string {
			s := strings.Repeat("s", 16<<10-1)
			return `{a(x:["` + s + `" "` + s + `" "` + strings.Repeat("s", n-2*len(s)) +
				`"]){leaf}}`
		}, "VALUES",
			"The document is too large: with its fragments written out its values have %d bytes, " +
				"allowed are %d"},
		{"introspection", limits.DefaultIntrospection, func(n int) string {
			return "{__schema{types{" + around(n, "fields{type{", "name", "}}") + "}}}"
		}, "INTROSPECTION",
			"The document is too deep: lists of the introspection nest to depth %d, allowed is %d"},
		{"introspection through fragments", limits.DefaultIntrospection, func(n int) string {
			return `{__type(name:"A"){fields{type{...F}}}}fragment F on __Type{` +
				around(n-1, "interfaces{", "name", "}") + "}"
		}, "INTROSPECTION",
			"The document is too deep: lists of the introspection nest to depth %d, allowed is %d"},
	} {
		for over := range 2 {
			query := tt.of(tt.n + over)
			fault := limits.Limits{}.MutateOperationParameters(t.Context(),
				&graphql.RawParams{Query: query})
			if _, isOne := limits.FoundIn(query, nil); !isOne {
				t.Errorf("%s: %.200s is no document", tt.name, query)
			}
			if over == 0 {
				if fault != nil {
					t.Errorf("%s: at the limit it is refused: %v", tt.name, fault)
				}
				continue
			}
			if says := fmt.Sprintf(tt.says, tt.n+1, tt.n); fault == nil || fault.Message != says ||
				fault.Extensions["reason"] != tt.reason ||
				fault.Extensions["code"] != "OPERATION_TOO_LARGE" {
				t.Errorf("%s: over the limit: %v %v\nwant %s: %s", tt.name, fault, fault.Extensions,
					tt.reason, says)
			}
		}
	}
}

func TestNamedRootFields(t *testing.T) {
	most := limits.Limits{RootFieldMax: map[string]int{"login": 1, "refresh": 2, "never": 0}}
	for _, tt := range []struct{ query, field string }{
		{`mutation { login { id } }`, ""},
		{`mutation { login { id } refresh { id } x: refresh { id } }`, ""},
		{`mutation A { login { id } } mutation B { login { id } }`, ""}, // one of them runs
		{`mutation { logout }`, ""},
		{`{ a { login } }`, ""}, // no root field
		{`mutation { login: logout }`, ""},
		{`mutation { me { login { id } login { id } } }`, ""},
		{`mutation { a: login { id } b: login { id } }`, "login"},
		{`mutation { login { id } login { id } }`, "login"}, // they are merged into one, but may count as two
		{`mutation { login { id } ... { login { id } } }`, "login"},
		{`mutation { login { id } ... on Mutation { ... { login { id } } } }`, "login"},
		{`mutation { login { id } ...F } fragment F on Mutation { x: login { id } }`, "login"},
		{`mutation { ...F ...F } fragment F on Mutation { login { id } }`, "login"},
		{`mutation { ...F } fragment F on Mutation { ...G ... { ...G } } fragment G on Mutation { login { id } }`, "login"},
		{`mutation { login { id } b: login @skip(if: true) { id } }`, "login"},
		{`mutation { login { id } b: login @include(if: false) { id } }`, "login"},
		{`mutation { x: refresh { id } y: refresh { id } z: refresh { id } }`, "refresh"},
		{`mutation A { x: login { id } y: login { id } } mutation B { login { id } }`, "login"},
		{`mutation { never }`, "never"},
	} {
		fault := most.MutateOperationParameters(t.Context(),
			&graphql.RawParams{Query: tt.query, OperationName: "B"})
		switch {
		case tt.field == "" && fault != nil:
			t.Errorf("%s is refused: %v", tt.query, fault)
		case tt.field != "" &&
			(fault == nil || fault.Extensions["reason"] != "ROOT_FIELDS" ||
				!strings.Contains(fault.Message,
					fmt.Sprintf("the root field %q %d times", tt.field,
						most.RootFieldMax[tt.field]+1))):
			t.Errorf("%s: %v", tt.query, fault)
		}
	}
}

func TestVariablesLimits(t *testing.T) {
	nested := func(n int) any {
		value := any("x")
		for range n {
			value = map[string]any{"i": []any{value}}
		}
		return value
	}
	items := func(n int) []any { return make([]any, n) }
	for _, tt := range []struct {
		name, query string
		given       map[string]any
		reason      string
		says        string // nothing: it passes
	}{
		{"bytes", `{leaf}`, map[string]any{"v": strings.Repeat("x", limits.DefaultVariableBytes-1)}, "", ""},
		{"bytes", `{leaf}`, map[string]any{"v": strings.Repeat("x", limits.DefaultVariableBytes)}, "BYTES", "The variables are too large: they have at least 65537 bytes, allowed are 65536"},
		{"bytes of a name", `{leaf}`, map[string]any{strings.Repeat("x", limits.DefaultVariableBytes+1): 1}, "BYTES", "The variables are too large: they have at least 65537 bytes, allowed are 65536"},
		{"bytes of a number", `{leaf}`, map[string]any{"v": json.Number(strings.Repeat("9", limits.DefaultVariableBytes))}, "BYTES", "The variables are too large: they have at least 65537 bytes, allowed are 65536"},
		{"bytes of members", `{leaf}`, map[string]any{"v": map[string]any{strings.Repeat("x", limits.DefaultVariableBytes): "x"}}, "BYTES", "The variables are too large: they have at least 65538 bytes, allowed are 65536"},
		{"items", `{leaf}`, map[string]any{"v": items(limits.DefaultVariableItems - 1)}, "", ""},
		{"items", `{leaf}`, map[string]any{"v": items(limits.DefaultVariableItems)}, "VARIABLES", "The variables are too large: they have at least 1001 items and members, allowed are 1000"},
		{"depth", `{leaf}`, map[string]any{"v": nested(5)}, "", ""},
		{"depth", `{leaf}`, map[string]any{"v": []any{nested(5)}}, "DEPTH", "The variables are too deep: they nest to depth 11 or deeper, allowed is 10"},
		{"a nesting that no stack holds", `{leaf}`, map[string]any{"v": nested(1 << 20)}, "DEPTH", "The variables are too deep: they nest to depth 11 or deeper, allowed is 10"},
		{"coercions", `query($v:[Int]){` + list(10, "x#:f(l:$v){leaf}") + `}`, map[string]any{"v": items(499)}, "", ""},
		{"coercions", `query($v:[Int]){` + list(10, "x#:f(l:$v){leaf}") + `}`, map[string]any{"v": items(500)}, "COERCIONS", "The variables are used too often: with their items they stand for 5010 values, allowed are 5000"},
		{"coercions through fragments", `query($v:[Int]){...F ...F}fragment F on Query{...G ...G}fragment G on Query{f(l:[$v $v $v]){leaf}}`, map[string]any{"v": items(500)}, "COERCIONS", "The variables are used too often: with their items they stand for 6012 values, allowed are 5000"},
		{"coercions of a default", `query($v:[Int]=[` + strings.Repeat("1 ", 125) + `]){` + list(40, "x#:f(l:$v){leaf}") + `}`, nil, "COERCIONS", "The variables are used too often: with their items they stand for 5040 values, allowed are 5000"},
		{"a default that isn't used", `query($v:[Int]=[` + strings.Repeat("1 ", 125) + `]){` + list(40, "x#:f(l:$v){leaf}") + `}`, map[string]any{"v": nil}, "", ""},
		{"a variable that isn't used", `{leaf}`, map[string]any{"v": items(900)}, "", ""},
	} {
		fault := limits.Limits{}.MutateOperationParameters(t.Context(),
			&graphql.RawParams{Query: tt.query, Variables: tt.given})
		if tt.says == "" && fault != nil ||
			tt.says != "" &&
				(fault == nil || fault.Message != tt.says ||
					fault.Extensions["reason"] != tt.reason ||
					fault.Extensions["code"] != "OPERATION_TOO_LARGE") {
			t.Errorf("%s: %v, want %q", tt.name, fault, tt.says)
		}
	}
}

func TestTheOperationsName(t *testing.T) {
	for n, want := range map[int]string{limits.DefaultNameBytes: "",
		limits.DefaultNameBytes + 1: "The operation's name has 129 bytes, allowed are 128"} {
		fault := limits.Limits{}.MutateOperationParameters(t.Context(),
			&graphql.RawParams{Query: `{leaf}`, OperationName: strings.Repeat("n", n)})
		if want == "" && fault != nil ||
			want != "" &&
				(fault == nil || fault.Message != want || fault.Extensions["reason"] != "NAMES") {
			t.Errorf("%d bytes: %v, want %q", n, fault, want)
		}
	}
}

// What a stranger wrote is in no message, whatever limit it passes.
func TestNothingIsQuoted(t *testing.T) {
	for _, shape := range shapes {
		query := strings.NewReplacer("leaf", "canary", "login", "canary", "F0",
			"canary").Replace(shape.of(8 << 10))
		fault := (limits.Limits{}).MutateOperationParameters(t.Context(),
			&graphql.RawParams{Query: query})
		if fault != nil &&
			strings.Contains(fault.Error(), "canary") {
			t.Errorf("%s: %v", shape.name, fault)
		}
	}
}

func TestLimitsBelowZeroAreRefused(t *testing.T) {
	if err := (limits.Limits{}).Validate(nil); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for _, bad := range []limits.Limits{{Bytes: -1}, {Coercions: -1}, {Depth: -1},
		{RootFieldMax: map[string]int{"a": 1, "b": -1}}} {
		if err := bad.Validate(nil); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
