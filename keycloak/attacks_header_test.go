package keycloak

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// algorithmAttacks let the token choose the verification algorithm.
func algorithmAttacks(f *forge) []attack {
	refused, malformed := identity.ErrTokenSignature, identity.ErrTokenMalformed
	// unsigned returns a token with this alg and an empty signature.
	unsigned := func(alg any) string {
		return f.input(f.header(f.ed, object{"alg": alg}), f.claims(object{"sub": "mallory"})) + "."
	}
	signed := func(alg any) string { return f.token(f.ed, object{"alg": alg}, nil) }
	rsaPublic, ecPublic := rsaKey().Public().(*rsa.PublicKey), p256Key().Public().(*ecdsa.PublicKey)
	spki, pkcs1 := must(x509.MarshalPKIXPublicKey(rsaPublic)), x509.MarshalPKCS1PublicKey(rsaPublic)
	toPEM := func(blockType string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})
	}
	publicPEM := toPEM("PUBLIC KEY", spki)
	point := must(ecPublic.Bytes())
	sshEC := append(append(sshString([]byte("ecdsa-sha2-nistp256")),
		sshString([]byte("nistp256"))...), sshString(point)...)
	edPublic := edKey().Public().(ed25519.PublicKey)
	sshEd := append(sshString([]byte("ssh-ed25519")), sshString(edPublic)...)
	b64 := base64.StdEncoding.EncodeToString
	hs := func(secret []byte) string { return f.mac("HS256", crypto.SHA256, "rsa-1", secret) }
	return []attack{
		row("alg none", "RFC 7518, section 3.6; CVE-2022-23540", unsigned("none"), refused,
			`alg is "none"`),
		row("alg None", "RFC 7515, section 4.1.1; CVE-2024-48916", unsigned("None"), refused,
			`alg is "None"`),
		row("alg NONE", "RFC 7515, section 4.1.1", unsigned("NONE"), refused, `alg is "NONE"`),
		row("alg nOnE", "RFC 7515, section 4.1.1", unsigned("nOnE"), refused, `alg is "nOnE"`),
		row("alg none with a trailing space", "RFC 7515, section 4.1.1", unsigned("none "), refused,
			`alg is "none "`),
		row("alg none with a trailing NUL byte", "RFC 7515, section 4.1.1", unsigned("none\x00"),
			refused, `alg is "none\u0000"`),
		row("alg none in full-width letters", "RFC 7515, section 10.13",
			unsigned("\uff4e\uff4f\uff4e\uff45"), refused, "ff4e"),
		row("alg none with a signature", "RFC 8725, section 3.2", signed("none"), refused,
			`alg is "none"`),
		row("alg none with an unknown kid", "RFC 7518, section 3.6",
			f.input(`{"alg":"none","kid":"unknown"}`, alice(f.t))+".", refused, `alg is "none"`),
		row("alg none in two parts", "RFC 7519, section 6",
			strings.TrimSuffix(unsigned("none"), "."), malformed, "dots: 2"),
		row("alg empty", "RFC 7515, section 4.1.1", unsigned(""), refused, `alg is ""`),
		row("alg missing", "RFC 7515, section 4.1.1", unsigned(absent), malformed,
			"alg is missing"),
		row("alg null", "RFC 7515, section 4.1.1", unsigned(nil), malformed, "alg"),
		row("alg false", "RFC 7515, section 4.1.1", unsigned(false), malformed, "alg"),
		row("alg 0", "RFC 7515, section 4.1.1", unsigned(0), malformed, "alg"),
		row("alg is a list", "RFC 7515, section 4.1.1", signed([]string{"EdDSA"}), malformed,
			"alg"),
		row("alg is an object", "RFC 7515, section 4.1.1", signed(object{"EdDSA": true}), malformed,
			"alg"),
		row("ALG instead of alg", "RFC 7515, section 4",
			f.token(f.ed, object{"alg": absent, "ALG": "EdDSA"}, nil), malformed, "alg is missing"),
		row("alg in lowercase", "RFC 7515, section 4.1.1", signed("eddsa"), refused,
			`alg is "eddsa"`),
		row("alg with a trailing space", "RFC 7515, section 4.1.1", signed("EdDSA "), refused,
			`alg is "EdDSA "`),
		row("alg Ed25519 instead of EdDSA", "RFC 9864, section 2.2", signed("Ed25519"), refused,
			`alg is "Ed25519"`),
		row("alg ES256K", "RFC 8812, section 3.2", signed("ES256K"), refused, `alg is "ES256K"`),
		row("alg RS1", "RFC 8725, section 3.2", signed("RS1"), refused, `alg is "RS1"`),
		row("alg for key encryption", "RFC 7518, section 4.1", signed("RSA-OAEP"), refused,
			`alg is "RSA-OAEP"`),
		row("alg dir", "RFC 7518, section 4.5", signed("dir"), refused, `alg is "dir"`),

		row("HS256 with the public key's PEM", "CVE-2015-9235; CVE-2016-10555", hs(publicPEM),
			refused, `alg is "HS256"`),
		row("HS256 with the PEM, without its last newline", "CVE-2015-9235",
			hs(publicPEM[:len(publicPEM)-1]), refused, `alg is "HS256"`),
		row("HS256 with the PEM after a newline", "RFC 8725, section 2.1",
			hs(append([]byte("\n"), publicPEM...)), refused, `alg is "HS256"`),
		row("HS256 with the public key's DER", "CVE-2016-5431", hs(spki), refused,
			`alg is "HS256"`),
		row("HS256 with the PKCS#1 PEM", "CVE-2017-11424; CVE-2023-48223",
			hs(toPEM("RSA PUBLIC KEY", pkcs1)), refused, `alg is "HS256"`),
		row("HS256 with the PKCS#1 DER", "RFC 8725, section 3.1", hs(pkcs1), refused,
			`alg is "HS256"`),
		row("HS256 with the key as Keycloak shows it",
			"Keycloak 26.7.4: the realm's public_key is the DER in base64", hs([]byte(b64(spki))),
			refused, `alg is "HS256"`),
		row("HS256 with the JWK", "RFC 8725, section 2.1", hs([]byte(toJSON(f.rsa.jwk()))), refused,
			`alg is "HS256"`),
		row("HS256 with the modulus", "RFC 7518, section 6.3.1.1", hs(rsaPublic.N.Bytes()), refused,
			`alg is "HS256"`),
		row("HS256 with a certificate", "RFC 8725, section 3.1",
			hs(toPEM("CERTIFICATE", f.certificate(rsaKey()))), refused, `alg is "HS256"`),
		row("HS384 with the public key's PEM", "CVE-2015-9235",
			f.mac("HS384", crypto.SHA384, "rsa-1", publicPEM), refused, `alg is "HS384"`),
		row("HS512 with the public key's PEM", "CVE-2015-9235",
			f.mac("HS512", crypto.SHA512, "rsa-1", publicPEM), refused, `alg is "HS512"`),
		row("HS256 with the EC key as OpenSSH writes it", "CVE-2022-29217; CVE-2024-33663",
			f.mac("HS256", crypto.SHA256, "ec-1", []byte("ecdsa-sha2-nistp256 "+b64(sshEC))),
			refused, `alg is "HS256"`),
		row("HS256 with the Ed25519 key as OpenSSH writes it", "CVE-2022-29217",
			f.mac("HS256", crypto.SHA256, "ed-1", []byte("ssh-ed25519 "+b64(sshEd))), refused,
			`alg is "HS256"`),
		row("HS256 with the bytes of the Ed25519 key", "RFC 8037, section 2",
			f.mac("HS256", crypto.SHA256, "ed-1", edPublic), refused, `alg is "HS256"`),
		row("HS256 with an empty secret", "CVE-2019-20933; CVE-2026-45363", hs(nil), refused,
			`alg is "HS256"`),
		row("HS256 with a guessable secret", "RFC 8725, section 2.2",
			hs([]byte("secret")), refused, `alg is "HS256"`),
		row("HS256 with the key ID as its secret", "CVE-2021-46743",
			f.mac("HS256", crypto.SHA256, "rsa-1", []byte("rsa-1")), refused, `alg is "HS256"`),
		row("RS256 with an HMAC for its signature", "RFC 8725, section 2.1",
			f.mac("RS256", crypto.SHA256, "rsa-1", publicPEM), refused, "signature"),

		row("RS256 with the kid of an EC key", "RFC 8725, section 3.1",
			f.rsa.withKID("ec-1").token(alice(f.t)), refused, "RS256"),
		row("ES256 with the kid of an RSA key", "RFC 8725, section 3.1",
			f.ec.withKID("rsa-1").token(alice(f.t)), refused, "ES256"),
		row("PS256 with the kid of an RS256 key", "RFC 8725, section 3.1",
			f.ps.withKID("rsa-1").token(alice(f.t)), refused, "PS256"),
		row("RS256 with the kid of a PS256 key", "RFC 8725, section 3.1",
			f.rsa.withKID("ps-1").token(alice(f.t)), refused, "RS256"),
		row("RS512 with the kid of an RS256 key", "RFC 7517, section 4.4",
			signer{"rsa-1", "RS512", rsaKey()}.token(alice(f.t)), refused, "RS512"),
		row("ES384 with the kid of a P-256 key", "RFC 7518, section 3.4",
			f.ec384.withKID("ec-1").token(alice(f.t)), refused, "ES384"),
		row("ES256 with the kid of a P-384 key", "RFC 7518, section 3.4",
			f.ec.withKID("ec-384").token(alice(f.t)), refused, "ES256"),
		row("EdDSA with the kid of an EC key", "RFC 8037, section 3.1",
			f.ed.withKID("ec-1").token(alice(f.t)), refused, "EdDSA"),
	}
}

