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

// A key is one key of a realm, with what its provider says of it.
type key struct {
	kid       string
	algorithm string // of JWA: RS256, HS512, RSA-OAEP ...
	use       string // sig or enc
	material  string // RSA, HMAC, or a curve
	// *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey, or []byte for HMAC; nil for Ed448
	private     any
	provider    string // its name in the realm file; empty: no provider of a file wants it
	certificate *x509.Certificate
	priority    int
	passive     bool // still listed and verifying, but signs no more
}

func (k *key) public() any {
	if signer, ok := k.private.(crypto.Signer); ok {
		return signer.Public()
	}
	return k.private
}

// A keyRing is what a realm signs and verifies with. Its realm's lock guards it.
type keyRing struct {
	realm string
	keys  []*key
}

// active is the active key of an algorithm that has the highest priority; a newer one wins a tie.
// It is nil where the realm has none.
func (ring *keyRing) active(algorithm string) *key {
	var best *key
	for _, k := range ring.keys {
		if k.algorithm == algorithm && k.use == "sig" && !k.passive &&
			(best == nil || k.priority >= best.priority) {
			best = k
		}
	}
	return best
}

// signing is the active key of an algorithm. Like Keycloak, a realm makes the key of an algorithm
// that it has none of at the first use.
func (ring *keyRing) signing(algorithm string) *key {
	k := ring.active(algorithm)
	if k == nil {
		k = newKey(realmfile.MaterialOf(algorithm), algorithm, ring.realm)
		k.priority = -100
		ring.keys = append(ring.keys, k)
	}
	return k
}

// unable says why nothing can be signed with an algorithm: a realm file may give it a key of
// another kind, which Keycloak fails to sign with. It is "" where all is well.
func (ring *keyRing) unable(algorithm string) string {
	if k := ring.active(algorithm); k != nil && k.material != realmfile.MaterialOf(algorithm) {
		return fmt.Sprintf("key provider %s: the algorithm %s with a key of %s is not supported",
			k.provider, algorithm, k.material)
	}
	return ""
}

// verifying is the key of a kid, for verification; nil when the realm has none.
func (ring *keyRing) verifying(kid string) *key {
	for _, k := range ring.keys {
		if k.kid == kid && k.use == "sig" {
			return k
		}
	}
	return nil
}

func (ring *keyRing) remove(kid string) bool {
	before := len(ring.keys)
	ring.keys = slices.DeleteFunc(ring.keys, func(k *key) bool { return k.kid == kid })
	return len(ring.keys) < before
}

// set is the realm's JSON Web Key Set (RFC 7517), as its certs endpoint publishes it: no HMAC keys.
func (ring *keyRing) set() jwkset.JWKSMarshal {
	out := jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{}}
	for _, k := range ring.keys {
		if k.material == "HMAC" {
			continue
		}
		options := jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: k.kid,
			ALG: jwkset.ALG(k.algorithm), USE: jwkset.USE(k.use)}}
		if k.certificate != nil {
			options.X509.X5C = []*x509.Certificate{k.certificate}
		}
		if k.private == nil {
			out.Keys = append(out.Keys, ed448JWK(k))
			continue
		}
		jwk, err := jwkset.NewJWKFromKey(k.public(), options)
		if err != nil {
			panic(fmt.Sprintf("keycloaktest: a key of our own can't be written as a JWK: %v", err))
		}
		out.Keys = append(out.Keys, jwk.Marshal())
	}
	return out
}

// ed448JWK lists a key of Ed448, which Go doesn't have: it is a point without a known private key.
func ed448JWK(k *key) jwkset.JWKMarshal {
	point := sha512.Sum512([]byte(k.kid))
	return jwkset.JWKMarshal{
		KTY: jwkset.KtyOKP, CRV: jwkset.CRV(k.material),
		X:   base64.RawURLEncoding.EncodeToString(point[:57]),
		KID: k.kid, ALG: jwkset.ALG(k.algorithm), USE: jwkset.USE(k.use),
	}
}

