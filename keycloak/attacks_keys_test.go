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

// These RSA keys are weak. The exponent 3 of cubeRSA lets anyone forge a signature that passes a
// verifier without a complete padding check; with the exponent 1 of identityRSA, a forged signature
// passes every verifier.
var (
	cubeRSA     = sync.OnceValue(func() smallRSA { return newSmallRSA(2048, 3) })
	wideRSA     = sync.OnceValue(func() smallRSA { return newSmallRSA(2048, 1<<32+15) })
	narrowRSA   = sync.OnceValue(func() smallRSA { return newSmallRSA(2047, 65537) })
	tinyRSA     = sync.OnceValue(func() smallRSA { return newSmallRSA(1024, 65537) })
	identityRSA = sync.OnceValue(func() smallRSA { return newSmallRSA(2048, 1) })
)

// changedJWK returns the signer's JWK with changes.
func (f *forge) changedJWK(s signer, changes object) object {
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

// rejectedKeys returns a key set in which nearly all keys must be rejected.
func (f *forge) rejectedKeys() string {
	ed := func(kid string, changes object) object {
		return f.changedJWK(f.ed.withKID(kid), changes)
	}
	ec := func(kid string, changes object) object {
		return f.changedJWK(f.ec.withKID(kid), changes)
	}
	rsa := func(kid string, changes object) object {
		return f.changedJWK(f.rsa.withKID(kid), changes)
	}
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
		rsa("rsa-e9bytes", object{"e": base64url(decodeHex("010000000000010001"))}),
		f.changedJWK(f.ec384.withKID("ec-384-256"), object{"alg": "ES256"}),
		ec("ec-off", object{"y": base64url(make([]byte, 32))}),
		ec("ec-zero", object{"x": base64url(make([]byte, 32)), "y": base64url(make([]byte, 32))}),
		ec("ec-224", object{"crv": "P-224"}), ec("ec-k", object{"crv": "secp256k1", "alg": absent}),
		ec("ec-384", object{"crv": "P-384"}),
		ed("ed-x25519",
			object{"crv": "X25519",
				"x": base64url(must(ecdh.X25519().GenerateKey(rand.Reader)).PublicKey().Bytes())}),
		ed("ed-short", object{"x": base64url(make([]byte, 31))}),
		ed("ed-448", object{"crv": "Ed448", "x": base64url(make([]byte, 57))}),
		ed("ed-order1", object{"x": base64url(smallOrderPoints()[0])}),
		ed("ed-order4", object{"x": base64url(smallOrderPoints()[2])}),
		"no key at all", 7, nil, []string{"ed-1"},
	)
	// A map can't have a duplicate member, so edit the text.
	keyWithTwoKIDs := strings.Replace(toJSON(ed("inner-twice", nil)), "{",
		`{"kid":"inner-other",`, 1)
	return strings.TrimSuffix(set, "]}") + "," + keyWithTwoKIDs + "]}"
}

