package cloakql_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/graph"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/strictjson"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
	"github.com/cloakql/cloakql/limits"
	"github.com/cloakql/cloakql/settings"
	"github.com/cloakql/cloakql/signin"
	"github.com/cloakql/cloakql/throttle"
)

const (
	meQuery = `{ me { id username email realmRoles groups } }`
	meBody  = `{"query":"` + meQuery + `"}`
)

// BenchmarkStages measures the request meBody in a Server's handler without a network ("whole"),
// and its stages. The stages without a slash in their names add up to the whole; the others are
// parts or variants of these stages. docs/performance.md has the results.
func BenchmarkStages(b *testing.B) {
	for _, stage := range newStages(b) {
		b.Run(stage.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := stage.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A stage runs a part of the handling of the request meBody once. It returns an error if the result
// is wrong.
type stage struct {
	name string
	run  func() error
}

// newStages returns the stages and the whole handler, with the settings of a production server.
func newStages(tb testing.TB) []stage {
	tb.Helper()
	s := newStageSetup(tb)
	answerConfig := s.config
	answerConfig.DisableAnswerCache = false
	return []stage{
		{"middleware", s.middleware()},
		{"middleware/cached token", s.token(0)},
		{"middleware/uncached token", s.token(-1)},
		{"graphqlhttp", s.graphQLHTTP()},
		{"graphqlhttp/decode", s.decode()},
		{"graphqlhttp/document", s.document()},
		{"execute", s.execute()},
		{"log", s.logLine()},
		{"whole", s.whole(s.config)},
		{"whole/kept answer", s.whole(answerConfig)},
	}
}

// A stageSetup has what the stages need.
type stageSetup struct {
	tb     testing.TB
	config cloakql.Config
	header http.Header // of the request, with a valid token
	user   *identity.User
	schema graphql.ExecutableSchema
}

func newStageSetup(tb testing.TB) *stageSetup {
	tb.Helper()
	kc := newFakeKeycloak(tb, clientSecret)
	s := &stageSetup{tb: tb, config: testConfig(tb, withKeycloak(kc), "RUNTIME_ENV=prod"),
		header: http.Header{"Content-Type": {"application/json"},
			"Authorization": {bearer(tb, kc, keycloaktest.TokenSpec{})}}}
	// The log handlers are the same as in the commands, except that the output is discarded.
	s.config.Log = slog.New(settings.TranslateLog(slog.NewJSONHandler(io.Discard, nil)))
	s.config.Keys.Log = s.config.Log
	s.config.Tokens.Issuers = []keycloak.Issuer{
		{Keys: keycloak.NewKeySet(s.config.Realm, s.config.Keys)}}
	s.config.Tokens.Audience = []string{s.config.Client.ClientID}
	s.config.DisableAnswerCache = true

	limiter := must(throttle.New(s.config.Attempts))
	realm := realmFunc(func(context.Context) error { return errors.New("not called") })
	s.schema = must(graph.NewSchema(&graph.Resolver{SignIn: must(signin.New(realm, limiter))}))
	next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.user = must(identity.Require(r.Context()))
	})
	verifier := must(keycloak.NewVerifier(s.config.Tokens))
	newSender(keycloak.Middleware(verifier, s.config.Log)(next), s.header)()
	return s
}

// whole runs the handler of a Server.
func (s *stageSetup) whole(config cloakql.Config) func() error {
	send := newSender(newServer(s.tb, config).Handler(), s.header)
	return func() error { return send().checkMe() }
}

// middleware runs the parts of a Server's handler that are independent of GraphQL: CORS, the host
// name check, the router, the client's address, and the verification of a cached token.
func (s *stageSetup) middleware() func() error {
	config := s.config
	var err error
	config.HTTP.Middleware = func(http.Handler) http.Handler { return requireUser(&err) }
	send := newSender(newServer(s.tb, config).Handler(), s.header)
	return func() error { err = errNotCalled; send(); return err }
}

// token verifies the bearer token and stores the user in the request's context.
func (s *stageSetup) token(cacheBytes int) func() error {
	config := s.config.Tokens
	config.CacheBytes = cacheBytes
	verifier := must(keycloak.NewVerifier(config))
	var err error
	send := newSender(keycloak.Middleware(verifier, s.config.Log)(requireUser(&err)), s.header)
	return func() error { err = errNotCalled; send(); return err }
}

var errNotCalled = errors.New("the middleware didn't call the handler")

// requireUser returns a handler that stores the error of identity.Require in err.
func requireUser(err *error) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { _, *err = identity.Require(r.Context()) }
}

// graphQLHTTP runs the GraphQL handler with a prepared result instead of executing the operation.
// In addition to decode and document, it reads the body, and encodes and writes the response.
func (s *stageSetup) graphQLHTTP() func() error {
	operation, exec := s.newOperation()
	result := dispatch(s.newContext(), exec, operation)
	respond := func(context.Context) *graphql.Response { return result }
	server := s.newGraphQL()
	server.AroundOperations(
		func(context.Context, graphql.OperationHandler) graphql.ResponseHandler { return respond })
	send := newSender(server, s.header)
	return func() error { return send().checkMe() }
}

// decode decodes the body of the request.
func (s *stageSetup) decode() func() error {
	body := []byte(meBody)
	limits := strictjson.Limits{Depth: graphqlhttp.DefaultMaxNesting,
		Values: graphqlhttp.DefaultMaxValues}
	return func() error {
		value, err := strictjson.Decode(body, limits)
		if fields, _ := value.(map[string]any); err == nil && fields["query"] != meQuery {
			err = errors.New("the decoded body doesn't have the query")
		}
		return err
	}
}

