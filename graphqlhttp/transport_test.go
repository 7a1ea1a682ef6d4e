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

// codeOf is the code of the one error of an answer, with its reason.
func codeOf(t testing.TB, a answer) string {
	t.Helper()
	if len(a.outcome.Codes) != 1 {
		t.Fatalf("codes %q of %s, want one", a.outcome.Codes, a.Body)
	}
	return a.outcome.Codes[0]
}

func TestBodyIsBounded(t *testing.T) {
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
		{"exactly as long as allowed", fill(max), false, http.StatusOK},
		{"one byte more", fill(max + 1), false, http.StatusRequestEntityTooLarge},
		{"chunked, exactly as long as allowed", fill(max), true, http.StatusOK},
		{"chunked, one byte more", fill(max + 1), true, http.StatusRequestEntityTooLarge},
		{"blanks count", strings.Repeat(" ", max) + `{"query":"{ leaf }"}`, false, http.StatusRequestEntityTooLarge},
		{"far too long", fill(1 << 20), true, http.StatusRequestEntityTooLarge},
	} {
		for _, media := range []string{"application/json", "application/graphql-response+json"} {
			r := postText(tt.body)
			r.Header.Set("Accept", media)
			if tt.chunked {
				r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(tt.body))
			}
			a := askWith(t, Config{AllowGET: true, Introspection: true, MaxBodyBytes: max},
				resolvers(), r)
			if a.Code != tt.status {
				t.Errorf("%s, %s: status %d, want %d: %s", tt.name, media, a.Code, tt.status,
					a.Body)
			}
			if a.Code != http.StatusOK {
				if want := `{"errors":[{"message":"The body is larger than 200 bytes","extensions":{"code":"BAD_REQUEST"}}]}` + "\n"; a.Body.String() != want {
					t.Errorf("%s: %s", tt.name, a.Body)
				}
			}
		}
	}
}

func TestBodyIsBoundedByDefault(t *testing.T) {
	body := `{"query":"{ leaf }"}`
	for size, status := range map[int]int{64 << 10: http.StatusOK,
		64<<10 + 1: http.StatusRequestEntityTooLarge} {
		a := askWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
			postText(body+strings.Repeat(" ", size-len(body))))
		if a.Code != status {
			t.Errorf("%d bytes: status %d, want %d", size, a.Code, status)
		}
	}
}

// Bytes that a file of cases can't show.
func TestBodyMustBeUTF8(t *testing.T) {
	for name, tt := range map[string]struct{ body, want string }{
		"two byte order marks": {"\ufeff\ufeff" + `{"query":"{ leaf }"}`,
			"The body must be a JSON object"},
		"a mark behind a blank": {" \ufeff" + `{"query":"{ leaf }"}`,
			"The body must be a JSON object"},
		"UTF-16 with its mark":   {"\xff\xfe{\x00}\x00", "The body is not UTF-8"},
		"UTF-16 without it":      {"{\x00}\x00", "The body must be a JSON object"},
		"invalid UTF-8, outside": {"\xff" + `{"query":"{ leaf }"}`, "The body is not UTF-8"},
		"invalid UTF-8, a value": {`{"query":"{ need(s: \"` + "\xc3" + `\") }"}`,
			"The body is not UTF-8"},
		"a surrogate as UTF-8": {`{"query":"` + "\xed\xa0\x80" + `"}`, "The body is not UTF-8"},
		"a control character": {"{\"query\":\"{\x01leaf }\"}",
			"The body must be a JSON object"},
		"a form feed as a blank": {"\f" + `{"query":"{ leaf }"}`,
			"The body must be a JSON object"},
		"a no-break space around": {"\u00a0" + `{"query":"{ leaf }"}`, "The body must be a JSON object"},
		"too many levels": {`{"variables":` + strings.Repeat("[", 20000),
			"variables nest deeper than 64 levels"},
	} {
		a := askWith(t, Config{AllowGET: true, Introspection: true}, resolvers(), postText(tt.body))
		want := fmt.Sprintf(`{"errors":[{"message":%q,"extensions":{"code":"BAD_REQUEST"}}]}`+"\n",
			tt.want)
		if a.Code != http.StatusBadRequest || a.Body.String() != want {
			t.Errorf("%s: %d %s, want 400 %s", name, a.Code, a.Body, want)
		}
	}
}

