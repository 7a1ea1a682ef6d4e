package throttle

import (
	"context"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

func BenchmarkLogin(b *testing.B) {
	budgets := must(New(Config{}))
	ctx := identity.WithAddress(context.Background(), netip.MustParseAddr(home))
	for b.Loop() {
		settle, err := budgets.Login(ctx, named("alice@example.org"))
		if err != nil {
			b.Fatal(err)
		}
		settle(nil)
	}
}

func BenchmarkLoginRefused(b *testing.B) {
	budgets := must(New(Config{}))
	ctx := identity.WithAddress(context.Background(), netip.MustParseAddr(home))
	for range 10 {
		budgets.Login(ctx, named("alice@example.org"))
	}
	for b.Loop() {
		if _, err := budgets.Login(ctx, named("alice@example.org")); err == nil {
			b.Fatal("not refused")
		}
	}
}

// A million names, none of which exists, each tried twice.
func BenchmarkSprayOfAMillionNames(b *testing.B) {
	rate := Rate{10, time.Minute}
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := NewMemory(0)
		for n := range 1_000_000 {
			m.Take(context.Background(), keyN(n), rate)
			m.Take(context.Background(), keyN(n), rate)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if held(m) != DefaultMaxKeys {
			b.Fatalf("%d keys are held, want %d", held(m), DefaultMaxKeys)
		}
		b.ReportMetric(float64(held(m)), "keys")
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc), "bytes")
		runtime.KeepAlive(m)
	}
}

// The dearest call: every key is live, and one that comes new finds no room.
func BenchmarkSweep(b *testing.B) {
	m, rate := NewMemory(0), Rate{10, 24 * time.Hour}
	for n := range DefaultMaxKeys {
		m.Take(context.Background(), keyN(n), rate)
	}
	for b.Loop() {
		m.swept = -time.Hour
		m.Take(context.Background(), keyN(-1), rate)
	}
}

func BenchmarkTakeAndGive(b *testing.B) {
	m, rate := NewMemory(0), Rate{10, time.Minute}
	for b.Loop() {
		taken, _ := m.Take(context.Background(), keyN(1), rate)
		m.Give(context.Background(), keyN(1), rate, taken)
	}
}
