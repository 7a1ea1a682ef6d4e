package graphqlhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
	"github.com/cloakql/cloakql/internal/strictjson"
)

// unreadBody is a body that fails the test if it is read.
type unreadBody struct{ t *testing.T }

func (b unreadBody) Read([]byte) (int, error) {
	b.t.Error("the body was read, want it left unread")
	return 0, io.EOF
}

// TestBody_rejectedByHeaders checks that a body isn't read if the headers suffice to reject the
// request.
func TestBody_rejectedByHeaders(t *testing.T) {
	for name, tt := range map[string]struct {
		header, value string
		length        int64
		status        int
	}{
		"one byte too large": {"Accept", "*/*", 64<<10 + 1, 413},
		"2^60 bytes":         {"Accept", "*/*", 1 << 60, 413},
		"gzip":               {"Content-Encoding", "gzip", 100, 415},
		"form":               {"Content-Type", "application/x-www-form-urlencoded", 100, 415},
		"Accept: text/html":  {"Accept", "text/html", 100, 406},
	} {
		r := postBody("")
		r.Body, r.ContentLength = io.NopCloser(unreadBody{t}), tt.length
		r.Header.Set(tt.header, tt.value)
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(), r)
		if res.Code != tt.status || codeOf(t, res) != "BAD_REQUEST" {
			t.Errorf("%s: %d %s, want %d and BAD_REQUEST", name, res.Code, res.Body, tt.status)
		}
	}
}

// countingReader counts the bytes that were read.
type countingReader struct {
	io.Reader
	bytesRead int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.bytesRead += int64(n)
	return n, err
}

// TestBody_readUpToMax checks that a chunked body is read only up to the limit.
func TestBody_readUpToMax(t *testing.T) {
	body := &countingReader{Reader: strings.NewReader(strings.Repeat(" ", 2<<20))}
	r := postBody("")
	r.Body, r.ContentLength = io.NopCloser(body), -1
	res := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(), r)
	if res.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s, want 413", res.Code, res.Body)
	}
	if body.bytesRead > 64<<10+1 { // one more byte shows that the body is too large
		t.Errorf("%d bytes were read, want at most %d", body.bytesRead, 64<<10+1)
	}
}

// bufferMeter is a reader that records the size of the largest buffer passed to Read. Read returns
// errConnectionLost.
type bufferMeter struct{ maxBytes int }

func (m *bufferMeter) Read(p []byte) (int, error) {
	m.maxBytes = max(m.maxBytes, len(p))
	return 0, errConnectionLost
}

// TestReadBody_untrustedLength checks that no large buffer is allocated for a connection that
// announces a large body and sends nothing.
func TestReadBody_untrustedLength(t *testing.T) {
	m := &bufferMeter{}
	if _, err := readBody(m, 64<<10); err != errConnectionLost || m.maxBytes > 4<<10 {
		t.Errorf("readBody: error %v, buffer of %d bytes; want %v, at most 4 KiB", err, m.maxBytes,
			errConnectionLost)
	}
}

// TestBody_maxValues checks MaxValues, and that a body over a limit is rejected before it is
// decoded: a decoded list takes many times the memory of its text.
func TestBody_maxValues(t *testing.T) {
	for name, text := range map[string]string{
		"too many values": `{"variables":[` + strings.Repeat("{},", 20_000) + `{}]}`,
		"not closed":      `{"variables":[` + strings.Repeat("{},", 1_000),
		"too deep": `{"variables":[` + strings.Repeat("{},", 1_000) +
			strings.Repeat("[", 100),
	} {
		limits := newTransport(Config{AllowGET: true}).jsonLimits()
		// The error and other goroutines take a few allocations.
		allocations := testing.AllocsPerRun(10, func() {
			strictjson.Decode([]byte(text), limits)
		})
		if allocations > 50 {
			t.Errorf("%s: %g allocations, want at most 50", name, allocations)
		}
	}
	res := send(t,
		postBody(`{"query":"{ leaf }","variables":{"v":[`+strings.Repeat("0,", 1997)+`0]}}`))
	if want := "variables hold more than 2000 values"; res.Code != 400 ||
		!strings.Contains(res.Body.String(), want) {
		t.Errorf("2001 values: %d %s, want 400 %s", res.Code, res.Body, want)
	}
	for maxValues, status := range map[int]int{0: 200, 2000: 200, 1999: 400} {
		body := `{"query":"{ leaf }","variables":{"v":[` + strings.Repeat("0,", 1995) + `0]}}`
		res := sendWith(t, Config{AllowGET: true, Introspection: true, MaxValues: maxValues},
			resolvers(), postBody(body))
		if res.Code != status {
			t.Errorf("2000 values, MaxValues %d: %d %s, want %d", maxValues, res.Code, res.Body,
				status)
		}
	}
}

