package keycloak

import (
	"strings"
	"testing"
)

// NewRealm makes the issuer of the server URL and the escaped realm name.
func TestNewRealm(t *testing.T) {
	for _, tt := range []struct{ serverURL, name, wantIssuer string }{
		{"http://localhost:8080", "local", "http://localhost:8080/realms/local"},
		{"http://localhost:8080/", "local", "http://localhost:8080/realms/local"},
		{"https://sso.example.com/auth", "Shop", "https://sso.example.com/auth/realms/Shop"},
		{"https://sso.example.com/a/b//", "shop", "https://sso.example.com/a/b/realms/shop"},
		{"http://[::1]:8080", "local", "http://[::1]:8080/realms/local"},
		{"https://sso.example.com/realms-of-ours", "shop",
			"https://sso.example.com/realms-of-ours/realms/shop"},
		{"http://localhost:8080", "my shop", "http://localhost:8080/realms/my%20shop"},
		{"http://localhost:8080", "a?b#c%d", "http://localhost:8080/realms/a%3Fb%23c%25d"},
		{"http://localhost:8080#", "local", "http://localhost:8080/realms/local"},
	} {
		realm, err := NewRealm(tt.serverURL, tt.name)
		if err != nil || realm.Issuer() != tt.wantIssuer {
			t.Errorf("NewRealm(%q, %q).Issuer() = %q, %v; want %q", tt.serverURL, tt.name,
				realm.Issuer(), err, tt.wantIssuer)
		}
	}
}

// NewRealm returns an error if the server URL or the name is wrong. The error never contains the
// URL's password.
func TestNewRealm_invalid(t *testing.T) {
	for _, tt := range []struct{ serverURL, name, wantErr string }{
		{"", "local", "http:// or https://"},
		{"localhost:8080", "local", "http:// or https://"},
		{"ftp://localhost", "local", "http:// or https://"},
		{"http://", "local", "name a host"},
		{"http:///realms", "local", "name a host"},
		{"http:localhost", "local", "name a host"},
		{"http://admin:canary@localhost", "local", "user name or a password"},
		{"http://admin:canary@local host", "local", "can't be parsed"},
		{"http://localhost?x=1", "local", "query"},
		{"http://localhost?", "local", "query"}, // the realm's path would become the query
		{"http://localhost#x", "local", "fragment"},
		// These URLs were copied from the issuer or from the admin console.
		{"http://localhost/realms/local", "local", "end before /realms"},
		{"http://localhost/realms/local/", "local", "end before /realms"},
		{"https://sso.example.com/auth/realms", "local", "end before /realms"},
		{"http://localhost/realms/a%2Fb/.well-known/openid-configuration", "local",
			"end before /realms"},
		{"http://localhost/admin/realms/local", "local", "end before /realms"},
		{"http://localhost", "", "name of a realm"},
		{"http://localhost", "a/b", "name of a realm"},
		{"http://localhost", "a;b", "name of a realm"}, // Keycloak rejects such paths
	} {
		_, err := NewRealm(tt.serverURL, tt.name)
		if err == nil || !strings.Contains(err.Error(), tt.wantErr) ||
			strings.Contains(err.Error(), "canary") {
			t.Errorf("NewRealm(%q, %q) = %v, want an error with %q and without the password",
				tt.serverURL, tt.name, err, tt.wantErr)
		}
	}
}
