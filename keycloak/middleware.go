package keycloak

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// Middleware returns a wrapper of handlers that verifies the bearer token of each request (RFC
// 6750, section 2.1) and puts what the verifier said into the request's context, for
// identity.Require.
//
// It protects nothing: every request reaches the handler, which must ask identity.Require where a
// caller is needed, as a GraphQL server does field by field. For a handler that needs a caller on
// each request, use Protect instead. A request without a token, or with another authentication
// scheme, has no caller; one with a bad token has the reason why.
//
// A refused token that points at a wrong setting, here or in the realm (issuer, audience,
// algorithm, size), or at clocks that differ, is logged as a warning with what would have been
// accepted; no token is. Since anyone can send such tokens, a warning about one cause comes once a
// second at most, with the number of those that were suppressed. A nil log is slog.Default().
func Middleware(v *Verifier, log *slog.Logger) func(http.Handler) http.Handler {
	if log == nil {
		log = slog.Default()
	}
	warnings := map[string]*logLimiter{}
	for _, cause := range []string{"iss", "typ", "cnf", "aud", "azp", "sub", "alg", "nbf", "iat",
		causeSize} {
		warnings[cause] = &logLimiter{}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, err := bearer(r.Header.Values("Authorization"))
			var user *identity.User
			if err == nil && token != "" {
				user, err = v.Verify(r.Context(), token)
			} else if err == nil && strings.Trim(r.Header.Get("Authorization"), whitespace) != "" {
				err = errNotBearer
			}
			refused, ok := errors.AsType[*identity.Error](err)
			if ok && refused.Reason != identity.ErrTokenMissing {
				level, suppressed := slog.LevelDebug, 0
				// a flood of one kind must not hide another
				if w := warnings[causeOf(refused)]; w != nil {
					var now bool
					if suppressed, now = w.allow(time.Now()); now {
						level = slog.LevelWarn
					}
				}
				log.Log(r.Context(), level, "token refused", "reason", refused.Reason, "detail",
					refused.Detail, "suppressed", suppressed)
			}
			next.ServeHTTP(w, r.WithContext(identity.NewContext(r.Context(), user, err)))
		})
	}
}

// whitespace is what may surround the parts of an Authorization header.
const whitespace = " \t"

// errNotBearer is what speaks for nobody here, most often a token without the word Bearer before
// it.
var errNotBearer = &identity.Error{Reason: identity.ErrTokenMissing,
	Detail: "the Authorization header is of another scheme: expected Bearer, a blank, and the token"}

const causeSize = "size"

// causeOf returns what in a refused token points at a setting or at clocks that differ, and "" for
// what happens all day: tokens that have expired, and those of nobody.
func causeOf(refused *identity.Error) string {
	switch refused.Reason {
	case identity.ErrTokenTooLarge:
		return causeSize
	case identity.ErrTokenNotAccepted, identity.ErrTokenSignature, identity.ErrTokenNotYetValid:
		claim, _, _ := strings.Cut(refused.Detail, " ")
		return claim
	}
	return ""
}

// A logLimiter lets one line a second pass. It is safe for concurrent use.
type logLimiter struct {
	mu         sync.Mutex // guards the fields below
	last       time.Time
	suppressed int // lines since then
}

// allow reports whether a line may be written now, and how many were suppressed since the last one.
func (a *logLimiter) allow(now time.Time) (suppressed int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.last.IsZero() && now.Sub(a.last) < time.Second {
		a.suppressed++
		return 0, false
	}
	suppressed = a.suppressed
	a.last, a.suppressed = now, 0
	return suppressed, true
}

// bearer finds the bearer token in the Authorization headers of a request. An empty token is none;
// it fails with ErrTokenMalformed where there should be one token and isn't.
func bearer(headers []string) (token string, err error) {
	switch len(headers) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", malformed("the request has %d Authorization headers", len(headers))
	}
	// RFC 9110, sections 5.6.3 and 11.4: no other character is whitespace here. What the header
	// holds beyond that isn't looked at: a stranger chooses its length.
	header := strings.Trim(headers[0], whitespace)
	scheme, token := header, ""
	if end := strings.IndexAny(header, whitespace); end >= 0 {
		scheme, token = header[:end], strings.Trim(header[end:], whitespace)
	}
	if !strings.EqualFold(scheme, "Bearer") { // RFC 9110, section 11.1: in any case
		return "", nil
	}
	if token == "" || strings.ContainsAny(token, whitespace) {
		return "", malformed("Bearer is followed by nothing, or by more than one token")
	}
	return token, nil
}
