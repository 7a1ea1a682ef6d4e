package throttle

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// BenchmarkLimiter_Login measures Login, and the function that it returns, for sign-ins that
// succeed.
func BenchmarkLimiter_Login(b *testing.B) {
	l := must(New(Config{}))
	credentials := credentialsFor("alice@example.org")
	address, n := netip.MustParseAddr(addressA), 0
	ctx := contextFrom(b, addressA)
	for b.Loop() {
		if n++; n%1000 == 0 { // the address has used up its limit Config.Attempts
			address = address.Next()
			ctx = identity.WithAddress(b.Context(), address)
		}
		done, err := l.Login(ctx, credentials)
		if err != nil {
			b.Fatal(err)
		}
		done(nil)
	}
}

// BenchmarkLimiter_Login_refused measures Login for sign-ins that it refuses.
func BenchmarkLimiter_Login_refused(b *testing.B) {
	l := must(New(Config{Account: Rate{10, time.Hour}}))
	ctx, credentials := contextFrom(b, addressA), credentialsFor("alice@example.org")
	for range 10 {
		l.Login(ctx, credentials)
	}
	for b.Loop() {
		if _, err := l.Login(ctx, credentials); err == nil {
			b.Fatal("Login() = nil, want the attempt refused")
		}
	}
}
