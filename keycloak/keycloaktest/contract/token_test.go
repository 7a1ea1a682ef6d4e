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

// An openedToken is a JWT that was read, not verified.
type openedToken struct {
	header string // as it stands: Keycloak's has spaces
	kid    string
	alg    string
	claims object
}

func openToken(text string) (openedToken, bool) {
	var opened openedToken
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return opened, false
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return opened, false
	}
	var members struct{ Kid, Alg string }
	if json.Unmarshal(header, &members) != nil {
		return opened, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return opened, false
	}
	decoder := json.NewDecoder(strings.NewReader(string(payload)))
	decoder.UseNumber()
	if decoder.Decode(&opened.claims) != nil {
		return opened, false
	}
	opened.header, opened.kid, opened.alg = string(header), members.Kid, members.Alg
	return opened, true
}

// kidOf is the id of the key that signed a token.
func kidOf(token string) string {
	opened, _ := openToken(token)
	return opened.kid
}

// shownHeader is the header byte for byte, but for the key's id.
func (o openedToken) shownHeader() string {
	if o.kid == "" {
		return o.header
	}
	return strings.Replace(o.header, o.kid, shape(o.kid), 1)
}

// opened shows a token: its header byte for byte, who signed it, and its claims.
func (x *exchange) opened(name, token string, w window) string {
	opened, ok := openToken(token)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s: %s %s\n%s\n", name, opened.shownHeader(), x.signature(token, opened),
		x.render("", opened.claims, normal{window: w}, ""))
}

// signature reports whether a key that the issuer publishes signed the token.
func (x *exchange) signature(token string, opened openedToken) string {
	if strings.HasPrefix(opened.alg, "HS") {
		return "(key not published)"
	}
	issuer, _ := opened.claims["iss"].(string)
	if !strings.HasPrefix(issuer, x.side.base()) {
		return "(issuer elsewhere)"
	}
	id := issuer + " " + opened.kid
	key, known := x.group.keys.Load(id)
	if !known {
		for _, k := range x.published(issuer) {
			if k.Kid == opened.kid && k.Use == "sig" && k.Alg == opened.alg {
				key = k.public()
				x.group.keys.Store(id, key)
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

func (x *exchange) published(issuer string) []jwk {
	var set struct{ Keys []jwk }
	json.Unmarshal([]byte(x.get(issuer+"/protocol/openid-connect/certs").body), &set)
	return set.Keys
}

// public is the key as crypto knows it, or nil.
func (k jwk) public() any {
	bytes := func(text string) []byte {
		b, _ := base64.RawURLEncoding.DecodeString(text)
		return b
	}
	curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(),
		"P-521": elliptic.P521()}[k.Crv]
	switch {
	case k.Kty == "RSA":
		return &rsa.PublicKey{N: new(big.Int).SetBytes(bytes(k.N)),
			E: int(new(big.Int).SetBytes(bytes(k.E)).Int64())}
	case k.Kty == "EC" && curve != nil:
		key, err := ecdsa.ParseUncompressedPublicKey(curve,
			append(append([]byte{4}, bytes(k.X)...), bytes(k.Y)...))
		if err == nil {
			return key
		}
	case k.Kty == "OKP" && k.Crv == "Ed25519":
		return ed25519.PublicKey(bytes(k.X))
	}
	return nil
}