// keyAttacks returns tokens whose key is in the key set but must not be used. If possible, their
// signatures are correct.
func keyAttacks(f *forge) []attack {
	errKeyUnknown, errSignature := identity.ErrKeyUnknown, identity.ErrTokenSignature
	key := func(name, source, token string, want error, detail string) attack {
		return row(name, source, token, want, detail).onSite("rejected")
	}
	edToken := func(kid string) string { return f.ed.withKID(kid).token(alice(f.t)) }
	rsaToken := func(kid string) string { return f.rsa.withKID(kid).token(alice(f.t)) }
	ecToken := func(kid string) string { return f.ec.withKID(kid).token(alice(f.t)) }
	zeroToken := func(alg, kid string) string {
		return f.compact(f.goodSigningInput(signer{kid, alg, nil}), make([]byte, 64))
	}
	// With a public key of order one, the same signature is valid for every message.
	forgedSignature := append(append([]byte{}, smallOrderPoints()[0]...), make([]byte, 32)...)
	cubicInput := f.goodSigningInput(signer{"rsa-e3", "RS256", nil})
	hmacToken := func(alg, kid string) string {
		return f.hmacToken(alg, crypto.SHA256, kid, []byte("secret"))
	}
	return []attack{
		key("key_ops with sign and verify", "RFC 7517, section 4.3", edToken("ops-verify"), nil,
			""),
		key("an EC key without alg, whose curve implies it", "RFC 7517, section 4.4",
			ecToken("no-alg"), nil, ""),

		key("use enc", "RFC 7517, section 4.2", rsaToken("use-enc"), errKeyUnknown, `"use-enc"`),
		key("use missing", "RFC 7517, section 4.2", edToken("use-none"), errKeyUnknown,
			`"use-none"`),
		key("use in another case", "RFC 7517, section 4.2", edToken("use-case"), errKeyUnknown,
			`"use-case"`),
		key("use is a list", "RFC 7517, section 4.2", edToken("use-list"), errKeyUnknown,
			`"use-list"`),
		key("key_ops with only sign", "RFC 7517, section 4.3", edToken("ops-sign"), errKeyUnknown,
			"key_ops"),
		key("key_ops empty", "RFC 7517, section 4.3", edToken("ops-empty"), errKeyUnknown,
			"key_ops"),
		key("key_ops for encryption", "RFC 7517, section 4.3", edToken("ops-wrap"), errKeyUnknown,
			"key_ops"),
		key("two keys with one kid, signed with the first", "RFC 7517, section 4.5",
			edToken("twin"), errKeyUnknown, "more than one"),
		key("two keys with one kid, signed with the second", "RFC 7517, section 4.5",
			f.evil.withKID("twin").token(alice(f.t)), errKeyUnknown, "more than one"),
		key("an encryption key with the same kid",
			"RFC 7517, section 4.5", edToken("half-twin"), nil, ""),
		key("a key set that publishes a private key", "RFC 7517, section 9.2", edToken("private"),
			errKeyUnknown, "private"),
		key("a key set that publishes a private RSA key", "RFC 7518, section 6.3.2",
			rsaToken("private-rsa"), errKeyUnknown, "private"),
		key("an RSA key whose d is null", "RFC 7518, section 6.3.2", rsaToken("private-null"),
			errKeyUnknown, "private"),
		key("a key in padded base64url", "RFC 7518, section 2", edToken("x-padded"), errKeyUnknown,
			"base64url"),
		key("a key with a line break", "RFC 7518, section 2", rsaToken("n-lines"), errKeyUnknown,
			"base64url"),
		key("a coordinate with too many bytes", "RFC 7518, section 6.2.1.2", ecToken("x-long"),
			errKeyUnknown, `"x-long"`),
		key("a key in a list", "RFC 8037, section 2", edToken("x-list"), errKeyUnknown, `"x-list"`),
		key("a kid that is too long, in the key set too", "RFC 7517, section 4.5",
			edToken(strings.Repeat("k", 256)+"k"), identity.ErrTokenMalformed, "256"),
		key("a kid that is a number in the key set", "RFC 7517, section 4.5", edToken("7"),
			errKeyUnknown, `"7"`),
		key("a key with KID instead of kid", "RFC 7517, section 4", edToken("kid-case"),
			errKeyUnknown, `"kid-case"`),
		key("a key with two kids, by the first", "RFC 7517, section 4", edToken("inner-other"),
			errKeyUnknown, `"inner-other"`),
		key("a key with two kids, by the last", "RFC 7517, section 4", edToken("inner-twice"),
			errKeyUnknown, `"inner-twice"`),

		key("an RSA key without alg", "RFC 8725, section 3.1", rsaToken("no-alg-rsa"),
			errKeyUnknown, "its alg is missing"),
		key("a key with alg none", "RFC 7518, section 3.6", rsaToken("alg-none"), errKeyUnknown,
			`its alg is "none"`),
		key("a key with an encryption alg", "RFC 7517, section 4.4", rsaToken("alg-oaep"),
			errKeyUnknown, `its alg is "RSA-OAEP"`),
		key("an RSA key with an EC alg", "RFC 7518, section 3.1", rsaToken("alg-ec"), errKeyUnknown,
			"ES256"),
		key("a P-256 key with alg ES384", "RFC 7518, section 3.4", ecToken("alg-es384"),
			errKeyUnknown, `"alg-es384"`),
		key("a P-384 key with alg ES256", "RFC 7518, section 3.4", zeroToken("ES256", "ec-384-256"),
			errKeyUnknown, `"ec-384-256"`),
		key("a P-256 key with alg ES256K", "RFC 8812, section 3.2", ecToken("alg-k"), errKeyUnknown,
			`its alg is "ES256K"`),
		key("an Ed25519 key with alg HS256", "RFC 8725, section 3.1", edToken("alg-hs"),
			errKeyUnknown, `its alg is "HS256"`),
		key("a key with alg in lowercase", "RFC 7517, section 4.4", edToken("alg-case"),
			errKeyUnknown, `its alg is "eddsa"`),
		key("HS256 with a secret from the key set", "RFC 7518, section 6.4", hmacToken("HS256",
			"oct-1"), errSignature, `"HS256"`),
		key("RS256 with a secret from the key set", "RFC 7518, section 6.4", hmacToken("RS256",
			"oct-rs"), errKeyUnknown, "oct"),

		key("RSA with 1024 bits", "RFC 7518, section 3.3", tinyRSA().token(f, "rsa-1024"),
			errKeyUnknown, `"rsa-1024"`),
		key("RSA with 2047 bits", "RFC 7518, section 3.3", narrowRSA().token(f, "rsa-2047"),
			errKeyUnknown, `"rsa-2047"`),
		key("RSA with 16384 bits", "CVE-2023-29409", zeroToken("RS256", "rsa-16384"), errKeyUnknown,
			`"rsa-16384"`),
		key("RSA with exponent 1, where the padded digest is the signature",
			"RFC 7518, section 6.3.1.2", identityRSA().token(f, "rsa-e1"), errKeyUnknown,
			`"rsa-e1"`),
		key("RSA with exponent 3", "RFC 7518, section 6.3.1.2", cubeRSA().token(f, "rsa-e3"),
			errKeyUnknown, `"rsa-e3"`),
		key("RSA with exponent 3, forged with a cube root", "CVE-2006-4339",
			f.compact(cubicInput, cubeRoot(cubicInput)), errKeyUnknown, `"rsa-e3"`),
		key("RSA with an exponent of five bytes", "RFC 7518, section 6.3.1.2",
			wideRSA().token(f, "rsa-e5bytes"), errKeyUnknown, `"rsa-e5bytes"`),
		key("RSA with an exponent whose low 64 bits are 65537", "RFC 7518, section 6.3.1.2",
			rsaToken("rsa-e9bytes"), errKeyUnknown, `"rsa-e9bytes"`),
		key("RSA with an even exponent", "RFC 7518, section 6.3.1.2", zeroToken("RS256",
			"rsa-even"), errKeyUnknown, `"rsa-even"`),
		key("RSA with exponent 0", "RFC 7518, section 6.3.1.2",
			f.compact(f.goodSigningInput(signer{"rsa-e0", "RS256", nil}),
				big.NewInt(1).FillBytes(make([]byte, 256))), errKeyUnknown, `"rsa-e0"`),
		key("a point that isn't on the curve", "CVE-2017-12974", zeroToken("ES256", "ec-off"),
			errKeyUnknown, `"ec-off"`),
		key("a point with zero coordinates", "RFC 8725, section 3.4", zeroToken("ES256", "ec-zero"),
			errKeyUnknown, `"ec-zero"`),
		key("a curve that is too small", "RFC 7518, section 6.2.1.1", zeroToken("ES256", "ec-224"),
			errKeyUnknown, `"ec-224"`),
		key("the curve secp256k1", "RFC 8812, section 3.1", zeroToken("ES256", "ec-k"),
			errKeyUnknown, `"ec-k"`),
		key("a point on another curve", "RFC 7518, section 6.2.1.1", zeroToken("ES384", "ec-384"),
			errKeyUnknown, `"ec-384"`),
		key("a key for key agreement", "RFC 8037, section 3.2", zeroToken("EdDSA", "ed-x25519"),
			errKeyUnknown, `"ed-x25519"`),
		key("an Ed25519 key of 31 bytes", "RFC 8032, section 5.1.7", zeroToken("EdDSA", "ed-short"),
			errKeyUnknown, `"ed-short"`),
		key("an Ed448 key", "RFC 8037, section 2", zeroToken("EdDSA", "ed-448"), errKeyUnknown,
			`its crv is "Ed448"`),
		key("a key set that publishes an RSA key's primes", "RFC 7518, section 6.3.2",
			rsaToken("private-primes"), errKeyUnknown, "private"),
		key("a public key of order one, for which anyone can sign", "RFC 8725, section 3.4",
			f.compact(f.goodSigningInput(f.ed.withKID("ed-order1")), forgedSignature),
			errKeyUnknown, `"ed-order1"`),
		key("a public key of order four", "RFC 8725, section 3.4",
			f.compact(f.goodSigningInput(f.ed.withKID("ed-order4")), forgedSignature),
			errKeyUnknown, `"ed-order4"`),
	}
}

