package keycloak

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"
)

const maxKeys = 100 // of one set; realms have two to ten

// A keySet is a JSON Web Key Set as far as it can verify signatures.
type keySet struct {
	keys     map[string]Key // by kid
	rejected []rejectedKey  // the others
}

// A rejectedKey is a key that was passed over.
type rejectedKey struct {
	kid      string // empty if it has none that can be read
	why      string // "its use is \"enc\""
	expected bool   // nothing is amiss: every realm has keys for encryption
	signs    bool   // it says that it is for signatures, and has a kid
}

// why returns why a key isn't there, for the tokens that name it.
func (s keySet) why(kid string) string {
	for _, key := range s.rejected {
		if key.kid == kid {
			return "the key " + quote(kid) + " was passed over: " + key.why
		}
	}
	return "kid " + quote(kid) + " is not in the key set"
}

// reasons are those of the first few keys.
func (s keySet) reasons() string {
	text := ""
	for _, key := range s.rejected[:min(len(s.rejected), 3)] {
		text += fmt.Sprintf("; of the key %s %s", quote(key.kid), key.why)
	}
	return text
}

// readKeys reads a JSON Web Key Set, RFC 7517 section 5. Keys that are malformed, of an unknown
// kind, weak, or for anything but signatures are passed over: one of them must not cost the others.
// It fails when none is left. Of two keys for signatures with one kid neither is kept, since
// nothing says which one is meant; one for encryption may have the kid of one for signatures, as
// when a realm has imported one pair for both.
func readKeys(body []byte) (keySet, error) {
	var list raw
	lists := 0
	if err := eachMemberLax(body, func(name []byte, value raw) {
		if string(name) == "keys" {
			list = value
			lists++
		}
	}); err != nil {
		return keySet{}, fmt.Errorf("the answer is not a JSON Web Key Set: it %v", err)
	}
	set := keySet{keys: map[string]Key{}}
	seen := map[string]bool{}
	count := 0
	err := eachItem(list, func(item raw) {
		if count++; count > maxKeys {
			return
		}
		key, rejected := readKey(item)
		kid := key.ID
		if rejected != nil {
			kid = rejected.kid
		}
		switch {
		case rejected != nil && !rejected.signs:
			set.rejected = append(set.rejected, *rejected)
			return
		case seen[kid]:
			delete(set.keys, kid)
			set.rejected = slices.DeleteFunc(set.rejected, func(r rejectedKey) bool { return r.kid == kid && r.signs })
			set.rejected = append(set.rejected, rejectedKey{kid: kid, why: "the set has more than one key for signatures of this kid", signs: true})
		case rejected != nil:
			set.rejected = append(set.rejected, *rejected)
		default:
			set.keys[kid] = key
		}
		seen[kid] = true
	})
	switch {
	case lists != 1 || err != nil:
		return keySet{}, errors.New("the answer is not a JSON Web Key Set: it has no list of keys")
	case count > maxKeys:
		return keySet{}, fmt.Errorf("the answer holds %d keys; accepted: %d", count, maxKeys)
	case len(set.keys) == 0:
		return keySet{}, fmt.Errorf("the answer holds no key that signatures can be verified with%s", set.reasons())
	}
	return set, nil
}

// A jwk is a JSON Web Key's members that we act on, RFC 7517 section 4. Its certificates (x5c, x5u,
// x5t) are not looked at: the key itself, from the realm's own endpoint, is what is trusted.
type jwk struct {
	kty, use, ops, alg, kid, crv, n, e, x, y raw
	private                                  bool // it has members of a private or a secret key
}

func (k *jwk) setMember(name []byte, value raw) {
	switch string(name) {
	case "kty":
		k.kty = value
	case "use":
		k.use = value
	case "key_ops":
		k.ops = value
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
		k.private = true
	}
}

