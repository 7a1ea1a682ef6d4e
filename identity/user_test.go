package identity

import "testing"

// HasRealmRole, HasClientRole, InGroup, InOrganization and HasScope compare names exactly. They
// return false for the zero User and for nil.
func TestUser_hasMethods(t *testing.T) {
	alice := &User{
		RealmRoles: []string{"customer", "Admin"},
		ClientRoles: []ClientRoles{{Client: "billing", Roles: []string{"viewer"}},
			{Client: "shop-api", Roles: []string{"buyer"}}},
		Groups: []string{"/staff/admins"},
		Organizations: []Organization{{Alias: "acme", ID: new("f00d"), Groups: []string{"/ops"}},
			{Alias: "blue"}},
		Token: &TokenInfo{Scope: []string{"openid", "orders:read"}},
	}
	zeroUser, nilUser := &User{}, (*User)(nil)
	for _, tt := range []struct {
		name string
		has  func(*User) bool
		want bool // for alice
	}{
		{"realm role", func(u *User) bool { return u.HasRealmRole("customer") }, true},
		{"realm role in another case", func(u *User) bool { return u.HasRealmRole("admin") },
			false},
		{"client role as realm role", func(u *User) bool { return u.HasRealmRole("buyer") }, false},
		{"empty realm role", func(u *User) bool { return u.HasRealmRole("") }, false},
		{"client role", func(u *User) bool { return u.HasClientRole("shop-api", "buyer") }, true},
		{"client role of another client",
			func(u *User) bool { return u.HasClientRole("shop-api", "viewer") }, false},
		{"realm role as client role",
			func(u *User) bool { return u.HasClientRole("shop-api", "customer") }, false},
		{"client role of a client without ID",
			func(u *User) bool { return u.HasClientRole("", "buyer") }, false},
		{"group", func(u *User) bool { return u.InGroup("/staff/admins") }, true},
		{"parent group", func(u *User) bool { return u.InGroup("/staff") }, false},
		{"group without its path", func(u *User) bool { return u.InGroup("admins") }, false},
		{"organization", func(u *User) bool { return u.InOrganization("acme") }, true},
		{"organization without ID", func(u *User) bool { return u.InOrganization("blue") }, true},
		{"organization in another case", func(u *User) bool { return u.InOrganization("Acme") },
			false},
		{"ID as organization", func(u *User) bool { return u.InOrganization("f00d") }, false},
		{"empty organization", func(u *User) bool { return u.InOrganization("") }, false},
		{"organization's group as group", func(u *User) bool { return u.InGroup("/ops") }, false},
		{"scope", func(u *User) bool { return u.HasScope("orders:read") }, true},
		{"part of a scope", func(u *User) bool { return u.HasScope("orders") }, false},
		{"two scopes in one argument",
			func(u *User) bool { return u.HasScope("openid orders:read") }, false},
	} {
		if got := tt.has(alice); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
		if tt.has(zeroUser) || tt.has(nilUser) {
			t.Errorf("%s: got true for the zero User or nil, want false", tt.name)
		}
	}
}
