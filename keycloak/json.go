package keycloak

import (
	"errors"
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxJSONDepth    = 32   // of a token's parts, and of a key
	maxLaxJSONDepth = 1000 // of a key set, whose keys are read one by one
	maxNumberBytes  = 64   // of one number's text
	maxMagnitude    = 308  // of a number: it is less than ten to the power of that
)

// eachMember reads a JSON object and hands its members to visit, names without their escapes, in their
// order. Two readers may see different things in one text, and whoever writes it may count on that; so what
// JSON leaves open is refused, at every depth: two members of one name (RFC 7515, section 4; RFC 7519,
// section 4), text that is not UTF-8 and halves of surrogate pairs (RFC 8259, section 8), numbers that a
// float64 can't hold (section 6), and nesting deeper than maxJSONDepth.
//
// visit is called while the text is being read: what it was given counts for nothing when eachMember fails.
// Neither argument may be changed, and name is good until visit returns. The errors begin with a verb:
// "is not JSON". What it costs is linear in the text, whatever is in it.
func eachMember(text []byte, visit func(name []byte, value raw)) error {
	var r jsonReader
	return r.eachMember(text, visit)
}

// eachMemberLax is eachMember without its strictness: the text must be JSON by its grammar, and no deeper
// than maxLaxJSONDepth. For objects that were read before, and for those whose members are read with more
// care one by one, so that a bad one costs no other.
func eachMemberLax(text []byte, visit func(name []byte, value raw)) error {
	r := jsonReader{lax: true}
	return r.eachMember(text, visit)
}

// eachItem reads a JSON array as eachMemberLax reads an object.
func eachItem(text []byte, visit func(item raw)) error {
	r := jsonReader{lax: true, text: text}
	if err := r.begin('[', "array"); err != nil {
		return err
	}
	if err := r.array(0, visit); err != nil {
		return err
	}
	return r.end()
}

var (
	errNotJSON = errors.New("is not JSON")
	errNotUTF8 = errors.New("is not UTF-8")
)

// A jsonReader reads JSON texts, RFC 8259, from their beginning to their end, and builds nothing.
type jsonReader struct {
	lax     bool
	text    []byte
	at      int   // the next byte to read
	objects int32 // that have begun so far
	names   nameSet
}

// eachMember is the function of that name; one reader can read several texts, one after the other.
func (r *jsonReader) eachMember(text []byte, visit func(name []byte, value raw)) error {
	r.text, r.at = text, 0
	r.names.clear()
	if err := r.begin('{', "object"); err != nil {
		return err
	}
	if err := r.object(0, visit); err != nil {
		return err
	}
	return r.end()
}

// begin goes to the first byte of the value, which is what values of that kind begin with.
func (r *jsonReader) begin(first byte, kind string) error {
	if !r.lax && !utf8.Valid(r.text) {
		return errNotUTF8
	}
	r.whitespace()
	if r.peek() == first {
		return nil
	}
	// What it is instead matters to nobody, but whether it is JSON helps to find the mistake.
	if err := r.value(0); err != nil {
		return err
	}
	return errors.New("is not a JSON " + kind)
}

