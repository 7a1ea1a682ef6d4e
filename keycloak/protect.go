package keycloak

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/cloakql/cloakql/identity"
)

// Protect returns a wrapper of handlers that lets only requests with a good bearer token pass. It
// does what Middleware does, so that the handler finds the user with identity.Require, and answers
// all other requests itself, with a short text and no operator detail (RFC 6750, section 3):
//
//   - 401 and a WWW-Authenticate header without an error for a request that sent no token, or that
//     uses another authentication scheme
//   - 401 and error="invalid_token" for a token that is bad in any way; error_description says why
//   - 503 and Retry-After while the keys to verify tokens can't be fetched: the token may be good
//
// All methods are protected alike. HEAD is answered like GET, without the text. OPTIONS needs a
// token, too: browsers send none with a CORS preflight, so a handler for CORS goes around Protect,
// not into it.
//
// A nil log is slog.Default(). A nil Verifier accepts no token.
func Protect(v *Verifier, log *slog.Logger) func(http.Handler) http.Handler {
	identify := Middleware(v, log)
	return func(next http.Handler) http.Handler {
		return identify(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := identity.Require(r.Context()); err != nil {
				refuse(w, err)
				return
			}
			next.ServeHTTP(w, r)
		}))
	}
}

// refuse answers a request that has no verified user. Of err only the text of its reason is shown.
func refuse(w http.ResponseWriter, err error) {
	// The scheme must be followed by a parameter, and there may be no error: RFC 6750, section 3.
	const challenge = `Bearer realm="api"`
	header, status, text := w.Header(), http.StatusUnauthorized, err.Error()
	header.Set("Cache-Control", "no-store")
	switch refused, ok := errors.AsType[*identity.Error](err); {
	case errors.Is(err, identity.ErrTokenMissing):
		header.Set("WWW-Authenticate", challenge)
	case ok && refused.Reason != identity.ErrKeysUnavailable:
		header.Set("WWW-Authenticate",
			challenge+`, error="invalid_token", error_description="`+text+`"`)
	default: // no keys, or the context ended while they were being fetched
		status, text = http.StatusServiceUnavailable, identity.ErrKeysUnavailable.Error()
		header.Set("Retry-After", strconv.Itoa(int(maxRetry.Seconds())))
	}
	http.Error(w, text, status)
}
