package graphqlhttp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// The defaults of a Config.
const (
	DefaultMaxBodyBytes     = 64 << 10
	DefaultMaxNesting       = 64
	DefaultMaxValues        = 2000
	DefaultMaxResponseBytes = 4 << 20
	DefaultTimeout          = 15 * time.Second
)

const maxNestingLimit = 1_000 // the JSON decoder is recursive

// A Config configures Install. Only Errors is required. A limit of zero stands for the default of
// the same name; every other zero value is the strict choice.
type Config struct {
	// Errors presents field errors and recovers from panics. Use an *apierror.Presenter or your own
	// type. It is required because gqlgen's default presenter shows clients the text of every
	// error.
	Errors Errors

	// Introspection serves the schema to everyone, and lets validation errors name and suggest
	// parts of it. It is meant for development. Without it, errors don't reveal the schema: they
	// say where a document is wrong, but not, for example, that a field's type is Person.
	Introspection bool

	// MayIntrospect, if set, is called for each operation, and reports whether its sender may query
	// the schema. Even if it returns true, errors don't reveal the schema. If Introspection is set,
	// MayIntrospect isn't called.
	MayIntrospect func(context.Context) bool

	// AllowGET also serves queries by GET and HEAD. Without it, GET and HEAD fail with status 405.
	AllowGET bool

	// MaxBodyBytes bounds the body of a POST and the query string of a GET. A larger request fails
	// with status 413. A body whose Content-Length is too large isn't read.
	MaxBodyBytes int64

	// MaxNesting bounds how deep lists and objects nest in the JSON of a request; the outermost
	// object counts. It may be at most 1,000, since the decoder is recursive.
	MaxNesting int

	// MaxValues bounds the number of values in the JSON of a request. Lists and objects count, and
	// so do the values in them. A decoded value takes many times the memory of its text.
	MaxValues int

	// MaxResponseBytes bounds the body of a response. A larger response is replaced by the error
	// RESPONSE_TOO_LARGE, with status 200 because the operation ran. The limit doesn't bound the
	// memory for the result: gqlgen has built the whole result by then. The result isn't copied.
	MaxResponseBytes int64

	// Timeout bounds the execution of a request. When it has passed, the resolvers' context is
	// done, and fields that haven't started fail with the code TIMEOUT. A resolver that ignores its
	// context is waited for, and its result is returned. Timeouts for slow clients belong to the
	// http.Server.
	Timeout time.Duration

	// PersistedQueryBytes bounds the memory for Apollo's automatic persisted queries. A client
	// sends the SHA-256 of a query instead of its text, and sends the text after the error
	// PERSISTED_QUERY_NOT_FOUND. The most used queries are kept. Zero turns persisted queries off:
	// then the error is PERSISTED_QUERY_NOT_SUPPORTED, and Apollo Client stops sending hashes.
	PersistedQueryBytes int64

	// SharedQueries, if set, stores persisted queries for several processes, in addition to this
	// process's memory. It is used only if PersistedQueryBytes isn't zero.
	SharedQueries SharedQueries

	// Manifest, if set, lists the operations that may run. A request names an operation by its id,
	// in extensions.persistedQuery.sha256Hash, or sends its exact text. Any other document fails
	// with the code OPERATION_NOT_ALLOWED and isn't parsed.
	Manifest *Manifest

	// ManifestLogOnly also runs documents that aren't in the manifest, and reports them to Observe
	// as Untrusted. Use it until the manifest has the operations of all clients.
	ManifestLogOnly bool

	// DisableInputCoercion accepts all values that gqlparser accepts, for a schema whose Int is a
	// Go int64 on purpose. Otherwise, values must pass GraphQL's input coercion (September 2025,
	// section 3.5) before execution starts, or the request fails with the code BAD_USER_INPUT and a
	// message that doesn't quote the value. gqlgen's generated code would reject such values only
	// when the field runs, with an internal error or a panic. The rules: an Int has 32 bits and no
	// fraction; a Float is finite; neither may be a string; an enum value is spelled as in the
	// schema; an input object has no field __typename; an object isn't a scalar; a non-null
	// position doesn't accept a null variable. Custom scalars check their own values.
	DisableInputCoercion bool

	// Answers, if set, caches responses that depend only on the caller. Without it, every operation
	// runs.
	Answers *Answers

	// Observe, if set, is called once per request, after the response. It must not block.
	Observe func(context.Context, Outcome)
}

