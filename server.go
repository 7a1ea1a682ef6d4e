// Package cloakql puts a GraphQL API in front of a Keycloak realm: a server with login, refresh,
// logout and me, or with a gqlgen schema of your own behind the same protections.
//
//	server, err := cloakql.New(cloakql.Config{
//		Realm:  realm, // keycloak.NewRealm("https://sso.example.com", "shop")
//		Client: keycloak.ClientConfig{ClientID: "shop-api", ClientSecret: identity.NewSecret(secret)},
//	})
//	...
//	err = server.Run(ctx, listener)
//
// A request passes CORS, the host name check, client address detection, bearer token verification,
// GraphQL over HTTP and the document limits before it reaches the schema. New only connects these
// parts. The commands in cmd read the Config from the environment, with package settings.
// docs/extending.md shows how to build a server with your own fields, starting from an empty
// folder. docs/library.md says which package does what.
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
	"github.com/cloakql/cloakql/graph/generated"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/librarylog"
	"github.com/cloakql/cloakql/internal/middleware"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/limits"
	"github.com/cloakql/cloakql/revocation"
	"github.com/cloakql/cloakql/signin"
	"github.com/cloakql/cloakql/store"
	"github.com/cloakql/cloakql/throttle"
)

const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	idleTimeout   = 2 * time.Minute

	healthPath = "/healthz"
	readyPath  = "/readyz"

	backchannelLogoutPath = "/backchannel-logout"
)

// A Server serves a GraphQL API and refreshes the realm's keys. Create one with New. It is safe for
// concurrent use.
type Server struct {
	config   Config
	keys     *keycloak.KeySet
	client   *keycloak.Client         // nil if Config.Client is empty
	feed     *revocation.Feed         // nil unless other processes learn which sessions end
	checker  *keycloak.SessionChecker // nil unless Config.SessionCheck is set
	handler  http.Handler
	running  atomic.Bool // set when Run is called
	draining atomic.Bool // set when Run starts to stop, or when Close is called
}

var errZeroServer = errors.New("cloakql: this Server has nothing to serve: make it with " +
	"cloakql.New")

// New returns a Server. It sends no requests, so Keycloak may be down. It returns an error if
// config is incomplete or contradictory, or if a root field of the schema has no access rule.
func New(config Config) (*Server, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{config: config, keys: keycloak.NewKeySet(config.Realm, config.Keys),
		feed: config.newFeed()}
	if config.hasClient() {
		client := config.Client
		client.SessionEnded = func(end keycloak.SessionEnd) {
			s.endSession(end)
			if config.Client.SessionEnded != nil {
				config.Client.SessionEnded(end)
			}
		}
		client.CheckRevoked = s.checkRevoked(client.CheckRevoked)
		if s.client, err = keycloak.NewClient(client); err != nil {
			return nil, err
		}
	}
	if s.checker, err = s.newSessionChecker(); err != nil {
		return nil, err
	}
	if s.handler, err = s.newHandler(s.client); err != nil {
		return nil, err
	}
	return s, nil
}

