package language_test

import (
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"

	"github.com/cloakql/cloakql/internal/language"
)

// gqlparserTokens returns gqlparser's tokens of a text, without comments.
func gqlparserTokens(t *testing.T, text string) (tokens []lexer.Token) {
	t.Helper()
	gqlLexer := lexer.New(&ast.Source{Input: text})
	for {
		token, err := gqlLexer.ReadToken()
		if err != nil {
			t.Fatalf("gqlparser rejects %q: %v", text, err)
		}
		if token.Kind == lexer.EOF {
			return append(tokens, token)
		}
		if token.Kind != lexer.Comment {
			tokens = append(tokens, token)
		}
	}
}

// checkRewrite checks that gqlparser reads the same tokens and values from the rewritten document
// as Scanner reads from the original, except for descriptions. It also checks that Locator maps the
// locations of the tokens, and that Rewrite doesn't change a document with a syntax error.
func checkRewrite(t *testing.T, text string) {
	t.Helper()
	scanner := language.Scanner{Text: text}
	var tokens []language.Token
	for {
		token, err := scanner.Next()
		if err != nil {
			if got := language.Rewrite(text); got != text {
				t.Errorf("Rewrite(%q) = %q, want it unchanged because of its syntax error", text,
					got)
			}
			return
		}
		if token.Kind != lexer.Comment {
			tokens = append(tokens, token)
		}
		if token.Kind == lexer.EOF {
			break
		}
	}
	rewritten := language.Rewrite(text)
	if got := language.Rewrite(rewritten); got != rewritten {
		t.Errorf("Rewrite(Rewrite(%q)) = %q, want %q as after one Rewrite", text, got, rewritten)
	}
	if got, want := countLines(rewritten), countLines(text); got != want {
		t.Errorf("Rewrite(%q) = %q, with %d lines, want %d", text, rewritten, got, want)
	}
	if err := language.CheckStrings(rewritten); err != nil {
		t.Errorf("CheckStrings(Rewrite(%q)) = %v, want nil; rewritten %q", text, err, rewritten)
	}
	locator := language.Locator{Document: text, ParserInput: rewritten}
	for _, gqlToken := range gqlparserTokens(t, rewritten) {
		for gqlToken.Kind != lexer.String && len(tokens) > 1 &&
			(tokens[0].Kind == lexer.String || tokens[0].Kind == lexer.BlockString) {
			tokens = tokens[1:] // a description
		}
		token := tokens[0]
		tokens = tokens[1:]
		kind := token.Kind
		if kind == lexer.BlockString {
			kind = lexer.String
		}
		isPunctuator := gqlToken.Value == "" && gqlToken.Kind != lexer.String
		if gqlToken.Kind != kind || !isPunctuator && gqlToken.Value != scanner.Value(token) {
			t.Fatalf("Rewrite(%q) = %q: gqlparser reads %v %q, want %v %q", text, rewritten,
				gqlToken.Kind, gqlToken.Value, token.Kind, scanner.Value(token))
		}
		location := gqlerror.Location{Line: gqlToken.Pos.Line, Column: gqlToken.Pos.Column}
		got, want := locator.TokenLocation(location), language.LocationAt(text, token.Start)
		if got != want {
			t.Fatalf("%q: TokenLocation(%v) of a %v = %v, want %v", text, location, gqlToken.Kind,
				got, want)
		}
	}
	if len(tokens) > 0 {
		t.Errorf("Rewrite(%q) = %q, which lacks the tokens %v", text, rewritten, tokens)
	}
}

// countLines returns the number of lines of a text.
func countLines(text string) int { return language.LocationAt(text, len(text)).Line }

// documents are for checkRewrite. Some have syntax errors.
var documents = []string{
	"", "{a}", "\ufeff{ \ufeff a }", "{a(x:\"\")}",
	`{a(x:"\u0041\u{1F511}\uD83D\uDD11\/\b\f\n\r\t\"\\")}`, "{a(x:\"\x00\x01\x7f\")}#\x01\r\n#\x02",
	"{a(x:\"\"\"\r\n  b\r    c\n\t d \\\"\"\" \x00 \"e\" \"\"\",y:1)}", `{a(x:""""b""""""c""")}`,
	"{a(x:\"\"\"  b\n    c\"\"\",y:\"🔑\",z:2)\r\n b}",
	"\"d\"query Q(\"\"\"d\n\"\"\"$a:S=\"x\"#c\n\"d\"$b:[S]=[\"x\" " +
		"\"y\"]@d(x:\"y\")\"d\"$c:I={s:\"t\"})@e(x:\"y\"){a(s:[\"x\" $a])}\"d\"#c\nfragment F on " +
		"Q@d(x:\"y\"){a}", "query @d(x:\"y\"){a(x:\"z\" y:$v)}{b}\"d\"query($v:S){c}",
	`query Q("a""b"$v:S){a}`, `"a""b"`, "}}\"a\"{{(\"b\"", `(((`, `)"a"$`,
}

