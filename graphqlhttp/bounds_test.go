package graphqlhttp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/internal/language"
	"github.com/cloakql/cloakql/internal/strictjson"
)

// untouched fails the test when someone reads it.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestWhatTheHeadersRefuseIsNotRead(t *testing.T) {
	for name, tt := range map[string]struct {
		header, value string
		length        int64
		status        int
	}{
		"a length over the bound": {"Accept", "*/*", 64<<10 + 1, 413},
		"a length beyond all":     {"Accept", "*/*", 1 << 60, 413},
		"gzip":                    {"Content-Encoding", "gzip", 100, 415},
		"a form":                  {"Content-Type", "application/x-www-form-urlencoded", 100, 415},
		"neither media type":      {"Accept", "text/html", 100, 406},
	} {
		r := postText("")
		r.Body, r.ContentLength = io.NopCloser(untouched{t}), tt.length
		r.Header.Set(tt.header, tt.value)
		a := askWith(t, Config{AllowGET: true, Introspection: true}, resolvers(), r)
		if a.Code != tt.status || codeOf(t, a) != "BAD_REQUEST" {
			t.Errorf("%s: %d %s, want %d", name, a.Code, a.Body, tt.status)
		}
	}
}

// counting counts the bytes that were taken out of it.
type counting struct {
	io.Reader
	read int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += int64(n)
	return n, err
}

func TestNoMoreIsReadThanTheBound(t *testing.T) {
	body := &counting{Reader: strings.NewReader(strings.Repeat(" ", 2<<20))}
	r := postText("")
	r.Body, r.ContentLength = io.NopCloser(body), -1
	a := askWith(t, Config{AllowGET: true, Introspection: true}, resolvers(), r)
	if a.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	if body.read > 64<<10+1 {
		t.Errorf("%d bytes were read, allowed are 64 KiB and one to see that there is more",
			body.read)
	}
}

// greedy notes how much room it was ever given.
type greedy struct{ room int }

func (g *greedy) Read(p []byte) (int, error) {
	g.room = max(g.room, len(p))
	return 0, errLost
}

// Thousands of connections that claim long bodies and send nothing must not hold long buffers.
func TestALengthAloneTakesNoMemory(t *testing.T) {
	g := &greedy{}
	if _, err := readBody(g, 64<<10); err != errLost || g.room > 4<<10 {
		t.Errorf("%v, room for %d bytes", err, g.room)
	}
}

// A list costs many times its text, so nothing is made of what is refused.
func TestWhatIsRefusedMakesNothing(t *testing.T) {
	for name, text := range map[string]string{
		"too many values": `{"variables":[` + strings.Repeat("{},", 20_000) + `{}]}`,
		"no end":          `{"variables":[` + strings.Repeat("{},", 1_000),
		"too deep": `{"variables":[` + strings.Repeat("{},", 1_000) +
			strings.Repeat("[", 100),
	} {
		limits := newTransport(Config{AllowGET: true}).jsonLimits()
		// A few for the error, and whatever other goroutines allocate meanwhile; none for each
		// value.
		allocations := testing.AllocsPerRun(10, func() {
			strictjson.Decode([]byte(text), limits)
		})
		if allocations > 50 {
			t.Errorf("%s: %g allocations", name, allocations)
		}
	}
	a := ask(t,
		postText(`{"query":"{ leaf }","variables":{"v":[`+strings.Repeat("0,", 1997)+`0]}}`))
	if want := "variables hold more than 2000 values"; a.Code != 400 ||
		!strings.Contains(a.Body.String(), want) {
		t.Errorf("2001 values: %d %s, want 400 %s", a.Code, a.Body, want)
	}
	for most, status := range map[int]int{0: 200, 2000: 200, 1999: 400} {
		body := `{"query":"{ leaf }","variables":{"v":[` + strings.Repeat("0,", 1995) + `0]}}`
		a := askWith(t, Config{AllowGET: true, Introspection: true, MaxValues: most},
			resolvers(), postText(body))
		if a.Code != status {
			t.Errorf("2000 values, MaxValues %d: %d %s, want %d", most, a.Code, a.Body, status)
		}
	}
}

