package keycloak

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/identity"
)

// Verify rejects a token that isn't a well-formed JWS of two JSON objects. The error's detail names
// the malformed part.
func TestVerify_malformedToken(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, jwksOf(key)), VerifierConfig{})
	goodToken := key.token(aliceClaims(t))
	header, payload, signature := splitToken(goodToken)
	sign := func(header, payload string) string { return key.sign(header, payload) }
	// payloadWith returns alice's payload with these claims inserted at the front.
	payloadWith := func(claims string) string { return "{" + claims + "," + aliceClaims(t)[1:] }
	for _, tt := range []struct {
		name, token string
		want        error
		detail      string
	}{
		{"from Keycloak", goodToken, nil, ""},
		{"empty", "", identity.ErrTokenMalformed, "parts between dots: 1; expected 3"},
		{"one part", "null", identity.ErrTokenMalformed, "parts between dots: 1; expected 3"},
		{"two parts", header + "." + payload, identity.ErrTokenMalformed,
			"parts between dots: 2; expected 3"},
		{"four parts", goodToken + ".x", identity.ErrTokenMalformed,
			"parts between dots: 4; expected 3"},
		{"five parts, like an encrypted token", goodToken + ".x.y", identity.ErrTokenMalformed,
			"parts between dots: 5; expected 3"},
		{"empty signature", header + "." + payload + ".", identity.ErrTokenSignature,
			"doesn't match"},

		{"padding after the header", header + "=." + payload + "." + signature,
			identity.ErrTokenMalformed, "part 1"},
		{"padding after the signature", goodToken + "==", identity.ErrTokenMalformed, "part 3"},
		{"a trailing newline", goodToken + "\n", identity.ErrTokenMalformed, "part 3"},
		{"a line break in the header", header[:4] + "\r\n" + header[4:] + "." + payload + "." +
			signature, identity.ErrTokenMalformed, "part 1"},
		{"a leading space", " " + goodToken, identity.ErrTokenMalformed, "part 1"},
		{"a trailing NUL byte", goodToken + "\x00", identity.ErrTokenMalformed, "part 3"},
		// If two encodings of a signature were valid, the same token could look like two tokens.
		{"stray bits in the signature", header + "." + payload + "." + withStrayBits(signature),
			identity.ErrTokenMalformed, "part 3"},

		{"header that isn't JSON", sign("x", aliceClaims(t)), identity.ErrTokenMalformed,
			"the header is not JSON"},
		{"header that is a list", sign("[]", aliceClaims(t)), identity.ErrTokenMalformed,
			"not a JSON object"},
		{"payload that is a string", sign(key.header(), `"x"`), identity.ErrTokenMalformed,
			"not a JSON object"},
		{"truncated payload", sign(key.header(), aliceClaims(t)[:100]), identity.ErrTokenMalformed,
			"not JSON"},
		{"a second object after the payload", sign(key.header(), aliceClaims(t)+"{}"),
			identity.ErrTokenMalformed, "followed by more"},
		{"text after the header", sign(key.header()+"x", aliceClaims(t)),
			identity.ErrTokenMalformed, "the header is followed by more"},
		{"a closing brace after the payload", sign(key.header(), aliceClaims(t)+"}"),
			identity.ErrTokenMalformed, "followed by more"},
		{"white space around the header and the payload",
			sign(" "+key.header()+"\n", "\t"+aliceClaims(t)+" \n"), nil, ""},
		{"payload in UTF-16", sign(key.header(), "{\x00\"\x00}\x00"), identity.ErrTokenMalformed,
			"not JSON"},
		{"a control character in a string", sign(key.header(), payloadWith("\"x\":\"a\nb\"")),
			identity.ErrTokenMalformed, "not JSON"},
		{"a member name without quotes", sign(key.header(), payloadWith("x:1")),
			identity.ErrTokenMalformed, "not JSON"},
		{"a number as a member name", sign(key.header(), payloadWith("1:1")),
			identity.ErrTokenMalformed, "not JSON"},
		{"NaN as a value", sign(key.header(), payloadWith(`"x":NaN`)), identity.ErrTokenMalformed,
			"not JSON"},
		{"a comment in the payload", sign(key.header(), payloadWith(`"x":1 /* */`)),
			identity.ErrTokenMalformed, "not JSON"},

		{"a duplicate member in the header",
			sign(`{"alg":"EdDSA",`+key.header()[1:],
				aliceClaims(t)), identity.ErrTokenMalformed, `the header has the member "alg" ` +
				`twice`},
		{"a duplicate member, one name written with an escape",
			sign(key.header(), payloadWith(`"s\u0075b":"mallory"`)), identity.ErrTokenMalformed,
			`"sub" twice`},
		{"a duplicate member, the first value null", sign(key.header(), payloadWith(`"sub":null`)),
			identity.ErrTokenMalformed, `"sub" twice`},
		{"a duplicate member in a nested object",
			sign(key.header(), payloadWith(`"x":{"y":[{"roles":1,"roles":2}]}`)),
			identity.ErrTokenMalformed, `"roles" twice`},
		{"the same member name at two depths",
			sign(key.header(), payloadWith(`"x":{"sub":"nested"}`)), nil, ""},

		{"payload nested to the limit", sign(key.header(), payloadWith(`"x":`+nestedArrays(32-1))),
			nil, ""},
		{"payload nested too deeply", sign(key.header(), payloadWith(`"x":`+nestedArrays(32+1))),
			identity.ErrTokenMalformed, "nests deeper than 32"},
		{"payload nested 8,000 deep",
			sign(key.header(), strings.Repeat("[",
				8000)), identity.ErrTokenMalformed, "nests deeper"},
		{"header nested 8,000 deep",
			sign(strings.Repeat("[", 8000),
				aliceClaims(t)), identity.ErrTokenMalformed, "nests deeper"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := verifier.Verify(t.Context(), tt.token)
			checkVerifyError(t, err, tt.want, tt.detail)
		})
	}
}

