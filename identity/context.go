package identity

import (
	"context"
	"net/netip"
)

type callerKey struct{}

// A caller is the result of verifying a request's token.
type caller struct {
	user *User
	err  error
}

// NewContext returns a context that carries the result of verifying a request's token. The result
// is the user, or the error with which the verifier rejected the token, or neither if there is no
// token. Only the verifier's middleware and tests of resolvers should call NewContext.
func NewContext(ctx context.Context, user *User, err error) context.Context {
	return context.WithValue(ctx, callerKey{}, caller{user, err})
}

// Require returns the user who sent the request. It returns ErrTokenMissing if the request had no
// bearer token, and the verifier's error if the token was rejected.
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

type addressKey struct{}

// WithAddress returns a context that carries the address of the client that sent the request. Only
// the middleware that knows the trusted proxies should call it.
func WithAddress(ctx context.Context, address netip.Addr) context.Context {
	return context.WithValue(ctx, addressKey{}, address)
}

// Address returns the address of the client that sent the request. If the address is unknown, it
// returns the zero Addr, which isn't valid. An address doesn't prove who sent the request.
func Address(ctx context.Context) netip.Addr {
	address, _ := ctx.Value(addressKey{}).(netip.Addr)
	return address
}

// NetworkOf returns the IPv4 /24 or IPv6 /48 that contains address. It is for limits that count all
// addresses of a network together, because an attacker can easily get a network of that size. If
// address isn't valid, NetworkOf returns the zero Prefix, which isn't valid either.
func NetworkOf(address netip.Addr) netip.Prefix {
	address, prefixBits := address.Unmap().WithZone(""), 48
	if address.Is4() {
		prefixBits = 24
	}
	network, _ := address.Prefix(prefixBits)
	return network
}
