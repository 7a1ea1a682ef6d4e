package graphqlhttp

import (
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// A jsonFault says why a text isn't read. It holds nothing of the text.
type jsonFault string

const (
	notJSON     jsonFault = "not JSON"
	memberTwice jsonFault = "a member twice"
	tooDeep     jsonFault = "too deep"
	outOfRange  jsonFault = "a number out of range"
	tooMany     jsonFault = "too many values"
	halfAPair   jsonFault = "half of a surrogate pair"
)

// jsonBounds say what of JSON is read.
type jsonBounds struct {
	levels int // of lists and objects that may be open at once
	values int // at most, those in lists and objects counted one by one, and these too
}

// A jsonReader reads one JSON text (RFC 8259). It is stricter than encoding/json, so that no two readers of a
// request can disagree about it: no member twice in an object, no bytes that aren't UTF-8, nothing beyond the
// bounds. What it reads, encoding/json reads alike: FuzzJSON holds it to that.
//
// A number becomes an int64 where it is an integer that fits, else the nearest float64, as in JavaScript.
// gqlgen and gqlparser would take a json.Number for the string that it is, so a String variable would accept 5.
type jsonReader struct {
	text  []byte
	most  jsonBounds
	dry   bool // only looks whether the text is JSON and within its bounds, and makes nothing
	at    int
	depth int    // levels that are open
	count int    // values so far
	top   string // the member of the outermost object that is being read, for the words of an error
}

// readJSON reads the whole of text. With a fault comes the name of the outermost object's member that it is in,
// or nothing.
func readJSON(text []byte, most jsonBounds) (value any, top string, fault jsonFault) {
	if !utf8.Valid(text) {
		return nil, "", notJSON
	}
	// First dry: a list costs many times its text, and what is refused must cost little.
	for _, dry := range []bool{true, false} {
		r := jsonReader{text: text, most: most, dry: dry}
		if value, fault = r.value(); fault != "" {
			return nil, r.top, fault
		}
		if r.blanks(); r.at < len(text) {
			return nil, "", notJSON
		}
	}
	return value, "", ""
}

func (r *jsonReader) blanks() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// next passes over blanks and returns the byte at hand; at the end 0, which begins nothing in JSON.
func (r *jsonReader) next() byte {
	r.blanks()
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *jsonReader) value() (any, jsonFault) {
	if r.count++; r.count > r.most.values {
		return nil, tooMany
	}
	switch r.next() {
	case '"':
		text, fault := r.string(r.dry)
		return text, fault
	case '{':
		return r.object()
	case '[':
		return r.list()
	case 't':
		return true, r.word("true")
	case 'f':
		return false, r.word("false")
	case 'n':
		return nil, r.word("null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return r.number()
	}
	return nil, notJSON
}

func (r *jsonReader) word(word string) jsonFault {
	if end := r.at + len(word); end <= len(r.text) && string(r.text[r.at:end]) == word {
		r.at = end
		return ""
	}
	return notJSON
}

func (r *jsonReader) open() jsonFault {
	if r.depth == r.most.levels {
		return tooDeep
	}
	r.depth++
	r.at++
	return ""
}

func (r *jsonReader) close() {
	r.depth--
	r.at++
}

func (r *jsonReader) object() (any, jsonFault) {
	if fault := r.open(); fault != "" {
		return nil, fault
	}
	var members map[string]any
	if !r.dry {
		members = map[string]any{}
	}
	if r.next() == '}' {
		r.close()
		return members, ""
	}
	for {
		if r.next() != '"' {
			return nil, notJSON
		}
		name, fault := r.string(r.dry && r.depth > 1)
		if fault != "" {
			return nil, fault
		}
		if _, twice := members[name]; twice {
			return nil, memberTwice
		}
		if r.next() != ':' {
			return nil, notJSON
		}
		r.at++
		if r.depth == 1 {
			r.top = name
		}
		value, fault := r.value()
		if fault != "" {
			return nil, fault
		}
		if !r.dry {
			members[name] = value
		}
		if r.depth == 1 {
			r.top = ""
		}
		switch r.next() {
		case ',':
			r.at++
		case '}':
			r.close()
			return members, ""
		default:
			return nil, notJSON
		}
	}
}

func (r *jsonReader) list() (any, jsonFault) {
	if fault := r.open(); fault != "" {
		return nil, fault
	}
	var items []any
	if !r.dry {
		items = []any{}
	}
	if r.next() == ']' {
		r.close()
		return items, ""
	}
	for {
		item, fault := r.value()
		if fault != "" {
			return nil, fault
		}
		if !r.dry {
			items = append(items, item)
		}
		switch r.next() {
		case ',':
			r.at++
		case ']':
			r.close()
			return items, ""
		default:
			return nil, notJSON
		}
	}
}

// string reads a string, from its quote on. A dry one is passed over.
func (r *jsonReader) string(dry bool) (string, jsonFault) {
	r.at++
	start := r.at
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			if dry {
				return "", ""
			}
			return string(r.text[start : r.at-1]), ""
		case c == '\\':
			if dry {
				return r.escaped(nil, true)
			}
			return r.escaped(append(make([]byte, 0, 2*(r.at-start)+16), r.text[start:r.at]...), false)
		case c < ' ':
			return "", notJSON
		}
	}
	return "", notJSON
}

