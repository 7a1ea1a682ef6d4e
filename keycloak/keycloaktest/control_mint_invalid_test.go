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

// What an API looks at besides what golang-jwt does.
var (
	errType     = errors.New("not an access token")
	errSubject  = errors.New("no subject")
	errCritical = errors.New("critical header members")
	errLong     = errors.New("too long")
)

// acceptToken validates a token as an API would.
func acceptToken(t *testing.T, kc *keycloaktest.Server, realm *keycloaktest.Realm,
	token string) error {
	t.Helper()
	if len(token) > 16<<10 {
		return errLong
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
	if headerOf(t, token)["crit"] != nil {
		return errCritical
	}
	return nil
}

// cut is a token without its signature.
func withoutSignature(token string) string { return token[:strings.LastIndex(token, ".")+1] }

// publicKey is the realm's key for RS256, as a certificate authority would write it: what a forger
// knows.
func publicKeyPEM(t *testing.T, realm *keycloaktest.Realm) []byte {
	t.Helper()
	var set jwkset.JWKSMarshal
	must(t, json.Unmarshal([]byte(get(t, oidcURL(realm, "/certs")).wantOK(t).text), &set))
	keys, err := set.JWKSlice()
	must(t, err)
	i := slices.IndexFunc(keys, func(k jwkset.JWK) bool {
		return k.Marshal().KID == realm.SigningKey("RS256")
	})
	der, err := x509.MarshalPKIXPublicKey(keys[i].Key())
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Every way for a token to be wrong that an API must know can be made here, and is refused for just
// that reason.
func TestRealm_Mint_invalidTokens(t *testing.T) {
	kc := keycloaktest.New(t, shop.File(), shopNamed("other"))
	realm, other := kc.Realm("shop"), kc.Realm("other")
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	kid := realm.SigningKey("RS256")

	// with is an access token that is right but for the claims given.
	with := func(claims object) object {
		all := object{"aud": "shop-api", "sub": "alice"}
		for name, value := range claims {
			all[name] = value
		}
		return all
	}
	made := func(m tokenSpec) string { return mint(t, realm, m) }
	right := made(tokenSpec{Claims: with(nil)})
	soon := kc.Now().Add(time.Hour).Unix()
	tokens := signIn(t, realm)

	gone, err := realm.AddKey(keycloaktest.Key{Algorithm: "RS256", Priority: 1000})
	must(t, err)
	ofGoneKey := made(tokenSpec{Claims: with(nil)})
	must(t, realm.RemoveKey(gone))

	for _, tt := range []struct {
		name, token string
		want        error
	}{
		{"right", right, nil},
		{"right, for several", made(tokenSpec{Claims: with(object{"aud": []string{"account", "shop-api"}})}), nil},

		{"expired", made(tokenSpec{Claims: with(nil), Lifetime: -time.Second}), jwt.ErrTokenExpired},
		{"expires now", made(tokenSpec{Claims: with(object{"exp": kc.Now().Unix()})}), jwt.ErrTokenExpired},
		{"never expires", made(tokenSpec{Claims: with(object{"exp": nil})}), jwt.ErrTokenRequiredClaimMissing},
		{"expires sometime", made(tokenSpec{Claims: with(object{"exp": "soon"})}), jwt.ErrInvalidType},
		{"not valid yet", made(tokenSpec{Claims: with(object{"nbf": soon})}), jwt.ErrTokenNotValidYet},
		{"of the future", made(tokenSpec{Claims: with(object{"iat": soon})}), jwt.ErrTokenUsedBeforeIssued},

		{"of another issuer", made(tokenSpec{Claims: with(object{"iss": "https://evil.example/realms/shop"})}), jwt.ErrTokenInvalidIssuer},
		{"of nobody", made(tokenSpec{Claims: with(object{"iss": nil})}), jwt.ErrTokenRequiredClaimMissing},
		{"of another realm", mint(t, other, tokenSpec{Claims: with(nil)}), jwkset.ErrKeyNotFound},
		{"of another realm, which says it is ours", mint(t, other, tokenSpec{Claims: with(object{"iss": realm.Issuer()}), Header: object{"kid": kid}}), jwt.ErrTokenSignatureInvalid},
		{"for another API", made(tokenSpec{Claims: with(object{"aud": "another-api"})}), jwt.ErrTokenInvalidAudience},
		{"for several others", made(tokenSpec{Claims: with(object{"aud": []string{"account", "another-api"}})}), jwt.ErrTokenInvalidAudience},
		{"for nobody", made(tokenSpec{Claims: with(object{"aud": nil})}), jwt.ErrTokenRequiredClaimMissing},
		{"about nobody", made(tokenSpec{Claims: with(object{"sub": nil})}), errSubject},
		{"about a number", made(tokenSpec{Claims: with(object{"sub": 7})}), errSubject},

		{"a minted ID token", made(tokenSpec{Claims: with(object{"typ": "ID"})}), errType},
		{"a minted logout token", made(tokenSpec{Claims: with(object{"typ": "Logout"}), Header: object{"typ": "logout+jwt"}}), errType},
		{"of no type", made(tokenSpec{Claims: with(object{"typ": nil})}), errType},
		{"a real ID token", tokens.IDToken, errType},
		{"a real refresh token", tokens.RefreshToken, jwkset.ErrKeyNotFound},

		{"of an unknown key", made(tokenSpec{Claims: with(nil), Header: object{"kid": "another"}}), jwkset.ErrKeyNotFound},
		{"of an unnamed key", made(tokenSpec{Claims: with(nil), Header: object{"kid": nil}}), jwkset.ErrKeyNotFound},
		{"of a key that is gone", ofGoneKey, jwkset.ErrKeyNotFound},
		{"of a forger's key", made(tokenSpec{Claims: with(nil), Key: foreign}), jwt.ErrTokenSignatureInvalid},
		{"of a forger's key with a name of its own", made(tokenSpec{Claims: with(nil), Key: foreign, Header: object{"kid": "forged"}}), jwkset.ErrKeyNotFound},
		{"signed with the public key", made(tokenSpec{Claims: with(nil), Algorithm: "HS256", Key: publicKeyPEM(t, realm), Header: object{"kid": kid}}), errAlgorithm},
		{"another algorithm of the same key", made(tokenSpec{Claims: with(nil), Algorithm: "PS256", Header: object{"kid": kid}}), errAlgorithm},
		{"a header that lies about its algorithm", made(tokenSpec{Claims: with(nil), Header: object{"alg": "RS512"}}), errAlgorithm},
		{"of an algorithm that nobody knows", made(tokenSpec{Claims: with(nil), Header: object{"alg": "XS256"}}), jwt.ErrTokenUnverifiable},
		{"not signed", withoutSignature(made(tokenSpec{Claims: with(nil), Header: object{"alg": "none"}})), errAlgorithm},
		{"not signed, and not saying so", withoutSignature(right), jwt.ErrTokenSignatureInvalid},
		{"with another payload", withPayload(right, made(tokenSpec{Claims: with(object{"sub": "admin"})})), jwt.ErrTokenSignatureInvalid},
		{"with critical members", made(tokenSpec{Claims: with(nil), Header: object{"crit": []string{"b64"}, "b64": false}}), errCritical},

		{"too long", made(tokenSpec{Claims: with(object{"x": strings.Repeat("x", 20_000)})}), errLong},
		{"two parts", strings.TrimSuffix(withoutSignature(right), "."), jwt.ErrTokenMalformed},
		{"no token", "right", jwt.ErrTokenMalformed},
		{"bad base64", right + "=", jwt.ErrTokenMalformed},
		{"bad JSON", base64.RawURLEncoding.EncodeToString([]byte(`{"alg"`)) + right[strings.Index(right, "."):], jwt.ErrTokenMalformed},
	} {
		if err := acceptToken(t, kc, realm, tt.token); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}

	// Some are made by waiting.
	kc.Advance(5 * time.Minute)
	if err := acceptToken(t, kc, realm, right); !errors.Is(err, jwt.ErrTokenExpired) {
		t.Errorf("a token of five minutes ago: %v, want %v", err, jwt.ErrTokenExpired)
	}
}

// swap is a token with another's payload.
func withPayload(token, other string) string {
	parts, others := strings.Split(token, "."), strings.Split(other, ".")
	return parts[0] + "." + others[1] + "." + parts[2]
}
