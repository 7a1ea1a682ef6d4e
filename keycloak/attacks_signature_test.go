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

// Signatures that are wrong only in form are made with the realm's private key, so nothing else is
// wrong with them. The rows that are accepted prove that.

// swapAttacks combine a signature with a header and payload that it doesn't sign.
func swapAttacks(f *forge) []attack {
	refused := identity.ErrTokenSignature
	good := f.ed.token(alice(f.t))
	header, payload, signature := splitToken(good)
	mallory := base64url([]byte(f.claims(object{"sub": "mallory"})))
	spaced := base64url([]byte(" " + alice(f.t)))
	source := "RFC 7515, section 5.2"
	sign := func(input string) []byte {
		return must(f.ed.key.Sign(nil, []byte(input), crypto.Hash(0)))
	}
	return []attack{
		row("another payload", source, header+"."+mallory+"."+signature, refused, "signature"),
		row("another header", source,
			base64url([]byte(f.header(f.ed, object{"typ": "at+jwt"})))+"."+payload+"."+signature,
			refused, "signature"),
		row("the payload with a space added", "RFC 7515, section 5.2",
			header+"."+spaced+"."+signature, refused, "signature"),
		row("the signature of another token", source,
			header+"."+payload+
				strings.TrimPrefix(f.ed.sign(f.ed.header(), f.claims(object{"sub": "x"})),
					header+"."+base64url([]byte(f.claims(object{"sub": "x"})))), refused,
			"signature"),
		row("the attacker's signature with the realm's kid", source,
			f.evil.withKID("ed-1").token(alice(f.t)), refused, "signature"),
		row("the attacker's RSA signature with the realm's kid", source,
			signer{"rsa-1", "RS256", evilRSAKey()}.token(alice(f.t)), refused, "signature"),
		row("a signature of only the payload", source, f.compact(header+"."+payload, sign(payload)),
			refused, "signature"),
		row("a signature of the decoded header and payload", source,
			f.compact(header+"."+payload, sign(f.ed.header()+"."+alice(f.t))), refused,
			"signature"),
		row("a signature of the payload before the header", source,
			f.compact(header+"."+payload, sign(payload+"."+header)), refused, "signature"),
		row("a signature in hexadecimal", source, header+"."+payload+"."+hexOf(signature),
			refused, "signature"),
		row("a signature with one bit changed", source, corruptSignature(good), refused,
			"signature"),
	}
}

func hexOf(signature string) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for _, b := range must(strictBase64.DecodeString(signature)) {
		out.WriteByte(digits[b>>4])
		out.WriteByte(digits[b&15])
	}
	return out.String()
}

