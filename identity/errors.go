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

// Why a request speaks for nobody. Each is one reason that graph's error table shows to clients.
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

	ErrBadInput          = errors.New("bad input")                    // refused before the realm was asked
	ErrBadCredentials    = errors.New("bad credentials")              // unknown user, wrong password or code, locked: never told apart
	ErrAccountDisabled   = errors.New("account is disabled")          // the password was right
	ErrAccountNotReady   = errors.New("account is not fully set up")  // the password was right
	ErrLoginNotAllowed   = errors.New("password sign-in is off")      // for this client, in the realm
	ErrRefreshReused     = errors.New("refresh token was used twice") // the realm may end the session for it
	ErrRealmUnavailable  = errors.New("realm is unavailable")         // down, slow, or its answer makes no sense
	ErrRealmRefusesUs    = errors.New("realm refuses this server")    // a setting here or a switch in the realm is wrong
	ErrTooManyConcurrent = errors.New("too many calls at once")       // our own bound
	ErrTooManyAttempts   = errors.New("too many attempts")            // a LimitError says for how long
)

// A TokenError says why an access token was refused. Its text is that of its Reason, and fit for
// clients.
type TokenError struct {
	Reason error  // one of the errors above, for errors.Is
	Detail string // for operators: "iss is X; accepted: Y". It never holds the token
}

// Error returns the text of Reason, without Detail.
func (e *TokenError) Error() string { return reasonText(e.Reason, "token is refused") }

// Unwrap returns Reason.
func (e *TokenError) Unwrap() error { return e.Reason }

// OperatorDetail returns Detail.
func (e *TokenError) OperatorDetail() string { return e.Detail }

// LogValue returns the text with the detail: a log is for operators.
func (e *TokenError) LogValue() slog.Value { return logValue(e) }

// A RealmError says why the realm couldn't be asked, or what was wrong with its answer. Its text is
// that of its Reason, and fit for clients.
type RealmError struct {
	Reason error // one of the errors above, for errors.Is
	// for operators: addresses, settings, what came back. It never holds a password or a token
	Detail string

	// TimedOut says that the realm was asked and didn't answer in time. It may still be at work.
	TimedOut bool
}

// TimedOut reports whether err is, or wraps, a RealmError that says so.
func TimedOut(err error) bool {
	refused, ok := errors.AsType[*RealmError](err)
	return ok && refused.TimedOut
}

// Error returns the text of Reason, without Detail.
func (e *RealmError) Error() string { return reasonText(e.Reason, "realm call failed") }

// Unwrap returns Reason.
func (e *RealmError) Unwrap() error { return e.Reason }

// OperatorDetail returns Detail.
func (e *RealmError) OperatorDetail() string { return e.Detail }

// LogValue returns the text with the detail: a log is for operators.
func (e *RealmError) LogValue() slog.Value { return logValue(e) }

// Detail returns what err says to operators beyond its text, and "" if there is nothing. It is for
// logs, and must not reach a client in production. It asks the first error in err's tree that has a
// method OperatorDetail() string, as TokenError, RealmError and keycloak.Refusal have.
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

// reasonText returns the text of a reason, or fallback for the zero value of an error.
func reasonText(reason error, fallback string) string {
	if reason == nil {
		return fallback
	}
	return reason.Error()
}

// A LimitError says that someone tried too often. It is the same for names that exist and for
// others.
type LimitError struct {
	RetryAfter time.Duration // from now; trying earlier is in vain
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%v: try again in %v", ErrTooManyAttempts, e.RetryAfter)
}

// Unwrap returns ErrTooManyAttempts.
func (e *LimitError) Unwrap() error { return ErrTooManyAttempts }