// certificate returns a self-signed certificate of the key.
func (f *forge) certificate(key crypto.Signer) []byte {
	template := &x509.Certificate{SerialNumber: big.NewInt(1),
		Subject: pkix.Name{CommonName: "local"}, NotBefore: noon, NotAfter: noon.Add(time.Hour)}
	return must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
}

// headerAttacks use header members that offer keys, or change what the token means.
func headerAttacks(f *forge) []attack {
	refused, unknown, malformed, notAccepted := identity.ErrTokenSignature, identity.ErrKeyUnknown,
		identity.ErrTokenMalformed, identity.ErrTokenNotAccepted
	// ours is signed by the realm. forged and evil are signed by the attacker: forged with the
	// realm's kid ed-1, evil with the attacker's kid.
	ours := func(header object) string { return f.token(f.ed, header, nil) }
	forged := func(header object) string {
		return f.token(f.evil.withKID("ed-1"), header, object{"sub": "mallory"})
	}
	evil := func(header object) string { return f.token(f.evil, header, object{"sub": "mallory"}) }
	jwk, private := f.evil.jwk(), f.evil.jwk()
	private["d"] = f.secret()
	chain := []string{base64.StdEncoding.EncodeToString(f.certificate(otherEdKey()))}
	jku := f.canary.URL + "/certs"
	return []attack{
		row("at+jwt", "RFC 9068, section 2.1", ours(object{"typ": "at+jwt"}), nil),
		row("application/at+jwt in capitals", "RFC 7515, section 4.1.9",
			ours(object{"typ": "APPLICATION/AT+JWT"}), nil),
		row("a good token with other keys in its header", "RFC 7515, section 4.1",
			ours(object{"jwk": jwk, "jku": jku, "x5u": jku, "x5c": chain}), nil),

		row("a key in the header", "RFC 7515, section 4.1.3; CVE-2018-0114",
			evil(object{"jwk": jwk}), unknown, `"evil"`),
		row("a key in the header, with the realm's kid", "CVE-2018-0114",
			forged(object{"jwk": f.evil.withKID("ed-1").jwk()}), refused, "signature"),
		row("a key in the header, without a kid", "CVE-2018-0114",
			evil(object{"jwk": jwk, "kid": absent}), malformed, "kid is missing"),
		row("a private key in the header", "RFC 7515, section 4.1.3", evil(object{"jwk": private}),
			unknown, `"evil"`),
		row("a key set URL in the header", "RFC 7515, section 4.1.2", evil(object{"jku": jku}),
			unknown, `"evil"`),
		row("a key set URL, with the realm's kid", "RFC 7515, section 4.1.2",
			forged(object{"jku": jku}), refused, "signature"),
		row("a key set URL that looks like the realm's", "RFC 8725, section 2.9",
			forged(object{"jku": "http://localhost:8080@" + strings.TrimPrefix(jku, "http://") +
				"?" + localIssuer}), refused, "signature"),
		row("a key set URL of a file", "RFC 8725, section 2.9",
			forged(object{"jku": "file:///etc/passwd"}), refused, "signature"),
		row("a certificate URL", "RFC 7515, section 4.1.5", evil(object{"x5u": jku}), unknown,
			`"evil"`),
		row("a certificate URL, with the realm's kid", "RFC 7515, section 4.1.5",
			forged(object{"x5u": jku}), refused, "signature"),
		row("a certificate in the header", "RFC 7515, section 4.1.6", evil(object{"x5c": chain}),
			unknown, `"evil"`),
		row("a certificate, with the realm's kid", "RFC 7515, section 4.1.6",
			forged(object{"x5c": chain, "x5t": "x", "x5t#S256": "x"}), refused, "signature"),
		row("a certificate digest instead of a kid", "RFC 7515, section 4.1.8",
			ours(object{"kid": absent, "x5t#S256": "ed-1"}), malformed, "kid is missing"),
		row("all of these at once", "RFC 8725, section 2.9",
			forged(object{"jwk": jwk, "jku": jku, "x5u": jku, "x5c": chain, "url": jku,
				"iss": f.canary.URL}), refused, "signature"),

		row("crit with an unknown member", "RFC 7515, section 4.1.11; CVE-2025-59420",
			ours(object{"crit": []string{"http://example.com/UNDEFINED"},
				"http://example.com/UNDEFINED": true}), malformed, "crit"),
		row("crit with a claim", "RFC 7515, section 4.1.11",
			ours(object{"crit": []string{"exp"}, "exp": noonPlus(time.Hour)}), malformed, "crit"),
		row("crit with a known member", "RFC 7515, section 4.1.11",
			ours(object{"crit": []string{"alg"}}), malformed, "crit"),
		row("crit with a missing member", "RFC 7515, section 4.1.11",
			ours(object{"crit": []string{"b64"}}), malformed, "crit"),
		row("crit empty", "RFC 7515, section 4.1.11", ours(object{"crit": []string{}}), malformed,
			"crit"),
		row("crit null", "RFC 7515, section 4.1.11", ours(object{"crit": nil}), malformed, "crit"),
		row("crit is a string", "RFC 7515, section 4.1.11", ours(object{"crit": "b64"}), malformed,
			"crit"),
		row("crit in a forged token", "RFC 7515, section 4.1.11",
			forged(object{"crit": []string{"x"}, "x": 1}), malformed, "crit"),

		row("cty JWT", "RFC 7519, section 5.2", ours(object{"cty": "JWT"}), malformed, "cty"),
		row("cty JWT around a token", "RFC 7519, section 5.2",
			f.ed.sign(f.header(f.ed, object{"cty": "JWT"}), toJSON(f.token(f.evil, nil, nil))),
			malformed, "payload"),
		row("cty application/json", "RFC 7515, section 4.1.10",
			ours(object{"cty": "application/json"}), malformed, "cty"),
		row("cty null", "RFC 7515, section 4.1.10", ours(object{"cty": nil}), malformed, "cty"),
		row("cty empty", "RFC 7515, section 4.1.10", ours(object{"cty": ""}), malformed, "cty"),

		row("typ of a logout token", "OpenID Connect Back-Channel Logout 1.0, section 2.4",
			ours(object{"typ": "logout+jwt"}), notAccepted, "logout+jwt"),
		row("typ of a DPoP proof", "RFC 9449, section 4.2", ours(object{"typ": "dpop+jwt"}),
			notAccepted, "dpop+jwt"),
		row("typ of a security event", "RFC 8417, section 2.3", ours(object{"typ": "secevent+jwt"}),
			notAccepted, "secevent+jwt"),
		row("typ of an introspection response", "RFC 9701, section 5",
			ours(object{"typ": "token-introspection+jwt"}), notAccepted, "token-introspection+jwt"),
		row("typ of an authorization request", "RFC 9101, section 10.8",
			ours(object{"typ": "oauth-authz-req+jwt"}), notAccepted, "oauth-authz-req+jwt"),
		row("typ of an ID token", "RFC 8725, section 3.11", ours(object{"typ": "id_token+jwt"}),
			notAccepted, "id_token+jwt"),
		row("typ JOSE", "RFC 7515, section 4.1.9", ours(object{"typ": "JOSE"}), notAccepted,
			"JOSE"),
		row("typ JWE", "RFC 8725, section 3.11", ours(object{"typ": "JWE"}), notAccepted, "JWE"),
		row("typ with another media type tree", "RFC 7515, section 4.1.9",
			ours(object{"typ": "text/at+jwt"}), notAccepted, "text/at+jwt"),
		row("typ with application twice", "RFC 7515, section 4.1.9",
			ours(object{"typ": "application/application/jwt"}), notAccepted, "application"),
		row("typ with a parameter", "RFC 7515, section 4.1.9", ours(object{"typ": "at+jwt;v=1"}),
			notAccepted, "v=1"),
		row("typ with a trailing space", "RFC 7515, section 4.1.9", ours(object{"typ": "JWT "}),
			notAccepted, "JWT "),
		row("typ empty", "RFC 8725, section 3.11", ours(object{"typ": ""}), notAccepted, "typ"),
		row("typ null", "RFC 8725, section 3.11", ours(object{"typ": nil}), notAccepted, "typ"),
		row("typ is a list", "RFC 8725, section 3.11", ours(object{"typ": []string{"JWT"}}),
			notAccepted, "typ"),
		row("typ with a dotted capital I", "RFC 2045, section 5.1",
			ours(object{"typ": "appl\u0130cation/jwt"}), notAccepted, "typ"),
	}
}

