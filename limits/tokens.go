package limits

import (
	"slices"

	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
)

// tokens are those of a document, one after the other, until one is over a limit or no token at
// all.
//
// Recursion is bounded by the number of open brackets: this reader stops at the first one that
// doesn't match, and gqlparser never sees such a document.
type tokens struct {
	limits     Limits // with its defaults
	scanner    language.Scanner
	now        language.Token // EOF at the end, and after a fault
	read, open int
	rewrite    bool // gqlparser can't read the document as it is
	err        *gqlerror.Error
}

// start checks what needs no token.
func (t *tokens) start(query string) {
	t.scanner = language.Scanner{Text: query}
	if n := len(query); n > t.limits.Bytes {
		t.stop(apierror.ReasonBytes, "The document is too large: it has %d bytes, allowed are %d",
			n, t.limits.Bytes)
	}
}

func (t *tokens) stop(reason apierror.Reason, message string, found, allowed int) {
	if t.err == nil {
		t.err = tooLarge(reason, message, found, allowed)
	}
	t.now = language.Token{Kind: lexer.EOF}
}

// refuse ends a document with a syntax error at an offset.
func (t *tokens) refuse(at int, message string) {
	if t.err == nil {
		t.err = language.SyntaxError(t.scanner.Text, at, message)
	}
	t.now = language.Token{Kind: lexer.EOF}
}

// unexpected refuses the current token, and expected says what it should have been.
func (t *tokens) unexpected() { t.refuse(t.now.Start, "Unexpected "+t.now.Kind.String()) }

func (t *tokens) expected(what string) {
	t.refuse(t.now.Start, "Expected "+what+", found "+t.now.Kind.String())
}

// next goes on to the next token that isn't a comment.
func (t *tokens) next() {
	for t.err == nil {
		token, err := t.scanner.Next()
		if err != nil {
			if t.scanner.Text[token.Start:][:1] == `"` &&
				err.At-token.Start > t.limits.StringBytes {
				t.longString()
			}
			t.refuse(err.At, err.Message)
			return
		}
		t.now = token
		if token.Kind == lexer.EOF {
			return
		}
		if t.read++; t.read > t.limits.Tokens {
			t.stop(apierror.ReasonTokens,
				"The document is too large: it has at least %d tokens, allowed are %d", t.read,
				t.limits.Tokens)
			return
		}
		t.rewrite = t.rewrite || token.New
		switch token.Kind {
		case lexer.Comment:
			continue
		case lexer.BraceL, lexer.BracketL, lexer.ParenL:
			if t.open++; t.open > t.limits.Nesting {
				t.stop(apierror.ReasonNesting,
					"The document is too deep: at least %d brackets are open at one time, "+
						"allowed are %d", t.open, t.limits.Nesting)
			}
		case lexer.BraceR, lexer.BracketR, lexer.ParenR:
			t.open = max(t.open-1, 0)
		case lexer.Name:
			if n := token.End - token.Start; n > t.limits.NameBytes {
				t.stop(apierror.ReasonNames,
					"A name in the document is too long: it has %d bytes, allowed are %d", n,
					t.limits.NameBytes)
			}
		case lexer.Int, lexer.Float:
			if n := token.End - token.Start; n > t.limits.NumberBytes {
				t.stop(apierror.ReasonNumbers,
					"A number in the document is too long: it has %d bytes, allowed are %d", n,
					t.limits.NumberBytes)
			}
		case lexer.String, lexer.BlockString:
			if token.Written() > t.limits.StringBytes {
				t.longString()
			}
		}
		return
	}
}

func (t *tokens) longString() {
	maxBytes := t.limits.StringBytes
	t.stop(apierror.ReasonStrings,
		"A string in the document is too long: it has at least %d bytes, allowed "+
			"are %d", maxBytes+1, maxBytes)
}

func (t *tokens) more() bool { return t.now.Kind != lexer.EOF && t.err == nil }

func (t *tokens) is(kind lexer.Type) bool { return t.now.Kind == kind }

func (t *tokens) text() string { return t.scanner.Value(t.now) }

// name reports whether the token is one of these names.
func (t *tokens) name(names ...string) bool {
	return t.now.Kind == lexer.Name && slices.Contains(names, t.text())
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
		t.expected(kind.String())
		return ""
	}
	text := t.text()
	t.next()
	return text
}

// keyword passes a name that must be there.
func (t *tokens) keyword(name string) {
	if !t.name(name) {
		t.expected(`"` + name + `"`)
		return
	}
	t.next()
}

// description passes a description, if there is one, and reports whether there was. It means
// nothing to a server.
func (t *tokens) description() bool {
	if !t.is(lexer.String) && !t.is(lexer.BlockString) {
		return false
	}
	t.rewrite = true
	t.next()
	return true
}

// some calls read for each of one or more elements, up to the closing bracket, which it passes,
// after the opening bracket was. The elements are counted from 1.
func (t *tokens) some(closing lexer.Type, read func(n int)) {
	for n := 1; t.err == nil; n++ {
		if read(n); t.err != nil || t.skip(closing) {
			return
		}
	}
}

// within reports whether there is another element before a closing bracket, and passes the bracket.
func (t *tokens) within(closing lexer.Type) bool { return t.err == nil && !t.skip(closing) }
