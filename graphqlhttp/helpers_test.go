package graphqlhttp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
)

// schemaText is the schema of the tests.
const schemaText = `
directive @tag(name: String) on QUERY | MUTATION | FIELD | VARIABLE_DEFINITION | FRAGMENT_DEFINITION
type Query {
  leaf: Int
  echo(s: String, i: Int, f: Float, b: Boolean, id: ID, color: Color, in: In, list: [String!], matrix: [[Int]], any: Any): String
  need(s: String!): String
  person: Person
  fails: Int
  failsNonNull: Int!
  requestID: String
}
type Mutation {
  change: Int
  login(username: String!, password: String, color: Color, in: In): Token
}
type Subscription { ticks: Int }
type Person { name: String friend: Person }
type Token { text: String expires: Int }
input In { s: String i: Int f: Float id: ID color: Color list: [String!] in: In }
enum Color { RED GREEN }
scalar Any
`

var schema = gqlparser.MustLoadSchema(&ast.Source{Name: "test.graphqls", Input: schemaText})

// A resolver returns the value of a root field. A json.RawMessage goes into the response unchanged.
type resolver func(ctx context.Context, args map[string]any) (any, error)

// An executable resolves root fields by name. It ignores the selections below root fields.
type executable map[string]resolver

func (executable) Schema() *ast.Schema { return schema }

func (executable) Complexity(context.Context, string, string, int, map[string]any) (int, bool) {
	return 0, false
}

func (e executable) Exec(context.Context) graphql.ResponseHandler {
	return func(ctx context.Context) *graphql.Response {
		operation := graphql.GetOperationContext(ctx)
		var data bytes.Buffer
		for _, field := range graphql.CollectFields(operation, operation.Operation.SelectionSet,
			nil) {
			value, err := e[field.Name](ctx, field.ArgumentMap(operation.Variables))
			if err != nil {
				graphql.AddError(ctx, err)
				value = nil
				if field.Definition.Type.NonNull {
					return &graphql.Response{Data: []byte("null")}
				}
			}
			text, isRaw := value.(json.RawMessage)
			if !isRaw {
				text, _ = json.Marshal(value)
			}
			fmt.Fprintf(&data, `,%q:%s`, field.Alias, text)
		}
		return &graphql.Response{Data: fmt.Appendf(nil, "{%s}",
			strings.TrimPrefix(data.String(), ","))}
	}
}

// resolvers returns resolvers for all root fields of schemaText, except for introspection.
func resolvers() executable {
	resolvePerson := func(context.Context, map[string]any) (any, error) {
		return map[string]string{"name": "Ada"}, nil
	}
	resolveOne := func(context.Context, map[string]any) (any, error) { return 1, nil }
	fail := func(context.Context, map[string]any) (any, error) {
		return nil, &gqlerror.Error{Message: "Not today",
			Extensions: map[string]any{"code": "FAILED", "reason": "TODAY"}}
	}
	return executable{
		"leaf": resolveOne, "change": resolveOne, "ticks": resolveOne, "person": resolvePerson,
		"login": echo, "echo": echo, "need": echo, "fails": fail, "failsNonNull": fail,
		"requestID": func(ctx context.Context, _ map[string]any) (any, error) {
			return RequestID(ctx), nil
		},
	}
}

// echo is a resolver that returns its arguments and their Go types.
func echo(_ context.Context, args map[string]any) (any, error) {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(args)) {
		out = append(out, fmt.Sprintf("%s=%T:%v", name, args[name], args[name]))
	}
	return strings.Join(out, " "), nil
}

// introspectionResolvers returns resolvers for all root fields of schemaText, and for __typename
// and __type.
func introspectionResolvers() executable {
	e := resolvers()
	e["__typename"] = func(context.Context, map[string]any) (any, error) { return "Query", nil }
	e["__type"] = func(context.Context, map[string]any) (any, error) { return nil, nil }
	return e
}

// nameLimit is an extension that rejects operations with the name TooLarge, as a limit would.
type nameLimit struct{}

func (nameLimit) ExtensionName() string                   { return "NameLimit" }
func (nameLimit) Validate(graphql.ExecutableSchema) error { return nil }
func (nameLimit) MutateOperationContext(_ context.Context,
	operation *graphql.OperationContext) *gqlerror.Error {
	if operation.Operation.Name != "TooLarge" {
		return nil
	}
	return &gqlerror.Error{
		Message:    "The operation is too deep: its fields nest to depth 9; the limit is 3",
		Extensions: map[string]any{"code": "OPERATION_TOO_LARGE", "reason": "DEPTH"},
	}
}

