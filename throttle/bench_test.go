package throttle

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

func BenchmarkLimiter_Login(b *testing.B) {
	l := must(New(Config{}))
	credentials := named("alice@example.org")
	address, n := netip.MustParseAddr(home), 0
	ctx := from(b, home)
	for b.Loop() {
		if n++; n%1000 == 0 { // the address is out of attempts
			address = address.Next()
			ctx = identity.WithAddress(b.Context(), address)
		}
		settle, err := l.Login(ctx, credentials)
		if err != nil {
			b.Fatal(err)
		}
		settle(nil)
	}
}

func BenchmarkLimiter_Login_refused(b *testing.B) {
	l := must(New(Config{Account: Rate{10, time.Hour}}))
	ctx, credentials := from(b, home), named("alice@example.org")
	for range 10 {
		l.Login(ctx, credentials)
	}
	for b.Loop() {
		if _, err := l.Login(ctx, credentials); err == nil {
			b.Fatal("not refused")
		}
	}
}