// TestRequest_duplicateContentHeaders checks that a request with two Content-Type or
// Content-Encoding headers is rejected.
func TestRequest_duplicateContentHeaders(t *testing.T) {
	for _, header := range []string{"Content-Type", "Content-Encoding"} {
		r := postQuery("{ leaf }")
		r.Header[header] = []string{"application/json", "application/json"}
		if header == "Content-Encoding" {
			r.Header[header] = []string{"", "gzip"}
		}
		if res := send(t, r); res.Code != http.StatusUnsupportedMediaType {
			t.Errorf("%s twice: %d %s, want 415", header, res.Code, res.Body)
		}
	}
}

// TestBody_maxNesting checks MaxNesting for the body, and the messages for query parameters over a
// limit.
func TestBody_maxNesting(t *testing.T) {
	nestedLists := func(levels int) string {
		return strings.Repeat("[", levels) + strings.Repeat("]", levels)
	}
	for _, tt := range []struct{ maxNesting, levels, status int }{
		{0, 62, 200}, {0, 63, 400}, {5, 3, 200}, {5, 4, 400}, {1000, 998, 200}, {1000, 999, 400},
	} {
		body := `{"query":"{ leaf }","variables":{"v":` + nestedLists(tt.levels) + `}}`
		res := sendWith(t, Config{AllowGET: true, Introspection: true, MaxNesting: tt.maxNesting},
			resolvers(), postBody(body))
		if res.Code != tt.status {
			t.Errorf("MaxNesting %d, %d levels in a variable: %d %s, want %d", tt.maxNesting,
				tt.levels,
				res.Code, res.Body, tt.status)
		}
		want := fmt.Sprintf("variables nest deeper than %d levels", tt.maxNesting)
		if tt.maxNesting != 0 && tt.status == 400 &&
			!strings.Contains(res.Body.String(), want) {
			t.Errorf("MaxNesting %d: %s, want %s", tt.maxNesting, res.Body, want)
		}
	}
	for target, want := range map[string]string{
		"/?query={leaf}&variables=" +
			strings.Repeat("[", 65): "variables nest deeper than 64 levels",
		"/?query={leaf}&extensions={%22a%22:1,%22a%22:2}": "extensions contain an object with " +
			"a duplicate key",
		"/?query={leaf}&variables={%22a%22:1e999}": "variables hold a number that is out " +
			"of range",
		"/?query={leaf}" + strings.Repeat("&",
			32): "The query string has more than 32 parameters",
		"/?query={leaf}&" + strings.Repeat("x",
			64<<10): "The query string is larger than 65536 bytes",
		"/?query={leaf}&variables=" + strings.Repeat("[", 65) +
			"&extensions=canary": "variables nest deeper than 64 levels\\nextensions must be an " +
			"object",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = strings.TrimPrefix(target, "/?")
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(), r)
		if res.Code/100 != 4 || !strings.Contains(res.Body.String(), `"`+want+`"`) {
			t.Errorf("%.60s: %d %s, want %s", target, res.Code, res.Body, want)
		}
	}
}

// TestResponse_tooLarge checks that data or errors over MaxResponseBytes are replaced by an error.
func TestResponse_tooLarge(t *testing.T) {
	e := resolvers()
	size := 0
	e["leaf"] = func(context.Context, map[string]any) (any, error) {
		return json.RawMessage(`"` + strings.Repeat("x", size) + `"`), nil
	}
	e["fails"] = func(context.Context, map[string]any) (any, error) {
		return nil, &gqlerror.Error{Message: "m",
			Extensions: map[string]any{"code": "FAILED", "detail": strings.Repeat("x", size)}}
	}
	overhead := len(`{"data":{"leaf":""}}` + "\n")
	for _, media := range []string{typeJSON, typeGraphQLResponse} {
		for _, tt := range []struct {
			query          string
			maxBytes, size int
			fits           bool
		}{
			{"{ leaf }", 1000, 1000 - overhead, true}, {"{ leaf }", 1000, 1000 - overhead + 1,
				false}, {"{ leaf }", 1000, 5000, false},
			{"{ leaf }", 0, 4<<20 - overhead, true}, {"{ leaf }", 0, 4<<20 - overhead + 1,
				false}, {"{ leaf }", -1, 4<<20 - overhead, true},
			{"{ fails }", 1000, 500, true}, {"{ fails }", 1000, 1000, false}, {"{ leaf fails }",
				1000, 480, false},
		} {
			size = tt.size
			r := postQuery(tt.query)
			r.Header.Set("Accept", media)
			res := sendWith(t,
				Config{AllowGET: true, Introspection: true, MaxResponseBytes: int64(tt.maxBytes)},
				e, r)
			maxBytes := tt.maxBytes
			if maxBytes <= 0 {
				maxBytes = 4 << 20
			}
			want := fmt.Sprintf(
				`{"errors":[{"message":"The response is larger than %d bytes: ask for less at `+
					`once","extensions":{"code":"RESPONSE_TOO_LARGE"}}],"data":null}`+"\n",
				maxBytes)
			if res.Code != 200 || (res.Body.String() != want) != tt.fits ||
				tt.fits && res.Body.Len() > maxBytes {
				t.Errorf("%s with %d bytes, MaxResponseBytes %d: %d %.200s (%d bytes), want it "+
					"unchanged: %t", tt.query, tt.size, tt.maxBytes, res.Code, res.Body,
					res.Body.Len(), tt.fits)
			}
		}
	}
}

