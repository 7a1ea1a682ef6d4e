package keycloak

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
)

// What RFC 7515, 7519, 7520 and 8037 show is in testdata/rfc.json: headers and signatures as they
// stand there, line ends included, and of each key what a verifier may know. An HMAC has no such
// half, so its key is there whole.

// An rfcExample is one signature, or one encrypted token.
type rfcExample struct {
	Name      string
	Source    []string
	Allowed   bool   // its algorithm is one that we accept
	Key       string // the name of its key
	Protected string // the header that is signed, as text
	Header    object // the header that isn't
	Payload   string // in base64url, as is the signature
	Signature string
	Compact   string
	JSON      []string // the other serialisations that the RFC shows
	Detached  bool     // the payload isn't sent
}

func (e rfcExample) String() string { return strings.Join(e.Source, " and ") + ": " + e.Name }

// signed is what the signature covers, RFC 7515 section 5.1.
func (e rfcExample) signed() string { return base64url([]byte(e.Protected)) + "." + e.Payload }

func (e rfcExample) signature() []byte {
	return must(strictBase64.DecodeString(e.Signature))
}

// member is a header's member, whether it is in the header that is signed, or in the other one.
func (e rfcExample) member(t *testing.T, name string) string {
	t.Helper()
	header := object{}
	if e.Protected != "" {
		if err := json.Unmarshal([]byte(e.Protected), &header); err != nil {
			t.Fatalf("the header of %v: %v", e, err)
		}
	}
	maps.Copy(header, e.Header)
	value, _ := header[name].(string)
	return value
}

// inJSON writes the example in a serialisation of RFC 7515, section 7.2, with the others that
// belong to it.
func (e rfcExample) inJSON(form string, all []rfcExample) string {
	message, signatures := object{}, []object{}
	if !e.Detached {
		message["payload"] = e.Payload
	}
	for _, other := range all {
		if slices.Equal(other.Source, e.Source) && slices.Contains(other.JSON, form) {
			signature := object{"signature": other.Signature}
			if other.Protected != "" {
				signature["protected"] = base64url([]byte(other.Protected))
			}
			if other.Header != nil {
				signature["header"] = other.Header
			}
			signatures = append(signatures, signature)
		}
	}
	if form == "flattened" {
		maps.Copy(message, signatures[0])
	} else {
		message["signatures"] = signatures
	}
	return toJSON(message)
}

type rfcExamples struct {
	Keys     map[string]object
	Examples []rfcExample
}

