// Package graph is our GraphQL schema at work: the resolvers, and the binding of its directives.
// What clients see of the errors that resolvers return is in package apierror.
//
// Start with NewSchema, then a resolver (session.resolvers.go). Resolvers translate and don't
// think: each calls a use case of package signin or returns the caller. Nothing here knows Keycloak
// or HTTP.
//
// gqlgen writes graph/generated from schema/*.graphqls, and adds a stub to a *.resolvers.go file
// for each new field. Keep helpers out of those files: gqlgen comments them out.
package graph

import (
	"errors"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/graph/generated"
)

// NewSchema returns the schema with its resolvers and its access rules. It fails, naming the field,
// when a root field has no access rule, when a directive of the schema is bound to nothing, and
// when the resolver is incomplete.
func NewSchema(r *Resolver) (graphql.ExecutableSchema, error) {
	if r == nil || r.SignIn == nil {
		return nil, errors.New("graph: Resolver.SignIn is missing: make it with signin.New")
	}
	// A directive of your own goes into this DirectiveRoot.
	directives, err := authz.Bind(generated.DirectiveRoot{})
	if err != nil {
		return nil, err
	}
	schema := generated.NewExecutableSchema(generated.Config{Resolvers: r, Directives: directives})
	if err := authz.Audit(schema.Schema(), guards...); err != nil {
		return nil, err
	}
	return schema, nil
}

// guards are the directives of NewSchema, without the @, that refuse unknown callers, beside auth.
// A directive that isn't named here guards nothing in the eyes of the audit, and the server doesn't
// start.
var guards []string
