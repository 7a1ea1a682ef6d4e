package keycloak

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// A Realm names one realm of one Keycloak server. It is immutable; make it with NewRealm.
type Realm struct {
	url string // without a trailing slash: <server url>/realms/<name>
}

// NewRealm returns the realm of that name at serverURL, the address at which this process reaches
// Keycloak: an http or https URL, with the path prefix if there is one
// (http://localhost:8080/auth). A trailing slash doesn't matter. The name is as in Keycloak's admin
// console; its case matters.
func NewRealm(serverURL, name string) (Realm, error) {
	var faults []error
	if name == "" || strings.ContainsAny(name, "/;") {
		faults = append(faults, fmt.Errorf("keycloak: %q can't be the name of a realm", name))
	}
	parsed, err := url.Parse(serverURL)
	if err != nil { // url.Error repeats the URL, which may hold a password
		return Realm{}, errors.Join(append(faults,
			errors.New(
				"keycloak: the server URL can't be parsed: expected one such as "+
					"https://sso.example.com"))...)
	}
	if parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		faults = append(faults,
			errors.New(
				"keycloak: the server URL must begin with http:// or https:// and name a host"))
	}
	if parsed.User != nil {
		faults = append(faults,
			errors.New("keycloak: the server URL must not hold a user name or a password"))
	}
	if parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "" {
		faults = append(faults,
			errors.New("keycloak: the server URL must not hold a query or a fragment"))
	}
	if slices.Contains(strings.Split(parsed.Path, "/"), "realms") {
		faults = append(faults,
			errors.New(
				"keycloak: the server URL must end before /realms: the realm is named by itself"))
	}
	if len(faults) > 0 {
		return Realm{}, errors.Join(faults...)
	}
	return Realm{strings.TrimRight(parsed.String(), "/") + "/realms/" + url.PathEscape(name)}, nil
}

// Issuer returns the issuer that the realm's tokens name while Keycloak's public address is the
// server URL: <server url>/realms/<name>.
func (r Realm) Issuer() string { return r.url }

func (r Realm) tokenURL() string     { return r.url + "/protocol/openid-connect/token" }
func (r Realm) logoutURL() string    { return r.url + "/protocol/openid-connect/logout" }
func (r Realm) certsURL() string     { return r.url + "/protocol/openid-connect/certs" }
func (r Realm) discoveryURL() string { return r.url + "/.well-known/openid-configuration" }
