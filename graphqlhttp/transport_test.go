package graphqlhttp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/internal/language"
)

// TestBody_tooLarge checks MaxBodyBytes for bodies with a Content-Length and chunked bodies.
func TestBody_tooLarge(t *testing.T) {
	const maxBytes = 200
	fill := func(size int) string {
		body := `{"query":"{ leaf }","padding":""}`
		return strings.Replace(body, `""`, `"`+strings.Repeat("x", size-len(body))+`"`, 1)
	}
	for _, tt := range []struct {
		name    string
		body    string
		chunked bool
		status  int
	}{
		{"maximum", fill(maxBytes), false, http.StatusOK},
		{"one byte more", fill(maxBytes + 1), false, http.StatusRequestEntityTooLarge},
		{"chunked, maximum", fill(maxBytes), true, http.StatusOK},
		{"chunked, one byte more", fill(maxBytes + 1), true, http.StatusRequestEntityTooLarge},
		{"JSON after too many spaces", strings.Repeat(" ", maxBytes) + `{"query":"{ leaf }"}`,
			false, http.StatusRequestEntityTooLarge},
		{"chunked, 1 MiB", fill(1 << 20), true, http.StatusRequestEntityTooLarge},
	} {
		for _, media := range []string{"application/json", "application/graphql-response+json"} {
			r := postBody(tt.body)
			r.Header.Set("Accept", media)
			if tt.chunked {
				r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(tt.body))
			}
			res := sendWith(t, Config{AllowGET: true, Introspection: true, MaxBodyBytes: maxBytes},
				resolvers(), r)
			if res.Code != tt.status {
				t.Errorf("%s, %s: status %d, want %d: %s", tt.name, media, res.Code, tt.status,
					res.Body)
			}
			if res.Code != http.StatusOK {
				if want := `{"errors":[{"message":"The body is larger than 200 ` +
					`bytes","extensions":{"code":"BAD_REQUEST"}}]}` +
					"\n"; res.Body.String() != want {
					t.Errorf("%s: body %s, want %s", tt.name, res.Body, want)
				}
			}
		}
	}
}

// TestBody_defaultMax checks the default of MaxBodyBytes.
func TestBody_defaultMax(t *testing.T) {
	body := `{"query":"{ leaf }"}`
	for size, status := range map[int]int{64 << 10: http.StatusOK,
		64<<10 + 1: http.StatusRequestEntityTooLarge} {
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
			postBody(body+strings.Repeat(" ", size-len(body))))
		if res.Code != status {
			t.Errorf("%d bytes: status %d, want %d", size, res.Code, status)
		}
	}
}

// TestBody_encoding checks that bodies that aren't JSON in UTF-8 are rejected. These bodies have
// bytes that can't be written in the text files that TestCases reads.
func TestBody_encoding(t *testing.T) {
	for name, tt := range map[string]struct{ body, want string }{
		"two byte order marks": {"\ufeff\ufeff" + `{"query":"{ leaf }"}`,
			"The body must be a JSON object"},
		"byte order mark after a space": {" \ufeff" + `{"query":"{ leaf }"}`,
			"The body must be a JSON object"},
		"UTF-16 with byte order mark":    {"\xff\xfe{\x00}\x00", "The body is not UTF-8"},
		"UTF-16 without byte order mark": {"{\x00}\x00", "The body must be a JSON object"},
		"invalid UTF-8 before the JSON": {"\xff" + `{"query":"{ leaf }"}`,
			"The body is not UTF-8"},
		"invalid UTF-8 in a string": {`{"query":"{ need(s: \"` + "\xc3" + `\") }"}`,
			"The body is not UTF-8"},
		"surrogate as UTF-8": {`{"query":"` + "\xed\xa0\x80" + `"}`, "The body is not UTF-8"},
		"control character": {"{\"query\":\"{\x01leaf }\"}",
			"The body must be a JSON object"},
		"form feed": {"\f" + `{"query":"{ leaf }"}`,
			"The body must be a JSON object"},
		"no-break space": {"\u00a0" + `{"query":"{ leaf }"}`, "The body must be a JSON object"},
		"deep nesting": {`{"variables":` + strings.Repeat("[", 20000),
			"variables nest deeper than 64 levels"},
	} {
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
			postBody(tt.body))
		want := fmt.Sprintf(`{"errors":[{"message":%q,"extensions":{"code":"BAD_REQUEST"}}]}`+"\n",
			tt.want)
		if res.Code != http.StatusBadRequest || res.Body.String() != want {
			t.Errorf("%s: %d %s, want 400 %s", name, res.Code, res.Body, want)
		}
	}
}

