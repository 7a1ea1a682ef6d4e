// Package authz enforces who may call a field. The access rules are directives in the schema. This
// package implements the directives (authz.go), and checks that every root field has an access rule
// (audit.go).
//
// To use this package in your own gqlgen server, add the directives that Schema returns to the
// schema. Bind their functions in the generated DirectiveRoot with Bind, and call Audit once,
// before the server listens:
//
//	directives, err := authz.Bind(generated.DirectiveRoot{})
//	err = authz.Audit(schema.Schema())
//
// If you have your own guard, register its name: authz.Audit(schema, "hasTenant"). Otherwise, Audit
// returns an error that names the fields without another access rule, and their directives.
//
// keycloak.Middleware puts the caller into the context, and a guard reads it with identity.Require.
// If a guard denies a field, the field fails with an error of package identity. Package apierror
// turns this error into the code and the reason that clients branch on. The example in package
// apierror is a whole server.
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
// Install, which has decided about the field, Auth lets everyone pass.
func Auth(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
	if !isDecided(ctx) {
		if _, err := identity.Require(ctx); err != nil {
			return nil, err
		}
	}
	return next(ctx)
}

// errNotInstalled is the error of a guarded field in a server without Install.
var errNotInstalled = errors.New("authz: the schema's rules need authz.Install")

// Guard implements the other guards of Schema, whose arguments it ignores. It lets everyone pass if
// the server uses Install, which has decided about the field. Otherwise, the field fails.
func Guard(ctx context.Context, _ any, next graphql.Resolver, _ ...any) (any, error) {
	if !isDecided(ctx) {
		return nil, errNotInstalled
	}
	return next(ctx)
}
