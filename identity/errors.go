package identity

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Clients may read the texts of all errors in this file. The texts name no address, issuer or
// setting, and repeat nothing that a client or the realm sent. Details for operators are in
// Error.Detail; the function Detail finds them in a chain of errors.

// Reasons why a request has no caller. Package apierror has a row for each of these errors.
var (
	ErrTokenMissing     = errors.New("no bearer token")
	ErrTokenMalformed   = errors.New("token is malformed")
	ErrTokenTooLarge    = errors.New("token is too large")
	ErrTokenNotAccepted = errors.New("token is not meant for this API")
	ErrTokenNotYetValid = errors.New("token is not valid yet")
	ErrTokenExpired     = errors.New("token has expired")
	ErrTokenRevoked     = errors.New("token has been revoked")
	ErrKeyUnknown       = errors.New("token is signed with an unknown key")
	ErrTokenSignature   = errors.New("token signature is wrong")
	ErrKeysUnavailable  = errors.New("the keys to verify tokens are unavailable")
)

// Reasons why a caller may not use a field. A DeniedError wraps one of them.
var (
	ErrRoleMissing         = errors.New("a role is missing")
	ErrScopeMissing        = errors.New("a scope is missing")
	ErrGroupMissing        = errors.New("a group is missing")
	ErrOrganizationMissing = errors.New("an organization is missing")
	ErrClaimMissing        = errors.New("a claim is missing")
	ErrNotOwner            = errors.New("not the owner")
	ErrImpersonated        = errors.New("not allowed while impersonated")
	// ErrStepUpRequired means that the user has to sign in again, or in a stronger way.
	ErrStepUpRequired = errors.New("a stronger or more recent sign-in is required")
)

// Reasons why a sign-in, a refresh or a sign-out failed.
var (
	ErrRefreshExpired = errors.New("refresh token has expired")
	ErrSessionEnded   = errors.New("session has ended")
	ErrRefreshInvalid = errors.New("refresh token is not valid")

	// ErrBadInput is returned without a call to the realm.
	ErrBadInput = errors.New("bad input")
	// ErrBadCredentials means that the user is unknown, the password or the one-time code is wrong,
	// or the account is locked. Clients can't find out which of these it is.
	ErrBadCredentials = errors.New("bad credentials")
	// ErrAccountDisabled and ErrAccountNotReady mean that the password was right.
	ErrAccountDisabled = errors.New("account is disabled")
	ErrAccountNotReady = errors.New("account is not fully set up")
	// ErrLoginNotAllowed means that the realm doesn't allow password sign-in for this client.
	ErrLoginNotAllowed = errors.New("password sign-in is off")
	// ErrRefreshReused means that the token was used before. The realm may have ended the session
	// because of that.
	ErrRefreshReused = errors.New("refresh token was used twice")
	// ErrProviderUnavailable means that the realm is down or slow, or that its response is invalid.
	ErrProviderUnavailable = errors.New("realm is unavailable")
	// ErrProviderMisconfigured means that a setting of this server or of the realm is wrong.
	ErrProviderMisconfigured = errors.New("realm refuses this server")
	// ErrStoreUnavailable means that the store which several processes share is unavailable. The
	// realm wasn't called, so the caller may try again.
	ErrStoreUnavailable = errors.New("shared store is unavailable")
	// ErrRefreshInterrupted means that another process exchanged the refresh token, and ended
	// before it stored the result. The caller may try again; the realm may refuse the token then.
	ErrRefreshInterrupted = errors.New("refresh was interrupted")
	// ErrBusy means that this server's limit on concurrent calls is reached.
	ErrBusy = errors.New("too many calls at once")
	// ErrRateLimited is wrapped by RateLimitError, which has the time to wait.
	ErrRateLimited = errors.New("too many attempts")
)

// An Error is one of the errors above with a detail for operators. The detail says, for example,
// why an access token was rejected, or what was wrong with the realm's response. The text of an
// Error is the text of its Reason, so clients may read it.
type Error struct {
	Reason error // one of the errors above, for errors.Is
	// Detail is for operators, such as "iss is X; accepted: Y". It may contain addresses, settings
	// and the realm's response, but never a password or a token.
	Detail string

	// TimedOut means that the realm was called and didn't respond in time. It may still be
	// processing the request.
	TimedOut bool
}

// TimedOut reports whether err is, or wraps, an Error with TimedOut set.
func TimedOut(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.TimedOut
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

// LogValue returns the text and the detail, because the log is for operators.
func (e *Error) LogValue() slog.Value { return logValue(e) }

// Detail returns err's detail for operators, or "" if err has none. Details are for logs; clients
// must not see them in production. Detail calls OperatorDetail of the first error in err's tree
// that has a method OperatorDetail() string, such as an Error or a keycloak.Refusal.
func Detail(err error) string {
	if operatorErr, ok := errors.AsType[operatorError](err); ok {
		return operatorErr.OperatorDetail()
	}
	return ""
}

// An operatorError is an error with a detail for operators.
type operatorError interface {
	error
	OperatorDetail() string
}

// logValue returns the text and the detail of err, for LogValue methods.
func logValue(err operatorError) slog.Value {
	if detail := err.OperatorDetail(); detail != "" {
		return slog.StringValue(err.Error() + ": " + detail)
	}
	return slog.StringValue(err.Error())
}

// A DeniedError means that the caller may not use a field. It doesn't say which roles, scopes or
// other claims the caller has.
type DeniedError struct {
	Reason error // ErrRoleMissing, for example
	// Required has the arguments of the rule that isn't satisfied, such as anyOf. It is nil unless
	// clients may know the rule.
	Required map[string]any
	// ACRValues and MaxAge are what ErrStepUpRequired asks for, as in RFC 9470: one of these
	// authentication context class references, and a sign-in at most MaxAge ago. Zero values ask
	// for nothing.
	ACRValues []string
	MaxAge    time.Duration
}

// Error returns the text of Reason.
func (e *DeniedError) Error() string {
	if e.Reason == nil { // the zero value
		return "access is denied"
	}
	return e.Reason.Error()
}

// Unwrap returns Reason.
func (e *DeniedError) Unwrap() error { return e.Reason }

// A RateLimitError means that there were too many attempts. Existing and unknown usernames get the
// same error.
type RateLimitError struct {
	RetryAfter time.Duration // the time to wait; attempts before then fail too
}

// Error returns the text of ErrRateLimited with the time to wait.
func (e *RateLimitError) Error() string {
	return fmt.Sprintf("%v: try again in %v", ErrRateLimited, e.RetryAfter)
}

// Unwrap returns ErrRateLimited.
func (e *RateLimitError) Unwrap() error { return ErrRateLimited }
