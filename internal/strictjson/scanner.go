package strictjson

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxStrictDepth  = 32   // of nested arrays and objects, for VisitMembers
	maxLenientDepth = 1000 // of nested arrays and objects, for lenient functions
	maxNumberBytes  = 64   // of one number, for VisitMembers
	maxMagnitude    = 308  // for VisitMembers: numbers must be less than 10 to this power
)

// A scanner scans one JSON text (RFC 8259) from start to end.
type scanner struct {
	text []byte
	pos  int // of the next byte

	lenient     bool // check only the grammar and maxDepth
	buildValues bool // build Go values; otherwise scanValue returns nil
	// names finds duplicate member names. It is nil if duplicates are allowed, or if the maps of
	// buildValues find them.
	names *nameSet
	// boundNumbers limits numbers by their text, since converting some takes very long.
	boundNumbers bool

	maxDepth, maxValues int // if maxValues is 0, there is no limit
	depth, valueCount   int
	objectCount         int32  // scanned so far, including unfinished ones
	currentMember       []byte // the current member of the outermost object
}

// expectOpening skips whitespace, and returns an error unless the next byte is this bracket. If the
// scanner isn't lenient, it also returns an error for text that isn't UTF-8.
func (s *scanner) expectOpening(opening byte, kind string) error {
	if !s.lenient && !utf8.Valid(s.text) {
		return errNotUTF8
	}
	s.skipWhitespace()
	if s.peek() == opening {
		return nil
	}
	// If the value is invalid, that error is more helpful than "wrong type".
	if _, err := s.scanValue(); err != nil {
		return err
	}
	return &Error{Reason: WrongType, message: "is not a JSON " + kind}
}

// scanDocument scans the whole text.
func (s *scanner) scanDocument() (any, error) {
	s.skipWhitespace()
	value, err := s.scanValue()
	if err != nil {
		return nil, err
	}
	return value, s.checkEnd()
}

// checkEnd returns an error unless only whitespace is left.
func (s *scanner) checkEnd() error {
	s.skipWhitespace()
	if s.pos < len(s.text) {
		return errTrailingData
	}
	return nil
}