// TestRequest_unusual checks that unusual requests are accepted if they are unambiguous, and
// otherwise rejected with a helpful message. Each row gives the reason.
func TestRequest_unusual(t *testing.T) {
	const leafBody = `{"query":"{ leaf }"}`
	for _, tt := range []struct {
		name   string
		header [2]string
		body   string
		status int    // 0 means that the request succeeds
		want   string // in the response
		reason string
	}{
		{name: "variables []", body: `{"query":"{ leaf }","variables":[]}`,
			reason: "PHP's json_encode writes an empty map like this"},
		{name: "extensions []", body: `{"query":"{ leaf }","extensions":[]}`,
			reason: "PHP's json_encode writes an empty map like this"},
		{name: "variables [1]", body: `{"query":"{ leaf }","variables":[1]}`, status: 400,
			want: "variables must be an object", reason: "list items have no names"},
		{name: "variables as a string", body: `{"query":"{ leaf }","variables":"{}"}`, status: 400,
			want: "variables must be an object",
			reason: "the specification requires a map, and the limits of the body's JSON " +
				"wouldn't " +
				"apply inside the string"},
		{name: "variables an empty string", body: `{"query":"{ leaf }","variables":""}`,
			status: 400, want: "variables must be an object", reason: "a string isn't a map"},
		{name: "variables null", body: `{"query":"{ leaf }","variables":null}`,
			reason: "null is the same as an absent field"},
		{name: "operationName null", body: `{"query":"query A { leaf }","operationName":null}`,
			reason: "null is the same as an absent field"},
		{name: "operationName empty", body: `{"query":"query A { leaf }","operationName":""}`,
			reason: "Relay and PHP clients send an empty name, which can't be that of an " +
				"operation"},
		{name: "operationName empty, two operations",
			body:   `{"query":"query A { leaf } query B { leaf }","operationName":""}`,
			status: 200, want: "operationName is missing", reason: "ambiguous"},
		{name: "operationName a number", body: `{"query":"{ leaf }","operationName":1}`,
			status: 400, want: "operationName must be a string", reason: "wrong type"},
		{name: "fields of other protocols",
			body:   `{"query":"{ leaf }","id":"1","doc_id":"2","documentId":"3"}`,
			reason: "the request has a query, so IDs of persisted queries are ignored"},
		{name: "byte order mark", body: "\ufeff" + leafBody,
			reason: "RFC 8259 lets a parser ignore it"},
		{name: "byte order mark and line feed", body: "\ufeff\n" + leafBody,
			reason: "RFC 8259 lets a parser ignore it"},
		{name: "white space around", body: "\r\n\t " + leafBody + "\r\n", reason: "JSON allows it"},
		{name: "empty body", body: "", status: 400, want: "The body is empty",
			reason: "the message says what is missing"},
		{name: "only a byte order mark", body: "\ufeff", status: 400, want: "The body is empty",
			reason: "the message says what is missing"},
		{name: "NUL at the end", body: leafBody + "\x00", status: 400,
			want: "The body must be a JSON object", reason: "it isn't JSON"},
		{name: "two objects", body: leafBody + leafBody, status: 400,
			want: "The body must be a JSON object", reason: "ambiguous"},

		{name: "charset utf8", header: [2]string{"Content-Type", "application/json;charset=utf8"},
			body: leafBody, reason: "a common misspelling"},
		{name: "charset UTF8", header: [2]string{"Content-Type", "application/json; charset=UTF8"},
			body: leafBody, reason: "charset names are case-insensitive"},
		{name: "charset quoted",
			header: [2]string{"Content-Type",
				`application/json; charset="UTF-8"`}, body: leafBody,
			reason: "quotes don't change the value: RFC 9110, section 8.3.1"},
		{name: "charset us-ascii",
			header: [2]string{"Content-Type",
				"application/json; charset=us-ascii"}, body: leafBody,
			reason: "ASCII is valid UTF-8"},
		{name: "charset latin1",
			header: [2]string{"Content-Type",
				"application/json; charset=iso-8859-1"}, body: leafBody, status: 415,
			want:   "charset must be utf-8",
			reason: "reading Latin-1 as UTF-8 would corrupt a password with an umlaut"},
		{name: "charset utf-16",
			header: [2]string{"Content-Type",
				"application/json; charset=utf-16"}, body: leafBody, status: 415,
			want: "charset must be utf-8", reason: "JSON must be in UTF-8"},
		{name: "two charsets",
			header: [2]string{"Content-Type",
				"application/json; charset=utf-8; charset=latin1"}, body: leafBody, status: 415,
			want: "charset must be utf-8", reason: "ambiguous"},
		{name: "semicolon at the end", header: [2]string{"Content-Type", "application/json;"},
			body: leafBody, reason: "a parameter may be empty"},
		{name: "parameter without a value",
			header: [2]string{"Content-Type",
				"application/json; charset"}, body: leafBody,
			reason: "application/json defines no parameters"},
		{name: "other parameters",
			header: [2]string{"Content-Type",
				`Application/JSON ; boundary="a;b" ;x=y`}, body: leafBody,
			reason: "application/json defines no parameters"},
		{name: "graphql+json", header: [2]string{"Content-Type", "application/graphql+json"},
			body: leafBody, status: 415, want: "Content-Type must be application/json",
			reason: "an old draft defines it, but no client relies on it"},
		{name: "graphql-response+json",
			header: [2]string{"Content-Type",
				"application/graphql-response+json"}, body: leafBody, status: 415,
			want: "Content-Type must be application/json", reason: "it is for responses only"},
		{name: "application/graphql", header: [2]string{"Content-Type", "application/graphql"},
			body: "{ leaf }", status: 415, want: "Content-Type must be application/json",
			reason: "a bare document, which no specification defines"},
		{name: "two media types", header: [2]string{"Content-Type", "application/json, text/plain"},
			body: leafBody, status: 415, want: "Content-Type must be application/json",
			reason: "browsers send text/plain to other sites without a CORS preflight"},
		{name: "media type in a parameter",
			header: [2]string{"Content-Type",
				"text/plain; application/json"}, body: leafBody, status: 415,
			want: "Content-Type must be application/json", reason: "browsers send text/plain to " +
				"other sites without a CORS preflight"},

		{name: "encoding identity", header: [2]string{"Content-Encoding", "identity"},
			body: leafBody, reason: "it means no encoding: RFC 9110, section 8.4.1"},
		{name: "encoding Identity and empty elements",
			header: [2]string{"Content-Encoding",
				", Identity ,"}, body: leafBody, reason: "lists may have empty elements"},
		{name: "empty encoding", header: [2]string{"Content-Encoding", ""}, body: leafBody,
			reason: "it is an empty list"},
		{name: "encodings identity and gzip",
			header: [2]string{"Content-Encoding",
				"identity, gzip"}, body: leafBody, status: 415,
			want: "Content-Encoding is not supported", reason: "the body is gzip"},
	} {
		r := postBody(tt.body)
		if tt.header[0] != "" {
			r.Header[tt.header[0]] = []string{tt.header[1]}
		}
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(), r)
		status, want := tt.status, tt.want
		if status == 0 {
			status, want = http.StatusOK, leafResponse
		}
		if res.Code != status || !strings.Contains(res.Body.String(), want) {
			t.Errorf("%s: %d %s, want %d %s (reason: %s)", tt.name, res.Code, res.Body, status,
				want,
				tt.reason)
		}
	}
}

