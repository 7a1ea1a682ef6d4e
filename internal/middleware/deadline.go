package middleware

import (
	"net/http"
	"time"
)

// WriteDeadline cuts off clients that don't read their response within d. It is set for each
// request: one for the whole server would also end event streams.
func WriteDeadline(d time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A writer without deadlines, such as httptest's recorder, has no slow client behind it.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
		next.ServeHTTP(w, r)
	})
}
