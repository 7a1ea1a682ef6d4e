package keycloak

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"

	"github.com/cloakql/cloakql/identity"
)

// readToken reads a token answer, RFC 6749 section 5.1, or the refusal of one.
func readToken(got response, refusals []refusalRule) (*identity.OpenIDToken, error) {
	if got.status != http.StatusOK {
		return nil, refusal(got, refusals)
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
	// The decoder's error is dropped: it could quote the answer.
	if json.Unmarshal(got.body, &token) != nil {
		return nil, unavailable("answer 200 is not a JSON object of the token endpoint")
	}
	if token.AccessToken == "" || !strings.EqualFold(token.TokenType, "Bearer") {
		return nil, unavailable("answer 200 holds no bearer token")
	}
	out := &identity.OpenIDToken{
		TokenType:    token.TokenType,
		AccessToken:  identity.NewSecret(token.AccessToken),
		ExpiresIn:    seconds(token.ExpiresIn),
		RefreshToken: optionalSecret(token.RefreshToken),
		IDToken:      optionalSecret(token.IDToken),
		Scope:        strings.Fields(token.Scope),
	}
	// Keycloak says 0 without a refresh token, and with an offline one, which has no end.
	if left := seconds(token.RefreshExpiresIn); left > 0 {
		out.RefreshExpiresIn = &left
	}
	return out, nil
}

// seconds fits a lifetime into GraphQL's Int, which has 32 bits.
func seconds(s float64) int { return int(min(max(s, 0), math.MaxInt32)) }

func optionalSecret(text string) *identity.Secret {
	if text == "" {
		return nil
	}
	secret := identity.NewSecret(text)
	return &secret
}
