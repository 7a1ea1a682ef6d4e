package authz_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/identity"
)

// RequireOwner lets the owner pass, and callers with one of the roles.
func TestRequireOwner(t *testing.T) {
	callers := callerContexts()
	for name, user := range map[string]*identity.User{
		"admin": {ID: "bob", RealmRoles: []string{"admin"}},
		"client admin": {ID: "bob",
			ClientRoles: []identity.ClientRoles{{Client: "shop", Roles: []string{"admin"}}}},
		"no ID": {},
	} {
		callers[name] = identity.NewContext(context.Background(), user, nil)
	}
	for _, tt := range []struct {
		caller, owner string
		roles         []string
		want          error
	}{
		{"verified", "alice", nil, nil},
		{"verified", "alice", []string{"admin"}, nil},
		{"verified", "bob", nil, identity.ErrNotOwner},
		{"verified", "Alice", nil, identity.ErrNotOwner},
		{"verified", "bob", []string{"admin"}, identity.ErrNotOwner},
		{"verified", "bob", []string{""}, identity.ErrNotOwner},
		{"verified", "", nil, identity.ErrNotOwner},
		{"no ID", "", nil, identity.ErrNotOwner},
		{"admin", "alice", nil, identity.ErrNotOwner},
		{"admin", "alice", []string{"admin"}, nil},
		{"admin", "alice", []string{"support", "admin"}, nil},
		{"admin", "alice", []string{"editor"}, identity.ErrNotOwner},
		{"admin", "", []string{"admin"}, nil},
		{"client admin", "alice", []string{"admin"}, identity.ErrNotOwner},
		{"anonymous", "", nil, identity.ErrTokenMissing},
		{"bad token", "alice", nil, identity.ErrTokenExpired},
		{"no middleware", "alice", nil, identity.ErrTokenMissing},
	} {
		err := authz.RequireOwner(callers[tt.caller], tt.owner, tt.roles...)
		if !errors.Is(err, tt.want) {
			t.Errorf("RequireOwner(%s, %q, %q) = %v, want %v", tt.caller, tt.owner, tt.roles, err,
				tt.want)
		}
		_, isDenied := errors.AsType[*identity.DeniedError](err)
		if want := tt.want == identity.ErrNotOwner; isDenied != want {
			t.Errorf("RequireOwner(%s, %q, %q) is a DeniedError: %t, want %t", tt.caller, tt.owner,
				tt.roles, isDenied, want)
		}
	}
}
