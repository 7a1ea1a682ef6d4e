// Package authz enforces who may call a field. The rules are directives in the schema. This package
// implements them (authz.go), and checks that every root field has one (audit.go).
//
// To use it in a gqlgen server of your own, add the directives of Schema to the schema, bind their
// functions in the generated DirectiveRoot with Bind, and call Audit once, before the server
// listens:
//
//	directives, err := authz.Bind(generated.DirectiveRoot{})
//	err = authz.Audit(schema.Schema())
//
// Register a guard of your own by its name: authz.Audit(schema, "hasTenant"). If you forget it,
// Audit returns an error for each field that has no other rule, with the directives of the field.
//
// keycloak.Middleware puts the caller into the context (identity.Require). A denied field fails
// with an error of package identity. Package apierror turns this error into the code and the reason
// that clients branch on. The example of package apierror is a whole server.
package authz

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/identity"
)

// Public implements @public: it lets everyone pass, even with an invalid token.
func Public(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
	return next(ctx)
}

// Auth implements @auth: it lets verified callers pass. For everyone else, the field fails with the
// error of identity.Require. A denied field is an error, never just null.
func Auth(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
	if _, err := identity.Require(ctx); err != nil {
		return nil, err
	}
	return next(ctx)
}
