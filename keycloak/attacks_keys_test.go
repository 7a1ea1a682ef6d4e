package keycloak

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"strings"
	"sync"

	"github.com/cloakql/cloakql/identity"
)

// Weak RSA keys. The exponent 3 of cubeRSA lets anyone forge a signature for a verifier that
// doesn't check all of the padding, and the exponent 1 of identityRSA for any verifier.
var (
	cubeRSA     = sync.OnceValue(func() smallRSA { return newSmallRSA(2048, 3) })
	wideRSA     = sync.OnceValue(func() smallRSA { return newSmallRSA(2048, 1<<32+15) })
	narrowRSA   = sync.OnceValue(func() smallRSA { return newSmallRSA(2047, 65537) })
	tinyRSA     = sync.OnceValue(func() smallRSA { return newSmallRSA(1024, 65537) })
	identityRSA = sync.OnceValue(func() smallRSA { return newSmallRSA(2048, 1) })
)

// changed returns the signer's JWK with changes.
func (f *forge) changed(s signer, changes object) object {
	out := object{}
	for _, members := range []map[string]any{s.jwk(), changes} {
		for name, value := range members {
			if out[name] = value; value == absent {
				delete(out, name)
			}
		}
	}
	return out
}

// rejectedKeys returns a key set in which all keys but a few must be rejected.
func (f *forge) rejectedKeys() string {
	ed := func(kid string, changes object) object { return f.changed(f.ed.withKID(kid), changes) }
	ec := func(kid string, changes object) object { return f.changed(f.ec.withKID(kid), changes) }
	rsa := func(kid string, changes object) object { return f.changed(f.rsa.withKID(kid), changes) }
	huge := new(big.Int).Lsh(big.NewInt(1), 16384)
	huge.Sub(huge, big.NewInt(1))
	set := certs(
		ed("ed-1", nil), ec("no-alg", object{"alg": absent}),
		ed("ops-verify", object{"key_ops": []string{"sign", "verify"}}),
		rsa("use-enc", object{"use": "enc"}), ed("use-none", object{"use": absent}),
		ed("use-case", object{"use": "SIG"}), ed("use-list", object{"use": []string{"sig"}}),
		ed("ops-sign", object{"key_ops": []string{"sign"}}),
		ed("ops-empty", object{"key_ops": []string{}}),
		ed("ops-wrap", object{"key_ops": []string{"wrapKey", "deriveKey"}}),
		f.ed.withKID("twin").jwk(), f.evil.withKID("twin").jwk(), ed("half-twin", nil),
		ed("half-twin", object{"use": "enc"}),
		ed("private", object{"d": f.secret()}), rsa("private-rsa", object{"d": f.secret()}),
		rsa("private-null", object{"d": nil}),
		rsa("private-primes", object{"p": f.secret(), "q": f.secret()}),
		ed("x-padded", object{"x": base64url(edKey().Public().(ed25519.PublicKey)) + "="}),
		rsa("n-lines", object{"n": "\n" + f.rsa.jwk()["n"].(string)}),
		ec("x-long", object{"x": "AAAA" + f.ec.jwk()["x"].(string)}),
		ed("x-list", object{"x": []string{f.ed.jwk()["x"].(string)}}),
		ed("", nil), ed("x", object{"kid": 7}), ed(strings.Repeat("k", 256)+"k", nil),
		ed("kid-case", object{"kid": absent, "KID": "kid-case"}),
		rsa("no-alg-rsa", object{"alg": absent}), rsa("alg-none", object{"alg": "none"}),
		rsa("alg-oaep", object{"alg": "RSA-OAEP"}), rsa("alg-ec", object{"alg": "ES256"}),
		ec("alg-es384", object{"alg": "ES384"}), ec("alg-k", object{"alg": "ES256K"}),
		ed("alg-hs", object{"alg": "HS256"}), ed("alg-case", object{"alg": "eddsa"}),
		object{"kid": "oct-1", "use": "sig", "alg": "HS256", "kty": "oct",
			"k": base64url([]byte("secret"))},
		object{"kid": "oct-rs", "use": "sig", "alg": "RS256", "kty": "oct",
			"k": base64url([]byte("secret"))},
		tinyRSA().jwk("rsa-1024"), narrowRSA().jwk("rsa-2047"),
		rsaJWK("rsa-16384", huge, big.NewInt(65537)),
		identityRSA().jwk("rsa-e1"), cubeRSA().jwk("rsa-e3"), wideRSA().jwk("rsa-e5bytes"),
		rsa("rsa-even", object{"e": "AQAC"}), rsa("rsa-e0", object{"e": "AA"}),
		rsa("rsa-e9bytes", object{"e": base64url(unhex("010000000000010001"))}),
		f.changed(f.ec384.withKID("ec-384-256"), object{"alg": "ES256"}),
		ec("ec-off", object{"y": base64url(make([]byte, 32))}),
		ec("ec-zero", object{"x": base64url(make([]byte, 32)), "y": base64url(make([]byte, 32))}),
		ec("ec-224", object{"crv": "P-224"}), ec("ec-k", object{"crv": "secp256k1", "alg": absent}),
		ec("ec-384", object{"crv": "P-384"}),
		ed("ed-x25519",
			object{"crv": "X25519",
				"x": base64url(must(ecdh.X25519().GenerateKey(rand.Reader)).PublicKey().Bytes())}),
		ed("ed-short", object{"x": base64url(make([]byte, 31))}),
		ed("ed-448", object{"crv": "Ed448", "x": base64url(make([]byte, 57))}),
		ed("ed-order1", object{"x": base64url(smallPoints()[0])}),
		ed("ed-order4", object{"x": base64url(smallPoints()[2])}),
		"no key at all", 7, nil, []string{"ed-1"},
	)
	// A map can't have a member twice, so this key is written by hand.
	twice := strings.Replace(toJSON(ed("inner-twice", nil)), "{", `{"kid":"inner-other",`, 1)
	return strings.TrimSuffix(set, "]}") + "," + twice + "]}"
}