// readKey reads one key of a set, and says why when it can't be used.
func readKey(item raw) (Key, *rejectedKey) {
	var k jwk
	err := eachMember(item, k.setMember)
	if err != nil { // what was read so far counts for nothing
		return Key{}, &rejectedKey{why: "it " + err.Error()}
	}
	kid, ok := k.kid.text()
	if !ok || len(kid) > maxKeyID {
		kid = ""
	}
	use, _ := k.use.text()
	reject := func(format string, args ...any) (Key, *rejectedKey) {
		return Key{}, &rejectedKey{kid: kid, why: fmt.Sprintf(format, args...), signs: use == "sig" && kid != "", expected: use == "enc"}
	}
	if kid == "" {
		return reject("its kid is %s; expected a string of 1 to %d bytes", k.kid.quote(), maxKeyID)
	}
	if use != "sig" { // section 4.2; Keycloak gives one to each key
		return reject("its use is %s; expected \"sig\"", k.use.quote())
	}
	if k.private { // whoever can read the set can sign with it
		return reject("it is a private key, for everyone to read")
	}
	if k.ops != nil { // section 4.3
		if ops, ok := k.ops.texts(); !ok || !slices.Contains(ops, "verify") {
			return reject("its key_ops are %s; expected \"verify\" among them", k.ops.quote())
		}
	}
	alg, ok := k.alg.text()
	switch crv, _ := k.crv.text(); {
	case ok:
	case k.alg != nil:
		return reject("its alg is %s; expected a string", k.alg.quote())
	default: // section 4.4 lets it be absent; RFC 8725, section 3.1, demands one algorithm for each key
		alg = map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}[crv]
	}
	if !slices.Contains(algorithms, alg) {
		return reject("its alg is %s, which no token may have", k.alg.quote())
	}
	if crv, _ := k.crv.text(); alg == "EdDSA" && crv != "Ed25519" { // RFC 8037; Keycloak makes Ed448 too
		return reject("its crv is %s; expected \"Ed25519\"", k.crv.quote())
	}
	public, err := k.read(kid, alg)
	switch {
	case err != nil:
		return reject("%v", err)
	case !fits(alg, public):
		return reject("it is too weak, or not one for %s", alg)
	}
	return Key{kid, alg, public}, nil
}

// read makes the key. jwkset is given what RFC 7518, section 6, allows: its own decoder takes
// padding and line ends, coordinates of any length, and the low 64 bits of a longer exponent.
func (k *jwk) read(kid, alg string) (crypto.PublicKey, error) {
	text := func(v raw) string { s, _ := v.text(); return s }
	members := jwkset.JWKMarshal{
		KTY: jwkset.KTY(text(k.kty)), KID: kid, USE: jwkset.UseSig, ALG: jwkset.ALG(alg),
		CRV: jwkset.CRV(text(k.crv)), N: text(k.n), E: text(k.e), X: text(k.x), Y: text(k.y),
	}
	for _, number := range []struct {
		name  string
		value raw
		sizes [2]int // bytes, at least and at most
	}{{"n", k.n, rsaBytes}, {"e", k.e, exponentBytes}, {"x", k.x, coordinateBytes[alg]}, {"y", k.y, coordinateBytes[alg]}} {
		if number.value == nil || number.sizes[1] == 0 { // NewJWKFromMarshal misses those that are needed
			continue
		}
		bytes, err := strictBase64.DecodeString(text(number.value))
		if err != nil || strings.ContainsAny(text(number.value), "\r\n") {
			return nil, fmt.Errorf("its %s is not base64url without padding", number.name)
		}
		if len(bytes) < number.sizes[0] || len(bytes) > number.sizes[1] {
			return nil, fmt.Errorf("its %s has %d bytes; expected %d to %d", number.name, len(bytes), number.sizes[0], number.sizes[1])
		}
	}
	key, err := jwkset.NewJWKFromMarshal(members, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return nil, errors.New("it can't be read: " + ascii(err.Error()))
	}
	return key.Key(), nil
}

var (
	rsaBytes      = [2]int{1, maxRSABits/8 + 1} // fits says what is too weak; some libraries put a zero before it
	exponentBytes = [2]int{1, 4}
	// Coordinates have all the bytes that the curve's field has, leading zeros too: RFC 7518,
	// section 6.2.1.2.
	coordinateBytes = map[string][2]int{"ES256": {32, 32}, "ES384": {48, 48}, "ES512": {66, 66}, "EdDSA": {32, 32}}
)