// cubeRoot forges a signature for an RSA key with exponent 3: its cube starts like a block with too
// little padding and ends in garbage that a careless verifier doesn't read.
func cubeRoot(input string) []byte {
	digest := sha256.Sum256([]byte(input))
	target := new(big.Int).SetBytes(pkcs1Block(1, 8, append(decodeHex(infoSHA256), digest[:]...),
		0xff))
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

// realmAttacks returns tokens with the keys of another realm, or with keys that can't be fetched.
func realmAttacks(f *forge) []attack {
	errKeyUnknown, errSignature, errUnavailable := identity.ErrKeyUnknown,
		identity.ErrTokenSignature, identity.ErrKeysUnavailable
	// Both realms have a key with the kid ed-1, as happens when a realm is copied.
	theirSigner := f.evil.withKID("ed-1")
	token := func(s signer, issuer string) string {
		return f.token(s, nil, object{"iss": issuer})
	}
	source := "RFC 8725, section 3.8"
	return []attack{
		row("the other realm's token", source, token(theirSigner, otherIssuer),
			nil).onSite("two realms"),
		row("our issuer, the other realm's key with the same kid", source,
			token(theirSigner, localIssuer), errSignature, "signature").onSite("two realms"),
		row("the other issuer, our key with the same kid", source, token(f.ed, otherIssuer),
			errSignature, "signature").onSite("two realms"),
		row("our issuer, a key that only the other realm has", source,
			token(f.ec.withKID("only-theirs"), localIssuer), errKeyUnknown,
			`"only-theirs"`).onSite("two realms"),
		row("an issuer that is neither realm", source, token(theirSigner, localIssuer+"/../other"),
			identity.ErrTokenNotAccepted, otherIssuer).onSite("two realms"),

		row("an algorithm that isn't accepted", "RFC 8725, section 3.1",
			f.rsa.token(alice(f.t)), errSignature, `"RS256"; accepted: ES256`).onSite("narrow"),
		row("an algorithm that isn't accepted, and an unknown key",
			"RFC 8725, section 3.1", f.evil.token(alice(f.t)), errSignature,
			`"EdDSA"; accepted: ES256`).onSite("narrow"),
		row("an accepted algorithm with a key for another one", "RFC 8725, section 3.1",
			f.ec.withKID("rsa-1").token(alice(f.t)), errSignature, "ES256").onSite("narrow"),

		row("a key set with too many keys", "RFC 7517, section 5",
			f.ed.withKID("ed-1").token(alice(f.t)), errUnavailable).onSite("crowded"),
		row("a key set with only an encryption key", "RFC 7517, section 4.2",
			f.rsa.withKID("enc-1").token(alice(f.t)), errUnavailable).onSite("bare"),
		row("a key set behind a redirect", "RFC 9110, section 15.4", f.evil.token(alice(f.t)),
			errUnavailable, "redirect").onSite("redirect"),
		row("a key set in a 500 response", "RFC 9110, section 15.6.1", f.ed.token(alice(f.t)),
			errUnavailable, "500").onSite("down"),
		row("a key set in an HTML page", "RFC 7517, section 5", f.ed.token(alice(f.t)),
			errUnavailable).onSite("html"),
		row("a key set after a megabyte of spaces", "RFC 8259, section 9", f.ed.token(alice(f.t)),
			errUnavailable).onSite("large"),
	}
}