// keyAttacks are tokens whose key is in the key set and must not be used. Their signatures are
// correct where that is possible.
func keyAttacks(f *forge) []attack {
	unknown, refused := identity.ErrKeyUnknown, identity.ErrTokenSignature
	key := func(name, source, token string, want error, detail string) attack {
		return row(name, source, token, want, detail).on("rejected")
	}
	ed := func(kid string) string { return f.ed.withKID(kid).token(alice(f.t)) }
	rs := func(kid string) string { return f.rsa.withKID(kid).token(alice(f.t)) }
	ec := func(kid string) string { return f.ec.withKID(kid).token(alice(f.t)) }
	zero := func(alg, kid string) string {
		return f.compact(f.goodInput(signer{kid, alg, nil}), make([]byte, 64))
	}
	// With a public key of order one, the same signature is valid for every message.
	forged := append(append([]byte{}, smallPoints()[0]...), make([]byte, 32)...)
	cubic := f.goodInput(signer{"rsa-e3", "RS256", nil})
	oct := func(alg, kid string) string {
		return f.mac(alg, crypto.SHA256, kid, []byte("secret"))
	}
	return []attack{
		key("key_ops with sign and verify", "RFC 7517, section 4.3", ed("ops-verify"), nil, ""),
		key("an EC key without alg, whose curve implies it", "RFC 7517, section 4.4", ec("no-alg"),
			nil, ""),

		key("use enc", "RFC 7517, section 4.2", rs("use-enc"), unknown, `"use-enc"`),
		key("use missing", "RFC 7517, section 4.2", ed("use-none"), unknown, `"use-none"`),
		key("use in another case", "RFC 7517, section 4.2", ed("use-case"), unknown, `"use-case"`),
		key("use is a list", "RFC 7517, section 4.2", ed("use-list"), unknown, `"use-list"`),
		key("key_ops with only sign", "RFC 7517, section 4.3", ed("ops-sign"), unknown, "key_ops"),
		key("key_ops empty", "RFC 7517, section 4.3", ed("ops-empty"), unknown, "key_ops"),
		key("key_ops for encryption", "RFC 7517, section 4.3", ed("ops-wrap"), unknown, "key_ops"),
		key("two keys with one kid, signed with the first", "RFC 7517, section 4.5", ed("twin"),
			unknown, "more than one"),
		key("two keys with one kid, signed with the second", "RFC 7517, section 4.5",
			f.evil.withKID("twin").token(alice(f.t)), unknown, "more than one"),
		key("an encryption key with the same kid",
			"RFC 7517, section 4.5", ed("half-twin"), nil, ""),
		key("a key set that publishes a private key", "RFC 7517, section 9.2", ed("private"),
			unknown, "private"),
		key("a key set that publishes a private RSA key", "RFC 7518, section 6.3.2",
			rs("private-rsa"), unknown, "private"),
		key("an RSA key whose d is null", "RFC 7518, section 6.3.2", rs("private-null"),
			unknown, "private"),
		key("a key in padded base64url", "RFC 7518, section 2", ed("x-padded"), unknown,
			"base64url"),
		key("a key with a line break", "RFC 7518, section 2", rs("n-lines"), unknown, "base64url"),
		key("a coordinate with too many bytes", "RFC 7518, section 6.2.1.2", ec("x-long"), unknown,
			`"x-long"`),
		key("a key in a list", "RFC 8037, section 2", ed("x-list"), unknown, `"x-list"`),
		key("a kid that is too long, in the key set too", "RFC 7517, section 4.5",
			ed(strings.Repeat("k", 256)+"k"), identity.ErrTokenMalformed, "256"),
		key("a kid that is a number in the key set", "RFC 7517, section 4.5", ed("7"), unknown,
			`"7"`),
		key("a key with KID instead of kid", "RFC 7517, section 4", ed("kid-case"), unknown,
			`"kid-case"`),
		key("a key with two kids, by the first", "RFC 7517, section 4", ed("inner-other"), unknown,
			`"inner-other"`),
		key("a key with two kids, by the last", "RFC 7517, section 4", ed("inner-twice"), unknown,
			`"inner-twice"`),

		key("an RSA key without alg", "RFC 8725, section 3.1", rs("no-alg-rsa"), unknown,
			"its alg is missing"),
		key("a key with alg none", "RFC 7518, section 3.6", rs("alg-none"), unknown,
			`its alg is "none"`),
		key("a key with an encryption alg", "RFC 7517, section 4.4", rs("alg-oaep"), unknown,
			`its alg is "RSA-OAEP"`),
		key("an RSA key with an EC alg", "RFC 7518, section 3.1", rs("alg-ec"), unknown, "ES256"),
		key("a P-256 key with alg ES384", "RFC 7518, section 3.4", ec("alg-es384"), unknown,
			`"alg-es384"`),
		key("a P-384 key with alg ES256", "RFC 7518, section 3.4", zero("ES256", "ec-384-256"),
			unknown, `"ec-384-256"`),
		key("a P-256 key with alg ES256K", "RFC 8812, section 3.2", ec("alg-k"), unknown,
			`its alg is "ES256K"`),
		key("an Ed25519 key with alg HS256", "RFC 8725, section 3.1", ed("alg-hs"), unknown,
			`its alg is "HS256"`),
		key("a key with alg in lowercase", "RFC 7517, section 4.4", ed("alg-case"), unknown,
			`its alg is "eddsa"`),
		key("HS256 with a secret from the key set", "RFC 7518, section 6.4", oct("HS256", "oct-1"),
			refused, `"HS256"`),
		key("RS256 with a secret from the key set", "RFC 7518, section 6.4", oct("RS256", "oct-rs"),
			unknown, "oct"),

		key("RSA with 1024 bits", "RFC 7518, section 3.3", tinyRSA().token(f, "rsa-1024"), unknown,
			`"rsa-1024"`),
		key("RSA with 2047 bits", "RFC 7518, section 3.3", narrowRSA().token(f, "rsa-2047"),
			unknown, `"rsa-2047"`),
		key("RSA with 16384 bits", "CVE-2023-29409", zero("RS256", "rsa-16384"), unknown,
			`"rsa-16384"`),
		key("RSA with exponent 1, where the padded digest is the signature",
			"RFC 7518, section 6.3.1.2", identityRSA().token(f, "rsa-e1"), unknown, `"rsa-e1"`),
		key("RSA with exponent 3", "RFC 7518, section 6.3.1.2", cubeRSA().token(f, "rsa-e3"),
			unknown, `"rsa-e3"`),
		key("RSA with exponent 3, forged with a cube root", "CVE-2006-4339",
			f.compact(cubic, cubeRoot(cubic)), unknown, `"rsa-e3"`),
		key("RSA with an exponent of five bytes", "RFC 7518, section 6.3.1.2",
			wideRSA().token(f, "rsa-e5bytes"), unknown, `"rsa-e5bytes"`),
		key("RSA with an exponent whose low 64 bits are 65537", "RFC 7518, section 6.3.1.2",
			rs("rsa-e9bytes"), unknown, `"rsa-e9bytes"`),
		key("RSA with an even exponent", "RFC 7518, section 6.3.1.2", zero("RS256", "rsa-even"),
			unknown, `"rsa-even"`),
		key("RSA with exponent 0", "RFC 7518, section 6.3.1.2",
			f.compact(f.goodInput(signer{"rsa-e0", "RS256", nil}),
				big.NewInt(1).FillBytes(make([]byte, 256))), unknown, `"rsa-e0"`),
		key("a point that isn't on the curve", "CVE-2017-12974", zero("ES256", "ec-off"), unknown,
			`"ec-off"`),
		key("a point with zero coordinates", "RFC 8725, section 3.4", zero("ES256", "ec-zero"),
			unknown, `"ec-zero"`),
		key("a curve that is too small", "RFC 7518, section 6.2.1.1", zero("ES256", "ec-224"),
			unknown, `"ec-224"`),
		key("the curve secp256k1", "RFC 8812, section 3.1", zero("ES256", "ec-k"), unknown,
			`"ec-k"`),
		key("a point on another curve", "RFC 7518, section 6.2.1.1", zero("ES384", "ec-384"),
			unknown, `"ec-384"`),
		key("a key for key agreement", "RFC 8037, section 3.2", zero("EdDSA", "ed-x25519"), unknown,
			`"ed-x25519"`),
		key("an Ed25519 key of 31 bytes", "RFC 8032, section 5.1.7", zero("EdDSA", "ed-short"),
			unknown, `"ed-short"`),
		key("an Ed448 key", "RFC 8037, section 2", zero("EdDSA", "ed-448"), unknown,
			`its crv is "Ed448"`),
		key("a key set that publishes an RSA key's primes", "RFC 7518, section 6.3.2",
			rs("private-primes"), unknown, "private"),
		key("a public key of order one, for which anyone can sign", "RFC 8725, section 3.4",
			f.compact(f.goodInput(f.ed.withKID("ed-order1")), forged), unknown, `"ed-order1"`),
		key("a public key of order four", "RFC 8725, section 3.4",
			f.compact(f.goodInput(f.ed.withKID("ed-order4")), forged), unknown, `"ed-order4"`),
	}
}

