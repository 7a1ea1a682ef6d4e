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

// These RSA keys are weak, or have an unusual exponent. For cubeRSA, whose exponent is 3, anyone
// can forge a signature that passes a verifier without a complete padding check. For identityRSA,
// whose exponent is 1, a forged signature passes every verifier.
var (
	cubeRSA         = sync.OnceValue(func() weakRSA { return newWeakRSA(2048, 3) })
	longExponentRSA = sync.OnceValue(func() weakRSA { return newWeakRSA(2048, 1<<32+15) })
	rsa2047         = sync.OnceValue(func() weakRSA { return newWeakRSA(2047, 65537) })
	rsa1024         = sync.OnceValue(func() weakRSA { return newWeakRSA(1024, 65537) })
	identityRSA     = sync.OnceValue(func() weakRSA { return newWeakRSA(2048, 1) })
)

// changedJWK returns the JWK of a signing key, with changes.
func (f *forge) changedJWK(k signingKey, changes object) object {
	out := object{}
	for _, members := range []map[string]any{k.jwk(), changes} {
		for name, value := range members {
			if out[name] = value; value == absent {
				delete(out, name)
			}
		}
	}
	return out
}

// rejectedKeys returns a key set with keys that must be rejected, and a few that must be accepted.
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
	modulus16384 := new(big.Int).Lsh(big.NewInt(1), 16384)
	modulus16384.Sub(modulus16384, big.NewInt(1))
	keySet := jwks(
		ed("ed-1", nil), ec("no-alg", object{"alg": absent}),
		ed("ops-verify", object{"key_ops": []string{"sign", "verify"}}),
		rsa("use-enc", object{"use": "enc"}), ed("use-none", object{"use": absent}),
		ed("use-case", object{"use": "SIG"}), ed("use-list", object{"use": []string{"sig"}}),
		ed("ops-sign", object{"key_ops": []string{"sign"}}),
		ed("ops-empty", object{"key_ops": []string{}}),
		ed("ops-wrap", object{"key_ops": []string{"wrapKey", "deriveKey"}}),
		f.ed.withKID("twin").jwk(), f.attacker.withKID("twin").jwk(), ed("half-twin", nil),
		ed("half-twin", object{"use": "enc"}),
		ed("private", object{"d": f.newSecret()}), rsa("private-rsa", object{"d": f.newSecret()}),
		rsa("private-null", object{"d": nil}),
		rsa("private-primes", object{"p": f.newSecret(), "q": f.newSecret()}),
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
		rsa1024().jwk("rsa-1024"), rsa2047().jwk("rsa-2047"),
		rsaJWK("rsa-16384", modulus16384, big.NewInt(65537)),
		identityRSA().jwk("rsa-e1"), cubeRSA().jwk("rsa-e3"), longExponentRSA().jwk("rsa-e5bytes"),
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
	// A Go map can't have a duplicate member, so add the second kid to the JSON text.
	keyWithTwoKIDs := strings.Replace(toJSON(ed("inner-twice", nil)), "{",
		`{"kid":"inner-other",`, 1)
	return strings.TrimSuffix(keySet, "]}") + "," + keyWithTwoKIDs + "]}"
}

