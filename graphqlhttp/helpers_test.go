package graphqlhttp

import (
	"bytes"
	"context"
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
	"testing"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
)

// The tests' own schema. Its fields answer with what reached them; nothing of it is anyone's API.
const schemaText = `
directive @tag(name: String) on QUERY | MUTATION | FIELD | VARIABLE_DEFINITION | FRAGMENT_DEFINITION
type Query {
  leaf: Int
  echo(s: String, i: Int, f: Float, b: Boolean, id: ID, color: Color, in: In, list: [String!], matrix: [[Int]], any: Any): String
  need(s: String!): String
  person: Person
  fails: Int
  failsWhole: Int!
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

type resolver func(ctx context.Context, args map[string]any) (any, error)

// An executable answers root fields; a selection below them isn't looked at.
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

func resolvers() executable {
	person := func(context.Context, map[string]any) (any, error) {
		return map[string]string{"name": "Ada"}, nil
	}
	one := func(context.Context, map[string]any) (any, error) { return 1, nil }
	fails := func(context.Context, map[string]any) (any, error) {
		return nil, &gqlerror.Error{Message: "Not today",
			Extensions: map[string]any{"code": "FAILED", "reason": "TODAY"}}
	}
	return executable{
		"leaf": one, "change": one, "ticks": one, "person": person, "login": echo, "echo": echo,
		"need":  echo,
		"fails": fails, "failsWhole": fails,
		"requestID": func(ctx context.Context, _ map[string]any) (any, error) {
			return RequestID(ctx), nil
		},
	}
}

// echo says which arguments came, with their Go types.
func echo(_ context.Context, args map[string]any) (any, error) {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(args)) {
		words = append(words, fmt.Sprintf("%s=%T:%v", name, args[name], args[name]))
	}
	return strings.Join(words, " "), nil
}

// tooLarge refuses operations of that name, as a limit does.
type tooLarge struct{}

func (tooLarge) ExtensionName() string                   { return "TooLarge" }
func (tooLarge) Validate(graphql.ExecutableSchema) error { return nil }
func (tooLarge) MutateOperationContext(_ context.Context,
	operation *graphql.OperationContext) *gqlerror.Error {
	if operation.Operation.Name != "TooLarge" {
		return nil
	}
	return &gqlerror.Error{
		Message:    "The operation is too deep: its fields nest to depth 9, allowed is 3",
		Extensions: map[string]any{"code": "OPERATION_TOO_LARGE", "reason": "DEPTH"},
	}
}

// testErrors show errors as they are, and nothing of panics.
type testErrors struct{}

func (testErrors) Present(ctx context.Context, err error) *gqlerror.Error {
	return graphql.DefaultErrorPresenter(ctx, err)
}

func (testErrors) Recover(context.Context, any) error {
	return apierror.New(apierror.CodeInternalServerError, "", "Internal error")
}

// production is a server as it stands where strangers can reach it, small enough to hit its limits.
func production(config Config, e executable) *handler.Server {
	return withTransport(newTransport(config), e)
}

func withTransport(transport *httpTransport, e executable) *handler.Server {
	if transport.Errors == nil {
		transport.Errors = testErrors{}
	}
	server := handler.New(e)
	server.SetParserTokenLimit(100)
	server.Use(tooLarge{})
	transport.install(server)
	return server
}

// An answer is what came back, and what the server noted of it.
type answer struct {
	*httptest.ResponseRecorder
	outcome Outcome
}

// ask sends a request to a production server and checks what holds for every answer whatsoever.
func ask(t testing.TB, r *http.Request) answer {
	t.Helper()
	return askWith(t, Config{AllowGET: true, Introspection: true, MaxBodyBytes: 4096},
		resolvers(), r)
}

// askWith is ask with another configuration and other resolvers.
func askWith(t testing.TB, config Config, e executable, r *http.Request) answer {
	t.Helper()
	return askThrough(t, newTransport(config), e, r)
}

// askThrough is askWith for a transport that remembers persisted queries from one request to the
// next.
func askThrough(t testing.TB, transport *httpTransport, e executable, r *http.Request) answer {
	t.Helper()
	var outcomes []Outcome
	var observed context.Context
	transport.Observe = func(ctx context.Context, o Outcome) {
		outcomes, observed = append(outcomes, o), ctx
	}
	recorder := httptest.NewRecorder()
	withTransport(transport, e).ServeHTTP(recorder, r)

	if len(outcomes) != 1 {
		t.Fatalf("Observe was called %d times: %s", len(outcomes), recorder.Body)
	}
	out := outcomes[0]
	id := recorder.Header().Get("X-Request-Id")
	if len(id) != 26 || out.RequestID != id || RequestID(observed) != id {
		t.Errorf("X-Request-Id is %q, the outcome says %q, its context %q", id, out.RequestID,
			RequestID(observed))
	}
	if out.Status != recorder.Code {
		t.Errorf("status %d, the outcome says %d", recorder.Code, out.Status)
	}
	if out.Duration < 0 {
		t.Errorf("it took %s", out.Duration)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store",
		"X-Content-Type-Options": "nosniff"} {
		if got := recorder.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	empty := recorder.Code == http.StatusNoContent
	media := recorder.Header().Get("Content-Type")
	if !empty && media != "application/json; charset=utf-8" &&
		media != "application/graphql-response+json; charset=utf-8" || empty && media != "" {
		t.Errorf("status %d, Content-Type is %q", recorder.Code, media)
	}
	if (recorder.Header().Get("Allow") != "") != (empty ||
		recorder.Code == http.StatusMethodNotAllowed) {
		t.Errorf("status %d with Allow %q", recorder.Code, recorder.Header().Get("Allow"))
	}
	switch length := recorder.Header().Get("Content-Length"); {
	case empty || r.Method == http.MethodHead:
		if recorder.Body.Len() > 0 || empty != (length == "") {
			t.Errorf("%s: %d bytes of a body, Content-Length %q", r.Method, recorder.Body.Len(),
				length)
		}
	case length != strconv.Itoa(recorder.Body.Len()):
		t.Errorf("Content-Length %s, the body has %d bytes", length, recorder.Body.Len())
	default:
		checkBody(t, recorder.Body.Bytes(), out)
	}
	return answer{recorder, out}
}

// checkBody wants JSON with errors that have a message and a code, or with data, and the outcome's
// codes.
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
		t.Errorf("neither data nor errors: %s", body)
	}
	most := map[bool]int{true: maxRequestErrors, false: maxFieldErrors + 1}[content.Data == nil]
	if len(content.Errors) > most {
		t.Errorf("%d errors", len(content.Errors))
	}
	var codes []string
	for _, e := range content.Errors {
		if e.Message == "" || e.Extensions.Code == "" {
			t.Errorf("an error without words or code: %s", body)
		}
		code := strings.TrimSuffix(e.Extensions.Code+"/"+e.Extensions.Reason, "/")
		if !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	if !slices.Equal(codes, out.Codes) {
		t.Errorf("the client sees the codes %q, the outcome says %q", codes, out.Codes)
	}
}

// post makes the usual request: members of the body by name.
func post(members map[string]any) *http.Request {
	text, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return postText(string(text))
}

func postText(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	r.Header.Set("Content-Type", "application/json")
	return r
}

func postQuery(query string) *http.Request { return post(map[string]any{"query": query}) }

var errLost = errors.New("connection lost")