// newHandler builds the handler from the inside out: a request passes its parts in the reverse
// order.
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
	var realmIssuers []keycloak.Issuer
	c.Tokens.Issuers = slices.Clone(c.Tokens.Issuers)
	for i := range c.Tokens.Issuers {
		issuer := &c.Tokens.Issuers[i]
		if issuer.Keys == nil {
			issuer.Keys = s.keys
		}
		if c.Revoked != nil && c.isOfRealm(*issuer) {
			realmIssuers = append(realmIssuers, *issuer)
			issuer.CheckRevoked = s.checkRevoked(issuer.CheckRevoked)
			issuer.CheckSession = s.checkSession(issuer.CheckSession)
		}
	}
	c.Tokens.KeepAnswers = c.Tokens.KeepAnswers || c.keepsAnswers()
	verifier, err := keycloak.NewVerifier(c.Tokens)
	if err != nil {
		return nil, err
	}
	schema, err := s.newSchema(realm)
	if err != nil {
		return nil, err
	}
	graphQL, err := s.newGraphQL(schema)
	if err != nil {
		return nil, err
	}
	if c.HTTP.Middleware != nil {
		if graphQL = c.HTTP.Middleware(graphQL); graphQL == nil {
			return nil, errors.New("cloakql: Config.HTTP.Middleware returned no handler")
		}
	}
	graphQL = keycloak.Middleware(verifier, c.Log)(graphQL)
	graphQL = throttle.Addresses(throttle.AddressConfig{Trusted: c.HTTP.Proxies,
		Log: c.Log})(graphQL)

	mux := http.NewServeMux()
	mux.Handle("/graphql", graphQL)
	// Some clients and proxies add a slash. A redirect would lose the body.
	mux.Handle("/graphql/{$}", graphQL)
	if c.HTTP.Console {
		consoleHandler := console.Handler(c.HTTP.ConsoleUsers...)
		mux.Handle("/{$}", consoleHandler)
		mux.Handle("/console/", consoleHandler)
	}
	mux.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, _ *http.Request) {
		writeProbe(w, http.StatusOK, "alive")
	})
	mux.HandleFunc("GET "+readyPath, s.serveReady)
	rule := middleware.HostRule{
		Local: c.Local, AllowedHosts: hosts, Proxies: c.HTTP.Proxies,
		InternalPaths:  []string{healthPath, readyPath, backchannelLogoutPath},
		RewriteMessage: c.RewriteDetail, Log: c.Log,
	}
	// CORS wraps the host rule and all paths for clients, so that a page can also read errors about
	// a wrong path or host.
	h := middleware.CORS(origins, rule.Handler(mux))
	if c.servesBackchannelLogout() && len(realmIssuers) > 0 {
		logout, err := s.newBackchannelLogout(realmIssuers)
		if err != nil {
			return nil, err
		}
		h = handlePath(backchannelLogoutPath, rule.Handler(logout), h)
	}
	return middleware.WriteDeadline(c.requestTimeout()+readTimeout+5*time.Second, h), nil
}

// newBackchannelLogout returns the handler to which Keycloak sends logout tokens. issuers are the
// realm's.
func (s *Server) newBackchannelLogout(issuers []keycloak.Issuer) (http.Handler, error) {
	tokens := s.config.Tokens
	tokens.Issuers = issuers
	// The session of a token that was issued to another client need not have this server's client,
	// and then Keycloak tells only that other client about its end.
	clients := append([]string{s.config.Client.ClientID}, tokens.AuthorizedParties...)
	if party := tokens.AnyAudienceFor; party != "" && !slices.Contains(clients, party) {
		clients = append(clients, party)
	}
	// A realm may sign logout tokens with another algorithm than access tokens.
	tokens.Algorithms = nil
	return keycloak.BackchannelLogout(keycloak.BackchannelLogoutConfig{
		Tokens: tokens, ClientIDs: clients, End: s.endSession, Log: s.config.Log})
}

// checkRevoked returns a function for Issuer.CheckRevoked that calls next, unless next is nil, and
// then checks the ended sessions of the realm.
func (s *Server) checkRevoked(
	next func(keycloak.TokenSession) error) func(keycloak.TokenSession) error {
	return func(session keycloak.TokenSession) error {
		if next != nil {
			if err := next(session); err != nil {
				return err
			}
		}
		return s.config.Revoked.Check(revocation.Token(session))
	}
}

// handlePath returns a handler that calls h for exactly this path, and other for all other paths.
// Unlike a ServeMux, it leaves redirects and OPTIONS * to other.
func handlePath(path string, h, other http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			h.ServeHTTP(w, r)
			return
		}
		other.ServeHTTP(w, r)
	})
}