func TestContentHeadersTwice(t *testing.T) {
	for _, header := range []string{"Content-Type", "Content-Encoding"} {
		r := postQuery("{ leaf }")
		r.Header[header] = []string{"application/json", "application/json"}
		if header == "Content-Encoding" {
			r.Header[header] = []string{"", "gzip"}
		}
		if a := ask(t, r); a.Code != http.StatusUnsupportedMediaType {
			t.Errorf("%s twice: %d %s", header, a.Code, a.Body)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	nested := func(levels int) string {
		return strings.Repeat("[", levels) + strings.Repeat("]", levels)
	}
	for _, tt := range []struct{ most, levels, status int }{
		{0, 62, 200}, {0, 63, 400}, {5, 3, 200}, {5, 4, 400}, {1000, 998, 200}, {1000, 999, 400},
	} {
		body := `{"query":"{ leaf }","variables":{"v":` + nested(tt.levels) + `}}`
		a := askWith(t, Config{AllowGET: true, Introspection: true, MaxNesting: tt.most},
			resolvers(), postText(body))
		if a.Code != tt.status {
			t.Errorf("MaxNesting %d, %d levels in a variable: %d %s, want %d", tt.most, tt.levels,
				a.Code, a.Body, tt.status)
		}
		want := fmt.Sprintf("variables nest deeper than %d levels", min(max(tt.most, 5), 1000))
		if tt.most != 0 && tt.status == 400 &&
			!strings.Contains(a.Body.String(), want) {
			t.Errorf("MaxNesting %d: %s, want %s", tt.most, a.Body, want)
		}
	}
	for target, want := range map[string]string{
		"/?query={leaf}&variables=" + strings.Repeat("[", 65):                        "variables nest deeper than 64 levels",
		"/?query={leaf}&extensions={%22a%22:1,%22a%22:2}":                            "extensions name a member twice in one object",
		"/?query={leaf}&variables={%22a%22:1e999}":                                   "variables hold a number that is out of range",
		"/?query={leaf}" + strings.Repeat("&", 32):                                   "The query string has more than 32 parameters",
		"/?query={leaf}&" + strings.Repeat("x", 64<<10):                              "The query string is larger than 65536 bytes",
		"/?query={leaf}&variables=" + strings.Repeat("[", 65) + "&extensions=canary": "variables nest deeper than 64 levels\\nextensions must be an object",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = strings.TrimPrefix(target, "/?")
		a := askWith(t, Config{AllowGET: true, Introspection: true}, resolvers(), r)
		if a.Code/100 != 4 || !strings.Contains(a.Body.String(), `"`+want+`"`) {
			t.Errorf("%.60s: %d %s, want %s", target, a.Code, a.Body, want)
		}
	}
}

func TestResponseIsBounded(t *testing.T) {
	e := resolvers()
	size := 0
	e["leaf"] = func(context.Context, map[string]any) (any, error) {
		return json.RawMessage(`"` + strings.Repeat("x", size) + `"`), nil
	}
	e["fails"] = func(context.Context, map[string]any) (any, error) {
		return nil, &gqlerror.Error{Message: "m",
			Extensions: map[string]any{"code": "FAILED", "detail": strings.Repeat("x", size)}}
	}
	frame := len(`{"data":{"leaf":""}}` + "\n")
	for _, media := range []string{plain, typed} {
		for _, tt := range []struct {
			query     string
			most, got int
			fits      bool
		}{
			{"{ leaf }", 1000, 1000 - frame, true}, {"{ leaf }", 1000, 1000 - frame + 1, false}, {"{ leaf }", 1000, 5000, false},
			{"{ leaf }", 0, 4<<20 - frame, true}, {"{ leaf }", 0, 4<<20 - frame + 1, false}, {"{ leaf }", -1, 4<<20 - frame, true},
			{"{ fails }", 1000, 500, true}, {"{ fails }", 1000, 1000, false}, {"{ leaf fails }", 1000, 480, false},
		} {
			size = tt.got
			r := postQuery(tt.query)
			r.Header.Set("Accept", media)
			a := askWith(t,
				Config{AllowGET: true, Introspection: true, MaxResponseBytes: int64(tt.most)}, e, r)
			most := tt.most
			if most <= 0 {
				most = 4 << 20
			}
			want := fmt.Sprintf(
				`{"errors":[{"message":"The response is larger than %d bytes: ask for less at once","extensions":{"code":"RESPONSE_TOO_LARGE"}}],"data":null}`+"\n", most)
			if a.Code != 200 || (a.Body.String() != want) != tt.fits ||
				tt.fits && a.Body.Len() > most {
				t.Errorf("%s with %d of at most %d: %d %.200s (%d bytes)", tt.query, tt.got,
					tt.most, a.Code, a.Body, a.Body.Len())
			}
		}
	}
}

func TestAResponsesExtensionsAreBounded(t *testing.T) {
	for size, fits := range map[int]bool{100: true, 2000: false} {
		server := handler.New(resolvers())
		server.AroundResponses(func(ctx context.Context,
			next graphql.ResponseHandler) *graphql.Response {
			graphql.RegisterExtension(ctx, "e", strings.Repeat("x", size))
			return next(ctx)
		})
		server.AddTransport(
			newTransport(Config{AllowGET: true, Introspection: true, MaxResponseBytes: 1000}))
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, postQuery("{ leaf }"))
		got := strings.HasPrefix(recorder.Body.String(),
			`{"data":{"leaf":1},"extensions":{"e":"xxx`)
		if got != fits {
			t.Errorf("%d bytes of extensions: %s", size, recorder.Body)
		}
	}
}

// A list may have an error for each item: they aren't all worth sending.
func TestFieldErrorsAreBounded(t *testing.T) {
	for n, want := range map[int]string{100: "",
		101:  "Errors beyond the first 100 are left out: 1 more",
		5000: "Errors beyond the first 100 are left out: 4900 more"} {
		e := resolvers()
		e["leaf"] = func(ctx context.Context, _ map[string]any) (any, error) {
			for i := range n {
				graphql.AddError(ctx,
					&gqlerror.Error{Message: "No", Path: ast.Path{ast.PathIndex(i)},
						Extensions: map[string]any{"code": "FAILED"}})
			}
			return nil, nil
		}
		a := askWith(t, Config{AllowGET: true, Introspection: true}, e, postQuery("{ leaf }"))
		var content struct {
			Errors []struct {
				Message    string
				Path       []int
				Extensions struct{ Code string }
			}
		}
		if err := json.Unmarshal(a.Body.Bytes(), &content); err != nil {
			t.Fatal(err)
		}
		got := len(content.Errors)
		if want == "" {
			if got != n {
				t.Errorf("%d errors: %d came", n, got)
			}
			continue
		}
		if last := content.Errors[got-1]; got != 101 || last.Message != want ||
			last.Extensions.Code != "ERRORS_LEFT_OUT" || content.Errors[99].Path[0] != 99 {
			t.Errorf("%d errors: %d came, the last says %q; want 101, %q", n, got, last.Message,
				want)
		}
	}
}

func TestFieldErrorsAreShort(t *testing.T) {
	long := &gqlerror.Error{
		Message: strings.Repeat("ü", 800), Locations: make([]gqlerror.Location, 50),
		Extensions: map[string]any{"code": "FAILED"},
	}
	e := resolvers()
	e["leaf"] = func(context.Context, map[string]any) (any, error) { return nil, long }
	var content struct{ Errors []*gqlerror.Error }
	err := json.Unmarshal(askWith(t, Config{AllowGET: true, Introspection: true}, e,
		postQuery("{ leaf }")).Body.Bytes(), &content)
	if err != nil {
		t.Fatal(err)
	}
	got := content.Errors[0]
	if len(got.Message) > 1000 || len(got.Message) < 990 || !utf8.ValidString(got.Message) ||
		strings.ContainsRune(got.Message, utf8.RuneError) || len(got.Locations) != 5 {
		t.Errorf("%d bytes, %d locations: %s", len(got.Message), len(got.Locations), got.Message)
	}
	if fieldErrors(gqlerror.List{long}, &language.Locator{}); len(long.Message) != 1600 ||
		len(long.Locations) != 50 {
		t.Error("the server's own error was changed")
	}
}

// verbose is an extension that says too much.
type verbose struct{ tooLarge }

func (verbose) MutateOperationContext(context.Context, *graphql.OperationContext) *gqlerror.Error {
	path := ast.Path{ast.PathName(strings.Repeat("p", 100))}
	for i := range 100 {
		path = append(path, ast.PathIndex(i))
	}
	return &gqlerror.Error{Message: strings.Repeat("m", 1000), Path: path,
		Locations: make([]gqlerror.Location, 50), Extensions: map[string]any{"code": "X"}}
}

func TestRequestErrorsAreShort(t *testing.T) {
	server := handler.New(resolvers())
	server.Use(verbose{})
	server.AddTransport(newTransport(Config{AllowGET: true, Introspection: true}))
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, postQuery("{ leaf }"))
	var content struct{ Errors []*gqlerror.Error }
	if err := json.Unmarshal(recorder.Body.Bytes(), &content); err != nil ||
		len(content.Errors) != 1 {
		t.Fatal(err, recorder.Body)
	}
	got := content.Errors[0]
	if len(got.Message) != 300 || len(got.Path) != 32 || len(got.Locations) != 5 ||
		got.Path[0] != ast.PathName(strings.Repeat("p", 61)+"...") {
		t.Errorf("message %d bytes, path %d elements from %v, %d locations", len(got.Message),
			len(got.Path), got.Path[0], len(got.Locations))
	}
}

