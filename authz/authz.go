// Package authz enforces who may use a field. The access rules are directives in the schema, such
// as @auth and @hasRole. They are applied to each operation before it runs.
//
// To use this package in your own gqlgen server, add the directives that Schema returns to the
// schema, bind their functions in the generated DirectiveRoot with Bind, and call Install:
//
//	directives, err := authz.Bind(generated.DirectiveRoot{})
//	server := handler.New(schema)
//	err = authz.Install(server, schema, authz.Config{})
//
// Install audits the schema: every root field needs a rule or @public. Without Install, every guard
// except @auth denies everyone, and rules on types don't guard the fields of the types.
//
// If you have your own guard, list its name in Config.Guards. The audit returns an error for each
// root field whose only guard isn't listed.
//
// keycloak.Middleware puts the caller into the context. If a rule denies a field, the field fails
// with an error of package identity. Package apierror turns this error into the code and the reason
// that clients branch on. The example in package apierror is a whole server.
package authz

import (
	"context"
	"errors"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/identity"
)

// Public implements @public: it lets everyone pass, even with an invalid token.
func Public(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
	return next(ctx)
}

// Auth implements @auth: it lets verified callers pass. For other callers, the field fails with the
// error of identity.Require. So a denied field is never null without an error. If the server uses
// Install, Auth lets everyone pass, because Install has already decided about the field.
func Auth(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
	if !isDecided(ctx) {
		if _, err := identity.Require(ctx); err != nil {
			return nil, err
		}
	}
	return next(ctx)
}

// errNotInstalled is the error of a field with a guard other than @auth, if the server doesn't use
// Install.
var errNotInstalled = errors.New("authz: the schema's rules need authz.Install")

// Guard implements the other guards of Schema. It ignores their arguments. If the server uses
// Install, Guard lets everyone pass, because Install has already decided about the field.
// Otherwise, the field fails.
func Guard(ctx context.Context, _ any, next graphql.Resolver, _ ...any) (any, error) {
	if !isDecided(ctx) {
		return nil, errNotInstalled
	}
	return next(ctx)
}
