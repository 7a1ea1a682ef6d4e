package e2e

import "strings"

// shapes are documents and bodies that have brought down other servers.
var shapes = []shape{
	// Nesting, which may overflow the stack of recursive parsers and validators.
	{name: "selection sets", codes: codes{tooLarge}, body: document(nested("{me", "{a", "{id}", "}", "}"))},
	{name: "selection sets, never closed", codes: codes{tooLarge}, body: document(repeated("", "{a", ""))},
	{name: "braces", codes: codes{parse}, body: document(repeated("", "{", ""))},
	{name: "inline fragments", codes: codes{tooLarge}, body: document(nested("", "{...", "{__typename}", "}", ""))},
	{name: "lists in an argument", codes: codes{tooLarge}, body: document(nested("{me(a:", "[", "1", "]", "){id}}"))},
	{name: "lists, never closed", codes: codes{tooLarge}, body: document(repeated("{me(a:", "[", ""))},
	{name: "objects in an argument", codes: codes{tooLarge}, body: document(nested("{me(a:", "{a:", "1", "}", "){id}}"))},
	{name: "lists in a default value", codes: codes{tooLarge}, body: document(nested("query($v:Int=", "[", "1", "]", "){me{id}}"))},
	{name: "lists in a variable's type", codes: codes{tooLarge}, body: document(nested("query($v:", "[", "Int", "]", "){me{id}}"))},
	{name: "introspection, deep", codes: codes{tooLarge}, body: document(nested("{__schema{types{", "fields{type{", "name", "}}", "}}}"))},

	// Fragments, which expand to much more than their text.
	{name: "fragments that double", codes: codes{tooLarge}, body: document(spreading(2, "me{id}"))},
	{name: "fragments that double, introspection", codes: codes{tooLarge}, body: document(spreading(2, "__schema{types{fields{type{name}}}}"))},
	{name: "a chain of fragments", codes: codes{harmless, tooLarge}, body: document(spreading(1, "me{id}"))},
	{name: "a cycle of fragments", codes: codes{invalid, tooLarge}, body: document(repeated("{...A}fragment A on Query{...B}fragment B on Query{...A ", "...B ", "}"))},
	{name: "a fragment in itself", codes: codes{invalid, tooLarge}, body: document(repeated("{...A}fragment A on Query{", "...A ", "}"))},
	{name: "unused fragments", codes: codes{invalid, tooLarge}, body: document(numbered("{me{id}}", "fragment F# on User{id}", ""))},
	{name: "spreads of nothing", codes: codes{invalid, tooLarge}, body: document(numbered("{", "...F# ", "}"))},

	// Many of the same.
	{name: "a field, repeated", codes: codes{tooLarge}, body: document(repeated("{", "me{id}", "}"))},
	{name: "a leaf, repeated", codes: codes{harmless, tooLarge}, body: document(repeated("{me{", "id ", "}}"))},
	{name: "unknown fields", codes: codes{tooLarge}, body: document(numbered("{", "x# ", "}"))},
	{name: "aliases", codes: codes{tooLarge}, body: document(numbered("{", "a#:me{id}", "}"))},
	{name: "aliases of one name", codes: codes{tooLarge}, body: document(numbered("{me{", "a:id a:username ", "}}"))},
	{name: "directives", codes: codes{tooLarge}, body: document(repeated("{me ", "@skip(if:false)", "{id}}"))},
	{name: "unknown directives", codes: codes{tooLarge}, body: document(numbered("{me ", "@d# ", "{id}}"))},
	{name: "arguments", codes: codes{tooLarge}, body: document(numbered("{me(", "a#:1 ", "){id}}"))},
	{name: "an argument, repeated", codes: codes{tooLarge}, body: document(repeated("{me(", "a:1 ", "){id}}"))},
	{name: "declared variables", codes: codes{tooLarge}, body: document(numbered("query(", "$v#:Int ", "){me{id}}"))},
	{name: "operations", codes: codes{tooLarge}, body: document(numbered("", "query q#{me{id}}", ""))},
	{name: "anonymous operations", codes: codes{tooLarge}, body: document(repeated("", "{me{id}}", ""))},
	{name: "type definitions", codes: codes{parse}, body: document(numbered("{me{id}}", "type T#{a:Int}", ""))},
	{name: "items of a list", codes: codes{tooLarge}, body: document(repeated("{me(a:[", "1 ", "]){id}}"))},
	{name: "unknown characters", codes: codes{parse}, body: document(repeated("{me{id}}", "%", ""))},

	// Huge tokens.
	{name: "a name", codes: codes{tooLarge}, body: document(repeated("{", "n", "}"))},
	{name: "an alias", codes: codes{tooLarge}, body: document(repeated("{", "n", ":me{id}}"))},
	{name: "an operation's name", codes: codes{tooLarge}, body: document(repeated("query ", "n", "{me{id}}"))},
	{name: "a string", codes: codes{invalid, invalid, tooLarge}, body: document(repeated(`{me(a:"`, "s", `"){id}}`))},
	{name: "a string, never closed", codes: codes{parse, parse, tooLarge}, body: document(repeated(`{me(a:"`, "s", ""))},
	{name: "escapes in a string", codes: codes{invalid, invalid, tooLarge}, body: document(repeated(`{me(a:"`, `\n`, `"){id}}`))},
	{name: "a block string", codes: codes{invalid, invalid, tooLarge}, body: document(repeated(`{me(a:"""`, "\n   s", `"""){id}}`))},
	{name: "a block string, never closed", codes: codes{parse, parse, tooLarge}, body: document(repeated(`{me(a:"""`, "\n", ""))},
	{name: "an integer", codes: codes{tooLarge}, body: document(repeated("{me(a:1", "0", "){id}}"))},
	{name: "a float", codes: codes{tooLarge}, body: document(repeated("{me(a:1.", "9", "e9){id}}"))},
	{name: "an exponent", codes: codes{tooLarge}, body: document(repeated("{me(a:1e", "9", "){id}}"))},

	// Text that parsers ignore.
	{name: "blanks", codes: codes{harmless}, body: document(repeated("{me{id}", " ", "}"))},
	{name: "commas", codes: codes{harmless}, body: document(repeated("{me{id}", ",", "}"))},
	{name: "comments", codes: codes{harmless, tooLarge}, body: document(repeated("{me{id}", "#\n", "}"))},
	{name: "one comment", codes: codes{harmless}, body: document(repeated("{me{id}} #", "c", ""))},
	{name: "BOMs", codes: codes{harmless}, body: document(repeated("{me{id}", "\ufeff", "}"))},
	{name: "blanks around the body", codes: codes{harmless}, body: padded},

	// JSON.
	{name: "JSON, lists", codes: codes{bad}, body: whole(nested("", "[", "", "]", ""))},
	{name: "JSON, lists never closed", codes: codes{bad}, body: whole(repeated(`{"query":`, "[", ""))},
	{name: "JSON, objects", codes: codes{bad}, body: whole(nested(`{"query":`, `{"a":`, "1", "}", "}"))},
	{name: "JSON, an unknown member", codes: codes{bad}, body: whole(nested(`{"query":"{me{id}}","x":`, "[", "", "]", "}"))},
	{name: "JSON, extensions", codes: codes{bad}, body: whole(nested(`{"query":"{me{id}}","extensions":{"x":`, "[", "", "]", "}}"))},
	{name: "JSON, lists in variables", codes: codes{bad}, body: whole(nested(`{"query":"query($v:Int){me{id}}","variables":{"v":`, "[", "1", "]", "}}"))},
	{name: "JSON, objects in variables", codes: codes{bad}, body: whole(nested(`{"query":"query($v:Int){me{id}}","variables":{"v":`, `{"v":`, "1", "}", "}}"))},
	{name: "JSON, query twice", codes: codes{bad}, body: whole(repeated(`{"query":"{me{id}}"`, `,"query":"{me{id}}"`, "}"))},
	{name: "JSON, a variable twice", codes: codes{bad}, body: whole(repeated(`{"query":"{me{id}}","variables":{"v":1`, `,"v":1`, "}}"))},
	{name: "JSON, a long integer", codes: codes{bad}, body: whole(repeated(`{"query":"mutation($v:String!){logout(refreshToken:$v)}","variables":{"v":1`, "0", "}}"))},
	{name: "JSON, a long exponent", codes: codes{bad}, body: whole(repeated(`{"query":"mutation($v:String!){logout(refreshToken:$v)}","variables":{"v":1e`, "9", "}}"))},
	{name: "JSON, a long string for an integer", codes: codes{input}, body: whole(repeated(`{"query":"query($v:Boolean!){me @skip(if:$v){id}}","variables":{"v":"`, "s", `"}}`))},
	{name: "JSON, a list for a string", codes: codes{input, bad}, body: whole(repeated(`{"query":"mutation($v:String!){logout(refreshToken:$v)}","variables":{"v":["a"`, `,"a"`, `]}}`))},
	{name: "JSON, operationName", codes: codes{tooLarge}, body: whole(repeated(`{"query":"{me{id}}","operationName":"`, "n", `"}`))},
	{name: "JSON, two BOMs", codes: codes{bad}, body: whole(repeated("\ufeff\ufeff"+`{"query":"{me{id}`, " ", `}"}`))},
	{name: "JSON, not UTF-8", codes: codes{bad}, body: whole(repeated(`{"query":"{me{id}`, "\xff", `}"}`))},
	{name: "JSON, half of a surrogate pair", codes: codes{bad}, body: whole(repeated(`{"query":"{me{id}`, `\ud800`, `}"}`))},
	{name: "JSON, NULs", codes: codes{bad}, body: whole(repeated("", "\x00", ""))},
	{name: "JSON, a second value", codes: codes{bad}, body: whole(repeated(`{"query":"{me{id}}"}`, `{}`, ""))},
	{name: "JSON, a batch", codes: codes{bad}, body: whole(repeated(`[{"query":"{me{id}}"}`, `,{"query":"{me{id}}"}`, "]"))},
	{name: "JSON, a long hash", codes: codes{bad}, body: whole(repeated(`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"`, "0", `"}}}`))},
}

// spreading returns a chain of fragments. Each spreads the next one this many times, and the last
// one selects last.
func spreading(times int, last string) func(size int) string {
	return func(size int) string {
		var all strings.Builder
		all.WriteString("{...F1}")
		for i := 1; ; i++ {
			name, on := "fragment F"+itoa(i), " on Query{"
			link := name + on + strings.Repeat("...F"+itoa(i+1)+" ", times) + "}"
			if all.Len()+len(link)+len(name+on+last+"}")+1 > size {
				return all.String() + name + on + last + "}"
			}
			all.WriteString(link)
		}
	}
}
