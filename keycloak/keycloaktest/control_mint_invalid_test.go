package keycloaktest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// validateToken returns these errors for checks that golang-jwt doesn't make.
var (
	errType     = errors.New("not an access token")
	errSubject  = errors.New("no subject")
	errCritical = errors.New("critical header parameters")
	errTooLong  = errors.New("too long")
)

// validateToken validates a token as an API would.
func validateToken(t *testing.T, kc *keycloaktest.Server, realm *keycloaktest.Realm,
	token string) error {
	t.Helper()
	if len(token) > 16<<10 {
		return errTooLong
	}
	claims, err := verify(t, kc, realm, token)
	if err != nil {
		return err
	}
	if claims["typ"] != "Bearer" {
		return errType
	}
	if subject, _ := claims["sub"].(string); subject == "" {
		return errSubject
	}
	if parseHeader(t, token)["crit"] != nil {
		return errCritical
	}
	return nil
}

// withoutSignature returns a token with an empty signature.
func withoutSignature(token string) string { return token[:strings.LastIndex(token, ".")+1] }

// publicKeyPEM returns the realm's public key for RS256 as PEM. An attacker may try it as an HMAC
// secret.
func publicKeyPEM(t *testing.T, realm *keycloaktest.Realm) []byte {
	t.Helper()
	var set jwkset.JWKSMarshal
	must(t, json.Unmarshal([]byte(get(t, oidcURL(realm, "/certs")).wantOK(t).text), &set))
	keys, err := set.JWKSlice()
	must(t, err)
	i := slices.IndexFunc(keys, func(k jwkset.JWK) bool {
		return k.Marshal().KID == realm.SigningKeyID("RS256")
	})
	der, err := x509.MarshalPKIXPublicKey(keys[i].Key())
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Mint creates every kind of invalid token that an API must reject. validateToken returns the
// expected error for each token.
func TestRealm_Mint_invalidTokens(t *testing.T) {
	kc := keycloaktest.New(t, shop.File(), shopFileNamed("other"))
	realm, otherRealm := kc.Realm("shop"), kc.Realm("other")
	attackerKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	kid := realm.SigningKeyID("RS256")

	// claimsWith returns the claims of a valid access token, with some overridden.
	claimsWith := func(overrides object) object {
		claims := object{"aud": "shop-api", "sub": "alice"}
		for name, value := range overrides {
			claims[name] = value
		}
		return claims
	}
	mintToken := func(spec tokenSpec) string { return mint(t, realm, spec) }
	validToken := mintToken(tokenSpec{Claims: claimsWith(nil)})
	oneHourLater := kc.Now().Add(time.Hour).Unix()
	tokens := signIn(t, realm)

	removedKID, err := realm.AddKey(keycloaktest.Key{Algorithm: "RS256", Priority: 1000})
	must(t, err)
	removedKeyToken := mintToken(tokenSpec{Claims: claimsWith(nil)})
	must(t, realm.RemoveKey(removedKID))

	for _, tt := range []struct {
		name, token string
		want        error
	}{
		{"valid", validToken, nil},
		{"valid, several audiences",
			mintToken(tokenSpec{Claims: claimsWith(object{"aud": []string{"account",
				"shop-api"}})}), nil},

		{"expired", mintToken(tokenSpec{Claims: claimsWith(nil), Lifetime: -time.Second}),
			jwt.ErrTokenExpired},
		{"expires now", mintToken(tokenSpec{Claims: claimsWith(object{"exp": kc.Now().Unix()})}),
			jwt.ErrTokenExpired},
		{"no exp", mintToken(tokenSpec{Claims: claimsWith(object{"exp": nil})}),
			jwt.ErrTokenRequiredClaimMissing},
		{"exp of the wrong type", mintToken(tokenSpec{Claims: claimsWith(object{"exp": "soon"})}),
			jwt.ErrInvalidType},
		{"not yet valid", mintToken(tokenSpec{Claims: claimsWith(object{"nbf": oneHourLater})}),
			jwt.ErrTokenNotValidYet},
		{"issued in the future",
			mintToken(tokenSpec{Claims: claimsWith(object{"iat": oneHourLater})}),
			jwt.ErrTokenUsedBeforeIssued},

		{"wrong issuer", mintToken(tokenSpec{
			Claims: claimsWith(object{"iss": "https://evil.example/realms/shop"})}),
			jwt.ErrTokenInvalidIssuer},
		{"no issuer", mintToken(tokenSpec{Claims: claimsWith(object{"iss": nil})}),
			jwt.ErrTokenRequiredClaimMissing},
		{"from another realm", mint(t, otherRealm, tokenSpec{Claims: claimsWith(nil)}),
			jwkset.ErrKeyNotFound},
		{"signed by another realm, with our iss and kid",
			mint(t, otherRealm, tokenSpec{Claims: claimsWith(object{"iss": realm.Issuer()}),
				Header: object{"kid": kid}}), jwt.ErrTokenSignatureInvalid},
		{"wrong audience", mintToken(tokenSpec{Claims: claimsWith(object{"aud": "another-api"})}),
			jwt.ErrTokenInvalidAudience},
		{"several wrong audiences",
			mintToken(tokenSpec{Claims: claimsWith(object{"aud": []string{"account",
				"another-api"}})}), jwt.ErrTokenInvalidAudience},
		{"no audience", mintToken(tokenSpec{Claims: claimsWith(object{"aud": nil})}),
			jwt.ErrTokenRequiredClaimMissing},
		{"no subject", mintToken(tokenSpec{Claims: claimsWith(object{"sub": nil})}), errSubject},
		{"numeric subject", mintToken(tokenSpec{Claims: claimsWith(object{"sub": 7})}), errSubject},

		{"a minted ID token", mintToken(tokenSpec{Claims: claimsWith(object{"typ": "ID"})}),
			errType},
		{"a minted logout token",
			mintToken(tokenSpec{Claims: claimsWith(object{"typ": "Logout"}),
				Header: object{"typ": "logout+jwt"}}), errType},
		{"no typ claim", mintToken(tokenSpec{Claims: claimsWith(object{"typ": nil})}), errType},
		{"a real ID token", tokens.IDToken, errType},
		{"a real refresh token", tokens.RefreshToken, jwkset.ErrKeyNotFound},

		{"unknown kid", mintToken(tokenSpec{Claims: claimsWith(nil),
			Header: object{"kid": "another"}}), jwkset.ErrKeyNotFound},
		{"no kid", mintToken(tokenSpec{Claims: claimsWith(nil), Header: object{"kid": nil}}),
			jwkset.ErrKeyNotFound},
		{"signed by a removed key", removedKeyToken, jwkset.ErrKeyNotFound},
		{"signed by an attacker's key",
			mintToken(tokenSpec{Claims: claimsWith(nil),
				Key: attackerKey}), jwt.ErrTokenSignatureInvalid},
		{"signed by an attacker's key, with its kid",
			mintToken(tokenSpec{Claims: claimsWith(nil), Key: attackerKey,
				Header: object{"kid": "forged"}}), jwkset.ErrKeyNotFound},
		{"signed with the public key as HMAC secret",
			mintToken(tokenSpec{Claims: claimsWith(nil), Algorithm: "HS256",
				Key: publicKeyPEM(t, realm), Header: object{"kid": kid}}), errAlgorithm},
		{"PS256 signature by the key for RS256",
			mintToken(tokenSpec{Claims: claimsWith(nil), Algorithm: "PS256",
				Header: object{"kid": kid}}), errAlgorithm},
		{"alg differs from the signature",
			mintToken(tokenSpec{Claims: claimsWith(nil),
				Header: object{"alg": "RS512"}}), errAlgorithm},
		{"unknown alg", mintToken(tokenSpec{Claims: claimsWith(nil),
			Header: object{"alg": "XS256"}}), jwt.ErrTokenUnverifiable},
		{"alg none", withoutSignature(mintToken(tokenSpec{Claims: claimsWith(nil),
			Header: object{"alg": "none"}})), errAlgorithm},
		{"no signature", withoutSignature(validToken), jwt.ErrTokenSignatureInvalid},
		{"payload of another token",
			withPayload(validToken,
				mintToken(tokenSpec{Claims: claimsWith(object{"sub": "admin"})})),
			jwt.ErrTokenSignatureInvalid},
		{"unknown critical header parameter",
			mintToken(tokenSpec{Claims: claimsWith(nil),
				Header: object{"crit": []string{"b64"}, "b64": false}}), errCritical},

		{"too long token", mintToken(tokenSpec{Claims: claimsWith(object{"x": strings.Repeat("x",
			20_000)})}), errTooLong},
		{"only header and payload", strings.TrimSuffix(withoutSignature(validToken), "."),
			jwt.ErrTokenMalformed},
		{"not a token", "text", jwt.ErrTokenMalformed},
		{"signature with invalid base64", validToken + "=", jwt.ErrTokenMalformed},
		{"header with invalid JSON", base64.RawURLEncoding.EncodeToString([]byte(`{"alg"`)) +
			validToken[strings.Index(validToken, "."):], jwt.ErrTokenMalformed},
	} {
		if err := validateToken(t, kc, realm, tt.token); !errors.Is(err, tt.want) {
			t.Errorf("%s: validateToken returns %v, want %v", tt.name, err, tt.want)
		}
	}

	kc.Advance(5 * time.Minute)
	if err := validateToken(t, kc, realm, validToken); !errors.Is(err, jwt.ErrTokenExpired) {
		t.Errorf("five minutes later, validateToken returns %v, want %v", err, jwt.ErrTokenExpired)
	}
}

// withPayload returns token with the payload of other instead of its own payload.
func withPayload(token, other string) string {
	parts, otherParts := strings.Split(token, "."), strings.Split(other, ".")
	return parts[0] + "." + otherParts[1] + "." + parts[2]
}
