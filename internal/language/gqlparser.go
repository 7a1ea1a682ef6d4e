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
// deleted. The differences, and the functions that handle them:
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
		scanner               = Scanner{Text: document}
		out                   strings.Builder
		copiedEnd             int // out has the document up to this offset
		depth                 int // number of open brackets
		previousKind          lexer.Type
		inVariableDefinitions bool
		// After a directive of an operation or fragment, parentheses enclose arguments.
		afterDirective bool
	)
	replace := func(token Token, text string) {
		out.WriteString(document[copiedEnd:token.Start])
		out.WriteString(text)
		copiedEnd = token.End
	}
	for {
		token, err := scanner.Next()
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
				replace(token, blankControls(scanner.Value(token)))
			}
			continue
		case lexer.String, lexer.BlockString:
			if depth == 0 || inVariableDefinitions && depth == 1 && previousKind != lexer.Equals {
				replace(token, blank(document[token.Start:token.End]))
			} else if token.Unsupported {
				replace(token, pad(quote(scanner.Value(token)), document[token.Start:token.End]))
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

// CheckStrings returns a syntax error if gqlparser reads a string of the document differently than
// the specification. gqlparser must accept the document. If the document is a result of Rewrite,
// CheckStrings returns an error only if the specification rejects the document.
func CheckStrings(document string) *gqlerror.Error {
	const message = "a string that this server can't read correctly: " +
		"send its value as a variable"
	scanner, unsupported := Scanner{Text: document}, false
	for {
		token, err := scanner.Next()
		if err != nil {
			return NewSyntaxError(document, err.Offset, err.Message)
		}
		if token.Kind == lexer.EOF {
			break
		}
		unsupported = unsupported || token.Unsupported
	}
	if !unsupported {
		return nil
	}
	scanner = Scanner{Text: document}
	gqlLexer := lexer.New(&ast.Source{Input: document})
	for {
		token, _ := scanner.Next()
		gqlToken, err := gqlLexer.ReadToken()
		if err != nil || isString(token.Kind) && gqlToken.Value != scanner.Value(token) {
			return NewSyntaxError(document, token.Start, message)
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

// blank returns spaces and line breaks that replace a string. The first character is a space,
// because a line feed would form one line break with a carriage return in front of the string.
func blank(text string) string { return pad(" ", text) }

// pad adds line breaks and spaces to a replacement for text, so that it ends in the same line and
// column as text. A replacement that is longer than text ends in a later column.
func pad(replacement, text string) string {
	lines := strings.Split(lineEndReplacer.Replace(text), "\n")
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

// A Locator maps gqlparser's locations in ParserInput to the correct locations in Document.
// ParserInput is Document or Rewrite(Document). The Locator scans both at the first use.
type Locator struct {
	Document, ParserInput string

	corrections map[gqlerror.Location]correction // by gqlparser's location
}

// A correction has the correct location of a token, and of the element that gqlparser locates by
// that token. An element may start before the token: at a description, the @ of a directive or the
// dots of a fragment.
type correction struct{ token, element gqlerror.Location }

// TokenLocation maps the location of a token, for syntax errors. It returns an unknown location
// unchanged.
func (l *Locator) TokenLocation(location gqlerror.Location) gqlerror.Location {
	if c, ok := l.lookup(location); ok {
		return c.token
	}
	return location
}

// ElementLocation maps the location of a token to the start of its element, for errors other than
// syntax errors. It returns an unknown location unchanged.
func (l *Locator) ElementLocation(location gqlerror.Location) gqlerror.Location {
	if c, ok := l.lookup(location); ok {
		return c.element
	}
	return location
}

// lookup returns the correction of gqlparser's location.
func (l *Locator) lookup(location gqlerror.Location) (c correction, ok bool) {
	if l.corrections == nil {
		l.corrections = map[gqlerror.Location]correction{}
		l.buildCorrections()
	}
	c, ok = l.corrections[location]
	return c, ok
}

// buildCorrections scans both texts in parallel and sets the correction of each token.
func (l *Locator) buildCorrections() {
	scanner, cursor := Scanner{Text: l.Document}, newCursor(l.Document)
	gqlLexer := lexer.New(&ast.Source{Input: l.ParserInput})
	previousKind, hasDescription := lexer.Invalid, false
	var previousLocation, descriptionLocation gqlerror.Location
	for {
		gqlToken, parseErr := gqlLexer.ReadToken()
		token, err := scanner.Next()
		// Only Document has descriptions.
		for err == nil && isString(token.Kind) && parseErr == nil && !isString(gqlToken.Kind) {
			descriptionLocation, hasDescription = cursor.moveTo(token.Start), true
			token, err = scanner.Next()
		}
		offset := token.Start
		if err != nil {
			offset = err.Offset
		}
		tokenLocation := cursor.moveTo(offset)
		c := correction{tokenLocation, tokenLocation}
		switch {
		case hasDescription:
			c.element = descriptionLocation
		case previousKind == lexer.Spread, previousKind == lexer.At && token.Kind == lexer.Name:
			c.element = previousLocation
		}
		l.corrections[gqlerror.Location{Line: gqlToken.Pos.Line, Column: gqlToken.Pos.Column}] = c
		if parseErr != nil || err != nil || gqlToken.Kind == lexer.EOF ||
			token.Kind == lexer.EOF {
			return
		}
		if token.Kind != lexer.Comment {
			previousKind, previousLocation, hasDescription = token.Kind, tokenLocation, false
		}
	}
}

func isString(kind lexer.Type) bool { return kind == lexer.String || kind == lexer.BlockString }