// TestResponse_extensionsTooLarge checks that MaxResponseBytes also bounds response extensions.
func TestResponse_extensionsTooLarge(t *testing.T) {
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
			t.Errorf("%d bytes of extensions: %s, want them sent: %t", size, recorder.Body, fits)
		}
	}
}

// TestFieldErrors_max checks that a response has at most 100 field errors, and one more error that
// counts the rest. A list may have an error for each item.
func TestFieldErrors_max(t *testing.T) {
	for errorCount, want := range map[int]string{100: "",
		101:  "Errors beyond the first 100 are left out: 1 more",
		5000: "Errors beyond the first 100 are left out: 4900 more"} {
		e := resolvers()
		e["leaf"] = func(ctx context.Context, _ map[string]any) (any, error) {
			for i := range errorCount {
				graphql.AddError(ctx,
					&gqlerror.Error{Message: "No", Path: ast.Path{ast.PathIndex(i)},
						Extensions: map[string]any{"code": "FAILED"}})
			}
			return nil, nil
		}
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, e, postQuery("{ leaf }"))
		var content struct {
			Errors []struct {
				Message    string
				Path       []int
				Extensions struct{ Code string }
			}
		}
		if err := json.Unmarshal(res.Body.Bytes(), &content); err != nil {
			t.Fatal(err)
		}
		got := len(content.Errors)
		if want == "" {
			if got != errorCount {
				t.Errorf("%d errors: %d in the response, want all", errorCount, got)
			}
			continue
		}
		if last := content.Errors[got-1]; got != 101 || last.Message != want ||
			last.Extensions.Code != "ERRORS_LEFT_OUT" || content.Errors[99].Path[0] != 99 {
			t.Errorf("%d errors: %d in the response, the last is %q; want 101, %q", errorCount, got,
				last.Message, want)
		}
	}
}

// TestFieldErrors_presented checks that errors beyond the first 100 aren't presented, because that
// costs time and may write a log line for each. Errors may be concurrent.
func TestFieldErrors_presented(t *testing.T) {
	e := resolvers()
	e["leaf"] = func(ctx context.Context, _ map[string]any) (any, error) {
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { graphql.AddError(ctx, errors.New("failed")) })
		}
		wg.Wait()
		return nil, nil
	}
	presenter := &countingErrors{Errors: &apierror.Presenter{
		Rows: []apierror.Row{{Err: errors.ErrUnsupported, Code: "X", Message: "x"}}}}
	res := sendWith(t, Config{Errors: presenter}, e, postQuery("{ leaf }"))
	if n := presenter.count.Load(); n != 100 {
		t.Errorf("%d errors were presented, want 100", n)
	}
	var content struct{ Errors []struct{ Message string } }
	if err := json.Unmarshal(res.Body.Bytes(), &content); err != nil {
		t.Fatal(err)
	}
	if got := len(content.Errors); got != 101 || content.Errors[99].Message != "Internal error" ||
		content.Errors[100].Message != "Errors beyond the first 100 are left out: 900 more" {
		t.Errorf("got %d errors and %s", got, res.Body)
	}
}

// countingErrors counts the errors that it presents.
type countingErrors struct {
	Errors
	count atomic.Int32
}

func (e *countingErrors) Present(ctx context.Context, err error) *gqlerror.Error {
	e.count.Add(1)
	return e.Errors.Present(ctx, err)
}

// TestFieldErrors_truncated checks that messages and locations of field errors are bounded, in a
// copy of the server's error.
func TestFieldErrors_truncated(t *testing.T) {
	longErr := &gqlerror.Error{
		Message: strings.Repeat("ü", 800), Locations: make([]gqlerror.Location, 50),
		Extensions: map[string]any{"code": "FAILED"},
	}
	e := resolvers()
	e["leaf"] = func(context.Context, map[string]any) (any, error) { return nil, longErr }
	var content struct{ Errors []*gqlerror.Error }
	err := json.Unmarshal(sendWith(t, Config{AllowGET: true, Introspection: true}, e,
		postQuery("{ leaf }")).Body.Bytes(), &content)
	if err != nil {
		t.Fatal(err)
	}
	got := content.Errors[0]
	if len(got.Message) > 1000 || len(got.Message) < 990 || !utf8.ValidString(got.Message) ||
		strings.ContainsRune(got.Message, utf8.RuneError) || len(got.Locations) != 5 {
		t.Errorf("message of %d bytes, %d locations; want 990 to 1000, and 5; message %s",
			len(got.Message), len(got.Locations), got.Message)
	}
	boundFieldErrors(gqlerror.List{longErr}, &language.Locator{})
	if len(longErr.Message) != 1600 || len(longErr.Locations) != 50 {
		t.Errorf("boundFieldErrors changed the server's error to %d bytes, %d locations; want "+
			"1600, 50",
			len(longErr.Message), len(longErr.Locations))
	}
}