// newKey makes a key of RSA, HMAC or a curve, for a realm of this name.
func newKey(material, algorithm, realm string) *key {
	k := &key{kid: uuid.NewString(), algorithm: algorithm, use: "sig", material: material}
	switch material {
	case "RSA":
		return rsaKey(rsaKeys.fresh(), algorithm, realm)
	case "HMAC":
		secret := make([]byte, 128)
		rand.Read(secret) // never fails (crypto/rand)
		k.private = secret
		return k
	case "Ed25519":
		_, ed, err := ed25519.GenerateKey(rand.Reader)
		k.private = must(ed, err)
	case "Ed448":
		return k
	default:
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(),
			"P-521": elliptic.P521()}[material]
		k.private = must(ecdsa.GenerateKey(curve, rand.Reader))
	}
	k.kid = keyID(k.private.(crypto.Signer).Public())
	return k
}

// keyID is Keycloak's kid of a public key: the SHA-256 of its SubjectPublicKeyInfo, in base64url.
// It isn't the thumbprint of RFC 7638.
func keyID(public any) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// rsaKey is a key of RSA, with the self-signed certificate that Keycloak publishes beside it.
func rsaKey(private *rsa.PrivateKey, algorithm, realm string) *key {
	use := "sig"
	if strings.HasPrefix(algorithm, "RSA-") {
		use = "enc"
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixMilli()), Subject: pkix.Name{CommonName: realm},
		NotBefore: time.Now().Add(-100 * time.Second), NotAfter: time.Now().AddDate(10, 0, 0),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, private.Public(), private))
	return &key{kid: keyID(private.Public()), algorithm: algorithm, use: use, material: "RSA",
		private: private, certificate: must(x509.ParseCertificate(der))}
}

// rsaKeys makes the RSA keys of this process. An RSA key costs a tenth of a second and more, and a
// test that doesn't rotate keys doesn't care which it gets; so the first realm of every server has
// the same key, the second another, and so on: two realms of one server never share one.
var rsaKeys rsaMaker

type rsaMaker struct {
	mu     sync.Mutex // guards the field below
	shared map[[2]int]func() *rsa.PrivateKey
}

// rsaKey is the key in place n of a realm that is in place realm of its server: shared, unless the
// server wants its own.
func (s *Server) rsaKey(realm, n int) *rsa.PrivateKey {
	if s.ownKeys {
		return rsaKeys.fresh()
	}
	return rsaKeys.nth(realm, n)
}

// encryptionKey is the one that every realm of this process lists; it is never used.
var encryptionKey = sync.OnceValue(rsaKeys.fresh)

// nth is a key that is shared by the realms in place n of their servers: the first, the second ...
// of each.
func (m *rsaMaker) nth(n, which int) *rsa.PrivateKey {
	m.mu.Lock()
	made := m.shared[[2]int{n, which}]
	if made == nil {
		if m.shared == nil {
			m.shared = map[[2]int]func() *rsa.PrivateKey{}
		}
		made = sync.OnceValue(m.fresh)
		m.shared[[2]int{n, which}] = made
	}
	m.mu.Unlock()
	return made()
}

// fresh returns a new key, which no other call returns.
func (*rsaMaker) fresh() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) }

// must is for what only a broken random source or a bug of ours can make fail.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// makeKeys makes the keys that the realm file wants. place is which realm of its server it is.
func (r *Realm) makeKeys(place int) {
	r.keys = keyRing{realm: r.name}
	pairs, encrypting := 0, 0
	for _, plan := range r.settings.Keys {
		var k *key
		switch {
		case plan.Material != "RSA":
			k = newKey(plan.Material, plan.Algorithm, r.name)
		case plan.Use == "enc" && encrypting == 0:
			k = rsaKey(encryptionKey(), plan.Algorithm, r.name)
			encrypting++
		default:
			k = rsaKey(r.server.rsaKey(place, pairs), plan.Algorithm, r.name)
			pairs++
		}
		k.use, k.priority, k.passive, k.provider = plan.Use, plan.Priority, plan.Passive,
			plan.Provider
		if plan.ID != "" {
			k.kid = plan.ID
		}
		r.keys.keys = append(r.keys.keys, k)
	}
}
