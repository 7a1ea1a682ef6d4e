package keycloak

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"math/big"
	"strings"

	"github.com/cloakql/cloakql/identity"
)

// The malformed signatures in this file are made with the realm's private key, so that only their
// form is wrong. The accepted rows prove that the key is the right one.

// swapAttacks returns tokens whose signature was made for other content or with another key, or was
// changed afterward.
func swapAttacks(f *forge) []attack {
	errSignature := identity.ErrTokenSignature
	goodToken := f.goodToken(f.ed)
	header, payload, signature := splitToken(goodToken)
	malloryPayload := base64url([]byte(f.claims(object{"sub": "mallory"})))
	spacedPayload := base64url([]byte(" " + f.payload))
	source := "RFC 7515, section 5.2"
	sign := func(input string) []byte {
		return must(f.ed.key.Sign(nil, []byte(input), crypto.Hash(0)))
	}
	return []attack{
		row("a payload that wasn't signed", source, header+"."+malloryPayload+"."+signature,
			errSignature, "signature"),
		row("a header that wasn't signed", source,
			base64url([]byte(f.header(f.ed, object{"typ": "at+jwt"})))+"."+payload+"."+signature,
			errSignature, "signature"),
		row("a space added to the payload after signing", "RFC 7515, section 5.2",
			header+"."+spacedPayload+"."+signature, errSignature, "signature"),
		row("the signature of another token", source,
			header+"."+payload+
				strings.TrimPrefix(f.ed.sign(f.header(f.ed, nil), f.claims(object{"sub": "x"})),
					header+"."+base64url([]byte(f.claims(object{"sub": "x"})))), errSignature,
			"signature"),
		row("the attacker's signature with the realm's kid", source,
			f.goodToken(f.attacker.withKID("ed-1")), errSignature, "signature"),
		row("the attacker's RSA signature with the realm's kid", source,
			f.goodToken(signingKey{"rsa-1", "RS256", attackerRSAKey()}),
			errSignature, "signature"),
		row("a signature of only the payload", source, f.compact(header+"."+payload, sign(payload)),
			errSignature, "signature"),
		row("a signature of the decoded header and payload", source,
			f.compact(header+"."+payload, sign(f.header(f.ed, nil)+"."+f.payload)), errSignature,
			"signature"),
		row("a signature of the payload before the header", source,
			f.compact(header+"."+payload, sign(payload+"."+header)), errSignature, "signature"),
		row("a signature in hexadecimal", source, header+"."+payload+"."+base64ToHex(signature),
			errSignature, "signature"),
		row("a signature with one bit changed", source, corruptSignature(goodToken), errSignature,
			"signature"),
	}
}

// base64ToHex converts a signature from base64url to hexadecimal.
func base64ToHex(signature string) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for _, b := range must(strictBase64.DecodeString(signature)) {
		out.WriteByte(digits[b>>4])
		out.WriteByte(digits[b&15])
	}
	return out.String()
}