func readRFC(t *testing.T) rfcExamples {
	t.Helper()
	var all rfcExamples
	decoder := json.NewDecoder(strings.NewReader(fromFile(t, "rfc.json")))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// jwk is the example's key as a realm would publish it: the RFCs leave out what they don't need.
func (all rfcExamples) jwk(t *testing.T, e rfcExample) object {
	t.Helper()
	jwk := object{"kid": "the RFC's"}
	maps.Copy(jwk, all.Keys[e.Key])
	jwk["use"], jwk["alg"] = "sig", e.member(t, "alg")
	return jwk
}

func TestRFCExamplesAreAllThere(t *testing.T) {
	all := readRFC(t)
	got := map[string]int{}
	names := map[string]bool{}
	for _, e := range all.Examples {
		for _, source := range e.Source {
			got[source]++
		}
		if names[e.Name] {
			t.Errorf("two examples have the name %q", e.Name)
		}
		names[e.Name] = true
	}
	want := map[string]int{
		"RFC 7515, A.1": 1, "RFC 7515, A.2": 1, "RFC 7515, A.3": 1, "RFC 7515, A.4": 1,
		"RFC 7515, A.5": 1,
		"RFC 7515, A.6": 2, "RFC 7515, A.7": 1, "RFC 7515, E": 1,
		"RFC 7519, 3.1": 1, "RFC 7519, 6.1": 1, "RFC 7519, A.1": 1, "RFC 7519, A.2": 1,
		"RFC 7520, 4.1": 1, "RFC 7520, 4.2": 1, "RFC 7520, 4.3": 1, "RFC 7520, 4.4": 1,
		"RFC 7520, 4.5": 1,
		"RFC 7520, 4.6": 1, "RFC 7520, 4.7": 1, "RFC 7520, 4.8": 3, "RFC 7520, 6": 2,
		"RFC 8037, A.4": 1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("the sections are %v, want %v", got, want)
	}
	if len(all.Examples) != 24 || len(all.Keys) != 9 {
		t.Errorf("there are %d examples and %d keys, want 24 and 9", len(all.Examples),
			len(all.Keys))
	}
}

// A refusal says nothing when what was refused isn't the RFC's example. Those of accepted
// algorithms are checked by their signatures.
func TestRFCExamplesAreWhole(t *testing.T) {
	all := readRFC(t)
	for _, e := range all.Examples {
		alg := e.member(t, "alg")
		if e.Allowed != slices.Contains(Algorithms(), alg) {
			t.Errorf("%v: allowed is %v, and its algorithm %s", e, e.Allowed, alg)
		}
		if e.Allowed && (all.Keys[e.Key] == nil || e.Signature == "") {
			t.Errorf("%v has no key, or no signature", e)
		}
		header, rest, _ := strings.Cut(e.Compact, ".")
		payload, signature, _ := strings.Cut(rest, ".")
		switch sent := e.Payload; {
		case e.Compact == "":
			if len(e.JSON) == 0 {
				t.Errorf("%v is in no serialisation", e)
			}
		case header != base64url([]byte(e.Protected)):
			t.Errorf("%v: the header is not that of the compact form", e)
		case strings.Count(e.Compact, ".") == 4: // encrypted: what it holds is not in the file
			if e.Payload != "" || e.Signature != "" {
				t.Errorf("%v is encrypted and has a payload", e)
			}
		default:
			if e.Detached {
				sent = ""
			}
			if payload != sent || signature != e.Signature {
				t.Errorf("%v: the parts are not those of the compact form", e)
			}
		}
		if secret, ok := all.Keys[e.Key]["k"].(string); ok {
			mac := hmac.New(sha256.New, must(strictBase64.DecodeString(secret)))
			mac.Write([]byte(e.signed()))
			if alg != "HS256" || !hmac.Equal(mac.Sum(nil), e.signature()) {
				t.Errorf("%v: the %s is not right", e, alg)
			}
		}
	}
	for name, jwk := range all.Keys {
		for member := range jwk {
			if !slices.Contains([]string{"kty", "kid", "use", "alg", "n", "e", "crv", "x", "y",
				"k"}, member) {
				t.Errorf("the key %s has a member %s that no verifier needs", name, member)
			}
		}
	}
}

// rfcKey reads a key set of one key with our reader.
func rfcKey(t *testing.T, jwk object) crypto.PublicKey {
	t.Helper()
	keys, err := jose.ReadKeySet([]byte(certs(jwk)))
	if err != nil {
		t.Fatalf("jose.ReadKeySet(%v): %v", jwk, err)
	}
	key, known := keys.Keys[jwk["kid"].(string)]
	if !known || len(keys.Keys) != 1 {
		t.Fatalf("jose.ReadKeySet(%v) = %v", jwk, keys)
	}
	return key.Public
}

func TestRFCKeys(t *testing.T) {
	all := readRFC(t)
	for _, e := range all.Examples {
		if !e.Allowed {
			continue
		}
		jwk := all.jwk(t, e)
		number := func(member string) *big.Int {
			return new(big.Int).SetBytes(must(strictBase64.DecodeString(jwk[member].(string))))
		}
		var want interface{ Equal(crypto.PublicKey) bool }
		switch jwk["kty"] {
		case "RSA":
			want = &rsa.PublicKey{N: number("n"), E: int(number("e").Int64())}
		case "EC":
			curve := map[any]signer{"P-256": es256(),
				"P-521": {key: p521Key()}}[jwk["crv"]].key.Public().(*ecdsa.PublicKey).Curve
			point := slices.Concat([]byte{4}, must(strictBase64.DecodeString(jwk["x"].(string))),
				must(strictBase64.DecodeString(jwk["y"].(string))))
			want = must(ecdsa.ParseUncompressedPublicKey(curve, point))
		case "OKP":
			want = ed25519.PublicKey(must(strictBase64.DecodeString(jwk["x"].(string))))
		}
		if got := rfcKey(t, jwk); !want.Equal(got) {
			t.Errorf("%v: jose.ReadKeySet() = %v, want %v", e, got, want)
		}
	}
}

// Of the RFCs' keys just as they stand one alone could be a realm's: the others don't say what they
// are called, or what they are for, or which of the algorithms of RSA they sign with, or aren't for
// everyone.
func TestRFCKeysAsTheyStand(t *testing.T) {
	keys := readRFC(t).Keys
	says := map[string]string{
		"7515-a1":     "its kid is missing",
		"7515-a2":     "its use is missing",
		"7515-a3":     "its use is missing",
		"7515-a4":     "its kid is missing",
		"7520-rsa":    "its alg is missing",
		"7520-ec":     "",
		"7520-oct":    "it is a private key",
		"7520-nested": "its alg is missing",
		"8037":        "its kid is missing",
	}
	for name, jwk := range keys {
		switch keys, err := jose.ReadKeySet([]byte(certs(jwk))); {
		case says[name] == "":
			if err != nil || keys.Keys["bilbo.baggins@hobbiton.example"].Public == nil {
				t.Errorf("%s: jose.ReadKeySet() = %v, %v, want the key", name, keys, err)
			}
		case err == nil || !strings.Contains(err.Error(), says[name]):
			t.Errorf("%s: jose.ReadKeySet() = %v, want an error that says %q", name, err,
				says[name])
		}
	}
	for name := range keys {
		if _, listed := says[name]; !listed {
			t.Errorf("%s isn't listed here", name)
		}
	}
	for name := range says {
		if keys[name] == nil {
			t.Errorf("%s is listed, and isn't there", name)
		}
	}
}

// An rfcRefusal is a reason, and words that the detail of it has.
type rfcRefusal struct {
	reason error
	says   string
}

var (
	inJSON      = rfcRefusal{identity.ErrTokenMalformed, "expected 3"}
	encrypted   = rfcRefusal{identity.ErrTokenMalformed, "parts between dots: 5; expected 3"}
	noHeader    = rfcRefusal{identity.ErrTokenMalformed, "the header is not JSON"}
	noClaims    = rfcRefusal{identity.ErrTokenMalformed, "the payload is not JSON"}
	noKeyID     = rfcRefusal{identity.ErrTokenMalformed, "kid is missing"}
	hasCrit     = rfcRefusal{identity.ErrTokenMalformed, "crit"}
	hasCty      = rfcRefusal{identity.ErrTokenMalformed, "cty"}
	isHMAC      = rfcRefusal{identity.ErrTokenSignature, `alg is "HS256"`}
	isNone      = rfcRefusal{identity.ErrTokenSignature, `alg is "none"`}
	isRSA15     = rfcRefusal{identity.ErrTokenSignature, `alg is "RSA1_5"`}
	wrongClaims = rfcRefusal{identity.ErrTokenSignature, "the signature doesn't match the key"}
)

// No example is an access token of Keycloak's, so none may pass, although the realm has its key.
// What each is refused for at first, its form or its payload, isn't what it teaches: so each comes
// a second time, as an attacker would send it, with its header and signature around the claims of a
// good token, and with the key id that the RFC left out.
func TestMiddlewareRefusesRFCExamples(t *testing.T) {
	all := readRFC(t)
	first := map[string]rfcRefusal{ // of the compact form, where there is one
		"an HMAC":                           noKeyID,
		"RSA":                               noKeyID,
		"the curve P-256":                   noKeyID,
		"the curve P-521":                   noClaims,
		"not signed":                        noKeyID,
		"an extension that nobody knows":    noClaims,
		"an encrypted token":                encrypted,
		"a token encrypted in another":      encrypted,
		"RSA with a key id":                 noClaims,
		"RSA with a salt":                   noClaims,
		"the curve P-521 with a key id":     noClaims,
		"an HMAC with a key id":             noClaims,
		"a payload sent apart":              noClaims,
		"the token inside an encrypted one": noKeyID,
		"the encrypted one around it":       encrypted,
		"Ed25519":                           noClaims,
	}
	second := map[string]rfcRefusal{
		"an HMAC":                           isHMAC,
		"RSA":                               wrongClaims,
		"the curve P-256":                   wrongClaims,
		"the curve P-521":                   wrongClaims,
		"not signed":                        isNone,
		"the first of two signatures":       wrongClaims,
		"the second of two signatures":      wrongClaims,
		"flattened":                         wrongClaims,
		"an extension that nobody knows":    hasCrit,
		"an encrypted token":                isRSA15,
		"a token encrypted in another":      hasCty,
		"RSA with a key id":                 wrongClaims,
		"RSA with a salt":                   wrongClaims,
		"the curve P-521 with a key id":     wrongClaims,
		"an HMAC with a key id":             isHMAC,
		"a payload sent apart":              isHMAC,
		"some of the header protected":      isHMAC,
		"none of the header protected":      noHeader,
		"the first of three signatures":     wrongClaims,
		"the second of three signatures":    noHeader,
		"the third of three signatures":     isHMAC,
		"the token inside an encrypted one": wrongClaims,
		"the encrypted one around it":       hasCty,
		"Ed25519":                           wrongClaims,
	}
	ours := edDSA()
	good := ours.token(alice(t))
	for _, e := range all.Examples {
		t.Run(e.String(), func(t *testing.T) {
			jwk := all.jwk(t, e)
			verifier := newVerifier(t, newKeys(t, certs(ours.jwk(), jwk)), VerifierConfig{})
			if _, err := callerOf(t, new(logBook), verifier, "Bearer "+good); err != nil {
				t.Fatalf("a good token is refused: %v", err)
			}
			check := func(token string, want rfcRefusal) {
				t.Helper()
				if want.reason == nil {
					t.Fatal("no refusal is listed")
				}
				user, err := callerOf(t, new(logBook), verifier, "Bearer "+token)
				checkRefusal(t, err, want.reason, want.says)
				if user != nil {
					t.Errorf("the caller is %+v", user)
				}
			}
			if e.Compact != "" {
				check(e.Compact, first[e.Name])
			}
			for _, form := range e.JSON {
				check(e.inJSON(form, all.Examples), inJSON)
			}
			header := e.Protected
			if header != "" {
				header = with(t, header, object{"kid": jwk["kid"]})
			}
			check(base64url([]byte(header))+"."+base64url([]byte(alice(t)))+"."+e.Signature,
				second[e.Name])
		})
	}
}