// rsaAttacks are malformed RSASSA-PKCS1-v1_5 signatures.
func rsaAttacks(f *forge) []attack {
	key := rsaKey().(*rsa.PrivateKey)
	input := f.goodInput(f.rsa)
	sum := sha256.Sum256([]byte(input))
	long := sha512.Sum512([]byte(input))
	short := sha1.Sum([]byte(input))
	data := append(unhex(infoSHA256), sum[:]...)
	good := f.rsaRaw(block(1, 256-3-len(data), data, 0))
	compact := func(signature []byte) string { return f.compact(input, signature) }
	raw := func(b []byte) string { return compact(f.rsaRaw(b)) }
	ones := make([]byte, 256)
	for i := range ones {
		ones[i] = 0xff
	}
	bad := func(name, source, token string) attack {
		return row(name, source, token, identity.ErrTokenSignature, "signature")
	}
	source := "RFC 8017, section 8.2.2"
	return []attack{
		row("PKCS#1: correct", source, compact(good), nil),
		bad("RSA: empty", "RFC 8725, section 2.1", compact(nil)),
		bad("RSA: zeros", source, compact(make([]byte, 256))),
		bad("RSA: one", source, compact(big.NewInt(1).FillBytes(make([]byte, 256)))),
		bad("RSA: all bits set", "RFC 8017, section 5.2.2", compact(ones)),
		bad("RSA: the modulus", "RFC 8017, section 5.2.2", compact(key.N.Bytes())),
		bad("RSA: the modulus minus one", source,
			compact(new(big.Int).Sub(key.N, big.NewInt(1)).Bytes())),
		bad("RSA: the signature plus the modulus", "RFC 8017, section 5.2.2",
			compact(new(big.Int).Add(key.N, new(big.Int).SetBytes(good)).Bytes())),
		bad("RSA: without its last byte", source, compact(good[:255])),
		bad("RSA: without its first byte", source, compact(good[1:])),
		bad("RSA: with a leading zero byte", "CVE-2020-13757; RFC 8017, section 8.2.2",
			compact(append([]byte{0}, good...))),
		bad("RSA: with a trailing zero byte", source,
			compact(append(append([]byte{}, good...), 0))),
		bad("RSA: twice", source, compact(append(append([]byte{}, good...), good...))),
		bad("RSA: the unsigned block", source, compact(block(1, 256-3-len(data), data, 0))),
		bad("RSA: reversed", source, compact(reversed(good))),

		bad("PKCS#1: garbage after the digest", "CVE-2006-4339; CVE-2022-24772",
			raw(block(1, 8, data, 0xff))),
		bad("PKCS#1: zeros after the digest", "CVE-2006-4339", raw(block(1, 8, data, 0))),
		bad("PKCS#1: block type 2", source, raw(block(2, 256-3-len(data), data, 0))),
		bad("PKCS#1: block type 0", source, raw(block(0, 256-3-len(data), data, 0))),
		bad("PKCS#1: a wrong byte in the padding", "RFC 8017, section 9.2",
			raw(withWrongPadding(block(1, 256-3-len(data), data, 0)))),
		bad("PKCS#1: a digest without DigestInfo", "RFC 8017, section 9.2",
			raw(block(1, 256-3-len(sum), sum[:], 0))),
		bad("PKCS#1: a DigestInfo without NULL", "RFC 8017, section 9.2",
			f.pkcs1(input, infoNoNull, sum[:])),
		bad("PKCS#1: a length in long form", "CVE-2014-1568",
			f.pkcs1(input, infoLongForm, sum[:])),
		bad("PKCS#1: a wrong length", "CVE-2022-24773", f.pkcs1(input, infoWrongCount, sum[:])),
		bad("PKCS#1: SHA-1 under RS256", "RFC 7518, section 3.3",
			f.pkcs1(input, infoSHA1, short[:])),
		bad("PKCS#1: the DigestInfo of MD5", "RFC 7518, section 3.3",
			f.pkcs1(input, infoMD5, sum[:16])),
		bad("PKCS#1: SHA-512 under RS256", "RFC 7518, section 3.3",
			f.pkcs1(input, infoSHA512, long[:])),
		bad("PKCS#1: SHA-256 in the DigestInfo of SHA-512", "RFC 8017, section 9.2",
			f.pkcs1(input, infoSHA512, append(sum[:], sum[:]...))),
		bad("PSS under RS256", "RFC 7518, section 3.5",
			compact(
				must(rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:],
					&rsa.PSSOptions{SaltLength: 32})))),
	}
}

func reversed(data []byte) []byte {
	out := make([]byte, len(data))
	for i, b := range data {
		out[len(data)-1-i] = b
	}
	return out
}

func withWrongPadding(block []byte) []byte { block[100] = 0xfe; return block }

