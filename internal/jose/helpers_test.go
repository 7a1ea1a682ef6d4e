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

// encodeJWK returns the JSON Web Key of a public key.
func encodeJWK(tb testing.TB, kid, alg string, key crypto.Signer) string {
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

// encodeJWKS returns a JSON Web Key Set of these keys.
func encodeJWKS(jwks ...string) string { return `{"keys":[` + strings.Join(jwks, ",") + `]}` }

// newEd25519Key returns a new Ed25519 key.
func newEd25519Key(tb testing.TB) ed25519.PrivateKey {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}
