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

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/gqlerror"

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
