package jose

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"

	"github.com/cloakql/cloakql/internal/strictjson"
)

const maxKeys = 100 // per set; realms have two to ten

// A Key is a public key that verifies signatures.
type Key struct {
	ID        string
	Algorithm string // the only algorithm the key may be used with
	Public    crypto.PublicKey
}

// Check returns an error if the key can't be used.
func (k Key) Check() error {
	switch {
	case k.ID == "" || len(k.ID) > maxKeyIDBytes:
		return fmt.Errorf("its kid has %d bytes; expected 1 to %d", len(k.ID), maxKeyIDBytes)
	case !UsableWith(k.Algorithm, k.Public):
		return fmt.Errorf("it is too weak, or not a key for %s", strictjson.Quote(k.Algorithm))
	}
	return nil
}

// A KeySet holds the keys of a JSON Web Key Set that can verify signatures.
type KeySet struct {
	Keys     map[string]Key // by kid
	Rejected []RejectedKey  // the set's other keys
}

// A RejectedKey is a key that can't be used.
type RejectedKey struct {
	ID     string // empty if it can't be read
	Reason string // for operators, such as: its use is "enc"
	// ForEncryption reports whether the key's use is "enc". Key sets normally have such keys.
	ForEncryption bool
	forSigning    bool // it has a kid, and its use is "sig"
}

// MissingKeyReason returns, for operators, why the set has no key with this kid.
func (s KeySet) MissingKeyReason(kid string) string {
	for _, key := range s.Rejected {
		if key.ID == kid {
			return "the key " + strictjson.Quote(kid) + " was skipped: " + key.Reason
		}
	}
	return "kid " + strictjson.Quote(kid) + " is not in the key set"
}

// rejectionReasons returns why the first few rejected keys can't be used.
func (s KeySet) rejectionReasons() string {
	text := ""
	for _, key := range s.Rejected[:min(len(s.Rejected), 3)] {
		text += fmt.Sprintf("; the key %s was skipped: %s", strictjson.Quote(key.ID), key.Reason)
	}
	return text
}

// ReadKeySet reads a JSON Web Key Set, RFC 7517 section 5. It rejects keys that are malformed, of
// an unknown type, weak, or not for signatures, and returns the others. It returns an error if no
// key is left. If several signing keys share a kid, all of them are rejected, since a token doesn't
// tell which one it means. An encryption key may share the kid of a signing key, for example if a
// realm has imported one key pair for both uses.
func ReadKeySet(body []byte) (KeySet, error) {
	var keysValue strictjson.Value
	keysMembers := 0
	if err := strictjson.VisitMembersLenient(body, func(name []byte, value strictjson.Value) {
		if string(name) == "keys" {
			keysValue = value
			keysMembers++
		}
	}); err != nil {
		return KeySet{}, fmt.Errorf("not a JSON Web Key Set: it %v", err)
	}
	set := KeySet{Keys: map[string]Key{}}
	seenIDs := map[string]bool{}
	keyCount := 0
	err := strictjson.VisitItemsLenient(keysValue, func(item strictjson.Value) {
		if keyCount++; keyCount > maxKeys {
			return
		}
		key, rejected := readKey(item)
		kid := key.ID
		if rejected != nil {
			kid = rejected.ID
		}
		switch {
		case rejected != nil && !rejected.forSigning:
			set.Rejected = append(set.Rejected, *rejected)
			return
		case seenIDs[kid]:
			delete(set.Keys, kid)
			set.Rejected = slices.DeleteFunc(set.Rejected, func(r RejectedKey) bool {
				return r.ID == kid && r.forSigning
			})
			set.Rejected = append(set.Rejected,
				RejectedKey{ID: kid,
					Reason: "more than one signing key has this kid", forSigning: true})
		case rejected != nil:
			set.Rejected = append(set.Rejected, *rejected)
		default:
			set.Keys[kid] = key
		}
		seenIDs[kid] = true
	})
	switch {
	case keysMembers != 1 || err != nil:
		return KeySet{}, errors.New("not a JSON Web Key Set: it has no list of keys")
	case keyCount > maxKeys:
		return KeySet{}, fmt.Errorf("the key set holds %d keys; accepted: %d", keyCount, maxKeys)
	case len(set.Keys) == 0:
		return KeySet{}, fmt.Errorf(
			"the key set holds no key that can verify signatures%s", set.rejectionReasons())
	}
	return set, nil
}

// A jwk holds the parameters of a JSON Web Key that the package uses, RFC 7517 section 4.
// Certificates (x5c, x5u, x5t) are ignored: the key is trusted because it comes from the realm's
// own endpoint.
type jwk struct {
	kty, use, keyOps, alg, kid, crv, n, e, x, y strictjson.Value
	hasPrivateParams                            bool
}

func (k *jwk) setMember(name []byte, value strictjson.Value) {
	switch string(name) {
	case "kty":
		k.kty = value
	case "use":
		k.use = value
	case "key_ops":
		k.keyOps = value
	case "alg":
		k.alg = value
	case "kid":
		k.kid = value
	case "crv":
		k.crv = value
	case "n":
		k.n = value
	case "e":
		k.e = value
	case "x":
		k.x = value
	case "y":
		k.y = value
	case "d", "p", "q", "dp", "dq", "qi", "oth", "k": // RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1
		k.hasPrivateParams = true
	}
}

