// Package language reads the text of executable GraphQL documents by the September 2025 edition of
// the specification: tokens, the values of strings, and lines and columns. It builds no tree.
// gqlparser.go handles all differences between gqlparser and that edition.
//
// Specification:
// https://spec.graphql.org/September2025/#sec-Appendix-Grammar-Summary.Lexical-Tokens
package language

import (
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"
)

// A Token is a token of a document, with gqlparser's name for its kind. Start and End are byte
// offsets. A string's offsets include its quotes.
type Token struct {
	Kind       lexer.Type
	Start, End int

	// Unsupported is true if gqlparser rejects the token or may misread its value.
	Unsupported bool
}

// A Scanner reads the tokens of Text in linear time, without allocating memory.
type Scanner struct {
	Text string
	pos  int
}

// An Error is a syntax error. Its message doesn't quote the document.
type Error struct {
	Offset  int // in bytes
	Message string
}

var punctuators = [...]lexer.Type{
	'!': lexer.Bang, '$': lexer.Dollar, '&': lexer.Amp, '(': lexer.ParenL, ')': lexer.ParenR,
	':': lexer.Colon, '=': lexer.Equals,
	'@': lexer.At, '[': lexer.BracketL, ']': lexer.BracketR, '{': lexer.BraceL, '|': lexer.Pipe,
	'}': lexer.BraceR,
}

const byteOrderMark = "\uFEFF"

// Next returns the next token, which may be a comment. At the end, it returns a token of kind EOF.
func (s *Scanner) Next() (Token, *Error) {
	for s.pos < len(s.Text) {
		c := s.Text[s.pos]
		switch {
		case c == ' ' || c == '\t' || c == ',' || c == '\n' || c == '\r':
			s.pos++
		case c == byteOrderMark[0] && strings.HasPrefix(s.Text[s.pos:], byteOrderMark):
			s.pos += len(byteOrderMark)
		case int(c) < len(punctuators) && punctuators[c] != lexer.Invalid:
			return s.newToken(punctuators[c], s.pos+1), nil
		case c == '.' && strings.HasPrefix(s.Text[s.pos:], "..."):
			return s.newToken(lexer.Spread, s.pos+3), nil
		case isNameStart(c):
			end := s.pos + 1
			for end < len(s.Text) && (isNameStart(s.Text[end]) || isDigit(s.Text[end])) {
				end++
			}
			return s.newToken(lexer.Name, end), nil
		case isDigit(c) || c == '-':
			return s.scanNumber()
		case c == '"' && strings.HasPrefix(s.Text[s.pos:], `"""`):
			return s.scanBlockString()
		case c == '"':
			return s.scanString()
		case c == '#':
			return s.scanComment()
		default:
			return s.fail(s.pos, "a character that GraphQL's syntax doesn't have")
		}
	}
	return s.newToken(lexer.EOF, s.pos), nil
}

// newToken returns the token from the current position to end, and moves to end.
func (s *Scanner) newToken(kind lexer.Type, end int) Token {
	token := Token{Kind: kind, Start: s.pos, End: end}
	s.pos = end
	return token
}

// fail returns a syntax error at an offset, and an invalid token that ends there.
func (s *Scanner) fail(offset int, message string) (Token, *Error) {
	return Token{Kind: lexer.Invalid, Start: s.pos, End: offset}, &Error{offset, message}
}

