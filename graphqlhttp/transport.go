package graphqlhttp

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
)

// An httpTransport serves POST, and GET for queries only, in JSON, in the place of gqlgen's own.
// It is safe for concurrent use.
type httpTransport struct {
	Config    // with its defaults
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

// An Outcome is what a log or a metric may say of a request: no variables, no headers, no query.
type Outcome struct {
	RequestID string
	// Operation is "query", "mutation", "subscription", or empty if the document wasn't read so
	// far.
	Operation string
	// Name is the operation's name, at most 64 bytes; it is empty for an anonymous one.
	Name   string
	Status int
	// Codes are CODE or CODE/REASON of each error, without repetition; CLIENT_GONE if the client
	// hung up.
	Codes []string
	// Untrusted reports whether the manifest lacks the operation, and ManifestLogOnly let it pass.
	Untrusted bool
	Duration  time.Duration
}

var _ graphql.Transport = (*httpTransport)(nil)

// Supports returns true: what isn't GraphQL over HTTP gets an error that says so.
func (*httpTransport) Supports(*http.Request) bool { return true }

// Do answers one request.
func (t *httpTransport) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	start := time.Now()
	out := Outcome{RequestID: rand.Text()}
	ctx := context.WithValue(r.Context(), requestIDKey{}, out.RequestID)
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()

	response := t.answer(w, r.WithContext(ctx), exec, &out)
	w.Header().Set("X-Request-Id", out.RequestID)
	response.write(w, r.Method)

	out.Status, out.Codes = response.status, codes(response.errs)
	out.Duration = time.Since(start)
	if errors.Is(r.Context().Err(), context.Canceled) { // the client has gone
		out.Codes = []string{"CLIENT_GONE"}
	}
	if t.Observe != nil {
		t.Observe(ctx, out)
	}
}

// answer decides on the response: it reads the request, prepares its operation and executes that.
// It notes in out which operation it was.
func (t *httpTransport) answer(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor,
	out *Outcome) (answered response) {
	t.closeIfTooLarge(w, r)
	if r.Method == http.MethodOptions { // a preflight that CORS didn't answer, or a question
		return response{status: http.StatusNoContent, allow: t.allow()}
	}
	media, ok := negotiate(r.Header["Accept"])
	if !ok {
		return media.reject(rejected(http.StatusNotAcceptable,
			"Accept must admit application/graphql-response+json or application/json"))
	}
	ctx, started := r.Context(), false
	defer func() {
		value := recover()
		switch {
		case value == nil:
		case started:
			answered = noData(media, panicked(ctx, exec, value))
		default:
			answered = media.reject(&rejection{status: http.StatusInternalServerError,
				errs: gqlerror.List{panicked(ctx, exec, value)}})
		}
	}()
	params, refusal := t.read(w, r)
	if refusal != nil {
		return media.reject(refusal)
	}
	operation, refusal := t.prepare(ctx, exec, params, out)
	if refusal != nil {
		return media.reject(refusal)
	}
	if refusal := t.methodAllows(r.Method, operation); refusal != nil {
		return media.reject(refusal)
	}
	t.documents.remember(operation)
	started = true
	next, ctx := exec.DispatchOperation(ctx, operation.OperationContext)
	if result := next(ctx); result != nil {
		return succeeded(media, result, &operation.locator, t.MaxResponseBytes)
	}
	// gqlgen gives no response at all once the context has ended.
	return media.reject(&rejection{
		errs: gqlerror.List{apierror.New(apierror.CodeTimeout, "", messageOutOfTime)}})
}

// panicked returns what a client sees of a panic outside a field; inside one, gqlgen recovers by
// itself. The server's own hooks log and word it. gqlgen's handler would call them too, but without
// the request's id, and its answer has no media type.
func panicked(ctx context.Context, exec graphql.GraphExecutor, value any) *gqlerror.Error {
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

type requestIDKey struct{}

// RequestID returns the id of the request that ctx belongs to: 26 characters that a client finds in
// the response header X-Request-Id and an operator in the log.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
