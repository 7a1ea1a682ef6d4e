package keycloaktest

import (
	"maps"
	"slices"
)

// supports refuses, by name, a use by a client that would be answered wrongly.
func (r *Realm) supports(c *client, u use) *refusal {
	if what := u.among(slices.Concat(r.settings.unsupported, r.profile.unsupported)); what != "" {
		return refuse(501, notInStandIn, "realm "+r.name+": "+what)
	}
	if what := u.among(c.unsupported); what != "" {
		return refuse(501, notInStandIn, "client "+c.ClientID+": "+what)
	}
	signed := []string{}
	for _, attribute := range slices.Sorted(maps.Keys(signingAttributes)) {
		if signingAttributes[attribute]&u != 0 {
			signed = append(signed, r.algorithm(c, attribute))
		}
	}
	if u&(useTokens|useLogin) != 0 {
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
func (r *Realm) supportsScopes(names []string, u use) *refusal {
	for _, name := range names {
		if s := r.scopes[name]; s != nil {
			if what := u.among(s.unsupported); what != "" {
				return refuse(501, notInStandIn, "client scope "+name+": "+what)
			}
		}
	}
	return nil
}

// hasNoSecret reports whether a client proves who it is in another way, such as by assertions that
// it signs.
func (c *client) hasNoSecret() bool {
	return !c.PublicClient && c.ClientAuthenticatorType != "" && c.ClientAuthenticatorType != "client-secret"
}

// knownSecret refuses a client whose secret an export has masked: nobody could say whether the one
// of a request is right.
func (c *client) knownSecret() *refusal {
	if !c.secretIsUnknown || c.PublicClient {
		return nil
	}
	return refuse(501, notInStandIn, "client "+c.ClientID+": its secret is masked in the realm file: give it with WithClientSecrets")
}
