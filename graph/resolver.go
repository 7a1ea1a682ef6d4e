package graph

import (
	"context"

	"github.com/cloakql/cloakql/identity"
)

//go:generate go tool gqlgen generate

// A Realm signs people in and out. Each method fails with one of identity's errors, wrapped or not,
// and is safe for concurrent use. It gives up when ctx ends, or finishes on its own where stopping in
// the middle would cost a session.
type Realm interface {
	// Login fails with ErrBadCredentials, ErrAccountDisabled, ErrAccountNotReady or ErrLoginNotAllowed
	// when the realm says no.
	Login(ctx context.Context, credentials identity.Credentials) (*identity.OpenIDToken, error)

	// Refresh fails with ErrRefreshExpired, ErrSessionEnded, ErrRefreshReused or ErrRefreshInvalid
	// when the realm says no.
	Refresh(ctx context.Context, refreshToken identity.Secret) (*identity.OpenIDToken, error)

	// Logout ends the session; it is no error that it had ended before. It fails with
	// ErrRefreshInvalid when the realm doesn't know the token.
	Logout(ctx context.Context, refreshToken identity.Secret) error
}

// A Resolver holds what the resolvers need. gqlgen embeds it in one type for each of Query and Mutation.
type Resolver struct {
	Realm Realm
}