// escaped reads the rest of a string that has escapes, after what was read of it.
func (r *jsonReader) escaped(read []byte, dry bool) (string, jsonFault) {
	for r.at < len(r.text) {
		if dry {
			read = read[:0]
		}
		c := r.text[r.at]
		r.at++
		switch {
		case c == '"':
			return string(read), ""
		case c < ' ':
			return "", notJSON
		case c != '\\':
			read = append(read, c)
			continue
		case r.at == len(r.text):
			return "", notJSON
		}
		c = r.text[r.at]
		r.at++
		switch c {
		case '"', '\\', '/':
			read = append(read, c)
		case 'b':
			read = append(read, '\b')
		case 'f':
			read = append(read, '\f')
		case 'n':
			read = append(read, '\n')
		case 'r':
			read = append(read, '\r')
		case 't':
			read = append(read, '\t')
		case 'u':
			char, fault := r.hex()
			if fault != "" {
				return "", fault
			}
			read = utf8.AppendRune(read, char)
		default:
			return "", notJSON
		}
	}
	return "", notJSON
}

// hex reads the digits of \u, and the second half of a pair of surrogates. Half of a pair is no
// character: whatever stood for it would be another value than the client's.
func (r *jsonReader) hex() (rune, jsonFault) {
	char, ok := r.digits()
	switch {
	case !ok:
		return 0, notJSON
	case !utf16.IsSurrogate(char):
		return char, ""
	case r.at+2 > len(r.text) || r.text[r.at] != '\\' || r.text[r.at+1] != 'u':
		return 0, halfAPair
	}
	r.at += 2
	low, ok := r.digits()
	if !ok {
		return 0, notJSON
	}
	pair := utf16.DecodeRune(char, low)
	if pair == unicode.ReplacementChar {
		return 0, halfAPair
	}
	return pair, ""
}

func (r *jsonReader) digits() (char rune, ok bool) {
	if r.at+4 > len(r.text) {
		return 0, false
	}
	for range 4 {
		c := r.text[r.at]
		r.at++
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		char = char<<4 | rune(c)
	}
	return char, true
}

func (r *jsonReader) number() (any, jsonFault) {
	start, integer := r.at, true
	if r.text[r.at] == '-' {
		r.at++
	}
	if r.at < len(r.text) && r.text[r.at] == '0' {
		r.at++ // and no other digit after it
	} else if !r.decimals() {
		return nil, notJSON
	}
	if r.at < len(r.text) && r.text[r.at] == '.' {
		integer = false
		r.at++
		if !r.decimals() {
			return nil, notJSON
		}
	}
	if r.at < len(r.text) && r.text[r.at]|' ' == 'e' {
		integer = false
		r.at++
		if r.at < len(r.text) && (r.text[r.at] == '+' || r.text[r.at] == '-') {
			r.at++
		}
		if !r.decimals() {
			return nil, notJSON
		}
	}
	if r.dry {
		return nil, ""
	}
	text := string(r.text[start:r.at])
	if integer {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, ""
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil { // not even a float64 holds it
		return nil, outOfRange
	}
	return f, ""
}

// decimals passes over digits, of which there must be one.
func (r *jsonReader) decimals() bool {
	start := r.at
	for r.at < len(r.text) && '0' <= r.text[r.at] && r.text[r.at] <= '9' {
		r.at++
	}
	return r.at > start
}