// What a client sends is taken where it can only mean one thing, and refused with words where it
// can't.
func TestRequest_whatCanOnlyMeanOneThing(t *testing.T) {
	const usual = `{"query":"{ leaf }"}`
	for _, tt := range []struct {
		name   string
		header [2]string
		body   string
		status int // 0 is 200, with the leaf
		words  string
		reason string
	}{
		{name: "variables []", body: `{"query":"{ leaf }","variables":[]}`, reason: "PHP's json_encode writes an empty map so"},
		{name: "extensions []", body: `{"query":"{ leaf }","extensions":[]}`, reason: "the same"},
		{name: "variables [1]", body: `{"query":"{ leaf }","variables":[1]}`, status: 400, words: "variables must be an object", reason: "names are missing"},
		{name: "variables as a string", body: `{"query":"{ leaf }","variables":"{}"}`, status: 400, words: "variables must be an object",
			reason: "the specification wants a map, and what is in the string would escape the " +
				"bounds of the body's JSON"},
		{name: "variables an empty string", body: `{"query":"{ leaf }","variables":""}`, status: 400, words: "variables must be an object", reason: "the same"},
		{name: "variables null", body: `{"query":"{ leaf }","variables":null}`, reason: "null is absent"},
		{name: "operationName null", body: `{"query":"query A { leaf }","operationName":null}`, reason: "null is absent"},
		{name: "operationName empty", body: `{"query":"query A { leaf }","operationName":""}`, reason: "no operation can be called that; Relay and PHP clients send it"},
		{name: "operationName empty, two operations", body: `{"query":"query A { leaf } query B { leaf }","operationName":""}`,
			status: 200, words: "operationName is missing", reason: "it could mean either"},
		{name: "operationName a number", body: `{"query":"{ leaf }","operationName":1}`, status: 400, words: "operationName must be a string", reason: "not its type"},
		{name: "members of other protocols", body: `{"query":"{ leaf }","id":"1","doc_id":"2","documentId":"3"}`, reason: "the query is there, so nothing depends on them"},
		{name: "byte order mark", body: "\ufeff" + usual, reason: "RFC 8259 lets a reader ignore it; it is no text"},
		{name: "byte order mark and a blank", body: "\ufeff\n" + usual, reason: "the same"},
		{name: "blanks around", body: "\r\n\t " + usual + "\r\n", reason: "JSON's own"},
		{name: "nothing", body: "", status: 400, words: "The body is empty", reason: "it names what is missing"},
		{name: "a mark and nothing", body: "\ufeff", status: 400, words: "The body is empty", reason: "the same"},
		{name: "a NUL at the end", body: usual + "\x00", status: 400, words: "The body must be a JSON object", reason: "it isn't JSON"},
		{name: "two objects", body: usual + usual, status: 400, words: "The body must be a JSON object", reason: "it could mean either"},

		{name: "charset utf8", header: [2]string{"Content-Type", "application/json;charset=utf8"}, body: usual, reason: "the common misspelling"},
		{name: "charset UTF8", header: [2]string{"Content-Type", "application/json; charset=UTF8"}, body: usual, reason: "names of charsets have no case"},
		{name: "charset quoted", header: [2]string{"Content-Type", `application/json; charset="UTF-8"`}, body: usual, reason: "RFC 9110 8.3.1: the same value"},
		{name: "charset us-ascii", header: [2]string{"Content-Type", "application/json; charset=us-ascii"}, body: usual, reason: "each such text is UTF-8"},
		{name: "charset latin1", header: [2]string{"Content-Type", "application/json; charset=iso-8859-1"}, body: usual, status: 415, words: "charset must be utf-8",
			reason: "a password with an umlaut would be another"},
		{name: "charset utf-16", header: [2]string{"Content-Type", "application/json; charset=utf-16"}, body: usual, status: 415, words: "charset must be utf-8", reason: "other bytes"},
		{name: "two charsets", header: [2]string{"Content-Type", "application/json; charset=utf-8; charset=latin1"}, body: usual, status: 415,
			words: "charset must be utf-8", reason: "it could mean either"},
		{name: "a semicolon at the end", header: [2]string{"Content-Type", "application/json;"}, body: usual, reason: "a parameter may be empty"},
		{name: "a parameter without a value", header: [2]string{"Content-Type", "application/json; charset"}, body: usual, reason: "JSON has no parameters"},
		{name: "other parameters", header: [2]string{"Content-Type", `Application/JSON ; boundary="a;b" ;x=y`}, body: usual, reason: "the same"},
		{name: "graphql+json", header: [2]string{"Content-Type", "application/graphql+json"}, body: usual, status: 415, words: "Content-Type must be application/json",
			reason: "a draft had it; no client sends it alone today"},
		{name: "graphql-response+json", header: [2]string{"Content-Type", "application/graphql-response+json"}, body: usual, status: 415,
			words: "Content-Type must be application/json", reason: "it is a response's"},
		{name: "application/graphql", header: [2]string{"Content-Type", "application/graphql"}, body: "{ leaf }", status: 415, words: "Content-Type must be application/json",
			reason: "a document as it is, which no specification has"},
		{name: "two media types", header: [2]string{"Content-Type", "application/json, text/plain"}, body: usual, status: 415, words: "Content-Type must be application/json",
			reason: "another site may send the second"},
		{name: "a media type in a parameter", header: [2]string{"Content-Type", "text/plain; application/json"}, body: usual, status: 415,
			words: "Content-Type must be application/json", reason: "another site may send it"},

		{name: "identity", header: [2]string{"Content-Encoding", "identity"}, body: usual, reason: "RFC 9110 8.4.1: no encoding"},
		{name: "Identity, and nothing", header: [2]string{"Content-Encoding", ", Identity ,"}, body: usual, reason: "a list with empty elements"},
		{name: "no encoding", header: [2]string{"Content-Encoding", ""}, body: usual, reason: "an empty list"},
		{name: "identity and gzip", header: [2]string{"Content-Encoding", "identity, gzip"}, body: usual, status: 415, words: "Content-Encoding is not supported", reason: "encoded"},
	} {
		r := postText(tt.body)
		if tt.header[0] != "" {
			r.Header[tt.header[0]] = []string{tt.header[1]}
		}
		a := askWith(t, Config{AllowGET: true, Introspection: true}, resolvers(), r)
		status, words := tt.status, tt.words
		if status == 0 {
			status, words = http.StatusOK, gotLeaf
		}
		if a.Code != status || !strings.Contains(a.Body.String(), words) {
			t.Errorf("%s: %d %s, want %d %s, since: %s", tt.name, a.Code, a.Body, status, words,
				tt.reason)
		}
	}
}

