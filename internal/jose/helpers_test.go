package jose

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"github.com/MicahParks/jwkset"
)

// jwkOf returns the JSON Web Key of a public key.
func jwkOf(tb testing.TB, kid, alg string, key crypto.Signer) string {
	tb.Helper()
	jwk, err := jwkset.NewJWKFromKey(key.Public(),
		jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{ALG: jwkset.ALG(alg), KID: kid,
			USE: jwkset.UseSig}})
	if err != nil {
		tb.Fatal(err)
	}
	text, err := json.Marshal(jwk.Marshal())
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// setOf returns a JSON Web Key Set of these keys.
func setOf(jwks ...string) string { return `{"keys":[` + strings.Join(jwks, ",") + `]}` }

// edKey returns a new Ed25519 key.
func edKey(tb testing.TB) ed25519.PrivateKey {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}
