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
)

// A Transport serves POST, and GET for queries alone, in JSON. It is safe for concurrent use.
type Transport struct {
	// MaxBodyBytes bounds the body of a POST; a longer one is answered 413. Zero is 64 KiB.
	MaxBodyBytes int64

	// Timeout bounds the execution of one request: when it has passed, the context of the resolvers ends,
	// and what hasn't begun fails with the code TIMEOUT. A resolver that doesn't mind its context is waited
	// for, and its result shown. Slow senders and readers are for the http.Server to cut off. Zero is 15 s.
	Timeout time.Duration

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
	response.write(w)

	out.Status, out.Codes, out.Duration = response.status, response.codes(), time.Since(start)
	if errors.Is(r.Context().Err(), context.Canceled) { // nobody has read the answer
		out.Codes = []string{"CLIENT_GONE"}
	}
	if t.Observe != nil {
		t.Observe(ctx, out)
	}
}

// answer decides on the response. It notes in out which operation it was.
func (t Transport) answer(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor, out *Outcome) (answered response) {
	media, ok := negotiate(r.Header.Values("Accept"))
	if !ok {
		return refuse(media, http.StatusNotAcceptable, badRequest("Accept must admit application/graphql-response+json or application/json"))
	}
	ctx, began := r.Context(), false
	defer func() {
		value := recover()
		switch {
		case value == nil:
		case began:
			answered = executed(media, &graphql.Response{Errors: gqlerror.List{panicked(ctx, exec, value)}})
		default:
			answered = refuse(media, http.StatusInternalServerError, panicked(ctx, exec, value))
		}
	}()
	params, status, fault := t.read(w, r)
	if fault != nil {
		if status == 0 {
			status = media.requestErrorStatus()
		}
		response := refuse(media, status, fault)
		if status == http.StatusMethodNotAllowed {
			response.allow = allowAll
		}
		return response
	}
	operation, errs := exec.CreateOperationContext(ctx, params)
	if operation.Operation != nil {
		out.Operation, out.Name = string(operation.Operation.Operation), cut(operation.Operation.Name)
	}
	if len(errs) > 0 {
		return refuse(media, media.requestErrorStatus(), requestErrors(operation, errs)...)
	}
	if operation.Operation.Operation == ast.Subscription {
		return refuse(media, media.requestErrorStatus(), badRequest("Subscriptions are not served over this transport"))
	}
	if r.Method != http.MethodPost && operation.Operation.Operation != ast.Query {
		response := refuse(media, http.StatusMethodNotAllowed, badRequest("GET is for queries: send a "+out.Operation+" with POST"))
		response.allow = http.MethodPost
		return response
	}
	began = true
	next, ctx := exec.DispatchOperation(ctx, operation)
	if result := next(ctx); result != nil {
		return executed(media, result)
	}
	// gqlgen gives no response at all once the context has ended.
	return refuse(media, media.requestErrorStatus(), coded("TIMEOUT", "", "The request took too long"))
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
	return coded("INTERNAL_SERVER_ERROR", "", "Internal error")
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

type requestIDKey struct{}

// RequestID returns the id of the request that ctx belongs to: 26 characters that a client finds in
// the response header X-Request-Id and an operator in the log.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// coded makes an error in the one shape that clients see.
func coded(code, reason, message string) *gqlerror.Error {
	extensions := map[string]any{"code": code}
	if reason != "" {
		extensions["reason"] = reason
	}
	return &gqlerror.Error{Message: message, Extensions: extensions}
}

func badRequest(message string) *gqlerror.Error { return coded("BAD_REQUEST", "", message) }
