package identity

import (
	"context"
	"net/netip"
)

type callerKey struct{}

type caller struct {
	user *User
	err  error
}

// NewContext returns a context that carries what the token verifier said of a request: the verified
// user, or the reason why its token was refused. Only the verifier's middleware
// and tests of resolvers call it.
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

type addressKey struct{}

// WithAddress returns a context that carries the network address of the client that sent a request.
// Only the middleware that knows which proxies to believe calls it.
func WithAddress(ctx context.Context, address netip.Addr) context.Context {
	return context.WithValue(ctx, addressKey{}, address)
}

// Address returns the network address of the client that sent the request, or the zero Addr, which
// isn't valid, when it isn't known. It says where a request came from, never who sent it.
func Address(ctx context.Context) netip.Addr {
	address, _ := ctx.Value(addressKey{}).(netip.Addr)
	return address
}

// NetworkOf returns the network of an address that counts as one place: an IPv4 /24 or an IPv6 /48,
// which is what people are given for little or nothing. It returns the zero Prefix, which isn't
// valid, for an address that isn't.
func NetworkOf(address netip.Addr) netip.Prefix {
	address, bits := address.Unmap().WithZone(""), 48
	if address.Is4() {
		bits = 24
	}
	network, _ := address.Prefix(bits)
	return network
}
