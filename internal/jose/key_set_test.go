package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"slices"
	"strings"
	"testing"
)

// ReadKeySet returns the usable keys, and says why it rejects the others.
func TestReadKeySet(t *testing.T) {
	goodJWK := encodeJWK(t, "ed", "EdDSA", newEd25519Key(t))
	encryptionJWK := strings.Replace(encodeJWK(t, "enc", "EdDSA", newEd25519Key(t)), `"use":"sig"`,
		`"use":"enc"`, 1)
	privateJWK := `{"d":"AA",` + encodeJWK(t, "private", "EdDSA", newEd25519Key(t))[1:]
	set, err := ReadKeySet([]byte(encodeJWKS(goodJWK, encryptionJWK, privateJWK, "null")))
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := set.Keys["ed"]; !ok || len(set.Keys) != 1 || key.Check() != nil ||
		key.Algorithm != "EdDSA" {
		t.Errorf("ReadKeySet() returned the keys %v, want only a usable EdDSA key ed", set.Keys)
	}
	var rejected []string
	for _, key := range set.Rejected {
		rejected = append(rejected, key.ID+": "+key.Reason)
		if want := key.ID == "enc"; key.ForEncryption != want {
			t.Errorf("rejected key %q: ForEncryption = %v, want %v", key.ID, key.ForEncryption,
				want)
		}
	}
	want := []string{`enc: its use is "enc"; expected "sig"`,
		"private: it is a private key, which must not be published", ": it is not a JSON object"}
	if !slices.Equal(rejected, want) {
		t.Errorf("rejected keys = %q, want %q", rejected, want)
	}
	for kid, want := range map[string]string{"private": "must not be published",
		"other": `kid "other" is not in the key set`} {
		if got := set.MissingKeyReason(kid); !strings.Contains(got, want) {
			t.Errorf("MissingKeyReason(%q) = %q, want %q in it", kid, got, want)
		}
	}
	if set, err := ReadKeySet([]byte(encodeJWKS(goodJWK, goodJWK))); err == nil ||
		!strings.Contains(err.Error(), "more than one signing key has this kid") {
		t.Errorf("ReadKeySet(two keys with one kid) = %v, %v; want an error", set, err)
	}
}

// ReadKeySet never panics, and never returns a private, secret or weak key.
func FuzzReadKeySet(f *testing.F) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	edJWK := encodeJWK(f, "ed", "EdDSA", newEd25519Key(f))
	seedJWKs := []string{edJWK, encodeJWK(f, "r", "RS256", rsaKey)}
	for alg, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(),
		"ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			f.Fatal(err)
		}
		seedJWKs = append(seedJWKs, encodeJWK(f, alg, alg, key))
	}
	for _, jwk := range seedJWKs {
		f.Add([]byte(encodeJWKS(jwk)))
		f.Add([]byte(encodeJWKS(jwk, edJWK, jwk)))
	}
	for _, body := range []string{
		encodeJWKS(`{"d":"AA","key_ops":["verify"],"x5c":["x"],` + edJWK[1:]),
		encodeJWKS(strings.Replace(edJWK, `"kid"`, `"x"`, 1)),
		encodeJWKS(strings.Replace(edJWK, "Ed25519", "X25519", 1)),
		`{"keys":[{"kid":"o","kty":"oct","use":"sig","alg":"HS256","k":"c2VjcmV0"}]}`,
		`{"keys":[null,5,{}]}`, `{"keys":{}}`, `[]`,
		`{"keys":[{"kid":"r","kty":"RSA","use":"sig","n":"AA","e":"AQAB"}]}`,
		`{"keys":[],"keys":[]}`, `{"Keys":[]}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		set, err := ReadKeySet(body)
		if err != nil {
			return
		}
		if len(set.Keys) == 0 {
			t.Error("ReadKeySet() returned neither a key nor an error")
		}
		for kid, key := range set.Keys {
			switch key.Public.(type) {
			case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
			default:
				t.Errorf("key %q is a %T, want a public key", kid, key.Public)
			}
			if key.ID != kid || key.Check() != nil {
				t.Errorf("key %q has the ID %q and Check() = %v, want its kid and nil", kid, key.ID,
					key.Check())
			}
			if Verify(key.Algorithm, key.Public, "x", make([]byte, 64)) {
				t.Errorf("key %q verifies a signature of zeros, want false", kid)
			}
			if slices.ContainsFunc(set.Rejected, func(r RejectedKey) bool {
				return r.ID == kid && r.forSigning
			}) {
				t.Errorf("signing key %q is in Keys and in Rejected, want one of them", kid)
			}
		}
	})
}