// rsaAttacks returns tokens with malformed RSASSA-PKCS1-v1_5 signatures.
func rsaAttacks(f *forge) []attack {
	key := rsaKey().(*rsa.PrivateKey)
	input := f.goodSigningInput(f.rsa)
	sha256Sum := sha256.Sum256([]byte(input))
	sha512Sum := sha512.Sum512([]byte(input))
	sha1Sum := sha1.Sum([]byte(input))
	digestInfo := append(decodeHex(infoSHA256), sha256Sum[:]...)
	goodSignature := f.rsaPrivate(pkcs1Block(1, 256-3-len(digestInfo), digestInfo, 0))
	tokenWith := func(signature []byte) string { return f.compact(input, signature) }
	tokenWithBlock := func(b []byte) string { return tokenWith(f.rsaPrivate(b)) }
	allOnes := make([]byte, 256)
	for i := range allOnes {
		allOnes[i] = 0xff
	}
	rejectedRow := func(name, source, token string) attack {
		return row(name, source, token, identity.ErrTokenSignature, "signature")
	}
	source := "RFC 8017, section 8.2.2"
	return []attack{
		row("PKCS#1: correct", source, tokenWith(goodSignature), nil),
		rejectedRow("RSA: an empty signature", "RFC 8725, section 2.1", tokenWith(nil)),
		rejectedRow("RSA: a signature of zeros", source, tokenWith(make([]byte, 256))),
		rejectedRow("RSA: the number one", source,
			tokenWith(big.NewInt(1).FillBytes(make([]byte, 256)))),
		rejectedRow("RSA: all bits set", "RFC 8017, section 5.2.2", tokenWith(allOnes)),
		rejectedRow("RSA: the modulus", "RFC 8017, section 5.2.2", tokenWith(key.N.Bytes())),
		rejectedRow("RSA: the modulus minus one", source,
			tokenWith(new(big.Int).Sub(key.N, big.NewInt(1)).Bytes())),
		rejectedRow("RSA: the signature plus the modulus", "RFC 8017, section 5.2.2",
			tokenWith(new(big.Int).Add(key.N, new(big.Int).SetBytes(goodSignature)).Bytes())),
		rejectedRow("RSA: without its last byte", source, tokenWith(goodSignature[:255])),
		rejectedRow("RSA: without its first byte", source, tokenWith(goodSignature[1:])),
		rejectedRow("RSA: with a leading zero byte", "CVE-2020-13757; RFC 8017, section 8.2.2",
			tokenWith(append([]byte{0}, goodSignature...))),
		rejectedRow("RSA: with a trailing zero byte", source,
			tokenWith(append(append([]byte{}, goodSignature...), 0))),
		rejectedRow("RSA: the signature twice", source,
			tokenWith(append(append([]byte{}, goodSignature...), goodSignature...))),
		rejectedRow("RSA: the padded digest instead of a signature", source,
			tokenWith(pkcs1Block(1, 256-3-len(digestInfo),
				digestInfo, 0))),
		rejectedRow("RSA: the signature in reverse order", source,
			tokenWith(reverse(goodSignature))),

		rejectedRow("PKCS#1: garbage after the digest", "CVE-2006-4339; CVE-2022-24772",
			tokenWithBlock(pkcs1Block(1, 8, digestInfo, 0xff))),
		rejectedRow(
			"PKCS#1: zeros after the digest", "CVE-2006-4339", tokenWithBlock(pkcs1Block(1, 8,
				digestInfo, 0))),
		rejectedRow(
			"PKCS#1: block type 2", source, tokenWithBlock(pkcs1Block(2, 256-3-len(digestInfo),
				digestInfo, 0))),
		rejectedRow(
			"PKCS#1: block type 0", source, tokenWithBlock(pkcs1Block(0, 256-3-len(digestInfo),
				digestInfo, 0))),
		rejectedRow("PKCS#1: a wrong byte in the padding", "RFC 8017, section 9.2",
			tokenWithBlock(withWrongPadding(pkcs1Block(1, 256-3-len(digestInfo), digestInfo, 0)))),
		rejectedRow("PKCS#1: a digest without DigestInfo", "RFC 8017, section 9.2",
			tokenWithBlock(pkcs1Block(1, 256-3-len(sha256Sum), sha256Sum[:], 0))),
		rejectedRow("PKCS#1: a DigestInfo without NULL", "RFC 8017, section 9.2",
			f.pkcs1Token(input, infoNoNull, sha256Sum[:])),
		rejectedRow("PKCS#1: a length in long form", "CVE-2014-1568",
			f.pkcs1Token(input, infoLongForm, sha256Sum[:])),
		rejectedRow("PKCS#1: a wrong length", "CVE-2022-24773", f.pkcs1Token(input, infoWrongCount,
			sha256Sum[:])),
		rejectedRow("PKCS#1: SHA-1 under RS256", "RFC 7518, section 3.3",
			f.pkcs1Token(input, infoSHA1, sha1Sum[:])),
		rejectedRow("PKCS#1: the DigestInfo of MD5", "RFC 7518, section 3.3",
			f.pkcs1Token(input, infoMD5, sha256Sum[:16])),
		rejectedRow("PKCS#1: SHA-512 under RS256", "RFC 7518, section 3.3",
			f.pkcs1Token(input, infoSHA512, sha512Sum[:])),
		rejectedRow("PKCS#1: SHA-256 in the DigestInfo of SHA-512", "RFC 8017, section 9.2",
			f.pkcs1Token(input, infoSHA512, append(sha256Sum[:], sha256Sum[:]...))),
		rejectedRow("PKCS#1: a PSS signature under RS256", "RFC 7518, section 3.5",
			tokenWith(
				must(rsa.SignPSS(rand.Reader, key, crypto.SHA256, sha256Sum[:],
					&rsa.PSSOptions{SaltLength: 32})))),
	}
}

