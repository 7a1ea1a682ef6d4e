package keycloak

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"

	"github.com/cloakql/cloakql/identity"
)

// readToken reads a token response, RFC 6749 section 5.1, or an error response.
func readToken(resp response, refusals []refusalRule) (*identity.OpenIDToken, error) {
	if resp.status != http.StatusOK {
		return nil, refusal(resp, refusals)
	}
	var token struct {
		AccessToken      string  `json:"access_token"`
		TokenType        string  `json:"token_type"`
		ExpiresIn        float64 `json:"expires_in"`
		RefreshToken     string  `json:"refresh_token"`
		RefreshExpiresIn float64 `json:"refresh_expires_in"`
		IDToken          string  `json:"id_token"`
		Scope            string  `json:"scope"`
	}
	// Drop the decoder's error: it could quote the response.
	if json.Unmarshal(resp.body, &token) != nil {
		return nil, unavailableError("response 200 is not a JSON object of the token endpoint")
	}
	if token.AccessToken == "" || !strings.EqualFold(token.TokenType, "Bearer") {
		return nil, unavailableError("response 200 holds no bearer token")
	}
	result := &identity.OpenIDToken{
		TokenType:    token.TokenType,
		AccessToken:  identity.NewSecret(token.AccessToken),
		ExpiresIn:    seconds(token.ExpiresIn),
		RefreshToken: optionalSecret(token.RefreshToken),
		IDToken:      optionalSecret(token.IDToken),
		Scope:        strings.Fields(token.Scope),
	}
	// Keycloak sends 0 if there is no refresh token, or if the refresh token is an offline token,
	// which doesn't expire.
	if lifetime := seconds(token.RefreshExpiresIn); lifetime > 0 {
		result.RefreshExpiresIn = &lifetime
	}
	return result, nil
}

// seconds clamps a lifetime to the range of GraphQL's Int, which has 32 bits.
func seconds(s float64) int { return int(min(max(s, 0), math.MaxInt32)) }

func optionalSecret(text string) *identity.Secret {
	if text == "" {
		return nil
	}
	secret := identity.NewSecret(text)
	return &secret
}
