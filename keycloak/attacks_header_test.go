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

// algorithmAttacks returns tokens whose alg tries to make the verifier use a weaker algorithm, or a
// key with the wrong algorithm.
func algorithmAttacks(f *forge) []attack {
	errSignature, errMalformed := identity.ErrTokenSignature, identity.ErrTokenMalformed
	// unsignedToken returns a token with this alg and an empty signature.
	unsignedToken := func(alg any) string {
		return f.signingInput(f.header(f.ed, object{"alg": alg}),
			f.claims(object{"sub": "mallory"})) + "."
	}
	signedToken := func(alg any) string { return f.token(f.ed, object{"alg": alg}, nil) }
	rsaPublic, ecPublic := rsaKey().Public().(*rsa.PublicKey), p256Key().Public().(*ecdsa.PublicKey)
	spkiDER := must(x509.MarshalPKIXPublicKey(rsaPublic))
	pkcs1DER := x509.MarshalPKCS1PublicKey(rsaPublic)
	toPEM := func(blockType string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})
	}
	publicPEM := toPEM("PUBLIC KEY", spkiDER)
	point := must(ecPublic.Bytes())
	sshECKey := append(append(sshString([]byte("ecdsa-sha2-nistp256")),
		sshString([]byte("nistp256"))...), sshString(point)...)
	edPublic := edKey().Public().(ed25519.PublicKey)
	sshEdKey := append(sshString([]byte("ssh-ed25519")), sshString(edPublic)...)
	b64 := base64.StdEncoding.EncodeToString
	hs256Token := func(secret []byte) string {
		return f.hmacToken("HS256", crypto.SHA256, "rsa-1", secret)
	}
	return []attack{
		row("alg none", "RFC 7518, section 3.6; CVE-2022-23540", unsignedToken("none"),
			errSignature, `alg is "none"`),
		row("alg None", "RFC 7515, section 4.1.1; CVE-2024-48916", unsignedToken("None"),
			errSignature, `alg is "None"`),
		row("alg NONE", "RFC 7515, section 4.1.1", unsignedToken("NONE"), errSignature,
			`alg is "NONE"`),
		row("alg nOnE", "RFC 7515, section 4.1.1", unsignedToken("nOnE"), errSignature,
			`alg is "nOnE"`),
		row("alg none with a trailing space", "RFC 7515, section 4.1.1", unsignedToken("none "),
			errSignature, `alg is "none "`),
		row("alg none with a trailing NUL byte", "RFC 7515, section 4.1.1",
			unsignedToken("none\x00"), errSignature, `alg is "none\u0000"`),
		row("alg none in full-width letters", "RFC 7515, section 10.13",
			unsignedToken("\uff4e\uff4f\uff4e\uff45"), errSignature, "ff4e"),
		row("alg none with a signature", "RFC 8725, section 3.2", signedToken("none"), errSignature,
			`alg is "none"`),
		row("alg none with an unknown kid", "RFC 7518, section 3.6",
			f.signingInput(`{"alg":"none","kid":"unknown"}`, f.payload)+".", errSignature,
			`alg is "none"`),
		row("alg none in a token of two parts", "RFC 7519, section 6",
			strings.TrimSuffix(unsignedToken("none"), "."), errMalformed, "dots: 2"),
		row("alg is empty", "RFC 7515, section 4.1.1", unsignedToken(""), errSignature,
			`alg is ""`),
		row("alg missing", "RFC 7515, section 4.1.1", unsignedToken(absent), errMalformed,
			"alg is missing"),
		row("alg is null", "RFC 7515, section 4.1.1", unsignedToken(nil), errMalformed, "alg"),
		row("alg is false", "RFC 7515, section 4.1.1", unsignedToken(false), errMalformed, "alg"),
		row("alg is 0", "RFC 7515, section 4.1.1", unsignedToken(0), errMalformed, "alg"),
		row("alg is a list", "RFC 7515, section 4.1.1", signedToken([]string{"EdDSA"}),
			errMalformed, "alg"),
		row("alg is an object", "RFC 7515, section 4.1.1", signedToken(object{"EdDSA": true}),
			errMalformed, "alg"),
		row("ALG instead of alg", "RFC 7515, section 4", f.token(f.ed, object{"alg": absent,
			"ALG": "EdDSA"}, nil), errMalformed, "alg is missing"),
		row("alg in lowercase", "RFC 7515, section 4.1.1", signedToken("eddsa"), errSignature,
			`alg is "eddsa"`),
		row("alg with a trailing space", "RFC 7515, section 4.1.1", signedToken("EdDSA "),
			errSignature, `alg is "EdDSA "`),
		row("alg Ed25519 instead of EdDSA", "RFC 9864, section 2.2", signedToken("Ed25519"),
			errSignature, `alg is "Ed25519"`),
		row("alg ES256K", "RFC 8812, section 3.2", signedToken("ES256K"), errSignature,
			`alg is "ES256K"`),
		row("alg RS1", "RFC 8725, section 3.2", signedToken("RS1"), errSignature, `alg is "RS1"`),
		row("alg for key encryption", "RFC 7518, section 4.1", signedToken("RSA-OAEP"),
			errSignature, `alg is "RSA-OAEP"`),
		row("alg dir", "RFC 7518, section 4.5", signedToken("dir"), errSignature, `alg is "dir"`),

		row("HS256 with the public key's PEM", "CVE-2015-9235; CVE-2016-10555",
			hs256Token(publicPEM), errSignature, `alg is "HS256"`),
		row("HS256 with the PEM, without its last newline", "CVE-2015-9235",
			hs256Token(publicPEM[:len(publicPEM)-1]), errSignature, `alg is "HS256"`),
		row("HS256 with the PEM, with a newline before it", "RFC 8725, section 2.1",
			hs256Token(append([]byte("\n"), publicPEM...)), errSignature, `alg is "HS256"`),
		row("HS256 with the public key's DER", "CVE-2016-5431", hs256Token(spkiDER), errSignature,
			`alg is "HS256"`),
		row("HS256 with the PKCS#1 PEM", "CVE-2017-11424; CVE-2023-48223",
			hs256Token(toPEM("RSA PUBLIC KEY", pkcs1DER)), errSignature, `alg is "HS256"`),
		row("HS256 with the PKCS#1 DER", "RFC 8725, section 3.1", hs256Token(pkcs1DER),
			errSignature, `alg is "HS256"`),
		row("HS256 with the public key as Keycloak shows it",
			"Keycloak 26.7.4: the realm's public_key is the DER in base64",
			hs256Token([]byte(b64(spkiDER))), errSignature, `alg is "HS256"`),
		row("HS256 with the public key's JWK", "RFC 8725, section 2.1",
			hs256Token([]byte(toJSON(f.rsa.jwk()))), errSignature, `alg is "HS256"`),
		row("HS256 with the RSA key's modulus", "RFC 7518, section 6.3.1.1",
			hs256Token(rsaPublic.N.Bytes()), errSignature, `alg is "HS256"`),
		row("HS256 with a certificate", "RFC 8725, section 3.1", hs256Token(toPEM("CERTIFICATE",
			f.certificate(rsaKey()))), errSignature, `alg is "HS256"`),
		row("HS384 with the public key's PEM", "CVE-2015-9235", f.hmacToken("HS384", crypto.SHA384,
			"rsa-1", publicPEM), errSignature, `alg is "HS384"`),
		row("HS512 with the public key's PEM", "CVE-2015-9235", f.hmacToken("HS512", crypto.SHA512,
			"rsa-1", publicPEM), errSignature, `alg is "HS512"`),
		row("HS256 with the EC key as OpenSSH writes it", "CVE-2022-29217; CVE-2024-33663",
			f.hmacToken("HS256", crypto.SHA256, "ec-1",
				[]byte("ecdsa-sha2-nistp256 "+b64(sshECKey))), errSignature, `alg is "HS256"`),
		row("HS256 with the Ed25519 key as OpenSSH writes it", "CVE-2022-29217",
			f.hmacToken("HS256", crypto.SHA256, "ed-1", []byte("ssh-ed25519 "+b64(sshEdKey))),
			errSignature, `alg is "HS256"`),
		row("HS256 with the bytes of the Ed25519 key", "RFC 8037, section 2",
			f.hmacToken("HS256", crypto.SHA256, "ed-1", edPublic), errSignature, `alg is "HS256"`),
		row("HS256 with an empty secret", "CVE-2019-20933; CVE-2026-45363", hs256Token(nil),
			errSignature, `alg is "HS256"`),
		row("HS256 with a guessable secret", "RFC 8725, section 2.2",
			hs256Token([]byte("secret")), errSignature, `alg is "HS256"`),
		row("HS256 with the key ID as the secret", "CVE-2021-46743", f.hmacToken("HS256",
			crypto.SHA256, "rsa-1", []byte("rsa-1")), errSignature, `alg is "HS256"`),
		row("RS256 with an HMAC as the signature", "RFC 8725, section 2.1",
			f.hmacToken("RS256", crypto.SHA256, "rsa-1", publicPEM), errSignature, "signature"),

		row("RS256 with the kid of an EC key", "RFC 8725, section 3.1",
			f.goodToken(f.rsa.withKID("ec-1")), errSignature, "RS256"),
		row("ES256 with the kid of an RSA key", "RFC 8725, section 3.1",
			f.goodToken(f.ec.withKID("rsa-1")), errSignature, "ES256"),
		row("PS256 with the kid of an RS256 key", "RFC 8725, section 3.1",
			f.goodToken(f.ps.withKID("rsa-1")), errSignature, "PS256"),
		row("RS256 with the kid of a PS256 key", "RFC 8725, section 3.1",
			f.goodToken(f.rsa.withKID("ps-1")), errSignature, "RS256"),
		row("RS512 with the kid of an RS256 key", "RFC 7517, section 4.4",
			f.goodToken(signingKey{"rsa-1", "RS512", rsaKey()}), errSignature, "RS512"),
		row("ES384 with the kid of a P-256 key", "RFC 7518, section 3.4",
			f.goodToken(f.ec384.withKID("ec-1")), errSignature, "ES384"),
		row("ES256 with the kid of a P-384 key", "RFC 7518, section 3.4",
			f.goodToken(f.ec.withKID("ec-384")), errSignature, "ES256"),
		row("EdDSA with the kid of an EC key", "RFC 8037, section 3.1",
			f.goodToken(f.ed.withKID("ec-1")), errSignature, "EdDSA"),
	}
}

