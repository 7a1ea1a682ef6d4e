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

func TestRFCSignatures(t *testing.T) {
	all := readRFC(t)
	keys := map[string]crypto.PublicKey{}
	for _, e := range all.Examples {
		if e.Allowed {
			keys[e.Key] = rfcKey(t, all.jwk(t, e))
		}
	}
	for _, e := range all.Examples {
		if !e.Allowed {
			continue
		}
		t.Run(e.String(), func(t *testing.T) {
			t.Parallel()
			alg, key, signed, signature := e.member(t, "alg"), keys[e.Key], e.signed(),
				e.signature()
			if !jose.Verify(alg, key, signed, signature) {
				t.Fatalf("jose.Verify(%s) = false", alg)
			}
			refused := func(what, alg string, key crypto.PublicKey, signed string,
				signature []byte) {
				t.Helper()
				if jose.Verify(alg, key, signed, signature) {
					t.Errorf("%s: jose.Verify(%s) = true", what, alg)
				}
			}
			for _, other := range Algorithms() {
				if other != alg {
					refused("another algorithm", other, key, signed, signature)
				}
			}
			for name, other := range keys {
				if name != e.Key {
					refused("the key "+name, alg, other, signed, signature)
				}
			}
			for what, broken := range brokenSignatures(t, key, signature) {
				refused(what, alg, key, signed, broken)
			}
			for what, broken := range brokenTexts(signed) {
				refused(what, alg, key, broken, signature)
			}
			slow := isP521(key)
			for i := range len(signed) {
				if slow && i%16 != 0 && i != len(signed)-1 {
					continue
				}
				broken := []byte(signed)
				broken[i] ^= 1
				refused(fmt.Sprint("byte ", i, " of the text"), alg, key, string(broken), signature)
			}
			for i := range 8 * len(signature) {
				if slow && !isTelling(i, len(signature)) {
					continue
				}
				broken := bytes.Clone(signature)
				broken[i/8] ^= 0x80 >> (i % 8)
				refused(fmt.Sprint("bit ", i), alg, key, signed, broken)
			}
		})
	}
}

// isP521 reports whether one check takes a millisecond, and ten of them with the race detector:
// then a part of all that can be broken has to do.
func isP521(key crypto.PublicKey) bool {
	ec, ok := key.(*ecdsa.PublicKey)
	return ok && ec.Curve == elliptic.P521()
}

// isTelling picks one bit of each byte of a signature of two numbers, another one from byte to
// byte, and all where a number begins or ends.
func isTelling(bit, size int) bool {
	at := bit / 8 % (size / 2)
	return at <= 1 || at == size/2-1 || bit%8 == at%8
}

// brokenSignatures are the signatures that a careless verifier takes for the good one, or for any.
func brokenSignatures(t *testing.T, key crypto.PublicKey, good []byte) map[string][]byte {
	t.Helper()
	half, size := len(good)/2, len(good)
	broken := map[string][]byte{
		"none":              nil,
		"empty":             {},
		"one byte":          good[:1],
		"half":              good[:half],
		"a byte less":       good[:size-1],
		"no first byte":     good[1:],
		"a zero before":     append([]byte{0}, good...),
		"a zero after":      append(bytes.Clone(good), 0),
		"zeros alone":       make([]byte, size),
		"ones alone":        bytes.Repeat([]byte{0xff}, size),
		"the halves turned": slices.Concat(good[half:], good[:half]),
		"twice":             slices.Concat(good, good),
		"in base64url":      []byte(base64url(good)),
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		broken["the modulus"] = key.N.FillBytes(make([]byte, size))
		broken["one"] = big.NewInt(1).FillBytes(make([]byte, size))
		// The same number to the modulus: RFC 8017, sections 8.1.2 and 8.2.2, wants the least one.
		sum := new(big.Int).Add(new(big.Int).SetBytes(good), key.N)
		broken["the modulus more"] = sum.FillBytes(make([]byte, (sum.BitLen()+7)/8))
	case *ecdsa.PublicKey:
		r, s := new(big.Int).SetBytes(good[:half]), new(big.Int).SetBytes(good[half:])
		broken["in DER, as most libraries write it"] = must(asn1.Marshal(struct {
			R, S *big.Int
		}{r, s}))
		broken["r alone zero"] = append(make([]byte, half), good[half:]...)
		broken["s alone zero"] = append(bytes.Clone(good[:half]), make([]byte, half)...)
		order := key.Params().N.FillBytes(make([]byte, half))
		broken["r and s the order"] = slices.Concat(order, order)
		if sum := new(big.Int).Add(r, key.Params().N); sum.BitLen() <= 8*half {
			broken["r the order more"] = append(sum.FillBytes(make([]byte, half)), good[half:]...)
		}
		if sum := new(big.Int).Add(s, key.Params().N); sum.BitLen() <= 8*half {
			broken["s the order more"] = append(bytes.Clone(good[:half]),
				sum.FillBytes(make([]byte, half))...)
		}
	case ed25519.PublicKey:
		// RFC 8032, section 5.1.7: s is below the order, or each signature would have many faces.
		order, _ := new(big.Int).SetString(
			"7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
		s := bytes.Clone(good[half:])
		slices.Reverse(s)
		more := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, half))
		slices.Reverse(more)
		broken["s the order more"] = append(bytes.Clone(good[:half]), more...)
	}
	return broken
}

func brokenTexts(signed string) map[string]string {
	header, payload, _ := strings.Cut(signed, ".")
	return map[string]string{
		"no text":            "",
		"a dot alone":        ".",
		"no payload":         header + ".",
		"the header away":    payload,
		"the dot away":       header + payload,
		"a byte less":        signed[:len(signed)-1],
		"a line end more":    signed + "\n",
		"a padding more":     signed + "=",
		"the parts turned":   payload + "." + header,
		"the text and a dot": signed + ".",
	}
}
