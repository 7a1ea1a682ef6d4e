package authz_test

import (
	"context"
	"errors"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/identity"
)

// A directiveFunc is the function that implements a directive.
type directiveFunc func(context.Context, any, graphql.Resolver) (any, error)

// callerContexts returns a context for each kind of caller.
func callerContexts() map[string]context.Context {
	return map[string]context.Context{
		"verified":  identity.NewContext(context.Background(), &identity.User{ID: "alice"}, nil),
		"anonymous": identity.NewContext(context.Background(), nil, nil),
		"bad token": identity.NewContext(context.Background(), nil,
			&identity.Error{Reason: identity.ErrTokenExpired}),
		"no middleware": context.Background(),
	}
}

// Public lets every caller pass, and Auth only verified callers.
func TestPublicAndAuth(t *testing.T) {
	for _, tt := range []struct {
		name      string
		directive directiveFunc
		caller    string
		want      error // nil if the field runs
	}{
		{"Public", authz.Public, "verified", nil},
		{"Public", authz.Public, "anonymous", nil},
		// So login works even if the client still sends an expired token with it.
		{"Public", authz.Public, "bad token", nil},
		{"Public", authz.Public, "no middleware", nil},
		{"Auth", authz.Auth, "verified", nil},
		{"Auth", authz.Auth, "anonymous", identity.ErrTokenMissing},
		{"Auth", authz.Auth, "bad token", identity.ErrTokenExpired},
		{"Auth", authz.Auth, "no middleware", identity.ErrTokenMissing},
	} {
		fieldRan := false
		field := func(context.Context) (any, error) {
			fieldRan = true
			return "value", nil
		}
		value, err := tt.directive(callerContexts()[tt.caller], nil, field)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s, %s: error %v, want %v", tt.name, tt.caller, err, tt.want)
		}
		if fieldRan != (tt.want == nil) {
			t.Errorf("%s, %s: the field ran: %t, want %t", tt.name, tt.caller, fieldRan,
				tt.want == nil)
		}
		if fieldRan && value != "value" || !fieldRan && value != nil {
			t.Errorf("%s, %s: got %v, want the field's value only if it ran", tt.name, tt.caller,
				value)
		}
	}
}

// Public and Auth call the field with the context that they get, and return the field's error
// unchanged.
func TestPublicAndAuth_fieldError(t *testing.T) {
	fieldErr := errors.New("the field's own error")
	directives := map[string]directiveFunc{"Public": authz.Public, "Auth": authz.Auth}
	for name, directive := range directives {
		ctx := callerContexts()["verified"]
		_, err := directive(ctx, nil, func(fieldCtx context.Context) (any, error) {
			if user, err := identity.Require(fieldCtx); err != nil || user.ID != "alice" {
				t.Errorf("%s: Require() in the field = %v, %v, want alice", name, user, err)
			}
			return nil, fieldErr
		})
		if !errors.Is(err, fieldErr) {
			t.Errorf("%s: error %v, want %v", name, err, fieldErr)
		}
	}
}
