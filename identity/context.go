package identity

import "context"

type callerKey struct{}

type caller struct {
	user *User
	err  error
}

// NewContext returns a context that carries what the token verifier said of a request: the verified
// user, or the reason why its token was refused. Only the verifier's middleware calls it.
func NewContext(ctx context.Context, user *User, err error) context.Context {
	return context.WithValue(ctx, callerKey{}, caller{user, err})
}

// Require returns the user that the request speaks for. It fails with ErrTokenMissing when the
// request brought no bearer token, and with the verifier's reason when it brought a bad one.
func Require(ctx context.Context) (*User, error) {
	c, _ := ctx.Value(callerKey{}).(caller)
	switch {
	case c.err != nil:
		return nil, c.err
	case c.user == nil:
		return nil, ErrTokenMissing
	}
	return c.user, nil
}
