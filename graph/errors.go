package graph

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

// errIntrospection is what a field of the introspection schema fails with where introspection is off.
// gqlgen's own error for it has no type.
var errIntrospection = errors.New("introspection is off")

// A row says what clients see of an error. Codes and reasons are a contract.
type row struct {
	err     error
	code    string
	reason  string // which case of the code; may be empty
	message string
	level   slog.Level // at which the error itself is logged; 0 (Info) is not at all
}

// table holds every error that a field may fail with. Errors that aren't here are INTERNAL_SERVER_ERROR:
// logged with their path, and hidden. A request that is refused before any field runs has its codes in
// the packages graphqlhttp and limits.
var table = []row{
	{identity.ErrTokenMissing, "UNAUTHENTICATED", "TOKEN_MISSING", "Not authenticated", 0},
	{identity.ErrTokenMalformed, "UNAUTHENTICATED", "TOKEN_MALFORMED", "Token is malformed", 0},
	{identity.ErrTokenTooLarge, "UNAUTHENTICATED", "TOKEN_TOO_LARGE", "Token is too large", 0},
	{identity.ErrTokenNotAccepted, "UNAUTHENTICATED", "TOKEN_NOT_ACCEPTED", "Token is not meant for this API", 0},
	{identity.ErrTokenNotYetValid, "UNAUTHENTICATED", "TOKEN_NOT_YET_VALID", "Token isn't valid yet", 0},
	{identity.ErrTokenExpired, "UNAUTHENTICATED", "TOKEN_EXPIRED", "Token has expired", 0},
	{identity.ErrKeyUnknown, "UNAUTHENTICATED", "KEY_UNKNOWN", "Token signature couldn't be verified", 0},
	{identity.ErrTokenSignature, "UNAUTHENTICATED", "TOKEN_SIGNATURE", "Token signature couldn't be verified", 0},
	{identity.ErrKeysUnavailable, "SERVICE_UNAVAILABLE", "KEYS_UNAVAILABLE", "Tokens can't be verified right now", 0},

	{identity.ErrBadInput, "BAD_USER_INPUT", "", "Request malformed!", 0},
	{identity.ErrBadCredentials, "INVALID_CREDENTIALS", "", "Username or password is incorrect!", 0},
	{identity.ErrAccountDisabled, "ACCOUNT_DISABLED", "", "Your account is disabled", 0},
	{identity.ErrAccountNotReady, "ACCOUNT_NOT_READY", "", "Finish setting up your account in the browser", 0},
	{identity.ErrLoginNotAllowed, "LOGIN_NOT_ALLOWED", "DIRECT_GRANT_DISABLED", "Password sign-in is not enabled", slog.LevelError},
	{identity.ErrRefreshExpired, "INVALID_REFRESH_TOKEN", "EXPIRED", "Sign in again", 0},
	{identity.ErrSessionEnded, "INVALID_REFRESH_TOKEN", "SESSION_ENDED", "Sign in again", 0},
	{identity.ErrRefreshReused, "INVALID_REFRESH_TOKEN", "REUSED", "Sign in again", 0},
	{identity.ErrRefreshInvalid, "INVALID_REFRESH_TOKEN", "INVALID", "Sign in again", 0},
	{identity.ErrProviderMisconfigured, "SERVICE_UNAVAILABLE", "IDENTITY_PROVIDER_MISCONFIGURED", "Sign-in is not available", slog.LevelError},
	{identity.ErrProviderUnavailable, "SERVICE_UNAVAILABLE", "IDENTITY_PROVIDER_UNAVAILABLE", "Sign-in is not available", slog.LevelWarn},
	// No line of their own for these two, which an attacker could cause at will: that of the request has
	// the code.
	{identity.ErrBusy, "SERVICE_UNAVAILABLE", "BUSY", "Try again", 0},
	{identity.ErrRateLimited, "RATE_LIMITED", "", "Too many attempts", 0},

	{errIntrospection, "INTROSPECTION_DISABLED", "", "Introspection is off", 0},
	{context.DeadlineExceeded, "TIMEOUT", "", "The request took too long", slog.LevelWarn},
}

// Errors presents errors to clients. Its methods are gqlgen's hooks, and safe for concurrent use.
// Its zero value is good.
type Errors struct {
	Log *slog.Logger // slog.Default() if nil
	// add extensions.detail: why a token was refused, claim by claim
	Local     bool
	RequestID func(context.Context) string // the id of the request in the log and in internal errors; none if nil
}

func (e *Errors) log() *slog.Logger {
	if e.Log == nil {
		return slog.Default()
	}
	return e.Log
}

func (e *Errors) requestID(ctx context.Context) string {
	if e.RequestID == nil {
		return ""
	}
	return e.RequestID(ctx)
}