// TestResponse_retryAfter checks that the Retry-After header has the longest retryAfter of the
// errors.
func TestResponse_retryAfter(t *testing.T) {
	failWith := func(retryAfter any) resolver {
		return func(context.Context, map[string]any) (any, error) {
			return nil, &gqlerror.Error{Message: "later",
				Extensions: map[string]any{"code": "LATER", "retryAfter": retryAfter}}
		}
	}
	for _, tt := range []struct {
		first, second any
		want          string
	}{{7, 30, "30"}, {30, 7, "30"}, {1, nil, "1"}, {nil, nil, ""}, {"soon", 0, ""}, {-1, nil, ""},
		{int64(7), 5, "7"}, {int64(-7), 1.5, ""}} {
		e := resolvers()
		e["leaf"], e["fails"] = failWith(tt.first), failWith(tt.second)
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, e,
			postQuery("{ leaf fails }"))
		if got := res.Header().Get("Retry-After"); res.Code != http.StatusOK || got != tt.want {
			t.Errorf("retryAfter %v and %v: status %d, Retry-After %q, want 200, %q; body %s",
				tt.first, tt.second, res.Code, got, tt.want, res.Body)
		}
	}
	if res := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
		postQuery("{ leaf }")); res.Header().Values("Retry-After") != nil {
		t.Errorf("response without errors: Retry-After %q, want none", res.Header()["Retry-After"])
	}
}

