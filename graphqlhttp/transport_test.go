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

func TestBody_tooLarge(t *testing.T) {
	const max = 200
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
		{"maximum", fill(max), false, http.StatusOK},
		{"one byte more", fill(max + 1), false, http.StatusRequestEntityTooLarge},
		{"chunked, maximum", fill(max), true, http.StatusOK},
		{"chunked, one byte more", fill(max + 1), true, http.StatusRequestEntityTooLarge},
		{"spaces", strings.Repeat(" ", max) + `{"query":"{ leaf }"}`, false, http.StatusRequestEntityTooLarge},
		{"chunked, 1 MiB", fill(1 << 20), true, http.StatusRequestEntityTooLarge},
	} {
		for _, media := range []string{"application/json", "application/graphql-response+json"} {
			r := postText(tt.body)
			r.Header.Set("Accept", media)
			if tt.chunked {
				r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(tt.body))
			}
			res := sendWith(t, Config{AllowGET: true, Introspection: true, MaxBodyBytes: max},
				resolvers(), r)
			if res.Code != tt.status {
				t.Errorf("%s, %s: status %d, want %d: %s", tt.name, media, res.Code, tt.status,
					res.Body)
			}
			if res.Code != http.StatusOK {
				if want := `{"errors":[{"message":"The body is larger than 200 bytes","extensions":{"code":"BAD_REQUEST"}}]}` + "\n"; res.Body.String() != want {
					t.Errorf("%s: body %s, want %s", tt.name, res.Body, want)
				}
			}
		}
	}
}

func TestBody_defaultMax(t *testing.T) {
	body := `{"query":"{ leaf }"}`
	for size, status := range map[int]int{64 << 10: http.StatusOK,
		64<<10 + 1: http.StatusRequestEntityTooLarge} {
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
			postText(body+strings.Repeat(" ", size-len(body))))
		if res.Code != status {
			t.Errorf("%d bytes: status %d, want %d", size, res.Code, status)
		}
	}
}

// These have bytes that the files of TestCases can't contain.
func TestBody_encoding(t *testing.T) {
	for name, tt := range map[string]struct{ body, want string }{
		"two byte order marks": {"\ufeff\ufeff" + `{"query":"{ leaf }"}`,
			"The body must be a JSON object"},
		"byte order mark after a space": {" \ufeff" + `{"query":"{ leaf }"}`,
			"The body must be a JSON object"},
		"UTF-16 with byte order mark":    {"\xff\xfe{\x00}\x00", "The body is not UTF-8"},
		"UTF-16 without byte order mark": {"{\x00}\x00", "The body must be a JSON object"},
		"invalid UTF-8 before the JSON":  {"\xff" + `{"query":"{ leaf }"}`, "The body is not UTF-8"},
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
			postText(tt.body))
		want := fmt.Sprintf(`{"errors":[{"message":%q,"extensions":{"code":"BAD_REQUEST"}}]}`+"\n",
			tt.want)
		if res.Code != http.StatusBadRequest || res.Body.String() != want {
			t.Errorf("%s: %d %s, want 400 %s", name, res.Code, res.Body, want)
		}
	}
}

