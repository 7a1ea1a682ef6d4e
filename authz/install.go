package authz

import (
	"context"
	"errors"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/identity"
)

// DefaultAuth is a value of Config.Default.
const DefaultAuth = "auth"

// A Config configures Install, Policy and the audit. The zero value requires a rule of each root
// field, and enforces all rules.
type Config struct {
	// Guards lists the schema's own directives, without the @, that reject unauthenticated callers.
	// The application binds their functions, and gqlgen calls them for each field.
	Guards []string

	// Default is the rule of root fields that carry no rule: DefaultAuth stands for @auth. If
	// Default is empty, Install returns an error for such a field.
	Default string

	// Names gives directives of Schema other names: the key is the name in Schema, and the value
	// the name in the application's schema, both without the @.
	Names map[string]string

	// AllOrNothing makes a query fail as a whole if one of its fields is denied, as a mutation
	// does. Otherwise, the denied fields are null, with an error for each, and the rest runs.
	AllOrNothing bool

	// DryRun lists types and fields, such as Note and Query.notes. The rules that they carry, other
	// than @auth, deny nothing: Observe gets the fields that they would deny. Use DryRun to try
	// a rule on an API that has clients. Until the name is removed from DryRun, keep @auth on the
	// field too: a dry run doesn't affect @auth.
	DryRun []string

	// Explain adds the arguments of the rule that denies a field to the error, in
	// extensions.required.
	Explain bool

	// Present presents the errors of an operation of which nothing runs. It should be the error
	// presenter of the server. The default is graphql.DefaultErrorPresenter.
	Present graphql.ErrorPresenterFunc

	// Observe, if set, is called once for each operation in which a rule denies a field or, in a
	// dry run, would deny a field. It is called after the operation's first response, and must not
	// block.
	Observe func(context.Context, Denial)

	// Now returns the current time, for @stepUp. The default is time.Now.
	Now func() time.Time
}

// A Denial says which fields of an operation the caller may not have.
type Denial struct {
	Operation string   // the operation's name, or ""
	Subject   string   // the caller's ID, or "" without a valid token
	Fields    []string // the denied fields, such as Query.notes, sorted; at most 50
	DryRun    []string // the fields that would be denied without DryRun, sorted; at most 50
}