// cubeRoot forges a signature for an RSA key with exponent 3: its cube starts like a block with too
// little padding and ends in garbage that a careless verifier doesn't read.
func cubeRoot(input string) []byte {
	digest := sha256.Sum256([]byte(input))
	target := new(big.Int).SetBytes(block(1, 8, append(unhex(infoSHA256), digest[:]...), 0xff))
	low, high := big.NewInt(0), new(big.Int).Lsh(big.NewInt(1), 700)
	for {
		middle := new(big.Int).Rsh(new(big.Int).Add(low, high), 1)
		if middle.Cmp(low) == 0 {
			return low.FillBytes(make([]byte, 256))
		}
		if new(big.Int).Exp(middle, big.NewInt(3), nil).Cmp(target) <= 0 {
			low = middle
		} else {
			high = middle
		}
	}
}

// realmAttacks use the keys of another realm, or keys that can't be fetched.
func realmAttacks(f *forge) []attack {
	unknown, refused, unavailable := identity.ErrKeyUnknown, identity.ErrTokenSignature,
		identity.ErrKeysUnavailable
	// Both realms have a key with this kid, as happens when a realm is copied.
	theirs := f.evil.withKID("ed-1")
	token := func(s signer, issuer string) string {
		return f.token(s, nil, object{"iss": issuer})
	}
	source := "RFC 8725, section 3.8"
	return []attack{
		row("the other realm's token", source, token(theirs, otherIssuer), nil).on("two realms"),
		row("our issuer, the other realm's key with the same kid", source,
			token(theirs, localIssuer), refused, "signature").on("two realms"),
		row("the other issuer, our key with the same kid", source, token(f.ed, otherIssuer),
			refused, "signature").on("two realms"),
		row("our issuer, a key that only the other realm has", source,
			token(f.ec.withKID("only-theirs"), localIssuer), unknown,
			`"only-theirs"`).on("two realms"),
		row("an issuer that is neither realm", source, token(theirs, localIssuer+"/../other"),
			identity.ErrTokenNotAccepted, otherIssuer).on("two realms"),

		row("an algorithm that isn't accepted", "RFC 8725, section 3.1",
			f.rsa.token(alice(f.t)), refused, `"RS256"; accepted: ES256`).on("narrow"),
		row("an algorithm that isn't accepted, and an unknown key",
			"RFC 8725, section 3.1", f.evil.token(alice(f.t)), refused,
			`"EdDSA"; accepted: ES256`).on("narrow"),
		row("an accepted algorithm with a key for another one", "RFC 8725, section 3.1",
			f.ec.withKID("rsa-1").token(alice(f.t)), refused, "ES256").on("narrow"),

		row("a key set with too many keys", "RFC 7517, section 5",
			f.ed.withKID("ed-1").token(alice(f.t)), unavailable).on("crowded"),
		row("a key set with only an encryption key", "RFC 7517, section 4.2",
			f.rsa.withKID("enc-1").token(alice(f.t)), unavailable).on("bare"),
		row("a key set behind a redirect", "RFC 9110, section 15.4", f.evil.token(alice(f.t)),
			unavailable, "redirect").on("redirect"),
		row("a key set in a 500 response", "RFC 9110, section 15.6.1", f.ed.token(alice(f.t)),
			unavailable, "500").on("down"),
		row("a key set in an HTML page", "RFC 7517, section 5", f.ed.token(alice(f.t)),
			unavailable).on("html"),
		row("a key set after a megabyte of spaces", "RFC 8259, section 9", f.ed.token(alice(f.t)),
			unavailable).on("large"),
	}
}
