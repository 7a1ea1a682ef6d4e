package keycloak

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
)

// sessionID returns the session ID in a refresh token, or "" if there is none. It is unverified:
// only Keycloak has the key that refresh tokens are signed with.
func sessionID(refreshToken identity.Secret) string {
	return readRefreshClaims(refreshToken).Session
}

// refreshClaims are claims of a refresh token whose signature wasn't verified.
type refreshClaims struct {
	Session  string `json:"sid"`
	Type     string `json:"typ"` // Refresh or Offline
	IssuedAt int64  `json:"iat"` // in Unix seconds
}

// readRefreshClaims returns the claims of a refresh token, or none if it isn't a JWT.
func readRefreshClaims(refreshToken identity.Secret) (claims refreshClaims) {
	parts := strings.Split(refreshToken.Reveal(), ".")
	if len(parts) != 3 {
		return refreshClaims{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return refreshClaims{}
	}
	return claims
}

// responseSession returns the session of a token response's access token, as Verifier would. The
// response comes from Keycloak, so the token's signature need not be verified. ok is false if the
// token isn't a JWT.
func responseSession(token *identity.OpenIDToken) (session TokenSession, ok bool) {
	parts, err := jose.DecodeCompact(token.AccessToken.Reveal())
	if err != nil {
		return TokenSession{}, false
	}
	var claims struct {
		Session   string  `json:"sid"`
		Subject   string  `json:"sub"`
		Scope     string  `json:"scope"`
		IssuedAt  float64 `json:"iat"`
		ExpiresAt float64 `json:"exp"`
	}
	if json.Unmarshal(parts[1], &claims) != nil {
		return TokenSession{}, false
	}
	session = TokenSession{SessionID: claims.Session, Subject: claims.Subject,
		Offline: slices.Contains(strings.Fields(claims.Scope), "offline_access")}
	if claims.IssuedAt > 0 {
		session.IssuedAt = time.Unix(int64(claims.IssuedAt), 0)
	}
	if claims.ExpiresAt > 0 {
		session.ExpiresAt = time.Unix(int64(claims.ExpiresAt), 0)
	}
	return session, true
}
