package keycloak

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"

	"github.com/cloakql/cloakql/identity"
)

// parseTokenResponse parses a token response, RFC 6749 section 5.1, or an error response. notBefore
// is Keycloak's not-before-policy, or 0.
func parseTokenResponse(resp response, rules []refusalRule) (_ *identity.OpenIDToken,
	notBefore int64, _ error) {
	if resp.status != http.StatusOK {
		return nil, 0, refusalError(resp, rules)
	}
	var body struct {
		AccessToken      string          `json:"access_token"`
		TokenType        string          `json:"token_type"`
		ExpiresIn        float64         `json:"expires_in"`
		RefreshToken     string          `json:"refresh_token"`
		RefreshExpiresIn float64         `json:"refresh_expires_in"`
		IDToken          string          `json:"id_token"`
		Scope            string          `json:"scope"`
		NotBefore        json.RawMessage `json:"not-before-policy"`
	}
	// Drop the decoder's error: it could quote the response.
	if json.Unmarshal(resp.body, &body) != nil {
		return nil, 0, unavailableError("response 200 is not a JSON object of the token endpoint")
	}
	if body.AccessToken == "" || !strings.EqualFold(body.TokenType, "Bearer") {
		return nil, 0, unavailableError("response 200 holds no bearer token")
	}
	token := &identity.OpenIDToken{
		TokenType:    body.TokenType,
		AccessToken:  identity.NewSecret(body.AccessToken),
		ExpiresIn:    clampSeconds(body.ExpiresIn),
		RefreshToken: optionalSecret(body.RefreshToken),
		IDToken:      optionalSecret(body.IDToken),
		Scope:        strings.Fields(body.Scope),
	}
	// Keycloak sends 0 if there is no refresh token, or if the refresh token is an offline token,
	// which doesn't expire.
	if lifetime := clampSeconds(body.RefreshExpiresIn); lifetime > 0 {
		token.RefreshExpiresIn = &lifetime
	}
	return token, parseNotBefore(body.NotBefore), nil
}

// clampSeconds clamps a lifetime to the range of GraphQL's Int, which has 32 bits.
func clampSeconds(s float64) int { return int(min(max(s, 0), math.MaxInt32)) }

func optionalSecret(text string) *identity.Secret {
	if text == "" {
		return nil
	}
	secret := identity.NewSecret(text)
	return &secret
}