// brokenBody is a body that ends with errConnectionLost instead of io.EOF, as if the connection was
// lost.
type brokenBody struct{ io.Reader }

func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		return n, errConnectionLost
	}
	return n, err
}

// TestBody_truncated checks the response if the connection is lost before the end of the body.
func TestBody_truncated(t *testing.T) {
	r := postBody("")
	r.Body = io.NopCloser(brokenBody{strings.NewReader(`{"query":"{ leaf }"}`)})
	res := send(t, r)
	if want := `{"errors":[{"message":"The body couldn't be read to its ` +
		`end","extensions":{"code":"BAD_REQUEST"}}]}` + "\n"; res.Code != http.StatusBadRequest ||
		res.Body.String() != want {
		t.Errorf("%d %s, want 400 %s", res.Code, res.Body, want)
	}
}

// TestConnection checks HEAD requests, chunked bodies and incomplete bodies over a connection,
// since a ResponseRecorder behaves differently.
func TestConnection(t *testing.T) {
	server := httptest.NewServer(newServer(Config{AllowGET: true, Introspection: true},
		resolvers()))
	defer server.Close()

	t.Run("HEAD has headers and no body", func(t *testing.T) {
		response, err := http.Head(server.URL + "?query={leaf}")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusOK || len(body) != 0 ||
			response.Header.Get("X-Request-Id") == "" {
			t.Errorf("%d, body %q, %v; want 200, no body, X-Request-Id", response.StatusCode, body,
				response.Header)
		}
	})
	t.Run("chunked body", func(t *testing.T) {
		response, err := http.Post(server.URL, "application/json",
			io.MultiReader(strings.NewReader(`{"query":`), strings.NewReader(`"{ leaf }"}`)))
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(response.Body); string(body) != leafResponse {
			t.Errorf("%s, want %s", body, leafResponse)
		}
	})
	t.Run("body shorter than Content-Length", func(t *testing.T) {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn,
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "+
				"100\r\n\r\n{\"query\":")
		conn.(*net.TCPConn).CloseWrite()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("status %d, want 400", response.StatusCode)
		}
	})
}

// TestRequestID checks that resolvers get the id in X-Request-Id, and that each request has a new
// id.
func TestRequestID(t *testing.T) {
	ids := map[string]bool{}
	for range 3 {
		res := send(t, postQuery("{ requestID }"))
		id := res.Header().Get("X-Request-Id")
		if want := `{"data":{"requestID":"` + id + `"}}` + "\n"; res.Body.String() != want {
			t.Errorf("requestID: %s, want %s, with the id in X-Request-Id", res.Body, want)
		}
		ids[id] = true
	}
	if len(ids) != 3 {
		t.Errorf("%d distinct ids %v, want 3", len(ids), ids)
	}
	if id := RequestID(context.Background()); id != "" {
		t.Errorf("RequestID outside of a request = %q, want none", id)
	}
}

// TestRequestID_fromClient checks that the client's X-Request-Id isn't used as the id.
func TestRequestID_fromClient(t *testing.T) {
	r := postQuery("{ leaf }")
	r.Header.Set("X-Request-Id", "MALLORY")
	if res := send(t, r); res.Header().Get("X-Request-Id") == "MALLORY" {
		t.Error("X-Request-Id = MALLORY, which the client sent; want a new id")
	}
}

