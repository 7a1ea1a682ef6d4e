package signin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/identity"
)

// A recorder is both a Realm and a Limiter. It records each call with its arguments.
type recorder struct {
	calls    []string
	limitErr error // returned by the limiter
	realmErr error // returned by the realm
	panics   bool  // the realm panics
}

func (r *recorder) realm() Realm     { return recordedRealm{r} }
func (r *recorder) limiter() Limiter { return recordedLimiter{r} }

// A recordedRealm is the Realm of a recorder.
type recordedRealm struct{ *recorder }

// call records a call, and returns what the recorder is set to return.
func (r recordedRealm) call(text string) (*identity.OpenIDToken, error) {
	r.calls = append(r.calls, "realm "+text)
	if r.panics {
		panic("realm")
	}
	if r.realmErr != nil {
		return nil, r.realmErr
	}
	return &identity.OpenIDToken{TokenType: "Bearer"}, nil
}

func (r recordedRealm) Login(_ context.Context,
	c identity.Credentials) (*identity.OpenIDToken, error) {
	return r.call(fmt.Sprintf("login %s %s %s", c.Username, c.Password.Reveal(), c.OTP.Reveal()))
}

func (r recordedRealm) Refresh(_ context.Context,
	token identity.Secret) (*identity.OpenIDToken, error) {
	return r.call("refresh " + token.Reveal())
}

func (r recordedRealm) Logout(_ context.Context, token identity.Secret) error {
	_, err := r.call("logout " + token.Reveal())
	return err
}

// A recordedLimiter is the Limiter of a recorder.
type recordedLimiter struct{ *recorder }

// reserve records a reservation. done records its error.
func (l recordedLimiter) reserve(text string) (func(error), error) {
	l.calls = append(l.calls, "reserve "+text)
	if l.limitErr != nil {
		return nil, l.limitErr
	}
	return func(err error) { l.calls = append(l.calls, fmt.Sprintf("done %v", err)) }, nil
}

func (l recordedLimiter) Login(_ context.Context, c identity.Credentials) (func(error), error) {
	return l.reserve("login " + c.Username)
}

func (l recordedLimiter) Refresh(_ context.Context, token identity.Secret) (func(error), error) {
	return l.reserve("refresh " + token.Reveal())
}

func (l recordedLimiter) Logout(_ context.Context, token identity.Secret) (func(error), error) {
	return l.reserve("logout " + token.Reveal())
}

// methods has the three methods of Service, called with valid arguments, and the calls that each
// makes to the limiter and the realm.
var methods = map[string]struct {
	call  func(context.Context, *Service) (ok bool, err error) // ok: there is a result
	calls []string
}{
	"login": {func(ctx context.Context, s *Service) (bool, error) {
		otp := "123456"
		tokens, err := s.Login(ctx, " Alice", "p w", &otp)
		return tokens != nil, err
	}, []string{"reserve login  Alice", "realm login  Alice p w 123456"}},
	"refresh": {func(ctx context.Context, s *Service) (bool, error) {
		tokens, err := s.Refresh(ctx, "r")
		return tokens != nil, err
	}, []string{"reserve refresh r", "realm refresh r"}},
	"logout": {func(ctx context.Context, s *Service) (bool, error) { return s.Logout(ctx, "r") },
		[]string{"reserve logout r", "realm logout r"}},
}

// newService returns a Service with the realm and the limiter of r.
func newService(t testing.TB, r *recorder) *Service {
	t.Helper()
	service, err := New(r.realm(), r.limiter())
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// Each method reserves an attempt, calls the realm, and calls done with the realm's error.
func TestService_order(t *testing.T) {
	for name, method := range methods {
		for _, realmErr := range []error{nil, fmt.Errorf("wrapped: %w", identity.ErrSessionEnded)} {
			r := &recorder{realmErr: realmErr}
			ok, err := method.call(t.Context(), newService(t, r))
			if ok != (realmErr == nil) || !errors.Is(err, realmErr) {
				t.Errorf("%s, the realm returns %v: got %t, %v", name, realmErr, ok, err)
			}
			want := append(slices.Clone(method.calls), fmt.Sprintf("done %v", realmErr))
			if !slices.Equal(r.calls, want) {
				t.Errorf("%s: calls %q, want %q", name, r.calls, want)
			}
		}
	}
}

// If the limiter refuses, the realm isn't called.
func TestService_limited(t *testing.T) {
	for name, method := range methods {
		r := &recorder{limitErr: errors.New("too many attempts")}
		if ok, err := method.call(t.Context(), newService(t, r)); ok || err != r.limitErr {
			t.Errorf("%s: got %t, %v, want %v", name, ok, err, r.limitErr)
		}
		if !slices.Equal(r.calls, method.calls[:1]) {
			t.Errorf("%s: calls %q, want no call to the realm", name, r.calls)
		}
	}
}

// After a panic the result is unknown, so the attempt stays counted.
func TestService_panic(t *testing.T) {
	for name, method := range methods {
		r := &recorder{panics: true}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic, want the realm's panic", name)
				}
			}()
			method.call(t.Context(), newService(t, r))
		}()
		if !slices.Equal(r.calls, method.calls) {
			t.Errorf("%s: calls %q, want %q", name, r.calls, method.calls)
		}
	}
}

// Invalid input is rejected before the limiter is called.
func TestService_badInput(t *testing.T) {
	empty := ""
	for name, run := range map[string]func(*Service) error{
		"username": func(s *Service) error {
			_, err := s.Login(t.Context(), "", "p", nil)
			return err
		},
		"password": func(s *Service) error {
			_, err := s.Login(t.Context(), "a", "p\x00", nil)
			return err
		},
		"otp": func(s *Service) error {
			_, err := s.Login(t.Context(), "a", "p", &empty)
			return err
		},
		"refresh token": func(s *Service) error { _, err := s.Refresh(t.Context(), "\n"); return err },
		"logout token": func(s *Service) error {
			_, err := s.Logout(t.Context(), strings.Repeat("x", identity.MaxRefreshTokenBytes+1))
			return err
		},
	} {
		r := &recorder{}
		if err := run(newService(t, r)); !errors.Is(err, identity.ErrBadInput) ||
			len(r.calls) != 0 {
			t.Errorf("%s: error %v, calls %q; want ErrBadInput and no calls", name, err, r.calls)
		}
	}
}

// New rejects a missing realm or limiter. A Service that New didn't make fails.
func TestNew_missingParts(t *testing.T) {
	r := &recorder{}
	for want, newService := range map[string]func() (*Service, error){
		"needs a realm":   func() (*Service, error) { return New(nil, r.limiter()) },
		"needs a limiter": func() (*Service, error) { return New(r.realm(), nil) },
		"a realm":         func() (*Service, error) { return New((*nilRealm)(nil), r.limiter()) },
	} {
		if service, err := newService(); service != nil || err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("New() = %v, %v, want an error with %q", service, err, want)
		}
	}
	for name, method := range methods {
		for _, s := range []*Service{nil, {}} {
			if ok, err := method.call(t.Context(), s); ok || err == nil ||
				!strings.Contains(err.Error(), "signin.New") {
				t.Errorf("%s of %v: got %t, %v, want an error with signin.New", name, s, ok, err)
			}
		}
	}
}

// A nilRealm is a type of Realm for a nil pointer.
type nilRealm struct{ Realm }
