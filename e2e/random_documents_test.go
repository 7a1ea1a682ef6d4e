package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A writer writes random documents for the echo's schema. Most are valid.
type writer struct {
	*rand.Rand
	out       strings.Builder
	variables []string // declared
}

// one returns one of the choices.
func (w *writer) one(choices ...string) string { return choices[w.IntN(len(choices))] }

func (w *writer) often() bool  { return w.IntN(4) > 0 }
func (w *writer) rarely() bool { return w.IntN(8) == 0 }

// mostly returns value, or rarely one of the wrong values.
func (w *writer) mostly(value string, wrong ...string) string {
	if w.IntN(50) == 0 {
		return w.one(wrong...)
	}
	return value
}

// put writes tokens, with random text between them that parsers ignore.
func (w *writer) put(texts ...string) {
	for _, text := range texts {
		w.out.WriteString(text)
		if w.IntN(3) == 0 {
			w.out.WriteString(w.one(" ", "\n", "\r\n", "\r", ",", "\t", "# é🔑\"\n", "#\x01 {\r\n",
				"\ufeff"))
		}
	}
}

var variableTypes = map[string]string{
	"s": "String", "i": "Int", "f": "Float", "b": "Boolean", "id": "ID", "color": "Color",
	"in": "In", "list": "[String!]", "matrix": "[[Int]]", "need": "Need",
}

// write returns a new case: a document and its variables. A third of the documents are mutated.
func (w *writer) write() languageCase {
	w.out.Reset()
	w.variables = nil
	w.description()
	if w.rarely() {
		w.put("\ufeff")
	}
	var values []string
	if w.often() {
		w.put("query ", w.one("", "Q", "on", "query", "fragment"))
		if w.often() {
			w.put("(")
			for range 1 + w.IntN(3) {
				name := w.argument()
				if slices.Contains(w.variables, name) {
					continue
				}
				w.description()
				typ, required := variableTypes[name], w.IntN(20) == 0
				if required {
					typ += "!"
				}
				w.put("$", name, ":", typ)
				w.variables = append(w.variables, name)
				if w.IntN(3) == 0 {
					w.put("=")
					w.value(name, true)
				}
				w.directive(true)
				if required || w.often() {
					values = append(values, fmt.Sprintf("%q:%s", name, w.json(name, 2)))
				}
			}
			w.put(")")
		}
		w.directive(false)
	}
	w.selections(2)
	if strings.Contains(w.out.String(), "...F") {
		w.description()
		w.put("fragment ", "F ", "on ", "Query")
		w.directive(false)
		w.selections(1)
	}
	c := languageCase{Query: w.out.String(), Variables: "{" + strings.Join(values, ",") + "}"}
	if w.IntN(3) == 0 {
		for range 1 + w.IntN(3) {
			c.Query = w.mutate(c.Query)
		}
	}
	return c
}

// description rarely writes a description.
func (w *writer) description() {
	if w.rarely() {
		w.string()
	}
}

// argument returns the name of an argument of the field echo, which is also that of a variable.
func (w *writer) argument() string {
	return w.one("s", "s", "i", "f", "b", "id", "color", "in", "list", "matrix", "need")
}

// selections writes a selection set that is nested up to depth.
func (w *writer) selections(depth int) {
	w.put("{")
	for _, name := range w.variables { // variables must be used
		w.put("use_", name, ":", "echo", "(", name, ":", "$", name, ")")
	}
	for range 1 + w.IntN(3) {
		switch kind := w.IntN(8); {
		case kind == 0 && depth > 1:
			w.put("...", "F")
			w.directive(false)
		case kind == 1 && depth > 0:
			w.put("...", w.one("", "on Query"))
			w.directive(false)
			w.selections(depth - 1)
		case kind == 2 && depth > 0:
			w.put("self ")
			w.directive(false)
			w.selections(depth - 1)
		default:
			w.put(w.one("a", "b", "c", "on", "null")+fmt.Sprint(w.IntN(1000)), ":", "echo")
			w.arguments()
			w.directive(false)
			w.put(" ")
		}
	}
	w.put("}")
}