// TestObserve checks the Outcome of successful and failed requests.
func TestObserve(t *testing.T) {
	name := strings.Repeat("n", 10_000)
	for _, tt := range []struct {
		name    string
		request *http.Request
		want    Outcome
	}{
		{"anonymous query", postQuery("{ leaf }"), Outcome{Operation: "query", Status: 200}},
		{"mutation", postQuery("mutation Change { change }"),
			Outcome{Operation: "mutation", Name: "Change", Status: 200}},
		{"field errors", postQuery("query Q { a: fails b: fails leaf }"),
			Outcome{Operation: "query", Name: "Q", Status: 200, Codes: []string{"FAILED/TODAY"}}},
		{"limit exceeded", postQuery("query TooLarge { leaf }"),
			Outcome{Operation: "query", Name: "TooLarge", Status: 200,
				Codes: []string{"OPERATION_TOO_LARGE/DEPTH"}}},
		{"missing variable", postQuery("query Q($s: String!) { need(s: $s) }"),
			Outcome{Operation: "query", Name: "Q", Status: 200, Codes: []string{"BAD_USER_INPUT"}}},
		{"several errors with one code", postQuery("{ a b c }"),
			Outcome{Status: 200, Codes: []string{"GRAPHQL_VALIDATION_FAILED"}}},
		{"syntax error", postQuery("query Q {"),
			Outcome{Status: 200, Codes: []string{"GRAPHQL_PARSE_FAILED"}}},
		{"too many tokens", postQuery(strings.Repeat("{ leaf", 200)),
			Outcome{Status: 200, Codes: []string{"OPERATION_TOO_LARGE/TOKENS"}}},
		{"invalid JSON", postBody("x"), Outcome{Status: 400, Codes: []string{"BAD_REQUEST"}}},
		{"GET of a mutation", httptest.NewRequest("GET", "/?query=mutation+M{change}", nil),
			Outcome{Operation: "mutation", Name: "M", Status: 405, Codes: []string{"BAD_REQUEST"}}},
		{"long name", postQuery("query " + name + " { leaf }"),
			Outcome{Operation: "query", Name: name[:61] + "...", Status: 200}},
	} {
		got := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
			tt.request).outcome
		got.RequestID, got.Duration = "", 0
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tt.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, tt.want)
		}
	}
}

// TestObserve_nil checks that a request succeeds without Observe.
func TestObserve_nil(t *testing.T) {
	recorder := httptest.NewRecorder()
	newServer(Config{AllowGET: true, Introspection: true}, resolvers()).ServeHTTP(recorder,
		postQuery("{ leaf }"))
	if recorder.Body.String() != leafResponse {
		t.Errorf("%s, want %s", recorder.Body, leafResponse)
	}
}

// TestTimeout checks that the resolvers' context is done after Timeout, or after its default.
func TestTimeout(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{0: 15 * time.Second,
		time.Second: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			e := resolvers()
			e["leaf"] = func(ctx context.Context, _ map[string]any) (any, error) {
				<-ctx.Done()
				return nil, &gqlerror.Error{Message: "gave up", Err: ctx.Err(),
					Extensions: map[string]any{"code": "TIMEOUT"}}
			}
			start := time.Now()
			res := sendWith(t, Config{AllowGET: true, Introspection: true, Timeout: timeout}, e,
				postQuery("{ leaf }"))
			if elapsed := time.Since(start); elapsed != want || res.outcome.Duration != want {
				t.Errorf("Timeout %s: took %s, Outcome.Duration = %s, want %s", timeout, elapsed,
					res.outcome.Duration, want)
			}
			if res.Code != http.StatusOK || codeOf(t, res) != "TIMEOUT" {
				t.Errorf("Timeout %s: %d %s, want 200 and TIMEOUT", timeout, res.Code, res.Body)
			}
		})
	}
}

// TestTimeout_ignoredByResolver checks that the result of a resolver that ignores the timeout is
// returned: after a login, late tokens are better than no tokens.
func TestTimeout_ignoredByResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := resolvers()
		e["change"] = func(context.Context, map[string]any) (any, error) {
			time.Sleep(time.Minute)
			return 1, nil
		}
		res := sendWith(t, Config{AllowGET: true, Introspection: true, Timeout: time.Second}, e,
			postQuery("mutation { change }"))
		if want := `{"data":{"change":1}}` + "\n"; res.Body.String() != want {
			t.Errorf("%s, want %s", res.Body, want)
		}
	})
}

// slowExtension is an extension that takes longer than the timeout before execution starts.
type slowExtension struct{ nameLimit }

func (slowExtension) MutateOperationContext(context.Context,
	*graphql.OperationContext) *gqlerror.Error {
	time.Sleep(time.Minute)
	return nil
}

