package apierror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
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
	// Rows are the application's rows. Present tries them in this order, before CloakQL's rows: if
	// an error wraps both an application's error and one of CloakQL's errors, the application's
	// error is more specific. A row can't replace one of CloakQL's rows. Present ignores a row that
	// Validate rejects, and logs that it did.
	Rows []Row

	Log *slog.Logger // slog.Default() if nil

	// Detail adds extensions.detail to some errors. The detail says why a token was rejected, which
	// argument of login, refresh or logout is malformed, or what is wrong with a document. Set
	// Detail only on a developer's machine: details name issuers, audiences and types, and repeat
	// what the client sent.
	Detail bool

	// RequestID returns the ID that the log has for a request. Clients see it in internal errors,
	// as extensions.requestId, so that people can quote it. If RequestID is nil, there is no ID.
	RequestID func(context.Context) string
}

// Validate returns an error that lists all invalid Rows. Call it when you build the server.
func (p *Presenter) Validate() error { return validateRows(p.orZero().Rows) }

// Present is an error presenter for gqlgen. It returns the error that clients see for err. ctx is
// the context of the field that failed. With gqlgen's own transports, it may also be the context of
// a rejected request.
func (p *Presenter) Present(ctx context.Context, err error) *gqlerror.Error {
	p = p.orZero()
	clientErr := &gqlerror.Error{Path: graphql.GetPath(ctx)}
	wrapped := err
	// gqlgen wraps a resolver's error to add its location in the document.
	gqlErr, ok := errors.AsType[*gqlerror.Error](err)
	if ok {
		clientErr.Locations = gqlErr.Locations
		if gqlErr.Path != nil {
			clientErr.Path = gqlErr.Path
		}
		if gqlErr.Err != nil {
			err = gqlErr.Err
		}
	}
	switch {
	case isIntrospectionField(ctx):
		err = errIntrospectionDisabled
	case hasInvalidArguments(ctx): // the message of gqlgen's generated code repeats the value
		err = identity.ErrBadInput
		clientErr.Path = graphql.GetFieldContext(ctx).Path() // the path of the field
	case isRepresentationError(ctx, err) || isRepresentationError(ctx, wrapped):
		err = identity.ErrBadInput
	}
	row, ok := p.findRow(ctx, err)
	if !ok && isRequestError(ctx, gqlErr) {
		return p.presentRequestError(gqlErr)
	}
	if !ok {
		return p.presentInternal(ctx, err, clientErr)
	}
	if row.Level != 0 {
		p.log().Log(ctx, row.Level, "field failed", "path", logPath(clientErr), "code", row.Code,
			"error", err, detailAttr(err), "requestId", p.requestID(ctx))
	}
	rowErr := New(row.Code, row.Reason, row.Message)
	clientErr.Message, clientErr.Extensions = rowErr.Message, rowErr.Extensions
	if detail := clientDetail(row, err); detail != "" && p.Detail {
		clientErr.Extensions["detail"] = detail
	}
	if rateLimitErr, ok := errors.AsType[*identity.RateLimitError](err); ok &&
		row.Code == CodeRateLimited {
		clientErr.Extensions["retryAfter"] = ceilSeconds(rateLimitErr.RetryAfter)
	}
	if deniedErr, ok := errors.AsType[*identity.DeniedError](err); ok {
		addDenied(clientErr.Extensions, deniedErr)
	}
	return clientErr
}

// addDenied adds to extensions what a client may know of a rule that isn't satisfied.
func addDenied(extensions map[string]any, err *identity.DeniedError) {
	if err.Required != nil {
		extensions["required"] = err.Required
	}
	if len(err.ACRValues) > 0 {
		extensions["acrValues"] = err.ACRValues
	}
	if err.MaxAge > 0 {
		extensions["maxAge"] = int(err.MaxAge / time.Second)
	}
}

// isRequestError reports whether err is the error of a request that gqlgen, one of its transports
// or an extension rejected before any field ran. Then ctx has no field, and err wraps nothing or
// has a code.
func isRequestError(ctx context.Context, err *gqlerror.Error) bool {
	return err != nil && graphql.GetFieldContext(ctx) == nil &&
		(err.Err == nil || err.Extensions["code"] != nil)
}

// presentRequestError returns the error that clients see if a request was rejected before any field
// ran. Only gqlgen's own transports present such errors. Messages of gqlgen and gqlparser repeat
// parts of the body, the document or the variables, which may contain passwords. So they are
// replaced, and not logged. Extensions such as package limits set their own codes, and their
// messages are kept.
func (p *Presenter) presentRequestError(err *gqlerror.Error) *gqlerror.Error {
	text, _ := err.Extensions["code"].(string)
	var clientErr *gqlerror.Error
	switch code := Code(text); code {
	case "":
		clientErr = New(CodeBadRequest, "", "The request is malformed")
	case CodeParseFailed:
		clientErr = New(code, "", "Syntax error")
	case CodeValidationFailed:
		clientErr = New(code, "", "The document or its variables don't fit the schema")
	default:
		return &gqlerror.Error{Message: err.Message, Locations: err.Locations,
			Extensions: err.Extensions}
	}
	if p.Detail {
		clientErr.Extensions["detail"] = err.Message
	}
	clientErr.Locations = err.Locations
	return clientErr
}

