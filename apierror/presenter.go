package apierror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/identity"
)

// A Presenter turns the errors of fields into the errors that clients see. Its methods are hooks
// for gqlgen:
//
//	server.SetErrorPresenter(presenter.Present)
//	server.SetRecoverFunc(presenter.Recover)
//
// The zero value and a nil Presenter work: they have CloakQL's rows, log to slog.Default(), and
// show no detail. A Presenter is safe for concurrent use, as long as its fields don't change.
type Presenter struct {
	// Rows are the application's own rows. They are tried in this order, before CloakQL's rows: if
	// an error wraps both an application's error and one of CloakQL's, the application's is more
	// specific. A row can't replace a row of CloakQL's. A row that Validate rejects isn't used: its
	// error is logged and hidden, like any error without a row.
	Rows []Row

	Log *slog.Logger // slog.Default() if nil

	// Detail adds extensions.detail, which explains why a token was rejected, which argument of
	// login, refresh or logout is malformed, or what is wrong with a document. Set it only on a
	// developer's machine: details name issuers, audiences and types, and repeat what the client
	// sent.
	Detail bool

	// RequestID returns the request's ID in the log. Internal errors show it as
	// extensions.requestId, so that people can quote it. If nil, there is no ID.
	RequestID func(context.Context) string
}

// Validate returns an error that lists everything wrong with Rows. Call it when you build the
// server.
func (p *Presenter) Validate() error { return validate(p.orZero().Rows) }

// Present is an error presenter for gqlgen. ctx is the context of the field that failed or, with
// gqlgen's own transports, of the request that was rejected.
func (p *Presenter) Present(ctx context.Context, err error) *gqlerror.Error {
	p = p.orZero()
	public := &gqlerror.Error{Path: graphql.GetPath(ctx)}
	// gqlgen wraps a resolver's error, to add its location in the document.
	rejected, ok := errors.AsType[*gqlerror.Error](err)
	if located := rejected; ok {
		public.Locations = located.Locations
		if located.Path != nil {
			public.Path = located.Path
		}
		if located.Err != nil {
			err = located.Err
		}
	}
	switch {
	case introspectionFailed(ctx):
		err = errIntrospection
	case argumentsFailed(ctx): // the generated code's message repeats the value
		err = identity.ErrBadInput
		public.Path = graphql.GetFieldContext(ctx).Path() // the path of the field
	}
	row, ok := p.rowOf(ctx, err)
	if !ok && isRequestError(ctx, rejected) {
		return p.requestError(rejected)
	}
	if !ok {
		return p.internal(ctx, err, public)
	}
	if row.Level != 0 {
		p.log().Log(ctx, row.Level, "field failed", "path", pathOf(public), "code", row.Code,
			"error", err, detailOf(err), "requestId", p.requestID(ctx))
	}
	rowErr := New(row.Code, row.Reason, row.Message)
	public.Message, public.Extensions = rowErr.Message, rowErr.Extensions
	if detail := publicDetail(row, err); detail != "" && p.Detail {
		public.Extensions["detail"] = detail
	}
	if limited, ok := errors.AsType[*identity.RateLimitError](err); ok &&
		row.Code == CodeRateLimited {
		public.Extensions["retryAfter"] = ceilSeconds(limited.RetryAfter)
	}
	return public
}

// isRequestError reports whether gqlgen, one of its transports or an extension made err before any
// field ran: ctx has no field, and err wraps nothing, or has a code.
func isRequestError(ctx context.Context, err *gqlerror.Error) bool {
	return err != nil && graphql.GetFieldContext(ctx) == nil &&
		(err.Err == nil || err.Extensions["code"] != nil)
}

// requestError returns what a client sees of a request that was rejected before any field ran. Only
// gqlgen's own transports present such errors. The messages of gqlgen and gqlparser repeat parts of
// the body, the document or the variables, passwords included, so they are replaced and not logged.
// Extensions such as package limits choose their own code and message, which stay.
func (p *Presenter) requestError(err *gqlerror.Error) *gqlerror.Error {
	text, _ := err.Extensions["code"].(string)
	var public *gqlerror.Error
	switch code := Code(text); code {
	case "":
		public = New(CodeBadRequest, "", "The request is malformed")
	case CodeParseFailed:
		public = New(code, "", "Syntax error")
	case CodeValidationFailed:
		public = New(code, "", "The document or its variables don't fit the schema")
	default:
		return &gqlerror.Error{Message: err.Message, Locations: err.Locations,
			Extensions: err.Extensions}
	}
	if p.Detail {
		public.Extensions["detail"] = err.Message
	}
	public.Locations = err.Locations
	return public
}