// peek returns the next byte, or 0 at the end. A zero byte is never valid JSON.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) skipWhitespace() {
	for s.pos < len(s.text) && s.text[s.pos] <= ' ' {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// skip reports whether the next byte is c, and skips it if so.
func (s *scanner) skip(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// scanValue scans the value that starts at the next byte.
func (s *scanner) scanValue() (any, error) {
	if s.valueCount++; s.maxValues > 0 && s.valueCount > s.maxValues {
		return nil, &Error{Reason: TooManyValues,
			message: fmt.Sprintf("has more than %d values", s.maxValues)}
	}
	switch s.peek() {
	case '"':
		raw, hasEscapes, err := s.scanString()
		if !s.buildValues || err != nil {
			return nil, err
		}
		if hasEscapes {
			raw = unescape(raw)
		}
		return string(raw), nil
	case '{':
		return s.scanObject(nil)
	case '[':
		return s.scanArray(nil)
	case 't':
		return s.scanLiteral("true", true)
	case 'f':
		return s.scanLiteral("false", false)
	case 'n':
		return s.scanLiteral("null", nil)
	}
	return s.scanNumber()
}

func (s *scanner) scanLiteral(name string, value any) (any, error) {
	if end := s.pos + len(name); end > len(s.text) || string(s.text[s.pos:end]) != name {
		return nil, errNotJSON
	}
	s.pos += len(name)
	return value, nil
}

// skipOpening skips the opening bracket of an array or object.
func (s *scanner) skipOpening() error {
	if s.depth == s.maxDepth {
		return &Error{Reason: TooDeep, message: fmt.Sprintf("nests deeper than %d", s.maxDepth)}
	}
	s.depth++
	s.pos++
	s.skipWhitespace()
	return nil
}

// nextElement skips a comma or the closing bracket. After a comma, more is true, and another item
// or member must follow.
func (s *scanner) nextElement(closing byte) (more bool, err error) {
	s.skipWhitespace()
	switch s.peek() {
	case ',':
		s.pos++
		s.skipWhitespace()
		return true, nil
	case closing:
		s.pos++
		s.depth--
		return false, nil
	}
	return false, errNotJSON
}

// scanObject scans an object, whose brace is the next byte. visit may be nil.
func (s *scanner) scanObject(visit func(name []byte, value Value)) (any, error) {
	if err := s.skipOpening(); err != nil {
		return nil, err
	}
	var members map[string]any
	if s.buildValues {
		members = map[string]any{}
	}
	if s.skip('}') {
		s.depth--
		return members, nil
	}
	s.objectCount++
	objectNumber := s.objectCount
	rejectDuplicates := s.names != nil || s.buildValues
	for more := true; more; {
		raw, hasEscapes, err := s.scanString()
		if err != nil {
			return nil, err
		}
		name := raw // not unescaped in nested objects that may have duplicates
		if hasEscapes && (rejectDuplicates || s.depth == 1) {
			name = unescape(raw)
		}
		if s.names != nil && s.names.add(objectNumber, name) {
			return nil, duplicateMemberError(name)
		}
		if s.buildValues {
			if _, duplicate := members[string(name)]; duplicate {
				return nil, duplicateMemberError(name)
			}
		}
		if s.skipWhitespace(); !s.skip(':') {
			return nil, errNotJSON
		}
		s.skipWhitespace()
		if s.depth == 1 {
			s.currentMember = name
		}
		start := s.pos
		value, err := s.scanValue()
		if err != nil {
			return nil, err
		}
		if s.buildValues {
			members[string(name)] = value
		}
		if visit != nil {
			visit(name, Value(s.text[start:s.pos]))
		}
		if s.depth == 1 {
			s.currentMember = nil
		}
		if more, err = s.nextElement('}'); err != nil {
			return nil, err
		}
	}
	return members, nil
}

func duplicateMemberError(name []byte) error {
	return &Error{Reason: DuplicateMember,
		message: fmt.Sprintf("has the member %s twice", Quote(string(name)))}
}

// scanArray scans an array, whose bracket is the next byte. visit may be nil.
func (s *scanner) scanArray(visit func(item Value)) (any, error) {
	if err := s.skipOpening(); err != nil {
		return nil, err
	}
	var items []any
	if s.buildValues {
		items = []any{}
	}
	if s.skip(']') {
		s.depth--
		return items, nil
	}
	for more := true; more; {
		start := s.pos
		item, err := s.scanValue()
		if err != nil {
			return nil, err
		}
		if s.buildValues {
			items = append(items, item)
		}
		if visit != nil {
			visit(Value(s.text[start:s.pos]))
		}
		if more, err = s.nextElement(']'); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// scanString scans a string. It returns the text between the quotes, and whether it has escapes.
func (s *scanner) scanString() (raw []byte, hasEscapes bool, err error) {
	if !s.skip('"') {
		return nil, false, errNotJSON
	}
	text, start := s.text, s.pos
	for i := start; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			s.pos = i + 1
			return text[start:i], hasEscapes, nil
		case c < ' ':
			return nil, false, errNotJSON
		case c == '\\':
			hasEscapes = true
			length, err := s.scanEscape(text[i:])
			if err != nil {
				return nil, false, err
			}
			i += length
		default:
			i++
		}
	}
	return nil, false, errNotJSON
}

// scanEscape scans the escape at the start of text and returns its length. The two escapes of a
// surrogate pair count as one.
func (s *scanner) scanEscape(text []byte) (length int, err error) {
	if len(text) < 2 {
		return 0, errNotJSON
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
	default:
		return 0, errNotJSON
	}
	codeUnit, ok := parseHex4(text[2:])
	if !ok {
		return 0, errNotJSON
	}
	if s.lenient || !utf16.IsSurrogate(codeUnit) {
		return 6, nil
	}
	if rest := text[6:]; len(rest) >= 2 && rest[0] == '\\' && rest[1] == 'u' {
		low, ok := parseHex4(rest[2:])
		if !ok {
			return 0, errNotJSON
		}
		if utf16.DecodeRune(codeUnit, low) != unicode.ReplacementChar {
			return 12, nil
		}
	}
	return 0, errLoneSurrogate
}

func parseHex4(text []byte) (codeUnit rune, ok bool) {
	if len(text) < 4 {
		return 0, false
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
			return 0, false
		}
		codeUnit = codeUnit<<4 | rune(c)
	}
	return codeUnit, true
}

// unescape returns the value of a scanned string.
func unescape(raw []byte) []byte {
	text := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		if length := bytes.IndexByte(raw[i:], '\\'); length != 0 {
			if length < 0 {
				return append(text, raw[i:]...)
			}
			text = append(text, raw[i:i+length]...)
			i += length
		}
		i += 2
		switch c := raw[i-1]; c {
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
			char, _ := parseHex4(raw[i:])
			i += 4
			if utf16.IsSurrogate(char) {
				// A lone surrogate becomes U+FFFD. Only a lenient scanner accepts a lone surrogate.
				low := rune(0)
				if len(raw) >= i+6 && raw[i] == '\\' && raw[i+1] == 'u' {
					low, _ = parseHex4(raw[i+2:])
				}
				if char = utf16.DecodeRune(char, low); char != unicode.ReplacementChar {
					i += 6
				}
			}
			text = utf8.AppendRune(text, char)
		default: // a quote, a backslash or a slash
			text = append(text, c)
		}
	}
	return text
}