// TestRequest_lenient checks that unusual requests are accepted if they are unambiguous, and
// otherwise rejected with a helpful message. Each row gives the reason.
func TestRequest_lenient(t *testing.T) {
	const usual = `{"query":"{ leaf }"}`
	for _, tt := range []struct {
		name   string
		header [2]string
		body   string
		status int    // 0 means that the request succeeds
		want   string // in the body
		reason string
	}{
		{name: "variables []", body: `{"query":"{ leaf }","variables":[]}`, reason: "PHP's json_encode writes an empty map like this"},
		{name: "extensions []", body: `{"query":"{ leaf }","extensions":[]}`, reason: "the same"},
		{name: "variables [1]", body: `{"query":"{ leaf }","variables":[1]}`, status: 400, want: "variables must be an object", reason: "names are missing"},
		{name: "variables as a string", body: `{"query":"{ leaf }","variables":"{}"}`, status: 400, want: "variables must be an object",
			reason: "the specification requires a map, and the limits of the body's JSON wouldn't " +
				"apply inside the string"},
		{name: "variables an empty string", body: `{"query":"{ leaf }","variables":""}`, status: 400, want: "variables must be an object", reason: "the same"},
		{name: "variables null", body: `{"query":"{ leaf }","variables":null}`, reason: "null is absent"},
		{name: "operationName null", body: `{"query":"query A { leaf }","operationName":null}`, reason: "null is absent"},
		{name: "operationName empty", body: `{"query":"query A { leaf }","operationName":""}`, reason: "no operation has an empty name; Relay and PHP clients send it"},
		{name: "operationName empty, two operations", body: `{"query":"query A { leaf } query B { leaf }","operationName":""}`,
			status: 200, want: "operationName is missing", reason: "ambiguous"},
		{name: "operationName a number", body: `{"query":"{ leaf }","operationName":1}`, status: 400, want: "operationName must be a string", reason: "wrong type"},
		{name: "members of other protocols", body: `{"query":"{ leaf }","id":"1","doc_id":"2","documentId":"3"}`, reason: "they don't matter if there is a query"},
		{name: "byte order mark", body: "\ufeff" + usual, reason: "RFC 8259 lets a parser ignore it"},
		{name: "byte order mark and line feed", body: "\ufeff\n" + usual, reason: "the same"},
		{name: "white space around", body: "\r\n\t " + usual + "\r\n", reason: "JSON allows it"},
		{name: "empty", body: "", status: 400, want: "The body is empty", reason: "the message says what is missing"},
		{name: "only a byte order mark", body: "\ufeff", status: 400, want: "The body is empty", reason: "the same"},
		{name: "NUL at the end", body: usual + "\x00", status: 400, want: "The body must be a JSON object", reason: "it isn't JSON"},
		{name: "two objects", body: usual + usual, status: 400, want: "The body must be a JSON object", reason: "ambiguous"},

		{name: "charset utf8", header: [2]string{"Content-Type", "application/json;charset=utf8"}, body: usual, reason: "a common misspelling"},
		{name: "charset UTF8", header: [2]string{"Content-Type", "application/json; charset=UTF8"}, body: usual, reason: "charset names are case-insensitive"},
		{name: "charset quoted", header: [2]string{"Content-Type", `application/json; charset="UTF-8"`}, body: usual, reason: "the same value: RFC 9110, section 8.3.1"},
		{name: "charset us-ascii", header: [2]string{"Content-Type", "application/json; charset=us-ascii"}, body: usual, reason: "ASCII is valid UTF-8"},
		{name: "charset latin1", header: [2]string{"Content-Type", "application/json; charset=iso-8859-1"}, body: usual, status: 415, want: "charset must be utf-8",
			reason: "it would change a password with an umlaut"},
		{name: "charset utf-16", header: [2]string{"Content-Type", "application/json; charset=utf-16"}, body: usual, status: 415, want: "charset must be utf-8", reason: "a different encoding"},
		{name: "two charsets", header: [2]string{"Content-Type", "application/json; charset=utf-8; charset=latin1"}, body: usual, status: 415,
			want: "charset must be utf-8", reason: "ambiguous"},
		{name: "semicolon at the end", header: [2]string{"Content-Type", "application/json;"}, body: usual, reason: "a parameter may be empty"},
		{name: "parameter without a value", header: [2]string{"Content-Type", "application/json; charset"}, body: usual, reason: "JSON has no parameters"},
		{name: "other parameters", header: [2]string{"Content-Type", `Application/JSON ; boundary="a;b" ;x=y`}, body: usual, reason: "the same"},
		{name: "graphql+json", header: [2]string{"Content-Type", "application/graphql+json"}, body: usual, status: 415, want: "Content-Type must be application/json",
			reason: "from an old draft; clients no longer send only this"},
		{name: "graphql-response+json", header: [2]string{"Content-Type", "application/graphql-response+json"}, body: usual, status: 415,
			want: "Content-Type must be application/json", reason: "a media type of responses"},
		{name: "application/graphql", header: [2]string{"Content-Type", "application/graphql"}, body: "{ leaf }", status: 415, want: "Content-Type must be application/json",
			reason: "a bare document, which no specification defines"},
		{name: "two media types", header: [2]string{"Content-Type", "application/json, text/plain"}, body: usual, status: 415, want: "Content-Type must be application/json",
			reason: "another site may send the second"},
		{name: "media type in a parameter", header: [2]string{"Content-Type", "text/plain; application/json"}, body: usual, status: 415,
			want: "Content-Type must be application/json", reason: "another site may send it"},

		{name: "identity", header: [2]string{"Content-Encoding", "identity"}, body: usual, reason: "no encoding: RFC 9110, section 8.4.1"},
		{name: "Identity and empty elements", header: [2]string{"Content-Encoding", ", Identity ,"}, body: usual, reason: "lists may have empty elements"},
		{name: "empty encoding", header: [2]string{"Content-Encoding", ""}, body: usual, reason: "an empty list"},
		{name: "identity and gzip", header: [2]string{"Content-Encoding", "identity, gzip"}, body: usual, status: 415, want: "Content-Encoding is not supported", reason: "encoded"},
	} {
		r := postText(tt.body)
		if tt.header[0] != "" {
			r.Header[tt.header[0]] = []string{tt.header[1]}
		}
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(), r)
		status, want := tt.status, tt.want
		if status == 0 {
			status, want = http.StatusOK, leafResponse
		}
		if res.Code != status || !strings.Contains(res.Body.String(), want) {
			t.Errorf("%s: %d %s, want %d %s (%s)", tt.name, res.Code, res.Body, status, want,
				tt.reason)
		}
	}
}

