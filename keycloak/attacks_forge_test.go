package keycloak

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A forge makes the tokens of the attacks, and holds the keys to sign them.
type forge struct {
	t              *testing.T
	canary         *httptest.Server // the attacker's server; it must never be called
	canaryRequests atomic.Int32     // counts requests to the canary
	secrets        []string         // texts that must not appear in any log

	rsa, ps, ec, ec384, ec521, ed signingKey // the realm's keys
	attacker                      signingKey // the attacker's key, with the attacker's own kid

	headerType, payload string // typ in the header, and the payload, of a good token
}

// attackerRSAKey is the attacker's RSA key, as strong as the realm's.
var attackerRSAKey = sync.OnceValue(func() crypto.Signer {
	return must(rsa.GenerateKey(rand.Reader, 2048))
})

// newForge returns a forge, and starts its canary.
func newForge(t *testing.T) *forge {
	f := &forge{
		t: t, rsa: rs256(), ps: signingKey{"ps-1", "PS256", rsaKey()}, ec: es256(),
		ec384: signingKey{"ec-384", "ES384", p384Key()},
		ec521: signingKey{"ec-521", "ES512", p521Key()}, ed: edDSA(),
		attacker:   signingKey{"evil", "EdDSA", otherEdKey()},
		headerType: "JWT", payload: aliceClaims(t),
	}
	f.canary = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		f.canaryRequests.Add(1)
		io.WriteString(w, jwksOf(f.attacker, f.attacker.withKID("ed-1")))
	}))
	t.Cleanup(f.canary.Close)
	return f
}

// checkCanary checks that the canary got no request. Then it sends a request itself, to check that
// the canary counts requests.
func (f *forge) checkCanary(t *testing.T) {
	t.Helper()
	if requests := f.canaryRequests.Load(); requests != 0 {
		t.Errorf("URLs from tokens were fetched %d times, want never", requests)
	}
	response, err := f.canary.Client().Get(f.canary.URL)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if f.canaryRequests.Load() == 0 {
		t.Error("the canary counted no request, want 1")
	}
}

// newSecret returns a random value that must not appear in any log.
func (f *forge) newSecret() string {
	secret := "s3cret-" + rand.Text()
	f.secrets = append(f.secrets, secret)
	return secret
}

// claims returns the good payload with changes.
func (f *forge) claims(changes object) string { return patch(f.t, f.payload, changes) }

// header returns the usual header for a signing key, with changes. If changes is nil, it has the
// spaces that Keycloak writes.
func (f *forge) header(k signingKey, changes object) string {
	usual := strings.Replace(k.header(), `"JWT"`, `"`+f.headerType+`"`, 1)
	if changes == nil {
		return usual
	}
	return patch(f.t, usual, changes)
}

// goodToken returns a good token, signed with k.
func (f *forge) goodToken(k signingKey) string { return k.sign(f.header(k, nil), f.payload) }

// token returns a good token with changes to its header and claims.
func (f *forge) token(k signingKey, header, claims object) string {
	return k.sign(f.header(k, header), f.claims(claims))
}

// signingInput returns the JWS signing input.
func (f *forge) signingInput(header, payload string) string {
	return base64url([]byte(header)) + "." + base64url([]byte(payload))
}

// goodSigningInput returns the signing input of a good token.
func (f *forge) goodSigningInput(k signingKey) string {
	return f.signingInput(f.header(k, nil), f.payload)
}

// compact joins a signing input and a signature into a token.
func (f *forge) compact(input string, signature []byte) string {
	return input + "." + base64url(signature)
}

// hmacToken returns a token with the good payload and an HMAC as its signature.
func (f *forge) hmacToken(alg string, hash crypto.Hash, kid string, secret []byte) string {
	input := f.signingInput(toJSON(object{"alg": alg, "typ": f.headerType, "kid": kid}), f.payload)
	mac := hmac.New(hash.New, secret)
	mac.Write([]byte(input))
	return f.compact(input, mac.Sum(nil))
}

// jwe encrypts a payload as a JWE (RFC 7516). Anyone can do so, because the encryption key is the
// realm's public key.
func (f *forge) jwe(header object, payload string) string {
	protectedHeader := base64url([]byte(toJSON(header)))
	key, nonce := make([]byte, 32), make([]byte, 12)
	rand.Read(key)
	rand.Read(nonce)
	ciphertext := must(cipher.NewGCM(must(aes.NewCipher(key)))).Seal(nil, nonce, []byte(payload),
		[]byte(protectedHeader))
	encryptedKey := must(rsa.EncryptOAEP(sha1.New(), rand.Reader,
		rsaKey().Public().(*rsa.PublicKey), key, nil))
	parts := []string{protectedHeader, base64url(encryptedKey), base64url(nonce),
		base64url(ciphertext[:len(ciphertext)-16]), base64url(ciphertext[len(ciphertext)-16:])}
	return strings.Join(parts, ".")
}

