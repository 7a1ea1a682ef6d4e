package keycloaktest

import (
	"maps"
	"slices"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// supports refuses, by name, a use by a client that would be answered wrongly.
func (r *Realm) supports(c *client, u realmfile.Use) *refusal {
	if what := u.Reasons(slices.Concat(r.settings.Unsupported, r.profile.Unsupported)); what != "" {
		return refuse(501, notInStandIn, "realm "+r.name+": "+what)
	}
	if what := u.Reasons(c.unsupported); what != "" {
		return refuse(501, notInStandIn, "client "+c.ClientID+": "+what)
	}
	signed := []string{}
	for _, attribute := range slices.Sorted(maps.Keys(realmfile.SigningAttributes)) {
		if realmfile.SigningAttributes[attribute]&u != 0 {
			signed = append(signed, r.algorithm(c, attribute))
		}
	}
	if u&(realmfile.UseTokens|realmfile.UseLogin) != 0 {
		signed = append(signed, "HS512") // refresh tokens, and cookies
	}
	for _, algorithm := range signed {
		if what := r.keys.unable(algorithm); what != "" {
			return refuse(501, notInStandIn, "realm "+r.name+": "+what)
		}
	}
	return nil
}

// supportsScopes refuses, by name, scopes that would be answered wrongly.
func (r *Realm) supportsScopes(names []string, u realmfile.Use) *refusal {
	for _, name := range names {
		if s := r.scopes[name]; s != nil {
			if what := u.Reasons(s.unsupported); what != "" {
				return refuse(501, notInStandIn, "client scope "+name+": "+what)
			}
		}
	}
	return nil
}

// hasNoSecret reports whether a client proves who it is in another way, such as by assertions that
// it signs.
func (c *client) hasNoSecret() bool {
	return !c.PublicClient && c.ClientAuthenticatorType != "" &&
		c.ClientAuthenticatorType != "client-secret"
}

// knownSecret refuses a client whose secret an export has masked: there is no telling whether the
// one of a request is right.
func (c *client) knownSecret() *refusal {
	if !c.secretIsUnknown || c.PublicClient {
		return nil
	}
	return refuse(501, notInStandIn,
		"client "+c.ClientID+
			": its secret is masked in the realm file: give it with WithClientSecrets")
}
