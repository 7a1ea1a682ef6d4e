package identity

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// The text of every error here is fit for clients, in every server that presents it: it names no
// address, no issuer, no setting, and repeats nothing that a client or the realm sent. What
// operators need beyond that is a field, Detail, and Detail the function finds it in a chain of
// errors.

// Why a request has no caller. Each is one reason in the
// table of errors that clients see.
var (
	ErrTokenMissing     = errors.New("no bearer token")
	ErrTokenMalformed   = errors.New("token is malformed")
	ErrTokenTooLarge    = errors.New("token is too large")
	ErrTokenNotAccepted = errors.New("token is not meant for this API")
	ErrTokenNotYetValid = errors.New("token is not valid yet")
	ErrTokenExpired     = errors.New("token has expired")
	ErrKeyUnknown       = errors.New("token is signed with an unknown key")
	ErrTokenSignature   = errors.New("token signature is wrong")
	ErrKeysUnavailable  = errors.New("the keys to verify tokens can't be had")
)

// Why a sign-in, a refresh or a sign-out failed.
var (
	ErrRefreshExpired = errors.New("refresh token has expired")
	ErrSessionEnded   = errors.New("session has ended")
	ErrRefreshInvalid = errors.New("refresh token is not valid")

	// Refused before the realm was asked.
	ErrBadInput = errors.New("bad input")
	// Unknown user, wrong password or code, locked account: never told apart.
	ErrBadCredentials = errors.New("bad credentials")
	// The password was right.
	ErrAccountDisabled = errors.New("account is disabled")
	ErrAccountNotReady = errors.New("account is not fully set up")
	// For this client, in the realm.
	ErrLoginNotAllowed = errors.New("password sign-in is off")
	// The realm may end the session for it.
	ErrRefreshReused = errors.New("refresh token was used twice")
	// The realm is down, slow, or its response makes no sense.
	ErrProviderUnavailable = errors.New("realm is unavailable")
	// A setting here or a switch in the realm is wrong.
	ErrProviderMisconfigured = errors.New("realm refuses this server")
	// A bound of our own.
	ErrBusy = errors.New("too many calls at once")
	// A RateLimitError says when to try again.
	ErrRateLimited = errors.New("too many attempts")
)

// An Error is one of the errors above with what operators need to know beside it. It says why an
// access token was refused, why the realm couldn't be asked, or what was wrong with its response.
// Its text is that of its Reason, and fit for clients.
type Error struct {
	Reason error // one of the errors above, for errors.Is
	// Detail is for operators: "iss is X; accepted: Y", addresses, settings, what came back. It
	// never holds a password or a token.
	Detail string

	// TimedOut means that the realm was asked and didn't respond in time. It may still be at work.
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

// LogValue returns the text with the detail: a log is for operators.
func (e *Error) LogValue() slog.Value { return logValue(e) }

// Detail returns what err says to operators beyond its text, and "" if there is nothing. It is for
// logs, and must not reach a client in production. It asks the first error in err's tree that has a
// method OperatorDetail() string, as Error and keycloak.Refusal have.
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

// A RateLimitError means that someone tried too often. It is the same for existing and unknown
// usernames.
type RateLimitError struct {
	RetryAfter time.Duration // from now; an earlier attempt is refused, too
}

func (e *RateLimitError) Error() string {
	return fmt.Sprintf("%v: try again in %v", ErrRateLimited, e.RetryAfter)
}

// Unwrap returns ErrRateLimited.
func (e *RateLimitError) Unwrap() error { return ErrRateLimited }
