package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/hex"
	"math"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

const (
	minRSABits = 2048 // RFC 7518, section 3.3
	maxRSABits = 8192 // verification time grows with the square (CVE-2023-29409)
	// Smaller exponents made forgeries possible (CVE-2006-4339), and FIPS 186-5, appendix A.1.1,
	// forbids them.
	minRSAExponent = 65537
	maxRSAExponent = math.MaxInt32 // crypto/rsa's maximum
)

// algorithms lists only asymmetric algorithms: RFC 8725, sections 3.1 and 3.2.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
	"ES512", "EdDSA"}

// Algorithms returns the names of the supported signature algorithms, RFC 7518 section 3.1 and RFC
// 8037.
func Algorithms() []string { return slices.Clone(algorithms) }

// signingMethods maps algorithms to golang-jwt's methods. For PSS, golang-jwt accepts a salt of any
// length, but RFC 7518, section 3.5, demands the length of the hash.
var signingMethods = map[string]jwt.SigningMethod{
	"RS256": jwt.SigningMethodRS256, "RS384": jwt.SigningMethodRS384,
	"RS512": jwt.SigningMethodRS512,
	"PS256": withHashLengthSalt(jwt.SigningMethodPS256),
	"PS384": withHashLengthSalt(jwt.SigningMethodPS384),
	"PS512": withHashLengthSalt(jwt.SigningMethodPS512),
	"ES256": jwt.SigningMethodES256, "ES384": jwt.SigningMethodES384,
	"ES512": jwt.SigningMethodES512,
	"EdDSA": jwt.SigningMethodEdDSA,
}

func withHashLengthSalt(m *jwt.SigningMethodRSAPSS) jwt.SigningMethod {
	return &jwt.SigningMethodRSAPSS{
		SigningMethodRSA: m.SigningMethodRSA,
		VerifyOptions:    &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: m.Hash},
	}
}

// Verify reports whether signature is a valid signature of signingInput. It returns false if the
// algorithm isn't one of Algorithms, or if the key isn't usable with it.
func Verify(alg string, key crypto.PublicKey, signingInput string, signature []byte) bool {
	method := signingMethods[alg]
	return method != nil && UsableWith(alg, key) &&
		method.Verify(signingInput, signature, key) == nil
}

// UsableWith reports whether a key may be used with an algorithm: it must have the right type, and
// be neither too weak nor too large.
func UsableWith(alg string, key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		switch alg {
		case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
			bits := key.N.BitLen()
			return bits >= minRSABits && bits <= maxRSABits && key.N.Bit(0) == 1 &&
				key.E >= minRSAExponent && key.E <= maxRSAExponent && key.E%2 == 1
		}
	case *ecdsa.PublicKey:
		return alg == "ES256" && key.Curve == elliptic.P256() ||
			alg == "ES384" && key.Curve == elliptic.P384() ||
			alg == "ES512" && key.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return alg == "EdDSA" && len(key) == ed25519.PublicKeySize && !hasSmallOrder(key)
	}
	return false
}

// smallOrderPoints holds the encodings, without the sign bit, of the points of edwards25519 whose
// order divides 8, including two non-canonical encodings. With such a key, one signature can be
// valid for many messages.
var smallOrderPoints = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

func hasSmallOrder(key ed25519.PublicKey) bool {
	y := slices.Clone(key)
	y[31] &= 0x7f // clear the sign bit
	return slices.Contains(smallOrderPoints, hex.EncodeToString(y))
}
