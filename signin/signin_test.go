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

// A recorder has a Realm and a Limiter, and records each call to them with its arguments.
type recorder struct {
	calls       []string
	limitErr    error // returned by the limiter
	realmErr    error // returned by the realm
	realmPanics bool  // if set, the realm panics
}

func (r *recorder) realm() Realm     { return recordingRealm{r} }
func (r *recorder) limiter() Limiter { return recordingLimiter{r} }

// A recordingRealm is the Realm of a recorder.
type recordingRealm struct{ *recorder }

// recordCall records a call to the realm. Then it panics, returns realmErr, or returns tokens.
func (r recordingRealm) recordCall(text string) (*identity.OpenIDToken, error) {
	r.calls = append(r.calls, "realm "+text)
	if r.realmPanics {
		panic("realm")
	}
	if r.realmErr != nil {
		return nil, r.realmErr
	}
	return &identity.OpenIDToken{TokenType: "Bearer"}, nil
}

func (r recordingRealm) Login(_ context.Context,
	c identity.Credentials) (*identity.OpenIDToken, error) {
	return r.recordCall(
		fmt.Sprintf("login %s %s %s", c.Username, c.Password.Reveal(), c.OTP.Reveal()))
}

func (r recordingRealm) Refresh(_ context.Context,
	token identity.Secret) (*identity.OpenIDToken, error) {
	return r.recordCall("refresh " + token.Reveal())
}

func (r recordingRealm) Logout(_ context.Context, token identity.Secret) error {
	_, err := r.recordCall("logout " + token.Reveal())
	return err
}

// A recordingLimiter is the Limiter of a recorder.
type recordingLimiter struct{ *recorder }

// reserve records a reservation. The function that it returns, done, records the outcome.
func (l recordingLimiter) reserve(text string) (func(error), error) {
	l.calls = append(l.calls, "reserve "+text)
	if l.limitErr != nil {
		return nil, l.limitErr
	}
	return func(err error) { l.calls = append(l.calls, fmt.Sprintf("done %v", err)) }, nil
}

func (l recordingLimiter) Login(_ context.Context, c identity.Credentials) (func(error), error) {
	return l.reserve("login " + c.Username)
}

func (l recordingLimiter) Refresh(_ context.Context, token identity.Secret) (func(error), error) {
	return l.reserve("refresh " + token.Reveal())
}

func (l recordingLimiter) Logout(_ context.Context, token identity.Secret) (func(error), error) {
	return l.reserve("logout " + token.Reveal())
}

// methodTests has a call of each method of Service with valid arguments, and the calls that the
// method then makes to the limiter and the realm.
var methodTests = map[string]struct {
	call  func(context.Context, *Service) (ok bool, err error) // ok: it returned tokens or true
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
	for name, method := range methodTests {
		for _, realmErr := range []error{nil, fmt.Errorf("wrapped: %w", identity.ErrSessionEnded)} {
			r := &recorder{realmErr: realmErr}
			ok, err := method.call(t.Context(), newService(t, r))
			if ok != (realmErr == nil) || !errors.Is(err, realmErr) {
				t.Errorf("%s: got %t, %v; want %t, %v", name, ok, err, realmErr == nil,
					realmErr)
			}
			want := append(slices.Clone(method.calls), fmt.Sprintf("done %v", realmErr))
			if !slices.Equal(r.calls, want) {
				t.Errorf("%s made the calls %q, want %q", name, r.calls, want)
			}
		}
	}
}

// If the limiter refuses an attempt, the Service returns the limiter's error and doesn't call the
// realm.
func TestService_limited(t *testing.T) {
	for name, method := range methodTests {
		r := &recorder{limitErr: errors.New("too many attempts")}
		if ok, err := method.call(t.Context(), newService(t, r)); ok || err != r.limitErr {
			t.Errorf("%s: got %t, %v; want false, %v", name, ok, err, r.limitErr)
		}
		if !slices.Equal(r.calls, method.calls[:1]) {
			t.Errorf("%s made the calls %q, want no call to the realm", name, r.calls)
		}
	}
}

// If the realm panics, the Service doesn't call done: the result is unknown, so the attempt stays
// counted.
func TestService_panic(t *testing.T) {
	for name, method := range methodTests {
		r := &recorder{realmPanics: true}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic, want the realm's panic", name)
				}
			}()
			method.call(t.Context(), newService(t, r))
		}()
		if !slices.Equal(r.calls, method.calls) {
			t.Errorf("%s made the calls %q, want %q", name, r.calls, method.calls)
		}
	}
}

// The Service rejects invalid input without calling the limiter or the realm.
func TestService_badInput(t *testing.T) {
	emptyOTP := ""
	for name, call := range map[string]func(*Service) error{
		"empty username": func(s *Service) error {
			_, err := s.Login(t.Context(), "", "p", nil)
			return err
		},
		"password with NUL": func(s *Service) error {
			_, err := s.Login(t.Context(), "a", "p\x00", nil)
			return err
		},
		"empty otp": func(s *Service) error {
			_, err := s.Login(t.Context(), "a", "p", &emptyOTP)
			return err
		},
		"line feed as refresh token": func(s *Service) error {
			_,
				err := s.Refresh(t.Context(), "\n")
			return err
		},
		"refresh token too long for logout": func(s *Service) error {
			_, err := s.Logout(t.Context(), strings.Repeat("x", identity.MaxRefreshTokenBytes+1))
			return err
		},
	} {
		r := &recorder{}
		if err := call(newService(t, r)); !errors.Is(err, identity.ErrBadInput) ||
			len(r.calls) != 0 {
			t.Errorf("%s: got %v and the calls %q, want ErrBadInput and no calls", name, err,
				r.calls)
		}
	}
}

// New returns an error if the realm or the limiter is missing. The methods of a nil Service and of
// the zero Service return errors.
func TestNew_missingParts(t *testing.T) {
	r := &recorder{}
	for want, construct := range map[string]func() (*Service, error){
		"needs a realm":   func() (*Service, error) { return New(nil, r.limiter()) },
		"needs a limiter": func() (*Service, error) { return New(r.realm(), nil) },
		"a realm": func() (*Service,
			error) {
			return New((*pointerRealm)(nil), r.limiter())
		},
	} {
		if service, err := construct(); service != nil || err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("New() = %v, %v, want an error with %q", service, err, want)
		}
	}
	for name, method := range methodTests {
		for _, s := range []*Service{nil, {}} {
			if ok, err := method.call(t.Context(), s); ok || err == nil ||
				!strings.Contains(err.Error(), "signin.New") {
				t.Errorf("%s of %v: got %t, %v; want an error that names signin.New", name,
					s, ok, err)
			}
		}
	}
}

// A pointerRealm is a Realm. A test passes a nil *pointerRealm to New.
type pointerRealm struct{ Realm }
