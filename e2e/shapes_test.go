package e2e

import "strings"

// shapes are documents and bodies that have brought down other servers.
var shapes = []shape{
	// Nesting, which may overflow the stack of recursive parsers and validators.
	{name: "selection sets", codes: codes{codeTooLarge},
		body: documentBody(nest("{me", "{a", "{id}", "}", "}"))},
	{name: "selection sets, never closed", codes: codes{codeTooLarge},
		body: documentBody(repeat("", "{a", ""))},
	{name: "opening braces", codes: codes{codeParseFailed},
		body: documentBody(repeat("", "{", ""))},
	{name: "inline fragments", codes: codes{codeTooLarge},
		body: documentBody(nest("", "{...", "{__typename}", "}", ""))},
	{name: "lists in an argument", codes: codes{codeTooLarge},
		body: documentBody(nest("{me(a:", "[", "1", "]", "){id}}"))},
	{name: "lists, never closed", codes: codes{codeTooLarge},
		body: documentBody(repeat("{me(a:", "[", ""))},
	{name: "objects in an argument", codes: codes{codeTooLarge},
		body: documentBody(nest("{me(a:", "{a:", "1", "}", "){id}}"))},
	{name: "lists in a default value", codes: codes{codeTooLarge},
		body: documentBody(nest("query($v:Int=", "[", "1", "]", "){me{id}}"))},
	{name: "lists in a variable's type", codes: codes{codeTooLarge},
		body: documentBody(nest("query($v:", "[", "Int", "]", "){me{id}}"))},
	{name: "introspection, deep", codes: codes{codeTooLarge},
		body: documentBody(nest("{__schema{types{", "fields{type{", "name", "}}", "}}}"))},

	// Fragments, which expand to much more than their text.
	{name: "fragments that double", codes: codes{codeTooLarge},
		body: documentBody(fragmentChain(2, "me{id}"))},
	{name: "fragments that double, introspection", codes: codes{codeTooLarge},
		body: documentBody(fragmentChain(2, "__schema{types{fields{type{name}}}}"))},
	{name: "a chain of fragments", codes: codes{codeUnauthenticated, codeTooLarge},
		body: documentBody(fragmentChain(1, "me{id}"))},
	{name: "a cycle of fragments", codes: codes{codeValidationFailed, codeTooLarge},
		body: documentBody(repeat("{...A}fragment A on Query{...B}fragment B on Query{...A ",
			"...B ", "}"))},
	{name: "a fragment that spreads itself", codes: codes{codeValidationFailed, codeTooLarge},
		body: documentBody(repeat("{...A}fragment A on Query{", "...A ", "}"))},
	{name: "unused fragments", codes: codes{codeValidationFailed, codeTooLarge},
		body: documentBody(enumerate("{me{id}}", "fragment F# on User{id}", ""))},
	{name: "spreads of unknown fragments", codes: codes{codeValidationFailed, codeTooLarge},
		body: documentBody(enumerate("{", "...F# ", "}"))},

	// Repetition.
	{name: "a field, repeated", codes: codes{codeTooLarge},
		body: documentBody(repeat("{", "me{id}", "}"))},
	{name: "a leaf, repeated", codes: codes{codeUnauthenticated, codeTooLarge},
		body: documentBody(repeat("{me{", "id ", "}}"))},
	{name: "unknown fields", codes: codes{codeTooLarge},
		body: documentBody(enumerate("{", "x# ", "}"))},
	{name: "many aliases", codes: codes{codeTooLarge},
		body: documentBody(enumerate("{", "a#:me{id}", "}"))},
	{name: "aliases of one name", codes: codes{codeTooLarge},
		body: documentBody(enumerate("{me{", "a:id a:username ", "}}"))},
	{name: "a directive, repeated", codes: codes{codeTooLarge},
		body: documentBody(repeat("{me ", "@skip(if:false)", "{id}}"))},
	{name: "unknown directives", codes: codes{codeTooLarge},
		body: documentBody(enumerate("{me ", "@d# ", "{id}}"))},
	{name: "many arguments", codes: codes{codeTooLarge},
		body: documentBody(enumerate("{me(", "a#:1 ", "){id}}"))},
	{name: "an argument, repeated", codes: codes{codeTooLarge},
		body: documentBody(repeat("{me(", "a:1 ", "){id}}"))},
	{name: "many variables", codes: codes{codeTooLarge},
		body: documentBody(enumerate("query(", "$v#:Int ", "){me{id}}"))},
	{name: "many operations", codes: codes{codeTooLarge},
		body: documentBody(enumerate("", "query q#{me{id}}", ""))},
	{name: "many anonymous operations", codes: codes{codeTooLarge},
		body: documentBody(repeat("", "{me{id}}", ""))},
	{name: "many type definitions", codes: codes{codeParseFailed},
		body: documentBody(enumerate("{me{id}}", "type T#{a:Int}", ""))},
	{name: "many items of a list", codes: codes{codeTooLarge},
		body: documentBody(repeat("{me(a:[", "1 ", "]){id}}"))},
	{name: "invalid characters", codes: codes{codeParseFailed},
		body: documentBody(repeat("{me{id}}", "%", ""))},

	// Huge tokens.
	{name: "long name", codes: codes{codeTooLarge}, body: documentBody(repeat("{", "n", "}"))},
	{name: "long alias", codes: codes{codeTooLarge},
		body: documentBody(repeat("{", "n", ":me{id}}"))},
	{name: "long operation name", codes: codes{codeTooLarge},
		body: documentBody(repeat("query ", "n", "{me{id}}"))},
	{name: "long string", codes: codes{codeValidationFailed, codeValidationFailed, codeTooLarge},
		body: documentBody(repeat(`{me(a:"`, "s", `"){id}}`))},
	{name: "long string, never closed",
		codes: codes{codeParseFailed, codeParseFailed,
			codeTooLarge}, body: documentBody(repeat(`{me(a:"`, "s", ""))},
	{name: "many escapes in a string",
		codes: codes{codeValidationFailed, codeValidationFailed,
			codeTooLarge}, body: documentBody(repeat(`{me(a:"`, `\n`, `"){id}}`))},
	{name: "long block string",
		codes: codes{codeValidationFailed, codeValidationFailed,
			codeTooLarge}, body: documentBody(repeat(`{me(a:"""`, "\n   s", `"""){id}}`))},
	{name: "long block string, never closed",
		codes: codes{codeParseFailed, codeParseFailed,
			codeTooLarge}, body: documentBody(repeat(`{me(a:"""`, "\n", ""))},
	{name: "long integer", codes: codes{codeTooLarge},
		body: documentBody(repeat("{me(a:1", "0", "){id}}"))},
	{name: "long float", codes: codes{codeTooLarge},
		body: documentBody(repeat("{me(a:1.", "9", "e9){id}}"))},
	{name: "long exponent", codes: codes{codeTooLarge},
		body: documentBody(repeat("{me(a:1e", "9", "){id}}"))},

	// Text that parsers ignore.
	{name: "blanks", codes: codes{codeUnauthenticated},
		body: documentBody(repeat("{me{id}", " ", "}"))},
	{name: "commas", codes: codes{codeUnauthenticated},
		body: documentBody(repeat("{me{id}", ",", "}"))},
	{name: "comments", codes: codes{codeUnauthenticated, codeTooLarge},
		body: documentBody(repeat("{me{id}", "#\n", "}"))},
	{name: "one long comment", codes: codes{codeUnauthenticated},
		body: documentBody(repeat("{me{id}} #", "c", ""))},
	{name: "BOMs", codes: codes{codeUnauthenticated},
		body: documentBody(repeat("{me{id}", "\ufeff", "}"))},
	{name: "blanks around the body", codes: codes{codeUnauthenticated}, body: pad},

	// JSON.
	{name: "JSON, lists", codes: codes{codeBadRequest}, body: rawBody(nest("", "[", "", "]", ""))},
	{name: "JSON, lists never closed", codes: codes{codeBadRequest},
		body: rawBody(repeat(`{"query":`, "[", ""))},
	{name: "JSON, objects", codes: codes{codeBadRequest},
		body: rawBody(nest(`{"query":`, `{"a":`, "1", "}", "}"))},
	{name: "JSON, an unknown field", codes: codes{codeBadRequest},
		body: rawBody(nest(`{"query":"{me{id}}","x":`, "[", "", "]", "}"))},
	{name: "JSON, extensions", codes: codes{codeBadRequest},
		body: rawBody(nest(`{"query":"{me{id}}","extensions":{"x":`, "[", "", "]", "}}"))},
	{name: "JSON, lists in variables", codes: codes{codeBadRequest},
		body: rawBody(nest(`{"query":"query($v:Int){me{id}}","variables":{"v":`, "[", "1", "]",
			"}}"))},
	{name: "JSON, objects in variables", codes: codes{codeBadRequest},
		body: rawBody(nest(`{"query":"query($v:Int){me{id}}","variables":{"v":`, `{"v":`, "1", "}",
			"}}"))},
	{name: "JSON, query twice", codes: codes{codeBadRequest},
		body: rawBody(repeat(`{"query":"{me{id}}"`, `,"query":"{me{id}}"`, "}"))},
	{name: "JSON, a variable twice", codes: codes{codeBadRequest},
		body: rawBody(repeat(`{"query":"{me{id}}","variables":{"v":1`, `,"v":1`, "}}"))},
	{name: "JSON, a long integer", codes: codes{codeBadRequest},
		body: rawBody(repeat(`{"query":"mutation($v:String!){logout(refreshToken:$v)}","variables":{"v":1`, "0", "}}"))},
	{name: "JSON, a long exponent", codes: codes{codeBadRequest},
		body: rawBody(repeat(`{"query":"mutation($v:String!){logout(refreshToken:$v)}","variables":{"v":1e`, "9", "}}"))},
	{name: "JSON, a long string for an integer", codes: codes{codeBadInput},
		body: rawBody(repeat(`{"query":"query($v:Boolean!){me `+
			`@skip(if:$v){id}}","variables":{"v":"`, "s", `"}}`))},
	{name: "JSON, a list for a string", codes: codes{codeBadInput, codeBadRequest},
		body: rawBody(repeat(`{"query":"mutation($v:String!){logout(refreshToken:$v)}","variables":{"v":["a"`, `,"a"`, `]}}`))},
	{name: "JSON, a long operationName", codes: codes{codeTooLarge},
		body: rawBody(repeat(`{"query":"{me{id}}","operationName":"`, "n", `"}`))},
	{name: "JSON, two BOMs", codes: codes{codeBadRequest},
		body: rawBody(repeat("\ufeff\ufeff"+`{"query":"{me{id}`, " ", `}"}`))},
	{name: "JSON, not UTF-8", codes: codes{codeBadRequest},
		body: rawBody(repeat(`{"query":"{me{id}`, "\xff", `}"}`))},
	{name: "JSON, half of a surrogate pair", codes: codes{codeBadRequest},
		body: rawBody(repeat(`{"query":"{me{id}`, `\ud800`, `}"}`))},
	{name: "JSON, NULs", codes: codes{codeBadRequest}, body: rawBody(repeat("", "\x00", ""))},
	{name: "JSON, a second value", codes: codes{codeBadRequest},
		body: rawBody(repeat(`{"query":"{me{id}}"}`, `{}`, ""))},
	{name: "JSON, a batch", codes: codes{codeBadRequest},
		body: rawBody(repeat(`[{"query":"{me{id}}"}`, `,{"query":"{me{id}}"}`, "]"))},
	{name: "JSON, a long hash", codes: codes{codeBadRequest},
		body: rawBody(repeat(`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"`, "0",
			`"}}}`))},
}

// fragmentChain returns a function that returns a document with a chain of fragments. Each fragment
// spreads the next one this many times, and the last fragment has this selection.
func fragmentChain(times int, selection string) func(size int) string {
	return func(size int) string {
		var b strings.Builder
		b.WriteString("{...F1}")
		for i := 1; ; i++ {
			name, condition := "fragment F"+itoa(i), " on Query{"
			link := name + condition + strings.Repeat("...F"+itoa(i+1)+" ", times) + "}"
			if b.Len()+len(link)+len(name+condition+selection+"}")+1 > size {
				return b.String() + name + condition + selection + "}"
			}
			b.WriteString(link)
		}
	}
}
