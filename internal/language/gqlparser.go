package language

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"
)

// The differences between gqlparser v2.5.37 and the specification, and how they are handled. See
// docs/decisions/0014-september-2025.md. A gqlparser that supports September 2025 will make this
// file unnecessary.
//
//	descriptions of operations, variables and fragments    Rewrite blanks them
//	\u{...}, surrogate pairs, control characters           Rewrite writes the character or \uXXXX
//	block strings: indentation of the first line, quotes   Rewrite writes a plain string
//	locations of strings, and after block strings or CRLF  Locator corrects them

// Rewrite returns a document that gqlparser reads as the specification reads the given one. It
// returns a document with a syntax error unchanged. Tokens stay on their lines, and mostly in their
// columns.
func Rewrite(document string) string {
	var (
		s             = Scanner{Text: document}
		out           strings.Builder
		copied, depth int
		previous      lexer.Type
		definitions   bool // in the parentheses of variable definitions
		// After a directive of an operation or fragment, where parentheses are its arguments.
		directives bool
	)
	replace := func(token Token, text string) {
		out.WriteString(document[copied:token.Start])
		out.WriteString(text)
		copied = token.End
	}
	for {
		token, err := s.Next()
		if err != nil {
			return document
		}
		switch token.Kind {
		case lexer.EOF:
			if copied == 0 {
				return document
			}
			out.WriteString(document[copied:])
			return out.String()
		case lexer.Comment:
			if token.Unsupported {
				replace(token, blankControls(s.Value(token)))
			}
			continue
		case lexer.String, lexer.BlockString:
			if depth == 0 || definitions && depth == 1 && previous != lexer.Equals {
				replace(token, blank(document[token.Start:token.End]))
			} else if token.Unsupported {
				replace(token, pad(quote(s.Value(token)), document[token.Start:token.End]))
			}
		case lexer.At:
			directives = directives || depth == 0
		case lexer.ParenL, lexer.BracketL, lexer.BraceL:
			if depth == 0 {
				definitions = token.Kind == lexer.ParenL && !directives
				directives = directives && token.Kind != lexer.BraceL
			}
			depth++
		case lexer.ParenR, lexer.BracketR, lexer.BraceR:
			depth--
		}
		previous = token.Kind
	}
}

// Misread returns a syntax error if gqlparser reads a string of a document differently than the
// specification. The document must be one that gqlparser accepts. After Rewrite, only a document
// with a syntax error by the specification can be misread.
func Misread(document string) *gqlerror.Error {
	const message = "a string that this server can't read as it is meant: " +
		"send its value as a variable"
	s, unsupported := Scanner{Text: document}, false
	for {
		token, err := s.Next()
		if err != nil {
			return SyntaxError(document, err.Offset, err.Message)
		}
		if token.Kind == lexer.EOF {
			break
		}
		unsupported = unsupported || token.Unsupported
	}
	if !unsupported {
		return nil
	}
	s = Scanner{Text: document}
	parsed := lexer.New(&ast.Source{Input: document})
	for {
		token, _ := s.Next()
		theirs, err := parsed.ReadToken()
		if err != nil || isString(token.Kind) && theirs.Value != s.Value(token) {
			return SyntaxError(document, token.Start, message)
		}
		if token.Kind == lexer.EOF {
			return nil
		}
	}
}

// quote returns a string literal that is valid in every edition of GraphQL.
func quote(value string) string {
	out := make([]byte, 0, len(value)+2)
	out = append(out, '"')
	for i := range len(value) {
		switch c := value[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, '\\', 'n')
		case c == '\r':
			out = append(out, '\\', 'r')
		case isControl(c):
			out = fmt.Appendf(out, `\u%04x`, c)
		default:
			out = append(out, c)
		}
	}
	return string(append(out, '"'))
}

// blank returns spaces and line breaks that replace a string. It starts with a space, so that its
// first line feed doesn't join with a carriage return before it.
func blank(text string) string { return pad(" ", text) }

// pad adds line breaks and spaces to a replacement, so that it ends in the same line and column as
// the text that it replaces. A longer replacement ends in a later column.
func pad(replacement, text string) string {
	lines := strings.Split(lineEnds.Replace(text), "\n")
	replacement += strings.Repeat("\n", len(lines)-1)
	width := utf8.RuneCountInString(lines[len(lines)-1])
	if len(lines) == 1 {
		width -= utf8.RuneCountInString(replacement)
	}
	return replacement + strings.Repeat(" ", max(width, 0))
}

// blankControls replaces control characters by spaces.
func blankControls(text string) string {
	return strings.Map(func(char rune) rune {
		if char < ' ' && isControl(byte(char)) {
			return ' '
		}
		return char
	}, text)
}

// A Locator maps gqlparser's locations in Parsed to the right ones in Document. Parsed is Document
// or its result of Rewrite. The Locator reads both at the first use.
type Locator struct {
	Document, Parsed string

	places map[gqlerror.Location]place // by gqlparser's location
}

// A place has the location of a token, and of the element that the token stands for. The element
// starts at its description, at the @ of a directive or at the dots of a fragment.
type place struct{ token, element gqlerror.Location }

// Token maps the location of a token, for syntax errors. It returns an unknown location unchanged.
func (l *Locator) Token(location gqlerror.Location) gqlerror.Location {
	if found, ok := l.find(location); ok {
		return found.token
	}
	return location
}

// Element maps the location of a token to the start of its element, for all other errors.
func (l *Locator) Element(location gqlerror.Location) gqlerror.Location {
	if found, ok := l.find(location); ok {
		return found.element
	}
	return location
}

// find returns the place of a token, by gqlparser's location.
func (l *Locator) find(location gqlerror.Location) (place, bool) {
	if l.places == nil {
		l.places = map[gqlerror.Location]place{}
		l.read()
	}
	found, ok := l.places[location]
	return found, ok
}

// read scans both texts in parallel and records the place of each token.
func (l *Locator) read() {
	document, cursor := Scanner{Text: l.Document}, newCursor(l.Document)
	parsed := lexer.New(&ast.Source{Input: l.Parsed})
	// The kind of the previous token, and where an element that includes it starts.
	previous, element := lexer.Invalid, cursor.location
	described := false
	for {
		theirs, parseErr := parsed.ReadToken()
		ours, err := document.Next()
		// Only Document has descriptions.
		for err == nil && isString(ours.Kind) && parseErr == nil && !isString(theirs.Kind) {
			element, described = cursor.move(ours.Start), true
			ours, err = document.Next()
		}
		offset := ours.Start
		if err != nil {
			offset = err.Offset
		}
		token := cursor.move(offset)
		p := place{token, token}
		if described || previous == lexer.Spread ||
			previous == lexer.At && ours.Kind == lexer.Name {
			p.element = element
		}
		l.places[gqlerror.Location{Line: theirs.Pos.Line, Column: theirs.Pos.Column}] = p
		if parseErr != nil || err != nil || theirs.Kind == lexer.EOF || ours.Kind == lexer.EOF {
			return
		}
		if ours.Kind != lexer.Comment {
			previous, element, described = ours.Kind, token, false
		}
	}
}

func isString(kind lexer.Type) bool { return kind == lexer.String || kind == lexer.BlockString }