// padTo appends spaces to JSON text until its length modulo three is remainder. The remainder
// decides whether the last character in base64url has unused bits.
func padTo(remainder int, text string) string {
	for len(text)%3 != remainder {
		text += " "
	}
	return text
}

// sshString encodes a string for SSH (RFC 4251, section 5).
func sshString(text []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// rsaPrivate applies the realm's private RSA key to a block, even if its padding is wrong.
func (f *forge) rsaPrivate(block []byte) []byte {
	key := rsaKey().(*rsa.PrivateKey)
	return new(big.Int).Exp(new(big.Int).SetBytes(block), key.D,
		key.N).FillBytes(make([]byte, key.Size()))
}

// These are DigestInfo prefixes (RFC 8017, section 9.2): the right one for RS256, which is
// infoSHA256, and some that a careless verifier accepts instead.
const (
	infoSHA256     = "3031300d060960864801650304020105000420"
	infoSHA512     = "3051300d060960864801650304020305000440"
	infoSHA1       = "3021300906052b0e03021a05000414"
	infoMD5        = "3020300c06082a864886f70d020505000410"
	infoNoNull     = "302f300b0609608648016503040201" + "0420"
	infoLongForm   = "308131300d060960864801650304020105000420"
	infoWrongCount = "3032300d060960864801650304020105000420"
)

// decodeHex decodes a hexadecimal text.
func decodeHex(text string) []byte { return must(hex.DecodeString(text)) }

// pkcs1Block returns a PKCS#1 v1.5 block (RFC 8017, section 9.2): padding bytes, then the data,
// then garbage up to 256 bytes.
func pkcs1Block(blockType byte, padding int, data []byte, garbage byte) []byte {
	out := append([]byte{0, blockType}, make([]byte, padding)...)
	for i := range padding {
		out[2+i] = 0xff
	}
	out = append(append(out, 0), data...)
	for len(out) < 256 {
		out = append(out, garbage)
	}
	return out
}

// pkcs1Token returns a token whose signature is correctly padded, with this DigestInfo prefix.
func (f *forge) pkcs1Token(input, infoPrefix string, digest []byte) string {
	data := append(decodeHex(infoPrefix), digest...)
	return f.compact(input, f.rsaPrivate(pkcs1Block(1, 256-3-len(data), data, 0)))
}

// A pss holds the parameters of an EMSA-PSS encoding (RFC 8017, section 9.1.1).
type pss struct {
	hash, maskHash crypto.Hash // of the message, and of the mask generation function
	saltLength     int         // length in bytes
	trailer        byte
	separator      byte
}

// pssToken returns a token with the kid of the PS256 key, and with an RSASSA-PSS signature that has
// these parameters.
func (f *forge) pssToken(p pss) string {
	input := f.goodSigningInput(f.ps)
	hashOf := func(h crypto.Hash, data []byte) []byte {
		hash := h.New()
		hash.Write(data)
		return hash.Sum(nil)
	}
	salt := make([]byte, p.saltLength)
	rand.Read(salt)
	digest := hashOf(
		p.hash, append(append(make([]byte, 8), hashOf(p.hash, []byte(input))...), salt...))
	db := make([]byte, 256-len(digest)-1)
	copy(db[len(db)-len(salt):], salt)
	db[len(db)-len(salt)-1] = p.separator
	var mask []byte
	for i := uint32(0); len(mask) < len(db); i++ {
		mask = append(mask,
			hashOf(p.maskHash, binary.BigEndian.AppendUint32(append([]byte{}, digest...), i))...)
	}
	for i := range db {
		db[i] ^= mask[i]
	}
	db[0] &= 0x7f
	return f.compact(input, f.rsaPrivate(append(append(db, digest...), p.trailer)))
}

// encodeECDSA encodes an ECDSA signature for a JWS (RFC 7518, section 3.4), with size bytes for
// each number.
func encodeECDSA(size int, r, s *big.Int) []byte {
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
}

// ecdsaSign signs an input with the realm's P-256 key.
func (f *forge) ecdsaSign(input string) (r, s *big.Int) {
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, p256Key().(*ecdsa.PrivateKey), digest[:])
	if err != nil {
		f.t.Fatal(err)
	}
	return r, s
}

