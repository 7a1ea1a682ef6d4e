package cloakql

import (
	"context"
	"net/http"

	"github.com/cloakql/cloakql/signin"
)

// NewHandler returns the handler of New's server with another realm behind login, refresh and
// logout, for what a stand-in can't do: panics, and errors of no known kind.
func NewHandler(config Config, realm signin.Realm) (http.Handler, error) {
	s, err := New(config)
	if err != nil {
		return nil, err
	}
	return s.newHandler(realm)
}

// HTTPServer returns the http.Server that Run makes.
func HTTPServer(s *Server) *http.Server { return s.newHTTPServer() }

// RunKeys keeps the keys fresh as Run does.
func RunKeys(ctx context.Context, s *Server) error { return s.keys.Run(ctx) }
