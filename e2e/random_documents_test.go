package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A writer writes valid documents.
type writer struct {
	*rand.Rand
	out       strings.Builder
	variables []string // declared
}

func (w *writer) one(choices ...string) string { return choices[w.IntN(len(choices))] }

func (w *writer) often() bool  { return w.IntN(4) > 0 }
func (w *writer) rarely() bool { return w.IntN(8) == 0 }

// but is a value, or rarely one of those that aren't right in its place.
func (w *writer) but(value string, wrong ...string) string {
	if w.IntN(50) == 0 {
		return w.one(wrong...)
	}
	return value
}

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
				kind, needed := variableTypes[name], w.IntN(20) == 0
				if needed {
					kind += "!"
				}
				w.put("$", name, ":", kind)
				w.variables = append(w.variables, name)
				if w.IntN(3) == 0 {
					w.put("=")
					w.value(name, true)
				}
				w.directive(true)
				if needed || w.often() {
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
	one := languageCase{Query: w.out.String(), Variables: "{" + strings.Join(values, ",") + "}"}
	if w.IntN(3) == 0 {
		for range 1 + w.IntN(3) {
			one.Query = w.breakIt(one.Query)
		}
	}
	return one
}

func (w *writer) description() {
	if w.rarely() {
		w.string()
	}
}

func (w *writer) argument() string {
	return w.one("s", "s", "i", "f", "b", "id", "color", "in", "list", "matrix", "need")
}

func (w *writer) selections(depth int) {
	w.put("{")
	for _, name := range w.variables { // which must be used
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

func (w *writer) directive(constant bool) {
	if w.IntN(10) > 0 {
		return
	}
	w.put("@", "tag", "(", "name", ":")
	w.value("s", constant)
	w.put(")")
}

func (w *writer) string() {
	w.out.WriteString(w.stringText())
	w.put("")
}

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
		name = w.argument() // of another type, mostly
	}
	switch name {
	case "s":
		w.string()
	case "i":
		w.put(w.but(w.one("0", "1", "-17", "2147483647", "-2147483648"), "2147483648",
			"-2147483649", "1.0", "99999999999999999999"))
	case "f":
		w.put(w.one("0", "-1", "1.5", "-0.25e3", "1E-2", "0.0", "2e+1", "1e308", "123456789012",
			"1.0000000000000002"))
	case "b":
		w.put(w.one("true", "false", "null"))
	case "id":
		w.put(w.one("1", "-1", "0", "9007199254740993", "2147483648", `"x"`, `""`, `"""y"""`))
	case "color":
		w.put(w.but(w.one("RED", "GREEN", "null"), "red", "BLUE", `"RED"`))
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

func (w *writer) list(of string, constant bool) {
	if w.rarely() {
		w.value(of, constant)
		return
	}
	w.put("[")
	for range w.IntN(3) {
		w.value(of, constant)
		w.put(" ")
	}
	w.put("]")
}

// json writes a value of a variable. Numbers are those that JavaScript keeps.
func (w *writer) json(name string, depth int) string {
	if w.IntN(20) == 0 {
		return w.one("null", "[]", "{}", "1", `"1"`, "true", "1.5", `[null]`, `["a"]`, "[[1]]",
			`{"__typename":"In"}`, `{"s":1}`, `"RED"`)
	}
	switch name {
	case "s":
		return w.one(`""`, `"a"`, `"\ud83d\udd11"`, `"🔑"`, `"\u0000"`, `"é\n"`, `"\\u{41}"`)
	case "i":
		return w.but(w.one("0", "1", "-17", "2147483647", "-2147483648"), "2147483648", "1.5",
			`"7"`)
	case "f":
		return w.but(w.one("0", "1.5", "-1e3", "1e308", "5000000000"), `"1.5"`, `"NaN"`)
	case "b":
		return w.but(w.one("true", "false"), "0", `"true"`)
	case "id":
		return w.but(w.one("1", "-1", `"x"`, "5000000000"), "1.5", "true")
	case "color":
		return w.but(w.one(`"RED"`, `"GREEN"`), `"red"`, `"BLUE"`, `"Red"`, "0")
	case "list":
		return w.but(w.one("[]", `["a"]`, `["a","b"]`, `"a"`, "null"), `[null]`, `[1]`)
	case "matrix":
		return w.but(w.one("[]", "[[1]]", "[[1,2],[null],null]", "null", "1", "[1,2]"), `[["a"]]`,
			"[[[1]]]", "[[1.5]]")
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
		kind := member
		if member == "preset" {
			kind = "i"
		}
		members = append(members, fmt.Sprintf("%q:%s", member, w.json(kind, depth-1)))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// breakIt changes a document somewhere, between two characters.
func (w *writer) breakIt(query string) string {
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