// certificate returns a self-signed certificate of the key.
func (f *forge) certificate(key crypto.Signer) []byte {
	template := &x509.Certificate{SerialNumber: big.NewInt(1),
		Subject: pkix.Name{CommonName: "local"}, NotBefore: noon, NotAfter: noon.Add(time.Hour)}
	return must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
}

// headerAttacks returns tokens with header members that bring their own keys or change how the
// token is read.
func headerAttacks(f *forge) []attack {
	errSignature, errKeyUnknown, errMalformed, errNotAccepted := identity.ErrTokenSignature,
		identity.ErrKeyUnknown, identity.ErrTokenMalformed, identity.ErrTokenNotAccepted
	// realmToken returns a token that the realm signed. forgedToken and attackerToken return tokens
	// that the attacker signed: forgedToken with the kid of a realm key, attackerToken with the
	// attacker's own kid.
	realmToken := func(header object) string { return f.token(f.ed, header, nil) }
	forgedToken := func(header object) string {
		return f.token(f.attacker.withKID("ed-1"), header, object{"sub": "mallory"})
	}
	attackerToken := func(header object) string {
		return f.token(f.attacker, header, object{"sub": "mallory"})
	}
	jwk, privateJWK := f.attacker.jwk(), f.attacker.jwk()
	privateJWK["d"] = f.newSecret()
	chain := []string{base64.StdEncoding.EncodeToString(f.certificate(otherEdKey()))}
	jku := f.canary.URL + "/certs"
	return []attack{
		row("typ at+jwt", "RFC 9068, section 2.1", realmToken(object{"typ": "at+jwt"}), nil),
		row("typ application/at+jwt in capitals", "RFC 7515, section 4.1.9",
			realmToken(object{"typ": "APPLICATION/AT+JWT"}), nil),
		row("a good token with the attacker's keys in its header", "RFC 7515, section 4.1",
			realmToken(object{"jwk": jwk, "jku": jku, "x5u": jku, "x5c": chain}), nil),

		row("a JWK in the header", "RFC 7515, section 4.1.3; CVE-2018-0114",
			attackerToken(object{"jwk": jwk}), errKeyUnknown, `"evil"`),
		row("a JWK in the header, with the realm's kid", "CVE-2018-0114",
			forgedToken(object{"jwk": f.attacker.withKID("ed-1").jwk()}), errSignature,
			"signature"),
		row("a JWK in the header, without a kid", "CVE-2018-0114",
			attackerToken(object{"jwk": jwk, "kid": absent}), errMalformed, "kid is missing"),
		row("a private JWK in the header", "RFC 7515, section 4.1.3",
			attackerToken(object{"jwk": privateJWK}), errKeyUnknown, `"evil"`),
		row("a key set URL in the header", "RFC 7515, section 4.1.2",
			attackerToken(object{"jku": jku}), errKeyUnknown, `"evil"`),
		row("a key set URL in the header, with the realm's kid", "RFC 7515, section 4.1.2",
			forgedToken(object{"jku": jku}), errSignature, "signature"),
		row("a key set URL that looks like the realm's", "RFC 8725, section 2.9",
			forgedToken(object{"jku": "http://localhost:8080@" + strings.TrimPrefix(jku,
				"http://") + "?" + localIssuer}), errSignature, "signature"),
		row("a key set URL that names a file", "RFC 8725, section 2.9",
			forgedToken(object{"jku": "file:///etc/passwd"}), errSignature, "signature"),
		row("a certificate URL in the header", "RFC 7515, section 4.1.5",
			attackerToken(object{"x5u": jku}), errKeyUnknown, `"evil"`),
		row("a certificate URL in the header, with the realm's kid", "RFC 7515, section 4.1.5",
			forgedToken(object{"x5u": jku}), errSignature, "signature"),
		row("a certificate in the header", "RFC 7515, section 4.1.6",
			attackerToken(object{"x5c": chain}), errKeyUnknown, `"evil"`),
		row("a certificate in the header, with the realm's kid", "RFC 7515, section 4.1.6",
			forgedToken(object{"x5c": chain, "x5t": "x", "x5t#S256": "x"}), errSignature,
			"signature"),
		row("a certificate thumbprint instead of a kid", "RFC 7515, section 4.1.8",
			realmToken(object{"kid": absent, "x5t#S256": "ed-1"}), errMalformed, "kid is missing"),
		row("a JWK, a key set URL and certificates in the header", "RFC 8725, section 2.9",
			forgedToken(object{"jwk": jwk, "jku": jku, "x5u": jku, "x5c": chain, "url": jku,
				"iss": f.canary.URL}), errSignature, "signature"),

		row("crit with an unknown member", "RFC 7515, section 4.1.11; CVE-2025-59420",
			realmToken(object{"crit": []string{"http://example.com/UNDEFINED"},
				"http://example.com/UNDEFINED": true}), errMalformed, "crit"),
		row("crit with a claim", "RFC 7515, section 4.1.11",
			realmToken(object{"crit": []string{"exp"}, "exp": noonPlus(time.Hour)}), errMalformed,
			"crit"),
		row("crit with a known member", "RFC 7515, section 4.1.11",
			realmToken(object{"crit": []string{"alg"}}), errMalformed, "crit"),
		row("crit with a missing member", "RFC 7515, section 4.1.11",
			realmToken(object{"crit": []string{"b64"}}), errMalformed, "crit"),
		row("crit is an empty list", "RFC 7515, section 4.1.11",
			realmToken(object{"crit": []string{}}), errMalformed, "crit"),
		row("crit is null", "RFC 7515, section 4.1.11", realmToken(object{"crit": nil}),
			errMalformed, "crit"),
		row("crit is a string", "RFC 7515, section 4.1.11", realmToken(object{"crit": "b64"}),
			errMalformed, "crit"),
		row("crit in a token with a wrong signature", "RFC 7515, section 4.1.11",
			forgedToken(object{"crit": []string{"x"}, "x": 1}), errMalformed, "crit"),

		row("cty JWT", "RFC 7519, section 5.2", realmToken(object{"cty": "JWT"}), errMalformed,
			"cty"),
		row("cty JWT, with a token as the payload", "RFC 7519, section 5.2",
			f.ed.sign(f.header(f.ed, object{"cty": "JWT"}), toJSON(f.token(f.attacker, nil, nil))),
			errMalformed, "payload"),
		row("cty application/json", "RFC 7515, section 4.1.10",
			realmToken(object{"cty": "application/json"}), errMalformed, "cty"),
		row("cty is null", "RFC 7515, section 4.1.10", realmToken(object{"cty": nil}), errMalformed,
			"cty"),
		row("cty is empty", "RFC 7515, section 4.1.10", realmToken(object{"cty": ""}), errMalformed,
			"cty"),

		row("typ of a logout token", "OpenID Connect Back-Channel Logout 1.0, section 2.4",
			realmToken(object{"typ": "logout+jwt"}), errNotAccepted, "logout+jwt"),
		row("typ of a DPoP proof", "RFC 9449, section 4.2", realmToken(object{"typ": "dpop+jwt"}),
			errNotAccepted, "dpop+jwt"),
		row("typ of a security event", "RFC 8417, section 2.3",
			realmToken(object{"typ": "secevent+jwt"}), errNotAccepted, "secevent+jwt"),
		row("typ of an introspection response", "RFC 9701, section 5",
			realmToken(object{"typ": "token-introspection+jwt"}), errNotAccepted,
			"token-introspection+jwt"),
		row("typ of an authorization request", "RFC 9101, section 10.8",
			realmToken(object{"typ": "oauth-authz-req+jwt"}), errNotAccepted,
			"oauth-authz-req+jwt"),
		row("typ of an ID token", "RFC 8725, section 3.11",
			realmToken(object{"typ": "id_token+jwt"}), errNotAccepted, "id_token+jwt"),
		row("typ JOSE", "RFC 7515, section 4.1.9", realmToken(object{"typ": "JOSE"}),
			errNotAccepted, "JOSE"),
		row("typ JWE", "RFC 8725, section 3.11", realmToken(object{"typ": "JWE"}), errNotAccepted,
			"JWE"),
		row("typ with another media type tree", "RFC 7515, section 4.1.9",
			realmToken(object{"typ": "text/at+jwt"}), errNotAccepted, "text/at+jwt"),
		row("typ with the prefix application/ twice", "RFC 7515, section 4.1.9",
			realmToken(object{"typ": "application/application/jwt"}), errNotAccepted,
			"application"),
		row("typ with a parameter", "RFC 7515, section 4.1.9",
			realmToken(object{"typ": "at+jwt;v=1"}), errNotAccepted, "v=1"),
		row("typ in the header with a trailing space", "RFC 7515, section 4.1.9",
			realmToken(object{"typ": "JWT "}), errNotAccepted, "JWT "),
		row("typ in the header is empty", "RFC 8725, section 3.11", realmToken(object{"typ": ""}),
			errNotAccepted, "typ"),
		row("typ in the header is null", "RFC 8725, section 3.11", realmToken(object{"typ": nil}),
			errNotAccepted, "typ"),
		row("typ in the header is a list", "RFC 8725, section 3.11",
			realmToken(object{"typ": []string{"JWT"}}), errNotAccepted, "typ"),
		row("typ with a dotted capital I", "RFC 2045, section 5.1",
			realmToken(object{"typ": "appl\u0130cation/jwt"}), errNotAccepted, "typ"),
	}
}