// A client that reads no body learns from a header when to come back: the longest of what the
// errors say.
func TestResponse_retryAfter(t *testing.T) {
	refusing := func(extension any) resolver {
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
		e["leaf"], e["fails"] = refusing(tt.first), refusing(tt.second)
		a := askWith(t, Config{AllowGET: true, Introspection: true}, e, postQuery("{ leaf fails }"))
		if got := a.Header().Get("Retry-After"); a.Code != http.StatusOK || got != tt.want {
			t.Errorf("%v and %v: %d with Retry-After %q, want 200 with %q: %s", tt.first, tt.second,
				a.Code, got, tt.want, a.Body)
		}
	}
	if a := askWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
		postQuery("{ leaf }")); a.Header().Values("Retry-After") != nil {
		t.Error("a response without errors has Retry-After")
	}
}

// brokenBody ends in the middle, as a lost connection does.
type brokenBody struct{ io.Reader }

func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		return n, errLost
	}
	return n, err
}

func TestBodyThatIsCutShort(t *testing.T) {
	r := postText("")
	r.Body = io.NopCloser(brokenBody{strings.NewReader(`{"query":"{ leaf }"}`)})
	a := ask(t, r)
	if want := `{"errors":[{"message":"The body couldn't be read to its end","extensions":{"code":"BAD_REQUEST"}}]}` + "\n"; a.Code != http.StatusBadRequest || a.Body.String() != want {
		t.Errorf("%d %s, want 400 %s", a.Code, a.Body, want)
	}
}

