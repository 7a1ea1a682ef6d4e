package contract

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// A decodedToken is a JWT that was decoded but not verified.
type decodedToken struct {
	header string // the JSON text, including Keycloak's white space
	kid    string
	alg    string
	claims object
}

// decodeToken decodes a token without verifying it. It returns false if text isn't a token.
func decodeToken(text string) (decodedToken, bool) {
	var decoded decodedToken
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return decoded, false
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return decoded, false
	}
	var fields struct{ Kid, Alg string }
	if json.Unmarshal(header, &fields) != nil {
		return decoded, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return decoded, false
	}
	decoder := json.NewDecoder(strings.NewReader(string(payload)))
	decoder.UseNumber()
	if decoder.Decode(&decoded.claims) != nil {
		return decoded, false
	}
	decoded.header, decoded.kid, decoded.alg = string(header), fields.Kid, fields.Alg
	return decoded, true
}

// kidOf returns the ID of the key that signed a token.
func kidOf(token string) string {
	decoded, _ := decodeToken(token)
	return decoded.kid
}

// headerForRecord returns the header byte for byte, except that the key ID is replaced by its
// shape.
func (t decodedToken) headerForRecord() string {
	if t.kid == "" {
		return t.header
	}
	return strings.Replace(t.header, t.kid, describeFormat(t.kid), 1)
}

// formatToken formats a token: its header, whether its signature is valid, and its claims. It
// returns "" if the string isn't a token.
func (s *scenario) formatToken(name, token string, w window) string {
	decoded, ok := decodeToken(token)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s: %s %s\n%s\n", name, decoded.headerForRecord(),
		s.describeSignature(token, decoded), s.render("", decoded.claims, timing{window: w}, ""))
}

// describeSignature describes the signature of a token. The signature is verified with the key that
// the issuer publishes.
func (s *scenario) describeSignature(token string, decoded decodedToken) string {
	if strings.HasPrefix(decoded.alg, "HS") {
		return "(key not published)"
	}
	issuer, _ := decoded.claims["iss"].(string)
	if !strings.HasPrefix(issuer, s.kc.baseURL()) {
		return "(issuer elsewhere)"
	}
	cacheKey := issuer + " " + decoded.kid
	key, ok := s.suite.publicKeys.Load(cacheKey)
	if !ok {
		for _, k := range s.publishedKeys(issuer) {
			if k.Kid == decoded.kid && k.Use == "sig" && k.Alg == decoded.alg {
				key = k.publicKey()
				s.suite.publicKeys.Store(cacheKey, key)
			}
		}
	}
	if key == nil {
		return "(no key published)"
	}
	parser := jwt.NewParser(jwt.WithoutClaimsValidation())
	_, err := parser.Parse(token, func(*jwt.Token) (any, error) {
		return key, nil
	})
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return "(verified)"
}

// A jwk is a key that a realm publishes.
type jwk struct {
	Kid, Kty, Alg, Use, Crv, N, E, X, Y string

	X5C     []string `json:"x5c"`
	X5T     string   `json:"x5t"`
	X5TS256 string   `json:"x5t#S256"`
}

// publishedKeys returns the keys that an issuer publishes.
func (s *scenario) publishedKeys(issuer string) []jwk {
	var set struct{ Keys []jwk }
	json.Unmarshal([]byte(s.get(issuer+"/protocol/openid-connect/certs").body), &set)
	return set.Keys
}

// publicKey returns the public key, or nil if it is invalid.
func (k jwk) publicKey() any {
	decode := func(text string) []byte {
		b, _ := base64.RawURLEncoding.DecodeString(text)
		return b
	}
	curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(),
		"P-521": elliptic.P521()}[k.Crv]
	switch {
	case k.Kty == "RSA":
		return &rsa.PublicKey{N: new(big.Int).SetBytes(decode(k.N)),
			E: int(new(big.Int).SetBytes(decode(k.E)).Int64())}
	case k.Kty == "EC" && curve != nil:
		key, err := ecdsa.ParseUncompressedPublicKey(curve,
			append(append([]byte{4}, decode(k.X)...), decode(k.Y)...))
		if err == nil {
			return key
		}
	case k.Kty == "OKP" && k.Crv == "Ed25519":
		return ed25519.PublicKey(decode(k.X))
	}
	return nil
}