func (r *jsonReader) end() error {
	r.whitespace()
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

func (r *jsonReader) whitespace() {
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
	most := maxJSONDepth
	if r.lax {
		most = maxLaxJSONDepth
	}
	if depth > most {
		return fmt.Errorf("nests deeper than %d", most)
	}
	switch c := r.peek(); {
	case c == '"':
		_, err := r.string()
		return err
	case c == '{':
		return r.object(depth, nil)
	case c == '[':
		return r.array(depth, nil)
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
	r.whitespace()
	if r.skip('}') {
		return nil
	}
	r.objects++
	object := r.objects
	for {
		name, err := r.string()
		if err != nil {
			return err
		}
		if !r.lax && r.names.has(object, name) {
			return fmt.Errorf("has the member %s twice", quote(string(name)))
		}
		r.whitespace()
		if !r.skip(':') {
			return errNotJSON
		}
		r.whitespace()
		start := r.at
		if err := r.value(depth + 1); err != nil {
			return err
		}
		if visit != nil {
			visit(name, raw(r.text[start:r.at]))
		}
		r.whitespace()
		if r.skip('}') {
			return nil
		}
		if !r.skip(',') {
			return errNotJSON
		}
		r.whitespace()
	}
}

// array reads an array, whose bracket is the next byte. visit may be nil.
func (r *jsonReader) array(depth int, visit func(item raw)) error {
	r.at++
	r.whitespace()
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
		r.whitespace()
		if r.skip(']') {
			return nil
		}
		if !r.skip(',') {
			return errNotJSON
		}
		r.whitespace()
	}
}

// string reads a string and returns it without quotes and escapes. The text is UTF-8, as begin has seen.
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
	if r.lax || !utf16.IsSurrogate(unit) {
		return nil
	}
	if rest = r.text[r.at:]; len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
		if low, err := hex4(rest[2:]); err == nil && utf16.DecodeRune(unit, low) != unicode.ReplacementChar {
			r.at += 6
			return nil
		}
	}
	return errors.New("has an escape that stands for no character")
}

func hex4(text []byte) (unit rune, err error) {
	if len(text) < 4 {
		return 0, errNotJSON
	}
	for _, c := range text[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, errNotJSON
		}
		unit = unit<<4 | rune(c)
	}
	return unit, nil
}

// unescape takes the escapes out of a string that was read.
func unescape(inner []byte) []byte {
	text := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); {
		c := inner[i]
		if c != '\\' {
			text = append(text, c)
			i++
			continue
		}
		i += 2
		switch c = inner[i-1]; c {
		case 'b':
			text = append(text, '\b')
		case 'f':
			text = append(text, '\f')
		case 'n':
			text = append(text, '\n')
		case 'r':
			text = append(text, '\r')
		case 't':
			text = append(text, '\t')
		case 'u':
			unit, _ := hex4(inner[i:])
			i += 4
			if utf16.IsSurrogate(unit) {
				low := rune(0) // half a pair, which only the lax reader lets pass, becomes U+FFFD
				if len(inner) >= i+6 && inner[i] == '\\' && inner[i+1] == 'u' {
					low, _ = hex4(inner[i+2:])
				}
				if unit = utf16.DecodeRune(unit, low); unit != unicode.ReplacementChar {
					i += 6
				}
			}
			text = utf8.AppendRune(text, unit)
		default: // a quote, a backslash or a slash stands for itself
			text = append(text, c)
		}
	}
	return text
}

// number reads a number, RFC 8259 section 6. That a float64 can hold it is seen by its text: to convert some
// numbers takes longer than anything else here.
func (r *jsonReader) number() error {
	start := r.at
	r.skip('-')
	whole := r.at
	if !r.skip('0') && r.digits() == 0 {
		return errNotJSON
	}
	magnitude := r.at - whole
	if r.skip('.') && r.digits() == 0 {
		return errNotJSON
	}
	if r.skip('e') || r.skip('E') {
		negative := !r.skip('+') && r.skip('-')
		from := r.at
		if r.digits() == 0 {
			return errNotJSON
		}
		exponent, err := strconv.Atoi(string(r.text[from:min(r.at, from+6)]))
		if err != nil {
			return errNotJSON
		}
		if negative {
			exponent = -exponent
		}
		magnitude += exponent
	}
	switch length := r.at - start; {
	case r.lax:
	case length > maxNumberBytes:
		return fmt.Errorf("has a number of %d characters; accepted: %d", length, maxNumberBytes)
	case magnitude > maxMagnitude:
		return fmt.Errorf("has the number %s, which is too large", r.text[start:r.at])
	}
	return nil
}

// digits passes over digits and says how many there were.
func (r *jsonReader) digits() int {
	from := r.at
	for c := r.peek(); c >= '0' && c <= '9'; c = r.peek() {
		r.at++
	}
	return r.at - from
}