// reverse returns the bytes in reverse order.
func reverse(data []byte) []byte {
	out := make([]byte, len(data))
	for i, b := range data {
		out[len(data)-1-i] = b
	}
	return out
}

// withWrongPadding changes one byte of a block's padding.
func withWrongPadding(block []byte) []byte { block[100] = 0xfe; return block }

// pssAttacks returns tokens with malformed RSASSA-PSS signatures.
func pssAttacks(f *forge) []attack {
	key := rsaKey().(*rsa.PrivateKey)
	input := f.goodSigningInput(f.ps)
	sha256Sum := sha256.Sum256([]byte(input))
	digestInfo := append(decodeHex(infoSHA256), sha256Sum[:]...)
	validParams := pss{crypto.SHA256, crypto.SHA256, 32, 0xbc, 1}
	goodSignature := must(rsa.SignPSS(rand.Reader, key, crypto.SHA256, sha256Sum[:],
		&rsa.PSSOptions{SaltLength: 32}))
	saltToken := func(
		length int) string {
		p := validParams
		p.saltLength = length
		return f.pssToken(p)
	}
	rejectedRow := func(name, source, token string) attack {
		return row(name, source, token, identity.ErrTokenSignature, "signature")
	}
	wrongMask, wrongTrailer := validParams, validParams
	wrongSeparator, wrongHash := validParams, validParams
	wrongMask.maskHash, wrongTrailer.trailer = crypto.SHA1, 0xcc
	wrongSeparator.separator, wrongHash.hash = 2, crypto.SHA384
	source := "RFC 7518, section 3.5"
	return []attack{
		row("PSS: correct", source, f.pssToken(validParams), nil),
		rejectedRow("PSS: no salt", source, saltToken(0)),
		rejectedRow("PSS: a salt of 31 bytes", source, saltToken(31)),
		rejectedRow("PSS: a salt of 33 bytes", source, saltToken(33)),
		rejectedRow("PSS: a salt of 48 bytes", source, saltToken(48)),
		rejectedRow("PSS: the longest salt", source, saltToken(256-32-2)),
		rejectedRow("PSS: a mask with SHA-1", source, f.pssToken(wrongMask)),
		rejectedRow("PSS: a digest with SHA-384", source, f.pssToken(wrongHash)),
		rejectedRow(
			"PSS: a wrong trailer byte", "RFC 8017, section 9.1.2", f.pssToken(wrongTrailer)),
		rejectedRow("PSS: a wrong separator before the salt", "RFC 8017, section 9.1.2",
			f.pssToken(wrongSeparator)),
		rejectedRow("PSS: a signature of zeros", "RFC 8017, section 8.1.2",
			f.compact(input, make([]byte, 256))),
		rejectedRow("PSS: with leading zero bytes", "CVE-2020-14968",
			f.compact(input, append(make([]byte, 2), goodSignature...))),
		rejectedRow("PSS: without its last byte", "RFC 8017, section 8.1.2", f.compact(input,
			goodSignature[:255])),
		rejectedRow("PSS: the signature plus the modulus", "RFC 8017, section 5.2.2",
			f.compact(input,
				new(big.Int).Add(key.N, new(big.Int).SetBytes(goodSignature)).Bytes())),
		rejectedRow("PSS: a PKCS#1 signature under PS256", "RFC 8725, section 3.1",
			f.compact(input, f.rsaPrivate(pkcs1Block(1, 256-3-len(digestInfo), digestInfo, 0)))),
	}
}

