package limits_test

import (
	"fmt"
	"strings"
)

// A shape is a kind of hostile document.
type shape struct {
	name  string
	query func(maxBytes int) string // returns a document of at most about maxBytes bytes
}

// fill returns a function that makes a document: the text before, as many copies of piece as fit
// into the size, and the text after. In each copy, %[1]d becomes its index, and %[2]d the next
// index.
func fill(before, piece, after string) func(int) string {
	return func(maxBytes int) string {
		var out strings.Builder
		out.WriteString(before)
		for i := 0; ; i++ {
			next := piece
			if strings.Contains(piece, "%[1]d") {
				next = fmt.Sprintf(piece, i, i+1)
			}
			if out.Len()+len(next)+len(after) > maxBytes {
				break
			}
			out.WriteString(next)
		}
		out.WriteString(after)
		return out.String()
	}
}

// nest returns a function that makes a document: the text before, n copies of open, the text
// middle, n copies of closing, and the text after. It chooses the largest n for which the document
// fits into the size.
func nest(before, open, middle, closing, after string) func(int) string {
	return func(maxBytes int) string {
		n := max(0, (maxBytes-len(before)-len(middle)-len(after))/(len(open)+len(closing)))
		return before + strings.Repeat(open, n) + middle + strings.Repeat(closing, n) + after
	}
}

// chain returns a function that makes a document: the text before, as many copies of fragment as
// fit into the size, and the text last. In each copy, %[1]d becomes its index, and %[2]d the next
// index.
func chain(before, fragment, last string) func(int) string {
	return func(maxBytes int) string {
		var out strings.Builder
		out.WriteString(before)
		for i := 0; ; i++ {
			next := " " + fmt.Sprintf(fragment, i, i+1)
			end := " " + fmt.Sprintf(last, i+1)
			if out.Len()+len(next)+len(end) > maxBytes {
				return out.String() + " " + fmt.Sprintf(last, i)
			}
			out.WriteString(next)
		}
	}
}

