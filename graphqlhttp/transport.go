package graphqlhttp

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
)

// An httpTransport serves POST, and GET for queries, in place of gqlgen's transports. It is safe
// for concurrent use.
type httpTransport struct {
	Config    // with defaults filled in
	documents documentPolicy
}

func newTransport(config Config) *httpTransport {
	config.MaxBodyBytes = cmp.Or(config.MaxBodyBytes, DefaultMaxBodyBytes)
	config.MaxNesting = cmp.Or(config.MaxNesting, DefaultMaxNesting)
	config.MaxValues = cmp.Or(config.MaxValues, DefaultMaxValues)
	config.MaxResponseBytes = cmp.Or(config.MaxResponseBytes, DefaultMaxResponseBytes)
	config.Timeout = cmp.Or(config.Timeout, DefaultTimeout)
	return &httpTransport{Config: config, documents: newDocumentPolicy(config)}
}

// An Outcome describes a finished request for logs and metrics. It has no variables, headers or
// query text.
type Outcome struct {
	RequestID string
	// Operation is "query", "mutation" or "subscription", or empty if the request failed before its
	// operation was found.
	Operation string
	// Name is the operation's name, truncated to 64 bytes, or empty if it has none.
	Name   string
	Status int
	// Codes has the distinct error codes, each as CODE or CODE/REASON. It is just CLIENT_GONE if
	// the client disconnected.
	Codes []string
	// Untrusted is true if the operation isn't in the manifest, and was allowed only because of
	// ManifestLogOnly.
	Untrusted bool
	Duration  time.Duration
}

var _ graphql.Transport = (*httpTransport)(nil)

// Supports returns true for every request, so that Do responds to unsupported requests too.
func (*httpTransport) Supports(*http.Request) bool { return true }

// Do serves one request.
func (t *httpTransport) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	start := time.Now()
	outcome := Outcome{RequestID: rand.Text()}
	ctx := context.WithValue(r.Context(), requestKey{}, &request{id: outcome.RequestID})
	response := t.respond(ctx, w, r, exec, &outcome)
	w.Header().Set("X-Request-Id", outcome.RequestID)
	response.write(w, r.Method)

	outcome.Status, outcome.Codes = response.status, distinctCodes(response.errs)
	outcome.Duration = time.Since(start)
	if errors.Is(r.Context().Err(), context.Canceled) { // the client disconnected
		outcome.Codes = []string{"CLIENT_GONE"}
	}
	if t.Observe != nil {
		t.Observe(ctx, outcome)
	}
}

// respond reads the request, prepares its operation and executes it. It records the operation in
// outcome.
func (t *httpTransport) respond(ctx context.Context, w http.ResponseWriter, r *http.Request,
	exec graphql.GraphExecutor, outcome *Outcome) (resp response) {
	t.closeIfTooLarge(w, r)
	if r.Method == http.MethodOptions { // also a CORS preflight, if no middleware handles it
		return response{status: http.StatusNoContent, allow: t.allowHeader()}
	}
	media, ok := negotiate(r.Header["Accept"])
	if !ok {
		return rejectionResponse(media, newRejection(http.StatusNotAcceptable,
			"Accept must admit application/graphql-response+json or application/json"))
	}
	executing := false
	defer func() {
		value := recover()
		switch {
		case value == nil:
		case executing:
			resp = executionErrorResponse(media, panicError(ctx, exec, value))
		default:
			resp = rejectionResponse(media, &rejection{status: http.StatusInternalServerError,
				errs: gqlerror.List{panicError(ctx, exec, value)}})
		}
	}()
	text, rej := t.readText(w, r)
	if rej != nil {
		return rejectionResponse(media, rej)
	}
	store := t.Answers.store(ctx)
	if resp, ok := keptResponse(store, text, media, outcome); ok {
		return resp
	}
	params, rej := t.parseText(r, text)
	if rej != nil {
		return rejectionResponse(media, rej)
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	operation, rej := t.prepare(ctx, exec, params, outcome)
	if rej != nil {
		return rejectionResponse(media, rej)
	}
	if rej := t.checkMethod(r.Method, operation); rej != nil {
		return rejectionResponse(media, rej)
	}
	t.documents.remember(ctx, operation)
	executing = true
	next, ctx := exec.DispatchOperation(ctx, operation.OperationContext)
	if result := next(ctx); result != nil {
		resp := resultResponse(media, result, &operation.locator, t.MaxResponseBytes)
		t.Answers.keep(store, text, operation, result, resp, outcome)
		return resp
	}
	// gqlgen returns no response once the context is done.
	return rejectionResponse(media, &rejection{
		errs: gqlerror.List{apierror.New(apierror.CodeTimeout, "", messageTimeout)}})
}

// panicError returns the error for a panic outside of a field; gqlgen itself recovers from panics
// in fields. It calls the server's recover function and error presenter. gqlgen's handler would
// recover too, but without the request ID and the negotiated media type.
func panicError(ctx context.Context, exec graphql.GraphExecutor, value any) *gqlerror.Error {
	presenter, ok := exec.(interface {
		PresentRecoveredError(context.Context, any) error
	})
	if ok {
		err := presenter.PresentRecoveredError(ctx, value)
		if presented, ok := errors.AsType[*gqlerror.Error](err); ok {
			return presented
		}
	}
	return apierror.New(apierror.CodeInternalServerError, "", messageInternal)
}

type requestKey struct{}

// A request is what the hooks of an operation know of its request.
type request struct {
	id          string
	fieldErrors atomic.Int32 // how many errors its fields have
}

// RequestID returns the id of the request that ctx belongs to, or "" if there is none. The id has
// 26 characters, and is sent in the response header X-Request-Id.
func RequestID(ctx context.Context) string {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r.id
	}
	return ""
}