// ecdsaAttacks returns tokens with malformed signatures for ES256, ES384 and ES512.
func ecdsaAttacks(f *forge) []attack {
	input := f.goodSigningInput(f.ec)
	r, s := f.ecdsaSign(input)
	zero, one, order := new(big.Int), big.NewInt(1), p256.N
	tokenWith := func(signature []byte) string { return f.compact(input, signature) }
	tokenWithPair := func(r, s *big.Int) string { return tokenWith(encodeECDSA(32, r, s)) }
	goodSignature := encodeECDSA(32, r, s)
	sha256Sum, sha384Sum := sha256.Sum256([]byte(input)), sha512.Sum384([]byte(input))
	key := p256Key().(*ecdsa.PrivateKey)
	sha384R, sha384S, err := ecdsa.Sign(rand.Reader, key, sha384Sum[:])
	if err != nil {
		f.t.Fatal(err)
	}
	zeroToken := func(k signingKey, size int) string {
		return f.compact(f.goodSigningInput(k), make([]byte, size))
	}
	rejectedRow := func(name, source, token string) attack {
		return row(name, source, token, identity.ErrTokenSignature, "signature")
	}
	source := "RFC 7518, section 3.4"
	return []attack{
		row("ECDSA: correct", source, tokenWith(goodSignature), nil),
		rejectedRow("ECDSA: r and s are zero", "CVE-2022-21449", tokenWithPair(zero, zero)),
		rejectedRow("ECDSA: r is zero", "CVE-2022-21449; CVE-2022-24884", tokenWithPair(zero, s)),
		rejectedRow("ECDSA: s is zero", "CVE-2022-21449; CVE-2022-24884", tokenWithPair(r, zero)),
		rejectedRow("ECDSA: r is the order", "CVE-2022-21449", tokenWithPair(order, s)),
		rejectedRow("ECDSA: s is the order", "CVE-2022-21449", tokenWithPair(r, order)),
		rejectedRow("ECDSA: r and s are the order", "CVE-2022-21449", tokenWithPair(order, order)),
		rejectedRow("ECDSA: r and s are one", "RFC 8725, section 3.4", tokenWithPair(one, one)),
		rejectedRow("ECDSA: r is the order minus one", "RFC 8725, section 3.4",
			tokenWithPair(new(big.Int).Sub(order, one), one)),
		rejectedRow("ECDSA: all bits set", "RFC 8725, section 3.4",
			tokenWith([]byte(strings.Repeat("\xff", 64)))),
		rejectedRow("ECDSA: r and s swapped", source, tokenWithPair(s, r)),
		rejectedRow("ECDSA: ES384 of zeros", "CVE-2022-21449", zeroToken(f.ec384, 96)),
		rejectedRow("ECDSA: ES512 of zeros", "CVE-2022-21449", zeroToken(f.ec521, 132)),
		rejectedRow("ECDSA: an empty signature", "RFC 8725, section 2.1", tokenWith(nil)),
		rejectedRow("ECDSA: a signature in DER", source,
			tokenWith(must(ecdsa.SignASN1(rand.Reader, key, sha256Sum[:])))),
		rejectedRow("ECDSA: only r", source, tokenWith(goodSignature[:32])),
		rejectedRow("ECDSA: without its last byte", source, tokenWith(goodSignature[:63])),
		rejectedRow("ECDSA: with a trailing byte", source, tokenWith(append(append([]byte{},
			goodSignature...), 0))),
		rejectedRow("ECDSA: r and s in 48 bytes each", source, tokenWith(encodeECDSA(48, r, s))),
		rejectedRow("ECDSA: r plus the order, in 33 bytes each", source,
			tokenWith(encodeECDSA(33, new(big.Int).Add(r, order), s))),
		rejectedRow("ECDSA: r and s in little-endian", source,
			tokenWith(append(reverse(goodSignature[:32]), reverse(goodSignature[32:])...))),
		rejectedRow("ECDSA: SHA-384 under ES256", source, tokenWith(encodeECDSA(32, sha384R,
			sha384S))),
		rejectedRow("ECDSA: ES384 with a P-256 key in 96 bytes", source,
			f.compact(f.goodSigningInput(f.ec384), encodeECDSA(48, sha384R, sha384S))),
	}
}