// parseAll parses each item of the named field of Config.HTTP.
func parseAll[T any](field string, items []string, parse func(string) (T, error)) ([]T, error) {
	var values []T
	for _, text := range items {
		value, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("cloakql: Config.HTTP.%s holds %q: expected %w", field, text,
				err)
		}
		values = append(values, value)
	}
	return values, nil
}

// newSchema returns the schema, whose login, refresh and logout call realm.
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
		return graph.NewSchema(&graph.Resolver{SignIn: service,
			Federation: s.config.Federation, FederationRole: s.config.FederationRole})
	}
	schema, err := s.config.Schema(service)
	if err == nil && schema == nil {
		err = errors.New("cloakql: Config.Schema returned no schema")
	}
	if err != nil {
		return nil, err
	}
	return schema, nil
}

// newGraphQL returns the handler of GraphQL requests, with the limits and the error table.
func (s *Server) newGraphQL(schema graphql.ExecutableSchema) (http.Handler, error) {
	c := s.config
	server := handler.New(schema)
	errorPresenter := &presenter{apierror.Presenter{
		Rows: slices.Clone(c.Errors), Log: c.Log, Detail: c.Local, RequestID: graphqlhttp.RequestID,
	}, c}
	c.GraphQL.Errors = errorPresenter
	c.Authz.Present, c.Authz.Now = errorPresenter.Present, c.Tokens.Now
	c.Authz.Observe = logDenial(c.Log, c.Authz.Observe)
	c.GraphQL.Observe = logRequest(c.Log, c.GraphQL.Observe)
	if role := c.IntrospectionRole; role != "" && !c.DisableIntrospection {
		c.GraphQL.MayIntrospect = func(ctx context.Context) bool {
			user, err := identity.Require(ctx)
			return err == nil && user.HasRealmRole(role)
		}
	}
	if c.keepsAnswers() {
		c.GraphQL.Answers = &graphqlhttp.Answers{Store: answerStore, MayKeep: authz.IsFromToken}
	}
	err := errors.Join(limits.Install(server, c.Limits),
		authz.Install(server, schema, c.Authz), authz.AuditFromToken(schema))
	if err != nil {
		return nil, err
	}
	if err := graphqlhttp.Install(server, c.GraphQL); err != nil {
		return nil, err
	}
	return server, nil
}

// keepsAnswers reports whether the server caches the answers to queries of fields with @fromToken.
func (c Config) keepsAnswers() bool {
	return !c.DisableAnswerCache && c.HTTP.Middleware == nil && c.GraphQL.Answers == nil
}

// answerStore returns the store of the answers to queries with a request's access token, or nil.
func answerStore(ctx context.Context) graphqlhttp.AnswerStore {
	if answers := keycloak.AnswersFromContext(ctx); answers != nil {
		return answers
	}
	return nil // not an interface that holds a nil pointer
}

// A presenter is an apierror.Presenter that applies Config.RewriteDetail.
type presenter struct {
	apierror.Presenter
	config Config
}

func (p *presenter) Present(ctx context.Context, err error) *gqlerror.Error {
	presentedErr := p.Presenter.Present(ctx, err)
	if detail, ok := presentedErr.Extensions["detail"].(string); ok {
		presentedErr.Extensions["detail"] = p.config.rewriteDetail(detail)
	}
	return presentedErr
}

// Policy returns who may have each field of the schema that New would serve for config. It needs
// only config.Schema and config.Authz. If config.Schema is nil, it is the policy of CloakQL's own
// schema.
func Policy(config Config) (authz.PolicyTable, error) {
	if config.Schema == nil {
		config.Schema = func(*signin.Service) (graphql.ExecutableSchema, error) {
			if config.Federation {
				return generated.NewExecutableSchema(generated.Config{}), nil
			}
			return generated.NewExecutableSchema(
				generated.Config{Schema: graph.WithoutFederation()}), nil
		}
	}
	schema, err := config.Schema(nil)
	if err == nil && schema == nil {
		err = errors.New("cloakql: Config.Schema returned no schema")
	}
	if err != nil {
		return nil, err
	}
	return authz.Policy(schema.Schema(), config.Authz)
}

