package language

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"
)

// This file handles the differences between gqlparser v2.5.37 and the specification. See
// docs/decisions/0014-september-2025.md. When gqlparser supports September 2025, this file can be
// deleted. The differences, and what handles them:
//
//	descriptions of operations, variables and fragments    Rewrite blanks them
//	\u{...}, surrogate pairs, control characters           Rewrite writes the character or a \u escape
//	block strings: indentation of the first line, quotes   Rewrite writes a plain string
//	locations of strings, and after block strings or CRLF  Locator corrects them

// Rewrite returns a document that gqlparser reads as the specification reads the original. If the
// original has a syntax error, Rewrite returns it unchanged. Tokens stay on their lines, and mostly
// in their columns.
func Rewrite(document string) string {
	var (
		s                     = Scanner{Text: document}
		out                   strings.Builder
		copiedEnd, depth      int
		previousKind          lexer.Type
		inVariableDefinitions bool
		// Parentheses after a directive of an operation or fragment enclose its arguments.
		afterDirective bool
	)
	replace := func(token Token, text string) {
		out.WriteString(document[copiedEnd:token.Start])
		out.WriteString(text)
		copiedEnd = token.End
	}
	for {
		token, err := s.Next()
		if err != nil {
			return document
		}
		switch token.Kind {
		case lexer.EOF:
			if copiedEnd == 0 {
				return document
			}
			out.WriteString(document[copiedEnd:])
			return out.String()
		case lexer.Comment:
			if token.Unsupported {
				replace(token, blankControls(s.Value(token)))
			}
			continue
		case lexer.String, lexer.BlockString:
			if depth == 0 || inVariableDefinitions && depth == 1 && previousKind != lexer.Equals {
				replace(token, blank(document[token.Start:token.End]))
			} else if token.Unsupported {
				replace(token, pad(quote(s.Value(token)), document[token.Start:token.End]))
			}
		case lexer.At:
			afterDirective = afterDirective || depth == 0
		case lexer.ParenL, lexer.BracketL, lexer.BraceL:
			if depth == 0 {
				inVariableDefinitions = token.Kind == lexer.ParenL && !afterDirective
				afterDirective = afterDirective && token.Kind != lexer.BraceL
			}
			depth++
		case lexer.ParenR, lexer.BracketR, lexer.BraceR:
			depth--
		}
		previousKind = token.Kind
	}
}

// Misread returns a syntax error if gqlparser reads a string of the document differently than the
// specification. The document must be one that gqlparser accepts. After Rewrite, a string is
// misread only if the document has a syntax error by the specification.
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
	gqlLexer := lexer.New(&ast.Source{Input: document})
	for {
		token, _ := s.Next()
		theirs, err := gqlLexer.ReadToken()
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

// blank returns spaces and line breaks to replace a string with. They start with a space.
// Otherwise, the first line feed and a carriage return in front of the string would form one line
// break.
func blank(text string) string { return pad(" ", text) }

// pad adds line breaks and spaces to a replacement for text, so that it ends in the same line and
// column as text. A replacement that is longer than text ends in a later column.
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

// A Locator maps gqlparser's locations in Parsed to the correct locations in Document. Parsed is
// Document or Rewrite(Document). The Locator reads both at the first use.
type Locator struct {
	Document, Parsed string

	places map[gqlerror.Location]place // by gqlparser's location
}

// A place has the location of a token, and of the element that gqlparser locates by that token. An
// element may start before the token: at a description, the @ of a directive or the dots of a
// fragment.
type place struct{ token, element gqlerror.Location }

// Token maps the location of a token, for syntax errors. It returns an unknown location unchanged.
func (l *Locator) Token(location gqlerror.Location) gqlerror.Location {
	if p, ok := l.find(location); ok {
		return p.token
	}
	return location
}

// Element maps the location of a token to the start of its element, for errors other than syntax
// errors.
func (l *Locator) Element(location gqlerror.Location) gqlerror.Location {
	if p, ok := l.find(location); ok {
		return p.element
	}
	return location
}

// find returns the place of a token, by gqlparser's location.
func (l *Locator) find(location gqlerror.Location) (place, bool) {
	if l.places == nil {
		l.places = map[gqlerror.Location]place{}
		l.read()
	}
	p, ok := l.places[location]
	return p, ok
}

// read scans both texts in parallel and records the place of each token.
func (l *Locator) read() {
	document, cursor := Scanner{Text: l.Document}, newCursor(l.Document)
	gqlLexer := lexer.New(&ast.Source{Input: l.Parsed})
	// The kind of the previous token, and where the element of that token starts.
	previousKind, element := lexer.Invalid, cursor.location
	hasDescription := false
	for {
		theirs, parseErr := gqlLexer.ReadToken()
		ours, err := document.Next()
		// Only Document has descriptions.
		for err == nil && isString(ours.Kind) && parseErr == nil && !isString(theirs.Kind) {
			element, hasDescription = cursor.move(ours.Start), true
			ours, err = document.Next()
		}
		offset := ours.Start
		if err != nil {
			offset = err.Offset
		}
		token := cursor.move(offset)
		p := place{token, token}
		if hasDescription || previousKind == lexer.Spread ||
			previousKind == lexer.At && ours.Kind == lexer.Name {
			p.element = element
		}
		l.places[gqlerror.Location{Line: theirs.Pos.Line, Column: theirs.Pos.Column}] = p
		if parseErr != nil || err != nil || theirs.Kind == lexer.EOF || ours.Kind == lexer.EOF {
			return
		}
		if ours.Kind != lexer.Comment {
			previousKind, element, hasDescription = ours.Kind, token, false
		}
	}
}

func isString(kind lexer.Type) bool { return kind == lexer.String || kind == lexer.BlockString }
