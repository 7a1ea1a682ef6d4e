package keycloak

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/identity"
)

func FuzzBearer(f *testing.F) {
	for _, header := range []string{"", "Bearer a.b.c", "bearer  x", "BEARER", "Basic eDp5", "Bearer a b", "Bearer\ta", "Bearer a,b", "\u00a0Bearer\u2003x", "Bearer \xff"} {
		f.Add(header, header, uint8(1))
		f.Add(header, "Bearer x", uint8(2))
	}
	f.Fuzz(func(t *testing.T, first, second string, count uint8) {
		headers := []string{first, second}[:count%3]
		token, err := bearer(headers)
		switch {
		case err != nil && !errors.Is(err, identity.ErrTokenMalformed):
			t.Errorf("bearer(%q) = %v", headers, err)
		case err != nil && token != "":
			t.Errorf("bearer(%q) gives %q and %v", headers, token, err)
		case len(headers) == 2 && err == nil:
			t.Errorf("bearer(%q) chose one of two", headers)
		case token == "":
			return
		}
		if strings.ContainsFunc(token, unicode.IsSpace) || !strings.HasSuffix(strings.TrimSpace(first), token) ||
			!strings.EqualFold(strings.Fields(first)[0], "Bearer") {
			t.Errorf("bearer(%q) = %q", headers, token)
		}
	})
}

// What our strict reader accepts, the usual readers must accept as well, and see the same in it: where
// two readers of one token differ, one of them can be fooled.
func FuzzParse(f *testing.F) {
	key := edDSA()
	for _, payload := range []string{
		`{"sub":"a","exp":1767269040}`, `{}`, `{"a":[1,{"b":null}],"c":1.5e3,"\u0064":"\ud83d\ude00\ud800"}`, `{"a":1,"a":2}`, `[]`, `null`,
		nested(40), ` {"n":12345678901234567890} `, `{"a":"` + "\xff" + `"}`, `{} {}`, `{"exp":1e999}`,
	} {
		f.Add(key.header(), payload, "")
		f.Add(`{"alg":"none","kid":"x"}`, payload, "=")
		f.Add(`{"alg":"RS256","kid":"x","typ":"at+jwt","x":1e999}`, payload, ".")
	}
	f.Fuzz(func(t *testing.T, header, payload, tail string) {
		raw := base64url([]byte(header)) + "." + base64url([]byte(payload)) + "." + tail
		token, err := parse(raw)
		if err != nil {
			if refused, ok := errors.AsType[*identity.TokenError](err); !ok || refused.Reason == nil || refused.Detail == "" {
				t.Errorf("parse(%q) = %#v", raw, err)
			}
			return
		}
		var plain map[string]any
		decoder := json.NewDecoder(strings.NewReader(header))
		decoder.UseNumber()
		if err := decoder.Decode(&plain); err != nil || !reflect.DeepEqual(plain, token.header) {
			t.Errorf("encoding/json reads the header %q as %v, %v; we read %v", header, plain, err, token.header)
		}
		if json.Unmarshal([]byte(header), &plain) != nil {
			return // numbers past float64, which golang-jwt can't read in a header
		}
		claims := jwt.MapClaims{}
		theirs, _, err := jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithJSONNumber()).ParseUnverified(raw, claims)
		if err != nil {
			t.Fatalf("golang-jwt refuses %q: %v", raw, err)
		}
		if !maps.EqualFunc(claims, jwt.MapClaims(token.claims), func(a, b any) bool { return reflect.DeepEqual(a, b) }) {
			t.Errorf("golang-jwt reads %v, we read %v", claims, token.claims)
		}
		if theirs.Header["alg"] != token.alg || theirs.Header["kid"] != token.kid || !reflect.DeepEqual(theirs.Signature, token.signature) {
			t.Errorf("golang-jwt reads the header %v, we read %v", theirs.Header, token.header)
		}
	})
}

// Whatever a key set says, no key of ours is a private or a secret one, and none makes us panic.
func FuzzReadKeys(f *testing.F) {
	for _, s := range []signer{rs256(), es256(), edDSA(), {"p", "ES384", p384Key()}, {"q", "ES512", p521Key()}} {
		f.Add([]byte(certsOf(s)))
	}
	private := edDSA().jwk()
	private["d"], private["key_ops"], private["x5c"] = base64url(make([]byte, 32)), []string{"verify"}, []string{"x"}
	nameless := edDSA().jwk()
	delete(nameless, "kid")
	for _, body := range []string{
		certs(private), certs(nameless), certs(x25519()), `{"keys":[{"kid":"o","kty":"oct","use":"sig","alg":"HS256","k":"c2VjcmV0"}]}`, `{"keys":[null,5,{}]}`, `{"keys":{}}`, `[]`,
		`{"keys":[{"kid":"r","kty":"RSA","use":"sig","n":"AA","e":"AQAB"}]}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := readKeys(body)
		if err != nil {
			return
		}
		usable := false
		for id, jwk := range keys {
			switch key := jwk.Key().(type) {
			case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, *ecdh.PublicKey:
			default:
				t.Errorf("key %q is a %T", id, key)
			}
			if id == "" || jwk.Marshal().USE != "sig" {
				t.Errorf("key %q has the use %q", id, jwk.Marshal().USE)
			}
			for _, alg := range algorithms {
				if fits(alg, jwk.Key()) {
					usable = true
					if jwt.GetSigningMethod(alg).Verify("x", make([]byte, 64), jwk.Key()) == nil {
						t.Errorf("key %q verifies zeros by %s", id, alg)
					}
				}
			}
		}
		if !usable {
			t.Error("the set is good, and not one key in it")
		}
	})
}

// Whatever a realm answers is one error of identity's, or tokens.
func FuzzRefusal(f *testing.F) {
	for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 408, 429, 500, 0, -1} {
		for _, body := range []string{tokens, `{"error":"invalid_grant","error_description":"Account disabled"}`, `{"error":"invalid_client"}`, `null`, `[]`, "", "<html>"} {
			f.Add(status, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, rows := range [][]meaning{loginRefusals, refreshRefusals} {
			checkOneMeaning(t, refusal(answer{status: status, body: body}, rows))
			token, err := readToken(answer{status: status, body: body}, rows)
			switch {
			case err != nil:
				checkOneMeaning(t, err)
				if token != nil {
					t.Error("tokens and an error")
				}
			case status != 200 || token.AccessToken.Reveal() == "" || token.Scope == nil || token.ExpiresIn < 0:
				t.Errorf("%d %q gives %+v", status, body, token)
			}
		}
	})
}