// Handler returns the handler for /graphql, /healthz, /readyz, /backchannel-logout unless
// Config.DisableBackchannelLogout is set, and the console if Config.HTTP.Console is set. Run serves
// this handler. If you serve it with an http.Server of your own, set that server's timeouts, and
// call Close after it has stopped. If Config.Store is set, Handler starts a goroutine that reads
// which sessions ended at other processes, until Close is called.
func (s *Server) Handler() http.Handler {
	if s == nil || s.handler == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, errZeroServer.Error(), http.StatusServiceUnavailable)
		})
	}
	if s.feed != nil && !s.draining.Load() {
		s.feed.Start()
	}
	return s.handler
}

// Run serves connections from listener until ctx is done. Then it finishes the requests in flight
// and returns nil. While Run serves, it refreshes the realm's keys even if there are no requests.
// It logs a warning if the server doesn't accept Keycloak's issuer. If listener fails, Run finishes
// the requests in flight and returns the listener's error. It always closes listener. A Server runs
// only once: Run returns an error if it was called before, or after Close.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	switch {
	case listener == nil:
		return errors.New("cloakql: Run needs a listener")
	case s == nil || s.handler == nil:
		listener.Close()
		return errZeroServer
	case s.draining.Load(), !s.running.CompareAndSwap(false, true):
		listener.Close()
		return errors.New(
			"cloakql: this Server has run, or is closed: make another with cloakql.New")
	}
	tasksCtx, stopTasks := context.WithCancel(context.WithoutCancel(ctx))
	var tasks sync.WaitGroup
	tasks.Go(func() { s.keys.Run(tasksCtx) })
	tasks.Go(func() {
		keycloak.WarnIssuer(tasksCtx, s.config.Realm, s.config.issuerNames(),
			s.config.Client.Transport, s.config.Log)
	})
	defer tasks.Wait()
	defer stopTasks()

	server := s.newHTTPServer()
	serveDone := make(chan error, 1)
	go func() { serveDone <- server.Serve(listener) }()

	var serveErr error
	select {
	case serveErr = <-serveDone:
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.config.Log.Info("stopping")
	// Shutdown comes before Close: requests in flight may still call Keycloak.
	drainCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drainTimeout())
	defer cancel()
	err := errors.Join(server.Shutdown(drainCtx), s.Close(drainCtx))
	server.Close() // closes connections that are still open
	if serveErr == nil {
		<-serveDone // wait until Serve has closed the listener
	}
	if err != nil {
		err = fmt.Errorf("stopped before every request was answered: %w", err)
	}
	return errors.Join(serveErr, err)
}

// Close waits for the calls to Keycloak that are in flight, even calls whose clients already have a
// response, because interrupting a refresh can end the user's session. If ctx is done first, Close
// returns ctx.Err(). After a call of Close, /readyz responds 503. Run calls Close.
func (s *Server) Close(ctx context.Context) error {
	if s == nil {
		return nil
	}
	s.draining.Store(true)
	if s.feed != nil {
		defer s.feed.Stop() // after the calls, which may end sessions
	}
	if s.client == nil {
		return nil
	}
	var checkErr error
	if s.checker != nil {
		checkErr = s.checker.Close(ctx)
	}
	return errors.Join(checkErr, s.client.Close(ctx))
}

// newHTTPServer returns an http.Server with timeouts for slow clients. It has no WriteTimeout,
// because the handler sets its own deadline for writing, with middleware.WriteDeadline.
func (s *Server) newHTTPServer() *http.Server {
	maxToken := s.config.Tokens.MaxBytes
	if maxToken == 0 {
		maxToken = keycloak.DefaultTokenMaxBytes
	}
	return &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		// Headers may be larger than the largest token, so that a token that is too large gets the
		// error that says so.
		MaxHeaderBytes: maxToken + 32<<10,
		ErrorLog:       librarylog.New(s.config.Log),

		DisableGeneralOptionsHandler: true, // OPTIONS * goes through Handler too
	}
}