// TestResponse_retryAfter checks that Retry-After is the longest retryAfter of the errors.
func TestResponse_retryAfter(t *testing.T) {
	failing := func(extension any) resolver {
		return func(context.Context, map[string]any) (any, error) {
			return nil, &gqlerror.Error{Message: "later",
				Extensions: map[string]any{"code": "LATER", "retryAfter": extension}}
		}
	}
	for _, tt := range []struct {
		first, second any
		want          string
	}{{7, 30, "30"}, {30, 7, "30"}, {1, nil, "1"}, {nil, nil, ""}, {"soon", 0, ""}, {-1, nil, ""},
		{int64(7), 5, "7"}, {int64(-7), 1.5, ""}} {
		e := resolvers()
		e["leaf"], e["fails"] = failing(tt.first), failing(tt.second)
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, e,
			postQuery("{ leaf fails }"))
		if got := res.Header().Get("Retry-After"); res.Code != http.StatusOK || got != tt.want {
			t.Errorf("retryAfter %v and %v: status %d, Retry-After %q, want 200, %q; body %s",
				tt.first, tt.second, res.Code, got, tt.want, res.Body)
		}
	}
	if res := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
		postQuery("{ leaf }")); res.Header().Values("Retry-After") != nil {
		t.Error("a response without errors has Retry-After")
	}
}

// brokenBody fails with errLost instead of io.EOF, like a lost connection.
type brokenBody struct{ io.Reader }

func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		return n, errLost
	}
	return n, err
}

func TestBody_truncated(t *testing.T) {
	r := postText("")
	r.Body = io.NopCloser(brokenBody{strings.NewReader(`{"query":"{ leaf }"}`)})
	res := send(t, r)
	if want := `{"errors":[{"message":"The body couldn't be read to its end","extensions":{"code":"BAD_REQUEST"}}]}` + "\n"; res.Code != http.StatusBadRequest || res.Body.String() != want {
		t.Errorf("%d %s, want 400 %s", res.Code, res.Body, want)
	}
}

// TestConnection checks over a real connection what a ResponseRecorder can't show.
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
			t.Errorf("%d %q %v", response.StatusCode, body, response.Header)
		}
	})
	t.Run("chunked", func(t *testing.T) {
		response, err := http.Post(server.URL, "application/json",
			io.MultiReader(strings.NewReader(`{"query":`), strings.NewReader(`"{ leaf }"}`)))
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(response.Body); string(body) != `{"data":{"leaf":1}}`+"\n" {
			t.Errorf("%s", body)
		}
	})
	t.Run("body shorter than Content-Length", func(t *testing.T) {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn,
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"query\":")
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

func TestRequestID(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		res := send(t, postQuery("{ requestID }"))
		id := res.Header().Get("X-Request-Id")
		if want := `{"data":{"requestID":"` + id + `"}}` + "\n"; res.Body.String() != want {
			t.Errorf("the resolver returned %s, the header is %s", res.Body, id)
		}
		seen[id] = true
	}
	if len(seen) != 3 {
		t.Errorf("got ids %v, want three", seen)
	}
	if id := RequestID(context.Background()); id != "" {
		t.Errorf("RequestID outside of a request = %q, want none", id)
	}
}

func TestRequestID_fromClient(t *testing.T) {
	r := postQuery("{ leaf }")
	r.Header.Set("X-Request-Id", "MALLORY")
	if res := send(t, r); res.Header().Get("X-Request-Id") == "MALLORY" {
		t.Error("X-Request-Id is the client's, want a new one")
	}
}