// shapes are hostile documents for testSchema.
var shapes = []shape{
	// Deeply nested documents.
	{"nested selection sets", nest("{", "a{", "leaf", "}", "}")},
	{"nested selection sets, not closed", nest("{", "a{", "", "", "")},
	{"nested unknown fields", nest("{", "u{", "leaf", "}", "}")},
	{"nested inline fragments", nest("{", "...{", "leaf", "}", "}")},
	{"nested typed inline fragments", nest("{", "...on Query{", "leaf", "}", "}")},
	{"nested lists", nest("{f(l:", "[", "1", "]", "){leaf}}")},
	{"nested lists, not closed", nest("{f(l:", "[", "", "", "")},
	{"nested objects", nest("{f(x:", "{i:", "{}", "}", "){leaf}}")},
	{"nested objects in lists", nest("{f(x:", "[{i:", "1", "}]", "){leaf}}")},
	{"nested list types", nest("query($v:", "[", "Int", "]", "){f(l:[$v]){leaf}}")},
	{"nested lists as a default", nest("query($v:[Int]=", "[", "1", "]", "){f(l:$v){leaf}}")},
	{"nested parentheses", nest("{", "a(", "x", ")", "}")},
	{"only opening braces", fill("", "{", "")},
	{"only opening brackets", fill("", "[", "")},
	{"only closing braces", fill("{me{id}}", "}", "")},
	{"repeated anonymous operations", fill("", "{leaf}", "")},
	// Fragments.
	{"fragments that double",
		chain("{...F0}", "fragment F%[1]d on Query{...F%[2]d ...F%[2]d}",
			"fragment F%[1]d on Query{leaf}")},
	{"fragments that double, in fields",
		chain("{a{...F0}}", "fragment F%[1]d on A{x:a{...F%[2]d} y:a{...F%[2]d}}",
			"fragment F%[1]d on A{leaf}")},
	{"fragments that double, in one field",
		chain("{a{...F0}}", "fragment F%[1]d on A{a{...F%[2]d} a{...F%[2]d}}",
			"fragment F%[1]d on A{leaf}")},
	{"introspection that doubles",
		chain("{__schema{types{...F0}}}", "fragment F%[1]d on __Type{ofType{...F%[2]d ...F%[2]d}}",
			"fragment F%[1]d on __Type{name}")},
	{"introspection that doubles on one level",
		chain(`{__type(name:"A"){...F0}}`, "fragment F%[1]d on __Type{...F%[2]d ...F%[2]d}",
			"fragment F%[1]d on __Type{name}")},
	{"a chain of fragments",
		chain("{...F0}", "fragment F%[1]d on Query{...F%[2]d}", "fragment F%[1]d on Query{leaf}")},
	{"a chain of fragments, in fields",
		chain("{a{...F0}}", "fragment F%[1]d on A{a{...F%[2]d}}", "fragment F%[1]d on A{leaf}")},
	{"a fragment that spreads itself", fill("{...F} fragment F on Query{leaf ", "...F ", "}")},
	{"a cycle of fragments",
		chain("{...F0}", "fragment F%[1]d on Query{leaf ...F%[2]d}",
			"fragment F%[1]d on Query{...F0}")},
	{"a cycle of fragments, in fields",
		chain("{a{...F0}}", "fragment F%[1]d on A{a{...F%[2]d} leaf}",
			"fragment F%[1]d on A{a{...F0}a{...F0}}")},
	{"unused fragments", fill("{leaf}", "fragment F%[1]d on A{leaf}", "")},
	{"fragments of one name", fill("{...F}", "fragment F on Query{leaf}", "")},
	{"fragments on unknown types", fill("{leaf}", "fragment F%[1]d on U%[1]d{leaf}", "")},
	{"spreads of one fragment", fill("{", "...F ", "} fragment F on Query{leaf}")},
	{"spreads of a wide fragment",
		fill("{", "...F ", "} fragment F on Query{"+strings.Repeat("leaf ", 100)+"}")},
	{"spreads of missing fragments", fill("{", "...F%[1]d ", "}")},
	{"inline fragments of two types in a fragment",
		fill("{...F} fragment F on Query{", "...on Query{leaf} ...on A{leaf} ", "}")},
	// Wide documents.
	{"repeated fields", fill("{", "leaf ", "}")},
	{"repeated fields with a selection set", fill("{", "a{leaf} ", "}")},
	{"repeated fields with a selection set, and one unknown", fill("{", "a{leaf} ", "u}")},
	{"repeated fields that conflict", fill("{", "x:leaf x:name ", "}")},
	{"repeated fields with different arguments", fill("{", "a:f(n:%[1]d){leaf} ", "}")},
	{"fields of four names, and one unknown",
		fill("{a{", "leaf a{leaf}b{a{name}}...{name}", "u}}")},
	{"fields by alias, and one unknown", fill("{a{", "a{a:name b:leaf}", "u}}")},
	{"unknown fields in a field", fill("{a{", "u%[1]d ", "}}")},
	{"unknown fields in a fragment that is spread often",
		fill("{a{...F ...F ...F ...F}}fragment F on A{", "u%[1]d ", "}")},
	{"arguments of many fields, and one unknown", fill("{", "f(n:1,x:{i:{}}){leaf}", "u}")},
	{"unknown fields", fill("{", "u%[1]d ", "}")},
	{"one unknown field, repeated", fill("{", "u ", "}")},
	{"fields without a required selection set", fill("{", "a ", "}")},
	{"leaves with a selection set", fill("{", "leaf{leaf} ", "}")},
	{"inline fragments", fill("{", "...{leaf} ", "}")},
	{"inline fragments on unknown types", fill("{", "...on U%[1]d{leaf} ", "}")},
	{"impossible inline fragments", fill("{a{", "...on B{leaf} ", "}}")},
	{"aliases", fill("{", "x%[1]d:leaf ", "}")},
	{"aliased logins", fill("mutation{", `x%[1]d:login(name:"n",word:"w"){id} `, "}")},
	{"aliased logins in a fragment",
		fill("mutation{...F ...F}fragment F on Mutation{", `x%[1]d:login(name:"n",word:"w"){id} `,
			"}")},
	{"logins in inline fragments",
		fill("mutation{", `...{...{login(name:"n",word:"w"){id}}} `, "}")},
	{"typenames", fill("{", "__typename ", "}")},
	{"aliased introspection", fill("{", "x%[1]d:__schema{types{name}} ", "}")},
	{"circular introspection", nest("{__schema{types{", "fields{type{", "name", "}}", "}}}")},
	{"circular introspection of types", nest("{__schema{types{", "ofType{", "name", "}", "}}}")},
	{"nested schemas", nest("{", "__schema{", "x", "}", "}")},
	// Directives, arguments, variables.
	{"directives", fill("{leaf", "@skip(if:false)", "}")},
	{"unknown directives", fill("{leaf", "@u%[1]d", "}")},
	{"one unknown directive, repeated", fill("{leaf", "@u", "}")},
	{"directives on many fields", fill("{", "leaf@skip(if:true) ", "}")},
	{"unknown arguments", fill("{f(", "u%[1]d:1 ", "){leaf}}")},
	{"repeated arguments", fill("{f(", "n:1 ", "){leaf}}")},
	{"two fields with many arguments", fill("{f(n:1){leaf}f(", "u%[1]d:1 ", "){leaf}}")},
	{"fields without a required argument", fill("{", "need ", "}")},
	{"unknown object fields", fill("{f(x:{", "u%[1]d:1 ", "}){leaf}}")},
	{"repeated object fields", fill("{f(x:{", "i:{} ", "}){leaf}}")},
	{"a long list", fill("{f(l:[", "1 ", "]){leaf}}")},
	{"a long list of the wrong type", fill("{f(l:[", `"" `, "]){leaf}}")},
	{"a list instead of a scalar", fill("{f(n:[", "1 ", "]){leaf}}")},
	{"wrong enum values", fill("{", "f(e:WRONG%[1]d){leaf} ", "}")},
	{"variables", fill("query(", "$v%[1]d:Int ", "){leaf}")},
	{"variables of unknown types", fill("query(", "$v%[1]d:U%[1]d ", "){leaf}")},
	{"one variable, defined many times", fill("query(", "$v:Int ", "){leaf}")},
	{"undefined variables", fill("{f(l:[", "$v%[1]d ", "]){leaf}}")},
	{"uses of a variable", fill("query($v:[Int]){", "f(l:$v){leaf} ", "}")},
	{"uses of a variable with a default",
		fill("query($v:[Int]=["+strings.Repeat("1 ", 100)+"]){", "f(l:$v){leaf} ", "}")},
	{"operations", fill("", "query Q%[1]d{leaf} ", "")},
	{"operations of one name", fill("", "query Q{leaf} ", "")},
	{"operations without a name", fill("", "query{leaf} ", "")},
	{"operations that spread one fragment",
		fill("fragment F on Query{leaf leaf leaf leaf leaf leaf leaf leaf}", "query Q%[1]d{...F} ",
			"")},
	{"subscriptions with many fields", fill("subscription{", "x%[1]d:tick ", "}")},
	// Long tokens.
	{"a huge name", fill("{", "n", "}")},
	{"a huge alias", fill("{", "n", ":leaf}")},
	{"a huge type name", fill("{...on ", "T", "{leaf}}")},
	{"a huge enum value", fill("{f(e:", "E", "){leaf}}")},
	{"a huge string", fill(`{f(s:"`, "s", `"){leaf}}`)},
	{"a huge string for an enum", fill(`{f(e:"`, "s", `"){leaf}}`)},
	{"a huge string for a number", fill(`{f(n:"`, "s", `"){leaf}}`)},
	{"a huge string, not closed", fill(`{f(s:"`, "s", "")},
	{"a string of escapes", fill(`{f(s:"`, `\u0041`, `"){leaf}}`)},
	{"a string of emoji", fill(`{f(s:"`, "\U0001F600", `"){leaf}}`)},
	{"many strings", fill("{f(t:[", `"s" `, "]){leaf}}")},
	{"a huge block string", fill(`{f(s:"""`, "s", `"""){leaf}}`)},
	{"a block string of lines", fill(`{f(s:"""`, "\n", `"""){leaf}}`)},
	{"a block string of quotes", fill(`{f(s:"""`, `" `, `"""){leaf}}`)},
	{"a block string of escaped quotes", fill(`{f(s:"""`, `\"""`, `"""){leaf}}`)},
	{"a block string, not closed", fill(`{f(s:"""`, `""`+"\n", "")},
	{"a huge number", fill("{f(n:", "9", "){leaf}}")},
	{"a huge fraction", fill("{f(n:0.", "9", "){leaf}}")},
	{"a huge exponent", fill("{f(n:1e", "9", "){leaf}}")},
	{"a number made of zeros", fill("{f(n:", "0", "){leaf}}")},
	{"many numbers that are too large", fill("{f(l:[", "99999999999999999999 ", "]){leaf}}")},
	// Ignored characters, and characters that aren't tokens.
	{"comments", fill("", "#\n", "{me{id}}x")},
	{"a huge comment", fill("#", "c", "\n{me{id}}x")},
	{"comments between fields", fill("{", "leaf#c\n", "}")},
	{"commas", fill("", ",", "{me{id}}x")},
	{"byte order marks", fill("", "\uFEFF", "{me{id}}x")},
	{"carriage returns", fill("", "\r", "{me{id}}x")},
	{"spaces", fill("", " ", "")},
	{"null bytes", fill("{me{id}}", "\x00", "")},
	{"bytes that aren't UTF-8", fill("{me{id}}#", "\xff", "\n}")},
	{"dots", fill("{", ".", "}")},
	{"dots of a spread", fill("{", "...", "}")},
	{"dollars", fill("{", "$", "}")},
	{"at signs", fill("{leaf", "@", "}")},
	{"colons", fill("{leaf", ":", "}")},
	{"the schema language", fill("", "type T%[1]d{a:Int} ", "")},
}
