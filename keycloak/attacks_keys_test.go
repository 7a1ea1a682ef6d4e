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

// cubeRSA is a key whose exponent lets anybody forge for who doesn't check the whole padding; the
// next two have exponents that are no better, and moduli that are too small.
var (
	cubeRSA     = sync.OnceValue(func() smallRSA { return newSmallRSA(2048, 3) })
	wideRSA     = sync.OnceValue(func() smallRSA { return newSmallRSA(2048, 1<<32+15) })
	narrowRSA   = sync.OnceValue(func() smallRSA { return newSmallRSA(2047, 65537) })
	tinyRSA     = sync.OnceValue(func() smallRSA { return newSmallRSA(1024, 65537) })
	identityRSA = sync.OnceValue(func() smallRSA { return newSmallRSA(2048, 1) })
)

// changed is a key set's entry with changes.
func (f *forge) changed(s signer, changes object) object {
	out := object{}
	for _, members := range []map[string]any{s.jwk(), changes} {
		for name, value := range members {
			if out[name] = value; value == gone {
				delete(out, name)
			}
		}
	}
	return out
}

// oddKeys is a set of keys that must not be used, but for two, and one that names two of its own.
func (f *forge) oddKeys() string {
	ed := func(kid string, changes object) object { return f.changed(f.as(f.ed, kid), changes) }
	ec := func(kid string, changes object) object { return f.changed(f.as(f.ec, kid), changes) }
	rsa := func(kid string, changes object) object { return f.changed(f.as(f.rsa, kid), changes) }
	huge := new(big.Int).Lsh(big.NewInt(1), 16384)
	huge.Sub(huge, big.NewInt(1))
	set := certs(
		ed("ed-1", nil), ec("no-alg", object{"alg": gone}),
		ed("ops-verify", object{"key_ops": []string{"sign", "verify"}}),
		rsa("use-enc", object{"use": "enc"}), ed("use-none", object{"use": gone}),
		ed("use-case", object{"use": "SIG"}), ed("use-list", object{"use": []string{"sig"}}),
		ed("ops-sign", object{"key_ops": []string{"sign"}}),
		ed("ops-empty", object{"key_ops": []string{}}),
		ed("ops-wrap", object{"key_ops": []string{"wrapKey", "deriveKey"}}),
		f.as(f.ed, "twin").jwk(), f.as(f.evil, "twin").jwk(), ed("half-twin", nil),
		ed("half-twin", object{"use": "enc"}),
		ed("private", object{"d": f.secret()}), rsa("private-rsa", object{"d": f.secret()}),
		rsa("private-null", object{"d": nil}),
		rsa("private-primes", object{"p": f.secret(), "q": f.secret()}),
		ed("x-padded", object{"x": base64url(edKey().Public().(ed25519.PublicKey)) + "="}),
		rsa("n-lines", object{"n": "\n" + f.rsa.jwk()["n"].(string)}),
		ec("x-long", object{"x": "AAAA" + f.ec.jwk()["x"].(string)}),
		ed("x-list", object{"x": []string{f.ed.jwk()["x"].(string)}}),
		ed("", nil), ed("x", object{"kid": 7}), ed(strings.Repeat("k", 256)+"k", nil),
		ed("kid-case", object{"kid": gone, "KID": "kid-case"}),
		rsa("no-alg-rsa", object{"alg": gone}), rsa("alg-none", object{"alg": "none"}),
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
		f.changed(f.as(f.ec384, "ec-384-256"), object{"alg": "ES256"}),
		ec("ec-off", object{"y": base64url(make([]byte, 32))}),
		ec("ec-zero", object{"x": base64url(make([]byte, 32)), "y": base64url(make([]byte, 32))}),
		ec("ec-224", object{"crv": "P-224"}), ec("ec-k", object{"crv": "secp256k1", "alg": gone}),
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
	// No JSON of a map has a name twice.
	twice := strings.Replace(toJSON(ed("inner-twice", nil)), "{", `{"kid":"inner-other",`, 1)
	return strings.TrimSuffix(set, "]}") + "," + twice + "]}"
}

// keyAttacks are tokens whose key is in the set and must not be used: good signatures, where there
// can be any.
func keyAttacks(f *forge) []attack {
	unknown, refused := identity.ErrKeyUnknown, identity.ErrTokenSignature
	odd := func(name, source, token string, want error, says string) attack {
		return row(name, source, token, want, says).on("odd")
	}
	ed := func(kid string) string { return f.as(f.ed, kid).token(alice(f.t)) }
	rs := func(kid string) string { return f.as(f.rsa, kid).token(alice(f.t)) }
	ec := func(kid string) string { return f.as(f.ec, kid).token(alice(f.t)) }
	zero := func(alg, kid string) string {
		return f.spend(f.good(signer{kid, alg, nil}), make([]byte, 64))
	}
	// A point of order one is a factor that vanishes: with it, one signature is good for every
	// text.
	forged := append(append([]byte{}, smallPoints()[0]...), make([]byte, 32)...)
	cubic := f.good(signer{"rsa-e3", "RS256", nil})
	oct := func(alg, kid string) string {
		return f.mac(alg, crypto.SHA256, kid, []byte("secret"))
	}
	return []attack{
		odd("a key for verifying among others", "RFC 7517, section 4.3", ed("ops-verify"), nil, ""),
		odd("a key without alg, whose curve has one", "RFC 7517, section 4.4", ec("no-alg"), nil,
			""),

		odd("use enc", "RFC 7517, section 4.2", rs("use-enc"), unknown, `"use-enc"`),
		odd("use missing", "RFC 7517, section 4.2", ed("use-none"), unknown, `"use-none"`),
		odd("use in another case", "RFC 7517, section 4.2", ed("use-case"), unknown, `"use-case"`),
		odd("use a list", "RFC 7517, section 4.2", ed("use-list"), unknown, `"use-list"`),
		odd("key_ops sign alone", "RFC 7517, section 4.3", ed("ops-sign"), unknown, "key_ops"),
		odd("key_ops empty", "RFC 7517, section 4.3", ed("ops-empty"), unknown, "key_ops"),
		odd("key_ops of encryption", "RFC 7517, section 4.3", ed("ops-wrap"), unknown, "key_ops"),
		odd("a kid that two keys have, by the first", "RFC 7517, section 4.5", ed("twin"), unknown,
			"more than one"),
		odd("a kid that two keys have, by the second", "RFC 7517, section 4.5",
			f.as(f.evil, "twin").token(alice(f.t)), unknown, "more than one"),
		odd("a kid that a key for encryption has too, which isn't in question",
			"RFC 7517, section 4.5", ed("half-twin"), nil, ""),
		odd("a key whose private half everybody can read", "RFC 7517, section 9.2", ed("private"),
			unknown, "private"),
		odd("an RSA key whose private half everybody can read", "RFC 7518, section 6.3.2",
			rs("private-rsa"), unknown, "private"),
		odd("a key that has a private half of null", "RFC 7518, section 6.3.2", rs("private-null"),
			unknown, "private"),
		odd("a key with padding", "RFC 7518, section 2", ed("x-padded"), unknown, "base64url"),
		odd("a key with a line end", "RFC 7518, section 2", rs("n-lines"), unknown, "base64url"),
		odd("a coordinate of too many bytes", "RFC 7518, section 6.2.1.2", ec("x-long"), unknown,
			`"x-long"`),
		odd("a key in a list", "RFC 8037, section 2", ed("x-list"), unknown, `"x-list"`),
		odd("a kid that is too long in the set too", "RFC 7517, section 4.5",
			ed(strings.Repeat("k", 256)+"k"), identity.ErrTokenMalformed, "256"),
		odd("a kid that is a number in the set", "RFC 7517, section 4.5", ed("7"), unknown, `"7"`),
		odd("a key that names itself KID", "RFC 7517, section 4", ed("kid-case"), unknown,
			`"kid-case"`),
		odd("a key of two names, by the first", "RFC 7517, section 4", ed("inner-other"), unknown,
			`"inner-other"`),
		odd("a key of two names, by the last", "RFC 7517, section 4", ed("inner-twice"), unknown,
			`"inner-twice"`),

		odd("an RSA key without alg", "RFC 8725, section 3.1", rs("no-alg-rsa"), unknown,
			"its alg is missing"),
		odd("a key with alg none", "RFC 7518, section 3.6", rs("alg-none"), unknown,
			`its alg is "none"`),
		odd("a key with alg of encryption", "RFC 7517, section 4.4", rs("alg-oaep"), unknown,
			`its alg is "RSA-OAEP"`),
		odd("an RSA key with alg of EC", "RFC 7518, section 3.1", rs("alg-ec"), unknown, "ES256"),
		odd("a P-256 key with alg ES384", "RFC 7518, section 3.4", ec("alg-es384"), unknown,
			`"alg-es384"`),
		odd("a P-384 key with alg ES256", "RFC 7518, section 3.4", zero("ES256", "ec-384-256"),
			unknown, `"ec-384-256"`),
		odd("a P-256 key with alg ES256K", "RFC 8812, section 3.2", ec("alg-k"), unknown,
			`its alg is "ES256K"`),
		odd("an Ed25519 key with alg HS256", "RFC 8725, section 3.1", ed("alg-hs"), unknown,
			`its alg is "HS256"`),
		odd("a key with alg in lower case", "RFC 7517, section 4.4", ed("alg-case"), unknown,
			`its alg is "eddsa"`),
		odd("HS256 with a secret of the set", "RFC 7518, section 6.4", oct("HS256", "oct-1"),
			refused, `"HS256"`),
		odd("RS256 with a secret of the set", "RFC 7518, section 6.4", oct("RS256", "oct-rs"),
			unknown, "oct"),

		odd("RSA of 1024 bits", "RFC 7518, section 3.3", tinyRSA().token(f, "rsa-1024"), unknown,
			`"rsa-1024"`),
		odd("RSA of 2047 bits", "RFC 7518, section 3.3", narrowRSA().token(f, "rsa-2047"), unknown,
			`"rsa-2047"`),
		odd("RSA of 16384 bits", "CVE-2023-29409", zero("RS256", "rsa-16384"), unknown,
			`"rsa-16384"`),
		odd("RSA of exponent 1, which forges itself", "RFC 7518, section 6.3.1.2",
			identityRSA().token(f, "rsa-e1"), unknown, `"rsa-e1"`),
		odd("RSA of exponent 3", "RFC 7518, section 6.3.1.2", cubeRSA().token(f, "rsa-e3"), unknown,
			`"rsa-e3"`),
		odd("RSA of exponent 3, forged by a cube root", "CVE-2006-4339",
			f.spend(cubic, cubeRoot(cubic)), unknown, `"rsa-e3"`),
		odd("RSA of an exponent of five bytes", "RFC 7518, section 6.3.1.2",
			wideRSA().token(f, "rsa-e5bytes"), unknown, `"rsa-e5bytes"`),
		odd("RSA of an exponent whose low 64 bits are good", "RFC 7518, section 6.3.1.2",
			rs("rsa-e9bytes"), unknown, `"rsa-e9bytes"`),
		odd("RSA of an even exponent", "RFC 7518, section 6.3.1.2", zero("RS256", "rsa-even"),
			unknown, `"rsa-even"`),
		odd("RSA of exponent 0", "RFC 7518, section 6.3.1.2",
			f.spend(f.good(signer{"rsa-e0", "RS256", nil}),
				big.NewInt(1).FillBytes(make([]byte, 256))), unknown, `"rsa-e0"`),
		odd("a point beside the curve", "CVE-2017-12974", zero("ES256", "ec-off"), unknown,
			`"ec-off"`),
		odd("a point of zeros", "RFC 8725, section 3.4", zero("ES256", "ec-zero"), unknown,
			`"ec-zero"`),
		odd("a curve that is too small", "RFC 7518, section 6.2.1.1", zero("ES256", "ec-224"),
			unknown, `"ec-224"`),
		odd("a curve of other people", "RFC 8812, section 3.1", zero("ES256", "ec-k"), unknown,
			`"ec-k"`),
		odd("a point of another curve", "RFC 7518, section 6.2.1.1", zero("ES384", "ec-384"),
			unknown, `"ec-384"`),
		odd("a key for key agreement", "RFC 8037, section 3.2", zero("EdDSA", "ed-x25519"), unknown,
			`"ed-x25519"`),
		odd("an Ed25519 key of 31 bytes", "RFC 8032, section 5.1.7", zero("EdDSA", "ed-short"),
			unknown, `"ed-short"`),
		odd("an Ed448 key", "RFC 8037, section 2", zero("EdDSA", "ed-448"), unknown,
			`its crv is "Ed448"`),
		odd("a key whose primes everybody can read", "RFC 7518, section 6.3.2",
			rs("private-primes"), unknown, "private"),
		odd("a point of order one for a key, which forges itself", "RFC 8725, section 3.4",
			f.spend(f.good(f.as(f.ed, "ed-order1")), forged), unknown, `"ed-order1"`),
		odd("a point of order four for a key", "RFC 8725, section 3.4",
			f.spend(f.good(f.as(f.ed, "ed-order4")), forged), unknown, `"ed-order4"`),
	}
}

// cubeRoot forges a signature for an exponent of 3: its cube begins like a block, short of filling,
// and ends in what nobody should have left unread.
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

// realmAttacks come from a neighbour, or while the realm's keys can't be had.
func realmAttacks(f *forge) []attack {
	unknown, refused, unavailable := identity.ErrKeyUnknown, identity.ErrTokenSignature,
		identity.ErrKeysUnavailable
	// the same name in both realms, as happens when a realm is copied
	theirs := f.as(f.evil, "ed-1")
	of := func(s signer, issuer string) string { return f.token(s, nil, object{"iss": issuer}) }
	source := "RFC 8725, section 3.8"
	return []attack{
		row("the neighbour's token", source, of(theirs, otherIssuer), nil).on("neighbours"),
		row("our issuer, the neighbour's key of one name", source, of(theirs, localIssuer), refused,
			"signature").on("neighbours"),
		row("the neighbour's issuer, our key of one name", source, of(f.ed, otherIssuer), refused,
			"signature").on("neighbours"),
		row("our issuer, a key that only the neighbour has", source,
			of(f.as(f.ec, "only-theirs"), localIssuer), unknown, `"only-theirs"`).on("neighbours"),
		row("an issuer that neither is", source, of(theirs, localIssuer+"/../other"),
			identity.ErrTokenNotAccepted, otherIssuer).on("neighbours"),

		row("an algorithm that this site doesn't accept", "RFC 8725, section 3.1",
			f.rsa.token(alice(f.t)), refused, `"RS256"; accepted: ES256`).on("narrow"),
		row("an algorithm that this site doesn't accept, and an unknown key",
			"RFC 8725, section 3.1", f.evil.token(alice(f.t)), refused,
			`"EdDSA"; accepted: ES256`).on("narrow"),
		row("the algorithm that this site accepts, and another's key", "RFC 8725, section 3.1",
			f.as(f.ec, "rsa-1").token(alice(f.t)), refused, "ES256").on("narrow"),

		row("a set of more keys than a realm has", "RFC 7517, section 5",
			f.as(f.ed, "ed-1").token(alice(f.t)), unavailable).on("crowded"),
		row("a set with only a key for encryption", "RFC 7517, section 4.2",
			f.as(f.rsa, "enc-1").token(alice(f.t)), unavailable).on("bare"),
		row("a set that is elsewhere", "RFC 9110, section 15.4", f.evil.token(alice(f.t)),
			unavailable, "redirect").on("moved"),
		row("a set in an answer of failure", "RFC 9110, section 15.6.1", f.ed.token(alice(f.t)),
			unavailable, "500").on("down"),
		row("a set in a page", "RFC 7517, section 5", f.ed.token(alice(f.t)),
			unavailable).on("page"),
		row("a set behind a megabyte of blanks", "RFC 8259, section 9", f.ed.token(alice(f.t)),
			unavailable).on("flood"),
	}
}
