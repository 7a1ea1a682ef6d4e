package graphqlhttp

import (
	"cmp"
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

// An httpTransport serves POST, and GET for queries only, in JSON, in the place of gqlgen's own. It is safe for
// concurrent use.
type httpTransport struct {
	Config                          // with its defaults
	persistedQueries *documentStore // nil when they are off
}

func newTransport(config Config) *httpTransport {
	config.MaxBodyBytes = cmp.Or(config.MaxBodyBytes, DefaultMaxBodyBytes)
	config.MaxNesting = cmp.Or(config.MaxNesting, DefaultMaxNesting)
	config.MaxValues = cmp.Or(config.MaxValues, DefaultMaxValues)
	config.MaxResponseBytes = cmp.Or(config.MaxResponseBytes, DefaultMaxResponseBytes)
	config.Timeout = cmp.Or(config.Timeout, DefaultTimeout)
	t := &httpTransport{Config: config}
	if config.PersistedQueryBytes > 0 {
		t.persistedQueries = newDocumentStore(config.PersistedQueryBytes)
	}
	return t
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

var _ graphql.Transport = (*httpTransport)(nil)

// Supports returns true: what isn't GraphQL over HTTP gets an error that says so.
func (*httpTransport) Supports(*http.Request) bool { return true }

// Do answers one request.
func (t *httpTransport) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	start := time.Now()
	out := Outcome{RequestID: rand.Text()}
	ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), requestIDKey{}, out.RequestID), t.Timeout)
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
func (t *httpTransport) answer(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor, out *Outcome) (answered response) {
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
	operation, errs := parse(ctx, exec, params)
	locator := language.Locator{Document: document, Parsed: params.Query}
	if operation.Operation != nil {
		out.Operation, out.Name = string(operation.Operation.Operation), cut(operation.Operation.Name)
	}
	if len(errs) > 0 {
		return refuse(media, media.requestErrorStatus(),
			t.requestErrors(operation, errs, &locator)...)
	}
	if fault := language.Misread(params.Query); fault != nil { // half of a surrogate pair, in a server without limits
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
		t.persistedQueries.put(*found.keep, document)
	}
	began = true
	next, ctx := exec.DispatchOperation(ctx, operation)
	if result := next(ctx); result != nil {
		return executed(media, result, &locator, t.MaxResponseBytes)
	}
	// gqlgen gives no response at all once the context has ended.
	return refuse(media, media.requestErrorStatus(), apierror.New(apierror.CodeTimeout, "", messageOutOfTime))
}

// parse has gqlgen parse and validate a document. Where gqlparser would refuse or misread a document that is
// valid GraphQL, it is rewritten, unless an extension has done so: limits must count what the client sent,
// whether it was installed before this transport or after it.
func parse(ctx context.Context, exec graphql.GraphExecutor, params *graphql.RawParams) (*graphql.OperationContext, gqlerror.List) {
	operation, errs := exec.CreateOperationContext(ctx, params)
	if len(errs) > 0 && (errs[0].Extensions["code"] != string(apierror.CodeParseFailed) || language.IsLocated(errs[0])) {
		return operation, errs
	}
	if rewritten := language.Rewrite(params.Query); rewritten != params.Query {
		params.Query = rewritten
		return exec.CreateOperationContext(ctx, params)
	}
	return operation, errs
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

func (t *httpTransport) jsonLimits() strictjson.Limits {
	return strictjson.Limits{Depth: t.MaxNesting, Values: t.MaxValues}
}

type requestIDKey struct{}

// RequestID returns the id of the request that ctx belongs to: 26 characters that a client finds in
// the response header X-Request-Id and an operator in the log.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