func TestObserve(t *testing.T) {
	name := strings.Repeat("n", 10_000)
	for _, tt := range []struct {
		name    string
		request *http.Request
		want    Outcome
	}{
		{"anonymous query", postQuery("{ leaf }"), Outcome{Operation: "query", Status: 200}},
		{"mutation", postQuery("mutation Change { change }"), Outcome{Operation: "mutation", Name: "Change", Status: 200}},
		{"field errors", postQuery("query Q { a: fails b: fails leaf }"), Outcome{Operation: "query", Name: "Q", Status: 200, Codes: []string{"FAILED/TODAY"}}},
		{"limit exceeded", postQuery("query TooLarge { leaf }"), Outcome{Operation: "query", Name: "TooLarge", Status: 200, Codes: []string{"OPERATION_TOO_LARGE/DEPTH"}}},
		{"missing variable", postQuery("query Q($s: String!) { need(s: $s) }"), Outcome{Operation: "query", Name: "Q", Status: 200, Codes: []string{"BAD_USER_INPUT"}}},
		{"several errors with one code", postQuery("{ a b c }"), Outcome{Status: 200, Codes: []string{"GRAPHQL_VALIDATION_FAILED"}}},
		{"syntax error", postQuery("query Q {"), Outcome{Status: 200, Codes: []string{"GRAPHQL_PARSE_FAILED"}}},
		{"too many tokens", postQuery(strings.Repeat("{ leaf", 200)), Outcome{Status: 200, Codes: []string{"OPERATION_TOO_LARGE/TOKENS"}}},
		{"invalid JSON", postText("x"), Outcome{Status: 400, Codes: []string{"BAD_REQUEST"}}},
		{"GET of a mutation", httptest.NewRequest("GET", "/?query=mutation+M{change}", nil), Outcome{Operation: "mutation", Name: "M", Status: 405, Codes: []string{"BAD_REQUEST"}}},
		{"long name", postQuery("query " + name + " { leaf }"), Outcome{Operation: "query", Name: name[:61] + "...", Status: 200}},
	} {
		got := sendWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
			tt.request).outcome
		got.RequestID, got.Duration = "", 0
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tt.want) {
			t.Errorf("%s: %+v\nwant %+v", tt.name, got, tt.want)
		}
	}
}

func TestObserve_nil(t *testing.T) {
	recorder := httptest.NewRecorder()
	newServer(Config{AllowGET: true, Introspection: true}, resolvers()).ServeHTTP(recorder,
		postQuery("{ leaf }"))
	if recorder.Body.String() != `{"data":{"leaf":1}}`+"\n" {
		t.Errorf("%s", recorder.Body)
	}
}

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
			if took := time.Since(start); took != want || res.outcome.Duration != want {
				t.Errorf("Timeout %s: took %s, Outcome.Duration = %s, want %s", timeout, took,
					res.outcome.Duration, want)
			}
			if res.Code != http.StatusOK || codeOf(t, res) != "TIMEOUT" {
				t.Errorf("%d %s", res.Code, res.Body)
			}
		})
	}
}

// The resolver's work is done by then: tokens that come late are better than none.
func TestTimeout_ignoredByResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := resolvers()
		e["change"] = func(context.Context, map[string]any) (any, error) {
			time.Sleep(time.Minute)
			return 1, nil
		}
		res := sendWith(t, Config{AllowGET: true, Introspection: true, Timeout: time.Second}, e,
			postQuery("mutation { change }"))
		if res.Body.String() != `{"data":{"change":1}}`+"\n" {
			t.Errorf("%s", res.Body)
		}
	})
}

// slow is an extension that takes longer than the timeout before execution starts.
type slow struct{ nameLimit }

func (slow) MutateOperationContext(context.Context, *graphql.OperationContext) *gqlerror.Error {
	time.Sleep(time.Minute)
	return nil
}

func TestTimeout_beforeExecution(t *testing.T) {
	for media, status := range map[string]int{"application/json": 200,
		"application/graphql-response+json": 400} {
		synctest.Test(t, func(t *testing.T) {
			e := resolvers()
			e["change"] = func(context.Context, map[string]any) (any, error) {
				t.Error("the resolver ran")
				return 1, nil
			}
			server := handler.New(e)
			server.Use(slow{})
			server.AddTransport(newTransport(Config{AllowGET: true, Introspection: true}))
			r := postQuery("mutation { change }")
			r.Header.Set("Accept", media)
			recorder := httptest.NewRecorder()
			server.ServeHTTP(recorder, r)
			want := `{"errors":[{"message":"The request took too long","extensions":{"code":"TIMEOUT"}}]}` + "\n"
			if recorder.Code != status || recorder.Body.String() != want {
				t.Errorf("%s: %d %s, want %d %s", media, recorder.Code, recorder.Body, status, want)
			}
		})
	}
}