// Over a real connection: what a recorder doesn't do.
func TestOverAConnection(t *testing.T) {
	server := httptest.NewServer(production(Config{AllowGET: true, Introspection: true},
		resolvers()))
	defer server.Close()

	t.Run("HEAD has no body, and its headers", func(t *testing.T) {
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
	t.Run("chunked without a length", func(t *testing.T) {
		response, err := http.Post(server.URL, "application/json",
			io.MultiReader(strings.NewReader(`{"query":`), strings.NewReader(`"{ leaf }"}`)))
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(response.Body); string(body) != `{"data":{"leaf":1}}`+"\n" {
			t.Errorf("%s", body)
		}
	})
	t.Run("a body shorter than its length", func(t *testing.T) {
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

func TestEachRequestHasItsOwnID(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		a := ask(t, postQuery("{ requestID }"))
		id := a.Header().Get("X-Request-Id")
		if want := `{"data":{"requestID":"` + id + `"}}` + "\n"; a.Body.String() != want {
			t.Errorf("the resolver saw %s, the header says %s", a.Body, id)
		}
		seen[id] = true
	}
	if len(seen) != 3 {
		t.Errorf("ids %v, want three", seen)
	}
	if id := RequestID(context.Background()); id != "" {
		t.Errorf("RequestID outside a request is %q", id)
	}
}

func TestAClientDoesNotChooseTheID(t *testing.T) {
	r := postQuery("{ leaf }")
	r.Header.Set("X-Request-Id", "MALLORY")
	if a := ask(t, r); a.Header().Get("X-Request-Id") == "MALLORY" {
		t.Error("the client's id came back")
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
		{"execution errors", postQuery("query Q { a: fails b: fails leaf }"), Outcome{Operation: "query", Name: "Q", Status: 200, Codes: []string{"FAILED/TODAY"}}},
		{"refused by a limit", postQuery("query TooLarge { leaf }"), Outcome{Operation: "query", Name: "TooLarge", Status: 200, Codes: []string{"OPERATION_TOO_LARGE/DEPTH"}}},
		{"variables", postQuery("query Q($s: String!) { need(s: $s) }"), Outcome{Operation: "query", Name: "Q", Status: 200, Codes: []string{"BAD_USER_INPUT"}}},
		{"several errors, one code", postQuery("{ a b c }"), Outcome{Status: 200, Codes: []string{"GRAPHQL_VALIDATION_FAILED"}}},
		{"syntax", postQuery("query Q {"), Outcome{Status: 200, Codes: []string{"GRAPHQL_PARSE_FAILED"}}},
		{"tokens", postQuery(strings.Repeat("{ leaf", 200)), Outcome{Status: 200, Codes: []string{"OPERATION_TOO_LARGE/TOKENS"}}},
		{"no JSON", postText("x"), Outcome{Status: 400, Codes: []string{"BAD_REQUEST"}}},
		{"GET of a mutation", httptest.NewRequest("GET", "/?query=mutation+M{change}", nil), Outcome{Operation: "mutation", Name: "M", Status: 405, Codes: []string{"BAD_REQUEST"}}},
		{"a long name is cut", postQuery("query " + name + " { leaf }"), Outcome{Operation: "query", Name: name[:61] + "...", Status: 200}},
	} {
		got := askWith(t, Config{AllowGET: true, Introspection: true}, resolvers(),
			tt.request).outcome
		got.RequestID, got.Duration = "", 0
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tt.want) {
			t.Errorf("%s: %+v\nwant %+v", tt.name, got, tt.want)
		}
	}
}

func TestObserveMayBeAbsent(t *testing.T) {
	recorder := httptest.NewRecorder()
	production(Config{AllowGET: true, Introspection: true}, resolvers()).ServeHTTP(recorder,
		postQuery("{ leaf }"))
	if recorder.Body.String() != `{"data":{"leaf":1}}`+"\n" {
		t.Errorf("%s", recorder.Body)
	}
}

func TestTimeoutEndsTheResolversContext(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: 15 * time.Second,
		time.Second: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			e := resolvers()
			e["leaf"] = func(ctx context.Context, _ map[string]any) (any, error) {
				<-ctx.Done()
				return nil, &gqlerror.Error{Message: "gave up", Err: ctx.Err(),
					Extensions: map[string]any{"code": "TIMEOUT"}}
			}
			start := time.Now()
			a := askWith(t, Config{AllowGET: true, Introspection: true, Timeout: given}, e,
				postQuery("{ leaf }"))
			if took := time.Since(start); took != want || a.outcome.Duration != want {
				t.Errorf("Timeout %s: took %s, the outcome says %s, want %s", given, took,
					a.outcome.Duration, want)
			}
			if a.Code != http.StatusOK || codeOf(t, a) != "TIMEOUT" {
				t.Errorf("%d %s", a.Code, a.Body)
			}
		})
	}
}