// Each request error has a message, a code, and where in the document it is, if it is somewhere.
func TestRequestErrorsHaveOneShape(t *testing.T) {
	for query, located := range map[string]bool{
		"{": true, "{ nothing }": true, "{ need(s: 5) }": true,
		"query ($v: Int!) { echo(i: $v) }": true, "{ x: leaf x: fails }": true,
		"{ echo(i: 5000000000) }": true, "{ ... @defer { leaf } }": true,
		"query A { leaf } query B { leaf }": false, "#": false,
	} {
		var content struct{ Errors []map[string]any }
		if err := json.Unmarshal(ask(t, postQuery(query)).Body.Bytes(), &content); err != nil ||
			len(content.Errors) == 0 {
			t.Fatal(query, err)
		}
		for _, e := range content.Errors {
			_, hasLocations := e["locations"]
			delete(e, "locations")
			delete(e, "message")
			delete(e, "extensions")
			if hasLocations != located || len(e) != 0 {
				t.Errorf("%s: located: %t, and also %v", query, hasLocations, e)
			}
		}
	}
}

// gqlgen answers @defer with several responses, and loses what a mutation defers: here is room for
// one response.
func TestDeferIsRefused(t *testing.T) {
	for query, refused := range map[string]bool{
		"{ ... @defer { leaf } }": true,
		"{ person { ...F @defer(label: \"x\") } } fragment F on Person { name }":                      true,
		"mutation { change ... @defer { login(username: \"a\") { text } } }":                          true,
		"{ ...A } fragment A on Query { ...B } fragment B on Query { ... @defer(if: true) { leaf } }": true,
		"{ ... @defer(if: false) { leaf } }":                                                          false,
		"query ($d: Boolean = false) { ... @defer(if: $d) { leaf } }":                                 false,
		"query ($d: Boolean! = true) { ... @defer(if: $d) { leaf } }":                                 true,
		"{ ...A ...A } fragment A on Query { ...B } fragment B on Query { leaf }":                     false,
	} {
		a := ask(t, postQuery(query))
		if got := strings.Contains(a.Body.String(), "@defer is not served"); got != refused ||
			refused && codeOf(t, a) != "BAD_REQUEST" {
			t.Errorf("%s: %s, want it refused: %t", query, a.Body, refused)
		}
	}
}
