package keycloaktest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/google/uuid"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A key is a realm key with the settings of its key provider.
type key struct {
	kid       string
	algorithm string // JWA algorithm: RS256, HS512, RSA-OAEP ...
	use       string // sig or enc
	material  string // RSA, HMAC, or a curve
	// privateKey is a *rsa.PrivateKey, *ecdsa.PrivateKey or ed25519.PrivateKey, a []byte for HMAC,
	// or nil for Ed448.
	privateKey  any
	provider    string // the key provider's name in the realm file, or empty
	certificate *x509.Certificate
	priority    int
	passive     bool // published and used to verify signatures, but not to sign
}

// publicKey returns the key that verifies signatures: the public key, or the secret for HMAC.
func (k *key) publicKey() any {
	if signer, ok := k.privateKey.(crypto.Signer); ok {
		return signer.Public()
	}
	return k.privateKey
}

// A keySet holds a realm's keys. The realm's lock guards it.
type keySet struct {
	realmName string
	keys      []*key
}

// activeKey returns an algorithm's active signing key with the highest priority, or nil. If several
// keys have the highest priority, it returns the newest.
func (set *keySet) activeKey(algorithm string) *key {
	var result *key
	for _, k := range set.keys {
		if k.algorithm == algorithm && k.use == "sig" && !k.passive &&
			(result == nil || k.priority >= result.priority) {
			result = k
		}
	}
	return result
}

// signingKey returns the key that signs with an algorithm. Like Keycloak, it generates a key if the
// realm has none for the algorithm.
func (set *keySet) signingKey(algorithm string) *key {
	k := set.activeKey(algorithm)
	if k == nil {
		k = newKey(realmfile.MaterialOf(algorithm), algorithm, set.realmName)
		k.priority = -100
		set.keys = append(set.keys, k)
	}
	return k
}

// signingProblem returns why the realm can't sign with an algorithm, or "". A realm file can
// configure a key of the wrong type for an algorithm; Keycloak then fails to sign.
func (set *keySet) signingProblem(algorithm string) string {
	if k := set.activeKey(algorithm); k != nil && k.material != realmfile.MaterialOf(algorithm) {
		return fmt.Sprintf("key provider %s: the algorithm %s with a key of %s is not supported",
			k.provider, algorithm, k.material)
	}
	return ""
}

// verificationKey returns the signing key with this kid, or nil.
func (set *keySet) verificationKey(kid string) *key {
	for _, k := range set.keys {
		if k.kid == kid && k.use == "sig" {
			return k
		}
	}
	return nil
}

// remove removes a key and reports whether it was in the set.
func (set *keySet) remove(kid string) bool {
	oldCount := len(set.keys)
	set.keys = slices.DeleteFunc(set.keys, func(k *key) bool { return k.kid == kid })
	return len(set.keys) < oldCount
}

// jwks returns the realm's JSON Web Key Set (RFC 7517), which doesn't include HMAC keys.
func (set *keySet) jwks() jwkset.JWKSMarshal {
	out := jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{}}
	for _, k := range set.keys {
		if k.material == "HMAC" {
			continue
		}
		options := jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: k.kid,
			ALG: jwkset.ALG(k.algorithm), USE: jwkset.USE(k.use)}}
		if k.certificate != nil {
			options.X509.X5C = []*x509.Certificate{k.certificate}
		}
		if k.privateKey == nil {
			out.Keys = append(out.Keys, ed448JWK(k))
			continue
		}
		jwk, err := jwkset.NewJWKFromKey(k.publicKey(), options)
		if err != nil {
			panic(fmt.Sprintf("keycloaktest: a generated key can't be written as a JWK: %v", err))
		}
		out.Keys = append(out.Keys, jwk.Marshal())
	}
	return out
}

// ed448JWK returns a JWK for an Ed448 key. Go lacks Ed448, so the public key is meaningless and the
// realm can't sign with the key.
func ed448JWK(k *key) jwkset.JWKMarshal {
	point := sha512.Sum512([]byte(k.kid))
	return jwkset.JWKMarshal{
		KTY: jwkset.KtyOKP, CRV: jwkset.CRV(k.material),
		X:   base64.RawURLEncoding.EncodeToString(point[:57]),
		KID: k.kid, ALG: jwkset.ALG(k.algorithm), USE: jwkset.USE(k.use),
	}
}

