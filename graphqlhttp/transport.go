package graphqlhttp

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
	"github.com/cloakql/cloakql/internal/strictjson"
)

// A Transport serves POST, and GET for queries alone, in JSON. Its zero value is ready, and strict. It is safe
// for concurrent use.
type Transport struct {
	// MaxBodyBytes bounds the body of a POST, and the query string of a GET; a longer one is answered 413, and
	// not read where its Content-Length tells. Zero is 64 KiB.
	MaxBodyBytes int64

	// MaxNesting bounds how many lists and objects are open at once in the JSON of a request, its own braces
	// included. Zero is 64; more than 1,000 is 1,000, since the reader is recursive.
	MaxNesting int

	// MaxValues bounds how many values the JSON of a request has, nested ones and what holds them counted too: each
	// costs many times its text. Zero is 2,000.
	MaxValues int

	// MaxResponseBytes bounds the body of a response: a longer one is left out, and the request fails with the
	// code RESPONSE_TOO_LARGE, at 200 since it ran. gqlgen has the data whole in memory by then, once; it isn't
	// copied. Zero is 4 MiB.
	MaxResponseBytes int64

	// Timeout bounds the execution of one request: when it has passed, the context of the resolvers ends,
	// and what hasn't begun fails with the code TIMEOUT. A resolver that doesn't mind its context is waited
	// for, and its result shown. Slow senders and readers are for the http.Server to cut off. Zero is 15 s.
	Timeout time.Duration

	// DisableGET answers GET and HEAD with 405.
	DisableGET bool

	// HideSchema keeps names of the schema out of the errors of validation, for where introspection is off: an
	// error then says where a document is wrong, not that the type of that field is called Person. Give the server
	// RulesWithoutSuggestions too, which counts for other transports as well.
	HideSchema bool

	// Documents, if set, turns Apollo's automatic persisted queries on: a client sends the SHA-256 of a query
	// instead of its text, and the text when the answer is PERSISTED_QUERY_NOT_FOUND. Without it the answer is
	// PERSISTED_QUERY_NOT_SUPPORTED, after which Apollo Client doesn't ask again.
	Documents *DocumentStore

	// Manifest, if set, is what may run: an operation must be named by an id of the manifest in
	// extensions.persistedQuery.sha256Hash, or its text be one of the manifest's, byte for byte. All else fails with
	// the code OPERATION_NOT_ALLOWED, unparsed.
	Manifest *Manifest

	// ManifestLogOnly runs the others too, and tells Observe: for the time until every client is in the manifest.
	ManifestLogOnly bool

	// Observe, if set, is called once for each request after it was answered. It must not block.
	Observe func(context.Context, Outcome)
}

// An Outcome is what a log or a metric may say of a request: no variables, no headers, no query.
type Outcome struct {
	RequestID string
	Operation string // "query", "mutation", "subscription", or empty when the document didn't get that far
	Name      string // the operation's name, at most 64 bytes; empty for an anonymous one
	Status    int
	Codes     []string // CODE or CODE/REASON of each error, without repetition; CLIENT_GONE when the client hung up
	Untrusted bool     // the manifest doesn't hold the operation, and ManifestLogOnly let it pass
	Duration  time.Duration
}

var _ graphql.Transport = Transport{}

// Supports returns true: what isn't GraphQL over HTTP gets an error that says so.
func (Transport) Supports(*http.Request) bool { return true }

// Do answers one request.
func (t Transport) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	start := time.Now()
	out := Outcome{RequestID: rand.Text()}
	ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), requestIDKey{}, out.RequestID), t.timeout())
	defer cancel()

	response := t.answer(w, r.WithContext(ctx), exec, &out)
	w.Header().Set("X-Request-Id", out.RequestID)
	response.write(w, r.Method)

	out.Status, out.Codes, out.Duration = response.status, codes(response.errs), time.Since(start)
	if errors.Is(r.Context().Err(), context.Canceled) { // nobody has read the answer
		out.Codes = []string{"CLIENT_GONE"}
	}
	if t.Observe != nil {
		t.Observe(ctx, out)
	}
}

