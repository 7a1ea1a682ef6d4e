package limits

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"
)

// tokens are those of a document, one after the other, until one is over a limit.
//
// Whoever recurses on brackets recurses no deeper than they are open: where they don't match, the document ends
// for both, the parser and the outline, and up to there they are counted right. Neither sees anything beyond
// what is no token.
type tokens struct {
	limits     Document // with its defaults
	lex        lexer.Lexer
	now        lexer.Token // EOF at the end of what is of use
	read, open int
	broken     bool // it is no document, and for the parser to refuse
	fault      *gqlerror.Error
}

// start looks at what can be decided without reading a token.
func (t *tokens) start(query string) {
	t.lex = lexer.New(&ast.Source{Input: query})
	if n := len(query); n > t.limits.Bytes {
		t.stop("BYTES", "The document is too large: it has %d bytes, allowed are %d", n, t.limits.Bytes)
	} else if most := t.limits.StringBytes; longString(query, most) {
		t.stop("STRINGS", "A string in the document is too long: it has at least %d bytes, allowed are %d", most+1, most)
	}
}

func (t *tokens) stop(reason, message string, found, allowed int) {
	t.fault = tooLarge(reason, message, found, allowed)
	t.now = lexer.Token{Kind: lexer.EOF}
}

// refuse ends a document that the parser won't accept.
func (t *tokens) refuse() {
	t.broken = true
	t.now = lexer.Token{Kind: lexer.EOF}
}

// next goes on to the next token that is no comment.
func (t *tokens) next() {
	for t.more() {
		token, err := t.lex.ReadToken()
		t.now = token
		if err != nil {
			t.refuse()
			return
		}
		if token.Kind == lexer.EOF {
			return
		}
		if t.read++; t.read > t.limits.Tokens {
			t.stop("TOKENS", "The document is too large: it has at least %d tokens, allowed are %d", t.read, t.limits.Tokens)
			return
		}
		switch token.Kind {
		case lexer.Comment:
			continue
		case lexer.BraceL, lexer.BracketL, lexer.ParenL:
			if t.open++; t.open > t.limits.Nesting {
				t.stop("NESTING", "The document is too deep: at least %d brackets are open at one time, allowed are %d", t.open, t.limits.Nesting)
			}
		case lexer.BraceR, lexer.BracketR, lexer.ParenR:
			t.open = max(t.open-1, 0)
		case lexer.Name:
			if n := len(token.Value); n > t.limits.NameBytes {
				t.stop("NAMES", "A name in the document is too long: it has %d bytes, allowed are %d", n, t.limits.NameBytes)
			}
		case lexer.Int, lexer.Float:
			if n := len(token.Value); n > t.limits.NumberBytes {
				t.stop("NUMBERS", "A number in the document is too long: it has %d bytes, allowed are %d", n, t.limits.NumberBytes)
			}
		}
		return
	}
}

func (t *tokens) more() bool { return t.now.Kind != lexer.EOF && t.fault == nil && !t.broken }

func (t *tokens) is(kind lexer.Type) bool { return t.now.Kind == kind }

// name reports whether the token is one of these names.
func (t *tokens) name(names ...string) bool {
	return t.now.Kind == lexer.Name && slices.Contains(names, t.now.Value)
}

// skip passes a token of the kind, if there is one.
func (t *tokens) skip(kind lexer.Type) bool {
	if t.now.Kind != kind {
		return false
	}
	t.next()
	return true
}

// take passes a token of the kind, which must be there, and returns its text.
func (t *tokens) take(kind lexer.Type) string {
	if t.now.Kind != kind {
		t.refuse()
		return ""
	}
	text := t.now.Value
	t.next()
	return text
}

// within reports whether there is more before a closing bracket, and passes the bracket. What ends before it
// is no document.
func (t *tokens) within(shut lexer.Type) bool {
	if t.skip(shut) {
		return false
	}
	if t.now.Kind == lexer.EOF {
		t.broken = true
	}
	return t.more()
}

// longString reports whether a string or block string has more bytes than most between its quotes, as written.
// The lexer would decode it first, at many times what reading it costs: a block string is split into lines.
// Up to the first byte that is no token for the lexer, both see the same strings.
func longString(query string, most int) bool {
	for i := 0; i < len(query); i++ {
		switch query[i] {
		case '#':
			for i++; i < len(query) && query[i] != '\n' && query[i] != '\r'; {
				i++
			}
		case '"':
			start, end := i+1, 0
			if strings.HasPrefix(query[i:], `"""`) {
				start = i + 3
				end = endOfBlock(query, start)
				i = end + 2
			} else {
				end = endOfString(query, start)
				i = end
			}
			if end-start > most {
				return true
			}
		}
	}
	return false
}

// endOfString is where a string ends that starts at i: at a quote, a line's end or that of the document.
func endOfString(query string, i int) int {
	for ; i < len(query); i++ {
		switch query[i] {
		case '"', '\n', '\r':
			return i
		case '\\':
			i++
		}
	}
	return len(query)
}

// endOfBlock is where a block string ends that starts at i: at three quotes, of more the last three.
func endOfBlock(query string, i int) int {
	for i < len(query) {
		switch {
		case query[i] == '\\' && strings.HasPrefix(query[i:], `\"""`):
			i += 4
		case query[i] == '"':
			quotes := i
			for i < len(query) && query[i] == '"' {
				i++
			}
			if i-quotes >= 3 {
				return i - 3
			}
		default:
			i++
		}
	}
	return len(query)
}
