package keycloaktest

import (
	"maps"
	"slices"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// checkSupported returns an error if a client's use of the fake depends on an unsupported realm
// setting, client setting or key.
func (r *Realm) checkSupported(c *client, use realmfile.Use) *oauthError {
	realmSettings := slices.Concat(r.settings.Unsupported, r.profile.Unsupported)
	if problem := use.UnsupportedReason(realmSettings); problem != "" {
		return newOAuthError(501, codeUnsupported, "realm "+r.name+": "+problem)
	}
	if problem := use.UnsupportedReason(c.unsupportedSettings); problem != "" {
		return newOAuthError(501, codeUnsupported, "client "+c.ClientID+": "+problem)
	}
	algorithms := []string{}
	for _, attribute := range slices.Sorted(maps.Keys(realmfile.SigningAttributes)) {
		if realmfile.SigningAttributes[attribute]&use != 0 {
			algorithms = append(algorithms, r.signatureAlgorithm(c, attribute))
		}
	}
	if use&(realmfile.UseTokens|realmfile.UseLogin) != 0 {
		algorithms = append(algorithms, "HS512") // refresh tokens and cookies
	}
	for _, algorithm := range algorithms {
		if problem := r.keySet.signingProblem(algorithm); problem != "" {
			return newOAuthError(501, codeUnsupported, "realm "+r.name+": "+problem)
		}
	}
	return nil
}

// checkScopesSupported returns an error if a scope has an unsupported protocol mapper for use.
func (r *Realm) checkScopesSupported(names []string, use realmfile.Use) *oauthError {
	for _, name := range names {
		if s := r.scopeNamed(name); s != nil {
			if problem := use.UnsupportedReason(s.unsupportedMappers); problem != "" {
				return newOAuthError(501, codeUnsupported, "client scope "+name+": "+problem)
			}
		}
	}
	return nil
}

// authenticatesWithoutSecret reports whether a confidential client authenticates by other means
// than a secret, such as signed assertions.
func (c *client) authenticatesWithoutSecret() bool {
	return !c.PublicClient && c.ClientAuthenticatorType != "" &&
		c.ClientAuthenticatorType != "client-secret"
}

// checkSecretKnown returns an error if the fake can't check the client's secret, because an export
// masked it.
func (c *client) checkSecretKnown() *oauthError {
	if !c.secretUnknown || c.PublicClient {
		return nil
	}
	return newOAuthError(501, codeUnsupported,
		"client "+c.ClientID+
			": its secret is masked in the realm file: set it with WithClientSecrets")
}