// TestTimeout_beforeExecution checks that nothing is executed if the timeout passes before
// execution starts.
func TestTimeout_beforeExecution(t *testing.T) {
	for media, status := range map[string]int{"application/json": 200,
		"application/graphql-response+json": 400} {
		synctest.Test(t, func(t *testing.T) {
			e := resolvers()
			e["change"] = func(context.Context, map[string]any) (any, error) {
				t.Error("the resolver was called after the timeout, want no call")
				return 1, nil
			}
			server := handler.New(e)
			server.Use(slowExtension{})
			server.AddTransport(newTransport(Config{AllowGET: true, Introspection: true}))
			r := postQuery("mutation { change }")
			r.Header.Set("Accept", media)
			recorder := httptest.NewRecorder()
			server.ServeHTTP(recorder, r)
			want := `{"errors":[{"message":"The request took too ` +
				`long","extensions":{"code":"TIMEOUT"}}]}` + "\n"
			if recorder.Code != status || recorder.Body.String() != want {
				t.Errorf("%s: %d %s, want %d %s", media, recorder.Code, recorder.Body, status, want)
			}
		})
	}
}

// panickingExtension is an extension that panics before execution starts.
type panickingExtension struct{ nameLimit }

func (panickingExtension) MutateOperationContext(context.Context,
	*graphql.OperationContext) *gqlerror.Error {
	panic(canary)
}

// TestPanic checks the response and the Outcome after a panic outside of a field. gqlgen recovers
// only from panics in fields, and a client can cause a panic elsewhere with `@skip(if: $b)` and a
// null variable. The error must be the same as for a panic in a field, with the request's id.
func TestPanic(t *testing.T) {
	for _, tt := range []struct {
		name   string
		setup  func(*handler.Server, executable)
		query  string
		status int
		end    string // of the body, after the error
	}{
		{"in an extension, before execution",
			func(s *handler.Server,
				_ executable) {
				s.Use(panickingExtension{})
			}, "{ leaf }", 500, "]}\n"},
		{"during execution", func(_ *handler.Server, e executable) {
			e["leaf"] = func(context.Context, map[string]any) (any, error) { panic(canary) }
		}, "{ leaf }", 200, "],\"data\":null}\n"},
		{"scalar that isn't JSON", func(_ *handler.Server, e executable) {
			e["leaf"] = func(context.Context, map[string]any) (any, error) {
				return json.RawMessage(canary), nil
			}
		}, "{ leaf }", 200, "],\"data\":null}\n"},
		{"response extension that isn't JSON", func(s *handler.Server, _ executable) {
			s.AroundResponses(func(ctx context.Context,
				next graphql.ResponseHandler) *graphql.Response {
				graphql.RegisterExtension(ctx, "bad", func() {})
				return next(ctx)
			})
		}, "{ leaf }", 200, "],\"data\":null}\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := resolvers()
			server := handler.New(e)
			tt.setup(server, e)
			var outcomes []Outcome
			observe := func(_ context.Context, o Outcome) { outcomes = append(outcomes, o) }
			server.AddTransport(newTransport(Config{AllowGET: true, Introspection: true,
				Observe: observe}))
			server.SetRecoverFunc(func(ctx context.Context, value any) error {
				return &gqlerror.Error{Message: "Internal error",
					Extensions: map[string]any{"code": "INTERNAL", "requestId": RequestID(ctx)}}
			})
			recorder := httptest.NewRecorder()
			server.ServeHTTP(recorder, postQuery(tt.query))
			want := fmt.Sprintf(
				`{"errors":[{"message":"Internal `+
					`error","extensions":{"code":"INTERNAL","requestId":%q}}%s`,
				recorder.Header().Get("X-Request-Id"), tt.end)
			if recorder.Code != tt.status || recorder.Body.String() != want {
				t.Errorf("%d %s\nwant %d %s", recorder.Code, recorder.Body, tt.status, want)
			}
			if got := recorder.Header().Get("Content-Type"); got !=
				"application/json; charset=utf-8" {
				t.Errorf("Content-Type %q, want application/json; charset=utf-8", got)
			}
			if len(outcomes) != 1 || outcomes[0].Status != tt.status ||
				!slices.Equal(outcomes[0].Codes, []string{"INTERNAL"}) {
				t.Errorf("observed %+v, want one outcome with status %d and INTERNAL", outcomes,
					tt.status)
			}
		})
	}
}