// testErrors returns errors unchanged and hides the values of panics.
type testErrors struct{}

func (testErrors) Present(ctx context.Context, err error) *gqlerror.Error {
	return graphql.DefaultErrorPresenter(ctx, err)
}

func (testErrors) Recover(context.Context, any) error {
	return apierror.New(apierror.CodeInternalServerError, "", "Internal error")
}

// newServer returns a server with this package's transport, a token limit of 100 and nameLimit.
func newServer(config Config, e executable) *handler.Server {
	return newServerWith(newTransport(config), e)
}

// newServerWith is newServer for an existing transport.
func newServerWith(transport *httpTransport, e executable) *handler.Server {
	if transport.Errors == nil {
		transport.Errors = testErrors{}
	}
	server := handler.New(e)
	server.SetParserTokenLimit(100)
	server.Use(nameLimit{})
	transport.install(server)
	return server
}

// A result is a response and the Outcome that was observed for it.
type result struct {
	*httptest.ResponseRecorder
	outcome Outcome
}

// send sends a request to a new server, and checks the headers and the structure of the response.
func send(t testing.TB, r *http.Request) result {
	t.Helper()
	return sendWith(t, Config{AllowGET: true, Introspection: true, MaxBodyBytes: 4096},
		resolvers(), r)
}

// sendWith is send with a configuration and resolvers.
func sendWith(t testing.TB, config Config, e executable, r *http.Request) result {
	t.Helper()
	return sendTo(t, newTransport(config), e, r)
}

