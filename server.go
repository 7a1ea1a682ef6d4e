// Package cloakql is the GraphQL face of a Keycloak realm: a server with login, refresh, logout and
// me, or with a gqlgen schema of your own behind the same protections.
//
//	server, err := cloakql.New(cloakql.Config{
//		Realm:  realm, // keycloak.NewRealm("https://sso.example.com", "shop")
//		Client: keycloak.ClientConfig{ClientID: "shop-api", ClientSecret: identity.NewSecret(secret)},
//	})
//	...
//	err = server.Run(ctx, listener)
//
// A request passes CORS, the rule for host names, the client's address, the verifier of bearer
// tokens, GraphQL over HTTP, the limits on documents, and the schema: New connects them, in this
// order, and decides nothing else. The commands in cmd take the Config from the environment, as
// package settings reads it. docs/extending.md makes a server with fields of its own, from an empty
// folder; docs/library.md says which package is for what.
package cloakql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/console"
	"github.com/cloakql/cloakql/graph"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/librarylog"
	"github.com/cloakql/cloakql/internal/middleware"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/limits"
	"github.com/cloakql/cloakql/signin"
	"github.com/cloakql/cloakql/throttle"
)

const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	idleTimeout   = 2 * time.Minute

	healthPath = "/healthz"
	readyPath  = "/readyz"
)

// A Server is a handler for HTTP with what it needs in the background. Make one with New. It is
// safe for concurrent use.
type Server struct {
	config   Config
	keys     *keycloak.KeySet
	client   *keycloak.Client // nil if Config.Client is empty
	handler  http.Handler
	running  atomic.Bool // from the call of Run on
	draining atomic.Bool
}

var errNotMade = errors.New("cloakql: this Server has nothing to serve: make it with cloakql.New")

// New returns a Server. It sends no request: Keycloak may be down. It fails if config is incomplete
// or contradicts itself, and if a root field of the schema carries no access rule.
func New(config Config) (*Server, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{config: config, keys: keycloak.NewKeySet(config.Realm, config.Keys)}
	if config.hasClient() {
		if s.client, err = keycloak.NewClient(config.Client); err != nil {
			return nil, err
		}
	}
	if s.handler, err = s.newHandler(s.client); err != nil {
		return nil, err
	}
	return s, nil
}

// newHandler connects the parts in the order in which a request passes them.
func (s *Server) newHandler(realm signin.Realm) (http.Handler, error) {
	c := s.config
	origins, err := parseAll("CORSOrigins", c.HTTP.CORSOrigins, middleware.ParseOrigin)
	if err != nil {
		return nil, err
	}
	if c.Local && len(origins) == 0 {
		origins = []middleware.Origin{middleware.Loopback}
	}
	hosts, err := parseAll("AllowedHosts", c.HTTP.AllowedHosts, middleware.ParseHost)
	if err != nil {
		return nil, err
	}
	for i := range c.Tokens.Issuers {
		if c.Tokens.Issuers[i].Keys == nil {
			c.Tokens.Issuers[i].Keys = s.keys
		}
	}
	verifier, err := keycloak.NewVerifier(c.Tokens)
	if err != nil {
		return nil, err
	}
	schema, err := s.newSchema(realm)
	if err != nil {
		return nil, err
	}
	operations, err := s.newGraphQL(schema)
	if err != nil {
		return nil, err
	}
	if c.HTTP.Middleware != nil {
		if operations = c.HTTP.Middleware(operations); operations == nil {
			return nil, errors.New("cloakql: Config.HTTP.Middleware returned no handler")
		}
	}
	operations = keycloak.Middleware(verifier, c.Log)(operations)
	operations = throttle.Addresses(throttle.AddressConfig{Trusted: c.HTTP.Proxies,
		Log: c.Log})(operations)

	mux := http.NewServeMux()
	mux.Handle("/graphql", operations)
	// clients and proxies add a slash, and a redirect would lose the body
	mux.Handle("/graphql/{$}", operations)
	if c.HTTP.Console {
		page := console.Handler(c.HTTP.ConsoleUsers...)
		mux.Handle("/{$}", page)
		mux.Handle("/console/", page)
	}
	mux.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, _ *http.Request) {
		writeProbe(w, http.StatusOK, "alive")
	})
	mux.HandleFunc("GET "+readyPath, s.ready)
	rule := middleware.HostRule{
		Local: c.Local, Allowed: hosts, Proxies: c.HTTP.Proxies,
		Probes: []string{healthPath, readyPath}, Rewrite: c.RewriteDetail, Log: c.Log,
	}
	// CORS is around all of it, so that a page can read what is refused: a wrong path, or a wrong
	// host.
	pages := middleware.CORS(origins, rule.Handler(mux))
	return middleware.WriteDeadline(c.requestTimeout()+readTimeout+5*time.Second, pages), nil
}

