package keycloaktest

import (
	"maps"
	"slices"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// checkSupported refuses a request by a client if it would need an unsupported feature, such as a
// realm setting, a client setting or a key.
func (r *Realm) checkSupported(c *client, use realmfile.Use) *oauthError {
	realmProblems := slices.Concat(r.settings.Unsupported, r.profile.Unsupported)
	if problem := use.Reasons(realmProblems); problem != "" {
		return newOAuthError(501, codeUnsupported, "realm "+r.name+": "+problem)
	}
	if problem := use.Reasons(c.unsupported); problem != "" {
		return newOAuthError(501, codeUnsupported, "client "+c.ClientID+": "+problem)
	}
	algorithms := []string{}
	for _, attribute := range slices.Sorted(maps.Keys(realmfile.SigningAttributes)) {
		if realmfile.SigningAttributes[attribute]&use != 0 {
			algorithms = append(algorithms, r.algorithm(c, attribute))
		}
	}
	if use&(realmfile.UseTokens|realmfile.UseLogin) != 0 {
		algorithms = append(algorithms, "HS512") // refresh tokens and cookies
	}
	for _, algorithm := range algorithms {
		if problem := r.keys.signingProblem(algorithm); problem != "" {
			return newOAuthError(501, codeUnsupported, "realm "+r.name+": "+problem)
		}
	}
	return nil
}

// checkScopesSupported refuses scopes with unsupported protocol mappers.
func (r *Realm) checkScopesSupported(names []string, use realmfile.Use) *oauthError {
	for _, name := range names {
		if s := r.scopes[name]; s != nil {
			if problem := use.Reasons(s.unsupported); problem != "" {
				return newOAuthError(501, codeUnsupported, "client scope "+name+": "+problem)
			}
		}
	}
	return nil
}

// hasNoSecret reports whether a client authenticates without a secret, for example by signed
// assertions.
func (c *client) hasNoSecret() bool {
	return !c.PublicClient && c.ClientAuthenticatorType != "" &&
		c.ClientAuthenticatorType != "client-secret"
}

// checkSecretKnown refuses a client whose secret was masked by an export, because its secret can't
// be checked.
func (c *client) checkSecretKnown() *oauthError {
	if !c.secretUnknown || c.PublicClient {
		return nil
	}
	return newOAuthError(501, codeUnsupported,
		"client "+c.ClientID+
			": its secret is masked in the realm file: give it with WithClientSecrets")
}
