package keycloak

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/cloakql/cloakql/identity"
)

const maxKeyID = 256 // bytes

// algorithms are the signatures that can be accepted: asymmetric ones alone. RFC 8725, sections 3.1
// and 3.2.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Algorithms are the names of the signatures that a Verifier can accept, RFC 7518 section 3.1 and
// RFC 8037.
func Algorithms() []string { return slices.Clone(algorithms) }

var strictBase64 = base64.RawURLEncoding.Strict()

// A jws is a token that was read, and not yet verified.
type jws struct {
	alg, kid  string
	claims    claims
	payload   []byte // the claims as they stand
	signed    string // what the signature covers
	signature []byte
}

// parse reads a compact JWS, RFC 7515 section 3.1, without trusting a word of it, and checks its
// header. It fails with ErrTokenMalformed, ErrTokenSignature for an algorithm that is not among
// those accepted, and ErrTokenNotAccepted for a header of another type.
func parse(token string, accepted []string) (*jws, error) {
	decoded, err := decodeCompact(token)
	if err != nil {
		return nil, err
	}
	var h header
	var reader jsonReader
	if err := reader.eachMember(decoded[0], h.take); err != nil {
		return nil, malformed("the header %v", err)
	}
	t := &jws{payload: decoded[1], signed: token[:strings.LastIndexByte(token, '.')], signature: decoded[2]}
	if err := reader.eachMember(decoded[1], t.claims.take); err != nil {
		return nil, malformed("the payload %v", err)
	}
	t.alg, t.kid, err = h.check(accepted)
	return t, err
}

// decodeCompact splits a compact JWS, RFC 7515 section 3.1, and decodes its three parts. A part is
// base64url without padding, without line breaks, and without stray bits at its end, so each token
// has one spelling. It fails with ErrTokenMalformed.
func decodeCompact(token string) (decoded [3][]byte, err error) {
	// Counted before anything is made of them: a token of dots alone has thousands
	// (CVE-2025-30204).
	if parts := strings.Count(token, ".") + 1; parts != 3 {
		return decoded, malformed("parts between dots: %d; expected 3", parts)
	}
	first, last := strings.IndexByte(token, '.'), strings.LastIndexByte(token, '.')
	space := make([]byte, 0, len(token))
	for i, part := range [3]string{token[:first], token[first+1 : last], token[last+1:]} {
		from := len(space)
		// Go's decoder skips line ends, wherever they are.
		if space, err = strictBase64.AppendDecode(space, []byte(part)); err != nil || strings.ContainsAny(part, "\r\n") {
			return decoded, malformed("part %d is not base64url without padding", i+1)
		}
		decoded[i] = space[from:len(space):len(space)]
	}
	return decoded, nil
}

// A header is the JOSE header's members that we act on, RFC 7515 section 4.1; nil where there is
// none.
//
// jku, x5u, jwk and x5c are not among them, and never looked at: they would let a token bring its
// own key, or make us fetch one from anywhere.
type header struct {
	crit, cty, kid, alg, typ raw
}

func (h *header) take(name []byte, value raw) {
	switch string(name) {
	case "crit":
		h.crit = value
	case "cty":
		h.cty = value
	case "kid":
		h.kid = value
	case "alg":
		h.alg = value
	case "typ":
		h.typ = value
	}
}

func (h *header) check(accepted []string) (alg, kid string, err error) {
	if h.crit != nil {
		return "", "", malformed("the header has crit: extensions are not supported")
	}
	if h.cty != nil { // RFC 7519, section 5.2
		return "", "", malformed("the header has cty, %s: a token within a token is not supported", h.cty.quote())
	}
	kid, ok := h.kid.text()
	if !ok || kid == "" || len(kid) > maxKeyID {
		return "", "", malformed("kid is %s; expected a string of 1 to %d bytes", h.kid.quote(), maxKeyID)
	}
	alg, ok = h.alg.text()
	if !ok {
		return "", "", malformed("alg is %s; expected a string", h.alg.quote())
	}
	if !slices.Contains(accepted, alg) {
		return "", "", wrongSignature("alg is %s; accepted: %s (VerifierConfig.Algorithms; the client's Access token signature algorithm in Keycloak)", h.alg.quote(), strings.Join(accepted, ", "))
	}
	if h.typ == nil {
		return alg, kid, nil
	}
	// RFC 9068, section 4, and RFC 8725, section 3.11. Media types match in any case.
	switch typ, _ := h.typ.text(); {
	case strings.EqualFold(typ, "JWT"), strings.EqualFold(typ, "at+jwt"),
		strings.EqualFold(typ, "application/jwt"), strings.EqualFold(typ, "application/at+jwt"):
		return alg, kid, nil
	}
	return "", "", notAccepted("typ in the header is %s; accepted: JWT, at+jwt", h.typ.quote())
}

func malformed(format string, args ...any) error {
	return &identity.Error{Reason: identity.ErrTokenMalformed, Detail: fmt.Sprintf(format, args...)}
}

func notAccepted(format string, args ...any) error {
	return &identity.Error{Reason: identity.ErrTokenNotAccepted, Detail: fmt.Sprintf(format, args...)}
}

func wrongSignature(format string, args ...any) error {
	return &identity.Error{Reason: identity.ErrTokenSignature, Detail: fmt.Sprintf(format, args...)}
}