// kidAttacks returns tokens whose kid could harm a verifier that looks up a key without checking
// the kid first.
func kidAttacks(f *forge) []attack {
	errKeyUnknown, errMalformed := identity.ErrKeyUnknown, identity.ErrTokenMalformed
	forgedToken := func(kid any) string { return f.token(f.attacker, object{"kid": kid}, nil) }
	realmToken := func(kid any) string { return f.token(f.ed, object{"kid": kid}, nil) }
	source := "RFC 8725, section 2.9"
	return []attack{
		row("kid missing", "RFC 7515, section 4.1.4", realmToken(absent), errMalformed,
			"kid is missing"),
		row("kid is null", "RFC 7515, section 4.1.4", realmToken(nil), errMalformed, "kid"),
		row("kid is empty", "RFC 7515, section 4.1.4", realmToken(""), errMalformed, "kid"),
		row("kid is a number", "RFC 7515, section 4.1.4", realmToken(1), errMalformed, "kid is 1"),
		row("kid is a list", "RFC 7515, section 4.1.4", realmToken([]string{"ed-1"}), errMalformed,
			"kid"),
		row("kid is an object", "RFC 7515, section 4.1.4", realmToken(object{"$ne": nil}),
			errMalformed, "kid"),
		row("KID instead of kid", "RFC 7515, section 4", f.token(f.ed, object{"kid": absent,
			"KID": "ed-1"}, nil), errMalformed, "kid is missing"),
		row("kid of 257 bytes", source, forgedToken(strings.Repeat("k", 257)), errMalformed, "256"),
		row("kid is a path", source, forgedToken("../../../../../../dev/null"), errKeyUnknown,
			"dev/null"),
		row("kid is a device, HS256 with an empty secret", source, f.hmacToken("HS256",
			crypto.SHA256, "../../../dev/null", nil), identity.ErrTokenSignature, `"HS256"`),
		row("kid is an SQL injection", source, forgedToken("x' UNION SELECT 'secret' -- "),
			errKeyUnknown, "UNION"),
		row("kid is a shell command", source, forgedToken("ed-1|sleep 10"), errKeyUnknown, "sleep"),
		row("kid is a URL", source, forgedToken(f.canary.URL), errKeyUnknown, "not in the key set"),
		row("kid is a file URL", source, forgedToken("file:///etc/passwd"), errKeyUnknown, "file"),
		row("kid is a JNDI lookup", "CVE-2021-44228",
			forgedToken("${jndi:ldap://"+strings.TrimPrefix(f.canary.URL, "http://")+"/x}"),
			errKeyUnknown, "jndi"),
		row("kid with a trailing NUL byte", source, realmToken("ed-1\x00"), errKeyUnknown, "ed-1"),
		row("kid with a trailing space", "RFC 7515, section 4.1.4", realmToken("ed-1 "),
			errKeyUnknown, "ed-1"),
		row("kid in capitals", "RFC 7515, section 4.1.4", realmToken("ED-1"), errKeyUnknown,
			"ED-1"),
		row("kid is a prefix of a realm key's", "RFC 7515, section 4.1.4", realmToken("ed"),
			errKeyUnknown, `"ed"`),
		row("kid with a Unicode hyphen", "RFC 7515, section 10.13",
			realmToken("ed\u20101"), errKeyUnknown, "2010"),
		row("kid is __proto__", source, forgedToken("__proto__"), errKeyUnknown, "__proto__"),
		row("kid is a wildcard", source, forgedToken("*"), errKeyUnknown, "*"),
		row("kid with a forged log line", source, forgedToken("x\nlevel=ERROR msg=forged"),
			errKeyUnknown, "forged"),
		row("kid of the encryption key", "RFC 7517, section 4.2",
			f.goodToken(f.rsa.withKID("enc-1")), errKeyUnknown, `"enc-1"`),
		row("kid of a key that the realm no longer has",
			"Keycloak 26.7.4: a key that is disabled or deleted leaves the key set",
			f.goodToken(f.ed.withKID("ed-0")), errKeyUnknown, `"ed-0"`),
	}
}
