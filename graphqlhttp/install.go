package graphqlhttp

import (
	"context"
	"errors"
	"fmt"
	"time"

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

const maxNesting = 1_000 // the reader is recursive

// A Config says how a server speaks GraphQL over HTTP. Its zero value is strict, and lacks Errors
// only. A limit that is zero is the default of its name.
type Config struct {
	// Errors presents errors of fields and recovers from panics: an *apierror.Presenter, or a type
	// of the server's own. It is required: gqlgen's own presenter shows clients the text of every
	// error.
	Errors Errors

	// Introspection is for a developer's machine: it serves the schema to everybody, and lets
	// errors of validation name and suggest what is in it. Without it the schema can't be read, not
	// even through an error: that says where a document is wrong, not that the type of a field is
	// Person.
	Introspection bool

	// AllowGET serves queries by GET too. Without it, GET and HEAD are answered 405.
	AllowGET bool

	// MaxBodyBytes bounds the body of a POST, and the query string of a GET; a longer one is
	// answered 413, and not read where its Content-Length tells.
	MaxBodyBytes int64

	// MaxNesting bounds how many lists and objects are open at once in the JSON of a request, its
	// own braces included. The maximum is 1,000, since the reader is recursive.
	MaxNesting int

	// MaxValues bounds how many values the JSON of a request has, nested ones and what holds them
	// counted too: each costs many times its text.
	MaxValues int

	// MaxResponseBytes bounds the body of a response: a longer one is left out, and the request
	// fails with the code RESPONSE_TOO_LARGE, at 200 since it ran. gqlgen has the data whole in
	// memory by then, once; it isn't copied.
	MaxResponseBytes int64

	// Timeout bounds the execution of one request: when it has passed, the context of the resolvers
	// ends, and what hasn't begun fails with the code TIMEOUT. A resolver that ignores its context
	// is waited for, and its result is returned. Slow senders and readers are for the http.Server
	// to cut off.
	Timeout time.Duration

	// PersistedQueryBytes is how much memory Apollo's automatic persisted queries may take: a
	// client sends the SHA-256 of a query instead of its text, and the text when the answer is
	// PERSISTED_QUERY_NOT_FOUND. The queries that are used most stay. Zero turns them off: the
	// answer is PERSISTED_QUERY_NOT_SUPPORTED, after which Apollo Client doesn't ask again.
	PersistedQueryBytes int64

	// Manifest, if set, is what may run: an operation must be named by an id of the manifest in
	// extensions.persistedQuery.sha256Hash, or its text be one of the manifest's, byte for byte.
	// All else fails with the code OPERATION_NOT_ALLOWED, unparsed.
	Manifest *Manifest

	// ManifestLogOnly runs the others too, and tells Observe: for the time until every client is in
	// the manifest.
	ManifestLogOnly bool

	// DisableInputCoercion leaves values as gqlparser takes them, for a schema whose Int is a Go
	// int64 on purpose. Without it, values are held to GraphQL's input coercion (September 2025,
	// section 3.5) before anything runs, and fail with the code BAD_USER_INPUT, which never says
	// the value: gqlgen's generated code would refuse them when the field runs, as an internal
	// error, or panic. An Int has 32 bits and no fraction, a Float is finite, neither is a string,
	// an enum value is spelt as in the schema, an input object has no member __typename, an object
	// isn't a value of a scalar, and a variable that is null isn't a value where none may be.
	// Custom scalars take what they like.
	DisableInputCoercion bool

	// Observe, if set, is called once for each request after it was answered. It must not block.
	Observe func(context.Context, Outcome)
}

// Errors are gqlgen's two hooks for what goes wrong in a field. They are safe for concurrent use.
type Errors interface {
	// Present returns what a client sees of an error. ctx is that of the field.
	Present(ctx context.Context, err error) *gqlerror.Error
	// Recover returns the error of a field that panicked, for Present.
	Recover(ctx context.Context, value any) error
}

// Install makes a new gqlgen server speak GraphQL over HTTP: it adds the transport and input
// coercion, and sets the error hooks, introspection and suggestions, which must agree with each
// other. It fails, naming the field, where config is no use, and leaves the server as it was then.
// Call it once for a server, before or after limits.Install; neither needs another call.
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
	server.SetErrorPresenter(t.Errors.Present)
	server.SetRecoverFunc(t.Errors.Recover)
	server.SetDisableSuggestion(!t.Introspection)
	if t.Introspection {
		server.Use(extension.Introspection{})
	}
	if !t.DisableInputCoercion {
		server.Use(&inputCoercion{})
	}
	server.AddTransport(t)
}

// validate reports every fault of a Config.
func (c Config) validate() error {
	var faults []error
	if c.Errors == nil {
		faults = append(faults,
			errors.New("graphqlhttp: Config.Errors is missing: expected an *apierror.Presenter"))
	} else if checked, ok := c.Errors.(interface{ Validate() error }); ok {
		if err := checked.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("graphqlhttp: Config.Errors: %w", err))
		}
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
			faults = append(faults, fmt.Errorf("graphqlhttp: Config.%s is below zero", limit.name))
		}
	}
	if c.MaxNesting > maxNesting {
		faults = append(faults,
			fmt.Errorf("graphqlhttp: Config.MaxNesting is %d: expected at most %d", c.MaxNesting,
				maxNesting))
	}
	return errors.Join(faults...)
}
