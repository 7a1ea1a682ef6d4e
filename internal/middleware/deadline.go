package middleware

import (
	"net/http"
	"time"
)

// WriteDeadline disconnects clients that don't read their response within d. It is set per request
// because http.Server.WriteTimeout would also end event streams.
func WriteDeadline(d time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// It fails for writers such as httptest.ResponseRecorder, which need no deadline.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
		next.ServeHTTP(w, r)
	})
}
