// Command cloakql serves the GraphQL face of a Keycloak realm.
//
// This package wires the others together and decides nothing: config.go reads the settings; run builds
// the parts, introduces them to each other, listens, and stops. Read newHandler for the way of a request.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/console"
	"github.com/cloakql/cloakql/graph"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/identity"
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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Environ(), ".", os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and then until the requests under way are answered. It returns nil after an
// orderly stop. environ and dir are where the settings come from; log lines go to out.
func run(ctx context.Context, environ []string, dir string, out io.Writer) error {
	beside, err := develop(environ, dir)
	if err != nil {
		return err
	}
	if beside.stop != nil {
		defer beside.stop()
	}
	config, err := readConfig(beside.environ, dir)
	if err != nil {
		if beside.note != "" {
			err = fmt.Errorf("%w\n%s", err, beside.note)
		}
		return err
	}
	config.ConsoleUsers = beside.users
	log := newLog(config, out)
	redirectStandardLog(log)
	for _, warning := range config.Warnings {
		log.Warn(warning)
	}

	calls := keycloak.NewTransport()
	keys := keycloak.NewKeySet(config.Realm, keycloak.KeySetConfig{MaxAge: config.KeysMaxAge, Transport: calls, Log: log})
	realm, err := keycloak.NewClient(keycloak.ClientConfig{
		Realm: config.Realm, ClientID: config.ClientID, ClientSecret: config.ClientSecret, LoginScope: config.LoginScope,
		Timeout: config.KeycloakTimeout, RefreshGrace: config.RefreshGrace,
		RefreshGraceAnyNetwork: config.GraceAnyNetwork, Transport: calls, Log: log,
		MaxLogins: config.MaxLogins, MaxRefreshes: config.MaxRefreshes, MaxLogouts: config.MaxLogouts, ForwardAddress: config.ForwardAddress,
		RefusalPause: config.RefusalPause,
	})
	if err != nil {
		return err
	}
	var draining atomic.Bool
	handler, err := newHandler(config, realm, keys, &draining, log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", config.Addr)
	if err != nil {
		return listenFault(config.Addr, err)
	}

	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	var tasks sync.WaitGroup
	tasks.Go(func() { keys.Run(background) })
	tasks.Go(func() { keycloak.WarnIssuer(background, config.Realm, config.Issuers, calls, log) })
	defer tasks.Wait()
	defer stopBackground()

	server := newServer(config, handler, log)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	url := "http://" + listener.Addr().String() + "/graphql"
	log.Info("serving", "url", url, "config", config)
	if beside.announce != nil {
		beside.announce(out, url)
	}

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	draining.Store(true)
	log.Info("stopping")
	// Requests first: they are what starts exchanges with Keycloak. The longest of both, and some.
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout+config.RequestTimeout+config.KeycloakTimeout+5*time.Second)
	defer cancel()
	if err := errors.Join(server.Shutdown(drain), realm.Close(drain)); err != nil {
		return fmt.Errorf("stopped before every request was answered: %w", err)
	}
	return nil
}

// listenFault says what to set where the address can't be had.
func listenFault(addr string, err error) error {
	host, port, _ := net.SplitHostPort(addr)
	switch number, _ := strconv.Atoi(port); {
	case errors.Is(err, syscall.EADDRINUSE):
		other := net.JoinHostPort(host, strconv.Itoa(max(1024, number%65535+1)))
		return fmt.Errorf("ADDR: another program listens on %s already: end it, or set ADDR to "+
			"another address, such as ADDR=%s", addr, other)
	case errors.Is(err, syscall.EACCES):
		other := net.JoinHostPort(host, "8000")
		return fmt.Errorf("ADDR: this user may not listen on %s: set ADDR to a port from 1024 "+
			"on, such as ADDR=%s", addr, other)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		other := net.JoinHostPort("", port) // all of them
		if isLoopback(host) {
			other = net.JoinHostPort("127.0.0.1", port)
		}
		return fmt.Errorf("ADDR: %s is no address of this machine: set ADDR to one that is, "+
			"such as ADDR=%s", addr, other)
	}
	return fmt.Errorf("ADDR: %w", err)
}

// A companion is what stands in for Keycloak on a developer's machine, in a binary with the build tag dev; in
// every other, dev_off.go makes an empty one.
type companion struct {
	environ []string // the process environment, with the companion's settings
	// what to know beside a fault of the settings; empty for nothing
	note     string
	users    []console.User                  // whom the console's form offers
	announce func(out io.Writer, url string) // tells people, once the server listens; nil for nothing
	stop     func()                          // nil when there is nothing to stop
}

// newServer states every limit that a connection has; withWriteDeadline adds the one for slow readers.
func newServer(config Config, handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    config.TokenMaxBytes + 32<<10, // a token that is too large gets an answer that says so
		ErrorLog:          serverLog(log),

		DisableGeneralOptionsHandler: true, // OPTIONS * goes the way of all requests
	}
}