// document checks the limits and finds the document in the cache.
func (s *stageSetup) document() func() error {
	exec := s.executor(s.newGraphQL())
	ctx := s.newContext()
	return func() error {
		operation, errs := exec.CreateOperationContext(ctx,
			&graphql.RawParams{Query: meQuery, Headers: s.header})
		if len(errs) > 0 {
			return errs
		}
		if operation.Operation == nil {
			return errors.New("the document has no operation")
		}
		return nil
	}
}

// execute runs the operation, with its access rules.
func (s *stageSetup) execute() func() error {
	operation, exec := s.newOperation()
	ctx := s.newContext()
	return func() error {
		// Each request has an OperationContext of its own, whose cache is empty.
		result := dispatch(ctx, exec, &graphql.OperationContext{
			RawQuery: operation.RawQuery, Variables: operation.Variables, Doc: operation.Doc,
			Headers: operation.Headers, Operation: operation.Operation,
			DisableIntrospection: operation.DisableIntrospection,
			RecoverFunc:          operation.RecoverFunc, Stats: operation.Stats,
			ResolverMiddleware:     operation.ResolverMiddleware,
			RootResolverMiddleware: operation.RootResolverMiddleware,
		})
		if result == nil || len(result.Errors) > 0 ||
			!bytes.HasPrefix(result.Data, []byte(`{"me":{"id":"`)) {
			return errors.New("the result of the operation isn't the user")
		}
		return nil
	}
}

// logLine writes the log line of a request.
func (s *stageSetup) logLine() func() error {
	var lines bytes.Buffer
	log := slog.New(settings.TranslateLog(slog.NewJSONHandler(&lines, nil)))
	observe := cloakql.LogRequest(log)
	outcome := graphqlhttp.Outcome{RequestID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", Operation: "query",
		Status: http.StatusOK, Duration: 42 * time.Microsecond}
	return func() error {
		lines.Reset()
		observe(s.tb.Context(), outcome)
		if !bytes.HasSuffix(lines.Bytes(), []byte("}\n")) {
			return errors.New("there is no log line")
		}
		return nil
	}
}

// newGraphQL returns the GraphQL handler of a Server, without a log.
func (s *stageSetup) newGraphQL() *handler.Server {
	server := handler.New(s.schema)
	config := s.config.GraphQL
	config.Errors = &apierror.Presenter{Log: s.config.Log}
	server.AddTransport(executorTransport{})
	if err := errors.Join(limits.Install(server, s.config.Limits),
		graphqlhttp.Install(server, config)); err != nil {
		s.tb.Fatal(err)
	}
	return server
}

// newContext returns the context of a request with a valid token.
func (s *stageSetup) newContext() context.Context {
	return graphql.StartOperationTrace(identity.NewContext(s.tb.Context(), s.user, nil))
}

// newOperation returns the operation of the request, and the executor that can run it.
func (s *stageSetup) newOperation() (*graphql.OperationContext, graphql.GraphExecutor) {
	exec := s.executor(s.newGraphQL())
	operation, errs := exec.CreateOperationContext(s.newContext(),
		&graphql.RawParams{Query: meQuery, Headers: s.header})
	if len(errs) > 0 {
		s.tb.Fatal(errs)
	}
	return operation, exec
}

// dispatch runs an operation and returns its result.
func dispatch(ctx context.Context, exec graphql.GraphExecutor,
	operation *graphql.OperationContext) *graphql.Response {
	next, ctx := exec.DispatchOperation(ctx, operation)
	return next(ctx)
}

// executor returns the executor of a server made by newGraphQL. gqlgen gives it only to transports.
func (s *stageSetup) executor(server *handler.Server) (exec graphql.GraphExecutor) {
	ctx := context.WithValue(s.tb.Context(), executorKey{}, &exec)
	server.ServeHTTP(nil, httptest.NewRequestWithContext(ctx, "EXECUTOR", "/", nil))
	return exec
}

// An executorTransport serves requests with the method EXECUTOR: it stores the server's executor in
// the *graphql.GraphExecutor that the context has.
type executorTransport struct{}

type executorKey struct{}

func (executorTransport) Supports(r *http.Request) bool { return r.Method == "EXECUTOR" }

func (executorTransport) Do(_ http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	*r.Context().Value(executorKey{}).(*graphql.GraphExecutor) = exec
}

// newSender returns a function that sends the request meBody to a handler and returns the response,
// which is valid until the next call. All calls share one request and one response, so that making
// them isn't measured.
func newSender(h http.Handler, header http.Header) func() *reusedResponse {
	body := strings.NewReader(meBody)
	request := httptest.NewRequest(http.MethodPost, "/graphql", nil)
	request.Header, request.Body = header, io.NopCloser(body)
	request.ContentLength = int64(len(meBody))
	response := &reusedResponse{header: http.Header{}}
	return func() *reusedResponse {
		body.Reset(meBody)
		clear(response.header)
		response.status, response.body = 0, response.body[:0]
		h.ServeHTTP(response, request)
		return response
	}
}

// A reusedResponse is an http.ResponseWriter that is reused for one request after another.
type reusedResponse struct {
	header http.Header
	status int
	body   []byte
}

func (r *reusedResponse) Header() http.Header              { return r.header }
func (r *reusedResponse) WriteHeader(status int)           { r.status = status }
func (r *reusedResponse) SetWriteDeadline(time.Time) error { return nil }

func (r *reusedResponse) Write(p []byte) (int, error) {
	r.body = append(r.body, p...)
	return len(p), nil
}

// checkMe returns an error unless the response has the user.
func (r *reusedResponse) checkMe() error {
	if r.status != http.StatusOK || !bytes.HasPrefix(r.body, []byte(`{"data":{"me":{"id":"`)) {
		return fmt.Errorf("the response is %d %s, want 200 with the user", r.status, r.body)
	}
	return nil
}