func parseAll[T any](field string, list []string, parse func(string) (T, error)) ([]T, error) {
	var parsed []T
	for _, text := range list {
		one, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("cloakql: Config.HTTP.%s holds %q: expected %w", field, text,
				err)
		}
		parsed = append(parsed, one)
	}
	return parsed, nil
}

// newSchema makes the schema with what it signs people in by, and audits its access rules.
func (s *Server) newSchema(realm signin.Realm) (graphql.ExecutableSchema, error) {
	var service *signin.Service
	if s.config.hasClient() {
		limiter, err := throttle.New(s.config.Attempts)
		if err != nil {
			return nil, err
		}
		if service, err = signin.New(realm, limiter); err != nil {
			return nil, err
		}
	}
	if s.config.Schema == nil {
		return graph.NewSchema(&graph.Resolver{SignIn: service})
	}
	schema, err := s.config.Schema(service)
	if err == nil && schema == nil {
		err = errors.New("cloakql: Config.Schema returned no schema")
	}
	if err != nil {
		return nil, err
	}
	return schema, authz.Audit(schema.Schema(), s.config.Guards...)
}

func (s *Server) newGraphQL(schema graphql.ExecutableSchema) (http.Handler, error) {
	c := s.config
	server := handler.New(schema)
	c.GraphQL.Errors = &presenter{apierror.Presenter{
		Rows: slices.Clone(c.Errors), Log: c.Log, Detail: c.Local, RequestID: graphqlhttp.RequestID,
	}, c}
	c.GraphQL.Observe = logRequest(c.Log, c.GraphQL.Observe)
	if err := limits.Install(server, c.Limits); err != nil {
		return nil, err
	}
	if err := graphqlhttp.Install(server, c.GraphQL); err != nil {
		return nil, err
	}
	return server, nil
}

// A presenter is apierror's with details as Config.RewriteDetail has them.
type presenter struct {
	apierror.Presenter
	config Config
}

func (p *presenter) Present(ctx context.Context, err error) *gqlerror.Error {
	shown := p.Presenter.Present(ctx, err)
	if detail, ok := shown.Extensions["detail"].(string); ok {
		shown.Extensions["detail"] = p.config.rewriteDetail(detail)
	}
	return shown
}

// Handler returns the handler of all paths: /graphql, /healthz, /readyz, and the console where it
// is on. Serve it with Run, or with an http.Server of your own, whose time-outs are yours to set;
// then call Close when it has stopped.
func (s *Server) Handler() http.Handler {
	if s.handler == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, errNotMade.Error(), http.StatusServiceUnavailable)
		})
	}
	return s.handler
}

