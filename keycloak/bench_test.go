package keycloak

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/cloakql/cloakql/identity"
)

// What a request costs before anything is resolved for it. Compare it with BenchmarkBareSignature, which
// nobody can do without: the rest should stay small beside it.
func BenchmarkVerify(b *testing.B) {
	for _, s := range []signer{rs256(), es256()} {
		b.Run(s.alg, func(b *testing.B) {
			verifier := newVerifier(b, newKeys(b, certsOf(s)), VerifierConfig{})
			token := s.token(alice(b))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := verifier.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBareSignature(b *testing.B) {
	signed := []byte(base64url([]byte(rs256().header())) + "." + base64url([]byte(alice(b))))
	digest := sha256.Sum256(signed)
	b.Run("RS256", func(b *testing.B) {
		key := rsaKey().(*rsa.PrivateKey)
		signature := must(rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]))
		for b.Loop() {
			digest := sha256.Sum256(signed)
			if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ES256", func(b *testing.B) {
		key := p256Key().(*ecdsa.PrivateKey)
		signature := must(key.Sign(nil, digest[:], crypto.SHA256))
		for b.Loop() {
			digest := sha256.Sum256(signed)
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
				b.Fatal("the signature is wrong")
			}
		}
	})
}

// Strangers can send these for nothing. That they are refused before the signature is not for speed, but
// what it costs belongs beside what a signature does.
func BenchmarkRefuse(b *testing.B) {
	key := rs256()
	verifier := newVerifier(b, newKeys(b, certsOf(key)), VerifierConfig{})
	for _, bench := range []struct {
		name   string
		change object
		want   error
	}{
		{"issuer", object{"iss": "https://evil.example"}, identity.ErrTokenNotAccepted},
		{"expired", object{"exp": 0}, identity.ErrTokenExpired},
	} {
		b.Run(bench.name, func(b *testing.B) {
			token := key.token(with(b, alice(b), bench.change))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := verifier.Verify(b.Context(), token); !errors.Is(err, bench.want) {
					b.Fatal(err)
				}
			}
		})
	}
}
