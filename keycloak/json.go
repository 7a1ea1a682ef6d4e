package keycloak

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxJSONDepth   = 32 // of a token's parts, and of a key set
	maxNumberBytes = 64 // of one number's text
	fewMembers     = 32 // of an object, up to which comparing names beats a map of them
)

// raw is the JSON text of one value, which a jsonReader has read to its end; nil where there is none.
type raw []byte

// eachMember reads a JSON object and hands its members to visit, names without their escapes, in their
// order. Two readers may see different things in one text, and whoever writes it may count on that; so what
// JSON leaves open is refused, at every depth: two members of one name (RFC 7519, section 4, and RFC 8725,
// section 2.4), text that is not UTF-8 and halves of surrogate pairs (RFC 8259, section 8), numbers that a
// float64 can't hold (section 6), and nesting deeper than maxJSONDepth.
//
// visit is called while the text is being read: what it was given counts for nothing when eachMember fails.
// Neither argument may be changed, and name is good until visit returns. The errors begin with a verb:
// "is not JSON".
func eachMember(text []byte, visit func(name []byte, value raw)) error {
	return readObject(text, visit, false)
}

// eachMemberLax is eachMember, but for duplicate members, which it lets pass. For objects whose members
// are read with more care one by one, so that a bad one costs no other.
func eachMemberLax(text []byte, visit func(name []byte, value raw)) error {
	return readObject(text, visit, true)
}

func readObject(text []byte, visit func(name []byte, value raw), duplicates bool) error {
	r := jsonReader{text: text, duplicates: duplicates}
	return r.whole('{', func() error { return r.object(0, visit) })
}

// eachItem reads a JSON list as eachMember reads an object.
func eachItem(text []byte, visit func(item raw)) error {
	r := jsonReader{text: text, duplicates: true}
	return r.whole('[', func() error { return r.list(0, visit) })
}

var (
	errNotJSON = errors.New("is not JSON")
	errNotUTF8 = errors.New("is not UTF-8")
)

// A jsonReader reads a JSON text, RFC 8259, from its beginning to its end, and builds nothing.
type jsonReader struct {
	text       []byte
	at         int      // the next byte to read
	duplicates bool     // let members of one name pass
	names      [][]byte // of the members so far, of every object that is open; the innermost object's last
}

// whole reads one value that begins with first, and nothing but blanks around it.
func (r *jsonReader) whole(first byte, read func() error) error {
	if !utf8.Valid(r.text) {
		return errNotUTF8
	}
	r.blanks()
	if r.peek() != first {
		// What it is instead matters to nobody, but whether it is JSON helps to find the mistake.
		if err := r.value(0); err != nil {
			return err
		}
		if first == '[' {
			return errors.New("is not a JSON list")
		}
		return errors.New("is not a JSON object")
	}
	if err := read(); err != nil {
		return err
	}
	r.blanks()
	if r.at < len(r.text) {
		return errors.New("is followed by more")
	}
	return nil
}

// peek returns the next byte, or 0 at the end: no JSON text has that outside of a string.
func (r *jsonReader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *jsonReader) blanks() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// skip passes over the next byte if it is c.
func (r *jsonReader) skip(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.at++
	return true
}

// value reads a value, which begins at the next byte.
func (r *jsonReader) value(depth int) error {
	if depth > maxJSONDepth {
		return fmt.Errorf("nests deeper than %d", maxJSONDepth)
	}
	switch c := r.peek(); {
	case c == '"':
		_, err := r.string()
		return err
	case c == '{':
		return r.object(depth, nil)
	case c == '[':
		return r.list(depth, nil)
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if len(r.text)-r.at >= len(word) && string(r.text[r.at:r.at+len(word)]) == word {
			r.at += len(word)
			return nil
		}
	}
	return errNotJSON
}

// object reads an object, whose brace is the next byte. visit may be nil.
func (r *jsonReader) object(depth int, visit func(name []byte, value raw)) error {
	r.at++
	r.blanks()
	if r.skip('}') {
		return nil
	}
	first := len(r.names)
	var many map[string]bool // the names, once they are more than a few
	for {
		name, err := r.string()
		if err != nil {
			return err
		}
		if !r.duplicates {
			if r.has(name, first, &many) {
				return fmt.Errorf("has the member %s twice", quote(string(name)))
			}
		}
		r.blanks()
		if !r.skip(':') {
			return errNotJSON
		}
		r.blanks()
		start := r.at
		if err := r.value(depth + 1); err != nil {
			return err
		}
		if visit != nil {
			visit(name, raw(r.text[start:r.at]))
		}
		r.blanks()
		if r.skip('}') {
			r.names = r.names[:first]
			return nil
		}
		if !r.skip(',') {
			return errNotJSON
		}
		r.blanks()
	}
}

// has tells whether the object whose names begin at first has name already, and takes it down if not.
func (r *jsonReader) has(name []byte, first int, many *map[string]bool) bool {
	if *many != nil {
		if (*many)[string(name)] {
			return true
		}
		(*many)[string(name)] = true
		return false
	}
	names := r.names[first:]
	for _, other := range names {
		if string(other) == string(name) {
			return true
		}
	}
	if len(names) == fewMembers { // comparing more, one by one, is what a stranger would like us to do
		*many = make(map[string]bool, 2*fewMembers)
		for _, other := range names {
			(*many)[string(other)] = true
		}
		(*many)[string(name)] = true
		return false
	}
	if r.names == nil {
		r.names = make([][]byte, 0, fewMembers)
	}
	r.names = append(r.names, name)
	return false
}

