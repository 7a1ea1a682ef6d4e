package keycloak

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// Middleware returns HTTP middleware that verifies the bearer token of each request (RFC 6750,
// section 2.1) and stores the user, or the verifier's error, in the request's context for
// identity.Require.
//
// It protects nothing: every request reaches the handler, which must call identity.Require wherever
// it needs a user, as a GraphQL server does for each field. If every request needs a user, use
// Protect instead. A request without a token, or with another authentication scheme, has no user.
// For a request with a bad token, identity.Require returns the verifier's error.
//
// Middleware logs a warning when a token is rejected for a reason that suggests a wrong setting,
// here or in the realm (issuer, audience, algorithm, size), or clocks that differ. The warning says
// what would have been accepted, and never contains the token. Since anyone can send such tokens,
// there is at most one warning a second for each cause, with the number of suppressed warnings. A
// nil log means slog.Default().
func Middleware(v *Verifier, log *slog.Logger) func(http.Handler) http.Handler {
	if log == nil {
		log = slog.Default()
	}
	limiters := map[string]*logLimiter{}
	for _, cause := range []string{"iss", "typ", "cnf", "aud", "azp", "sub", "alg", "nbf", "iat",
		causeSize} {
		limiters[cause] = &logLimiter{}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, err := bearerToken(r.Header.Values("Authorization"))
			var user *identity.User
			var answers *Answers
			if err == nil && token != "" {
				user, answers, err = v.verify(r.Context(), token)
			} else if err == nil && strings.Trim(r.Header.Get("Authorization"), whitespace) != "" {
				err = errNotBearer
			}
			identityErr, ok := errors.AsType[*identity.Error](err)
			if ok && identityErr.Reason != identity.ErrTokenMissing {
				level, suppressed := slog.LevelDebug, 0
				// One limiter per cause: a flood of one cause must not hide another.
				if limiter := limiters[causeOf(identityErr)]; limiter != nil {
					var ok bool
					if suppressed, ok = limiter.allow(time.Now()); ok {
						level = slog.LevelWarn
					}
				}
				log.Log(r.Context(), level, "token refused", "reason", identityErr.Reason,
					"detail", identityErr.Detail, "suppressed", suppressed)
			}
			ctx := identity.NewContext(r.Context(), user, err)
			if answers != nil {
				ctx = context.WithValue(ctx, answersKey{}, answers)
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// whitespace may surround the parts of an Authorization header.
const whitespace = " \t"

// errNotBearer is the error for an Authorization header of another scheme. Usually such a header is
// a token without the word Bearer.
var errNotBearer = &identity.Error{Reason: identity.ErrTokenMissing,
	Detail: "the Authorization header is of another scheme: expected Bearer, a space, and the " +
		"token"}

const causeSize = "size"

// causeOf returns the claim or property that suggests a wrong setting or clocks that differ. It
// returns "" for everyday errors, such as expired tokens.
func causeOf(err *identity.Error) string {
	switch err.Reason {
	case identity.ErrTokenTooLarge:
		return causeSize
	case identity.ErrTokenNotAccepted, identity.ErrTokenSignature, identity.ErrTokenNotYetValid:
		claim, _, _ := strings.Cut(err.Detail, " ") // these details start with the claim's name
		return claim
	}
	return ""
}

// A logLimiter allows one log line in each interval. It is safe for concurrent use.
type logLimiter struct {
	interval time.Duration // a second if zero

	mu            sync.Mutex // guards the fields below
	lastAllowedAt time.Time  // when the last line was allowed
	suppressed    int        // lines since the last allowed one
}

// allow reports whether a line may be written now, and how many were suppressed since the last one.
func (l *logLimiter) allow(now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.lastAllowedAt.IsZero() && now.Sub(l.lastAllowedAt) < cmp.Or(l.interval, time.Second) {
		l.suppressed++
		return 0, false
	}
	suppressed = l.suppressed
	l.lastAllowedAt, l.suppressed = now, 0
	return suppressed, true
}

// bearerToken returns the bearer token from the Authorization headers of a request, or "" if there
// is none. It returns ErrTokenMalformed if Bearer isn't followed by exactly one token, or if there
// are several headers.
func bearerToken(headers []string) (token string, err error) {
	switch len(headers) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", malformedError("the request has %d Authorization headers", len(headers))
	}
	// RFC 9110, sections 5.6.3 and 11.4: only a space and a tab separate the parts. Don't split the
	// whole header: a client may make it very long.
	header := strings.Trim(headers[0], whitespace)
	scheme, token := header, ""
	if end := strings.IndexAny(header, whitespace); end >= 0 {
		scheme, token = header[:end], strings.Trim(header[end:], whitespace)
	}
	if !strings.EqualFold(scheme, "Bearer") { // case-insensitive: RFC 9110, section 11.1
		return "", nil
	}
	// strings.ContainsAny would take 20 times as long for a token.
	hasWhitespace := strings.Contains(token, " ") || strings.Contains(token, "\t")
	if token == "" || hasWhitespace {
		return "", malformedError("Bearer is followed by nothing, or by more than one token")
	}
	return token, nil
}
