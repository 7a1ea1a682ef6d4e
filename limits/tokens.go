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
	token        language.Token // the current token: EOF at the end, and after an error
	count        int            // tokens read
	openBrackets int
	needsRewrite bool // gqlparser may reject or misread the document
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
func (t *tokens) failLimit(reason apierror.Reason, format string, n, limit int) {
	if t.err == nil {
		t.err = tooLargeError(reason, format, n, limit)
	}
	t.token = language.Token{Kind: lexer.EOF}
}

// failSyntax stops with a syntax error at an offset.
func (t *tokens) failSyntax(offset int, message string) {
	if t.err == nil {
		t.err = language.NewSyntaxError(t.scanner.Text, offset, message)
	}
	t.token = language.Token{Kind: lexer.EOF}
}

// failUnexpected stops with a syntax error at the current token.
func (t *tokens) failUnexpected() {
	t.failSyntax(t.token.Start, "Unexpected "+t.token.Kind.String())
}

// failExpected stops with a syntax error: the current token isn't want.
func (t *tokens) failExpected(want string) {
	t.failSyntax(t.token.Start, "Expected "+want+", found "+t.token.Kind.String())
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
		t.token = token
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
func (t *tokens) hasMore() bool { return t.token.Kind != lexer.EOF && t.err == nil }

// is reports whether the current token has this kind.
func (t *tokens) is(kind lexer.Type) bool { return t.token.Kind == kind }

// text returns the current token's text, or a string's value.
func (t *tokens) text() string { return t.scanner.Value(t.token) }

// isName reports whether the current token is one of these names.
func (t *tokens) isName(names ...string) bool {
	return t.token.Kind == lexer.Name && slices.Contains(names, t.text())
}

// skip reports whether the current token has this kind, and moves past it if so.
func (t *tokens) skip(kind lexer.Type) bool {
	if t.token.Kind != kind {
		return false
	}
	t.next()
	return true
}

// expect moves past a token of this kind and returns its text. Any other kind is a syntax error.
func (t *tokens) expect(kind lexer.Type) string {
	if t.token.Kind != kind {
		t.failExpected(kind.String())
		return ""
	}
	text := t.text()
	t.next()
	return text
}

// expectKeyword moves past this name. Any other token is a syntax error.
func (t *tokens) expectKeyword(name string) {
	if !t.isName(name) {
		t.failExpected(`"` + name + `"`)
		return
	}
	t.next()
}

// skipDescription reports whether the current token is a description, and moves past it if so.
// gqlparser doesn't support descriptions, so Rewrite removes them.
func (t *tokens) skipDescription() bool {
	if !t.is(lexer.String) && !t.is(lexer.BlockString) {
		return false
	}
	t.needsRewrite = true
	t.next()
	return true
}

// readElements reads one or more elements and the closing bracket. It calls read for each element,
// with the element's number, starting from 1.
func (t *tokens) readElements(closing lexer.Type, read func(n int)) {
	for n := 1; t.err == nil; n++ {
		if read(n); t.err != nil || t.skip(closing) {
			return
		}
	}
}

// hasElement reports whether there is an element before the closing bracket. If there is none, it
// moves past the bracket.
func (t *tokens) hasElement(closing lexer.Type) bool { return t.err == nil && !t.skip(closing) }
