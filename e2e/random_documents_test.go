package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A documentWriter writes random documents for the echo's schema. Most of them are valid.
type documentWriter struct {
	*rand.Rand
	out       strings.Builder
	variables []string // the names of the declared variables
}

// choose returns one of the choices.
func (w *documentWriter) choose(choices ...string) string { return choices[w.IntN(len(choices))] }

// oneIn returns true once in n calls, on average.
func (w *documentWriter) oneIn(n int) bool { return w.IntN(n) == 0 }

// maybeWrong returns value or, once in 50 calls, one of the wrong values.
func (w *documentWriter) maybeWrong(value string, wrongValues ...string) string {
	if w.oneIn(50) {
		return w.choose(wrongValues...)
	}
	return value
}

// put writes tokens and, between them, random text that parsers ignore.
func (w *documentWriter) put(tokens ...string) {
	for _, token := range tokens {
		w.out.WriteString(token)
		if w.oneIn(3) {
			w.out.WriteString(w.choose(" ", "\n", "\r\n", "\r", ",", "\t", "# é🔑\"\n",
				"#\x01 {\r\n", "\ufeff"))
		}
	}
}

// variableTypes has the types of the arguments of the field echo. Each variable is named after the
// argument that it is for.
var variableTypes = map[string]string{
	"s": "String", "i": "Int", "f": "Float", "b": "Boolean", "id": "ID", "color": "Color",
	"in": "In", "list": "[String!]", "matrix": "[[Int]]", "need": "Need",
}

// newCase returns a new document and its variables. A third of the documents are mutated.
func (w *documentWriter) newCase() languageCase {
	w.out.Reset()
	w.variables = nil
	w.writeDescription()
	if w.oneIn(8) {
		w.put("\ufeff")
	}
	var values []string
	if !w.oneIn(4) {
		w.put("query ", w.choose("", "Q", "on", "query", "fragment"))
		if !w.oneIn(4) {
			w.put("(")
			for range 1 + w.IntN(3) {
				name := w.chooseArgument()
				if slices.Contains(w.variables, name) {
					continue
				}
				w.writeDescription()
				typ, required := variableTypes[name], w.oneIn(20)
				if required {
					typ += "!"
				}
				w.put("$", name, ":", typ)
				w.variables = append(w.variables, name)
				if w.oneIn(3) {
					w.put("=")
					w.writeValue(name, true)
				}
				w.writeDirective(true)
				if required || !w.oneIn(4) {
					values = append(values, fmt.Sprintf("%q:%s", name, w.variableJSON(name, 2)))
				}
			}
			w.put(")")
		}
		w.writeDirective(false)
	}
	w.writeSelections(2)
	if strings.Contains(w.out.String(), "...F") {
		w.writeDescription()
		w.put("fragment ", "F ", "on ", "Query")
		w.writeDirective(false)
		w.writeSelections(1)
	}
	c := languageCase{Query: w.out.String(), Variables: "{" + strings.Join(values, ",") + "}"}
	if w.oneIn(3) {
		for range 1 + w.IntN(3) {
			c.Query = w.mutate(c.Query)
		}
	}
	return c
}

// writeDescription writes a description, once in eight calls.
func (w *documentWriter) writeDescription() {
	if w.oneIn(8) {
		w.writeString()
	}
}

// chooseArgument returns the name of an argument of the field echo.
func (w *documentWriter) chooseArgument() string {
	return w.choose("s", "s", "i", "f", "b", "id", "color", "in", "list", "matrix", "need")
}

// writeSelections writes a selection set with at most depth levels below it.
func (w *documentWriter) writeSelections(depth int) {
	w.put("{")
	for _, name := range w.variables { // variables must be used
		w.put("use_", name, ":", "echo", "(", name, ":", "$", name, ")")
	}
	for range 1 + w.IntN(3) {
		switch kind := w.IntN(8); {
		case kind == 0 && depth > 1:
			w.put("...", "F")
			w.writeDirective(false)
		case kind == 1 && depth > 0:
			w.put("...", w.choose("", "on Query"))
			w.writeDirective(false)
			w.writeSelections(depth - 1)
		case kind == 2 && depth > 0:
			w.put("self ")
			w.writeDirective(false)
			w.writeSelections(depth - 1)
		default:
			w.put(w.choose("a", "b", "c", "on", "null")+fmt.Sprint(w.IntN(1000)), ":", "echo")
			w.writeArguments()
			w.writeDirective(false)
			w.put(" ")
		}
	}
	w.put("}")
}

