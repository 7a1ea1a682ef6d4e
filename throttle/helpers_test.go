package throttle

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

// Two addresses of different networks.
const home, elsewhere = "192.0.2.7", "198.51.100.7"

// must returns value, and panics if err isn't nil.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// from returns the context of a request from an address.
func from(t testing.TB, address string) context.Context {
	return identity.WithAddress(t.Context(), netip.MustParseAddr(address))
}

// named returns credentials with a username only.
func named(name string) identity.Credentials { return identity.Credentials{Username: name} }

// An attempt reserves one of the three kinds of attempt, for a name or a token.
type attempt func(ctx context.Context, l *Limiter, subject string) (func(error), error)

// login reserves a sign-in.
func login(ctx context.Context, l *Limiter, name string) (func(error), error) {
	return l.Login(ctx, named(name))
}

// refresh reserves an exchange of a refresh token.
func refresh(ctx context.Context, l *Limiter, token string) (func(error), error) {
	return l.Refresh(ctx, identity.NewSecret(token))
}

// logout reserves a sign-out.
func logout(ctx context.Context, l *Limiter, token string) (func(error), error) {
	return l.Logout(ctx, identity.NewSecret(token))
}

// try makes up to max attempts with this outcome until one is refused. It returns how many were
// allowed, and the RetryAfter of the refused one.
func try(
	t *testing.T, l *Limiter, ctx context.Context, reserve attempt, subject string, outcome error,
	max int,
) (allowed int, wait time.Duration) {
	t.Helper()
	for ; allowed < max; allowed++ {
		settle, err := reserve(ctx, l, subject)
		if limited, ok := errors.AsType[*identity.RateLimitError](err); ok {
			return allowed, limited.RetryAfter
		}
		if err != nil {
			t.Fatalf("%v, want a RateLimitError", err)
		}
		settle(outcome)
	}
	return allowed, 0
}

// guess makes up to max sign-ins with wrong passwords until one is refused. It returns the results
// of try.
func guess(
	t *testing.T, l *Limiter, address, name string, max int,
) (allowed int, wait time.Duration) {
	t.Helper()
	return try(t, l, from(t, address), login, name, identity.ErrBadCredentials, max)
}

// wantTry compares the results of try with the expected ones.
func wantTry(
	t *testing.T, name string, allowed int, wait time.Duration,
	wantAllowed int, wantWait time.Duration,
) {
	t.Helper()
	if allowed != wantAllowed || wait != wantWait {
		t.Errorf("%s: %d attempts allowed, then a wait of %v; want %d and %v",
			name, allowed, wait, wantAllowed, wantWait)
	}
}

// withLimiter runs a test of a Limiter with default limits and a fake clock.
func withLimiter(t *testing.T, f func(t *testing.T, l *Limiter)) {
	synctest.Test(t, func(t *testing.T) { f(t, must(New(Config{}))) })
}

var errRefused = errors.New("connection refused")

// A sharedStore is a store across a network. It counts calls, and can fail or hang.
type sharedStore struct {
	store.MemoryBuckets
	fails atomic.Bool
	hangs atomic.Bool
	calls atomic.Int32
}

// call counts a call, and fails or hangs if it should.
func (s *sharedStore) call(ctx context.Context) error {
	s.calls.Add(1)
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if s.fails.Load() {
		return errRefused
	}
	return nil
}

// Reserve implements store.Buckets.
func (s *sharedStore) Reserve(ctx context.Context, buckets []store.Bucket) (store.Decision, error) {
	if err := s.call(ctx); err != nil {
		return store.Decision{}, err
	}
	return s.MemoryBuckets.Reserve(ctx, buckets)
}

// Refund implements store.Buckets.
func (s *sharedStore) Refund(ctx context.Context, buckets []store.Bucket) error {
	if err := s.call(ctx); err != nil {
		return err
	}
	return s.MemoryBuckets.Refund(ctx, buckets)
}

// withSharedStore runs a test of two processes that share a store, with a fake clock. Both log to
// log.
func withSharedStore(
	t *testing.T,
	f func(t *testing.T, shared *sharedStore, one, two *Limiter, log *bytes.Buffer),
) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		log := slog.New(slog.NewTextHandler(&text, nil))
		shared := &sharedStore{}
		config := Config{Store: shared, Log: log}
		f(t, shared, must(New(config)), must(New(config)), &text)
	})
}

// victim is an address that an attacker claims to have; attacker is the attacker's own.
const (
	victim   = "198.51.100.9"
	attacker = "203.0.113.66"
)

// addressSeen returns the address that a handler sees of a request, or "none".
func addressSeen(config AddressConfig, peer string, header http.Header) string {
	seen := "none"
	handler := Addresses(config)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if address := identity.Address(r.Context()); address.IsValid() {
			seen = address.String()
		}
	}))
	r := httptest.NewRequest(http.MethodPost, "/graphql", nil)
	r.RemoteAddr = peer
	if header != nil {
		r.Header = header
	}
	handler.ServeHTTP(httptest.NewRecorder(), r)
	return seen
}

// forwardedFor returns a header with one X-Forwarded-For for each value.
func forwardedFor(values ...string) http.Header { return http.Header{"X-Forwarded-For": values} }