// verboseExtension is an extension that returns an error that is too long.
type verboseExtension struct{ nameLimit }

func (verboseExtension) MutateOperationContext(context.Context,
	*graphql.OperationContext) *gqlerror.Error {
	path := ast.Path{ast.PathName(strings.Repeat("p", 100))}
	for i := range 100 {
		path = append(path, ast.PathIndex(i))
	}
	return &gqlerror.Error{Message: strings.Repeat("m", 1000), Path: path,
		Locations: make([]gqlerror.Location, 50), Extensions: map[string]any{"code": "X"}}
}

// TestRequestErrors_truncated checks that message, path and locations of a request error are
// bounded.
func TestRequestErrors_truncated(t *testing.T) {
	server := handler.New(resolvers())
	server.Use(verboseExtension{})
	server.AddTransport(newTransport(Config{AllowGET: true, Introspection: true}))
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, postQuery("{ leaf }"))
	var content struct{ Errors []*gqlerror.Error }
	if err := json.Unmarshal(recorder.Body.Bytes(), &content); err != nil ||
		len(content.Errors) != 1 {
		t.Fatalf("body %s (%v), want one error in it", recorder.Body, err)
	}
	got := content.Errors[0]
	if len(got.Message) != 300 || len(got.Path) != 32 || len(got.Locations) != 5 ||
		got.Path[0] != ast.PathName(strings.Repeat("p", 61)+"...") {
		t.Errorf("message of %d bytes, path of %d elements from %v, %d locations; want 300, 32, 5",
			len(got.Message), len(got.Path), got.Path[0], len(got.Locations))
	}
}

// TestRequestErrors_fields checks that a request error has a message and extensions, locations if
// it is about a part of the document, and no other fields.
func TestRequestErrors_fields(t *testing.T) {
	for query, wantLocations := range map[string]bool{
		"{": true, "{ nothing }": true, "{ need(s: 5) }": true,
		"query ($v: Int!) { echo(i: $v) }": true, "{ x: leaf x: fails }": true,
		"{ echo(i: 5000000000) }": true, "{ ... @defer { leaf } }": true,
		"query A { leaf } query B { leaf }": false, "#": false,
	} {
		var content struct{ Errors []map[string]any }
		if err := json.Unmarshal(send(t, postQuery(query)).Body.Bytes(), &content); err != nil ||
			len(content.Errors) == 0 {
			t.Fatalf("%s: errors %v (%v), want at least one", query, content.Errors, err)
		}
		for _, e := range content.Errors {
			_, hasLocations := e["locations"]
			delete(e, "locations")
			delete(e, "message")
			delete(e, "extensions")
			if hasLocations != wantLocations || len(e) != 0 {
				t.Errorf("%s: has locations: %t, want %t; other fields %v, want none", query,
					hasLocations, wantLocations, e)
			}
		}
	}
}

// TestDefer checks that @defer is rejected: gqlgen would need several responses for it, and loses
// the deferred fields of a mutation.
func TestDefer(t *testing.T) {
	for query, wantRejected := range map[string]bool{
		"{ ... @defer { leaf } }": true,
		"{ person { ...F @defer(label: \"x\") } } fragment F on Person { name }": true,
		"mutation { change ... @defer { login(username: \"a\") { text } } }":     true,
		"{ ...A } fragment A on Query { ...B } fragment B on Query { ... @defer(if: true) { leaf " +
			"} }": true,
		"{ ... @defer(if: false) { leaf } }":                                      false,
		"query ($d: Boolean = false) { ... @defer(if: $d) { leaf } }":             false,
		"query ($d: Boolean! = true) { ... @defer(if: $d) { leaf } }":             true,
		"{ ...A ...A } fragment A on Query { ...B } fragment B on Query { leaf }": false,
	} {
		res := send(t, postQuery(query))
		rejected := strings.Contains(res.Body.String(), "@defer is not served")
		if rejected != wantRejected ||
			wantRejected && codeOf(t, res) != "BAD_REQUEST" {
			t.Errorf("%s: %s, want it rejected: %t", query, res.Body, wantRejected)
		}
	}
}