// pssAttacks are malformed RSASSA-PSS signatures.
func pssAttacks(f *forge) []attack {
	key := rsaKey().(*rsa.PrivateKey)
	input := f.goodInput(f.ps)
	sum := sha256.Sum256([]byte(input))
	data := append(unhex(infoSHA256), sum[:]...)
	correct := pss{crypto.SHA256, crypto.SHA256, 32, 0xbc, 1}
	good := must(rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:],
		&rsa.PSSOptions{SaltLength: 32}))
	salt := func(length int) string { p := correct; p.salt = length; return f.pss(p) }
	bad := func(name, source, token string) attack {
		return row(name, source, token, identity.ErrTokenSignature, "signature")
	}
	mask, trailer, separator, hash := correct, correct, correct, correct
	mask.mask, trailer.trailer, separator.separator, hash.hash = crypto.SHA1, 0xcc, 2, crypto.SHA384
	source := "RFC 7518, section 3.5"
	return []attack{
		row("PSS: correct", source, f.pss(correct), nil),
		bad("PSS: no salt", source, salt(0)),
		bad("PSS: a salt of 31 bytes", source, salt(31)),
		bad("PSS: a salt of 33 bytes", source, salt(33)),
		bad("PSS: a salt of 48 bytes", source, salt(48)),
		bad("PSS: the longest salt", source, salt(256-32-2)),
		bad("PSS: a mask with SHA-1", source, f.pss(mask)),
		bad("PSS: a digest with SHA-384", source, f.pss(hash)),
		bad("PSS: another trailer", "RFC 8017, section 9.1.2", f.pss(trailer)),
		bad("PSS: another separator before the salt", "RFC 8017, section 9.1.2", f.pss(separator)),
		bad("PSS: zeros", "RFC 8017, section 8.1.2", f.compact(input, make([]byte, 256))),
		bad("PSS: with leading zero bytes", "CVE-2020-14968",
			f.compact(input, append(make([]byte, 2), good...))),
		bad("PSS: without its last byte", "RFC 8017, section 8.1.2", f.compact(input, good[:255])),
		bad("PSS: the signature plus the modulus", "RFC 8017, section 5.2.2",
			f.compact(input, new(big.Int).Add(key.N, new(big.Int).SetBytes(good)).Bytes())),
		bad("PKCS#1 under PS256", "RFC 8725, section 3.1",
			f.compact(input, f.rsaRaw(block(1, 256-3-len(data), data, 0)))),
	}
}

// ecdsaAttacks are malformed signatures for ES256, ES384 and ES512.
func ecdsaAttacks(f *forge) []attack {
	input := f.goodInput(f.ec)
	r, s := f.ecdsaSign(input)
	zero, one, n := new(big.Int), big.NewInt(1), p256.N
	compact := func(signature []byte) string { return f.compact(input, signature) }
	pair := func(r, s *big.Int) string { return compact(rs(32, r, s)) }
	good := rs(32, r, s)
	sum, long := sha256.Sum256([]byte(input)), sha512.Sum384([]byte(input))
	key := p256Key().(*ecdsa.PrivateKey)
	longR, longS, err := ecdsa.Sign(rand.Reader, key, long[:])
	if err != nil {
		f.t.Fatal(err)
	}
	zeros := func(s signer, size int) string {
		return f.compact(f.goodInput(s),
			make([]byte, size))
	}
	bad := func(name, source, token string) attack {
		return row(name, source, token, identity.ErrTokenSignature, "signature")
	}
	source := "RFC 7518, section 3.4"
	return []attack{
		row("ECDSA: correct", source, compact(good), nil),
		bad("ECDSA: r and s are zero", "CVE-2022-21449", pair(zero, zero)),
		bad("ECDSA: r is zero", "CVE-2022-21449; CVE-2022-24884", pair(zero, s)),
		bad("ECDSA: s is zero", "CVE-2022-21449; CVE-2022-24884", pair(r, zero)),
		bad("ECDSA: r is the order", "CVE-2022-21449", pair(n, s)),
		bad("ECDSA: s is the order", "CVE-2022-21449", pair(r, n)),
		bad("ECDSA: r and s are the order", "CVE-2022-21449", pair(n, n)),
		bad("ECDSA: r and s are one", "RFC 8725, section 3.4", pair(one, one)),
		bad("ECDSA: r is the order minus one", "RFC 8725, section 3.4",
			pair(new(big.Int).Sub(n, one), one)),
		bad("ECDSA: all bits set", "RFC 8725, section 3.4",
			compact([]byte(strings.Repeat("\xff", 64)))),
		bad("ECDSA: r and s swapped", source, pair(s, r)),
		bad("ECDSA: ES384 of zeros", "CVE-2022-21449", zeros(f.ec384, 96)),
		bad("ECDSA: ES512 of zeros", "CVE-2022-21449", zeros(f.ec521, 132)),
		bad("ECDSA: empty", "RFC 8725, section 2.1", compact(nil)),
		bad("ECDSA: DER", source, compact(must(ecdsa.SignASN1(rand.Reader, key, sum[:])))),
		bad("ECDSA: only r", source, compact(good[:32])),
		bad("ECDSA: without its last byte", source, compact(good[:63])),
		bad("ECDSA: with a trailing byte", source, compact(append(append([]byte{}, good...), 0))),
		bad("ECDSA: r and s in 48 bytes each", source, compact(rs(48, r, s))),
		bad("ECDSA: r plus the order, in 33 bytes each", source,
			compact(rs(33, new(big.Int).Add(r, n), s))),
		bad("ECDSA: r and s in little-endian", source,
			compact(append(reversed(good[:32]), reversed(good[32:])...))),
		bad("ECDSA: SHA-384 under ES256", source, compact(rs(32, longR, longS))),
		bad("ECDSA: ES384 with a P-256 key in 96 bytes", source,
			f.compact(f.goodInput(f.ec384), rs(48, longR, longS))),
	}
}

