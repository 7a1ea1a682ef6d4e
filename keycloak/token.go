package keycloak

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cloakql/cloakql/identity"
)

const (
	maxJSONDepth = 32 // of a header or a payload
	maxKeyID     = 256
)

// algorithms are the signatures that are accepted: asymmetric ones alone. RFC 8725, sections 3.1 and 3.2.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

var strictBase64 = base64.RawURLEncoding.Strict()

// A jws is a token that was read, and not yet verified.
type jws struct {
	header    map[string]any
	claims    map[string]any
	payload   []byte // the claims as they stand
	signed    string // what the signature covers
	signature []byte
	alg, kid  string
}

// parse reads a compact JWS, RFC 7515 section 3.1, without trusting a word of it, and checks its header.
// It fails with ErrTokenMalformed, ErrTokenSignature for an algorithm that is not accepted, and
// ErrTokenNotAccepted for a header of another type.
func parse(raw string) (*jws, error) {
	if parts := strings.Count(raw, ".") + 1; parts != 3 {
		return nil, malformed("parts between dots: %d; expected 3", parts)
	}
	parts := strings.Split(raw, ".")
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		// Go's decoder skips line ends, wherever they are.
		if decoded[i], err = strictBase64.DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return nil, malformed("part %d is not base64url without padding", i+1)
		}
	}
	token := &jws{payload: decoded[1], signed: raw[:len(parts[0])+1+len(parts[1])], signature: decoded[2]}
	var err error
	if token.header, err = readObject(decoded[0]); err != nil {
		return nil, malformed("the header %v", err)
	}
	if token.claims, err = readObject(decoded[1]); err != nil {
		return nil, malformed("the payload %v", err)
	}
	return token, token.checkHeader()
}

// checkHeader checks the members of a header that we act on. jku, x5u, jwk and x5c are never looked at:
// they would let a token bring its own key.
func (t *jws) checkHeader() error {
	var ok bool
	if _, there := t.header["crit"]; there {
		return malformed("the header has crit: extensions are not supported")
	}
	if t.kid, ok = t.header["kid"].(string); !ok || t.kid == "" || len(t.kid) > maxKeyID {
		return malformed("kid is %s; expected a string of at most %d bytes", quote(t.header["kid"]), maxKeyID)
	}
	if t.alg, ok = t.header["alg"].(string); !ok {
		return malformed("alg is %s; expected a string", quote(t.header["alg"]))
	}
	if !slices.Contains(algorithms, t.alg) {
		return wrongSignature("alg is %s; accepted: %s", quote(t.alg), strings.Join(algorithms, ", "))
	}
	// RFC 9068, section 4, and RFC 8725, section 3.11. Media types match in any case.
	if typ, there := t.header["typ"]; there {
		text, _ := typ.(string)
		text = strings.TrimPrefix(strings.ToLower(text), "application/")
		if text != "jwt" && text != "at+jwt" {
			return notAccepted("typ in the header is %s; accepted: JWT, at+jwt", quote(typ))
		}
	}
	return nil
}

// readObject reads a JSON object whose members are unique at every depth, RFC 7519 section 4: of two
// members of one name, two readers may see different ones.
func readObject(text []byte) (map[string]any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	value, err := readValue(decoder, 0)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("is followed by more")
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("is not a JSON object")
	}
	return object, nil
}

func readValue(decoder *json.Decoder, depth int) (any, error) {
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("nests deeper than %d", maxJSONDepth)
	}
	token, err := decoder.Token()
	if err != nil {
		return nil, errors.New("is not JSON")
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for decoder.More() {
			name, err := decoder.Token()
			if err != nil {
				return nil, errors.New("is not JSON")
			}
			if _, twice := object[name.(string)]; twice {
				return nil, fmt.Errorf("has the member %s twice", quote(name))
			}
			if object[name.(string)], err = readValue(decoder, depth+1); err != nil {
				return nil, err
			}
		}
		if _, err := decoder.Token(); err != nil {
			return nil, errors.New("is not JSON")
		}
		return object, nil
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			item, err := readValue(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		if _, err := decoder.Token(); err != nil {
			return nil, errors.New("is not JSON")
		}
		return list, nil
	}
	return token, nil
}

func malformed(format string, args ...any) error {
	return &identity.TokenError{Reason: identity.ErrTokenMalformed, Detail: fmt.Sprintf(format, args...)}
}

func notAccepted(format string, args ...any) error {
	return &identity.TokenError{Reason: identity.ErrTokenNotAccepted, Detail: fmt.Sprintf(format, args...)}
}

func wrongSignature(format string, args ...any) error {
	return &identity.TokenError{Reason: identity.ErrTokenSignature, Detail: fmt.Sprintf(format, args...)}
}

// quote shows a value out of a token: bounded, and in ASCII, so that it can't turn the lines of a log around.
func quote(v any) string {
	if v == nil {
		return "missing"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "unreadable"
	}
	var ascii strings.Builder
	for i, r := range string(text) {
		if i >= 200 {
			return ascii.String() + "..."
		}
		if r < 0x7f {
			ascii.WriteRune(r)
		} else {
			fmt.Fprintf(&ascii, "\\u{%x}", r)
		}
	}
	return ascii.String()
}
