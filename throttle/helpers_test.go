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

// loginKeyCount is the number of limits that a sign-in counts against, each with its own key.
const loginKeyCount = 7

// addressA and addressB are in different networks.
const addressA, addressB = "192.0.2.7", "198.51.100.7"

// must returns value, and panics if err isn't nil.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// contextFrom returns the context of a request from an address.
func contextFrom(t testing.TB, address string) context.Context {
	return identity.WithAddress(t.Context(), netip.MustParseAddr(address))
}

// credentialsFor returns credentials with a username only.
func credentialsFor(name string) identity.Credentials {
	return identity.Credentials{Username: name}
}

// A reserveFunc reserves an attempt: it is login, refresh or logout. The subject is the username or
// the refresh token.
type reserveFunc func(
	ctx context.Context, l *Limiter, subject string,
) (done func(error), err error)

// login reserves a sign-in.
func login(ctx context.Context, l *Limiter, name string) (func(error), error) {
	return l.Login(ctx, credentialsFor(name))
}

// refresh reserves a refresh.
func refresh(ctx context.Context, l *Limiter, token string) (func(error), error) {
	return l.Refresh(ctx, identity.NewSecret(token))
}

// logout reserves a sign-out.
func logout(ctx context.Context, l *Limiter, token string) (func(error), error) {
	return l.Logout(ctx, identity.NewSecret(token))
}

// makeAttempts makes up to maxAttempts attempts with this outcome, and stops when one is refused.
// It returns how many attempts were allowed, and the RetryAfter of the refused attempt.
func makeAttempts(
	t *testing.T, l *Limiter, ctx context.Context, reserve reserveFunc, subject string,
	outcome error, maxAttempts int,
) (allowedCount int, wait time.Duration) {
	t.Helper()
	for ; allowedCount < maxAttempts; allowedCount++ {
		done, err := reserve(ctx, l, subject)
		if rateLimitErr, ok := errors.AsType[*identity.RateLimitError](err); ok {
			return allowedCount, rateLimitErr.RetryAfter
		}
		if err != nil {
			t.Fatalf("got %v, want a RateLimitError", err)
		}
		done(outcome)
	}
	return allowedCount, 0
}

// guessPasswords makes attempts to sign in with a wrong password.
func guessPasswords(
	t *testing.T, l *Limiter, address, name string, maxAttempts int,
) (allowedCount int, wait time.Duration) {
	t.Helper()
	return makeAttempts(t, l, contextFrom(t, address), login, name, identity.ErrBadCredentials,
		maxAttempts)
}

// wantAttempts checks the results of makeAttempts or guessPasswords.
func wantAttempts(
	t *testing.T, name string, allowedCount int, wait time.Duration,
	wantAllowed int, wantWait time.Duration,
) {
	t.Helper()
	if allowedCount != wantAllowed || wait != wantWait {
		t.Errorf("%s: %d attempts allowed, then a wait of %v; want %d and %v",
			name, allowedCount, wait, wantAllowed, wantWait)
	}
}

// withLimiter runs a test of a Limiter with default limits and a fake clock.
func withLimiter(t *testing.T, f func(t *testing.T, l *Limiter)) {
	synctest.Test(t, func(t *testing.T) { f(t, must(New(Config{}))) })
}

var errRefused = errors.New("connection refused")

// A fakeSharedStore stands for a store that is reached over a network. It counts calls, and can
// fail or hang.
type fakeSharedStore struct {
	store.MemoryBuckets
	failing atomic.Bool // if set, calls return errRefused
	hanging atomic.Bool // if set, calls return only when their context is done
	calls   atomic.Int32
}

// call counts a call. It fails if s.failing is set, and hangs if s.hanging is set.
func (s *fakeSharedStore) call(ctx context.Context) error {
	s.calls.Add(1)
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.hanging.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if s.failing.Load() {
		return errRefused
	}
	return nil
}

// Reserve implements store.Buckets.
func (s *fakeSharedStore) Reserve(
	ctx context.Context, buckets []store.Bucket,
) (store.Decision, error) {
	if err := s.call(ctx); err != nil {
		return store.Decision{}, err
	}
	return s.MemoryBuckets.Reserve(ctx, buckets)
}

// Refund implements store.Buckets.
func (s *fakeSharedStore) Refund(ctx context.Context, buckets []store.Bucket) error {
	if err := s.call(ctx); err != nil {
		return err
	}
	return s.MemoryBuckets.Refund(ctx, buckets)
}

// A sharedStoreTest has two Limiters that share a store and a log, like Limiters in two processes.
type sharedStoreTest struct {
	store              *fakeSharedStore
	limiterA, limiterB *Limiter
	log                *bytes.Buffer
}

// withSharedStore runs a test of two Limiters that share a store, with a fake clock.
func withSharedStore(t *testing.T, f func(t *testing.T, s sharedStoreTest)) {
	synctest.Test(t, func(t *testing.T) {
		s := sharedStoreTest{store: &fakeSharedStore{}, log: &bytes.Buffer{}}
		config := Config{Store: s.store, Log: slog.New(slog.NewTextHandler(s.log, nil))}
		s.limiterA, s.limiterB = must(New(config)), must(New(config))
		f(t, s)
	})
}

const (
	victimAddr   = "198.51.100.9" // an attacker forges this address
	attackerAddr = "203.0.113.66" // the attacker's real address
)

// clientAddress sends a request through Addresses. It returns the client's address in the context
// of the request, or "none".
func clientAddress(config AddressConfig, peer string, header http.Header) string {
	client := "none"
	handler := Addresses(config)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if address := identity.Address(r.Context()); address.IsValid() {
			client = address.String()
		}
	}))
	r := httptest.NewRequest(http.MethodPost, "/graphql", nil)
	r.RemoteAddr = peer
	if header != nil {
		r.Header = header
	}
	handler.ServeHTTP(httptest.NewRecorder(), r)
	return client
}

// forwardedFor returns the header of a request with one X-Forwarded-For line for each value.
func forwardedFor(values ...string) http.Header { return http.Header{"X-Forwarded-For": values} }