// keyAttacks returns tokens whose key is in the key set but must not be used. If the key can sign,
// the signature is correct.
func keyAttacks(f *forge) []attack {
	errKeyUnknown, errSignature := identity.ErrKeyUnknown, identity.ErrTokenSignature
	keyRow := func(name, source, token string, want error, detail string) attack {
		return row(name, source, token, want, detail).onSite("rejected keys")
	}
	edToken := func(kid string) string { return f.goodToken(f.ed.withKID(kid)) }
	rsaToken := func(kid string) string { return f.goodToken(f.rsa.withKID(kid)) }
	ecToken := func(kid string) string { return f.goodToken(f.ec.withKID(kid)) }
	zeroToken := func(alg, kid string) string {
		return f.compact(f.goodSigningInput(signingKey{kid, alg, nil}), make([]byte, 64))
	}
	// With a public key of order one, the same signature is valid for every message.
	forgedSignature := append(append([]byte{}, smallOrderPoints()[0]...), make([]byte, 32)...)
	cubicInput := f.goodSigningInput(signingKey{"rsa-e3", "RS256", nil})
	hmacToken := func(alg, kid string) string {
		return f.hmacToken(alg, crypto.SHA256, kid, []byte("secret"))
	}
	return []attack{
		keyRow("a key whose key_ops are sign and verify", "RFC 7517, section 4.3",
			edToken("ops-verify"), nil,
			""),
		keyRow("an EC key without alg, whose curve implies it", "RFC 7517, section 4.4",
			ecToken("no-alg"), nil, ""),

		keyRow("a key with use enc", "RFC 7517, section 4.2", rsaToken("use-enc"), errKeyUnknown,
			`"use-enc"`),
		keyRow("a key without use", "RFC 7517, section 4.2", edToken("use-none"), errKeyUnknown,
			`"use-none"`),
		keyRow("a key with use SIG", "RFC 7517, section 4.2", edToken("use-case"), errKeyUnknown,
			`"use-case"`),
		keyRow("a key whose use is a list", "RFC 7517, section 4.2", edToken("use-list"),
			errKeyUnknown, `"use-list"`),
		keyRow("a key whose key_ops has only sign", "RFC 7517, section 4.3", edToken("ops-sign"),
			errKeyUnknown, "key_ops"),
		keyRow("a key with empty key_ops", "RFC 7517, section 4.3", edToken("ops-empty"),
			errKeyUnknown, "key_ops"),
		keyRow("a key with key_ops for encryption", "RFC 7517, section 4.3", edToken("ops-wrap"),
			errKeyUnknown, "key_ops"),
		keyRow("two keys with one kid, signed with the first", "RFC 7517, section 4.5",
			edToken("twin"), errKeyUnknown, "more than one"),
		keyRow("two keys with one kid, signed with the second", "RFC 7517, section 4.5",
			f.goodToken(f.attacker.withKID("twin")), errKeyUnknown, "more than one"),
		keyRow("an encryption key with the signing key's kid",
			"RFC 7517, section 4.5", edToken("half-twin"), nil, ""),
		keyRow("a key set that publishes a private key", "RFC 7517, section 9.2",
			edToken("private"),
			errKeyUnknown, "private"),
		keyRow("a key set that publishes a private RSA key", "RFC 7518, section 6.3.2",
			rsaToken("private-rsa"), errKeyUnknown, "private"),
		keyRow("an RSA key whose d is null", "RFC 7518, section 6.3.2", rsaToken("private-null"),
			errKeyUnknown, "private"),
		keyRow("a key in padded base64url", "RFC 7518, section 2", edToken("x-padded"),
			errKeyUnknown, "base64url"),
		keyRow("a key with a line break", "RFC 7518, section 2", rsaToken("n-lines"), errKeyUnknown,
			"base64url"),
		keyRow("a coordinate with too many bytes", "RFC 7518, section 6.2.1.2", ecToken("x-long"),
			errKeyUnknown, `"x-long"`),
		keyRow("a key in a list", "RFC 8037, section 2", edToken("x-list"), errKeyUnknown,
			`"x-list"`),
		keyRow("a kid that is too long, in the key set too", "RFC 7517, section 4.5",
			edToken(strings.Repeat("k", 256)+"k"), identity.ErrTokenMalformed, "256"),
		keyRow("a kid that is a number in the key set", "RFC 7517, section 4.5", edToken("7"),
			errKeyUnknown, `"7"`),
		keyRow("a key with KID instead of kid", "RFC 7517, section 4", edToken("kid-case"),
			errKeyUnknown, `"kid-case"`),
		keyRow("a key with two kids, the token with the first", "RFC 7517, section 4",
			edToken("inner-other"),
			errKeyUnknown, `"inner-other"`),
		keyRow("a key with two kids, the token with the last", "RFC 7517, section 4",
			edToken("inner-twice"),
			errKeyUnknown, `"inner-twice"`),

		keyRow("an RSA key without alg", "RFC 8725, section 3.1", rsaToken("no-alg-rsa"),
			errKeyUnknown, "its alg is missing"),
		keyRow("a key with alg none", "RFC 7518, section 3.6", rsaToken("alg-none"), errKeyUnknown,
			`its alg is "none"`),
		keyRow("a key with an encryption alg", "RFC 7517, section 4.4", rsaToken("alg-oaep"),
			errKeyUnknown, `its alg is "RSA-OAEP"`),
		keyRow("an RSA key with an EC alg", "RFC 7518, section 3.1", rsaToken("alg-ec"),
			errKeyUnknown, "ES256"),
		keyRow("a P-256 key with alg ES384", "RFC 7518, section 3.4", ecToken("alg-es384"),
			errKeyUnknown, `"alg-es384"`),
		keyRow("a P-384 key with alg ES256", "RFC 7518, section 3.4",
			zeroToken("ES256", "ec-384-256"), errKeyUnknown, `"ec-384-256"`),
		keyRow("a P-256 key with alg ES256K", "RFC 8812, section 3.2", ecToken("alg-k"),
			errKeyUnknown, `its alg is "ES256K"`),
		keyRow("an Ed25519 key with alg HS256", "RFC 8725, section 3.1", edToken("alg-hs"),
			errKeyUnknown, `its alg is "HS256"`),
		keyRow("a key with alg in lowercase", "RFC 7517, section 4.4", edToken("alg-case"),
			errKeyUnknown, `its alg is "eddsa"`),
		keyRow("HS256 with a secret from the key set", "RFC 7518, section 6.4", hmacToken("HS256",
			"oct-1"), errSignature, `"HS256"`),
		keyRow("RS256 with a secret from the key set", "RFC 7518, section 6.4", hmacToken("RS256",
			"oct-rs"), errKeyUnknown, "oct"),

		keyRow("RSA with 1024 bits", "RFC 7518, section 3.3", rsa1024().token(f, "rsa-1024"),
			errKeyUnknown, `"rsa-1024"`),
		keyRow("RSA with 2047 bits", "RFC 7518, section 3.3", rsa2047().token(f, "rsa-2047"),
			errKeyUnknown, `"rsa-2047"`),
		keyRow("RSA with 16384 bits", "CVE-2023-29409", zeroToken("RS256", "rsa-16384"),
			errKeyUnknown, `"rsa-16384"`),
		keyRow("RSA with exponent 1, where the padded digest is the signature",
			"RFC 7518, section 6.3.1.2", identityRSA().token(f, "rsa-e1"), errKeyUnknown,
			`"rsa-e1"`),
		keyRow("RSA with exponent 3", "RFC 7518, section 6.3.1.2", cubeRSA().token(f, "rsa-e3"),
			errKeyUnknown, `"rsa-e3"`),
		keyRow("RSA with exponent 3, forged with a cube root", "CVE-2006-4339",
			f.compact(cubicInput, forgeCubeRoot(cubicInput)), errKeyUnknown, `"rsa-e3"`),
		keyRow("RSA with an exponent of five bytes", "RFC 7518, section 6.3.1.2",
			longExponentRSA().token(f, "rsa-e5bytes"), errKeyUnknown, `"rsa-e5bytes"`),
		keyRow("RSA with an exponent whose low 64 bits are 65537", "RFC 7518, section 6.3.1.2",
			rsaToken("rsa-e9bytes"), errKeyUnknown, `"rsa-e9bytes"`),
		keyRow("RSA with an even exponent", "RFC 7518, section 6.3.1.2", zeroToken("RS256",
			"rsa-even"), errKeyUnknown, `"rsa-even"`),
		keyRow("RSA with exponent 0", "RFC 7518, section 6.3.1.2",
			f.compact(f.goodSigningInput(signingKey{"rsa-e0", "RS256", nil}),
				big.NewInt(1).FillBytes(make([]byte, 256))), errKeyUnknown, `"rsa-e0"`),
		keyRow("a point that isn't on the curve", "CVE-2017-12974", zeroToken("ES256", "ec-off"),
			errKeyUnknown, `"ec-off"`),
		keyRow("a point with zero coordinates", "RFC 8725, section 3.4",
			zeroToken("ES256", "ec-zero"), errKeyUnknown, `"ec-zero"`),
		keyRow("a P-224 key", "RFC 7518, section 6.2.1.1",
			zeroToken("ES256", "ec-224"), errKeyUnknown, `"ec-224"`),
		keyRow("a secp256k1 key", "RFC 8812, section 3.1", zeroToken("ES256", "ec-k"),
			errKeyUnknown, `"ec-k"`),
		keyRow("a point on another curve", "RFC 7518, section 6.2.1.1",
			zeroToken("ES384", "ec-384"), errKeyUnknown, `"ec-384"`),
		keyRow("an X25519 key, which is for key agreement", "RFC 8037, section 3.2",
			zeroToken("EdDSA", "ed-x25519"),
			errKeyUnknown, `"ed-x25519"`),
		keyRow("an Ed25519 key of 31 bytes", "RFC 8032, section 5.1.7",
			zeroToken("EdDSA", "ed-short"), errKeyUnknown, `"ed-short"`),
		keyRow("an Ed448 key", "RFC 8037, section 2", zeroToken("EdDSA", "ed-448"), errKeyUnknown,
			`its crv is "Ed448"`),
		keyRow("a key set that publishes an RSA key's primes", "RFC 7518, section 6.3.2",
			rsaToken("private-primes"), errKeyUnknown, "private"),
		keyRow("a public key of order one, for which anyone can sign", "RFC 8725, section 3.4",
			f.compact(f.goodSigningInput(f.ed.withKID("ed-order1")), forgedSignature),
			errKeyUnknown, `"ed-order1"`),
		keyRow("a public key of order four", "RFC 8725, section 3.4",
			f.compact(f.goodSigningInput(f.ed.withKID("ed-order4")), forgedSignature),
			errKeyUnknown, `"ed-order4"`),
	}
}

