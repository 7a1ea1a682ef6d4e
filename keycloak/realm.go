package keycloak

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// A Realm identifies a realm on a Keycloak server. It is immutable; make it with NewRealm.
type Realm struct {
	url string // <server url>/realms/<name>, without a trailing slash
}

// NewRealm returns the realm called name at serverURL, the URL at which this process reaches
// Keycloak: an http or https URL, with a path prefix if Keycloak has one
// (http://localhost:8080/auth). A trailing slash is ignored. The name is the realm name that
// Keycloak's admin console shows, and is case-sensitive.
func NewRealm(serverURL, name string) (Realm, error) {
	var errs []error
	if name == "" || strings.ContainsAny(name, "/;") {
		errs = append(errs, fmt.Errorf("keycloak: %q can't be the name of a realm", name))
	}
	u, err := url.Parse(serverURL)
	if err != nil { // url.Error repeats the URL, which may hold a password
		return Realm{}, errors.Join(append(errs,
			errors.New(
				"keycloak: the server URL can't be parsed: expected a URL such as "+
					"https://sso.example.com"))...)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		errs = append(errs,
			errors.New(
				"keycloak: the server URL must begin with http:// or https:// and name a host"))
	}
	if u.User != nil {
		errs = append(errs,
			errors.New("keycloak: the server URL must not hold a user name or a password"))
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		errs = append(errs,
			errors.New("keycloak: the server URL must not hold a query or a fragment"))
	}
	if slices.Contains(strings.Split(u.Path, "/"), "realms") {
		errs = append(errs,
			errors.New(
				"keycloak: the server URL must end before /realms: the realm is a separate "+
					"argument"))
	}
	if len(errs) > 0 {
		return Realm{}, errors.Join(errs...)
	}
	return Realm{strings.TrimRight(u.String(), "/") + "/realms/" + url.PathEscape(name)}, nil
}

// Issuer returns the issuer in the realm's tokens, if Keycloak's public URL is the server URL:
// <server url>/realms/<name>.
func (r Realm) Issuer() string { return r.url }

func (r Realm) tokenURL() string  { return r.url + "/protocol/openid-connect/token" }
func (r Realm) logoutURL() string { return r.url + "/protocol/openid-connect/logout" }
func (r Realm) introspectionURL() string {
	return r.url + "/protocol/openid-connect/token/introspect"
}
func (r Realm) certsURL() string     { return r.url + "/protocol/openid-connect/certs" }
func (r Realm) discoveryURL() string { return r.url + "/.well-known/openid-configuration" }
