package language

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"
)

// What gqlparser v2.5.37 reads otherwise than the specification, and what is done about it. See
// docs/decisions/0014-september-2025.md; with a gqlparser that knows September 2025 this
// file goes.
//
//	descriptions of operations, variables and fragments    Rewrite blanks them
//	\u{...}, surrogate pairs, control characters           Rewrite writes the character, or an escape it knows
//	block strings: indentation of the first line, quotes   Rewrite writes a string with the right value
//	locations after block strings and CRLF, of strings     Locator corrects them

// Rewrite returns a document that is the same for gqlparser as the given one is by the
// specification. Of a document with a syntax error it returns the document as it is. Tokens stay on
// their lines, and mostly in their columns.
func Rewrite(document string) string {
	var (
		s             = Scanner{Text: document}
		out           strings.Builder
		copied, depth int
		previous      lexer.Type
		definitions   bool // inside the parentheses of variable definitions
		// after a directive of an operation or a fragment, where there are no definitions any more
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
			if token.New {
				replace(token, blankControls(s.Value(token)))
			}
			continue
		case lexer.String, lexer.BlockString:
			if depth == 0 || definitions && depth == 1 && previous != lexer.Equals {
				replace(token, blank(document[token.Start:token.End]))
			} else if token.New {
				replace(token, like(document[token.Start:token.End], quote(s.Value(token))))
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

// Misread returns a syntax error if gqlparser, which took a document, reads another value out of it
// than the specification does, and nil if it doesn't. What Rewrite returns is read right, unless it
// is no document by the specification.
func Misread(document string) *gqlerror.Error {
	const message = "a string that this server can't read as it is meant: " +
		"send its value as a variable"
	s, firstNew := Scanner{Text: document}, -1
	for {
		token, err := s.Next()
		if err != nil {
			return SyntaxError(document, err.At, err.Message)
		}
		if token.Kind == lexer.EOF {
			break
		}
		if token.New && firstNew < 0 {
			firstNew = token.Start
		}
	}
	if firstNew < 0 {
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

// quote writes a string as every edition of GraphQL reads it.
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

// blank puts spaces in the place of a string, and keeps its lines. It begins with a space, lest a
// line end of the string becomes one with a carriage return before it.
func blank(text string) string { return like(text, " ") }

// like adds to a replacement what ends in the same line and column as the text that it replaces, if
// it is shorter.
func like(text, replacement string) string {
	lines := strings.Split(lineEnds.Replace(text), "\n")
	replacement += strings.Repeat("\n", len(lines)-1)
	width := utf8.RuneCountInString(lines[len(lines)-1])
	if len(lines) == 1 {
		width -= utf8.RuneCountInString(replacement)
	}
	return replacement + strings.Repeat(" ", max(width, 0))
}

func blankControls(text string) string {
	return strings.Map(func(char rune) rune {
		if char < ' ' && isControl(byte(char)) {
			return ' '
		}
		return char
	}, text)
}

// A Locator corrects locations that gqlparser gave for Parsed, which is Document or what Rewrite
// made of it. It reads both at the first use.
type Locator struct {
	Document, Parsed string

	places map[gqlerror.Location]place // by gqlparser's location
}

// A place is where in the document a token is, and where what it belongs to begins: a description,
// the @ of a directive, the dots of a fragment.
type place struct{ token, element gqlerror.Location }

// Token returns the location in Document of the token that gqlparser has at a location, for errors
// of syntax. One that gqlparser can't have given it returns as it is.
func (l *Locator) Token(location gqlerror.Location) gqlerror.Location {
	if found, ok := l.find(location); ok {
		return found.token
	}
	return location
}

// Element is like Token, but returns where the element of the document begins, for all other
// errors.
func (l *Locator) Element(location gqlerror.Location) gqlerror.Location {
	if found, ok := l.find(location); ok {
		return found.element
	}
	return location
}

func (l *Locator) find(location gqlerror.Location) (place, bool) {
	if l.places == nil {
		l.places = map[gqlerror.Location]place{}
		l.read()
	}
	found, ok := l.places[location]
	return found, ok
}

func (l *Locator) read() {
	document, at := Scanner{Text: l.Document}, newCursor(l.Document)
	parsed := lexer.New(&ast.Source{Input: l.Parsed})
	// of the token before, and where its element would begin
	previous, element := lexer.Invalid, at.location
	described := false
	for {
		theirs, parseErr := parsed.ReadToken()
		ours, err := document.Next()
		// a description
		for err == nil && isString(ours.Kind) && parseErr == nil && !isString(theirs.Kind) {
			element, described = at.move(ours.Start), true
			ours, err = document.Next()
		}
		offset := ours.Start
		if err != nil {
			offset = err.At
		}
		token := at.move(offset)
		here := place{token, token}
		if described || previous == lexer.Spread ||
			previous == lexer.At && ours.Kind == lexer.Name {
			here.element = element
		}
		l.places[gqlerror.Location{Line: theirs.Pos.Line, Column: theirs.Pos.Column}] = here
		if parseErr != nil || err != nil || theirs.Kind == lexer.EOF || ours.Kind == lexer.EOF {
			return
		}
		if ours.Kind != lexer.Comment {
			previous, element, described = ours.Kind, token, false
		}
	}
}

func isString(kind lexer.Type) bool { return kind == lexer.String || kind == lexer.BlockString }
