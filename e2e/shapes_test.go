package e2e

import (
	"bytes"
	"strings"
)

// shapes are documents and bodies that other servers have died of.
var shapes = []shape{
	// Nesting, which recursive parsers and validators pay for with their stack.
	{name: "selection sets", code: tooLarge, body: document(nested("{me", "{a", "{id}", "}", "}"))},
	{name: "selection sets, never closed", code: tooLarge, body: document(repeated("", "{a", ""))},
	{name: "braces", code: tooLarge, body: document(repeated("", "{", ""))},
	{name: "inline fragments", code: tooLarge, body: document(nested("", "{...", "{__typename}", "}", ""))},
	{name: "lists in an argument", code: tooLarge, body: document(nested("{me(a:", "[", "1", "]", "){id}}"))},
	{name: "lists, never closed", code: tooLarge, body: document(repeated("{me(a:", "[", ""))},
	{name: "objects in an argument", code: tooLarge, body: document(nested("{me(a:", "{a:", "1", "}", "){id}}"))},
	{name: "lists in a default value", code: tooLarge, body: document(nested("query($v:Int=", "[", "1", "]", "){me{id}}"))},
	{name: "lists in a variable's type", code: tooLarge, body: document(nested("query($v:", "[", "Int", "]", "){me{id}}"))},
	{name: "introspection, deep", code: tooLarge, body: document(nested("{__schema{types{", "fields{type{", "name", "}}", "}}}"))},

	// Fragments, each of which stands for more than it is.
	{name: "fragments that double", code: tooLarge, body: document(spreading(2, "me{id}"))},
	{name: "fragments that double, introspection", code: tooLarge, body: document(spreading(2, "__schema{types{fields{type{name}}}}"))},
	{name: "a chain of fragments", code: tooLarge, body: document(spreading(1, "me{id}"))},
	{name: "a cycle of fragments", code: tooLarge, body: document(repeated("{...A}fragment A on Query{...B}fragment B on Query{...A ", "...B ", "}"))},
	{name: "a fragment in itself", code: tooLarge, body: document(repeated("{...A}fragment A on Query{", "...A ", "}"))},
	{name: "unused fragments", code: tooLarge, body: document(numbered("{me{id}}", "fragment F# on User{id}", ""))},
	{name: "spreads of nothing", code: tooLarge, body: document(numbered("{", "...F# ", "}"))},

	// Many of one thing.
	{name: "a field, repeated", code: tooLarge, body: document(repeated("{", "me{id}", "}"))},
	{name: "a leaf, repeated", code: tooLarge, body: document(repeated("{me{", "id ", "}}"))},
	{name: "unknown fields", code: tooLarge, body: document(numbered("{", "x# ", "}"))},
	{name: "aliases", code: tooLarge, body: document(numbered("{", "a#:me{id}", "}"))},
	{name: "aliases of one name", code: tooLarge, body: document(numbered("{me{", "a:id a:username ", "}}"))},
	{name: "directives", code: tooLarge, body: document(repeated("{me ", "@skip(if:false)", "{id}}"))},
	{name: "unknown directives", code: tooLarge, body: document(numbered("{me ", "@d# ", "{id}}"))},
	{name: "arguments", code: tooLarge, body: document(numbered("{me(", "a#:1 ", "){id}}"))},
	{name: "an argument, repeated", code: tooLarge, body: document(repeated("{me(", "a:1 ", "){id}}"))},
	{name: "declared variables", code: tooLarge, body: document(numbered("query(", "$v#:Int ", "){me{id}}"))},
	{name: "operations", code: tooLarge, body: document(numbered("", "query q#{me{id}}", ""))},
	{name: "anonymous operations", code: tooLarge, body: document(repeated("", "{me{id}}", ""))},
	{name: "type definitions", code: tooLarge, body: document(numbered("{me{id}}", "type T#{a:Int}", ""))},
	{name: "items of a list", code: tooLarge, body: document(repeated("{me(a:[", "1 ", "]){id}}"))},
	{name: "unknown characters", code: parse, body: document(repeated("{me{id}}", "%", ""))},

	// One huge thing.
	{name: "a name", code: tooLarge, body: document(repeated("{", "n", "}"))},
	{name: "an alias", code: tooLarge, body: document(repeated("{", "n", ":me{id}}"))},
	{name: "an operation's name", code: tooLarge, body: document(repeated("query ", "n", "{me{id}}"))},
	{name: "a string", code: invalid, body: document(repeated(`{me(a:"`, "s", `"){id}}`))},
	{name: "a string, never closed", code: parse, body: document(repeated(`{me(a:"`, "s", ""))},
	{name: "escapes in a string", code: invalid, body: document(repeated(`{me(a:"`, `\n`, `"){id}}`))},
	{name: "a block string", code: invalid, body: document(repeated(`{me(a:"""`, "\n   s", `"""){id}}`))},
	{name: "a block string, never closed", code: parse, body: document(repeated(`{me(a:"""`, "\n", ""))},
	{name: "an integer", code: invalid, body: document(repeated("{me(a:1", "0", "){id}}"))},
	{name: "a float", code: invalid, body: document(repeated("{me(a:1.", "9", "e9){id}}"))},
	{name: "an exponent", code: invalid, body: document(repeated("{me(a:1e", "9", "){id}}"))},

	// What parsers step over.
	{name: "blanks", code: harmless, body: document(repeated("{me{id}", " ", "}"))},
	{name: "commas", code: harmless, body: document(repeated("{me{id}", ",", "}"))},
	{name: "comments", code: harmless, body: document(repeated("{me{id}", "#\n", "}"))},
	{name: "one comment", code: harmless, body: document(repeated("{me{id}} #", "c", ""))},
	{name: "BOMs", code: harmless, body: document(repeated("{me{id}", "\ufeff", "}"))},
	{name: "blanks around the body", code: harmless, body: padded1},

	// JSON.
	{name: "JSON, lists", code: bad, body: whole(nested("", "[", "", "]", ""))},
	{name: "JSON, lists never closed", code: bad, body: whole(repeated(`{"query":`, "[", ""))},
	{name: "JSON, objects", code: bad, body: whole(nested(`{"query":`, `{"a":`, "1", "}", "}"))},
	{name: "JSON, an unknown member", code: bad, body: whole(nested(`{"query":"{me{id}}","x":`, "[", "", "]", "}"))},
	{name: "JSON, extensions", code: bad, body: whole(nested(`{"query":"{me{id}}","extensions":{"x":`, "[", "", "]", "}}"))},
	{name: "JSON, lists in variables", code: bad, body: whole(nested(`{"query":"query($v:Int){me{id}}","variables":{"v":`, "[", "1", "]", "}}"))},
	{name: "JSON, objects in variables", code: bad, body: whole(nested(`{"query":"query($v:Int){me{id}}","variables":{"v":`, `{"v":`, "1", "}", "}}"))},
	{name: "JSON, query twice", code: bad, body: whole(repeated(`{"query":"{me{id}}"`, `,"query":"{me{id}}"`, "}"))},
	{name: "JSON, a variable twice", code: bad, body: whole(repeated(`{"query":"{me{id}}","variables":{"v":1`, `,"v":1`, "}}"))},
	{name: "JSON, a long integer", code: bad, body: whole(repeated(`{"query":"mutation($v:String!){logout(refreshToken:$v)}","variables":{"v":1`, "0", "}}"))},
	{name: "JSON, a long exponent", code: bad, body: whole(repeated(`{"query":"mutation($v:String!){logout(refreshToken:$v)}","variables":{"v":1e`, "9", "}}"))},
	{name: "JSON, a long string for an integer", code: input, body: whole(repeated(`{"query":"query($v:Boolean!){me @skip(if:$v){id}}","variables":{"v":"`, "s", `"}}`))},
	{name: "JSON, a list for a string", code: input, body: whole(repeated(`{"query":"mutation($v:String!){logout(refreshToken:$v)}","variables":{"v":["a"`, `,"a"`, `]}}`))},
	{name: "JSON, operationName", code: tooLarge, body: whole(repeated(`{"query":"{me{id}}","operationName":"`, "n", `"}`))},
	{name: "JSON, a BOM", code: bad, body: whole(repeated("\ufeff"+`{"query":"{me{id}`, " ", `}"}`))},
	{name: "JSON, not UTF-8", code: bad, body: whole(repeated(`{"query":"{me{id}`, "\xff", `}"}`))},
	{name: "JSON, half of a surrogate pair", code: parse, body: whole(repeated(`{"query":"{me{id}`, `\ud800`, `}"}`))},
	{name: "JSON, NULs", code: bad, body: whole(repeated("", "\x00", ""))},
	{name: "JSON, a second value", code: bad, body: whole(repeated(`{"query":"{me{id}}"}`, `{}`, ""))},
	{name: "JSON, a batch", code: bad, body: whole(repeated(`[{"query":"{me{id}}"}`, `,{"query":"{me{id}}"}`, "]"))},
	{name: "JSON, a long hash", code: bad, body: whole(repeated(`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"`, "0", `"}}}`))},
}

func padded1(size int) []byte {
	body := []byte(`{"query":"{me{id}}"}`)
	return append(bytes.Repeat([]byte(" "), size-len(body)), body...)
}

// spreading is a chain of fragments, each of which spreads the next one as often as times says, down to last.
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
