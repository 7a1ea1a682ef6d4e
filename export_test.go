package cloakql

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/signin"
)

// NewHandler returns the handler of a Server whose login, refresh and logout call realm. Tests use
// it for results that a fake Keycloak can't cause, such as panics and unknown errors.
func NewHandler(config Config, realm signin.Realm) (http.Handler, error) {
	s, err := New(config)
	if err != nil {
		return nil, err
	}
	return s.newHandler(realm)
}

// HTTPServer returns the http.Server that Run creates.
func HTTPServer(s *Server) *http.Server { return s.newHTTPServer() }

// RunKeys refreshes the keys of s until ctx is done, as Run does.
func RunKeys(ctx context.Context, s *Server) error { return s.keys.Run(ctx) }

// LogRequest returns the function that logs each request of a Server.
func LogRequest(log *slog.Logger) func(context.Context, graphqlhttp.Outcome) {
	return logRequest(log, nil)
}
