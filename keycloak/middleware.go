package keycloak

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/cloakql/cloakql/identity"
)

// Middleware returns a wrapper of handlers that verifies the bearer token of each request (RFC 6750,
// section 2.1) and puts what the verifier said into the request's context, for identity.Require. It
// answers nothing itself: whether a caller is needed is for the handler to say, field by field. A
// request without a token, or with another authentication scheme, has no caller; one with a bad token
// has the reason why.
//
// A refused token that points at a wrong setting (issuer, audience) is logged as a warning with what
// would have been accepted; no token is. A nil log is slog.Default().
func Middleware(v *Verifier, log *slog.Logger) func(http.Handler) http.Handler {
	if log == nil {
		log = slog.Default()
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, err := bearer(r.Header.Values("Authorization"))
			var user *identity.User
			if err == nil && token != "" {
				user, err = v.Verify(r.Context(), token)
			}
			if refused, ok := errors.AsType[*identity.TokenError](err); ok {
				level := slog.LevelDebug
				if refused.Reason == identity.ErrTokenNotAccepted {
					level = slog.LevelWarn
				}
				log.Log(r.Context(), level, "token refused", "reason", refused.Reason, "detail", refused.Detail)
			}
			next.ServeHTTP(w, r.WithContext(identity.NewContext(r.Context(), user, err)))
		})
	}
}

// bearer finds the bearer token in the Authorization headers of a request. An empty token is none; it
// fails with ErrTokenMalformed where there should be one token and isn't.
func bearer(headers []string) (token string, err error) {
	switch len(headers) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", malformed("the request has %d Authorization headers", len(headers))
	}
	fields := strings.Fields(headers[0])
	if len(fields) == 0 || !strings.EqualFold(fields[0], "Bearer") { // RFC 9110, section 11.1: in any case
		return "", nil
	}
	if len(fields) != 2 {
		return "", malformed("%d tokens follow Bearer; expected 1", len(fields)-1)
	}
	return fields[1], nil
}
