// Package graph implements CloakQL's GraphQL schema: it has the resolvers, and binds the
// directives. Package apierror turns the errors of resolvers into the errors that clients see.
//
// Start with NewSchema, then read a resolver (session.resolvers.go). Resolvers have no logic of
// their own: each calls a use case of package signin, or returns the caller. The package doesn't
// depend on Keycloak or HTTP.
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

// NewSchema returns the schema with its resolvers and access rules. It returns an error that names
// the field or directive if a root field has no access rule, if a directive of the schema isn't
// bound, or if r lacks a field.
func NewSchema(r *Resolver) (graphql.ExecutableSchema, error) {
	if r == nil || r.SignIn == nil {
		return nil, errors.New("graph: Resolver.SignIn is missing: make it with signin.New")
	}
	// If you add directives to the schema, set their functions in this DirectiveRoot.
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

// guards lists the directives besides auth, without the @, that reject unauthenticated callers. The
// audit accepts no other directives as guards: a root field that has only other directives keeps
// the server from starting.
var guards []string