// What a resolver did, it did: tokens that came late are better than tokens that are lost.
func TestALateResultIsShownAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := resolvers()
		e["change"] = func(context.Context, map[string]any) (any, error) {
			time.Sleep(time.Minute)
			return 1, nil
		}
		a := askWith(t, Config{AllowGET: true, Introspection: true, Timeout: time.Second}, e,
			postQuery("mutation { change }"))
		if a.Body.String() != `{"data":{"change":1}}`+"\n" {
			t.Errorf("%s", a.Body)
		}
	})
}

// slow is an extension that takes its time before anything runs.
type slow struct{ tooLarge }

func (slow) MutateOperationContext(context.Context, *graphql.OperationContext) *gqlerror.Error {
	time.Sleep(time.Minute)
	return nil
}

func TestNothingRunsOnceTheTimeHasPassed(t *testing.T) {
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

// explosive panics before anything runs.
type explosive struct{ tooLarge }

func (explosive) MutateOperationContext(context.Context,
	*graphql.OperationContext) *gqlerror.Error {
	panic(canary)
}

// gqlgen recovers from panics of fields alone. The others must look like those, have the request's
// id, and be observed: whoever sends `@skip(if: $b)` with a null can cause one.
func TestAPanicOutsideAFieldIsAnError(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*handler.Server, executable)
		query  string
		status int
		want   string // the rest of the body
	}{
		{"in an extension, before anything runs", func(s *handler.Server, _ executable) { s.Use(explosive{}) }, "{ leaf }", 500, "]}\n"},
		{"in the execution", func(_ *handler.Server, e executable) {
			e["leaf"] = func(context.Context, map[string]any) (any, error) { panic(canary) }
		}, "{ leaf }", 200, "],\"data\":null}\n"},
		{"a scalar that isn't JSON", func(_ *handler.Server, e executable) {
			e["leaf"] = func(context.Context, map[string]any) (any, error) {
				return json.RawMessage(canary), nil
			}
		}, "{ leaf }", 200, "],\"data\":null}\n"},
		{"an extension of a response that isn't JSON", func(s *handler.Server, _ executable) {
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
				t.Errorf("observed %+v", seen)
			}
		})
	}
}

// A presenter or an executor that isn't gqlgen's says nothing useful: then the words are ours.
func TestAPanicUnderAnotherExecutor(t *testing.T) {
	recorder := httptest.NewRecorder()
	newTransport(Config{AllowGET: true}).Do(recorder, postQuery("{ leaf }"), brokenExecutor{})
	want := `{"errors":[{"message":"Internal error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}` + "\n"
	if recorder.Code != 500 || recorder.Body.String() != want {
		t.Errorf("%d %s, want 500 %s", recorder.Code, recorder.Body, want)
	}
}

type brokenExecutor struct{ graphql.GraphExecutor }

func (brokenExecutor) CreateOperationContext(context.Context,
	*graphql.RawParams) (*graphql.OperationContext, gqlerror.List) {
	panic(errors.New(canary))
}

// HTML in a response stays as it is, since nosniff keeps it from being HTML; large integers too.
func TestDataPassesUnchanged(t *testing.T) {
	e := resolvers()
	const raw = `{"big":123456789012345678901234567890,"html":"<b>&</b>","text":"ü🔑` + "\u2028" +
		`","float":1.0}`
	e["leaf"] = func(context.Context, map[string]any) (any, error) {
		return json.RawMessage(raw), nil
	}
	a := askWith(t, Config{AllowGET: true, Introspection: true}, e, postQuery("{ leaf }"))
	if a.Body.String() != `{"data":{"leaf":`+raw+"}}\n" {
		t.Errorf("%s", a.Body)
	}
}