// smallOrderPoints returns encodings of Ed25519 points of order 1, 2, 4 and 8, then non-canonical
// encodings of points of order 4 and 1.
func smallOrderPoints() [][]byte {
	return [][]byte{
		decodeHex("0100000000000000000000000000000000000000000000000000000000000000"),
		decodeHex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
		decodeHex("0000000000000000000000000000000000000000000000000000000000000000"),
		decodeHex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
		decodeHex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
		decodeHex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
	}
}

// edAttacks returns tokens with malformed Ed25519 signatures.
func edAttacks(f *forge) []attack {
	input := f.goodSigningInput(f.ed)
	key := edKey().(ed25519.PrivateKey)
	goodSignature := ed25519.Sign(key, []byte(input))
	tokenWithHalves := func(first, second []byte) string {
		return f.compact(input, append(append([]byte{}, first...), second...))
	}
	littleEndianInt := func(data []byte) *big.Int { return new(big.Int).SetBytes(reverse(data)) }
	sPlusOrder := littleEndian(new(big.Int).Add(littleEndianInt(goodSignature[32:]), curveOrder))
	digest := sha512.Sum512([]byte(input))
	points := smallOrderPoints()
	rejectedRow := func(name, source, token string) attack {
		return row(name, source, token, identity.ErrTokenSignature, "signature")
	}
	source := "RFC 8032, section 5.1.7"
	return []attack{
		row("Ed25519: correct", source, tokenWithHalves(goodSignature[:32],
			littleEndian(littleEndianInt(goodSignature[32:]))), nil),
		rejectedRow("Ed25519: S plus the order",
			"CVE-2026-33895; CVE-2020-36843; RFC 8032, section 8.4",
			tokenWithHalves(goodSignature[:32], sPlusOrder)),
		rejectedRow("Ed25519: S is the order", source, tokenWithHalves(points[0],
			littleEndian(curveOrder))),
		rejectedRow("Ed25519: a signature of zeros", source, f.compact(input, make([]byte, 64))),
		rejectedRow("Ed25519: all bits set", source, f.compact(input, []byte(strings.Repeat("\xff",
			64)))),
		rejectedRow("Ed25519: R of order 1, S zero", source, tokenWithHalves(points[0], make([]byte,
			32))),
		rejectedRow("Ed25519: R of order 2, S zero", source, tokenWithHalves(points[1], make([]byte,
			32))),
		rejectedRow("Ed25519: R of order 8, S zero", source, tokenWithHalves(points[3], make([]byte,
			32))),
		rejectedRow("Ed25519: R of order 4, in a non-canonical encoding, S zero", source,
			tokenWithHalves(points[4],
				make([]byte, 32))),
		rejectedRow("Ed25519: R of order 1, in a non-canonical encoding, S zero", source,
			tokenWithHalves(points[5],
				make([]byte, 32))),
		rejectedRow("Ed25519: R is the public key, S zero", source,
			tokenWithHalves(key.Public().(ed25519.PublicKey), make([]byte, 32))),
		rejectedRow("Ed25519: R and S swapped", source, tokenWithHalves(goodSignature[32:],
			goodSignature[:32])),
		rejectedRow("Ed25519: an empty signature", "RFC 8725, section 2.1", f.compact(input, nil)),
		rejectedRow("Ed25519: without its last byte", source, f.compact(input, goodSignature[:63])),
		rejectedRow("Ed25519: with a trailing byte", source,
			f.compact(input, append(append([]byte{}, goodSignature...), 0))),
		rejectedRow("Ed25519: followed by the message", source,
			f.compact(input, append(append([]byte{}, goodSignature...), input...))),
		rejectedRow("Ed25519: a signature by Ed25519ph", "RFC 8037, section 3.1",
			f.compact(input, must(key.Sign(nil, digest[:],
				&ed25519.Options{Hash: crypto.SHA512})))),
		rejectedRow("Ed25519: a signature by Ed25519ctx", "RFC 8037, section 3.1",
			f.compact(input, must(key.Sign(nil, []byte(input), &ed25519.Options{Context: "JWT"})))),
		rejectedRow("Ed25519: a signature of the digest", "RFC 8037, section 3.1",
			f.compact(input, ed25519.Sign(key, digest[:]))),
	}
}