// Install makes a gqlgen server apply the access rules of its schema: it decides which fields the
// caller may have before any resolver runs. It returns an error if the schema fails the audit (see
// Audit), or if a rule or a field of config is invalid. Call it once per server. schema must be the
// one that the server was made with.
//
// keycloak.Middleware has to put the caller into the context of requests. Without a caller, every
// rule denies.
func Install(server *handler.Server, schema graphql.ExecutableSchema, config Config) error {
	if server == nil {
		return errors.New("authz: Install has no server: make one with gqlgen's handler.New")
	}
	if schema == nil {
		return errors.New("authz: there is no schema to audit")
	}
	rules, err := compile(schema.Schema(), config)
	if err != nil {
		return err
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Present == nil {
		config.Present = graphql.DefaultErrorPresenter
	}
	e := &enforcer{rules: rules, config: config}
	server.Use(e)
	if e.otherSchema {
		return errors.New("authz: the server was made with another schema: give Install the " +
			"value " +
			"that handler.New got, and let its method Schema always return the same pointer")
	}
	return nil
}

// An enforcer applies the access rules to each operation of a server.
type enforcer struct {
	rules  *schemaRules
	config Config
	// otherSchema is set if the server's schema isn't that of rules.
	otherSchema bool
}

var _ graphql.OperationInterceptor = (*enforcer)(nil)

// ExtensionName returns the extension's name, for gqlgen.
func (*enforcer) ExtensionName() string { return "Authz" }

// Validate returns nil, because Install returns the errors. gqlgen calls it in Use, with the schema
// that the server was made with.
func (e *enforcer) Validate(schema graphql.ExecutableSchema) error {
	e.otherSchema = schema.Schema() != e.rules.schema
	return nil
}

// InterceptOperation decides which fields the caller may have, and runs the operation without the
// others.
func (e *enforcer) InterceptOperation(ctx context.Context,
	next graphql.OperationHandler) graphql.ResponseHandler {
	opCtx := graphql.GetOperationContext(ctx)
	c := &caller{now: e.config.Now()}
	c.user, c.err = identity.Require(ctx)
	d := e.rules.decide(opCtx.Operation, opCtx.Variables, c, e.config.AllOrNothing)
	d.opCtx = opCtx
	ctx = context.WithValue(ctx, decisionKey{}, d)
	if d.stopped { // no resolver may run
		return e.stop(ctx, d)
	}
	// Decide about each field that runs, if some may be denied: those in d.denied, and those whose
	// rules depend on the type of their object.
	if d.perObject || len(d.denied) > 0 {
		resolve := opCtx.ResolverMiddleware
		opCtx.ResolverMiddleware = func(ctx context.Context, next graphql.Resolver) (any, error) {
			field := graphql.GetFieldContext(ctx)
			if err := d.deny(field.Object, field.Field.Field); err != nil {
				return nil, d.fieldError(field.Field.Field, err)
			}
			if isEntitiesField(field.Field.Definition) {
				return d.resolveEntities(ctx, func(ctx context.Context) (any, error) {
					return resolve(ctx, next)
				})
			}
			return resolve(ctx, next)
		}
	}
	respond := next(ctx)
	if !d.perObject && len(d.denied) == 0 && len(d.dryRunNames.names) == 0 {
		return respond
	}
	observed := false
	return func(ctx context.Context) *graphql.Response {
		response := respond(ctx)
		if !observed { // a subscription has several responses
			observed = true
			e.observe(ctx, d)
		}
		return response
	}
}

// maxErrorsWithPath bounds the errors of an operation for which gqlgen builds a path.
const maxErrorsWithPath = 100

// fieldError returns the error for a denied field. Beyond the first errors of an operation, the
// error has no path: a path costs more than resolving a field, and package graphqlhttp sends only
// the first 100 errors.
func (d *decision) fieldError(field *ast.Field, err error) error {
	if d.denials.Add(1) <= maxErrorsWithPath {
		return err // gqlgen adds the path and the location
	}
	fieldErr := &gqlerror.Error{Err: err, Message: err.Error(), Path: ast.Path{}}
	if position := field.Position; position != nil {
		fieldErr.Locations = []gqlerror.Location{{Line: position.Line, Column: position.Column}}
	}
	return fieldErr
}

// stop returns the response to an operation of which nothing runs.
func (e *enforcer) stop(ctx context.Context, d *decision) graphql.ResponseHandler {
	response := &graphql.Response{Data: []byte("null")}
	paths := map[string]bool{}
	for _, denied := range d.denied {
		d.deniedNames.add(coordinate(denied.field))
		node := &pathNode{denied.path, denied.field}
		ctx := node.context(ctx, d.vars)
		path := graphql.GetPath(ctx)
		if paths[path.String()] { // an operation may select a field twice
			continue
		}
		paths[path.String()] = true
		err := &gqlerror.Error{Err: denied.err, Message: denied.err.Error(), Path: path}
		if position := denied.field.Position; position != nil {
			err.Locations = []gqlerror.Location{{Line: position.Line, Column: position.Column}}
		}
		response.Errors = append(response.Errors, e.config.Present(ctx, err))
	}
	respond := graphql.OneShot(response)
	return func(ctx context.Context) *graphql.Response {
		response := respond(ctx)
		if response != nil {
			e.observe(ctx, d)
		}
		return response
	}
}

// context returns ctx with a gqlgen FieldContext for each field on the path to p, and for p.
func (p *pathNode) context(ctx context.Context, vars map[string]any) context.Context {
	if p == nil {
		return ctx
	}
	return graphql.WithFieldContext(p.parent.context(ctx, vars), &graphql.FieldContext{
		Object: objectName(p.field),
		Field:  graphql.CollectedField{Field: p.field},
		Args:   p.field.ArgumentMap(vars),
	})
}

// observe calls Config.Observe if a field was denied or, in a dry run, would have been denied.
func (e *enforcer) observe(ctx context.Context, d *decision) {
	denial := Denial{Fields: d.deniedNames.list(), DryRun: d.dryRunNames.list()}
	if e.config.Observe == nil || len(denial.Fields)+len(denial.DryRun) == 0 {
		return
	}
	if opCtx := graphql.GetOperationContext(ctx); opCtx.Operation != nil {
		denial.Operation = opCtx.Operation.Name
	}
	if d.caller.user != nil {
		denial.Subject = d.caller.user.ID
	}
	e.config.Observe(ctx, denial)
}

type decisionKey struct{}

// isDecided reports whether ctx has a decision about its own operation. It has one about another
// operation if a resolver passes its context to another GraphQL server.
func isDecided(ctx context.Context) bool {
	d, ok := ctx.Value(decisionKey{}).(*decision)
	return ok && graphql.HasOperationContext(ctx) && graphql.GetOperationContext(ctx) == d.opCtx
}