// Verify accepts a token of exactly MaxBytes, and rejects a longer one. The default is 16 KiB.
func TestVerify_maxBytes(t *testing.T) {
	key := edDSA()
	token := key.token(aliceClaims(t))
	keys := newKeys(t, jwksOf(key))
	_, err := newVerifier(t, keys, VerifierConfig{MaxBytes: len(token)}).Verify(t.Context(), token)
	checkVerifyError(t, err, nil)
	_, err = newVerifier(t, keys, VerifierConfig{MaxBytes: len(token) - 1}).Verify(t.Context(),
		token)
	checkVerifyError(t, err, identity.ErrTokenTooLarge, fmt.Sprint(len(token)),
		fmt.Sprint(len(token)-1), "VerifierConfig.MaxBytes")
	_, err = newVerifier(t, keys, VerifierConfig{}).Verify(t.Context(), strings.Repeat("x", 16<<10))
	checkVerifyError(t, err, identity.ErrTokenMalformed)
	_, err = newVerifier(t, keys, VerifierConfig{}).Verify(t.Context(),
		strings.Repeat("x", 16<<10+1))
	checkVerifyError(t, err, identity.ErrTokenTooLarge)
}

// Verify checks kid, alg, crit and typ in the header.
func TestVerify_headerChecks(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, jwksOf(key)), VerifierConfig{})
	for _, tt := range []struct {
		name   string
		change object
		want   error
		detail string
	}{
		{"from Keycloak", object{}, nil, ""},
		{"kid of the maximum length", object{"kid": strings.Repeat("k", 256)},
			identity.ErrKeyUnknown, "kkk"},
		{"kid too long", object{"kid": strings.Repeat("k", 256+1)}, identity.ErrTokenMalformed,
			"1 to 256 bytes"},
		{"kid that is a path", object{"kid": "../../../dev/null"}, identity.ErrKeyUnknown,
			"not in the key set"},

		{"alg missing", object{"alg": absent}, identity.ErrTokenMalformed, "alg is missing"},
		{"alg that is a number", object{"alg": 256}, identity.ErrTokenMalformed, "alg is 256"},
		{"alg empty", object{"alg": ""}, identity.ErrTokenSignature, "accepted: RS256"},
		{"alg None", object{"alg": "None"}, identity.ErrTokenSignature, "None"},
		{"alg nOnE", object{"alg": "nOnE"}, identity.ErrTokenSignature, "nOnE"},
		{"alg HS256", object{"alg": "HS256"}, identity.ErrTokenSignature, "HS256"},
		{"alg HS512, which Keycloak uses for refresh tokens", object{"alg": "HS512"},
			identity.ErrTokenSignature, "HS512"},
		{"alg RS256 with an Ed25519 key", object{"alg": "RS256"}, identity.ErrTokenSignature,
			"RS256"},

		{"crit present", object{"crit": []string{"exp"}}, identity.ErrTokenMalformed, "crit"},

		{"typ missing", object{"typ": absent}, nil, ""},
		{"typ jwt", object{"typ": "jwt"}, nil, ""},
		{"typ AT+JWT", object{"typ": "AT+JWT"}, nil, ""},
		{"typ application/at+jwt", object{"typ": "application/at+jwt"}, nil, ""},
		{"typ that is a number", object{"typ": 7}, identity.ErrTokenNotAccepted,
			"typ in the header is 7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := verifier.Verify(t.Context(),
				key.sign(patch(t, key.header(), tt.change), aliceClaims(t)))
			checkVerifyError(t, err, tt.want, tt.detail)
		})
	}
}