// newKey generates a key. material is RSA, HMAC or a curve.
func newKey(material, algorithm, realmName string) *key {
	k := &key{kid: uuid.NewString(), algorithm: algorithm, use: "sig", material: material}
	switch material {
	case "RSA":
		return keyFromRSA(rsaKeys.newKey(), algorithm, realmName)
	case "HMAC":
		secret := make([]byte, 128)
		rand.Read(secret) // never fails (crypto/rand)
		k.privateKey = secret
		return k
	case "Ed25519":
		_, privateKey, err := ed25519.GenerateKey(rand.Reader)
		k.privateKey = must(privateKey, err)
	case "Ed448":
		return k
	default:
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(),
			"P-521": elliptic.P521()}[material]
		k.privateKey = must(ecdsa.GenerateKey(curve, rand.Reader))
	}
	k.kid = keyID(k.privateKey.(crypto.Signer).Public())
	return k
}

// keyID returns the kid that Keycloak gives a public key: the SHA-256 of its SubjectPublicKeyInfo
// in base64url. It isn't the thumbprint of RFC 7638.
func keyID(publicKey any) string {
	der, err := x509.MarshalPKIXPublicKey(publicKey)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// keyFromRSA returns a realm key for an RSA key, with a self-signed certificate, which Keycloak
// publishes with the key.
func keyFromRSA(privateKey *rsa.PrivateKey, algorithm, realmName string) *key {
	use := "sig"
	if strings.HasPrefix(algorithm, "RSA-") {
		use = "enc"
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixMilli()), Subject: pkix.Name{CommonName: realmName},
		NotBefore: time.Now().Add(-100 * time.Second), NotAfter: time.Now().AddDate(10, 0, 0),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, privateKey.Public(),
		privateKey))
	return &key{kid: keyID(privateKey.Public()), algorithm: algorithm, use: use, material: "RSA",
		privateKey: privateKey, certificate: must(x509.ParseCertificate(der))}
}

// rsaKeys generates the RSA keys of this process. Generating a key takes 0.1 seconds or more, and
// most tests work with any key. So the first realms of all servers share one key, their second
// realms another, and so on. Realms of the same server never share a key.
var rsaKeys rsaKeyPool

type rsaKeyPool struct {
	mu         sync.Mutex                        // guards the field below
	sharedKeys map[[2]int]func() *rsa.PrivateKey // by realm index and key index
}

// rsaKey returns an RSA key for the server's realm with this index. It is shared with other servers
// unless Config.OwnKeys is set.
func (s *Server) rsaKey(realmIndex, keyIndex int) *rsa.PrivateKey {
	if s.ownKeys {
		return rsaKeys.newKey()
	}
	return rsaKeys.sharedKey(realmIndex, keyIndex)
}

// encryptionKey returns the encryption key of all realms of this process. It is published but never
// used.
var encryptionKey = sync.OnceValue(rsaKeys.newKey)

// sharedKey returns an RSA key for the realm with this index in any server.
func (p *rsaKeyPool) sharedKey(realmIndex, keyIndex int) *rsa.PrivateKey {
	p.mu.Lock()
	key := p.sharedKeys[[2]int{realmIndex, keyIndex}]
	if key == nil {
		if p.sharedKeys == nil {
			p.sharedKeys = map[[2]int]func() *rsa.PrivateKey{}
		}
		key = sync.OnceValue(p.newKey)
		p.sharedKeys[[2]int{realmIndex, keyIndex}] = key
	}
	p.mu.Unlock()
	return key()
}

// newKey generates a key that isn't shared.
func (*rsaKeyPool) newKey() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) }

// must returns value, or panics if err is set. It is for errors that only a broken random source or
// a bug in this package can cause.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// createConfiguredKeys creates the keys that the realm file configures. realmIndex is the realm's
// index in its server.
func (r *Realm) createConfiguredKeys(realmIndex int) {
	r.keySet = keySet{realmName: r.name}
	rsaKeyCount, encryptionKeyCount := 0, 0
	for _, spec := range r.settings.Keys {
		var k *key
		switch {
		case spec.Material != "RSA":
			k = newKey(spec.Material, spec.Algorithm, r.name)
		case spec.Use == "enc" && encryptionKeyCount == 0:
			k = keyFromRSA(encryptionKey(), spec.Algorithm, r.name)
			encryptionKeyCount++
		default:
			k = keyFromRSA(r.server.rsaKey(realmIndex, rsaKeyCount), spec.Algorithm, r.name)
			rsaKeyCount++
		}
		k.use, k.priority, k.passive, k.provider = spec.Use, spec.Priority, spec.Passive,
			spec.Provider
		if spec.ID != "" {
			k.kid = spec.ID
		}
		r.keySet.keys = append(r.keySet.keys, k)
	}
}