// TestPanic_otherExecutor checks that the client gets this package's error after a panic of an
// executor that, unlike gqlgen's, has no error presenter.
func TestPanic_otherExecutor(t *testing.T) {
	recorder := httptest.NewRecorder()
	newTransport(Config{AllowGET: true}).Do(recorder, postQuery("{ leaf }"), brokenExecutor{})
	want := `{"errors":[{"message":"Internal ` +
		`error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}` + "\n"
	if recorder.Code != 500 || recorder.Body.String() != want {
		t.Errorf("%d %s, want 500 %s", recorder.Code, recorder.Body, want)
	}
}

// brokenExecutor panics on each operation.
type brokenExecutor struct{ graphql.GraphExecutor }

func (brokenExecutor) CreateOperationContext(context.Context,
	*graphql.RawParams) (*graphql.OperationContext, gqlerror.List) {
	panic(errors.New(canary))
}

// TestResponse_dataUnchanged checks that data is sent unchanged: large integers stay exact, and
// HTML isn't escaped, since nosniff keeps browsers from rendering it.
func TestResponse_dataUnchanged(t *testing.T) {
	e := resolvers()
	const raw = `{"big":123456789012345678901234567890,"html":"<b>&</b>","text":"ü🔑` + "\u2028" +
		`","float":1.0}`
	e["leaf"] = func(context.Context, map[string]any) (any, error) {
		return json.RawMessage(raw), nil
	}
	res := sendWith(t, Config{AllowGET: true, Introspection: true}, e, postQuery("{ leaf }"))
	if want := `{"data":{"leaf":` + raw + "}}\n"; res.Body.String() != want {
		t.Errorf("%s, want %s", res.Body, want)
	}
}

// TestRequest_headers checks that resolvers can read the request's headers.
func TestRequest_headers(t *testing.T) {
	for _, r := range []*http.Request{postQuery("{ leaf }"),
		httptest.NewRequest("GET", "/?query={leaf}", nil)} {
		r.Header.Set("X-Mine", "yes")
		e := resolvers()
		e["leaf"] = func(ctx context.Context, _ map[string]any) (any, error) {
			return graphql.GetOperationContext(ctx).Headers.Get("X-Mine"), nil
		}
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, e, r)
		if want := `{"data":{"leaf":"yes"}}` + "\n"; res.Body.String() != want {
			t.Errorf("%s: %s, want %s", r.Method, res.Body, want)
		}
	}
}

// TestSupports checks that Supports is true for an unsupported method too, so that this transport
// responds and not gqlgen.
func TestSupports(t *testing.T) {
	if !newTransport(Config{AllowGET: true}).Supports(httptest.NewRequest("PUT", "/", nil)) {
		t.Error("Supports(PUT) = false, want true: otherwise gqlgen responds")
	}
}

// FuzzRequest checks that no request gets status 500, which would mean a panic before execution.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "/", "application/json", "", "", `{"query":"{ leaf }"}`)
	f.Add("POST", "/", "application/json; charset=utf-8", "application/graphql-response+json;q=0.5",
		"gzip", `[]`)
	f.Add("POST", "/", "application/json", "*/*", "",
		`{"query":"query ($b: Boolean = true) { leaf @skip(if: $b) }","variables":{"b":null}}`)
	f.Add("POST", "/", "application/json", "", "",
		`{"query":"query ($v: In) { echo(in: $v, list: [\"a\"]) ...F } fragment F on Query { `+
			`person { name } }","variables":{"v":{"in":{"list":[1]}}},"operationName":""}`)
	f.Add("POST", "/", "application/json", "", "",
		`{"query":"mutation M($p: String! = \"x\") @tag { login(username: $p, in: {s: `+
			`\"\"\"b\"\"\"}) { text } }"}`)
	f.Add("GET", "/?query={leaf}&variables={}", "", "text/html", "", "")
	f.Add("GET", "/?query=query($v:[[Int]]){echo(matrix:$v)}&variables={%22v%22:[[1e999]]}", "", "",
		"", "")
	f.Add("DELETE", "/?%ff=%zz", "", ";;;", "", "")
	f.Add("POST", "/", "application/json", "", "",
		`{"query":"{ leaf }","extensions":{"persistedQuery":{"version":1,"sha256Hash":"`+
			hashOf("{ leaf }")+`"}}}`)
	f.Add("GET", `/?extensions={"persistedQuery":{"version":1,"sha256Hash":"id"}}`, "", "", "", "")
	manifest := Manifest{byID: map[string]string{"id": "{ leaf }"},
		bodies: map[string]bool{"{ leaf }": true}}
	f.Fuzz(func(t *testing.T, method, target, contentType, accept, encoding, body string) {
		r, err := http.NewRequest(method, "http://localhost/", strings.NewReader(body))
		if err != nil {
			return // net/http would reject it
		}
		_, r.URL.RawQuery, _ = strings.Cut(target, "?")
		for name, value := range map[string]string{"Content-Type": contentType, "Accept": accept,
			"Content-Encoding": encoding} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		for _, config := range []Config{
			{MaxBodyBytes: 4096, Introspection: true},
			{PersistedQueryBytes: 1 << 10, MaxResponseBytes: 100},
			{PersistedQueryBytes: 4 << 20, Manifest: &manifest, ManifestLogOnly: true,
				MaxNesting: 3},
			{Manifest: &manifest},
		} {
			res := sendWith(t, config, resolvers(), r)
			if res.Code == http.StatusInternalServerError {
				t.Errorf("status 500 %s, want another status", res.Body)
			}
			r.Body = io.NopCloser(strings.NewReader(body))
		}
	})
}