// smallPoints returns encodings of Ed25519 points of order 1, 2, 4 and 8, and two that aren't
// canonical.
func smallPoints() [][]byte {
	return [][]byte{
		unhex("0100000000000000000000000000000000000000000000000000000000000000"),
		unhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
		unhex("0000000000000000000000000000000000000000000000000000000000000000"),
		unhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
		unhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
		unhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
	}
}

// edAttacks are malformed Ed25519 signatures.
func edAttacks(f *forge) []attack {
	input := f.goodInput(f.ed)
	key := edKey().(ed25519.PrivateKey)
	good := ed25519.Sign(key, []byte(input))
	halves := func(first, second []byte) string {
		return f.compact(input, append(append([]byte{}, first...), second...))
	}
	number := func(data []byte) *big.Int { return new(big.Int).SetBytes(reversed(data)) }
	sPlusOrder := littleEndian(new(big.Int).Add(number(good[32:]), curveOrder))
	digest := sha512.Sum512([]byte(input))
	points := smallPoints()
	bad := func(name, source, token string) attack {
		return row(name, source, token, identity.ErrTokenSignature, "signature")
	}
	source := "RFC 8032, section 5.1.7"
	return []attack{
		row("Ed25519: correct", source, halves(good[:32], littleEndian(number(good[32:]))), nil),
		bad("Ed25519: S plus the order", "CVE-2026-33895; CVE-2020-36843; RFC 8032, section 8.4",
			halves(good[:32], sPlusOrder)),
		bad("Ed25519: S is the order", source, halves(points[0], littleEndian(curveOrder))),
		bad("Ed25519: zeros", source, f.compact(input, make([]byte, 64))),
		bad("Ed25519: all bits set", source, f.compact(input, []byte(strings.Repeat("\xff", 64)))),
		bad("Ed25519: R of order 1, S zero", source, halves(points[0], make([]byte, 32))),
		bad("Ed25519: R of order 2, S zero", source, halves(points[1], make([]byte, 32))),
		bad("Ed25519: R of order 8, S zero", source, halves(points[3], make([]byte, 32))),
		bad("Ed25519: R of order 4, not canonical", source, halves(points[4], make([]byte, 32))),
		bad("Ed25519: R of order 1, not canonical", source, halves(points[5], make([]byte, 32))),
		bad("Ed25519: R is the key, S zero", source,
			halves(key.Public().(ed25519.PublicKey), make([]byte, 32))),
		bad("Ed25519: halves swapped", source, halves(good[32:], good[:32])),
		bad("Ed25519: empty", "RFC 8725, section 2.1", f.compact(input, nil)),
		bad("Ed25519: without its last byte", source, f.compact(input, good[:63])),
		bad("Ed25519: with a trailing byte", source,
			f.compact(input, append(append([]byte{}, good...), 0))),
		bad("Ed25519: followed by the message", source,
			f.compact(input, append(append([]byte{}, good...), input...))),
		bad("Ed25519ph", "RFC 8037, section 3.1",
			f.compact(input, must(key.Sign(nil, digest[:],
				&ed25519.Options{Hash: crypto.SHA512})))),
		bad("Ed25519ctx", "RFC 8037, section 3.1",
			f.compact(input, must(key.Sign(nil, []byte(input), &ed25519.Options{Context: "JWT"})))),
		bad("Ed25519 of a digest", "RFC 8037, section 3.1",
			f.compact(input, ed25519.Sign(key, digest[:]))),
	}
}