// Present is the error presenter of a gqlgen handler. ctx is that of the field that failed.
func (e *Errors) Present(ctx context.Context, err error) *gqlerror.Error {
	shown := &gqlerror.Error{Path: graphql.GetPath(ctx)}
	// gqlgen wraps what a resolver returned, to note where in the document it happened.
	if located, ok := errors.AsType[*gqlerror.Error](err); ok {
		shown.Locations = located.Locations
		if located.Path != nil {
			shown.Path = located.Path
		}
		if located.Err != nil {
			err = located.Err
		}
	}
	switch {
	case introspects(ctx):
		err = errIntrospection
	case lacksArguments(ctx): // the generated code's words repeat the value
		err = identity.ErrBadInput
		shown.Path = graphql.GetFieldContext(ctx).Path() // arguments have no place in a response
	}
	for _, row := range table {
		if errors.Is(err, row.err) {
			if row.level != 0 {
				e.log().Log(ctx, row.level, "field failed", "path", pathOf(shown), "code", row.code,
					"error", err, detail(err), "requestId", e.requestID(ctx))
			}
			shown.Message = row.message
			shown.Extensions = e.extensions(row, err)
			return shown
		}
	}
	id := e.requestID(ctx)
	switch {
	case errors.Is(err, errPanic): // Recover has logged it, with its stack
	case errors.Is(err, context.Canceled): // the client has gone, and nobody is to blame
	default:
		e.log().ErrorContext(ctx, "field failed", "path", pathOf(shown), "error", err, detail(err),
			"requestId", id)
	}
	shown.Message = "Internal error"
	shown.Extensions = map[string]any{"code": "INTERNAL_SERVER_ERROR"}
	if id != "" {
		shown.Extensions["requestId"] = id
	}
	return shown
}

// detail is what err says to operators beyond its text, for the log: nothing if there is none.
func detail(err error) slog.Attr {
	if detail := identity.Detail(err); detail != "" {
		return slog.String("detail", detail)
	}
	return slog.Attr{} // handlers leave it out
}

// pathOf is a path for the log: a client chooses the aliases in it, and how long they are.
func pathOf(shown *gqlerror.Error) string {
	const most = 200
	path := shown.Path.String()
	return path[:min(len(path), most)]
}

func (e *Errors) extensions(r row, err error) map[string]any {
	extensions := map[string]any{"code": r.code}
	if r.reason != "" {
		extensions["reason"] = r.reason
	}
	if detail := identity.Detail(err); detail != "" && e.Local && refusesToken(r) {
		extensions["detail"] = detail
	}
	if fault, ok := strings.CutPrefix(err.Error(), identity.ErrBadInput.Error()+": "); ok && e.Local && r.err == identity.ErrBadInput {
		extensions["detail"] = fault // which argument, never its value
	}
	if limited, ok := errors.AsType[*identity.RateLimitError](err); ok && r.err == identity.ErrRateLimited {
		extensions["retryAfter"] = wholeSeconds(limited.RetryAfter)
	}
	return extensions
}

// refusesToken reports whether a row is about the caller's access token, whose owner may read why.
// What the realm said of a sign-in is for the log only: it tells which accounts exist.
func refusesToken(r row) bool {
	return r.code == "UNAUTHENTICATED" || r.err == identity.ErrKeysUnavailable
}

// wholeSeconds rounds up, to one at least: whoever waits so long comes at the right time.
func wholeSeconds(d time.Duration) int { return max(1, int((d+time.Second-1)/time.Second)) }

// introspects reports whether the field that failed is one that gqlgen refused because
// introspection is off: it is the only way in which these two can fail.
func introspects(ctx context.Context) bool {
	field := graphql.GetFieldContext(ctx)
	if field == nil || field.Field.Field == nil {
		return false
	}
	return field.Field.Name == "__schema" || field.Field.Name == "__type"
}

// lacksArguments tells whether the arguments of a field couldn't be read: gqlgen's generated code keeps them in the
// field's context before it asks the resolver, and leaves none where one of them doesn't fit its type.
func lacksArguments(ctx context.Context) bool {
	field := graphql.GetFieldContext(ctx)
	if field == nil || field.Field.Field == nil || field.Field.Definition == nil {
		return false
	}
	return len(field.Field.Definition.Arguments) > 0 && field.Args == nil
}

var errPanic = errors.New("panic")

// Recover is the panic handler of a gqlgen handler. It logs where it happened and the kind of the
// value, not the value itself: whoever panicked may have put an argument into it.
func (e *Errors) Recover(ctx context.Context, value any) error {
	kind := fmt.Sprintf("%T", value)
	if err, ok := value.(runtime.Error); ok { // an index, a nil: the runtime's own words
		kind = err.Error()
	}
	e.log().ErrorContext(ctx, "panic", "path", pathOf(&gqlerror.Error{Path: graphql.GetPath(ctx)}),
		"panic", kind,
		"stack", string(debug.Stack()), "requestId", e.requestID(ctx))
	return errPanic
}