// byteAt returns the byte at an offset, or 0 beyond the end.
func (s *Scanner) byteAt(i int) byte {
	if i < len(s.Text) {
		return s.Text[i]
	}
	return 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isNameStart(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }

func (s *Scanner) scanNumber() (Token, *Error) {
	const missingDigitMessage = "a number that lacks a digit"
	kind, end := lexer.Int, s.pos
	scanDigits := func() bool {
		start := end
		for isDigit(s.byteAt(end)) {
			end++
		}
		return end > start
	}
	if s.byteAt(end) == '-' {
		end++
	}
	if s.byteAt(end) == '0' {
		if end++; isDigit(s.byteAt(end)) {
			return s.fail(end, "a number that begins with 0")
		}
	} else if !scanDigits() {
		return s.fail(end, missingDigitMessage)
	}
	if s.byteAt(end) == '.' {
		kind = lexer.Float
		if end++; !scanDigits() {
			return s.fail(end, missingDigitMessage)
		}
	}
	if s.byteAt(end)|0x20 == 'e' {
		kind = lexer.Float
		if end++; s.byteAt(end) == '+' || s.byteAt(end) == '-' {
			end++
		}
		if !scanDigits() {
			return s.fail(end, missingDigitMessage)
		}
	}
	if c := s.byteAt(end); c == '.' || isNameStart(c) {
		return s.fail(end, "a number directly followed by a name or a dot")
	}
	return s.newToken(kind, end), nil
}

func (s *Scanner) scanComment() (Token, *Error) {
	end, supported := s.pos+1, true
	for end < len(s.Text) && s.Text[end] != '\n' && s.Text[end] != '\r' {
		size, ok := s.characterSize(end)
		if !ok {
			return s.fail(end, notUTF8Message)
		}
		supported = supported && !isControl(s.Text[end])
		end += size
	}
	token := s.newToken(lexer.Comment, end)
	token.Unsupported = !supported
	return token, nil
}

// characterSize returns the size in bytes of the character at an offset. ok is false if the text
// there isn't UTF-8.
func (s *Scanner) characterSize(i int) (size int, ok bool) {
	if s.Text[i] < utf8.RuneSelf {
		return 1, true
	}
	char, size := utf8.DecodeRuneInString(s.Text[i:])
	return size, char != utf8.RuneError || size > 1
}

// isControl reports whether c is a control character that gqlparser rejects in strings and
// comments.
func isControl(c byte) bool { return c < ' ' && c != '\t' && c != '\n' && c != '\r' }

func (s *Scanner) scanString() (Token, *Error) {
	end, supported := s.pos+1, true
	for end < len(s.Text) {
		switch c := s.Text[end]; c {
		case '"':
			token := s.newToken(lexer.String, end+1)
			token.Unsupported = !supported
			return token, nil
		case '\n', '\r':
			return s.fail(end, unclosedStringMessage)
		case '\\':
			char, size, message := decodeEscape(s.Text[end:])
			if message != "" {
				return s.fail(end, message)
			}
			supported = supported && size <= len(`\u0000`) && s.byteAt(end+2) != '{' &&
				char <= 0xFFFF
			end += size
		default:
			size, ok := s.characterSize(end)
			if !ok {
				return s.fail(end, notUTF8Message)
			}
			supported = supported && !isControl(c)
			end += size
		}
	}
	return s.fail(end, unclosedStringMessage)
}

const (
	notUTF8Message        = "text that isn't UTF-8"
	unclosedStringMessage = "a string that isn't closed"
	invalidEscapeMessage  = "an escape sequence that GraphQL doesn't have"
	halfPairMessage       = `half of a surrogate pair: write both halves, or \u{...}`
	notUnicodeMessage     = "an escape sequence for a character that Unicode doesn't have"
)

const (
	minBracedSize   = len(`\u{0}`)
	maxBracedSize   = len(`\u{00000000}`) // the same limit as graphql-js
	fixedDigitCount = 4                   // of a \u escape without braces
)

var simpleEscapes = [...]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// decodeEscape decodes the escape sequence at the start of text, and returns its size in bytes. If
// the sequence is invalid, message says why.
func decodeEscape(text string) (char rune, size int, message string) {
	if len(text) < 2 {
		return 0, 0, unclosedStringMessage
	}
	c := text[1]
	switch {
	case c != 'u' && int(c) < len(simpleEscapes) && simpleEscapes[c] != 0:
		return rune(simpleEscapes[c]), 2, ""
	case c != 'u':
		return 0, 0, invalidEscapeMessage
	case strings.HasPrefix(text, `\u{`):
		return decodeBracedEscape(text)
	}
	char, ok := parseHex(text, 2)
	if !ok {
		return 0, 0, invalidEscapeMessage
	}
	if !utf16.IsSurrogate(char) {
		return char, len(`\u0000`), ""
	}
	if strings.HasPrefix(text[len(`\u0000`):], `\u`) {
		if low, ok := parseHex(text, len(`\u0000\u`)); ok {
			if pair := utf16.DecodeRune(char, low); pair != utf8.RuneError {
				return pair, len(`\u0000\u0000`), ""
			}
		}
	}
	return 0, 0, halfPairMessage
}

// decodeBracedEscape is decodeEscape for a sequence of the form \u{...}.
func decodeBracedEscape(text string) (char rune, size int, message string) {
	for i := len(`\u{`); i < min(len(text), maxBracedSize); i++ {
		if text[i] == '}' {
			switch {
			case i+1 < minBracedSize:
				return 0, 0, invalidEscapeMessage
			case utf16.IsSurrogate(char):
				return 0, 0, halfPairMessage
			}
			return char, i + 1, ""
		}
		digit, ok := hexDigit(text[i])
		if !ok {
			return 0, 0, invalidEscapeMessage
		}
		if char = char<<4 | digit; char > utf8.MaxRune {
			return 0, 0, notUnicodeMessage
		}
	}
	return 0, 0, invalidEscapeMessage
}

// parseHex reads the four hexadecimal digits at an offset.
func parseHex(text string, i int) (char rune, ok bool) {
	if i+fixedDigitCount > len(text) {
		return 0, false
	}
	for _, c := range []byte(text[i : i+fixedDigitCount]) {
		digit, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		char = char<<4 | digit
	}
	return char, true
}

func hexDigit(c byte) (rune, bool) {
	switch {
	case isDigit(c):
		return rune(c - '0'), true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return rune(c|0x20-'a') + 10, true
	}
	return 0, false
}

const tripleQuote = `"""`

func (s *Scanner) scanBlockString() (Token, *Error) {
	end := s.pos + len(tripleQuote)
	for end < len(s.Text) {
		rest := s.Text[end:]
		switch {
		case strings.HasPrefix(rest, tripleQuote):
			token := s.newToken(lexer.BlockString, end+len(tripleQuote))
			token.Unsupported = true
			return token, nil
		case strings.HasPrefix(rest, `\`+tripleQuote):
			end += len(`\` + tripleQuote)
		default:
			size, ok := s.characterSize(end)
			if !ok {
				return s.fail(end, notUTF8Message)
			}
			end += size
		}
	}
	return s.fail(end, unclosedStringMessage)
}

// Value returns the value of a string or a block string, and the text of any other token.
func (s *Scanner) Value(token Token) string {
	text := s.Text[token.Start:token.End]
	switch token.Kind {
	case lexer.String:
		return stringValue(text[1 : len(text)-1])
	case lexer.BlockString:
		return blockStringValue(text[len(tripleQuote) : len(text)-len(tripleQuote)])
	}
	return text
}

// ContentSize returns the number of bytes between the quotes of a string.
func (t Token) ContentSize() int {
	if t.Kind == lexer.BlockString {
		return t.End - t.Start - 2*len(tripleQuote)
	}
	return t.End - t.Start - 2
}

// stringValue returns the value of a string without its quotes, with escape sequences decoded.
func stringValue(raw string) string {
	escapeIndex := strings.IndexByte(raw, '\\')
	if escapeIndex < 0 {
		return raw
	}
	value := make([]byte, 0, len(raw))
	for escapeIndex >= 0 {
		value = append(value, raw[:escapeIndex]...)
		char, size, _ := decodeEscape(raw[escapeIndex:]) // valid: the scanner has checked it
		value = utf8.AppendRune(value, char)
		raw = raw[escapeIndex+size:]
		escapeIndex = strings.IndexByte(raw, '\\')
	}
	return string(append(value, raw...))
}

var lineEndReplacer = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// blockStringValue returns the value of a block string, as BlockStringValue of the specification
// defines it. It removes the common indentation of all lines except for the first, and blank lines
// at the start and the end.
func blockStringValue(raw string) string {
	raw = strings.ReplaceAll(raw, `\`+tripleQuote, tripleQuote)
	lines := strings.Split(lineEndReplacer.Replace(raw), "\n")
	commonIndent := -1
	for _, line := range lines[1:] {
		if indent := indentSize(line); indent < len(line) &&
			(commonIndent < 0 || indent < commonIndent) {
			commonIndent = indent
		}
	}
	for i := range lines[1:] {
		lines[i+1] = lines[i+1][min(max(commonIndent, 0), len(lines[i+1])):]
	}
	for len(lines) > 0 && indentSize(lines[0]) == len(lines[0]) {
		lines = lines[1:]
	}
	for len(lines) > 0 && indentSize(lines[len(lines)-1]) == len(lines[len(lines)-1]) {
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines, "\n")
}

func indentSize(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

// LocationAt returns the line and column of an offset, starting from 1. Columns are in UTF-16 code
// units, as in graphql-js and the Language Server Protocol.
func LocationAt(text string, offset int) gqlerror.Location { return newCursor(text).moveTo(offset) }

// A cursor moves forward in a text and tracks the line and column.
type cursor struct {
	text     string
	offset   int
	location gqlerror.Location
}

func newCursor(text string) *cursor {
	return &cursor{text: text, location: gqlerror.Location{Line: 1, Column: 1}}
}

// moveTo moves forward to an offset and returns the location there.
func (c *cursor) moveTo(offset int) gqlerror.Location {
	for c.offset < min(offset, len(c.text)) {
		char, size := utf8.DecodeRuneInString(c.text[c.offset:])
		c.offset += size
		switch {
		case char == '\n', char == '\r' && !strings.HasPrefix(c.text[c.offset:], "\n"):
			c.location = gqlerror.Location{Line: c.location.Line + 1, Column: 1}
		default:
			c.location.Column += max(1, utf16.RuneLen(char))
		}
	}
	return c.location
}

// errLocated marks errors whose locations were set by SetLocation.
var errLocated = errors.New("the location is in the client's text")

// NewSyntaxError returns the error that clients see for a syntax error at an offset.
func NewSyntaxError(text string, offset int, message string) *gqlerror.Error {
	err := SetLocation(text, offset, &gqlerror.Error{Message: "Syntax error: " + message})
	err.Extensions = map[string]any{"code": errcode.ParseFailed}
	return err
}

// SetLocation sets the location of err to an offset in the client's text, and returns err. It also
// marks err for IsLocated, so that no Locator corrects the location.
func SetLocation(text string, offset int, err *gqlerror.Error) *gqlerror.Error {
	err.Locations = []gqlerror.Location{LocationAt(text, offset)}
	err.Err = errLocated
	return err
}

// IsLocated reports whether the locations of err were set by SetLocation.
func IsLocated(err *gqlerror.Error) bool { return errors.Is(err.Err, errLocated) }