// A weakRSA is an RSA key whose size or exponent crypto/rsa may reject.
type weakRSA struct{ n, e, d *big.Int }

// newWeakRSA returns a new key with this size and public exponent.
func newWeakRSA(bits int, exponent int64) weakRSA {
	e, one := big.NewInt(exponent), big.NewInt(1)
	for {
		p, q := must(rand.Prime(rand.Reader, bits/2)), must(rand.Prime(rand.Reader, bits-bits/2))
		n := new(big.Int).Mul(p, q)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		if d := new(big.Int).ModInverse(e, phi); d != nil && n.BitLen() == bits {
			return weakRSA{n, e, d}
		}
	}
}

// jwk returns the public key as a JWK.
func (k weakRSA) jwk(kid string) object { return rsaJWK(kid, k.n, k.e) }

// rsaJWK returns the JWK of an RSA key for RS256.
func rsaJWK(kid string, n, e *big.Int) object {
	return object{"kid": kid, "use": "sig", "alg": "RS256", "kty": "RSA", "n": base64url(n.Bytes()),
		"e": base64url(e.Bytes())}
}

// token returns a token with a correct RS256 signature by this key.
func (k weakRSA) token(f *forge, kid string) string {
	input := f.goodSigningInput(signingKey{kid, "RS256", nil})
	digest := sha256.Sum256([]byte(input))
	size := (k.n.BitLen() + 7) / 8
	data := append(decodeHex(infoSHA256), digest[:]...)
	padded := new(big.Int).SetBytes(pkcs1Block(1, size-3-len(data), data, 0)[:size])
	return f.compact(input, padded.Exp(padded, k.d, k.n).FillBytes(make([]byte, size)))
}

// curveOrder is the order of Ed25519's base point (RFC 8032, section 5.1).
var curveOrder,
	_ = new(big.Int).SetString(
	"7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)

// littleEndian encodes a number as Ed25519 does.
func littleEndian(n *big.Int) []byte {
	out := n.FillBytes(make([]byte, 32))
	for i, j := 0, 31; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// defaultSite is the name of the site that most rows use.
const defaultSite = "default"

// sites returns the configurations of the sites, by name.
func (f *forge) sites() map[string]siteConfig {
	encryptionJWK := f.rsa.withKID("enc-1").jwk() // every realm has one
	encryptionJWK["use"], encryptionJWK["alg"] = "enc", "RSA-OAEP"
	keys := jwks(f.rsa.jwk(), f.ps.jwk(), f.ec.jwk(), f.ec384.jwk(), f.ec521.jwk(), f.ed.jwk(),
		encryptionJWK)
	manyKeys := make([]any, 0, 101)
	for i := range 101 {
		manyKeys = append(manyKeys, f.ed.withKID(fmt.Sprint("ed-", i)).jwk())
	}
	serve := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", f.canary.URL)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	return map[string]siteConfig{
		defaultSite: {localKeys: keys},
		"party":     {localKeys: keys, config: VerifierConfig{AnyAudienceFor: "local-api"}},
		"parties": {localKeys: keys,
			config: VerifierConfig{AuthorizedParties: []string{"local-api", "web"}}},
		"bound":         {localKeys: keys, config: VerifierConfig{AllowBound: true}},
		"only ES256":    {localKeys: keys, config: VerifierConfig{Algorithms: []string{"ES256"}}},
		"rejected keys": {localKeys: f.rejectedKeys()},
		"two realms": {localKeys: jwksOf(f.ed),
			otherKeys: jwksOf(f.attacker.withKID("ed-1"), f.ec.withKID("only-theirs"))},
		"too many keys":  {localKeys: jwks(manyKeys...)},
		"no signing key": {localKeys: jwks(encryptionJWK)},
		"redirect":       {serveLocal: serve(http.StatusTemporaryRedirect, "")},
		"500":            {serveLocal: serve(http.StatusInternalServerError, jwksOf(f.ed))},
		"html":           {serveLocal: serve(http.StatusOK, "<html>"+jwksOf(f.ed)+"</html>")},
		"large": {serveLocal: serve(http.StatusOK, strings.Repeat(" ", 1<<20)+
			jwksOf(f.ed))},
	}
}

var p256 = elliptic.P256().Params()