// TestDocument_strings checks that resolvers get the right values of strings that gqlparser would
// misread. The server runs without limits.Limits, which usually rewrites such strings.
func TestDocument_strings(t *testing.T) {
	const invalid = "half a surrogate pair"
	for _, tt := range []struct{ literal, value string }{
		{`"key \u00e9"`, "key é"},
		{`"""block"""`, "block"},
		{`"\uD83D\uDD11"`, "🔑"},
		{`"\u{1F511}"`, "🔑"},
		{"\"\"\"  first\n    second\"\"\"", `  first\nsecond`},
		{`"\uD83D"`, invalid},
		{`"\uDD11\uD83D"`, invalid},
	} {
		res := sendWith(t, Config{AllowGET: true}, resolvers(),
			postQuery("{ need(s: "+tt.literal+") }"))
		want := `{"data":{"need":"s=string:` + tt.value + `"}}` + "\n"
		if tt.value == invalid && codeOf(t, res) != "GRAPHQL_PARSE_FAILED" ||
			tt.value != invalid && res.Body.String() != want {
			t.Errorf("%s: %s, want %s", tt.literal, res.Body, want)
		}
	}
	res := sendWith(t, Config{AllowGET: true}, resolvers(),
		postQuery(
			`"d" query ("e" $s: String! = "\uD83D\uDD11") { need(s: $s) ...F } "f" fragment F on `+
				`Query { leaf }`))
	if got := res.Body.String(); got != `{"data":{"need":"s=string:🔑","leaf":1}}`+"\n" {
		t.Errorf("descriptions: %s, want no error", got)
	}
}

// readCounter is an extension that counts how often gqlgen starts to read a document.
type readCounter struct{ reads *int }

func (readCounter) ExtensionName() string                   { return "ReadCounter" }
func (readCounter) Validate(graphql.ExecutableSchema) error { return nil }
func (c readCounter) MutateOperationParameters(_ context.Context,
	params *graphql.RawParams) *gqlerror.Error {
	*c.reads++
	if strings.Contains(params.Query, "rejected") { // as limits.Limits does for a syntax error
		return language.NewSyntaxError(params.Query, 0, "rejected")
	}
	return nil
}

// TestDocument_readOnce checks that a document is read a second time only if gqlparser would reject
// or misread the original.
func TestDocument_readOnce(t *testing.T) {
	for query, want := range map[string]int{
		"{ leaf }": 1, "{": 1, "{ nowhere }": 1, "query TooLarge { leaf }": 1,
		`{ need(s: "\uD83D") }`:    1,
		`{ need(s: "\u{1F511}") }`: 2, `"described" query { leaf }`: 2,
		`{ need(s: "\uD83D\uDD11") }`:         2,
		`"described" query TooLarge { leaf }`: 2, `{ nowhere(s: "\uD83D\uDD11") }`: 1,
		`"described" { rejected }`: 1,
	} {
		reads := 0
		server := newServer(Config{}, resolvers())
		server.Use(readCounter{&reads})
		server.ServeHTTP(httptest.NewRecorder(), postQuery(query))
		if reads != want {
			t.Errorf("%s: read %d times, want %d", query, reads, want)
		}
	}
}