// panicking is an extension that panics before execution starts.
type panicking struct{ nameLimit }

func (panicking) MutateOperationContext(context.Context,
	*graphql.OperationContext) *gqlerror.Error {
	panic(canary)
}

// TestPanic checks panics outside of fields, which gqlgen doesn't recover from. A client can cause
// one with `@skip(if: $b)` and a null variable. They must look like those in fields, have the
// request's id and be observed.
func TestPanic(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*handler.Server, executable)
		query  string
		status int
		want   string // the rest of the body
	}{
		{"in an extension, before execution", func(s *handler.Server, _ executable) { s.Use(panicking{}) }, "{ leaf }", 500, "]}\n"},
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
			tt.change(server, e)
			var seen []Outcome
			server.AddTransport(
				newTransport(Config{AllowGET: true, Introspection: true,
					Observe: func(_ context.Context, o Outcome) { seen = append(seen, o) }}))
			server.SetRecoverFunc(func(ctx context.Context, value any) error {
				return &gqlerror.Error{Message: "Internal error",
					Extensions: map[string]any{"code": "INTERNAL", "requestId": RequestID(ctx)}}
			})
			recorder := httptest.NewRecorder()
			server.ServeHTTP(recorder, postQuery(tt.query))
			want := fmt.Sprintf(
				`{"errors":[{"message":"Internal error","extensions":{"code":"INTERNAL","requestId":%q}}%s`,
				recorder.Header().Get("X-Request-Id"), tt.want)
			if recorder.Code != tt.status || recorder.Body.String() != want {
				t.Errorf("%d %s\nwant %d %s", recorder.Code, recorder.Body, tt.status, want)
			}
			if got := recorder.Header().Get("Content-Type"); got !=
				"application/json; charset=utf-8" {
				t.Errorf("Content-Type %q", got)
			}
			if len(seen) != 1 || seen[0].Status != tt.status ||
				!slices.Equal(seen[0].Codes, []string{"INTERNAL"}) {
				t.Errorf("observed %+v, want one outcome with status %d and INTERNAL", seen,
					tt.status)
			}
		})
	}
}

// An executor other than gqlgen's may have no presenter. The error is then our own.
func TestPanic_otherExecutor(t *testing.T) {
	recorder := httptest.NewRecorder()
	newTransport(Config{AllowGET: true}).Do(recorder, postQuery("{ leaf }"), brokenExecutor{})
	want := `{"errors":[{"message":"Internal error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}` + "\n"
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

// HTML isn't escaped, since nosniff keeps browsers from rendering it. Large integers stay exact.
func TestResponse_dataUnchanged(t *testing.T) {
	e := resolvers()
	const raw = `{"big":123456789012345678901234567890,"html":"<b>&</b>","text":"ü🔑` + "\u2028" +
		`","float":1.0}`
	e["leaf"] = func(context.Context, map[string]any) (any, error) {
		return json.RawMessage(raw), nil
	}
	res := sendWith(t, Config{AllowGET: true, Introspection: true}, e, postQuery("{ leaf }"))
	if res.Body.String() != `{"data":{"leaf":`+raw+"}}\n" {
		t.Errorf("%s", res.Body)
	}
}

func TestRequest_headers(t *testing.T) {
	for _, r := range []*http.Request{postQuery("{ leaf }"),
		httptest.NewRequest("GET", "/?query={leaf}", nil)} {
		r.Header.Set("X-Mine", "yes")
		e := resolvers()
		e["leaf"] = func(ctx context.Context, _ map[string]any) (any, error) {
			return graphql.GetOperationContext(ctx).Headers.Get("X-Mine"), nil
		}
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, e, r)
		if res.Body.String() != `{"data":{"leaf":"yes"}}`+"\n" {
			t.Errorf("%s: %s", r.Method, res.Body)
		}
	}
}

