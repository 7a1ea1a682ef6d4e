package keycloaktest

import (
	"maps"
	"slices"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// checkSupported returns an error if a client's use of the fake depends on an unsupported realm
// setting, client setting or key.
func (r *Realm) checkSupported(c *client, use realmfile.Use) *oauthError {
	realmProblems := slices.Concat(r.settings.Unsupported, r.profile.Unsupported)
	if problem := use.Reasons(realmProblems); problem != "" {
		return newOAuthError(501, codeUnsupported, "realm "+r.name+": "+problem)
	}
	if problem := use.Reasons(c.unsupportedSettings); problem != "" {
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

// checkScopesSupported returns an error if a scope has an unsupported protocol mapper for use.
func (r *Realm) checkScopesSupported(names []string, use realmfile.Use) *oauthError {
	for _, name := range names {
		if s := r.scopes[name]; s != nil {
			if problem := use.Reasons(s.unsupportedMappers); problem != "" {
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

// checkSecretKnown returns an error if an export masked the client's secret, because the fake then
// can't check it.
func (c *client) checkSecretKnown() *oauthError {
	if !c.secretUnknown || c.PublicClient {
		return nil
	}
	return newOAuthError(501, codeUnsupported,
		"client "+c.ClientID+
			": its secret is masked in the realm file: set it with WithClientSecrets")
}