// forgeCubeRoot returns a forged signature for any RSA key with exponent 3. The signature's cube
// starts like a block with too little padding, and ends in garbage that a careless verifier doesn't
// read.
func forgeCubeRoot(input string) []byte {
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

// realmAttacks returns tokens signed with another realm's keys, with an algorithm that the site
// doesn't accept, or with keys that can't be fetched.
func realmAttacks(f *forge) []attack {
	errKeyUnknown, errSignature, errUnavailable := identity.ErrKeyUnknown,
		identity.ErrTokenSignature, identity.ErrKeysUnavailable
	// Both realms have a key with the kid ed-1, as happens when a realm is copied.
	theirKey := f.attacker.withKID("ed-1")
	token := func(k signingKey, issuer string) string {
		return f.token(k, nil, object{"iss": issuer})
	}
	source := "RFC 8725, section 3.8"
	return []attack{
		row("the other realm's own token", source, token(theirKey, otherIssuer),
			nil).onSite("two realms"),
		row("our issuer, the other realm's key with the same kid", source,
			token(theirKey, localIssuer), errSignature, "signature").onSite("two realms"),
		row("the other issuer, our key with the same kid", source, token(f.ed, otherIssuer),
			errSignature, "signature").onSite("two realms"),
		row("our issuer, a key that only the other realm has", source,
			token(f.ec.withKID("only-theirs"), localIssuer), errKeyUnknown,
			`"only-theirs"`).onSite("two realms"),
		row("an issuer that is neither realm", source, token(theirKey, localIssuer+"/../other"),
			identity.ErrTokenNotAccepted, otherIssuer).onSite("two realms"),

		row("an algorithm that isn't accepted", "RFC 8725, section 3.1",
			f.goodToken(f.rsa), errSignature, `"RS256"; accepted: ES256`).onSite(
			"only ES256"),
		row("an algorithm that isn't accepted, with an unknown key",
			"RFC 8725, section 3.1", f.goodToken(f.attacker), errSignature,
			`"EdDSA"; accepted: ES256`).onSite("only ES256"),
		row("an accepted algorithm with a key for another one", "RFC 8725, section 3.1",
			f.goodToken(f.ec.withKID("rsa-1")), errSignature, "ES256").onSite(
			"only ES256"),

		row("a key set with too many keys", "RFC 7517, section 5",
			f.goodToken(f.ed.withKID("ed-1")), errUnavailable).onSite("too many keys"),
		row("a key set with only an encryption key", "RFC 7517, section 4.2",
			f.goodToken(f.rsa.withKID("enc-1")), errUnavailable).onSite(
			"no signing key"),
		row("a key set behind a redirect", "RFC 9110, section 15.4",
			f.goodToken(f.attacker),
			errUnavailable, "redirect").onSite("redirect"),
		row("a key set in a 500 response", "RFC 9110, section 15.6.1", f.goodToken(f.ed),
			errUnavailable, "500").onSite("500"),
		row("a key set in an HTML page", "RFC 7517, section 5", f.goodToken(f.ed),
			errUnavailable).onSite("html"),
		row("a key set after a megabyte of spaces", "RFC 8259, section 9",
			f.goodToken(f.ed),
			errUnavailable).onSite("large"),
	}
}