// list reads a list, whose bracket is the next byte. visit may be nil.
func (r *jsonReader) list(depth int, visit func(item raw)) error {
	r.at++
	r.blanks()
	if r.skip(']') {
		return nil
	}
	for {
		start := r.at
		if err := r.value(depth + 1); err != nil {
			return err
		}
		if visit != nil {
			visit(raw(r.text[start:r.at]))
		}
		r.blanks()
		if r.skip(']') {
			return nil
		}
		if !r.skip(',') {
			return errNotJSON
		}
		r.blanks()
	}
}

// string reads a string and returns it without quotes and escapes. The text is UTF-8, as whole has seen.
func (r *jsonReader) string() ([]byte, error) {
	if !r.skip('"') {
		return nil, errNotJSON
	}
	start, escaped := r.at, false
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '"':
			inner := r.text[start:r.at]
			r.at++
			if escaped {
				return unescape(inner), nil
			}
			return inner, nil
		case c < ' ':
			return nil, errNotJSON
		case c == '\\':
			escaped = true
			if err := r.escape(); err != nil {
				return nil, err
			}
		default:
			r.at++
		}
	}
	return nil, errNotJSON
}

// escape reads an escape, whose backslash is the next byte.
func (r *jsonReader) escape() error {
	rest := r.text[r.at:]
	if len(rest) < 2 {
		return errNotJSON
	}
	switch rest[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		r.at += 2
		return nil
	case 'u':
	default:
		return errNotJSON
	}
	unit, err := hex4(rest[2:])
	if err != nil {
		return err
	}
	r.at += 6
	if unit < 0xd800 || unit > 0xdfff {
		return nil
	}
	if rest = r.text[r.at:]; unit < 0xdc00 && len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
		if low, err := hex4(rest[2:]); err == nil && low >= 0xdc00 && low <= 0xdfff {
			r.at += 6
			return nil
		}
	}
	return errors.New("has an escape that stands for no character")
}

func hex4(text []byte) (uint64, error) {
	if len(text) < 4 {
		return 0, errNotJSON
	}
	for _, c := range text[:4] { // ParseUint knows more: signs and underscores
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return 0, errNotJSON
		}
	}
	return strconv.ParseUint(string(text[:4]), 16, 16)
}

// unescape takes the escapes out of a string that was read. They are rare in tokens.
func unescape(inner []byte) []byte {
	var text string
	if err := json.Unmarshal([]byte(`"`+string(inner)+`"`), &text); err != nil {
		panic(err) // string has seen that it is one
	}
	return []byte(text)
}

// number reads a number, RFC 8259 section 6.
func (r *jsonReader) number() error {
	start := r.at
	r.skip('-')
	digits := func() bool {
		from := r.at
		for c := r.peek(); c >= '0' && c <= '9'; c = r.peek() {
			r.at++
		}
		return r.at > from
	}
	if !r.skip('0') && !digits() {
		return errNotJSON
	}
	if r.skip('.') && !digits() {
		return errNotJSON
	}
	exponent := r.skip('e') || r.skip('E')
	if exponent {
		if !r.skip('+') {
			r.skip('-')
		}
		if !digits() {
			return errNotJSON
		}
	}
	switch text := r.text[start:r.at]; {
	case len(text) > maxNumberBytes:
		return fmt.Errorf("has a number of %d characters; accepted: %d", len(text), maxNumberBytes)
	case exponent: // no other number of this length can be too large
		if _, err := strconv.ParseFloat(string(text), 64); err != nil {
			return fmt.Errorf("has the number %s, which is too large", text)
		}
	}
	return nil
}

// text is a string's, without quotes and escapes.
func (v raw) text() (text string, ok bool) {
	if len(v) < 2 || v[0] != '"' {
		return "", false
	}
	inner := v[1 : len(v)-1]
	for _, c := range inner {
		if c == '\\' {
			return string(unescape(inner)), true
		}
	}
	return string(inner), true
}

// texts is a list of strings. It is not ok when it is no list, or anything else is in it.
func (v raw) texts() (list []string, ok bool) {
	ok = true
	err := eachItem(v, func(item raw) {
		text, isText := item.text()
		list, ok = append(list, text), ok && isText
	})
	return list, ok && err == nil
}

// number is a number's value.
func (v raw) number() (value float64, ok bool) {
	if len(v) == 0 || v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		return 0, false
	}
	value, err := strconv.ParseFloat(string(v), 64)
	return value, err == nil
}

// is tells whether the value is this text of JSON: true, false, null, or a number as it was written.
func (v raw) is(word string) bool { return string(v) == word }

// quote shows a value out of a token: bounded, and in ASCII, so that it can't turn the lines of a log around.
func (v raw) quote() string {
	if v == nil {
		return "missing"
	}
	return ascii(string(v))
}

// quote shows a text as raw.quote does.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return "unreadable"
	}
	return ascii(string(quoted))
}

func ascii(text string) string {
	var b strings.Builder
	for i, r := range text {
		if i >= 200 {
			return b.String() + "..."
		}
		if r >= ' ' && r < 0x7f {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u{%x}", r)
		}
	}
	return b.String()
}
