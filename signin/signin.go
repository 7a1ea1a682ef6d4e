// Package signin implements login, refresh and logout. Each of them checks its input, reserves an
// attempt with the Limiter, calls the Realm, and reports the outcome to the Limiter.
//
// The package defines the two interfaces that it needs: keycloak.Client is a Realm, and
// throttle.Limiter is a Limiter. A Service doesn't depend on GraphQL or HTTP; a resolver is one
// call:
//
//	func (r *mutationResolver) Login(ctx context.Context, username, password string, otp *string) (*identity.OpenIDToken, error) {
//		return r.SignIn.Login(ctx, username, password, otp)
//	}
package signin

import (
	"context"
	"errors"
	"reflect"

	"github.com/cloakql/cloakql/identity"
)

// A Realm signs users in and out. Its methods are safe for concurrent use, and return errors of
// package identity, possibly wrapped. When ctx is done they return, unless the user would lose the
// session if the call stopped midway.
type Realm interface {
	// Login fails with ErrBadCredentials, ErrAccountDisabled, ErrAccountNotReady or
	// ErrLoginNotAllowed if the realm refuses.
	Login(ctx context.Context, credentials identity.Credentials) (*identity.OpenIDToken, error)

	// Refresh fails with ErrRefreshExpired, ErrSessionEnded, ErrRefreshReused or ErrRefreshInvalid
	// if the realm refuses.
	Refresh(ctx context.Context, refreshToken identity.Secret) (*identity.OpenIDToken, error)

	// Logout ends the session of the refresh token. It returns nil if the session has already
	// ended. It fails with ErrRefreshInvalid if the realm doesn't know the token.
	Logout(ctx context.Context, refreshToken identity.Secret) error
}

// A Limiter limits attempts by account and by address. Each method reserves one attempt, or returns
// an *identity.RateLimitError with the time to wait. It treats existing and unknown accounts the
// same way.
//
// After a reservation, the caller must call done once, with the realm's error or nil. If it
// doesn't, the attempt stays counted. The methods and done are safe for concurrent use. The methods
// return when ctx is done; done has its effect even then.
type Limiter interface {
	Login(ctx context.Context, credentials identity.Credentials) (done func(error), err error)
	Refresh(ctx context.Context, refreshToken identity.Secret) (done func(error), err error)
	Logout(ctx context.Context, refreshToken identity.Secret) (done func(error), err error)
}

// A Service signs users in and out. Make one with New: the methods of a nil Service and of the zero
// Service only return an error. It is safe for concurrent use.
type Service struct {
	realm   Realm
	limiter Limiter
}

var errZeroService = errors.New(
	"signin: the Service has no realm: make it with signin.New, or use the Service that " +
		"is passed to cloakql.Config.Schema")

// New returns a Service. It returns an error if realm or limiter is nil or a nil pointer: without a
// limiter, an attacker could guess passwords as fast as the realm responds.
func New(realm Realm, limiter Limiter) (*Service, error) {
	switch {
	case isNil(realm):
		return nil, errors.New("signin: New needs a realm")
	case isNil(limiter):
		return nil, errors.New("signin: New needs a limiter")
	}
	return &Service{realm: realm, limiter: limiter}, nil
}

// isNil reports whether v is nil or a nil pointer.
func isNil(v any) bool {
	value := reflect.ValueOf(v)
	return !value.IsValid() || value.Kind() == reflect.Pointer && value.IsNil()
}

// Login signs a user in with a password and, unless otp is nil, a one-time code. The username may
// be an email address. If an argument is invalid (identity.NewCredentials), Login returns
// ErrBadInput without calling the limiter or the realm.
func (s *Service) Login(ctx context.Context, username, password string,
	otp *string) (*identity.OpenIDToken, error) {
	if s == nil || s.realm == nil {
		return nil, errZeroService
	}
	credentials, err := identity.NewCredentials(username, password, otp)
	if err != nil {
		return nil, err
	}
	return callWithLimit(ctx, credentials, s.limiter.Login, s.realm.Login)
}

// Refresh exchanges a refresh token for new tokens.
func (s *Service) Refresh(ctx context.Context, refreshToken string) (*identity.OpenIDToken, error) {
	if s == nil || s.realm == nil {
		return nil, errZeroService
	}
	token, err := identity.NewRefreshToken(refreshToken)
	if err != nil {
		return nil, err
	}
	return callWithLimit(ctx, token, s.limiter.Refresh, s.realm.Refresh)
}

// Logout ends the session of a refresh token. Like the field logout in the schema, it returns true
// if there is no error.
func (s *Service) Logout(ctx context.Context, refreshToken string) (bool, error) {
	if s == nil || s.realm == nil {
		return false, errZeroService
	}
	token, err := identity.NewRefreshToken(refreshToken)
	if err != nil {
		return false, err
	}
	return callWithLimit(ctx, token, s.limiter.Logout, s.logout)
}

// logout calls Realm.Logout. It has the signature that callWithLimit needs.
func (s *Service) logout(ctx context.Context, token identity.Secret) (bool, error) {
	if err := s.realm.Logout(ctx, token); err != nil {
		return false, err
	}
	return true, nil
}

// callWithLimit reserves an attempt, calls the realm, and calls done. A GraphQL document may select
// a field several times, with aliases and fragments; each selection is an attempt.
func callWithLimit[In, Out any](
	ctx context.Context, input In,
	reserve func(context.Context, In) (func(error), error),
	call func(context.Context, In) (Out, error),
) (Out, error) {
	done, err := reserve(ctx, input)
	if err != nil {
		var zero Out
		return zero, err
	}
	// done isn't deferred, so that an attempt that ends in a panic stays counted.
	output, err := call(ctx, input)
	done(err)
	return output, err
}