// writeArguments writes the arguments of the field echo.
func (w *documentWriter) writeArguments() {
	if w.oneIn(8) {
		return
	}
	w.put("(")
	seen := map[string]bool{}
	for range 1 + w.IntN(3) {
		if name := w.chooseArgument(); !seen[name] {
			seen[name] = true
			w.put(name, ":")
			w.writeValue(name, false)
			w.put(" ")
		}
	}
	w.put(")")
}

// writeDirective writes a directive, once in ten calls. If constant is true, the directive has no
// variables.
func (w *documentWriter) writeDirective(constant bool) {
	if !w.oneIn(10) {
		return
	}
	w.put("@", "tag", "(", "name", ":")
	w.writeValue("s", constant)
	w.put(")")
}

// writeString writes a random string.
func (w *documentWriter) writeString() {
	w.out.WriteString(w.stringLiteral())
	w.put("")
}

// stringLiteral returns a random string literal or block string.
func (w *documentWriter) stringLiteral() string {
	var text strings.Builder
	if w.oneIn(3) {
		text.WriteString(`"""`)
		for range w.IntN(8) {
			text.WriteString(w.choose("a", " ", "  ", "\t", "\n", "\n    ", "\n  ", "\r\n", "\r",
				"\r ", `\"""`, `"`, `""`, `\`, `\u0041`, "é", "🔑", "\x00", "\n\t", "\ufeff",
				"\u2028"))
		}
		text.WriteString(w.choose("", "", "", " ", "\n") + `"""`)
		return text.String()
	}
	text.WriteString(`"`)
	for range w.IntN(6) {
		text.WriteString(w.choose("a", " ", "\t", `\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`,
			`\u0041`, `\u00e9`, `\u0000`, `\uD83D\uDD11`, `\ud83d\udd11`, `\uFFFF`, `\u{1F511}`,
			`\u{41}`, `\u{0010FFFF}`, "é", "🔑", "\x00", "\x1f", "\x7f", "#", "{", "\ufeff",
			"\u2028"))
	}
	text.WriteString(`"`)
	return text.String()
}

// writeValue writes a value for an argument. If constant is true, the value has no variables.
func (w *documentWriter) writeValue(name string, constant bool) {
	if !constant && len(w.variables) > 0 && w.oneIn(2) {
		for _, variable := range w.variables {
			if variable == name || w.oneIn(64) {
				w.put("$", variable)
				return
			}
		}
	}
	if w.oneIn(50) {
		name = w.chooseArgument() // probably of another type
	}
	switch name {
	case "s":
		w.writeString()
	case "i":
		w.put(w.maybeWrong(w.choose("0", "1", "-17", "2147483647", "-2147483648"), "2147483648",
			"-2147483649", "1.0", "99999999999999999999"))
	case "f":
		w.put(w.choose("0", "-1", "1.5", "-0.25e3", "1E-2", "0.0", "2e+1", "1e308", "123456789012",
			"1.0000000000000002"))
	case "b":
		w.put(w.choose("true", "false", "null"))
	case "id":
		w.put(w.choose("1", "-1", "0", "9007199254740993", "2147483648", `"x"`, `""`, `"""y"""`))
	case "color":
		w.put(w.maybeWrong(w.choose("RED", "GREEN", "null"), "red", "BLUE", `"RED"`))
	case "list":
		w.writeList("s", constant)
	case "matrix":
		w.put("[")
		for range w.IntN(3) {
			w.writeList("i", constant)
		}
		w.put("]")
	case "in", "need":
		w.put("{")
		seen := map[string]bool{}
		if name == "need" && !w.oneIn(4) {
			w.put("s", ":")
			w.writeString()
		} else if name == "in" {
			for range w.IntN(3) {
				field := w.choose("s", "i", "f", "b", "id", "color", "list", "in", "preset")
				if !seen[field] || w.oneIn(8) {
					seen[field] = true
					w.put(field, ":")
					if field == "preset" {
						field = "i"
					}
					w.writeValue(field, constant)
					w.put(" ")
				}
			}
		}
		w.put("}")
	}
}

// writeList writes a list of values for the argument item or, once in eight calls, a single value.
func (w *documentWriter) writeList(item string, constant bool) {
	if w.oneIn(8) {
		w.writeValue(item, constant)
		return
	}
	w.put("[")
	for range w.IntN(3) {
		w.writeValue(item, constant)
		w.put(" ")
	}
	w.put("]")
}

// variableJSON returns a random JSON value for the variable of this name. JavaScript represents
// each number in it exactly.
func (w *documentWriter) variableJSON(name string, depth int) string {
	if w.oneIn(20) {
		return w.choose("null", "[]", "{}", "1", `"1"`, "true", "1.5", `[null]`, `["a"]`, "[[1]]",
			`{"__typename":"In"}`, `{"s":1}`, `"RED"`)
	}
	switch name {
	case "s":
		return w.choose(`""`, `"a"`, `"\ud83d\udd11"`, `"🔑"`, `"\u0000"`, `"é\n"`, `"\\u{41}"`)
	case "i":
		return w.maybeWrong(w.choose("0", "1", "-17", "2147483647", "-2147483648"), "2147483648",
			"1.5", `"7"`)
	case "f":
		return w.maybeWrong(w.choose("0", "1.5", "-1e3", "1e308", "5000000000"), `"1.5"`, `"NaN"`)
	case "b":
		return w.maybeWrong(w.choose("true", "false"), "0", `"true"`)
	case "id":
		return w.maybeWrong(w.choose("1", "-1", `"x"`, "5000000000"), "1.5", "true")
	case "color":
		return w.maybeWrong(w.choose(`"RED"`, `"GREEN"`), `"red"`, `"BLUE"`, `"Red"`, "0")
	case "list":
		return w.maybeWrong(w.choose("[]", `["a"]`, `["a","b"]`, `"a"`, "null"), `[null]`, `[1]`)
	case "matrix":
		return w.maybeWrong(w.choose("[]", "[[1]]", "[[1,2],[null],null]", "null", "1", "[1,2]"),
			`[["a"]]`, "[[[1]]]", "[[1.5]]")
	}
	if depth == 0 {
		return "{}"
	}
	fields, seen := []string{}, map[string]bool{}
	if name == "need" {
		seen["s"] = true
		fields = append(fields, `"s":`+w.variableJSON("s", 0))
	}
	for range w.IntN(3) {
		field := w.choose("s", "i", "f", "b", "id", "color", "list", "in", "preset", "nowhere",
			"__typename")
		if name == "need" {
			field = w.choose("s", "preset")
		}
		if seen[field] || (field == "__typename" || field == "nowhere") && !w.oneIn(20) {
			continue
		}
		seen[field] = true
		typ := field
		if field == "preset" {
			typ = "i"
		}
		fields = append(fields, fmt.Sprintf("%q:%s", field, w.variableJSON(typ, depth-1)))
	}
	return "{" + strings.Join(fields, ",") + "}"
}

// mutate inserts, replaces or removes something at a random position of a document.
func (w *documentWriter) mutate(query string) string {
	start := w.IntN(len(query) + 1)
	for start < len(query) && query[start]&0xC0 == 0x80 {
		start++
	}
	end := start
	if w.oneIn(2) && start < len(query) {
		for end++; end < len(query) && query[end]&0xC0 == 0x80; {
			end++
		}
	}
	piece := ""
	if end == start || w.oneIn(2) {
		piece = w.choose(`"`, `""`, `"""`, `\`, `\u{1F511}`, `\uD83D`, `\uDD11`, `"\uD83D"`,
			`"\u{D83D}"`, `"\u{110000}"`, `"\u{}"`, `"\x"`, "\n", "\r", "\r\n", "\ufeff", "#", "{",
			"}", "(", ")", "[", "]",
			":", "$", "@", "...", "..", ".", "0", "01", "1a", "0xF1", "1.", "1.2.3", "1e", "-", "+",
			"e5", "a", " on ", "query", " fragment ", " F ", "!", "|", "&", "=", " ", ",", "🔑", "é",
			"\x00", "\x01", " null ", " true ", `"d"`, `"""d"""`, `$s`, `$nowhere`, "@tag", "'",
			";", "\u00a0")
	}
	return query[:start] + piece + query[end:]
}