// Errors are gqlgen's error hooks. They must be safe for concurrent use.
type Errors interface {
	// Present returns the error that a client sees for err. ctx is the context of the field.
	Present(ctx context.Context, err error) *gqlerror.Error
	// Recover returns an error for a panic's value. The error is then passed to Present.
	Recover(ctx context.Context, value any) error
}

// Install makes a new gqlgen server speak GraphQL over HTTP. It adds the transport and input
// coercion, and sets the error hooks, introspection and suggestions consistently. If config is
// invalid, it returns an error that names each bad field, and leaves the server unchanged. Call it
// once per server, before or after limits.Install.
func Install(server *handler.Server, config Config) error {
	if server == nil {
		return errors.New("graphqlhttp: Install has no server: make one with gqlgen's handler.New")
	}
	if err := config.validate(); err != nil {
		return err
	}
	newTransport(config).install(server)
	return nil
}

func (t *httpTransport) install(server *handler.Server) {
	server.SetErrorPresenter(t.presentFieldError)
	server.SetRecoverFunc(t.Errors.Recover)
	server.SetDisableSuggestion(!t.Introspection)
	if t.Introspection {
		server.Use(extension.Introspection{})
	} else if t.MayIntrospect != nil {
		server.Use(introspectionFor(t.MayIntrospect))
	}
	if !t.DisableInputCoercion {
		server.Use(&inputCoercion{})
	}
	server.AddTransport(t)
}

// introspectionFor enables introspection for operations whose context it accepts.
type introspectionFor func(context.Context) bool

var _ graphql.OperationContextMutator = introspectionFor(nil)

// ExtensionName returns the extension's name, for gqlgen.
func (introspectionFor) ExtensionName() string { return "IntrospectionFor" }

// Validate returns nil: any schema may be introspected.
func (introspectionFor) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext enables or disables introspection.
func (f introspectionFor) MutateOperationContext(ctx context.Context,
	opCtx *graphql.OperationContext) *gqlerror.Error {
	opCtx.DisableIntrospection = !f(ctx)
	return nil
}

// validate returns an error for each invalid field of c, joined.
func (c Config) validate() error {
	var errs []error
	if c.Errors == nil {
		errs = append(errs,
			errors.New("graphqlhttp: Config.Errors is missing: expected an *apierror.Presenter"))
	} else if validator, ok := c.Errors.(interface{ Validate() error }); ok {
		if err := validator.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("graphqlhttp: Config.Errors: %w", err))
		}
	}
	if c.Answers != nil && (c.Answers.Store == nil || c.Answers.MayKeep == nil) {
		errs = append(errs, errors.New(
			"graphqlhttp: Config.Answers is incomplete: expected both Store and MayKeep"))
	}
	for _, limit := range []struct {
		name  string
		value int64
	}{
		{"MaxBodyBytes", c.MaxBodyBytes}, {"MaxNesting", int64(c.MaxNesting)},
		{"MaxValues", int64(c.MaxValues)}, {"MaxResponseBytes", c.MaxResponseBytes},
		{"Timeout", int64(c.Timeout)}, {"PersistedQueryBytes", c.PersistedQueryBytes},
	} {
		if limit.value < 0 {
			errs = append(errs, fmt.Errorf("graphqlhttp: Config.%s is below zero", limit.name))
		}
	}
	if c.MaxNesting > maxNestingLimit {
		errs = append(errs, fmt.Errorf("graphqlhttp: Config.MaxNesting is %d: expected at most %d",
			c.MaxNesting, maxNestingLimit))
	}
	return errors.Join(errs...)
}
