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

// A recorder is a Realm and a Limiter in one. It notes each call with its arguments.
type recorder struct {
	calls    []string
	limit    error // what the limiter answers
	response error // what the realm answers
	crash    bool  // the realm panics
}

func (r *recorder) realm() Realm     { return recordedRealm{r} }
func (r *recorder) limiter() Limiter { return recordedLimiter{r} }

type recordedRealm struct{ *recorder }

func (r recordedRealm) call(text string) (*identity.OpenIDToken, error) {
	r.calls = append(r.calls, "realm "+text)
	if r.crash {
		panic("crash")
	}
	if r.response != nil {
		return nil, r.response
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

type recordedLimiter struct{ *recorder }

func (l recordedLimiter) reserve(text string) (func(error), error) {
	l.calls = append(l.calls, "reserve "+text)
	if l.limit != nil {
		return nil, l.limit
	}
	return func(err error) { l.calls = append(l.calls, fmt.Sprintf("settle %v", err)) }, nil
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

// uses are the three use cases with good arguments, and the calls that each makes.
var uses = map[string]struct {
	run   func(context.Context, *Service) (bool, error) // reports whether there is a result
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

func newService(t testing.TB, r *recorder) *Service {
	t.Helper()
	service, err := New(r.realm(), r.limiter())
	if err != nil {
		t.Fatal(err)
	}
	return service
}

func TestService_order(t *testing.T) {
	for name, use := range uses {
		for _, response := range []error{nil, fmt.Errorf("wrapped: %w", identity.ErrSessionEnded)} {
			r := &recorder{response: response}
			ok, err := use.run(t.Context(), newService(t, r))
			if ok != (response == nil) || !errors.Is(err, response) {
				t.Errorf("%s, realm answers %v: %t, %v", name, response, ok, err)
			}
			want := append(slices.Clone(use.calls), fmt.Sprintf("settle %v", response))
			if !slices.Equal(r.calls, want) {
				t.Errorf("%s: calls %q, want %q", name, r.calls, want)
			}
		}
	}
}

func TestService_limited(t *testing.T) {
	for name, use := range uses {
		r := &recorder{limit: errors.New("later")}
		if ok, err := use.run(t.Context(), newService(t, r)); ok || err != r.limit {
			t.Errorf("%s: %t, %v", name, ok, err)
		}
		if !slices.Equal(r.calls, use.calls[:1]) {
			t.Errorf("%s: calls %q; the realm must not be asked", name, r.calls)
		}
	}
}

// Nobody knows what the realm was about to answer, so the attempt stays counted.
func TestService_panic(t *testing.T) {
	for name, use := range uses {
		r := &recorder{crash: true}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: the panic was swallowed", name)
				}
			}()
			use.run(t.Context(), newService(t, r))
		}()
		if !slices.Equal(r.calls, use.calls) {
			t.Errorf("%s: calls %q, want %q", name, r.calls, use.calls)
		}
	}
}

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
		"refresh": func(s *Service) error { _, err := s.Refresh(t.Context(), "\n"); return err },
		"logout": func(s *Service) error {
			_, err := s.Logout(t.Context(), strings.Repeat("x", identity.MaxRefreshTokenBytes+1))
			return err
		},
	} {
		r := &recorder{}
		if err := run(newService(t, r)); !errors.Is(err, identity.ErrBadInput) ||
			len(r.calls) != 0 {
			t.Errorf("%s: %v after %q", name, err, r.calls)
		}
	}
}

func TestNew_missingParts(t *testing.T) {
	r := &recorder{}
	for want, make := range map[string]func() (*Service, error){
		"needs a realm":   func() (*Service, error) { return New(nil, r.limiter()) },
		"needs a limiter": func() (*Service, error) { return New(r.realm(), nil) },
		"a realm":         func() (*Service, error) { return New((*nilRealm)(nil), r.limiter()) },
	} {
		if service, err := make(); service != nil || err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("New() = %v, %v, want an error with %q", service, err, want)
		}
	}
	for name, use := range uses {
		for _, s := range []*Service{nil, {}} {
			if ok, err := use.run(t.Context(), s); ok || err == nil ||
				!strings.Contains(err.Error(), "signin.New") {
				t.Errorf("%s of %v: %t, %v", name, s, ok, err)
			}
		}
	}
}

type nilRealm struct{ Realm }
