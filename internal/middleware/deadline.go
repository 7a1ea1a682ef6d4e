package middleware

import (
	"net/http"
	"time"
)

// WriteDeadline disconnects clients that don't read their response within timeout. It sets a
// deadline per request because http.Server.WriteTimeout would also end event streams.
func WriteDeadline(timeout time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// This fails for writers such as httptest.ResponseRecorder, which need no deadline.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout))
		next.ServeHTTP(w, r)
	})
}