// readKey reads one key of a set. If the key can't be used, the RejectedKey says why.
func readKey(item strictjson.Value) (Key, *RejectedKey) {
	var k jwk
	err := strictjson.VisitMembers(item, k.setMember)
	if err != nil { // ignore the members that were visited before the error
		return Key{}, &RejectedKey{Reason: "it " + err.Error()}
	}
	kid, ok := k.kid.String()
	if !ok || len(kid) > maxKeyIDBytes {
		kid = ""
	}
	use, _ := k.use.String()
	reject := func(format string, args ...any) (Key, *RejectedKey) {
		return Key{}, &RejectedKey{ID: kid, Reason: fmt.Sprintf(format, args...),
			forSigning: use == "sig" && kid != "", ForEncryption: use == "enc"}
	}
	if kid == "" {
		return reject("its kid is %s; expected a string of 1 to %d bytes", k.kid.Quoted(),
			maxKeyIDBytes)
	}
	if use != "sig" { // section 4.2; all of Keycloak's keys have a use
		return reject("its use is %s; expected \"sig\"", k.use.Quoted())
	}
	if k.hasPrivateParams { // anyone who can read the set can sign with it
		return reject("it is a private key, which must not be published")
	}
	if k.keyOps != nil { // section 4.3
		if ops, ok := k.keyOps.Strings(); !ok || !slices.Contains(ops, "verify") {
			return reject("its key_ops are %s; expected \"verify\" among them", k.keyOps.Quoted())
		}
	}
	alg, ok := k.alg.String()
	switch crv, _ := k.crv.String(); {
	case ok:
	case k.alg != nil:
		return reject("its alg is %s; expected a string", k.alg.Quoted())
	// Section 4.4 makes alg optional, but RFC 8725, section 3.1, demands one algorithm per key.
	default:
		alg = map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512",
			"Ed25519": "EdDSA"}[crv]
	}
	if !slices.Contains(algorithms, alg) {
		return reject("its alg is %s, which no token may have", k.alg.Quoted())
	}
	// RFC 8037. Keycloak also has Ed448 keys.
	if crv, _ := k.crv.String(); alg == "EdDSA" && crv != "Ed25519" {
		return reject("its crv is %s; expected \"Ed25519\"", k.crv.Quoted())
	}
	public, err := k.publicKey(kid, alg)
	switch {
	case err != nil:
		return reject("%v", err)
	case !UsableWith(alg, public):
		return reject("it is too weak, or not a key for %s", alg)
	}
	return Key{kid, alg, public}, nil
}

// publicKey returns the public key. Before it calls jwkset, it checks the encoding of the numbers
// according to RFC 7518, section 6: jwkset accepts padding, line breaks and coordinates of any
// length, and uses only the low 64 bits of a longer exponent.
func (k *jwk) publicKey(kid, alg string) (crypto.PublicKey, error) {
	stringOf := func(v strictjson.Value) string { s, _ := v.String(); return s }
	encoded := jwkset.JWKMarshal{
		KTY: jwkset.KTY(stringOf(k.kty)), KID: kid, USE: jwkset.UseSig, ALG: jwkset.ALG(alg),
		CRV: jwkset.CRV(stringOf(k.crv)), N: stringOf(k.n), E: stringOf(k.e),
		X: stringOf(k.x), Y: stringOf(k.y),
	}
	for _, number := range []struct {
		name  string
		value strictjson.Value
		sizes [2]int // minimum and maximum bytes
	}{{"n", k.n, modulusBytes}, {"e", k.e, exponentBytes}, {"x", k.x, coordinateBytes[alg]},
		{"y", k.y, coordinateBytes[alg]}} {
		// NewJWKFromMarshal reports missing numbers.
		if number.value == nil || number.sizes[1] == 0 {
			continue
		}
		decoded, err := base64url.DecodeString(stringOf(number.value))
		if err != nil || strings.ContainsAny(stringOf(number.value), "\r\n") {
			return nil, fmt.Errorf("its %s is not base64url without padding", number.name)
		}
		if len(decoded) < number.sizes[0] || len(decoded) > number.sizes[1] {
			return nil, fmt.Errorf("its %s has %d bytes; expected %d to %d", number.name,
				len(decoded), number.sizes[0], number.sizes[1])
		}
	}
	key, err := jwkset.NewJWKFromMarshal(encoded, jwkset.JWKMarshalOptions{},
		jwkset.JWKValidateOptions{})
	if err != nil {
		return nil, errors.New("it can't be read: " + strictjson.Escape(200, err.Error()))
	}
	return key.Key(), nil
}

var (
	// Sizes in bytes, minimum and maximum. UsableWith checks the strength of an RSA key. The extra
	// byte of n is for libraries that add a leading zero.
	modulusBytes  = [2]int{1, maxRSABits/8 + 1}
	exponentBytes = [2]int{1, 4}
	// Coordinates have the full size of the curve's field, with leading zeros: RFC 7518, section
	// 6.2.1.2.
	coordinateBytes = map[string][2]int{
		"ES256": {32, 32}, "ES384": {48, 48}, "ES512": {66, 66}, "EdDSA": {32, 32},
	}
)