// kidAttacks put into kid what a careless verifier would pass on to its key lookup.
func kidAttacks(f *forge) []attack {
	unknown, malformed := identity.ErrKeyUnknown, identity.ErrTokenMalformed
	forged := func(kid any) string { return f.token(f.evil, object{"kid": kid}, nil) }
	ours := func(kid any) string { return f.token(f.ed, object{"kid": kid}, nil) }
	source := "RFC 8725, section 2.9"
	return []attack{
		row("kid missing", "RFC 7515, section 4.1.4", ours(absent), malformed, "kid is missing"),
		row("kid null", "RFC 7515, section 4.1.4", ours(nil), malformed, "kid"),
		row("kid empty", "RFC 7515, section 4.1.4", ours(""), malformed, "kid"),
		row("kid is a number", "RFC 7515, section 4.1.4", ours(1), malformed, "kid is 1"),
		row("kid is a list", "RFC 7515, section 4.1.4", ours([]string{"ed-1"}), malformed, "kid"),
		row("kid is an object", "RFC 7515, section 4.1.4", ours(object{"$ne": nil}), malformed,
			"kid"),
		row("KID instead of kid", "RFC 7515, section 4",
			f.token(f.ed, object{"kid": absent, "KID": "ed-1"}, nil), malformed, "kid is missing"),
		row("kid too long", source, forged(strings.Repeat("k", 257)), malformed, "256"),
		row("kid is a path", source, forged("../../../../../../dev/null"), unknown, "dev/null"),
		row("kid is a device, signed with an empty secret", source,
			f.mac("HS256", crypto.SHA256, "../../../dev/null", nil), identity.ErrTokenSignature,
			`"HS256"`),
		row("kid is an SQL injection", source, forged("x' UNION SELECT 'secret' -- "), unknown,
			"UNION"),
		row("kid is a shell command", source, forged("ed-1|sleep 10"), unknown, "sleep"),
		row("kid is a URL", source, forged(f.canary.URL), unknown, "not in the key set"),
		row("kid is a file URL", source, forged("file:///etc/passwd"), unknown, "file"),
		row("kid is a JNDI lookup", "CVE-2021-44228",
			forged("${jndi:ldap://"+strings.TrimPrefix(f.canary.URL, "http://")+"/x}"), unknown,
			"jndi"),
		row("kid with a trailing NUL byte", source, ours("ed-1\x00"), unknown, "ed-1"),
		row("kid with a trailing space", "RFC 7515, section 4.1.4", ours("ed-1 "),
			unknown, "ed-1"),
		row("kid in capitals", "RFC 7515, section 4.1.4", ours("ED-1"), unknown,
			"ED-1"),
		row("kid is a prefix of the realm's", "RFC 7515, section 4.1.4", ours("ed"), unknown,
			`"ed"`),
		row("kid with a Unicode hyphen", "RFC 7515, section 10.13",
			ours("ed\u20101"), unknown, "2010"),
		row("kid is __proto__", source, forged("__proto__"), unknown, "__proto__"),
		row("kid is a wildcard", source, forged("*"), unknown, "*"),
		row("kid with a forged log line", source, forged("x\nlevel=ERROR msg=forged"), unknown,
			"forged"),
		row("kid of the encryption key", "RFC 7517, section 4.2",
			f.rsa.withKID("enc-1").token(alice(f.t)), unknown, `"enc-1"`),
		row("kid of a former key",
			"Keycloak 26.7.4: a key that is disabled or deleted leaves the key set",
			f.ed.withKID("ed-0").token(alice(f.t)), unknown, `"ed-0"`),
	}
}
