package jose

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/cloakql/cloakql/internal/strictjson"
)

const maxKeyIDBytes = 256

var base64url = base64.RawURLEncoding.Strict()

// A JWS is a parsed token that hasn't been verified.
type JWS struct {
	Algorithm string // the header's alg, an accepted algorithm
	KeyID     string // the header's kid
	Payload   []byte // decoded JSON
	// SigningInput is the encoded header and payload, which the signature covers.
	SigningInput string
	Signature    []byte
}

// A Reason classifies an Error.
type Reason int

const (
	ReasonMalformed Reason = iota + 1
	ReasonAlgorithm        // alg isn't accepted
	ReasonType             // the header's typ isn't accepted
)

// An Error says why a token is rejected, for operators.
type Error struct {
	Reason  Reason
	message string
}

func (e *Error) Error() string { return e.message }

func newError(reason Reason, format string, args ...any) error {
	return &Error{reason, fmt.Sprintf(format, args...)}
}

func malformedError(format string, args ...any) error {
	return newError(ReasonMalformed, format, args...)
}

// Parse parses a compact JWS, RFC 7515 section 3.1, whose payload is a JSON object of claims. It
// calls visit with each claim, as strictjson.VisitMembers does. Parse checks the header: kid is
// required, alg must be in acceptedAlgs, crit and cty must be absent, and typ must be in
// acceptedTypes, in any case, with or without the prefix "application/". If acceptedTypes contains
// "", typ may be absent. Parse doesn't check the signature. Any error is an *Error.
func Parse(token string, acceptedAlgs, acceptedTypes []string,
	visit func(name []byte, value strictjson.Value)) (*JWS, error) {
	parts, err := DecodeCompact(token)
	if err != nil {
		return nil, err
	}
	var h header
	var reader strictjson.Reader
	if err := reader.VisitMembers(parts[0], h.setMember); err != nil {
		return nil, malformedError("the header %v", err)
	}
	if err := reader.VisitMembers(parts[1], visit); err != nil {
		return nil, malformedError("the payload %v", err)
	}
	alg, kid, err := h.check(acceptedAlgs, acceptedTypes)
	if err != nil {
		return nil, err
	}
	return &JWS{alg, kid, parts[1], token[:strings.LastIndexByte(token, '.')], parts[2]}, nil
}

// DecodeCompact splits a compact JWS, RFC 7515 section 3.1, and decodes its three parts. The parts
// must be base64url without padding, line breaks, or stray bits at the end, so that each token has
// only one encoding. Any error is an *Error whose Reason is ReasonMalformed.
func DecodeCompact(token string) (parts [3][]byte, err error) {
	// Count before splitting: a token of dots has thousands of parts (CVE-2025-30204).
	if count := strings.Count(token, ".") + 1; count != 3 {
		return parts, malformedError("parts between dots: %d; expected 3", count)
	}
	dot1, dot2 := strings.IndexByte(token, '.'), strings.LastIndexByte(token, '.')
	buf := make([]byte, 0, len(token))
	for i, encoded := range [3]string{token[:dot1], token[dot1+1 : dot2], token[dot2+1:]} {
		start := len(buf)
		// Check for line breaks: Go's decoder skips them.
		if buf, err = base64url.AppendDecode(buf, []byte(encoded)); err != nil ||
			strings.ContainsAny(encoded, "\r\n") {
			return parts, malformedError("part %d is not base64url without padding", i+1)
		}
		parts[i] = buf[start:len(buf):len(buf)]
	}
	return parts, nil
}

// A header holds the parameters of a JOSE header that Parse checks, RFC 7515 section 4.1. An absent
// parameter is nil.
//
// jku, x5u, jwk and x5c are deliberately ignored: they would let a token bring its own key, or make
// this process fetch a key from anywhere.
type header struct {
	crit, cty, kid, alg, typ strictjson.Value
}

func (h *header) setMember(name []byte, value strictjson.Value) {
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

func (h *header) check(acceptedAlgs, acceptedTypes []string) (alg, kid string, err error) {
	if h.crit != nil {
		return "", "", malformedError("the header has crit: extensions are not supported")
	}
	if h.cty != nil { // RFC 7519, section 5.2
		return "", "", malformedError(
			"the header has cty, %s: a token within a token is not supported", h.cty.Quoted())
	}
	kid, ok := h.kid.String()
	if !ok || kid == "" || len(kid) > maxKeyIDBytes {
		return "", "", malformedError("kid is %s; expected a string of 1 to %d bytes",
			h.kid.Quoted(), maxKeyIDBytes)
	}
	alg, ok = h.alg.String()
	if !ok {
		return "", "", malformedError("alg is %s; expected a string", h.alg.Quoted())
	}
	if !slices.Contains(acceptedAlgs, alg) {
		return "", "", newError(ReasonAlgorithm, "alg is %s; accepted: %s", h.alg.Quoted(),
			strings.Join(acceptedAlgs, ", "))
	}
	typ, ok := h.typ.String()
	for _, accepted := range acceptedTypes {
		if ok && accepted != "" && isType(typ, accepted) || h.typ == nil && accepted == "" {
			return alg, kid, nil
		}
	}
	names := slices.DeleteFunc(slices.Clone(acceptedTypes), func(t string) bool { return t == "" })
	return "", "", newError(ReasonType, "typ in the header is %s; accepted: %s", h.typ.Quoted(),
		strings.Join(names, ", "))
}

// isType reports whether typ is the media type accepted, which lacks the prefix "application/".
// Media types are case-insensitive, and typ may lack the prefix: RFC 7515, section 4.1.9.
func isType(typ, accepted string) bool {
	const prefix = "application/"
	return strings.EqualFold(typ, accepted) ||
		len(typ) > len(prefix) && strings.EqualFold(typ[:len(prefix)], prefix) &&
			strings.EqualFold(typ[len(prefix):], accepted)
}
