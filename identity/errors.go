package identity

import (
	"errors"
	"fmt"
	"time"
)

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

// A TokenError says why an access token was refused. Reason is one of the errors above, for
// errors.Is; Detail explains it to whoever runs the server ("iss is X; accepted: Y") and must not
// reach a client in production. It never holds the token.
type TokenError struct {
	Reason error
	Detail string
}

func (e *TokenError) Error() string { return e.Reason.Error() + ": " + e.Detail }

func (e *TokenError) Unwrap() error { return e.Reason }

// A LimitError says that someone tried too often. It is the same for names that exist and for others.
type LimitError struct {
	RetryAfter time.Duration // from now; trying earlier is in vain
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%v: try again in %v", ErrTooManyAttempts, e.RetryAfter)
}

// Unwrap returns ErrTooManyAttempts.
func (e *LimitError) Unwrap() error { return ErrTooManyAttempts }