func TestSupports(t *testing.T) {
	if !newTransport(Config{AllowGET: true}).Supports(httptest.NewRequest("PUT", "/", nil)) {
		t.Error("Supports(PUT) = false, want true: otherwise gqlgen responds")
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("POST", "/", "application/json", "", "", `{"query":"{ leaf }"}`)
	f.Add("POST", "/", "application/json; charset=utf-8", "application/graphql-response+json;q=0.5",
		"gzip", `[]`)
	f.Add("POST", "/", "application/json", "*/*", "",
		`{"query":"query ($b: Boolean = true) { leaf @skip(if: $b) }","variables":{"b":null}}`)
	f.Add("POST", "/", "application/json", "", "",
		`{"query":"query ($v: In) { echo(in: $v, list: [\"a\"]) ...F } fragment F on Query { person { name } }","variables":{"v":{"in":{"list":[1]}}},"operationName":""}`)
	f.Add("POST", "/", "application/json", "", "",
		`{"query":"mutation M($p: String! = \"x\") @tag { login(username: $p, in: {s: \"\"\"b\"\"\"}) { text } }"}`)
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
			{PersistedQueryBytes: 4 << 20, Manifest: &manifest, ManifestLogOnly: true, MaxNesting: 3},
			{Manifest: &manifest},
		} {
			res := sendWith(t, config, resolvers(), r)
			if res.Code == http.StatusInternalServerError {
				t.Errorf("panic before execution: %s", res.Body)
			}
			r.Body = io.NopCloser(strings.NewReader(body))
		}
	})
}

// TestDocument_strings checks that resolvers get the right values even without package limits,
// which usually rewrites what gqlparser misreads.
func TestDocument_strings(t *testing.T) {
	const broken = "half a surrogate pair"
	for _, tt := range []struct{ literal, value string }{
		{`"key \u00e9"`, "key é"},
		{`"""block"""`, "block"},
		{`"\uD83D\uDD11"`, "🔑"},
		{`"\u{1F511}"`, "🔑"},
		{"\"\"\"  first\n    second\"\"\"", `  first\nsecond`},
		{`"\uD83D"`, broken},
		{`"\uDD11\uD83D"`, broken},
	} {
		res := sendWith(t, Config{AllowGET: true}, resolvers(),
			postQuery("{ need(s: "+tt.literal+") }"))
		want := `{"data":{"need":"s=string:` + tt.value + `"}}` + "\n"
		if tt.value == broken && codeOf(t, res) != "GRAPHQL_PARSE_FAILED" ||
			tt.value != broken && res.Body.String() != want {
			t.Errorf("%s: %s, want %s", tt.literal, res.Body, want)
		}
	}
	res := sendWith(t, Config{AllowGET: true}, resolvers(),
		postQuery(
			`"d" query ("e" $s: String! = "\uD83D\uDD11") { need(s: $s) ...F } "f" fragment F on Query { leaf }`))
	if got := res.Body.String(); got != `{"data":{"need":"s=string:🔑","leaf":1}}`+"\n" {
		t.Errorf("descriptions: %s", got)
	}
}

// readCounter is an extension that counts how often a document is read.
type readCounter struct{ times *int }

func (readCounter) ExtensionName() string                   { return "Counting" }
func (readCounter) Validate(graphql.ExecutableSchema) error { return nil }
func (c readCounter) MutateOperationParameters(_ context.Context,
	params *graphql.RawParams) *gqlerror.Error {
	*c.times++
	if strings.Contains(params.Query, "refused") { // as limits does for a syntax error
		return language.SyntaxError(params.Query, 0, "refused")
	}
	return nil
}

// A document is read again only if gqlparser would refuse or misread the original.
func TestDocument_readOnce(t *testing.T) {
	for query, want := range map[string]int{
		"{ leaf }": 1, "{": 1, "{ nowhere }": 1, "query TooLarge { leaf }": 1,
		`{ need(s: "\uD83D") }`:    1,
		`{ need(s: "\u{1F511}") }`: 2, `"described" query { leaf }`: 2,
		`{ need(s: "\uD83D\uDD11") }`:         2,
		`"described" query TooLarge { leaf }`: 2, `{ nowhere(s: "\uD83D\uDD11") }`: 1,
		`"described" { refused }`: 1,
	} {
		times := 0
		server := newServer(Config{}, resolvers())
		server.Use(readCounter{&times})
		server.ServeHTTP(httptest.NewRecorder(), postQuery(query))
		if times != want {
			t.Errorf("%s: read %d times, want %d", query, times, want)
		}
	}
}