// TestRewrite checks rewritten documents with checkRewrite, and the exact text of some.
func TestRewrite(t *testing.T) {
	for _, text := range documents {
		checkRewrite(t, text)
	}
	for text, want := range map[string]string{
		`{a(x:"p\uD83D\uDD11" y:1)}`:                   `{a(x:"p🔑"            y:1)}`,
		"\"a\"query(\"\"\"b\nc\"\"\" $v:S=\"d\"){a}":   "   query( \n     $v:S=\"d\"){a}",
		"{a(x:\"\"\"\n  b\n\n   c\n  \"\"\", y: 1)} #": "{a(x:\"b\\n\\n c\"\n\n\n\n     , y: 1)} #",
		`{a(x:"\u0041")}`:                              `{a(x:"\u0041")}`,
	} {
		if got := language.Rewrite(text); got != want {
			t.Errorf("Rewrite(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestCheckStrings checks which documents have strings that gqlparser misreads.
func TestCheckStrings(t *testing.T) {
	for text, wantErr := range map[string]bool{
		"": false, `{a(x:"b\u00e9\n" y:"""c""") #\u{1}` + "\n}": false,
		"{a(x:\"\"\"\n  b\n\n   c\n  \"\"\")}": false,
		`{a(x:"\uD83D\uDD11")}`:                true, `{a(x:"\uD83D")}`: true,
		`{a(x:"\uDD11")}`:               true,
		`{a(x:"\uDD11\uD83D")}`:         true,
		"{a(x:\"\"\"  b\n    c\"\"\")}": true, "{a(y:[{z:\"\"\"  b\n    c\"\"\"}])}": true,
	} {
		if err := language.CheckStrings(text); (err != nil) != wantErr {
			t.Errorf("CheckStrings(%q) = %v, want an error: %t", text, err, wantErr)
		}
	}
}

// TestLocator_ElementLocation checks that an element starts at its description, its @ or its dots,
// and that TokenLocation returns unknown locations unchanged.
func TestLocator_ElementLocation(t *testing.T) {
	const document = "{a @b ...@c{d} ... # x\n on E{f}...F}\"g\" #h\nfragment F on Q{i}"
	locator := language.Locator{Document: document, ParserInput: language.Rewrite(document)}
	for _, token := range gqlparserTokens(t, locator.ParserInput) {
		want := language.LocationAt(document, token.Pos.Start)
		switch token.Value {
		case "b":
			want = gqlerror.Location{Line: 1, Column: 4}
		case "c":
			want = gqlerror.Location{Line: 1, Column: 10}
		case "on":
			if token.Pos.Line == 2 {
				want = gqlerror.Location{Line: 1, Column: 16}
			}
		case "F":
			if token.Pos.Line == 2 {
				want = gqlerror.Location{Line: 2, Column: 9}
			}
		case "fragment":
			want = gqlerror.Location{Line: 2, Column: 14}
		}
		if token.Kind == lexer.At && token.Pos.Column == 10 {
			want.Column = 7
		}
		location := gqlerror.Location{Line: token.Pos.Line, Column: token.Pos.Column}
		if got := locator.ElementLocation(location); got != want {
			t.Errorf("ElementLocation(%v) of a %v %q = %v, want %v", location, token.Kind,
				token.Value, got,
				want)
		}
	}
	for _, location := range []gqlerror.Location{{}, {Line: 99, Column: 99}} {
		if got := locator.TokenLocation(location); got != location {
			t.Errorf("TokenLocation(%v) = %v, want it unchanged", location, got)
		}
	}
}

// FuzzRewrite checks random documents with checkRewrite.
func FuzzRewrite(f *testing.F) {
	for _, text := range documents {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkRewrite(t, text) })
}