// newHandler builds the way of a request: CORS, the host, the bearer token, GraphQL over HTTP, the
// limits, the schema.
func newHandler(config Config, realm signin.Realm, keys *keycloak.KeySet, draining *atomic.Bool, log *slog.Logger) (http.Handler, error) {
	verifier, err := keycloak.NewVerifier(keycloak.VerifierConfig{
		Issuers:  []keycloak.Issuer{{Names: config.Issuers, Keys: keys}},
		Audience: config.Audience, AuthorizedParty: config.AuthorizedParty,
		AuthorizedParties: config.Parties, MaxBytes: config.TokenMaxBytes,
		Algorithms: config.TokenAlgorithms,
	})
	if err != nil {
		return nil, err
	}
	config.Budgets.Log = log
	budgets, err := throttle.New(config.Budgets)
	if err != nil {
		return nil, err
	}
	service, err := signin.New(realm, budgets)
	if err != nil {
		return nil, err
	}
	schema, err := graph.NewSchema(&graph.Resolver{SignIn: service})
	if err != nil {
		return nil, err
	}
	failures := apierror.Presenter{Log: log, Detail: config.Local, RequestID: graphqlhttp.RequestID}
	graphql := handler.New(schema)
	graphql.SetErrorPresenter(func(ctx context.Context, err error) *gqlerror.Error {
		return nameSettingsIn(failures.Present(ctx, err))
	})
	graphql.SetRecoverFunc(failures.Recover)
	documents := config.Document
	documents.Cache = limits.NewCache(config.DocumentCacheBytes)
	graphql.SetParserTokenLimit(documents.Tokens)
	graphql.SetQueryCache(documents.Cache)
	graphql.Use(documents)
	graphql.Use(&graphqlhttp.Inputs{})
	if config.Local {
		graphql.Use(extension.Introspection{})
		graphql.SetValidationRulesFn(limits.Rules(nil))
	} else {
		graphql.SetDisableSuggestion(true)
		graphql.SetValidationRulesFn(limits.Rules(graphqlhttp.RulesWithoutSuggestions))
	}
	transport := graphqlhttp.Transport{
		MaxBodyBytes: int64(config.MaxBodyBytes), MaxNesting: config.MaxBodyDepth, MaxValues: config.MaxBodyValues, MaxResponseBytes: int64(config.MaxResponseBytes), Timeout: config.RequestTimeout,
		DisableGET: !config.GetQueries, HideSchema: !config.Local, Manifest: config.Manifest, ManifestLogOnly: config.ManifestLogOnly, Observe: logRequest(log),
	}
	if config.PersistedQueriesBytes > 0 {
		transport.Documents = graphqlhttp.NewDocumentStore(int64(config.PersistedQueriesBytes))
	}
	graphql.AddTransport(transport)

	mux := http.NewServeMux()
	address := throttle.Addresses(throttle.AddressConfig{Trusted: config.TrustedProxies, Log: log})
	operations := address(keycloak.Middleware(verifier, log)(graphql))
	mux.Handle("/graphql", operations)
	mux.Handle("/graphql/{$}", operations) // clients and proxies add a slash, and a redirect would lose the body
	if config.Console {
		page := console.Handler(config.ConsoleUsers...)
		mux.Handle("/{$}", page)
		mux.Handle("/console/", page)
	}
	mux.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, _ *http.Request) {
		writeProbe(w, http.StatusOK, "alive")
	})
	mux.Handle("GET "+readyPath, readiness(keys, draining, config.Local))
	hosts := hostRule{local: config.Local, allowed: config.AllowedHosts,
		trusted: config.TrustedProxies}
	// CORS is around all of it, so that a page can read what is refused: a wrong path, or a wrong
	// host.
	pages := withCORS(config.CORSOrigins, hosts.handler(log, mux))
	return withWriteDeadline(config.RequestTimeout+readTimeout+5*time.Second, pages), nil
}

// readiness answers 200 while tokens can be verified, naming what is amiss, and 503 otherwise.
func readiness(keys *keycloak.KeySet, draining *atomic.Bool, local bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		usable, failure := keys.Status()
		status, text := http.StatusOK, "ready"
		switch {
		case draining.Load():
			status, text = http.StatusServiceUnavailable, "not ready: stopping"
		case !usable:
			status, text = http.StatusServiceUnavailable, "not ready: no keys to verify tokens with"
		case failure != nil:
			text = "ready: the keys held are good, but can't be fetched anew"
		}
		if local && failure != nil {
			text += ": " + settingNames.Replace(identity.Detail(failure))
		}
		writeProbe(w, status, text)
	}
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

// withWriteDeadline cuts off clients that don't read. It is set for each request, since one for the
// whole server would also end event streams.
func withWriteDeadline(d time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A writer without deadlines, such as httptest's recorder, has no slow client behind it.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
		next.ServeHTTP(w, r)
	})
}

func logRequest(log *slog.Logger) func(context.Context, graphqlhttp.Outcome) {
	return func(ctx context.Context, o graphqlhttp.Outcome) {
		attributes := []slog.Attr{
			slog.String("operation", o.Operation), slog.String("name", o.Name), slog.Int("status", o.Status),
			slog.Any("codes", o.Codes), slog.Duration("duration", o.Duration), slog.String("requestId", o.RequestID),
		}
		if o.Untrusted {
			attributes = append(attributes, slog.Bool("untrusted", true))
		}
		log.LogAttrs(ctx, slog.LevelInfo, "request", attributes...)
	}
}

// newLog writes lines for people on a developer's machine, and JSON for machines elsewhere.
func newLog(config Config, out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{ReplaceAttr: nameSettings}
	if config.Local {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options))
}