// drainTimeout returns how long Run waits for requests in flight: longer than any request and its
// call to Keycloak take.
func (s *Server) drainTimeout() time.Duration {
	clientTimeout := s.config.Client.Timeout
	if clientTimeout <= 0 {
		clientTimeout = keycloak.DefaultTimeout
	}
	return readTimeout + s.config.requestTimeout() + clientTimeout + 5*time.Second
}

// serveReady responds 200 while tokens can be verified, and 503 otherwise. If there is a problem,
// the body says which. The server is ready while the shared store is unavailable.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	usable, fetchErr := s.keys.Status()
	storeProblem, storeErr := s.storeProblem(r.Context())
	status, text := http.StatusOK, "ready"
	detail := identity.Detail(fetchErr)
	switch {
	case s.draining.Load():
		status, text = http.StatusServiceUnavailable, "not ready: stopping"
	case !usable:
		status, text = http.StatusServiceUnavailable, "not ready: no keys to verify tokens with"
	case fetchErr != nil:
		text = "ready: the cached keys are still valid, but can't be refreshed"
	case storeErr != nil: // all processes may share the problem, so they must not all be not ready
		text, detail = "ready: "+storeProblem, storeErr.Error()
		if detail == store.ErrUnavailable.Error() { // text says so already
			detail = ""
		}
	}
	if s.config.Local && detail != "" {
		text += ": " + s.config.rewriteDetail(detail)
	}
	writeProbe(w, status, text)
}

// writeProbe writes the response to a probe. Its headers forbid caching.
func writeProbe(w http.ResponseWriter, status int, text string) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}

// logDenial returns an observer that logs each denial, and then calls next unless next is nil.
func logDenial(log *slog.Logger,
	next func(context.Context, authz.Denial)) func(context.Context, authz.Denial) {
	return func(ctx context.Context, denial authz.Denial) {
		if len(denial.Fields) > 0 {
			log.InfoContext(ctx, "access denied", "name", denial.Operation, "subject",
				denial.Subject, "fields", denial.Fields, "requestId", graphqlhttp.RequestID(ctx))
		}
		if len(denial.DryRun) > 0 {
			log.InfoContext(ctx, "access would be denied", "name", denial.Operation, "subject",
				denial.Subject, "fields", denial.DryRun, "requestId", graphqlhttp.RequestID(ctx))
		}
		if next != nil {
			next(ctx, denial)
		}
	}
}

// logRequest returns an observer that logs each request, and then calls next unless next is nil.
func logRequest(log *slog.Logger,
	next func(context.Context, graphqlhttp.Outcome)) func(context.Context, graphqlhttp.Outcome) {
	handler := log.Handler()
	return func(ctx context.Context, outcome graphqlhttp.Outcome) {
		if handler.Enabled(ctx, slog.LevelInfo) {
			// A Logger would also look up the caller of each line, and the record has room for five
			// attributes without an allocation.
			record := slog.NewRecord(time.Now(), slog.LevelInfo, "request", 0)
			record.AddAttrs(slog.String("operation", outcome.Operation),
				slog.String("name", outcome.Name), slog.Int("status", outcome.Status),
				slog.Duration("duration", outcome.Duration),
				slog.String("requestId", outcome.RequestID))
			if len(outcome.Codes) > 0 {
				record.AddAttrs(slog.Any("codes", outcome.Codes))
			}
			if outcome.Untrusted {
				record.AddAttrs(slog.Bool("untrusted", true))
			}
			handler.Handle(ctx, record)
		}
		if next != nil {
			next(ctx, outcome)
		}
	}
}
