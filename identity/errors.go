package identity

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Clients may read the text of every error in this file: it names no address, issuer or setting,
// and repeats nothing that a client or the realm sent. Details for operators are in Error.Detail;
// the function Detail finds them in a chain of errors.

// Reasons why a request has no caller. Each is a reason in the table of errors that clients see
// (package apierror).
var (
	ErrTokenMissing     = errors.New("no bearer token")
	ErrTokenMalformed   = errors.New("token is malformed")
	ErrTokenTooLarge    = errors.New("token is too large")
	ErrTokenNotAccepted = errors.New("token is not meant for this API")
	ErrTokenNotYetValid = errors.New("token is not valid yet")
	ErrTokenExpired     = errors.New("token has expired")
	ErrKeyUnknown       = errors.New("token is signed with an unknown key")
	ErrTokenSignature   = errors.New("token signature is wrong")
	ErrKeysUnavailable  = errors.New("the keys to verify tokens are unavailable")
)

// Reasons why a sign-in, a refresh or a sign-out failed.
var (
	ErrRefreshExpired = errors.New("refresh token has expired")
	ErrSessionEnded   = errors.New("session has ended")
	ErrRefreshInvalid = errors.New("refresh token is not valid")

	// Rejected without a call to the realm.
	ErrBadInput = errors.New("bad input")
	// Unknown user, wrong password or code, or locked account: one error, so that clients can't
	// find out which.
	ErrBadCredentials = errors.New("bad credentials")
	// The password was right in both of these cases.
	ErrAccountDisabled = errors.New("account is disabled")
	ErrAccountNotReady = errors.New("account is not fully set up")
	// The realm doesn't allow it for this client.
	ErrLoginNotAllowed = errors.New("password sign-in is off")
	// The realm may have ended the session because of it.
	ErrRefreshReused = errors.New("refresh token was used twice")
	// The realm is down or slow, or its response is invalid.
	ErrProviderUnavailable = errors.New("realm is unavailable")
	// A setting of this server or of the realm is wrong.
	ErrProviderMisconfigured = errors.New("realm refuses this server")
	// A limit of this server.
	ErrBusy = errors.New("too many calls at once")
	// A RateLimitError says when to try again.
	ErrRateLimited = errors.New("too many attempts")
)

// An Error is one of the errors above with a detail for operators: why an access token was
// rejected, why the realm couldn't be called, or what was wrong with its response. Its text is that
// of its Reason, so clients may read it.
type Error struct {
	Reason error // one of the errors above, for errors.Is
	// Detail is for operators: "iss is X; accepted: Y", addresses, settings, the response. It never
	// contains a password or a token.
	Detail string

	// TimedOut means that the realm was called and didn't respond in time. It may still be
	// processing the request.
	TimedOut bool
}

// TimedOut reports whether err is, or wraps, an Error with TimedOut set.
func TimedOut(err error) bool {
	failed, ok := errors.AsType[*Error](err)
	return ok && failed.TimedOut
}

// Error returns the text of Reason, without Detail.
func (e *Error) Error() string {
	if e.Reason == nil { // the zero value
		return "request failed"
	}
	return e.Reason.Error()
}

// Unwrap returns Reason.
func (e *Error) Unwrap() error { return e.Reason }

// OperatorDetail returns Detail.
func (e *Error) OperatorDetail() string { return e.Detail }

// LogValue returns the text and the detail, since operators read the log.
func (e *Error) LogValue() slog.Value { return logValue(e) }

// Detail returns err's detail for operators, or "" if it has none. It is for logs, and must not
// reach a client in production. It calls OperatorDetail of the first error in err's tree that has a
// method OperatorDetail() string, such as Error and keycloak.Refusal.
func Detail(err error) string {
	if detailed, ok := errors.AsType[operatorError](err); ok {
		return detailed.OperatorDetail()
	}
	return ""
}

type operatorError interface {
	error
	OperatorDetail() string
}

func logValue(err operatorError) slog.Value {
	if detail := err.OperatorDetail(); detail != "" {
		return slog.StringValue(err.Error() + ": " + detail)
	}
	return slog.StringValue(err.Error())
}

// A RateLimitError means that there were too many attempts. It is the same for existing and unknown
// usernames.
type RateLimitError struct {
	RetryAfter time.Duration // from now; earlier attempts fail too
}

func (e *RateLimitError) Error() string {
	return fmt.Sprintf("%v: try again in %v", ErrRateLimited, e.RetryAfter)
}

// Unwrap returns ErrRateLimited.
func (e *RateLimitError) Unwrap() error { return ErrRateLimited }