// sendTo is sendWith for an existing transport, so that requests can share its persisted queries.
func sendTo(t testing.TB, transport *httpTransport, e executable, r *http.Request) result {
	t.Helper()
	var outcomes []Outcome
	var observedCtx context.Context
	transport.Observe = func(ctx context.Context, o Outcome) {
		outcomes, observedCtx = append(outcomes, o), ctx
	}
	recorder := httptest.NewRecorder()
	newServerWith(transport, e).ServeHTTP(recorder, r)

	if len(outcomes) != 1 {
		t.Fatalf("Observe was called %d times, want once; body %s", len(outcomes), recorder.Body)
	}
	out := outcomes[0]
	id := recorder.Header().Get("X-Request-Id")
	if len(id) != 26 || out.RequestID != id || RequestID(observedCtx) != id {
		t.Errorf("X-Request-Id is %q, Outcome.RequestID %q, RequestID(ctx) %q; want all three "+
			"equal", id,
			out.RequestID, RequestID(observedCtx))
	}
	if out.Status != recorder.Code {
		t.Errorf("Outcome.Status = %d, want %d", out.Status, recorder.Code)
	}
	if out.Duration < 0 {
		t.Errorf("Outcome.Duration = %s, want at least 0", out.Duration)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store",
		"X-Content-Type-Options": "nosniff"} {
		if got := recorder.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	noContent := recorder.Code == http.StatusNoContent
	media := recorder.Header().Get("Content-Type")
	if !noContent && media != "application/json; charset=utf-8" &&
		media != "application/graphql-response+json; charset=utf-8" || noContent && media != "" {
		t.Errorf("status %d with Content-Type %q, want JSON, or none with 204", recorder.Code,
			media)
	}
	if (recorder.Header().Get("Allow") != "") != (noContent ||
		recorder.Code == http.StatusMethodNotAllowed) {
		t.Errorf("status %d with Allow %q, want Allow only with 204 and 405", recorder.Code,
			recorder.Header().Get("Allow"))
	}
	switch length := recorder.Header().Get("Content-Length"); {
	case noContent || r.Method == http.MethodHead:
		if recorder.Body.Len() > 0 || noContent != (length == "") {
			t.Errorf("%s, status %d: body of %d bytes, Content-Length %q; want no body, and a "+
				"length unless the status is 204", r.Method, recorder.Code, recorder.Body.Len(),
				length)
		}
	case length != strconv.Itoa(recorder.Body.Len()):
		t.Errorf("Content-Length is %s, want %d", length, recorder.Body.Len())
	default:
		checkBody(t, recorder.Body.Bytes(), out)
	}
	return result{recorder, out}
}

// checkBody checks that a body is JSON with data or errors, that each error has a message and a
// code, and that the outcome has the same codes.
func checkBody(t testing.TB, body []byte, out Outcome) {
	t.Helper()
	var content struct {
		Data   json.RawMessage
		Errors []struct {
			Message    string
			Extensions struct{ Code, Reason string }
		}
	}
	if err := json.Unmarshal(body, &content); err != nil || !utf8.Valid(body) {
		t.Fatalf("the body is not JSON in UTF-8: %v: %q", err, body)
	}
	if content.Data == nil && len(content.Errors) == 0 {
		t.Errorf("body %s, want data or errors in it", body)
	}
	maxErrors := maxFieldErrors + 1
	if content.Data == nil {
		maxErrors = maxRequestErrors
	}
	if len(content.Errors) > maxErrors {
		t.Errorf("%d errors, want at most %d", len(content.Errors), maxErrors)
	}
	var codes []string
	for _, e := range content.Errors {
		if e.Message == "" || e.Extensions.Code == "" {
			t.Errorf("body %s, want a message and a code in each error", body)
		}
		code := strings.TrimSuffix(e.Extensions.Code+"/"+e.Extensions.Reason, "/")
		if !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	if !slices.Equal(codes, out.Codes) {
		t.Errorf("Outcome.Codes = %q, want %q as in the body", out.Codes, codes)
	}
}

// codeOf returns the code and reason of a response, which must have exactly one code.
func codeOf(t testing.TB, res result) string {
	t.Helper()
	if len(res.outcome.Codes) != 1 {
		t.Fatalf("codes %q, want one; body %s", res.outcome.Codes, res.Body)
	}
	return res.outcome.Codes[0]
}

// post returns a POST with fields in its body.
func post(fields map[string]any) *http.Request {
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return postBody(string(text))
}

// postBody returns a POST of application/json with a body.
func postBody(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	r.Header.Set("Content-Type", "application/json")
	return r
}

// postQuery returns a POST with a query.
func postQuery(query string) *http.Request { return post(map[string]any{"query": query}) }

// hashOf returns the SHA-256 of a query in hexadecimal.
func hashOf(query string) string {
	sum := sha256.Sum256([]byte(query))
	return hex.EncodeToString(sum[:])
}

const (
	typeJSON            = "application/json"
	typeGraphQLResponse = "application/graphql-response+json"

	leafResponse = `{"data":{"leaf":1}}` + "\n" // the response to { leaf }
)

// errConnectionLost is the error of a lost connection.
var errConnectionLost = errors.New("connection lost")

// A mapStore is an AnswerStore without a bound.
type mapStore struct {
	mu      sync.Mutex // guards answers
	answers map[string]any
}

func (s *mapStore) Get(request []byte) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers[string(request)]
}

func (s *mapStore) Put(request []byte, answer any, _ int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[string(request)] = answer
}

// keptRequests returns the requests whose answers the store has, sorted.
func (s *mapStore) keptRequests() []string { return slices.Sorted(maps.Keys(s.answers)) }

// newAnswers returns Answers with a store that all callers share. Its MayKeep holds for the root
// fields leaf, person, fails and change.
func newAnswers() (*Answers, *mapStore) {
	store := &mapStore{answers: map[string]any{}}
	return &Answers{
		Store: func(context.Context) AnswerStore { return store },
		MayKeep: func(field *ast.FieldDefinition) bool {
			return slices.Contains([]string{"leaf", "person", "fails", "change"}, field.Name)
		},
	}, store
}

// countCalls returns copies of the resolvers in e that count their calls.
func countCalls(e executable) (counting executable, calls *int) {
	counting, calls = executable{}, new(int)
	for name, resolve := range e {
		counting[name] = func(ctx context.Context, args map[string]any) (any, error) {
			*calls++
			return resolve(ctx, args)
		}
	}
	return counting, calls
}

// describe formats a response and its Outcome, without the request ID and the duration, which
// differ between any two requests.
func describe(res result) string {
	header := res.Header().Clone()
	header.Del("X-Request-Id")
	outcome := res.outcome
	outcome.RequestID, outcome.Duration = "", 0
	return fmt.Sprintf("%d %v %s\n%+v", res.Code, header, res.Body, outcome)
}

// bodyOf returns a query as the body of a POST.
func bodyOf(query string) string { return fmt.Sprintf(`{"query":%q}`, query) }

// withHeader returns r with a header set.
func withHeader(r *http.Request, name, value string) *http.Request {
	r.Header.Set(name, value)
	return r
}

// requestWithQueryString returns a request with this method and query string.
func requestWithQueryString(method, queryString string) *http.Request {
	r := httptest.NewRequest(method, "/graphql", nil)
	r.URL.RawQuery = queryString
	return r
}
