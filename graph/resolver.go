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

// A Budget counts attempts at the realm, of an account and of an address, and refuses more than there may
// be. Each method takes one attempt, before the realm is asked, or fails with an
// *identity.RateLimitError that says when to try again; existing and unknown usernames get the same
// answer. Where it took one, settle must be told once what came of it: the realm's error, or nil. An
// attempt that is never settled stays taken. The methods and settle are safe for concurrent use; the
// methods give up when ctx ends, and settle works after that too.
type Budget interface {
	Login(ctx context.Context, credentials identity.Credentials) (settle func(error), err error)
	Refresh(ctx context.Context, refreshToken identity.Secret) (settle func(error), err error)
	Logout(ctx context.Context, refreshToken identity.Secret) (settle func(error), err error)
}

// A Resolver holds what the resolvers need. gqlgen embeds it in one type for each of Query and Mutation.
type Resolver struct {
	Realm  Realm
	Budget Budget
}

// within asks the realm if the budget allows it. It is called by the resolver of each field, so whatever makes
// a field run once more (an alias, a fragment, a request of its own) is one attempt more.
func within[A, T any](ctx context.Context, what A, take func(context.Context, A) (func(error), error), ask func(context.Context, A) (T, error)) (T, error) {
	settle, err := take(ctx, what)
	if err != nil {
		var none T
		return none, err
	}
	// Not deferred: an attempt that ends in a panic stays taken.
	answer, err := ask(ctx, what)
	settle(err)
	return answer, err
}

// signOut is the realm's Logout with the answer that the schema gives to a success.
func (r *Resolver) signOut(ctx context.Context, refreshToken identity.Secret) (bool, error) {
	return true, r.Realm.Logout(ctx, refreshToken)
}