// presentInternal logs err, which has no row, and makes clientErr an internal error, which says
// nothing about err.
func (p *Presenter) presentInternal(ctx context.Context, err error,
	clientErr *gqlerror.Error) *gqlerror.Error {
	id := p.requestID(ctx)
	switch {
	case errors.Is(err, errPanic): // Recover has logged the panic, with its stack
	case errors.Is(err, context.Canceled): // the client has disconnected
	default:
		p.log().ErrorContext(ctx, "field failed", "path", logPath(clientErr), "error", err,
			detailAttr(err), "requestId", id)
	}
	internalErr := New(CodeInternalServerError, "", "Internal error")
	clientErr.Message, clientErr.Extensions = internalErr.Message, internalErr.Extensions
	if id != "" {
		clientErr.Extensions["requestId"] = id
	}
	return clientErr
}

// findRow returns the row that matches err. It tries the application's rows before CloakQL's.
func (p *Presenter) findRow(ctx context.Context, err error) (Row, bool) {
	for i, row := range p.Rows {
		if !errors.Is(err, row.Err) {
			continue
		}
		if problem := row.check(); problem != nil { // Validate wasn't called
			p.log().ErrorContext(ctx, "error row isn't used", "row", i, "error", row.Err, "problem",
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

// errPanic is the error of a field that panicked.
var errPanic = errors.New("panic")

// Recover is a panic handler for gqlgen. It logs where the panic happened, and the type of the
// panic's value. It doesn't log the value, which may contain an argument of the field.
func (p *Presenter) Recover(ctx context.Context, value any) error {
	p = p.orZero()
	cause := fmt.Sprintf("%T", value)
	if err, ok := value.(runtime.Error); ok { // its message has only indexes and types
		cause = err.Error()
	}
	p.log().ErrorContext(ctx, "panic", "path", logPath(&gqlerror.Error{Path: graphql.GetPath(ctx)}),
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

// detailAttr returns a log attribute with err's detail for operators. If err has no detail, it
// returns an empty attribute.
func detailAttr(err error) slog.Attr {
	if detail := identity.Detail(err); detail != "" {
		return slog.String("detail", detail)
	}
	return slog.Attr{} // handlers omit it
}

// clientDetail returns the detail of err that clients see if Presenter.Detail is set. It returns no
// detail of a failed sign-in, because it could reveal whether an account exists.
func clientDetail(row Row, err error) string {
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

// logPath returns the error's path for the log. It truncates the path, which contains aliases that
// the client chose.
func logPath(err *gqlerror.Error) string {
	const maxBytes = 200
	path := err.Path.String()
	return path[:min(len(path), maxBytes)]
}

// ceilSeconds returns d in seconds, and at least 1. It rounds up, so that clients don't retry too
// early.
func ceilSeconds(d time.Duration) int { return max(1, int((d+time.Second-1)/time.Second)) }

// isIntrospectionField reports whether the field that failed is __schema or __type, or the _service
// of gqlgen's federation plugin. These fields fail only if introspection is off.
func isIntrospectionField(ctx context.Context) bool {
	field := graphql.GetFieldContext(ctx)
	if field == nil || field.Field.Field == nil {
		return false
	}
	return field.Field.Name == "__schema" || field.Field.Name == "__type" ||
		isFederationField(field, "_service")
}

// isFederationField reports whether field has this name, and gqlgen's federation plugin added it.
func isFederationField(field *graphql.FieldContext, name string) bool {
	definition := field.Field.Definition // the plugin's sources are marked as built in
	return field.Field.Name == name && definition != nil && definition.Position != nil &&
		definition.Position.Src != nil && definition.Position.Src.BuiltIn
}

// representationErrorPattern matches the errors about representations in the code that gqlgen's
// federation plugin generates. It has no type for them.
var representationErrorPattern = regexp.MustCompile(`^(unknown type: |__typename must be |` +
	`finding resolver for Entity |unmarshalling param |Field \w+ undefined in schema\.$)`)

// isRepresentationError reports whether err says that an argument of _entities doesn't represent an
// entity. The errors of the application's resolvers begin otherwise.
func isRepresentationError(ctx context.Context, err error) bool {
	field := graphql.GetFieldContext(ctx)
	if field == nil || field.Field.Field == nil || !isFederationField(field, "_entities") {
		return false
	}
	return representationErrorPattern.MatchString(err.Error())
}

// hasInvalidArguments reports whether the field failed because its arguments couldn't be decoded.
// gqlgen's generated code stores decoded arguments in the field's context before it calls the
// resolver. If an argument doesn't fit its type, the code stores none.
func hasInvalidArguments(ctx context.Context) bool {
	field := graphql.GetFieldContext(ctx)
	if field == nil || field.Field.Field == nil || field.Field.Definition == nil {
		return false
	}
	return len(field.Field.Definition.Arguments) > 0 && field.Args == nil
}
