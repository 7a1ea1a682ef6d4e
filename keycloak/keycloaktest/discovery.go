package keycloaktest

import (
	"crypto/x509"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// Issuer returns the realm's issuer, the iss claim of its tokens.
func (r *Realm) Issuer() string {
	if r.nonNil().server == nil {
		return ""
	}
	base := r.server.publicURL
	if address := r.frontendURL.Load(); address != nil && *address != "" {
		base = strings.TrimSuffix(*address, "/")
	}
	return base + "/realms/" + r.escapedName()
}

// loadFrontendURL sets r.frontendURL from the realm's attributes. The caller holds the lock, unless
// the realm is still being built.
func (r *Realm) loadFrontendURL() {
	address := r.settings.Attributes["frontendUrl"]
	r.frontendURL.Store(&address)
}

// info serves /realms/{realm}.
func (r *Realm) info(*request) response {
	r.mu.Lock()
	defer r.mu.Unlock()
	if problem := r.keySet.signingProblem("RS256"); problem != "" {
		return newOAuthError(501, codeUnsupported, "realm "+r.name+": "+problem).response()
	}
	der := must(x509.MarshalPKIXPublicKey(r.keySet.signingKey("RS256").publicKey()))
	return jsonResponse(200, noCache, map[string]any{
		"realm": r.name, "public_key": base64.StdEncoding.EncodeToString(der),
		"token-service": r.Issuer() + oidcPath, "account-service": r.Issuer() + "/account",
		"tokens-not-before": r.settings.NotBefore,
	}).withHeader("Content-Type", "application/json;charset=UTF-8")
}

// keySetMediaType is the media type of a key set (RFC 7517 8.5.2).
const keySetMediaType = "application/jwk-set+json"

// certs serves the realm's JSON Web Key Set.
func (r *Realm) certs(req *request) response {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checkTLS(req); err != nil {
		return err.plainResponse()
	}
	resp := jsonResponse(200, noCache, r.keySet.jwks())
	if strings.Contains(req.Header.Get("Accept"), keySetMediaType) &&
		!strings.Contains(req.Header.Get("Accept"), "application/json") {
		resp = resp.withHeader("Content-Type", keySetMediaType)
	}
	return resp
}

// discovery serves the realm's metadata (OpenID Connect Discovery 1.0, RFC 8414), without the
// features that the fake lacks.
func (r *Realm) discovery(req *request) response {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checkTLS(req); err != nil {
		return err.plainResponse()
	}
	base := r.Issuer() + oidcPath
	authMethods := []string{"client_secret_basic", "client_secret_post"}
	scopes := slices.Sorted(maps.Keys(r.scopes))
	if r.scopes["openid"] == nil {
		scopes = append([]string{"openid"}, scopes...)
	}
	grantTypes := slices.Sorted(maps.Keys(grantHandlers()))
	return jsonResponse(200, "no-cache, must-revalidate, no-transform, no-store", map[string]any{
		"issuer":                                r.Issuer(),
		"authorization_endpoint":                base + "/auth",
		"token_endpoint":                        base + "/token",
		"introspection_endpoint":                base + "/token/introspect",
		"userinfo_endpoint":                     base + "/userinfo",
		"end_session_endpoint":                  base + "/logout",
		"jwks_uri":                              base + "/certs",
		"revocation_endpoint":                   base + "/revoke",
		"device_authorization_endpoint":         base + "/auth/device",
		"grant_types_supported":                 grantTypes,
		"response_types_supported":              []string{"code", "none"},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": realmfile.SignatureAlgorithms,
		"scopes_supported":                      scopes,
		"acr_values_supported":                  r.acrValues(),
		"claims_supported": []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "name",
			"given_name", "family_name", "preferred_username",
			"email", "acr", "azp", "nonce"},
		"claim_types_supported":                          []string{"normal"},
		"prompt_values_supported":                        []string{"none", "login", "consent"},
		"code_challenge_methods_supported":               []string{"plain", "S256"},
		"token_endpoint_auth_methods_supported":          authMethods,
		"introspection_endpoint_auth_methods_supported":  authMethods,
		"revocation_endpoint_auth_methods_supported":     authMethods,
		"backchannel_logout_supported":                   true,
		"backchannel_logout_session_supported":           true,
		"authorization_response_iss_parameter_supported": true,
	})
}

// acrValues returns the realm's levels of authentication: their numbers and names.
func (r *Realm) acrValues() []string {
	values := []string{"0"}
	for _, l := range r.settings.AuthLevels {
		values = append(values, strconv.Itoa(l.Level))
	}
	if len(values) == 1 {
		values = append(values, "1") // of a browser flow without levels
	}
	for _, name := range slices.Sorted(maps.Keys(realmfile.ACRLevels(r.settings.Attributes))) {
		if !slices.Contains(values, name) {
			values = append(values, name)
		}
	}
	return values
}
