package keycloak

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxJSONDepth   = 32 // of a token's parts, and of a key set
	maxNumberBytes = 64 // of one number's text
	fewMembers     = 32 // of an object, up to which comparing names beats a table of them
)

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
	var r jsonReader
	return r.eachMember(text, visit)
}

// eachMemberLax is eachMember, but for duplicate members, which it lets pass. For objects that were read
// before, and for those whose members are read with more care one by one, so that a bad one costs no other.
func eachMemberLax(text []byte, visit func(name []byte, value raw)) error {
	r := jsonReader{lax: true}
	return r.eachMember(text, visit)
}

// eachItem reads a JSON list as eachMemberLax reads an object.
func eachItem(text []byte, visit func(item raw)) error {
	r := jsonReader{text: text, lax: true}
	if err := r.begin('[', "list"); err != nil {
		return err
	}
	if err := r.list(0, visit); err != nil {
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
	lax   bool // lets members of one name pass
	text  []byte
	at    int      // the next byte to read
	names [][]byte // of the members so far, of every object that is open; the innermost object's last
}

// eachMember is the function of that name; one reader can read several texts, one after the other.
func (r *jsonReader) eachMember(text []byte, visit func(name []byte, value raw)) error {
	r.text, r.at, r.names = text, 0, r.names[:0]
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
	if !utf8.Valid(r.text) {
		return errNotUTF8
	}
	r.blanks()
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
	var many nameTable
	for {
		name, err := r.string()
		if err != nil {
			return err
		}
		if !r.lax && r.has(name, first, &many) {
			return fmt.Errorf("has the member %s twice", quote(string(name)))
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
func (r *jsonReader) has(name []byte, first int, many *nameTable) bool {
	names := r.names[first:]
	switch {
	case len(names) < fewMembers:
		for _, other := range names {
			if string(other) == string(name) {
				return true
			}
		}
	case many.has(names, name):
		return true
	}
	if r.names == nil {
		r.names = make([][]byte, 0, fewMembers)
	}
	r.names = append(r.names, name)
	return false
}

// A nameTable finds a name among many: comparing them one by one is what a stranger would like us to do.
type nameTable struct {
	seed  maphash.Seed
	slots []int32 // where a name is among names, plus one; 0 where there is none
}

// has tells whether name is among names, and takes it down as their next if not.
func (t *nameTable) has(names [][]byte, name []byte) bool {
	if 2*len(names) >= len(t.slots) {
		*t = nameTable{seed: maphash.MakeSeed(), slots: make([]int32, max(8*fewMembers, 4*len(t.slots)))}
		for i, other := range names {
			slot, _ := t.find(names, other)
			t.slots[slot] = int32(i) + 1
		}
	}
	slot, found := t.find(names, name)
	if !found {
		t.slots[slot] = int32(len(names)) + 1
	}
	return found
}

// find returns the slot of name, or the one that it would take.
func (t *nameTable) find(names [][]byte, name []byte) (slot uint64, found bool) {
	mask := uint64(len(t.slots) - 1) // their number is a power of two
	for slot = maphash.Bytes(t.seed, name) & mask; t.slots[slot] != 0; slot = (slot + 1) & mask {
		if string(names[t.slots[slot]-1]) == string(name) {
			return slot, true
		}
	}
	return slot, false
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
	if !utf16.IsSurrogate(unit) {
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
				low, _ := hex4(inner[i+2:])
				unit = utf16.DecodeRune(unit, low)
				i += 6
			}
			text = utf8.AppendRune(text, unit)
		default: // a quote, a backslash or a slash stands for itself
			text = append(text, c)
		}
	}
	return text
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