func TestHeadersReachTheOperation(t *testing.T) {
	for _, r := range []*http.Request{postQuery("{ leaf }"),
		httptest.NewRequest("GET", "/?query={leaf}", nil)} {
		r.Header.Set("X-Mine", "yes")
		e := resolvers()
		e["leaf"] = func(ctx context.Context, _ map[string]any) (any, error) {
			return graphql.GetOperationContext(ctx).Headers.Get("X-Mine"), nil
		}
		a := askWith(t, Config{AllowGET: true, Introspection: true}, e, r)
		if a.Body.String() != `{"data":{"leaf":"yes"}}`+"\n" {
			t.Errorf("%s: %s", r.Method, a.Body)
		}
	}
}

func TestSupportsEverything(t *testing.T) {
	if !newTransport(Config{AllowGET: true}).Supports(httptest.NewRequest("PUT", "/", nil)) {
		t.Error("PUT isn't supported, so gqlgen would answer it in words of its own")
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
			return // net/http wouldn't let it in
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
			a := askWith(t, config, resolvers(), r)
			if a.Code == http.StatusInternalServerError {
				t.Errorf("a panic before anything ran: %s", a.Body)
			}
			r.Body = io.NopCloser(strings.NewReader(body))
		}
	})
}

// A value never changes on its way, though nothing but this package rewrites what gqlparser
// misreads.
func TestStringsOfDocuments(t *testing.T) {
	const broken = "half"
	for _, tt := range []struct{ literal, value string }{
		{`"key \u00e9"`, "key é"},
		{`"""block"""`, "block"},
		{`"\uD83D\uDD11"`, "🔑"},
		{`"\u{1F511}"`, "🔑"},
		{"\"\"\"  first\n    second\"\"\"", `  first\nsecond`},
		{`"\uD83D"`, broken},
		{`"\uDD11\uD83D"`, broken},
	} {
		a := askWith(t, Config{AllowGET: true}, resolvers(),
			postQuery("{ need(s: "+tt.literal+") }"))
		want := `{"data":{"need":"s=string:` + tt.value + `"}}` + "\n"
		if tt.value == broken && codeOf(t, a) != "GRAPHQL_PARSE_FAILED" ||
			tt.value != broken && a.Body.String() != want {
			t.Errorf("%s: %s; want %s", tt.literal, a.Body, want)
		}
	}
	a := askWith(t, Config{AllowGET: true}, resolvers(),
		postQuery(
			`"d" query ("e" $s: String! = "\uD83D\uDD11") { need(s: $s) ...F } "f" fragment F on Query { leaf }`))
	if got := a.Body.String(); got != `{"data":{"need":"s=string:🔑","leaf":1}}`+"\n" {
		t.Errorf("descriptions: %s", got)
	}
}

// readings is an extension that counts how often a document is read.
type readings struct{ times *int }

func (readings) ExtensionName() string                   { return "Counting" }
func (readings) Validate(graphql.ExecutableSchema) error { return nil }
func (c readings) MutateOperationParameters(_ context.Context,
	params *graphql.RawParams) *gqlerror.Error {
	*c.times++
	if strings.Contains(params.Query, "refused") { // as limits refuses what isn't GraphQL
		return language.SyntaxError(params.Query, 0, "refused")
	}
	return nil
}

// A document is read a second time only where gqlparser would refuse or misread the first.
func TestHTTPTransport_readsOnce(t *testing.T) {
	for query, want := range map[string]int{
		"{ leaf }": 1, "{": 1, "{ nowhere }": 1, "query TooLarge { leaf }": 1,
		`{ need(s: "\uD83D") }`:    1,
		`{ need(s: "\u{1F511}") }`: 2, `"described" query { leaf }`: 2,
		`{ need(s: "\uD83D\uDD11") }`:         2,
		`"described" query TooLarge { leaf }`: 2, `{ nowhere(s: "\uD83D\uDD11") }`: 1,
		`"described" { refused }`: 1,
	} {
		times := 0
		server := production(Config{}, resolvers())
		server.Use(readings{&times})
		server.ServeHTTP(httptest.NewRecorder(), postQuery(query))
		if times != want {
			t.Errorf("%s: read %d times, want %d", query, times, want)
		}
	}
}
