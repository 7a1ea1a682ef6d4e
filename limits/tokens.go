package limits

import (
	"slices"

	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
)

// tokens reads the tokens of a document for the parser, until a limit is exceeded or there is a
// syntax error. It keeps the first error; the current token is EOF from then on.
//
// The parser recurses only as deep as brackets are open. It stops at the first bracket that doesn't
// match, so gqlparser never gets a document with unmatched brackets.
type tokens struct {
	limits       Limits // with defaults filled in
	scanner      language.Scanner
	current      language.Token // EOF at the end, and after an error
	count        int            // tokens read
	openBrackets int
	needsRewrite bool // gqlparser may reject or misread the original
	err          *gqlerror.Error
}

// start sets the document and checks its size.
func (t *tokens) start(query string) {
	t.scanner = language.Scanner{Text: query}
	if n := len(query); n > t.limits.Bytes {
		t.failLimit(apierror.ReasonBytes,
			"The document is too large: it has %d bytes; the limit is %d", n, t.limits.Bytes)
	}
}

// failLimit stops with an error that says which limit is exceeded.
func (t *tokens) failLimit(reason apierror.Reason, message string, n, limit int) {
	if t.err == nil {
		t.err = tooLarge(reason, message, n, limit)
	}
	t.current = language.Token{Kind: lexer.EOF}
}

// failSyntax stops with a syntax error at an offset.
func (t *tokens) failSyntax(offset int, message string) {
	if t.err == nil {
		t.err = language.SyntaxError(t.scanner.Text, offset, message)
	}
	t.current = language.Token{Kind: lexer.EOF}
}

// failUnexpected stops with a syntax error at the current token.
func (t *tokens) failUnexpected() {
	t.failSyntax(t.current.Start, "Unexpected "+t.current.Kind.String())
}

// failMissing stops with a syntax error that says what the current token should be.
func (t *tokens) failMissing(want string) {
	t.failSyntax(t.current.Start, "Expected "+want+", found "+t.current.Kind.String())
}

// next moves to the next token that isn't a comment.
func (t *tokens) next() {
	for t.err == nil {
		token, err := t.scanner.Next()
		if err != nil {
			if t.scanner.Text[token.Start:][:1] == `"` &&
				err.Offset-token.Start > t.limits.StringBytes {
				t.failLongString()
			}
			t.failSyntax(err.Offset, err.Message)
			return
		}
		t.current = token
		if token.Kind == lexer.EOF {
			return
		}
		if t.count++; t.count > t.limits.Tokens {
			t.failLimit(apierror.ReasonTokens,
				"The document is too large: it has at least %d tokens; the limit is %d", t.count,
				t.limits.Tokens)
			return
		}
		t.needsRewrite = t.needsRewrite || token.Unsupported
		switch token.Kind {
		case lexer.Comment:
			continue
		case lexer.BraceL, lexer.BracketL, lexer.ParenL:
			if t.openBrackets++; t.openBrackets > t.limits.Nesting {
				t.failLimit(apierror.ReasonNesting,
					"The document is too deep: at least %d brackets are open at once; the "+
						"limit is %d", t.openBrackets, t.limits.Nesting)
			}
		case lexer.BraceR, lexer.BracketR, lexer.ParenR:
			t.openBrackets = max(t.openBrackets-1, 0)
		case lexer.Name:
			if n := token.End - token.Start; n > t.limits.NameBytes {
				t.failLimit(apierror.ReasonNames,
					"A name in the document is too long: it has %d bytes; the limit is %d", n,
					t.limits.NameBytes)
			}
		case lexer.Int, lexer.Float:
			if n := token.End - token.Start; n > t.limits.NumberBytes {
				t.failLimit(apierror.ReasonNumbers,
					"A number in the document is too long: it has %d bytes; the limit is %d", n,
					t.limits.NumberBytes)
			}
		case lexer.String, lexer.BlockString:
			if token.ContentSize() > t.limits.StringBytes {
				t.failLongString()
			}
		}
		return
	}
}

// failLongString stops with the error that a string is too long.
func (t *tokens) failLongString() {
	maxBytes := t.limits.StringBytes
	t.failLimit(apierror.ReasonStrings,
		"A string in the document is too long: it has at least %d bytes; the limit is %d",
		maxBytes+1, maxBytes)
}

// hasMore reports whether there is a current token.
func (t *tokens) hasMore() bool { return t.current.Kind != lexer.EOF && t.err == nil }

// is reports whether the current token has this kind.
func (t *tokens) is(kind lexer.Type) bool { return t.current.Kind == kind }

// text returns the current token's text, or a string's value.
func (t *tokens) text() string { return t.scanner.Value(t.current) }

// isName reports whether the current token is one of these names.
func (t *tokens) isName(names ...string) bool {
	return t.current.Kind == lexer.Name && slices.Contains(names, t.text())
}

// skip reports whether the current token has this kind, and moves past it if so.
func (t *tokens) skip(kind lexer.Type) bool {
	if t.current.Kind != kind {
		return false
	}
	t.next()
	return true
}

// expect moves past the current token and returns its text. Any other kind is a syntax error.
func (t *tokens) expect(kind lexer.Type) string {
	if t.current.Kind != kind {
		t.failMissing(kind.String())
		return ""
	}
	text := t.text()
	t.next()
	return text
}

// expectKeyword moves past the current token. Anything but this name is a syntax error.
func (t *tokens) expectKeyword(name string) {
	if !t.isName(name) {
		t.failMissing(`"` + name + `"`)
		return
	}
	t.next()
}

// skipDescription moves past a description, if there is one, and reports whether there was one.
// Rewrite removes descriptions, since they have no effect.
func (t *tokens) skipDescription() bool {
	if !t.is(lexer.String) && !t.is(lexer.BlockString) {
		return false
	}
	t.needsRewrite = true
	t.next()
	return true
}

// readSome reads one or more elements and the closing bracket. It calls read for each element, with
// the element's number, starting from 1.
func (t *tokens) readSome(closing lexer.Type, read func(n int)) {
	for n := 1; t.err == nil; n++ {
		if read(n); t.err != nil || t.skip(closing) {
			return
		}
	}
}

// untilClose reports whether there is another element before the closing bracket. If not, it moves
// past the bracket.
func (t *tokens) untilClose(closing lexer.Type) bool { return t.err == nil && !t.skip(closing) }
