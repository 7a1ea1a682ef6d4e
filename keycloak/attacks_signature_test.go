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

// Where a signature's form is what is wrong with it, it is made with the realm's private key: it
// would be good, were it not for its form. The rows that are accepted show so.

// swapAttacks change what was signed.
func swapAttacks(f *forge) []attack {
	refused := identity.ErrTokenSignature
	good := f.ed.token(alice(f.t))
	header, payload, signature := splitToken(good)
	mallory := base64url([]byte(f.claims(object{"sub": "mallory"})))
	respelt := base64url([]byte(" " + alice(f.t)))
	source := "RFC 7515, section 5.2"
	sign := func(input string) []byte {
		return must(f.ed.key.Sign(nil, []byte(input), crypto.Hash(0)))
	}
	return []attack{
		row("another payload", source, header+"."+mallory+"."+signature, refused, "signature"),
		row("another header", source,
			base64url([]byte(f.header(f.ed, object{"typ": "at+jwt"})))+"."+payload+"."+signature,
			refused, "signature"),
		row("the payload with a blank more", "RFC 7515, section 5.2",
			header+"."+respelt+"."+signature, refused, "signature"),
		row("the signature of another token", source,
			header+"."+payload+
				strings.TrimPrefix(f.ed.sign(f.ed.header(), f.claims(object{"sub": "x"})),
					header+"."+base64url([]byte(f.claims(object{"sub": "x"})))), refused,
			"signature"),
		row("another's signature under the realm's name", source,
			f.as(f.evil, "ed-1").token(alice(f.t)), refused, "signature"),
		row("another's RSA signature under the realm's name", source,
			signer{"rsa-1", "RS256", evilRSAKey()}.token(alice(f.t)), refused, "signature"),
		row("a signature of only the payload", source, f.spend(header+"."+payload, sign(payload)),
			refused, "signature"),
		row("a signature of the texts, not of their base64", source,
			f.spend(header+"."+payload, sign(f.ed.header()+"."+alice(f.t))), refused, "signature"),
		row("a signature of the payload first", source,
			f.spend(header+"."+payload, sign(payload+"."+header)), refused, "signature"),
		row("a signature in hexadecimal digits", source, header+"."+payload+"."+hexOf(signature),
			refused, "signature"),
		row("a bit of the signature", source, spoilSignature(good), refused, "signature"),
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

// rsaAttacks are about RSASSA-PKCS1-v1_5.
func rsaAttacks(f *forge) []attack {
	key := rsaKey().(*rsa.PrivateKey)
	input := f.good(f.rsa)
	sum := sha256.Sum256([]byte(input))
	long := sha512.Sum512([]byte(input))
	short := sha1.Sum([]byte(input))
	data := append(unhex(infoSHA256), sum[:]...)
	good := f.rsaRaw(block(1, 256-3-len(data), data, 0))
	spend := func(signature []byte) string { return f.spend(input, signature) }
	raw := func(b []byte) string { return spend(f.rsaRaw(b)) }
	ones := make([]byte, 256)
	for i := range ones {
		ones[i] = 0xff
	}
	bad := func(name, source, token string) attack {
		return row(name, source, token, identity.ErrTokenSignature, "signature")
	}
	source := "RFC 8017, section 8.2.2"
	return []attack{
		row("PKCS#1 by hand", source, spend(good), nil),
		bad("RSA: nothing", "RFC 8725, section 2.1", spend(nil)),
		bad("RSA: zeros", source, spend(make([]byte, 256))),
		bad("RSA: one", source, spend(big.NewInt(1).FillBytes(make([]byte, 256)))),
		bad("RSA: ones", "RFC 8017, section 5.2.2", spend(ones)),
		bad("RSA: the modulus", "RFC 8017, section 5.2.2", spend(key.N.Bytes())),
		bad("RSA: the modulus less one", source,
			spend(new(big.Int).Sub(key.N, big.NewInt(1)).Bytes())),
		bad("RSA: the modulus more", "RFC 8017, section 5.2.2",
			spend(new(big.Int).Add(key.N, new(big.Int).SetBytes(good)).Bytes())),
		bad("RSA: a byte short", source, spend(good[:255])),
		bad("RSA: a byte short at its beginning", source, spend(good[1:])),
		bad("RSA: a zero before", "CVE-2020-13757; RFC 8017, section 8.2.2",
			spend(append([]byte{0}, good...))),
		bad("RSA: a zero after", source, spend(append(append([]byte{}, good...), 0))),
		bad("RSA: twice", source, spend(append(append([]byte{}, good...), good...))),
		bad("RSA: the block itself", source, spend(block(1, 256-3-len(data), data, 0))),
		bad("RSA: backwards", source, spend(reversed(good))),

		bad("PKCS#1: garbage after the digest", "CVE-2006-4339; CVE-2022-24772",
			raw(block(1, 8, data, 0xff))),
		bad("PKCS#1: zeros after the digest", "CVE-2006-4339", raw(block(1, 8, data, 0))),
		bad("PKCS#1: filling of another kind", source, raw(block(2, 256-3-len(data), data, 0))),
		bad("PKCS#1: no filling's mark", source, raw(block(0, 256-3-len(data), data, 0))),
		bad("PKCS#1: a hole in the filling", "RFC 8017, section 9.2",
			raw(holed(block(1, 256-3-len(data), data, 0)))),
		bad("PKCS#1: no name of the hash", "RFC 8017, section 9.2",
			raw(block(1, 256-3-len(sum), sum[:], 0))),
		bad("PKCS#1: a hash's name without its NULL", "RFC 8017, section 9.2",
			f.pkcs1(input, infoNoNull, sum[:])),
		bad("PKCS#1: lengths in their long form", "CVE-2014-1568",
			f.pkcs1(input, infoLongForm, sum[:])),
		bad("PKCS#1: a length that lies", "CVE-2022-24773", f.pkcs1(input, infoWrongCount, sum[:])),
		bad("PKCS#1: SHA-1 under RS256", "RFC 7518, section 3.3",
			f.pkcs1(input, infoSHA1, short[:])),
		bad("PKCS#1: MD5's name", "RFC 7518, section 3.3", f.pkcs1(input, infoMD5, sum[:16])),
		bad("PKCS#1: SHA-512 under RS256", "RFC 7518, section 3.3",
			f.pkcs1(input, infoSHA512, long[:])),
		bad("PKCS#1: SHA-256 by the name of SHA-512", "RFC 8017, section 9.2",
			f.pkcs1(input, infoSHA512, append(sum[:], sum[:]...))),
		bad("PSS under RS256", "RFC 7518, section 3.5",
			spend(
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

func holed(block []byte) []byte { block[100] = 0xfe; return block }

// pssAttacks are about RSASSA-PSS.
func pssAttacks(f *forge) []attack {
	key := rsaKey().(*rsa.PrivateKey)
	input := f.good(f.ps)
	sum := sha256.Sum256([]byte(input))
	data := append(unhex(infoSHA256), sum[:]...)
	right := pss{crypto.SHA256, crypto.SHA256, 32, 0xbc, 1}
	good := must(rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:],
		&rsa.PSSOptions{SaltLength: 32}))
	salt := func(length int) string { p := right; p.salt = length; return f.pss(p) }
	bad := func(name, source, token string) attack {
		return row(name, source, token, identity.ErrTokenSignature, "signature")
	}
	mask, trailer, separator, hash := right, right, right, right
	mask.mask, trailer.trailer, separator.separator, hash.hash = crypto.SHA1, 0xcc, 2, crypto.SHA384
	source := "RFC 7518, section 3.5"
	return []attack{
		row("PSS by hand", source, f.pss(right), nil),
		bad("PSS: no salt", source, salt(0)),
		bad("PSS: a salt a byte short", source, salt(31)),
		bad("PSS: a salt a byte long", source, salt(33)),
		bad("PSS: a salt of another hash's length", source, salt(48)),
		bad("PSS: the longest salt", source, salt(256-32-2)),
		bad("PSS: the mask of SHA-1", source, f.pss(mask)),
		bad("PSS: the hash SHA-384", source, f.pss(hash)),
		bad("PSS: another trailer", "RFC 8017, section 9.1.2", f.pss(trailer)),
		bad("PSS: another mark before the salt", "RFC 8017, section 9.1.2", f.pss(separator)),
		bad("PSS: zeros", "RFC 8017, section 8.1.2", f.spend(input, make([]byte, 256))),
		bad("PSS: zeros before", "CVE-2020-14968",
			f.spend(input, append(make([]byte, 2), good...))),
		bad("PSS: a byte short", "RFC 8017, section 8.1.2", f.spend(input, good[:255])),
		bad("PSS: the modulus more", "RFC 8017, section 5.2.2",
			f.spend(input, new(big.Int).Add(key.N, new(big.Int).SetBytes(good)).Bytes())),
		bad("PKCS#1 under PS256", "RFC 8725, section 3.1",
			f.spend(input, f.rsaRaw(block(1, 256-3-len(data), data, 0)))),
	}
}

// ecdsaAttacks are about ES256, ES384 and ES512.
func ecdsaAttacks(f *forge) []attack {
	input := f.good(f.ec)
	r, s := f.ecdsaOf(input)
	zero, one, n := new(big.Int), big.NewInt(1), p256.N
	spend := func(signature []byte) string { return f.spend(input, signature) }
	pair := func(r, s *big.Int) string { return spend(rs(32, r, s)) }
	good := rs(32, r, s)
	sum, long := sha256.Sum256([]byte(input)), sha512.Sum384([]byte(input))
	key := p256Key().(*ecdsa.PrivateKey)
	longR, longS, err := ecdsa.Sign(rand.Reader, key, long[:])
	if err != nil {
		f.t.Fatal(err)
	}
	zeros := func(s signer, size int) string { return f.spend(f.good(s), make([]byte, size)) }
	bad := func(name, source, token string) attack {
		return row(name, source, token, identity.ErrTokenSignature, "signature")
	}
	source := "RFC 7518, section 3.4"
	return []attack{
		row("ECDSA by hand", source, spend(good), nil),
		bad("ECDSA: r and s are zero", "CVE-2022-21449", pair(zero, zero)),
		bad("ECDSA: r is zero", "CVE-2022-21449; CVE-2022-24884", pair(zero, s)),
		bad("ECDSA: s is zero", "CVE-2022-21449; CVE-2022-24884", pair(r, zero)),
		bad("ECDSA: r is the order", "CVE-2022-21449", pair(n, s)),
		bad("ECDSA: s is the order", "CVE-2022-21449", pair(r, n)),
		bad("ECDSA: r and s are the order", "CVE-2022-21449", pair(n, n)),
		bad("ECDSA: r and s are one", "RFC 8725, section 3.4", pair(one, one)),
		bad("ECDSA: r is the order less one", "RFC 8725, section 3.4",
			pair(new(big.Int).Sub(n, one), one)),
		bad("ECDSA: every bit", "RFC 8725, section 3.4", spend([]byte(strings.Repeat("\xff", 64)))),
		bad("ECDSA: r and s swapped", source, pair(s, r)),
		bad("ECDSA: ES384 of zeros", "CVE-2022-21449", zeros(f.ec384, 96)),
		bad("ECDSA: ES512 of zeros", "CVE-2022-21449", zeros(f.ec521, 132)),
		bad("ECDSA: nothing", "RFC 8725, section 2.1", spend(nil)),
		bad("ECDSA: DER", source, spend(must(ecdsa.SignASN1(rand.Reader, key, sum[:])))),
		bad("ECDSA: r alone", source, spend(good[:32])),
		bad("ECDSA: a byte short", source, spend(good[:63])),
		bad("ECDSA: a byte long", source, spend(append(append([]byte{}, good...), 0))),
		bad("ECDSA: the numbers in 48 bytes each", source, spend(rs(48, r, s))),
		bad("ECDSA: r more by the order, in 33 bytes each", source,
			spend(rs(33, new(big.Int).Add(r, n), s))),
		bad("ECDSA: backwards", source, spend(append(reversed(good[:32]), reversed(good[32:])...))),
		bad("ECDSA: SHA-384 under ES256", source, spend(rs(32, longR, longS))),
		bad("ECDSA: ES384 by a P-256 key in 96 bytes", source,
			f.spend(f.good(f.ec384), rs(48, longR, longS))),
	}
}

// smallPoints are encodings of points of Ed25519 whose order is 1, 2, 4 and 8, and two that aren't
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

// edAttacks are about Ed25519.
func edAttacks(f *forge) []attack {
	input := f.good(f.ed)
	key := edKey().(ed25519.PrivateKey)
	good := ed25519.Sign(key, []byte(input))
	half := func(first, second []byte) string {
		return f.spend(input, append(append([]byte{}, first...), second...))
	}
	number := func(data []byte) *big.Int { return new(big.Int).SetBytes(reversed(data)) }
	more := littleEndian(new(big.Int).Add(number(good[32:]), curveOrder))
	digest := sha512.Sum512([]byte(input))
	points := smallPoints()
	bad := func(name, source, token string) attack {
		return row(name, source, token, identity.ErrTokenSignature, "signature")
	}
	source := "RFC 8032, section 5.1.7"
	return []attack{
		row("Ed25519 by hand", source, half(good[:32], littleEndian(number(good[32:]))), nil),
		bad("Ed25519: S more by the order", "CVE-2026-33895; CVE-2020-36843; RFC 8032, section 8.4",
			half(good[:32], more)),
		bad("Ed25519: S is the order", source, half(points[0], littleEndian(curveOrder))),
		bad("Ed25519: zeros", source, f.spend(input, make([]byte, 64))),
		bad("Ed25519: every bit", source, f.spend(input, []byte(strings.Repeat("\xff", 64)))),
		bad("Ed25519: R of order 1, S zero", source, half(points[0], make([]byte, 32))),
		bad("Ed25519: R of order 2, S zero", source, half(points[1], make([]byte, 32))),
		bad("Ed25519: R of order 8, S zero", source, half(points[3], make([]byte, 32))),
		bad("Ed25519: R of order 4 in another spelling", source, half(points[4], make([]byte, 32))),
		bad("Ed25519: R of order 1 in another spelling", source, half(points[5], make([]byte, 32))),
		bad("Ed25519: R is the key, S zero", source,
			half(key.Public().(ed25519.PublicKey), make([]byte, 32))),
		bad("Ed25519: halves swapped", source, half(good[32:], good[:32])),
		bad("Ed25519: nothing", "RFC 8725, section 2.1", f.spend(input, nil)),
		bad("Ed25519: a byte short", source, f.spend(input, good[:63])),
		bad("Ed25519: a byte long", source, f.spend(input, append(append([]byte{}, good...), 0))),
		bad("Ed25519: the text behind it", source,
			f.spend(input, append(append([]byte{}, good...), input...))),
		bad("Ed25519ph", "RFC 8037, section 3.1",
			f.spend(input, must(key.Sign(nil, digest[:], &ed25519.Options{Hash: crypto.SHA512})))),
		bad("Ed25519ctx", "RFC 8037, section 3.1",
			f.spend(input, must(key.Sign(nil, []byte(input), &ed25519.Options{Context: "JWT"})))),
		bad("Ed25519 of a digest", "RFC 8037, section 3.1",
			f.spend(input, ed25519.Sign(key, digest[:]))),
	}
}