// Verify accepts a token signed with each of Algorithms, but not after its signature or payload has
// been changed.
func TestVerify_acceptsEachAlgorithm(t *testing.T) {
	signingKeys := map[string]signingKey{
		"RS256": {"rs256", "RS256", rsaKey()}, "RS384": {"rs384", "RS384", rsaKey()},
		"RS512": {"rs512", "RS512", rsaKey()},
		"PS256": {"ps256", "PS256", rsaKey()}, "PS384": {"ps384", "PS384", rsaKey()},
		"PS512": {"ps512", "PS512", rsaKey()},
		"ES256": {"es256", "ES256", p256Key()}, "ES384": {"es384", "ES384", p384Key()},
		"ES512": {"es512", "ES512", p521Key()},
		"EdDSA": {"eddsa", "EdDSA", edKey()},
	}
	var allKeys []signingKey
	for _, k := range signingKeys {
		allKeys = append(allKeys, k)
	}
	verifier := newVerifier(t, newKeys(t, jwksOf(allKeys...)), VerifierConfig{})
	for _, alg := range Algorithms() {
		t.Run(alg, func(t *testing.T) {
			token := signingKeys[alg].token(aliceClaims(t))
			_, err := verifier.Verify(t.Context(), token)
			checkVerifyError(t, err, nil)
			_, err = verifier.Verify(t.Context(), corruptSignature(token))
			checkVerifyError(t, err, identity.ErrTokenSignature, "doesn't match")
			header, payload, signature := splitToken(token)
			otherPayload := base64url([]byte(patch(t, aliceClaims(t), object{"sub": "mallory"})))
			_, err = verifier.Verify(t.Context(), header+"."+otherPayload+"."+signature)
			checkVerifyError(t, err, identity.ErrTokenSignature)
			_, err = verifier.Verify(t.Context(),
				header+"."+payload+"."+signature[:len(signature)/8*4])
			checkVerifyError(t, err, identity.ErrTokenSignature)
		})
	}
}

// A key verifies only signatures that were made with its own algorithm and are encoded as JWS
// requires.
func TestVerify_rejectsOtherAlgorithm(t *testing.T) {
	rsaSigningKey, ecSigningKey := rs256(), es256()
	withoutAlg := func(k signingKey) map[string]any {
		jwk := k.jwk()
		delete(jwk, "alg")
		return jwk
	}
	p384 := signingKey{"p384", "ES384", p384Key()}
	encryptionKey := signingKey{"enc", "RS256", rsaKey()}
	encryptionJWK := encryptionKey.jwk()
	encryptionJWK["use"], encryptionJWK["alg"] = "enc", "RSA-OAEP"
	weakKey := signingKey{"weak", "RS256", weakRSAKey()}
	verifier := newVerifier(t,
		newKeys(t, jwks(rsaSigningKey.jwk(), withoutAlg(ecSigningKey), withoutAlg(p384),
			encryptionJWK, weakKey.jwk())),
		VerifierConfig{})

	// signES256 signs with any ECDSA key, and sets alg to ES256.
	signES256 := func(key *ecdsa.PrivateKey, kid string) string {
		signingInput := base64url([]byte(`{"alg":"ES256","kid":"`+kid+`"}`)) + "." +
			base64url([]byte(aliceClaims(t)))
		digest := sha256.Sum256([]byte(signingInput))
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		size := (key.Params().BitSize + 7) / 8
		return signingInput + "." +
			base64url(append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...))
	}
	header, payload, _ := splitToken(ecSigningKey.token(aliceClaims(t)))
	signingInput := header + "." + payload
	digest := sha256.Sum256([]byte(signingInput))
	derSignature := must(ecdsa.SignASN1(rand.Reader, p256Key().(*ecdsa.PrivateKey), digest[:]))
	for _, tt := range []struct {
		name, token string
		want        error
		detail      string
	}{
		{"the key's own algorithm", rsaSigningKey.token(aliceClaims(t)), nil, ""},
		{"a key without alg", ecSigningKey.token(aliceClaims(t)), nil, ""},
		{"ES256 with a P-384 key", signES256(p384Key().(*ecdsa.PrivateKey), "p384"),
			identity.ErrTokenSignature, `is for "ES384"`},
		{"ES256 with a P-256 key", signES256(p256Key().(*ecdsa.PrivateKey), "ec-1"), nil, ""},
		{"an encryption key", encryptionKey.token(aliceClaims(t)), identity.ErrKeyUnknown,
			`was skipped: its use is "enc"`},
		{"an RSA key of 1024 bits", weakKey.token(aliceClaims(t)), identity.ErrKeyUnknown,
			"was skipped: it is too weak"},
		{"an ECDSA signature in DER", signingInput + "." + base64url(derSignature),
			identity.ErrTokenSignature, "doesn't match"},
		{"an ECDSA signature of zeros", signingInput + "." + base64url(make([]byte, 64)),
			identity.ErrTokenSignature, "doesn't match"},
		{"an RSA signature of zeros", zeroSignature(rsaSigningKey, aliceClaims(t)),
			identity.ErrTokenSignature, "doesn't match"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := verifier.Verify(t.Context(), tt.token)
			checkVerifyError(t, err, tt.want, tt.detail)
		})
	}
}

// zeroSignature returns a token whose RSA signature is all zeros.
func zeroSignature(k signingKey, payload string) string {
	token := k.token(payload)
	return token[:strings.LastIndexByte(token, '.')+1] +
		base64url(make([]byte, k.key.Public().(*rsa.PublicKey).Size()))
}
