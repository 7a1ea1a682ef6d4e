package identity_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// If NewContext wasn't called, Require returns ErrTokenMissing.
func TestRequire_noContext(t *testing.T) {
	user, err := identity.Require(context.Background())
	if user != nil || !errors.Is(err, identity.ErrTokenMissing) {
		t.Errorf("Require() = %v, %v, want ErrTokenMissing", user, err)
	}
}

// For a request without a token, Require returns ErrTokenMissing.
func TestRequire_anonymous(t *testing.T) {
	user, err := identity.Require(identity.NewContext(context.Background(), nil, nil))
	if user != nil || !errors.Is(err, identity.ErrTokenMissing) {
		t.Errorf("Require() = %v, %v, want ErrTokenMissing", user, err)
	}
}

// For a verified token, Require returns the user.
func TestRequire_verified(t *testing.T) {
	alice := &identity.User{ID: "alice"}
	user, err := identity.Require(identity.NewContext(context.Background(), alice, nil))
	if err != nil || user != alice {
		t.Errorf("Require() = %v, %v, want alice", user, err)
	}
}

// For a token that was rejected, Require returns the verifier's error unchanged, not
// ErrTokenMissing.
func TestRequire_badToken(t *testing.T) {
	tokenErr := &identity.Error{Reason: identity.ErrTokenExpired, Detail: "exp is yesterday"}
	user, err := identity.Require(identity.NewContext(context.Background(), nil, tokenErr))
	if user != nil || !errors.Is(err, identity.ErrTokenExpired) ||
		errors.Is(err, identity.ErrTokenMissing) {
		t.Errorf("Require() = %v, %v, want only ErrTokenExpired", user, err)
	}
	if identityErr, ok := errors.AsType[*identity.Error](err); !ok ||
		identityErr.Detail != "exp is yesterday" {
		t.Errorf("Require() = %v, want the detail of the verifier's error", err)
	}
}

// If NewContext gets both a user and an error, Require returns the error.
func TestRequire_userAndError(t *testing.T) {
	ctx := identity.NewContext(context.Background(), &identity.User{ID: "alice"},
		identity.ErrTokenSignature)
	if user, err := identity.Require(ctx); user != nil ||
		!errors.Is(err, identity.ErrTokenSignature) {
		t.Errorf("Require() = %v, %v, want ErrTokenSignature and no user", user, err)
	}
}

// Other packages can't replace the caller in a context, because the type of the context key is
// unexported.
func TestRequire_foreignKeys(t *testing.T) {
	type callerKey struct{}
	ctx := identity.NewContext(context.Background(), nil, identity.ErrTokenExpired)
	for _, key := range []any{callerKey{}, struct{}{}, "caller", "user", 0} {
		ctx = context.WithValue(ctx, key, &identity.User{ID: "mallory"})
	}
	if user, err := identity.Require(ctx); user != nil ||
		!errors.Is(err, identity.ErrTokenExpired) {
		t.Errorf("Require() = %v, %v, want ErrTokenExpired", user, err)
	}
}

// If NewContext was called several times, Require uses the innermost context.
func TestRequire_innerContext(t *testing.T) {
	outerCtx := identity.NewContext(context.Background(), &identity.User{ID: "alice"}, nil)
	if _, err := identity.Require(identity.NewContext(outerCtx, nil, nil)); !errors.Is(err,
		identity.ErrTokenMissing) {
		t.Errorf("Require() = %v, want ErrTokenMissing", err)
	}
}

// errors.Is matches an Error with its Reason. The text of an Error doesn't contain its detail; the
// function Detail returns it.
func TestError(t *testing.T) {
	err := fmt.Errorf("verify: %w",
		&identity.Error{Reason: identity.ErrTokenNotAccepted, Detail: "iss is X; accepted: Y"})
	if !errors.Is(err, identity.ErrTokenNotAccepted) {
		t.Errorf("errors.Is(%v, ErrTokenNotAccepted) = false, want true", err)
	}
	if want := "verify: token is not meant for this API"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if got, want := identity.Detail(err), "iss is X; accepted: Y"; got != want {
		t.Errorf("Detail() = %q, want %q", got, want)
	}
}

// Claims can be decoded like JSON. A client can't send them as an argument.
func TestClaims(t *testing.T) {
	claims := identity.Claims(`{"big":12345678901234567890,"nested":{"a":[1,"ü"]}}`)
	var got struct{ Nested struct{ A []any } }
	if err := claims.Decode(&got); err != nil || len(got.Nested.A) != 2 {
		t.Errorf("Decode() = %v, got %v, want two items", err, got)
	}
	for _, v := range []any{nil, "{}", map[string]any{}} {
		c := identity.Claims("before")
		if err := c.UnmarshalGQL(v); err == nil ||
			err.Error() != "claims can't be given, only read" || string(c) != "before" {
			t.Errorf("UnmarshalGQL(%v) = %v, claims %s; want an error and no change", v, err, c)
		}
	}
}

// Address returns the address that was passed to WithAddress. A context with an address still has
// no caller.
func TestAddress(t *testing.T) {
	if got := identity.Address(context.Background()); got.IsValid() {
		t.Errorf("Address() of an empty context = %v, want none", got)
	}
	want := netip.MustParseAddr("192.0.2.7")
	if got := identity.Address(identity.WithAddress(context.Background(), want)); got != want {
		t.Errorf("Address() = %v, want %v", got, want)
	}
	if user, err := identity.Require(identity.WithAddress(context.Background(), want)); user !=
		nil || !errors.Is(err, identity.ErrTokenMissing) {
		t.Errorf("Require() = %v, %v, want ErrTokenMissing", user, err)
	}
}

// errors.Is matches a RateLimitError with ErrRateLimited. Its text contains the time to wait.
func TestRateLimitError(t *testing.T) {
	err := fmt.Errorf("login: %w", &identity.RateLimitError{RetryAfter: 90 * time.Second})
	if !errors.Is(err, identity.ErrRateLimited) ||
		err.Error() != "login: too many attempts: try again in 1m30s" {
		t.Errorf("got %v, want ErrRateLimited with the time to wait", err)
	}
}

// NetworkOf returns the IPv4 /24 or the IPv6 /48 that contains an address.
func TestNetworkOf(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.0/24", "::ffff:192.0.2.7": "192.0.2.0/24",
		"2001:db8:1:2::1": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48",
	} {
		if got := identity.NetworkOf(netip.MustParseAddr(address)); got.String() != want {
			t.Errorf("NetworkOf(%s) = %v, want %s", address, got, want)
		}
	}
	if got := identity.NetworkOf(netip.Addr{}); got.IsValid() {
		t.Errorf("NetworkOf(netip.Addr{}) = %v, want the zero Prefix", got)
	}
}
