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

// testdata/rfc.json has the examples of RFC 7515, 7519, 7520 and 8037. Headers and signatures are
// exactly as in the RFCs, with the line breaks. Of each key, the file has only the public half.
// HMAC keys have no public half, so the file has the whole key.

// An rfcExample is one example: a signature or an encrypted token.
type rfcExample struct {
	Name      string
	Source    []string
	Allowed   bool     // whether its algorithm is one of Algorithms
	Key       string   // the key's name in rfcExamples.Keys
	Protected string   // the protected header, as JSON
	Header    object   // the unprotected header
	Payload   string   // in base64url
	Signature string   // in base64url
	Compact   string   // the compact serialization, if the RFC shows it
	JSON      []string // which JSON serializations the RFC shows: "flattened" or "general"
	Detached  bool     // whether the payload isn't part of the message
}

func (e rfcExample) String() string { return strings.Join(e.Source, " and ") + ": " + e.Name }

// signingInput returns the JWS signing input (RFC 7515, section 5.1).
func (e rfcExample) signingInput() string {
	return base64url([]byte(e.Protected)) + "." + e.Payload
}

// signature returns the decoded signature.
func (e rfcExample) signature() []byte {
	return must(strictBase64.DecodeString(e.Signature))
}

// member returns a member of the protected or unprotected header, or "" if it isn't a string.
func (e rfcExample) member(t *testing.T, name string) string {
	t.Helper()
	header := object{}
	if e.Protected != "" {
		if err := json.Unmarshal([]byte(e.Protected), &header); err != nil {
			t.Fatalf("decoding the header of %v: got %v, want nil", e, err)
		}
	}
	maps.Copy(header, e.Header)
	value, _ := header[name].(string)
	return value
}

