// Package graph implements CloakQL's GraphQL schema: it has the resolvers, and binds the
// directives. Package apierror turns the errors of resolvers into the errors that clients see.
//
// To read the source, start with NewSchema, and then read a resolver (session.resolvers.go).
// Resolvers have no logic of their own: each calls a method of signin.Service or
// identity.Require. The package doesn't depend on Keycloak or HTTP.
//
// gqlgen writes graph/generated from schema/*.graphqls. For each new field, it adds a stub to a
// *.resolvers.go file. Don't put helpers into the *.resolvers.go files: gqlgen comments them out.
package graph

import (
	"errors"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/graph/generated"
)

// NewSchema returns the schema with its resolvers and access rules. It returns an error if a root
// field has no access rule, if a field with @fromToken may depend on more than the token, if a
// directive isn't bound to a function, or if a field of r isn't set. The error names the field or
// the directive.
func NewSchema(r *Resolver) (graphql.ExecutableSchema, error) {
	if r == nil || r.SignIn == nil {
		return nil, errors.New("graph: Resolver.SignIn is missing: make it with signin.New")
	}
	// If you add directives to the schema, set their functions in this DirectiveRoot.
	directives, err := authz.Bind(generated.DirectiveRoot{})
	if err != nil {
		return nil, err
	}
	config := generated.Config{Resolvers: r, Directives: directives}
	if !r.Federation {
		config.Schema = WithoutFederation()
	}
	schema := generated.NewExecutableSchema(config)
	err = errors.Join(authz.Audit(schema.Schema(), guards...), authz.AuditFromToken(schema))
	if err != nil {
		return nil, err
	}
	return schema, nil
}

// guards has the names, without the @, of the directives other than auth that reject
// unauthenticated callers. A root field that isn't public needs one of these directives or auth.
var guards []string