// scanNumber scans a number (RFC 8259, section 6).
func (s *scanner) scanNumber() (any, error) {
	text, i := s.text, s.pos
	if i < len(text) && text[i] == '-' {
		i++
	}
	intStart := i
	if i < len(text) && text[i] == '0' {
		i++ // no digit may follow
	} else if i = endOfDigits(text, i); i == intStart {
		return nil, errNotJSON
	}
	magnitude, isInteger := i-intStart, true
	if i < len(text) && text[i] == '.' {
		isInteger = false
		start := i + 1
		if i = endOfDigits(text, start); i == start {
			return nil, errNotJSON
		}
	}
	if i < len(text) && text[i]|' ' == 'e' {
		isInteger = false
		i++
		negativeExponent := i < len(text) && text[i] == '-'
		if negativeExponent || i < len(text) && text[i] == '+' {
			i++
		}
		start := i
		if i = endOfDigits(text, start); i == start {
			return nil, errNotJSON
		}
		exponent, err := strconv.Atoi(string(text[start:min(i, start+6)]))
		if err != nil {
			return nil, errNotJSON
		}
		if negativeExponent {
			exponent = -exponent
		}
		magnitude += exponent
	}
	text, s.pos = text[s.pos:i], i
	switch {
	case s.boundNumbers && len(text) > maxNumberBytes:
		return nil, &Error{Reason: NumberTooLong,
			message: fmt.Sprintf("has a number of %d characters; accepted: %d", len(text),
				maxNumberBytes)}
	case s.boundNumbers && magnitude > maxMagnitude:
		return nil, numberTooLargeError(text)
	case !s.buildValues:
		return nil, nil
	}
	if isInteger {
		if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil { // it doesn't fit a float64
		return nil, numberTooLargeError(text)
	}
	return f, nil
}

func numberTooLargeError(text []byte) error {
	return &Error{Reason: NumberTooLarge,
		message: fmt.Sprintf("has the number %s, which is too large",
			Escape(maxQuotedBytes, string(text)))}
}

// endOfDigits returns the index after the digits that start at i.
func endOfDigits(text []byte, i int) int {
	for i < len(text) && text[i] >= '0' && text[i] <= '9' {
		i++
	}
	return i
}
