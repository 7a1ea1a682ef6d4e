package keycloak

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/internal/jose"
)

// The signatures in the RFCs are valid. A signature is no longer valid once the algorithm, the key,
// the signing input or the signature itself is changed.
func TestRFCSignatures(t *testing.T) {
	rfc := readRFC(t)
	keys := map[string]crypto.PublicKey{}
	for _, e := range rfc.Examples {
		if e.Allowed {
			keys[e.Key] = rfcKey(t, rfc.jwk(t, e))
		}
	}
	for _, e := range rfc.Examples {
		if !e.Allowed {
			continue
		}
		t.Run(e.String(), func(t *testing.T) {
			t.Parallel()
			alg, key, signingInput, signature := e.member(t, "alg"), keys[e.Key], e.signingInput(),
				e.signature()
			if !jose.Verify(alg, key, signingInput, signature) {
				t.Fatalf("jose.Verify(%s) = false, want true", alg)
			}
			checkInvalid := func(name, alg string, key crypto.PublicKey, signingInput string,
				signature []byte) {
				t.Helper()
				if jose.Verify(alg, key, signingInput, signature) {
					t.Errorf("%s: jose.Verify(%s) = true, want false", name, alg)
				}
			}
			for _, otherAlg := range Algorithms() {
				if otherAlg != alg {
					checkInvalid("another algorithm", otherAlg, key, signingInput, signature)
				}
			}
			for name, otherKey := range keys {
				if name != e.Key {
					checkInvalid("the key "+name, alg, otherKey, signingInput, signature)
				}
			}
			for name, brokenSignature := range brokenSignatures(t, key, signature) {
				checkInvalid(name, alg, key, signingInput, brokenSignature)
			}
			for name, brokenInput := range brokenInputs(signingInput) {
				checkInvalid(name, alg, key, brokenInput, signature)
			}
			isSampled := isP521(key)
			for i := range len(signingInput) {
				if isSampled && i%16 != 0 && i != len(signingInput)-1 {
					continue
				}
				brokenInput := []byte(signingInput)
				brokenInput[i] ^= 1
				checkInvalid(fmt.Sprint("byte ", i, " of the input"), alg, key, string(brokenInput),
					signature)
			}
			for i := range 8 * len(signature) {
				if isSampled && !isSample(i, len(signature)) {
					continue
				}
				brokenSignature := bytes.Clone(signature)
				brokenSignature[i/8] ^= 0x80 >> (i % 8)
				checkInvalid(fmt.Sprint("bit ", i, " of the signature"), alg, key, signingInput,
					brokenSignature)
			}
		})
	}
}

// isP521 reports whether the key is on the curve P-521. Checking a signature on this curve takes a
// millisecond, or ten with the race detector, so only a sample of the changes is tested.
func isP521(key crypto.PublicKey) bool {
	ec, ok := key.(*ecdsa.PublicKey)
	return ok && ec.Curve == elliptic.P521()
}

// isSample reports whether to flip this bit of a signature that consists of two numbers of equal
// size. The sample has a bit of each byte, and all bits of the first two bytes and the last byte of
// each number.
func isSample(bit, signatureSize int) bool {
	index := bit / 8 % (signatureSize / 2)
	return index <= 1 || index == signatureSize/2-1 || bit%8 == index%8
}

// brokenSignatures returns invalid variants of a signature, by name. A careless verifier might
// accept some of them.
func brokenSignatures(t *testing.T, key crypto.PublicKey, signature []byte) map[string][]byte {
	t.Helper()
	halfSize, size := len(signature)/2, len(signature)
	broken := map[string][]byte{
		"nil signature":          nil,
		"empty signature":        {},
		"only the first byte":    signature[:1],
		"only the first half":    signature[:halfSize],
		"without the last byte":  signature[:size-1],
		"without the first byte": signature[1:],
		"a leading zero":         append([]byte{0}, signature...),
		"a trailing zero":        append(bytes.Clone(signature), 0),
		"only zeros":             make([]byte, size),
		"all bits set":           bytes.Repeat([]byte{0xff}, size),
		"halves swapped":         slices.Concat(signature[halfSize:], signature[:halfSize]),
		"signature twice":        slices.Concat(signature, signature),
		"encoded in base64url":   []byte(base64url(signature)),
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		broken["the modulus"] = key.N.FillBytes(make([]byte, size))
		broken["the number one"] = big.NewInt(1).FillBytes(make([]byte, size))
		// This sum is congruent to the signature, but not less than the modulus (RFC 8017, sections
		// 8.1.2 and 8.2.2).
		sum := new(big.Int).Add(new(big.Int).SetBytes(signature), key.N)
		broken["signature plus the modulus"] = sum.FillBytes(make([]byte, (sum.BitLen()+7)/8))
	case *ecdsa.PublicKey:
		r, s := new(big.Int).SetBytes(signature[:halfSize]),
			new(big.Int).SetBytes(signature[halfSize:])
		broken["encoded in DER"] = must(asn1.Marshal(struct {
			R, S *big.Int
		}{r, s}))
		broken["r is zero"] = append(make([]byte, halfSize), signature[halfSize:]...)
		broken["s is zero"] = append(bytes.Clone(signature[:halfSize]), make([]byte, halfSize)...)
		order := key.Params().N.FillBytes(make([]byte, halfSize))
		broken["r and s are the order"] = slices.Concat(order, order)
		if sum := new(big.Int).Add(r, key.Params().N); sum.BitLen() <= 8*halfSize {
			broken["r plus the order"] = append(sum.FillBytes(make([]byte, halfSize)),
				signature[halfSize:]...)
		}
		if sum := new(big.Int).Add(s, key.Params().N); sum.BitLen() <= 8*halfSize {
			broken["s plus the order"] = append(bytes.Clone(signature[:halfSize]),
				sum.FillBytes(make([]byte, halfSize))...)
		}
	case ed25519.PublicKey:
		// A verifier must reject an s that isn't less than the order. Otherwise each signature
		// would have several encodings (RFC 8032, section 5.1.7).
		s := bytes.Clone(signature[halfSize:])
		slices.Reverse(s)
		sum := littleEndian(new(big.Int).Add(new(big.Int).SetBytes(s), curveOrder))
		broken["s plus the order"] = append(bytes.Clone(signature[:halfSize]), sum...)
	}
	return broken
}

// brokenInputs returns changed variants of a signing input, by name.
func brokenInputs(signingInput string) map[string]string {
	header, payload, _ := strings.Cut(signingInput, ".")
	return map[string]string{
		"empty input":        "",
		"only a dot":         ".",
		"no payload":         header + ".",
		"no header":          payload,
		"no dot":             header + payload,
		"no last byte":       signingInput[:len(signingInput)-1],
		"a trailing newline": signingInput + "\n",
		"trailing padding":   signingInput + "=",
		"parts swapped":      payload + "." + header,
		"a trailing dot":     signingInput + ".",
	}
}