// internal logs an error that has no row, and completes public as an internal error, which hides
// err.
func (p *Presenter) internal(ctx context.Context, err error,
	public *gqlerror.Error) *gqlerror.Error {
	id := p.requestID(ctx)
	switch {
	case errors.Is(err, errPanic): // Recover has logged it, with its stack
	case errors.Is(err, context.Canceled): // the client has disconnected
	default:
		p.log().ErrorContext(ctx, "field failed", "path", pathOf(public), "error", err,
			detailOf(err), "requestId", id)
	}
	hidden := New(CodeInternalServerError, "", "Internal error")
	public.Message, public.Extensions = hidden.Message, hidden.Extensions
	if id != "" {
		public.Extensions["requestId"] = id
	}
	return public
}

// rowOf returns the row that matches err: one of the application's rows if there is one, otherwise
// one of CloakQL's.
func (p *Presenter) rowOf(ctx context.Context, err error) (Row, bool) {
	for i, row := range p.Rows {
		if !errors.Is(err, row.Err) {
			continue
		}
		if problem := row.check(); problem != nil { // Validate wasn't called
			p.log().ErrorContext(ctx, "error row isn't used", "row", i, "error", row.Err, "fault",
				problem)
			continue
		}
		return row, true
	}
	for _, row := range table {
		if errors.Is(err, row.Err) {
			return row, true
		}
	}
	return Row{}, false
}

var errPanic = errors.New("panic")

// Recover is a panic handler for gqlgen. It logs where the panic happened and the type of its
// value, but not the value: the code that panicked may have put an argument into it.
func (p *Presenter) Recover(ctx context.Context, value any) error {
	p = p.orZero()
	cause := fmt.Sprintf("%T", value)
	if err, ok := value.(runtime.Error); ok { // its message has only indexes and types
		cause = err.Error()
	}
	p.log().ErrorContext(ctx, "panic", "path", pathOf(&gqlerror.Error{Path: graphql.GetPath(ctx)}),
		"panic", cause, "stack", string(debug.Stack()), "requestId", p.requestID(ctx))
	return errPanic
}

// orZero returns p, or the zero Presenter if p is nil.
func (p *Presenter) orZero() *Presenter {
	if p == nil {
		return &Presenter{}
	}
	return p
}

// log returns p.Log, or slog.Default() if it is nil.
func (p *Presenter) log() *slog.Logger {
	if p.Log == nil {
		return slog.Default()
	}
	return p.Log
}

// requestID returns the request's ID, or "" if there is none.
func (p *Presenter) requestID(ctx context.Context) string {
	if p.RequestID == nil {
		return ""
	}
	return p.RequestID(ctx)
}

// detailOf returns err's detail for operators as a log attribute, or an empty attribute if err has
// none.
func detailOf(err error) slog.Attr {
	if detail := identity.Detail(err); detail != "" {
		return slog.String("detail", detail)
	}
	return slog.Attr{} // handlers omit it
}

// publicDetail returns the detail of err that clients see if Presenter.Detail is set. The realm's
// detail about a sign-in is only for the log, because it reveals which accounts exist.
func publicDetail(row Row, err error) string {
	switch row.Err {
	case identity.ErrBadInput: // the detail names the argument, but not its value
		detail, _ := strings.CutPrefix(err.Error(), identity.ErrBadInput.Error()+": ")
		if detail == err.Error() {
			return ""
		}
		return detail
	case identity.ErrTokenMissing, identity.ErrTokenMalformed, identity.ErrTokenTooLarge,
		identity.ErrTokenNotAccepted, identity.ErrTokenNotYetValid, identity.ErrTokenExpired,
		identity.ErrKeyUnknown, identity.ErrTokenSignature, identity.ErrKeysUnavailable:
		return identity.Detail(err)
	}
	return ""
}

// pathOf returns the error's path for the log, truncated because clients choose the aliases in it.
func pathOf(err *gqlerror.Error) string {
	const max = 200
	path := err.Path.String()
	return path[:min(len(path), max)]
}

// ceilSeconds returns d in seconds, rounded up so that a client that waits doesn't retry too early.
// It returns at least 1.
func ceilSeconds(d time.Duration) int { return max(1, int((d+time.Second-1)/time.Second)) }

// introspectionFailed reports whether the field that failed is __schema or __type. They fail only
// if introspection is off.
func introspectionFailed(ctx context.Context) bool {
	field := graphql.GetFieldContext(ctx)
	if field == nil || field.Field.Field == nil {
		return false
	}
	return field.Field.Name == "__schema" || field.Field.Name == "__type"
}

// argumentsFailed reports whether the arguments of a field couldn't be decoded. gqlgen's generated
// code stores a field's arguments in its context before it calls the resolver, and stores none if
// an argument doesn't fit its type.
func argumentsFailed(ctx context.Context) bool {
	field := graphql.GetFieldContext(ctx)
	if field == nil || field.Field.Field == nil || field.Field.Definition == nil {
		return false
	}
	return len(field.Field.Definition.Arguments) > 0 && field.Args == nil
}
