package keycloak

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/cloakql/cloakql/identity"
)

// Protect returns HTTP middleware that passes only requests with a valid bearer token to the
// handler. Like Middleware, it stores the user for identity.Require. It responds to all other
// requests itself, with a short text and no details for operators (RFC 6750, section 3):
//
//   - 401 and a WWW-Authenticate header without an error for a request without a token, or with
//     another authentication scheme
//   - 401 and error="invalid_token" for an invalid token; error_description says why
//   - 503 and Retry-After if the keys can't be fetched: the token may be valid
//
// All methods need a token, OPTIONS included. Browsers send none with a CORS preflight, so CORS
// middleware must wrap Protect, not the other way round.
//
// A nil log means slog.Default(). A nil Verifier accepts no token.
func Protect(v *Verifier, log *slog.Logger) func(http.Handler) http.Handler {
	authenticate := Middleware(v, log)
	return func(next http.Handler) http.Handler {
		return authenticate(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := identity.Require(r.Context()); err != nil {
				writeError(w, err)
				return
			}
			next.ServeHTTP(w, r)
		}))
	}
}

// writeError responds to a request that has no verified user. It sends only err's text, not its
// detail.
func writeError(w http.ResponseWriter, err error) {
	// RFC 6750, section 3: at least one parameter must follow the scheme, and without a token there
	// should be no error.
	const challenge = `Bearer realm="api"`
	header, status, message := w.Header(), http.StatusUnauthorized, err.Error()
	header.Set("Cache-Control", "no-store")
	switch identityErr, ok := errors.AsType[*identity.Error](err); {
	case errors.Is(err, identity.ErrTokenMissing):
		header.Set("WWW-Authenticate", challenge)
	case ok && identityErr.Reason != identity.ErrKeysUnavailable &&
		identityErr.Reason != identity.ErrBusy:
		header.Set("WWW-Authenticate",
			challenge+`, error="invalid_token", error_description="`+message+`"`)
	default: // no keys, no check of the session, or the context ended meanwhile
		status, message = http.StatusServiceUnavailable, identity.ErrKeysUnavailable.Error()
		header.Set("Retry-After", strconv.Itoa(int(maxRetryDelay.Seconds())))
	}
	http.Error(w, message, status)
}