// answer decides on the response. It notes in out which operation it was.
func (t Transport) answer(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor, out *Outcome) (answered response) {
	t.closeUnread(w, r)
	if r.Method == http.MethodOptions { // a preflight that CORS didn't answer, or someone who asks what is served
		return response{status: http.StatusNoContent, allow: t.allow()}
	}
	media, ok := negotiate(r.Header["Accept"])
	if !ok {
		return refuse(media, http.StatusNotAcceptable, badRequest("Accept must admit application/graphql-response+json or application/json"))
	}
	ctx, began := r.Context(), false
	defer func() {
		value := recover()
		switch {
		case value == nil:
		case began:
			answered = nothing(media, panicked(ctx, exec, value))
		default:
			answered = refuse(media, http.StatusInternalServerError, panicked(ctx, exec, value))
		}
	}()
	params, status, fault := t.read(w, r)
	var found persisted
	if fault == nil {
		found, status, fault = t.resolve(params)
	}
	if fault != nil {
		if status == 0 {
			status = media.requestErrorStatus()
		}
		response := refuse(media, status, fault)
		if status == http.StatusMethodNotAllowed {
			response.allow = t.allow()
		}
		return response
	}
	out.Untrusted = found.untrusted
	document := params.Query // an extension may rewrite it
	operation, errs := exec.CreateOperationContext(ctx, params)
	locator := language.Locator{Document: document, Parsed: params.Query}
	if operation.Operation != nil {
		out.Operation, out.Name = string(operation.Operation.Operation), cut(operation.Operation.Name)
	}
	if len(errs) > 0 {
		return refuse(media, media.requestErrorStatus(),
			t.requestErrors(operation, errs, &locator)...)
	}
	if fault := language.Misread(params.Query); fault != nil { // nothing that rewrites it was installed
		return refuse(media, media.requestErrorStatus(), fault)
	}
	if fault := unserved(operation); fault != nil {
		fault.Locations = locations(fault, &locator)
		return refuse(media, media.requestErrorStatus(), fault)
	}
	if r.Method != http.MethodPost && operation.Operation.Operation != ast.Query {
		response := refuse(media, http.StatusMethodNotAllowed, badRequest("GET is for queries: send a "+out.Operation+" with POST"))
		response.allow = http.MethodPost
		return response
	}
	if found.keep != nil && !holdsValues(operation.Doc) { // and no sooner: it is a valid document
		t.Documents.put(*found.keep, document)
	}
	began = true
	next, ctx := exec.DispatchOperation(ctx, operation)
	if result := next(ctx); result != nil {
		return executed(media, result, &locator, t.maxResponseBytes())
	}
	// gqlgen gives no response at all once the context has ended.
	return refuse(media, media.requestErrorStatus(), apierror.New(apierror.CodeTimeout, "", messageOutOfTime))
}

// unserved says why a valid operation can't be answered with one response.
func unserved(operation *graphql.OperationContext) *gqlerror.Error {
	if operation.Operation.Operation == ast.Subscription {
		return badRequest("Subscriptions are not served over this transport")
	}
	var fault *gqlerror.Error
	inspect(operation.Operation, visitor{directive: func(directive *ast.Directive) {
		// gqlgen gives what is deferred in further responses, and of a mutation never.
		if directive.Name == "defer" && fault == nil && directive.ArgumentMap(operation.Variables)["if"] != false {
			fault = at(directive.Position, badRequest("@defer is not served: ask for the fields without it"))
		}
	}})
	return fault
}

// panicked is what a client sees of a panic outside a field; inside one, gqlgen recovers by itself. The
// server's own hooks log it and word it. gqlgen's handler would call them too, but without the request's
// id, and its answer has no media type.
func panicked(ctx context.Context, exec graphql.GraphExecutor, value any) *gqlerror.Error {
	presenter, ok := exec.(interface {
		PresentRecoveredError(context.Context, any) error
	})
	if ok {
		if fault, ok := errors.AsType[*gqlerror.Error](presenter.PresentRecoveredError(ctx, value)); ok {
			return fault
		}
	}
	return apierror.New(apierror.CodeInternalServerError, "", messageInternal)
}

func (t Transport) timeout() time.Duration {
	if t.Timeout > 0 {
		return t.Timeout
	}
	return 15 * time.Second
}

func (t Transport) maxBodyBytes() int64 {
	if t.MaxBodyBytes > 0 {
		return t.MaxBodyBytes
	}
	return 64 << 10
}

func (t Transport) jsonLimits() strictjson.Limits {
	limits := strictjson.Limits{Depth: 64, Values: 2000}
	if t.MaxNesting > 0 {
		limits.Depth = min(t.MaxNesting, 1000)
	}
	if t.MaxValues > 0 {
		limits.Values = t.MaxValues
	}
	return limits
}

func (t Transport) maxResponseBytes() int64 {
	if t.MaxResponseBytes > 0 {
		return t.MaxResponseBytes
	}
	return 4 << 20
}

type requestIDKey struct{}

// RequestID returns the id of the request that ctx belongs to: 26 characters that a client finds in
// the response header X-Request-Id and an operator in the log.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