// serialize returns the example in a JSON serialization (RFC 7515, section 7.2), together with the
// other signatures of the same message.
func (e rfcExample) serialize(form string, examples []rfcExample) string {
	message, signatures := object{}, []object{}
	if !e.Detached {
		message["payload"] = e.Payload
	}
	for _, sibling := range examples {
		if slices.Equal(sibling.Source, e.Source) && slices.Contains(sibling.JSON, form) {
			signature := object{"signature": sibling.Signature}
			if sibling.Protected != "" {
				signature["protected"] = base64url([]byte(sibling.Protected))
			}
			if sibling.Header != nil {
				signature["header"] = sibling.Header
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

// rfcExamples is the content of testdata/rfc.json.
type rfcExamples struct {
	Keys     map[string]object
	Examples []rfcExample
}

// readRFC reads testdata/rfc.json.
func readRFC(t *testing.T) rfcExamples {
	t.Helper()
	var rfc rfcExamples
	decoder := json.NewDecoder(strings.NewReader(readTestdata(t, "rfc.json")))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&rfc); err != nil {
		t.Fatal(err)
	}
	return rfc
}

// jwk returns the example's key as a realm would publish it: jwk adds the kid, use or alg if the
// RFC leaves them out.
func (r rfcExamples) jwk(t *testing.T, e rfcExample) object {
	t.Helper()
	jwk := object{"kid": "the RFC's"}
	maps.Copy(jwk, r.Keys[e.Key])
	jwk["use"], jwk["alg"] = "sig", e.member(t, "alg")
	return jwk
}

// testdata/rfc.json has every example of these sections of the RFCs.
func TestRFCExamples_complete(t *testing.T) {
	rfc := readRFC(t)
	got := map[string]int{}
	names := map[string]bool{}
	for _, e := range rfc.Examples {
		for _, source := range e.Source {
			got[source]++
		}
		if names[e.Name] {
			t.Errorf("two examples are named %q, want unique names", e.Name)
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
		t.Errorf("examples by section: %v, want %v", got, want)
	}
	if len(rfc.Examples) != 24 || len(rfc.Keys) != 9 {
		t.Errorf("%d examples and %d keys, want 24 and 9", len(rfc.Examples),
			len(rfc.Keys))
	}
}

// The parts of each example fit together; otherwise rejecting the example would prove nothing.
// TestRFCSignatures checks the signatures with accepted algorithms.
func TestRFCExamples_consistent(t *testing.T) {
	rfc := readRFC(t)
	for _, e := range rfc.Examples {
		alg := e.member(t, "alg")
		if e.Allowed != slices.Contains(Algorithms(), alg) {
			t.Errorf("%v: Allowed is %v, want %v for the algorithm %s", e, e.Allowed, !e.Allowed,
				alg)
		}
		if e.Allowed && (rfc.Keys[e.Key] == nil || e.Signature == "") {
			t.Errorf("%v: the key or the signature is missing, want both", e)
		}
		header, rest, _ := strings.Cut(e.Compact, ".")
		payload, signature, _ := strings.Cut(rest, ".")
		switch wantPayload := e.Payload; {
		case e.Compact == "":
			if len(e.JSON) == 0 {
				t.Errorf("%v: has neither Compact nor JSON, want at least one", e)
			}
		case header != base64url([]byte(e.Protected)):
			t.Errorf("%v: the header differs from Compact, want the same", e)
		case strings.Count(e.Compact, ".") == 4: // encrypted; its content is not in the file
			if e.Payload != "" || e.Signature != "" {
				t.Errorf("%v: has a payload or a signature, want neither for an encrypted token", e)
			}
		default:
			if e.Detached {
				wantPayload = ""
			}
			if payload != wantPayload || signature != e.Signature {
				t.Errorf("%v: the parts differ from Compact, want the same", e)
			}
		}
		if secret, ok := rfc.Keys[e.Key]["k"].(string); ok {
			mac := hmac.New(sha256.New, must(strictBase64.DecodeString(secret)))
			mac.Write([]byte(e.signingInput()))
			if alg != "HS256" || !hmac.Equal(mac.Sum(nil), e.signature()) {
				t.Errorf("%v: the signature isn't an HS256 MAC by the example's key", e)
			}
		}
	}
	for name, jwk := range rfc.Keys {
		for member := range jwk {
			if !slices.Contains([]string{"kty", "kid", "use", "alg", "n", "e", "crv", "x", "y",
				"k"}, member) {
				t.Errorf("the key %s has the unexpected member %s", name, member)
			}
		}
	}
}

// rfcKey returns the public key that jose.ReadKeySet reads from a key set with only this JWK.
func rfcKey(t *testing.T, jwk object) crypto.PublicKey {
	t.Helper()
	keys, err := jose.ReadKeySet([]byte(jwks(jwk)))
	if err != nil {
		t.Fatalf("jose.ReadKeySet(%v) = %v, want nil", jwk, err)
	}
	key, ok := keys.Keys[jwk["kid"].(string)]
	if !ok || len(keys.Keys) != 1 {
		t.Fatalf("jose.ReadKeySet(%v) = %v, want only this key", jwk, keys)
	}
	return key.Public
}

// jose.ReadKeySet reads the same public keys from the RFCs' JWKs as the crypto packages.
func TestRFCKeys(t *testing.T) {
	rfc := readRFC(t)
	for _, e := range rfc.Examples {
		if !e.Allowed {
			continue
		}
		jwk := rfc.jwk(t, e)
		number := func(member string) *big.Int {
			return new(big.Int).SetBytes(must(strictBase64.DecodeString(jwk[member].(string))))
		}
		var want interface{ Equal(crypto.PublicKey) bool }
		switch jwk["kty"] {
		case "RSA":
			want = &rsa.PublicKey{N: number("n"), E: int(number("e").Int64())}
		case "EC":
			curve := map[any]signingKey{"P-256": es256(),
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

// Only one of the RFCs' keys can be used without changes. Each of the others lacks a kid or a use,
// lacks an alg although it is an RSA key, or is secret.
func TestRFCKeys_verbatim(t *testing.T) {
	keys := readRFC(t).Keys
	wantErrs := map[string]string{
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
		switch keys, err := jose.ReadKeySet([]byte(jwks(jwk))); {
		case wantErrs[name] == "":
			if err != nil || keys.Keys["bilbo.baggins@hobbiton.example"].Public == nil {
				t.Errorf("%s: jose.ReadKeySet() = %v, %v; want the key", name, keys, err)
			}
		case err == nil || !strings.Contains(err.Error(), wantErrs[name]):
			t.Errorf("%s: jose.ReadKeySet() = %v, want an error with %q", name, err,
				wantErrs[name])
		}
	}
	for name := range keys {
		if _, ok := wantErrs[name]; !ok {
			t.Errorf("%s isn't in wantErrs", name)
		}
	}
	for name := range wantErrs {
		if keys[name] == nil {
			t.Errorf("%s is only in wantErrs", name)
		}
	}
}

// An rfcRejection is the expected reason of an example's rejection, and a part of the error's
// detail.
type rfcRejection struct {
	reason error
	detail string
}

var (
	jsonRejection      = rfcRejection{identity.ErrTokenMalformed, "expected 3"}
	encryptedRejection = rfcRejection{identity.ErrTokenMalformed,
		"parts between dots: 5; expected 3"}
	headerRejection    = rfcRejection{identity.ErrTokenMalformed, "the header is not JSON"}
	payloadRejection   = rfcRejection{identity.ErrTokenMalformed, "the payload is not JSON"}
	kidRejection       = rfcRejection{identity.ErrTokenMalformed, "kid is missing"}
	critRejection      = rfcRejection{identity.ErrTokenMalformed, "crit"}
	ctyRejection       = rfcRejection{identity.ErrTokenMalformed, "cty"}
	hmacRejection      = rfcRejection{identity.ErrTokenSignature, `alg is "HS256"`}
	noneRejection      = rfcRejection{identity.ErrTokenSignature, `alg is "none"`}
	rsa15Rejection     = rfcRejection{identity.ErrTokenSignature, `alg is "RSA1_5"`}
	signatureRejection = rfcRejection{identity.ErrTokenSignature,
		"the signature doesn't match the key"}
)

// No example is a Keycloak access token, so Middleware rejects all of them, although the realm has
// their keys. Most examples are rejected for their form or payload, which isn't what they are
// about. So the test also sends each example with the claims of a good token and with a kid.
func TestMiddleware_rfcExamples(t *testing.T) {
	rfc := readRFC(t)
	wantUnmodified := map[string]rfcRejection{ // only examples with a compact serialization
		"HMAC":                kidRejection,
		"RSA":                 kidRejection,
		"P-256":               kidRejection,
		"P-521":               payloadRejection,
		"unsigned":            kidRejection,
		"unknown extension":   payloadRejection,
		"encrypted token":     encryptedRejection,
		"nested token":        encryptedRejection,
		"RSA with kid":        payloadRejection,
		"RSA-PSS with kid":    payloadRejection,
		"P-521 with kid":      payloadRejection,
		"HMAC with kid":       payloadRejection,
		"detached payload":    payloadRejection,
		"nested token, inner": kidRejection,
		"nested token, outer": encryptedRejection,
		"Ed25519":             payloadRejection,
	}
	wantModified := map[string]rfcRejection{
		"HMAC":                       hmacRejection,
		"RSA":                        signatureRejection,
		"P-256":                      signatureRejection,
		"P-521":                      signatureRejection,
		"unsigned":                   noneRejection,
		"first of two signatures":    signatureRejection,
		"second of two signatures":   signatureRejection,
		"flattened":                  signatureRejection,
		"unknown extension":          critRejection,
		"encrypted token":            rsa15Rejection,
		"nested token":               ctyRejection,
		"RSA with kid":               signatureRejection,
		"RSA-PSS with kid":           signatureRejection,
		"P-521 with kid":             signatureRejection,
		"HMAC with kid":              hmacRejection,
		"detached payload":           hmacRejection,
		"partly protected header":    hmacRejection,
		"unprotected header":         headerRejection,
		"first of three signatures":  signatureRejection,
		"second of three signatures": headerRejection,
		"third of three signatures":  hmacRejection,
		"nested token, inner":        signatureRejection,
		"nested token, outer":        ctyRejection,
		"Ed25519":                    signatureRejection,
	}
	realmKey := edDSA()
	goodToken := realmKey.token(aliceClaims(t))
	for _, e := range rfc.Examples {
		t.Run(e.String(), func(t *testing.T) {
			jwk := rfc.jwk(t, e)
			verifier := newVerifier(t, newKeys(t, jwks(realmKey.jwk(), jwk)), VerifierConfig{})
			_, err := callMiddleware(t, new(logBuffer), verifier, "Bearer "+goodToken)
			if err != nil {
				t.Fatalf("a good token: got %v, want nil", err)
			}
			check := func(token string, want rfcRejection) {
				t.Helper()
				if want.reason == nil {
					t.Fatal("wantUnmodified or wantModified lacks this example")
				}
				user, err := callMiddleware(t, new(logBuffer), verifier, "Bearer "+token)
				checkVerifyError(t, err, want.reason, want.detail)
				if user != nil {
					t.Errorf("got the user %+v, want nil", user)
				}
			}
			if e.Compact != "" {
				check(e.Compact, wantUnmodified[e.Name])
			}
			for _, form := range e.JSON {
				check(e.serialize(form, rfc.Examples), jsonRejection)
			}
			header := e.Protected
			if header != "" {
				header = patch(t, header, object{"kid": jwk["kid"]})
			}
			check(base64url([]byte(header))+"."+base64url([]byte(aliceClaims(t)))+"."+e.Signature,
				wantModified[e.Name])
		})
	}
}