// Run serves connections of listener until ctx is done, then answers the requests in flight and
// returns nil. Meanwhile it keeps the realm's keys fresh without traffic, and logs a warning if
// Keycloak's issuer isn't among the accepted ones. If listener fails, it stops in the same way and
// returns that error. It closes listener. A Server runs once: later calls fail, and so do those
// after Close.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	switch {
	case listener == nil:
		return errors.New("cloakql: Run needs a listener")
	case s.handler == nil:
		listener.Close()
		return errNotMade
	case s.draining.Load(), !s.running.CompareAndSwap(false, true):
		listener.Close()
		return errors.New(
			"cloakql: this Server has run, or is closed: make another with cloakql.New")
	}
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	var tasks sync.WaitGroup
	tasks.Go(func() { s.keys.Run(background) })
	tasks.Go(func() {
		keycloak.WarnIssuer(background, s.config.Realm, s.config.issuers(),
			s.config.Client.Transport, s.config.Log)
	})
	defer tasks.Wait()
	defer stopBackground()

	server := s.newHTTPServer()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	var failure error // of the listener
	select {
	case failure = <-served:
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.config.Log.Info("stopping")
	// Requests first: they start exchanges with Keycloak.
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drainTimeout())
	defer cancel()
	err := errors.Join(server.Shutdown(drain), s.Close(drain))
	server.Close() // what is still open was given its time
	if failure == nil {
		<-served // the listener is closed
	}
	if err != nil {
		err = fmt.Errorf("stopped before every request was answered: %w", err)
	}
	return errors.Join(failure, err)
}

// Close waits until the exchanges with Keycloak that were begun have ended, whether or not their
// requests were answered: stopping in the middle of one can cost a session. From now on /readyz
// answers 503. It returns ctx's error if ctx is done first. Run calls it.
func (s *Server) Close(ctx context.Context) error {
	s.draining.Store(true)
	if s.client == nil {
		return nil
	}
	return s.client.Close(ctx)
}

// newHTTPServer states every limit that a connection has; middleware.WriteDeadline adds the one for
// slow readers.
func (s *Server) newHTTPServer() *http.Server {
	maxToken := s.config.Tokens.MaxBytes
	if maxToken == 0 {
		maxToken = keycloak.DefaultTokenMaxBytes
	}
	return &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		// a token that is too large gets an answer that says so
		MaxHeaderBytes: maxToken + 32<<10,
		ErrorLog:       librarylog.New(s.config.Log),

		DisableGeneralOptionsHandler: true, // OPTIONS * goes the way of all requests
	}
}

// drainTimeout is longer than a request and its exchange with Keycloak can take.
func (s *Server) drainTimeout() time.Duration {
	exchange := s.config.Client.Timeout
	if exchange <= 0 {
		exchange = keycloak.DefaultTimeout
	}
	return readTimeout + s.config.requestTimeout() + exchange + 5*time.Second
}

// ready answers 200 while tokens can be verified, naming what is wrong, and 503 otherwise.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	usable, failure := s.keys.Status()
	status, text := http.StatusOK, "ready"
	switch {
	case s.draining.Load():
		status, text = http.StatusServiceUnavailable, "not ready: stopping"
	case !usable:
		status, text = http.StatusServiceUnavailable, "not ready: no keys to verify tokens with"
	case failure != nil:
		text = "ready: the keys held are good, but can't be fetched anew"
	}
	if detail := identity.Detail(failure); s.config.Local && detail != "" {
		text += ": " + s.config.rewriteDetail(detail)
	}
	writeProbe(w, status, text)
}

// writeProbe answers an orchestrator, now and not from a cache.
func writeProbe(w http.ResponseWriter, status int, text string) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}

func logRequest(log *slog.Logger,
	next func(context.Context, graphqlhttp.Outcome)) func(context.Context, graphqlhttp.Outcome) {
	return func(ctx context.Context, o graphqlhttp.Outcome) {
		attributes := []slog.Attr{
			slog.String("operation", o.Operation), slog.String("name", o.Name),
			slog.Int("status", o.Status), slog.Any("codes", o.Codes),
			slog.Duration("duration", o.Duration), slog.String("requestId", o.RequestID),
		}
		if o.Untrusted {
			attributes = append(attributes, slog.Bool("untrusted", true))
		}
		log.LogAttrs(ctx, slog.LevelInfo, "request", attributes...)
		if next != nil {
			next(ctx, o)
		}
	}
}
