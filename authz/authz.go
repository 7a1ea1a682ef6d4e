// Package authz says who may call a field. The rules stand in the schema, as directives; here is
// what each of them does (directives in this file) and the audit that no root field goes without
// one.
//
// A gqlgen server of your own has the directives of Schema in its schema, binds the functions in
// its generated DirectiveRoot with Bind, and calls Audit once, before it listens:
//
//	directives, err := authz.Bind(generated.DirectiveRoot{})
//	err = authz.Audit(schema.Schema())
//
// A directive of your own that guards fields is registered by its name, authz.Audit(schema,
// "hasTenant"). If you forget it, Audit fails for each field that has no other rule, and says which
// directives the field carries.
//
// The caller is the one that keycloak.Middleware puts into the context (identity.Require). A denied
// field fails with an error of package identity; package apierror turns it into the code and the
// reason that clients branch on, and its example is a whole server.
package authz

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/identity"
)

// Public enforces @public: it lets everyone pass, the bearer of a bad token included.
func Public(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
	return next(ctx)
}

// Auth enforces @auth: it lets a verified caller pass, and fails with the reason of
// identity.Require for everyone else. A denied field is an error, never a bare null.
func Auth(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
	if _, err := identity.Require(ctx); err != nil {
		return nil, err
	}
	return next(ctx)
}