// arguments writes the arguments of the field echo.
func (w *writer) arguments() {
	if w.rarely() {
		return
	}
	w.put("(")
	seen := map[string]bool{}
	for range 1 + w.IntN(3) {
		if name := w.argument(); !seen[name] {
			seen[name] = true
			w.put(name, ":")
			w.value(name, false)
			w.put(" ")
		}
	}
	w.put(")")
}

// directive rarely writes a directive. If constant, it has no variable.
func (w *writer) directive(constant bool) {
	if w.IntN(10) > 0 {
		return
	}
	w.put("@", "tag", "(", "name", ":")
	w.value("s", constant)
	w.put(")")
}

// string writes a string.
func (w *writer) string() {
	w.out.WriteString(w.stringText())
	w.put("")
}

// stringText returns the text of a string or a block string.
func (w *writer) stringText() string {
	var text strings.Builder
	if w.IntN(3) == 0 {
		text.WriteString(`"""`)
		for range w.IntN(8) {
			text.WriteString(w.one("a", " ", "  ", "\t", "\n", "\n    ", "\n  ", "\r\n", "\r",
				"\r ", `\"""`, `"`, `""`, `\`, `\u0041`, "é", "🔑", "\x00", "\n\t", "\ufeff",
				"\u2028"))
		}
		text.WriteString(w.one("", "", "", " ", "\n") + `"""`)
		return text.String()
	}
	text.WriteString(`"`)
	for range w.IntN(6) {
		text.WriteString(w.one("a", " ", "\t", `\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`,
			`\u0041`, `\u00e9`, `\u0000`, `\uD83D\uDD11`, `\ud83d\udd11`, `\uFFFF`, `\u{1F511}`,
			`\u{41}`, `\u{0010FFFF}`, "é", "🔑", "\x00", "\x1f", "\x7f", "#", "{", "\ufeff",
			"\u2028"))
	}
	text.WriteString(`"`)
	return text.String()
}

// value writes a value for an argument. If constant, it has no variable.
func (w *writer) value(name string, constant bool) {
	if !constant && len(w.variables) > 0 && w.IntN(2) == 0 {
		for _, variable := range w.variables {
			if variable == name || w.IntN(64) == 0 {
				w.put("$", variable)
				return
			}
		}
	}
	if w.IntN(50) == 0 {
		name = w.argument() // probably of another type
	}
	switch name {
	case "s":
		w.string()
	case "i":
		w.put(w.mostly(w.one("0", "1", "-17", "2147483647", "-2147483648"), "2147483648",
			"-2147483649", "1.0", "99999999999999999999"))
	case "f":
		w.put(w.one("0", "-1", "1.5", "-0.25e3", "1E-2", "0.0", "2e+1", "1e308", "123456789012",
			"1.0000000000000002"))
	case "b":
		w.put(w.one("true", "false", "null"))
	case "id":
		w.put(w.one("1", "-1", "0", "9007199254740993", "2147483648", `"x"`, `""`, `"""y"""`))
	case "color":
		w.put(w.mostly(w.one("RED", "GREEN", "null"), "red", "BLUE", `"RED"`))
	case "list":
		w.list("s", constant)
	case "matrix":
		w.put("[")
		for range w.IntN(3) {
			w.list("i", constant)
		}
		w.put("]")
	case "in", "need":
		w.put("{")
		seen := map[string]bool{}
		if name == "need" && w.often() {
			w.put("s", ":")
			w.string()
		} else if name == "in" {
			for range w.IntN(3) {
				member := w.one("s", "i", "f", "b", "id", "color", "list", "in", "preset")
				if !seen[member] || w.rarely() {
					seen[member] = true
					w.put(member, ":")
					if member == "preset" {
						member = "i"
					}
					w.value(member, constant)
					w.put(" ")
				}
			}
		}
		w.put("}")
	}
}

// list writes a list of values for the argument item, or rarely a single value.
func (w *writer) list(item string, constant bool) {
	if w.rarely() {
		w.value(item, constant)
		return
	}
	w.put("[")
	for range w.IntN(3) {
		w.value(item, constant)
		w.put(" ")
	}
	w.put("]")
}

// json returns the value of a variable. It contains only numbers that JavaScript represents
// exactly.
func (w *writer) json(name string, depth int) string {
	if w.IntN(20) == 0 {
		return w.one("null", "[]", "{}", "1", `"1"`, "true", "1.5", `[null]`, `["a"]`, "[[1]]",
			`{"__typename":"In"}`, `{"s":1}`, `"RED"`)
	}
	switch name {
	case "s":
		return w.one(`""`, `"a"`, `"\ud83d\udd11"`, `"🔑"`, `"\u0000"`, `"é\n"`, `"\\u{41}"`)
	case "i":
		return w.mostly(w.one("0", "1", "-17", "2147483647", "-2147483648"), "2147483648", "1.5",
			`"7"`)
	case "f":
		return w.mostly(w.one("0", "1.5", "-1e3", "1e308", "5000000000"), `"1.5"`, `"NaN"`)
	case "b":
		return w.mostly(w.one("true", "false"), "0", `"true"`)
	case "id":
		return w.mostly(w.one("1", "-1", `"x"`, "5000000000"), "1.5", "true")
	case "color":
		return w.mostly(w.one(`"RED"`, `"GREEN"`), `"red"`, `"BLUE"`, `"Red"`, "0")
	case "list":
		return w.mostly(w.one("[]", `["a"]`, `["a","b"]`, `"a"`, "null"), `[null]`, `[1]`)
	case "matrix":
		return w.mostly(w.one("[]", "[[1]]", "[[1,2],[null],null]", "null", "1", "[1,2]"),
			`[["a"]]`, "[[[1]]]", "[[1.5]]")
	}
	if depth == 0 {
		return "{}"
	}
	members, seen := []string{}, map[string]bool{}
	if name == "need" {
		seen["s"] = true
		members = append(members, `"s":`+w.json("s", 0))
	}
	for range w.IntN(3) {
		member := w.one("s", "i", "f", "b", "id", "color", "list", "in", "preset", "nowhere",
			"__typename")
		if name == "need" {
			member = w.one("s", "preset")
		}
		if seen[member] || (member == "__typename" || member == "nowhere") && w.IntN(20) > 0 {
			continue
		}
		seen[member] = true
		typ := member
		if member == "preset" {
			typ = "i"
		}
		members = append(members, fmt.Sprintf("%q:%s", member, w.json(typ, depth-1)))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// mutate inserts, replaces or removes something at a random position of a document.
func (w *writer) mutate(query string) string {
	at := w.IntN(len(query) + 1)
	for at < len(query) && query[at]&0xC0 == 0x80 {
		at++
	}
	end := at
	if w.IntN(2) == 0 && at < len(query) {
		for end++; end < len(query) && query[end]&0xC0 == 0x80; {
			end++
		}
	}
	piece := ""
	if end == at || w.IntN(2) == 0 {
		piece = w.one(`"`, `""`, `"""`, `\`, `\u{1F511}`, `\uD83D`, `\uDD11`, `"\uD83D"`,
			`"\u{D83D}"`, `"\u{110000}"`, `"\u{}"`, `"\x"`, "\n", "\r", "\r\n", "\ufeff", "#", "{",
			"}", "(", ")", "[", "]",
			":", "$", "@", "...", "..", ".", "0", "01", "1a", "0xF1", "1.", "1.2.3", "1e", "-", "+",
			"e5", "a", " on ", "query", " fragment ", " F ", "!", "|", "&", "=", " ", ",", "🔑", "é",
			"\x00", "\x01", " null ", " true ", `"d"`, `"""d"""`, `$s`, `$nowhere`, "@tag", "'",
			";", "\u00a0")
	}
	return query[:at] + piece + query[end:]
}
